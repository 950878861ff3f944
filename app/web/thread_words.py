"""The words of the pages for what is said around a proposal and what is pledged; services and log have them as codes."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from app.web.saying import Said, say

REASONS = {
    "aim": say("what we are here for"), "benefit": say("who gains"), "clarity": say("it is not clear"), "cost": say("what it costs"),
    "evidence": say("the facts"), "fairness": say("is it fair"), "harm": say("the harm it does"), "privacy": say("our privacy"),
    "process": say("how we decide"), "question": say("a question"), "scope": say("how far it goes"), "support": say("I am for it"),
}  # fmt: skip
"""What a comment is about."""
HIDING = {
    "abuse": say("it insults or threatens"), "duplicate": say("it was said before"), "elsewhere": say("it was hidden where it came from"),
    "off-topic": say("it is about something else"), "personal-data": say("it tells who somebody is"), "spam": say("it is an ad, or noise"),
    "unlawful": say("it breaks the law"),
}  # fmt: skip
"""Why something is hidden."""
MOVED = {
    "answers-wanted": say("answers are still to come"), "away": say("many of us are away"), "clash": say("too many votes at once"),
    "facts-wanted": say("facts are still to come"), "more-to-read": say("there is a lot to read"),
}  # fmt: skip
"""Why a steward has a vote begin later."""
MODERATED = {
    "hidden": say("hidden"), "appealed": say("hidden; somebody appealed, and a steward will decide"),
    "undecided": say("hidden; somebody appealed, and nobody decided yet"), "upheld": say("hidden; a second steward looked, and it stays so"),
    "restored": say("shown again after an appeal"),
}  # fmt: skip
"""What became of something that was hidden."""
ITEMS = {
    "statement": say("A statement"), "comment": say("A comment"), "amendment": say("Another text"), "answer": say("An answer"),
    "closure-note": say("A closing note"), "appeal": say("An appeal of a closing note"),
}  # fmt: skip
"""What can be hidden."""
GROUNDS = {
    "argument-missing": say("the best point against it is missing"), "closer-involved": say("who wrote it had a part in it"),
    "note-misleading": say("it tells it wrong"),
}  # fmt: skip
"""Why a closing note is appealed."""
APPEALS = {
    "open": say("A steward will decide on the appeal."), "undecided": say("Nobody decided on the appeal yet."),
    "upheld": say("The appeal was right. The note no longer counts; the result stays."),
    "dismissed": say("The appeal was turned down. The note stays."),
}  # fmt: skip
"""What became of an appeal of the note."""
LABELS = {
    "unanswered": say("Who proposed the text left some statements unanswered."), "no-closure-note": say("Nobody wrote a closing note."),
    "closed-from-outside": say("A steward of another group wrote the closing note."), "appealed": say("The closing note is appealed."),
    "note-struck": say("A closing note was struck out after an appeal."),
    "voided": say("A later vote made it void."), "changed": say("It was changed after the vote began, so nothing follows from it."),
}  # fmt: skip
"""What is to be said beside the result."""
AMENDED = {
    "open": say("Waits for who proposed it."), "accepted": say("Taken: it is the text now."),
    "alternative": say("It goes to a vote of its own."),
}  # fmt: skip
"""What became of another text."""
MIRROR = {
    "too-few-people": say("There is no picture: too few people voted there. It takes fifty who each said something on seven statements."),
    "too-many-people": say("There is no picture: too many people voted for us to draw it while you wait."),
    "too-large": say("There is no picture: there are too many votes for us to draw it while you wait."),
    "no-groups": say("There is no picture: we found no groups."),
    "unstable": say("There is no picture: it came out new each time we drew it. So we do not show it."),
    "group-too-small": say("There is no picture: one group was so small that it would tell who is in it."),
}  # fmt: skip
"""Why there are no opinion groups to be seen."""
ACTIONS = {
    "withdraw": say("take back what they got, so that it must be deleted"), "pause": say("give them nothing more until a day"),
    "refuse_new": say("give them nothing of what I make from then on"), "divert": say("give what I made to others, under terms that we choose now"),
}  # fmt: skip
"""What pledges do, in the words of one who pledges."""
CAMPAIGNS = {
    "open": say("Open for pledges."), "reached": say("Enough pledged. They acted together."),
    "not_reached": say("Too few pledged. Nobody did anything."), "not_called": say("The group did not call it in time. Nobody did anything."),
    "set_back": say("Ended by us: our records had to be put back to an earlier day."),
}  # fmt: skip
"""How a campaign stands; `not_called` where its pledges waited for a call that did not come, `set_back` where a restore ended it."""


def of(words: Mapping[str, Said], code: str) -> Any:
    """What a code is called. One without words here is told as it is, which is English."""
    return words.get(code) or Markup('<span lang="en" dir="ltr">%s</span>') % code.replace("_", " ").replace("-", " ")


def held(stability: int) -> Said:
    """How well a picture of groups holds, given the lowest likeness of two drawings in hundredths."""
    if stability >= 95:
        return say("The picture is firm: it came out almost the same each time.")
    if stability >= 80:
        return say("The picture is fairly firm: most people were in the same group each time.")
    return say("The picture does not hold: people changed groups from one time to the next.")
