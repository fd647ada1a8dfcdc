"""The states, territories and military codes that the US Postal Service knows, and their ZIP codes.

Sources of the facts: USPS Publication 28, appendix B (two-letter state and possession
abbreviations); USPS Domestic Mail Manual, labeling list L002 (three-digit ZIP Code prefixes), held
against the state of each of 42,789 ZIP codes in release 3.0.0 of the Python package `zipcodes`.
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


# First and last of a run of three-digit prefixes, and whose they are. A prefix that serves post
# offices of several states has all of them; one that is not in use stands nowhere.
_ZIP_PREFIXES = """
005 NY | 006-007 PR | 008 VI | 009 PR | 010-027 MA | 028-029 RI | 030-038 NH | 039-049 ME
050-054 VT | 055 MA | 056-059 VT | 060-062 CT | 063 CT NY | 064-069 CT | 070-089 NJ
090-098 AE | 099 AE NJ | 100-149 NY | 150-196 PA | 197-199 DE | 200 DC | 201 VA | 202-204 DC
205 DC MD VA | 206-212 MD | 214-219 MD | 220-246 VA | 247-268 WV | 270-289 NC | 290-299 SC
300-319 GA | 320-339 FL | 340 AA | 341-342 FL | 344 FL | 346-347 FL | 349 FL | 350-352 AL
354-369 AL | 370-385 TN | 386-397 MS | 398-399 GA | 400-418 KY | 420-427 KY | 430-459 OH
460-479 IN | 480-499 MI | 500-516 IA | 520-528 IA | 530-532 WI | 534-535 WI | 537-549 WI
550-551 MN | 553-567 MN | 569 DC | 570-577 SD | 580-588 ND | 590-599 MT | 600-620 IL
622-629 IL | 630-631 MO | 633-641 MO | 644-658 MO | 660-662 KS | 664-679 KS | 680-681 NE
683-693 NE | 700-701 LA | 703-708 LA | 710-714 LA | 716-725 AR | 726 AR MO | 727-729 AR
730-731 OK | 733 TX | 734-738 OK | 739 OK TX | 740-741 OK | 743-749 OK | 750-770 TX | 772-799 TX
800-816 CO | 820-831 WY | 832-833 ID | 834 ID WY | 835-838 ID | 840-847 UT | 850-853 AZ
855-857 AZ | 859-860 AZ | 863-865 AZ | 870-871 NM | 873-884 NM | 885 TX | 888 DC | 889-891 NV
893-895 NV | 897-898 NV | 900-908 CA | 910-928 CA | 930-961 CA | 962-966 AP | 967 HI AS | 968 HI
969 GU FM MH MP PW | 970-979 OR | 980-986 WA | 988-994 WA | 995-999 AK
"""


def _zip_states() -> dict[str, frozenset[str]]:
    """Return the states of each three-digit prefix that is in use."""
    states = {}
    for run in re.split(r"[|\n]", _ZIP_PREFIXES.strip()):
        prefixes, *codes = run.split()
        first, _, last = prefixes.partition("-")
        for number in range(int(first), int(last or first) + 1):
            states[f"{number:03}"] = frozenset(codes)
    return states


ZIP_STATES = _zip_states()
_ZIP = re.compile(r"[0-9]{5}(-[0-9]{4})?")


def states_of_zip(postal_code: str) -> frozenset[str] | None:
    """Return the states in which a ZIP code may lie, none for a prefix that is not in use.

    None for what is no ZIP code: five digits, or ZIP+4.
    """
    if not _ZIP.fullmatch(postal_code):
        return None
    return ZIP_STATES.get(postal_code[:3], frozenset())


_AMERICAN = {"", "US", "USA", "UNITEDSTATES", "UNITEDSTATESOFAMERICA", "AMERICA"}


def is_american(country: str) -> bool:
    """Say whether a country is the United States, or is not said."""
    return _folded(country) in _AMERICAN


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
