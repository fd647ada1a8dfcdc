"""The names of the flat fields, which a source's field map may point to.

`intake/fields.py` says what each one is; a test holds the two together. Source: contract §3.
"""

import re
from functools import lru_cache

FLAT_FIELDS = (
    *("firstName", "lastName", "email", "phone", "phoneType", "dateOfBirth"),
    *("address1", "address2", "city", "state", "zip", "gender"),
    *("subId", "pubId", "sellerLeadId", "externalId", "directPostPrice", "price"),
    *("utmSource", "utmMedium", "utmCampaign", "utmTerm", "utmContent"),
    *("product", "vertical", "referrer", "landingPage", "trustedFormUrl"),
    *("sourceMetadata", "tagIds", "tagNames"),
)
ALIASES = {
    "birthDate": "dateOfBirth",
    "postalCode": "zip",
    "sellerLeadIdentifier": "sellerLeadId",
    "xxTrustedFormCertUrl": "trustedFormUrl",
}

SKIPPED = re.compile(r"[_-]")


LONGEST_KEPT = 64


def fold(name: str) -> str:
    """Return `name` as names are compared: without regard to case, `_` and `-`."""
    # Strangers choose names: only short ones are kept, or they would fill the memory.
    return _fold(name) if len(name) <= LONGEST_KEPT else SKIPPED.sub("", name).lower()


@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    return SKIPPED.sub("", name).lower()


FOLDED = {fold(name): name for name in FLAT_FIELDS} | {
    fold(alias): name for alias, name in ALIASES.items()
}
