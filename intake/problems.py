"""Every way in which the door says no: the table of problem types and the RFC 9457 envelope.

Source: contract §9.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.conf import settings

from sources.keys import blank
from sources.rules import Rule

POINTER_MAX_LENGTH = 200


class Kept(Enum):
    """How much is kept of a post that was answered so."""

    WHOLE = "whole"
    START = "start"  # what is known of it and its first bytes
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of refusal: the last part of its URI, its status and what it means."""

    code: str
    status: int
    title: str
    detail: str
    kept: Kept = Kept.NOTHING
    is_retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


PROBLEM_TYPES: dict[str, ProblemType] = {
    one.code: one
    for one in (
        ProblemType(
            "malformed-body", 400, "The body cannot be read", "The body is not JSON.", Kept.WHOLE
        ),
        ProblemType(
            "invalid-lead",
            400,
            "The lead is not valid",
            "Some fields do not validate; each is listed under errors and faults.",
            Kept.WHOLE,
        ),
        ProblemType(
            "invalid-credentials",
            401,
            "The credentials are not valid",
            "Send X-Leadping-Source-Id and X-Leadping-Source-Key, or the key as a Bearer token.",
            headers={"WWW-Authenticate": 'Bearer realm="leadping"'},
        ),
        ProblemType(
            "source-disabled",
            403,
            "The source is switched off",
            "The key is right, but its source is switched off; ask the business to switch it on.",
            Kept.START,
        ),
        ProblemType("not-found", 404, "There is nothing here", "No endpoint has this path."),
        ProblemType(
            "method-not-allowed",
            405,
            "The method is not allowed",
            "This endpoint does not answer this method; the header Allow names those it does.",
        ),
        ProblemType(
            "external-id-conflict",
            409,
            "The external id is taken",
            "Another person's lead already has this externalId; Location names that lead.",
            Kept.WHOLE,
        ),
        ProblemType(
            "length-required",
            411,
            "The length of the body is not known",
            "Send the body with a Content-Length and without a Transfer-Encoding.",
        ),
        ProblemType(
            "body-too-large",
            413,
            "The body is too large",
            "A body may have at most 65536 bytes.",
            Kept.START,
        ),
        ProblemType(
            "unsupported-media-type",
            415,
            "The media type is not supported",
            "Send application/json in UTF-8, without a content encoding.",
            Kept.WHOLE,
        ),
        ProblemType(
            "not-accepted", 422, "The lead is not accepted", "The lead is not accepted.", Kept.WHOLE
        ),
        ProblemType(
            "internal-error",
            500,
            "Something went wrong on our side",
            "The post was not stored. It is our fault; send it again later.",
            is_retryable=True,
        ),
        ProblemType(
            "unavailable",
            503,
            "The service cannot store anything now",
            "The post was not stored. Send it again after the time in Retry-After.",
            is_retryable=True,
            headers={"Retry-After": "5"},
        ),
    )
} | {
    rule.value: ProblemType(
        rule.value,
        422,
        f"The lead is not accepted: {rule.label.lower()}",
        "A rule of the source refuses this lead.",
        Kept.WHOLE,
    )
    for rule in Rule
}

# Rules that rest on other people's data: the answer must not tell one from the other.
NOT_ACCEPTED = (Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field, named as the vendor sent it; never its value."""

    field: str
    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        """Return the fault with the JSON pointer to its field."""
        name = blank(self.field)[0]
        pointer = "#/" + name.replace("~", "~0").replace("/", "~1")
        return {
            "pointer": pointer[:POINTER_MAX_LENGTH],
            "field": name[:POINTER_MAX_LENGTH],
            "code": self.code,
            "detail": self.detail,
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


def invalid_lead(faults: Sequence[Fault]) -> Problem:
    """Return the problem `invalid-lead`; its detail says each fault, for clients that drop them."""
    names = {one.field[:64]: one.detail for one in faults}
    detail = " ".join(f"{blank(name)[0]}: {sentence}" for name, sentence in names.items())
    return Problem("invalid-lead", detail[:1000], faults)
