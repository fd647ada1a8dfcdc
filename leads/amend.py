"""What is done to a lead besides deciding on it: changing, tagging, archiving and deleting it.

Never a way around a block: a change lets no lead out, and blocks an approved one of which it makes
a lead that may not be contacted, under the locks that intake and release take. Each leaves a row of
`LeadChange` in the same transaction. Source: contract §10.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from leads import lookback, normalize
from leads.changes import LeadChange
from leads.compliance import judge
from leads.counts import count_again
from leads.facts import gather
from leads.findings import Finding, joined
from leads.models import CERTIFICATE_LASTS, Lead, to_millisecond, version_of
from leads.reviews import Review
from sources.locks import caps_of, lock, subjects
from sources.models import Source, Tag
from sources.rules import Rule
from sources.tokens import Actor

What = LeadChange.What

# Which rules may find something else once a field is another.
JUDGED_BY: dict[str, tuple[Rule, ...]] = {
    "phone": (
        *(Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY, Rule.DUPLICATE, Rule.PHONE_INVALID),
        Rule.CONSENT_REUSED,
    ),
    "email": (Rule.SUPPRESSED, Rule.DUPLICATE, Rule.CONSENT_REUSED),
    "state": (Rule.STATE_NOT_ALLOWED, Rule.STATE_MISMATCH),
    "postal_code": (Rule.STATE_MISMATCH,),
    "country": (Rule.STATE_MISMATCH,),
    "product": (Rule.PRODUCT_NOT_ALLOWED,),
    "vertical": (Rule.VERTICAL_NOT_ALLOWED,),
    "trusted_form_url": (Rule.CONSENT_MISSING, Rule.CONSENT_MALFORMED, Rule.CONSENT_REUSED),
    "birth_date": (Rule.UNDERAGE,),
}
# Of these texts the certificate says that they may be sent to.
CONSENTED = ("phone", "trusted_form_url")
# What is made of other fields.
DERIVED = ("name_key", "email_key", "certificate_id", "consent_expires_at", "sms_consent_status")


class LeadIsGone(Exception):
    """The lead was deleted or erased in between."""


@contextmanager
def opened(lead: Lead, more: Collection[str] = ()) -> Iterator[Lead]:
    """Give the lead as it stands, its row and its person locked, in a transaction.

    `more`: what is to be locked besides. Raises LeadIsGone.
    """
    with transaction.atomic():
        person = (lead.phone, lead.email_key, lead.certificate_id)
        lock([*subjects(*person), *more], shared=[caps_of(lead.source_id)])
        row = Lead.objects.select_for_update(no_key=True).filter(id=lead.id).first()
        if row is None or row.deleted_at or row.erased_at:
            raise LeadIsGone
        if (row.phone, row.email_key, row.certificate_id) != person:
            # Changed since it was read: a deadlock, if one comes of it, is undone.
            lock(subjects(row.phone, row.email_key, row.certificate_id))
        yield row


def keep(lead: Lead, what: What, actor: Actor, at: datetime, **values: Any) -> None:
    """Keep the row of what was done to a lead."""
    LeadChange(lead=lead, what=what, at=at, by=actor.by, token=actor.token, **values).save()


# --- its values -----------------------------------------------------------------------------------


def change(lead: Lead, values: Mapping[str, Any], actor: Actor) -> None:
    """Set fields of a lead to normalised values, by the names of its columns.

    An approved lead is blocked if a rule that looks at what has changed finds something that would
    keep a new lead from being approved; a blocked or rejected one stays so. Nothing happens if
    nothing differs. Raises LeadIsGone.
    """
    email = values.get("email", lead.email)
    url = values.get("trusted_form_url", lead.trusted_form_url)
    person = (
        values.get("phone", lead.phone),
        normalize.email_key(email),
        normalize.certificate_id(url),
    )
    with opened(lead, subjects(*person)) as row:
        at = timezone.now()
        before = {name: getattr(row, name) for name in values}
        changed = {name: value for name, value in values.items() if before[name] != value}
        if not changed:
            return
        for name, value in changed.items():
            setattr(row, name, value)
        row.name_key = normalize.name_key(row.last_name, row.first_name)
        row.email_key = normalize.email_key(row.email)
        row.certificate_id = normalize.certificate_id(row.trusted_form_url)
        if "trusted_form_url" in changed:
            until = row.received_at + CERTIFICATE_LASTS
            row.consent_expires_at = until if row.certificate_id else None
        if not changed.keys().isdisjoint(CONSENTED):
            row.sms_consent_status = Lead.SmsConsent.UNKNOWN  # given for another phone, by another
        row.modified_at = to_millisecond(at)
        row.save(update_fields=[*changed, *DERIVED, "modified_at"])
        keep(
            row,
            What.CHANGE,
            actor,
            at,
            before=as_json({name: before[name] for name in changed}),
            after=as_json(changed),
        )
        count_again([(row.source_id, row.received_at)])
        block(row, changed, actor, at)


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: numbers, dates and times as texts."""
    plain = DjangoJSONEncoder().default
    return {
        name: value if isinstance(value, str | bool | dict | None) else plain(value)
        for name, value in values.items()
    }


