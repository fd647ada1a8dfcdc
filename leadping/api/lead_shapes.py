"""The shapes of leads as the description of the API shows them, sent and answered.

Bodies of posts are made from the serializers of intake, and what is answered from where each field
stands in them.
"""

from typing import Any

from intake import fields, serializers
from leadping.api import leads
from leadping.api.schemas import (
    BUSINESS_ID,
    LEAD_ID,
    SOURCE_ID,
    TAG_ID,
    USER_ID,
    Schema,
    an_id,
    answered,
    array,
    asked,
    boolean,
    choice,
    integer,
    mapping,
    maybe,
    moment,
    never,
    number,
    ref,
    text,
    texts,
    unset,
)
from leadping.api.words import FIELDS as WORDS
from leads import normalize
from leads.models import Lead
from leads.serializers import TONES

MASKED = "Masked without the scope personal-data."

# --- what a lead's fields are when they are sent --------------------------------------------------

LARGEST = 99_999_999.9999
DECIMAL_TEXT = r"^-?(?:0|[1-9]\d{0,7})(?:\.\d{1,4})?$"
DIGITS_ONLY = (fields.BY_NAME["phone"], fields.BY_NAME["zip"])
ENUMS: dict[str, Any] = {
    "gender": Lead.Gender,
    "maritalStatus": Lead.MaritalStatus,
    "employmentType": Lead.EmploymentType,
}
FORMATS = {"phone": "phone", "email": "email", "zip": "zip", "dateOfBirth": "date"}


def sent(row: fields.Field, name: str, *, is_text: bool = False) -> Schema:
    """Return the schema of a member of a post by its row in the table.

    `is_text`: of a form or query, where all is text.
    """
    word = WORDS[row.name]
    said = word.said if name == row.name else f"Another name of {row.name}. {word.said}"
    schema = typed(row, said, word.example, is_text=is_text)
    return schema if is_text else maybe(schema)


def typed(row: fields.Field, said: str, example: Any, *, is_text: bool) -> Schema:
    if isinstance(row, fields.BooleanField):
        return boolean(said, example)
    if isinstance(row, fields.MetadataField):
        kinds = "string" if is_text else ["string", "number", "boolean", "null"]
        value = {"type": kinds, "maxLength": fields.METADATA_VALUE_MAX_LENGTH}
        name = {"maxLength": fields.METADATA_KEY_MAX_LENGTH}
        most = fields.METADATA_MAX_KEYS
        return mapping(said, value, example, propertyNames=name, maxProperties=most)
    if isinstance(row, fields.TagsField):
        return texts(said, example, maxItems=fields.MAX_TAGS)
    if row.normalise is normalize.decimal:
        if is_text:
            return text(said, str(example), pattern=DECIMAL_TEXT)
        limits = {"minimum": -LARGEST, "maximum": LARGEST, "pattern": DECIMAL_TEXT}
        return {**number(said, example), "type": ["number", "string"], **limits}
    if row.name in ("maritalStatus", "employmentType"):
        return {**choice(said, ENUMS[row.name].values), "examples": [example]}
    is_limited = row.limit < fields.ANY_LENGTH and not row.is_cut
    more: Schema = {"maxLength": row.limit} if is_limited else {}
    if row.name in FORMATS:
        more["format"] = FORMATS[row.name]
    schema = text(said, example, **more)
    if not is_text and row.name != "dateOfBirth":
        schema["type"] = ["string", "integer" if row in DIGITS_ONLY else "number"]
    return schema


NEEDED = "At least one of phone and email must come; all else is optional, null or blank."
NAMES = "Names are matched without regard to case, _ and -."
OBJECTS = {
    "metadata": ("LeadMetadataRequest", "Where the lead comes from."),
    "contact": ("LeadContactRequest", "Who the person is and how they are reached."),
    "phone": ("PhoneRequest", "The phone; a bare text is its number."),
    "streetAddress": ("StreetAddressRequest", "Where the person lives."),
    "customer": ("LeadProfileRequest", "What else is known of the person."),
}


