"""A lab's directory on disk, and what keeps it in step."""

from pathlib import Path
from typing import Any

from sayso import cli

from tests.support import EVALUATION, LabParty, PlatformParty, Service, rows_of, until


class Desk:
    """A lab's directory, and the commands as a person types them."""

    def __init__(
        self, service: Service, platform: PlatformParty, lab: LabParty, place: Path, records: int = 12, use: Any = EVALUATION, **fields: Any
    ) -> None:  # fmt: skip
        self.service, self.lab, self.folder = service, lab, place / "data"
        self.given = platform.give(records, **fields)
        self.holders: dict[int, Any] = {}
        self.agreement = lab.agree(platform, use).id
        self.key = place / "key.json"
        lab.key.save(self.key)

    def who(self) -> list[str]:
        return ["--service", self.service.base, "--client-id", self.lab.id, "--key", str(self.key)]

    def pull(self, *more: str) -> int:
        return cli.main(["pull", self.agreement, str(self.folder), *self.who(), "--quiet", *more])

    def sync(self, *more: str) -> int:
        return cli.main(["sync", str(self.folder), "--key", str(self.key), *more])

    def verify(self) -> int:
        folder = str(self.folder)
        return cli.main(["verify", "release", f"{folder}/release.json", "--agreement", f"{folder}/agreement.json", "--shards", folder])

    def withdraw(self, at: int = 0) -> str:
        """Take one back and wait until the lab is told; gives the record id."""
        before = len(self.lab.sdk.recalls(self.agreement).items)
        self.holder(at).withdraw()
        page = until(lambda: (p := self.lab.sdk.recalls(self.agreement)) and len(p.items) > before and p)
        [record] = page.items[-1].records
        return str(record)

    def holder(self, at: int) -> Any:
        """The person who gave it, with their receipt."""
        if at not in self.holders:
            self.holders[at] = self.service.claim(self.given[at])
        return self.holders[at]

    def rows(self) -> list[dict[str, Any]]:
        return [row for path in sorted(self.folder.glob("*.jsonl.zst")) for row in rows_of(path)]

    def ids(self) -> set[str]:
        return {row["record_id"] for row in self.rows() if not row.get("tombstone")}
