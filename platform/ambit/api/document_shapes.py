"""What goes in and out about documents."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ambit.api.bodies import (
    Choice,
    FormList,
    Input,
    JsonObject,
    PublicId,
    Text,
    Whole,
    is_file,
)
from ambit.api.filters import EQUAL, FilterFields, WantedInQuery
from ambit.api.principals import MAX_GRANTS, GrantShape
from ambit.api.shapes import Output, PageQuery, page_shape
from ambit.corpus.languages import MAX_TAG, primary_subtag
from ambit.corpus.types import DocumentView, SubjectRef, VersionView
from tenants.ids import NO_ID, parse_id
from tenants.models import Member

MAX_SUBJECTS = 100
MAX_BATCH = 500
STATES = ("received", "parsed", "chunked", "embedded", "ready", "failed", "erased")
SUBJECT_TYPES = ("email", "external_id", "member")


class SubjectShape(Input):
    """A person a document is about."""

    type = Choice(SUBJECT_TYPES)
    value = Text(max_length=320, help_text="For `member`: the member's id.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a member's id of another shape."""
        if attrs["type"] == "member" and parse_id("member", attrs["value"]) is None:
            raise ValidationError({"value": "Send the member's id: mem_…"}, code="invalid")
        return attrs


class Language(Text):
    """A BCP 47 tag, of which the language itself is taken: de of de-AT."""

    def __init__(self, **kwargs: Any) -> None:
        words = "What the text is written in, as a BCP 47 tag: de, pt-BR. Left out or null: it is told from the text."
        super().__init__(
            max_length=MAX_TAG,
            required=False,
            allow_null=True,
            default=None,
            help_text=words,
            **kwargs,
        )

    def to_internal_value(self, data: Any) -> str:
        """Return the language's short tag."""
        found = primary_subtag(super().to_internal_value(data))
        if found is None:
            raise ValidationError("Send a BCP 47 tag, such as de or pt-BR.", code="invalid")
        return found


class DocumentFields(Input):
    """What describes a document, whatever its content comes as."""

    collection = PublicId("collection")
    title = Text(max_length=500, required=False, help_text="Left out: the file's name.")
    external_id = Text(max_length=200, required=False, allow_null=True, default=None)
    language = Language()
    metadata = JsonObject(required=False, default=dict, help_text="An object of at most 16 KiB.")
    subjects = FormList(child=SubjectShape(), required=False, max_length=MAX_SUBJECTS, default=list)
    grants = FormList(
        child=GrantShape(),
        required=False,
        allow_null=True,
        max_length=MAX_GRANTS,
        default=None,
        help_text="Left out or null: the collection's. In a form, lists and objects are JSON text.",
    )


class FileField(serializers.FileField):
    """A form's file, empty ones too: why it cannot be read is said by its state."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the file."""
        if not is_file(data):
            self.fail("invalid")
        return data


class FileInput(DocumentFields):
    """A document as a form with a file."""

    file = FileField()


class TextInput(DocumentFields):
    """A document as text."""

    title = Text(max_length=500)
    text = Text(allow_blank=True, trim_whitespace=False)


class ContentFileInput(Input):
    """New content as a form with a file."""

    file = FileField()
    language = Language()


class ContentTextInput(Input):
    """New content as text."""

    text = Text(allow_blank=True, trim_whitespace=False)
    language = Language()


class BatchInput(Input):
    """Several text documents; each is taken or refused by itself."""

    documents = serializers.ListField(
        child=serializers.JSONField(), min_length=1, max_length=MAX_BATCH
    )


class AsQuery(Input):
    """As whom to look: a field whose name is a word of Python's, so it is added by hand."""

    roles = ("member", "custodian")

    def get_fields(self) -> dict[str, Any]:
        """Add the field `as`."""
        ways = Choice(self.roles, required=False, default=self.roles[0])
        return {**super().get_fields(), "as": ways}


