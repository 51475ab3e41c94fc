"""The command line: ``python -m genre_utils COMMAND``.

Exit codes: 0 is a good answer, 1 a bad one (a split leaks), 2 wrong input.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genre_utils.project import KNOWN_DATASETS, ProjectError

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; by default those it was called with.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except ProjectError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    except ModuleNotFoundError as error:
        advice = "install the extra 'study': pip install 'genre_utils[study]'"
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

    info = commands.add_parser(
        "info",
        help="say what is there of a data set",
        description="Print what is there of each genre of a data set, its terms and its citation.",
    )
    info.add_argument("dataset", metavar="DATASET", help=f"{known}, or a folder")
    info.set_defaults(run=_info)
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

    table = datasets.read_csv(file, dtype="str")
    if not {"track_id", "genre"} <= set(table.columns):
        raise datasets.DatasetError(
            f"{file}: found the columns {', '.join(map(str, table.columns))}; "
            "expected track_id, genre and, to find shared artists, artist_id"
        )
    ids = table["track_id"]
    datasets.fail_at(file, ids.isna().to_numpy(), "an empty track_id", ids)
    datasets.fail_at(file, ids.duplicated().to_numpy(), "a second row for this track", ids)
    return table


def _info(options: argparse.Namespace) -> int:
    from genre_utils import datasets

    dataset = datasets.load(options.dataset)
    tables = ", ".join(path.name for path in dataset.tables.values()) or "none"
    print(f"{dataset.title}: {len(dataset.tracks)} tracks in {dataset.root}\n")
    print(datasets.describe(dataset).to_string())
    print(f"\nfeature tables: {tables}\nlicence: {dataset.licence}\ncite: {dataset.citation}")
    return 0
