"""Who may see what: nested groups, removal, suspension, and a plain model to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambit.access.audiences import UnknownPrincipal, audience_for
from ambit.access.clearance import clearance_for, readers_of
from ambit.access.models import Audience, AudiencePrincipal
from ambit.access.services import create_collection, set_collection_grants
from ambit.access.types import RoleName
from ambit.config.settings import EMBEDDED
from tenants import services
from tenants.ids import uuid7
from tenants.models import Group, GroupChild, GroupMember, Member
from tenants.scope import tenant_scope
from tests.database.worlds import (
    grant,
    make_collection,
    make_group,
    make_member,
    make_tenant,
    working,
)


def _sees(member_id: UUID, audience_id: UUID) -> bool:
    return audience_id in clearance_for(member_id=member_id).audience_ids


def _rows_written() -> int:
    """Count the rows that this transaction wrote, audit events apart."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)"
            " FROM pg_stat_xact_user_tables WHERE relname <> 'tenants_auditevent'"
        )
        return int(cursor.fetchone()[0])


def test_a_member_of_a_group_five_levels_down_reads_what_the_top_reads() -> None:
    with working(make_tenant()):
        bob, carol = make_member("bob"), make_member("carol")
        group = make_group(members=[bob])
        for _ in range(5):
            group = make_group(groups=[group])
        audience = audience_for(grants=[grant("reader", group=group)])

        assert _sees(bob, audience)
        assert not _sees(carol, audience)
        assert readers_of(audience_id=audience) == {bob}


def test_a_member_of_the_top_does_not_read_what_an_inner_group_reads() -> None:
    with working(make_tenant()):
        boss = make_member()
        inner = make_group()
        make_group(members=[boss], groups=[inner])
        audience = audience_for(grants=[grant("reader", group=inner)])

        assert not _sees(boss, audience)


def test_two_ways_to_the_top_are_one_and_losing_one_leaves_the_other() -> None:
    with working(make_tenant()):
        bob = make_member("bob")
        bottom = make_group(members=[bob])
        left, right = make_group(groups=[bottom]), make_group(groups=[bottom])
        top = make_group(groups=[left, right])
        audience = audience_for(grants=[grant("reader", group=top)])

        assert clearance_for(member_id=bob).audience_ids == (audience,)
        services.unnest_group(parent_id=left, child_id=bottom)
        assert _sees(bob, audience)
        services.unnest_group(parent_id=right, child_id=bottom)
        assert not _sees(bob, audience)


def test_a_group_cannot_be_put_into_itself_at_any_depth() -> None:
    with working(make_tenant()):
        bottom = make_group()
        middle = make_group(groups=[bottom])
        top = make_group(groups=[middle])

        for parent in (bottom, middle, top):
            with pytest.raises(services.GroupCycle):
                services.nest_group(parent_id=bottom, child_id=parent)


def test_a_cycle_that_exists_all_the_same_is_harmless() -> None:
    with working(make_tenant()):
        bob, carol = make_member("bob"), make_member("carol")
        first = make_group(members=[bob])
        second = make_group(groups=[first])
        GroupChild.objects.create(parent_id=first, child_id=second)
        audience = audience_for(grants=[grant("reader", group=second)])

        assert readers_of(audience_id=audience) == {bob}
        assert not _sees(carol, audience)


def test_removal_from_a_group_is_one_row_and_in_force_with_the_next_statement() -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        bob = make_member("bob")
        group = make_group(members=[bob])
        audiences = {
            audience_for(
                grants=[grant("reader", group=group), grant("owner", member=make_member())]
            )
            for _ in range(20)
        }

    with working(tenant_id):
        assert set(clearance_for(member_id=bob).audience_ids) == audiences
        before = _rows_written()
        services.remove_from_group(group_id=group, member_id=bob)

        assert _rows_written() - before == 1
        assert clearance_for(member_id=bob).audience_ids == ()


def test_a_revocation_by_another_session_is_in_force_with_the_next_statement() -> None:
    tenant_id = make_tenant()
    with working(tenant_id):
        bob = make_member("bob")
        audience = audience_for(grants=[grant("reader", member=bob)])

    with tenant_scope(tenant_id):
        assert _sees(bob, audience)
        _in_another_session(tenant_id, "DELETE FROM access_audienceprincipal")
        assert not _sees(bob, audience)


