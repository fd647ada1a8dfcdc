"""A day at the console in a real browser, against a real server: the work that staff do with it."""

import http.client
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.service import Service, own_database

pytestmark = [pytest.mark.browser]

PASSWORD = "a long pass phrase of staff"
# Makes people with the roles that the migration made.
MAKE = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
for name, role in {people!r}.items():
    user = get_user_model().objects.create_user(name, password={password!r}, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
"""
PEOPLE = {
    "ada": "Administrator",
    "rita": "Compliance reviewer",
    "otto": "Compliance reviewer",
    "ann": "Analyst",
}
# A lead whose ZIP says nothing of its state is held, and may be released.
LEAD = {"firstName": "Zebediah", "phone": "512-155-0137", "email": "zeb@example.com"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a running leadping with people of each role."""
    folder = tmp_path_factory.mktemp("story")
    with own_database(folder) as url, Service(url, folder) as running:
        running.manage("shell", "-c", MAKE.format(people=PEOPLE, password=PASSWORD))
        yield running


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def people(service: Service, browser: Browser, said: list[str]) -> Iterator[Any]:
    """Yield a function that signs somebody in, in a browser of their own; nothing complains."""
    contexts: list[BrowserContext] = []

    def signed_in(name: str) -> Page:
        context = browser.new_context(base_url=f"http://127.0.0.1:{service.port}")
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: note(message, said))
        page.goto("/admin/")
        page.locator("#id_username").fill(name)
        page.locator("#id_password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1, name="Home")).to_be_visible()
        return page

    yield signed_in
    for one in contexts:
        one.close()
    assert said == []


def note(message: Any, said: list[str]) -> None:
    """Note what a page complains of, but for a status that the story provokes."""
    if message.type in ("error", "warning") and "status of 4" not in message.text:
        said.append(f"{message.type}: {message.text}")


def post(service: Service, key: str, **members: Any) -> tuple[int, dict[str, Any]]:
    """Post a lead with a key alone."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request("POST", "/leads/intake", json.dumps(LEAD | members), headers)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    """Return the key of an approved source."""
    return service.make_source("--name", "Other form")["X-Leadping-Source-Key"]


def test_a_source_is_made_and_its_lead_held_released_by_keyboard_and_approved_by_a_repeat(
    service: Service, people: Any
) -> None:
    ada = people("ada")
    ada.get_by_role("link", name="Vendors").click()
    ada.get_by_role("link", name="Add vendor").click()
    ada.get_by_label("Name").fill("Harbour Leads")
    ada.get_by_role("button", name="Save", exact=True).click()
    ada.get_by_role("link", name="Sources").click()
    ada.get_by_role("link", name="Add source").click()
    ada.get_by_label("Name:").fill("Harbour form")
    ada.get_by_label("Business:").select_option(label="Lone Star Home Services")
    ada.get_by_label("Vendor:").select_option(label="Harbour Leads")
    ada.get_by_role("button", name="Save", exact=True).click()
    expect(ada.get_by_text("it has not passed compliance review")).to_be_visible()
    ada.get_by_role("link", name="Approve…").click()
    ada.get_by_label("What was looked at").fill("Landing page and wording read.")
    ada.get_by_role("button", name="Approve").click()
    expect(ada.get_by_text("Approved: its leads are no longer held")).to_be_visible()
    ada.get_by_role("link", name="Issue a key…").click()
    ada.get_by_label("Label").fill("Their form")
    ada.get_by_role("button", name="Issue the key").click()
    key = ada.locator("#key-text").inner_text()
    assert re.fullmatch(r"lp_src_\w{38}", key)
    ada.get_by_role("link", name="I have it").click()
    assert key not in ada.content()
    ada.reload()
    assert key not in ada.content()

    status, lead = post(service, key, externalId="h-1")
    assert (status, lead["metadata"]["complianceStatus"]) == (201, "Blocked")
    rita = people("rita")
    rita.goto(f"/admin/desk/lead/{lead['id']}/")
    expect(rita.get_by_text("No such phone number can exist.")).to_be_visible()
    assert "Zebediah" not in rita.content()
    rita.keyboard.press("r")
    rita.keyboard.press("2")
    expect(rita.get_by_label("Reason")).to_have_value(re.compile("The data are right"))
    rita.keyboard.press("Escape")
    rita.keyboard.press("n")
    rita.keyboard.type("Asked the vendor; they read it out.")
    rita.keyboard.press("Escape")
    rita.keyboard.press("r")
    rita.keyboard.press("Enter")
    expect(rita.get_by_text("You released lead")).to_be_visible()
    status, again = post(service, key, externalId="h-1")
    assert (status, again["id"]) == (201, lead["id"])
    assert again["metadata"]["complianceStatus"] == "Approved"
    # and back, by the key for it
    rita.keyboard.press("u")
    expect(rita.get_by_text("Taken back: the lead waits again.")).to_be_visible()
    _, again = post(service, key, externalId="h-1")
    assert again["metadata"]["complianceStatus"] == "Blocked"


def test_the_keys_of_the_desk_go_on_back_and_explain_themselves(
    service: Service, people: Any, key: str
) -> None:
    for number in range(2, 5):
        post(service, key, externalId=f"k-{number}", phone=f"512-155-010{number}")
    rita = people("rita")
    rita.goto("/admin/desk/")
    first = rita.url
    rita.keyboard.press("j")
    rita.wait_for_url(lambda url: url != first)
    rita.keyboard.press("k")
    rita.wait_for_url(first)
    rita.keyboard.press("?")
    expect(rita.get_by_role("dialog")).to_be_visible()
    rita.keyboard.press("j")  # not while it is open
    rita.keyboard.press("Escape")
    expect(rita.get_by_role("dialog")).not_to_be_visible()
    assert rita.url == first
    rita.keyboard.press("n")
    rita.keyboard.type("jkrxu?")  # while typing, they are letters
    expect(rita.get_by_label("Note")).to_have_value("jkrxu?")
    assert rita.url == first


def test_rejecting_without_a_reason_is_refused(service: Service, people: Any, key: str) -> None:
    _, lead = post(service, key, externalId="r-1", phone="512-155-0120")
    rita = people("rita")
    rita.goto(f"/admin/desk/lead/{lead['id']}/")
    rita.keyboard.press("x")
    rita.keyboard.press("Enter")  # the browser itself asks for the reason
    expect(rita.get_by_label("Reason")).to_be_focused()
    rita.get_by_label("Reason").fill("   ")  # which it lets through
    rita.get_by_role("button", name="Reject").click()
    expect(rita.get_by_role("alert")).to_contain_text("A decision needs a reason.")
    _, again = post(service, key, externalId="r-1", phone="512-155-0120")
    assert again["metadata"]["complianceStatus"] == "Blocked"
    rita.keyboard.press("x")
    rita.keyboard.press("Control+A")
    rita.keyboard.type("No valid consent")
    rita.keyboard.press("Enter")
    expect(rita.get_by_text("You rejected lead")).to_be_visible()
    _, again = post(service, key, externalId="r-1", phone="512-155-0120")
    assert again["metadata"]["complianceStatus"] == "Rejected"


def test_a_key_held_down_or_pressed_twice_decides_once(
    service: Service, people: Any, key: str
) -> None:
    for number in range(4):
        post(service, key, externalId=f"o-{number}", phone=f"512-155-015{number}")
    rita = people("rita")
    rita.goto("/admin/desk/")
    sent: list[str] = []
    rita.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    rita.keyboard.press("x")
    rita.keyboard.type("No valid consent")
    rita.evaluate(
        """() => {
            const form = document.getElementById("decide");
            const button = form.querySelector("[data-verb=reject]");
            for (let n = 0; n < 3; n++) form.requestSubmit(button);
        }"""
    )
    expect(rita.get_by_text("You rejected lead")).to_be_visible()
    assert len(sent) == 1
    rita.keyboard.down("u")
    rita.keyboard.down("u")  # as it repeats while it is held
    rita.keyboard.down("u")
    rita.keyboard.up("u")
    expect(rita.get_by_text("Taken back: the lead waits again.")).to_be_visible()
    assert len([one for one in sent if one.endswith("/undo/")]) == 1


def test_enter_decides_only_what_was_chosen(service: Service, people: Any, key: str) -> None:
    day = datetime.now(UTC).date().isoformat()
    service.manage(
        *("suppress", "512-155-0160", "--kind", "dnc-registry"),
        *("--list", "National", "--list-date", day),
    )
    _, lead = post(service, key, externalId="e-1", phone="512-155-0160")
    rita = people("rita")
    rita.goto(f"/admin/desk/lead/{lead['id']}/")
    sent: list[str] = []
    rita.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
    rita.get_by_label("Reason").fill("No valid consent")
    rita.keyboard.press("Enter")  # nothing is chosen
    assert sent == []
    rita.keyboard.press("Escape")
    rita.keyboard.press("x")
    rita.get_by_label("written consent").fill("A form")
    rita.keyboard.press("Enter")
    expect(rita.get_by_text("You rejected lead")).to_be_visible()
    assert [one.rsplit("/", 2)[1] for one in sent] == ["reject"]


def test_two_reviewers_do_not_decide_the_same_lead(service: Service, people: Any, key: str) -> None:
    _, lead = post(service, key, externalId="c-1", phone="512-155-0130")
    rita, otto = people("rita"), people("otto")
    path = f"/admin/desk/lead/{lead['id']}/"
    rita.goto(path)
    otto.goto(path)
    expect(otto.get_by_text("is deciding this lead")).to_contain_text("rita")
    expect(otto.get_by_role("button", name="Release")).to_be_disabled()
    otto.keyboard.press("r")
    otto.keyboard.press("Enter")
    expect(otto.get_by_text("is deciding this lead")).to_be_visible()
    otto.get_by_role("button", name="Take it over").click()
    expect(otto.get_by_role("button", name="Release")).to_be_enabled()
    rita.get_by_label("Reason").fill("Mine")
    rita.get_by_role("button", name="Release").click()
    expect(rita.get_by_role("alert")).to_contain_text("Somebody else is deciding this lead.")
    otto.get_by_label("Reason").fill("Checked")
    otto.get_by_role("button", name="Release").click()
    expect(otto.get_by_text("You released lead")).to_be_visible()


def test_a_reveal_is_on_record_with_its_reason(service: Service, people: Any, key: str) -> None:
    _, lead = post(service, key, externalId="s-1", phone="512-155-0140")
    rita = people("rita")
    rita.goto(f"/admin/leads/lead/{lead['id']}/change/")
    expect(rita.get_by_text("+1512•••••40").first).to_be_visible()
    rita.get_by_label("Why you need to see the person").fill("They called us back")
    rita.get_by_role("button", name="Reveal for 5 min").click()
    expect(rita.get_by_text("Zebediah").first).to_be_visible()
    rita.goto("/admin/audit/?kind=reveals")
    row = rita.get_by_role("row").filter(has_text="They called us back")
    expect(row).to_contain_text("rita")
    expect(row).to_contain_text(lead["id"])


def test_an_analyst_reaches_none_of_it_by_url(service: Service, people: Any, key: str) -> None:
    _, lead = post(service, key, externalId="h-1")
    ann = people("ann")
    for name in ("Review desk", "Sources", "Posts", "Suppressions", "Audit", "People"):
        expect(ann.get_by_role("link", name=name, exact=True)).to_have_count(0)
    paths = (
        *("/admin/desk/", f"/admin/desk/lead/{lead['id']}/", "/admin/sources/source/"),
        *("/admin/intake/post/", "/admin/leads/suppression/", "/admin/leads/suppression/person/"),
        *("/admin/audit/", "/admin/auth/user/", "/admin/jobs/job/", "/admin/sources/sourcekey/"),
    )
    for path in paths:
        answer = ann.goto(path)
        assert answer is not None
        assert answer.status == 403, path
        assert "Zebediah" not in ann.content()
    answer = ann.goto(f"/admin/leads/lead/{lead['id']}/change/")
    assert answer is not None
    assert answer.status == 200
    assert "Zebediah" not in ann.content()
    expect(ann.get_by_label("Why you need to see the person")).to_have_count(0)


def test_a_view_is_built_kept_and_shared_and_a_colleague_opens_it_masked(
    service: Service, people: Any, key: str
) -> None:
    post(service, key, externalId="v-1", phone="512-155-0141", state="TX", price="12.50")
    post(service, key, externalId="v-2", phone="213-155-0141", state="CA")
    rita = people("rita")
    rita.get_by_role("link", name="Leads", exact=True).click()
    rita.locator("summary", has_text="Filters").click()
    for name, option in (("Source", "Other form"), ("Status", "Blocked"), ("State", "TX Texas")):
        rita.get_by_role("combobox", name=name, exact=True).select_option(label=option)
    rita.get_by_role("button", name="Show").locator("visible=true").click()
    rita.locator("summary", has_text="Columns").click()
    for name in ("Status", "Findings", "Source", "State", "Product"):
        rita.get_by_role("checkbox", name=name, exact=True).uncheck()
    for name in ("Phone", "E-mail"):
        rita.get_by_role("checkbox", name=name, exact=True).check()
    rita.get_by_role("button", name="Show").locator("visible=true").click()
    rita.locator("summary", has_text="Views").click()
    rita.get_by_label("Keep this list as").fill("Held in Texas")
    rita.get_by_role("button", name="Keep", exact=True).click()
    expect(rita.get_by_text("is kept, for you alone")).to_be_visible()
    rita.locator("summary", has_text="Views").click()
    rita.get_by_role("button", name="Share Held in Texas").click()
    expect(rita.get_by_text("The view “Held in Texas” is shared.")).to_be_visible()

    ann = people("ann")  # who may not reveal a person
    ann.get_by_role("link", name="Leads", exact=True).click()
    ann.locator("summary", has_text="Views").click()
    ann.get_by_role("link", name="Held in Texas").click()
    for page in (rita, ann):
        chips = page.get_by_role("list", name="Filters in force").get_by_role("link")
        named = ("Source Other form", "Status Blocked", "State TX Texas", "Clear all")
        expect(chips).to_have_text([re.compile(one) for one in named])
        heads = page.get_by_role("columnheader")
        expect(heads).to_have_text(["Received", "Person", "Price", "Phone", "E-mail"])
        expect(page.locator("#result_list tbody tr")).to_have_count(1)
        row = page.get_by_role("row").filter(has_text="12.50").first
        expect(row).to_contain_text("+1512•••••41")
        expect(row).to_contain_text("z•••@e•••.com")
        for secret in ("Zebediah", "zeb@example.com", "1550141", "155-0141"):
            assert secret not in page.content()
    assert "v-1" not in ann.url


def test_a_rule_is_rehearsed_and_saved_and_the_field_map_shows_its_example(
    service: Service, people: Any
) -> None:
    ada = people("ada")
    ada.goto("/admin/sources/source/")
    ada.get_by_role("link", name="Bayline quotes").click()
    ada.get_by_role("link", name="Rules").first.click()
    ada.get_by_label("States").fill("TX")
    ada.get_by_role("button", name="Rehearse").click()
    expect(ada.get_by_role("status")).to_contain_text("these rules would have held")
    ada.get_by_role("button", name="Save these rules").click()
    expect(ada.get_by_text("The rules are saved, and count from now on.")).to_be_visible()
    expect(ada.get_by_label("States")).to_have_value("TX")
    ada.get_by_role("link", name="Settings").click()
    ada.get_by_label("Field map:").fill('{"cell": "phone", "geb": "dateOfBirth"}')
    expect(ada.get_by_role("cell", name="1984-07-19").first).to_be_visible()


def test_the_theme_is_light_dark_or_as_the_system_has_it(people: Any, tmp_path: Path) -> None:
    ada = people("ada")

    def ground() -> str:
        return str(ada.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = "rgb(246, 247, 249)", "rgb(14, 16, 21)"
    for scheme, expected in (("light", light), ("dark", dark)):
        ada.emulate_media(color_scheme=scheme)
        assert ground() == expected
    ada.emulate_media(color_scheme="dark")
    toggle = ada.locator(".theme-toggle").first
    seen = set()
    for _ in range(3):
        toggle.click()
        seen.add((ada.evaluate("document.documentElement.dataset.theme"), ground()))
    assert {("light", light), ("dark", dark), ("auto", dark)} == seen


def test_a_field_map_that_was_typed_before_the_script_had_come_shows_its_example_too(
    service: Service, people: Any
) -> None:
    ada = people("ada")
    ada.goto("/admin/sources/source/")
    ada.get_by_role("link", name="Bayline quotes").click()
    held: list[Any] = []
    ada.route("**/source*.js", lambda route: held.append(route))
    ada.get_by_role("link", name="Settings").first.click(no_wait_after=True)
    ada.get_by_label("Field map:").fill('{"cell": "phone", "born": "dateOfBirth"}')
    while not held:
        ada.wait_for_timeout(20)
    held[0].continue_()
    expect(ada.get_by_role("cell", name="1984-07-19").first).to_be_visible()
