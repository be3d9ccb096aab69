"""Look again whether a scrub has reached every table; knows nothing of how one is done.

What must be rewritten is taken from the privileges of the scrubber's login, not from our registry, and
ages are counted from the transactions' numbers, which go round.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from ambit.scrub.pages import Mark

_LEFT = """
SELECT count(*) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND has_table_privilege('ambit_scrubber', oid, 'MAINTAIN')
  AND (pg_relation_filenode(oid)::bigint = ANY (%(files)s)
       OR mod(%(xid)s - relfrozenxid::text::bigint + 4294967296 * 2, 4294967296) < 2147483648)
"""


def count_unscrubbed(mark: Mark) -> int:
    """Return how many tables are in a file of before, or may know of a row that was destroyed."""
    with connection.cursor() as cursor:
        values: dict[str, Any] = {
            "files": sorted(mark.files.values()),
            "xid": mark.xid % 2**32,
        }
        cursor.execute(_LEFT, values)
        (n,) = cursor.fetchone()
    return int(n)
