"""Four roles to begin with; an administrator changes them, or makes others, in the console."""

from django.db import migrations

# Permissions that are not Django's own four of each model, and what they are called.
NAMED = {
    "sources.approve_source": ("source", "Can approve a source for compliance"),
    "leads.review_lead": ("lead", "Can release and reject leads at the review desk"),
    "leads.reveal_lead": ("lead", "Can reveal the person of a lead or post, with a reason"),
    "leads.settle_lookback": ("lookback", "Can settle a look-back"),
    "intake.replay_post": ("post", "Can replay refused posts"),
    "jobs.retry_job": ("job", "Can have a failed job tried again"),
    "console.view_audit": ("console", "Can read who did what"),
}
SET_UP = [
    f"sources.{verb}_{model}"
    for model in ("business", "vendor", "tag", "source", "sourcekey")
    for verb in ("view", "add", "change")
]
POSTS = ["intake.view_post", "intake.view_replay", "intake.view_refusalcount"]
NOT_CONTACTED = [
    *("leads.view_suppression", "leads.add_suppression", "leads.change_suppression"),
    *("leads.view_suppressionimport", "leads.add_suppressionimport", "leads.view_registrylist"),
    *("leads.view_lookback", "leads.settle_lookback"),
]
REVIEW = ["leads.view_lead", "leads.review_lead", "leads.reveal_lead", "leads.view_review"]
SOURCE_MANAGER = [*SET_UP, *POSTS, "intake.replay_post", "leads.view_lead", "leads.reveal_lead"]
REVIEWER = [
    *(*REVIEW, *NOT_CONTACTED, *POSTS, "console.view_audit"),
    *("sources.view_source", "sources.view_business", "sources.view_vendor"),
    "sources.approve_source",
]
ROLES = {
    "Administrator": [
        *(*SOURCE_MANAGER, *REVIEWER),
        *("jobs.view_job", "jobs.retry_job", "jobs.view_worker"),
        *("auth.view_user", "auth.add_user", "auth.change_user", "auth.view_group"),
    ],
    "Source manager": SOURCE_MANAGER,
    "Compliance reviewer": REVIEWER,
    "Analyst": ["leads.view_lead"],
}


def make_roles(apps, schema_editor):
    """Make the roles, and the permissions that are not there yet: Django's come after migrating."""
    alias = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(alias)
    for role, names in ROLES.items():
        group, _ = groups.get_or_create(name=role)
        group.permissions.add(*(permission(apps, alias, one) for one in dict.fromkeys(names)))


def permission(apps, alias, name):
    """Return the permission of a name like `leads.view_lead`, as Django would make it."""
    app, codename = name.split(".")
    model, said = NAMED.get(name, (codename.partition("_")[2], ""))
    of = apps.get_model(app, model)._meta
    kinds = apps.get_model("contenttypes", "ContentType").objects.using(alias)
    kind, _ = kinds.get_or_create(app_label=app, model=model)
    rows = apps.get_model("auth", "Permission").objects.using(alias)
    said = said or f"Can {codename.partition('_')[0]} {of.verbose_name_raw}"
    return rows.get_or_create(content_type=kind, codename=codename, defaults={"name": said})[0]


def remove_roles(apps, schema_editor):
    """Take the roles away from whom has them; their permissions stay."""
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    groups.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_permissions"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sources", "0002_history"),
        ("leads", "0010_desk_indexes"),
        ("intake", "0006_posts_in_console"),
        ("jobs", "0001_initial"),
    ]

    operations = [migrations.RunPython(make_roles, remove_roles)]
