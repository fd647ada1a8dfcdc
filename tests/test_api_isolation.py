"""Two businesses: nothing in the read API shows, changes or tells of a row of the other.

One table of every URL; whoever adds one gives it a line here.
"""

import json
from typing import Any
from uuid import UUID

import pytest
from django.core import serializers
from django.db import connection
from django.test.utils import CaptureQueriesContext

from leadping.api import urls
from leads.changes import LeadChange
from leads.models import Disclosure, Lead, LookBack, Review, Suppression
from sources.models import Business, Source, SourceKey, Tag
from tests.api import Api
from tests.factories import Door, flat_post, make_source, suppress

pytestmark = pytest.mark.django_db

UNKNOWN = "01983c5a-7e21-7b40-9d3f-2c61f0a8e514"
NAME = "Zzyzx"  # in every text of the other business
PHONE, EMAIL = "+12025550143", "zzyzx@zzyzx.example"

# What a lead is asked to become; without meaning for what has no such members.
CHANGE = {"contact": {"firstName": "Mine"}, "name": "Mine now", "description": "Mine"}
PERSON = {"phoneNumber": PHONE, "email": EMAIL, "channel": "all", "reason": "Mine"}
OF_BUSINESS = PERSON | {"organizationId": "{business}"}


def by(field: str, value: Any) -> dict[str, Any]:
    """Return what asks a list for one value, and for a count of it."""
    return {"filters": [{"field": field, "value": value}], "includeCount": True}


# URL name: method, what follows its path, body, and what is answered, of a row of the other
# business as of one that nobody has. `{lead}` and the like stand for ids of the other.
TABLE: dict[str, list[tuple[str, str, Any, int]]] = {
    "api-lead": [("GET", "", ..., 404), ("PUT", "", CHANGE, 404), ("DELETE", "", ..., 404)],
    "api-archive": [("POST", "", {"reason": 1}, 404)],
    "api-unarchive": [("POST", "", ..., 404)],
    "api-lead-tags": [("POST", "", {"tagIds": []}, 404), ("PUT", "", {"tagIds": []}, 404)],
    "api-lead-tag": [("DELETE", "", ..., 404)],
    "api-leads": [
        ("POST", "", {"includeCount": True}, 200),
        ("POST", "?tagIds={tag}", ..., 200),
        ("POST", "?archiveFilter=all", {"includeCount": True}, 200),
        *(
            ("POST", "?archiveFilter=all", by(field, value), 200)
            for field, value in (
                *(("id", "{lead}"), ("sourceId", "{source}"), ("tagId", "{tag}")),
                *(("phone", PHONE), ("email", EMAIL), ("firstName", NAME), ("lastName", NAME)),
                *(("externalId", NAME), ("product", NAME), ("price", 77.7), ("city", NAME)),
            )
        ),
        *(
            ("POST", "?archiveFilter=all", {"search": text, "includeCount": True}, 200)
            for text in ("{lead}", PHONE, PHONE[-4:], EMAIL, NAME)
        ),
        ("POST", "", {"rangeFilters": [{"field": "price", "greaterThan": 77}]}, 200),
    ],
    "api-tags": [
        ("GET", "", ..., 200),
        ("GET", "?includeArchived=true", ..., 200),
        ("POST", "", {"name": "Mine"}, 201),
    ],
    "api-tag": [("PUT", "", CHANGE, 404), ("DELETE", "", ..., 404)],
    "api-new-source": [
        ("POST", "", {"name": "Mine too"}, 201),
        ("POST", "", {"name": "Mine as well", "defaultTagIds": ["{tag}"]}, 400),
    ],
    "api-source": [("GET", "", ..., 404), ("PUT", "", CHANGE, 404), ("DELETE", "", ..., 404)],
    "api-metrics": [("GET", "", ..., 404)],
    "api-sources": [
        ("POST", "", {"includeCount": True}, 200),
        ("POST", "", by("id", "{source}"), 200),
        ("POST", "", by("name", f"{NAME} source"), 200),
        ("POST", "", {"search": NAME, "includeCount": True}, 200),
    ],
    "api-suppress": [("POST", "", OF_BUSINESS, 400)],
    "api-release": [("POST", "", OF_BUSINESS, 400), ("POST", "", PERSON, 200)],
    "api-check": [("POST", "", OF_BUSINESS, 400), ("POST", "", PERSON, 200)],
    "api-suppression": [("GET", "", ..., 404)],
    "api-suppressions": [
        ("POST", "", {"includeCount": True}, 200),
        *(
            ("POST", "", by(field, value), 200)
            for field, value in (
                *(("id", "{suppression}"), ("phoneNumber", PHONE), ("kind", "opt-out")),
                *(("channel", "all"), ("status", "active")),
            )
        ),
        ("POST", "", {"search": PHONE, "includeCount": True}, 200),
    ],
}
# What a call itself names comes back to it.
ECHO = ("api-release", "api-check")


@pytest.fixture
def mine() -> Api:
    """Return a client of a business that has a lead of its own."""
    door = Door(make_source())
    door.send()
    return Api(door.source.business)


