"""`sayso request`, `sign`, `console`, `pull`, `cancel`, `view`, `sync`, `check`, `delete`: what a lab does at a shell.

Who is calling comes from --service, --client-id and --key, or SAYSO_SERVICE, SAYSO_CLIENT_ID and SAYSO_KEY; a directory that was
pulled into knows all of it but the key. The HTTP library is imported only by commands that need the network.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sayso import proofs, terms, verify
from sayso.errors import SaysoError
from sayso.jws import PrivateKey
from sayso.report import counted, plain
from sayso.views import NAMES

if TYPE_CHECKING:
    from sayso.lab import Lab
    from sayso.models import Release

VARIABLES = ("SAYSO_SERVICE", "SAYSO_CLIENT_ID", "SAYSO_KEY")
"""Environment variables in place of --service, --client-id and --key."""


class NotSaid(SaysoError):
    """Something that the command needs was not given."""


def add_arguments(commands: Any) -> None:
    """The lab's commands."""
    request = commands.add_parser("request", help="ask for a use over a selection; prints the offer's id, or why not")
    request.add_argument("--use", required=True, help="actions, with commas between them (fineTune,benchmark); or a JSON file with a whole use")
    request.add_argument("--purpose", help="purposes, with commas")
    for name, told in (("platform", "a platform's id"), ("kind", "a kind"), ("language", "a language"), ("model", "a language model's name")):
        request.add_argument(f"--{name}", action="append", help=f"{told}; several times for several, without it any")
    request.add_argument("--from", dest="first", metavar="DAY", help="made on this day or later (YYYY-MM-DD, UTC)")
    request.add_argument("--to", dest="last", metavar="DAY", help="made on this day or before")
    request.add_argument("--until", metavar="DAY", help="standing: new records too, until this day")
    _who(request)
    sign = commands.add_parser("sign", help="read an offer's terms and sign them")
    sign.add_argument("offer", help="an offer's id (off_…), which is fetched and the signature sent; or a file, and it is printed")
    sign.add_argument("--yes", action="store_true", help="do not ask before signing")
    _who(sign)
    pull = commands.add_parser("pull", help="bring an agreement's newest release into a directory")
    pull.add_argument("agreement", help="the agreement's id (agr_…)")
    pull.add_argument("directory", type=Path)
    pull.add_argument("--cut", action="store_true", help="have a new release cut first")
    pull.add_argument("--format", choices=["jsonl+zstd", "parquet"], help="how shards are written; without it as they were before")
    pull.add_argument("--parallel", type=int, default=4, help="shards fetched at a time")
    pull.add_argument("--quiet", action="store_true", help="show no progress")
    _who(pull)
    cancel = commands.add_parser("cancel", help="give up a cut that is under way")
    cancel.add_argument("release", help="the release's id (rel_…)")
    _who(cancel)
    view = commands.add_parser("view", help="write what is in a directory in another shape; sync keeps that file in step")
    view.add_argument("directory", type=Path)
    view.add_argument("name", choices=NAMES)
    view.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="a name that ends in .jsonl or .jsonl.zst")
    console = commands.add_parser("console", help="print a link to the lab's pages; it opens them for a quarter of an hour")
    _who(console)
    apply = commands.add_parser("apply", help="ask a service to let your lab in; prints the application's id")
    for name, told in (
        ("name", "the legal name"), ("kind", "academic, company, government or nonprofit"), ("seat", "country, ISO 3166-1 alpha-2"),
        ("contact", "where somebody can be asked"), ("evidence", "where name, kind and seat can be looked up"),
    ):  # fmt: skip
        apply.add_argument(f"--{name}", required=True, help=told)
    _who(apply)
    delegate = commands.add_parser("delegate", help="give a key to one of your own people or machines; prints its thumbprint")
    delegate.add_argument("jwk", type=Path, help="file with its public half, as `sayso keygen` prints it")
    delegate.add_argument("--name", required=True, help="whose it is; for yourselves alone")
    delegate.add_argument("--until", required=True, metavar="DAY", help="the last day that it counts (YYYY-MM-DD)")
    _who(delegate)
    sync = commands.add_parser("sync", help="remove what was recalled from a directory, and say so to the service")
    sync.add_argument("directory", type=Path)
    sync.add_argument("--no-attest", action="store_true", help="acknowledge recalls and attest nothing: other copies are still to be mended")
    sync.add_argument("--trained", action="append", default=[], metavar="MODEL", help="it cannot be removed from this model, trained with it")
    sync.add_argument("--json", action="store_true", help="print what was done as JSON")
    _who(sync)
    delete = commands.add_parser("delete", help="delete a release whose time is over, and say so under your key")
    delete.add_argument("what", metavar="DIR|RELEASE", help="where it was pulled; or its id (rel_…), where nothing of it is on this machine")
    delete.add_argument("--release", metavar="ID", help="the release that is meant: where the directory holds another, nothing is done")
    delete.add_argument("--trained", action="append", default=[], metavar="MODEL", help="it cannot be taken out of this model, trained with it")
    delete.add_argument("--yes", action="store_true", help="do not ask before anything is deleted")
    _who(delete)
    check = commands.add_parser("check", help="may I do this with what is in a directory? Record by record")
    check.add_argument("directory", type=Path)
    check.add_argument("--use", required=True, help="actions, with commas between them (fineTune,benchmark); or a JSON file with a whole use")
    check.add_argument("--purpose", help="purposes, with commas; otherwise those that were signed")
    check.add_argument("--json", action="store_true", help="print every record that is refused, as JSON")
    _who(check)


