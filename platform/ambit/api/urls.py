"""Every address of the API."""

from __future__ import annotations

from django.urls import URLPattern, path

from ambit.api import (
    answers,
    audit,
    batches,
    candidates,
    collections,
    contents,
    conversations,
    docs,
    documents,
    erasures,
    exports,
    groups,
    health,
    keys,
    members,
    offboarding,
    restrictions,
    retention,
    search,
    tenants,
    trail,
    webhooks,
)

V1 = [
    path("tenants", tenants.TenantsView.as_view()),
    path("tenants/<str:id>/offboarding", offboarding.OffboardingView.as_view()),
    path("tenants/<str:id>/offboarding/certificate", offboarding.CertificateView.as_view()),
    path("tenants/<str:id>/offboarding/trail", offboarding.ClosedTrailView.as_view()),
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
    path("conversations", conversations.ConversationsView.as_view()),
    path("conversations/<str:id>", conversations.ConversationView.as_view()),
    path("erasures", erasures.ErasuresView.as_view()),
    path("erasures/candidates", candidates.CandidatesView.as_view()),
    path("erasures/<str:id>", erasures.ErasureView.as_view()),
    path("erasures/<str:id>/identity", erasures.IdentityView.as_view()),
    path("erasures/<str:id>/refusal", erasures.RefusalView.as_view()),
    path("erasures/<str:id>/extension", erasures.ExtensionView.as_view()),
    path("erasures/<str:id>/receipt", erasures.ReceiptView.as_view()),
    path("erasures/<str:id>/notices", webhooks.ErasureNoticesView.as_view()),
    path("holds", restrictions.HoldsView.as_view()),
    path("holds/<str:id>", restrictions.HoldView.as_view()),
    path("holds/<str:id>/release", restrictions.ReleaseView.as_view()),
    path("restrictions", restrictions.RestrictionsView.as_view()),
    path("restrictions/<str:id>", restrictions.RestrictionView.as_view()),
    path("restrictions/<str:id>/lift", restrictions.LiftView.as_view()),
    path("retention", retention.RetentionView.as_view()),
    path("exports", exports.ExportsView.as_view()),
    path("exports/<str:id>", exports.ExportView.as_view()),
    path("exports/<str:id>/file", exports.ExportFileView.as_view()),
    path("webhooks", webhooks.WebhooksView.as_view()),
    path("webhooks/<str:id>", webhooks.WebhookView.as_view()),
    path("audit/events", audit.EventsView.as_view()),
    path("audit/events/<str:id>/proof", trail.EventProofView.as_view()),
    path("audit/checkpoints", trail.CheckpointsView.as_view()),
    path("audit/consistency", trail.ConsistencyView.as_view()),
    path("audit/key", trail.AuditKeyView.as_view()),
    path("audit/export", trail.AuditExportView.as_view()),
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


def ready_paths(isolation_faults: object, tombstone_faults: object) -> list[URLPattern]:
    """Return the readiness probe, which asks the composition root what would forbid to serve."""
    ready = health.ReadyView.as_view
    asked = {"isolation_faults": isolation_faults, "tombstone_faults": tombstone_faults}
    return [path("readyz", ready(**asked)), path("v1/readyz", ready(**asked, schema=None))]
