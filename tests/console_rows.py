"""A small database with one of everything that the console shows, some of it written by enemies."""

import io
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from intake.models import Post, RefusalCount, Replay
from intake.replay import replay
from leadping.jobs.models import Job, Worker
from leadping.jobs.tasks import enqueue
from leadping.jobs.worker import Loop
from leads import amend, importing
from leads.models import (
    Disclosure,
    Export,
    ExportSchedule,
    Lead,
    LookBack,
    RegistryList,
    SavedView,
    Suppression,
    SuppressionImport,
)
from sources.models import ApiToken, Source, Tag
from sources.rules import Mode, Rule
from sources.tokens import Actor
from tests.api import make_token
from tests.factories import Door, make_source, suppress
from tests.test_answer import FULL_POST
from tests.test_replay import map_cell

# A tag, an address that runs, a character that turns the line around, one that nobody sees.
SCRIPT = "<script>alert(1)</script>"
EVIL = f'{SCRIPT}"><img src=x onerror=alert(2)>\u202e gnp.\u200b'
RUNS = "javascript:alert(3)"
LONG = "Looooooooooooooooooooooooooooooooooooooooooong" * 4
# As vendors may send it: every text of a flat post.
EVIL_POST: dict[str, Any] = {
    **dict.fromkeys(("firstName", "lastName", "city", "product", "vertical"), EVIL),
    **dict.fromkeys(("utmSource", "utmMedium"), EVIL),
    **dict.fromkeys(("utmCampaign", "utmTerm", "utmContent"), EVIL + LONG),
    **dict.fromkeys(("referrer", "landingPage", "trustedFormUrl"), RUNS),
    "address1": EVIL,
    # Ids hold no character that is not seen.
    **dict.fromkeys(("externalId", "subId", "pubId", "sellerLeadId"), f"evil {SCRIPT}"),
    "phoneType": SCRIPT,
    "phone": "512-555-0166",
    "sourceMetadata": {EVIL[:64]: EVIL, "page": RUNS, "long": LONG},
    f"field {SCRIPT}": 1,
}

Rows = dict[str, Any]


def make_rows() -> Rows:
    """Make leads and posts of every outcome, decisions, entries, jobs; return one of each model.

    By `app_model`; and some more by other names: `evil_…` is what an enemy wrote.
    """
    mary = get_user_model().objects.create_user("mary", is_staff=True, first_name="Mary")
    source = make_source(
        name="Sunrise solar", daily_cap=500, cost_per_lead="9.50", owner=mary, notes="Ask Mary."
    )
    source.set_mode(Rule.UNDERAGE, Mode.REJECT)
    source.default_tags.add(Tag.objects.create(business=source.business, name="web form"))
    door = Door(source)
    evil_source = make_evil_source(source)

    approved = lead_of(door.post({**FULL_POST, "phone": "512-555-0101"}))
    door.post({**FULL_POST, "phone": "512-555-0101"})  # the vendor sends it again
    door.send(phone="512-555-0101", externalId="another")  # a duplicate
    door.send(phone="512-555-0102", dateOfBirth="2015-01-01", email=...)  # a rule refuses it
    door.send(phone="512-555-0103", email=..., state="TX", zip="10001")  # flagged
    waiting = lead_of(door.send(phone="512-155-0104", email=..., externalId="waits"))
    released = lead_of(door.send(phone="512-155-0105", email=...))
    released.release(mary, "Called back.", "The number is right.")
    rejected = lead_of(door.send(phone="512-155-0106", email=...))
    rejected.reject(mary, "", "No such number.")
    let_out = lead_of(door.send(phone="512-555-0107", email="let-out@example.com"))
    Disclosure(lead=let_out, at=timezone.now(), by=mary, how="export").save()
    suppress("512-555-0107", source.business, reason=f"Said STOP. {EVIL}", by=mary)
    ended = suppress("512-555-0108", source.business, kind="internal")
    ended.release(mary, "A mistake.")
    suppress("512-555-0109", kind="dnc-registry")
    door.send(phone="512-555-0109", email=...)
    door.post(b'{"phone": ')
    refused, refused_again = (
        post_of(door.send(phone=..., email=..., cell=f"512-555-011{number}")) for number in range(2)
    )
    map_cell(source)
    replay(refused.id, mary, "The mapping is mended.")
    SavedView.objects.create(by=mary, name=EVIL[:60], query="status=Blocked", is_shared=True)

    evil = Door(evil_source)
    evil_headers = {**evil.credentials, "User-Agent": EVIL.encode("ascii", "ignore").decode()}
    evil_lead = lead_of(evil.post(EVIL_POST, headers=evil_headers))
    evil_refused = post_of(
        evil.post({SCRIPT: {SCRIPT: EVIL}, "phone": EVIL, "zip": EVIL}, headers=evil_headers)
    )

    done = import_list(source, f"{SCRIPT}.csv", "phone\n512-555-0120\nevil <b>row</b>\n")
    Loop().run(is_once=True)
    open_import = import_list(source, "opt-outs.csv", "phone\n512-555-0121\n")
    failed = enqueue("forget-finished-jobs")
    Job.objects.filter(id=failed.id).update(state="failed", error="ValueError in a file")

    exported = make_exports(mary)
    token, ended_token = make_tokens(source, mary)
    api_lead = lead_of(door.send(phone="512-555-0130", email="by-api@example.com"))
    use_api(api_lead, Actor(mary, token))

    return {
        "auth_group": Group.objects.order_by("name").first(),
        "auth_user": mary,
        "sources_business": source.business,
        "sources_vendor": source.vendor,
        "sources_tag": source.default_tags.get(),
        "sources_source": source,
        "sources_sourcekey": source.keys.get(),
        "sources_apitoken": token,
        "leads_lead": approved,
        "leads_suppression": Suppression.objects.get(phone="+15125550107"),
        "leads_registrylist": RegistryList.objects.get(),
        "leads_review": rejected.reviews.get(),
        "leads_lookback": LookBack.objects.get(),
        "leads_suppressionimport": done,
        "intake_post": approved.posts.earliest("received_at"),
        "intake_replay": Replay.objects.get(),
        "intake_refusalcount": RefusalCount.objects.create(
            minute=timezone.now(), code="rate-limited", source=source, count=3
        ),
        "jobs_job": failed,
        "jobs_worker": Worker.objects.create(name="here-1-2"),
        # further ones
        "waiting_lead": waiting,
        "released_lead": released,
        "suppressed_lead": let_out,
        "refused_post": refused_again,
        "replayed_post": refused,
        "open_import": open_import,
        "ended_suppression": ended,
        "ended_token": ended_token,
        "api_lead": api_lead,
        "evil_source": evil_source,
        "evil_lead": evil_lead,
        "evil_post": evil_lead.posts.get(),
        "evil_refused": evil_refused,
        **exported,
    }