@pytest.fixture
def theirs() -> dict[str, str]:
    """Return the ids of the rows of another business, all of them named in its own way."""
    business = Business.objects.create(name=f"{NAME} Inc.")
    tag = Tag.objects.create(business=business, name=NAME, description=NAME)
    source = make_source(business=business, name=f"{NAME} source", description=NAME)
    members = {"firstName": NAME, "lastName": NAME, "city": NAME, "product": NAME, "price": 77.7}
    made = Door(source).post(flat_post(**members, phone=PHONE, email=EMAIL, externalId=NAME))
    lead = Lead.objects.get(id=made.json()["id"])
    lead.tags.add(tag)
    entry = suppress(PHONE, business, reason=NAME)
    return {
        "lead": str(lead.id),
        "source": str(source.id),
        "tag": str(tag.id),
        "suppression": str(entry.id),
        "business": str(business.id),
    }


def filled(given: Any, ids: dict[str, str]) -> Any:
    """Return a path or body with ids for what stands for them."""
    if given is ...:
        return given
    text = given if isinstance(given, str) else json.dumps(given)
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text if isinstance(given, str) else json.loads(text)


def path_of(name: str) -> str:
    """Return the path of a URL, with names of rows in braces."""
    (pattern,) = [one for one in urls.urlpatterns if one.name == name]
    what = {"/leads": "lead", "/sources": "source", "/suppressions": "suppression", "/tags": "tag"}
    text = (
        str(pattern.pattern).replace(urls.TAG_ID, "{tag}").removeprefix("^").removesuffix("/?\\Z")
    )
    root = f"/{text.partition('/')[0]}"
    return f"/{text.replace(urls.ID, '{' + what[root] + '}')}"


def theirs_as_kept(business_id: str) -> str:
    """Return every row of the other business as it stands in the database."""
    key = UUID(business_id)
    rows: list[Any] = [
        *Business.objects.filter(id=key),
        *Tag.objects.filter(business=key),
        *Source.objects.filter(business=key),
        *SourceKey.objects.filter(source__business=key),
        *Lead.objects.filter(business=key),
        *Suppression.objects.filter(business=key),
    ]
    of_leads: Any
    for of_leads in (Review, LeadChange, Disclosure, LookBack):
        rows += of_leads.objects.filter(lead__business=key)
    return str(serializers.serialize("json", rows))


CASES = [
    pytest.param(name, *case, id=f"{name}-{number}-{case[0]}")
    for name, cases in TABLE.items()
    for number, case in enumerate(cases)
]


def test_every_url_of_the_api_has_a_line() -> None:
    named = {one.name for one in urls.urlpatterns}
    assert named == TABLE.keys(), "Give each URL a line in TABLE of tests/test_api_isolation.py."
    for pattern in urls.urlpatterns:
        methods = pattern.callback.view_class.scopes.keys()  # type: ignore[attr-defined]
        assert methods == {one[0] for one in TABLE[str(pattern.name)]}, pattern.name


@pytest.mark.parametrize(("name", "method", "more", "body", "status"), CASES)
def test_a_business_finds_and_changes_nothing_of_another(
    mine: Api, theirs: dict[str, str], name: str, method: str, more: str, body: Any, status: int
) -> None:
    before = theirs_as_kept(theirs["business"])
    template = path_of(name) + more
    answers, statements = [], []
    mine.get(f"/leads/{UNKNOWN}")  # notes the use of the token, once
    unknown = dict.fromkeys(theirs, UNKNOWN)
    for ids in (unknown, theirs) if status != 201 else (theirs,):  # of one name there is one
        path = filled(template, ids)
        with CaptureQueriesContext(connection) as captured:
            answer = mine.ask(method, path, filled(body, ids), headers={"X-Request-Id": "the-same"})
        said = answer.content.decode().replace(path.partition("?")[0], "")
        headers = {
            k: v for k, v in answer.headers.items() if k not in ("RateLimit", "Content-Length")
        }
        answers.append((answer.status_code, said, headers))
        statements.append(len(captured))
    assert answers[-1][0] == status, answers[-1]
    told = answers[-1][1] + str(answers[-1][2])
    for secret in (*theirs.values(), NAME, *(() if name in ECHO else (PHONE, EMAIL))):
        assert secret not in told
    if status >= 400:
        assert answers[0] == answers[-1]
    assert statements[0] == statements[-1]  # nor does it take another time
    if "filters" in str(body) or "search" in str(body):
        assert json.loads(answers[-1][1])["totalCount"] == 0
    assert theirs_as_kept(theirs["business"]) == before


def test_the_other_business_does_find_its_own(theirs: dict[str, str]) -> None:
    api = Api(Business.objects.get(id=theirs["business"]))
    cases = [(name, *case) for name, cases in TABLE.items() for case in cases]
    # What is only asked comes first, what changes things after.
    for name, method, more, body, status in sorted(cases, key=lambda one: one[4]):
        if method == "DELETE":
            continue
        answer = api.ask(method, filled(path_of(name) + more, theirs), filled(body, theirs))
        assert answer.status_code in (200, 201), (name, answer.json())
        if status == 200 and ("filters" in str(body) or "search" in str(body)):
            assert answer.json()["totalCount"] == 1, (name, body)
