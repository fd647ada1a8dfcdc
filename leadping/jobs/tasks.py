"""What jobs do: tasks by name, how one is asked for, and what a task is given while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from leadping.jobs.models import Job

MAX_ATTEMPTS = 8
# After so long a task leaves off, so that other jobs get their turn, and goes on in the next one.
TURN_SECONDS = 10


class Outcome(Enum):
    """How a task ended that did not fail."""

    DONE = "done"
    AGAIN = "again"  # it left off, and goes on in its next turn


class LeaseLost(Exception):
    """The worker was silent for so long that its job is another one's by now."""


class GivenUp(Exception):
    """The job cannot be done, now or later: it is not tried again."""


class UnknownTask(Exception):
    """No task has this name."""


Run = Callable[..., Outcome | timedelta | None]


@dataclass(frozen=True, slots=True)
class Task:
    """A task: what it is called, what does it, and how.

    One that `is_atomic` runs in one transaction with the note that it is done, so that whatever it
    writes to the database is there exactly once. Any other commits its own steps, each under
    `Turn.step`, and must be safe to run twice. `every`: it is asked for by the worker, so often.
    One that `is_urgent` is done between the steps of another. `given_up` is called with the
    payload, in the transaction that gives the job up.
    """

    kind: str
    run: Run
    is_atomic: bool
    every: timedelta | None
    max_attempts: int
    is_urgent: bool
    given_up: Callable[..., None] | None = None


TASKS: dict[str, Task] = {}


def task(
    kind: str,
    *,
    is_atomic: bool = True,
    every: timedelta | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    is_urgent: bool = False,
    given_up: Callable[..., None] | None = None,
) -> Callable[[Run], Run]:
    """Make a function a task: it is called with a Turn and the job's payload as keywords.

    It stands in a module `jobs.py` of an app, where workers find it. It may return an Outcome, by
    default DONE, or after how long it goes on in its next turn; it may raise GivenUp; whatever else
    it raises, it is tried again later.
    """

    def known(run: Run) -> Run:
        assert kind not in TASKS, kind
        TASKS[kind] = Task(kind, run, is_atomic, every, max_attempts, is_urgent, given_up)
        return run

    return known


def enqueue(kind: str, *, after: timedelta | None = None, key: str = "", **payload: Any) -> Job:
    """Write a job into the transaction that is open, to be done soon, or `after` a while.

    Returns it, or with a `key` the open one that has it already. Raises UnknownTask.
    """
    job = new(kind, key=key, **payload)
    if after:
        job.due_at = Now() + after
    if not key:
        job.save(force_insert=True)
        return job
    with transaction.atomic():
        while True:
            Job.objects.bulk_create([job], ignore_conflicts=True)
            # Locked, so that it is still open when we commit; gone, if it was just being finished.
            rows = Job.objects.open().filter(key=key).select_for_update(no_key=True)
            if found := rows.first():
                return found


def enqueue_many(kind: str, payloads: Iterable[dict[str, Any]]) -> int:
    """Write a job for each payload, and return how many; raises UnknownTask."""
    return len(Job.objects.bulk_create([new(kind, **one) for one in payloads], batch_size=500))


def new(kind: str, *, key: str = "", **payload: Any) -> Job:
    """Return a job, not saved; raises UnknownTask."""
    if kind not in TASKS:
        raise UnknownTask(kind)
    return Job(kind=kind, key=key, payload=payload)


def lease_end() -> Any:
    """Return when a lease that is given or renewed now is over, by the database's clock."""
    return Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)


class Turn:
    """What a task is given: the hold on its job, and when to leave off."""

    def __init__(
        self,
        job_id: UUID,
        lease: UUID,
        is_stopping: Callable[[], bool],
        watch: Callable[[Turn], None],
    ) -> None:
        self.job_id = job_id
        self.lease = lease
        self.is_stopping = is_stopping
        self.watch = watch  # called after each step
        self.began = self.worked_since = time.monotonic()
        self.is_finished = False

    @property
    def is_over(self) -> bool:
        """Say whether the task should leave off, and return AGAIN: for other jobs, or to stop."""
        if self.is_stopping():
            return True
        if time.monotonic() - self.began <= TURN_SECONDS:
            return False
        self.began = time.monotonic()
        return Job.objects.due().exists()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Make a transaction of what is done inside, which only the holder of the job commits.

        Raises LeaseLost, and then nothing of it is done. The lease is renewed with it, and the job
        has got further: what failed before does not count as an attempt any more.
        """
        self.is_finished = False  # or it was undone
        with transaction.atomic():
            yield
            if not self.is_finished:
                self.hold(due_at=lease_end(), attempts=1)
        self.watch(self)

    def stay(self) -> None:
        """Renew the lease; raises LeaseLost."""
        self.hold(due_at=lease_end())

    def finish(self) -> None:
        """Note in a step that the job is done, so that neither is there without the other."""
        self.hold(state=Job.State.DONE, lease=None, finished_at=Now(), error="")
        self.is_finished = True

    def hold(self, **values: Any) -> None:
        """Change columns of the job; raises LeaseLost if it is another worker's by now."""
        rows = Job.objects.filter(id=self.job_id, lease=self.lease, state=Job.State.RUNNING)
        if not rows.update(**values):
            raise LeaseLost

    def rest(self) -> None:
        """Leave the database to others for as long as we have had it since the last rest.

        SQLite has one writer at a time: without this, posts would wait for it in vain.
        """
        if connection.vendor == "sqlite":
            time.sleep(time.monotonic() - self.worked_since)
        self.worked_since = time.monotonic()
