"""Rows as files: CSV and NDJSON as they come, XLSX and Parquet from rows that are there already.

A batch of rows comes column by column, which is how Python is fast. A cell is a text, a Decimal, a
datetime, a date, a bool or None; of a number, moment or date it may be as it is written already.
What a spreadsheet would run as a formula is made a text. Source: contract §4; OWASP, CSV injection.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from leads.serializers import decimal_text, price_text, time_text

Cells = Sequence[Any]
# So many values are remembered with what is made of them; of a column with more, none.
REMEMBERED = 5_000
SHEET_ROWS = 1_048_576  # with that of the headers; more than that no sheet has
XLSX_TEXT_MAX_LENGTH = 32_767
XLSX_CUT = "…"
ROWS_AT_ONCE = 2000


# What parts values where PostgreSQL hands a column of rows over in one piece. None of ours has it.
MARK = "\x1f"


class Together(list[str]):
    """The texts of a column, and all of them in one piece, each after a mark."""

    __slots__ = ("whole",)

    def __init__(self, joined: str) -> None:
        super().__init__(joined.split(MARK))
        self.whole = MARK + joined


class Type(Enum):
    """What a column holds; a price is written as the wire has it, with two to four decimals."""

    TEXT = "text"
    NUMBER = "number"
    PRICE = "price"
    MOMENT = "moment"
    DATE = "date"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a file: its header and what it holds.

    `is_ours`: texts of ours, that need no quotes and are no formulas.
    """

    name: str
    type: Type = Type.TEXT
    is_ours: bool = False


def written(kind: Type, value: Any) -> str:
    """Return a value as files and pages write it, "" for none."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if kind is Type.MOMENT:
        return time_text(value)
    if kind is Type.BOOL:
        return "true" if value else "false"
    if kind is Type.PRICE:
        return price_text(Decimal(value)) or ""
    if kind is Type.NUMBER:
        return decimal_text(Decimal(value)) or ""
    return str(value)


class Memory(dict[Any, Any]):
    """What a function makes of values, each made once; to be looked up as in a dictionary."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, key: Any) -> Any:
        made = self[key] = self.make(key)
        return made


