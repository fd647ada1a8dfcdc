"""Every operation of the API as its description tells it: what it does, takes, answers and refuses.

One row for each method of each path that `urls.py` here and at intake open; `schema.py` looks them
up by both, and fails for one that has no row. Operation ids are those of the public API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from drf_spectacular.utils import OpenApiParameter

from intake.problems import PROBLEM_TYPES
from leadping.api import leads, sources
from leadping.api.lead_shapes import flat
from leadping.api.schemas import (
    LEAD_ID,
    SOURCE_ID,
    TAG_ID,
    Schema,
    array,
    boolean,
    choice,
    integer,
    moment,
    ref,
    text,
)
from leadping.api.shapes import SUPPRESSION_ID
from sources.rules import Rule

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROBLEM = "application/problem+json"

# --- headers of answers ---------------------------------------------------------------------------

HEADERS: dict[str, Schema] = {
    "X-Request-Id": text(
        "Id of the request: that of the request's own header X-Request-Id if it is 8 to 64 of "
        "A-Za-z0-9._-, else a new one."
    ),
    "Cache-Control": text("Nothing may keep the answer."),
    "RateLimit": text("What is left of each limit, and the seconds to the end of its window."),
    "RateLimit-Policy": text("The limits, and the length of each window in seconds."),
    "Leadping-Ignored-Fields": text(
        "Names of members that mean nothing here; up to 20, sorted, the rest only counted."
    ),
    "Leadping-Masked": choice("Persons are masked: the token lacks personal-data.", ["true"]),
    "Leadping-Truncated": text("Names of the fields whose values were cut."),
    "Leadping-Findings": text("Codes of what the rules found."),
    "Leadping-Post-Id": text("Id of this one post.", format="uuid"),
    "Idempotency-Replayed": choice("This is the first lead again.", ["true"]),
    "Location": text(
        "Path of what was made, or of the lead that has the externalId.", f"/leads/{LEAD_ID}"
    ),
    "Leadping-Problem": text("The last part of the problem's type."),
    "Retry-After": text("Seconds to wait before the same request is sent again."),
    "WWW-Authenticate": text("Which kind of credentials is wanted."),
}
ALWAYS = ("X-Request-Id", "Cache-Control")
RATES = ("RateLimit", "RateLimit-Policy")
# Of the answers with a status, which are there whenever it is answered.
OF_STATUS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
OF_A_POST = ("Leadping-Findings", "Leadping-Truncated", "Idempotency-Replayed")

# --- what an operation can refuse -----------------------------------------------------------------

EVERYWHERE = (
    *("malformed-body", "invalid-credentials", "not-found", "length-required", "body-too-large"),
    *("rate-limited", "internal-error", "unavailable"),
)
OF_TOKENS = (*EVERYWHERE, "invalid-request", "insufficient-scope")
OF_BODIES = (*OF_TOKENS, "unsupported-media-type")
OF_POSTS = (
    *EVERYWHERE,
    *("invalid-lead", "source-disabled", "external-id-conflict", "lead-erased"),
    *("unsupported-media-type", "idempotency-key-reused", "not-accepted"),
    *(rule.value for rule in Rule if rule.value in PROBLEM_TYPES),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does.

    `answers`: name of the shape of its answer, or its schema; None for none. `takes`: the same for
    its body, by media type. `can_refuse`: codes of problems. `says`: headers that its answer may
    have. `example`: of its body.
    """

    id: str
    summary: str
    said: str
    answers: str | Schema | None
    can_refuse: tuple[str, ...]
    status: int = 200
    takes: Mapping[str, str] = field(default_factory=dict)
    is_body_optional: bool = False
    example: Any = None
    parameters: tuple[OpenApiParameter, ...] = ()
    says: tuple[str, ...] = ()
    must_say: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """Return the name of the group that it stands in."""
        return self.id.partition("_")[0]


Where = Literal["path", "query", "header", "cookie"]


def parameter(name: str, schema: Schema, where: Where, **more: Any) -> OpenApiParameter:
    """Return a parameter of a request; its description is that of its schema."""
    said = schema["description"]
    bare = {key: value for key, value in schema.items() if key != "description"}
    return OpenApiParameter(name, bare, where, description=said, **more)


