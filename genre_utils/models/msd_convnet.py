"""The convnet of Choi et al. (2017), trained to tag the Million Song Dataset.

A network of five small convolutional layers whose normalisation knows no running averages:
it was trained, and its published features were computed, with the statistics of whatever
batch was at hand. So what it says about a clip depends on the clip's neighbours, in two
ways: through the mean and variance of each channel, and through the decibels, which count
from the loudest point of the batch.

Here these numbers are never implicit. `embed` takes `Statistics`, and these are made by
`measure` alone, from training clips, with the test clips named so that none can be among
them. `embed_as_one_batch` does what the authors did, for the study of what it causes.

References
----------
K. Choi, G. Fazekas, M. Sandler, K. Cho: "Transfer learning for music classification and
regression tasks", ISMIR 2017, arXiv:1703.09179.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre_utils import arrays, audio, progress, project
from genre_utils.models.resnet import WeightsError

SR = 12_000
"""Sample rate of the network's input in Hz."""

WINDOW = 29 * SR
"""Samples that the network sees at a time."""

WEIGHTS_URL = (
    "https://github.com/keunwoochoi/music-auto_tagging-keras/raw/"
    "1347d8f4241bf77089d95601ad6d30cc01c428f0/compact_cnn/weights_theano.hdf5"
)
WEIGHTS_SHA256 = "caf89f811415691fbb245be7eef394b9cebd787d7e3f78e29695972141cf2a08"
WEIGHTS_MB = 1.33
LICENCE = (
    "No licence is stated beside the weights (github.com/keunwoochoi/music-auto_tagging-keras); "
    "their author asks to cite the paper. They are not part of this project."
)
RECIPE = 1
"""Raised when the same weights and sound file begin to give other spectrograms."""

_FILE = "weights_theano.hdf5"
_HOP = 256
_POOLING = ((2, 4), (3, 4), (2, 5), (2, 4), (4, 4))
_EPSILON = 1e-3
_DEPTH_DB = 80.0
_LEAST_POWER = 1e-10
_REST = 0.1  # of a window; a shorter rest of a clip is left out
_TOGETHER = 4  # clips a step, so that a step's pictures stay in the processor's cache
_AT_MOST = 256  # clips that statistics are measured on: as many as the authors' batches had


class StatisticsError(project.ProjectError):
    """Statistics of a normalisation would see, or have seen, a clip that they must not."""


# ------------------------------------------------------------------ weights


@dataclass(frozen=True, eq=False)
class Weights:
    """What the published file holds, as correlations (PyTorch) and not convolutions (Theano).

    Attributes
    ----------
    stft : Tensor [shape=(2 * n_bins, 1, n_fft)]
        Windowed cosines, then sines.
    mel : Tensor [shape=(n_bins, n_mels)]
        Filterbank for powers.
    layers : tuple of dict of str to Tensor
        ``kernel`` [shape=(32, n_in, 3, 3)], ``bias``, ``gamma``, ``beta`` [shape=(32,)].
    digest : str
        SHA-256 of the file.
    """

    stft: Tensor
    mel: Tensor
    layers: tuple[dict[str, Tensor], ...]
    digest: str


def places() -> tuple[Path, ...]:
    """Return where the weights are looked for: beside GTZAN, then where `fetch` puts them."""
    root = project.data_root()
    return root / "gtzan" / "choi2017" / _FILE, root / "choi2017" / _FILE


def fetch() -> Path:
    """Return the weights' file; fetch it into the data folder where it is missing.

    Raises
    ------
    WeightsError
        If it is not there and cannot be fetched, or is another file than expected.
    """
    for place in places():
        if place.is_file():
            return place
    import pooch

    from genre_utils import downloads

    target = places()[-1]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.get_logger().setLevel("WARNING")
        pooch.retrieve(
            WEIGHTS_URL,
            f"sha256:{WEIGHTS_SHA256}",
            fname=target.name,
            path=target.parent,
            downloader=downloads.ResumingDownloader(
                target.with_suffix(".partial"), verified_later=True
            ),
        )
    # ResumingDownloader has an error of its own for a server that says no.
    except Exception as error:
        raise WeightsError(
            f"the weights of Choi et al. (2017) could not be fetched ({error}); download "
            f"{WEIGHTS_URL} by hand as {target}"
        ) from error
    return target


