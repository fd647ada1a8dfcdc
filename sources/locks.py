"""The locks that order what depends on other rows: on persons, caps of a source, and lists.

Intake, release and suppression take those on persons, each in a statement of its own before the one
that reads: merged into it, the reading would be of the time before the wait. Source: DECISIONS,
Intake 3.
"""

from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

from django.db import connection

LOCK = "SELECT pg_advisory_xact_lock(one) FROM unnest(%s::bigint[]) AS one"
SHARED = "SELECT pg_advisory_xact_lock_shared(one) FROM unnest(%s::bigint[]) AS one UNION ALL "


def subjects(phone: str = "", email_key: str = "", certificate_id: str = "") -> list[str]:
    """Return what is to be locked for a person with these normalised values; "" is none."""
    named = {"phone": phone, "email": email_key, "certificate": certificate_id}
    return [f"{kind}:{value}" for kind, value in named.items() if value]


def caps_of(source_id: UUID) -> str:
    """Return what is to be locked so that the counters of a source's caps stay the same ones.

    Shared by posts and releases, which do not wait for each other; alone by whoever renews them.
    """
    return f"caps:{source_id}"


def list_of(name: str) -> str:
    """Return what is to be locked so that a do-not-call list stays in or out of use.

    Shared by whoever adds entries of it, before the locks on their persons; alone by whoever takes
    it into use or out.
    """
    return f"list:{name}"


def lock(wanted: Iterable[str], shared: Iterable[str] = ()) -> None:
    """Take these locks until the transaction ends, waiting for whoever has one.

    In one order, so that two of us never wait for each other. SQLite has but one writer, whose
    IMMEDIATE transaction is the lock.
    """
    assert connection.in_atomic_block
    if connection.vendor != "postgresql":
        return
    numbers, shared_numbers = (sorted({number(one) for one in each}) for each in (wanted, shared))
    with connection.cursor() as cursor:
        if shared_numbers:
            cursor.execute(SHARED + LOCK, [shared_numbers, numbers])
        elif numbers:
            cursor.execute(LOCK, [numbers])


def number(subject: str) -> int:
    """Return the 64 bits, signed, by which PostgreSQL knows a lock."""
    return int.from_bytes(sha256(subject.encode()).digest()[:8], signed=True)
