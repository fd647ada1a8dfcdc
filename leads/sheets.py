"""The file of an import as rows: where in it stands what, and whom each row names."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone

from leads import normalize
from leads.imports import SuppressionImport
from leads.suppressions import EMAIL_CHANNELS, PHONE_CHANNELS
from sources.names import fold

CHUNK_BYTES = 256 * 1024
LINE_MAX_CHARACTERS = 64 * 1024


class NotTaken(Exception):
    """The file cannot be imported."""


class BadCells(ValueError):
    """A row cannot be taken; the text says why."""


PHONES = frozenset(
    "phone phonenumber phoneno number mobile mobilephone mobilenumber cell cellphone telephone "
    "telephonenumber tel msisdn".split()
)
EMAILS = frozenset("email emailaddress mail".split())
SINCES = frozenset(
    "since date optoutdate optedoutat unsubscribedat suppressedat timestamp createdat".split()
)
REASONS = frozenset("reason note notes comment comments".split())
CELL_MAX_LENGTH = 200
NOT_A_LETTER = re.compile(r"[\W_]+")
AREA_CODE, LOCAL_NUMBER = re.compile(r"[0-9]{3}"), re.compile(r"[0-9]{7}")
AMERICAN_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
DELIMITERS = ",;\t|"


class Person(NamedTuple):
    """What a good row says, normalised."""

    phone: str = ""
    email_key: str = ""
    since: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """In which columns of a file stands what, counted from 0, None for what is not there.

    `local`: the second part of a phone whose area code stands in `phone`, as in the files of the
    national registry.
    """

    phone: int | None = None
    local: int | None = None
    email: int | None = None
    since: int | None = None
    reason: int | None = None
    has_header: bool = False


class Sheet:
    """The rows of the file of an import, and how to read them."""

    def __init__(self, one: SuppressionImport) -> None:
        self.one = one
        self.layout = Layout()
        self.is_phone_needed = one.channel not in EMAIL_CHANNELS
        self.is_email_needed = one.channel not in PHONE_CHANNELS
        self.latest = timezone.now()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not empty with its line; raises NotTaken for no list at all."""
        lines = lines_of(self.one)
        first = next(lines, "")
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(again(first, lines), delimiter=delimiter)
        is_first = True
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = ["\0"]  # told below as what cannot be read
            if not any(cell.strip() for cell in cells):
                continue
            if is_first:
                is_first = False
                self.layout = layout_of(cells)
                if self.layout.has_header:
                    continue
            yield reader.line_num, cells

    def person(self, cells: list[str]) -> Person:
        """Return whom a row names, normalised as every value is; raises BadCells."""
        layout = self.layout

        def cell(index: int | None) -> str:
            return cells[index].strip() if index is not None and index < len(cells) else ""

        try:
            phone = cell(layout.phone)
            if layout.local is not None:
                phone += cell(layout.local)
            phone = normalize.phone(normalize.plain_text(phone)) if phone else ""
            email = cell(layout.email)
            email = normalize.email(normalize.plain_text(email)) if email else ""
            reason = normalize.plain_text(cell(layout.reason))
        except normalize.Unacceptable as error:
            raise BadCells(error.sentence) from None
        except UnicodeError:
            raise BadCells("This holds bytes that are not UTF-8.") from None
        if any("\udc80" <= one <= "\udcff" for one in email + reason):
            raise BadCells("This holds bytes that are not UTF-8.")
        if self.is_phone_needed and not phone:
            raise BadCells("There is no phone, which this channel needs.")
        if self.is_email_needed and not email:
            raise BadCells("There is no e-mail address, which this channel needs.")
        if not phone and not email:
            raise BadCells("There is no phone and no e-mail address.")
        since = self.moment(cell(layout.since))
        return Person(phone, normalize.email_key(email), since, reason)

    def moment(self, text: str) -> datetime | None:
        """Return when a person said so, None for a blank cell; raises BadCells.

        A date is the beginning of its day in UTC.
        """
        if not text:
            return None
        try:
            if american := AMERICAN_DATE.fullmatch(text):
                month, day, year = map(int, american.groups())
                at = datetime(year, month, day, tzinfo=UTC)
            else:
                at = datetime.fromisoformat(text)
        except ValueError:
            raise BadCells("The date is none: write it as 2026-11-25 or 11/25/2026.") from None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        if at.year < 1990 or at > self.latest:
            raise BadCells("The date lies in the future, or before 1990.")
        return at


def lines_of(one: SuppressionImport) -> Iterator[str]:
    """Yield the lines of the file of an import, with their ends; an endless one in pieces."""
    text = io.TextIOWrapper(
        io.BufferedReader(Chunks(one), CHUNK_BYTES),
        encoding=encoding_of(one),
        errors="surrogateescape",
        newline="",
    )
    return iter(lambda: text.readline(LINE_MAX_CHARACTERS), "")


def encoding_of(one: SuppressionImport) -> str:
    """Return the encoding of a file: UTF-8, unless it begins as UTF-16 does."""
    first = one.chunks.filter(number=0).values_list("data", flat=True).first() or b""
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if bytes(first[:2]) in marks else "utf-8-sig"


class Chunks(io.RawIOBase):
    """The file of an import, read from its pieces."""

    def __init__(self, one: SuppressionImport) -> None:
        self.one = one
        self.number = 0
        self.left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left:
            rows = self.one.chunks.filter(number=self.number)
            self.left = bytes(rows.values_list("data", flat=True).first() or b"")
            self.number += 1
        size = min(len(buffer), len(self.left))
        buffer[:size], self.left = self.left[:size], self.left[size:]
        return size


def again(first: str, rest: Iterator[str]) -> Iterator[str]:
    """Yield a line that was read already, and then the rest."""
    if first:
        yield first
    yield from rest


def layout_of(first: list[str]) -> Layout:
    """Return the layout of a file by its first row, which may be a header or a person.

    Raises NotTaken if no column of it can be a phone or an e-mail.
    """
    names = [NOT_A_LETTER.sub("", fold(cell)) for cell in first]

    def named(wanted: frozenset[str]) -> int | None:
        return next((at for at, name in enumerate(names) if name in wanted), None)

    phone, email = named(PHONES), named(EMAILS)
    if phone is not None or email is not None:
        return Layout(
            phone, None, email, since=named(SINCES), reason=named(REASONS), has_header=True
        )
    cells = [cell.strip() for cell in first]
    if len(cells) == 2 and AREA_CODE.fullmatch(cells[0]) and LOCAL_NUMBER.fullmatch(cells[1]):
        return Layout(phone=0, local=1)
    phone = next((at for at, cell in enumerate(cells) if is_phone(cell)), None)
    email = next((at for at, cell in enumerate(cells) if "@" in cell), None)
    if phone is None and email is None:
        raise NotTaken(
            f"None of the {len(first)} columns of the first row is called phone or email, and none "
            "holds such a value."
        )
    return Layout(phone=phone, email=email)


def is_phone(cell: str) -> bool:
    """Say whether a cell holds a phone number."""
    try:
        return bool(normalize.phone(normalize.plain_text(cell)))
    except normalize.Unacceptable:
        return False


def printable(cell: str) -> str:
    """Return a cell of a bad row as it can be kept, not too long."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", cell[:CELL_MAX_LENGTH])
