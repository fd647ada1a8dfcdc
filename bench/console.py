"""Measure pages of the console on what `bench.load` made: `python -m bench.console --pages leads`.

For each page: the time at the server, how many statements, the time in the database, and whether
the plan of any statement reads the whole of a large table. Ends with 1 if one does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    django.setup()

import psycopg
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Count
from django.test import Client
from django.utils import timezone

from intake.models import Post
from intake.reports import BREAKDOWNS
from leads.columns import COLUMNS
from leads.models import Lead, Suppression
from sources.models import Source

# Name, path. In braces: what `places` finds on this database.
CONSOLE = [
    ("home", "/admin/"),
    ("desk, which leads to", "/admin/desk/"),
    ("desk: the oldest lead", "/admin/desk/lead/{waiting}/"),
    ("desk: those alike", "/admin/desk/lead/{waiting}/alike/"),
    ("a lead", "/admin/leads/lead/{lead}/change/"),
    ("a lead that waits", "/admin/leads/lead/{waiting}/change/"),
    ("sources", "/admin/sources/source/"),
    ("a source: its overview", "/admin/sources/source/{busy}/overview/"),
    ("a source: its form", "/admin/sources/source/{busy}/change/"),
    ("a source: its rules", "/admin/sources/source/{busy}/rules/"),
    ("a source: its history", "/admin/sources/source/{busy}/changes/"),
    ("keys", "/admin/sources/sourcekey/"),
    ("posts", "/admin/intake/post/"),
    ("posts, refused", "/admin/intake/post/?outcome=refused"),
    ("posts of the busiest source", "/admin/intake/post/?source__id__exact={busy}"),
    ("posts of the quietest source", "/admin/intake/post/?source__id__exact={quiet}"),
    ("posts of a day", "/admin/intake/post/?from={day}&to={next_day}&tests=0"),
    ("posts refused on a day", "/admin/intake/post/?outcome=refused&from={day}&to={next_day}"),
    ("a post by its id", "/admin/intake/post/?q={post}"),
    ("a post", "/admin/intake/post/{post}/change/"),
    ("a refused post", "/admin/intake/post/{refused}/change/"),
    ("refusals that are counted", "/admin/intake/refusalcount/"),
    ("suppressions", "/admin/leads/suppression/"),
    ("suppressions, litigators", "/admin/leads/suppression/?kind__exact=litigator"),
    ("a suppression", "/admin/leads/suppression/{suppression}/change/"),
    ("look-backs", "/admin/leads/lookback/"),
    ("reviews", "/admin/leads/review/"),
    ("reviews, released", "/admin/leads/review/?decision__exact=release"),
    ("audit", "/admin/audit/"),
]  # fmt: skip
# The list of leads: the pages of it, each filter alone and with one day, and searches, which are
# sent: path, data.
LIST = "/admin/leads/lead/"
FILTERS = [
    ("of the busiest source", "source={busy}"),
    ("of the quietest source", "source={quiet}"),
    ("of a vendor", "vendor={vendor}"),
    ("of a business", "business={business}"),
    ("approved", "status=Approved"),
    ("blocked", "status=Blocked"),
    ("rejected", "status=Rejected"),
    ("blocked or rejected", "status=held"),
    ("finding: frequent", "finding=duplicate"),
    ("finding: rare", "finding=product-not-allowed"),
    ("finding: none", "finding=check-unavailable"),
    ("held for", "held_for=consent-missing"),
    ("state", "state=TX"),
    ("state: rare", "state=WY"),
    ("state: none", "state=GU"),
    ("product", "product=Solar"),
    ("product: of long ago", "product=Gutters"),
    ("vertical", "vertical=Home"),
    ("sub ID", "sub_id=sub-3"),
    ("sub ID: of long ago", "sub_id=sub-old"),
    ("price: wide", "price_from=10&price_to=20"),
    ("price: narrow", "price_from=12.50&price_to=12.75"),
    ("price: of long ago", "price_from=99&price_to=100"),
    ("price: from", "price_from=43"),
    ("price: to", "price_to=5"),
    ("tag", "tag={tag}"),
    ("tag: rare", "tag={rare_tag}"),
    ("without tests", "tests=0"),
    ("tests only", "tests=1"),
]
SEARCHES = ("id", "phone", "email", "external_id", "name", "name_prefix", "ending", "nobody")
LEADS = [
    ("first page", LIST),
    ("page 2", LIST + "?after={place_50}"),
    ("page 10,000", LIST + "?after={place_500000}"),
    ("page 10,000, every column", LIST + "?after={place_500000}&cols={columns}"),
    ("oldest first", LIST + "?order=oldest"),
    ("last 30 days", LIST + "?period=30d"),
    ("a year ago", LIST + "?from={first_day}&to={first_day}"),
    *((name, f"{LIST}?{query}") for name, query in FILTERS),
    *((f"{name}, one day", f"{LIST}?{query}&from={{day}}&to={{next_day}}")
      for name, query in FILTERS),
    ("three filters", LIST + "?status=held&state=TX&vertical=Home&period=30d"),
    *((f"search: {one}", LIST, {"find": f"{{{one}}}"}) for one in SEARCHES),
    ("a lead", "/admin/leads/lead/{lead}/change/"),
]  # fmt: skip
# Reports: each way to tell them, of the usual 30 days and of a year.
REPORTS = [
    (f"by {name}, {told}", f"/admin/reports/?by={name}{days}")
    for told, days in (("30 days", ""), ("a year", "&from={year_ago}&to={today}"))
    for name in BREAKDOWNS
] + [
    ("of the busiest source, a year", "/admin/reports/?source={busy}&from={year_ago}&to={today}"),
    ("of a vendor, a year", "/admin/reports/?vendor={vendor}&from={year_ago}&to={today}"),
    ("of a business, a year", "/admin/reports/?business={business}&from={year_ago}&to={today}"),
]
SETS: dict[str, list[Any]] = {"console": CONSOLE, "leads": LEADS, "reports": REPORTS}
LARGE = ("leads_lead", "intake_post", "leads_suppression", "intake_daycount")
SETTINGS = (
    *("fsync", "synchronous_commit", "shared_buffers", "effective_cache_size", "work_mem"),
    *("random_page_cost", "max_parallel_workers_per_gather", "jit"),
)
RESULTS = Path(__file__).resolve().parent / "results"
USER = "bench"


def places() -> dict[str, Any]:
    """Return the rows and times that the paths name."""
    volumes = list(
        Lead.objects.values("source").annotate(count=Count("id")).order_by("count", "source")
    )
    newest = Lead.objects.order_by("-received_at", "-id")
    count = Lead.objects.count()

    def place(number: int) -> Any:
        """Return the lead after so many of the newest ones, or the last but some."""
        number = min(number, count - 100)
        return newest[number : number + 1].get().id

    day = timezone.now().replace(hour=5, minute=0, second=0) - timedelta(days=7)
    lead = Lead.objects.filter(erased_at=None).exclude(external_id="")[1000]
    today = timezone.localdate()
    busy = Source.objects.get(id=volumes[-1]["source"])
    refused = Post.objects.without_new_lead().filter(lead=None).order_by("-received_at")[10]
    return {
        "busy": volumes[-1]["source"],
        "quiet": volumes[0]["source"],
        "vendor": busy.vendor_id,
        "business": busy.business_id,
        "tag": busy.business.tags.get(name="web form").id,
        "rare_tag": busy.business.tags.get(name="spring").id,
        "columns": ",".join(one.name for one in COLUMNS),
        "place_50": place(50),
        "place_500000": place(500_000),
        "first_day": timezone.localdate(Lead.objects.earliest("received_at").received_at),
        "id": lead.id,
        "phone": f"({lead.phone[2:5]}) {lead.phone[5:8]}-{lead.phone[8:]}",
        "email": lead.email.upper(),
        "name": f"{lead.first_name} {lead.last_name}",
        "name_prefix": lead.last_name[:4],
        "ending": lead.phone[-4:],
        "nobody": "Nobody Here",
        "day": f"{day:%Y-%m-%dT%H:%M:%SZ}",
        "today": today,
        "year_ago": today - timedelta(days=364),
        "next_day": f"{day + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        "lead": lead.id,
        "external_id": lead.external_id,
        "waiting": Lead.objects.filter(desk_tab="review").earliest("received_at").id,
        "post": lead.posts.earliest("received_at").id,
        "refused": refused.id,
        "suppression": Suppression.objects.active().order_by("-id")[100].id,
    }


@dataclass
class Statements:
    """What is run on the database: each statement with its values, and the seconds of all."""

    run: list[tuple[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, *rest)
        finally:
            self.seconds += time.perf_counter() - started
            self.run.append((sql, params))


@dataclass
class Measured:
    """What a page took, in milliseconds; or why it was not measured."""

    name: str
    path: str
    status: int
    took_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)
    statements: int = 0
    scans: list[str] = field(default_factory=list)
    slowest: str = ""

    def cells(self) -> list[str]:
        """Return the page as a row of the table."""
        if self.status != 200:
            return [self.name, "", "", "", "", f"not measured: answers {self.status}"]
        told = "; ".join(dict.fromkeys(self.scans)) or "none"
        p90 = statistics.quantiles(self.took_ms, n=10)[-1] if len(self.took_ms) > 1 else 0.0
        return [
            self.name,
            f"{statistics.median(self.took_ms):.0f}",
            f"{p90:.0f}",
            str(self.statements),
            f"{statistics.median(self.database_ms):.0f}",
            told,
        ]


HEADINGS = ["page", "median ms", "p90 ms", "statements", "in database ms", "whole tables read"]


def ask(client: Client, path: str, data: dict[str, str] | None) -> Any:
    """Return the answer of a page; what is sent leads to one, which is asked for too."""
    if data is None:
        return client.get(path, secure=True)
    return client.post(path, data, secure=True, follow=True)


def measure(
    client: Client, name: str, path: str, repeat: int, data: dict[str, str] | None = None
) -> Measured:
    """Return what a page takes, asked for once to warm up and then `repeat` times."""
    response = ask(client, path, data)
    measured = Measured(name, path, response.status_code)
    if response.status_code != 200:
        return measured
    statements = Statements()
    for _ in range(repeat):
        statements = Statements()
        started = time.perf_counter()
        with connection.execute_wrapper(statements):
            ask(client, path, data)
        measured.took_ms.append((time.perf_counter() - started) * 1000)
        measured.database_ms.append(statements.seconds * 1000)
    measured.statements = len(statements.run)
    slowest = 0.0
    for sql, params in statements.run:
        if not sql.lstrip(" (").upper().startswith(("SELECT", "WITH")):
            continue
        if connection.vendor == "sqlite":
            measured.scans += [f"{table} ({why(sql)})" for table in scanned_by_sqlite(sql, params)]
            continue
        text = as_text(sql, params)
        plan = explain(text)
        measured.scans += [f"{table} ({why(text)})" for table in scanned(plan)]
        if plan["Total Cost"] > slowest:
            slowest, measured.slowest = plan["Total Cost"], text
    return measured


def scanned_by_sqlite(sql: str, params: Any) -> list[str]:
    """Return the large tables that SQLite reads whole, not by an index."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        steps = [row[-1] for row in cursor.fetchall()]
    return [one for step in steps for one in LARGE if step == f"SCAN {one}"]


