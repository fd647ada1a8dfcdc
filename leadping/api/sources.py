"""Sources in the read API: made, read, listed, changed and deleted, and how many leads they bring.

Source: contract §10; the operations `Sources_…` of the public API's description. A business makes
and sets its sources; only staff approve one, and until then its leads are held. What a source is
judged by is changed for the leads that come from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Collate, Lower
from django.http import HttpResponse
from django.utils import timezone

from intake.counts import CountedUntil, CountedZone, DayCount
from intake.fields import is_blank
from intake.problems import Problem
from leadping.api.calls import Call, Endpoint, not_found
from leadping.api.lists import (
    COUNTED_AT_MOST,
    ListField,
    NotLike,
    Options,
    a_boolean,
    a_moment,
    a_number,
    a_text,
    an_id,
    read_options,
)
from leadping.api.members import Members, lines
from leads import geography
from leads.caps import midnight
from leads.models import Lead
from leads.serializers import price_number, tag_summary, time_text
from sources.models import Business, Source, SourceKey, Tag, Vendor
from sources.names import fold
from sources.tokens import Scope

NAME_MAX_LENGTH = 200
DESCRIPTION_MAX_LENGTH = 2000
LISTED_MAX_LENGTH = 100
LISTED_AT_MOST = 1000
TAGS_AT_MOST = 20
KEY_LABEL = "API"
NAME_NEEDED = "A source needs a name."
NO_TAG = "One of these is no tag in use of this business."

# Buckets of one day, of those that `AnalyticsBucketSize` numbers without names.
BY_DAY = 0
DAYS = 30
DAYS_AT_MOST = 400


# --- which source ---------------------------------------------------------------------------------


def sources_of(call: Call) -> QuerySet[Source]:
    """Return the sources that are there for a call: of its business, not deleted."""
    return Source.objects.filter(business=call.business, deleted_at=None)


def source_of(call: Call, id: str) -> Source:
    """Return one of them; raises Problem `not-found`."""
    source = sources_of(call).filter(id=id).first()
    if source is None:
        raise not_found()
    return source


def locked(call: Call, id: str) -> Source:
    """Return one of them, its row locked; raises Problem `not-found`."""
    source = sources_of(call).select_for_update(no_key=True).filter(id=id).first()
    if source is None:
        raise not_found()
    return source


# --- what is told of it ---------------------------------------------------------------------------


class Told:
    """Some sources of a business with all that is told of them, read for all of them at once."""

    def __init__(self, business: Business, ids: list[UUID]) -> None:
        self.business = {"id": str(business.id), "name": business.name}
        self.now = timezone.now()
        rows = {one.id: one for one in self.read(ids)}
        self.sources = [rows[one] for one in ids if one in rows]
        people = {
            person
            for one in self.sources
            for person in (one.owner_id, one.made_by, one.changed_by)
            if person is not None
        }
        self.people = get_user_model().objects.in_bulk(people) if people else {}

    def read(self, ids: list[UUID]) -> Iterable[Any]:
        """Return the rows, with their newest live keys, tags, leads and changes.

        When leads came, tests too, is told by the index of the leads of a source.
        """
        leads = Lead.objects.filter(source=OuterRef("pk")).values("received_at")
        history = Source.history.filter(id=OuterRef("pk"))
        made = history.filter(history_type="+").order_by("history_date", "history_id")
        changed = history.filter(history_type="~").order_by("-history_date", "-history_id")
        keys = SourceKey.objects.live(self.now).order_by("is_test", "-created_at", "-id")
        tags = Prefetch("default_tags", Tag.objects.in_use(), to_attr="tags_in_use")
        return (
            Source.objects.filter(id__in=ids)
            .annotate(
                first_lead_at=Subquery(leads.order_by("received_at")[:1]),
                last_lead_at=Subquery(leads.order_by("-received_at")[:1]),
                made_by=Subquery(made.values("history_user")[:1]),
                changed_by=Subquery(changed.values("history_user")[:1]),
                changed_at=Subquery(changed.values("history_date")[:1]),
            )
            .prefetch_related(tags, Prefetch("keys", keys, to_attr="live_keys"))
        )

    def person(self, id: Any) -> dict[str, str] | None:
        """Return who somebody of the staff is, by name; never how to reach them."""
        user = self.people.get(id)
        return None if user is None else {"id": str(user.pk), "name": user.get_username()}

    def common(self, source: Any) -> dict[str, Any]:
        """Return what a source and its row in a list say alike."""
        tags = sorted(source.tags_in_use, key=lambda one: one.name)
        return {
            "id": str(source.id),
            "businessId": self.business["id"],
            "organizationId": self.business["id"],
            "organization": self.business,
            "name": source.name,
            "enabled": source.is_enabled,
            "apiKey": None,  # shown once, when it is made
            "costPerLead": price_number(source.cost_per_lead),
            "allowedStates": source.allowed_states,
            "allowedProducts": source.allowed_products,
            "requiresTrustedForm": source.is_trusted_form_required,
            "complianceApproved": source.is_compliance_approved,
            "defaultTagIds": [str(one.id) for one in tags],
            "defaultTags": [tag_summary(one) for one in tags],
            "firstLeadReceivedAt": time_or_none(source.first_lead_at),
            "lastLeadReceivedAt": time_or_none(source.last_lead_at),
            "user": self.person(source.owner_id),
            "createdByUser": self.person(source.made_by),
            "modifiedByUser": self.person(source.changed_by),
            "createdAt": time_text(source.created_at),
            "modifiedAt": time_or_none(source.changed_at),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the sources as rows of a list; source: `SourceTableRow`.

        `apiKeyTotalUses`: how many posts came by whichever key, tests apart, as far as they are
        counted: seconds later.
        """
        counts = DayCount.objects.filter(
            source__in=[one.id for one in self.sources],
            zone=str(settings.CONSOLE_TIME_ZONE),  # in which those of every source are counted
            by=DayCount.By.TOTAL,
            span=DayCount.Span.MONTH,
        )
        posts = dict(counts.order_by().values_list("source").annotate(Sum("received")))
        rows = []
        for one in self.sources:
            key = one.live_keys[0] if one.live_keys else None
            rows.append(
                {
                    **self.common(one),
                    "description": one.description,
                    "apiKeyPreview": key.preview if key else "",
                    "apiKeyLastUsedAt": time_or_none(key.last_used_at) if key else None,
                    "apiKeyTotalUses": posts.get(one.id, 0),
                }
            )
        return rows

    def whole(self) -> dict[str, Any]:
        """Return the one source by itself; source: `SourceResponse`."""
        (one,) = self.sources
        return {
            **self.common(one),
            "description": one.description or None,
            "apiKeyPreview": one.live_keys[0].preview if one.live_keys else None,
            "createdByUserEmail": None,  # of staff, whom only the console names so
        }


