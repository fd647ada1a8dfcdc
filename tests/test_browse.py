"""The list of leads: each filter keeps the right ones, pages miss none, totals count no test."""

import html
import random
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import psycopg
import pytest
import time_machine
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leads import browse as browsing
from leads.browse import PAGE_ROWS, Browse
from leads.columns import COLUMNS
from leads.models import Lead, Review, SavedView
from leads.moments import PERIODS
from leads.narrow import FILTERS
from sources.ids import uuid7
from sources.models import Tag
from sources.rules import Mode, Rule
from tests.console_rows import client_of
from tests.factories import CERTIFICATE, Door, make_source
from tests.test_admin import signed_in

LIST = "/admin/leads/lead/"
NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 25, 17, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False


def browsed(query: str = "", **more: Any) -> Browse:
    """Return the list as a query asks for it; nothing in it is wrong."""
    browse = Browse(dict(parse_qsl(query)), **more)
    assert not browse.faults
    return browse


def listed(query: str = "", **more: Any) -> list[Lead]:
    """Return the leads of the first page."""
    return browsed(query, **more).page().leads


STATES = ("TX", "CA", "WY", "")
PRODUCTS = ("Solar", "Roofing", "Gutters", "")
CODES = ("duplicate", "underage", "state-mismatch", "consent-missing")


