"""Where the processor time of a post goes, step by step: `python -m bench.waterfall`.

One post after another through the WSGI callable, in this process, on the PostgreSQL of
`DATABASE_URL`; the application's microseconds by its thread's clock, the database's by the
kernel's count for the one backend that serves it. `python -m bench.run --module waterfall` gives it
a server of its own.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leadping.wsgi import application  # isort: skip, it sets Django up

from django.db import connection

from bench.client import lead_body
from bench.intake import Bench
from intake import receive, store, throttling, views

BATCHES, POSTS = 15, 200
# What each step is called, and the function that is it, without the steps inside it.
STEPS: list[tuple[str, Any, str]] = [
    ("the view: headers, credentials, media type", views.Visit, "answer"),
    ("limiter (trip 1)", throttling, "use_post"),
    ("body to values: JSON, fields, lead", receive, "understand"),
    ("transaction of Django around it", receive, "receive"),
    ("locks and look-ups (trip 2)", store, "gather"),
    ("rules", receive, "judge"),
    ("lead, post and COMMIT (trip 3)", store, "write"),
    ("line of the log", views.Visit, "tell"),
    ("the answer's JSON", views, "intake_answer"),
]
FIRST = "Django's request, handler and response"


class Steps:
    """Adds up what each step spends by some clock, in microseconds, less what is inside it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.spent: dict[str, float] = {}
        self.inside = [0.0]

    def measured(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, and adds what it spends."""

        def step(*args: Any, **more: Any) -> Any:
            self.inside.append(0.0)
            begun = self.clock()
            try:
                return real(*args, **more)
            finally:
                took = self.clock() - begun
                within = self.inside.pop()
                self.inside[-1] += took
                self.spent[name] = self.spent.get(name, 0.0) + took - within

        return step


def thread_us() -> float:
    """Return the microseconds of processor time that this thread has spent."""
    return time.thread_time_ns() / 1000


def backend_us() -> float:
    """Return the microseconds that the backend of this thread's connection has spent."""
    backend = connection.connection.info.backend_pid
    return int(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1000


def environ(body: bytes, credential: tuple[str, str]) -> dict[str, Any]:
    """Return what a server hands over for a post."""
    return {
        **{"REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/leads/intake"},
        **{"QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80"},
        **{"SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http"},
        **{"wsgi.errors": sys.stderr, "wsgi.input": io.BytesIO(body), "wsgi.multithread": True},
        **{"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1", "HTTP_USER_AGENT": "bench"},
        **{"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))},
        "HTTP_X_LEADPING_SOURCE_ID": credential[0],
        "HTTP_X_LEADPING_SOURCE_KEY": credential[1],
    }


def post(bench: Bench) -> None:
    """Post one lead of a new person; its body is made before the clock starts."""
    bench.number += 1
    given = environ(
        lead_body(bench.number), bench.credentials[bench.number % len(bench.credentials)]
    )
    told: list[str] = []
    whole(given, lambda status, headers: told.append(status))
    assert told == ["201 Created"], told


def whole(given: dict[str, Any], start_response: Any) -> bytes:
    """Take one request from end to end."""
    return b"".join(application(given, start_response))


def batches(bench: Bench, clock: Callable[[], float]) -> list[dict[str, float]]:
    """Return the microseconds a post of each step, batch by batch."""
    found = []
    global whole
    plain = whole
    for _ in range(BATCHES):
        steps = Steps(clock)
        originals = [(owner, name, getattr(owner, name)) for _, owner, name in STEPS]
        for (told, owner, name), (_, _, real) in zip(STEPS, originals, strict=True):
            setattr(owner, name, steps.measured(told, real))
        whole = steps.measured(FIRST, plain)
        try:
            for _ in range(POSTS):
                post(bench)
        finally:
            whole = plain
            for owner, name, real in originals:
                setattr(owner, name, real)
        found.append({name: spent / POSTS for name, spent in steps.spent.items()})
    return found


def overhead_us(clock: Callable[[], float]) -> float:
    """Return what measuring one step costs it by itself."""
    steps = Steps(clock)
    nothing = steps.measured("nothing", lambda: None)
    for _ in range(2000):
        nothing()
    return steps.spent["nothing"] / 2000


def main() -> None:
    """Print the table."""
    bench = Bench(Path())
    for _ in range(500):
        post(bench)
    application_us = batches(bench, thread_us)
    database_us = batches(bench, backend_us)
    cost = overhead_us(thread_us)
    lines = [
        "| step | application µs | database µs |",
        "|---|--:|--:|",
    ]
    sums = [0.0, 0.0]
    for name in (FIRST, *(told for told, _, _ in STEPS)):
        ours = max(statistics.median(one.get(name, 0.0) for one in application_us) - cost, 0.0)
        theirs = statistics.median(one.get(name, 0.0) for one in database_us)
        sums = [sums[0] + ours, sums[1] + theirs]
        lines.append(f"| {name} | {ours:.0f} | {theirs:.0f} |")
    lines.append(f"| **all of it** | **{sums[0]:.0f}** | **{sums[1]:.0f}** |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
