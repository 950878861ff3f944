"""The files that a release is read by: `manifest.json`, `README.md`, `NOTICE`, `croissant.json`.

They are made here out of the signed manifest, the signed offer and the rows as they lie in the directory, and made anew when
records are removed: so a name that somebody took back stands in no notice any more, and digests are those of the files here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sayso import beside, conditions, disk, dissent, local
from sayso.report import counted, one_line

NAMES = ("manifest.json", "README.md", "NOTICE", "croissant.json")
COLUMNS = {
    "record_id": "The record, 64 hex digits; another one under every agreement.",
    "kind": "What sort of act it is: a message, a preference, a refusal, …",
    "language": "Language of the contribution, as a BCP 47 tag, or null.",
    "text": "The person's words: the exact JSON text that was recorded, as a string, or null.",
    "judgment": "A vote, rating, ranking or label: exact JSON text as a string, or null.",
    "context": "Model output and other third-party matter: exact JSON text as a string, or null.",
    "profile": "Facts about the person: exact JSON text as a string, or null.",
    "context_terms": "Licence and holder of `context`: an object, in Parquet its JSON text, or null.",
    "policies": "Digests of the policies that govern it; all of them hold.",
    "allowed_uses": "The actions that were signed for: every policy of the record permits them.",
    "obligations": "What is owed for it: a list of duties as JSON text.",
    "basis": "How the person agreed: explicit or notice.",
    "attested_by": "Who attested the consent: person or platform.",
    "attribution": "How to credit: named, pseudonym, collective or anonymous, or null where nobody is to be named.",
    "credit": "The name to give, or null.",
    "parent": "The record that it answers, or null.",
    "platform": "The platform that recorded it.",
    "link": "The same for all records of one person in this release and no other, where every policy permits that; else null.",
    "tombstone": "True where a record was and its place is kept: nothing but kind and parent is told of it.",
    "labels": "What was to be said of it at the cut: contested or dissent, where a decision that it rests on was, or met with, that.",
}
"""All that shards of either form have; one of before has fewer, so a release is described by those of its rows (`Tally.columns`)."""
_MOST_SAID = 50
_EXCERPT = 300
"""Characters of a report in the card."""
_LISTS = {"policies", "labels", "allowed_uses"}
_MEDIA = {"jsonl+zstd": "application/zstd", "parquet": "application/x-parquet"}
_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """A shard file as it lies in the directory."""

    name: str
    sha256: str
    bytes: int
    format: str


def write(
    folder: Path, payload: bytes, offer: dict[str, Any], files: list[File], rows: Iterable[dict[str, Any]], removed: int,
    said: Sequence[dict[str, Any]] = (), words: Mapping[str, str | None] = MappingProxyType({}), labels: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write all of them. `payload` are the manifest's signed bytes, `rows` are read once, `said` is what people say of records here,
    `words` the dissent by its digests, None where it was erased, `labels` what the release was labelled since the cut."""
    manifest = json.loads(payload)
    tally = Tally()
    for row in rows:
        tally.add(row)
    disk.write(folder / "manifest.json", payload)
    disk.write(folder / "README.md", card(manifest, offer, files, tally, removed, said, words, labels).encode())
    disk.write(folder / "NOTICE", notice(manifest, offer, tally).encode())
    text = json.dumps(croissant(manifest, offer, files, tally, removed, words), indent=1, ensure_ascii=False)
    disk.write(folder / "croissant.json", (text + "\n").encode())