def _who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", help="the service's address")
    parser.add_argument("--client-id", help="the lab's id (lab_…)")
    parser.add_argument("--key", type=Path, help="the lab's private key file")


def _key(arguments: argparse.Namespace) -> PrivateKey:
    path = arguments.key or os.environ.get(VARIABLES[2])
    if not path:
        raise NotSaid("give the lab's key file with --key, or in SAYSO_KEY")
    return PrivateKey.load(path)


def _lab(arguments: argparse.Namespace) -> "Lab":
    from sayso.folder import notes
    from sayso.lab import Lab

    directory = getattr(arguments, "directory", None)
    known = {} if directory is None else notes(directory)
    service = arguments.service or os.environ.get(VARIABLES[0]) or known.get("service")
    client = arguments.client_id or os.environ.get(VARIABLES[1]) or known.get("client_id")
    if not service or not client:
        raise NotSaid("give --service and --client-id, or SAYSO_SERVICE and SAYSO_CLIENT_ID")
    return Lab(str(service), str(client), _key(arguments))


def request(arguments: argparse.Namespace) -> int:
    """Ask; 0 where there is an offer, whose id is printed."""
    lists = {f"{name}s": getattr(arguments, name) for name in ("platform", "kind", "language", "model")}
    chosen = {name: value for name, value in {**lists, "from": arguments.first, "to": arguments.last}.items() if value}
    mode: Literal["snapshot", "standing"] = "standing" if arguments.until else "snapshot"
    found = _lab(arguments).request(_use(arguments), chosen, mode, arguments.until)
    if found.offer is not None:
        print(found.offer)
        return 0
    print(f"{found.id} is {found.state}.", file=sys.stderr)
    if found.review is not None:
        print(plain(f"  The {found.review.get('by')} looks at it until {found.review.get('until')}."), file=sys.stderr)
    for hint in found.nearest or ():
        print(plain(f"  {hint}"), file=sys.stderr)
    return 1


def sign(arguments: argparse.Namespace) -> int:
    """Show all the terms, ask, and only then sign. Of a file the signature is printed, and the key is not read before the yes; an id has
    to be fetched, for which the key says who is asking, and nothing else."""
    if arguments.offer.startswith("off_") and not Path(arguments.offer).exists():
        return _sign_fetched(arguments)
    try:
        data = Path(arguments.offer).read_bytes()
    except OSError as error:
        raise verify.Unreadable(f"{arguments.offer} cannot be read: {error.strerror}") from error
    try:
        offer = proofs.parse(data, "the offer")
        _show(terms.told(offer))
        wanted = proofs.get(proofs.get(offer, "lab", dict), "key", str)
    except proofs.Failed as error:
        raise verify.Unreadable(str(error)) from error
    if not _agreed(arguments):
        return 1
    key = _key(arguments)
    if key.thumbprint != wanted:
        raise verify.Unreadable("the offer was made to another key: nothing was signed")
    print(key.sign("sayso-acceptance+jws", data))
    return 0


