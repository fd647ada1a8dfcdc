"""Credentials in, source out. Source: contract §2; DECISIONS, Intake 6.

What a key opens is kept in the process until it was last seen to be so under a second ago;
`intake/store.py` looks again, in the transaction that stores the lead, so a revoked key never
stores one, and each stored lead shows that what is kept still holds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from urllib.parse import parse_qsl, unquote_plus
from uuid import UUID

import structlog
from django.db import Error as DatabaseProblem
from django.http import HttpRequest

from intake.fields import FLAT, STRUCTURED, Plan, with_names
from intake.problems import Problem
from intake.trouble import on_a_live_connection
from sources import keys
from sources.models import Source, SourceKey
from sources.names import fold

REMEMBERED_SECONDS = 0.8
# However often it was seen to hold: tags and the owner of a source may change without its version.
LOADED_AGAIN_SECONDS = 5.0
HEADER_MAX_LENGTH = 128
BEARER = "Bearer "
NOTED_EVERY = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


@dataclass(slots=True)
class Remembered:
    """What a key opens, and when, by the monotonic clock, it was loaded and last seen to hold."""

    credential: Credential
    loaded_at: float
    held_at: float

    @property
    def does_hold(self) -> bool:
        """Say whether it may be used without asking the database."""
        at = time.monotonic()
        is_fresh = at - self.held_at <= REMEMBERED_SECONDS
        return is_fresh and at - self.loaded_at <= LOADED_AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Credential:
    """A right key, the source that it opens, and that source's plans of fields.

    `plan` is that of a flat post, `structure` that of a structured one.
    """

    key: SourceKey
    source: Source
    plan: Plan
    structure: Plan


_remembered: dict[str, Remembered] = {}
_noted: dict[UUID, datetime] = {}


def authenticate(
    request: HttpRequest, now: datetime, *, is_afresh: bool = False, is_query_read: bool = False
) -> Credential:
    """Return what the request's credentials open at `now`.

    Raises Problem `invalid-credentials`, in the same words whatever is wrong. `is_afresh` asks the
    database, whatever is remembered. `is_query_read`: credentials may stand in the query, for a
    source that staff opened for it; elsewhere a key in the query is refused.
    """
    refused = Problem("invalid-credentials")
    source_id = header(request, "HTTP_X_LEADPING_SOURCE_ID")
    source_key = header(request, "HTTP_X_LEADPING_SOURCE_KEY")
    bearer = header(request, "HTTP_AUTHORIZATION")
    pair_in_query = in_query(request) if is_query_read else None
    if not is_query_read and is_key_in_query(request):
        raise refused
    if (source_id is None) != (source_key is None):
        raise refused
    opened = []
    if pair_in_query is not None:
        credential = look_up(pair_in_query[1], now, is_afresh=is_afresh)
        if not compare_digest(str(credential.source.id), pair_in_query[0].lower()):
            raise refused
        if not credential.source.is_query_key_allowed:
            raise refused
        opened.append(credential)
    if source_id is not None and source_key is not None:
        credential = look_up(source_key, now, is_afresh=is_afresh)
        if not compare_digest(str(credential.source.id), source_id.lower()):
            raise refused
        opened.append(credential)
    if bearer is not None:
        if not bearer.lower().startswith(BEARER.lower()):
            raise refused
        opened.append(look_up(bearer[len(BEARER) :].strip(), now, is_afresh=is_afresh))
    if len({one.source.id for one in opened}) != 1:
        raise refused
    return opened[0]


def header(request: HttpRequest, name: str) -> str | None:
    """Return a credential header, None if it was not sent or is empty.

    Raises Problem for one that is repeated (servers join them with a comma), over-long or not
    ASCII.
    """
    value: str | None = request.META.get(name)
    if value is None:
        return None
    value = value.strip(" \t")  # no more: the rest that strip() takes is odd
    if not value:
        return None
    if "," in value or not value.isascii() or len(value) > HEADER_MAX_LENGTH:
        raise Problem("invalid-credentials")
    return value


def in_query(request: HttpRequest) -> tuple[str, str] | None:
    """Return `sourceId` and `sourceKey` from the query, None if neither stands there.

    Raises Problem for one without the other, for a repeated one, and for a key that stands
    anywhere else in the query.
    """
    query = request.META.get("QUERY_STRING", "")
    found: dict[str, list[str]] = {"sourceid": [], "sourcekey": []}
    for name, sent in parse_qsl(query, errors="replace"):  # blank ones are left out
        if (name := fold(name)) in found:
            found[name].append(sent.strip())
    ids, source_keys = found.values()
    if unquote_plus(query).count(keys.PREFIX) > len(source_keys):
        raise Problem("invalid-credentials")
    if not ids and not source_keys:
        return None
    if not (len(ids) == len(source_keys) == 1 and (ids[0] + source_keys[0]).isascii()):
        raise Problem("invalid-credentials")
    return ids[0], source_keys[0]


def is_key_in_query(request: HttpRequest) -> bool:
    """Say whether the URL carries a key: it is in somebody's log by now."""
    query = unquote_plus(request.META.get("QUERY_STRING", ""))
    return keys.PREFIX in query or any(
        fold(part.partition("=")[0]) == "sourcekey" for part in query.split("&")
    )


def look_up(key: str, now: datetime, *, is_afresh: bool) -> Credential:
    """Return what a key opens; raises Problem for one that is mistyped, unknown or at its end."""
    if not keys.is_well_formed(key):
        raise Problem("invalid-credentials")
    digest = keys.digest(key)
    known = _remembered.get(digest)
    if known is None or is_afresh or not known.does_hold:
        at = time.monotonic()
        loaded = on_a_live_connection(lambda: load(digest))
        if loaded is None:
            _remembered.pop(digest, None)
            raise Problem("invalid-credentials")
        known = _remembered[digest] = Remembered(loaded, at, at)
    credential = known.credential
    if not compare_digest(credential.key.digest, digest) or not credential.key.is_live(now):
        raise Problem("invalid-credentials")
    return credential


def note_that_it_holds(credential: Credential, since: float) -> None:
    """Note that the database was seen, after `since` of the monotonic clock, to say the same."""
    known = _remembered.get(credential.key.digest)
    if known is not None and known.credential is credential:
        known.held_at = max(known.held_at, since)


def load(digest: str) -> Credential | None:
    """Return what the key with this digest opens, from the database; None if there is none."""
    key = SourceKey.objects.filter(digest=digest).first()
    return None if key is None else credential_of(key)


def credential_of(key: SourceKey) -> Credential:
    """Return what a key opens, its source with all that judging a post needs."""
    source = Source.objects.with_settings().get(id=key.source_id)
    names = source.field_map
    return Credential(key, source, with_names(FLAT, names), with_names(STRUCTURED, names))


def note_use(credential: Credential, now: datetime) -> None:
    """Note that a key was used, at most once a minute and process, by a statement of its own."""
    key_id = credential.key.id
    if now - _noted.get(key_id, NEVER) < NOTED_EVERY:
        return
    _noted[key_id] = now
    try:
        SourceKey.objects.used(key_id, now, NOTED_EVERY)
    except DatabaseProblem:  # the lead is stored: a missing time of use must not take that back
        log.warning("key.use_not_noted", key_id=str(key_id), exc_info=True)


def forget() -> None:
    """Forget every key and use that is remembered, as a new process would."""
    _remembered.clear()
    _noted.clear()
