"""The vendor sends it again: contract §7."""

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import store
from intake.models import Post
from intake.receive import Arrival, idempotency_key
from leads.models import Lead
from sources import keys
from sources.ids import uuid7
from sources.rules import Mode, Rule
from tests.factories import Door, flat_post, make_key, make_source, make_tombstone


def post(door: Door, key: str | None = None, **members: Any) -> Any:
    """Post a lead with an idempotency key."""
    more: dict[str, Any] = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return door.post(flat_post(**members), **more)


def assert_repeat(first: Any, again: Any) -> None:
    """Check that a post was answered with the lead of the first one."""
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Leadping-Post-Id"] != first.headers["Leadping-Post-Id"]


# --- the key ------------------------------------------------------------------------------------


def test_the_same_key_with_the_same_lead_answers_with_the_first(door: Door) -> None:
    assert_repeat(post(door, "k-1"), post(door, "k-1"))
    lead = Lead.objects.get()
    assert lead.idempotency_key == "k-1"
    outcomes = Post.objects.order_by("id").values_list("outcome", "lead")
    assert list(outcomes) == [("approved", lead.id), ("repeated", lead.id)]


def test_without_a_key_or_an_id_each_post_is_a_lead(door: Door) -> None:
    assert post(door).json()["id"] != post(door).json()["id"]
    assert Lead.objects.filter(idempotency_key="", fingerprint="").count() == 2


@pytest.mark.parametrize(
    "same",
    [
        {"Phone": "512.555.0137", "phone": ...},
        {"phone": 5125550137},
        {"FIRST_NAME": " Ada ", "firstName": ..., "lastName": ""},
        {"price": "10.0000"},
        {"price": 10},
        {"postalCode": "78701", "zip": "78701"},
        {"email": "ada@EXAMPLE.com"},
    ],
)
def test_spelling_changes_nothing_of_what_is_said(door: Door, same: Any) -> None:
    told = {"price": "10", "zip": "78701"}
    assert_repeat(post(door, "k-1", **told), post(door, "k-1", **(told | same)))


@pytest.mark.parametrize(
    "other",
    [
        {"firstName": "Eve"},
        {"phone": "512-555-0138"},
        {"externalId": "x-2"},
        {"price": "10.0001"},
        {"colour": "blue"},
        {"colour": {"deep": ["green"]}},
        {"colour": ...},
        {"sourceMetadata": {"a": "1"}},
        {"tagNames": ["VIP"]},
    ],
)
def test_the_same_key_with_another_lead_is_422(door: Door, other: Any) -> None:
    told = {"price": "10", "colour": "green", "externalId": "x-1"}
    assert post(door, "k-1", **told).status_code == 201
    response = post(door, "k-1", **(told | other))
    assert response.status_code == 422
    assert response.headers["Leadping-Problem"] == "idempotency-key-reused"
    assert Lead.objects.count() == 1
    kept = Post.objects.get(status=422)
    assert kept.answer == response.json()
    assert bytes(kept.body) == json.dumps(flat_post(**(told | other))).encode()


def test_the_fingerprint_is_the_same_whether_the_source_keeps_unknown_names(door: Door) -> None:
    first = post(door, "k-1", colour="green")
    door.source.is_unknown_kept = True
    door.source.save()
    assert post(door, "k-1", colour="green").json() == first.json()
    assert post(door, "k-2", colour="green").json()["metadata"]["sourceMetadata"]


def test_the_three_endpoints_have_one_fingerprint(door: Door) -> None:
    first = post(door, "k-1", price="10")
    form = b"FirstName=Ada&Phone=%28512%29+555-0137&Email=ada@example.com&Price=10"
    kind = "application/x-www-form-urlencoded"
    assert_repeat(first, door.post(form, content_type=kind, HTTP_IDEMPOTENCY_KEY="k-1"))
    path, door.path = door.path, "/leads"
    structured = {
        "contact": {"firstName": "Ada", "phone": "512 555 0137", "email": "ada@example.com"},
        "metadata": {"price": 10.0},
    }
    assert_repeat(first, door.post(structured, HTTP_IDEMPOTENCY_KEY="k-1"))
    door.path = f"{path}?{form.decode()}"
    got = door.client.get(door.path, headers=door.credentials | {"Idempotency-Key": "k-1"})
    assert_repeat(first, got)


def test_a_key_is_of_one_source(door: Door) -> None:
    other = Door(make_source(business=door.source.business))
    assert post(door, "k-1").json()["id"] != post(other, "k-1").json()["id"]


