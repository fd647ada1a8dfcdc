"""Tags in the read API: the labels of a business, made, changed and archived.

Source: contract §10; the operations `Tags_…` of the public API's description. Who made a tag is
kept with it; what was changed of it since, and by whom, is not.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone

from intake.problems import Problem
from leadping.api.calls import Call, Endpoint, not_found
from leadping.api.lists import NotLike, a_boolean
from leadping.api.members import Members, lines
from leads.serializers import time_text
from sources.locks import lock, tags_of
from sources.models import Tag
from sources.tags import TagExists, check_color
from sources.tokens import Scope

NAME_MAX_LENGTH = 64
DESCRIPTION_MAX_LENGTH = 500
COLOR_MAX_LENGTH = 7
NAME_NEEDED = "A tag needs a name."


def shown(tag: Tag) -> dict[str, Any]:
    """Return a tag as the API shows it; source: `TagResponse`."""
    business_id = str(tag.business_id)
    return {
        "id": str(tag.id),
        "businessId": business_id,
        "organizationId": business_id,
        "name": tag.name,
        "normalizedName": tag.key,
        "color": tag.color or None,
        "description": tag.description or None,
        "createdByUserId": None if tag.created_by_id is None else str(tag.created_by_id),
        "isArchived": tag.archived_at is not None,
        "archivedAt": None if tag.archived_at is None else time_text(tag.archived_at),
        "createdAt": time_text(tag.created_at),
        "modifiedAt": None if tag.modified_at is None else time_text(tag.modified_at),
    }


def locked(call: Call, id: str) -> Tag:
    """Return a tag of the business, its row locked; raises Problem `not-found`."""
    rows = Tag.objects.of(call.business.id).select_for_update(no_key=True)
    tag = rows.filter(id=UUID(id)).first()
    if tag is None:
        raise not_found()
    return tag


def values_of(body: Members) -> dict[str, str]:
    """Return what a body says of a tag, by the names of its columns; notes every fault.

    What is omitted or null is left out; colour and description that are sent blank are emptied.
    """
    color = "" if body.is_emptied("color") else body.text("color", COLOR_MAX_LENGTH)
    try:
        check_color(color or "#000000")
    except ValidationError as error:
        body.fault("color", "invalid-value", error.messages[0])
    values = {
        "name": body.text("name", NAME_MAX_LENGTH),
        "color": color,
        "description": ""
        if body.is_emptied("description")
        else body.text("description", DESCRIPTION_MAX_LENGTH, lines),
    }
    return {name: value for name, value in values.items() if value is not None}


def taken(body: Members) -> Problem:
    """Return the problem of a name that another tag of the business has."""
    body.fault("name", "taken", "This business has a tag of this name.")
    return body.problem()


class TagListView(Endpoint):
    """`GET /tags`: all tags in use, archived ones too with `includeArchived`; `POST`: a new one.

    A `POST` with the name of an archived tag brings that back into use, with its id.
    """

    scopes: ClassVar = {"GET": Scope.LEADS_READ, "POST": Scope.LEADS_WRITE}

    def get(self, call: Call) -> HttpResponse:
        query = call.parameters()
        has_archived = False
        try:
            has_archived = a_boolean(query.raw("includeArchived") or "false")
        except NotLike as error:
            query.fault("includeArchived", "invalid-value", str(error))
        query.check()
        call.ignored += query.ignored()
        rows = Tag.objects.of(call.business.id)
        found = rows if has_archived else rows.in_use()
        return call.answer([shown(one) for one in sorted(found, key=lambda one: one.name)])

    def post(self, call: Call) -> HttpResponse:
        body = call.body()
        values = values_of(body)
        if body.raw("name") is None:
            body.fault("name", "missing", NAME_NEEDED)
        body.check()
        call.ignored += body.ignored()
        try:
            tag = Tag.objects.make(call.business, by=call.actor.by, **values)
        except TagExists:
            raise taken(body) from None
        return call.answer(shown(tag), 201)


class TagView(Endpoint):
    """`PUT` and `DELETE /tags/{id}`.

    `PUT` keeps what is omitted or null. `DELETE` archives: the tag stays on the leads that have it,
    and comes on no further ones; of one that is archived it is answered alike, for a client that
    has lost the first answer asks again, and what it wants is so.
    """

    scopes: ClassVar = {"PUT": Scope.LEADS_WRITE, "DELETE": Scope.LEADS_WRITE}

    def put(self, call: Call, id: str) -> HttpResponse:
        with transaction.atomic():
            lock([tags_of(call.business.id)])  # first, as by whoever brings a tag back
            tag = locked(call, id)
            body = call.body()
            values = values_of(body)
            if body.is_emptied("name"):
                body.fault("name", "missing", NAME_NEEDED)
            body.check()
            call.ignored += body.ignored()
            changed = {name: one for name, one in values.items() if getattr(tag, name) != one}
            try:
                if changed:
                    tag.change(timezone.now(), **changed)
            except TagExists:
                raise taken(body) from None
        return call.answer(shown(tag))

    def delete(self, call: Call, id: str) -> HttpResponse:
        with transaction.atomic():
            locked(call, id).archive(timezone.now())
        return call.answer(True)
