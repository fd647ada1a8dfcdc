"""The review desk: what waits where, who decides, what is shown, what is refused."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leadping.jobs.tasks import enqueue
from leadping.jobs.worker import Loop
from leads.lookback import suppress as suppress_person
from leads.models import Claim, Disclosure, Lead, Suppression
from leads.reviews import CLAIM_LASTS, REVEAL_LASTS, DeskTab, Review
from sources.models import Source
from sources.rules import Mode, Rule
from tests.factories import CERTIFICATE, Door, make_source, suppress

PERSONAL = ("Zebediah", "zeb@example.com", "+15125550137", "9 Hidden Lane", "1984-07-19")


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


def reviewer(name: str = "rita", role: str = "Compliance reviewer") -> Client:
    """Return the client of a member of staff with this role."""
    user = get_user_model().objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rita(db: None) -> Client:
    return reviewer()


@pytest.fixture
def strict(db: None) -> Door:
    """Return the door of a source that requires a certificate: what comes without one is held."""
    return Door(make_source(is_trusted_form_required=True))


def held(door: Door, number: int = 0, **members: Any) -> Lead:
    """Return a lead that the door held; each number is another person."""
    more = {"phone": f"512-555-01{number:02}", "email": f"p{number}@example.com"} | members
    return Lead.objects.get(id=door.send(**more).json()["id"])


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


def shown(lead: Lead) -> dict[str, Any]:
    """Return what the form says that the reviewer was shown."""
    return {"shown": [one["code"] for one in lead.findings if one["mode"] != Mode.FLAG]}


def where(response: Any) -> str:
    return str(response.headers["Location"])


# --- what waits where -----------------------------------------------------------------------------


def tab_of(lead: Lead) -> str | None:
    return Lead.objects.get(id=lead.id).desk_tab


def test_a_lead_waits_where_its_gravest_finding_puts_it(strict: Door) -> None:
    source = strict.source
    assert held(strict, 1).desk_tab == DeskTab.REVIEW
    assert held(strict, 2, dateOfBirth="2020-01-01").desk_tab == DeskTab.FIRM
    suppress("512-555-0103", source.business)
    assert held(strict, 3, dateOfBirth="2020-01-01").desk_tab == DeskTab.SUPPRESSED
    suppress("512-555-0104", kind="dnc-registry")
    assert held(strict, 4).desk_tab == DeskTab.REVIEW  # with the written consent
    approved = held(strict, 5, trustedFormUrl=CERTIFICATE)
    assert approved.desk_tab is None
    assert held(strict, 5).desk_tab == DeskTab.DUPLICATE
    source.daily_cap = 1
    source.save()
    full = CERTIFICATE[:-1] + "a"
    assert held(strict, 6, trustedFormUrl=full).desk_tab == DeskTab.OVER_CAP


def test_what_only_flags_and_tests_put_nothing_on_the_desk(db: None) -> None:
    source = make_source(
        is_trusted_form_required=True, modes={Rule.UNDERAGE: Mode.FLAG, Rule.DUPLICATE: Mode.FLAG}
    )
    door = Door(source)
    assert held(door, 1, dateOfBirth="2020-01-01").desk_tab == DeskTab.REVIEW
    test_door = Door(source, key=source.issue_key(is_test=True)[1])
    assert held(test_door, 2).desk_tab is None


def test_a_decision_takes_a_lead_off_the_desk_and_an_undo_puts_it_back(strict: Door) -> None:
    lead = held(strict)
    lead.release(None, "", "Checked")
    assert tab_of(lead) is None
    lead.undo(None)
    assert tab_of(lead) == DeskTab.REVIEW
    lead.reject(None, "", "Checked")
    assert tab_of(lead) is None


def test_a_suppression_puts_the_leads_that_it_blocks_on_its_tab(strict: Door) -> None:
    lead = held(strict)
    lead.release(None, "", "Checked")
    suppress_person(
        business=strict.source.business, kind=Suppression.Kind.OPT_OUT, phone="512-555-0100"
    )
    assert tab_of(lead) == DeskTab.SUPPRESSED


def test_the_desk_begins_with_the_oldest_and_says_when_it_is_empty(
    rita: Client, strict: Door
) -> None:
    assert "The desk is empty" in rita.get(url("desk")).content.decode()
    first, second = held(strict, 1), held(strict, 2)
    assert where(rita.get(url("desk"))) == url("desk_lead", first.id)
    page = rita.get(url("desk_lead", first.id)).content.decode()
    assert url("desk_lead", second.id) in page
    assert "1 of 2" in page
    assert "Nothing on this tab" in rita.get(url("desk_tab", "duplicate")).content.decode()
    assert rita.get("/admin/desk/nonsense/").status_code == 404


# --- what is shown --------------------------------------------------------------------------------


def test_a_lead_shows_why_it_is_held_and_hides_the_person(rita: Client, strict: Door) -> None:
    lead = held(
        strict,
        phone="512-555-0137",
        firstName="Zebediah",
        email="zeb@example.com",
        address1="9 Hidden Lane",
        dateOfBirth="1984-07-19",
        sourceMetadata={"note": "Zebediah of Hidden Lane"},
    )
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert "The source requires a TrustedForm certificate" in page
    assert "+1512•••••37" in page
    assert "z•••@e•••.com" in page
    assert "1984" in page
    assert not any(one in page for one in PERSONAL)
    shown = Disclosure.objects.get()
    assert (shown.lead, shown.how) == (lead, "page")


def test_the_rule_is_shown_as_it_was_then(rita: Client, db: None) -> None:
    source = make_source(allowed_states=["TX"])
    lead = held(Door(source), state="CA")
    source.allowed_states = ["TX", "NV"]
    source.save()
    source.set_mode(Rule.STATE_NOT_ALLOWED, Mode.FLAG)
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert "Allowed states: <span><bdi>TX</bdi></span>, now <span><bdi>TX, NV</bdi></span>" in page
    assert 'now <span class="badge badge-calm">flag</span>' in page


def test_revealing_takes_a_reason_writes_its_row_and_lasts_some_minutes(
    rita: Client, strict: Door
) -> None:
    lead = held(strict, firstName="Zebediah")
    refused = rita.post(url("desk_reveal", lead.id), {"reason": " "}, follow=True)
    assert "needs a reason" in refused.content.decode()
    assert not Disclosure.objects.filter(how="reveal").exists()
    page = rita.post(url("desk_reveal", lead.id), {"reason": "Asked us"}, follow=True)
    assert "Zebediah" in page.content.decode()
    row = Disclosure.objects.get(how="reveal")
    assert (row.lead, row.reason) == (lead, "Asked us")
    other = reviewer("otto")
    assert "Zebediah" not in other.get(url("desk_lead", lead.id)).content.decode()
    with time_machine.travel(timezone.now() + REVEAL_LASTS + timedelta(seconds=1)):
        assert "Zebediah" not in rita.get(url("desk_lead", lead.id)).content.decode()


@pytest.mark.parametrize(
    ("sent", "link"),
    [
        (CERTIFICATE, True),
        ("javascript:alert(1)", False),
        ("https://cert.trustedform.com.evil.example/" + "a" * 40, False),
    ],
)
def test_only_a_certificate_is_a_link(rita: Client, strict: Door, sent: str, link: bool) -> None:
    strict.source.is_trusted_form_required = False
    strict.source.allowed_states = ["TX"]
    strict.source.save()
    lead = held(strict, trustedFormUrl=sent, state="CA")
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert (f'href="{sent}"' in page) is link
    assert ("hours left" in page) is link


def test_the_same_person_and_suppressions_are_named(rita: Client, strict: Door) -> None:
    before = held(strict)
    entry = suppress("p0@example.com", strict.source.business, reason="Wrote to us")
    entry.release(None, "Came back", "Form of today")
    lead = held(strict)
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert url("desk_lead", before.id) in page
    assert "Came back" in page


def test_hostile_text_is_text(rita: Client, strict: Door) -> None:
    script = "<script>alert(1)</script>\u202e"
    lead = held(
        strict,
        firstName=script,
        subId="<img src=x>",
        state=script,
        utmSource=script,
        sourceMetadata={f"k {script}": script},
    )
    rita.post(url("desk_reveal", lead.id), {"reason": script})
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "U+202E" in page


# --- deciding -------------------------------------------------------------------------------------


def test_releasing_goes_on_to_the_next_and_can_be_undone(rita: Client, strict: Door) -> None:
    first, second = held(strict, 1), held(strict, 2)
    form = {"reason": "Consent checked", "note": "By phone"} | shown(first)
    response = rita.post(url("desk_release", first.id), form)
    assert where(response) == url("desk_lead", second.id)
    first.refresh_from_db()
    assert first.compliance_status == Lead.Status.APPROVED
    review = Review.objects.get()
    assert (review.reason, review.note) == ("Consent checked", "By phone")
    assert review.by is not None
    assert not Claim.objects.filter(lead=first).exists()
    page = rita.get(where(response)).content.decode()
    assert "You released lead" in page
    undone = rita.post(url("desk_undo", first.id), follow=True)
    assert "the lead waits again" in undone.content.decode()
    first.refresh_from_db()
    assert first.compliance_status == Lead.Status.BLOCKED
    assert "You released lead" not in rita.get(url("desk_lead", second.id)).content.decode()
    again = rita.post(url("desk_undo", first.id), follow=True)
    assert "cannot be undone" in again.content.decode()


def test_rejecting_without_a_reason_is_refused_and_with_one_done(
    rita: Client, strict: Door
) -> None:
    lead = held(strict)
    response = rita.post(url("desk_reject", lead.id), {"reason": "  ", "note": "Kept text"})
    assert response.status_code == 409
    assert "A decision needs a reason." in response.content.decode()
    assert "Kept text" in response.content.decode()
    assert not Review.objects.exists()
    done = rita.post(url("desk_reject", lead.id), {"reason": "No consent"})
    assert where(done) == url("desk_tab", "review")
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.REJECTED


def test_what_nobody_may_overrule_is_told_and_stays(rita: Client, strict: Door) -> None:
    lead = held(strict, dateOfBirth="2020-01-01")
    response = rita.post(url("desk_release", lead.id), {"reason": "Fine"})
    assert response.status_code == 409
    assert "no reviewer may overrule" in response.content.decode()
    assert "underage" in response.content.decode()
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.BLOCKED


def test_what_stands_now_and_was_not_shown_is_told_and_then_may_be_overruled(
    rita: Client, strict: Door
) -> None:
    lead = held(strict, state="TX", zip=...)
    strict.source.allowed_states = ["CA"]
    strict.source.save()
    refused = rita.post(url("desk_release", lead.id), {"reason": "Fine"} | shown(lead))
    page = refused.content.decode()
    assert refused.status_code == 409
    assert "that you had not been shown" in page
    assert "state-not-allowed" in page
    codes = re.findall(r'name="shown" value="([\w-]+)"', page)
    assert codes == ["consent-missing", "state-not-allowed"]
    assert rita.post(url("desk_release", lead.id), {"reason": "Fine", "shown": codes})
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.APPROVED


def test_leads_that_the_code_of_before_wrote_get_on_the_desk(strict: Door) -> None:
    waits, done = held(strict, 1), held(strict, 2)
    done.release(None, "", "Checked")
    Lead.objects.filter(id=waits.id).update(desk_tab=None)
    Lead.objects.filter(id=done.id).update(desk_tab=DeskTab.REVIEW)
    enqueue("put-on-desk")
    Loop().run(is_once=True)
    assert tab_of(waits) == DeskTab.REVIEW
    assert tab_of(done) is None


def test_against_a_registry_the_written_consent_is_asked_for(rita: Client, strict: Door) -> None:
    suppress("512-555-0100", kind=Suppression.Kind.DNC_REGISTRY)
    lead = held(strict)
    page = rita.get(url("desk_lead", lead.id)).content.decode()
    assert "What proves the person’s written consent" in page
    refused = rita.post(url("desk_release", lead.id), {"reason": "Fine"})
    assert "written consent helps" in refused.content.decode()
    form = {"reason": "Fine", "written_consent": "Signed form 12"} | shown(lead)
    assert rita.post(url("desk_release", lead.id), form).status_code == 302
    assert Review.objects.get().written_consent == "Signed form 12"


def test_a_decided_lead_has_a_page_but_nothing_to_decide(rita: Client, strict: Door) -> None:
    lead = held(strict)
    lead.reject(None, "", "Checked")
    page = rita.get(url("desk_lead", lead.id))
    assert "there is nothing to decide" in page.content.decode()
    response = rita.post(url("desk_release", lead.id), {"reason": "Fine"})
    assert response.status_code == 409
    assert "already been decided" in response.content.decode()
    assert not Claim.objects.exists()


# --- claims ---------------------------------------------------------------------------------------


def test_who_looks_at_a_lead_has_it_and_others_pass_it_by(rita: Client, strict: Door) -> None:
    first, second = held(strict, 1), held(strict, 2)
    rita.get(url("desk_lead", first.id))
    otto = reviewer("otto")
    assert where(otto.get(url("desk"))) == url("desk_lead", second.id)
    page = otto.get(url("desk_lead", first.id)).content.decode()
    assert "<strong>rita</strong> is deciding this lead" in page
    refused = otto.post(url("desk_release", first.id), {"reason": "Mine"})
    assert refused.status_code == 409
    assert "Somebody else is deciding this lead. It is rita" in refused.content.decode()
    assert not Review.objects.exists()
    rita.get(url("desk_lead", second.id))
    assert "Colleagues are at all of it" in otto.get(url("desk")).content.decode()


def test_a_claim_ends_by_itself_and_can_be_taken_over(rita: Client, strict: Door) -> None:
    lead = held(strict)
    rita.get(url("desk_lead", lead.id))
    otto = reviewer("otto")
    assert where(otto.post(url("desk_take_over", lead.id))) == url("desk_lead", lead.id)
    assert rita.post(url("desk_release", lead.id), {"reason": "Mine"}).status_code == 409
    with time_machine.travel(timezone.now() + CLAIM_LASTS + timedelta(seconds=1)):
        form = {"reason": "Mine"} | shown(lead)
        assert rita.post(url("desk_release", lead.id), form).status_code == 302
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.APPROVED


# --- alike ----------------------------------------------------------------------------------------


def test_alike_leads_are_decided_together_once_their_number_is_typed(
    rita: Client, strict: Door
) -> None:
    alike = [held(strict, number) for number in (1, 2, 3)]
    strict.source.allowed_states = ["TX"]
    strict.source.save()
    other = held(strict, 4, state="CA")
    page = rita.get(url("desk_alike", alike[0].id)).content.decode()
    assert all(str(one.id) in page for one in alike)
    assert str(other.id) not in page
    form = {"lead": [str(one.id) for one in alike], "decision": "reject", "reason": "No consent"}
    refused = rita.post(url("desk_alike", alike[0].id), form | {"count": "2"})
    assert "Type the number of leads to confirm: 3" in refused.content.decode()
    refused = rita.post(url("desk_alike", alike[0].id), form | {"count": "3", "decision": ""})
    assert "Choose whether" in refused.content.decode()
    refused = rita.post(url("desk_alike", alike[0].id), form | {"count": "3", "reason": ""})
    assert "A decision needs a reason." in refused.content.decode()
    assert not Review.objects.exists()
    reviewer("otto").get(url("desk_lead", alike[2].id))  # has it now
    done = rita.post(url("desk_alike", alike[0].id), form | {"count": "3"}, follow=True)
    assert "2 leads rejected." in done.content.decode()
    assert "1 were left as they are. Somebody else" in done.content.decode()
    assert Review.objects.count() == 2
    assert rita.post(url("desk_alike", other.id), {"lead": "x"}).status_code == 400


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["Analyst", "Source manager"])
def test_who_may_not_review_reaches_nothing_of_the_desk(strict: Door, role: str) -> None:
    lead = held(strict)
    client = reviewer("ann", role)
    assert url("desk") not in client.get("/admin/").content.decode()
    for name in ("desk", "desk_lead", "desk_alike"):
        assert client.get(url(name, *([lead.id] if name != "desk" else []))).status_code == 403
    for name in ("release", "reject", "undo", "take_over", "reveal", "alike"):
        response = client.post(url(f"desk_{name}", lead.id), {"reason": "Fine"})
        assert response.status_code == 403, name
    lead.refresh_from_db()
    assert lead.compliance_status == Lead.Status.BLOCKED
    assert not Disclosure.objects.exists()


def test_what_changes_something_takes_a_post(rita: Client, strict: Door) -> None:
    lead = held(strict)
    for name in ("release", "reject", "undo", "take_over", "reveal"):
        assert rita.get(url(f"desk_{name}", lead.id)).status_code == 405, name
    missing = Source(id=lead.id).id
    assert rita.get(url("desk_lead", missing)).status_code == 200
    assert rita.get(url("desk_lead", strict.source.id)).status_code == 404


def test_the_page_of_a_lead_costs_the_same_however_many_wait(
    rita: Client, strict: Door, django_assert_num_queries: Any
) -> None:
    first = held(strict, 1)
    for number in range(2, 8):
        held(strict, number)
    rita.get(url("desk_lead", first.id))
    with django_assert_num_queries(30):
        rita.get(url("desk_lead", first.id))
    for number in range(8, 30):
        held(strict, number)
    with django_assert_num_queries(30):
        rita.get(url("desk_lead", first.id))
