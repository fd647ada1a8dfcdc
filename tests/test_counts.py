"""The counts of reports are what the leads and posts say, whatever happens to them."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from intake import rollup
from intake.models import DayCount
from sources.models import Source
from tests.test_balance import busy

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
    lengths = [(end - begin).total_seconds() / 3600 for _, begin, end in found]
    assert max(lengths, default=0) == longest
