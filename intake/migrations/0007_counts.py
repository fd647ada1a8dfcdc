"""The counts of each day of a source, in which zones they are kept, and up to when."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("intake", "0006_posts_in_console"),
        ("sources", "0002_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="CountedUntil",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(null=True)),
                ("widened_at", models.DateTimeField(null=True)),
                ("took_ms", models.PositiveIntegerField(default=0)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="counted_until_is_one"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CountedZone",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("zone", models.CharField(max_length=64)),
                ("version", models.BigIntegerField(default=0)),
                ("counted_on", models.DateField(null=True)),
                ("is_complete", models.BooleanField(default=False)),
                (
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="counted_zones",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("source", "zone"), name="counted_zone_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="DayCount",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("zone", models.CharField(max_length=64)),
                (
                    "span",
                    models.CharField(choices=[("day", "Day"), ("month", "Month")], max_length=5),
                ),
                ("on", models.DateField()),
                (
                    "by",
                    models.CharField(
                        choices=[
                            ("total", "in all"),
                            ("hour", "hour"),
                            ("state", "state"),
                            ("product", "product"),
                            ("sub_id", "sub ID"),
                            ("found", "what was found"),
                            ("refused", "refused because"),
                            ("away", "turned away because"),
                        ],
                        max_length=10,
                    ),
                ),
                ("value", models.CharField(blank=True, max_length=400)),
                ("received", models.PositiveIntegerField(default=0)),
                ("approved", models.PositiveIntegerField(default=0)),
                ("blocked", models.PositiveIntegerField(default=0)),
                ("rejected", models.PositiveIntegerField(default=0)),
                ("repeated", models.PositiveIntegerField(default=0)),
                ("refused", models.PositiveIntegerField(default=0)),
                ("tests", models.PositiveIntegerField(default=0)),
                ("turned_away", models.PositiveIntegerField(default=0)),
                ("approved_price", models.BigIntegerField(default=0)),
                ("approved_priced", models.PositiveIntegerField(default=0)),
                ("held_price", models.BigIntegerField(default=0)),
                ("held_priced", models.PositiveIntegerField(default=0)),
                ("reviewed", models.PositiveIntegerField(default=0)),
                ("review_seconds", models.BigIntegerField(default=0)),
                ("reviewed_in_day", models.PositiveIntegerField(default=0)),
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
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "zone", "by", "span", "on", "value"),
                        name="day_count_once",
                    )
                ],
            },
        ),
    ]
