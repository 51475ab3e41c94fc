"""Arrays that are kept on disk once they are computed, and items picked evenly from many."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genre_utils import project


def write(file: Path, X: np.ndarray) -> None:
    """Write an array so that it is there whole or not at all, even after ``kill -9``."""
    buffer = io.BytesIO()
    np.save(buffer, X, allow_pickle=False)
    project.write_atomic(file, buffer.getvalue())


def shape(file: Path) -> tuple[int, ...] | None:
    """Return the shape of a stored array; None where there is none, or a spoilt one."""
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return None


def kept(file: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return a stored array; compute and store it where there is none, or a spoilt one.

    Parameters
    ----------
    file : Path
        Named by a digest of all that the array is made of.
    compute : callable
        Called without arguments.
    """
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        pass
    X = compute()
    write(file, X)
    return X


def spread(n_items: int, most: int) -> np.ndarray:
    """Return positions of at most so many items, evenly spread from the first to the last.

    Parameters
    ----------
    n_items : int
        How many there are; none of them twice.
    most : int
        How many are wanted.

    Returns
    -------
    np.ndarray [shape=(min(n_items, most),), dtype=int]
        Rising.
    """
    return np.linspace(0, max(n_items - 1, 0), min(n_items, most)).round().astype(int)
