"""Members: who they are, their groups, role, keys and sign-in."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.accounts import RoleHasNoSeat, give_sign_in, sign_in_of, withdraw_sign_in
from ambit.admin.forms import PlainForm
from ambit.admin.listing import page_of
from ambit.admin.page import here, page, show, to
from ambit.admin.people import UnknownPrincipal, find_group, group_suggestions, groups_by_id
from ambit.admin.seats import TENANT_ROLES
from ambit.erasure.members import MemberBeingErased, resume_member
from tenants.models import Account, Group, GroupMember, Member, Role
from tenants.queries import get_member, list_keys
from tenants.services import (
    MemberTaken,
    add_to_group,
    create_member,
    remove_from_group,
    set_member_role,
    set_member_suspended,
)

ROLES: Final = ("admin",)
LIST = "members"


class MemberForm(PlainForm):
    """Asks for a new member."""

    name = forms.CharField(label="Name", max_length=200, required=False)
    email = forms.EmailField(label="E-mail", max_length=254)
    external_id = forms.CharField(
        label="External id",
        max_length=200,
        required=False,
        help_text="As your own system knows this person, such as a staff number. Empty: the e-mail address.",
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Role.choices,
        initial=Role.MEMBER,
        help_text="A role is about this admin site. What a member may read comes from grants alone.",
    )


class RoleForm(PlainForm):
    """Asks for a member's role."""

    role = forms.ChoiceField(label="Role", choices=Role.choices)


@page("members/", name="members", roles=ROLES)
def members(request: HttpRequest) -> HttpResponseBase:
    """List and find members."""
    text, role, state = (request.GET.get(n, "").strip() for n in ("q", "role", "state"))
    found = Member.objects.order_by("name", "email", "id")
    if text:
        found = found.filter(
            Q(name__icontains=text) | Q(email__icontains=text) | Q(external_id__icontains=text)
        )
    if role in Role.values:
        found = found.filter(role=role)
    if state in {"active", "suspended"}:
        found = found.filter(suspended_at__isnull=state == "active")
    rows = page_of(request, found)
    ids = [m.pk for m in rows]
    accounts = Account.objects.filter(tenant_id=here(request).tenant_id, member_id__in=ids)
    signed = set(accounts.values_list("member_id", flat=True))
    return show(
        request, "members.html", title="Members", rows=rows, signed=signed, q=text, role=role,
        state=state, roles=Role.choices, filtered=bool(text or role or state),
    )  # fmt: skip


@page("members/new/", name="member_new", roles=ROLES, methods=("GET", "POST"))
def member_new(request: HttpRequest) -> HttpResponseBase:
    """Add a member."""
    form = MemberForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        values = form.cleaned_data
        try:
            made = create_member(
                external_id=values["external_id"] or values["email"].lower(),
                email=values["email"],
                name=values["name"],
                role=values["role"],
            )
        except MemberTaken:
            form.refuse(None, "There is a member with this e-mail address or external id already.")
        else:
            messages.success(
                request, "The member is added. Put it into groups, so that it can see something."
            )
            return to("member", member_id=made.pk)
    return show(
        request, "form.html", title="New member", trail=[("Members", reverse("admin:members"))],
        form=form, submit="Add member", cancel=reverse("admin:members"), refused=form.is_bound,
    )  # fmt: skip


