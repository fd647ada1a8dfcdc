"""Exports: each format opened again and compared with the database, masks, formulas, the record."""

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from openpyxl.utils.escape import unescape

from leadping.jobs.models import Job
from leadping.jobs.tasks import LeaseLost, Turn
from leadping.jobs.worker import do, take
from leads import exporting, exports, files, rows
from leads.browse import Browse
from leads.columns import COLUMNS
from leads.exporting import again, ask, cancel, fetched
from leads.exports import Export, ExportChunk, ExportDownload, ExportedLeads, NotExportable
from leads.files import FORMATS, PARQUET_GROUP, Csv, Field, Ndjson, Type, write_parquet
from leads.models import Lead
from sources.models import Source, Tag
from tests.factories import CERTIFICATE, make_tombstone

duckdb = pytest.importorskip("duckdb")

ALL = ",".join(one.name for one in COLUMNS)
PERSON = ("Zebediah", "Quixote", "+15125550199", "zebediah@quixote.example")
# What a spreadsheet would run or misread, what breaks lines and cells, what turns text around.
HOSTILE = (
    *("=cmd()", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"),
    *('"', '","', "a,b", "two\nlines", "two\r\nlines", "'", ";", "\\", "\\N", "NULL", "null"),
    *("😀", "\u202e gnp", "\u200b", "\x01", "\x1e", "\x1f", "\x7f", "\x85", "\u2028", "é", "漢字"),
    *("https://evil.test/", "mailto:a@b", "_x0041_", "  spaces  ", "<b>&amp;</b>", "1e5", "007"),
    *("{=cmd()}", "=HYPERLINK(1)", "True", "2026-01-01"),
)
TEXTS = (
    *("first_name", "last_name", "email", "address_line1", "address_line2", "city", "state"),
    *("additional_info", "country", "external_id", "seller_lead_id", "sub_id", "pub_id"),
    *("product", "vertical", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
    *("referrer", "landing_page", "trusted_form_url", "user_agent", "phone_type", "postal_code"),
)
NOW = datetime(2026, 11, 29, 19, 47, 34, 123000, tzinfo=UTC)


def person_who_may(*codenames: str, name: str = "anna") -> Any:
    """Return somebody of the staff with these permissions of the app of leads."""
    user = get_user_model().objects.create_user(name, is_staff=True)
    grant(user, *codenames)
    return user


def grant(user: Any, *codenames: str) -> None:
    for one in codenames:
        user.user_permissions.add(Permission.objects.get(codename=one))


@pytest.fixture
def anna(db: None) -> Any:
    """Return an analyst, who may export with the person masked."""
    return person_who_may("view_lead", "export_lead")


@pytest.fixture
def chief(db: None) -> Any:
    """Return somebody who may export persons."""
    return person_who_may("view_lead", "export_lead", "export_person", "reveal_lead", name="chief")


def make_lead(source: Source, number: int = 0, **fields: Any) -> Lead:
    """Return a saved lead; of a certain person, unless said otherwise."""
    first_name, last_name, phone, email = PERSON
    given = {
        "received_at": NOW - timedelta(minutes=number),
        "first_name": first_name,
        "last_name": last_name,
        "phone": phone,
        "email": email,
        "compliance_status": "Approved",
    }
    return Lead.objects.create(source=source, business=source.business, **given | fields)


def make_hostile(source: Source) -> list[Lead]:
    """Return leads with each hostile text in every field of text."""
    leads = [
        make_lead(source, number, **dict.fromkeys(TEXTS, text), source_metadata={text: text})
        for number, text in enumerate(HOSTILE)
    ]
    full = make_lead(
        source,
        len(leads),
        price=Decimal("12.5"),
        direct_post_price=Decimal("-0.0125"),
        birth_date=date(1984, 7, 19),
        gender="F",
        income=Decimal("52000.5"),
        height=Decimal(180),
        is_homeowner=True,
        has_bankruptcy=False,
        number_of_dependents=Decimal(0),
        ip_address="2001:db8::7",
        trusted_form_url=CERTIFICATE,
        certificate_id="a" * 40,
        approved_at=NOW,
        modified_at=NOW.replace(microsecond=0),
        sms_consent_status="OptedIn",
        source_metadata={"page": "1", "campaign": "=x"},
        found="duplicate:hold state-mismatch:flag",
        is_test=True,
    )
    for name in ("zulu", "alpha, beta", "Ärger", "=tag()"):
        full.tags.add(Tag.objects.create(business=source.business, name=name))
    return [*leads, full]


def run(one: Export, turns: int = 20) -> Export:
    """Have a worker do an export, and return it as it is then."""
    job = Job.objects.get(key=str(one))
    for _ in range(turns):
        taken = take("tester", job.id)
        if taken is None:
            break
        do(taken)
    one.refresh_from_db()
    return one


def export(by: Any, query: str = "", name: str = "csv", **more: Any) -> Export:
    """Return an export that a worker has done."""
    one = run(ask(by, "leads", query, name, **more))
    assert (one.state, one.trouble) == ("done", "")
    return one


def bytes_of(one: Export) -> bytes:
    return b"".join(fetched(one, one.by))


def told(lead: Lead, *, is_masked: bool) -> dict[str, str]:
    """Return the lead as the list's columns tell it, by their names."""
    lead = Lead.objects.select_related("source__vendor", "business").get(pk=lead.pk)
    return {one.name: one.told(lead, is_masked=is_masked) for one in COLUMNS}


def expected(is_masked: bool) -> list[dict[str, str]]:
    """Return all leads, the newest first, as the page tells them."""
    return [told(one, is_masked=is_masked) for one in Lead.objects.order_by("-received_at", "-id")]


def as_text(field: Field, value: Any) -> str:
    """Return a cell of a typed file as text."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        if value.microsecond % 1000:  # a spreadsheet's moments are fractions of days
            value += timedelta(microseconds=500)
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        if field.type is Type.DATE:
            return str(value.date())
    if isinstance(value, float):
        value = Decimal(str(value))
    return str(files.written(field.type, value))


def read_csv(data: bytes) -> list[dict[str, str]]:
    text = io.StringIO(data.decode(), newline="")
    return list(csv.DictReader(text, strict=True))


def read_ndjson(data: bytes, fields: Sequence[Field]) -> list[dict[str, str]]:
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    found = [json.loads(one, parse_float=Decimal) for one in lines]
    for row in found:
        for field in fields:
            kind: Any = {Type.NUMBER: (int, Decimal), Type.PRICE: (int, Decimal), Type.BOOL: bool}
            assert row[field.name] is None or isinstance(row[field.name], kind.get(field.type, str))
    return [{one.name: as_text(one, row[one.name]) for one in fields} for row in found]


def read_xlsx(data: bytes, fields: Sequence[Field]) -> list[dict[str, str]]:
    book = openpyxl.load_workbook(io.BytesIO(data), read_only=False)
    found: list[dict[str, str]] = []
    for sheet in book:
        head, *lines = sheet.iter_rows()
        assert [one.value for one in head] == [one.name for one in fields]
        for line in lines:
            assert not [one for one in line if one.data_type == "f" or one.hyperlink]
            cells = zip(fields, line, strict=True)
            found.append({field.name: as_text(field, plain(cell.value)) for field, cell in cells})
    return found


def plain(value: Any) -> Any:
    """Return a cell without the marks that stand for control characters."""
    return unescape(value) if isinstance(value, str) else value


def read_parquet(data: bytes, fields: Sequence[Field], folder: Any) -> list[dict[str, str]]:
    path = folder / "file.parquet"
    path.write_bytes(data)
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        rows = session.execute(f"SELECT * FROM '{path}'")
        types = {one[0]: str(one[1]) for one in rows.description}
        found = rows.fetchall()
    assert list(types) == [one.name for one in fields]
    wanted = {Type.TEXT: "VARCHAR", Type.PRICE: "DECIMAL(18,4)", Type.NUMBER: "DECIMAL(18,4)"}
    assert all(types[one.name] == wanted[one.type] for one in fields if one.type in wanted)
    return [
        {field.name: as_text(field, cell) for field, cell in zip(fields, row, strict=True)}
        for row in found
    ]


def rows_in(one: Export, folder: Any) -> list[dict[str, str]]:
    """Return the rows of a file, read by another program than wrote it."""
    fields = exports.KINDS[one.kind].fields(one.query, is_masked=one.is_masked)
    data = bytes_of(one)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (one.size, one.sha256)
    if one.format == "csv":
        return read_csv(data)
    if one.format == "ndjson":
        return read_ndjson(data, fields)
    if one.format == "xlsx":
        return read_xlsx(data, fields)
    return read_parquet(data, fields, folder)


PHONE = re.compile(r"\+[1-9]\d{6,14}|\+\d{1,4}•+\d{0,2}", re.ASCII)


def defused(text: str) -> str:
    """Return what a spreadsheet is given in the place of a text, told apart from the program's."""
    if text[:1] in [*"=+-@\t\r\n＝＋－＠"] and text and not PHONE.fullmatch(text):
        return "'" + text
    return text


def with_defused(all_rows: list[dict[str, str]], is_masked: bool) -> list[dict[str, str]]:
    kinds = {one.name: one.field(is_masked=is_masked).type for one in COLUMNS}
    return [
        {name: defused(text) if kinds[name] is Type.TEXT else text for name, text in row.items()}
        for row in all_rows
    ]


# --- what is in a file ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_masked", [True, False])
@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_holds_what_the_list_tells_of_every_lead(
    chief: Any, source: Source, tmp_path: Any, name: str, is_masked: bool
) -> None:
    make_hostile(source)
    make_tombstone(make_lead(source, 100, gender="F", income=Decimal(7), source_metadata={}))
    one = export(chief, f"cols={ALL}", name, is_masked=is_masked, reason="For the mailing")
    rows_wanted = expected(is_masked)
    if name in ("csv", "xlsx"):
        rows_wanted = with_defused(rows_wanted, is_masked)
    found = rows_in(one, tmp_path)
    assert len(found) == len(HOSTILE) + 2
    for row, wanted in zip(found, rows_wanted, strict=True):
        assert row == wanted


@pytest.mark.parametrize("name", list(FORMATS))
def test_no_raw_value_of_a_person_is_in_a_masked_file(
    anna: Any, source: Source, tmp_path: Any, name: str
) -> None:
    make_lead(
        source,
        address_line1="12 Hidden Lane",
        city="Nowhereville",
        postal_code="78701-1234",
        birth_date=date(1984, 7, 19),
        ip_address="203.0.113.77",
        user_agent="Browser/9",
        referrer="https://example.com/zebediah-path",
        income=Decimal("52001.5"),
        product="zebediah@quixote.example",
        sms_consent_status="OptedIn",
        source_metadata={"secret": "answer"},
    )
    one = export(anna, f"cols={ALL}", name)
    assert one.is_masked
    data = bytes_of(one)
    if name == "xlsx":
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            data = b"".join(parts.read(one) for one in parts.namelist())
    if name == "parquet":  # whose bytes are compressed
        data += json.dumps(rows_in(one, tmp_path), ensure_ascii=False).encode()
    for raw in (*PERSON, "Hidden Lane", "Nowhereville", "8701-1234", "07-19", ".113.77"):
        assert raw.encode() not in data
    for raw in ("Browser/9", "zebediah", "52001.5", "secret", "answer", "5550199"):
        assert raw.encode() not in data
    if name in ("csv", "ndjson"):
        assert "+1512•••••99".encode() in data


def test_a_spreadsheet_runs_nothing_of_a_csv_file(chief: Any, source: Source) -> None:
    make_hostile(source)
    one = export(chief, f"cols={ALL}", is_masked=False, reason="Why not")
    for row in csv.reader(io.StringIO(bytes_of(one).decode(), newline="")):
        for at, cell in enumerate(row):
            is_number = COLUMNS[at].type is not Type.TEXT
            assert cell[:1] not in [*"=@\t\r\n＝＋－＠"] or not cell
            assert cell[:1] not in [*"+-"] or not cell or is_number or PHONE.fullmatch(cell)


def test_an_xlsx_file_has_no_formula_and_no_link(chief: Any, source: Source) -> None:
    make_hostile(source)
    one = export(chief, f"cols={ALL}", "xlsx", is_masked=False, reason="Why not")
    with zipfile.ZipFile(io.BytesIO(bytes_of(one))) as parts:
        whole = b"".join(parts.read(name) for name in parts.namelist() if "sheet" in name)
    assert b"<f" not in whole
    assert b"hyperlink" not in whole.replace(b"=HYPERLINK", b"").lower()


def test_an_erased_lead_comes_without_its_person(chief: Any, source: Source) -> None:
    make_tombstone(make_lead(source, gender="F", income=Decimal(7), is_homeowner=True))
    one = export(chief, f"cols={ALL}", is_masked=False, reason="All of them")
    (row,) = read_csv(bytes_of(one))
    filled = {name for name, value in row.items() if value}
    assert filled == {
        *("createdAt", "complianceStatus", "source", "vendor", "business", "smsConsentStatus"),
        *("isTest", "erasedAt", "businessId", "id"),
    }


def test_a_file_of_no_lead_has_its_headers(anna: Any, source: Source) -> None:
    assert bytes_of(export(anna, "cols=id,price")) == b"id,price\r\n"
    assert bytes_of(export(anna, "cols=id", "ndjson")) == b""


def test_a_column_of_nothing_still_has_a_line_for_each_lead(anna: Any, source: Source) -> None:
    make_lead(source, city="")
    assert bytes_of(export(anna, "cols=city")) == b'city\r\n""\r\n'


def test_a_full_sheet_is_followed_by_another(
    anna: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SHEET_ROWS", 4)
    leads = [make_lead(source, number) for number in range(7)]
    data = bytes_of(export(anna, "cols=id", "xlsx"))
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert [sheet.max_row for sheet in book] == [4, 4, 2]
    assert [one["id"] for one in read_xlsx(data, [Field("id")])] == [str(one.id) for one in leads]


def test_a_text_that_is_too_long_for_a_spreadsheet_is_cut(chief: Any, source: Source) -> None:
    make_lead(source, source_metadata={str(at): "x" * 1000 for at in range(50)})
    one = export(chief, "cols=sourceMetadata", "xlsx", is_masked=False, reason="Answers")
    (row,) = read_xlsx(bytes_of(one), [Field("sourceMetadata")])
    assert len(row["sourceMetadata"]) == files.XLSX_TEXT_MAX_LENGTH
    assert row["sourceMetadata"].endswith("…")


def test_a_parquet_file_is_written_in_groups_that_fit_in_memory(tmp_path: Path) -> None:
    count = 2 * PARQUET_GROUP + 1
    source, target = tmp_path / "rows.ndjson", tmp_path / "rows.parquet"
    source.write_text("".join(f'{{"id": "{number}"}}\n' for number in range(count)))
    write_parquet(source, target, [Field("id")], lambda: True)
    read = duckdb.sql(f"SELECT id FROM '{target}'").fetchall()
    assert [one for (one,) in read] == [str(number) for number in range(count)]
    groups = duckdb.sql(
        f"SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('{target}')"
    ).fetchall()
    assert sorted(groups) == [(0, PARQUET_GROUP), (1, PARQUET_GROUP), (2, 1)]


def test_without_duckdb_parquet_is_not_offered_and_says_why(
    anna: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(NotExportable, match=r"requirements-parquet\.txt"):
        ask(anna, "leads", "", "parquet")
    assert not Export.objects.exists()


# --- the same rows as the list, each once ---------------------------------------------------------


def ids_in(one: Export) -> list[str]:
    return [row["id"] for row in read_csv(bytes_of(one))]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("query", ["", "status=held", "status=Approved&tests=0", "state=TX"])
def test_leads_of_one_moment_come_once_across_the_borders_of_pieces(
    anna: Any, source: Source, monkeypatch: pytest.MonkeyPatch, order: str, query: str
) -> None:
    monkeypatch.setattr(rows, "rows_at_once", lambda: 3)
    for number in range(20):
        held = {"compliance_status": "Blocked", "compliance_blocked_reason": "x"}
        state = {"state": "TX"} if number % 2 else {}
        make_lead(source, number // 8, **(held if number % 3 else {}), **state)
    given = f"{query}&order={order}&cols=id"
    browse = Browse(dict(part.split("=") for part in given.split("&") if part))
    wanted = [str(one.id) for one in browse.page().leads]
    assert len(wanted) > 5
    assert ids_in(export(anna, given)) == wanted


def test_what_came_after_the_export_began_is_not_in_it(anna: Any, source: Source) -> None:
    early = make_lead(source)
    make_lead(source, received_at=timezone.now() + timedelta(hours=1))
    assert ids_in(export(anna, "cols=id")) == [str(early.id)]


def test_a_period_stands_still_once_it_is_asked_for(anna: Any, source: Source) -> None:
    one = ask(anna, "leads", "period=yesterday&cols=id", "csv")
    with exporting.in_zone():
        day = timezone.localdate() - timedelta(days=1)
    assert one.query == f"cols=id&from={day}&to={day}"
    one = ask(anna, "leads", f"period=7d&from={day}&to=2999-01-01&cols=id", "csv")
    assert one.query == f"cols=id&from={day}&to={day + timedelta(days=1)}"


@pytest.mark.parametrize("query", ["status=Nonsense", "no_such=filter", "source=x", "cols=none"])
def test_a_filter_that_cannot_be_read_is_no_export_of_all(anna: Any, query: str) -> None:
    with pytest.raises(NotExportable):
        ask(anna, "leads", query, "csv")
    assert not Export.objects.exists()


def test_a_filter_that_is_gone_when_the_job_starts_fails_the_export(
    anna: Any, source: Source
) -> None:
    make_lead(source)
    tag = Tag.objects.create(business=source.business, name="solar")
    one = ask(anna, "leads", f"tag={tag.id}", "csv")
    tag.delete()
    run(one)
    assert (one.state, one.trouble) == ("failed", "Tag: there is no such tag.")
    assert not ExportChunk.objects.exists()


# --- the record -----------------------------------------------------------------------------------


def test_an_export_is_on_record_before_any_lead_is_read(anna: Any, source: Source) -> None:
    make_lead(source)
    one = ask(anna, "leads", "status=Approved&cols=id,phone", "csv")
    one.refresh_from_db()
    assert (one.state, one.by, one.kind, one.format) == ("waiting", anna, "leads", "csv")
    assert (one.query, one.columns) == ("cols=id,phone&status=Approved", ["id", "phone"])
    assert (one.is_masked, one.reason, one.estimate, one.rows_done) == (True, "", 1, 0)
    assert one.file_name.endswith(".csv")
    run(one)
    assert (one.state, one.rows_done, one.finished_at is not None) == ("done", 1, True)


def test_an_export_stays_on_record_though_its_job_failed(
    anna: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lead(source)
    one = ask(anna, "leads", "", "csv")

    def broken(*given: Any) -> Iterator[Any]:
        raise RuntimeError("the disk is full of +15125550199")

    monkeypatch.setattr(exporting, "pieces", broken)
    for _ in range(10):
        Job.objects.open().update(due_at=timezone.now() - timedelta(seconds=1))
        run(one, turns=1)
    assert (one.state, one.trouble) == ("failed", exporting.GIVEN_UP)
    assert Job.objects.get(key=str(one)).state == "failed"
    monkeypatch.undo()
    second = run(again(one))
    assert (second.state, second.again_of, second.rows_done) == ("done", one, 1)
    one.refresh_from_db()
    assert one.state == "failed"


def test_an_export_is_never_deleted(anna: Any) -> None:
    one = ask(anna, "leads", "", "csv")
    with pytest.raises(TypeError):
        one.delete()
    with pytest.raises(TypeError):
        Export.objects.all().delete()


def test_whose_person_went_out_is_told_of_the_lead_for_ever(chief: Any, source: Source) -> None:
    leads = [make_lead(source, number) for number in range(3)]
    other = make_lead(source, 1)
    query = "to=2026-11-29T19:48Z&from=2026-11-29T19:45:40Z&cols=phone"
    one = export(chief, query, is_masked=False, reason="For the mailing")
    since = timezone.now() - timedelta(minutes=1)
    seen = {lead.id: lead.seen_by(since, timezone.now()) for lead in (*leads, other)}
    assert [bool(seen[lead.id]) for lead in (*leads, other)] == [True, True, False, True]
    (entry,) = seen[leads[0].id]
    assert (entry["who"], entry["how"]) == ("user chief", "export")
    export(chief, "cols=phone")  # masked: no disclosure
    assert ExportedLeads.objects.values_list("export", flat=True).get() == one.id


def test_an_id_between_two_others_is_not_taken_for_one_of_them(chief: Any, source: Source) -> None:
    lead = make_lead(source)
    half = b"\0" * 8 + lead.id.bytes + b"\0" * 8
    assert not ExportedLeads(ids=half).names(lead.id)
    assert ExportedLeads(ids=half[8:24]).names(lead.id)
    assert ExportedLeads(ids=half + lead.id.bytes).names(lead.id)


# --- rights ---------------------------------------------------------------------------------------


def test_without_the_permission_nothing_is_exported(db: None, anna: Any) -> None:
    nobody = person_who_may("view_lead", name="nobody")
    with pytest.raises(NotExportable, match="export_lead"):
        ask(nobody, "leads", "", "csv")
    with pytest.raises(NotExportable, match="export_person"):
        ask(anna, "leads", "", "csv", is_masked=False, reason="I want to")
    blind = person_who_may("export_lead", name="blind")
    with pytest.raises(NotExportable, match="view_lead"):
        ask(blind, "leads", "", "csv")
    assert not Export.objects.exists()


@pytest.mark.parametrize("reason", ["", "  ", "\u200b", "x" * 201, "two\x00"])
def test_persons_are_exported_for_a_reason_only(chief: Any, reason: str) -> None:
    with pytest.raises(NotExportable):
        ask(chief, "leads", "", "csv", is_masked=False, reason=reason)
    assert not Export.objects.exists()


@pytest.mark.parametrize("lost", ["permission", "staff", "active"])
def test_rights_that_are_gone_when_the_job_starts_fail_the_export(
    chief: Any, source: Source, lost: str
) -> None:
    make_lead(source)
    one = ask(chief, "leads", "", "csv", is_masked=False, reason="Mailing")
    lose(chief, lost)
    run(one)
    assert one.state == "failed"
    assert "chief" in one.trouble
    assert (one.rows_done, ExportChunk.objects.count(), ExportedLeads.objects.count()) == (0, 0, 0)


def lose(user: Any, what: str) -> None:
    """Take somebody's permission to export persons, their place in the staff, or their sign-in."""
    if what == "permission":
        user.user_permissions.remove(Permission.objects.get(codename="export_person"))
    else:
        setattr(user, f"is_{what}", False)
        user.save()


@pytest.mark.parametrize("lost", ["permission", "staff", "active"])
def test_rights_are_checked_at_each_download_which_is_on_record(
    chief: Any, source: Source, lost: str
) -> None:
    one = export(chief, "", is_masked=False, reason="Mailing")
    assert bytes_of(one)
    assert ExportDownload.objects.values_list("export", "by").get() == (one.id, chief.id)
    lose(chief, lost)
    with pytest.raises(exporting.NotAllowed):
        bytes_of(one)
    assert ExportDownload.objects.count() == 1


def test_only_who_asked_for_a_file_fetches_it(anna: Any, chief: Any, source: Source) -> None:
    with pytest.raises(exporting.NotAllowed):
        fetched(export(anna), chief)


def test_a_file_is_gone_after_its_time_and_its_record_stays(
    chief: Any, source: Source, settings: Any
) -> None:
    make_lead(source)
    one = export(chief, "", is_masked=False, reason="Mailing")
    kept = export(chief)
    later = timezone.now() + timedelta(hours=1)
    Export.objects.filter(id=one.id).update(expires_at=later)
    forget(later)
    one.refresh_from_db()
    assert (one.state, one.chunks.count(), kept.chunks.count()) == ("expired", 0, 1)
    assert ExportedLeads.objects.filter(export=one).exists()
    with pytest.raises(exporting.Gone):
        bytes_of(one)


def test_a_file_is_not_given_out_after_its_time_though_nobody_has_deleted_it(
    anna: Any, source: Source
) -> None:
    one = export(anna)
    one.expires_at = timezone.now()
    with pytest.raises(exporting.Gone):
        fetched(one, anna)


def forget(now: datetime) -> None:
    """Run the task that deletes what is over its time."""
    job = Job.objects.create(kind="forget-files-of-exports")
    taken = take("tester", job.id)
    assert taken
    assert taken.lease
    turn = Turn(taken.id, taken.lease, bool, lambda turn: None)
    exporting.forget_files(turn, now)


# --- going on, cancelling -------------------------------------------------------------------------


def interrupted(after: int) -> Any:
    """Return a Turn that is over after so many steps."""

    class Short(Turn):
        left = after

        @property
        def is_over(self) -> bool:
            self.left -= 1
            return self.left <= 0

    return Short


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("is_masked", [True, False])
def test_an_export_that_is_interrupted_all_the_time_is_the_same_file(
    chief: Any,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    name: str,
    is_masked: bool,
) -> None:
    make_hostile(source)
    more: Any = {"is_masked": is_masked, "reason": "Mailing"}
    whole = export(chief, f"cols={ALL}", name, **more)
    monkeypatch.setattr(rows, "rows_at_once", lambda: 5)
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 700)
    monkeypatch.setattr("leadping.jobs.worker.Turn", interrupted(1))
    one = run(ask(chief, "leads", f"cols={ALL}", name, **more), turns=300)
    assert one.state == "done"
    assert Job.objects.get(key=str(one)).attempts <= 1
    assert one.rows_done == whole.rows_done == len(HOSTILE) + 1
    if name in ("csv", "ndjson"):
        assert one.sha256 == whole.sha256
    assert rows_in(one, tmp_path) == rows_in(whole, tmp_path)
    assert set(one.chunks.values_list("stage", flat=True)) == (
        {"file"} if FORMATS[name].is_made else {"rows"}
    )
    if not is_masked:
        kept = ExportedLeads.objects.filter(export=one)
        assert sum(len(row.ids) for row in kept) == 16 * one.rows_done


def test_who_has_lost_the_lease_writes_nothing(anna: Any, source: Source) -> None:
    make_lead(source)
    one = ask(anna, "leads", "", "csv")
    taken = take("tester", Job.objects.get(key=str(one)).id)
    assert taken
    assert taken.lease
    turn = Turn(taken.id, taken.lease, bool, lambda turn: None)
    exporting.begin(one, turn)
    Job.objects.filter(id=taken.id).update(lease="0" * 32)
    with pytest.raises(LeaseLost):
        exporting.work(one, turn)
    assert not ExportChunk.objects.exists()
    assert Export.objects.get().rows_done == 0


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_export_is_cancelled_between_two_pieces(
    anna: Any, source: Source, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make_hostile(source)
    monkeypatch.setattr(rows, "rows_at_once", lambda: 5)
    one = ask(anna, "leads", "", name)
    real = Turn.rest

    def rest(turn: Turn) -> None:
        if Export.objects.under_way().filter(id=one.id, rows_done__gte=10).exists():
            cancel(one)
        real(turn)

    monkeypatch.setattr(Turn, "rest", rest)
    run(one)
    assert (one.state, one.rows_done) == ("cancelled", 10)
    monkeypatch.undo()
    forget(timezone.now())
    assert not one.chunks.exists()
    with pytest.raises(NotExportable):
        cancel(one)
    with pytest.raises(exporting.Gone):
        bytes_of(one)


def test_an_export_that_waits_is_cancelled_at_once(anna: Any, source: Source) -> None:
    one = ask(anna, "leads", "", "csv")
    cancel(one)
    assert run(one).state == "cancelled"


def test_each_piece_is_one_statement_and_one_transaction(
    chief: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "rows_at_once", lambda: 5)
    counts = []
    for wanted in (10, 20):
        while Lead.objects.count() < wanted:
            make_lead(source, Lead.objects.count())
        one = ask(chief, "leads", "", "csv", is_masked=False, reason="Mailing")
        with CaptureQueriesContext(connection) as context:
            run(one, turns=1)
        assert one.state == "done"
        counts.append(len(context))
    # Of a piece: where it begins, the rows (on PostgreSQL beside all this), the chunk, who goes
    # out, the progress, the lease, whether to leave off; and begin and end of the step.
    own = 8 if connection.vendor == "postgresql" else 9
    assert counts[1] - counts[0] == 2 * own


# --- how many -------------------------------------------------------------------------------------


def test_how_many_rows_there_will_be_is_told_exactly_if_they_are_few(
    anna: Any, source: Source
) -> None:
    for number in range(3):
        make_lead(source, number)
    kind = exports.KINDS["leads"]
    assert str(kind.estimate("", anna)) == "3"
    assert str(kind.estimate("state=GU", anna)) == "0"


def test_how_many_rows_there_will_be_is_told_about_if_they_are_many(
    anna: Any, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        make_lead(source, number)
    monkeypatch.setattr(exporting, "COUNTED_AT_MOST", 5)
    monkeypatch.setattr(exporting, "SQLITE_COUNTED_AT_MOST", 5)
    found = str(exports.KINDS["leads"].estimate("", anna))
    assert found.startswith("about " if connection.vendor == "postgresql" else "more than 5")


# --- other kinds ----------------------------------------------------------------------------------


class Report(exports.Kind):
    """A report of two rows, as another module registers it."""

    name, label = "report", "Report"

    def fields(self, query: str, *, is_masked: bool) -> list[Field]:
        return [Field("day", Type.DATE), Field("leads", Type.NUMBER), Field("share", Type.NUMBER),
                Field("cost", Type.PRICE), Field("at", Type.MOMENT), Field("source")]  # fmt: skip

    def rows(self, query: str) -> Iterator[Sequence[Any]]:
        yield date(2026, 11, 29), 12345, Decimal("0.25"), Decimal(3), NOW, "=Sunrise"
        yield date(2026, 11, 30), 0, None, None, None, ""


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_report_is_exported_likewise(
    anna: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, name: str
) -> None:
    monkeypatch.setitem(exports.KINDS, "report", Report())
    one = run(ask(anna, "report", "days=2", name, is_masked=False))
    assert (one.state, one.rows_done, one.estimate, one.is_masked) == ("done", 2, 2, True)
    first = ["2026-11-29", "12345", "0.25", "3.00", "2026-11-29T19:47:34.123Z", "=Sunrise"]
    if name in ("csv", "xlsx"):
        first[-1] = "'=Sunrise"
    assert [list(row.values()) for row in rows_in(one, tmp_path)] == [
        first,
        ["2026-11-30", "0", "", "", "", ""],
    ]


# --- writers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("+15125550137", "+15125550137"),
        ("+1512•••••37", "+1512•••••37"),
        ("+44•••••••37", "+44•••••••37"),
        ("+1•••", "+1•••"),
        ("+15125550137\n=1", "'+15125550137\n=1"),
        ("+1512•••••37*2", "'+1512•••••37*2"),
        ("+05125550137", "'+05125550137"),
        ("+1512555013712345", "'+1512555013712345"),
        ("+١٥١٢٥٥٥٠١٣٧", "'+١٥١٢٥٥٥٠١٣٧"),
        ("-1", "'-1"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("", ""),
    ],
)
def test_what_may_begin_a_formula_is_made_a_text(text: str, wanted: str) -> None:
    assert files.harmless(text) == wanted
    for cells in ([text], ["a", text, "b"], [text, "=1"]):
        found = read_csv(Csv([Field("x")]).head() + Csv([Field("x")]).batch([cells]))
        assert found[cells.index(text)]["x"] == wanted


def test_a_column_may_be_written_already_or_not() -> None:
    fields = [Field("a", Type.PRICE), Field("b", Type.MOMENT), Field("c", Type.BOOL)]
    plain: Any = [[Decimal("1.5"), None], [NOW, None], [True, None]]
    text = [["1.50", ""], ["2026-11-29T19:47:34.123Z", ""], ["true", ""]]
    for writer in (Csv, Ndjson):
        assert writer(fields).batch(plain) == writer(fields, is_written=True).batch(text)
    assert Ndjson(fields).batch(plain).decode() == (
        '{"a":1.50,"b":"2026-11-29T19:47:34.123Z","c":true}\n{"a":null,"b":null,"c":null}\n'
    )


def test_what_a_column_is_made_of_is_remembered_while_it_is_little() -> None:
    made: list[int] = []

    def double(value: int) -> int:
        made.append(value)
        return value * 2

    kept, fresh = files.remembering(double), files.remembering(double, is_kept=False)
    for column in (kept, fresh):
        made.clear()
        assert column([1, 1, 2]) == column([1, 1, 2]) == [2, 2, 4]
        assert made == ([1, 2] if column is kept else [1, 2, 1, 2])
