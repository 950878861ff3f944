"""What a process keeps of policies is bounded, and what it let go of is read again."""

import pytest

from app.consents import policies
from app.consents.policies import PolicyBook
from app.kit.db import make_engine
from tests.core.policy_cases import limit, policy, rule
from tests.support import Service


def test_more_policies_than_are_kept_at_hand(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "AT_HAND", 3)
    book = PolicyBook(service.runtime.engine)
    days = [limit("dateTime", "gteq", f"2031-01-{n:02}") for n in range(1, 10)]
    made = [book.store(policy(rule("evaluate", ["text"], day)), service.clock.now()) for day in days]
    assert len(book._by_id) == len(book._by_digest) == 3
    assert {i: s.digest for i, s in book.by_ids([m.id for m in made]).items()} == {m.id: m.digest for m in made}
    assert all(book.by_digest(m.digest).id == m.id for m in made) and len(book._by_id) == len(book._by_digest) == 3
    assert book.store(made[0].terms, service.clock.now()).id == made[0].id


def test_a_policy_is_read_though_every_other_connection_is_held(service: Service) -> None:
    """By whoever holds the log's head, while all others hold a connection and wait for it."""
    own = policy(rule("evaluate", ["text"], limit("dateTime", "gteq", "2032-02-02")))
    stored = service.runtime.parts["policies"].store(own, service.clock.now())
    engine = make_engine(service.runtime.settings.database, pool_size=1, overflow=0)
    reading = make_engine(service.runtime.settings.database, pool_size=1, overflow=0)
    with engine.execution_options(sayso_read=True).connect():
        assert PolicyBook(engine, reading).by_ids([stored.id])[stored.id].digest == stored.digest
    engine.dispose()
    reading.dispose()
