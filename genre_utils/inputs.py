"""What networks read: one array for all tracks of a data set, whole or cut along time.

A spectrogram comes from sound where (nearly) all tracks have sound, and from the data
set's own pictures where these cover more tracks. Pictures are cut along time as sound is,
so that every protocol is possible on them. Cepstral coefficients, small pictures and
colours are made from the spectrogram inside the networks.
"""

import hashlib
import importlib.resources
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import librosa
import numpy as np
import pandas as pd

from genre_utils import audio, features, gtzan_spectrogram, images, progress, project
from genre_utils.datasets import Dataset
from genre_utils.gtzan_spectrogram import N_MELS, mel_centres

CLIP_S = 30.0
"""Length in seconds that whole clips are brought to: longer ones are cut, shorter ones repeated."""

RECIPE = 1
"""Raised when the same sound begins to give other inputs."""

_FEW_MISSING = 0.95
_TRACK_COLUMNS = ["track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split"]


class InputError(project.ProjectError):
    """A data set cannot give what a network reads."""


@dataclass(frozen=True)
class Input:
    """What a network reads, one row an item.

    Attributes
    ----------
    name : str
        One of `INPUTS`.
    source : str
        ``audio`` or ``picture``.
    x : np.ndarray [shape=(n_items, ...)] or tuple of such arrays
        Spectrograms are uint8 [shape=(n_items, 1, n_bands, n_frames)], low bands first.
    items : pd.DataFrame
        One row an item: ``track_id, genre, artist_id, artist_fold, fault_filtered_split,
        segment_index, segment_start_s, segment_s``.
    band_hz : np.ndarray [shape=(n_bands,)]
        Centre of each band of a spectrogram in Hz; empty for other inputs.
    failures : pd.DataFrame
        One row a track that could not be read: track_id, file, reason.
    digest : str
        Of items and values; of what is computed of sound, of items and sound files.
    sounds : str
        Digest of the sound files that it was computed from; empty for pictures.
    """

    name: str
    source: str
    x: np.ndarray | tuple[np.ndarray, ...]
    items: pd.DataFrame
    band_hz: np.ndarray
    failures: pd.DataFrame
    digest: str
    sounds: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item, of its first array where there are several."""
        x = self.x[0] if isinstance(self.x, tuple) else self.x
        return x.shape[1:]


def load(dataset: Dataset, name: str, *, segment_s: float = CLIP_S) -> Input:
    """Return an input of every track that has what it takes.

    Parameters
    ----------
    dataset : Dataset
        Where sounds and pictures are.
    name : str
        One of `INPUTS`.
    segment_s : float
        Length of an item in seconds, at most `CLIP_S`.

    Raises
    ------
    InputError
        If the name is unknown, if no track can be read, or if this input cannot be cut.
    """
    if name not in INPUTS:
        raise InputError(f"unknown input {name!r}; expected one of {', '.join(INPUTS)}")
    return INPUTS[name](dataset, segment_s)


def like(dataset: Dataset, first: Input) -> Input:
    """Return another data set's tracks as a network reads them that was trained on an input.

    Parameters
    ----------
    dataset : Dataset
        Another data set.
    first : Input
        Spectrograms. Where they come from pictures, the other tracks' pictures are drawn
        from their sound.

    Raises
    ------
    InputError
        If no track can be read, or if `first` is another input.
    """
    if first.name != "spectrogram":
        raise InputError(f"{first.name!r} cannot be made of other tracks; only spectrograms can")
    segment_s = float(first.items["segment_s"].iloc[0])
    return spectrograms(dataset, segment_s, source=first.source)


def like_or_none(dataset: Dataset | None, first: Input) -> Input | None:
    """Return what `like` does; None where there is no data set, or none that can be read so."""
    if dataset is None:
        return None
    try:
        return like(dataset, first)
    except InputError:
        return None


def spectrograms(dataset: Dataset, segment_s: float, *, source: str | None = None) -> Input:
    """Return mel spectrograms, in 256 levels from the quietest to the loudest of a clip.

    From sound: 128 bands from frames of 1024 samples, four frames 256 samples apart
    averaged, 21.5 a second. From GTZAN's pictures: 80 bands, 16.5 columns a second.
    """
    source = source or _source(dataset)
    if source == "audio":
        found = _from_audio(dataset)
    elif dataset.tracks["image_path"].notna().any():
        found = _from_pictures(dataset)
    else:
        found = _each_clip(dataset, "mel_of_drawn_picture", gtzan_spectrogram.mel_of_sound)
    if not found.arrays:
        raise InputError(
            f"{dataset.title}: no track has sound or a picture that can be read; see make data"
        )
    x = np.stack(list(found.arrays.values()))[:, None]
    items = _items(dataset.tracks, list(found.arrays), [(0.0, CLIP_S)], CLIP_S)
    whole = _assembled(
        "spectrogram", source, x, items, found.failures, mel_centres(x.shape[2]), found.sounds
    )
    return cut(whole, segment_s)


def cut(whole: Input, segment_s: float) -> Input:
    """Cut spectrograms of whole clips into consecutive segments of one length.

    Parameters
    ----------
    whole : Input
        Spectrograms of whole clips.
    segment_s : float
        Length of a segment in seconds, at most `CLIP_S`.
    """
    _check_length(segment_s)
    if segment_s == CLIP_S:
        return whole
    bounds = audio.segment_bounds(CLIP_S, segment_s)
    n_frames = whole.x.shape[-1]
    width = int(segment_s * n_frames / CLIP_S)
    starts = [min(round(start * n_frames / CLIP_S), n_frames - width) for start, _ in bounds]
    x = np.stack([whole.x[..., start : start + width] for start in starts], axis=1)
    x = np.ascontiguousarray(x.reshape(-1, *x.shape[2:]))
    items = _items(whole.items, list(whole.items["track_id"]), bounds, segment_s)
    return _assembled(
        whole.name, whole.source, x, items, whole.failures, whole.band_hz, sounds=whole.sounds
    )


def spectrograms_and_features(dataset: Dataset, segment_s: float) -> Input:
    """Return spectrograms beside the 57 features of the same tracks, of whole clips."""
    _only_whole("spectrogram+features", segment_s)
    first = spectrograms(dataset, segment_s)
    try:
        table = features.table(dataset, segment_s=segment_s)
    except features.FeatureError as error:
        raise InputError(str(error)) from error
    # Spectrograms show the first 30 s of a longer clip, and so do these.
    first_ones = np.flatnonzero(table.items["segment_index"].eq(0))
    rows = pd.Series(first_ones, index=table.items["track_id"].iloc[first_ones])
    both = first.items["track_id"].isin(rows.index).to_numpy()
    items = first.items[both].reset_index(drop=True)
    X = table.X[rows[items["track_id"]]].astype(np.float32)
    return replace(
        first,
        name="spectrogram+features",
        x=(first.x[both], X),
        items=items,
        digest=project.text_digest(first.digest, table.digest),
    )


def own_pictures(dataset: Dataset, segment_s: float) -> Input:
    """Return GTZAN's pictures as they are, or as `images.gtzan_picture` draws 16-bit sound."""
    _only_whole("picture", segment_s)
    if _source(dataset) == "picture":
        found, source = _read_pictures(dataset, _whole_picture), "picture"
    else:
        found, source = _each_clip(dataset, "drawn_picture", _drawn_picture), "audio"
    return _whole_clips("picture", source, found, dataset)