def in_path(name: str, said: str, example: str) -> OpenApiParameter:
    schema = text(said, example, format="uuid")
    return parameter(name, schema, "path", required=True)


def in_query(name: str, schema: Schema, **more: Any) -> OpenApiParameter:
    return parameter(name, schema, "query", **more)


LEAD = in_path("id", "Id of the lead.", LEAD_ID)

# --- intake ---------------------------------------------------------------------------------------

IDEMPOTENCY_KEY = parameter(
    "Idempotency-Key",
    text(
        "A key of your own for this lead, 1 to 255 visible ASCII characters: sent again with the "
        "same fields, the first lead is answered.",
        "8f14e45f-ceea-467f",
        pattern=r"^[\x21-\x7e]{1,255}$",
    ),
    "header",
)
POSTED = {
    "phone": "(512) 555-0137",
    "email": "ada@example.com",
    "firstName": "Ada",
    "state": "Texas",
    "zip": "78701",
    "externalId": "ada-1",
    "price": "12.50",
    "sourceMetadata": {"step": "3"},
}
POSTED_STRUCTURED = {
    "metadata": {"externalId": "ada-1", "price": 12.5},
    "contact": {
        "firstName": "Ada",
        "phone": {"number": "(512) 555-0137", "type": "cell"},
        "streetAddress": {"line1": "98 San Jacinto Blvd", "state": "TX", "postalCode": "78701"},
    },
    "customer": {"isHomeowner": True, "income": 85000},
    "tagNames": ["VIP"],
}
A_POST: dict[str, Any] = {
    "answers": "LeadIntakeResponse",
    "status": 201,
    "can_refuse": OF_POSTS,
    "says": OF_A_POST,
    "must_say": ("Location", "Leadping-Post-Id"),
}
STORED = (
    "Answers 201 once the lead is stored, also when it is held for review: complianceStatus says. "
    "A post that comes again with its externalId or Idempotency-Key is answered with the first "
    "lead."
)


def query_of_a_post() -> tuple[OpenApiParameter, ...]:
    """Return the flat names as parameters of a query, in PascalCase by custom."""
    made = []
    for name, schema in flat(is_text=True).items():
        style = {"style": "deepObject", "explode": True} if name == "sourceMetadata" else {}
        made.append(in_query(name[0].upper() + name[1:], schema, **style))
    return tuple(made)


INTAKE = {
    ("POST", "/leads/intake"): Operation(
        id="Leads_CreateIntake",
        summary="Post a lead",
        said=f"Takes a lead in flat names, as JSON or as a form. {STORED}",
        takes={JSON: "LeadIntakeRequest", FORM: "LeadIntakeForm"},
        example=POSTED,
        parameters=(IDEMPOTENCY_KEY,),
        **A_POST,
    ),
    ("GET", "/leads/intake"): Operation(
        id="Leads_CreateIntakeFromQuery",
        summary="Post a lead by a URL",
        said=(
            "For systems that can only call a URL: takes the same names in the query, in any "
            "letter case; a body means nothing. Where staff have opened the source for it, the "
            f"credentials may stand in the query too. {STORED}"
        ),
        parameters=(*query_of_a_post(), IDEMPOTENCY_KEY),
        **A_POST,
    ),
    ("POST", "/leads"): Operation(
        id="Leads_CreateExternal",
        summary="Post a structured lead",
        said=f"Takes a lead shaped like the answer. {STORED}",
        takes={JSON: "LeadRequest"},
        example=POSTED_STRUCTURED,
        parameters=(IDEMPOTENCY_KEY,),
        **A_POST,
    ),
}

# --- leads ----------------------------------------------------------------------------------------

A_LEAD: dict[str, Any] = {
    "answers": "LeadResponse",
    "parameters": (LEAD,),
    "says": ("Leadping-Masked",),
}
TAGGED = (
    "Tags are named by id, by name, or both; createMissing makes those whose names are not known. "
    "An archived tag is not known."
)