def test_a_test_key_does_not_take_the_ids_of_real_leads(door: Door) -> None:
    tests = Door(door.source, make_key(door.source, is_test=True)[1])
    ids = {post(one, "k-1", externalId="x-1").json()["id"] for one in (tests, door, tests, door)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("k", "k"),
        ("!~", "!~"),
        ("  k-1\t", "k-1"),
        ('"k-1"', "k-1"),
        (r'"a\"b\\c"', r"a\b".replace("\\", '"') + r"\c"),
        ("a,b", "a,b"),
        ('k"', 'k"'),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
    ],
)
def test_a_key_is_quoted_or_bare(sent: str, key: str) -> None:
    arrival = Arrival(timezone.now(), "id", "POST", "/", "", {}, idempotency_key=sent)
    assert idempotency_key(arrival) == key


@pytest.mark.parametrize(
    "sent",
    [
        *("", " ", '""', '"', '"k', "k k", "é", "k\x7f", "k\x01k", "k" * 256, "a, b"),
        *('"a", "b"', '"a""b"', r'"a\b"', '"' + "k" * 256 + '"', '"k k"'),
    ],
)
def test_another_key_is_refused(door: Door, sent: str) -> None:
    response = post(door, sent)
    assert response.status_code == 400
    assert response.headers["Leadping-Problem"] == "invalid-lead"
    (fault,) = response.json()["faults"]
    assert (fault["field"], fault["code"]) == ("Idempotency-Key", "invalid-idempotency-key")
    assert Lead.objects.count() == 0


def test_one_of_our_keys_as_idempotency_key_is_not_stored(door: Door) -> None:
    assert_repeat(post(door, door.key), post(door, f'"{door.key}"'))
    assert door.key not in Lead.objects.get().idempotency_key
    assert post(door, keys.mint()).json()["id"] != str(Lead.objects.earliest("id").id)
    assert all(one.has_credential_blanked for one in Post.objects.all())


def test_only_a_stored_lead_binds_its_ids(door: Door) -> None:
    assert post(door, "k-1", externalId="x-1", zip="1").status_code == 400
    door.source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    assert post(door, "k-1", externalId="x-1", dateOfBirth="2020-01-01").status_code == 422
    assert post(door, "k-1", externalId="x-1").status_code == 201
    assert Lead.objects.count() == 1


# --- the key and the external id -----------------------------------------------------------------


def test_the_key_is_looked_at_first(door: Door) -> None:
    first = post(door, "k-1", externalId="x-1")
    second = post(door, "k-2", externalId="x-2", phone="512-555-0138", email=...)
    # the key of the first, the id of the second
    response = post(door, "k-1", externalId="x-2", phone="512-555-0138", email=...)
    assert response.headers["Leadping-Problem"] == "idempotency-key-reused"
    assert_repeat(second, post(door, externalId="x-2", phone="512-555-0138", email=...))
    assert_repeat(first, post(door, "k-1", externalId="x-1"))


def test_a_new_key_with_a_known_id_is_not_bound(door: Door) -> None:
    first = post(door, "k-1", externalId="x-1")
    assert_repeat(first, post(door, "k-2", externalId="x-1", firstName="Eve"))
    fresh = post(door, "k-2", externalId="x-2")
    assert fresh.json()["id"] != first.json()["id"]
    assert "Idempotency-Replayed" not in fresh.headers


def test_another_persons_external_id_is_409_with_the_place_of_the_lead(door: Door) -> None:
    first = post(door, externalId="x-1")
    response = post(door, externalId="x-1", phone="512-555-0138")
    assert response.status_code == 409
    assert response.headers["Location"] == first.headers["Location"]
    assert first.json()["id"] in response.json()["detail"]
    assert Post.objects.get(status=409).answer == response.json()


@pytest.mark.parametrize(
    ("first", "again", "status"),
    [
        ({}, {}, 201),
        ({}, {"email": ...}, 201),
        ({}, {"phone": ...}, 201),
        ({"email": ...}, {}, 201),
        ({}, {"email": "ADA@example.com"}, 201),
        ({}, {"email": "other@example.com"}, 409),
        ({}, {"phone": "512-555-0138"}, 409),
        ({}, {"phone": "512-555-0138", "email": ...}, 409),
        ({"phone": ...}, {"email": ...}, 409),
    ],
)
def test_who_is_the_same_person(door: Door, first: Any, again: Any, status: int) -> None:
    assert post(door, externalId="x-1", **first).status_code == 201
    assert post(door, externalId="x-1", **again).status_code == status


