"""Sources in the console: health at a glance, settings, rules that are rehearsed, keys, history."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.views.decorators.http import require_POST

from intake.fields import BY_NAME, FLAT, with_names
from intake.models import Post
from intake.reading import read
from leadping.console.changes import HISTORY_AT_MOST, history_of
from leadping.console.rules import (
    RulesForm,
    SourceHasChanged,
    days_of,
    is_same,
    named,
    save_rules,
    signed,
    told_of,
)
from leads import caps
from leads.models import Lead
from leads.moments import midnight
from leads.rehearsal import rehearse
from sources import looks
from sources.admin import KeptAdmin
from sources.management.commands.create_source import curl_line
from sources.models import (
    Source,
    SourceKey,
    check_field_map,
)
from sources.rules import Mode, Rule

RECENT_LEADS = 500
RECENT_POSTS = 20
EXPIRES_SOON = timedelta(days=14)

# What a sign of each field could look like, for the example of a field map.
EXAMPLE = {
    **{"firstName": "Ada", "lastName": "Moreno", "email": "ada@example.com"},
    **{"phone": "(512) 555-0137", "dateOfBirth": "1984-07-19", "state": "Texas", "zip": "78701"},
    **{"city": "Austin", "address1": "98 San Jacinto Blvd", "price": "12.50", "gender": "female"},
}


# --- one source, its pages ------------------------------------------------------------------------


class FieldMapField(forms.JSONField):
    """A field map as JSON; shown again when it is refused, whatever it holds."""

    def prepare_value(self, value: Any) -> Any:
        text = super().prepare_value(value)
        try:
            str(text).encode()
        except UnicodeEncodeError:  # half of a pair, which no page can hold
            return json.dumps(value)
        return text


class SettingsForm(forms.ModelForm):
    """What a source is and how it posts; by which rules it is judged stands on another page."""

    field_map = FieldMapField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        validators=[check_field_map],
        help_text="Further names that this vendor uses for our fields: theirs first, ours second. "
        'An example: {"cell": "phone"}. Below, what a post with these names becomes.',
    )

    class Meta:
        model = Source
        fields = ["field_map"]  # and those that the admin names

    def clean_field_map(self) -> dict[str, Any]:
        return self.cleaned_data["field_map"] or {}

    def clean(self) -> dict[str, Any]:
        """Return the fields; the name is its own in the business, those deleted left aside.

        Django does not look at that: whether the source is deleted is no field of the form.
        """
        cleaned = super().clean() or {}
        source = self.instance
        business = cleaned.get("business") or source.business_id
        same = Source.objects.filter(business=business, name=cleaned.get("name"), deleted_at=None)
        if business and source.deleted_at is None and same.exclude(pk=source.pk).exists():
            self.add_error("name", "The business has a source of this name.")
        return cleaned


class SourceAdmin(KeptAdmin):
    """The list of sources, and the pages of each one."""

    list_display = ["named", "business", "vendor", "state", "last_lead", "today", "keys_"]
    list_display_links = None
    list_filter = ["is_enabled", "business"]
    list_select_related = ["business", "vendor"]
    list_per_page = 50
    search_fields = ["name", "=id"]
    sortable_by = ()
    form = SettingsForm
    filter_horizontal = ["default_tags"]
    change_form_template = "console/source_settings.html"
    actions = None
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *("name", "description", "business", "vendor", "owner", "is_enabled", "notes"),
                ]
            },
        ),
        (
            "How it posts",
            {
                "fields": [
                    *("rate_per_minute", "field_map", "example", "is_unknown_kept"),
                    *("is_query_key_allowed",),
                ]
            },
        ),
        (
            "What its leads say",
            {
                "fields": [
                    *("default_product", "default_vertical", "default_tags"),
                    *("default_sender_number_id", "is_sms_consent_covered", "cost_per_lead"),
                ]
            },
        ),
        ("For the record", {"fields": ["id", "created_at", "version"]}),
    ]

    # --- who may

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = ["id", "created_at", "version", "example"]
        # The leads that it has are those of the business.
        fixed += ["business"] if obj else []
        # Its business has done with it: nobody switches it on without knowing.
        fixed += ["is_enabled"] if obj and obj.deleted_at else []
        return fixed

    # --- the list

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        now = timezone.now()
        since = midnight(timezone.localdate(now))
        leads = Lead.objects.filter(source=OuterRef("pk")).order_by("-received_at")
        today = leads.filter(received_at__gte=since, is_test=False).order_by()
        by_status = {
            f"{status.value.lower()}_today": Subquery(
                today.filter(compliance_status=status)
                .values("source")
                .annotate(count=Count("pk"))
                .values("count")
            )
            for status in (Lead.Status.APPROVED, Lead.Status.BLOCKED)
        }
        live = SourceKey.objects.live(now).filter(source=OuterRef("pk"))
        rows: Any = super().get_queryset(request)
        found: QuerySet[Any] = rows.annotate(
            last_lead_at=Subquery(leads.values("received_at")[:1]),
            live_keys=Subquery(
                live.order_by().values("source").annotate(count=Count("pk")).values("count")
            ),
            key_expires_at=Subquery(
                live.filter(expires_at__lt=now + EXPIRES_SOON)
                .order_by("expires_at")
                .values("expires_at")[:1]
            ),
            **by_status,
        )
        return found

    @admin.display(description="source")
    def named(self, source: Any) -> str:
        url = reverse("admin:source_overview", args=[source.pk])
        return format_html('<a href="{}">{}</a>', url, looks.marked(source.name))

    @admin.display
    def state(self, source: Any) -> str:
        return format_html_join(" ", "{}", ((one,) for one in state_of(source)))

    @admin.display
    def last_lead(self, source: Any) -> str:
        return looks.ago(source.last_lead_at)

    @admin.display(description="today")
    def today(self, source: Any) -> str:
        approved, held = source.approved_today or 0, source.blocked_today or 0
        return f"{approved:,} approved, {held:,} held"

    @admin.display(description="keys")
    def keys_(self, source: Any) -> str:
        live = source.live_keys or 0
        soon = source.key_expires_at
        told = format_html(" {} {}", looks.badge("expiring"), looks.ago(soon)) if soon else ""
        none = looks.badge("none", "bad") if not live else ""
        return format_html("{}{}", none or f"{live} live", told)

    # --- settings

    @admin.display(description="what comes of it")
    def example(self, source: Source) -> str:
        shown = example_of(source.field_map if source else {})
        url = reverse("admin:source_example")
        return format_html('<div id="example" data-url="{}">{}</div>', url, shown)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        source = self.get_object(request, object_id)
        extra = {"source": source, "tabs": tabs_of(source, "settings")} if source else {}
        return super().change_view(request, object_id, extra_context=extra)

    def save_model(self, request: HttpRequest, obj: Source, form: Any, change: bool) -> None:
        # Not the whole row, which its business may have deleted meanwhile by the API.
        columns = {one.name for one in self.opts.concrete_fields}
        named = [one for one in form.changed_data if one in columns]
        obj.save(update_fields=named) if change else obj.save()

    def response_add(
        self, request: HttpRequest, obj: Source, post_url_continue: Any = None
    ) -> HttpResponse:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, "Made. Set its rules, approve it, and issue a key.")
        return redirect("admin:source_overview", obj.pk)

    # --- the other pages

    def get_urls(self) -> list[Any]:
        pages = (
            ("example/", example, "source_example"),
            ("<uuid:pk>/overview/", self.overview, "source_overview"),
            ("<uuid:pk>/rules/", self.rules, "source_rules"),
            ("<uuid:pk>/approve/", self.approve, "source_approve"),
            ("<uuid:pk>/keys/issue/", self.issue_key, "source_issue_key"),
            ("<uuid:pk>/keys/<uuid:key>/revoke/", self.revoke_key, "source_revoke_key"),
            ("<uuid:pk>/changes/", self.changes, "source_history"),
        )
        wrap = self.admin_site.admin_view
        return [
            *(path(route, wrap(view), name=name) for route, view, name in pages),
            *super().get_urls(),
        ]

    def history_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        try:
            return redirect("admin:source_history", UUID(object_id))
        except ValueError:
            raise Http404 from None

    def opened(self, request: HttpRequest, pk: UUID, *permissions: str) -> Source:
        """Return a source; raises PermissionDenied without these permissions, or Http404."""
        if not request.user.has_perms(["sources.view_source", *permissions]):
            raise PermissionDenied
        rows = Source.objects.with_settings().select_related("business", "vendor", "owner")
        return get_object_or_404(rows.select_related("compliance_approved_by"), pk=pk)

    def refused(self, request: HttpRequest, source: Source) -> HttpResponse:
        """Lead back from what would bring a deleted source to life."""
        messages.error(request, "Its business has deleted this source: it takes no leads any more.")
        return redirect("admin:source_overview", source.pk)

    def page(
        self,
        request: HttpRequest,
        name: str,
        source: Source,
        tab: str,
        status: int = 200,
        **more: Any,
    ) -> TemplateResponse:
        """Return a page of a source, under its name and tabs."""
        context = {
            **self.admin_site.each_context(request),
            "title": source.name,
            "opts": self.opts,
            "source": source,
            "state": state_of(source),
            "tabs": tabs_of(source, tab),
            **more,
        }
        return TemplateResponse(request, f"console/{name}.html", context, status=status)

    def overview(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show how a source does, by what it is set to, and its newest posts."""
        source = self.opened(request, pk)
        now = timezone.now()
        newest = source.leads.filter(is_test=False).order_by("-received_at")
        recent = list(newest.values_list("compliance_status", "received_at")[:RECENT_LEADS])
        statuses = [status for status, _ in recent]
        may_see_posts = request.user.has_perm("intake.view_post")
        posts = Post.objects.filter(source=source).order_by("-received_at", "-id")
        keys: list[SourceKey] = []
        if request.user.has_perm("sources.view_sourcekey"):
            keys = list(source.keys.order_by("revoked_at", "-created_at")[:50])
        return self.page(
            request,
            "source_overview",
            source,
            "overview",
            last_lead_at=recent[0][1] if recent else None,
            recent=len(recent),
            shares=[(one.value, statuses.count(one)) for one in Lead.Status],
            caps=[(one, used_of(source, one)) for one in caps.periods_of(source, now)],
            keys=[(one, state_of_key(one, now)) for one in keys],
            has_live_key=any(one.is_live(now) for one in keys),
            posts=list(posts.defer("body", "headers", "answer")[:RECENT_POSTS])
            if may_see_posts
            else [],
            told=in_words(source),
            modes=[(one, source.modes[one]) for one in Rule if source.modes[one] != Mode.HOLD],
        )

    # --- rules, rehearsed before they are saved

    def rules(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show by which rules a source is judged; a change is rehearsed, shown, and then saved."""
        source = self.opened(request, pk)
        may_change = request.user.has_perm("sources.change_source")
        if request.method != "POST":
            return self.rules_page(request, source, RulesForm(source), may_change)
        if not may_change:
            raise PermissionDenied
        form = RulesForm(source, request.POST)
        if not form.is_valid():
            return self.rules_page(request, source, form, may_change, status=400)
        if form.is_old:
            told = "Somebody has changed this source since you opened it: here it is as it is now."
            messages.warning(request, told)
            return self.rules_page(request, source, RulesForm(source), may_change, status=409)
        settings, modes = form.changed()
        if not settings and not modes:
            told = "Nothing by which leads are judged would change."
            return self.rules_page(request, source, form, may_change, nothing=told)
        signature = signed(source, settings, modes)
        if "save" in request.POST and is_same(request.POST.get("rehearsed", ""), signature):
            try:
                save_rules(source, settings, modes)
            except SourceHasChanged as error:
                messages.error(request, str(error))
            else:
                self.log_change(request, source, f"Changed rules: {named(settings, modes)}.")
                messages.success(request, "The rules are saved, and count from now on.")
            return redirect("admin:source_rules", pk)
        now = timezone.now()
        try:
            days = days_of(source, now)
            done = rehearse(source, settings, modes, days=days, now=now)
        except ValidationError as error:
            form.add_error(None, error)
            return self.rules_page(request, source, form, may_change, status=400)
        return self.rules_page(
            request,
            source,
            form,
            may_change,
            rehearsal=told_of(done),
            differences=form.told(),
            signature=signing.dumps(signature),
            has_come_anew="save" in request.POST,
        )

    def rules_page(
        self, request: HttpRequest, source: Source, form: RulesForm, may_change: bool, **more: Any
    ) -> HttpResponse:
        return self.page(
            request, "source_rules", source, "rules", form=form, may_change=may_change, **more
        )

    # --- approval

    def approve(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Record that a source has passed compliance review, with a note of what was looked at."""
        source = self.opened(request, pk, "sources.approve_source")
        if source.deleted_at:
            return self.refused(request, source)
        form = NoteForm(request.POST or None)
        if request.method == "POST" and not source.is_compliance_approved and form.is_valid():
            source.approve(request.user, form.cleaned_data["note"], timezone.now())
            self.log_change(request, source, "Approved for compliance.")
            messages.success(request, "Approved: its leads are no longer held for that.")
            return redirect("admin:source_overview", pk)
        told = in_words(source)
        return self.page(request, "source_approve", source, "overview", form=form, told=told)

    # --- keys

    def issue_key(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Make a key and show it, this once."""
        source = self.opened(request, pk, "sources.add_sourcekey")
        if source.deleted_at:
            return self.refused(request, source)
        form = KeyForm(request.POST or None)
        context: dict[str, Any] = {"form": form}
        if request.method == "POST" and form.is_valid():
            row, text = source.issue_key(
                label=form.cleaned_data["label"],
                expires_at=form.expires_at(timezone.now()),
                is_test=form.cleaned_data["is_test"],
                by=request.user,
            )
            self.log_change(request, source, f"Issued the key {row.preview}.")
            context |= {"key": row, "text": text, "curl": curl_line(source, text)}
        return self.page(request, "source_issue_key", source, "overview", **context)

    def revoke_key(self, request: HttpRequest, pk: UUID, key: UUID) -> HttpResponse:
        """Ask whether a key is to be revoked, and do it, with effect at once."""
        source = self.opened(request, pk, "sources.change_sourcekey")
        row = get_object_or_404(source.keys, pk=key)
        if request.method == "POST":
            row.revoke(timezone.now(), by=request.user)
            self.log_change(request, source, f"Revoked the key {row.preview}.")
            messages.success(request, f"{row.preview} opens the door no more.")
            return redirect("admin:source_overview", pk)
        state = state_of_key(row, timezone.now())
        return self.page(request, "source_revoke_key", source, "overview", key=row, key_state=state)

    # --- history

    def changes(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show what was changed on a source, its rules and keys, with the differences."""
        source = self.opened(request, pk)
        may_see_keys = request.user.has_perm("sources.view_sourcekey")
        rows = sorted(history_of(source, may_see_keys), key=lambda one: one.at, reverse=True)
        return self.page(
            request,
            "source_changes",
            source,
            "history",
            rows=rows[:HISTORY_AT_MOST],
            is_cut=len(rows) > HISTORY_AT_MOST,
        )


def tabs_of(source: Source, current: str) -> list[tuple[str, str, bool]]:
    """Return the pages of a source: label, URL, whether it is this one."""
    pages = (
        ("overview", "Overview", "source_overview"),
        ("settings", "Settings", "sources_source_change"),
        ("rules", "Rules", "source_rules"),
        ("history", "History", "source_history"),
    )
    return [
        (label, reverse(f"admin:{url}", args=[source.pk]), name == current)
        for name, label, url in pages
    ]


def state_of(source: Source) -> list[str]:
    """Return the badges of a source."""
    door = looks.badge("on") if source.is_enabled else looks.badge("off", "bad")
    return [
        looks.badge("deleted", "bad") if source.deleted_at else door,
        looks.badge("approved", "good")
        if source.is_compliance_approved
        else looks.badge("not approved", "wait"),
    ]


def state_of_key(key: SourceKey, now: datetime) -> str:
    """Return whether a key is live, expiring, expired or revoked."""
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now:
        return "expired"
    return "expiring" if key.expires_at and key.expires_at < now + EXPIRES_SOON else "live"


def used_of(source: Source, period: caps.Period) -> int:
    """Return how much of a cap is used; none has been counted yet in a new one."""
    found = caps.counter(source, period).values_list("used", flat=True).first()
    return found or 0


def in_words(source: Source) -> list[str]:
    """Return what a source is set to, in plain sentences."""

    def listed(values: list[str], noun: str) -> str:
        if not values:
            return f"Takes leads of every {noun}."
        return f"Holds what is not of these {noun}s: {', '.join(values)}."

    caps_told = [
        f"{number:,} a {word}"
        for number, word in ((source.daily_cap, "day"), (source.monthly_cap, "month"))
        if number is not None
    ]
    scope = "any source of the business" if source.duplicate_scope == "business" else "this source"
    return [
        listed(source.allowed_states, "state"),
        listed(source.allowed_products, "product"),
        listed(source.allowed_verticals, "vertical"),
        "Every lead needs a TrustedForm certificate."
        if source.is_trusted_form_required
        else "A TrustedForm certificate is not required.",
        f"Who came through {scope} in the last {source.duplicate_window_days} days is a duplicate."
        if source.duplicate_window_days
        else "Nobody counts as a duplicate.",
        f"At most {' and '.join(caps_told)} approved, by the clock of {source.time_zone}."
        if caps_told
        else "No cap on approved leads.",
        f"At most {source.rate_per_minute:,} posts in a minute.",
    ]


# --- the example of a field map -------------------------------------------------------------------


def example_of(field_map: Any) -> str:
    """Return a table of what a post that uses these names becomes."""
    try:
        check_field_map(field_map)
    except ValidationError as error:
        return format_html('<p class="quiet">{}</p>', " ".join(error.messages))
    if not field_map:
        return format_html('<p class="quiet">{}</p>', "No names of its own: ours are taken as is.")
    sent = {theirs: EXAMPLE.get(ours, "…") for theirs, ours in list(field_map.items())[:20]}
    reading = read(sent, with_names(FLAT, field_map))
    rows = []
    for theirs, value in sent.items():
        ours = field_map[theirs]
        column = BY_NAME[ours].column
        became = reading.values.get(column, "…")
        rows.append((looks.marked(theirs), value, ours, became))
    body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
    return format_html(
        '<table class="rows"><thead><tr><th scope="col">They send</th><th scope="col">e.g.</th>'
        '<th scope="col">We read</th><th scope="col">as</th></tr></thead>'
        "<tbody>{}</tbody></table>",
        body,
    )


@require_POST
def example(request: HttpRequest) -> HttpResponseBase:
    """Answer with the example of a field map as it is typed; nothing is kept."""
    if not request.user.has_perm("sources.view_source"):
        raise PermissionDenied
    try:
        field_map = json.loads(request.POST.get("field_map", "") or "{}")
    except (ValueError, RecursionError):
        return HttpResponse(format_html('<p class="quiet">{}</p>', "Not yet a JSON object."))
    return HttpResponse(example_of(field_map))


class NoteForm(forms.Form):
    """What was looked at before a source was approved."""

    note = forms.CharField(
        label="What was looked at",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Consent wording, landing pages, the vendor's contract. Stays on record.",
    )


class KeyForm(forms.Form):
    """A new key: what it is for, how long it is to live."""

    LASTS = (("", "for ever"), ("30", "30 days"), ("90", "90 days"), ("365", "a year"))

    label = forms.CharField(
        required=False, max_length=100, help_text="Which system of the vendor uses it."
    )
    lasts = forms.ChoiceField(label="It lives", choices=LASTS, required=False)
    until = forms.DateField(
        label="or until the end of",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    is_test = forms.BooleanField(
        label="For tests",
        required=False,
        help_text="What it posts is judged and stored, but never counted.",
    )

    def clean_until(self) -> date | None:
        until: date | None = self.cleaned_data["until"]
        if until and not timezone.localdate() <= until < date(9000, 1, 1):
            raise ValidationError("This lies in the past, or too far ahead.")
        return until

    def expires_at(self, now: datetime) -> datetime | None:
        """Return when the key is to end, None if never."""
        if until := self.cleaned_data["until"]:
            return midnight(until + timedelta(days=1))
        days = self.cleaned_data["lasts"]
        return now + timedelta(days=int(days)) if days else None
