"""Reports: their numbers are those of the rows, and lead to exactly them."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import authentication, refusals, rollup
from intake.models import CountedUntil, DayCount
from intake.reports import BREAKDOWNS, OF_SOURCES, OF_VALUES, Report, spans
from leadping.console import charts
from leadping.console.reports import against
from leads import scheduling
from leads.browse import Browse
from leads.exporting import ask, fetched
from leads.exports import KINDS, Export, NotExportable
from leads.models import Lead
from leads.serializers import price_text
from sources.models import Source, Vendor
from sources.rules import Mode, Rule
from tests.console_rows import client_of
from tests.factories import Door, make_business, make_key, make_source, suppress
from tests.test_admin import signed_in
from tests.test_export import person_who_may, rows_in, run

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
# Thursday after the clocks went back, Sunday the 1st at 2:00.
NOW = datetime(2026, 11, 5, 15, tzinfo=NEW_YORK)
TIMES = [
    datetime(2026, 10, 27, 9, tzinfo=NEW_YORK),  # of the week before
    datetime(2026, 10, 31, 23, 30, tzinfo=CHICAGO),  # in New York the next day
    datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK),
    datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1),  # the same by the clock
    datetime(2026, 11, 5, 0, 0, tzinfo=NEW_YORK),
]
NUMBER = re.compile(r'<a href="(/admin/(?:leads|intake)/[^"]*)"[^>]*>([\d,.]+)</a>')


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[list[UUID]]:
    """Yield the ids of `sources`, made once: each test changes them within a savepoint."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield [one.id for one in made_sources()]
        transaction.set_rollback(True)


@pytest.fixture
def sources(world: list[UUID], db: None) -> list[Source]:
    """Return three sources of two vendors and businesses with posts of every outcome, counted."""
    by_id = Source.objects.in_bulk(world)
    return [by_id[one] for one in world]


def made_sources() -> list[Source]:
    business = make_business()
    found = [
        make_source(duplicate_window_days=0, cost_per_lead="2"),
        make_source(duplicate_window_days=0, time_zone="America/Chicago"),
        make_source(business=business, duplicate_window_days=0, time_zone="America/Chicago"),
    ]
    Source.objects.filter(id=found[2].id).update(vendor=Vendor.objects.create(name="Two"))
    number = 0
    for source in found:
        source.set_mode(Rule.UNDERAGE, Mode.REJECT)
        authentication.forget()
        door, test_door = Door(source), Door(source, make_key(source, is_test=True)[1])
        for at in TIMES:
            with time_machine.travel(at, tick=False):
                number += 1
                phone = f"512-555-{number:04}"
                more = {"price": "12.5", "state": "TX", "product": "Solar", "subId": "a"}
                door.send(phone=phone, email=..., externalId=f"x{number}", **more)
                door.send(phone=phone, email=..., externalId=f"x{number}", **more)
                other = {"state": "Tejas, call me", "subId": "512-555-0199", "price": "3"}
                door.send(phone=f"713-555-{number:04}", email=..., **other)
                door.send(phone=f"512-155-{number:04}", email=...)  # held
                door.send(phone=f"210-155-{number:04}", email=..., product="Roof", price="1.25")
                door.send(phone=f"214-555-{number:04}", email=..., dateOfBirth="2020-01-01")
                door.post(b"{")
                test_door.send(phone=f"817-555-{number:04}", email=...)
                refusals.count("rate-limited", source.id, "", timezone.now())
                held = Lead.objects.filter(source=source, received_at=timezone.now())
                rejected = held.filter(product="Roof").get()
            with time_machine.travel(at.astimezone(UTC) + timedelta(hours=5), tick=False):
                rejected.reject(None, "", "No")
    refusals.write()
    with time_machine.travel(NOW, tick=False):
        rollup.keep_now()
    return found


def get(client: Client, query: str = "") -> Any:
    with time_machine.travel(NOW, tick=False):
        return client.get(f"/admin/reports/{query}")


