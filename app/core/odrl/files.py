"""What the command line does, over bytes: validate a policy, decide a request, compare an offer with a request."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from app.core.odrl.building import Built, Link, build_policies, in_any_unit, incomplete, links_of, only_policy
from app.core.odrl.comparing import compare_policies
from app.core.odrl.deciding import Decider, DutyMode, read_request
from app.core.odrl.graph import Graph, read_graph
from app.core.odrl.inheritance import lineage, merged
from app.core.odrl.limits import MAX_FILES, Finding, OdrlError, too_large
from app.core.odrl.model import Policy
from app.core.odrl.profile import translated
from app.core.odrl.reading import read_json
from app.core.odrl.state import State, read_state

File = tuple[str, bytes]
"""A name, for messages, and the bytes."""


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Refusals inside name the file."""
    try:
        yield
    except OdrlError as error:
        error.file = error.file or name
        raise


def _built(
    files: Sequence[File], profiles: Iterable[str], problems: list[tuple[str, OdrlError]] | None = None
) -> list[tuple[str, list[Built]]]:
    if len(files) > MAX_FILES:
        raise too_large("files", MAX_FILES)
    graphs: list[tuple[str, Graph]] = []
    links: list[Link] = []
    for number, (name, data) in enumerate(files, 1):
        with _naming(name):
            document = read_json(data)
            unread: list[OdrlError] | None = None if problems is None else []
            try:
                graph = read_graph(translated(document), unread, number)
                links += links_of(graph)
            except OdrlError as error:
                if problems is None or error.code == "odrl_too_large":
                    raise
                problems.append((name, error))
                continue
            graphs.append((name, graph))
            if problems is not None:
                problems += [(name, error) for error in unread or ()]
    found = []
    for name, graph in graphs:
        with _naming(name):
            found.append((name, build_policies(graph, profiles, links)))
    return found


def _chosen(found: list[tuple[str, list[Built]]], what: str) -> tuple[str, Policy, list[tuple[str, Finding]]]:
    """The policy meant: the one that no other inherits from; if there are several, the first file's.

    With the file that it is in, and what was found wrong with it and with those that it inherits from, each with its file.
    """
    everything = [built for _, listed in found for built in listed]
    inherited = {parent for built in everything for parent in built.policy.parents}
    first = next(((n, listed) for n, listed in found if any(b.policy.uid not in inherited for b in listed)), found[0])
    with _naming(first[0]):
        root = only_policy([one for one in first[1] if one.policy.uid not in inherited] or first[1], what)
        policy = merged(root, everything)
    line = {id(one) for one in lineage(root, everything)}
    return (
        first[0], policy,
        [(name, finding) for name, listed in found for built in listed if id(built) in line for finding in built.findings],
    )  # fmt: skip


def read_policy(files: Sequence[File], profiles: Iterable[str] = (), what: str = "policy") -> Policy:
    """The policy of the files with all that it inherits. Raises OdrlError, which names the file."""
    return _chosen(_built(files, profiles), what)[1]


def read_facts(file: File | None) -> State:
    """The state of a file; without one nothing is known."""
    if file is None:
        return State()
    with _naming(file[0]):
        return read_state(read_json(file[1]))


def validate(files: Sequence[File], profiles: Iterable[str] = ()) -> dict[str, Any]:
    """{"valid", "policy", "type", "rules", "problems": [{severity, code, why, where, file, …}]}; only an "error" is invalid.

    Raises OdrlError where a file is no JSON, too large, or holds no policy to speak of.
    """
    unread: list[tuple[str, OdrlError]] = []
    found = _built(files, profiles, unread)
    listed = [(name, Finding("error", error, fatal=True)) for name, error in unread]
    listed += [(name, finding) for name, group in found for built in group for finding in built.findings]
    policy: Policy | None = None
    name, uid, kind = files[0][0], None, None
    try:
        if not found:
            raise unread[0][1]
        name, policy, _ = _chosen(found, "policy")
        uid, kind = policy.uid, policy.type
        # What could not be read is not missing as well.
        told = tuple(error.where for _, error in unread)
        lacking = (one for one in incomplete(policy) if not any(at.startswith(one.error.where + "/") for at in told))
        listed += [(name, finding) for finding in lacking]
    except OdrlError as error:
        if error.code == "odrl_policy_missing" and not unread:
            raise
        if not any(finding.error is error for _, finding in listed):
            listed.append((error.file or name, Finding("error", error, fatal=True)))
    return {
        "valid": not any(finding.severity == "error" for _, finding in listed),
        "policy": uid,
        "type": kind,
        "rules": len(policy.rules) if policy else None,
        "problems": [{**finding.to_json(), "file": file} for file, finding in listed],
    }


def evaluate(
    files: Sequence[File], request: File, state: File | None, mode: DutyMode = "strict", profiles: Iterable[str] = ()
) -> dict[str, Any]:
    """The report of `deciding.Decider`, with `notes`: how what goes against the Information Model was read.

    Raises OdrlError: whatever of the three cannot be read, with its file.
    """
    name, policy, findings = _chosen(_built(files, profiles), "policy")
    facts = read_facts(state)
    findings += [(name, finding) for finding in (*incomplete(policy), *in_any_unit(policy, facts))]
    with _naming(request[0]):
        asked = read_request(read_policy([request], profiles, "request"))
    report = Decider(policy, facts, mode).decide(asked)
    return {**report, "notes": [{**finding.to_json(), "file": file} for file, finding in findings]}


def compatible(
    offer: Sequence[File], request: Sequence[File], state: File | None = None, profiles: Iterable[str] = ()
) -> dict[str, Any]:
    """The comparison of `comparing.compare_policies`. Raises OdrlError, which names the file."""
    one, other = read_policy(offer, profiles, "offer"), read_policy(request, profiles, "request")
    return compare_policies(one, other, read_facts(state))
