"""Real workers that are killed while real posts come in: nothing is lost, nothing done twice."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.service import ROOT, SERVE, Service, own_database

pytestmark = [pytest.mark.processes, pytest.mark.alone]

IS_SQLITE = os.environ["DATABASE_URL"].startswith("sqlite")
# 5,000 and 1,000,000 by hand, for the record. On SQLite, where one works at a time and rests as
# long as it works, each takes five times as long.
JOBS = int(os.environ.get("JOBS", "200" if IS_SQLITE else "600"))
ROWS = int(os.environ.get("ROWS", "5000" if IS_SQLITE else "20000"))
WORKERS = 4
POSTS_A_SECOND = 20
GIVE_UP_SECONDS = 600

MAKE_JOBS = """
import json
from intake.authentication import credential_of
from intake.jobs import replay_later
from intake.models import Post
from intake.problems import Problem
from intake.receive import Arrival, keep_refused
from leads.models import now
from sources.models import Source
from django.db import transaction
source = Source.objects.get(name="refused")
credential = credential_of(source.keys.get())
with transaction.atomic():
    for number in range({jobs}):
        body = json.dumps({{"cell": f"512555{{number:04}}", "externalId": str(number)}}).encode()
        arrival = Arrival(
            received_at=now(), request_id=f"job-{{number:06}}", method="POST",
            path="/leads/intake", address="", headers={{}}, body=body, body_size=len(body),
        )
        keep_refused(credential, arrival, Problem("invalid-lead"), 1000)
    source.field_map = {{"cell": "phone"}}
    source.save()
    posts = Post.objects.filter(source=source).values_list("id", flat=True)
    print(replay_later(list(posts), "Mended"))
"""
LOOK_AT_JOBS = """
import json
from collections import Counter
from django.db.models import Sum
from intake.models import Post, Replay
from leadping.jobs.models import Job, Worker
from leads.models import Lead
jobs = Job.objects.filter(kind="replay-post")
leads = Lead.objects.filter(source__name="refused")
print(json.dumps({
    "jobs": dict(Counter(jobs.values_list("state", flat=True))),
    "attempts": jobs.aggregate(sum=Sum("attempts"))["sum"],
    "leads": leads.count(),
    "ids": leads.values("external_id").distinct().count(),
    "replays": Replay.objects.count(),
    "posts left": Post.objects.filter(source__name="refused", lead=None).count(),
    "pids": [int(name.split(":")[-2]) for name in Worker.objects.values_list("name", flat=True)],
}))
"""
COUNT_ENTRIES = "SELECT count(*) FROM leads_suppression WHERE kind = 'internal'"
LOOK_AT_IMPORTS = """
import json
from leads.models import Suppression, SuppressionImport
entries = Suppression.objects.filter(kind="internal")
print(json.dumps({
    "entries": entries.count(),
    "people": entries.values("phone").distinct().count(),
    "imports": list(
        SuppressionImport.objects.order_by("created_at").values_list(
            "state", "rows_read", "rows_bad", "rows_done", "rows_added"
        )
    ),
}))
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Yield a running leadping without workers of its own; the tests start and kill theirs."""
    command = (*SERVE, "--workers", "0")
    with (
        own_database(tmp_path) as url,
        Service(url, tmp_path, command, JOB_LEASE_SECONDS="2") as one,
    ):
        yield one


def look(service: Service, code: str) -> Any:
    return json.loads(service.manage("shell", "-v", "0", "-c", code))


def spawn(service: Service, *words: str) -> subprocess.Popen[bytes]:
    """Start a command beside the service."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=service.environment,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def posting(service: Service) -> Iterator[list[float]]:
    """Post 20 leads a second, on time whatever the answers take; yield the seconds each took."""
    credentials = service.make_source("--name", "meanwhile", "--rate", "1000000")
    took: list[float] = []
    failed: list[Any] = []
    is_over = threading.Event()
    began = time.monotonic()

    def vendor(part: int) -> None:
        number = part
        while not is_over.wait(max(0, began + number / POSTS_A_SECOND - time.monotonic())):
            members = {"externalId": str(number), "phone": f"713555{number % 10000:04}"}
            due = began + number / POSTS_A_SECOND
            answer = service.send(credentials, members)
            took.append(time.monotonic() - due)  # from when it was due: no wait is left out
            if answer.status != 201:
                failed.append(answer)
            number += 4

    threads = [threading.Thread(target=vendor, args=[part]) for part in range(4)]
    for one in threads:
        one.start()
    try:
        yield took
    finally:
        is_over.set()
        for one in threads:
            one.join(30)
    assert not failed, failed[:3]


