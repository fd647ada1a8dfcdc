"""The filters of the list of leads: what each asks of a lead, and what it offers to choose from."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import ExtractHour
from django.db.models.lookups import Exact, IsNull
from django.utils import timezone

from leads import geography, masks, normalize
from leads.models import Lead
from leads.moments import PERIODS, bound, days_of, hours_between, midnight
from leads.reviews import Review
from sources.models import Source, Tag
from sources.rules import STANDING, Mode, Rule
from sources.sql import distinct

if TYPE_CHECKING:
    from leads.browse import Browse

# So many values a filter may stand for, each with a query of its own in the statement.
BRANCHES_AT_MOST = 40
OPTIONS_AT_MOST = 200
# So long a time an hour of the clock is told apart into days.
HOURS_APART = timedelta(days=400)
# Texts of codes and modes that findings are told apart into; few, unless somebody plays with rules.
FOUND_AT_MOST = 1000
HELD = (Lead.Status.BLOCKED, Lead.Status.REJECTED)
REVIEWED_BY = (Review.Decision.RELEASE, Review.Decision.REJECT)


class BadFilter(ValueError):
    """A filter cannot be read; its message says why, in words for staff."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one filter asks of a lead.

    `branches`: the same told apart into values that exclude each other, each of which an index has
    in the order of the list. `is_ordered`: it is itself one such value. `is_sparse`: it fits leads
    far apart in any order, so that few are counted.
    """

    q: Q
    branches: tuple[Q, ...] = ()
    is_ordered: bool = False
    is_sparse: bool = False


Options = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of the list: its name in the URL, and how its value is read.

    `options` are the values that are offered with their labels, None where one is typed; `shown`
    is how a typed value is shown. `read` raises BadFilter.
    """

    name: str
    label: str
    read: Callable[[Browse, str], Condition]
    options: Callable[[Browse], Options] | None = None
    shown: Callable[[str], str] = str
    kind: str = "text"


def uuid_of(text: str) -> UUID | None:
    """Return an id, None for what is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def of_sources(browse: Browse, wanted: Iterable[Source]) -> Condition:
    """Return the condition that leads came by one of these sources."""
    ids = [one.id for one in wanted]
    if not ids:
        raise BadFilter("there is none like this.")
    if len(ids) == 1:
        return Condition(Q(source=ids[0]), is_ordered=True)
    apart = tuple(Q(source=one) for one in ids) if len(ids) <= BRANCHES_AT_MOST else ()
    return Condition(Q(source__in=ids), apart)


def by_source(browse: Browse, text: str) -> Condition:
    return of_sources(browse, [one for key, one in browse.sources.items() if key == text])


def by_vendor(browse: Browse, text: str) -> Condition:
    key = uuid_of(text)
    return of_sources(browse, [one for one in browse.sources.values() if one.vendor_id == key])


def by_business(browse: Browse, text: str) -> Condition:
    key = uuid_of(text)
    return of_sources(browse, [one for one in browse.sources.values() if one.business_id == key])


def by_status(browse: Browse, text: str) -> Condition:
    if text == "held":
        apart = tuple(Q(compliance_status=one) for one in HELD)
        return Condition(Q(compliance_status__in=HELD), apart)
    if text not in Lead.Status.values:
        raise BadFilter("there is no such status.")
    return Condition(Q(compliance_status=text), is_ordered=True)


def by_found(browse: Browse, text: str, modes: Iterable[str] = Mode.values) -> Condition:
    """Return the condition that a rule found something, in one of these modes."""
    if text not in Rule.values:
        raise BadFilter("there is no such rule.")
    wanted = {f"{text}:{mode}" for mode in modes}
    kept = ~Q(found="")  # in the words of the index
    if len(browse.found_texts) >= FOUND_AT_MOST:  # not all that there are
        held: Q = functools.reduce(operator.or_, (Q(found__contains=one) for one in sorted(wanted)))
        return Condition(held & kept)
    texts = [one for one in browse.found_texts if wanted & set(one.split())]
    apart = tuple(Q(found=one) & kept for one in texts) if len(texts) <= BRANCHES_AT_MOST else ()
    return Condition(Q(found__in=texts) & kept, apart, is_ordered=len(texts) == 1)


def by_finding(browse: Browse, text: str) -> Condition:
    return by_found(browse, text)


def by_held_for(browse: Browse, text: str) -> Condition:
    return by_found(browse, text, STANDING)


def equal(
    name: str, mask: Callable[[str], str] = masks.reference, *, is_partial: bool = False
) -> Callable[[Browse, str], Condition]:
    """Return the reader of a filter for one value of a column with an index of its own.

    The dots of a mask stand for all values that may name a person.
    """
    field: Any = Lead._meta.get_field(name)

    def read(browse: Browse, text: str) -> Condition:
        if text == masks.HIDDEN:
            values = distinct(Lead, name, FOUND_AT_MOST)
            if len(values) == FOUND_AT_MOST:
                raise BadFilter("there are too many values to tell which may name a person.")
            hidden = [one for one in values if mask(one) == masks.HIDDEN]
            return Condition(Q(**{f"{name}__in": hidden}))
        if len(text) > field.max_length or normalize.CONTROL.search(text):
            raise BadFilter("no lead has such a value.")
        if masks.reference(text) != text:  # it would stand in the address, and in views
            raise BadFilter("this may name a person: search for it in the box instead.")
        kept = ~Q(**{name: ""}) if is_partial else Q()
        return Condition(Q(**{name: text}) & kept, is_ordered=True)

    return read


def by_state(browse: Browse, text: str) -> Condition:
    return equal("state", masks.state)(browse, normalize.state(text))


# What a lead may come without, by the names of the filters for what it has.
MAY_LACK = {"state": "a state", "product": "a product", "sub_id": "a sub ID"}


def by_without(browse: Browse, text: str) -> Condition:
    if text not in MAY_LACK:
        raise BadFilter("there is no such choice.")
    return Condition(Q(**{text: ""}), is_ordered=text != "sub_id")  # whose index leaves them out


def by_hour(browse: Browse, text: str) -> Condition:
    """Return the condition on the hour of the clock, in the console's zone or that after an @."""
    hour, _, name = text.partition("@")
    if not (hour.isascii() and hour.isdecimal() and len(hour) == 2 and int(hour) < 24):
        raise BadFilter("this is no hour, like 13.")
    if name and name not in available_timezones():
        raise BadFilter("there is no such time zone.")
    zone = ZoneInfo(name) if name else timezone.get_current_timezone()
    since, until = times_of(browse)
    if since and until and until - since <= HOURS_APART:  # by the index of time, hour by hour
        spans = hours_between(int(hour), zone, since, until)
        within = [Q(received_at__gte=begin, received_at__lt=end) for begin, end in spans]
        return Condition(functools.reduce(operator.or_, within, Q(pk__in=[])), is_sparse=True)
    return Condition(Q(Exact(ExtractHour("received_at", tzinfo=zone), int(hour))), is_sparse=True)


