"""Leads in the read API: one by one, in lists, and what may be done to them.

Source: contract §10; the operations `Leads_…` of the public API's description.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone

from intake.bodies import Number
from intake.fields import FIELDS as FIELDS_OF_POSTS
from intake.fields import FURTHER_FIELDS, STRUCTURED
from intake.problems import Fault, Problem, invalid_lead
from intake.reading import read
from intake.receive import opted_out_since
from intake.trouble import despite_conflicts
from intake.views import listed
from leadping.api.calls import Call, Endpoint, not_found
from leadping.api.lists import (
    COUNTED_AT_MOST,
    ListField,
    NotLike,
    Options,
    a_boolean,
    a_moment,
    a_text,
    an_amount,
    an_id,
    read_options,
)
from leadping.api.members import Members
from leads import amend, browse, masks, normalize, search
from leads.changes import LeadChange
from leads.models import Disclosure, Lead
from leads.serializers import TABLE_COLUMNS, read_answer, table_row
from sources.decimals import UNIT
from sources.models import Source, Tag
from sources.names import fold
from sources.tags import TagExists
from sources.tokens import Scope

# A list is read source by source, by the index that has each in its order; of more sources, by
# time, past those of others.
SOURCES_APART = 100
TAGS_AT_MOST = 20
ARCHIVE_NOTE_MAX_LENGTH = 500
ARCHIVE_REASONS = 9


# --- which lead -----------------------------------------------------------------------------------


def leads_of(call: Call) -> QuerySet[Lead]:
    """Return the leads that are there for a call: of its business, neither deleted nor erased."""
    return Lead.objects.filter(business=call.business, deleted_at=None, erased_at=None)


def lead_of(call: Call, id: str) -> Lead:
    """Return one of them; raises Problem `not-found`."""
    rows = leads_of(call).select_related("source", "business")
    lead = rows.filter(id=id).first()
    if lead is None:
        raise not_found()
    return lead


def shown(call: Call, lead: Lead) -> dict[str, Any]:
    """Return a lead as the call may see it; that its person is shown is on record before."""
    disclose(call, [lead])
    archiving = archivings([lead]).get(lead.id)
    return read_answer(
        lead,
        lead.source,
        lead.tags.order_by("name"),
        is_masked=not call.may_see_persons,
        opted_out_at=opted_out_since(lead),
        archiving=archiving,
    )


def disclose(call: Call, leads: Iterable[Lead]) -> None:
    """Write that the persons of these leads are shown, if they are."""
    if not call.may_see_persons:
        call.headers["Leadping-Masked"] = "true"
        return
    at = timezone.now()
    how = Disclosure.How.API
    rows = [
        Disclosure(lead=one, at=at, by=call.actor.by, token=call.token, how=how) for one in leads
    ]
    Disclosure.objects.bulk_create(rows, batch_size=500)


def archivings(leads: Iterable[Lead]) -> dict[UUID, LeadChange]:
    """Return of each archived lead the change that archived it, by its id."""
    ids = [one.id for one in leads if one.archived_at]
    if not ids:
        return {}
    rows = LeadChange.objects.filter(lead__in=ids, what=LeadChange.What.ARCHIVE)
    return {one.lead_id: one for one in rows.order_by("at", "id")}


# --- one lead -------------------------------------------------------------------------------------


class LeadView(Endpoint):
    """`GET`, `PUT` and `DELETE /leads/{id}`."""

    scopes: ClassVar = {
        "GET": Scope.LEADS_READ,
        "PUT": Scope.LEADS_WRITE,
        "DELETE": Scope.LEADS_WRITE,
    }

    def get(self, call: Call, id: str) -> HttpResponse:
        return call.answer(shown(call, lead_of(call, id)))

    def put(self, call: Call, id: str) -> HttpResponse:
        lead = lead_of(call, id)
        body = call.body()
        change(call, lead, body.sent)
        return call.answer(shown(call, lead_of(call, id)))

    def delete(self, call: Call, id: str) -> HttpResponse:
        lead = lead_of(call, id)
        carry_out(lambda: amend.delete(lead, call.actor))
        return call.answer(None, 204)


def carry_out(work: Callable[[], None]) -> None:
    """Do something to a lead, a whole transaction; raises Problem `not-found` if it went away."""
    try:
        despite_conflicts(work)
    except amend.LeadIsGone:
        raise not_found() from None


# Which of the lead's columns a token without personal-data may not change: what is masked.
PERSONAL = {
    *(field for _, field, mask in masks.PERSONAL if mask is not masks.state),
    *masks.PRIVATE,
    *("trusted_form_url", "source_metadata"),
}

COLUMN_OF_POST = {one.name: one.column for one in (*FIELDS_OF_POSTS, *FURTHER_FIELDS)}


def change(call: Call, lead: Lead, sent: Mapping[str, Any]) -> None:
    """Set what a body says otherwise than the lead that the call would read.

    What is omitted, blank, the server's own, or as it was read stays: a lead that is read and put
    back changes nothing, masked or not. Raises Problem with every fault.
    """
    as_read = read_answer(lead, lead.source, (), is_masked=not call.may_see_persons)
    reading = read(without_same(sent, as_read), STRUCTURED, is_structured=True)
    faults = [one for one in reading.faults if one.code != "missing-contact"]
    values = dict(reading.values)
    if "external_id" in values and values.pop("external_id") != lead.external_id:
        sentence = "By this the vendor's repeats are told: it stays as it was posted."
        faults.append(Fault(reading.path_of("externalId"), "not-changeable", sentence))
    ids, names = values.pop("tag_ids", []), values.pop("tag_names", [])
    if faults:
        raise invalid_lead(faults)
    tags = tags_of(call, Members({"tagIds": ids, "tagNames": names})) if ids or names else None
    if not call.may_see_persons and (hidden := PERSONAL & values.keys()):
        paths = [path for name, path in reading.sent_as.items() if COLUMN_OF_POST[name] in hidden]
        sentence = "This is masked for the token, and may not be changed by it."
        raise Problem(
            "insufficient-scope",
            f"This needs the scope {Scope.PERSONAL_DATA.value}.",
            [Fault(path, "insufficient-scope", sentence) for path in paths],
        )

    def both() -> None:
        with transaction.atomic():
            if values:
                amend.change(lead, values, call.actor)
            if tags is not None:
                amend.tag(lead, lambda have: tags, call.actor)

    carry_out(both)
    call.ignored += reading.ignored
    call.headers |= {"Leadping-Truncated": listed(reading.truncated)} if reading.truncated else {}


def without_same(sent: Mapping[str, Any], as_read: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body says otherwise than the lead as it is read, object by object."""
    left: dict[str, Any] = {}
    for name, value in sent.items():
        known = as_read.get(name)
        if isinstance(value, dict) and isinstance(known, dict) and name != "sourceMetadata":
            left[name] = without_same(value, known)
        elif name not in as_read or not is_same(value, known):
            left[name] = value
    return left


