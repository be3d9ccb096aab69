"""What a tenant wishes of its answers over HTTP: who may set it, what is refused, what the model is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from ambit.answers.policies import LANGUAGES, TONES, PolicyRefused, prompt_policy, set_policy
from ambit.answers.prompt import POLICY, system_text
from tenants.audit import Actor, acting_as
from tenants.models import AuditEvent
from tenants.scope import tenant_scope
from tests.cast import Cast

PATH = "/v1/policy"
NOTHING = {
    "rules": "",
    "tone": "neutral",
    "language": "",
    "version": 0,
    "updated_at": None,
    "told": POLICY,
}
RULES = "Call the ward by its number.\nNever more than two sentences."


def test_where_nothing_is_set_nothing_is_told_beside_our_policy(cast: Cast) -> None:
    shown = cast.adam.get(PATH)

    assert (shown.status_code, shown.json()) == (200, NOTHING)
    with tenant_scope(cast.here.id):
        assert prompt_policy().text == ""


def test_what_is_set_is_shown_and_told(cast: Cast) -> None:
    put = cast.adam.put(PATH, {"rules": RULES, "tone": "formal", "language": "de"})

    assert put.status_code == 200, put.content
    shown = put.json()
    assert (shown["rules"], shown["tone"], shown["language"]) == (RULES, "formal", "de")
    assert (shown["version"], shown["updated_at"] is None) == (1, False)
    assert shown["told"].startswith(f"{POLICY}\n\n")
    assert (
        "> Tone: formal and impersonal.\n> Language: German.\n> Call the ward by its number.\n"
        "> Never more than two sentences." in shown["told"]
    )
    assert cast.adam.get(PATH).json() == shown
    with tenant_scope(cast.here.id):
        told = prompt_policy()
        assert system_text(tenant_policy=told.text) == shown["told"]
        assert (told.updated_by_kind, told.updated_by_id) == ("member", cast.adam.id)
    with tenant_scope(cast.there.id):
        assert prompt_policy().text == ""


def test_what_is_not_sent_is_not_wished(cast: Cast) -> None:
    cast.adam.put(PATH, {"rules": RULES, "tone": "formal", "language": "de"})

    assert cast.adam.put(PATH, {"tone": "plain"}).json()["rules"] == ""
    shown = cast.adam.put(PATH, {}).json()

    assert (shown["told"], shown["version"]) == (POLICY, 3)


def test_the_same_again_changes_nothing(cast: Cast) -> None:
    first = cast.adam.put(PATH, {"rules": RULES}).json()

    again = cast.adam.put(PATH, {"rules": f"  {RULES}  \r\n".replace("\n", "\r\n")}).json()

    assert again == first


def test_a_change_is_audited_with_counts_alone(cast: Cast) -> None:
    cast.adam.put(PATH, {"rules": "Short."})
    cast.here.service.put(PATH, {"rules": "Ward 7 is Ward Seven."})

    events = cast.audrey.get("/v1/audit/events", {"action": "policy.changed"}).json()["results"]

    assert [e["counts"] for e in events] == [
        {"version": 2, "rules_characters_before": 6, "rules_characters": 21},
        {"version": 1, "rules_characters_before": 0, "rules_characters": 6},
    ]
    assert [e["actor"]["kind"] for e in events] == ["service", "member"]
    assert "Ward" not in str(events)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"rules": "x" * 2001}, "rules", "max_length"),
        ({"rules": None}, "rules", "null"),
        ({"rules": 7}, "rules", "invalid"),
        ({"rules": "a\x00b"}, "rules", "null_characters_not_allowed"),
        ({"tone": "rude"}, "tone", "invalid_choice"),
        ({"tone": ""}, "tone", "invalid_choice"),
        ({"language": "xx"}, "language", "invalid_choice"),
        ({"language": "de-AT"}, "language", "invalid_choice"),
        ({"temperature": 1}, "temperature", "unknown_field"),
    ],
)
def test_what_cannot_be_wished_is_refused(
    cast: Cast, body: dict[str, Any], field: str, code: str
) -> None:
    refused = cast.adam.put(PATH, {"rules": "kept", "tone": "formal"} | body)

    assert refused.status_code == 400
    assert [(e["field"], e["code"]) for e in refused.json()["errors"]] == [(field, code)]
    assert cast.adam.get(PATH).json() == NOTHING


def test_only_administrators_see_and_set_it(cast: Cast) -> None:
    for person in (cast.alice, cast.olivia, cast.audrey):
        for answer in (person.get(PATH), person.put(PATH, {"rules": "mine"})):
            assert (answer.status_code, answer.json()["code"]) == (403, "role_missing")
    assert cast.operator.put(PATH, {}).json()["code"] == "operator_has_no_content"
    narrow = cast.here.service.post("/v1/keys", {"name": "n", "scopes": ["answers"]}).json()["key"]
    assert type(cast.here.service)(narrow).put(PATH, {}).json()["code"] == "scope_missing"
    assert cast.adam.get(PATH).json() == NOTHING


def test_a_door_beside_the_api_refuses_the_same(cast: Cast) -> None:
    with acting_as(Actor("member", cast.adam.id)), tenant_scope(cast.here.id):
        for wrong in (
            {"rules": "x" * 2001},
            {"rules": "\x00"},
            {"tone": "rude"},
            {"language": "xx"},
        ):
            wanted = {"rules": "", "tone": "neutral", "language": ""} | wrong
            with pytest.raises(PolicyRefused) as raised:
                set_policy(**wanted)
            assert "xxx" not in str(raised.value)
        assert prompt_policy().version == 0
        assert not AuditEvent.objects.filter(action="policy.changed").exists()


def test_two_at_the_same_moment_are_one_after_the_other(cast: Cast) -> None:
    def put(n: int) -> int:
        try:
            return int(cast.adam.put(PATH, {"rules": f"Rule {n}."}).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(put, range(8))) == {200}

    assert cast.adam.get(PATH).json()["version"] == 8


def test_every_tone_and_language_says_what_the_model_is_told() -> None:
    assert next(iter(TONES)) == "neutral"
    assert [tone for tone, words in TONES.items() if not words] == ["neutral"]
    assert all(len(tag) == 2 and name[0].isupper() for tag, name in LANGUAGES.items())
    assert len(set(LANGUAGES.values())) == len(LANGUAGES)
