"""Features of music: the 57 classical ones, log-mel spectrograms and MFCC series.

The 57 are those of the public GTZAN tables: the mean and the variance of 28 series,
and the tempo. Values are librosa's with its default settings, called on a segment
alone; what several of them start from is computed once.
"""

import io
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.ndimage import median_filter
from threadpoolctl import threadpool_limits

from genre_utils import audio, datasets, progress, project

RECIPE = "1"
"""Version of what `tabular` computes; raise it when a value changes, and caches renew."""

SR = 22050
"""Sample rate in Hz at which the tables of features are computed."""

_N_FFT, _HOP = 2048, 512
_MEDIAN_WIDTH = 31

FEATURE_NAMES = datasets.TABLE_FEATURES
"""Names of the 57 features, spelt and ordered as in the public 30-s table."""

_ITEM_COLUMNS = ["track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split"]


class FeatureError(project.ProjectError):
    """Features were asked for that the signal or the data set cannot give."""


@dataclass(frozen=True)
class FeatureTable:
    """The 57 features of every segment of a data set.

    Attributes
    ----------
    items : pd.DataFrame
        One row a segment, sorted by track_id and segment_index: track_id, genre,
        artist_id, artist_fold, fault_filtered_split, segment_index, segment_start_s,
        segment_s (the length asked for; a whole clip may be a little longer or shorter).
    X : np.ndarray [shape=(n_items, 57), dtype=float64]
        The features, rows as in `items`.
    names : tuple of str
        Names of the columns of `X`.
    source : str
        ``table`` (a public table) or ``audio``.
    failures : pd.DataFrame
        One row a track without features: track_id, file (relative to the data set's
        folder), reason.
    digest : str
        SHA-256 of `items` and of what `X` comes from: the public table's numbers, or the
        sound files and `RECIPE` (the last bits of computed numbers differ between
        machines, and must not make stored results look out of date).
    """

    items: pd.DataFrame
    X: np.ndarray
    names: tuple[str, ...]
    source: str
    failures: pd.DataFrame
    digest: str


def tabular(y: np.ndarray, *, sr: int = SR) -> np.ndarray:
    """Compute the 57 classical features of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal of at least 2,048 finite samples; silence is allowed.
    sr : int
        Sample rate in Hz.

    Returns
    -------
    values : np.ndarray [shape=(57,), dtype=float64]
        In the order of `FEATURE_NAMES`: shares (chroma, rms, zero-crossing rate), Hz
        (centroid, bandwidth, rolloff), amplitude (harmony and perceptr, the harmonic and
        the percussive part of the waveform, [1]_), beats per minute (tempo), and dB (MFCCs).

    Raises
    ------
    FeatureError
        If `y` is not mono, too short, or holds NaN or infinite samples.

    References
    ----------
    .. [1] Fitzgerald, "Harmonic/percussive separation using median filtering",
       DAFx 2010. The table goes back to Tzanetakis & Cook, "Musical genre
       classification of audio signals", IEEE TSAP 10(5), 2002.
    """
    with quiet_librosa():
        spectra = _spectra(_checked(y), sr)
        return np.concatenate([group(spectra) for group in _GROUPS.values()])


def log_mel(
    y: np.ndarray, *, sr: int, n_fft: int = 2048, hop_length: int = 512, n_mels: int = 128
) -> np.ndarray:
    """Compute a mel power spectrogram in decibels.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples.
    n_mels : int
        Number of mel bands from 0 Hz to sr / 2.

    Returns
    -------
    S : np.ndarray [shape=(n_mels, 1 + n_samples // hop_length), dtype=float32]
        Power in dB relative to 1, at most 80 dB below its own maximum.
    """
    mel = librosa.feature.melspectrogram(
        y=y, sr=sr, n_fft=n_fft, hop_length=hop_length, n_mels=n_mels
    )
    return librosa.power_to_db(mel).astype(np.float32, copy=False)


