"""Make networks small: each *variant* is a network and what was done to it.

A variant begins with a network of its own or with that of another variant, goes through its
steps, and leaves files: ``network.onnx`` always, and what else it was exported as. Its
predictions are those of ``network.onnx``, the file that would be deployed. Choices are made
on the validation part; each variant predicts the test part once.
"""

import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import nn

from genre_utils import (
    deep,
    deployment,
    distillation,
    experiments,
    export,
    features,
    inputs,
    project,
    splits,
    stacking,
    training,
)
from genre_utils.bundle import Network, softmax
from genre_utils.compression_steps import Bench, described
from genre_utils.compression_variants import NETWORKS, TABULAR_S, VARIANTS, Variant, named
from genre_utils.datasets import Dataset
from genre_utils.experiments import TABULAR, Store, StudyResult, Task, Unit
from genre_utils.project import Outputs, ProjectError, text_digest
from genre_utils.splits import Split

RECIPE = 1
HEADLINES = "07_headlines"
"""The study whose ensemble without pretraining teaches, if it is stored."""

_MADE = "made.json"


def run(
    dataset: Dataset,
    *,
    variants: Sequence[str] | None = None,
    study: str,
    outputs: Outputs,
    epochs: int | None = None,
    seed: int = 0,
    ensemble: Sequence[str] = ("resnet_small",),
) -> StudyResult:
    """Make variants, each once, and predict the test part with each.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    variants : sequence of str, optional
        Names in `VARIANTS`; all of them by default.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    epochs : int, optional
        Upper limit of every lesson's epochs.
    seed : int
        Seed of weights, order, augmentation and splits.
    ensemble : sequence of str
        Networks in `systems.SYSTEMS` whose mean teaches where no ensemble is stored.

    Returns
    -------
    StudyResult
        Its ``runs`` have ``variant, title, teacher, steps, n_parameters,
        nonzero_parameters, multiply_adds, bytes`` (a dict: ``fp32, zipped,
        deep_compressed, onnx, pte``, those that there are), ``train_accuracy,
        validation_accuracy, fit_s`` (CPU seconds, its parent's included),
        ``chosen`` (what steps have found), ``agreement`` (with PyTorch, on the validation
        part: ``same_labels, largest_difference``), ``artefacts, input_shape``.

    Raises
    ------
    ProjectError
        If a variant is unknown, or none can be made of this data.
    """
    chosen = named(variants)
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    workshop, impossible = open_workshop(
        dataset, chosen, study=study, outputs=outputs, epochs=epochs, seed=seed, ensemble=ensemble
    )
    tasks = [
        Task(workshop.unit(variant.name, protocol), VariantWork(workshop, variant.name, protocol))
        # Those that others begin with come first, so that no process waits for another.
        for variant in sorted(chosen, key=lambda variant: variant.depth)
        for protocol in variant.protocols
        if workshop.can_make(variant, protocol)
    ]
    if not any(task.unit.protocol == stacking.PROTOCOL for task in tasks):
        raise ProjectError(
            f"{dataset.title}: no variant can be made: {impossible['reason'].iloc[0]}"
        )
    if project.retrain() and not store.folder.exists():
        for task in tasks:
            shutil.rmtree(folder_of(task.unit.run_id), ignore_errors=True)
    return store.run(tasks, impossible=impossible, desc="compression")


def folder_of(run_id: str) -> Path:
    """Return the folder that a variant's artefacts are in."""
    return project.cache_root() / "compression" / run_id


@dataclass(frozen=True, eq=False)
class Material:
    """What variants read and how it is parted; items as rows.

    Attributes
    ----------
    name, source : str
        Of the input.
    segment_s : float
        Length of an item in seconds.
    x : np.ndarray [shape=(n, ...)]
        Items.
    y : np.ndarray [shape=(n,), dtype=int]
        Their genres' numbers.
    items : pd.DataFrame
        Their tracks.
    split : Split
        Positions of training, validation and test part.
    digest : str
        Of items and values.
    """

    name: str
    source: str
    segment_s: float
    x: np.ndarray
    y: np.ndarray
    items: pd.DataFrame
    split: Split
    digest: str