class DocumentsQuery(AsQuery, PageQuery, FilterFields):
    """Which documents."""

    collection = PublicId("collection", required=False)
    metadata = WantedInQuery(
        required=False, allow_null=True, default=None, help_text=f"A JSON object. {EQUAL}"
    )
    state = Choice(STATES, required=False, help_text="For administrators, with as=custodian.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a filter that would be ignored."""
        if "state" in attrs and attrs["as"] != "custodian":
            raise ValidationError({"state": "Send as=custodian with it."}, code="invalid")
        return super().validate(attrs)


class DocumentQuery(AsQuery):
    """As whom."""


class ContentQuery(AsQuery):
    """What of the content."""

    roles = ("original", "text")
    version = Whole(
        required=False, min_value=1, help_text="The version expected; else the current."
    )


class VersionOutput(Output):
    """One content of a document and how far its ingest has come."""

    id = PublicId("version")
    number = serializers.IntegerField()
    state = serializers.ChoiceField(STATES)
    received_at = serializers.DateTimeField()
    parsed_at = serializers.DateTimeField(allow_null=True)
    chunked_at = serializers.DateTimeField(allow_null=True)
    embedded_at = serializers.DateTimeField(allow_null=True)
    ready_at = serializers.DateTimeField(allow_null=True)
    failed_at = serializers.DateTimeField(allow_null=True)


class VersionsOutput(Output):
    """The version that search finds, and the newest."""

    current = VersionOutput(allow_null=True)
    latest = VersionOutput()


class ReasonOutput(Output):
    """Why a document failed."""

    code = serializers.CharField()
    detail = serializers.CharField()


class DocumentOutput(Output):
    """A document; state, reason and counts are its newest version's."""

    id = PublicId("document")
    collection = PublicId("collection", source="collection_id")
    title = serializers.CharField()
    file_name = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)
    metadata = JsonObject()
    state = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    progress = serializers.FloatField(source="latest.progress", help_text="0 to 1.")
    attempts = serializers.IntegerField(source="latest.attempts")
    version = serializers.IntegerField(source="latest.number")
    versions = VersionsOutput(source="*")
    n_pages = serializers.IntegerField(source="latest.n_pages", allow_null=True)
    n_chunks = serializers.IntegerField(source="latest.n_chunks", allow_null=True)
    n_bytes = serializers.IntegerField(source="latest.n_bytes")
    media_type = serializers.CharField(source="latest.media_type")
    language = serializers.SerializerMethodField(
        help_text="Short tag of the language by which its words are found; null until known."
    )
    own_grants = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    deleted_at = serializers.SerializerMethodField(help_text="For administrators only ever set.")
    restricted_at = serializers.DateTimeField(
        source="withheld_at",
        allow_null=True,
        help_text="When a hold or a restriction hid it; for administrators only ever set.",
    )

    @extend_schema_field(serializers.ChoiceField(STATES))
    def get_state(self, document: DocumentView) -> str:
        """Return where the newest version stands."""
        return "erased" if document.erased_at else document.latest.state

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_deleted_at(self, document: DocumentView) -> str | None:
        """Return when it was hidden for good."""
        if document.hidden_at is None or document.withheld_at is not None:
            return None
        return serializers.DateTimeField().to_representation(document.hidden_at)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_language(self, document: DocumentView) -> str | None:
        """Return what it is written in, where that is known."""
        return document.latest.language or None

    @extend_schema_field(ReasonOutput(allow_null=True))
    def get_reason(self, document: DocumentView) -> dict[str, str] | None:
        """Return why it failed, where it did."""
        latest: VersionView = document.latest
        if latest.state != "failed":
            return None
        return {"code": latest.reason_code, "detail": latest.reason}


DocumentPage = page_shape("DocumentPage", DocumentOutput(many=True))


class BatchOutcome(Output):
    """What became of one document of a batch."""

    index = serializers.IntegerField()
    status = serializers.IntegerField()
    id = serializers.CharField(allow_null=True)
    problem = serializers.DictField(allow_null=True)


class BatchOutput(Output):
    """One outcome for each document, in order."""

    results = BatchOutcome(many=True)


def read_subjects(given: list[dict[str, str]]) -> tuple[SubjectRef, ...]:
    """Return data subjects; raise ValidationError for members this tenant does not have."""
    subjects = []
    for place, subject in enumerate(given):
        kind, value = subject["type"], subject["value"]
        if kind == "member":
            member_id = parse_id("member", value) or NO_ID
            if not Member.objects.filter(pk=member_id).exists():
                words = "This tenant has no such member."
                raise ValidationError(
                    {"subjects": {str(place): {"value": words}}}, code="unknown_member"
                )
            value = str(member_id)
        subjects.append(SubjectRef(kind, value))  # type: ignore[arg-type]  # a Choice of its types
    return tuple(subjects)
