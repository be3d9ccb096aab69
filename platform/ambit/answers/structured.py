"""Read what a model wrote to a caller's JSON schema; pure.

A schema comes from a caller and a text from a model that read documents: both are hostile. No
reference leaves the schema, no pattern of a caller is run, and no error repeats a word of the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, NoReturn

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from ambit.answers.plain import inert

MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 20
# Blanks in a row, after which a model that must write JSON will write nothing else.
MAX_BLANKS = 100
# A reference to a reference, doubled thirty times, would be followed a billion times: a tenth of a second.
MAX_STEPS = 20_000
# Of a value, as Python's own reader takes it on any thread's stack.
MAX_DEPTH = 100

# Patterns can be made to run for years; the others name schemas elsewhere or move the root.
_REFUSED = frozenset(
    (
        "pattern",
        "patternProperties",
        # Compares each with each.
        "uniqueItems",
        # Below these schemas are walked again, where no step is counted.
        "unevaluatedItems",
        "unevaluatedProperties",
        # Names who checks what is below it: somebody else, who counts no step.
        "$schema",
        "$dynamicRef",
        "$recursiveRef",
        "$id",
        "id",
        "$anchor",
    )
)
# Below these stand names or values of the caller, not keywords.
_NAMES = frozenset(("properties", "$defs", "definitions", "dependentSchemas"))
_VALUES = frozenset(("enum", "const", "default", "examples", "required", "dependentRequired"))

_Kind = Literal["schema", "names", "value"]
_Check = Callable[[Any, Any, Any, Any], Any]
SchemaFault = Literal[
    "not_an_object", "too_large", "too_deep", "keyword", "reference", "not_a_schema", "endless"
]
_FAULTS: dict[SchemaFault, str] = {
    "not_an_object": "A schema is a JSON object.",
    "too_large": f"A schema has {MAX_SCHEMA_BYTES // 1024} kB at most.",
    "too_deep": f"A schema is nested {MAX_SCHEMA_DEPTH} levels deep at most.",
    "keyword": "This keyword is not supported.",
    "reference": 'A reference must stay in the schema, and begin with "#/".',
    "not_a_schema": "This is not a JSON schema of draft 2020-12.",
    "endless": "A value takes too many steps to check against this schema.",
}


class SchemaRefused(ValueError):
    """The caller's schema cannot be used; why is a sentence, at the place as a JSON pointer."""

    def __init__(self, fault: SchemaFault, at: str = "") -> None:
        self.fault = fault
        self.why = _FAULTS[fault]
        self.at = at or "/"
        super().__init__(f"{self.why} At: {self.at}")


class NotJson(ValueError):
    """What the model wrote is not JSON, or breaks off."""


class EndlessWhitespace(NotJson):
    """The model stopped in the middle and wrote blanks from there on."""


class SchemaNotMet(ValueError):
    """What the model wrote is JSON, but not of the schema; at is the place in the schema."""

    def __init__(self, at: str) -> None:
        self.at = at or "/"
        super().__init__(f"the value does not meet the schema at {self.at}")


def check_schema(schema: object) -> None:
    """Raise SchemaRefused where a caller's schema is too large, too deep, reaches out or is none."""
    if not isinstance(schema, dict):
        raise SchemaRefused("not_an_object")
    if _size(schema) > MAX_SCHEMA_BYTES:
        raise SchemaRefused("too_large")
    # Where a schema stands, and not a value in which anything may stand: a reference leads to these alone.
    places = {f"#{at}" for at, _ in _schemas(schema)}
    for at, keyword, value in _keywords(schema):
        # At the root it is usual, and may say which draft it is: see _validated.
        if keyword in _REFUSED and at != "/$schema":
            raise SchemaRefused("keyword", at)
        if keyword == "$ref" and not (isinstance(value, str) and value in places):
            raise SchemaRefused("reference", at)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise SchemaRefused("not_a_schema", _pointer(error.absolute_path)) from None
    # One that leads to itself without taking a step into the value ends for no value.
    _validated({}, schema)


