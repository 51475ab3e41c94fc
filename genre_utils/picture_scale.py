"""What the grey levels of a spectrogram stand for in decibels.

GTZAN's pictures show each clip from its own quietest to its own loudest point, and do not say
what these were: the same grey is one level in a hushed recording and another in a loud one.
Where a clip's sound is at hand, its range is measured. Where it is not, the public table of
features tells it in a roundabout way: were the range wider, the quiet high bands would be
quieter still, and centroid, bandwidth and rolloff of the picture lower. The range is the one
with which the picture has the features that the table states.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import features, gtzan_spectrogram, images, inputs, project
from genre_utils.datasets import Dataset

RANGES_DB = np.arange(70.0, 201.0, 10.0)
"""Ranges in dB that are tried; what lies between them is interpolated."""

STATISTICS = (
    "spectral_centroid_mean", "spectral_bandwidth_mean", "rolloff_mean",
    "spectral_centroid_var", "spectral_bandwidth_var", "rolloff_var",
)  # fmt: skip
"""Features of the public table that the range changes."""

RECIPES = {"picture": 1, "audio": 2}
"""By source, raised when the same pictures and tables, or sound, begin to give other scales."""

_STEP_DB = 1.0
_ROLLOFF = 0.85
_FEWEST_CLIPS = 20
_REGULARISATION = 1e-4


class ScaleError(project.ProjectError):
    """Pictures whose range can be neither measured nor told from a table."""


def of_dataset(dataset: Dataset, *, source: str) -> pd.DataFrame:
    """Return what the levels of each track's spectrogram stand for.

    Parameters
    ----------
    dataset : Dataset
        Whose spectrograms they are.
    source : {'audio', 'picture'}
        What they were read from, see `inputs.spectrograms`.

    Returns
    -------
    pd.DataFrame
        ``range_db`` (from level 0 to 255) and ``peak_db`` (of level 255), indexed by
        ``track_id``; tracks that nothing is known about are left out.

    Raises
    ------
    ScaleError
        If neither all sound nor enough of it and the public table are there.
    """
    tracks = dataset.tracks
    if source == "audio":
        found = features.each_clip(dataset, name="scale of averaged log-mel", function=_of_log_mel)
    elif tracks["audio_path"].notna().all():
        found = features.each_clip(dataset, name="scale of picture", function=_of_picture)
    else:
        return _of_tables(dataset)
    return _table({track: found.load(track)[0] for track in found.files})


def _of_log_mel(y: np.ndarray) -> np.ndarray:
    S = inputs.averaged(features.log_mel(y, sr=features.SR, n_fft=1024, hop_length=256))
    return np.array([[S.max() - S.min(), S.max()]])


def _of_picture(y: np.ndarray) -> np.ndarray:
    return np.array([gtzan_spectrogram.extent_db(gtzan_spectrogram.sixteen_bits(y))])


def _table(rows: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(dict(rows), orient="index", columns=["range_db", "peak_db"])


def _of_tables(dataset: Dataset) -> pd.DataFrame:
    """Tell ranges from the table, as clips of the training part with sound teach it."""
    paths = dataset.tracks.set_index("track_id")["image_path"].dropna()
    try:
        table = features.table(dataset, segment_s=30.0, source="table")
    except features.FeatureError as reason:
        raise ScaleError(
            f"{dataset.title}: the ranges of pictures are unknown ({reason})"
        ) from None
    stated = pd.DataFrame(table.X, columns=list(table.names), index=table.items["track_id"])
    stated = stated.loc[[track for track in paths.index if track in stated.index]]
    train = dataset.tracks.loc[dataset.tracks["fault_filtered_split"].eq("train"), "track_id"]
    heard = features.each_clip(dataset, name="scale of picture", function=_of_picture)
    known = _table({t: heard.load(t)[0] for t in train if t in heard.files and t in stated.index})
    if len(known) < _FEWEST_CLIPS:
        raise ScaleError(
            f"{dataset.title}: {len(known)} training clips have sound, a picture and features; "
            f"expected at least {_FEWEST_CLIPS} to learn the ranges of pictures from"
        )
    shown = _shown(paths[stated.index])
    return told(stated, shown, known)


def _shown(paths: Mapping[str, Path]) -> np.ndarray:
    """Return what each picture would have, were its range each of `RANGES_DB`."""
    rows = [described(images.gtzan_levels(images.load_picture(path))) for path in paths]
    return np.stack(rows)


def described(levels: np.ndarray) -> np.ndarray:
    """Return the features of a picture under each range that is tried.

    Parameters
    ----------
    levels : np.ndarray [shape=(128, n_columns), dtype=uint8]
        As `images.gtzan_levels` returns them.

    Returns
    -------
    np.ndarray [shape=(len(RANGES_DB), len(STATISTICS) + 1)]
        Logarithms of `STATISTICS`, then that of the mean amplitude of a frame, where the
        loudest point has amplitude 1.
    """
    below_peak = levels.astype(np.float32) / 255 - 1
    hertz = (np.arange(len(levels)) * gtzan_spectrogram.BIN_HZ).astype(np.float32)
    rows = []
    for range_db in RANGES_DB:
        magnitude = 10 ** (below_peak * np.float32(range_db / 20))
        total = magnitude.sum(axis=0)
        centroid = hertz @ magnitude / total
        spread = np.square(hertz[:, None] - centroid) * magnitude
        bandwidth = np.sqrt(spread.sum(axis=0) / total)
        summed = np.cumsum(magnitude, axis=0)
        rolloff = hertz[(summed >= _ROLLOFF * summed[-1]).argmax(axis=0)]
        over_time = [centroid, bandwidth, rolloff]
        statistics = [x.mean() for x in over_time] + [x.var() for x in over_time]
        amplitude = np.sqrt(np.square(magnitude).sum(axis=0)).mean()
        rows.append(np.log(np.maximum([*statistics, amplitude], 1e-10)))
    return np.array(rows)


def told(stated: pd.DataFrame, shown: np.ndarray, known: pd.DataFrame) -> pd.DataFrame:
    """Tell the scale of pictures from the features of their sound.

    Parameters
    ----------
    stated : pd.DataFrame
        `STATISTICS` and ``rms_mean`` of each track, indexed by ``track_id``.
    shown : np.ndarray [shape=(n_tracks, len(RANGES_DB), len(STATISTICS) + 1)]
        `described` of their pictures.
    known : pd.DataFrame
        ``range_db, peak_db`` of some of the tracks: how features of pictures differ from
        those of sound, which have longer frames, is learnt from them.

    Returns
    -------
    pd.DataFrame
        ``range_db, peak_db`` of every track.
    """
    wanted = np.log(np.maximum(stated[list(STATISTICS)].to_numpy(float), 1e-10))
    ranges = np.arange(RANGES_DB[0], RANGES_DB[-1] + _STEP_DB, _STEP_DB)
    between = np.stack([np.interp(ranges, RANGES_DB, tried) for tried in np.eye(len(RANGES_DB))])
    shown = np.einsum("trj,rs->tsj", shown, between)
    off = wanted[:, None] - shown[:, :, :-1]
    rows = stated.index.get_indexer(known.index)
    at = np.searchsorted(ranges, known["range_db"].clip(ranges[0], ranges[-1]))
    differences = off[rows, at]
    off -= differences.mean(axis=0)
    n = len(STATISTICS)
    precision = np.linalg.inv(np.cov(differences.T) + _REGULARISATION * np.eye(n))
    best = np.einsum("tsi,ij,tsj->ts", off, precision, off).argmin(axis=1)
    amplitude = shown[np.arange(len(shown)), best, -1]
    loudness = np.log(np.maximum(stated["rms_mean"].to_numpy(float), 1e-6))
    peak_db = 20 / np.log(10) * (loudness - amplitude)
    peak_db += (known["peak_db"].to_numpy() - peak_db[rows]).mean()
    return pd.DataFrame({"range_db": ranges[best], "peak_db": peak_db}, index=stated.index)
