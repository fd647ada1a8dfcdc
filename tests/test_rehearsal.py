"""What other settings of a source would do, told before they are saved."""

import io
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from intake.models import Post
from intake.replay import replay
from leads.caps import CapCounter
from leads.facts import gather
from leads.models import Lead, RegistryList
from leads.past import Past
from leads.rehearsal import Became, Rehearsal, rehearse
from sources.models import Business, Source
from sources.rules import Mode, Rule
from tests.factories import (
    CERTIFICATE,
    Door,
    make_business,
    make_key,
    make_source,
    make_tombstone,
    suppress,
)
from tests.test_replay import map_cell, refused_post

LATER = timedelta(minutes=1)


def rehearsed(
    source: Source, modes: dict[Rule, Mode] | None = None, days: int = 30, **settings: Any
) -> Rehearsal:
    source = Source.objects.with_settings().get(id=source.id)
    return rehearse(source, settings, modes or {}, days=days, now=timezone.now() + LATER)


def flips(done: Rehearsal) -> dict[str, tuple[int, int]]:
    return {rule.value: (one.more, one.fewer) for rule, one in done.rules.items()}


PEOPLE = [
    {"state": "TX", "zip": "78701"},
    {"state": "CA", "zip": "90012", "product": "Solar"},
    {"state": "CA", "zip": "78701", "dateOfBirth": "2020-01-01"},
    {"phone": "512-155-0100", "vertical": "Home"},
    {"email": "twin@example.com"},
    {"email": "twin@example.com", "trustedFormUrl": CERTIFICATE},
    {"trustedFormUrl": CERTIFICATE},
    {"trustedFormUrl": "https://ping.trustedform.com/abc"},
]


