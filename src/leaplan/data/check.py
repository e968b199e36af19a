"""The verb `check-data`: what a dataset folder holds, what it lacks, and how to mend it."""

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from rich.console import Console

from leaplan.data.check_report import FeatureCheck, Finding, ProtocolCheck, Report, show
from leaplan.data.files import MissingFileError, dataset_folder
from leaplan.data.protocols import CLASSES, HORIZONS, PROTOCOLS, Counts, Protocol, nearest
from leaplan.data.splits import checksum, measure
from leaplan.errors import ProblemList, UserError
from leaplan.records import Annotations

READERS = {
    "crosstask": ("leaplan.data.crosstask", "read_crosstask"),
    "coin": ("leaplan.data.coin", "read_coin"),
    "niv": ("leaplan.data.niv", "read_niv"),
    "epic_kitchens": ("leaplan.data.epic_kitchens", "read_epic_kitchens"),
    "captaincook4d": ("leaplan.data.captaincook4d", "read_captaincook4d"),
    "synthetic": ("leaplan.data.synthetic", "read_synthetic"),
}
LINKS = (
    "no visual features of its videos: the links of the published S3D features answer 403 since 2025; "
    "a Google Drive folder replaces them, named in issues 3 and 4 of SCHEMA's repository"
)
OWN = "no visual features of its videos; they are not published with the annotations"
ABSENT = {"crosstask": LINKS, "coin": LINKS, "niv": LINKS, "epic_kitchens": OWN, "captaincook4d": OWN}
EXAMPLES = """examples:
  leaplan check-data captaincook4d --root /data
  leaplan check-data crosstask --root /data --protocol pdpp --features features --json report.json

exit code: 0 all is well, 1 something is wrong with the data, 2 wrong use"""
Reader = Callable[..., Annotations]


def main(argv: list[str]) -> int:
    """Run `leaplan check-data` and return its exit code: 0 all is well, 1 something is wrong.

    Raises:
        UserError: Wrong use: an unknown dataset or protocol, or a root that is not a folder.
    """
    arguments = _parser().parse_args(argv)
    report = check(
        arguments.dataset, arguments.root.expanduser(), arguments.protocol, arguments.features, arguments.key
    )
    show(report, Console())
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan check-data",
        description="Tell what a dataset folder holds, what it lacks, and how to mend it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", help=", ".join(READERS))
    parser.add_argument("--root", type=Path, required=True, help="the dataset's folder, or the one that holds it")
    parser.add_argument("--protocol", help="check this split protocol only, and miss it if it is not there")
    parser.add_argument("--features", type=Path, help="a folder with one array per video, or an .npz archive")
    parser.add_argument("--key", help="name of the array inside each feature file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report to FILE")
    return parser


def check(
    dataset: str,
    root: Path,
    protocol: str | None = None,
    features: Path | None = None,
    key: str | None = None,
) -> Report:
    """Check a dataset.

    Raises:
        UserError: Wrong use: an unknown dataset or protocol, or a root that is not a folder.
    """
    names = _protocol_names(dataset, protocol)
    if dataset in PROTOCOLS and not root.is_dir():
        raise UserError(f"{root} is not a folder", "Give the folder that holds the data with --root")
    reader, folders = _reader(dataset)
    read: list[Annotations] = []
    checks, findings = [], []
    for name in names:
        annotations, protocol_check, found = _check_protocol(dataset, reader, root, name, protocol is not None)
        checks.append(protocol_check)
        findings += found
        read += [annotations] if annotations else []
    if not read and not any(finding.level == "error" for finding in findings):
        mend = "Give the folder that holds the data with --root"
        findings.append(Finding("error", dataset, "no protocol can be used", mend))
    folder = dataset_folder(root, folders)
    feature_checks, found = _check_features(dataset, root, folder, read, features, key)
    return Report(dataset, folder, _contents(read), checks, feature_checks, _merged([*findings, *found], len(names)))


def _protocol_names(dataset: str, protocol: str | None) -> list[str]:
    if dataset not in READERS:
        what = f"'{dataset}' is not a dataset; did you mean '{nearest(dataset, READERS)}'?"
        raise UserError(what, f"There are {', '.join(READERS)}")
    names = list(PROTOCOLS.get(dataset, {"": None}))
    if protocol is not None and protocol not in names:
        what = f"{dataset} has no protocol '{protocol}'; did you mean '{nearest(protocol, names)}'?"
        raise UserError(what, f"There are {', '.join(names)}" if any(names) else "Leave --protocol out")
    return names if protocol is None else [protocol]


def _reader(dataset: str) -> tuple[Reader, tuple[str, ...]]:
    """Return the function that reads `dataset`, and the names of its folder."""
    name, function = READERS[dataset]
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(f"dataset '{dataset}' is not part of this installation") from error
    return getattr(module, function), getattr(module, "FOLDERS", (dataset,))


