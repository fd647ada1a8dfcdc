"""Posts as URL-encoded forms and as queries: contract §1, §2, §3 "Form and query"."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import Client

from intake.bodies import read_form
from intake.fields import FLAT, MetadataField, TagsField, names_of
from intake.models import Post
from intake.problems import Problem
from leads.models import Lead
from sources import keys
from tests.factories import Door, flat_post, make_key, make_source

FORM = "application/x-www-form-urlencoded"
LISTS, OBJECTS = names_of(TagsField, FLAT), names_of(MetadataField, FLAT)


def members(form: str | bytes) -> Any:
    """Return the members of a form."""
    return read_form(form.encode() if isinstance(form, str) else form, LISTS, OBJECTS)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", {}),
        ("phone=512+555%200137", {"phone": "512 555 0137"}),
        ("a=1&&b=2&", {"a": "1", "b": "2"}),
        ("flag&a=", {"flag": "", "a": ""}),
        ("a=x=y", {"a": "x=y"}),
        ("n=Zo%C3%AB", {"n": "Zoë"}),
        (b"n=Zo\xc3\xab", {"n": "Zoë"}),
        ("tagIds=a&tagIds=b", {"tagIds": ["a", "b"]}),
        ("tagIds[]=a&tagIds[]=b", {"tagIds": ["a", "b"]}),
        ("tagIds[0]=a&tagIds[1]=b", {"tagIds": ["a", "b"]}),
        ("tagIds%5B0%5D=a&tagIds=b", {"tagIds": ["a", "b"]}),
        ("TAG_NAMES=a", {"TAG_NAMES": ["a"]}),
        ("sourceMetadata[a]=1&sourceMetadata[b]=2", {"sourceMetadata": {"a": "1", "b": "2"}}),
        (
            "sourceMetadata.a.b=1&sourceMetadata[c]=2",
            {"sourceMetadata": {"a.b": "1", "c": "2"}},
        ),
        ('sourceMetadata={"a": "1", "b": 2}', {"sourceMetadata": {"a": "1", "b": "2"}}),
        ("sourceMetadata=text", {"sourceMetadata": "text"}),
        ("sourceMetadata=", {"sourceMetadata": ""}),
        ("other[a]=1&other.b=2&phone[]=3", {"other[a]": "1", "other.b": "2", "phone[]": "3"}),
    ],
)
def test_a_form_is_read(form: str, expected: object) -> None:
    assert members(form) == expected


@pytest.mark.parametrize(
    "form",
    [
        "phone=1&phone=2",
        "phone=1&ph%6Fne=2",
        "flag&flag",
        "tagIds[0]=a&tagIds[0]=b",
        "sourceMetadata[a]=1&sourceMetadata[a]=2",
        "sourceMetadata.a=1&sourceMetadata[a]=2",
        'sourceMetadata={"a":"1"}&sourceMetadata[b]=2',
        'sourceMetadata[b]=2&sourceMetadata={"a":"1"}',
        'sourceMetadata={"a":"1"}&sourceMetadata={"b":"1"}',
        'sourceMetadata={"a":"1","a":"2"}',
        'sourceMetadata={"a":NaN}',
        'sourceMetadata={"a":',
        "phone=%",
        "phone=%5",
        "phone=%zz",
        "phone=%ff",
        "%ff=1",
        b"phone=\xff",
        "phone=%ED%A0%80",
        "phone=%00",
        "a%00=1",
        "&".join(f"k{n}=1" for n in range(201)),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(form: str | bytes) -> None:
    with pytest.raises(Problem) as refused:
        members(form)
    assert refused.value.type.code == "malformed-body"


def test_two_hundred_members_are_read() -> None:
    assert len(members("&".join(f"k{n}=1" for n in range(200)))) == 200


# --- POST, as a form ----------------------------------------------------------------------------


def without_ids(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without what no two leads share."""
    metadata = {k: v for k, v in answer["metadata"].items() if k not in ("createdAt", "businessId")}
    return {"metadata": metadata, "contact": answer["contact"], "customer": answer["customer"]}


