"""The same music more than once in a data set: heard, seen in pictures, or in a table.

Where the audio is missing, a public feature table still shows copies of one file, and
pictures of spectrograms show more: one picture slid over the other fits where both show
the same music, even if one clip starts a little later.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import fft, ndimage
from scipy.spatial.distance import pdist

from genre_utils import datasets, fingerprint, progress, project

PAIR_COLUMNS = ("track_id", "partner", "found_in", "kind", "score", "shift_s")
"""The columns of every table of repetitions."""

RECIPE = "1"
"""Part of what is kept; to be changed with how pairs are found."""

TABLE_NEAR = 0.3
"""Largest difference of any feature, in standard deviations, of two tracks called near."""

PICTURE_NEAR = 0.06
"""Least score of two pictures that are called near.

Among GTZAN's 498,501 pairs the best one of two genres, but for a known repetition, has
0.049.
"""

SIMILAR_Z = 11.0
"""Least score of two harmonic courses called similar, in robust standard deviations.

Of 25 real clips that were moved by two semitones and 7 % in tempo, 23 reach it, and no
pair of 100 unrelated ones; real performances differ by more, so most will be missed.
"""

_FEWEST_ROWS = 20  # below this, the spread of a feature over the tracks is not known
_FEWEST_PAIRS = 100  # below this, what unrelated pairs score is not known
_BANDS = 48
_SURROUNDINGS = 9  # columns, and bands, whose mean is taken off each point
_BLOCK_BYTES = 96 << 20
_TEMPO_RATIOS = (0.93, 1.0, 1.07)
_CHROMA_S = 0.5


def pair_table(rows: Sequence[tuple], found_in: str) -> pd.DataFrame:
    """Return pairs as a table, each once, the better score first.

    Parameters
    ----------
    rows : sequence of tuple
        (track_id, partner, kind, score, shift_s) of each pair.
    found_in : {'audio', 'table', 'picture'}
        What the pairs were found in.
    """
    columns = ["track_id", "partner", "kind", "score", "shift_s"]
    pairs = pd.DataFrame(rows, columns=columns).assign(found_in=found_in)
    types = dict.fromkeys(("track_id", "partner", "found_in", "kind"), "str")
    pairs = pairs.astype(types | {"score": float, "shift_s": float})
    order = ["score", "track_id", "partner"]
    pairs = pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)
    return pairs[list(PAIR_COLUMNS)]


def in_audio(
    track_ids: Sequence[str],
    sounds: Sequence[str],
    landmarks: Sequence[np.ndarray],
    chromas: Sequence[np.ndarray],
) -> pd.DataFrame:
    """Find repetitions by their sound.

    Parameters
    ----------
    track_ids : sequence of str
        Names of the clips.
    sounds : sequence of str
        Digest of each clip's samples.
    landmarks : sequence of np.ndarray
        Each clip's `fingerprint.landmarks`.
    chromas : sequence of np.ndarray
        Each clip's `harmonic_course`.

    Returns
    -------
    pd.DataFrame
        `PAIR_COLUMNS`; ``kind`` is ``exact`` for equal samples, ``near`` for the same
        recording by its fingerprint, ``similar`` for the same course of harmony
        (perhaps another performance; uncertain). ``shift_s`` is how much later the
        music comes in the partner.
    """
    rows = [
        (track_ids[a], track_ids[b], "exact" if sounds[a] == sounds[b] else "near", score, shift_s)
        for a, b, shift_s, score in fingerprint.repeated_pairs(landmarks)[
            ["first", "second", "shift_s", "score"]
        ].itertuples(index=False)
    ]
    known = {row[:2] for row in rows}
    for members in pd.Series(range(len(sounds))).groupby(list(sounds)).agg(list):
        pairs = [(a, b) for k, a in enumerate(members) for b in members[k + 1 :]]
        rows += [
            (track_ids[a], track_ids[b], "exact", 1.0, 0.0)
            for a, b in pairs
            if (track_ids[a], track_ids[b]) not in known
        ]
    known = {row[:2] for row in rows}
    rows += [
        (track_ids[a], track_ids[b], "similar", z, np.nan)
        for a, b, z in _kept(
            "harmony", (*sounds, str(SIMILAR_Z)), lambda: _similar_courses(chromas)
        )
        if (track_ids[a], track_ids[b]) not in known
    ]
    return pair_table(rows, "audio")


def in_tables(dataset: datasets.Dataset) -> pd.DataFrame:
    """Find repetitions in a data set's public feature tables alone.

    Returns
    -------
    pd.DataFrame
        `PAIR_COLUMNS`; ``kind`` is ``exact`` where all rows of two tracks are equal to
        the last digit in any table, ``near`` where no feature of the 30-s table
        differs by more than `TABLE_NEAR` standard deviations. ``score`` is 1 less the
        largest difference. A row can be a copy by mistake of whoever made the table: it
        says nothing about the sound.

    Raises
    ------
    DatasetError
        If a public feature table is faulty.
    """
    exact: set[tuple[str, str]] = set()
    near: dict[tuple[str, str], float] = {}
    for segment_s in sorted(dataset.tables):
        table = datasets.load_feature_csv(dataset, segment_s)
        features = list(datasets.TABLE_FEATURES)
        content = {
            track_id: hashlib.sha256(rows.to_numpy(np.float64).tobytes()).hexdigest()
            for track_id, rows in table.set_index("track_id")[features].groupby(level=0)
        }
        exact |= set(_equal_pairs(content))
        if segment_s == max(dataset.tables) and not table["track_id"].duplicated().any():
            near = _near_rows(table["track_id"].to_numpy(), table[features].to_numpy())
    rows = [(a, b, "exact", 1.0, 0.0) for a, b in exact]
    rows += [(a, b, "near", 1 - d, np.nan) for (a, b), d in near.items() if (a, b) not in exact]
    return pair_table(rows, "table")


def _equal_pairs(content: dict[str, str]) -> Iterator[tuple[str, str]]:
    for members in pd.Series(content).index.groupby(pd.Series(content)).values():
        ordered = sorted(members)
        yield from ((a, b) for k, a in enumerate(ordered) for b in ordered[k + 1 :])


def _near_rows(track_ids: np.ndarray, X: np.ndarray) -> dict[tuple[str, str], float]:
    if len(X) < _FEWEST_ROWS:
        return {}
    spread = X.std(axis=0)
    distance = pdist((X / np.where(spread > 0, spread, 1)), "chebyshev")
    first, second = np.triu_indices(len(X), 1)
    return {
        (track_ids[first[k]], track_ids[second[k]]): float(distance[k])
        for k in np.flatnonzero(distance <= TABLE_NEAR)
    }


def in_pictures(
    track_ids: Sequence[str], files: Sequence[Path], *, clip_s: float = np.nan
) -> pd.DataFrame:
    """Find repetitions in pictures of spectrograms alone.

    Each picture is reduced to bands, contrasted with its surroundings, and slid over
    every other one; at least a third of them has to overlap.

    Parameters
    ----------
    track_ids : sequence of str
        Names of the clips.
    files : sequence of Path
        Their pictures: time from left to right, all drawn in one way. Pictures that
        cannot be read, or are of another size than most, are left out.
    clip_s : float
        How many seconds a whole picture shows, for ``shift_s``.

    Returns
    -------
    pd.DataFrame
        `PAIR_COLUMNS`; ``kind`` is ``exact`` for equal pixels, ``near`` where the
        score is `PICTURE_NEAR` or more. ``score`` is the correlation at the best shift,
        times the square root of the share that overlaps.
    """
    pictures = _read_pictures(track_ids, files)
    if len(pictures) < 2:
        return pair_table([], "picture")
    names, stack = list(pictures), np.stack(list(pictures.values()))
    varies = stack.max(axis=0) > stack.min(axis=0)  # else it is a frame or an axis
    if not varies.any():
        varies[:] = True
    stack = stack[:, varies.any(axis=1)][:, :, varies.any(axis=0)]
    digests = {
        n: hashlib.sha256(p.tobytes()).hexdigest() for n, p in zip(names, stack, strict=True)
    }
    exact = set(_equal_pairs(digests))
    courses = np.stack([_picture_course(picture) for picture in stack])
    second_per_column = clip_s / courses.shape[2]
    rows = [
        (
            names[a],
            names[b],
            "exact" if (names[a], names[b]) in exact else "near",
            score,
            shift * second_per_column,
        )
        for a, b, score, shift in _kept(
            "pictures",
            (*digests.values(), str(PICTURE_NEAR)),
            lambda: _best_pairs(courses, PICTURE_NEAR),
        )
    ]
    found = {row[:2] for row in rows}
    rows += [(a, b, "exact", 1.0, 0.0) for a, b in exact - found]  # blank pictures
    return pair_table(rows, "picture")


def _kept(name: str, made_from: Sequence[str], make: Callable[[], list]) -> list:
    """Return a list of rows from the cache, or make it: sliding many courses takes minutes."""
    digest = project.text_digest(RECIPE, *made_from)
    file = project.cache_root() / "audit" / f"{name}-{digest}.json"
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        rows = make()
        project.write_atomic(file, json.dumps(rows))
        return rows


def _read_pictures(track_ids: Sequence[str], files: Sequence[Path]) -> dict[str, np.ndarray]:
    pictures = {}
    for track_id, file in sorted(zip(track_ids, files, strict=True)):
        try:
            with Image.open(file) as image:
                pictures[track_id] = np.asarray(image.convert("L"))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
    if not pictures:
        return {}
    usual = pd.Series([picture.shape for picture in pictures.values()]).mode()[0]
    return {name: picture for name, picture in pictures.items() if picture.shape == usual}


def _picture_course(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture to bands, each column of unit length [shape=(n_bands, n_columns)]."""
    n_rows = len(picture)
    # Half of the bands for the lowest quarter, where most of the music is.
    edges = np.unique(
        np.r_[np.linspace(0, n_rows / 4, _BANDS // 2 + 1), np.linspace(n_rows / 4, n_rows, 25)]
        .round()
        .astype(int)
    )[:-1]
    S = np.add.reduceat(picture[::-1].astype(np.float32), edges, axis=0)
    S /= np.diff(np.append(edges, n_rows))[:, None]
    for axis in (1, 0):
        S -= ndimage.uniform_filter1d(S, _SURROUNDINGS, axis=axis, mode="nearest")
    S /= S.std(axis=1, keepdims=True) + 1e-3
    return S / np.sqrt(np.square(S).sum(axis=0) + 1e-2)


def _best_pairs(courses: np.ndarray, least: float) -> list[tuple[int, int, float, int]]:
    """Return (first, second, score, columns that the music is later in the second)."""
    found = []
    for start, best, shift in _slide(courses, courses, desc="sliding pictures"):
        first, second = np.nonzero(np.triu(best >= least, 1))
        scores, shifts = best[first, second], shift[first, second]
        columns = (first + start, second + start, scores, shifts)
        found += zip(*(column.tolist() for column in columns), strict=True)
    return found


def _slide(
    left: np.ndarray, right: np.ndarray, *, desc: str
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Slide every course [shape=(n_bands, n_columns)] over those from its own number on.

    Columns have unit length, so that a score is in [-1, 1]. Yields, for each block of
    rows of `left`, its start, the best score with each row of `right` from that start
    on [shape=(n_block, n_right - start)], and the shift in columns that gives it.
    """
    width, width_right = left.shape[2], right.shape[2]
    size = fft.next_fast_len(width + width_right, real=True)
    shifts = np.arange(size)
    shifts[shifts > size // 2] -= size
    shared = np.minimum(width_right, width + shifts) - np.maximum(0, shifts)
    narrower = min(width, width_right)
    # A short overlap fits by chance more easily, hence the root.
    weight = np.where(shared >= narrower / 3, 1 / np.sqrt(np.maximum(shared, 1) * narrower), 0)
    weight = weight.astype(np.float32)
    spectra = fft.rfft(right.astype(np.float32), size, axis=2).transpose(2, 1, 0).copy()
    block = max(1, _BLOCK_BYTES // (len(right) * size * 8))
    starts = range(0, len(left), block)
    for start in progress.track(starts, total=len(starts), desc=desc):
        part = fft.rfft(left[start : start + block].astype(np.float32), size, axis=2)
        product = np.matmul(part.conj().transpose(2, 0, 1), spectra[:, :, start:])
        score = fft.irfft(np.ascontiguousarray(product.transpose(1, 2, 0)), size, axis=2)
        score *= weight
        at = score.argmax(axis=2)
        yield start, np.take_along_axis(score, at[:, :, None], 2)[:, :, 0], shifts[at]


def harmonic_course(y: np.ndarray, *, sr: int) -> np.ndarray:
    """Return which of the twelve pitch classes sound, twice a second.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Signal of one channel.
    sr : int
        Its sample rate in Hz.

    Returns
    -------
    np.ndarray [shape=(12, n_halves), dtype=float32]
        Share of each pitch class in half a second, without the clip's mean;
        each column of unit length (0 in silence).
    """
    import librosa

    hop = round(_CHROMA_S * sr / 4)
    chroma = librosa.feature.chroma_stft(y=y, sr=sr, n_fft=4096, hop_length=hop, tuning=0.0)
    n = chroma.shape[1] // 4
    course = np.log1p(10 * chroma[:, : 4 * n].reshape(12, n, 4).mean(axis=2))
    return _unit(course - course.mean(axis=1, keepdims=True) if n else course)


def _unit(course: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.square(course).sum(axis=0))
    return (course / np.maximum(length, 1e-6)).astype(np.float32)


def _similar_courses(chromas: Sequence[np.ndarray]) -> list[tuple[int, int, float]]:
    """Return the pairs whose harmony runs alike in any key and at about any tempo."""
    n_pairs = len(chromas) * (len(chromas) - 1) // 2
    if n_pairs < _FEWEST_PAIRS:
        return []
    width = max(chroma.shape[1] for chroma in chromas)
    padded = np.stack([np.pad(c, ((0, 0), (0, width - c.shape[1]))) for c in chromas])
    best = np.full((len(chromas), len(chromas)), -1, np.float32)
    for ratio in _TEMPO_RATIOS:
        stretched = ndimage.zoom(padded, (1, 1, ratio), order=1)
        for key in range(12):
            turned = np.roll(stretched, key, axis=1)
            for start, score, _ in _slide(padded, turned, desc="sliding harmonies"):
                here = best[start : start + len(score), start:]
                np.maximum(here, score, out=here)
    first, second = np.triu_indices(len(chromas), 1)
    score = best[first, second]
    middle = np.median(score)
    spread = 1.4826 * np.median(np.abs(score - middle)) + 1e-6
    z = (score - middle) / spread
    return [(int(first[k]), int(second[k]), float(z[k])) for k in np.flatnonzero(z >= SIMILAR_Z)]
