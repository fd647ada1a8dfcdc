"""The worker: takes one job after the other, does it, and says what became of it.

A job is done at least once. Whoever dies in the middle loses its lease, and the job is taken
again; what a task wrote in one transaction with that is there exactly once. Source: DECISIONS,
"Outbox and worker".
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID, uuid4

import structlog
from django.db import Error as DatabaseProblem
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from leadping.jobs.models import Job, JobQuerySet, Worker
from leadping.jobs.tasks import (
    TASKS,
    GivenUp,
    LeaseLost,
    Outcome,
    Task,
    Turn,
    enqueue,
    lease_end,
)

IDLE_SECONDS = 0.5
BEAT_SECONDS = 5.0
PLAN_SECONDS = 60.0
# Of a worker that has not been seen for so long, nothing more is to be expected.
DEAD_AFTER = timedelta(minutes=2)
FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 3600.0

log = structlog.get_logger()


class Loop:
    """One worker, until told to stop."""

    def __init__(self) -> None:
        self.is_told_to_stop = False
        self.me = Worker(name=f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:6]}")
        self.done = 0
        self.beat_at = self.planned_at = self.urgent_at = float("-inf")

    def stop(self) -> None:
        """Take no more jobs; a long one leaves off at its next step."""
        self.is_told_to_stop = True

    def is_stopping(self) -> bool:
        """Say whether the worker was told to stop."""
        return self.is_told_to_stop

    def run(self, *, is_once: bool = False) -> int:
        """Do jobs until told to stop, or `is_once` until none is due; return how many were done.

        While the database is away, it waits for it.
        """
        while not self.is_told_to_stop:
            try:
                self.keep_up()
                with one_at_a_time() as is_mine:
                    worked = is_mine and self.work()
                if is_once and not worked and not due_for_us().exists():
                    break
            except DatabaseProblem:
                if is_once:
                    raise
                log.warning("worker.database_unavailable", exc_info=True)
                connection.close()
                time.sleep(IDLE_SECONDS * 4)
                continue
            if not worked:
                time.sleep(IDLE_SECONDS)
        self.leave()
        return self.done

    def keep_up(self) -> None:
        """Say that we live, and ask for what is due by the clock, each now and then."""
        now = time.monotonic()
        if now - self.planned_at > PLAN_SECONDS:
            self.planned_at = now
            ask_for_what_recurs()
        if now - self.beat_at > BEAT_SECONDS:
            self.beat_at = now
            self.me.beat(done=self.done)

    def work(self) -> bool:
        """Take the next job that is due and do it; return False if there is none."""
        job = take(self.me.name)
        if job is None:
            return False
        if do(job, self.is_stopping, self.between_steps):
            self.done += 1
        return True

    def between_steps(self, turn: Turn) -> None:
        """Do what cannot wait until a long job is done, without losing our hold on that."""

        def meanwhile(urgent: Turn) -> None:
            self.keep_up()
            with suppress(LeaseLost):  # which the long job finds out itself
                turn.stay()

        self.keep_up()
        now = time.monotonic()
        if now - self.urgent_at < IDLE_SECONDS:
            return
        self.urgent_at = now
        if job := take(self.me.name, is_urgent=True):
            do(job, self.is_stopping, meanwhile)
            meanwhile(turn)

    def leave(self) -> None:
        """Take our heartbeat away: nobody has to look for us."""
        Worker.objects.filter(name=self.me.name).delete()


def due_for_us() -> JobQuerySet:
    """Return the jobs that are due, but for those of a kind that only another version knows."""
    return Job.objects.due().filter(kind__in=list(TASKS))


def take(worker: str, job_id: UUID | None = None, *, is_urgent: bool = False) -> Job | None:
    """Take the job that has been due for longest, or this one if it is due; None if there is none.

    With `is_urgent`, only one that cannot wait.

    A job whose attempts are used up, for it kills whoever does it, is given up here.
    """
    due = due_for_us()
    if job_id:
        due = due.filter(id=job_id)
    if is_urgent:
        due = due.filter(kind__in=[one.kind for one in TASKS.values() if one.is_urgent])
    while due.exists():  # which takes no lock, as the transaction does on SQLite
        with transaction.atomic():
            is_skipping = connection.features.has_select_for_update_skip_locked
            job = due.select_for_update(skip_locked=is_skipping).first()
            if job is None:
                return None  # another worker was faster
            if job.attempts >= TASKS[job.kind].max_attempts:
                give_up(job)
                continue
            job.state, job.lease, job.worker = Job.State.RUNNING, uuid4(), worker
            job.attempts += 1
            job.started_at = timezone.now()
            job.due_at = lease_end()
            job.save(update_fields=["state", "lease", "worker", "attempts", "started_at", "due_at"])
            return job
    return None


def nothing(turn: Turn) -> None:
    """Do nothing."""


def do(
    job: Job,
    is_stopping: Callable[[], bool] = bool,
    watch: Callable[[Turn], None] = nothing,
) -> bool:
    """Do a job that was taken, and write what became of it; return whether it is done.

    `is_stopping` says whether it should leave off; `watch` is called after each of its steps.
    """
    assert job.lease
    turn = Turn(job.id, job.lease, is_stopping, watch)
    try:
        outcome = run(TASKS[job.kind], turn, job)
    except LeaseLost:
        log.warning("job.lease_lost", job_id=str(job.id), kind=job.kind)
        return False
    except Exception as error:
        fail(job, turn, error)
        return False
    finally:
        turn.rest()
    return outcome == Outcome.DONE


def run(found: Task, turn: Turn, job: Job) -> Outcome | timedelta:
    """Run a task, and note its outcome in the same transaction if it is atomic."""
    if not found.is_atomic:
        outcome = found.run(turn, **job.payload) or Outcome.DONE
        note(turn, outcome)
        return outcome
    with transaction.atomic():
        outcome = found.run(turn, **job.payload) or Outcome.DONE
        note(turn, outcome)
    return outcome


def note(turn: Turn, outcome: Outcome | timedelta) -> None:
    """Write how a job ended; raises LeaseLost if it is another worker's by now."""
    if turn.is_finished:
        return
    if outcome == Outcome.DONE:
        turn.finish()
        return
    due_at = Now() + outcome if isinstance(outcome, timedelta) else Now()
    # It made progress: what went wrong before does not count any more.
    turn.hold(state=Job.State.WAITING, lease=None, due_at=due_at, attempts=0, error="")


