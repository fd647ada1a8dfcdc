"""The page of one lead: its story, what was sent and what was kept, leads alike, judged as of."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given

from intake.bodies import read_json
from intake.fields import FLAT, with_names
from intake.models import Post, Replay
from intake.problems import Problem
from intake.reading import read
from intake.replay import replay
from intake.sent import walked
from leadping.console.story import NEWEST
from leads.alike import same_person
from leads.models import Disclosure, Lead, LeadChange, LookBack, Review
from sources.rules import Mode, Rule
from tests import hostile
from tests.api import make_token
from tests.console_rows import EVIL, EVIL_POST
from tests.factories import (
    CERTIFICATE,
    Door,
    flat_post,
    make_business,
    make_key,
    make_source,
    make_tombstone,
    suppress,
)
from tests.test_admin import signed_in
from tests.test_desk import reviewer, url
from tests.test_hostile_console import SECRETS
from tests.test_replay import map_cell

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
HIDDEN = "•••"


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def strict(db: None) -> Door:
    """Return the door of a source that requires a certificate: what comes without one is held."""
    return Door(make_source(name="Harbour form", is_trusted_form_required=True))


@pytest.fixture
def mary(db: None) -> Any:
    return get_user_model().objects.create_user("mary")


def lead_of(response: Any) -> Lead:
    return Lead.objects.get(id=response.json()["id"])


def story(client: Client, lead: Lead) -> list[str]:
    """Return the sentences of a lead's story, in order."""
    return [one.sentence for one in told(client, lead)["story"].events]


def told(client: Client, lead: Lead, page: str = "leads_lead_change") -> Any:
    """Return what the page of a lead was made of."""
    response = client.get(url(page, lead.id))
    assert response.status_code == 200
    return response.context


def text(client: Client, lead: Lead, page: str = "leads_lead_change") -> str:
    return client.get(url(page, lead.id)).content.decode()


# --- the story ------------------------------------------------------------------------------------


def test_a_lead_s_story_is_told_in_order_with_who_and_why(strict: Door, mary: Any) -> None:
    root = signed_in(is_superuser=True)
    with time_machine.travel(START, tick=False) as clock:

        def later() -> None:
            clock.shift(timedelta(minutes=1))

        old = suppress("ada@example.com", strict.source.business, kind="internal", by=mary)
        later()
        old.release(mary, "A mistake.")
        later()
        lead = lead_of(strict.send(externalId="x-1"))
        later()
        strict.send(externalId="x-1")
        later()
        lead.reject(mary, "Nobody picks up.", "No such person.")
        later()
        lead.undo(mary)
        later()
        lead.release(mary, "", "Consent shown.")
        later()
        for how, reason in (("reveal", "Called back"), ("export", "")):
            Disclosure(lead=lead, at=timezone.now(), by=mary, how=how, reason=reason).save()
            later()
        suppress("512-555-0137", strict.source.business, reason="Said STOP", by=mary)
        later()
        LookBack.objects.get().settle(mary, "The vendor was told.")
        later()
        Lead.objects.filter(id=lead.id).update(deleted_at=timezone.now())
        later()
        lead.refresh_from_db()
        events = told(root, lead)["story"].events
    internal = "Internal, all channels, of this business."
    opt_out = "Opt-out, all channels, of this business."
    assert [(one.sentence, one.who, one.reason) for one in events] == [
        (f"The person was suppressed: {internal}", "mary", ""),
        (f"A suppression was released: {internal}", "mary", "A mistake."),
        ("It came from Harbour form.", "", ""),
        ("Judged: held for consent-missing.", "", ""),
        ("The vendor sent it again: a repeat.", "", ""),
        ("Rejected.", "mary", "No such person."),
        ("The last decision was taken back.", "mary", "Undone."),
        ("Released.", "mary", "Consent shown."),
        ("The person was revealed.", "mary", "Called back"),
        ("It was exported.", "mary", ""),
        (f"The person was suppressed: {opt_out}", "mary", "Said STOP"),
        ("Blocked by a later suppression.", "mary", "Suppressed since 2026-03-02 15:09 UTC."),
        ("A look-back was made: whoever has the lead is to be told by Mar 16, 2026.", "", ""),
        ("The look-back was settled.", "mary", "The vendor was told."),
        ("Deleted: put away, but still the answer to a repeat.", "", ""),
        ("Opened 1 time by 1 person, last by user 1.", "", ""),
    ]
    assert [one.at for one in events] == sorted(one.at for one in events)
    assert events[5].note == "Nobody picks up."
    post = lead.posts.earliest("received_at")
    assert events[2].url == url("intake_post_change", post.id)


