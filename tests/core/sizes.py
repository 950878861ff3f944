"""How many examples the property tests try: `make soak` wants many more."""

import os

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
MORE = 40


def examples(quick: int) -> int:
    """The number for a quick run, or many times as many."""
    return quick * MORE if SOAK else quick
