"""What permissions cost while a tenant, a list of readers, a collection or the database grows: counts, never seconds.

Measured on the statements that the code sends, as ambit_app under row-level security, in a private database of
10,000 small tenants and a big one, with the planner's defaults and after ANALYZE. Bounds:

| what grows                      | what is done                   | read                       | written              |
| ------------------------------- | ------------------------------ | -------------------------- | -------------------- |
| tenant: 10,000 members, 1,000   | clearance, also of 700 groups  | 2 rows or pages for each   |                      |
| collections                     |                                | row about the member, + 20 |                      |
|                                 | who reads a collection         | 10 rows a reader, + 20     |                      |
|                                 | a place in a group             | 10 rows                    | 1 row                |
| database: 10 to 10,000 tenants  | a small tenant's clearance and | 5 rows more; 3 pages more  |                      |
|                                 | search                         | for each use of an index   |                      |
| a document's readers, at once   | sharing it with n people       | 30 statements              | 2 rows a person, +20 |
| a document's readers, in turn   | sharing it with one more       |                            | 20 rows              |
|                                 | clearance of the first one     | one audience               |                      |
|                                 | taking one of n away           |                            | 2 rows a reader, 3 a |
|                                 |                                |                            | chunk, + 20          |
| a collection's 10,000 documents | sharing the collection anew    | the same as with one       | 2 rows for each      |
|                                 |                                |                            | grant, old and new   |

A row about the member: its own, its places in groups, those groups' places in groups, and the places in audiences
of the member, of those groups and of the whole tenant.

Who takes one reader away pays for all who stay: the document gets another audience, with rows of its own, and the
chunks, vectors and words carry it. That is the price of "from the next statement on": see ambit.access.audiences.
Sharing reads each grant that there was, each reader and each that is wanted, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.db import connection

from ambit.access.clearance import clearance_for, readers_of
from ambit.access.documents import write_grants
from ambit.access.services import set_collection_grants
from ambit.corpus.queries import get_document_as_custodian, reading
from ambit.corpus.search import search
from tenants.models import Member
from tenants.services import add_to_group
from tests.database.growing import (
    STATISTICS,
    Big,
    Cost,
    Statistics,
    add_documents,
    copy_tenant,
    count_about,
    count_readers,
    know,
    make_big,
    measured,
)
from tests.database.private import PrivateDatabase
from tests.database.worlds import (
    Passage,
    grant,
    make_collection,
    make_group,
    make_member,
    make_tenant,
    publish,
    unit,
    working,
)

N_TENANTS = 10_000
N_DOCUMENTS = 10_000
# The bounds are for each person: they hold for 5,000 as for these.
N_PEOPLE = 500
N_CHUNKS = 2


@dataclass(frozen=True, slots=True)
class Small:
    """A small tenant and its reader; what clearance and search cost among so many tenants."""

    tenant_id: UUID
    reader: UUID
    costs: dict[tuple[str, Statistics, int], Cost]


@pytest.fixture(scope="module")
def crowd() -> Iterator[PrivateDatabase]:
    """Return a database of this module's own: its sizes would slow down everybody else."""
    made = PrivateDatabase()
    with made.superuser() as superuser:
        superuser.execute("ALTER SYSTEM SET autovacuum = off")
        superuser.execute("SELECT pg_reload_conf()")
    with made.in_use():
        yield made
    made.stop()


@pytest.fixture(scope="module")
def small(crowd: PrivateDatabase) -> Small:
    """Measure a small tenant among 10 tenants and among 10,000."""
    tenants = [_small_tenant() for _ in range(2)]
    found = Small(*tenants[0], costs={})
    for n in (10, N_TENANTS):
        with crowd.superuser() as superuser:
            copy_tenant(superuser, tenants[1][0], until=n)
            for statistics in STATISTICS:
                know(superuser, statistics)
                for what, act in (("clearance", _clear), ("search", _search)):
                    with working(found.tenant_id), measured() as cost:
                        act(found.reader)
                    found.costs[what, statistics, n] = cost
    return found


