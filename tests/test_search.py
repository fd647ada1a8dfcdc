"""What a text means when leads are searched: spellings, who may search by parts, and by index."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads import search
from leads.models import Lead
from leads.normalize import name_key
from leads.search import NotFitting, find, fitting, why_not
from sources.models import Source
from tests.factories import CERTIFICATE, Door, make_source, make_tombstone

PERSON = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "phone": "512-555-0137",
    "email": "Ada.Lovelace+x@Example.com",
    "externalId": "crm-77001",
    "trustedFormUrl": CERTIFICATE,
}


def lead_with(door: Door, **members: Any) -> Lead:
    """Return the lead of a post of this person, but for these members."""
    answer = door.send(**{**PERSON, **members})
    assert answer.status_code == 201, answer.content
    return Lead.objects.get(id=answer.json()["id"])


@pytest.fixture
def ada(door: Door) -> Lead:
    """Return a lead among others of whom nobody asks."""
    other = {"phone": "713-555-0199", "email": "grace@example.org", "trustedFormUrl": None}
    lead_with(door, **other, firstName="Grace", lastName="Hopper", externalId="other")
    return lead_with(door)


def hows(text: str, *, may_reveal: bool = True) -> list[str]:
    return [one.how for one in find(text, may_reveal=may_reveal)]


def all_fitting(param: str, value: str, *, may_reveal: bool = True) -> set[UUID]:
    q = fitting(param, value, may_reveal=may_reveal).q
    return set(Lead.objects.filter(q).values_list("id", flat=True))


# --- what is understood ---------------------------------------------------------------------------

WHOLE = [
    ("5125550137", "phone"),
    ("(512) 555-0137", "phone"),
    ("+1 512 555 0137", "phone"),
    ("1-512-555-0137", "phone"),
    ("512.555.0137", "phone"),
    ("011 1 512 555 0137", "phone"),
    ("٥١٢٥٥٥٠١٣٧", "phone"),
    ("＋１（５１２）５５５-０１３７", "phone"),
    ("  512\u200b5550137\t", "phone"),
    ("ada.lovelace+x@example.com", "email"),
    ("ADA.LOVELACE+X@EXAMPLE.COM", "email"),
    ("ada.lovelace+x＠example.com", "email"),
    ("crm-77001", "vendor_id"),
    (" crm-77001 ", "vendor_id"),
    (CERTIFICATE, "certificate"),
    (CERTIFICATE[-40:].upper(), "certificate"),
    ("Lovelace", "name"),
    ("LOVELACE", "name"),
    ("Lovélace", "name"),
    ("Ada Lovelace", "name"),
    ("lovelace ada", "name"),
    ("Lovelace, Ada", "name"),
    ("Lovelace ,Ada", "name"),
]
IN_PART = [
    ("Lovel", "name"),
    ("lo", "name"),
    ("Lovelace A", "name"),
    ("Lovelace, A", "name"),
    ("0137", "ending"),
    ("50137", "ending"),
    ("125550137", "ending"),
    ("٠١٣٧", "ending"),
]
NOTHING = [
    *("", " ", "@", "+", "1", "137", "0138", "40137", "a@b", "ada@example.org", "512-555-0138"),
    *("Love lace", "velace", "Byron", "l", "%", "_ovelace", "lovelace%", "Ada Byron"),
    *(
        "crm-7700",
        "CRM-77001",
        "0" * 32,
        "01a212e8-a275-7424-bb08-267420d9adb7",
        "\x00",
        "a\x00b",
        "crm-77001\x00",
    ),
    *("\ud800", "a" * 401, "1" * 400, "١" * 400, "ﷺ" * 400, "\u202e", "🦄", "--", "a,", ",", ",,"),
    *("' OR 1=1; --", "{}", "urn:uuid:", "x" * 255, "Lovelace, Ada, Countess", "a b c d e f g h"),
]


@pytest.mark.parametrize(("text", "how"), WHOLE)
@pytest.mark.parametrize("may_reveal", [False, True])
def test_whole_values_find_a_lead_for_everybody(
    ada: Lead, text: str, how: str, may_reveal: bool
) -> None:
    (match,) = find(text, may_reveal=may_reveal)
    assert (match.how, match.lead) == (how, ada.id)
    assert all_fitting(match.param, match.value, may_reveal=may_reveal) == {ada.id}
    assert match.told == fitting(match.param, match.value, may_reveal=may_reveal).told


@pytest.mark.parametrize("spell", [str, lambda id_: id_.hex.upper(), lambda id_: f"{{{id_}}}"])
def test_an_id_finds_its_lead(ada: Lead, spell: Any) -> None:
    (match,) = find(spell(ada.id), may_reveal=False)
    assert (match.how, match.lead, match.param) == ("id", ada.id, "id_of")
    assert all_fitting("id_of", match.value) == {ada.id}


@pytest.mark.parametrize(("text", "how"), IN_PART)
def test_parts_find_a_lead_only_for_those_who_may_reveal(ada: Lead, text: str, how: str) -> None:
    (match,) = find(text, may_reveal=True)
    assert (match.how, match.lead) == (how, ada.id)
    assert all_fitting(match.param, match.value) == {ada.id}
    assert find(text, may_reveal=False) == []
    told = why_not(text, may_reveal=False)
    assert "Only those who may reveal" in told
    assert told == why_not(text.translate(str.maketrans("lo013", "xy978")), may_reveal=False)


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.parametrize("may_reveal", [False, True])
def test_what_means_nothing_finds_nothing_and_is_told(
    ada: Lead, text: str, may_reveal: bool
) -> None:
    assert find(text, may_reveal=may_reveal) == []
    told = why_not(text, may_reveal=may_reveal)
    assert told.endswith((".", "…."))
    assert len(text.strip()) < 3 or text not in told


def test_the_vendors_own_id_may_look_like_anything(door: Door) -> None:
    lead = lead_with(door, externalId="7135550100")
    other = lead_with(door, phone="713-555-0100", email=None, externalId="0100")
    found = {one.how: one.lead for one in find("7135550100", may_reveal=False)}
    assert found == {"phone": other.id, "vendor_id": lead.id}
    assert hows("0100") == ["vendor_id", "ending"]


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (
            ("José", "García Márquez"),
            ["garcia marquez", "Jose Garcia Marquez", "García Márquez, J"],
        ),
        (("María José", "López"), ["lopez", "Maria Jose Lopez", "LÓPEZ, maría  josé", "lo"]),
        (("", "Lovelace"), ["lovelace"]),
        (("Ada", ""), ["ada", "AD"]),
        (("Zoë", "Strauß"), ["strauss", "zoe STRAUSS"]),
        (("太郎", "山田"), ["山田", "太郎 山田", "山田 太郎"]),
    ],
)
def test_a_name_is_found_in_the_order_that_people_say_it(
    door: Door, names: tuple[str, str], texts: list[str]
) -> None:
    lead = lead_with(door, firstName=names[0] or None, lastName=names[1] or None)
    assert [[one.lead for one in find(text, may_reveal=True)] for text in texts] == [
        [lead.id] for _ in texts
    ]


def test_whole_names_come_before_longer_ones(door: Door) -> None:
    lee = lead_with(door, lastName="Lee")
    leeds = lead_with(door, lastName="Leeds", externalId="2")
    (match,) = find("lee", may_reveal=True)
    assert all_fitting(match.param, match.value) == {lee.id}
    assert {one.lead for one in find("leed", may_reveal=True)} == {leeds.id}
    assert all_fitting("name_of", f"{leeds.id}.3") == {lee.id, leeds.id}


def test_the_newest_lead_that_fits_is_told_and_all_are_listed(door: Door) -> None:
    business = door.source.business
    doors = [door, Door(make_source(business=business)), Door(make_source())]
    leads = [lead_with(one) for one in doors]
    for number, lead in enumerate(leads):
        received_at = timezone.now() - timedelta(days=(1, 0, 2)[number])
        Lead.objects.filter(id=lead.id).update(received_at=received_at)
    for text in (
        "5125550137",
        PERSON["email"],
        "crm-77001",
        "0137",
        "lovelace",
        "lov",
        CERTIFICATE,
    ):
        (match,) = find(text, may_reveal=True)
        assert match.lead == leads[1].id, text
        assert all_fitting(match.param, match.value) == {one.id for one in leads}
    assert all_fitting("certificate_of", str(leads[0].id)) == {one.id for one in leads}


def test_tests_and_deleted_leads_are_found_and_erased_ones_only_by_their_ids(door: Door) -> None:
    test = lead_with(Door(door.source, door.source.issue_key(is_test=True)[1]))
    deleted = lead_with(door, phone="512-555-0138", email="b@example.com", externalId="deleted")
    erased = lead_with(door, phone="512-555-0139", email="c@example.com", externalId="erased")
    Lead.objects.filter(id=deleted.id).update(deleted_at=timezone.now())
    make_tombstone(erased)
    assert test.is_test
    assert [one.lead for one in find("5125550137", may_reveal=False)] == [test.id]
    assert [one.lead for one in find("5125550138", may_reveal=False)] == [deleted.id]
    assert [one.lead for one in find("lovelace", may_reveal=False)] == [deleted.id]
    assert find("5125550139", may_reveal=True) == find("0139", may_reveal=True) == []
    assert hows(str(erased.id)) == ["id"]
    assert hows("erased") == ["vendor_id"]
    for param in ("phone_of", "email_of", "ending_of", "name_of", "certificate_of"):
        with pytest.raises(NotFitting):
            fitting(param, str(erased.id), may_reveal=True)


# --- privacy --------------------------------------------------------------------------------------


def test_nothing_of_the_person_stands_in_what_goes_into_an_address_or_a_line(ada: Lead) -> None:
    private = [*("ada", "lovelace", "5550137", "0137"), ada.email, ada.phone, ada.name_key]
    for text, _ in [*WHOLE, *IN_PART]:
        for match in find(text, may_reveal=True):
            shown = f"{match.param}={match.value.replace(str(ada.id), '')} {match.told}".lower()
            assert match.value.startswith(str(ada.id))
            assert not [one for one in private if one in shown.replace("e-mail a•", "")]


def test_the_length_of_a_name_in_an_address_tells_nothing_to_who_may_not_reveal(
    door: Door,
) -> None:
    ada = lead_with(door)
    lovelock = lead_with(door, lastName="Lovelock", externalId="2")
    annabella = lead_with(door, firstName="Annabella", externalId="3")
    for length in range(40):
        fits = all_fitting("name_of", f"{ada.id}.{length}", may_reveal=False)
        assert fits == {ada.id}, length
        told = fitting("name_of", f"{ada.id}.{length}", may_reveal=False).told
        assert told == "name A••• L•••"
    # by words, as whoever searches gives them
    assert all_fitting("name_of", f"{ada.id}.1w", may_reveal=False) == {ada.id, annabella.id}
    for words in ("0w", "2w", "3w", "999w"):
        assert all_fitting("name_of", f"{ada.id}.{words}", may_reveal=False) == {ada.id}
    assert all_fitting("name_of", str(ada.id), may_reveal=False) == {ada.id}
    assert all_fitting("name_of", f"{ada.id}.5") == {ada.id, lovelock.id, annabella.id}


def test_the_ending_of_a_phone_fits_only_for_who_may_reveal(door: Door) -> None:
    ada = lead_with(door)
    other = lead_with(door, phone="713-555-0137", externalId="2")
    third = lead_with(door, phone="713-556-0137", externalId="3")
    assert all_fitting("ending_of", str(ada.id)) == {ada.id, other.id, third.id}
    assert all_fitting("ending_of", f"{ada.id}.7") == {ada.id, other.id}
    with pytest.raises(NotFitting):
        fitting("ending_of", str(ada.id), may_reveal=False)


@pytest.mark.parametrize("param", [*search.PARAMS, "no_such_param"])
@pytest.mark.parametrize("may_reveal", [False, True])
def test_what_is_no_search_in_an_address_is_refused(
    ada: Lead, param: str, may_reveal: bool
) -> None:
    ids = ["", ".", "x", "\x00", str(uuid4()), f"{ada.id}.", f"{ada.id}.x", f"{ada.id}.-1"]
    values = [*ids, f"{ada.id}.9999", f"{ada.id}.٣", f"{ada.id}.1.2", "\ud800", "9" * 5000]
    for value in values:
        if value == f"{ada.id}." and param != "no_such_param":
            continue
        with pytest.raises(NotFitting):
            fitting(param, value, may_reveal=may_reveal)
    with pytest.raises(NotFitting):
        fitting("ending_of", f"{ada.id}.3", may_reveal=may_reveal)


def test_a_lead_without_the_value_fits_nothing(door: Door) -> None:
    lead = lead_with(door, **dict.fromkeys(PERSON) | {"email": "x@example.com"})
    for param in {*search.PARAMS} - {"id_of", "email_of"}:
        with pytest.raises(NotFitting):
            fitting(param, str(lead.id), may_reveal=True)


@pytest.mark.django_db
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(st.characters(exclude_categories=[]), max_size=30)
    | st.from_regex(r"[+(]?[0-9 .-]{1,14}@?", fullmatch=True),
    may_reveal=st.booleans(),
)
def test_no_text_whatever_breaks_the_search(text: str, may_reveal: bool) -> None:
    assert find(text, may_reveal=may_reveal) == []
    assert why_not(text, may_reveal=may_reveal)


# --- by index -------------------------------------------------------------------------------------

PLANS = [
    ("5125550137", "lead_of_phone"),
    ("p7@example.com", "lead_of_email"),
    ("x-7", "lead_external_id_unique"),
    ("7" * 40, "lead_of_certificate"),
    ("0137", "lead_of_ending"),
    ("50137", "lead_of_ending"),
    ("Person0007", "lead_of_name"),
    ("Ada Person0007", "lead_of_name"),
    ("Person000", "lead_of_name"),
]


def load(source: Source, count: int) -> None:
    """Store so many leads, each of a person of its own."""
    now = timezone.now()
    Lead.objects.bulk_create(
        [
            Lead(
                source=source,
                business=source.business,
                received_at=now - timedelta(minutes=number),
                compliance_status="Approved",
                external_id=f"x-{number}",
                phone=f"+1512555{number:04}",
                email=f"p{number}@example.com",
                email_key=f"p{number}@example.com",
                first_name="Ada",
                last_name=f"Person{number:04}",
                name_key=name_key(f"Person{number:04}", "Ada"),
                certificate_id=f"{number:040}",
            )
            for number in range(count)
        ],
        batch_size=500,
    )


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        prefix = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{prefix} {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


@pytest.mark.parametrize(("text", "index"), PLANS)
def test_each_search_goes_by_its_index(source: Source, text: str, index: str) -> None:
    # The many of a short beginning are found by time as soon, in a table of few and full pages.
    load(source, 4000 if text == "Person000" else 1000)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE leads_lead")
    with CaptureQueriesContext(
        connection,
    ) as asked:
        find(text, may_reveal=True)
    plans = [plan_of(one["sql"]) for one in asked if '"leads_lead"' in one["sql"]]
    assert any(re.search(rf"\b{index}\b", one) for one in plans), plans
    assert not [one for one in plans if "SCAN leads_lead" in one or "Seq Scan" in one], plans
    assert not [one for one in plans if "lead_in_time" in one or "lead_by_" in one], plans


@pytest.mark.parametrize("text", [text for text, _ in PLANS])
def test_a_search_takes_as_many_statements_however_many_leads_there_are(
    source: Source, text: str
) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            find(text, may_reveal=True)
        counts.append(len(asked))
        if not Lead.objects.exists():
            load(source, 300)
    assert max(counts) <= 9


def test_a_name_that_very_many_have_is_found_as_one_that_few_have(
    door: Door, monkeypatch: Any
) -> None:
    ada = lead_with(door)
    annabella = lead_with(door, firstName="Annabella", externalId="3")
    few = [find(text, may_reveal=True) for text in ("lovel", "Lovelace", "Ada Lovelace", "Byron")]
    monkeypatch.setattr(search, "FEW", 0)
    many = [find(text, may_reveal=True) for text in ("lovel", "Lovelace", "Ada Lovelace", "Byron")]
    assert many == few
    assert all_fitting("name_of", f"{ada.id}.1w") == {ada.id, annabella.id}
    assert all_fitting("name_of", f"{ada.id}.4") == {ada.id, annabella.id}
