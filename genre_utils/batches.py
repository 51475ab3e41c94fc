"""Tell whether a feature matrix carries the batches that it was computed in.

A network with batch statistics mixes every track with its neighbours in the file
order. That shows in two ways: tracks of one genre jump where a batch ends, and the
batches' averages are more alike than those of other stretches of rows.
"""

import numpy as np
import pandas as pd

from genre_utils.project import ProjectError

BATCH_COLUMNS = ("period", "n_borders", "jump", "jump_by_chance", "p_jump", "p_joint", "p_value")
"""The columns of `batch_effects`."""

SIGNIFICANT = 0.01
"""Largest p-value at which a batch effect counts as found."""

_SMALLEST = 32  # rows
_FEWEST_BORDERS = 3  # one jump anywhere is no rule


def batch_effects(
    features: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    periods: tuple[int, ...] | None = None,
    n_permutations: int = 1999,
    seed: int = 0,
) -> pd.DataFrame:
    """Look for statistics that change every so many rows of a feature matrix.

    For each period the borders of its batches are compared with borders that were
    moved at random by up to a quarter of the period. A batch effect is one that no
    (or hardly any) other set of borders shows as strongly.

    Parameters
    ----------
    features : np.ndarray [shape=(n_rows, n_features)]
        Rows in the order in which they were computed.
    groups : np.ndarray [shape=(n_rows,)], optional
        What else changes along the rows and is no batch, such as the genre where rows
        are sorted by genre: only jumps within a group count.
    periods : tuple of int, optional
        Batch sizes to look for; by default the powers of two from 32 on that have
        three borders or more.
    n_permutations : int
        How many times the borders are moved.
    seed : int
        Seed of the moves.

    Returns
    -------
    pd.DataFrame
        One row a period, the least p-value first, with `BATCH_COLUMNS`; halves and doubles
        of a batch size show a part of its effect. ``jump`` is the
        variance of the batches' means within the groups by what it would be if rows were
        independent, mean over the features; ``jump_by_chance`` its median for moved
        borders (rows next to each other often share an artist, so it is above 1).
        ``p_jump`` is the share of moved borders with as large a jump, ``p_joint`` with
        as large a jump while the batches' averages are as alike (NaN without groups).
        ``p_value`` is the smaller of both, corrected for the number of tests.

    Raises
    ------
    ProjectError
        If the matrix is not of two dimensions, has values that are not finite, or does
        not have as many rows as `groups`.
    """
    X = np.asarray(features, dtype=float)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ProjectError(
            f"features have the shape {X.shape} and "
            f"{np.count_nonzero(~np.isfinite(X))} values that are not finite; expected "
            "(n_rows, n_features) of finite numbers: leave out or fill the others"
        )
    labels = np.zeros(len(X), int) if groups is None else pd.factorize(np.asarray(groups))[0]
    if len(labels) != len(X):
        raise ProjectError(f"{len(labels)} groups for {len(X)} rows; expected one for each row")
    X = X[:, X.std(axis=0) > 0]
    if not X.shape[1]:
        return pd.DataFrame(columns=list(BATCH_COLUMNS))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if periods is None:
        longest = (len(X) - 1) // _FEWEST_BORDERS
        periods = tuple(2**k for k in range(5, 30) if _SMALLEST <= 2**k <= longest)
    cuts = _Cuts(X, labels)
    grouped = bool(labels.max() > 0)
    rng = np.random.default_rng(seed)
    rows = []
    for period in periods:
        borders = np.arange(period, len(X), period)
        jump, unlike = cuts.statistics(borders)
        by_chance = np.array(
            [
                cuts.statistics(np.sort(borders + moves))
                for moves in rng.integers(
                    -(period // 4), period // 4 + 1, (n_permutations, len(borders))
                )
            ]
        )
        p_jump = _share(by_chance[:, 0] >= jump)
        joint = by_chance[:, 0] / by_chance[:, 1] >= jump / unlike
        p_joint = _share(joint) if grouped else np.nan
        p_value = min(1.0, np.nanmin([p_jump, p_joint]) * len(periods) * (1 + grouped))
        middle = np.median(by_chance[:, 0])
        rows.append((period, len(borders), jump, middle, p_jump, p_joint, p_value))
    found = pd.DataFrame(rows, columns=list(BATCH_COLUMNS))
    # Multiples and divisors of the true period show some of it: the one with both signs leads.
    both = found["p_jump"] * found["p_joint"].fillna(1)
    order = np.lexsort((both, found["p_value"]))
    return found.iloc[order].reset_index(drop=True)


def _share(as_large: np.ndarray) -> float:
    return (1 + np.count_nonzero(as_large)) / (1 + len(as_large))


class _Runs:
    """Squares about the means of runs of consecutive rows, for many ways to cut them."""

    def __init__(self, X: np.ndarray):
        self._sums = np.vstack([np.zeros(X.shape[1]), np.cumsum(X, axis=0)])
        self._squares = np.square(X).sum(axis=0)

    def within(self, labels: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the squares of each feature, and the number of runs of equal labels."""
        starts = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
        ends = np.append(starts[1:], len(labels))
        sums = self._sums[ends] - self._sums[starts]
        return self._squares - (sums**2 / (ends - starts)[:, None]).sum(axis=0), len(starts)


class _Cuts:
    """How much the batches jump within the groups, and how unlike their averages are."""

    def __init__(self, X: np.ndarray, labels: np.ndarray):
        self._order = np.argsort(labels, kind="stable")
        self._labels = labels
        self._rows, self._grouped = _Runs(X), _Runs(X[self._order])
        self._within_groups, self._n_groups = self._grouped.within(labels[self._order])

    def statistics(self, borders: np.ndarray) -> tuple[float, float]:
        n_rows = len(self._labels)
        batch = np.searchsorted(borders, np.arange(n_rows), side="right")
        cells = (self._labels * (len(borders) + 1) + batch)[self._order]
        within_cells, n_cells = self._grouped.within(cells)
        within_batches, n_batches = self._rows.within(batch)
        noise = within_cells / max(1, n_rows - n_cells) + 1e-12
        jump = (self._within_groups - within_cells) / max(1, n_cells - self._n_groups) / noise
        unlike = (n_rows - within_batches) / max(1, n_batches - 1)
        return float(jump.mean()), float(unlike.mean()) + 1e-12
