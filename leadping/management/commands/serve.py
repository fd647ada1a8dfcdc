"""Serve intake and console from this machine: what `make run` runs."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from argparse import ArgumentTypeError
from datetime import timedelta
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from intake.management.commands.seed_demo import DEMO_LEAD, DEMO_SOURCE, DEMO_USER
from sources.management.commands.create_source import curl_line
from sources.models import Source

MAX_PORT = 65535
KEY_LABEL = "key of make run"
KEY_HOURS = 24
START_SECONDS = 30
STOP_SECONDS = 15
LOOK_EVERY_SECONDS = 0.1
# A web process that ends sooner than this after its start is not started again at once.
TOO_SOON_SECONDS = 2.0


class Command(BaseCommand):
    help = (
        "Serve intake and console: migrate, fill an empty database with a demo, start the web "
        "processes and the worker and start them again when they die, until Ctrl-C or SIGTERM. "
        "The port is that of the setting PORT."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--processes", type=at_least_one, default=2, metavar="N")
        parser.add_argument(
            "--threads", type=at_least_one, default=4, metavar="N", help="per process"
        )
        parser.add_argument(
            "--workers",
            type=at_least_none,
            default=1,
            metavar="N",
            help="processes that do what is done later; 0 if manage.py run_worker runs elsewhere",
        )
        parser.add_argument(
            "--no-demo", action="store_true", help="make no demo and no demo key: for real use"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        listener = listen(options["host"], settings.PORT)
        call_command("migrate", verbosity=0)
        if not options["no_demo"] and not Source.objects.exists():
            self.stdout.write("The database is empty: making a demo …")
            call_command("seed_demo", stdout=self.stdout)
        processes = Processes(
            listener, options["processes"], options["threads"], options["workers"]
        )
        try:
            processes.start()
            wait_until_alive(options["host"], listener.getsockname()[1])
            self.stdout.write(welcome(with_demo=not options["no_demo"]))
            self.stdout.flush()
            processes.watch()
        except KeyboardInterrupt:
            self.stdout.write("\nStopping …")
        finally:
            processes.stop()


def at_least_one(text: str) -> int:
    """Return a whole number from 1 on; raises ArgumentTypeError for others."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ArgumentTypeError("give a whole number from 1 on")
    return int(text)


def at_least_none(text: str) -> int:
    """Return a whole number from 0 on; raises ArgumentTypeError for others."""
    return 0 if text == "0" else at_least_one(text)


def welcome(*, with_demo: bool) -> str:
    """Return what to do next: where the console is and, with the demo, a line to paste."""
    lines = ["", f"leadping is running at {settings.PUBLIC_URL}  (Ctrl-C stops it)", ""]
    source = Source.objects.filter(name=DEMO_SOURCE).first() if with_demo else None
    sign_in = "make a sign-in with manage.py createsuperuser"
    if source and settings.DEMO_PASSWORD:
        sign_in = f"sign in as {DEMO_USER} / {settings.DEMO_PASSWORD}"
    lines += [f"Console: {settings.PUBLIC_URL}/admin/  ({sign_in})", ""]
    if source:
        lines += ["Post a lead from another shell:", "", demo_line(source), ""]
    return "\n".join(lines)


def demo_line(source: Source) -> str:
    """Return a curl line with a new key for the demo source; the last start's key is revoked.

    Its `externalId` is always the same, so that pasting it twice stores one lead.
    """
    now = timezone.now()
    for key in source.keys.live(now).filter(label=KEY_LABEL):
        key.revoke(now)
    _, text = source.issue_key(label=KEY_LABEL, expires_at=now + timedelta(hours=KEY_HOURS))
    return curl_line(source, text, DEMO_LEAD)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises CommandError if the port is taken."""
    if not 0 <= port <= MAX_PORT:
        raise CommandError(f"Cannot listen on {host}:{port}: there is no such port.")
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None


def wait_until_alive(host: str, port: int) -> None:
    """Return once the server answers; raises CommandError if it does not in good time."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=START_SECONDS):
                return
        except OSError:
            time.sleep(LOOK_EVERY_SECONDS)
    raise CommandError("The server does not answer.")


class Processes:
    """The web processes and workers: started, started again when they die, stopped together."""

    def __init__(self, listener: socket.socket, count: int, threads: int, workers: int) -> None:
        # When this process ends, however it ends, the pipe breaks and theirs end too.
        self.lifeline, self.our_end = os.pipe()
        descriptors = (listener.fileno(), self.lifeline)
        web = ["-m", "leadping.web", *map(str, descriptors), str(threads)]
        worker = ["manage.py", "run_worker", "--lifeline", str(self.lifeline)]
        self.commands = {
            "web process": (web, descriptors),
            "worker": (worker, (self.lifeline,)),
        }
        self.wanted = ["web process"] * count + ["worker"] * workers
        self.running: dict[subprocess.Popen[bytes], tuple[str, float]] = {}

    def start(self) -> None:
        """Start them all; from now on SIGTERM ends `watch` as Ctrl-C does."""
        signal.signal(signal.SIGTERM, as_ctrl_c)
        for kind in self.wanted:
            self.start_one(kind)

    def start_one(self, kind: str) -> None:
        """Start one of them; a web process on the common socket."""
        words, descriptors = self.commands[kind]
        process = subprocess.Popen(
            [sys.executable, *words], pass_fds=descriptors, cwd=settings.BASE_DIR
        )
        self.running[process] = (kind, time.monotonic())

    def watch(self) -> None:
        """Start again whichever dies, for ever; raises CommandError if one dies on starting."""
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            for process, (kind, started_at) in list(self.running.items()):
                if process.poll() is None:
                    continue
                del self.running[process]
                if process.returncode > 0 and time.monotonic() - started_at < TOO_SOON_SECONDS:
                    raise CommandError(f"A {kind} ended with {process.returncode}.")
                self.start_one(kind)

    def stop(self) -> None:
        """Ask them all to stop, and wait until they have; nothing interrupts that."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_IGN)
        for process in self.running:
            process.terminate()
        give_up_at = time.monotonic() + STOP_SECONDS
        for process in self.running:
            try:
                process.wait(max(0.1, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def as_ctrl_c(signum: int, frame: FrameType | None) -> None:
    """Let SIGTERM do what Ctrl-C does."""
    raise KeyboardInterrupt
