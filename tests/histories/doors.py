"""Every way to ask for something: each is compared with what the model lets the asker see."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from django.db import connection

from ambit.access.clearance import clearance_for
from ambit.corpus.queries import list_documents
from ambit.corpus.search import search
from ambit.corpus.types import Clearance
from tenants.ids import public_id
from tenants.scope import audience_scope
from tests.histories.town import Town
from tests.histories.work import COMMON, said_by, text_of

# Tables of what is read, each with the column that names a document.
READ_TABLES = {
    "corpus_document": "id",
    "corpus_documentkey": "document_id",
    "corpus_version": "document_id",
    "corpus_chunk": "document_id",
    "corpus_chunkvector": "document_id",
    "corpus_chunklexemes": "document_id",
}
DIRECTORY_TABLES = ("tenants_member", "tenants_group", "access_collection", "access_grant")
_TITLE = re.compile(r"Title-(\w+)")


def ask_directly(town: Town, tenant: str) -> None:
    """Ask for every member as the API does beneath its views: clearance, search and list; cheap."""
    with town.in_tenant(tenant):
        for member in town.world.members():
            if town.world.tenants[member] == tenant:
                clearance = clearance_for(member_id=town.uuid(member))
                see_with(town, member, clearance)


def see_with(town: Town, member: str, clearance: Clearance) -> None:
    """Compare what a clearance finds and lists, in the tenant's scope, with what a member may see."""
    town.compare(member, "search in the database", found_with(clearance), town.world.finds(member))
    listed = list_documents(clearance=clearance, after=None, limit=100)
    names = {town.name_of(public_id("document", d.id)) for d in listed}
    town.compare(member, "list in the database", names, town.world.sight(member))


def found_with(clearance: Clearance) -> set[tuple[str, int]]:
    """Return the documents and versions that a search for the common word finds."""
    found = search(clearance=clearance, query=COMMON, embedding=None, k=50, mode="text")
    return {said_by(p.text) for p in found}


def search_door(town: Town, caller: str, member: str) -> None:
    """POST /v1/search, for the word of all and for one document's own."""
    _compare_search(town, caller, member, COMMON, None)
    for name in sorted(town.world.documents)[-1:]:
        own = text_of(name, town.world.documents[name].found).removeprefix(f"{COMMON} ")
        _compare_search(town, caller, member, own, name)


def _compare_search(town: Town, caller: str, member: str, query: str, document: str | None) -> None:
    answer = town.caller(caller).post("/v1/search", {"query": query, "mode": "text", "k": 50})
    seen = {said_by(p["text"]) for p in results(answer)}
    may = {f for f in town.world.finds(member) if document in {None, f[0]}}
    town.compare(caller, f"search for {query}", seen, may)


def list_door(town: Town, caller: str, member: str) -> None:
    """GET /v1/documents and /v1/collections."""
    for what, may in (
        ("documents", town.world.sight(member)),
        ("collections", _collections(town, member)),
    ):
        answer = town.caller(caller).get(f"/v1/{what}", {"limit": 100})
        let_in = {member} if opened(answer) else set()
        town.compare(caller, f"list of {what}, let in", let_in, {member} - town.world.suspended)
        seen = {town.name_of(one["id"]) for one in results(answer)}
        town.compare(caller, f"list of {what}", seen, may)


def one_door(town: Town, caller: str, member: str) -> None:
    """GET /v1/documents/ID, of every document of every tenant."""
    api = town.caller(caller)
    seen = {d for d in town.world.documents if opened(api.get(f"/v1/documents/{town.ids[d]}"))}
    town.compare(caller, "id", seen, town.world.sight(member))


def content_door(town: Town, caller: str, member: str) -> None:
    """GET /v1/documents/ID/content, as original and as text by turns."""
    api, seen = town.caller(caller), set()
    for place, name in enumerate(sorted(town.world.documents)):
        kind = ("original", "text")[(place + len(town.script)) % 2]
        answer = api.get(f"/v1/documents/{town.ids[name]}/content", {"as": kind})
        if opened(answer):
            seen.add(said_by(b"".join(answer.streaming_content).decode()))
    town.compare(caller, "content", seen, town.world.finds(member))


def custodian_door(town: Town, caller: str, member: str) -> None:
    """GET /v1/documents?as=custodian: administrators see records, of hidden documents no title."""
    answer = town.caller(caller).get("/v1/documents", {"as": "custodian", "limit": 100})
    world = town.world
    may_ask = member in world.administrators - world.suspended
    tenant = world.tenants[member]
    there = {d for d, one in world.documents.items() if one.tenant == tenant and not one.hidden}
    seen = {d for one in results(answer) for d in _TITLE.findall(one["title"])}
    town.compare(caller, "list as custodian", seen, there if may_ask else set())