def _sign_fetched(arguments: argparse.Namespace) -> int:
    lab = _lab(arguments)
    print("Your key proves who fetches this offer. It signs no terms before you say yes.", file=sys.stderr)
    offered = lab.offer(arguments.offer)
    _show(offered.told(lab.dissent(offered.id), lab.dissent_status(offered.id)) if offered.terms.get("dissent") else offered.told())
    if offered.terms.get("lab", {}).get("key") != lab.key.thumbprint:
        raise verify.Unreadable("the offer was made to another key: sign with that, or ask anew with this one")
    if not _agreed(arguments):
        return 1
    print(lab.sign(offered).id)
    return 0


def _agreed(arguments: argparse.Namespace, question: str = "Sign these terms?", otherwise: str = "Nothing was signed.") -> bool:
    if arguments.yes:
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print(otherwise, file=sys.stderr)
    return False


def _show(lines: Sequence[str]) -> None:
    for line in lines:
        print(plain(line), file=sys.stderr)


def console(arguments: argparse.Namespace) -> int:
    """Print the link."""
    print(_lab(arguments).console())
    return 0


def apply(arguments: argparse.Namespace) -> int:
    """Send what the lab says of itself, signed; the id that is printed is how to learn the answer."""
    from sayso.account import issuer_at
    from sayso.http import Transport
    from sayso.joining import application

    service = arguments.service or os.environ.get(VARIABLES[0])
    if not service:
        raise NotSaid("give --service, or SAYSO_SERVICE")
    transport = Transport(str(service))
    said = (arguments.name, arguments.kind, arguments.seat, arguments.contact, arguments.evidence)
    signed = application(_key(arguments), issuer_at(transport), *said)
    done = transport.request("POST", "/v1/lab-applications", content=json.dumps({"application": signed}).encode()).json()
    print(done["id"])
    print(f"Look at {transport.base_url}/v1/lab-applications/{done['id']} for the answer.", file=sys.stderr)
    return 0


def delegate(arguments: argparse.Namespace) -> int:
    """Sign that a key is one of the lab's own, and send it."""
    print(_lab(arguments).delegate(verify.load(arguments.jwk), arguments.name, arguments.until))
    return 0


def pull(arguments: argparse.Namespace) -> int:
    """Bring the newest release into the directory."""
    from sayso.folder import Folder

    folder = Folder(_lab(arguments), arguments.directory, arguments.agreement)
    bar, watch = (None, None) if arguments.quiet else (_bar(), _cutting)
    release = folder.pull(cut=arguments.cut, format=arguments.format, parallel=arguments.parallel, progress=bar, watch=watch)
    print(f"{release.id} is in {arguments.directory}. Check it: sayso verify {arguments.directory}")
    return 0


def _cutting(release: "Release") -> None:
    """Say on a terminal how far a cut is."""
    if sys.stderr.isatty():
        made = release.progress
        how = f"{made['done']} of {made['of']} shards" if made else release.state
        print(f"\r{release.id}: {how:30}", end="\r", file=sys.stderr, flush=True)


def cancel(arguments: argparse.Namespace) -> int:
    """Give up a cut."""
    done = _lab(arguments).cancel(arguments.release)
    print(f"{done.id} is {done.state}.")
    return 0