def percentile(took: list[float], share: float) -> float:
    """Return how many milliseconds that share of answers took at most."""
    return sorted(took)[int(len(took) * share)] * 1000


def told(took: list[float]) -> str:
    return (
        f"{len(took)} posts meanwhile, none failed: p50 {percentile(took, 0.5):.0f} ms, "
        f"p99 {percentile(took, 0.99):.0f} ms, at most {max(took) * 1000:.0f} ms"
    )


def test_jobs_of_workers_that_are_killed_are_each_done_with_effects_exactly_once(
    service: Service,
) -> None:
    service.make_source("--name", "refused")
    assert look(service, MAKE_JOBS.format(jobs=JOBS)) == JOBS
    chance = random.Random(7)
    kills = 0
    began = time.monotonic()
    workers = [spawn(service, "run_worker") for _ in range(WORKERS)]
    with posting(service) as took:
        try:
            while (found := look(service, LOOK_AT_JOBS))["jobs"] != {"done": JOBS}:
                assert time.monotonic() - began < GIVE_UP_SECONDS, found
                assert "failed" not in found["jobs"], found
                for _ in range(3):
                    time.sleep(chance.uniform(0.1, 0.6))
                    # To kill one that has not begun yet proves nothing, and none would ever begin
                    # on a machine that is too slow.
                    victims = [
                        number
                        for number, one in enumerate(workers)
                        if one.pid in found["pids"] and chance.random() < 0.5
                    ]
                    for victim in victims:
                        workers[victim].kill()
                    for victim in victims:
                        workers[victim].wait()
                        workers[victim] = spawn(service, "run_worker")
                    kills += len(victims)
        finally:
            for one in workers:
                one.kill()
                one.wait()
    seconds = time.monotonic() - began
    print(
        f"{JOBS} jobs, {kills} workers killed, {found['attempts']} attempts, {seconds:.0f} s; "
        + told(took)
    )
    assert kills > 2
    assert found == {
        "jobs": {"done": JOBS},
        "attempts": found["attempts"],
        "leads": JOBS,
        "ids": JOBS,
        "replays": JOBS,
        "posts left": 0,
        "pids": found["pids"],
    }
    assert "all fit" in service.manage("reconcile", "--quiet")


def write_list(path: Path, rows: int = ROWS) -> None:
    """Write a list of so many numbers, each different, and a bad row for each thousand."""
    chance = random.Random(3)
    numbers = chance.sample(range(2_000_000_000, 9_999_999_999), rows)
    with path.open("w") as file:
        file.write("phone\n")
        for at, number in enumerate(numbers):
            file.write(f"{number}\n" if at % 1000 else f"{number}\n12\n")


