"""The proof over the whole history that nobody was let out while suppressed; contract §6."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from leads.models import Lead, LookBack, RegistryList, Suppression
from leads.proof import violations
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_source, suppress
from tests.test_importing import REGISTRY, run

PHONE = "+15125550137"
CONSENTED = "Signed again on 1 November, certificate 3f…"


def told(*words: str) -> str:
    said = io.StringIO()
    call_command("check_suppressions", *words, stdout=said)
    return said.getvalue()


def plant(business: Any = None, **more: Any) -> Suppression:
    """Return an entry that was made by going round everything that looks back."""
    now = timezone.now()
    given: dict[str, Any] = {"phone": PHONE, "kind": "opt-out", "channel": "all", **more}
    entry = Suppression(business=business, created_at=now, suppressed_at=now, **given)
    entry.save()
    return entry


def test_a_history_in_order_is_proved(source: Source) -> None:
    source.set_mode(Rule.DUPLICATE, Mode.OFF)
    door = Door(source)
    door.send()
    entry = suppress(PHONE, source.business)
    door.send()
    entry.release(None, "Signed again", CONSENTED)
    for lead in Lead.objects.all():
        lead.release(None, "", "Signed again")
    door.send()
    suppress("ada@example.com", source.business, channel="email")
    suppress(PHONE, make_business())
    door.send(phone="512-555-0199", email="ben@example.com")
    assert list(violations()) == []
    assert "4 leads that were ever Approved: none while" in told()


def test_a_lead_that_was_not_blocked_when_the_entry_came_is_found(source: Source) -> None:
    Door(source).send()
    lead = Lead.objects.get()
    entry = plant(source.business)
    (found,) = violations()
    assert (found.lead_id, found.entry_id) == (lead.id, entry.id)
    assert (found.was_let_out, found.since, found.until) == (False, entry.created_at, None)
    with pytest.raises(CommandError, match="1 times"):
        told()


def test_a_lead_that_was_let_out_on_arrival_is_found(source: Source) -> None:
    entry = suppress(PHONE, source.business)
    Door(source).send()
    at = timezone.now()
    Lead.objects.update(
        compliance_status="Approved", compliance_blocked_reason="", approved_at=at, judged_at=at
    )
    (found,) = violations()
    assert (found.entry_id, found.was_let_out, found.since) == (entry.id, True, at)


def test_a_lead_that_was_released_while_the_entry_stood_is_found(source: Source) -> None:
    Door(source).send(dateOfBirth="2020-01-01", phone="512-155-0100")
    source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    lead = Lead.objects.get()
    lead.release(None, "", "Looked at it")
    since = lead.reviews.get().at - timedelta(seconds=1)
    entry = plant(source.business, phone="+15121550100")
    Suppression.objects.filter(id=entry.id).update(created_at=since)
    (found,) = violations()
    assert (found.was_let_out, found.since) == (True, lead.reviews.get().at)


def test_what_is_over_is_found_too(source: Source) -> None:
    Door(source).send()
    entry = plant(source.business)
    lead = Lead.objects.get()
    entry.release(None, "Signed again", CONSENTED)
    (found,) = violations()
    assert found.until == entry.released_at
    suppress(PHONE, source.business)
    lead.refresh_from_db()
    assert lead.compliance_status == "Blocked"
    assert len(list(violations())) == 1


@pytest.mark.parametrize(
    ("entry", "is_found"),
    [
        ({"phone": "", "email_key": "ada@example.com", "channel": "email"}, True),
        ({"phone": PHONE, "channel": "sms"}, True),
        ({"phone": PHONE, "channel": "voice"}, True),
        ({"phone": PHONE, "email_key": "ben@example.com", "channel": "email"}, False),
        ({"phone": "+15125550199", "email_key": "ada@example.com", "channel": "sms"}, False),
        ({"phone": "+15125550199"}, False),
    ],
)
def test_entries_count_by_their_channels(
    source: Source, entry: dict[str, Any], is_found: bool
) -> None:
    Door(source).send()
    plant(source.business, **entry)
    assert bool(list(violations())) is is_found


def test_a_registry_counts_while_its_list_was_in_use(source: Source) -> None:
    Door(source).send()
    today = timezone.now().date()
    kind = {"kind": "dnc-registry", "list_name": "National", "listed_on": today}
    entry = plant(None, **kind)
    assert list(violations()) == []  # nobody has ever used this list
    now = timezone.now()
    edition = RegistryList.objects.create(
        name="National",
        listed_on=today,
        loaded_at=now - timedelta(days=2),
        retired_at=now - timedelta(days=1),
    )
    assert list(violations()) == []  # it was out of use when the entry came
    RegistryList.objects.filter(id=edition.id).update(retired_at=None)
    (found,) = violations()
    assert found.entry_id == entry.id


def test_a_source_that_flags_a_registry_lets_its_leads_out_rightly(source: Source) -> None:
    source.set_mode(Rule.ON_DNC_REGISTRY, Mode.FLAG)
    suppress(PHONE, kind="dnc-registry")
    Door(source).send()
    assert Lead.objects.get().compliance_status == "Approved"
    assert list(violations()) == []
    source.set_mode(Rule.ON_DNC_REGISTRY, Mode.HOLD)
    assert list(violations()) == []
    Door(make_source()).send()
    assert list(violations()) == []


def test_written_consent_lets_a_lead_out_rightly(source: Source) -> None:
    suppress(PHONE, kind="dnc-registry")
    Door(source).send()
    Lead.objects.get().release(None, "", "Has consent", written_consent=CONSENTED)
    assert list(violations()) == []
    plant(source.business)
    assert len(list(violations())) == 1


def test_lists_that_come_and_go_are_no_false_alarm(source: Source) -> None:
    door = Door(source)
    source.set_mode(Rule.DUPLICATE, Mode.OFF)
    door.send()
    run("512,5550137\n", **REGISTRY)
    call_command("registry_lists", "--retire", "National", stdout=io.StringIO())
    door.send()
    run("512,5550138\n", **REGISTRY)
    door.send()
    assert {one.compliance_status for one in Lead.objects.all()} == {"Blocked"}
    assert list(violations()) == []


def test_those_that_are_approved_still_are_blocked_on_request(source: Source) -> None:
    Door(source).send()
    plant(source.business)
    said = io.StringIO()
    with pytest.raises(CommandError):
        call_command("check_suppressions", "--block", stdout=said)
    assert "Act by" in said.getvalue()
    assert Lead.objects.get().compliance_status == "Blocked"
    assert LookBack.objects.count() == 1
    (found,) = violations()
    assert found.until is not None


def test_the_proof_costs_the_same_however_many_leads_there_are(
    source: Source, django_assert_num_queries: Any
) -> None:
    for count in (2, 12):
        for number in range(count):
            Door(source).send(phone=f"512-555-0{count:02}{number % 10}", email=...)
        with django_assert_num_queries(4):
            list(violations())
