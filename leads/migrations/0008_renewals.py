"""Until when lists that came into use were looked back for, and which columns an import read."""

from django.db import migrations, models
from django.db.models import F


def note_renewals(apps, schema_editor):
    """Until now nobody looked back: of lists that are in use already nothing is left to be done."""
    apps.get_model("leads", "RegistryList").objects.update(renewed_at=F("loaded_at"))


class Migration(migrations.Migration):
    dependencies = [("leads", "0007_decisions_of_suppressions")]

    operations = [
        migrations.AddField(
            model_name="registrylist",
            name="renewed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="suppressionimport",
            name="columns",
            field=models.CharField(blank=True, max_length=200, verbose_name="columns read"),
        ),
        migrations.AddField(
            model_name="suppressionimport",
            name="has_both",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(note_renewals, migrations.RunPython.noop),
    ]
