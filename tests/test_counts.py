"""The counts of reports are what the leads and posts say, whatever happens to them."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import rollup
from intake.counts import Numbers
from intake.models import CountedZone, DayCount
from intake.replay import replay
from leadping.jobs.models import Job
from leadping.jobs.tasks import TASKS, Turn, enqueue
from leadping.jobs.worker import Loop, take
from leads.counts import Recount, count_again
from leads.models import Lead
from sources.models import Source
from tests.factories import Door, make_source, suppress
from tests.test_balance import busy
from tests.test_replay import map_cell, refused_post

__all__ = ["busy"]

By = DayCount.By


def test_a_day_is_counted_as_its_posts_and_leads_are_now(busy: Source) -> None:
    rollup.keep_now()
    row = DayCount.objects.get(source=busy, by=By.TOTAL, span="day")
    numbers = row.numbers
    assert (numbers.received, numbers.accounted) == (9, 9)
    assert (numbers.approved, numbers.blocked, numbers.rejected) == (2, 1, 1)
    assert (numbers.repeated, numbers.refused, numbers.tests, numbers.turned_away) == (1, 4, 1, 1)
    assert list(rollup.faults_of(busy.id, row.zone)) == []


@pytest.mark.parametrize(
    ("zone", "on", "hours", "longest"),
    [
        ("America/New_York", date(2026, 3, 8), 23, 1),
        ("America/New_York", date(2026, 11, 1), 24, 2),
        ("Asia/Kolkata", date(2026, 11, 1), 24, 1),
        ("Pacific/Apia", date(2011, 12, 30), 0, 0),
    ],
)
def test_an_hour_is_one_of_the_clock(zone: str, on: date, hours: int, longest: int) -> None:
    found = rollup.hours_of(on, ZoneInfo(zone))
    assert len(found) == hours
    lengths = [(one.ends - one.begins).total_seconds() / 3600 for one in found]
    assert max(lengths, default=0) == longest


@pytest.mark.parametrize("zone", ["America/New_York", "America/St_Johns", "Australia/Lord_Howe"])
@pytest.mark.parametrize("on", [date(2026, 3, 8), date(2026, 4, 5), date(2026, 10, 4)])
def test_a_moment_lies_in_the_hour_that_the_clock_shows(zone: str, on: date) -> None:
    for day in (on, on.replace(month=11, day=1)):
        hours = rollup.hours_of(day, ZoneInfo(zone))
        at = hours[0].begins
        while at < hours[-1].ends:
            (found,) = [one for one in hours if one.begins <= at < one.ends]
            there = at.astimezone(ZoneInfo(zone))
            assert (found.on, found.name) == (there.date(), f"{there:%H}")
            at += timedelta(minutes=10)


# --- when it is counted ---------------------------------------------------------------------------


def counted(source: Source, by: str = By.TOTAL, **more: Any) -> Numbers:
    """Return what is kept of all days of a source, in its zone."""
    sums = Numbers()
    for one in DayCount.objects.filter(source=source, zone=source.time_zone, by=by, **more):
        if one.span == "day":
            sums += one.numbers
    return sums


def faults(source: Source) -> list[str]:
    zones = CountedZone.objects.filter(source=source).values_list("zone", flat=True)
    return [fault for zone in zones for fault in rollup.faults_of(source.id, zone)]


def count_soon(after: timedelta = timedelta()) -> None:
    """Let a pass begin after a while."""
    rollup.keep(transaction.atomic, rollup.never, timezone.now() + after)


@pytest.mark.parametrize(
    ("late", "after", "expected"),
    [
        (timedelta(seconds=90), timedelta(), 1),
        (timedelta(seconds=150), timedelta(), 0),
        (timedelta(seconds=150), rollup.WIDENED_EVERY, 1),
        (timedelta(hours=25), timedelta(minutes=59), 0),
        (timedelta(hours=25), rollup.WIDENED_EVERY, 1),
    ],
)
def test_what_is_there_late_is_counted_by_the_next_pass_or_the_next_wide_one(
    door: Door, late: timedelta, after: timedelta, expected: int
) -> None:
    rollup.keep_now()
    with time_machine.travel(timezone.now() - late):
        door.send()
        refused_post(door)
    count_soon(after)
    assert counted(door.source).received == 2 * expected


def test_a_clock_that_was_wrong_for_a_while_hides_nothing_for_longer_than_a_wide_pass(
    door: Door,
) -> None:
    count_soon(timedelta(days=2))  # the worker's clock was ahead, and is set back
    with time_machine.travel(timezone.now() - timedelta(minutes=10)):
        door.send()
    count_soon()
    assert counted(door.source).received == 1


def test_a_post_of_the_future_is_counted_when_its_time_has_come(door: Door) -> None:
    with time_machine.travel(timezone.now() + timedelta(days=900)):
        door.send()
    with CaptureQueriesContext(connection) as queries:
        rollup.keep_now()
    assert len(queries) < 60  # and not all the days until then, each time
    assert counted(door.source).received == 0
    count_soon(timedelta(days=900))
    assert counted(door.source).received == 1


def test_a_pass_that_has_nothing_to_do_asks_little(
    door: Door, django_assert_num_queries: Any
) -> None:
    door.send()
    rollup.keep_now()
    at = timezone.now() + timedelta(minutes=5)
    rollup.keep(transaction.atomic, rollup.never, at)
    # Up to when it is counted, three times what came, the notes; and its end.
    with django_assert_num_queries(5 + 3):
        rollup.keep(transaction.atomic, rollup.never, at)


def test_a_source_that_is_deleted_in_between_is_left_out(db: None) -> None:
    gone = make_source()
    spans = [(gone.id, timezone.now(), timezone.now())]
    gone.delete()
    assert rollup.days_of(spans) == {}


def test_a_zone_that_is_taken_back_before_anything_was_counted_in_it_has_missed_nothing(
    door: Door,
) -> None:
    source, own = door.source, door.source.time_zone
    rollup.keep_now()
    for zone in ("Asia/Kolkata", own):
        Source.objects.filter(id=source.id).update(time_zone=zone)
        if zone != own:
            door.send()
            count_soon()  # and it is stopped before it comes to the days of long ago
    with time_machine.travel(timezone.now() + timedelta(minutes=10)):
        rollup.keep_now()
    assert counted(source).received == 1
    assert faults(source) == []


def test_the_counts_of_a_zone_go_with_it_and_come_with_another(door: Door) -> None:
    source = door.source
    with time_machine.travel(datetime(2026, 11, 1, 5, 30, tzinfo=UTC)):
        door.send()
    rollup.keep_now()
    source.time_zone = "Asia/Kolkata"
    source.save()
    rollup.keep_now()
    zones = set(DayCount.objects.values_list("zone", flat=True))
    assert zones == {"Asia/Kolkata", rollup.console_zone()}
    hours = DayCount.objects.filter(by=By.HOUR, span="day", zone="Asia/Kolkata")
    assert list(hours.values_list("on", "value")) == [(date(2026, 11, 1), "11")]
    assert faults(source) == []


def test_counting_all_days_goes_on_where_it_was_killed(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ago in range(5):
        with time_machine.travel(timezone.now() - timedelta(days=ago)):
            door.send(phone=f"512-555-010{ago}", email=...)
    Source.objects.update(time_zone=rollup.console_zone())
    monkeypatch.setattr(rollup, "DAYS_AT_ONCE", 2)
    steps = []

    @contextmanager
    def killed_in_the_third() -> Iterator[None]:
        with transaction.atomic():
            yield
            steps.append(1)
            if len(steps) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollup.complete(killed_in_the_third, rollup.never)
    row = CountedZone.objects.get()
    today = timezone.now().astimezone(ZoneInfo(row.zone)).date()
    assert (row.is_complete, row.counted_on) == (False, today - timedelta(days=1))
    again: list[list[date]] = []
    real = rollup.count

    def counting(source_id: Any, zone: Any, days: list[date]) -> Any:
        again.append(days)
        return real(source_id, zone, days)

    monkeypatch.setattr(rollup, "count", counting)
    assert rollup.complete(transaction.atomic, rollup.never)
    assert again == [[today]]
    assert CountedZone.objects.get().is_complete
    assert faults(door.source) == []
    assert rollup.complete(killed_in_the_third, rollup.never)  # there is nothing more


def test_a_pass_that_finds_nothing_new_for_long_still_holds_its_job(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would lose it each time, and never come to an end."""
    door.send()
    rollup.keep_now()
    monkeypatch.setattr(rollup, "HELD_SECONDS", 0)
    steps = []

    @contextmanager
    def step() -> Iterator[None]:
        with transaction.atomic():
            yield
        steps.append(1)

    rollup.keep(step, rollup.never)
    zones = {door.source.time_zone, rollup.console_zone()}
    assert len(steps) >= 1 + len(zones)


