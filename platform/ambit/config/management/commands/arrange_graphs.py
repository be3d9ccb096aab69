"""Give big tenants a vector graph of their own, and take it from those that shrank."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ambit.corpus.graphs import OWNER, AlreadyArranging, arrange_graphs
from tenants.queries import OPERATOR


class Command(BaseCommand):
    help = (
        "Build a vector graph for each tenant of AMBIT_GRAPH_MIN_ROWS chunks or more, up to "
        "AMBIT_GRAPHS_MAX of them, and drop the graphs of tenants below half of that. Uploads and "
        "searches go on meanwhile. `make serve` does it every hour; elsewhere run it from cron."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        missing = {OWNER, OPERATOR} - settings.DATABASES.keys()
        if missing:
            names = " and ".join(f"AMBIT_{m.upper()}_DATABASE_URL" for m in sorted(missing))
            raise CommandError(f"Set {names}: graphs are built as the owner of the tables.")
        try:
            done = arrange_graphs()
        except AlreadyArranging as error:
            raise CommandError("Another process arranges the graphs now.") from error
        self.stdout.write(
            f"{len(done.promoted)} tenants were given a graph, {len(done.demoted)} lost theirs."
        )
        if done.failed:
            self.stderr.write(
                f"{len(done.failed)} could not be built: Postgres' log says why (often memory or disk). "
                "Their searches scan what is visible; the next run tries again."
            )
        if done.left_out:
            self.stdout.write(
                f"{len(done.left_out)} more are big enough; AMBIT_GRAPHS_MAX is {settings.AMBIT_GRAPHS_MAX}. "
                "Their searches scan what is visible, which is exact and slower."
            )
