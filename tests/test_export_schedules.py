"""Exports on a schedule: when they are due, once each, and only while their owner may."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import Permission

from leads import scheduling
from leads.exports import Export, ExportSchedule, NotExportable
from leads.scheduling import add, next_after, start_due, switch
from sources.models import Source
from tests.test_export import anna, bytes_of, chief, make_lead, person_who_may, run

__all__ = ["anna", "chief"]  # fixtures

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> datetime:
    """Return a moment of New York's clocks, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


@pytest.mark.parametrize(
    ("every", "hour", "now", "due"),
    [
        ("day", 6, "2026-11-29T05:59", "2026-11-29T06:00"),
        ("day", 6, "2026-11-29T06:00", "2026-11-30T06:00"),
        ("day", 0, "2026-12-31T23:59", "2027-01-01T00:00"),
        ("week", 6, "2026-11-29T12:00", "2026-11-30T06:00"),
        ("week", 6, "2026-11-30T06:00", "2026-12-07T06:00"),
        ("month", 6, "2026-11-29T12:00", "2026-12-01T06:00"),
        ("month", 23, "2026-12-01T23:30", "2027-01-01T23:00"),
        # The clock is put forward on March 14, from 2 to 3, and back on November 1, from 2 to 1.
        ("day", 6, "2027-03-13T06:00", "2027-03-14T06:00"),
        ("day", 2, "2027-03-13T02:00", "2027-03-14T03:00"),
        ("day", 1, "2026-10-31T01:00", "2026-11-01T01:00"),
        ("day", 6, "2026-10-31T06:00", "2026-11-01T06:00"),
    ],
)
def test_a_schedule_is_due_at_its_hour_of_the_console(
    settings: Any, every: str, hour: int, now: str, due: str
) -> None:
    settings.CONSOLE_TIME_ZONE = NEW_YORK
    assert next_after(every, hour, at(now)) == at(due)


def test_an_hour_that_comes_twice_is_used_once(settings: Any) -> None:
    settings.CONSOLE_TIME_ZONE = NEW_YORK
    first = next_after("day", 1, at("2026-10-31T12:00"))
    assert first == datetime(2026, 11, 1, 5, tzinfo=UTC)
    assert next_after("day", 1, first) == at("2026-11-02T01:00")
    assert next_after("day", 1, first + timedelta(minutes=70)) == at("2026-11-02T01:00")


def daily(by: Any, **more: Any) -> ExportSchedule:
    """Return a schedule of yesterday's leads, made on November 29 at noon of New York."""
    given: dict[str, Any] = {
        "name": "Yesterday",
        "period": "yesterday",
        "every": "day",
        "hour": 6,
    } | more
    with time_machine.travel(at("2026-11-29T12:00"), tick=False):
        return add(
            by,
            given.pop("name"),
            "leads",
            given.pop("query", "cols=id"),
            given.pop("period"),
            given.pop("format", "csv"),
            given.pop("every"),
            given.pop("hour"),
            **given,
        )


def test_a_due_time_makes_one_export_of_the_period_that_was_meant(
    anna: Any, source: Source
) -> None:
    one = daily(anna)
    wanted = make_lead(source, received_at=at("2026-11-29T23:30"))
    make_lead(source, received_at=at("2026-11-30T00:30"))
    assert one.next_at == at("2026-11-30T06:00")
    assert start_due(at("2026-11-30T05:59")) == []
    (made,) = start_due(at("2026-11-30T06:01"))
    assert start_due(at("2026-11-30T06:01")) == []
    assert (made.schedule, made.by) == (one, anna)
    assert made.query == "cols=id&from=2026-11-29&to=2026-11-29"
    with time_machine.travel(at("2026-11-30T06:02"), tick=False):
        assert run(made).state == "done"
        assert bytes_of(made).decode().split() == ["id", str(wanted.id)]
    one.refresh_from_db()
    assert one.next_at == at("2026-12-01T06:00")


def test_times_that_were_missed_are_made_up_for_once(anna: Any) -> None:
    one = daily(anna)
    (made,) = start_due(at("2026-12-03T09:00"))
    assert made.query.endswith("from=2026-11-29&to=2026-11-29")
    one.refresh_from_db()
    assert one.next_at == at("2026-12-04T06:00")


def test_of_two_workers_at_a_due_time_one_has_it(
    anna: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily(anna)
    now = at("2026-11-30T06:01")
    real = scheduling.next_after

    def other_first(*given: Any) -> Any:
        monkeypatch.setattr(scheduling, "next_after", real)
        assert len(start_due(now)) == 1  # the other worker, after both have seen that it is due
        return real(*given)

    monkeypatch.setattr(scheduling, "next_after", other_first)
    assert start_due(now) == []
    assert Export.objects.count() == 1


@pytest.mark.parametrize("lost", ["export_lead", "view_lead", "export_person", "staff"])
def test_rights_that_are_gone_switch_a_schedule_off_and_are_told(chief: Any, lost: str) -> None:
    one = daily(chief, is_masked=False, reason="For the call centre")
    if lost == "staff":
        chief.is_staff = False
        chief.save()
    else:
        chief.user_permissions.remove(Permission.objects.get(codename=lost))
    (made,) = start_due(at("2026-11-30T06:01"))
    assert made.state == "failed"
    assert "chief" in made.trouble
    assert made.trouble.endswith("The schedule “Yesterday” is switched off.")
    one.refresh_from_db()
    assert not one.is_on
    assert one.trouble
    assert start_due(at("2026-12-05T06:01")) == []


def test_a_schedule_that_is_off_is_not_due_and_goes_on_from_its_next_time(anna: Any) -> None:
    one = daily(anna)
    switch(one, is_on=False)
    assert start_due(at("2026-12-05T06:01")) == []
    with time_machine.travel(at("2026-12-05T12:00"), tick=False):
        switch(one, is_on=True)
    assert one.next_at == at("2026-12-06T06:00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"period": "today"},
        {"period": "2026"},
        {"every": "hour"},
        {"hour": 24},
        {"name": ""},
        {"name": "x" * 61},
        {"format": "pdf"},
        {"query": "status=Nonsense"},
        {"is_masked": False},
        {"is_masked": False, "reason": "I am not allowed to"},
    ],
)
def test_what_cannot_be_scheduled_is_refused(anna: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(NotExportable):
        daily(anna, **wrong)
    assert not ExportSchedule.objects.exists()


def test_nobody_has_more_than_twenty_schedules(anna: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "SCHEDULES_AT_MOST", 1)
    daily(anna)
    with pytest.raises(NotExportable, match="delete one first"):
        daily(anna)
    daily(person_who_may("view_lead", "export_lead", name="berta"))
