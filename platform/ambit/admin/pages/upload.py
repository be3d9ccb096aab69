"""Upload a document as the signed-in member: its own grants decide where."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.access.clearance import clearance_for
from ambit.access.documents import NotAllowed, upload_document
from ambit.access.queries import (
    CollectionNotFound,
    list_collections,
    list_collections_as_custodian,
    role_on_collection,
)
from ambit.access.types import ROLE_ORDER, CollectionView
from ambit.admin.forms import PlainForm
from ambit.admin.page import here, page, show, to
from ambit.corpus.services import ExternalIdTaken
from ambit.corpus.types import SubjectRef, Upload
from tenants.ids import parse_id, public_id

ROLES: Final = ("admin",)


class UploadForm(PlainForm):
    """Asks for a document."""

    file = forms.FileField(
        label="File",
        allow_empty_file=True,
        help_text="PDF, Word, PowerPoint, Excel, HTML, Markdown, text, CSV or e-mail (EML).",
    )
    title = forms.CharField(
        label="Title", max_length=300, required=False, help_text="Empty: the file’s name."
    )
    collection = forms.ChoiceField(label="Collection", choices=[])
    subjects = forms.CharField(
        label="People it is about",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One a line: an e-mail address or an external id. An erasure of that person will find this document.",
    )

    def __init__(self, *args: object, collections: list[CollectionView], **kwargs: object) -> None:
        """Offer the collections that the member may add to."""
        super().__init__(*args, **kwargs)
        self.fields["collection"].choices = [  # type: ignore[attr-defined]
            (public_id("collection", c.id), c.name) for c in collections
        ]

    def clean_file(self) -> object:
        """Refuse what is larger than the installation takes."""
        file = self.cleaned_data["file"]
        if file.size > settings.AMBIT_MAX_UPLOAD_MB * 1024 * 1024:
            raise forms.ValidationError(
                f"The file is larger than {settings.AMBIT_MAX_UPLOAD_MB} MB."
            )
        return file

    def clean_subjects(self) -> tuple[SubjectRef, ...]:
        """Read one data subject a line."""
        lines = [line.strip() for line in self.cleaned_data["subjects"].splitlines()]
        return tuple(SubjectRef("email" if "@" in s else "external_id", s) for s in lines if s)


@page("documents/upload/", name="upload", roles=ROLES, methods=("GET", "POST"))
def upload(request: HttpRequest) -> HttpResponseBase:
    """Upload a document into a collection that the signed-in member may edit."""
    member_id = here(request).member_id
    assert member_id is not None  # noqa: S101 - the page is a tenant's administrator's
    editable = _editable(member_id)
    if not editable:
        return show(
            request, "upload_nowhere.html", title="Upload a document", trail=_trail(),
            collections=list_collections_as_custodian(),
        )  # fmt: skip
    bound = request.method == "POST"
    form = UploadForm(
        request.POST if bound else None,
        request.FILES if bound else None,
        collections=editable,
        initial={"collection": request.GET.get("collection", "")},
    )
    if form.is_valid():
        try:
            made = _store(member_id, form.cleaned_data)
        except (NotAllowed, CollectionNotFound):
            form.refuse(
                "collection", "You need to be editor or owner of this collection to add to it."
            )
        except ExternalIdTaken:
            form.refuse(None, "The collection has a document of this external id.")
        else:
            messages.success(
                request, "Received. It is found as soon as it is ready; this page follows it."
            )
            return to("document", document_id=made)
    return show(
        request, "form.html", title="Upload a document", trail=_trail(), form=form, multipart=True,
        submit="Upload", cancel=reverse("admin:documents"), refused=form.is_bound,
        intro="You upload as yourself: only collections where you are editor or owner are offered. "
        "The document gets the collection’s grants.",
    )  # fmt: skip


def _store(member_id: UUID, values: dict[str, object]) -> UUID:
    file: object = values["file"]
    name = str(getattr(file, "name", "") or "document")
    return upload_document(
        clearance=clearance_for(member_id=member_id),
        collection_id=parse_id("collection", str(values["collection"])) or UUID(int=0),
        upload=Upload(
            title=str(values["title"]) or name,
            file_name=name,
            media_type=str(getattr(file, "content_type", "") or "application/octet-stream"),
            chunks=file.chunks(),  # type: ignore[attr-defined]  # an uploaded file
            subjects=values["subjects"],  # type: ignore[arg-type]  # as clean_subjects returns it
            created_by_id=member_id,
        ),
        grants=None,
    )


def _editable(member_id: UUID) -> list[CollectionView]:
    return [
        c
        for c in list_collections(clearance=clearance_for(member_id=member_id))
        if ROLE_ORDER.get(role_on_collection(member_id=member_id, collection_id=c.id) or "", 0)
        >= ROLE_ORDER["editor"]
    ]


def _trail() -> list[tuple[str, str]]:
    return [("Documents", reverse("admin:documents"))]
