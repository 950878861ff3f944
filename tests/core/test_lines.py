"""What is owed in whole minor units, and lines that add up to it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.lines import digits, owed, split
from app.core.vocabulary import CURRENCIES

RECORDS = st.dictionaries(st.integers(0, 50), st.integers(1, 10_000), min_size=1, max_size=20)


@given(st.integers(0, 10**15), RECORDS)
def test_lines_add_up_to_the_total_and_nobody_is_off_by_a_whole_unit(total: int, records: dict[int, int]) -> None:
    shares = split(total, records)
    assert sum(shares.values()) == total and shares.keys() == records.keys()
    all_ = sum(records.values())
    assert all(abs(shares[who] * all_ - total * count) < all_ for who, count in records.items())
    # Who gave more gets no less, and the order in which payees are named is nothing to do with it.
    assert all(shares[a] >= shares[b] for a in records for b in records if records[a] > records[b])
    assert split(total, dict(reversed(records.items()))) == shares


@given(st.integers(1, 10**11), st.sampled_from(sorted(CURRENCIES)), st.sampled_from(["record", "release", "year"]), RECORDS)
def test_a_total_is_the_least_whole_number_that_pays_what_was_signed(cents: int, currency: str, per: str, records: dict[int, int]) -> None:
    amount = f"{cents // 100}.{cents % 100:02}"
    count = sum(records.values())
    total = owed({"amount": amount, "currency": currency, "per": per}, count)
    exact = Decimal(amount) * (count if per == "record" else 1) * 10 ** digits(currency)
    assert total - 1 < exact <= total
    if per == "record" and digits(currency) >= 2:
        assert all(share * count == total * records[who] for who, share in split(total, records).items())


@pytest.mark.parametrize(
    ("amount", "currency", "per", "records", "minor"),
    [
        ("0.50", "EUR", "record", 3, 150), ("0.50", "JPY", "record", 3, 2), ("0.05", "KWD", "record", 1, 50), ("100.00", "USD", "release", 7, 10_000),
        ("100.00", "USD", "year", 0, 0),
    ],
)  # fmt: skip
def test_minor_units_of_currencies(amount: str, currency: str, per: str, records: int, minor: int) -> None:
    assert owed({"amount": amount, "currency": currency, "per": per}, records) == minor


def test_of_equal_shares_the_first_get_what_is_left() -> None:
    assert split(10_000, {"c": 1, "a": 1, "b": 1}) == {"a": 3334, "b": 3333, "c": 3333}
    assert split(5, {}) == {}
