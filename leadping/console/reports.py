"""Reports in the console: numbers with a chart beside, each with the list of exactly its rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET

from intake.counts import Numbers
from intake.reports import BREAKDOWNS, CHOICES, OF_SOURCES, OF_VALUES, Reason, Report, Row
from intake.trouble import is_time_up
from leadping.console import charts
from leadping.console.pages import View, needs, page
from leads.models import Lead
from leads.moments import PERIODS
from sources import looks

SHOWN_AT_MOST = 200
TOO_MUCH = "There is too much to add up in time: choose fewer days, or one source."
TENFOLD = 10
LARGE = 100_000
OUTCOMES = ("approved", "blocked", "rejected", "refused", "repeated")
LEADS, POSTS, TURNED_AWAY = (
    ("leads.view_lead", "admin:leads_lead_changelist"),
    ("intake.view_post", "admin:intake_post_changelist"),
    ("intake.view_refusalcount", "admin:intake_refusalcount_changelist"),
)
STATUSES = {one.value.lower(): one.value for one in Lead.Status}
# What a column shows: its label, its name in SORTS, and whether posts must be told apart for it.
COLUMNS = (
    ("Received", "received", True),
    ("Leads", "leads", False),
    ("Approved", "approved", False),
    ("Blocked", "blocked", False),
    ("Rejected", "rejected", False),
    ("Refused", "refused", True),
    ("Repeated", "repeated", True),
    ("Approval", "approval", False),
    ("Price", "price", False),
    ("Cost", "cost", False),
    ("Per lead", "cost_per_lead", False),
    ("Reviewed", "reviewed", False),
    ("Waited", "review_time", False),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a report: as text, and the list of its rows, "" where there is none to see."""

    text: str
    url: str = ""


class Links:
    """Leads each number of a report to the list of its rows, for who may see that list."""

    def __init__(self, user: Any, report: Report) -> None:
        self.may = {name for name, _ in (LEADS, POSTS, TURNED_AWAY) if user.has_perm(name)}
        chosen = {one: report.chosen[one] for one in OF_SOURCES if one in report.chosen}
        self.of_leads = chosen
        self.of_posts = {
            "source__id__exact" if one == "source" else f"source__{one}__id__exact": key
            for one, key in chosen.items()
        }

    def leads(self, row: Row, **more: str) -> str:
        """Return the list of leads of a row."""
        if row.leads is None:
            return ""
        return self._to(LEADS, row, {**self.of_leads, **row.leads, "tests": "0", **more})

    def posts(self, row: Row, **more: str) -> str:
        """Return the list of posts of a row, without tests unless asked for."""
        if row.posts is None:
            return ""
        return self._to(POSTS, row, {"tests": "0", **self.of_posts, **row.posts, **more})

    def turned_away(self, row: Row, **more: str) -> str:
        """Return the list of what is only counted, of the sources of a row."""
        return self._to(TURNED_AWAY, row, {"source__isnull": "0", **self.of_posts, **more})

    def reason(self, row: Row, reason: Reason) -> str:
        """Return the list of what there is for a reason."""
        if reason.kind == "held":
            return self.leads(row, held_for=reason.code, status="held")
        if reason.kind == "refused":
            return self.posts(row, outcome=reason.code)
        return self.turned_away(row, code=reason.code)

    def _to(self, to: tuple[str, str], row: Row, query: dict[str, str]) -> str:
        permission, name = to
        if permission not in self.may:
            return ""
        within = {"from": row.since.isoformat(), "to": row.until.isoformat()}
        return f"{reverse(name)}?{urlencode(within | query)}"


def cells(row: Row, links: Links, *, with_posts: bool) -> list[Cell]:
    """Return the numbers of a row, in the order of COLUMNS."""
    one = row.numbers
    by_status = {name: links.leads(row, status=value) for name, value in STATUSES.items()}
    found = {
        "received": counted(one.received, links.posts(row)),
        "leads": counted(one.leads, links.leads(row)),
        "approved": counted(one.approved, by_status["approved"]),
        "blocked": counted(one.blocked, by_status["blocked"]),
        "rejected": counted(one.rejected, by_status["rejected"]),
        "refused": counted(one.refused, links.posts(row, outcome="refused")),
        "repeated": counted(one.repeated, links.posts(row, outcome="repeated")),
        "approval": Cell(looks.percent(one.approval_rate)),
        "price": money(one.price if one.approved_priced else None, by_status["approved"]),
        "cost": money(one.cost if one.costed else None, by_status["approved"]),
        "cost_per_lead": money(one.cost_per_lead),
        "reviewed": counted(one.reviewed, links.leads(row, reviewed="1")),
        "review_time": Cell(waited(one)),
    }
    return [found[name] for _, name, is_of_posts in COLUMNS if with_posts or not is_of_posts]