@pytest.fixture
def many() -> list[Lead]:
    """Return 150 leads of six sources of two vendors and two businesses, of a year, newest first.

    Some at the very same moment, some tests; what differs between them is drawn.
    """
    chance = random.Random(7)
    first, other = make_source(), make_source()
    sources = [first, other]
    sources += [make_source(business=first.business) for _ in range(2)]
    sources += [make_source(business=other.business) for _ in range(2)]
    for one, vendor in ((2, 0), (3, 1), (4, 0), (5, 1)):
        sources[one].vendor = sources[vendor].vendor
        sources[one].save()
    tags = [Tag.objects.create(business=one.business, name="VIP") for one in sources[:2]]
    leads = []
    for number in range(150):
        at = NOW - timedelta(hours=number // 2 * 58)
        codes = chance.sample(CODES, chance.choice((0, 0, 0, 1, 2)))
        found = " ".join(
            f"{rule.value}:{'flag' if rule == Rule.STATE_MISMATCH else 'hold'}"
            for rule in Rule
            if rule.value in codes
        )
        status = chance.choice(("Blocked", "Rejected", "Approved") if ":hold" in found else
                               ("Approved",))  # fmt: skip
        source = chance.choice(sources)
        leads.append(
            Lead(
                id=uuid7(int(at.timestamp() * 1000)),
                source=source,
                business=source.business,
                received_at=at,
                modified_at=at if status == "Rejected" else None,
                is_test=number % 9 == 0,
                compliance_status=status,
                compliance_blocked_reason="" if status == "Approved" else "Because.",
                found=found,
                state=chance.choice(STATES),
                product=chance.choice(PRODUCTS),
                vertical=chance.choice(("Home", "Health")),
                sub_id=chance.choice(("", "sub-1", "sub-2")),
                price=chance.choice((None, Decimal("9.5"), Decimal(12), Decimal("12.5"))),
                phone=f"+1512555{1000 + number}",
            )
        )
    Lead.objects.bulk_create(leads)
    for lead in leads[::5]:
        lead.tags.add(tags[0] if lead.business_id == tags[0].business_id else tags[1])
    decided = [
        Review(
            lead=one, decision="reject", at=one.received_at, reason="No", status_after="Rejected"
        )
        for one in leads
        if one.compliance_status == "Rejected"
    ]
    Review.objects.bulk_create(decided)
    for last in decided[::3]:
        Review(lead=last.lead, decision="undo", at=last.at, reason="Undone.", undoes=last).save()
    rows = Lead.objects.select_related("source").prefetch_related("tags", "reviews__undone_by")
    return list(rows.order_by("-received_at", "-id"))


def modes_of(lead: Lead) -> dict[str, str]:
    return dict(one.split(":") for one in lead.found.split())


def on(lead: Lead) -> Any:
    return timezone.localdate(lead.received_at)


# What a filter must keep, by the lead and the value, in the plainest words there are.
KEEPS: dict[str, Callable[[Lead, str], Any]] = {
    "source": lambda lead, text: str(lead.source_id) == text,
    "vendor": lambda lead, text: str(lead.source.vendor_id) == text,
    "business": lambda lead, text: str(lead.business_id) == text,
    "status": lambda lead, text: (
        lead.compliance_status in ("Blocked", "Rejected")
        if text == "held"
        else lead.compliance_status == text
    ),
    "finding": lambda lead, text: text in modes_of(lead),
    "held_for": lambda lead, text: modes_of(lead).get(text) in ("hold", "reject"),
    "state": lambda lead, text: lead.state == text,
    "product": lambda lead, text: lead.product == text,
    "vertical": lambda lead, text: lead.vertical == text,
    "sub_id": lambda lead, text: lead.sub_id == text,
    "price_from": lambda lead, text: lead.price is not None and lead.price >= Decimal(text),
    "price_to": lambda lead, text: lead.price is not None and lead.price <= Decimal(text),
    "from": lambda lead, text: str(on(lead)) >= text,
    "to": lambda lead, text: str(on(lead)) <= text,
    "tag": lambda lead, text: text in [str(one.id) for one in lead.tags.all()],
    "tests": lambda lead, text: lead.is_test == (text == "1"),
    "hour": lambda lead, text: (
        timezone.localtime(lead.received_at, ZoneInfo(text[3:]) if text[3:] else None).hour
        == int(text[:2])
    ),
    "reviewed": lambda lead, text: (
        any(
            one.decision in ("release", "reject") and not hasattr(one, "undone_by")
            for one in lead.reviews.all()
        )
        == (text == "1")
    ),
    "without": lambda lead, text: not getattr(lead, text),
    "period": lambda lead, text: {
        "today": lambda: on(lead) == on_now(),
        "yesterday": lambda: on(lead) == on_now() - timedelta(days=1),
        "7d": lambda: on(lead) > on_now() - timedelta(days=7),
        "30d": lambda: on(lead) > on_now() - timedelta(days=30),
        "month": lambda: str(on(lead))[:7] == "2026-11",
        "last-month": lambda: str(on(lead))[:7] == "2026-10",
    }[text](),
}


def on_now() -> Any:
    return timezone.localdate(NOW)


def values_of(many: Iterable[Lead]) -> dict[str, list[str]]:
    """Return values to ask each filter for: all that there are, and some that there are not."""
    return {
        "source": sorted({str(one.source_id) for one in many}),
        "vendor": sorted({str(one.source.vendor_id) for one in many}),
        "business": sorted({str(one.business_id) for one in many}),
        "status": ["Approved", "Blocked", "Rejected", "held"],
        "finding": [*CODES, "over-cap"],
        "held_for": [*CODES, "over-cap"],
        "state": ["TX", "CA", "WY", "GU"],
        "product": ["Solar", "Gutters", "Nothing"],
        "vertical": ["Home", "Health", "Pets"],
        "sub_id": ["sub-1", "sub-2", "sub-3"],
        "price_from": ["9.50", "10", "12.5", "99"],
        "price_to": ["9.50", "10", "12.5", "1"],
        "from": ["2026-11-01", "2026-03-15", "2027-01-01"],
        "to": ["2026-11-01", "2026-03-15", "2020-01-01"],
        "tag": sorted(str(one) for one in Tag.objects.values_list("id", flat=True)),
        "tests": ["0", "1"],
        "hour": ["00", "13", "23", "06@America/Chicago", "06@Asia/Kolkata"],
        "reviewed": ["0", "1"],
        "without": ["state", "product", "sub_id"],
        "period": list(PERIODS),
    }


def query_of(chosen: dict[str, str]) -> str:
    return "&".join(f"{name}={text}" for name, text in chosen.items())


def walked(query: str) -> list[Lead]:
    """Return the leads of all pages, from the first on."""
    found: list[Lead] = []
    while True:
        page = browsed(query).page()
        found += page.leads
        if not page.older:
            return found
        query = page.older


def check(chosen: dict[str, str], many: list[Lead]) -> None:
    """Fail unless the list with these filters has exactly the leads that they keep, in order."""
    kept = [one for one in many if all(KEEPS[name](one, text) for name, text in chosen.items())]
    assert walked(query_of(chosen)) == kept, chosen
    totals = browsed(query_of(chosen)).totals()
    real = [one for one in kept if not one.is_test]
    assert totals.leads == len(real), chosen
    assert totals.tests == len(kept) - len(real), chosen
    assert totals.price == sum((one.price or 0 for one in real), Decimal(0)), chosen


def test_every_filter_has_a_word_here() -> None:
    assert FILTERS.keys() == KEEPS.keys()


def test_each_filter_keeps_exactly_its_leads_alone_and_with_a_date(many: list[Lead]) -> None:
    with time_machine.travel(NOW, tick=False):
        for name, values in values_of(many).items():
            for text in values:
                check({name: text}, many)
                if name not in ("from", "to", "period"):
                    check({name: text, "from": "2026-03-15", "to": "2026-11-20"}, many)


@pytest.mark.parametrize("seed", range(8))
def test_filters_together_keep_what_all_of_them_keep(many: list[Lead], seed: int) -> None:
    chance = random.Random(seed)
    values = values_of(many)
    with time_machine.travel(NOW, tick=False):
        for _ in range(25):
            names = chance.sample(sorted(values), chance.choice((2, 3, 4)))
            chosen = {name: chance.choice(values[name]) for name in names}
            ends = [(chosen.get(f"{one}from"), chosen.get(f"{one}to")) for one in ("", "price_")]
            if not any(low and high and low_above(low, high) for low, high in ends):
                check(chosen, many)


def low_above(low: str, high: str) -> bool:
    """Say whether a range begins after its end, which is told and not looked for."""
    return low > high if "-" in low else Decimal(low) > Decimal(high)


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("query", ["", "status=held", "tests=0"])
def test_pages_forwards_and_back_show_each_lead_once(
    many: list[Lead], order: str, query: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(browsing, "PAGE_ROWS", 7)
    query = f"{query}&order={order}"
    whole = walked(query)
    assert [one.id for one in whole] == [one.id for one in dict.fromkeys(whole)]
    pages = []
    while True:
        page = browsed(query).page()
        pages.append(page.leads)
        if not page.older:
            break
        query = page.older
    assert len(page.leads) < 7 or page.older == ""
    back = [page.leads]
    while page.newer:
        page = browsed(page.newer).page()
        back.append(page.leads)
    assert back[::-1] == pages
    assert [one for page in pages for one in page] == whole


def test_a_page_goes_on_where_it_was_whatever_has_come_since(many: list[Lead]) -> None:
    first = browsed().page()
    Door(make_source()).send()
    assert browsed(first.older).page().leads == many[PAGE_ROWS : 2 * PAGE_ROWS]
    assert "after=" in first.older
    assert first.newer == ""


def test_totals_are_of_the_newest_where_there_are_very_many(
    many: list[Lead], monkeypatch: Any
) -> None:
    monkeypatch.setattr(browsing, "COUNTED_AT_MOST", 20)
    totals = browsed().totals()
    assert totals.is_capped
    assert totals.rows == 20
    assert totals.tests == sum(one.is_test for one in many[:20])
    assert not browsed("state=GU").totals().is_capped
    monkeypatch.setattr(browsing, "COUNTED_UNORDERED", 10)
    assert browsed("price_from=1").totals().rows == 20  # told apart into its few prices
    monkeypatch.setattr("leads.narrow.BRANCHES_AT_MOST", 2)
    assert browsed("price_from=1").totals().rows == 10
    assert browsed("price_from=1&state=TX").totals().rows > 10


def test_the_totals_row_adds_up_what_is_shown_and_never_a_test(many: list[Lead]) -> None:
    client = client_of("Analyst")
    response = client.get(f"{LIST}?cols=createdAt,complianceStatus,price")
    real = [one for one in many if not one.is_test]
    page = response.content.decode()
    assert f'<strong class="number">{len(real)}</strong> leads' in page
    assert "tests, not in the totals" in page
    foot = re.search(r"<tfoot>.*?</tfoot>", page, re.DOTALL)
    assert foot
    assert f"{sum(one.price or 0 for one in real):,.2f}" in foot[0]
    only = client.get(f"{LIST}?tests=1").context["totals"]
    assert (only.leads, only.tests) == (0, len(many) - len(real))


# --- what the URL says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("status=Nice", "Status: there is no such status."),
        ("finding=bad-luck", "Finding: there is no such rule."),
        ("source=x", "Source: there is none like this."),
        ("vendor=01a212e1-29c1-7e4c-a38d-71916b69aab6", "Vendor: there is none like this."),
        ("price_from=cheap", "Price from: this is no amount, like 12.50."),
        ("price_to=1e9", "Price to: this is no amount, like 12.50."),
        ("from=soon", "From: this is no date, like 2026-11-25."),
        ("to=9999-12-31", "To: this is no date, like 2026-11-25."),
        ("to=0001-01-01T00:00:00%2B14:00", "To: this is no date, like 2026-11-25."),
        ("period=ever", "Received: there is no such time."),
        ("tag=x", "Tag: there is no such tag."),
        ("tests=2", "Tests: 0 is without tests, 1 is tests only."),
        ("product=" + "x" * 101, "Product: no lead has such a value."),
        ("sub_id=a%01b", "Sub ID: no lead has such a value."),
        ("order=sideways", "Order: the list has no such order."),
        ("cols=createdAt,password", "Columns: there is none of that name."),
        ("after=x", "The page began at a lead that is not there"),
        ("before=01a212e1-29c1-7e4c-a38d-71916b69aab6", "The page began at a lead that is not"),
        ("sub_id=512-555-0137", "Sub ID: this may name a person"),
        ("product=zeb@example.com", "Product: this may name a person"),
        ("from=2026-11-20&to=2026-11-19", "To: this lies before the beginning."),
        ("price_from=10&price_to=9.99", "Price to: this lies below the price that it begins with."),
        ("phone__startswith=%2B1512", "The list has no such filter: phone__startswith"),
    ],
)
def test_what_the_url_says_wrongly_is_told_and_left_out(
    many: list[Lead], query: str, told: str
) -> None:
    client = client_of("Analyst")
    response = client.get(f"{LIST}?vertical=Home&{query}")
    assert response.status_code == 302
    response = client.get(response.headers["Location"])
    assert told in html.unescape(response.content.decode())
    assert "Home" in [one.value for one in response.context["chips"]]
    assert "faults" not in response.headers.get("Location", "")


