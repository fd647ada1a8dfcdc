"""The states, territories and military codes that the US Postal Service knows.

Source of the facts: USPS Publication 28, appendix B (two-letter state and possession
abbreviations).
"""

import re
import unicodedata

STATES: dict[str, str] = {
    "AL": "Alabama",
    "AK": "Alaska",
    "AZ": "Arizona",
    "AR": "Arkansas",
    "CA": "California",
    "CO": "Colorado",
    "CT": "Connecticut",
    "DE": "Delaware",
    "FL": "Florida",
    "GA": "Georgia",
    "HI": "Hawaii",
    "ID": "Idaho",
    "IL": "Illinois",
    "IN": "Indiana",
    "IA": "Iowa",
    "KS": "Kansas",
    "KY": "Kentucky",
    "LA": "Louisiana",
    "ME": "Maine",
    "MD": "Maryland",
    "MA": "Massachusetts",
    "MI": "Michigan",
    "MN": "Minnesota",
    "MS": "Mississippi",
    "MO": "Missouri",
    "MT": "Montana",
    "NE": "Nebraska",
    "NV": "Nevada",
    "NH": "New Hampshire",
    "NJ": "New Jersey",
    "NM": "New Mexico",
    "NY": "New York",
    "NC": "North Carolina",
    "ND": "North Dakota",
    "OH": "Ohio",
    "OK": "Oklahoma",
    "OR": "Oregon",
    "PA": "Pennsylvania",
    "RI": "Rhode Island",
    "SC": "South Carolina",
    "SD": "South Dakota",
    "TN": "Tennessee",
    "TX": "Texas",
    "UT": "Utah",
    "VT": "Vermont",
    "VA": "Virginia",
    "WA": "Washington",
    "WV": "West Virginia",
    "WI": "Wisconsin",
    "WY": "Wyoming",
    "DC": "District of Columbia",
    "AS": "American Samoa",
    "FM": "Federated States of Micronesia",
    "GU": "Guam",
    "MH": "Marshall Islands",
    "MP": "Northern Mariana Islands",
    "PW": "Palau",
    "PR": "Puerto Rico",
    "VI": "Virgin Islands",
    "AA": "Armed Forces Americas",
    "AE": "Armed Forces Europe",
    "AP": "Armed Forces Pacific",
}

OTHER_NAMES: dict[str, str] = {
    "Washington DC": "DC",
    "US Virgin Islands": "VI",
    "United States Virgin Islands": "VI",
    "Commonwealth of the Northern Mariana Islands": "MP",
    "Armed Forces Americas (except Canada)": "AA",
    "Armed Forces the Americas": "AA",
    "Armed Forces Europe, the Middle East, and Canada": "AE",
    "Armed Forces Africa": "AE",
    "Armed Forces Canada": "AE",
    "Armed Forces Middle East": "AE",
    "Armed Forces the Pacific": "AP",
    "Micronesia": "FM",
    "Republic of the Marshall Islands": "MH",
    "Republic of Palau": "PW",
}


def _folded(name: str) -> str:
    """Return a state's name or code as names are compared: letters only, upper-case."""
    return re.sub(r"[\s.,_()-]+", "", unicodedata.normalize("NFKC", name)).upper()


_CODES: dict[str, str] = (
    {_folded(name): code for code, name in STATES.items()}
    | {_folded(name): code for name, code in OTHER_NAMES.items()}
    | {code: code for code in STATES}
)


def state_code(text: str) -> str:
    """Return the USPS code for a code or full name, e.g. "TX" for "texas"; "" for anything else."""
    return _CODES.get(_folded(text), "")
