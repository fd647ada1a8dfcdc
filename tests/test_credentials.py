"""Who may post: contract §2."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intake import authentication
from intake.models import Post
from leads.models import Lead
from sources import keys
from sources.models import Source, SourceKey
from tests.factories import Door, flat_post, make_key, make_source


def test_a_key_has_a_prefix_a_random_part_and_a_checksum() -> None:
    key = keys.mint()
    assert keys.SHAPE.fullmatch(key)
    assert len(key) == len("lp_src_") + 38
    assert keys.is_well_formed(key)
    assert keys.mint() != key
    assert keys.preview(key) == "lp_src_…" + key[-4:]
    assert len(keys.digest(key)) == 64


def test_one_wrong_character_makes_a_key_ill_formed() -> None:
    key = keys.mint()
    for place in range(7, len(key)):
        other = "a" if key[place] != "a" else "b"
        assert not keys.is_well_formed(key[:place] + other + key[place + 1 :])
    for bad in ("", "lp_src_", key[:-1], key + "a", key.upper(), "é" + key[1:]):
        assert not keys.is_well_formed(bad)


def test_the_header_pair_opens_the_door(door: Door) -> None:
    assert door.send().status_code == 201


def test_the_source_id_is_taken_in_any_case(door: Door) -> None:
    headers = door.credentials | {"X-Leadping-Source-Id": str(door.source.id).upper()}
    assert door.post(headers=headers).status_code == 201


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_alone_as_a_bearer_token_opens_the_door(door: Door, scheme: str) -> None:
    assert door.post(headers={"Authorization": f"{scheme} {door.key}"}).status_code == 201


def test_an_empty_header_beside_right_ones_means_nothing(door: Door) -> None:
    assert door.post(headers=door.credentials | {"Authorization": ""}).status_code == 201


@pytest.mark.parametrize("odd", ["\x01", "\x7f", "\x1f"])
def test_a_credential_with_a_control_character_is_refused(door: Door, odd: str) -> None:
    headers = door.credentials | {"X-Leadping-Source-Id": f"{door.source.id}{odd}"}
    assert door.post(headers=headers).status_code == 401


def test_a_kept_header_has_no_control_characters(door: Door) -> None:
    door.post(HTTP_USER_AGENT="form\x00\x1f/1")
    assert Post.objects.get().headers["User-Agent"] == "form/1"


def test_both_ways_at_once_must_both_be_right_and_name_one_source(door: Door) -> None:
    bearer = {"Authorization": f"Bearer {door.key}"}
    assert door.post(headers=door.credentials | bearer).status_code == 201
    second = make_key(door.source)[1]
    both_keys = door.credentials | {"Authorization": f"Bearer {second}"}
    assert door.post(headers=both_keys).status_code == 201
    other = make_key(make_source())[1]
    for wrong in (f"Bearer {other}", f"Bearer {keys.mint()}", "Bearer x", "Basic eDp5"):
        response = door.post(headers=door.credentials | {"Authorization": wrong})
        assert response.status_code == 401
    wrong_pair = door.credentials | {"X-Leadping-Source-Key": other}
    assert door.post(headers=wrong_pair | bearer).status_code == 401


def wrong_credentials(door: Door) -> list[dict[str, str]]:
    """Return headers that must all be refused alike."""
    pair = door.credentials
    now = timezone.now()
    _, expired = make_key(door.source, expires_at=now - timedelta(seconds=1))
    row, revoked = make_key(door.source)
    row.revoke(now)
    id_, key = "X-Leadping-Source-Id", "X-Leadping-Source-Key"
    return [
        {},
        {id_: pair[id_]},
        {key: pair[key]},
        {id_: "", key: ""},
        pair | {id_: str(make_source().id)},
        pair | {id_: "nobody"},
        pair | {key: keys.mint()},
        pair | {key: "wrong"},
        pair | {key: expired},
        pair | {key: revoked},
        pair | {key: f"{pair[key]}, {pair[key]}"},
        pair | {id_: f"{pair[id_]},{pair[id_]}"},
        pair | {key: pair[key] + "é"},
        pair | {key: pair[key] + "\x01"},
        pair | {key: "a" * 200},
        {"Authorization": f"Bearer {expired}"},
        {"Authorization": f"Bearer {pair[key]}, Bearer {pair[key]}"},
        {"Authorization": "Bearer sk_0123456789abcdef0123456789abcdef"},
        {"Authorization": pair[key]},
        {"Authorization": "Bearer"},
    ]


def test_every_refusal_is_the_same_but_for_the_request_id(door: Door) -> None:
    bodies, headers = set(), set()
    for wrong in wrong_credentials(door):
        response = door.post(headers=wrong)
        assert response.status_code == 401, wrong
        body = response.json()
        assert body.pop("requestId") == body.pop("traceId") == response.headers["X-Request-Id"]
        bodies.add(json.dumps(body))
        headers.add(json.dumps({k: v for k, v in response.headers.items() if k != "X-Request-Id"}))
    assert len(bodies) == len(headers) == 1
    body = json.loads(bodies.pop())
    assert body["type"] == "https://leads.example.com/problems/invalid-credentials"
    told = json.loads(headers.pop())
    assert told["WWW-Authenticate"] == 'Bearer realm="leadping"'
    assert "claims=" not in json.dumps(told)
    assert Lead.objects.count() == Post.objects.count() == 0


def test_a_key_in_the_url_is_refused_even_beside_a_right_one(door: Door) -> None:
    encoded = door.key.replace("_", "%5F")
    for query in (
        f"sourceId=x&sourceKey={door.key}",
        "source_key=x",
        "source%4Bey=x",
        f"q={door.key}",
        f"q={encoded}",
    ):
        door.path = f"/leads/intake?{query}"
        assert door.send().status_code == 401
    door.path = "/leads/intake?utm=1" + "&a=1" * 2000
    assert door.send().status_code == 201


def test_a_mistyped_key_costs_no_look_up(door: Door) -> None:
    wrong = door.credentials | {"X-Leadping-Source-Key": door.key[:-1] + "!"}
    with CaptureQueriesContext(connection) as queries:
        assert door.post(headers=wrong).status_code == 401
    (counting,) = queries  # no look-up: only the failed login is counted
    assert "intake_ratewindow" in counting["sql"]


def test_several_keys_live_at_once_and_each_ends_alone(source: Source) -> None:
    first, second = Door(source), Door(source)
    assert first.send().status_code == second.send().status_code == 201
    SourceKey.objects.get(digest=keys.digest(first.key)).revoke(timezone.now())
    assert first.send().status_code == 401
    assert second.send().status_code == 201


def test_a_key_expires_at_its_time(door: Door) -> None:
    row = SourceKey.objects.get()
    assert door.send().status_code == 201
    row.expire(timezone.now() + timedelta(hours=1))
    assert door.send().status_code == 201
    row.expire(timezone.now())
    assert door.send().status_code == 401
    ended = row.expires_at
    row.expire(timezone.now() + timedelta(hours=1))
    assert row.expires_at == ended


def test_a_revoked_key_stores_nothing_though_it_is_remembered(door: Door) -> None:
    door.send()
    SourceKey.objects.update(revoked_at=timezone.now())
    assert door.send().status_code == 401
    assert Lead.objects.count() == 1


def test_a_source_that_is_switched_off_is_403_though_it_is_remembered_as_on(door: Door) -> None:
    door.send()
    door.source.is_enabled = False
    door.source.save(update_fields=["is_enabled"])
    response = door.send()
    assert response.status_code == 403
    assert response.headers["Leadping-Problem"] == "source-disabled"
    assert Lead.objects.count() == 1
    kept = Post.objects.get(status=403)
    assert kept.answer == response.json()


def test_settings_that_changed_since_they_were_remembered_decide(door: Door) -> None:
    assert door.send(state="TX").json()["metadata"]["complianceStatus"] == "Approved"
    door.source.allowed_states = ["CA"]
    door.source.save()
    assert door.send(state="TX").json()["metadata"]["complianceStatus"] == "Blocked"


def test_a_source_that_changes_at_every_look_is_503(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = authentication.load

    def load_then_change(digest: str) -> Any:
        credential = real(digest)
        door.source.save()
        return credential

    monkeypatch.setattr(authentication, "load", load_then_change)
    response = door.send()
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert Lead.objects.count() == 0


def test_what_is_remembered_is_forgotten_within_a_second(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert authentication.REMEMBERED_SECONDS < 1
    assert door.post(b"not json").status_code == 400
    SourceKey.objects.update(revoked_at=timezone.now())
    assert door.post(b"not json").status_code == 400
    monkeypatch.setattr(authentication, "REMEMBERED_SECONDS", 0)
    assert door.post(b"not json").status_code == 401


def test_a_key_is_compared_in_constant_time_even_when_it_is_remembered(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def spy(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(authentication, "compare_digest", spy)
    door.send()
    door.send()
    assert compared.count((keys.digest(door.key), keys.digest(door.key))) == 2


def test_the_last_use_is_noted_at_most_once_a_minute(door: Door) -> None:
    door.send()
    first = SourceKey.objects.get().last_used_at
    assert first == Lead.objects.get().received_at
    door.send()
    assert SourceKey.objects.get().last_used_at == first
    authentication.forget()
    door.send()  # another process: the row itself says that it is fresh
    assert SourceKey.objects.get().last_used_at == first
    SourceKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    authentication.forget()
    door.send()
    assert SourceKey.objects.get().last_used_at == Lead.objects.first().received_at  # type: ignore[union-attr]


def test_a_use_that_cannot_be_noted_does_not_refuse_the_post(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise InterfaceError

    monkeypatch.setattr("sources.models.SourceKeyQuerySet.used", fail)
    assert door.send().status_code == 201


def test_neither_key_nor_hash_of_it_is_anywhere_but_in_its_digest(door: Door) -> None:
    row = SourceKey.objects.get()
    kept = json.dumps([str(value) for value in vars(row).values()])
    assert door.key not in kept
    assert row.digest == keys.digest(door.key)
    assert str(row) == f"lp_src_…{door.key[-4:]}"


def test_a_test_does_not_take_the_external_id_of_a_real_lead(source: Source) -> None:
    test, real = Door(source, make_key(source, is_test=True)[1]), Door(source)
    first, second = test.send(externalId="x-1"), real.send(externalId="x-1")
    assert first.json()["id"] != second.json()["id"]
    assert test.send(externalId="x-1").json()["id"] == first.json()["id"]
    assert real.send(externalId="x-1").json()["id"] == second.json()["id"]


def test_leads_of_a_key_for_tests_are_tests(source: Source) -> None:
    Door(source, make_key(source, is_test=True)[1]).send()
    Door(source).send()
    assert sorted(Lead.objects.values_list("is_test", flat=True)) == [False, True]


# --- keys that turn up where they should not ----------------------------------------------------


def escaped(text: str) -> str:
    """Return `text` with every character as a JSON escape."""
    return "".join(f"\\u{ord(one):04{'xX'[number % 2]}}" for number, one in enumerate(text))


@pytest.mark.parametrize("spelt", ["plain", "first", "all", "within", "after a backslash"])
def test_a_key_in_a_body_is_blanked_before_anything_is_kept(door: Door, spelt: str) -> None:
    leaked = keys.mint()
    text = {
        "plain": leaked,
        "first": escaped(leaked[0]) + leaked[1:],
        "all": escaped(leaked),
        "within": f"x{leaked[:3]}{escaped(leaked[3])}{leaked[4:]}",
        "after a backslash": "\\\\" + escaped(leaked),
    }[spelt]
    raw = f'{{"phone": "5125550137", "subId": "{text}", "sourceMetadata": {{"k": "{text}"}}}}'
    response = door.post(raw.encode())
    assert response.status_code == 201
    assert leaked[3:] not in response.content.decode()
    post = Post.objects.get()
    assert post.has_credential_blanked
    assert leaked[8:] not in bytes(post.body).decode()
    assert escaped(leaked)[30:] not in bytes(post.body).decode()
    blanked = f"[key removed {keys.digest(leaked)[:8]}]"
    assert blanked in bytes(post.body).decode()
    assert blanked in Lead.objects.get().sub_id


def test_an_organisation_token_in_a_body_or_header_is_blanked_too(door: Door) -> None:
    token = "sk_" + "a1B2" * 8
    door.post(flat_post(utmTerm=token), HTTP_USER_AGENT=f"form {token}")
    lead, post = Lead.objects.get(), Post.objects.get()
    assert token not in bytes(post.body).decode()
    blanked = keys.blank(token)[0]
    assert lead.user_agent == post.headers["User-Agent"] == f"form {blanked}"
    assert lead.utm_term == blanked
    assert post.has_credential_blanked


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_USER_AGENT": "form lp_src_abcdefgh"},
        {"HTTP_X_API_KEY": "sk_" + "a1B2" * 8},
        {"HTTP_COOKIE": "k=lp_src_abcdefgh"},
        {"QUERY_STRING": "q=sk%5F" + "a1B2" * 8},
    ],
)
def test_a_post_with_a_key_in_a_header_or_url_is_marked(door: Door, more: Any) -> None:
    assert door.post(**more).status_code == 201
    assert Post.objects.get().has_credential_blanked


def test_two_keys_in_a_body_stay_two(door: Door) -> None:
    raw = b'{"phone": "5125550137", "lp_src_aaaaaaaa": 1, "lp_src_bbbbbbbb": 2}'
    assert door.post(raw).status_code == 201
    for number, external_id in enumerate(("sk_" + "a" * 20, "sk_" + "b" * 20)):
        response = door.send(phone=f"512555013{number}", email=..., externalId=external_id)
        assert response.status_code == 201
    assert Lead.objects.count() == 3


def test_words_that_only_look_a_little_like_keys_stay(door: Door) -> None:
    for text in ("risk_assessment_campaign", "sk_short", "task_force_2026_autumn"):
        assert keys.blank(text) == (text, False)
        assert keys.blank_bytes(text.encode()) == (text.encode(), False)
    door.send(utmTerm="lp_src")
    assert not Post.objects.get().has_credential_blanked
    for raw in (b'"\\u0041"', b'"\\\\u006cp_src_abcdefgh"', b"\\u00"):
        assert keys.blank_bytes(raw) == (raw, False)


def test_a_path_with_a_key_is_not_echoed(db: None) -> None:
    key = keys.mint()
    response = Client().post(f"/leads/{key}")
    assert response.status_code == 404
    assert key not in response.content.decode()


def test_a_key_whose_row_is_gone_opens_nothing(door: Door) -> None:
    """Within the second that it is remembered, too."""
    assert door.send().status_code == 201
    Post.objects.all().delete()
    SourceKey.objects.all().delete()
    assert door.send().status_code == 401