def is_same(sent: Any, known: Any) -> bool:
    """Say whether a member is what was read of it; numbers however they are written."""
    if isinstance(sent, Number) and isinstance(known, int | float):
        return float(sent) == known
    return type(sent) is type(known) and bool(sent == known)


class ArchiveView(Endpoint):
    """`POST /leads/{id}/archive`: out of the working lists; the body may say why."""

    scopes: ClassVar = {"POST": Scope.LEADS_WRITE}

    def post(self, call: Call, id: str) -> HttpResponse:
        lead = lead_of(call, id)
        body = call.body(is_optional=True)
        reason = body.integer("reason", 0, ARCHIVE_REASONS)
        note = body.text("note", ARCHIVE_NOTE_MAX_LENGTH) or ""
        body.check()
        call.ignored += body.ignored()
        carry_out(lambda: amend.archive(lead, call.actor, reason=reason, note=note))
        return call.answer(shown(call, lead_of(call, id)))


class UnarchiveView(Endpoint):
    """`POST /leads/{id}/unarchive`: back into the working lists; a body means nothing."""

    scopes: ClassVar = {"POST": Scope.LEADS_WRITE}

    def post(self, call: Call, id: str) -> HttpResponse:
        lead = lead_of(call, id)
        carry_out(lambda: amend.unarchive(lead, call.actor))
        return call.answer(shown(call, lead_of(call, id)))


# --- its tags -------------------------------------------------------------------------------------


