"""Look-backs, what is kept of the imports of lists, and when leads were replayed."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import sources.ids


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0005_compliance_indexes"),
        ("sources", "0002_history"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="BadRow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("line", models.PositiveIntegerField()),
                ("why", models.CharField(max_length=200)),
                ("cells", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="ImportChunk",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("data", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="LookBack",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                ("act_by", models.DateField()),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("settled_note", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "look-back",
                "ordering": ["-at", "-id"],
                "permissions": [("settle_lookback", "Can settle a look-back")],
            },
        ),
        migrations.CreateModel(
            name="StagedRow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("phone", models.CharField(blank=True, max_length=20)),
                ("email_key", models.CharField(blank=True, max_length=320)),
                ("since", models.DateTimeField(null=True)),
                ("reason", models.TextField(blank=True)),
            ],
        ),
        migrations.CreateModel(
            name="SuppressionImport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("file_name", models.CharField(max_length=200, verbose_name="file")),
                (
                    "file_bytes",
                    models.PositiveBigIntegerField(
                        default=0, verbose_name="size of the file in bytes"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("opt-out", "Opt-out"),
                            ("revocation", "Consent revoked"),
                            ("complaint", "Complaint"),
                            ("litigator", "Known litigator"),
                            ("internal", "Internal"),
                            ("dnc-registry", "Do-not-call registry"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[
                            ("sms", "Text messages"),
                            ("voice", "Calls"),
                            ("email", "E-mail"),
                            ("all", "All channels"),
                        ],
                        default="all",
                        max_length=10,
                    ),
                ),
                ("list_name", models.CharField(blank=True, max_length=100)),
                (
                    "listed_on",
                    models.DateField(blank=True, null=True, verbose_name="date of the list"),
                ),
                ("reason", models.TextField(blank=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("loading", "Loading the file"),
                            ("reading", "Reading the rows"),
                            ("renewing", "Bringing the list back into use"),
                            ("suppressing", "Suppressing"),
                            ("done", "Done"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="loading",
                        max_length=12,
                    ),
                ),
                (
                    "resumes_as",
                    models.CharField(
                        choices=[
                            ("loading", "Loading the file"),
                            ("reading", "Reading the rows"),
                            ("renewing", "Bringing the list back into use"),
                            ("suppressing", "Suppressing"),
                            ("done", "Done"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="reading",
                        max_length=12,
                    ),
                ),
                ("is_cancel_wanted", models.BooleanField(default=False)),
                ("trouble", models.TextField(blank=True)),
                ("rows_read", models.PositiveIntegerField(default=0)),
                ("rows_bad", models.PositiveIntegerField(default=0)),
                ("rows_staged", models.PositiveIntegerField(default=0)),
                ("rows_done", models.PositiveIntegerField(default=0)),
                ("rows_added", models.PositiveIntegerField(default=0)),
                ("leads_blocked", models.PositiveIntegerField(default=0)),
                ("renewed_up_to", models.UUIDField(editable=False, null=True)),
                (
                    "worked_ms",
                    models.PositiveBigIntegerField(default=0, verbose_name="worked (ms)"),
                ),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "import of a list",
                "verbose_name_plural": "imports of lists",
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="registrylist",
            name="registry_list_once",
        ),
        migrations.AddField(
            model_name="lead",
            name="replayed_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="replayed"),
        ),
        migrations.AlterField(
            model_name="review",
            name="decision",
            field=models.CharField(
                choices=[
                    ("release", "Released"),
                    ("reject", "Rejected"),
                    ("undo", "Undone"),
                    ("suppress", "Blocked by a later suppression"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="registrylist",
            constraint=models.UniqueConstraint(
                condition=models.Q(("retired_at", None)),
                fields=("name", "listed_on"),
                name="registry_edition_once",
            ),
        ),
        migrations.AddField(
            model_name="lookback",
            name="lead",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="look_backs",
                to="leads.lead",
            ),
        ),
        migrations.AddField(
            model_name="lookback",
            name="review",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="look_back",
                to="leads.review",
            ),
        ),
        migrations.AddField(
            model_name="lookback",
            name="settled_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="lookback",
            name="suppression",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="look_backs",
                to="leads.suppression",
            ),
        ),
        migrations.AddField(
            model_name="suppressionimport",
            name="business",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sources.business",
            ),
        ),
        migrations.AddField(
            model_name="suppressionimport",
            name="created_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="stagedrow",
            name="of",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="staged",
                to="leads.suppressionimport",
            ),
        ),
        migrations.AddField(
            model_name="importchunk",
            name="of",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="chunks",
                to="leads.suppressionimport",
            ),
        ),
        migrations.AddField(
            model_name="badrow",
            name="of",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="bad_rows",
                to="leads.suppressionimport",
            ),
        ),
        migrations.AddIndex(
            model_name="lookback",
            index=models.Index(
                condition=models.Q(("settled_at", None)),
                fields=["act_by", "id"],
                name="look_back_unsettled",
            ),
        ),
        migrations.AddIndex(
            model_name="lookback",
            index=models.Index(fields=["lead"], name="look_back_of_lead"),
        ),
        migrations.AddIndex(
            model_name="lookback",
            index=models.Index(fields=["suppression"], name="look_back_of_suppression"),
        ),
        migrations.AddConstraint(
            model_name="lookback",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("settled_at", None), ("settled_note", "")),
                    models.Q(
                        ("settled_at__isnull", False), models.Q(("settled_note", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="look_back_settled_with_note",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppressionimport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "loading",
                            "reading",
                            "renewing",
                            "suppressing",
                            "done",
                            "cancelled",
                            "failed",
                        ],
                    )
                ),
                name="suppression_import_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="stagedrow",
            constraint=models.UniqueConstraint(fields=("of", "number"), name="staged_row_once"),
        ),
        migrations.AddConstraint(
            model_name="importchunk",
            constraint=models.UniqueConstraint(fields=("of", "number"), name="import_chunk_once"),
        ),
        migrations.AddConstraint(
            model_name="badrow",
            constraint=models.UniqueConstraint(fields=("of", "line"), name="bad_row_once"),
        ),
    ]
