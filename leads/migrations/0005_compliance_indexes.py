"""When leads were judged and approved and their certificates lapse; the indexes of the compliance rules."""

from datetime import timedelta

from django.db import migrations, models
from django.db.models import Case, F, Q, Value, When

from sources.online import AddIndexOnline, RemoveIndexOnline, fill


def fill_times(apps, schema_editor):
    """Nobody could release a lead yet: what is approved was so on arrival."""
    fill(
        schema_editor,
        apps.get_model("leads", "Lead"),
        judged_at=F("received_at"),
        approved_at=Case(When(compliance_status="Approved", then=F("received_at"))),
        consent_expires_at=Case(
            When(~Q(certificate_id=""), then=F("received_at") + Value(timedelta(hours=72)))
        ),
    )


class Migration(migrations.Migration):
    atomic = False  # the rows are filled some thousand at a time, the indexes built online

    dependencies = [("leads", "0004_compliance")]

    operations = [
        migrations.RunPython(fill_times, migrations.RunPython.noop),
        AddIndexOnline(
            model_name="lead",
            index=models.Index(
                condition=~Q(phone=""),
                fields=["business", "phone", "compliance_status", "received_at"],
                name="lead_of_phone",
            ),
        ),
        AddIndexOnline(
            model_name="lead",
            index=models.Index(
                condition=~Q(email_key=""),
                fields=["business", "email_key", "compliance_status", "received_at"],
                name="lead_of_email",
            ),
        ),
        AddIndexOnline(
            model_name="lead",
            index=models.Index(
                condition=~Q(certificate_id=""),
                fields=["business", "certificate_id", "received_at"],
                name="lead_of_certificate",
            ),
        ),
        RemoveIndexOnline(model_name="lead", name="lead_by_phone"),
        RemoveIndexOnline(model_name="lead", name="lead_by_email"),
    ]
