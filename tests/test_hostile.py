"""Whatever is posted is answered as published, and never with a 500."""

from collections import Counter
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intake.models import Post
from intake.problems import PROBLEM_TYPES
from leads.models import Lead
from tests.factories import Door, make_source
from tests.hostile import ANSWERS, Sent, any_object, mutated_lead, requests

# The same cases each time, so that a red run is red again; set the seed aside to look for more.
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def send(door: Door, sent: Sent) -> Any:
    """Send a request with the credentials of a door."""
    headers = door.credentials | sent.headers
    content_type = headers.pop("Content-Type", "")
    meta: dict[str, Any] = {}
    if encoding := headers.pop("Transfer-Encoding", ""):
        meta["HTTP_TRANSFER_ENCODING"] = encoding
    return Client().generic(
        sent.method, sent.path, sent.body, content_type, headers=headers, **meta
    )


def check(sent: Sent, response: Any, rows_before: tuple[int, int]) -> None:
    """Check that an answer is a published one, and that the rows are what it says."""
    leads, posts = Lead.objects.count(), Post.objects.count()
    assert response.status_code in ANSWERS, response.content
    body = response.json()
    is_new = response.status_code == 201 and "Idempotency-Replayed" not in response.headers
    assert leads == rows_before[0] + is_new
    if response.status_code == 201:
        assert body["id"] == response.headers["Location"].removeprefix("/leads/")
        assert posts == rows_before[1] + 1
        return
    code = response.headers["Leadping-Problem"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert PROBLEM_TYPES[code].status == response.status_code == body["status"]
    is_strangers = "Authorization" in sent.headers
    is_kept = response.status_code in (400, 409, 413, 415, 422) and not is_strangers
    assert posts == rows_before[1] + is_kept
    assert bool(body.get("faults")) == bool(body.get("errors"))


@pytest.mark.no_cover  # it would take thrice as long, and chance proves little
@pytest.mark.parametrize(
    ("cases", "count", "accepted_at_least"),
    [(any_object, 300, 0), (mutated_lead, 1000, 0.1), (requests(), 500, 0.1)],
    ids=["any object", "mutated leads", "odd requests"],
)
def test_any_post_gets_a_published_answer(
    db: None, cases: st.SearchStrategy[Any], count: int, accepted_at_least: float
) -> None:
    door = Door(make_source(rate_per_minute=1_000_000))
    statuses: Counter[int] = Counter()

    @settings(SETTINGS, max_examples=count)
    @given(cases)
    def run(case: bytes | Sent) -> None:
        sent = case if isinstance(case, Sent) else Sent(text=case)
        if "Content-Type" not in sent.headers:
            sent.headers["Content-Type"] = "application/json"
        before = Lead.objects.count(), Post.objects.count()
        response = send(door, sent)
        check(sent, response, before)
        statuses[response.status_code] += 1

    run()
    print(dict(statuses))
    assert sum(statuses.values()) >= count
    # Else all that was tried is one refusal: of the host, of the key, of the rate.
    assert statuses[201] >= accepted_at_least * count
