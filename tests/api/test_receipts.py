"""Receipts over HTTP: to read, to check and on paper."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.utils import timezone

from ambit.audit.flow import keep_trail, trail_signer
from ambit.audit.receipts import FORMAT, read_receipt
from ambit.audit.verify import Key
from ambit.erasure.models import Receipt
from tenants.ids import parse_id
from tests.cast import Cast, as_service

REQUEST = {
    "subject": {"type": "email", "value": "jo@example.test"},
    "reason": "Art. 17",
    "identity": "pending",
}


@pytest.fixture
def path(cast: Cast) -> str:
    """Return the address of a case that has its receipt at once: it was refused."""
    case = cast.olivia.post("/v1/erasures", REQUEST).headers["Location"]
    cast.olivia.post(f"{case}/refusal", {"reason": "Not shown to be the person."})
    return f"{case}/receipt"


def test_the_answer_is_what_was_signed_and_the_note_itself(cast: Cast, path: str) -> None:
    response = cast.olivia.get(path)

    assert response.status_code == 200
    shown = response.json()
    receipt = read_receipt(response.content.decode(), Key.read(trail_signer().key))
    assert f"era_{receipt.erasure.hex}" == shown["erasure"] == path.split("/")[3]
    assert (shown["outcome"], shown["serial"], shown["previous"]) == ("refused", 1, None)
    assert json.loads(shown["signed"].split("\n")[1]).keys() == shown.keys() - {"signed"}
    assert cast.olivia.get(path).json() == shown
    assert cast.olivia.get(path, {"serial": 1}).json() == shown


def test_on_paper_it_is_a_file_and_the_same_each_time(cast: Cast, path: str) -> None:
    first, second = (cast.olivia.get(path, {"as": "pdf"}) for _ in range(2))

    assert first.status_code == 200
    assert first["Content-Type"] == "application/pdf"
    assert (
        first["Content-Disposition"] == f'attachment; filename="receipt-{path.split("/")[3]}.pdf"'
    )
    assert first.content.startswith(b"%PDF")
    assert first.content == second.content


def test_one_of_before_receipts_were_signed_says_so(cast: Cast, path: str) -> None:
    signed = cast.olivia.get(path).json()
    said = {
        name: value for name, value in signed.items() if name not in {"signed", "serial", "log"}
    }
    case_id = parse_id("erasure", path.split("/")[3])
    assert case_id is not None
    with as_service(cast.here.id):
        # As the migration moved them.
        Receipt.objects.create(
            erasure_id=case_id,
            serial=2,
            written_at=timezone.now(),
            note=f"{FORMAT}\n{json.dumps(said)}\n",
        )

    assert cast.olivia.get(path).json() == said | {"signed": False}
    assert cast.olivia.get(path, {"serial": 1}).json() == signed
    paper = cast.olivia.get(path, {"as": "pdf"})
    assert (paper.status_code, paper.content[:4]) == (200, b"%PDF")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"serial": 2}, 404, "receipt_not_ready"),
        ({"serial": 2, "as": "pdf"}, 404, "receipt_not_ready"),
        ({"serial": 0}, 400, "invalid"),
        ({"serial": "x"}, 400, "invalid"),
        ({"as": "html"}, 400, "invalid"),
        ({"format": "pdf"}, 400, "unknown_field"),
    ],
)
def test_what_is_not_there_is_told(
    cast: Cast, path: str, query: dict[str, object], status: int, code: str
) -> None:
    response = cast.olivia.get(path, query)

    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize("form", ["json", "pdf"])
def test_it_is_shown_to_officers_of_its_tenant_alone(cast: Cast, path: str, form: str) -> None:
    refused = [
        (caller.get(path, {"as": form}).status_code)
        for caller in (cast.alice, cast.mallory, cast.there.service)
    ]

    assert refused == [403, 403, 404]
    assert cast.here.service.get(path, {"as": form}).status_code == 200


def test_to_read_it_is_an_event(cast: Cast, path: str) -> None:
    before = len(_reads(cast))
    cast.olivia.get(path)
    cast.olivia.get(path, {"as": "pdf"})

    assert len(_reads(cast)) == before + 2
    written = cast.olivia.get("/v1/audit/events", {"action": "receipt.written"}).json()["results"]
    assert [event["object"][:4] for event in written] == ["rcp_"]


def _reads(cast: Cast) -> list[object]:
    query = {"action": "erasure.receipt_read"}
    found: list[object] = cast.olivia.get("/v1/audit/events", query).json()["results"]
    return found


def test_it_is_checked_with_the_export_and_nothing_of_ours(
    cast: Cast, path: str, tmp_path: Path
) -> None:
    receipt = cast.olivia.get(path).content
    keep_trail()
    with zipfile.ZipFile(io.BytesIO(cast.olivia.get("/v1/audit/export").getvalue())) as file:
        file.extractall(tmp_path)
    (tmp_path / "receipt.json").write_bytes(receipt)

    command = [sys.executable, "-I", "ambit_verify.pyz", "--receipt", "receipt.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "receipt.json: holds: receipt 1 of " in done.stdout
