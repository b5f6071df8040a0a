"""The unit or noun behind a value, if it is certain to leave the value as it is.

The classes are closed: a word is a unit only if it is in the table below, and the noun of a count
only if it is a plural or a common noun that neither changes the number nor turns its sense round.
Any other word (fifth, doubled, upstream, heads) is part of the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from rzero_cli.answers.algebra import NotMaths


def _words(table: str) -> frozenset[str]:
    return frozenset(table.split())


# For each unit its name, then other spellings. Words of more than three letters have plurals.
_TABLE = """
    m meter metre; km kilometer kilometre; cm centimeter centimetre; mm millimeter millimetre;
    dm decimeter decimetre; um micrometer micrometre micron; nm nanometer nanometre; inch in;
    foot ft feet; yard yd; mile mi; g gram gramme; kg kilogram kilo kilogramme; mg milligram;
    ug microgram; ul; us; ua; uf; uv; uw; uc; ton tonne; lb lbs pound; oz ounce;
    s sec secs second; min mins minute; h hr hrs hour; day; week wk; month; year yr yrs; decade;
    century centuries; ms millisecond; l L liter litre; ml mL milliliter millilitre;
    kl kL kiloliter; gallon gal gals; quart qt; pint pt; cup; teaspoon tsp; tablespoon tbsp;
    acre; hectare ha; N newton; kN kilonewton; J joule; kJ kj kilojoule; MJ; cal calorie;
    kcal kilocalorie; eV ev electronvolt; keV kev; MeV mev; W watt; kW kw kilowatt; mW;
    MW megawatt; kWh kwh; V volt; kV kv; mV; A amp ampere; mA; ohm; kohm; mohm; K kelvin;
    F farad; C coulomb; Hz hz hertz; kHz khz; MHz; mHz; GHz ghz; Pa pa pascal; kPa kpa; mPa;
    MPa; atm atmosphere; bar; mol mole; mN; MN; Wb wb weber; tesla; dB db decibel; bit; byte;
    knot; rpm; mmol; degree deg; degreec celsius; degreef fahrenheit; rad radian; percent pct;
    unit; dollar usd; cent; euro eur; yen jpy; rupee rs inr; won krw; ruble rouble rub;
    yuan rmb cny; pence; gbp
"""
_PRODUCTS = {
    "mph": {"mile": 1, "h": -1},
    "kph": {"km": 1, "h": -1},
    "kmh": {"km": 1, "h": -1},
    "mps": {"m": 1, "s": -1},
    "fps": {"foot": 1, "s": -1},
    "sqft": {"foot": 2},
}
_UNITS: dict[str, dict[str, int]] = dict(_PRODUCTS)
for _entry in _TABLE.split(";"):
    for _word in _entry.split():
        for _spelling in (_word, _word + "s")[: 2 if len(_word) > 3 else 1]:
            _UNITS[_spelling] = {_entry.split()[0]: 1}
KNOWN = frozenset(_UNITS)

_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_FILLERS = _words("of the each different possible total")
_TIMES = _words("s min h day week month year decade century")
# Units that add up to one quantity: 5 feet 6 inches.
_FAMILIES = (
    _TIMES,
    _words("mile yard foot inch"),
    _words("km m dm cm mm"),
    _words("ton kg g mg"),
    _words("ton lb oz"),
    _words("gallon quart pint cup"),
    _words("l ml"),
    _words("dollar cent"),
)
# Common nouns whose singular is certain, and plurals that are not in -s.
_NOUNS = {
    **{word: word for word in _words("""
        apple ball book boy card child coin dog cat girl man marble orange page pen pencil person
        point student teacher ticket way woman egg car tree triangle angle side game move sheep fish
    """)},
    "people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse",
    "geese": "goose", "teeth": "tooth", "dice": "die", "vertices": "vertex",
}  # fmt: skip
_PLURAL = re.compile(r"[a-z]{2,}(?<!th)(?<!illion)(?<!ward)(?<![sui])s")
# Plurals, and verbs, that change the number, compare it or have an opposite.
_NOT_NOUNS = _words("""
    halves thirds quarters fifths tens dozens hundreds thousands scores pairs couples doubles
    triples lakhs crores myriads times always perhaps besides overs heads tails wins losses
    gains evens odds ups downs lefts rights highs lows positives negatives profits debts debits
    credits surpluses deficits increases decreases rises falls drops does has goes exceeds
    equals remains leaves squares cubes roots factorials powers logs inverses reciprocals
    opposites bases mods noons others repeats zeros maximums minimums successes failures winners
    losers losts reals rationals irrationals primes composites evenings mornings males females
    ons offs ins outs adds subtracts multiplies divides yes was sometimes ones twos threes fours
    fives sixes sevens eights nines elevens twelves twenties thirties forties fifties sixties
    seventies eighties nineties deuces duos trios quartets quintets grosses googols megas gigas
    pluses minuses bakers falses
""")  # fmt: skip


@lru_cache(maxsize=4096)
def _noun(word: str) -> str | None:
    """Return the singular of a noun of a count, or None if the word may be anything else."""
    if word in _NOUNS:
        return _NOUNS[word]
    if word in _NOT_NOUNS or not _PLURAL.fullmatch(word):
        return None
    if word.endswith("ies"):
        return word[:-3] + "y"
    singular = word[:-2] if re.search(r"(?:[sx]|ch|sh|zz)es$", word) else word[:-1]
    return _NOUNS.get(singular, singular)


def add_up(units: list[str]) -> bool:
    """Return True if values with these units are one quantity: 3 h and 20 min."""
    names = {unit.removesuffix("^1") for unit in units}
    return len(names) == len(units) > 1 and any(names <= family for family in _FAMILIES)


def unit_name(parts: Iterable[str]) -> str:
    """Return one name for all spellings of a unit or noun: "h^-1 km" for km/h; "" for "units".

    Args:
        parts: words, "/", "per", "*" and powers such as "^2".

    Raises:
        NotMaths: a word is neither a known unit nor the noun of a count.
    """
    powers: dict[str, int] = {}
    last: dict[str, int] = {}
    sign = power = 1
    for part in parts:
        if part[0] == "^":
            _add(powers, last, sign * (int(part[1:]) - 1))
        elif part in ("squared", "cubed"):
            if not last:
                raise NotMaths("the number is squared")
            _add(powers, last, sign * (_POWERS[part] - 1))
        elif part in _POWERS:
            power = _POWERS[part]
        elif part in ("/", "per"):
            sign = -1
        elif part in ("a", "an"):
            sign = -1 if last else sign  # "5 dollars a day", but "half of an hour"
        elif part == "old" and set(last) <= _TIMES:
            continue
        elif part not in _FILLERS and part not in ("*", "-"):
            noun = None if part in _UNITS else _noun(part)
            if noun is None and part not in _UNITS:
                raise NotMaths(f"{part} may change the value")
            last = {str(noun): 1} if noun else _UNITS[part]
            _add(powers, last, sign * power)
            power = 1
    return " ".join(f"{u}^{p}" for u, p in sorted(powers.items()) if p and u != "unit")


def _add(powers: dict[str, int], unit: dict[str, int], times: int) -> None:
    for name, power in unit.items():
        powers[name] = powers.get(name, 0) + times * power
