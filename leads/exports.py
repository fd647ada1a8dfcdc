"""What is kept of exports: who took which rows out, when and why; their files for a while.

What can be exported is a `Kind` in `KINDS`. One of few rows without persons, as a report, says:

    class Report(Kind):
        name, label = "report", "Report"
        permissions = ("leads.view_lead",)          # besides `leads.export_lead`

        def checked(self, query, by, at): ...        # the query in one form; raises NotExportable
        def title(self, query): ...                  # a line for pages, of what is in the file
        def fields(self, query, *, is_masked): ...   # list[leads.files.Field], for the file
        def rows(self, query): ...                   # yields a tuple of cells for each row

    register(Report())

Cells are what `leads/files.py` takes. All rows are read, and written, in one step, so there should
be no more of them than some thousand. Leads, of which there are millions, are the kind of
`leads/exporting.py`, which does the work; it reads in pieces (`Kind.batches`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from leads.reviews import REASON_MAX_LENGTH, AppendOnly, AppendOnlyQuerySet
from sources.ids import uuid7

if TYPE_CHECKING:
    from leads.files import Cells, Field

MAY_EXPORT = "leads.export_lead"
MAY_EXPORT_PERSONS = "leads.export_person"


class NotExportable(Exception):
    """It cannot be exported, and nothing has changed; the message says why, in words for staff."""


# --- what can be exported -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """Leads whose person goes out: their ids, and when they came, both as text, in one order."""

    ids: Cells
    received: Cells


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, column by column, and the place after them from which an export goes on.

    The next ones may be on their way already; `settle` waits until the connection is free of that.
    """

    count: int
    cells: Sequence[Cells]
    place: str = ""
    taken: Taken | None = None
    settle: Callable[[], None] = nothing


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows there are: exactly, about, or more than that; None: nobody can say."""

    rows: int | None
    how: str = "exactly"

    def __str__(self) -> str:
        if self.rows is None:
            return "not counted"
        words = {"exactly": "", "about": "about ", "more": "more than "}
        return f"{words[self.how]}{self.rows:,}"


class Kind:
    """Something that can be exported, by a query of its own; see the top of this module.

    `is_written`: its cells are all texts, as files have them.
    """

    name: str
    label: str
    permissions: tuple[str, ...] = ()
    has_persons = False
    is_written = False

    def checked(self, query: str, by: Any, at: datetime) -> str:
        """Return a query in one form, its times as they are at a moment; raises NotExportable."""
        return query

    def told(self, query: str, by: Any) -> list[tuple[str, str]]:
        """Return what a query asks for, each as a label and a value, for pages."""
        return []

    def widened(self, query: str) -> str:
        """Return a query for all columns that there are."""
        return query

    def title(self, query: str) -> str:
        """Return what the file holds, in one line."""
        return self.label

    def fields(self, query: str, *, is_masked: bool) -> list[Field]:
        """Return the columns of the file."""
        raise NotImplementedError

    def rows(self, query: str) -> Iterator[Sequence[Any]]:
        """Yield the rows, if there are few."""
        raise NotImplementedError

    def estimate(self, query: str, by: Any) -> Estimate:
        """Return how many rows there will be."""
        return Estimate(sum(1 for _ in self.rows(query)))

    def batches(self, one: Export) -> Iterator[Batch]:
        """Yield the rows after the place of an export; if there are few, all at once."""
        if not one.place:
            rows = list(self.rows(one.query))
            width = len(self.fields(one.query, is_masked=one.is_masked))
            cells = list(zip(*rows, strict=True)) if rows else [()] * width
            yield Batch(len(rows), cells, place="all")


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Let this be exported too."""
    assert kind.name not in KINDS, kind.name
    KINDS[kind.name] = kind


# --- exports --------------------------------------------------------------------------------------


