"""The file of an import as rows: where in it stands what, and whom each row names.

Nothing of a file is passed over in silence: each line is in a row, empty or told as bad, and a file
in which it is not plain which columns hold phones and e-mail addresses is not taken.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from django.utils import timezone

from leads import normalize
from leads.imports import SuppressionImport
from leads.suppressions import EMAIL_CHANNELS, PHONE_CHANNELS
from sources.names import fold

CHUNK_BYTES = 256 * 1024
LINE_MAX_CHARACTERS = 64 * 1024
# A cell in quotes may have line ends in it; one with more is a quote that was never closed.
RECORD_MAX_LINES = 20
CELL_MAX_LENGTH = 200
# By so many rows it is told what stands in which column.
SAMPLE_ROWS = 200

PHONE_WORDS = ("phone", "mobile", "cell", "telephone", "msisdn")
PHONES = frozenset(("number", "tel", *PHONE_WORDS))
EMAILS = frozenset("email emailaddress mail".split())
SINCES = frozenset(
    "since date optoutdate optedoutat unsubscribedat suppressedat timestamp createdat".split()
)
REASONS = frozenset("reason note notes comment comments".split())
NOT_A_LETTER = re.compile(r"[\W_]+")
AREA_CODE, LOCAL_NUMBER = re.compile(r"[0-9]{3}"), re.compile(r"[0-9]{7}")
AMERICAN_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
DELIMITERS = ",;\t|"
LINE_END = ("\n", "\r")
# What stands for bytes that are no text: half of a surrogate pair in UTF-8, this in UTF-16.
NOT_DECODED = re.compile("[\udc80-\udcff\ufffd]")
NOT_UTF_8 = "This holds bytes that are not text in UTF-8."


class NotTaken(Exception):
    """The file cannot be imported."""


class BadCells(ValueError):
    """A row cannot be taken; the text says why."""


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

    def __str__(self) -> str:
        named = {
            "phone": self.phone,
            "rest of the phone": self.local,
            "e-mail": self.email,
            "since": self.since,
            "reason": self.reason,
        }
        told = [f"{name}: column {at + 1}" for name, at in named.items() if at is not None]
        return ", ".join(told)


# A row: the line at which it begins, its cells, and why it is bad, if that is known already.
Row = tuple[int, list[str], str]


class Sheet:
    """The rows of the file of an import, and how to read them."""

    def __init__(self, one: SuppressionImport) -> None:
        self.one = one
        self.layout = Layout()
        self.needs_phone = one.channel not in EMAIL_CHANNELS
        self.needs_email = one.channel not in PHONE_CHANNELS
        self.latest = timezone.now()

    def rows(self) -> Iterator[Row]:
        """Yield each row that is not empty; raises NotTaken for no list at all."""
        rows = records(lines_of(self.one))
        sample = list(islice(rows, SAMPLE_ROWS))
        self.layout = layout_of([cells for _, cells, why in sample if not why])
        self.check_channel()
        is_header = self.layout.has_header
        for row in sample:
            if is_header and not row[2]:
                is_header = False
            else:
                yield row
        yield from rows

    def check_channel(self) -> None:
        """Raise NotTaken if no row can have what the channel needs."""
        if self.needs_phone and self.layout.phone is None:
            raise NotTaken("No column holds phones, which this channel needs.")
        if self.needs_email and self.layout.email is None:
            raise NotTaken("No column holds e-mail addresses, which this channel needs.")

    def person(self, row: Row) -> Person:
        """Return whom a row names, normalised as every value is; raises BadCells."""
        _, cells, why = row
        if why:
            raise BadCells(why)
        layout = self.layout

        def cell(index: int | None) -> str:
            return cells[index].strip() if index is not None and index < len(cells) else ""

        texts = [cell(layout.phone) + cell(layout.local), cell(layout.email), cell(layout.reason)]
        if any(map(NOT_DECODED.search, texts)):
            raise BadCells(NOT_UTF_8)
        try:
            phone, email, reason = map(normalize.plain_text, texts)
            phone = normalize.phone(phone) if phone else ""
            email = normalize.email_key(normalize.email(email)) if email else ""
        except normalize.Unacceptable as error:
            raise BadCells(error.sentence) from None
        if self.needs_phone and not phone:
            raise BadCells("There is no phone, which this channel needs.")
        if self.needs_email and not email:
            raise BadCells("There is no e-mail address, which this channel needs.")
        if not phone and not email:
            raise BadCells("There is no phone and no e-mail address.")
        return Person(phone, email, self.moment(cell(layout.since)), reason)

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


# --- from bytes to cells --------------------------------------------------------------------------


def lines_of(one: SuppressionImport) -> Iterator[str]:
    """Yield the lines of the file of an import, with their ends; an endless one in pieces."""
    first = one.chunks.filter(number=0).values_list("data", flat=True).first() or b""
    is_utf_16 = bytes(first[:2]) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = io.TextIOWrapper(
        io.BufferedReader(Chunks(one), CHUNK_BYTES),
        encoding="utf-16" if is_utf_16 else "utf-8-sig",
        errors="replace" if is_utf_16 else "surrogateescape",
        newline="",
    )
    return iter(lambda: text.readline(LINE_MAX_CHARACTERS), "")


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


def records(lines: Iterator[str]) -> Iterator[Row]:
    """Yield the rows that lines of CSV make, each with the line at which it begins.

    What cannot be told apart is a bad row of one line, and the next line is looked at by itself.
    """
    numbered = whole(lines)
    waiting: deque[tuple[int, str]] = deque()
    delimiter = ""
    while True:
        number, line = waiting.popleft() if waiting else next(numbered, (0, ""))
        if not number:
            return
        if not line.strip():
            continue
        if not line.endswith(LINE_END) and len(line) >= LINE_MAX_CHARACTERS:
            yield number, [line], "This line is too long."
            continue
        delimiter = delimiter or max(DELIMITERS, key=line.count)
        if '"' not in line:
            cells: list[str] | None = line.rstrip("\r\n").split(delimiter)
        else:
            taken = [(number, line)]
            cells = quoted(taken, waiting, numbered, delimiter)
            if cells is None:
                waiting.extendleft(reversed(taken[1:]))
                yield number, [line], "A quote is opened and not closed."
                continue
        if cells and any(cell.strip() for cell in cells):
            yield number, cells, ""


def whole(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers; of one that comes in pieces only the first."""
    number = 0
    is_in_the_middle = False
    for line in lines:
        if not is_in_the_middle:
            number += 1
            yield number, line
        is_in_the_middle = not line.endswith(LINE_END)


