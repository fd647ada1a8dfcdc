"""How the door says no: framing, bodies, media types, the shape of a problem; contract §9."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from intake import store
from intake.bodies import Number, read_json
from intake.models import START_BYTES, Post
from intake.problems import PROBLEM_TYPES, Fault, Kept, Problem
from intake.views import MAX_BODY_BYTES, IntakeView
from leads.models import Lead
from sources import keys
from sources.rules import ALLOWED_MODES, NOT_TOLD_APART, Mode, Rule
from tests.factories import Door, flat_post, make_key, make_source

COMMON = {"type", "title", "status", "detail", "instance", "requestId", "traceId", "retryable"}


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check the envelope of a problem and return its body."""
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Leadping-Problem"] == code
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert body.keys() >= COMMON
    assert body["type"] == f"https://leads.example.com/problems/{code}"
    assert body["status"] == status
    assert body["requestId"] == body["traceId"] == response.headers["X-Request-Id"]
    assert body["instance"] == "/leads/intake"
    assert body["title"]
    assert body["detail"]
    return body


def is_told(rule: Rule) -> bool:
    """Say whether a rule can refuse a lead, and under its own name."""
    return Mode.REJECT in ALLOWED_MODES[rule] and rule not in NOT_TOLD_APART


# With which no post is answered: there is none to keep.
OF_THE_READ_API = {"invalid-request", "insufficient-scope"}


def test_the_table_of_problem_types_has_every_code_of_the_contract() -> None:
    statuses = {code: one.status for code, one in PROBLEM_TYPES.items()}
    assert statuses.items() >= {
        ("malformed-body", 400),
        ("invalid-lead", 400),
        ("invalid-credentials", 401),
        ("source-disabled", 403),
        ("not-found", 404),
        ("method-not-allowed", 405),
        ("external-id-conflict", 409),
        ("length-required", 411),
        ("body-too-large", 413),
        ("unsupported-media-type", 415),
        ("idempotency-key-reused", 422),
        ("not-accepted", 422),
        ("lead-erased", 410),
        ("rate-limited", 429),
        ("unavailable", 503),
        ("internal-error", 500),
        *((rule.value, 422) for rule in Rule if is_told(rule)),
    }
    assert {one.code for one in PROBLEM_TYPES.values() if not one.is_of_intake} == OF_THE_READ_API
    for one in PROBLEM_TYPES.values():
        assert one.is_retryable == (one.status == 429 or one.status >= 500)
        kept = {400, 409, 410, 415, 422}
        start = {403, 413}
        assert one.kept == (
            Kept.NOTHING
            if one.code in OF_THE_READ_API
            else Kept.WHOLE
            if one.status in kept
            else Kept.START
            if one.status in start
            else Kept.NOTHING
        )


# --- fields at fault ----------------------------------------------------------------------------


def test_all_faults_come_twice_by_the_vendors_names_and_never_echo_a_value(door: Door) -> None:
    response = door.post({"Phone": "secret-1", "postal_code": "123456", "price": "secret-2"})
    body = assert_problem(response, 400, "invalid-lead")
    assert body.keys() == COMMON | {"errors", "faults"}
    assert body["faults"] == [
        {
            "pointer": f"#/{name}",
            "field": name,
            "code": code,
            "detail": body["errors"][name][0],
        }
        for name, code in (
            ("Phone", "invalid-phone"),
            ("postal_code", "invalid-zip"),
            ("price", "invalid-decimal"),
        )
    ]
    assert list(body["errors"]) == ["Phone", "postal_code", "price"]
    assert all(name in body["detail"] for name in body["errors"])
    assert "secret" not in response.content.decode()
    assert body["retryable"] is False


def test_a_post_without_contact_is_refused(door: Door) -> None:
    body = assert_problem(door.post({"firstName": "Ada"}), 400, "invalid-lead")
    assert set(body["errors"]) == {"phone", "email"}


def test_pointers_are_escaped_and_cut() -> None:
    assert Fault(("a/b~c",), "x", "y").as_json()["pointer"] == "#/a~1b~0c"
    assert len(Fault(("n" * 500,), "x", "y").as_json()["pointer"]) == 200
    assert "lp_src_abc" not in str(Fault(("lp_src_abcdef123",), "x", "y").as_json())


def test_a_flood_of_conflicting_names_does_not_explode_the_answer(door: Door) -> None:
    members = {"-" * n + "phone": f"512555{n:04}" for n in range(190)}
    response = door.post(members)
    assert len(assert_problem(response, 400, "invalid-lead")["faults"]) == 190
    assert len(response.content) < 4 * len(json.dumps(members)) + 100_000
    assert "and 185 more" in response.json()["detail"]


