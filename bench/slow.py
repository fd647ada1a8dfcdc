"""Clients that send a byte a second, and normal posts among them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.client import Answers, NotAnswered, post_for

SLOW = 200
BEFORE_SECONDS = 4.0
SECONDS = 10.0
A_SECOND = 20.0


@dataclass(frozen=True, slots=True)
class Slow:
    """What became of normal posts, and how many of the slow connections were kept to the end."""

    answers: Answers
    error: str = ""

    @property
    def words(self) -> str:
        """Return it as cells of a table."""
        if self.error:
            return f"{self.error} | | | "
        late = self.answers
        good, total = late.statuses[201], late.statuses.total()
        return (
            f"{good} of {total} | {late.percentile_ms(50):.0f} | {late.percentile_ms(99):.0f} "
            f"| {late.percentile_ms(100):.0f}"
        )


def slow_clients(port: int, credentials: Sequence[tuple[str, str]], posts: Iterator[bytes]) -> Slow:
    """Post normally while others send a byte a second, and return what became of that."""
    source, key = credentials[0]
    head = (
        f"POST /leads/intake HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"X-Leadping-Source-Id: {source}\r\nX-Leadping-Source-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    ).encode()
    is_over = threading.Event()
    thread = threading.Thread(target=dribble, args=[port, head, is_over])
    thread.start()
    try:
        time.sleep(BEFORE_SECONDS)
        return Slow(post_for(SECONDS, port, posts, 16, a_second=A_SECOND))
    except (OSError, NotAnswered) as error:
        return Slow(Answers(), f"not answered: {error}")
    finally:
        is_over.set()
        thread.join()


def dribble(port: int, head: bytes, is_over: threading.Event) -> None:
    """Hold connections that send a byte a second: half of them from the first byte on, half of
    them once their head is sent.
    """
    connections = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(SLOW)]
    whole = head + b" " * 400
    sent = [len(head) if number % 2 else 0 for number in range(SLOW)]
    for one, length in zip(connections, sent, strict=True):
        one.sendall(whole[:length])
    while not is_over.wait(1.0):
        for number, one in enumerate(connections):
            at = sent[number]
            try:
                one.sendall(whole[at : at + 1])
            except OSError:  # the server has had enough of it
                continue
            sent[number] += 1
    for one in connections:
        one.close()