@page("members/<ambit_member:member_id>/", name="member", roles=ROLES)
def member(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Show a member."""
    return _show(request, member_id)


@page("members/<ambit_member:member_id>/role/", name="member_role", roles=ROLES, methods=("POST",))
def member_role(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Change a member's role."""
    found = get_member(member_id=member_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        return _show(request, member_id, problem="Choose one of the roles.")
    if member_id == here(request).member_id:
        return _show(
            request,
            member_id,
            problem="You cannot change your own role: ask another administrator.",
        )
    if form.cleaned_data["role"] != found.role:
        set_member_role(member_id=member_id, role=form.cleaned_data["role"])
        messages.success(request, "The role is changed.")
    return to("member", member_id=member_id)


@page(
    "members/<ambit_member:member_id>/suspension/",
    name="member_suspension",
    roles=ROLES,
    methods=("GET", "POST"),
)
def member_suspension(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Suspend a member, or let it back."""
    found = get_member(member_id=member_id)
    suspend = found.suspended_at is None
    if member_id == here(request).member_id:
        return _show(
            request, member_id, problem="You cannot suspend yourself: ask another administrator."
        )
    if request.method == "POST":
        _suspend_or_resume(request, member_id, suspend=suspend)
        return to("member", member_id=member_id)
    return show(
        request, "confirm.html", title=f"{'Suspend' if suspend else 'Resume'} {found.name or found.email}?",
        trail=_trail(found),
        consequences=[
            "Sees nothing from the next statement on, through any key, application or sign-in.",
            "Groups, grants and documents stay as they are.",
            "You can resume the member at any time.",
        ]
        if suspend
        else ["Sees again what its groups and grants allow, from the next statement on."],
        submit="Suspend member" if suspend else "Resume member", danger=suspend,
        cancel=reverse("admin:member", args=[member_id]),
    )  # fmt: skip


@page(
    "members/<ambit_member:member_id>/groups/", name="member_groups", roles=ROLES, methods=("POST",)
)
def member_groups(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Put a member into a group, or take it out of one."""
    get_member(member_id=member_id)
    try:
        group = find_group(request.POST.get("group", ""))
    except UnknownPrincipal:
        return _show(
            request, member_id, problem="There is no such group. Choose one of the suggestions."
        )
    if request.POST.get("do") == "remove":
        remove_from_group(group_id=group.pk, member_id=member_id)
        messages.success(request, "Removed from the group; in force with the next search.")
    else:
        add_to_group(group_id=group.pk, member_id=member_id)
        messages.success(request, "Added to the group; in force with the next search.")
    return to("member", member_id=member_id)


@page(
    "members/<ambit_member:member_id>/sign-in/",
    name="member_sign_in",
    roles=ROLES,
    methods=("GET", "POST"),
)
def member_sign_in(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Give a member a sign-in to this site, with a one-time password that is shown once."""
    found = get_member(member_id=member_id)
    if request.method == "POST":
        try:
            made = give_sign_in(member_id=member_id)
        except RoleHasNoSeat:
            return _show(
                request,
                member_id,
                problem="Members of this role see nothing here. Change the role first.",
            )
        return show(
            request, "sign_in_given.html", title="Sign-in created", trail=_trail(found),
            member=found, sign_in=made,
        )  # fmt: skip
    again = sign_in_of(member_id=member_id) is not None
    return show(
        request, "confirm.html", title="New one-time password?" if again else "Give a sign-in to this site?",
        trail=_trail(found),
        consequences=[
            "A one-time password is shown once, on the next page. Pass it on by a safe way.",
            "At the first sign-in a password of one’s own must be chosen.",
            *(["The present password stops working and all sessions end."] if again else []),
        ],
        submit="Make one-time password", cancel=reverse("admin:member", args=[member_id]),
    )  # fmt: skip


@page(
    "members/<ambit_member:member_id>/sign-in/withdraw/",
    name="member_sign_in_withdraw",
    roles=ROLES,
    methods=("GET", "POST"),
)
def member_sign_in_withdraw(request: HttpRequest, member_id: UUID) -> HttpResponseBase:
    """Take a member's sign-in away."""
    found = get_member(member_id=member_id)
    if member_id == here(request).member_id:
        return _show(
            request,
            member_id,
            problem="You cannot withdraw your own sign-in: ask another administrator.",
        )
    if request.method == "POST":
        withdraw_sign_in(member_id=member_id)
        messages.success(request, "The sign-in is withdrawn and its sessions are ended.")
        return to("member", member_id=member_id)
    return show(
        request, "confirm.html", title="Withdraw the sign-in?", trail=_trail(found),
        consequences=["The person can no longer enter this site; its sessions end at once.",
                      "What it may read through applications is not changed."],
        submit="Withdraw sign-in", danger=True, cancel=reverse("admin:member", args=[member_id]),
    )  # fmt: skip


def _show(request: HttpRequest, member_id: UUID, *, problem: str = "") -> HttpResponseBase:
    found = get_member(member_id=member_id)
    places = GroupMember.objects.filter(member_id=member_id).values_list("group_id", flat=True)
    groups: list[Group] = sorted(groups_by_id(places).values(), key=lambda g: g.name.lower())
    return show(
        request, "member.html", title=found.name or found.email, refused=bool(problem), problem=problem,
        trail=[("Members", reverse("admin:members"))], member=found, groups=groups,
        keys=list_keys(member_id=member_id), account=sign_in_of(member_id=member_id),
        role_form=RoleForm(initial={"role": found.role}), may_sign_in=found.role in TENANT_ROLES,
        is_me=member_id == here(request).member_id, suggestions=group_suggestions(),
    )  # fmt: skip


def _trail(member: Member) -> list[tuple[str, str]]:
    return [
        ("Members", reverse("admin:members")),
        (member.name or member.email, reverse("admin:member", args=[member.pk])),
    ]


def _suspend_or_resume(request: HttpRequest, member_id: UUID, *, suspend: bool) -> None:
    if suspend:
        set_member_suspended(member_id=member_id, suspended=True)
        messages.success(request, "The member is suspended.")
        return
    try:
        resume_member(member_id=member_id)
    except MemberBeingErased:
        messages.error(
            request, "The member is being erased and cannot come back; nothing was changed."
        )
    else:
        messages.success(request, "The member is active again.")