@pytest.mark.parametrize("name", ["phone_of", "name_of", "ending_of", "id_of"])
def test_a_search_that_is_not_open_finds_nothing_and_says_so(many: list[Lead], name: str) -> None:
    value = f"{many[0].id}.7" if name == "ending_of" else "01a212e1-29c1-7e4c-a38d-71916b69aab6"
    page = client_of("Analyst").get(f"{LIST}?{name}={value}")
    assert page.status_code == 200
    assert page.context["rows"] == []
    assert "The search in the address is of no lead" in page.content.decode()


def test_what_is_searched_for_keeps_columns_and_order_and_stays_out_of_the_url(door: Door) -> None:
    door.send(phone="512-555-0137", lastName="Lovelace")
    client = client_of("Analyst")
    query = "status=Blocked&cols=price,phone&order=oldest"
    response = client.post(LIST, {"find": "+1 (512) 555.0137", "query": query})
    assert response.status_code == 302
    lead = Lead.objects.get()
    assert response.headers["Location"] == (
        f"{LIST}?cols=price,phone&order=oldest&phone_of={lead.id}"
    )
    page = client.get(response.headers["Location"])
    assert [one.value for one in page.context["chips"]] == ["phone +1512•••••37"]
    assert len(page.context["rows"]) == 1


