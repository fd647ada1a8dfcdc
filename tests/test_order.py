"""The order of decisions and the table of problems, row by row: contract §8, §9."""

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings as project_settings
from django.db import connection
from django.db.models import Model
from django.test import Client

from intake import authentication
from intake.models import Post
from intake.problems import PROBLEM_TYPES
from leads.models import Lead
from sources import keys
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, flat_post, make_key, make_source, make_tombstone


class Attempt:
    """One post that is about to be sent, for faults to be put into."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.door = Door(source)
        self.method = "POST"
        self.headers: dict[str, str] = dict(self.door.credentials)
        self.members: dict[str, Any] = flat_post()
        self.body: bytes | None = None
        self.padding = b""
        self.meta: dict[str, Any] = {}
        self.content_type = "application/json"

    def send(self) -> Any:
        """Send it and return the answer."""
        body = json.dumps(self.members).encode() if self.body is None else self.body
        return Client().generic(
            self.method,
            "/leads/intake",
            body + self.padding,
            content_type=self.content_type,
            headers=self.headers,
            **self.meta,
        )


# --- the faults, in the published order -----------------------------------------------------------


def is_too_large(one: Attempt) -> None:
    one.padding = b" " * 65536


def is_of_unknown_length(one: Attempt) -> None:
    one.meta["HTTP_TRANSFER_ENCODING"] = "chunked"


def has_another_method(one: Attempt) -> None:
    one.method = "PUT"


def has_another_media_type(one: Attempt) -> None:
    one.content_type = "text/plain"


def is_encoded(one: Attempt) -> None:
    one.meta["HTTP_CONTENT_ENCODING"] = "gzip"


def has_a_wrong_key(one: Attempt) -> None:
    one.headers["X-Leadping-Source-Key"] = keys.mint()


def is_one_too_many(one: Attempt) -> None:
    assert one.door.send(phone="512-555-0199").status_code in (201, 403)
    one.source.rate_per_minute = 1
    one.source.save()
    authentication.forget()  # within a second it would do so itself


def is_of_a_disabled_source(one: Attempt) -> None:
    one.source.is_enabled = False
    one.source.save()


def has_an_odd_idempotency_key(one: Attempt) -> None:
    one.headers["Idempotency-Key"] = "no spaces please"


def is_malformed(one: Attempt) -> None:
    one.body = b"x"


def is_invalid(one: Attempt) -> None:
    one.members["zip"] = "1"


def reuses_a_key(one: Attempt) -> None:
    one.headers["Idempotency-Key"] = "k-1"
    headers = one.door.credentials | {"Idempotency-Key": "k-1"}
    assert one.door.post({"email": "other@example.com"}, headers=headers).status_code == 201


def has_anothers_external_id(one: Attempt) -> None:
    one.members["externalId"] = "x-1"
    assert one.door.post({"email": "eve@example.com", "externalId": "x-1"}).status_code == 201


def is_of_an_erased_lead(one: Attempt) -> None:
    one.members["externalId"] = "x-2"
    assert one.door.send(externalId="x-2").status_code == 201
    make_tombstone(Lead.objects.get(external_id="x-2"))


def is_rejected(one: Attempt) -> None:
    one.source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    one.members["dateOfBirth"] = "2020-01-01"


FAULTS: list[tuple[Callable[[Attempt], None], int, str]] = [
    (is_of_unknown_length, 411, "length-required"),
    (is_too_large, 413, "body-too-large"),
    (has_another_method, 405, "method-not-allowed"),
    (is_encoded, 415, "unsupported-media-type"),
    (has_another_media_type, 415, "unsupported-media-type"),
    (has_a_wrong_key, 401, "invalid-credentials"),
    (is_one_too_many, 429, "rate-limited"),
    (is_of_a_disabled_source, 403, "source-disabled"),
    (has_an_odd_idempotency_key, 400, "invalid-lead"),
    (is_malformed, 400, "malformed-body"),
    (is_invalid, 400, "invalid-lead"),
    (reuses_a_key, 422, "idempotency-key-reused"),
    (has_anothers_external_id, 409, "external-id-conflict"),
    (is_of_an_erased_lead, 410, "lead-erased"),
    (is_rejected, 422, "underage"),
]
# Two that cannot be had at once: one external id, one key, one body.
APART = [
    {has_anothers_external_id, is_of_an_erased_lead},
    {has_an_odd_idempotency_key, reuses_a_key},
]
PAIRS = [
    pair for pair in itertools.combinations(FAULTS, 2) if {pair[0][0], pair[1][0]} not in APART
]
# In which a fault is put: what makes other posts first, then what stops posts at all.
LAST = (is_of_a_disabled_source, is_one_too_many)
KEPT_WHOLE = {400, 409, 410, 415, 422}


def put(one: Attempt, faults: list[Callable[[Attempt], None]]) -> None:
    """Put faults into a post."""
    for fault in sorted(faults, key=lambda fault: fault in LAST):
        fault(one)


@pytest.mark.parametrize(
    ("fault", "status", "code"), FAULTS, ids=lambda one: getattr(one, "__name__", None)
)
def test_each_fault_has_its_answer_and_what_is_kept(
    db: None, fault: Callable[[Attempt], None], status: int, code: str
) -> None:
    one = Attempt(make_source())
    put(one, [fault])
    Post.objects.all().delete()
    before = Lead.objects.count()
    response = one.send()
    assert (response.status_code, response.headers["Leadping-Problem"]) == (status, code)
    assert response.json()["status"] == status
    assert Lead.objects.count() == before
    kept = [(post.status, post.outcome) for post in Post.objects.all()]
    is_kept = status in KEPT_WHOLE | {403, 413}
    assert kept == ([(status, code)] if is_kept else [])
    if is_kept:
        sent = (json.dumps(one.members).encode() if one.body is None else one.body) + one.padding
        post = Post.objects.get()
        assert bytes(post.body) == (sent if status in KEPT_WHOLE else sent[:4096])
        assert post.body_size == len(sent)
        assert post.answer == response.json()


@pytest.mark.parametrize(
    ("first", "second"), PAIRS, ids=lambda one: one[0].__name__ if isinstance(one, tuple) else "x"
)
def test_of_two_faults_the_earlier_one_is_answered(db: None, first: Any, second: Any) -> None:
    one = Attempt(make_source())
    put(one, [first[0], second[0]])
    response = one.send()
    assert (response.status_code, response.headers["Leadping-Problem"]) == first[1:]


def test_without_a_fault_the_post_is_taken(db: None) -> None:
    assert Attempt(make_source()).send().status_code == 201


# --- the rows that need more than one odd post --------------------------------------------------


def test_an_unknown_path_is_404(db: None) -> None:
    response = Client().post("/leads/nowhere", "{}", "application/json")
    assert (response.status_code, response.headers["Leadping-Problem"]) == (404, "not-found")


@pytest.mark.parametrize("path", ["/leads", "/leads/intake", "/leads/x"])
@pytest.mark.parametrize("is_debug", [False, True])
def test_an_unknown_host_is_a_problem_and_is_not_repeated(
    db: None, settings: Any, path: str, is_debug: bool
) -> None:
    settings.ALLOWED_HOSTS = ["leads.example.com"]
    settings.DEBUG = is_debug
    for host in ("evil.example", "leads.example.com.evil.example", "a b", ""):
        response = Client().post(path, "{}", "application/json", HTTP_HOST=host)
        assert response.headers["Content-Type"] == "application/problem+json", host
        assert (response.status_code, response.headers["Leadping-Problem"]) == (404, "not-found")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Request-Id"] == response.json()["requestId"]
        assert int(response.headers["Content-Length"]) == len(response.content)
        assert "evil" not in response.content.decode()
    response = Client().post(path, "{}", "application/json", HTTP_HOST="leads.example.com")
    assert response.status_code in (401, 404)
    if not is_debug:
        page = Client().get("/admin/", HTTP_HOST="evil.example")
        assert (page.status_code, page.headers["Content-Type"]) == (400, "text/html; charset=utf-8")


class Broken:
    """A middleware with a bug."""

    def __init__(self, get_response: Any) -> None:
        pass

    def __call__(self, request: Any) -> Any:
        raise RuntimeError("ada@example.com")


def test_what_breaks_outside_the_view_is_a_problem_too(
    db: None, settings: Any, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    first, *others = settings.MIDDLEWARE
    settings.MIDDLEWARE = [first, "tests.test_order.Broken", *others]
    client = Client(raise_request_exception=False)
    response = client.post("/leads/intake", "{}", "application/json")
    assert (response.status_code, response.headers["Leadping-Problem"]) == (500, "internal-error")
    assert response.json()["requestId"] == response.headers["X-Request-Id"]
    assert client.get("/admin/").headers["Content-Type"].startswith("text/html")
    assert "ada@example.com" not in str(log_lines()) + response.content.decode()


@contextmanager
def read_only() -> Iterator[None]:
    """Let the database take no writes on this connection."""
    on, off = {
        "sqlite": ("PRAGMA query_only = on", "PRAGMA query_only = off"),
        "postgresql": (
            "SET default_transaction_read_only = on",
            "SET default_transaction_read_only = off",
        ),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
        try:
            yield
        finally:
            cursor.execute(off)


@contextmanager
def locked_by_another(model: type[Model] = Lead) -> Iterator[None]:
    """Have another session lock a table, and this one wait for a second at most."""
    name = project_settings.DATABASES["default"]["NAME"]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            other: Any = sqlite3.connect(name, isolation_level=None)
            cursor.execute("PRAGMA busy_timeout = 1000")
            other.execute("BEGIN EXCLUSIVE")
        else:
            cursor.execute("SET statement_timeout = 1000")
            parameters = connection.get_connection_params()
            wanted = ("host", "port", "user", "password", "dbname")
            other = psycopg.connect(**{k: v for k, v in parameters.items() if k in wanted})
            other.execute(f"LOCK TABLE {model._meta.db_table} IN ACCESS EXCLUSIVE MODE")
        try:
            yield
        finally:
            other.rollback()
            other.close()
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA busy_timeout = 5000")
            else:
                cursor.execute("RESET statement_timeout")


@pytest.mark.parametrize("trouble", [read_only, locked_by_another])
def test_a_database_that_cannot_write_is_503_and_nothing_is_half_stored(
    transactional_db: None, trouble: Any, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """With the database away: tests/test_crashes.py and test_service.py."""
    one = Attempt(make_source())
    assert one.send().status_code == 201
    with trouble():
        response = one.send()
        if trouble is read_only and connection.vendor == "postgresql":
            ready = Client().get("/readyz")
            assert ready.json()["faults"] == ["PostgreSQL is read-only: nothing can be stored."]
    assert (response.status_code, response.headers["Leadping-Problem"]) == (503, "unavailable")
    assert response.json()["retryable"] is True
    assert int(response.headers["Retry-After"]) > 0
    assert Lead.objects.count() == Post.objects.count() == 1
    events = [line["event"] for line in log_lines()]
    assert "post.database_unavailable" in events
    assert "limiter.unavailable" not in events  # it did not wait for the same trouble twice
    assert one.send().status_code == 201


def test_every_row_of_the_table_is_walked_here(db: None) -> None:
    walked = {code for _, _, code in FAULTS} | {"not-found", "internal-error", "unavailable"}
    rules = {rule.value for rule in Rule} | {"not-accepted"}  # `underage` stands for them
    of_intake = {code for code, one in PROBLEM_TYPES.items() if one.is_of_intake}
    assert of_intake - rules == walked - rules


def test_a_problem_never_has_claims_in_its_challenge(door: Door) -> None:
    response = door.post(headers={"Authorization": f"Bearer {make_key(door.source)[1]}x"})
    assert response.headers["WWW-Authenticate"]
    assert "claims=" not in response.headers["WWW-Authenticate"]