def _in_another_session(tenant_id: UUID, statement: LiteralString) -> None:
    with psycopg.connect(EMBEDDED.database_url("ambit_app")) as other:
        other.execute("SELECT set_config('ambit.tenant_id', %s, true)", [str(tenant_id)])
        other.execute(statement)


def test_a_suspended_member_sees_nothing_by_any_way_and_is_nobodys_reader() -> None:
    with working(make_tenant()):
        bob = make_member("bob")
        group = make_group(members=[bob])
        audiences = [
            audience_for(grants=[grant("reader", member=bob)]),
            audience_for(grants=[grant("reader", group=group)]),
            audience_for(grants=[grant("reader")]),
        ]
        assert set(clearance_for(member_id=bob).audience_ids) == set(audiences)

        services.set_member_suspended(member_id=bob, suspended=True)
        assert clearance_for(member_id=bob).audience_ids == ()
        assert [readers_of(audience_id=a) for a in audiences] == [set(), set(), set()]

        services.set_member_suspended(member_id=bob, suspended=False)
        assert set(clearance_for(member_id=bob).audience_ids) == set(audiences)


def test_an_unknown_member_sees_nothing_not_even_what_everybody_sees() -> None:
    with working(make_tenant()):
        audience_for(grants=[grant("reader")])

        assert clearance_for(member_id=uuid4()).audience_ids == ()


def test_a_member_of_another_tenant_sees_nothing_not_even_what_everybody_sees() -> None:
    with working(make_tenant()):
        mallory = make_member("mallory")

    with working(make_tenant()):
        audience_for(grants=[grant("reader")])

        assert clearance_for(member_id=mallory).audience_ids == ()


def test_the_whole_tenant_is_every_active_member_of_it() -> None:
    with working(make_tenant()):
        alice, bob, gone = make_member(), make_member(), make_member()
        services.set_member_suspended(member_id=gone, suspended=True)
        audience = audience_for(grants=[grant("reader")])

        assert readers_of(audience_id=audience) == {alice, bob}


def test_no_grants_is_nobody() -> None:
    with working(make_tenant()):
        alice = make_member(role="admin")
        audience = audience_for(grants=[])
        make_collection()

        assert clearance_for(member_id=alice).audience_ids == ()
        assert readers_of(audience_id=audience) == set()


def test_nobody_reads_an_audience_that_does_not_exist() -> None:
    with working(make_tenant()):
        make_member()

        assert readers_of(audience_id=uuid4()) == set()


def test_the_same_readers_share_one_audience_whatever_the_order_and_the_roles() -> None:
    with working(make_tenant()):
        alice, bob = make_member(), make_member()
        first = audience_for(grants=[grant("owner", member=alice), grant("reader", member=bob)])
        again = audience_for(grants=[grant("reader", member=bob), grant("editor", member=alice)])
        other = audience_for(grants=[grant("owner", member=alice)])

        assert first == again != other


def test_other_readers_never_share_an_audience() -> None:
    with working(make_tenant()):
        alice, group, other = make_member(), make_group(), make_group()
        sets = [
            [],
            [grant("reader")],
            [grant("reader", member=alice)],
            [grant("reader", group=group)],
            [grant("reader", group=other)],
            [grant("reader", group=group), grant("reader", group=other)],
            [grant("reader", group=group), grant("reader", member=alice)],
            [grant("reader", group=group), grant("reader")],
        ]

        assert len({audience_for(grants=grants) for grants in sets}) == len(sets)


def test_a_collections_audience_is_its_own_and_edited_in_place() -> None:
    with working(make_tenant()):
        alice, bob = make_member(), make_member()
        interned = audience_for(grants=[grant("reader", member=alice)])
        collection_id = make_collection(grant("reader", member=alice))
        own = next(a for a in clearance_for(member_id=alice).audience_ids if a != interned)

        set_collection_grants(collection_id=collection_id, grants=[grant("reader", member=bob)])

        assert readers_of(audience_id=own) == {bob}
        assert readers_of(audience_id=interned) == {alice}


def test_a_grant_to_somebody_unknown_or_foreign_is_refused_and_nothing_is_written() -> None:
    with working(make_tenant()):
        mallory, mallorys = make_member(), make_group()

    with working(make_tenant()):
        alice = make_member()
        for principal in (
            grant("reader", member=uuid4()),
            grant("reader", group=uuid4()),
            grant("reader", member=mallory),
            grant("reader", group=mallorys),
        ):
            before = _rows_written()
            with pytest.raises(UnknownPrincipal):
                create_collection(name="c", grants=[grant("owner", member=alice), principal])
            with pytest.raises(UnknownPrincipal):
                audience_for(grants=[principal])
            assert _rows_written() == before


