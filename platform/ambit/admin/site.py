"""The admin site: unfold's frame, and exactly the pages that are declared; no model is registered."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.timesince import timeuntil
from django.views.decorators.debug import sensitive_post_parameters
from unfold.sites import UnfoldAdminSite

from ambit.admin.accounts import password_was_changed
from ambit.admin.forms import dress
from ambit.admin.frame import site_context
from ambit.admin.page import PAGES, Page
from ambit.admin.palette import results_for
from ambit.admin.seats import seat_of
from ambit.admin.signin import TooManyGuesses
from tenants.models import Account

PAGE_MODULES = (
    "home", "tenants", "limits", "offboarding", "members", "keys", "groups", "collections", "documents", "upload",
    "readers", "sight", "ask", "policy", "erasures", "erasure_steps", "exports", "holds", "retention",
    "adapters", "events", "trail", "usage",
)  # fmt: skip


def declared_pages() -> list[Page]:
    """Return every page, after the modules that declare them were read."""
    for name in PAGE_MODULES:
        import_module(f"ambit.admin.pages.{name}")
    return PAGES


class SignInForm(AdminAuthenticationForm):
    """Asks for the sign-in name and the password."""

    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": "This sign-in name and password do not match an account that may enter. "
        "Names look like your-company/you@example.com.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        """Dress the fields."""
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "Sign-in name"
        self.fields["username"].widget.attrs.update(autofocus=True, spellcheck="false")
        for field in self.fields.values():
            dress(field)

    def clean(self) -> dict[str, Any]:
        """Check the password; say when there were too many guesses."""
        try:
            return super().clean()
        except TooManyGuesses as error:
            raise ValidationError(
                f"Too many wrong guesses. Try again in {timeuntil(error.until)}.", code="wait"
            ) from error


class OwnPasswordForm(PasswordChangeForm):
    """Asks for the present password and, twice, for one of the person's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Dress the fields."""
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = "Present password"
        self.fields["new_password1"].label = "New password"
        self.fields["new_password1"].help_text = "At least 12 characters, and no common password."
        self.fields["new_password2"].label = "New password, once more"
        self.fields["new_password2"].help_text = ""
        for field in self.fields.values():
            dress(field)

    def clean_new_password2(self) -> str:
        """Refuse the password that was given: whoever passed it on knows it."""
        chosen: str = self.cleaned_data.get("new_password2", "")
        if chosen and self.user.check_password(chosen):
            raise ValidationError("Choose a password that differs from the present one.")
        return chosen


class AmbitAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold is untyped
    """Serves the declared pages and nothing that Django's admin would add."""

    login_form = SignInForm
    login_template = "ambit_admin/sign_in.html"
    index_title = "Home"

    def register(self, *args: Any, **kwargs: Any) -> None:
        """Register nothing: a page is declared in ambit.admin.pages, with the roles it is for."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Say whether somebody with a seat is signed in."""
        return seat_of(request) is not None

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return no models."""
        return []

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Return sign-in, the pages, and a last one that answers 404."""
        return [
            path("login/", self.login, name="login"),
            path("logout/", self.logout, name="logout"),
            path("password_change/", self.admin_view(self.password_change), name="password_change"),
            path("search/", self.admin_view(self.search), name="search"),
            *(self._pattern(p) for p in declared_pages()),
        ]

    def _pattern(self, declared: Page) -> URLPattern:
        view: Any = self.admin_view(declared.view)
        view.own_scope = getattr(declared.view, "own_scope", False)
        pattern: URLPattern = path(declared.path, view, name=declared.name)
        return pattern

    def search(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Answer the command palette; nothing is cached, so nothing outlives a permission."""
        seat = seat_of(request)
        found = results_for(seat, request.GET.get("s", "")) if seat else []
        context = {"results": found, **(extra_context or {})}
        return TemplateResponse(request, "ambit_admin/parts/palette.html", context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Let a person choose a password; the first sign-in leads here."""
        return cast(HttpResponse, _password_page(request))

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Sign out and show the sign-in page again."""
        super().logout(request, extra_context)
        messages.info(request, "You are signed out.")
        return redirect("admin:login")


@sensitive_post_parameters()
def _password_page(request: HttpRequest) -> HttpResponseBase:
    account = cast(Account, request.user)
    first = account.must_change_password
    form = OwnPasswordForm(account, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        form.save()
        password_was_changed(account)
        update_session_auth_hash(request, account)
        messages.success(request, "Your password is changed. Other sessions of yours are ended.")
        return redirect("admin:index")
    context = {
        **site_context(request),
        "title": "Choose your password",
        "form": form,
        "first": first,
    }
    if first:
        context["sidebar_navigation"] = []
    status = 422 if form.is_bound else 200
    return TemplateResponse(request, "ambit_admin/password.html", context, status=status)
