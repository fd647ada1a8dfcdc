"""What is done later with posts, and what is counted all the time."""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.contrib.auth import get_user_model

from intake import rollup
from intake.replay import IsALead, NotReplayed, replay
from leadping.jobs.tasks import GivenUp, Outcome, Turn, enqueue_many, task

REPLAY = "replay-post"
# How long the counts rest: this, or longer if counting took long, so that most time is for posts.
COUNTED_EVERY_SECONDS = 2
RESTS_TIMES = 3
# So often it is looked for sources and zones of which not all days are counted.
COMPLETED_EVERY_SECONDS = 10

log = structlog.get_logger()


class NotNow(Exception):
    """The post could not be judged now: later, perhaps."""


@task(REPLAY)
def replay_post(turn: Turn, post_id: str, reason: str, by: Any = None) -> None:
    """Replay a post; if it is a lead by now, there is nothing to do."""
    user = get_user_model().objects.get(pk=by) if by is not None else None
    try:
        done = replay(UUID(post_id), user, reason)
    except IsALead:
        return
    except NotReplayed as error:
        raise GivenUp(str(error)) from None
    if done.outcome == "unavailable":
        raise NotNow
    if done.lead_id is None:  # it stays among the refused, where staff find it
        log.info("replay.still_refused", post_id=post_id, outcome=done.outcome)


def replay_later(post_ids: Iterable[UUID], reason: str, by: Any = None) -> int:
    """Have the worker replay these posts, and return how many; `by`: a user, None on the shell."""
    user_id = by.pk if by else None
    return enqueue_many(
        REPLAY, ({"post_id": str(one), "reason": reason, "by": user_id} for one in post_ids)
    )


@task("keep-counts", is_atomic=False, every=timedelta(minutes=1), is_urgent=True)
def keep_counts(turn: Turn) -> timedelta:
    """Count what has come or changed, for ever: the job is done again after a rest."""
    began = time.monotonic()
    rollup.keep(turn.step, turn.is_stopping)
    took = time.monotonic() - began
    return timedelta(seconds=max(COUNTED_EVERY_SECONDS, took * RESTS_TIMES))


@task("complete-counts", is_atomic=False, every=timedelta(minutes=1))
def complete_counts(turn: Turn) -> Outcome | timedelta:
    """Count all days of what is new or was thrown away, for ever.

    A job of its own, which may take minutes: between its steps the days of now are kept.
    """
    if not rollup.complete(turn.step, lambda: turn.is_over):
        return Outcome.AGAIN
    return timedelta(seconds=COMPLETED_EVERY_SECONDS)