def test_a_repeat_is_compared_with_what_was_first_posted(door: Door) -> None:
    first = post(door, externalId="x-1")
    Lead.objects.update(
        phone="+15125550199",
        email="new@example.com",
        email_key="new@example.com",
        first_name="Augusta",
        modified_at=timezone.now(),
    )
    again = post(door, externalId="x-1")
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["contact"]["firstName"] == "Augusta"  # as it stands now
    assert post(door, externalId="x-1", phone="512-555-0199", email=...).status_code == 409


# --- deleted and erased leads --------------------------------------------------------------------


def test_a_deleted_lead_still_answers(door: Door) -> None:
    first = post(door, "k-1", externalId="x-1")
    Lead.objects.update(deleted_at=timezone.now())
    assert_repeat(first, post(door, "k-1", externalId="x-1"))
    assert_repeat(first, post(door, externalId="x-1"))
    assert post(door, externalId="x-1", phone="512-555-0138").status_code == 409
    assert Lead.objects.count() == 1


@pytest.mark.parametrize(
    "again",
    [
        {"key": "k-1"},
        {"key": "k-1", "firstName": "Eve"},
        {"externalId": "x-1"},
        {"externalId": "x-1", "phone": "512-555-0138", "email": ...},
        {"key": "k-2", "externalId": "x-1"},
    ],
)
def test_an_erased_lead_is_410_and_never_comes_back(door: Door, again: Any) -> None:
    post(door, "k-1", externalId="x-1")
    tomb = make_tombstone(Lead.objects.get())
    response = post(door, **again)
    assert response.status_code == 410
    assert response.headers["Leadping-Problem"] == "lead-erased"
    assert response.json()["retryable"] is False
    assert Lead.objects.get() == tomb
    assert Post.objects.get(status=410).answer == response.json()


def test_what_is_left_of_an_erased_lead_says_nothing_of_the_person(door: Door) -> None:
    post(door, dateOfBirth="1984-07-19")
    lead = make_tombstone(Lead.objects.get())
    for name, value in {"phone": "+15125550137", "birth_date": "1984-07-19"}.items():
        with pytest.raises(IntegrityError), transaction.atomic():
            Lead.objects.filter(id=lead.id).update(**{name: value})


def test_a_lead_that_goes_while_it_is_looked_for_is_looked_for_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = post(door, "k-1")
    real = store.gather
    looks = []

    def found_one_that_is_gone(*args: Any, **more: Any) -> Any:
        looks.append(1)
        state: Any = real(*args, **more)
        return replace(state, lead_of_key=uuid7()) if len(looks) == 1 else state

    monkeypatch.setattr(store, "gather", found_one_that_is_gone)
    assert post(door, "k-1").json()["id"] == first.json()["id"]
    assert len(looks) == 2


# --- what it costs ------------------------------------------------------------------------------


def test_a_repeat_costs_one_look_up_more_than_a_post(door: Door) -> None:
    post(door, "k-1")
    with CaptureQueriesContext(connection) as queries:
        post(door, "k-1")
    statements = [q["sql"] for q in queries if "SAVEPOINT" not in q["sql"]]
    # limiter, gather, the lead, its post; on PostgreSQL also the lock
    assert len(statements) == {"sqlite": 4, "postgresql": 5}[connection.vendor]


def test_ids_are_found_by_their_indexes(door: Door) -> None:
    post(door, "k-1", externalId="x-1")
    key, lead = door.source.keys.get(), Lead.objects.get()
    many = []
    for number in range(2000):
        one = copy.copy(lead)
        one.id, one.external_id, one.idempotency_key = uuid7(), f"x{number}", f"k{number}"
        many.append(one)
    Lead.objects.bulk_create(many, batch_size=500)
    with CaptureQueriesContext(connection) as queries, connection.cursor() as cursor:
        store.gather(key.id, lead, door.source, ())
        gather = queries.captured_queries[-1]["sql"]
        cursor.execute(f"ANALYZE {Lead._meta.db_table}")
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{gather}")
        plan = str(cursor.fetchall())
    assert "lead_idempotency_key_unique" in plan
    assert "lead_external_id_unique" in plan


def test_a_repeat_is_as_good_after_a_year(door: Door) -> None:
    first = post(door, "k-1")
    Lead.objects.update(received_at=timezone.now() - timedelta(days=400))
    assert post(door, "k-1").json()["id"] == first.json()["id"]
