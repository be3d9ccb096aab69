"""Conversations: questions asked one after another, of which only what may be seen now is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.answers import conversations
from ambit.answers.types import SavedExchange
from ambit.api.answers import ASKS, AnswerOutput
from ambit.api.bodies import PublicId
from ambit.api.pagination import page_of
from ambit.api.shapes import Output, PageQuery, page_shape, paged
from ambit.api.views import AmbitView, located
from tenants.ids import public_id


class ConversationOutput(Output):
    """A conversation, in a list."""

    id = PublicId("conversation")
    created_at = serializers.DateTimeField()
    n_turns = serializers.IntegerField(help_text="Those that are out of your reach are counted.")


class TurnOutput(AnswerOutput):
    """A question and the answer that was given."""

    question = serializers.CharField(
        help_text="Empty: it was not kept, since it followed on turns that went out of reach while it was answered."
    )
    asked_at = serializers.DateTimeField()

    def to_representation(self, instance: SavedExchange) -> dict[str, Any]:
        """Return the answer as everywhere, and what was asked when."""
        given = AnswerOutput(instance.answer, context={"id": instance.id}).data
        asked_at = self.fields["asked_at"].to_representation(instance.asked_at)
        return {**given, "question": instance.question, "asked_at": asked_at}


class ConversationWithTurnsOutput(Output):
    """A conversation with its latest 200 turns, oldest first."""

    id = PublicId("conversation")
    created_at = serializers.DateTimeField()
    turns = TurnOutput(many=True)
    withheld = serializers.IntegerField(
        source="n_withheld",
        help_text="How many turns are left out because something they were made from is out of your reach now.",
    )


ConversationPage = page_shape("ConversationPage", ConversationOutput(many=True))


class ConversationsView(AmbitView):
    """The member's conversations."""

    reads = "conversation.listed"
    policies = {"GET": ASKS, "POST": ASKS}
    makes = "conversation"

    @extend_schema(parameters=[PageQuery], responses=ConversationPage)
    def get(self, request: Request) -> Response:
        """List the member's own conversations."""
        asked = self.query(PageQuery)
        member_id = self.acting_member()
        page = page_of(
            lambda after, limit: conversations.list_conversations(
                member_id=member_id, after=after, limit=limit
            ),
            cursor=asked.get("cursor"),
            limit=asked["limit"],
            id_of=lambda one: one.id,
        )
        return Response(paged(page, ConversationOutput))

    @extend_schema(request=None, responses={201: ConversationWithTurnsOutput})
    def post(self, request: Request) -> Response:
        """Begin a conversation; name it in `conversation` of the questions that belong to it."""
        return self.created([conversations.start_conversation(member_id=self.acting_member())])

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the conversation made."""
        body = _rendered(object_ids[0], member_id=self.acting_member())
        path = f"/v1/conversations/{public_id('conversation', object_ids[0])}"
        return located(body, path, status=status)


class ConversationView(AmbitView):
    """One conversation, its member's."""

    policies = {"GET": ASKS, "DELETE": ASKS}

    @extend_schema(responses=ConversationWithTurnsOutput)
    def get(self, request: Request, id: str) -> Response:
        """Show what was asked and answered, as far as all of it may be seen now."""
        conversation_id = self.id_in_path("conversation")
        return Response(_rendered(conversation_id, member_id=self.acting_member()))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, id: str) -> Response:
        """Delete a conversation: nobody reads it from now on, and its questions and answers are destroyed."""
        conversations.delete_conversation(
            conversation_id=self.id_in_path("conversation"), member_id=self.acting_member()
        )
        return Response(status=204)


def _rendered(conversation_id: UUID, *, member_id: UUID) -> Any:
    clearance = clearance_for(member_id=member_id)
    found = conversations.get_conversation(conversation_id=conversation_id, clearance=clearance)
    return ConversationWithTurnsOutput(found).data
