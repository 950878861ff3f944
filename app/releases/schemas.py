"""API shapes of the releases slice."""

from datetime import date
from typing import Literal

from app.kit.body import In, Out, Time


class CutIn(In):
    """How shards are written; null: as in the release before, JSON lines in a first one."""

    format: Literal["jsonl+zstd", "parquet"] | None = None


class HeldBack(Out):
    """Records that the signed terms do not cover; a new offer would. Rounded to ten, suppressed below."""

    needs_new_terms: str


class ShardOut(Out):
    sha256: str
    bytes: int
    rows: int
    state: str


class Progress(Out):
    """How many shards of a cut are made. The last to be made may be empty, and is then passed over."""

    done: int
    of: int


class DeletionOut(Out):
    """The duty to delete a release a period after its cut: owed, attested or cannot_remove. The last two are the lab's answer."""

    release: str
    state: str
    delete_by: Time
    late_from: Time | None
    """From when it is late: `delete_by`, or later where the lab was told of it late; null until then."""
    closed_at: Time | None
    models: list[str]
    """Where it cannot be removed: what was trained with it."""
    attestation: str | None
    """What the lab signed."""
    log_index: int | None


class ReleaseOut(Out):
    id: str
    agreement: str
    state: str
    requested_at: Time
    cut_at: Time | None
    as_of: int | None
    format: str
    supersedes: str | None
    successor: str | None
    held_back: HeldBack | None
    progress: Progress | None
    """While it is cut, once it is known how many shards there will be."""
    reason: str | None
    """Why there is no release, of a cut that failed or was cancelled: `lab` (you gave it up), `agreement` (not in force any more),
    `stopped` (nothing new may go to you), `storage`, `log`, `service` (the operator has to look). Null in cuts of before it was kept."""
    deletion: DeletionOut | None
    """Once it was handed over, where the terms ask for its deletion a period after the cut."""
    shards: list[ShardOut]


class LabelOut(Out):
    """`contested`: a decision that records in it rest on was. `dissent`: there are minority reports on one.
    `collective-dissent`: one of those had enough supporters when the time for that was over. `objection`: who gave a record in it objected; the
    words are at `/v1/releases/{release}/objections`."""

    label: str
    log_index: int
    added_at: Time
    lifted_at: Time | None
    """It holds no more, since the appeal that it was for is decided; its leaf is at `lifted_index`."""
    lifted_index: int | None


class BesideOut(Out):
    """What the person who gave a record says of what becomes of it, to be read beside it."""

    record_id: str
    statement: str
    language: str


class BesidePage(Out):
    items: list[BesideOut]
    next: str | None


class ShareOut(Out):
    """What one lab got in a quarter: records rounded down to ten, and per cent of what all got; null below ten records."""

    quarter: str
    lab_id: str
    lab: str
    records: int | None
    percent: int | None


class SharesOut(Out):
    """As of the day's first look, the newest quarter first."""

    day: date
    items: list[ShareOut]


class ReleasePage(Out):
    items: list[ReleaseOut]
    next: str | None


class DeltaOut(Out):
    """Record ids (hex) that are in `release` and not in `since`, and the other way; go on with `next` while there is one."""

    release: str
    since: str
    added: list[str]
    withdrawn: list[str]
    next: str | None


class ReleaseFile(Out):
    """Everything needed to verify the release offline, but the shards themselves."""

    v: int
    type: str
    id: str
    manifest: str
    service_jwk: dict[str, str]
    leaf: str
    tlog_proof: str | None
    vkey: str


class DeliveryOut(Out):
    """A ticket to read this one release."""

    id: str
    release: str
    ticket: str
    expires_at: Time
    log_index: int