def open_workshop(
    dataset: Dataset,
    variants: Sequence[Variant],
    *,
    study: str,
    outputs: Outputs,
    epochs: int | None = None,
    seed: int = 0,
    ensemble: Sequence[str] = ("resnet_small",),
) -> tuple["Workshop", pd.DataFrame]:
    """Return the place where variants are made, and those that cannot be made here.

    Parameters
    ----------
    dataset : Dataset
        As in `run`.
    variants : sequence of Variant
        Which.
    study, outputs, epochs, seed, ensemble
        As in `run`.
    """
    family = _with_parents(variants)
    materials, reasons = {}, {}
    wanted = {(variant.reads, protocol) for variant in family for protocol in variant.protocols}
    for what in sorted(wanted):
        try:
            materials[what] = _material(dataset, *what, seed=seed)
        except ProjectError as reason:
            reasons[what] = reason
    soft = None
    pictures = materials.get(("spectrogram", stacking.PROTOCOL))
    if pictures and any(variant.learns_softly for variant in family):
        soft = _soft_labels(
            dataset, pictures, study=study, outputs=outputs, epochs=epochs, seed=seed,
            ensemble=ensemble,
        )  # fmt: skip
    workshop = Workshop(dataset.name, dataset.genres, materials, soft, seed, epochs)
    impossible = [
        experiments.cannot(
            reasons[variant.reads, protocol],
            model=variant.name, protocol=protocol, segment_s=0.0, music=dataset,
        )
        for variant in variants
        for protocol in variant.protocols
        if (variant.reads, protocol) in reasons
    ]  # fmt: skip
    return workshop, pd.DataFrame(impossible)


def _with_parents(variants: Sequence[Variant]) -> list[Variant]:
    """Return variants with all that they begin with or learn from, those first."""
    found: dict[str, Variant] = {}

    def add(variant: Variant) -> None:
        if variant.name not in found:
            for name in variant.needs:
                add(VARIANTS[name])
            found[variant.name] = variant

    for variant in variants:
        add(variant)
    return list(found.values())


def _material(dataset: Dataset, input_name: str, protocol: str, *, seed: int) -> Material:
    if input_name == TABULAR:
        table = features.table(dataset, segment_s=TABULAR_S)
        found = (TABULAR, table.source, TABULAR_S, table.X.astype(np.float32), table.items)
        digest = table.digest
    else:
        data = inputs.load(dataset, input_name)
        found = (data.name, data.source, inputs.CLIP_S, data.x, data.items)
        digest = data.digest
    items = found[-1]
    split = _split(items, protocol, seed=seed)
    y = pd.Categorical(items["genre"], categories=dataset.genres).codes.astype(int)
    return Material(*found[:4], y, items, split, digest)


def _split(items: pd.DataFrame, protocol: str, *, seed: int) -> Split:
    """Part items; at random into 70, 20 and 10 %, as published for the perceptron."""
    if protocol == stacking.PROTOCOL:
        return splits.make_splits(items, protocol, seed=seed)[0]
    tenths = splits.make_splits(items, protocol, n_folds=10, seed=seed)
    valid = np.sort(np.concatenate([tenths[1].test, tenths[2].test]))
    train = np.setdiff1d(tenths[0].train, valid)
    return replace(tenths[0], train=train, valid=valid)


def _soft_labels(
    dataset: Dataset,
    material: Material,
    *,
    study: str,
    outputs: Outputs,
    epochs: int | None,
    seed: int,
    ensemble: Sequence[str],
) -> np.ndarray:
    """Return what an ensemble says of the training part, from models that had not heard it."""
    try:
        stored = Store(HEADLINES, outputs, retrain=False).load()
        said = distillation.taught(stored, stacking.SCRATCH)
    except ProjectError:
        group = deep.Group(
            list(ensemble), [stacking.PROTOCOL], [seed], epochs=epochs, stage="inner"
        )
        rows = deep.run_networks(
            dataset, [group], study=f"{study}_teachers", outputs=outputs
        ).predictions
        said = stacking.by_track(rows)[[f"p_{genre}" for genre in dataset.genres]]
    soft = np.array(said.reindex(material.items["track_id"]), np.float32)
    outside = np.setdiff1d(np.arange(len(soft)), material.split.train)
    soft[outside] = np.nan
    return soft


