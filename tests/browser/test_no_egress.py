"""What documents, answers and names hold makes no browser ask for anything: everything but our own server is a sink.

Two nets, each tried alone. The pages: with the cleaning of answers and the Content-Security-Policy taken out, no shape
is read as more than text. The policy: with shapes written raw into a page of our server, nothing is loaded or sent.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from pytest_django import Settings
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ambit.admin import middleware
from ambit.answers import cite
from ambit.config.runtime.supervisor import Stack
from tenants import services
from tenants.ids import parse_id, public_id
from tests.browser.conftest import open_browser
from tests.browser.desk import PAGES, desk_of_cast, has_object, signed_in
from tests.browser.hostile import ALL, BEYOND_POLICY, FETCHING, Sink, sink
from tests.browser.test_admin import Pages
from tests.cast import Cast, Place, as_service, publish
from tests.injection.shapes import SECRET
from tests.vllm.scripted import DONE, STREAM, USAGE, ScriptedServer, delta

pytestmark = pytest.mark.browser

BATCH = 20
QUESTION = "What is said of annual leave?"
# Where a request of a page may go: pages that a test opens, and what every page is made of.
OWN = re.compile(r"/static/[\w./-]+|/favicon\.ico")
# Pages that show what documents, people and collections are called, or what is written.
SHOWING = (
    "index", "documents", "document", "document_readers", "collections", "collection", "members", "member",
    "groups", "group", "sight", "ask", "answering", "events", "keys",
)  # fmt: skip
OUTSIDE = re.compile(rf"(?:[eé]vil|xn--vil)[\w-]*\.example|{SECRET}", re.IGNORECASE)
ALPINE = "".join(
    f'<script src="/static/unfold/js/{name}/{name}.js" defer></script>'
    for name in ("htmx", "alpine")
)

App = Callable[[dict[str, Any], Any], Any]


@dataclass
class Own:
    """Our server, in this process, with what it was asked for; and pages of a test's own."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    raw: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def app(self, environ: dict[str, Any], start: Any) -> Any:
        """Answer as Ambit, or with a page that a test wrote."""
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        self.asked.append(f"{path}?{query}" if query else path)
        if path not in self.raw:
            return _django()(environ, start)
        body, headers = self.raw[path]
        start("200 OK", [("Content-Type", "text/html; charset=utf-8"), *headers.items()])
        return [body.encode()]


def _django() -> App:
    return WSGIHandler()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def own(settings: Settings) -> Iterator[Own]:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    found = Own()
    server = ThreadedWSGIServer(("127.0.0.1", 0), _Quiet)
    server.set_app(found.app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()


@dataclass
class Watched:
    """A browser that reaches our server alone."""

    browser: Chrome
    own: Own
    sink: Sink
    log: Path

    def load(self, path: str) -> None:
        """Open a page and let what it holds begin whatever it would."""
        self.browser.get(f"{self.own.url}{path}")
        self.settle()

    def settle(self) -> None:
        """Wait for what pages do after they are there: two frames and a turn of the queue."""
        self.browser.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 150)))"
        )

    def assert_still(self, *, at: str) -> None:
        """Assert that nobody was asked for anything, and that the page is where and what it was."""
        assert self.sink.asked == []
        assert self.browser.current_url == f"{self.own.url}{at}"
        assert len(self.browser.window_handles) == 1
        lines = [e["message"] for e in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]
        assert lines == []

    def addresses(self) -> set[str]:
        """Return what the browser began to ask for since the last call, whatever became of it."""
        found = set()
        for entry in self.browser.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"])
            elif message["method"] in {"Network.webSocketCreated", "Network.webTransportCreated"}:
                found.add(message["params"]["url"])
        return found