def quoted(
    taken: list[tuple[int, str]],
    waiting: deque[tuple[int, str]],
    numbered: Iterator[tuple[int, str]],
    delimiter: str,
) -> list[str] | None:
    """Return the cells of a row with quotes, None if one of them is not closed in good time.

    `taken` begins with its first line; the lines that belong to it are added.
    """
    while True:
        text = "".join(line for _, line in taken)
        try:
            cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error:
            return None
        # In a quote that is open the end of the line belongs to the cell.
        is_open = bool(cells) and cells[-1].endswith(LINE_END)
        if not is_open:
            return cells
        following = waiting.popleft() if waiting else next(numbered, None)
        if following is None or len(taken) == RECORD_MAX_LINES:
            if following:
                waiting.appendleft(following)
            return None
        taken.append(following)


# --- what stands where ----------------------------------------------------------------------------


def layout_of(sample: list[list[str]]) -> Layout:
    """Return the layout of a file by its first rows, of which the first may name the columns.

    Raises NotTaken if it is not plain which columns hold phones and e-mail addresses.
    """
    if not sample:
        raise NotTaken("The file has no rows.")
    first, rest = [cell.strip() for cell in sample[0]], sample[1:]
    if len(first) == 2 and AREA_CODE.fullmatch(first[0]) and LOCAL_NUMBER.fullmatch(first[1]):
        return Layout(phone=0, local=1)
    names = [NOT_A_LETTER.sub("", fold(cell)) for cell in first]
    named_phones = [at for at, name in enumerate(names) if is_name_of_phone(name)]
    named_emails = [at for at, name in enumerate(names) if name in EMAILS]
    is_first_a_person = any("@" in cell or is_phone(cell) for cell in first)
    has_header = bool(named_phones or named_emails) or (bool(rest) and not is_first_a_person)
    people = rest if has_header else sample
    width = max(map(len, sample))
    held_phones = [at for at in range(width) if is_column_of(people, at, is_phone)]
    held_emails = [at for at in range(width) if is_column_of(people, at, is_email)]
    phone = the_one("phones", named_phones, held_phones)
    email = the_one("e-mail addresses", named_emails, held_emails)
    if phone is None and email is None:
        raise NotTaken(
            f"None of the {width} columns is called phone or email, and none holds such values."
        )
    if not has_header:
        return Layout(phone, None, email)

    def called(wanted: frozenset[str]) -> int | None:
        return next((at for at, name in enumerate(names) if name in wanted), None)

    return Layout(phone, None, email, called(SINCES), called(REASONS), has_header=True)


def is_name_of_phone(name: str) -> bool:
    """Say whether a column of this name holds phones: its type is none."""
    return name in PHONES or name.startswith(PHONE_WORDS) or name.endswith(PHONE_WORDS)


def the_one(what: str, named: list[int], held: list[int]) -> int | None:
    """Return the column that is called so or else holds such values; raises NotTaken for several.

    Whoever stands in another one would be passed over.
    """
    # Of several that are called so, those that are empty are no matter.
    found = sorted({*held, *(named if not held or len(named) == 1 else [])})
    if len(found) > 1:
        told = " and ".join(str(at + 1) for at in found)
        raise NotTaken(
            f"Several columns hold {what}: {told}. Leave one of them, and import the others by "
            "themselves."
        )
    return found[0] if found else None


def is_column_of(rows: list[list[str]], at: int, is_one: Callable[[str], bool]) -> bool:
    """Say whether a column holds such values, more often than not."""
    cells = [row[at].strip() for row in rows if at < len(row) and row[at].strip()]
    return sum(map(is_one, cells)) * 2 > len(cells)


def is_phone(cell: str) -> bool:
    """Say whether a cell holds a phone number, of at least ten digits."""
    if sum(one.isdigit() for one in cell) < 10:
        return False
    try:
        return bool(normalize.phone(normalize.plain_text(cell)))
    except normalize.Unacceptable:
        return False


def is_email(cell: str) -> bool:
    """Say whether a cell looks like an e-mail address."""
    return "@" in cell


def printable(cell: str) -> str:
    """Return a cell of a bad row as it can be kept, not too long."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", cell[:CELL_MAX_LENGTH])
