"""Daily and monthly caps: what they count, when their periods begin, what the vendor sees."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from leads import caps
from leads.caps import CapCounter, periods_of
from leads.models import Lead
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_key, make_source
from tests.test_compliance import codes_of, status_of

NOON = datetime(2026, 11, 25, 18, 0, tzinfo=UTC)  # in Chicago


@pytest.fixture
def clock() -> Iterator[Any]:
    """Yield a clock that stands at noon, until it is moved."""
    with time_machine.travel(NOON, tick=False) as travel:
        yield travel


def capped(**settings: Any) -> Door:
    given: dict[str, Any] = {"time_zone": "America/Chicago", "daily_cap": 2} | settings
    return Door(make_source(**given))


def send(door: Door, number: int, **members: Any) -> Any:
    """Post a person of their own."""
    return door.send(phone=f"512-555-01{number:02}", email=f"p{number}@example.com", **members)


def statuses(door: Door, numbers: range, **members: Any) -> list[str]:
    return [status_of(send(door, number, **members)) for number in numbers]


def used(source: Source) -> dict[str, int]:
    source.refresh_from_db()
    rows = CapCounter.objects.filter(source=source, version=source.counters_version)
    return dict(rows.values_list("period", "used"))


# --- what counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cap", ["daily_cap", "monthly_cap"])
def test_the_last_lead_of_a_cap_is_approved_and_the_next_is_not(db: None, cap: str) -> None:
    door = capped(**{"daily_cap": None, cap: 3})
    assert statuses(door, range(5)) == ["Approved"] * 3 + ["Blocked"] * 2
    last = send(door, 9)
    assert codes_of(last) == ["over-cap"]
    assert last.json()["metadata"]["complianceBlockedReason"] == "The cap of the source is used up."
    assert list(used(door.source).values()) == [3]


def test_both_caps_hold_and_neither_counts_what_the_other_stops(db: None, clock: Any) -> None:
    door = capped(daily_cap=2, monthly_cap=3)
    assert statuses(door, range(3)) == ["Approved", "Approved", "Blocked"]
    clock.shift(timedelta(days=1))
    assert statuses(door, range(10, 13)) == ["Approved", "Blocked", "Blocked"]
    assert used(door.source) == {"2026-11-25": 2, "2026-11-26": 1, "2026-11": 3}


def test_a_blocked_lead_a_repeat_and_a_test_use_nothing(db: None) -> None:
    door = capped(daily_cap=1)
    assert status_of(send(door, 1, dateOfBirth="2020-01-01")) == "Blocked"
    test_door = Door(door.source, make_key(door.source, is_test=True)[1])
    assert status_of(send(test_door, 2)) == "Approved"
    CapCounter.objects.all().delete()  # nor when a counter is begun
    assert status_of(send(door, 3, externalId="x-1")) == "Approved"
    assert status_of(send(door, 3, externalId="x-1")) == "Approved"
    assert list(used(door.source).values()) == [1]
    assert codes_of(send(test_door, 4)) == ["over-cap"]  # judged like any other


def test_a_refused_post_uses_nothing(db: None) -> None:
    door = capped(daily_cap=1, modes={Rule.UNDERAGE: Mode.REJECT})
    assert send(door, 1, dateOfBirth="2020-01-01").status_code == 422
    assert statuses(door, range(2, 4)) == ["Approved", "Blocked"]


def test_a_refusing_cap_refuses(db: None) -> None:
    door = capped(daily_cap=1, modes={Rule.OVER_CAP: Mode.REJECT})
    send(door, 1)
    response = send(door, 2)
    assert (response.status_code, response.headers["Leadping-Problem"]) == (422, "over-cap")
    assert list(used(door.source).values()) == [1]


@pytest.mark.parametrize(("mode", "codes"), [(Mode.FLAG, ["over-cap"]), (Mode.OFF, [])])
def test_a_cap_that_does_not_block_goes_on_counting(db: None, mode: Mode, codes: list[str]) -> None:
    door = capped(daily_cap=1, modes={Rule.OVER_CAP: mode})
    send(door, 1)
    response = send(door, 2)
    assert (status_of(response), codes_of(response)) == ("Approved", codes)
    assert list(used(door.source).values()) == [2]
    door.source.set_mode(Rule.OVER_CAP, Mode.HOLD)
    assert status_of(send(Door(door.source, door.key), 3)) == "Blocked"


def test_a_count_never_goes_down(db: None) -> None:
    door = capped(daily_cap=1)
    send(door, 1)
    Lead.objects.update(compliance_status="Rejected", compliance_blocked_reason="Some reason.")
    assert status_of(send(door, 2)) == "Blocked"


# --- a cap that is set or changed in the middle of its period ----------------------------------


def test_a_cap_that_is_set_today_counts_what_came_today(db: None, clock: Any) -> None:
    door = capped(daily_cap=None)
    assert statuses(door, range(3)) == ["Approved"] * 3
    clock.shift(timedelta(hours=13))  # tomorrow
    assert statuses(door, range(10, 12)) == ["Approved"] * 2
    source = door.source
    source.daily_cap, source.monthly_cap = 3, 6
    source.save()
    door = Door(source)
    assert statuses(door, range(20, 22)) == ["Approved", "Blocked"]
    assert used(source) == {"2026-11-26": 3, "2026-11": 6}


def test_a_cap_that_was_off_for_a_while_counts_that_too(db: None) -> None:
    source = capped(daily_cap=2).source
    for cap, numbers, expected in (
        (2, range(0, 1), ["Approved"]),
        (None, range(1, 4), ["Approved"] * 3),
        (5, range(4, 6), ["Approved", "Blocked"]),
        (6, range(6, 8), ["Approved", "Blocked"]),
        (4, range(8, 9), ["Blocked"]),
    ):
        source.daily_cap = cap
        source.save(update_fields=["daily_cap"])
        assert statuses(Door(source), numbers) == expected
    assert list(used(source).values()) == [6]


def test_an_old_copy_of_a_source_does_not_bring_old_counters_back(db: None) -> None:
    source = capped(daily_cap=3).source
    assert statuses(Door(source), range(1)) == ["Approved"]
    source.daily_cap = None
    source.save()
    assert statuses(Door(source), range(1, 5)) == ["Approved"] * 4
    stale = Source.objects.get(id=source.id)
    source.daily_cap = 3
    source.save()
    stale.daily_cap, stale.name = 3, "New name"
    stale.save()
    assert status_of(send(Door(source), 9)) == "Blocked"


@pytest.mark.parametrize("cap", ["daily_cap", "monthly_cap"])
def test_either_cap_counts_what_came_while_it_was_off(db: None, cap: str) -> None:
    source = capped(**{"daily_cap": None, cap: 3}).source
    for value, numbers, expected in (
        (3, range(1), ["Approved"]),
        (None, range(1, 3), ["Approved"] * 2),
        (3, range(3, 4), ["Blocked"]),
    ):
        setattr(source, cap, value)
        source.save()
        assert statuses(Door(source), numbers) == expected


def test_a_cap_that_is_set_today_counts_each_lead_released_today_once(db: None, clock: Any) -> None:
    source = capped(daily_cap=None, is_approved=False).source
    statuses(Door(source), range(3))
    clock.shift(timedelta(days=1))
    first, second, _ = Lead.objects.order_by("id")
    for lead in (first, second):
        lead.release(None, "", "Looked at it")
    first.undo(None)
    first.release(None, "", "Once more")
    clock.shift(timedelta(days=1))
    source.daily_cap = 5
    source.save()
    (today,) = periods_of(source, NOON + timedelta(days=2))
    (yesterday,) = periods_of(source, NOON + timedelta(days=1))
    assert caps.approved_in(source, yesterday.starts_at, yesterday.ends_at) == 2
    assert caps.approved_in(source, today.starts_at, today.ends_at) == 0


def test_a_cap_below_what_is_used_leaves_nothing_and_not_less(db: None) -> None:
    door = capped(daily_cap=3)
    statuses(door, range(3))
    door.source.daily_cap = 1
    door.source.save()
    assert '"daily-cap";r=0;' in send(Door(door.source), 9).headers["RateLimit"]


def test_the_last_moment_of_a_day_is_told_as_a_second(db: None, clock: Any) -> None:
    clock.move_to(datetime(2026, 11, 26, 5, 59, 59, 999000, tzinfo=UTC))
    assert send(capped(), 1).headers["RateLimit"].endswith('"daily-cap";r=1;t=1')


def test_days_are_counted_anew_when_they_begin_elsewhere(db: None, clock: Any) -> None:
    clock.move_to(datetime(2026, 11, 26, 2, 0, tzinfo=UTC))  # the 25th in Chicago, not in UTC
    door = capped(daily_cap=2)
    assert statuses(door, range(2)) == ["Approved"] * 2
    clock.shift(timedelta(hours=5))  # now the 26th in Chicago too
    assert status_of(send(door, 2)) == "Approved"
    door.source.time_zone = "UTC"
    door.source.save()
    assert status_of(send(Door(door.source), 3)) == "Blocked"  # three of the 26th, by UTC


# --- the calendar of the source -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("America/Chicago", "2026-11-26T05:59:59.999", "2026-11-26T06:00:00.000"),
        ("UTC", "2026-11-25T23:59:59.999", "2026-11-26T00:00:00.000"),
        ("Pacific/Kiritimati", "2026-11-25T09:59:59.999", "2026-11-25T10:00:00.000"),
        # the days on which the clocks change
        ("America/New_York", "2026-03-08T04:59:59.999", "2026-03-08T05:00:00.000"),
        ("America/New_York", "2026-03-09T03:59:59.999", "2026-03-09T04:00:00.000"),
        ("America/New_York", "2026-11-01T03:59:59.999", "2026-11-01T04:00:00.000"),
        ("America/New_York", "2026-11-02T04:59:59.999", "2026-11-02T05:00:00.000"),
        # where they change at midnight: that day begins at one
        ("America/Havana", "2026-03-08T04:59:59.999", "2026-03-08T05:00:00.000"),
    ],
)
def test_a_day_ends_at_midnight_in_the_zone_of_the_source(
    db: None, clock: Any, zone: str, before: str, after: str
) -> None:
    door = capped(daily_cap=1, time_zone=zone)
    clock.move_to(datetime.fromisoformat(f"{before}Z"))
    assert statuses(door, range(2)) == ["Approved", "Blocked"]
    clock.move_to(datetime.fromisoformat(f"{after}Z"))
    assert statuses(door, range(2, 4)) == ["Approved", "Blocked"]


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("America/New_York", "2026-11-25T18:00Z", 24),
        ("America/New_York", "2026-03-08T18:00Z", 23),
        ("America/New_York", "2026-11-01T18:00Z", 25),
        ("Pacific/Pago_Pago", "2026-03-08T18:00Z", 24),
    ],
)
def test_a_day_has_as_many_hours_as_the_clocks_give_it(
    db: None, zone: str, at: str, hours: int
) -> None:
    (day,) = periods_of(make_source(daily_cap=1, time_zone=zone), datetime.fromisoformat(at))
    assert day.ends_at - day.starts_at == timedelta(hours=hours)


def test_a_month_ends_at_midnight_too(db: None, clock: Any) -> None:
    clock.move_to(datetime(2027, 1, 1, 5, 59, 59, tzinfo=UTC))
    door = capped(daily_cap=None, monthly_cap=1)
    assert statuses(door, range(2)) == ["Approved", "Blocked"]
    clock.shift(timedelta(seconds=1))
    assert statuses(door, range(2, 4)) == ["Approved", "Blocked"]
    assert used(door.source) == {"2026-12": 1, "2027-01": 1}


def test_a_day_does_not_count_what_the_month_turns_away(db: None) -> None:
    """As when another post takes the month's last place between the look and the count."""
    source = make_source(daily_cap=9, monthly_cap=1)
    day, month = periods_of(source, NOON)
    for period in (day, month):
        caps.begin(source, period)
    assert caps.take(source, [day, month], is_limited=True) is None
    assert caps.take(source, [day, month], is_limited=True) == month
    assert used(source) == {"2026-11-25": 1, "2026-11": 1}


