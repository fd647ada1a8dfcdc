"""Moments and days as lists are asked for them: in the console's zone, midnights and all."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo

from django.utils import timezone

from leads import caps

YEARS = range(1970, 9000)
LAST_HOUR = 23
# Times that move with today, by their name in a URL.
PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "month": "This month",
    "last-month": "Last month",
}


def midnight(on: date) -> datetime:
    """Return when a day begins in the console's zone."""
    return caps.midnight(on, timezone.get_current_timezone())


def bound(text: str, *, is_end: bool = False) -> datetime:
    """Return the moment that a URL names; a date is its midnight, or as an end that after it.

    Raises ValueError for what is no moment, or none that can be told in every zone.
    """
    try:
        if len(text) == len("2026-11-25"):
            on = date.fromisoformat(text)
            at = midnight(on + timedelta(days=1) if is_end else on)
        else:
            at = datetime.fromisoformat(text)
    except OverflowError:
        raise ValueError(text) from None
    if at.year not in YEARS:
        raise ValueError(text)
    return at if at.tzinfo else at.replace(tzinfo=timezone.get_current_timezone())


def days_of(period: str, today: date) -> tuple[date, date]:
    """Return the first and the last day of one of PERIODS."""
    first_of_month = today.replace(day=1)
    if period == "yesterday":
        return today - timedelta(days=1), today - timedelta(days=1)
    if period == "month":
        return first_of_month, today
    if period == "last-month":
        last = first_of_month - timedelta(days=1)
        return last.replace(day=1), last
    back = {"today": 0, "7d": 6, "30d": 29}[period]
    return today - timedelta(days=back), today


def hours_between(
    hour: int, zone: tzinfo, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """Return when an hour of the clock begins and ends, on each day of some time, cut to that.

    An hour that the clock shows twice in a night is one of twice the length.
    """
    on, last = (one.astimezone(zone).date() for one in (since, until))
    found = []
    while on <= last:
        is_last = hour == LAST_HOUR
        begin = caps.midnight(on, zone, hour)
        after = on + timedelta(days=1)
        end = caps.midnight(after, zone) if is_last else caps.midnight(on, zone, hour + 1)
        begin, end = max(begin, since), min(end, until)
        if begin < end:
            found.append((begin, end))
        on = after
    return found
