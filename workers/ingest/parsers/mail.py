"""E-mail: who, when and about what as a heading, then the words; attachments are named, never opened."""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from email.policy import compat32

from workers.ingest.parsers import html
from workers.ingest.parsers.build import TextBuilder, one_line
from workers.ingest.parsers.decode import decode
from workers.ingest.parsers.failures import EncryptedFile
from workers.ingest.parsers.limits import Limits

_SHOWN = ("From", "To", "Cc", "Date")
_MAX_PARTS = 1_000


def read(data: bytes, *, builder: TextBuilder, kind: str, limits: Limits) -> None:
    """Add one message, plain words preferred over HTML; raise EncryptedFile on an S/MIME envelope."""
    del limits
    if data.startswith(b"From "):
        data = data.partition(b"\n")[2]
    message: Message[str, str] = message_from_bytes(data, policy=compat32)
    subject = _header(message, "Subject")
    if subject:
        builder.heading(subject, level=1)
    shown = [(name, _header(message, name)) for name in _SHOWN]
    builder.text("\n".join(f"{name}: {value}" for name, value in shown if value))
    parts = _leaves(message)
    if any("pkcs7-mime" in part.get_content_type() for part in parts) and not _signed(parts):
        raise EncryptedFile(kind)
    bodies = [part for part in parts if not _attached(part)]
    plain = [part for part in bodies if part.get_content_type() == "text/plain"]
    marked_up = [part for part in bodies if part.get_content_type() == "text/html"]
    if any(_words(part).strip() for part in plain):
        for part in plain:
            builder.text(_words(part))
    else:
        for part in marked_up:
            html.read_text(_words(part), builder=builder)
    names = [
        _name(part)
        for part in parts
        if _attached(part) and not part.get_content_type().endswith("pkcs7-signature")
    ]
    if names:
        builder.text("Attachments:\n" + "\n".join(f"- {name}" for name in names))


def _leaves(message: Message[str, str]) -> list[Message[str, str]]:
    """List the parts that hold content, not going into attached messages."""
    leaves: list[Message[str, str]] = []
    todo = [message]
    while todo and len(leaves) < _MAX_PARTS:
        part = todo.pop()
        payload = part.get_payload()
        nested = part is not message and part.get_content_type() == "message/rfc822"
        if isinstance(payload, list) and not nested:
            todo.extend(child for child in reversed(payload) if isinstance(child, Message))
        else:
            leaves.append(part)
    return leaves


def _attached(part: Message[str, str]) -> bool:
    kind = part.get_content_type()
    if (part.get_content_disposition() or "") == "attachment" or kind == "message/rfc822":
        return True
    return kind not in ("text/plain", "text/html") and not kind.startswith("multipart/")


def _signed(parts: list[Message[str, str]]) -> bool:
    return any(part.get_param("smime-type") == "signed-data" for part in parts)


def _name(part: Message[str, str]) -> str:
    try:
        name = part.get_filename()
    except (LookupError, ValueError, TypeError):
        name = None
    if not name and part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], Message):
            name = _header(inner[0], "Subject")
    return one_line(_unfold(name)) if name else f"({part.get_content_type()})"


def _words(part: Message[str, str]) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes) or not payload.strip():
        return ""
    charset = part.get_param("charset")
    return decode(payload, declared=charset if isinstance(charset, str) else None, what="eml")


def _header(message: Message[str, str], name: str) -> str:
    value = message.get(name)
    return one_line(_unfold(str(value))) if value is not None else ""


def _unfold(value: str) -> str:
    """Decode a header's encoded words, leaving as it is what does not decode."""
    try:
        pieces = decode_header(value)
    except (ValueError, LookupError):
        return value
    out = []
    for piece, charset in pieces:
        if isinstance(piece, str):
            out.append(piece)
        elif charset in (None, "unknown-8bit"):
            out.append(piece.decode("utf-8", errors="replace"))
        else:
            try:
                out.append(piece.decode(charset or "utf-8", errors="replace"))
            except LookupError:
                out.append(piece.decode("utf-8", errors="replace"))
    return "".join(out).encode("utf-8", errors="replace").decode("utf-8")
