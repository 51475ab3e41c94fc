"""Descriptions of GTZAN's tracks that others computed: read, checked and aligned.

One row a track is a `Representation`: a matrix that knows its tracks, what its columns are,
where it comes from and under which terms. Scores over time come track by track.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import GENRES, datasets, project

MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists",
    "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s",
    "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country",
    "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock",
    "60s", "rnb", "indie pop", "sad", "House", "happy",
)  # fmt: skip
"""The 50 tags of the Million Song Dataset that musicnn scores, in its order."""

N_LAYERS = 5
"""Layers of the network of Choi et al. (2017)."""

_TAGGRAM_FILES = {
    "train": "training_data_GTZAN_MSDmusicnn_taggram.npz",
    "test": "evaluation_data_GTZAN_MSDmusicnn_taggram.npz",
}
_CHOI_LICENCE = (
    "No licence is stated beside the files (github.com/keunwoochoi/transfer_learning_music); "
    "cite Choi et al., ISMIR 2017"
)
_CONTAMINATED = (
    "computed in batches of 256 tracks in genre order, with the statistics of each batch: "
    "every row depends on its neighbours' genres"
)


class RepresentationError(project.ProjectError):
    """A file that is missing, damaged, or not about the tracks that it should be about."""


@dataclass(frozen=True, eq=False)
class Representation:
    """One row of numbers for each track.

    Attributes
    ----------
    X : np.ndarray [shape=(n_tracks, n_features), dtype=float32 or float64]
        Finite numbers.
    track_ids : tuple of str
        The rows' tracks, sorted.
    names : tuple of str
        What the columns are.
    source, licence : str
        Where the numbers come from, and the terms of use.
    contaminated : str
        Why no honest result can rest on them; empty where one can.
    """

    X: np.ndarray
    track_ids: tuple[str, ...]
    names: tuple[str, ...]
    source: str
    licence: str
    contaminated: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of tracks, names and numbers."""
        numbers = np.ascontiguousarray(self.X, "<f8").tobytes()
        return project.text_digest(
            *self.track_ids, *self.names, hashlib.sha256(numbers).hexdigest()
        )

    def rows(self, track_ids: Sequence[str]) -> np.ndarray:
        """Return the rows of some tracks, in their order.

        Raises
        ------
        RepresentationError
            If a track has no row here; says which.
        """
        positions = pd.Index(self.track_ids).get_indexer(pd.Index(list(track_ids)))
        missing = [track for track, at in zip(track_ids, positions, strict=True) if at < 0]
        if missing:
            raise RepresentationError(
                f"{len(missing)} of {len(positions)} tracks are not in this representation "
                f"({self.source}), e.g. {missing[0]}; it has {len(self.track_ids)}: select "
                "among its track_ids"
            )
        return self.X[positions]


def taggram_series(*, root: Path | None = None) -> dict[str, np.ndarray]:
    """Return each track's tag scores over time, as published.

    Returns
    -------
    dict of str to np.ndarray [shape=(n_moments, 50), dtype=float32]
        Track → scores [range=(0, 1)] of `MSD_TAGS` every second or so, sorted by track.

    Raises
    ------
    RepresentationError
        If a file is missing or damaged, or is not about exactly the training (or test)
        tracks of the fault-filtered split with their genres.
    """
    index = datasets.gtzan_index()
    series = {}
    for part, name in _TAGGRAM_FILES.items():
        file = _folder(root) / "musicnn_taggrams" / name
        X, labels, tracks = _read_taggrams(file)
        expected = set(index.loc[index["fault_filtered_split"].eq(part), "track_id"])
        _check_tracks(file, set(tracks), expected, f"the {part} part of the fault-filtered split")
        genres = np.array([track.split(".")[0] for track in tracks])
        wrong = genres != np.array(GENRES, dtype=object)[labels]
        if wrong.any():
            raise RepresentationError(
                f"{file}: {wrong.sum()} rows have another label than their name says, e.g. "
                f"{tracks[int(np.argmax(wrong))]}; fetch the file again"
            )
        order = np.argsort(tracks, kind="stable")
        starts = np.flatnonzero(np.append(True, tracks[order][1:] != tracks[order][:-1]))
        for rows in np.split(order, starts[1:]):
            series[str(tracks[rows[0]])] = X[rows]
    return dict(sorted(series.items()))


