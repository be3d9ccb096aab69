from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambit.answers.structured import (
    MAX_BLANKS,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    EndlessWhitespace,
    NotJson,
    SchemaNotMet,
    SchemaRefused,
    check_schema,
    constants,
    is_stuck,
    parse,
    strings_inert,
)
from tests.injection.shapes import ACTIVE, SHAPES

DRAFT = "https://json-schema.org/draft/2020-12/schema"
PERSON: dict[str, Any] = {
    "$schema": DRAFT,
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "days": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["leave", "https://schemas.example/sick"]},
        "boss": {"$ref": "#"},
    },
    "required": ["name", "days"],
    "additionalProperties": False,
}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


def test_what_meets_the_schema_is_returned() -> None:
    check_schema(PERSON)
    text = '{"name": "Bob", "days": 5, "boss": {"name": "Alice", "days": 7}}'

    assert parse(f" \n{text}\n", PERSON) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('{"name": "Bob"}', "/required"),
        ('{"name": 5, "days": 5}', "/properties/name/type"),
        ('{"name": "Bob", "days": -1}', "/properties/days/minimum"),
        ('{"name": "Bob", "days": 5, "SECRET": 1}', "/additionalProperties"),
        ('{"name": "Bob", "days": 5, "kind": "SECRET"}', "/properties/kind/enum"),
        ("[]", "/type"),
    ],
)
def test_what_does_not_meet_it_is_refused_without_a_word_of_it(text: str, at: str) -> None:
    with pytest.raises(SchemaNotMet) as raised:
        parse(text, PERSON)

    assert raised.value.at == at
    assert "SECRET" not in str(raised.value)
    assert "Bob" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Bob", "da',
        "SECRET",
        "",
        '{"days": NaN}',
        "[Infinity]",
        "9" * 5000,
        "[" * 100_000,
        "[" * 200 + "]" * 200,
        '```json\n{"name": "Bob"}\n```',
    ],
)
def test_what_is_not_json_is_said_without_a_word_of_it(text: str) -> None:
    with pytest.raises(NotJson) as raised:
        parse(text, {})

    assert not isinstance(raised.value, EndlessWhitespace)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("begun", ["", '{"name":', '{"name": "Bob",\n'])
def test_endless_blanks_are_told_apart(begun: str) -> None:
    text = begun + "\n \t" * MAX_BLANKS

    assert is_stuck(text)
    with pytest.raises(EndlessWhitespace):
        parse(text, PERSON)


def test_blanks_after_a_whole_value_are_no_fault() -> None:
    assert parse("[1]" + " " * 1000, {}) == [1]
    assert not is_stuck('{"a": 1}\n')
    assert not is_stuck("")


