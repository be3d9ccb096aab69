"""Read routes: the collections one question goes to, each with a budget of passages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.exceptions import ErrorDetail, ValidationError

from ambit.answers.retrieve import MAX_ROUTES
from ambit.answers.types import Route
from ambit.api.bodies import Input, PublicId, ShortList, Whole
from ambit.api.search import QuestionInput, within
from ambit.corpus.search import MAX_K
from ambit.corpus.types import Clearance
from tenants.ids import NO_ID

ROUTES = (
    f"Up to {MAX_ROUTES} collections, each with the most passages it may give; {MAX_K} in all. In place of"
    " `collections` and `k`. Left out or null: one search by those. Empty: none, nothing is found."
)


class RouteInput(Input):
    """A collection to look in."""

    collection = PublicId("collection")
    k = Whole(min_value=1, max_value=MAX_K, help_text="At most so many passages of it.")


class RoutedQuestionInput(QuestionInput):
    """How much to look for, and where: everywhere, in some collections, or along routes."""

    routes = ShortList(
        child=RouteInput(),
        required=False,
        allow_null=True,
        max_length=MAX_ROUTES,
        default=None,
        help_text=ROUTES,
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse routes beside what they take the place of, twice to one collection, or too many passages."""
        attrs = super().validate(attrs)
        routes = attrs["routes"]
        if routes is None:
            return attrs
        for name in ("collections", "k"):
            if self.initial_data.get(name) is not None:
                raise _refused(name, "not_with_routes", "Leave this out, or `routes`.")
        seen: set[UUID] = set()
        for place, route in enumerate(routes):
            if route["collection"] in seen:
                words = "Name each collection once."
                raise _refused(f"routes.{place}.collection", "duplicate_route", words)
            # What is no id at all is unknown, however often it comes.
            seen |= {route["collection"]} - {NO_ID}
        if sum(route["k"] for route in routes) > MAX_K:
            raise _refused("routes", "too_many_passages", f"Let `k` add up to at most {MAX_K}.")
        return attrs


def read_routes(asked: dict[str, Any], *, clearance: Clearance) -> tuple[Route, ...] | None:
    """Return the routes asked for, None where none were.

    Raises CollectionNotFound for one the member cannot see, as `collections` does.
    """
    if asked["routes"] is None:
        return None
    routes = tuple(Route(route["collection"], route["k"]) for route in asked["routes"])
    within([route.collection_id for route in routes], clearance=clearance)
    return routes


def _refused(field: str, code: str, words: str) -> ValidationError:
    return ValidationError({field: [ErrorDetail(words, code=code)]})
