"""The one table of the fields that a vendor may send; it drives every intake endpoint.

`FIELDS` says of each field what it is called, where it goes and how it is normalised. `read_flat`
runs the table over a flat post; the serializers are made from it. Source: contract §3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from intake.bodies import Number
from intake.problems import Fault
from leads import normalize
from sources.names import FOLDED, fold

MAX_TAGS = 20
# For fields whose normaliser itself says what is too long.
ANY_LENGTH = 64 * 1024
METADATA_MAX_KEYS = 50
# Each name that conflicts has its own fault; a sentence names but a few, or answers would explode.
NAMES_SHOWN = 5
NAME_SHOWN_LENGTH = 64
METADATA_KEY_MAX_LENGTH = 64
METADATA_VALUE_MAX_LENGTH = 1000


def is_blank(sent: object) -> bool:
    """Say whether a member counts as absent: null, "" or blanks."""
    return sent is None or (isinstance(sent, str) and not sent.strip(normalize.BLANKS))


def as_is(text: str) -> str:
    """Return `text`: for fields that need no more than to be trimmed."""
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its wire name, the lead's column, its limit in characters, its normaliser.

    `normalise` gets trimmed, non-blank text within the limit and raises normalize.Unacceptable.
    `clean` does the trimming. A longer text is a fault, or cut if `is_cut`. `merge` returns the
    one value of two aliases, None if they conflict. `if_not_digits` is raised for a JSON number
    with a sign, a point or an exponent, where those would be read as something else.
    """

    name: str
    column: str
    limit: int
    normalise: Callable[[str], Any] = as_is
    clean: Callable[[str], str] = normalize.plain_text
    is_cut: bool = False
    merge: Callable[[Any, Any], Any] | None = None
    if_not_digits: type[normalize.Unacceptable] | None = None

    def value(self, sent: object) -> tuple[Any, bool]:
        """Return the normalised value of what was sent, None if blank, and whether it was cut.

        Raises normalize.Unacceptable, a WrongType or TooLong among them.
        """
        if sent is None:
            return None, False
        if not isinstance(sent, str):
            raise WrongType
        if self.if_not_digits and isinstance(sent, Number) and not sent.isdigit():
            raise self.if_not_digits
        text = self.clean(sent)
        if not text:
            return None, False
        is_over = len(text) > self.limit
        if is_over:
            if not self.is_cut:
                raise TooLong(self.limit)
            text = text[: self.limit].rstrip()
        return self.normalise(text), is_over

    def merged(self, one: Any, other: Any) -> Any:
        """Return the one value that two aliases mean, None if they conflict."""
        if self.merge:
            return self.merge(one, other)
        return one if one == other else None


class MetadataField(Field):
    """`sourceMetadata`: an object of texts."""

    def value(self, sent: object) -> tuple[Any, bool]:
        if is_blank(sent):
            return None, False
        if not isinstance(sent, dict):
            raise NotAnObject
        if len(sent) > METADATA_MAX_KEYS:
            raise TooManyKeys
        values = {}
        for key, value in sent.items():
            if value is None:
                continue
            if not isinstance(value, str | bool):
                raise NestedMetadata
            text = str(value).lower() if isinstance(value, bool) else value
            text = normalize.plain_text(text)
            if len(key) > METADATA_KEY_MAX_LENGTH or len(text) > METADATA_VALUE_MAX_LENGTH:
                raise MetadataTooLong
            if normalize.CONTROL.search(key) or normalize.LINE_ENDS.search(key):
                raise normalize.BadCharacters
            values[key] = text
        return dict(sorted(values.items())) or None, False


class TagsField(Field):
    """`tagIds` and `tagNames`: arrays of texts; blank ones are left out."""

    def value(self, sent: object) -> tuple[Any, bool]:
        if is_blank(sent):
            return None, False
        if not isinstance(sent, list):
            raise NotAList
        if len(sent) > MAX_TAGS:
            raise TooManyTags
        values = []
        for one in sent:
            if one is not None and not isinstance(one, str):
                raise NotAList
            if text := normalize.plain_text(one or ""):
                values.append(text)
        return values or None, False


class WrongType(normalize.Unacceptable):
    """This must be a text or a number."""

    code = "invalid-type"


class NotAnObject(normalize.Unacceptable):
    """This must be an object of texts."""

    code = "invalid-type"


class NestedMetadata(normalize.Unacceptable):
    """Each value in this object must be a text, a number or a boolean."""

    code = "invalid-type"


class NotAList(normalize.Unacceptable):
    """This must be an array of texts."""

    code = "invalid-type"


class TooManyKeys(normalize.Unacceptable):
    """This object may have at most 50 members."""

    code = "too-many"


class TooManyTags(normalize.Unacceptable):
    """This array may have at most 20 members."""

    code = "too-many"


class MetadataTooLong(normalize.Unacceptable):
    """A name in this object may have at most 64 characters, a value at most 1000."""

    code = "too-long"


class TooLong(normalize.Unacceptable):
    """This is too long."""

    code = "too-long"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    @property
    def sentence(self) -> str:
        return f"This may have at most {self.limit} characters."


def _id(name: str, column: str) -> Field:
    return Field(name, column, 255, clean=normalize.plain_id)


