"""The console on what is done later: imports, look-backs, replays and jobs; who may do what."""

import io
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from intake.models import Replay
from intake.replay import replay
from leadping.jobs.models import Job, Worker
from leadping.jobs.tasks import enqueue
from leadping.jobs.worker import Loop
from leads.importing import cancel, start
from leads.models import Disclosure, Lead, LookBack, Suppression, SuppressionImport
from sources.models import Business
from tests.factories import Door, make_business, suppress
from tests.test_admin import act, signed_in
from tests.test_replay import map_cell, refused_post

PERSONAL = ("Zebediah", "zeb@example.com", "5125550137", "512-555-0137")


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    """Let the test client, which speaks HTTP, in."""
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def look_back(door: Door) -> LookBack:
    door.send(firstName="Zebediah", email="zeb@example.com")
    lead = Lead.objects.get()
    ben = get_user_model().objects.create_user("ben")
    Disclosure(lead=lead, at=timezone.now(), by=ben, how="export").save()
    suppress("512-555-0137", door.source.business)
    return LookBack.objects.get()


def make_import(business: Business, text: str = "phone\n512-555-0137\n12\n") -> SuppressionImport:
    one = SuppressionImport(file_name="list.csv", business=business, kind="opt-out")
    return start(one, io.BytesIO(text.encode()))


def change(model: str, row: Any) -> str:
    return reverse(f"admin:{model}_change", args=[row.pk])


def test_every_page_opens_and_shows_no_person(look_back: LookBack, door: Door) -> None:
    post = refused_post(door)
    map_cell(door.source)
    replay(post.id, None, "Mended")
    rows: dict[str, Any] = {
        "leads_lookback": look_back,
        "leads_suppressionimport": make_import(make_business()),
        "leads_review": look_back.review,
        "intake_replay": Replay.objects.get(),
        "jobs_job": Job.objects.get(),
        "jobs_worker": Worker.objects.create(name="here"),
    }
    client, stranger = signed_in(is_superuser=True), signed_in()
    for model, row in rows.items():
        for url in (reverse(f"admin:{model}_changelist"), change(model, row)):
            response = client.get(url)
            assert response.status_code == 200, url
            text = response.content.decode()
            assert not any(one in text for one in PERSONAL), url
            assert stranger.get(url).status_code == 403, url
            assert Client().get(url).status_code == 302, url


# --- look-backs -----------------------------------------------------------------------------------


def test_a_look_back_says_who_has_the_lead_and_is_settled_with_a_note(look_back: LookBack) -> None:
    client = signed_in("view_lookback", "settle_lookback")
    page = client.get(change("leads_lookback", look_back)).content.decode()
    assert "<td><bdi>user ben</bdi></td><td>" in page
    assert "export" in page
    refused = client.post(change("leads_lookback", look_back), {"settled_note": "  "})
    assert "Say what was done" in refused.content.decode()
    refused = client.post(change("leads_lookback", look_back), {"settled_note": "a\x01b"})
    assert "control characters" in refused.content.decode()
    look_back.refresh_from_db()
    assert look_back.settled_at is None
    client.post(change("leads_lookback", look_back), {"settled_note": "Told the call centre."})
    look_back.refresh_from_db()
    assert look_back.settled_note == "Told the call centre."
    assert look_back.settled_by_id == int(client.session["_auth_user_id"])
    assert LogEntry.objects.get().object_id == str(look_back.id)
    # once
    again = client.post(change("leads_lookback", look_back), {"settled_note": "Other"})
    assert again.status_code == 403


def test_who_may_only_view_look_backs_settles_none(look_back: LookBack) -> None:
    client = signed_in("view_lookback")
    assert client.get(change("leads_lookback", look_back)).status_code == 200
    response = client.post(change("leads_lookback", look_back), {"settled_note": "Done"})
    assert response.status_code == 403
    look_back.refresh_from_db()
    assert look_back.settled_at is None


# --- imports --------------------------------------------------------------------------------------

ADD = "admin:leads_suppressionimport_add"


def form(business: Business | None, **more: Any) -> dict[str, Any]:
    return {
        "file": SimpleUploadedFile("opt-outs.csv", b"phone\n512-555-0137\n12\n"),
        "kind": "opt-out",
        "channel": "all",
        "business": str(business.id) if business else "",
        **more,
    }


