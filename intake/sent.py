"""What a vendor sent beside what was kept of it, member by member, masked until revealed.

A kept post is read again as intake read it, by the names that its source knew when the lead was
judged. Source: contract §3, §5.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from intake.fields import FLAT, PLACES, STRUCTURED, Field, Level, Path, Plan, is_blank, with_names
from intake.models import Post
from intake.problems import Problem
from intake.reading import read
from intake.receive import members_of
from intake.replay import arrival_of
from leads import masks, normalize
from leads.models import Lead
from sources import looks
from sources.models import Source
from sources.names import fold

SHOWN_LENGTH = 300
# Columns whose value says nothing of the person, and those that may, where a vendor misuses them.
# Of a column that is in none of these tables nothing is shown.
PLAIN = {"price", "direct_post_price"}
REFERENCES = {
    *("product", "vertical", "external_id", "seller_lead_id", "sub_id", "pub_id"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"),
}
PERSONAL = {column: mask for _, column, mask in masks.PERSONAL}
CONFLICT = "Names that mean the same field differ."


class Unreadable(Exception):
    """What was sent cannot be read any more."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(slots=True)
class Member:
    """One member of a post as it is shown: what was sent, and the value that was kept.

    `field` is the field's own name, "" for a member that nobody knows. `is_kept_aside`: such a
    one was put into `sourceMetadata`. `is_other_since`: the lead holds another value by now, which
    `kept` then is. `trouble`: why it would not be taken today.
    """

    name: str
    sent: str
    field: str = ""
    kept: str = ""
    is_blank: bool = False
    is_alias: bool = False
    is_one_of_several: bool = False
    is_changed: bool = False
    is_cut: bool = False
    is_kept_aside: bool = False
    is_other_since: bool = False
    trouble: str = ""

    @property
    def is_ignored(self) -> bool:
        """Say whether nothing became of it, for nobody knows it."""
        return not (self.field or self.is_blank or self.is_kept_aside or self.trouble)


def sent_and_kept(post: Post, lead: Lead, *, is_revealed: bool) -> list[Member]:
    """Return the members of the post that made a lead, in their order.

    Unless the person is revealed, a value is shown only where it cannot name them. Raises
    Unreadable.
    """
    source = Source.objects.of_version(lead.rules_version.partition("/")[2]) or lead.source
    arrival = arrival_of(post)
    shape = STRUCTURED if arrival.is_structured else FLAT
    plan = with_names(shape, source.field_map)
    try:
        members = members_of(arrival, with_names(FLAT, source.field_map))
    except Problem:
        raise Unreadable from None
    reading = read(members, plan, is_structured=arrival.is_structured)
    values = dict(reading.values)
    if source.is_unknown_kept:
        reading.keep_unknown()
    leaves = list(walked(members, plan))
    times: dict[str, int] = {}
    for _, one, sent in leaves:
        if one and not is_blank(sent):
            times[one.name] = times.get(one.name, 0) + 1
    rows = []
    for path, one, sent in leaves:
        if one is None:
            rows.append(unknown(path, sent, reading.unknown, reading.ignored, is_revealed))
        else:
            own = PLACES.get(one.name, (one.name,)) if arrival.is_structured else (one.name,)
            row = known(path, one, sent, values, lead, is_revealed)
            row.is_alias = tuple(map(fold, path)) != tuple(map(fold, own))
            row.is_one_of_several = bool(row.kept) and times.get(one.name, 0) > 1
            rows.append(row)
    return rows


def walked(
    members: Mapping[str, object], plan: Plan, parents: Path = ()
) -> Iterator[tuple[Path, Field | None, object]]:
    """Yield each member with the field that it means, None for one that nobody knows."""
    for name, sent in members.items():
        path = (*parents, name)
        one = plan.get(fold(name))
        if not isinstance(one, Level):
            yield path, one, sent
        elif isinstance(sent, dict):
            yield from walked(sent, one.members, path)
        else:
            yield path, one.bare if isinstance(sent, str) else None, sent


def unknown(
    path: Path,
    sent: object,
    unknown: Mapping[Path, object],
    ignored: list[str],
    is_revealed: bool,
) -> Member:
    """Return a member that means no field: nothing of it is shown but perhaps its name."""
    name = ".".join(path)
    if path not in unknown:  # an object of ours, with nothing in it
        return Member(named(name, is_revealed), "", is_blank=True)
    is_kept = name not in ignored
    return Member(
        named(name, is_revealed),
        cut(as_text(sent)) if is_revealed else masks.HIDDEN,
        kept=(cut(as_text(sent)) if is_revealed else masks.HIDDEN) if is_kept else "",
        is_kept_aside=is_kept,
    )


def known(
    path: Path,
    one: Field,
    sent: object,
    values: Mapping[str, Any],
    lead: Lead,
    is_revealed: bool,
) -> Member:
    """Return a member that means a field, beside the value of the field."""
    # The name of a field, which may be one that staff mapped, is not a value; unless it looks so.
    name = ".".join(path) if is_revealed else masks.reference(".".join(path))
    raw = as_text(sent)
    trouble, value, was_cut = "", None, False
    try:
        value, was_cut = one.value(sent)
    except normalize.Unacceptable as error:
        trouble = error.sentence
    if value is not None:
        value = values.get(one.column)  # what all its names agree on
        trouble = CONFLICT if value is None else ""
    if value is None:
        text = cut(raw) if is_revealed else masks.HIDDEN
        if not trouble:
            return Member(name, "", one.name, is_blank=True)
        return Member(name, text, one.name, trouble=trouble)
    now = value if one.column not in COLUMNS else getattr(lead, one.column)
    kept = looks.money(now) if one.column in PLAIN else as_text(now)
    shown = raw, kept
    if not is_revealed:
        shown = masked(one.column, raw, now, kept, lead)
    return Member(
        name,
        cut(shown[0]),
        one.name,
        cut(shown[1]),
        is_changed=sent != value if isinstance(sent, dict | list) else raw != as_text(value),
        is_cut=was_cut,
        is_other_since=now != value,
    )


# Of what is in the lead under the same name, and there as it was sent.
COLUMNS = {one.name for one in Lead._meta.concrete_fields} - {"source_metadata"}


def masked(column: str, raw: str, kept: Any, text: str, lead: Lead) -> tuple[str, str]:
    """Return what was sent and what was kept, `text`, as shown of a person not revealed."""
    if column in PLAIN:
        return raw, text
    if column in REFERENCES:
        is_clear = masks.HIDDEN not in (masks.reference(raw), masks.reference(text))
        return (raw, text) if is_clear else (masks.HIDDEN, masks.hidden(text))
    if column == "trusted_form_url":
        if not lead.certificate_id or text != lead.trusted_form_url:
            return masks.HIDDEN, masks.site(text)
        return raw if raw.strip(normalize.BLANKS) == text else masks.HIDDEN, text
    return masks.HIDDEN, PERSONAL.get(column, masks.hidden)(kept)


def named(name: str, is_revealed: bool) -> str:
    """Return the name of a member that nobody knows, which may be a value in the wrong place."""
    return cut(name if is_revealed else masks.member(name))


def as_text(value: Any) -> str:
    """Return a value as it is shown: what is no text as JSON has it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=as_text)


def cut(text: str) -> str:
    """Return a text, of a long one the start."""
    if len(text) <= SHOWN_LENGTH:
        return text
    return f"{text[:SHOWN_LENGTH]}… ({len(text):,} characters)"