def test_a_vendors_id_that_is_somebodys_name_hides_nobody(door: Door) -> None:
    door.send(externalId="Lovelace")
    door.send(phone="213-555-0199", email=..., lastName="Lovelace")
    named = Lead.objects.latest("id")
    page = client_of("Analyst").post(LIST, {"find": "Lovelace"}, follow=True)
    assert [one.value for one in page.context["chips"]] == ["vendor's id Lovelace"]
    assert f'There is also: <a href="{LIST}?name_of={named.id}.1w">name L•••</a>' in (
        page.content.decode()
    )


def test_who_may_not_reveal_cannot_try_all_numbers_behind_a_mask(
    door: Door, monkeypatch: Any
) -> None:
    monkeypatch.setattr("leadping.console.find.SEARCHES_A_MINUTE", 3)
    door.send(phone="512-555-0137")
    ann, ruth = client_of("Analyst"), client_of("Compliance reviewer")
    for client in (ann, ruth):
        for _ in range(3):
            assert client.post(LIST, {"find": "512-555-0138"}).status_code == 200
    told = ann.post(LIST, {"find": "512-555-0137"})
    assert told.status_code == 200
    assert "searches in a minute are enough: wait" in told.content.decode()
    assert "are enough" in ann.post("/admin/find/", {"text": "5125550137"}).content.decode()
    assert ruth.post(LIST, {"find": "512-555-0137"}).status_code == 302


