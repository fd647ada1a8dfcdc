"""Staff look at posts as they came and were answered, and replay those that were refused."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import orjson
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.functions import ExtractHour
from django.db.models.lookups import Exact
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from intake.filters import ChoiceFilter, PeriodFilter
from intake.models import NEW_LEAD, Post, RefusalCount, Replay
from intake.problems import PROBLEM_TYPES, Kept
from intake.receive import opted_out_since
from intake.replay import NotReplayed, Replayed, rehearse, replay
from intake.views import FORM_TYPE
from leads import masks, reveals
from leads.admin import RecordAdmin
from leads.models import Disclosure
from leads.moments import bound, hours_between
from leads.narrow import HOURS_APART
from leads.reviews import REVEAL_LASTS, NotDecided, reason_of
from leads.serializers import intake_answer
from sources import looks
from sources.ids import first_of
from sources.models import SourceKey

REPLAYED_AT_ONCE = 50
# Headers that say nothing of a person.
PLAIN_HEADERS = {"content-type", "content-length", "content-encoding", "accept", "host"}
A_MINUTE = timedelta(minutes=1)


# --- filters --------------------------------------------------------------------------------------


class OutcomeFilter(ChoiceFilter):
    title = "outcome"
    parameter_name = "outcome"
    options = (
        *(("approved", "Approved"), ("blocked", "Blocked"), ("repeated", "Repeated")),
        ("refused", "Refused, for whatever"),
        *((code, code) for code, one in PROBLEM_TYPES.items() if one.kept != Kept.NOTHING),
    )

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value in ("approved", "blocked"):
            return rows.filter(outcome=value)
        found = rows & Post.objects.without_new_lead()
        # By the outcome, which the index has, and not by the missing lead: PostgreSQL takes the two
        # for independent, thinks the refused few, and reads the whole table for them.
        is_any = value == "refused"
        return found.exclude(outcome="repeated") if is_any else found.filter(outcome=value)


class StatusFilter(ChoiceFilter):
    """By what was answered; what was not taken is found by its own index."""

    title = "HTTP status"
    parameter_name = "status"
    options = [
        (str(one), str(one))
        for one in sorted(
            {201} | {one.status for one in PROBLEM_TYPES.values() if one.kept != Kept.NOTHING}
        )
    ]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if value != "201":
            rows = rows & Post.objects.without_new_lead()
        return rows.filter(status=int(value))


class KeyFilter(ChoiceFilter):
    """By key, once a source is chosen: the keys of all of them are too many to list."""

    title = "key"
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        source = request.GET.get("source__id__exact", "")
        if not request.user.has_perm("sources.view_sourcekey"):
            return []
        try:
            keys = SourceKey.objects.filter(source=UUID(source))
        except ValueError:
            return []
        return [(str(one.id), f"{one.preview} {one.label}".strip()) for one in keys[:100]]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(key=UUID(value))


class PostPeriodFilter(PeriodFilter):
    """By the range of the ids too, which begin with the time: there is no index on it alone."""

    def narrow(
        self, rows: QuerySet[Any], since: datetime | None, until: datetime | None
    ) -> QuerySet[Any]:
        if since:
            rows = rows.filter(id__gte=first_of(milliseconds_of(since - A_MINUTE)))
        if until:
            rows = rows.filter(id__lt=first_of(milliseconds_of(until + A_MINUTE)))
        return super().narrow(rows, since, until)


def milliseconds_of(at: datetime) -> int:
    """Return a moment as the milliseconds since 1970 that an id begins with."""
    return int(at.timestamp() * 1000)


class PostTestFilter(ChoiceFilter):
    title = "tests"
    parameter_name = "tests"
    options = (("0", "without"), ("1", "only"))

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(key__is_test=value == "1")


class HourFilter(ChoiceFilter):
    """By the hour of the clock, in the console's zone or that after an @."""

    title = "hour"
    parameter_name = "hour"
    options = tuple((f"{hour:02}", f"{hour:02}:00 to {hour:02}:59") for hour in range(24))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        hour, _, name = value.partition("@")
        if hour not in dict(self.options) or (name and name not in available_timezones()):
            raise IncorrectLookupParameters
        zone = ZoneInfo(name) if name else timezone.get_current_timezone()
        try:
            since, until = (
                bound(request.GET[end], is_end=end == "to") if request.GET.get(end) else None
                for end in PeriodFilter.names
            )
        except ValueError:
            raise IncorrectLookupParameters from None
        if not (since and until and until - since <= HOURS_APART):
            return queryset.filter(Exact(ExtractHour("received_at", tzinfo=zone), int(hour)))
        within = Q(pk__in=[])
        for begin, end in hours_between(int(hour), zone, since, until):  # by the index of the key
            ids = {
                "id__gte": first_of(milliseconds_of(begin - A_MINUTE)),
                "id__lt": first_of(milliseconds_of(end + A_MINUTE)),
            }
            within |= Q(received_at__gte=begin, received_at__lt=end, **ids)
        return queryset.filter(within)


