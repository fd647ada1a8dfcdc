"""Finding anything by one box: who sees what, masked; results alone for the script; by keyboard."""

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.signals import got_request_exception
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables
from playwright.sync_api import Browser, Page, expect

from leads import search
from leads.models import Lead
from leads.normalize import name_key
from sources.models import Source
from tests.console_rows import EVIL, SCRIPT, client_for, client_of
from tests.factories import Door, make_source, make_tombstone
from tests.service import Service, own_database
from tests.test_console_story import post

URL = "/admin/find/"
PHONE, EMAIL = "512-555-0137", "ada.lovelace@example.com"
PERSON = {"firstName": "Ada", "lastName": "Lovelace", "phone": PHONE, "email": EMAIL}
PRIVATE = ("Ada", "Lovelace", "5550137", "555-0137", EMAIL, "lovelace")


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False  # the test client speaks HTTP


@pytest.fixture
def ada(db: None) -> Lead:
    """Return the lead of a source with a name."""
    door = Door(make_source(name="Harbour form"))
    return Lead.objects.get(id=door.send(**PERSON, externalId="crm-1").json()["id"])


def staff_with(*permissions: str) -> Client:
    """Return the client of somebody with just these permissions, by their code names."""
    user = get_user_model().objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return client_for(user)


def found_by(client: Client, text: str, *, is_script: bool = True) -> str:
    headers = {"X-Requested-With": "palette"} if is_script else {}
    response = client.post(URL, {"text": text}, headers=headers)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    return response.content.decode()


def links_of(html: str) -> list[str]:
    return [one.replace("&amp;", "&") for one in re.findall(r'href="([^"]*)"', html)]


def page_of(lead: Lead) -> str:
    return reverse("admin:leads_lead_change", args=[lead.pk])


# --- who sees what --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("(512) 555.0137", "phone_of"),
        ("Ada.Lovelace@EXAMPLE.com", "email_of"),
        ("crm-1", "external_of"),
        ("Lovelace", "name_of"),
        ("Ada Lovelace", "name_of"),
    ],
)
def test_a_lead_is_found_masked_with_the_way_to_all_of_its_kind(
    ada: Lead, text: str, param: str
) -> None:
    html = found_by(staff_with("view_lead"), text)
    one, every = links_of(html)
    assert one == page_of(ada)
    assert urlsplit(every).path == reverse("admin:leads_lead_changelist")
    ((name, (value,)),) = parse_qs(urlsplit(every).query).items()
    assert name == param
    assert value.startswith(str(ada.id))
    assert "Approved" in html
    assert "Harbour form" in html
    assert not [word for word in PRIVATE if word in html.replace(str(ada.id), "")]


def test_a_lead_is_found_by_its_id(ada: Lead) -> None:
    assert links_of(found_by(staff_with("view_lead"), str(ada.id).upper())) == [page_of(ada)]


@pytest.mark.parametrize(("text", "how"), [("Lovel", "name_of"), ("0137", "ending_of")])
def test_parts_find_leads_only_for_who_may_reveal(ada: Lead, text: str, how: str) -> None:
    html = found_by(staff_with("view_lead", "reveal_lead"), text)
    assert page_of(ada) in html
    assert how in html
    get_user_model().objects.all().delete()
    html = found_by(staff_with("view_lead"), text)
    assert links_of(html) == []
    assert "Only those who may reveal" in html


def test_who_may_see_no_leads_or_sources_finds_none(ada: Lead) -> None:
    client = client_of("")
    for text in (PHONE, EMAIL, "Lovelace", "crm-1", str(ada.id), "Harbour", "Suppressions"):
        html = found_by(client, text)
        assert links_of(html) == [], text
        assert "Only those who may reveal" not in html
    assert links_of(found_by(client, "home")) == [reverse("admin:index")]


def test_sources_are_found_by_their_name_and_their_vendors(ada: Lead) -> None:
    client = staff_with("view_source")
    overview = reverse("admin:source_overview", args=[ada.source_id])
    assert links_of(found_by(client, "harBOUR")) == [overview]
    assert links_of(found_by(client, ada.source.vendor.name)) == [overview]
    for number in range(10):
        make_source(name=f"Harbour {number}")
    assert len(links_of(found_by(client, "harbour"))) == 6


@pytest.mark.parametrize(
    ("text", "permission", "name"),
    [
        ("leads", "view_lead", "leads_lead_changelist"),
        ("Supp", "view_suppression", "leads_suppression_changelist"),
        ("desk", "review_lead", "desk"),
        ("backs", "", ""),
    ],
)
def test_pages_are_found_by_the_beginning_of_a_word_if_one_may_open_them(
    db: None, text: str, permission: str, name: str
) -> None:
    links = links_of(found_by(staff_with(permission), text))
    assert links == ([reverse(f"admin:{name}")] if name else [])


