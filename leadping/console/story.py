"""The story of one lead: what happened to it, in order, as far as somebody may be told.

One statement for each kind of row, however many there are; of each kind the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from intake.models import NEW_LEAD, Post, Replay
from leads import masks
from leads.columns import called
from leads.models import Disclosure, ExportedLeads, Lead, LeadChange, Suppression
from leads.reviews import LookBack, Readings, Review
from sources.rules import Mode
from sources.tokens import ApiToken

NEWEST = 50
# What comes at the same moment: the post, then what was found, then what people did.
FIRST, FOUND, LATER = range(3)
AT_ONCE = timedelta(minutes=1)
NOTHING_FOUND = "Nothing was found against it."
# What a story leaves out for whoever lacks a permission.
NOT_TOLD = {
    "leads.view_review": "who decided and why",
    "leads.view_suppression": "suppressions of the person",
    "leads.view_lookback": "look-backs",
    "intake.view_post": "what was sent",
}
What = LeadChange.What
DELETED = "Deleted: put away, but still the answer to a repeat."
Decision = Review.Decision
DECIDED = {
    Decision.RELEASE: ("Released.", "good"),
    Decision.REJECT: ("Rejected.", "bad"),
    Decision.UNDO: ("The last decision was taken back.", "plain"),
    Decision.SUPPRESS: ("Blocked by a later suppression.", "wait"),
    Decision.CHANGE: ("Blocked after a change of it.", "wait"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: when, a plain sentence, who did it and why, and where it is shown.

    `tone` is that of a badge. `who`: "" where nobody is named.
    """

    at: datetime
    sentence: str
    who: str = ""
    reason: str = ""
    note: str = ""
    url: str = ""
    link: str = ""
    tone: str = "plain"
    order: int = LATER


@dataclass(slots=True)
class Story:
    """What happened to a lead, the oldest first; `left_out` names kinds told only in part.

    `not_told` names what is not for whoever asks.
    """

    events: list[Event] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    not_told: list[str] = field(default_factory=list)

    def add(
        self, kind: str, rows: Sequence[Any] | QuerySet[Any], told: Callable[[Any], Iterable[Event]]
    ) -> None:
        """Tell the first of some rows, which are the newest, and note if there are more."""
        found = list(rows[: NEWEST + 1])
        if len(found) > NEWEST:
            self.left_out.append(kind)
        for one in found[:NEWEST]:
            self.events += told(one)


def story_of(lead: Lead, user: Any, made_by: Post | None, *, is_revealed: bool) -> Story:
    """Return the story of a lead as this user may be told it.

    `made_by`: the post that made it, None if that is not kept. What staff wrote of a reveal is
    masked where it looks like a person's, unless the person is revealed.
    """
    story = Story([*arrival(lead, user, made_by)])
    may = user.has_perm
    may_read = may("leads.reveal_lead") and not lead.erased_at
    posts = lead.posts.filter(outcome="repeated").order_by("-received_at", "-id")
    posts = posts.defer("body", "headers", "answer", "findings")
    story.add("repeats", posts, lambda one: repeat(one, may_see=may("intake.view_post")))
    if may("intake.view_replay"):
        rows = lead.replays.select_related("by").order_by("-at", "-id")
        story.add("replays", rows, replayed)
    elif lead.replayed_at:
        story.events.append(Event(lead.replayed_at, REPLAYED, order=FIRST))
    if may("leads.view_suppression") and (lead.phone or lead.email_key):
        entries = Suppression.objects.naming(lead.phone, lead.email_key)
        entries = entries.in_force_for(lead.business_id).order_by("-created_at", "-id")
        story.add("suppressions", entries.select_related("created_by", "released_by"), suppressed)
    changes = list(lead.changes.select_related("by", "token").order_by("-at", "-id")[: NEWEST + 1])
    story.add(
        "changes",
        changes,
        lambda one: changed(one, is_revealed=is_revealed),
    )
    story.events += ends(lead, is_told=any(one.what == What.DELETE for one in changes))
    reviews = lead.reviews.select_related("by").order_by("-at", "-id")
    may_see = may("leads.view_review")
    story.add("decisions", reviews, lambda one: decided(one, may_see=may_see))
    story.not_told = [told for permission, told in NOT_TOLD.items() if not may(permission)]
    if may("leads.view_lookback"):
        look_backs = lead.look_backs.select_related("settled_by").order_by("-at", "-id")
        story.add("look-backs", look_backs, looked_back)
    shown = lead.disclosures.to_staff().select_related("by").order_by("-at", "-id")
    given = shown.filter(how__in=(Disclosure.How.REVEAL, Disclosure.How.EXPORT))
    story.add(
        *("reveals and exports", given),
        lambda one: disclosed(one, is_revealed=is_revealed, may_read=may_read),
    )
    taken = [one for one in ExportedLeads.objects.of_lead(lead) if one.names(lead.id)]
    story.add(
        "exports",
        taken,
        lambda one: exported(one, user, is_revealed=is_revealed, may_read=may_read),
    )
    story.events += openings(shown.filter(how=Disclosure.How.PAGE))
    story.events += map(readings, lead.disclosures.readings()[:NEWEST])
    story.events.sort(key=lambda one: (one.at, one.order))
    return story


