"""Say how copying goes, to the web server: for all tenants together, and never about one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ambit.audit.models import Copying


@dataclass(frozen=True, slots=True)
class Place:
    """Where copies go beside the folder, and what is in the way; fault is empty where nothing is."""

    name: str
    fault: str
    failing_since: datetime | None
    n_tries: int


def copy_places() -> list[Place]:
    """Return the places that copies are put to; none where there is but the folder."""
    return [
        Place(row.place, row.fault, row.failing_since, row.n_tries)
        for row in Copying.objects.order_by("place")
    ]