def parse(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the value that the text holds; the schema is one that check_schema() let pass.

    Raises NotJson, EndlessWhitespace, SchemaNotMet, or SchemaRefused where checking does not end.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        too_deep = _depth(value) > MAX_DEPTH
    except (ValueError, RecursionError):
        if is_stuck(text):
            raise EndlessWhitespace("the text ends in white space") from None
        raise NotJson("the text is not JSON") from None
    if too_deep:
        raise NotJson("the value is nested too deep")
    if (at := _validated(value, schema)) is not None:
        raise SchemaNotMet(at)
    return value


def is_stuck(text: str) -> bool:
    """Say whether a text, perhaps still being written, has come to nothing but blanks."""
    return len(text) - len(text.rstrip()) >= MAX_BLANKS


def strings_inert(value: Any, *, known: str = "", kept: Collection[str] = frozenset()) -> Any:
    """Return the value with every string in it inert, names too; those of kept stay as they are.

    Kept are the caller's own words: constants(schema). Known is what an address may stand in.
    """
    if isinstance(value, str):
        return value if value in kept else inert(value, known=known)
    if isinstance(value, list):
        return [strings_inert(one, known=known, kept=kept) for one in value]
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for name, one in value.items():
            # Two names that become one: the first is kept, as it was written first.
            made.setdefault(
                strings_inert(name, known=known, kept=kept),
                strings_inert(one, known=known, kept=kept),
            )
        return made
    return value


def constants(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the strings that a schema itself prescribes: names of properties, enum and const."""
    found: set[str] = set()
    for _, keyword, value in _keywords(schema):
        if keyword == "properties" and isinstance(value, dict):
            found.update(value)
        elif keyword in ("enum", "required") and isinstance(value, list):
            found.update(one for one in value if isinstance(one, str))
        elif keyword == "const" and isinstance(value, str):
            found.add(value)
    return frozenset(found)


def _keywords(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield each keyword with its place and value; raise SchemaRefused where it goes too deep."""
    for at, node in _schemas(schema):
        for name, value in node.items():
            yield f"{at}/{_escaped(str(name))}", str(name), value


def _schemas(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each schema within a schema with its place; raise SchemaRefused where it goes too deep."""
    # What is not a schema holds schemas by names of the caller's, or plain values.
    todo: list[tuple[str, Any, int, _Kind]] = [("", schema, 1, "schema")]
    while todo:
        at, node, depth, kind = todo.pop()
        if depth > MAX_SCHEMA_DEPTH:
            raise SchemaRefused("too_deep", at)
        if isinstance(node, list):
            todo += [(f"{at}/{n}", one, depth + 1, kind) for n, one in enumerate(node)]
        elif isinstance(node, dict):
            if kind == "schema":
                yield at, node
            for name, value in node.items():
                place = f"{at}/{_escaped(str(name))}"
                todo.append((place, value, depth + 1, _kind_below(kind, str(name))))


def _kind_below(kind: _Kind, name: str) -> _Kind:
    if kind == "names":
        return "schema"
    if kind == "schema" and name in _NAMES:
        return "names"
    return "value" if kind == "value" or name in _VALUES else "schema"


def _validated(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return the place in the schema that the value does not meet, or None where it meets all."""
    steps = 0

    def counted(keyword: _Check) -> _Check:
        def check(validator: Any, rule: Any, instance: Any, within: Any) -> Iterator[Any]:
            nonlocal steps
            steps += 1 + (len(rule) if isinstance(rule, list | dict) else 0)
            if steps > MAX_STEPS:
                raise SchemaRefused("endless")
            yield from keyword(validator, rule, instance, within) or ()

        return check

    checks = {
        name: _refuse_keyword if name in _REFUSED else counted(check)
        for name, check in Draft202012Validator.VALIDATORS.items()
    }
    asked = {name: rule for name, rule in schema.items() if name != "$schema"}
    # A registry of its own: nothing is looked up anywhere.
    checker = extend(Draft202012Validator, checks)(asked, registry=Registry())
    try:
        error = next(checker.iter_errors(value), None)
    except RecursionError:
        raise SchemaRefused("endless") from None
    except Unresolvable:
        raise SchemaRefused("reference") from None
    return None if error is None else _pointer(error.absolute_schema_path)


def _size(schema: object) -> int:
    try:
        return len(json.dumps(schema))
    except RecursionError:
        raise SchemaRefused("too_deep") from None


def _refuse_keyword(_validator: Any, _rule: Any, _instance: Any, _within: Any) -> NoReturn:
    # Found nowhere by then: it is not run, whatever way led to it.
    raise SchemaRefused("keyword")


def _finite(number: str) -> float:
    """Return the number; one too large for a float is no JSON once it is written again."""
    read = float(number)
    if not math.isfinite(read):
        raise ValueError("not finite")
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        one, depth = todo.pop()
        deepest = max(deepest, depth)
        if isinstance(one, dict | list):
            inner = one.values() if isinstance(one, dict) else one
            todo += [(i, depth + 1) for i in inner]
    return deepest


def _pointer(path: Any) -> str:
    return "".join(f"/{_escaped(str(part))}" for part in path)


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
