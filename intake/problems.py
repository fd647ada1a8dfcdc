"""Every way in which the door says no: the table of problem types and the RFC 9457 envelope.

Source: contract §9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.conf import settings

from leads.compliance import MAY_NOT_BE_CONTACTED, RULES
from sources.keys import blank
from sources.rules import Rule

POINTER_MAX_LENGTH = 200
EXAMPLE_REQUEST_ID = "5f1c0c9e2b7d4a3f8e6a1d2c3b4a5968"
ZIPS_DIFFER = "zip and postalCode mean the same field and differ."
EXAMPLE_LEAD_ID = "01983c5a-7e21-7b40-9d3f-2c61f0a8e514"


class Kept(Enum):
    """How much is kept of a post that was answered so."""

    WHOLE = "whole"
    START = "start"  # what is known of it and its first bytes
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field, named as the vendor sent it; never its value.

    `path` is the field's name, after those of the objects that it stands in.
    """

    path: tuple[str, ...]
    code: str
    detail: str

    @property
    def name(self) -> str:
        """Return the field's name for people, e.g. "contact.phone.number"; no key is in it."""
        return ".".join(blank(one)[0] for one in self.path)

    def as_json(self) -> dict[str, str]:
        """Return the fault with the JSON pointer to its field."""
        name = self.name
        escaped = (blank(one)[0].replace("~", "~0").replace("/", "~1") for one in self.path)
        pointer = "#/" + "/".join(escaped)
        return {
            "pointer": pointer[:POINTER_MAX_LENGTH],
            "field": name[:POINTER_MAX_LENGTH],
            "code": self.code,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of refusal: the last part of its URI, its status and what it means.

    `explanation` says on the page of the type, in whole sentences, when it comes and what the
    sender should do. What starts with `example_` makes up the answer that the page shows. One that
    is not `is_of_intake` comes from the read API alone.
    """

    code: str
    status: int
    title: str
    detail: str
    kept: Kept = Kept.NOTHING
    is_retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    explanation: str = field(kw_only=True)
    is_of_intake: bool = True
    example_detail: str = ""
    example_faults: tuple[Fault, ...] = ()
    example_headers: Mapping[str, str] = field(default_factory=dict)
    example_path: str = "/leads/intake"

    def example_problem(self) -> "Problem":
        """Return a problem of this type as the service would raise it."""
        if self.code == "invalid-lead":
            return invalid_lead(self.example_faults)
        said = self.example_detail or " ".join(one.detail for one in self.example_faults)
        return Problem(self.code, said, self.example_faults, self.example_headers)

    @property
    def example(self) -> dict[str, Any]:
        """Return the body of that problem, made like that of any other."""
        return self.example_problem().as_json(EXAMPLE_REQUEST_ID, self.example_path)


PROBLEM_TYPES: dict[str, ProblemType] = {
    one.code: one
    for one in (
        ProblemType(
            "malformed-body",
            400,
            "The body cannot be read",
            "The body is not JSON.",
            Kept.WHOLE,
            explanation=(
                "The body is not one object that can be read in only one way: it breaks off, names "
                "a member twice, holds a character or number that JSON does not have, or is too "
                "deep or too wide. The detail says which of these it is. Let a JSON library write "
                "the body, in UTF-8, and send it again."
            ),
            example_detail="A member comes twice in one object.",
        ),
        ProblemType(
            "invalid-lead",
            400,
            "The lead is not valid",
            "Some fields do not validate; each is listed under errors and faults.",
            Kept.WHOLE,
            explanation=(
                "The body was read, but some of its fields cannot be taken. Every fault is listed "
                "at once, under the name that you sent and without its value. Correct all of "
                "them, then send the lead again."
            ),
            example_faults=tuple(
                Fault((name,), "conflicting-values", ZIPS_DIFFER) for name in ("zip", "postalCode")
            ),
        ),
        ProblemType(
            "invalid-request",
            400,
            "The request is not valid",
            "Some members do not validate; each is listed under errors and faults.",
            explanation=(
                "The body or query was read, but some of it cannot be taken: a member of another "
                "type, a name that this list does not know, a value out of its range. Every fault "
                "is listed at once. Correct all of them, then send the request again."
            ),
            is_of_intake=False,
            example_faults=(
                Fault(("filters", "0", "field"), "unknown-field", "This list has no such field."),
            ),
            example_path="/leads/all/my",
        ),
        ProblemType(
            "invalid-credentials",
            401,
            "The credentials are not valid",
            "Send X-Leadping-Source-Id and X-Leadping-Source-Key, or the key as a Bearer token.",
            headers={"WWW-Authenticate": 'Bearer realm="leadping"'},
            explanation=(
                "No source is known by what was sent: the key is missing, mistyped, expired or "
                "revoked, or belongs to another source than the one named. The answer is the same "
                "for all of these, so that nobody can guess keys by it. Check both headers; if "
                "they are as they were given to you, ask the business for a new key."
            ),
        ),
        ProblemType(
            "source-disabled",
            403,
            "The source is switched off",
            "The key is right, but its source is switched off; ask the business to switch it on.",
            Kept.START,
            explanation=(
                "The business has switched this source off, so none of its leads is taken. Your "
                "key is right and need not be changed. Stop sending, and ask the business whether "
                "the source is to be switched on again."
            ),
        ),
        ProblemType(
            "insufficient-scope",
            403,
            "The token may not do this",
            "The token lacks a scope; ask whoever made it for another one.",
            explanation=(
                "The token is right, but it was not made for this: each opens only what its scopes "
                "name. The detail names the scope that is needed. Ask whoever made the token for "
                "one that has it. Without personal-data, persons are masked, and what names them "
                "can neither be searched for nor changed."
            ),
            is_of_intake=False,
            example_detail="This needs the scope leads:write.",
            example_path=f"/leads/{EXAMPLE_LEAD_ID}",
        ),
        ProblemType(
            "not-found",
            404,
            "There is nothing here",
            "No endpoint has this path.",
            explanation=(
                "The path is not one of this service, or the request names a host that the service "
                "does not answer for. Most often an address is misspelt, or a part of it is "
                "missing. Leads are posted to /leads/intake."
            ),
            example_path="/leads/intakes",
        ),
        ProblemType(
            "method-not-allowed",
            405,
            "The method is not allowed",
            "This endpoint does not answer this method; the header Allow names those it does.",
            explanation=(
                "The path is right, but the method is not. The header Allow names the methods "
                "that this path answers. Check that no redirect and no proxy on the way has "
                "turned a POST into a GET."
            ),
            example_headers={"Allow": "POST"},
            example_path="/leads",
        ),
        ProblemType(
            "external-id-conflict",
            409,
            "The external id is taken",
            "Another person's lead already has this externalId; Location names that lead.",
            Kept.WHOLE,
            explanation=(
                "Your source has already sent a lead with this externalId, and its phone or e-mail "
                "is another one. The header Location names that lead. Give each person an "
                "externalId of their own, and send the lead again with it."
            ),
            example_detail=(
                f"The lead {EXAMPLE_LEAD_ID} of another person already has this externalId."
            ),
            example_headers={"Location": f"/leads/{EXAMPLE_LEAD_ID}"},
        ),
        ProblemType(
            "lead-erased",
            410,
            "The lead was erased",
            "The lead of this externalId or Idempotency-Key was erased; it is not taken again.",
            Kept.WHOLE,
            explanation=(
                "A lead came with this externalId or Idempotency-Key before and was erased since, "
                "for example because the person asked for it. It is not taken a second time. "
                "Do not send it again; remove it from your own queue."
            ),
        ),
        ProblemType(
            "length-required",
            411,
            "The length of the body is not known",
            "Send the body with a Content-Length and without a Transfer-Encoding.",
            explanation=(
                "The request came with a Transfer-Encoding that the server does not resolve, so "
                "where its body ends cannot be told. Let your client send the whole body with a "
                "Content-Length. Most clients do so when they are given a text rather than a "
                "stream."
            ),
        ),
        ProblemType(
            "body-too-large",
            413,
            "The body is too large",
            "A body may have at most 65536 bytes.",
            Kept.START,
            explanation=(
                "The body is larger than any lead can be. Send one lead in each request, and leave "
                "out what does not belong to it, such as pictures or whole pages."
            ),
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "The media type is not supported",
            "Send application/json, or on /leads/intake a URL-encoded form, in UTF-8 and without a "
            "content encoding.",
            Kept.WHOLE,
            explanation=(
                "The headers say that the body is in a form that is not read here: another media "
                "type, another character set, or compressed. The detail says what to send "
                "instead. Send JSON as application/json, or a form as "
                "application/x-www-form-urlencoded, and do not compress the body."
            ),
            example_detail="multipart/form-data is not taken; send application/json.",
        ),
        ProblemType(
            "idempotency-key-reused",
            422,
            "The idempotency key is taken",
            "Another lead was posted with this Idempotency-Key; send each lead with its own.",
            Kept.WHOLE,
            explanation=(
                "This Idempotency-Key already stands for a lead with other values. The same key "
                "is for sending the very same lead again, when its answer was lost. Make a new "
                "key for each lead, and send this one with its own."
            ),
        ),
        ProblemType(
            "not-accepted",
            422,
            "The lead is not accepted",
            "The lead is not accepted.",
            Kept.WHOLE,
            explanation=(
                "The business does not take this person as a lead. The reason rests on other "
                "people's data and is not given. Do not send the lead again; if you think that "
                "it was refused by mistake, tell the business the requestId."
            ),
            example_faults=(Fault(("phone",), "not-accepted", MAY_NOT_BE_CONTACTED),),
        ),
        ProblemType(
            "rate-limited",
            429,
            "Too many requests",
            "Send it again after the seconds in Retry-After.",
            is_retryable=True,
            explanation=(
                "The source has sent more posts in this minute than it may, or too many logins "
                "have failed from your address. Wait for the seconds in Retry-After, then go on "
                "where you stopped. If it comes often, spread your posts over the minute, or ask "
                "the business to raise the limit of the source."
            ),
            example_headers={"Retry-After": "17"},
        ),
        ProblemType(
            "internal-error",
            500,
            "Something went wrong on our side",
            "The post was not stored. It is our fault; send it again later.",
            is_retryable=True,
            explanation=(
                "This is a fault of the service, not of your post. Nothing of the post was stored. "
                "Send it again later, waiting longer each time; if it stays, tell the business "
                "the requestId."
            ),
        ),
        ProblemType(
            "unavailable",
            503,
            "The service cannot store anything now",
            "Send the post again after the seconds in Retry-After, best with an externalId or an "
            "Idempotency-Key: then it makes one lead, even if it was stored after all.",
            is_retryable=True,
            headers={"Retry-After": "5"},
            explanation=(
                "The database is away, full or too slow for the moment. Rather than lose your "
                "lead, the service refuses it. Nothing of it is stored, save when the connection "
                "to the database broke at the very moment of storing: so keep the post, and send "
                "it again after the seconds in Retry-After with the same externalId or "
                "Idempotency-Key."
            ),
        ),
    )
}


def refusing(rule: Rule, explanation: str) -> ProblemType:
    """Return the type of the refusals by a rule, with the usual finding as its example."""
    kind = RULES[rule]
    return ProblemType(
        rule.value,
        422,
        f"The lead is not accepted: {rule.label[0].lower()}{rule.label[1:]}",
        "A rule of the source refuses this lead.",
        Kept.WHOLE,
        explanation=explanation,
        example_faults=(Fault((kind.field,), rule.value, kind.sentence),),
    )


# One for each rule that can refuse a lead under its own name.
PROBLEM_TYPES |= {
    one.code: one
    for one in (
        refusing(
            Rule.SOURCE_NOT_APPROVED,
            "The business has not approved this source yet, or has withdrawn its approval. Stop "
            "sending, and ask the business how far the review is. Nothing in the lead itself is "
            "wrong.",
        ),
        refusing(
            Rule.STATE_NOT_ALLOWED,
            "The source may only send leads of some states, and this one is of another or names "
            "none. Send leads of the agreed states only, each with its state. Ask the business "
            "for the list.",
        ),
        refusing(
            Rule.PRODUCT_NOT_ALLOWED,
            "The source may only send leads of some products, and this one is of another or names "
            "none. Check how you spell the product. Ask the business for the list.",
        ),
        refusing(
            Rule.VERTICAL_NOT_ALLOWED,
            "The source may only send leads of some verticals, and this one is of another or names "
            "none. Check how you spell the vertical. Ask the business for the list.",
        ),
        refusing(
            Rule.CONSENT_MISSING,
            "Every lead of this source must prove the person's consent by a TrustedForm "
            "certificate. Send the URL of the certificate as trustedFormUrl. If your form makes "
            "none, add the TrustedForm script to it first.",
        ),
        refusing(
            Rule.CONSENT_MALFORMED,
            "A certificate has the URL https://cert.trustedform.com/ and 40 hexadecimal digits, "
            "with nothing before, between or after. The URL of a ping is no proof of "
            "consent. Send the URL just as the script wrote it into your form.",
        ),
        refusing(
            Rule.CONSENT_REUSED,
            "A certificate stands for one person who filled in one form, and this one has already "
            "come with another phone or e-mail. Send each lead with the certificate of its own "
            "form. If this happens to many leads, your form or a cache in front of it gives out "
            "the same certificate twice.",
        ),
        refusing(
            Rule.DUPLICATE,
            "The business already has a lead with this phone or this e-mail that is not old enough "
            "to be sent anew. Do not send it again. To repeat a post whose answer was lost, use "
            "the same externalId or Idempotency-Key: then the first lead comes back.",
        ),
        refusing(
            Rule.PHONE_INVALID,
            "The phone has the right length, but no number of its area or country looks like it. "
            "Ask the person for the right one, or check it while the form is filled in.",
        ),
        refusing(
            Rule.UNDERAGE,
            "By the date of birth, the person is not of age in every time zone of the United "
            "States. Do not send leads of minors. Check that year, month and day are in the order "
            "YYYY-MM-DD.",
        ),
        refusing(
            Rule.STATE_MISMATCH,
            "The state and the ZIP code are both American and contradict each other, so one of "
            "them is wrong. Ask the person which, and send the lead again with both of them right.",
        ),
        refusing(
            Rule.OVER_CAP,
            "The business takes only so many leads of this source in a day or a month, and has "
            "them all. Hold your leads back until the next day or month begins in the time zone of "
            "the source, or ask the business for a higher cap.",
        ),
    )
}


class Problem(Exception):
    """The post is refused; `code` names the problem type."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.type = PROBLEM_TYPES[code]
        self.detail = detail or self.type.detail
        self.faults = faults
        self.headers = {**self.type.headers, **(headers or {})}

    def as_json(self, request_id: str, path: str) -> dict[str, Any]:
        """Return the body of the answer to the request with this id, to this path."""
        body: dict[str, Any] = {
            "type": f"{settings.PUBLIC_URL}/problems/{self.type.code}",
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": path,
            "requestId": request_id,
            "traceId": request_id,
            "retryable": self.type.is_retryable,
        }
        if self.faults:
            faults = [one.as_json() for one in self.faults]
            errors: dict[str, list[str]] = {}
            for one in faults:
                errors.setdefault(one["field"], []).append(one["detail"])
            body |= {"errors": errors, "faults": faults}
        return body


def invalid_lead(faults: Sequence[Fault], code: str = "invalid-lead") -> Problem:
    """Return the problem of faulty members; its detail says each, for clients that drop them."""
    names = {one.name[:64]: one.detail for one in faults}
    detail = " ".join(f"{name}: {sentence}" for name, sentence in names.items())
    return Problem(code, detail[:1000], faults)
