"""Vendors that post all the time, send again what was not stored, and keep a journal of it."""

import http.client
import threading
import time
from types import TracebackType
from typing import Any

from tests.service import Answer, Service

PAUSE_SECONDS = 0.02


class Vendors:
    """So many vendors, posting at once while the `with` block runs.

    The journal is outside the service: `acknowledged` has the lead's id for each mark that was
    answered with `201`, `answers` when each answer came, by `time.monotonic()`. A lead's mark is
    the first part of its e-mail. Every second lead is sent with the header `Idempotency-Key`
    instead of an `externalId`.
    """

    def __init__(
        self,
        service: Service,
        credentials: dict[str, str],
        count: int = 8,
    ) -> None:
        self.service = service
        self.credentials = credentials
        self.acknowledged: dict[str, str] = {}
        self.answers: list[tuple[float, Answer]] = []
        self.broken_off = 0
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=[one]) for one in range(count)]

    def __enter__(self) -> "Vendors":
        for one in self.threads:
            one.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.is_over.set()
        for one in self.threads:
            one.join(60)

    def work(self, number: int) -> None:
        """Post lead after lead, each until it is stored or the end has come."""
        count = 0
        while not self.is_over.is_set():
            count += 1
            self.deliver(f"v{number}-{count}", by_key=count % 2 == 0)

    def deliver(self, mark: str, *, by_key: bool) -> None:
        """Post one lead until it is stored or the end has come."""
        headers, members = dict(self.credentials), {"email": f"{mark}@example.com"}
        if by_key:
            headers["Idempotency-Key"] = mark
        else:
            members["externalId"] = mark
        while not self.is_over.is_set():
            try:
                answer = self.service.send(headers, members)
            except (OSError, http.client.HTTPException):
                self.broken_off += 1
            else:
                self.answers.append((time.monotonic(), answer))
                if answer.status == 201:
                    self.acknowledged[mark] = answer.body["id"]
                    return
            time.sleep(PAUSE_SECONDS)

    def since(self, at: float) -> list[tuple[float, Answer]]:
        """Return the answers that came after `at`."""
        return [(when, one) for when, one in list(self.answers) if when > at]

    def first_stored_since(self, at: float, give_up_after: float = 10) -> float:
        """Wait for the next `201` after `at`, and return how many seconds after it came."""
        while time.monotonic() < at + give_up_after:
            for when, one in self.since(at):
                if one.status == 201:
                    return when - at
            time.sleep(0.01)
        raise AssertionError(f"nothing was stored for {give_up_after} s")

    def statuses(self) -> set[int]:
        """Return the statuses that came."""
        return {one.status for _, one in self.answers}

    def reckon(self, stored: list[tuple[Any, ...]]) -> dict[str, int]:
        """Compare the journal with the rows (id, e-mail) that are stored.

        `lost`: answered with `201`, but not there. `twice`: stored more than once. `wrong`: there
        under another id than was answered.
        """
        ids: dict[str, list[str]] = {}
        for lead_id, email in stored:
            ids.setdefault(email.partition("@")[0], []).append(str(lead_id))
        acknowledged = dict(self.acknowledged)
        return {
            "acknowledged": len(acknowledged),
            "lost": sum(mark not in ids for mark in acknowledged),
            "twice": sum(len(one) > 1 for one in ids.values()),
            "wrong": sum(
                mark in ids and lead_id not in ids[mark] for mark, lead_id in acknowledged.items()
            ),
        }
