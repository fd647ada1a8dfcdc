"""Decisions that a suppression makes, and leads that were approved after they came; built online."""

from django.db import migrations, models
from django.db.models import F, Q

from sources.online import AddCheckConstraintOnline, AddIndexOnline


class Migration(migrations.Migration):
    # Backwards only while no suppression has blocked a lead: what was decided is kept for ever.
    atomic = False

    dependencies = [("leads", "0006_look_back")]

    operations = [
        migrations.RemoveConstraint(model_name="review", name="review_decision_known"),
        AddCheckConstraintOnline(
            model_name="review",
            constraint=models.CheckConstraint(
                condition=Q(decision__in=["release", "reject", "undo", "suppress"]),
                name="review_decision_known",
            ),
        ),
        AddIndexOnline(
            model_name="lead",
            index=models.Index(
                condition=Q(approved_at__gt=F("received_at")),
                fields=["source", "approved_at"],
                name="lead_approved_later",
            ),
        ),
    ]