LEADS = {
    ("POST", "/leads/all/my"): Operation(
        id="Leads_GetAllForCurrentUser",
        summary="List leads",
        said=(
            "Answers a page of leads, tests left out unless asked for by isTest. Ask for the next "
            "page with the continuationToken of the last one; each lead that was there at the "
            "first page comes exactly once, whatever is posted meanwhile."
        ),
        answers="PagedResultOfLeadTableRow",
        takes={JSON: "LeadListRequest"},
        is_body_optional=True,
        example={
            "pageSize": 100,
            "orderBy": [{"field": "createdAt", "direction": "desc"}],
            "filters": [{"field": "complianceStatus", "value": "Approved"}],
            "rangeFilters": [{"field": "createdAt", "greaterThanOrEqual": "2026-11-01T00:00:00Z"}],
        },
        can_refuse=OF_BODIES,
        says=("Leadping-Masked",),
        parameters=(
            in_query(
                "tagIds",
                array(
                    "Leads that have one of these tags.",
                    {"type": "string", "format": "uuid"},
                    maxItems=leads.TAGS_AT_MOST,
                ),
            ),
            in_query("tagMatchAll", boolean("Leads that have all of tagIds.")),
            in_query("untagged", boolean("Leads that have no tag.")),
            in_query(
                "archiveFilter",
                choice(
                    "Leads in the working lists, archived ones, or both; active if left out.",
                    leads.ARCHIVE_FILTERS,
                ),
            ),
        ),
    ),
    ("GET", "/leads/{id}"): Operation(
        id="Leads_GetForCurrentUser",
        summary="Read a lead",
        said="With personal-data, that the person was shown is kept on record.",
        can_refuse=OF_TOKENS,
        **A_LEAD,
    ),
    ("PUT", "/leads/{id}"): Operation(
        id="Leads_Update",
        summary="Change a lead",
        said=(
            "Changes the members that are sent; what is left out, null, blank or the server's own "
            "stays, and a lead that is put back as it was read is not changed. An approved lead is "
            "blocked if the rules find something against what was changed; a blocked one stays so. "
            "externalId cannot be changed. tagIds and tagNames, if there are any, replace the tags."
        ),
        takes={JSON: "LeadRequest"},
        example={"contact": {"firstName": "Eve"}, "customer": {"income": 90000}},
        can_refuse=(*OF_BODIES, "invalid-lead"),
        **A_LEAD | {"says": ("Leadping-Masked", "Leadping-Truncated")},
    ),
    ("DELETE", "/leads/{id}"): Operation(
        id="Leads_Delete",
        summary="Delete a lead",
        said=(
            "The lead is gone from the API and the console's lists. It still answers a vendor who "
            "sends it again, and is still counted."
        ),
        answers=None,
        status=204,
        parameters=(LEAD,),
        can_refuse=OF_TOKENS,
    ),
    ("POST", "/leads/{id}/archive"): Operation(
        id="Leads_Archive",
        summary="Archive a lead",
        said="Takes the lead out of the working lists; one that is archived stays as it was.",
        takes={JSON: "LeadArchiveRequest"},
        is_body_optional=True,
        example={"reason": 3, "note": "Sold"},
        can_refuse=OF_BODIES,
        **A_LEAD,
    ),
    ("POST", "/leads/{id}/unarchive"): Operation(
        id="Leads_Unarchive",
        summary="Take a lead back from the archive",
        said="Takes the lead back into the working lists. A body means nothing.",
        can_refuse=OF_TOKENS,
        **A_LEAD,
    ),
    ("POST", "/leads/{id}/tags"): Operation(
        id="Leads_AddTags",
        summary="Add tags to a lead",
        said=TAGGED,
        takes={JSON: "LeadTagsRequest"},
        example={"tagNames": ["VIP"], "createMissing": True},
        can_refuse=OF_BODIES,
        **A_LEAD,
    ),
    ("PUT", "/leads/{id}/tags"): Operation(
        id="Leads_ReplaceTags",
        summary="Replace the tags of a lead",
        said=f"The lead has these tags and no others afterwards; none, if none are named. {TAGGED}",
        takes={JSON: "LeadTagsRequest"},
        example={"tagNames": ["VIP"], "createMissing": True},
        can_refuse=OF_BODIES,
        **A_LEAD,
    ),
    ("DELETE", "/leads/{id}/tags/{tagId}"): Operation(
        id="Leads_RemoveTag",
        summary="Take a tag off a lead",
        said="Answers 404 if the lead does not have the tag.",
        can_refuse=OF_TOKENS,
        **A_LEAD | {"parameters": (LEAD, in_path("tagId", "Id of the tag.", TAG_ID))},
    ),
}