class ExportQuerySet(models.QuerySet["Export"]):
    def under_way(self) -> Self:
        """Keep those that a worker is or will be at."""
        return self.filter(state__in=Export.UNDER_WAY)

    def over_time(self, now: datetime) -> Self:
        """Keep those whose file is to be deleted."""
        return self.filter(state=Export.State.DONE, expires_at__lte=now)

    def delete(self) -> NoReturn:
        raise TypeError("Exports are on record for good; only their files are deleted.")


class Export(models.Model):
    """That somebody asked for rows as a file: the record of it, which stays, and how it goes.

    Written before any row is read. `as_of`: only leads received until then are in it. `place`:
    after which row it goes on, in the words of its kind.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Ready"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        EXPIRED = "expired", "Expired"

    UNDER_WAY = (State.WAITING, State.RUNNING)

    id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=uuid7, editable=False
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    created_at = models.DateTimeField("asked for", default=timezone.now)
    kind = models.CharField(max_length=20)
    query = models.TextField(blank=True)  # as the list's URL has it, with times that stand still
    columns = models.JSONField(default=list)
    format = models.CharField(max_length=10)
    order = models.CharField(max_length=10, blank=True)
    is_masked = models.BooleanField("person masked", default=True)
    reason = models.CharField(max_length=REASON_MAX_LENGTH, blank=True)
    estimate = models.PositiveBigIntegerField(null=True)
    file_name = models.CharField(max_length=120)
    again_of = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="attempts", db_index=False
    )
    schedule = models.ForeignKey(
        "ExportSchedule", models.SET_NULL, null=True, related_name="exports", db_index=False
    )

    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    is_cancel_wanted = models.BooleanField(default=False)
    trouble = models.TextField(blank=True)  # why it failed
    as_of = models.DateTimeField(null=True)
    place = models.CharField(max_length=60, blank=True)
    is_read = models.BooleanField(default=False)  # all rows are; perhaps the file is yet to be made
    rows_done = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField("size of the file in bytes", default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    worked_ms = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = ExportQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ["-created_at", "-id"]
        indexes = [
            # The newest exports of one person; of everybody, for the page of who did what.
            models.Index(fields=["by", "created_at"], name="export_by_person"),
            models.Index(fields=["created_at"], name="export_by_time"),
            # Whose file is over its time; those of one schedule.
            models.Index(fields=["expires_at"], condition=Q(state="done"), name="export_to_expire"),
            models.Index(
                fields=["schedule"],
                condition=Q(schedule__isnull=False),
                name="export_of_schedule",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    state__in=[
                        *("waiting", "running", "done", "failed", "cancelled", "expired"),
                    ]
                ),
                name="export_state_known",
            ),
            models.CheckConstraint(
                condition=Q(is_masked=True) | ~Q(reason=""), name="export_of_persons_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(expires_at__isnull=False) & ~Q(sha256=""),
                name="export_done_has_file",
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.id}"

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Exports are on record for good; only their files are deleted.")

    @property
    def is_over(self) -> bool:
        """Say whether nobody works at it any more."""
        return self.state not in self.UNDER_WAY

    @property
    def can_run_again(self) -> bool:
        """Say whether it may be asked for once more, as it was."""
        return self.is_over and self.kind in KINDS

    @property
    def rows_a_second(self) -> float | None:
        """Return how fast rows are read, None if nobody can say yet."""
        return self.rows_done * 1000 / self.worked_ms if self.rows_done and self.worked_ms else None

    @property
    def seconds_left(self) -> float | None:
        """Return how long reading will take yet, None if nobody can say."""
        if self.is_read or not self.estimate or not self.rows_a_second:
            return None
        return max(self.estimate - self.rows_done, 0) / self.rows_a_second


class ExportChunk(models.Model):
    """A piece of what an export writes, deflated: of its rows, and of the file made of them."""

    class Stage(models.TextChoices):
        ROWS = "rows", "Rows"
        FILE = "file", "File"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    of = models.ForeignKey(Export, models.CASCADE, related_name="chunks", db_index=False)
    stage = models.CharField(max_length=4, choices=Stage.choices)
    number = models.PositiveIntegerField()
    size = models.PositiveIntegerField()  # in bytes, once inflated
    data = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [
            # Also how a file is read: its chunks in order.
            models.UniqueConstraint(fields=["of", "stage", "number"], name="export_chunk_once")
        ]

    def __str__(self) -> str:
        return f"chunk {self.number}"


ID_BYTES = 16


class ExportedLeadsQuerySet(AppendOnlyQuerySet):
    def of_lead(self, lead: Any) -> Self:
        """Keep the rows that may name a lead, by when it came; `names` says whether one does."""
        at = lead.received_at
        rows = self.filter(first_at__lte=at, last_at__gte=at)
        return rows.select_related("export__by").order_by("-at", "-id")


class ExportedLeads(AppendOnly):
    """Leads whose person an export has let out, for good: their ids, and between when they came."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    export = models.ForeignKey(Export, models.PROTECT, related_name="exported", db_index=False)
    at = models.DateTimeField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    ids = models.BinaryField()  # 16 bytes each

    objects: ClassVar[Any] = ExportedLeadsQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            # Those that may name a lead that came at some moment.
            models.Index(fields=["last_at", "first_at"], name="exported_leads_by_time"),
        ]

    def __str__(self) -> str:
        return f"leads of {self.export_id}"

    def names(self, lead_id: UUID) -> bool:
        """Say whether this lead is one of them."""
        ids, wanted = bytes(self.ids), lead_id.bytes
        place = ids.find(wanted)
        while place >= 0 and place % ID_BYTES:  # in the middle of two others
            place = ids.find(wanted, place + 1)
        return place >= 0