@pytest.fixture
def watched(own: Own, tmp_path: Path) -> Iterator[Watched]:
    log = tmp_path / "net.json"
    with sink() as outside:
        flags = (
            f"--proxy-server=http://127.0.0.1:{outside.port}",
            # Not even this machine is reached past the sink, but for our server.
            f"--proxy-bypass-list=<-loopback>;{urlsplit(own.url).netloc}",
            f"--log-net-log={log}",
        )
        with open_browser(tmp_path, *flags) as browser:
            yield Watched(browser, own, outside, log)
        # Also what was looked up, connected to or foreseen without a request.
        if not own.raw:
            assert OUTSIDE.findall(log.read_text(errors="replace")) == []


def batches() -> list[Sequence[str]]:
    return [ALL[n : n + BATCH] for n in range(0, len(ALL), BATCH)]


def shelve(cast: Cast, shapes: Sequence[str]) -> Place:
    """Make a collection of a hostile name, with a document for each shape: its title, and its text."""
    name = " ".join(shapes[0].split())[:100]
    grants = [{"principal": "member:alice", "role": "owner"}]
    made = cast.here.service.post("/v1/collections", {"name": name, "grants": grants})
    collection_id = parse_id("collection", made.json()["id"])
    assert collection_id is not None
    place = replace(cast.here, collection_id=collection_id)
    for n, shape in enumerate(shapes):
        title = " ".join(shape.split())
        publish(cast.alice, place, text=f"Annual leave, rule {n}:\n{shape}\n", title=title)
    return place


@pytest.fixture
def model(settings: Settings) -> Iterator[Callable[[Sequence[str]], None]]:
    """Have a model that writes shapes as they are."""
    server = ScriptedServer((STREAM, delta("Nothing [1].", "stop"), USAGE, DONE))
    settings.AMBIT_VLLM_URL, settings.AMBIT_VLLM_MODEL = server.url, "m"

    def write(shapes: Sequence[str]) -> None:
        text = "".join(
            f"Annual leave is {n} days {shape} [1].\n\n" for n, shape in enumerate(shapes)
        )
        server.scripts[:] = [(STREAM, delta(text, "stop"), USAGE, DONE)]

    yield write
    server.stop()


def test_there_are_a_hundred_shapes_and_more() -> None:
    assert len(set(ALL)) == len(ALL) >= 180
    assert all(OUTSIDE.search(shape) or "/collect" in shape or "{{" in shape for shape in ALL)