def counted_by_list(client: Client, url: str) -> float:
    """Return how many rows the list of a URL has; of what is only counted, how many posts."""
    parts = urlsplit(url)
    query = QueryDict(parts.query)
    if parts.path.startswith("/admin/leads/lead/"):
        with timezone.override(NEW_YORK):
            browse = Browse(query.dict())
            assert browse.faults == []
            return float(sum(one.count() for one in browse.branches()))
    with time_machine.travel(NOW, tick=False):
        answer = client.get(url)
    assert answer.status_code == 200, url
    found: Any = answer.context_data["cl"]  # type: ignore[index]
    if "refusalcount" in parts.path:
        return float(sum(found.queryset.values_list("count", flat=True)))
    return float(found.result_count)


def summed_by_list(url: str) -> set[float]:
    """Return the sum of the prices of a list of leads, and of what they cost."""
    with timezone.override(NEW_YORK):
        browse = Browse(QueryDict(urlsplit(url).query).dict())
        rows = browse.rows_of([one.id for part in browse.branches() for one in part])
    costs = [one.price or one.source.cost_per_lead or 0 for one in rows]
    return {float(sum(one.price or 0 for one in rows)), float(sum(costs))}


@pytest.mark.parametrize("more", ["", "&source=1", "&source=1&zone=source", "&vendor=2"])
def test_every_number_leads_to_exactly_its_rows(sources: list[Source], more: str) -> None:
    more = more.replace("=1", f"={sources[1].id}").replace("=2", f"={sources[2].vendor_id}")
    client = signed_in(is_superuser=True)
    numbers: list[tuple[str, str]] = []
    for by in BREAKDOWNS:
        answer = get(client, f"?by={by}{more}")
        assert answer.status_code == 200
        found = NUMBER.findall(answer.content.decode())
        assert len(found) > 12
        numbers += found
    checked: dict[str, float] = {}
    for url, text in dict.fromkeys(numbers):
        url = html.unescape(url)
        number = float(text.replace(",", ""))
        if "." in text:
            assert number in summed_by_list(url), url
        else:
            if url not in checked:
                checked[url] = counted_by_list(client, url)
            assert checked[url] == number, url


def test_what_came_adds_up_and_the_days_before_are_as_many(sources: list[Source]) -> None:
    report = Report({}, NOW)
    assert (report.first, report.last) == (date(2026, 10, 30), date(2026, 11, 5))
    assert (report.before_first, report.before_last) == (date(2026, 10, 23), date(2026, 10, 29))
    one, before = report.total.numbers, report.total.before
    assert before
    assert (one.received, before.received) == (3 * 4 * 7, 3 * 7)
    assert one.received == one.accounted
    assert (one.approved, one.blocked, one.rejected) == (24, 12, 12)
    assert (one.repeated, one.refused, one.tests, one.turned_away) == (12, 24, 12, 12)
    assert (str(one.cost), str(one.cost_per_lead)) == ("186.0000", "7.75")
    assert one.approval_rate == 0.5
    assert (one.reviewed, one.reviewed_in_day) == (12, 12)
    assert one.review_time == timedelta(hours=5)
    by_day = {row.key: row.numbers.leads for row in report.rows() if row.numbers.leads}
    assert by_day == {"2026-11-01": 36, "2026-11-05": 12}
    for by in ("hour", "source", "vendor", "business", "sub_id", "state", "product"):
        rows = Report({"by": by}, NOW).rows()
        assert sum(row.numbers.approved for row in rows) == 24, by
        assert sum(row.numbers.approved_price for row in rows) == one.approved_price, by
        assert sum(row.numbers.reviewed for row in rows) == 12, by


