"""What operators type: each command, its help, its output and its clear errors."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from intake.management.commands import seed_demo
from intake.models import Post
from leadping.management.commands.serve import demo_line, listen, wait_until_alive, welcome
from leads.models import Lead, Suppression
from sources import keys
from sources.models import Business, Source, SourceKey
from tests.factories import Door, make_business, make_source


def run(*words: str, **options: Any) -> str:
    """Run a command and return what it wrote."""
    out = StringIO()
    call_command(*words, stdout=out, stderr=out, **options)
    return out.getvalue()


OURS = [
    name
    for name, app in get_commands().items()
    if app in ("sources", "leads", "intake", "leadping")
]


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(name, "--help")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "usage:" in said
    assert len(said) > 200


# --- create_source ------------------------------------------------------------------------------


def test_create_source_prints_one_object_that_opens_the_door(db: None) -> None:
    said = json.loads(run("create_source", "--name", "A", "--approved", "--json"))
    source = Source.objects.get()
    assert said["sourceId"] == str(source.id)
    assert keys.is_well_formed(said["sourceKey"])
    assert said["businessId"] == str(source.business_id)
    assert source.compliance_approval_note == "Approved on the command line."
    response = Door(source, said["sourceKey"]).send()
    assert response.json()["metadata"]["complianceStatus"] == "Approved"


def test_create_source_takes_every_setting(db: None) -> None:
    make_business("Acme")
    run(
        *("create_source", "--name", "A", "--business", "Acme", "--vendor", "V"),
        *("--states", "TX, ca,", "--products", "Solar", "--verticals", "Home"),
        *("--requires-trusted-form", "--daily-cap", "5", "--rate", "50"),
        *("--duplicate-scope", "business", "--mode", "underage=reject", "--mode", "duplicate=off"),
    )
    source = Source.objects.get()
    assert (source.business.name, source.vendor.name) == ("Acme", "V")
    assert (source.allowed_states, source.allowed_products) == (["TX", "ca"], ["Solar"])
    assert source.allowed_verticals == ["Home"]
    assert source.is_trusted_form_required
    assert (source.daily_cap, source.rate_per_minute) == (5, 50)
    assert source.duplicate_scope == "business"
    assert not source.is_compliance_approved
    assert (source.modes["underage"], source.modes["duplicate"]) == ("reject", "off")  # type: ignore[index]
    assert Business.objects.count() == 1


def test_create_source_prints_the_key_once_and_a_line_to_paste(db: None) -> None:
    said = run("create_source", "--name", "A")
    source = Source.objects.get()
    assert f"Source id:  {source.id}" in said
    assert "https://leads.example.com/leads/intake" in said
    key = keys.SHAPE.search(said)
    assert key
    assert SourceKey.objects.get().digest == keys.digest(key[0])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--rate", "0"), "greater than or equal to 1"),
        (("--rate", "many"), "invalid int"),
        (("--daily-cap", "-1"), "daily_cap: .*greater than or equal to 0"),
        (("--daily-cap", "99999999999"), "less than or equal to"),
        (("--rate", "99999999999"), "less than or equal to"),
        (("--mode", "underage=off"), "may be set to: hold, reject, flag"),
        (("--mode", "nonsense=hold"), "is not a valid Rule"),
        (("--mode", "underage=maybe"), "is not a valid Mode"),
        (("--mode", "underage"), "is not a valid Mode"),
        (("--duplicate-scope", "galaxy"), "invalid choice"),
        (("--name", " "), "blank"),
        (("--name", "x" * 300), "at most 200"),
        (("--business", "x" * 300), "at most 200"),
        (("--vendor", "x" * 300), "at most 200"),
    ],
)
def test_create_source_refuses_what_cannot_be(db: None, words: tuple[str, str], told: str) -> None:
    name = () if words[0] == "--name" else ("--name", "A")
    with pytest.raises(CommandError, match=told):
        run("create_source", *name, *words)
    assert Source.objects.count() == SourceKey.objects.count() == 0


def test_create_source_refuses_a_name_that_the_business_has_already(db: None) -> None:
    run("create_source", "--name", "A")
    with pytest.raises(CommandError, match="already exists"):
        run("create_source", "--name", "A")
    run("create_source", "--name", "A", "--business", "Other")
    assert Source.objects.count() == 2


# --- keys ---------------------------------------------------------------------------------------


def test_rotate_key_gives_a_new_key_and_lets_the_old_one_end(door: Door) -> None:
    said = json.loads(run("rotate_key", str(door.source.id), "--json", "--label", "new"))
    old, new = SourceKey.objects.order_by("created_at")
    assert (new.label, new.expires_at) == ("new", None)
    assert old.expires_at is not None
    assert timedelta(hours=23) < old.expires_at - timezone.now() < timedelta(hours=25)
    assert Door(door.source, said["sourceKey"]).send().status_code == 201
    assert door.send().status_code == 201
    text = run("rotate_key", door.source.name, "--overlap-hours", "0")
    assert "New key:    lp_src_" in text
    assert door.send().status_code == 401


@pytest.mark.parametrize("hours", ["-1", "9000"])
def test_rotate_key_refuses_an_overlap_that_cannot_be(source: Source, hours: str) -> None:
    with pytest.raises(CommandError, match="0 to 8760"):
        run("rotate_key", source.name, f"--overlap-hours={hours}")


def test_a_label_that_is_too_long_is_told(source: Source) -> None:
    with pytest.raises(CommandError, match=r"label: .*at most 100"):
        run("rotate_key", source.name, "--label", "x" * 101)


@pytest.mark.parametrize("error", [OperationalError, ProgrammingError])
def test_a_database_that_is_not_ready_is_told(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise error("no such table: sources_source")

    monkeypatch.setattr("sources.management.commands.rotate_key.source_by", fail)
    with pytest.raises(CommandError, match="migrate"):
        run("rotate_key", "x")


def test_a_source_is_found_by_id_or_by_a_name_that_only_one_has(source: Source) -> None:
    run("rotate_key", str(source.id))
    run("rotate_key", source.name)
    with pytest.raises(CommandError, match="No source has"):
        run("rotate_key", "nobody")
    make_source(name=source.name)
    with pytest.raises(CommandError, match="give the id"):
        run("rotate_key", source.name)


def test_revoke_key_ends_one_key_named_in_any_way(source: Source) -> None:
    for name in ("id", "label", "preview", "text"):
        row, text = source.issue_key(label=f"label {name}")
        other, _ = source.issue_key(label="other")
        word = {"id": str(row.id), "label": row.label, "preview": text[-4:], "text": text}[name]
        said = run("revoke_key", source.name, word)
        assert row.preview in said
        row.refresh_from_db()
        other.refresh_from_db()
        assert row.revoked_at is not None
        assert other.revoked_at is None
        at = row.revoked_at
        row.revoke(timezone.now())
        assert row.revoked_at == at


def test_revoke_key_without_a_key_ends_all(source: Source) -> None:
    source.issue_key()
    source.issue_key()
    assert run("revoke_key", source.name).count("Revoked") == 2
    with pytest.raises(CommandError, match="no such live key"):
        run("revoke_key", source.name)


def test_revoke_key_refuses_what_names_no_key_or_several(source: Source) -> None:
    source.issue_key(label="twin")
    source.issue_key(label="twin")
    with pytest.raises(CommandError, match="Several live keys"):
        run("revoke_key", source.name, "twin")
    for words in ("nobody", ""):
        with pytest.raises(CommandError, match="no such live key"):
            run("revoke_key", source.name, words)
    assert SourceKey.objects.filter(revoked_at=None).count() == 2


# --- send_test_lead -----------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_send_test_lead_posts_through_http_and_is_a_test(live_server: Any) -> None:
    source = make_source()
    said = run("send_test_lead", source.name, "--url", live_server.url, "--set", "state=texas")
    status, body = said.split("\n", 1)
    assert status == "201"
    lead = Lead.objects.get()
    assert lead.is_test
    assert json.loads(body)["id"] == str(lead.id)
    assert lead.state == "TX"
    assert SourceKey.objects.get().revoked_at is not None


@pytest.mark.django_db(transaction=True)
def test_send_test_lead_shows_a_refusal_and_fails(live_server: Any) -> None:
    source = make_source()
    out = StringIO()
    with pytest.raises(CommandError, match="did not take"):
        call_command(
            *("send_test_lead", source.name, "--url", live_server.url, "--set", "zip=1"),
            stdout=out,
        )
    assert "invalid-zip" in out.getvalue()
    assert SourceKey.objects.get().revoked_at is not None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--set", "nonsense"), "is not FIELD=VALUE"),
        (("--url", "http://127.0.0.1:1"), "No answer from"),
        (("--url", "file:///etc"), "such as http://"),
        (("--url", "localhost:8000"), "such as http://"),
        (("--url", "foo"), "such as http://"),
        (("--url", "http://localhost:abc"), "such as http://"),
        (("--url", "http://exa mple"), "such as http://"),
        (("--url", "http://"), "such as http://"),
    ],
)
def test_send_test_lead_says_what_is_wrong(
    source: Source, words: tuple[str, str], told: str
) -> None:
    with pytest.raises(CommandError, match=told):
        run("send_test_lead", source.name, *words)
    assert not source.keys.filter(revoked_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_send_test_lead_tells_an_answer_that_is_not_ours(
    live_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source()
    monkeypatch.setattr("intake.views.orjson.dumps", lambda *args: b"<html>")
    with pytest.raises(CommandError, match="is not JSON"):
        run("send_test_lead", source.name, "--url", live_server.url)


# --- seed_demo and serve ------------------------------------------------------------------------

PERSON = ("first_name", "last_name", "phone", "email", "city", "compliance_status", "price")


def people() -> list[tuple[Any, ...]]:
    """Return the leads of the demo, without what depends on the moment."""
    return list(Lead.objects.order_by("received_at", "id").values_list(*PERSON))


def test_seed_demo_makes_posts_of_every_outcome_over_a_month(db: None, settings: Any) -> None:
    settings.DEMO_PASSWORD = "for-tests"
    said = run("seed_demo")
    assert Source.objects.count() == 3
    assert set(Post.objects.values_list("outcome", flat=True)) == {
        "approved",
        "blocked",
        "repeated",
        "external-id-conflict",
        "invalid-lead",
        "malformed-body",
        "underage",
    }
    assert all(outcome in said for outcome in ("approved", "blocked", "repeated"))
    assert 300 < Lead.objects.count() < 400
    found = {one["code"] for lead in Lead.objects.all() for one in lead.findings}
    assert found >= {
        "source-not-approved",
        "state-not-allowed",
        "consent-missing",
        "consent-malformed",
        "phone-invalid",
        "underage",
    }
    oldest, newest = Lead.objects.last(), Lead.objects.first()
    assert oldest
    assert newest
    assert newest.received_at - oldest.received_at > timedelta(days=25)
    assert newest.source.owner is not None
    assert newest.source.owner.check_password("for-tests")
    with pytest.raises(CommandError, match="already there"):
        run("seed_demo")


def test_seed_demo_makes_the_same_people_for_the_same_seed(db: None, settings: Any) -> None:
    settings.DEMO_PASSWORD = ""
    made = []
    for seed in (7, 7, 8):
        Post.objects.all().delete()
        Lead.objects.all().delete()
        SourceKey.objects.all().delete()
        Source.objects.all().delete()
        Suppression.objects.all()._raw_delete("default")  # by its own verbs it never is
        Business.objects.all()[:1] and Business.objects.get().tags.all().delete()
        Business.objects.all().delete()
        run("seed_demo", f"--seed={seed}", "--posts=60")
        made.append(people())
    assert made[0] == made[1] != made[2]
    assert Source.objects.filter(owner=None).count() == 3  # no password, no sign-in


def test_the_line_of_a_new_start_ends_the_last_one(db: None) -> None:
    run("seed_demo", "--posts=0")
    source = Source.objects.get(name=seed_demo.DEMO_SOURCE)
    first, second = (keys.SHAPE.search(demo_line(source)) for _ in range(2))
    assert first
    assert second
    assert Door(source, first[0]).send().status_code == 401
    assert Door(source, second[0]).send().status_code == 201
    live = source.keys.live(timezone.now()).get(label="key of make run")
    assert live.expires_at is not None
    assert live.expires_at - timezone.now() < timedelta(hours=24)


def test_the_welcome_names_the_console_and_a_line_only_with_the_demo(
    db: None, settings: Any
) -> None:
    settings.DEMO_PASSWORD = ""
    assert "createsuperuser" in welcome(with_demo=True)
    run("seed_demo", "--posts=0")
    settings.DEMO_PASSWORD = "for-tests"
    assert "sign in as demo / for-tests" in welcome(with_demo=True)
    assert "curl " in welcome(with_demo=True)
    bare = welcome(with_demo=False)
    assert "curl " not in bare
    assert "for-tests" not in bare
    assert "https://leads.example.com/admin/" in bare


def test_a_port_that_is_taken_is_told() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)
    with pytest.raises(CommandError, match="there is no such port"):
        listen("127.0.0.1", 70000)


@pytest.mark.parametrize("count", ["0", "-1", "x", "\u0661"])
def test_serve_takes_only_whole_numbers_of_processes(count: str) -> None:
    with pytest.raises(CommandError, match="whole number from 1 on"):
        run("serve", f"--processes={count}")


def test_a_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadping.management.commands.serve.START_SECONDS", 0.2)
    with pytest.raises(CommandError, match="does not answer"):
        wait_until_alive("127.0.0.1", 1)
