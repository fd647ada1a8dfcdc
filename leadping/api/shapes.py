"""The shapes of bodies and answers as the description of the API shows them, by name.

Nothing here runs for a request: views write and read what they do by themselves, and
`tests/test_openapi.py` holds every answer against these. Lists are made from the fields that they
can be asked by.
"""

from collections.abc import Mapping
from typing import Any

from intake.problems import PROBLEM_TYPES
from leadping.api import lead_shapes, leads, lists, sources, suppressions, tags
from leadping.api.lead_shapes import BUSINESS, MASKED, ORGANIZATION
from leadping.api.schemas import (
    BUSINESS_ID,
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
from leads.compliance import MAY_NOT_BE_CONTACTED
from leads.models import Suppression

# --- what others share ----------------------------------------------------------------------------


def shared() -> dict[str, Schema]:
    """Return the shapes that several things have."""
    return {
        "IdNamePair": answered(
            "What something is called.",
            {"id": text("Its id.", SOURCE_ID), "name": text("Its name.", "Autumn campaign")},
        ),
        "TagSummary": answered(
            "A tag, as other things name it.",
            {
                "id": an_id("Id of the tag.", TAG_ID),
                "name": text("Its name.", "VIP"),
                "normalizedName": text("The name in one case, by which it is matched.", "vip"),
                "color": maybe(text("Its colour, in hexadecimal digits.", "#1F6FEB")),
            },
        ),
        "ProblemDetails": answered(
            "Why a request was refused (RFC 9457).",
            {
                "type": text("URI of the kind of problem; it leads to a page for people."),
                "title": text("The kind of problem, in one sentence."),
                "status": integer("The status of the answer."),
                "detail": text("What is wrong with this request."),
                "instance": text("Path of the request."),
                "requestId": text("Id of the request, as in the header X-Request-Id."),
                "traceId": text("The same as requestId."),
                "retryable": boolean("Whether the same request may be answered later."),
                "errors": mapping(
                    "Sentences by the name of the field that was sent.",
                    {"type": "array", "items": {"type": "string"}},
                    {"zip": ["This is no ZIP code."]},
                ),
                "faults": array("What is wrong, field by field.", ref("Fault")),
            },
            optional=("errors", "faults"),
        ),
        "Fault": answered(
            "What is wrong with one field.",
            {
                "pointer": text("JSON pointer to the field in the body.", "#/zip"),
                "field": text("Name of the field as it was sent.", "zip"),
                "code": text("What is wrong, in a word for programs.", "invalid-zip"),
                "detail": text("What is wrong, in a sentence.", "This is no ZIP code."),
            },
        ),
    }


SCALAR = {"type": ["string", "number", "boolean", "null"]}


def list_of(resource: str, item: str, known: Mapping[str, lists.ListField]) -> dict[str, Schema]:
    """Return how a list is asked for and answered: `<resource>ListRequest`, `PagedResultOf<item>`.

    `known`: the fields that it can be asked by.
    """

    def names(fits: Any) -> list[str]:
        return [one.name for one in known.values() if fits(one)]

    most = lists.FILTERS_AT_MOST
    ordered = names(lambda one: one.is_ordered)
    filtered, ranged = names(lambda one: one.is_filter), names(lambda one: one.has_range)
    searched = names(lambda one: one.is_text)
    personal = names(lambda one: one.is_personal)
    said = f" With the scope personal-data only: {', '.join(personal)}." if personal else ""
    ends = {
        name: {**SCALAR, "description": f"The field is {word} this."}
        for name, word in (
            ("greaterThan", "more than"),
            ("greaterThanOrEqual", "this or more than"),
            ("lessThan", "less than"),
            ("lessThanOrEqual", "this or less than"),
        )
    }
    properties: dict[str, Schema] = {
        "pageSize": maybe(
            integer(
                f"How many rows at most; {lists.PAGE_SIZE} by default, "
                f"{lists.PAGE_SIZE_AT_MOST} at most whatever is asked for.",
                lists.PAGE_SIZE,
                minimum=0,
            )
        ),
        "continuationToken": maybe(
            text("Of the page before; all else must be asked as it was for that one.")
        ),
        "orderBy": maybe(
            array(
                "By what the list is sorted; one entry is enough.",
                asked(
                    "A field to sort by.",
                    {
                        "field": choice("Name of the field.", ordered),
                        "direction": maybe(choice("Which way; asc if left out.", ["asc", "desc"])),
                    },
                    ["field"],
                ),
                [{"field": ordered[0], "direction": "desc"}],
                maxItems=most,
            )
        ),
        "includeCount": maybe(
            boolean(f"Whether to count all rows; over {lists.COUNTED_AT_MOST} are not counted.")
        ),
        "search": maybe(text("What is searched for.", maxLength=lists.SEARCH_MAX_LENGTH)),
        "searchFields": maybe(
            array("Where it is searched for.", choice("Name of a field.", searched), maxItems=most)
        ),
        "filters": maybe(
            array(
                f"Fields that must equal a value, by the field's type; null: has none.{said}",
                asked(
                    "A field and its value.",
                    {
                        "field": choice("Name of the field.", filtered),
                        "value": {**SCALAR, "description": "The value, in any JSON type."},
                    },
                    ["field", "value"],
                ),
                [],
                maxItems=most,
            )
        ),
        "rangeFilters": maybe(
            array(
                "Fields that must lie in a range.",
                asked(
                    "A field and the ends of its range.",
                    {"field": choice("Name of the field.", ranged), **ends},
                    ["field"],
                ),
                [],
                maxItems=most,
            )
        ),
    }
    if not ranged:
        del properties["rangeFilters"]
    return {
        f"{resource}ListRequest": asked(
            f"How a page of {resource.lower()}s is asked for; all may be left out.", properties
        ),
        f"PagedResultOf{item}": answered(
            f"A page of {resource.lower()}s.",
            {
                "items": array("The rows of the page.", ref(item)),
                "pageSize": integer("How many rows a page has at most.", lists.PAGE_SIZE),
                "totalCount": maybe(
                    integer(
                        "How many rows there are, if includeCount asked for it; null if there are "
                        f"over {lists.COUNTED_AT_MOST}.",
                        1,
                    )
                ),
                "continuationToken": maybe(
                    text("What to ask the next page with; null on the last page.", "eyJ…")
                ),
            },
        ),
    }


# --- tags, sources and suppressions ---------------------------------------------------------------

COLOR = text("Its colour, in hexadecimal digits.", "#1F6FEB", pattern="^#[0-9A-Fa-f]{6}$")
CREATED = moment("When it was made.")
MODIFIED = unset(moment("When it was changed last, null until it is."))


def of_tags() -> dict[str, Schema]:
    """Return the shapes of tags."""
    return {
        "TagRequest": asked(
            "A tag; of one that there is, what is left out or null stays.",
            {
                "name": maybe(
                    text(
                        "Its name, unique in the business without regard to case.",
                        "VIP",
                        maxLength=tags.NAME_MAX_LENGTH,
                    )
                ),
                "color": maybe(COLOR),
                "description": maybe(
                    text("What it is for.", "Call first", maxLength=tags.DESCRIPTION_MAX_LENGTH)
                ),
            },
        ),
        "TagResponse": answered(
            "A tag.",
            {
                "id": an_id("Id of the tag.", TAG_ID),
                "businessId": BUSINESS,
                "organizationId": ORGANIZATION,
                "name": text("Its name.", "VIP"),
                "normalizedName": text("The name in one case, by which it is matched.", "vip"),
                "color": maybe(COLOR),
                "description": maybe(text("What it is for.", "Call first")),
                "createdByUserId": maybe(text("Id of the user who made it.", USER_ID)),
                "isArchived": boolean("Whether it comes on no further leads."),
                "archivedAt": unset(moment("When it was archived.")),
                "createdAt": CREATED,
                "modifiedAt": MODIFIED,
            },
        ),
    }


PAIR = "IdNamePair"
STATES = texts("Codes of the states that leads may be from; empty: all.", ["TX", "NM"])
PRODUCTS = texts("Products that leads may ask for; empty: all.", ["Solar"])
COST = number("What a lead of the source costs.", 12.5)


def common_of_sources() -> dict[str, Schema]:
    """Return what a source and its row in a list say alike."""
    return {
        "id": an_id("Id of the source.", SOURCE_ID),
        "businessId": BUSINESS,
        "organizationId": ORGANIZATION,
        "organization": ref(PAIR, "The business."),
        "name": text("Its name.", "Autumn campaign"),
        "enabled": boolean("Whether its leads are taken.", True),
        "costPerLead": maybe(COST),
        "allowedStates": STATES,
        "allowedProducts": PRODUCTS,
        "requiresTrustedForm": boolean("Whether leads must bring a TrustedForm certificate."),
        "complianceApproved": boolean("Whether staff have approved it; until then, leads wait."),
        "defaultTagIds": texts("Ids of the tags of its leads that bring none.", [TAG_ID]),
        "defaultTags": array("Those tags, by name.", ref("TagSummary")),
        "firstLeadReceivedAt": maybe(moment("When its first lead came.")),
        "lastLeadReceivedAt": maybe(moment("When its newest lead came.")),
        "user": maybe(ref(PAIR, "Who owns it.")),
        "createdByUser": maybe(ref(PAIR, "Who made it.")),
        "modifiedByUser": maybe(ref(PAIR, "Who changed it last.")),
        "createdAt": CREATED,
        "modifiedAt": MODIFIED,
    }


def of_sources() -> dict[str, Schema]:
    """Return the shapes of sources."""
    most: Schema = {"maxItems": sources.LISTED_AT_MOST}
    each = {"maxLength": sources.LISTED_MAX_LENGTH}
    few: Schema = {"maxItems": sources.TAGS_AT_MOST, "each": each}
    moments = {
        "startAt": moment("When it begins."),
        "endAt": moment("When it ends; that moment is not in it."),
    }
    return {
        "SourceRequest": asked(
            "A source; of one that there is, what is left out or null stays.",
            {
                "name": maybe(
                    text(
                        "Its name, unique among the business's sources.",
                        "Autumn campaign",
                        maxLength=sources.NAME_MAX_LENGTH,
                    )
                ),
                "description": maybe(
                    text(
                        "What it is.",
                        "Leads of the autumn campaign",
                        maxLength=sources.DESCRIPTION_MAX_LENGTH,
                    )
                ),
                "enabled": maybe(boolean("Whether its leads are taken.", True)),
                "regenerateApiKey": maybe(
                    boolean("Make a new key and end all others at once; answered as apiKey.")
                ),
                "costPerLead": maybe({**COST, "minimum": 0}),
                "allowedStates": maybe(
                    array(
                        "Codes or names of the states that leads may be from; []: all.",
                        text("A state.", "TX", format="us-state"),
                        ["TX", "NM"],
                        **most,
                    )
                ),
                "allowedProducts": maybe(
                    texts("Products that leads may ask for; []: all.", ["Solar"], each=each, **most)
                ),
                "requiresTrustedForm": maybe(
                    boolean("Whether leads must bring a TrustedForm certificate.")
                ),
                "defaultTagIds": maybe(
                    texts("Ids of the tags of its leads that bring none.", [TAG_ID], **few)
                ),
                "defaultTagNames": maybe(
                    texts("Names of such tags; with defaultTagIds, both count.", ["VIP"], **few)
                ),
            },
        ),
        "SourceResponse": answered(
            "A source.",
            {
                **common_of_sources(),
                "apiKey": unset(text("A new key, shown this once; else null.")),
                "description": maybe(text("What it is.", "Leads of the autumn campaign")),
                "apiKeyPreview": maybe(text("How its newest live key begins.", "lp_src_AbCd…")),
                "createdByUserEmail": never("E-mail of who made it; never told."),
            },
        ),
        "SourceTableRow": answered(
            "A source as lists show it.",
            {
                **common_of_sources(),
                "apiKey": never("A key is shown once, when it is made."),
                "description": text("What it is.", "Leads of the autumn campaign"),
                "apiKeyPreview": text("How its newest live key begins.", "lp_src_AbCd…"),
                "apiKeyLastUsedAt": maybe(moment("When that key was used last, to the minute.")),
                "apiKeyTotalUses": {
                    **integer("Posts by all its keys, tests apart, seconds late.", 4711),
                    "format": "int64",
                },
            },
        ),
        "SourceMetricsResponse": answered(
            "How many leads of a source came.",
            {
                "range": ref("AnalyticsDateRange", "Which days are told of."),
                "totalLeads": integer("Leads of all these days.", 42),
                "points": array("Each day, the first first.", ref("AnalyticsTrendPoint")),
                "generatedAt": moment("Up to when all that came is counted."),
            },
        ),
        "AnalyticsDateRange": answered(
            "A range of whole days in the source's time zone.",
            {
                **moments,
                "bucketSize": integer(
                    "Length of a point: 0, a day.", sources.BY_DAY, enum=[sources.BY_DAY]
                ),
            },
        ),
        "AnalyticsTrendPoint": answered(
            "A day and its leads.",
            {
                **moments,
                "label": text("The day.", "2026-11-23", format="date"),
                "value": integer("Leads that came on it.", 7),
            },
        ),
    }


CHANNEL = choice("By which it stands.", Suppression.Channel.values)
KINDS = [one.value for one in suppressions.KIND_WORDS.values()]
KIND = choice("Why it stands.", KINDS)
REASON_LENGTH = suppressions.TEXT_MAX_LENGTH


def of_suppressions() -> dict[str, Schema]:
    """Return the shapes of suppressions."""
    person = {
        "organizationId": ORGANIZATION,
        "businessId": BUSINESS,
        "recipientIdentifier": never("An id that others have for the person; none is kept."),
        "normalizedPhoneNumber": maybe(text(f"Phone in E.164. {MASKED}", "+15125550137")),
        "normalizedEmail": maybe(text(f"E-mail as it is matched. {MASKED}", "ada@example.com")),
        "channel": CHANNEL,
    }
    sent: dict[str, Schema] = {
        "organizationId": maybe(an_id("The business of the token, or left out.", BUSINESS_ID)),
        "businessId": maybe(an_id("The same.", BUSINESS_ID)),
        "phoneNumber": maybe(text("Phone in any usual notation.", "+15125550137", format="phone")),
        "email": maybe(text("E-mail address.", "ada@example.com", format="email")),
        "channel": maybe({**CHANNEL, "description": "By which channel; all if left out."}),
        "kind": maybe({**KIND, "description": "Why; opt-out if left out."}),
        "reason": maybe(text("In whose words.", "Asked by phone", maxLength=REASON_LENGTH)),
    }
    needed = "At least one of phoneNumber and email must come, and the one that the channel needs."
    status = choice(
        "active while it stands, released once it has ended.",
        (suppressions.ACTIVE, suppressions.RELEASED),
    )
    return {
        "SuppressionEntryRequest": asked(f"Whom nobody may contact. {needed}", sent),
        "SuppressionReleaseRequest": asked(
            f"Whom one may contact again. {needed}",
            {
                **sent,
                "kind": maybe({**KIND, "description": "Which of them ends; all if left out."}),
                "reason": text(
                    "Why the person may be contacted again.",
                    "Signed up again",
                    maxLength=REASON_LENGTH,
                    minLength=1,
                ),
                "evidence": maybe(
                    text(
                        "What proves a new consent; without it, the reason is kept as that.",
                        "Form of 2026-11-23",
                        maxLength=REASON_LENGTH,
                    )
                ),
            },
            ["reason"],
        ),
        "SuppressionCheckRequest": asked(
            f"Of whom is asked. {needed}",
            {name: one for name, one in sent.items() if name not in ("kind", "reason")},
        ),
        "SuppressionEntryResponse": answered(
            "That somebody may not be contacted; after a release of what never stood, one without "
            "id.",
            {
                "id": maybe(an_id("Id of the entry.", SUPPRESSION_ID)),
                **person,
                "kind": maybe(KIND),
                "source": maybe(text("By which way it came.", "api sk_AbCd…")),
                "status": {**choice("Whether it stands; none: nothing stood.", STATUSES)},
                "reason": maybe(text("What was said of it last.", "Asked by phone")),
                "suppressedAt": maybe(moment("Since when it stands.")),
                "releasedAt": unset(moment("When it ended.")),
                "audit": array("What was done to it, in order.", ref("SuppressionEntryAudit")),
            },
        ),
        "SuppressionEntryAudit": answered(
            "One thing that was done to an entry.",
            {
                "id": text("Id of this record.", f"{SUPPRESSION_ID}-active"),
                "status": status,
                "source": text("By which way it was done.", "api sk_AbCd…"),
                "timestamp": moment("When it was done."),
                "actorId": maybe(text("Id of the user who did it.", USER_ID)),
                "reason": maybe(text("What was said of it.", "Asked by phone")),
                "safeMetadata": mapping(
                    "What else is known of it.", {"type": "string"}, {"kind": "opt-out"}
                ),
            },
        ),
        "SuppressionCheckResult": answered(
            "Whether somebody may be contacted.",
            {
                "allowed": boolean("Whether it is allowed."),
                **person,
                "suppressionEntryId": maybe(
                    an_id("The business's own entry that forbids it, if one does.", SUPPRESSION_ID)
                ),
                "source": maybe(text("By which way that entry came.", "api sk_AbCd…")),
                "suppressedAt": maybe(moment("Since when it stands.")),
                "customerReason": maybe(
                    text("Why it is not allowed, null if it is.", MAY_NOT_BE_CONTACTED)
                ),
            },
        ),
    }


SUPPRESSION_ID = "01983c5d-0a6e-7e9f-9c53-5d8f21b7c490"
STATUSES = (suppressions.ACTIVE, suppressions.RELEASED, suppressions.NONE)


def named() -> dict[str, Schema]:
    """Return every shape by its name, sorted."""
    found = {
        **lead_shapes.flat_bodies(),
        **lead_shapes.structured(),
        **lead_shapes.leads_at_intake(),
        **lead_shapes.leads_to_read(),
        **of_tags(),
        **of_sources(),
        **of_suppressions(),
        **shared(),
        **list_of("Lead", "LeadTableRow", leads.FIELDS),
        **list_of("Source", "SourceTableRow", sources.FIELDS),
        **list_of("Suppression", "SuppressionEntryResponse", suppressions.FIELDS),
    }
    return dict(sorted(found.items()))


def problem_examples(url: str) -> dict[str, Schema]:
    """Return an example of each problem by its code, as a service at `url` would answer it."""
    return {
        code: {
            "summary": one.title,
            "value": {**one.example, "type": f"{url}/problems/{code}"},
        }
        for code, one in sorted(PROBLEM_TYPES.items())
    }