def remembering(make: Callable[[Any], Any], *, is_kept: bool = True) -> Callable[[Cells], Cells]:
    """Return what makes a column of another, each value once as long as they are few.

    Not `is_kept`: from one column to the next nothing is remembered, for it names persons.
    """
    memory = Memory(make)
    is_of_use = True

    def made(cells: Cells) -> Cells:
        nonlocal is_of_use
        if not is_of_use:
            return list(map(make, cells))
        found = list(map(memory.__getitem__, cells))
        is_of_use = len(memory) <= max(REMEMBERED, len(cells) // 2)
        if not (is_kept and is_of_use):
            memory.clear()
        return found

    return made


# --- what a spreadsheet would run -----------------------------------------------------------------

# `=`, `+`, `-`, `@`, also in full width, tab and line ends; but not a phone in E.164, nor one that
# is masked, of which no formula can be made.
BEGINS_FORMULA = re.compile(
    r"(?=[=+\-@\t\r\n＝＋－＠])(?!\+[1-9]\d{6,14}(?:\0|\Z)|\+\d{1,4}•+\d{0,2}(?:\0|\Z))",  # noqa: RUF001
    re.ASCII,
)
# The same after what parts the texts of a column; by that alone, which is looked for fastest.
IN_COLUMN, IN_WHOLE = (
    re.compile(mark + BEGINS_FORMULA.pattern.replace(r"\0", mark), re.ASCII)
    for mark in ("\0", MARK)
)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with an apostrophe if need be."""
    return f"'{text}" if BEGINS_FORMULA.match(text) else text


# --- CSV and NDJSON -------------------------------------------------------------------------------


def as_they_are(cells: Cells) -> Cells:
    return cells


class Csv:
    """Rows as CSV (RFC 4180) in UTF-8; with `is_written`, all cells are texts as files have them.

    What has to be quoted is looked for in whole columns: five times as fast as `csv.writer`, which
    looks at each character.
    """

    def __init__(self, fields: Sequence[Field], *, is_written: bool = False) -> None:
        self.fields = fields
        self.columns = [self.column(one, is_written) for one in fields]

    def column(self, field: Field, is_written: bool) -> Callable[[Cells], Cells]:
        """Return what makes of a column what stands between the commas."""
        if field.type is Type.TEXT and not field.is_ours:
            return texts_as_csv
        if is_written or field.is_ours:
            return as_they_are
        return remembering(lambda value: written(field.type, value))

    def head(self) -> bytes:
        return self.lines([texts_as_csv([one.name]) for one in self.fields])

    def batch(self, batch: Sequence[Cells]) -> bytes:
        """Return rows that come column by column."""
        return self.lines([make(cells) for make, cells in zip(self.columns, batch, strict=True)])

    def lines(self, columns: Sequence[Cells]) -> bytes:
        if len(columns) == 1:  # an empty line would be no row
            columns = [[one or '""' for one in columns[0]]]
        lines = "\r\n".join(map(",".join, zip(*columns, strict=True)))
        return f"{lines}\r\n".encode() if lines else b""


def texts_as_csv(cells: Cells) -> Cells:
    """Return a column of texts, each harmless and quoted if need be."""
    if isinstance(cells, Together):
        whole, begins = cells.whole, IN_WHOLE
    else:  # no text holds NUL: PostgreSQL has none, and what is posted with one is refused
        whole, begins = "\0" + "\0".join(cells), IN_COLUMN
    if begins.search(whole):
        cells = list(map(harmless, cells))
    if "," in whole or '"' in whole or "\n" in whole or "\r" in whole:
        cells = list(map(quoted, cells))
    return cells


def quoted(text: str) -> str:
    """Return a text for between the commas."""
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


class Ndjson:
    """Rows as JSON objects, one a line, in UTF-8: numbers are numbers, what is missing is null."""

    def __init__(self, fields: Sequence[Field], *, is_written: bool = False) -> None:
        self.fields = fields
        self.columns = [self.column(one, is_written) for one in fields]
        names = ",".join(f"{encode_basestring(one.name)}:%s" for one in fields)
        self.line = "{" + names + "}\n"

    def column(self, field: Field, is_written: bool) -> Callable[[Cells], Cells]:
        """Return what makes JSON of a column."""
        is_bare = field.type in (Type.NUMBER, Type.PRICE, Type.BOOL)
        if field.type is Type.TEXT or (is_written and not is_bare):
            return texts_as_json

        def as_json(value: Any) -> str:
            text = written(field.type, value)
            if not text:
                return "null"
            return text if is_bare else f'"{text}"'

        return remembering(as_json)

    def head(self) -> bytes:
        return b""

    def batch(self, batch: Sequence[Cells]) -> bytes:
        """Return rows that come column by column."""
        columns = [make(cells) for make, cells in zip(self.columns, batch, strict=True)]
        return "".join(map(self.line.__mod__, zip(*columns, strict=True))).encode()


def texts_as_json(cells: Cells) -> Cells:
    """Return a column of texts as JSON, null for those that are empty."""
    return [encode_basestring(one) if one else "null" for one in cells]


# --- XLSX and Parquet -----------------------------------------------------------------------------


def lines_of(source: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of an NDJSON file, some thousand at a time; numbers as Decimals."""
    with source.open(encoding="utf-8", newline="\n") as file:
        while lines := list(islice(file, ROWS_AT_ONCE)):
            yield [json.loads(one, parse_float=Decimal, parse_int=Decimal) for one in lines]


EPOCH = datetime(1899, 12, 30)  # of spreadsheets
DAY_SECONDS = 86_400


class Stopped(Exception):
    """The file is not wanted any more, or not by this process."""


def write_xlsx(
    source: Path, target: Path, fields: Sequence[Field], go_on: Callable[[], bool]
) -> None:
    """Make a spreadsheet of an NDJSON file; raises Stopped once it is not to `go_on`.

    Texts are texts, never formulas or links; moments are in UTC. A sheet that is full is followed
    by the next one.
    """
    # By the worker that needs it: it takes longer to load than all of leadping's own modules.
    xlsxwriter: Any = import_module("xlsxwriter")
    book = xlsxwriter.Workbook(
        target,
        {
            "constant_memory": True,
            "tmpdir": str(target.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "use_zip64": True,
        },
    )
    bold = book.add_format({"bold": True})
    formats = {
        Type.MOMENT: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}),
        Type.DATE: book.add_format({"num_format": "yyyy-mm-dd"}),
    }
    sheet, row = begun(book, fields, bold), 1
    for lines in lines_of(source):
        if not go_on():
            raise Stopped
        for line in lines:
            if row == SHEET_ROWS:
                sheet, row = begun(book, fields, bold), 1
            for at, field in enumerate(fields):
                value = line[field.name]
                if value is not None:
                    put(sheet, row, at, field.type, value, formats.get(field.type))
            row += 1
    book.close()


