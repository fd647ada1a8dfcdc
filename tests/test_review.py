"""Staff release, reject and undo: every rule again, every decision kept for ever; contract §6."""

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from intake.models import Post
from leads.models import Disclosure, Lead, RegistryList, Review, now, to_millisecond
from leads.reviews import (
    AlreadyDecided,
    LeadIsErased,
    NoReason,
    NotReleasable,
    NotUndone,
    NoWrittenConsent,
    UnfitText,
)
from sources.models import Source, SourceQuerySet
from sources.rules import RULES_VERSION, Mode, Rule
from tests.factories import CERTIFICATE, Door, make_key, make_source, make_tombstone, suppress

User = get_user_model()


@pytest.fixture
def ben(db: None) -> Any:
    return User.objects.create_user("ben")


@pytest.fixture
def eve(db: None) -> Any:
    return User.objects.create_user("eve")


def held(source: Source, **members: Any) -> Lead:
    """Return a lead that was held on arrival."""
    response = Door(source).send(**members)
    lead = Lead.objects.get(id=response.json()["id"])
    assert lead.compliance_status == "Blocked"
    return lead


def unapproved() -> Lead:
    """Return a lead that is held for nothing but its source."""
    return held(make_source(is_approved=False))


def codes(findings: list[dict[str, Any]]) -> list[str]:
    return [one["code"] for one in findings]


# --- release --------------------------------------------------------------------------------------


def test_a_release_lets_the_lead_be_contacted_and_is_kept(ben: Any) -> None:
    lead = unapproved()
    source = lead.source
    review = lead.release(ben, "Called them: it is a good lead.", "Looked at the page")
    assert (lead.compliance_status, lead.compliance_blocked_reason) == ("Approved", "")
    assert lead.approved_at == lead.modified_at == to_millisecond(review.at)
    row = Review.objects.get()
    assert (row.lead, row.by, row.decision) == (lead, ben, "release")
    assert (row.reason, row.note) == ("Looked at the page", "Called them: it is a good lead.")
    assert (row.status_before, row.status_after) == ("Blocked", "Approved")
    assert row.blocked_reason_before == "The source has not passed compliance review."
    assert codes(row.findings_before) == codes(row.findings_after) == ["source-not-approved"]
    assert row.rules_version_before == row.rules_version_after
    assert row.rules_version_after == f"{RULES_VERSION}/{source.version}"
    assert row.changes == {"gone": [], "new": [], "same": ["source-not-approved"]}


def test_the_vendor_who_repeats_the_post_sees_the_release_and_not_the_note(ben: Any) -> None:
    door = Door(make_source(is_approved=False))
    door.send(externalId="x-1")
    Lead.objects.get().release(ben, "secret-note", "secret-reason")
    again = door.send(externalId="x-1")
    metadata = again.json()["metadata"]
    assert (metadata["complianceStatus"], metadata["complianceBlockedReason"]) == ("Approved", None)
    assert again.json()["modifiedAt"] is not None
    assert "secret" not in str(again.json()) + str(again.headers)


OVERRULED: list[tuple[Rule, dict[str, Any], dict[str, Any]]] = [
    (Rule.SOURCE_NOT_APPROVED, {"is_approved": False}, {}),
    (Rule.STATE_NOT_ALLOWED, {"allowed_states": ["TX"]}, {"state": "FL"}),
    (Rule.CONSENT_MISSING, {"is_trusted_form_required": True}, {}),
    (Rule.CONSENT_MALFORMED, {}, {"trustedFormUrl": "x"}),
    (Rule.PHONE_INVALID, {}, {"phone": "512-155-0137"}),
    (
        Rule.STATE_MISMATCH,
        {"modes": {Rule.STATE_MISMATCH: Mode.HOLD}},
        {"state": "CA", "zip": "78701"},
    ),
]


@pytest.mark.parametrize(("rule", "settings", "members"), OVERRULED)
def test_a_reviewer_may_overrule_what_may_be(
    ben: Any, rule: Rule, settings: dict[str, Any], members: dict[str, Any]
) -> None:
    lead = held(make_source(**settings), **members)
    assert codes(lead.release(ben, "", "Looked at it").findings_after) == [rule]
    assert lead.compliance_status == "Approved"