def test_a_conflict_names_each_name(door: Door) -> None:
    response = door.send(zip="78701", postalCode="78702")
    body = assert_problem(response, 400, "invalid-lead")
    assert [one["pointer"] for one in body["faults"]] == ["#/zip", "#/postalCode"]
    assert {one["code"] for one in body["faults"]} == {"conflicting-values"}


# --- bodies that cannot be read -----------------------------------------------------------------

MALFORMED = [
    b"",
    b" ",
    b"x",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b'{"a": 1,}',
    b"{'a': 1}",
    b'{"a": 1} x',
    b'{"a": 1, "a": 1}',
    b'{"a": 1, "\\u0061": 2}',
    b'{"s": {"a": 1, "a": 2}}',
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 00012}',
    b'{"a": "\x00"}',
    b'{"a": "\\u0000"}',
    b'{"\\u0000": "a"}',
    b'{"a": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"a": ["\\ud800"]}',
    b'{"a": {"b": "\\u0000"}}',
    b'{"a": "\xff"}',
    b'{"a": "\xed\xa0\x80"}',
    '{"a": 1}'.encode("utf-16"),
    b'{"a": [[[[1]]]]}',
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"a": ' + b"1" * 33 + b"}",
    b'{"a": 1' + b"0" * 5000 + b"}",
    b"{" + b", ".join(b'"k%d": 1' % n for n in range(201)) + b"}",
    b'{"a": [' + b", ".join(b'{"k": 1, "l": 2}' for _ in range(100)) + b"]}",
    b'{"a": "' + b'\\"' * 1000,
    b'{"a": "\n"}',
]


@pytest.mark.parametrize("raw", MALFORMED, ids=lambda raw: repr(raw[:30]))
def test_a_body_that_cannot_be_read_is_refused_and_kept(door: Door, raw: bytes) -> None:
    body = assert_problem(door.post(raw), 400, "malformed-body")
    assert "faults" not in body
    post = Post.objects.get()
    assert bytes(post.body) == raw
    assert (post.status, post.outcome, post.answer) == (400, "malformed-body", body)
    assert Lead.objects.count() == 0


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": null}', {"a": None}),
        (b' {"a": [[[1]]]} \n', {"a": [[["1"]]]}),
        (b'{"a": "[[[[[{{{{{"}', {"a": "[[[[[{{{{{"}),
        (b'{"a": "\\"[[[[["}', {"a": '"[[[[['}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": 1.50, "b": 1e3, "c": true}', {"a": "1.50", "b": "1e3", "c": True}),
        (b'{"a": "x", "A": "y"}', {"a": "x", "A": "y"}),
        (b'{"a": ' + b"1" * 32 + b"}", {"a": "1" * 32}),
    ],
)
def test_bodies_that_are_read(raw: bytes, members: object) -> None:
    assert read_json(raw) == members


def test_numbers_are_told_from_texts() -> None:
    members = read_json(b'{"a": 1.0, "b": "1.0", "c": -0}')
    assert [type(one) for one in members.values()] == [Number, str, Number]
    assert members["c"] == "-0"


def test_two_hundred_members_are_read() -> None:
    raw = json.dumps({f"k{n}": n for n in range(200)}).encode()
    assert len(read_json(raw)) == 200


# --- framing, media types, methods --------------------------------------------------------------


def padded(size: int) -> bytes:
    """Return a good body of exactly this many bytes."""
    raw = json.dumps(flat_post()).encode()
    return raw + b" " * (size - len(raw))


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_not(door: Door) -> None:
    assert MAX_BODY_BYTES == 65536
    assert door.post(padded(MAX_BODY_BYTES)).status_code == 201
    raw = padded(MAX_BODY_BYTES + 1)
    body = assert_problem(door.post(raw), 413, "body-too-large")
    post = Post.objects.get(status=413)
    assert bytes(post.body) == raw[:START_BYTES]
    assert post.body_size == len(raw)
    assert post.is_cut
    assert post.answer == body


def test_what_a_stranger_sends_is_not_kept(door: Door) -> None:
    for raw, kind in ((padded(MAX_BODY_BYTES + 1), "application/json"), (b"x", "text/plain")):
        assert door.post(raw, headers={}, content_type=kind).status_code in (413, 415)
    assert Post.objects.count() == 0


def test_a_transfer_encoding_that_the_server_left_to_us_is_411(door: Door) -> None:
    response = door.post(b"", HTTP_TRANSFER_ENCODING="chunked")
    assert_problem(response, 411, "length-required")


