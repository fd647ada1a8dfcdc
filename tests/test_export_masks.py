"""The masks that PostgreSQL makes for exports are those of Python, whatever stands in a column."""

import hypothesis
import pytest
from django.db import connection
from hypothesis import strategies as st

from leads import masks
from leads.rows import email_sql, name_sql, person_sql, phone_sql
from tests.test_export import HOSTILE

pytestmark = pytest.mark.django_db

# PostgreSQL keeps no NUL, and no half of a character.
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
NAMED = st.one_of(st.sampled_from(["", "a", "Al", "Ada", "Ärger", "=x", "•••", *HOSTILE]), ANY)
NUMBERED = st.one_of(
    st.sampled_from(["", "+15125550137", "+4930123456", "+12", "+1512555", "12345", "+44"]),
    st.from_regex(r"\+[1-9][0-9]{0,14}", fullmatch=True),
    ANY,
)
ADDRESSED = st.one_of(
    st.sampled_from(["", "ada@example.com", "a@b", "@", "x@.", "a@b@c.d.org", "no-at", "y@com"]),
    st.builds("{}@{}.{}".format, ANY, ANY, st.sampled_from(["com", "xyz", "ca", ""])),
    ANY,
)
COLUMNS = "(VALUES (%s::text, %s::text, %s::text, %s::text)) AS v(a, b, c, d)"


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(NAMED, NAMED, NUMBERED, ADDRESSED)
def test_postgresql_masks_as_python_does(first: str, last: str, number: str, address: str) -> None:
    told = (name_sql("a"), phone_sql("c"), email_sql("d"), person_sql("a", "b", "c", "d"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(told)} FROM {COLUMNS}", [first, last, number, address])
        found = list(cursor.fetchone())
    assert found == [
        masks.name(first),
        masks.phone(number),
        masks.email(address),
        masks.person(first, last, number, address),
    ]
