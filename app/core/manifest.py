"""The manifest of a release: canonical bytes that say exactly what it holds."""

from collections.abc import Iterable
from typing import Any

from app.core.canonical import canonical, sha256_hex


def manifest_bytes(
    *,
    release: str,
    agreement: str,
    offer_sha256: str,
    as_of: int,
    cut_at: str,
    supersedes: str | None,
    shards: list[dict[str, Any]],
    tree_size: int,
    tree_root: str,
    policies: list[str],
    obligations: list[dict[str, str]],
    dissent: list[str],
    counts: dict[str, int],
    tombstones: int,
    groups: list[dict[str, Any]] | None = None,
    dissent_status: dict[str, str] | None = None,
) -> bytes:
    """RFC 8785 bytes. `shards` are {sha256, bytes, rows, format, prefix}; `tree_root` hex of the sorted record-id tree.

    `groups` are {platform, language, kind, records} of those groups of judgments that may be told apart; None where the release
    holds no judgment. `dissent_status` says what each digest of `dissent` was at the cut: `collective`, `individual`, or `open`.
    """
    return canonical(
        {
            "v": 1, "type": "sayso-manifest", "release": release, "agreement": agreement, "offer_sha256": offer_sha256, "as_of": as_of,
            "cut_at": cut_at, "supersedes": supersedes, "shards": sorted(shards, key=lambda s: str(s["prefix"])),
            "tree": {"size": tree_size, "root": tree_root}, "policies": sorted(policies), "obligations": obligations,
            "dissent": sorted(dissent), "counts": counts, "tombstones": tombstones,
            **({} if groups is None else {"groups": groups}), **({"dissent_status": dissent_status} if dissent_status else {}),
        }
    )  # fmt: skip


def records_digest(records: Iterable[str]) -> str:
    """How a list of record ids (hex) is named where it must not be told: SHA-256 over them, sorted, a line each."""
    return sha256_hex("\n".join(sorted(records)).encode())


def shard_of(record_id: bytes, bits: int) -> int:
    """The number that a record id's leading `bits` bits make: its shard for the life of the agreement."""
    return int.from_bytes(record_id[:4], "big") >> (32 - bits) if bits else 0


def shard_prefix(shard: int, bits: int) -> str:
    """The same as text of 0 and 1; empty where one shard holds all."""
    return format(shard, f"0{bits}b") if bits else ""


def shard_bits(records: int, bytes_each: float, shard_bytes: int) -> int:
    """How many leading bits give shards of about `shard_bytes`, at most 2^12 of them."""
    bits = 0
    while bits < 12 and records * bytes_each > shard_bytes << bits:
        bits += 1
    return bits
