"""Windows of the rate limiter, and counts of the refusals of which no more is kept."""

import django.db.models.deletion
from django.db import migrations, models

import sources.ids

# The windows need not survive a crash, and must not cost a flush to disk. Half-empty pages let a
# row be changed in its place.
UNLOGGED = "ALTER TABLE intake_ratewindow SET UNLOGGED, SET (fillfactor = 50)"
LOGGED = "ALTER TABLE intake_ratewindow SET LOGGED, RESET (fillfactor)"


def make_unlogged(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(UNLOGGED)


def make_logged(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(LOGGED)


class Migration(migrations.Migration):
    dependencies = [
        ("intake", "0002_post_key_by_time"),
        ("sources", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="RateWindow",
            fields=[
                ("subject", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("started_ms", models.BigIntegerField(verbose_name="started (ms since 1970)")),
                ("used", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="RefusalCount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("minute", models.DateTimeField()),
                ("code", models.CharField(max_length=40)),
                ("address", models.CharField(blank=True, max_length=39)),
                ("count", models.PositiveIntegerField()),
                (
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="refusal_counts",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "ordering": ["-minute"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("source__isnull", False)),
                        fields=("source", "minute", "code"),
                        name="refusal_count_of_source_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("source__isnull", True)),
                        fields=("minute", "code", "address"),
                        name="refusal_count_of_address_once",
                    ),
                ],
            },
        ),
        migrations.RunPython(make_unlogged, make_logged),
    ]
