"""Staff look at what happened: read-only, and nothing of the person but what staff wrote.

They settle look-backs, and import lists.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from leadping.jobs.models import Job
from leads import importing, masks, reveals
from leads.filters import ChoiceFilter, PeriodFilter
from leads.models import (
    Disclosure,
    Lead,
    LookBack,
    RegistryList,
    Review,
    Suppression,
    SuppressionImport,
)
from leads.reviews import REVEAL_LASTS, NotDecided, UnfitText, text_of
from sources import looks
from sources.models import Source
from sources.rules import Mode, Rule

COUNTED_AT_MOST = 10_000


class CappedPaginator(Paginator):
    """Pages that stop counting at 10,000 rows: counting millions costs more than showing them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:COUNTED_AT_MOST].count())


class RecordAdmin(admin.ModelAdmin):
    """What happened, for reading: nobody adds, changes or deletes it."""

    paginator = CappedPaginator
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LeadStatusFilter(ChoiceFilter):
    title = "status"
    parameter_name = "status"
    options = (*((one.value, one.label) for one in Lead.Status), ("held", "Blocked or rejected"))

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value == "held":
            return rows.filter(compliance_status__in=(Lead.Status.BLOCKED, Lead.Status.REJECTED))
        return rows.filter(compliance_status=value)


class HeldForFilter(ChoiceFilter):
    """By a rule that holds it; of a week, if no time is chosen: findings have no index."""

    title = "held for"
    parameter_name = "held_for"
    options = Rule.choices
    DAYS = 7

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not self.request.GET.get("from"):
            rows = rows.filter(received_at__gte=timezone.now() - timedelta(days=self.DAYS))
        # As the two databases write it; `as_row` and PostgreSQL put the two members first.
        kept = f'"code": "{value}", "mode": "hold"'
        findings = Cast("findings", TextField())
        found: QuerySet[Any] = rows.annotate(kept=findings).filter(kept__contains=kept)
        return found


class LeadTestFilter(ChoiceFilter):
    title = "tests"
    parameter_name = "tests"
    options = (("0", "without"), ("1", "only"))

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(is_test=value == "1")


