"""The list of leads: what it is narrowed by, how it is paged, and what it adds up to.

It never scans: every filter has an index in the order of the list, or is told apart into values
that have. A page begins after the last lead of the one before, and counting stops at 10,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Q, QuerySet

from leads import columns, search
from leads.columns import Column
from leads.models import Lead
from leads.narrow import (
    FILTERS,
    FOUND_AT_MOST,
    OPTIONS_AT_MOST,
    BadFilter,
    Condition,
    Options,
    uuid_of,
)
from sources.models import Source, Tag
from sources.sql import as_field, distinct, name_of

PAGE_ROWS = 50
COUNTED_AT_MOST = 10_000
# Where no index has the order of the list, and those before the last that counts are read too.
COUNTED_UNORDERED = 500
ORDERS = {"newest": "Newest first", "oldest": "Oldest first"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is in force: what it says, and the query without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some leads of the list, in order, and the queries of the pages around, "" where none is."""

    leads: list[Lead]
    newer: str
    older: str


@dataclass(slots=True)
class Totals:
    """What the newest leads of the list add up to, tests apart; of more than `at_most` no more.

    `price` is the sum of those that have one.
    """

    at_most: int
    by_status: dict[str, int] = field(default_factory=dict)
    tests: int = 0
    price: Decimal = Decimal(0)
    priced: int = 0

    @property
    def leads(self) -> int:
        return sum(self.by_status.values())

    @property
    def rows(self) -> int:
        return self.leads + self.tests

    @property
    def is_capped(self) -> bool:
        return self.rows >= self.at_most

    @property
    def mean_price(self) -> Decimal | None:
        """Return the mean price of a lead that has one, to the cent."""
        return round(self.price / self.priced, 2) if self.priced else None