def test_a_list_is_imported_and_its_bad_rows_taken_back(db: None) -> None:
    business = make_business()
    client = signed_in("view_suppressionimport", "add_suppressionimport", "reveal_lead")
    assert client.get(reverse(ADD)).status_code == 200
    response = client.post(reverse(ADD), form(business))
    one = SuppressionImport.objects.get()
    assert response.headers["Location"] == change("leads_suppressionimport", one)
    assert (one.file_name, one.created_by_id) == (
        *("opt-outs.csv", int(client.session["_auth_user_id"])),
    )
    page = client.get(change("leads_suppressionimport", one))
    assert page.headers["Refresh"] == "2"  # it goes on by itself
    assert 'value="Cancel"' in page.content.decode()
    Loop().run(is_once=True)
    page = client.get(change("leads_suppressionimport", one))
    assert "Refresh" not in page.headers
    assert "1 of 1 (100%)" in page.content.decode()
    entry = Suppression.objects.get()
    assert (entry.phone, entry.created_by_id) == ("+15125550137", one.created_by_id)
    assert client.get(reverse("admin:import_bad_rows", args=[one.id])).status_code == 405
    bad = client.post(reverse("admin:import_bad_rows", args=[one.id]))
    assert bad.headers["Content-Type"].startswith("text/csv")
    assert b"".join(bad.streaming_content).decode().splitlines()[1].startswith("3,")  # type: ignore[attr-defined]
    told = [entry.change_message for entry in LogEntry.objects.order_by("id")]
    assert told == ["Imported a list.", "Took the bad rows."]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"kind": "dnc-registry"}, "An entry of a registry needs"),
        ({"business": ""}, "An entry of this kind needs a business"),
        ({"file": ""}, "This field is required"),
        ({"kind": "nonsense"}, "Select a valid choice"),
        ({"kind": "dnc-registry", "list_name": "N", "listed_on": "2020-01-01"}, "list that old"),
    ],
)
def test_what_cannot_be_imported_is_told_in_the_form(
    db: None, more: dict[str, Any], told: str
) -> None:
    client = signed_in("add_suppressionimport")
    business = None if "list_name" in more else make_business()
    response = client.post(reverse(ADD), form(business) | more)
    assert response.status_code == 200
    assert told in response.content.decode()
    assert not SuppressionImport.objects.exists()


def test_an_import_is_cancelled_and_goes_on(db: None) -> None:
    one = make_import(make_business())
    client = signed_in("view_suppressionimport", "add_suppressionimport")
    for name, state in (("cancel", "cancelled"), ("resume", "done")):
        url = reverse(f"admin:import_{name}", args=[one.id])
        assert client.get(url).status_code == 405
        assert client.post(url).status_code == 302
        Loop().run(is_once=True)
        one.refresh_from_db()
        assert one.state == state
    page = client.post(reverse("admin:import_resume", args=[one.id]), follow=True)
    assert "This import is done" in page.content.decode()
    assert LogEntry.objects.count() == 2


def test_an_import_that_nobody_works_at_any_more_can_go_on(db: None) -> None:
    one = make_import(make_business())
    client = signed_in("view_suppressionimport", "add_suppressionimport")
    assert "Go on" not in client.get(change("leads_suppressionimport", one)).content.decode()
    Job.objects.update(state="failed")
    page = client.get(change("leads_suppressionimport", one)).content.decode()
    assert "Go on" in page
    assert 'value="Cancel"' in page


def test_who_may_only_view_imports_does_nothing_with_them(db: None) -> None:
    one = make_import(make_business())
    client = signed_in("view_suppressionimport")
    page = client.get(change("leads_suppressionimport", one)).content.decode()
    assert "Cancel" not in page
    assert "bad-rows" not in page
    assert client.get(reverse(ADD)).status_code == 403
    assert client.post(reverse(ADD), form(make_business())).status_code == 403
    for name in ("cancel", "resume"):
        assert client.post(reverse(f"admin:import_{name}", args=[one.id])).status_code == 403
    assert client.post(reverse("admin:import_bad_rows", args=[one.id])).status_code == 403
    one.refresh_from_db()
    assert not one.is_cancel_wanted
    assert SuppressionImport.objects.count() == 1
    assert not LogEntry.objects.exists()
    cancel(one)


# --- jobs -----------------------------------------------------------------------------------------


def test_failed_jobs_are_tried_again(db: None) -> None:
    failed, waiting = (enqueue("forget-finished-jobs") for _ in range(2))
    Job.objects.filter(id=failed.id).update(state="failed", error="ValueError in f")
    client = signed_in("view_job", "retry_job")
    assert "ValueError in f" in client.get(reverse("admin:jobs_job_changelist")).content.decode()
    response = act(client, "jobs_job", "retry", failed, waiting)
    assert "1 are tried again, 1 had not failed." in response.content.decode()
    failed.refresh_from_db()
    assert failed.state == "waiting"
    assert LogEntry.objects.get().change_message == "Tried again."


def test_who_may_only_view_jobs_is_offered_no_action_and_can_run_none(db: None) -> None:
    job = enqueue("forget-finished-jobs")
    Job.objects.update(state="failed")
    client = signed_in("view_job")
    assert 'name="action"' not in client.get(reverse("admin:jobs_job_changelist")).content.decode()
    act(client, "jobs_job", "retry", job)
    job.refresh_from_db()
    assert job.state == "failed"
    assert client.get(reverse("admin:jobs_job_add")).status_code == 403
    assert client.post(change("jobs_job", job), {}).status_code == 403
