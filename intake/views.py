"""The three intake endpoints: HTTP in, HTTP out, and the order in which a post is looked at.

Source: contract §1, §8, §9.
"""

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

import orjson
import structlog
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.views import APIView

from intake import refusals, throttling
from intake.authentication import Credential, authenticate, note_that_it_holds, note_use
from intake.bodies import malformed
from intake.models import START_BYTES
from intake.problems import Kept, Problem
from intake.receive import Arrival, Stale, keep_refused, take, us_since
from intake.trouble import Away, give_up_connection, is_connection_lost, is_unavailable
from leads.models import now
from leads.normalize import CONTROL
from leads.serializers import intake_answer
from sources.keys import blank, blank_bytes
from sources.rules import public_code

MAX_BODY_BYTES = 64 * 1024
MAX_DECLARED_BYTES = 2**31 - 1
HEADER_MAX_LENGTH = 512
PATH_MAX_LENGTH = 200
KEY_HEADER = "Idempotency-Key"  # kept when it is empty too, which is a fault
# Which headers are kept, and where WSGI has them.
KEPT_HEADERS = {
    "Content-Type": "CONTENT_TYPE",
    "Content-Length": "CONTENT_LENGTH",
    "User-Agent": "HTTP_USER_AGENT",
    "Accept": "HTTP_ACCEPT",
    KEY_HEADER: "HTTP_IDEMPOTENCY_KEY",
}
JSON_TYPE = re.compile(r"(?:application|text)/json|application/[\w.-]+\+json", re.ASCII)
CREDENTIAL_HEADERS = (
    "HTTP_AUTHORIZATION",
    "HTTP_X_LEADPING_SOURCE_ID",
    "HTTP_X_LEADPING_SOURCE_KEY",
)
FORM_TYPE = "application/x-www-form-urlencoded"
# Refused by name, since vendors try them.
NAMED_TYPES = ("multipart/form-data", FORM_TYPE)
COUNTED_STATUSES = (401, 429)
MAX_LOOKS = 3

LISTED_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
MAX_LISTED_NAMES = 20

log = structlog.get_logger()


class Endpoint(APIView):
    """Posts in, stored leads out.

    DRF's own steps of a request are passed by: they cost more than all of ours.
    """

    methods: tuple[str, ...] = ("POST",)
    is_structured = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        visit = Visit(request, self.methods, is_structured=self.is_structured)
        try:
            return visit.answer()
        except Problem as problem:
            return visit.refuse(problem)
        except Exception as error:
            return visit.fail(error)


class IntakeView(Endpoint):
    """`POST /leads/intake`, and `GET` with the same names in the query: one flat post.

    Source: contract §3.
    """

    methods = ("GET", "POST")


class StructuredView(Endpoint):
    """`POST /leads`: one post shaped like the answer. Source: contract §5."""

    is_structured = True


