"""A service of its own in a directory: somebody gives, is released, downloaded, and erased. Says what there was to be found.

Arguments: directory, `secure` or `insecure` (SQLite told not to overwrite what it deletes), `contribution` or `all`. Among the
log's lines comes `told`, when told.json says what the person's things looked like, waits for a line, and then `completed`, and
waits again: the files are looked at while the process lives, which at its end would delete the write-ahead log. What can be exported
lies in exports/before and exports/after.
"""

import io
import json
import os
import sqlite3
import sys
import zipfile
from pathlib import Path

import httpx
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlmodel import select

from app.consents.models import ConsentIntent
from app.contributions.models import Contribution, ContributionPayload, Objection
from app.kit.db import read
from app.log.models import LogEntry
from app.parties.models import Contributor as Person
from app.parties.models import DataKey, Passkey
from tests.agreements.test_exporting import CONSENT, node, written
from tests.authenticator import Authenticator, added
from tests.consents.widget import Widget
from tests.contributions.test_importing import job, perform
from tests.faults.cuts import receipt_for_all
from tests.revocations.test_erasure import completed
from tests.support import PlatformParty, Service, serving, test_settings
from tests.web.test_further_receipts import window

CANARY = "canary7f3a"


def story(service: Service, directory: Path, scope: str) -> None:
    platform, lab = service.platform(), service.lab()
    widget, ref = Widget(service, platform), f"{CANARY}-number-of-the-frame"
    for at in (0, 1):  # the first choice is replaced
        wording = widget.shown()["choices"][at]["shown"]["en"]["wording"]
        chosen = service.http.post(f"{service.base}/w/{widget.site}", data={"wording": wording, "ref": ref}, headers={"Origin": service.base})
        assert chosen.status_code == 201
    intent = platform.sdk.intent_under(ref)
    given = platform.sdk.record(
        external_id=f"{CANARY} external", kind="statement", contributor=f"{CANARY} person", context_ref=f"https://x.example/{CANARY}-ref",
        parts={"text": f"{CANARY} words", "context": f"{CANARY} context"}, context_terms={"licence": f"{CANARY}-terms", "holder": None},
        consent={"intent": intent}, language="tlh",
    )  # fmt: skip
    others = [*platform.give(3), platform.give(1, contributor=f"{CANARY} person")[0]]
    holder = receipt_for_all(service, platform, f"{CANARY} person")
    holder.scope(given.id, template="evaluation-only", credit=f"{CANARY} credit")
    objected = holder.object(given.id, f"{CANARY} objection")["id"]
    passkey = Authenticator(service.base)
    added(window(service, holder.receipt), passkey, f"{CANARY} phone")
    trees = directory / "trees.jsonl"
    said = f"{CANARY} imported" if scope == "all" else "imported, and stays"
    root = {"message_id": "m1", "user_id": f"{CANARY} person", "text": said, "lang": "en", "replies": []}
    trees.write_text("".join(json.dumps({"message_tree_id": p["message_id"], "prompt": p}) + "\n" for p in (root, node("m2", "u2", "others"))))
    perform(service, platform, job("openassistant", trees, consent=CONSENT))
    export(service, platform, holder.receipt, directory / "exports" / "before")
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    lab.sdk.download(lab.sdk.deliver(release), directory / "lab")
    receipt = json.loads(holder.receipt_file(given.id))
    with read(service.runtime.engine) as session:
        row = session.get_one(Contribution, given.id)
        payload = session.get_one(ContributionPayload, given.id)
        entries = session.exec(select(LogEntry).where(LogEntry.subject == given.id)).all()
        key = session.get_one(DataKey, row.contributor_id)
        found = {
            "wrapped key": bytes(key.wrapped), "sealed text": bytes(payload.text or b""), "sealed context": bytes(payload.context or b""),
            "mac of the body": bytes(row.body_mac or b""), "context reference": f"{CANARY}-ref".encode(), "context terms": f"{CANARY}-terms".encode(),
            **{f"opening {n}": bytes(e.sealed or b"") for n, e in enumerate(entries)},
        }  # fmt: skip
        found["intent"] = intent.encode()
        found["number of the frame"] = (session.get_one(ConsentIntent, intent).ref_sha256 or "").encode()
        found["sealed objection"] = bytes(session.get_one(Objection, objected).statement or b"")
        found["sealed name of a passkey"] = bytes(session.exec(select(Passkey)).one().name_sealed)
        if scope == "all":
            found["passkey"] = passkey.id
            found["pseudonym"] = bytes(session.get_one(Person, row.contributor_id).pseudonym or b"")
    told = {
        "found": {name: data.hex() for name, data in found.items()}, "receipt": receipt, "contributor": row.contributor_id,
        "contribution": given.id, "others": [o.id for o in others], "shards": [s["sha256"] for s in release.shards],
        "words": f"{CANARY} words",
    }  # fmt: skip
    (directory / "told.json").write_text(json.dumps(told))
    os.write(1, b"\ntold\n")  # in one piece, between the log's lines
    sys.stdin.readline()  # the test copies the database here, as a backup would
    done = holder.erase("all") if scope == "all" else holder.erase(contribution=given.id)
    completed(service, done.id)
    lab.sdk.cut(agreement, poll=0.05)
    export(service, platform, holder.receipt, directory / "exports" / "after")
    os.write(1, b"\ncompleted\n")
    sys.stdin.readline()


def export(service: Service, platform: PlatformParty, receipt: str, out: Path) -> None:
    """What `python -m app export` writes, and what is in the person's ZIP, if their receipt still opens one."""
    out.mkdir(parents=True)
    for n, part in enumerate(written(service, platform, "openassistant")):
        (out / f"export-{n}.jsonl").write_bytes(part)
    answer = httpx.get(service.base + "/r/everything", cookies={"sayso_receipt": receipt})
    if answer.status_code == 200:
        with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
            for n, name in enumerate(file.namelist()):
                (out / f"zip-{n}").write_bytes(name.encode() + b"\n" + file.read(name))


def main() -> None:
    directory, secure, scope = Path(sys.argv[1]), sys.argv[2] == "secure", sys.argv[3]
    if not secure:

        @event.listens_for(Engine, "connect")
        def careless(connection: object, record: object) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.execute("PRAGMA secure_delete=OFF")

    with serving(test_settings(directory / "data", log_level="debug", log_origin="traces.example/log"), "sqlite") as service:
        story(service, directory, scope)


if __name__ == "__main__":
    main()
