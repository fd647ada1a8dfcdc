"""Staff take rows out as files: what is going to be in one, how it comes along, the file itself.

Everybody sees their own exports; who reads the audit sees the record of all, and the file of none.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from intake.trouble import is_time_up
from leadping.console.pages import View, needs, page
from leads import exporting, scheduling
from leads.exports import (
    KINDS,
    MAY_EXPORT,
    MAY_EXPORT_PERSONS,
    Estimate,
    Export,
    ExportSchedule,
    Kind,
    NotExportable,
)
from leads.files import FORMATS
from leads.models import SavedView
from leads.reviews import REASON_MAX_LENGTH
from leads.saved import NAME_MAX_LENGTH

SHOWN = 50
AUDIT = "console.view_audit"
# Where one comes from, by the kind of what is exported.
LISTS = {"leads": "admin:leads_lead_changelist", "report": "admin:reports"}
# How much a cell takes in a file, and how many a worker writes a second: for a first guess.
CELL_BYTES = 16
CELLS_A_SECOND = {"csv": 1_000_000, "ndjson": 800_000, "xlsx": 60_000, "parquet": 500_000}


def trail() -> list[tuple[str, str]]:
    """Return the way to the pages of this module."""
    return [("Exports", reverse("admin:exports"))]


# --- what is going to be exported -----------------------------------------------------------------


class ExportForm(forms.Form):
    """What kind of file of what the list shows."""

    format = forms.ChoiceField(widget=forms.RadioSelect, initial="csv")
    columns = forms.ChoiceField(
        widget=forms.RadioSelect,
        initial="shown",
        choices=[("shown", "Those of the list"), ("all", "All there are")],
    )
    persons = forms.ChoiceField(
        label="The person",
        widget=forms.RadioSelect,
        initial="masked",
        choices=[("masked", "Masked"), ("plain", "With name, phone, e-mail and address")],
    )
    reason = forms.CharField(
        label="Why you need the persons",
        required=False,
        max_length=REASON_MAX_LENGTH,
        help_text="Goes on record, with your name, for each of the leads.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, data: Any, kind: Kind, query: str, *, may_see_persons: bool) -> None:
        super().__init__(data, label_suffix="")
        fields: dict[str, Any] = self.fields
        offered = [(one.name, one.label) for one in FORMATS.values() if not one.trouble()]
        fields["format"].choices = offered
        if kind.widened(query) == query:
            del fields["columns"]
        if not (may_see_persons and kind.has_persons):
            del fields["persons"], fields["reason"]

    @property
    def is_masked(self) -> bool:
        return bool(self.cleaned_data.get("persons", "masked") == "masked")

    def query(self, kind: Kind, query: str) -> str:
        """Return the query with the columns that were chosen."""
        return kind.widened(query) if self.cleaned_data.get("columns") == "all" else query


class ScheduleForm(ExportForm):
    """The same, again and again."""

    field_order = ["name", "period", "every", "hour"]
    name = forms.CharField(max_length=NAME_MAX_LENGTH, widget=forms.TextInput())
    period = forms.ChoiceField(
        label="Leads received",
        choices=list(scheduling.WHOLE_PERIODS.items()),
        help_text="As of the day on which the file is made.",
    )
    every = forms.ChoiceField(label="How often", choices=ExportSchedule.Every.choices)
    hour = forms.TypedChoiceField(
        label="At", coerce=int, choices=[(hour, f"{hour}:00") for hour in range(24)], initial=6
    )


def kind_for(request: HttpRequest, name: str) -> Kind:
    """Return a kind that somebody may export; raises Http404 or PermissionDenied."""
    kind = KINDS.get(name)
    if kind is None:
        raise Http404
    if not request.user.has_perms(kind.permissions):
        raise PermissionDenied(*kind.permissions)
    return kind


@needs(MAY_EXPORT)
def new(request: HttpRequest, kind_name: str) -> HttpResponseBase:
    """Say what is going to be exported, and have it made."""
    kind = kind_for(request, kind_name)
    query = query_of(request)
    form = form_for(request, ExportForm, kind, query)
    trouble = ""
    if form.is_valid():
        try:
            one = exporting.ask(
                request.user,
                kind.name,
                form.query(kind, query),
                form.cleaned_data["format"],
                is_masked=form.is_masked,
                reason=form.cleaned_data.get("reason", ""),
                estimate=estimated(kind, query, request.user),
            )
        except NotExportable as error:
            trouble = str(error)
        else:
            return redirect("admin:export", one.id)
    return asked(request, "export_new.html", f"Export {kind.label.lower()}", kind, form, trouble)


def query_of(request: HttpRequest) -> str:
    """Return the query of the list that is to be exported."""
    given = request.POST.get("query", "") if request.method == "POST" else request.GET.urlencode()
    return given[:4000]


def form_for(request: HttpRequest, form: type[ExportForm], kind: Kind, query: str) -> Any:
    data = request.POST if request.method == "POST" else None
    may_see_persons = request.user.has_perm(MAY_EXPORT_PERSONS)
    return form(data, kind, query, may_see_persons=may_see_persons)


def asked(
    request: HttpRequest, template: str, title: str, kind: Kind, form: ExportForm, trouble: str
) -> HttpResponseBase:
    """Return the page that asks what to export, with what it is going to be."""
    query = query_of(request)
    context: dict[str, Any] = {}
    try:
        with exporting.in_zone():
            checked = kind.checked(query, request.user, timezone.now())
            told = kind.told(query, request.user)
        estimate = estimated(kind, checked, request.user)
        context = {
            "chips": told,
            "estimate": estimate,
            "columns": [one.name for one in kind.fields(checked, is_masked=True)],
            "guesses": guesses(estimate, kind, checked),
        }
    except NotExportable as error:
        trouble, context = trouble or str(error), {"is_off": True}
    return page(
        request,
        template,
        title,
        status=400 if request.method == "POST" else 200,
        trail=trail(),
        kind=kind,
        form=form,
        query=query,
        trouble=trouble,
        back=f"{reverse(LISTS[kind.name])}?{query}" if kind.name in LISTS else "",
        not_offered=[one.trouble() for one in FORMATS.values() if one.trouble()],
        kept_hours=settings.EXPORT_KEPT_HOURS,
        zone=timezone.get_current_timezone_name(),
        **context,
    )


def estimated(kind: Kind, query: str, user: Any) -> Estimate:
    """Return how many rows there will be, if that can be said in time."""
    try:
        with exporting.in_zone():
            return kind.estimate(query, user)
    except DatabaseError as error:
        if not is_time_up(error):
            raise
        return Estimate(None)


def guesses(estimate: Estimate, kind: Kind, query: str) -> list[tuple[str, int, int]]:
    """Return of each format how large the file may be, and how many seconds it may take."""
    if not estimate.rows:
        return []
    cells = estimate.rows * len(kind.fields(query, is_masked=True))
    rates = {name: rate for name, rate in CELLS_A_SECOND.items() if not FORMATS[name].trouble()}
    return [
        (FORMATS[name].label, cells * CELL_BYTES, max(round(cells / rate), 1))
        for name, rate in rates.items()
    ]


# --- exports --------------------------------------------------------------------------------------


@require_GET
@needs(MAY_EXPORT)
def exports(request: HttpRequest) -> HttpResponseBase:
    """List the exports of who looks, the newest first."""
    rows = mine(request)[:SHOWN]
    return page(request, "exports.html", "Exports", rows=rows, shown=SHOWN, trail=[])


def mine(request: HttpRequest) -> Any:
    """Return the exports of who asks."""
    return Export.objects.filter(by=request.user.pk)


def own(request: HttpRequest, pk: UUID) -> Export:
    """Return an export of who asks; raises Http404."""
    found: Export = get_object_or_404(mine(request).select_related("by", "again_of"), pk=pk)
    return found


def seen(request: HttpRequest, pk: UUID) -> Export:
    """Return an export that somebody may see the record of; raises PermissionDenied or Http404."""
    if request.user.has_perm(AUDIT):
        found: Export = get_object_or_404(Export.objects.select_related("by", "again_of"), pk=pk)
        return found
    if not request.user.has_perm(MAY_EXPORT):
        raise PermissionDenied(MAY_EXPORT)
    return own(request, pk)


@require_GET
def export(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Show one export: how it comes along, then the file."""
    return shown(request, seen(request, pk))