def mfcc_series(
    y: np.ndarray, *, sr: int, n_mfcc: int = 13, n_fft: int = 2048, hop_length: int = 512
) -> np.ndarray:
    """Compute mel-frequency cepstral coefficients over time.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal.
    sr : int
        Sample rate in Hz.
    n_mfcc : int
        Number of coefficients, from the first one (loudness) on.
    n_fft, hop_length : int
        Length of a frame and step between frames, in samples.

    Returns
    -------
    series : np.ndarray [shape=(1 + n_samples // hop_length, n_mfcc), dtype=float32]
        One row a frame.
    """
    mfcc = librosa.feature.mfcc(y=y, sr=sr, n_mfcc=n_mfcc, n_fft=n_fft, hop_length=hop_length)
    return np.ascontiguousarray(mfcc.T, dtype=np.float32)


def table(
    dataset: datasets.Dataset,
    *,
    segment_s: float,
    source: str | None = None,
    jobs: int | None = None,
) -> FeatureTable:
    """Return the 57 features of every segment of a data set.

    The data set's own table is read where it covers at least as many tracks as there
    are sound files; else features are computed from the audio. Each track's features
    are kept in the cache under the digest of the file's content, so a run that was
    cut off goes on where it was, and a second one only reads.

    Parameters
    ----------
    dataset : datasets.Dataset
        The data set.
    segment_s : float
        Length of a segment in seconds; see `audio.segment_bounds`.
    source : {'table', 'audio'}, optional
        Take the features from there, whatever covers more tracks.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Raises
    ------
    FeatureError
        If the data set has neither a table for that length nor audio (or not the one
        asked for), or if not one of its tracks gives features.
    """
    segment_s = float(segment_s)
    n_audio = int(dataset.tracks["audio_path"].notna().sum())
    if segment_s in dataset.tables and source != "audio":
        frame = datasets.load_feature_csv(dataset, segment_s)
        if source == "table" or frame["track_id"].nunique() >= max(n_audio, 1):
            return _from_csv(dataset, segment_s, frame)
    if not n_audio or source == "table":
        raise FeatureError(
            f"{dataset.title} has no audio and no table of features at {segment_s:g} s in "
            f"{dataset.root}; put the sound files there, or ask for another segment length"
        )
    return _from_audio(dataset, segment_s, jobs or project.jobs())


def milliseconds_per_feature(y: np.ndarray, sr: int, *, repeats: int = 3) -> pd.DataFrame:
    """Measure what each group of the 57 features costs on a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal of at least 2,048 finite samples.
    sr : int
        Sample rate in Hz.
    repeats : int
        Number of measurements, of which the median is taken; one more goes before them.

    Returns
    -------
    costs : pd.DataFrame
        feature_group, milliseconds (wall time), in the order of computation; the first
        row is what the others share.

    Raises
    ------
    FeatureError
        As `tabular`.
    """
    y = _checked(y)
    with quiet_librosa():
        spectra = _spectra(y, sr)
        work = {"shared spectra": lambda: _spectra(y, sr)}
        work |= {name: lambda group=group: group(spectra) for name, group in _GROUPS.items()}
        return pd.DataFrame(
            {
                "feature_group": list(work),
                "milliseconds": [_median_ms(function, repeats) for function in work.values()],
            }
        )


def _median_ms(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


def _checked(y: np.ndarray) -> np.ndarray:
    y = np.asarray(y, dtype=np.float32)
    if y.ndim != 1 or len(y) < _N_FFT:
        raise FeatureError(
            f"the signal has shape {y.shape}; expected one channel of at least {_N_FFT} "
            "samples; mix it down (audio.load does), or take a longer piece"
        )
    if not np.isfinite(y).all():
        raise FeatureError(
            "the signal holds NaN or infinite samples; expected finite numbers; "
            "write it again from its source"
        )
    return y


@contextmanager
def quiet_librosa() -> Iterator[None]:
    """Keep librosa from warning of sounds without a pitch."""
    # Silence has no pitch to tune to: its chroma is 0, and there is nothing to mend.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Trying to estimate tuning from empty")
        yield


@dataclass(frozen=True)
class _Spectra:
    """What several features start from."""

    y: np.ndarray
    sr: int
    complex: np.ndarray
    magnitude: np.ndarray
    power: np.ndarray
    mel_db: np.ndarray


def _spectra(y: np.ndarray, sr: int) -> _Spectra:
    spectrum = librosa.stft(y, n_fft=_N_FFT, hop_length=_HOP)
    magnitude = np.abs(spectrum)
    power = magnitude**2
    mel_db = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=sr))
    return _Spectra(y, sr, spectrum, magnitude, power, mel_db)


