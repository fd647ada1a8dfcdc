"""How often a source may post, a token ask, and a stranger be wrong, in a minute.

The limiter stands before the transaction of a post and protects us, not the consumer: when it
cannot count, it lets the post through and says so in the log.
Source: contract §2, §9; DECISIONS, Intake 5; the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import Error as DatabaseProblem

from intake import store
from intake.problems import Problem
from intake.trouble import is_time_up, is_unavailable, on_a_live_connection
from leads.caps import Left
from sources.models import Source
from sources.tokens import ApiToken

WINDOW_SECONDS = store.WINDOW_MS // 1000
FAILED_LOGINS = 30
# Whoever has one IPv6 address has all of its /64.
IPV6_PREFIX = 64

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit: `used` of it, None if there was none left, until `ends_in_ms`."""

    policy: str
    limit: int
    used: int | None
    ends_in_ms: int

    @property
    def seconds_left(self) -> int:
        """Return the whole seconds to the end of the window, 1 to 60."""
        return min(max(-(-self.ends_in_ms // 1000), 1), WINDOW_SECONDS)

    @property
    def headers(self) -> dict[str, str]:
        """Return `RateLimit` and `RateLimit-Policy`."""
        left = 0 if self.used is None else max(self.limit - self.used, 0)
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.policy}";r={left};t={self.seconds_left}',
        }


def headers_of_caps(caps: Iterable[Left], at: datetime) -> dict[str, str]:
    """Return `RateLimit` and `RateLimit-Policy` of a source's caps at `at`, none without caps."""
    fields: dict[str, list[str]] = {"RateLimit-Policy": [], "RateLimit": []}
    for one in caps:
        period = one.period
        seconds = int((period.ends_at - period.starts_at).total_seconds())
        left = max(-((at - period.ends_at) // timedelta(seconds=1)), 1)
        fields["RateLimit-Policy"].append(f'"{period.word}-cap";q={period.cap};w={seconds}')
        fields["RateLimit"].append(f'"{period.word}-cap";r={one.count};t={left}')
    return {name: ", ".join(values) for name, values in fields.items() if values}


def use(policy: str, subject: str, limit: int) -> Allowance | None:
    """Use one of what a subject is allowed in a minute; None when that could not be counted.

    Raises Problem `rate-limited` when nothing is left.
    """
    try:
        used, ends_in_ms = on_a_live_connection(lambda: store.use(subject, limit))
    except DatabaseProblem as error:
        if is_unavailable(error) and not is_time_up(error):
            raise
        log.error("limiter.unavailable", policy=policy, exc_info=True)
        return None
    allowance = Allowance(policy, limit, used, ends_in_ms)
    if used is None:
        raise Problem(
            "rate-limited",
            f"At most {limit} {SAID_FOR[policy]} are answered in {WINDOW_SECONDS} seconds; "
            f"wait {allowance.seconds_left} seconds.",
            headers={"Retry-After": str(allowance.seconds_left), **allowance.headers},
        )
    return allowance


SAID_FOR = {
    "posts": "posts of a source",
    "requests": "requests of a token",
    "failed-logins": "failed logins from an address",
}


def use_post(source: Source) -> Allowance | None:
    """Use one of a source's posts of this minute; raises and returns as `use` does."""
    return use("posts", f"source:{source.id}", source.rate_per_minute)


def use_request(token: ApiToken) -> Allowance | None:
    """Use one of a token's requests of this minute; raises and returns as `use` does."""
    return use("requests", f"token:{token.id}", token.rate_per_minute)


def use_failed_login(address: str) -> None:
    """Use one of an address's failed logins of this minute; raises as `use` does."""
    use("failed-logins", f"address:{network_of(address)}", FAILED_LOGINS)


def network_of(address: str) -> str:
    """Return the address, or the network that its owner has all of; "" for none."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/{IPV6_PREFIX}", strict=False).network_address)
