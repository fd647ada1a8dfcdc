"""Indexes of what staff were shown, without what systems read by the API day and night."""

from django.db import migrations, models
from django.db.models import Q

from sources.online import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("leads", "0016_api_indexes")]

    operations = [
        AddIndexOnline(
            "disclosure",
            models.Index(
                fields=["lead", "at"], condition=~Q(how="api"), name="disclosure_of_lead_to_staff"
            ),
        ),
        AddIndexOnline(
            "disclosure",
            models.Index(fields=["at"], condition=~Q(how="api"), name="disclosure_to_staff"),
        ),
    ]
