"""How the pages of the console look and behave in a real browser, on a database with everything.

Whoever adds a page gives it a row in PAGES_TO_SEE. What enemies wrote must show as text everywhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.test import override_settings
from django.test.testcases import LiveServerThread
from django.test.utils import setup_databases, teardown_databases
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page
from playwright.sync_api import Error as PlaywrightError

from intake import authentication, refusals
from leadping.console import second_factor
from leads.columns import COLUMNS
from leads.models import Export, ExportSchedule
from tests.console_rows import EVIL, Rows, client_for, make_rows
from tests.test_pages import WATCH, as_it_is
from tests.test_who_may import url_names

pytestmark = pytest.mark.browser

HERE = "tests/test_console_pages.py"


@dataclass(frozen=True, slots=True)
class Seen:
    """A page to look at: the name of its URL, of which row it is and its query.

    The row is that of the model in the name unless it is named; `is_main`: axe looks at it in both
    schemes at both widths.
    """

    url: str
    row: str = ""
    query: str = ""
    is_main: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, (self.url, self.row, self.query)))

    def path(self, rows: Rows) -> str:
        """Return the address of the page among these rows."""
        if not self.row:
            try:
                return reverse(f"admin:{self.url}") + self.query
            except NoReverseMatch:
                pass
        if self.url in ("export_new", "export_schedule_new"):
            return reverse(f"admin:{self.url}", args=["leads"]) + self.query
        if self.url == "desk_tab":
            return reverse("admin:desk") + self.query
        key = self.row or self.url.rpartition("_")[0]
        assert key in rows, f"Of which row is {self.url}? Name it in {HERE}."
        row = rows[key]
        of = [row.source_id] if self.url == "source_revoke_key" else []
        return reverse(f"admin:{self.url}", args=[*of, row.pk]) + self.query


PAGES_TO_SEE = [
    Seen("index", is_main=True),
    Seen("password_change"),
    Seen("password_change_done"),
    Seen("second-factor", is_main=True),
    Seen("second-factor-replace", is_main=True),
    # the desk
    Seen("desk_lead", "waiting_lead", is_main=True),
    Seen("desk_lead", "evil_lead", is_main=True),
    Seen("desk_lead", "released_lead"),
    Seen("desk_tab", query="over-cap/", is_main=True),
    Seen("desk_alike", "waiting_lead"),
    Seen("audit", is_main=True),
    Seen("audit", query="?kind=pages"),
    *(Seen("audit", query=f"?kind={kind}") for kind in ("changes", "readings", "tokens")),
    Seen("find", is_main=True),
    Seen("reports", is_main=True),
    *(Seen("reports", query=f"?by={by}&period=30d") for by in ("hour", "product", "reason")),
    Seen("reports", query="?from=2025-01-01&to=2999-01-01"),
    # leads
    Seen("leads_lead_changelist", is_main=True),
    Seen("leads_lead_changelist", query="?status=Blocked&from=2020-01-01&held_for=duplicate"),
    Seen("leads_lead_changelist", query=f"?cols={','.join(one.name for one in COLUMNS)}"),
    Seen("leads_lead_changelist", query="?state=GU"),
    Seen("leads_lead_changelist", query="?no_such=filter"),
    Seen("leads_lead_change", is_main=True),
    Seen("leads_lead_change", "evil_lead", is_main=True),
    Seen("leads_lead_change", "waiting_lead"),
    Seen("leads_lead_change", "released_lead"),
    Seen("leads_lead_change", "suppressed_lead"),
    Seen("leads_lead_change", "api_lead", is_main=True),
    Seen("leads_lead_judged", is_main=True),
    Seen("leads_lead_judged", "evil_lead", is_main=True),
    Seen("leads_lead_judged", "suppressed_lead"),
    Seen("leads_lead_history"),
    Seen("leads_review_changelist"),
    Seen("leads_review_change"),
    Seen("leads_review_history"),
    # exports
    Seen("exports", is_main=True),
    Seen("export_new", is_main=True),
    Seen("export_new", query="?status=Blocked&period=7d&cols=id,phone&order=oldest"),
    Seen("export_new", query="?no_such=filter"),
    Seen("export", "done_export", is_main=True),
    Seen("export", "running_export", is_main=True),
    Seen("export", "waiting_export"),
    Seen("export", "failed_export"),
    Seen("export", "cancelled_export"),
    Seen("export", "expired_export"),
    Seen("export_schedules", is_main=True),
    Seen("export_schedule_new", query="?status=Blocked"),
    # who may not be contacted
    Seen("leads_suppression_changelist", is_main=True),
    Seen("leads_suppression_change", is_main=True),
    Seen("leads_suppression_change", "ended_suppression"),
    Seen("leads_suppression_history"),
    Seen("suppression_person", is_main=True),
    Seen("suppression_add"),
    Seen("suppression_release", "leads_suppression"),
    Seen("leads_lookback_changelist"),
    Seen("leads_lookback_change"),
    Seen("leads_lookback_history"),
    Seen("leads_suppressionimport_changelist"),
    Seen("leads_suppressionimport_add"),
    Seen("leads_suppressionimport_change"),
    Seen("leads_suppressionimport_change", "open_import"),
    Seen("leads_suppressionimport_history"),
    Seen("leads_registrylist_changelist"),
    Seen("leads_registrylist_change"),
    Seen("leads_registrylist_history"),
    # posts
    Seen("intake_post_changelist", is_main=True),
    Seen("intake_post_changelist", query="?outcome=refused&to=2999-01-01"),
    Seen("intake_post_change", is_main=True),
    Seen("intake_post_change", "evil_post"),
    Seen("intake_post_change", "evil_refused", is_main=True),
    Seen("intake_post_change", "refused_post"),
    Seen("intake_post_change", "replayed_post"),
    Seen("intake_post_history"),
    Seen("intake_replay_changelist"),
    Seen("intake_replay_change"),
    Seen("intake_replay_history"),
    Seen("intake_refusalcount_changelist"),
    Seen("intake_refusalcount_change"),
    Seen("intake_refusalcount_history"),
    # sources
    Seen("sources_source_changelist", is_main=True),
    Seen("sources_source_add"),
    Seen("sources_source_change", is_main=True),
    Seen("sources_source_change", "evil_source", is_main=True),
    Seen("source_overview", "sources_source", is_main=True),
    Seen("source_overview", "evil_source", is_main=True),
    Seen("source_rules", "sources_source", is_main=True),
    Seen("source_rules", "evil_source"),
    Seen("source_approve", "evil_source"),
    Seen("source_issue_key", "sources_source"),
    Seen("source_revoke_key", "sources_sourcekey"),
    Seen("source_history", "sources_source"),
    Seen("source_history", "evil_source"),
    Seen("sources_sourcekey_changelist"),
    Seen("sources_sourcekey_change"),
    Seen("sources_sourcekey_history"),
    Seen("sources_apitoken_changelist", is_main=True),
    Seen("sources_apitoken_add", is_main=True),
    Seen("sources_apitoken_change", is_main=True),
    Seen("sources_apitoken_change", "ended_token"),
    Seen("sources_apitoken_history"),
    Seen("token_revoke", "sources_apitoken", is_main=True),
    Seen("token_revoke", "ended_token"),
    *(
        Seen(f"sources_{model}_{what}")
        for model in ("business", "vendor", "tag")
        for what in ("changelist", "add", "change", "history")
    ),
    # staff, work in the background
    Seen("auth_user_changelist"),
    Seen("auth_user_add"),
    Seen("auth_user_change"),
    Seen("auth_user_history"),
    Seen("auth_user_password_change", "auth_user"),
    Seen("auth_group_changelist"),
    Seen("auth_group_add"),
    Seen("auth_group_change"),
    Seen("auth_group_delete"),
    Seen("auth_group_history"),
    Seen("jobs_job_changelist"),
    Seen("jobs_job_change"),
    Seen("jobs_job_history"),
    Seen("jobs_worker_changelist"),
    Seen("jobs_worker_change"),
    Seen("jobs_worker_history"),
]
# What nobody looks at when signed in, and why.
NOBODY_ADDS = "403 for everyone: nobody adds one here"
NOBODY_DELETES = "403 for everyone: what happened stays"
RECORDS = (
    *("leads_lead", "leads_review", "leads_suppression", "leads_lookback", "leads_registrylist"),
    *("leads_suppressionimport", "intake_post", "intake_replay", "intake_refusalcount"),
    *("jobs_job", "jobs_worker", "sources_sourcekey"),
)
KEPT = (
    *("sources_source", "sources_business", "sources_vendor", "sources_tag", "sources_apitoken"),
)
NOT_TO_SEE = {
    "auth_user_delete": "403 for everyone: people are switched off",
    "login": "has a test of its own: for who is not signed in",
    "logout": "only by POST",
    "autocomplete": "answers JSON",
    "jsi18n": "is a script",
    "app_list": "nothing leads to it: the navigation is ours",
    "leads_views": "only by POST",
    "leads_view": "only by POST",
    "import_cancel": "only by POST",
    "export_progress": "is a part of the page export, for its script",
    "export_file": "is a file",
    **dict.fromkeys(("export_cancel", "export_again", "export_schedule"), "only by POST"),
    "import_resume": "only by POST",
    "import_bad_rows": "is a file, by POST",
    "desk": "leads to the first lead of the queue",
    **dict.fromkeys(
        [f"desk_{one}" for one in ("release", "reject", "undo", "take_over", "reveal")],
        "only by POST",
    ),
    **dict.fromkeys(
        ("leads_lead_reveal", "intake_post_replay", "intake_post_reveal", "source_example"),
        "only by POST",
    ),
    "import_bad_rows_shown": "only by POST",
    "leads_suppression_add": "is the page suppression_add",
    "sources_source_history": "leads to the history of ours",
    **{f"{model}_delete": NOBODY_DELETES for model in (*RECORDS, *KEPT)},
    **{
        f"{one}_add": NOBODY_ADDS
        for one in RECORDS
        if one not in ("leads_suppressionimport", "leads_suppression")
    },
}

WIDTHS = (390, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LOOKS = [(scheme, width) for scheme in SCHEMES for width in WIDTHS]
FEW_LOOKS = [LOOKS[1], LOOKS[2]]  # light and wide, dark and narrow
# What no page of ours has, and an enemy's text would have made, were it not text.
MADE_BY_ENEMIES = """() => {
    const kinds = ["style", "iframe", "object", "embed", "base", "[onerror]", "[onclick]",
        "script:not([src^='/static/'], [src='/admin/jsi18n/'])", "img[src='x']",
        "[href^='javascript:' i]", "[src^='javascript:' i]", "[action^='javascript:' i]"];
    return [...document.querySelectorAll(kinds)].map(one => one.outerHTML.slice(0, 200));
}"""


def test_every_page_is_looked_at_or_has_a_reason_not_to_be() -> None:
    seen = {one.url for one in PAGES_TO_SEE}
    names = set(url_names())
    missed = names - seen - NOT_TO_SEE.keys()
    assert not missed, f"Add {sorted(missed)} to PAGES_TO_SEE of {HERE}, or say why not"
    assert not seen & NOT_TO_SEE.keys()
    gone = (seen | NOT_TO_SEE.keys()) - names
    assert not gone, f"No URL has these names of {HERE} any more: {sorted(gone)}"


@pytest.fixture(scope="module")
def site(
    django_db_setup: None, django_db_blocker: Any
) -> Iterator[tuple[str, Rows, dict[str, Any]]]:
    """Yield the URL of a server in this process, the rows behind it, and a cookie to get in.

    Its threads use this connection, whose transaction is undone at the end. Not pytest-django's
    `live_server`, which empties the database after each test. To be asked for before the browser,
    under whose event loop Django has another connection.
    """
    if connection.vendor != "sqlite":
        pytest.skip("Pages look alike on every database, so they are looked at on SQLite.")
    with django_db_blocker.unblock(), override_settings(SECURE_SSL_REDIRECT=False):
        made = []
        if not connection.is_in_memory_db():  # type: ignore[attr-defined]  # no test that runs now has asked for a database
            made = setup_databases(verbosity=0, interactive=False)
        undone = transaction.atomic()
        undone._from_testcase = True  # type: ignore[attr-defined]  # as TestCase marks its own
        with undone:
            authentication.forget()
            rows = make_rows()
            root = get_user_model().objects.create_superuser("root", first_name="Ruth")
            # Her own, with all their buttons.
            Export.objects.update(by=root)
            ExportSchedule.objects.update(by=root)
            second_factor.set_up(root, "0123456789abcdef" * 2, "")
            cookie = client_for(root).cookies[settings.SESSION_COOKIE_NAME].value
            thread = LiveServerThread(
                "127.0.0.1",
                static_handler=as_it_is,  # type: ignore[arg-type]
                connections_override={DEFAULT_DB_ALIAS: connections[DEFAULT_DB_ALIAS]},
            )
            thread.daemon = True
            connection.inc_thread_sharing()
            thread.start()
            thread.is_ready.wait()
            if thread.error:
                raise thread.error
            url = f"http://127.0.0.1:{thread.port}"
            yield url, rows, {"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": url}
            thread.terminate()
            connection.dec_thread_sharing()
            transaction.set_rollback(True)
            authentication.forget()
            refusals.forget()
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="module")
def signed_in(site: Any, browser: Browser) -> Iterator[BrowserContext]:
    """Yield a browser in which an administrator is signed in, and which obeys the policy."""
    url, _, cookie = site
    with browser.new_context(base_url=url, reduced_motion="reduce") as context:
        context.add_cookies([cookie])
        yield context


@pytest.fixture(scope="module")
def lax(site: Any, browser: Browser) -> Iterator[Page]:
    """Yield a tab of the same, into which axe may be put, whatever the policy of the pages."""
    url, _, cookie = site
    with browser.new_context(base_url=url, reduced_motion="reduce", bypass_csp=True) as context:
        context.add_cookies([cookie])
        yield context.new_page()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def page(signed_in: BrowserContext, said: list[str]) -> Iterator[Page]:
    """Yield a new tab, all of whose complaints are put into `said`."""
    page = signed_in.new_page()
    page.expose_function("breach", lambda directive: said.append(f"breach of {directive}"))
    page.add_init_script(WATCH)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: hear(message, said))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("dialog", lambda dialog: end(dialog, said))
    yield page
    page.close()


def hear(message: ConsoleMessage, said: list[str]) -> None:
    """Note what the console of the browser complains of; not its hints to whoever makes a page."""
    if message.type in ("error", "warning", "assert"):
        said.append(f"{message.type}: {message.text}")


def end(dialog: Dialog, said: list[str]) -> None:
    """Note that a page opened a dialog, which none does, and close it."""
    said.append(f"dialog: {dialog.message}")
    dialog.dismiss()


EACH = pytest.mark.parametrize("seen", PAGES_TO_SEE, ids=str)


@EACH
def test_a_page_keeps_its_policy_fits_its_width_and_holds_no_tag_of_an_enemy(
    page: Page, said: list[str], site: Any, seen: Seen
) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    answer = page.goto(seen.path(site[1]))
    assert answer
    assert answer.status == 200
    assert page.evaluate(MADE_BY_ENEMIES) == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width, wide_ones(page)
    assert said == []


def test_what_an_enemy_would_have_made_is_found(page: Page, said: list[str]) -> None:
    page.goto("/admin/")
    page.evaluate("text => document.body.insertAdjacentHTML('beforeend', text)", EVIL)
    assert any("onerror" in one for one in page.evaluate(MADE_BY_ENEMIES))
    for _ in range(50):  # by no function in the page, which its policy may refuse to evaluate
        if any(one.startswith("breach of script-src") for one in said):
            return
        page.wait_for_timeout(100)
    pytest.fail(f"The breach was not told: {said}")


def wide_ones(page: Page) -> Any:
    """Return what sticks out of the page on the right, for whoever has to mend it."""
    return page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(
            one => one.getBoundingClientRect().right > innerWidth + 1
        ).map(one => one.tagName + "." + one.className + "#" + one.id).slice(0, 12)"""
    )