def test_tests_and_deleted_leads_are_marked_and_erased_ones_are_not_found(ada: Lead) -> None:
    Lead.objects.filter(id=ada.id).update(is_test=True, deleted_at=timezone.now())
    client = staff_with("view_lead")
    html = found_by(client, PHONE)
    assert ">test<" in html
    assert ">deleted<" in html
    make_tombstone(ada)
    assert links_of(found_by(client, PHONE)) == []
    html = found_by(client, str(ada.id))
    assert links_of(html) == [page_of(ada)]
    assert "erased" in html


def test_a_lead_erased_while_it_is_looked_up_is_not_shown(
    ada: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = search.find

    def found_and_erased(text: str, *, may_reveal: bool) -> list[search.Match]:
        matches = find(text, may_reveal=may_reveal)
        make_tombstone(ada)
        return matches

    monkeypatch.setattr(search, "find", found_and_erased)
    html = found_by(staff_with("view_lead"), PHONE)
    assert links_of(html) == []
    assert 'class="nothing"' in html


# --- as a page, and for the script ----------------------------------------------------------------


def test_the_script_gets_the_results_alone_and_others_a_page(ada: Lead) -> None:
    client = staff_with("view_lead")
    fragment, whole = (found_by(client, PHONE, is_script=one) for one in (True, False))
    assert "<html" not in fragment
    assert "csrf" not in fragment
    assert "<h1>Find</h1>" in whole
    assert page_of(ada) in whole
    assert f'value="{PHONE}"' in whole
    assert "<h1>Find</h1>" in client.get(URL, {"text": PHONE}).content.decode()
    assert PHONE not in client.get(URL, {"text": PHONE}).content.decode()


def test_a_search_without_the_token_of_a_form_is_refused(ada: Lead) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.post(URL, {"text": PHONE}).status_code == 403


def test_every_page_offers_the_box_to_staff_and_the_sign_in_does_not(db: None) -> None:
    html = client_of("").get("/admin/").content.decode()
    assert 'id="palette"' in html
    assert f'href="{URL}"' in html
    assert 'id="palette"' not in Client().get("/admin/login/").content.decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\x00b",
        "x" * 500,
        "\u202e",
        SCRIPT,
        EVIL[:300],
        "%",
        "' OR 1=1",
        "@",
        "+",
        "0" * 400,
    ],
)
def test_hostile_texts_are_answered_and_shown_as_text(ada: Lead, text: str) -> None:
    client = client_of("Administrator")
    for is_script in (True, False):
        html = found_by(client, text, is_script=is_script)
        assert SCRIPT not in html
        assert "onerror=alert(2)>" not in html.replace("&gt;", "")


def test_names_of_enemies_are_shown_as_text(db: None) -> None:
    source = make_source(name=EVIL)
    source.vendor.name = f"Vendor {EVIL}"
    source.vendor.save()
    Door(source).send(externalId=f"x {SCRIPT}"[:200])
    client = client_of("Administrator")
    for text in ("script", f"x {SCRIPT}", PHONE):
        html = found_by(client, text)
        assert len(links_of(html)) >= 1
        assert "<script" not in html
        assert "<img" not in html
    assert "U+202E" in html


