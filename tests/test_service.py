"""The ground: request ids, addresses, health, logs, layers, migrations, constraints."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog
from django.conf import settings as project_settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.test import Client

from leadping.middleware import caller_address
from leadping.wsgi import application
from leads.models import Lead
from sources import keys, online
from sources.ids import uuid7
from sources.models import Source, Tag
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_source
from tests.service import own_database

# Port 1 of this machine.
NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/nothing"
ROOT = Path(__file__).resolve().parent.parent


# --- request ids and addresses ------------------------------------------------------------------


@pytest.mark.parametrize("good", ["abcdefgh", "A-b_c.1234", "x" * 64])
def test_a_request_id_of_the_right_form_is_kept(db: None, good: str) -> None:
    response = Client().post("/leads/intake", headers={"X-Request-Id": good})
    assert response.headers["X-Request-Id"] == good
    assert response.json()["requestId"] == good


def test_a_key_is_not_kept_as_a_request_id(db: None) -> None:
    key = keys.mint()
    response = Client().post("/leads/intake", headers={"X-Request-Id": key})
    assert key not in str(response.headers) + response.content.decode()


@pytest.mark.parametrize("bad", ["", "short", "x" * 65, "with space", "semi;colon", "é" * 10])
def test_another_request_id_is_replaced(db: None, bad: str) -> None:
    response = Client().post("/leads/intake", headers={"X-Request-Id": bad})
    assert response.headers["X-Request-Id"] != bad
    assert len(response.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ([], "203.0.113.9", "", "203.0.113.9"),
        ([], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (["10.0.0.0/8"], "10.0.0.1", "nonsense", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "", "10.0.0.1"),
        (["::1"], "::1", "2001:db8::1", "2001:db8::1"),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ([], "", "198.51.100.1", ""),
        ([], "unix:", "", ""),
        ([], "fe80::1%eth0", "", "fe80::1"),
        (["10.0.0.0/8"], "10.0.0.1", "fe80::2%eth0", "fe80::2"),
    ],
)
def test_only_a_trusted_proxy_says_who_the_caller_is(
    settings: Any, trusted: list[str], peer: str, forwarded: str, expected: str
) -> None:
    settings.TRUSTED_PROXIES = [ip_network(one) for one in trusted]
    assert caller_address(peer, forwarded) == expected


def test_only_a_trusted_proxy_says_that_the_caller_spoke_https(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    for trusted, status in (([], 301), (["127.0.0.1"], 302)):
        settings.TRUSTED_PROXIES = [ip_network(one) for one in trusted]
        response = Client().get("/admin/login/x", headers={"X-Forwarded-Proto": "https"})
        assert response.status_code == status


def test_a_lead_carries_the_address_that_a_trusted_proxy_tells(door: Door, settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    told = door.post(HTTP_X_FORWARDED_FOR="198.51.100.1").json()["metadata"]["ipAddress"]
    assert told == "198.51.100.1"
    settings.TRUSTED_PROXIES = []
    told = door.post(HTTP_X_FORWARDED_FOR="198.51.100.1").json()["metadata"]["ipAddress"]
    assert told == "127.0.0.1"
    assert door.post(REMOTE_ADDR="").json()["metadata"]["ipAddress"] is None


# --- health -------------------------------------------------------------------------------------


def test_healthz_asks_nothing_of_the_database() -> None:
    response = Client().get("/healthz", headers={"Host": "10.1.2.3:8000"})
    assert (response.status_code, response.content) == (200, b"alive\n")


def test_readyz_is_green_on_a_database_that_keeps_what_it_said(db: None) -> None:
    response = Client().get("/readyz", headers={"Host": "10.1.2.3:8000"})
    assert response.json() == {"ready": True, "faults": []}
    assert response.status_code == 200
    assert int(response.headers["Content-Length"]) == len(response.content)


def test_readyz_is_red_when_commits_are_not_flushed(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous=NORMAL")
        else:
            cursor.execute("SET synchronous_commit = off")
        try:
            response = Client().get("/readyz")
        finally:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA synchronous=FULL")
            else:
                cursor.execute("SET synchronous_commit = on")
    assert response.status_code == 503
    (fault,) = response.json()["faults"]
    assert "synchronous" in fault


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x.sqlite3", NOBODY_LISTENS])
def test_without_a_database_readyz_is_red_and_a_post_is_503(url: str) -> None:
    said = in_another_process(
        url,
        "from django.test import Client; from sources import keys; import json\n"
        "ready = Client().get('/readyz')\n"
        "post = Client().post('/leads/intake', '{}', content_type='application/json',"
        " headers={'Authorization': 'Bearer ' + keys.mint()})\n"
        "print(json.dumps([ready.status_code, ready.json(), post.status_code, post.json(),"
        " dict(post.headers)]))\n",
    )
    assert said[:2] == [503, {"ready": False, "faults": ["The database does not answer."]}]
    status, body, headers = said[2:]
    assert (status, headers["Leadping-Problem"], body["retryable"]) == (503, "unavailable", True)
    assert int(headers["Retry-After"]) > 0


def test_readyz_is_red_before_migrations(tmp_path: Path) -> None:
    with own_database(tmp_path, has_tables=False) as url:
        said = in_another_process(
            url,
            "from django.test import Client; import json\n"
            "ready = Client().get('/readyz')\n"
            "print(json.dumps([ready.status_code, ready.json()]))\n",
        )
    assert said == [
        503,
        {"ready": False, "faults": ["Migrations are not applied: run manage.py migrate."]},
    ]


def in_another_process(url: str, program: str) -> Any:
    """Run a program on another database and return the JSON that it prints."""
    setup = "import django; django.setup()\n"
    ended = subprocess.run(
        [sys.executable, "-c", setup + program],
        cwd=project_settings.BASE_DIR,
        env=os.environ
        | {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "leadping.settings",
            "ALLOWED_HOSTS": "testserver",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


# --- logs ---------------------------------------------------------------------------------------


Lines = Callable[[], list[dict[str, Any]]]


def test_a_post_writes_one_line_that_tells_its_story(door: Door, log_lines: Lines) -> None:
    response = door.send()
    (line,) = log_lines()
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("took_us") > 0
    assert line == {
        "event": "post.stored",
        "level": "info",
        "request_id": response.headers["X-Request-Id"],
        "post_id": response.headers["Leadping-Post-Id"],
        "lead_id": response.json()["id"],
        "source_id": str(door.source.id),
        "key_id": str(door.source.keys.get().id),
        "status": 201,
        "outcome": "approved",
        "findings": [],
        "body_size": 75,
    }


def test_no_log_line_holds_what_a_vendor_sent(
    door: Door, log_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "canary77"
    members = {
        "firstName": canary,
        "email": f"{canary}@example.com",
        "externalId": canary,
        f"n{canary}": canary,
    }
    door.send(**members)
    door.send(**members, phone=f"x{canary}", zip=canary * 9)
    door.send(**members, trustedFormUrl=canary, dateOfBirth="2020-01-01")
    door.post(canary.encode())
    door.post(headers={"Authorization": f"Bearer {canary}"})
    Client().get(f"/leads/{canary}?q={canary}")
    Client().get(f"/{canary}?q={canary}")
    Client().get(f"/admin/{canary}", headers={"Host": f"{canary}.example.com"})
    logging.getLogger("waitress").error(f"Exception while serving /leads/{canary}")
    monkeypatch.setattr("intake.receive.facts_of", lambda *args: int(canary))
    assert door.send(**members | {"externalId": "new"}).status_code == 500
    monkeypatch.setattr("leadping.health.readiness_faults", lambda: int(canary))
    with pytest.raises(ValueError, match=canary):
        Client().get(f"/readyz?{canary}")
    lines = log_lines()
    assert len(lines) >= 7
    assert canary not in str(lines)
    assert door.key not in str(lines)


def test_an_error_is_logged_by_kind_and_place(
    door: Door, log_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intake.receive.facts_of", lambda *args: int("secret"))
    door.send()
    error, refused, of_django = log_lines()
    assert (of_django["event"], of_django["status"]) == ("request.failed", 500)
    assert error["event"] == "post.failed"
    assert error["post_id"] == refused["post_id"]
    assert error["error"][0]["kind"] == "ValueError"
    assert "test_service.py" in error["error"][0]["at"][-1]


def test_lines_of_other_libraries_are_templates_without_their_texts(
    log_lines: Lines,
) -> None:
    logger = logging.getLogger("somebody.else")
    logger.warning("user %s said %s", "ada@example.com", "lp_src_abcdefgh123")
    logger.warning("queue depth is %d", 7)
    logging.getLogger("waitress.queue").warning("depth %d", 8)
    logging.getLogger("django.security.Odd").warning("ada@example.com")
    structlog.get_logger().warning("odd", value="lp_src_abcdefgh123", thing=object)
    try:
        raise KeyError("a") from ValueError("b")
    except KeyError as error:
        structlog.get_logger().error("chained", exc_info=error)
    texts, depth, queue, security, odd, chained = log_lines()
    assert (queue["event"], security["event"]) == ("depth 8", "request.suspicious")
    assert (texts["event"], texts["logger"]) == ("user %s said %s", "somebody.else")
    assert depth["event"] == "queue depth is 7"
    assert odd["value"].startswith("[key removed ")
    assert [one["kind"] for one in chained["error"]] == ["KeyError", "ValueError"]


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("closed file")])
def test_a_post_is_answered_though_its_line_cannot_be_written(
    door: Door, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    (handler,) = [
        one
        for one in logging.getLogger().handlers
        if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
    ]
    monkeypatch.setattr(handler, "stream", Broken())
    assert door.send().status_code == 201
    assert Lead.objects.count() == 1


def test_a_text_that_is_no_unicode_is_logged_too(log_lines: Lines) -> None:
    structlog.get_logger().warning("odd", value="\ud800")
    (line,) = log_lines()
    assert line["value"] == "\ud800"


# --- migrations, constraints, columns -----------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_every_migration_goes_back_and_forth() -> None:
    for app in ("intake", "leads", "sources"):
        call_command("migrate", app, "zero", verbosity=0)
    call_command("migrate", verbosity=0)
    make_source()
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_leads_from_before_are_told_again_by_what_they_are() -> None:
    """Migration leads 0002 fills what a repeat is told by; a stopped 0003 can be run again."""
    door = Door(make_source())
    first = door.send(externalId="x-1")
    for number in range(3):
        door.send(externalId=f"other {number}")
    call_command("migrate", "leads", "0001", verbosity=0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("CREATE INDEX lead_idempotency_key_unique ON leads_lead (source_id)")
    with patch_batches_of(2):
        call_command("migrate", verbosity=0)
    assert not Lead.objects.exclude(posted_phone=F("phone"), posted_email_key=F("email_key"))
    assert door.send(externalId="x-1").json() == first.json()
    assert door.send(externalId="x-1", phone="512-555-0138").status_code == 409
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT indisunique, indisvalid FROM pg_index "
                "WHERE indexrelid = 'lead_idempotency_key_unique'::regclass"
            )
            assert cursor.fetchone() == (True, True)


@contextmanager
def patch_batches_of(rows: int) -> Iterator[None]:
    """Have `sources.online.fill` take so many rows at a time."""
    before = online.BATCH_ROWS
    online.BATCH_ROWS = rows
    yield
    online.BATCH_ROWS = before


def test_the_posts_table_can_be_partitioned_by_time(db: None) -> None:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a "
            "ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) "
            "WHERE i.indrelid = 'intake_post'::regclass AND i.indisprimary"
        )
        assert {name for (name,) in cursor.fetchall()} == {"id", "received_at"}


def test_ids_are_version_7_and_ordered_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for milliseconds in range(1_800_000_000_000, 1_800_000_000_100):
        monkeypatch.setattr("time.time_ns", lambda at=milliseconds: at * 1_000_000)
        ids.append(uuid7())
    assert ids == sorted(ids)
    assert {one.version for one in ids} == {7}
    assert {one.variant for one in ids} == {"specified in RFC 4122"}
    assert ids[0].int >> 80 == 1_800_000_000_000


def test_decimals_are_exact_in_the_database_too(door: Door) -> None:
    for price in ("0.0001", "99999999.9999", "-12.34", "0.1", "0.2"):
        door.send(price=price)
    stored = Lead.objects.order_by("price").values_list("price", flat=True)
    assert [str(one) for one in stored] == [
        "-12.3400",
        "0.0001",
        "0.1000",
        "0.2000",
        "99999999.9999",
    ]
    total = Lead.objects.aggregate(total=Sum("price"))["total"]
    assert total == Decimal("99999987.9600")
    assert Lead.objects.filter(price=Decimal("0.1")).count() == 1
    assert Lead.objects.filter(price__gt=Decimal("0.15")).count() == 2


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("allowed_states", "TX"),
        ("allowed_states", [1]),
        ("allowed_products", [""]),
        ("allowed_verticals", ["x" * 101]),
        ("field_map", [1]),
        ("field_map", {"cell": "noSuchField"}),
        ("field_map", {"Phone": "email"}),
        ("field_map", {"_": "email"}),
        ("field_map", {f"n{n}": "phone" for n in range(101)}),
        ("time_zone", "Mars/Olympus"),
        ("rate_per_minute", 0),
        ("duplicate_window_days", 4000),
        ("cost_per_lead", Decimal(-1)),
    ],
)
def test_a_source_is_checked_before_it_is_saved(source: Source, field: str, bad: object) -> None:
    source.full_clean()
    setattr(source, field, bad)
    with pytest.raises(ValidationError) as caught:
        source.full_clean()
    assert field in caught.value.message_dict


@pytest.mark.parametrize(
    "changes",
    [{"rate_per_minute": 0}, {"duplicate_window_days": 4000}, {"duplicate_scope": "all"}],
)
def test_the_database_holds_a_source_to_its_limits(
    source: Source, changes: dict[str, object]
) -> None:
    for name, value in changes.items():
        setattr(source, name, value)
    with pytest.raises(IntegrityError), transaction.atomic():
        source.save()


def test_a_tag_is_unique_in_its_business_whatever_the_case(db: None) -> None:
    business = make_business()
    tag = Tag.objects.create(business=business, name="VIP")
    Tag.objects.create(business=make_business(), name="vip")
    with pytest.raises(IntegrityError), transaction.atomic():
        Tag.objects.create(business=business, name="vip")
    assert (str(tag), str(business)) == ("VIP", business.name)


def call(
    content_type: str, query: str = "", host: str = "localhost"
) -> tuple[str, dict[str, str], bytes]:
    """Post to the WSGI application as a server would; return status, headers and body."""
    told: list[Any] = []

    def start(status: str, headers: Any, error: Any = None) -> Any:
        told.extend([status, headers])

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/leads/intake",
        "QUERY_STRING": query,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": "2",
        "SERVER_NAME": "localhost",
        "HTTP_HOST": host,
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "203.0.113.9",
        "wsgi.input": io.BytesIO(b"{}"),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    response = application(environ, start)
    body = b"".join(response)
    return told[0], dict(told[1]), body


@pytest.mark.parametrize(
    ("content_type", "query"),
    [
        ("application/json; charset*=nonsense''utf-8", ""),
        ("application/json; charset=hex", "a=%41"),
        ("application/json; charset=undefined", "a=%41"),
        ("application/json; charset=idna", "a=%ff"),
        ("application/json; " + "x;" * 5000, ""),
    ],
)
def test_no_content_type_breaks_a_request(
    transactional_db: None, content_type: str, query: str
) -> None:
    status, headers, body = call(content_type, query)
    assert status.startswith(("415", "401"))
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Request-Id"].encode() in body


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_what_goes_straight_to_the_api_carries_the_same_headers(
    transactional_db: None, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def headers_of(expected: str) -> dict[str, str]:
        status, headers, body = call("application/json", host=host)
        assert status.startswith(expected)
        assert headers["Content-Type"] == "application/problem+json"
        assert int(headers["Content-Length"]) == len(body)
        names = ("X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Cache-Control")
        return {name: headers[name] for name in names}

    usual = headers_of("401" if host == "localhost" else "404")
    assert usual["X-Frame-Options"] == "DENY"
    if host == "localhost":  # what breaks outside of all that the view catches
        monkeypatch.setattr("intake.views.now", lambda: 1 / 0)
        assert headers_of("500") == usual


def test_each_change_of_a_source_gives_it_a_new_version(source: Source) -> None:
    versions = [source.version]
    source.save()
    versions.append(source.version)
    source.save(update_fields=["name"])
    source.refresh_from_db()
    versions.append(source.version)
    source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    source.refresh_from_db()
    versions.append(source.version)
    rule = source.rule_modes.get()
    assert str(rule) == "underage: flag"
    rule.delete()
    source.refresh_from_db()
    versions.append(source.version)
    assert len(set(versions)) == len(versions)
    assert str(source.vendor)


def test_an_approved_lead_has_no_reason_and_a_blocked_one_has(door: Door) -> None:
    door.send()
    lead = Lead.objects.get()
    assert (lead.compliance_status, lead.compliance_blocked_reason) == ("Approved", "")
    lead.compliance_status = Lead.Status.BLOCKED
    with pytest.raises(IntegrityError), transaction.atomic():
        lead.save()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8,nonsense"}, "nonsense"),
        ({"PORT": "x"}, "invalid literal"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_stops_the_start(
    changes: dict[str, str | None], told: str
) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "leadping.settings"}
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    ended = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=project_settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert told in ended.stderr
