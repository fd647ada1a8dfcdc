"""Who did what: one page over the records that each act leaves, the newest first.

Nothing is kept twice: decisions, reveals, exports, histories, replays, imports and Django's own log
are each read where they stand, in order of time, and merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from axes.models import AccessFailureLog, AccessLog
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth import get_user_model
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_GET

from intake.models import Post, Replay
from leadping.console.pages import View, needs, page
from leads.columns import called
from leads.models import (
    Disclosure,
    Export,
    ExportDownload,
    LeadChange,
    Review,
    Suppression,
    SuppressionImport,
)
from leads.moments import midnight
from sources.models import ApiToken, Source, SourceKey, SourceRule
from sources.tokens import Actor

ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did: when, who, what, on what, and why; `kind` is of which record."""

    at: datetime
    who: str
    what: str
    subject: str
    url: str = ""
    reason: str = ""
    kind: str = ""


def name_of(user: Any) -> str:
    """Return who somebody is; nobody is signed in on the command line."""
    return user.get_username() if user else "command line"


def reviews(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by"):
        url = reverse("admin:leads_review_change", args=[one.pk])
        what = one.get_decision_display()
        yield Act(one.at, name_of(one.by), what, f"lead {one.lead_id}", url, one.reason)


def disclosures(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by"):
        if one.lead_id:
            subject, url = "lead", reverse("admin:leads_lead_change", args=[one.lead_id])
        else:
            subject, url = "post", reverse("admin:intake_post_change", args=[one.post_id])
        subject = f"{subject} {one.lead_id or one.post_id}"
        yield Act(one.at, name_of(one.by), one.get_how_display(), subject, url, one.reason)


def readings(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by", "token"):
        url = reverse("admin:leads_lead_change", args=[one.lead_id])
        what, by = one.get_how_display(), Actor(one.by, one.token).told
        yield Act(one.at, name_of(one.by), what, f"lead {one.lead_id}", url, by)


def lead_changes(rows: QuerySet[Any]) -> Iterable[Act]:
    """Read what was done to leads: which fields, not what they held, nor notes."""
    for one in rows.select_related("by", "token"):
        what = one.get_what_display()
        if one.what == LeadChange.What.CHANGE:
            what = f"{what}: {', '.join(called(one.after).values())}"
        url = reverse("admin:leads_lead_change", args=[one.lead_id])
        by = Actor(one.by, one.token).told
        yield Act(one.at, name_of(one.by), what, f"lead {one.lead_id}", url, by)


CHANGED = {"+": "Made", "~": "Changed", "-": "Took away"}


def histories(url_name: str, noun: str, key: str) -> Callable[[QuerySet[Any]], Iterable[Act]]:
    """Return the reader of a history; `key` is the column of what its page is about."""

    def read(rows: QuerySet[Any]) -> Iterable[Act]:
        for one in rows.select_related("history_user"):
            what = f"{CHANGED[one.history_type]} {noun}"
            if noun in ("key", "token") and one.history_type == "~" and one.revoked_at:
                what = f"Revoked {noun}"
            if noun == "suppression" and one.history_type == "~":
                what = "Released suppression"
            named = getattr(one, "preview", "") or getattr(one, "name", "") or one.id
            if noun == "token":
                named = f"{one.label} ({named})"
            # By what it was done, and why.
            why = (one.history_change_reason, getattr(one, "release_reason", ""))
            reason = ": ".join(filter(None, why))
            yield Act(
                one.history_date,
                name_of(one.history_user),
                what,
                str(named),
                reverse(f"admin:{url_name}", args=[getattr(one, key)]),
                reason,
            )

    return read


def rules(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("history_user"):
        what = f"{CHANGED[one.history_type]} rule mode"
        url = reverse("admin:source_history", args=[one.source_id])
        subject = f"{one.rule}: {one.mode}"
        yield Act(one.history_date, name_of(one.history_user), what, subject, url)


def imports(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("created_by"):
        url = reverse("admin:leads_suppressionimport_change", args=[one.pk])
        who, reason = name_of(one.created_by), one.reason
        yield Act(one.created_at, who, "Imported a list", one.file_name, url, reason)


def exports(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by"):
        url = reverse("admin:export", args=[one.pk])
        whom = "with persons" if not one.is_masked else "persons masked"
        what = f"Exported {one.kind}, {whom}: {one.get_state_display().lower()}"
        subject = f"{one.rows_done:,} rows, {one.file_name}"
        yield Act(one.created_at, name_of(one.by), what, subject, url, one.reason)


def downloads(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by", "export"):
        url = reverse("admin:export", args=[one.export_id])
        yield Act(one.at, name_of(one.by), "Fetched an export", one.export.file_name, url)


def replays(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("by"):
        what = f"Replayed: {one.outcome_before} → {one.outcome_after}"
        url = reverse("admin:intake_post_change", args=[one.post_id])
        yield Act(one.at, name_of(one.by), what, f"post {one.post_id}", url, one.reason)


def others(rows: QuerySet[Any]) -> Iterable[Act]:
    for one in rows.select_related("user", "content_type"):
        verb = {1: "Added", 2: "Changed", 3: "Deleted"}[one.action_flag]
        what = one.get_change_message() or verb
        kind = one.content_type.name if one.content_type else ""
        subject = f"{kind} {one.object_repr}"
        yield Act(one.action_time, name_of(one.user), what, subject, one.get_admin_url() or "")


def sign_ins(what: str) -> Callable[[QuerySet[Any]], Iterable[Act]]:
    """Return the reader of a record of sign-ins, good or bad.

    What was typed in vain is shown only if somebody has that name: it may have been a password.
    """

    def read(rows: QuerySet[Any]) -> Iterable[Act]:
        found = list(rows)
        users = get_user_model().objects.filter(username__in={one.username for one in found})
        names = set(users.values_list("username", flat=True))
        for one in found:
            who = one.username if one.username in names else "unknown name"
            told = f"{what}, locked out" if getattr(one, "locked_out", False) else what
            yield Act(one.attempt_time, who, told, f"from {one.ip_address or 'nowhere'}")

    return read


@dataclass(frozen=True, slots=True)
class Kind:
    """A record of acts: how it is called, its rows, its columns of time and person, its reader."""

    label: str
    rows: Callable[[], QuerySet[Any]]
    at: str
    by: str
    read: Callable[[QuerySet[Any]], Iterable[Act]]


# What has a record of its own, and so is not told again from Django's log.
HAVE_THEIR_OWN: tuple[type[Model], ...] = (
    *(Source, SourceRule, SourceKey, ApiToken, Suppression, Post),
)
# What is logged of a suppression that was there already, which leaves no row of its history.
AGAIN = "was there already"


def of_sources() -> QuerySet[Any]:
    """Return the history of sources, less the new versions that changes of a mode have made."""
    of_mode = SourceRule.history.filter(
        source_id=OuterRef("id"), history_date=OuterRef("history_date")
    )
    found: QuerySet[Any] = Source.history.filter(~Exists(of_mode))
    return found


def log() -> QuerySet[Any]:
    """Return Django's log without what has a record of its own."""
    named = [(one._meta.app_label, one._meta.model_name) for one in HAVE_THEIR_OWN]
    rows = LogEntry.objects.all()
    for app, model in named:
        rows = rows.exclude(content_type__app_label=app, content_type__model=model)
    of_entries = {"content_type__app_label": "leads", "content_type__model": "suppression"}
    again = LogEntry.objects.filter(**of_entries, change_message__contains=AGAIN)
    imports = Q(content_type__app_label="leads", content_type__model="suppressionimport")
    # The tags of a source have no history of their own.
    of_source = {"content_type__app_label": "sources", "content_type__model": "source"}
    tags = LogEntry.objects.filter(**of_source, change_message__contains="efault tags")
    return rows.exclude(imports, action_flag=ADDITION) | again | tags


KINDS = {
    "sign-ins": Kind(
        "Sign-ins", AccessLog.objects.all, "attempt_time", "username", sign_ins("Signed in")
    ),
    "failed-sign-ins": Kind(
        "Failed sign-ins",
        AccessFailureLog.objects.all,
        "attempt_time",
        "username",
        sign_ins("Did not sign in"),
    ),
    "reviews": Kind("Reviews", Review.objects.all, "at", "by", reviews),
    "reveals": Kind(
        "Reveals",
        lambda: Disclosure.objects.to_staff().exclude(how=Disclosure.How.PAGE),
        "at",
        "by",
        disclosures,
    ),
    "readings": Kind(
        "Leads read by the API",
        lambda: Disclosure.objects.filter(how=Disclosure.How.API),
        "at",
        "by",
        readings,
    ),
    "changes": Kind("Changes of leads", LeadChange.objects.all, "at", "by", lead_changes),
    "pages": Kind(
        "Leads looked at",
        lambda: Disclosure.objects.filter(how=Disclosure.How.PAGE),
        "at",
        "by",
        disclosures,
    ),
    "exports": Kind("Exports", Export.objects.all, "created_at", "by", exports),
    "downloads": Kind("Downloads of exports", ExportDownload.objects.all, "at", "by", downloads),
    "sources": Kind(
        "Sources",
        of_sources,
        "history_date",
        "history_user",
        histories("source_history", "source", "id"),
    ),
    "rules": Kind("Rule modes", SourceRule.history.all, "history_date", "history_user", rules),
    "keys": Kind(
        "Keys",
        SourceKey.history.all,
        "history_date",
        "history_user",
        histories("sources_sourcekey_change", "key", "id"),
    ),
    "tokens": Kind(
        "API tokens",
        ApiToken.history.all,
        "history_date",
        "history_user",
        histories("sources_apitoken_change", "token", "id"),
    ),
    "suppressions": Kind(
        "Suppressions",
        Suppression.history.all,
        "history_date",
        "history_user",
        histories("leads_suppression_change", "suppression", "id"),
    ),
    "imports": Kind("Imports", SuppressionImport.objects.all, "created_at", "created_by", imports),
    "replays": Kind("Replays", Replay.objects.all, "at", "by", replays),
    "others": Kind("All else in the console", log, "action_time", "user", others),
}
# Asked for by name only: each look at a lead would drown what was done.
NOT_BY_DEFAULT = {"pages", "readings"}


def acts(
    kinds: Iterable[str], by: Any, since: datetime | None, until: datetime | None, skip: int
) -> list[Act]:
    """Return the newest acts up to `until`, less the first `skip`; one more than fit on a page."""
    found: list[Act] = []
    wanted = ON_A_PAGE + skip + 1
    for name in kinds:
        kind = KINDS[name]
        rows = kind.rows()
        if by is not None:
            rows = rows.filter(**{kind.by: by.get_username() if kind.by == "username" else by})
        if since:
            rows = rows.filter(**{f"{kind.at}__gte": since})
        if until:
            rows = rows.filter(**{f"{kind.at}__lte": until})
        ordered = rows.order_by(f"-{kind.at}", "-pk")[:wanted]
        found += [replace(act, kind=kind.label) for act in kind.read(ordered)]
    found.sort(key=lambda act: act.at, reverse=True)
    return found[skip:wanted]


@require_GET
@needs("console.view_audit")
def audit(request: HttpRequest) -> HttpResponseBase:
    """Show who did what, by kind, person and time; what the URL says wrongly is left out."""
    query = request.GET
    kind = query.get("kind", "")
    chosen = [kind] if kind in KINDS else [one for one in KINDS if one not in NOT_BY_DEFAULT]
    users = get_user_model().objects.order_by("username")  # those who have left among them
    wanted = query.get("by", "")
    is_number = wanted.isascii() and wanted.isdecimal() and len(wanted) < 10
    by = users.filter(pk=int(wanted)).first() if is_number else None
    if wanted and by is None:
        chosen = []  # what nobody did
    since, until = day_of(query.get("from")), day_of(query.get("to"))
    end = midnight(until + timedelta(days=1)) - timedelta(microseconds=1) if until else None
    cursor, skip = cursor_of(query.get("before", ""))
    rows = acts(chosen, by, midnight(since) if since else None, cursor or end, skip)
    older = ""
    if len(rows) > ON_A_PAGE:
        rows = rows[:ON_A_PAGE]
        last = rows[-1].at
        same = sum(one.at == last for one in rows) + (skip if cursor == last else 0)
        left = {name: query[name] for name in ("kind", "by", "from", "to") if query.get(name)}
        older = "?" + urlencode(left | {"before": f"{last.isoformat()}~{same}"})
    return page(
        request,
        "audit.html",
        "Audit",
        rows=rows,
        older=older,
        kinds=[(name, one.label) for name, one in KINDS.items()],
        kind=kind,
        users=users[:500],
        by=by,
        since=since,
        until=until,
    )


def day_of(text: str | None) -> date | None:
    """Return a date of the URL, None if it is none."""
    try:
        found = date.fromisoformat(text or "")
    except ValueError:
        return None
    # A day beyond these has no neighbour.
    return found if date(1970, 1, 1) < found < date(9999, 1, 1) else None


def cursor_of(text: str) -> tuple[datetime | None, int]:
    """Return where a page ended: the moment, and how many acts of it had been shown."""
    at, _, shown = text.partition("~")
    try:
        moment = datetime.fromisoformat(at)
        skip = int(shown)
    except ValueError:
        return None, 0
    if moment.tzinfo is None or not 0 <= skip <= 1_000_000 or not day_of(str(moment.date())):
        return None, 0
    return moment, skip


PAGES: list[tuple[str, View, str]] = [("audit/", audit, "audit")]
