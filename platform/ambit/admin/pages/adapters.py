"""Adapters: what a tenant has, where each stands, and what ended it. Registering is the API's."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ambit.adapters.queries import AdapterNotFound, list_adapters
from ambit.adapters.services import NotPromotable, promote_adapter, retire_adapter
from ambit.adapters.types import AdapterView
from ambit.admin.page import MISSING, page, show, to
from ambit.admin.people import members_by_id
from tenants.ids import parse_id, public_id

MISSING.append(AdapterNotFound)
ROLES: Final = ("admin",)
PER_PAGE = 50
# A sentence for each; `{document}` is the id of the training document.
WHY = {
    "by_hand": "Somebody retired it.",
    "hidden": "{document} was deleted, erased, held or restricted.",
    "moved": "{document} has other readers by now.",
    "replaced": "{document} has new content.",
    "not_stored": "Its weights could not be stored. Register it again.",
}
FAULTS = {
    "no_server": "No model server is set up.",
    "other_base": "Another model is served than the one it was trained for.",
    "no_files": "Its files are not in the folder of weights.",
    "refused": "A model server refuses it. Its log says why.",
    "unreachable": "A model server cannot be reached; it is tried again.",
}


@page("adapters/", name="adapters", roles=ROLES, methods=("GET", "POST"))
def adapters(request: HttpRequest) -> HttpResponseBase:
    """List adapters, newest first; promote or retire one."""
    if request.method == "POST":
        return _act(request)
    after = parse_id("adapter", request.GET.get("after", ""))
    found = list_adapters(after=after, limit=PER_PAGE + 1)
    shown = found[:PER_PAGE]
    return show(
        request, "adapters.html", title="Adapters", newest=bool(after),
        lines=[(one, public_id("adapter", one.id), _said(one)) for one in shown],
        people=members_by_id(one.registered_by_id for one in shown),
        older=public_id("adapter", shown[-1].id) if len(found) > PER_PAGE else "",
    )  # fmt: skip


def _act(request: HttpRequest) -> HttpResponseBase:
    adapter_id = parse_id("adapter", request.POST.get("adapter", ""))
    if adapter_id is None:
        raise AdapterNotFound
    if request.POST.get("act") == "retire":
        retire_adapter(adapter_id=adapter_id)
        messages.success(request, "Retired. Nobody uses it any more; workers destroy its weights.")
        return to("adapters")
    try:
        promote_adapter(adapter_id=adapter_id)
    except NotPromotable:
        messages.error(request, "It cannot go live: only a candidate whose weights are stored can.")
    else:
        messages.success(
            request, "Live. Members who see all it was trained on may use it once it is loaded."
        )
    return to("adapters")


def _said(one: AdapterView) -> str:
    if one.retired_because:
        document = public_id("document", one.retired_for_id) if one.retired_for_id else "A document"
        return WHY[one.retired_because].format(document=document)
    return FAULTS.get(one.load_fault, "") if one.state == "live" else ""