def test_an_import_that_is_killed_and_run_again_has_the_same_result(
    service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    write_list(path)
    words = ("import_suppressions", str(path), "--kind", "internal", "--business", "Other")
    service.make_source("--name", "other", "--business", "Other")
    bad = -(-ROWS // 1000)
    began = time.monotonic()
    with posting(service) as took:
        first = spawn(service, *words)
        wait_until_in_the_middle(service)
        first.kill()
        first.wait()
        again = spawn(service, *words)
        assert again.wait(GIVE_UP_SECONDS) == 0
        again_seconds = time.monotonic() - began
        # and the one that was killed is gone on with by a worker
        worker = spawn(service, "run_worker")
        try:
            while look(service, LOOK_AT_IMPORTS)["imports"][0][0] != "done":
                assert time.monotonic() - began < GIVE_UP_SECONDS
                time.sleep(0.5)
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
    found = look(service, LOOK_AT_IMPORTS)
    print(f"{ROWS} rows, killed and run again in {again_seconds:.0f} s: {found}; {told(took)}")
    assert (found["entries"], found["people"]) == (ROWS, ROWS)
    one, other = found["imports"]
    assert one[:4] == other[:4] == ["done", ROWS + bad, bad, ROWS]
    assert one[4] + other[4] == ROWS
    assert 0 < one[4] < ROWS


def wait_until_in_the_middle(service: Service) -> None:
    """Return when the first import has made some entries."""
    url = service.environment["DATABASE_URL"]
    path = url.removeprefix("sqlite:///")
    is_postgres = path == url
    connected: Any = (
        psycopg.connect(url, autocommit=True) if is_postgres else sqlite3.connect(path, timeout=60)
    )
    with contextlib.closing(connected) as session:
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while not session.execute(COUNT_ENTRIES).fetchone()[0]:  # a command would come too late
            assert time.monotonic() < give_up_at
            time.sleep(0.005)


LOOK_AT_COUNTS = """
import json
from intake.models import CountedZone, DayCount, Post
from leads.models import SuppressionImport
total = DayCount.objects.filter(by="total", span="day", zone="America/New_York")
zones = CountedZone.objects.all()
print(json.dumps({
    "counted": sum(total.values_list("received", flat=True)),
    "posts": Post.objects.count(),
    "complete": list(zones.values_list("is_complete", flat=True).distinct()),
    "imports": list(SuppressionImport.objects.values_list("state", flat=True)),
}))
"""


def test_counts_are_kept_while_a_long_job_runs(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_list(path, ROWS * (4 if IS_SQLITE else 8))
    business = ("--business", "Other")
    service.make_source("--name", "other", *business)
    service.manage("import_suppressions", str(path), "--later", "--kind", "internal", *business)
    worker = spawn(service, "run_worker")
    try:
        with posting(service):
            wait_until_in_the_middle(service)
            give_up_at = time.monotonic() + GIVE_UP_SECONDS
            while not (found := look(service, LOOK_AT_COUNTS))["counted"]:
                assert time.monotonic() < give_up_at
            assert found["imports"] != ["done"], "The list is too short for this test."
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        while found["counted"] < found["posts"] or found["complete"] != [True]:
            assert time.monotonic() < give_up_at, found
            found = look(service, LOOK_AT_COUNTS)
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    service.manage("counts", "--now")
    assert "All counts are as the rows have them." in service.manage("counts", "--check")


def test_make_run_does_what_is_left_for_later(tmp_path: Path) -> None:
    """`serve` starts a worker, starts it again when it is killed, and stops it with the rest."""
    path = tmp_path / "list.csv"
    path.write_text("phone\n512-555-0137\n")
    with own_database(tmp_path) as url, Service(url, tmp_path, JOB_LEASE_SECONDS="2") as service:
        (worker,) = [one for one in service.family() if "run_worker" in one.cmdline()]
        worker.kill()
        business = ("--business", "Lone Star Home Services")
        service.manage("import_suppressions", str(path), "--later", *business)
        # A job that it had just begun is another's once its lease is over.
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        # But for the counts, which are kept for ever.
        left = "Job.objects.open().exclude(kind__in=['keep-counts', 'complete-counts']).count()"
        asked = f"from leadping.jobs.models import Job; print('left:', {left})"
        while "left: 0" not in service.manage("shell", "-c", asked):
            assert time.monotonic() < give_up_at
        assert "0 failed" in service.manage("jobs", "--check")
        other = [one for one in service.family() if "run_worker" in one.cmdline()]
        assert len(other) == 1
        assert other != [worker]
    assert not other[0].is_running()