def made_by(lead: Lead) -> Post | None:
    """Return the post that made a lead, None if it is not kept."""
    rows = lead.posts.filter(outcome__in=NEW_LEAD).order_by("received_at", "id")
    found: Post | None = rows.first()
    return found


# --- the kinds of events --------------------------------------------------------------------------

REPLAYED = "Its post, which had been refused, was run again and made this lead."


def name_of(user: Any) -> str:
    """Return who somebody is; nobody is signed in on the command line."""
    return user.get_username() if user else "the command line"


def arrival(lead: Lead, user: Any, post: Post | None) -> Iterable[Event]:
    """Tell how a lead came, and what was found."""
    sentence = f"It came from {lead.source.name}"
    sentence += " as a test" if lead.is_test else ""
    may_see = post is not None and user.has_perm("intake.view_post")
    yield Event(
        lead.received_at,
        f"{sentence}." if post else f"{sentence}. Its post is not kept.",
        url=reverse("admin:intake_post_change", args=[post.id]) if post and may_see else "",
        link="request and answer",
        order=FIRST,
    )
    # Judged as of its arrival or replay: perhaps a moment later, but before all that came since.
    at = max(lead.judged_at or lead.judged_as_of, lead.judged_as_of)
    yield Event(at, found(lead.findings), tone=tone_of(lead.findings), order=FOUND)


def found(findings: list[dict[str, Any]]) -> str:
    """Return in a sentence what was found against a lead when it was judged."""
    held = [one["code"] for one in findings if one["mode"] != Mode.FLAG]
    flagged = [one["code"] for one in findings if one["mode"] == Mode.FLAG]
    if not findings:
        return f"Judged: approved. {NOTHING_FOUND}"
    if not held:
        return f"Judged: approved, and flagged for {listed(flagged)}."
    also = f", and flagged for {listed(flagged)}" if flagged else ""
    return f"Judged: held for {listed(held)}{also}."


