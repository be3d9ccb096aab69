"""What a tenant wishes of its answers: its administrators' own to set."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.answers.policies import (
    LANGUAGES,
    NEUTRAL,
    RULES_MAX_CHARS,
    TONES,
    TenantPolicy,
    prompt_policy,
    set_policy,
)
from ambit.answers.prompt import system_text
from ambit.api.bodies import Choice, Input, Text
from ambit.api.permissions import Policy
from ambit.api.shapes import Output
from ambit.api.views import AmbitView

ADMINISTRATORS = Policy("directory", roles=frozenset({"admin"}), needs_member=False)
_LANGUAGE = "A short tag; empty: the question's language."


class PolicyInput(Input):
    """What is wished of answers, all of it. What is not sent is not wished."""

    rules = Text(
        required=False,
        allow_blank=True,
        default="",
        max_length=RULES_MAX_CHARS,
        help_text="Tone, length and wording in your own words. The model is told them below rules that they"
        " cannot change: answer from the passages alone, cite, or say that nothing answers.",
    )
    tone = Choice(list(TONES), required=False, default=NEUTRAL)
    language = Choice(
        list(LANGUAGES), required=False, allow_blank=True, default="", help_text=_LANGUAGE
    )


class PolicyOutput(Output):
    """What is wished of answers, and what the model is told."""

    rules = serializers.CharField()
    tone = serializers.ChoiceField(list(TONES))
    language = serializers.CharField(help_text=_LANGUAGE)
    version = serializers.IntegerField(help_text="How often it was changed; 0: never.")
    updated_at = serializers.DateTimeField(allow_null=True)
    told = serializers.SerializerMethodField(
        help_text="The whole system message of a question that brings no instructions of its own."
    )

    def get_told(self, policy: TenantPolicy) -> str:
        """Return what the model is told before any passage."""
        return system_text(tenant_policy=policy.text)


class PolicyView(AmbitView):
    """The tenant's wishes for its answers."""

    reads = "policy.read"
    policies = {"GET": ADMINISTRATORS, "PUT": ADMINISTRATORS}

    @extend_schema(responses=PolicyOutput)
    def get(self, request: Request) -> Response:
        """Show what is wished of answers, and what the model is told."""
        return Response(PolicyOutput(prompt_policy()).data)

    @extend_schema(request=PolicyInput, responses=PolicyOutput)
    def put(self, request: Request) -> Response:
        """Set what is wished of answers from now on."""
        asked = self.body(PolicyInput)
        return Response(PolicyOutput(set_policy(**asked)).data)