class Visit:
    """One post, from its first byte to its answer, looked at in the published order."""

    def __init__(
        self, request: HttpRequest, methods: tuple[str, ...], *, is_structured: bool
    ) -> None:
        self.request = request
        self.methods = methods
        self.started_ns = time.perf_counter_ns()
        self.credential: Credential | None = None
        self.headers: dict[str, str] = {}  # of every answer from here on
        self.arrival = Arrival(
            received_at=now(),
            request_id=request.META["REQUEST_ID"],
            method=(request.method or "")[:10],
            path=blank(request.path)[0][:PATH_MAX_LENGTH],
            address=request.META["REMOTE_ADDR"],
            headers={
                name: kept_header(name, value)
                for name, in_meta in KEPT_HEADERS.items()
                if (value := request.META.get(in_meta)) or (value == "" and name == KEY_HEADER)
            },
            has_credential_blanked=has_stray_credential(request),
            idempotency_key=request.META.get(KEPT_HEADERS[KEY_HEADER]),
            is_form=request.method == "GET",
            is_structured=is_structured,
        )

    def answer(self) -> HttpResponse:
        """Return the `201`; raises Problem for everything else."""
        self.read_body()
        if self.request.method not in self.methods:
            allowed = ", ".join(self.methods)
            raise Problem("method-not-allowed", headers={"Allow": allowed})
        if self.request.method == "GET":
            self.read_query()
        else:
            self.check_media_type()
        self.credential = self.log_in()
        self.use_allowance(self.credential)
        for _ in range(MAX_LOOKS):
            try:
                return self.decide(self.credential)
            except Stale:
                self.credential = self.log_in(is_afresh=True)
        raise Problem("unavailable")  # the source is being changed all the time

    def read_body(self) -> None:
        """Read the body, blanking keys in it; raises Problem if it is too large or unframed."""
        meta, arrival = self.request.META, self.arrival
        if "HTTP_TRANSFER_ENCODING" in meta:
            raise Problem("length-required")
        arrival.body_size = declared_size(meta.get("CONTENT_LENGTH") or "")
        is_too_large = arrival.body_size > MAX_BODY_BYTES
        try:
            body = self.request.read(START_BYTES if is_too_large else MAX_BODY_BYTES)
        except UnreadablePostError:
            raise malformed("The body broke off before its end.") from None
        self.take_body(body)
        if is_too_large:
            raise Problem("body-too-large")

    def read_query(self) -> None:
        """Take the query for the body, since no body means anything here."""
        query = self.request.META.get("QUERY_STRING", "").encode("latin-1")
        self.arrival.body_size = len(query)
        self.take_body(query)
        if len(query) > MAX_BODY_BYTES:
            raise Problem("body-too-large")

    def take_body(self, body: bytes) -> None:
        """Note the bytes of the post, without any key."""
        self.arrival.body, was_blanked = blank_bytes(body)
        self.arrival.has_credential_blanked |= was_blanked

    def check_media_type(self) -> None:
        """Note what the body says that it is; raises Problem unless JSON or a form, in UTF-8."""
        kind = plain_type(self.request)
        if not kind or JSON_TYPE.fullmatch(kind):
            return
        # curl's -d says of JSON that it is a form.
        if kind == FORM_TYPE and self.arrival.body.lstrip().startswith(b"{"):
            return
        if kind == FORM_TYPE and not self.arrival.is_structured:
            self.arrival.is_form = True
            return
        detail = f"{kind} is not taken; send application/json." if kind in NAMED_TYPES else ""
        raise Problem("unsupported-media-type", detail)

    def log_in(self, *, is_afresh: bool = False) -> Credential:
        """Return what the credentials open; raises Problem if nothing, or too often in a minute."""
        try:
            return authenticate(
                self.request,
                timezone.now(),
                is_afresh=is_afresh,
                is_query_read=self.request.method == "GET",
            )
        except Problem:
            throttling.use_failed_login(self.arrival.address)
            raise

    def use_allowance(self, credential: Credential) -> None:
        """Use one of the posts that the source is allowed in a minute; raises Problem if none."""
        if allowance := throttling.use_post(credential.source):
            self.headers |= allowance.headers

    def decide(self, credential: Credential) -> HttpResponse:
        """Return the `201` for a post with these credentials.

        Raises Problem, or Stale when the source or key has changed since it was remembered.
        """
        looked_at = time.monotonic()
        received, reading = take(credential, self.arrival, self.started_ns)
        note_that_it_holds(credential, looked_at)
        note_use(credential, self.arrival.received_at)
        lead = received.lead
        findings = [one["code"] for one in lead.findings]
        limits = throttling.headers_of_caps(received.caps, self.arrival.received_at)
        headers = extended(self.headers, limits) | {
            "Location": f"/leads/{lead.id}",
            "Leadping-Post-Id": str(self.arrival.id),
            "Leadping-Findings": ", ".join(dict.fromkeys(map(public_code, findings))),
            "Leadping-Ignored-Fields": listed(reading.ignored),
            "Leadping-Truncated": listed(reading.truncated),
            "Idempotency-Replayed": "true" if received.is_repeat else "",
        }
        outcome = "repeated" if received.is_repeat else lead.compliance_status.lower()
        self.tell("post.stored", 201, outcome, findings=findings, lead_id=str(lead.id))
        return HttpResponse(
            orjson.dumps(
                intake_answer(
                    lead,
                    credential.source,
                    opted_out_at=received.opted_out_at,
                    is_person_known=received.is_person_known,
                )
            ),
            status=201,
            content_type="application/json",
            headers={name: value for name, value in headers.items() if value},
        )

    def refuse(self, problem: Problem) -> HttpResponse:
        """Return the answer to a refused post, after keeping what is kept of such a one."""
        if problem.type.kept != Kept.NOTHING:
            self.keep(problem)
        elif problem.type.status in COUNTED_STATUSES:
            source_id = self.credential.source.id if self.credential else None
            at = self.arrival.received_at
            refusals.count(problem.type.code, source_id, self.arrival.address, at)
        response = refusal(self.arrival.request_id, self.arrival.path, problem, self.headers)
        self.tell(
            "post.refused",
            problem.type.status,
            problem.type.code,
            faults=sorted({one.code for one in problem.faults}),
        )
        return response

    def fail(self, error: Exception) -> HttpResponse:
        """Return `503` if the database cannot store anything now, `500` if the fault is ours."""
        is_away = is_unavailable(error)
        log.error(
            "post.database_unavailable" if is_away else "post.failed",
            post_id=str(self.arrival.id),
            exc_info=not isinstance(error, Away),  # of which the first one's place says all
        )
        if is_connection_lost(error):
            give_up_connection()
        return self.refuse(Problem("unavailable" if is_away else "internal-error"))

    def keep(self, problem: Problem) -> None:
        """Keep the post if its credentials are right: strangers' posts are not kept."""
        if problem.type.kept == Kept.START:
            self.arrival.body = self.arrival.body[:START_BYTES]
        try:
            if self.credential is None:  # refused before anyone had looked at them
                self.credential = authenticate(
                    self.request, timezone.now(), is_query_read=self.request.method == "GET"
                )
            keep_refused(self.credential, self.arrival, problem, us_since(self.started_ns))
            note_use(self.credential, self.arrival.received_at)
        except Problem:
            return
        except Exception:  # an answer without its post beats a post without an answer
            log.exception("post.not_kept", post_id=str(self.arrival.id))

    def tell(self, event: str, status: int, outcome: str, **more: Any) -> None:
        """Write the line of the log that tells what became of the post."""
        known = self.credential
        log.info(
            event,
            post_id=str(self.arrival.id),
            status=status,
            outcome=outcome,
            source_id=str(known.source.id) if known else None,
            key_id=str(known.key.id) if known else None,
            body_size=self.arrival.body_size,
            took_us=us_since(self.started_ns),
            **more,
        )


