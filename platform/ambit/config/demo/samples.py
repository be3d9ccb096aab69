"""The sample documents of deploy/samples and what their manifest says about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().parents[4] / "deploy" / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """One document to upload; principals and people are named by external id."""

    tenant: str
    collection: str
    external_id: str
    title: str
    path: Path
    send: str  # file, text or batch
    by: str
    grants: tuple[tuple[str, str], ...] | None
    subjects: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The two tenants' set-up and their documents."""

    tenants: tuple[dict[str, Any], ...]
    samples: tuple[Sample, ...]
    # The file of a newer version, by the document's external id.
    replacements: dict[str, Path]


def read_manifest() -> Manifest:
    """Read manifest.json; raise FileNotFoundError when a file that it names is absent."""
    raw = json.loads((SAMPLES / "manifest.json").read_text(encoding="utf-8"))
    return Manifest(
        tenants=tuple(raw["tenants"]),
        samples=tuple(_sample(entry) for entry in raw["documents"]),
        replacements={r["external_id"]: _path(r["file"]) for r in raw["replacements"]},
    )


def _sample(entry: dict[str, Any]) -> Sample:
    grants = entry["grants"]
    return Sample(
        tenant=entry["tenant"],
        collection=entry["collection"],
        external_id=entry["external_id"],
        title=entry["title"],
        path=_path(entry["file"]),
        send=entry["send"],
        by=entry["by"],
        grants=None if grants is None else tuple((p, r) for p, r in grants),
        subjects=tuple(entry["subjects"]),
    )


def _path(name: str) -> Path:
    path = SAMPLES / name
    if not path.is_file():
        raise FileNotFoundError(path)
    return path
