"""Quick ways of a post that must come to the same as the usual ones."""

import os
from typing import Any

import email_validator
import phonenumbers
import psycopg
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from bench.client import lead_body
from intake import authentication
from leads import normalize
from leads.models import Lead
from sources import names
from sources.models import SourceKey
from sources.rows import new
from tests.factories import Door

IS_POSTGRESQL = os.environ["DATABASE_URL"].startswith("postgres")
ASCII = st.text(st.sampled_from("aZ09._+-@ !"), min_size=1, max_size=20)
DOMAINS = st.sampled_from(
    ["example.com", "Example.COM", "a-b.co.uk", "x", "test", "a..b", "-a.com", "xn--bcher-kva.de"]
)


def post(door: Door, number: int) -> None:
    assert door.post(lead_body(number)).status_code == 201


def where() -> dict[str, Any]:
    named = connection.get_connection_params()
    return {name: named[name] for name in ("host", "user", "dbname", "port") if named.get(name)}


def test_a_busy_source_is_not_loaded_again_while_its_leads_are_stored(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    real = authentication.load

    def load(digest: str) -> Any:
        loads.append(digest)
        return real(digest)

    monkeypatch.setattr(authentication, "load", load)
    clock = [100.0]
    monkeypatch.setattr("intake.authentication.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("intake.views.time.monotonic", lambda: clock[0])
    for number in range(9):
        post(door, number)
        clock[0] += 0.5
    assert len(loads) == 1
    clock[0] += 0.5  # longer ago than it may be loaded, however busy
    post(door, 9)
    assert len(loads) == 2
    clock[0] += 1.0  # no lead since
    post(door, 10)
    assert len(loads) == 3


def test_a_lead_that_is_refused_does_not_say_that_the_key_still_holds(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("intake.authentication.time.monotonic", lambda: clock[0])
    assert door.post(b"not json").status_code == 400
    SourceKey.objects.update(revoked_at="2026-01-01T00:00:00Z")
    clock[0] += 0.5
    assert door.post(b"not json").status_code == 400
    clock[0] += 0.5
    assert door.post(b"not json").status_code == 401


def test_a_row_made_quickly_is_as_django_makes_it() -> None:
    fields = {"first_name": "Ada", "is_test": True}
    quick, usual = new(Lead, fields), Lead(**fields)
    for one in Lead._meta.concrete_fields:
        if one.name != "id":
            assert getattr(quick, one.attname) == getattr(usual, one.attname)
    assert quick.id != new(Lead, fields).id
    assert quick.findings is not new(Lead, fields).findings
    assert quick._state.adding
    with pytest.raises(ValueError, match="nonsense"):
        new(Lead, {"nonsense": 1})


@pytest.mark.django_db(transaction=True)
def test_a_page_of_the_console_comes_though_its_connection_was_ended() -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get("/admin/", secure=True).status_code == 200
    if IS_POSTGRESQL:
        with psycopg.connect(**where()) as other:
            other.execute(
                "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
            )
    assert client.get("/admin/", secure=True).status_code == 200


@given(local=ASCII, domain=st.one_of(DOMAINS, ASCII))
def test_usual_addresses_are_taken_as_the_library_takes_them(local: str, domain: str) -> None:
    raw = f"{local}@{domain}"
    try:
        parts = email_validator.validate_email(raw, check_deliverability=False)
        expected = f"{parts.local_part}@{parts.ascii_domain}"
    except email_validator.EmailNotValidError:
        expected = ""
    try:
        found = normalize.email(raw)
    except normalize.NotAnEmail:
        found = ""
    assert found == expected


@given(national=st.integers(2_000_000_000, 9_999_999_999))
def test_north_american_numbers_exist_if_the_library_says_so(national: int) -> None:
    number = f"+1{national}"
    expected = phonenumbers.is_valid_number(phonenumbers.parse(number))
    assert normalize.can_phone_exist(number) == expected


def test_long_names_that_strangers_choose_are_not_kept() -> None:
    kept = names._fold.cache_info().currsize
    for number in range(50):
        assert names.fold(f"A_{number}-" + "B" * 1000) == f"a{number}" + "b" * 1000
    assert names._fold.cache_info().currsize == kept
