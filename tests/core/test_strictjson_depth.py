"""What the strict parser looks for in a text as a whole: how deep it nests, and half characters. With little memory."""

import json
import subprocess
import sys

from app.core.strictjson import parse
from tests.core.test_strictjson import LIMIT


def test_brackets_in_strings_nest_nothing():
    many = "[{" * 90
    for value in (many, [many], {many: many}, ["\\" + many], ['"' + many + "\\"], ["\\\\", many, '\\"' + many]):
        assert parse(json.dumps(value).encode(), max_bytes=LIMIT) == value


MEASURED = r"""
import tracemalloc
from app.core.strictjson import parse
data = b'["' + b"[" * 65 + rb"\n" * 1_000_000 + rb'\ud83d\ude00"]'
tracemalloc.start()
parse(data, max_bytes=len(data))
print(tracemalloc.get_traced_memory()[1] / len(data))
"""


def test_what_looks_for_depth_and_halves_takes_little_memory():
    # In a process of its own: the threads of a service that runs beside this one would be measured too.
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and float(done.stdout) < 8, (done.stdout, done.stderr)