# --- tags -----------------------------------------------------------------------------------------

TAG = in_path("id", "Id of the tag.", TAG_ID)

OF_TAGS = {
    ("GET", "/tags"): Operation(
        id="Tags_GetAllForCurrentOrganization",
        summary="List tags",
        said="Answers all tags at once, by name.",
        answers=array("The tags.", ref("TagResponse")),
        parameters=(in_query("includeArchived", boolean("Archived ones too.")),),
        can_refuse=OF_TOKENS,
    ),
    ("POST", "/tags"): Operation(
        id="Tags_Create",
        summary="Make a tag",
        said="The name of an archived tag brings that one back into use.",
        answers="TagResponse",
        status=201,
        takes={JSON: "TagRequest"},
        example={"name": "VIP", "color": "#1F6FEB"},
        can_refuse=OF_BODIES,
    ),
    ("PUT", "/tags/{id}"): Operation(
        id="Tags_Update",
        summary="Change a tag",
        said="What is left out or null stays; a blank colour or description is emptied.",
        answers="TagResponse",
        takes={JSON: "TagRequest"},
        example={"description": "Call first"},
        parameters=(TAG,),
        can_refuse=OF_BODIES,
    ),
    ("DELETE", "/tags/{id}"): Operation(
        id="Tags_Archive",
        summary="Archive a tag",
        said="It stays on the leads that have it, and comes on no further ones.",
        answers={**boolean("It is archived.", True), "enum": [True]},
        parameters=(TAG,),
        can_refuse=OF_TOKENS,
    ),
}

# --- sources --------------------------------------------------------------------------------------

SOURCE = in_path("id", "Id of the source.", SOURCE_ID)
JUDGED = "By what it sets, leads are judged that come from then on."

OF_SOURCES = {
    ("POST", "/sources"): Operation(
        id="Sources_Create",
        summary="Make a source",
        said=(
            "Its key is answered as apiKey, this once. Staff have not approved it yet, so its "
            "leads are held until they have; its vendor is the business itself until staff set "
            "another one."
        ),
        answers="SourceResponse",
        status=201,
        takes={JSON: "SourceRequest"},
        example={"name": "Autumn campaign", "allowedStates": ["TX", "NM"]},
        must_say=("Location",),
        can_refuse=OF_BODIES,
    ),
    ("GET", "/sources/{id}"): Operation(
        id="Sources_Get",
        summary="Read a source",
        said="Answers its settings, and when its leads came; never its key.",
        answers="SourceResponse",
        parameters=(SOURCE,),
        can_refuse=OF_TOKENS,
    ),
    ("PUT", "/sources/{id}"): Operation(
        id="Sources_Update",
        summary="Change a source",
        said=(
            "What is left out or null stays; an empty list allows all. regenerateApiKey makes a "
            f"new key, answered this once, and ends all others at once. {JUDGED}"
        ),
        answers="SourceResponse",
        takes={JSON: "SourceRequest"},
        example={"allowedStates": ["TX"], "regenerateApiKey": True},
        parameters=(SOURCE,),
        can_refuse=OF_BODIES,
    ),
    ("DELETE", "/sources/{id}"): Operation(
        id="Sources_Delete",
        summary="Delete a source",
        said="Its keys end at once and its name is free again; its leads stay.",
        answers=None,
        status=204,
        parameters=(SOURCE,),
        can_refuse=OF_TOKENS,
    ),
    ("POST", "/sources/all/my"): Operation(
        id="Sources_GetAllForCurrentUser",
        summary="List sources",
        said="Answers a page of sources, by name unless asked otherwise.",
        answers="PagedResultOfSourceTableRow",
        takes={JSON: "SourceListRequest"},
        is_body_optional=True,
        example={"filters": [{"field": "enabled", "value": True}], "includeCount": True},
        can_refuse=OF_BODIES,
    ),
    ("GET", "/sources/{id}/metrics"): Operation(
        id="Sources_GetMetrics",
        summary="Count the leads of a source",
        said=(
            "Answers how many leads came on each day, tests apart, in the source's time zone. A "
            "lead counts on the day on which it came, whatever became of it."
        ),
        answers="SourceMetricsResponse",
        parameters=(
            SOURCE,
            in_query("startAt", moment("In the first day.", "2026-11-01T00:00:00Z")),
            in_query("endAt", moment("In the last day; now if left out.", "2026-11-30T00:00:00Z")),
            in_query(
                "days",
                integer(
                    "How many days up to the end, without startAt.",
                    sources.DAYS,
                    minimum=1,
                    maximum=sources.DAYS_AT_MOST,
                ),
            ),
        ),
        can_refuse=OF_TOKENS,
    ),
}

