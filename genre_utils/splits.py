"""The four ways of parting a data set into training and test, from lax to strict.

``segment_random`` lets segments of one track fall on both sides, ``track_random`` keeps
tracks whole, ``artist_grouped`` keeps artists whole, and ``fault_filtered`` is the
published split without repetitions and without spoilt tracks of Kereliuk, Sturm &
Larsen (2015), "Deep learning and music adversaries", IEEE Trans. Multimedia 17(11).
The published artist folds of GTZAN are those of Foleiss & Tavares (2020), "Texture
selection for automatic music genre classification", Applied Soft Computing 89.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from genre_utils.project import ProjectError

PROTOCOLS = ("segment_random", "track_random", "artist_grouped", "fault_filtered")

_FAIR_FOLDS = 5


class SplitError(ProjectError):
    """A protocol that is impossible on these items; the message gives the reason."""


def _no_positions() -> np.ndarray:
    return np.empty(0, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class Split:
    """One way of parting items, checked when it is made.

    Attributes
    ----------
    protocol : str
        One of `PROTOCOLS`.
    fold : int
        Number of the fold: the published one where folds are published, else from 0.
    seed : int
        The seed it was asked for; published splits are the same for every seed.
    train, test : np.ndarray [shape=(n,), dtype=intp]
        Positions into the items, ascending, not empty.
    valid : np.ndarray [shape=(n,), dtype=intp]
        Positions of a published validation part; empty where there is none.

    Raises
    ------
    SplitError
        If a position is in two parts or twice in one, or if training or test is empty.
    """

    protocol: str
    fold: int
    seed: int
    train: np.ndarray
    test: np.ndarray
    valid: np.ndarray = field(default_factory=_no_positions)

    def __post_init__(self):
        """Sort the positions and refuse parts that overlap or are empty."""
        for part in ("train", "test", "valid"):
            positions = np.sort(np.asarray(getattr(self, part), dtype=np.intp))
            positions.setflags(write=False)
            object.__setattr__(self, part, positions)
        for part in ("train", "test"):
            if not len(getattr(self, part)):
                raise SplitError(f"{self._name}: the {part} part is empty")
        everything = np.concatenate([self.train, self.test, self.valid])
        shared = len(everything) - len(np.unique(everything))
        if shared:
            raise SplitError(f"{self._name}: {shared} items are used twice")

    @property
    def _name(self) -> str:
        return f"{self.protocol}, fold {self.fold}, seed {self.seed}"


def make_splits(
    items: pd.DataFrame, protocol: str, *, n_folds: int = 3, seed: int = 0
) -> list[Split]:
    """Part items as the field does under one protocol.

    Parameters
    ----------
    items : pd.DataFrame
        One row a segment: ``track_id``, ``genre``, and what the protocol needs of
        ``artist_id``, ``artist_fold``, ``fault_filtered_split``.
    protocol : str
        ``segment_random``: segments in stratified folds, whatever their track.
        ``track_random``: whole tracks in stratified folds.
        ``artist_grouped``: the published folds where items have an ``artist_fold``
        (fold f tests the tracks with ``artist_fold`` f), else stratified folds of whole
        artists; tracks without an artist are left out.
        ``fault_filtered``: the one published split.
    n_folds : int
        How many folds to make, at least 2; published folds stay as many as they are.
    seed : int
        Decides what is drawn at random.

    Returns
    -------
    list of Split
        One for each fold; every genre is in the training and the test part of each.

    Raises
    ------
    SplitError
        If the protocol is unknown or impossible on these items.
    """
    _check(items, protocol)
    if n_folds < 2:
        raise SplitError(f"{n_folds} folds were asked for; at least 2 are needed")
    if protocol == "segment_random":
        folds = _segment_folds(items, n_folds, seed)
    elif protocol == "track_random":
        folds = _track_folds(items, n_folds, seed)
    elif protocol == "artist_grouped":
        folds = _artist_folds(items, n_folds, seed)
    else:
        return [_fault_filtered(items, seed)]
    # A negative fold number marks what the protocol leaves out.
    splits = [
        Split(
            protocol,
            int(fold),
            seed,
            np.flatnonzero((folds >= 0) & (folds != fold)),
            np.flatnonzero(folds == fold),
        )
        for fold in np.unique(folds[folds >= 0])
    ]
    for split in splits:
        _check_genres(items, split, ("train", "test"))
    return splits


def fair_splits(items: pd.DataFrame, protocol: str, *, seed: int = 0) -> list[Split]:
    """Part items so that the protocols differ in what may leak and in little else.

    Under every protocol the folds together test the segments of the tracks in the
    fault-filtered test part, each once, and each fold trains on as many segments as the
    fault-filtered training part has, genre by genre. They are drawn track by track, so
    that they come from about as many tracks, too. How many artists they come from is not
    held equal: more than in the fault-filtered training part.

    Parameters
    ----------
    items : pd.DataFrame
        One row a segment: ``track_id``, ``genre``, ``fault_filtered_split``, and
        ``segment_index`` for ``segment_random``, ``artist_id`` for ``artist_grouped``.
    protocol : str
        ``segment_random``: fold k tests segment k of each test track and draws from all
        other segments of the data, those of the same tracks included.
        ``track_random``: the test tracks in up to five stratified folds; draws from
        all tracks outside the fold's test part.
        ``artist_grouped``: all test tracks at once; draws from the tracks of artists that
        have no test track, never from those without an artist. Test tracks without an
        artist (7 of 290 in GTZAN) are tested all the same, so that the test items stay
        equal; whether their artist is in training is not known.
        ``fault_filtered``: the published split itself.
    seed : int
        Decides the folds and the draws.

    Returns
    -------
    list of Split
        One for each fold. Every genre is in each training part; where a genre has too few
        segments left to draw from, all of them are taken.

    Raises
    ------
    SplitError
        If the items have no fault-filtered split or the protocol is impossible.
    """
    _check(items, protocol)
    published = _fault_filtered(items, seed)
    if protocol == "fault_filtered":
        return [published]
    tested = np.zeros(len(items), dtype=bool)
    tested[published.test] = True
    if protocol == "segment_random":
        _check_segments(items)
        folds = np.where(tested, items["segment_index"].to_numpy(dtype=int), -1)
    elif protocol == "track_random":
        tracks = _tracks(items[tested])
        dealt = _deal(tracks["genre"].to_numpy(), _groups(tracks, by_artist=False), seed)
        fold_of = dict(zip(tracks["track_id"], dealt, strict=True))
        folds = np.where(tested, items["track_id"].map(fold_of).fillna(-1), -1).astype(int)
    else:
        folds = np.where(tested, 0, -1)

    wanted = items["genre"].iloc[published.train].value_counts()
    splits = []
    for fold in np.unique(folds[folds >= 0]):
        allowed = folds != fold
        if protocol == "artist_grouped":
            artists = _artists(items)
            allowed &= (artists.notna() & ~artists.isin(artists[tested].dropna())).to_numpy()
        train = _draw_tracks(items, allowed, wanted, np.random.default_rng([seed, int(fold)]))
        split = Split(protocol, int(fold), seed, train, np.flatnonzero(folds == fold))
        _check_genres(items, split, ("train",))
        splits.append(split)
    return splits


def inner_folds(
    items: pd.DataFrame, train: np.ndarray, *, n_folds: int = 3, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Part a training part again, to choose settings without touching the test part.

    Artists are kept whole; a track without an artist counts as an artist of its own. A
    genre with a single artist in the training part cannot be parted that way: its tracks
    are kept whole instead.

    Parameters
    ----------
    items : pd.DataFrame
        One row a segment, as for `make_splits`.
    train : np.ndarray [shape=(n,), dtype=int]
        Positions of the training part in `items`.
    n_folds : int
        How many folds, at least 2.
    seed : int
        Decides the folds.

    Returns
    -------
    list of (fit, score)
        Positions into `items`, ascending; both parts of each pair lie inside `train`, and
        every genre of `train` is in each part to fit on.

    Raises
    ------
    SplitError
        If a genre has a single track in the training part, so that it cannot be parted.
    """
    train = np.sort(np.asarray(train, dtype=np.intp))
    inside = items.iloc[train]
    tracks = _tracks(inside)
    genres = tracks["genre"].to_numpy()
    groups = pd.Series(_groups(tracks, by_artist=True))
    single = groups.groupby(genres).transform("nunique").eq(1).to_numpy()
    groups = np.where(single, _groups(tracks, by_artist=False), groups)
    folds = _deal(genres, groups, seed, n_folds=n_folds)

    item_folds = inside["track_id"].map(dict(zip(tracks["track_id"], folds, strict=True)))
    item_folds = item_folds.to_numpy()
    pairs = []
    for fold in np.unique(folds):
        fit, score = train[item_folds != fold], train[item_folds == fold]
        missing = set(genres) - set(items["genre"].iloc[fit])
        if missing:
            raise SplitError(
                f"the training part cannot be parted into inner folds: {_listed(missing)} would "
                "have nothing to fit on; expected at least two tracks a genre, of two artists"
            )
        pairs.append((fit, score))
    return pairs


