"""The description of the API: it is what the code makes, whole, valid, and what is answered."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, override_settings
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from intake.problems import PROBLEM_TYPES
from leadping.api import operations, pages, schema
from leadping.api.schemas import EXAMPLE_URL, LEAD_ID
from sources.rules import Mode, Rule
from tests.api import ALL, Api
from tests.described import DESCRIPTION, METHODS, check, faults, resolved
from tests.factories import CERTIFICATE, Door, flat_post, make_source, make_tombstone, suppress

SHAPES = DESCRIPTION["components"]["schemas"]
EACH = pytest.mark.parametrize(
    ("method", "path", "told"), METHODS, ids=[f"{method} {path}" for method, path, _ in METHODS]
)

# --- the file -------------------------------------------------------------------------------------


def test_the_committed_file_is_what_the_code_makes() -> None:
    assert pages.FILE.read_text() == schema.description(), "run make docs"


def test_it_is_valid_openapi_3_1() -> None:
    assert DESCRIPTION["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(DESCRIPTION).iter_errors()) == []


def test_each_row_of_the_table_is_a_method_of_a_url() -> None:
    assert {(method, path) for method, path, _ in METHODS} == operations.OPERATIONS.keys()
    ids = [told["operationId"] for _, _, told in METHODS]
    assert len(set(ids)) == len(ids)


def undescribed(told: Any, place: str = "") -> Iterator[str]:
    """Yield the places of properties, parameters and headers that say nothing of themselves."""
    if isinstance(told, list):
        for at, one in enumerate(told):
            yield from undescribed(one, f"{place}/{at}")
    if not isinstance(told, dict):
        return
    for name, one in told.items():
        here = f"{place}/{name}"
        if name in ("examples", "value"):
            continue
        if name in ("properties", "headers", "schemas", "securitySchemes"):
            yield from (f"{here}/{each}" for each, of in one.items() if "description" not in of)
        if name == "parameters":
            yield from (f"{here}/{of['name']}" for of in one if "description" not in of)
        if name == "responses" and "content" not in one:
            answers = (resolved(of) for of in one.values())
            yield from (here for of in answers if not of.get("description"))
        yield from undescribed(one, here)


def test_every_property_parameter_header_and_answer_is_described() -> None:
    assert list(undescribed(DESCRIPTION)) == []


def test_a_property_without_a_description_is_found() -> None:
    shape = {"schemas": {"A": {"description": "A.", "properties": {"b": {"type": "string"}}}}}
    assert list(undescribed(shape)) == ["/schemas/A/properties/b"]


@EACH
def test_each_operation_is_told_whole(method: str, path: str, told: dict[str, Any]) -> None:
    assert told["summary"]
    assert told["description"].endswith(".")
    assert told["tags"][0] in {one["name"] for one in DESCRIPTION["tags"]}
    (kinds,) = ({*one} for one in told["security"][:1])
    if kinds == {"Bearer"}:
        assert "Needs the scope `" in told["description"]
    for status, answer in told["responses"].items():
        for kind, content in resolved(answer).get("content", {}).items():
            assert (kind == "application/problem+json") == (int(status) >= 400)
            for example in content["examples"].values():
                value = resolved(example)["value"]
                assert faults(content["schema"], value, DESCRIPTION) == []
    for content in told.get("requestBody", {}).get("content", {}).values():
        (example,) = content["examples"].values()
        assert faults(content["schema"], example["value"], DESCRIPTION) == []


@pytest.mark.parametrize("name", SHAPES)
def test_each_example_of_a_property_is_one(name: str) -> None:
    for one in SHAPES[name]["properties"].values():
        for example in one.get("examples", []):
            assert faults(one, example, DESCRIPTION) == [], one


def test_examples_of_problems_are_those_of_the_table() -> None:
    shown = DESCRIPTION["components"]["examples"]
    assert shown.keys() == PROBLEM_TYPES.keys()
    for code, one in PROBLEM_TYPES.items():
        assert shown[code]["value"] == one.example


# --- what is answered -----------------------------------------------------------------------------

FULL = {
    "metadata": {
        **{"trustedFormUrl": CERTIFICATE, "utmSource": "a", "utmMedium": "b", "utmCampaign": "c"},
        **{"utmTerm": "d", "utmContent": "e", "referrer": "https://a.example", "subId": "s"},
        **{"landingPage": "https://b.example", "pubId": "p", "externalId": "x-1"},
        **{"sellerLeadId": "l", "price": 12.5, "directPostPrice": 0.0125, "product": "Solar"},
        **{"vertical": "Home", "sourceMetadata": {"step": "3"}},
    },
    "contact": {
        **{"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.com"},
        "phone": {"number": "512-555-0137", "type": "cell"},
        "streetAddress": {
            **{"line1": "a", "line2": "b", "city": "c", "state": "TX", "province": "d"},
            **{"region": "e", "postalCode": "78701", "country": "US", "additionalInfo": "f"},
        },
    },
    "customer": {
        **{"gender": "F", "height": 68, "weight": 150.5, "birthDate": "1984-07-19"},
        **{"maritalStatus": "Married", "income": 85000, "isHomeowner": True, "creditScore": 700},
        **{"monthsAtResidence": 30, "hasBankruptcy": False, "employmentType": "PartTime"},
        **{"numberOfDependents": 2, "hasMedicalCondition": False},
    },
    "tagNames": ["VIP"],
}


@pytest.fixture
def api(door: Door) -> Api:
    """Return a client with every scope."""
    return Api(door.source.business)


def posted(door: Door) -> str:
    """Post a lead with every field, and return its path."""
    door.source.business.tags.create(name="VIP", color="#1F6FEB")
    response = Door(door.source, door.key, "/leads").post(FULL)
    assert response.status_code == 201
    return str(response.headers["Location"])


@pytest.mark.django_db
def test_every_answer_of_intake_is_described(door: Door) -> None:
    structured = Door(door.source, door.key, "/leads")
    form: dict[str, Any] = {"content_type": "application/x-www-form-urlencoded"}
    query = door.client.get("/leads/intake?Phone=5125550188", headers=door.credentials)
    full = structured.post(FULL)
    for answer in (door.send(), door.post(b"phone=5125550199", **form), query, full):
        assert check(answer) == ""
    suppress("+15125550137", door.source.business)
    blocked = door.post(flat_post(firstName=None, email=None))
    assert blocked.json()["metadata"]["smsOptedOut"] is True
    assert check(blocked) == ""


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", [("leads:read", "leads:write"), ALL])
def test_every_answer_about_leads_is_described(door: Door, scopes: Any) -> None:
    path = posted(door)
    tag = door.source.business.tags.get()
    door.post({"email": "eve@example.com"})
    api = Api(door.source.business, scopes)
    answers = [
        api.get(path),
        api.put(path, {"metadata": {"utmTerm": "x" * 600}}),
        api.post("/leads/all/my", {"pageSize": 1, "includeCount": True}),
        api.post(f"{path}/archive", {"reason": 3, "note": "Sold"}),
        api.post("/leads/all/my?archiveFilter=all"),
        api.post(f"{path}/unarchive"),
        api.delete(f"{path}/tags/{tag.id}"),
        api.post(f"{path}/tags", {"tagNames": ["VIP"]}),
        api.put(f"{path}/tags", {"tagIds": [], "tagNames": [], "colour": 1}),
        api.delete(path),
    ]
    for answer in answers:
        assert answer.status_code < 300
        assert check(answer) == ""


@pytest.mark.django_db
def test_every_answer_about_tags_is_described(api: Api) -> None:
    made = api.post("/tags", {"name": "VIP", "color": "#1F6FEB", "description": "Call first"})
    path = f"/tags/{made.json()['id']}"
    answers = [
        made,
        api.post("/tags", {"name": "plain"}),
        api.put(path, {"color": ""}),
        api.get("/tags?colour=1"),
        api.delete(path),
        api.get("/tags?includeArchived=true"),
    ]
    assert [one.status_code for one in answers] == [201, 201, 200, 200, 200, 200]
    assert {check(one) for one in answers} == {""}


@pytest.mark.django_db
def test_every_answer_about_sources_is_described(door: Door, api: Api) -> None:
    api.business.tags.create(name="VIP")
    path = f"/sources/{door.source.id}"
    door.send()
    bare = api.post("/sources", {"name": "bare"})
    full = {
        **{"name": "full", "description": "a", "costPerLead": 12.5, "allowedStates": ["Texas"]},
        **{"allowedProducts": ["Solar"], "defaultTagNames": ["VIP"], "requiresTrustedForm": True},
    }
    answers = [
        bare,
        api.post("/sources", full),
        api.get(path),
        api.put(path, {"name": "other", "regenerateApiKey": True, "colour": 1}),
        api.post("/sources/all/my", {"pageSize": 2, "includeCount": True}),
        api.get(f"{path}/metrics?days=7"),
        api.delete(path),
    ]
    assert [one.status_code for one in answers] == [201, 201, 200, 200, 200, 200, 204]
    assert {check(one) for one in answers} == {""}


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", [("suppressions",), ALL])
def test_every_answer_about_suppressions_is_described(door: Door, scopes: Any) -> None:
    api = Api(door.source.business, scopes)
    person = {"phoneNumber": "512-555-0137", "email": "ada@example.com", "reason": "Asked"}
    made = api.post("/suppressions", person)
    path = f"/suppressions/{made.json()['id']}"
    answers = [
        made,
        api.post("/suppressions/check", person),
        api.get(path),
        api.post("/suppressions/release", person),
        api.post("/suppressions/release", person),
        api.post("/suppressions/check", person),
        api.post("/suppressions/all/my", {"includeCount": True}),
        api.get(path),
    ]
    assert [one.status_code for one in answers] == [201, *[200] * 7]
    assert {check(one) for one in answers} == {""}


# --- every problem --------------------------------------------------------------------------------


def breaking(error: Exception) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def on(**settings: Any) -> Door:
    """Return the door of a source with these settings."""
    return Door(make_source(**settings))


def strict(rule: Rule, **settings: Any) -> Door:
    """Return the door of a source that refuses what a rule finds."""
    return on(modes={rule: Mode.REJECT}, **settings)


def after(door: Door, first: dict[str, Any], second: dict[str, Any]) -> Any:
    """Post twice, and return the second answer."""
    assert door.send(**first).status_code == 201
    return door.send(**second)


def by_key(door: Door, **members: Any) -> Any:
    return door.post(flat_post(**members), headers=door.credentials | {"Idempotency-Key": "k-1"})


def erased() -> Any:
    door = on()
    lead_id = door.send(externalId="x-1").json()["id"]
    make_tombstone(door.source.leads.get(id=lead_id))
    return door.send(externalId="x-1")


def suppressed() -> Any:
    door = strict(Rule.SUPPRESSED)
    suppress("+15125550137", door.source.business)
    return door.send()


def too_many() -> Any:
    return after(on(rate_per_minute=1), {}, {})


def chunked(client: Client) -> Any:
    return client.generic("POST", "/leads/intake", b"", HTTP_TRANSFER_ENCODING="chunked")


POSTS: dict[str, Callable[[], Any]] = {
    "malformed-body": lambda: on().post(b"{"),
    "invalid-lead": lambda: on().send(email="nobody"),
    "invalid-credentials": lambda: on().post(headers={}),
    "source-disabled": lambda: on(is_enabled=False).send(),
    "not-found": lambda: on().post(headers={"Host": "elsewhere.example"}),
    "external-id-conflict": lambda: after(
        on(), {"externalId": "x"}, {"externalId": "x", "phone": "5125550199", "email": None}
    ),
    "lead-erased": erased,
    "length-required": lambda: chunked(Client()),
    "body-too-large": lambda: on().post(b"x" * 70_000),
    "unsupported-media-type": lambda: on().post(b"<a/>", content_type="text/xml"),
    "not-accepted": suppressed,
    "rate-limited": too_many,
    "source-not-approved": lambda: strict(Rule.SOURCE_NOT_APPROVED, is_approved=False).send(),
    "state-not-allowed": lambda: strict(Rule.STATE_NOT_ALLOWED, allowed_states=["TX"]).send(
        state="NY"
    ),
    "product-not-allowed": lambda: strict(Rule.PRODUCT_NOT_ALLOWED, allowed_products=["a"]).send(
        product="b"
    ),
    "vertical-not-allowed": lambda: strict(Rule.VERTICAL_NOT_ALLOWED, allowed_verticals=["a"]).send(
        vertical="b"
    ),
    "consent-missing": lambda: strict(Rule.CONSENT_MISSING, is_trusted_form_required=True).send(),
    "consent-malformed": lambda: strict(Rule.CONSENT_MALFORMED).send(trustedFormUrl="no"),
    "consent-reused": lambda: after(
        strict(Rule.CONSENT_REUSED),
        {"trustedFormUrl": CERTIFICATE},
        {"trustedFormUrl": CERTIFICATE, "phone": "5125550199", "email": None},
    ),
    "duplicate": lambda: after(strict(Rule.DUPLICATE), {}, {}),
    "phone-invalid": lambda: strict(Rule.PHONE_INVALID).send(phone="512-055-0137"),
    "underage": lambda: strict(Rule.UNDERAGE).send(dateOfBirth="2024-01-01"),
    "state-mismatch": lambda: strict(Rule.STATE_MISMATCH).send(state="TX", zip="10001"),
    "over-cap": lambda: after(
        strict(Rule.OVER_CAP, daily_cap=1), {}, {"phone": "5125550199", "email": None}
    ),
}
OURS = {"internal-error": RuntimeError(), "unavailable": OperationalError()}


def reused() -> Any:
    door = on()
    assert by_key(door).status_code == 201
    return by_key(door, firstName="Eve")


POSTS["idempotency-key-reused"] = reused


@pytest.mark.django_db
@pytest.mark.parametrize("code", operations.OF_POSTS)
def test_every_refusal_of_intake_is_described(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if code in OURS:
        monkeypatch.setattr("intake.store.gather", breaking(OURS[code]))
        response = on().send()
    else:
        response = POSTS[code]()
    assert check(response) == code


ASKED: dict[str, Callable[[Api, str], Any]] = {
    "malformed-body": lambda api, path: api.put(path, b"["),
    "invalid-credentials": lambda api, path: api.get(path, headers={"Authorization": "Bearer no"}),
    "not-found": lambda api, path: api.get(f"/leads/{LEAD_ID}"),
    "length-required": lambda api, path: api.get(path, HTTP_TRANSFER_ENCODING="chunked"),
    "body-too-large": lambda api, path: api.put(path, b"x" * 70_000),
    "invalid-request": lambda api, path: api.post("/leads/all/my", {"pageSize": "many"}),
    "insufficient-scope": lambda api, path: Api(api.business, ["leads:read"]).delete(path),
    "unsupported-media-type": lambda api, path: api.put(path, b"x", content_type="text/xml"),
    "invalid-lead": lambda api, path: api.put(path, {"contact": {"email": "nobody"}}),
}


@pytest.mark.django_db
@pytest.mark.parametrize("code", [*operations.OF_BODIES, "invalid-lead"])
def test_every_refusal_of_the_read_api_is_described(
    door: Door, api: Api, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = posted(door)
    if code in OURS:
        monkeypatch.setattr("leadping.api.leads.lead_of", breaking(OURS[code]))
        response = api.get(path)
    elif code == "rate-limited":
        type(api.token).objects.update(rate_per_minute=1)  # type: ignore[union-attr]
        api.get(path)
        response = api.get(path)
    else:
        response = ASKED[code](api, path)
    assert check(response) == code


@pytest.mark.django_db
def test_every_refusal_of_other_things_is_described(api: Api) -> None:
    weak = Api(api.business, ["leads:read"])
    unknown = LEAD_ID
    answers = [
        api.post("/tags", {"name": 1.5, "color": "red"}),
        api.put(f"/tags/{unknown}", {"name": "a"}),
        api.delete(f"/tags/{unknown}"),
        weak.post("/tags", {"name": "a"}),
        api.post("/sources", {"allowedStates": ["Nowhere"]}),
        api.get(f"/sources/{unknown}"),
        api.put(f"/sources/{unknown}", {}),
        api.get(f"/sources/{unknown}/metrics"),
        weak.get(f"/sources/{unknown}"),
        api.post("/suppressions", {"phoneNumber": "1"}),
        api.post("/suppressions/release", {"email": "ada@example.com"}),
        api.post("/suppressions/check", {"channel": "smoke"}),
        api.post("/suppressions/all/my", {"filters": [{"field": "colour", "value": 1}]}),
        api.get(f"/suppressions/{unknown}"),
        weak.post("/suppressions/check", b"{"),
        api.post("/suppressions/check", b"{"),
    ]
    refused, missing, scope = "invalid-request", "not-found", "insufficient-scope"
    assert [check(one) for one in answers] == [
        *(refused, missing, missing, scope, refused, missing, missing, missing, scope),
        *(refused, refused, refused, refused, missing, scope, "malformed-body"),
    ]


@pytest.mark.django_db
def test_an_answer_that_is_not_described_is_found(door: Door) -> None:
    response = door.send()
    response.content = json.dumps(response.json() | {"colour": "green"})
    with pytest.raises(AssertionError, match="colour"):
        check(response)
    response = door.send()
    response.status_code = 202
    with pytest.raises(AssertionError, match="202 is not described"):
        check(response)


# --- where it is to be had ------------------------------------------------------------------------


def get(path: str) -> Any:
    return Client().get(path, secure=True)


def test_it_is_served_as_it_is_committed() -> None:
    response = get("/openapi.json")
    assert response.json() == DESCRIPTION  # the tests' address is that of its examples
    assert response.headers["Content-Type"] == "application/json"
    assert "public" in response.headers["Cache-Control"]
    assert Client().post("/openapi.json", secure=True).status_code == 405


def test_it_names_the_address_of_the_service() -> None:
    pages.description.cache_clear()
    with override_settings(PUBLIC_URL="https://elsewhere.example"):
        text = get("/openapi.json").content.decode()
    pages.description.cache_clear()
    assert "https://elsewhere.example/problems/invalid-lead" in text
    assert EXAMPLE_URL not in text


@pytest.mark.django_db
def test_intake_answers_amounts_as_texts_unless_it_is_set_to_numbers(door: Door) -> None:
    structured = Door(door.source, door.key, "/leads")
    text = structured.post(FULL)
    assert text.json()["metadata"]["price"] == "12.50"
    assert text.json()["customer"]["weight"] == "150.5"
    assert check(text) == ""
    pages.description.cache_clear()
    with override_settings(INTAKE_HAS_NUMBERS=True):
        number = structured.post(FULL)
        told = get("/openapi.json").json()
    pages.description.cache_clear()
    assert number.json()["metadata"]["price"] == 12.5
    assert number.json()["customer"]["weight"] == 150
    assert check(number, told) == ""
    with pytest.raises(AssertionError, match="price"):
        check(number)


def test_shapes_are_schemas() -> None:
    for one in SHAPES.values():
        Draft202012Validator.check_schema(one)
