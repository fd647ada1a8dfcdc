"""The page that shows the description of the API: whole, offline, by the policy of the console."""

import pytest
from django.test import Client
from playwright.sync_api import Page

from leadping.console.middleware import CONTENT_SECURITY_POLICY
from tests.described import METHODS
from tests.test_pages import WATCH, page, server

__all__ = ["page", "server"]  # fixtures
PATH = "/docs/api"


@pytest.mark.parametrize("path", [PATH, f"{PATH}/"])
def test_the_page_is_open_and_has_no_script_or_style_of_its_own(path: str) -> None:
    response = Client().get(path, secure=True)
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "public" in response.headers["Cache-Control"]
    assert "Set-Cookie" not in response.headers
    text = response.content.decode()
    assert "<style" not in text
    assert "style=" not in text
    assert text.count("<script") == text.count('<script src="/static/')
    assert Client().post(path, secure=True).status_code == 405


@pytest.mark.browser
def test_every_operation_is_listed_and_opens_without_any_other_site(
    page: Page, server: str
) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.expose_function("breach", lambda directive: said.append(f"breach of {directive}"))
    page.add_init_script(WATCH)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(PATH)
    page.wait_for_selector(".opblock")
    shown = page.locator(".opblock-summary-path").all_inner_texts()
    plain = [one.replace("\u200b", "") for one in shown]
    assert sorted(plain) == sorted(path for _, path, _ in METHODS)
    operation = page.locator(".opblock", has_text="Read a lead").first
    operation.locator(".opblock-summary").click()
    operation.locator(".responses-table").wait_for()
    assert "Needs the scope leads:read" in operation.inner_text()
    assert "insufficient-scope" in operation.inner_text()
    assert said == []
    assert {one for one in asked if not one.startswith(f"{server}/")} == set()
