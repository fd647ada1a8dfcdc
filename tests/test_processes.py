"""Real servers, killed, restarted and told to change their keys while vendors go on posting."""

import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.client import post_for, requests
from tests.service import ROOT, SERVE, Service, own_database
from tests.test_answer import FULL_POST
from tests.vendors import Vendors

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


@pytest.fixture
def empty_database_url(tmp_path: Path) -> Iterator[str]:
    with own_database(tmp_path, has_tables=False) as url:
        yield url


def test_make_run_serves_a_line_to_paste_and_again_after_a_restart(
    empty_database_url: str, tmp_path: Path
) -> None:
    service = Service(empty_database_url, tmp_path, ("make", "--silent", "run"))
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
    with Vendors(service, credentials) as vendors:
        for _ in range(kills):
            time.sleep(0.5)
            random.choice(service.web_processes()).kill()
        time.sleep(0.5)
    said = service.manage(
        "shell",
        "--verbosity",
        "0",
        "--command",
        "import json; from leads.models import Lead; "
        "print(json.dumps([[str(l.id), l.email] for l in "
        "Lead.objects.filter(source__name='kill')]))",
    )
    found = vendors.reckon(json.loads(said))
    print(f"{kills} kills: {found}, {vendors.broken_off} broken off")
    assert found == {"acknowledged": len(vendors.acknowledged), "lost": 0, "twice": 0, "wrong": 0}
    assert vendors.statuses() == {201}
    assert len(vendors.acknowledged) > 2 * kills
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
        seen = {status for _, status in mine}
        assert 201 in seen <= {201, 401, 429}
        assert seen & {401, 429}  # the other server may have used up the minute's 401s
        late = [status for sent_at, status in mine if sent_at - revoked_at > 1]
        assert len(late) > 10
        assert set(late) <= {401, 429}  # from the 31st failed login on
    assert 401 in {status for _, _, status in answered}
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


THREADS, ROUNDS = 32, 20


@pytest.mark.parametrize("by", ["externalId", "Idempotency-Key"])
def test_one_lead_sent_by_many_at_once_is_one_lead(service: Service, by: str) -> None:
    credentials = service.make_source("--name", "at once", "--rate", "100000")
    ids = set()
    for number in range(ROUNDS):
        start = threading.Barrier(THREADS)
        answers: list[tuple[int, str]] = []

        def vendor(one: str, start: threading.Barrier, answers: list[tuple[int, str]]) -> None:
            headers = credentials | ({by: one} if by == "Idempotency-Key" else {})
            members = {by: one} if by == "externalId" else {}
            start.wait()
            answer = service.send(headers, members)
            answers.append((answer.status, answer.body["id"]))

        vendors = [
            threading.Thread(target=vendor, args=[f"x-{number}", start, answers])
            for _ in range(THREADS)
        ]
        for one in vendors:
            one.start()
        for one in vendors:
            one.join(60)
        assert len(answers) == THREADS
        assert len(set(answers)) == 1
        assert answers[0][0] == 201
        ids.add(answers[0][1])
    assert len(ids) == ROUNDS
    assert count_leads(service, "at once") == ROUNDS


def count_leads(service: Service, source: str) -> int:
    """Return how many leads of a source are stored."""
    words = ("shell", "--verbosity", "0", "--command")
    said = service.manage(
        *words,
        "from leads.models import Lead; "
        f"print(Lead.objects.filter(source__name={source!r}).count())",
    )
    return int(said)


def test_a_limit_of_50_lets_exactly_50_of_400_posts_through_4_processes(
    database_url: str, tmp_path: Path
) -> None:
    command = (*SERVE, "--processes", "2")
    statuses: Counter[int] = Counter()
    with (
        Service(database_url, tmp_path, command) as one,
        Service(database_url, tmp_path, command) as other,
    ):
        services = [one, other]
        assert sum(len(service.web_processes()) for service in services) == 4
        credentials = one.make_source("--name", "limited", "--rate", "50")
        one.post(credentials | {"X-Leadping-Source-Key": "wrong"})  # warm, without using any
        start = threading.Barrier(16)

        def vendor(number: int) -> None:
            start.wait()
            for _ in range(25):
                answer = services[number % 2].send(credentials, {})
                statuses[answer.status] += 1
                assert int(answer.headers.get("Retry-After", "1")) <= 60

        began_at = time.monotonic()
        vendors = [threading.Thread(target=vendor, args=[number]) for number in range(16)]
        for thread in vendors:
            thread.start()
        for thread in vendors:
            thread.join(60)
        took = time.monotonic() - began_at
        stored = count_leads(one, "limited")
    print(f"{dict(statuses)} in {took:.1f} s")
    assert took < 60  # else a second window had begun
    assert statuses == {201: 50, 429: 350}
    assert stored == 50