@dataclass(frozen=True, eq=False)
class Workshop:
    """Where variants are made, each once, whoever asks for it first.

    Attributes
    ----------
    dataset : str
        Name of the data set.
    genres : tuple of str
        In the order of the outputs.
    materials : dict
        (input, protocol) → what is learnt from.
    soft : np.ndarray [shape=(n, n_genres)] or None
        What the ensemble says of each track of the spectrograms.
    seed : int
        Of all chance.
    epochs : int or None
        Upper limit of every lesson.
    """

    dataset: str
    genres: tuple[str, ...]
    materials: dict[tuple[str, str], Material]
    soft: np.ndarray | None
    seed: int
    epochs: int | None

    def can_make(self, variant: Variant, protocol: str) -> bool:
        """Tell whether there is what a variant reads, under a protocol."""
        return (variant.reads, protocol) in self.materials

    def unit(self, name: str, protocol: str) -> Unit:
        """Return a variant's unit under a protocol."""
        variant = VARIANTS[name]
        material = self.materials[variant.reads, protocol]
        return Unit(
            model=name,
            input=material.name,
            source=material.source,
            segment_s=material.segment_s,
            protocol=protocol,
            fold=material.split.fold,
            seed=self.seed,
            stage="final",
            input_digest=material.digest,
            split_digest=experiments.split_digest(material.split),
            recipe=f"{RECIPE}.{self._digest(variant)}",
        )

    def _digest(self, variant: Variant) -> str:
        """Return the key of all that decides what a variant becomes, but for data and seed."""
        system = NETWORKS[variant.network]
        parts = {
            "network": system.digest(recipe=system.recipe, pretrained=False),
            "work": described(variant.work),
            "epochs": self.epochs,
            "needs": [self._digest(VARIANTS[name]) for name in variant.needs],
        }
        if variant.learns_softly and self.soft is not None:
            parts["soft"] = text_digest(self.soft.tobytes().hex())
        return text_digest(json.dumps(parts, sort_keys=True))[:12]

    def network(self, name: str, protocol: str) -> nn.Module:
        """Return the network of a variant that others begin with or learn from.

        It is made now if it is not there.
        """
        weights = (self.finished(name, protocol) / "weights.safetensors").read_bytes()
        return deployment.with_weights(self._built(VARIANTS[name], protocol), weights).eval()

    def _built(self, variant: Variant, protocol: str) -> nn.Module:
        material = self.materials[variant.reads, protocol]
        return deep.build(
            NETWORKS[variant.network],
            material.x[material.split.train],
            n_classes=len(self.genres),
            seed=self.seed,
        )

    def finished(self, name: str, protocol: str) -> Path:
        """Return the folder of a variant's artefacts; make it now if it is not there."""
        folder = folder_of(self.unit(name, protocol).run_id)
        folder.mkdir(parents=True, exist_ok=True)
        # Two processes may want the same parent: the second one waits for the first.
        with FileLock(folder / ".lock"):
            if not (folder / _MADE).is_file():
                self._make(VARIANTS[name], protocol, folder)
        return folder

    def record(self, name: str, protocol: str) -> dict:
        """Return what there is to say of a finished variant."""
        return json.loads((self.finished(name, protocol) / _MADE).read_text())

    def _make(self, variant: Variant, protocol: str, folder: Path) -> None:
        bench = self._bench(variant, protocol, folder)
        if variant.parent:
            network = self.network(variant.parent, protocol)
            bench.fit_s += self.record(variant.parent, protocol)["fit_s"]
        else:
            network = self._built(variant, protocol)
        plain = network
        for step in variant.work:
            plain, network = network, step(network, bench)
        is_graph = isinstance(network, torch.fx.GraphModule)
        plain = plain if is_graph else network
        counts = _counted(plain, bench.x_train)
        if not is_graph:
            bench.files["weights.safetensors"] = deployment.to_safetensors(plain)
            network = deployment.adapted(network, bench.x_train)
        model = deployment.to_onnx(network, bench.x_train)
        for change in bench.onnx:
            model = change(model)
        bench.files["network.onnx"] = model
        if not bench.onnx:
            example = torch.from_numpy(bench.x_train[:1])
            bench.files["network.pte"] = export.to_pte(network, example)
        said = Network(model)
        compared = _agreement(said, network, bench)
        for name, content in bench.files.items():
            project.write_atomic(folder / name, content)
        made = counts | {
            "bytes": _sizes(bench.files),
            "train_accuracy": _accuracy(said, bench.x_train, bench.y_train),
            "validation_accuracy": _accuracy(said, bench.x_valid, bench.y_valid),
            "fit_s": bench.fit_s,
            "chosen": bench.notes,
            "agreement": compared,
            "artefacts": sorted(bench.files),
            "input_shape": list(bench.x_train.shape[1:]),
        }
        project.write_atomic(folder / _MADE, json.dumps(made, indent=1))
        for checkpoint in folder.glob("*.checkpoint"):
            checkpoint.unlink()

    def _bench(self, variant: Variant, protocol: str, folder: Path) -> Bench:
        material = self.materials[variant.reads, protocol]
        train, valid = material.split.train, material.split.valid
        return Bench(
            x_train=material.x[train],
            y_train=material.y[train],
            x_valid=material.x[valid],
            y_valid=material.y[valid],
            n_classes=len(self.genres),
            soft=self.soft[train] if variant.learns_softly and self.soft is not None else None,
            teacher_of=lambda name: self.network(name, protocol),
            folder=folder,
            seed=self.seed,
            most_epochs=self.epochs,
        )