def test_what_no_reviewer_may_overrule_is_refused_and_changes_nothing(ben: Any) -> None:
    source = make_source()
    entry = suppress("512-555-0137", source.business)
    lead = held(source)
    before = Lead.objects.values().get()
    with pytest.raises(NotReleasable, match="suppressed") as refused:
        lead.release(ben, "", "Looked at it")
    assert [one.rule for one in refused.value.findings] == [Rule.SUPPRESSED]
    assert Lead.objects.values().get() == before
    assert not Review.objects.exists()
    entry.release(None, "They signed again.", "certificate 3f…")
    assert lead.release(ben, "", "Looked at it").changes["gone"] == ["suppressed"]
    assert lead.compliance_status == "Approved"


def test_not_even_a_flag_lets_a_minor_or_a_duplicate_through_a_release(ben: Any) -> None:
    source = make_source()
    lead = held(source, dateOfBirth="2020-01-01")
    with pytest.raises(NotReleasable, match="underage"):
        lead.release(ben, "", "Looked at it")
    approved = Lead.objects.get(id=Door(source).send().json()["id"])
    assert approved.compliance_status == "Approved"
    again = held(source)
    with pytest.raises(NotReleasable, match="duplicate"):
        again.release(ben, "", "Looked at it")
    source.set_mode(Rule.DUPLICATE, Mode.FLAG)
    assert codes(again.release(ben, "", "Now allowed").findings_after) == ["duplicate"]
    assert again.compliance_status == "Approved"


def test_against_a_registry_only_written_consent_helps(ben: Any) -> None:
    suppress("512-555-0137", kind="dnc-registry")
    lead = held(make_source())
    for written in ("", "  "):
        with pytest.raises(NoWrittenConsent):
            lead.release(ben, "", "Looked at it", written_consent=written)
    assert not Review.objects.exists()
    lead.release(ben, "", "Signed", written_consent="Form of 3 November, page 2")
    assert Review.objects.get().written_consent == "Form of 3 November, page 2"
    assert lead.compliance_status == "Approved"


def test_written_consent_does_not_help_against_a_suppression(ben: Any) -> None:
    source = make_source()
    suppress("512-555-0137", kind="dnc-registry")
    lead = held(source)
    suppress("ada@example.com", source.business)
    with pytest.raises(NotReleasable, match="suppressed"):
        lead.release(ben, "", "Signed", written_consent="Form of 3 November")


def test_a_check_that_cannot_run_keeps_a_lead_from_being_released(ben: Any) -> None:
    source = make_source()
    RegistryList.objects.create(name="National", listed_on=date.today() - timedelta(days=32))
    lead = held(source)
    with pytest.raises(NotReleasable, match="check-unavailable"):
        lead.release(ben, "", "Looked at it")
    RegistryList.objects.create(name="National", listed_on=date.today())
    assert lead.release(ben, "", "Fresh list").changes["gone"] == ["check-unavailable"]


def test_a_release_shows_what_changed_since_the_arrival(ben: Any) -> None:
    source = make_source(is_approved=False)
    lead = held(source, trustedFormUrl=CERTIFICATE)
    source.approve(ben, "Read it.", now())
    source.allowed_states = ["TX"]
    source.save()
    other = Door(source).send(phone="512-555-0199", trustedFormUrl=CERTIFICATE, email=...)
    assert other.status_code == 201
    review = lead.release(ben, "", "Looked at it")
    assert review.changes == {
        "gone": ["source-not-approved"],
        "new": ["state-not-allowed"],
        "same": [],
    }
    assert review.rules_version_before != review.rules_version_after


def test_a_release_counts_on_the_day_of_the_release(ben: Any) -> None:
    source = make_source(is_approved=False, daily_cap=1)
    old, older = held(source), held(source, phone="512-555-0199", email=...)
    Lead.objects.update(received_at=now() - timedelta(days=3))
    old.release(ben, "", "Looked at it")
    with pytest.raises(NotReleasable, match="over-cap"):
        older.release(ben, "", "Looked at it")
    older.refresh_from_db()
    assert older.compliance_status == "Blocked"
    older.release(ben, "", "Tomorrow", at=now() + timedelta(days=1))
    assert older.compliance_status == "Approved"


def test_a_test_lead_is_released_without_counting(ben: Any) -> None:
    source = make_source(is_approved=False, daily_cap=1)
    Door(source, make_key(source, is_test=True)[1]).send()
    Lead.objects.get().release(ben, "", "Looked at it")
    held(source).release(ben, "", "Looked at it")


# --- reject ---------------------------------------------------------------------------------------


