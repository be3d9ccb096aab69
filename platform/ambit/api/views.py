"""The base of every call: one transaction from authentication to audit, problems instead of tracebacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import copy_context
from typing import Any, ClassVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ambit.api import idempotency
from ambit.api.authentication import caller_scope, member_header
from ambit.api.bodies import AlwaysJson, Input, QuestionParser, StrictJsonParser, checked, read_id
from ambit.api.lines import line_of, remember
from ambit.api.permissions import Caller, Policy, PolicyUndeclared
from ambit.api.requests import request_id_of
from ambit.metering import figures
from tenants.audit import has_recorded, record
from tenants.ids import any_id
from tenants.secrets import PresentedKey
from tenants.steps import NoPlace, in_step

REPLAYED_HEADER = "Idempotency-Replayed"
# Two at once: each takes the interpreter from whoever streams, for as long as it reads a piece of JSON.
_READING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ambit-read")
HANDLERS = ("get", "post", "put", "patch", "delete")


class AmbitView(APIView):
    """A resource. Declares one policy for each method it answers, or cannot be defined at all.

    The whole call is one transaction in the caller's scope; whatever is raised rolls it back.
    With own_transactions the scope ends once the caller is let in, and the handler opens it again
    with in_scope(), so that no transaction waits for a model.
    """

    policies: ClassVar[dict[str, Policy]] = {}
    own_transactions: ClassVar[bool] = False
    # What a POST makes, for its Idempotency-Key; show() renders it, first and again.
    makes: ClassVar[str] = ""
    # What a GET is called in the audit trail, where its handler records nothing more telling itself.
    reads: ClassVar[str] = ""
    parser_classes = [StrictJsonParser]
    content_negotiation_class = AlwaysJson
    http_method_names = [*HANDLERS, "head"]

    caller: Caller | None = None
    made: tuple[UUID, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a handler without a policy when the module is loaded."""
        super().__init_subclass__(**kwargs)
        missing = [m for m in HANDLERS if hasattr(cls, m) and m.upper() not in cls.policies]
        if missing:
            raise PolicyUndeclared(f"{cls.__name__} declares no policy for {', '.join(missing)}")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the request."""
        self._prepare(request, args, kwargs)
        try:
            response = self._answer()
        except Exception as error:  # noqa: BLE001 - the edge: every exception becomes a problem
            response = self.handle_exception(error)
        return self._finish(response)

    def perform_authentication(self, request: Request) -> None:
        """Nothing: the caller is established with its scope, before this."""

    def show(self, object_ids: Sequence[UUID], *, status: int) -> Response:
        """Render what a POST made, as it is now; every view with `makes` has its own."""
        raise NotImplementedError

    @contextmanager
    def in_scope(self) -> Iterator[Caller]:
        """Open the caller's scope, asking for key, member and policy again."""
        try:
            with ExitStack() as scopes:
                yield self._let_in(scopes)
        finally:
            _let_connection_go()

    def acting_member(self) -> UUID:
        """Return the member the call is made for or by; its policy made sure there is one."""
        if self.caller is None or self.caller.member_id is None:
            raise PolicyUndeclared(f"{type(self).__name__} asks for a member without needing one")
        return self.caller.member_id

    def body(self, shape: type[Input]) -> dict[str, Any]:
        """Return the body's values; raise ValidationError."""
        return checked(shape, self.request.data)

    def query(self, shape: type[Input]) -> dict[str, Any]:
        """Return the query's values; raise ValidationError."""
        return checked(shape, self.request.query_params)

    def id_in_path(self, kind: str, name: str = "id") -> UUID:
        """Return an identifier of the path; what is malformed is as unknown as what is made up."""
        found: UUID = read_id(kind, self.kwargs[name])
        return found

    def _prepare(self, request: HttpRequest, args: Any, kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs
        self.headers = self.default_response_headers
        self.request = self.initialize_request(request, *args, **kwargs)

    def _answer(self) -> HttpResponseBase:
        with ExitStack() as scopes:
            if self.own_transactions:
                self._admit()
                response: HttpResponseBase = self._handler()(
                    self.request, *self.args, **self.kwargs
                )
                return response
            self._let_in(scopes)
            return self._once(self._handler())

    def _admit(self) -> None:
        """Let the caller in and close the scope again."""
        with self.in_scope():
            pass

    def _let_in(self, scopes: ExitStack) -> Caller:
        policy = self.policies.get(self._method())
        if not (policy and policy.public):
            presented: Any = self.request.auth
            if presented is not None:
                self.caller = scopes.enter_context(self._caller_scope(presented))
                self.request.user = self.caller  # type: ignore[assignment]  # our user is a Caller
        self.initial(self.request, *self.args, **self.kwargs)
        return self.caller  # type: ignore[return-value]  # None for public calls, which do not ask

    def _caller_scope(self, presented: PresentedKey) -> AbstractContextManager[Caller]:
        plain = self.request._request  # noqa: SLF001 - DRF's wrapper
        return caller_scope(
            presented, member=member_header(self.request), request_id=request_id_of(plain)
        )

    def _handler(self) -> Any:
        name = (self.request.method or "").lower()
        if name not in self.http_method_names:
            return self.http_method_not_allowed
        return getattr(self, name, self.http_method_not_allowed)

    def _method(self) -> str:
        return "GET" if self.request.method == "HEAD" else self.request.method or ""

    def _once(self, handler: Any) -> HttpResponseBase:
        """Call the handler, or show what the request's Idempotency-Key has made before."""
        taken = self.begin_once()
        if isinstance(taken, idempotency.Earlier):
            return self.replayed(taken)
        response: HttpResponseBase = handler(self.request, *self.args, **self.kwargs)
        self.finish_once(taken, status=response.status_code)
        if self.caller is not None and self.caller.tenant_id and not has_recorded():
            # Also what changed nothing, such as taking somebody out of a group who is not in it.
            action = self.reads if self._method() == "GET" and self.reads else "request.answered"
            record(action, object_id=any_id(self.kwargs.get("id", "")))
        return response

    def begin_once(self) -> idempotency.Slot | idempotency.Earlier | None:
        """Take the Idempotency-Key of a POST that makes something."""
        if self.request.method != "POST" or not self.makes or self.caller is None:
            return None
        return idempotency.begin(self.request, self.caller, kind=self.makes)

    def finish_once(self, taken: idempotency.Slot | None, *, status: int) -> None:
        """Keep under the Idempotency-Key what was made, or free it when nothing was."""
        if taken is None:
            return
        if self.made is None:
            idempotency.give_up(taken)
        else:
            idempotency.finish(taken, status=status, object_ids=self.made)

    def replayed(self, earlier: idempotency.Earlier) -> Response:
        """Show again what the key has made."""
        record("request.replayed", object_id=next(iter(earlier.object_ids), None))
        response = self.show(earlier.object_ids, status=earlier.status)
        response.headers[REPLAYED_HEADER] = "true"
        return response

    def created(self, object_ids: Sequence[UUID], *, status: int = 201) -> Response:
        """Note what the POST has made and show it."""
        self.made = tuple(object_ids)
        return self.show(object_ids, status=status)

    def _finish(self, response: HttpResponseBase) -> HttpResponseBase:
        final = self.finalize_response(self.request, response)  # type: ignore[arg-type]  # any response will do
        final.headers.setdefault("Cache-Control", "no-store")
        return final


class AsyncAmbitView(AmbitView):
    """A resource whose handlers wait for a model: when the client goes away, so does the work."""

    own_transactions = True
    parser_classes = [QuestionParser]

    values: dict[str, Any] | None = None

    async def dispatch(  # type: ignore[override]  # Django awaits it where the handlers are async
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Answer the request."""
        self._prepare(request, args, kwargs)
        try:
            presented: Any = self.request.auth
            await in_step(self._admit, of=line_of(presented))
            remember(presented)
            response = await self._handler()(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the edge: every exception becomes a problem
            if isinstance(error, NoPlace):
                figures.count_refused("busy")
            response = await sync_to_async(self.handle_exception)(error)
        return self._finish(response)

    async def read(self, shape: type[Input]) -> dict[str, Any]:
        """Return the body's values, read in a thread, so that streams go on meanwhile; raises as body()."""
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(_READING, run, self.body, shape)

    def body(self, shape: type[Input]) -> dict[str, Any]:
        """Return the body's values, read once; raise ValidationError."""
        if self.values is None:
            self.values = super().body(shape)
        return self.values


def located(body: Any, path: str, *, status: int) -> Response:
    """Answer what was made, with its address."""
    return Response(body, status=status, headers={"Location": path})


def _let_connection_go() -> None:
    """Give the connection back to the pool before waiting for something else."""
    if not connection.in_atomic_block:
        connection.close()
