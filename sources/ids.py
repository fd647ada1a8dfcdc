"""Time-ordered ids that need no common counter."""

import secrets
import time
from uuid import UUID

LAST_MILLISECOND = 2**48 - 1


def uuid7(milliseconds: int | None = None) -> UUID:
    """Return a new UUID, version 7: 48 bits of milliseconds since 1970, then 74 random bits.

    Of now, or of the milliseconds that are given. Ordered by time to the millisecond, so that new
    rows lie together in an index. Source: RFC 9562 §5.7; Python has its own from 3.14 on.
    """
    if milliseconds is None:
        milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return UUID(
        int=milliseconds << 80
        | 0x7 << 76
        | (random >> 62) << 64
        | 0b10 << 62
        | random & (1 << 62) - 1
    )


def first_of(milliseconds: int) -> UUID:
    """Return the id before which no UUID of this millisecond since 1970, or of a later one, is.

    A time before the first or after the last that a UUID can tell is taken for that one.
    """
    return UUID(int=min(max(milliseconds, 0), LAST_MILLISECOND) << 80)
