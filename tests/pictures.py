"""Makes the pictures of the console in docs/pictures: `python -m tests.pictures`.

Of a demo with some thousand leads, in a real browser, light and dark.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal

import django

os.environ.setdefault("DATABASE_URL", "sqlite:///pictures.sqlite3")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from playwright.sync_api import Page, ViewportSize, sync_playwright  # noqa: E402

from tests.conftest import find_chromium  # noqa: E402
from tests.service import ROOT, Service  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1360, "height": 850}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
POSTS = "1000"
# Decides on what has waited for some days, as staff would have.
DECIDE = """
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.utils import timezone
from leads.models import Lead
from leads.reviews import NotDecided
by = get_user_model().objects.get(username="demo")
old = Lead.objects.filter(desk_tab="review", received_at__lt=timezone.now() - timedelta(days=2))
for number, lead in enumerate(old.order_by("received_at")):
    try:
        if number % 3:
            lead.release(by, "", "The data are right: confirmed with the vendor")
        else:
            lead.reject(by, "", "No valid consent")
    except NotDecided:
        pass
"""


def main() -> int:
    """Make the pictures; return the exit code."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        service = Service(f"sqlite:///{folder}/demo.sqlite3", folder)
        service.manage("migrate", "--verbosity", "0")
        service.manage("seed_demo", "--posts", POSTS)
        service.manage("shell", "-c", DECIDE)
        service.manage("counts", "--now")
        with service, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=find_chromium(), args=["--no-sandbox"]
            )
            for scheme in SCHEMES:
                with browser.new_context(
                    base_url=f"http://127.0.0.1:{service.port}",
                    viewport=SIZE,
                    color_scheme=scheme,
                ) as context:
                    take(context.new_page(), scheme)
            browser.close()
    return 0


def take(page: Page, scheme: str) -> None:
    """Take the pictures of one scheme."""

    def picture(name: str) -> None:
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png")

    page.goto("/admin/")
    page.locator("#id_username").fill("demo")
    page.locator("#id_password").fill("only-for-tests")
    page.get_by_role("button", name="Sign in").click()
    picture("home")
    page.goto("/admin/desk/")
    page.keyboard.press("r")
    picture("desk")
    page.goto("/admin/reports/?period=30d&by=" + ("day" if scheme == "light" else "state"))
    picture("report")
    page.goto("/admin/leads/lead/?status=held&period=30d")
    picture("leads")
    page.get_by_role("link", name="Export", exact=True).first.click()
    page.get_by_role("button", name="Make the file").click()
    page.get_by_role("link", name="Download").wait_for()
    picture("export")
    page.goto("/admin/leads/lead/?status=held&period=30d")
    page.keyboard.press("/")
    page.keyboard.type("ba")
    page.locator("#palette-found a").first.wait_for()
    picture("find")
    page.keyboard.press("Escape")
    page.goto("/admin/leads/lead/?status=Rejected")
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("heading", name="What happened").wait_for()
    picture("lead")
    page.get_by_role("link", name="Judged as of").click()
    page.get_by_role("button", name="Judge").wait_for()
    picture("judged")
    page.goto("/admin/sources/source/")
    page.get_by_role("link", name="Bayline quotes").click()
    picture("source")
    page.get_by_role("link", name="Rules").first.click()
    page.get_by_label("States").fill("TX, CA")
    page.get_by_role("button", name="Rehearse").click()
    page.get_by_text("Rehearsed, not saved").wait_for()
    page.evaluate("scrollTo(0, 0)")
    picture("rules")


if __name__ == "__main__":
    sys.exit(main())
