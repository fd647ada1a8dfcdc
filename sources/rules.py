"""The compliance rules by name, and the modes that each may be set to: one vocabulary for all apps.

Source: contract §6; the order here is the published one, in which findings are listed.
"""

from django.db.models import TextChoices

# Goes up when a rule judges differently or its sentence changes; a lead keeps the one it met.
RULES_VERSION = 2


class Mode(TextChoices):
    """What a source does with a lead that a rule finds something against."""

    HOLD = "hold", "Hold: store it, block it, let staff review it"
    FLAG = "flag", "Flag: record the finding, do not block"
    REJECT = "reject", "Reject: refuse the post with 422, store no lead"
    OFF = "off", "Off: do not run the rule"


# What keeps a lead from being contacted, unless a reviewer overrules it.
STANDING = (Mode.HOLD, Mode.REJECT)


class Rule(TextChoices):
    """The rules, by their codes on the wire."""

    SOURCE_NOT_APPROVED = "source-not-approved", "Source not approved"
    STATE_NOT_ALLOWED = "state-not-allowed", "State not allowed"
    PRODUCT_NOT_ALLOWED = "product-not-allowed", "Product not allowed"
    VERTICAL_NOT_ALLOWED = "vertical-not-allowed", "Vertical not allowed"
    CONSENT_MISSING = "consent-missing", "Consent certificate missing"
    CONSENT_MALFORMED = "consent-malformed", "Consent certificate malformed"
    CONSENT_REUSED = "consent-reused", "Consent certificate reused"
    SUPPRESSED = "suppressed", "Suppressed"
    ON_DNC_REGISTRY = "on-dnc-registry", "On a do-not-call registry"
    DUPLICATE = "duplicate", "Duplicate"
    PHONE_INVALID = "phone-invalid", "Phone invalid"
    UNDERAGE = "underage", "Under age"
    STATE_MISMATCH = "state-mismatch", "State and ZIP do not match"
    OVER_CAP = "over-cap", "Over the cap"
    CHECK_UNAVAILABLE = "check-unavailable", "A check could not be run"


# Rules that rest on other people's data: the answer names both by one code and one sentence.
NOT_TOLD_APART = (Rule.SUPPRESSED, Rule.ON_DNC_REGISTRY)


def public_code(rule: str) -> str:
    """Return the code by which a vendor is told of a rule's finding."""
    return "not-accepted" if rule in NOT_TOLD_APART else str(rule)


ALL_MODES = (Mode.HOLD, Mode.FLAG, Mode.REJECT, Mode.OFF)

ALLOWED_MODES: dict[Rule, tuple[Mode, ...]] = {
    Rule.SOURCE_NOT_APPROVED: (Mode.HOLD, Mode.REJECT),
    Rule.STATE_NOT_ALLOWED: ALL_MODES,
    Rule.PRODUCT_NOT_ALLOWED: ALL_MODES,
    Rule.VERTICAL_NOT_ALLOWED: ALL_MODES,
    Rule.CONSENT_MISSING: ALL_MODES,
    Rule.CONSENT_MALFORMED: (Mode.HOLD, Mode.REJECT, Mode.FLAG),
    Rule.CONSENT_REUSED: (Mode.HOLD, Mode.REJECT, Mode.FLAG),
    Rule.SUPPRESSED: (Mode.HOLD, Mode.REJECT),
    Rule.ON_DNC_REGISTRY: (Mode.HOLD, Mode.REJECT, Mode.FLAG),
    Rule.DUPLICATE: ALL_MODES,
    Rule.PHONE_INVALID: ALL_MODES,
    Rule.UNDERAGE: (Mode.HOLD, Mode.REJECT, Mode.FLAG),
    Rule.STATE_MISMATCH: ALL_MODES,
    Rule.OVER_CAP: ALL_MODES,
    Rule.CHECK_UNAVAILABLE: (Mode.HOLD,),
}

DEFAULT_MODES: dict[Rule, Mode] = {rule: Mode.HOLD for rule in Rule} | {
    Rule.STATE_MISMATCH: Mode.FLAG
}