def test_days_are_those_of_the_sources_if_they_share_a_zone(sources: list[Source]) -> None:
    chicago = Report({"source": str(sources[1].id), "zone": "source"}, NOW)
    by_day = {row.key: row.numbers.leads for row in chicago.rows() if row.numbers.leads}
    assert by_day == {"2026-10-31": 4, "2026-11-01": 8, "2026-11-04": 4}
    console = Report({"source": str(sources[1].id)}, NOW)
    by_day = {row.key: row.numbers.leads for row in console.rows() if row.numbers.leads}
    assert by_day == {"2026-11-01": 12, "2026-11-05": 4}
    both = Report({"zone": "source"}, NOW)
    assert both.faults == ["Days: these sources have no zone of their own in common."]
    assert both.zone == NEW_YORK
    said = get(signed_in(is_superuser=True), f"?source={sources[1].id}&zone=source")
    assert "days of America/Chicago" in said.content.decode()


def test_an_hour_that_the_clock_shows_twice_is_one_row(sources: list[Source]) -> None:
    rows = Report({"by": "hour", "from": "2026-11-01", "to": "2026-11-01"}, NOW).rows()
    assert {row.key: row.numbers.leads for row in rows if row.numbers.leads} == {"00": 12, "01": 24}


def test_values_that_may_name_a_person_are_dots_and_still_have_their_list(
    sources: list[Source],
) -> None:
    kept = set(DayCount.objects.filter(by__in=["state", "sub_id"]).values_list("value", flat=True))
    assert kept == {"", "TX", "a", "•••"}
    client = signed_in(is_superuser=True)
    for by in ("state", "sub_id"):
        text = get(client, f"?by={by}").content.decode()
        assert "Tejas" not in text
        assert "555-0199" not in text
        assert "•••" in text


def test_reasons_are_of_leads_held_posts_refused_and_posts_turned_away(
    sources: list[Source],
) -> None:
    found = {(one.kind, one.code): (one.count, one.before) for one in Report({}, NOW).reasons()}
    assert found == {
        ("held", "phone-invalid"): (24, 6),
        ("refused", "underage"): (12, 3),
        ("refused", "malformed-body"): (12, 3),
        ("turned away", "rate-limited"): (12, 3),
    }


def test_a_lead_let_out_again_after_a_look_back_is_among_those_reviewed(door: Door) -> None:
    door.send()
    entry = suppress("512-555-0137", door.source.business, kind="internal")
    entry.release(None, "A mistake.")
    lead = Lead.objects.get(source=door.source)
    lead.release(None, "", "The entry was a mistake.")
    rollup.keep_now()
    its = {"source": str(door.source.id)}
    assert Report(its).total.numbers.reviewed == 1
    assert [*Browse({**its, "reviewed": "1"}).branches()[0]] == [lead]
    assert not Browse({**its, "reviewed": "0"}).branches()[0].exists()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("by=colour", "there is no such choice"),
        ("sort=luck", "there is no such choice"),
        ("period=ever", "there is no such time"),
        ("from=2026-02-30&to=2026-03-01", "this is no date"),
        ("from=2026-03-02&to=2026-03-01", "the last one lies before the first"),
        ("from=0001-01-01&to=2026-03-01", "this is no date"),
        ("from=1990-01-01&to=2026-03-01", "ten years at most"),
        ("source=nobody", "there is none like this"),
        ("vendor=0192f1c2-0000-7000-8000-000000000000", "there is none like this"),
        ("zone=source", "no zone of their own in common"),
        ("zone=Mars/Olympus", "no zone of their own in common"),
        ("colour=red", "has no such choice"),
    ],
)
def test_a_choice_that_cannot_be_read_is_told_and_left_out(
    db: None, query: str, sentence: str
) -> None:
    make_source(time_zone="America/Chicago")
    make_source()
    client = signed_in(is_superuser=True)
    answer = get(client, f"?{query}&by=state" if "by=" not in query else f"?{query}")
    assert answer.status_code == 302
    said = get(client, "?" + urlsplit(answer["Location"]).query)
    assert said.status_code == 200
    assert sentence in said.content.decode()


def test_who_may_not_see_posts_sees_their_number_without_the_list(sources: list[Source]) -> None:
    client = client_of("Analyst")
    text = get(client).content.decode()
    assert "/admin/leads/lead/" in text
    assert "/admin/intake/" not in text.replace("/admin/intake/icon", "")
    assert "Received <strong>84</strong>" in text


