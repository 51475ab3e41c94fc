"""How far segments of music are from each other: within a track, an artist, a genre.

If the nearest segment is nearly always one of the same recording, a classifier that is
tested on segments of tracks it was trained on needs no idea of genre. How that share falls
with the length of a segment explains the curve of accuracy against length.
"""

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from genre_utils import inputs, project
from genre_utils.datasets import Dataset
from genre_utils.deep import mfcc_statistics
from genre_utils.progress import track
from genre_utils.project import Outputs, ProjectError

RELATIONS = ("same track", "same artist", "same genre", "other genre")
"""How two segments may belong together, the closest that holds; artists where known."""

DISTANCES = {"euclidean": "euclidean", "correlation": "correlation"}
"""Distances by name, as scipy calls them."""

_COLUMNS = [
    "segment_s", "distance", "relation", "n_segments", "n_tracks", "n_pairs", "low_quartile",
    "median", "high_quartile", "nearest_share", "nearest_share_all",
]  # fmt: skip
_ROWS_AT_ONCE = 256


def measure(
    items: pd.DataFrame,
    X: np.ndarray,
    *,
    segment_s: float,
    per_track: int = 2,
    max_tracks: int = 1500,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure the distances between segments of one length.

    Parameters
    ----------
    items : pd.DataFrame
        One row a segment: ``track_id``, ``genre``, and ``artist_id`` where it is known.
    X : np.ndarray [shape=(n_items, n_features)]
        What describes each segment; features are standardised here.
    segment_s : float
        Length of a segment in seconds.
    per_track : int
        Segments drawn of each track, at least 2. Equally many at every length, so that
        short segments do not look alike just because there are more of them.
    max_tracks : int
        At most so many tracks are drawn: memory grows with their square.
    seed : int
        Decides which segments and tracks are drawn.

    Returns
    -------
    pd.DataFrame
        One row a distance × relation: ``segment_s, distance, relation, n_segments,
        n_tracks, n_pairs``, median and quartiles of the distance (NaN where there is no
        such pair), and ``nearest_share``: the share of segments whose nearest neighbour
        stands in this relation to them (the four add up to 1). Euclidean distances are
        divided by the square root of the number of features: the unit is one standard
        deviation. The correlation distance is 1 minus Pearson's correlation between the
        two segments' standardised features, in [0, 2]. ``nearest_share_all`` is the same
        share where the nearest is looked for among all segments of these tracks, not only
        those drawn: there, short segments have more of their own track around them.

    Raises
    ------
    ProjectError
        If items and features differ in number, or fewer than two segments are left.
    """
    if len(items) != len(X):
        raise ProjectError(f"{len(items)} items with {len(X)} rows of features; expected as many")
    if per_track < 2:
        raise ProjectError(f"per_track is {per_track}; a pair within a track needs at least 2")
    chosen = _drawn(items, per_track, max_tracks, seed)
    if len(chosen) < 2:
        raise ProjectError("fewer than two segments are there; distances need at least two")
    # All segments of the tracks drawn, and where among them those drawn are.
    there = items["track_id"].isin(items["track_id"].iloc[chosen]).to_numpy()
    Z = _standardised(np.asarray(X, dtype=np.float64))[there]
    codes = _codes(items[there])
    chosen = (np.cumsum(there) - 1)[chosen]
    items = items[there].iloc[chosen]
    shared = {
        "segment_s": segment_s,
        "n_segments": len(items),
        "n_tracks": items["track_id"].nunique(),
    }
    rows = []
    for name, metric in DISTANCES.items():
        unit = np.sqrt(Z.shape[1]) if name == "euclidean" else 1.0
        pairs, nearest = _pairs(Z[chosen], codes[:, chosen], metric)
        nearest_of_all = _nearest(Z, codes, chosen, metric)
        for number, relation in enumerate(RELATIONS):
            values = pairs[number] / unit
            quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [np.nan] * 3
            row = {"distance": name, "relation": relation, "n_pairs": len(values)}
            row |= dict(zip(("low_quartile", "median", "high_quartile"), quartiles, strict=True))
            row["nearest_share"] = float(np.mean(nearest == number))
            row["nearest_share_all"] = float(np.mean(nearest_of_all == number))
            rows.append(shared | row)
    return pd.DataFrame(rows)[_COLUMNS]


def study(
    dataset: Dataset,
    segment_lengths: list[float],
    *,
    outputs: Outputs,
    name: str = "06_distances",
    **settings,
) -> pd.DataFrame:
    """Measure distances at several lengths, or read what was measured before.

    Segments are described by mean and standard deviation over time of their cepstral
    coefficients, which the classical model of the same notebook learns from.

    Parameters
    ----------
    dataset : Dataset
        What is measured. Without its files, the earlier table is read.
    segment_lengths : list of float
        In seconds.
    outputs : Outputs
        Where earlier results are.
    name : str
        File name of the earlier table, without ending.
    **settings
        As in `measure`.

    Raises
    ------
    ProjectError
        If the earlier table is needed and not there, or the data cannot be cut.
    """
    if project.from_predictions() or not dataset.available:
        path = outputs.results / f"{name}.csv"
        if not path.is_file():
            raise ProjectError(
                f"{name}.csv is not there for {outputs.dataset!r}, and distances cannot be "
                "measured without the data; run the notebook with its data first (make all)"
            )
        return pd.read_csv(path).drop(columns="dataset", errors="ignore")
    tables = []
    for segment_s in track(segment_lengths, total=len(segment_lengths), desc="distances"):
        found = inputs.load(dataset, "spectrogram", segment_s=segment_s)
        X = mfcc_statistics(found.x)
        tables.append(measure(found.items, X, segment_s=segment_s, **settings))
    return pd.concat(tables, ignore_index=True)


def _drawn(items: pd.DataFrame, per_track: int, max_tracks: int, seed: int) -> np.ndarray:
    """Return the positions of the segments drawn, ascending."""
    rng = np.random.default_rng(seed)
    tracks = np.sort(items["track_id"].unique())
    if len(tracks) > max_tracks:
        tracks = rng.choice(tracks, max_tracks, replace=False)
    order = rng.permutation(len(items))
    shuffled = items["track_id"].iloc[order]
    taken = shuffled.isin(set(tracks)) & (shuffled.groupby(shuffled).cumcount() < per_track)
    return np.sort(order[taken.to_numpy()])


def _standardised(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    # A feature that never changes says nothing about distances.
    return (X - X.mean(axis=0))[:, spread > 0] / spread[spread > 0]


def _codes(items: pd.DataFrame) -> np.ndarray:
    """Return track, artist and genre of each segment as numbers; unknown artists differ."""
    tracks = pd.factorize(items["track_id"])[0]
    artists = items.get("artist_id", pd.Series(pd.NA, index=items.index))
    known = "artist " + artists.astype("string")
    names = known.where(artists.notna(), "track " + items["track_id"].astype("string"))
    return np.stack([tracks, pd.factorize(names)[0], pd.factorize(items["genre"])[0]])


def _pairs(X: np.ndarray, codes: np.ndarray, metric: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each relation's distances (every pair once), and each segment's nearest relation."""
    found: list[list[np.ndarray]] = [[] for _ in RELATIONS]
    nearest = np.empty(len(X), dtype=int)
    for start in range(0, len(X), _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, len(X))
        block = _distances(X[start:stop], X, metric)
        relation = _relation(codes[:, start:stop], codes)
        above = np.arange(len(X)) > np.arange(start, stop)[:, None]
        for number, values in enumerate(found):
            values.append(block[above & (relation == number)].astype(np.float32))
        own = np.arange(start, stop)
        block[own - start, own] = np.inf
        nearest[start:stop] = relation[own - start, block.argmin(axis=1)]
    return [np.concatenate(values) for values in found], nearest


def _nearest(X: np.ndarray, codes: np.ndarray, of: np.ndarray, metric: str) -> np.ndarray:
    """Return the relation of some segments to the nearest of all others."""
    nearest = []
    for rows in np.array_split(of, -(-len(of) // _ROWS_AT_ONCE)):
        block = _distances(X[rows], X, metric)
        block[np.arange(len(rows)), rows] = np.inf
        closest = block.argmin(axis=1)
        same = codes[:, rows] == codes[:, closest]
        nearest.append(np.select(list(same), [0, 1, 2], 3))
    return np.concatenate(nearest)


def _distances(X: np.ndarray, Y: np.ndarray, metric: str) -> np.ndarray:
    # Segments without any pattern have no correlation; they are as far as strangers.
    return np.nan_to_num(cdist(X, Y, metric), copy=False, nan=1.0)


def _relation(codes_a: np.ndarray, codes_b: np.ndarray) -> np.ndarray:
    return np.select(list(codes_a[:, :, None] == codes_b[:, None, :]), [0, 1, 2], 3)