def _mean_var(*series: np.ndarray) -> np.ndarray:
    """Return mean and variance of each series, in turn."""
    return np.array([f(values, dtype=np.float64) for values in series for f in (np.mean, np.var)])


def _chroma(spectra: _Spectra) -> np.ndarray:
    return _mean_var(librosa.feature.chroma_stft(S=spectra.power, sr=spectra.sr))


def _rms(spectra: _Spectra) -> np.ndarray:
    return _mean_var(librosa.feature.rms(y=spectra.y))


def _centroid_and_bandwidth(spectra: _Spectra) -> np.ndarray:
    given = {"S": spectra.magnitude, "sr": spectra.sr}
    centroid = librosa.feature.spectral_centroid(**given)
    return _mean_var(centroid, librosa.feature.spectral_bandwidth(**given, centroid=centroid))


def _rolloff(spectra: _Spectra) -> np.ndarray:
    return _mean_var(librosa.feature.spectral_rolloff(S=spectra.magnitude, sr=spectra.sr))


def _zero_crossing_rate(spectra: _Spectra) -> np.ndarray:
    return _mean_var(librosa.feature.zero_crossing_rate(spectra.y))


def _harmony_and_percussion(spectra: _Spectra) -> np.ndarray:
    magnitude, phase = librosa.magphase(spectra.complex)
    waveforms = [
        librosa.istft(
            part * phase,
            hop_length=_HOP,
            n_fft=_N_FFT,
            dtype=spectra.y.dtype,
            length=len(spectra.y),
        )
        for part in harmonic_percussive(magnitude)
    ]
    return _mean_var(*waveforms)


