"""The flows of calls, and of labs that ask to be let in or give keys: each made to fail in tests/faults/test_every_call.py."""

from collections.abc import Iterator

from sayso.joining import application, delegation
from sayso.jws import PrivateKey

from tests.collectives.members import in_days, people
from tests.faults.world import Flow, Made, World, of


@of("POST /v1/calls", "PUT /v1/calls/{call}/hidden", "DELETE /v1/calls/{call}")
def call(w: World) -> Iterator[Made]:
    if "people" not in w.kept:
        w.kept["people"] = [person for person, _ in people(w.service, w.platform, 10)]
    caller, hearer, *_ = w.kept["people"]
    known = set(w.column("SELECT id FROM call"))
    yield w.one_more("call", "/v1/calls", {"text": "Meet us."}, caller.receipt, leaf="call.opened")
    [made] = set(w.column("SELECT id FROM call")) - known

    def hidden() -> None:
        assert w.count("SELECT count(*) FROM call_hidden WHERE call_id = :id", id=made) == 1

    yield lambda: w.put(f"/v1/calls/{made}/hidden", None, hearer.receipt), hidden
    logged = w.leaves("call.ended")

    def ended() -> None:
        for table, name in (("call", "id"), ("call_hidden", "call_id"), ("thread_words", "item_id")):
            assert w.count(f"SELECT count(*) FROM {table} WHERE {name} = :id", id=made) == 0
        logged()

    yield lambda: w.delete(f"/v1/calls/{made}", caller.receipt, (200, 404)), ended  # 404 where it was ended and the answer lost


@of("POST /v1/lab-applications", "POST /v1/lab-keys")
def lab_keys(w: World) -> Iterator[Made]:
    base, key = w.service.base, PrivateKey.generate("Ed25519")
    asked = application(key, base, "Institute", "academic", "NL", "somebody@institute.example", "https://register.example/1")
    yield w.one_more("lab_application", "/v1/lab-applications", {"application": asked}, "")
    given = delegation(w.lab.key, base, w.lab.id, PrivateKey.generate("Ed25519").public_jwk, "Ann", in_days(w.service, 9))
    token = w.lab.sdk._auth.header().removeprefix("Bearer ")
    yield w.one_more("lab_key", "/v1/lab-keys", {"delegation": given}, token, f"lab_id = '{w.lab.id}'", "key.added")


FLOWS: list[Flow] = [call, lab_keys]