def test_a_report_says_how_late_it_is(sources: list[Source]) -> None:
    client = signed_in(is_superuser=True)
    assert "no worker runs" not in get(client).content.decode()
    CountedUntil.objects.update(at=NOW - timedelta(minutes=5))
    text = get(client).content.decode()
    assert "5 min late" in text
    assert "no worker runs" in text
    new = make_source()
    assert "1 source of 4 is being counted for the first time" in get(client).content.decode()
    rollup.keep_now(NOW)
    assert "being counted" not in get(client).content.decode()
    CountedUntil.objects.all().delete()
    assert "Not counted yet" in get(client).content.decode()
    assert new.pk


def test_what_a_report_costs_is_known(sources: list[Source]) -> None:
    client = signed_in(is_superuser=True)
    get(client)
    costs = {}
    for by in BREAKDOWNS:
        with CaptureQueriesContext(connection) as week:
            get(client, f"?by={by}")
        # Days, months and days again, each a statement.
        with CaptureQueriesContext(connection) as year:
            get(client, f"?by={by}&from=2025-10-15&to=2026-11-05")
        costs[by] = (len(week), len(year))
    of_rows = dict.fromkeys(("hour", *OF_SOURCES, *OF_VALUES), (10, 18))
    assert costs == {"day": (8, 12), **of_rows, "reason": (14, 30)}


def test_a_report_that_takes_too_long_says_what_helps(sources: list[Source]) -> None:
    client = signed_in(is_superuser=True)

    def slow(execute: Any, sql: str, *rest: Any) -> Any:
        if "intake_daycount" in sql and "sub_id" in str(rest[0]):
            raise OperationalError from psycopg.errors.QueryCanceled()
        return execute(sql, *rest)

    with connection.execute_wrapper(slow):
        answer = get(client, f"?by=sub_id&source={sources[0].id}&period=30d")
    assert answer.status_code == 302
    assert answer["Location"] == f"/admin/reports/?source={sources[0].id}"
    assert "choose fewer days" in get(client).content.decode()


def test_long_times_are_summed_by_months(sources: list[Source]) -> None:
    short = Report({"from": "2026-10-15", "to": "2026-11-20"}, NOW)
    long = Report({"from": "2026-01-15", "to": "2026-11-20"}, NOW)
    assert (short.is_by_month, long.is_by_month) == (False, True)
    assert short.total.numbers == long.total.numbers
    rows = {row.key: row.numbers.leads for row in long.rows() if row.numbers.leads}
    assert rows == {"2026-10-01": 12, "2026-11-01": 48}
    assert long.rows()[0].key == "2026-01-15"


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-01-15", "2026-01-31", [("day", "2026-01-15", "2026-01-31")]),
        ("2026-01-01", "2026-01-31", [("month", "2026-01-01", "2026-01-31")]),
        ("2026-01-31", "2026-02-01", [("day", "2026-01-31", "2026-02-01")]),
        (
            "2026-01-31",
            "2026-03-01",
            [
                ("day", "2026-01-31", "2026-01-31"),
                ("month", "2026-02-01", "2026-02-28"),
                ("day", "2026-03-01", "2026-03-01"),
            ],
        ),
        ("2025-12-01", "2026-02-28", [("month", "2025-12-01", "2026-02-28")]),
    ],
)
def test_some_days_are_made_of_days_and_whole_months(
    first: str, last: str, expected: list[tuple[str, str, str]]
) -> None:
    found = spans(date.fromisoformat(first), date.fromisoformat(last), with_months=True)
    assert [(str(span), str(since), str(until)) for span, since, until in found] == expected


def test_a_change_is_told_by_its_share_or_its_points() -> None:
    assert against(110, 100) == ("+10.0%", "up")
    assert against(90, 100) == ("-10.0%", "down")
    assert against(100, 100) == ("+0.0%", "same")
    assert against(2000, 100) == ("20 times", "up")
    assert against(5, 0) == ("", "same")
    assert against(0.8, 0.75, is_share=True) == ("+5.0 points", "up")
    assert against(None, 0.75, is_share=True) == ("", "same")


