"""The one table of the fields that a vendor may send; it drives every intake endpoint.

`FIELDS` says of each flat field what it is called, where it goes and how it is normalised;
`FURTHER_FIELDS` are those that only a structured post has, and `SHAPE` says where in one each
stands. `intake/reading.py` runs them over a post; the serializers are made from them.
Source: contract §3, §5.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from intake.bodies import Number
from leads import normalize
from leads.models import Lead
from sources.names import ALIASES, FOLDED, fold

MAX_TAGS = 20
# For fields whose normaliser itself says what is too long.
ANY_LENGTH = 64 * 1024
METADATA_MAX_KEYS = 50
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
    with a sign, a point or an exponent, where those would be read as something else. A JSON
    number may have an exponent if `has_exponent`: clients write large or small doubles so.
    """

    name: str
    column: str
    limit: int
    normalise: Callable[[str], Any] = as_is
    clean: Callable[[str], str] = normalize.plain_text
    is_cut: bool = False
    merge: Callable[[Any, Any], Any] | None = None
    if_not_digits: type[normalize.Unacceptable] | None = None
    has_exponent: bool = False

    def value(self, sent: object) -> tuple[Any, bool]:
        """Return the normalised value of what was sent, None if blank, and whether it was cut.

        Raises normalize.Unacceptable, a WrongType or TooLong among them.
        """
        if type(sent) is not str:
            if sent is None:
                return None, False
            if not isinstance(sent, Number):
                raise WrongType
            if self.if_not_digits and not sent.isdigit():
                raise self.if_not_digits
            if self.has_exponent:
                sent = without_exponent(sent)
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


def without_exponent(number: Number) -> str:
    """Return a JSON number in plain digits; as it is where those would be more than a few."""
    exact = Decimal(number)
    return f"{exact:f}" if -20 < exact.adjusted() < 20 else number


class BooleanField(Field):
    """A JSON boolean."""

    def value(self, sent: object) -> tuple[Any, bool]:
        if is_blank(sent):
            return None, False
        if not isinstance(sent, bool):
            raise NotABoolean
        return sent, False


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


class NotABoolean(normalize.Unacceptable):
    """This must be true or false, without quotes."""

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


def _number(name: str, column: str) -> Field:
    return Field(name, column, ANY_LENGTH, normalize.decimal, has_exponent=True)


# Only in structured posts. The prices are the flat ones, with exponents.
FURTHER_FIELDS: tuple[Field, ...] = (
    _number("price", "price"),
    _number("directPostPrice", "direct_post_price"),
    Field("province", "province", 100),
    Field("region", "region", 100),
    Field("country", "country", 100),
    Field("additionalInfo", "additional_info", 200),
    _number("height", "height"),
    _number("weight", "weight"),
    _number("income", "income"),
    _number("monthsAtResidence", "months_at_residence"),
    _number("creditScore", "credit_score"),
    _number("numberOfDependents", "number_of_dependents"),
    Field("maritalStatus", "marital_status", 100, normalize.choice(Lead.MaritalStatus)),
    Field("employmentType", "employment_type", 100, normalize.choice(Lead.EmploymentType)),
    BooleanField("isHomeowner", "is_homeowner", 0),
    BooleanField("hasBankruptcy", "has_bankruptcy", 0),
    BooleanField("hasMedicalCondition", "has_medical_condition", 0),
)