@pytest.fixture(scope="module")
def big(crowd: PrivateDatabase, small: Small) -> Big:
    """Return a big tenant beside the small ones."""
    tenant_id = make_tenant()
    with crowd.superuser() as superuser:
        return make_big(superuser, tenant_id)


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("who", ["of_700", "of_22"])
def test_clearance_reads_what_is_about_the_member_alone(
    crowd: PrivateDatabase, big: Big, who: str, statistics: Statistics
) -> None:
    member_id = getattr(big, who)
    with crowd.superuser() as superuser:
        know(superuser, statistics)
        about = count_about(superuser, tenant_id=big.tenant_id, member_id=member_id)

    with working(big.tenant_id), measured() as cost:
        _clear(member_id)

    assert max(cost.rows, cost.pages) <= 2 * about + 20


@pytest.mark.parametrize("statistics", STATISTICS)
def test_who_reads_a_collection_costs_what_its_readers_are(
    crowd: PrivateDatabase, big: Big, statistics: Statistics
) -> None:
    with crowd.superuser() as superuser:
        know(superuser, statistics)

        n_readers = count_readers(superuser, tenant_id=big.tenant_id, audience_id=big.audience_id)

    with working(big.tenant_id), measured(again=False) as cost:
        readers_of(audience_id=big.audience_id)

    assert n_readers > 100
    assert cost.rows <= 10 * n_readers + 20


@pytest.mark.parametrize("statistics", STATISTICS)
def test_a_place_in_a_group_is_one_row_in_a_big_tenant(
    crowd: PrivateDatabase, big: Big, statistics: Statistics
) -> None:
    with working(big.tenant_id):
        member_id = make_member()
    with crowd.superuser() as superuser:
        know(superuser, statistics)

    with working(big.tenant_id), measured() as cost:
        add_to_group(group_id=big.group_id, member_id=member_id)

    assert cost.written == 1
    assert cost.rows <= 10


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("what", ["clearance", "search"])
def test_a_small_tenant_does_not_pay_for_ten_thousand_others(
    small: Small, what: str, statistics: Statistics
) -> None:
    few, many = (small.costs[what, statistics, n] for n in (10, N_TENANTS))

    assert many.rows <= few.rows + 5
    # Two pages down a deeper index, and one of the table.
    assert many.pages <= few.pages + 3 * many.index_scans


def test_sharing_with_many_at_once_writes_two_rows_for_each(
    crowd: PrivateDatabase, big: Big
) -> None:
    cost = _share_with(big, N_PEOPLE)

    assert N_PEOPLE < cost.written <= 2 * N_PEOPLE + 20


def test_sharing_with_many_at_once_takes_a_few_statements(crowd: PrivateDatabase, big: Big) -> None:
    assert _share_with(big, N_PEOPLE).statements <= 30


def test_sharing_with_one_more_writes_as_little_after_hundreds(
    crowd: PrivateDatabase, big: Big
) -> None:
    assert _share_with(big, 200, 201).written <= 20


def test_whom_a_document_was_shared_with_first_has_one_audience_of_it(
    crowd: PrivateDatabase,
) -> None:
    tenant_id, _ = _small_tenant()
    with working(tenant_id):
        people = [make_member() for _ in range(6)]
    document_id = _own_document(tenant_id, people[0])

    for n in range(2, 6):
        _share(tenant_id, document_id, people[: n + 1])

    with working(tenant_id):
        assert len(clearance_for(member_id=people[1]).audience_ids) == 1


def test_taking_one_away_writes_two_rows_for_each_reader(crowd: PrivateDatabase, big: Big) -> None:
    written = _share_with(big, 200, 199).written

    assert 200 < written <= 2 * 201 + 3 * N_CHUNKS + 20


def test_chunks_stay_when_a_reader_comes_and_are_moved_when_one_goes(
    crowd: PrivateDatabase,
) -> None:
    tenant_id, _ = _small_tenant()
    costs = []
    for n_chunks in (N_CHUNKS, 50):
        with working(tenant_id):
            people = [make_member() for _ in range(3)]
        document_id = _own_document(tenant_id, people[0], n_chunks=n_chunks)
        _share(tenant_id, document_id, people[:2])
        more = _share(tenant_id, document_id, people)
        less = _share(tenant_id, document_id, people[:2])
        costs.append((more.written, less.written))

    (few_more, few_less), (many_more, many_less) = costs
    assert few_more == many_more <= 20
    assert many_less - few_less == 3 * (50 - N_CHUNKS)


