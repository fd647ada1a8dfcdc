"""How often one may post, or be wrong, in a minute: contract §2, §9 `rate-limited`."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import refusals, store, throttling
from intake.models import Post, RateWindow, RefusalCount
from leads.models import Lead
from sources import keys
from sources.ids import uuid7
from tests.factories import Door, flat_post, make_key, make_source
from tests.test_order import locked_by_another

POLICY = re.compile(r'"([a-z-]+)";q=(\d+);w=60')
STATE = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')


def told(response: Any) -> tuple[str, int, int, int]:
    """Return what the answer says of the limit: name, quota, what is left, seconds to the end."""
    policy = POLICY.fullmatch(response.headers["RateLimit-Policy"])
    state = STATE.fullmatch(response.headers["RateLimit"])
    assert policy
    assert state
    assert policy[1] == state[1]
    return policy[1], int(policy[2]), int(state[2]), int(state[3])


def let_pass(milliseconds: int) -> None:
    """Move all windows into the past."""
    for window in RateWindow.objects.all():
        window.started_ms -= milliseconds
        window.save()


@pytest.fixture
def slow(db: None) -> Door:
    """Return the door of a source that may post three times a minute."""
    return Door(make_source(rate_per_minute=3))


def test_each_answer_tells_what_is_left(slow: Door) -> None:
    for left in (2, 1, 0):
        name, quota, remaining, seconds = told(slow.send())
        assert (name, quota, remaining) == ("posts", 3, left)
        assert 50 <= seconds <= 60


def test_one_post_more_than_allowed_is_429_until_the_window_ends(slow: Door) -> None:
    for _ in range(3):
        assert slow.send().status_code == 201
    let_pass(45_500)
    response = slow.send()
    assert response.status_code == 429
    assert response.headers["Leadping-Problem"] == "rate-limited"
    body = response.json()
    assert body["retryable"] is True
    assert 5 <= int(response.headers["Retry-After"]) <= 15
    assert told(response)[2:] == (0, int(response.headers["Retry-After"]))
    let_pass(14_500)
    assert told(slow.send())[2:] == (2, 60)
    assert Lead.objects.count() == Post.objects.filter(status=201).count()


def test_the_window_is_fixed_and_begins_with_its_first_post(slow: Door) -> None:
    slow.send()
    let_pass(50_000)
    _, _, left, seconds = told(slow.send())
    assert left == 1
    assert 1 <= seconds <= 10  # the second post does not prolong it
    let_pass(10_000)
    assert told(slow.send())[2:] == (2, 60)


def test_a_refused_post_changes_no_row(slow: Door) -> None:
    for _ in range(3):
        slow.send()
    before = RateWindow.objects.values().get()
    for _ in range(5):
        assert slow.send().status_code == 429
    assert RateWindow.objects.values().get() == before


def test_a_clock_that_was_set_back_ends_the_window(slow: Door) -> None:
    for _ in range(3):
        slow.send()
    let_pass(-3_600_000)
    assert told(slow.send())[2:] == (2, 60)


def test_repeats_and_refusals_count_and_others_posts_do_not(slow: Door) -> None:
    slow.send(externalId="x-1")
    slow.send(externalId="x-1")
    response = slow.post(b"x")
    assert (response.status_code, told(response)[2]) == (400, 0)
    assert slow.send().status_code == 429
    assert Door(make_source()).send().status_code == 201


def test_all_keys_of_a_source_share_its_allowance(slow: Door) -> None:
    others = [Door(slow.source, make_key(slow.source, is_test=test)[1]) for test in (True, False)]
    for door in (slow, *others):
        assert door.send().status_code == 201
    assert others[0].send().status_code == 429


def test_what_is_refused_before_the_credentials_does_not_count(slow: Door) -> None:
    for _ in range(5):
        assert slow.post(content_type="text/plain").status_code == 415
    assert told(slow.send())[2] == 2


def test_a_switched_off_source_is_limited_like_any_other(db: None) -> None:
    door = Door(make_source(is_enabled=False, rate_per_minute=1))
    assert [door.send().status_code for _ in range(2)] == [403, 429]


def test_a_source_has_300_posts_a_minute_unless_it_has_its_own(door: Door) -> None:
    assert told(door.send())[1] == 300


def test_the_limiter_is_one_statement_before_the_transaction(door: Door) -> None:
    door.send()
    with CaptureQueriesContext(connection) as queries:
        door.send()
    assert "intake_ratewindow" in queries[0]["sql"]
    assert "SAVEPOINT" in queries[1]["sql"]
    assert not any("intake_ratewindow" in one["sql"] for one in queries.captured_queries[1:])


def test_the_table_of_windows_is_unlogged_on_postgresql(db: None) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relpersistence FROM pg_class WHERE relname = 'intake_ratewindow'"
            )
            assert cursor.fetchone() == ("u",)


def test_the_loss_of_the_limiters_table_lets_posts_through_and_says_so(
    transactional_db: None, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    door = Door(make_source(rate_per_minute=1))
    rename = "ALTER TABLE {} RENAME TO {}"
    with connection.cursor() as cursor:
        cursor.execute(rename.format("intake_ratewindow", "lost"))
        try:
            responses = [door.send() for _ in range(3)]
            wrong = [door.post(headers={}) for _ in range(40)]
        finally:
            cursor.execute(rename.format("lost", "intake_ratewindow"))
    assert [one.status_code for one in responses] == [201] * 3
    assert "RateLimit" not in responses[0].headers
    assert {one.status_code for one in wrong} == {401}
    said = [one for one in log_lines() if one["event"] == "limiter.unavailable"]
    assert [one["policy"] for one in said[:4]] == ["posts"] * 3 + ["failed-logins"]
    assert {one["level"] for one in said} == {"error"}
    assert [door.send().status_code for _ in range(2)] == [201, 429]


def test_a_limiter_that_cannot_be_had_in_time_lets_posts_through(
    transactional_db: None, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """On SQLite what is locked is the whole database: tests/test_order.py."""
    door = Door(make_source(rate_per_minute=1))
    if connection.vendor == "postgresql":
        with locked_by_another(RateWindow):
            assert [door.send().status_code for _ in range(2)] == [201, 201]
        assert "limiter.unavailable" in [one["event"] for one in log_lines()]
    assert [door.send().status_code for _ in range(2)] == [201, 429]


# --- failed logins ------------------------------------------------------------------------------


def wrong_login(address: str) -> Any:
    """Post without credentials from an address."""
    return Client().post("/leads/intake", "{}", "application/json", REMOTE_ADDR=address)


def fail(address: str, times: int = 1) -> list[int]:
    """Log in wrongly and return the statuses."""
    return [wrong_login(address).status_code for _ in range(times)]


def test_the_31st_failed_login_of_an_address_in_a_minute_is_429(door: Door) -> None:
    assert fail("203.0.113.9", 30) == [401] * 30
    response = wrong_login("203.0.113.9")
    assert response.status_code == 429
    assert told(response)[:3] == ("failed-logins", 30, 0)
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert fail("203.0.113.10") == [401]
    let_pass(60_000)
    assert fail("203.0.113.9") == [401]


def test_a_right_key_is_never_refused_for_others_failures(door: Door) -> None:
    fail("203.0.113.9", 31)
    assert door.post(REMOTE_ADDR="203.0.113.9").status_code == 201
    assert fail("203.0.113.9") == [429]


def test_a_wrong_key_of_a_known_source_counts_like_any_other(door: Door) -> None:
    fail("203.0.113.9", 29)
    wrong = door.credentials | {"X-Leadping-Source-Key": keys.mint()}
    statuses = [door.post(headers=wrong, REMOTE_ADDR="203.0.113.9").status_code for _ in range(2)]
    assert statuses == [401, 429]


def test_an_ipv6_address_counts_as_its_network(db: None) -> None:
    assert throttling.network_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::"
    assert throttling.network_of("203.0.113.9") == "203.0.113.9"
    assert throttling.network_of("") == ""
    fail("2001:db8:1:2::1", 30)
    assert fail("2001:db8:1:2::2") == [429]
    assert fail("2001:db8:1:3::1") == [401]


# --- what is only counted -----------------------------------------------------------------------


def counted() -> dict[tuple[str, str], int]:
    """Return the counts that are written, by code and whose they are."""
    return {
        (one.code, one.source.name if one.source else one.address): one.count
        for one in RefusalCount.objects.select_related("source")
    }


def test_401_and_429_are_counted_in_batches_and_not_kept(slow: Door) -> None:
    for _ in range(5):
        slow.send()
    fail("203.0.113.9", 32)
    fail("203.0.113.10", 1)
    with CaptureQueriesContext(connection) as queries:
        refusals.write()
    expected = {
        ("rate-limited", slow.source.name): 2,
        ("invalid-credentials", "203.0.113.9"): 30,
        ("rate-limited", "203.0.113.9"): 2,
        ("invalid-credentials", "203.0.113.10"): 1,
    }
    assert counted() == expected
    assert len([one for one in queries if "INSERT" in one["sql"]]) == len(expected)
    assert Post.objects.filter(status__in=(401, 429)).count() == 0

    slow.send()  # a later batch, or another process, adds to the same rows
    fail("203.0.113.10", 1)
    refusals.write()
    refusals.write()
    expected[("rate-limited", slow.source.name)] = 3
    expected[("invalid-credentials", "203.0.113.10")] = 2
    minutes = {one.minute for one in RefusalCount.objects.all()}
    if len(minutes) == 1:  # else the minute has just turned
        assert counted() == expected
    assert {(at.second, at.microsecond) for at in minutes} == {(0, 0)}


def test_what_cannot_be_written_is_counted_on(
    db: None, monkeypatch: pytest.MonkeyPatch, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def away(*args: object) -> None:
        raise OperationalError

    fail("203.0.113.9", 2)
    with monkeypatch.context() as patch:
        patch.setattr(store, "add_refusals", away)
        refusals.write()
    assert RefusalCount.objects.count() == 0
    assert [one["event"] for one in log_lines()][-1] == "refusals.not_written"
    fail("203.0.113.9", 1)
    refusals.write()
    assert sum(counted().values()) == 3


def test_a_count_of_a_source_that_is_gone_does_not_stop_the_others(
    transactional_db: None,
) -> None:
    refusals.count("rate-limited", uuid7(), "", timezone.now())
    refusals.write()
    refusals.count("invalid-credentials", None, "203.0.113.9", timezone.now())
    refusals.write()
    assert counted() == {("invalid-credentials", "203.0.113.9"): 1}


def test_many_addresses_do_not_fill_the_memory(db: None) -> None:
    now = timezone.now()
    for number in range(refusals.MAX_KINDS + 50):
        refusals.count("invalid-credentials", None, f"10.0.{number // 256}.{number % 256}", now)
    refusals.write()
    assert counted()[("invalid-credentials", "")] == 50
    assert sum(counted().values()) == refusals.MAX_KINDS + 50


def test_counts_are_written_by_themselves(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "WRITTEN_EVERY_SECONDS", 0.05)
    fail("203.0.113.9", 2)
    give_up_at = time.monotonic() + 10
    while sum(counted().values()) < 2 and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert counted() == {("invalid-credentials", "203.0.113.9"): 2}


def test_a_full_allowance_says_nothing_of_what_was_sent(slow: Door) -> None:
    for _ in range(3):
        slow.send()
    response = slow.post(flat_post(firstName="secret"), HTTP_USER_AGENT=quote("secret"))
    assert "secret" not in response.content.decode()
    assert response.json()["instance"] == "/leads/intake"
