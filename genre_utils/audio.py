"""Sound files in: decoded, mixed down, resampled and cut into segments.

Needs numpy, soundfile and soxr only; pydub and ffmpeg where a format asks for them.
"""

import math
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from genre_utils.project import ProjectError

PLAUSIBLE_SR = (1_000, 768_000)
"""Lowest and highest sample rate in Hz that a sound file may state."""

_MAY_LACK = 0.02
"""Fraction that a last segment (29.93 s are 3 x 10 s), or a file, may lack."""

_STREAMED = 0x7FFFFFFF
"""A chunk size from here on means "not known when the header was written"."""


class AudioError(ProjectError):
    """A sound file that cannot be used.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        What was found, what was expected and what to do next, without the file's name.
    """

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def load(path: Path | str, *, sr: int = 22050) -> np.ndarray:
    """Decode a sound file to one channel at a given sample rate.

    Values equal those of ``librosa.load(path, sr=sr)``: channels are averaged, then
    resampled by soxr's high-quality recipe.

    Parameters
    ----------
    path : Path or str
        File in a format of libsndfile (wav, flac, ogg, mp3, au, aiff ...), or, where
        ffmpeg is installed, in any format of ffmpeg.
    sr : int
        Sample rate of the result in Hz.

    Returns
    -------
    y : np.ndarray [shape=(n_samples,), dtype=float32]
        The signal; full scale is -1 to 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, not decodable, cut off, or holds samples that
        are not finite numbers.
    """
    path = Path(path)
    channels, native_sr = decode(path)
    if channels.shape[0] == 0:
        raise AudioError(path, "holds no samples; expected music; fetch the file again")
    n_bad = np.count_nonzero(~np.isfinite(channels))
    if n_bad:
        raise AudioError(
            path,
            f"{n_bad} of {channels.size} samples are NaN or infinite; expected finite numbers; "
            "write the file again from its source",
        )
    return _resample(channels.mean(axis=1), native_sr, sr)


def duration(path: Path | str) -> float:
    """Return how long a sound file is, in seconds, from its header where it has one.

    Raises
    ------
    AudioError
        If the file is missing, empty or not decodable.
    """
    path = Path(path)
    _check_there(path)
    try:
        info = sf.info(path)
    except sf.LibsndfileError as error:
        channels, native_sr = _decode_with_ffmpeg(path, error)
        return channels.shape[0] / native_sr
    return info.frames / info.samplerate


def segment_bounds(duration_s: float, segment_s: float) -> list[tuple[float, float]]:
    """Cut a clip's duration into consecutive segments of one length.

    A last segment that lacks up to 2 % of its length counts, and ends with the clip.
    A clip with room for one segment only is that segment, from its start to its end.

    Parameters
    ----------
    duration_s : float
        Length of the clip in seconds.
    segment_s : float
        Length of a segment in seconds, above 0.

    Returns
    -------
    bounds : list of (float, float)
        Start (included) and end (excluded) of each segment in seconds; empty where the
        clip is shorter than half a segment.

    Raises
    ------
    ValueError
        If `segment_s` is not a positive finite number.
    """
    if not (math.isfinite(segment_s) and segment_s > 0):
        raise ValueError(f"segment_s is {segment_s!r}; expected a length in seconds above 0")
    if duration_s < segment_s / 2:
        return []
    n_segments = max(1, math.floor(duration_s / segment_s + _MAY_LACK))
    if n_segments == 1:
        return [(0.0, duration_s)]
    return [
        (index * segment_s, min((index + 1) * segment_s, duration_s)) for index in range(n_segments)
    ]


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise AudioError(path, "no such file; expected a sound file there; check the path")
    if path.stat().st_size == 0:
        raise AudioError(path, "the file is empty (0 bytes); expected audio; fetch it again")


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Decode a sound file as it is: all its channels at its own sample rate.

    Parameters
    ----------
    path : Path
        As for `load`.

    Returns
    -------
    channels : np.ndarray [shape=(n_samples, n_channels), dtype=float32]
        The signal, which may be empty and may hold NaN; full scale is -1 to 1.
    native_sr : int
        Sample rate of the file in Hz.

    Raises
    ------
    AudioError
        If the file is missing, empty, not decodable or cut off.
    """
    _check_there(path)
    try:
        file = sf.SoundFile(path)
    except sf.LibsndfileError as error:
        return _decode_with_ffmpeg(path, error)
    with file:
        native_sr, stated_frames = file.samplerate, _stated_frames(file)
        try:
            channels = file.read(dtype="float32", always_2d=True)
        except sf.LibsndfileError as error:
            raise AudioError(
                path, "decoding broke off before its end; the file is damaged: fetch it again"
            ) from error
    if channels.shape[0] < (1 - _MAY_LACK) * stated_frames:
        raise AudioError(
            path,
            f"is cut off: {channels.shape[0] / native_sr:.2f} s are there of the "
            f"{stated_frames / native_sr:.2f} s that its header states; fetch it again",
        )
    if not PLAUSIBLE_SR[0] <= native_sr <= PLAUSIBLE_SR[1]:
        raise AudioError(
            path,
            f"states a sample rate of {native_sr} Hz; expected {PLAUSIBLE_SR[0]} to "
            f"{PLAUSIBLE_SR[1]}; fetch it again",
        )
    return channels, native_sr


def _stated_frames(file: sf.SoundFile) -> int:
    """Return the length that a file's header states, 0 where it states none."""
    if file.format == "MP3":
        return 0  # an estimate
    # libsndfile quietly shortens a wav, au or aiff file to what is there; its log tells.
    size = re.search(r"(?:data|Data Size|SSND)\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    if size is None:
        return file.frames
    stated, present = int(size[1]), int(size[2])
    return round(file.frames * stated / max(present, 1)) if stated < _STREAMED else 0


def _decode_with_ffmpeg(path: Path, error: sf.LibsndfileError) -> tuple[np.ndarray, int]:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        raise AudioError(
            path,
            f"libsndfile cannot decode it ({error.error_string.rstrip('.')}). If its format is "
            "one such as m4a or wma, install ffmpeg and put it on PATH; else it is damaged or "
            "no audio: fetch it again",
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # raised by pydub's own source
        import pydub
    try:
        audio = pydub.AudioSegment.from_file(path)
    except Exception as second:  # pydub passes on whatever its parsers raise
        raise AudioError(
            path,
            f"neither libsndfile ({error.error_string.rstrip('.')}) nor ffmpeg can decode it; "
            "it is damaged or no audio: fetch it again",
        ) from second
    samples = np.asarray(audio.get_array_of_samples()).reshape(-1, audio.channels)
    full_scale = float(1 << (8 * audio.sample_width - 1))
    return (samples / full_scale).astype(np.float32), audio.frame_rate


def _resample(y: np.ndarray, native_sr: int, sr: int) -> np.ndarray:
    if native_sr == sr:
        return y
    n_samples = math.ceil(len(y) * (float(sr) / native_sr))
    resampled = soxr.resample(y, native_sr, sr, quality="soxr_hq")[:n_samples]
    return np.pad(resampled, (0, n_samples - len(resampled)))
