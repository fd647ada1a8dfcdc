"""Posts that were refused and are kept, run again once what was wrong has been mended.

A replay goes the way of a post from its reading on, by the source and the rules of now. What comes
of it is a lead with the first arrival time of the post, or nothing. Source: contract §9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import models, transaction

from intake import store
from intake.authentication import Credential, credential_of
from intake.models import Post, Replay
from intake.problems import Problem
from intake.reading import Reading
from intake.receive import (
    MAX_ROUNDS,
    Arrival,
    LookupFailed,
    Stale,
    Taken,
    check_repeat,
    judge,
    look_up,
    notes,
    understand,
)
from intake.trouble import despite_conflicts
from intake.views import FORM_TYPE
from leads.counts import count_again
from leads.models import Lead, now
from leads.reviews import reason_of
from sources.models import SourceKey

STRUCTURED_PATH = "/leads"

log = structlog.get_logger()


class NotReplayed(Exception):
    """The post is not replayed, and nothing has changed."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class IsALead(NotReplayed):
    """This post already is a lead, or the repeat of one."""


class NotThere(NotReplayed):
    """No post has this id."""


class IsCut(NotReplayed):
    """Of this post only the start was kept."""


class SourceIsOff(NotReplayed):
    """The source of this post is switched off."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay, or would come of it.

    `outcome`: approved, blocked, repeated, or the code of the problem that still refuses it, with
    the codes of the `faults`; `findings` are codes of rules. No personal data.
    """

    post_id: UUID
    outcome: str
    lead_id: UUID | None = None
    findings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def refused(rows: models.QuerySet[Post]) -> models.QuerySet[Post]:
    """Keep the posts that are no leads now, the oldest first: what a replay may mend."""
    return rows.filter(lead=None).order_by("received_at", "id")


def rehearse(post_id: UUID) -> Replayed:
    """Return what would come of replaying a post now; nothing is written.

    Raises NotReplayed.
    """
    return run(post_id, None, "Rehearsed.", is_rehearsed=True)


def replay(post_id: UUID, by: Any, reason: str) -> Replayed:
    """Run a refused post again; `by`: a user, None on the shell.

    A second time it is an IsALead: twice makes one. Raises NotReplayed, or NoReason or UnfitText
    for the reason; then, and when a problem refuses the post still, nothing is written.
    """
    return run(post_id, by, reason_of(reason), is_rehearsed=False)


def run(post_id: UUID, by: Any, reason: str, *, is_rehearsed: bool) -> Replayed:
    """Run a post in a transaction of its own, which is undone if it is only rehearsed."""

    def attempt() -> Replayed:
        with transaction.atomic():
            done = run_once(post_id, by, reason)
            transaction.set_rollback(is_rehearsed)
            return done

    for _ in range(MAX_ROUNDS):
        try:
            return despite_conflicts(attempt)
        except (Stale, Taken):
            continue
        except Problem as problem:
            faults = sorted({one.code for one in problem.faults})
            return Replayed(post_id, problem.type.code, faults=faults)
        except LookupFailed:
            log.error("compliance.lookup_failed", exc_info=True)
            break
    return Replayed(post_id, "unavailable")


def run_once(post_id: UUID, by: Any, reason: str) -> Replayed:
    """Run a post again, in the transaction that is open.

    Raises NotReplayed, or Problem, Stale and Taken as receiving a post does.
    """
    post = Post.objects.select_for_update(no_key=True).filter(id=post_id).first()
    if post is None:
        raise NotThere
    if post.lead_id:
        raise IsALead
    if post.is_cut:
        raise IsCut
    credential = credential_of(SourceKey.objects.get(id=post.key_id))
    if not credential.source.is_enabled:
        raise SourceIsOff
    reading, lead, tags = understand(credential, arrival_of(post))
    at = now()
    state = look_up(credential, lead, at)
    if state is None or is_source_stale(credential, state):
        raise Stale
    if first_id := state.lead_of_key or state.lead_of_external_id:
        first = Lead.objects.get(id=first_id)
        check_repeat(first, lead, is_by_key=state.lead_of_key is not None)
        return note(post, reading, first, "repeated", at, by, reason)
    lead.replayed_at = at
    judge(credential.source, lead, reading, state, at)
    if not store.write_lead(lead):
        raise Taken
    if tags:
        store.write_tags(lead, tags)
    return note(post, reading, lead, lead.compliance_status.lower(), at, by, reason)


def is_source_stale(credential: Credential, state: store.State) -> bool:
    """Say whether the source has changed since it was read; what became of the key is no matter."""
    return state.source_version != credential.source.version


def note(
    post: Post, reading: Reading, lead: Lead, outcome: str, at: datetime, by: Any, reason: str
) -> Replayed:
    """Write what a post has become, and the row of its replay."""
    Replay(
        post_id=post.id,
        post_received_at=post.received_at,
        at=at,
        by=by,
        reason=reason,
        outcome_before=post.outcome,
        outcome_after=outcome,
        lead=lead,
    ).save()
    post.outcome, post.lead, post.notes = outcome, lead, notes(reading)
    post.save(update_fields=["outcome", "lead", "notes"])
    count_again([(post.source_id, post.received_at)])
    findings = [one["code"] for one in lead.findings] if outcome != "repeated" else []
    return Replayed(post.id, outcome, lead.id, findings)


def arrival_of(post: Post) -> Arrival:
    """Return a kept post as it came in."""
    body = bytes(post.body)
    kind = post.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_form = kind == FORM_TYPE and not body.lstrip().startswith(b"{")
    return Arrival(
        received_at=post.received_at,
        request_id=post.request_id,
        method=post.method,
        path=post.path,
        address=post.address or "",
        headers=post.headers,
        body=body,
        body_size=post.body_size,
        has_credential_blanked=post.has_credential_blanked,
        idempotency_key=post.headers.get("Idempotency-Key"),
        is_form=post.method == "GET" or is_form,
        is_structured=post.path.rstrip("/") == STRUCTURED_PATH,
        is_kept=True,
        id=post.id,
    )
