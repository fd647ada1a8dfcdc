"""Exports in the console: asked for, looked at, fetched, run again; by whom, and what is told."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leads.exporting import ask
from leads.exports import Export, ExportDownload, ExportSchedule
from leads.models import Lead
from sources.models import Source
from tests.console_rows import client_for
from tests.test_export import anna, bytes_of, chief, export, make_lead, person_who_may, run

__all__ = ["anna", "chief"]  # fixtures


@pytest.fixture(autouse=True)
def plain_http(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = False  # the test client speaks HTTP


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


def send(client: Client, query: str = "", **given: str) -> Any:
    """Return the answer to the form of a new export."""
    data = {"query": query, "format": "csv", "columns": "shown", "persons": "masked", **given}
    return client.post(url("export_new", "leads"), data)


def test_the_list_leads_to_an_export_of_what_it_shows(anna: Any, source: Source) -> None:
    make_lead(source)
    client = client_for(anna)
    query = "cols=id,phone&status=Approved"
    shown = client.get(f"{url('leads_lead_changelist')}?{query}").content.decode()
    link = f"{url('export_new', 'leads')}?{query.replace('&', '&amp;')}"
    assert f'href="{link}"' in shown
    asked = client.get(f"{url('export_new', 'leads')}?{query}").content.decode()
    assert '<strong class="number">1</strong> row as of now' in asked
    assert "id, phone" in asked
    assert "Why you need the persons" not in asked
    answer = send(client, query)
    one = Export.objects.get()
    assert answer.headers["Location"] == url("export", one.id)
    assert (one.by, one.query, one.is_masked) == (anna, query, True)


def test_who_may_not_export_is_offered_nothing(db: None, source: Source) -> None:
    make_lead(source)
    client = client_for(person_who_may("view_lead", name="nobody"))
    assert "export" not in client.get(url("leads_lead_changelist")).content.decode().lower()
    assert send(client).status_code == 403
    assert not Export.objects.exists()


def test_a_forged_form_gets_no_person_out(anna: Any, source: Source) -> None:
    make_lead(source)
    client = client_for(anna)
    send(client, persons="plain", reason="Because")
    assert run(Export.objects.get()).is_masked


def test_persons_are_asked_for_with_a_reason(chief: Any, source: Source) -> None:
    client = client_for(chief)
    answer = send(client, persons="plain", reason=" ")
    assert answer.status_code == 400
    assert "Say why you need the persons." in answer.content.decode()
    assert not Export.objects.exists()
    send(client, persons="plain", reason="For the call centre", columns="all")
    one = Export.objects.get()
    assert (one.is_masked, one.reason, "phone" in one.columns) == (
        *(False, "For the call centre"),
        True,
    )


def test_the_page_of_an_export_tells_how_far_it_is_and_offers_the_file(
    anna: Any, source: Source
) -> None:
    make_lead(source)
    client = client_for(anna)
    one = ask(anna, "leads", "cols=id", "csv")
    assert "Waits for a worker" in client.get(url("export", one.id)).content.decode()
    Export.objects.filter(id=one.id).update(
        state="running", estimate=1000, rows_done=250, worked_ms=5000
    )
    part = client.get(url("export_progress", one.id)).content.decode()
    assert "250 rows of about 1,000, about 15 s left." in part
    assert "<html" not in part
    assert "data-over" not in part
    Export.objects.filter(id=one.id).update(state="waiting", rows_done=0)
    run(one)
    shown = client.get(url("export", one.id)).content.decode()
    assert one.sha256 in shown
    assert f'href="{url("export_file", one.id)}"' in shown
    assert "data-over" in client.get(url("export_progress", one.id)).content.decode()


@pytest.mark.parametrize("name", ["csv", "xlsx"])
def test_the_file_is_fetched_whole_and_that_is_on_record(
    anna: Any, source: Source, name: str
) -> None:
    make_lead(source)
    one = export(anna, "cols=id", name)
    answer: Any = client_for(anna).get(url("export_file", one.id))
    data = b"".join(answer.streaming_content)
    assert hashlib.sha256(data).hexdigest() == one.sha256
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{one.file_name}"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ExportDownload.objects.get().by == anna


def test_an_export_of_somebody_else_is_not_there(anna: Any, chief: Any, source: Source) -> None:
    one = export(anna)
    client = client_for(chief)
    for name in ("export", "export_progress", "export_file"):
        assert client.get(url(name, one.id)).status_code == 404
    for name in ("export_cancel", "export_again"):
        assert client.post(url(name, one.id)).status_code == 404
    assert one.file_name not in client.get(url("exports")).content.decode()
    assert one.file_name in client_for(anna).get(url("exports")).content.decode()


def test_who_reads_the_audit_sees_the_record_of_all_and_the_file_of_none(
    anna: Any, chief: Any, source: Source
) -> None:
    one = export(chief, "", is_masked=False, reason="For the call centre")
    assert bytes_of(one)
    auditor = person_who_may("export_lead", name="auditor")
    auditor.user_permissions.add(Permission.objects.get(codename="view_audit"))
    client = client_for(auditor)
    shown = client.get(url("export", one.id)).content.decode()
    assert "For the call centre" in shown
    assert "Download" not in shown
    assert "Run again" not in shown
    assert client.get(url("export_file", one.id)).status_code == 404
    told = client.get(f"{url('audit')}?kind=exports").content.decode()
    assert "Exported leads, with persons: ready" in told
    assert "For the call centre" in told
    assert "Fetched an export" in client.get(f"{url('audit')}?kind=downloads").content.decode()


def test_a_file_whose_time_is_over_is_gone(anna: Any, source: Source) -> None:
    one = export(anna)
    Export.objects.filter(id=one.id).update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = client_for(anna).get(url("export_file", one.id))
    assert answer.status_code == 410
    assert "not kept any more" in answer.content.decode()
    assert not ExportDownload.objects.exists()


def test_rights_that_are_gone_close_the_file(chief: Any, source: Source) -> None:
    one = export(chief, "", is_masked=False, reason="For the call centre")
    chief.user_permissions.remove(Permission.objects.get(codename="export_person"))
    client = client_for(chief)
    assert client.get(url("export_file", one.id)).status_code == 403
    assert not ExportDownload.objects.exists()


def test_an_export_is_cancelled_and_run_again(anna: Any, source: Source) -> None:
    client = client_for(anna)
    one = ask(anna, "leads", "cols=id", "csv")
    client.post(url("export_cancel", one.id))
    one.refresh_from_db()
    assert one.state == "cancelled"
    answer = client.post(url("export_again", one.id))
    second = Export.objects.get(again_of=one)
    assert answer.headers["Location"] == url("export", second.id)
    assert (second.state, second.query) == ("waiting", one.query)


def test_a_lead_tells_who_took_its_person_out_and_why(chief: Any, source: Source) -> None:
    lead = make_lead(source)
    export(chief, "cols=id")  # masked: nothing to tell
    export(chief, "cols=phone", is_masked=False, reason="For the call centre")
    shown = client_for(chief).get(url("leads_lead_change", lead.id)).content.decode()
    assert shown.count("It was exported with its person.") == 1
    assert "For the call centre" in shown
    blind = person_who_may("view_lead", name="blind")
    shown = client_for(blind).get(url("leads_lead_change", lead.id)).content.decode()
    assert "It was exported with its person." in shown
    assert "For the call centre" not in shown


def test_a_schedule_is_made_switched_and_deleted(anna: Any, source: Source) -> None:
    client = client_for(anna)
    data = {
        **{"query": "status=Blocked&from=2026-01-01", "format": "csv", "columns": "shown"},
        **{"name": "Blocked ones", "period": "7d", "every": "week", "hour": "6"},
    }
    answer = client.post(url("export_schedule_new", "leads"), data)
    assert answer.headers["Location"] == url("export_schedules")
    one = ExportSchedule.objects.get()
    assert (one.query, one.every, one.hour) == ("status=Blocked&period=7d", "week", 6)
    assert "Blocked ones" in client.get(url("export_schedules")).content.decode()
    for verb, is_on in (("off", False), ("on", True), ("nonsense", True)):
        client.post(url("export_schedule", one.id), {"verb": verb})
        one.refresh_from_db()
        assert one.is_on == is_on
    other = client_for(person_who_may("export_lead", name="other"))
    assert other.post(url("export_schedule", one.id), {"verb": "delete"}).status_code == 404
    client.post(url("export_schedule", one.id), {"verb": "delete"})
    assert not ExportSchedule.objects.exists()


@pytest.mark.parametrize("query", ["no_such=filter", "status=Nonsense", "phone_of=x"])
def test_a_list_that_cannot_be_read_is_not_exported(anna: Any, source: Source, query: str) -> None:
    client = client_for(anna)
    answer = client.get(f"{url('export_new', 'leads')}?{query}")
    assert "Make the file" not in answer.content.decode()
    assert send(client, query).status_code == 400
    assert not Export.objects.exists()


def test_nothing_else_is_exported_by_this_page(anna: Any) -> None:
    assert client_for(anna).get(url("export_new", "secrets")).status_code == 404


def test_the_page_of_an_export_asks_as_much_of_the_database_however_many_rows(
    anna: Any, source: Source, django_assert_num_queries: Any
) -> None:
    client = client_for(anna)
    one = export(anna, "cols=id")
    client.get(url("export", one.id))
    for _ in range(3):
        make_lead(source)
    two = export(anna, "cols=id")
    for each in (one, two):
        with django_assert_num_queries(6):
            client.get(url("export", each.id))
    assert Lead.objects.count() == 3