def tags_of(call: Call, body: Members) -> set[Tag]:
    """Return the tags that a body names, made if it says so; raises Problem for unknown ones."""
    ids = body.texts("tagIds", TAGS_AT_MOST, 64)
    names = body.texts("tagNames", TAGS_AT_MOST, 64)
    is_made = bool(body.boolean("createMissing"))
    body.check()
    call.ignored += body.ignored()
    known = list(Tag.objects.of(call.business.id).in_use())
    by_id = {str(one.id): one for one in known}
    by_name = {one.key: one for one in known}
    found = {by_id[one.lower()] for one in ids if one.lower() in by_id}
    if len(found) < len({one.lower() for one in ids}):
        body.fault("tagIds", "unknown-tag", "One of these is no tag in use of this business.")
    for name in names:
        tag = by_name.get(name.casefold())
        if tag is None and is_made:
            tag = by_name[name.casefold()] = make_missing(call, name)
        if tag is None:
            body.fault("tagNames", "unknown-tag", "One of these is no tag in use of this business.")
            break
        found.add(tag)
    body.check()
    return found


def make_missing(call: Call, name: str) -> Tag:
    """Make a tag of this name, or take the one that somebody else has just made."""
    try:
        return Tag.objects.make(call.business, name, by=call.actor.by)
    except TagExists:
        made = Tag.objects.of(call.business.id).named(name)
        assert made
        return made


class LeadTagsView(Endpoint):
    """`POST` adds tags to a lead, `PUT` puts them in the place of those it has."""

    scopes: ClassVar = {"POST": Scope.LEADS_WRITE, "PUT": Scope.LEADS_WRITE}

    def post(self, call: Call, id: str) -> HttpResponse:
        return self.answer(call, id, lambda have, named: have | named)

    def put(self, call: Call, id: str) -> HttpResponse:
        return self.answer(call, id, lambda have, named: named)

    def answer(
        self, call: Call, id: str, joined: Callable[[set[Tag], set[Tag]], set[Tag]]
    ) -> HttpResponse:
        """Answer with the lead once it has the tags."""
        lead = lead_of(call, id)
        named = tags_of(call, call.body())
        carry_out(lambda: amend.tag(lead, lambda have: joined(have, named), call.actor))
        return call.answer(shown(call, lead_of(call, id)))


class LeadTagView(Endpoint):
    """`DELETE /leads/{id}/tags/{tagId}` takes one tag off a lead; `404` if it does not have it."""

    scopes: ClassVar = {"DELETE": Scope.LEADS_WRITE}

    def delete(self, call: Call, id: str, tag_id: str) -> HttpResponse:
        lead = lead_of(call, id)
        tag = lead.tags.filter(id=tag_id).first()
        if tag is None:
            raise not_found()
        carry_out(lambda: amend.tag(lead, lambda have: have - {tag}, call.actor))
        return call.answer(shown(call, lead_of(call, id)))


# --- lists ----------------------------------------------------------------------------------------


def a_state(sent: Any) -> str:
    return normalize.state(a_text(sent))


def a_phone(sent: Any) -> str:
    """Return a phone in E.164; what is none, no lead has."""
    try:
        return normalize.phone(normalize.plain_text(a_text(sent)))
    except normalize.Unacceptable:
        raise NotLike("This is no phone number.") from None


def an_email(sent: Any) -> str:
    """Return what an e-mail address is matched by."""
    try:
        return normalize.email_key(normalize.email(normalize.plain_text(a_text(sent))))
    except normalize.Unacceptable:
        raise NotLike("This is no e-mail address.") from None


def a_status(sent: Any) -> str:
    """Return a status by its name, in any case."""
    by_name = {one.value.lower(): one.value for one in Lead.Status}
    found = by_name.get(a_text(sent).lower())
    if found is None:
        raise NotLike(f"This must be one of: {', '.join(Lead.Status.values)}.")
    return found