@pytest.mark.parametrize("length", ["70000", "4294967296", "9" * 5000])
def test_a_length_of_any_size_is_413_and_kept(door: Door, length: str) -> None:
    assert_problem(door.post(padded(START_BYTES), CONTENT_LENGTH=length), 413, "body-too-large")
    assert Post.objects.get().body_size > MAX_BODY_BYTES


def test_a_length_that_is_no_number_reads_as_no_body(door: Door) -> None:
    assert_problem(door.post(b"{}", CONTENT_LENGTH="x"), 400, "malformed-body")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/problem+json",
        "text/json",
        "Application/JSON",
        "",
        "application/x-www-form-urlencoded",
    ],
)
def test_media_types_that_are_read_as_json(door: Door, kind: str) -> None:
    assert door.post(content_type=kind).status_code == 201


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonx",
    ],
)
def test_other_media_types_are_415_and_kept(door: Door, kind: str) -> None:
    assert_problem(door.post(content_type=kind), 415, "unsupported-media-type")
    assert Post.objects.get().headers["Content-Type"] == kind


def test_multipart_is_refused_by_name(door: Door) -> None:
    body = door.post(content_type="multipart/form-data; boundary=x").json()
    assert "multipart/form-data" in body["detail"]


def test_a_content_encoding_is_415_but_identity(door: Door) -> None:
    response = door.post(b"\x1f\x8b", HTTP_CONTENT_ENCODING="gzip")
    assert_problem(response, 415, "unsupported-media-type")
    for encoding in ("Identity", "", " "):
        assert door.post(HTTP_CONTENT_ENCODING=encoding).status_code == 201


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "text/plain;q=0.9", "*/*", ""])
def test_the_answer_is_json_whatever_accept_says(door: Door, accept: str) -> None:
    response = door.post(HTTP_ACCEPT=accept)
    assert (response.status_code, response.headers["Content-Type"]) == (201, "application/json")
    assert_problem(door.post({}, HTTP_ACCEPT=accept), 400, "invalid-lead")


@pytest.mark.parametrize(("path", "allowed"), [("/leads/intake", "GET, POST"), ("/leads", "POST")])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_other_methods_are_405(door: Door, method: str, path: str, allowed: str) -> None:
    response = Client().generic(
        method, f"{path}?phone=5125550137", json.dumps(flat_post()), headers=door.credentials
    )
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    assert response.headers["Leadping-Problem"] == "method-not-allowed"
    assert Lead.objects.count() == 0


def test_a_method_override_means_nothing(door: Door) -> None:
    assert door.post(HTTP_X_HTTP_METHOD_OVERRIDE="GET").status_code == 201


def test_a_trailing_slash_changes_nothing(door: Door) -> None:
    door.path = "/leads/intake/"
    assert door.send().status_code == 201


