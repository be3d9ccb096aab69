"""Read what callers send, refusing what was not asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from ambit.api.uploads import MAX_QUESTION_BYTES, MIB, BodyTooLarge, QuestionTooLarge
from tenants.ids import NO_ID, parse_id, public_id

MAX_JSON_BYTES = 32 * MIB
MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 16
# Deeper than anything asked for here, and far from where reading it recursively would fail.
MAX_JSON_DEPTH = 64
# Of 1 MiB of nothing but brackets, json.loads holds up every other thread for .13 s; of so many for .01.
MAX_BRACKETS = 50_000
# So many fields that nobody knows are named, and no more: each is told all that are known.
MAX_UNKNOWN = 20
_NAME = re.compile(r"[\w.:@-]{1,64}")


class MalformedBody(ValueError):
    """A body cannot be read as what it says it is."""


class StrictJsonParser(BaseParser):
    """Reads a JSON object in UTF-8; raises MalformedBody, BodyTooLarge."""

    media_type = "application/json"
    max_bytes = MAX_JSON_BYTES
    too_large: type[BodyTooLarge] = BodyTooLarge

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the object."""
        raw = stream.read(self.max_bytes + 1)
        if len(raw) > self.max_bytes:
            raise self.too_large(self.max_bytes)
        self.check(raw)
        found = _json(raw)
        if not isinstance(found, dict):
            raise MalformedBody("not an object")
        return found

    def check(self, raw: bytes) -> None:
        """Refuse by what can be told unread; anything is taken here."""


class QuestionParser(StrictJsonParser):
    """Reads a question's; raises MalformedBody, QuestionTooLarge, ValidationError for too many brackets."""

    max_bytes = MAX_QUESTION_BYTES
    too_large = QuestionTooLarge

    def check(self, raw: bytes) -> None:
        """Refuse what would take long to read; brackets in texts count too, since nothing is read yet."""
        if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
            words = f"Send at most {MAX_BRACKETS} opening brackets, [ and {{, with a question."
            raise ValidationError(words, code="max_length")


class Form(dict[str, Any]):
    """A form's fields and files, in the shape that DRF puts the two together in."""

    def copy(self) -> Form:
        """Return the same fields."""
        return Form(self)

    def update(self, files: Mapping[str, Any]) -> None:  # type: ignore[override]  # all DRF calls it with
        """Add files, one under each name."""
        for name, file in files.items():
            self[name] = file


class StrictFormParser(MultiPartParser):
    """Reads a multipart form into an object whose file is an UploadedFile; raises MalformedBody.

    Fields that are lists or objects elsewhere come as JSON in a form.
    """

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the object; a field given twice is refused, never guessed."""
        try:
            parsed = super().parse(stream, media_type=media_type, parser_context=parser_context)
        except (UnicodeError, LookupError) as error:
            raise MalformedBody("unknown character set") from error
        if not isinstance(parsed, DataAndFiles):
            raise MalformedBody("no form")
        form = Form()
        for part in (parsed.data, parsed.files):
            for name, values in part.lists():
                if len(values) > 1 or name in form:
                    raise MalformedBody("repeated field")
                form[name] = values[0]
        # The files once more in Django's own shape, by which it closes them after the request.
        return DataAndFiles(form, parsed.files)


class RawParser(BaseParser):
    """Hands any other body on as the stream it is."""

    media_type = "*/*"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the stream, unread."""
        return stream


class AlwaysJson(BaseContentNegotiation):
    """Answers JSON whatever the Accept header says: a refusal nobody can read helps nobody."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the parser of the body's media type; None makes it 415."""
        given = (request.content_type or "").partition(";")[0].strip().lower()
        for parser in parsers:
            if parser.media_type in {given, "*/*"}:
                return parser
        return None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer."""
        return renderers[0], renderers[0].media_type


class Input(serializers.Serializer[Any]):
    """A body or query whose every field is known; others are refused as unknown_field."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown fields, then read the known ones."""
        if isinstance(data, Mapping):
            unknown = [str(name) for name in data if name not in self.fields]
            if unknown:
                words = f"There is no such field here. Known are: {', '.join(self.fields)}."
                raise ValidationError(
                    {
                        _shown(n): [ErrorDetail(words, code="unknown_field")]
                        for n in unknown[:MAX_UNKNOWN]
                    }
                )
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text as text: a number or a boolean is not taken for one."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of some words; the refusal names them and does not repeat what was sent."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        words = f"Choose one of: {', '.join(choices)}."
        super().__init__(choices, error_messages={"invalid_choice": words}, **kwargs)


