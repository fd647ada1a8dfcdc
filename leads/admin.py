"""Staff look at what happened: read-only, the person masked until revealed with a reason.

They settle look-backs, and import lists.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from leadping.jobs.models import Job
from leads import importing
from leads.compliance import REGISTRY_MAX_AGE_DAYS
from leads.models import (
    LookBack,
    RegistryList,
    Review,
    Suppression,
    SuppressionImport,
)
from leads.reviews import AlreadySettled, UnfitText, text_of
from sources.admin import ListAdmin

COUNTED_AT_MOST = 10_000
LOOK_BACKS_SHOWN = 50
BAD_ROWS_SHOWN = 20


class CappedPaginator(Paginator):
    """Pages that stop counting at 10,000 rows: counting millions costs more than showing them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows[:COUNTED_AT_MOST].count())


class RecordAdmin(ListAdmin):
    """What happened, for reading: nobody adds, changes or deletes it."""

    paginator = CappedPaginator
    show_full_result_count = False
    sortable_by = ()

    # Look-ups that links lead by, besides those of the filters.
    linked_by: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow in a URL what the filters of the list send, nothing by which to guess the hidden.

        Django allows any look-up of a model's own fields, e.g. `?phone__startswith=`.
        """
        for one in self.list_filter:
            if isinstance(one, type):  # a filter of ours, which checks what it gets
                if lookup in getattr(one, "names", [getattr(one, "parameter_name", None)]):
                    return True
                continue
            name = one[0] if isinstance(one, tuple) else one
            sent = ("exact", "id__exact", "isempty", "isnull")
            if lookup in [f"{name}__{rest}" for rest in sent]:
                return True
        return lookup in self.linked_by

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def original_of(response: Any) -> Any:
    """Return the row whose page this is, None if it is another answer."""
    return (getattr(response, "context_data", None) or {}).get("original")


class StateOfSuppression(admin.SimpleListFilter):
    """Whether it stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("stands", "Stands"), ("ended", "Ended")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "stands":
            return queryset.active()
        return queryset.exclude(released_at=None) if self.value() == "ended" else queryset


@admin.register(Suppression)
class SuppressionAdmin(RecordAdmin):
    """Who may not be contacted, masked; pages of the console look up, add and release."""

    list_display = ["id", "kind", "channel", "business", "suppressed_at", "released_at"]
    ordering = ["-id"]  # by when they were made, which no other index has
    list_filter = ["kind", "channel", StateOfSuppression, "business"]
    list_select_related = ["business"]
    search_fields = ["=id"]
    fields = [
        *("id", "kind", "channel", "business", "list_name", "listed_on"),
        *("suppressed_at", "reason", "provenance", "created_at", "created_by"),
        *("released_at", "released_by", "release_reason", "release_evidence"),
    ]

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        response: Any = super().change_view(request, object_id, *args, **kwargs)
        if entry := original_of(response):
            look_backs = entry.look_backs.select_related("lead__source", "settled_by")
            rows = entry.history.select_related("history_user", "created_by", "released_by")
            response.context_data |= {
                "look_backs": look_backs[:LOOK_BACKS_SHOWN],
                "past": rows.order_by("history_date", "history_id"),
                "edition": RegistryList.objects.in_use().filter(name=entry.list_name).first(),
            }
        return response


