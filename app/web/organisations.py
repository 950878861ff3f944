"""The words of the public pages for what organisations are and did; the log itself has them as types and states."""

from typing import Any

from markupsafe import Markup

from app.web.saying import Said, say

KINDS = {"academic": say("academic"), "company": say("company"), "government": say("government"), "nonprofit": say("nonprofit")}
"""Of labs."""
RECALLS = {
    "notified": say("Recalls: notified"), "acknowledged": say("Recalls: acknowledged"), "attested": say("Recalls: attested"),
    "cannot_remove": say("Recalls: cannot remove"),
}  # fmt: skip
"""By state."""
DELETIONS = {"attested": say("Releases deleted after their time"), "cannot_remove": say("Releases that it cannot delete")}
"""By what the lab said of them."""
ACTS: dict[str, Said] = {
    "agreement.signed": say("agreement signed"), "release.cut": say("release cut"), "release.delivered": say("release delivered"),
    "label.added": say("label added"), "label.lifted": say("label lifted"), "refusal.replied": say("lab replied to a refusal"),
    "refusal.reply-erased": say("reply taken back"), "collective.use-refused": say("collective use refused"),
    "use.disputed": say("use report disputed"),
    "admin.reply-hidden": say("admin reply hidden"), "admin.reply-restored": say("admin reply restored"),
    "admin.dispute-hidden": say("admin dispute hidden"), "admin.dispute-restored": say("admin dispute restored"),
    "request.offered": say("request offered"), "request.refused": say("request refused"),
    "request.in-review": say("request in review"), "offer.amended": say("offer amended"),
    "recall.opened": say("recall opened"), "recall.acknowledged": say("recall acknowledged"), "recall.attested": say("recall attested"),
    "recall.cannot-remove": say("recall cannot remove"), "recall.overdue": say("recall overdue"), "deletion.attested": say("deletion attested"),
    "deletion.cannot-remove": say("deletion cannot remove"), "deletion.overdue": say("deletion overdue"), "use.reported": say("use reported"),
    "use.breached": say("use breached"), "report.overdue": say("report overdue"), "compensation.due": say("compensation due"),
    "compensation.paid": say("compensation paid"),
    "collective.founded": say("collective founded"), "collective.charter-amended": say("collective charter amended"),
    "collective.policy-set": say("collective policy set"), "collective.lab-refused": say("collective lab refused"),
    "collective.lab-readmitted": say("collective lab readmitted"), "ballot.opened": say("ballot opened"), "outcome.decided": say("outcome decided"),
    "openings.handed-over": say("opened votes handed to who counts again"),
    "collective.strike-called": say("collective strike called"), "collective.strike-ended": say("collective strike ended"),
    "collective.term-ended": say("collective term of a steward ended"), "petition.failed": say("petition failed"),
    "strike.told": say("holders told of a strike"), "campaign.reached": say("campaign reached"), "campaign.not-reached": say("campaign not reached"),
    "admin.platform-added": say("admin platform added"), "admin.platform-secret-changed": say("admin platform secret changed"),
    "admin.lab-added": say("admin lab added"), "admin.lab-verified": say("admin lab verified"), "admin.lab-blocked": say("admin lab blocked"),
    "admin.lab-unblocked": say("admin lab unblocked"), "admin.floor-set": say("admin floor set"), "admin.default-set": say("admin default set"),
    "admin.wording-added": say("admin wording added"), "admin.restored": say("admin restored"),
    "admin.withdrawn-by-text": say("admin withdrawn by text"), "admin.exported": say("admin exported"),
    "admin.eligibility-issued": say("admin eligibility issued"), "admin.ingest-key-added": say("admin ingest key added"),
    "admin.ingest-key-revoked": say("admin ingest key revoked"), "admin.ingest-key-secret-set": say("admin ingest key secret set"),
    "admin.site-key-added": say("admin site key added"), "admin.site-key-revoked": say("admin site key revoked"),
    "proposal.postponed": say("proposal postponed"),
    "alternative.opened": say("alternative opened"), "appeal.decided": say("appeal decided"), "appeal.undecided": say("appeal undecided"),
    "collective.use-recalled": say("collective use recalled"),
    "collective.use-renewed": say("collective use renewed"), "collective.outcome-voided": say("collective outcome voided"),
    "collective.use-granted": say("collective use granted"), "request.commented-on": say("request commented on"),
    "request.explained": say("request explained"), "request.put-to-vote": say("request put to vote"), "thread.hidden": say("thread hidden"),
    "thread.restored": say("thread restored"), "thread.undecided": say("thread undecided"), "thread.upheld": say("thread upheld"),
    "key.added": say("key added"), "key.revoked": say("key revoked"), "key.epoch-begun": say("key epoch begun"),
    "key.epoch-destroyed": say("key epoch destroyed"),
}  # fmt: skip
"""By type of the leaf."""


def act(kind: str) -> Any:
    """What an act was. One without words here is told by its type, which is English."""
    return ACTS.get(kind) or Markup('<span lang="en" dir="ltr">%s</span>') % kind.replace(".", " ").replace("-", " ").replace("_", " ")
