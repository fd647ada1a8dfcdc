"""Measure what a post costs beside what PostgreSQL alone can do: `make bench`.

`python -m bench.intake [ratios] [servers] [latency] [sqlite] [soak]` on the PostgreSQL of
`DATABASE_URL`; without words, the first four. Each contender posts in short windows, one after the
other in changing order, between windows of pgbench. A window counts only if every answer was 201,
the rows are as many as the answers, and the server flushed its commits.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup()

import psutil
from django.db import connection
from django.utils import timezone

from bench import services
from bench.client import Answers, post_for, requests
from bench.limit import Limit
from bench.machine import Spent, description
from bench.references.commands import COMMANDS, ENVIRONMENT
from bench.services import Service, behind_nginx, granian, gthread, waitress
from bench.slow import slow_clients
from sources.models import Business, Source, Vendor
from tests.service import free_port

SOURCES = 20
CONCURRENCY = 16
WINDOW_SECONDS = 1.5
LIMIT_SECONDS = 1
RESULTS = Path(__file__).parent / "results"
GOALS = {"P": (0.25, 0.35), "R": (0.65, 0.8), "F": (3.5, 5.0), "D": (12.0, 18.0)}
WHO = {
    "A": "leadping on granian",
    "P": "PostgreSQL alone: pgbench writes the same two rows in one statement",
    "R": "the same checks and writes in bare WSGI on granian",
    "D": "the usual way: Django and REST framework on gunicorn",
    "F": "FastAPI, pydantic, SQLAlchemy async on uvicorn",
}


class NotValid(Exception):
    """A window that does not count."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one contender did in one window; microseconds of processor time for each lead."""

    name: str
    a_second: float
    p50_ms: float
    p99_ms: float
    application_us: float
    database_us: float
    client_us: float
    wal_bytes: float
    neighbours: float