def counted(number: int, url: str) -> Cell:
    """Return a number with its list, if there is anything in it."""
    return Cell(f"{number:,}", url if number else "")


def money(amount: Decimal | None, url: str = "") -> Cell:
    """Return an amount with the list of what it is the sum of, a dash for none.

    A large one has no cents.
    """
    if amount is None:
        return Cell("\u2013")
    return Cell(f"{amount:,.0f}" if amount >= LARGE else f"{amount:,.2f}", url)


def waited(numbers: Numbers) -> str:
    """Return how long reviewed leads had waited, in the mean: 25 min, 7.5 h, 3.2 d."""
    time = numbers.review_time
    if time is None:
        return "\u2013"
    if time < timedelta(hours=1):
        return f"{time / timedelta(minutes=1):.0f} min"
    is_days = time >= timedelta(days=2)
    return f"{time / timedelta(days=1):.1f} d" if is_days else f"{time / timedelta(hours=1):.1f} h"


def against(now: float | None, then: float | None, *, is_share: bool = False) -> tuple[str, str]:
    """Return how a number has changed against before, and as what to show it: up, down or same."""
    if now is None or then is None or (not is_share and not then):
        return ("", "same")
    change = now - then if is_share else now / then - 1
    if is_share:
        text = f"{change * 100:+.1f} points"
    else:
        text = f"{change:+.1%}" if abs(change) < TENFOLD else f"{now / then:,.0f} times"
    kind = "same" if math.isclose(change, 0, abs_tol=0.0005) else "up" if change > 0 else "down"
    return (text, kind)


@require_GET
@needs("leads.view_lead")
def shown(request: HttpRequest) -> HttpResponseBase:
    """Show a report as the URL asks for it; what is wrong in it is told and left out."""
    given = request.GET.dict()
    report = Report(given)
    if unknown := given.keys() - {*CHOICES}:
        report.faults.append("A report has no such choice: " + ", ".join(sorted(unknown))[:100])
    for one in report.faults:
        messages.warning(request, one)
    if report.faults or not all(given.values()) or ("from" in given and "period" in given):
        return redirect(f"{request.path}?{report.query()}")
    try:
        return told_in_full(request, report)
    except DatabaseError as error:
        less = report.query(("by", "sort", "period", "from", "to"))
        if not is_time_up(error) or less == report.query():
            raise
        messages.error(request, TOO_MUCH)
        return redirect(f"{request.path}?{less}")


def told_in_full(request: HttpRequest, report: Report) -> HttpResponseBase:
    """Return the page of a report."""
    links = Links(request.user, report)
    rows = [] if report.by == "reason" else report.rows()
    with_posts = report.by not in OF_VALUES
    return page(
        request,
        "report.html",
        f"Report by {BREAKDOWNS[report.by].lower()}",
        report=report,
        total=report.total,
        cards=cards(report, links),
        balance=balance(report, links),
        chart=chart(rows if report.by == "hour" else report.series),
        outcomes=OUTCOMES,
        columns=[
            (label, "" if name == report.sort else report.query(("sort",), sort=name))
            for label, name, is_of_posts in COLUMNS
            if with_posts or not is_of_posts
        ],
        rows=[told(one, links, rows, with_posts=with_posts) for one in rows[:SHOWN_AT_MOST]],
        left_out=len(rows) - SHOWN_AT_MOST,
        foot=cells(report.total, links, with_posts=with_posts),
        reasons=[
            (one, links.reason(report.total, one), against(one.count, one.before))
            for one in (report.reasons() if report.by == "reason" else [])
        ],
        breakdowns=[
            (label, report.query(("by", "sort"), **({} if name == "day" else {"by": name})), name)
            for name, label in BREAKDOWNS.items()
        ],
        periods=[
            (label, report.query(("from", "to", "period"), period=name), name)
            for name, label in PERIODS.items()
        ],
        pickers=pickers(report),
        usual_order=report.query(("sort",)),
        other_zone=report.query(("zone",))
        if "zone" in report.chosen
        else report.query(zone="source"),
    )