def as_text(sql: str, params: Any) -> str:
    """Return a statement with its values in it."""
    connection.ensure_connection()
    raw: Any = connection.connection
    return psycopg.ClientCursor(getattr(raw, "_con", raw)).mogrify(sql, params)


def explain(sql: str) -> dict[str, Any]:
    """Return the plan of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        (plan,) = cursor.fetchone()
    read = json.loads(plan) if isinstance(plan, str) else plan
    return dict(read[0]["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a node of a plan and all below it."""
    yield plan
    for one in plan.get("Plans", []):
        yield from nodes(one)


def scanned(plan: dict[str, Any]) -> list[str]:
    """Return the large tables that a plan reads whole."""
    return [
        one["Relation Name"]
        for one in nodes(plan)
        if one["Node Type"] in ("Seq Scan", "Parallel Seq Scan") and one["Relation Name"] in LARGE
    ]


def why(sql: str) -> str:
    """Return the part of a statement that tells which it is: from its condition on."""
    for word in (" WHERE ", " GROUP BY ", " ORDER BY ", " FROM "):
        if word in sql:
            return word.strip() + " " + " ".join(sql.split(word, 1)[1].split())[:90]
    return sql[:90]


def database_told() -> tuple[str, str]:
    """Return what the database is and how it is set, and its size."""
    if connection.vendor == "sqlite":
        return (
            f"SQLite {sqlite3.sqlite_version}, WAL, synchronous FULL",
            f"{Path(connection.settings_dict['NAME']).stat().st_size // 2**20} MB",
        )
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
        told = []
        for name in SETTINGS:
            cursor.execute(f"SHOW {name}")
            told.append(f"{name} {cursor.fetchone()[0]}")
        cursor.execute("SELECT pg_size_pretty(pg_database_size(current_database()))")
        (size,) = cursor.fetchone()
    return f"PostgreSQL {version}: {', '.join(told)}", size


