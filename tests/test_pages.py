"""The pages about problem types: what they say, and how they look in a real browser; contract §9.

None of these tests but one asks for a database, and pytest-django lets no other one touch it: so
they also prove that the pages need none.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, override_settings
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, Page

from intake.pages import CONTENT_SECURITY_POLICY
from intake.problems import PROBLEM_TYPES, Kept, ProblemType
from leads.compliance import RULES
from leads.findings import Cap, Facts, Known, Reuse
from sources.rules import ALLOWED_MODES, NOT_TOLD_APART, Mode, Rule
from tests.factories import Door

TYPES = list(PROBLEM_TYPES.values())
UNKNOWN = "/problems/no-such-type"
PATHS = ["/problems/", *(f"/problems/{code}" for code in PROBLEM_TYPES), UNKNOWN]
EACH_TYPE = pytest.mark.parametrize("one", TYPES, ids=list(PROBLEM_TYPES))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SENTENCE = re.compile(r"[A-Z][^\n]*[^ .]\.")


def get(path: str, method: str = "GET") -> Any:
    """Return the answer of a page."""
    return Client().generic(method, path, secure=True)


def text_of(response: Any) -> str:
    """Return what a page says, without its tags, each run of blanks as one."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", response.content.decode())).split())


# --- the table ----------------------------------------------------------------------------------


@EACH_TYPE
def test_each_type_has_whole_sentences_and_an_example(one: ProblemType) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^ .:]", one.title)
    assert SENTENCE.fullmatch(one.detail)
    assert SENTENCE.fullmatch(one.explanation)
    sentences = re.split(r"(?<=\.) ", one.explanation)
    assert 2 <= len(sentences) <= 4
    assert all(re.match(r"[A-Z]", sentence) for sentence in sentences)
    assert one.example["type"] == f"https://leads.example.com/problems/{one.code}"
    assert one.example["status"] == one.status
    assert one.example["retryable"] == one.is_retryable
    assert one.example["detail"].endswith(".")


def test_a_type_whose_answers_list_faults_has_some_in_its_example() -> None:
    with_faults = {code for code, one in PROBLEM_TYPES.items() if "faults" in one.example}
    rules = {rule.value for rule in Rule}
    others = {"invalid-lead", "invalid-request", "not-accepted"}
    assert with_faults == others | (rules & PROBLEM_TYPES.keys())


def test_each_rule_that_can_refuse_has_a_type_unless_it_may_not_be_told_from_another() -> None:
    refusing = {rule for rule, modes in ALLOWED_MODES.items() if Mode.REJECT in modes}
    told = {rule.value for rule in refusing - set(NOT_TOLD_APART)}
    assert {rule.value for rule in Rule} & PROBLEM_TYPES.keys() == told


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        (Rule.SOURCE_NOT_APPROVED, {"is_source_approved": False}),
        (Rule.STATE_NOT_ALLOWED, {"state": "NY", "allowed_states": frozenset({"tx"})}),
        (Rule.PRODUCT_NOT_ALLOWED, {"product": "a", "allowed_products": frozenset({"b"})}),
        (Rule.VERTICAL_NOT_ALLOWED, {"vertical": "a", "allowed_verticals": frozenset({"b"})}),
        (Rule.CONSENT_MISSING, {"is_trusted_form_required": True}),
        (Rule.CONSENT_MALFORMED, {"certificate_url": "https://example.com/"}),
        (
            Rule.CONSENT_REUSED,
            {"certificate_id": "ab", "reuses": (Reuse("a lead", ("phone",)),)},
        ),
        (
            Rule.DUPLICATE,
            {"has_phone": True, "known": (Known("a lead", "", NOW - timedelta(1), "phone"),)},
        ),
        (Rule.PHONE_INVALID, {"has_phone": True, "can_phone_exist": False}),
        (Rule.UNDERAGE, {"birth_date": date(2020, 1, 1)}),
        (Rule.STATE_MISMATCH, {"state": "TX", "postal_code": "10001"}),
        (Rule.OVER_CAP, {"caps": (Cap("daily", "2026-01-01", 5, 5),)}),
    ],
)
def test_an_example_shows_what_its_rule_finds(rule: Rule, facts: dict[str, Any]) -> None:
    found = RULES[rule].run(Facts(NOW.date(), NOW, **facts))
    assert found is not None
    (fault,) = PROBLEM_TYPES[rule.value].example_faults
    assert (fault.path, fault.detail) == ((found.field or "source",), found.sentence)