def _bar() -> Callable[[int, int], None] | None:
    """A line that fills while bytes arrive, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None
    lock, shown = threading.Lock(), [0.0]

    def show(there: int, all_: int) -> None:
        with lock:
            if there < all_ and time.monotonic() - shown[0] < 0.1:
                return
            shown[0] = time.monotonic()
            part = there / all_ if all_ else 1.0
            line = f"\r[{'#' * int(30 * part):30}] {there / 1e6:.1f} of {all_ / 1e6:.1f} MB"
            print(line, end="\n" if there >= all_ else "", file=sys.stderr, flush=True)

    return show


def sync(arguments: argparse.Namespace) -> int:
    """Apply recalls to the directory; 1 where shards are missing, so that nothing could be attested."""
    from sayso.folder import Folder

    folder = Folder(_lab(arguments), arguments.directory)
    done = folder.sync(
        attest=not arguments.no_attest, outcome="cannot_remove" if arguments.trained else "deleted", models=arguments.trained
    )
    if arguments.json:
        print(json.dumps(vars(done)))
        return 1 if done.missing or done.stale else 0
    for recall, records in done.removed.items():
        print(f"{recall}: {counted(len(records))} removed")
        for record in records:
            print(f"  {record}")
    for recall, state in done.answered.items():
        print(f"{recall} is {state}")
    for label in done.labels:
        print(plain(f"the release is labelled since: {label}"))
    for path in done.written:
        print(plain(f"{path} was made anew"))
    for path in done.stale:
        print(plain(f"{path} is stale and was changed by somebody, so nothing was attested: delete it or write it again, then sync."))
    if not done.removed and not done.answered:
        print("Nothing was recalled since.")
    if done.newer:
        print(f"There is a newer release: sayso pull {folder.agreement} {arguments.directory}")
    if done.missing:
        print(f"{len(done.missing)} shards are not here, so nothing was attested: pull again, then sync.")
    return 1 if done.missing or done.stale else 0


def delete(arguments: argparse.Namespace) -> int:
    """Show what goes and why, ask, delete it, say so; 1 where nobody said yes."""
    from sayso import deleting
    from sayso.folder import Folder

    named = arguments.what.startswith("rel_") and not Path(arguments.what).exists()
    arguments.directory = None if named else Path(arguments.what)
    lab = _lab(arguments)
    found = deleting.of_release(lab, arguments.what) if named else deleting.of_directory(Folder(lab, arguments.directory))
    if arguments.release not in (None, found.release):
        begun = ", whose pull was not finished" if arguments.release == found.spared else ""
        raise SaysoError(f"{arguments.what} holds {found.release}, and not {arguments.release}{begun}: nothing was deleted")
    outcome: Literal["deleted", "cannot_remove"] = "cannot_remove" if arguments.trained else "deleted"
    if found.owed.state == "owed" or found.files:
        _show(found.told(arguments.trained))
        if not _agreed(arguments, "Delete this and say so?", "Nothing was deleted."):
            return 1
    done = deleting.delete(lab, found, outcome, arguments.trained, tell=lambda line: _show([line]))
    print(f"{done.release} is {'deleted' if done.state == 'attested' else done.state}; the service has your word for it.")
    return 0


def view(arguments: argparse.Namespace) -> int:
    """Write a view of what was pulled; prints how many rows, and what is not in them."""
    from sayso import derived
    from sayso.folder import Folder
    from sayso.loading import nobody

    about = derived.write(Folder(nobody(arguments.directory), arguments.directory), arguments.name, arguments.out)
    print(plain(f"{about['rows']} rows are in {arguments.out}; what they leave out is in {arguments.out.name}.about.json."))
    for why, count in sorted(about["left_out"].items()):
        print(plain(f"  {count} have no content: {why}"))
    for kind, count in sorted(about["not_shown"].items()):
        print(plain(f"  {count} of kind {kind} are not of this view"))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Decide record by record; 0 where all may be so used, 1 where some may not."""
    from sayso import using
    from sayso.folder import Folder

    found = using.check(Folder(_lab(arguments), arguments.directory), _use(arguments))
    if arguments.json:
        print(json.dumps(found.to_json()))
        return 0 if found.ok else 1
    print(f"{counted(found.allowed)} may be so used.")
    for why, records in found.refused.items():
        print(plain(f"{len(records)} may not: {why}."))
    if found.refused:
        for hint in found.hints:
            print(plain(f"  {hint}"))
    return 0 if found.ok else 1


def _use(arguments: argparse.Namespace) -> dict[str, Any]:
    path = Path(arguments.use)
    if path.suffix == ".json" or path.is_file():
        return verify.load(path)
    use: dict[str, Any] = {"actions": sorted({one for one in arguments.use.split(",") if one})}
    if arguments.purpose:
        use["purposes"] = sorted({one for one in arguments.purpose.split(",") if one})
    return use


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "request": request, "sign": sign, "console": console, "apply": apply, "delegate": delegate, "pull": pull, "cancel": cancel, "view": view,
    "sync": sync, "check": check, "delete": delete,
}  # fmt: skip