@admin.register(RegistryList)
class RegistryListAdmin(RecordAdmin):
    list_display = ["name", "listed_on", "loaded_at", "renewed_at", "retired_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the editions, each with whether a newer one has taken its place."""
        same = RegistryList.objects.in_use().filter(name=OuterRef("name"))
        newer = Exists(same.filter(listed_on__gt=OuterRef("listed_on")))
        return super().get_queryset(request).annotate(is_replaced=newer)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        response: Any = super().change_view(request, object_id, *args, **kwargs)
        if edition := original_of(response):
            entries = Suppression.objects.active().filter(business=None, list_name=edition.name)
            response.context_data |= {
                "standing": entries.order_by()[:COUNTED_AT_MOST].count(),
                "counted_at_most": COUNTED_AT_MOST,
                "imports": SuppressionImport.objects.filter(list_name=edition.name)[:10],
                "max_age_days": REGISTRY_MAX_AGE_DAYS,
            }
        return response


@admin.register(Review)
class ReviewAdmin(RecordAdmin):
    list_display = ["at", "decision", "lead", "by", "reason"]
    ordering = ["-at"]
    list_filter = ["decision"]
    list_select_related = ["lead__source", "by"]
    search_fields = ["=lead__id"]
    fields = [
        *("at", "decision", "lead", "by", "reason", "note", "written_consent"),
        *("status_before", "status_after"),
        *("rules_version_before", "rules_version_after", "undoes", "seen_by"),
    ]


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


class StateOfLookBack(admin.SimpleListFilter):
    """Those to act on, unless others are asked for: as tabs."""

    title = "state"
    parameter_name = "state"
    template = "admin/leads/lookback/tabs.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("settled", "Settled"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "all":
            return queryset
        return queryset.filter(settled_at__isnull=self.value() != "settled")


@admin.register(LookBack)
class LookBackAdmin(RecordAdmin):
    """What staff must act on: leads that had been let out when their person was suppressed."""

    list_display = ["act_by", "lead", "suppression", "at", "settled_at", "settled_by"]
    list_filter = [StateOfLookBack]
    linked_by = ("suppression__id__exact",)
    list_select_related = ["lead__source", "suppression__business", "settled_by"]
    search_fields = ["=id", "=lead__id"]
    form = SettleForm
    readonly_fields = ["act_by", "lead", "suppression", "at", "settled_at", "settled_by"]
    fields = [*readonly_fields, "settled_note"]

    def get_ordering(self, request: HttpRequest) -> Any:
        """Return the most urgent first, of those that are settled the newest."""
        is_settled = request.GET.get("state") == "settled"
        return ["-settled_at"] if is_settled else ["settled_at", "act_by"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_open = obj is None or obj.settled_at is None
        return is_open and request.user.has_perm("leads.settle_lookback")

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        try:
            response: Any = super().change_view(request, object_id, *args, **kwargs)
        except AlreadySettled as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect("admin:leads_lookback_change", object_id)
        if look_back := original_of(response):
            response.context_data["seen_by"] = look_back.seen_by()
        return response

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        LookBack.objects.get(id=obj.id).settle(request.user, form.cleaned_data["settled_note"])

    def construct_change_message(self, *args: Any, **kwargs: Any) -> Any:
        return "Settled."

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self.message_user(request, "Settled.", messages.SUCCESS)
        return redirect("admin:leads_lookback_changelist")


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
        labels = {"list_name": "Name of the list", "listed_on": "Date of the list"}
        widgets = {
            "listed_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "reason": forms.Textarea(attrs={"rows": 2}),
        }
        help_texts = {
            "kind": "Why these people may not be contacted. Of an opt-out or revocation an entry "
            "ends only by new consent.",
            "business": "Whose list it is; none for a do-not-call registry, which is everyone's.",
            "channel": "By what they may not be contacted. A file of phones is for texts, calls "
            "or all, one of e-mails for e-mail or all.",
            "list_name": "Of a do-not-call registry, always the same.",
            "listed_on": "Of a do-not-call registry: the date of this edition. It may be used for "
            f"{REGISTRY_MAX_AGE_DAYS} days.",
            "reason": "Of rows that give none.",
        }


@admin.register(SuppressionImport)
class SuppressionImportAdmin(RecordAdmin):
    list_display = [
        *("created_at", "file_name", "kind", "state"),
        *("rows_added", "rows_bad", "leads_blocked"),
    ]
    list_filter = ["state", "kind"]
    list_select_related = ["business", "created_by"]
    fields = [
        *("state", "trouble", "rows_read", "rows_bad", "rows_done", "rows_added", "leads_blocked"),
        *("file_name", "file_bytes", "columns", "kind", "channel", "business", "list_name"),
        *("listed_on", "reason", "created_at", "created_by", "finished_at"),
    ]

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
            path("<uuid:pk>/bad-rows/", wrap(self.bad_rows), name="import_bad_rows_shown"),
            path("<uuid:pk>/bad-rows.csv", wrap(self.bad_rows_csv), name="import_bad_rows"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Not Django's own, whose one transaction would keep posts out while a file is taken in.
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None, label_suffix="")
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
        extra: dict[str, Any] = {"may_import": may_import, "title": "Import of a list"}
        if one and may_import:
            extra["verbs"] = verbs_of(one)
            # Without the cells, which name people.
            extra["bad_rows"] = one.bad_rows.order_by("line").defer("cells")[:BAD_ROWS_SHOWN]
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

    @method_decorator(require_POST)
    def bad_rows(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        """Return a page with the first rows that were not taken, as they came."""
        one = self.allowed(request, pk, "leads.reveal_lead")
        self.log_change(request, one, "Was shown the bad rows.")  # they name people
        context = {
            **self.admin_site.each_context(request),
            "bad_rows": one.bad_rows.order_by("line")[:BAD_ROWS_SHOWN],
            "one": one,
            "title": "Rows that were not taken",
        }
        return render(request, "admin/leads/suppressionimport/bad_rows.html", context)

    @method_decorator(require_POST)
    def bad_rows_csv(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        """Return the rows that were not taken, each with why, as a file."""
        one = self.allowed(request, pk, "leads.reveal_lead")
        self.log_change(request, one, "Took the bad rows.")  # they name people
        return StreamingHttpResponse(
            importing.bad_rows_as_csv(one),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="bad-rows-{pk}.csv"'},
        )

    def allowed(self, request: HttpRequest, pk: Any, *permissions: str) -> SuppressionImport:
        """Return an import, for whoever may import lists, and has these permissions too.

        Raises PermissionDenied or Http404.
        """
        if not self.has_add_permission(request) or not request.user.has_perms(permissions):
            raise PermissionDenied
        return get_object_or_404(SuppressionImport, pk=pk)


def verbs_of(one: SuppressionImport) -> list[tuple[str, str]]:
    """Return what may be done with an import now, and how the button is called."""
    cancel, resume = ("cancel", "Cancel"), ("resume", "Go on")
    if one.state in SuppressionImport.UNDER_WAY:
        # Nobody works at it any more once its job has been given up.
        is_left = not Job.objects.open().filter(key=str(one)).exists()
        return [*([resume] if is_left else []), *([] if one.is_cancel_wanted else [cancel])]
    return [resume] if one.can_be_resumed else []