def test_a_lead_against_which_nothing_was_found_says_so(door: Door) -> None:
    lead = lead_of(door.send())
    assert "Judged: approved. Nothing was found against it." in story(signed_in("view_lead"), lead)


def test_findings_that_only_flag_are_told_apart(db: None) -> None:
    source = make_source(modes={Rule.CONSENT_MISSING: Mode.FLAG}, is_trusted_form_required=True)
    flagged = lead_of(Door(source).send())
    held = lead_of(Door(source).send(phone="512-155-0137", email="p@example.com"))
    client = signed_in("view_lead")
    assert "Judged: approved, and flagged for consent-missing." in story(client, flagged)
    sentence = "Judged: held for phone-invalid, and flagged for consent-missing."
    assert sentence in story(client, held)


@pytest.mark.parametrize(
    ("permission", "words"),
    [
        ("view_review", ["Rejected by nobody else", "Said on the phone"]),
        ("view_suppression", ["Wrote to complain", "The person was suppressed"]),
        ("view_lookback", ["A look-back was made", "Told the vendor"]),
        ("view_replay", ["The mapping is mended", "It had been refused as invalid-lead"]),
    ],
)
def test_each_part_is_told_only_to_who_may_see_its_rows(
    db: None, permission: str, words: list[str]
) -> None:
    source = make_source()
    Door(source).send(phone=..., email=..., cell="512-555-0137")
    map_cell(source)
    lead_id = replay(Post.objects.get().id, None, "The mapping is mended.").lead_id
    lead = Lead.objects.get(id=str(lead_id))
    suppress("512-555-0137", source.business, reason="Wrote to complain")
    LookBack.objects.get().settle(None, "Told the vendor.")
    lead.refresh_from_db()
    lead.reject(None, "Said on the phone", "Rejected by nobody else")
    may, may_not = signed_in("view_lead", permission), signed_in("view_lead")
    for one in words:
        assert one in text(may, lead), one
        assert one not in text(may_not, lead), one
    assert "run again and made this lead" in text(may_not, lead)  # that it was, all are told


def test_a_post_is_linked_only_for_who_may_see_posts(strict: Door) -> None:
    lead = lead_of(strict.send(externalId="x-1"))
    strict.send(externalId="x-1")
    links = [url("intake_post_change", one.id) for one in Post.objects.all()]
    assert len(links) == 2
    for permissions, seen in (((), False), (("view_post",), True)):
        client = signed_in("view_lead", *permissions)
        assert "The vendor sent it again: a repeat." in story(client, lead)
        assert [one in text(client, lead) for one in links] == [seen] * 2


def test_openings_are_one_line_and_the_last_is_named(door: Door) -> None:
    lead = lead_of(door.send())
    ann, bob = signed_in("view_lead"), signed_in("view_lead")
    for _ in range(3):
        text(ann, lead)
    Disclosure(lead=lead, at=timezone.now(), by=None, how="page").save()  # somebody on the shell
    opened = [one for one in story(bob, lead) if one.startswith("Opened")]
    assert opened == ["Opened 5 times by 3 people, last by user 1."]


def test_what_staff_wrote_of_a_reveal_is_masked_if_it_names_somebody(door: Door) -> None:
    lead = lead_of(door.send())
    for reason in ("Asked for 512-555-0137", "Asked to"):
        at = timezone.now()
        Disclosure(lead=lead, at=at, by=None, how="reveal", reason=reason).save()
    page = text(signed_in("view_lead", "reveal_lead"), lead)
    assert "Asked to" in page
    assert "512-555-0137" not in page
    assert "Asked to" not in text(signed_in("view_lead"), lead)
    make_tombstone(lead)
    assert "Asked to" not in text(signed_in("view_lead", "reveal_lead"), lead)


