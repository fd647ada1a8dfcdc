"""Measure posts on a small table and on a big one: `python -m bench.growth SMALL BIG`.

Both are URLs of migrated PostgreSQL databases of one server, filled by `bench.load`; windows of
the two take turns. Then each look-up of a post alone, on the big one.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import django

if __name__ == "__main__":
    os.environ["DATABASE_URL"] = sys.argv[2]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup()

import psycopg
from django.db import connection

from bench.client import post_for, requests
from bench.intake import CONCURRENCY, ours, quartiles, running
from bench.services import granian
from leads.facts import arms, parameters
from leads.models import Lead, Suppression
from sources.statements import Statement

ROUNDS = 11
SECONDS = 2.0
REPEATS = 200


def credentials(url: str) -> list[tuple[str, str]]:
    """Return credentials of new sources in a database."""
    made = (
        "import django, json; django.setup()\n"
        "from bench.intake import Bench\n"
        "print(json.dumps([Bench.make_source(None, n) for n in range(20)]))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", made],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[tuple[str, str]] = [tuple(one) for one in json.loads(said.stdout)]
    return found


def count(url: str) -> int:
    """Return how many leads a database has."""
    with psycopg.connect(url) as session:
        row = session.execute("SELECT count(*) FROM leads_lead").fetchone()
        assert row
        return int(row[0])


def rates(urls: Sequence[str]) -> list[str]:
    """Post to each in turn; return lines of a table."""
    number = random.randrange(10**6) * 1000
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        who = [credentials(url) for url in urls]
        both = [
            ours(f"of {at}", granian, Path(folder), DATABASE_URL=url) for at, url in enumerate(urls)
        ]
        found: list[list[float]] = [[], []]
        with running(both):
            for round_number in range(ROUNDS + 1):
                order = [0, 1] if round_number % 2 else [1, 0]
                for at in order:
                    posts = requests(both[at].port, who[at], number)
                    answers = post_for(SECONDS, both[at].port, posts, CONCURRENCY)
                    number += answers.statuses.total() + CONCURRENCY
                    assert set(answers.statuses) == {201}, answers.statuses
                    if round_number:  # the first is to warm up
                        found[at].append(answers.a_second)
    ratio = [big / small for small, big in zip(*found, strict=True)]
    lines = ["| leads in the table | leads a second |", "|--:|--:|"]
    for url, a_second in zip(urls, found, strict=True):
        lines.append(f"| {count(url):,} | {quartiles(a_second, ',.0f')} |")
    return [*lines, "", f"Big over small: {quartiles(ratio, '.2f')}, {ROUNDS} rounds.", ""]


def look_ups() -> list[str]:
    """Return the milliseconds of each look-up of a post on the big table, for persons by chance.

    Planned as a post's are: once, for any value.
    """
    known = Lead.objects.raw(
        "SELECT * FROM leads_lead TABLESAMPLE SYSTEM (0.1) "
        "WHERE compliance_status = 'Approved' AND phone <> '' AND external_id <> '' LIMIT %s",
        [REPEATS],
    )
    stored = Suppression.objects.active().exclude(phone="")[:REPEATS]
    both = list(zip(known, stored, strict=False))
    repeats = (
        "SELECT 'repeated' FROM leads_lead WHERE source_id = %(source)s "
        "AND external_id = %(external)s AND NOT (external_id = '') AND NOT is_test"
    )
    took: dict[str, list[float]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        for number, sql in enumerate((*arms("postgresql", Lead), repeats)):
            name = sql.partition("'")[2].partition("'")[0]
            statement = Statement(sql)
            cursor.execute(f"PREPARE look_up_{number} AS {statement.numbered.decode()}")
            for at, (lead, entry) in enumerate(both):
                lead.phone = (lead.phone, entry.phone)[at % 2]
                values = parameters(lead, lead.source, ()) | {"external": lead.external_id}
                given = ", ".join(f"'{values[one]}'" for one in statement.names)
                call = f"look_up_{number}({given})" if given else f"look_up_{number}"
                cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE {call}")
                told = [row[0] for row in cursor.fetchall()]
                took.setdefault(name, []).append(float(told[-1].split()[-2]))
    lines = ["| look-up | median ms | 99 of 100 within ms |", "|---|--:|--:|"]
    for name, each in took.items():
        late = sorted(each)[int(len(each) * 0.99)]
        lines.append(f"| {name} | {statistics.median(each):.3f} | {late:.3f} |")
    return [*lines, ""]


if __name__ == "__main__":
    print("\n".join(["## Growth", "", *rates(sys.argv[1:3]), *look_ups()]))