class ExportDownload(AppendOnly):
    """That somebody fetched the file of an export."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    export = models.ForeignKey(Export, models.PROTECT, related_name="downloads", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )

    class Meta:
        default_permissions = ()
        ordering = ["at", "id"]
        indexes = [
            # Those of one export; the newest, for the page of who did what.
            models.Index(fields=["export", "at"], name="export_download_of"),
            models.Index(fields=["at"], name="export_download_by_time"),
        ]

    def __str__(self) -> str:
        return f"download of {self.export_id}"


# --- schedules ------------------------------------------------------------------------------------


class ExportScheduleQuerySet(models.QuerySet["ExportSchedule"]):
    def due(self, now: datetime) -> Self:
        """Keep those whose time has come."""
        return self.filter(is_on=True, next_at__lte=now).order_by("next_at", "id")


class ExportSchedule(models.Model):
    """That an export is made again and again, of a period that moves with the day."""

    class Every(models.TextChoices):
        DAY = "day", "Every day"
        WEEK = "week", "Every Monday"
        MONTH = "month", "On the first of the month"

    id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=uuid7, editable=False
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=20)
    query = models.TextField(blank=True)  # with its period as it is, which moves
    format = models.CharField(max_length=10)
    is_masked = models.BooleanField("person masked", default=True)
    reason = models.CharField(max_length=REASON_MAX_LENGTH, blank=True)
    every = models.CharField(max_length=5, choices=Every.choices)
    hour = models.PositiveSmallIntegerField()  # of the console's zone
    is_on = models.BooleanField("on", default=True)
    next_at = models.DateTimeField()
    trouble = models.TextField(blank=True)  # why it was switched off
    created_at = models.DateTimeField(default=timezone.now)

    objects = ExportScheduleQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        ordering = ["name", "id"]
        indexes = [
            # What is due.
            models.Index(
                fields=["next_at"], condition=Q(is_on=True), name="export_schedule_by_due"
            ),
            # Those of one person.
            models.Index(fields=["by"], name="export_schedule_by_person"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(every__in=["day", "week", "month"]), name="export_schedule_every_known"
            ),
            models.CheckConstraint(condition=Q(hour__lte=23), name="export_schedule_hour_of_day"),
            models.CheckConstraint(
                condition=Q(is_masked=True) | ~Q(reason=""),
                name="export_schedule_of_persons_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"schedule {self.id}"