def times_of(browse: Browse) -> tuple[datetime | None, datetime | None]:
    """Return between which moments leads are kept by the filters of time that were read."""
    since = until = None
    if period := browse.chosen.get("period"):
        first, last = days_of(period, timezone.localdate())
        since, until = midnight(first), midnight(last + timedelta(days=1))
    if text := browse.chosen.get("from"):
        since = max(filter(None, (since, moment(text))))
    if text := browse.chosen.get("to"):
        until = min(filter(None, (until, moment(text, is_end=True))))
    return since, until


def told_hour(text: str) -> str:
    hour, _, name = text.partition("@")
    return f"{hour}:00 to {hour}:59" + (f", {name}" if name else "")


def by_reviewed(browse: Browse, text: str) -> Condition:
    if text not in ("0", "1"):
        raise BadFilter("0 is what staff did not decide, 1 what they did.")
    decided = Review.objects.filter(
        lead=OuterRef("pk"), decision__in=REVIEWED_BY, undone_by__isnull=True
    )
    # Not by EXISTS, of which PostgreSQL would make a join with all reviews there are.
    one = Subquery(decided.order_by().values("decision")[:1])
    if text == "0":
        return Condition(Q(IsNull(one, True)), is_sparse=True)
    # A decision changes the row: seen there, it saves most look-ups.
    return Condition(Q(modified_at__isnull=False) & Q(IsNull(one, False)), is_sparse=True)


def price_of(text: str) -> Decimal:
    """Return a price that was typed; raises BadFilter."""
    try:
        return normalize.decimal(text.replace(",", "").removeprefix("$").strip())
    except normalize.NotADecimal:
        raise BadFilter("this is no amount, like 12.50.") from None


def by_price(browse: Browse, text: str, name: str) -> Condition:
    """Return the condition on one end of the price; both are told apart if they leave few."""
    ends = {name: price_of(text)}
    if other := browse.chosen.get("price_from"):
        ends["price_from"] = price_of(other)
    low, high = ends.get("price_from"), ends.get("price_to")
    if low is not None and high is not None and low > high:
        raise BadFilter("this lies below the price that it begins with.")
    prices = distinct(Lead, "price", BRANCHES_AT_MOST + 1, low, high)
    if len(prices) > BRANCHES_AT_MOST:
        return Condition(Q(price__gte=low) if name == "price_from" else Q(price__lte=high))
    apart = tuple(Q(price=one) for one in prices)
    return Condition(Q(price__in=prices), apart, is_ordered=len(prices) == 1)


def by_price_from(browse: Browse, text: str) -> Condition:
    return by_price(browse, text, "price_from")


def by_price_to(browse: Browse, text: str) -> Condition:
    return by_price(browse, text, "price_to")