def test_the_names_of_members_that_may_be_values_are_masked(door: Door) -> None:
    door.source.is_unknown_kept = True
    door.source.save()
    members = {"Zebediah Quux": "1", "9 Obscura Lane": "x", "campaign": "y"}
    lead = lead_of(door.send(**members, sourceMetadata={"Jane Quuxonia": "z", "page_2": "b"}))
    page = text(signed_in("view_lead", "view_post"), lead)
    assert "campaign" in page
    assert "page_2" in page
    for secret in ("Zebediah", "Obscura", "Quuxonia"):
        assert secret not in page


def fill(lead: Lead, number: int) -> None:
    """Give a lead so many more rows of each kind that its story tells, by as many people."""
    first = lead.posts.earliest("received_at")
    users = get_user_model().objects
    for _ in range(number):
        by, at = users.create_user(f"by {users.count()}"), timezone.now()
        post = Post(received_at=at, source=lead.source, key=first.key, lead=lead, body=b"{}")
        post.body_size, post.status, post.outcome, post.took_us = 2, 201, "repeated", 1
        post.save()
        of_post = {"post_id": post.id, "post_received_at": at}
        outcomes = {"outcome_before": "invalid-lead", "outcome_after": "repeated"}
        Replay(lead=lead, at=at, by=by, reason="Mended", **of_post, **outcomes).save()
        token = make_token(lead.business, by=by)[0]
        for how in Disclosure.How.values:
            by_what = token if how == "api" else None
            Disclosure(lead=lead, at=at, by=by, token=by_what, how=how, reason="Why").save()
        LeadChange(lead=lead, what="unarchive", at=at, by=by, token=token).save()
        review = Review(lead=lead, decision="reject", at=at, by=by, reason="No")
        review.status_before, review.status_after = "Blocked", "Rejected"
        review.save()
        entry = suppress(lead.phone, lead.business, kind="internal", by=by)
        entry.release(by, "Another person.")
        settled = {"settled_at": at, "settled_by": by, "settled_note": "Told"}
        LookBack(
            lead=lead, suppression=entry, review=review, at=at, act_by=at.date(), **settled
        ).save()


def test_the_page_costs_the_same_however_much_has_happened(strict: Door) -> None:
    lead = lead_of(strict.send(externalId="x-1", trustedFormUrl="no"))
    root = signed_in(is_superuser=True)
    counts = []
    for number in (10, 90):
        fill(lead, number)
        with CaptureQueriesContext(connection) as taken:
            found = told(root, lead)["story"]
        counts.append(len(taken))
    assert counts[0] == counts[1] < 45
    kinds = ["repeats", "replays", "suppressions", "changes", "decisions", "look-backs"]
    kinds.append("reveals and exports")
    assert found.left_out == kinds
    assert sum(f"LIMIT {NEWEST + 1}" in one["sql"] for one in taken) == len(kinds)
    sentences = [one.sentence for one in found.events]
    assert sentences.count("The vendor sent it again: a repeat.") == NEWEST
    page = text(root, lead)
    assert f"only the newest {NEWEST} are told" in page
    assert "Opened 103 times by 101 people" in page
    fresh = lead_of(strict.send(phone="512-555-0199", email=...))
    assert "only the newest" not in text(root, fresh)


@pytest.mark.parametrize("kind", ["test", "deleted", "erased"])
def test_a_lead_that_counts_no_more_is_clearly_marked(strict: Door, kind: str) -> None:
    client = signed_in("view_lead")
    mark = f">{kind}</span>"
    lead = lead_of(strict.send())
    assert mark not in text(client, lead)
    if kind == "test":
        lead = lead_of(Door(strict.source, make_key(strict.source, is_test=True)[1]).send())
    elif kind == "deleted":
        Lead.objects.update(deleted_at=timezone.now())
    else:
        make_tombstone(lead)
    for page in ("leads_lead_change", "leads_lead_judged"):
        assert mark in text(client, lead, page), page


