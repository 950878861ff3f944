"""What changed between two releases of an agreement."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.canonical import b64u
from app.kit.blobs import Blobs
from app.releases import delta, tree
from app.releases.models import Release
from tests.kit.refusals import get, lab_token, refused
from tests.support import LabParty, PlatformParty, Service


def test_a_delta_is_the_difference_of_the_rows(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    given = platform.give(8)
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    first = lab.sdk.cut(agreement, poll=0.05)
    before = {row["record_id"] for row in lab.fetch(first, tmp_path / "1")}
    service.claim(given[0]).withdraw()
    service.claim(given[1]).erase()
    platform.give(3)
    second = lab.sdk.cut(agreement, poll=0.05)
    after = {row["record_id"] for row in lab.fetch(second, tmp_path / "2") if not row.get("tombstone")}
    assert lab.sdk.delta(second.id, first.id) == (sorted(after - before), sorted(before - after))
    assert lab.sdk.delta(first.id, second.id) == (sorted(before - after), sorted(after - before))
    assert lab.sdk.delta(first.id, first.id) == ([], [])
    # Who may ask, and of what.
    token, other = lab_token(service, lab), lab_token(service, service.lab())
    refused(get(service, f"/v1/releases/{first.id}/delta", token), 404, "not_found")
    refused(get(service, f"/v1/releases/{second.id}/delta?since={first.id}", other), 404, "not_found")
    refused(get(service, f"/v1/releases/{second.id}/delta?since=rel_{'0' * 26}", token), 404, "not_found")
    refused(get(service, f"/v1/releases/{second.id}/delta?since=x", token), 422, "parameter_invalid")
    refused(get(service, f"/v1/releases/{second.id}/delta?since={first.id}&cursor=x", token), 400, "cursor_invalid")
    elsewhere = lab.sdk.cut(lab.agree(platform), poll=0.05)
    refused(get(service, f"/v1/releases/{second.id}/delta?since={elsewhere.id}", token), 404, "not_found")


@pytest.mark.parametrize("sizes", [(0, 0), (0, 7), (7, 0), (600, 650)])
def test_pages_of_any_length_give_the_same_delta(sizes: tuple[int, int], tmp_path: Path) -> None:
    blobs = Blobs.at("", tmp_path)
    common = {os.urandom(32) for _ in range(min(sizes) // 2)}
    sets = [common | {os.urandom(32) for _ in range(size - len(common))} for size in sizes]
    rows = []
    for name, ids in zip(("rel_a", "rel_b"), sets, strict=True):
        size, root = tree.keep(blobs, name, sorted(ids), tmp_path / "work")
        manifest = json.dumps({"tree": {"size": size, "root": root}}).encode()
        rows.append(Release(id=name, agreement_id="agr_x", state="published", manifest=f"x.{b64u(manifest)}.x", requested_at=None))  # type: ignore[arg-type]
    runtime: Any = SimpleNamespace(blobs=blobs)
    for limit, most in ((1, 10_000), (7, 10_000), (1000, 10_000), (1000, 3)):
        added: list[str] = []
        withdrawn: list[str] = []
        after = None
        while True:
            page = delta.page(runtime, rows[1], rows[0], after, limit, most)
            assert len(page.added) + len(page.withdrawn) <= limit
            added, withdrawn = added + page.added, withdrawn + page.withdrawn
            after = page.last
            if after is None:
                break
        assert added == sorted(x.hex() for x in sets[1] - sets[0])
        assert withdrawn == sorted(x.hex() for x in sets[0] - sets[1])
