"""docs/vendors.md says what is true: every example is run, every table is compared with the code.

How an example is written: a ```sh block is run by `sh` with real curl against a real service, in
the order of the page; the ```http block after it is the answer that the last request of the block
must get. In an ```http block

- of the status line only the version and the number count;
- the headers shown must be there, with these values; more of them may come;
- JSON must be equal, but a bare `…` in an object stands for further members, and a bare `…` as a
  value for any value; without a bare `…` an object has no members but those that are shown;
- `…` within a text or a header stands for any characters;
- a UUID stands for what comes at its place first, and later for the same;
- `https://leads.example.com` stands for the address of the service.
"""

import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import email_validator.rfc_constants
import pytest
import waitress.adjustments

from intake import authentication, bodies, fields, models, receive, throttling, views
from intake.problems import PROBLEM_TYPES, Kept
from leads import compliance, normalize
from leads.models import Lead
from sources.models import Source
from sources.names import ALIASES, FLAT_FIELDS
from sources.rules import NOT_TOLD_APART
from tests.service import ROOT, Service, own_database

PAGE = (ROOT / "docs" / "vendors.md").read_text()
ADDRESS = "https://leads.example.com"
LEAST_EXAMPLES = 30
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTED_KINDS = ("sh", "http")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAME = re.compile(r"`([^`]+)`")
MORE = "…"


# --- reading the page -----------------------------------------------------------------------------


def examples(page: str) -> list[tuple[str, str]]:
    """Return each command of the page with the answer that is shown after it."""
    found: list[tuple[str, str]] = []
    blocks = [(kind, text) for kind, text in BLOCK.findall(page) if kind in TESTED_KINDS]
    while blocks:
        assert [kind for kind, _ in blocks[:2]] == ["sh", "http"], f"not in pairs: {blocks[0][1]}"
        (_, command), (_, answer) = blocks[:2]
        found.append((command, answer))
        del blocks[:2]
    return found


def section(title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Return the cells of all tables under a heading, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[one.strip() for one in line.strip("|").split("|")] for line in lines]
    heads = {number - 1 for number, row in enumerate(cells) if set("".join(row)) <= set("-")}
    assert heads, title
    return [row for n, row in enumerate(cells) if n not in heads and n - 1 not in heads]


def named(cell: str) -> list[str]:
    """Return what a cell has in backticks."""
    return NAME.findall(cell)


def numbers(cell: str) -> list[int]:
    """Return the numbers of a cell, KiB as bytes."""
    found = re.findall(r"(\d+)( KiB)?", cell)
    return [int(number) * (1024 if unit else 1) for number, unit in found]


