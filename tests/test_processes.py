"""Real servers, killed, restarted and told to change their keys while vendors go on posting."""

import http.client
import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import ROOT, SERVE, Service, own_database
from tests.test_answer import FULL_POST

pytestmark = pytest.mark.processes


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    with own_database(tmp_path) as url:
        yield url


@pytest.fixture
def service(database_url: str, tmp_path: Path) -> Iterator[Service]:
    """Yield a running leadping with two web processes and its demo."""
    with Service(database_url, tmp_path) as one:
        yield one


@pytest.fixture
def single_processes(database_url: str, tmp_path: Path) -> Iterator[list[Service]]:
    """Yield two servers of one process each on one database: to reach every process for sure."""
    command = (*SERVE, "--processes", "1")
    with (
        Service(database_url, tmp_path, command) as one,
        Service(database_url, tmp_path, command) as other,
    ):
        yield [one, other]


def paste(line: str) -> dict[str, Any]:
    """Run a curl line in a shell and return the JSON that it prints."""
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def keys_of(value: Any) -> Any:
    """Return the shape of an answer: its keys, all the way down."""
    if isinstance(value, dict):
        return {key: keys_of(one) for key, one in value.items() if key != "sourceMetadata"}
    return None


def test_make_run_serves_a_line_to_paste_and_again_after_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    service = Service(database_url, tmp_path, ("make", "--silent", "run"))
    service.start()
    first_line = service.curl_line
    lead = paste(first_line)
    credentials = service.make_source("--name", "other")
    assert keys_of(lead) == keys_of(service.post(credentials, **FULL_POST)[1])
    assert lead["metadata"]["complianceStatus"] == "Approved"
    assert paste(first_line)["id"] == lead["id"]
    assert "Made the demo: " in service.output.read_text()
    service.stop()

    service.start()
    assert paste(service.curl_line)["id"] == lead["id"]
    assert paste(first_line)["status"] == 401
    service.stop(signal.SIGINT)


def test_nothing_is_left_behind_when_the_starter_is_killed(service: Service) -> None:
    assert len(service.web_processes()) == 2
    service.stop(signal.SIGKILL)  # checks that its processes are gone
    service.start()


