"""An amendment changes what a yes brings about as it changes words: looked at as a proposal's own, frozen with the text, void where it is another."""

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sayso import recount
from sayso.collective import Collective
from sqlmodel import select

from app.collectives.models import CollectiveAct, Proposal
from app.collectives.thread_models import Amendment, Words
from app.contributions import receipts
from app.core.canonical import canonical
from app.kit.db import read, write
from app.log.models import LogEntry
from tests.collectives.members import CHARTER, change_policy, pass_days, refuses
from tests.collectives.test_deciding import ADOPT, NARROW, row_of, union_of
from tests.collectives.test_requests_decided import deciding
from tests.kit.refusals import accepted, call
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import window

SAFETY: dict[str, Any] = {"policy": {"template": "safety-research"}}


def said(service: Service, kind: str) -> dict[str, Any]:
    """The newest act of that type, opened."""
    with read(service.runtime.engine) as session:
        act = session.exec(select(CollectiveAct).where(CollectiveAct.type == kind).order_by(sa.desc(CollectiveAct.log_index)).limit(1)).one()  # type: ignore[arg-type]
        entry = session.get_one(LogEntry, act.log_index)
        found: dict[str, Any] = json.loads(receipts.opening(session, service.runtime, act.contributor_id, entry)[1])
    return found


def leaf(service: Service, kind: str, subject: str) -> dict[str, Any]:
    with read(service.runtime.engine) as session:
        found: dict[str, Any] = json.loads(session.exec(select(LogEntry.leaf).where(LogEntry.type == kind, LogEntry.subject == subject)).one())
    return found


def decided(service: Service, mine: list[Collective], opened: dict[str, Any]) -> dict[str, Any]:
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], opened["id"], 7)
    return pass_days(service, mine[0], opened["id"], 7)


def test_other_terms_are_proposed_taken_frozen_voted_on_and_in_force(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3, template=None)
    proposal = mine[0].propose("policy.adopt", "Some of it.", **ADOPT)
    words = mine[2].amend(proposal, "Some of it, for now.")
    refuses("text_changed", lambda: mine[1].amend(proposal, **ADOPT))  # nothing else than there is
    refuses("text_changed", lambda: mine[1].amend({**proposal, "effect_sha256": "0" * 64}, **SAFETY))
    refuses("text_changed", lambda: mine[1].amend(proposal, base_effect_sha256=None, **SAFETY))
    refuses("text_changed", lambda: mine[1].amend(proposal, "Other words.", base_effect_sha256=None))  # they would bring terms that nobody read
    other = mine[1].amend(proposal, **SAFETY)
    meant = said(service, "amendment.filed")
    assert (meant["amendment"], meant["base_effect_sha256"]) == (other["id"], proposal["effect_sha256"])
    assert other["effect"]["policy"] != proposal["policy"] == words["effect"]["policy"] and other["effect"]["charter"] is None
    assert sha256(bytes.fromhex(other["effect_salt"]) + canonical(other["effect"])).hexdigest() == other["effect_digest"], "members check it"
    refuses("not_proposer", lambda: mine[1].settle_amendment(proposal["id"], other["id"], True))
    mine[2].object_to(proposal["id"], "It would harm us.")
    assert mine[0].settle_amendment(proposal["id"], other["id"], True)["state"] == "accepted"
    now = mine[0].proposal(proposal["id"])
    assert (now["text"], now["policy"], row_of(service, proposal["id"]).rounds) == (proposal["text"], other["effect"]["policy"], 1)
    assert said(service, "amendment.accepted")["effect_sha256"] == meant["effect_sha256"] == now["effect_sha256"] != proposal["effect_sha256"]
    refuses("text_changed", lambda: mine[0].settle_amendment(proposal["id"], words["id"], True))  # written for other terms

    opened = pass_days(service, mine[0], proposal["id"], 14)
    assert leaf(service, "ballot.opened", proposal["id"])["effect_sha256"] == opened["effect_sha256"] == now["effect_sha256"]
    refuses("text_changed", lambda: mine[2].vote(proposal, "yes"))  # the same text, and not what it would bring
    frozen_ = {one["id"]: one for one in json.loads(mine[0].thread(proposal["id"])["thread"])["amendments"]}
    assert frozen_[other["id"]]["effect"] == other["effect_digest"]
    alone = mine[0].proposal(next(one["alternative"] for one in mine[0].amendments(proposal["id"]) if one["id"] == words["id"]))
    assert (alone["text"], alone["policy"]) == ("Some of it, for now.", proposal["policy"]), "an alternative brings what its author read"
    assert leaf(service, "alternative.opened", alone["id"])["effect_sha256"] == alone["effect_sha256"]
    assert decided(service, mine, opened)["state"] == "in_force" and mine[0].read()["policy"] == other["effect"]["policy"]
    file = mine[1].outcome(proposal["id"])
    assert json.loads(file["outcome"])["effect_sha256"] == now["effect_sha256"] and recount.recount(file)