def listed(words: list[str]) -> str:
    """Return words as a sentence lists them."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def tone_of(findings: list[dict[str, Any]]) -> str:
    return "wait" if any(one["mode"] != Mode.FLAG for one in findings) else "good"


def repeat(post: Post, *, may_see: bool) -> Iterable[Event]:
    url = reverse("admin:intake_post_change", args=[post.id]) if may_see else ""
    sentence = "The vendor sent it again: a repeat."
    yield Event(post.received_at, sentence, url=url, link="request and answer", tone="calm")


def replayed(one: Replay) -> Iterable[Event]:
    is_repeat = one.outcome_after == "repeated"
    yield Event(
        one.at,
        f"A post refused as {one.outcome_before} was run again: a repeat."
        if is_repeat
        else REPLAYED,
        name_of(one.by),
        one.reason,
        "" if is_repeat else f"It had been refused as {one.outcome_before}.",
        reverse("admin:intake_replay_change", args=[one.id]),
        "replay",
        order=LATER if is_repeat else FIRST,
    )


def decided(one: Review, *, may_see: bool) -> Iterable[Event]:
    """Tell what was decided; by whom and why, to whoever may see decisions."""
    sentence, tone = DECIDED[Decision(one.decision)]
    if not may_see:
        yield Event(one.at, sentence, tone=tone)
        return
    consent = f"Written consent: {one.written_consent}" if one.written_consent else ""
    yield Event(
        one.at,
        sentence,
        name_of(one.by),
        one.reason,
        "\n".join(filter(None, (one.note, consent))),
        reverse("admin:leads_review_change", args=[one.id]),
        "decision",
        tone,
    )


def changed(one: LeadChange, *, is_revealed: bool) -> Iterable[Event]:
    """Tell what was done to a lead, by whom and by which token; values, once it is revealed."""
    who = by_what(one.by, one.token)
    match What(one.what):
        case What.CHANGE:
            labels = called(one.after)
            note = "\n".join(
                f"{label}: {worded(one.before.get(name))} → {worded(one.after[name])}"
                for name, label in labels.items()
            )
            sentence = f"Changed: {', '.join(labels.values())}."
            yield Event(one.at, sentence, who, note=note if is_revealed else "", tone="calm")
        case What.TAGS:
            then, now = set(one.before["tags"]), set(one.after["tags"])
            told = [f"{name} put on" for name in sorted(now - then)]
            told += [f"{name} taken off" for name in sorted(then - now)]
            yield Event(one.at, f"Its tags: {', '.join(told)}.", who)
        case What.ARCHIVE:
            reason, note = one.after.get("reason"), one.after.get("note") or ""
            sentence = "Archived." if reason is None else f"Archived, reason {reason}."
            yield Event(one.at, sentence, who, note if is_revealed else masks.hidden(note))
        case What.UNARCHIVE:
            yield Event(one.at, "Taken back from the archive.", who)
        case What.DELETE:
            yield Event(one.at, DELETED, who, tone="bad")


def worded(value: Any) -> str:
    """Return a value of a lead, as JSON has it, for reading."""
    if value in (None, "", {}):
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def by_what(by: Any, token: ApiToken | None) -> str:
    """Return who did something, and by which token."""
    return f"{name_of(by)}, by the API token {token}" if token else name_of(by)


def suppressed(one: Suppression) -> Iterable[Event]:
    """Tell when a suppression was added, and its end; whom it names is on its page."""
    url = reverse("admin:leads_suppression_change", args=[one.id])
    of = f"the list {one.list_name}" if one.business_id is None else "this business"
    what = f"{one.get_kind_display()}, {one.get_channel_display().lower()}, of {of}"
    since = ""
    if one.created_at - one.suppressed_at > AT_ONCE:
        since = f" It counts from {timezone.localtime(one.suppressed_at):%b %-d, %Y, %H:%M} on."
    who = name_of(one.created_by)
    sentence = f"The person was suppressed: {what}.{since}"
    yield Event(one.created_at, sentence, who, one.reason, "", url, "entry", "bad")
    if one.released_at:
        ended = f"A suppression was released: {what}."
        who = name_of(one.released_by)
        yield Event(one.released_at, ended, who, one.release_reason, "", url, "entry", "good")


def looked_back(one: LookBack) -> Iterable[Event]:
    url = reverse("admin:leads_lookback_change", args=[one.id])
    sentence = (
        f"A look-back was made: whoever has the lead is to be told by {one.act_by:%b %-d, %Y}."
    )
    yield Event(one.at, sentence, url=url, link="look-back", tone="wait")
    if one.settled_at:
        who = name_of(one.settled_by)
        settled = "The look-back was settled."
        yield Event(one.settled_at, settled, who, one.settled_note, "", url, "look-back", "good")


def disclosed(one: Disclosure, *, is_revealed: bool, may_read: bool) -> Iterable[Event]:
    """Tell who was given the person; the reason, which may name them, to who may be so too."""
    is_export = one.how == Disclosure.How.EXPORT
    sentence = "It was exported." if is_export else "The person was revealed."
    reason = one.reason if is_revealed else masks.reference(one.reason)
    reason = reason if may_read else ""
    yield Event(one.at, sentence, name_of(one.by), reason, tone="calm")


def exported(
    one: ExportedLeads, user: Any, *, is_revealed: bool, may_read: bool
) -> Iterable[Event]:
    """Tell who took the person out with others; the reason, as of a reveal."""
    export = one.export
    reason = export.reason if is_revealed else masks.reference(export.reason)
    may_see = export.by_id == user.pk or user.has_perm("console.view_audit")
    yield Event(
        one.at,
        "It was exported with its person.",
        name_of(export.by),
        reason if may_read else "",
        url=reverse("admin:export", args=[export.id]) if may_see else "",
        link="export",
        tone="calm",
    )


def openings(rows: QuerySet[Any]) -> Iterable[Event]:
    """Tell in one line how often the pages of a lead were opened."""
    last = rows.first()
    if last is None:
        return
    count = rows.order_by().aggregate(
        times=Count("id"),
        people=Count("by", distinct=True),
        others=Count("id", filter=Q(by=None)),
    )
    people = count["people"] + bool(count["others"])
    sentence = (
        f"Opened {counted(count['times'], 'time', 'times')} by "
        f"{counted(people, 'person', 'people')}, last by {name_of(last.by)}."
    )
    yield Event(last.at, sentence)


def readings(one: Readings) -> Event:
    """Tell in one line how often a token has read the person."""
    sentence = f"Read by the API {counted(one.times, 'time', 'times')}."
    if one.times > 1:
        first = f"{timezone.localtime(one.first_at):%b %-d, %Y, %H:%M}"
        sentence = f"{sentence[:-1]} since {first}."
    return Event(one.last_at, sentence, by_what(one.token.created_by, one.token), tone="calm")


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many}"


def ends(lead: Lead, *, is_told: bool) -> Iterable[Event]:
    """Tell that a lead was put away, unless that `is_told` by a change, and that it was erased."""
    if lead.deleted_at and not is_told:
        yield Event(lead.deleted_at, DELETED, tone="bad")
    if lead.erased_at:
        yield Event(lead.erased_at, "Erased: nothing of the person is left.", tone="bad")
