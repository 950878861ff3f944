"""Kinds of refusal -> HTTP status -> RFC 9457 problem documents. The one place that decides both.

`CODES` is the published list (openapi/problems.md); a refusal whose code is not in it fails the test suite.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.kit.errors import DomainError

STATUS = {
    "malformed": 400, "unauthorised": 401, "forbidden": 403, "not_found": 404, "not_acceptable": 406, "conflict": 409, "gone": 410,
    "too_large": 413, "media_type": 415, "invalid": 422, "too_many": 429, "unavailable": 503,
}  # fmt: skip

CODES: dict[str, str] = {
    # reading a body
    "body_too_large": "The body is larger than this service takes.",
    "json_invalid": "The body is not JSON as RFC 8259 defines it.",
    "json_not_utf8": "The body is not UTF-8.",
    "json_bom": "The body starts with a byte-order mark.",
    "json_duplicate_key": "An object in the body has the same key twice.",
    "json_not_finite": "The body holds NaN or Infinity, which JSON does not have.",
    "json_lone_surrogate": "A string in the body holds half a surrogate pair.",
    "json_too_deep": "The body is nested too deeply.",
    "json_number": "A number outside `parts` is fractional or beyond 2^53 - 1.",
    "media_type": "The Content-Type is not the one this route reads.",
    "form_invalid": "The urlencoded body could not be read.",
    "body_invalid": "A field is missing, unknown or of the wrong form; see `errors`.",
    "parameter_invalid": "A path, query or header value is of the wrong form; see `errors`.",
    "id_invalid": "An id is not of the form this service gives.",
    "cursor_invalid": "The cursor is not one that this list gave.",
    "not_acceptable": "This address has none of the forms that were asked for.",
    "method_not_allowed": "This address does not take that method.",
    "not_found": "There is nothing at this address for this caller.",
    "receipts_too_many": "So many receipts open this already that no further one is made.",
    "console_ended": "A lab's pages are opened by a link of its own.",
    # who is calling
    "token_missing": "The request carries no credential.",
    "dpop_missing": "The token is bound to a key and was sent without a proof of it (RFC 9449).",
    "invalid_dpop_proof": "The DPoP proof is not one for this request (RFC 9449 section 4.3).",
    "use_dpop_nonce": "The DPoP proof needs a nonce of this service (RFC 9449 section 8).",
    "token_invalid": "The credential is unknown, expired or revoked.",
    "token_wrong_party": "This route is for another kind of caller.",
    "invalid_client": "The client could not be authenticated (RFC 6749 section 5.2).",
    "invalid_request": "The token request is not complete (RFC 6749 section 5.2).",
    "unsupported_grant_type": "Only client_credentials is granted here (RFC 6749 section 5.2).",
    "unauthorized_client": "This client may not use that grant (RFC 6749 section 5.2).",
    "invalid_grant": "The token is another client's (RFC 7009 section 2.1).",
    "unsupported_token_type": "There are access tokens here and no others (RFC 7009 section 2.2.1).",
    "invalid_scope": "There are no scopes to ask for (RFC 6749 section 5.2).",
    "assertion_replayed": "The client assertion was used before.",
    "party_exists": "A party of that name exists already.",
    "key_invalid": "The public key is not one this service takes.",
    "application_invalid": "The lab's application is not one that can be looked at.",
    "application_settled": "The application was settled before.",
    "applications_full": "Too many applications wait for the operator.",
    "delegation_invalid": "The delegation of a key is not one that counts.",
    "key_not_yours": "This key of the lab cannot be ended with the key that asks.",
    "jwks_uri_refused": "The address of the keys is not one that this service asks.",
    "campaign_invalid": "The campaign is not one that can be opened.",
    "campaign_over": "The campaign is over.",
    "strike_invalid": "The strike is not one that can be called.",
    "not_urgent": "This decision is not one that can be taken in shorter time.",
    "divert_too_many": "The pledge is about more contributions than one pledge diverts.",
    "nothing_to_pledge": "Nothing of this person's could be taken part with.",
    "webhook_address_refused": "The address for events is not one that this service asks.",
    "webhook_challenge_failed": "The address for events did not repeat what it was sent.",
    "push_address_refused": "The address for events is not one that this service asks.",
    "jwks_unreadable": "No keys could be read at that address.",
    "rate_limited": "The client calls more often than this service allows.",
    # once only
    "idempotency_key_reused": "The Idempotency-Key was used with another body.",
    "idempotency_in_flight": "A request with this Idempotency-Key is still being worked on.",
    "idempotency_key_invalid": "The Idempotency-Key is longer than 128 printable ASCII characters.",
    # policies and consent
    "policy_unknown": "No policy has that digest here.",
    "policy_unknown_term": "The policy uses a term that the profile does not have.",
    "policy_invalid": "The policy is not of the profile's form.",
    "policy_too_large": "The policy is larger than the profile allows.",
    "policy_never_permits": "A permission of the policy can never take effect.",
    "policy_unknown_template": "There is no template of that name.",
    "policy_bad_parameter": "A template parameter has a value it does not take.",
    "policy_unknown_parameter": "The template has no parameter of that name.",
    "policy_missing_parameter": "The template needs a parameter that was not given.",
    # standard ODRL, on the command line
    "odrl_file_unreadable": "The file could not be opened.",
    "odrl_too_large": "The document is larger than is read; `limit` says which limit.",
    "odrl_jsonld_unsupported": "The document uses a part of JSON-LD that policies have no use for.",
    "odrl_context_unknown": "The document names a JSON-LD context that is not bundled; nothing is fetched.",
    "odrl_term_unknown": "The document uses a name that ODRL 2.2 does not have.",
    "odrl_iri_invalid": "An IRI is not absolute, or not ASCII.",
    "odrl_value_invalid": "A value is not of its data type, or out of range.",
    "odrl_type_wrong": "A thing is of a class that has no place there.",
    "odrl_property_missing": "Something that ODRL 2.2 asks for is missing.",
    "odrl_property_repeated": "Something that ODRL 2.2 takes once is there several times.",
    "odrl_property_unexpected": "A property stands where ODRL 2.2 has no place for it.",
    "odrl_property_unread": "A property of another vocabulary is not read; what it says changes no decision.",
    "odrl_reference_unread": "A value is only referred to, and nothing is fetched.",
    "odrl_action_unplaced": "Of what a prohibited action is part is not known, so it may concern whatever is asked for.",
    "odrl_status_unread": "The status of a constraint is not looked at; the state of the world says how things stand.",
    "odrl_unit_unread": "A constraint names a unit, and the value that it is compared with none.",
    "odrl_conflict_unset": "Permissions and prohibitions may meet, and nothing says which win.",
    "odrl_cycle": "A logical constraint contains itself.",
    "odrl_profile_unknown": "The policy needs a profile that is not known here.",
    "odrl_replaced": "The policy was replaced by another.",
    "odrl_inherit_unknown": "A policy inherits from one that was not given.",
    "odrl_inherit_cycle": "A policy inherits from itself.",
    "odrl_policy_missing": "The document holds no policy, or no request.",
    "odrl_policy_ambiguous": "The document holds more than one policy.",
    "odrl_request_invalid": "The request does not ask for one action on one asset by one party.",
    "odrl_state_invalid": "The state of the world is not of its form.",
    "intent_unknown": "The consent intent is unknown, used or expired.",
    "site_key_unknown": "No site key is like that, or it was revoked.",
    "origin_unlisted": "The site key does not list the origin that this comes from.",
    "origin_invalid": "An origin is not one that a site key can list.",
    "choices_invalid": "The choices are not ones that the widget can show.",
    "choice_unknown": "The site key has no choice under that wording.",
    "consent_incomplete": "An explicit or notice consent needs the wording digest, its language and when it was shown.",
    "consent_wider_needs_claim": "Only a claimed receipt can widen what is allowed.",
    "wording_unknown": "No wording with that digest is registered here.",
    "wording_invalid": "The wording is empty or not UTF-8.",
    "wording_too_large": "The wording is longer than this service keeps.",
    # contributions and claims
    "name_too_long": "A name is longer than 200 characters.",
    "leaf_too_long": "The act does not fit into a leaf of the public log.",
    "kind_unknown": "There is no such kind of contribution.",
    "part_unknown": "There is no such part.",
    "parts_missing": "A contribution needs at least one part.",
    "parent_unknown": "The parent is not a contribution of this platform.",
    "external_id_conflict": "That external id was recorded before with other bytes.",
    "contribution_gone": "That contribution was erased and is not recorded again.",
    "contributor_refused": "That person was erased and asked not to be recorded again.",
    "record_too_large": "One contribution is larger than this service takes.",
    "batch_empty": "The batch holds no line.",
    "batch_too_long": "The batch holds more lines than are taken at once.",
    # lines that outside systems send
    "ingest_key_unknown": "No ingest key is like the one in the address, or it was revoked.",
    "webhook_unproved": "The webhook does not prove that it comes from the tool that the key was made for.",
    "refused_line_unknown": "There is no such refused line, or its content is no longer kept.",
    # importing files
    "format_unknown": "There is no adapter of that name.",
    "format_mismatch": "A record of the file is not what the format's adapter reads.",
    "mapping_invalid": "The mapping file of the generic adapter cannot be used.",
    "source_too_long": "A record of the file is longer than an import takes.",
    "text_not_utf8": "The file, or a line of it, is not UTF-8.",
    "csv_invalid": "A row of the file is not CSV (RFC 4180) of as many cells as there are columns.",
    "file_unreadable": "The file cannot be opened or written, or not read twice.",
    "file_damaged": "The packed file does not unpack to its end.",
    "file_too_dense": "The packed file unpacks to far more than texts do.",
    "format_not_written": "The format is not written back, or not in that shape.",
    "nothing_to_export": "Nothing of that format is here to be written back.",
    "export_several": "What was imported as several files cannot be written as one.",
    "claim_unknown": "There is no such claim link.",
    "claim_expired": "The claim link has expired.",
    "claim_already_redeemed": "The claim link was used before.",
    "receipt_scope": "This receipt covers one contribution and cannot act on more.",
    "erasure_unknown": "There is no erasure of that id.",
    "ids_missing": "The receipt covers more than one contribution and none was named.",
    "already_withdrawn": "There is nothing left to withdraw.",
    "recovery_code_mistyped": "What was typed cannot be a recovery code: it does not agree with its own check.",
    "recovery_code_unknown": "No recovery code is like that, or it was used or ended.",
    "text_unmatched": "Nothing that can be withdrawn has exactly that text on that day.",
    "text_ambiguous": "Another number of people than said gave exactly that text on that day.",
    "objection_stands": "The contribution has an objection that stands.",
    "objection_withdrawn": "The objection was withdrawn before.",
    "csrf": "The form was not sent from this service's own page.",
    # passkeys
    "passkey_needed": "This needs your passkey.",
    "passkey_unknown": "This passkey is not one that you added here.",
    "passkey_invalid": "What came from your passkey does not hold.",
    "passkey_wrong_site": "The passkey was used on another site.",
    "passkey_other_act": "The passkey was used for something else.",
    "passkey_unverified": "Your device did not check that it was you.",
    "passkey_expired": "The five minutes to use your passkey are over.",
    "passkey_used": "This was done with your passkey before.",
    "passkey_count": "Your passkey counts backwards, as a copy of it would.",
    "passkeys_too_many": "So many passkeys are here already that no further one is added.",
    # collectives
    "effect_fixed": "An amendment cannot change what this kind of proposal would do.",
    "charter_overdue": "The charter must be reviewed first: its day is over. Until then no vote begins that would allow more.",
    "charter_invalid": "The charter cannot be used; `errors` or the sentence says why.",
    "recounter_key": "The key of a recounter is not one that can be sealed to.",
    "group_unknown": "The charter has no such group to declare.",
    "eligibility_missing": "The collective takes members with an eligibility code only.",
    "eligibility_invalid": "The eligibility code cannot be used here.",
    "already_member": "This contributor is a member already.",
    "mandate_too_long": "A mandate ends within twelve months, and not before tomorrow.",
    "mandate_policy_changed": "The collective's policy is another than the one that was read.",
    "mandate_ended": "The mandate has ended.",
    "no_voice_yet": "A member has no voice before their tenure is over.",
    "renewal_late": "What a lab is granted ends before a vote on it could be over.",
    "outcome_final": "The outcome was counted more than a year ago.",
    "person_named": "The text names a member, and it is to name nobody.",
    "proposal_invalid": "The proposal lacks what its type needs, or has what it does not take.",
    "policy_not_narrower": "The policy allows something that the collective's policy in force does not.",
    "proposal_state": "The proposal is in another state.",
    "not_elector": "This member has no vote on the proposal.",
    "reasons_missing": "A no or a block gives its reasons.",
    "text_changed": "The text that is voted on is another than the one that was read.",
    "report_too_long": "A minority report has at most 2,000 words.",
    "cohort_too_small": "Fewer than ten people would get the call.",
    "collective_not_public": "A call asks people into a public group alone.",
    "calls_open": "As many calls of this person stand as may at once.",
    # deliberating
    "thread_frozen": "The thread around the proposal is frozen; nothing is added to it.",
    "statements_closed": "Statements are taken until three days before the freeze.",
    "dissents_full": "This member said as often as one may what speaks against the proposal.",
    "statements_full": "So many statements were put up that no further one is taken.",
    "thread_full": "So much was said or proposed that nothing further is taken.",
    "own_report": "Whoever wrote a minority report is not among its supporters.",
    "own_statement": "Whoever put a statement up agrees with it.",
    "item_hidden": "It is hidden.",
    "reason_unknown": "The reason is not one of the closed list.",
    "comment_too_deep": "Comments have one level of replies.",
    "load_spent": "This member has asked as much of the others as they may for now.",
    "votes_spent": "So many votes were changed today that they stand until tomorrow.",
    "not_proposer": "Who proposed it does that.",
    "not_steward": "A steward does that.",
    "steward_involved": "A steward who has a part in it neither hides, appeals, decides nor moves its day.",
    "day_fixed": "The day of this vote cannot be moved.",
    "day_invalid": "The day of the vote is not one that it can be moved to.",
    "moderation_settled": "It was restored after an appeal, and is not hidden again by the same steward.",
    "answer_exists": "Somebody else answered the statement.",
    "appeal_settled": "There is no appeal to be made or decided.",
    "too_late_to_change": "So short before the vote what a yes brings about is changed no more.",
    "amendment_settled": "The amendment was settled before.",
    "closer_involved": "Whoever had a part in the proposal does not close it.",
    "member_uninvolved": "A member who had no part in it can close the proposal.",
    "closure_uncited": "A closure note names the strongest argument against.",
    "closure_exists": "The outcome has a closure note.",
    "polis_invalid": "The files are no Polis export that can be read.",
    "polis_again": "A Polis export was imported on this proposal before.",
    "dissent_changed": "Dissent was added since the offer was made; the terms cannot be signed without it.",
    "reply_too_long": "A reply to a refusal has at most 500 words.",
    "reply_exists": "The refusal was replied to before.",
    "reply_closed": "The seven days in which a refusal can be replied to are over.",
    # the exchange
    "dry_runs_spent": "The lab has asked for as many quotes today as it may.",
    "use_invalid": "The use asked for is not of the profile's form.",
    "ratings_only": "The selection takes judgments without the critiques, objections and refusals of the same items.",
    "selection_empty": "Nothing matches the selection.",
    "offer_expired": "The offer can no longer be signed.",
    "offer_not_open": "The offer was signed or superseded.",
    "signature_invalid": "The signature does not verify over the offer's bytes under the key it names.",
    "signature_wrong_key": "The signature is not by the key that the offer names.",
    "signature_wrong_payload": "What was signed are not the offer's bytes.",
    "agreement_not_in_force": "The agreement is suspended or ended.",
    "release_not_published": "The release is not published.",
    "release_not_cutting": "Only a release that is being cut can be cancelled.",
    "request_not_in_review": "The request does not wait for a review.",
    "report_invalid": "The use report is not of its form, or says other than what it comes with.",
    "release_expired": "A permission in the release, or its agreement, has ended.",
    "release_deleted": "The lab said that it deleted this release, or that it cannot: it is handed over no more.",
    "deletion_not_owed": "Nothing asks for the deletion of this release after a period.",
    "deletion_state": "What became of the release was answered already, and otherwise.",
    "deletion_outdated": "The statement is older than the newest copy that may have been fetched, so it does not speak of that.",
    "awaiting_checkpoint": "The cut is not yet under a published checkpoint.",
    "ticket_invalid": "The delivery ticket is unknown, expired, revoked or for another release.",
    "shard_gone": "A record in this shard was withdrawn; the shard is gone for good.",
    "range_invalid": "The range cannot be served.",
    "compensation_not_due": "What is owed is not due yet, so it cannot be missing.",
    "recall_state": "The recall cannot go from its state to that one.",
    "lab_blocked": "Nothing new goes to this lab while a recall, deletion or report is overdue, its verification has lapsed, or it is blocked.",
    # the service
    "unavailable": "The service cannot do this now; try again later.",
    "log_read_only": "The log is behind what was published before: nothing is written until an operator has looked.",
    "journal_unavailable": "The act could not be noted in its second place; nothing was done.",
    "internal": "The service failed; nothing was done.",
}


_DOCUMENT = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "A problem document (RFC 9457). `code` is stable; some codes come with more members.",
        "content": {"application/problem+json": {"schema": _DOCUMENT}},
    }
    for status in ("4XX", "5XX")
}
"""What every route may answer beside its own, for the OpenAPI description."""


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **extra: Any) -> JSONResponse:
    """A problem document (RFC 9457) with the stable `code`. `retry_after` in `extra` becomes the header too."""
    body = {"type": f"urn:sayso:problem:{code}", "title": CODES[code], "status": status, "code": code, "detail": detail}
    body.update({k: v for k, v in extra.items() if v is not None})
    headers = dict(headers or {})
    if "retry_after" in extra:
        headers["Retry-After"] = str(extra["retry_after"])
    if status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def domain_problem(error: DomainError) -> JSONResponse:
    """The problem document of a refusal. `headers` in its extra become response headers."""
    extra = dict(error.extra)
    headers = extra.pop("headers", None)
    return problem(STATUS[error.kind], error.code, error.detail, headers, **extra)


def as_item(error: DomainError) -> dict[str, Any]:
    """A refusal as one item of a batch answer."""
    extra = {k: v for k, v in error.extra.items() if k != "headers"}
    return {"status": STATUS[error.kind], "code": error.code, "detail": error.detail, **extra}


def validation_errors(errors: Any) -> list[dict[str, str]]:
    """Where and why, never what: input is not echoed."""
    listed = []
    for e in errors[:20]:
        where = "/".join(str(p) if isinstance(p, int) else _printable(p) for p in e["loc"])
        listed.append({"where": where, "why": _why(e)})
    return listed


def _why(error: Any) -> str:
    # Messages of custom validators are ours; pydantic's own never repeat the input except for literals' expectations.
    return str(error["msg"]).removeprefix("Value error, ")[:200]


def _printable(part: Any) -> str:
    text = str(part)
    return text if text.isascii() and text.isprintable() and len(text) <= 64 else "(unprintable)"


def install(app: FastAPI) -> None:
    """Register the handlers that turn every failure into a problem document."""

    @app.exception_handler(DomainError)
    async def _domain(request: Request, error: DomainError) -> JSONResponse:
        return domain_problem(error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if errors and errors[0]["loc"] and errors[0]["loc"][0] == "body":
            return problem(
                422, "body_invalid", "Correct the fields listed in `errors`.", errors=validation_errors(errors)
            )
        return problem(
            422, "parameter_invalid", "Correct the values listed in `errors`.", errors=validation_errors(errors)
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return problem(404, "not_found", "Look at the address, and at whose credential this is.")
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            return problem(
                405,
                "method_not_allowed",
                f"Use {allow}." if allow else "Use another method.",
                dict(error.headers or {}),
            )
        if error.status_code == 400:
            return problem(400, "json_invalid", "Send one JSON value in UTF-8.")
        return problem(500, "internal", "Try again; if it stays, tell the operator.")
