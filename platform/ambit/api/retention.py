"""For how long a tenant keeps what: the officers' own to set, and what of it is past its time."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.api.bodies import Input, PublicId, Whole
from ambit.api.erasures import OFFICERS
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.erasure.retention import (
    MAX_DAYS,
    DataClass,
    Kept,
    Retention,
    get_retention,
    set_retention,
)

DAYS = f"1 to {MAX_DAYS}; null, or not sent: kept until erased."
UNTIL_ERASED = "kept until erased"


class RetentionInput(Input):
    """For how many days each class is kept. What is not sent is kept until it is erased."""

    documents = Whole(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        help_text=f"Counted from a document's newest version. {DAYS}",
    )
    answers = Whole(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        help_text=f"Saved questions and answers, counted from when they were asked for. {DAYS}",
    )


class KeptOutput(Output):
    """For how long one class is kept."""

    days = serializers.IntegerField(allow_null=True, help_text="In force; null: kept until erased.")
    words = serializers.SerializerMethodField(help_text="The same in words.")
    next_days = serializers.IntegerField(
        allow_null=True, help_text="A change that is not in force yet; null: there is none."
    )
    effective_at = serializers.DateTimeField(
        allow_null=True, help_text="From when it counts. Until then it can be taken back."
    )
    n_due = serializers.IntegerField(
        allow_null=True,
        help_text="How many are past their time and would go in the next rounds; null: nothing goes by age.",
    )
    n_due_next = serializers.IntegerField(
        allow_null=True, help_text="How many would be by `next_days`; null: no change is to come."
    )
    looked_at = serializers.DateTimeField(
        allow_null=True, help_text="When a round last looked, or the first time was set."
    )
    paused_until = serializers.DateTimeField(
        allow_null=True,
        help_text="Until when nothing goes by age, because the clock was not to be trusted; null: it was.",
    )
    last_erasure = PublicId(
        "erasure", source="last_case_id", allow_null=True, help_text="The case of the last round."
    )

    def get_words(self, kept: Kept) -> str:
        """Return the days in force in words."""
        if kept.days is None:
            return UNTIL_ERASED
        return f"kept for {kept.days} day{'' if kept.days == 1 else 's'}"


class RetentionOutput(Output):
    """For how long the tenant keeps what."""

    documents = KeptOutput()
    answers = KeptOutput()
    next_round_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When the next round looks. After all was turned off one more does; null: none will.",
    )


class RetentionView(AmbitView):
    """The tenant's retention."""

    reads = "retention.read"
    policies = {"GET": OFFICERS, "PUT": OFFICERS}

    @extend_schema(responses=RetentionOutput)
    def get(self, request: Request) -> Response:
        """Show for how long each class is kept, and how much is past its time now."""
        return Response(_shown(get_retention()))

    @extend_schema(request=RetentionInput, responses=RetentionOutput)
    def put(self, request: Request) -> Response:
        """Set for how long each class is kept; what is not sent is kept until it is erased.

        What would destroy sooner than before counts 24 hours later (`effective_at`); what keeps longer at once.
        """
        asked = self.body(RetentionInput)
        days: dict[DataClass, int | None] = {
            "documents": asked.get("documents"),
            "answers": asked.get("answers"),
        }
        return Response(_shown(set_retention(days=days)))


def _shown(found: Retention) -> object:
    return RetentionOutput({**found.classes, "next_round_at": found.next_round_at}).data