def harmonic_percussive(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part a magnitude spectrogram into held tones and strokes.

    Values equal those of ``librosa.decompose.hpss(magnitude)``, in a fraction of its time.

    Parameters
    ----------
    magnitude : np.ndarray [shape=(n_bins, n_frames)]
        Magnitudes of a short-time Fourier transform, at least 0.

    Returns
    -------
    harmonic, percussive : np.ndarray [shape=(n_bins, n_frames)]
        Magnitudes of the two parts; they add up to the whole.

    References
    ----------
    Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010.
    """
    harmonic = _median_along_rows(magnitude)
    percussive = _median_along_rows(magnitude.T).T
    pairs = ((harmonic, percussive), (percussive, harmonic))
    masks = [librosa.util.softmask(part, rest, power=2, split_zeros=True) for part, rest in pairs]
    return magnitude * masks[0], magnitude * masks[1]


def _median_along_rows(S: np.ndarray) -> np.ndarray:
    """Equal ``median_filter(S, size=(1, 31), mode="reflect")``, ten times as fast.

    scipy's quick filter is for one dimension only, so all rows go through it as one,
    each between its own reflections.
    """
    half = _MEDIAN_WIDTH // 2
    padded = np.pad(S, ((0, 0), (half, half)), mode="symmetric")
    filtered = median_filter(padded.reshape(-1), size=_MEDIAN_WIDTH)
    return filtered.reshape(padded.shape)[:, half:-half]


def _tempo(spectra: _Spectra) -> np.ndarray:
    # The tempo of librosa.beat.beat_track (onsets by the median over bands), which the
    # public tables hold; librosa.feature.tempo alone takes the mean and often differs.
    onsets = librosa.onset.onset_strength(S=spectra.mel_db, sr=spectra.sr, aggregate=np.median)
    if not onsets.any():
        return np.zeros(1)
    return librosa.feature.tempo(onset_envelope=onsets, sr=spectra.sr, hop_length=_HOP)


def _mfccs(spectra: _Spectra) -> np.ndarray:
    return _mean_var(*librosa.feature.mfcc(S=spectra.mel_db, sr=spectra.sr, n_mfcc=20))


_GROUPS: dict[str, Callable[[_Spectra], np.ndarray]] = {
    "chroma": _chroma,
    "RMS": _rms,
    "spectral centroid and bandwidth": _centroid_and_bandwidth,
    "spectral rolloff": _rolloff,
    "zero-crossing rate": _zero_crossing_rate,
    "harmonic and percussive waveforms": _harmony_and_percussion,
    "tempo": _tempo,
    "20 MFCCs": _mfccs,
}
"""Functions whose results, one after the other, are the 57 features in order."""


def _from_csv(dataset: datasets.Dataset, segment_s: float, frame: pd.DataFrame) -> FeatureTable:
    name = dataset.tables[segment_s].name
    missing = dataset.tracks.loc[~dataset.tracks["track_id"].isin(frame["track_id"]), "track_id"]
    failures = [(track_id, name, "the table has no row of this track") for track_id in missing]
    keys = frame[["track_id", "segment_index"]]
    X = frame[list(FEATURE_NAMES)].to_numpy(np.float64)
    return _assemble(dataset, segment_s, keys, X, "table", failures, X.tobytes().hex())


def _from_audio(dataset: datasets.Dataset, segment_s: float, jobs: int) -> FeatureTable:
    cached = _cached(
        dataset, f"{segment_s:g}s", partial(_segments_tabular, segment_s=segment_s), jobs
    )
    values = {track_id: np.load(file) for track_id, file in cached.files.items()}
    if not values:
        _, file, reason = cached.failures[0]
        raise FeatureError(
            f"none of the {len(cached.failures)} sound files of {dataset.title} gave features at "
            f"{segment_s:g} s; the first: {file}: {reason}"
        )
    keys = pd.DataFrame(
        [(track_id, index) for track_id, X in values.items() for index in range(len(X))],
        columns=["track_id", "segment_index"],
    )
    X = np.concatenate(list(values.values()))
    made_from = project.text_digest(RECIPE, *(file.stem for file in cached.files.values()))
    return _assemble(dataset, segment_s, keys, X, "audio", cached.failures, made_from)


def _assemble(
    dataset: datasets.Dataset,
    segment_s: float,
    keys: pd.DataFrame,
    X: np.ndarray,
    source: str,
    failures: list[tuple[str, str, str]],
    made_from: str,
) -> FeatureTable:
    items = keys.merge(dataset.tracks[_ITEM_COLUMNS], on="track_id", how="left")
    items = items[[*_ITEM_COLUMNS, "segment_index"]]
    items["segment_start_s"] = items["segment_index"] * segment_s
    items["segment_s"] = segment_s
    return FeatureTable(
        items=items,
        X=X,
        names=FEATURE_NAMES,
        source=source,
        failures=pd.DataFrame(failures, columns=["track_id", "file", "reason"], dtype="str"),
        digest=project.text_digest(items.to_csv(index=False), made_from),
    )


_SERIES = {"log_mel": log_mel, "mfcc": mfcc_series}


@dataclass(frozen=True)
class Series:
    """Log-mel spectrograms or MFCC series of whole clips, on disk.

    Attributes
    ----------
    kind : str
        ``log_mel`` or ``mfcc``.
    files : dict of str to Path
        track_id → array file, in the order of the tracks.
    failures : pd.DataFrame
        One row a track without a series: track_id, file, reason.
    """

    kind: str
    files: dict[str, Path]
    failures: pd.DataFrame

    def load(self, track_id: str) -> np.ndarray:
        """Return one track's series, as `log_mel` or `mfcc_series` returns it."""
        return np.load(self.files[track_id])


def series(dataset: datasets.Dataset, *, kind: str, jobs: int | None = None) -> Series:
    """Compute the log-mel spectrogram or MFCC series of every track with audio.

    Parameters
    ----------
    dataset : datasets.Dataset
        Without audio the result is empty.
    kind : {'log_mel', 'mfcc'}
        Which series, at 22,050 Hz with the defaults of `log_mel` and `mfcc_series`.
    jobs : int, optional
        Number of processes; `project.jobs` by default.

    Returns
    -------
    Series
        Arrays stay on disk (in the cache), so that memory does not grow with the tracks.

    Raises
    ------
    FeatureError
        If `kind` is unknown.
    """
    if kind not in _SERIES:
        raise FeatureError(f"unknown kind of series {kind!r}; expected one of {list(_SERIES)}")
    cached = _cached(dataset, kind, partial(_whole, function=_SERIES[kind]), jobs)
    failures = pd.DataFrame(cached.failures, columns=["track_id", "file", "reason"], dtype="str")
    return Series(kind, cached.files, failures)


def _whole(y: np.ndarray, *, function: Callable) -> np.ndarray:
    return function(y, sr=SR)


def _segments_tabular(y: np.ndarray, *, segment_s: float) -> np.ndarray:
    bounds = audio.segment_bounds(len(y) / SR, segment_s)
    if not bounds:
        raise FeatureError(
            f"is {len(y) / SR:.2f} s long; expected at least half a segment of "
            f"{segment_s:g} s; leave it out, or ask for shorter segments"
        )
    return np.stack(
        [tabular(y[round(start * SR) : round(end * SR)], sr=SR) for start, end in bounds]
    )


@dataclass
class _Cached:
    files: dict[str, Path]
    failures: list[tuple[str, str, str]]


def _cached(
    dataset: datasets.Dataset,
    kind: str,
    compute: Callable[[np.ndarray], np.ndarray],
    jobs: int | None,
) -> _Cached:
    """Make sure that every track's array is in the cache; say which tracks have none."""
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()].sort_values("track_id")
    files: dict[str, Path] = {}
    reasons: dict[str, str] = {}
    to_do = []
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda track: _cache_file(track, kind), tracks.itertuples())
        for track, (file, reason) in zip(tracks.itertuples(), found, strict=True):
            if reason:
                reasons[track.track_id] = reason
                continue
            files[track.track_id] = file
            if not _is_whole(file, kind):
                to_do.append((track.track_id, Path(track.audio_path), file))
    jobs = max(1, min(jobs or project.jobs(), len(to_do)))
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    results = parallel(delayed(_extract)(*task, compute) for task in to_do)
    title = f"features ({kind})"
    for track_id, reason in progress.track(results, total=len(to_do), desc=title):
        if reason:
            reasons[track_id] = reason
            del files[track_id]
    paths = dict(zip(tracks["track_id"], tracks["audio_path"], strict=True))
    failures = [
        (track_id, _relative(path, dataset.root), reasons[track_id])
        for track_id, path in paths.items()
        if track_id in reasons
    ]
    return _Cached(files, failures)


