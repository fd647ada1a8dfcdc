"""The outbox: what is to be done, who does it, and what became of it.

A job is written in the transaction that causes it, so that neither is there without the other.
Source: DECISIONS, "Outbox and worker".
"""

from __future__ import annotations

from typing import Any, Self
from uuid import uuid4

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.db.models.functions import Now


class JobQuerySet(models.QuerySet["Job"]):
    def open(self) -> Self:
        """Keep the jobs that are still to be done, or are being done."""
        return self.filter(state__in=[Job.State.WAITING, Job.State.RUNNING])

    def due(self) -> Self:
        """Keep the jobs that a worker may take now, by the database's clock; the oldest first."""
        return self.open().filter(due_at__lte=Now()).order_by("due_at", "id")

    def failed(self) -> Self:
        """Keep the jobs that were given up: somebody has to look at them."""
        return self.filter(state=Job.State.FAILED)

    def finished(self) -> Self:
        """Keep the jobs that were done."""
        return self.filter(state=Job.State.DONE)


class Job(models.Model):
    """Something to be done, once at least; its `kind` names the task and `payload` the rows.

    The payload holds ids, never personal data. `lease` is the token of the worker that is doing
    it: who no longer has it can neither finish the job nor commit a step of it.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.CharField(max_length=60)
    payload = models.JSONField(default=dict)
    # Of what only one may be open at a time; "" for what may be many.
    key = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    # From when a worker may take it; of one that is running, when its lease ends.
    due_at = models.DateTimeField(db_default=Now())
    lease = models.UUIDField(null=True, editable=False)
    worker = models.CharField(max_length=100, blank=True)  # who took it last
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # The kind of error and where, never its message, which may quote what a vendor sent.
    error = models.TextField(blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        permissions = [("retry_job", "Can have a failed job tried again")]
        indexes = [
            # What is due next: every look of every worker.
            models.Index(
                fields=["due_at", "id"],
                condition=Q(state__in=["waiting", "running"]),
                name="job_by_due",
            ),
            # The page of jobs, the newest first; with the state, what failed.
            models.Index(fields=["created_at", "id"], name="job_by_time"),
            models.Index(fields=["state", "created_at"], name="job_by_state"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running", "done", "failed"]),
                name="job_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="running", lease__isnull=False)
                | ~Q(state="running") & Q(lease=None),
                name="job_runs_under_a_lease",
            ),
            models.UniqueConstraint(
                fields=["key"],
                condition=Q(state__in=["waiting", "running"]) & ~Q(key=""),
                name="job_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def retry(self) -> bool:
        """Have a failed job tried again from the first attempt; return False if it has not failed.

        Nothing is changed then, or if another job with its key is open.
        """
        rows = Job.objects.failed().filter(id=self.id)
        try:
            with transaction.atomic():
                return bool(
                    rows.update(
                        state=self.State.WAITING,
                        attempts=0,
                        due_at=Now(),
                        finished_at=None,
                        error="",
                    )
                )
        except IntegrityError:
            return False


class Worker(models.Model):
    """A worker process, when it was last seen, and what it is doing: its heartbeat."""

    name = models.CharField(primary_key=True, max_length=100)  # machine, process, start
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    done = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name

    def beat(self, **changed: Any) -> None:
        """Say that the worker lives, with what has changed of it."""
        for name, value in changed.items():
            setattr(self, name, value)
        values = {**changed, "seen_at": Now()}
        if not Worker.objects.filter(name=self.name).update(**values):
            self.save(force_insert=True)  # at the start, or when it was taken for dead
