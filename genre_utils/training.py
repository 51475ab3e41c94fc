"""One training loop for every network: read it from top to bottom.

Inputs are arrays, in memory or mapped from disk: ``x`` holds one item a row (pictures as
bytes, series as float32) and ``y`` its target, a genre's number or the probability of
each genre. A batch is one look-up of rows; it becomes float32 and is standardised inside
the network (`Standardised`), so that whoever uses the network later cannot forget to.
"""

import io
import math
import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from genre_utils import progress, project

PHASES = ("loading", "forward", "backward", "optimiser")
"""What an epoch's time is spent on; `Clock` measures these."""

Items = np.ndarray | tuple[np.ndarray, ...]
"""What a network reads: an array, or several of one length where it has several branches."""

Batch = Tensor | tuple[Tensor, ...]

Augment = Callable[[Batch, Tensor, torch.Generator], tuple[Batch, Tensor]]
"""Takes a batch, its targets and a source of chance; returns batch and targets, changed."""

_NO_SCORES = {"valid_loss": math.nan, "valid_accuracy": math.nan}


class TrainingError(project.ProjectError):
    """A network cannot be trained with what was given."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained.

    Attributes
    ----------
    epochs : int
        Passes over the training part.
    batch_size : int
        Items a step.
    learning_rate : float
        Largest learning rate of AdamW; it rises during the first tenth of all steps and
        falls along a cosine to 0 after that.
    weight_decay : float
        Weight decay of AdamW.
    label_smoothing : float
        Share of each target that is spread over all classes, in [0, 1).
    patience : int or None
        Stop after so many epochs without a better validation loss; None trains all
        epochs. Either way the best epoch's weights are kept where there is a validation
        part, the last epoch's otherwise.
    seed : int
        Seed of order, augmentation and dropout. The weights a network begins with are
        drawn where it is built.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.0
    patience: int | None = None
    seed: int = 0


_INSTRUCTIONS = (
    "avx2", "fma3", "avx512_f", "avx512_bw", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
    "amx_bf16", "neon", "dotprod", "i8mm",
)  # fmt: skip


def processor() -> dict:
    """Return what PyTorch tells of the processor and its instructions."""
    # PyTorch 2.10, which Colab has, cannot tell.
    return getattr(torch.cpu, "get_capabilities", dict)()


def hardware(packages: Sequence[str], *, cores: int | None = None) -> dict:
    """Return what times depend on; no name of this computer.

    Parameters
    ----------
    packages : sequence of str
        Whose versions matter; those that are not installed are left out.
    cores : int, optional
        How many were used; by default all there are.

    Returns
    -------
    dict
        ``cpu, instructions, cores, system, python, versions``.
    """
    has = processor()
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "cpu": str(has.get("cpu_name") or platform.processor() or platform.machine()),
        "instructions": [name for name in _INSTRUCTIONS if has.get(name)],
        "cores": cores or os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


@dataclass(frozen=True)
class Machine:
    """What networks are computed on.

    Attributes
    ----------
    device : str
        ``cuda``, ``mps`` or ``cpu``.
    bfloat16 : bool
        Whether convolutions and matrix products run in bfloat16; only where the hardware
        has instructions for it, since it is slow elsewhere.
    """

    device: str
    bfloat16: bool

    @classmethod
    def here(cls) -> "Machine":
        """Return the fastest that this computer has."""
        if torch.cuda.is_available():
            return cls("cuda", torch.cuda.is_bf16_supported(including_emulation=False))
        if torch.backends.mps.is_available():
            return cls("mps", False)
        return cls.cpu()

    @classmethod
    def cpu(cls) -> "Machine":
        """Return the processor, in bfloat16 where it has instructions for that."""
        has = processor()
        return cls("cpu", bool(has.get("amx_bf16") or has.get("avx512_bf16")))

    def autocast(self):
        """Return the context in which a forward pass runs."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16)

    def put(self, network: nn.Module) -> nn.Module:
        """Move a network here, its kernels with the channels last, as bytes lie in a picture."""
        return network.to(self.device).to(memory_format=torch.channels_last)

    def batch(self, x: Items, rows: np.ndarray) -> Batch:
        """Return some rows of an array as a tensor here, pictures with the channels last."""
        if isinstance(x, tuple):
            return tuple(self.batch(part, rows) for part in x)
        batch = torch.from_numpy(np.asarray(x[rows])).to(self.device, non_blocking=True)
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch

    def targets(self, y: np.ndarray, rows: np.ndarray) -> Tensor:
        """Return some rows of the targets here: classes as int64, or probabilities."""
        targets = np.asarray(y[rows])
        targets = targets.astype(np.int64 if targets.ndim == 1 else np.float32)
        return torch.from_numpy(targets).to(self.device)


