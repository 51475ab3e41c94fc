"""What can be done to a network to make it small: one step after the other, each trained.

A step takes a network and a `Bench`, and returns a network. Whatever a step has to choose,
it chooses by the validation part.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre_utils import arrays, deployment, export, pruning, quantization, training, weight_sharing
from genre_utils.augment import Augmentation
from genre_utils.training import Batch, Machine, Recipe

CALIBRATION_ITEMS = 100
"""How many items of the training part show which ranges activations take."""

_EXACT = Machine("cpu", bfloat16=False)


@dataclass(frozen=True)
class Lesson:
    """How a network is trained in a step.

    Attributes
    ----------
    epochs, batch_size, learning_rate, weight_decay, label_smoothing
        As in `training.Recipe`.
    augmentation : Augmentation
        What is done to training batches.
    teacher : str
        Name of the variant whose network answers every changed batch, too [1]_; empty for
        none.
    share : float
        How much of a target is that answer.
    soft : float
        How much of the rest is what the ensemble says of the track; what is left is the
        label.

    References
    ----------
    .. [1] Beyer et al., "Knowledge distillation: a good teacher is patient and consistent",
       CVPR 2022.
    """

    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 16
    weight_decay: float = 1e-2
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    teacher: str = ""
    share: float = 0.0
    soft: float = 0.0

    def recipe(self, *, seed: int, most_epochs: int | None) -> Recipe:
        """Return the recipe of a training run, of at most so many epochs."""
        return Recipe(
            epochs=min(self.epochs, most_epochs or self.epochs),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            label_smoothing=self.label_smoothing,
            seed=seed,
        )


@dataclass
class Bench:
    """What steps work with, and what they leave.

    Attributes
    ----------
    x_train, x_valid : np.ndarray [shape=(n, ...)]
        Items.
    y_train, y_valid : np.ndarray [shape=(n,), dtype=int]
        Their genres' numbers; the validation part may be empty.
    n_classes : int
        Number of genres.
    soft : np.ndarray [shape=(n, n_classes)] or None
        What the ensemble says of the training part, by models that had not heard it.
    teacher_of : callable
        ``teacher_of(name)`` returns the network of a finished variant.
    folder : Path
        Where checkpoints and files go.
    seed : int
        Of all chance.
    most_epochs : int or None
        Upper limit of every lesson.
    fit_s : float
        Seconds of training so far.
    notes : dict
        What was chosen.
    files : dict of str to bytes
        Artefacts by their names.
    onnx : list of callable
        What is done to the network in ONNX at the end.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    n_classes: int
    soft: np.ndarray | None
    teacher_of: Callable[[str], nn.Module]
    folder: Path
    seed: int
    most_epochs: int | None = None
    fit_s: float = 0.0
    notes: dict = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    onnx: list[Callable[[bytes], bytes]] = field(default_factory=list)
    _n_lessons: int = 0

    def teach(
        self, network: nn.Module, lesson: Lesson, *, exact: bool = False, as_stored: bool = False
    ) -> nn.Module:
        """Train a network in place.

        Parameters
        ----------
        network : nn.Module
            What is trained.
        lesson : Lesson
            How.
        exact : bool
            Leave out the half precision of some processors.
        as_stored : bool
            Round changed batches to the number type of the items, as a graph asks for.
        """
        self._n_lessons += 1
        valid = (self.x_valid, self._hard(self.y_valid)) if len(self.y_valid) else None
        # CPU time: other work on the machine is no cost of this one.
        started = time.process_time()
        training.fit(
            network,
            (self.x_train, self._targets(lesson)),
            valid=valid,
            recipe=lesson.recipe(seed=self.seed, most_epochs=self.most_epochs),
            augment=self._augment(lesson, as_stored=as_stored),
            checkpoint=self.folder / f"lesson{self._n_lessons}.checkpoint",
            machine=_EXACT if exact else None,
            desc=None,
        )
        self.fit_s += time.process_time() - started
        return deployment.laid_out(network)

    def accuracy(self, network: nn.Module) -> float:
        """Return the accuracy on the validation part, or on the training part without one."""
        x, y = (self.x_valid, self.y_valid) if len(self.y_valid) else (self.x_train, self.y_train)
        return float((training.predict(network, x, machine=_EXACT).argmax(axis=1) == y).mean())

    def calibration(self) -> np.ndarray:
        """Return items evenly spread over the training part, which is sorted by genre."""
        return self.x_train[arrays.spread(len(self.x_train), CALIBRATION_ITEMS)]

    def _hard(self, y: np.ndarray) -> np.ndarray:
        return np.eye(self.n_classes, dtype=np.float32)[y]

    def _targets(self, lesson: Lesson) -> np.ndarray:
        hard = self._hard(self.y_train)
        if not lesson.soft or self.soft is None:
            return hard
        known = np.isfinite(self.soft).all(axis=1, keepdims=True)
        mixed = lesson.soft * self.soft + (1 - lesson.soft) * hard
        return np.where(known, mixed, hard).astype(np.float32)

    def _augment(self, lesson: Lesson, *, as_stored: bool) -> training.Augment:
        change: training.Augment = lesson.augmentation
        if lesson.teacher:
            change = Taught(change, self.teacher_of(lesson.teacher), lesson.share)
        if as_stored and self.x_train.dtype == np.uint8:
            change = AsLevels(change)
        return change


