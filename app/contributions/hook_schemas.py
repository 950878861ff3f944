"""API shapes of hooks: what a platform's engineer sees of them."""

from app.kit.body import Out, Time


class WebhookOut(Out):
    """What came of a webhook. Both 0: it was about nothing that is recorded."""

    recorded: int
    revoked: int


class HookOut(Out):
    """One ingest key and what came with it. Counts are exact: they are the platform's own records."""

    key: str
    format: str
    basis: str
    """What its records have: `notice`, `default` (notice too, where the platform's default applies), or `none`."""
    defaults_applied: int
    """Records since the platform's default was set that came under it. Those of people who ever chose something themselves count too,
    though it does not apply to them: who they are is not for the platform to see. So do reports under embargo."""
    state: str
    """in_use or revoked."""
    received: int
    received_last_day: int
    refused_last_day: int
    waiting: int
    """Refused lines that can be tried again."""
    last_received_at: Time | None
    """Of testimony the day alone."""
    lag_seconds: float | None
    """From the time the latest line gives for itself to its arrival."""
    slowest_lag_seconds: float | None
    """The same, the longest among the latest 100."""


class ImportOut(Out):
    """One file that was imported: so many of its records are done. `refused` counts by code what the database refused of them; what could
    not be read is in the report of the command alone."""

    format: str
    started_at: Time
    finished_at: Time | None
    records: int
    refused: dict[str, int]


class IntakeOut(Out):
    """`recorded` counts all contributions of the platform, whether they came by calls, imports or hooks; `imports` are the newest 20."""

    recorded: int
    imports: list[ImportOut]
    hooks: list[HookOut]


class RefusedLineOut(Out):
    """A line that was not recorded, and why. Its content is never shown."""

    id: str
    key: str
    received_at: Time
    code: str
    detail: str
    size: int
    can_retry: bool
    settled_at: Time | None


class RefusedPage(Out):
    items: list[RefusedLineOut]
    next: str | None
