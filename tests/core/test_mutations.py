"""10,000 bent proofs, 10,000 rejections, by the service's arithmetic and by the verifier's, and no exception but the declared one.

Each case is a proof that holds, bent in one of the ways proofs get bent: a bit flipped, a hash dropped, doubled, moved,
swapped with another, replaced; index, size or old size changed; leaf or root changed. `make soak` bends ten times as many. Only what
was rejected counts: a proof that was bent into another one that holds, of the same true statement, is passed over, and that is rare.
"""

import base64
import copy
import os
import random
from collections import Counter
from hashlib import sha256

from sayso import holding, proofs, verify

from app.core import merkle, tlogproof
from app.core.note import Checkpoint, parse_vkey, sign_checkpoint, vkey
from app.crypto.keyring import verify_ed25519
from tests.client.forge import Key, b64, canonical

COUNT = 100_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 10_000
LOG = Key(1)
ORIGIN = "log.example/sayso"


def bend_hashes(picks: random.Random, path: list[bytes], pool: list[bytes]) -> tuple[str, list[bytes]]:
    """Another list of hashes than `path`, and the name of the way it was bent."""
    out = list(path)
    ways = ["flip", "drop", "double", "truncate", "add", "replace", "short", "long"] if path else ["add"]
    ways += ["swap", "reverse"] if len(path) > 1 else []
    way = picks.choice(ways)
    at = picks.randrange(len(path)) if path else 0
    if way == "flip":
        out[at] = flip(picks, out[at])
    elif way == "drop":
        del out[at]
    elif way == "double":
        out.insert(at, out[at])
    elif way == "truncate":
        out = out[:at]
    elif way == "add":
        out.insert(picks.randrange(len(out) + 1), picks.choice(pool))
    elif way == "replace":
        out[at] = picks.choice(pool)
    elif way == "short":
        out[at] = out[at][: picks.randrange(32)]
    elif way == "long":
        out[at] = out[at] + b"\0"
    elif way == "swap":
        other = picks.randrange(len(path))
        out[at], out[other] = out[other], out[at]
    else:
        out.reverse()
    return way, out


def flip(picks: random.Random, data: bytes) -> bytes:
    at = picks.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << picks.randrange(8)]) + data[at + 1 :]


def test_bent_inclusion_proofs() -> None:
    picks, ways, done = random.Random(1), Counter[str](), 0
    hashes = [merkle.leaf_hash(b"%d" % n) for n in range(600)]
    while done < COUNT:
        size = picks.choice([1, 2, 3, 7, 8, 255, 256, 257, picks.randrange(1, 600)])
        index = picks.randrange(size)
        path = merkle.inclusion_proof(index, hashes[:size])
        leaf, root = hashes[index], merkle.root(hashes[:size])
        merkle.verify_inclusion(leaf, index, size, path, root)
        args = [leaf, index, size, path, root]
        way = picks.choice(["path", "path", "path", "index", "size", "leaf", "root"])
        if way == "path":
            way, args[3] = bend_hashes(picks, path, hashes[:size])
        elif way == "index":
            args[1] = picks.choice([index + 1, index - 1, picks.randrange(-3, 700), index + 2**63])
        elif way == "size":
            args[2] = picks.choice([size + 1, size - 1, 2 * size, picks.randrange(-3, 700), 2**63])
        elif way == "leaf":
            args[0] = picks.choice([flip(picks, leaf), picks.choice(hashes), leaf[:-1], b""])
        else:
            args[4] = picks.choice([flip(picks, root), picks.choice(hashes), root + b"\0"])
        if args == [leaf, index, size, path, root] or (way == "size" and same_shape(index, size, args[2])):
            continue
        done += 1
        ways[way] += 1
        rejected(lambda: merkle.verify_inclusion(*args), merkle.MerkleError)
        if way not in ("leaf", "short", "long") and way != "root":
            data = b"%d" % index
            rejected(lambda: held(proofs.inclusion_root(data, args[1], args[2], args[3]) == root), proofs.Failed)
    assert min(ways.values()) > COUNT // 200, ways


def same_shape(index: int, size: int, other: int) -> bool:
    """Whether a proof for `index` of `size` is also one for `index` of `other`: the same turns on the way to the root.

    The size is then told apart by the signed checkpoint, which states it beside the root, not by the arithmetic.
    """
    return 0 <= index < other <= merkle.MAX_SIZE and turns(index, size) == turns(index, other)


def turns(index: int, size: int) -> list[bool]:
    out, last = [], size - 1
    while last:
        if index & 1 or index < last:
            out.append(bool(index & 1))
        index, last = index >> 1, last >> 1
    return out


