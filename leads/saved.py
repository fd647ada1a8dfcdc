"""Views of the list of leads that staff keep under a name, for themselves or for everybody."""

from __future__ import annotations

from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q

from leads.normalize import plain_text
from sources.ids import uuid7

NAME_MAX_LENGTH = 60
VIEWS_AT_MOST = 100


class NotSaved(Exception):
    """The view is not kept, and nothing has changed."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NoName(NotSaved):
    """A view needs a name of at most 60 characters, without control characters."""


class NameTaken(NotSaved):
    """You have a view of this name: choose another, or ask to replace that one."""


class TooManyViews(NotSaved):
    """You have 100 views: delete one first."""


def name_of(raw: str) -> str:
    """Return the name of a view, trimmed; raises NoName."""
    try:
        name = plain_text(raw)
    except ValueError:
        raise NoName from None
    if not name or len(name) > NAME_MAX_LENGTH:
        raise NoName
    return name


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def for_user(self, user: Any) -> Self:
        """Keep what somebody may open: their own and those that are shared; own ones first."""
        mine = models.Case(models.When(by=user, then=0), default=1)
        return self.filter(Q(by=user) | Q(is_shared=True)).order_by(mine, "name", "id")

    def keep(
        self, by: Any, name: str, query: str, *, is_shared: bool, is_over: bool = False
    ) -> SavedView:
        """Return a new view, or with `is_over` the old one of that name; raises a NotSaved.

        `query` is what `Browse.query` returns: filters and columns, nothing of a person.
        """
        name = name_of(name)
        mine = self.filter(by=by)
        if old := mine.filter(name=name).first():
            if not is_over:
                raise NameTaken
            old.query, old.is_shared = query, is_shared
            old.save(update_fields=["query", "is_shared"])
            return old
        if mine.count() >= VIEWS_AT_MOST:
            raise TooManyViews
        view = SavedView(by=by, name=name, query=query, is_shared=is_shared)
        SavedView.objects.bulk_create([view], ignore_conflicts=True)
        if not mine.filter(id=view.id).exists():
            raise NameTaken  # by oneself, at the same moment
        return view


class SavedView(models.Model):
    """Filters and columns of the list of leads, as its URL has them, under a name."""

    id: models.UUIDField[UUID, UUID] = models.UUIDField(
        primary_key=True, default=uuid7, editable=False
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    name = models.CharField(max_length=NAME_MAX_LENGTH)
    is_shared = models.BooleanField("shared", default=False)
    query = models.TextField(blank=True)
    created_at = models.DateTimeField("created", auto_now_add=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        default_permissions = ()  # whoever may see leads may keep views of them
        constraints = [
            models.UniqueConstraint(fields=["by", "name"], name="saved_view_name_unique"),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_has_name"),
        ]

    def __str__(self) -> str:
        return str(self.id)
