"""What the compliance rules judge by and what they find: plain values, without the ORM."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from sources.rules import STANDING, Mode, Rule


class Overrule(Enum):
    """Whether a reviewer may release a lead against a finding."""

    YES = "yes"
    WITH_CONSENT = "with-written-consent"  # of the person, which the reviewer records
    NO = "no"


# --- facts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """An approved lead of the same person, found by its `match`: phone or email."""

    lead: str
    source: str
    received_at: datetime
    match: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A suppression that stands against the person, found by its `match`: phone or email.

    `is_registry`: it is of a do-not-call list.
    """

    id: str
    kind: str
    channel: str
    since: datetime
    match: str
    is_registry: bool = False
    list_name: str = ""


@dataclass(frozen=True, slots=True)
class Edition:
    """The newest edition of a do-not-call list that leads are checked against."""

    name: str
    listed_on: date


@dataclass(frozen=True, slots=True)
class Reuse:
    """A lead that came with the same certificate and other contact data: phone, email or both."""

    lead: str
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap of the source, daily or monthly, and how much of it is used in the present period."""

    word: str
    period: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules may know of a lead, of its source and of the moment.

    `judged_at` is the arrival, or the moment as of which a lead is judged again. `arrived_on` is
    the date of first arrival in Pacific/Pago_Pago, the last of all US zones to turn the page, so
    that who is of age there is of age everywhere. What is None could not be looked up: the rules
    that need it cannot run.
    """

    arrived_on: date
    judged_at: datetime
    source: str = ""
    is_source_approved: bool = True
    allowed_states: frozenset[str] = frozenset()
    allowed_products: frozenset[str] = frozenset()
    allowed_verticals: frozenset[str] = frozenset()
    is_trusted_form_required: bool = False
    duplicate_window_days: int = 30
    is_duplicate_in_business: bool = False
    state: str = ""
    postal_code: str = ""
    country: str = ""
    product: str = ""
    vertical: str = ""
    certificate_url: str = ""
    certificate_id: str = ""
    has_phone: bool = False
    can_phone_exist: bool = True
    birth_date: date | None = None
    known: tuple[Known, ...] | None = ()
    entries: tuple[Entry, ...] | None = ()
    editions: tuple[Edition, ...] | None = ()
    reuses: tuple[Reuse, ...] | None = ()
    caps: tuple[Cap, ...] | None = ()

    @property
    def contact_field(self) -> str:
        """Return the field that findings on the person name: it must not tell which one matched."""
        return "phone" if self.has_phone else "email"

    @property
    def opted_out_at(self) -> datetime | None:
        """Return since when the person has opted out of text messages, None if they have not."""
        return opted_out_at(self.entries or ())

    def with_cap_used_up(self, word: str) -> Facts:
        """Return the facts of a moment later, in which others have used this cap up."""
        return dataclasses.replace(
            self,
            caps=tuple(
                dataclasses.replace(one, used=max(one.used, one.limit)) if one.word == word else one
                for one in self.caps or ()
            ),
        )

    def with_one_more_approved(self) -> Facts:
        """Return the facts of a moment later, in which the lead has used one of each cap."""
        more = tuple(dataclasses.replace(one, used=one.used + 1) for one in self.caps or ())
        return dataclasses.replace(self, caps=more)


def opted_out_at(entries: Iterable[Entry]) -> datetime | None:
    """Return since when one of these is an opt-out from text messages, None if none is.

    A registry is not the person's word to the business.
    """
    texts = [one.since for one in entries if one.channel in ("sms", "all") and not one.is_registry]
    return min(texts, default=None)


# --- findings -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found against a lead, on which evidence: never the person's own data.

    `field` is the flat field at fault, "" when it is none of the vendor's.
    """

    rule: Rule
    mode: Mode
    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    overrule: Overrule = Overrule.YES

    @property
    def is_standing(self) -> bool:
        """Say whether it keeps a lead from being contacted, unless a reviewer overrules it."""
        return self.mode in STANDING

    def as_row(self) -> dict[str, Any]:
        """Return the finding as it is kept with the lead."""
        return {
            "code": self.rule.value,
            "mode": self.mode.value,
            "sentence": self.sentence,
            "overrule": self.overrule.value,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule itself returns: the sentence, the field at fault and the evidence."""

    sentence: str
    field: str = ""
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class CannotRun(Exception):
    """The rule cannot be run, whatever it may have `found`; `why` is a word for the evidence."""

    def __init__(self, why: str, found: Found | None = None, **evidence: str) -> None:
        super().__init__(why)
        self.found = found
        self.evidence = {"why": why, **evidence}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of judging a lead: every finding, in the published order."""

    findings: tuple[Finding, ...]

    @property
    def rejecting(self) -> tuple[Finding, ...]:
        """Return the findings that refuse the post; with one of them, no lead is stored."""
        return tuple(one for one in self.findings if one.mode == Mode.REJECT)

    @property
    def holding(self) -> tuple[Finding, ...]:
        """Return the findings that block the lead."""
        return tuple(one for one in self.findings if one.mode == Mode.HOLD)

    @property
    def standing(self) -> tuple[Finding, ...]:
        """Return the findings that keep the lead from being approved: it has none."""
        return tuple(one for one in self.findings if one.is_standing)

    @property
    def reason(self) -> str:
        """Return why the lead is blocked, for the vendor; "" if it is not."""
        return joined(self.holding)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the findings as they are kept."""
        return [one.as_row() for one in self.findings]


def joined(findings: tuple[Finding, ...]) -> str:
    """Return the sentences of findings in one text, each once: two may share a fixed one."""
    return " ".join(dict.fromkeys(one.sentence for one in findings))
