"""SQLite's file locked by another process, and written to again, while leadping goes on.

Runs with the suite on SQLite. That its file cannot be written to at all is tested in
`tests/test_trouble.py`: a connection that is open goes on writing, whatever is done to the file.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench.load import NotLoaded, load
from tests.service import Service, own_database

pytestmark = pytest.mark.processes


def test_a_locked_file_is_503_after_a_while_and_201_once_it_is_free(tmp_path: Path) -> None:
    count = "SELECT (SELECT count(*) FROM leads_lead), (SELECT count(*) FROM intake_post)"
    with (
        own_database(tmp_path) as url,
        Service(url, tmp_path) as service,
        closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other,
    ):
        credentials = service.make_source("--name", "locked")
        assert service.post(credentials, externalId="before")[0] == 201
        web_processes = service.web_processes()
        before = other.execute(count).fetchone()

        other.execute("BEGIN EXCLUSIVE")
        answer = service.send(credentials, {"externalId": "during"})
        assert service.is_alive()
        other.execute("ROLLBACK")
        print(f"locked: 503 after {answer.seconds:.1f} s")
        assert (answer.status, answer.headers["Leadping-Problem"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert other.execute(count).fetchone() == before

        after = service.send(credentials, {"externalId": "after"})
        assert after.status == 201
        assert service.web_processes() == web_processes


def test_it_is_not_filled_with_a_million_leads(db: None) -> None:
    with pytest.raises(NotLoaded, match="set DATABASE_URL"):
        load(leads=1000)
