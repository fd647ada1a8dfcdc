"""One request of the read API, from its first byte to its answer: HTTP and nothing else.

The order in which it is looked at: size and framing, method, credentials, rate, scope, media type,
body, what it asks for. Source: contract §8, §9, §10.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import orjson
import structlog
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.request import UnreadablePostError
from django.utils import timezone
from rest_framework.views import APIView

from intake import refusals, throttling
from intake.bodies import BROKEN_PERCENT, malformed, read_json
from intake.problems import Problem
from intake.trouble import give_up_connection, is_connection_lost, is_time_up, is_unavailable
from intake.views import (
    COUNTED_STATUSES,
    JSON_TYPE,
    MAX_BODY_BYTES,
    PATH_MAX_LENGTH,
    declared_size,
    listed,
    plain_type,
    refusal,
)
from leadping.api import credentials
from leadping.api.members import Members
from sources.keys import blank, blank_bytes
from sources.models import Business
from sources.tokens import Actor, ApiToken, Scope

# A lead that is put back carries all that was read of it.
MAX_MEMBERS = 1000
TOO_SLOW = (
    "This takes longer than a request may. Narrow it, by source or by a range of createdAt, or ask "
    "without includeCount."
)

log = structlog.get_logger()


class Call:
    """A request with the token that it came with; what it answers is built from it."""

    def __init__(self, request: HttpRequest, token: ApiToken) -> None:
        self.request = request
        self.token = token
        self.headers: dict[str, str] = {}  # of every answer from here on
        self.ignored: list[str] = []

    @property
    def business(self) -> Business:
        """Return the one business that the call is about."""
        return self.token.business

    @property
    def actor(self) -> Actor:
        """Return who does what the call asks for."""
        return Actor(self.token.created_by, self.token)

    @property
    def may_see_persons(self) -> bool:
        """Say whether persons are shown unmasked."""
        return self.token.may(Scope.PERSONAL_DATA)

    def need(self, scope: Scope) -> None:
        """Raise Problem `insufficient-scope` unless the token has the scope."""
        if not self.token.may(scope):
            raise Problem("insufficient-scope", f"This needs the scope {scope.value}.")

    def body(self, *, is_optional: bool = False) -> Members:
        """Return the members of the JSON body; of none, none, if it `is_optional`.

        Raises Problem `unsupported-media-type` or `malformed-body`.
        """
        raw: bytes = self.request.META["leadping.body"]
        if is_optional and raw.strip() in (b"", b"null"):
            return Members({})
        kind = plain_type(self.request)
        if kind and not JSON_TYPE.fullmatch(kind):
            raise Problem("unsupported-media-type", "Send application/json, in UTF-8.")
        return Members(read_json(blank_bytes(raw)[0], MAX_MEMBERS))

    def query(self) -> QueryDict:
        """Return the query; raises Problem `malformed-body` for one that cannot be read."""
        raw = self.request.META.get("QUERY_STRING", "")
        if BROKEN_PERCENT.search(raw):
            raise malformed("The query has a % that does not begin an escape.")
        try:
            query = QueryDict(raw.encode("latin-1").decode("ascii"))
            texts = [text for name, values in query.lists() for text in (name, *values)]
            bad = any("\0" in one or "\ufffd" in one for one in texts)
        except (UnicodeDecodeError, ValueError):
            bad = True
        if bad:
            raise malformed("The query is not UTF-8, or holds NUL.")
        return query

    def parameters(self) -> Members:
        """Return the query as members, all of them texts: the last of those with one name."""
        return Members({str(name): values[-1] for name, values in self.query().lists()})

    def answer(self, data: Any, status: int = 200, **headers: str) -> HttpResponse:
        """Return JSON as the answer; `None` with 204 is no body."""
        if self.ignored:
            headers["Leadping-Ignored-Fields"] = listed(self.ignored)
        return HttpResponse(
            b"" if status == 204 else orjson.dumps(data),
            status=status,
            content_type="application/json",
            headers=self.headers | {name: value for name, value in headers.items() if value},
        )


class Endpoint(APIView):
    """The methods of one URL: `get`, `post`, `put`, `delete` take a Call, and what the URL names.

    `scopes`: what the token needs for each. DRF's own steps of a request are passed by, as at
    intake: they would read bodies and answer errors their way.
    """

    scopes: ClassVar[dict[str, Scope]] = {}
    # Whether it is asked by filters, so that one that takes too long can be asked otherwise.
    is_list: ClassVar[bool] = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        started = time.perf_counter_ns()
        visit = Visit(request, started)
        try:
            method = (request.method or "").lower()
            handler = getattr(self, method, None) if method.upper() in self.scopes else None
            return visit.answer(self.scopes, handler, kwargs)
        except Problem as problem:
            return visit.refuse(problem)
        except Exception as error:
            return visit.fail(error, is_list=self.is_list)


class Visit:
    """Takes one request through its steps, and tells the log what became of it."""

    def __init__(self, request: HttpRequest, started_ns: int) -> None:
        self.request = request
        self.started_ns = started_ns
        self.call: Call | None = None
        self.token: ApiToken | None = None
        self.headers: dict[str, str] = {}

    def answer(
        self,
        scopes: dict[str, Scope],
        handler: Callable[..., HttpResponse] | None,
        named: dict[str, Any],
    ) -> HttpResponse:
        """Return what the endpoint answers; raises Problem for everything else."""
        self.read_body()
        if handler is None:
            raise Problem("method-not-allowed", headers={"Allow": ", ".join(sorted(scopes))})
        now = timezone.now()
        self.token = token = credentials.log_in(self.request, now)
        if allowance := throttling.use_request(token):
            self.headers = allowance.headers
        self.call = call = Call(self.request, token)
        call.headers |= self.headers
        call.need(scopes[self.request.method or ""])
        credentials.note_use(token, now)
        response = handler(call, **named)
        self.tell("api.answered", response.status_code, "")
        return response

    def read_body(self) -> None:
        """Read the body; raises Problem if it is too large or unframed."""
        meta = self.request.META
        if "HTTP_TRANSFER_ENCODING" in meta:
            raise Problem("length-required")
        if declared_size(meta.get("CONTENT_LENGTH") or "") > MAX_BODY_BYTES:
            raise Problem("body-too-large")
        try:
            meta["leadping.body"] = self.request.read(MAX_BODY_BYTES)
        except UnreadablePostError:
            raise malformed("The body broke off before its end.") from None

    def refuse(self, problem: Problem) -> HttpResponse:
        """Return the answer to a request that is refused."""
        if problem.type.status in COUNTED_STATUSES and self.token is None:
            address = self.request.META["REMOTE_ADDR"]
            refusals.count(problem.type.code, None, address, timezone.now())
        path = blank(self.request.path)[0][:PATH_MAX_LENGTH]
        self.tell("api.refused", problem.type.status, problem.type.code)
        return refusal(self.request.META["REQUEST_ID"], path, problem, self.headers)

    def fail(self, error: Exception, *, is_list: bool) -> HttpResponse:
        """Return `400` for a list that takes too long, `503` without a database, `500` if we erred.

        What waited too long for others' locks can be sent again: that is `503` too.
        """
        if is_list and is_time_up(error):
            return self.refuse(Problem("invalid-request", TOO_SLOW))
        is_away = is_unavailable(error)
        log.error("api.database_unavailable" if is_away else "api.failed", exc_info=True)
        if is_connection_lost(error):
            give_up_connection()
        return self.refuse(Problem("unavailable" if is_away else "internal-error"))

    def tell(self, event: str, status: int, outcome: str) -> None:
        """Write the line of the log that tells what became of the request."""
        log.info(
            event,
            method=(self.request.method or "")[:10],
            path=blank(self.request.path)[0][:PATH_MAX_LENGTH],
            status=status,
            outcome=outcome,
            token_id=str(self.token.id) if self.token else None,
            business_id=str(self.token.business_id) if self.token else None,
            took_us=(time.perf_counter_ns() - self.started_ns) // 1000,
        )


def not_found() -> Problem:
    """Return the problem of a row that is not there, or is another business's: the same bytes."""
    return Problem("not-found", "There is nothing of this id.")
