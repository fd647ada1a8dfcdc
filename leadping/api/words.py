"""What each field of a lead means, for whoever reads the description of the API.

By the names of `intake/fields.py`: what comes in by a name comes out with the same meaning.
"""

from typing import Any, NamedTuple


class Word(NamedTuple):
    """What a field means, and a value of it as it is sent and answered."""

    said: str
    example: Any


FIELDS: dict[str, Word] = {
    "firstName": Word("First name of the person.", "Ada"),
    "lastName": Word("Last name of the person.", "Lovelace"),
    "email": Word(
        "E-mail address; its domain is stored in lower case, in ASCII.", "ada@example.com"
    ),
    "phone": Word(
        "Phone number in any usual notation, American unless it begins with +, 00 or 011; stored "
        "in E.164, without an extension.",
        "+15125550137",
    ),
    "phoneType": Word(
        "Kind of phone: Mobile, Landline or VoIP; any other word is kept as it was sent.", "Mobile"
    ),
    "dateOfBirth": Word("Date of birth, from 1900 on and not in the future.", "1984-07-19"),
    "address1": Word("Street and number.", "98 San Jacinto Blvd"),
    "address2": Word("Apartment, suite or floor.", "Apt 4"),
    "city": Word("City.", "Austin"),
    "state": Word(
        "State, DC, territory or military code of the USA, as code or full name; stored as the "
        "code. Anything else is kept as it was sent.",
        "TX",
    ),
    "zip": Word(
        "ZIP code of five digits or ZIP+4; shorter ones are padded with zeros. One with a letter "
        "is kept as it was sent.",
        "78701",
    ),
    "gender": Word("Gender; any word that is not known is stored as Other.", "F"),
    "subId": Word("The vendor's id of a campaign, placement or click.", "campaign-7"),
    "pubId": Word("The vendor's id of the publisher.", "publisher-12"),
    "sellerLeadId": Word("The seller's id of the lead.", "seller-4711"),
    "externalId": Word(
        "The vendor's own id of the lead, unique in its source: a post that comes again with it "
        "is answered with the first lead.",
        "ada-1",
    ),
    "directPostPrice": Word(
        "Price agreed for posts of this kind, with up to 8 digits and 4 decimals.", 12.5
    ),
    "price": Word("Price of this lead, with up to 8 digits and 4 decimals.", 12.5),
    "utmSource": Word("utm_source of the visit.", "newsletter"),
    "utmMedium": Word("utm_medium of the visit.", "email"),
    "utmCampaign": Word("utm_campaign of the visit.", "autumn"),
    "utmTerm": Word("utm_term of the visit.", "solar roof"),
    "utmContent": Word("utm_content of the visit.", "banner-b"),
    "product": Word("What the person asks for; without it, the default of the source.", "Solar"),
    "vertical": Word("The trade it belongs to; without it, the default of the source.", "Home"),
    "referrer": Word("URL that the person came from.", "https://example.com/blog"),
    "landingPage": Word("URL of the form that was filled in.", "https://example.com/quote"),
    "trustedFormUrl": Word(
        "URL of the TrustedForm certificate of the person's consent, as its script wrote it.",
        "https://cert.trustedform.com/0123456789abcdef0123456789abcdef01234567",
    ),
    "sourceMetadata": Word(
        "What else the vendor keeps with the lead: names and texts.", {"step": "3"}
    ),
    "tagIds": Word("Ids of the business's tags that the lead is to have.", []),
    "tagNames": Word(
        "Names of the business's tags that the lead is to have, in any case.", ["VIP"]
    ),
    "province": Word("Province, outside the USA.", "Ontario"),
    "region": Word("Region, where an address has one.", "Hill Country"),
    "country": Word("Country, as it was sent.", "US"),
    "additionalInfo": Word("What else helps to find the address.", "Second door"),
    "height": Word("Height, in the unit that vendor and business have agreed on.", 68),
    "weight": Word("Weight, in the unit that vendor and business have agreed on.", 150),
    "income": Word("Yearly income in dollars.", 85000),
    "monthsAtResidence": Word("Months at this address.", 30),
    "creditScore": Word("Credit score.", 710),
    "numberOfDependents": Word("How many people depend on the person.", 2),
    "maritalStatus": Word("Marital status.", "Married"),
    "employmentType": Word("How the person is employed.", "SelfEmployed"),
    "isHomeowner": Word("Whether the person owns the home.", True),
    "hasBankruptcy": Word("Whether the person was bankrupt.", False),
    "hasMedicalCondition": Word("Whether the person has a medical condition.", False),
}
