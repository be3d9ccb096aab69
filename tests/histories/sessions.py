"""An asker beside the history: a transaction on a connection of its own, open while others change things."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import copy_context
from typing import TypeVar

from django.db import connections

from ambit.access.clearance import clearance_for
from ambit.corpus.types import Clearance
from tests.histories.doors import found_with, see_with
from tests.histories.model import READER, World
from tests.histories.town import Town

T = TypeVar("T")


class Session:
    """A member's open transaction, with the clearance that it got when it began."""

    def __init__(self, town: Town, member: str) -> None:
        self.town, self.member = town, member
        self._context, self._open = copy_context(), ExitStack()
        self._connection = connections["default"].copy()
        self._then = town.snapshot()
        self._clearance = self._apart(self._begin)
        town.script.append(f"{member} opens a transaction")

    def ask_again(self) -> None:
        """Compare what the open transaction's next statements show with the model as it is now."""
        self._apart(self._ask)

    def close(self) -> None:
        """End the transaction."""
        self._apart(self._open.close)
        self._connection.close()

    def _begin(self) -> Clearance:
        self._open.enter_context(self.town.in_tenant(self.town.world.tenants[self.member]))
        clearance = clearance_for(member_id=self.town.uuid(self.member))
        see_with(self.town, self.member, clearance)
        return clearance

    def _ask(self) -> None:
        see_with(self.town, self.member, clearance_for(member_id=self.town.uuid(self.member)))
        who = f"{self.member} by an old clearance"
        self.town.refuse_more(found_with(self._clearance), self._still_reached(), who)

    def _still_reached(self) -> set[tuple[str, int]]:
        """Return what a clearance of then may find of the documents as they are now.

        It holds the groups and collections' readers of then; documents are looked up as they are.
        """
        now, mixed = self.town.world, World(**vars(self._then))
        mixed.collections = now.collections | self._then.collections
        mixed.documents = now.documents
        found = {d for d in now.documents if mixed.role_on(self.member, d) >= READER}
        return {(d, v) for d in found if (v := now.documents[d].found)}

    def _apart(self, do: Callable[[], T]) -> T:
        """Do something on the session's own connection and in its own context."""
        before = connections["default"]
        connections["default"] = self._connection
        try:
            return self._context.run(do)
        finally:
            connections["default"] = before
