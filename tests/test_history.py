"""The history of sources, keys and the modes of rules: who changed what, and when."""

from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from sources.models import Source, SourceKey, SourceRule
from sources.rules import DEFAULT_MODES, Mode, Rule
from tests.factories import make_key, make_source


def test_each_change_of_a_source_is_kept(db: None) -> None:
    source = make_source()
    source.daily_cap = 5
    source.save(update_fields=["daily_cap"])
    rows = list(source.history.order_by("history_date"))
    assert [one.history_type for one in rows] == ["+", "~"]
    assert [one.daily_cap for one in rows] == [None, 5]
    assert rows[-1].version == source.version
    assert len({one.version for one in rows}) == 2


def test_the_console_says_who_changed_a_source(db: None, admin_user: Any) -> None:
    source = make_source(is_approved=False)
    staff = Client()
    staff.force_login(admin_user)
    body = {"note": "Landing page read"}
    staff.post(f"/admin/sources/source/{source.id}/approve/", body, secure=True)
    newest = source.history.first()
    assert newest.history_user == admin_user
    assert newest.compliance_approved_by == admin_user
    page = staff.get(f"/admin/sources/source/{source.id}/changes/", secure=True)
    assert page.status_code == 200
    assert "Landing page read" in page.content.decode()


def test_the_history_says_what_is_in_the_row_not_what_is_remembered_of_it(db: None) -> None:
    source = make_source()
    stale = Source.objects.get(id=source.id)
    source.name = "New name"
    source.save()
    stale.daily_cap = 5
    stale.save(update_fields=["daily_cap"])
    assert stale.history.first().name == stale.name == "New name"


def test_keys_are_kept_without_their_digest(db: None, admin_user: Any) -> None:
    key, text = make_key(make_source(), label="first")
    key.revoke(timezone.now(), by=admin_user)
    SourceKey.objects.used(key.id, timezone.now(), timedelta(minutes=1))
    ended, made = key.history.all()
    assert (made.label, made.revoked_at, ended.revoked_by) == ("first", None, admin_user)
    assert not hasattr(ended, "last_used_at")
    assert key.digest not in str(list(key.history.values()))
    assert text not in str(list(key.history.values()))


def test_the_history_of_a_key_says_what_is_in_its_row(db: None) -> None:
    key, _ = make_key(make_source())
    stale = SourceKey.objects.get(id=key.id)
    until = timezone.now() + timedelta(days=1)
    key.expire(until)
    stale.revoke(timezone.now())
    assert stale.history.first().expires_at == stale.expires_at == until


def test_a_source_has_the_modes_of_each_of_its_versions(db: None) -> None:
    source = make_source()
    expected = {source.version: dict(DEFAULT_MODES)}
    modes = dict(DEFAULT_MODES)
    for rule, mode in (
        (Rule.UNDERAGE, Mode.REJECT),
        (Rule.DUPLICATE, Mode.OFF),
        (Rule.UNDERAGE, Mode.FLAG),
    ):
        source.set_mode(rule, mode)
        modes[rule] = mode
        expected[source.version] = dict(modes)
    SourceRule.objects.get(source=source, rule=Rule.DUPLICATE).delete()
    source.refresh_from_db()
    expected[source.version] = dict(modes) | {Rule.DUPLICATE: Mode.HOLD}
    for version, then in expected.items():
        kept = Source.objects.of_version(str(version))
        assert kept
        assert kept.modes == then
    assert len(expected) == 5


def test_a_source_is_had_as_it_was_at_any_time(db: None) -> None:
    before = timezone.now()
    source = make_source(allowed_states=["TX"])
    between = timezone.now()
    source.allowed_states = []
    source.save()
    assert Source.objects.as_of(source.id, before) is None
    assert (was := Source.objects.as_of(source.id, between))
    assert was.allowed_states == ["TX"]
    assert (is_now := Source.objects.as_of(source.id, timezone.now()))
    assert is_now.allowed_states == []