class Standardised(nn.Module):
    """A network behind the scaling of its inputs to mean 0 and standard deviation 1.

    Parameters
    ----------
    network : nn.Module
        Takes float32 [shape=(n, ...)] and returns one logit a class [shape=(n, n_classes)].
    mean, std : float
        Of all values in the training part; see `standardised`.
    """

    def __init__(self, network: nn.Module, *, mean: float, std: float):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Batch) -> Tensor:
        """Return the logits [shape=(n, n_classes)] of a batch of any number type."""
        if isinstance(x, tuple):
            return self.network(((x[0].float() - self.mean) / self.std, *x[1:]))
        return self.network((x.float() - self.mean) / self.std)


def standardised(network: nn.Module, x: Items) -> Standardised:
    """Put a network behind the scaling that its training part asks for.

    Parameters
    ----------
    network : nn.Module
        See `Standardised`.
    x : np.ndarray [shape=(n, ...)], or a tuple that begins with one
        The training part; a thousand items of it, evenly spread, are looked at. Of several
        arrays the first is scaled, the others reach the network as they are.
    """
    x = x[0] if isinstance(x, tuple) else x
    seen = np.asarray(x[:: -(-len(x) // 1000)], dtype=np.float32)
    return Standardised(network, mean=float(seen.mean()), std=max(float(seen.std()), 1e-6))


class Clock:
    """Add up how long each phase of the work takes, in wall-clock seconds."""

    def __init__(self):
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside this context as part of a phase."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


@dataclass(frozen=True)
class Fit:
    """What a training run leaves behind, besides the trained network.

    Attributes
    ----------
    history : pd.DataFrame
        One row an epoch: ``epoch`` (from 1), ``train_loss``, ``train_accuracy`` (on the
        augmented batches, while the weights change), ``valid_loss``, ``valid_accuracy``
        (NaN without a validation part), ``seconds_<phase>`` for each of `PHASES`.
    best_epoch : int
        The epoch whose weights the network now has.
    """

    history: pd.DataFrame
    best_epoch: int


def fit(
    network: nn.Module,
    train: tuple[Items, np.ndarray],
    *,
    valid: tuple[Items, np.ndarray] | None = None,
    recipe: Recipe,
    augment: Augment | None = None,
    checkpoint: Path | None = None,
    machine: Machine | None = None,
    desc: str | None = "training",
) -> Fit:
    """Train a network in place.

    Equal arguments give equal weights on the same machine, cut off and resumed or not.

    Parameters
    ----------
    network : nn.Module
        Returns logits [shape=(n, n_classes)] for a batch of rows.
    train, valid : tuple of np.ndarray
        ``x`` [shape=(n, ...)] (or a tuple of such arrays), and ``y``: classes from 0 on
        [shape=(n,), dtype=int], or probabilities [shape=(n, n_classes), dtype=float32]
        where items are mixed or another network is the teacher.
    recipe : Recipe
        How to train.
    augment : callable, optional
        Changes each training batch: see `Augment`.
    checkpoint : Path, optional
        File that an epoch's state is written to, so that a run that was cut off goes on
        after its last whole epoch. It belongs to one run: name it by what decides the
        outcome. One that another recipe left there is overwritten.
    machine : Machine, optional
        Where to compute; the fastest by default.
    desc : str, optional
        What the progress bar says; None for no bar.

    Returns
    -------
    Fit
        How the training went.

    Raises
    ------
    TrainingError
        If a part is empty or has not one target an item, or if the loss is no finite
        number any more.
    """
    _check("training", *train)
    if valid:
        _check("validation", *valid)
    machine = machine or Machine.here()
    run = _Run(machine.put(network), recipe, machine, n_items=len(train[1]))
    if checkpoint:
        run.resume(checkpoint)
    remaining = range(len(run.history) + 1, recipe.epochs + 1)
    epochs = progress.track(remaining, total=len(remaining), desc=desc) if desc else remaining
    for epoch in epochs:
        if run.out_of_patience():
            break
        row = run.train_epoch(epoch, *train, augment)
        scores = _NO_SCORES
        if valid:
            scores = _validate(network, *valid, machine, recipe.batch_size)
        run.keep(row | scores)
        if checkpoint:
            run.save(checkpoint)
    network.load_state_dict(run.best["network"])
    return Fit(pd.DataFrame(run.history), run.best["epoch"])


def predict(
    network: nn.Module, x: Items, *, batch_size: int = 64, machine: Machine | None = None
) -> np.ndarray:
    """Return the probability of each class for each item.

    Parameters
    ----------
    network : nn.Module
        A trained network; it is left in evaluation mode.
    x : np.ndarray [shape=(n, ...)] or tuple of such arrays
        Items as in training.
    batch_size : int
        Items computed together.
    machine : Machine, optional
        Where to compute; the fastest by default.

    Returns
    -------
    probabilities : np.ndarray [shape=(n, n_classes), dtype=float32]
        Each row adds up to 1.
    """
    machine = machine or Machine.here()
    machine.put(network).eval()
    parts = []
    with torch.inference_mode(), machine.autocast():
        n_items = _n_items(x)
        for start in range(0, n_items, batch_size):
            rows = np.arange(start, min(start + batch_size, n_items))
            parts.append(functional.softmax(network(machine.batch(x, rows)).float(), dim=1).cpu())
    return torch.cat(parts).numpy()


class _Run:
    """A training run between two epochs: all that is needed to go on with it."""

    def __init__(self, network: nn.Module, recipe: Recipe, machine: Machine, *, n_items: int):
        self.network, self.recipe, self.machine = network, recipe, machine
        self.steps_an_epoch = -(-n_items // recipe.batch_size)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), weight_decay=recipe.weight_decay, fused=True
        )
        self.history: list[dict[str, float]] = []
        self.best = {"epoch": 0, "loss": math.inf, "network": None}

    def train_epoch(
        self, epoch: int, x: Items, y: np.ndarray, augment: Augment | None
    ) -> dict[str, float]:
        # Chance depends on seed and epoch alone, so a resumed run goes on as if never cut.
        seed = int(np.random.SeedSequence([self.recipe.seed, epoch]).generate_state(1)[0])
        torch.manual_seed(seed)
        chance = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(y), generator=chance).numpy()
        clock, total = Clock(), _Total()
        self.network.train()
        for step, rows in enumerate(np.array_split(order, self.steps_an_epoch)):
            with clock.phase("loading"):
                batch, targets = self.machine.batch(x, rows), self.machine.targets(y, rows)
                if augment:
                    batch, targets = augment(batch, targets, chance)
            with clock.phase("forward"):
                with self.machine.autocast():
                    logits = self.network(batch)
                loss = functional.cross_entropy(
                    logits.float(), targets, label_smoothing=self.recipe.label_smoothing
                )
                total.add(logits, targets, loss)
            with clock.phase("backward"):
                self.optimiser.zero_grad(set_to_none=True)
                loss.backward()
            with clock.phase("optimiser"):
                for group in self.optimiser.param_groups:
                    group["lr"] = self._learning_rate((epoch - 1) * self.steps_an_epoch + step)
                self.optimiser.step()
        seconds = {f"seconds_{phase}": clock.seconds[phase] for phase in PHASES}
        return {"epoch": epoch} | total.means("train") | seconds

    def _learning_rate(self, step: int) -> float:
        steps = self.recipe.epochs * self.steps_an_epoch
        warm_up = max(1, steps // 10)
        if step < warm_up:
            return self.recipe.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, steps - warm_up)
        return self.recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def keep(self, row: dict[str, float]) -> None:
        """Note how an epoch went, and its weights if they are the best so far."""
        if not math.isfinite(row["train_loss"]):
            raise TrainingError(
                f"the loss became {row['train_loss']} in epoch {row['epoch']}; expected a finite "
                f"number; lower the learning rate ({self.recipe.learning_rate:g})"
            )
        self.history.append(row)
        loss = row["valid_loss"]
        if math.isnan(loss) or loss < self.best["loss"]:
            weights = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.best = {"epoch": row["epoch"], "loss": loss, "network": weights}

    def out_of_patience(self) -> bool:
        """Tell whether the validation loss has not improved for too long."""
        patience = self.recipe.patience
        return patience is not None and len(self.history) - self.best["epoch"] >= patience

    def save(self, checkpoint: Path) -> None:
        """Write everything to a file, which is there whole or as it was before."""
        buffer = io.BytesIO()
        torch.save(
            {
                "recipe": asdict(self.recipe),
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "history": self.history,
                "best": self.best,
            },
            buffer,
        )
        project.write_atomic(checkpoint, buffer.getvalue())

    def resume(self, checkpoint: Path) -> None:
        """Go on from a file, if it is there and was written by a run of the same recipe."""
        if not checkpoint.is_file():
            return
        state = torch.load(checkpoint, map_location=self.machine.device, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history, self.best = state["history"], state["best"]


class _Total:
    """Sum loss and right answers over batches."""

    def __init__(self):
        self.n, self.loss, self.correct = 0, 0.0, 0

    def add(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        self.n += len(labels)
        self.loss += loss.item() * len(labels)
        self.correct += int((logits.argmax(dim=1) == labels).sum())

    def means(self, part: str) -> dict[str, float]:
        return {f"{part}_loss": self.loss / self.n, f"{part}_accuracy": self.correct / self.n}


def _validate(
    network: nn.Module, x: np.ndarray, y: np.ndarray, machine: Machine, batch_size: int
) -> dict[str, float]:
    network.eval()
    total = _Total()
    with torch.inference_mode(), machine.autocast():
        for rows in np.array_split(np.arange(len(y)), -(-len(y) // batch_size)):
            targets = machine.targets(y, rows)
            logits = network(machine.batch(x, rows)).float()
            total.add(logits, targets, functional.cross_entropy(logits, targets))
    return total.means("valid")


def _n_items(x: Items) -> int:
    return len(x[0] if isinstance(x, tuple) else x)


def _check(name: str, x: Items, y: np.ndarray) -> None:
    lengths = {len(part) for part in (x if isinstance(x, tuple) else (x,))}
    if lengths != {len(y)} or not len(y):
        raise TrainingError(
            f"the {name} part has {', '.join(map(str, sorted(lengths)))} items and {len(y)} "
            "targets; expected as many of each, and at least one"
        )