def test_an_erased_lead_tells_its_story_without_the_person(strict: Door) -> None:
    lead = make_tombstone(lead_of(strict.send(firstName="Zebediah")))
    root = signed_in(is_superuser=True)
    assert "Erased: nothing of the person is left." in story(root, lead)
    page = text(root, lead)
    assert "what was sent is not shown" in page
    assert "Zebediah" not in page


# --- as it was sent, as it was kept ---------------------------------------------------------------


def rows(client: Client, lead: Lead) -> dict[str, Any]:
    """Return what the table of a post tells of each member, by the name that it shows."""
    return {one.name: one for one in told(client, lead)["members"]}


def revealed(lead: Lead) -> Client:
    """Return the client of somebody to whom the lead is revealed."""
    client = signed_in("view_lead", "view_post", "reveal_lead")
    client.post(url("leads_lead_reveal", lead.id), {"reason": "Called back"})
    return client


def test_each_member_stands_beside_the_field_that_it_became(db: None) -> None:
    source = make_source(field_map={"cell": "phone"})
    post = flat_post(
        phone=...,
        cell="(512) 555-0137",
        Email="Ada@EXAMPLE.com",
        state="Texas",
        birthDate="1984-07-19",
        zip="78701",
        postalCode="78701-1234",
        product=" Solar ",
        utmSource="x" * 600,
        price="10.00",
        city="",
        shoeSize=44,
    )
    del post["email"]
    lead = lead_of(Door(source).post(post))
    found = rows(revealed(lead), lead)
    assert list(found) == list(post)
    cell = found["cell"]
    assert (cell.sent, cell.field, cell.kept) == ("(512) 555-0137", "phone", "+15125550137")
    assert cell.is_alias
    assert cell.is_changed
    assert (found["Email"].kept, found["Email"].is_alias) == ("Ada@example.com", False)
    assert (found["state"].sent, found["state"].kept) == ("Texas", "TX")
    assert (found["birthDate"].field, found["birthDate"].is_changed) == ("dateOfBirth", False)
    for name in ("zip", "postalCode"):
        assert found[name].kept == "78701-1234"
        assert found[name].is_one_of_several
    assert [found[one].is_changed for one in ("zip", "postalCode")] == [True, False]
    assert (found["product"].sent, found["product"].kept) == (" Solar ", "Solar")
    assert found["utmSource"].is_cut
    assert not found["product"].is_cut
    assert "(600 characters)" in found["utmSource"].sent
    assert (found["price"].kept, found["price"].is_changed) == ("10.00", False)
    assert found["city"].is_blank
    assert found["shoeSize"].is_ignored
    assert found["shoeSize"].sent == "44"
    assert [name for name, one in found.items() if one.is_ignored] == ["shoeSize"]


def test_the_names_are_those_that_the_source_knew_then(db: None) -> None:
    source = make_source(field_map={"cell": "phone"})
    lead = lead_of(Door(source).send(phone=..., cell="512-555-0137"))
    source.field_map = {"cell": "city"}
    source.save()
    assert rows(revealed(lead), lead)["cell"].field == "phone"


def test_an_unknown_member_that_was_kept_aside_says_so(db: None) -> None:
    lead = lead_of(Door(make_source(is_unknown_kept=True)).send(shoeSize="44"))
    one = rows(revealed(lead), lead)["shoeSize"]
    assert one.is_kept_aside
    assert not one.is_ignored
    assert one.kept == "44"


