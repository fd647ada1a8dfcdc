"""Post leads to a service on this machine: as fast as it answers, or at a steady rate.

A client of our own, for the known ones abandon what is under way when their time is up, and then
the rows are never as many as the answers. One thread and plain sockets: some 30 µs of processor
time a post.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

PATH = "/leads/intake"
GIVE_UP_SECONDS = 30.0
RECEIVE_BYTES = 65536
AREAS = (
    *(512, 713, 214, 210, 213, 619, 916, 559, 602, 520),
    *(303, 305, 813, 407, 404, 312, 614, 702, 503, 206),
)
STATES = (("TX", "78701"), ("CA", "90012"), ("AZ", "85004"), ("FL", "33101"), ("CO", "80203"))
FIRST = ("Ada", "Ben", "Carla", "Dev", "Elena", "Femi", "Grace", "Hugo", "Iris", "Jon")
LAST = ("Abbott", "Baker", "Castillo", "Diaz", "Ellis", "Fong", "Garcia", "Hill", "Ivers", "Jones")


class NotAnswered(Exception):
    """The service did not answer a post in time, or broke the connection."""


@dataclass(slots=True)
class Answers:
    """What came back: how many answers of each status in how many seconds, and how late each.

    `seconds_each` is from the moment a post was due until its answer was there.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds_each: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def a_second(self) -> float:
        """Return how many answers came in a second."""
        return self.statuses.total() / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Return the milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds_each)
        return 1000 * ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def lead_body(number: int) -> bytes:
    """Return a post of 35 members and about 1.3 kB, of a person of its own for each number."""
    area = AREAS[number % len(AREAS)]
    rest = number // len(AREAS)
    exchange, line = 200 + rest % 355, rest // 355 % 10_000  # no 555, of which few are real
    first, last = FIRST[number % 10], LAST[number // 10 % 10]
    state, postal_code = STATES[number % len(STATES)]
    mail = f"{first.lower()}.{last.lower()}.{number}@example.com"
    certificate = f"{random.getrandbits(160):040x}"
    return json.dumps(
        {
            "firstName": first,
            "lastName": last,
            "email": mail,
            "phone": f"({area}) {exchange}-{line:04d}",
            "phoneType": "mobile",
            "dateOfBirth": f"19{50 + number % 49}-{1 + number % 12:02d}-{1 + number % 28:02d}",
            "address1": f"{number % 9000 + 100} Oak Street",
            "address2": f"Apt {number % 90 + 1}",
            "city": "Springfield",
            "state": state,
            "zip": postal_code,
            "gender": "female" if number % 2 else "male",
            "subId": f"sub-{number % 50}",
            "pubId": f"pub-{number % 9}",
            "sellerLeadId": f"S-{number}",
            "externalId": f"x-{number}",
            "price": "12.50",
            "directPostPrice": 11.25,
            "utmSource": "newsletter",
            "utmMedium": "email",
            "utmCampaign": "autumn-2026-solar-homeowners",
            "utmTerm": "solar panels cost",
            "utmContent": "blue-button-top",
            "product": "Solar",
            "vertical": "Home Services",
            "referrer": f"https://www.example.com/articles/how-much-does-solar-cost?visit={number}",
            "landingPage": f"https://quotes.example.com/solar/{state.lower()}?step=4&visit={number}",
            "trustedFormUrl": f"https://cert.trustedform.com/{certificate}",
            "sourceMetadata": {
                "roofType": "shingle",
                "monthlyBill": "180-220",
                "ownsHome": True,
                "creditBand": "good",
                "formVersion": f"v{number % 20}",
                "pageSeconds": 40 + number % 200,
                "variant": "B",
            },
        }
    ).encode()


def requests(
    port: int, credentials: Sequence[tuple[str, str]], start: int, path: str = PATH
) -> Iterator[bytes]:
    """Yield the bytes of one post after another, numbers from `start`, the sources in turn."""
    heads = [
        (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"X-Leadping-Source-Id: {source}\r\nX-Leadping-Source-Key: {key}\r\n"
            "User-Agent: bench\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode()
        for source, key in credentials
    ]
    for number in count(start):
        body = lead_body(number)
        yield b"%s%d\r\n\r\n%s" % (heads[number % len(heads)], len(body), body)


class Connection:
    """A connection that is kept as long as the service keeps it: one post and answer at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.due = 0.0
        self.received = b""
        self.is_kept = True
        self.connect()

    def connect(self) -> None:
        """Open the connection."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=GIVE_UP_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes, due: float) -> None:
        """Send a post that was due at this moment of the monotonic clock."""
        self.due = due
        self.received = b""
        self.socket.sendall(request)

    def read(self) -> int:
        """Read what has come; return the status once the answer is there, 0 before that."""
        piece = self.socket.recv(RECEIVE_BYTES)
        if not piece:
            raise NotAnswered("the connection broke")
        self.received += piece
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return 0
        fields = head.lower()
        at = fields.find(b"\r\ncontent-length:")
        if at < 0:
            raise NotAnswered("an answer without a length")
        length = int(fields[at + 17 :].partition(b"\r\n")[0])
        self.is_kept = b"\r\nconnection: close" not in fields
        return int(head[9:12]) if len(body) >= length else 0


def post_for(
    seconds: float, port: int, sending: Iterator[bytes], concurrency: int, a_second: float = 0.0
) -> Answers:
    """Post for so long and wait for every answer: one after another, or `a_second` of them.

    At a steady rate a post is due whether or not those before it are answered: what waits for a
    free connection is late. Raises NotAnswered.
    """
    answers = Answers()
    clock = time.monotonic
    wanted = round(seconds * a_second)
    idle = deque(Connection(port) for _ in range(concurrency))
    with selectors.DefaultSelector() as selector:
        for one in idle:
            selector.register(one.socket, selectors.EVENT_READ, one)
        begun, sent, under_way = clock(), 0, 0
        while True:
            is_at_end = sent == wanted if a_second else clock() - begun >= seconds
            if is_at_end and not under_way:
                break
            wait = GIVE_UP_SECONDS
            while idle and not is_at_end:
                at = clock()
                due = begun + sent / a_second if a_second else at
                if due > at:
                    wait = due - at
                    break
                idle.popleft().send(next(sending), due)
                sent += 1
                under_way += 1
                is_at_end = a_second > 0 and sent == wanted
            ready = selector.select(wait)
            if not ready and wait == GIVE_UP_SECONDS:
                raise NotAnswered(f"no answer in {GIVE_UP_SECONDS:.0f} s")
            for key, _ in ready:
                connection: Connection = key.data
                if not (status := connection.read()):
                    continue
                answers.statuses[status] += 1
                answers.seconds_each.append(clock() - connection.due)
                under_way -= 1
                if not connection.is_kept:
                    selector.unregister(connection.socket)
                    connection.socket.close()
                    connection.connect()
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
                idle.append(connection)
        answers.seconds = clock() - begun
    for one in idle:
        one.socket.close()
    return answers