def test_a_counter_is_made_once_however_often_it_is_begun(db: None) -> None:
    source = make_source(daily_cap=9)
    (day,) = periods_of(source, NOON)
    assert [caps.begin(source, day) for _ in range(2)] == [0, 0]
    assert caps.take(source, [day], is_limited=True) is None
    assert caps.begin(source, day) == 1


# --- what the vendor sees -------------------------------------------------------------------------


def test_each_answer_tells_what_is_left_of_the_caps(db: None, clock: Any) -> None:
    door = capped(daily_cap=2, monthly_cap=100)
    day, month = 12 * 3600, (5 * 24 + 12) * 3600
    for number, (left_today, left) in enumerate([(1, 99), (0, 98), (0, 98)]):
        response = send(door, number, externalId="x-9" if number == 0 else ...)
        assert response.headers["RateLimit-Policy"] == (
            '"posts";q=300;w=60, "daily-cap";q=2;w=86400, "monthly-cap";q=100;w=2595600'
        )
        posts, *rest = response.headers["RateLimit"].split(", ")
        assert posts.startswith('"posts";r=')
        assert rest == [
            f'"daily-cap";r={left_today};t={day}',
            f'"monthly-cap";r={left};t={month}',
        ]
    again = send(door, 0, externalId="x-9")
    assert again.headers["RateLimit"].endswith(f'"monthly-cap";r=98;t={month}')


def test_a_repeat_is_told_what_is_left_also_as_the_first_post_of_a_day(
    db: None, clock: Any
) -> None:
    door = capped(daily_cap=5, monthly_cap=9)
    send(door, 1, externalId="x-1")
    clock.shift(timedelta(days=1))
    limits = send(door, 1, externalId="x-1").headers["RateLimit"]
    assert '"daily-cap";r=5' in limits
    assert '"monthly-cap";r=8' in limits
    assert set(used(door.source)) == {"2026-11-25", "2026-11"}  # nothing was begun for it


@pytest.mark.parametrize("mode", [Mode.FLAG, Mode.OFF])
def test_a_cap_that_does_not_block_is_not_told(db: None, mode: Mode) -> None:
    response = send(capped(modes={Rule.OVER_CAP: mode}), 1)
    assert "cap" not in response.headers["RateLimit"] + response.headers["RateLimit-Policy"]


def test_a_source_without_a_cap_has_no_counter(door: Door) -> None:
    assert "cap" not in door.send().headers["RateLimit"]
    assert not CapCounter.objects.exists()
