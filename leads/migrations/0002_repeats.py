"""What a repeat is told by: the key of the post, its fingerprint, the person as first posted."""

from django.db import migrations, models

from sources.online import fill


def fill_posted(apps, schema_editor):
    """Nobody has changed a lead yet: it stands as it was posted."""
    lead = apps.get_model("leads", "Lead")
    fill(
        schema_editor,
        lead,
        posted_email_key=models.F("email_key"),
        posted_phone=models.F("phone"),
    )


class Migration(migrations.Migration):
    atomic = False  # the rows are filled some thousand at a time

    dependencies = [("leads", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="lead",
            name="deleted_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="deleted"),
        ),
        migrations.AddField(
            model_name="lead",
            name="erased_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="erased"),
        ),
        migrations.AddField(
            model_name="lead",
            name="fingerprint",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="lead",
            name="idempotency_key",
            field=models.CharField(blank=True, max_length=255),
        ),
        migrations.AddField(
            model_name="lead",
            name="posted_email_key",
            field=models.CharField(blank=True, max_length=320),
        ),
        migrations.AddField(
            model_name="lead",
            name="posted_phone",
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.RunPython(fill_posted, migrations.RunPython.noop),
    ]
