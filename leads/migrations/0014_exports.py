"""Exports: their record, the pieces of their files, whose person they let out, schedules."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import sources.ids


def keep_as_is(apps, schema_editor):
    """Let PostgreSQL not try to compress what is deflated already."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE leads_exportchunk ALTER data SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0013_recounts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="lead",
            options={
                "ordering": ["-received_at", "-id"],
                "permissions": [
                    ("review_lead", "Can release and reject leads at the review desk"),
                    ("reveal_lead", "Can reveal the person of a lead or post, with a reason"),
                    ("export_lead", "Can export leads and reports, the person masked"),
                    ("export_person", "Can export leads with the person, with a reason"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportSchedule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                ("kind", models.CharField(max_length=20)),
                ("query", models.TextField(blank=True)),
                ("format", models.CharField(max_length=10)),
                ("is_masked", models.BooleanField(default=True, verbose_name="person masked")),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "every",
                    models.CharField(
                        choices=[
                            ("day", "Every day"),
                            ("week", "Every Monday"),
                            ("month", "On the first of the month"),
                        ],
                        max_length=5,
                    ),
                ),
                ("hour", models.PositiveSmallIntegerField()),
                ("is_on", models.BooleanField(default=True, verbose_name="on")),
                ("next_at", models.DateTimeField()),
                ("trouble", models.TextField(blank=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Export",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="asked for"
                    ),
                ),
                ("kind", models.CharField(max_length=20)),
                ("query", models.TextField(blank=True)),
                ("columns", models.JSONField(default=list)),
                ("format", models.CharField(max_length=10)),
                ("order", models.CharField(blank=True, max_length=10)),
                ("is_masked", models.BooleanField(default=True, verbose_name="person masked")),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("estimate", models.PositiveBigIntegerField(null=True)),
                ("file_name", models.CharField(max_length=120)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Ready"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("expired", "Expired"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("is_cancel_wanted", models.BooleanField(default=False)),
                ("trouble", models.TextField(blank=True)),
                ("as_of", models.DateTimeField(null=True)),
                ("place", models.CharField(blank=True, max_length=60)),
                ("is_read", models.BooleanField(default=False)),
                ("rows_done", models.PositiveBigIntegerField(default=0)),
                (
                    "size",
                    models.PositiveBigIntegerField(
                        default=0, verbose_name="size of the file in bytes"
                    ),
                ),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("worked_ms", models.PositiveBigIntegerField(default=0)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "again_of",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="leads.export",
                    ),
                ),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "schedule",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="exports",
                        to="leads.exportschedule",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-id"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ExportChunk",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "stage",
                    models.CharField(choices=[("rows", "Rows"), ("file", "File")], max_length=4),
                ),
                ("number", models.PositiveIntegerField()),
                ("size", models.PositiveIntegerField()),
                ("data", models.BinaryField()),
                (
                    "of",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="leads.export",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("of", "stage", "number"), name="export_chunk_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportDownload",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="downloads",
                        to="leads.export",
                    ),
                ),
            ],
            options={
                "ordering": ["at", "id"],
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["export", "at"], name="export_download_of"),
                    models.Index(fields=["at"], name="export_download_by_time"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportedLeads",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("ids", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="exported",
                        to="leads.export",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["last_at", "first_at"], name="exported_leads_by_time")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="exportschedule",
            index=models.Index(
                condition=models.Q(("is_on", True)),
                fields=["next_at"],
                name="export_schedule_by_due",
            ),
        ),
        migrations.AddIndex(
            model_name="exportschedule",
            index=models.Index(fields=["by"], name="export_schedule_by_person"),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("every__in", ["day", "week", "month"])),
                name="export_schedule_every_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("hour__lte", 23)), name="export_schedule_hour_of_day"
            ),
        ),
        migrations.AddConstraint(
            model_name="exportschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_masked", True), models.Q(("reason", ""), _negated=True), _connector="OR"
                ),
                name="export_schedule_of_persons_has_reason",
            ),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(fields=["by", "created_at"], name="export_by_person"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(fields=["created_at"], name="export_by_time"),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(
                condition=models.Q(("state", "done")),
                fields=["expires_at"],
                name="export_to_expire",
            ),
        ),
        migrations.AddIndex(
            model_name="export",
            index=models.Index(
                condition=models.Q(("schedule__isnull", False)),
                fields=["schedule"],
                name="export_of_schedule",
            ),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["waiting", "running", "done", "failed", "cancelled", "expired"])
                ),
                name="export_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_masked", True), models.Q(("reason", ""), _negated=True), _connector="OR"
                ),
                name="export_of_persons_has_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="export",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "done"), _negated=True),
                    models.Q(
                        ("expires_at__isnull", False), models.Q(("sha256", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="export_done_has_file",
            ),
        ),
        migrations.RunPython(keep_as_is, migrations.RunPython.noop),
    ]
