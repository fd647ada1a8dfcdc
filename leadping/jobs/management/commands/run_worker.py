"""Do the jobs of the outbox until told to stop."""

import os
import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from leadping.jobs.worker import Loop


class Command(BaseCommand):
    help = (
        "Do what waits in the outbox, one job after the other, until Ctrl-C or SIGTERM; the job "
        "under way is finished first, or left off at its next step. Several may run at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when no job is due any more")
        parser.add_argument(
            "--lifeline",
            type=int,
            metavar="FD",
            help="stop when the other end of this pipe closes (for `serve`)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        loop = Loop()

        def stop(signum: int, frame: FrameType | None) -> None:
            loop.stop()

        is_served = options["lifeline"] is not None
        if is_served:
            threading.Thread(target=watch, args=[options["lifeline"]], daemon=True).start()
        # Under `serve`, Ctrl-C reaches the starter too, which tells us.
        handlers = {signal.SIGTERM: stop, signal.SIGINT: signal.SIG_IGN if is_served else stop}
        before = {one: signal.signal(one, what) for one, what in handlers.items()}
        try:
            done = loop.run(is_once=options["once"])
        finally:
            for one, what in before.items():
                signal.signal(one, what)
        if not is_served:
            self.stdout.write(f"{done} jobs done.")


def watch(lifeline: int) -> None:
    """Stop this process when the one that started it is gone."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)