# --- proven and mended ----------------------------------------------------------------------------


def told(*words: str) -> str:
    said = io.StringIO()
    call_command("counts", *words, stdout=said, stderr=said)
    return said.getvalue()


@pytest.mark.parametrize("span", ["day", "month"])
@pytest.mark.parametrize("what", ["changed", "one too many", "missing", "of a day without any"])
def test_the_command_finds_what_is_wrong_and_mends_it(busy: Source, span: str, what: str) -> None:
    rollup.keep_now()
    assert "All counts are as the rows have them." in told("--check")
    rows = DayCount.objects.filter(span=span, by=By.HOUR)
    one = rows.first()
    assert one
    # What is wrong with a day is wrong with the sum of its month.
    if what == "changed":
        rows.filter(pk=one.pk).update(received=F("received") + 1)
    elif what == "missing":
        one.delete()
    else:
        one.pk = None
        one.value = "25"
        if what != "one too many":
            one.on = date(2020, 2, 1)
        one.save(force_insert=True)
    with pytest.raises(CommandError, match=f"{1 + (span == 'day')} counts are not"):
        told("--check")
    told("--now")
    told("--rebuild")
    assert "All counts are as the rows have them." in told("--check")


# --- what leaves a note ---------------------------------------------------------------------------


def notes_of(work: Callable[[], Any]) -> list[tuple[Any, datetime]]:
    """Return what notes are left by a change, and make sure that they go with it if it is undone.

    The change is made.
    """
    Recount.objects.all().delete()
    with transaction.atomic():
        work()
        assert Recount.objects.exists()
        transaction.set_rollback(True)
    assert not Recount.objects.exists()
    work()
    return list(Recount.objects.values_list("source", "received_at"))


