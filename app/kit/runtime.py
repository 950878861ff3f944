"""What one running service holds: made once by `create_app`, handed to routes by `kit/deps.py` and to jobs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Engine

from app.crypto.keyring import KeyRing
from app.kit.blobs import Blobs
from app.kit.clock import Clock
from app.kit.egress import Egress
from app.kit.jobs import Jobs
from app.kit.journal import Journal
from app.kit.settings import Settings


@dataclass
class Runtime:
    """Settings, engine, clock, keys, blobs and jobs of one process."""

    settings: Settings
    engine: Engine
    clock: Clock
    keys: KeyRing
    blobs: Blobs
    jobs: Jobs
    journal: Journal
    health: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """Named checks for /readyz: each answers None, or a sentence saying what is wrong."""
    notes: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """What /readyz tells beside them: each answers None, or a sentence that an operator should know; the service is ready."""
    egress: Egress = field(default_factory=Egress)
    """How addresses that others chose are asked."""
    parts: dict[str, Any] = field(default_factory=dict)
    """Long-lived helpers of slices (publisher, record committer), by name; started and stopped by the lifespan."""

    def state(self) -> tuple[dict[str, str], dict[str, str]]:
        """What is wrong and what an operator should know, by name. Where something is wrong, notes are not asked for."""
        wrong = {name: why for name, check in self.health.items() if (why := check()) is not None}
        notes = {name: told for name, note in self.notes.items() if not wrong and (told := note()) is not None}
        return wrong, notes
