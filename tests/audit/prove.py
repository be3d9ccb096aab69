"""Attack a real trail in every way that is known, and count what is found.

The trail is written, signed and copied outside by the product. Then somebody who rules the database and holds the
signing key rewrites it: at random in what is exported, and in the database itself as its superuser, once leaving
the proof as it is and once having all of it made anew by the product.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import psycopg
from django.test import override_settings
from psycopg import sql

from ambit.audit.copies import folder_of
from ambit.audit.export import exported_events, read_notes, read_unnumbered
from ambit.audit.flow import keep_trail, trail_signer
from ambit.audit.tree import inclusion_proof
from ambit.audit.verify import Key, check_events
from ambit.keys.signing import make_signing_key
from tenants.scope import tenant_scope
from tests.audit.attacks import ATTACKS, Line, Trail, is_found
from tests.audit.trails import add_events
from tests.database.private import PrivateDatabase
from tests.database.worlds import make_tenant

EVENTS = 300
HASH_BYTES_AS_SENT = 44
_PROOF_TABLES = ("audit_leaf", "audit_subtree", "audit_checkpoint", "audit_log")
# %(it)s: an event in the middle; %(later)s: one after it; %(us)s, %(them)s: the tenants.
IN_THE_DATABASE: dict[str, str] = {
    "edit": "UPDATE tenants_auditevent SET action = 'document.read' WHERE id = %(it)s",
    "delete": "DELETE FROM tenants_auditevent WHERE id = %(it)s",
    "insert": "INSERT INTO tenants_auditevent (id, tenant_id, at, actor_kind, action, document_ids, chunk_ids,"
    " counts, xact) SELECT gen_random_uuid(), tenant_id, at - interval '1 day', actor_kind, action,"
    " document_ids, chunk_ids, counts, xact FROM tenants_auditevent WHERE id = %(it)s",
    "reorder": "UPDATE audit_leaf a SET number = b.number FROM audit_leaf b"
    " WHERE a.id = ANY (ARRAY[%(it)s, %(later)s]::uuid[])"
    " AND b.id = ANY (ARRAY[%(it)s, %(later)s]::uuid[]) AND a.id <> b.id",
    "truncate": "DELETE FROM tenants_auditevent WHERE tenant_id = %(us)s AND id > %(it)s",
    "swap tenants": "UPDATE tenants_auditevent SET tenant_id = %(them)s WHERE id = %(it)s",
    "back-date": "UPDATE tenants_auditevent SET at = at - interval '3 days' WHERE id = %(it)s",
    "fork": "UPDATE tenants_auditevent SET counts = '{}' WHERE tenant_id = %(us)s AND id >= %(it)s",
}
# Numbers are given in this order: to reorder before everything is numbered anew.
_REORDER_ANEW = """
UPDATE tenants_auditevent a SET xact = b.xact, at = b.at FROM tenants_auditevent b
WHERE a.id = ANY (ARRAY[%(it)s, %(later)s]::uuid[])
  AND b.id = ANY (ARRAY[%(it)s, %(later)s]::uuid[]) AND a.id <> b.id
