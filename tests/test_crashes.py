"""PostgreSQL killed, away, read-only, locked and rid of its sessions while leadping goes on.

Runs with the suite on PostgreSQL, but on servers of its own. Source: CONTRACT; DECISIONS, Intake 7.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.postgres import OwnPostgres
from tests.service import ROOT, Answer, Service
from tests.vendors import Vendors

pytestmark = [pytest.mark.processes, pytest.mark.alone]

STORED = (
    "SELECT l.id, l.email FROM leads_lead l JOIN sources_source s ON s.id = l.source_id "
    "WHERE s.name = '{}'"
)
COUNTS = "SELECT (SELECT count(*) FROM leads_lead), (SELECT count(*) FROM intake_post)"


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    with OwnPostgres() as one:
        yield one


@pytest.fixture(scope="module")
def service(postgres: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a leadping with two web processes that all tests here use, one after the other."""
    with Service(postgres.url, tmp_path_factory.mktemp("crashes")) as one:
        yield one


def source(service: Service, name: str) -> dict[str, str]:
    """Return the credentials of a new source."""
    return service.make_source("--name", name, "--rate", "100000")


def assert_unavailable(answer: Answer) -> None:
    """Fail unless the answer is the problem `unavailable`, with the time to come back."""
    assert (answer.status, answer.headers["Leadping-Problem"]) == (503, "unavailable"), answer
    assert answer.body["type"].endswith("/problems/unavailable")
    assert answer.body["retryable"] is True
    assert int(answer.headers["Retry-After"]) > 0


def crash(postgres: OwnPostgres, vendors: Vendors, away_seconds: float) -> float:
    """Kill the server while vendors post; return the seconds from ready to the first `201`."""
    time.sleep(1.5)
    killed_at = time.monotonic()
    postgres.kill()
    time.sleep(away_seconds)
    # An answer may have been under way at the kill; after that, nothing can have been stored.
    late = [one for when, one in vendors.since(killed_at + 0.5) if one.status == 201]
    assert late == []
    postgres.start()
    return vendors.first_stored_since(time.monotonic())


def test_no_acknowledged_lead_is_lost_when_postgresql_is_killed(
    postgres: OwnPostgres, service: Service
) -> None:
    web_processes = service.web_processes()
    outages = (0.2, 1.0, 1.0, 4.0)
    with Vendors(service, source(service, "killed")) as vendors:
        recovered = [crash(postgres, vendors, seconds) for seconds in outages]
        time.sleep(0.5)
    found = vendors.reckon(postgres.run(STORED.format("killed")))
    refused = [one for _, one in vendors.answers if one.status != 201]
    slowest = max(one.seconds for one in refused)
    print(
        f"{len(outages)} kills: {found}, {len(refused)} times 503 in up to {slowest:.1f} s, "
        f"{vendors.broken_off} broken off, first 201 after {[round(one, 1) for one in recovered]} s"
    )
    assert found == {"acknowledged": len(vendors.acknowledged), "lost": 0, "twice": 0, "wrong": 0}
    assert len(vendors.acknowledged) > 100
    for one in refused:
        assert_unavailable(one)
    assert service.web_processes() == web_processes


def test_the_reckoning_finds_what_a_server_loses_that_does_not_flush(tmp_path: Path) -> None:
    """The control: without synchronous commits, the same crash loses leads that were answered."""
    careless: dict[str, str | int] = {
        "synchronous_commit": "off",
        "wal_writer_delay": "10s",
        "wal_writer_flush_after": "1GB",
        "wal_buffers": "64MB",
        "bgwriter_lru_maxpages": 0,
    }
    with OwnPostgres(**careless) as postgres, Service(postgres.url, tmp_path) as service:
        credentials = source(service, "careless")
        postgres.run("CHECKPOINT")  # the source itself is to survive
        with Vendors(service, credentials) as vendors:
            crash(postgres, vendors, 0.2)
        found = vendors.reckon(postgres.run(STORED.format("careless")))
    print(f"without synchronous commits: {found}")
    assert found["lost"] > 0


@contextmanager
def away(postgres: OwnPostgres) -> Iterator[None]:
    """Have no server while the block runs."""
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def read_only(postgres: OwnPostgres) -> Iterator[None]:
    """Have the server refuse to write while the block runs, in sessions that are open too."""
    set_read_only(postgres, "on")
    try:
        yield
    finally:
        set_read_only(postgres, "off")