# Where each field stands in a structured post, by its name there.
SHAPE: dict[str, Any] = {
    "metadata": [
        *("trustedFormUrl", "utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent"),
        *("referrer", "landingPage", "subId", "pubId", "externalId", "sellerLeadId"),
        *("price", "directPostPrice", "product", "vertical", "sourceMetadata"),
    ],
    "contact": {
        "firstName": "firstName",
        "lastName": "lastName",
        "email": "email",
        "phone": {"number": "phone", "type": "phoneType"},
        "phoneType": "phoneType",  # beside a phone that is a bare text
        "streetAddress": {
            **{"line1": "address1", "address1": "address1"},
            **{"line2": "address2", "address2": "address2"},
            **{"city": "city", "state": "state", "postalCode": "zip", "zip": "zip"},
            **{"province": "province", "region": "region", "country": "country"},
            "additionalInfo": "additionalInfo",
        },
    },
    "customer": {
        **{"birthDate": "dateOfBirth", "dateOfBirth": "dateOfBirth", "gender": "gender"},
        **{name: name for name in ("height", "weight", "maritalStatus", "income", "isHomeowner")},
        **{name: name for name in ("monthsAtResidence", "creditScore", "hasBankruptcy")},
        **{name: name for name in ("employmentType", "numberOfDependents")},
        "hasMedicalCondition": "hasMedicalCondition",
    },
    "tagIds": "tagIds",
    "tagNames": "tagNames",
}
# Members of a structured post that the server owns: ignored, and never kept as the vendor's.
SERVER_OWNED = {
    tuple(map(fold, path.split(".")))
    for path in (
        *("id", "enabled", "isArchived", "createdAt", "modifiedAt", "tags", "businessId"),
        *("organizationId", "userId"),
        *("metadata.ipAddress", "metadata.userAgent", "metadata.createdAt", "metadata.origin"),
        *("metadata.complianceStatus", "metadata.complianceBlockedReason", "metadata.userId"),
        *("metadata.importBatchId", "metadata.isImported", "metadata.assignedPhoneNumberId"),
        *("metadata.smsConsentStatus", "metadata.smsOptedOut", "metadata.smsOptOutAt"),
        *("metadata.smsOptInAt", "metadata.smsHelpRequestedAt", "metadata.smsConsentPhoneNumber"),
        *("metadata.trustedFormCheckedAt", "metadata.businessId", "metadata.organizationId"),
        *("contact.phone.phoneIdentityId", "contact.coordinate", "contact.timeZoneId"),
        "contact.avatarUrl",
    )
}


@dataclass(frozen=True, slots=True)
class Level:
    """An object in a structured post: its members by folded name.

    `bare` is the field that a text in the object's place means, if one may stand there.
    """

    members: "Plan"
    bare: Field | None = None


Plan = Mapping[str, Field | Level]
Path = tuple[str, ...]

# Compiled once: every folded name and alias to its field, so that a look-up is one dictionary get.
FLAT: Plan = {folded: BY_NAME[name] for folded, name in FOLDED.items()}


def _level(shape: Any, path: Path = ()) -> tuple[dict[str, Field | Level], dict[str, Path]]:
    """Return an object's members by folded name, and the place of each field below it."""
    fields = BY_NAME | {one.name: one for one in FURTHER_FIELDS}
    members: dict[str, Field | Level] = {}
    places: dict[str, Path] = {}
    items = shape if isinstance(shape, dict) else {name: name for name in shape}
    for name, target in items.items():
        if isinstance(target, str):
            members[fold(name)] = fields[target]
            places.setdefault(target, (*path, name))
        else:
            below, places_below = _level(target, (*path, name))
            bare = below.get("number")  # a phone may be its number alone
            members[fold(name)] = Level(below, bare if isinstance(bare, Field) else None)
            places = places_below | places
    for alias, name in ALIASES.items():
        if (one := members.get(fold(name))) and not isinstance(one, Level):
            members.setdefault(fold(alias), one)
    return members, places


STRUCTURED, PLACES = _level(SHAPE)


def names_of(kind: type[Field], plan: Plan) -> frozenset[str]:
    """Return the folded names in a plan of the fields of one kind."""
    return frozenset(name for name, one in plan.items() if isinstance(one, kind))


def with_names(plan: Plan, field_map: Mapping[str, str]) -> Plan:
    """Return the plan with a source's further names for flat fields, wherever those stand.

    A name that means nothing is left out, and one that means something stays what it is.
    """
    if not field_map:
        return plan
    members: dict[str, Field | Level] = {
        name: dataclasses.replace(one, members=with_names(one.members, field_map))
        if isinstance(one, Level)
        else one
        for name, one in plan.items()
    }
    for sent, name in field_map.items():
        one = members.get(fold(name))
        if name in BY_NAME and one is not None:
            members.setdefault(fold(sent), one)
    return members
