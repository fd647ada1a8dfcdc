"""How values look on the pages of staff: text of strangers is text, masks tell nobody apart."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from leads import masks, normalize
from leads.models import Lead
from sources import looks


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada", "<bdi>Ada</bdi>"),
        (None, "<bdi></bdi>"),
        ("<b>&", "<bdi>&lt;b&gt;&amp;</bdi>"),
        (
            "a\u202eb",
            '<bdi>a<span class="mark" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>b</bdi>',
        ),
        ("\x00", '<bdi><span class="mark" title="control character">U+0000</span></bdi>'),
        ("line\nline", "<bdi>line\nline</bdi>"),
    ],
)
def test_text_of_strangers_is_text_and_what_is_not_seen_is_marked(text: Any, shown: str) -> None:
    assert looks.marked(text) == shown


def test_whatever_is_not_matched_by_for_being_unseen_is_marked() -> None:
    every = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    unseen = [one for one in every if normalize.UNSEEN.match(one)]
    assert len(unseen) > 4000
    assert all('class="mark"' in looks.marked(one) for one in unseen)


@pytest.mark.parametrize("url", ["https://example.com/a?b=1&c=2", "HTTP://example.com"])
def test_a_web_address_is_a_link_that_says_nothing_of_us(url: str) -> None:
    shown = looks.weblink(url)
    assert 'rel="noopener noreferrer"' in shown
    assert f'href="{url.replace("&", "&amp;")}"' in shown


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example"),
        *("https://\u202eexample.com", "http://[", "", None, " javascript:alert(1)"),
    ],
)
def test_any_other_address_is_text(url: Any) -> None:
    assert "href" not in looks.weblink(url)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("12.5", "12.50"), ("7.7500", "7.75"), ("0.1234", "0.1234"), ("10", "10.00"), ("0", "0.00")],
)
def test_money_has_two_decimals_or_as_many_as_it_takes(amount: str, shown: str) -> None:
    assert looks.money(Decimal(amount)) == shown


def test_a_moment_says_how_long_ago_and_exactly_when() -> None:
    now = timezone.now()
    assert ">3 h ago<" in looks.ago(now - timedelta(hours=3, minutes=5))
    assert ">in 2 d<" in looks.ago(now + timedelta(days=2, minutes=5))
    assert "never" in looks.ago(None)
    assert now.isoformat() in looks.moment(now)
    assert "never" in looks.moment(None)


@pytest.mark.parametrize(
    ("mask", "value", "shown"),
    [
        (masks.phone, "+15125550137", "+1512•••••37"),
        (masks.phone, "+442079460018", "+44••••••••18"),
        (masks.phone, "+29012", "+2•••"),
        (masks.phone, "", ""),
        (masks.email, "ada@example.com", "a•••@e•••.com"),
        (masks.email, "a@b", "•••@•••"),
        (masks.email, "ada@b.co", "a•••@•••.co"),
        (masks.email, "zeb@zeb.moreno", "z•••@z•••"),
        (masks.email, "nonsense", "•••"),
        (masks.email, "", ""),
        (masks.phone, "+2902345", "+2•••"),
        (masks.name, "Zebediah", "Z•••"),
        (masks.name, "李", "•••"),
        (masks.state, "TX", "TX"),
        (masks.state, "9 Hidden Lane", "•••"),
        (masks.phone_type, "Mobile", "Mobile"),
        (masks.phone_type, "zeb@example.com", "•••"),
        (masks.reference, "order-991", "order-991"),
        (masks.reference, "zeb@example.com", "•••"),
        (masks.reference, "(512) 555-0137", "•••"),
        (masks.reference, "15125550137", "•••"),
        (masks.reference, "123456789012345", "123456789012345"),
        (masks.name, "", ""),
        (masks.postal_code, "78701-1234", "787••"),
        (masks.address, "203.0.113.7", "203.0.•••"),
        (masks.address, "2001:db8::1", "2001:db8:•••"),
        (masks.address, None, ""),
        (masks.site, "https://example.com/ada?phone=1", "example.com/•••"),
        (masks.site, "javascript:alert(1)", "•••"),
        (masks.site, "http://[", "•••"),
        (masks.site, "", ""),
        (masks.hidden, "anything", "•••"),
        (masks.hidden, "", ""),
    ],
)
def test_a_mask_tells_two_apart_and_reaches_nobody(mask: Any, value: Any, shown: str) -> None:
    assert mask(value) == shown


def test_what_is_left_of_an_erased_lead_names_nobody() -> None:
    assert masks.who(Lead()) == "erased"
    assert masks.person_of(Lead(), is_revealed=True) == []