def test_a_structured_post_and_a_form_are_read_likewise(db: None) -> None:
    source = make_source()
    body = {
        "contact": {"phone": {"number": "512-555-0137"}, "streetAddress": {"zip": "78701"}},
        "customer": {"income": 72000, "isHomeowner": True},
        "metadata": {"complianceStatus": "Approved", "sourceMetadata": {"a": 1}},
        "tagNames": ["VIP"],
    }
    lead = lead_of(Door(source, path="/leads").post(body))
    found = rows(revealed(lead), lead)
    assert found["contact.phone.number"].kept == "+15125550137"
    assert (found["customer.income"].sent, found["customer.income"].is_changed) == ("72000", False)
    assert found["customer.isHomeowner"].kept == "true"
    aliases = [name for name, one in found.items() if one.is_alias]
    assert aliases == ["contact.streetAddress.zip"]  # its own name is postalCode
    assert found["metadata.complianceStatus"].is_ignored
    assert found["tagNames"].kept == '["VIP"]'
    masked = rows(signed_in("view_lead", "view_post"), lead)
    for name in ("customer.income", "customer.isHomeowner", "metadata.sourceMetadata", "tagNames"):
        assert (masked[name].sent, masked[name].kept) == (HIDDEN, HIDDEN), name
    form = b"phone=512-555-0199&first_name=Zed&sourceMetadata%5Ba%5D=b"
    lead = lead_of(Door(source).post(form, content_type="application/x-www-form-urlencoded"))
    found = rows(revealed(lead), lead)
    assert (found["first_name"].field, found["first_name"].is_alias) == ("firstName", False)
    assert found["sourceMetadata"].sent == '{"a": "b"}'


def test_unless_revealed_both_columns_are_masked(strict: Door) -> None:
    lead = lead_of(
        strict.send(
            **{"firstName": "Zebediah", "email": "zeb@example.com", "address1": "9 Hidden Lane"},
            **{"dateOfBirth": "1984-07-19", "state": "Texas", "landingPage": "https://a.example/z"},
            **{"trustedFormUrl": CERTIFICATE, "subId": "sub-1", "price": "10"},
            **{"externalId": "zeb@example.com", "utmTerm": "５１２‑555‑0137", "shoeSize": "44"},
        )
    )
    found = rows(signed_in("view_lead", "view_post"), lead)
    assert {name: (one.sent, one.kept) for name, one in found.items()} == {
        "firstName": (HIDDEN, "Z•••"),
        "phone": (HIDDEN, "+1512•••••37"),
        "email": (HIDDEN, "z•••@e•••.com"),
        "address1": (HIDDEN, HIDDEN),
        "dateOfBirth": (HIDDEN, "1984"),
        "state": (HIDDEN, "TX"),
        "landingPage": (HIDDEN, "a.example/•••"),
        "trustedFormUrl": (CERTIFICATE, CERTIFICATE),
        "subId": ("sub-1", "sub-1"),
        "price": ("10", "10.00"),
        "externalId": (HIDDEN, HIDDEN),
        "utmTerm": (HIDDEN, HIDDEN),
        "shoeSize": (HIDDEN, ""),
    }
    assert "Zebediah" not in text(signed_in("view_lead", "view_post"), lead)
    assert rows(revealed(lead), lead)["firstName"].sent == "Zebediah"
    assert "(512) 555-0137" in text(revealed(lead), lead)


MISPLACED = "Call 512-555-0137 or zeb@example.com"


@pytest.mark.parametrize(
    "member",
    [
        *({one: MISPLACED} for one in ("firstName", "city", "state", "gender", "phoneType")),
        *({one: MISPLACED} for one in ("product", "vertical", "subId", "pubId", "externalId")),
        *({one: MISPLACED} for one in ("utmSource", "utmContent", "referrer", "trustedFormUrl")),
        {"utmSource": "x" * 512 + MISPLACED},
        {"trustedFormUrl": f" {CERTIFICATE}?zeb@example.com"},
        {"sourceMetadata": {MISPLACED: "Zebediah"}},
        {"tagNames": ["Zebediah"]},
        {"shoeSize": "Zebediah"},
        {MISPLACED: 1},
        {"5125550137": 1},
        {"zeb@example.com": "512-555-0137"},
        {"unknown": {"Zebediah": ["9 Hidden Lane"]}},
        {"lastName": "x", "LAST_NAME": "x", "last-name": " x "},
    ],
    ids=str,
)
def test_a_person_in_the_wrong_place_of_a_post_is_masked(
    strict: Door, member: dict[str, Any]
) -> None:
    sent = {"phone": "512-555-0137", "email": "zeb@example.com", **member}
    lead = lead_of(strict.post(sent))
    page = text(signed_in("view_lead", "view_post"), lead)
    assert not [one for one in SECRETS if one in page]
    assert "As it was sent" in page
    assert "512-555-0137" in text(revealed(lead), lead)


