"""What the commands on leads and suppressions share: a person, a time, a look-back as a text."""

from datetime import datetime

from django.core.management.base import CommandError
from django.utils import timezone

from leads import normalize
from leads.models import LookBack


def person_of(values: list[str]) -> dict[str, str]:
    """Return `phone`, `email` or both from one or two values in any spelling, normalised.

    Raises CommandError, which does not quote them.
    """
    person: dict[str, str] = {}
    for value in values:
        kind = "email" if "@" in value or "\uff20" in value else "phone"
        if kind in person:
            raise CommandError(f"Give at most one {kind}.")
        try:
            read = normalize.email if kind == "email" else normalize.phone
            person[kind] = read(normalize.plain_text(value))
        except normalize.Unacceptable as error:
            raise CommandError(error.sentence) from None
    return person


def moment(text: str) -> datetime:
    """Return a date or a time, in UTC unless it says otherwise; raises ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else timezone.make_aware(at)


def told_of(one: LookBack) -> str:
    """Return a look-back for people: the lead, who has seen it, and until when to act."""
    seen = [f"    {each['at']}  {each['how']}  {each['who']}" for each in one.seen_by()]
    return "\n".join(
        [
            f"Blocked: lead {one.lead_id}, approved until {one.at:%Y-%m-%d %H:%M} UTC.",
            f"  Act by {one.act_by} (ten business days): tell whoever has it. "
            f"{'Seen by:' if seen else 'Nobody was shown it here.'}",
            *seen,
        ]
    )
