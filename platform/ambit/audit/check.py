"""Check a tenant's trail here and now, with the program that others check it with."""

from __future__ import annotations

from ambit.audit.copies import folder_of
from ambit.audit.export import exported_events, read_notes, read_unnumbered
from ambit.audit.models import Log
from ambit.audit.verify import Key, Report, check_events
from tenants.scope import current_tenant_id

# More would keep a page waiting: some 30,000 a second.
MOST_EVENTS = 200_000


class TooMany(ValueError):
    """The trail is too long to be checked while somebody waits."""


def check_trail_now(key: str) -> Report:
    """Check all numbered events of the tenant in scope against what was signed, here and in the copies.

    Raises TooMany.
    """
    log = Log.objects.first()
    if log is not None and log.size > MOST_EVENTS:
        raise TooMany(log.size)
    kept = [("the database", "".join(_notes())), *_copies()]
    return check_events(exported_events(), kept, Key.read(key), unnumbered=read_unnumbered())


def _notes() -> list[str]:
    size, texts = 0, []
    while found := read_notes(above=size):
        texts += [text for _, text in found]
        size = found[-1][0]
    return texts


def _copies() -> list[tuple[str, str]]:
    """Return the copies where this process may read them; elsewhere the database's must do."""
    folder = folder_of(current_tenant_id())
    try:
        files = sorted(folder.glob("*.notes"))
        return [(f"copy {file.name}", file.read_text(errors="replace")) for file in files]
    except OSError:
        return []
