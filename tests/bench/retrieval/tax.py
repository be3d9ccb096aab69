"""What the permissions themselves cost: `python -m tests.bench.retrieval.tax PLACE`, within Ambit.

The statements of a search, caught as they are sent, run as ambit_app under its policies, and as the
superuser over views that say what the policies say, with the asker's tenant and audiences as literals.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import django
import numpy as np
import psycopg

from tests.bench.retrieval.adapters import Place, parse_place
from tests.bench.retrieval.workload import Asker, Bucket, Floats, Workload, pair, read

N_QUERIES, N_WARM = 40, 8
N_CLEARANCES = 200
K = 10
_SETTING = re.compile(r"\(NULLIF\(current_setting\('ambit\.(\w+)'::text, true\), ''::text\)\)")
Statement = tuple[str, Any]


def main() -> None:
    """Print both as JSON."""
    django.setup()
    place = parse_place(sys.argv[1])
    print(json.dumps({"rls": _rls(place), "clearance": _clearance(place)}))


def _clearance(place: Place) -> dict[str, float]:
    """Time the clearance of the member of 700 groups."""
    from ambit.access.clearance import clearance_for
    from tenants.scope import tenant_scope
    from tests.bench.retrieval.load import N_GROUPS_OF_ONE, read_people
    from tests.bench.retrieval.workload import INDEPENDENT

    people = read_people(place)
    spent = []
    for _ in range(N_CLEARANCES):
        with tenant_scope(people.tenants[INDEPENDENT]):
            started = time.perf_counter()
            found = clearance_for(member_id=people.of_many_groups)
            spent.append(1000 * (time.perf_counter() - started))
    cuts = statistics.quantiles(spent, n=20)
    return {
        "groups": N_GROUPS_OF_ONE,
        "audiences": len(found.audience_ids),
        "p50": statistics.median(spent),
        "p95": cuts[18],
    }


def _rls(place: Place) -> list[dict[str, Any]]:
    """Time each bucket's statements both ways, turn about, so that a busy moment meets both."""
    from django.conf import settings

    # A walk along a graph reads the table itself, whatever view stands in front of it.
    settings.AMBIT_EXACT_ROWS = 10**9
    workload = read(place.workload)
    found = []
    with _connect(settings.EMBEDDED.database_url("ambit_app")) as bound:
        for bucket in workload.buckets:
            with ExitStack() as open_connections:
                times = _both(place, workload, bucket, bound, open_connections)
            with_policies, without = (statistics.median(t) for t in times)
            found.append(
                {
                    "bucket": bucket.name,
                    "with": with_policies,
                    "without": without,
                    "ratio": with_policies / without,
                }
            )
    return found


def _connect(url: str) -> psycopg.Connection:
    # As the application: plans are kept, and made as tenants.scope says.
    options = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off"
    return psycopg.connect(url, prepare_threshold=0, options=options)


def _both(
    place: Place,
    workload: Workload,
    bucket: Bucket,
    bound: psycopg.Connection,
    open_connections: ExitStack,
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    free: dict[int, psycopg.Connection] = {}
    for number in range(-N_WARM, min(N_QUERIES, len(workload.queries))):
        asker = pair(bucket, number)
        sent, context = _caught(place, asker, np.asarray(workload.queries[number]))
        if asker.number not in free:
            # One each: its views stay, and what Postgres remembers of them.
            free[asker.number] = open_connections.enter_context(_connect(place.url))
            _make_views(free[asker.number], context)
        both = [(bound, times[0]), (free[asker.number], times[1])]
        for connection, spent in both if number % 2 else reversed(both):
            milliseconds = _replay(connection, sent, context)
            if number >= 0:
                spent.append(milliseconds)
    return times


def _caught(place: Place, asker: Asker, vector: Floats) -> tuple[list[Statement], dict[str, str]]:
    """Search once, and return the statements search() sent and the context they ran in."""
    from ambit.access.clearance import clearance_for
    from ambit.corpus.search import search
    from tenants.scope import tenant_scope
    from tests.bench.retrieval.load import read_people

    people = read_people(place)
    tenant, member = people.tenants[asker.tenant], people.askers[asker.number]
    with tenant_scope(tenant, member_id=member):
        clearance = clearance_for(member_id=member)
        with _sent() as sent:
            search(clearance=clearance, query="", embedding=vector.tolist(), k=K, mode="vector")
    audiences = "{" + ",".join(str(a) for a in clearance.audience_ids) + "}"
    return sent, {"tenant_id": str(tenant), "audience_ids": audiences}


@contextmanager
def _sent() -> Iterator[list[Statement]]:
    from django.db import connection

    sent: list[Statement] = []

    def watch(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(watch):
        yield sent


def _make_views(free: psycopg.Connection, context: dict[str, str]) -> None:
    """Put a view in front of each table with the application's policy, for this connection."""
    policies = free.execute(
        "SELECT tablename, qual FROM pg_policies WHERE policyname = 'app' AND schemaname = 'public'"
    ).fetchall()
    found = False
    for table, policy in policies:
        literal = _SETTING.sub(lambda m: f"'{context.get(m[1], '')}'", policy)
        # A setting that a search leaves unset is NULL there.
        literal = literal.replace("''::uuid", "NULL::uuid")
        found |= context["audience_ids"] in literal
        view = "CREATE TEMP VIEW {0} AS SELECT * FROM public.{0} WHERE {1}"
        free.execute(view.format(table, literal).encode())
    free.commit()
    if not found:
        raise SystemExit("the policies' settings are not where this benchmark looks for them")


def _replay(
    connection: psycopg.Connection, sent: Sequence[Statement], context: dict[str, str]
) -> float:
    """Run the statements in a transaction that leaves nothing; return milliseconds."""
    with connection.cursor() as cursor:
        for name, value in context.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [f"ambit.{name}", value])
        started = time.perf_counter()
        for sql, params in sent:
            cursor.execute(sql.encode(), params)
            if cursor.description:
                cursor.fetchall()
        milliseconds = 1000 * (time.perf_counter() - started)
    connection.rollback()
    return milliseconds


if __name__ == "__main__":
    main()