def block(lead: Lead, changed: Collection[str], actor: Actor, at: datetime) -> None:
    """Block a lead that was approved if what has changed makes it one that may not be."""
    if lead.compliance_status != Lead.Status.APPROVED:
        return
    rules = {rule for name in changed for rule in JUDGED_BY.get(name, ())}
    if not rules:
        return
    if Rule.SUPPRESSED in rules and lookback.block([lead], at):
        return  # whoever was shown it is to be told, as of any lead that was let out
    source = Source.objects.with_settings().get(id=lead.source_id)
    verdict = judge(gather(lead, source, at), source.modes)
    rules.add(Rule.CHECK_UNAVAILABLE)
    found = tuple(one for one in verdict.standing if one.rule in rules)
    if found:
        held(lead, source, found, changed, actor, at)


def held(
    lead: Lead,
    source: Source,
    found: tuple[Finding, ...],
    changed: Iterable[str],
    actor: Actor,
    at: datetime,
) -> None:
    """Block an approved lead for what was found after a change, and keep the decision."""
    names = ", ".join(sorted(name for name in changed if name in JUDGED_BY)).replace("_", " ")
    review = lead._reviewed(Review.Decision.CHANGE, actor.by, "", f"Changed: {names}.", at)
    codes = {one.rule.value for one in found}
    stood = [one for one in review.findings_before if one["code"] not in codes]
    review.findings_after = [*stood, *(one.as_row() for one in found)]
    review.rules_version_after = version_of(source)
    lead._decide(review, Lead.Status.BLOCKED, joined(found))


# --- its tags -------------------------------------------------------------------------------------


def tag(lead: Lead, wanted: Callable[[set[Tag]], set[Tag]], actor: Actor) -> None:
    """Give a lead the tags that `wanted` makes of those it has; raises LeadIsGone."""
    with opened(lead) as row:
        at = timezone.now()
        have = set(row.tags.all())
        want = wanted(have)
        if want == have:
            return
        row.tags.set(want)
        touch(row, at)
        before, after = (sorted(one.name for one in tags) for tags in (have, want))
        keep(row, What.TAGS, actor, at, before={"tags": before}, after={"tags": after})


# --- out of the way, and gone ---------------------------------------------------------------------


def archive(lead: Lead, actor: Actor, *, reason: int | None = None, note: str = "") -> None:
    """Take a lead out of the working lists; one that is archived stays as it was.

    Raises LeadIsGone.
    """
    with opened(lead) as row:
        at = timezone.now()
        if row.archived_at is None:
            row.archived_at = to_millisecond(at)
            touch(row, at, "archived_at")
            keep(row, What.ARCHIVE, actor, at, after={"reason": reason, "note": note})


def unarchive(lead: Lead, actor: Actor) -> None:
    """Take a lead back into the working lists; raises LeadIsGone."""
    with opened(lead) as row:
        at = timezone.now()
        if row.archived_at is not None:
            row.archived_at = None
            touch(row, at, "archived_at")
            keep(row, What.UNARCHIVE, actor, at)


def delete(lead: Lead, actor: Actor) -> None:
    """Put a lead away: gone from lists and desk, but still the answer to a repeat.

    It goes on counting as what it was. Raises LeadIsGone.
    """
    with opened(lead) as row:
        at = timezone.now()
        row.deleted_at = to_millisecond(at)
        row.desk_tab = None
        touch(row, at, "deleted_at", "desk_tab")
        keep(row, What.DELETE, actor, at)


def touch(lead: Lead, at: datetime, *names: str) -> None:
    """Save these fields of a lead, and when it was changed."""
    lead.modified_at = to_millisecond(at)
    lead.save(update_fields=[*names, "modified_at"])