def flat(*, is_text: bool) -> dict[str, Schema]:
    """Return the members of a flat post by their names, aliases among them."""
    members = serializers.FlatLeadSerializer().fields
    return {
        name: sent(one.row, name, is_text=is_text)
        for name, one in members.items()
        if isinstance(one, serializers.TableField)
    }


def flat_bodies() -> dict[str, Schema]:
    """Return the shapes of a flat post, as JSON and as a form."""
    said = f"A lead in flat names. {NEEDED} {NAMES}"
    return {
        "LeadIntakeRequest": asked(said, flat(is_text=False)),
        "LeadIntakeForm": asked(f"{said} All values are texts.", flat(is_text=True)),
    }


def structured() -> dict[str, Schema]:
    """Return the shapes of a structured post and of the objects in it, by name."""
    found: dict[str, Schema] = {}

    def members(serializer: Any) -> dict[str, Schema]:
        made = {}
        for name, one in serializer.fields.items():
            if isinstance(one, serializers.TableField):
                made[name] = sent(one.row, name)
                continue
            named, said = OBJECTS[name]
            found[named] = asked(said, members(one))
            made[name] = maybe(ref(named, said))
            if name == "phone":
                bare = text("The number.", "+15125550137", format="phone")
                made[name] = {
                    "anyOf": [{"$ref": f"#/components/schemas/{named}"}, bare, {"type": "null"}],
                    "description": said,
                }
        return made

    top = members(serializers.StructuredLeadSerializer())
    said = f"A lead, shaped like the answer. {NEEDED} {NAMES} What the server owns is ignored."
    return {"LeadRequest": asked(said, top), **found}


# --- what a lead's fields are when they are answered ----------------------------------------------


def shown(name: str, *, is_exact: bool = False) -> Schema:
    """Return the schema of a lead's field in an answer.

    `is_exact`: amounts are texts, as intake answers them; else numbers.
    """
    row = (fields.BY_NAME | {one.name: one for one in fields.FURTHER_FIELDS})[name]
    said, example = WORDS[name]
    if isinstance(row, fields.BooleanField):
        return maybe(boolean(said, example))
    if name in ("price", "directPostPrice"):
        exact = text(said, f"{example:.2f}", format="decimal")
        return maybe(exact if is_exact else number(said, example))
    if row.normalise is normalize.decimal:
        exact = text(said, str(example), format="decimal")
        whole = integer(f"{said} Rounded to a whole number.", example)
        return maybe(exact if is_exact else whole)
    if name in ENUMS:
        return {**maybe(choice(said, ENUMS[name].values)), "examples": [example]}
    if name == "sourceMetadata":
        return mapping(said, {"type": "string"}, example)
    more = {"format": "date"} if name == "dateOfBirth" else {}
    return maybe(text(said, example, **more))


def object_at(*path: str, is_exact: bool = False) -> dict[str, Schema]:
    """Return the fields of an object of the answer: what stands there in a structured post."""
    return {
        place[-1]: shown(name, is_exact=is_exact)
        for name, place in fields.PLACES.items()
        if place[:-1] == path and name != "phoneType"
    }


BUSINESS = an_id("Id of the business.", BUSINESS_ID)
ORGANIZATION = an_id("The same as businessId.", BUSINESS_ID)
STATUS = choice(
    "Whether the person may be contacted: Approved, Blocked (held for review by staff), or "
    "Rejected (reviewed, and the block confirmed).",
    Lead.Status.values,
)
CREATED = moment("When the lead arrived first.")
MODIFIED = unset(moment("When the lead was changed last, null until it is."))
PHONE_NUMBER = text("Phone number in E.164.", "+15125550137")