"""


@dataclass
class Count:
    """How many attacks of a kind were tried, and which were not found."""

    kind: str
    tried: int = 0
    missed: list[str] = field(default_factory=list)


@contextmanager
def outside() -> Iterator[Path]:
    """Have a folder for copies and a keyring of our own until the block ends."""
    with tempfile.TemporaryDirectory(prefix="ambit-outside-") as name:
        folder = Path(name)
        with override_settings(
            AMBIT_AUDIT_COPIES_DIR=folder / "copies", AMBIT_KEYRING_DIR=folder / "keyring"
        ):
            make_signing_key()
            yield folder


def prove(private: PrivateDatabase, *, tries: int, chance: random.Random) -> list[Count]:
    """Attack so many times in each way; raise RuntimeError where the trail was not whole before."""
    with private.in_use():
        return [
            *attack_exports(tries=tries, chance=chance),
            *attack_database(private, anew=False),
            *attack_database(private, anew=True),
        ]


def attack_exports(*, tries: int, chance: random.Random) -> list[Count]:
    """Rewrite what is exported and sign it anew."""
    us, them = _filled(EVENTS)
    signer = trail_signer()
    with tenant_scope(us):
        sizes = [size for size, _ in read_notes(above=0)]
    trail = Trail(_lines(us), _lines(them), sizes, signer)
    kept, key = _kept(us), Key.read(signer.key)
    if is_found(trail, kept, key):
        raise RuntimeError("the trail was not whole before anything was done to it")
    counts = []
    for kind, attack in ATTACKS.items():
        count = Count(f"{kind}, in the export", tries)
        for number in range(tries):
            attacked = trail.copy()
            attack(attacked, chance)
            if not is_found(attacked, kept, key):
                count.missed.append(f"try {number}")
        counts.append(count)
    return counts


def attack_database(private: PrivateDatabase, *, anew: bool) -> list[Count]:
    """Change the rows themselves; anew: and have the product number and sign everything again."""
    how = "in the database, all signed anew" if anew else "in the database"
    counts = []
    for kind, statement in IN_THE_DATABASE.items():
        us, them = _filled(EVENTS // 10)
        kept, key = _kept(us), Key.read(trail_signer().key)
        if check_events(_lines(us), [("kept", kept)], key).faults:
            raise RuntimeError("the trail was not whole before anything was done to it")
        if anew and kind == "reorder":
            statement = _REORDER_ANEW
        _rewrite(private, statement, us=us, them=them, anew=anew)
        with _elsewhere():
            keep_trail()
        shown = [("kept", kept), ("export", _notes(us))]
        found = check_events(_lines(us), shown, key, unnumbered=_unnumbered(us)).faults
        counts.append(Count(f"{kind}, {how}", 1, [] if found else ["the only try"]))
    return counts


def proof_bytes(size: int) -> int:
    """Return the bytes of the longest proof of one event in a log of that size, as it is sent."""
    steps = inclusion_proof(0, size, lambda _level, _index: bytes(32))
    return len(steps) * HASH_BYTES_AS_SENT


def _filled(n_events: int) -> tuple[UUID, UUID]:
    us, them = make_tenant(), make_tenant()
    for n in (n_events // 10, n_events // 2, n_events - n_events // 10 - n_events // 2):
        for tenant_id in (us, them):
            add_events(tenant_id, n)
        keep_trail()
    return us, them


def _lines(tenant_id: UUID) -> list[Line]:
    with tenant_scope(tenant_id):
        return list(exported_events())


def _unnumbered(tenant_id: UUID) -> list[Line]:
    with tenant_scope(tenant_id):
        return read_unnumbered()


def _notes(tenant_id: UUID) -> str:
    with tenant_scope(tenant_id):
        return "".join(text for _, text in read_notes(above=0))


def _kept(tenant_id: UUID) -> str:
    return "".join(path.read_text() for path in sorted(folder_of(tenant_id).glob("*.notes")))


def _rewrite(private: PrivateDatabase, statement: str, *, us: UUID, them: UUID, anew: bool) -> None:
    with private.superuser() as superuser:
        # No trigger, no reference and no policy stops a superuser.
        superuser.execute("SET session_replication_role = replica")
        events = superuser.execute(
            "SELECT id FROM audit_leaf WHERE tenant_id = %s ORDER BY number", [us]
        ).fetchall()
        (it,), (later,) = events[len(events) // 2], events[len(events) // 2 + 3]
        values = {"it": it, "later": later, "us": us, "them": them}
        if "audit_leaf a" in statement:
            superuser.execute("ALTER TABLE audit_leaf DROP CONSTRAINT IF EXISTS leaf_once")
        changed = superuser.execute(statement.encode(), values).rowcount
        assert changed > 0, "the attack did nothing"
        if anew:
            _forget_the_proof(superuser, us)


def _forget_the_proof(superuser: psycopg.Connection, tenant_id: UUID) -> None:
    for table in _PROOF_TABLES:
        superuser.execute(
            sql.SQL("DELETE FROM {} WHERE tenant_id = %s").format(sql.Identifier(table)),
            [tenant_id],
        )
    superuser.execute("UPDATE audit_watermark SET xact = '0' WHERE task = 'number'")


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Have the attacker's copies go where nobody looks."""
    with (
        tempfile.TemporaryDirectory(prefix="ambit-attacker-") as name,
        override_settings(AMBIT_AUDIT_COPIES_DIR=name),
    ):
        yield
