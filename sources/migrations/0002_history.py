"""The history of sources, keys and rule modes, which begins with how they stand now."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import simple_history.models
from django.conf import settings
from django.db import migrations, models

import sources.decimals
import sources.ids
import sources.models

HISTORIES = ("Source", "SourceRule", "SourceKey")


def begin_histories(apps, schema_editor):
    """Keep each row as it stands, so that what is judged from now on can name its settings."""
    now = django.utils.timezone.now()
    for name in HISTORIES:
        kept = apps.get_model("sources", f"Historical{name}")
        names = {one.attname for one in kept._meta.concrete_fields}
        rows = apps.get_model("sources", name)._default_manager.using(
            schema_editor.connection.alias
        )
        for values in rows.values():
            known = {name: value for name, value in values.items() if name in names}
            kept._default_manager.using(schema_editor.connection.alias).create(
                **known, history_date=now, history_type="+"
            )


class Migration(migrations.Migration):
    dependencies = [
        ("sources", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="source",
            name="counters_version",
            field=models.UUIDField(default=sources.ids.uuid7, editable=False),
        ),
        migrations.CreateModel(
            name="HistoricalSource",
            fields=[
                ("id", models.UUIDField(db_index=True, default=sources.ids.uuid7, editable=False)),
                ("name", models.CharField(max_length=200)),
                (
                    "notes",
                    models.TextField(blank=True, help_text="For staff; never leaves the console."),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("version", models.UUIDField(default=sources.ids.uuid7, editable=False)),
                ("counters_version", models.UUIDField(default=sources.ids.uuid7, editable=False)),
                (
                    "is_enabled",
                    models.BooleanField(
                        default=True,
                        help_text="Off: each post is answered 403 source-disabled.",
                        verbose_name="enabled",
                    ),
                ),
                (
                    "compliance_approved_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                ("compliance_approval_note", models.TextField(blank=True, editable=False)),
                (
                    "allowed_states",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='USPS codes, e.g. ["TX", "CA"]. An empty list allows all; with a list, a lead without a state is held too.',
                        validators=[sources.models.check_list_of_texts],
                    ),
                ),
                (
                    "allowed_products",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="As for states.",
                        validators=[sources.models.check_list_of_texts],
                    ),
                ),
                (
                    "allowed_verticals",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="As for states.",
                        validators=[sources.models.check_list_of_texts],
                    ),
                ),
                (
                    "is_trusted_form_required",
                    models.BooleanField(
                        default=False,
                        help_text="A lead without a TrustedForm certificate URL gets the finding consent-missing.",
                        verbose_name="requires TrustedForm",
                    ),
                ),
                (
                    "is_sms_consent_covered",
                    models.BooleanField(
                        default=False,
                        help_text="Staff have read the wording that people agree to, and it covers text messages.",
                        verbose_name="consent wording covers SMS",
                    ),
                ),
                ("default_product", models.CharField(blank=True, max_length=100)),
                ("default_vertical", models.CharField(blank=True, max_length=100)),
                (
                    "default_sender_number_id",
                    models.CharField(
                        blank=True,
                        help_text="Leads carry it as assignedPhoneNumberId.",
                        max_length=64,
                    ),
                ),
                (
                    "duplicate_window_days",
                    models.PositiveSmallIntegerField(
                        default=30,
                        help_text="Days of 24 hours in which the same person counts as a duplicate; 0 = never.",
                        validators=[django.core.validators.MaxValueValidator(3650)],
                    ),
                ),
                (
                    "duplicate_scope",
                    models.CharField(
                        choices=[
                            ("source", "This source"),
                            ("business", "Any source of the business"),
                        ],
                        default="source",
                        max_length=10,
                    ),
                ),
                (
                    "daily_cap",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Approved leads a day, in this source's time zone.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000000)],
                    ),
                ),
                (
                    "monthly_cap",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Approved leads a month, in this source's time zone.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(1000000000)],
                    ),
                ),
                (
                    "rate_per_minute",
                    models.PositiveIntegerField(
                        default=300,
                        help_text="Posts in 60 seconds.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000000),
                        ],
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="America/New_York",
                        max_length=64,
                        validators=[sources.models.check_time_zone],
                    ),
                ),
                (
                    "cost_per_lead",
                    sources.decimals.ExactDecimalField(
                        blank=True,
                        null=True,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
                (
                    "field_map",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='Further names that this vendor uses for our fields, e.g. {"cell": "phone"}.',
                        validators=[sources.models.check_field_map],
                    ),
                ),
                (
                    "is_unknown_kept",
                    models.BooleanField(
                        default=False,
                        help_text="Fields that nobody knows go into sourceMetadata instead of being ignored.",
                        verbose_name="keeps unknown fields",
                    ),
                ),
                (
                    "is_query_key_allowed",
                    models.BooleanField(
                        default=False,
                        help_text="For posting systems that can only call a URL; URLs are written to logs.",
                        verbose_name="allows the key in the URL",
                    ),
                ),
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
                (
                    "business",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="sources.business",
                    ),
                ),
                (
                    "compliance_approved_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="The person who answers for this source; leads carry it as userId.",
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "vendor",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="sources.vendor",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical source",
                "verbose_name_plural": "historical sources",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalSourceKey",
            fields=[
                ("id", models.UUIDField(db_index=True, default=sources.ids.uuid7, editable=False)),
                ("label", models.CharField(blank=True, max_length=100)),
                ("preview", models.CharField(editable=False, max_length=16)),
                (
                    "is_test",
                    models.BooleanField(
                        default=False,
                        help_text="Leads posted with this key are tests: judged and stored, never counted.",
                        verbose_name="for tests",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
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
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical source key",
                "verbose_name_plural": "historical source keys",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="HistoricalSourceRule",
            fields=[
                ("id", models.UUIDField(db_index=True, default=sources.ids.uuid7, editable=False)),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("source-not-approved", "Source not approved"),
                            ("state-not-allowed", "State not allowed"),
                            ("product-not-allowed", "Product not allowed"),
                            ("vertical-not-allowed", "Vertical not allowed"),
                            ("consent-missing", "Consent certificate missing"),
                            ("consent-malformed", "Consent certificate malformed"),
                            ("consent-reused", "Consent certificate reused"),
                            ("suppressed", "Suppressed"),
                            ("on-dnc-registry", "On a do-not-call registry"),
                            ("duplicate", "Duplicate"),
                            ("phone-invalid", "Phone invalid"),
                            ("underage", "Under age"),
                            ("state-mismatch", "State and ZIP do not match"),
                            ("over-cap", "Over the cap"),
                            ("check-unavailable", "A check could not be run"),
                        ],
                        max_length=40,
                    ),
                ),
                (
                    "mode",
                    models.CharField(
                        choices=[
                            ("hold", "Hold: store it, block it, let staff review it"),
                            ("flag", "Flag: record the finding, do not block"),
                            ("reject", "Reject: refuse the post with 422, store no lead"),
                            ("off", "Off: do not run the rule"),
                        ],
                        max_length=10,
                    ),
                ),
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
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="sources.source",
                    ),
                ),
            ],
            options={
                "verbose_name": "historical source rule",
                "verbose_name_plural": "historical source rules",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.RunPython(begin_histories, migrations.RunPython.noop),
    ]
