"""Reports as files: the rows of one, with the numbers before beside them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.utils import timezone

from intake.reports import BREAKDOWNS, CHOICES, OF_SOURCES, OF_VALUES, Report, Row
from leads.exports import Kind, NotExportable, register
from leads.files import Field, Type

# Columns that only what is told of posts has.
OF_POSTS = ("received", "refused", "repeated", "tests", "turnedAway")
NUMBERS: dict[str, Any] = {
    "received": lambda one: one.received,
    "leads": lambda one: one.leads,
    "approved": lambda one: one.approved,
    "blocked": lambda one: one.blocked,
    "rejected": lambda one: one.rejected,
    "refused": lambda one: one.refused,
    "repeated": lambda one: one.repeated,
    "tests": lambda one: one.tests,
    "turnedAway": lambda one: one.turned_away,
    "approvalRate": lambda one: share(one.approval_rate),
    "price": lambda one: one.price,
    "cost": lambda one: one.cost,
    "costPerLead": lambda one: one.cost_per_lead,
    "reviewed": lambda one: one.reviewed,
    "reviewedInDay": lambda one: one.reviewed_in_day,
    "waitedSeconds": lambda one: one.review_time and int(one.review_time.total_seconds()),
}
MONEY = ("price", "cost", "costPerLead")
BEFORE = ("leadsBefore", "approvedBefore", "costBefore")
OF_REASONS = ("reason", "what", "count", "share", "countBefore")


def share(rate: float | None) -> str | None:
    """Return a share from 0 to 1 with four decimals, as a file has it."""
    return None if rate is None else f"{rate:.4f}"


class Reports(Kind):
    """A report, as its page shows it; there the rows of few, here all of them."""

    name = "report"
    label = "Report"
    permissions = ("leads.view_lead",)

    def report(self, query: str, now: datetime | None = None) -> Report:
        """Return the report of a query; raises NotExportable for what cannot be read."""
        given = QueryDict(query).dict()
        found = Report(given, now)
        unknown = sorted(given.keys() - {*CHOICES})
        faults = [*found.faults, *(f"There is no choice {one}." for one in unknown)]
        if faults:
            raise NotExportable(" ".join(faults))
        return found

    def checked(self, query: str, by: Any, at: datetime) -> str:
        found = self.report(query, at)
        days = {"from": str(found.first), "to": str(found.last)}
        return found.query(["period"], **days)

    def title(self, query: str) -> str:
        found = self.report(query)
        days = f"{found.first:%b %-d, %Y} to {found.last:%b %-d, %Y}"
        return f"Report by {BREAKDOWNS[found.by].lower()}, {days}, days of {found.zone.key}"

    def told(self, query: str, by: Any) -> list[tuple[str, str]]:
        found = self.report(query)
        told = [("Days", f"{found.first} to {found.last}, {found.zone.key}")]
        told.append(("Told by", BREAKDOWNS[found.by]))
        for name, of in OF_SOURCES.items():
            labels = {str(key): label for key, label in map(of, found.all_sources)}
            if name in found.chosen:
                told.append((BREAKDOWNS[name], labels[found.chosen[name]]))
        one = found.total.numbers
        parts = (f"{getattr(one, name):,} {name}" for name in ACCOUNTED)
        told.append(("Balance", f"received {one.received:,} = {' + '.join(parts)}"))
        until = found.counted_until
        told.append(
            (
                "Counted up to",
                f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S %Z}" if until else "not yet",
            )
        )
        return told

    def fields(self, query: str, *, is_masked: bool) -> list[Field]:
        found = self.report(query)
        if found.by == "reason":
            return [Field(name, Type.TEXT if name in TEXTS else Type.NUMBER) for name in OF_REASONS]
        numbers = [Field(one, Type.PRICE if one in MONEY else Type.NUMBER) for one in names(found)]
        before = [Field(one, Type.PRICE if one in COSTS else Type.NUMBER) for one in BEFORE]
        return [Field("id"), Field(camel(found.by)), *numbers, *before]

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        found = self.report(query)
        if found.by == "reason":
            for one in found.reasons():
                yield one.code, one.kind, cell(one.count), share(one.share), cell(one.before)
            return
        for row in found.rows():
            yield tuple(self.cells(found, row))

    def cells(self, report: Report, row: Row) -> Iterator[Any]:
        """Yield a row of the file; of numbers that were not, nothing."""
        yield row.key
        yield row.label
        for name in names(report):
            yield cell(NUMBERS[name](row.numbers))
        before = row.before
        for number in (before.leads, before.approved, before.cost) if before else (None,) * 3:
            yield cell(number)


ACCOUNTED = ("approved", "blocked", "rejected", "repeated", "refused")
TEXTS = ("reason", "what")
COSTS = ("costBefore",)


def names(report: Report) -> list[str]:
    """Return the columns of numbers of a report."""
    is_of_values = report.by in OF_VALUES
    return [one for one in NUMBERS if not (is_of_values and one in OF_POSTS)]


def camel(name: str) -> str:
    """Return a name as files have them: subId."""
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)


def cell(number: Any) -> Any:
    """Return a number as a file writes it: a count as its digits."""
    return str(number) if isinstance(number, int) else number


register(Reports())
