"""Exports that are made again and again: when each is due, and what becomes of it then.

A due time is used up once, by whoever moves it on; one that was missed is made up for once, late,
of the period that was meant. Whether its owner still may is asked each time.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import QueryDict
from django.utils import timezone

from leads.exporting import ask, check_rights, encoded, format_of, in_zone, kind_of
from leads.exports import Export, ExportSchedule, NotExportable
from leads.moments import PERIODS
from leads.reviews import NotDecided, reason_of
from leads.saved import NoName, name_of

Every = ExportSchedule.Every
SCHEDULES_AT_MOST = 20
# Of a day that is not over, the next file would hold the rest and no part of it twice.
WHOLE_PERIODS = {name: label for name, label in PERIODS.items() if name != "today"}


def next_after(every: str, hour: int, at: datetime) -> datetime:
    """Return when it is due next after a moment: at an hour of the console's zone, in UTC.

    An hour that the clock leaves out is the one after it, and one that it has twice the first.
    """
    zone = settings.CONSOLE_TIME_ZONE
    day = at.astimezone(zone).date()
    while True:
        due = datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)
        if due > at and is_day_of(every, day):
            return due
        day += timedelta(days=1)


def is_day_of(every: str, day: date) -> bool:
    """Say whether a schedule is due on this day."""
    if every == Every.WEEK:
        return day.weekday() == 0
    return every == Every.DAY or day.day == 1


def moving(query: str, period: str) -> str:
    """Return a query of this period, which moves with the day; raises NotExportable."""
    if period not in WHOLE_PERIODS:
        raise NotExportable("Choose a period that moves with the day, like yesterday.")
    given = QueryDict(query).dict()
    for name in ("from", "to", "after", "before"):
        given.pop(name, None)
    return encoded(given | {"period": period})


def add(
    by: Any,
    name: str,
    kind_name: str,
    query: str,
    period: str,
    format_name: str,
    every: str,
    hour: int,
    *,
    is_masked: bool = True,
    reason: str = "",
) -> ExportSchedule:
    """Have an export made again and again, and return the schedule; raises NotExportable."""
    kind, found = kind_of(kind_name), format_of(format_name)
    is_masked |= not kind.has_persons
    check_rights(by, kind, is_masked=is_masked)
    now = timezone.now()
    query = moving(query, period)
    with in_zone():
        kind.checked(query, by, now)
    try:
        name = name_of(name)
        reason = reason_of(reason) if reason or not is_masked else ""
    except (NoName, NotDecided) as error:
        raise NotExportable(str(error).replace("view", "schedule")) from None
    if every not in Every.values or hour not in range(24):
        raise NotExportable("Choose how often, and an hour.")
    if ExportSchedule.objects.filter(by=by).count() >= SCHEDULES_AT_MOST:
        raise NotExportable(f"You have {SCHEDULES_AT_MOST} schedules: delete one first.")
    return ExportSchedule.objects.create(
        by=by,
        name=name,
        kind=kind.name,
        query=query,
        format=found.name,
        is_masked=is_masked,
        reason=reason,
        every=every,
        hour=hour,
        next_at=next_after(every, hour, now),
    )


def switch(one: ExportSchedule, *, is_on: bool) -> None:
    """Switch a schedule on, from its next time on, or off."""
    one.is_on = is_on
    if is_on:
        one.trouble, one.next_at = "", next_after(one.every, one.hour, timezone.now())
    one.save(update_fields=["is_on", "trouble", "next_at"])


def start_due(now: datetime) -> list[Export]:
    """Ask for the exports that are due, and return their records."""
    made = []
    for one in list(ExportSchedule.objects.due(now).select_related("by")):
        with transaction.atomic():
            due = one.next_at
            # Whoever moves it on has it, also of two workers.
            mine = ExportSchedule.objects.filter(id=one.id, is_on=True, next_at=due)
            if mine.update(next_at=next_after(one.every, one.hour, now)):
                made.append(start(one, due))
    return made


def start(one: ExportSchedule, due: datetime) -> Export:
    """Ask for the export of a schedule as of when it was due; if it cannot be, switch it off."""
    try:
        return ask(
            one.by,
            one.kind,
            one.query,
            one.format,
            is_masked=one.is_masked,
            reason=one.reason,
            schedule=one,
            at=due,
        )
    except NotExportable as error:
        ExportSchedule.objects.filter(id=one.id).update(is_on=False, trouble=str(error))
        now = timezone.now()
        return Export.objects.create(
            by=one.by,
            kind=one.kind,
            query=one.query,
            format=one.format,
            is_masked=one.is_masked,
            reason=one.reason,
            file_name=f"{one.kind}.{one.format}",
            schedule=one,
            state=Export.State.FAILED,
            trouble=f"{error} The schedule “{one.name}” is switched off.",
            created_at=now,
            finished_at=now,
        )