def make_exports(by: Any) -> Rows:
    """Return exports in every state, with an enemy's words where staff may write, and schedules."""
    now = timezone.now()
    given: dict[str, Any] = {"by": by, "kind": "leads", "query": "cols=id,phone&status=Blocked"}
    given |= {"columns": ["id", "phone"], "format": "csv", "order": "newest", "estimate": 1000}
    done = {"state": "done", "rows_done": 1000, "sha256": "0123456789abcdef" * 4, "size": 12345}
    found: Rows = {
        "done_export": Export.objects.create(
            **(given | done | {"is_masked": False, "reason": EVIL}),
            file_name="leads-with-persons-2026-11-29-abcdef.csv",
            expires_at=now + timedelta(days=3),
            as_of=now,
            finished_at=now,
        ),
        "running_export": Export.objects.create(
            **(given | {"state": "running", "rows_done": 400, "worked_ms": 100, "as_of": now}),
            file_name="leads-2026-11-29-abcde1.csv",
        ),
    }
    for number, state in enumerate(("waiting", "failed", "cancelled", "expired")):
        trouble = EVIL if state == "failed" else ""
        found[f"{state}_export"] = Export.objects.create(
            **(given | {"state": state, "trouble": trouble, "query": "tag=gone"}),
            again_of=found["done_export"] if state == "failed" else None,
            expires_at=now,
            file_name=f"leads-2026-11-29-{number}.csv",
        )
    more = {"kind": "leads", "query": "period=yesterday", "format": "xlsx", "next_at": now}
    ExportSchedule.objects.create(by=by, name=EVIL[:60], every="month", hour=23, trouble=EVIL,
                                  is_on=False, **more)  # fmt: skip
    found["export_schedule"] = ExportSchedule.objects.create(
        by=by, name="Blocked ones", every="day", hour=6, **more
    )
    return found


def make_tokens(source: Source, by: Any) -> list[ApiToken]:
    """Return a live token with an enemy's label, and one that was revoked."""
    made = [make_token(source.business, label=text, by=by)[0] for text in (EVIL[:100], "Old CRM")]
    made[1].revoke(timezone.now(), by=by)
    return made


def use_api(lead: Lead, actor: Actor) -> None:
    """Do all to a lead that a token may do, an enemy's words in it; it is archived at the end."""
    how = Disclosure.How.API
    for _ in range(3):
        Disclosure(lead=lead, at=timezone.now(), by=actor.by, token=actor.token, how=how).save()
    amend.change(lead, {"first_name": EVIL[:100], "phone": "+15121550131"}, actor)
    tag = Tag.objects.make(lead.business, "by the CRM", color="#1F6FEB")
    amend.tag(lead, lambda have: {tag}, actor)
    amend.archive(lead, actor, reason=3, note=EVIL)


def make_evil_source(beside: Source) -> Source:
    """Return a source whose every text is hostile."""
    source = make_source(
        name=EVIL[:200],
        business=beside.business,
        is_approved=False,
        notes=EVIL,
        default_product=EVIL[:100],
        field_map={SCRIPT: "phone"},
        allowed_products=[EVIL[:100]],
        is_unknown_kept=True,
    )
    source.vendor.name = f"Vendor {EVIL}"
    source.vendor.save()
    Tag.objects.create(business=beside.business, name=EVIL[:64])
    source.issue_key(label=EVIL[:100])
    return source


def lead_of(answer: Any) -> Lead:
    """Return the lead that the door has answered with."""
    assert answer.status_code == 201, answer.content
    return Lead.objects.get(id=answer.json()["id"])


def post_of(answer: Any) -> Post:
    """Return the post that the door has refused so."""
    assert answer.status_code == 400, answer.content
    return Post.objects.get(request_id=answer.headers["X-Request-Id"])


def import_list(source: Source, name: str, text: str) -> SuppressionImport:
    """Return an import of a file of opt-outs that a worker has yet to do."""
    one = SuppressionImport(file_name=name, business=source.business, kind="opt-out", reason=EVIL)
    return importing.start(one, io.BytesIO(text.encode()))


def client_of(role: str) -> Client:
    """Return the client of somebody with one role, who is of the staff; "" for no role at all."""
    name = role.lower().replace(" ", "-") or "nobody"
    user = get_user_model().objects.create_user(name, is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    return client_for(user)


def client_for(user: Any) -> Client:
    """Return a client in which somebody is signed in."""
    client = Client()
    client.force_login(user)
    return client