def begun(book: Any, fields: Sequence[Field], bold: Any) -> Any:
    """Return the next sheet of a spreadsheet, with its headers."""
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    for at, field in enumerate(fields):
        sheet.write_string(0, at, harmless(field.name), bold)
    return sheet


def put(sheet: Any, row: int, at: int, kind: Type, value: Any, shown: Any) -> None:
    """Write one cell of a spreadsheet."""
    if kind is Type.TEXT:
        text = harmless(value)
        if len(text) > XLSX_TEXT_MAX_LENGTH:
            text = text[: XLSX_TEXT_MAX_LENGTH - 1] + XLSX_CUT
        sheet.write_string(row, at, text)
    elif kind is Type.BOOL:
        sheet.write_boolean(row, at, value)
    elif kind in (Type.MOMENT, Type.DATE):
        since = datetime.fromisoformat(value).replace(tzinfo=None) - EPOCH
        sheet.write_number(row, at, since.total_seconds() / DAY_SECONDS, shown)
    else:
        sheet.write_number(row, at, float(value))


PARQUET_TYPES = {
    Type.TEXT: "VARCHAR",
    Type.NUMBER: "DECIMAL(18, 4)",
    Type.PRICE: "DECIMAL(18, 4)",
    Type.MOMENT: "TIMESTAMPTZ",
    Type.DATE: "DATE",
    Type.BOOL: "BOOLEAN",
}
PARQUET_MEMORY = "256MB"
# DuckDB holds so many rows at a time: with its usual 122,880 it would take more memory than writing
# the NDJSON did that the file is made of; the file is 2 % larger for it.
PARQUET_GROUP = 20_480
NO_PARQUET = "Parquet needs DuckDB on the server: pip install -r requirements-parquet.txt."


def has_parquet() -> bool:
    """Say whether Parquet can be written here."""
    return find_spec("duckdb") is not None


def write_parquet(
    source: Path, target: Path, fields: Sequence[Field], go_on: Callable[[], bool]
) -> None:
    """Make a Parquet file of an NDJSON file, every column of its type."""
    duckdb: Any = import_module("duckdb")
    quoted = {one.name: one.name.replace("'", "''") for one in fields}
    columns = ", ".join(f"'{quoted[one.name]}': '{PARQUET_TYPES[one.type]}'" for one in fields)
    with duckdb.connect(
        config={
            "threads": 1,
            "memory_limit": PARQUET_MEMORY,
            "temp_directory": str(target.parent),
            "autoinstall_known_extensions": False,
        }
    ) as session:
        session.execute("SET TimeZone = 'UTC'")
        session.execute("SET preserve_insertion_order = true")
        session.execute(
            f"COPY (SELECT * FROM read_json({literal(source)}, format = 'newline_delimited', "
            f"columns = {{{columns}}})) TO {literal(target)} "
            f"(FORMAT parquet, ROW_GROUP_SIZE {PARQUET_GROUP})"
        )


def literal(path: Path) -> str:
    """Return a path as a text of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


# --- the formats ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files: its name, its ending, its type on the web.

    `spool` writes the rows as they come; that is the file itself unless one is to `make` of it.
    """

    name: str
    label: str
    media_type: str
    spool: type[Csv] | type[Ndjson]
    make: Callable[[Path, Path, Sequence[Field], Callable[[], bool]], None] | None = None
    trouble: Callable[[], str] = str

    @property
    def is_made(self) -> bool:
        return self.make is not None


FORMATS = {
    one.name: one
    for one in (
        Format("csv", "CSV", "text/csv; charset=utf-8", Csv),
        Format("ndjson", "NDJSON", "application/x-ndjson", Ndjson),
        Format(
            "xlsx",
            "Excel (XLSX)",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Ndjson,
            write_xlsx,
        ),
        Format(
            "parquet",
            "Parquet",
            "application/vnd.apache.parquet",
            Ndjson,
            write_parquet,
            trouble=lambda: "" if has_parquet() else NO_PARQUET,
        ),
    )
}
