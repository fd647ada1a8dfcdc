"""Posts that were refused and run again."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sources.ids


class Migration(migrations.Migration):
    dependencies = [
        ("intake", "0004_findings"),
        ("leads", "0007_decisions_of_suppressions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Replay",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("post_id", models.UUIDField(unique=True)),
                ("post_received_at", models.DateTimeField()),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(max_length=200)),
                ("outcome_before", models.CharField(max_length=40)),
                ("outcome_after", models.CharField(max_length=40)),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "lead",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="replays",
                        to="leads.lead",
                    ),
                ),
            ],
            options={
                "ordering": ["-at", "-id"],
                "indexes": [
                    models.Index(fields=["at"], name="replay_by_time"),
                    models.Index(fields=["lead"], name="replay_of_lead"),
                ],
            },
        ),
    ]
