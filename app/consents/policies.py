"""Policies by content, and the templates. A policy is stored once and compiled once a process."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from app.consents.models import Policy
from app.core.evaluation import CompiledPolicy, compile_policy
from app.core.policy import LIMITS, PolicyError, parse_policy
from app.core.policy import Policy as PolicyTerms
from app.core.templates import render_template
from app.kit.db import insert_or_ignore
from app.kit.errors import Invalid, NotFound

_POLICY = Policy.__table__  # type: ignore[attr-defined]
AT_HAND = 5_000
"""Policies that a process keeps compiled, of about 11 KB each; the others are read again when they are met."""
TEMPLATES = Path(__file__).parents[2] / "policies" / "templates"


@dataclass(frozen=True)
class StoredPolicy:
    """A policy with its row: what decisions are made with."""

    id: int
    digest: str
    body: bytes
    terms: PolicyTerms
    compiled: CompiledPolicy


class NotAtHand(Exception):
    """The policy is not in this process's memory: ask again from a thread, where waiting for the database is allowed."""


class PolicyBook:
    """The policies this process has met last, and the templates it can render.

    It reads by connections of its own (`reading`): whoever holds the log's head, or SQLite's write lock, and meets a policy for
    the first time must not wait for a connection that somebody holds who waits for that lock.
    """

    def __init__(self, engine: Engine, reading: Engine | None = None, templates: Path = TEMPLATES) -> None:
        self._engine = engine
        self._reading = reading or engine
        self._by_digest: dict[str, StoredPolicy] = {}
        self._by_id: dict[int, StoredPolicy] = {}
        self._rendered: dict[str, StoredPolicy] = {}
        self._lock = Lock()
        self.templates: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text("utf-8")) for path in sorted(templates.glob("*.json"))
        }

    def resolve(
        self,
        digest: str | None,
        template: str | None,
        parameters: dict[str, Any],
        now: datetime,
        *,
        at_hand: bool = False,
    ) -> StoredPolicy:
        """The policy of that digest, or the one a template gives with these parameters (stored if new).

        Raises Invalid or NotFound with a policy_… code; with `at_hand`, NotAtHand where the database would have to be asked.
        """
        if digest is not None:
            if at_hand and digest not in self._by_digest:
                raise NotAtHand
            return self.by_digest(digest)
        body = self.template(template)
        key = f"{template}\x00" + json.dumps(parameters, sort_keys=True) if parameters else template
        hit = self._rendered.get(key)
        if hit is None:
            if at_hand:
                raise NotAtHand
            hit = self.store(refusing(lambda: render_template(body, parameters)), now)
            if len(self._rendered) < AT_HAND:
                self._rendered[key] = hit
        return hit

    def template(self, name: str | None) -> dict[str, Any]:
        """Raises Invalid (policy_unknown_template)."""
        if name not in self.templates:
            raise Invalid(
                "policy_unknown_template", "Use one of the templates listed in `known`.", known=sorted(self.templates)
            )
        return self.templates[name]

    def store(self, terms: PolicyTerms, now: datetime) -> StoredPolicy:
        """Keep a policy by its digest, in a transaction of its own: by itself it says nothing of anybody."""
        hit = self._by_digest.get(terms.digest)
        if hit is not None:
            return hit
        # Looked for first: reading waits for nobody, and after a restart nearly all there are were stored before.
        for stored in self._load(_POLICY.c.digest == terms.digest):
            return stored
        body = terms.canonical_bytes()
        with self._engine.begin() as connection:
            insert_or_ignore(connection, _POLICY, {"digest": terms.digest, "body": body, "created_at": now})
            found = connection.execute(sa.select(_POLICY.c.id).where(_POLICY.c.digest == terms.digest)).scalar_one()
        return self._keep(found, terms.digest, body, terms)

    def by_digest(self, digest: str) -> StoredPolicy:
        """Raises NotFound (policy_unknown)."""
        hit = self._by_digest.get(digest)
        if hit is None:
            for stored in self._load(_POLICY.c.digest == digest):
                hit = stored
        if hit is None:
            raise NotFound("policy_unknown", "Store the policy first with POST /v1/policies, or name a template.")
        return hit

    def by_ids(self, ids: Iterable[int]) -> dict[int, StoredPolicy]:
        """Those policies, compiled."""
        wanted = set(ids)
        found = {i: hit for i in wanted if (hit := self._by_id.get(i)) is not None}
        missing = [i for i in wanted if i not in found]
        for start in range(0, len(missing), 5000):
            found |= {stored.id: stored for stored in self._load(_POLICY.c.id.in_(missing[start : start + 5000]))}
        return {i: found[i] for i in wanted}

    def close(self) -> None:
        """Give the connections for reading back."""
        self._reading.dispose()

    def _load(self, where: Any) -> list[StoredPolicy]:
        with self._reading.execution_options(sayso_read=True).connect() as connection:
            rows = connection.execute(sa.select(_POLICY.c.id, _POLICY.c.digest, _POLICY.c.body).where(where)).all()
        return [self._keep(i, digest, bytes(body), parse_policy(json.loads(bytes(body)))) for i, digest, body in rows]

    def _keep(self, row: int, digest: str, body: bytes, terms: PolicyTerms) -> StoredPolicy:
        stored = StoredPolicy(row, digest, body, terms, compile_policy(terms))
        with self._lock:
            self._by_digest[digest] = stored
            self._by_id[row] = stored
            while len(self._by_id) > AT_HAND:
                oldest = self._by_id.pop(next(iter(self._by_id)))
                self._by_digest.pop(oldest.digest, None)
        return stored


def refusing(make: Any) -> PolicyTerms:
    """`make()`, with the core's refusal as this service's. Raises Invalid (policy_…)."""
    try:
        terms: PolicyTerms = make()
        return terms
    except PolicyError as error:
        raise refusal(error) from None


def refusal(error: PolicyError) -> Invalid:
    """The core's refusal of a policy, a template's parameters or a use, as this service's."""
    sentence = error.message[:1].upper() + error.message[1:] + "."
    limits = LIMITS if error.code in ("policy_too_large", "policy_invalid") else None
    return Invalid(error.code, sentence, where=error.path or None, known=list(error.known) or None, limits=limits)