def test_other_rules_are_adopted_and_what_was_put_up_first_in_their_place_is_void(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposals = [mine[0].propose("charter.amend", text, charter={**CHARTER, "aim": "More."}) for text in ("One.", "Two.")]
    for one in proposals:
        other = mine[1].amend(one, charter={**CHARTER, "aim": "Much more.", "review_days": 90})
        mine[0].settle_amendment(one["id"], other["id"], True)
    service.clock.offset += timedelta(days=14)
    opened = [pass_days(service, mine[0], one["id"], 0) for one in proposals]
    assert [one["charter"]["aim"] for one in opened] == ["Much more."] * 2
    for one in opened:
        for voter in mine:
            voter.vote(one, "yes")
    with write(service.runtime.engine) as session:  # as somebody would who holds the database
        first = session.get_one(Proposal, proposals[1]["id"]).first_charter
        session.execute(sa.update(Proposal).where(Proposal.id == proposals[1]["id"]).values(charter=first))  # type: ignore[arg-type]
    for state in ("appeal", "in_force"):
        service.clock.offset += timedelta(days=7)
        assert [pass_days(service, mine[0], one["id"], 0)["state"] for one in proposals] == [state, "void"]
    found = mine[0].read()
    assert (found["charter"]["aim"], found["charter"]["review_days"]) == ("Much more.", 90)


def test_what_a_proposal_could_not_bring_an_amendment_cannot_either(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    narrow, adopt = mine[0].propose("policy.narrow", "Less.", **NARROW), mine[0].propose("policy.adopt", "More.", **SAFETY)
    rules = mine[0].propose("charter.amend", "New.", charter={**CHARTER, "aim": "More."})
    elect = mine[0].propose("steward.elect", "Her.", subject=mine[1].me()["member"])
    refuses("policy_not_narrower", lambda: mine[1].amend(narrow, policy={"template": "open-model-training-with-credit"}))
    refuses("policy_unknown_template", lambda: mine[1].amend(adopt, policy={"template": "no-such"}))
    for charter in ({**CHARTER, "requests": "decide"}, {**CHARTER, "decisions": {"charter.amend": [{"rule": "majority"}]}}):
        refuses("charter_invalid", lambda charter=charter: mine[1].amend(rules, charter=charter))
    for one, brings in ((elect, SAFETY), (rules, SAFETY), (adopt, {"charter": CHARTER}), (elect, {"charter": CHARTER})):
        refuses("effect_fixed", lambda one=one, brings=brings: mine[1].amend(one, "So.", **brings))
    mine[1].amend(elect, "So, and by its words alone.", base_effect_sha256=None)
    sent = {"text": "Less.", "base": narrow["text_sha256"], "base_effect": narrow["effect_sha256"], "choose": "open-model-training-with-credit"}
    wider = window(service, mine[1]._person.receipt).post(f"/r/collectives/{mine[0].id}/proposals/{narrow['id']}/amendments", data=sent)
    assert wider.status_code == 422 and "Choose terms that allow less" in wider.text and "Go back" not in wider.text, "they are at the form"
    # Another policy is in force by the time that it is taken: then it is looked at again.
    less = mine[1].amend(narrow, policy={"template": "evaluation-only"})
    change_policy(service, mine[0].id, "nothing-new")
    refuses("policy_not_narrower", lambda: mine[0].settle_amendment(narrow["id"], less["id"], True))
    assert mine[0].proposal(narrow["id"])["policy"] == narrow["policy"]


def test_what_a_lab_asks_for_is_changed_by_no_amendment(service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: Any) -> None:
    on_one_backend(service)
    monkeypatch.setattr("app.collectives.queries.FEWEST", 3)
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    proposal = mine[0].proposal(lab.sdk.threads(asked.id)[0]["thread"])
    refuses("effect_fixed", lambda: mine[1].amend(proposal, "Less.", **NARROW))
    refuses("not_proposer", lambda: mine[1].amend(proposal, "Less."))


def test_rules_that_somebody_wrote_are_hidden_and_erased_as_their_words_are(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 3)
    proposal = mine[0].propose("charter.amend", "New.", charter={**CHARTER, "aim": "More."})
    for aim in ("Rude aims.", "My aims."):
        mine[1].amend(proposal, charter={**CHARTER, "aim": aim})
    rude, other = mine[2].amendments(proposal["id"])
    with read(service.runtime.engine) as session:
        places = [place for one in (rude, other) for place in (one["id"], f"{one['id']}/effect")]
        sealed = session.exec(select(Words).where(Words.item_id.in_(places))).all()  # type: ignore[attr-defined]
        assert len(sealed) == 4 and all(b"aims" not in bytes(one.sealed) for one in sealed)
    own = mine[1].propose("charter.amend", "Mine.", charter={**CHARTER, "aim": "More."})
    rude = mine[2].amend(own, charter={**CHARTER, "aim": "Rude aims."})
    mine[0].hide(own["id"], rude["id"], "abuse")
    assert [one.amendments(own["id"])[0]["effect"] is None for one in (mine[0], mine[1], mine[2])] == [False, True, False]
    accepted(call(service, "POST", "/v1/erasures", mine[1]._person._auth._secret, b'{"scope": "all"}'))
    with read(service.runtime.engine) as session:
        assert session.get(Words, f"{other['id']}/effect") is None
    gone = mine[0].amendments(proposal["id"])[1]
    assert (gone["id"], gone["text"], gone["effect"], gone["effect_digest"]) == (other["id"], None, None, other["effect_digest"])
    refuses("text_changed", lambda: mine[0].settle_amendment(proposal["id"], other["id"], True))
    assert mine[0].settle_amendment(proposal["id"], other["id"], False)["alternative"] is None, "of what is erased nothing is decided"


def test_an_amendment_of_before_is_taken_for_the_terms_that_it_was_written_beside(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 3, template=None)
    proposal = mine[0].propose("policy.adopt", "Some.", **ADOPT)
    old, late = (mine[1].amend(proposal, text)["id"] for text in ("Some of it.", "A part."))
    with write(service.runtime.engine) as session:
        session.execute(sa.update(Amendment).where(Amendment.id.in_([old, late])).values(effect_digest=None, base_effect_sha256=None))  # type: ignore[attr-defined]
    taken = mine[2].amend(proposal, **SAFETY)
    mine[0].settle_amendment(proposal["id"], taken["id"], True)
    refuses("text_changed", lambda: mine[0].settle_amendment(proposal["id"], old, True))
    alone = mine[0].proposal(mine[0].settle_amendment(proposal["id"], old, False)["alternative"])
    assert (alone["text"], alone["policy"]) == ("Some of it.", proposal["policy"])
    assert mine[0].proposal(proposal["id"])["policy"] == taken["effect"]["policy"]
    back = mine[1].amend(mine[0].proposal(proposal["id"]), **ADOPT)
    mine[0].settle_amendment(proposal["id"], back["id"], True)
    now = mine[0].proposal(proposal["id"])
    assert now["policy"] == now["first_effect"]["policy"] == proposal["policy"], "who signed at first signs anew, though it is the same again"
    page = window(service, mine[2]._person.receipt).get(f"/r/collectives/{mine[0].id}/proposals/{proposal['id']}").text
    assert "must sign again" in page and "What was changed since it was put up" not in page


def test_short_before_the_vote_another_effect_is_taken_over_no_more_and_nobody_has_signed_for_it(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 3, template=None)
    first = mine[0].propose("policy.adopt", "Some of it.", **ADOPT)
    mine[1].sign(first["id"])
    other = mine[1].amend(first, **SAFETY)
    service.clock.offset += timedelta(days=11, minutes=-1)
    before = mine[1].proposal(first["id"])
    assert (before["petition"], before["first_effect"]) == (2, None)
    mine[0].settle_amendment(first["id"], other["id"], True)
    now = mine[1].proposal(first["id"])
    assert (now["petition"], now["first_effect"]) == (1, {"policy": first["policy"], "charter": None}), "who signed for other terms signs anew"
    author = window(service, mine[0]._person.receipt)
    base = f"/r/collectives/{mine[0].id}/proposals/{first['id']}"
    assert "must sign again" in author.get(base).text
    reader, read_ = window(service, mine[2]._person.receipt), {"sign": "yes", "effect": first["effect_sha256"]}
    assert f'name="effect" value="{now["effect_sha256"]}"' in reader.get(base).text
    assert reader.post(base + "/petition", data=read_).status_code == 409, "a page that was loaded before"
    refuses("text_changed", lambda: mine[1].sign(first["id"], first["effect_sha256"]))
    mine[1].sign(first["id"], now["effect_sha256"])
    late, text = mine[2].amend(now, policy={"template": "nothing-new"}), mine[2].amend(now, "Some of it, said better.")
    assert "Take this<" in author.get(base + "/amendments").text
    service.clock.offset += timedelta(minutes=1)
    found = refuses("too_late_to_change", lambda: mine[0].settle_amendment(first["id"], late["id"], True))
    before_freeze = datetime.fromisoformat(now["freeze_at"]) - datetime.fromisoformat(found.document["since"])
    assert found.status == 409 and timedelta(days=3) <= before_freeze < timedelta(days=3, seconds=1)
    page = author.get(base + "/amendments").text
    assert page.count("What a yes brings stays as it is now") == 2, "beside what is open, and at the form"
    assert "Take this<" not in page and "Take this text<" in page
    mine[0].settle_amendment(first["id"], text["id"], True)
    opened = mine[1].proposal(first["id"])
    assert (opened["effect_sha256"], opened["petition"]) == (now["effect_sha256"], 2), "other words leave the effect and who signed"
    assert pass_days(service, mine[0], first["id"], 3)["state"] == "ballot"
    alone = mine[0].proposal(next(one["alternative"] for one in mine[0].amendments(first["id"]) if one["id"] == late["id"]))
    assert alone["policy"] == late["effect"]["policy"], "it is decided by itself"


def test_pages_show_what_is_changed_of_terms_and_rules_line_by_line(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    author, other = (window(service, one._person.receipt) for one in mine)
    terms = mine[0].propose("policy.adopt", "Some.", **SAFETY)
    rules = mine[0].propose("charter.amend", "New.", charter={**CHARTER, "aim": "First aim. Same.", "load": 9})
    for proposal, form in (
        (terms, {"choose": "nothing-new"}),
        (rules, {"aim": "Second aim. Same.", "eligibility": "open", "values": "", "tenure_days": "0", "discussion_days": "7", "ballot_days": "7",
                 "appeal_days": "7", "load": "10"}),
    ):  # fmt: skip
        base = f"/r/collectives/{mine[0].id}/proposals/{proposal['id']}"
        page = other.get(f"{base}/amendments").text
        assert f'name="base_effect" value="{proposal["effect_sha256"]}"' in page and ("Other terms too" in page) == (proposal is terms)
        sent = {"text": proposal["text"], "base": proposal["text_sha256"], "base_effect": proposal["effect_sha256"], **form}
        shown = other.post(f"{base}/amendments", data=sent)
        assert shown.status_code == 200 and "The text stays as it is." in shown.text and "<del>" in shown.text and "<ins>" in shown.text, shown.text
        [filed] = mine[0].amendments(proposal["id"])
        taken = author.post(f"{base}/amendments/{filed['id']}/decision", data={"accept": "yes"})
        assert "Taken: it is the text now." in taken.text
        page = other.get(base).text
        assert "What was changed since it was put up" in page
        assert mine[0].proposal(proposal["id"])["effect_sha256"] != proposal["effect_sha256"]
        page_of_all = other.get(f"{base}/amendments").text
        assert "What it changed when it was written:" in page_of_all and "<del>" in page_of_all and "<ins>" in page_of_all, "also once it is taken"
    assert "<del>First aim.</del>" in page and "<ins>Second aim.</ins>" in page and "<del>At most 9 votes begin in 30 days.</del>" in page
    assert mine[0].proposal(rules["id"])["charter"]["load"] == 10
    then = mine[1].amend(mine[0].proposal(rules["id"]), "Newer.", charter={**CHARTER, "aim": "Third aim. Same.", "load": 10})
    alone = mine[0].settle_amendment(rules["id"], then["id"], False)["alternative"]
    entry = other.get(f"{base}/amendments").text.partition(f'id="{then["id"]}"')[2]
    assert "<del>Second aim.</del>" in entry and "First aim" not in entry, "beside what was there when it was written"
    page_of_it = other.get(f"/r/collectives/{mine[0].id}/proposals/{alone}").text.partition("What differs from that proposal")[2]
    for what in ("<del>New.</del>", "<ins>Newer.</ins>", "<del>Second aim.</del>", "<ins>Third aim.</ins>"):
        assert what in page_of_it
    last = mine[1].amend(mine[0].proposal(rules["id"]), charter={**CHARTER, "aim": "Last aim.", "load": 10})
    mine[0].settle_amendment(rules["id"], last["id"], True)
    with write(service.runtime.engine) as session:  # who wrote what was there before is erased
        session.delete(session.get_one(Words, f"{filed['id']}/effect"))
    assert other.get(f"{base}/amendments").text.count("What was there before is gone, or hidden.") == 2
    opened = pass_days(service, mine[0], terms["id"], 14)
    page = other.get(f"/r/collectives/{mine[0].id}/proposals/{terms['id']}").text
    assert opened["state"] == "ballot" and "<details open><summary>What was changed" in page and page.count("<ins>") >= 1
