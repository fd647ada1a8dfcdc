"""A token in, its business and scopes out. Source: contract §10, §2 for what both doors share."""

from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from urllib.parse import unquote_plus
from uuid import UUID

import structlog
from django.db import Error as DatabaseProblem
from django.http import HttpRequest

from intake import throttling
from intake.authentication import BEARER, header
from intake.problems import Problem
from intake.trouble import on_a_live_connection
from sources import keys
from sources.tokens import ApiToken

NOTED_EVERY = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)
SENTENCE = "Send an API token as Authorization: Bearer sk_…"

log = structlog.get_logger()
_noted: dict[UUID, datetime] = {}


def log_in(request: HttpRequest, now: datetime) -> ApiToken:
    """Return the token that the request carries, with its business and who made it.

    Raises Problem `invalid-credentials`, in the same words whatever is wrong, or `rate-limited`
    when that came too often from its address.
    """
    try:
        return authenticate(request, now)
    except Problem:
        throttling.use_failed_login(request.META["REMOTE_ADDR"])
        raise


def authenticate(request: HttpRequest, now: datetime) -> ApiToken:
    """Return the token that the request carries; raises Problem `invalid-credentials`.

    A token or key in the query is refused: it stands in somebody's log by now.
    """
    refused = Problem("invalid-credentials", SENTENCE)
    if keys.blank(unquote_plus(request.META.get("QUERY_STRING", "")))[1]:
        raise refused
    try:
        bearer = header(request, "HTTP_AUTHORIZATION")
    except Problem:
        raise refused from None
    if bearer is None or not bearer.lower().startswith(BEARER.lower()):
        raise refused
    text = bearer[len(BEARER) :].strip()
    if not keys.is_well_formed(text, keys.TOKEN_PREFIX):
        raise refused
    digest = keys.digest(text)
    rows = ApiToken.objects.select_related("business", "created_by")
    token = on_a_live_connection(lambda: rows.filter(digest=digest).first())
    if token is None or not compare_digest(token.digest, digest) or not token.is_live(now):
        raise refused
    return token


def note_use(token: ApiToken, now: datetime) -> None:
    """Note that a token was used, at most once a minute and process, by a statement of its own."""
    if now - _noted.get(token.id, NEVER) < NOTED_EVERY:
        return
    _noted[token.id] = now
    try:
        ApiToken.objects.used(token.id, now, NOTED_EVERY)
    except DatabaseProblem:  # what was asked for is more than a missing time of use
        log.warning("token.use_not_noted", token_id=str(token.id), exc_info=True)


def forget() -> None:
    """Forget every use that is remembered, as a new process would."""
    _noted.clear()
