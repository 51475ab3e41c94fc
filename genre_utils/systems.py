"""The published kinds of network, each with what it reads and its budget of training.

A `System` is all that decides what a network becomes, but for the data and the seed.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from torch import nn

from genre_utils import inputs
from genre_utils.augment import Augmentation
from genre_utils.models import cnn, resnet
from genre_utils.models.attention import AttentionPool, ConvTransformer
from genre_utils.models.fusion import Fusion
from genre_utils.models.layers import CepstrumPicture, Coloured
from genre_utils.models.recurrent import ConvRecurrent, MfccLstm
from genre_utils.project import ProjectError, text_digest
from genre_utils.training import Recipe

CHUNK_S = 3.0
"""Length in seconds of the chunks that published sequence models read."""

LEFT_OUT = "left out to save time"
"""How the reason begins why a protocol is not run."""

_PICTURE = (64, 128)


@dataclass(frozen=True)
class System:
    """A network, what it reads, and how it is trained.

    Attributes
    ----------
    name, title, purpose : str
        Its key, its name for readers, and what it is for in one line.
    build : callable
        ``build(shape, n_classes, pretrained)`` returns the network for items of a shape.
    input : str
        One of `inputs.INPUTS`.
    segment_s : float
        Length of an item in seconds.
    recipe : Recipe
        How it is trained.
    augmentation : Augmentation
        What is done to its training batches.
    published : str
        What is claimed of such a system on GTZAN, and how the data was parted: as handed to
        this study, which knows no source for it. Claim and split are parted by a comma.
    pretrainable : bool
        Whether it begins with weights from ImageNet where these can be had.
    scaled : bool
        Whether levels are standardised before the network; not where it reads them itself.
    listens : bool
        Whether it is measured what it listens to; it has to read spectrograms.
    classical : str
        Instead of a network: a model in `models.classical.CLASSICAL` on statistics of
        cepstral coefficients.
    only : tuple of str
        Where one training takes long: the protocols that are run, with one seed. Empty
        for all of them.
    version : int
        Raised when the code of its network changes.
    """

    name: str
    title: str
    purpose: str
    build: Callable[[tuple[int, ...], int, bool], nn.Module] | None = None
    input: str = "spectrogram"
    segment_s: float = inputs.CLIP_S
    recipe: Recipe = field(default_factory=Recipe)
    augmentation: Augmentation = field(default_factory=Augmentation)
    published: str = ""
    pretrainable: bool = False
    scaled: bool = True
    listens: bool = False
    classical: str = ""
    only: tuple[str, ...] = ()
    version: int = 1

    @property
    def can_be_cut(self) -> bool:
        """Whether its input can be cut into segments."""
        return self.input == "spectrogram"

    def left_out(self, protocol: str) -> str:
        """Return why a protocol is not run, or an empty string if it is."""
        if self.only and protocol not in self.only:
            return f"{LEFT_OUT}: {self.title} is run under {' and '.join(self.only)}"
        return ""

    def digest(self, *, recipe: Recipe, pretrained: bool) -> str:
        """Return the key of all that decides a run, but for data and seed."""
        parts = {
            "recipe": asdict(recipe) | {"seed": None},
            "augmentation": asdict(self.augmentation),
            "pretrained": pretrained,
        }
        return f"{self.version}.{text_digest(json.dumps(parts, sort_keys=True))[:12]}"


_LOOK = Recipe(epochs=12, batch_size=16, learning_rate=1e-3, weight_decay=1e-2)
_CHUNKS = Recipe(epochs=6, batch_size=64, learning_rate=1e-3, weight_decay=1e-2)
_WHOLE = Recipe(
    epochs=20, batch_size=16, learning_rate=1e-3, weight_decay=1e-2, label_smoothing=0.1
)
_LITTLE_DATA = Recipe(epochs=20, batch_size=16, learning_rate=1e-3, weight_decay=1e-2)
_LONG = Recipe(epochs=60, batch_size=16, learning_rate=1e-3, weight_decay=1e-2, label_smoothing=0.1)
_CHANGED = Augmentation(crop_frames=256, masks=2, mixup=0.4)
_ALL_CHANGED = Augmentation(crop_frames=256, equaliser=0.35, gain=0.1, masks=2, mixup=0.4)


def _small_resnet(name: str, title: str, purpose: str, *, recipe: Recipe = _WHOLE, **other):
    """Return our small ResNet with a budget and an augmentation of its own."""
    return System(
        name,
        title,
        purpose,
        lambda shape, n, pretrained: cnn.small_resnet(n_bands=shape[1], n_classes=n),
        recipe=recipe,
        **other,
    )


def _chunk_recurrent(name: str, title: str, purpose: str, *, cell: str, **other):
    """Return convolutions and a recurrent layer on chunks, with what sets them apart."""
    return System(
        name,
        title,
        purpose,
        lambda shape, n, pretrained: ConvRecurrent(
            n_bands=shape[1], cell=cell, n_classes=n, width=24
        ),
        segment_s=CHUNK_S,
        recipe=_CHUNKS,
        **other,
    )


SYSTEMS = {
    system.name: system
    for system in [
        System(
            "resnet18_waveform",
            "ResNet18, waveform picture",
            "reads the outline of the waveform",
            lambda shape, n, pretrained: resnet.build(n_classes=n, pretrained=pretrained),
            input="waveform",
            recipe=_LITTLE_DATA,
            published="0.48, random 90/10",
            pretrainable=True,
        ),
        System(
            "resnet18_zcr",
            "ResNet18, zero-crossing picture",
            "reads how often the signal changes its sign",
            lambda shape, n, pretrained: resnet.build(n_classes=n, pretrained=pretrained),
            input="zcr",
            recipe=_LITTLE_DATA,
            published="0.50, random 90/10",
            pretrainable=True,
        ),
        System(
            "resnet18_mel",
            "ResNet18, mel picture",
            "reads a small picture of the mel spectrogram",
            lambda shape, n, pretrained: nn.Sequential(
                nn.AdaptiveAvgPool2d(_PICTURE), resnet.build(n_classes=n, pretrained=pretrained)
            ),
            recipe=_LOOK,
            published="0.84, random 90/10",
            pretrainable=True,
        ),
        System(
            "resnet18_mfcc",
            "ResNet18, MFCC picture",
            "reads a picture of 20 cepstral coefficients",
            lambda shape, n, pretrained: nn.Sequential(
                CepstrumPicture(shape[1], 20, _PICTURE),
                resnet.build(n_classes=n, pretrained=pretrained),
            ),
            recipe=_LOOK,
            published="0.70, random 90/10",
            pretrainable=True,
        ),
        System(
            "lstm_mfcc",
            "LSTM, MFCC series",
            "reads 13 cepstral coefficients a frame, in the order of time",
            lambda shape, n, pretrained: MfccLstm(n_bands=shape[1], n_classes=n),
            recipe=_LOOK,
            published="0.42, random 90/10",
        ),
        System(
            "fusion",
            "ResNet18 + LSTM, joined",
            "joins the vectors of the mel picture and the MFCC series",
            lambda shape, n, pretrained: Fusion(
                n_bands=shape[1], picture=_PICTURE, n_classes=n, pretrained=pretrained
            ),
            recipe=_LOOK,
            published="+0.10 over the best branch (hypothesis)",
            pretrainable=True,
            listens=True,
        ),
        System(
            "fusion_gated",
            "ResNet18 + LSTM, gated",
            "weighs the two vectors entry by entry",
            lambda shape, n, pretrained: Fusion(
                n_bands=shape[1], picture=_PICTURE, n_classes=n, gated=True, pretrained=pretrained
            ),
            recipe=_LOOK,
            pretrainable=True,
        ),
        System(
            "fusion_tabular",
            "ResNet18 + LSTM + 57 features",
            "joins a third branch that reads the hand-made features",
            lambda shape, n, pretrained: Fusion(
                n_bands=shape[1],
                picture=_PICTURE,
                n_classes=n,
                n_features=57,
                pretrained=pretrained,
            ),
            input="spectrogram+features",
            recipe=_LOOK,
            pretrainable=True,
        ),
        System(
            "cnn",
            "CNN, 3-s chunks",
            "four convolutions on chunks; a track is the sum of its chunks",
            lambda shape, n, pretrained: cnn.chunk_cnn(n_classes=n, width=24),
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
            published="0.799, segments split 80/20",
        ),
        _chunk_recurrent(
            "cnn_lstm",
            "CNN-LSTM, 3-s chunks",
            "convolutions, then an LSTM over their frames",
            cell="lstm",
            published="0.876, segments split 80/20",
        ),
        _chunk_recurrent(
            "cnn_gru",
            "CNN-GRU, 3-s chunks",
            "convolutions, then gated recurrent units over their frames",
            cell="gru",
            published="0.913, segments split 80/20",
        ),
        _chunk_recurrent(
            "cnn_lstm_mixup",
            "CNN-LSTM, 3-s chunks, mixup",
            "the CNN-LSTM on chunks blended in pairs, which are harder to learn by heart",
            cell="lstm",
            augmentation=Augmentation(mixup=0.3),
            only=("segment_random", "fault_filtered"),
        ),
        _chunk_recurrent(
            "cnn_gru_mixup",
            "CNN-GRU, 3-s chunks, mixup",
            "the CNN-GRU in the same way",
            cell="gru",
            augmentation=Augmentation(mixup=0.3),
            only=("segment_random", "fault_filtered"),
        ),
        System(
            "cnn_levels_mixup",
            "CNN over time, every level, mixup",
            "slides over time and hears the mean, maximum and deviation of each of its levels",
            lambda shape, n, pretrained: cnn.EveryLevel(n_bands=shape[1], n_classes=n),
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
            augmentation=Augmentation(mixup=0.3),
        ),
        System(
            "attention",
            "CNN, attention pooling",
            "weighs the moments of a track by learnt attention",
            lambda shape, n, pretrained: AttentionPool(n_classes=n),
            recipe=_WHOLE,
            augmentation=_CHANGED,
            only=("fault_filtered",),
        ),
        System(
            "transformer",
            "CNN + transformer",
            "two transformer layers over the frames of a small CNN",
            lambda shape, n, pretrained: ConvTransformer(n_bands=shape[1], n_classes=n),
            recipe=_WHOLE,
            augmentation=_CHANGED,
            only=("fault_filtered",),
        ),
        System(
            "vgg",
            "VGG-like, whole 30 s",
            "pairs of convolutions and a wide dense layer on the whole clip",
            lambda shape, n, pretrained: cnn.vgg(n_classes=n, width=16),
            recipe=Recipe(epochs=6, batch_size=16, learning_rate=5e-4, weight_decay=1e-2),
            published="no accuracy (554 MB), K-fold cross-validation",
        ),
        System(
            "resnet18_colour",
            "ResNet18, 418 × 627 colour",
            "ResNet18 with dropout on the spectrogram as a large coloured picture",
            lambda shape, n, pretrained: nn.Sequential(
                Coloured(418, 627),
                resnet.build(n_classes=n, n_channels=3, pretrained=pretrained, dropout=0.5),
            ),
            input="picture",
            recipe=Recipe(epochs=2, batch_size=16, learning_rate=1e-3, weight_decay=1e-2),
            published="0.942, tracks split 60/20/20",
            pretrainable=True,
            scaled=False,
            only=("track_random", "fault_filtered"),
        ),
        System(
            "resnet18_colour_small",
            "ResNet18, 104 × 156 colour",
            "the same on a sixteenth of the pixels, for the study of its budget",
            lambda shape, n, pretrained: nn.Sequential(
                Coloured(104, 156),
                resnet.build(n_classes=n, n_channels=3, pretrained=pretrained, dropout=0.5),
            ),
            input="picture",
            recipe=Recipe(epochs=8, batch_size=16, learning_rate=1e-3, weight_decay=1e-2),
            pretrainable=True,
            scaled=False,
        ),
        _small_resnet(
            "resnet_small",
            "Small ResNet",
            "ours, best inside the training part (07): no early stride, ever new training data",
            recipe=_LONG,
            augmentation=_ALL_CHANGED,
            listens=True,
        ),
        _small_resnet(
            "resnet_small_plain",
            "Small ResNet, nothing changed",
            "the small ResNet on a short budget, without any augmentation",
        ),
        _small_resnet(
            "resnet_small_crops",
            "Small ResNet, crops",
            "the same with random crops only",
            augmentation=Augmentation(crop_frames=256),
        ),
        _small_resnet(
            "resnet_small_specaugment",
            "Small ResNet, crops + masks",
            "the same with random crops and hidden bands and moments",
            augmentation=Augmentation(crop_frames=256, masks=2),
        ),
        _small_resnet(
            "resnet_small_equaliser",
            "Small ResNet, crops + equaliser",
            "the same with random crops, levels and smooth curves over frequency",
            augmentation=Augmentation(crop_frames=256, equaliser=0.35, gain=0.1),
        ),
        _small_resnet(
            "resnet_small_mixup",
            "Small ResNet, crops + mixup",
            "the same with random crops and mixed items",
            augmentation=Augmentation(crop_frames=256, mixup=0.4),
        ),
        _small_resnet(
            "resnet_small_short",
            "Small ResNet, all changes",
            "the same with all of these, on the same short budget",
            augmentation=_ALL_CHANGED,
        ),
        System(
            "cnn9",
            "9-layer CNN, MFCC",
            "six convolutions and three dense layers on cepstral coefficients",
            lambda shape, n, pretrained: cnn.cnn9(n_bands=shape[1], n_frames=shape[2], n_classes=n),
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
            published="0.95 at 3 s, segments split at random",
        ),
        System(
            "xgboost_mfcc",
            "XGBoost, MFCC statistics",
            "boosted trees on mean and spread of 20 cepstral coefficients",
            segment_s=CHUNK_S,
            classical="xgboost",
        ),
        System(
            "cnn9_pydub",
            "9-layer CNN, MFCC of pydub cuts",
            "the same on segments cut from sound at exact milliseconds",
            lambda shape, n, pretrained: cnn.cnn9(
                n_bands=shape[1], n_frames=shape[2], n_mfcc=0, n_classes=n
            ),
            input="mfcc",
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
        ),
        System(
            "cnn9_rms",
            "9-layer CNN, MFCC and loudness",
            "the same with the loudness of each frame beside the coefficients",
            lambda shape, n, pretrained: cnn.cnn9(
                n_bands=shape[1], n_frames=shape[2], n_mfcc=0, n_classes=n
            ),
            input="mfcc+rms",
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
        ),
        System(
            "cnn_raw",
            "CNN, raw waveform",
            "six strided convolutions straight on the samples",
            lambda shape, n, pretrained: cnn.WaveformCnn(n_classes=n),
            input="waveform samples",
            segment_s=CHUNK_S,
            recipe=_CHUNKS,
            published="almost half of what processed input reaches",
        ),
    ]
}
"""Every system by its name."""


def named(names: list[str]) -> list[System]:
    """Return systems by their names.

    Raises
    ------
    ProjectError
        If a name is unknown.
    """
    unknown = [name for name in names if name not in SYSTEMS]
    if unknown:
        raise ProjectError(
            f"unknown systems: {', '.join(unknown)}; expected some of {', '.join(SYSTEMS)}"
        )
    return [SYSTEMS[name] for name in names]
