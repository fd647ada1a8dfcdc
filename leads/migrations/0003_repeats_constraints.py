"""One lead for each key of a post, and erased leads that say nothing of the person."""

from django.db import migrations, models
from django.db.models import Q

from sources.online import AddCheckConstraintOnline, AddUniqueConstraintOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("leads", "0002_repeats")]

    operations = [
        AddUniqueConstraintOnline(
            model_name="lead",
            constraint=models.UniqueConstraint(
                condition=~Q(idempotency_key=""),
                fields=("source", "idempotency_key", "is_test"),
                name="lead_idempotency_key_unique",
            ),
        ),
        AddCheckConstraintOnline(
            model_name="lead",
            constraint=models.CheckConstraint(
                condition=Q(erased_at=None)
                | Q(
                    first_name="",
                    last_name="",
                    email="",
                    email_key="",
                    posted_email_key="",
                    phone="",
                    phone_type="",
                    posted_phone="",
                    fingerprint="",
                    user_agent="",
                    address_line1="",
                    address_line2="",
                    city="",
                    postal_code="",
                    additional_info="",
                    trusted_form_url="",
                    certificate_id="",
                    referrer="",
                    landing_page="",
                    birth_date=None,
                    ip_address=None,
                    source_metadata={},
                ),
                name="lead_erased_has_no_person",
            ),
        ),
    ]