def test_a_collection_is_shared_anew_without_touching_its_documents(crowd: PrivateDatabase) -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        alice, bob = make_member(), make_member()
        collections = [make_collection(grant("owner", member=alice)) for _ in range(2)]
    for collection_id in collections:
        publish(
            tenant_id=tenant_id,
            by=alice,
            collection_id=collection_id,
            passages=[Passage("harbor", unit(0))],
        )
    with crowd.superuser() as superuser:
        add_documents(superuser, collection_id=collections[1], number=N_DOCUMENTS)

    costs = []
    for collection_id in collections:
        with working(tenant_id), measured() as cost:
            set_collection_grants(
                collection_id=collection_id,
                grants=[grant("owner", member=alice), grant("reader", member=bob)],
            )
        costs.append(cost)

    # Of grants: one row before, two after. Of readers: who is new, and nobody who stays.
    assert [cost.written for cost in costs] == [4, 4]
    assert costs[0].rows == costs[1].rows
    assert _n_seen(tenant_id, bob) == N_DOCUMENTS + 2


def test_the_instruments_see_a_whole_table_and_every_row_written(
    crowd: PrivateDatabase, big: Big
) -> None:
    with working(big.tenant_id), measured() as cost:
        assert Member.objects.filter(name="").count() == 10_000
        Member.objects.filter(name="").update(name="somebody")

    assert cost.rows >= 10_000
    assert cost.written == 10_000
    assert cost.statements == 2


def _own_document(tenant_id: UUID, owner: UUID, *, n_chunks: int = N_CHUNKS) -> UUID:
    with working(tenant_id):
        collection_id = make_collection(grant("owner", member=owner))
    return publish(
        tenant_id=tenant_id,
        by=owner,
        collection_id=collection_id,
        passages=[Passage(f"harbor {n}", unit(n)) for n in range(n_chunks)],
    )


def _share_with(big: Big, *numbers: int) -> Cost:
    """Share a document of the big tenant with so many people, then with so many; return the last one's cost."""
    with working(big.tenant_id):
        owner = make_member()
        others = Member.objects.exclude(pk=owner).values_list("id", flat=True)
        people = list(others[: max(numbers)])
    document_id = _own_document(big.tenant_id, owner)
    costs = [_share(big.tenant_id, document_id, [owner, *people[:n]]) for n in numbers]
    return costs[-1]


def _share(tenant_id: UUID, document_id: UUID, people: list[UUID]) -> Cost:
    """Give a document's first to own and the others to read, as a client does who sends the whole list."""
    grants = [grant("owner" if n == 0 else "reader", member=m) for n, m in enumerate(people)]
    with working(tenant_id):
        document = get_document_as_custodian(document_id=document_id)
        with measured() as cost:
            write_grants(document=document, grants=grants)
    return cost


def _n_seen(tenant_id: UUID, member_id: UUID) -> int:
    with (
        working(tenant_id),
        reading(clearance_for(member_id=member_id)),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT count(*) FROM corpus_document")
        return int(cursor.fetchone()[0])


def _clear(member_id: UUID) -> None:
    assert clearance_for(member_id=member_id).audience_ids


def _search(member_id: UUID) -> None:
    allowed = clearance_for(member_id=member_id)
    assert search(clearance=allowed, query="harbor", embedding=unit(0).tolist(), k=10)


def _small_tenant() -> tuple[UUID, UUID]:
    tenant_id = make_tenant()
    with working(tenant_id):
        alice, bob = make_member(), make_member()
        group = make_group(groups=[make_group(members=[bob])])
        collection_id = make_collection(grant("owner", member=alice), grant("reader", group=group))
    publish(
        tenant_id=tenant_id,
        by=alice,
        collection_id=collection_id,
        passages=[Passage("harbor", unit(0)), Passage("island", unit(1))],
    )
    return tenant_id, bob
