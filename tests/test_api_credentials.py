"""Who may ask the read API, how often, and for what: tokens, scopes and the rate."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import resolve
from django.utils import timezone

from intake.throttling import FAILED_LOGINS
from leadping.api import credentials, urls
from sources import keys
from sources.tokens import ApiToken, Scope
from tests.api import Api, make_token
from tests.factories import Door, make_business

pytestmark = pytest.mark.django_db

NOBODY = "/leads/00000000-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def fresh_process() -> Any:
    """Forget which uses of tokens were noted."""
    credentials.forget()


def asked(authorization: str | None, path: str = NOBODY, **headers: str) -> Any:
    given = {} if authorization is None else {"Authorization": authorization}
    return Client().get(path, headers=given | headers)


def test_a_right_token_opens_and_its_use_is_noted() -> None:
    api = Api(make_business())
    assert api.get(NOBODY).status_code == 404
    token = ApiToken.objects.get()
    assert token.last_used_at is not None
    assert token.digest == keys.digest(api.key)
    assert api.key not in str(token.__dict__)
    assert api.key.startswith("sk_")
    assert keys.is_well_formed(api.key, keys.TOKEN_PREFIX)
    assert keys.blank(f"my token {api.key}")[1]  # one in a body would not be kept


def test_whatever_is_wrong_with_a_token_is_answered_alike(door: Door) -> None:
    business = door.source.business
    _, right = make_token(business)
    expired, ended = make_token(business)
    ApiToken.objects.filter(id=expired.id).update(expires_at=timezone.now())
    revoked, taken_back = make_token(business)
    revoked.revoke(timezone.now())
    mistyped = right[:-1] + ("a" if right[-1] != "a" else "b")
    tries = [
        *(None, "", "Bearer", f"Basic {right}", right, f"Bearer {door.key}", f"Bearer {mistyped}"),
        *(f"Bearer {ended}", f"Bearer {taken_back}", f"Bearer {keys.mint(keys.TOKEN_PREFIX)}"),
        *(f"Bearer {right}, Bearer {right}", "Bearer é"),
    ]
    bodies = set()
    for one in tries:
        answer = asked(one, **{"X-Request-Id": "the-same-id"})
        assert answer.status_code == 401, one
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="leadping"'
        assert answer.headers["Leadping-Problem"] == "invalid-credentials"
        bodies.add(answer.content)
    assert len(bodies) == 1
    assert asked(f"Bearer {right}").status_code == 404
    assert asked(f"bearer  {right} ").status_code == 404


def test_a_token_in_the_query_is_refused_and_is_none_of_intake(door: Door) -> None:
    _, right = make_token(door.source.business)
    assert asked(f"Bearer {right}", f"{NOBODY}?key={right}").status_code == 401
    posted = door.post(headers={"Authorization": f"Bearer {right}"})
    assert posted.status_code == 401
    assert door.post().status_code == 201


def test_a_token_ends_by_itself_and_when_it_is_revoked() -> None:
    api = Api(make_business())
    assert api.token
    with time_machine.travel(api.token.expires_at - timedelta(seconds=1), tick=False):
        assert api.get(NOBODY).status_code == 404
    with time_machine.travel(api.token.expires_at, tick=False):
        assert api.get(NOBODY).status_code == 401
    api.token.revoke(timezone.now())
    assert api.get(NOBODY).status_code == 401


def test_the_thirty_first_failed_login_of_an_address_is_429() -> None:
    for _ in range(FAILED_LOGINS):
        assert asked("Bearer sk_x").status_code == 401
    refused = asked("Bearer sk_x")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    # a right one is never refused for others' failures
    assert Api(make_business()).get(NOBODY).status_code == 404


def test_a_token_asks_as_often_as_it_may() -> None:
    business = make_business()
    _, key = make_token(business, rate_per_minute=2)
    api, other = Api(business, key=key), Api(business)
    answers = [api.get(NOBODY) for _ in range(3)]
    assert [one.status_code for one in answers] == [404, 404, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert answers[1].headers["RateLimit"].startswith('"requests";r=0;t=')
    assert int(answers[2].headers["Retry-After"]) > 0
    assert answers[2].json()["retryable"]
    assert other.get(NOBODY).status_code == 404


# What each operation needs besides a token.
NEEDS = [
    ("GET", NOBODY, Scope.LEADS_READ),
    ("PUT", NOBODY, Scope.LEADS_WRITE),
    ("DELETE", NOBODY, Scope.LEADS_WRITE),
    ("POST", f"{NOBODY}/archive", Scope.LEADS_WRITE),
    ("POST", f"{NOBODY}/unarchive", Scope.LEADS_WRITE),
    ("POST", f"{NOBODY}/tags", Scope.LEADS_WRITE),
    ("PUT", f"{NOBODY}/tags", Scope.LEADS_WRITE),
    ("DELETE", f"{NOBODY}/tags/{NOBODY[7:]}", Scope.LEADS_WRITE),
    ("POST", "/leads/all/my", Scope.LEADS_READ),
    ("GET", "/tags", Scope.LEADS_READ),
    ("POST", "/tags", Scope.LEADS_WRITE),
    ("PUT", f"/tags/{NOBODY[7:]}", Scope.LEADS_WRITE),
    ("DELETE", f"/tags/{NOBODY[7:]}", Scope.LEADS_WRITE),
    ("POST", "/sources", Scope.SOURCES),
    ("POST", "/sources/all/my", Scope.SOURCES),
    *((method, f"/sources/{NOBODY[7:]}", Scope.SOURCES) for method in ("GET", "PUT", "DELETE")),
    ("GET", f"/sources/{NOBODY[7:]}/metrics", Scope.SOURCES),
    *(("POST", f"/suppressions{one}", Scope.SUPPRESSIONS) for one in ("", "/release", "/check")),
    ("POST", "/suppressions/all/my", Scope.SUPPRESSIONS),
    ("GET", f"/suppressions/{NOBODY[7:]}", Scope.SUPPRESSIONS),
]


def test_every_method_of_every_url_says_what_it_needs() -> None:
    methods = [
        (method, resolve(path).func)
        for method, path, _ in NEEDS  # by the view, for paths hold ids
    ]
    for pattern in urls.urlpatterns:
        for method in pattern.callback.view_class.scopes:  # type: ignore[attr-defined]
            assert (method, pattern.callback) in methods, (method, pattern.name)


@pytest.mark.parametrize(("method", "path", "scope"), NEEDS)
def test_each_operation_needs_its_scope_and_no_other(method: str, path: str, scope: Scope) -> None:
    business = make_business()
    without = Api(business, [one for one in Scope if one != scope])
    refused = without.ask(method, path, {})
    assert refused.status_code == 403
    assert refused.headers["Leadping-Problem"] == "insufficient-scope"
    assert scope.value in refused.json()["detail"]
    assert Api(business, [scope]).ask(method, path, {}).status_code in (200, 400, 404)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "POST"])
def test_other_methods_are_405_with_those_that_are_answered(method: str) -> None:
    answer = Api(make_business()).ask(method, NOBODY)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "DELETE, GET, PUT"


def test_the_api_is_answered_alike_with_a_trailing_slash_and_never_stored() -> None:
    api = Api(make_business())
    for path in ("/leads/all/my", "/leads/all/my/"):
        answer = api.post(path, headers={"Accept": "text/plain;q=0.9", "X-Request-Id": "my-own-id"})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-Id"] == "my-own-id"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", "malformed-body"),
        (b"[]", "application/json", "malformed-body"),
        (b'{"a": "\\u0000"}', "application/json", "malformed-body"),
        (b'{"a": 1, "a": 2}', "application/json", "malformed-body"),
        (b"{}", "text/plain", "unsupported-media-type"),
        (b"{}", "application/json; charset=latin-1", "unsupported-media-type"),
        (b" " * 70_000, "application/json", "body-too-large"),
        (b'{"pageSize": -1}', "application/json", "invalid-request"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem(body: bytes, content_type: str, code: str) -> None:
    answer = Api(make_business()).post("/leads/all/my", body, content_type=content_type)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Leadping-Problem"] == code


def test_no_token_and_no_person_is_in_the_log(door: Door, log_lines: Any) -> None:
    api = Api(door.source.business)
    made = door.send().json()["id"]
    api.get(f"/leads/{made}")
    api.put(f"/leads/{made}", {"contact": {"phone": {"number": "bad 5125550188"}}})
    asked(f"Bearer {api.key[:-1]}")
    written = str(log_lines())
    assert "api.answered" in written
    assert "api.refused" in written
    for secret in (api.key, api.key[3:20], "5550137", "5550188", "ada@"):
        assert secret not in written