FIELDS: dict[str, ListField] = {
    fold(one.name): one
    for one in (
        ListField("createdAt", a_moment, is_ordered=True, has_range=True),
        ListField("updatedAt", a_moment, is_filter=False, has_range=True),
        ListField("modifiedAt", a_moment, is_filter=False, has_range=True),
        ListField("price", an_amount, has_range=True),
        ListField("directPostPrice", an_amount, has_range=True),
        ListField("id", an_id, is_text=True),
        ListField("sourceId", an_id),
        ListField("tagId", an_id),
        ListField("status", a_status),
        ListField("complianceStatus", a_status),
        ListField("state", a_state),
        *(
            ListField(name, a_text)
            for name in ("product", "vertical", "subId", "pubId", "sellerLeadId")
        ),
        ListField("externalId", a_text, is_text=True),
        *(
            ListField(name, a_text)
            for name in ("utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent")
        ),
        *(ListField(name, a_boolean) for name in ("enabled", "isArchived", "isTest")),
        ListField("phone", a_phone, is_personal=True, is_text=True),
        ListField("email", an_email, is_personal=True, is_text=True),
        ListField("firstName", a_text, is_personal=True, is_text=True),
        ListField("lastName", a_text, is_personal=True, is_text=True),
        ListField("city", a_text, is_personal=True),
        ListField("postalCode", a_text, is_personal=True),
    )
}
# The columns whose names differ from the names of the wire.
COLUMN_OF = {
    "createdAt": "received_at",
    "directPostPrice": "direct_post_price",
    "sourceId": "source",
    "tagId": "tags",
    "status": "compliance_status",
    "complianceStatus": "compliance_status",
    "email": "email_key",
    "isTest": "is_test",
    "postalCode": "postal_code",
    **{one.name: one.column for one in (*FIELDS_OF_POSTS, *FURTHER_FIELDS) if one.name != "email"},
}
ARCHIVE_FILTERS = ("active", "archived", "all")


class LeadListView(Endpoint):
    """`POST /leads/all/my`: a page of the leads of the business, the newest first."""

    scopes: ClassVar = {"POST": Scope.LEADS_READ}
    is_list = True

    def post(self, call: Call) -> HttpResponse:
        narrowed = Narrowed(call)
        body = call.body(is_optional=True)
        options = read_options(call, body, "leads", FIELDS, narrowed.said)
        q, is_sparse = narrowed.q, narrowed.is_sparse
        for name, value in options.filters:
            q &= equal(name, value)
            is_sparse |= name in ("id", "phone", "email", "externalId")
        for name, word, value in options.ranges:
            q &= within(name, word, value)
        if not any(name == "isTest" for name, _ in options.filters):
            q &= Q(is_test=False)
        if options.search:
            fields = options.search_fields or [
                *search.PLAIN_FIELDS,
                *(search.PERSONAL_FIELDS if call.may_see_persons else ()),
            ]
            q &= search.in_business(options.search, call.business, fields)
            is_sparse = True
        rows = leads_of(call).filter(q)
        items, place = page(call, options, rows, is_sparse=is_sparse)
        total = counted(rows) if options.has_count else None
        return call.answer(options.page(call, "leads", items, total, place))


class Narrowed:
    """What the query narrows the list by: tags, and whether leads are archived."""

    def __init__(self, call: Call) -> None:
        query = call.query()
        by_name: dict[str, list[str]] = {}
        for name, values in query.lists():
            by_name.setdefault(fold(name.removesuffix("[]")), []).extend(map(str, values))
        read = Members({})
        tag_ids = [one for one in by_name.pop("tagids", []) if one.strip()]
        flags = {}
        for name in ("tagMatchAll", "untagged", "archiveFilter"):
            values = by_name.pop(fold(name), [])
            flags[name] = values[-1].strip().lower() if values else ""
        for name in ("tagMatchAll", "untagged"):
            if flags[name] not in ("", "true", "false"):
                read.fault(name, "invalid-value", "This must be true or false.")
        archived = flags["archiveFilter"] or "active"
        if archived not in ARCHIVE_FILTERS:
            sentence = f"This must be one of: {', '.join(ARCHIVE_FILTERS)}."
            read.fault("archiveFilter", "invalid-choice", sentence)
        if len(tag_ids) > TAGS_AT_MOST:
            read.fault("tagIds", "too-many", f"At most {TAGS_AT_MOST} tags.")
        read.check()
        call.ignored += list(by_name)
        self.said = [sorted(tag_ids), flags["tagMatchAll"], flags["untagged"], archived]
        self.is_sparse = archived == "archived"
        self.q = Q() if archived == "all" else Q(archived_at__isnull=archived == "active")
        self.q &= tagged(tag_ids, is_all=flags["tagMatchAll"] == "true")
        if flags["untagged"] == "true":
            self.q &= ~Q(Exists(LINK.objects.filter(lead=OuterRef("pk"))))


