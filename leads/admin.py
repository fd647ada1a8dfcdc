"""Staff look at what happened: read-only, and nothing of the person but what staff wrote.

They settle look-backs, and import lists.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from leadping.jobs.models import Job
from leads import importing
from leads.models import (
    Disclosure,
    Lead,
    LookBack,
    RegistryList,
    Review,
    Suppression,
    SuppressionImport,
)
from leads.reviews import NotDecided, UnfitText, text_of

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


@admin.register(Lead)
class LeadAdmin(RecordAdmin):
    list_display = ["id", "received_at", "source", "compliance_status", "state", "product", "price"]
    list_filter = ["compliance_status", "source"]
    list_select_related = ["source"]
    search_fields = ["=id", "=external_id"]
    fields = [
        *("id", "received_at", "source", "is_test", "external_id", "idempotency_key"),
        *("deleted_at", "erased_at"),
        *("compliance_status", "compliance_blocked_reason", "found", "rules_version"),
        *("state", "product", "vertical", "price", "sub_id", "utm_source", "utm_campaign"),
    ]
    readonly_fields = ["found"]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        response = super().change_view(request, object_id, *args, **kwargs)
        if lead := getattr(response, "context_data", {}).get("original"):
            # Before it is answered: an undo names who was shown the lead.
            Disclosure(lead=lead, at=timezone.now(), by_id=request.user.pk, how="page").save()
        return response

    @admin.display(description="findings")
    def found(self, lead: Lead) -> str:
        """Return the findings without their evidence, which may be personal."""
        lines = [f"{one['code']} ({one['mode']}): {one['sentence']}" for one in lead.findings]
        return "\n".join(lines) or "none"


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
