"""What was done to a lead besides decisions: who changed, tagged, archived or deleted it, and when.

`leads/amend.py` does these things; each leaves a row here, for good.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from leads.reviews import AppendOnly
from sources.ids import uuid7
from sources.tokens import ApiToken


class LeadChange(AppendOnly):
    """One change of a lead: by whom, and the values of what changed, before and after.

    Values by the names of the lead's fields, as JSON has them; they may name the person. Of an
    archiving, `after` holds its `reason` (0 to 9, None for none) and `note`; of tags, their names.
    """

    class What(models.TextChoices):
        CHANGE = "change", "Changed"
        TAGS = "tags", "Tagged"
        ARCHIVE = "archive", "Archived"
        UNARCHIVE = "unarchive", "Taken back from the archive"
        DELETE = "delete", "Deleted"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    lead = models.ForeignKey("Lead", models.PROTECT, related_name="changes", db_index=False)
    what = models.CharField(max_length=10, choices=What.choices)
    at = models.DateTimeField()
    # None: somebody on the shell; of a token, whoever made it.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    token = models.ForeignKey(ApiToken, models.PROTECT, null=True, related_name="+", db_index=False)
    before: models.JSONField[Any, Any] = models.JSONField(default=dict)
    after: models.JSONField[Any, Any] = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        ordering = ["at", "id"]
        indexes = [
            # The changes of one lead, in order.
            models.Index(fields=["lead", "at"], name="lead_change_of_lead"),
            # The newest: the page of who did what.
            models.Index(fields=["at"], name="lead_change_by_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(what__in=["change", "tags", "archive", "unarchive", "delete"]),
                name="lead_change_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.id}"