def test_a_taken_port_and_a_server_that_cannot_start_are_told(service: Service) -> None:
    ended = subprocess.run(
        SERVE, cwd=ROOT, env=service.environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{service.port}" in ended.stderr


def test_a_killed_worker_loses_no_lead_that_was_answered(service: Service) -> None:
    """8 vendors post and retry while a web process is killed -9 every half second."""
    kills = 8
    credentials = service.make_source("--name", "kill", "--rate", "100000")
    acknowledged: dict[str, str] = {}
    unexpected: list[Any] = []
    is_over = threading.Event()

    def vendor(number: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            external_id = f"{number}-{count}"
            while True:  # a vendor that gets no answer sends it again
                try:
                    status, body = service.post(credentials, externalId=external_id)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)
                    continue
                if status == 201:
                    acknowledged[external_id] = body["id"]
                else:
                    unexpected.append((status, body))
                break

    vendors = [threading.Thread(target=vendor, args=[number]) for number in range(8)]
    for one in vendors:
        one.start()
    for _ in range(kills):
        time.sleep(0.5)
        random.choice(service.web_processes()).kill()
    time.sleep(0.5)
    is_over.set()
    for one in vendors:
        one.join(60)

    said = service.manage(
        "shell",
        "--verbosity",
        "0",
        "--command",
        "import json; from leads.models import Lead; "
        "print(json.dumps([[l.external_id, str(l.id)] for l in "
        "Lead.objects.filter(source__name='kill')]))",
    )
    stored = json.loads(said)
    print(f"{kills} kills, {len(acknowledged)} acknowledged, {len(stored)} stored")
    assert unexpected == []
    assert len(acknowledged) > 5 * kills
    assert len(stored) == len({external_id for external_id, _ in stored})
    assert acknowledged.items() <= dict(stored).items()
    assert len(service.web_processes()) == 2


def test_rotation_refuses_no_post_and_the_old_key_ends_in_time(
    single_processes: list[Service],
) -> None:
    service = single_processes[0]
    old = service.make_source("--name", "rotated", "--rate", "100000")
    answers: list[int] = []
    is_over = threading.Event()

    def vendor(server: Service) -> None:
        while not is_over.is_set():
            answers.append(server.post(old)[0])

    vendors = [threading.Thread(target=vendor, args=[one]) for one in single_processes]
    for one in vendors:
        one.start()
    said = json.loads(service.manage("rotate_key", "rotated", "--json"))
    new = old | {"X-Leadping-Source-Key": said["sourceKey"]}
    both = [one.post(credentials)[0] for credentials in (old, new) for one in single_processes]
    is_over.set()
    for one in vendors:
        one.join(30)
    assert set(both) == {201}
    assert set(answers) == {201}

    said = json.loads(
        service.manage("rotate_key", "rotated", "--json", "--overlap-hours", str(3 / 3600))
    )
    newest = old | {"X-Leadping-Source-Key": said["sourceKey"]}
    bearer = {"Authorization": f"Bearer {said['sourceKey']}"}
    time.sleep(3)
    for credentials, expected in ((old, 401), (new, 401), (newest, 201), (bearer, 201)):
        assert [one.post(credentials)[0] for one in single_processes] == [expected] * 2


def test_a_revoked_key_is_refused_by_every_process_within_a_second(
    single_processes: list[Service],
) -> None:
    service = single_processes[0]
    credentials = service.make_source("--name", "revoked", "--rate", "100000")
    answered: list[tuple[Service, float, int]] = []
    is_over = threading.Event()

    def vendor(server: Service) -> None:
        while not is_over.is_set():
            sent_at = time.time()
            status, _ = server.post(credentials)
            answered.append((server, sent_at, status))

    vendors = [threading.Thread(target=vendor, args=[one]) for one in single_processes * 2]
    for one in vendors:
        one.start()
    time.sleep(1)
    service.manage("revoke_key", "revoked")
    revoked_at = time.time()  # a little after the commit
    time.sleep(2)
    is_over.set()
    for one in vendors:
        one.join(30)
    for server in single_processes:
        mine = [(sent_at, status) for one, sent_at, status in answered if one is server]
        assert {status for _, status in mine} == {201, 401}
        late = [status for sent_at, status in mine if sent_at - revoked_at > 1]
        assert len(late) > 10
        assert set(late) == {401}
    # Not even one lead was received once the command had returned.
    after = service.manage(
        "shell",
        "--verbosity",
        "0",
        "--command",
        "from leads.models import Lead; from datetime import datetime, UTC; "
        f"at = datetime.fromtimestamp({revoked_at}, UTC); "
        "print(Lead.objects.filter(source__name='revoked', received_at__gt=at).count())",
    )
    assert after.strip() == "0"


def test_one_external_id_sent_by_many_at_once_is_one_lead(service: Service) -> None:
    credentials = service.make_source("--name", "at once", "--rate", "100000")
    for number in range(5):
        start = threading.Barrier(16)
        answers: list[tuple[int, str]] = []

        def vendor(
            external_id: str, start: threading.Barrier, answers: list[tuple[int, str]]
        ) -> None:
            start.wait()
            status, body = service.post(credentials, externalId=external_id)
            answers.append((status, body["id"]))

        vendors = [
            threading.Thread(target=vendor, args=[f"x-{number}", start, answers]) for _ in range(16)
        ]
        for one in vendors:
            one.start()
        for one in vendors:
            one.join(60)
        assert len(answers) == 16
        assert len(set(answers)) == 1
        assert answers[0][0] == 201


def test_a_chunked_body_is_read_whole(service: Service) -> None:
    credentials = service.make_source("--name", "chunked")
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.request(
        "POST",
        "/leads/intake",
        iter([b'{"phone": ', b'"512-555-0137"}']),
        {"Content-Type": "application/json"} | credentials,
        encode_chunked=True,
    )
    assert connection.getresponse().status == 201
    connection.close()
