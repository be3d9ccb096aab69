"""Delete the backups whose time is over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ambit.tombstones.register import Backup, RegisterUnusable, kept_backups, register


class Command(BaseCommand):
    help = (
        "Delete the backups made by `manage.py backup` whose days are over, and say which are kept until when. Run it "
        "once a day: receipts of erasures name no date while one is overdue."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--gone",
            metavar="NAME",
            action="append",
            default=[],
            help="a backup that you deleted yourself, with every copy of it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            kept = kept_backups()
            unknown = set(options["gone"]) - {one.name for one in kept}
            if unknown:
                raise CommandError(f"no such backup: {', '.join(sorted(unknown))}")
            for one in kept:
                if one.name in options["gone"] and (there := self._there(one)):
                    raise CommandError(
                        f"{one.name} is not gone: {there[0]} is there. Delete it first"
                    )
            left = [one for one in kept if not self._is_gone(one, told=one.name in options["gone"])]
        except RegisterUnusable as error:
            raise CommandError(f"the register of backups: {error}") from None
        for one in left:
            whole = (
                ""
                if one.state == "whole"
                else "no whole backup, being made or cut off; its bytes are "
            )
            self.stdout.write(
                f"{one.name}: {whole}kept until {one.expires_at:%Y-%m-%d} in {one.place}"
            )
        overdue = [one.name for one in left if one.expires_at <= timezone.now()]
        if overdue:
            raise CommandError(
                f"not deleted: {', '.join(overdue)}. Is its disk mounted? Where it was moved, delete it there and say"
                " so with --gone"
            )

    def _is_gone(self, backup: Backup, *, told: bool) -> bool:
        if told:
            register(backup.now("gone"))
            return True
        if backup.expires_at > timezone.now():
            return False
        there = self._there(backup)
        for folder in there:
            shutil.rmtree(folder, ignore_errors=True)
        # A folder that was not there proves nothing: its disk may not be mounted.
        if not there or self._there(backup):
            return False
        register(backup.now("gone"))
        self.stdout.write(f"{backup.name}: deleted")
        return True

    def _there(self, backup: Backup) -> list[Path]:
        place = Path(backup.place)
        return [f for f in (place / backup.name, place / f".{backup.name}.partial") if f.exists()]