def machine() -> list[str]:
    """Return on what was measured; nothing that names the machine."""
    told, size = database_told()
    return [
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        f"Python {platform.python_version()}, Django {django.get_version()}",
        told,
        f"{Lead.objects.count():,} leads, {Post.objects.count():,} posts, "
        f"{Suppression.objects.count():,} suppressions, {Source.objects.count()} sources; {size}",
    ]


def table(measured: list[Measured]) -> str:
    """Return the results as a table that reads well as text and as Markdown."""
    rows = [HEADINGS, *(one.cells() for one in measured)]
    widths = [max(len(row[number]) for row in rows) for number in range(len(HEADINGS))]
    last = len(widths) - 1

    def line(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [row[number].rjust(widths[number]) for number in range(1, last)]
        return "| " + " | ".join([*cells, row[last]]) + " |"

    rule = [f"{'-' * widths[0]}", *("-" * (width - 1) + ":" for width in widths[1:last]), "---"]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])


def main(words: list[str]) -> int:
    """Do as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--pages", choices=SETS, default="console")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", default="", help="only pages whose name holds this")
    parser.add_argument("--slowest", action="store_true", help="print each page's costliest SELECT")
    parser.add_argument("--write", action="store_true", help="write the table into results/")
    given = parser.parse_args(words)
    if not Lead.objects.exists():
        print("Set DATABASE_URL to what bench.load or bench.copy has filled.", file=sys.stderr)
        return 1
    user, _ = get_user_model().objects.get_or_create(
        username=USER, defaults={"is_staff": True, "is_superuser": True}
    )
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    found = places()
    measured = []
    for name, path, *sent in SETS[given.pages]:
        if given.only in name:
            data = {key: text.format(**found) for key, text in sent[0].items()} if sent else None
            measured.append(measure(client, name, path.format(**found), given.repeat, data))
    print(table(measured))
    if given.slowest:
        for one in measured:
            print(f"\n{one.name}: {one.slowest}")
    is_scanned = any(one.scans for one in measured)
    # Not there yet, or its query is not one that the page takes: told in the table.
    is_broken = any(one.status not in (200, 302, 404) for one in measured)
    if given.write:
        about = "\n".join(f"- {line}" for line in machine())
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{given.pages}-{connection.vendor}.md").write_text(
            f"# Pages of the console: {given.pages}, {Lead.objects.count():,} leads\n\n"
            f"`python -m bench.console --pages {given.pages} --repeat {given.repeat} --write` on "
            "what `python -m bench.load` made (for SQLite, `python -m bench.copy` of it): each "
            "page asked for in one process, once to warm up.\n\n"
            f"{about}\n\n{table(measured)}\n"
        )
    return 1 if is_scanned or is_broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
