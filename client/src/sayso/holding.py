"""Whether a release holds a record: a proof that it does, or that it does not (two neighbours with nothing between them).

A release's record ids are the leaves of a tree in ascending order; the root stands in the release's own leaf of the log.
"""

from typing import Any

from sayso import proofs
from sayso.proofs import Failed, as_object, get, same, sha256
from sayso.report import Report, run
from sayso.verify import Trust, leaf_of, logged
from sayso.witnessing import Policy


def verify_holding(
    file: dict[str, Any], receipt: dict[str, Any] | None = None, vkey: str | None = None, policy: Policy | None = None
) -> Report:
    """Check one proof, or every one on a page of them; with your receipt also that it speaks of your record."""
    return run(lambda report: _all(report, file, receipt, Trust(vkey, policy)))


def _all(report: Report, file: dict[str, Any], receipt: dict[str, Any] | None, trust: Trust) -> None:
    if "items" not in file:
        _holding(report, file, receipt, trust)
        return
    with report.step("page of proofs") as step:
        items = [as_object(item) for item in get(file, "items", list)]
        step.detail = f"{len(items)} releases{', and more on the next page' if file.get('next') else ''}"
    for item in items:
        _holding(report, item, receipt, trust)


def _holding(report: Report, file: dict[str, Any], receipt: dict[str, Any] | None, trust: Trust) -> None:
    # 1. The leaf is of this release, and names the root of its tree of record ids.
    with report.step("leaf is of this release") as step:
        if get(file, "v", int) != 1 or get(file, "type", str) != "sayso-holding":
            raise Failed("this is not a sayso-holding of version 1")
        release, agreement = get(file, "release", str), get(file, "agreement", str)
        tree = get(file, "tree", (dict, type(None)))
        leaf, body = leaf_of(file, "release.cut")
        same((get(body, "id", str), get(body, "agreement", str)), (release, agreement), "the leaf is of another release")
        if tree is None or "tree_root" not in body:
            raise Failed("the release is of a time before its leaf named the root of its records; the lab's manifest does")
        size, root = get(tree, "size", int), get(tree, "root", str)
        same(get(body, "tree_root", str), root, "the leaf names another root")
        step.detail = f"{release}, cut at {get(body, 'at', str)} for {get(body, 'lab', str)}"

    # 2. The record id is the one that your receipt's seed gives under this agreement.
    record = _hex(file, "record_id")
    if receipt is not None:
        with report.step("record id is yours") as step:
            seed = proofs.unbase64(get(receipt, "rid_seed", str), "the seed", url=True)
            same(sha256(b"sayso/rid/v1" + agreement.encode() + seed), record, "the record id is of another contribution")
            step.detail = record.hex()

    # 3. What is shown of the tree leads to its root.
    with report.step("records shown are in the release's tree") as step:
        shown = []
        for item in map(as_object, get(file, "shown", list)):
            index, path = get(item, "index", int), get(item, "path", list)
            hashes = [proofs.unbase64(text, "a hash of the path") for text in path if isinstance(text, str)]
            if len(hashes) != len(path) or any(len(item) != 32 for item in hashes):
                raise Failed("a path holds something that is no hash")
            found = proofs.inclusion_root(_hex(item, "record_id"), index, size, hashes)
            same(found.hex(), root, f"record {index} leads to another root")
            shown.append((index, _hex(item, "record_id")))
        step.detail = f"{len(shown)} of {size}"

    # 4. They show that it is there, or that there is no place left where it could be.
    present = get(file, "present", bool)
    with report.step("release holds the record" if present else "release does not hold the record") as step:
        if present:
            same([item for _, item in shown], [record], "the record shown is another one")
        else:
            _absent(record, shown, size, root)
        step.detail = f"at place {shown[0][0]}" if present else " and ".join(f"place {i}" for i, _ in shown) or "it is empty"

    # 5 and 6. The leaf is in the log, under a checkpoint the log signed.
    logged(report, file, leaf, trust)


def _absent(record: bytes, shown: list[tuple[int, bytes]], size: int, root: str) -> None:
    """Before the first, after the last, between two neighbours, or in a tree of nothing."""
    if size == 0:
        same((shown, root), ([], sha256(b"").hex()), "a tree of nothing has another root")
        return
    indexes, ids = [index for index, _ in shown], [item for _, item in shown]
    if len(shown) == 1:
        fits = (indexes[0] == 0 and record < ids[0]) or (indexes[0] == size - 1 and ids[0] < record)
    else:
        fits = len(shown) == 2 and indexes[1] == indexes[0] + 1 and ids[0] < record < ids[1]
    if not fits:
        raise Failed("the records shown leave room for this one")


def _hex(value: dict[str, Any], name: str) -> bytes:
    text = get(value, name, str)
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise Failed(f"`{name}` is not hexadecimal") from error
    if len(raw) != 32 or raw.hex() != text:
        raise Failed(f"`{name}` is not 64 hexadecimal digits")
    return raw