def test_bent_consistency_proofs() -> None:
    picks, ways, done = random.Random(2), Counter[str](), 0
    hashes = [merkle.leaf_hash(b"%d" % n) for n in range(600)]
    roots = [merkle.root(hashes[:n]) for n in range(601)]
    while done < COUNT:
        new = picks.choice([1, 2, 3, 8, 255, 256, 257, picks.randrange(1, 600)])
        old = picks.randrange(1, new + 1)
        path = merkle.consistency_proof(old, hashes[:new])
        good = (old, new, roots[old], roots[new], path)
        merkle.verify_consistency(*good)
        args = list(good)
        way = picks.choice(["path", "path", "path", "old", "old root", "new root", "fork"])
        if way == "path":
            way, args[4] = bend_hashes(picks, path, [*hashes[:new], roots[old], roots[new]])
        elif way == "old":
            args[0] = picks.choice([0, old - 1, old + 1, new + 1, -1, picks.randrange(0, 601)])
        elif way == "old root":
            args[2] = picks.choice([flip(picks, roots[old]), roots[picks.randrange(601)], b""])
        elif way == "new root":
            args[3] = picks.choice([flip(picks, roots[new]), roots[picks.randrange(601)]])
        else:
            fork = [*hashes[: old - 1], merkle.leaf_hash(b"forked"), *hashes[old:new]]
            args[3], args[4] = merkle.root(fork), merkle.consistency_proof(old, fork)
        if tuple(args) == good or (way == "old" and (args[0] == old or (args[0] > 0 and same_history(args[0], old, new, path)))):
            continue
        done += 1
        ways[way] += 1
        rejected(lambda: merkle.verify_consistency(*args), merkle.MerkleError)
        rejected(lambda: proofs.check_consistency(*args), proofs.Failed)
    assert min(ways.values()) > COUNT // 200, ways


def same_history(other: int, old: int, new: int, path: list[bytes]) -> bool:
    """Whether the arithmetic of another old size takes the very same steps; the old root then stands for both sizes."""
    return other <= new and steps(other, new) == steps(old, new)


def steps(old: int, new: int) -> tuple[bool, list[bool]]:
    low, last, out = old - 1, new - 1, []
    while low & 1:
        low, last = low >> 1, last >> 1
    while last:
        if low & 1 or low < last:
            out.append(bool(low & 1))
        elif low == last:
            out.append(True)
            while low and not low & 1:
                low, last = low >> 1, last >> 1
        low, last = low >> 1, last >> 1
    return old & (old - 1) == 0, out


