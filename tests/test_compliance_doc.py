"""docs/compliance.md is what the table of rules makes, and says something of each of them."""

import re
from pathlib import Path

from django.core.management import call_command

from leads.compliance import RULES
from leads.rulebook import TOLD, page
from sources.rules import ALLOWED_MODES, DEFAULT_MODES, NOT_TOLD_APART, Rule
from tests.service import ROOT

PATH = ROOT / "docs" / "compliance.md"


def test_the_page_is_that_of_the_rules() -> None:
    assert PATH.read_text() == page(), "Run `make docs`."


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    call_command("rulebook", path=tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == page()


def test_each_rule_has_its_section_in_order() -> None:
    assert re.findall(r"^### (.+)$", page(), re.MULTILINE) == [rule.value for rule in Rule]
    for text, rule in zip(page().split("\n### ")[1:], Rule, strict=True):
        cells = dict(re.findall(r"^\| (\w[^|]*) \| (.+) \|$", text, re.MULTILINE))
        assert list(cells) == [
            "Blocks",
            "Why",
            "Modes",
            "The vendor sees",
            "Staff see, by `explain`",
            "Review",
        ]
        told = set(re.findall(r"hold|flag|reject|off", cells["Modes"].split("(")[0]))
        assert told == set(ALLOWED_MODES[rule])
        assert DEFAULT_MODES[rule] in cells["Modes"]
        assert RULES[rule].sentence in cells["The vendor sees"]
        for name in ("Blocks", "Why", "Staff see, by `explain`"):
            assert cells[name][0].isupper() or cells[name][0] in "[`"
            assert cells[name].rstrip().endswith((".", ")"))


def test_each_rule_of_law_names_the_public_rule_behind_it() -> None:
    assert list(TOLD) == list(Rule)
    for rule, told in TOLD.items():
        is_law = rule.value.startswith(("consent", "suppressed", "on-dnc", "source-not"))
        assert is_law == ("https://www.ecfr.gov/" in told.why), rule


def test_what_has_one_code_and_sentence_says_so() -> None:
    sections = {text.split("\n")[0]: text for text in page().split("\n### ")[1:]}
    for one, other in (NOT_TOLD_APART, reversed(NOT_TOLD_APART)):
        assert "`not-accepted` in `Leadping-Findings`" in sections[one]
        assert f"Code and sentence are those of `{other}` too." in sections[one]