@pytest.mark.parametrize(
    ("schema", "fault", "at"),
    [
        ([], "not_an_object", ""),
        (True, "not_an_object", ""),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "too_large", ""),
        ({"description": "文" * (MAX_SCHEMA_BYTES // 3)}, "too_large", ""),
        (nested(MAX_SCHEMA_DEPTH + 1), "too_deep", "/not" * MAX_SCHEMA_DEPTH),
        ({"enum": [nested(MAX_SCHEMA_DEPTH)]}, "too_deep", None),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "keyword", "/properties/a/pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, "keyword", "/patternProperties"),
        ({"$id": "https://evil.example/"}, "keyword", "/$id"),
        ({"$dynamicRef": "#a"}, "keyword", "/$dynamicRef"),
        ({"$ref": "https://evil.example/schema"}, "reference", "/$ref"),
        ({"items": [{"$ref": "file:///etc/passwd"}]}, "reference", "/items/0/$ref"),
        ({"$ref": "//evil.example/#/x"}, "reference", "/$ref"),
        ({"$ref": 5}, "reference", "/$ref"),
        ({"type": "objekt"}, "not_a_schema", "/type"),
        ({"properties": {"a/b": {"minimum": "low"}}}, "not_a_schema", "/properties/a~1b/minimum"),
        ({"$ref": "#"}, "endless", ""),
        ({"$ref": "#/$defs/missing"}, "reference", "/$ref"),
        # What stands below a value is no schema, whatever it looks like.
        (
            {"$ref": "#/$defs/a/default", "$defs": {"a": {"default": {"pattern": "^(a+)+$"}}}},
            "reference",
            "/$ref",
        ),
        ({"$ref": "#/properties", "properties": {"pattern": {}}}, "reference", "/$ref"),
        ({"type": "array", "uniqueItems": True}, "keyword", "/uniqueItems"),
        ({"unevaluatedProperties": False}, "keyword", "/unevaluatedProperties"),
        ({"items": {"unevaluatedItems": False}}, "keyword", "/items/unevaluatedItems"),
        ({"not": {"$schema": DRAFT}}, "keyword", "/not/$schema"),
        ({"$schema": {"type": "object"}}, "not_a_schema", "/$schema"),
        ({"$schema": {}, "$ref": "#/$schema"}, "not_a_schema", "/$schema"),
        (nested(100_000), "too_deep", None),
    ],
)
def test_a_schema_that_is_refused_says_why_and_where(
    schema: object, fault: str, at: str | None
) -> None:
    with pytest.raises(SchemaRefused) as raised:
        check_schema(schema)

    assert raised.value.fault == fault
    assert at is None or raised.value.at == (at or "/")
    assert str(raised.value).endswith(f"At: {raised.value.at}")


def test_names_and_values_of_the_callers_are_no_keywords() -> None:
    schema = {
        "properties": {"pattern": {"type": "string"}, "$id": {}, "properties": {"type": "null"}},
        "$defs": {"$ref": {"const": {"$ref": "https://x.example"}}},
        "default": {"pattern": "(a+)+$"},
        "enum": [{"$ref": "https://x.example", "pattern": "x"}],
    }
    check_schema(schema)
    check_schema(nested(MAX_SCHEMA_DEPTH))


def test_references_that_double_end_at_once() -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    schema = {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": {**doubling, "d60": {}}}
    growing = {
        "$ref": "#/$defs/n",
        "$defs": {"n": {"properties": {"a": {"allOf": [{"$ref": "#/$defs/n"}] * 2}}}},
    }
    wide: dict[str, Any] = {"items": {"allOf": [{}] * 8000}}
    deep = '{"a":' * 60 + "1" + "}" * 60

    # What names a draft is checked by that draft's own class, unless it is kept from it.
    dialect = {"$schema": DRAFT, **schema}
    round_about = {
        "$schema": DRAFT,
        "properties": {"a": {"allOf": [{"$ref": "#"}] * 2}},
    }

    for hostile, text in (
        (schema, '{"a": 1}'),
        (growing, deep),
        (wide, json.dumps([0] * 2000)),
        (dialect, '{"a": 1}'),
        (round_about, deep),
    ):
        check_schema(hostile)
        before = time.process_time()
        with pytest.raises(SchemaRefused) as raised:
            parse(text, hostile)
        assert raised.value.fault == "endless"
        assert time.process_time() - before < 5


@pytest.mark.parametrize("shape", SHAPES)
def test_no_string_of_a_value_stays_active(shape: str) -> None:
    value = {"note": shape, "all": [shape, {shape: [shape, 5, None, True, 1.5]}]}

    made = strings_inert(value)

    assert not ACTIVE.search("\n".join(strings_of(made)))
    assert made["all"][1][next(iter(made["all"][1]))][1:] == [5, None, True, 1.5]


def strings_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return [s for one in inner for s in strings_of(one)] if isinstance(value, dict | list) else []


def test_the_callers_own_words_and_known_addresses_stay() -> None:
    value = {
        "kind": "https://schemas.example/sick",
        "name": "See https://hr.example/x and https://evil.example",
    }

    made = strings_inert(value, known="at https://hr.example/x", kept=constants(PERSON))

    assert made["kind"] == "https://schemas.example/sick"
    assert made["name"] == "See hr.example/x and (link removed)"
    assert constants(PERSON) == {
        "name",
        "days",
        "kind",
        "boss",
        "leave",
        "https://schemas.example/sick",
    }


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab c"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
)


@given(JSON)
def test_any_value_is_read_as_it_was_written(value: Any) -> None:
    assert parse(json.dumps(value), {}) == value
