"""Content out and in over HTTP."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from tenants.ids import public_id
from tests.cast import HANDBOOK, Cast, publish, upload


def bytes_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_the_original_and_its_text_are_downloaded(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}/content"

    original = cast.bob.get(path)
    text = cast.bob.get(path, {"as": "text", "version": 1})

    assert bytes_of(original) == bytes_of(text) == HANDBOOK.encode()
    assert original.headers["Content-Disposition"] == 'attachment; filename="handbook.txt"'
    assert original.headers["Content-Length"] == str(len(HANDBOOK))
    assert original.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in original.headers["Content-Security-Policy"]
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_content_that_is_not_ready_or_of_another_version_is_not_there(cast: Cast) -> None:
    never = public_id("document", upload(cast.alice, cast.here, text=""))
    ready = public_id("document", publish(cast.alice, cast.here))

    for path in (f"/v1/documents/{never}/content", f"/v1/documents/{ready}/content?version=2"):
        response = cast.alice.get(path)
        assert (response.status_code, response.json()["code"]) == (404, "content_not_ready")


def test_content_is_replaced_by_a_body_a_form_or_text(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"
    form = {"file": SimpleUploadedFile("new.md", b"# 28 days", "text/markdown")}

    raw = cast.alice.put(f"{path}/content", b"30 days", content_type="text/plain")
    as_form = cast.alice.put(f"{path}/content", form, format="multipart")
    as_text = cast.alice.put(f"{path}/content", {"text": "31 days"})

    assert [r.status_code for r in (raw, as_form, as_text)] == [202, 202, 202], raw.content
    versions = [r.json()["version"] for r in (raw, as_form, as_text)]
    assert versions == [2, 3, 4]
    assert raw.json()["n_bytes"] == len("30 days")
    assert as_form.json()["file_name"] == "new.md"


def test_a_media_type_that_is_none_is_not_repeated(cast: Cast) -> None:
    form = {
        "file": SimpleUploadedFile("x.bin", b"x", "text/html; <script>"),
        "collection": cast.here.collection,
    }
    document = cast.alice.post("/v1/documents", form, format="multipart").json()

    assert "script" not in document["media_type"] or "<" not in document["title"]
