"""Filters of the list of posts: they live in the URL, and a bad one is told, not obeyed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from leads.moments import PERIODS, bound, days_of


class ChoiceFilter(admin.SimpleListFilter):
    """One of some options; anything else in the URL takes the list back to the start."""

    options: Sequence[tuple[str, Any]] = ()

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self.request = request
        super().__init__(request, *args)

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, Any]]:
        return self.options

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value is None:
            return queryset
        if value not in {str(key) for key, _ in self.lookup_choices}:
            raise IncorrectLookupParameters
        return self.narrow(queryset, value)

    def narrow(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Return the rows that the chosen option keeps."""
        raise NotImplementedError


class PeriodFilter(admin.ListFilter):
    """From a moment until before another: `from` and `to`, dates or date-times with their zone.

    A date stands for its midnight in the console's zone; as `to`, for the end of the day.
    """

    title = "received"
    template = "admin/period_filter.html"
    names = ("from", "to")

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.query = request.GET
        for name in ("from", "to"):
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return ["from", "to"]

    def bound(self, name: str) -> datetime | None:
        """Return one end of the time; raises IncorrectLookupParameters for what is none."""
        text = str(self.used_parameters.get(name) or "")
        if not text:
            return None
        try:
            return bound(text, is_end=name == "to")
        except ValueError:
            raise IncorrectLookupParameters from None

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since, until = self.bound("from"), self.bound("to")
        return self.narrow(queryset, since, until)

    def narrow(
        self, rows: QuerySet[Any], since: datetime | None, until: datetime | None
    ) -> QuerySet[Any]:
        """Return the rows that were received in that time."""
        if since:
            rows = rows.filter(received_at__gte=since)
        if until:
            rows = rows.filter(received_at__lt=until)
        return rows

    @property
    def dates(self) -> dict[str, str]:
        """Return what the two fields of the form hold: dates, both of them included."""
        since, until = self.bound("from"), self.bound("to")
        last = until - timedelta(microseconds=1) if until else None
        return {
            "from": str(timezone.localdate(since)) if since else "",
            "to": str(timezone.localdate(last)) if last else "",
        }

    @property
    def others(self) -> list[tuple[str, str]]:
        """Return what else is in the URL, for the form to carry on."""
        left_out = (*self.expected_parameters(), "p", "e")
        return [
            (key, one)
            for key in self.query
            if key not in left_out
            for one in self.query.getlist(key)
        ]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        today = timezone.localdate()
        dates = self.dates
        presets = [("Any time", "", "")]
        for name, label in PERIODS.items():
            first, last = days_of(name, today)
            presets.append((label, str(first), str(last)))
        chosen = (dates["from"], dates["to"])
        for label, since, until in presets:
            yield {
                "selected": chosen == (since, until),
                "query_string": changelist.get_query_string(
                    {"from": since, "to": until} if since else {}, [] if since else ["from", "to"]
                ),
                "display": label,
            }
        if chosen not in {(since, until) for _, since, until in presets}:
            yield {
                "selected": True,
                "query_string": "#",
                "display": f"{dates['from'] or '…'} to {dates['to'] or '…'}",
            }