def waveform_pictures(dataset: Dataset, segment_s: float) -> Input:
    """Return pictures of the waveform, 64 × 128; tracks without sound are left out."""
    _only_whole("waveform", segment_s)
    return _whole_clips("waveform", "audio", _each_clip(dataset, "waveform", _waveform), dataset)


def zcr_pictures(dataset: Dataset, segment_s: float) -> Input:
    """Return pictures of the zero-crossing rate, 64 × 128; tracks without sound are left out."""
    _only_whole("zcr", segment_s)
    return _whole_clips("zcr", "audio", _each_clip(dataset, "zcr", _zcr), dataset)


def cut_mfcc(dataset: Dataset, segment_s: float) -> Input:
    """Return 13 cepstral coefficients of segments that pydub cut at exact milliseconds."""
    return _cut_audio(dataset, "mfcc", segment_s, _mfcc_of_cut)


def cut_mfcc_and_rms(dataset: Dataset, segment_s: float) -> Input:
    """Return the same with the loudness of each frame (RMS in dB) as a 14th row."""
    return _cut_audio(dataset, "mfcc+rms", segment_s, _mfcc_and_rms_of_cut)


def cut_waveform(dataset: Dataset, segment_s: float) -> Input:
    """Return the samples themselves, of segments that pydub cut at exact milliseconds."""
    return _cut_audio(dataset, "waveform samples", segment_s, _samples_of_cut)