def posts(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return so many posts, some of the same persons."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        phone = f"512-555-01{chance.randrange(60):02}"
        made.append({"phone": phone, "email": f"p{number}@example.com"} | chance.choice(PEOPLE))
    return made


def send_all(source: Source, made: list[dict[str, Any]]) -> list[str]:
    """Post them all, and return what became of each."""
    door = Door(source)
    outcomes = []
    for number, one in enumerate(made):
        response = door.send(**one, externalId=f"{len(made)}-{number}")
        if response.status_code == 422:
            outcomes.append("refused")
            continue
        assert response.status_code == 201, response.content
        status = response.json()["metadata"]["complianceStatus"]
        outcomes.append({"Approved": "approved", "Blocked": "held"}[status])
    return outcomes


# The settings to rehearse, which are then really set.
CHANGES: list[dict[str, Any]] = [
    {"allowed_states": ["TX"]},
    {"allowed_products": ["Solar"]},
    {"allowed_verticals": ["Home"]},
    {"is_trusted_form_required": True},
    {"duplicate_window_days": 0},
    {"daily_cap": 5},
    {"monthly_cap": 6},
    {"daily_cap": 30, "allowed_states": ["TX", "CA"]},
    {"modes": {Rule.UNDERAGE: Mode.REJECT}},
    {"modes": {Rule.PHONE_INVALID: Mode.OFF, Rule.DUPLICATE: Mode.FLAG}},
    {"modes": {Rule.STATE_MISMATCH: Mode.HOLD, Rule.CONSENT_MALFORMED: Mode.FLAG}},
    {"compliance_approved_at": None},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_it_tells_what_intake_would_have_decided(db: None, change: dict[str, Any]) -> None:
    """The same posts go to two businesses, of which one has the other settings from the start."""
    settings = {name: value for name, value in change.items() if name != "modes"}
    modes = change.get("modes", {})
    source = make_source(rate_per_minute=10_000)
    is_approved = "compliance_approved_at" not in settings
    others = {name: value for name, value in settings.items() if is_approved}
    other = make_source(rate_per_minute=10_000, is_approved=is_approved, modes=modes, **others)
    made = posts(60)
    before, after = send_all(source, made), send_all(other, made)
    done = rehearsed(source, modes, **settings)
    assert done.leads == 60
    told = {(now.value, then.value): count for (now, then), count in done.became.items()}
    assert told == Counter(zip(before, after, strict=True))
    assert done.count(None, None) > 0


def test_by_the_same_settings_nothing_flips(source: Source) -> None:
    source.daily_cap = 9
    source.save()
    send_all(source, posts(60))
    done = rehearsed(source, daily_cap=9)
    assert done.leads == 60
    assert not done.rules
    assert (done.more_held, done.fewer_held, done.count(None, None)) == (0, 0, 0)


def test_it_names_the_rules_with_examples(door: Door) -> None:
    for number in range(8):
        door.send(phone=f"512-555-01{number:02}", email=..., state="TX" if number % 2 else "CA")
    door.send(phone="512-155-0100", email=..., state="TX")
    done = rehearsed(door.source, {Rule.PHONE_INVALID: Mode.FLAG}, allowed_states=["tx"])
    assert flips(done) == {"state-not-allowed": (4, 0), "phone-invalid": (0, 1)}
    assert (done.more_held, done.fewer_held) == (4, 1)
    examples = done.rules[Rule.STATE_NOT_ALLOWED].more_examples
    assert {one.state for one in Lead.objects.filter(id__in=examples)} == {"CA"}
    (freed,) = done.rules[Rule.PHONE_INVALID].fewer_examples
    assert Lead.objects.get(id=freed).phone == "+15121550100"


def test_a_rule_that_would_refuse_is_told_apart(door: Door) -> None:
    door.send(dateOfBirth="2020-01-01")
    done = rehearsed(door.source, {Rule.UNDERAGE: Mode.REJECT})
    assert done.count(Became.HELD, Became.REFUSED) == 1
    assert flips(done) == {"underage": (0, 0)}
    assert done.rules[Rule.UNDERAGE].otherwise == 1


def test_it_goes_by_what_was_known_then(door: Door) -> None:
    """A suppression that came later says nothing of how the lead would have been judged."""
    door.send()
    suppress("512-555-0137", door.source.business)
    RegistryList.objects.create(
        name="National", listed_on=timezone.now().date() - timedelta(days=50)
    )
    done = rehearsed(door.source, allowed_states=["TX"])
    assert done.became == {(Became.APPROVED, Became.HELD): 1}


def test_tests_erased_and_older_leads_are_left_out(door: Door) -> None:
    source = door.source
    Door(source, make_key(source, is_test=True)[1]).send()
    door.send(phone="512-555-0199", email=...)
    old = Lead.objects.get(is_test=False)
    Lead.objects.filter(id=old.id).update(received_at=timezone.now() - timedelta(days=8))
    assert rehearsed(source, days=7, allowed_states=["TX"]).leads == 0
    assert rehearsed(source, days=9, allowed_states=["TX"]).leads == 1


def test_caps_are_filled_in_the_order_of_judging(door: Door) -> None:
    """A replayed lead counts on the day of its replay, an erased one goes on counting."""
    source = door.source
    source.daily_cap = 1
    source.save()
    with time_machine.travel(timezone.now() - timedelta(days=3)):
        post = refused_post(door)
    map_cell(source)
    first = door.send(phone="512-555-0138", email=...).json()["id"]
    late = replay(post.id, None, "Mended")
    assert late.findings == ["over-cap"]
    done = rehearsed(source, daily_cap=2)
    assert done.rules[Rule.OVER_CAP].fewer_examples == [late.lead_id]
    make_tombstone(Lead.objects.get(id=first))
    done = rehearsed(source, daily_cap=2)
    assert (done.leads, flips(done)) == (1, {"over-cap": (0, 1)})
    assert not rehearsed(source, daily_cap=1).rules


def test_what_was_refused_is_only_counted(door: Door) -> None:
    door.source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    door.send(dateOfBirth="2020-01-01")
    done = rehearsed(door.source, {Rule.UNDERAGE: Mode.HOLD})
    assert (done.leads, done.refused) == (0, 1)


def test_nothing_is_written(source: Source) -> None:
    send_all(source, posts(20))
    source.daily_cap = 5
    source.save()
    models: tuple[Any, ...] = (Lead, Post, CapCounter, Source)
    before = [list(one._default_manager.order_by("pk").values()) for one in models]
    rehearsed(source, {Rule.OVER_CAP: Mode.REJECT}, daily_cap=1, monthly_cap=2)
    assert [list(one._default_manager.order_by("pk").values()) for one in models] == before


@pytest.mark.parametrize(
    ("settings", "modes"),
    [
        ({"name": "Other"}, {}),
        ({"duplicate_window_days": 9999}, {}),
        ({"duplicate_scope": "planet"}, {}),
        ({"allowed_states": "TX"}, {}),
        ({"daily_cap": -1}, {}),
        ({}, {Rule.SUPPRESSED: Mode.OFF}),
    ],
)
def test_what_cannot_be_set_cannot_be_rehearsed(
    source: Source, settings: dict[str, Any], modes: dict[Rule, Mode]
) -> None:
    with pytest.raises(ValidationError):
        rehearsed(source, modes, **settings)


def test_of_the_present_the_past_says_what_is_gathered(db: None) -> None:
    business = make_business()
    sources = [
        make_source(business=business, duplicate_scope=one) for one in ("source", "business")
    ]
    for source in sources:
        send_all(source, posts(40))
    suppress("512-555-0110", business)
    suppress("twin@example.com", business, channel="email")
    suppress("512-555-0111", kind="dnc-registry")
    suppress("512-555-0112", business).release(None, "Signed again", "certificate 3f…")
    leads = list(Lead.objects.filter(business=business))
    compare(business, leads)
    assert len(leads) == 80


def compare(business: Business, leads: list[Lead]) -> None:
    """Fail unless the look-ups of the past, now, are those that a review would gather."""
    past = Past(business.id, leads)
    now = timezone.now()
    seen: Counter[str] = Counter()
    for lead in leads:
        source = Source.objects.with_settings().get(id=lead.source_id)
        told, facts = past.of(lead, source, now, {}), gather(lead, source, now)
        for name in ("known", "entries", "editions", "reuses"):
            assert getattr(told, name) == getattr(facts, name), (name, lead)
            seen[name] += bool(getattr(told, name))
    assert all(seen[name] for name in ("known", "entries", "editions", "reuses"))


def test_it_costs_the_same_however_many_leads_there_are(
    source: Source, django_assert_max_num_queries: Any
) -> None:
    for count in (2, 20):
        send_all(source, posts(count, seed=count))
        with django_assert_max_num_queries(14):
            rehearsed(source, allowed_states=["TX"])


# --- by command -----------------------------------------------------------------------------------


def told(*words: Any) -> str:
    said = io.StringIO()
    call_command("rehearse", *map(str, words), stdout=said)
    return said.getvalue()


def test_the_command_tells_it(door: Door) -> None:
    for number in range(4):
        door.send(phone=f"512-555-01{number:02}", email=..., state="TX" if number % 2 else "CA")
    name = door.source.name
    said = told(name, "--states", "TX", "--mode", "underage=reject")
    assert f"4 leads of {name}" in said
    assert "2 more would be held, 0 fewer, 0 would be refused." in said
    assert "+2      state-not-allowed  e.g. " in said
    assert "4 more would be held" in told(name, "--approved", "no")
    assert "3 more would be held" in told(name, "--daily-cap", 1, "--days", 2)
    assert "0 more would be held" in told(
        *(name, "--daily-cap", "none", "--requires-trusted-form", "no", "--duplicate-days", 9)
    )


@pytest.mark.parametrize(
    "words",
    [[], ["--states", "TX", "--days", "0"], ["--mode", "suppressed=off"], ["--mode", "x=y"]],
)
def test_the_command_says_what_is_wrong(source: Source, words: list[str]) -> None:
    with pytest.raises(CommandError):
        told(source.name, *words)
