"""API tokens in the console: made and shown once, listed, ended, with their history."""

from __future__ import annotations

import shlex
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from leadping.console.changes import HISTORY_AT_MOST, compared
from leads.moments import midnight
from sources import looks
from sources.admin import KeptAdmin
from sources.models import Business
from sources.tokens import MAX_RATE, RATE_PER_MINUTE, ApiToken, Scope

EXPIRES_SOON = timedelta(days=14)
LASTS_AT_MOST_DAYS = 365
# Who gives a token the sight of persons takes them out of the console, as who exports them does.
GIVES_PERSONS = "leads.export_person"
# What a scope opens that changes nothing, to try a token by.
READS = {
    Scope.LEADS_READ: "/tags",
    Scope.SOURCES: "/sources/all/my",
    Scope.SUPPRESSIONS: "/suppressions/all/my",
}


def curl_line(token: ApiToken, text: str) -> str:
    """Return a line for a shell that reads by a token; "" if it opens nothing to read."""
    for scope, url in READS.items():
        if token.may(scope):
            body = "" if url == "/tags" else " -H 'Content-Type: application/json' -d '{}'"
            header = shlex.quote(f"Authorization: Bearer {text}")
            return f"curl -sS -H {header}{body} {settings.PUBLIC_URL}{url}"
    return ""


def state_of(token: ApiToken, now: datetime) -> str:
    """Return whether a token is live, expiring, expired or revoked."""
    if token.revoked_at:
        return "revoked"
    if token.expires_at <= now:
        return "expired"
    return "expiring" if token.expires_at < now + EXPIRES_SOON else "live"


class StateOfToken(admin.SimpleListFilter):
    """Whether it still opens something."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Live"), ("ended", "Ended")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        now = timezone.now()
        if self.value() == "live":
            return queryset.live(now)
        is_over = Q(expires_at__lte=now) | Q(revoked_at__isnull=False)
        return queryset.filter(is_over) if self.value() == "ended" else queryset


class ScopesField(forms.MultipleChoiceField):
    """What a token is to open, each in a sentence; not offered what one may not give."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, user: Any) -> None:
        super().__init__(
            label="What it opens",
            choices=Scope.choices,
            error_messages={"required": "Choose at least one: a token without opens nothing."},
            help_text="Give what the system needs and no more. Other scopes take another token.",
        )
        self.may_give_persons = user.has_perm(GIVES_PERSONS)
        if not self.may_give_persons:
            self.widget.choices = [one for one in Scope.choices if one[0] != Scope.PERSONAL_DATA]

    def validate(self, value: Any) -> None:
        super().validate(value)
        if Scope.PERSONAL_DATA.value in value and not self.may_give_persons:
            raise ValidationError("Only who may export persons may let a token see them.")


class TokenForm(forms.Form):
    """A new token: whose, for what system, what it opens, how long it is to live."""

    LASTS = (("30", "30 days"), ("90", "90 days"), ("365", "a year"))

    business = forms.ModelChoiceField(
        Business.objects.all(), help_text="It opens what is this business's, and nothing else."
    )
    label = forms.CharField(
        max_length=100, help_text="Which system uses it: what is done by it is on record so."
    )
    lasts = forms.ChoiceField(label="It lives", choices=LASTS, initial="90")
    until = forms.DateField(
        label="or until the end of",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="At most a year ahead.",
    )
    rate_per_minute = forms.IntegerField(
        label="Requests in 60 seconds",
        initial=RATE_PER_MINUTE,
        min_value=1,
        max_value=MAX_RATE,
        help_text="Beyond it, each is answered 429 until the minute is over.",
    )

    def __init__(self, user: Any, *args: Any) -> None:
        super().__init__(*args)
        self.fields["scopes"] = ScopesField(user)
        self.order_fields(["business", "label", "scopes", "lasts", "until", "rate_per_minute"])

    def clean_until(self) -> date | None:
        until: date | None = self.cleaned_data["until"]
        today = timezone.localdate()
        if until and until < today:
            raise ValidationError("This lies in the past.")
        if until and until > today + timedelta(days=LASTS_AT_MOST_DAYS):
            raise ValidationError("A token lives for a year at most.")
        return until

    def expires_at(self, now: datetime) -> datetime:
        """Return when the token is to end."""
        if until := self.cleaned_data["until"]:
            return midnight(until + timedelta(days=1))
        return now + timedelta(days=int(self.cleaned_data["lasts"]))

    def issue(self, by: Any) -> tuple[ApiToken, str]:
        """Make the token and return its row and its text; raises ValidationError."""
        given = self.cleaned_data
        return ApiToken.objects.issue(
            business=given["business"],
            label=given["label"],
            scopes=given["scopes"],
            expires_at=self.expires_at(timezone.now()),
            by=by,
            rate_per_minute=given["rate_per_minute"],
        )


# What may be changed of a token that is live: how it is called, and how often it may ask.
CHANGED = ("label", "rate_per_minute")
FIXED = (
    *("business", "preview", "opens", "created_at", "created_by"),
    *("expires_at", "revoked_at", "revoked_by", "last_used_at"),
)


