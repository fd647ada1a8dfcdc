"""The list of posts and what did not become a lead, read by an index; who may replay."""

from django.db import migrations, models

from sources.online import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("intake", "0005_replays")]

    operations = [
        migrations.AlterModelOptions(
            name="post",
            options={
                "ordering": ["-id"],
                "permissions": [("replay_post", "Can replay refused posts")],
            },
        ),
        AddIndexOnline(
            "post",
            models.Index(
                fields=["received_at", "outcome", "key"],
                condition=~models.Q(outcome__in=("approved", "blocked")),
                name="post_without_new_lead",
            ),
        ),
    ]
