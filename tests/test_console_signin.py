"""Signing in to the console: password, second factor, the lock after failures, one's own page."""

import base64
import re
from binascii import unhexlify
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from leadping.console import second_factor, signin
from leadping.console.refused import forbidden
from tests.test_admin import signed_in

PASSWORD = "correct horse battery"
WRONG = "The user name, password or code is wrong."
HOME, SIGN_IN, SET_UP = "/admin/", "/admin/login/", "/admin/second-factor/"
REPLACE = f"{SET_UP}replace/"
KEY = "0123456789abcdef" * 2
OTHER_KEY = "fedcba9876543210" * 2
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture(autouse=True)
def plain_settings(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in, and spend no time on hashing passwords."""
    settings.SECURE_SSL_REDIRECT = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def clock() -> Any:
    """Yield a clock that stands still until it is moved."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def ada(db: None, clock: Any) -> Any:
    """Return a member of staff who may do everything, without a second factor."""
    return get_user_model().objects.create_superuser("ada", password=PASSWORD)


@pytest.fixture
def recovery_codes(ada: Any, clock: Any) -> list[str]:
    """Give Ada a second factor and return its recovery codes."""
    _, codes = second_factor.set_up(ada, KEY, code_of(KEY))
    clock.shift(30)
    return codes


def code_of(key: str) -> str:
    """Return what an app with this key shows now."""
    return f"{totp(unhexlify(key)):06}"


def wrong_code() -> str:
    """Return six digits that no app with the key shows around now."""
    near = {f"{totp(unhexlify(KEY), drift=steps):06}" for steps in (-1, 0, 1)}
    return next(one for one in ("000000", "111111", "222222", "333333") if one not in near)


def sign_in(client: Client, name: str = "ada", password: str = PASSWORD, **more: Any) -> Any:
    """Send the form of sign-in."""
    form = {"username": name, "password": password, "code": more.pop("code", ""), "next": HOME}
    return client.post(SIGN_IN, form, **more)


def is_in(client: Client) -> bool:
    """Say whether the first page of the console opens."""
    return client.get(HOME).status_code == 200


def text_of(response: Any) -> str:
    """Return what a page says, without its tags, each run of blanks as one."""
    body = response.content.decode().partition("<body")[2]
    return " ".join(unescape(re.sub(r"<[^>]*>", "", body)).split())


def last_record() -> str:
    """Return what was put on record last."""
    return LogEntry.objects.latest("id").get_change_message()


# --- signing in -----------------------------------------------------------------------------------


def test_who_has_no_second_factor_signs_in_without_a_code(ada: Any) -> None:
    client = Client()
    page = client.get(SIGN_IN)
    assert "6 digits, if you have set up a second factor" in text_of(page)
    response = sign_in(client)
    assert (response.status_code, response.headers["Location"]) == (302, HOME)
    assert is_in(client)


def test_who_has_one_signs_in_with_its_code(recovery_codes: list[str]) -> None:
    client = Client()
    assert sign_in(client).status_code == 200
    assert not is_in(client)
    assert sign_in(client, code=code_of(KEY)).status_code == 302
    assert is_in(client)


@pytest.mark.parametrize("code", ["", "12", "abcd-efgh", "１２３４５６", "9" * 33, "\x00"])
def test_a_wrong_code_does_not_sign_in(recovery_codes: list[str], code: str) -> None:
    client = Client()
    assert sign_in(client, code=code).status_code == 200
    assert not is_in(client)


def test_nobody_learns_whether_it_was_the_password_or_the_code(recovery_codes: list[str]) -> None:
    get_user_model().objects.create_user("no staff", password=PASSWORD)
    answers = {
        text_of(sign_in(Client(), name, password, code=code))
        for name, password, code in (
            ("ada", "wrong", ""),
            ("ada", "wrong", wrong_code()),
            ("ada", PASSWORD, ""),
            ("ada", PASSWORD, wrong_code()),
            ("nobody", PASSWORD, ""),
            ("no staff", PASSWORD, ""),
        )
    }
    assert len(answers) == 1
    assert WRONG in answers.pop()


def test_the_page_after_a_failure_holds_no_password(recovery_codes: list[str]) -> None:
    body = sign_in(Client(), code=wrong_code()).content.decode()
    assert PASSWORD not in body


def test_a_code_is_good_once(recovery_codes: list[str]) -> None:
    code = code_of(KEY)
    assert sign_in(Client(), code=code).status_code == 302
    assert sign_in(Client(), code=code).status_code == 200


def test_a_recovery_code_is_good_once_however_it_is_written(recovery_codes: list[str]) -> None:
    client = Client()
    assert sign_in(client, code=f" {recovery_codes[0].upper()} ").status_code == 302
    assert "You used a recovery code; 9 are left." in text_of(client.get(SET_UP))
    assert sign_in(Client(), code=recovery_codes[0]).status_code == 200
    assert sign_in(Client(), code=recovery_codes[1].replace("-", "")).status_code == 200  # too soon


def test_a_wrong_code_slows_down_the_next_of_its_kind_only(
    recovery_codes: list[str], clock: Any
) -> None:
    assert sign_in(Client(), code=wrong_code()).status_code == 200
    assert sign_in(Client(), code=code_of(KEY)).status_code == 200
    assert sign_in(Client(), code=recovery_codes[0]).status_code == 302
    clock.shift(2)
    assert sign_in(Client(), code=code_of(KEY)).status_code == 302


def test_somebody_elses_code_does_not_sign_in(recovery_codes: list[str], clock: Any) -> None:
    ben = get_user_model().objects.create_superuser("ben", password=PASSWORD)
    _, codes = second_factor.set_up(ben, OTHER_KEY, code_of(OTHER_KEY))
    clock.shift(30)
    assert sign_in(Client(), code=code_of(OTHER_KEY)).status_code == 200
    assert sign_in(Client(), code=codes[0]).status_code == 200


def test_a_session_lasts_a_working_day_in_a_cookie_for_this_site_only(ada: Any) -> None:
    cookie = sign_in(Client()).cookies["sessionid"]
    assert cookie["max-age"] == 12 * 60 * 60
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_new_password_ends_other_sessions_and_keeps_the_second_factor(
    recovery_codes: list[str], settings: Any
) -> None:
    settings.STAFF_SECOND_FACTOR = True
    here, there = Client(), Client()
    sign_in(there, code=recovery_codes[0])
    sign_in(here, code=code_of(KEY))
    new = "another long password"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/admin/password_change/", form).status_code == 302
    assert is_in(here)
    assert not is_in(there)


def test_signing_out_ends_in_a_page_of_ours(ada: Any) -> None:
    client = Client()
    sign_in(client)
    assert "You are signed out." in text_of(client.post("/admin/logout/"))
    assert not is_in(client)
    assert client.post("/admin/logout/").headers["Location"] == HOME


# --- the lock -------------------------------------------------------------------------------------


def fail(times: int, name: str = "ada", **more: Any) -> list[int]:
    """Fail to sign in so many times and return the answers' states."""
    return [sign_in(Client(), name, "wrong", **more).status_code for _ in range(times)]


def test_five_failures_lock_a_name_for_an_address_for_15_minutes(ada: Any, clock: Any) -> None:
    assert fail(5) == [200, 200, 200, 200, 429]
    clock.shift(timedelta(minutes=5))
    response = sign_in(Client())  # with the right password
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "600"
    assert "locked for 10 minutes" in text_of(response)
    assert "Content-Security-Policy" in response.headers
    assert sign_in(Client(), **ELSEWHERE).status_code == 302
    clock.shift(timedelta(minutes=9, seconds=59))
    assert sign_in(Client()).status_code == 429
    clock.shift(2)
    assert sign_in(Client()).status_code == 302


def test_a_lock_says_nothing_about_the_account(ada: Any) -> None:
    fail(4)
    fail(4, "nobody")
    ours, nobodys = sign_in(Client(), "ada", "x"), sign_in(Client(), "nobody", "x")
    assert ours.status_code == nobodys.status_code == 429
    assert text_of(ours) == text_of(nobodys)
    assert "ada" not in text_of(ours)


def test_right_passwords_with_wrong_codes_lock_too(recovery_codes: list[str]) -> None:
    answers = [sign_in(Client(), code="").status_code for _ in range(5)]
    assert answers == [200, 200, 200, 200, 429]
    assert sign_in(Client(), code=code_of(KEY)).status_code == 429


def test_right_passwords_of_who_is_no_staff_lock_too(ada: Any) -> None:
    get_user_model().objects.create_user("ben", password=PASSWORD)
    answers = [sign_in(Client(), "ben").status_code for _ in range(5)]
    assert answers == [200, 200, 200, 200, 429]


def test_signing_in_forgets_the_failures_before(ada: Any) -> None:
    fail(4)
    assert sign_in(Client()).status_code == 302
    assert fail(4) == [200] * 4


def test_another_browser_or_address_of_the_same_network_is_locked_too(ada: Any) -> None:
    for number in range(5):
        fail(1, REMOTE_ADDR=f"2001:db8::{number}", HTTP_USER_AGENT=f"browser {number}")
    assert sign_in(Client(), REMOTE_ADDR="2001:db8::99").status_code == 429
    assert sign_in(Client(), REMOTE_ADDR="2001:db8:0:1::1").status_code == 302


def test_a_forwarded_address_of_a_stranger_is_not_believed(ada: Any) -> None:
    for number in range(5):
        fail(1, HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert sign_in(Client(), HTTP_X_FORWARDED_FOR="198.51.100.9").status_code == 429


def test_sign_ins_are_on_record_without_password_or_code(recovery_codes: list[str]) -> None:
    client = Client()
    sign_in(client, password="my secret word", code="654321")
    sign_in(client, code=code_of(KEY))
    client.post("/admin/logout/")
    (failure,) = AccessFailureLog.objects.all()
    assert (failure.username, failure.ip_address) == ("ada", "127.0.0.1")
    assert (failure.attempt_time, failure.locked_out) == (NOON + timedelta(seconds=30), False)
    (access,) = AccessLog.objects.all()
    assert (access.username, access.ip_address) == ("ada", "127.0.0.1")
    assert access.logout_time == NOON + timedelta(seconds=30)
    fail(5)
    kept = AccessAttempt.objects.get()
    assert kept.failures_since_start == 5
    assert not any(one in kept.post_data for one in ("wrong", "ada", "csrf=", HOME))
    assert AccessFailureLog.objects.filter(locked_out=True).count() == 1
    values = str([*AccessFailureLog.objects.values(), *AccessAttempt.objects.values()])
    assert "my secret word" not in values
    assert "654321" not in values


def test_no_failure_is_forgotten_for_being_one_of_many(settings: Any) -> None:
    assert settings.AXES_ACCESS_FAILURE_LOG_PER_USER_LIMIT > 10**9


def test_no_user_name_or_address_gets_in_the_log(
    ada: Any, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    fail(6)
    sign_in(Client(), **ELSEWHERE)
    lines = log_lines()
    assert [line["event"] for line in lines] == ["staff.locked_out"] * 2
    told = re.sub(r"[0-9a-f-]{16,}", "", str(lines))  # ids may spell a name by chance
    assert not any(one in told for one in ("ada", "127.0.0.1", "203.0.113.9", "wrong"))


def test_the_address_of_a_request_without_one_is_none(rf: Any) -> None:
    assert signin.address_of(rf.get("/", REMOTE_ADDR="")) is None


def test_a_recovery_code_of_the_command_line_signs_in(
    recovery_codes: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("addstatictoken", "ada")
    assert sign_in(Client(), code=capsys.readouterr().out.strip()).status_code == 302


def test_a_lock_is_ended_on_the_command_line(ada: Any) -> None:
    fail(5)
    call_command("axes_reset_ip_username", "127.0.0.1", "ada")
    assert sign_in(Client()).status_code == 302


# --- one's own second factor ----------------------------------------------------------------------


def shown_secret(response: Any) -> str:
    """Return the key that a page of set-up shows, as hexadecimal digits."""
    found = re.search(r'id="factor-secret">([A-Z2-7]+)<', response.content.decode())
    assert found
    return base64.b32decode(found[1]).hex()


def shown_codes(response: Any) -> list[str]:
    """Return the recovery codes that a page shows."""
    return re.findall(r"\b[a-z2-7]{4}-[a-z2-7]{4}\b", text_of(response))


@pytest.fixture
def client(ada: Any) -> Client:
    """Return the client of Ada, who has signed in by her password."""
    client = Client()
    sign_in(client)
    return client


def set_up(client: Client, **changes: str) -> tuple[str, Any]:
    """Set up a second factor by the page and return its key and the answer."""
    key = shown_secret(client.get(SET_UP))
    form = {"password": PASSWORD, "new_code": code_of(key)} | changes
    return key, client.post(SET_UP, form)


def test_setting_up_shows_the_key_as_picture_text_and_link(client: Client) -> None:
    page = client.get(SET_UP)
    body = page.content.decode()
    secret = re.search(r'id="factor-secret">([A-Z2-7]{32})<', body)
    assert secret
    assert f"otpauth://totp/leadping%3Aada?secret={secret[1]}&amp;" in body
    assert "<svg" in body
    assert "style=" not in body
    assert "no-store" in page.headers["Cache-Control"]
    assert shown_secret(client.get(SET_UP)) == shown_secret(page)
    assert TOTPDevice.objects.count() == 0


def test_a_second_factor_is_set_up_with_password_and_code(client: Client, clock: Any) -> None:
    elsewhere = Client()
    sign_in(elsewhere)
    key, answer = set_up(client)
    codes = shown_codes(answer)
    assert len(set(codes)) == 10
    assert [one.confirmed for one in TOTPDevice.objects.all()] == [True]
    assert StaticToken.objects.count() == 10
    assert LogEntry.objects.get().get_change_message() == "Set up a second factor."
    assert is_in(client)
    assert not is_in(elsewhere)  # it began without
    assert not shown_codes(client.get(SET_UP))
    assert key not in str(client.session.items())
    assert sign_in(Client(), code=code_of(key)).status_code == 200  # used up by the set-up
    clock.shift(30)
    assert sign_in(Client(), code=code_of(key)).status_code == 302
    assert sign_in(Client(), code=codes[9]).status_code == 302


@pytest.mark.parametrize(
    "changes",
    [{"password": "wrong"}, {"new_code": "12"}, {"new_code": ""}, {"password": ""}],
)
def test_without_the_right_password_and_code_nothing_is_set_up(
    client: Client, changes: dict[str, str]
) -> None:
    key, answer = set_up(client, **changes)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode() or "note bad" in answer.content.decode()
    assert TOTPDevice.objects.count() == StaticDevice.objects.count() == 0
    assert shown_secret(answer) == key


def test_guessing_the_password_of_an_open_session_locks(client: Client) -> None:
    answers = [set_up(client, password="wrong")[1].status_code for _ in range(5)]
    assert answers == [200, 200, 200, 200, 429]
    assert set_up(client)[1].status_code == 429


def test_a_second_factor_is_replaced_with_password_and_both_codes(
    client: Client, clock: Any
) -> None:
    old, _ = set_up(client)
    clock.shift(30)
    new = shown_secret(client.get(REPLACE))
    form = {"password": PASSWORD, "new_code": code_of(new)}
    assert client.post(REPLACE, form).status_code == 200
    assert client.post(REPLACE, form | {"code": wrong_code()}).status_code == 200
    assert TOTPDevice.objects.get().key == old
    clock.shift(2)
    answer = client.post(REPLACE, form | {"code": code_of(old)})
    assert len(shown_codes(answer)) == 10
    assert TOTPDevice.objects.get().key == new
    assert StaticDevice.objects.count() == 1
    assert is_in(client)
    assert last_record() == "Replaced their second factor."


def test_who_has_none_has_none_to_replace(client: Client) -> None:
    assert client.get(REPLACE).headers["Location"] == SET_UP


def test_new_recovery_codes_end_the_old_ones(client: Client, clock: Any) -> None:
    key, answer = set_up(client)
    old = shown_codes(answer)
    clock.shift(30)
    form = {"do": "codes", "password": PASSWORD, "code": code_of(key)}
    new = shown_codes(client.post(SET_UP, form))
    assert len(new) == 10
    assert sign_in(Client(), code=old[0]).status_code == 200
    clock.shift(2)
    assert sign_in(Client(), code=new[0]).status_code == 302
    assert last_record() == "Made new recovery codes."


def test_a_second_factor_is_removed_with_password_and_code(client: Client) -> None:
    _, answer = set_up(client)
    form = {"do": "remove", "password": "wrong", "code": shown_codes(answer)[0]}
    assert "The password or the code is wrong." in text_of(client.post(SET_UP, form))
    assert client.post(SET_UP, form | {"password": PASSWORD, "code": "x"}).status_code == 200
    assert TOTPDevice.objects.count() == 1
    code = {"password": PASSWORD, "code": shown_codes(answer)[0]}
    assert client.post(SET_UP, form | code).status_code == 200  # too soon after a wrong one
    with time_machine.travel(NOON + timedelta(seconds=5), tick=False):
        assert client.post(SET_UP, form | code).status_code == 302
    assert TOTPDevice.objects.count() == StaticDevice.objects.count() == 0
    assert last_record() == "Removed their second factor."
    assert sign_in(Client()).status_code == 302


def test_the_page_says_how_it_stands_and_does_nothing_unasked(client: Client) -> None:
    set_up(client)
    said = text_of(client.get(SET_UP))
    assert "Recovery codes10 left" in said
    assert client.post(SET_UP, {"do": "nonsense"}).status_code == 200
    assert TOTPDevice.objects.count() == 1


def test_strangers_and_who_is_no_staff_get_no_page_of_set_up(db: None) -> None:
    user = get_user_model().objects.create_user("ben")
    client = Client()
    for _ in range(2):
        for url in (SET_UP, REPLACE, "/admin/password_change/"):
            assert client.get(url).headers["Location"].startswith(SIGN_IN)
        client.force_login(user)


def test_a_form_from_elsewhere_sets_nothing_up(client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    answer = strict.post(SET_UP, {"password": PASSWORD})
    assert answer.status_code == 403
    assert "This form is no longer good" in text_of(answer)


# --- a second factor for everybody ----------------------------------------------------------------


def console_urls() -> list[str]:
    """Return one URL of each pattern of the console, with made-up arguments."""
    urls = []

    def walk(patterns: Any, before: str) -> None:
        for one in patterns:
            here = before + str(one.pattern)
            if isinstance(one, URLResolver):
                walk(one.url_patterns, here)
            elif isinstance(one, URLPattern):
                urls.append(re.sub(r"<[^>]*>", "1", "/" + here))

    for one in get_resolver().url_patterns:
        if isinstance(one, URLResolver) and str(one.pattern) == "admin/":
            walk(one.url_patterns, "admin/")
    return [re.sub(r"\(\?P.*", "nothing", url).rstrip("$") for url in urls]


OPEN_TO_ALL_STAFF = {SET_UP, "/admin/password_change/", "/admin/password_change/done/"}


def test_who_has_no_second_factor_is_led_to_set_up_from_everywhere(
    ada: Any, settings: Any, clock: Any
) -> None:
    settings.STAFF_SECOND_FACTOR = True
    client = Client()
    sign_in(client)
    urls = console_urls()
    assert len(urls) > 50
    for url in urls:
        response = client.get(url)
        if url in OPEN_TO_ALL_STAFF:
            assert response.status_code == 200, url
        elif url != "/admin/logout/":
            assert response.headers["Location"] == SET_UP, url
            assert client.post(url, {"action": "x"}).status_code in (200, 302), url
    page = client.get(SET_UP)
    assert "opens only with a second factor" in text_of(page)
    assert 'class="navigation"' not in page.content.decode()
    set_up(client)
    assert is_in(client)


def test_who_has_one_and_did_not_use_it_is_led_to_sign_in_from_everywhere(
    recovery_codes: list[str], ada: Any, settings: Any
) -> None:
    settings.STAFF_SECOND_FACTOR = True
    client = Client()
    client.force_login(ada)
    for url in console_urls():
        if url == SIGN_IN:
            assert "Sign in with the code of your second factor." in text_of(client.get(url))
        elif url != "/admin/logout/":
            assert client.get(url).headers["Location"].startswith(SIGN_IN), url
    assert sign_in(client, code=code_of(KEY)).status_code == 302
    assert is_in(client)


def test_who_is_led_to_set_up_can_sign_out(ada: Any, settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True
    client = Client()
    sign_in(client)
    assert client.post("/admin/logout/").status_code == 200
    assert "_auth_user_id" not in client.session


def test_a_removed_second_factor_closes_its_sessions(
    recovery_codes: list[str], ada: Any, settings: Any
) -> None:
    settings.STAFF_SECOND_FACTOR = True
    client = Client()
    sign_in(client, code=code_of(KEY))
    assert is_in(client)
    second_factor.remove(ada)
    assert client.get(HOME).headers["Location"] == SET_UP


def test_a_second_factor_costs_one_query_a_page(
    recovery_codes: list[str], ada: Any, django_assert_num_queries: Any
) -> None:
    client = Client()
    client.force_login(ada)
    url = reverse("admin:sources_tag_changelist")
    with CaptureQueriesContext(connection) as without:
        client.get(url)
    count = len(without)
    sign_in(client, code=code_of(KEY))
    with django_assert_num_queries(count + 1):
        client.get(url)


# --- what one may not see, and what is not there --------------------------------------------------


def test_the_page_of_a_refusal_says_who_can_help(db: None) -> None:
    response = signed_in().get(reverse("admin:intake_post_changelist"))
    assert response.status_code == 403
    said = text_of(response)
    assert "Your roles do not open this page" in said
    assert "ask an administrator" in said


def test_the_page_of_a_refusal_names_the_permission_where_it_is_known(
    db: None, rf: Any, settings: Any
) -> None:
    request = rf.get("/admin/somewhere/")
    request.user = AnonymousUser()
    response: Any = forbidden(request, PermissionDenied("console.view_audit", "no.such", "odd"))
    response.render()
    assert "read who did what" in text_of(response)


def test_what_is_not_there_is_said_in_the_look_of_the_console(db: None) -> None:
    response = signed_in(is_superuser=True).get("/admin/no/such/page/")
    assert response.status_code == 404
    assert "There is nothing here" in text_of(response)
    assert "Content-Security-Policy" in response.headers


def test_other_paths_are_refused_as_before(db: None) -> None:
    assert Client().get("/leads/nothing").headers["Content-Type"] == "application/problem+json"
    response = Client().get("/nothing")
    assert response.status_code == 404
    assert "leadping" not in response.content.decode()
