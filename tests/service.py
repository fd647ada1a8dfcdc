"""A running leadping for tests: real processes on a database of their own."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import psycopg

from tests.templates import template

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 180
SERVE = (sys.executable, "manage.py", "serve")


@contextmanager
def own_database(folder: Path, *, has_tables: bool = True, url: str = "") -> Iterator[str]:
    """Yield the URL of a new database, with tables or empty, beside that of the tests or `url`."""
    url = url or os.environ["DATABASE_URL"]
    if url.startswith("sqlite"):
        path = folder / "processes.sqlite3"
        if has_tables:
            shutil.copy(template(url), path)
        yield f"sqlite:///{path}"
        return
    name = f"processes_{uuid4().hex}"
    of = f" TEMPLATE {template(url)}" if has_tables else ""
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}{of}")
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered, and how many seconds that took."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    seconds: float


class Service:
    """leadping as `command` starts it, with its output as it comes, and `settings` of its own."""

    def __init__(
        self, database_url: str, folder: Path, command: Sequence[str] = SERVE, **settings: str
    ) -> None:
        self.port = free_port()
        self.command = command
        self.environment = os.environ | {
            "DATABASE_URL": database_url,
            "PORT": str(self.port),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "HTTPS": "off",
            "SECRET_KEY": "only for tests " * 4,
            "DEMO_PASSWORD": "only-for-tests",
            "DJANGO_SETTINGS_MODULE": "leadping.settings",
            "LOG_LEVEL": "ERROR",
            **settings,
        }
        self.output = folder / f"output-{self.port}.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and return when it has said how to post."""
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_SECONDS
        while not self.curl_line:
            assert time.monotonic() < give_up_at, self.output.read_text()
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)

    @property
    def curl_line(self) -> str:
        """Return the curl line that it printed, "" if none yet."""
        found = re.search(r"^(curl .*)\n", self.output.read_text(), re.MULTILINE)
        return found[1] if found else ""

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code; fails if it leaves a process behind.

        SIGINT goes to all of them, as a terminal does it on Ctrl-C; others to the first only.
        """
        assert self.process
        family = self.family()
        if by == signal.SIGINT:
            os.killpg(self.process.pid, by)
        else:
            self.process.send_signal(by)
        code = self.process.wait(20)
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
        return code

    def family(self) -> list[Any]:
        """Return the processes that it has started, and theirs."""
        assert self.process
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def web_processes(self) -> list[Any]:
        """Return the processes that answer posts."""
        return [one for one in self.family() if "leadping.web" in one.cmdline()]

    def manage(self, *words: str) -> str:
        """Run a management command beside it and return what it said."""
        ended = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def make_source(self, *words: str) -> dict[str, str]:
        """Make an approved source and return its credentials as headers."""
        said = json.loads(self.manage("create_source", "--approved", "--json", *words))
        return {
            "X-Leadping-Source-Id": said["sourceId"],
            "X-Leadping-Source-Key": said["sourceKey"],
        }

    def post(self, credentials: dict[str, str], **members: Any) -> tuple[int, dict[str, Any]]:
        """Post a lead on a new connection; raises OSError or HTTPException if none answers."""
        answer = self.send(credentials, members)
        return answer.status, answer.body

    def send(self, headers: Mapping[str, str], members: Mapping[str, Any]) -> Answer:
        """Post a lead as `post` does, with these headers, and return all of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent_at = time.monotonic()
        try:
            connection.request(
                "POST",
                "/leads/intake",
                json.dumps({"phone": "512-555-0137", **members}),
                {"Content-Type": "application/json", **headers},
            )
            response = connection.getresponse()
            body = json.loads(response.read())
        finally:
            connection.close()
        return Answer(response.status, dict(response.headers), body, time.monotonic() - sent_at)

    def is_alive(self) -> bool:
        """Say whether `/healthz` answers at once."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
