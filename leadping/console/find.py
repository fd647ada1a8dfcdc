"""Finding anything of the console by what one types: pages, sources, leads, each if one may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from intake import store
from leadping.console.navigation import ENTRIES
from leadping.console.pages import View, page
from leads import search
from leads.models import Lead
from leads.normalize import name_key
from sources.models import Source

SOURCES_SHOWN = 6
LEADS_SHOWN = 5
# Of those who may not reveal persons; at this rate the numbers behind one mask take 14 hours.
SEARCHES_A_MINUTE = 120
# What the script of the pages sends along, and gets no more than the results for.
SENT_BY_SCRIPT = "palette"
# What the leads of a match have in common, for the line that leads to all of them.
ALL_WITH = {
    "email": "All leads with this e-mail address",
    "phone": "All leads with this phone",
    "vendor_id": "All leads with this vendor's id",
    "certificate": "All leads with this certificate",
    "ending": "All leads with a phone that ends so",
    "name": "All leads with such a name",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Results of one kind: rows of the navigation, sources or leads, and where all of them are."""

    title: str
    pages: list[tuple[str, str]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    leads: list[Lead] = field(default_factory=list)
    all_label: str = ""
    all_url: str = ""


@sensitive_post_parameters()
@sensitive_variables()
def find(request: HttpRequest) -> HttpResponseBase:
    """Find what was typed: by POST alone, so that nobody's phone or name gets into an address."""
    text = request.POST.get("text", "").strip()
    context: dict[str, Any] = {"text": text}
    if request.method == "POST":
        wait = seconds_to_wait(request.user)
        groups, trouble = ([], slow_down(wait)) if wait else found(request.user, text)
        context |= {"groups": groups, "trouble": trouble, "is_sent": True}
        if request.headers.get("X-Requested-With") == SENT_BY_SCRIPT:
            return TemplateResponse(request, "console/_found.html", context)
    return page(request, "find.html", "Find", **context)


def seconds_to_wait(user: Any) -> int:
    """Count a search, and return how long to wait with the next: 0 unless there were very many.

    Whoever may not reveal persons could else try all numbers that a mask leaves open.
    """
    if user.has_perm("leads.reveal_lead"):
        return 0
    used, left_ms = store.use(f"search:{user.pk}", SEARCHES_A_MINUTE)
    return 0 if used is not None else max(-(-left_ms // 1000), 1)


def slow_down(seconds: int) -> str:
    return f"{SEARCHES_A_MINUTE} searches in a minute are enough: wait {seconds} s."


@sensitive_variables()
def found(user: Any, text: str) -> tuple[list[Group], str]:
    """Return what a person may see of what a text means, and why nothing, "" if there is some."""
    if not text:
        return [], "Type what you look for."
    readable = search.read(text)
    if readable is None:
        return [], search.why_not(text, may_reveal=True)
    groups = [*pages_of(user, readable), *sources_of(user, readable)]
    of_source = " or source" if user.has_perm("sources.view_source") else ""
    if user.has_perm("leads.view_lead"):
        may_reveal = user.has_perm("leads.reveal_lead")
        groups += leads_of(readable, may_reveal)
        why = search.why_not(readable, may_reveal=may_reveal)
        return groups, "" if groups else f"No page{of_source} has this name. {why}"
    return groups, "" if groups else f"No page{of_source} that you may see has this name."


@sensitive_variables()
def pages_of(user: Any, text: str) -> list[Group]:
    """Return the pages of the navigation with a word that begins so."""
    key = name_key(text)
    rows = [
        (label, reverse(f"admin:{name}"))
        for entries in ENTRIES.values()
        for label, name, permission in entries
        if key and f" {key}" in f" {name_key(label)}"
        if not permission or user.has_perm(permission)
    ]
    return [Group("Pages", pages=rows)] if rows else []


@sensitive_variables()
def sources_of(user: Any, text: str) -> list[Group]:
    """Return the sources whose name, or whose vendor's, holds the text."""
    if not user.has_perm("sources.view_source"):
        return []
    is_named = Q(name__icontains=text) | Q(vendor__name__icontains=text)
    rows = Source.objects.filter(is_named).select_related("vendor").order_by("name", "id")
    sources = list(rows[:SOURCES_SHOWN])
    return [Group("Sources", sources=sources)] if sources else []


@sensitive_variables()
def leads_of(text: str, may_reveal: bool) -> list[Group]:
    """Return for each meaning of a text its newest leads, and the way to all."""
    groups = []
    for match in search.find(text, may_reveal=may_reveal):
        try:
            fits = search.fitting(match.param, match.value, may_reveal=may_reveal)
        except search.NotFitting:  # changed or erased since
            continue
        rows = Lead.objects.filter(fits.q).select_related("source")
        leads = list(rows.order_by("-received_at", "-id")[:LEADS_SHOWN])
        all_label = ALL_WITH.get(match.how, "")
        url = f"{reverse('admin:leads_lead_changelist')}?{match.param}={match.value}"
        groups.append(
            Group(
                f"Leads: {fits.told}",
                leads=leads,
                all_label=all_label,
                all_url=url if all_label else "",
            )
        )
    return groups


# Route, view, name.
PAGES: list[tuple[str, View, str]] = [
    ("find/", find, "find"),
]