class Tally:
    """What the rows say together: numbers by kind, languages, and whom to credit how often."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.named: Counter[str] = Counter()
        self.unnamed: Counter[str] = Counter()
        self.third: Counter[tuple[str, str]] = Counter()
        self.labels: Counter[str] = Counter()
        self._has: set[str] = set()

    def columns(self) -> list[str]:
        """The columns that the rows have; where there is no row, all."""
        return [name for name in COLUMNS if name in (self._has or COLUMNS)]

    def add(self, row: dict[str, Any]) -> None:
        """Count a row; a tombstone says nothing of anybody."""
        self._has |= row.keys()
        if row.get("tombstone") is True:
            return
        self.kinds[str(row.get("kind"))] += 1
        if row.get("language"):
            self.languages[str(row["language"])] += 1
        if row.get("credit"):
            self.named[str(row["credit"])] += 1
        elif row.get("attribution"):
            self.unnamed[str(row["attribution"])] += 1
        self.labels.update(str(label) for label in row.get("labels") or ())
        terms = row.get("context_terms")
        if isinstance(terms, str):  # Parquet has it as JSON text
            terms = json.loads(terms)
        if isinstance(terms, dict):
            self.third[str(terms.get("licence")), str(terms.get("holder"))] += 1


def notice(manifest: dict[str, Any], offer: dict[str, Any], tally: Tally) -> str:
    """The credits that are owed with every use: who wants to be named, as they chose."""
    lines = [f"Release {manifest['release']}, under agreement {manifest['agreement']} with {one_line(offer['service'])}.", ""]
    if tally.named:
        lines += ["Contributions by:", *(f"- {one_line(name)} ({count})" for name, count in sorted(tally.named.items())), ""]
    said = {
        "anonymous": "by people who are not to be named", "collective": "to be credited to their platform or collective as a whole",
        "named": "by people who may be named and gave no name", "pseudonym": "by people who may be named by a pen name and gave none",
    }  # fmt: skip
    lines += [f"{count} contributions {said.get(mode, one_line(mode))}." for mode, count in sorted(tally.unnamed.items())]
    if tally.third:
        lines += ["", "Third-party matter in `context`:"]
        lines += [f"- {one_line(holder)}: {one_line(licence)} ({count})" for (licence, holder), count in sorted(tally.third.items())]
    return "\n".join(lines).rstrip() + "\n"


def card(
    manifest: dict[str, Any], offer: dict[str, Any], files: list[File], tally: Tally, removed: int, said: Sequence[dict[str, Any]] = (),
    words: Mapping[str, str | None] = MappingProxyType({}), labels: Sequence[str] = (),
) -> str:  # fmt: skip
    """A dataset card in the form that Hugging Face reads: YAML before, then prose."""
    live = sum(tally.kinds.values())
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
    head = {
        "pretty_name": manifest["release"], "license": "other", "license_name": "sayso-agreement",
        "license_link": f"{offer['service']}/v1/agreements/{manifest['agreement']}",
        "language": sorted({tag.split("-")[0].lower() for tag in tally.languages}),
        "size_categories": [next((name for most, name in sizes if live < most), "10M<n<100M")],
        "tags": ["sayso", "consent"],
    }  # fmt: skip
    if files:
        head["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": [file.name for file in files]}]}]
    deeds = dict.fromkeys(str(line) for policy in offer["policies"] for line in policy["deed"])
    body = [
        f"# {manifest['release']}", "",
        f"Cut at {manifest['cut_at']} under agreement `{manifest['agreement']}` for {_cell(offer['lab']['legal_name'])}. "
        "It may be used by that lab, for what it signed, and is not to be passed on unless the terms say so.", "",
        "| kind | records |", "|---|---|", *(f"| {_cell(kind)} | {count} |" for kind, count in sorted(tally.kinds.items())), "",
    ]  # fmt: skip
    if labels:
        body += [f"Labelled since it was cut: {', '.join(_cell(label) for label in labels)}; `labels.json` says where in the log.", ""]
    if removed:
        body += [f"Recalled since, and not in these files: {counted(removed)}; `local.json` says which.", ""]
    body += [
        "## Terms", "",
        f"Signed for the actions {', '.join(offer['use']['actions'])}, for the purposes {', '.join(offer['use']['purposes']) or 'none stated'}. "
        "Each record stands under the policies in its column `policies`; in plain sentences they are:", "",
        *(f"- {_cell(line)}" for line in deeds), "",
        "## Owed", "", *(f"- {_duty(duty)}" for duty in manifest["obligations"]), *(["- nothing"] if not manifest["obligations"] else []), "",
        "## Dissent", "", *_dissent(manifest, tally, words), "",
        *_objections(said),
        "## Columns", "", *(f"- `{name}`: {COLUMNS[name]}" for name in tally.columns()), "",
        "## Keep it in step", "",
        "People can withdraw. `sayso sync DIR` removes what was recalled, `sayso verify DIR` proves what is here, "
        "and `NOTICE` names whom to credit.",
    ]  # fmt: skip
    # JSON is YAML, so no writer of YAML is needed, and nothing in a name can end the block.
    yaml = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=True)}" for name, value in head.items())
    return f"---\n{yaml}\n---\n\n" + "\n".join(body) + "\n"


def croissant(
    manifest: dict[str, Any], offer: dict[str, Any], files: list[File], tally: Tally, removed: int,
    words: Mapping[str, str | None] = MappingProxyType({}),
) -> dict[str, Any]:  # fmt: skip
    """Croissant 1.1 metadata (MLCommons), with the signed terms as its conditions of use (`usageInfo`)."""
    release, service, status = manifest["release"], offer["service"], dissent.statuses(manifest)
    listed: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject", "@id": file.name, "name": file.name, "contentUrl": file.name, "contentSize": f"{file.bytes} B",
            "encodingFormat": _MEDIA[file.format], "sha256": file.sha256,
        }
        for file in files
    ]  # fmt: skip
    listed += [
        {
            "@type": "cr:FileObject", "@id": dissent.name(digest), "name": dissent.name(digest), "contentUrl": dissent.name(digest),
            "contentSize": f"{len(text.encode())} B", "encodingFormat": "text/plain", "sha256": digest,
            "description": "A minority report, or an objection, against a decision that this release rests on"
            + (f": at the cut {dissent.said(status[digest])}." if digest in status else "."),
        }
        for digest, text in words.items() if text is not None
    ]  # fmt: skip
    found: dict[str, Any] = {
        "@context": _CONTEXT | conditions.CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.1", "name": release,
        "description": f"{sum(tally.kinds.values())} contributions to the evaluation of language models, each released on its author's terms.",
        "url": f"{service}/v1/releases/{release}", "license": f"{service}/v1/agreements/{manifest['agreement']}",
        "datePublished": manifest["cut_at"], "version": "1.0.0" if not removed else f"1.0.{removed}",
        "citeAs": f"{release}, cut at {manifest['cut_at']} by {service}", "creator": {"@type": "sc:Organization", "name": service, "url": service},
        "isLiveDataset": False, "inLanguage": sorted(tally.languages),
        "usageInfo": conditions.offer(manifest, offer),
        "distribution": listed,
    }  # fmt: skip
    if files:
        source = {"fileSet": {"@id": "shards"}}
        found["distribution"] = [
            *listed,
            {
                "@type": "cr:FileSet", "@id": "shards", "name": "shards", "containedIn": [{"@id": file.name} for file in files],
                "encodingFormat": _MEDIA[files[0].format], "includes": "*" + local.FORMATS[files[0].format],
            },
        ]  # fmt: skip
        found["recordSet"] = [
            {
                "@type": "cr:RecordSet", "@id": "records", "name": "records", "key": {"@id": "records/record_id"},
                "field": [
                    {
                        "@type": "cr:Field", "@id": f"records/{name}", "name": name, "description": COLUMNS[name],
                        "dataType": "sc:Boolean" if name == "tombstone" else "sc:Text",
                        **({"repeated": True} if name in _LISTS else {}), "source": {**source, "extract": {"column": name}},
                    }
                    for name in tally.columns()
                ],
            }
        ]  # fmt: skip
    return found


def _dissent(manifest: dict[str, Any], tally: Tally, words: Mapping[str, str | None]) -> list[str]:
    """What stands against the decisions that the release rests on, in the card: where it lies, how many stand behind it, and how much of the
    data it is about."""
    digests, status = manifest["dissent"], dissent.statuses(manifest)
    live = sum(tally.kinds.values())
    told = [f"{len(digests)} minority reports and objections come with these terms; keep them with whatever you make of this."]
    told += [f"{count} of {live} records are labelled `{_cell(label)}`." for label, count in sorted(tally.labels.items())]
    for digest in digests:
        text = words.get(digest)
        said = "its author had the words erased" if text is None else _cell(text[:_EXCERPT]) + ("…" if len(text) > _EXCERPT else "")
        what = f" ({_cell(dissent.said(status[digest]))})" if digest in status else ""
        told.append(f"- `{digest if text is None else dissent.name(digest)}`{what}: {said}")
    return [told[0], "", *told[1:]] if len(told) > 1 else told


def _objections(said: Sequence[dict[str, Any]]) -> list[str]:
    """What the people who gave records say of it, in the card: the first ones whole, all of them in their file."""
    if not said:
        return []
    told = f"{len(said)} people object to what becomes of their record" if len(said) > 1 else "Somebody objects to what becomes of their record"
    lines = [f"- `{_cell(one['record_id'])}` ({_cell(one['language'])}): {_cell(one['statement'])}" for one in said[:_MOST_SAID]]
    return ["## Objections", "", f"{told}; read `{beside.NAME}` beside the rows, and pass it on with them.", "", *lines, ""]


def _duty(duty: dict[str, str]) -> str:
    more = ", ".join(f"{name} {_cell(value)}" for name, value in sorted(duty.items()) if name != "kind")
    return duty["kind"] + (f" ({more})" if more else "")


def _cell(text: Any) -> str:
    """The same where Markdown is read: no end of a cell, no tag, no link."""
    return "".join("\\" + c if c in "\\|<>[]`*_" else c for c in one_line(text))
