"""The parts of an Office Open XML package: XML without entities, and who refers to whom."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator

from lxml import etree

from workers.ingest.parsers.failures import CorruptFile


class Package:
    """An opened package; raises CorruptFile on damage, never resolves an entity or an outside address."""

    def __init__(self, data: bytes, *, kind: str) -> None:
        self._kind = kind
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, ValueError):
            raise CorruptFile(kind) from None
        self._names = {info.filename.lower().lstrip("/"): info for info in self._archive.infolist()}

    def has(self, name: str) -> bool:
        """Say whether there is such a part."""
        return name.lower() in self._names

    def xml(self, name: str) -> etree._Element:
        """Parse one part."""
        try:
            raw = self._archive.read(self._names[name.lower()])
            parser = etree.XMLParser(
                resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
            )
            return etree.fromstring(raw, parser)
        except (etree.XMLSyntaxError, KeyError, zipfile.BadZipFile, OSError, ValueError):
            raise CorruptFile(self._kind) from None

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Map a part's relation ids to (the last word of the type, the target part)."""
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if not self.has(rels):
            return {}
        found = {}
        for relation in self.xml(rels):
            if not isinstance(relation.tag, str) or relation.get("TargetMode") == "External":
                continue
            target = relation.get("Target") or ""
            path = target[1:] if target.startswith("/") else posixpath.join(folder, target)
            kind = (relation.get("Type") or "").rpartition("/")[2]
            found[relation.get("Id") or ""] = (kind, posixpath.normpath(path))
        return found


def local(element: etree._Element) -> str:
    """Give an element's name without its namespace; empty for comments and the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def child(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Follow child names without namespaces; None where the path ends early."""
    for name in path:
        if element is None:
            return None
        element = next((inner for inner in element if local(inner) == name), None)
    return element


def attribute(element: etree._Element | None, name: str) -> str | None:
    """Give an attribute by its name without the namespace."""
    if element is None:
        return None
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return None


def shown_children(element: etree._Element) -> Iterator[etree._Element]:
    """Yield children, of alternatives only the first, which is what a current program shows."""
    for inner in element:
        if local(inner) == "AlternateContent":
            choice = child(inner, "Choice")
            if choice is None:
                choice = child(inner, "Fallback")
            if choice is not None:
                yield from shown_children(choice)
        elif local(inner):
            yield inner
