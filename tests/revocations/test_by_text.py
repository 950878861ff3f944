"""Without receipt and code: the operator withdraws on the exact text, shows nothing, and it stands in the open log."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.kit.db import read
from app.kit.errors import Conflict, NotFound
from app.log.models import LogEntry
from app.revocations import by_text
from tests.kit.refusals import state_of
from tests.processes import app
from tests.support import ROOT, LabParty, PlatformParty, Service, on_one_backend, shell, until

SECRET = "A sentence that only I wrote, \u00e9 \u4e16."


def test_what_somebody_wrote_is_withdrawn_by_its_exact_text(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    [mine] = platform.give(1, parts={"text": [{"turn": 1, "said": SECRET}], "judgment": {"winner": "a"}})
    [near] = platform.give(1, parts={"text": SECRET + "!", "judgment": {"winner": SECRET}})
    common, also = platform.give(2, parts={"text": "hello"})
    agreement = lab.agree(platform)
    lab.sdk.cut(agreement, poll=0.02)
    runtime, today = service.runtime, service.clock.now().date()
    for wrong in ((service.platform().id, today, SECRET), (platform.id, today - timedelta(days=1), SECRET), (platform.id, today, SECRET[:-1])):
        with pytest.raises(NotFound, match="text_unmatched"):
            by_text.withdraw(runtime, *wrong, people=1)
    assert by_text.withdraw(runtime, platform.id, today, SECRET, people=1) == (1, 1)
    assert [state_of(service, g.id) for g in (mine, near)] == ["withdrawn", "live"]
    assert until(lambda: lab.sdk.recalls(agreement).items)
    with pytest.raises(NotFound, match="text_unmatched"):
        by_text.withdraw(runtime, platform.id, today, SECRET, people=1)
    # What many people wrote does not say whose it is.
    with pytest.raises(Conflict, match="text_ambiguous"):
        by_text.withdraw(runtime, platform.id, today, "hello", people=1)
    assert by_text.withdraw(runtime, platform.id, today, "hello", people=2)[0] == 2
    assert {state_of(service, g.id) for g in (common, also)} == {"withdrawn"}
    with read(runtime.engine) as session:
        query = sa.select(LogEntry.leaf).where(LogEntry.type == "admin.withdrawn-by-text")  # type: ignore[call-overload]
        told = [json.loads(leaf) for leaf in session.execute(query).scalars()]
    mine_told = [leaf for leaf in told if leaf["platform"] == platform.id]
    assert len(mine_told) == 3 and {leaf["records"] for leaf in mine_told} == {"1-9"} and SECRET not in json.dumps(told)
    # The person's own page says that it was done for them.
    [act] = service.claim(mine).acts()
    assert (act["type"], act["contributions"]) == ("consent.revoked", 1)


def test_the_command_says_how_many_and_never_what(running: Service, tmp_path: Path) -> None:
    on_one_backend(running, "a command line of its own")
    run = shell(tmp_path / "data")
    file = tmp_path / "text.txt"
    made = run(["platforms", "add", "Arena", "--json"])
    platform = json.loads(made.stdout)["client_id"]
    asked = ["withdraw-by-text", "--platform", platform, "--day", "2026-11-28", str(file)]
    for content, code in ((None, "file_unreadable"), (b"\xff", "text_not_utf8"), (b"\n", "text_unmatched"), (SECRET.encode(), "text_unmatched")):
        if content is not None:
            file.write_bytes(content)
        done = run(asked)
        assert done.exit_code == 2 and code in done.stderr and SECRET not in done.output, (code, done.output)
    sample = str(ROOT / "tests" / "contributions" / "samples" / "testimony.jsonl")
    assert run(["import", "--format", "testimony", "--platform", platform, sample]).exit_code == 0
    file.write_text("Written for tests\r\n")
    asked[4] = "2024-06-01"  # the day on which it was made counts, not only that of its import
    # As a process of its own: the command makes job tables ready, which this process has at work.
    env = {**{k: v for k, v in os.environ.items() if not k.startswith("SAYSO_")}, "SAYSO_DATA_DIR": str(tmp_path / "data")}
    done = app(*asked, env=env)
    assert (done.returncode, done.stdout) == (0, b"Withdrawn: 1. Copies that labs are told to delete: 0.\n"), done.stderr
