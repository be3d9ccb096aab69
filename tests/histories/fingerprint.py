"""Every row that decides who sees what, with names instead of ids."""

from __future__ import annotations

import hashlib

from django.db import connection

from tests.histories.town import Town

_READERS = """(SELECT coalesce(string_agg(coalesce(p.member_id, p.group_id)::text, ','), '')
    || CASE WHEN bool_or(p.member_id IS NULL AND p.group_id IS NULL) THEN ',tenant' ELSE '' END
    FROM access_audienceprincipal p WHERE p.tenant_id = t.tenant_id AND p.audience_id = {})"""
_OF_DOCUMENT = _READERS.format("t.audience_id")
# Each row: what it is, and then its values as text.
_ROWS = f"""
SELECT ARRAY['in', group_id::text, member_id::text] FROM tenants_groupmember
UNION ALL SELECT ARRAY['nested', parent_id::text, child_id::text] FROM tenants_groupchild
UNION ALL SELECT ARRAY['member', id::text, role, (suspended_at IS NULL)::text] FROM tenants_member
UNION ALL SELECT ARRAY['key', member_id::text, scopes::text, (revoked_at IS NULL)::text]
    FROM tenants_apikey
UNION ALL SELECT ARRAY['grant', coalesce(member_id, group_id)::text, role, document_id::text,
    collection_id::text] FROM access_grant
UNION ALL SELECT ARRAY['collection', id::text, {_OF_DOCUMENT}] FROM access_collection t
UNION ALL SELECT ARRAY['audience', digest, {_READERS.format("t.id")}] FROM access_audience t
    WHERE digest IS NOT NULL
UNION ALL SELECT ARRAY['document', id::text, collection_id::text, own_grants::text,
    (hidden_at IS NULL)::text, (erased_at IS NULL)::text,
    (SELECT number::text FROM corpus_version v WHERE v.id = t.current_version_id),
    (SELECT number::text FROM corpus_version v WHERE v.id = t.latest_version_id), {_OF_DOCUMENT}]
    FROM corpus_document t
UNION ALL SELECT ARRAY['document key', document_id::text, (disabled_at IS NULL)::text,
    {_OF_DOCUMENT}] FROM corpus_documentkey t
UNION ALL SELECT ARRAY['chunk', document_id::text, ordinal::text,
    (SELECT number::text FROM corpus_version v WHERE v.id = t.version_id), {_OF_DOCUMENT}]
    FROM corpus_chunk t
UNION ALL SELECT ARRAY['vector', document_id::text, {_OF_DOCUMENT}] FROM corpus_chunkvector t
UNION ALL SELECT ARRAY['words', document_id::text, {_OF_DOCUMENT}] FROM corpus_chunklexemes t
UNION ALL SELECT ARRAY['mention', document_id::text, kind, {_OF_DOCUMENT}] FROM corpus_mention t
UNION ALL SELECT ARRAY['subject', document_id::text, type, {_OF_DOCUMENT}] FROM corpus_subject t
"""  # noqa: S608 - constants alone
_OPEN = """SELECT set_config('ambit.custody', 'on', true), set_config('ambit.audience_ids',
    (SELECT '{' || coalesce(string_agg(id::text, ','), '') || '}' FROM access_audience), true)"""
_CLOSE = "SELECT set_config('ambit.custody', '', true), set_config('ambit.audience_ids', '', true)"


def rows_of_permissions(town: Town) -> list[str]:
    """Return the rows of the tenant in scope, as the application's role sees them in custody.

    An interned audience whose readers are what its digest says is left out: it is the same whether
    it is there already or made when it is needed.
    """
    names = {str(town.uuid(n)): n for n, i in town.ids.items() if i[:3] != "key"}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        cursor.execute(_ROWS)
        rows = [row for (row,) in cursor.fetchall()]
        cursor.execute(_CLOSE)
    rows = [row for row in rows if not (row[0] == "audience" and _is_as_digested(row))]
    return sorted(str([_named(value, names) for value in row]) for row in rows)


def _is_as_digested(row: list[str]) -> bool:
    """Say whether an audience's readers are those it was interned for."""
    _, digest, readers = row
    keys = [_kinds(r) for r in readers.split(",") if r]
    wordings = ["|".join(sorted(k)) for k in ([*_products(keys)] or [[]])]
    return digest in {hashlib.sha256(w.encode()).hexdigest() for w in wordings}


def _kinds(reader: str) -> list[str]:
    return [reader] if reader == "tenant" else [f"member:{reader}", f"group:{reader}"]


def _products(keys: list[list[str]]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for kinds in keys:
        found = [[*f, kind] for f in found for kind in kinds]
    return found


def _named(value: str | None, names: dict[str, str]) -> str:
    if value is None:
        return ""
    return ",".join(sorted(names.get(part, part) for part in value.split(",")))
