"""What is counted: of each day of a source, how much came and what it is now.

The one definition of every number of reports. The rows here are a copy of what the leads and posts
say, which the worker keeps (`intake/rollup.py`): it can be thrown away and made again. Source:
contract §9, "received = approved + blocked + rejected + repeated + refused".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from django.db import models

from leads.reviews import FOUND_MAX_LENGTH
from sources.decimals import PLACES
from sources.models import Source

VALUE_MAX_LENGTH = max(FOUND_MAX_LENGTH, 255)


@dataclass(slots=True)
class Numbers:
    """How much came, by what it is now; tests and what was turned away are in none of the others.

    `received` are posts, as are `repeated` and `refused`; `approved`, `blocked` and `rejected` are
    leads. Prices are sums in units of 1/10,000, of the leads that have one, which are `…_priced`.
    `reviewed`: leads that staff released or rejected, without undoing it; from when it began to
    wait until then it took `review_seconds` for all of them, and less than a day for
    `reviewed_in_day`.

    Not kept, but added up by reports: of the approved leads without a price, `unpriced_cost` by
    what their source is set to cost per lead, for the `unpriced_costed` of which that is known.
    """

    received: int = 0
    approved: int = 0
    blocked: int = 0
    rejected: int = 0
    repeated: int = 0
    refused: int = 0
    tests: int = 0
    turned_away: int = 0
    approved_price: int = 0
    approved_priced: int = 0
    held_price: int = 0
    held_priced: int = 0
    reviewed: int = 0
    review_seconds: int = 0
    reviewed_in_day: int = 0
    unpriced_cost: int = 0
    unpriced_costed: int = 0

    def __iadd__(self, other: Numbers) -> Self:
        for name in (*NAMES, *NOT_KEPT):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    @property
    def leads(self) -> int:
        return self.approved + self.blocked + self.rejected

    @property
    def held(self) -> int:
        """Return how many leads were not let out."""
        return self.blocked + self.rejected

    @property
    def accounted(self) -> int:
        """Return how many posts are accounted for: equal to `received`, or it is a fault."""
        return self.leads + self.repeated + self.refused

    @property
    def approval_rate(self) -> float | None:
        """Return the share of the leads that are approved, from 0 to 1; None without leads."""
        return self.approved / self.leads if self.leads else None

    @property
    def price(self) -> Decimal:
        """Return the sum of the prices of the approved leads."""
        return in_money(self.approved_price)

    @property
    def cost(self) -> Decimal:
        """Return what the approved leads cost: their price, or what their source is set to cost."""
        return in_money(self.approved_price + self.unpriced_cost)

    @property
    def costed(self) -> int:
        """Return of how many approved leads it is known what they cost."""
        return self.approved_priced + self.unpriced_costed

    @property
    def cost_per_lead(self) -> Decimal | None:
        """Return what an approved lead costs in the mean, where that is known, to the cent."""
        return round(self.cost / self.costed, 2) if self.costed else None

    @property
    def review_time(self) -> timedelta | None:
        """Return how long a reviewed lead had waited, in the mean; None if none was."""
        return timedelta(seconds=self.review_seconds // self.reviewed) if self.reviewed else None

    @property
    def is_empty(self) -> bool:
        return not any(getattr(self, name) for name in NAMES)


NOT_KEPT = ("unpriced_cost", "unpriced_costed")
NAMES = tuple(one.name for one in fields(Numbers) if one.name not in NOT_KEPT)


def in_money(units: int) -> Decimal:
    """Return an amount that was summed up in units of 1/10,000."""
    return Decimal(units).scaleb(-PLACES)


class DayCount(models.Model):
    """The numbers of one day of a source in a zone, in all or of what has one value.

    Or of a month, whose `on` is its first day: the sum of its days, for reports over a long time.
    A value that may name a person is kept as its mask. "" is the value of what has none.
    """

    class Span(models.TextChoices):
        DAY = "day"
        MONTH = "month"

    class By(models.TextChoices):
        TOTAL = "total", "in all"
        HOUR = "hour", "hour"  # of the clock, from "00" to "23"
        STATE = "state", "state"
        PRODUCT = "product", "product"
        SUB_ID = "sub_id", "sub ID"
        FOUND = "found", "what was found"  # as `Lead.found` has it
        REFUSED = "refused", "refused because"  # codes of problems
        TURNED_AWAY = "away", "turned away because"

    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    zone = models.CharField(max_length=64)
    span = models.CharField(max_length=5, choices=Span.choices)
    on = models.DateField()
    by = models.CharField(max_length=10, choices=By.choices)
    value = models.CharField(max_length=VALUE_MAX_LENGTH, blank=True)

    received = models.PositiveIntegerField(default=0)
    approved = models.PositiveIntegerField(default=0)
    blocked = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    repeated = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    tests = models.PositiveIntegerField(default=0)
    turned_away = models.PositiveIntegerField(default=0)
    approved_price = models.BigIntegerField(default=0)
    approved_priced = models.PositiveIntegerField(default=0)
    held_price = models.BigIntegerField(default=0)
    held_priced = models.PositiveIntegerField(default=0)
    reviewed = models.PositiveIntegerField(default=0)
    review_seconds = models.BigIntegerField(default=0)
    reviewed_in_day = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            # Each once; also the look-up of a report, of one source or several, and of a day.
            models.UniqueConstraint(
                fields=["source", "zone", "by", "span", "on", "value"], name="day_count_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.on} of {self.source_id}"

    @property
    def numbers(self) -> Numbers:
        return Numbers(*(getattr(self, name) for name in NAMES))


class CountedZone(models.Model):
    """That the days of a source are counted in a zone, and up to which they are, the first time.

    `version` grows with each count, so that of two at the same time the later one counts again.
    """

    source = models.ForeignKey(Source, models.CASCADE, related_name="counted_zones", db_index=False)
    zone = models.CharField(max_length=64)
    version = models.BigIntegerField(default=0)
    # None: not begun; once it is complete, days are counted as something comes.
    counted_on = models.DateField(null=True)
    is_complete = models.BooleanField(default=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["source", "zone"], name="counted_zone_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} in {self.zone}"


class CountedUntil(models.Model):
    """One row: up to which moment everything that was there is counted, by the worker's clock.

    `widened_at`: when it was last looked further back than a post may take until it is there.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    at: models.DateTimeField[Any, datetime | None] = models.DateTimeField(null=True)
    widened_at: models.DateTimeField[Any, datetime | None] = models.DateTimeField(null=True)
    took_ms = models.PositiveIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="counted_until_is_one"),
        ]

    def __str__(self) -> str:
        return f"counted until {self.at}"
