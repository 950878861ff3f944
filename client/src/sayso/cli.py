"""`sayso verify DIR`, `sayso verify receipt|agreement|release|recall|holding|log`, `sayso recount`, `sayso keygen`, `sayso witness`, and
what labs do: `lab_cli.py`.

Exit codes: 0 everything was checked and holds; 1 a check failed; 2 a file or the command line cannot be read;
3 right so far, but not yet under a checkpoint of the log.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sayso import holding, lab_cli, logcheck, proofs, recount, recounter, verify, witness, witnessing
from sayso.errors import SaysoError
from sayso.jws import PrivateKey
from sayso.report import Report, load_bytes, plain

HELP = {
    "receipt": "an act of a person, and that it was logged",
    "agreement": "what a lab signed",
    "release": "what a release holds, and that its agreement covers it",
    "recall": "what a lab was told to delete",
    "holding": "whether releases hold a record of yours",
    "log": "a whole log: every entry, tile and root, against the checkpoints you kept",
    "directory": "everything that `sayso pull` put into a directory; the word may be left out",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    arguments = _parser().parse_args(_named(list(sys.argv[1:] if argv is None else argv)))
    try:
        if arguments.command == "verify":
            return _verify(arguments)
        if arguments.command == "witness":
            return witness.serve(arguments)
        if arguments.command == "recount":
            return recounter.run(arguments)
        if arguments.command in lab_cli.COMMANDS:
            return lab_cli.COMMANDS[arguments.command](arguments)
        return _keygen(arguments)
    except (verify.Unreadable, SaysoError, witness.CannotServe) as error:
        print(f"sayso: {plain(str(error))}", file=sys.stderr)
        return verify.UNREADABLE


def _named(words: list[str]) -> list[str]:
    """`verify DIR` is `verify directory DIR`."""
    bare = words[:1] == ["verify"] and len(words) > 1 and words[1] not in (*HELP, "-h", "--help")
    return [words[0], "directory", *words[1:]] if bare else words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sayso", description="Check Sayso's files offline; sign offers, pull releases, keep them in step.")
    commands = parser.add_subparsers(dest="command", required=True)
    kinds = commands.add_parser("verify", help="check a directory or a file offline").add_subparsers(dest="kind", required=True)
    for kind, told in HELP.items():
        one = kinds.add_parser(kind, help=told)
        if kind == "log":
            one.add_argument("file", metavar="URL|DIR", help="the log's address (…/v1/log), or a directory with a copy of its files")
            one.add_argument("--kept", type=Path, help="directory of checkpoints: those there are compared, this one joins them")
        else:
            one.add_argument("file", type=Path)
        one.add_argument("--vkey", help="the log's key as you got it elsewhere; without it the log's own word is used")
        one.add_argument("--policy", type=Path, help="a tlog-policy file: the witnesses that must have seen the checkpoint")
        one.add_argument("--json", action="store_true", help="print the report as JSON")
        if kind == "release":
            one.add_argument("--agreement", type=Path, help="the agreement, to check that its terms govern the release")
            one.add_argument("--shards", type=Path, help="the directory with the shards, to check every row")
        if kind == "holding":
            one.add_argument("--receipt", type=Path, help="your receipt, to check that the proof speaks of your record")
    keygen = commands.add_parser("keygen", help="make a key; prints its public half")
    keygen.add_argument("file", type=Path, help="where to write the private key (it must not exist)")
    keygen.add_argument("--alg", choices=["Ed25519", "ES256", "X25519"], default="Ed25519", help="X25519: a recounter's, to be sealed to")
    recounting = commands.add_parser("recount", help="check whether a collective's outcome follows from its ballots")
    recount.add_arguments(recounting)
    recounter.add_arguments(recounting)
    lab_cli.add_arguments(commands)
    witness.add_arguments(commands.add_parser("witness", help="watch logs: cosign what only grew (C2SP tlog-witness)"))
    return parser


def _verify(arguments: argparse.Namespace) -> int:
    report = _report(arguments)
    if arguments.json:
        print(json.dumps(report.to_json()))
    else:
        for step in report.steps:
            mark = {True: "ok     ", False: "FAILED ", None: "not yet"}[step.ok]
            print(plain(f"{step.n} {mark} {step.name}{': ' + step.detail if step.detail else ''}"))
        ends = {
            verify.VERIFIED: f"This {arguments.kind} holds.",
            verify.FAILED: f"This {arguments.kind} does NOT hold: step {len(report.steps)} failed.",
            verify.PENDING: f"This {arguments.kind} is right so far, but not yet under a checkpoint of the log.",
        }
        print(ends[report.exit_code])
    return report.exit_code


def _report(arguments: argparse.Namespace) -> Report:
    policy = _policy(arguments.policy) if arguments.policy else None
    trust = (arguments.vkey, policy)
    if arguments.kind == "log":
        return logcheck.verify_log(arguments.file, *trust, arguments.kept)
    if arguments.kind == "directory":
        return verify.verify_directory(arguments.file, *trust)
    file = verify.load(arguments.file)
    if arguments.kind == "receipt":
        return verify.verify_receipt(file, *trust)
    if arguments.kind == "agreement":
        return verify.verify_agreement(file, *trust)
    if arguments.kind == "recall":
        return verify.verify_recall(file, *trust)
    if arguments.kind == "holding":
        return holding.verify_holding(file, verify.load(arguments.receipt) if arguments.receipt else None, *trust)
    agreement = verify.load(arguments.agreement) if arguments.agreement else None
    return verify.verify_release(file, agreement, arguments.shards, *trust)


def _policy(path: Path) -> witnessing.Policy:
    try:
        return witnessing.parse_policy(witnessing.decode(load_bytes(path)))
    except proofs.Failed as error:
        raise verify.Unreadable(f"{path}: {error}") from error


def _keygen(arguments: argparse.Namespace) -> int:
    if arguments.alg == "X25519":
        sealed_to = recounter.RecounterKey.generate()
        sealed_to.save(arguments.file)
        print(json.dumps(sealed_to.described))
        return 0
    key = PrivateKey.generate(arguments.alg)
    key.save(arguments.file)
    print(json.dumps({**key.public_jwk, "kid": key.thumbprint, "alg": key.alg, "use": "sig"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
