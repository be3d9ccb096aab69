"""Every address of the API."""

from __future__ import annotations

from django.urls import URLPattern, path

from ambit.api import (
    answers,
    audit,
    batches,
    collections,
    contents,
    docs,
    documents,
    erasures,
    groups,
    health,
    keys,
    members,
    search,
    tenants,
)

V1 = [
    path("tenants", tenants.TenantsView.as_view()),
    path("members", members.MembersView.as_view()),
    path("members/<str:id>", members.MemberView.as_view()),
    path("members/<str:id>/keys", keys.MemberKeysView.as_view()),
    path("keys", keys.ServiceKeysView.as_view()),
    path("keys/<str:id>", keys.KeyView.as_view()),
    path("groups", groups.GroupsView.as_view()),
    path("groups/<str:id>", groups.GroupView.as_view()),
    path("groups/<str:id>/members/<str:member>", groups.GroupMemberView.as_view()),
    path("groups/<str:id>/groups/<str:child>", groups.GroupChildView.as_view()),
    path("collections", collections.CollectionsView.as_view()),
    path("collections/<str:id>", collections.CollectionView.as_view()),
    path("collections/<str:id>/grants", collections.CollectionGrantsView.as_view()),
    path("documents", documents.DocumentsView.as_view()),
    path("documents/batch", batches.BatchView.as_view()),
    path("documents/<str:id>", documents.DocumentView.as_view()),
    path("documents/<str:id>/content", contents.ContentView.as_view()),
    path("documents/<str:id>/grants", documents.DocumentGrantsView.as_view()),
    path("documents/<str:id>/retry", documents.RetryView.as_view()),
    path("search", search.SearchView.as_view()),
    path("answers", answers.AnswersView.as_view()),
    path("answers/<str:id>", answers.AnswerView.as_view()),
    path("erasures", erasures.ErasuresView.as_view()),
    path("erasures/<str:id>", erasures.ErasureView.as_view()),
    path("erasures/<str:id>/receipt", erasures.ReceiptView.as_view()),
    path("audit/events", audit.EventsView.as_view()),
    path("schema", docs.SchemaView.as_view()),
    path("livez", health.LiveView.as_view(schema=None)),
]
PAGES = [
    path("docs", docs.DocsView.as_view()),
    path("docs/start.js", docs.DocsStarterView.as_view()),
    path("docs/problems", docs.ProblemsView.as_view()),
    path("livez", health.LiveView.as_view()),
    path("metrics", health.MetricsView.as_view()),
]


def ready_paths(isolation_faults: object) -> list[URLPattern]:
    """Return the readiness probe, which asks the composition root whether tenants are isolated."""
    ready = health.ReadyView.as_view
    return [
        path("readyz", ready(isolation_faults=isolation_faults)),
        path("v1/readyz", ready(isolation_faults=isolation_faults, schema=None)),
    ]
