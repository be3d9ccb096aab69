"""Candidates: documents that may be about a person, for a privacy officer to confirm or leave."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.api.bodies import Choice, Input, PublicId, Text
from ambit.api.permissions import Policy
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.corpus.identifiers import KINDS, Identifier
from ambit.erasure.candidates import find_candidates

# Nobody else, and no service by itself: it tells what stands in documents that the officer may not read, for a
# person to decide.
OFFICER = Policy("erasures", roles=frozenset({"privacy_officer"}))
MAX_IDENTIFIERS = 50
MAX_CANDIDATES = 1000


class IdentifierShape(Input):
    """Something that identifies a person, or a name, which several may have."""

    type = Choice(KINDS)
    value = Text(max_length=320)


class CandidatesInput(Input):
    """What is known of a person."""

    identifiers = serializers.ListField(
        child=IdentifierShape(), min_length=1, max_length=MAX_IDENTIFIERS
    )


class CandidateOutput(Output):
    """A document that may be about the person; never its text."""

    document = PublicId("document", source="document_id")
    title = serializers.CharField(
        allow_null=True, help_text="null: the officer has no access to the document."
    )
    found_by = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many of the identifiers of each type were found in it.",
    )
    declares_others = serializers.BooleanField(
        help_text="The document declares somebody, and not this person: a namesake, or a document about several."
    )


class CandidatesOutput(Output):
    """The candidates, surest first."""

    candidates = CandidateOutput(many=True)
    n_found = serializers.IntegerField(
        help_text=f"How many there are; at most {MAX_CANDIDATES} are shown."
    )
    n_not_looked_through = serializers.IntegerField(
        help_text="Documents that could not be looked through, or not whole: not read yet, failed, with more than"
        " 10,000 identifiers, or ingested before identifiers were looked for. Somebody has to look into them."
    )


class CandidatesView(AmbitView):
    """Where else a person may be mentioned."""

    policies = {"POST": OFFICER}

    @extend_schema(request=CandidatesInput, responses=CandidatesOutput)
    def post(self, request: Request) -> Response:
        """Find documents that mention a person and do not declare it; nothing is hidden or kept.

        Not every mention is found: a misspelt or inflected name, a nickname, a description. Confirm those that are
        about the person, as `also_documents` of POST /v1/erasures.
        """
        asked = self.body(CandidatesInput)
        member_id = self.caller.member_id if self.caller else None
        found = find_candidates(
            identifiers=[Identifier(one["type"], one["value"]) for one in asked["identifiers"]],
            clearance=clearance_for(member_id=member_id) if member_id else None,
            limit=MAX_CANDIDATES,
        )
        return Response(CandidatesOutput(found).data)
