"""How unfold looks and what its frame shows; settings import it, so no model may be imported here."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static


def _static(path: str) -> Any:
    return lambda request: static(path)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Ambit",
    "SITE_HEADER": "Ambit",
    "SITE_SYMBOL": "adjust",
    "SITE_URL": None,
    "SITE_ICON": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": _static("ambit_admin/ambit.svg"),
        }
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "8px",
    "ENVIRONMENT": "ambit.admin.menu.ribbon",
    "STYLES": [_static("ambit_admin/admin.css")],
    "SCRIPTS": [_static("ambit_admin/admin.js")],
    "COLORS": {
        "primary": {
            "50": "oklch(97.5% .014 190)",
            "100": "oklch(94.5% .032 190)",
            "200": "oklch(89.5% .06 190)",
            "300": "oklch(82% .09 191)",
            "400": "oklch(71% .1 192)",
            "500": "oklch(60% .098 195)",
            "600": "oklch(49.5% .085 198)",
            "700": "oklch(43% .074 200)",
            "800": "oklch(37.5% .061 203)",
            "900": "oklch(33% .05 206)",
            "950": "oklch(24% .04 210)",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "ambit.admin.menu.navigation",
    },
}