LINK: Any = Lead.tags.through


def tagged(tag_ids: list[str], *, is_all: bool) -> Q:
    """Return the condition that a lead has one of these tags, or all of them."""
    ids = [an_id(one) for one in tag_ids]
    if not ids:
        return Q()
    has = [Q(Exists(LINK.objects.filter(lead=OuterRef("pk"), tag=one))) for one in ids]
    return functools.reduce(operator.and_ if is_all else operator.or_, has)


def equal(name: str, value: Any) -> Q:
    """Return the condition that a field of a lead has a value; None: that it has none."""
    if name == "enabled":
        return Q() if value else Q(pk__in=[])  # of what is deleted there is no list
    if name == "isArchived":
        return Q(archived_at__isnull=not value)
    if name == "tagId":
        return Q(Exists(LINK.objects.filter(lead=OuterRef("pk"), tag=value)))
    column = COLUMN_OF.get(name, name)
    if isinstance(value, Decimal) and value != floor(value):
        return Q(pk__in=[])
    if value is None:
        is_text = FIELDS[fold(name)].read in (a_text, a_state, a_phone, an_email)
        return Q(**{column: ""}) if is_text else Q(**{f"{column}__isnull": True})
    return Q(**{column: value})


def within(name: str, word: str, value: Any) -> Q:
    """Return the condition that a field of a lead lies on one side of a value."""
    if value is None:
        return Q()
    if name in ("updatedAt", "modifiedAt"):
        changed = Q(modified_at__isnull=False, **{f"modified_at__{word}": value})
        return changed | Q(modified_at=None, **{f"received_at__{word}": value})
    if isinstance(value, Decimal) and value != floor(value):
        value, word = floor(value), "gt" if word in ("gt", "gte") else "lte"
    return Q(**{f"{COLUMN_OF.get(name, name)}__{word}": value})


def floor(number: Decimal) -> Decimal:
    """Return the largest amount that is no more than a number: a column knows no finer ones."""
    return number.quantize(UNIT, ROUND_FLOOR)


def page(
    call: Call, options: Options, rows: QuerySet[Lead], *, is_sparse: bool
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return the rows of a page, and where the next one begins, None if there is none."""
    parts = [rows]
    if not is_sparse:
        # One more than may be: then they are not told apart.
        sources = Source.objects.filter(business=call.business).order_by("id")
        ids = list(sources.values_list("id", flat=True)[: SOURCES_APART + 1])
        if len(ids) <= SOURCES_APART:
            parts = [rows.filter(source=one) for one in ids]
    if options.place:
        parts = [
            browse.beyond(one, place_of(options.place), options.is_descending) for one in parts
        ]
    ids = browse.merged_ids(parts, options.page_size + 1, options.is_descending)
    leads = in_order(ids[: options.page_size])
    disclose(call, leads)
    archived = archivings(leads)
    items = [
        table_row(
            one,
            sorted(one.tags.all(), key=lambda tag: tag.name),
            is_masked=not call.may_see_persons,
            archiving=archived.get(one.id),
        )
        for one in leads
    ]
    if len(ids) <= options.page_size or not leads:
        return items, None
    return items, [leads[-1].received_at.isoformat(), str(leads[-1].id)]


def place_of(place: list[Any]) -> Lead:
    """Return the lead after which a page begins, as far as that needs it."""
    return Lead(id=UUID(place[1]), received_at=datetime.fromisoformat(place[0]))


def in_order(ids: list[UUID]) -> list[Lead]:
    """Return leads in this order, with their sources, businesses and tags."""
    rows = Lead.objects.filter(id__in=ids).only(*TABLE_COLUMNS)
    rows = rows.select_related("source", "business").prefetch_related("tags")
    found = {one.id: one for one in rows}
    return [found[one] for one in ids if one in found]


def counted(rows: QuerySet[Any]) -> int | None:
    """Return how many rows there are, None if they are too many to count."""
    count = rows.order_by().values("id")[: COUNTED_AT_MOST + 1].count()
    return count if count <= COUNTED_AT_MOST else None
