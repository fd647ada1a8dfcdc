"""Who of the first roles may export: all, the person masked; with the person, an administrator."""

from django.db import migrations

PERMISSIONS = {
    "export_lead": "Can export leads and reports, the person masked",
    "export_person": "Can export leads with the person, with a reason",
}
ROLES = {
    "Administrator": ["export_lead", "export_person"],
    "Source manager": ["export_lead"],
    "Compliance reviewer": ["export_lead"],
    "Analyst": ["export_lead"],
}


def let_roles_export(apps, schema_editor):
    """Give the roles, as far as they are still there, their permissions."""
    alias = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(alias)
    kinds = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    rows = apps.get_model("auth", "Permission").objects.using(alias)
    kind, _ = kinds.get_or_create(app_label="leads", model="lead")
    for role, names in ROLES.items():
        for group in groups.filter(name=role):
            for name in names:
                # Django's own come after migrating.
                made, _ = rows.get_or_create(
                    content_type=kind, codename=name, defaults={"name": PERMISSIONS[name]}
                )
                group.permissions.add(made)


def let_nobody_export(apps, schema_editor):
    """Take the permissions away from whom has them."""
    alias = schema_editor.connection.alias
    rows = apps.get_model("auth", "Permission").objects.using(alias)
    for one in rows.filter(content_type__app_label="leads", codename__in=PERMISSIONS):
        one.group_set.clear()
        one.user_set.clear()


class Migration(migrations.Migration):
    dependencies = [("console", "0002_roles"), ("leads", "0014_exports")]

    operations = [migrations.RunPython(let_roles_export, let_nobody_export)]