@admin.register(Lead)
class LeadAdmin(RecordAdmin):
    """Every lead, the person masked; its page, on which whoever may reveals the person."""

    list_display = ["came", "person", "status", "why", "from_source", "state_", "product_", "price"]
    list_display_links = ["came"]
    list_filter = [LeadStatusFilter, "source", PeriodFilter, HeldForFilter, LeadTestFilter]
    list_select_related = ["source"]
    list_per_page = 50
    search_fields = ["=id", "=external_id"]
    search_help_text = "The id of a lead, or the vendor's own."
    ordering = ["-received_at", "-id"]
    sortable_by = ()

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.reveal)
        return [path("<uuid:pk>/reveal/", view, name="leads_lead_reveal"), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(id=UUID(term)), False
        except ValueError:
            # by the index on a source's external ids, source by source
            sources = list(Source.objects.values_list("id", flat=True))
            found = queryset.filter(source__in=sources, external_id=term)
            return found.exclude(external_id=""), False

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        lead = self.get_object(request, object_id)
        if lead is None or not self.has_view_permission(request, lead):
            return super().change_view(request, object_id, *args, **kwargs)  # which says so
        if request.method != "GET":
            raise PermissionDenied  # what happened is not changed
        # Before it is answered: an undo names who was shown the lead.
        Disclosure(lead=lead, at=timezone.now(), by_id=request.user.pk, how="page").save()
        return self.shown(request, lead)

    def shown(self, request: HttpRequest, lead: Lead) -> HttpResponse:
        """Return the page of a lead."""
        is_revealed = reveals.is_revealed(request.user, timezone.now(), lead=lead)
        reviews = list(lead.reviews.select_related("by"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Lead",
            "opts": self.opts,
            "original": lead,
            "lead": lead,
            "person": masks.person_of(lead, is_revealed=is_revealed),
            "is_revealed": is_revealed,
            "reveal_minutes": int(REVEAL_LASTS.total_seconds() // 60),
            "findings": reviews[-1].findings_after if reviews else lead.findings,
            "reviews": reviews,
            "posts": list(lead.posts.order_by("received_at")[:20]),
            "look_backs": list(lead.look_backs.select_related("suppression")),
            "tags": list(lead.tags.all()),
        }
        return TemplateResponse(request, "admin/leads/lead/change_form.html", context)

    @method_decorator(require_POST)
    def reveal(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Write down who is shown the person and why, then show it for some minutes."""
        if not request.user.has_perms(["leads.view_lead", "leads.reveal_lead"]):
            raise PermissionDenied
        lead = get_object_or_404(Lead, pk=pk)
        try:
            reveals.reveal(request.user, request.POST.get("reason", ""), lead=lead)
        except NotDecided as error:
            self.message_user(request, str(error), messages.ERROR)
        return redirect("admin:leads_lead_change", pk)

    @admin.display(description="received")
    def came(self, lead: Lead) -> str:
        return looks.moment(lead.received_at)

    @admin.display
    def person(self, lead: Lead) -> str:
        return looks.marked(masks.who(lead))

    @admin.display
    def status(self, lead: Lead) -> str:
        test = format_html(" {}", looks.badge("test")) if lead.is_test else ""
        return format_html("{}{}", looks.badge(lead.compliance_status), test)

    @admin.display(description="held for")
    def why(self, lead: Lead) -> str:
        standing = [one["code"] for one in lead.findings if one["mode"] != Mode.FLAG]
        return ", ".join(standing) or "-"

    @admin.display(description="source")
    def from_source(self, lead: Lead) -> str:
        return looks.marked(lead.source.name)

    @admin.display(description="state")
    def state_(self, lead: Lead) -> str:
        return looks.marked(lead.state)

    @admin.display(description="product")
    def product_(self, lead: Lead) -> str:
        return looks.marked(lead.product)


@admin.register(Suppression)
class SuppressionAdmin(RecordAdmin):
    list_display = ["suppressed_at", "kind", "channel", "business", "released_at"]
    ordering = ["-id"]  # by when they were made, which no other index has
    list_filter = ["kind", "channel", "business"]
    list_select_related = ["business"]
    search_fields = ["=id"]
    fields = [
        *("id", "kind", "channel", "business", "list_name", "listed_on"),
        *("suppressed_at", "reason", "provenance", "created_at", "created_by"),
        *("released_at", "released_by", "release_reason", "release_evidence"),
    ]


@admin.register(RegistryList)
class RegistryListAdmin(RecordAdmin):
    list_display = ["name", "listed_on", "loaded_at", "renewed_at", "retired_at"]


@admin.register(Review)
class ReviewAdmin(RecordAdmin):
    list_display = ["at", "decision", "lead", "by", "reason"]
    ordering = ["-at"]
    list_filter = ["decision"]
    list_select_related = ["lead", "by"]
    search_fields = ["=lead__id"]
    fields = [
        *("at", "decision", "lead", "by", "reason", "note", "written_consent"),
        *("status_before", "status_after", "came_and_went"),
        *("rules_version_before", "rules_version_after", "undoes", "seen_by"),
    ]
    readonly_fields = ["came_and_went"]

    @admin.display(description="findings since the last judgement")
    def came_and_went(self, review: Review) -> str:
        """Return the codes that came, went and stayed."""
        changes = review.changes.items()
        return "; ".join(f"{what}: {', '.join(codes)}" for what, codes in changes if codes)


class SettleForm(forms.ModelForm):
    """What was done about a look-back."""

    class Meta:
        model = LookBack
        fields = ["settled_note"]

    def clean_settled_note(self) -> str:
        try:
            note = text_of(self.cleaned_data["settled_note"])
        except UnfitText as error:
            raise ValidationError(str(error)) from None
        if not note:
            raise ValidationError("Say what was done: who was told, and how.")
        return note


@admin.register(LookBack)
class LookBackAdmin(RecordAdmin):
    """What staff must act on: leads that had been let out when their person was suppressed."""

    list_display = ["act_by", "lead", "suppression", "at", "settled_at", "settled_by"]
    ordering = ["settled_at", "act_by"]
    list_filter = [("settled_at", admin.EmptyFieldListFilter)]
    list_select_related = ["lead", "suppression", "settled_by"]
    search_fields = ["=id", "=lead__id"]
    form = SettleForm
    readonly_fields = [
        *("act_by", "lead", "suppression", "at", "who_saw_it"),
        *("settled_at", "settled_by"),
    ]
    fields = [*readonly_fields, "settled_note"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_open = obj is None or obj.settled_at is None
        return is_open and request.user.has_perm("leads.settle_lookback")

    @admin.display(description="shown to, until it was blocked")
    def who_saw_it(self, look_back: LookBack) -> str:
        """Return who has the lead from before, one a line."""
        seen = [f"{one['at']}  {one['how']}  {one['who']}" for one in look_back.seen_by()]
        return "\n".join(seen) or "nobody, by what is on record here"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        try:
            LookBack.objects.get(id=obj.id).settle(request.user, form.cleaned_data["settled_note"])
        except NotDecided as error:
            self.message_user(request, str(error), messages.ERROR)


class ImportForm(forms.ModelForm):
    """A file, and what it is a list of."""

    field_order = ["file"]
    file = forms.FileField(
        help_text="CSV, up to 64 MiB; larger ones by manage.py import_suppressions. The columns "
        "that are called phone or email or hold such values; since and reason too, if there are. "
        "Files of the national registry as they come."
    )

    class Meta:
        model = SuppressionImport
        fields = ["kind", "business", "channel", "list_name", "listed_on", "reason"]
        widgets = {"listed_on": forms.DateInput(attrs={"type": "date"})}
        help_texts = {
            "business": "Whose list it is; none for a do-not-call registry, which is everyone's.",
            "list_name": "Of a do-not-call registry, always the same.",
            "listed_on": "Of a do-not-call registry: the date of this edition.",
            "reason": "Of rows that give none.",
        }


@admin.register(SuppressionImport)
class SuppressionImportAdmin(RecordAdmin):
    list_display = [
        *("created_at", "file_name", "kind", "whose", "state", "progress"),
        *("rows_added", "rows_bad", "leads_blocked"),
    ]
    list_select_related = ["business"]
    fields = [
        *("state", "trouble", "progress", "rate", "left"),
        *("rows_read", "rows_bad", "rows_done", "rows_added", "known", "leads_blocked"),
        *("file_name", "file_bytes", "columns", "kind", "channel", "whose", "listed_on", "reason"),
        *("created_at", "created_by", "finished_at"),
    ]
    readonly_fields = ["progress", "rate", "left", "known", "whose"]
    change_form_template = "admin/leads/suppressionimport/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("leads.add_suppressionimport")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        verbs = {"cancel": importing.cancel, "resume": importing.resume}
        return [
            *(
                path(f"<uuid:pk>/{name}/", wrap(self.acting(name, verb)), name=f"import_{name}")
                for name, verb in verbs.items()
            ),
            path("<uuid:pk>/bad-rows.csv", wrap(self.bad_rows), name="import_bad_rows"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Not Django's own, whose one transaction would keep posts out while a file is taken in.
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            one = form.save(commit=False)
            one.file_name, one.created_by = form.cleaned_data["file"].name, request.user
            try:
                importing.start(one, form.cleaned_data["file"])
            except ValidationError as error:
                for sentence in error.messages:
                    form.add_error(None, sentence)
            else:
                self.log_addition(request, one, "Imported a list.")
                return redirect("admin:leads_suppressionimport_change", one.pk)
        context = {
            **self.admin_site.each_context(request),
            "form": form,
            "opts": self.opts,
            "title": "Import a list of people who may not be contacted",
        }
        return render(request, "admin/leads/suppressionimport/add_form.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        one = self.get_object(request, object_id)
        may_import = self.has_add_permission(request)
        is_over = one is None or one.is_over
        verbs = [] if one is None else verbs_of(one)
        extra = {"may_import": may_import, "verbs": verbs, "title": "Import of a list"}
        response = super().change_view(request, object_id, extra_context=extra)
        if not is_over:
            response.headers["Refresh"] = "2"
        return response

    def acting(self, name: str, verb: Callable[[SuppressionImport], None]) -> Any:
        """Return the view that does something with an import."""

        @require_POST
        def view(request: HttpRequest, pk: Any) -> HttpResponseBase:
            one = self.allowed(request, pk)
            try:
                verb(one)
            except importing.NotImportable as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                self.log_change(request, one, f"Asked to {name} it.")
            return redirect("admin:leads_suppressionimport_change", pk)

        return view

    def bad_rows(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        """Return the rows that were not taken, each with why, as a file."""
        one = self.allowed(request, pk)
        self.log_change(request, one, "Took the bad rows.")  # they name people
        return StreamingHttpResponse(
            importing.bad_rows_as_csv(one),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="bad-rows-{pk}.csv"'},
        )

    def allowed(self, request: HttpRequest, pk: Any) -> SuppressionImport:
        """Return an import, for whoever may import lists; raises PermissionDenied or Http404."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return get_object_or_404(SuppressionImport, pk=pk)

    @admin.display(description="of")
    def whose(self, one: SuppressionImport) -> str:
        return str(one.business or one.list_name)

    @admin.display
    def progress(self, one: SuppressionImport) -> str:
        if one.state == SuppressionImport.State.READING or not one.rows_staged:
            return f"{one.rows_read:,} rows read"
        return f"{one.rows_done:,} of {one.rows_staged:,} ({one.rows_done / one.rows_staged:.0%})"

    @admin.display(description="rows a second")
    def rate(self, one: SuppressionImport) -> str:
        return f"{one.rows_a_second:,.0f}" if one.rows_a_second else "-"

    @admin.display(description="time left")
    def left(self, one: SuppressionImport) -> str:
        return "-" if one.seconds_left is None else f"{one.seconds_left:,.0f} s"

    @admin.display(description="had an entry before")
    def known(self, one: SuppressionImport) -> str:
        return f"{one.rows_known:,}"


def verbs_of(one: SuppressionImport) -> list[tuple[str, str]]:
    """Return what may be done with an import now, and how the button is called."""
    cancel, resume = ("cancel", "Cancel"), ("resume", "Go on")
    if one.state in SuppressionImport.UNDER_WAY:
        # Nobody works at it any more once its job has been given up.
        is_left = not Job.objects.open().filter(key=str(one)).exists()
        return [*([resume] if is_left else []), *([] if one.is_cancel_wanted else [cancel])]
    return [resume] if one.can_be_resumed else []
