"""What is kept of the import of a list: the file until it is read, its rows until they are done.

`leads/importing.py` does the work. All is in the database, so that any machine may go on with it.
"""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from leads.suppressions import Suppression
from sources.ids import uuid7
from sources.models import Business


class SuppressionImportQuerySet(models.QuerySet["SuppressionImport"]):
    def under_way(self) -> Self:
        """Keep the imports that a worker is or will be at."""
        return self.filter(state__in=SuppressionImport.UNDER_WAY)


class SuppressionImport(models.Model):
    """A list of people who may not be contacted, on its way from a file into the suppressions.

    Of a do-not-call registry, or a business's own. The counts are of rows of the file: those that
    were `read`, of which some are `bad`; and of the others those that are `done`, of which some are
    `added` and the rest had an entry already.
    """

    class State(models.TextChoices):
        LOADING = "loading", "Loading the file"
        READING = "reading", "Reading the rows"
        RENEWING = "renewing", "Bringing the list back into use"
        SUPPRESSING = "suppressing", "Suppressing"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    UNDER_WAY = (State.READING, State.RENEWING, State.SUPPRESSING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    file_name = models.CharField("file", max_length=200)
    file_bytes = models.PositiveBigIntegerField("size of the file in bytes", default=0)
    business = models.ForeignKey(Business, models.PROTECT, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=20, choices=Suppression.Kind.choices)
    channel = models.CharField(
        max_length=10, choices=Suppression.Channel.choices, default=Suppression.Channel.ALL
    )
    list_name = models.CharField(max_length=100, blank=True)
    listed_on = models.DateField("date of the list", null=True, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )

    state = models.CharField(max_length=12, choices=State.choices, default=State.LOADING)
    # Where it goes on when it is resumed.
    resumes_as = models.CharField(max_length=12, choices=State.choices, default=State.READING)
    is_cancel_wanted = models.BooleanField(default=False)
    trouble = models.TextField(blank=True)  # why it failed
    columns = models.CharField("columns read", max_length=200, blank=True)
    has_both = models.BooleanField(default=False)  # phone and e-mail in one row
    rows_read = models.PositiveIntegerField(default=0)
    rows_bad = models.PositiveIntegerField(default=0)
    rows_staged = models.PositiveIntegerField(default=0)
    rows_done = models.PositiveIntegerField(default=0)
    rows_added = models.PositiveIntegerField(default=0)
    leads_blocked = models.PositiveIntegerField(default=0)
    renewed_up_to = models.UUIDField(null=True, editable=False)
    worked_ms = models.PositiveBigIntegerField("worked (ms)", default=0)  # in its present state
    finished_at = models.DateTimeField(null=True)

    objects = SuppressionImportQuerySet.as_manager()

    class Meta:
        verbose_name = "import of a list"
        verbose_name_plural = "imports of lists"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        *("loading", "reading", "renewing", "suppressing"),
                        *("done", "cancelled", "failed"),
                    ]
                ),
                name="suppression_import_state_known",
            )
        ]

    def __str__(self) -> str:
        return f"import {self.id}"

    @property
    def is_over(self) -> bool:
        """Say whether nobody works at it any more."""
        return self.state in (self.State.DONE, self.State.CANCELLED, self.State.FAILED)

    @property
    def can_be_resumed(self) -> bool:
        """Say whether it left off in the middle, with all of its file there."""
        is_left_off = self.state in (self.State.CANCELLED, self.State.FAILED)
        return is_left_off and self.resumes_as in self.UNDER_WAY

    @property
    def rows_known(self) -> int:
        """Return how many rows had an entry already."""
        return self.rows_done - self.rows_added

    @property
    def rows_a_second(self) -> float | None:
        """Return how fast its present state goes, None if nobody can say yet."""
        count = {
            self.State.READING: self.rows_read,
            self.State.SUPPRESSING: self.rows_done,
            self.State.DONE: self.rows_done,
        }.get(self.State(self.state), 0)
        return count * 1000 / self.worked_ms if count and self.worked_ms else None

    @property
    def seconds_left(self) -> float | None:
        """Return how long suppressing will take yet, None if nobody can say yet."""
        if self.state != self.State.SUPPRESSING or not self.rows_a_second:
            return None
        return (self.rows_staged - self.rows_done) / self.rows_a_second

    def template(self) -> Suppression:
        """Return the entry that each row will become, without the person."""
        return Suppression(
            business=self.business,
            kind=self.kind,
            channel=self.channel,
            list_name=self.list_name,
            listed_on=self.listed_on,
            reason=self.reason,
            provenance=f"import {self.id}",
            created_by=self.created_by,
        )


class ImportChunk(models.Model):
    """A piece of the file of an import, until all of it is read."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    of = models.ForeignKey(SuppressionImport, models.CASCADE, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["of", "number"], name="import_chunk_once")]

    def __str__(self) -> str:
        return f"chunk {self.number}"


class StagedRow(models.Model):
    """A good row of the file of an import, normalised, until it is an entry: with that one's id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    of = models.ForeignKey(SuppressionImport, models.CASCADE, related_name="staged", db_index=False)
    number = models.PositiveIntegerField()
    phone = models.CharField(max_length=20, blank=True)
    email_key = models.CharField(max_length=320, blank=True)
    since = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["of", "number"], name="staged_row_once")]

    def __str__(self) -> str:
        return f"row {self.number}"


class BadRow(models.Model):
    """A row of the file of an import that cannot be taken, and why; to be given back."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    of = models.ForeignKey(
        SuppressionImport, models.CASCADE, related_name="bad_rows", db_index=False
    )
    line = models.PositiveIntegerField()
    why = models.CharField(max_length=200)
    cells = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["of", "line"], name="bad_row_once")]

    def __str__(self) -> str:
        return f"line {self.line}"
