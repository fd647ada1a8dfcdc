"""The locks that order what depends on other rows: on persons, caps of a source, and lists.

Intake, release and suppression take those on persons, each in a statement of its own before the one
that reads: merged into it, the reading would be of the time before the wait. Source: DECISIONS,
Intake 3.
"""

from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

from django.db import connection

from sources.statements import Statement, Values, round_trip

_LOCK = "SELECT pg_advisory_xact_lock(one) FROM unnest(%s::bigint[]) AS one"
_SHARED = "SELECT pg_advisory_xact_lock_shared(one) FROM unnest(%s::bigint[]) AS one"
LOCK = Statement(_LOCK)
SHARED_AND_LOCK = Statement(f"{_SHARED} UNION ALL {_LOCK}")


def subjects(phone: str = "", email_key: str = "", certificate_id: str = "") -> list[str]:
    """Return what is to be locked for a person with these normalised values; "" is none."""
    named = {"phone": phone, "email": email_key, "certificate": certificate_id}
    return [f"{kind}:{value}" for kind, value in named.items() if value]


def caps_of(source_id: UUID) -> str:
    """Return what is to be locked so that the counters of a source's caps stay the same ones.

    Shared by posts and releases, which do not wait for each other; alone by whoever renews them.
    """
    return f"caps:{source_id}"


def tags_of(business_id: UUID) -> str:
    """Return what is to be locked so that no other tag of a business is made or named anew."""
    return f"tags:{business_id}"


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
    round_trip(locking(wanted, shared))


def locking(wanted: Iterable[str], shared: Iterable[str] = ()) -> list[tuple[Statement, Values]]:
    """Return the statement behind `lock`, with its values, for a round trip with others.

    None on SQLite.
    """
    assert connection.in_atomic_block
    if connection.vendor != "postgresql":
        return []
    numbers, shared_numbers = (sorted({number(one) for one in each}) for each in (wanted, shared))
    if shared_numbers:
        return [(SHARED_AND_LOCK, [as_array(shared_numbers), as_array(numbers)])]
    return [(LOCK, [as_array(numbers)])] if numbers else []


def as_array(numbers: Iterable[int]) -> str:
    """Return numbers as PostgreSQL writes an array of them."""
    return f"{{{','.join(map(str, numbers))}}}"


def number(subject: str) -> int:
    """Return the 64 bits, signed, by which PostgreSQL knows a lock."""
    return int.from_bytes(sha256(subject.encode()).digest()[:8], signed=True)
