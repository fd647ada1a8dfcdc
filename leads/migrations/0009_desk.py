"""Which tab of the review desk a lead waits on, claims, and reveals with their reason."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0008_renewals"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Claim",
            fields=[
                (
                    "lead",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="claim",
                        serialize=False,
                        to="leads.lead",
                    ),
                ),
                ("until", models.DateTimeField(db_index=True)),
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
        ),
        migrations.AlterModelOptions(
            name="lead",
            options={
                "ordering": ["-received_at", "-id"],
                "permissions": [
                    ("review_lead", "Can release and reject leads at the review desk"),
                    ("reveal_lead", "Can reveal the person of a lead or post, with a reason"),
                ],
            },
        ),
        migrations.AddField(
            model_name="lead",
            name="desk_tab",
            field=models.CharField(
                blank=True,
                choices=[
                    ("review", "To review"),
                    ("duplicate", "Duplicates"),
                    ("over-cap", "Over cap"),
                    ("suppressed", "Suppressed"),
                    ("firm", "Under age or not checked"),
                ],
                max_length=10,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="disclosure",
            name="post_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="disclosure",
            name="reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="disclosure",
            name="lead",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="disclosures",
                to="leads.lead",
            ),
        ),
    ]
