"""The first page: its numbers are those of the rows, and lead to exactly them."""

import html
import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from intake.models import Post
from leadping.console import charts
from leadping.console.figures import Figures, changes, figures
from leads.models import Lead
from sources.models import Source
from tests.factories import Door, make_source
from tests.test_admin import signed_in
from tests.test_desk import held, reviewer

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 11, 25, 12, tzinfo=NEW_YORK)


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def busy(db: None) -> Source:
    """Return a source with posts of every outcome today, a week ago at this time and after it."""
    source = make_source(is_trusted_form_required=True, duplicate_window_days=0)
    door = Door(source)
    test_door = Door(source, key=source.issue_key(is_test=True)[1])
    certificate = "https://cert.trustedform.com/" + "a" * 40
    number = 0
    for at, times in (
        (NOON - timedelta(hours=1), 2),
        (NOON - timedelta(days=7, hours=1), 1),
        (NOON - timedelta(days=7) + timedelta(hours=1), 3),
        (datetime(2026, 11, 25, 0, 0, tzinfo=NEW_YORK), 1),  # the first moment of today
        (datetime(2026, 11, 24, 23, 59, 59, tzinfo=NEW_YORK), 1),
    ):
        with time_machine.travel(at, tick=False):
            for _ in range(times):
                number += 1
                one = f"{certificate[:-3]}{number:03x}"
                person = {"phone": f"512-555-{number:04}", "email": ...}
                door.send(**person, trustedFormUrl=one, externalId=f"x{number}")
                door.send(**person, trustedFormUrl=one, externalId=f"x{number}")  # a repeat
                held(door, email=..., phone=f"713-555-{number:04}")
                held(door, email=..., phone=f"210-555-{number:04}").reject(None, "", "No")
                door.send(phone="12", email=...)  # refused
                test_door.send(**person)
    return source


def counted(busy: Source) -> Figures:
    with timezone.override(NEW_YORK):
        return figures(NOON)


def test_today_and_the_same_weekday_until_this_time_are_counted(busy: Source) -> None:
    found = counted(busy)
    each = {"approved", "blocked", "rejected", "refused", "repeated"}
    assert found.today.outcomes == dict.fromkeys(each, 3)
    assert found.today.received == 15
    assert found.then == dict.fromkeys(each, 1)
    by_day = {str(day.on): day.received for day in found.days if day.received}
    assert by_day == {"2026-11-18": 20, "2026-11-24": 5, "2026-11-25": 15}


def test_counting_takes_two_statements(busy: Source, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        counted(busy)


def test_each_number_leads_to_exactly_the_rows_that_it_counts(busy: Source) -> None:
    client = signed_in(is_superuser=True)
    with time_machine.travel(NOON, tick=False):
        page = client.get("/admin/").content.decode()
        found = re.findall(r'href="([^"]*tests=0[^"]*)">([\d,]+)</a>', page)
        assert len(found) >= 20
        for url, number in found:
            response = client.get(html.unescape(url))
            assert response.status_code == 200, url
            assert counted_on(response) == int(number), url
        reasons = re.findall(r'href="([^"]*held_for[^"]*)">.*?<span[^>]*>(\d+)</span>', page)
        assert reasons
        for url, number in reasons:
            response = client.get(html.unescape(url))
            assert counted_on(response) == int(number), url


def counted_on(response: Any) -> int:
    """Return how many rows a list says that it has, of leads or of posts."""
    totals = response.context.get("totals")
    return int(totals.rows if totals else response.context["cl"].result_count)


def test_a_reviewer_sees_the_queue_and_others_do_not(db: None) -> None:
    door = Door(make_source(is_trusted_form_required=True))
    rita = reviewer()
    assert "The desk is empty." in rita.get("/admin/").content.decode()
    held(door, 1)
    held(door, 2)
    page = rita.get("/admin/").content.decode()
    assert '<strong class="big">2</strong> leads wait for review' in page
    other = reviewer("ann", "Analyst").get("/admin/").content.decode()
    assert "wait for review" not in other
    assert "Keys that expire soon" not in other
    assert "/admin/intake/post/" not in other


def test_sources_that_fell_silent_and_keys_that_expire_are_named(db: None) -> None:
    quiet, gone, talking = (make_source(name=one) for one in ("Quiet", "Gone", "Talking"))
    now = timezone.now()
    for source, days in ((quiet, 2), (gone, 20), (talking, 0)):
        door = Door(source)
        with time_machine.travel(now - timedelta(days=days, hours=1)):
            door.send()
    talking.issue_key(label="soon", expires_at=now + timedelta(days=3))
    page = signed_in(is_superuser=True).get("/admin/").content.decode()
    silent = re.findall(r"<bdi>(\w+)</bdi></a> <span class=\"badge badge-bad\">silent", page)
    assert silent == ["Quiet"]
    assert "in 2 d" in page


def test_a_source_that_behaves_otherwise_is_told(db: None) -> None:
    from collections import Counter
    from uuid import uuid4

    ids = [uuid4() for _ in range(5)]
    by_source = {
        ids[0]: (Counter(approved=50, blocked=50), Counter(approved=90, blocked=10)),
        ids[1]: (Counter(approved=100), Counter(approved=500)),
        ids[2]: (Counter(approved=500), Counter(approved=100)),
        ids[3]: (Counter(approved=100, blocked=10), Counter(approved=110, blocked=9)),
        ids[4]: (Counter(approved=3), Counter(approved=9)),  # too few to tell
    }
    told = changes(Figures([], by_source=by_source))
    assert [(one.source, one.kind) for one in told] == [
        *((ids[0], "share"), (ids[1], "fewer"), (ids[2], "more")),
    ]
    assert told[0].told == "50% approved, 90% before"


def test_the_page_costs_the_same_however_much_there_is(
    busy: Source, django_assert_num_queries: Any
) -> None:
    client = signed_in(is_superuser=True)
    client.get("/admin/")
    with django_assert_num_queries(12):
        client.get("/admin/")
    for number in range(5):
        Door(make_source()).send(phone=f"512-555-09{number:02}")
    with django_assert_num_queries(12):
        client.get("/admin/")
    assert Post.objects.count() > Lead.objects.count()


@pytest.mark.parametrize(("number", "top"), [(0, 10), (10, 10), (11, 20), (23, 30), (450, 600)])
def test_a_chart_ends_at_a_round_number(number: int, top: int) -> None:
    assert charts.rounded_up(number) == top


def test_the_parts_of_a_bar_stand_on_each_other() -> None:
    chart = charts.stacked([("Mon", [("approved", 6), ("blocked", 4)]), ("Tue", [("approved", 0)])])
    lower, upper = chart.pieces
    assert lower.y + lower.height == pytest.approx(charts.HEIGHT - charts.BOTTOM)
    assert upper.y + upper.height == pytest.approx(lower.y, abs=0.2)
    assert upper.y == pytest.approx(charts.TOP, abs=0.2)
    assert lower.told == "Mon: 6 approved"
