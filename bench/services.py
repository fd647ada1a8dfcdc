"""The servers and programs that are measured: how each is started, and stopped again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.service import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
APPLICATION = "leadping.wsgi:application"
PROCESSES, THREADS = 2, 4


class NotThere(Exception):
    """A program that the measuring needs is not on this machine."""


def granian(port: int, application: str = APPLICATION, *more: str) -> list[str]:
    """Return the command line of granian, as docs/operators.md has it."""
    words = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"]
    words += ["--port", str(port), "--workers", str(PROCESSES)]
    words += ["--blocking-threads", str(THREADS), "--no-ws", "--respawn-failed-workers"]
    words += ["--log-level", "error", *more]
    return [*words, application]


def gthread(port: int, application: str = APPLICATION) -> list[str]:
    """Return the command line of gunicorn with threads."""
    words = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread"]
    words += ["--workers", str(PROCESSES), "--threads", str(THREADS), "--log-level", "error"]
    return [*words, "--bind", f"127.0.0.1:{port}", application]


def waitress(port: int) -> list[str]:
    """Return the command line of `make run`, without its demo and its worker."""
    return [sys.executable, "manage.py", "serve", "--no-demo", "--workers", "0"]


class Service:
    """A program that answers on a port, from its start to its end, its output in a file."""

    def __init__(
        self, name: str, command: list[str], port: int, more: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.command = command
        self.port = port
        self.upstream: Service | None = None  # what it hands over to
        self.output = folder / f"{name.replace(' ', '-')}.log"
        self.environment = os.environ | {"PORT": str(port)} | dict(more)

    def __enter__(self) -> Service:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                    return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > give_up_at:
                    self.__exit__()
                    raise NotThere(f"{self.name}: {self.output.read_text()[-2000:]}") from None
                time.sleep(0.1)

    def __exit__(self, *error: object) -> None:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, kind)
                self.process.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return


def nginx() -> str:
    """Return the path of nginx; raises NotThere."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin")
    if program is None:
        raise NotThere("nginx is not installed; Debian has it as nginx-light")
    return program


def behind_nginx(service: Service, folder: Path) -> Service:
    """Return nginx before a service, set up by deploy/nginx.conf."""
    port = free_port()
    own = folder / f"nginx-{port}"
    own.mkdir()
    server = (ROOT / "deploy" / "nginx.conf").read_text()
    server = server.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}")
    server = re.sub(r"listen 80;", f"listen 127.0.0.1:{port};", server)
    temporary = "".join(
        f"{kind}_temp_path {own / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (own / "nginx.conf").write_text(
        f"daemon off;\npid {own / 'pid'};\nerror_log {own / 'errors'};\nworker_processes 1;\n"
        f"{'user root;' if os.geteuid() == 0 else ''}\n"
        f"events {{ worker_connections 2048; }}\nhttp {{\n{temporary}{server}}}\n"
    )
    command = [nginx(), "-c", str(own / "nginx.conf"), "-p", str(own)]
    proxy = Service(f"nginx before {service.name}", command, port, {}, folder)
    proxy.upstream = service
    return proxy
