"""An answer in a caller's JSON schema, beside which the model can always say that it has none; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ambit.answers.structured import constants, parse, strings_inert
from ambit.corpus.types import Passage

ANSWER, NOT_ANSWERED = "answer", "not_answered"
# Definitions that references inside a schema name from its root.
_DEFINITIONS = ("$defs", "definitions")
# Where the caller's schema stands in ours.
_PLACE = f"#/anyOf/0/properties/{ANSWER}"


def answerable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of either an answer in the caller's schema, or of none.

    A schema alone would leave the model no way to abstain: it would have to make something up.
    """
    own = {name: value for name, value in schema.items() if name not in _DEFINITIONS}
    definitions = {name: _moved(schema[name]) for name in _DEFINITIONS if name in schema}
    either = [_only(ANSWER, _moved(own)), _only(NOT_ANSWERED, {"const": True})]
    return {"anyOf": either, **definitions}


def read_answer(text: str, schema: Mapping[str, Any], *, passages: Sequence[Passage]) -> Any:
    """Return the value of a model's answer, its strings inert; None where it says that it has none.

    Raises what structured.parse raises.
    """
    read = parse(text, answerable(schema))
    if NOT_ANSWERED in read:
        return None
    known = "\n".join(passage.text for passage in passages)
    return strings_inert(read[ANSWER], known=known, kept=constants(schema))


def _only(name: str, schema: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema},
        "required": [name],
        "additionalProperties": False,
    }


def _moved(schema: Any) -> Any:
    """Return a part of the caller's schema whose references follow it to where it stands in ours."""
    if isinstance(schema, list):
        return [_moved(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _reference(value) if name == "$ref" and isinstance(value, str) else _moved(value)
        for name, value in schema.items()
    }


def _reference(target: str) -> str:
    if target.startswith(tuple(f"#/{name}/" for name in _DEFINITIONS)):
        return target
    return _PLACE + target.removeprefix("#")
