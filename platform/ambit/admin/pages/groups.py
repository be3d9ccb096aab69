"""Groups: their members, and groups inside groups."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from ambit.admin.forms import PlainForm
from ambit.admin.listing import page_of
from ambit.admin.page import page, show, to
from ambit.admin.people import (
    UnknownPrincipal,
    find_group,
    group_suggestions,
    groups_by_id,
    groups_with_counts,
    member_suggestions,
    members_by_id,
)
from tenants.models import Group, GroupChild, GroupMember
from tenants.queries import MemberNotFound, find_member, get_group, get_member
from tenants.services import (
    GroupCycle,
    GroupTaken,
    add_to_group,
    create_group,
    nest_group,
    remove_from_group,
    unnest_group,
)

ROLES: Final = ("admin",)
UNKNOWN_MEMBER = "There is no active member of this name. Choose one of the suggestions."


class GroupForm(PlainForm):
    """Asks for a new group."""

    name = forms.CharField(label="Name", max_length=200, help_text="Such as Finance or Board.")
    external_id = forms.CharField(
        label="External id",
        max_length=200,
        help_text="As your own directory knows the group, such as grp-finance.",
    )


@page("groups/", name="groups", roles=ROLES)
def groups(request: HttpRequest) -> HttpResponseBase:
    """List and find groups."""
    text = request.GET.get("q", "").strip()
    found = Group.objects.order_by("name", "id")
    if text:
        found = found.filter(Q(name__icontains=text) | Q(external_id__icontains=text))
    rows = page_of(request, found)
    counted = groups_with_counts(
        Group.objects.filter(pk__in=[g.pk for g in rows]).order_by("name", "id")
    )
    return show(
        request,
        "groups.html",
        title="Groups",
        rows=rows,
        counted=counted,
        q=text,
        filtered=bool(text),
    )


@page("groups/new/", name="group_new", roles=ROLES, methods=("GET", "POST"))
def group_new(request: HttpRequest) -> HttpResponseBase:
    """Create a group."""
    form = GroupForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            made = create_group(
                external_id=form.cleaned_data["external_id"], name=form.cleaned_data["name"]
            )
        except GroupTaken:
            form.refuse("external_id", "There is a group with this external id already.")
        else:
            messages.success(request, "The group is created. Add its members.")
            return to("group", group_id=made.pk)
    return show(
        request, "form.html", title="New group", trail=[("Groups", reverse("admin:groups"))], form=form,
        submit="Create group", cancel=reverse("admin:groups"), refused=form.is_bound,
    )  # fmt: skip


@page("groups/<ambit_group:group_id>/", name="group", roles=ROLES)
def group(request: HttpRequest, group_id: UUID) -> HttpResponseBase:
    """Show a group."""
    return _show(request, group_id)


@page(
    "groups/<ambit_group:group_id>/members/", name="group_members", roles=ROLES, methods=("POST",)
)
def group_members(request: HttpRequest, group_id: UUID) -> HttpResponseBase:
    """Add a member to a group, or remove one."""
    get_group(group_id=group_id)
    text = request.POST.get("member", "").strip()
    remove = request.POST.get("do") == "remove"
    try:
        # A suspended member is not found by name, and must be removable all the same.
        found = get_member(member_id=UUID(text)) if remove else find_member(text=text)
    except (MemberNotFound, ValueError):
        return _show(request, group_id, problem=UNKNOWN_MEMBER)
    if remove:
        remove_from_group(group_id=group_id, member_id=found.pk)
        messages.success(request, "Removed; in force with the next search.")
    else:
        add_to_group(group_id=group_id, member_id=found.pk)
        messages.success(request, "Added; in force with the next search.")
    return to("group", group_id=group_id)


@page(
    "groups/<ambit_group:group_id>/groups/", name="group_children", roles=ROLES, methods=("POST",)
)
def group_children(request: HttpRequest, group_id: UUID) -> HttpResponseBase:
    """Put a group into a group, or take it out."""
    parent = get_group(group_id=group_id)
    try:
        child = find_group(request.POST.get("group", ""))
    except UnknownPrincipal:
        return _show(
            request, group_id, problem="There is no such group. Choose one of the suggestions."
        )
    if request.POST.get("do") == "remove":
        unnest_group(parent_id=group_id, child_id=child.pk)
        messages.success(request, "Taken out; in force with the next search.")
        return to("group", group_id=group_id)
    try:
        nest_group(parent_id=group_id, child_id=child.pk)
    except GroupCycle:
        sentence = (
            "A group cannot contain itself."
            if child.pk == group_id
            else f"{child.name} already contains {parent.name}, directly or through other groups: "
            "each would contain the other. Nothing was changed."
        )
        return _show(request, group_id, problem=sentence)
    messages.success(request, "Put in; its members now count as members of this group.")
    return to("group", group_id=group_id)


def _show(request: HttpRequest, group_id: UUID, *, problem: str = "") -> HttpResponseBase:
    found = get_group(group_id=group_id)
    places = GroupMember.objects.filter(group_id=group_id).values_list("member_id", flat=True)
    inside = GroupChild.objects.filter(parent_id=group_id).values_list("child_id", flat=True)
    around = GroupChild.objects.filter(child_id=group_id).values_list("parent_id", flat=True)
    return show(
        request, "group.html", title=found.name, trail=[("Groups", reverse("admin:groups"))],
        problem=problem, refused=bool(problem), group=found,
        members=sorted(members_by_id(places).values(), key=lambda m: (m.name or m.email).lower()),
        children=sorted(groups_by_id(inside).values(), key=lambda g: g.name.lower()),
        parents=sorted(groups_by_id(around).values(), key=lambda g: g.name.lower()),
        member_suggestions=member_suggestions(), group_suggestions=group_suggestions(),
    )  # fmt: skip
