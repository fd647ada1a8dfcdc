"""Reads a post's members by the table of fields: values, every fault, and what was ignored or cut.

Source: contract §3, §5.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from intake.fields import (
    BY_NAME,
    FLAT,
    METADATA_MAX_KEYS,
    PLACES,
    SERVER_OWNED,
    Field,
    Level,
    NotAnObject,
    Path,
    Plan,
    is_blank,
)
from intake.problems import Fault
from leads import normalize
from sources.names import fold

# Each name that conflicts has its own fault; a sentence names but a few, or answers would explode.
NAMES_SHOWN = 5
NAME_SHOWN_LENGTH = 64
OBJECT_WANTED = "This must be an object."


@dataclass(slots=True)
class Reading:
    """What a post says once it is read: values by column, and all that must be told about it.

    `sent_as` gives for each field the vendor's own name, with those of the objects that it stands
    in, for errors found later; `unknown` holds the members that nobody knows, likewise.
    """

    is_structured: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    sent_as: dict[str, Path] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unknown: dict[Path, object] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)

    def path_of(self, name: str) -> Path:
        """Return how the vendor sent a field, or would have."""
        place = PLACES.get(name, (name,)) if self.is_structured else (name,)
        return self.sent_as.get(name, place)

    def check_contact(self) -> None:
        """Note the fault that neither phone nor e-mail came: without either there is no lead."""
        if not {"phone", "email"} & self.sent_as.keys():
            sentence = "A lead needs a phone number or an e-mail address."
            self.faults += [
                Fault(self.path_of(name), "missing-contact", sentence)
                for name in ("phone", "email")
            ]

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of what the post says, however it was spelt.

        Over canonical names and normalised values, unknown fields included; before `keep_unknown`.
        Source: contract §7.
        """
        unknown = {"\0".join(path): sent for path, sent in self.unknown.items()}
        said = orjson.dumps([self.values, unknown], default=_plain, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(said).hexdigest()

    def keep_unknown(self) -> None:
        """Put the members that nobody knows into `sourceMetadata`, as far as they fit."""
        metadata = dict(self.values.get("source_metadata") or {})
        ignored = []
        for path, sent in self.unknown.items():
            name = ".".join(path)
            value = None
            if not (self.is_structured and tuple(map(fold, path)) in SERVER_OWNED):
                try:
                    value, _ = BY_NAME["sourceMetadata"].value({name: sent})
                except normalize.Unacceptable:
                    value = None
            if value is None or name in metadata or len(metadata) >= METADATA_MAX_KEYS:
                ignored.append(name)
            else:
                metadata |= value
        if metadata:
            self.values["source_metadata"] = dict(sorted(metadata.items()))
        self.ignored = ignored


def _plain(value: object) -> str:
    """Return a decimal in digits that are the same for the same number."""
    assert isinstance(value, Decimal)
    return f"{value.normalize():f}"


def read(
    members: Mapping[str, object], plan: Plan = FLAT, *, is_structured: bool = False
) -> Reading:
    """Return what a post says, with every fault in it and not only the first.

    `plan`: FLAT or STRUCTURED, with the source's further names.
    """
    reading = Reading(is_structured)
    met: dict[str, list[tuple[Path, Field, Any]]] = {}
    _read_level(reading, met, members, plan, ())
    for name, sent_values in met.items():
        if len(sent_values) > 1:
            settle(reading, name, sent_values)
            continue
        path, one, value = sent_values[0]
        reading.values[one.column] = value
        reading.sent_as.setdefault(name, path)
    reading.ignored = [".".join(path) for path in reading.unknown]
    reading.check_contact()
    return reading


def _read_level(
    reading: Reading,
    met: dict[str, list[tuple[Path, Field, Any]]],
    members: Mapping[str, object],
    plan: Plan,
    parents: Path,
) -> None:
    """Note what one object of a post says, and the objects in it."""
    for name, sent in members.items():
        path = (*parents, name)
        one = plan.get(fold(name))
        if one is None:
            reading.unknown[path] = sent
            continue
        if isinstance(one, Level):
            if isinstance(sent, dict):
                _read_level(reading, met, sent, one.members, path)
                continue
            if is_blank(sent):
                continue
            if one.bare is None or not isinstance(sent, str):
                reading.faults.append(Fault(path, NotAnObject.code, OBJECT_WANTED))
                if one.bare:
                    reading.sent_as.setdefault(one.bare.name, path)
                continue
            one = one.bare
        try:
            value, was_cut = one.value(sent)
        except normalize.Unacceptable as error:
            reading.faults.append(Fault(path, error.code, error.sentence))
            reading.sent_as.setdefault(one.name, path)
            continue
        if value is None:
            continue
        if one.name in met:
            met[one.name].append((path, one, value))
        else:
            met[one.name] = [(path, one, value)]
        if was_cut:
            reading.truncated.append(".".join(path))


def settle(reading: Reading, name: str, sent_values: list[tuple[Path, Field, Any]]) -> None:
    """Note the one value that a field's aliases agree on, or the fault that they do not."""
    path, one, value = sent_values[0]
    for _, _, other in sent_values[1:]:
        value = one.merged(value, other)
        if value is None:
            names = [".".join(path) for path, _, _ in sent_values]
            shown = " and ".join(name[:NAME_SHOWN_LENGTH] for name in names[:NAMES_SHOWN])
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            sentence = f"{shown}{more} mean the same field and differ."
            reading.faults += [
                Fault(path, "conflicting-values", sentence) for path, _, _ in sent_values
            ]
            break
    else:
        reading.values[one.column] = value
    reading.sent_as.setdefault(name, path)
