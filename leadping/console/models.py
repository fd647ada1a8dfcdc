"""No table: what the pages that span apps ask for beyond the permissions of the models."""

from django.db import models


class Console(models.Model):  # noqa: DJ008
    """The permissions of pages that belong to no model."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("view_audit", "Can read who did what")]