@dataclass(frozen=True)
class World:
    """A small tenant, in numbers."""

    n_members: int
    suspended: frozenset[int]
    memberships: frozenset[tuple[int, int]]  # group, member
    nestings: frozenset[tuple[int, int]]  # parent, child; cycles included
    # One set of principals per audience: ("member", n), ("group", n) or ("tenant", 0).
    audiences: tuple[frozenset[tuple[str, int]], ...]

    def readers(self, audience: int) -> set[int]:
        """Return who may read an audience, the slow and obvious way."""
        found: set[int] = set()
        for kind, number in self.audiences[audience]:
            if kind == "tenant":
                found |= set(range(self.n_members))
            elif kind == "member":
                found.add(number)
            else:
                found |= self._inside(number, seen=set())
        return found - self.suspended

    def _inside(self, group: int, *, seen: set[int]) -> set[int]:
        if group in seen:
            return set()
        seen.add(group)
        found = {member for holder, member in self.memberships if holder == group}
        for parent, child in self.nestings:
            if parent == group:
                found |= self._inside(child, seen=seen)
        return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a tenant with up to 5 members, 6 groups and 4 audiences."""
    n_members, n_groups = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    member = st.integers(0, n_members - 1)
    group = st.integers(0, n_groups - 1)
    principal = st.one_of(
        st.tuples(st.just("member"), member),
        st.tuples(st.just("group"), group),
        st.tuples(st.just("tenant"), st.just(0)),
    )
    nesting = st.tuples(group, group).filter(lambda pair: pair[0] != pair[1])
    return World(
        n_members=n_members,
        suspended=draw(st.frozensets(member, max_size=1)),
        memberships=draw(st.frozensets(st.tuples(group, member), max_size=8)),
        nestings=draw(st.frozensets(nesting, max_size=8)),
        audiences=tuple(draw(st.lists(st.frozensets(principal, max_size=3), max_size=4))),
    )


@pytest.fixture(scope="module")
def tenant_id() -> UUID:
    """Return one tenant for all random worlds; each is rolled back."""
    return make_tenant()


@given(world=worlds())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_both_directions_agree_with_a_plain_model_over_random_worlds(
    tenant_id: UUID, world: World
) -> None:
    with working(tenant_id):
        members, audiences = _build(world)
        reads = {m: set(clearance_for(member_id=m).audience_ids) for m in members}
        readers = {a: readers_of(audience_id=a) for a in audiences}
        transaction.set_rollback(True)

    expected = {a: {members[m] for m in world.readers(n)} for n, a in enumerate(audiences)}
    assert readers == expected
    assert reads == {m: {a for a in audiences if m in expected[a]} for m in members}


def _build(world: World) -> tuple[list[UUID], list[UUID]]:
    members = [uuid7() for _ in range(world.n_members)]
    groups = [uuid7() for _ in range(6)]
    audiences = [uuid7() for _ in world.audiences]
    Member.objects.bulk_create(
        Member(id=m, external_id=str(m), email=f"{m}@example.org") for m in members
    )
    for number in world.suspended:
        services.set_member_suspended(member_id=members[number], suspended=True)
    Group.objects.bulk_create(Group(id=g, external_id=str(g), name="g") for g in groups)
    GroupMember.objects.bulk_create(
        GroupMember(group_id=groups[g], member_id=members[m]) for g, m in world.memberships
    )
    GroupChild.objects.bulk_create(
        GroupChild(parent_id=groups[p], child_id=groups[c]) for p, c in world.nestings
    )
    Audience.objects.bulk_create(Audience(id=a) for a in audiences)
    AudiencePrincipal.objects.bulk_create(
        AudiencePrincipal(
            audience_id=audience,
            member_id=members[number] if kind == "member" else None,
            group_id=groups[number] if kind == "group" else None,
        )
        for audience, principals in zip(audiences, world.audiences, strict=True)
        for kind, number in principals
    )
    return members, audiences


@pytest.mark.parametrize("role", ["reader", "editor", "owner"])
def test_every_role_reads(role: RoleName) -> None:
    with working(make_tenant()):
        alice = make_member()

        assert _sees(alice, audience_for(grants=[grant(role, member=alice)]))