@pytest.mark.parametrize(
    "path", ["/leads/x", "/leads/intake/x", "/leads/intake%0A", "/leads//", "/leads/intake//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_paths_under_leads_are_404_problems(db: None, path: str, method: str) -> None:
    response = Client().generic(method, path)
    assert (response.status_code, response.headers["Leadping-Problem"]) == (404, "not-found")
    assert response.json()["instance"] == unquote(path)


def test_posts_are_not_redirected_to_https(door: Door, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert door.post(secure=False).status_code == 201
    assert Client().get("/admin/").status_code == 301


# --- what goes wrong on our side ----------------------------------------------------------------


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let a test break a part of the path."""
    with monkeypatch.context() as patch:
        yield patch


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_503(
    door: Door, quiet: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*args: object) -> None:
        raise error("server closed the connection: PHONE 5125550137")

    quiet.setattr("intake.store.gather", fail)
    response = door.send()
    body = assert_problem(response, 503, "unavailable")
    assert body["retryable"] is True
    assert int(response.headers["Retry-After"]) > 0
    assert Lead.objects.count() == 0


def test_a_bug_is_500_as_a_problem_and_stores_nothing(
    door: Door, quiet: pytest.MonkeyPatch, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("ada@example.com")

    quiet.setattr("intake.store.write", fail)
    assert_problem(door.send(), 500, "internal-error")
    assert Lead.objects.count() == Post.objects.count() == 0
    assert "ada@example.com" not in str(log_lines())


def test_a_fault_after_the_lead_is_written_takes_it_back(
    door: Door, quiet: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError

    door.source.default_tags.add(door.source.business.tags.create(name="VIP"))
    quiet.setattr("intake.store.write_tags", fail)
    assert_problem(door.send(), 500, "internal-error")
    assert Lead.objects.count() == Post.objects.count() == 0


def test_a_refusal_whose_keeping_breaks_is_answered_all_the_same(
    door: Door, quiet: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError

    quiet.setattr("intake.views.keep_refused", fail)
    assert_problem(door.post(b"x"), 400, "malformed-body")


def test_a_refusal_that_cannot_be_kept_is_answered_all_the_same(
    door: Door, quiet: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError

    quiet.setattr("intake.views.keep_refused", fail)
    assert_problem(door.post(b"x"), 400, "malformed-body")


def test_a_body_that_breaks_off_is_refused(door: Door, rf: Any) -> None:
    class Broken:
        def read(self, *args: object) -> bytes:
            raise OSError

    request = rf.post("/leads/intake", b"{}", content_type="application/json")
    request.META |= {"REQUEST_ID": "abcdefgh"}
    request._stream = Broken()
    response = IntakeView.as_view()(request)
    assert response.status_code == 400
    assert json.loads(response.content)["type"].endswith("/malformed-body")


def test_an_external_id_that_another_post_just_took_is_looked_up_again(
    door: Door, quiet: pytest.MonkeyPatch
) -> None:
    door.send(externalId="x-1")
    real = store.gather
    looks = []

    def blind_at_first(*args: Any) -> Any:
        looks.append(1)
        state = real(*args)
        if state is None or len(looks) > 1:
            return state
        return replace(state, lead_of_external_id=None)

    quiet.setattr(store, "gather", blind_at_first)
    response = door.send(externalId="x-1")
    assert response.status_code == 201
    assert (Lead.objects.count(), len(looks)) == (1, 2)


def test_an_external_id_that_is_taken_and_never_seen_is_503(
    door: Door, quiet: pytest.MonkeyPatch
) -> None:
    quiet.setattr("intake.store.write", lambda *args, **more: False)
    assert_problem(door.send(externalId="x-1"), 503, "unavailable")


def test_a_refused_post_costs_the_limiter_and_one_insert(door: Door) -> None:
    door.send()
    with CaptureQueriesContext(connection) as queries:
        door.post(b"x")
    assert len(queries) == 2


# --- tags ---------------------------------------------------------------------------------------


def test_known_tags_are_put_on_the_lead_and_unknown_ones_named(door: Door) -> None:
    business = door.source.business
    vip = business.tags.create(name="VIP")
    web = business.tags.create(name="Web form")
    make_source().business.tags.create(name="theirs")
    response = door.send(
        tagIds=[str(vip.id).upper(), "nobody"], tagNames=["web FORM", "theirs", "two words"]
    )
    assert set(Lead.objects.get().tags.all()) == {vip, web}
    assert response.headers["Leadping-Ignored-Fields"] == "tagIds.nobody, tagNames.theirs, +1 more"
    assert business.tags.count() == 2


def test_a_tag_that_was_just_deleted_refuses_no_post(door: Door) -> None:
    tag = door.source.business.tags.create(name="default")
    kept = door.source.business.tags.create(name="kept")
    door.source.default_tags.add(tag, kept)
    door.send()
    tag.delete()
    assert door.send().status_code == 201
    newest = Lead.objects.first()
    assert newest
    assert list(newest.tags.all()) == [kept]


def test_a_source_puts_its_own_tags_on_leads_that_bring_none(door: Door) -> None:
    tag = door.source.business.tags.create(name="default")
    door.source.default_tags.add(tag)
    door.send()
    assert list(Lead.objects.get().tags.all()) == [tag]
    other = door.source.business.tags.create(name="other")
    door.send(tagNames=["other"])
    newest = Lead.objects.first()
    assert newest
    assert set(newest.tags.all()) == {other}


def test_a_source_with_a_field_map_and_kept_names(db: None) -> None:
    source = make_source(field_map={"cell": "phone"}, is_unknown_kept=True)
    response = Door(source, make_key(source)[1]).post({"Cell": "5125550137", "colour": "green"})
    assert response.status_code == 201
    assert response.json()["contact"]["phone"]["number"] == "+15125550137"
    assert response.json()["metadata"]["sourceMetadata"] == {"colour": "green"}
    assert "Leadping-Ignored-Fields" not in response.headers


def test_a_problem_says_what_its_type_says_unless_told_otherwise() -> None:
    assert Problem("not-found").detail == PROBLEM_TYPES["not-found"].detail
    assert Problem("not-found", "Other.").detail == "Other."
    assert not keys.is_well_formed("")
