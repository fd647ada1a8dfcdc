"""Leads judged again, by the rules and by what was known at any time; contract §6."""

import io
import random
import time
from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from intake import receive
from leads import caps
from leads.explain import RulesUnknown, explain, lookups_as_of, side_by_side
from leads.facts import facts_of, gather
from leads.models import Lead, RegistryList, now
from sources.models import Source
from sources.rules import RULES_VERSION, Mode, Rule
from tests.factories import CERTIFICATE, Door, make_business, make_key, make_source, suppress

ARRIVED = "as of its arrival"


def lead_of(response: Any) -> Lead:
    return Lead.objects.get(id=response.json()["id"])


def codes(lead: Lead, as_of: Any = ARRIVED) -> list[str]:
    """Return what is found against a lead when it is judged again."""
    explanation = explain(lead) if as_of is ARRIVED else explain(lead, as_of)
    return [one.rule.value for one in explanation.verdict.findings]


# --- judged again ---------------------------------------------------------------------------------


def test_a_lead_is_judged_again_under_the_rules_of_then_and_of_now(db: None) -> None:
    source = make_source(allowed_states=["TX"], modes={Rule.UNDERAGE: Mode.FLAG})
    lead = lead_of(Door(source).send(state="FL", dateOfBirth="2020-01-01"))
    then = timezone.now()
    source.allowed_states, source.allowed_products = [], ["Solar"]
    source.save()
    source.set_mode(Rule.UNDERAGE, Mode.HOLD)
    assert codes(lead) == codes(lead, then) == ["state-not-allowed", "underage"]
    assert [one["code"] for one in lead.findings] == codes(lead)
    today = explain(lead, timezone.now())
    assert today.rules_version == f"{RULES_VERSION}/{source.version}" != lead.rules_version
    assert explain(lead).rules_version == lead.rules_version
    compared = side_by_side(explain(lead), today)
    assert [one.rule for one in compared] == list(Rule)
    changed = {
        one.rule.value: (*one.modes, *(bool(found) for found in one.findings))
        for one in compared
        if any(one.findings)
    }
    assert changed == {
        "state-not-allowed": (Mode.HOLD, Mode.HOLD, True, False),
        "product-not-allowed": (Mode.HOLD, Mode.HOLD, False, True),
        "underage": (Mode.FLAG, Mode.HOLD, True, True),
    }
    lead.refresh_from_db()
    assert lead.compliance_status == "Blocked"  # nothing was changed


def test_a_lead_is_judged_again_by_what_was_known_then(db: None) -> None:
    source = make_source(duplicate_scope="business")
    lead = lead_of(Door(source).send(trustedFormUrl=CERTIFICATE))
    assert lead.compliance_status == "Approved"
    later = Door(make_source(business=source.business))
    other = lead_of(
        later.send(trustedFormUrl=CERTIFICATE, phone="512-555-0199", email=..., subId="x")
    )
    same = lead_of(later.send(email="second@example.com"))
    entry = suppress("ada@example.com", source.business)  # whom only the first of them names
    suppressed_at = timezone.now()
    entry.release(None, "They signed again.", "certificate 3f…")
    RegistryList.objects.create(name="National", listed_on=date.today() - timedelta(days=50))
    assert codes(lead) == []
    assert codes(lead, suppressed_at) == ["suppressed", "duplicate"]
    assert codes(lead, timezone.now()) == ["duplicate", "check-unavailable"]
    assert codes(other) == ["consent-reused"]
    assert same.compliance_status == "Approved"


def test_a_lead_that_was_approved_only_for_a_while_counts_for_that_while(db: None) -> None:
    ben = get_user_model().objects.create_user("ben")
    source = make_source(is_approved=False)
    first = lead_of(Door(source).send())
    second = lead_of(Door(source).send())
    at = now() + timedelta(minutes=1)
    first.release(ben, "", "Looked at it", at=at)
    first.undo(ben, at=at + timedelta(minutes=2))
    assert "duplicate" not in codes(second)
    assert "duplicate" in codes(second, at + timedelta(minutes=1))
    assert "duplicate" not in codes(second, at + timedelta(minutes=2))


def test_the_cap_is_that_of_the_moment(db: None) -> None:
    source = make_source(daily_cap=2)
    leads = [lead_of(Door(source).send(phone=f"512-555-010{n}", email=...)) for n in range(4)]
    assert [lead.compliance_status for lead in leads] == ["Approved"] * 2 + ["Blocked"] * 2
    assert [codes(lead) for lead in leads] == [[], [], ["over-cap"], ["over-cap"]]
    # by now one other lead has been approved beside each of the first two
    assert codes(leads[0], now()) == []
    assert codes(leads[3], now()) == ["over-cap"]


def test_tests_and_retired_lists_are_left_out_as_on_arrival(db: None) -> None:
    source = make_source(daily_cap=1)
    RegistryList.objects.create(
        name="National",
        listed_on=date.today() - timedelta(days=50),
        loaded_at=timezone.now() - timedelta(days=50),
        retired_at=timezone.now() - timedelta(days=1),
    )
    tester = Door(source, make_key(source, is_test=True)[1])
    test_lead = lead_of(tester.send(trustedFormUrl=CERTIFICATE))
    lead = lead_of(Door(source).send(trustedFormUrl=CERTIFICATE, phone="512-555-0199"))
    assert lead.compliance_status == "Approved"
    assert codes(lead) == codes(lead, timezone.now()) == codes(test_lead) == []
    assert codes(test_lead, timezone.now()) == ["duplicate", "over-cap"]
    while_in_use = timezone.now() - timedelta(days=2)
    assert [one.name for one in lookups_as_of(lead, source, while_in_use, ()).editions or ()] == [
        "National"
    ]