@dataclass(frozen=True)
class VariantWork:
    """What it takes to make a variant and to predict its test part."""

    workshop: Workshop
    name: str
    protocol: str

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the rows that its file predicts, and the record of how it was made."""
        torch.set_num_threads(1)
        workshop, variant = self.workshop, VARIANTS[self.name]
        unit = workshop.unit(self.name, self.protocol)
        material = workshop.materials[variant.reads, self.protocol]
        made = workshop.record(self.name, self.protocol)
        said = Network((folder_of(unit.run_id) / "network.onnx").read_bytes())
        test = material.split.test
        rows = experiments.prediction_rows(
            unit,
            softmax(said.logits(material.x[test])),
            items=material.items.iloc[test],
            genres=workshop.genres,
            dataset=workshop.dataset,
            n_train=len(material.split.train),
        )
        record = asdict(unit) | {
            "run_id": unit.run_id,
            "n_train": len(material.split.train),
            "n_train_tracks": material.items["track_id"].iloc[material.split.train].nunique(),
            "n_valid": len(material.split.valid),
            "n_test": len(test),
            "variant": variant.name,
            "title": variant.title,
            "parent": variant.parent,
            "teacher": variant.teacher,
            "steps": list(variant.steps),
            **made,
        }
        return rows, record


def _counted(network: nn.Module, x: np.ndarray) -> dict[str, int]:
    parameters = list(network.parameters())
    return {
        "n_parameters": sum(parameter.numel() for parameter in parameters),
        "nonzero_parameters": sum(int((parameter != 0).sum()) for parameter in parameters),
        "multiply_adds": deployment.multiply_adds(network, x),
    }


def _sizes(files: dict[str, bytes]) -> dict[str, int]:
    sizes = {"onnx": len(files["network.onnx"])}
    if "weights.safetensors" in files:
        sizes["fp32"] = len(files["weights.safetensors"])
        sizes["zipped"] = len(zlib.compress(files["weights.safetensors"], 9))
    for name, file in (("deep_compressed", "weights.shared"), ("pte", "network.pte")):
        if file in files:
            sizes[name] = len(files[file])
    return sizes


def _accuracy(said: Network, x: np.ndarray, y: np.ndarray) -> float | None:
    return float((said.logits(x).argmax(axis=1) == y).mean()) if len(y) else None


def _agreement(said: Network, network: nn.Module, bench: Bench) -> dict[str, float]:
    """Hold the file against the network that it was written from."""
    x = bench.x_valid if len(bench.x_valid) else bench.x_train
    in_file = softmax(said.logits(x))
    exact = training.Machine("cpu", bfloat16=False)
    in_torch = training.predict(network, x, machine=exact)
    return {
        "same_labels": float((in_file.argmax(axis=1) == in_torch.argmax(axis=1)).mean()),
        "largest_difference": float(np.abs(in_file - in_torch).max()),
    }