def _read_taggrams(file: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            X, labels, names = arrays["X"], arrays["Y"], arrays["IDS"]
    except FileNotFoundError as error:
        raise _missing(file) from error
    except Exception as error:  # numpy, zipfile and zlib each have their own for a damaged file
        raise RepresentationError(
            f"{file}: cannot be read ({error}); expected the arrays X, Y and IDS: fetch it again"
        ) from error
    if X.ndim != 2 or X.shape[1] != len(MSD_TAGS) or not len(X) == len(labels) == len(names):
        raise RepresentationError(
            f"{file}: X has the shape {X.shape}, for {len(labels)} labels and {len(names)} names; "
            f"expected (n, {len(MSD_TAGS)}) and n of both"
        )
    _check_finite(file, X)
    if not np.isin(labels, range(len(GENRES))).all():
        raise RepresentationError(f"{file}: Y has labels other than 0 to {len(GENRES) - 1}")
    return X, labels, _track_ids(file, names)


def published_order(*, root: Path | None = None) -> tuple[str, ...]:
    """Return the tracks in the order in which Choi et al. (2017) computed their features.

    Raises
    ------
    RepresentationError
        If the file is missing or does not name GTZAN's 1,000 tracks.
    """
    file = _folder(root) / "choi2017" / "gtzan_genre.csv"
    try:
        names = pd.read_csv(file)["filepath"]
    except FileNotFoundError as error:
        raise _missing(file) from error
    except (KeyError, ValueError) as error:
        raise RepresentationError(
            f"{file}: cannot be read as a table with a column filepath ({error}); fetch it again"
        ) from error
    tracks = _track_ids(file, names)
    _check_tracks(file, set(tracks), set(datasets.gtzan_index()["track_id"]), "GTZAN")
    return tuple(tracks)


def mfcc_statistics(*, root: Path | None = None) -> Representation:
    """Return the published means and deviations of 20 MFCCs, their slopes and curvatures.

    Each row was computed from its own track alone: the honest companion of `choi_features`.

    Raises
    ------
    RepresentationError
        If a file is missing, damaged or of another size.
    """
    names = tuple(
        f"{kind}mfcc{number}_{statistic}"
        for kind in ("", "delta ", "delta-delta ")
        for statistic in ("mean", "std")
        for number in range(1, 21)
    )
    return _published("gtzan_genre_mfcc.npy", names, root, "MFCC statistics")


def choi_features(
    *, layers: Sequence[int] = range(1, N_LAYERS + 1), root: Path | None = None
) -> Representation:
    """Return the published features of the convnet: contaminated, for the case study only.

    Parameters
    ----------
    layers : sequence of int
        Layers from 1 to 5, joined in this order; 32 features each.
    root : Path, optional
        GTZAN's folder, instead of the one in the data folder.

    Raises
    ------
    RepresentationError
        If a file is missing, damaged or of another size.
    """
    parts = [
        _published(
            f"gtzan_genre_layer_{layer - 1}.npy",
            tuple(f"layer{layer}_{channel:02d}" for channel in range(32)),
            root,
            "convnet features",
        )
        for layer in layers
    ]
    return Representation(
        np.hstack([part.X for part in parts]),
        parts[0].track_ids,
        sum((part.names for part in parts), ()),
        parts[0].source,
        _CHOI_LICENCE,
        contaminated=_CONTAMINATED,
    )


def _published(file_name: str, names: tuple[str, ...], root: Path | None, what: str):
    file = _folder(root) / "choi2017" / file_name
    order = np.array(published_order(root=root))
    try:
        X = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise _missing(file) from error
    except (ValueError, EOFError, OSError) as error:
        raise RepresentationError(
            f"{file}: cannot be read as an array ({error}); fetch it again"
        ) from error
    if X.shape != (len(order), len(names)):
        raise RepresentationError(
            f"{file}: has the shape {X.shape}; expected {(len(order), len(names))}, rows as in "
            "gtzan_genre.csv"
        )
    _check_finite(file, X)
    rows = np.argsort(order)
    source = f"{what} published by Choi et al. 2017 (arXiv:1703.09179)"
    return Representation(X[rows], tuple(order[rows].tolist()), names, source, _CHOI_LICENCE)


def _folder(root: Path | None) -> Path:
    return project.dataset_root("gtzan") if root is None else Path(root)


def _missing(file: Path) -> RepresentationError:
    return RepresentationError(
        f"{file}: no such file; it is published beside the paper and does not come with GTZAN. "
        "Put it there, or leave this representation out"
    )


def _track_ids(file: Path, names: Sequence[str]) -> np.ndarray:
    unique = {name: datasets.parse_filename(Path(str(name)).name) for name in set(names)}
    strange = [name for name, parsed in unique.items() if parsed is None]
    if strange:
        raise RepresentationError(
            f"{file}: {strange[0]!r} is no name of a track; expected names such as blues.00000.au"
        )
    return np.array([unique[name][0] for name in names])


def _check_tracks(file: Path, found: set[str], expected: set[str], what: str) -> None:
    if found != expected:
        example = sorted(found ^ expected)[0]
        raise RepresentationError(
            f"{file}: is about {len(found)} tracks; expected the {len(expected)} of {what}. "
            f"{example}, for one, is {'missing' if example in expected else 'too many'}"
        )


def _check_finite(file: Path, X: np.ndarray) -> None:
    bad = int(np.count_nonzero(~np.isfinite(X)))
    if bad:
        raise RepresentationError(f"{file}: {bad} values are not finite; fetch it again")
