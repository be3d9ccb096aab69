"""What each call asks of its caller: declared beside the handler, refused when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from rest_framework.permissions import BasePermission

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

CallerKind = Literal["operator", "service", "member"]


class Unauthenticated(PermissionError):
    """No key was presented, or none that is known: not told apart."""


class OperatorOnly(PermissionError):
    """A tenant's key was used for a call of the operator's."""


class OperatorHasNoContent(PermissionError):
    """An operator's key was used for a call inside a tenant."""


class ScopeMissing(PermissionError):
    """The key lacks the scope; carries its name."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope


class RoleMissing(PermissionError):
    """The member's role does not allow the call; carries the roles that would."""

    def __init__(self, roles: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(roles)))
        self.roles = ", ".join(sorted(roles))


class MemberRequired(ValueError):
    """A service's key made a data call without saying for whom."""


class PolicyUndeclared(RuntimeError):
    """A handler declares no policy: a fault of ours, refused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, established from the key alone."""

    kind: CallerKind
    key_id: UUID
    tenant_id: UUID | None = None
    # Whom a service's key acts for, or whose the member's key is.
    member_id: UUID | None = None
    role: str | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def is_authenticated(self) -> bool:
        """Say yes: a caller exists only once its key was found."""
        return True


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may make one call.

    public: anybody. operator: the operator's key and no other. Else a tenant's key with the scope;
    a member by its own key or named by a service's must have one of the roles (none given: any);
    a service naming nobody is let through only where needs_member is False.
    """

    scope: str = ""
    roles: frozenset[str] = frozenset()
    needs_member: bool = True
    operator: bool = False
    public: bool = False

    def check(self, caller: Caller | None) -> None:
        """Raise one of this module's refusals unless the caller may."""
        if self.public:
            return
        if caller is None:
            raise Unauthenticated
        if self.operator != (caller.kind == "operator"):
            raise OperatorOnly if self.operator else OperatorHasNoContent
        if self.operator:
            return
        if self.scope not in caller.scopes:
            raise ScopeMissing(self.scope)
        if caller.member_id is None and self.needs_member:
            raise MemberRequired
        if caller.member_id is not None and self.roles and caller.role not in self.roles:
            raise RoleMissing(self.roles)


PUBLIC = Policy(public=True)
OPERATOR = Policy(operator=True)


class DeclaredPolicy(BasePermission):
    """Applies the policy the view declares for the method; a handler without one raises PolicyUndeclared."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True or raise; a method the view lacks needs a known caller and then answers 405."""
        policies: dict[str, Policy] = getattr(view, "policies", {})
        method = "GET" if request.method == "HEAD" else request.method or ""
        policy = policies.get(method)
        if policy is None:
            if method.lower() in view.http_method_names and hasattr(view, method.lower()):
                raise PolicyUndeclared(type(view).__name__)
            if request.user is None and not all(p.public for p in policies.values()):
                raise Unauthenticated
            return True
        caller: Any = request.user
        policy.check(caller)
        return True