def test_what_an_enemy_sent_is_text_and_masked(db: None) -> None:
    lead = lead_of(Door(make_source(is_unknown_kept=True)).post(EVIL_POST))
    masked = text(signed_in("view_lead", "view_post"), lead)
    assert EVIL_POST["phone"] not in masked
    shown = text(revealed(lead), lead)
    assert EVIL_POST["phone"] in shown
    for page in (masked, shown):
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "\u202e" not in page


def test_what_was_sent_needs_the_permission_to_see_posts(strict: Door) -> None:
    lead = lead_of(strict.send())
    assert "As it was sent" in text(signed_in("view_lead", "view_post"), lead)
    may_not = signed_in("view_lead")
    assert "As it was sent" not in text(may_not, lead)
    assert told(may_not, lead)["members"] == []


def test_a_lead_whose_post_is_gone_says_so(strict: Door) -> None:
    lead = lead_of(strict.send())
    Post.objects.all().delete()
    client = signed_in("view_lead", "view_post")
    assert "is not kept any more" in text(client, lead)
    assert "It came from Harbour form. Its post is not kept." in story(client, lead)


@pytest.mark.parametrize(
    "body", [b'{"phone": "51', b"\xff\xfe", b"", b"[1]", b'{"a": 1, "a": 2}', b'{"phone": NaN}']
)
def test_a_body_that_cannot_be_read_any_more_is_told(strict: Door, body: bytes) -> None:
    lead = lead_of(strict.send())
    Post.objects.update(body=body)
    assert "cannot be read any more" in text(signed_in("view_lead", "view_post"), lead)


def test_what_would_not_be_taken_any_more_is_told_by_its_field(strict: Door) -> None:
    lead = lead_of(strict.send())
    contact = {"phone": "zeb@example.com", "zip": "1", "city": {"a": 1}, "contact": None}
    Post.objects.update(body=json.dumps(contact).encode())
    found = rows(signed_in("view_lead", "view_post"), lead)
    for name in ("phone", "zip", "city"):
        assert found[name].trouble, name
        assert found[name].sent == HIDDEN, name
    assert "Would not be taken now" in text(signed_in("view_lead", "view_post"), lead)


def test_a_value_that_staff_changed_since_is_that_of_the_lead(strict: Door) -> None:
    lead = lead_of(strict.send(product="Solar"))
    assert not rows(revealed(lead), lead)["product"].is_other_since
    Lead.objects.update(product="Roofs")
    one = rows(revealed(lead), lead)["product"]
    assert (one.kept, one.is_other_since) == ("Roofs", True)


@given(body=hostile.mutated_lead)
def test_the_table_takes_each_member_for_what_intake_takes_it(body: bytes) -> None:
    plan = with_names(FLAT, {"cell": "phone"})
    try:
        members = read_json(body)
    except Problem:
        return
    reading = read(members, plan)
    told = list(walked(members, plan))
    assert {path for path, one, _ in told if one is None} == reading.unknown.keys()
    assert {one.name for _, one, _ in told if one} >= reading.sent_as.keys()


# --- leads alike ----------------------------------------------------------------------------------


def test_leads_alike_say_what_is_equal_and_lead_to_the_lists(strict: Door) -> None:
    business = strict.source.business
    other = Door(make_source(name="Other form", business=business))
    phone = lead_of(strict.send(email="b@example.com", trustedFormUrl=CERTIFICATE[:-1] + "a"))
    email = lead_of(other.send(phone="512-555-0111"))
    proof = lead_of(other.send(phone="512-555-0112", email=..., trustedFormUrl=CERTIFICATE))
    Door(make_source(business=make_business())).send()  # another business
    other.send(phone="512-555-0113", email="c@example.com")  # another person
    lead = lead_of(strict.send(firstName="Zebediah", trustedFormUrl=CERTIFICATE))
    both = lead_of(other.send(trustedFormUrl=CERTIFICATE))
    client = signed_in("view_lead")
    found = told(client, lead)["alike"]
    assert [(one.lead, one.equal) for one in found] == [
        (both, ("phone", "e-mail", "certificate")),
        (proof, ("certificate",)),
        (email, ("e-mail",)),
        (phone, ("phone",)),
    ]
    assert same_person(lead) == [both, email, phone]  # whom the desk tells
    page = text(client, lead)
    assert "Same phone, e-mail, certificate." in page
    assert "Other form" in page
    for one in (both, proof, email, phone):
        assert url("leads_lead_change", one.id) in page
    for name in ("phone_of", "email_of", "certificate_of"):
        assert f'href="{url("leads_lead_changelist")}?{name}={lead.id}"' in page
    assert not [one for one in (*SECRETS, "ada@example.com", "b@example.com") if one in page]