def test_rules_from_before_the_history_are_said_to_be_unknown(door: Door) -> None:
    lead = lead_of(door.send())
    for version in ("1/01a20841-3c5e-7a19-8f02-4b7d90c1e6aa", "1/nonsense", ""):
        Lead.objects.update(rules_version=version)
        lead.refresh_from_db()
        with pytest.raises(RulesUnknown):
            explain(lead)
    with pytest.raises(RulesUnknown):
        explain(lead, timezone.now() - timedelta(days=1))


def test_the_present_is_the_same_by_the_fast_look_up_and_by_the_slow_one(db: None) -> None:
    """Random leads, decisions and suppressions: the SQL of intake and the history must agree."""
    chance = random.Random(4)
    ben = get_user_model().objects.create_user("ben")
    businesses = [make_business() for _ in range(2)]
    sources = [
        make_source(
            business=businesses[number % 2],
            duplicate_scope=["source", "source", "business"][number % 3],
            # some let several leads of one person be approved
            duplicate_window_days=[30, 0][number // 3 % 2],
            daily_cap=chance.choice([None, 3]),
            monthly_cap=chance.choice([None, 5]),
        )
        for number in range(6)
    ]
    certificates = [..., *(CERTIFICATE[:-1] + one for one in "abc")]
    for number in range(150):
        phone = f"512-555-01{chance.randrange(12):02}"
        email = f"p{chance.randrange(12)}@example.com"
        match chance.randrange(10):
            case 0:
                entry = suppress(phone, chance.choice(businesses))
                if chance.random() < 0.5:
                    entry.release(ben, "Signed.", "certificate")
            case 1:
                suppress(email, chance.choice(businesses), channel="email")
            case 2:
                suppress(phone, kind="dnc-registry", list_name=chance.choice(["TX", "National"]))
            case _:
                door = Door(chance.choice(sources))
                lead = lead_of(
                    door.send(
                        phone=chance.choice([phone, phone, ...]),
                        email=email,
                        trustedFormUrl=chance.choice(certificates),
                        state=chance.choice(["TX", "FL"]),
                    )
                )
                if lead.compliance_status == "Blocked" and chance.random() < 0.3:
                    lead.reject(ben, "", "No")
                elif lead.compliance_status == "Approved" and number % 9 == 0:
                    lead.source.save()
    leads = list(Lead.objects.all())
    assert {lead.compliance_status for lead in leads} == {"Approved", "Blocked", "Rejected"}
    for lead in leads:
        source = Source.objects.with_settings().get(id=lead.source_id)
        at = now() + timedelta(seconds=1)
        lead.approved_at = None  # so that the caps hold for it too
        fast = gather(lead, source, at)
        lead.refresh_from_db()
        periods = caps.periods_of(source, at)
        slow = facts_of(lead, source, at, lookups_as_of(lead, source, at, periods), periods)
        if lead.approved_at:  # the fast one counts the lead itself, which it takes for a new one
            assert [one.used - 1 for one in fast.caps or ()] == [
                one.used for one in slow.caps or ()
            ]
        else:
            assert fast.caps == slow.caps
        assert fast.known == slow.known
        assert fast.entries == slow.entries
        assert fast.editions == slow.editions
        assert fast.reuses == slow.reuses


def test_a_lead_that_had_to_wait_is_explained_by_what_was_there_when_it_was_judged(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes between the arrival and the locks counts, on arrival and when explained."""
    source = make_source(duplicate_scope="business")
    other = Door(make_source(business=source.business))
    door = Door(source)
    door.send(phone="512-555-0100", email=...)  # warm

    real = receive.look_up

    def looked_up_after_others(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(receive, "look_up", real)
        time.sleep(0.002)
        other.send(email="second@example.com")
        suppress("ada@example.com", source.business)  # not whoever sent the other lead
        return real(*args, **more)

    monkeypatch.setattr(receive, "look_up", looked_up_after_others)
    waiting = lead_of(door.send())
    first = Lead.objects.get(source=other.source)
    assert waiting.received_at <= first.received_at
    assert [one["code"] for one in waiting.findings] == ["suppressed", "duplicate"]
    assert codes(waiting) == ["suppressed", "duplicate"]
    assert codes(first) == []


# --- the command ----------------------------------------------------------------------------------


def test_the_command_shows_then_and_now_side_by_side(db: None) -> None:
    source = make_source(allowed_states=["TX"])
    lead = lead_of(Door(source).send(state="FL", firstName="Zelda"))
    source.allowed_states = []
    source.save()
    lead.reject(None, "", "No")
    out = io.StringIO()
    call_command("explain", str(lead.id), stdout=out)
    said = out.getvalue()
    assert "Rejected at" in said
    assert f"Found on arrival, by rules {lead.rules_version}: state-not-allowed" in said
    assert 'then  hold: The source may not send leads of this state. {"state": "FL"' in said
    assert "now   hold: nothing found" in said
    assert "Zelda" not in said
    for wrong in ("nonsense", "01a20841-3c5e-7a19-8f02-4b7d90c1e6aa"):
        with pytest.raises(CommandError, match="No lead has this id"):
            call_command("explain", wrong)
    for at in ("9999-12-31T23:59", str(timezone.now() + timedelta(minutes=1))):
        with pytest.raises(CommandError, match="in the future"):
            call_command("explain", str(lead.id), f"--as-of={at}")
    Lead.objects.update(rules_version="")
    with pytest.raises(CommandError, match="not known"):
        call_command("explain", str(lead.id))