def shown(
    request: HttpRequest, one: Export, trouble: str = "", status: int = 200
) -> HttpResponseBase:
    kind = KINDS.get(one.kind)
    try:
        with exporting.in_zone():
            chips = kind.told(one.query, request.user) if kind else []
    except NotExportable:  # a source or tag of it is gone
        chips = [("Query", one.query)]
    return page(
        request,
        "export.html",
        one.file_name,
        status=status,
        trail=trail(),
        chips=chips,
        trouble=trouble,
        list_url=f"{reverse(LISTS[one.kind])}?{one.query}" if one.kind in LISTS else "",
        downloads=one.downloads.select_related("by").order_by("-at")[:SHOWN],
        **progress_of(request, one),
    )


def progress_of(request: HttpRequest, one: Export) -> dict[str, Any]:
    """Return what the changing part of the page of an export takes."""
    return {
        "one": one,
        "is_mine": one.by_id == request.user.pk,
        "is_made": one.is_read and not one.is_over,
        "format": FORMATS[one.format].label if one.format in FORMATS else one.format,
        "share": min(one.rows_done, one.estimate or 0),
    }


@require_GET
def progress(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Return the changing part of the page alone, for its script."""
    one = seen(request, pk)
    return page(request, "_export_progress.html", one.file_name, **progress_of(request, one))


@require_GET
@needs(MAY_EXPORT)
def file(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Return the file, to who asked for it and still may, once that is on record."""
    one = own(request, pk)
    try:
        parts = exporting.fetched(one, request.user)
    except exporting.Gone as error:
        return shown(request, one, str(error), status=410)
    except NotExportable as error:
        raise PermissionDenied(str(error)) from None
    return StreamingHttpResponse(
        parts,
        content_type=FORMATS[one.format].media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{one.file_name}"',
            "Content-Length": str(one.size),
        },
    )


