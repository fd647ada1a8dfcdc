"""What the rules found against a post that they refused."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("intake", "0003_limits"),
    ]

    operations = [
        migrations.AddField(
            model_name="post",
            name="findings",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="post",
            name="rules_version",
            field=models.CharField(blank=True, max_length=80),
        ),
    ]