def folds_within(
    items: pd.DataFrame, split: Split, *, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return `inner_folds` as positions into `split.train`, not into the items."""
    return [
        (np.searchsorted(split.train, fit), np.searchsorted(split.train, score))
        for fit, score in inner_folds(items, split.train, seed=seed)
    ]


def check_protocol(protocol: str) -> None:
    """Raise a `SplitError` if there is no protocol of that name."""
    if protocol not in PROTOCOLS:
        raise SplitError(f"unknown protocol {protocol!r}; expected one of {', '.join(PROTOCOLS)}")


def _check(items: pd.DataFrame, protocol: str) -> None:
    check_protocol(protocol)
    missing = {"track_id", "genre"} - set(items.columns)
    if missing:
        raise SplitError(f"the items have no column {_listed(missing)}; found {_listed(items)}")
    if not len(items):
        raise SplitError("there are no items to part; see what the feature table left out")


def _check_genres(items: pd.DataFrame, split: Split, parts: Iterable[str]) -> None:
    genres = set(items["genre"])
    for part in parts:
        missing = genres - set(items["genre"].iloc[getattr(split, part)])
        if missing:
            raise SplitError(
                f"{split.protocol} is impossible here: fold {split.fold} would have no "
                f"{_listed(missing)} in its {part} part; use fewer folds or more tracks"
            )


def _check_segments(items: pd.DataFrame) -> None:
    # A few short tracks are no obstacle, so the typical track decides.
    per_track = items.groupby("track_id").size()
    if per_track.median() < 2:
        raise SplitError(
            "segment_random is impossible here: it needs at least two segments a track, and "
            f"{(per_track < 2).sum()} of {len(per_track)} tracks have one; use shorter segments"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names)))


def _tracks(items: pd.DataFrame) -> pd.DataFrame:
    # Sorted, so that the order of the items has no part in what is drawn.
    return items.drop_duplicates("track_id").sort_values("track_id", ignore_index=True)


def _artists(tracks: pd.DataFrame) -> pd.Series:
    if "artist_id" in tracks:
        return tracks["artist_id"]
    return pd.Series(pd.NA, index=tracks.index, dtype="string")


def _groups(tracks: pd.DataFrame, *, by_artist: bool) -> np.ndarray:
    # The prefixes keep an artist called like a track apart from that track.
    groups = "track " + tracks["track_id"].astype("string")
    if by_artist:
        artists = _artists(tracks)
        groups = groups.where(artists.isna(), "artist " + artists.astype("string"))
    return groups.to_numpy(dtype=object)


def _deal(
    genres: np.ndarray, groups: np.ndarray, seed: int, *, n_folds: int = _FAIR_FOLDS
) -> np.ndarray:
    """Return each track's fold: groups whole, stratified, as many folds as are possible."""
    most = pd.Series(groups).groupby(genres).nunique().max()
    n_folds = min(n_folds, int(most))
    folds = np.zeros(len(genres), dtype=int)
    if n_folds < 2:
        return folds
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        dealer = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(dealer.split(genres, genres, groups)):
            folds[test] = fold
    return folds


def _draw_tracks(
    items: pd.DataFrame, allowed: np.ndarray, wanted: pd.Series, rng: np.random.Generator
) -> np.ndarray:
    """Return allowed positions of randomly drawn tracks, `wanted` many of each genre."""
    columns = ["track_id", "genre"] + (["segment_index"] if "segment_index" in items else [])
    pool = items[allowed][columns].assign(position=np.flatnonzero(allowed))
    # Sorted, so that the order of the items has no part in what is drawn.
    pool = pool.sort_values(columns)
    tracks = pool["track_id"].unique()
    pool["turn"] = pool["track_id"].map(
        dict(zip(tracks, rng.permutation(len(tracks)), strict=True))
    )
    pool = pool.sort_values("turn", kind="stable")
    limit = pool["genre"].map(wanted).fillna(0).astype(float)
    taken = pool.groupby("genre").cumcount() < limit
    return pool.loc[taken, "position"].to_numpy()


def _stratified(genres: pd.Series, n_folds: int, seed: int, what: str) -> np.ndarray:
    counts = genres.value_counts()
    if counts.min() < n_folds:
        raise SplitError(
            f"{what} in {n_folds} folds is impossible here: {counts.idxmin()} has only "
            f"{counts.min()}; use fewer folds or more tracks"
        )
    folds = np.empty(len(genres), dtype=int)
    dealer = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(dealer.split(genres, genres)):
        folds[test] = fold
    return folds


def _segment_folds(items: pd.DataFrame, n_folds: int, seed: int) -> np.ndarray:
    _check_segments(items)
    return _stratified(items["genre"], n_folds, seed, "segment_random")


def _track_folds(items: pd.DataFrame, n_folds: int, seed: int) -> np.ndarray:
    tracks = _tracks(items)
    folds = _stratified(tracks["genre"], n_folds, seed, "track_random")
    return items["track_id"].map(dict(zip(tracks["track_id"], folds, strict=True))).to_numpy()


def _artist_folds(items: pd.DataFrame, n_folds: int, seed: int) -> np.ndarray:
    tracks = _tracks(items)
    known = tracks[_artists(tracks).notna()]
    if known.empty:
        raise SplitError(
            "artist_grouped is impossible here: no track has an artist; give them in a file "
            "tracks.csv in the data set's folder, with the columns track_id and artist_id"
        )
    per_genre = known.groupby("genre")["artist_id"].nunique()
    per_genre = per_genre.reindex(sorted(set(items["genre"])), fill_value=0)
    if per_genre.min() < 2:
        raise SplitError(
            "artist_grouped is impossible here: fewer than two artists in "
            f"{_listed(per_genre.index[per_genre < 2])}; more artists are needed"
        )
    if "artist_fold" in known and known["artist_fold"].notna().any():
        known = known[known["artist_fold"].notna()]
        folds = known["artist_fold"].to_numpy(dtype=int)
    else:
        if per_genre.min() < n_folds:
            raise SplitError(
                f"artist_grouped in {n_folds} folds is impossible here: {per_genre.idxmin()} has "
                f"only {per_genre.min()} artists; use fewer folds or more artists"
            )
        groups = _groups(known, by_artist=True)
        folds = _deal(known["genre"].to_numpy(), groups, seed, n_folds=n_folds)
    by_track = dict(zip(known["track_id"], folds, strict=True))
    return items["track_id"].map(by_track).fillna(-1).to_numpy(dtype=int)


def _fault_filtered(items: pd.DataFrame, seed: int) -> Split:
    if "fault_filtered_split" not in items or not items["fault_filtered_split"].notna().any():
        raise SplitError(
            "fault_filtered is impossible here: no track has a fault_filtered_split; give it "
            "(train, valid or test) in a file tracks.csv in the data set's folder"
        )
    parts = {
        part: np.flatnonzero(items["fault_filtered_split"].eq(part).fillna(False))
        for part in ("train", "valid", "test")
    }
    split = Split("fault_filtered", 0, seed, **parts)
    _check_genres(items, split, ("train", "test"))
    return split
