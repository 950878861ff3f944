"""Policies, requests and states for the tests of standard ODRL, and short ways to put them together."""

import json

from app.core.odrl.files import compatible, evaluate, validate

CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
EX = "http://example.org/"
NOW = "2024-02-12T11:20:10.999Z"


def limit(left, operator, right, **more):
    return {"leftOperand": left, "operator": operator, "rightOperand": right, **more}


def day(text):
    return {"@value": text, "@type": "xsd:date"}


def rule(action="read", target=EX + "x", assignee=EX + "alice", **more):
    made = {"action": action, "target": target, "assignee": assignee, **more}
    return {key: value for key, value in made.items() if value is not None}


def policy(*permission, kind="Set", uid=EX + "policy", **more):
    made = {"@context": CONTEXT, "@type": kind, "uid": uid, **more}
    return {**made, "permission": list(permission)} if permission else made


def request(action="read", target=EX + "x", assignee=EX + "alice", **more):
    return policy(rule(action, target, assignee, **more), kind="Request", uid=EX + "request")


def state(values=None, now=NOW, **more):
    return {"now": now, "values": values or {}, **more}


def as_file(value, name="given.json"):
    return name, value if isinstance(value, bytes) else json.dumps(value).encode()


def decide(given, asked=None, facts=None, mode="strict", profiles=()):
    """The report for a policy, or for a list of them of which the first inherits from the others."""
    files = [as_file(one) for one in (given if isinstance(given, list) else [given])]
    return evaluate(files, as_file(asked or request()), as_file(facts or state()), mode, profiles)


def check(given, profiles=()):
    """(valid, [(severity, code, where)]) of a policy."""
    found = validate([as_file(one) for one in (given if isinstance(given, list) else [given])], profiles)
    return found["valid"], [(one["severity"], one["code"], one["where"]) for one in found["problems"]]


def compare(offer, asked, facts=None):
    """(verdict, operand) for the permissions of an offer and a request."""
    found = compatible([as_file(offer)], [as_file(asked)], as_file(facts) if facts else None)
    return found["verdict"], found["operand"]


P = EX + "operand/"
TRUE, FALSE, OPEN = limit(P + "yes", "eq", 1), limit(P + "no", "eq", 1), limit(P + "open", "eq", 1)
KNOWN = {P + "yes": 1, P + "no": 0}
MEMBER = {"y": TRUE, "n": FALSE, "?": OPEN}
DUTY = {"uid": EX + "duty", "action": "compensate"}


def states(report):
    """(type, activation, deontic state) of each rule of a report."""
    return [(one["type"], one["activation"], one["deontic"]) for one in report["rules"]]
