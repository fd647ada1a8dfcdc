"""Analysts browse leads: a list that is narrowed, searched and kept as views, the person masked."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from intake.trouble import is_time_up
from leadping.console import lead as lead_page
from leadping.console.find import seconds_to_wait, slow_down
from leadping.console.pages import View, needs, page
from leads import search
from leads.admin import RecordAdmin
from leads.browse import ORDERS, Browse, Page, Totals
from leads.columns import COLUMNS, Column
from leads.models import Lead, SavedView
from leads.moments import PERIODS, bound
from leads.narrow import FILTERS, Filter
from leads.saved import NotSaved
from sources import looks

LIST = "admin:leads_lead_changelist"
TOO_MUCH = "There is too much to look through: narrow the list, by a time for example."

# What the form of filters shows beside one another, below a heading.
GROUPS = (
    ("When", ("period", "from", "to", "hour")),
    ("From whom", ("source", "vendor", "business", "sub_id")),
    ("What became of it", ("status", "finding", "held_for", "reviewed")),
    ("What it is", ("state", "product", "vertical", "tag", "without")),
    ("Price and tests", ("price_from", "price_to", "tests")),
)


class LeadAdmin(RecordAdmin):
    """Every lead, the person masked: its list, and a page for each."""

    def get_urls(self) -> list[Any]:
        pages = [
            path(route, self.admin_site.admin_view(view), name=name)
            for route, view, name in (*lead_page.PAGES, *PAGES)
        ]
        return [*pages, *super().get_urls()]

    @method_decorator(sensitive_post_parameters())
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied("leads.view_lead")
        if request.method == "POST":
            return searched(request)
        return listed(request)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        lead = self.get_object(request, object_id)
        if lead is None or not self.has_view_permission(request, lead):
            return super().change_view(request, object_id, *args, **kwargs)  # which says so
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied  # what happened is not changed
        return lead_page.shown(request, lead)


def may_reveal(request: HttpRequest) -> bool:
    """Say whether who looks may see persons, if for each with a reason."""
    return bool(request.user.has_perm("leads.reveal_lead"))


def listed(request: HttpRequest) -> HttpResponseBase:
    """Answer with the list as the URL asks for it; what is wrong in it is told and left out."""
    given = request.GET.dict()
    if "col" in request.GET:  # the boxes of the form of columns
        given["cols"] = ",".join(request.GET.getlist("col"))
        del given["col"]
    browse = Browse(given, may_reveal=may_reveal(request))
    known = {*FILTERS, *search.PARAMS, "cols", "order", "after", "before"}
    unknown = given.keys() - known
    if unknown:
        browse.faults.append("The list has no such filter: " + ", ".join(sorted(unknown))[:100])
    for one in browse.faults:
        messages.warning(request, one)
    if browse.faults or "col" in request.GET or not all(given.values()):
        return redirect(f"{request.path}?{browse.query()}")
    return shown(request, browse)


def shown(
    request: HttpRequest, browse: Browse, typed: str = "", trouble: str = ""
) -> HttpResponseBase:
    """Return the page of the list; of no lead where what was `typed` has not been found."""
    found: Page | None = None
    totals: Totals | None = None
    trouble = trouble or browse.trouble
    try:
        if not typed:
            found = browse.page()
            totals = browse.totals()
    except DatabaseError as error:
        if not is_time_up(error):
            raise
        trouble = "" if found else TOO_MUCH
    leads = found.leads if found else []
    query = browse.query()
    views = list(SavedView.objects.for_user(request.user).select_related("by"))
    chips = browse.chips()
    return page(
        request,
        "leads.html",
        "Leads",
        opts=Lead._meta,
        browse=browse,
        query=query,
        columns=browse.columns,
        rows=[(one, [(each, each.shown(one)) for each in browse.columns]) for one in leads],
        found=found,
        totals=totals,
        by_status=[
            (f"{totals.by_status[one]:,}", one.lower())
            for one in Lead.Status.values
            if totals and one in totals.by_status
        ],
        foot=foot_of(browse, totals) if totals and leads else [],
        chips=chips,
        cleared=browse.query((*FILTERS, *search.PARAMS)),
        periods=[
            (label, browse.query(("from", "to", "period"), period=name), name)
            for name, label in PERIODS.items()
        ],
        any_time=browse.query(("from", "to", "period")),
        groups=[(title, [field_of(browse, name) for name in names]) for title, names in GROUPS],
        carried=carried(browse, FILTERS),
        carried_by_columns=carried(browse, ["cols"]),
        choice=[(one, one in browse.columns) for one in COLUMNS],
        orders=[
            (label, browse.query(("order",), **({} if name == "newest" else {"order": name})), name)
            for name, label in ORDERS.items()
        ],
        views=[(one, one.query == query, one.by_id == request.user.pk) for one in views],
        is_view=any(one.query == query for one in views),
        is_mine=any(one.query == query and one.by_id == request.user.pk for one in views),
        usual_columns=browse.query(("cols",)),
        typed=typed,
        trouble=trouble,
    )


@dataclass(frozen=True, slots=True)
class FormField:
    """A filter as the form shows it: the kind of its input, what is chosen, and what is offered.

    `options` is None where one types.
    """

    filter: Filter
    kind: str
    chosen: str
    options: list[tuple[str, str]] | None


def field_of(browse: Browse, name: str) -> FormField:
    """Return a filter for the form; sending it untouched changes nothing."""
    one = FILTERS[name]
    chosen, kind = browse.chosen.get(name, ""), one.kind
    options = browse.options(name)
    if options:
        options = [(value, looks.flat(label)) for value, label in options]
    if options is not None and chosen and chosen not in dict(options):
        options = [(chosen, one.shown(chosen)), *options]
    if kind == "date" and len(chosen) > len("2026-11-25"):
        kind, local = "datetime-local", timezone.localtime(bound(chosen))
        chosen = f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03}"
    return FormField(one, kind, chosen, options)


def carried(browse: Browse, without: Any) -> list[tuple[str, str]]:
    """Return what a form of the list carries along besides what it asks for itself."""
    return [
        (name, text)
        for name, text in QueryDict(browse.query(without)).items()
        if isinstance(text, str)
    ]


def foot_of(browse: Browse, totals: Totals) -> list[tuple[Column, str]]:
    """Return the totals under each column."""
    approved = totals.by_status.get(Lead.Status.APPROVED.value, 0)
    told = {
        "complianceStatus": f"{approved / totals.leads:.0%} approved" if totals.leads else "",
        "price": f"{totals.price:,.2f}" if totals.priced else "",
    }
    cells = [told.get(one.name, "") for one in browse.columns]
    if browse.columns[0].name not in told:
        cells[0] = (
            f"{browse.order.capitalize()} {totals.at_most:,}" if totals.is_capped else "Total"
        )
    return list(zip(browse.columns, cells, strict=True))


@sensitive_variables("text", "found")
def searched(request: HttpRequest) -> HttpResponseBase:
    """Lead to the leads that fit what was typed; it stays out of the URL, which is kept in logs."""
    text = request.POST.get("find", "").strip()
    allowed = may_reveal(request)
    browse = Browse(QueryDict(request.POST.get("query", "")).dict(), may_reveal=allowed)
    if not text:
        return redirect(f"{reverse(LIST)}?{browse.query()}")
    if wait := seconds_to_wait(request.user):
        return shown(request, browse, text, slow_down(wait))
    found = search.find(text, may_reveal=allowed)
    for other in found[1:]:  # a vendor's id may be the name of somebody
        url = f"{reverse(LIST)}?{other.param}={other.value}"
        messages.info(request, format_html('There is also: <a href="{}">{}</a>.', url, other.told))
    if found:  # among all leads, but as the list was shown
        others = (*FILTERS, *search.PARAMS)
        return redirect(
            f"{reverse(LIST)}?{browse.query(others, **{found[0].param: found[0].value})}"
        )
    return shown(request, browse, text, search.why_not(text, may_reveal=allowed))


# --- views that are kept --------------------------------------------------------------------------


@require_POST
@needs("leads.view_lead")
def keep_view(request: HttpRequest) -> HttpResponseBase:
    """Keep the filters and columns of a list under a name."""
    given = QueryDict(request.POST.get("query", "")).dict()
    query = Browse(given, may_reveal=may_reveal(request)).query()
    is_shared = request.POST.get("is_shared") == "on"
    try:
        view = SavedView.objects.keep(
            request.user,
            request.POST.get("name", ""),
            query,
            is_shared=is_shared,
            is_over=request.POST.get("is_over") == "on",
        )
    except NotSaved as error:
        messages.error(request, str(error))
    else:
        told = "shared with everybody who may see leads" if is_shared else "for you alone"
        messages.success(request, f"The view “{view.name}” is kept, {told}.")
    return redirect(f"{reverse(LIST)}?{query}")


@require_POST
@needs("leads.view_lead")
def change_saved_view(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Share a view of one's own, keep it to oneself again, or delete it."""
    view = get_object_or_404(SavedView, pk=pk, by=request.user)
    verb = request.POST.get("verb")
    if verb == "delete":
        view.delete()
        messages.success(request, f"The view “{view.name}” is gone.")
    elif verb in ("share", "unshare"):
        view.is_shared = verb == "share"
        view.save(update_fields=["is_shared"])
        told = "shared" if view.is_shared else "for you alone"
        messages.success(request, f"The view “{view.name}” is {told}.")
    else:
        messages.error(request, "Nothing was done: there is no such verb.")
    return redirect(f"{reverse(LIST)}?{view.query}")


# Below the list of leads: route, view, name.
PAGES: list[tuple[str, View, str]] = [
    ("views/", keep_view, "leads_views"),
    ("views/<uuid:pk>/", change_saved_view, "leads_view"),
]