FIELDS: tuple[Field, ...] = (
    Field("firstName", "first_name", 100),
    Field("lastName", "last_name", 100),
    Field("email", "email", ANY_LENGTH, normalize.email, merge=normalize.merged_email),
    Field("phone", "phone", ANY_LENGTH, normalize.phone, if_not_digits=normalize.NotAPhone),
    Field("phoneType", "phone_type", 50, normalize.phone_type),
    Field("dateOfBirth", "birth_date", ANY_LENGTH, normalize.birth_date),
    Field("address1", "address_line1", 200),
    Field("address2", "address_line2", 200),
    Field("city", "city", 200),
    # "never an error": what is too long to be a state is cut.
    Field("state", "state", 100, normalize.state, is_cut=True),
    Field(
        *("zip", "postal_code", ANY_LENGTH, normalize.zip_code),
        merge=normalize.merged_zip,
        if_not_digits=normalize.NotAZip,
    ),
    Field("gender", "gender", 100, normalize.gender, is_cut=True),
    _id("subId", "sub_id"),
    _id("pubId", "pub_id"),
    _id("sellerLeadId", "seller_lead_id"),
    _id("externalId", "external_id"),
    Field("directPostPrice", "direct_post_price", ANY_LENGTH, normalize.decimal),
    Field("price", "price", ANY_LENGTH, normalize.decimal),
    Field("utmSource", "utm_source", 512, is_cut=True),
    Field("utmMedium", "utm_medium", 512, is_cut=True),
    Field("utmCampaign", "utm_campaign", 512, is_cut=True),
    Field("utmTerm", "utm_term", 512, is_cut=True),
    Field("utmContent", "utm_content", 512, is_cut=True),
    Field("product", "product", 100),
    Field("vertical", "vertical", 100),
    Field("referrer", "referrer", 2048, is_cut=True),
    Field("landingPage", "landing_page", 2048, is_cut=True),
    Field("trustedFormUrl", "trusted_form_url", 2048),
    MetadataField("sourceMetadata", "source_metadata", 0),
    TagsField("tagIds", "tag_ids", 0),
    TagsField("tagNames", "tag_names", 0),
)
BY_NAME: dict[str, Field] = {one.name: one for one in FIELDS}

# Compiled once: every folded name and alias to its field, so that a look-up is one dictionary get.
PLAN: dict[str, Field] = {folded: BY_NAME[name] for folded, name in FOLDED.items()}


@dataclass(slots=True)
class Reading:
    """What a post says once it is read: values by column, and all that must be told about it.

    `sent_as` gives for each field the vendor's own name, for errors found later.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sent_as: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)

    def check_contact(self) -> None:
        """Note the fault that neither phone nor e-mail came: without either there is no lead."""
        if not {"phone", "email"} & self.sent_as.keys():
            sentence = "A lead needs a phone number or an e-mail address."
            self.faults += [Fault(name, "missing-contact", sentence) for name in ("phone", "email")]


def plan_for(field_map: Mapping[str, str]) -> Mapping[str, Field]:
    """Return the plan with a source's further names; one that means nothing is left out."""
    if not field_map:
        return PLAN
    further = {fold(sent): BY_NAME[name] for sent, name in field_map.items() if name in BY_NAME}
    return further | PLAN


def read_flat(
    members: Mapping[str, object], plan: Mapping[str, Field] = PLAN, *, keep_unknown: bool = False
) -> Reading:
    """Return what a flat post says, with every fault in it and not only the first.

    `keep_unknown`: members that nobody knows go into `sourceMetadata` as far as they fit.
    """
    reading = Reading()
    met: dict[str, list[tuple[str, Any]]] = {}
    unknown: dict[str, object] = {}
    for name, sent in members.items():
        one = plan.get(fold(name))
        if one is None:
            unknown[name] = sent
            continue
        try:
            value, was_cut = one.value(sent)
        except normalize.Unacceptable as error:
            reading.faults.append(Fault(name, error.code, error.sentence))
            reading.sent_as.setdefault(one.name, name)
            continue
        if value is None:
            continue
        met.setdefault(one.name, []).append((name, value))
        if was_cut:
            reading.truncated.append(name)
    for field_name, sent_values in met.items():
        settle(reading, BY_NAME[field_name], sent_values)
    reading.ignored = keep(reading, unknown) if keep_unknown else list(unknown)
    reading.check_contact()
    return reading


def settle(reading: Reading, one: Field, sent_values: list[tuple[str, Any]]) -> None:
    """Note the one value that a field's aliases agree on, or the fault that they do not."""
    name, value = sent_values[0]
    for _, other in sent_values[1:]:
        value = one.merged(value, other)
        if value is None:
            names = [name for name, _ in sent_values]
            shown = " and ".join(name[:NAME_SHOWN_LENGTH] for name in names[:NAMES_SHOWN])
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            sentence = f"{shown}{more} mean the same field and differ."
            reading.faults += [Fault(name, "conflicting-values", sentence) for name in names]
            break
    else:
        reading.values[one.column] = value
    reading.sent_as.setdefault(one.name, name)


def keep(reading: Reading, unknown: Mapping[str, object]) -> list[str]:
    """Put what nobody knows into `sourceMetadata`; return the names of what does not fit."""
    metadata = dict(reading.values.get("source_metadata") or {})
    ignored = []
    for name, sent in unknown.items():
        try:
            value, _ = BY_NAME["sourceMetadata"].value({name: sent})
        except normalize.Unacceptable:
            value = None
        if value is None or name in metadata or len(metadata) >= METADATA_MAX_KEYS:
            ignored.append(name)
        else:
            metadata |= value
    if metadata:
        reading.values["source_metadata"] = dict(sorted(metadata.items()))
    return ignored
