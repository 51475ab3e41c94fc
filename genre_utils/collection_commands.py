"""The commands ``features`` and ``split``: a collection of one's own, ready to learn from."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genre_utils.project import KNOWN_DATASETS, ProjectError, write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from genre_utils.datasets import Dataset

_PROTOCOLS = ("artist_grouped", "fault_filtered", "track_random", "segment_random")
_SHOWN = 5


def add(commands: argparse._SubParsersAction) -> None:
    """Add both commands to those of the command line."""
    known = ", ".join(KNOWN_DATASETS)
    features = commands.add_parser(
        "features",
        help="compute the 57 features of sound files",
        description="Write a table of the 57 features (means and variances of chroma, loudness, "
        "spectral shape, MFCCs; tempo), one row for each segment of each sound file below a "
        "folder. Sub-folders are taken for genres where there are at least two. A file that "
        "cannot be used is a row in a report beside the table, with its reason. Exit code 0: "
        "every file is in the table; 1: some are in the report; 2: wrong input.",
    )
    features.add_argument("folder", metavar="FOLDER", help=f"a folder, or {known}")
    features.add_argument("-o", "--output", metavar="TABLE.csv", type=Path, required=True)
    features.add_argument(
        "--seconds",
        metavar="S",
        type=_positive_seconds,
        default=30.0,
        help="length of a segment; a file of up to twice this is one segment, one of less than "
        "half cannot be used (default: 30)",
    )
    features.set_defaults(run=_features)

    split = commands.add_parser(
        "split",
        help="part a collection into training and test so that artists are kept apart",
        description="Write which track is to be trained and which to be tested on, then say what "
        "these parts have in common, as the command leakage does. Exit code 0: no leak; 1: the "
        "split leaks (it is written all the same); 2: wrong input, or the protocol is impossible.",
    )
    split.add_argument(
        "source",
        metavar="FOLDER_OR_TABLE",
        help="a folder with one sub-folder a genre (artists from its tracks.csv), a CSV file with "
        "the columns track_id, genre, artist_id (or artist), such as features or collect writes, "
        f"or {known}",
    )
    split.add_argument("-o", "--output", metavar="SPLIT.csv", type=Path, required=True)
    split.add_argument(
        "--protocol",
        choices=_PROTOCOLS,
        default=_PROTOCOLS[0],
        help="artist_grouped (default): whole artists; fault_filtered: parts that the collection "
        "brings along; track_random: whole tracks; segment_random: segments, as one should not",
    )
    split.add_argument(
        "--folds", metavar="N", type=int, default=5, help="1/N of it is tested on (default: 5)"
    )
    split.add_argument(
        "--fold", metavar="K", type=int, help="test on this fold (default: on the first)"
    )
    split.add_argument(
        "--valid", action="store_true", help="take a validation part out of the training part"
    )
    split.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    split.set_defaults(run=_split)


def _positive_seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


def _features(options: argparse.Namespace) -> int:
    import pandas as pd

    from genre_utils import features

    dataset = _collection(options.folder)
    found = features.table(dataset, segment_s=options.seconds)
    paths = dataset.tracks.set_index("track_id")["audio_path"]
    files = paths.reindex(found.items["track_id"]).map(
        lambda path: path.relative_to(dataset.root).as_posix() if isinstance(path, Path) else ""
    )
    items = found.items[["track_id", "genre", "artist_id", "segment_index", "segment_start_s"]]
    items = items.assign(file=files.to_numpy()).astype({"genre": "str"})
    values = pd.DataFrame(found.X, columns=list(found.names))
    write_table(options.output, pd.concat([items, values], axis=1))
    n_tracks = found.items["track_id"].nunique()
    print(
        f"{options.output}: {len(items)} rows of {n_tracks} files, {len(found.names)} features"
        + (" (from the public table)" if found.source == "table" else "")
    )
    report = options.output.with_suffix(".failures.csv")
    if found.failures.empty:
        report.unlink(missing_ok=True)
        return 0
    write_table(report, found.failures)
    print(f"{len(found.failures)} file(s) left out, listed in {report}:")
    for row in found.failures.head(_SHOWN).itertuples():
        print(f"  {row.file}: {row.reason}")
    return 1


def _collection(folder: str) -> "Dataset":
    """Return a data set, or the sound files of a folder that holds no genres."""
    import pandas as pd

    from genre_utils import datasets, inference

    path = Path(folder).expanduser()
    if folder in KNOWN_DATASETS or (path.is_dir() and _has_genres(path)):
        return datasets.load(folder)
    if not path.is_dir():
        raise ProjectError(f"{folder}: no such folder; expected one with sound files in it")
    files = inference.sound_files(path)
    table = pd.DataFrame(
        {"track_id": [file.relative_to(path).as_posix() for file in files], "audio_path": files}
    )
    tracks = table.reindex(columns=list(datasets.TRACK_COLUMNS))
    return datasets.Dataset(path.name, path.name, path, tracks, {}, (), False, "-", "-")


def _has_genres(folder: Path) -> bool:
    from genre_utils import datasets

    try:
        datasets.load(str(folder))
    except datasets.DatasetError:
        if (folder / "tracks.csv").is_file():
            raise  # whoever wrote one wants to know what is wrong with it
        return False
    return True


def _split(options: argparse.Namespace) -> int:
    from genre_utils import audit, splits

    items, tracks = _items(options.source)
    found = splits.make_splits(items, options.protocol, n_folds=options.folds, seed=options.seed)
    chosen = found[0] if options.fold is None else _fold(found, options.fold)
    if options.valid and not len(chosen.valid):
        fit, valid = splits.inner_folds(
            items, chosen.train, n_folds=options.folds, seed=options.seed
        )[0]
        chosen = replace(chosen, train=fit, valid=valid)
    columns = [
        name for name in ("track_id", "segment_index", "genre", "artist_id") if name in items
    ]
    parts = items[columns].assign(part=None)
    for part in ("train", "valid", "test"):
        parts.loc[parts.index[getattr(chosen, part)], "part"] = part
    left_out = parts["part"].isna()
    write_table(options.output, parts[~left_out])
    counts = parts["part"].value_counts()
    print(f"{options.output}: " + ", ".join(f"{n} {part}" for part, n in counts.items()))
    if left_out.any():
        why = "no artist is known" if options.protocol == "artist_grouped" else "they have no part"
        print(f"{left_out.sum()} left out, since {why}")
    leaks = audit.leakage(parts, tracks)
    if not leaks.empty:
        print(leaks.to_string(index=False))
    n_leaks = int(leaks["severity"].eq("leak").sum())
    print(f"{n_leaks} leak(s) found" if n_leaks else "no leak found")
    return 1 if n_leaks else 0


def _fold(found: list, wanted: int):
    by_number = {split.fold: split for split in found}
    if wanted not in by_number:
        numbers = ", ".join(map(str, by_number))
        raise ProjectError(f"--fold {wanted}: there is no such fold; there are {numbers}")
    return by_number[wanted]


def _items(source: str) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Return the items to part and the track table, of a table or a data set."""
    from genre_utils import datasets

    file = Path(source).expanduser()
    if not file.is_file():
        tracks = datasets.load(source, missing_ok=True).tracks
        return tracks, tracks
    items = datasets.read_tracks(file)
    whole = "segment_index" if "segment_index" in items else None
    keys = ["track_id", whole] if whole else ["track_id"]
    datasets.fail_at(
        file, items.duplicated(keys).to_numpy(), "a second row for this track", items["track_id"]
    )
    return items, items.drop_duplicates("track_id")


def write_table(file: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV to a file that the user named.

    Raises
    ------
    ProjectError
        If the file cannot be written.
    """
    try:
        write_atomic(file, table.to_csv(index=False))
    except OSError as error:
        raise ProjectError(
            f"{file}: cannot be written ({error.strerror}); name another file with -o"
        ) from error
