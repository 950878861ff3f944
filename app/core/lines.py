"""What is owed, in whole minor units, and by what lines: they add up to the total, to the last cent."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import TypeVar

# ISO 4217: currencies whose minor unit is not a hundredth.
_DIGITS = {
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3), **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip
Payee = TypeVar("Payee")


def digits(currency: str) -> int:
    """How many decimals the minor unit of a currency is worth: 2 for EUR, 0 for JPY."""
    return _DIGITS.get(currency, 2)


def owed(duty: Mapping[str, str], records: int) -> int:
    """The total that a `compensate` duty comes to for so many records, in minor units: each of them is paid for where it is `per`
    record, all together otherwise. A fraction of a minor unit is rounded up, since a duty says how much at least."""
    units = records if duty["per"] == "record" else min(records, 1)
    exact = Decimal(duty["amount"]) * units * 10 ** digits(duty["currency"])
    return int(exact.to_integral_value(ROUND_CEILING))


def split(total: int, records: Mapping[Payee, int]) -> dict[Payee, int]:
    """`total` by the numbers of `records`, in whole units that add up to it exactly.

    By largest remainder: everybody gets the whole part of their share, and what is left goes a unit each to whose share was cut
    most; of equals the first in order. Empty where there are no records.
    """
    all_ = sum(records.values())
    if not all_:
        return {}
    shares = {payee: total * count // all_ for payee, count in records.items()}
    left = total - sum(shares.values())
    cut_most = sorted(records, key=lambda payee: (-(total * records[payee] % all_), str(payee)))
    for payee in cut_most[:left]:
        shares[payee] += 1
    return shares