class Bench:
    """A database to post to, the credentials of its sources, and numbers for new persons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = random.randrange(10**6) * 1000
        self.credentials = [self.make_source(one) for one in range(SOURCES)]
        connection.ensure_connection()
        backend = int(self.value("SELECT pg_backend_pid()"))
        self.postmaster = psutil.Process(backend).ppid()

    def make_source(self, number: int) -> tuple[str, str]:
        """Make an approved source that may post as often as it likes; return its credentials."""
        business, _ = Business.objects.get_or_create(name="Bench")
        vendor, _ = Vendor.objects.get_or_create(name="Bench")
        source = Source.objects.create(
            business=business,
            vendor=vendor,
            name=f"Bench {number} {timezone.now():%H%M%S%f}",
            compliance_approved_at=timezone.now(),
            rate_per_minute=1_000_000_000,
        )
        return str(source.id), source.issue_key()[1]

    def value(self, sql: str) -> Any:
        """Return the one value that a statement gives."""
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def rows(self) -> tuple[int, int]:
        """Return how many leads and posts there are."""
        return (
            self.value("SELECT count(*) FROM leads_lead"),
            self.value("SELECT count(*) FROM intake_post"),
        )

    def check_durable(self) -> None:
        """Raise NotValid unless a commit is flushed before it is acknowledged."""
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            if self.value(f"SHOW {name}") != "on":
                raise NotValid(f"{name} is off")

    def posts(self, port: int, count: int) -> Iterator[bytes]:
        """Return the bytes of so many posts of new persons, made before the clock starts."""
        made = list(itertools.islice(requests(port, self.credentials, self.number), count))
        self.number += count
        return iter(made)

    def window(
        self, service: Service, seconds: float = WINDOW_SECONDS, name: str = ""
    ) -> tuple[Window, Answers]:
        """Post to a service for so long, and return what came of it; raises NotValid."""
        posts = self.posts(service.port, int(seconds * 4000))
        before, lsn = self.rows(), self.value("SELECT pg_current_wal_lsn()")
        watched = {"application": service.process.pid, "database": self.postmaster}
        if service.upstream:
            watched["upstream"] = service.upstream.process.pid
        begun = Spent.now(watched)
        answers = post_for(seconds, service.port, posts, CONCURRENCY)
        spent, neighbours = Spent.now(watched).since(begun)
        wal = self.value(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{lsn}')")
        after = self.rows()
        self.check_durable()
        count = answers.statuses.total()
        if set(answers.statuses) != {201}:
            raise NotValid(f"{service.name} answered {dict(answers.statuses)}")
        if [b - a for a, b in zip(before, after, strict=True)] != [count, count]:
            raise NotValid(f"{service.name}: {count} answers, rows {before} and then {after}")
        each = {who: 1e6 * seconds_spent / count for who, seconds_spent in spent.items()}
        return Window(
            name or service.name,
            answers.a_second,
            answers.percentile_ms(50),
            answers.percentile_ms(99),
            each["application"] + each.get("upstream", 0.0),
            each["database"],
            each["client"],
            float(wal) / count,
            neighbours,
        ), answers

    def limit_window(self, limit: Limit, seconds: int = LIMIT_SECONDS) -> Window:
        """Let pgbench write for so long, and return what came of it; raises NotValid."""
        before, lsn = self.rows(), self.value("SELECT pg_current_wal_lsn()")
        begun = Spent.now({"database": self.postmaster})
        a_second, count = limit.run(seconds, CONCURRENCY)
        spent, neighbours = Spent.now({"database": self.postmaster}).since(begun)
        wal = self.value(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{lsn}')")
        self.check_durable()
        if [b - a for a, b in zip(before, self.rows(), strict=True)] != [count, count]:
            raise NotValid(f"pgbench said {count}")
        each = {who: 1e6 * seconds_spent / count for who, seconds_spent in spent.items()}
        return Window(
            *("P", a_second, 1000 * CONCURRENCY / a_second, float("nan"), 0.0),
            *(each["database"], each["client"], float(wal) / count, neighbours),
        )


# --- contenders ---------------------------------------------------------------------------------


def ours(name: str, command: Any, folder: Path, **more: str) -> Service:
    """Return leadping on one of the servers, not started."""
    port = free_port()
    settings = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "TRUSTED_PROXIES": "127.0.0.1", **more}
    return Service(name, command(port), port, settings, folder)


def reference(name: str, folder: Path) -> Service:
    """Return one of the programs that leadping is measured against, not started."""
    port = free_port()
    return Service(name, COMMANDS[name](port), port, ENVIRONMENT[name], folder)


@contextmanager
def running(all_of_them: Sequence[Service]) -> Iterator[None]:
    """Run these services, started one after another."""
    with ExitStack() as stack:
        for one in all_of_them:
            stack.enter_context(one)
        yield


def compete(bench: Bench, names: dict[str, Service], rounds: int) -> list[list[Window]]:
    """Return the windows of each round: P, one contender, P, another …, in changing order."""
    for one in names.values():  # first ones, which load what is loaded once
        bench.window(one, 1.0)
    limit = Limit(os.environ["DATABASE_URL"], bench.folder)
    bench.limit_window(limit)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    found = []
    for number in range(rounds):
        order = list(names)
        random.Random(number).shuffle(order)
        windows = [bench.limit_window(limit)]
        for name in order:
            windows.append(bench.window(names[name], name=name)[0])
            windows.append(bench.limit_window(limit))
        found.append(windows)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return found


def of_limit(rounds: list[list[Window]], name: str) -> list[float]:
    """Return a contender's share of P in each round: of its neighbours on both sides."""
    shares = []
    for windows in rounds:
        for number, one in enumerate(windows):
            if one.name == name:
                around = (windows[number - 1].a_second + windows[number + 1].a_second) / 2
                shares.append(one.a_second / around)
    return shares


def of_other(rounds: list[list[Window]], name: str, other: str) -> list[float]:
    """Return a contender's rate over another's in each round, each measured by the P around it."""
    both = zip(of_limit(rounds, name), of_limit(rounds, other), strict=True)
    return [one / two for one, two in both]


# --- tables -------------------------------------------------------------------------------------


