"""What is done later with posts."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import structlog
from django.contrib.auth import get_user_model

from intake.replay import IsALead, NotReplayed, replay
from leadping.jobs.tasks import GivenUp, Turn, enqueue_many, task

REPLAY = "replay-post"

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