# --- suppressions ---------------------------------------------------------------------------------

PERSON = {"phoneNumber": "+15125550137", "channel": "sms"}
MASKS = ("Leadping-Masked",)

OF_SUPPRESSIONS = {
    ("POST", "/suppressions"): Operation(
        id="Suppressions_Suppress",
        summary="Suppress a person",
        said=(
            "From now on no lead of this person is approved, and those that are approved are "
            "blocked before this is answered. What stands already is answered as it is."
        ),
        answers="SuppressionEntryResponse",
        status=201,
        takes={JSON: "SuppressionEntryRequest"},
        example={**PERSON, "reason": "Asked by phone"},
        must_say=("Location",),
        can_refuse=OF_BODIES,
    ),
    ("POST", "/suppressions/release"): Operation(
        id="Suppressions_Release",
        summary="Release a person",
        said=(
            "Ends what the business itself has against just this person and channel. An opt-out or "
            "revocation ends only by a new consent: evidence says what proves it, or else the "
            "reason stands for it. Leads that were blocked stay so for staff to look at."
        ),
        answers="SuppressionEntryResponse",
        takes={JSON: "SuppressionReleaseRequest"},
        example={**PERSON, "reason": "Signed up again", "evidence": "Form of 2026-11-23"},
        can_refuse=OF_BODIES,
    ),
    ("POST", "/suppressions/check"): Operation(
        id="Suppressions_Check",
        summary="Check a person",
        said=(
            "Judges as a lead of this person would be judged. Of do-not-call registries no more is "
            "told than that the person may not be contacted."
        ),
        answers="SuppressionCheckResult",
        takes={JSON: "SuppressionCheckRequest"},
        example=PERSON,
        can_refuse=OF_BODIES,
    ),
    ("POST", "/suppressions/all/my"): Operation(
        id="Suppressions_GetAllForCurrentOrganization",
        summary="List suppressions",
        said="Answers a page of the business's own entries, the newest first; no registry's.",
        answers="PagedResultOfSuppressionEntryResponse",
        takes={JSON: "SuppressionListRequest"},
        is_body_optional=True,
        example={"filters": [{"field": "status", "value": "active"}]},
        says=MASKS,
        can_refuse=OF_BODIES,
    ),
    ("GET", "/suppressions/{id}"): Operation(
        id="Suppressions_Get",
        summary="Read a suppression",
        said="Answers an entry with all that was done to it.",
        answers="SuppressionEntryResponse",
        parameters=(in_path("id", "Id of the entry.", SUPPRESSION_ID),),
        says=MASKS,
        can_refuse=OF_TOKENS,
    ),
}

OPERATIONS: dict[tuple[str, str], Operation] = (
    INTAKE | LEADS | OF_TAGS | OF_SOURCES | OF_SUPPRESSIONS
)
TAGS = {
    "Leads": "Posting leads with a source's key; reading and changing them with a token.",
    "Tags": "The labels of a business.",
    "Sources": "The ways by which vendors send leads, their settings and keys.",
    "Suppressions": "Who may not be contacted.",
}
