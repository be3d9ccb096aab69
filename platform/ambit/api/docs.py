"""The OpenAPI document, a page that shows it without the internet, and the list of problems."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.templatetags.static import static
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from ambit.api.permissions import PUBLIC
from ambit.api.problem_table import FAULT, TABLE
from ambit.api.views import AmbitView

UI = "drf_spectacular_sidecar/swagger-ui-dist"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none';"
    " frame-ancestors 'none'; form-action 'none'"
)
STARTER = """window.addEventListener("load", () => SwaggerUIBundle({
  url: "/v1/schema", dom_id: "#docs", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
}));
"""


class SchemaView(AmbitView):
    """The OpenAPI document."""

    policies = {"GET": PUBLIC}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> JsonResponse:
        """Show the OpenAPI document of this API."""
        return JsonResponse(openapi())


class DocsView(AmbitView):
    """The page that shows the OpenAPI document."""

    policies = {"GET": PUBLIC}
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Show the page."""
        head = f'<link rel="stylesheet" href="{static(f"{UI}/swagger-ui.css")}">'
        scripts = "".join(
            f'<script src="{source}"></script>'
            for source in (static(f"{UI}/swagger-ui-bundle.js"), "/docs/start.js")
        )
        return _page("Ambit: REST API", f'<main id="docs"></main>{scripts}', head=head)


class DocsStarterView(AmbitView):
    """The page's own script, in a file because the page allows no other."""

    policies = {"GET": PUBLIC}
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """Show the script."""
        return HttpResponse(STARTER, content_type="text/javascript; charset=utf-8")


class ProblemsView(AmbitView):
    """What the `type` of every problem leads to."""

    policies = {"GET": PUBLIC}
    schema = None

    def get(self, request: Request) -> HttpResponse:
        """List the problems."""
        problems = {p.code: p for p in [*TABLE.values(), FAULT]}
        rows = "".join(
            f'<tr id="{escape(p.code)}"><th scope="row"><code>{escape(p.code)}</code></th>'
            f"<td>{p.status}</td><td>{escape(p.title)}</td></tr>"
            for p in sorted(problems.values(), key=lambda p: (p.status, p.code))
        )
        head = "<thead><tr><th>code</th><th>status</th><th>meaning</th></tr></thead>"
        body = f"<main><h1>Problems</h1><table>{head}<tbody>{rows}</tbody></table></main>"
        return _page("Ambit: problems", body)


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    """Return the OpenAPI document, made once per process."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]  # has no types
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


def _page(title: str, body: str, *, head: str = "") -> HttpResponse:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>{head}</head><body>{body}</body></html>"
    )
    headers = {"Content-Security-Policy": POLICY, "X-DNS-Prefetch-Control": "off"}
    return HttpResponse(page, headers=headers)
