"""Networks that learnt from other data first: photographs, speech, sounds of all kinds.

Each takes a clip in windows of about ten seconds. `PretrainedNetwork.embed` averages what
it knows of a clip's windows, for a linear probe; `PretrainedNetwork.network` gives one
logit a genre for each window, and is trained further by `genre_utils.training.fit`. The
embedding is what the last linear layer sees, so that a probe's weights can take its place.

Networks from the Hugging Face hub need the extra ``transfer``.
"""

import importlib.util
import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import soxr
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torchvision.models import ViT_B_16_Weights

from genre_utils import images, project
from genre_utils.models import adapters, resnet
from genre_utils.models.weights import (
    NOT_HERE,
    HubWeights,
    TorchvisionWeights,
    WeightsError,
    check_answer,
)
from genre_utils.training import Machine

SHORTEST_S = 0.1
"""Shortest signal in seconds that is taken."""

_INSTALL = "transformers is not installed; pip install -e .[transfer]"


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network: what it is, what it heard or saw, and whose it is.

    Attributes
    ----------
    name : str
        Short name, as it stands in tables.
    title : str
        Name for readers.
    weights : TorchvisionWeights or HubWeights
        Where its weights come from.
    licence : str
        Licence of the weights, and what it leaves open.
    trained_on : str
        What it learnt from before.
    input : str
        ``picture`` (a mel spectrogram as a grey picture) or ``audio``.
    sr : int
        Sample rate in Hz of the signal that it takes.
    window_s : float
        Length in seconds of what it sees at once.
    citation : str
        The paper.
    kind : type
        The class of its `PretrainedNetwork.network`.
    architecture : dict
        Sizes, for a network that is built before its weights are read.
    """

    name: str
    title: str
    weights: TorchvisionWeights | HubWeights
    licence: str
    trained_on: str
    input: str
    sr: int
    window_s: float
    citation: str
    kind: type[adapters.Adapter]
    architecture: dict = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the weights, or a page about them, are."""
        return self.weights.url

    @property
    def size_mb(self) -> float:
        """Size of the weights in MB."""
        return self.weights.size_mb


_IMAGENET_TERMS = "BSD-3-Clause (torchvision); ImageNet's photographs are for research only"

PRETRAINED: dict[str, Pretrained] = {
    entry.name: entry
    for entry in (
        Pretrained(
            "resnet18",
            "ResNet18 (ImageNet)",
            resnet.IMAGENET,
            licence=_IMAGENET_TERMS,
            trained_on="ImageNet: 1.3 million photographs, 1,000 classes",
            input="picture",
            sr=22050,
            window_s=10.0,
            citation='He, Zhang, Ren & Sun, "Deep residual learning for image recognition", '
            "CVPR 2016",
            kind=adapters.ResNet,
        ),
        Pretrained(
            "vit_b_16",
            "Vision Transformer B/16 (ImageNet)",
            TorchvisionWeights(ViT_B_16_Weights.IMAGENET1K_V1),
            licence=_IMAGENET_TERMS,
            trained_on="ImageNet: 1.3 million photographs, 1,000 classes",
            input="picture",
            sr=22050,
            window_s=10.0,
            citation='Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021',
            kind=adapters.ViT,
            architecture={
                "image_size": 224,
                "patch_size": 16,
                "num_layers": 12,
                "num_heads": 12,
                "hidden_dim": 768,
                "mlp_dim": 3072,
            },
        ),
        Pretrained(
            "distilhubert",
            "DistilHuBERT",
            HubWeights(
                "distilhubert",
                "ntu-spml/distilhubert",
                "fa87d96265d6b7af66e112faff6ff44df419cec9",
                size_mb=94.0,
            ),
            licence="Apache-2.0",
            trained_on="LibriSpeech: 960 hours of English read aloud, no labels",
            input="audio",
            sr=16000,
            window_s=10.0,
            citation='Chang, Yang & Lee, "DistilHuBERT", ICASSP 2022',
            kind=adapters.Hubert,
        ),
        Pretrained(
            "ast",
            "Audio Spectrogram Transformer",
            HubWeights(
                "ast",
                "MIT/ast-finetuned-audioset-10-10-0.4593",
                "f826b80d28226b62986cc218e5cec390b1096902",
                size_mb=346.0,
            ),
            licence="BSD-3-Clause",
            trained_on="ImageNet, then AudioSet: 2 million clips of 10 s from YouTube, 527 "
            "labels, genres of music among them",
            input="audio",
            sr=16000,
            window_s=10.24,
            citation='Gong, Chung & Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021',
            kind=adapters.Ast,
        ),
    )
}
"""The pretrained networks of this study by name, in the order of the tables."""


