"""The members of a JSON body, read by type; every fault is noted, not only the first.

Names are matched as at intake: without regard to case, `_` and `-`. Null and blank are absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from intake.bodies import Number
from intake.fields import is_blank
from intake.problems import Fault, Problem, invalid_lead
from leads import normalize
from sources.names import fold

WHOLE = re.compile(r"-?[0-9]+")
LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029]")
NOT_TEXT = "This must be a text."
NOT_LIST = "This must be an array of texts."


class Members:
    """An object of a body. What is wrong is added to `faults`; `check` raises them all at once."""

    def __init__(
        self, sent: Mapping[str, Any], path: tuple[str, ...] = (), faults: list[Fault] | None = None
    ) -> None:
        self.sent = sent
        self.path = path
        self.faults: list[Fault] = [] if faults is None else faults
        self.by_name = {fold(name): name for name in sent}
        self.known: set[str] = set()

    def fault(self, name: str, code: str, sentence: str) -> None:
        """Note what is wrong with a member."""
        named = self.by_name.get(fold(name), name)
        self.faults.append(Fault((*self.path, named), code, sentence))

    def check(self, code: str = "invalid-request") -> None:
        """Raise Problem with all faults, if there is one."""
        if self.faults:
            raise self.problem(code)

    def problem(self, code: str = "invalid-request") -> Problem:
        """Return the problem with all faults."""
        return invalid_lead(self.faults, code)

    def raw(self, name: str) -> Any:
        """Return a member as it was sent, None if it is absent or blank."""
        key = fold(name)
        self.known.add(key)
        value = self.sent[self.by_name[key]] if key in self.by_name else None
        return None if is_blank(value) else value

    def has(self, name: str) -> bool:
        """Say whether a member was sent, blank or not."""
        return fold(name) in self.by_name

    def ignored(self) -> list[str]:
        """Return the names of members that nobody has asked for."""
        return [sent for key, sent in self.by_name.items() if key not in self.known]

    def is_emptied(self, name: str) -> bool:
        """Say whether a member was sent as blanks, which where it matters is to empty it."""
        self.known.add(fold(name))
        key = fold(name)
        sent = self.sent[self.by_name[key]] if key in self.by_name else None
        return sent is not None and is_blank(sent)

    def text(
        self, name: str, at_most: int, cleaned: Callable[[str], str] = normalize.plain_text
    ) -> str | None:
        """Return a text, or a number as its characters; None if it is absent or at fault."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fault(name, "invalid-type", NOT_TEXT)
            return None
        try:
            text = cleaned(value)
        except normalize.Unacceptable as error:
            self.fault(name, error.code, error.sentence)
            return None
        if len(text) > at_most:
            self.fault(name, "too-long", f"This may have at most {at_most} characters.")
            return None
        return text or None

    def boolean(self, name: str) -> bool | None:
        """Return true or false; None if it is absent or at fault."""
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            self.fault(name, "invalid-type", "This must be true or false, without quotes.")
            return None
        return value

    def integer(self, name: str, least: int, most: int) -> int | None:
        """Return a whole number, as a number or text; None if it is absent or at fault."""
        value = self.raw(name)
        if value is None:
            return None
        if not isinstance(value, str) or not WHOLE.fullmatch(value.strip()):
            self.fault(name, "invalid-type", "This must be a whole number.")
            return None
        number = int(value) if len(value) < 20 else most + 1
        if not least <= number <= most:
            self.fault(name, "out-of-range", f"This must be from {least} to {most}.")
            return None
        return number

    def texts(self, name: str, at_most: int, length: int) -> list[str]:
        """Return an array of texts, blank ones left out; [] if it is absent or at fault."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(
            one is None or isinstance(one, str) for one in value
        ):
            self.fault(name, "invalid-type", NOT_LIST)
            return []
        if len(value) > at_most:
            self.fault(name, "too-many", f"This array may have at most {at_most} members.")
            return []
        found = []
        for one in value:
            try:
                text = normalize.plain_text(one or "")
            except normalize.Unacceptable as error:
                self.fault(name, error.code, error.sentence)
                return []
            if len(text) > length:
                self.fault(name, "too-long", f"Each may have at most {length} characters.")
                return []
            if text:
                found.append(text)
        return found

    def objects(self, name: str, at_most: int) -> Iterable[Members]:
        """Return an array of objects, which share this one's faults; none if it is at fault."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fault(name, "invalid-type", "This must be an array of objects.")
            return []
        if len(value) > at_most:
            self.fault(name, "too-many", f"This array may have at most {at_most} members.")
            return []
        named = self.by_name[fold(name)]
        return [
            Members(one, (*self.path, named, str(at)), self.faults) for at, one in enumerate(value)
        ]


def lines(raw: str) -> str:
    """Return a text of several lines, trimmed, with one kind of line end.

    Raises normalize.BadCharacters for any other control character.
    """
    text = LINE_ENDS.sub("\n", raw).strip(normalize.BLANKS)
    if normalize.CONTROL.search(text):
        raise normalize.BadCharacters
    return text


def text_of(value: Any) -> str | None:
    """Return a scalar as text: a text, number or boolean; None for what is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Number):
        return str(value)
    return value if isinstance(value, str) else None