INPUTS: dict[str, Callable[[Dataset, float], Input]] = {
    "spectrogram": spectrograms,
    "spectrogram+features": spectrograms_and_features,
    "picture": own_pictures,
    "waveform": waveform_pictures,
    "zcr": zcr_pictures,
    "mfcc": cut_mfcc,
    "mfcc+rms": cut_mfcc_and_rms,
    "waveform samples": cut_waveform,
}
"""Every input by its name."""


def mel_of_picture(picture: np.ndarray, *, n_mels: int = N_MELS) -> np.ndarray:
    """Read one of GTZAN's pictures as a mel spectrogram.

    Parameters
    ----------
    picture : np.ndarray [shape=(370, 496), dtype=uint8]
        As `images.gtzan_picture` draws it: linear frequency, 0 Hz at the bottom.
    n_mels : int
        Mel bands. Low ones are narrower than the picture's rows of 86 Hz and share them.

    Returns
    -------
    S : np.ndarray [shape=(n_mels, 496), dtype=uint8]
        Low bands first; weighted means of the picture's levels.

    Raises
    ------
    ImageError
        If the picture has another size.
    """
    return gtzan_spectrogram.mel_levels(images.gtzan_levels(picture), n_mels=n_mels)


def _source(dataset: Dataset) -> str:
    has_audio = dataset.tracks["audio_path"].notna().sum()
    has_picture = dataset.tracks["image_path"].notna().sum()
    return "audio" if has_audio and has_audio >= _FEW_MISSING * has_picture else "picture"


_AVERAGED = 4
"""Frames of sound that make one of a spectrogram."""


@dataclass(frozen=True)
class _Found:
    arrays: dict[str, np.ndarray]
    failures: pd.DataFrame
    sounds: str = ""


def _failures(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["track_id", "file", "reason"], dtype="str")


def _from_audio(dataset: Dataset) -> _Found:
    series = features.series(dataset, kind="log_mel_1024")
    names = dataset.tracks.set_index("track_id")["audio_path"]
    arrays, short = {}, []
    for track_id in series.files:
        try:
            arrays[track_id] = _levels(series.load(track_id))
        except InputError as reason:
            short.append((track_id, names[track_id].name, str(reason)))
    failures = [part for part in (series.failures, _failures(short)) if len(part)]
    failures = pd.concat(failures, ignore_index=True) if failures else _failures([])
    return _Found(arrays, failures, dataset.sound_digest(arrays))


