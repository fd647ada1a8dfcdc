"""How a list is asked for: page, order, search, filters, ranges, count, and where a page begins.

Source: contract §10, `RequestDataOptions`. A page begins after the last row of the one before, so
that page 1,000 costs as page 1, and rows that come meanwhile shift nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from django.core import signing
from django.utils.dateparse import parse_date, parse_datetime

from intake.bodies import Number
from leadping.api.calls import Call
from leadping.api.members import Members, text_of
from leads import normalize
from sources.names import fold

PAGE_SIZE = 50
PAGE_SIZE_AT_MOST = 500
FILTERS_AT_MOST = 20
SEARCH_MAX_LENGTH = 400
TOKEN_MAX_LENGTH = 2000
# Beyond so many rows nobody counts: the answer has no totalCount then.
COUNTED_AT_MOST = 100_000
AMOUNT = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,4})?", re.ASCII)
BEYOND_AMOUNTS = Decimal(10) ** 10
ENDS = {
    "greaterThan": "gt",
    "greaterThanOrEqual": "gte",
    "lessThan": "lt",
    "lessThanOrEqual": "lte",
}


class NotLike(ValueError):
    """A value cannot be one of the field; its message says what is wanted."""


@dataclass(frozen=True, slots=True)
class ListField:
    """A field by which a list can be asked for.

    `read` makes the value to compare with of what was sent, by the field's type; raises NotLike.
    `is_personal`: only a token that may see persons asks by it. `is_ordered`: it is one to sort by;
    `has_range`: it is compared by more and less. `is_text`: it can be searched.
    """

    name: str
    read: Callable[[Any], Any] = str
    is_personal: bool = False
    is_filter: bool = True
    is_ordered: bool = False
    has_range: bool = False
    is_text: bool = False


@dataclass(slots=True)
class Options:
    """What a list is asked for, every name known and every value of its type."""

    page_size: int = PAGE_SIZE
    is_descending: bool = True
    order: str = ""
    has_count: bool = False
    search: str = ""
    search_fields: list[str] = field(default_factory=list)
    filters: list[tuple[str, Any]] = field(default_factory=list)
    ranges: list[tuple[str, str, Any]] = field(default_factory=list)
    place: list[Any] | None = None
    print: str = ""  # of all but the place

    def page(
        self,
        call: Call,
        resource: str,
        items: list[dict[str, Any]],
        total: int | None,
        place: list[Any] | None,
    ) -> dict[str, Any]:
        """Return a page; `place`: where the next one begins, None if there is none."""
        token = None
        if place is not None:
            token = signing.dumps([self.print, *place], salt=salt_of(call, resource))
        return {
            "items": items,
            "pageSize": self.page_size,
            "totalCount": total,
            "continuationToken": token,
        }


def salt_of(call: Call, resource: str) -> str:
    return f"leadping.api.{resource}.{call.business.id}"


def read_options(
    call: Call,
    body: Members,
    resource: str,
    fields: Mapping[str, ListField],
    more: Any = None,
    *,
    is_descending: bool = True,
) -> Options:
    """Return what the body asks of a list; raises Problem with every fault.

    `fields` by folded name; the first that is ordered is the order by default, `is_descending` or
    not. `more`: what else the list is narrowed by, so that a page goes on with the same.
    """
    options = Options(is_descending=is_descending)
    page_size = body.integer("pageSize", 0, 2**31 - 1)
    options.page_size = min(page_size or PAGE_SIZE, PAGE_SIZE_AT_MOST)
    options.has_count = bool(body.boolean("includeCount"))
    ordered = [one for one in fields.values() if one.is_ordered]
    options.order = ordered[0].name
    for at, one in enumerate(body.objects("orderBy", FILTERS_AT_MOST)):
        read_order(options, one, fields, is_first=at == 0)
    options.search = body.text("search", SEARCH_MAX_LENGTH) or ""
    for name in body.texts("searchFields", FILTERS_AT_MOST, 64):
        found = fields.get(fold(name))
        if found is None or not found.is_text:
            known = ", ".join(sorted(one.name for one in fields.values() if one.is_text))
            body.fault("searchFields", "unknown-field", f"One is unknown; these are: {known}.")
        elif found.is_personal and not call.may_see_persons:
            personal(body, "searchFields")
        else:
            options.search_fields.append(found.name)
    for one in body.objects("filters", FILTERS_AT_MOST):
        known_field = field_of(call, one, fields, lambda known: known.is_filter)
        if known_field:
            read_value(
                one, known_field, "value", lambda name, value: (name, value), options.filters
            )
    for one in body.objects("rangeFilters", FILTERS_AT_MOST):
        known_field = field_of(call, one, fields, lambda known: known.has_range)
        for name, word in ENDS.items() if known_field else ():
            assert known_field
            if one.raw(name) is not None:
                read_value(
                    one,
                    known_field,
                    name,
                    lambda field, value, w=word: (field, w, value),
                    options.ranges,
                )
    said = [options.order, options.is_descending, options.search, options.search_fields]
    asked = orjson.dumps([*said, options.filters, options.ranges, more], default=str)
    options.print = hashlib.sha256(asked).hexdigest()[:16]
    read_place(call, options, body, resource)
    body.check()
    call.ignored += body.ignored()
    return options


def read_order(
    options: Options, one: Members, fields: Mapping[str, ListField], *, is_first: bool
) -> None:
    """Note by what the list is sorted: the first entry counts, the id comes after it by itself."""
    name, direction = one.text("field", 64), one.text("direction", 10)
    known = fields.get(fold(name or ""))
    if known is None or not known.is_ordered:
        names = ", ".join(each.name for each in fields.values() if each.is_ordered)
        one.fault("field", "unknown-field", f"This list is not sorted by this; by: {names}.")
    elif is_first:
        options.order = known.name
    elif known.name != options.order:
        one.fault("field", "too-many", "This list is sorted by one field.")
    if direction is not None and direction.lower() not in ("asc", "desc"):
        one.fault("direction", "invalid-choice", "This must be asc or desc.")
    elif is_first:
        options.is_descending = (direction or "asc").lower() == "desc"


def field_of(
    call: Call,
    one: Members,
    fields: Mapping[str, ListField],
    fits: Callable[[ListField], bool],
) -> ListField | None:
    """Return the field that a filter names; notes a fault and returns None if there is none."""
    name = one.text("field", 64)
    known = fields.get(fold(name or ""))
    if known is None or not fits(known):
        names = ", ".join(sorted(each.name for each in fields.values() if fits(each)))
        one.fault("field", "unknown-field", f"This list has no such field; it has: {names}.")
        return None
    if known.is_personal and not call.may_see_persons:
        personal(one, "field")
        return None
    return known


def personal(one: Members, name: str) -> None:
    one.fault(name, "insufficient-scope", "By this only a token with personal-data may ask.")


def read_value(
    one: Members, known: ListField, name: str, made: Callable[..., Any], into: list[Any]
) -> None:
    """Note a value to compare with, read by the field's type."""
    value = one.raw(name)
    if value is None and not one.has(name):
        one.fault(name, "missing", "A filter needs a value.")
        return
    try:
        into.append(made(known.name, None if value is None else known.read(value)))
    except NotLike as error:
        one.fault(name, "invalid-value", str(error))