def test_a_form_makes_the_lead_that_the_same_json_makes(door: Door) -> None:
    door.source.duplicate_window_days = 0  # the same lead comes twice
    door.source.save(update_fields=["duplicate_window_days"])
    door.source.business.tags.create(name="VIP")
    fields = flat_post(zip=2134, price="10", state="texas", dateOfBirth="1984-07-19")
    form = [*fields.items(), ("tagNames[]", "vip"), ("sourceMetadata[page]", "a & b")]
    sent = urlencode(form).encode()
    response = door.post(sent, content_type=f"{FORM}; charset=UTF-8")
    assert response.status_code == 201
    as_json = door.send(**fields, tagNames=["vip"], sourceMetadata={"page": "a & b"})
    assert without_ids(response.json()) == without_ids(as_json.json())
    lead = Lead.objects.get(id=response.json()["id"])
    assert (lead.postal_code, [tag.name for tag in lead.tags.all()]) == ("02134", ["VIP"])
    assert bytes(Post.objects.get(lead=lead).body) == sent


def test_a_form_with_a_fault_is_told_its_names(door: Door) -> None:
    response = door.post(b"Phone=1&zip=1&colour=x", content_type=FORM)
    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"Phone", "zip"}
    response = door.post(b"phone=5125550137&phone=5125550137", content_type=FORM)
    assert response.headers["Leadping-Problem"] == "malformed-body"
    response = door.post(b"&", content_type=FORM)
    assert response.headers["Leadping-Problem"] == "invalid-lead"


@pytest.mark.parametrize("name", ["sourceMetadata[a][b]", "sourceMetadata[a"])
def test_a_broken_index_is_no_member_of_the_object(door: Door, name: str) -> None:
    response = door.post(urlencode({"phone": "5125550137", name: "x"}).encode(), content_type=FORM)
    assert response.status_code == 201
    assert response.json()["metadata"]["sourceMetadata"] == {}
    assert response.headers["Leadping-Ignored-Fields"] == "+1 more"


def test_a_source_has_its_own_names_in_forms_too(db: None) -> None:
    door = Door(make_source(field_map={"labels": "tagNames", "cell": "phone"}))
    door.source.business.tags.create(name="VIP")
    response = door.post(b"cell=5125550137&labels=vip&labels=x", content_type=FORM)
    assert response.status_code == 201
    assert response.headers["Leadping-Ignored-Fields"] == "tagNames.x"


@pytest.mark.parametrize(
    "spelt", ["{key}", "{escaped}", "x%3D{key}", "%6Cp_src_{rest}", "lp%5Fsrc%5F{rest}"]
)
def test_a_key_in_a_form_is_blanked_however_it_is_spelt(door: Door, spelt: str) -> None:
    key = keys.mint()
    escaped = "".join(f"%{ord(one):02X}" for one in key)
    text = spelt.format(key=key, escaped=escaped, rest=key.removeprefix(keys.PREFIX))
    assert door.post(f"phone=5125550137&city={text}".encode(), content_type=FORM).status_code == 201
    post = Post.objects.get()
    assert post.has_credential_blanked
    kept = bytes(post.body).decode() + Lead.objects.get().city
    assert key[10:] not in kept
    assert escaped[20:] not in kept
    assert f"[key removed {keys.digest(key)[:8]}]" in kept


def test_a_token_behind_an_escape_is_blanked(door: Door) -> None:
    token = "sk_" + "a1" * 20
    door.post(f"phone=5125550137&city=x%3D{token}".encode(), content_type=FORM)
    assert token not in bytes(Post.objects.get().body).decode()


# --- GET ----------------------------------------------------------------------------------------


def get(door: Door, query: Mapping[str, Any] | str, *, headers: Any = None, **more: Any) -> Any:
    """Call the URL with a query, with the source's key in the headers unless told otherwise."""
    text = query if isinstance(query, str) else urlencode(query, doseq=True)
    credentials = door.credentials if headers is None else headers
    return Client().get(f"{door.path}?{text}", headers=credentials, **more)


@pytest.mark.parametrize("case", [str.title, str.upper, str.lower])
def test_a_lead_comes_by_query_in_any_letter_case(door: Door, case: Any) -> None:
    query = {case(name): value for name, value in flat_post(zip="78701").items()}
    response = get(door, query)
    assert response.status_code == 201
    assert response.json()["contact"]["firstName"] == "Ada"
    post = Post.objects.get()
    assert (post.method, post.path) == ("GET", "/leads/intake")
    assert bytes(post.body).decode() == urlencode(query)
    assert response.headers["Cache-Control"] == "no-store"


