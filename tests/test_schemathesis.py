"""Whatever the description of the API allows, and what it does not, is answered as it says.

schemathesis makes the requests from the committed file, intake included. None may be answered with
a status, header or body that is not described, or with a 500.
"""

import copy
import datetime
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from leadping.api.members import Members
from leads.models import Lead
from tests.api import make_token
from tests.described import DESCRIPTION, closed
from tests.factories import Door, make_source, suppress

CHECKS = [
    *(not_a_server_error, status_code_conformance, content_type_conformance),
    *(response_headers_conformance, response_schema_conformance),
]
# How many cases of each operation: what the description allows, and what it does not.
COUNTS = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 4}
# Of what the description allows and we take, so much there must be; or the rest proves little.
LEAST_ACCEPTED = 0.1
# A case as it was made up; with ids that there are; with the example that the description has.
MADE_UP, KNOWN, EXAMPLE = "made up", "known", "example"
LIKENESS = st.sampled_from([KNOWN, EXAMPLE, KNOWN, MADE_UP])

# Words of the description that a client fills in from what it knows: without these, hardly a post
# would be more than a refusal of its phone.
YOUNGEST = datetime.date(2006, 1, 1)
FORMATS = {
    "phone": st.from_regex(r"\(?[2-9][0-8][0-9]\)? 555-01[0-9]{2}", fullmatch=True),
    "us-state": st.sampled_from(["TX", "Texas", "NM"]),
    "zip": st.from_regex(r"[0-9]{5}(-[0-9]{4})?", fullmatch=True),
    "email": st.from_regex(r"[a-z]{1,9}@example\.(com|org)", fullmatch=True),
    "date": st.dates(datetime.date(1930, 1, 1), YOUNGEST).map(str),
}


@pytest.fixture
def rows(db: None, settings: Any) -> dict[str, str]:
    """Return ids of rows by what they are, and a token and a key."""
    settings.SECURE_SSL_REDIRECT = False
    source = make_source(rate_per_minute=100_000)
    tag = source.business.tags.create(name="known")
    door = Door(source)
    door.send(externalId="ada-1", tagNames=["known"])
    entry = suppress("+15125550188", source.business)
    _, token = make_token(source.business, rate_per_minute=100_000)
    return {
        "business": str(source.business_id),
        "lead": str(Lead.objects.get().id),
        "tag": str(tag.id),
        "source": str(source.id),
        "suppression": str(entry.id),
        "token": token,
        "key": door.key,
    }


@contextmanager
def kept_connection() -> Iterator[None]:
    """Keep the connection, in whose transaction the rows are, through requests, as Client does."""
    signals = (request_started, request_finished)
    for one in signals:
        one.disconnect(close_old_connections)
    try:
        yield
    finally:
        for one in signals:
            one.connect(close_old_connections)


def operations() -> list[Any]:
    """Return every operation of the description, with all objects of answers closed."""
    for name, strategy in FORMATS.items():
        schemathesis.openapi.format(name, strategy)
    answers = closed(DESCRIPTION)
    for name, shape in answers["components"]["schemas"].items():
        if name.endswith(("Request", "Form")):
            del shape["additionalProperties"]
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(answers, config=config)
    return [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]


def test_what_is_generated_from_the_description_is_answered_by_it(rows: dict[str, str]) -> None:
    application = WSGIHandler()
    accepted: Counter[str] = Counter()
    sent: Counter[str] = Counter()

    def ask(case: Any, likeness: str) -> None:
        named = case.operation.label
        if likeness != MADE_UP:
            fill_in(case, rows)
        if likeness == EXAMPLE and isinstance(case.body, dict):
            case.body = example_of(case)
        scheme = next(iter(case.operation.definition.raw["security"][0]))
        key = rows["token" if scheme == "Bearer" else "key"]
        # What it changes is undone, so that each finds the same rows.
        with transaction.atomic(), kept_connection():
            response = case.call(app=application, headers={"Authorization": f"Bearer {key}"})
            transaction.set_rollback(True)
        sent[named] += 1
        accepted[named] += response.status_code < 300
        case.validate_response(response, checks=CHECKS)

    for operation in operations():
        for mode, count in COUNTS.items():
            run(operation, mode, count, ask)
    total = sum(sent.values())
    print(f"{total} cases, {sum(accepted.values())} accepted: {dict(accepted)}")
    assert sum(accepted.values()) >= LEAST_ACCEPTED * total
    assert {name for name in sent if not accepted[name]} == set()


def fill_in(case: Any, rows: dict[str, str]) -> None:
    """Put ids and names that there are in the place of those that were made up."""
    kind = case.path.split("/")[1].removesuffix("s")
    known: dict[str, Any] = {"id": rows[kind], "tagId": rows["tag"]}
    if case.path_parameters:
        case.path_parameters = {name: known[name] for name in case.path_parameters}
    if isinstance(case.body, dict):
        known = {
            **{"organizationId": rows["business"], "businessId": rows["business"]},
            **{"defaultTagIds": [rows["tag"]], "tagIds": [rows["tag"]]},
            **{"defaultTagNames": ["known"], "tagNames": ["known"], "continuationToken": None},
        }
        case.body = {name: known.get(name, one) for name, one in case.body.items()}


def example_of(case: Any) -> Any:
    """Return the body that the description shows for an operation."""
    told = DESCRIPTION["paths"][case.path][case.method.lower()]["requestBody"]
    (example,) = told["content"][case.media_type]["examples"].values()
    return copy.deepcopy(example["value"])


def run(operation: Any, mode: GenerationMode, count: int, ask: Any) -> None:
    """Send so many cases of an operation, the same each time."""

    @seed(1)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), LIKENESS)
    def each(case: Any, likeness: str) -> None:
        ask(case, likeness)

    each()


# --- what it found --------------------------------------------------------------------------------


def test_a_member_without_a_name_stands_for_no_other() -> None:
    body = Members({"": [{}]})
    assert body.raw("filters") is None
    assert list(body.objects("filters", 20)) == []
    assert not body.is_emptied("filters")
    assert body.ignored() == [""]
