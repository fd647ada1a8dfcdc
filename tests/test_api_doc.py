"""docs/api.md says what is true: its first call and its loop are run, its tables are the code's."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from intake import throttling, views
from intake.problems import PROBLEM_TYPES
from leadping.api import leads, lists, operations
from sources import tokens
from sources.tokens import Scope
from tests.reference_client import EXCEPTIONS
from tests.service import ROOT, Service
from tests.test_vendors_doc import (
    BLOCK,
    CURLRC,
    Expected,
    examples,
    last_answer,
    service,
)

PAGE = (ROOT / "docs" / "api.md").read_text()
__all__ = ["service"]  # the fixture
MAKE_TOKEN = """
from datetime import timedelta
from django.utils import timezone
from sources.models import Source
from sources.tokens import ApiToken, Scope
token, text = ApiToken.objects.issue(business=Source.objects.get(name="main").business,
    label="doc", scopes=list(Scope), expires_at=timezone.now() + timedelta(days=1))
print(text)
"""


@pytest.mark.processes
def test_the_first_call_and_the_loop_do_what_the_page_says(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".curlrc").write_text(CURLRC)
    credentials = service.make_source("--name", "main")
    for number in range(34, 38):  # the newest is the one that the page shows
        members = {"firstName": "Ada", "phone": f"+151255501{number}", "price": 12.5}
        assert service.post(credentials, **members)[0] == 201
    token = service.manage("shell", "--verbosity", "0", "--command", MAKE_TOKEN).split()[-1]
    address = f"http://127.0.0.1:{service.port}"
    environment = {"LEADPING": address, "TOKEN": token, "HOME": str(tmp_path)}
    ((command, answer),) = examples(PAGE)
    assert len(command.splitlines()) <= 5
    came = last_answer(command, {"PATH": os.environ["PATH"], **environment})
    Expected(address).check(answer, came)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_proxy", "*")
    (loop,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]
    names: dict[str, Any] = {}
    exec(loop, names)
    found = [one["id"] for one in names["leads"](pageSize=1)]
    assert len(found) == len(set(found)) == 4
    monkeypatch.setenv("TOKEN", "sk_wrong")
    with pytest.raises(OSError, match="401"):
        next(names["leads"]())


def test_the_loop_repeats_what_the_service_calls_retryable() -> None:
    (loop,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]
    names: dict[str, Any] = {}
    exec(loop, names)
    retryable = {one.status for one in PROBLEM_TYPES.values() if one.is_retryable}
    assert names["WAIT_AND_REPEAT"] - {502, 504} == retryable - {500}


def test_scopes_and_refusals_are_those_of_the_code() -> None:
    table = PAGE.partition("| Scope |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| `([a-z:-]+)` \|", table, re.MULTILINE)
    assert cells == [one.value for one in Scope]
    told = re.findall(r"^\| `(\d{3})` \| (.*?) \|", PAGE, re.MULTILINE)
    codes = {code: int(status) for status, cell in told for code in re.findall(r"`(.*?)`", cell)}
    known = {*operations.OF_BODIES, "invalid-lead"}
    assert codes == {code: PROBLEM_TYPES[code].status for code in known}


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    assert f"A page has {lists.PAGE_SIZE} rows" in PAGE
    assert f"at most {lists.PAGE_SIZE_AT_MOST}." in PAGE
    assert f"up to {lists.COUNTED_AT_MOST:,}:" in PAGE
    assert f"`null` beyond {lists.COUNTED_AT_MOST:,}" in PAGE
    assert f"{tokens.RATE_PER_MINUTE} times in {throttling.WINDOW_SECONDS} seconds" in PAGE
    assert f"may have {views.MAX_BODY_BYTES // 1024} KiB" in PAGE
    assert f"a number from 0 to {leads.ARCHIVE_REASONS}" in PAGE
    searched = [one.name for one in leads.FIELDS.values() if one.is_text]
    assert all(f"`{name}`" in PAGE for name in searched)
    ordered = [one.name for one in leads.FIELDS.values() if one.is_ordered]
    assert ordered == ["createdAt"]


def test_every_named_exception_is_told() -> None:
    told = PAGE.partition("## Beside the public API")[2]
    assert all(member in told for _, member in EXCEPTIONS)


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {one.lower().replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
    for file in re.findall(r"\]\(([\w.]+)\)", PAGE):
        assert (ROOT / "docs" / file).exists()
