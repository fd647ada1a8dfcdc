"""The indexes and constraints of the read API, made while posts go on coming in."""

from django.db import migrations, models
from django.db.models import Q

from sources.online import AddCheckConstraintOnline, AddIndexOnline


class Migration(migrations.Migration):
    # Backwards only while no change has blocked a lead: what was decided is kept for ever.
    atomic = False

    dependencies = [("leads", "0015_api")]

    operations = [
        migrations.RemoveConstraint("review", "review_decision_known"),
        AddCheckConstraintOnline(
            "review",
            models.CheckConstraint(
                condition=Q(decision__in=["release", "reject", "undo", "suppress", "change"]),
                name="review_decision_known",
            ),
        ),
        AddCheckConstraintOnline(
            "disclosure",
            models.CheckConstraint(
                condition=~Q(how="api") | Q(token__isnull=False, lead__isnull=False),
                name="disclosure_by_api_names_token",
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["business", "received_at", "id"],
                condition=Q(archived_at__isnull=False),
                name="lead_archived",
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["business", "modified_at"],
                condition=Q(modified_at__isnull=False),
                name="lead_modified",
            ),
        ),
        AddIndexOnline(
            "suppression",
            models.Index(
                fields=["business", "suppressed_at", "id"],
                condition=Q(business__isnull=False),
                name="suppression_of_business",
            ),
        ),
    ]
