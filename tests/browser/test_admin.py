"""The admin web UI in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import Select, WebDriverWait

from ambit.admin.seats import SeatRole
from ambit.config.runtime.supervisor import Stack
from ambit.corpus.types import SubjectRef
from tenants.ids import public_id
from tests.browser.desk import OWN_PASSWORD, PAGES, SignIn, desk_of_cast, operator, signed_in
from tests.cast import Cast, publish

pytestmark = pytest.mark.browser

SECRET = "The safe's combination is four eight fifteen."
QUESTION = "What is the combination of the safe?"
LONGEST_WAIT_S = 90


@pytest.mark.timeout(600)
def test_an_administrator_uploads_asks_as_others_and_erases(
    browser: Chrome, server: str, workers: Stack, cast: Cast, tmp_path: Path
) -> None:
    at = Pages(browser, server)
    first = signed_in(cast.here, cast.adam.id, first=True)

    at.sign_in(first)
    assert at.heading == "Choose your password"
    at.fill(old_password=first.password, new_password1=OWN_PASSWORD, new_password2=OWN_PASSWORD)
    at.press("Change password")
    assert at.path == "/admin/"

    at.go("collections/new/")
    at.fill(name="Safe")
    at.press("Create collection")
    at.fill(new_principal=cast.bob.email, new_role="reader")
    at.press("Save grants")

    file = tmp_path / "safe.txt"
    file.write_text(SECRET)
    at.go("documents/upload/")
    at.fill(file=str(file), title="The safe", subjects="jo@example.test")
    at.choose("collection", "Safe")
    at.press("Upload")
    at.wait_for("#state .a-success", "ready")

    assert SECRET in at.ask(cast.bob.email)
    assert SECRET not in at.ask(cast.carol.email)
    assert browser.find_element(By.ID, "no-passages").is_displayed()

    at.go("erasures/new/")
    at.fill(value="jo@example.test", reason="jo@example.test asked to be forgotten")
    at.press("Show what would be destroyed")
    assert "Document" in browser.find_element(By.ID, "preview").text
    at.press("Erase now")
    assert "[subject] asked" in at.main.text
    receipt = at.wait_for(".a-receipt", "Receipt of erasure")
    assert "destroyed" in receipt.text
    assert "Not yet gone" in receipt.text
    assert SECRET not in at.ask(cast.bob.email)


@pytest.mark.timeout(600)
def test_an_officer_checks_who_asked_and_a_hold_stays_until_it_is_released(
    browser: Chrome, server: str, workers: Stack, cast: Cast
) -> None:
    at = Pages(browser, server)
    jo = SubjectRef("email", "jo@example.test")
    held, other = (publish(cast.alice, cast.here, subjects=(jo,)) for _ in range(2))
    at.sign_in(signed_in(cast.here, cast.olivia.id))

    at.go("holds/")
    assert "No hold" in at.main.text
    at.go("holds/new/")
    at.fill(value=public_id("document", held), review_on="01012000", reason="a claim")
    at.press("Place the hold")
    assert "Choose a day in the future." in at.main.text
    at.fill(review_on="01012099")
    at.press("Place the hold")
    assert "in force" in at.main.text
    hold_path = at.path.removeprefix("/admin/")

    at.go("erasures/new/")
    at.fill(value="jo@example.test", reason="by letter")
    at.choose("identity", "Not yet: receive the request and check")
    at.press("Show what would be destroyed")
    assert "Held: Art. 17(3)(e) GDPR" in browser.find_element(By.ID, "preview").text
    at.press("Receive the request")
    case_path = at.path.removeprefix("/admin/")
    assert "The clock stands" in at.main.text
    assert cast.alice.get(f"/v1/documents/{public_id('document', other)}").status_code == 200

    at.go(f"{case_path}extension/")
    at.fill(reason="three archives")
    at.press("Extend by two months")
    assert "three archives" in at.main.text
    at.go(f"{case_path}identity/")
    at.press("Identity verified: erase")
    receipt = at.wait_for(".a-receipt", "Receipt of erasure")
    assert "held in part" in receipt.text
    assert "Art. 17(3)(e)" in receipt.text

    at.go(f"{hold_path}release/")
    at.press("Release the hold")
    assert "over" in at.main.text
    at.go(case_path)
    at.wait_for(".a-receipt .a-success", "destroyed")

    at.go("erasures/new/")
    at.fill(value="flo@example.test", reason="by phone")
    at.choose("identity", "Not yet: receive the request and check")
    at.press("Show what would be destroyed")
    at.press("Receive the request")
    at.go(f"{at.path.removeprefix('/admin/')}refusal/")
    at.fill(reason="no answer")
    at.press("Refuse the erasure")
    assert "refused" in at.main.text
    assert "no answer" in at.main.text


@pytest.mark.timeout(600)
def test_each_role_sees_its_pages_and_no_request_leaves_this_machine(
    browser: Chrome, server: str, cast: Cast
) -> None:
    at = Pages(browser, server)
    desk = desk_of_cast(cast)
    signs: dict[SeatRole, SignIn] = {
        "operator": operator(),
        "admin": desk.admin,
        "privacy_officer": desk.privacy_officer,
        "auditor": desk.auditor,
    }
    hosts: set[str] = set()
    faults: list[str] = []

    for role, sign_in in signs.items():
        browser.delete_all_cookies()
        at.sign_in(sign_in)
        for page in PAGES:
            if "GET" not in page.methods or page.name.startswith("erasure_receipt"):
                continue
            # That others are told 404: test_pages.py.
            if role not in page.roles:
                continue
            at.go(desk.url(page).removeprefix("/admin/"))
            status, asked = at.traffic()
            hosts |= asked
            if status != 200:
                faults.append(f"{role} {page.name} {status}")
            if page.name not in {"document_state", "erasure_state"}:
                faults += [f"{role} {page.name}: {line}" for line in at.violations()]

    assert faults == []
    assert hosts == {urlsplit(server).netloc}


class Pages:
    """What a person does at the pages."""

    def __init__(self, browser: Chrome, server: str) -> None:
        self.browser, self.server = browser, server.rstrip("/")

    @property
    def path(self) -> str:
        return urlsplit(self.browser.current_url).path

    @property
    def main(self) -> WebElement:
        return self.browser.find_element(By.TAG_NAME, "main")

    @property
    def heading(self) -> str:
        return self.browser.find_element(By.CSS_SELECTOR, "main h1").text

    def go(self, path: str) -> None:
        self.browser.get(f"{self.server}/admin/{path}")

    def sign_in(self, sign_in: SignIn) -> None:
        self.go("login/")
        self.fill(username=sign_in.name, password=sign_in.password)
        self.press("Sign in")

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            element = self.browser.find_element(By.NAME, name)
            if element.tag_name == "select":
                Select(element).select_by_value(value)
            else:
                element.send_keys(value)

    def choose(self, name: str, words: str) -> None:
        Select(self.browser.find_element(By.NAME, name)).select_by_visible_text(words)

    def press(self, words: str) -> None:
        """Press a button and wait until its page is gone."""
        button = self.browser.find_element(By.XPATH, f"//main//button[contains(., '{words}')]")
        button.click()
        WebDriverWait(self.browser, 30).until(expected.staleness_of(button))

    def wait_for(self, selector: str, words: str) -> WebElement:
        """Wait, without loading the page again, until a part of it holds the words."""
        place = (By.CSS_SELECTOR, selector)
        WebDriverWait(self.browser, LONGEST_WAIT_S).until(
            expected.text_to_be_present_in_element(place, words)
        )
        return self.browser.find_element(*place)

    def ask(self, member: str) -> str:
        self.go("ask/")
        self.fill(member=member, question=QUESTION)
        self.press("Ask")
        return self.browser.find_element(By.ID, "outcome").text

    def traffic(self) -> tuple[int, set[str]]:
        """Return the last document's status and every host asked, since the last call."""
        status, hosts = 0, set()
        for entry in self.browser.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in {"data", "chrome", "about", "blob"}:
                    hosts.add(url.netloc)
            answered = message["method"] == "Network.responseReceived"
            if answered and message["params"]["type"] == "Document":
                status = message["params"]["response"]["status"]
        return status, hosts

    def violations(self) -> list[str]:
        """Return what the browser complained about, but for a status that was wanted."""
        lines = [e["message"] for e in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in lines if "status of 404" not in line]
