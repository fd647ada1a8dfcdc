"""What the read API keeps of a lead: who changed, archived and read it."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sources.ids


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0014_exports"),
        ("sources", "0003_api"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LeadChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=sources.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("change", "Changed"),
                            ("tags", "Tagged"),
                            ("archive", "Archived"),
                            ("unarchive", "Taken back from the archive"),
                            ("delete", "Deleted"),
                        ],
                        max_length=10,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("before", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ["at", "id"],
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="disclosure",
            name="token",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sources.apitoken",
            ),
        ),
        migrations.AddField(
            model_name="lead",
            name="archived_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="archived"),
        ),
        migrations.AlterField(
            model_name="disclosure",
            name="how",
            field=models.CharField(
                choices=[
                    ("page", "Opened its page"),
                    ("reveal", "Revealed the person"),
                    ("export", "Exported it"),
                    ("api", "Read it by the API"),
                ],
                max_length=10,
            ),
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
                    ("change", "Blocked after a change of it"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="leadchange",
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
            model_name="leadchange",
            name="lead",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="changes",
                to="leads.lead",
            ),
        ),
        migrations.AddField(
            model_name="leadchange",
            name="token",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="sources.apitoken",
            ),
        ),
        migrations.AddIndex(
            model_name="leadchange",
            index=models.Index(fields=["lead", "at"], name="lead_change_of_lead"),
        ),
        migrations.AddIndex(
            model_name="leadchange",
            index=models.Index(fields=["at"], name="lead_change_by_time"),
        ),
        migrations.AddConstraint(
            model_name="leadchange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("what__in", ["change", "tags", "archive", "unarchive", "delete"])
                ),
                name="lead_change_known",
            ),
        ),
    ]