def with_marks(text: str) -> str:
    """Return JSON in which each bare `…` is a text, or a member with that name."""
    marked, stack = "", []
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[^"]', text):
        if token in ("{", "["):
            stack.append(token)
        elif token in ("}", "]"):
            stack.pop()
        elif token == MORE:
            is_member = stack[-1:] == ["{"] and not marked.rstrip().endswith(":")
            token = f'"{MORE}": "{MORE}"' if is_member else f'"{MORE}"'
        marked += token
    return marked


class Expected:
    """Compares answers with those of the page, and remembers what its UUIDs stand for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.ids: dict[str, str] = {}

    def check(self, shown: str, came: str) -> None:
        """Raise AssertionError unless the answer that came is the one that is shown."""
        head, _, body = shown.partition("\n\n")
        status, *lines = head.splitlines()
        came_head, _, came_body = came.partition("\n\n")
        came_status, *came_lines = came_head.splitlines()
        assert came_status.split()[:2] == status.split()[:2], came
        came_headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in came_lines)
        }
        for line in lines:
            name, _, value = line.partition(":")
            self.check_text(value.strip(), came_headers.get(name.lower()), name)
        if body.strip():
            self.check_value(json.loads(with_marks(body)), json.loads(came_body), "")

    def check_value(self, shown: Any, came: Any, place: str) -> None:
        """Compare values of JSON."""
        if shown == MORE:
            return
        if isinstance(shown, dict):
            assert isinstance(came, dict), place
            wanted = {name: value for name, value in shown.items() if name != MORE}
            assert wanted.keys() <= came.keys(), (place, wanted.keys() - came.keys())
            assert MORE in shown or wanted.keys() == came.keys(), (
                place,
                came.keys() - wanted.keys(),
            )
            for name, value in wanted.items():
                self.check_value(value, came[name], f"{place}/{name}")
        elif isinstance(shown, list):
            assert isinstance(came, list), place
            assert len(shown) == len(came), place
            for number, (one, other) in enumerate(zip(shown, came, strict=True)):
                self.check_value(one, other, f"{place}/{number}")
        elif isinstance(shown, str):
            self.check_text(shown, came, place)
        else:
            assert (type(shown), shown) == (type(came), came), place

    def check_text(self, shown: str, came: Any, place: str) -> None:
        """Compare texts."""
        assert isinstance(came, str), (place, shown, came)
        pattern = re.escape(shown.replace(ADDRESS, self.address)).replace(MORE, ".*")
        for one in dict.fromkeys(UUID.findall(shown)):
            pattern = pattern.replace(re.escape(one), self.ids.get(one, f"({UUID.pattern})"))
        match = re.fullmatch(pattern, came, re.DOTALL)
        assert match, (place, shown, came)
        new = [one for one in dict.fromkeys(UUID.findall(shown)) if one not in self.ids]
        self.ids |= dict(zip(new, match.groups(), strict=True))


# --- every example runs ---------------------------------------------------------------------------


PREPARE = """
from leads.models import Lead
from sources.models import Source, Tag
from tests.factories import make_tombstone
main, off, url = (Source.objects.get(name=name) for name in ("main", "off", "url"))
Tag.objects.create(business=main.business, name="Solar")
off.is_enabled = False
off.save()
url.is_query_key_allowed = True
url.save()
make_tombstone(Lead.objects.get(external_id="erased-1"))
"""


# An answer's JSON ends without a line end, after which the next answer would not begin a line.
CURLRC = r"""
silent
show-error
max-time = 20
noproxy = *
write-out = "\n"
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Yield a running leadping."""
    with own_database(tmp_path) as url, Service(url, tmp_path) as one:
        yield one


def prepared(service: Service) -> dict[str, str]:
    """Make the sources that the examples speak of, and return the variables of their shell."""
    variables = {"LEADPING": f"http://127.0.0.1:{service.port}"}
    made = {
        "SOURCE": ["--name", "main"],
        "SLOW": ["--name", "slow", "--rate", "2"],
        "OFF": ["--name", "off"],
        "URL": ["--name", "url"],
        "CAPPED": ["--name", "capped", "--daily-cap", "1"],
        "STRICT": ["--name", "strict", "--mode", "underage=reject", "--mode", "phone-invalid=flag"],
    }
    for name, words in made.items():
        credentials = service.make_source(*words)
        variables[f"{name}_ID"] = credentials["X-Leadping-Source-Id"]
        variables[f"{name}_KEY"] = credentials["X-Leadping-Source-Key"]
        if name == "SOURCE":
            assert service.post(credentials, externalId="erased-1")[0] == 201
    variables["NEW_KEY"] = json.loads(service.manage("rotate_key", "main", "--json"))["sourceKey"]
    service.manage("shell", "--verbosity", "0", "--command", PREPARE)
    return variables


def last_answer(command: str, environment: dict[str, str]) -> str:
    """Run a command and return the last answer that its curl printed, with plain line ends."""
    ended = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    answers = re.split(r"^(?=HTTP/)", ended.stdout.replace("\r\n", "\n"), flags=re.MULTILINE)
    return answers[-1]


@pytest.mark.processes
def test_every_example_gets_the_answer_that_is_shown(service: Service, tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text(CURLRC)
    variables = prepared(service)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables}
    expected = Expected(variables["LEADPING"])
    ran = 0
    for command, answer in examples(PAGE):
        came = last_answer(command, environment)
        try:
            expected.check(answer, came)
        except AssertionError as error:
            pytest.fail(f"{command}\nis not answered as shown: {error}\n\n{came}", pytrace=False)
        ran += 1
    assert ran >= LEAST_EXAMPLES


# --- the convention itself ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        "```sh\ncurl\n```\n",
        "```sh\ncurl\n```\n```sh\ncurl\n```\n```http\nHTTP/1.1 201\n```\n",
        "```http\nHTTP/1.1 201\n```\n",
    ],
)
def test_a_command_without_an_answer_is_found(page: str) -> None:
    with pytest.raises(AssertionError, match="not in pairs"):
        examples(page)


ONE, OTHER = (f"01a20841-3c5e-7a19-8f02-4b7d90c1e6a{n}" for n in "ab")


@pytest.mark.parametrize(
    ("shown", "came", "is_same"),
    [
        ("{…}", '{"a": 1}', True),
        ('{"a": 1, …}', '{"a": 1, "b": 2}', True),
        ('{"a": 1}', '{"a": 1, "b": 2}', False),
        ('{"a": 1, …}', '{"b": 2}', False),
        ('{"a": …}', '{"a": [null]}', True),
        ('{"a": "…"}', '{"a": null}', True),
        ('{"a": ""}', '{"a": null}', False),
        ('{"a": "x…z"}', '{"a": "xyz"}', True),
        ('{"a": "x…z"}', '{"a": "xy"}', False),
        ('{"a": ["x"]}', '{"a": ["x", "y"]}', False),
        ('{"a": true}', '{"a": 1}', False),
        ('{"a": "https://leads.example.com/b"}', '{"a": "http://here/b"}', True),
        (f'{{"a": "{ONE}", "b": "/{ONE}"}}', f'{{"a": "{OTHER}", "b": "/{OTHER}"}}', True),
        (f'{{"a": "{ONE}", "b": "/{ONE}"}}', f'{{"a": "{OTHER}", "b": "/{ONE}"}}', False),
    ],
)
def test_what_the_marks_in_an_answer_stand_for(shown: str, came: str, is_same: bool) -> None:
    head = "HTTP/1.1 201 Created\nA: b\n\n"
    if is_same:
        Expected("http://here").check(head + shown, head + came)
    else:
        with pytest.raises(AssertionError):
            Expected("http://here").check(head + shown, head + came)


@pytest.mark.parametrize("came", ["HTTP/1.1 200 OK\nA: b", "HTTP/1.1 201 x", "HTTP/1.1 201\nA: c"])
def test_another_status_or_header_is_found(came: str) -> None:
    with pytest.raises(AssertionError):
        Expected("").check("HTTP/1.1 201 Created\nA: b\n\n{…}", f"{came}\n\n{{}}")


# --- every table is that of the code --------------------------------------------------------------

# Fields whose own normaliser says what is too long; the others have no limit worth telling.
OWN_LIMITS = {
    "email": email_validator.rfc_constants.EMAIL_MAX_LENGTH,
    "phone": normalize.PHONE_MAX_LENGTH,
    "zip": normalize.ZIP_AS_SENT_MAX_LENGTH,
}
LIST_LIMITS = {
    "sourceMetadata": [
        fields.METADATA_MAX_KEYS,
        fields.METADATA_KEY_MAX_LENGTH,
        fields.METADATA_VALUE_MAX_LENGTH,
    ],
    "tagIds": [fields.MAX_TAGS],
    "tagNames": [fields.MAX_TAGS],
}


def check_limit(one: fields.Field, cell: str) -> None:
    """Compare the limit in a cell with that of the table of fields."""
    if one.name in LIST_LIMITS:
        assert numbers(cell) == LIST_LIMITS[one.name], one.name
    elif 0 < one.limit < fields.ANY_LENGTH:
        assert numbers(cell) == [one.limit], one.name
    else:
        own = OWN_LIMITS.get(one.name)
        assert numbers(cell) == ([own] if own else []), one.name
    assert ("cut" in cell) == one.is_cut, one.name


def test_the_table_of_fields_is_that_of_the_code() -> None:
    table = {named(row[0])[0]: row for row in rows("Fields")}
    assert tuple(table) == FLAT_FIELDS
    told = {alias: name for name, row in table.items() for alias in named(row[1])}
    assert told == ALIASES
    for name, (_, _, _, limit, comes_back) in table.items():
        check_limit(fields.BY_NAME[name], limit)
        is_tag = name in ("tagIds", "tagNames")
        assert named(comes_back) == ([] if is_tag else [".".join(fields.PLACES[name])])


def test_the_table_of_structured_fields_is_that_of_the_code() -> None:
    table = {named(row[0])[0]: row for row in rows("In structured posts")}
    further = {one.name: one for one in fields.FURTHER_FIELDS if one.name not in fields.BY_NAME}
    assert table.keys() == further.keys()
    for name, (_, takes, limit, comes_back) in table.items():
        check_limit(further[name], limit)
        assert named(comes_back) == [".".join(fields.PLACES[name])]
        choices = {"maritalStatus": Lead.MaritalStatus, "employmentType": Lead.EmploymentType}
        if name in choices:
            assert named(takes) == choices[name].values


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("email", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}.com", "d"),
        ("phone", "+1" + " " * 88 + "5125550137", " "),
        ("zip", "K1A" + "0" * 17, "0"),
    ],
)
def test_the_limits_of_the_normalisers_are_those(name: str, good: str, bad: str) -> None:
    assert len(good) == OWN_LIMITS[name]
    fields.BY_NAME[name].value(good)
    with pytest.raises(normalize.Unacceptable):
        fields.BY_NAME[name].value(good[:-4] + bad + good[-4:])


def test_the_table_of_errors_is_that_of_the_code() -> None:
    kept = {Kept.WHOLE: "whole", Kept.START: "start", Kept.NOTHING: "nothing"}
    table = [(row[1], row[0].strip("`"), row[3], row[4]) for row in rows("Errors")]
    expected = [
        (
            f"[`{code}`](/problems/{code})",
            str(one.status),
            "yes" if one.is_retryable else "no",
            kept[one.kept],
        )
        for code, one in PROBLEM_TYPES.items()
        if one.is_of_intake
    ]
    assert sorted(table) == sorted(expected)


def test_what_has_retry_after_is_told() -> None:
    for row in rows("Errors"):
        (code,) = named(row[1])
        has_retry_after = "Retry-After" in PROBLEM_TYPES[code].example_problem().headers
        assert ("Retry-After" in row[2]) == has_retry_after, code


def test_the_table_of_findings_is_that_of_the_code() -> None:
    codes = [named(row[0])[0] for row in rows("complianceStatus")]
    statuses, findings = codes[:3], codes[3:]
    assert statuses == Lead.Status.values
    told = ["not-accepted" if one in NOT_TOLD_APART else one.value for one in compliance.RULES]
    assert findings == list(dict.fromkeys(told))


def test_the_limits_are_those_of_the_code() -> None:
    told = {what: numbers(limit) for what, limit, _ in rows("Limits")}
    settings = waitress.adjustments.Adjustments()
    expected = {
        "body, or query of a `GET`": views.MAX_BODY_BYTES,
        "members, in all objects together; pairs of a form or query": bodies.MAX_MEMBERS,
        "nesting, the outermost object counted": bodies.MAX_DEPTH,
        "characters of a number in JSON": bodies.MAX_NUMBER_LENGTH,
        "characters of a field": None,
        "characters of an `Idempotency-Key`": receive.KEY_MAX_LENGTH,
        "characters of a credential header": authentication.HEADER_MAX_LENGTH,
        "names in `Leadping-Ignored-Fields` or `Leadping-Truncated`": views.MAX_LISTED_NAMES,
        "posts of a source in 60 s": Source._meta.get_field("rate_per_minute").default,
        "failed logins of an address in 60 s": throttling.FAILED_LOGINS,
        "all headers together": settings.max_request_header_size,
    }
    assert told == {what: [] if limit is None else [limit] for what, limit in expected.items()}
    for _, _, beyond in rows("Limits"):
        for status, code in re.findall(r"`(\d+) ([a-z-]+)`", beyond):
            assert PROBLEM_TYPES[code].status == int(status)


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    rate = Source._meta.get_field("rate_per_minute").default
    assert throttling.WINDOW_SECONDS == 60
    assert f"A source may send {rate} posts in {throttling.WINDOW_SECONDS} seconds" in PAGE
    assert f"From the {throttling.FAILED_LOGINS + 1}st failed login" in PAGE
    assert f"its /{throttling.IPV6_PREFIX} network" in PAGE
    assert f"the first {models.START_BYTES // 1024} KiB" in PAGE
    assert f"up to {views.MAX_LISTED_NAMES} names" in PAGE
    assert f"1 to {receive.KEY_MAX_LENGTH} visible ASCII characters" in PAGE


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {one.lower().replace(" ", "-") for one in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


# --- the recipe -----------------------------------------------------------------------------------


class Unsteady(http.server.BaseHTTPRequestHandler):
    """A service that answers as it is told, one status a request; 0 hangs up."""

    script: list[tuple[int, str]]
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, retry_after = self.script.pop(0)
        if not status:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(b'{"id": "x"}')

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("script", "status", "waits"),
    [
        ([(201, "")], 201, []),
        ([(0, ""), (0, ""), (201, "")], 201, [1, 2]),
        ([(503, "5"), (429, "17"), (502, ""), (500, ""), (201, "")], 201, [5, 17, 4, 8]),
        ([(503, "5"), (409, "")], 409, [5]),
        ([(422, "")], 422, []),
        ([(503, "")] * 12, None, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]),
    ],
)
def test_the_recipe_retries_what_is_temporary_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, script: Any, status: int | None, waits: list[int]
) -> None:
    (recipe,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]
    waited: list[float] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unsteady) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        Unsteady.script, Unsteady.bodies = list(script), []
        monkeypatch.setenv("LEADPING", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("SOURCE_KEY", "lp_src_x")
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(time, "sleep", waited.append)
        try:
            names: dict[str, Any] = {}
            exec(recipe, names)
            if status is None:
                with pytest.raises(TimeoutError):
                    names["deliver"]({"externalId": "a"})
            else:
                assert names["deliver"]({"externalId": "a"}) == (status, {"id": "x"})
        finally:
            server.shutdown()
            thread.join()
    assert [int(one) for one in waited] == waits
    assert set(Unsteady.bodies) == {b'{"externalId": "a"}'}


def test_the_recipe_retries_what_the_service_calls_retryable() -> None:
    (recipe,) = [text for kind, text in BLOCK.findall(PAGE) if kind == "python"]
    names: dict[str, Any] = {}
    exec(recipe, names)
    retryable = {one.status for one in PROBLEM_TYPES.values() if one.is_retryable}
    assert names["TEMPORARY"] - {502, 504} == retryable