def test_what_was_typed_is_in_no_log_and_no_report_of_an_error(
    ada: Lead, log_lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @sensitive_variables()
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    def report(request: Any, **_: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    reports: list[str] = []
    client = staff_with("view_lead")
    found_by(client, PHONE)
    client.raise_request_exception = False
    got_request_exception.connect(report)
    try:
        for name in ("find", "read", "_has_phone", "_newest"):
            with monkeypatch.context() as patch:
                patch.setattr(search, name, broken)
                assert client.post(URL, {"text": PHONE}).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    assert len(reports) == 4
    for text in (PHONE, "+15125550137"):
        assert not [line for line in log_lines() if text in str(line)]
        assert not [one for one in reports if text in one]


def load(source: Source, count: int) -> None:
    """Store so many leads of the same person."""
    Lead.objects.bulk_create(
        [
            Lead(
                source=source,
                business=source.business,
                received_at=timezone.now() - timedelta(minutes=number),
                compliance_status="Approved",
                phone="+15125550137",
                email=EMAIL,
                email_key=EMAIL,
                first_name="Ada",
                last_name="Lovelace",
                name_key=name_key("Lovelace", "Ada"),
            )
            for number in range(count)
        ]
    )


@pytest.mark.parametrize("text", [PHONE, EMAIL, "0137", "Lovelace", "lov", "Ada Lovelace"])
def test_it_takes_as_many_statements_for_ten_leads_as_for_a_hundred(
    source: Source, text: str
) -> None:
    client = client_of("Administrator")
    counts = []
    for count in (10, 90):
        load(source, count)
        with CaptureQueriesContext(connection) as asked:
            html = found_by(client, text)
        counts.append(len(asked))
        assert html.count("/change/") == 5
    assert counts[0] == counts[1]


# --- by keyboard, in a browser --------------------------------------------------------------------

PASSWORD = "a long pass phrase of staff"
MAKE = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
user = get_user_model().objects.create_user("ann", password={password!r}, is_staff=True)
user.groups.add(Group.objects.get(name="Administrator"))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a running leadping with one of its staff and two leads of one person."""
    folder = tmp_path_factory.mktemp("find")
    with own_database(folder) as url, Service(url, folder) as running:
        running.manage("shell", "-c", MAKE.format(password=PASSWORD))
        for number in range(2):
            headers = running.make_source("--name", f"Harbour form {number}")
            assert post(running, headers["X-Leadping-Source-Key"], **PERSON)[0] == 201
        yield running


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def desk(service: Service, browser: Browser, said: list[str]) -> Iterator[Page]:
    """Yield a page in which an administrator is signed in; nothing complains."""
    base = f"http://127.0.0.1:{service.port}"
    with browser.new_context(base_url=base) as context:
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console",
            lambda one: said.append(one.text) if one.type in ("error", "warning") else None,
        )
        page.goto("/admin/")
        page.locator("#id_username").fill("ann")
        page.locator("#id_password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()
        yield page
    assert said == []


def box_of(page: Page) -> Any:
    return page.get_by_role("combobox", name="Find a page, a source or a lead")


@pytest.mark.browser
def test_a_lead_is_opened_by_keyboard_from_the_phone_that_somebody_reads_out(desk: Page) -> None:
    desk.keyboard.press("/")
    expect(box_of(desk)).to_be_focused()
    desk.keyboard.type("011 1 (512) 555.0137")
    options = desk.get_by_role("option")
    expect(options).to_have_count(3)
    expect(options.last).to_contain_text("All leads with this phone")
    desk.keyboard.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    desk.keyboard.press("ArrowDown")
    expect(options.first).to_have_attribute("aria-selected", "true")
    active = options.first.get_attribute("id") or ""
    expect(box_of(desk)).to_have_attribute("aria-activedescendant", active)
    url = options.first.get_attribute("href") or ""
    desk.keyboard.press("Enter")
    desk.wait_for_url(f"**{url}")
    assert "5550137" not in desk.url


@pytest.mark.browser
def test_enter_before_the_answer_opens_the_first_result(desk: Page) -> None:
    desk.keyboard.press("Control+k")
    desk.keyboard.type("Audit")
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/admin/audit/")


@pytest.mark.browser
def test_escape_closes_the_box_empty_and_gives_the_focus_back(desk: Page) -> None:
    link = desk.get_by_role("link", name="Audit")
    link.focus()
    desk.keyboard.press("/")
    desk.keyboard.type("harbour")
    expect(desk.get_by_role("option")).to_have_count(2)
    desk.keyboard.press("Escape")
    expect(desk.locator("#palette")).to_be_hidden()
    expect(link).to_be_focused()
    assert desk.locator("#palette").get_by_role("option").count() == 0
    desk.get_by_role("link", name="Find").click()
    expect(box_of(desk)).to_have_value("")
    desk.keyboard.type("no such thing")
    expect(desk.get_by_role("status")).to_contain_text("No lead has")


@pytest.mark.browser
def test_a_slash_in_a_field_is_a_slash(desk: Page) -> None:
    desk.goto("/admin/find/")
    field = desk.get_by_label("Page, source or lead")
    field.press("/")
    field.press("a")
    expect(field).to_have_value("/a")
    expect(desk.locator("#palette")).to_be_hidden()
    desk.keyboard.press("Control+k")
    expect(desk.locator("#palette")).to_be_hidden()


@pytest.mark.browser
def test_without_a_script_the_same_is_a_page(service: Service, browser: Browser) -> None:
    base = f"http://127.0.0.1:{service.port}"
    with browser.new_context(base_url=base, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/admin/")
        page.locator("#id_username").fill("ann")
        page.locator("#id_password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Find").click()
        page.get_by_label("Page, source or lead").fill(PHONE)
        page.get_by_role("button", name="Find").click()
        page.get_by_role("link", name="•••37").first.click()
        assert "/admin/leads/lead/" in page.url