def test_what_is_not_found_is_told_and_no_list_stands_below(door: Door) -> None:
    door.send(phone="512-555-0137")
    client = client_of("Analyst")
    page = client.post(LIST, {"find": "213-555-0199", "query": "status=Approved"})
    assert "No lead has this phone number" in page.content.decode()
    assert page.context["rows"] == []
    assert 'href="?status=Approved">Back to the list' in page.content.decode()
    empty = client.post(LIST, {"find": " ", "query": "status=Approved&phone__startswith=%2B"})
    assert empty.headers["Location"] == f"{LIST}?status=Approved"


def test_sending_the_form_untouched_changes_nothing(many: list[Lead]) -> None:
    client = client_of("Analyst")
    begin, end = many[40].received_at, many[10].received_at
    query = f"from={begin.isoformat()}&to={end.isoformat()}&price_from=9&tests=0&state=TX"
    page = client.get(f"{LIST}?{query.replace('+', '%2B')}")
    chips = [one.value for one in page.context["chips"]]
    assert chips[0] == f"{timezone.localtime(begin, NEW_YORK):%Y-%m-%d %H:%M}"
    sent = {
        field.filter.name: field.chosen for _, fields in page.context["groups"] for field in fields
    }
    kinds = {
        field.filter.name: field.kind for _, fields in page.context["groups"] for field in fields
    }
    for name in ("from", "to"):  # as a browser keeps them; a date would lose the time
        assert kinds[name] == "datetime-local"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", sent[name])
    again = client.get(LIST, sent, follow=True)
    assert [one.value for one in again.context["chips"]] == chips
    assert [one.id for one, _ in again.context["rows"]] == [
        one.id for one, _ in page.context["rows"]
    ]
    assert len(page.context["rows"]) > 0


def test_every_filter_in_force_is_a_chip_that_takes_it_off(many: list[Lead]) -> None:
    source = many[0].source
    query = f"state=TX&status=held&source={source.id}&cols=person,price"
    response = client_of("Analyst").get(f"{LIST}?{query}")
    chips = response.context["chips"]
    assert [(one.label, one.value) for one in chips] == [
        ("Source", source.name),
        ("Status", "Blocked or rejected"),
        ("State", "TX Texas"),
    ]
    for one in chips:
        assert one.without in html.unescape(response.content.decode())
    assert dict(parse_qsl(chips[2].without)) == {
        "status": "held",
        "source": str(source.id),
        "cols": "person,price",
    }


def test_a_form_leads_to_a_url_with_what_was_chosen_only(many: list[Lead]) -> None:
    client = client_of("Analyst")
    response = client.get(f"{LIST}?status=Blocked&state=&from=&price_from=&tests=")
    assert response.status_code == 302
    assert response.headers["Location"] == f"{LIST}?status=Blocked"
    response = client.get(f"{LIST}?status=Blocked&col=person&col=price")
    assert response.headers["Location"] == f"{LIST}?cols=person,price&status=Blocked"


def test_the_columns_that_are_chosen_are_shown_in_that_order(many: list[Lead]) -> None:
    response = client_of("Analyst").get(f"{LIST}?cols=price,vendor,tags,id")
    heads = re.findall(r'<th scope="col".*?<span>(.*?)</span>', response.content.decode())
    assert heads == ["Price", "Vendor", "Tags", "Id"]
    assert str(many[0].id) in response.content.decode()


