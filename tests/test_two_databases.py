"""SQLite and PostgreSQL answer alike: contract §9, last line of the table."""

import http.client
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from tests.hostile import ANSWERS, Sent, requests
from tests.service import Service, own_database
from tests.test_hostile import SETTINGS

pytestmark = pytest.mark.processes

PAIRS = 1000
COMPARED_HEADERS = ("Content-Type", "Leadping-", "Location", "Idempotency-", "Allow", "Retry-After")
NO_TWO_ALIKE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}"
    r"|\d{4}-\d\d-\d\dT[0-9:.]{12}Z|127\.0\.0\.1:\d+"
)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[list[Service]]:
    """Yield two running leadpings, one on each database."""
    with (
        own_database(tmp_path, url="sqlite:///") as sqlite,
        own_database(tmp_path) as postgresql,
        Service(sqlite, tmp_path) as one,
        Service(postgresql, tmp_path) as other,
    ):
        yield [one, other]


class Caller:
    """Sends requests to one service, over one connection for as long as that holds."""

    def __init__(self, service: Service) -> None:
        words = ("--name", "pairs", "--rate", "1000000", "--mode", "underage=reject")
        self.credentials = service.make_source(*words)
        self.port = service.port
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def send(self, sent: Sent) -> tuple[int, dict[str, str], Any]:
        """Return the answer without what no two answers have alike."""
        headers = self.credentials | sent.headers
        self.connection.request(sent.method, sent.path, sent.body, headers)
        response = self.connection.getresponse()
        text = NO_TWO_ALIKE.sub("…", response.read().decode())
        told = {
            name: NO_TWO_ALIKE.sub("…", value)
            for name, value in response.headers.items()
            if name.startswith(COMPARED_HEADERS)
        }
        if response.getheader("Connection") == "close":
            self.connection.close()
        return response.status, told, json.loads(text)


def test_the_same_post_gets_the_same_answer_from_both(services: list[Service]) -> None:
    callers = [Caller(one) for one in services]
    statuses: Counter[int] = Counter()

    @settings(SETTINGS, max_examples=PAIRS)
    @given(requests())
    def run(sent: Sent) -> None:
        on_sqlite, on_postgresql = (one.send(sent) for one in callers)
        assert on_sqlite == on_postgresql
        assert on_sqlite[0] in ANSWERS
        statuses[on_sqlite[0]] += 1

    run()
    for one in callers:
        one.connection.close()
    print(dict(statuses))
    assert sum(statuses.values()) >= PAIRS
    assert statuses[201] >= PAIRS / 10
    assert {400, 401, 409, 411, 413, 415, 422} <= statuses.keys()