@pytest.mark.timeout(900)
def test_what_is_asked_as_a_member_is_shown_as_text(
    watched: Watched,
    embeddings: Stack,
    cast: Cast,
    model: Callable[[Sequence[str]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cite, "tidied", lambda text: text)
    monkeypatch.setattr(cite, "checked", lambda text, **_: text)
    monkeypatch.setattr(middleware, "CONTENT_SECURITY_POLICY", "")
    at = Pages(watched.browser, watched.own.url)
    at.sign_in(signed_in(cast.here, cast.adam.id))

    for shapes in batches():
        place = shelve(cast, shapes)
        model(shapes)
        at.go("ask/")
        at.fill(member=cast.alice.email, question=QUESTION)
        watched.browser.find_element(By.NAME, "k").clear()
        at.fill(k=str(BATCH), collection=public_id("collection", place.collection_id))
        at.press("Ask")
        watched.settle()

        assert len(watched.browser.find_elements(By.CLASS_NAME, "a-passage")) == len(shapes)
        answer = watched.browser.find_element(By.ID, "answer").get_property("textContent")
        assert all(_seen(shape) in _seen(str(answer)) for shape in shapes)
        watched.assert_still(at="/admin/ask/")
    assert_own(watched, {"/admin/login/", "/admin/", "/admin/ask/"})


def _seen(text: str) -> str:
    """Return a text without what differs between writing and showing it: space, unseen characters, markers."""
    text = re.sub(r"\[\^?\d+\]", "", text)
    return re.sub(r"[\s\x00-\x1f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064]+", "", text)


def assert_own(watched: Watched, pages: set[str]) -> None:
    """Assert that our own server was asked for these pages alone, and the browser asked nobody else."""
    assert {path for path in watched.own.asked if not OWN.fullmatch(path)} <= pages
    begun = {url for url in watched.addresses() if not url.startswith(("data:", "blob:", "chrome"))}
    assert {urlsplit(url).netloc for url in begun} == {urlsplit(watched.own.url).netloc}


@pytest.mark.timeout(900)
def test_pages_that_show_names_and_titles_show_them_as_text(
    watched: Watched, embeddings: Stack, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "CONTENT_SECURITY_POLICY", "")
    desk = desk_of_cast(cast)
    # What goes into a tag, an attribute and an expression; all shapes: the test above.
    named = [shape for shape in ALL if "\n" not in shape and len(shape) < 200][-60:]
    place = shelve(cast, named[:40])
    with as_service(cast.here.id, cast.here.service_key_id):
        for n, shape in enumerate(named):
            member = services.create_member(
                external_id=f"m{n}", email=f"m{n}@example.test", name=shape, role="member"
            )
            group = services.create_group(external_id=f"g{n}", name=shape)
    listed = cast.alice.get(
        "/v1/documents", {"collection": public_id("collection", place.collection_id)}
    )
    document_id = parse_id("document", listed.json()["results"][-1]["id"])
    assert document_id is not None
    objects = {
        "document": document_id,
        "member": member.pk,
        "group": group.pk,
        "collection": place.collection_id,
    }
    desk = replace(desk, objects=desk.objects | objects)
    at = Pages(watched.browser, watched.own.url)
    at.sign_in(desk.admin)
    opened = {"/admin/login/", "/admin/"}

    for page in PAGES:
        if page.name in SHOWING:
            path = desk.url(page)
            watched.load(path)
            watched.assert_still(at=path)
            opened.add(path)
    # The command palette writes what it finds into the page.
    chain = ActionChains(watched.browser)
    chain.key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    watched.browser.switch_to.active_element.send_keys("evil")
    at.wait_for("#command-results-list", "evil.example")
    watched.settle()
    watched.assert_still(at=path)
    polled = {
        path
        for path in watched.own.asked
        if path.startswith("/admin/documents/") and path.endswith("/state/")
    }
    searched = {f"/admin/search/?extended=1&s={'evil'[:n]}" for n in range(5)}
    assert_own(watched, opened | polled | searched)
    assert {page.name for page in PAGES if page.name in SHOWING and has_object(page)} >= {
        "document",
        "member",
    }


def test_the_sink_sees_what_a_page_without_any_net_asks_for(
    watched: Watched, database: Stack
) -> None:
    watched.own.raw["/raw"] = (_page(FETCHING), {})

    watched.load("/raw")
    watched.browser.implicitly_wait(0)

    assert len(set(watched.sink.asked)) >= 20, watched.sink.asked
    assert any("evil.example" in line for line in watched.sink.asked)


@pytest.mark.timeout(300)
def test_the_policy_alone_lets_nothing_be_loaded_or_sent(watched: Watched, database: Stack) -> None:
    headers = {
        "Content-Security-Policy": middleware.CONTENT_SECURITY_POLICY,
        "X-DNS-Prefetch-Control": "off",
    }
    for n, shapes in enumerate(FETCHING[n : n + BATCH] for n in range(0, len(FETCHING), BATCH)):
        path = f"/raw/{n}"
        watched.own.raw[path] = (_page(shapes), headers)

        watched.load(path)

        assert watched.sink.asked == [], (path, shapes)
        assert watched.browser.current_url == f"{watched.own.url}{path}"
    # What is left to the pages alone, which must not let it be written.
    assert len(BEYOND_POLICY) == 7


def _page(shapes: Sequence[str]) -> str:
    # Each in a frame of text that ends what the one before has opened.
    ends = "</script></style></title></textarea></svg></math></select></object></video></audio>-->"
    numbered = [shape.replace(SECRET, f"{SECRET}-{n}") for n, shape in enumerate(shapes)]
    return (
        f"<!doctype html><body>{ALPINE}{''.join(f'<div>{shape}</div>{ends}' for shape in numbered)}"
    )