def raw(service: Service, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes over a connection of their own and return the answer."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(sent)
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            return response.status, dict(response.headers), json.loads(response.read())


HEAD = b"POST /leads/intake HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 411, "length-required"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 411, "length-required"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400, "malformed-body"),
        (HEAD + b"Content-Length: x\r\n\r\n", 400, "malformed-body"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "malformed-body"),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "malformed-body"),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", 413, "body-too-large"),
        (HEAD + b"X-Pad: " + b"x" * 300_000 + b"\r\n\r\n", 413, "body-too-large"),
        (HEAD + b"No colon\r\n\r\n", 400, "malformed-body"),
        (HEAD + b"X: a\r\n b: c\x00\r\n\r\n", 400, "malformed-body"),
        (HEAD.replace(b"localhost", b"evil.example") + b"\r\n", 404, "not-found"),
        (HEAD.replace(b"POST", b"PROPFIND") + b"\r\n", 405, "method-not-allowed"),
        (HEAD.replace(b"POST", b"post") + b"\r\n", 400, "malformed-body"),
        (HEAD.replace(b"/leads/intake", b"/leads/\x00") + b"\r\n", 404, "not-found"),
    ],
    ids=lambda one: repr(one[45:80]) if isinstance(one, bytes) else None,
)
def test_what_the_server_itself_refuses_is_a_problem_too(
    framed: Service, sent: bytes, status: int, code: str
) -> None:
    answered, headers, body = raw(framed, sent)
    assert (answered, headers["Leadping-Problem"]) == (status, code)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Request-Id"] == body["requestId"] == body["traceId"]
    assert body["status"] == status


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield one running leadping for many broken requests."""
    folder = tmp_path_factory.mktemp("framed")
    with own_database(folder) as url, Service(url, folder) as one:
        yield one


def test_a_request_id_is_kept_where_the_server_itself_refuses(framed: Service) -> None:
    sent = HEAD + b"X-Request-Id: abcdefgh-1\r\nTransfer-Encoding: gzip\r\n\r\n"
    assert raw(framed, sent)[1]["X-Request-Id"] == "abcdefgh-1"


def test_a_repeated_credential_header_is_refused(framed: Service) -> None:
    credentials = framed.make_source("--name", "repeated header")
    lines = "".join(f"{name}: {value}\r\n" for name, value in credentials.items()).encode()
    key = f"X-Leadping-Source-Key: {credentials['X-Leadping-Source-Key']}\r\n".encode()
    end = b'Content-Type: application/json\r\nContent-Length: 23\r\n\r\n{"phone": "5125550137"}'
    assert raw(framed, HEAD + lines + key + end)[0] == 401
    assert raw(framed, HEAD + lines + end)[0] == 201


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


def test_the_client_of_the_bench_gets_an_answer_for_each_row(service: Service) -> None:
    """Its figures count only if the rows are as many as the answers, in both its ways."""
    made = service.make_source("--name", "Bench", "--rate", "1000000")
    credentials = [(made["X-Leadping-Source-Id"], made["X-Leadping-Source-Key"])]
    posts = requests(service.port, credentials, 1)
    fast = post_for(1.0, service.port, posts, 16)
    steady = post_for(1.0, service.port, posts, 16, a_second=50)
    assert set(fast.statuses) == set(steady.statuses) == {201}
    assert steady.statuses.total() == 50
    balance = service.manage("reconcile", credentials[0][0])
    assert f"\n{fast.statuses.total() + 50} posts of 1 sources" in balance, balance
    refused = requests(service.port, [(credentials[0][0], "lp_src_nonsense")], 1)
    assert set(post_for(0.2, service.port, refused, 2).statuses) <= {401, 429}
