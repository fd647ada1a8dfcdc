"""API tokens open a business's leads to its systems: they are an administrator's to make and end."""

from django.db import migrations

ROLE = "Administrator"
VERBS = ("view", "add", "change")


def permissions_of(apps, alias):
    """Return the permissions, made if they are not there yet: Django's own come after migrating."""
    kinds = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    kind, _ = kinds.get_or_create(app_label="sources", model="apitoken")
    rows = apps.get_model("auth", "Permission").objects.using(alias)
    return [
        rows.get_or_create(
            content_type=kind,
            codename=f"{verb}_apitoken",
            defaults={"name": f"Can {verb} API token"},
        )[0]
        for verb in VERBS
    ]


def let_administrators(apps, schema_editor):
    """Give the role, if it is still there, its permissions."""
    alias = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name=ROLE):
        group.permissions.add(*permissions_of(apps, alias))


def let_nobody(apps, schema_editor):
    """Take the permissions away from whom has them."""
    for one in permissions_of(apps, schema_editor.connection.alias):
        one.group_set.clear()
        one.user_set.clear()


class Migration(migrations.Migration):
    dependencies = [("console", "0003_export_roles"), ("sources", "0003_api")]

    operations = [migrations.RunPython(let_administrators, let_nobody)]
