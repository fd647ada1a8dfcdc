"""The indexes of the list of leads, made while posts go on coming in; and what they are on."""

from collections import defaultdict

from django.db import migrations, models
from django.db.models import Q, Value
from django.db.models.functions import Concat, Lower, Trim

from leads.normalize import name_key
from leads.reviews import found_in
from sources.online import BATCH_ROWS, AddCheckConstraintOnline, AddIndexOnline
from sources.sql import LastFour

# What the database makes of plain names, many at a time, is what `name_key` makes of them.
LOWERED = Trim(Lower(Concat("last_name", Value(" "), "first_name")))
STATISTICS = "lead_found_and_status"
AT_ONCE = 500  # as many as SQLite takes

WITHOUT_PERSON = {
    **dict.fromkeys(("first_name", "last_name", "email", "email_key", "posted_email_key"), ""),
    **dict.fromkeys(("phone", "phone_type", "posted_phone", "fingerprint", "user_agent"), ""),
    **dict.fromkeys(("address_line1", "address_line2", "city", "postal_code"), ""),
    **dict.fromkeys(("additional_info", "trusted_form_url", "certificate_id"), ""),
    **dict.fromkeys(("referrer", "landing_page"), ""),
    **dict.fromkeys(("birth_date", "ip_address"), None),
    "source_metadata": {},
}


def file_leads(apps, schema_editor):
    """Set by what every lead that is there already is found, some thousand at a time."""
    alias = schema_editor.connection.alias
    leads = apps.get_model("leads", "Lead").objects.using(alias)
    reviews = apps.get_model("leads", "Review").objects.using(alias)
    rows = leads.order_by("pk").only("first_name", "last_name", "findings", "found", "name_key")
    last = None
    while True:
        some = list((rows.filter(pk__gt=last) if last else rows)[:BATCH_ROWS])
        if not some:
            return
        last = some[-1].pk
        for start in range(0, len(some), AT_ONCE):
            piece = some[start : start + AT_ONCE]
            decided = reviews.filter(lead__in=[one.pk for one in piece]).order_by("at", "id")
            after = dict(decided.values_list("lead_id", "findings_after"))
            by_found, odd = defaultdict(list), []
            for one in piece:
                one.found = found_in(after.get(one.pk, one.findings))
                one.name_key = name_key(one.last_name, one.first_name)
                whole = f"{one.last_name} {one.first_name}"
                if whole.isascii() and whole.strip(" ").lower() == one.name_key:
                    by_found[one.found].append(one.pk)
                else:
                    odd.append(one)
            for found, ids in by_found.items():
                leads.filter(pk__in=ids).update(found=found, name_key=LOWERED)
            leads.bulk_update(odd, ["found", "name_key"], batch_size=AT_ONCE)


def tell_apart(apps, schema_editor):
    """Let PostgreSQL know that status and findings depend on each other: nearly all that is held
    is held for something, so that asking for both leaves as many as asking for one."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE STATISTICS IF NOT EXISTS {STATISTICS} (dependencies, mcv) "
            "ON found, compliance_status FROM leads_lead"
        )


def forget_apart(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP STATISTICS IF EXISTS {STATISTICS}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("leads", "0011_browse")]

    operations = [
        migrations.RunPython(file_leads, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(tell_apart, forget_apart),
        migrations.RemoveConstraint("lead", "lead_erased_has_no_person"),
        AddCheckConstraintOnline(
            "lead",
            models.CheckConstraint(
                condition=Q(erased_at=None) | Q(**WITHOUT_PERSON, name_key=""),
                name="lead_erased_has_no_person",
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(fields=["compliance_status", "received_at"], name="lead_by_status"),
        ),
        AddIndexOnline("lead", models.Index(fields=["state", "received_at"], name="lead_by_state")),
        AddIndexOnline(
            "lead", models.Index(fields=["product", "received_at"], name="lead_by_product")
        ),
        AddIndexOnline(
            "lead", models.Index(fields=["vertical", "received_at"], name="lead_by_vertical")
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["sub_id", "received_at"], condition=~Q(sub_id=""), name="lead_by_sub_id"
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["price", "received_at"],
                condition=Q(price__isnull=False),
                name="lead_by_price",
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["found", "received_at"], condition=~Q(found=""), name="lead_by_found"
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(fields=["received_at"], condition=Q(is_test=True), name="lead_tests"),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                fields=["name_key", "received_at"],
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                condition=~Q(name_key=""),
                name="lead_of_name",
            ),
        ),
        AddIndexOnline(
            "lead",
            models.Index(
                LastFour("phone"), "received_at", condition=~Q(phone=""), name="lead_of_ending"
            ),
        ),
    ]