def test_of_many_bars_some_are_named_the_last_among_them() -> None:
    chart = charts.stacked([(str(number), [("approved", 1)]) for number in range(90)])
    assert len(chart.pieces) == 90
    assert len(chart.labels) <= 16
    assert chart.labels[-1].text == "89"


def test_rows_are_ordered_by_a_column_if_asked(sources: list[Source]) -> None:
    rows = Report({"by": "product", "sort": "cost"}, NOW).rows()
    costs = [row.numbers.cost for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert [row.label for row in rows] == ["Solar", "(none)", "Roof"]


# --- as files -------------------------------------------------------------------------------------


def file_of(query: str, name: str) -> Export:
    """Return the export of a report that a worker has made."""
    user = person_who_may("view_lead", "export_lead", name=f"anna {query} {name}")
    with time_machine.travel(NOW, tick=False):
        asked = ask(user, "report", query, name)
        one = run(asked)
    assert (one.state, one.trouble) == ("done", "")
    return one


@pytest.mark.parametrize("name", ["csv", "ndjson", "xlsx", "parquet"])
def test_a_report_is_exported_as_its_page_tells_it(
    sources: list[Source], name: str, tmp_path: Path
) -> None:
    for by in BREAKDOWNS if name == "csv" else ("source", "state", "reason"):
        one = file_of(f"by={by}", name)
        report = Report({"by": by}, NOW)
        with time_machine.travel(NOW, tick=False):
            found = rows_in(one, tmp_path)
        if by == "reason":
            told = [(row["reason"], row["what"], row["count"]) for row in found]
            assert told == [(it.code, it.kind, str(it.count)) for it in report.reasons()]
            continue
        rows = report.rows()
        names = ("approved", "blocked", "rejected", "reviewed")
        assert [[row[name] for name in names] for row in found] == [
            [str(getattr(row.numbers, name)) for name in names] for row in rows
        ]
        assert [row["price"] for row in found] == [price_text(row.numbers.price) for row in rows]
        assert [row["leadsBefore"] for row in found] == [
            str(row.before.leads) if row.before else "" for row in rows
        ]
        if "received" in found[0]:
            for row in found:
                parts = ("approved", "blocked", "rejected", "repeated", "refused")
                assert int(row["received"]) == sum(int(row[part]) for part in parts)


def test_a_report_that_is_exported_stands_still_and_tells_its_balance(
    sources: list[Source],
) -> None:
    one = file_of("period=7d&by=state", "csv")
    assert one.query == "by=state&from=2026-10-30&to=2026-11-05"
    told = dict(KINDS["report"].told(one.query, one.by))
    balance = "received 84 = 24 approved + 12 blocked + 12 rejected + 12 repeated + 24 refused"
    assert told["Balance"] == balance
    with time_machine.travel(NOW, tick=False):
        text = b"".join(fetched(one, one.by)).decode()
    assert "TX" in text
    assert "Tejas" not in text


@pytest.mark.parametrize("query", ["by=luck", "source=nobody", "zone=source", "colour=red"])
def test_a_report_that_cannot_be_read_is_not_exported(db: None, query: str) -> None:
    make_source()
    user = person_who_may("view_lead", "export_lead")
    with pytest.raises(NotExportable):
        ask(user, "report", query, "csv")
    assert not Export.objects.exists()


def test_a_report_is_exported_again_and_again_of_another_time(sources: list[Source]) -> None:
    user = person_who_may("view_lead", "export_lead")
    with time_machine.travel(NOW, tick=False):
        one = scheduling.add(user, "Daily", "report", "by=source", "yesterday", "csv", "day", 6)
    with time_machine.travel(one.next_at + timedelta(minutes=1), tick=False):
        (made,) = scheduling.start_due(timezone.now())
    assert made.query == "by=source&from=2026-11-05&to=2026-11-05"
