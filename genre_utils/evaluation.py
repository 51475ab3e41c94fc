"""Everything that is computed from predictions: scores, intervals, tests, calibration.

A prediction row is one item (a track or a segment of one) with its true genre ``y_true``
and a probability ``p_<genre>`` for each genre of the data set. The segments of a track
are not independent, so intervals come from drawing whole tracks (or whole artists) with
replacement: the cluster bootstrap (Davison & Hinkley 1997, "Bootstrap methods and their
application", section 3.8), percentile intervals, 95 %.
"""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from genre_utils.project import ProjectError

_LEVEL = 0.95
_PREFIX = "p_"
_CONFIGURATION = ("dataset", "model", "input", "source", "protocol", "stage", "segment_s")


class EvaluationError(ProjectError):
    """Prediction rows that cannot be evaluated; the message says why."""


def probability_columns(rows: pd.DataFrame) -> list[str]:
    """Return the names of the columns ``p_<genre>``, in the order of the table.

    Raises
    ------
    EvaluationError
        If there is none.
    """
    columns = [name for name in rows.columns if str(name).startswith(_PREFIX)]
    if not columns:
        raise EvaluationError(f"no probabilities: expected columns {_PREFIX}<genre>")
    return columns


def labels(rows: pd.DataFrame) -> np.ndarray:
    """Return the most probable genre of each row; of equals, the first column's.

    Returns
    -------
    np.ndarray [shape=(n_rows,), dtype=object]
        Names of genres.

    Raises
    ------
    EvaluationError
        If a probability is missing, infinite or negative, or a row has none above 0.
    """
    genres, _, predicted, _ = _read(rows)
    return genres[predicted]