def by_tag(browse: Browse, text: str) -> Condition:
    if text not in browse.tags:  # which holds but the first
        key = uuid_of(text)
        tag = Tag.objects.select_related("business").filter(id=key).first() if key else None
        if tag is None:
            raise BadFilter("there is no such tag.")
        browse.tags[str(tag.id)] = tag
        text = str(tag.id)
    return Condition(Q(tags=browse.tags[text]))


def by_tests(browse: Browse, text: str) -> Condition:
    if text not in ("0", "1"):
        raise BadFilter("0 is without tests, 1 is tests only.")
    return Condition(Q(is_test=text == "1"), is_ordered=text == "1")


def by_period(browse: Browse, text: str) -> Condition:
    if text not in PERIODS:
        raise BadFilter("there is no such time.")
    first, last = days_of(text, timezone.localdate())
    until = midnight(last + timedelta(days=1))
    return Condition(Q(received_at__gte=midnight(first), received_at__lt=until))


def moment(text: str, *, is_end: bool = False) -> datetime:
    """Return a date or moment that was given; raises BadFilter."""
    try:
        return bound(text, is_end=is_end)
    except ValueError:
        raise BadFilter("this is no date, like 2026-11-25.") from None


def by_from(browse: Browse, text: str) -> Condition:
    return Condition(Q(received_at__gte=moment(text)))


def by_to(browse: Browse, text: str) -> Condition:
    end = moment(text, is_end=True)
    if (begin := browse.chosen.get("from")) and end <= moment(begin):
        raise BadFilter("this lies before the beginning.")
    return Condition(Q(received_at__lt=end))


def told_moment(text: str) -> str:
    """Return a date or moment of the URL as it is shown: a moment in the console's zone."""
    if len(text) == len("2026-11-25"):
        return text
    return f"{timezone.localtime(bound(text)):%Y-%m-%d %H:%M}"


def hour_options(browse: Browse) -> Options:
    return [(f"{hour:02}", f"{hour:02}:00 to {hour:02}:59") for hour in range(24)]


def source_options(browse: Browse) -> Options:
    return [(key, one.name) for key, one in browse.sources.items()]


def vendor_options(browse: Browse) -> Options:
    return by_label((one.vendor_id, one.vendor.name) for one in browse.sources.values())


def business_options(browse: Browse) -> Options:
    return by_label((one.business_id, one.business.name) for one in browse.sources.values())


def by_label(pairs: Iterable[tuple[UUID, str]]) -> Options:
    """Return each of these once, in the order of the labels."""
    return sorted({(str(key), label) for key, label in pairs}, key=lambda one: (one[1], one[0]))


def status_options(browse: Browse) -> Options:
    return [*((one.value, one.label) for one in Lead.Status), ("held", "Blocked or rejected")]


def rule_options(browse: Browse) -> Options:
    return [(one.value, one.label) for one in Rule]


def state_options(browse: Browse) -> Options:
    return [(code, f"{code} {name}") for code, name in geography.STATES.items()]


def column_options(name: str) -> Callable[[Browse], Options]:
    """Return what offers the values that leads have in a column, less what may name a person."""

    def options(browse: Browse) -> Options:
        values = distinct(Lead, name, OPTIONS_AT_MOST)
        return [(one, one) for one in values if masks.reference(one) == one]

    return options


def tag_options(browse: Browse) -> Options:
    return [(key, f"{one.name} · {one.business.name}") for key, one in browse.tags.items()]


FILTERS: dict[str, Filter] = {
    one.name: one
    for one in (
        Filter("period", "Received", by_period, lambda _: list(PERIODS.items()), kind="date"),
        Filter("from", "From", by_from, shown=told_moment, kind="date"),
        Filter("to", "To", by_to, shown=told_moment, kind="date"),
        Filter("hour", "Hour", by_hour, hour_options, shown=told_hour),
        Filter("source", "Source", by_source, source_options),
        Filter("vendor", "Vendor", by_vendor, vendor_options),
        Filter("business", "Business", by_business, business_options),
        Filter("status", "Status", by_status, status_options),
        Filter("finding", "Finding", by_finding, rule_options),
        Filter("held_for", "Held for", by_held_for, rule_options),
        Filter(
            *("reviewed", "Reviewed", by_reviewed),
            lambda _: [("1", "decided by staff"), ("0", "not decided by staff")],
        ),
        Filter("state", "State", by_state, state_options),
        Filter("product", "Product", equal("product"), column_options("product")),
        Filter(
            *("vertical", "Vertical", equal("vertical"), column_options("vertical")),
        ),
        Filter("sub_id", "Sub ID", equal("sub_id", is_partial=True)),
        Filter("without", "Without", by_without, lambda _: list(MAY_LACK.items())),
        Filter("price_from", "Price from", by_price_from, kind="number"),
        Filter("price_to", "Price to", by_price_to, kind="number"),
        Filter("tag", "Tag", by_tag, tag_options),
        Filter(
            *("tests", "Tests", by_tests),
            lambda _: [("0", "left out"), ("1", "only")],
        ),
    )
}