def test_a_rejection_confirms_the_block_and_is_kept(ben: Any) -> None:
    door = Door(make_source(is_approved=False))
    door.send(externalId="x-1")
    lead = Lead.objects.get()
    review = lead.reject(ben, "Bad wording on the page.", "Source not fit")
    assert lead.compliance_status == "Rejected"
    assert lead.compliance_blocked_reason == "The source has not passed compliance review."
    assert (lead.approved_at, lead.modified_at) == (None, to_millisecond(review.at))
    assert (review.decision, review.status_after) == ("reject", "Rejected")
    assert codes(review.findings_after) == ["source-not-approved"]
    assert review.rules_version_after == lead.rules_version
    metadata = door.send(externalId="x-1").json()["metadata"]
    assert metadata["complianceStatus"] == "Rejected"
    assert metadata["complianceBlockedReason"] == "The source has not passed compliance review."


def test_what_may_not_be_released_may_be_rejected(ben: Any) -> None:
    source = make_source()
    suppress("512-555-0137", source.business)
    lead = held(source)
    lead.reject(None, "", "Opted out")
    assert (lead.compliance_status, Review.objects.get().by) == ("Rejected", None)


# --- who decides, and when ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["release", "reject"])
@pytest.mark.parametrize("reason", ["", "   "])
def test_a_decision_needs_a_reason(ben: Any, verb: str, reason: str) -> None:
    lead = unapproved()
    with pytest.raises(NoReason):
        getattr(lead, verb)(ben, "A note is no reason.", reason)
    assert not Review.objects.exists()


@pytest.mark.parametrize("first", ["release", "reject"])
@pytest.mark.parametrize("second", ["release", "reject"])
def test_the_second_of_two_reviewers_is_told_who_decided(
    ben: Any, eve: Any, first: str, second: str
) -> None:
    lead = unapproved()
    seen_by_eve = Lead.objects.get()
    getattr(lead, first)(ben, "", "Looked at it")
    with pytest.raises(AlreadyDecided, match=r"already been decided.*by ben") as refused:
        getattr(seen_by_eve, second)(eve, "", "Me too")
    assert refused.value.review == Review.objects.get()


@pytest.mark.parametrize(
    ("note", "reason"), [("", "x" * 201), ("a\x00b", "Looked at it"), ("", "a\x00b")]
)
def test_a_text_that_cannot_be_kept_is_refused_alike_on_both_databases(
    ben: Any, note: str, reason: str
) -> None:
    lead = unapproved()
    for verb in ("release", "reject"):
        with pytest.raises(UnfitText):
            getattr(lead, verb)(ben, note, reason)
    with pytest.raises(UnfitText):
        lead.release(ben, "", "Looked at it", written_consent="a\x00b")
    lead.release(ben, "Two\nlines", "x" * 200)
    with pytest.raises(NoReason):
        lead.undo(ben, " ")


def test_a_certificate_is_not_reused_because_of_what_came_later(ben: Any) -> None:
    source = make_source(is_approved=False)
    first = held(source, trustedFormUrl=CERTIFICATE)
    later = held(source, trustedFormUrl=CERTIFICATE, phone="512-555-0199", email=...)
    assert codes(later.findings) == ["source-not-approved", "consent-reused"]
    assert codes(first.release(ben, "", "First").findings_after) == ["source-not-approved"]
    after = codes(later.release(ben, "", "Husband and wife").findings_after)
    assert after == ["source-not-approved", "consent-reused"]


def test_a_release_says_anew_what_the_certificate_proves(ben: Any) -> None:
    source = make_source(is_approved=False)
    lead = held(source, trustedFormUrl=CERTIFICATE)
    assert lead.sms_consent_status == "Unknown"
    source.is_sms_consent_covered = True
    source.save()
    lead.release(ben, "", "The wording covers it")
    assert lead.sms_consent_status == "OptedIn"


def test_an_approved_lead_is_not_up_for_decision(door: Door, ben: Any) -> None:
    door.send()
    for verb in ("release", "reject"):
        with pytest.raises(AlreadyDecided, match="It is Approved"):
            getattr(Lead.objects.get(), verb)(ben, "", "Looked at it")


def test_an_erased_lead_is_not_up_for_decision(ben: Any) -> None:
    lead = unapproved()
    make_tombstone(lead)
    for verb in ("release", "reject"):
        with pytest.raises(LeadIsErased):
            getattr(lead, verb)(ben, "", "Looked at it")
    released = unapproved()
    released.release(ben, "", "Looked at it")
    make_tombstone(released)
    with pytest.raises(LeadIsErased):
        released.undo(ben)


