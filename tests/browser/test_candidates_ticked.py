"""An officer ticks a document that mentions the person, and sees what a case waits for, in a real browser."""

from __future__ import annotations

import psycopg
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from ambit.config.runtime.supervisor import Stack
from ambit.config.settings import EMBEDDED
from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.browser.desk import signed_in
from tests.browser.test_admin import Pages
from tests.browser.test_exports import picture
from tests.cast import Cast, publish
from tests.database.private import superuser_url

pytestmark = pytest.mark.browser

JO = "jo@example.test"


@pytest.mark.timeout(300)
def test_what_is_ticked_goes_and_what_the_case_waits_for_is_said(
    browser: Chrome, server: str, workers: Stack, cast: Cast
) -> None:
    publish(cast.alice, cast.here, text="Jo's letter", subjects=(SubjectRef("email", JO),))
    ticked, left = (
        public_id("document", publish(cast.alice, cast.here, text=f"Jo Lind came {day}."))
        for day in ("on Monday", "on Friday")
    )
    at = Pages(browser, server)
    at.sign_in(signed_in(cast.here, cast.olivia.id))

    at.go("erasures/new/")
    at.fill(value=JO, mentions="Jo Lind", reason="by letter")
    picture(browser, "erasure-new")
    at.press("Show what would be destroyed")
    browser.find_element(By.CSS_SELECTOR, f"input[value={ticked}]").click()
    picture(browser, "candidates")
    at.press("Count again with the ticked ones")
    assert browser.find_element(By.CSS_SELECTOR, f"input[value={ticked}]").is_selected()
    assert "you ticked it" in browser.find_element(By.ID, "preview").text
    picture(browser, "candidates-ticked")

    with psycopg.connect(superuser_url(EMBEDDED)) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT count(*) FROM corpus_document")
        at.press("Erase now")
        waiting = at.wait_for("#state .a-warn", "not yet overwritten on disk")
        picture(browser, "erasure-waits")
        assert "may still see what was destroyed" in waiting.text

    assert cast.alice.get(f"/v1/documents/{ticked}").status_code == 404
    assert cast.alice.get(f"/v1/documents/{left}").status_code == 200