class Taught:
    """Change a batch, and ask a teacher what it hears in it.

    Parameters
    ----------
    change : training.Augment
        What is done to batches.
    teacher : nn.Module
        A trained network.
    share : float
        How much of a target is the teacher's answer.
    """

    def __init__(self, change: training.Augment, teacher: nn.Module, share: float):
        self._change, self._share = change, share
        self._machine = Machine.here()
        self._teacher = self._machine.put(teacher).eval().requires_grad_(False)

    def __call__(
        self, batch: Batch, targets: Tensor, chance: torch.Generator
    ) -> tuple[Batch, Tensor]:
        """Return the batch, changed, and its new targets."""
        batch, targets = self._change(batch, targets, chance)
        with torch.inference_mode(), self._machine.autocast():
            answer = functional.softmax(self._teacher(batch).float(), dim=1)
        return batch, self._share * answer.clone() + (1 - self._share) * targets


class AsLevels:
    """Change a batch, and round it to levels again.

    Parameters
    ----------
    change : training.Augment
        What is done to batches.
    """

    def __init__(self, change: training.Augment):
        self._change = change

    def __call__(
        self, batch: Batch, targets: Tensor, chance: torch.Generator
    ) -> tuple[Batch, Tensor]:
        """Return the batch [dtype=uint8], changed, and its targets."""
        batch, targets = self._change(batch, targets, chance)
        return batch.round().clamp(0, 255).to(torch.uint8), targets


class Step(Protocol):
    """Something that is done to a network."""

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network that it becomes."""

    def __str__(self) -> str:
        """Return what is done, in a few words."""


@dataclass(frozen=True)
class Train:
    """Train all weights."""

    lesson: Lesson

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network, trained."""
        return bench.teach(network, self.lesson)

    def __str__(self) -> str:
        return "distillation" if self.lesson.teacher or self.lesson.soft else "training"


@dataclass(frozen=True)
class Prune:
    """Hold more and more weights to zero, as long as the validation accuracy stays.

    Attributes
    ----------
    sparsities : tuple of float
        Shares of zeros, ascending; the first is taken in any case.
    lesson : Lesson
        How the others are trained after each.
    tolerance : float
        How much accuracy on the validation part may be lost.
    """

    sparsities: tuple[float, ...]
    lesson: Lesson
    tolerance: float = 0.0

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network with as many zeros as were found to do no harm."""
        goal = bench.accuracy(network) - self.tolerance
        tried, kept = {}, None
        for share in self.sparsities:
            pruning.hold_to_zero(network, sparsity=share)
            bench.teach(network, self.lesson)
            tried[str(share)] = bench.accuracy(network)
            if kept is not None and tried[str(share)] < goal:
                break
            kept = pruning.let_go(copy.deepcopy(network))
            bench.notes["sparsity"] = share
        bench.notes["sparsities_tried"] = tried
        return kept

    def __str__(self) -> str:
        return "magnitude pruning"


@dataclass(frozen=True)
class Slim:
    """Take whole channels out, then train what is left.

    Attributes
    ----------
    share : float
        Of all channels.
    lesson : Lesson
        How the rest is trained.
    """

    share: float
    lesson: Lesson

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network with fewer channels."""
        pruning.remove_channels(network, bench.x_train[:2], share=self.share)
        return bench.teach(network, self.lesson)

    def __str__(self) -> str:
        return "channel pruning"


@dataclass(frozen=True)
class Share:
    """Let the weights of a layer share a few values; store which has which in few bits.

    Attributes
    ----------
    bits : int
        At most 2**bits values a layer.
    lesson : Lesson or None
        How the values are trained.
    """

    bits: int
    lesson: Lesson | None = None

    FILE = "weights.shared"

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network that the written file holds."""
        weight_sharing.share(network, bits=self.bits)
        if self.lesson:
            bench.teach(network, self.lesson, exact=True)
        weight_sharing.unshare(network)
        file = weight_sharing.compressed(deployment.weights_of(network))
        bench.files[self.FILE] = file
        return deployment.with_weights(network, weight_sharing.decompressed(file))

    def __str__(self) -> str:
        return f"{self.bits}-bit weight sharing, Huffman coding"


@dataclass(frozen=True)
class Int8:
    """Round weights and activations to eight bits, for ExecuTorch.

    Attributes
    ----------
    lesson : Lesson or None
        How the network is trained while it is rounded; None rounds it as it is.
    """

    lesson: Lesson | None = None

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the rounded network."""
        # In place, it would change what is counted as this network's multiplications.
        network = deployment.adapted(copy.deepcopy(network), bench.x_train)
        if not self.lesson:
            return quantization.rounded(quantization.observed(network, bench.calibration()))
        graph = quantization.aware(network, bench.x_train[:2])
        return quantization.rounded(bench.teach(graph, self.lesson, exact=True, as_stored=True))

    def __str__(self) -> str:
        return "int8, trained (PT2E)" if self.lesson else "int8 (PT2E)"


@dataclass(frozen=True)
class OnnxInt8:
    """Round to eight bits in ONNX, for onnxruntime.

    Attributes
    ----------
    dynamic : bool
        Round activations as they come instead of by ranges that were seen before.
    """

    dynamic: bool = False

    def __call__(self, network: nn.Module, bench: Bench) -> nn.Module:
        """Return the network as it is; its file will be rounded."""
        calibration = bench.calibration()
        bench.onnx.append(
            quantization.dynamic_onnx
            if self.dynamic
            else lambda model: export.to_int8(model, calibration)
        )
        return network

    def __str__(self) -> str:
        return f"int8 ({'dynamic' if self.dynamic else 'static'}, onnxruntime)"


def described(steps: tuple[Step, ...]) -> Mapping:
    """Return all that decides what steps do, to make a key of."""
    return {f"{number} {type(step).__name__}": asdict(step) for number, step in enumerate(steps)}