def test_decisions_are_only_ever_added(ben: Any) -> None:
    lead = unapproved()
    review = lead.release(ben, "", "Looked at it")
    Disclosure.objects.create(lead=lead, at=now(), by=ben, how="page")
    for row in (Review.objects.get(), Disclosure.objects.get()):
        with pytest.raises(TypeError):
            row.save()
        with pytest.raises(TypeError):
            row.delete()
    same = Review(id=review.id, lead=lead, decision="reject", at=now(), reason="Another")
    with pytest.raises(IntegrityError), transaction.atomic():
        same.save()
    for model in (Review, Disclosure):
        with pytest.raises(TypeError):
            model.objects.update(at=now())
        with pytest.raises(TypeError):
            model.objects.all().delete()
    assert Review.objects.get() == review


@pytest.mark.parametrize(
    "wrong", [{"reason": ""}, {"decision": "made-up"}, {"decision": "undo"}, {"seen_by": ["x"]}]
)
def test_the_database_refuses_a_decision_that_cannot_be(ben: Any, wrong: dict[str, Any]) -> None:
    lead = unapproved()
    good = {"lead": lead, "decision": "reject", "at": now(), "by": ben, "reason": "x"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Review.objects.create(**good | wrong)
    Review.objects.create(**good)


# --- undo -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["release", "reject"])
def test_an_undo_brings_the_lead_back_to_the_desk(ben: Any, verb: str) -> None:
    lead = unapproved()
    review = getattr(lead, verb)(ben, "", "Looked at it")
    undone = lead.undo(ben, "Wrong key")
    assert lead.compliance_status == "Blocked"
    assert lead.compliance_blocked_reason == "The source has not passed compliance review."
    assert (undone.decision, undone.undoes, undone.reason) == ("undo", review, "Wrong key")
    assert (undone.status_before, undone.status_after) == (review.status_after, "Blocked")
    assert codes(undone.findings_after) == codes(review.findings_before)
    assert Review.objects.count() == 2
    assert undone.rules_version_after == review.rules_version_before
    getattr(lead, verb)(ben, "", "Once more")
    assert Review.objects.count() == 3


def test_each_decision_begins_with_what_the_last_one_ended_with(ben: Any) -> None:
    source = make_source(is_approved=False)
    lead = held(source)
    start = now()
    source.allowed_products = ["Solar"]
    source.save()
    first = lead.release(ben, " A note. ", "Looked at it", at=start)
    assert first.note == "A note."
    undone = lead.undo(ben, at=start + timedelta(minutes=1))
    source.allowed_products = []
    source.save()
    last = lead.release(ben, "", "Once more", at=start + timedelta(minutes=2))
    assert [codes(one.findings_before) for one in (first, undone, last)] == [
        ["source-not-approved"],
        ["source-not-approved", "product-not-allowed"],
        ["source-not-approved"],
    ]
    assert undone.rules_version_before == first.rules_version_after
    assert last.rules_version_before == undone.rules_version_after == lead.rules_version
    assert lead.approved_at == to_millisecond(start)  # when it first became so


def test_an_undo_is_for_the_same_person_within_ten_minutes_once(ben: Any, eve: Any) -> None:
    lead = unapproved()
    with pytest.raises(NotUndone, match="There is none"):
        lead.undo(ben)
    review = lead.release(ben, "", "Looked at it")
    with pytest.raises(NotUndone, match="Somebody else"):
        lead.undo(eve)
    with pytest.raises(NotUndone, match="10 minutes"):
        lead.undo(ben, at=review.at + timedelta(minutes=10, milliseconds=1))
    assert lead.compliance_status == "Approved"
    lead.undo(ben, at=review.at + timedelta(minutes=10))
    with pytest.raises(NotUndone, match="There is none"):
        lead.undo(ben)


def test_an_undo_is_refused_when_something_else_has_happened(ben: Any) -> None:
    lead = unapproved()
    lead.release(ben, "", "Looked at it")
    Lead.objects.update(compliance_status="Blocked", compliance_blocked_reason="Suppressed since.")
    with pytest.raises(NotUndone, match="Something else"):
        lead.undo(ben)


def test_an_undo_names_who_was_shown_the_lead_in_between(ben: Any, admin_user: Any) -> None:
    door = Door(make_source(is_approved=False))
    door.send(externalId="x-1")
    door.send(externalId="x-1")
    lead = Lead.objects.get()
    staff = Client()
    staff.force_login(admin_user)
    page = f"/admin/leads/lead/{lead.id}/change/"
    assert staff.get(page, secure=True).status_code == 200  # before: it does not count
    lead.release(ben, "", "Looked at it")
    assert staff.get(page, secure=True).status_code == 200
    assert staff.get("/admin/leads/lead/", secure=True).status_code == 200
    door.send(externalId="x-1")
    Disclosure(lead=lead, at=now() + timedelta(hours=1), by=ben, how="export").save()  # later
    first_post = Post.objects.get(outcome="blocked")
    assert first_post.lead == lead
    undone = lead.undo(ben)
    assert [(one["who"], one["how"]) for one in undone.seen_by] == [
        ("user admin", "page"),
        (f"source {door.source.name}", "repeat"),
    ]
    assert [one["at"] for one in undone.seen_by] == sorted(one["at"] for one in undone.seen_by)


def test_a_repeat_counts_as_seen_when_it_was_answered(ben: Any) -> None:
    door = Door(make_source(is_approved=False))
    for _ in range(3):
        door.send(externalId="x-1")
    lead = Lead.objects.get()
    at = now() + timedelta(seconds=10)
    early, late = Post.objects.filter(outcome="repeated").order_by("id")
    for post, took in ((early, 1_000_000), (late, 3_000_000)):
        Post.objects.filter(id=post.id).update(received_at=at - timedelta(seconds=2), took_us=took)
    lead.release(ben, "", "Looked at it", at=at)
    undone = lead.undo(ben, at=at + timedelta(minutes=1))
    assert [one["at"] for one in undone.seen_by] == [(at + timedelta(seconds=1)).isoformat()]


def test_whoever_sees_a_lead_in_the_moment_of_its_release_is_named(
    ben: Any, admin_user: Any
) -> None:
    """Posts are timed to the millisecond, decisions to the microsecond."""
    door = Door(make_source(is_approved=False))
    for _ in range(2):
        door.send(externalId="x-1")
    lead = Lead.objects.get()
    at = to_millisecond(timezone.now()) + timedelta(microseconds=300)
    lead.release(ben, "", "Looked at it", at=at)
    Post.objects.filter(outcome="repeated").update(received_at=to_millisecond(at), took_us=100)
    staff = Client()
    staff.force_login(admin_user)
    with time_machine.travel(at + timedelta(microseconds=200), tick=False):
        staff.get(f"/admin/leads/lead/{lead.id}/change/", secure=True)
    undone = lead.undo(ben, at=at + timedelta(minutes=1))
    assert {one["how"] for one in undone.seen_by} == {"page", "repeat"}


def test_a_release_rests_on_one_version_of_the_settings(
    ben: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source and its modes are read one after another: a change in between is seen."""
    lead = unapproved()
    older = Source.objects.with_settings().get(id=lead.source_id)
    lead.source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    real, readings = SourceQuerySet.with_settings, []

    def read(rows: Any) -> Any:
        readings.append(1)
        return SimpleNamespace(get=lambda id: older) if len(readings) == 1 else real(rows)

    monkeypatch.setattr(SourceQuerySet, "with_settings", read)
    review = lead.release(ben, "", "Looked at it")
    assert len(readings) == 2
    assert review.rules_version_after == f"{RULES_VERSION}/{lead.source.version}"


def test_what_an_undone_release_used_of_a_cap_stays_used(ben: Any) -> None:
    """It never goes down; and the same lead, released again, uses no second."""
    source = make_source(is_approved=False, daily_cap=1)
    lead, other = held(source), held(source, phone="512-555-0199", email=...)
    lead.release(ben, "", "Looked at it")
    lead.undo(ben)
    lead.release(ben, "", "Once more")
    with pytest.raises(NotReleasable, match="over-cap"):
        other.release(ben, "", "Looked at it")
    source.daily_cap = 2
    source.save()
    other.release(ben, "", "Looked at it")


def test_the_status_at_a_time_is_that_of_the_last_decision_before(ben: Any) -> None:
    lead = unapproved()
    start = now()
    lead.release(ben, "", "Looked at it", at=start + timedelta(minutes=1))
    lead.undo(ben, at=start + timedelta(minutes=2))
    lead.reject(ben, "", "No", at=start + timedelta(minutes=3))
    lead = Lead.objects.get()
    for minutes, status in ((0, "Blocked"), (1, "Approved"), (2, "Blocked"), (3, "Rejected")):
        assert lead.status_at(start + timedelta(minutes=minutes)) == status
