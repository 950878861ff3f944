"""When Python looks for garbage."""

import gc


def settle() -> None:
    """To be called once, when a process has what it keeps: that is never walked again, and what comes and goes is looked through after
    20,000 objects. Requests and records leave cycles behind; at 50,000 each look takes 25 ms, more often costs a little of the rate."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