class CodeFilter(ChoiceFilter):
    title = "code"
    parameter_name = "code"
    options = [(code, code) for code, one in PROBLEM_TYPES.items() if one.kept == Kept.NOTHING]

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(code=value)


class MinuteFilter(PeriodFilter):
    """From a moment until before another, by the minute of a count."""

    def narrow(
        self, rows: QuerySet[Any], since: datetime | None, until: datetime | None
    ) -> QuerySet[Any]:
        if since:
            rows = rows.filter(minute__gte=since)
        if until:
            rows = rows.filter(minute__lt=until)
        return rows


# --- posts ----------------------------------------------------------------------------------------


@admin.register(Post)
class PostAdmin(RecordAdmin):
    """Every kept post: the exact request, what was answered, and its replay."""

    list_display = ["came", "from_source", "by_key", "answered", "what", "took", "its_lead"]
    list_display_links = ["came"]
    list_filter = [
        *(OutcomeFilter, StatusFilter, "source", KeyFilter, "source__vendor", "source__business"),
        *(PostPeriodFilter, HourFilter, PostTestFilter),
    ]
    list_select_related = ["source", "key"]
    list_per_page = 50
    search_fields = ["=id", "=request_id"]
    search_help_text = "The id of a post, as the answer's header Leadping-Post-Id told it."
    ordering = ["-id"]
    actions = ["replay"]

    def get_ordering(self, request: HttpRequest) -> Any:
        """By the key, which begins with the time; else by the index that the filters have.

        So they are read in order, whatever PostgreSQL thinks of how many there are.
        """
        query = request.GET
        is_of_one = "source__id__exact" in query
        is_new_lead = query.get("outcome", "approved") in NEW_LEAD and (
            query.get("status", "201") == "201"
        )
        return ["-id"] if is_new_lead and not is_of_one else ["-received_at", "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("body", "headers", "answer", "findings")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by the id: request ids have no index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(id=UUID(term)), False
        except ValueError:
            return queryset.none(), False

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("replay/", wrap(self.replay_view), name="intake_post_replay"),
            path("<uuid:pk>/reveal/", wrap(self.reveal_view), name="intake_post_reveal"),
            *super().get_urls(),
        ]

    @admin.display(description="received")
    def came(self, post: Post) -> str:
        return looks.moment(post.received_at)

    @admin.display(description="source")
    def from_source(self, post: Post) -> str:
        return looks.marked(post.source.name)

    @admin.display(description="key")
    def by_key(self, post: Post) -> str:
        test = format_html(" {}", looks.badge("test")) if post.key.is_test else ""
        return format_html("<code>{}</code>{}", post.key.preview, test)

    @admin.display(description="status")
    def answered(self, post: Post) -> str:
        return looks.badge(post.status, "good" if post.status == 201 else "bad")

    @admin.display(description="outcome")
    def what(self, post: Post) -> str:
        return looks.badge(post.outcome)

    @admin.display
    def took(self, post: Post) -> str:
        return f"{post.took_us / 1000:.1f} ms"

    @admin.display(description="lead")
    def its_lead(self, post: Post) -> str:
        if not post.lead_id:
            return "-"
        url = reverse("admin:leads_lead_change", args=[post.lead_id])
        return format_html('<a href="{}">{}</a>', url, looks.short(post.lead_id))

    # --- one post

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        post = self.get_object(request, object_id)
        if post is None or not self.has_view_permission(request, post):
            return super().change_view(request, object_id, *args, **kwargs)  # which says so
        if request.method != "GET":
            raise PermissionDenied  # what happened is not changed
        now = timezone.now()
        if post.lead_id:
            # Before it is answered: an undo or a look-back names who was shown the lead.
            how = Disclosure.How.PAGE
            by = request.user.pk
            Disclosure(lead_id=post.lead_id, post_id=post.id, at=now, by_id=by, how=how).save()
        is_revealed = reveals.is_revealed(request.user, now, lead=post.lead, post_id=post.id)
        context = {
            **self.admin_site.each_context(request),
            "title": "Post",
            "opts": self.opts,
            "original": post,
            "post": post,
            "is_revealed": is_revealed,
            "reveal_minutes": int(REVEAL_LASTS.total_seconds() // 60),
            "headers": [
                (name, value if is_revealed or name.lower() in PLAIN_HEADERS else masks.HIDDEN)
                for name, value in sorted(post.headers.items())
            ],
            "body": exact(bytes(post.body)) if is_revealed else "",
            "members": members_of(post),
            "notes": [
                (what, [masks.member(one) for one in listed]) for what, listed in post.notes.items()
            ],
            "answer": answer_of(post, is_revealed=is_revealed),
            "address": (post.address or "") if is_revealed else masks.address(post.address),
            "on_record": Replay.objects.filter(post_id=post.id).select_related("by").first(),
            "may_replay": post.lead_id is None and self.has_replay_permission(request),
            "is_cut": post.is_cut,
        }
        return TemplateResponse(request, "admin/intake/post/change_form.html", context)

    @method_decorator(require_POST)
    def reveal_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Write down who is shown what was sent and why, then show it for some minutes."""
        if not request.user.has_perms(["intake.view_post", "leads.reveal_lead"]):
            raise PermissionDenied
        post = get_object_or_404(Post, pk=pk)
        try:
            reason = request.POST.get("reason", "")
            reveals.reveal(request.user, reason, lead=post.lead, post_id=post.id)
        except NotDecided as error:
            self.message_user(request, str(error), messages.ERROR)
        return redirect("admin:intake_post_change", pk)

    # --- replay

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(["intake.view_post", "intake.replay_post"])

    @admin.action(description="Replay…", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Post]) -> HttpResponseBase | None:
        """Show what would become of these posts; nothing is done yet."""
        ids = list(queryset.order_by("id").values_list("id", flat=True)[: REPLAYED_AT_ONCE + 1])
        return self.confirm(request, ids)

    @method_decorator(require_POST)
    def replay_view(self, request: HttpRequest) -> HttpResponseBase:
        """Show what would become of posts; with a reason and their number, do it."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        try:
            ids = [UUID(one) for one in request.POST.getlist("post")]
        except ValueError:
            raise BadRequest("These are no ids of posts.") from None
        if "count" not in request.POST:
            return self.confirm(request, ids)
        if request.POST["count"].strip() != str(len(ids)) or len(ids) > REPLAYED_AT_ONCE:
            return self.confirm(request, ids, f"Type the number of posts to confirm: {len(ids)}.")
        try:
            reason = reason_of(request.POST.get("reason", ""))
        except NotDecided as error:
            return self.confirm(request, ids, str(error))
        rows = []
        for pk in ids:
            row = tried(pk, lambda pk=pk: replay(pk, request.user, reason))
            if row["done"] and row["done"].lead_id:
                self.log_change(request, row["post"], f"Replayed: {row['done'].outcome}.")
            rows.append(row)
        made = sum(bool(one["done"] and one["done"].lead_id) for one in rows)
        return self.answered_with(request, "replayed", rows, made=made)

    def confirm(self, request: HttpRequest, ids: list[UUID], trouble: str = "") -> HttpResponse:
        """Return the page that shows what would become of posts."""
        if len(ids) > REPLAYED_AT_ONCE:
            self.message_user(
                request,
                f"At most {REPLAYED_AT_ONCE} at once here; more by manage.py replay_posts.",
                messages.ERROR,
            )
            return redirect("admin:intake_post_changelist")
        if not ids:
            return redirect("admin:intake_post_changelist")
        rows = [tried(pk, lambda pk=pk: rehearse(pk)) for pk in ids]
        would = sum(bool(one["done"] and one["done"].lead_id) for one in rows)
        return self.answered_with(request, "replay", rows, trouble=trouble, would=would)

    def answered_with(
        self, request: HttpRequest, name: str, rows: list[dict[str, Any]], **more: Any
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Replay posts",
            "opts": self.opts,
            "rows": rows,
            "reason": request.POST.get("reason", ""),
            **more,
        }
        status = 400 if more.get("trouble") else 200
        return TemplateResponse(request, f"admin/intake/post/{name}.html", context, status=status)


def tried(pk: UUID, run: Any) -> dict[str, Any]:
    """Return a post with what came of running it, or why it was not run."""
    post = Post.objects.select_related("source").defer("body").filter(pk=pk).first()
    row: dict[str, Any] = {"pk": pk, "post": post, "done": None, "trouble": ""}
    try:
        done: Replayed = run()
        row["done"] = done
    except NotReplayed as error:
        row["trouble"] = str(error)
    return row


def answer_of(post: Post, *, is_revealed: bool) -> str:
    """Return what was answered, as text: a problem as it was, of a lead what is answered now.

    "" for a lead whose person is not revealed: the answer names them. Problems echo no value.
    """
    if post.answer:
        return json.dumps(post.answer, indent=2, ensure_ascii=False)
    if post.lead is None or not is_revealed:
        return ""
    body = intake_answer(post.lead, post.lead.source, opted_out_at=opted_out_since(post.lead))
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()


def exact(body: bytes) -> str:
    """Return bytes as text, those that are no UTF-8 as hex escapes."""
    return body.decode("utf-8", "backslashreplace")


def members_of(post: Post) -> list[str]:
    """Return the names of what was sent, in order, without the values; [] if it cannot be read.

    What does not look like a name may be a value that stands where a name should.
    """
    return [masks.member(one) for one in names_sent(post)]


def names_sent(post: Post) -> list[str]:
    """Return all names of what was sent, whatever they look like."""
    body = bytes(post.body)
    kind = post.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_form = post.method == "GET" or (kind == FORM_TYPE and not body.lstrip().startswith(b"{"))
    if is_form:
        text = body.decode("utf-8", "replace")
        if "=" not in text:
            return []  # no form: all of it would be one name
        try:
            return list(
                dict.fromkeys(name for name, _ in parse_qsl(text, True, max_num_fields=500))
            )
        except ValueError:
            return []
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return list(read) if isinstance(read, dict) else []


@admin.register(Replay)
class ReplayAdmin(RecordAdmin):
    list_display = ["done_at", "its_post", "became", "by", "why"]
    list_display_links = ["done_at"]
    ordering = ["-at"]
    list_select_related = ["by"]
    search_fields = ["=post_id", "=lead__id"]
    fields = [
        *("at", "its_post", "post_received_at", "outcome_before", "outcome_after", "its_lead"),
        *("by", "why"),
    ]
    readonly_fields = ["its_post", "its_lead", "why"]

    @admin.display(description="at")
    def done_at(self, one: Replay) -> str:
        return looks.moment(one.at)

    @admin.display(description="post")
    def its_post(self, one: Replay) -> str:
        url = reverse("admin:intake_post_change", args=[one.post_id])
        return format_html('<a href="{}">{}</a>', url, looks.short(one.post_id))

    @admin.display(description="lead")
    def its_lead(self, one: Replay) -> str:
        url = reverse("admin:leads_lead_change", args=[one.lead_id])
        return format_html('<a href="{}">{}</a>', url, looks.short(one.lead_id))

    @admin.display
    def became(self, one: Replay) -> str:
        return format_html(
            "{} → {}", looks.badge(one.outcome_before), looks.badge(one.outcome_after)
        )

    @admin.display(description="reason")
    def why(self, one: Replay) -> str:
        return looks.marked(one.reason)


@admin.register(RefusalCount)
class RefusalCountAdmin(RecordAdmin):
    list_display = ["in_minute", "code", "from_source", "address_", "count"]
    list_filter = [CodeFilter, "source", "source__vendor", "source__business", MinuteFilter]
    list_select_related = ["source"]
    fields = ["minute", "code", "source", "address_", "count"]
    readonly_fields = ["address_"]

    @admin.display(description="minute")
    def in_minute(self, one: RefusalCount) -> str:
        return looks.moment(one.minute)

    @admin.display(description="source")
    def from_source(self, one: RefusalCount) -> str:
        return looks.marked(one.source.name) if one.source else "-"

    @admin.display(description="address")
    def address_(self, one: RefusalCount) -> str:
        return one.address or "-"
