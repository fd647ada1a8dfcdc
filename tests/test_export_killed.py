"""An export whose worker is killed again and again: the same file as of one that is left alone."""

import contextlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.service import SERVE, Service, own_database
from tests.test_workers import look, spawn

pytestmark = pytest.mark.processes

ROWS = 64_000
KILLS = 4
GIVE_UP_SECONDS = 240

# Many at one moment, so that pieces end among those of one.
MAKE_LEADS = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.db import connection
from leads.models import Lead, now
from sources.models import Source
source, at = Source.objects.get(name="many"), now()
Lead.objects.bulk_create([Lead(
    source=source, business=source.business, compliance_status="Approved",
    received_at=at - timedelta(seconds=1 + number), phone=f"+1512{number:07}",
    first_name=f"=Ann {number}", email=f"ann-{number}@example.com",
) for number in range(500)], batch_size=400)
new_id = "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"
names = ", ".join(one.column for one in Lead._meta.concrete_fields if one.column != "id")
with connection.cursor() as cursor:
    for _ in range(7):
        cursor.execute(
            f"INSERT INTO leads_lead (id, {names}) SELECT {new_id}, {names} FROM leads_lead "
            "WHERE source_id = (SELECT id FROM sources_source WHERE name = 'many')"
        )
get_user_model().objects.create_superuser("anna")
"""
ASK = """
from django.contrib.auth import get_user_model
from leads.exporting import ask
anna = get_user_model().objects.get(username="anna")
query = "cols=id,createdAt,firstName,phone,email&to=2999-01-01"
print(ask(anna, "leads", query, "csv", is_masked=False, reason="For the test").id)
"""
LOOK = """
import json
from leads.models import Export, ExportedLeads
print(json.dumps([
    {"state": one.state, "rows": one.rows_done, "sha256": one.sha256, "size": one.size,
     "taken": sum(len(row.ids) // 16 for row in ExportedLeads.objects.filter(export=one))}
    for one in Export.objects.order_by("created_at")
]))
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    command = (*SERVE, "--workers", "0")
    with (
        own_database(tmp_path) as url,
        Service(url, tmp_path, command, JOB_LEASE_SECONDS="1") as one,
    ):
        yield one


def exports(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = look(service, LOOK)
    return found


def rows_of_second(service: Service) -> int:
    """Return how many rows the second export has, asked fast enough to kill in the middle."""
    url = service.environment["DATABASE_URL"]
    sql = "SELECT rows_done FROM leads_export ORDER BY created_at"
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as session:
            return int(session.execute(sql).fetchall()[1][0])
    with psycopg.connect(url) as other:
        return int(other.execute(sql).fetchall()[1][0])


def worked_out(service: Service, worker: subprocess.Popen[bytes], number: int) -> dict[str, Any]:
    """Wait until an export is over, and return how it stands then."""
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    while (one := exports(service)[number])["state"] in ("waiting", "running"):
        assert time.monotonic() < give_up_at, one
        time.sleep(0.2)
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    return one


def test_a_worker_that_is_killed_leaves_an_export_that_is_gone_on_with(service: Service) -> None:
    service.make_source("--name", "many")
    service.manage("shell", "-v", "0", "-c", MAKE_LEADS)
    service.manage("shell", "-v", "0", "-c", ASK)
    whole = worked_out(service, spawn(service, "run_worker"), 0)
    service.manage("shell", "-v", "0", "-c", ASK)
    seen = [0]
    while len(seen) <= KILLS and seen[-1] < ROWS:
        worker = spawn(service, "run_worker")
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while rows_of_second(service) <= seen[-1]:
            assert time.monotonic() < give_up_at
        worker.kill()
        worker.wait()
        seen.append(rows_of_second(service))
    killed = worked_out(service, spawn(service, "run_worker"), 1)
    print(f"killed at {seen[1:]} of {ROWS} rows")
    assert 0 < seen[1] < ROWS
    assert whole == killed
    assert whole["state"] == "done"
    assert whole["rows"] == whole["taken"] >= ROWS  # those of the demo are among them