class ApiTokenAdmin(KeptAdmin):
    """The list of tokens, the page that makes one, and the pages of each one."""

    list_display = ["named", "business", "opens", "made", "expires", "used", "state"]
    list_display_links = None
    list_filter = [StateOfToken, "business"]
    list_select_related = ["business", "created_by"]
    list_per_page = 50
    search_fields = ["label", "=id"]
    sortable_by = ()
    change_form_template = "console/token.html"
    fields = [*CHANGED, *FIXED]
    actions = ["revoke"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in ("business__id__exact", "state")  # nothing of the digest

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        is_over = obj is not None and not obj.is_live(timezone.now())
        return [*CHANGED, *FIXED] if is_over else list(FIXED)

    # --- the list

    @admin.display(description="token")
    def named(self, token: ApiToken) -> str:
        url = reverse("admin:sources_apitoken_change", args=[token.pk])
        shown = looks.marked(token.label)
        return format_html('<a href="{}">{}</a><br><code>{}</code>', url, shown, token.preview)

    @admin.display
    def opens(self, token: ApiToken) -> str:
        told = ((Scope(one).label,) for one in token.scopes)
        return format_html_join("", '<span class="line">{}</span>', told)

    @admin.display
    def made(self, token: ApiToken) -> str:
        by = token.created_by or "the command line"
        return format_html(
            '<span class="nowrap">{}</span><br>by {}', looks.ago(token.created_at), looks.marked(by)
        )

    @admin.display
    def expires(self, token: ApiToken) -> str:
        return format_html('<span class="nowrap">{}</span>', looks.ago(token.expires_at))

    @admin.display(description="last used")
    def used(self, token: ApiToken) -> str:
        return looks.ago(token.last_used_at)

    @admin.display
    def state(self, token: ApiToken) -> str:
        return looks.badge(state_of(token, timezone.now()))

    # --- one token

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Not the whole row, which somebody else may have revoked meanwhile.
        if form.changed_data:
            obj.save(update_fields=form.changed_data)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        ours = path("<uuid:pk>/revoke/", wrap(self.revoke_one), name="token_revoke")
        return [ours, *super().get_urls()]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Make a token and show it, this once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(request.user, request.POST or None)
        context: dict[str, Any] = {"form": form}
        if request.method == "POST" and form.is_valid():
            try:
                row, text = form.issue(request.user)
            except ValidationError as error:
                form.add_error(None, error.messages)
            else:
                self.log_addition(request, row, "Made.")
                context |= {"token": row, "text": text, "curl": curl_line(row, text)}
        return self.page(request, "token_issue", "Make an API token", **context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        token = self.get_object(request, object_id)
        now = timezone.now()
        extra: dict[str, Any] = {"show_save_and_add_another": False}
        if token:
            is_live = token.is_live(now)
            extra |= {"token_state": state_of(token, now), "is_live": is_live}
            extra |= dict.fromkeys(("show_save", "show_save_and_continue"), is_live)
        return super().change_view(request, object_id, extra_context=extra)

    def history_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        """Show what was done with a token, by whom."""
        try:
            token = self.opened(request, UUID(object_id))
        except ValueError:
            raise Http404 from None
        rows = token.history.select_related("history_user").order_by("-history_date")
        changes = list(compared(rows[: HISTORY_AT_MOST + 1], "Token"))
        return self.page(
            request,
            "token_history",
            token.label,
            token=token,
            rows=changes[::-1][:HISTORY_AT_MOST],
            is_cut=len(changes) > HISTORY_AT_MOST,
        )

    def revoke_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether a token is to be revoked, and do it, with effect at once."""
        token = self.opened(request, pk)
        if not self.has_change_permission(request, token):
            raise PermissionDenied
        if request.method == "POST":
            self.end(request, token)
            messages.success(request, f"{token.label}: it opens nothing any more.")
            return redirect("admin:sources_apitoken_change", pk)
        state = state_of(token, timezone.now())
        return self.page(request, "token_revoke", "Revoke a token", token=token, token_state=state)

    @admin.action(description="Revoke, with effect at once", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        done = sum(self.end(request, one) for one in queryset)
        skipped = queryset.count() - done
        told = f"{done} revoked, {skipped} had ended before."
        self.message_user(request, told, messages.SUCCESS)

    def end(self, request: HttpRequest, token: ApiToken) -> bool:
        """Revoke a token, and log it; say whether it was live."""
        now = timezone.now()
        if not token.is_live(now):
            return False
        token.revoke(now, by=request.user)
        self.log_change(request, token, "Revoked.")
        return True

    def opened(self, request: HttpRequest, pk: UUID) -> ApiToken:
        """Return a token; raises PermissionDenied, or Http404."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(ApiToken.objects.select_related("business", "revoked_by"), pk=pk)

    def page(self, request: HttpRequest, name: str, title: str, **more: Any) -> TemplateResponse:
        """Return a page of tokens."""
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, f"console/{name}.html", {**context, **more})