def metadata(*, is_exact: bool) -> dict[str, Schema]:
    """Return what every answer says of where a lead comes from and where it stands."""
    return {
        **object_at("metadata", is_exact=is_exact),
        "ipAddress": maybe(text("Address that the post came from.", "203.0.113.7")),
        "userAgent": maybe(text("User-Agent of the post.", "Mozilla/5.0")),
        "createdAt": CREATED,
        "complianceStatus": STATUS,
        "complianceBlockedReason": unset(
            text("Why the lead is Blocked or Rejected, in sentences; null while it is Approved.")
        ),
        "assignedPhoneNumberId": maybe(text("Default sender number of the source.", "pn-1")),
        "smsConsentStatus": choice(
            "OptedOut while a suppression for text messages stands, OptedIn when the certificate "
            "covers them, else Unknown.",
            Lead.SmsConsent.values,
        ),
        "smsOptedOut": boolean("Whether a suppression for text messages stands."),
        "smsOptOutAt": unset(moment("Since when that suppression stands.")),
        "smsOptInAt": never("The certificate's own time, null until it has been verified."),
        "smsHelpRequestedAt": never("When the person asked for help by text message; not known."),
        "smsConsentPhoneNumber": unset(
            text("Phone that text messages may be sent to, in E.164; null unless OptedIn.")
        ),
        "userId": maybe(text("Id of the user who owns the source.", USER_ID)),
        "businessId": BUSINESS,
    }


def leads_at_intake() -> dict[str, Schema]:
    """Return the shapes of a lead as intake answers it."""
    return {
        "LeadIntakeResponse": answered(
            "The stored lead. Every key is there; what is not known is null. Amounts are decimals "
            "as texts, so that no client rounds them.",
            {
                "metadata": ref("LeadIntakeMetadata", "Where it comes from and where it stands."),
                "contact": ref("LeadIntakeContact", "Who the person is."),
                "customer": ref("LeadIntakeProfile", "What else is known of the person."),
                "id": an_id("Id of the lead.", LEAD_ID),
                "createdAt": CREATED,
                "modifiedAt": MODIFIED,
            },
        ),
        "LeadIntakeMetadata": answered(
            "Where a lead comes from and where it stands.", metadata(is_exact=True)
        ),
        "LeadIntakeContact": answered(
            "Who the person is and how they are reached.",
            {
                **object_at("contact"),
                "streetAddress": ref("StreetAddress", "Where the person lives."),
                "phone": maybe(ref("LeadIntakePhone", "The phone, null if there is none.")),
            },
        ),
        "LeadIntakePhone": answered(
            "A phone.", {"number": PHONE_NUMBER, "type": shown("phoneType")}
        ),
        "LeadIntakeProfile": answered(
            "What else is known of the person.", object_at("customer", is_exact=True)
        ),
        "StreetAddress": answered("Where a person lives.", object_at("contact", "streetAddress")),
    }


def standing() -> dict[str, Schema]:
    """Return what a lead and its row in a list say of where it stands."""
    return {
        "enabled": boolean("False once the lead is deleted.", True),
        "deletedAt": unset(moment("When it was deleted.")),
        "archivedAt": unset(moment("When it was archived, null if it is not.")),
        "archivedByUserId": unset(text("Id of the user by whose token it was.", USER_ID)),
        "archiveReason": unset(ARCHIVE_REASON),
        "isArchived": boolean("Whether it is out of the working lists."),
        "currentLeadStatus": never("How far the sale has come; not kept here.", "object"),
        "processingStatus": choice("Every lead is ready once it is stored.", ["Ready"]),
        "processingStatusReason": never("Why it is not ready; it always is."),
        "processingStatusChangedAt": never("When that changed; it never does."),
    }


ARCHIVE_REASON = integer(
    "Why it was archived: a number from 0 to 9. What each means, callers agree on among "
    "themselves.",
    3,
    enum=list(range(leads.ARCHIVE_REASONS + 1)),
)
TAGS = array("The tags of the lead, by name.", ref("TagSummary"))