def averaged(S: np.ndarray) -> np.ndarray:
    """Average four frames at a time, and bring a clip to 30 s.

    Parameters
    ----------
    S : np.ndarray [shape=(n_bands, n_frames)]
        Frames 256 samples apart.

    Returns
    -------
    np.ndarray [shape=(n_bands, 645)]

    Raises
    ------
    InputError
        If there are fewer than four frames.
    """
    if S.shape[1] < _AVERAGED:
        raise InputError("is shorter than 0.04 s")
    n_frames = int(CLIP_S * features.SR / 256) // _AVERAGED
    whole = S.shape[1] // _AVERAGED * _AVERAGED
    S = S[:, :whole].reshape(len(S), -1, _AVERAGED).mean(axis=2)
    return np.tile(S, -(-n_frames // S.shape[1]))[:, :n_frames]


def _levels(S: np.ndarray) -> np.ndarray:
    """Return what a network reads: a clip's range is 0 … 255."""
    S = averaged(S)
    low, high = float(S.min()), float(S.max())
    return np.rint((S - low) * (255 / max(high - low, 1e-10))).astype(np.uint8)


def _from_pictures(dataset: Dataset) -> _Found:
    return _read_pictures(dataset, lambda path: mel_of_picture(images.load_picture(path)))


def _whole_picture(path: Path) -> np.ndarray:
    picture = images.load_picture(path)
    images.gtzan_levels(picture)  # refuses another size
    return picture


def _drawn_picture(y: np.ndarray) -> np.ndarray:
    return images.gtzan_picture(gtzan_spectrogram.sixteen_bits(y))


def _read_pictures(dataset: Dataset, read: Callable[[Path], np.ndarray]) -> _Found:
    tracks = dataset.tracks[dataset.tracks["image_path"].notna()]
    arrays, failed = {}, []
    with ThreadPoolExecutor(project.jobs()) as pool:
        outcomes = pool.map(lambda path: _outcome(read, path), tracks["image_path"])
        outcomes = progress.track(outcomes, total=len(tracks), desc="pictures")
        for (track_id, path), (array, reason) in zip(
            tracks[["track_id", "image_path"]].itertuples(index=False), outcomes, strict=True
        ):
            if array is None:
                failed.append((track_id, path.name, reason))
            else:
                arrays[track_id] = array
    return _Found(arrays, _failures(failed))


def _outcome(read, path: Path) -> tuple[np.ndarray | None, str]:
    try:
        return read(path), ""
    except project.ProjectError as error:
        return None, str(error)


def _each_clip(dataset: Dataset, name: str, function: Callable) -> _Found:
    found = features.each_clip(dataset, name=name, function=function)
    arrays = {track_id: found.load(track_id) for track_id in found.files}
    return _Found(arrays, found.failures, dataset.sound_digest(arrays))


def _waveform(y: np.ndarray) -> np.ndarray:
    return images.waveform_picture(y, height=64, width=128)


def _zcr(y: np.ndarray) -> np.ndarray:
    return images.zcr_picture(y, height=64, width=128)


def _whole_clips(name: str, source: str, found: _Found, dataset: Dataset) -> Input:
    if not found.arrays:
        what = "pictures" if source == "picture" else "sound"
        raise InputError(
            f"{dataset.title}: {name!r} needs {what}, and no track has any that can be read"
        )
    x = np.stack(list(found.arrays.values()))[:, None]
    items = _items(dataset.tracks, list(found.arrays), [(0.0, CLIP_S)], CLIP_S)
    return _assembled(name, source, x, items, found.failures, sounds=found.sounds)


def _check_length(segment_s: float) -> None:
    if not 0 < segment_s <= CLIP_S:
        raise InputError(
            f"segments of {segment_s:g} s were asked for; clips are brought to {CLIP_S:g} s: "
            "expected that at most"
        )


def _cut_audio(dataset: Dataset, name: str, segment_s: float, function: Callable) -> Input:
    _check_length(segment_s)
    bounds = audio.segment_bounds(CLIP_S, segment_s)
    # A folder of its own for each length: what is kept of a clip depends on it.
    found = _each_clip(dataset, f"{name} {segment_s:g}s", _Cut(function, tuple(bounds)))
    if not found.arrays:
        raise InputError(
            f"{dataset.title}: {name!r} needs sound, and no track has any that can be read"
        )
    x = np.concatenate(list(found.arrays.values()))
    if x.ndim == 2 and function is not _samples_of_cut:
        x = x.reshape(len(x), 1, -1, _frames_of(bounds))
    items = _items(dataset.tracks, list(found.arrays), bounds, segment_s)
    return _assembled(name, "audio", x, items, found.failures, sounds=found.sounds)


@dataclass(frozen=True)
class _Cut:
    """Cut a clip with pydub and describe each segment by one row of numbers."""

    function: Callable[[np.ndarray], np.ndarray]
    bounds: tuple[tuple[float, float], ...]

    def __call__(self, y: np.ndarray) -> np.ndarray:
        rows = [self.function(cut).ravel() for cut in cut_with_pydub(y, list(self.bounds))]
        return np.stack(rows)


def cut_with_pydub(y: np.ndarray, bounds: list[tuple[float, float]]) -> list[np.ndarray]:
    """Cut a clip at exact milliseconds with pydub's AudioSegment.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        Mono signal at 22,050 Hz, in [-1, 1]; pydub holds it in 16 bits. A clip that ends
        before the last segment is repeated from its start.
    bounds : list of (float, float)
        Start and end of each segment in seconds.

    Returns
    -------
    segments : list of np.ndarray [shape=(n,), dtype=float32]
        All equally long where the bounds are.
    """
    with warnings.catch_warnings():
        # Nothing is decoded here, so it does not matter whether pydub finds ffmpeg.
        warnings.simplefilter("ignore")
        from pydub import AudioSegment

    samples = np.clip(np.rint(y * 32768.0), -32768, 32767).astype(np.int16)
    wanted = round(max(end for _, end in bounds) * features.SR) + 1
    samples = np.tile(samples, -(-wanted // len(samples)))
    whole = AudioSegment(samples.tobytes(), frame_rate=features.SR, sample_width=2, channels=1)
    cuts = [whole[round(1000 * start) : round(1000 * end)] for start, end in bounds]
    n_samples = round((bounds[0][1] - bounds[0][0]) * features.SR)
    values = [np.asarray(cut.get_array_of_samples(), dtype=np.float32) / 32768.0 for cut in cuts]
    # pydub rounds each edge to a sample by itself, so cuts differ by one.
    return [np.pad(value, (0, max(0, n_samples - len(value))))[:n_samples] for value in values]


def _frames_of(bounds: list[tuple[float, float]]) -> int:
    return 1 + round((bounds[0][1] - bounds[0][0]) * features.SR) // 512


def _mfcc_of_cut(y: np.ndarray) -> np.ndarray:
    return features.mfcc_series(y, sr=features.SR).T.astype(np.float32)


def _mfcc_and_rms_of_cut(y: np.ndarray) -> np.ndarray:
    loudness = librosa.amplitude_to_db(librosa.feature.rms(y=y), amin=1e-5)
    return np.concatenate([_mfcc_of_cut(y), loudness.astype(np.float32)])


def _samples_of_cut(y: np.ndarray) -> np.ndarray:
    return y


def _only_whole(name: str, segment_s: float) -> None:
    if segment_s != CLIP_S:
        raise InputError(
            f"{name!r} is made of whole clips; segments of {segment_s:g} s were asked for"
        )


def _items(
    tracks: pd.DataFrame, track_ids: list[str], bounds: list[tuple[float, float]], segment_s: float
) -> pd.DataFrame:
    keys = pd.DataFrame(
        [
            {"track_id": track_id, "segment_index": index, "segment_start_s": start}
            for track_id in track_ids
            for index, (start, _) in enumerate(bounds)
        ]
    )
    items = keys.merge(tracks[_TRACK_COLUMNS], on="track_id", how="left")
    items = items[[*_TRACK_COLUMNS, "segment_index", "segment_start_s"]]
    return items.assign(segment_s=segment_s)


def _assembled(name, source, x, items, failures, band_hz=(), sounds="") -> Input:
    x = np.ascontiguousarray(x)
    # What is computed of sound differs in its last digits from processor to processor, and runs
    # have to be found on all of them: there the sound files count, not the numbers.
    content = f"{RECIPE} {x.shape} {sounds}" if sounds else hashlib.sha256(x.data).hexdigest()
    digest = project.text_digest(name, source, items.to_csv(index=False), content)
    digest = _stored_as().get(digest, digest)
    return Input(name, source, x, items, np.asarray(band_hz), failures, digest, sounds)


@lru_cache(maxsize=1)
def _stored_as() -> dict[str, str]:
    """Return under which digest runs of the first versions are stored.

    Their digests were those of numbers whose last digits depended on the processor: mel bands of
    GTZAN's pictures in single precision, and all that is computed of sound.
    """
    file = importlib.resources.files("genre_utils").joinpath("data", "stored_as.csv")
    with file.open("rb") as content:
        table = pd.read_csv(content, dtype=str)
    return dict(zip(table["digest"], table["stored_as"], strict=True))