def test_bent_receipts_texts() -> None:
    """tlog-proof texts: any character changed, dropped, doubled; any two lines swapped; another leaf."""
    picks, done = random.Random(3), 0
    leaves = [b"leaf %d" % n for n in range(300)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    key = parse_vkey(vkey(ORIGIN, LOG.public))
    note = sign_checkpoint(Checkpoint(ORIGIN, 300, merkle.root(hashes)), LOG.public, LOG.sign)
    texts = {i: tlogproof.format_proof(i, merkle.inclusion_proof(i, hashes), note) for i in (0, 1, 128, 255, 256, 299)}
    while done < COUNT:
        index = picks.choice(list(texts))
        text = texts[index]
        at = picks.randrange(len(text))
        way = picks.choice(["change", "drop", "double", "swap", "cut", "leaf"])
        leaf = leaves[index]
        if way == "change":
            bent = text[:at] + picks.choice("abcXYZ019+/= \n—é\0") + text[at + 1 :]
        elif way == "drop":
            bent = text[:at] + text[at + 1 :]
        elif way == "double":
            bent = text[:at] + text[at] + text[at:]
        elif way == "cut":
            bent = text[:at]
        elif way == "swap":
            lines = text.split("\n")
            a, b = picks.randrange(len(lines)), picks.randrange(len(lines))
            lines[a], lines[b] = lines[b], lines[a]
            bent = "\n".join(lines)
        else:
            bent, leaf = text, picks.choice([leaves[index - 1], leaf + b"\n", b"", flip(picks, leaf)])
        if (bent, leaf) == (text, leaves[index]):
            continue
        done += 1
        rejected(lambda: tlogproof.verify_proof(bent, leaf, key, verify_ed25519), tlogproof.TlogProofError)

        def by_client() -> None:
            number, path, checkpoint, size, root = proofs.parse_proof(bent)
            held(proofs.inclusion_root(leaf, number, size, path) == root)
            proofs.check_checkpoint(checkpoint, vkey(ORIGIN, LOG.public))

        rejected(by_client, proofs.Failed)


def test_bent_proofs_of_presence_and_absence() -> None:
    """A holding: what is bent must fail, and an absent record must never be shown present, nor a present one absent."""
    picks, ways, still = random.Random(4), Counter[str](), Counter[str]()
    ids = sorted(sha256(b"id %d" % n).digest() for n in range(100))
    hashes = [merkle.leaf_hash(item) for item in ids]
    root = merkle.root(hashes).hex()
    body = {"v": 1, "type": "release.cut", "id": "rel_1", "agreement": "agr_1", "tree_root": root, "at": "2026-11-24T00:00:00Z", "lab": "L"}
    leaf = canonical(body)
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, merkle.leaf_hash(leaf)), LOG.public, LOG.sign)

    def file(record: bytes) -> dict[str, object]:
        after = sum(x < record for x in ids)
        places = [after] if record in ids else [i for i in (after - 1, after) if 0 <= i < 100]
        shown = [{"index": i, "record_id": ids[i].hex(), "path": [b64(h) for h in merkle.inclusion_proof(i, hashes)]} for i in places]
        return {
            "v": 1, "type": "sayso-holding", "release": "rel_1", "agreement": "agr_1", "record_id": record.hex(), "present": record in ids,
            "tree": {"size": 100, "root": root}, "shown": shown, "leaf": b64(leaf), "tlog_proof": tlogproof.format_proof(0, [], note),
            "vkey": vkey(ORIGIN, LOG.public),
        }  # fmt: skip

    absent = [bytes(32), b"\xff" * 32, *(sha256(b"no %d" % n).digest() for n in range(20))]
    files = [file(record) for record in [*picks.sample(ids, 20), ids[0], ids[-1], *absent]]
    assert all(holding.verify_holding(one).exit_code == verify.VERIFIED for one in files)
    while ways.total() < COUNT:
        good = picks.choice(files)
        bent = copy.deepcopy(good)
        way = picks.choice(["claim", "record", "neighbours", "path", "size", "index", "other", "root"])
        shown = bent["shown"]
        one = picks.choice(shown)
        if way == "claim":
            bent["present"] = not bent["present"]
        elif way == "record":
            bent["record_id"] = picks.choice([*ids, *absent]).hex()
            if not bent["present"] and could_be(good, bytes.fromhex(bent["record_id"])):
                continue  # these neighbours leave no place for that one either
        elif way == "neighbours":
            i = picks.randrange(100)
            j = picks.choice([i, i + 2, i - 1, picks.randrange(100)]) % 100
            bent["shown"] = [file(ids[n])["shown"][0] for n in picks.choice([[i], [i, j], [j, i], [i, i], []])]
        elif way == "path":
            _, path = bend_hashes(picks, [base64.b64decode(h) for h in one["path"]], hashes)
            one["path"] = [b64(h) for h in path]
        elif way == "size":
            bent["tree"]["size"] = picks.choice([0, 1, 50, 99, 128, 200, -1])
        elif way == "index":
            one["index"] = picks.choice([one["index"] + 1, one["index"] - 1, 0, 99, 100, -1])
        elif way == "other":
            one["record_id"] = picks.choice([*ids, *absent]).hex()
        else:
            bent["tree"]["root"] = picks.choice([sha256(b"").hexdigest(), root[:-1], root.upper(), hashes[0].hex()])
        record = bytes.fromhex(bent["record_id"])
        if bent == good or (canonical(bent["shown"]) == canonical(good["shown"]) and way in ("neighbours", "path", "index", "other")):
            continue
        report = holding.verify_holding(bent)
        if report.exit_code == verify.VERIFIED:
            # Only what is true can still hold: the unbent proof of a neighbour, or a size of which the way to the root has the same turns.
            assert bent["present"] is (record in ids), (way, bent)
            assert way in ("neighbours", "size"), (way, bent)
            still[way] += 1
            continue
        assert report.exit_code == verify.FAILED
        ways[way] += 1
    assert set(ways) == {"claim", "record", "neighbours", "path", "size", "index", "other", "root"}
    assert min(ways.values()) > COUNT // 50 and still.total() < COUNT // 20, (ways, still)


def could_be(good: dict[str, object], record: bytes) -> bool:
    """Whether the neighbours that prove one record absent prove this one absent as well."""
    around = [bytes.fromhex(s["record_id"]) for s in good["shown"]]  # type: ignore[attr-defined]
    if len(around) == 2:
        return around[0] < record < around[1]
    return record < around[0] if good["shown"][0]["index"] == 0 else record > around[0]  # type: ignore[index]


def rejected(check, declared: type[Exception]) -> None:  # type: ignore[no-untyped-def]
    try:
        check()
    except declared:
        return
    raise AssertionError("a bent proof was taken")


def held(holds: bool) -> None:
    if not holds:
        raise proofs.Failed("another root")