def test_the_example_of_an_invalid_lead_is_what_such_a_post_is_answered(door: Door) -> None:
    answer = door.send(zip="78701", postalCode="78702").json()
    example = PROBLEM_TYPES["invalid-lead"].example
    ids = {"requestId", "traceId"}
    assert {name: answer[name] for name in answer.keys() - ids} == {
        name: example[name] for name in example.keys() - ids
    }


# --- the pages ----------------------------------------------------------------------------------


@EACH_TYPE
def test_each_type_has_a_page_that_says_all_of_it(one: ProblemType) -> None:
    response = get(f"/problems/{one.code}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    text = text_of(response)
    assert f"{one.title} · leadping" in text
    assert one.detail in text
    assert one.explanation in text
    assert ("Yes, unchanged" in text) == one.is_retryable
    assert ("seconds that the header Retry-After names" in text) == (one.status in (429, 503))
    assert {Kept.WHOLE: "Yes, whole", Kept.START: "In part", Kept.NOTHING: "Nothing of"}[
        one.kept
    ] in text
    assert f"HTTP/1.1 {one.status} " in text
    assert f"Leadping-Problem: {one.code}" in text
    assert " ".join(json.dumps(one.example, indent=2, ensure_ascii=False).split()) in text
    assert 'href="/problems"' in response.content.decode()


def test_an_example_has_the_headers_of_a_real_answer() -> None:
    real = Client().get("/leads/intakes")
    text = text_of(get("/problems/not-found"))
    for name in ("Content-Type", "Leadping-Problem", "Cache-Control"):
        assert f"{name}: {real.headers[name]}" in text
    assert "X-Request-Id: " in text
    for code, one in PROBLEM_TYPES.items():
        text = text_of(get(f"/problems/{code}"))
        for name, value in one.example_problem().headers.items():
            assert f"{name}: {value}" in text


def test_the_index_leads_to_every_type_once_by_status() -> None:
    response = get("/problems/")
    links = re.findall(r'href="/problems/([a-z-]+)"', response.content.decode())
    assert sorted(links) == sorted(PROBLEM_TYPES)
    statuses = [PROBLEM_TYPES[code].status for code in links]
    assert statuses == sorted(statuses)
    text = text_of(response)
    assert all(one.title in text for one in TYPES)
    assert text.count("retryable") == 1 + sum(one.is_retryable for one in TYPES)


@pytest.mark.parametrize("path", ["/problems", "/problems/underage"])
def test_a_page_answers_alike_with_and_without_a_trailing_slash(path: str) -> None:
    assert get(path).status_code == get(f"{path}/").status_code == 200
    assert get(path).content == get(f"{path}/").content


@pytest.mark.parametrize(
    "code", ["suppressed", "on-dnc-registry", "check-unavailable", "UNDERAGE", "a b", "<b>", "%0a"]
)
def test_an_unknown_type_is_404_and_not_cached_or_echoed(code: str) -> None:
    response = get(f"/problems/{code}")
    assert response.status_code == 404
    assert "No such problem type" in text_of(response)
    assert code not in response.content.decode().replace("<body>", "")
    assert "Cache-Control" not in response.headers
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_no_page_tells_apart_what_may_not_be_told_apart() -> None:
    for path in PATHS:
        text = text_of(get(path)).lower()
        assert not re.search(r"suppress|do-not-call|dnc|litigator|opt-out", text), path


@pytest.mark.parametrize("path", ["/problems/", "/problems/underage"])
def test_a_page_may_load_nothing_foreign_and_be_cached_by_anyone(path: str) -> None:
    headers = get(path).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert "Set-Cookie" not in headers
    assert "Vary" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/problems/", "/problems/underage"])
def test_a_page_answers_get_and_head_only(path: str, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, path, secure=True)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
    head = get(path, "HEAD")
    assert (head.status_code, head.content) == (200, b"")


# --- in a browser -------------------------------------------------------------------------------

WIDTHS = (390, 1280)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOOKS = [(scheme, width) for scheme in SCHEMES for width in WIDTHS]
# All four looks; of the others, which are made alike, light and narrow, dark and wide.
FULLY_LOOKED_AT = ("/problems/", "/problems/invalid-lead", "/problems/unavailable")
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 32)"}
EACH_PATH = pytest.mark.parametrize("path", PATHS)
# Passes on each breach of the policy of a page to what the test has exposed.
WATCH = "document.addEventListener('securitypolicyviolation', e => breach(e.violatedDirective))"


