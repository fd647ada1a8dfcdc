"""What the console reads by, made while posts go on coming in; and the desk as it stands."""

from django.db import migrations, models
from django.db.models import Q

from leads.reviews import desk_tab_of
from sources.online import (
    BATCH_ROWS,
    AddCheckConstraintOnline,
    AddIndexOnline,
    RemoveIndexOnline,
)


def put_on_desk(apps, schema_editor):
    """Set the tab of every lead that is blocked already, some thousand at a time."""
    alias = schema_editor.connection.alias
    leads = apps.get_model("leads", "Lead").objects.using(alias)
    reviews = apps.get_model("leads", "Review").objects.using(alias)
    blocked = leads.filter(compliance_status="Blocked", is_test=False).order_by("pk")
    last = None
    while True:
        rows = blocked.filter(pk__gt=last) if last else blocked
        found = dict(rows.values_list("pk", "findings")[:BATCH_ROWS])
        if not found:
            return
        last = max(found)
        ids = list(found)
        for start in range(0, len(ids), 500):  # as many as SQLite takes
            decided = reviews.filter(lead__in=ids[start : start + 500]).order_by("at", "id")
            found |= dict(decided.values_list("lead_id", "findings_after"))
        by_tab = {}
        for pk, findings in found.items():
            by_tab.setdefault(desk_tab_of(findings), []).append(pk)
        for tab, named in by_tab.items():
            for start in range(0, len(named), 500):
                some = blocked.filter(pk__in=named[start : start + 500])
                some.order_by().update(desk_tab=tab)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("leads", "0009_desk")]

    operations = [
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["desk_tab", "received_at", "id"],
                condition=Q(desk_tab__isnull=False),
                name="lead_on_desk",
            ),
        ),
        migrations.RunPython(put_on_desk, migrations.RunPython.noop, elidable=False),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["received_at", "id", "source", "compliance_status", "is_test"],
                name="lead_in_time",
            ),
        ),
        RemoveIndexOnline("lead", "lead_by_time"),
        AddIndexOnline(
            "disclosure",
            models.Index(
                fields=["post_id"], condition=Q(post_id__isnull=False), name="disclosure_of_post"
            ),
        ),
        AddIndexOnline("disclosure", models.Index(fields=["at"], name="disclosure_by_time")),
        AddCheckConstraintOnline(
            "disclosure",
            models.CheckConstraint(
                condition=Q(lead__isnull=False) | Q(post_id__isnull=False),
                name="disclosure_of_something",
            ),
        ),
        AddCheckConstraintOnline(
            "disclosure",
            models.CheckConstraint(
                condition=~Q(how="reveal") | ~Q(reason=""), name="disclosure_reveals_with_reason"
            ),
        ),
    ]
