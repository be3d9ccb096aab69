"""Several text documents in one call, each taken or refused by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from ambit.access.clearance import clearance_for
from ambit.api.bodies import checked
from ambit.api.document_shapes import BatchInput, BatchOutput, TextInput
from ambit.api.documents import WRITES, upload_one
from ambit.api.problems import problem_body
from ambit.api.views import AmbitView
from ambit.corpus.queries import DocumentNotFound, visible_documents
from tenants.ids import NO_ID, public_id


class BatchView(AmbitView):
    """A batch of documents."""

    policies = {"POST": WRITES}
    makes = "document"

    @extend_schema(request=BatchInput, responses={202: BatchOutput})
    def post(self, request: Request) -> Response:
        """Upload up to 500 text documents; the answer has one outcome for each, in order."""
        member_id = self.acting_member()
        results = []
        for index, fields in enumerate(self.body(BatchInput)["documents"]):
            results.append(self._one(index, fields, member_id=member_id))
        self.made = tuple(made or NO_ID for made, _ in results)
        return Response({"results": [outcome for _, outcome in results]}, status=202)

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render the outcomes again; what was refused then is not kept, and what is out of sight not shown."""
        clearance = clearance_for(member_id=self.acting_member())
        seen = visible_documents(document_ids=object_ids, clearance=clearance)
        results = [
            self._shown(index, made, is_seen=made in seen) for index, made in enumerate(object_ids)
        ]
        return Response({"results": results}, status=status)

    def _shown(self, index: int, made: UUID, *, is_seen: bool) -> dict[str, Any]:
        if is_seen:
            return _outcome(index, 202, made, None)
        if made == NO_ID:
            return _outcome(index, 409, None, None)
        problem = problem_body(DocumentNotFound(made), request=self.request._request)  # noqa: SLF001 - DRF's wrapper
        return _outcome(index, 404, None, problem)

    def _one(
        self, index: int, fields: Any, *, member_id: UUID
    ) -> tuple[UUID | None, dict[str, Any]]:
        try:
            with transaction.atomic():
                made = upload_one(checked(TextInput, fields), member_id=member_id)
        except (OperationalError, InterfaceError):
            # The whole call fails with the database, and can be repeated as it is.
            raise
        except Exception as error:  # noqa: BLE001 - one document's problem is not the others'
            problem = problem_body(error, request=self.request._request)  # noqa: SLF001 - DRF's wrapper
            return None, _outcome(index, problem["status"], None, problem)
        return made, _outcome(index, 202, made, None)


def _outcome(
    index: int, status: int, made: UUID | None, problem: dict[str, Any] | None
) -> dict[str, Any]:
    shown = public_id("document", made) if made else None
    return {"index": index, "status": status, "id": shown, "problem": problem}