def test_filters_offer_what_there_is_and_nothing_that_may_name_a_person(door: Door) -> None:
    door.send(product="Solar")
    door.send(phone="213-555-0199", email=..., product="call zeb@example.com")
    page = client_of("Analyst").get(LIST).content.decode()
    assert '<option value="Solar">' in page
    assert "zeb@example.com" not in page


def test_a_finding_is_filtered_by_however_many_mixtures_there_are(
    many: list[Lead], monkeypatch: Any
) -> None:
    for module in ("leads.narrow", "leads.browse"):
        monkeypatch.setattr(f"{module}.FOUND_AT_MOST", 2)
    for name in ("finding", "held_for"):
        for code in CODES:
            check({name: code}, many)


def test_a_tag_beyond_those_that_are_offered_is_filtered_by(
    many: list[Lead], monkeypatch: Any
) -> None:
    monkeypatch.setattr("leads.browse.OPTIONS_AT_MOST", 0)
    for text in values_of(many)["tag"]:
        check({"tag": text}, many)


def test_what_is_not_seen_in_the_name_of_a_source_is_told_in_a_list_of_options() -> None:
    make_source(name="Evil\u202etxt.exe")
    page = client_of("Analyst").get(LIST).content.decode()
    assert "Evil[U+202E]txt.exe</option>" in page


def test_no_charset_that_a_header_names_makes_the_list_fail(many: list[Lead]) -> None:
    client = client_of("Analyst")
    kind = "text/plain; charset=unicode-escape"
    for query in ("state=%5Cud800", "sub_id=%5Cx00"):
        assert client.get(f"{LIST}?{query}", CONTENT_TYPE=kind).status_code < 500


def test_a_filter_by_what_is_not_offered_survives_the_form(door: Door) -> None:
    door.send(state="Ontario")
    page = client_of("Analyst").get(f"{LIST}?state=Ontario").content.decode()
    assert '<option value="Ontario" selected>' in page


@pytest.fixture
def door() -> Door:
    return Door(make_source())


# --- masks ----------------------------------------------------------------------------------------


def test_every_column_is_masked_for_everybody(door: Door) -> None:
    secrets = {
        **{"firstName": "Zebediah", "lastName": "Quux", "email": "zeb@quux.example"},
        **{"phone": "(512) 555-0137", "address1": "9 Obscura Lane", "city": "Obscuraville"},
        **{"zip": "78701-1234", "dateOfBirth": "1984-07-19"},
        **{"landingPage": "https://lander.example/?who=zebediah"},
        **{"subId": "zeb@quux.example", "externalId": "512-555-0137", "utmSource": "5125550137"},
        **{"product": "zeb@quux.example", "state": "Obscurastate"},
    }
    door.send(**secrets)
    every = ",".join(one.name for one in COLUMNS)
    for client in (client_of("Analyst"), signed_in(is_superuser=True)):
        page = client.get(f"{LIST}?cols={every}").content.decode().lower()
        for one in (*secrets.values(), "quux", "obscura", "zebediah", "0137", "1234"):
            assert one.lower() not in page, one
    assert "z•••" in page


def test_the_name_of_a_column_is_one_of_the_contract_where_it_has_one() -> None:
    names = [one.name for one in COLUMNS]
    assert len(set(names)) == len(names)
    assert {"createdAt", "complianceStatus", "subId", "externalId", "price"} <= set(names)


# --- what it costs --------------------------------------------------------------------------------


