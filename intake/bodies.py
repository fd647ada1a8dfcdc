"""The strict reading of a body: bytes in, members out, the same on every database.

What two readers could read in two ways is refused: duplicate members, NUL and lone surrogates,
NaN; and what is only sent to do harm: deep nesting, floods of members, endless numbers.
Source: contract §9 `malformed-body`; DECISIONS, Intake 1.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from intake.problems import Problem
from sources.names import fold

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


def read_json(body: bytes, max_members: int = MAX_MEMBERS) -> dict[str, Any]:
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
            object_pairs_hook=Members(max_members),
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
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
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

    def __init__(self, at_most: int) -> None:
        self.count = 0
        self.at_most = at_most

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object's members; raises Problem for one that comes twice, or too many."""
        self.count += len(pairs)
        if self.count > self.at_most:
            raise malformed(f"The body has more than {self.at_most} members.")
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


BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# A name with what says where in a list or an object the value goes: a[], a[0], a[key], a.key.
INDEXED = re.compile(r"([^.\[\]]+)(?:\[([^\[\]]*)\]|\.(.+))", re.DOTALL)


def read_form(raw: bytes, lists: frozenset[str], objects: frozenset[str]) -> dict[str, Any]:
    """Return the members of a URL-encoded form or query: texts, arrays of them, objects of them.

    `lists` and `objects`: the names of fields that are such, as `sources.names.fold` folds them.
    Raises Problem `malformed-body`. Source: contract §3, "Form and query".
    """
    try:
        text = raw.decode("utf-8-sig")
        if BROKEN_PERCENT.search(text):
            raise malformed("The form has a % that does not begin an escape.")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise malformed("The form is not UTF-8.") from None
    if len(pairs) > MAX_MEMBERS:
        raise malformed(f"The form has more than {MAX_MEMBERS} members.")
    members: dict[str, Any] = {}
    taken: set[str] = set()  # names, and those of objects that came whole
    for name, sent in pairs:
        if "\0" in name or "\0" in sent:
            raise malformed("A text holds NUL or half of a surrogate pair.")
        match = INDEXED.fullmatch(name)
        base, key = (match[1], match[2] if match[3] is None else match[3]) if match else (name, "")
        kind = fold(base)
        is_of_list = kind in lists and (not match or match[2] is not None)
        is_of_object = kind in objects and match is not None
        if name in taken and not (is_of_list and not key):
            raise twice()
        taken.add(name)
        if is_of_list:
            members.setdefault(base, []).append(sent)
        elif is_of_object:
            into = members.setdefault(base, {})
            if base in taken or key in into:
                raise twice()
            into[key] = sent
        elif kind in objects and base in members:
            raise twice()
        elif kind in objects and sent.lstrip().startswith("{"):
            members[base] = read_json(sent.encode())
        else:
            members[name] = sent
    return members


def twice() -> Problem:
    """Return the problem of a form with a member that comes twice."""
    return malformed("A member comes twice in the form.")