def _relative(path: Path, folder: Path) -> str:
    path = Path(path)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _cache_file(track, kind: str) -> tuple[Path | None, str]:
    """Return where a track's array is kept, or the reason why its file has no digest."""
    digest = track.sha256
    if pd.isna(digest):
        try:
            digest = project.file_digest(track.audio_path)
        except OSError as error:
            return None, f"cannot be read ({error.strerror}); expected a sound file there"
    folder = project.cache_root() / "features" / f"recipe-{RECIPE}" / kind
    return folder / f"{digest}.npy", ""


def _is_whole(file: Path, kind: str) -> bool:
    try:
        _, columns = np.load(file, mmap_mode="r", allow_pickle=False).shape
        return kind in _SERIES or columns == len(FEATURE_NAMES)
    except (OSError, ValueError, EOFError):
        return False  # not there, or spoilt: computed again


def _extract(
    track_id: str, path: Path, cache_file: Path, compute: Callable[[np.ndarray], np.ndarray]
) -> tuple[str, str]:
    """Compute and keep one track's array; return track_id and the reason for none."""
    try:
        y = audio.load(path, sr=SR)
        # One thread, so that values do not depend on how many processes there are.
        with threadpool_limits(limits=1):
            values = compute(y)
    except audio.AudioError as error:
        return track_id, error.reason
    except FeatureError as error:
        return track_id, str(error)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    project.write_atomic(cache_file, buffer.getvalue())
    return track_id, ""