def time_or_none(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


def told(call: Call, id: UUID, key: str | None = None) -> dict[str, Any]:
    """Return a source as its own answer; `key`: the text of one that has just been made."""
    return Told(call.business, [id]).whole() | {"apiKey": key}


# --- what is asked of it --------------------------------------------------------------------------


def settings_of(body: Members, kept: Source) -> dict[str, Any]:
    """Return the settings that a body says, by the names of their columns; notes every fault.

    What is omitted or null is left out, and stays as it is. A list that is sent takes the place of
    the one that is `kept`, `[]` too, which lets everything pass: clients leave out what they mean
    to leave, so a list that comes is meant. A description that is sent blank is emptied.
    """
    found = {
        "name": body.text("name", NAME_MAX_LENGTH),
        "description": ""
        if body.is_emptied("description")
        else body.text("description", DESCRIPTION_MAX_LENGTH, lines),
        "is_enabled": body.boolean("enabled"),
        "cost_per_lead": cost_of(body),
        "allowed_states": states_of(body, kept.allowed_states),
        "allowed_products": listed(body, "allowedProducts", kept.allowed_products),
        "is_trusted_form_required": body.boolean("requiresTrustedForm"),
    }
    return {name: value for name, value in found.items() if value is not None}


def cost_of(body: Members) -> Decimal | None:
    """Return the cost of a lead; None if it is absent or at fault."""
    sent = body.raw("costPerLead")
    if sent is None:
        return None
    try:
        cost = a_number(sent)
    except NotLike:
        cost = Decimal(-1)
    if cost < 0:
        sentence = "This must be a number from 0, of at most 8 digits before the point, 4 after it."
        body.fault("costPerLead", "invalid-value", sentence)
        return None
    return cost


def listed(body: Members, name: str, kept: list[str]) -> list[str] | None:
    """Return a list of texts, each once; None if it is absent or at fault."""
    sent = body.raw(name)
    if sent is None or sent == kept:
        return None
    if isinstance(sent, list) and sent and all(map(is_blank, sent)):
        body.fault(name, "invalid-value", "Give texts, or [] to allow all.")
        return None
    count = len(body.faults)
    found = list(dict.fromkeys(body.texts(name, LISTED_AT_MOST, LISTED_MAX_LENGTH)))
    return found if len(body.faults) == count else None


def states_of(body: Members, kept: list[str]) -> list[str] | None:
    """Return a list of states by their codes; None if it is absent or at fault.

    What a command has set may be no state of ours: it may stay.
    """
    found = listed(body, "allowedStates", kept)
    if not found:
        return found
    codes = [geography.state_code(one) or (one if one in kept else "") for one in found]
    if not all(codes):
        sentence = "One of these is no state: give USPS codes or names, like TX or Texas."
        body.fault("allowedStates", "unknown-choice", sentence)
    return list(dict.fromkeys(codes))


def default_tags_of(call: Call, body: Members) -> set[Tag] | None:
    """Return the tags in use that a body names, by id or name; None if it says nothing of them."""
    is_sent = False
    found: set[Tag] = set()
    known = list(Tag.objects.of(call.business.id).in_use())
    for name, by in (
        ("defaultTagIds", {str(one.id): one for one in known}),
        ("defaultTagNames", {one.key: one for one in known}),
    ):
        is_sent |= body.raw(name) is not None
        for one in body.texts(name, TAGS_AT_MOST, LISTED_MAX_LENGTH):
            if tag := by.get(one.casefold()):
                found.add(tag)
            else:
                body.fault(name, "unknown-tag", NO_TAG)
                break
    return found if is_sent else None


def check_name(call: Call, body: Members, name: str, source: Source) -> None:
    """Raise Problem if another source of the business, not a deleted one, has this name."""
    if sources_of(call).filter(name=name).exclude(id=source.id).exists():
        raise taken(body)


def taken(body: Members) -> Problem:
    """Return the problem of a name that another source of the business has."""
    body.fault("name", "taken", "This business has a source of this name.")
    return body.problem()


def save(body: Members, source: Source, **how: Any) -> None:
    """Save a source; raises Problem if somebody was faster with its name."""
    try:
        with transaction.atomic():
            source.save(**how)
    except IntegrityError:
        raise taken(body) from None


class SourcesView(Endpoint):
    """`POST /sources`: a new one, for whoever made the token; its `apiKey` is shown this once.

    It is not approved, so its leads are held until staff have looked at it. Its vendor is one that
    is named after the business, until staff set the right one.
    """

    scopes: ClassVar = {"POST": Scope.SOURCES}

    def post(self, call: Call) -> HttpResponse:
        body = call.body()
        source = Source(business=call.business, owner=call.actor.by)
        values = settings_of(body, source)
        tags = default_tags_of(call, body)
        body.boolean("regenerateApiKey")  # it has a new one in any case
        if body.raw("name") is None:
            body.fault("name", "missing", NAME_NEEDED)
        body.check()
        call.ignored += body.ignored()
        for name, value in values.items():
            setattr(source, name, value)
        with transaction.atomic():
            check_name(call, body, source.name, source)
            source.vendor = vendor_of(call.business)
            call.actor.sign(source)
            save(body, source, force_insert=True)
            source.default_tags.set(tags or ())
            by, token = call.actor.by, call.token
            _, text = source.issue_key(label=KEY_LABEL, by=by, token=token)
        return call.answer(told(call, source.id, text), 201, Location=f"/sources/{source.id}")


def vendor_of(business: Business) -> Vendor:
    """Return the vendor of the sources that a business makes by itself."""
    suffix = " (API)"
    at_most: Any = Vendor._meta.get_field("name").max_length
    name = business.name[: at_most - len(suffix)] + suffix
    return Vendor.objects.get_or_create(name=name)[0]


class SourceView(Endpoint):
    """`GET`, `PUT` and `DELETE /sources/{id}`.

    `PUT` keeps what is omitted or null. With `regenerateApiKey` it makes a new key, shown this
    once, and ends every other at once, for one that has leaked; in the console a new key is made
    beside the old one. `DELETE` puts the source away for good: its keys end, its name is free
    again, its leads stay.
    """

    scopes: ClassVar = {"GET": Scope.SOURCES, "PUT": Scope.SOURCES, "DELETE": Scope.SOURCES}

    def get(self, call: Call, id: str) -> HttpResponse:
        return call.answer(told(call, source_of(call, id).id))

    def put(self, call: Call, id: str) -> HttpResponse:
        with transaction.atomic():
            source = locked(call, id)
            body = call.body()
            values = settings_of(body, source)
            tags = default_tags_of(call, body)
            is_renewed = body.boolean("regenerateApiKey")
            if body.is_emptied("name"):
                body.fault("name", "missing", NAME_NEEDED)
            body.check()
            call.ignored += body.ignored()
            self.change(call, body, source, values, tags)
            text = source.renew_key(timezone.now(), call.actor, KEY_LABEL) if is_renewed else None
        return call.answer(told(call, source.id, text))

    def change(
        self,
        call: Call,
        body: Members,
        source: Source,
        values: dict[str, Any],
        tags: set[Tag] | None,
    ) -> None:
        """Set what is other than it was; nothing is saved if nothing is."""
        changed = {name: one for name, one in values.items() if getattr(source, name) != one}
        is_tagged = tags is not None and tags != set(source.tags_by_default)
        if not changed and not is_tagged:
            return
        if "name" in changed:
            check_name(call, body, changed["name"], source)
        for name, value in changed.items():
            setattr(source, name, value)
        call.actor.sign(source)
        if tags is not None and is_tagged:
            source.default_tags.set(tags)
            # They have no history of their own.
            names = ", ".join(sorted(one.name for one in tags)) or "none"
            source._change_reason = f"{call.actor.told}; default tags: {names}"  # type: ignore[attr-defined]
        save(body, source, update_fields=[*changed, "version"])

    def delete(self, call: Call, id: str) -> HttpResponse:
        with transaction.atomic():
            locked(call, id).put_away(timezone.now(), call.actor)
        return call.answer(None, 204)


# --- the list -------------------------------------------------------------------------------------


FIELDS: dict[str, ListField] = {
    fold(one.name): one
    for one in (
        ListField("name", a_text, is_ordered=True, is_text=True),
        ListField("createdAt", a_moment, is_filter=False, is_ordered=True, has_range=True),
        ListField("description", a_text, is_filter=False, is_text=True),
        ListField("id", an_id),
        ListField("enabled", a_boolean),
        ListField("complianceApproved", a_boolean),
    )
}


class SourceListView(Endpoint):
    """`POST /sources/all/my`: a page of the sources of the business, by name."""

    scopes: ClassVar = {"POST": Scope.SOURCES}
    is_list = True

    def post(self, call: Call) -> HttpResponse:
        body = call.body(is_optional=True)
        options = read_options(call, body, "sources", FIELDS, is_descending=False)
        rows = sources_of(call).annotate(in_name=plain(F("name")), in_text=plain(F("description")))
        for name, value in options.filters:
            rows = rows.filter(equal(name, value))
        for _, word, value in options.ranges:
            rows = rows if value is None else rows.filter(**{f"created_at__{word}": value})
        if options.search:
            fields = options.search_fields or ["name", "description"]
            rows = rows.filter(found(options.search, fields))
        total = rows.count() if options.has_count else None
        ids, place = page(rows, options)
        items = Told(call.business, ids).rows()
        if total is not None and total > COUNTED_AT_MOST:
            total = None
        return call.answer(options.page(call, "sources", items, total, place))


def plain(text: Any) -> Lower:
    """Return a text to be sorted and searched by: without regard to case in the Latin alphabet.

    The same on every database, each of which knows other alphabets and other orders.
    """
    collation = "C" if connection.vendor == "postgresql" else "BINARY"
    return Lower(Collate(text, collation))


LOWERED = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def found(term: str, fields: Iterable[str]) -> Q:
    """Return the condition that one of these fields of a source contains a text."""
    column_of = {"name": "in_name", "description": "in_text"}
    condition = Q(pk__in=[])
    for name in fields:
        condition |= Q(**{f"{column_of[name]}__contains": term.translate(LOWERED)})
    return condition


def equal(name: str, value: Any) -> Q:
    """Return the condition that a field of a source has a value; each has one."""
    if value is None:
        return Q(pk__in=[])
    if name == "complianceApproved":
        return Q(compliance_approved_at__isnull=not value)
    return Q(**{{"enabled": "is_enabled"}.get(name, name): value})


def page(rows: QuerySet[Source], options: Options) -> tuple[list[UUID], list[Any] | None]:
    """Return the ids of a page, and where the next one begins, None if there is none."""
    column = {"name": "in_name", "createdAt": "created_at"}[options.order]
    word = "lt" if options.is_descending else "gt"
    if options.place:
        value, id = options.place
        after = datetime.fromisoformat(value) if column == "created_at" else value
        beyond = Q(**{f"{column}__{word}": after}) | Q(**{column: after, f"id__{word}": id})
        rows = rows.filter(beyond)
    sign = "-" if options.is_descending else ""
    ordered = rows.order_by(f"{sign}{column}", f"{sign}id").values_list("id", column)
    places = list(ordered[: options.page_size + 1])
    ids = [id for id, _ in places[: options.page_size]]
    if len(places) <= options.page_size:
        return ids, None
    last, value = places[options.page_size - 1]
    return ids, [value.isoformat() if column == "created_at" else value, str(last)]


# --- how many leads -------------------------------------------------------------------------------


class MetricsView(Endpoint):
    """`GET /sources/{id}/metrics`: how many leads came a day, tests apart.

    Whole days of the source's time zone, which the answered range names, each with a point: from
    that of `startAt` to that of `endAt`, or the last `days`. A lead counts on the day on which it
    came, whatever became of it. The counts are those of the console's reports, a few seconds late:
    `generatedAt` says up to when everything is in them. It is when the source was made as long as
    the source has not been counted in its zone.
    """

    scopes: ClassVar = {"GET": Scope.SOURCES}

    def get(self, call: Call, id: str) -> HttpResponse:
        source = source_of(call, id)
        zone = ZoneInfo(source.time_zone)
        query = call.parameters()
        first, last = days_of(query, zone, timezone.now())
        query.check()
        call.ignored += query.ignored()
        until = counted_until(source)
        rows = DayCount.objects.filter(
            source=source,
            zone=source.time_zone,
            by=DayCount.By.TOTAL,
            span=DayCount.Span.DAY,
            on__range=(first, last),
        )
        leads = {one.on: one.numbers.leads for one in rows}
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        points = [
            {**bounds(on, on, zone), "label": on.isoformat(), "value": leads.get(on, 0)}
            for on in days
        ]
        return call.answer(
            {
                "range": {**bounds(first, last, zone), "bucketSize": BY_DAY},
                "totalLeads": sum(leads.values()),
                "points": points,
                "generatedAt": time_text(until),
            }
        )


def days_of(query: Members, zone: ZoneInfo, now: datetime) -> tuple[date, date]:
    """Return the first and last day that a query asks for; notes every fault.

    An end at midnight is that of the day before. `days` counts back from the end, and means nothing
    beside `startAt`.
    """
    ends: dict[str, datetime] = {}
    for name in ("startAt", "endAt"):
        try:
            if (sent := query.raw(name)) is not None:
                ends[name] = a_moment(sent)
        except NotLike as error:
            query.fault(name, "invalid-value", str(error))
    start, end = ends.get("startAt"), ends.get("endAt", now)
    days = DAYS if start else query.integer("days", 1, DAYS_AT_MOST) or DAYS
    if start and start > end:
        query.fault("startAt", "out-of-range", "This lies after the end.")
    last = end.astimezone(zone).date()
    first = start.astimezone(zone).date() if start else None
    if "endAt" in ends and midnight(last, zone) == end and first != last:
        last -= timedelta(days=1)
    if first is None:
        first = last - timedelta(days=days - 1)
    if (last - first).days >= DAYS_AT_MOST:
        query.fault(
            "startAt", "out-of-range", f"From here to the end are over {DAYS_AT_MOST} days."
        )
    return first, last


def bounds(first: date, last: date, zone: ZoneInfo) -> dict[str, str]:
    """Return when some days begin and end."""
    end = midnight(last + timedelta(days=1), zone)
    return {"startAt": time_text(midnight(first, zone)), "endAt": time_text(end)}


def counted_until(source: Source) -> datetime:
    """Return up to when all that came by a source is counted: nothing came before it was made."""
    zones = CountedZone.objects.filter(source=source, zone=source.time_zone, is_complete=True)
    row = CountedUntil.objects.first() if zones.exists() else None
    return max(row.at, source.created_at) if row and row.at else source.created_at
