"""An answer in a caller's JSON schema, beside which the model can always say that it has none; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambit.answers.structured import parse, strings_inert

ANSWER, NOT_ANSWERED = "answer", "not_answered"
# Definitions that references inside a schema name from its root.
_DEFINITIONS = ("$defs", "definitions")


def answerable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of either an answer in the caller's schema, or of none.

    A schema alone would leave the model no way to abstain: it would have to make something up.
    """
    own = {name: value for name, value in schema.items() if name not in _DEFINITIONS}
    return {
        "anyOf": [_only(ANSWER, own), _only(NOT_ANSWERED, {"const": True})],
        **{name: schema[name] for name in _DEFINITIONS if name in schema},
    }


def read_answer(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value of a model's answer, its strings inert; None where it says that it has none.

    Raises what structured.parse raises.
    """
    read = parse(text, answerable(schema))
    return None if NOT_ANSWERED in read else strings_inert(read[ANSWER])


def _only(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema},
        "required": [name],
        "additionalProperties": False,
    }