def test_the_list_costs_the_same_at_ten_and_a_hundred_leads(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(browsing, "PAGE_ROWS", 200)
    client = client_of("Analyst")
    every = ",".join(one.name for one in COLUMNS)
    tag = Tag.objects.create(business=door.source.business, name="VIP")
    counts = []
    for number in range(100):
        door.send(phone=f"512-555-{number:04}", email=..., externalId=f"x-{number}")
        Lead.objects.latest("id").tags.add(tag)
        if number in (9, 99):
            with CaptureQueriesContext(connection) as queries:
                response = client.get(f"{LIST}?cols={every}")
            assert len(response.context["rows"]) == number + 1
            counts.append(len(queries))
    assert counts[0] == counts[1]


INDEXES = {
    "source": "lead_by_source",
    "status": "lead_by_status",
    "state": "lead_by_state",
    "product": "lead_by_product",
    "vertical": "lead_by_vertical",
    "sub_id": "lead_by_sub_id",
    "finding": "lead_by_found",
    "held_for": "lead_by_found",
    "price_from": "lead_by_price",
    "price_to": "lead_by_price",
    "vendor": "lead_by_source",
    "business": "lead_by_source",
    "tests": "lead_tests",
    "from": "lead_in_time",
    "to": "lead_in_time",
    "period": "lead_in_time",
}


@pytest.mark.parametrize("name", sorted(INDEXES))
def test_each_filter_is_served_in_order_by_its_index(many: list[Lead], name: str) -> None:
    value = "1" if name == "tests" else values_of(many)[name][0]
    if connection.vendor == "postgresql":  # nothing makes statistics on SQLite
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE leads_lead")
    branches = browsed(f"{name}={value}").branches()
    sql, values = browsing.merged(branches, ("id",), 51, True)
    plan = plan_of(sql, values)
    # which on SQLite is read whole for tests, but nothing besides it
    is_of_time = connection.vendor == "sqlite" and name == "tests"
    assert ("COVERING INDEX lead_in_time" if is_of_time else INDEXES[name]) in plan, plan
    assert "Seq Scan" not in plan, plan
    assert not re.search(r"SCAN leads_lead(?! USING)", plan), plan


def test_several_values_are_told_apart_unless_something_else_gives_the_order(
    many: list[Lead], monkeypatch: Any
) -> None:
    vendor = many[0].source.vendor_id
    assert len(browsed(f"vendor={vendor}").branches()) == 3
    assert len(browsed(f"vendor={vendor}&period=30d").branches()) == 3
    assert len(browsed(f"vendor={vendor}&state=TX").branches()) == 1
    assert len(browsed("status=held").branches()) == 2
    assert len(browsed(f"vendor={vendor}&status=held").branches()) == 2  # the fewest
    assert len(browsed("price_from=9&price_to=20").branches()) == 3
    monkeypatch.setattr("leads.narrow.BRANCHES_AT_MOST", 2)
    assert len(browsed(f"vendor={vendor}").branches()) == 1
    assert len(browsed("price_from=9&price_to=20").branches()) == 1


def plan_of(sql: str, values: list[Any]) -> str:
    """Return how the database would find the rows; of a small table too by its indexes."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", values)
        else:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
            # Of a small table the covering index may be cheaper, read whole for what it also holds.
            cursor.execute("SET LOCAL enable_indexonlyscan = off")
            cursor.execute(f"EXPLAIN {sql}", values)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_a_list_that_takes_too_long_says_what_helps(many: list[Lead]) -> None:
    client = client_of("Analyst")

    def slow(execute: Any, sql: str, *rest: Any) -> Any:
        if "branch_0" in sql and is_slow(sql):
            raise OperationalError from psycopg.errors.QueryCanceled()
        return execute(sql, *rest)

    def is_slow(sql: str) -> bool:
        return True

    with connection.execute_wrapper(slow):
        page = client.get(LIST)
    assert page.status_code == 200
    assert "narrow the list" in page.content.decode()

    def is_slow(sql: str) -> bool:  # type: ignore[no-redef]  # noqa: F811
        return "GROUP BY" in sql

    with connection.execute_wrapper(slow):
        page = client.get(LIST)
    assert "Not counted" in page.content.decode()
    assert len(page.context["rows"]) == PAGE_ROWS


def test_no_plan_is_kept_for_all_values_in_the_console(many: list[Lead]) -> None:
    client = client_of("Analyst")
    for _ in range(8):
        assert client.get(f"{LIST}?state=TX").status_code == 200
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'branch'")
            assert cursor.fetchone() == (0,)


# --- views that are kept --------------------------------------------------------------------------


def keep(client: Client, name: str = "Held in Texas", query: str = "", **more: str) -> Any:
    sent = {"name": name, "query": query or "status=held&state=TX&cols=person,price", **more}
    return client.post(reverse("admin:leads_views"), sent, follow=True)


def names_of(client: Client) -> list[str]:
    """Return the names of the views that the list offers."""
    return [one.name for one, *_ in client.get(LIST).context["views"]]


def test_a_view_is_kept_and_opens_the_same_list(many: list[Lead]) -> None:
    client = client_of("Analyst")
    page = keep(client)
    assert "The view “Held in Texas” is kept, for you alone." in page.content.decode()
    (view, is_current, is_mine) = page.context["views"][0]
    assert (is_current, is_mine) == (True, True)
    response = client.get(f"{LIST}?{view.query}")
    assert [one.value for one in response.context["chips"]] == ["Blocked or rejected", "TX Texas"]
    assert [one.name for one in response.context["columns"]] == ["person", "price"]


def test_a_view_of_ones_own_is_not_seen_by_others_until_it_is_shared(many: list[Lead]) -> None:
    ann, sam = client_of("Analyst"), client_of("Source manager")
    (view, *_) = keep(ann).context["views"][0]
    assert names_of(sam) == []
    url = reverse("admin:leads_view", args=[view.id])
    ann.post(url, {"verb": "share"})
    assert names_of(sam) == ["Held in Texas"]
    assert "by <bdi>analyst</bdi>" in sam.get(LIST).content.decode()
    for verb in ("unshare", "delete"):
        assert sam.post(url, {"verb": verb}).status_code == 404
    assert names_of(sam) == ["Held in Texas"]
    ann.post(url, {"verb": "unshare"})
    assert names_of(sam) == []
    ann.post(url, {"verb": "delete"})
    assert names_of(ann) == []


def test_a_view_that_is_shared_at_once_is_told_so(many: list[Lead]) -> None:
    page = keep(client_of("Analyst"), is_shared="on").content.decode()
    assert "shared with everybody who may see leads" in page


def test_a_view_keeps_only_what_the_list_understands(many: list[Lead]) -> None:
    query = "state=TX&phone__startswith=%2B1512&after=x&cols=person,secret&status=Nice&q=zeb"
    (view, *_) = keep(client_of("Analyst"), query=query).context["views"][0]
    assert view.query == "cols=person&state=TX"


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x01b", "a\x00b"])
def test_a_view_without_a_fit_name_is_not_kept(name: str) -> None:
    page = keep(client_of("Analyst"), name)
    assert page.status_code == 200
    assert "A view needs a name" in page.content.decode()
    assert page.context["views"] == []


def test_two_views_of_one_person_have_two_names(many: list[Lead]) -> None:
    ann, sam = client_of("Analyst"), client_of("Source manager")
    keep(ann)
    assert "You have a view of this name" in keep(ann).content.decode()
    assert "is kept" in keep(sam).content.decode()


def test_a_view_of_ones_own_is_replaced_when_that_is_asked_for(many: list[Lead]) -> None:
    ann, sam = client_of("Analyst"), client_of("Source manager")
    keep(ann)
    keep(sam)
    keep(ann, query="tests=1", is_over="on", is_shared="on")
    assert SavedView.objects.get(by__username="analyst").query == "tests=1"
    assert SavedView.objects.get(by__username="source-manager").query != "tests=1"
    assert names_of(sam) == ["Held in Texas", "Held in Texas"]


def test_nobody_keeps_more_than_a_hundred_views(monkeypatch: Any) -> None:
    monkeypatch.setattr("leads.saved.VIEWS_AT_MOST", 2)
    ann = client_of("Analyst")
    keep(ann, "one")
    keep(ann, "two")
    assert "You have 100 views" in keep(ann, "three").content.decode()
    assert names_of(ann) == ["one", "two"]


def test_a_verb_that_there_is_not_does_nothing(many: list[Lead]) -> None:
    ann = client_of("Analyst")
    (view, *_) = keep(ann).context["views"][0]
    page = ann.post(reverse("admin:leads_view", args=[view.id]), {"verb": "burn"}, follow=True)
    assert "Nothing was done" in page.content.decode()
    assert names_of(ann) == ["Held in Texas"]


def test_a_mode_that_rejects_counts_as_held(door: Door) -> None:
    door.source.set_mode(Rule.STATE_MISMATCH, Mode.FLAG)
    door.send(state="TX", zip="10001", trustedFormUrl=CERTIFICATE)
    lead = Lead.objects.get()
    assert lead.found == "state-mismatch:flag"
    assert listed("finding=state-mismatch") == [lead]
    assert listed("held_for=state-mismatch") == []
    Lead.objects.update(found="state-mismatch:reject")
    assert listed("held_for=state-mismatch") == [lead]
