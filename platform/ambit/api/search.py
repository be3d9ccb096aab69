"""Search: the passages a member may see that bear on a question."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.access.queries import CollectionNotFound, list_collections
from ambit.api.bodies import Choice, PublicId, QuestionParser, ShortList, Text, Whole
from ambit.api.filters import FilterFields, read_filters
from ambit.api.permissions import Policy
from ambit.api.shapes import Output
from ambit.api.views import AmbitView
from ambit.corpus.search import MAX_K, search
from ambit.corpus.types import Clearance
from ambit.inference.embedding import embed_query
from tenants.audit import record

MAX_QUERY_LENGTH = 8000
MAX_COLLECTIONS = 200
DEFAULT_K = 10


class QuestionInput(FilterFields):
    """How much to look for, and where."""

    k = Whole(required=False, default=DEFAULT_K, min_value=1, max_value=MAX_K)
    collections = ShortList(
        child=PublicId("collection"),
        required=False,
        allow_null=True,
        max_length=MAX_COLLECTIONS,
        default=None,
        help_text="Left out or null: all the member may see. Empty: none.",
    )


class SearchInput(QuestionInput):
    """What to look for."""

    query = Text(max_length=MAX_QUERY_LENGTH)
    mode = Choice(["hybrid", "vector", "text"], required=False, default="hybrid")


class PassageDocumentOutput(Output):
    """The document a passage stands in."""

    id = PublicId("document", source="document_id")
    title = serializers.CharField()
    version = serializers.IntegerField()
    collection = PublicId("collection", source="collection_id")


class PassageOutput(Output):
    """A passage; offsets count characters of the document's text (GET …/content?as=text)."""

    document = PassageDocumentOutput(source="*")
    chunk = PublicId("chunk", source="chunk_id")
    text = serializers.CharField()
    section = serializers.CharField()
    page_first = serializers.IntegerField(allow_null=True)
    page_last = serializers.IntegerField(allow_null=True)
    char_start = serializers.IntegerField()
    char_end = serializers.IntegerField()
    score = serializers.FloatField(help_text="Comparable within one result only.")
    similarity = serializers.FloatField(
        allow_null=True, help_text="Cosine similarity; null where only the words matched."
    )


class SearchOutput(Output):
    """Passages, best first."""

    results = PassageOutput(many=True)


class SearchView(AmbitView):
    """Search."""

    policies = {"POST": Policy("search")}
    own_transactions = True
    parser_classes = [QuestionParser]

    @extend_schema(request=SearchInput, responses=SearchOutput)
    def post(self, request: Request) -> Response:
        """Find the passages the member may see that bear on a query, best first."""
        asked = self.body(SearchInput)
        vector = None if asked["mode"] == "text" else embed_query(asked["query"])
        with self.in_scope():
            clearance = clearance_for(member_id=self.acting_member())
            passages = search(
                clearance=clearance,
                query=asked["query"],
                embedding=vector,
                k=asked["k"],
                mode=asked["mode"],
                filters=read_filters(
                    asked, collection_ids=within(asked["collections"], clearance=clearance)
                ),
            )
            record(
                "search",
                document_ids=sorted({p.document_id for p in passages}),
                chunk_ids=[p.chunk_id for p in passages],
                counts={"passages": len(passages)},
            )
        return Response({"results": PassageOutput(passages, many=True).data})


def within(collection_ids: Sequence[UUID] | None, *, clearance: Clearance) -> list[UUID] | None:
    """Return the collections to look in; raise CollectionNotFound for one the member cannot see."""
    if collection_ids is None:
        return None
    seen = {c.id for c in list_collections(clearance=clearance)}
    unknown = [c for c in collection_ids if c not in seen]
    if unknown:
        raise CollectionNotFound(unknown[0])
    return list(dict.fromkeys(collection_ids))