def quartiles(values: Sequence[float], form: str) -> str:
    """Return the median of values, and their quartiles in brackets."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def table_of(rounds: list[list[Window]], names: Sequence[str]) -> list[str]:
    """Return the table of what each did, a line for each."""
    lines = [
        "| | leads a second | of P | p50 ms | p99 ms | application µs | database µs "
        "| client µs | WAL bytes a lead | neighbours |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        mine = [one for windows in rounds for one in windows if one.name == name]

        def middle(what: str, mine: list[Window] = mine) -> float:
            return float(statistics.median(getattr(one, what) for one in mine))

        share = "1" if name == "P" else quartiles(of_limit(rounds, name), ".3f")
        latest = "" if name == "P" else f"{middle('p99_ms'):.0f}"
        lines.append(
            f"| {name} | {quartiles([one.a_second for one in mine], ',.0f')} | {share} "
            f"| {middle('p50_ms'):.1f} | {latest} | {middle('application_us'):.0f} "
            f"| {middle('database_us'):.0f} | {middle('client_us'):.0f} "
            f"| {middle('wal_bytes'):,.0f} | {middle('neighbours'):.0%} |"
        )
    return lines


# --- what is measured ---------------------------------------------------------------------------


def ratios(bench: Bench, rounds: int) -> tuple[list[str], float]:
    """Measure leadping beside its references; return lines, and its posts a second."""
    contenders = {"A": ours("A", granian, bench.folder)}
    contenders |= {name: reference(name, bench.folder) for name in ("R", "D", "F")}
    with running(list(contenders.values())):
        found = compete(bench, contenders, rounds)
    lines = ["## Beside the references", ""]
    lines += [f"- {name}: {words}" for name, words in WHO.items()]
    lines += ["", f"{CONCURRENCY} connections, {rounds} rounds; medians and quartiles.", ""]
    lines += [*table_of(found, ["P", "A", "R", "F", "D"]), ""]
    lines += ["| | measured | at least | aim |", "|---|--:|--:|--:|"]
    for name, (least, aim) in GOALS.items():
        values = of_limit(found, "A") if name == "P" else of_other(found, "A", name)
        lines.append(f"| A / {name} | {quartiles(values, '.2f')} | {least} | {aim} |")
    capacity = statistics.median(
        one.a_second for windows in found for one in windows if one.name == "A"
    )
    return [*lines, ""], capacity


def servers(bench: Bench, rounds: int) -> list[str]:
    """Measure the servers that leadping may run on, for speed and with slow clients."""
    direct = {
        "granian": ours("granian", granian, bench.folder),
        "gthread": ours("gthread", gthread, bench.folder),
        "waitress": ours("waitress", waitress, bench.folder),
    }
    with running(list(direct.values())):
        proxied = {
            f"nginx, {name}": behind_nginx(direct[name], bench.folder)
            for name in ("granian", "gthread")
        }
        with running(list(proxied.values())):
            everyone = direct | proxied
            found = compete(bench, everyone, rounds // 2 + 1)
            lines = ["## Servers", "", *table_of(found, list(everyone)), ""]
            lines += [
                "Normal posts, 20 a second, while 200 connections send a byte a second:",
                "",
                "| | answered 201 | p50 ms | p99 ms | longest ms |",
                "|---|--:|--:|--:|--:|",
            ]
            for name, one in everyone.items():
                slow = slow_clients(one.port, bench.credentials, bench.posts(one.port, 400))
                lines.append(f"| {name} | {slow.words} |")
    return [*lines, ""]


def latency(bench: Bench, capacity: float, seconds: float = 20.0) -> list[str]:
    """Measure how late answers are at half of what leadping can do, posts coming as they do."""
    rate = capacity / 2
    with ours("A", granian, bench.folder) as service:
        bench.window(service, 1.0)
        told = len(service.output.read_text().splitlines())
        posts = bench.posts(service.port, int(seconds * rate) + 10)
        answers = post_for(seconds, service.port, posts, 64, a_second=rate)
        lines = service.output.read_text().splitlines()[told:]
    if set(answers.statuses) != {201}:
        raise NotValid(f"answered {dict(answers.statuses)}")
    at_server = Answers(seconds_each=[json.loads(one)["took_us"] / 1e6 for one in lines])
    return [
        "## Latency at half of the capacity, open loop",
        "",
        f"{answers.statuses.total():,} posts, {rate:.0f} a second, each due at its time whether or "
        "not those before were answered:",
        "",
        "| | p50 ms | p99 ms |",
        "|---|--:|--:|",
        f"| at the client, from when it was due | {answers.percentile_ms(50):.1f} "
        f"| {answers.percentile_ms(99):.1f} |",
        f"| at the server, as its log tells of each | {at_server.percentile_ms(50):.1f} "
        f"| {at_server.percentile_ms(99):.1f} |",
        "",
    ]


def sqlite(bench: Bench, seconds: float = 15.0) -> list[str]:
    """Measure `make run` on SQLite; raises NotValid if the database is locked for a post."""
    url = f"sqlite:///{bench.folder}/bench.sqlite3"
    environment = os.environ | {"DATABASE_URL": url}
    made = (
        "import django, json; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0)\n"
        "from bench.intake import Bench\n"
        f"print(json.dumps([Bench.make_source(None, n) for n in range({SOURCES})]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", made], env=environment, capture_output=True, text=True, check=True
    )
    credentials = json.loads(said.stdout.splitlines()[-1])
    lines = ["## SQLite", "", "| | leads a second | p50 ms | p99 ms |", "|---|--:|--:|--:|"]
    with ours("SQLite", waitress, bench.folder, DATABASE_URL=url) as service:
        for concurrency in (1, 4, CONCURRENCY):
            posts = requests(service.port, credentials, bench.number)
            answers = post_for(seconds, service.port, posts, concurrency)
            bench.number += answers.statuses.total() + concurrency
            log = service.output.read_text()
            if set(answers.statuses) != {201} or "locked" in log:
                raise NotValid(f"SQLite answered {dict(answers.statuses)}")
            lines.append(
                f"| {concurrency} connections | {answers.a_second:,.0f} "
                f"| {answers.percentile_ms(50):.0f} | {answers.percentile_ms(99):.0f} |"
            )
    return [*lines, "", "Every answer was 201; the log has no `database is locked`.", ""]


def soak(bench: Bench, capacity: float, minutes: float) -> list[str]:
    """Post at half of the capacity for long; say what became of memory, connections and errors."""
    rate = capacity / 2
    samples: list[tuple[float, int]] = []
    statuses: set[int] = set()
    count = 0
    with ours("A", granian, bench.folder) as service:
        bench.window(service, 5.0)
        ends_at = time.monotonic() + 60 * minutes
        while time.monotonic() < ends_at:
            posts = requests(service.port, bench.credentials, bench.number)
            answers = post_for(10, service.port, posts, 64, a_second=rate)
            statuses |= set(answers.statuses)
            count += answers.statuses.total()
            bench.number += answers.statuses.total() + 100
            family = psutil.Process(service.process.pid).children(recursive=True)
            memory = sum(one.memory_info().rss for one in family) / 2**20
            connections = bench.value(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            samples.append((memory, connections))
            print(f"{memory:.1f} MiB, {connections} connections", file=sys.stderr, flush=True)
        errors = service.output.read_text().count('"level":"error"')
    first = [memory for memory, _ in samples[: max(len(samples) // 10, 1)]]
    last = [memory for memory, _ in samples[-max(len(samples) // 10, 1) :]]
    began, ended = statistics.median(first), statistics.median(last)
    told = {number for _, number in samples}
    return [
        "## Soak",
        "",
        f"{count:,} posts in {minutes:g} minutes, {rate:.0f} a second; answers {sorted(statuses)}, "
        f"{errors} errors in the log. Memory of the web processes {began:.0f} MiB in the first "
        f"tenth, {ended:.0f} MiB in the last ({ended / began - 1:+.1%}); connections to PostgreSQL "
        f"{min(told)} to {max(told)}.",
        "",
    ]


def main() -> None:
    """Measure what was asked for, print it, and write it with --write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("what", nargs="*", default=["ratios", "servers", "latency", "sqlite"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--minutes", type=float, default=10, help="of the soak")
    parser.add_argument("--capacity", type=float, default=0, help="posts a second, if it is known")
    parser.add_argument("--write", metavar="NAME", help="write bench/results/NAME.md")
    options = parser.parse_args()
    if "servers" in options.what:
        try:
            services.nginx()
        except services.NotThere as error:
            parser.error(str(error))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        lines = [f"# What a post costs, {timezone.now():%Y-%m-%d %H:%M} UTC", ""]
        lines += [f"- {one}" for one in (*description(), *versions(bench))]
        lines += [""]
        capacity = options.capacity
        if "ratios" in options.what:
            found, capacity = ratios(bench, options.rounds)
            lines += found
        if "servers" in options.what:
            lines += servers(bench, options.rounds)
        if not capacity and {"latency", "soak"} & set(options.what):
            with ours("A", granian, bench.folder) as service:
                bench.window(service, 1.0)
                capacity = statistics.median(bench.window(service)[0].a_second for _ in range(5))
        if "latency" in options.what:
            lines += latency(bench, capacity)
        if "sqlite" in options.what:
            lines += sqlite(bench)
        if "soak" in options.what:
            lines += soak(bench, capacity, options.minutes)
    text = "\n".join(lines)
    print(text)
    if options.write:
        (RESULTS / f"{options.write}.md").write_text(text)


def versions(bench: Bench) -> list[str]:
    """Return a line on the software and one on PostgreSQL and its settings."""
    told = ", ".join(
        f"{name} {bench.value(f'SHOW {name}')}"
        for name in ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    )
    return [
        f"Python {sys.version.split()[0]}, Django {django.__version__}; {services.PROCESSES} "
        f"processes of {services.THREADS} threads",
        f"PostgreSQL {bench.value('SHOW server_version')}: {told}; "
        f"{bench.rows()[0]:,} leads when it began",
    ]


if __name__ == "__main__":
    main()
