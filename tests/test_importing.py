"""Lists of people who may not be contacted, from a file into the suppressions."""

import contextlib
import csv
import io
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from leadping.jobs.models import Job
from leadping.jobs.tasks import Turn
from leadping.jobs.worker import Loop, do, take
from leads import importing, normalize
from leads.importing import NotImportable, bad_rows_as_csv, cancel, forget_leftovers, resume, start
from leads.models import (
    BadRow,
    ImportChunk,
    Lead,
    LookBack,
    RegistryList,
    StagedRow,
    Suppression,
    SuppressionImport,
)
from sources.models import Business, Source
from sources.rules import Mode, Rule
from tests.factories import Door, make_business, make_source, suppress
from tests.test_compliance import status_of

pytestmark = pytest.mark.django_db

PHONE, EMAIL = "+15125550137", "ada@example.com"  # those of the usual post
TODAY = timezone.now().date()
REGISTRY: dict[str, Any] = {"kind": "dnc-registry", "list_name": "National", "listed_on": TODAY}


@pytest.fixture
def business() -> Business:
    return make_business()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each piece be three rows, so that little files have many."""
    monkeypatch.setattr(importing, "on_this_database", lambda usual, on_sqlite: 3)


def begin(text: str | bytes, business: Business | None = None, **more: Any) -> SuppressionImport:
    """Return an import of a file with this text that is waiting to be worked at."""
    data = text if isinstance(text, bytes) else text.encode()
    one = SuppressionImport(file_name="list.csv", business=business, **{"kind": "opt-out", **more})
    return start(one, io.BytesIO(data))


def run(text: str | bytes, business: Business | None = None, **more: Any) -> SuppressionImport:
    """Return an import after a worker has done what it could."""
    one = begin(text, business, **more)
    Loop().run(is_once=True)
    one.refresh_from_db()
    return one


def persons() -> list[tuple[str, str]]:
    return sorted(Suppression.objects.active().values_list("phone", "email_key"))


def bad(one: SuppressionImport) -> list[tuple[int, str]]:
    return [(row.line, row.why) for row in one.bad_rows.order_by("line")]


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phone\n512-555-0137\n(512) 555-0138\n", ["+15125550137", "+15125550138"]),
        ("5125550137\n5125550138\n", ["+15125550137", "+15125550138"]),
        ("512,5550137\n512,5550138\n", ["+15125550137", "+15125550138"]),  # the national registry
        ("Phone Number;Name\n512-555-0137;Ada\n", ["+15125550137"]),
        ("name\tMobile\nAda\t512 555 0137\n", ["+15125550137"]),
        ('"name","cell_phone"\r\n"Moreno, Ada","512-555-0137"\r\n', ["+15125550137"]),
        ("Ada,5125550137,TX\nBen,5125550138,TX\n", ["+15125550137", "+15125550138"]),
        ("phone\r512-555-0137\r", ["+15125550137"]),
        ("\ufeffphone\n512-555-0137", ["+15125550137"]),
        ("\n\nphone\n\n512-555-0137\n , \n", ["+15125550137"]),
        ("phone\n+44 20 7946 0018\n", ["+442079460018"]),
        ("phone\n\uff15\uff11\uff12\uff0d555\uff0d0137\n", ["+15125550137"]),
        ("phone\n512-555-0137\n5125550137\n1 512 555 0137\n", ["+15125550137"]),
    ],
)
def test_files_as_they_come(business: Business, text: str, expected: list[str]) -> None:
    one = run(text, business)
    assert (one.state, bad(one)) == ("done", [])
    assert [phone for phone, _ in persons()] == expected
    assert one.rows_added == len(expected)


def test_a_file_of_a_spreadsheet_in_utf_16(business: Business) -> None:
    assert run("phone\tname\r\n512-555-0137\tZoë\r\n".encode("utf-16"), business).state == "done"
    assert persons() == [(PHONE, "")]


def test_emails_and_phones_of_one_row_are_one_entry(business: Business) -> None:
    one = run("email,phone\nADA@Example.com,512-555-0137\nben@example.com,\n", business)
    assert one.rows_added == 2
    assert persons() == [("", "ben@example.com"), (PHONE, EMAIL)]


def test_each_entry_says_whence_when_and_why_it_is(business: Business) -> None:
    text = (
        "phone,since,reason\n512-555-0137,2026-11-03,Called us\n512-555-0138,11/04/2026,\n"
        "512-555-0139,2026-11-05T09:30:00-06:00,\n512-555-0140,,\n"
    )
    one = run(text, business, reason="From the old system", channel="sms", kind="complaint")
    entries = list(Suppression.objects.order_by("phone"))
    assert [entry.suppressed_at for entry in entries[:3]] == [
        datetime(2026, 11, 3, tzinfo=UTC),
        datetime(2026, 11, 4, tzinfo=UTC),
        datetime(2026, 11, 5, 15, 30, tzinfo=UTC),
    ]
    assert entries[3].suppressed_at == entries[3].created_at
    assert [entry.reason for entry in entries] == ["Called us", *["From the old system"] * 3]
    for entry in entries:
        assert (entry.kind, entry.channel, entry.business) == ("complaint", "sms", business)
        assert entry.provenance == f"import {one.id}"
        entry.full_clean()


def test_bad_rows_are_counted_and_given_back_with_why(business: Business) -> None:
    text = (
        b"phone,email,since\n512-555-0137,,\n12,,\n,foo,\n,,2026-01-01\n512-555-0138,,2026-13-01\n"
        b"512-555-0139,,2999-01-01\n,caf\xe9@example.com,\n512\x00555,,\n=1+1,@SUM(A1),\n"
        b"512-555-0140,ben@example.com,\n"
    )
    one = run(text, business)
    assert (one.state, one.rows_read, one.rows_bad, one.rows_added) == ("done", 10, 8, 2)
    why = dict(bad(one))
    assert list(why) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert why[3] == why[10] == normalize.NotAPhone.__doc__
    assert why[4] == normalize.NotAnEmail.__doc__
    assert why[5] == "There is no phone and no e-mail address."
    assert why[6].startswith("The date is none")
    assert why[7].startswith("The date lies in the future")
    assert why[9] == normalize.BadCharacters.__doc__
    rows = list(csv.reader(io.StringIO("".join(bad_rows_as_csv(one)))))
    assert rows[0] == ["line", "why", "the row as it came"]
    assert [row[0] for row in rows[1:]] == [str(line) for line in why]
    assert rows[1][1:] == [normalize.NotAPhone.__doc__, "12", "", ""]
    assert rows[-1][2:4] == ["'=1+1", "'@SUM(A1)"]  # no formula for a spreadsheet
    assert one.bad_rows.count() == 8


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("email", "phone,email\n512-555-0137,\n,a@b.co\n"),
        ("sms", "phone,email\n,a@b.co\n512-555-0137,\n"),
    ],
)
def test_a_row_without_what_its_channel_needs_is_bad(
    business: Business, channel: str, text: str
) -> None:
    one = run(text, business, channel=channel)
    assert (one.rows_bad, one.rows_added) == (1, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no rows"),
        ("phone\n", "no rows"),
        ("name,town\nAda,Austin\n", "None of the 2 columns"),
        ("\x00\x01\x02 nothing at all", "None of the 1 columns"),
        ("phone\n" + "12\n" * 1200, "None of the first 1,"),
    ],
)
def test_what_is_no_such_list_fails_and_says_why(
    business: Business, text: str, sentence: str
) -> None:
    one = run(text, business)
    assert one.state == "failed"
    assert sentence in one.trouble
    assert not Suppression.objects.exists()
    assert Job.objects.filter(key=str(one)).get().state == "done"


@pytest.mark.parametrize("seed", range(20))
def test_no_file_is_too_strange(business: Business, seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        *(b"phone,email\n", b"512-555-0137", b"\n", b"\r", b"\x00", b'"', b"\xff\xfe", b",", b";"),
        *(b"a@b.co", b"\xc3\xa9", b"=1", b" " * 300, b"9" * 200_000, "\u202e".encode()),
    ]
    one = run(b"".join(chance.choices(pieces, k=chance.randrange(200))), business)
    assert one.state in ("done", "failed")
    assert one.rows_read == one.rows_bad + one.rows_staged
    assert one.state == "failed" or one.rows_done == one.rows_staged
    assert not Job.objects.exclude(state="done").filter(key=str(one)).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "dnc-registry"},
        {"kind": "dnc-registry", "list_name": "National", "listed_on": TODAY - timedelta(days=40)},
        {"kind": "dnc-registry", "list_name": "National", "listed_on": TODAY + timedelta(days=3)},
        {"kind": "opt-out"},  # of whom?
        {"kind": "nonsense"},
        {**REGISTRY, "reason": "a\x00b"},
    ],
)
def test_what_cannot_be_imported_so_is_refused_before_anything_is_kept(
    wrong: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        begin("phone\n5125550137\n", **wrong)
    assert not SuppressionImport.objects.exists()
    assert not ImportChunk.objects.exists()
    assert not Job.objects.exists()


# --- what it does ---------------------------------------------------------------------------------


def test_it_looks_back_and_holds_who_comes_later(source: Source) -> None:
    door = Door(source)
    assert status_of(door.send()) == "Approved"
    assert status_of(door.send(phone="512-555-0199", email=...)) == "Approved"
    one = run("phone\n512-555-0137\n512-555-0138\n", source.business)
    assert one.leads_blocked == LookBack.objects.count() == 1
    lead = Lead.objects.get(phone=PHONE)
    assert lead.compliance_status == "Blocked"
    entry = Suppression.objects.get(phone=PHONE)
    assert lead.reviews.get().at == entry.created_at
    assert status_of(door.send(phone="512-555-0138", email=...)) == "Blocked"


def test_a_registry_is_of_use_at_once_and_blocks_everyones_leads() -> None:
    doors = [Door(make_source()) for _ in range(2)]
    for door in doors:
        door.send()
    one = run("512,5550137\n512,5550138\n", **REGISTRY)
    assert (one.state, one.leads_blocked) == ("done", 2)
    assert RegistryList.objects.in_use().get().listed_on == TODAY
    response = doors[0].send(phone="512-555-0138", email=...)
    assert response.headers["Leadping-Findings"] == "not-accepted"


def test_a_new_edition_makes_a_list_fresh_only_when_all_of_it_is_in(
    small_steps: None, source: Source
) -> None:
    RegistryList.objects.create(name="National", listed_on=TODAY - timedelta(days=30))
    one = begin("phone\n" + "".join(f"512555{n:04}\n" for n in range(20)), **REGISTRY)
    editions = RegistryList.objects.in_use()
    seen = []
    work(one, lambda: seen.append(editions.count()))
    assert set(seen[:-1]) == {1}
    assert editions.count() == 2


def test_a_list_that_was_retired_counts_again_and_looks_back_for_what_stood_in_it(
    small_steps: None, source: Source
) -> None:
    """Its entries were no bar while it was out of use, also those not in the new edition."""
    people = [f"512-555-01{n:02}" for n in range(8)]
    for phone in people:
        suppress(phone, kind="dnc-registry")
    call_command("registry_lists", "--retire", "National", stdout=io.StringIO())
    door = Door(source)
    for phone in people:
        assert status_of(door.send(phone=phone, email=...)) == "Approved"
    one = run("phone\n512-555-0199\n", **REGISTRY)  # the very edition that was retired
    assert (one.state, one.leads_blocked) == ("done", 8)
    assert set(Lead.objects.values_list("compliance_status", flat=True)) == {"Blocked"}


def test_a_list_that_is_retired_meanwhile_stays_so(small_steps: None) -> None:
    RegistryList.objects.create(name="National", listed_on=TODAY)
    one = begin("phone\n" + "".join(f"512555{n:04}\n" for n in range(20)), **REGISTRY)

    def retire() -> None:
        RegistryList.objects.update(retired_at=timezone.now())

    work(one, retire)
    assert one.state == "done"
    assert "out of use" in one.trouble
    assert not RegistryList.objects.in_use().exists()


def test_the_same_list_again_changes_nothing(source: Source) -> None:
    text = "phone\n512-555-0137\n512-555-0138\n"
    run(text, source.business)
    before = list(Suppression.objects.order_by("id").values())
    again = run(text, source.business)
    assert (again.rows_done, again.rows_added, again.rows_known) == (2, 0, 2)
    assert list(Suppression.objects.order_by("id").values()) == before


def test_who_was_released_is_suppressed_anew_by_a_new_list(source: Source) -> None:
    entry = suppress(PHONE, source.business)
    entry.release(None, "Signed again", "certificate 3f…")
    assert run("phone\n512-555-0137\n", source.business).rows_added == 1
    assert Suppression.objects.count() == 2


# --- stopping and going on ------------------------------------------------------------------------


def work(one: SuppressionImport, after_each_step: Callable[[], Any]) -> None:
    """Work at an import in this process, and do something after each step."""
    while not one.is_over:
        job = take("test", UUID(str(Job.objects.open().get(key=str(one)).id)))
        assert job
        do(job, watch=lambda turn: after_each_step())
        one.refresh_from_db()


TWENTY = "phone\n" + "".join(f"512555{n:04}\n12\n" for n in range(20))


def result(one: SuppressionImport) -> dict[str, Any]:
    """Return what an import has left behind."""
    one.refresh_from_db()
    return {
        "entries": persons(),
        "bad": [line for line, _ in bad(one)],
        "counts": (one.rows_read, one.rows_bad, one.rows_staged, one.rows_done, one.rows_added),
        "left": (one.chunks.count(), one.staged.count()),
        "state": one.state,
    }


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("seed", range(5))
def test_killed_after_any_step_and_run_again_the_result_is_the_same(
    small_steps: None, business: Business, seed: int
) -> None:
    whole = result(run(TWENTY, business))
    assert whole["counts"] == (40, 20, 20, 20, 20)
    assert whole["left"] == (0, 0)
    Suppression.objects.filter(business=business)._raw_delete("default")
    one = begin(TWENTY, business)
    chance = random.Random(seed)
    kills = 0

    def perhaps_die(turn: Turn) -> None:
        nonlocal kills
        if chance.random() < 0.3:
            kills += 1
            raise Killed

    while True:
        job = take("test")
        assert job
        try:
            do(job, watch=perhaps_die)
        except Killed:
            its_lease_is_over = timezone.now() - timedelta(seconds=1)
            Job.objects.filter(id=job.id).update(due_at=its_lease_is_over)
            continue
        break
    assert kills > 2
    assert result(one) == whole


def test_cancelled_it_leaves_off_and_resumed_it_goes_on(
    small_steps: None, business: Business
) -> None:
    one = begin(TWENTY, business)
    steps = 0

    def cancel_at_last() -> None:
        nonlocal steps
        steps += 1
        if steps == 18:
            cancel(SuppressionImport.objects.get(id=one.id))

    work(one, cancel_at_last)
    assert one.state == "cancelled"
    done = Suppression.objects.count()
    assert 0 < done < 20
    assert Loop().run(is_once=True) >= 0
    assert Suppression.objects.count() == done
    with pytest.raises(NotImportable):
        cancel(one)
    resume(one)
    Loop().run(is_once=True)
    assert result(one)["counts"] == (40, 20, 20, 20, 20)
    assert result(one)["state"] == "done"
    with pytest.raises(NotImportable):
        resume(one)


def cancel_after_the_first_step(one: SuppressionImport) -> None:
    """Work at an import until it is cancelled."""

    def cancelling() -> None:
        with contextlib.suppress(NotImportable):  # once it is over
            cancel(SuppressionImport.objects.get(id=one.id))

    work(one, cancelling)


def test_cancelled_while_it_reads_it_goes_on_reading(small_steps: None, business: Business) -> None:
    one = begin(TWENTY, business)
    cancel_after_the_first_step(one)
    assert (one.state, one.rows_read) == ("cancelled", 3)
    resume(one)
    Loop().run(is_once=True)
    assert result(one)["counts"] == (40, 20, 20, 20, 20)


def test_an_import_whose_job_was_given_up_can_be_cancelled_and_resumed(
    small_steps: None, business: Business
) -> None:
    one = begin(TWENTY, business)
    Job.objects.update(state="failed")
    cancel(one)
    Loop().run(is_once=True)
    assert result(one)["state"] == "cancelled"
    resume(one)
    Job.objects.filter(state="waiting").update(state="failed")
    resume(one)
    Loop().run(is_once=True)
    assert result(one)["counts"] == (40, 20, 20, 20, 20)


def test_a_long_import_lets_other_jobs_have_their_turn(
    small_steps: None, business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadping.jobs.tasks.TURN_SECONDS", -1)
    one = run(TWENTY, business)
    assert result(one)["counts"] == (40, 20, 20, 20, 20)


def test_what_is_left_of_a_file_is_forgotten_after_a_month(
    small_steps: None, business: Business
) -> None:
    one = begin(TWENTY, business)
    cancel_after_the_first_step(one)
    assert one.finished_at
    forget_leftovers(one.finished_at + timedelta(days=29))
    assert BadRow.objects.exists()
    while forget_leftovers(one.finished_at + timedelta(days=31)):
        pass
    for kind in (ImportChunk, StagedRow, BadRow):
        assert not kind._default_manager.exists()
    with pytest.raises(NotImportable, match="no longer kept"):
        resume(one)


def test_rate_and_time_left_are_told(business: Business) -> None:
    one = SuppressionImport(state="suppressing", rows_staged=1000, rows_done=250, worked_ms=500)
    assert one.rows_a_second == 500
    assert one.seconds_left == 1.5
    assert SuppressionImport(state="suppressing").seconds_left is None


@pytest.mark.parametrize(
    ("text", "taken", "why"),
    [
        ('phone\n"512-555-0137\n512-555-0138\n', ["+15125550138"], {2: "A quote is opened"}),
        ('phone,note\n5125550137,"two\nlines"\n12,\n', [PHONE], {4: "This is not a phone"}),
        ("phone\n" + "x" * 200_000 + "\n5125550137\n", [PHONE], {2: "This line is too long"}),
    ],
)
def test_every_line_is_taken_or_told(
    business: Business, text: str, taken: list[str], why: dict[int, str]
) -> None:
    one = run(text, business)
    assert [phone for phone, _ in persons()] == taken
    assert {line: told[: len(why[line])] for line, told in bad(one)} == why


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "Home Phone,Mobile Phone\n5125550137,5125550138\n",
            "Several columns hold phones: 1 and 2",
        ),
        ("phone,contact\n5125550137,5125550138\n", "Several columns hold phones: 1 and 2"),
        ("12\n" * 5 + "phone\n", "None of the 1 columns"),
    ],
)
def test_a_file_that_would_be_misread_is_refused(
    business: Business, text: str, sentence: str
) -> None:
    one = run(text, business)
    assert one.state == "failed"
    assert sentence in one.trouble


def test_columns_are_found_by_what_they_hold(business: Business) -> None:
    one = run("who,how\nAda,\nBen,5125550137\nEve,\nIda,5125550138\n", business)
    assert (one.columns, one.rows_bad) == ("phone: column 2", 2)
    assert len(persons()) == 2


def test_a_list_of_which_nothing_can_be_taken_is_no_new_edition(db: None) -> None:
    assert run("phone\n12\n13\n", **REGISTRY).state == "failed"
    assert not RegistryList.objects.exists()


def test_an_import_that_left_off_while_it_renewed_is_made_up_for_by_the_next(
    small_steps: None, source: Source
) -> None:
    people = [f"512-555-01{n:02}" for n in range(8)]
    for phone in people:
        suppress(phone, kind="dnc-registry")
    RegistryList.objects.retire("National")
    door = Door(source)
    for phone in people:
        door.send(phone=phone, email=...)
    one = begin("phone\n512-555-0199\n", **REGISTRY)

    def cancel_renewing() -> None:
        with contextlib.suppress(NotImportable):
            if SuppressionImport.objects.get(id=one.id).state == "renewing":
                cancel(SuppressionImport.objects.get(id=one.id))

    work(one, cancel_renewing)
    assert one.state == "cancelled"
    assert Lead.objects.filter(compliance_status="Approved").exists()
    assert run("phone\n512-555-0198\n", **REGISTRY).state == "done"
    assert not Lead.objects.filter(compliance_status="Approved").exists()


# --- by command -----------------------------------------------------------------------------------


def told(*words: Any) -> str:
    said = io.StringIO()
    call_command("import_suppressions", *map(str, words), stdout=said)
    return said.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "opt-outs.csv"
    path.write_text("phone\n512-555-0137\n12\n")
    return path


def test_the_command_imports_and_gives_the_bad_rows_back(
    business: Business, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bad.csv"
    said = told(file, "--bad-rows", out)
    assert "Done; 2 rows read, 1 bad; 1 of 1 done; 1 new, 0 known before" in said
    assert str(normalize.NotAPhone.__doc__) in out.read_text()
    assert persons() == [(PHONE, "")]
    assert "555-0137" not in said
    assert PHONE not in said


def test_the_command_leaves_it_to_the_worker(business: Business, file: Path) -> None:
    told(file, "--later")
    one = SuppressionImport.objects.get()
    assert not Suppression.objects.exists()
    assert "Reading" in told("--show", one.id)
    told("--cancel", one.id)
    Loop().run(is_once=True)
    assert "Cancelled" in told("--show", one.id)
    assert "Done" in told("--resume", one.id)
    assert Suppression.objects.count() == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nowhere.csv"],
        ["--show", "nothing"],
        ["--resume", "01a20841-3c5e-7a19-8f02-4b7d90c1e6aa"],
        ["FILE", "--show", "x"],
        ["FILE", "--kind", "dnc-registry"],
        ["FILE", "--business", "Nobody"],
    ],
)
def test_the_command_says_what_is_wrong(business: Business, file: Path, words: list[str]) -> None:
    with pytest.raises(CommandError):
        told(*(str(file) if word == "FILE" else word for word in words))
    assert not Suppression.objects.exists()


def test_the_command_fails_with_what_is_wrong_in_the_file(business: Business, file: Path) -> None:
    file.write_text("name\nAda\n")
    with pytest.raises(CommandError, match="None of the 1 columns"):
        told(file)


def test_a_registry_by_command(db: None, file: Path) -> None:
    told(file, "--kind", "dnc-registry", "--list", "National", "--list-date", TODAY)
    assert Suppression.objects.get().list_name == "National"
    assert date.fromisoformat(str(RegistryList.objects.get().listed_on)) == TODAY


# --- the modes that let a lead be -----------------------------------------------------------------


def test_sources_that_only_flag_a_registry_keep_their_leads(source: Source) -> None:
    source.set_mode(Rule.ON_DNC_REGISTRY, Mode.FLAG)
    Door(source).send()
    assert run("512,5550137\n", **REGISTRY).leads_blocked == 0
    assert Lead.objects.get().compliance_status == "Approved"
