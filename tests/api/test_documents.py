"""Documents over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from ambit.corpus.models import Version
from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.cast import HANDBOOK, Cast, publish, upload
from tests.database.worlds import working

MADE_UP = "doc_" + "0" * 32


def text_body(cast: Cast, **more: Any) -> dict[str, Any]:
    return {"collection": cast.here.collection, "title": "Leave", "text": HANDBOOK} | more


def test_an_upload_is_accepted_with_its_address(cast: Cast) -> None:
    body = text_body(cast, external_id="e-1", metadata={"year": 2026})

    response = cast.alice.post("/v1/documents", body)

    assert response.status_code == 202
    document = response.json()
    assert response.headers["Location"] == f"/v1/documents/{document['id']}"
    assert (document["title"], document["external_id"]) == ("Leave", "e-1")
    assert (document["state"], document["reason"], document["version"]) == ("received", None, 1)
    assert document["metadata"] == {"year": 2026}
    assert document["versions"]["current"] is None
    assert document["n_bytes"] == len(HANDBOOK)
    assert cast.alice.get(response.headers["Location"]).json()["id"] == document["id"]


def test_a_declared_language_is_shown_and_an_unknown_one_is_null(cast: Cast) -> None:
    for sent, shown in (("pt-BR", "pt"), ("DE", "de"), (None, None)):
        made = cast.alice.post("/v1/documents", text_body(cast, language=sent))
        assert (made.status_code, made.json()["language"]) == (202, shown)
    silent = cast.alice.post("/v1/documents", text_body(cast))
    assert silent.json()["language"] is None


def test_what_is_deleted_shows_administrators_no_language(cast: Cast) -> None:
    made = cast.alice.post("/v1/documents", text_body(cast, language="tr")).json()
    path = f"/v1/documents/{made['id']}"
    assert cast.alice.delete(path).status_code == 204

    seen = cast.adam.get(path, {"as": "custodian"})

    assert (seen.status_code, seen.json()["language"]) == (200, None)


@pytest.mark.parametrize("sent", ["german", "de_AT", "", 7, "de" * 20, "de\n-AT"])
def test_what_is_no_language_is_refused(cast: Cast, sent: object) -> None:
    refused = cast.alice.post("/v1/documents", text_body(cast, language=sent))

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "language"


def test_the_language_is_known_once_the_document_is_ready(cast: Cast) -> None:
    told = publish(cast.alice, cast.here, language="fr")
    silent = publish(cast.alice, cast.here)

    shown = [
        cast.bob.get(f"/v1/documents/{public_id('document', d)}").json()["language"]
        for d in (told, silent)
    ]
    assert shown == ["fr", "en"]


def test_new_content_may_be_in_another_language(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here, language="fr"))
    where = f"/v1/documents/{document}/content"

    declared = cast.alice.put(where, {"text": "Guten Tag", "language": "de"})
    silent = cast.alice.put(where, {"text": "Guten Tag"})

    assert (declared.status_code, declared.json()["language"]) == (202, "de")
    assert (silent.status_code, silent.json()["language"]) == (202, None)


def test_a_form_takes_a_file_with_fields_as_json(cast: Cast) -> None:
    form = {
        "file": SimpleUploadedFile("Überstunden 2026.txt", b"27 days", "text/plain"),
        "collection": cast.here.collection,
        "metadata": json.dumps({"a": [1]}),
        "subjects": json.dumps([{"type": "email", "value": "jo@example.test"}]),
        "grants": json.dumps([{"principal": "member:alice", "role": "owner"}]),
    }

    response = cast.alice.post("/v1/documents", form, format="multipart")

    assert response.status_code == 202, response.content
    document = response.json()
    assert (document["title"], document["file_name"]) == (
        "Überstunden 2026",
        "Überstunden 2026.txt",
    )
    assert document["metadata"] == {"a": [1]}
    assert document["own_grants"] is True
    assert cast.bob.get(response.headers["Location"]).status_code == 404


def test_each_lists_and_reads_exactly_what_is_granted(cast: Cast) -> None:
    here = public_id("document", publish(cast.alice, cast.here))
    there = public_id("document", publish(cast.mallory, cast.there))

    def seen(api: Any) -> list[str]:
        return [d["id"] for d in api.get("/v1/documents").json()["results"]]

    assert seen(cast.alice) == [here]
    assert seen(cast.bob) == [here]
    assert seen(cast.carol) == []
    assert seen(cast.mallory) == [there]
    assert cast.bob.get(f"/v1/documents/{here}").json()["state"] == "ready"


def test_hidden_foreign_and_made_up_documents_answer_alike(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))
    never_ready = public_id("document", upload(cast.alice, cast.here, text=""))
    grants = {"grants": [{"principal": "tenant", "role": "owner"}]}
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/content", None),
        ("PUT", "/content", {"text": "x"}),
        ("PUT", "/grants", grants),
        ("POST", "/retry", None),
    ]

    for person in (cast.carol, cast.mallory):
        for method, tail, body in calls:
            answers = [
                person.call(method, f"/v1/documents/{i}{tail}", body)
                for i in (document, never_ready, MADE_UP, "nonsense")
            ]
            assert {r.status_code for r in answers} == {404}, (method, tail)
            assert len({str(r.json() | {"request_id": ""}) for r in answers}) == 1
    assert cast.alice.get(f"/v1/documents/{document}").json()["state"] == "ready"


def test_a_reader_may_not_write(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"

    refused = [
        cast.bob.post("/v1/documents", text_body(cast)),
        cast.bob.delete(path),
        cast.bob.put(f"{path}/content", {"text": "x"}),
        cast.bob.put(f"{path}/grants", {"grants": None}),
        cast.bob.post(f"{path}/retry"),
    ]

    assert [(r.status_code, r.json()["code"]) for r in refused] == [(403, "grant_missing")] * 5


def test_a_deleted_document_is_gone_at_once(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"

    assert cast.alice.delete(path).status_code == 204

    assert cast.alice.get(path).status_code == 404
    assert cast.alice.get(f"{path}/content").status_code == 404
    assert cast.alice.delete(path).status_code == 404
    found = cast.alice.post("/v1/search", {"query": "annual leave", "mode": "text"})
    assert found.json() == {"results": []}


def test_a_document_gets_grants_of_its_own_and_loses_them(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"
    grants = [
        {"principal": "member:alice", "role": "owner"},
        {"principal": "member:carol", "role": "reader"},
    ]

    own = cast.alice.put(f"{path}/grants", {"grants": grants})
    bob_then, carol_then = (p.get(path).status_code for p in (cast.bob, cast.carol))
    back = cast.alice.put(f"{path}/grants", {"grants": None})

    assert own.status_code == 200
    assert sorted(g["role"] for g in own.json()["grants"]) == ["owner", "reader"]
    assert (bob_then, carol_then) == (404, 200)
    assert back.json() == {"grants": None}
    assert (cast.bob.get(path).status_code, cast.carol.get(path).status_code) == (200, 404)


def test_only_a_failed_document_is_retried(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', upload(cast.alice, cast.here))}/retry"

    response = cast.alice.post(path)

    assert (response.status_code, response.json()["code"]) == (409, "not_retryable")


def test_an_administrator_lists_records_as_custodian_and_nobody_else(cast: Cast) -> None:
    document = public_id("document", publish(cast.alice, cast.here))

    as_member = cast.adam.get("/v1/documents").json()["results"]
    as_custodian = cast.adam.get("/v1/documents", {"as": "custodian", "state": "ready"}).json()
    refused = cast.alice.get("/v1/documents", {"as": "custodian"})
    one = cast.adam.get(f"/v1/documents/{document}", {"as": "custodian"})

    assert as_member == []
    assert [d["id"] for d in as_custodian["results"]] == [document]
    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    assert one.status_code == 200
    assert cast.adam.get(f"/v1/documents/{document}/content").status_code == 404


@pytest.mark.parametrize(
    ("more", "field", "code"),
    [
        ({"titel": "x"}, "titel", "unknown_field"),
        ({"title": "x" * 501}, "title", "max_length"),
        ({"title": "a\x00b"}, "title", "null_characters_not_allowed"),
        ({"text": 5}, "text", "invalid"),
        ({"text": "\x00"}, "text", "null_characters_not_allowed"),
        ({"metadata": []}, "metadata", "invalid"),
        ({"metadata": {"a": "x" * 20000}}, "metadata", "max_length"),
        ({"metadata": {"a": "\x00"}}, "metadata", "invalid"),
        ({"metadata": {"a": {"b": "\ud800"}}}, "metadata", "invalid"),
        ({"subjects": [{"type": "shoe", "value": "x"}]}, "subjects.0.type", "invalid_choice"),
        ({"subjects": [{"type": "member", "value": "x"}]}, "subjects.0.value", "invalid"),
        ({"grants": [{"principal": "tenant"}]}, "grants.0.role", "required"),
    ],
)
def test_a_bad_upload_is_refused_and_nothing_is_stored(
    cast: Cast, more: dict[str, Any], field: str, code: str
) -> None:
    body = json.dumps(text_body(cast, **more))

    response = cast.alice.post("/v1/documents", body, content_type="application/json")

    assert response.status_code == 400, response.content
    assert [(e["field"], e["code"]) for e in response.json()["errors"]] == [(field, code)]
    assert cast.alice.get("/v1/documents").json()["results"] == []


@pytest.mark.parametrize("collection", ["foreign", "col_" + "0" * 32, "nonsense"])
def test_a_foreign_collection_is_as_unknown_as_a_made_up_one(cast: Cast, collection: str) -> None:
    wanted = cast.there.collection if collection == "foreign" else collection

    response = cast.alice.post("/v1/documents", text_body(cast, collection=wanted))

    assert (response.status_code, response.json()["code"]) == (404, "collection_not_found")
    assert cast.mallory.get("/v1/documents").json()["results"] == []


def test_grants_that_leave_the_uploader_out_are_refused(cast: Cast) -> None:
    grants = [{"principal": "member:bob", "role": "owner"}]

    response = cast.alice.post("/v1/documents", text_body(cast, grants=grants))

    assert (response.status_code, response.json()["code"]) == (400, "grants_exclude_caller")
    assert cast.bob.get("/v1/documents").json()["results"] == []


def test_whether_an_external_id_is_taken_out_of_sight_is_not_told(cast: Cast) -> None:
    alone = [{"principal": "member:carol", "role": "owner"}]
    mine = [{"principal": "member:alice", "role": "owner"}]
    path = f"/v1/collections/{cast.here.collection}/grants"
    cast.adam.put(path, {"grants": [*mine, *alone]})
    secret = text_body(cast, external_id="secret", grants=alone)
    assert cast.carol.post("/v1/documents", secret).status_code == 202
    answers = []
    for external_id in ("secret", "free"):
        body = text_body(cast, external_id=external_id, grants=mine)
        document = cast.alice.post("/v1/documents", body).json()["id"]
        answers.append(cast.alice.put(f"/v1/documents/{document}/grants", {"grants": alone}))
        assert cast.alice.get(f"/v1/documents/{document}").status_code == 200

    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (400, "grants_exclude_caller"),
        (400, "grants_exclude_caller"),
    ]


def test_a_document_does_not_go_back_to_a_collection_its_owner_cannot_see(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"
    mine = [{"principal": "member:alice", "role": "owner"}]
    cast.alice.put(f"{path}/grants", {"grants": mine})
    others = [{"principal": "member:carol", "role": "owner"}]
    cast.adam.put(f"/v1/collections/{cast.here.collection}/grants", {"grants": others})

    refused = cast.alice.put(f"{path}/grants", {"grants": None})

    assert (refused.status_code, refused.json()["code"]) == (400, "grants_exclude_caller")
    assert cast.alice.get(path).status_code == 200
    assert cast.carol.get(path).status_code == 404


def test_an_owner_may_keep_no_more_than_a_readers_place(cast: Cast) -> None:
    path = f"/v1/documents/{public_id('document', publish(cast.alice, cast.here))}"
    grants = [
        {"principal": "member:carol", "role": "owner"},
        {"principal": "member:alice", "role": "reader"},
    ]

    assert cast.alice.put(f"{path}/grants", {"grants": grants}).status_code == 200
    assert cast.alice.get(path).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain\x00", "text", "a/b/c", "text/" + "x" * 300, "te xt/plain"]
)
def test_a_files_own_word_for_its_format_is_kept_only_where_it_is_one(
    cast: Cast, kind: str
) -> None:
    part = b"--b\r\nContent-Disposition: form-data; name=%s%s\r\n\r\n%s\r\n"
    body = part % (b"collection", b"", cast.here.collection.encode())
    body += part % (b'file; filename="a.txt"', f"\r\nContent-Type: {kind}".encode(), b"text")

    response = cast.alice.post(
        "/v1/documents", body + b"--b--\r\n", content_type="multipart/form-data; boundary=b"
    )

    assert response.status_code == 202
    with working(cast.here.id, custody=True):
        assert Version.objects.get().declared_media_type == ""


def test_a_taken_external_id_is_refused(cast: Cast) -> None:
    assert cast.alice.post("/v1/documents", text_body(cast, external_id="e")).status_code == 202

    again = cast.alice.post("/v1/documents", text_body(cast, external_id="e"))

    assert (again.status_code, again.json()["code"]) == (409, "external_id_taken")


def test_an_unknown_member_as_subject_is_refused(cast: Cast) -> None:
    known = [{"type": "member", "value": cast.carol.public_id}]
    foreign = [{"type": "member", "value": cast.mallory.public_id}]

    assert cast.alice.post("/v1/documents", text_body(cast, subjects=known)).status_code == 202
    response = cast.alice.post("/v1/documents", text_body(cast, subjects=foreign))

    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "unknown_member")


def test_subjects_are_never_shown(cast: Cast) -> None:
    subject = SubjectRef("email", "jo.secret@example.test")
    document = publish(cast.alice, cast.here, subjects=(subject,))

    response = cast.alice.get(f"/v1/documents/{public_id('document', document)}")

    assert "jo.secret" not in response.content.decode()
