"""The labels that a business puts on its leads."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models.functions import Lower
from django.utils import timezone

from sources.ids import uuid7
from sources.locks import lock, tags_of

COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


def check_color(value: str) -> None:
    """Raise ValidationError unless `value` is a colour like #1F6FEB."""
    if not COLOR.fullmatch(value):
        raise ValidationError("Give a colour in hexadecimal digits, like #1F6FEB.")


class TagExists(Exception):
    """The business has a tag of this name."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TagQuerySet(models.QuerySet["Tag"]):
    def in_use(self) -> Self:
        """Keep the tags that may be put on leads: those that are not archived."""
        return self.filter(archived_at=None)

    def of(self, business_id: UUID) -> Self:
        """Keep the tags of one business."""
        return self.filter(business=business_id)

    def named(self, name: str) -> Tag | None:
        """Return the tag of this name, in whatever case; None if there is none.

        Databases fold the letters of some alphabets only, each those of its own.
        """
        key = name.casefold()
        return next((one for one in self.order_by("name", "id") if one.key == key), None)

    def make(self, business: Any, name: str, *, by: Any = None, **values: str) -> Tag:
        """Make a tag, or bring an archived one of that name back into use, and return it.

        `values`: colour and description. Raises TagExists, or ValidationError for what cannot be.
        """
        at = timezone.now()
        with transaction.atomic():
            lock([tags_of(business.id)])
            same = self.of(business.id).named(name)
            if same and same.archived_at is None:
                raise TagExists
            if same:
                same.change(at, name=name, archived_at=None, **values)
                return same
            tag = Tag(business=business, name=name, created_by=by, created_at=at, **values)
            tag.full_clean(validate_constraints=False)
            try:
                with transaction.atomic():
                    tag.save(force_insert=True)
            except IntegrityError:  # somebody else was faster
                raise TagExists from None
            return tag


class Tag(models.Model):
    """A label that a business puts on leads; intake uses tags and never makes one.

    An archived one stays on the leads that have it, and comes on no further ones.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    business = models.ForeignKey("sources.Business", models.PROTECT, related_name="tags")
    name = models.CharField(max_length=64)
    color = models.CharField(max_length=7, blank=True, default="", validators=[check_color])
    description = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    modified_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField("archived", null=True, blank=True, editable=False)

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("business", Lower("name"), name="tag_name_unique_in_business")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def key(self) -> str:
        """Return what its name is matched by: in one case."""
        return self.name.casefold()

    def archive(self, at: datetime) -> None:
        """Keep the tag off further leads from `at` on; one that is archived stays as it was."""
        if self.archived_at is None:
            self.archived_at = self.modified_at = at
            self.save(update_fields=["archived_at", "modified_at"])

    def change(self, at: datetime, **values: Any) -> None:
        """Set some of name, color, description; raises TagExists, or ValidationError.

        A `None` for `archived_at` brings it back into use.
        """
        with transaction.atomic():
            if "name" in values:
                lock([tags_of(self.business_id)])
                same = Tag.objects.of(self.business_id).named(values["name"])
                if same and same.pk != self.pk:
                    raise TagExists
            for name, value in values.items():
                setattr(self, name, value)
            self.modified_at = at
            self.full_clean(validate_constraints=False)
            try:
                with transaction.atomic():
                    self.save(update_fields=[*values, "modified_at"])
            except IntegrityError:
                raise TagExists from None