def looked_at(page: Page) -> Any:
    """Return what axe finds, once more where a page that tells progress was just loaded anew."""
    for _ in range(3):
        try:
            return Axe().run(page)
        except PlaywrightError as error:
            if "context was destroyed" not in str(error):
                raise
            page.wait_for_load_state()
    return Axe().run(page)


@EACH
def test_axe_finds_nothing_wrong_with_a_page(lax: Page, site: Any, seen: Seen) -> None:
    for number, (scheme, width) in enumerate(LOOKS if seen.is_main else FEW_LOOKS):
        lax.set_viewport_size({"width": width, "height": 900})
        lax.emulate_media(color_scheme=scheme)
        if number == 0:
            lax.goto(seen.path(site[1]))
        found = looked_at(lax)
        assert found.violations_count == 0, f"{scheme}, {width}: {found.generate_report()}"


# Of pages, of sources and leads that enemies wrote, of a person, of nothing.
@pytest.mark.parametrize("text", ["le", "script", "(512) 555-0101", "no such thing"])
def test_axe_finds_nothing_wrong_with_what_is_found_by_key(lax: Page, site: Any, text: str) -> None:
    lax.goto("/admin/")
    for scheme, width in LOOKS:
        lax.set_viewport_size({"width": width, "height": 900})
        lax.emulate_media(color_scheme=scheme)
        lax.keyboard.press("/")
        lax.keyboard.type(text)
        lax.locator("#palette .found a, #palette .said:not(:empty)").first.wait_for()
        lax.keyboard.press("ArrowDown")
        found = Axe().run(lax)
        assert found.violations_count == 0, f"{scheme}, {width}: {found.generate_report()}"
        assert lax.evaluate(MADE_BY_ENEMIES) == []
        assert lax.evaluate("document.documentElement.scrollWidth") == width
        lax.keyboard.press("Escape")


def test_the_sign_in_is_as_good_as_the_rest(site: Any, browser: Browser) -> None:
    said: list[str] = []
    with browser.new_context(base_url=site[0], bypass_csp=True) as context:
        page = context.new_page()
        page.on("console", lambda message: hear(message, said))
        for scheme, width in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.goto("/admin/login/")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            found = Axe().run(page)
            assert found.violations_count == 0, f"{scheme}, {width}: {found.generate_report()}"
    assert said == []
