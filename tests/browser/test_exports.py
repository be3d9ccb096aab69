"""The pages of exports in a real browser."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from uuid import UUID

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from ambit.config.runtime.supervisor import Stack
from ambit.corpus.types import SubjectRef
from tenants.ids import parse_id
from tests.browser.desk import signed_in
from tests.browser.test_admin import Pages
from tests.cast import Cast, publish
from tests.database.exporting import view_of

pytestmark = pytest.mark.browser

JO = "jo@example.test"


def picture(browser: Chrome, name: str) -> None:
    """Keep a picture where somebody wants to look."""
    folder = os.environ.get("PICTURES")
    if folder:
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.mark.timeout(300)
def test_a_privacy_officer_makes_and_fetches_an_archive(
    browser: Chrome, server: str, workers: Stack, cast: Cast, tmp_path: Path
) -> None:
    publish(cast.alice, cast.here, text="Jo's letter", subjects=(SubjectRef("email", JO),))
    both = (SubjectRef("email", JO), SubjectRef("email", "bo@example.test"))
    publish(cast.alice, cast.here, text="Of Jo and Bo", subjects=both)
    at = Pages(browser, server)
    at.sign_in(signed_in(cast.here, cast.olivia.id))
    at.go("exports/")
    picture(browser, "exports-empty")
    assert "No export yet" in browser.page_source

    browser.find_element(By.LINK_TEXT, "Export a person’s data").click()
    at.fill(value="no address", reason="Art. 15")
    at.press("Make the archive")
    assert "This is no e-mail address." in browser.page_source
    picture(browser, "export-refused")
    for name in ("value", "reason"):
        browser.find_element(By.NAME, name).clear()
    at.fill(value=JO, reason=f"Art. 15, asked by {JO}")
    at.press("Make the archive")
    picture(browser, "export-being-made")
    at.wait_for("#state .a-success", "ready")
    picture(browser, "export-ready")

    text = browser.find_element(By.ID, "main-content").text
    assert "asked by [subject]" in text
    assert "1 document is about other people too" in text
    assert JO not in browser.page_source
    export_id = parse_id("export", at.path.split("/")[3])
    assert export_id is not None
    size = view_of(cast.here.id, export_id).n_bytes
    assert _fetched(browser, tmp_path, export_id) == size
    at.go("exports/")
    picture(browser, "exports")
    assert "exp_…" in browser.find_element(By.CSS_SELECTOR, ".a-table").text


def _fetched(browser: Chrome, folder: Path, export_id: UUID) -> int:
    """Fetch the archive as the link does, and return its size after reading it."""
    script = """
        const done = arguments[arguments.length - 1];
        fetch(document.querySelector('a[download]').href).then(r => r.arrayBuffer()).then(
            b => done(Array.from(new Uint8Array(b))), e => done(String(e)));
    """
    got = bytes(browser.execute_async_script(script))
    file = folder / f"{export_id}.zip"
    file.write_bytes(got)
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert "about.json" in archive.namelist()
    return len(got)
