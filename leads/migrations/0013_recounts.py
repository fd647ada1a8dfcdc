"""The notes of what has to be counted again."""

import django.db.models.deletion
from django.db import migrations, models

import sources.ids


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0012_browse_indexes"),
        ("sources", "0002_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="Recount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("received_at", models.DateTimeField()),
                (
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