def blocked_lead(door: Door) -> Lead:
    door.send(phone="512-155-0102", email=...)
    return Lead.objects.latest("received_at")


@pytest.mark.parametrize("what", ["release", "reject"])
def test_a_decision_and_its_undoing_leave_a_note(door: Door, what: str) -> None:
    lead = blocked_lead(door)
    note = [(lead.source_id, lead.received_at)]
    assert notes_of(lambda: getattr(fresh(lead), what)(None, "", "Looked")) == note
    assert notes_of(lambda: fresh(lead).undo(None)) == note


def fresh(lead: Lead) -> Lead:
    return Lead.objects.get(id=lead.id)


def test_a_suppression_leaves_a_note_for_each_lead_that_it_blocks(door: Door) -> None:
    other = Door(make_source(business=door.source.business))
    for one in (door, other):
        one.send()
    leads = Lead.objects.filter(compliance_status="Approved")
    expected = sorted(leads.values_list("source", "received_at"))
    assert len(expected) == 2
    found = notes_of(lambda: suppress("512-555-0137", door.source.business))
    assert sorted(found) == expected


def test_a_replay_leaves_a_note(door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    found = notes_of(lambda: replay(post.id, None, "Mended"))
    assert found == [(post.source_id, post.received_at)]


@pytest.mark.parametrize(
    ("task", "lost"), [("file-leads", {"found": ""}), ("put-on-desk", {"desk_tab": None})]
)
def test_a_lead_that_is_filed_later_leaves_a_note(
    door: Door, task: str, lost: dict[str, Any]
) -> None:
    lead = blocked_lead(door)

    def file() -> None:
        Lead.objects.update(**lost)
        TASKS[task].run(Turn(uuid4(), uuid4(), rollup.never, lambda turn: None))

    assert notes_of(file) == [(lead.source_id, lead.received_at)]


def test_a_post_leaves_no_note(busy: Source, door: Door) -> None:
    Recount.objects.all().delete()
    with CaptureQueriesContext(connection) as queries:
        door.send(phone="512-555-0188", email=...)
    assert not Recount.objects.exists()
    assert not any("count" in one["sql"] and "leads_recount" in one["sql"] for one in queries)
    assert not any("intake_daycount" in one["sql"] for one in queries)


def test_notes_that_have_piled_up_are_taken_in_a_few_steps(
    door: Door, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    door.send()
    rollup.keep_now()
    monkeypatch.setattr(rollup, "DELETED_AT_ONCE", 500)
    lead = Lead.objects.get()
    count_again([(lead.source_id, lead.received_at)] * 1200)
    with django_assert_max_num_queries(60):
        count_soon()
    assert not Recount.objects.exists()


# --- the job --------------------------------------------------------------------------------------


def test_the_jobs_of_counting_are_each_there_once_and_outlive_a_failure(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.send()
    Loop().run(is_once=True)  # which ends, though they are never done
    Source.objects.update(time_zone="Asia/Kolkata")
    kinds = ["complete-counts", "keep-counts"]
    jobs = Job.objects.filter(kind__in=kinds).order_by("kind")
    assert list(jobs.values_list("kind", "state")) == [(one, "waiting") for one in kinds]
    ids = set(jobs.values_list("id", flat=True))
    with monkeypatch.context() as broken:
        broken.setattr(rollup, "keep", fail)
        jobs.update(due_at=Now())
        Loop().run(is_once=True)
        assert "in fail, line" in jobs.get(kind="keep-counts").error
    door.send(phone="512-555-0199", email=...)
    Job.objects.update(created_at=timezone.now() - timedelta(days=1))
    jobs.update(due_at=Now())
    Loop().run(is_once=True)
    assert set(jobs.values_list("id", flat=True)) == ids
    assert set(jobs.values_list("state", "error")) == {("waiting", "")}
    source = Source.objects.get()
    assert counted(source).received == 2
    assert faults(source) == []


def fail(*given: Any) -> None:
    raise OSError


def test_counting_between_the_steps_of_a_long_job_keeps_the_hold_on_that(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.send()
    loop = Loop()
    enqueue("keep-counts", key="keep-counts")
    enqueue("complete-counts", key="complete-counts")
    long = take("me", Job.objects.get(kind="complete-counts").id)
    assert long
    assert long.lease
    ends = long.due_at = timezone.now() - timedelta(seconds=1)
    long.save(update_fields=["due_at"])
    with Turn(long.id, long.lease, rollup.never, loop.between_steps).step():
        Job.objects.filter(id=long.id).update(due_at=ends)
    assert counted(door.source).received == 1
    assert Job.objects.get(id=long.id).due_at > timezone.now()
    assert not Job.objects.get(kind="keep-counts").error


@pytest.mark.django_db(transaction=True)
def test_it_is_counted_outside_of_the_transaction_that_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SQLite has one writer at a time, and posts wait for it."""
    door = Door(make_source())
    door.send()
    is_read_only: list[bool] = []
    real = rollup.count_leads

    def counting(*given: Any) -> None:
        real(*given)
        raw = connection.connection
        if connection.vendor == "sqlite":
            is_read_only.append(bool(raw.execute("PRAGMA query_only").fetchone()[0]))
        else:
            with connection.cursor() as cursor:
                cursor.execute("SHOW transaction_read_only")
                is_read_only.append(cursor.fetchone()[0] == "on")

    monkeypatch.setattr(rollup, "count_leads", counting)
    rollup.keep_now()
    assert is_read_only
    assert all(is_read_only)
    assert counted(door.source).received == 1