def set_read_only(postgres: OwnPostgres, value: str) -> None:
    """Let the server refuse to write, or not, from now on."""
    name = "default_transaction_read_only"
    postgres.run(f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()")
    while postgres.run(f"SHOW {name}") != [(value,)]:
        time.sleep(0.01)
    time.sleep(0.1)  # sessions that are open hear of it a little later


@contextmanager
def locked(postgres: OwnPostgres) -> Iterator[None]:
    """Have another session lock the leads while the block runs."""
    with psycopg.connect(postgres.url) as session:
        session.execute("LOCK TABLE leads_lead IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("trouble", [away, read_only, locked])
def test_in_trouble_a_post_is_503_and_stores_nothing_and_the_next_is_201(
    trouble: Callable[[OwnPostgres], AbstractContextManager[None]],
    postgres: OwnPostgres,
    service: Service,
) -> None:
    name = str(getattr(trouble, "__name__", trouble))
    credentials = source(service, name)
    for pause_seconds in (0, 1):  # while the key is remembered, and when it is looked up again
        assert service.post(credentials, externalId="before")[0] == 201
        time.sleep(pause_seconds)
        before = postgres.run(COUNTS)
        with trouble(postgres):
            during = service.send(credentials, {"externalId": "during"})
            assert service.is_alive()
        assert_unavailable(during)
        assert postgres.run(COUNTS) == before
        after = service.send(credentials, {"externalId": f"after {pause_seconds}"})
        assert after.status == 201, after
        print(f"{name}: 503 after {during.seconds:.2f} s, then 201 after {after.seconds:.2f} s")


def test_a_post_that_waits_for_a_lock_no_longer_than_allowed_is_stored(
    postgres: OwnPostgres, service: Service
) -> None:
    credentials = source(service, "patient")
    with Vendors(service, credentials, count=4) as vendors, locked(postgres):
        time.sleep(1)
    assert vendors.statuses() == {201}


def test_while_the_database_is_known_to_be_away_most_are_told_at_once(
    postgres: OwnPostgres, service: Service
) -> None:
    with Vendors(service, source(service, "told")) as vendors, away(postgres):
        time.sleep(2)  # longer than those wait who find it out
        known_at = time.monotonic()
        time.sleep(1.7)
        told = vendors.since(known_at)
        took = sorted(one.seconds for _, one in told)
        print(f"known to be away: {len(told)} times 503, median {took[len(took) // 2]:.4f} s")
        # Far more than if each of the 8 had waited for a connection in vain.
        assert len(told) > 50


def test_ended_sessions_are_never_a_500(postgres: OwnPostgres, service: Service) -> None:
    name = "ended"
    with Vendors(service, source(service, name)) as vendors:
        for _ in range(10):
            time.sleep(0.4)
            postgres.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        time.sleep(0.4)
    found = vendors.reckon(postgres.run(STORED.format(name)))
    refused = [one for _, one in vendors.answers if one.status != 201]
    print(f"10 times all sessions ended: {found}, {len(refused)} times 503")
    assert vendors.statuses() <= {201, 503}
    assert found == {"acknowledged": len(vendors.acknowledged), "lost": 0, "twice": 0, "wrong": 0}


def test_after_a_restart_no_post_is_refused_for_a_dead_connection(
    postgres: OwnPostgres, service: Service
) -> None:
    """The first look-up finds its connection dead, renews them all and is done again."""
    credentials = source(service, "restarted")
    with Vendors(service, credentials):
        time.sleep(0.5)  # until each process has several connections
    time.sleep(1)  # until no process remembers the key
    postgres.stop()
    postgres.start()
    with Vendors(service, credentials) as vendors:
        time.sleep(0.5)
    assert vendors.statuses() == {201}


def test_only_web_processes_have_their_statements_limited(
    postgres: OwnPostgres, service: Service
) -> None:
    ask = (
        "from django.db import connection; import json; cursor = connection.cursor(); "
        "print(json.dumps([cursor.execute('SHOW ' + name).fetchone()[0] for name in "
        "('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout')]))"
    )
    said = service.manage("shell", "--verbosity", "0", "--command", ask)
    assert json.loads(said) == ["0", "0", "0"]
    ended = subprocess.run(
        [sys.executable, "-c", f"import leadping.wsgi; {ask}"],
        cwd=ROOT,
        env=service.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout) == ["3s", "2s", "15s"]
