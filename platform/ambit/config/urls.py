"""Every address of the web process."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from ambit.api import urls as api
from ambit.config.isolation import canary_faults
from ambit.config.restored import tombstone_faults

handler400 = "ambit.api.problems.bad_request"
handler403 = "ambit.api.problems.forbidden"
handler404 = "ambit.api.problems.not_found"
handler500 = "ambit.api.problems.server_error"

urlpatterns = [
    path("v1/", include(api.V1)),
    path("", include(api.PAGES)),
    *api.ready_paths(canary_faults, tombstone_faults),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(url="/admin/")),
    path("admin", RedirectView.as_view(url="/admin/")),
]