def as_it_is(handler: WSGIHandler) -> WSGIHandler:
    """Return the application without Django's own server of files: whitenoise is in it."""
    return handler


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yield the URL of a server in this process.

    Not pytest-django's `live_server`, which empties the database after each test.
    """
    with override_settings(SECURE_SSL_REDIRECT=False):
        thread = LiveServerThread("127.0.0.1", static_handler=as_it_is)  # type: ignore[arg-type]
        thread.daemon = True
        thread.start()
        thread.is_ready.wait()
        if thread.error:
            raise thread.error
        yield f"http://127.0.0.1:{thread.port}"
        thread.terminate()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """Yield an empty tab that obeys the policy of the pages."""
    with browser.new_context(base_url=server, reduced_motion="reduce") as context:
        yield context.new_page()


@pytest.fixture
def lax_page(browser: Browser, server: str) -> Iterator[Page]:
    """Yield an empty tab into which axe may be put, whatever the policy of the pages."""
    with browser.new_context(base_url=server, reduced_motion="reduce", bypass_csp=True) as context:
        yield context.new_page()


@pytest.mark.browser
@EACH_PATH
def test_axe_finds_nothing_wrong_in_light_or_dark(lax_page: Page, path: str) -> None:
    for scheme, width in LOOKS if path in FULLY_LOOKED_AT else LOOKS[::3]:
        lax_page.set_viewport_size({"width": width, "height": 900})
        lax_page.emulate_media(color_scheme=scheme)
        lax_page.goto(path)
        found = Axe().run(lax_page)
        assert found.violations_count == 0, f"{scheme}, {width}: {found.generate_report()}"


@pytest.mark.browser
@EACH_PATH
def test_a_page_is_styled_never_scrolls_sideways_and_keeps_its_own_policy(
    page: Page, path: str
) -> None:
    said: list[str] = []
    loaded: list[str] = []
    page.expose_function("breach", lambda directive: said.append(f"breach of {directive}"))
    page.add_init_script(WATCH)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("requestfinished", lambda request: loaded.append(request.url))
    page.goto(path)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == GROUNDS[scheme]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
    if path == UNKNOWN:  # Chromium reports the page's own status
        assert "404" in said.pop()
    assert said == []
    assert {url.rsplit("/", 1)[1] for url in loaded} >= {"problems.css", "icon.svg"}


@pytest.mark.browser
def test_the_keyboard_reaches_the_content_first_and_every_link(page: Page) -> None:
    page.goto("/problems/underage")
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached == ["Skip to the content", "leadping", "All problem types", "RFC 9457"]
    page.get_by_role("link", name="All problem types").click()
    page.get_by_role("link", name="rate-limited").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Too many requests"