def bare_door(town: Town, tenant: str) -> None:
    """Every row that row-level security shows, to a query that names no tenant and claims every audience."""
    claimed = set()
    for one in town.tenant_ids:
        with town.in_tenant(one), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM access_audience")
            claimed |= {row[0] for row in cursor.fetchall()}
    with town.in_tenant(tenant), connection.cursor() as cursor:
        with audience_scope(claimed):
            cursor.execute(_ROWS)
            rows = cursor.fetchall()
        cursor.execute(_FOREIGN, [town.tenant_ids[tenant]] * len(DIRECTORY_TABLES))
        foreign = {row[0] for row in cursor.fetchall()}
    own = {d: one for d, one in town.world.documents.items() if one.tenant == tenant}
    there = {d for d, one in own.items() if not one.hidden}
    for table in READ_TABLES:
        names = {town.name_of(public_id("document", d)) for t, d in rows if t == table}
        if table in {"corpus_document", "corpus_documentkey"}:
            town.compare(tenant, f"bare {table}", names, there)
        else:
            # Below a hidden document rows lie until the workers come, sealed under a key nobody gets.
            town.refuse_more(names, set(own), f"{tenant} by bare {table}")
    town.refuse_more(foreign, set(), f"{tenant} by bare directory")


_ROWS = " UNION ALL ".join(
    f"SELECT '{table}', {column} FROM {table}"  # noqa: S608 - names of ours
    for table, column in READ_TABLES.items()
)
_FOREIGN = " UNION ALL ".join(
    f"SELECT '{table}' FROM {table} WHERE tenant_id <> %s"  # noqa: S608 - names of ours
    for table in DIRECTORY_TABLES
)


def pages_door(town: Town, client: Any) -> None:
    """Open the administrator's pages: each document's readers, each member's sight, the list."""
    world = town.world
    mine = [m for m in world.members() if world.tenants[m] == "a" and m not in world.erased]
    for member in mine:
        page = client.get(f"/admin/members/{town.ids[member]}/sight/")
        town.compare(member, "page of sight", _titles(page), world.sight(member))
    there = {d for d, one in world.documents.items() if one.tenant == "a" and not one.hidden}
    listed = _titles(client.get("/admin/documents/"))
    town.compare("adam", "page of documents", listed, there)
    for document in sorted(there):
        page = client.get(f"/admin/documents/{town.ids[document]}/readers/")
        text = html.unescape(page.content.decode())
        seen = {m for m in mine if f"/admin/members/{town.ids[m]}/" in text}
        readers = {m for m in mine if world.may_see(m, document)}
        town.compare(document, "page of readers", seen, readers)


def answers_door(town: Town, caller: str, member: str) -> None:
    """POST /v1/answers: every citation, and every word of every document in the answer."""
    body = {"question": f"What does {COMMON} say?", "k": 20}
    answer = town.caller(caller).post("/v1/answers", body)
    served = {"an answer"} if opened(answer) else set()
    may = set() if member in town.world.suspended else {"an answer"}
    town.compare(caller, "answers", served, may)
    if served:
        words = {(d, int(v)) for d, v in re.findall(r"zq(\w+?)v(\d+)", str(answer.json()))}
        town.refuse_more(words, town.world.finds(member), f"{caller} by answers")


DOORS: dict[str, Callable[[Town, str, str], None]] = {
    "search": search_door,
    "list": list_door,
    "one": one_door,
    "content": content_door,
    "custodian": custodian_door,
    "answers": answers_door,
}


def ask(town: Town, door: str, member: str, *, by_key: bool) -> None:
    """Ask by a door for a member: by its own keys, or through its tenant's service."""
    callers = [f"{town.world.tenants[member]} for {member}"]
    if by_key:
        callers = [key for key, holder in town.world.keys.items() if holder == member]
    for caller in callers:
        DOORS[door](town, caller, member)


def revoked_keys(town: Town) -> None:
    """Call with every key that was revoked."""
    revoked = set(town.own) - set(town.world.keys)
    let_in = {key for key in revoked if opened(town.own[key].get("/v1/documents"))}
    town.compare("nobody", "a revoked key", let_in, set())


def results(answer: Any) -> list[Any]:
    """Return the results of an answer, none of a refusal."""
    return answer.json()["results"] if opened(answer) else []


def opened(answer: Any) -> bool:
    """Say whether a door opened; a fault of ours is none of both."""
    assert answer.status_code < 500, answer.content
    return bool(answer.status_code < 400)


def _collections(town: Town, member: str) -> set[str]:
    world = town.world
    if member in world.administrators - world.suspended:
        return {
            c for c, (tenant, _) in world.collections.items() if tenant == world.tenants[member]
        }
    return {c for c in world.collections if world.role_in(member, c)}


def _titles(page: Any) -> set[str]:
    assert page.status_code == 200, page.status_code
    return set(_TITLE.findall(page.content.decode()))
