"""The strict reading of a body: bytes in, members out, the same on every database.

What two readers could read in two ways is refused: duplicate members, NUL and lone surrogates,
NaN; and what is only sent to do harm: deep nesting, floods of members, endless numbers.
Source: contract §9 `malformed-body`; DECISIONS, Intake 1.
"""

import json
import re
from typing import Any

from intake.problems import Problem

MAX_DEPTH = 4
MAX_MEMBERS = 200
MAX_NUMBER_LENGTH = 32

# A whole string (unfinished ones too, so that the scan stays linear), or a bracket.
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Number(str):
    """A JSON number as the characters that were sent."""

    __slots__ = ()


def malformed(detail: str) -> Problem:
    """Return the problem `malformed-body` with what is wrong."""
    return Problem("malformed-body", detail)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the members of a JSON object: texts, Numbers, booleans, None, objects, arrays.

    Raises Problem `malformed-body`.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("The body is not UTF-8.") from None
    check_depth(body)
    try:
        members = json.loads(
            text,
            object_pairs_hook=Members(),
            parse_int=number,
            parse_float=number,
            parse_constant=no_constant,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise malformed(f"The body is not JSON: it breaks off at {place}.") from None
    if not isinstance(members, dict):
        raise malformed("The body must be a JSON object.")
    if "\\u" in text:  # only escapes can say what UTF-8 cannot
        check_characters(members)
    return members


def check_depth(body: bytes) -> None:
    """Raise Problem if brackets nest deeper than allowed, before anything recurses into them."""
    depth = 0
    for token in TOKEN.finditer(body):
        character = token[0]
        if character in (b"{", b"["):
            depth += 1
            if depth > MAX_DEPTH:
                raise malformed(f"The body nests deeper than {MAX_DEPTH} levels.")
        elif character in (b"}", b"]"):
            depth -= 1


class Members:
    """Turns the pairs of each object of one body into members, and counts them all."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object's members; raises Problem for one that comes twice, or too many."""
        self.count += len(pairs)
        if self.count > MAX_MEMBERS:
            raise malformed(f"The body has more than {MAX_MEMBERS} members.")
        members = dict(pairs)
        if len(members) < len(pairs):
            raise malformed("A member comes twice in one object.")
        return members


def number(literal: str) -> Number:
    """Return a number literal as its characters; raises Problem for an over-long one."""
    if len(literal) > MAX_NUMBER_LENGTH:
        raise malformed(f"A number has more than {MAX_NUMBER_LENGTH} characters.")
    return Number(literal)


def no_constant(name: str) -> None:
    """Refuse NaN, Infinity and -Infinity, which Python would take and JSON does not have."""
    raise malformed(f"{name} is not JSON.")


def check_characters(value: object) -> None:
    """Raise Problem for NUL or a lone surrogate in any key or text: no database can keep them."""
    if isinstance(value, str):
        if UNSTORABLE.search(value):
            raise malformed("A text holds NUL or half of a surrogate pair.")
    elif isinstance(value, dict):
        for key, member in value.items():
            check_characters(key)
            check_characters(member)
    elif isinstance(value, list):
        for member in value:
            check_characters(member)