def cards(report: Report, links: Links) -> list[dict[str, Any]]:
    """Return the numbers of the whole report, each against as many days before."""
    row = report.total
    now, then = row.numbers, row.before or Numbers()
    approved = links.leads(row, status="Approved")
    in_day = f"{now.reviewed_in_day / now.reviewed:.0%} within a day" if now.reviewed else ""
    received, was_received = now.received, then.received
    rate, was_rate = now.approval_rate, then.approval_rate
    mean, was_mean = (money(one.cost_per_lead) for one in (now, then))
    cost = money(now.cost, approved if now.approved else "")
    was_cost = money(then.cost).text
    told = [
        ("Received", counted(received, links.posts(row)), f"{was_received:,}",
         against(received, was_received)),
        ("Approved", counted(now.approved, approved), f"{then.approved:,}",
         against(now.approved, then.approved)),
        ("Approval rate", Cell(looks.percent(rate)), looks.percent(was_rate),
         against(rate, was_rate, is_share=True)),
        # Whether it is well or ill that it costs more, a report cannot know.
        ("Cost of approved", cost, was_cost,
         (against(float(now.cost), float(then.cost))[0], "same")),
        ("Cost per lead", mean, was_mean.text,
         (against(float(now.cost_per_lead or 0), float(then.cost_per_lead or 0))[0], "same")),
        ("Waited for review", Cell(waited(now), links.leads(row, reviewed="1") if now.reviewed
         else ""), waited(then), (in_day, "same")),
    ]  # fmt: skip
    names = ("name", "cell", "was", "change")
    return [dict(zip(names, one, strict=True)) for one in told]


def balance(report: Report, links: Links) -> dict[str, Any]:
    """Return the balance line: what came, and what each of it is; source: contract §9."""
    row, one = report.total, report.total.numbers
    return {
        "received": counted(one.received, links.posts(row)),
        "parts": [
            ("approved", counted(one.approved, links.leads(row, status="Approved"))),
            ("blocked", counted(one.blocked, links.leads(row, status="Blocked"))),
            ("rejected", counted(one.rejected, links.leads(row, status="Rejected"))),
            ("repeated", counted(one.repeated, links.posts(row, outcome="repeated"))),
            ("refused", counted(one.refused, links.posts(row, outcome="refused"))),
        ],
        "apart": [
            ("tests", counted(one.tests, links.posts(row, tests="1"))),
            ("turned away", counted(one.turned_away, links.turned_away(row))),
        ],
        "missing": one.received - one.accounted,
    }


def chart(rows: list[Row]) -> charts.Chart:
    """Return days, months or hours as bars."""
    bars = []
    for row in rows:
        parts = [(one, getattr(row.numbers, one)) for one in OUTCOMES]
        bars.append((row.label.rpartition(", ")[2], parts))
    return charts.stacked(bars)


def told(row: Row, links: Links, rows: list[Row], *, with_posts: bool) -> dict[str, Any]:
    """Return a row as the table shows it, with a bar of how much it is beside the largest."""
    largest = max((one.numbers.leads for one in rows), default=0)
    return {
        "row": row,
        "cells": cells(row, links, with_posts=with_posts),
        "bar": charts.bar([(one, getattr(row.numbers, one)) for one in STATUSES], largest),
        "change": against(row.numbers.leads, row.before.leads if row.before else None),
        "was": row.before,
    }


def pickers(report: Report) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Return what the form offers: name, label, what is chosen, and the options."""
    found = []
    for name, of in OF_SOURCES.items():
        pairs = {str(key): looks.flat(label) for key, label in map(of, report.all_sources)}
        options = sorted(pairs.items(), key=lambda one: (one[1], one[0]))
        found.append((name, BREAKDOWNS[name], report.chosen.get(name, ""), options))
    return found


PAGES: list[tuple[str, View, str]] = [("reports/", shown, "reports")]
