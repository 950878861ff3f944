"""What is noted of a use: during which days every one of its verdicts holds. By it a selection counts them instead of looking at each."""

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from app.agreements import verdicts
from app.agreements.models import Use, Verdict
from app.consents.models import Policy
from app.consents.policies import PolicyBook
from app.core.evaluation import LabFacts, parse_use
from app.kit.db import write
from tests.core.policy_cases import limit, policy, rule
from tests.support import Service

TODAY = date(2026, 11, 24)
FACTS = LabFacts("academic", "NL")
USE = parse_use({"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"]})
UNLIKE = parse_use({"actions": ["evaluate"], "purposes": ["dpv:ResearchAndDevelopment"]})
NONE = sa.select(sa.literal(0))


def stored(book: PolicyBook, *days: date) -> list[int]:
    """Policies that end on those days."""
    terms = [policy(rule("evaluate", ["text"], limit("dateTime", "lt", day.isoformat()))) for day in days]
    return [book.store(one, datetime(2026, 11, 24, tzinfo=UTC)).id for one in terms]


def noted(session: Session, use_id: int) -> tuple[date | None, date | None, int | None]:
    row = session.get_one(Use, use_id, populate_existing=True)
    return row.hold_from, row.hold_until, row.evaluator


def test_it_is_known_while_every_verdict_holds_and_not_a_day_longer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    book: PolicyBook = service.runtime.parts["policies"]
    first = TODAY + timedelta(days=20)
    some = stored(book, *(first + timedelta(days=n) for n in range(verdicts._MANY + 2)))

    def decided(session: Session, policies: list[int], today: date) -> tuple[date | None, date | None, int | None]:
        verdicts.keep(session, book, use_id, USE, FACTS, policies, today)
        return noted(session, use_id)

    tomorrow = TODAY + timedelta(days=1)
    with write(service.runtime.engine) as session:
        use_id = verdicts.use_row(session, USE, FACTS)
        assert decided(session, some[:2], TODAY) == (None, None, None), "of a few it is not looked for"
        assert decided(session, _everything(session), TODAY) == (None, None, None)
        verdicts.keep_all(session, book, use_id, USE, FACTS, NONE, TODAY)
        start, end, by = noted(session, use_id)
        assert (start, by) == (TODAY, verdicts.EVALUATOR) and end is not None and end <= first, "of all, once each was looked at"
        first = end  # others of this database may end earlier
        assert verdicts._all_decided(session, use_id, TODAY) and not verdicts._all_decided(session, use_id, first)
        assert not verdicts._all_hold(session, use_id, TODAY - timedelta(days=1)) and verdicts._all_hold(session, use_id, tomorrow)
    before = min(first, TODAY + timedelta(days=5))
    [earlier] = stored(book, TODAY + timedelta(days=5))
    with write(service.runtime.engine) as session:
        assert not verdicts._all_decided(session, use_id, tomorrow), "one came that nobody decided"
        assert decided(session, [earlier], tomorrow) == (tomorrow, before, verdicts.EVALUATOR), "a few are added to what is known"
        assert verdicts._all_decided(session, use_id, tomorrow) and not verdicts._all_hold(session, use_id, TODAY)
        assert not verdicts._all_decided(session, use_id, before), "where it is not known each is looked at"
        with monkeypatch.context() as later:
            later.setattr(verdicts, "EVALUATOR", verdicts.EVALUATOR + 1)
            assert not verdicts._all_hold(session, use_id, tomorrow) and not verdicts._all_decided(session, use_id, tomorrow)


@pytest.mark.parametrize("elsewhere", ["a day before", "a later day", "another evaluator"])
def test_a_note_does_not_outlast_verdicts_that_it_cannot_know(service: Service, monkeypatch: pytest.MonkeyPatch, elsewhere: str) -> None:
    """A clock that goes back, or a process of another version: what they decided is decided anew, and not believed by the note of before."""
    book: PolicyBook = service.runtime.parts["policies"]
    end = date(2033, 5, 5)
    [soon] = stored(book, TODAY + timedelta(days=3))
    stored(book, *(end + timedelta(days=n) for n in range(verdicts._MANY)))
    with write(service.runtime.engine) as session:
        use_id = verdicts.use_row(session, USE, FACTS)
        known = (use_id, USE, FACTS)
        verdicts.keep_all(session, book, *known, sa.select(Policy.id), TODAY)  # type: ignore[call-overload]
        noted_at_first = noted(session, use_id)
        assert noted_at_first[0] == TODAY and noted_at_first[1] is not None and noted_at_first[1] <= TODAY + timedelta(days=3)
        days = {"a day before": -1, "a later day": 9, "another evaluator": 0}[elsewhere]
        with monkeypatch.context() as other:
            if days == 0:
                other.setattr(verdicts, "EVALUATOR", verdicts.EVALUATOR + 1)
            verdicts.keep(session, book, *known, [soon], TODAY + timedelta(days=days))
        if days >= 0:  # what was decided the day before holds today too
            assert not verdicts._all_decided(session, use_id, TODAY)
        verdicts.keep_all(session, book, *known, sa.select(Policy.id), TODAY)  # type: ignore[call-overload]
        assert verdicts._all_decided(session, use_id, TODAY)
        assert noted(session, use_id)[1:] == noted_at_first[1:], "it is noted again"
        session.execute(sa.update(Use).where(Use.id == use_id).values(evaluator=None))  # type: ignore[arg-type]
        verdicts.keep_all(session, book, *known, sa.select(Policy.id), TODAY)  # type: ignore[call-overload]
        assert verdicts._all_hold(session, use_id, TODAY), "also where nothing is left to decide"


def test_verdicts_of_another_use_say_nothing_of_this_one(service: Service) -> None:
    book: PolicyBook = service.runtime.parts["policies"]
    stored(book, *(date(2032, 1, 1) + timedelta(days=n) for n in range(verdicts._MANY)))
    with write(service.runtime.engine) as session:
        one, other = (verdicts.use_row(session, use, FACTS) for use in (USE, UNLIKE))
        verdicts.keep_all(session, book, one, USE, FACTS, NONE, TODAY)
        assert verdicts._all_decided(session, one, TODAY) and verdicts._all_hold(session, one, TODAY)
        assert not verdicts._all_hold(session, other, TODAY) and not verdicts._all_decided(session, other, TODAY)
        session.execute(sa.delete(Verdict).where(Verdict.use_id == one, Verdict.policy_id == _everything(session)[0]))  # type: ignore[arg-type]
        assert not verdicts._all_decided(session, one, TODAY), "they are counted all the same"


def _everything(session: Session) -> list[int]:
    return list(session.execute(sa.select(Policy.id).order_by(Policy.id)).scalars())  # type: ignore[call-overload]