class Browse:
    """The list as a URL asks for it: filters, a search, columns, order and place.

    What cannot be read is left out, and told in `faults`. A search that is not open finds nothing,
    and `trouble` says why. `may_reveal`: whether who looks may see persons, and so search by a part
    of a name or phone.
    """

    def __init__(self, given: Mapping[str, str], *, may_reveal: bool = False) -> None:
        self.may_reveal = may_reveal
        self.faults: list[str] = []
        self.trouble = ""
        self.chosen: dict[str, str] = {}
        self.conditions: dict[str, Condition] = {}
        self.found: search.Fitting | None = None
        self._options: dict[str, Options] = {}
        self.columns = self._columns(given.get("cols", ""))
        self.order = given.get("order") or "newest"
        if self.order not in ORDERS:
            self.order = "newest"
            self.faults.append("Order: the list has no such order.")
        for one in FILTERS.values():
            text = given.get(one.name, "").strip()
            if not text:
                continue
            try:
                self.conditions[one.name] = one.read(self, text)
            except BadFilter as error:
                self.faults.append(f"{one.label}: {error}")
            else:
                self.chosen[one.name] = text
        searches = [name for name in search.PARAMS if given.get(name, "").strip()]
        for name in searches[:1]:
            self._search(name, given[name].strip())
        if len(searches) > 1:
            self.faults.append("There are several searches in the address: this is the first one.")
        self.after = self._place("after", given)
        self.before = None if self.after else self._place("before", given)

    def _columns(self, text: str) -> list[Column]:
        names = [one for one in text.split(",") if one]
        unknown = [one for one in names if one not in columns.BY_NAME]
        if unknown:
            self.faults.append("Columns: there is none of that name.")
        names = [one for one in dict.fromkeys(names) if one in columns.BY_NAME]
        return [columns.BY_NAME[one] for one in names or columns.BY_DEFAULT]

    def _search(self, name: str, text: str) -> None:
        self.chosen[name] = text
        try:
            self.found = search.fitting(name, text, may_reveal=self.may_reveal)
        except search.NotFitting as error:
            # Never all leads: who opens a colleague's search would take them for what was found.
            self.trouble = str(error)
            self.conditions[name] = Condition(Q(pk__in=[]))
        else:
            self.conditions[name] = Condition(self.found.q, is_ordered=name != "name_of")

    def _place(self, name: str, given: Mapping[str, str]) -> Lead | None:
        text = given.get(name, "")
        if not text:
            return None
        key = uuid_of(text)
        found = Lead.objects.filter(id=key).only("received_at").first() if key else None
        if found is None:
            self.faults.append("The page began at a lead that is not there: this is the first one.")
        return found

    # --- what there is to choose from -----------------------------------------------------------

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Return all sources by their id, with vendor and business."""
        rows = Source.objects.select_related("vendor", "business").order_by("name", "id")
        only = rows.only("name", "vendor__name", "business__name")
        return {str(one.id): one for one in only}

    @cached_property
    def tags(self) -> dict[str, Tag]:
        """Return all tags by their id, with the business."""
        rows = Tag.objects.select_related("business").order_by("name", "business__name")
        return {str(one.id): one for one in rows[:OPTIONS_AT_MOST]}

    @cached_property
    def found_texts(self) -> list[str]:
        """Return all texts of codes and modes that leads have in `found`."""
        return distinct(Lead, "found", FOUND_AT_MOST)

    def options(self, name: str) -> Options | None:
        """Return what a filter offers, looked up once; None where one types."""
        offered = FILTERS[name].options
        if offered is None:
            return None
        if name not in self._options:
            self._options[name] = offered(self)
        return self._options[name]

    # --- the URL --------------------------------------------------------------------------------

    def query(self, without: Iterable[str] = (), **more: str) -> str:
        """Return the query of this list, in one order, with some parts left out or replaced.

        Of a place in it only what is given in `more`. No value is in it that looks like a person's.
        """
        given = dict(self.chosen)
        if self.columns != [columns.BY_NAME[one] for one in columns.BY_DEFAULT]:
            given["cols"] = ",".join(one.name for one in self.columns)
        if self.order != "newest":
            given["order"] = str(self.order)
        given = {name: text for name, text in given.items() if name not in without} | more
        return urlencode(sorted(given.items()), safe=",:")

    def chips(self) -> list[Chip]:
        """Return the filters in force, in the order of the table, a search first."""
        chips = []
        for name in [*search.PARAMS, *FILTERS]:
            if name not in self.chosen:
                continue
            if name in FILTERS:
                one, text = FILTERS[name], self.chosen[name]
                labels = dict(self.options(name) or ())
                label, value = one.label, labels.get(text, "") or one.shown(text)
            else:
                label, value = "Search", self.found.told if self.found else "not open"
            chips.append(Chip(label, value, self.query([name])))
        return chips

    # --- the rows -------------------------------------------------------------------------------

    def branches(self) -> list[QuerySet[Lead]]:
        """Return the leads of the list as one query, or as several without a lead in common.

        Several where a filter stands for several values, and nothing else gives the order: the
        newest of each are found by an index, where those of all would be sorted.
        """
        whole = Q()
        for one in self.conditions.values():
            whole &= one.q
        return [Lead.objects.filter(whole & one) for one in self._parts() or (Q(),)]

    def _parts(self) -> tuple[Q, ...]:
        """Return the fewest conditions that one filter is told apart into, if that is of use."""
        if any(one.is_ordered for one in self.conditions.values()):
            return ()
        apart = [one.branches for one in self.conditions.values() if one.branches]
        return min(apart, key=len, default=())

    @property
    def counted_at_most(self) -> int:
        """Return how many of the newest leads are counted at most."""
        narrow = self.conditions.keys() - {"from", "to", "period"}
        if any(self.conditions[name].is_sparse for name in narrow):
            return COUNTED_UNORDERED
        is_ordered = any(self.conditions[name].is_ordered for name in narrow) or self._parts()
        return COUNTED_AT_MOST if is_ordered or narrow <= {"tests"} else COUNTED_UNORDERED

    def page(self) -> Page:
        """Return the leads of the page, with what the columns show; in four statements at most."""
        is_back = self.before is not None
        is_descending = (self.order == "newest") != is_back
        place = self.after or self.before
        rows = self.branches()
        if place:
            rows = [beyond(one, place, is_descending) for one in rows]
        ids = merged_ids(rows, PAGE_ROWS + 1, is_descending)
        is_more = len(ids) > PAGE_ROWS
        leads = self.rows_of(ids[:PAGE_ROWS])
        if is_back:
            leads.reverse()
        first, last = (str(leads[0].id), str(leads[-1].id)) if leads else ("", "")
        has_before = bool(leads) and (is_more if is_back else place is not None)
        has_after = bool(leads) and (is_back or is_more)
        return Page(
            leads,
            self.query(before=first) if has_before else "",
            self.query(after=last) if has_after else "",
        )

    def rows_of(self, ids: list[UUID]) -> list[Lead]:
        """Return these leads in this order, with what the columns show."""
        names = {"id", "received_at", "is_test", "archived_at", "deleted_at", "erased_at"}
        for one in self.columns:
            names.update(one.fields)
        related = {name.rpartition("__")[0] for name in names} - {""}
        rows = Lead.objects.filter(id__in=ids).only(*names)
        if related:
            rows = rows.select_related(*related)
        if any(one.has_tags for one in self.columns):
            rows = rows.prefetch_related("tags")
        found = {one.id: one for one in rows}
        return [found[one] for one in ids if one in found]

    def totals(self) -> Totals:
        """Return what the newest leads of the list add up to, in one statement."""
        is_descending = self.order == "newest"
        sql, values = merged(self.branches(), TOTALLED, self.counted_at_most, is_descending)
        totals = Totals(self.counted_at_most)
        if not sql:
            return totals
        status, test, price = (name_of(Lead, name) for name in TOTALLED)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {status}, {test}, count(*), sum({price}), count({price}) "
                f"FROM ({sql}) AS newest GROUP BY {status}, {test}",
                values,
            )
            rows = cursor.fetchall()
        for one, is_test, count, amount, priced in rows:
            if is_test:
                totals.tests += count
            else:
                totals.by_status[one] = totals.by_status.get(one, 0) + count
                totals.price += as_field(PRICE, amount) or Decimal(0)
                totals.priced += priced
        return totals


TOTALLED = ("compliance_status", "is_test", "price")
PRICE = Lead._meta.get_field("price")


def beyond(rows: QuerySet[Lead], place: Lead, is_descending: bool) -> QuerySet[Lead]:
    """Keep what comes after a lead in the order, by the range of the index."""
    word = "lt" if is_descending else "gt"
    at = place.received_at
    later = Q(**{f"received_at__{word}": at}) | Q(**{f"id__{word}": place.id})
    return rows.filter(later, **{f"received_at__{word}e": at})


def merged(
    branches: list[QuerySet[Lead]], names: tuple[str, ...], limit: int, is_descending: bool
) -> tuple[str, list[Any]]:
    """Return the SQL of these columns of the first leads of all branches, "" if there is none.

    Each branch brings as many as are wanted, by its own index. The ORM has no such statement that
    SQLite takes.
    """
    sign, word = ("-", "DESC") if is_descending else ("", "ASC")
    # Only what tells the page needs the second part of the order.
    order = ("received_at", "id") if "id" in names else ("received_at",)
    parts: list[str] = []
    values: list[Any] = []
    for number, one in enumerate(branches):
        rows = one.order_by(*(f"{sign}{name}" for name in order))
        try:
            sql, given = rows.values_list("received_at", *names)[:limit].query.sql_with_params()
        except EmptyResultSet:
            continue
        parts.append(f"SELECT * FROM ({sql}) AS branch_{number}")
        values += given
    if not parts:
        return "", []
    if len(parts) == 1:
        return parts[0], values
    ordered = ", ".join(f"{name_of(Lead, name)} {word}" for name in order)
    whole = " UNION ALL ".join(parts)
    return f"SELECT * FROM ({whole}) AS merged ORDER BY {ordered} LIMIT {limit}", values


def merged_ids(branches: list[QuerySet[Lead]], limit: int, is_descending: bool) -> list[UUID]:
    """Return the ids of the first leads of all branches, in order."""
    sql, values = merged(branches, ("id",), limit, is_descending)
    if not sql:
        return []
    key = Lead._meta.pk
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name_of(Lead, 'id')} FROM ({sql}) AS page", values)
        return [as_field(key, row[0]) for row in cursor.fetchall()]