@require_POST
@needs(MAY_EXPORT)
def cancel(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Have an export leave off."""
    try:
        exporting.cancel(own(request, pk))
    except NotExportable as error:
        messages.error(request, str(error))
    return redirect("admin:export", pk)


@require_POST
@needs(MAY_EXPORT)
def again(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Ask for the same once more."""
    try:
        return redirect("admin:export", exporting.again(own(request, pk)).id)
    except NotExportable as error:
        messages.error(request, str(error))
    return redirect("admin:export", pk)


# --- schedules ------------------------------------------------------------------------------------


@require_GET
@needs(MAY_EXPORT)
def schedules(request: HttpRequest) -> HttpResponseBase:
    """List the schedules of who looks, and of what new ones can be made."""
    return page(
        request,
        "export_schedules.html",
        "Scheduled exports",
        trail=trail(),
        rows=ExportSchedule.objects.filter(by=request.user.pk),
        views=SavedView.objects.for_user(request.user)[:SHOWN],
        zone=timezone.get_current_timezone_name(),
    )


@needs(MAY_EXPORT)
def schedule_new(request: HttpRequest, kind_name: str) -> HttpResponseBase:
    """Have an export made again and again."""
    kind = kind_for(request, kind_name)
    query = query_of(request)
    form = form_for(request, ScheduleForm, kind, query)
    trouble = ""
    if form.is_valid():
        given = form.cleaned_data
        try:
            one = scheduling.add(
                request.user,
                given["name"],
                kind.name,
                form.query(kind, query),
                given["period"],
                given["format"],
                given["every"],
                given["hour"],
                is_masked=form.is_masked,
                reason=given.get("reason", ""),
            )
        except NotExportable as error:
            trouble = str(error)
        else:
            messages.success(request, f"“{one.name}” is made from {told_at(one.next_at)} on.")
            return redirect("admin:export_schedules")
    return asked(request, "export_schedule_new.html", "Export on a schedule", kind, form, trouble)


def told_at(at: Any) -> str:
    """Return a moment in words, in the console's zone."""
    return f"{timezone.localtime(at):%b %-d, %H:%M}"


@require_POST
@needs(MAY_EXPORT)
def schedule(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """Switch a schedule of one's own on or off, or delete it."""
    one = get_object_or_404(ExportSchedule, pk=pk, by=request.user)
    verb = request.POST.get("verb")
    if verb == "delete":
        one.delete()
        messages.success(request, f"The schedule “{one.name}” is gone; its exports stay on record.")
    elif verb in ("on", "off"):
        scheduling.switch(one, is_on=verb == "on")
        messages.success(request, f"The schedule “{one.name}” is {verb}.")
    else:
        messages.error(request, "Nothing was done: there is no such verb.")
    return redirect("admin:export_schedules")


PAGES: list[tuple[str, View, str]] = [
    ("exports/", exports, "exports"),
    ("exports/new/<slug:kind_name>/", new, "export_new"),
    ("exports/schedules/", schedules, "export_schedules"),
    ("exports/schedules/new/<slug:kind_name>/", schedule_new, "export_schedule_new"),
    ("exports/schedules/<uuid:pk>/", schedule, "export_schedule"),
    ("exports/<uuid:pk>/", export, "export"),
    ("exports/<uuid:pk>/progress/", progress, "export_progress"),
    ("exports/<uuid:pk>/file/", file, "export_file"),
    ("exports/<uuid:pk>/cancel/", cancel, "export_cancel"),
    ("exports/<uuid:pk>/again/", again, "export_again"),
]