def leads_to_read() -> dict[str, Schema]:
    """Return the shapes of a lead in the read API, and of its row in a list."""
    return {
        "LeadResponse": answered(
            "A lead. Every key is there; what is not known is null. Amounts are numbers.",
            {
                "metadata": ref("LeadMetadata", "Where it comes from and where it stands."),
                "contact": ref("LeadContact", "Who the person is."),
                "customer": ref("LeadProfile", "What else is known of the person."),
                "id": an_id("Id of the lead.", LEAD_ID),
                "createdAt": CREATED,
                "modifiedAt": MODIFIED,
                "businessId": BUSINESS,
                "organizationId": ORGANIZATION,
                "phoneIdentity": never("What a look-up of the phone told; none is made.", "object"),
                "isTest": boolean("Whether staff sent it as a test."),
                "deletedByUserId": never("Who deleted it; a deleted lead is not answered."),
                "archiveNote": unset(text("What was noted when it was archived.", "Sold")),
                "tags": TAGS,
                **standing(),
            },
        ),
        "LeadMetadata": answered(
            "Where a lead comes from and where it stands.",
            {
                **metadata(is_exact=False),
                "organizationId": ORGANIZATION,
                "origin": choice("By which way it came.", ["intake"]),
                "importBatchId": never("Id of the import that brought it; none does."),
                "isImported": boolean("Whether an import brought it; none does."),
                "trustedFormCheckedAt": never("When the certificate was verified; not yet done."),
                "sourceId": an_id("Id of the source that it came by.", SOURCE_ID),
            },
        ),
        "LeadContact": answered(
            f"Who the person is and how they are reached. {MASKED}",
            {
                **object_at("contact"),
                "streetAddress": ref("StreetAddress", "Where the person lives."),
                "phone": maybe(ref("Phone", "The phone, null if there is none.")),
                "coordinate": never("Where the address lies; not known.", "object"),
                "timeZoneId": never("Time zone of the person; not known."),
                "avatarUrl": never("Picture of the person; none is kept."),
            },
        ),
        "Phone": answered(
            "A phone.",
            {
                "number": PHONE_NUMBER,
                "type": shown("phoneType"),
                "phoneIdentityId": never("Id of a look-up of the phone; none is made."),
            },
        ),
        "LeadProfile": answered(
            f"What else is known of the person. {MASKED}", object_at("customer")
        ),
        "LeadTableRow": answered(
            f"A lead as lists show it. {MASKED}",
            {
                "id": an_id("Id of the lead.", LEAD_ID),
                "firstName": shown("firstName"),
                "lastName": shown("lastName"),
                "phone": text("Phone number in E.164, blank if there is none.", "+15125550137"),
                "email": text("E-mail address, blank if there is none.", "ada@example.com"),
                "createdAt": CREATED,
                "updatedAt": moment("When it was changed last, or else arrived."),
                "status": STATUS,
                "statusTone": choice("How a client may colour the status.", TONES.values()),
                "price": shown("price"),
                "isTest": boolean("Whether staff sent it as a test."),
                "businessId": BUSINESS,
                "organizationId": ORGANIZATION,
                "organization": ref("IdNamePair", "The business."),
                "source": ref("IdNamePair", "The source that it came by."),
                "tags": TAGS,
                **standing(),
            },
        ),
        "LeadArchiveRequest": asked(
            "Why a lead is archived; may be left out.",
            {
                "reason": maybe(ARCHIVE_REASON),
                "note": maybe(text("A note.", "Sold", maxLength=leads.ARCHIVE_NOTE_MAX_LENGTH)),
            },
        ),
        "LeadTagsRequest": asked(
            "The tags that are meant, by id, by name, or both.",
            {
                "tagIds": maybe(texts("Ids of tags.", [TAG_ID], maxItems=leads.TAGS_AT_MOST)),
                "tagNames": maybe(
                    texts(
                        "Names of tags, in any case.",
                        ["VIP"],
                        maxItems=leads.TAGS_AT_MOST,
                        each={"maxLength": 64},
                    )
                ),
                "createMissing": maybe(boolean("Make the tags whose names are not known.", True)),
            },
        ),
    }