def test_a_lead_alone_has_no_others_and_no_links_to_them(strict: Door) -> None:
    lead = lead_of(strict.send(email=...))
    page = text(signed_in("view_lead"), lead)
    assert "No other lead of this business" in page
    lead_of(strict.send(email=..., externalId="second"))
    page = text(signed_in("view_lead"), lead)
    assert "?phone_of=" in page
    assert "?email_of=" not in page


# --- judged as of ---------------------------------------------------------------------------------


def judged(client: Client, lead: Lead, as_of: str = "") -> Any:
    return client.get(url("leads_lead_judged", lead.id), {"as_of": as_of} if as_of else {})


def test_a_lead_is_judged_then_and_now_side_by_side(db: None) -> None:
    source = make_source(allowed_states=["TX"])
    lead = lead_of(Door(source).send(state="FL"))
    source.allowed_states = []
    source.save()
    source.set_mode(Rule.UNDERAGE, Mode.FLAG)
    response = judged(signed_in("view_lead"), lead)
    context = response.context
    assert context["outcome"] == "Held then for state-not-allowed; would be approved now."
    assert [one.code for one in context["rows"]] == [one.value for one in Rule]
    other = {one.code: one for one in context["rows"] if one.is_other}
    assert other.keys() == {"state-not-allowed", "underage"}
    held = other["state-not-allowed"]
    assert held.then.sentence == "The source may not send leads of this state."
    assert (held.now.sentence, held.is_mode_other) == ("", False)
    under = other["underage"]
    assert (under.then.mode, under.now.mode) == ("hold", "flag")
    page = response.content.decode()
    assert lead.rules_version in page
    assert "2 rules judge otherwise than then." in page
    assert page.count(">differs<") == 2
    lead.refresh_from_db()
    assert lead.compliance_status == "Blocked"  # nothing was changed


def test_a_lead_that_is_judged_as_before_says_so(door: Door) -> None:
    lead = lead_of(door.send())
    response = judged(signed_in("view_lead"), lead)
    assert response.context["outcome"] == "Approved then, and would be now."
    assert "Every rule judges as it did then." in response.content.decode()


def test_a_moment_is_chosen_in_the_zone_of_the_console(db: None, settings: Any) -> None:
    with time_machine.travel(START, tick=False) as clock:
        source = make_source()
        clock.shift(timedelta(hours=1))  # 11:00 in New York
        lead = lead_of(Door(source).send())
        clock.shift(timedelta(days=1))
        suppress("ada@example.com", source.business)
        clock.shift(timedelta(days=1))
        client = signed_in("view_lead")
        for as_of, outcome in (
            ("2026-03-02T11:00", "Approved then; would be approved at that moment."),
            ("2026-03-03T10:59", "Approved then; would be approved at that moment."),
            ("2026-03-03T11:00:01", "Approved then; would be held at that moment for suppressed."),
            ("2026-03-03T15:59:59Z", "Approved then; would be approved at that moment."),
            ("2026-03-02", "Approved then; would be approved at that moment."),
            ("2026-03-03", "Approved then; would be held at that moment for suppressed."),
            ("2026-03-04", "Approved then; would be held now for suppressed."),
            ("", "Approved then; would be held now for suppressed."),
        ):
            response = judged(client, lead, as_of)
            assert response.status_code == 200, as_of
            assert response.context["outcome"] == outcome, as_of


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        ("2026-03-02T10:59:59", "The lead had not come by then."),
        ("2026-03-01", "The lead had not come by then."),
        ("2026-03-02T12:00:01", "This lies in the future"),
        ("2026-03-03", "This lies in the future"),
        ("8999-12-31T23:59", "This lies in the future"),
        ("9999-12-31", "neither a date nor"),
        ("9999-12-31T23:59:59-12:00", "neither a date nor"),
        ("0001-01-01T00:00", "neither a date nor"),
        ("yesterday", "neither a date nor"),
        ("2026-13-40", "neither a date nor"),
        ("<script>", "neither a date nor"),
    ],
)
def test_what_is_no_moment_to_judge_by_is_told(strict: Door, as_of: str, told: str) -> None:
    with time_machine.travel(START, tick=False) as clock:
        clock.shift(timedelta(hours=1))  # 11:00 in New York
        lead = lead_of(strict.send())
        clock.shift(timedelta(hours=1))
        response = judged(signed_in("view_lead"), lead, as_of)
        assert response.status_code == 400
        assert told in response.content.decode()
        assert response.context["rows"] == []