def test_a_query_with_a_fault_is_refused_and_kept(door: Door) -> None:
    response = get(door, "Phone=1")
    assert (response.status_code, set(response.json()["errors"])) == (400, {"Phone"})
    assert response.json()["instance"] == "/leads/intake"
    assert get(door, "Phone=1&Phone=1").headers["Leadping-Problem"] == "malformed-body"
    assert get(door, "").headers["Leadping-Problem"] == "invalid-lead"
    assert [bytes(post.body) for post in Post.objects.order_by("id")][:1] == [b"Phone=1"]


def test_a_query_of_64_kib_is_taken_and_more_is_not(door: Door) -> None:
    query = "Phone=5125550137&x="
    assert get(door, query + "y" * (65536 - len(query))).status_code == 201
    response = get(door, query + "y" * (65537 - len(query)))
    assert response.headers["Leadping-Problem"] == "body-too-large"
    assert len(Post.objects.get(status=413).body) == 4096


def test_what_a_get_says_of_a_body_means_nothing(door: Door) -> None:
    response = get(door, "Phone=5125550137", CONTENT_TYPE="text/plain", HTTP_ACCEPT="text/html")
    assert response.status_code == 201


@pytest.fixture
def open_door(db: None) -> Door:
    """Return the door of a source that may have its key in the URL."""
    return Door(make_source(is_query_key_allowed=True))


def in_query(door: Door, **members: str) -> dict[str, str]:
    """Return a query with the credentials in it."""
    return {"sourceId": str(door.source.id), "sourceKey": door.key} | members


@pytest.mark.parametrize("rename", [str, str.lower, str.upper])
def test_a_source_may_be_opened_for_keys_in_the_query(open_door: Door, rename: Any) -> None:
    query = {rename(name): one for name, one in in_query(open_door, Phone="5125550137").items()}
    response = get(open_door, query, headers={})
    assert response.status_code == 201
    assert "Leadping-Ignored-Fields" not in response.headers
    post = Post.objects.get()
    assert open_door.key not in bytes(post.body).decode()
    assert post.has_credential_blanked


def test_any_other_source_refuses_a_key_in_the_query(door: Door) -> None:
    assert get(door, in_query(door, Phone="5125550137"), headers={}).status_code == 401
    assert get(door, in_query(door, Phone="5125550137")).status_code == 401


def test_a_post_refuses_a_key_in_the_query_of_an_open_source(open_door: Door) -> None:
    for path in ("/leads/intake", "/leads"):
        open_door.path = f"{path}?{urlencode(in_query(open_door))}"
        assert open_door.post(headers={}).status_code == 401
        assert open_door.send().status_code == 401


def test_wrong_credentials_in_the_query_are_refused_alike(open_door: Door) -> None:
    good = in_query(open_door, Phone="5125550137")
    other = Door(make_source(is_query_key_allowed=True))
    wrong: list[dict[str, Any]] = [
        good | {"sourceKey": keys.mint()},
        good | {"sourceKey": "wrong"},
        good | {"sourceId": str(other.source.id)},
        good | {"sourceId": "é"},
        good | {"sourceKey": ""},
        good | {"sourceId": ""},
        good | {"sourceKey": [open_door.key, open_door.key]},
        good | {"City": keys.mint()},
    ]
    for query in wrong:
        assert get(open_door, query, headers={}).status_code == 401, query
    headers = {"Authorization": f"Bearer {other.key}"}
    assert get(open_door, good, headers=headers).status_code == 401
    headers = {"Authorization": f"Bearer {make_key(open_door.source)[1]}"}
    assert get(open_door, good, headers=headers).status_code == 201


def test_blank_credentials_in_the_query_mean_nothing(open_door: Door) -> None:
    query = {"sourceId": "", "sourceKey": "", "Phone": "5125550137"}
    assert get(open_door, query).status_code == 201
    assert get(open_door, query, headers={}).status_code == 401


def test_a_percent_encoded_key_in_the_query_is_blanked(open_door: Door) -> None:
    spelt = "".join(f"%{ord(one):02x}" for one in open_door.key)
    query = f"sourceId={open_door.source.id}&sourceKey={spelt}&Phone={quote('5125550137')}"
    assert get(open_door, query, headers={}).status_code == 201
    assert spelt not in bytes(Post.objects.get().body).decode()
