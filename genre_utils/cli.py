"""The command line: ``python -m genre_utils COMMAND``.

Exit codes: 0 is a good answer, 1 a bad one (a split leaks, a file is missing or cannot be read,
a data set has faults), 2 wrong input.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genre_utils import collection_commands, demo_command, predict_command
from genre_utils.project import KNOWN_DATASETS, ProjectError

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; by default those it was called with.
    """
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except ProjectError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    except BrokenPipeError:
        # Whoever read the lines, such as `head`, has enough; nothing may try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        extra = "demo" if options.run is demo_command.run else "study"
        advice = f"install the extra '{extra}': pip install 'genre_utils[{extra}]'"
        print(f"error: this command needs {error.name}; {advice}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m genre_utils",
        description="Tools of the music genre study.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    known = ", ".join(KNOWN_DATASETS)

    leakage = commands.add_parser(
        "leakage",
        help="tell whether a split of your own leaks from one part to another",
        description="Print what the parts of a split have in common (tracks, artists, equal "
        "recordings). Exit code 0: no leak; 1: the split leaks; 2: wrong input.",
    )
    leakage.add_argument(
        "split",
        metavar="SPLIT.csv",
        type=Path,
        help="columns track_id (or filename: blues.00000.wav, blues.00000.3.wav) and part",
    )
    tracks = leakage.add_mutually_exclusive_group(required=True)
    tracks.add_argument(
        "--tracks",
        metavar="TRACKS.csv",
        type=Path,
        help="columns track_id, genre and, where known, artist_id, sha256, known_fault",
    )
    tracks.add_argument(
        "--dataset",
        metavar="DATASET",
        help=f"take the tracks from a data set instead: {known}, or a folder; "
        "for GTZAN no file of it is needed",
    )
    leakage.set_defaults(run=_leakage)

    audit = commands.add_parser(
        "audit",
        help="look for faulty files and for repetitions in a data set",
        description="Print what is wrong with a data set: files that cannot be used, are silent, "
        "clipped, noise or too short, and music that is there more than once. Exit code 0: no "
        "fault; 1: faults were found; 2: wrong input.",
    )
    audit.add_argument("dataset", metavar="DATASET", help=f"{known}, or a folder")
    audit.add_argument(
        "-o", "--output", metavar="AUDIT.csv", type=Path, help="write every finding to this file"
    )
    audit.set_defaults(run=_audit)

    info = commands.add_parser(
        "info",
        help="say what is there of a data set",
        description="Print what is there of each genre of a data set, its terms and its citation.",
    )
    info.add_argument("dataset", metavar="DATASET", help=f"{known}, or a folder")
    info.set_defaults(run=_info)
    _add_fetch(commands, known)
    _add_validate(commands, known)
    _add_collect(commands)
    collection_commands.add(commands)
    predict_command.add(commands)
    demo_command.add(commands)
    return parser


def _leakage(options: argparse.Namespace) -> int:
    from genre_utils import audit, datasets

    parts = _read_split(options.split)
    if options.tracks is None:
        tracks = datasets.load(options.dataset, missing_ok=True).tracks
    else:
        tracks = _read_tracks(options.tracks)
    found = audit.leakage(parts, tracks)
    counts = parts.drop_duplicates()["part"].value_counts()
    print("tracks: " + ", ".join(f"{n} {part}" for part, n in counts.items()))
    if not found.empty:
        print(found.to_string(index=False))
    leaks = int(found["severity"].eq("leak").sum())
    print(f"{leaks} leak(s) found" if leaks else "no leak found")
    return 1 if leaks else 0


def _read_split(file: Path) -> "pd.DataFrame":
    from genre_utils import datasets

    table = datasets.read_csv(file, dtype="str")
    if "part" not in table or not {"track_id", "filename"} & set(table.columns):
        raise datasets.DatasetError(
            f"{file}: found the columns {', '.join(map(str, table.columns))}; "
            "expected track_id (or filename) and part"
        )
    if "track_id" not in table:
        parsed = [datasets.parse_filename(str(name)) for name in table["filename"]]
        table["track_id"] = [
            name if known is None else known[0]
            for name, known in zip(table["filename"], parsed, strict=True)
        ]
    ids = table["track_id"]
    datasets.fail_at(file, ids.isna().to_numpy(), "an empty name of a track", ids)
    if table["part"].isna().all():
        raise datasets.DatasetError(f"{file}: no row has a part; expected such as train or test")
    return table[["track_id", "part"]]


def _read_tracks(file: Path) -> "pd.DataFrame":
    from genre_utils import datasets

    table = datasets.read_tracks(file)
    ids = table["track_id"]
    datasets.fail_at(file, ids.duplicated().to_numpy(), "a second row for this track", ids)
    return table


def _audit(options: argparse.Namespace) -> int:
    from genre_utils import audit, datasets

    dataset = datasets.load(options.dataset)
    found = audit.audit(dataset)
    if options.output is not None:
        collection_commands.write_table(options.output, found)
    n_audio = int(dataset.tracks["audio_path"].notna().sum())
    print(f"{dataset.title}: {len(dataset.tracks)} tracks, {n_audio} with a sound file")
    for severity, rows in found.groupby("severity", sort=False):
        kinds = rows["fault"].value_counts(sort=False)
        print(f"\n{severity}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()))
        for row in rows.head(_SHOWN).itertuples():
            names = [name for name in (row.track_id, row.file) if isinstance(name, str)]
            print(f"  {row.fault}  {' '.join(names)}: {row.reason}")
        if len(rows) > _SHOWN:
            print(f"  ... and {len(rows) - _SHOWN} more; -o FILE.csv writes them all")
    faults = int(found["severity"].eq("fault").sum())
    print(f"\n{faults} fault(s) found" if faults else "\nno fault found")
    return 1 if faults else 0


def _info(options: argparse.Namespace) -> int:
    from genre_utils import datasets

    dataset = datasets.load(options.dataset)
    tables = ", ".join(path.name for path in dataset.tables.values()) or "none"
    print(f"{dataset.title}: {len(dataset.tracks)} tracks in {dataset.root}\n")
    print(datasets.describe(dataset).to_string())
    print(f"\nfeature tables: {tables}\nlicence: {dataset.licence}\ncite: {dataset.citation}")
    return 0


def _add_fetch(commands: argparse._SubParsersAction, known: str) -> None:
    fetch = commands.add_parser(
        "fetch",
        help="fetch a data set where it is not there yet",
        description="Fetch GTZAN or GTZAN mini to DATA_ROOT, or make the demo set, where it is "
        "not there yet; then say what there is. A transfer that was cut off goes on.",
    )
    fetch.add_argument("dataset", metavar="DATASET", help=f"{known}, or a folder (only described)")
    fetch.add_argument(
        "--archive",
        metavar="FILE",
        type=Path,
        help="unpack this zip or tar.gz archive instead of asking the network for one",
    )
    fetch.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> int:
    if options.dataset in ("gtzan", "gtzan-mini"):
        from genre_utils import downloads

        try:
            root = downloads.fetch(options.dataset, archive=options.archive)
        except downloads.DownloadError as error:
            if error.instructions:
                print(error.instructions, file=sys.stderr)
            raise
        if root is None:
            print(
                "There are sound files already, so nothing was fetched. To see what is missing: "
                f"python -m genre_utils validate {options.dataset}\n"
            )
        else:
            print(f"Fetched to {root}\n")
    elif options.archive is not None:
        raise ProjectError("--archive is for gtzan and gtzan-mini; unpack this one yourself")
    return _info(options)


def _add_validate(commands: argparse._SubParsersAction, known: str) -> None:
    validate = commands.add_parser(
        "validate",
        help="list what is missing of a data set and what differs",
        description="List tracks without sound file, picture or row in a table, files that "
        "differ from their checksums, headers that cannot be read and files that do not belong. "
        "Exit code 0: complete; 1: something is listed; 2: wrong input.",
    )
    validate.add_argument("dataset", metavar="DATASET", help=f"{known}, or a folder")
    validate.add_argument(
        "-o", "--output", metavar="FILE.csv", type=Path, help="write the whole list to this file"
    )
    validate.set_defaults(run=_validate)


def _validate(options: argparse.Namespace) -> int:
    from genre_utils import datasets

    dataset = datasets.load(options.dataset)
    found = datasets.validate(dataset)
    if options.output is not None:
        collection_commands.write_table(options.output, found)
    print(f"{dataset.title}: {len(dataset.tracks)} tracks in {dataset.root}")
    for (problem, detail), rows in found.groupby(["problem", "detail"], sort=False):
        about = f" ({detail})" if detail else ""
        shown = ", ".join(rows["item"].head(3)) + (", ..." if len(rows) > 3 else "")
        print(f"  {len(rows):>5} x {problem}{about}: {shown}")
    if found.empty:
        print("nothing is missing, nothing differs")
    elif options.output is None:
        print("-o FILE.csv writes the whole list")
    return 0 if found.empty else 1


def _add_collect(commands: argparse._SubParsersAction) -> None:
    collect = commands.add_parser(
        "collect",
        help="make a data set from a folder of whole songs",
        description="Cut clips from whole songs and split them by artist. FOLDER holds one "
        "sub-folder a genre (artists from the files' tags or the folders below), or songs.csv "
        "with the columns file, genre, artist, kind, part, of which only file is a must. Exit code "
        "0: every song is in it; 1: some were left out, with reasons; 2: wrong input.",
    )
    collect.add_argument("folder", metavar="FOLDER", type=Path)
    collect.add_argument("-o", "--output", metavar="OUT", type=Path, required=True)
    collect.add_argument("--clips", type=int, default=1, help="clips a song (default: 1)")
    collect.add_argument("--seconds", type=float, default=30.0, help="of a clip (default: 30)")
    collect.add_argument("--where", choices=("middle", "random", "start"), default="middle")
    collect.add_argument("--seed", type=int, default=0, help="of places and split (default: 0)")
    collect.add_argument(
        "--test-share", type=float, default=0.3, help="share of clips to test on (default: 0.3)"
    )
    collect.set_defaults(run=_collect)


def _collect(options: argparse.Namespace) -> int:
    from genre_utils import collect

    try:
        collection = collect.collect(
            options.folder,
            options.output,
            clips=options.clips,
            seconds=options.seconds,
            where=options.where,
            seed=options.seed,
            test_share=options.test_share,
        )
    except OSError as error:
        raise ProjectError(
            f"{error.filename or options.output}: {error.strerror}; name another folder with -o"
        ) from error
    for warning in collection.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    tracks, failures = collection.tracks, collection.failures
    counts = tracks.groupby(["genre", "fault_filtered_split"]).size().unstack(fill_value=0)
    print(counts.to_string())
    print(
        f"{len(tracks)} clips of {tracks['source_file'].nunique()} songs by "
        f"{tracks['artist_id'].nunique()} artists in {options.output}"
    )
    if len(failures):
        print(f"{len(failures)} song(s) left out, see {options.output / 'failures.csv'}:")
        print(failures.head(5).to_string(index=False))
    return 1 if len(failures) else 0