def load(path: Path | None = None) -> "MsdConvnet":
    """Return the pretrained network.

    Parameters
    ----------
    path : Path, optional
        A file with the layout of the published one. By default the published one itself,
        from one of `places`; see `fetch`.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or laid out in another way; by default also if its
        checksum is not that of the published file.
    """
    if path is None:
        path = next((place for place in places() if place.is_file()), None)
        if path is None:
            raise WeightsError(
                "the weights of Choi et al. (2017) are not available here: expected "
                f"{' or '.join(map(str, places()))}; msd_convnet.fetch() gets them "
                f"({WEIGHTS_MB:g} MB)"
            )
        found = project.file_digest(path)
        if found != WEIGHTS_SHA256:
            raise WeightsError(
                f"{path}: its SHA-256 is {found}, expected {WEIGHTS_SHA256}; it is damaged or "
                "another version: remove it and fetch it again"
            )
    return MsdConvnet(read(path))


def read(path: Path) -> Weights:
    """Read weights in the layout of the published file.

    Theano's convolutions run over their kernels backwards, PyTorch's do not: kernels are
    turned round here, once.

    Raises
    ------
    WeightsError
        If the file is missing, is no HDF5 file, or lacks an array.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file; expected the weights of Choi et al. (2017)")
    try:
        with h5py.File(path, "r") as file:
            melgram = [_array(file, path, f"melgram/param_{i}") for i in range(3)]
            layers = tuple(
                {
                    name: _array(file, path, f"ConvBNEluDr/{source}_{number}_{suffix}")
                    for name, source, suffix in (
                        ("kernel", "convolution2d", "W"),
                        ("bias", "convolution2d", "b"),
                        ("gamma", "batchnormalization", "gamma"),
                        ("beta", "batchnormalization", "beta"),
                    )
                }
                for number in range(1, len(_POOLING) + 1)
            )
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read as HDF5 ({error}); it is damaged: fetch it again"
        ) from error
    for layer in layers:
        layer["kernel"] = layer["kernel"].flip(2, 3)
    waves = torch.cat([wave[:, 0, 0, :].T for wave in melgram[:2]])
    return Weights(
        stft=waves.flip(1)[:, None, :].contiguous(),
        mel=melgram[2],
        layers=layers,
        digest=project.file_digest(path),
    )


def _array(file: h5py.File, path: Path, name: str) -> Tensor:
    if name not in file:
        raise WeightsError(
            f"{path}: has no array {name}; expected the layout of weights_theano.hdf5 of "
            "Choi et al. (2017)"
        )
    return torch.from_numpy(np.asarray(file[name], dtype=np.float32))


# ------------------------------------------------------------------ sound to mel bands


def windows(y: np.ndarray) -> np.ndarray:
    """Cut a signal of any length into what the network sees at a time.

    A clip of up to 1.1 windows gives its first 29 s, as the authors took them. A longer
    one gives as many windows as cover it, evenly spread, so that they overlap a little.
    A shorter one is repeated until the window is full: the authors fill it with silence,
    which is what the averages over time of an excerpt of a few seconds would mostly show.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal at `SR`.

    Returns
    -------
    np.ndarray [shape=(n_windows, WINDOW), dtype=float32]

    Raises
    ------
    ValueError
        If the signal is empty.
    """
    y = np.asarray(y, dtype=np.float32)
    if not len(y):
        raise ValueError("the signal is empty; expected at least one sample")
    if len(y) < WINDOW:
        y = np.resize(y, WINDOW)
    count = max(1, int(np.ceil(len(y) / WINDOW - _REST)))
    starts = np.linspace(0, len(y) - WINDOW, count) if count > 1 else [0]
    return np.stack([y[round(start) : round(start) + WINDOW] for start in starts])


@torch.inference_mode()
def mel_power(weights: Weights, signals: np.ndarray) -> np.ndarray:
    """Return the powers in the network's mel bands, by the kernels that it was stored with.

    Parameters
    ----------
    weights : Weights
        The network's weights.
    signals : np.ndarray [shape=(n, n_samples), dtype=float32]
        At `SR`.

    Returns
    -------
    power : np.ndarray [shape=(n, n_mels, ceil(n_samples / 256)), dtype=float32]
        From 0 on.
    """
    n_fft = weights.stft.shape[2]
    n_frames = -(-signals.shape[1] // _HOP)
    parts = []
    for signal in torch.from_numpy(np.asarray(signals, dtype=np.float32)):
        spectrum = functional.conv1d(
            signal[None, None], weights.stft, stride=_HOP, padding=n_fft // 2
        )[0, :, :n_frames]
        real, imaginary = spectrum.chunk(2)
        parts.append(weights.mel.T @ (real.square() + imaginary.square()))
    return torch.stack(parts).numpy()


@dataclass(frozen=True)
class Clips:
    """Mel powers of sound files, kept on disk so that memory does not grow with them.

    Attributes
    ----------
    files : dict of str to Path
        Track → array [shape=(n_windows, n_mels, n_frames), dtype=float32].
    failures : pd.DataFrame
        ``track_id, reason`` of the files that could not be read.
    digests : dict of str to str
        Track → SHA-256 of its sound file.
    """

    files: dict[str, Path]
    failures: pd.DataFrame
    digests: dict[str, str]

    def power(self, track_ids: Sequence[str]) -> list[np.ndarray]:
        """Return the arrays of some tracks, mapped from disk."""
        return [np.load(self.files[track], mmap_mode="r") for track in track_ids]


def clips(network: "MsdConvnet", paths: Mapping[str, Path]) -> Clips:
    """Turn sound files into mel powers; each is kept in the cache once it is done.

    Parameters
    ----------
    network : MsdConvnet
        Whose kernels to use.
    paths : mapping of str to Path
        Track → sound file of any length, of GTZAN or of anything else.
    """
    folder = project.cache_root() / "msd_convnet" / f"recipe-{RECIPE}" / network.weights.digest[:16]
    files, digests, failures = {}, {}, []
    for track_id, path in progress.track(paths.items(), total=len(paths), desc="mel bands"):
        try:
            digest = project.file_digest(path)
            file = folder / f"{digest}.npy"
            if len(arrays.shape(file) or ()) != 3:
                y = audio.load(path, sr=SR)
                arrays.write(file, mel_power(network.weights, windows(y)))
        except audio.AudioError as error:
            failures.append((track_id, error.reason))
        except OSError as error:
            failures.append((track_id, f"cannot be read ({error.strerror})"))
        else:
            files[track_id], digests[track_id] = file, digest
    table = pd.DataFrame(failures, columns=["track_id", "reason"], dtype="str")
    return Clips(files, table, digests)


# ------------------------------------------------------------------ the network


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the normalisation needs to know, measured once and then fixed. See `measure`.

    Attributes
    ----------
    mean, variance : np.ndarray [shape=(5, 32), dtype=float64]
        Of each layer's channels, over time, bands and clips.
    loudest : float
        Power of the loudest point: 0 dB.
    track_ids : tuple of str
        The clips that they were measured on.
    """

    mean: np.ndarray
    variance: np.ndarray
    loudest: float
    track_ids: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers."""
        numbers = np.concatenate([self.mean.ravel(), self.variance.ravel(), [self.loudest]])
        return hashlib.sha256(np.ascontiguousarray(numbers, "<f8").tobytes()).hexdigest()


class _Layer(nn.Module):
    """Convolution, normalisation by given statistics, ELU, pooling."""

    def __init__(self, weights: dict[str, Tensor], pooling: tuple[int, int]):
        super().__init__()
        kernel = weights["kernel"]
        self.convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        self.convolution.weight = nn.Parameter(kernel.clone())
        self.convolution.bias = nn.Parameter(weights["bias"].clone())
        self.gamma = nn.Parameter(weights["gamma"].clone())
        self.beta = nn.Parameter(weights["beta"].clone())
        self.pooling = pooling

    def forward(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return functional.max_pool2d(
            self.activated(self.convolution(x), mean, variance), self.pooling
        )

    def activated(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        scale = self.gamma / (variance + _EPSILON).sqrt()
        shift = self.beta - scale * mean
        return functional.elu(x * scale[:, None, None] + shift[:, None, None])


class MsdConvnet(nn.Module):
    """The five layers with their published weights. See `load`, `measure` and `embed`.

    Parameters
    ----------
    weights : Weights
        As `read` returns them.
    """

    def __init__(self, weights: Weights):
        super().__init__()
        self.weights = weights
        self.layers = nn.ModuleList(map(_Layer, weights.layers, _POOLING))

    def forward(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Return every layer's channels, averaged over time and bands.

        Parameters
        ----------
        x : Tensor [shape=(n, 1, n_mels, n_frames)]
            Decibels below the statistics' loudest point; see `decibels`.
        statistics : Statistics
            Of the normalisation.

        Returns
        -------
        Tensor [shape=(n, 160)]
            The first layer's 32 channels, then the second's, and so on.
        """
        averages = []
        for layer, mean, variance in zip(
            self.layers, statistics.mean, statistics.variance, strict=True
        ):
            x = layer(x, _like(mean, x), _like(variance, x))
            averages.append(x.mean(dim=(2, 3)))
        return torch.cat(averages, dim=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features: ``layer1_00`` to ``layer5_31``."""
        return tuple(
            f"layer{number}_{channel:02d}"
            for number, layer in enumerate(self.layers, start=1)
            for channel in range(len(layer.gamma))
        )


def _like(values: np.ndarray, x: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=x.device)


def decibels(power: np.ndarray, loudest: float) -> np.ndarray:
    """Return powers in decibels below the loudest point, at most 80 dB deep.

    Parameters
    ----------
    power : np.ndarray [shape=(..., n_mels, n_frames)]
        From 0 on.
    loudest : float
        The power that is 0 dB, above 0. The authors took it from the batch.
    """
    level = 10 * np.log10(np.maximum(power, _LEAST_POWER) / max(loudest, _LEAST_POWER))
    return np.maximum(level, -_DEPTH_DB).astype(np.float32)


def measure(
    network: MsdConvnet,
    power: Sequence[np.ndarray],
    *,
    train: Sequence[str],
    test: Collection[str],
    at_most: int = _AT_MOST,
) -> Statistics:
    """Measure the statistics of the normalisation on training clips.

    Parameters
    ----------
    network : MsdConvnet
        The network.
    power : sequence of np.ndarray [shape=(n_windows, n_mels, n_frames)]
        Of each training clip, as `Clips.power` returns them.
    train : sequence of str
        The training clips' ids, in the order of `power`.
    test : collection of str
        The clips that are to be predicted later. To be named even though they are not
        used, so that a clip on both sides is found.
    at_most : int
        Clips to measure on, evenly spread over the training clips; memory needs about
        2 MB for each.

    Raises
    ------
    StatisticsError
        If a clip is on both sides, or there is no training clip.
    """
    if not len(train) or len(train) != len(power):
        raise StatisticsError(
            f"{len(power)} spectrograms for {len(train)} training clips; expected one for each, "
            "and at least one"
        )
    step = -(-len(train) // at_most)
    both = sorted(set(train) & set(test))
    if both:
        raise StatisticsError(
            f"{len(both)} clips are to be measured on and to be predicted, e.g. {both[0]}; "
            "expected training clips only"
        )
    together = np.concatenate([np.asarray(clip) for clip in power[::step]])
    _, mean, variance, loudest = _through_as_one(network, together)
    return Statistics(mean, variance, loudest, tuple(train[::step]))


@torch.inference_mode()
def embed(network: MsdConvnet, power: Sequence[np.ndarray], statistics: Statistics) -> np.ndarray:
    """Describe each clip by the network, whatever other clips there are.

    Parameters
    ----------
    network : MsdConvnet
        The network.
    power : sequence of np.ndarray [shape=(n_windows, n_mels, n_frames)]
        Of each clip; the windows' features are averaged.
    statistics : Statistics
        From `measure`; there is no default.

    Returns
    -------
    X : np.ndarray [shape=(n_clips, 160), dtype=float32]
    """
    rows = []
    for clip in power:
        x = torch.from_numpy(decibels(np.asarray(clip), statistics.loudest))[:, None]
        parts = [network(part, statistics) for part in x.split(_TOGETHER)]
        rows.append(torch.cat(parts).mean(dim=0))
    return torch.stack(rows).numpy()


def embed_as_one_batch(network: MsdConvnet, power: Sequence[np.ndarray]) -> np.ndarray:
    """Describe clips as the authors did: by the statistics of these clips themselves.

    A clip's features then depend on all the others here, so they are good for showing
    what that does and for nothing else. Only the first window of each clip is taken.

    Parameters
    ----------
    network, power
        As in `embed`.

    Returns
    -------
    X : np.ndarray [shape=(n_clips, 160), dtype=float32]
    """
    return _through_as_one(network, np.stack([np.asarray(clip[0]) for clip in power]))[0]


@torch.inference_mode()
def _through_as_one(
    network: MsdConvnet, power: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return features, means, variances and the loudest power of clips taken as one batch."""
    loudest = float(power.max())
    x = torch.from_numpy(decibels(power, loudest))[:, None]
    means, variances, averages = [], [], []
    for layer in network.layers:
        # ELU and a positive scale keep the order of values, so the largest of a field can be
        # taken before the statistics are known: eight times fewer numbers are kept. Where
        # the scale is negative, the least is taken, as the largest of the negative.
        sign = torch.where(layer.gamma < 0, -1.0, 1.0)[:, None, None]
        total, squares, count, pooled = 0.0, 0.0, 0, []
        for part in x.split(_TOGETHER):
            values = layer.convolution(part)
            total = total + values.sum(dim=(2, 3)).double().sum(dim=0)
            squares = squares + values.square().sum(dim=(2, 3)).double().sum(dim=0)
            count += values[:, 0].numel()
            pooled.append(sign * functional.max_pool2d(values * sign, layer.pooling))
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        x = layer.activated(torch.cat(pooled), mean.float(), variance.float())
        means.append(mean.numpy())
        variances.append(variance.numpy())
        averages.append(x.mean(dim=(2, 3)))
    return torch.cat(averages, dim=1).numpy(), np.stack(means), np.stack(variances), loudest


# ------------------------------------------------------------------ fine-tuning


class Classifier(nn.Module):
    """The network with a head that names genres, to be trained by `training.fit`.

    The statistics stay what they were measured to be: a batch of test clips changes
    nothing, in training mode or out of it.

    Parameters
    ----------
    network : MsdConvnet
        Copied, so that it stays as it was published.
    statistics : Statistics
        From `measure`.
    features : np.ndarray [shape=(n_train, 160)]
        What `embed` says about training clips: the head sees features that are
        standardised by them.
    n_classes : int
        Number of genres.
    """

    def __init__(
        self,
        network: MsdConvnet,
        statistics: Statistics,
        *,
        features: np.ndarray,
        n_classes: int = 10,
    ):
        super().__init__()
        self.network = MsdConvnet(network.weights)
        self.statistics = statistics
        self.register_buffer("mean", torch.from_numpy(features.mean(axis=0)))
        self.register_buffer("std", torch.from_numpy(np.maximum(features.std(axis=0), 1e-3)))
        self.head = nn.Linear(features.shape[1], n_classes)

    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Begin with a classifier of features as `embed` returns them, not standardised.

        Parameters
        ----------
        weight : Tensor [shape=(n_classes, 160)]
        bias : Tensor [shape=(n_classes,)]
        """
        with torch.no_grad():
            self.head.weight.copy_(weight * self.std)
            self.head.bias.copy_(bias + weight @ self.mean)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [shape=(n, n_classes)] of `inputs`."""
        features = self.network(x.float(), self.statistics)
        return self.head((features - self.mean) / self.std)


def inputs(power: Sequence[np.ndarray], statistics: Statistics) -> np.ndarray:
    """Return what `Classifier` reads: the first window of each clip in decibels.

    Parameters
    ----------
    power : sequence of np.ndarray [shape=(n_windows, n_mels, n_frames)]
        Of each clip.
    statistics : Statistics
        Those of the classifier.

    Returns
    -------
    x : np.ndarray [shape=(n_clips, 1, n_mels, n_frames), dtype=float16]
    """
    return np.stack(
        [decibels(np.asarray(clip[0]), statistics.loudest)[None] for clip in power]
    ).astype(np.float16)
