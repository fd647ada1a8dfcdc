"""Suppressions, reviews, the counters of caps, and what a lead keeps of being judged."""

import django.db.models.deletion
import django.utils.timezone
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import sources.ids


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0003_repeats_constraints"),
        ("sources", "0002_history"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CapCounter",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.UUIDField()),
                ("period", models.CharField(max_length=10)),
                ("used", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Disclosure",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "how",
                    models.CharField(
                        choices=[
                            ("page", "Opened its page"),
                            ("reveal", "Revealed the person"),
                            ("export", "Exported it"),
                        ],
                        max_length=10,
                    ),
                ),
            ],
            options={
                "ordering": ["at", "id"],
            },
        ),
        migrations.CreateModel(
            name="HistoricalSuppression",
            fields=[
                ("id", models.UUIDField(db_index=True, default=sources.ids.uuid7, editable=False)),
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
                ("list_name", models.CharField(blank=True, max_length=100)),
                ("listed_on", models.DateField(blank=True, null=True)),
                ("reason", models.TextField(blank=True)),
                ("provenance", models.CharField(blank=True, max_length=100)),
                ("suppressed_at", models.DateTimeField(verbose_name="from")),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                ("release_reason", models.TextField(blank=True)),
                ("release_evidence", models.TextField(blank=True)),
                ("history_change_reason", models.TextField(null=True)),
                (
                    "history_id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("history_date", models.DateTimeField(db_index=True)),
                (
                    "history_type",
                    models.CharField(
                        choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1
                    ),
                ),
            ],
            options={
                "verbose_name": "historical suppression",
                "verbose_name_plural": "historical suppressions",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="RegistryList",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("listed_on", models.DateField(verbose_name="date of the list")),
                (
                    "loaded_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("retired_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["name", "-listed_on"],
            },
        ),
        migrations.CreateModel(
            name="Review",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "decision",
                    models.CharField(
                        choices=[
                            ("release", "Released"),
                            ("reject", "Rejected"),
                            ("undo", "Undone"),
                        ],
                        max_length=10,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("reason", models.CharField(max_length=200)),
                ("note", models.TextField(blank=True)),
                ("written_consent", models.TextField(blank=True)),
                ("status_before", models.CharField(max_length=10)),
                ("status_after", models.CharField(max_length=10)),
                ("blocked_reason_before", models.TextField(blank=True)),
                ("findings_before", models.JSONField(default=list)),
                ("findings_after", models.JSONField(default=list)),
                ("rules_version_before", models.CharField(blank=True, max_length=80)),
                ("rules_version_after", models.CharField(blank=True, max_length=80)),
                ("seen_by", models.JSONField(default=list)),
            ],
            options={
                "ordering": ["at", "id"],
            },
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("phone", models.CharField(blank=True, max_length=20)),
                ("email_key", models.CharField(blank=True, max_length=320)),
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
                ("list_name", models.CharField(blank=True, max_length=100)),
                ("listed_on", models.DateField(blank=True, null=True)),
                ("reason", models.TextField(blank=True)),
                ("provenance", models.CharField(blank=True, max_length=100)),
                ("suppressed_at", models.DateTimeField(verbose_name="from")),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(blank=True, null=True)),
                ("release_reason", models.TextField(blank=True)),
                ("release_evidence", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.AddField(
            model_name="lead",
            name="judged_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="judged"),
        ),
        migrations.AddField(
            model_name="lead",
            name="approved_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="approved"),
        ),
        migrations.AddField(
            model_name="lead",
            name="consent_expires_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="consent expires"),
        ),
        migrations.AddField(
            model_name="capcounter",
            name="source",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="sources.source",
            ),
        ),
        migrations.AddField(
            model_name="disclosure",
            name="by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="disclosure",
            name="lead",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="disclosures",
                to="leads.lead",
            ),
        ),
        migrations.AddField(
            model_name="historicalsuppression",
            name="business",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="sources.business",
            ),
        ),
        migrations.AddField(
            model_name="historicalsuppression",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalsuppression",
            name="history_user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="historicalsuppression",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="registrylist",
            constraint=models.UniqueConstraint(
                fields=("name", "listed_on"), name="registry_list_once"
            ),
        ),
        migrations.AddField(
            model_name="review",
            name="by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="review",
            name="lead",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reviews",
                to="leads.lead",
            ),
        ),
        migrations.AddField(
            model_name="review",
            name="undoes",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="undone_by",
                to="leads.review",
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="business",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="suppressions",
                to="sources.business",
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="suppression",
            name="released_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="capcounter",
            constraint=models.UniqueConstraint(
                fields=("source", "version", "period"), name="cap_counter_of_period_once"
            ),
        ),
        migrations.AddIndex(
            model_name="disclosure",
            index=models.Index(fields=["lead", "at"], name="disclosure_of_lead"),
        ),
        migrations.AddIndex(
            model_name="review",
            index=models.Index(fields=["lead", "at"], name="review_of_lead"),
        ),
        migrations.AddIndex(
            model_name="review",
            index=models.Index(fields=["at"], name="review_by_time"),
        ),
        migrations.AddConstraint(
            model_name="review",
            constraint=models.CheckConstraint(
                condition=models.Q(("decision__in", ["release", "reject", "undo"])),
                name="review_decision_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="review",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="review_has_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="review",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decision", "undo"), ("undoes__isnull", False)),
                    models.Q(
                        models.Q(("decision", "undo"), _negated=True),
                        ("seen_by", []),
                        ("undoes", None),
                    ),
                    _connector="OR",
                ),
                name="review_undo_names_what",
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("phone", ""), _negated=True),
                fields=["phone"],
                name="suppression_of_phone",
            ),
        ),
        migrations.AddIndex(
            model_name="suppression",
            index=models.Index(
                condition=models.Q(("email_key", ""), _negated=True),
                fields=["email_key"],
                name="suppression_of_email",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.UniqueConstraint(
                condition=models.Q(("business__isnull", False), ("released_at", None)),
                fields=("business", "phone", "email_key", "channel", "kind"),
                name="suppression_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.UniqueConstraint(
                condition=models.Q(("business", None), ("released_at", None)),
                fields=("list_name", "phone", "email_key", "channel"),
                name="suppression_on_registry_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("business", None),
                        ("kind", "dnc-registry"),
                        ("listed_on__isnull", False),
                        models.Q(("list_name", ""), _negated=True),
                    ),
                    models.Q(
                        ("business__isnull", False),
                        (
                            "kind__in",
                            ["opt-out", "revocation", "complaint", "litigator", "internal"],
                        ),
                        ("list_name", ""),
                        ("listed_on", None),
                    ),
                    _connector="OR",
                ),
                name="suppression_scope_fits_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("channel__in", ["sms", "voice"]), models.Q(("phone", ""), _negated=True)
                    ),
                    models.Q(("channel", "email"), models.Q(("email_key", ""), _negated=True)),
                    models.Q(
                        ("channel", "all"),
                        models.Q(
                            models.Q(("phone", ""), _negated=True),
                            models.Q(("email_key", ""), _negated=True),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="suppression_channel_reaches_someone",
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("release_evidence", ""), ("release_reason", ""), ("released_at", None)
                    ),
                    models.Q(
                        ("released_at__isnull", False),
                        models.Q(("release_reason", ""), _negated=True),
                        models.Q(
                            models.Q(("kind__in", ["opt-out", "revocation"]), _negated=True),
                            models.Q(("release_evidence", ""), _negated=True),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="suppression_ends_with_reason",
            ),
        ),
    ]
