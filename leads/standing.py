"""What stands against a person for one business, judged as its leads are.

The console's page of a person and the check of the read API say the same by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from leads.compliance import RULES
from leads.facts import entries_of, in_use
from leads.findings import CannotRun, Edition, Facts
from leads.suppressions import RegistryList, Suppression
from sources.models import Business
from sources.rules import Rule


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands against a person for one business: its own entries and those of registries.

    Not `is_certain`: a rule could not be run, so that there may be more than is found.
    """

    business: Business
    own: list[Suppression]
    registries: list[Suppression]
    is_certain: bool

    @property
    def channels(self) -> str:
        """Return by what its own entries say the person may not be contacted."""
        said = {one.channel for one in self.own}
        every = [one for one in Suppression.Channel if one != Suppression.Channel.ALL]
        kept = every if Suppression.Channel.ALL in said else [one for one in every if one in said]
        names = [one.label[0].lower() + one.label[1:] for one in kept]
        return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def standing_for(
    business: Business,
    entries: Iterable[Suppression],
    phone: str,
    email_key: str,
    editions: tuple[Edition, ...],
    now: datetime,
) -> Standing:
    """Return what the rules find against a person, whom these entries name, for one business.

    `entries`: that stand now, in any order; what is found is in order of time.
    """
    named = {
        str(one.id): one
        for one in entries
        if one.business_id in (None, business.id) and one.names(phone, email_key)
    }
    facts = Facts(
        arrived_on=now.date(),
        judged_at=now,
        has_phone=bool(phone),
        entries=in_use(entries_of(named.values(), phone), editions),
        editions=editions,
    )
    against, is_certain = [], True
    for rule in (Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY):
        try:
            found = RULES[rule].run(facts)
        except CannotRun as error:  # a list is too old
            found, is_certain = error.found, False
        told = found.evidence["suppressions"] if found else []
        against.append([named[one["suppression"]] for one in told])
    own, registries = against
    return Standing(business, own, registries, is_certain)


def look_up(
    business: Business,
    phone: str,
    email_key: str,
    channel: Suppression.Channel,
    now: datetime,
) -> Standing:
    """Return what stands now against contacting a person by a channel, in two statements.

    An entry for all channels stands against each; against contact by all of them, any entry does.
    """
    rows = Suppression.objects.active().in_force_for(business).matching(phone, email_key)
    entries = [one for one in rows if one.concerns(channel)]
    return standing_for(business, entries, phone, email_key, editions_of(newest_editions()), now)


def newest_editions() -> dict[str, RegistryList]:
    """Return the newest edition of each registry in use, by its name."""
    rows = RegistryList.objects.in_use().order_by("name", "listed_on")
    return {one.name: one for one in rows}


def editions_of(newest: dict[str, RegistryList]) -> tuple[Edition, ...]:
    """Return the newest editions as the rules know them."""
    return tuple(Edition(one.name, one.listed_on) for one in newest.values())
