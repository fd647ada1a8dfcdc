"""The locks on persons, which order all that depends on what else is known of them.

Intake, release and suppression take them, each in a statement of its own before the one that reads:
merged into it, the reading would be of the time before the wait. Source: DECISIONS, Intake 3.
"""

from collections.abc import Iterable
from hashlib import sha256

from django.db import connection

LOCK = "SELECT pg_advisory_xact_lock(one) FROM unnest(%s::bigint[]) AS one"


def subjects(phone: str = "", email_key: str = "", certificate_id: str = "") -> list[str]:
    """Return what is to be locked for a person with these normalised values; "" is none."""
    named = {"phone": phone, "email": email_key, "certificate": certificate_id}
    return [f"{kind}:{value}" for kind, value in named.items() if value]


def lock(wanted: Iterable[str]) -> None:
    """Take these locks until the transaction ends, waiting for whoever has one.

    In one order, so that two of us never wait for each other. SQLite has but one writer, whose
    IMMEDIATE transaction is the lock.
    """
    assert connection.in_atomic_block
    numbers = sorted({number(one) for one in wanted})
    if numbers and connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(LOCK, [numbers])


def number(subject: str) -> int:
    """Return the 64 bits, signed, by which PostgreSQL knows a lock."""
    return int.from_bytes(sha256(subject.encode()).digest()[:8], signed=True)
