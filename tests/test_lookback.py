"""A suppression blocks what had been let out before it, and says who has it; contract §6."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads import lookback
from leads.models import Disclosure, Lead, LookBack, Review, Suppression
from leads.reviews import AlreadySettled, NoReason, NotReleasable, NotUndone, act_by
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_key, make_source, make_tombstone, suppress
from tests.test_compliance import status_of

PHONE, EMAIL = "+15125550137", "ada@example.com"  # those of the usual post
REASON = "This person may not be contacted."
CONSENTED = "Signed again on 1 November, certificate 3f…"


def look_backs(value: str, source: Source | None, **more: Any) -> list[LookBack]:
    """Suppress a person and return what that blocked."""
    given: dict[str, Any] = {"kind": Suppression.Kind.OPT_OUT, **more}
    if source is None:
        given |= {"kind": Suppression.Kind.DNC_REGISTRY, "list_name": "National"}
        given["listed_on"] = timezone.now().date()
    person: dict[str, Any] = {"email" if "@" in value else "phone": value}
    business = source.business if source else None
    return lookback.suppress(business=business, **person, **given).look_backs


@pytest.fixture
def lead(source: Source) -> Lead:
    """Return an approved lead of the usual post."""
    Door(source).send()
    lead = Lead.objects.get()
    assert lead.compliance_status == "Approved"
    return lead


def fresh(lead: Lead) -> Lead:
    return Lead.objects.get(id=lead.id)


# --- what is blocked ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [PHONE, EMAIL, "(512) 555-0137", "ADA@example.com"])
def test_an_approved_lead_is_blocked_by_its_persons_suppression(
    lead: Lead, source: Source, value: str
) -> None:
    since = timezone.now() - timedelta(days=2)
    (done,) = look_backs(value, source, since=since)
    now = fresh(lead)
    assert (now.compliance_status, now.compliance_blocked_reason) == ("Blocked", REASON)
    assert now.modified_at
    assert now.approved_at == lead.approved_at  # no cap goes down
    entry = Suppression.objects.get()
    (review,) = now.reviews.all()
    assert (review.decision, review.status_before, review.status_after) == (
        *("suppress", "Approved", "Blocked"),
    )
    assert review.reason == f"Suppressed since {since:%Y-%m-%d %H:%M} UTC."
    assert review.at == entry.created_at
    (finding,) = review.findings_after
    assert (finding["code"], finding["mode"], finding["overrule"]) == ("suppressed", "hold", "no")
    assert finding["evidence"]["suppressions"][0]["suppression"] == str(entry.id)
    assert finding["evidence"]["suppressions"][0]["since"] == since.isoformat()
    assert (done.lead, done.suppression, done.review) == (now, entry, review)
    assert done.act_by == act_by(since)


def test_the_vendor_who_repeats_hears_that_it_is_blocked_now(source: Source) -> None:
    door = Door(source)
    assert status_of(door.send(externalId="x")) == "Approved"
    look_backs(PHONE, source)
    response = door.send(externalId="x")
    metadata = response.json()["metadata"]
    assert (metadata["complianceStatus"], metadata["complianceBlockedReason"]) == (
        *("Blocked", REASON),
    )
    assert metadata["smsConsentStatus"] == "OptedOut"


def test_all_approved_leads_of_the_person_are_blocked_and_nobody_elses(source: Source) -> None:
    other = make_source(business=source.business)
    stranger = make_source()
    source.set_mode(Rule.DUPLICATE, Mode.OFF)
    posts = [
        (Door(source), {}, True),
        (Door(source), {"email": "second@example.com"}, True),
        (Door(source), {"phone": "512-555-0199"}, False),
        (Door(other), {}, True),
        (Door(stranger), {}, False),
        (Door(source, make_key(source, is_test=True)[1]), {}, True),
    ]
    expected = {}
    for door, members, is_blocked in posts:
        response = door.send(**members)
        assert status_of(response) == "Approved"
        expected[response.json()["id"]] = "Blocked" if is_blocked else "Approved"
    assert len(look_backs(PHONE, source)) == 4
    stored = {str(one.id): one.compliance_status for one in Lead.objects.all()}
    assert stored == expected


@pytest.mark.parametrize(
    ("channel", "value", "is_blocked"),
    [
        ("sms", PHONE, True),
        ("voice", PHONE, True),
        ("email", EMAIL, True),
        ("all", PHONE, True),
        ("all", EMAIL, True),
    ],
)
def test_channels_count_as_they_do_on_arrival(
    lead: Lead, source: Source, channel: str, value: str, is_blocked: bool
) -> None:
    look_backs(value, source, channel=channel)
    assert (fresh(lead).compliance_status == "Blocked") is is_blocked


@pytest.mark.parametrize("channel", ["sms", "voice", "email"])
def test_an_entry_with_both_counts_only_on_the_side_of_its_channel(
    source: Source, channel: str
) -> None:
    door = Door(source)
    by_phone = door.send(email="second@example.com").json()["id"]
    by_email = door.send(phone="512-555-0199").json()["id"]
    suppress(PHONE, source.business, email=EMAIL, channel=channel)
    blocked = by_email if channel == "email" else by_phone
    assert [str(one.id) for one in Lead.objects.filter(compliance_status="Blocked")] == [blocked]
    assert {by_phone, by_email} == {str(one.id) for one in Lead.objects.all()}


def test_what_is_blocked_rejected_or_erased_stays_as_it_is(source: Source) -> None:
    source.set_mode(Rule.DUPLICATE, Mode.OFF)
    door = Door(source)
    door.send(dateOfBirth="2020-01-01")
    door.send(dateOfBirth="2020-01-01")
    blocked, rejected = Lead.objects.order_by("received_at")
    rejected.reject(None, "", "Too young")
    door.send()
    erased = make_tombstone(Lead.objects.get(compliance_status="Approved"))
    before = [fresh(one).compliance_blocked_reason for one in (blocked, rejected, erased)]
    assert look_backs(PHONE, source) == []
    after = [fresh(one) for one in (blocked, rejected, erased)]
    assert [one.compliance_blocked_reason for one in after] == before
    assert [one.compliance_status for one in after] == ["Blocked", "Rejected", "Approved"]


def test_a_suppression_that_stands_already_looks_back_too(lead: Lead, source: Source) -> None:
    first = suppress(PHONE, source.business)
    Lead.objects.update(compliance_status="Approved", compliance_blocked_reason="")
    done = lookback.suppress(business=source.business, phone=PHONE, kind=Suppression.Kind.OPT_OUT)
    assert (done.entry, done.is_new) == (first, False)
    assert [one.lead for one in done.look_backs] == [lead]


def test_nothing_is_blocked_when_the_suppression_is_undone(lead: Lead, source: Source) -> None:
    with transaction.atomic():
        assert look_backs(PHONE, source)
        transaction.set_rollback(True)
    assert fresh(lead).compliance_status == "Approved"
    assert not Review.objects.exists()
    assert not LookBack.objects.exists()


def test_looking_back_for_nobody_costs_one_statement(source: Source) -> None:
    with CaptureQueriesContext(connection) as queries:
        look_backs(PHONE, source)
    assert len([one for one in queries if f'"{Lead._meta.db_table}"' in one["sql"]]) == 1


# --- registries -----------------------------------------------------------------------------------


def test_a_registry_blocks_leads_of_every_business(source: Source) -> None:
    doors = [Door(source), Door(make_source())]
    for door in doors:
        assert status_of(door.send()) == "Approved"
    assert len(look_backs(PHONE, None)) == 2
    for lead in Lead.objects.all():
        assert (lead.compliance_status, lead.compliance_blocked_reason) == ("Blocked", REASON)
        (finding,) = lead.reviews.get().findings_after
        assert (finding["code"], finding["overrule"]) == (
            *("on-dnc-registry", "with-written-consent"),
        )


def test_a_registry_leaves_leads_of_a_source_that_only_flags_it(lead: Lead, source: Source) -> None:
    source.set_mode(Rule.ON_DNC_REGISTRY, Mode.FLAG)
    assert look_backs(PHONE, None) == []
    assert fresh(lead).compliance_status == "Approved"
    assert look_backs(PHONE, source)
    codes = [one["code"] for one in fresh(lead).reviews.get().findings_after]
    assert codes == ["suppressed"]


def test_written_consent_stands_against_registries_and_not_against_the_person(
    source: Source,
) -> None:
    suppress(PHONE, kind="dnc-registry")
    Door(source).send()
    lead = Lead.objects.get()
    lead.release(None, "", "Has consent", written_consent=CONSENTED)
    assert look_backs(PHONE, None, list_name="Texas") == []
    assert fresh(lead).compliance_status == "Approved"
    assert len(look_backs(PHONE, source)) == 1
    assert fresh(lead).compliance_status == "Blocked"


# --- afterwards -----------------------------------------------------------------------------------


def test_while_the_suppression_stands_nobody_can_release_the_lead(
    lead: Lead, source: Source
) -> None:
    (done,) = look_backs(PHONE, source)
    with pytest.raises(NotReleasable):
        fresh(lead).release(None, "", "Please")
    with pytest.raises(NotUndone, match="suppression"):
        fresh(lead).undo(None)
    done.suppression.release(None, "Signed again", CONSENTED)
    assert fresh(lead).compliance_status == "Blocked"  # a person decides
    fresh(lead).release(None, "", "Signed again")
    assert fresh(lead).compliance_status == "Approved"
    decisions = [one.decision for one in fresh(lead).reviews.all()]
    assert decisions == ["suppress", "release"]
    assert look_backs(PHONE, source)  # once more
    assert [one.decision for one in fresh(lead).reviews.all()][-1] == "suppress"


def test_a_release_before_it_can_no_longer_be_undone(source: Source) -> None:
    Door(source).send(dateOfBirth="2020-01-01", phone="512-155-0100")
    source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    lead = Lead.objects.get()
    lead.release(None, "", "Looked at it")
    look_backs(EMAIL, source)
    with pytest.raises(NotUndone):
        fresh(lead).undo(None)
    assert fresh(lead).compliance_status == "Blocked"


def test_a_lead_that_was_blocked_for_it_may_be_rejected(lead: Lead, source: Source) -> None:
    look_backs(PHONE, source)
    fresh(lead).reject(None, "", "Opted out")
    assert fresh(lead).compliance_status == "Rejected"


def test_a_lead_that_was_blocked_for_it_is_nobodys_duplicate(source: Source) -> None:
    door = Door(source)
    door.send()
    look_backs(EMAIL, source)
    assert status_of(door.send(email="second@example.com")) == "Approved"


# --- who has it -----------------------------------------------------------------------------------


def test_it_names_who_was_shown_the_lead_until_it_was_blocked(source: Source) -> None:
    ben = get_user_model().objects.create_user("ben")
    door = Door(source)
    door.send(externalId="x")
    lead = Lead.objects.get()
    for how in ("page", "reveal", "export"):
        Disclosure(lead=lead, at=timezone.now(), by=ben, how=how, reason="Asked").save()
    door.send(externalId="x")
    (done,) = look_backs(PHONE, source)
    later = done.at + timedelta(minutes=2)
    Disclosure(lead=lead, at=later, by=ben, how="page").save()
    seen = [(one["who"], one["how"]) for one in done.seen_by()]
    assert sorted(seen) == [
        (f"source {source}", "repeat"),
        *(("user ben", how) for how in ("export", "page", "reveal")),
    ]


def test_who_was_just_being_shown_it_is_named_too(lead: Lead, source: Source) -> None:
    """A page that was read before and answered after showed the lead as approved."""
    (done,) = look_backs(PHONE, source)
    Disclosure(lead=lead, at=done.at + timedelta(seconds=1), how="page").save()
    assert [one["how"] for one in done.seen_by()] == ["page"]


@pytest.mark.parametrize(
    ("since", "last"),
    [
        (datetime(2026, 11, 25, 15, tzinfo=UTC), date(2026, 12, 9)),  # a Wednesday
        (datetime(2026, 11, 27, 23, tzinfo=UTC), date(2026, 12, 11)),  # a Friday
        (datetime(2026, 11, 28, 15, tzinfo=UTC), date(2026, 12, 11)),  # a Saturday
        (datetime(2026, 11, 29, 15, tzinfo=UTC), date(2026, 12, 11)),  # a Sunday
        (datetime(2026, 11, 30, 15, tzinfo=UTC), date(2026, 12, 14)),  # a Monday
        # Still Tuesday where the day begins last.
        (datetime(2026, 11, 25, 10, 59, tzinfo=UTC), date(2026, 12, 8)),
    ],
)
def test_the_clock_has_ten_business_days(since: datetime, last: date) -> None:
    assert act_by(since) == last


def test_the_clock_begins_when_the_person_said_so(lead: Lead, source: Source) -> None:
    since = timezone.now() - timedelta(days=30)
    (done,) = look_backs(PHONE, source, since=since)
    assert done.act_by == act_by(since) < timezone.now().date()


def test_what_was_done_is_written_down_once_with_a_note(lead: Lead, source: Source) -> None:
    ben = get_user_model().objects.create_user("ben")
    (done,) = look_backs(PHONE, source)
    assert list(LookBack.objects.unsettled()) == [done]
    with pytest.raises(NoReason):
        done.settle(ben, "  ")
    done.settle(ben, "Told the call centre.")
    assert (done.settled_by, done.settled_note) == (ben, "Told the call centre.")
    assert not LookBack.objects.unsettled()
    with pytest.raises(AlreadySettled):
        done.settle(None, "Again.")
    with pytest.raises(IntegrityError), transaction.atomic():
        LookBack.objects.update(settled_note="")


def test_the_command_says_whom_to_tell_and_until_when(lead: Lead, source: Source) -> None:
    ben = get_user_model().objects.create_user("ben")
    Disclosure(lead=lead, at=timezone.now(), by=ben, how="export").save()
    said = io.StringIO()
    call_command("suppress", "512-555-0137", stdout=said)
    (done,) = LookBack.objects.all()
    assert f"Blocked: lead {lead.id}" in said.getvalue()
    assert f"Act by {done.act_by}" in said.getvalue()
    assert "export  user ben" in said.getvalue()