def _check_protocol(
    dataset: str, reader: Reader, root: Path, name: str, asked: bool
) -> tuple[Annotations | None, ProtocolCheck, list[Finding]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is also noted
            annotations = reader(root, name) if name else reader(root)
    except MissingFileError as error:
        finding = Finding("error" if asked else "absent", name, error.what, error.hint)
        return None, ProtocolCheck(name, "not there"), [finding]
    except ProblemList as error:
        count = len(error.problems)
        what = f"{count} {'problem' if count == 1 else 'problems'} in the annotations"
        return None, ProtocolCheck(name, "broken"), [Finding("error", name, what, error.hint, error.problems)]
    except UserError as error:
        return None, ProtocolCheck(name, "broken"), [Finding("error", name, error.what, error.hint)]
    check = _compare(dataset, name, annotations)
    notes = [Finding("note", check.name, note) for note in annotations.notes]
    return annotations, check, notes + _deviations(dataset, check, annotations)


def _compare(dataset: str, name: str, annotations: Annotations) -> ProtocolCheck:
    """Hold the counts and lists of a protocol against the published ones."""
    published = PROTOCOLS.get(dataset, {}).get(name, Protocol({}))
    found, sha256 = measure(annotations), checksum(annotations)
    fits = all(split in found and _fits(found[split], counts) for split, counts in published.splits.items())
    if published.sha256:
        status = "as published" if fits and sha256 == published.sha256 else "deviates"
    else:
        status = "no reference" if fits else "deviates"
    listed = {ref.video for refs in (annotations.windows or {}).values() for ref in refs}
    unused = sum(not video.split and video.id not in listed for video in annotations.videos)
    return ProtocolCheck(name or annotations.protocol, status, found, published.splits, unused, sha256)


def _fits(found: Counts, expected: Counts) -> bool:
    pairs = zip(found.numbers, expected.numbers, strict=True)
    return all(wanted is None or value == wanted for value, wanted in pairs)


def _deviations(dataset: str, check: ProtocolCheck, annotations: Annotations) -> list[Finding]:
    findings = []
    if check.status == "deviates":
        what = "the splits are not the published ones"
        mend = "Get the annotations and the split lists again; results cannot be compared with published ones"
        findings.append(Finding("error", check.name, what, mend, tuple(_differences(check))))
    found = (len(annotations.vocabulary.steps), len(annotations.vocabulary.tasks))
    expected = CLASSES.get(dataset, found)
    if found != expected:
        what = f"{found[0]:,} steps and {found[1]} tasks, expected {expected[0]:,} and {expected[1]}"
        findings.append(Finding("error", check.name, what, "Get the files that name steps and tasks again"))
    return findings


def _differences(check: ProtocolCheck) -> list[str]:
    nothing = Counts(0, 0, (0, 0, 0, 0))
    titles = ("videos", "segments", *(f"windows of {horizon} steps" for horizon in HORIZONS))
    lines = [
        f"{split}: {found or 0:,} {title}, expected {expected:,}"
        for split, counts in check.expected.items()
        for title, found, expected in zip(titles, check.splits.get(split, nothing).numbers, counts.numbers, strict=True)
        if expected is not None and found != expected
    ]
    return lines or ["the counts are right, but other videos are listed (checksum)"]


def _contents(read: Sequence[Annotations]) -> dict[str, int]:
    if not read:
        return {}
    vocabulary, videos = read[0].vocabulary, read[0].videos
    counts = {
        "videos": len(videos),
        "segments": sum(len(video.segments) for video in videos),
        "steps": len(vocabulary.steps),
        "tasks": len(vocabulary.tasks),
        "verbs": len(vocabulary.verbs),
        "nouns": len(vocabulary.nouns),
    }
    return {what: count for what, count in counts.items() if count}


def _check_features(
    dataset: str,
    root: Path,
    folder: Path,
    read: Sequence[Annotations],
    features: Path | None,
    key: str | None,
) -> tuple[list[FeatureCheck], list[Finding]]:
    from leaplan.data.check_features import check_features, find_features  # imports torch

    if features is not None:
        path = features.expanduser()
        path = path if path.exists() else folder / path
        if not path.exists():
            return [], [Finding("error", str(features), "does not exist", "Give a folder or a file that is there")]
        paths = [path]
    else:
        paths = find_features(folder, read[0]) if read else []
    checked = [check_features(path, read[0], key, features is not None) for path in paths] if read else []
    checks = [entry for entry, _ in checked if entry]
    findings = [finding for _, found in checked for finding in found]
    if read and not paths and dataset in ABSENT:
        mend = (
            f"Put one array per video, a row per second, into {folder / 'features'}; then\n"
            f"leaplan check-data {dataset} --root {root} --features features"
        )
        findings.append(Finding("absent", "features", ABSENT[dataset], mend))
    return checks, findings


def _merged(findings: Sequence[Finding], protocols: int) -> list[Finding]:
    """Say once what was found under several protocols."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        places.setdefault(replace(finding, where=""), []).append(finding.where)
    return [
        replace(finding, where="" if len(where) == protocols > 1 else ", ".join(where))
        for finding, where in places.items()
    ]