def fail(job: Job, turn: Turn, error: Exception) -> None:
    """Write that an attempt failed: try again later, or give up."""
    told = told_of(error)
    is_last = isinstance(error, GivenUp) or job.attempts >= TASKS[job.kind].max_attempts
    event = "job.given_up" if is_last else "job.failed"
    log.error(event, job_id=str(job.id), kind=job.kind, attempts=job.attempts, exc_info=error)
    try:
        if is_last:
            with transaction.atomic():
                turn.hold(state=Job.State.FAILED, lease=None, finished_at=Now(), error=told)
                tell_given_up(job)
        else:
            later = timedelta(seconds=pause_seconds(job.attempts))
            turn.hold(state=Job.State.WAITING, lease=None, due_at=Now() + later, error=told)
    except LeaseLost:
        log.warning("job.lease_lost", job_id=str(job.id), kind=job.kind)


def give_up(job: Job) -> None:
    """Write that a job whose attempts are used up is not taken any more."""
    job.state, job.lease, job.finished_at = Job.State.FAILED, None, timezone.now()
    job.error = job.error or "The worker died of it each time."
    job.save(update_fields=["state", "lease", "error", "finished_at"])
    tell_given_up(job)
    log.error("job.given_up", job_id=str(job.id), kind=job.kind, attempts=job.attempts)


def tell_given_up(job: Job) -> None:
    """Let the task write what becomes of what the job was to do."""
    if told := TASKS[job.kind].given_up:
        told(**job.payload)


def told_of(error: Exception) -> str:
    """Return an error for staff: our own sentence, else its kind and place, never its message."""
    if isinstance(error, GivenUp):
        return str(error) or str(GivenUp.__doc__)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__qualname__} in {where.name}, line {where.lineno} of {where.filename}"


def pause_seconds(attempts: int) -> float:
    """Return how long to wait after so many attempts: twice as long each time, within limits.

    With half of it by chance, so that what failed together is not tried together.
    """
    longest = min(FIRST_RETRY_SECONDS * 2.0 ** (attempts - 1), LAST_RETRY_SECONDS)
    return longest * random.uniform(0.5, 1)


def ask_for_what_recurs() -> None:
    """Write a job for each recurring task whose last one is long enough ago, unless one is open."""
    for one in TASKS.values():
        if one.every is None:
            continue
        recent = Job.objects.filter(kind=one.kind, created_at__gt=Now() - one.every)
        if not recent.exists():
            enqueue(one.kind, key=one.kind)


@contextmanager
def one_at_a_time() -> Iterator[bool]:
    """Let one worker at a time work on SQLite, which has one writer, and say whether it is us.

    More of them would leave posts no time to write in. The system takes the lock from the dead.
    """
    path = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or not os.path.isfile(path):
        yield True
        return
    with open(f"{path}-worker", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