def to_tracks(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum the probabilities of each track's segments, run by run.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows with ``run_id`` and ``track_id``. Rows that differ in ``fold``,
        ``seed`` or ``stage`` are never summed either.

    Returns
    -------
    pd.DataFrame
        One row a run and track, sorted by them; probabilities add up to 1 (float32),
        ``segment_start_s`` is 0, all other columns are those of the first segment.

    Raises
    ------
    EvaluationError
        As for `labels`, or if segments of one track differ in ``y_true``.
    """
    _read(rows)
    _require(rows, ("run_id",))
    columns = probability_columns(rows)
    keys = [name for name in ("run_id", "stage", "fold", "seed") if name in rows] + ["track_id"]
    order = [*keys, "segment_start_s"] if "segment_start_s" in rows else keys
    ordered = rows.sort_values(order, kind="stable")
    grouped = ordered.groupby(keys, dropna=False, sort=True)
    if (grouped["y_true"].nunique() > 1).any():
        raise EvaluationError("segments of one track differ in y_true; the rows are mixed up")
    tracks = grouped.nth(0).reset_index(drop=True)
    sums = ordered[columns].astype(np.float64).groupby([ordered[key] for key in keys], dropna=False)
    sums = sums.sum().to_numpy()
    tracks[columns] = (sums / sums.sum(axis=1, keepdims=True)).astype(np.float32)
    if "segment_start_s" in tracks:
        tracks["segment_start_s"] = 0.0
    return tracks[list(rows.columns)]


def summary(
    rows: pd.DataFrame,
    *,
    artists: pd.Series | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """Return accuracy and macro F1 of one configuration, with 95 % intervals.

    Intervals come from a bootstrap. Where every item is right, or none is, all draws are
    alike and it would shrink to a point; Wilson's interval (see `recall_by_genre`) stands
    there instead, with as many observations as tracks, or artists, are drawn.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows of one configuration; all its folds and seeds count together, and a
        track that is in several of them is drawn with all its rows or not at all.
    artists : pd.Series, optional
        Artist of each track, indexed by ``track_id``; adds an interval of the accuracy
        from drawing whole artists. A track without one is drawn by itself.
    n_boot : int
        Number of bootstrap replicates.
    seed : int
        Decides what is drawn; the order of the rows does not.

    Returns
    -------
    dict
        ``n_items``, ``n_tracks``; ``accuracy``, ``macro_f1`` [range=(0, 1)], each with
        ``_low`` and ``_high``; with `artists` also ``accuracy_artist_low``,
        ``accuracy_artist_high`` (NaN where no artist is known) and ``n_artists``.
        Macro F1 is the mean over the genres that are true or predicted somewhere.

    Raises
    ------
    EvaluationError
        As for `labels`, or if the rows are of more than one configuration.
    """
    _require_one_configuration(rows)
    genres, true, predicted, _ = _read(rows)
    clusters, track_ids = pd.factorize(rows["track_id"], sort=True)
    total = _counts(np.zeros_like(clusters), true, predicted, len(genres))
    accuracy, macro_f1 = _scores(total, len(genres))
    drawn = _resample(_counts(clusters, true, predicted, len(genres)), n_boot, seed)
    drawn_accuracy, drawn_f1 = _scores(drawn, len(genres))
    result = {"n_items": len(rows), "n_tracks": len(track_ids)}
    result |= _with_interval("accuracy", accuracy[0], drawn_accuracy, len(track_ids))
    result |= _with_interval("macro_f1", macro_f1[0], drawn_f1, len(track_ids))
    if artists is None:
        return result

    of_track = artists.reindex(track_ids)
    n_artists = int(of_track.nunique())
    low = high = np.nan
    if n_artists:
        names = [
            ("track", track) if pd.isna(artist) else ("artist", str(artist))
            for track, artist in zip(track_ids, of_track, strict=True)
        ]
        of_cluster = pd.factorize(pd.MultiIndex.from_tuples(names), sort=True)[0]
        counts = _counts(of_cluster[clusters], true, predicted, len(genres))
        drawn_accuracy, _ = _scores(_resample(counts, n_boot, seed), len(genres))
        low, high = _interval(accuracy[0], drawn_accuracy, len(counts))
    result |= {"accuracy_artist_low": low, "accuracy_artist_high": high, "n_artists": n_artists}
    return result


def confusion(rows: pd.DataFrame) -> pd.DataFrame:
    """Count the items by true genre (index) and predicted genre (columns).

    Returns
    -------
    pd.DataFrame [shape=(n_genres, n_genres), dtype=int]
        Genres in the order of the probability columns.
    """
    genres, true, predicted, _ = _read(rows)
    counts = _counts(np.zeros_like(true), true, predicted, len(genres)).astype(int)
    return pd.DataFrame(
        counts.reshape(len(genres), len(genres)),
        index=pd.Index(genres, name="true"),
        columns=pd.Index(genres, name="predicted"),
    )


def recall_by_genre(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each genre is recognised, and how sure the model is there.

    Intervals are Wilson's (1927, "Probable inference", JASA 22), 95 %, with as many
    observations as a genre has tracks, whatever the number of their segments: unlike a
    bootstrap they do not shrink to a point where every track is right.

    Returns
    -------
    pd.DataFrame
        One row a genre that has items: ``genre``, ``recall``, ``recall_low``,
        ``recall_high`` [range=(0, 1)], ``confidence`` (mean probability of the genre that
        was predicted), ``n_items``, ``n_tracks``.
    """
    genres, true, predicted, confidence = _read(rows)
    table = pd.DataFrame(
        {
            "genre": pd.Categorical.from_codes(true, genres),
            "recall": true == predicted,
            "confidence": confidence,
            "track_id": rows["track_id"].to_numpy(),
        }
    )
    table = table.groupby("genre", observed=True).agg(
        recall=("recall", "mean"),
        confidence=("confidence", "mean"),
        n_items=("recall", "size"),
        n_tracks=("track_id", "nunique"),
    )
    low, high = _wilson(table["recall"], table["n_tracks"])
    table.insert(1, "recall_low", low)
    table.insert(2, "recall_high", high)
    table.index = table.index.astype(object)
    return table.reset_index()


def confused_pairs(rows: pd.DataFrame, *, top: int = 10) -> pd.DataFrame:
    """Return the most frequent mistakes.

    Returns
    -------
    pd.DataFrame
        At most `top` rows, the most frequent first: ``true``, ``predicted``, ``n`` (rows:
        an item that several seeds predict counts once for each), ``share`` (of the true
        genre's rows) [range=(0, 1)].
    """
    counts = confusion(rows)
    pairs = counts.stack().rename("n").reset_index()
    pairs["share"] = pairs["n"] / pairs["true"].map(counts.sum(axis=1))
    wrong = pairs[(pairs["true"] != pairs["predicted"]) & (pairs["n"] > 0)]
    order = wrong.sort_values(["n", "true", "predicted"], ascending=[False, True, True])
    return order.head(top).reset_index(drop=True)


def reliability(rows: pd.DataFrame, *, n_bins: int = 10) -> pd.DataFrame:
    """Compare how sure a model is with how often it is right.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows.
    n_bins : int
        Number of bins of equal width on the probability of the predicted genre.

    Returns
    -------
    pd.DataFrame
        One row a bin that has items: ``bin_low``, ``bin_high`` (the bin holds its upper
        bound), ``n``, ``confidence`` (mean), ``accuracy`` [range=(0, 1)].
    """
    _, true, predicted, confidence = _read(rows)
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    table = pd.DataFrame(
        {"bin": bins, "confidence": confidence, "accuracy": true == predicted}
    ).groupby("bin")
    table = table.agg(
        n=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    table.insert(0, "bin_low", table.index / n_bins)
    table.insert(1, "bin_high", (table.index + 1) / n_bins)
    return table.reset_index(drop=True)


def expected_calibration_error(rows: pd.DataFrame, *, n_bins: int = 10) -> float:
    """Return the mean distance between confidence and accuracy over the bins.

    Bins weigh by their items (Guo, Pleiss, Sun & Weinberger 2017, "On calibration of
    modern neural networks", ICML).

    Returns
    -------
    float [range=(0, 1)]
        0 for a perfectly calibrated model.
    """
    table = reliability(rows, n_bins=n_bins)
    distance = (table["confidence"] - table["accuracy"]).abs()
    return float(np.average(distance, weights=table["n"]))


def mcnemar_exact(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Return the p-value of McNemar's exact test, two-sided.

    Parameters
    ----------
    correct_a, correct_b : np.ndarray [shape=(n,), dtype=bool]
        Whether each model is right on each item.

    Returns
    -------
    float [range=(0, 1)]
        1 where the models are never right on different items.

    Raises
    ------
    EvaluationError
        If the two differ in length.
    """
    correct_a, correct_b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if correct_a.shape != correct_b.shape:
        raise EvaluationError(
            f"{len(correct_a)} items against {len(correct_b)}: a paired test needs the same items"
        )
    only_a = int(np.sum(correct_a & ~correct_b))
    only_b = int(np.sum(~correct_a & correct_b))
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired(
    rows_a: pd.DataFrame, rows_b: pd.DataFrame, *, n_boot: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Compare two configurations on the same test items.

    An item is a segment of a track (or the track, after `to_tracks`). Where a
    configuration has several rows of an item (seeds, or overlapping folds), their
    correctness is averaged for the difference; for McNemar's test all rows of a track
    are averaged to one decision, since the test counts independent tracks.

    Parameters
    ----------
    rows_a, rows_b : pd.DataFrame
        Prediction rows of one configuration each.
    n_boot : int
        Number of bootstrap replicates over tracks.
    seed : int
        Decides what is drawn.

    Returns
    -------
    dict
        ``difference`` (accuracy of a minus accuracy of b) with its 95 % interval ``low``
        and ``high`` [range=(-1, 1)], ``mcnemar_p``, ``n`` (items), ``n_tracks``.

    Raises
    ------
    EvaluationError
        If the items or their true genres differ, or as for `summary`.
    """
    items, decisions = [], []
    for rows in (rows_a, rows_b):
        _require_one_configuration(rows)
        items.append(_item_scores(rows))
        decisions.append(_track_decisions(rows))
    if not items[0].index.equals(items[1].index):
        _explain_different_items(*items)
    if not (items[0]["y_true"] == items[1]["y_true"]).all():
        raise EvaluationError("the same items have different true genres in the two tables")

    difference = (items[0]["correct"] - items[1]["correct"]).to_numpy()
    clusters, track_ids = pd.factorize(items[0].index.get_level_values("track_id"), sort=True)
    sums = np.bincount(clusters, weights=difference)
    drawn = _resample(np.column_stack([sums, np.bincount(clusters)]), n_boot, seed)
    low, high = _quantiles(drawn[:, 0] / drawn[:, 1])
    return {
        "difference": float(difference.mean()),
        "low": low,
        "high": high,
        "mcnemar_p": mcnemar_exact(*decisions),
        "n": len(difference),
        "n_tracks": len(track_ids),
    }


def _require(rows: pd.DataFrame, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in rows]
    if missing:
        raise EvaluationError(f"the prediction rows have no column {', '.join(missing)}")


def _require_one_configuration(rows: pd.DataFrame) -> None:
    mixed = [name for name in _CONFIGURATION if name in rows and rows[name].nunique() > 1]
    if mixed:
        found = ", ".join(f"{name}: {sorted(rows[name].dropna().unique())}" for name in mixed)
        raise EvaluationError(
            f"the prediction rows are of several configurations ({found}); "
            "select one, or group the rows by these columns first"
        )


def _read(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the genres, the numbers of the true and predicted ones, and the confidence."""
    _require(rows, ("track_id", "y_true"))
    columns = probability_columns(rows)
    if not len(rows):
        raise EvaluationError("there are no prediction rows; check what was selected")
    probabilities = rows[columns].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~(np.isfinite(probabilities) & (probabilities >= 0)).all(axis=1)
    bad |= ~(probabilities > 0).any(axis=1)
    if bad.any():
        first = rows["track_id"].iloc[int(np.argmax(bad))]
        raise EvaluationError(
            f"{bad.sum()} of {len(rows)} rows lack valid probabilities, the first of them of "
            f"{first}; each needs a number from 0 on for every genre. Rows of data sets with "
            "other genres do not go together"
        )
    genres = np.array([name.removeprefix(_PREFIX) for name in columns], dtype=object)
    true = pd.Index(genres).get_indexer(pd.Index(rows["y_true"], dtype=object))
    if (true < 0).any():
        strange = sorted(set(rows["y_true"][true < 0].astype(str)))
        raise EvaluationError(
            f"y_true has {', '.join(strange)}, but there are probabilities for "
            f"{', '.join(genres)} only"
        )
    return genres, true, probabilities.argmax(axis=1), probabilities.max(axis=1)


def _counts(
    clusters: np.ndarray, true: np.ndarray, predicted: np.ndarray, n_genres: int
) -> np.ndarray:
    """Return each cluster's confusion matrix as a row [shape=(n_clusters, n_genres ** 2)]."""
    n_clusters, cells = clusters.max() + 1, n_genres**2
    flat = clusters * cells + true * n_genres + predicted
    counts = np.bincount(flat, minlength=n_clusters * cells)
    return counts.reshape(n_clusters, cells).astype(np.float64)


def _resample(counts: np.ndarray, n_boot: int, seed: int) -> np.ndarray:
    """Return the sums of n_boot draws of clusters with replacement."""
    n_clusters = len(counts)
    drawn = np.random.default_rng(seed).integers(n_clusters, size=(n_boot, n_clusters))
    drawn += np.arange(n_boot)[:, np.newaxis] * n_clusters
    weights = np.bincount(drawn.ravel(), minlength=n_boot * n_clusters)
    return weights.reshape(n_boot, n_clusters).astype(np.float64) @ counts


def _scores(counts: np.ndarray, n_genres: int) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and macro F1 of confusion matrices [shape=(n, n_genres ** 2)]."""
    matrices = counts.reshape(-1, n_genres, n_genres)
    right = np.diagonal(matrices, axis1=1, axis2=2)
    seen = matrices.sum(axis=1) + matrices.sum(axis=2)
    accuracy = right.sum(axis=1) / matrices.sum(axis=(1, 2))
    f1 = np.divide(2 * right, seen, out=np.zeros_like(right), where=seen > 0)
    return accuracy, f1.sum(axis=1) / (seen > 0).sum(axis=1)


def _quantiles(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _interval(share: float, drawn: np.ndarray, n_drawn: int) -> tuple[float, float]:
    """Return the interval of a share: from draws, or Wilson's where all draws are alike."""
    if share in (0, 1):
        low, high = _wilson(pd.Series([float(share)]), pd.Series([n_drawn]))
        return float(low[0]), float(high[0])
    return _quantiles(drawn)


def _with_interval(name: str, value: float, drawn: np.ndarray, n_drawn: int) -> dict[str, float]:
    low, high = _interval(value, drawn, n_drawn)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def _wilson(share: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    z = norm.ppf((1 + _LEVEL) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return (centre - half).clip(lower=0), (centre + half).clip(upper=1)


def _item_scores(rows: pd.DataFrame) -> pd.DataFrame:
    _, true, predicted, _ = _read(rows)
    keys = ["track_id"] + ["segment_start_s"] * ("segment_start_s" in rows)
    scored = rows[[*keys, "y_true"]].assign(correct=(true == predicted).astype(float))
    return scored.groupby(keys).agg(y_true=("y_true", "first"), correct=("correct", "mean"))


def _track_decisions(rows: pd.DataFrame) -> np.ndarray:
    columns = probability_columns(rows)
    # Sorted by value, so that rounding in the sums does not depend on the order of the rows.
    ordered = rows.sort_values(["track_id", *columns])
    means = ordered[columns].astype(np.float64).groupby(ordered["track_id"]).mean()
    true = ordered.groupby("track_id")["y_true"].first()
    return labels(means.assign(y_true=true).reset_index()) == true.to_numpy()


def _explain_different_items(items_a: pd.DataFrame, items_b: pd.DataFrame) -> None:
    only_a = items_a.index.difference(items_b.index)
    only_b = items_b.index.difference(items_a.index)
    example = (only_a if len(only_a) else only_b)[0]
    raise EvaluationError(
        f"a paired comparison needs the same items: {len(only_a)} are only in the first table, "
        f"{len(only_b)} only in the second, e.g. {example}. Compare segments of different "
        "lengths after to_tracks, and select the same test part"
    )