def plain_type(request: HttpRequest) -> str:
    """Return the media type of a body, "" for none; raises Problem if encoded or not UTF-8."""
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        raise Problem("unsupported-media-type", "Send the body without a content encoding.")
    params = request.content_params or {}
    if params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported-media-type", "Send the body in UTF-8.")
    return (request.content_type or "").lower()


def extended(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return headers that are lists with more members of them."""
    both = {
        name: ", ".join([headers[name], value] if name in headers else [value])
        for name, value in more.items()
    }
    return {**headers, **both}


def has_stray_credential(request: HttpRequest) -> bool:
    """Say whether something like a key stands in the URL or in a header where none belongs."""
    meta = request.META
    texts = [request.path, unquote_plus(meta.get("QUERY_STRING", ""))]
    texts += [
        value
        for name, value in meta.items()
        if name.startswith("HTTP_") and name not in CREDENTIAL_HEADERS
    ]
    return any(blank(text)[1] for text in texts)


def declared_size(length: str) -> int:
    """Return the bytes that a Content-Length declares, 0 if it is no number.

    At most what the column holds: a longer number says no more than "too large".
    """
    if not (length.isascii() and length.isdigit()):
        return 0
    return int(length) if len(length) < 10 else MAX_DECLARED_BYTES


@csrf_exempt
def nothing_here(request: HttpRequest) -> HttpResponse:
    """Answer `404` as a problem, whatever the method, for every other path under /leads."""
    return refusal_of(request, Problem("not-found"))


def refusal_of(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return a problem as the answer to a request."""
    path = blank(request.path)[0][:PATH_MAX_LENGTH]
    return refusal(request.META["REQUEST_ID"], path, problem)


def refusal(
    request_id: str, path: str, problem: Problem, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a problem as the answer to the request with this id, to this path."""
    body = orjson.dumps(problem.as_json(request_id, path))
    return HttpResponse(
        body,
        status=problem.type.status,
        content_type="application/problem+json",
        headers={
            **(headers or {}),
            **problem.headers,
            "Leadping-Problem": problem.type.code,
            "Content-Length": str(len(body)),  # also where no middleware sets it
        },
    )


def kept_header(name: str, value: str) -> str:
    """Return a header as it may be kept: without keys and control characters, not too long.

    In the key of a post they leave a mark, or it would be a good key when it is read again.
    """
    mark = "\ufffd" if name == KEY_HEADER else ""
    return CONTROL.sub(mark, blank(value)[0])[:HEADER_MAX_LENGTH]


def listed(names: list[str]) -> str:
    """Return names for a header: the first 20 that may stand in one, sorted, the rest counted.

    Source: contract §3, `Leadping-Ignored-Fields`.
    """
    shown = sorted(name for name in names if LISTED_NAME.fullmatch(name) and not blank(name)[1])
    shown = shown[:MAX_LISTED_NAMES]
    more = len(names) - len(shown)
    return ", ".join([*shown, *([f"+{more} more"] if more else [])])