class PretrainedNetwork:
    """A pretrained network with a head for some genres; made by `load`.

    Attributes
    ----------
    source : Pretrained
        What it is.
    genres : tuple of str
        The genre of each logit.
    network : nn.Module
        Takes rows as `prepare` makes them and returns logits [shape=(n, n_genres)].
    """

    def __init__(
        self,
        source: Pretrained,
        genres: tuple[str, ...],
        network: adapters.Adapter,
        extractor=None,
    ):
        self.source, self.genres, self.network = source, genres, network
        self._extractor = extractor

    @property
    def n_parameters(self) -> int:
        """Number of weights, those that stay as they are included."""
        return sum(weights.numel() for weights in self.network.parameters())

    def prepare(self, y: np.ndarray, *, sr: int) -> np.ndarray:
        """Return what the network takes of a clip, one row a window.

        Windows lie evenly and cover the clip; they overlap where it is no whole number of
        them. A clip that is shorter than one is padded for networks that take audio, and
        repeated for those that take pictures.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,)]
            Mono signal, at least 0.1 s of it.
        sr : int
            Its sample rate in Hz.

        Returns
        -------
        x : np.ndarray [shape=(n_windows, ...)]
            Grey pictures [shape=(n_windows, 128, 432), dtype=uint8], or what the network's
            own feature extractor makes of the samples, float32.

        Raises
        ------
        ProjectError
            If the signal is too short, has several channels, or holds NaN or infinite
            samples.
        """
        y = np.asarray(y, dtype=np.float32)
        if y.ndim != 1 or len(y) < SHORTEST_S * sr or not np.isfinite(y).all():
            raise project.ProjectError(
                f"the signal has shape {y.shape} at {sr} Hz; expected one channel of finite "
                f"samples, at least {SHORTEST_S} s; load it with audio.load"
            )
        source = self.source
        if sr != source.sr:
            y = soxr.resample(y, sr, source.sr, quality="soxr_hq")
        length = round(source.window_s * source.sr)
        windows = _windows(y, length)
        if source.input == "audio":
            return self.network.prepare(self._extractor, windows, length)
        whole = [np.resize(window, length) for window in windows]
        return np.stack([images.mel_picture(w, sr=source.sr, cmap=None) for w in whole])

    def rows(self, clips: Sequence[np.ndarray], *, sr: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of several clips, and which clip each is from.

        Parameters
        ----------
        clips : sequence of np.ndarray [shape=(n_samples,)]
            At least one mono signal.
        sr : int
            Their sample rate in Hz.

        Returns
        -------
        x : np.ndarray [shape=(n_windows, ...)]
            As `prepare`.
        owner : np.ndarray [shape=(n_windows,), dtype=int]
            Positions in `clips`, ascending.

        Raises
        ------
        ProjectError
            As `prepare`.
        """
        prepared = [self.prepare(y, sr=sr) for y in clips]
        counts = [len(x) for x in prepared]
        return np.concatenate(prepared), np.repeat(np.arange(len(counts)), counts)

    def features(
        self, x: np.ndarray, *, batch_size: int = 8, machine: Machine | None = None
    ) -> np.ndarray:
        """Return what the last layer sees of each row.

        Parameters
        ----------
        x : np.ndarray [shape=(n, ...)]
            As `prepare` makes them; a network for pictures takes grey pictures of any
            size and origin.
        batch_size : int
            Rows computed together.
        machine : Machine, optional
            Where to compute, in float32 everywhere; the fastest by default.

        Returns
        -------
        np.ndarray [shape=(n, d), dtype=float32]
        """
        machine = machine or Machine.here()
        machine.put(self.network).eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(x), batch_size):
                rows = np.arange(start, min(start + batch_size, len(x)))
                parts.append(self.network.features(machine.batch(x, rows)).float().cpu())
        return torch.cat(parts).numpy()

    def embed(
        self, clips: Sequence[np.ndarray], *, sr: int, machine: Machine | None = None
    ) -> np.ndarray:
        """Return one vector a clip: what the last layer sees, averaged over its windows.

        Parameters
        ----------
        clips : sequence of np.ndarray [shape=(n_samples,)]
            At least one mono signal.
        sr : int
            Their sample rate in Hz.
        machine : Machine, optional
            As in `features`.

        Returns
        -------
        np.ndarray [shape=(n_clips, d), dtype=float32]

        Raises
        ------
        ProjectError
            As `prepare`.
        """
        return np.stack(
            [self.features(self.prepare(y, sr=sr), machine=machine).mean(axis=0) for y in clips]
        )

    def save(self, folder: Path) -> Path:
        """Write the network to a folder that `load` reads, whole or not at all.

        Networks from the Hugging Face hub are written as that library's own folders, with
        the genres as labels, for ``transformers.pipeline("audio-classification", folder)``.

        Parameters
        ----------
        folder : Path
            Where to; a network that is there is replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ProjectError
            If the folder holds anything but a saved network.
        """
        state = {
            name: value.detach().cpu().contiguous()
            for name, value in self.network.model.state_dict().items()
        }
        with _replaced(Path(folder)) as partial:
            if self._extractor is None:
                _save_pictures(self, state, partial)
            else:
                with _quiet_transformers():
                    self.network.model.save_pretrained(partial, state_dict=state)
                self._extractor.save_pretrained(partial)
        return Path(folder)


def load(
    name: str, *, genres: Sequence[str] | None = None, folder: Path | None = None
) -> PretrainedNetwork:
    """Return a pretrained network, ready to embed clips or to be trained further.

    Parameters
    ----------
    name : str
        One of `PRETRAINED`.
    genres : sequence of str, optional
        The classes of a new head, which starts at zero. Without them the head is the one
        that was saved in `folder`.
    folder : Path, optional
        A folder written by `PretrainedNetwork.save`, or one with the three files of the
        Hugging Face hub. By default the published weights: from a folder below
        ``DATA_ROOT/weights``, the library's cache, or its hub.

    Raises
    ------
    ProjectError
        If there is no network of that name.
    ValueError
        If neither genres nor a folder are given.
    WeightsError
        If the weights are not here and cannot be fetched (the message begins with
        `weights.NOT_HERE` and says which files to put where), or if they are damaged, of
        another network, or incomplete.
    """
    source = _named(name)
    if genres is None and folder is None:
        raise ValueError("give the genres of a new head, or a folder with a saved network")
    if _lacks_transformers(source):
        raise WeightsError(f"{NOT_HERE} ({_INSTALL})")
    read = _load_pictures if source.input == "picture" else _load_transformer
    return read(source, tuple(genres) if genres else None, Path(folder) if folder else None)


def availability(names: Sequence[str] | None = None) -> pd.DataFrame:
    """Tell which networks can be had, within seconds and without fetching any.

    Parameters
    ----------
    names : sequence of str, optional
        Some of `PRETRAINED`; all by default.

    Returns
    -------
    pd.DataFrame
        One row a network: ``name``, ``title``, ``input``, ``trained_on``, ``licence``,
        ``size_mb``, ``url``, ``citation``, ``available`` (bool) and ``reason``, which
        holds no path.

    Raises
    ------
    ProjectError
        If there is no network of a name.
    """
    sources = [_named(name) for name in (PRETRAINED if names is None else names)]
    if not sources:
        return pd.DataFrame(columns=list(_AVAILABILITY_COLUMNS))
    with ThreadPoolExecutor(len(sources)) as pool:
        return pd.DataFrame(
            list(pool.map(_availability, sources)), columns=list(_AVAILABILITY_COLUMNS)
        )


_AVAILABILITY_COLUMNS = (
    *("name", "title", "input", "trained_on", "licence", "size_mb", "url", "citation"),
    *("available", "reason"),
)


def _availability(source: Pretrained) -> tuple:
    described = tuple(getattr(source, column) for column in _AVAILABILITY_COLUMNS[:-2])
    if _lacks_transformers(source):
        return (*described, False, f"{NOT_HERE}: {_INSTALL}")
    if source.weights.here():
        return (*described, True, "on this computer")
    try:
        check_answer(source.weights)
    except WeightsError:
        return (*described, False, NOT_HERE)
    return (*described, True, "can be fetched")


def average(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Average the rows of each clip.

    Parameters
    ----------
    values : np.ndarray [shape=(n_windows, ...)]
        Embeddings or probabilities.
    owner : np.ndarray [shape=(n_windows,), dtype=int]
        As `PretrainedNetwork.rows` returns it: ascending, without gaps.

    Returns
    -------
    np.ndarray [shape=(n_clips, ...)]
    """
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    counts = np.diff(np.append(starts, len(owner)))
    sums = np.add.reduceat(values, starts, axis=0)
    return sums / counts.reshape(-1, *[1] * (sums.ndim - 1)).astype(values.dtype)


def _named(name: str) -> Pretrained:
    if name not in PRETRAINED:
        raise project.ProjectError(
            f"unknown pretrained network {name!r}; expected one of {', '.join(PRETRAINED)}"
        )
    return PRETRAINED[name]


def _lacks_transformers(source: Pretrained) -> bool:
    return isinstance(source.weights, HubWeights) and not importlib.util.find_spec("transformers")


def _windows(y: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut a signal into windows that cover it; 2 % of a window more make no further one."""
    if len(y) <= length:
        return [y]
    starts = np.linspace(0, len(y) - length, math.ceil(len(y) / length - 0.02))
    return [y[start : start + length] for start in starts.round().astype(int)]


def _load_pictures(
    source: Pretrained, genres: tuple[str, ...] | None, folder: Path | None
) -> PretrainedNetwork:
    architecture = source.architecture
    if folder is None:
        state = source.weights.fetch()
    else:
        saved, state = _read_pictures(source, folder)
        architecture, saved_genres = saved["architecture"], tuple(saved["genres"])
    network = source.kind.build(architecture, len(genres or saved_genres))
    place = source.weights.file if folder is None else folder
    head = {f"{network.head_name}.weight", f"{network.head_name}.bias"}
    if genres:
        state = {name: value for name, value in state.items() if name not in head}
    try:
        unloaded = network.model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise WeightsError(_unfit(source, place, str(error).split("\n")[-1].strip())) from error
    if unloaded.unexpected_keys or set(unloaded.missing_keys) - (head if genres else set()):
        odd = [*unloaded.unexpected_keys, *unloaded.missing_keys]
        raise WeightsError(_unfit(source, place, f"{len(odd)} weights differ, such as {odd[0]}"))
    if genres:
        network.begin()
    return PretrainedNetwork(source, genres or saved_genres, network)


def _read_pictures(source: Pretrained, folder: Path) -> tuple[dict, dict[str, Tensor]]:
    try:
        saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if saved["network"] != source.name:
            raise WeightsError(_unfit(source, folder, f"it holds {saved['network']}"))
        return saved, load_file(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(_unfit(source, folder, str(error))) from error


def _save_pictures(loaded: PretrainedNetwork, state: dict[str, Tensor], folder: Path) -> None:
    config = {
        "network": loaded.source.name,
        "genres": list(loaded.genres),
        "architecture": loaded.network.architecture,
    }
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def _load_transformer(
    source: Pretrained, genres: tuple[str, ...] | None, folder: Path | None
) -> PretrainedNetwork:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

    folder = folder or source.weights.fetch()
    kind = source.kind
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != kind.model_type:
            raise WeightsError(_unfit(source, folder, f"it holds a {config.model_type}"))
        if genres:
            config.id2label = dict(enumerate(genres))
            config.label2id = {genre: number for number, genre in enumerate(genres)}
            kind.adapt(config)
        with _quiet_transformers():
            extractor = AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, do_normalize=True
            )
            model, report = AutoModelForAudioClassification.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise WeightsError(_unfit(source, folder, str(error).split("\n")[0])) from error
    new = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    odd = sorted(name for name in new if not (genres and name.startswith(kind.new_names)))
    if odd:
        raise WeightsError(
            _unfit(source, folder, f"{len(odd)} weights are missing or of another size: {odd[0]}")
        )
    network = kind(model)
    if genres:
        network.begin()
    labels = tuple(config.id2label[number] for number in range(config.num_labels))
    return PretrainedNetwork(source, labels, network, extractor)


def _unfit(source: Pretrained, place: Path, reason: str) -> str:
    return (
        f"{place}: holds no weights of {source.title} that can be used ({reason}); expected "
        f"those of {source.url}, or a folder that this network was saved to; delete the files "
        "and fetch them again"
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep the library from printing bars, that a new head is new, and that bands are narrow."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of a saved network once it is complete."""
    strangers = {path.name for path in folder.glob("*")} - set(HubWeights.files)
    if strangers:
        raise project.ProjectError(
            f"{folder}: holds {sorted(strangers)[0]}, which is no part of a saved network; "
            "expected a new folder; give another one"
        )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
