"""Measure exports beside COPY: `python -m bench.export URL`, of a PostgreSQL database with leads.

In each round the same rows and columns are written by COPY to a client that drops them, and by an
export as a worker does it, into the database; then memory, of a process for each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import django

if __name__ == "__main__":
    os.environ["DATABASE_URL"] = sys.argv[1]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leadping.settings")
    django.setup()

import logging

import psycopg
from django.contrib.auth import get_user_model
from django.db import connection

from bench.intake import quartiles
from bench.machine import description, spent_by
from leadping.jobs.models import Job
from leadping.jobs.worker import do, take
from leads import columns, exporting
from leads.exports import Estimate, Export, ExportChunk
from leads.models import Lead

ROUNDS = 3
RESULT = Path(__file__).parent / "results" / "export.md"
USUAL = ",".join(columns.BY_DEFAULT)
WIDE = (
    "createdAt,firstName,lastName,phone,email,complianceStatus,source,state,product,price,subId,"
    "utmCampaign,id"
)
# Columns, format, whether the person is masked.
MEASURED = (
    ("the usual 8 columns, masked", USUAL, "csv", True),
    ("13 columns, masked", WIDE, "csv", True),
    ("13 columns, with persons", WIDE, "csv", False),
    ("13 columns, with persons, NDJSON", WIDE, "ndjson", False),
)
MEMORY_ROWS = (50_000, 150_000, 1_000_000)


def exported(names: str, format_name: str, is_masked: bool, upto: str = "") -> tuple[Export, float]:
    """Make an export as a worker does, and return it with the seconds that took."""
    user, _ = get_user_model().objects.get_or_create(
        username="bench", defaults={"is_staff": True, "is_superuser": True}
    )
    query = f"cols={names}{upto}"
    more: Any = {"is_masked": is_masked, "reason": "To measure", "estimate": Estimate(None)}
    one = exporting.ask(user, "leads", query, format_name, **more)
    job = Job.objects.get(key=str(one))
    began = time.monotonic()
    while taken := take("bench", job.id):
        do(taken)
    seconds = time.monotonic() - began
    one.refresh_from_db()
    assert one.state == "done", one.trouble
    return one, seconds


def forget(one: Export) -> None:
    """Delete what an export has written, which the next one should not pay for."""
    ExportChunk.objects.filter(of=one).delete()
    Export.objects.filter(id=one.id).update(state=Export.State.EXPIRED)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM leads_exportchunk, leads_exportedleads")


def copied(names: str) -> tuple[int, float]:
    """Write the same columns of the same rows, in that order, by COPY as CSV.

    Return how many bytes that were, and the seconds.
    """
    wanted = [columns.BY_NAME[one] for one in names.split(",")]
    fields = dict.fromkeys(field for one in wanted for field in one.fields)
    rows: Any = Lead.objects.order_by("-received_at", "-id").values_list(*fields)
    sql, values = rows.query.sql_with_params()
    connection.ensure_connection()
    cursor: Any = psycopg.ClientCursor(connection.connection)
    began, size = time.monotonic(), 0
    with cursor.copy(
        f"COPY ({cursor.mogrify(sql, values)}) TO STDOUT (FORMAT csv, HEADER)"
    ) as copy:
        for piece in copy:
            size += len(piece)
    return size, time.monotonic() - began


def spent() -> float:
    """Return the processor seconds that this process and its session have spent so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return time.process_time() + spent_by(cursor.fetchone()[0])


def rates() -> list[str]:
    """Let COPY and exports take turns; return the lines of a table."""
    lines = [
        "| what | COPY, rows a second | export, rows a second | share "
        "| COPY, µs of processor a row | export, µs of processor a row |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for told, names, format_name, is_masked in MEASURED:
        theirs, ours, shares, their_us, our_us = [], [], [], [], []
        for number in range(ROUNDS + 1):
            began = spent()
            size, copy_seconds = copied(names)
            between = spent()
            one, seconds = exported(names, format_name, is_masked)
            ended = spent()
            forget(one)
            if number:  # the first is to warm up
                theirs.append(one.rows_done / copy_seconds)
                ours.append(one.rows_done / seconds)
                shares.append(copy_seconds / seconds)
                their_us.append((between - began) * 1e6 / one.rows_done)
                our_us.append((ended - between) * 1e6 / one.rows_done)
        lines.append(
            f"| {told} | {quartiles(theirs, ',.0f')} | {quartiles(ours, ',.0f')} "
            f"| {quartiles(shares, '.2f')} | {statistics.median(their_us):.1f} "
            f"| {statistics.median(our_us):.1f} |"
        )
        print(lines[-1], f"{one.size / 1e6:.0f} MB, COPY {size / 1e6:.0f} MB", flush=True)
    return [*lines, ""]


def memory() -> list[str]:
    """Return how much memory a worker takes at most, for few and for many rows; takes minutes."""
    lines = ["| format | rows | peak of the process |", "|---|--:|--:|"]
    for format_name in ("csv", "ndjson", "xlsx", "parquet"):
        for rows in MEMORY_ROWS:
            said = subprocess.run(
                [sys.executable, "-m", "bench.export", sys.argv[1], format_name, str(rows)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            lines.append(f"| {format_name} | {int(said[0]):,} | {int(said[1]) // 1024} MB |")
            print(lines[-1], flush=True)
    return [*lines, ""]


def one_process(format_name: str, rows: int) -> None:
    """Make one export of so many leads, and print how many it had and the peak of memory."""
    last = Lead.objects.order_by("received_at").values_list("received_at", flat=True)[rows - 1]
    upto = f"&order=oldest&to={last.isoformat().replace('+00:00', 'Z')}"
    one, _ = exported(WIDE, format_name, is_masked=False, upto=upto)
    forget(one)
    # Not by getrusage, which begins with what the process had that made this one.
    status = Path("/proc/self/status").read_text()
    print(one.rows_done, status.partition("VmHWM:")[2].split()[0])


def main() -> int:
    """Measure, print, and keep the result; return the exit code."""
    logging.disable(logging.CRITICAL)
    if len(sys.argv) > 2:
        one_process(sys.argv[2], int(sys.argv[3]))
        return 0
    count = Lead.objects.count()
    lines = [
        "# Exports",
        "",
        f"`python -m bench.export URL`, {count:,} leads on PostgreSQL, {ROUNDS} rounds in which "
        "COPY and an export take turns: median (quartiles). COPY writes the same columns to a "
        "client that drops them; the export masks, makes harmless, deflates and stores the file in "
        "the same database, a worker's lease renewed with each piece. Processor time is that of "
        "the process and of its session in the database.",
        "",
        *(f"- {one}" for one in description()),
        "",
        *rates(),
        *memory(),
    ]
    RESULT.write_text("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