def read_place(call: Call, options: Options, body: Members, resource: str) -> None:
    """Note where the page begins."""
    token = body.text("continuationToken", TOKEN_MAX_LENGTH)
    if token is None:
        return
    try:
        printed, *place = signing.loads(token, salt=salt_of(call, resource))
    except (signing.BadSignature, ValueError, TypeError):
        body.fault("continuationToken", "invalid-value", "This is no token of this list.")
        return
    if printed != options.print:
        sentence = "This is of a list that was asked for otherwise: begin with its first page."
        body.fault("continuationToken", "invalid-value", sentence)
    else:
        options.place = place


# --- values by type -------------------------------------------------------------------------------


def a_text(sent: Any) -> str:
    """Return a scalar as text."""
    text = text_of(sent)
    if text is None:
        raise NotLike("This must be a text, number or boolean.")
    return text.strip()


def a_boolean(sent: Any) -> bool:
    """Return true or false, as a boolean or text."""
    text = a_text(sent).lower()
    if text not in ("true", "false"):
        raise NotLike("This must be true or false.")
    return text == "true"


def a_number(sent: Any) -> Decimal:
    """Return a number, as a number or text, with an exponent or without."""
    text = a_text(sent)
    try:
        if isinstance(sent, Number):
            exact = Decimal(text)
            text = f"{exact:f}" if -20 < exact.adjusted() < 20 else text
        return normalize.decimal(text)
    except (normalize.Unacceptable, ArithmeticError):
        raise NotLike("This must be a number.") from None


def an_amount(sent: Any) -> Decimal:
    """Return a number to compare amounts with, however a client writes a double.

    What lies beyond all amounts comes back as one that does.
    """
    text = a_text(sent)
    if not AMOUNT.fullmatch(text):
        raise NotLike("This must be a number.")
    return max(min(Decimal(text), BEYOND_AMOUNTS), -BEYOND_AMOUNTS)


def a_moment(sent: Any) -> datetime:
    """Return a date-time with its offset; a date alone begins in UTC."""
    from_text = a_text(sent)
    try:
        found = parse_datetime(from_text)
        if found is None and (day := parse_date(from_text)):
            found = datetime(day.year, day.month, day.day)
    except ValueError:
        found = None
    if found is None or not 1900 <= found.year <= 9000:
        raise NotLike("This must be a date-time, like 2026-11-29T12:00:00Z.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def an_id(sent: Any) -> UUID | None:
    """Return an id; None for what is none, which nothing has."""
    try:
        return UUID(a_text(sent))
    except ValueError:
        return None