def test_rules_that_are_not_on_record_are_told_in_plain_words(strict: Door) -> None:
    lead = lead_of(strict.send())
    client = signed_in("view_lead")
    Lead.objects.update(rules_version="1/nonsense", received_at=timezone.now() - timedelta(days=9))
    page = judged(client, lead).content.decode()
    assert "is not on record: their history begins later" in page
    assert "What was found then is kept: consent-missing." in page
    day = timezone.localdate() - timedelta(days=2)
    response = judged(client, lead, str(day))
    assert response.status_code == 200
    assert "The settings of the source at that moment are not on record" in (
        response.content.decode()
    )


def test_what_was_found_on_arrival_counts_if_it_is_judged_otherwise_again(strict: Door) -> None:
    lead = lead_of(strict.send())
    client = signed_in("view_lead")
    assert "program finds" not in text(client, lead, "leads_lead_judged")
    Lead.objects.update(findings=[])
    assert "program finds consent-missing; when the lead came, nothing was found" in text(
        client, lead, "leads_lead_judged"
    )


def test_evidence_is_linked_and_told_only_as_far_as_one_may_see(strict: Door) -> None:
    first = lead_of(strict.send(trustedFormUrl=CERTIFICATE))
    entry = suppress("ada@example.com", strict.source.business, kind="litigator")
    lead = lead_of(strict.send(phone="512-555-0199", trustedFormUrl=CERTIFICATE))
    links = {url("leads_lead_change", first.id), url("leads_suppression_change", entry.id)}
    page = text(signed_in("view_lead", "view_suppression"), lead, "leads_lead_judged")
    assert {one for one in links if one in page} == links
    assert "litigator" in page
    page = text(signed_in("view_lead"), lead, "leads_lead_judged")
    assert {one for one in links if one in page} == {url("leads_lead_change", first.id)}
    assert str(entry.id) not in page
    assert "<dd><bdi>litigator" not in page


def test_what_a_vendor_sent_as_a_state_is_masked_in_the_evidence(db: None) -> None:
    source = make_source(allowed_states=["TX"])
    lead = lead_of(Door(source).send(state="9 Hidden Lane"))
    assert "9 Hidden Lane" not in text(signed_in("view_lead"), lead, "leads_lead_judged")
    assert "9 Hidden Lane" in text(revealed(lead), lead, "leads_lead_judged")


def test_judging_again_counts_as_opening_the_lead(strict: Door) -> None:
    lead = lead_of(strict.send())
    client = reviewer(role="Analyst")
    assert judged(client, lead).status_code == 200
    assert Disclosure.objects.get().how == "page"
    assert signed_in("view_post").get(url("leads_lead_judged", lead.id)).status_code == 403
    assert client.post(url("leads_lead_judged", lead.id)).status_code == 405
    assert Disclosure.objects.count() == 1


def test_hostile_text_is_text_when_judged(db: None) -> None:
    source = make_source(name=EVIL[:200], allowed_products=[EVIL[:100]])
    lead = lead_of(Door(source).send(product="<img src=x>"))
    page = text(signed_in("view_lead"), lead, "leads_lead_judged")
    assert "<script>alert" not in page
    assert "<img" not in page