class Whole(serializers.IntegerField):
    """A whole number; in JSON a boolean or a text is not one."""

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, bool | float) or (isinstance(data, str) and not data.isdecimal()):
            self.fail("invalid")
        return super().to_internal_value(data)


class PublicId(serializers.Field[Any, Any, Any, Any]):
    """An identifier such as doc_0199…; another kind's or shape's is refused as unknown would be."""

    def __init__(self, kind: str, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return the identifier, or one that nothing has when it is of another shape."""
        return read_id(self.kind, data)

    def to_representation(self, value: Any) -> str:
        """Return the identifier as people and programs outside see it."""
        return public_id(self.kind, value)


class JsonObject(serializers.Field[Any, Any, Any, Any]):
    """A small JSON object; in a form, as text."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the object; raise ValidationError."""
        if isinstance(data, str):
            data = from_form(data)
        if not isinstance(data, dict):
            raise ValidationError("Send a JSON object.", code="invalid")
        _check_json(data, MAX_METADATA_DEPTH)
        if len(json.dumps(data, ensure_ascii=False).encode()) > MAX_METADATA_BYTES:
            raise ValidationError("Send at most 16 KiB of JSON.", code="max_length")
        return data

    def to_representation(self, value: Any) -> Any:
        """Return it as it is."""
        return value


class ShortList(serializers.ListField):
    """A list whose length is looked at before what is in it."""

    def run_child_validation(self, data: Any) -> Any:
        """Return the items read; raise ValidationError."""
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().run_child_validation(data)


class FormList(ShortList):
    """A list; in a form, as JSON text."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the list; raise ValidationError."""
        return super().to_internal_value(from_form(data) if isinstance(data, str) else data)


def read_id(kind: str, text: Any) -> Any:
    """Return the identifier behind a public one; one that nothing has where it is not of this kind.

    So that what is malformed, what is hidden and what does not exist all answer the same.
    """
    found = parse_id(kind, text) if isinstance(text, str) else None
    return found if found is not None else NO_ID


def from_form(text: str) -> Any:
    """Return what a form field holds as JSON; raise ValidationError."""
    try:
        return _json(text.encode())
    except (MalformedBody, UnicodeError) as error:
        raise ValidationError("Send this field as JSON text.", code="invalid") from error


def checked(shape: type[Input], data: Any) -> dict[str, Any]:
    """Return the values of a body or query; raise ValidationError with every fault."""
    if isinstance(data, QueryDict):
        twice = [name for name, values in data.lists() if len(values) > 1]
        if twice:
            words = [ErrorDetail("Send this once.", code="repeated")]
            raise ValidationError({_shown(name): words for name in twice})
        data = data.dict()
    read = shape(data=data)
    read.is_valid(raise_exception=True)
    values: dict[str, Any] = read.validated_data
    return values


def is_file(value: Any) -> bool:
    """Say whether a form's field is a file."""
    return isinstance(value, UploadedFile)


def _json(raw: bytes) -> Any:
    try:
        found = json.loads(
            raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise MalformedBody("not JSON in UTF-8") from error
    if _nests_deeper(found, MAX_JSON_DEPTH):
        raise MalformedBody("nested too deeply")
    return found


def _nests_deeper(value: Any, depth: int) -> bool:
    """Say whether a value nests deeper, level by level: recursion is what must not run out."""
    level = [value]
    for _ in range(depth):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def _finite(number: str) -> float:
    """Return the number; one too large for a float is none."""
    read = float(number)
    if not math.isfinite(read):
        raise ValueError("not finite")
    return read


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_json(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValidationError("Nest at most 16 levels deep.", code="max_depth")
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValidationError("Send numbers that are finite.", code="invalid")
    elif isinstance(value, dict):
        for name, item in value.items():
            check_text(name)
            _check_json(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth - 1)


def check_text(text: str) -> None:
    """Raise ValidationError for what no text holds."""
    try:
        # Half a pair has no UTF-8; this is some 100 times quicker than looking at each character.
        text.encode()
        fits = "\x00" not in text
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise ValidationError(
            "Send text without null characters and half surrogate pairs.", code="invalid"
        )


def _shown(name: str) -> str:
    return name if _NAME.fullmatch(name) else "(a name that cannot be shown)"
