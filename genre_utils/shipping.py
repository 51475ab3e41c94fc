"""Make the bundle that is shipped: train, export, calibrate, measure, write.

``python -m genre_utils.shipping --dataset gtzan`` (``make bundle``). The network learns
from the fault-filtered training part; the validation part chooses its epoch and its
temperature; the shipped file itself is scored on the test part, once, and counted.
"""

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar

from genre_utils import (
    arrays,
    bundle,
    datasets,
    deep,
    evaluation,
    experiments,
    export,
    inputs,
    project,
    splits,
    systems,
    training,
)
from genre_utils.bundle import Bundle, Card, Familiar
from genre_utils.datasets import Dataset
from genre_utils.experiments import Store, Task, Unit
from genre_utils.inputs import Input
from genre_utils.project import Outputs, ProjectError
from genre_utils.splits import Split
from genre_utils.training import Recipe

STUDY = "bundle"
"""Name under which its predictions of the test part are stored."""

CALIBRATION_BINS = 5
"""In how many bins probabilities are held against how often they are right."""

_SUFFIX = "_int8"
_EXPORT_VERSION = 1
_CALIBRATION_ITEMS = 100


def ship(
    dataset: Dataset,
    *,
    folder: Path | None = None,
    outputs: Outputs | None = None,
    system: str = "resnet_small",
    seed: int = 0,
    epochs: int | None = None,
) -> Bundle:
    """Make a bundle of a network trained on a data set, or return it if it is there.

    Training that was cut off goes on after its last whole epoch.

    Parameters
    ----------
    dataset : Dataset
        With pictures or sound, and the parts of the fault-filtered split.
    folder : Path, optional
        Where; by default in the package for GTZAN, beside the results for others.
    outputs : Outputs, optional
        Where the predictions of the test part are stored.
    system : str
        A name in `systems.SYSTEMS` that reads spectrograms of any length.
    seed : int
        Seed of weights, order and augmentation.
    epochs : int, optional
        Instead of the system's own budget.

    Raises
    ------
    ProjectError
        If the system is unknown or reads something else, or if the data lack what it takes.
    """
    chosen = systems.named([system])[0]
    if chosen.input != "spectrogram" or chosen.segment_s != inputs.CLIP_S or chosen.classical:
        raise ProjectError(f"{system} does not read whole spectrograms; only such are shipped")
    outputs = outputs or Outputs(dataset.name)
    folder = folder or default_folder(dataset, outputs)
    data = inputs.spectrograms(dataset, inputs.CLIP_S, source="picture")
    split = splits.make_splits(data.items, "fault_filtered", seed=seed)[0]
    recipe = replace(chosen.recipe, epochs=epochs or chosen.recipe.epochs, seed=seed)
    unit = Unit(
        model=f"{system}{_SUFFIX}",
        input=data.name,
        source=data.source,
        segment_s=inputs.CLIP_S,
        protocol=split.protocol,
        fold=split.fold,
        seed=seed,
        stage="final",
        input_digest=data.digest,
        split_digest=experiments.split_digest(split),
        recipe=f"{chosen.digest(recipe=recipe, pretrained=False)}.{_EXPORT_VERSION}",
    )
    is_there = _run_of(folder) == unit.run_id
    store = Store(STUDY, outputs, retrain=project.retrain() or not is_there)
    work = ShippingWork(unit, recipe, data, split, dataset, folder, store.folder)
    store.run([Task(unit, work)], impossible=pd.DataFrame(), desc="the bundle")
    return bundle.load(folder)


def default_folder(dataset: Dataset, outputs: Outputs) -> Path:
    """Return where a data set's bundle goes: only GTZAN's is the package's own."""
    if (outputs.dataset, outputs.profile) == ("gtzan", "full"):
        return bundle.default_folder()
    return outputs.results / "bundle"


def _run_of(folder: Path) -> str | None:
    try:
        return bundle.load(folder).made_with.get("run")
    except bundle.BundleError:
        return None


@dataclass(frozen=True)
class ShippingWork:
    """What it takes to make a bundle and to predict the test part with it."""

    unit: Unit
    recipe: Recipe
    data: Input
    split: Split
    dataset: Dataset
    folder: Path
    unfinished: Path

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Write the bundle; return the rows predicted and the record of how it was made."""
        torch.set_num_threads(1)
        network, fit = self._trained()
        x_train, x_valid = self.data.x[self.split.train], self.data.x[self.split.valid]
        y_valid = self._y[self.split.valid]
        plain = export.to_onnx(network, n_bands=self.data.shape[1])
        calibration = x_train[arrays.spread(len(x_train), _CALIBRATION_ITEMS)]
        small = export.to_int8(plain, calibration)
        shipped = bundle.Network(small)
        logits = shipped.logits(x_valid)
        scale = temperature(logits, y_valid)
        tested = bundle.softmax(shipped.logits(self.data.x[self.split.test]) / scale)
        rows = experiments.prediction_rows(
            self.unit,
            tested,
            items=self.data.items.iloc[self.split.test],
            genres=self.dataset.genres,
            dataset=self.dataset.name,
            n_train=len(self.split.train),
        )
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(self.split.train),
            "n_valid": len(self.split.valid),
            "n_test": len(self.split.test),
            "n_parameters": sum(parameter.numel() for parameter in network.parameters()),
            "epochs": self.recipe.epochs,
            "best_epoch": fit.best_epoch,
            "temperature": scale,
            "onnx_bytes": {"fp32": len(plain), "int8": len(small)},
            "validation": compared(logits, _torch_logits(network, x_valid), scale, y_valid),
        }
        bundle.write(
            self.folder,
            small,
            name=self.unit.model,
            genres=self.dataset.genres,
            temperature=scale,
            card=card(self.dataset, rows, record),
            familiar=Familiar.of(x_train, x_valid),
            made_with={
                "run": self.unit.run_id,
                **{name: version(name) for name in ("torch", "onnx", "onnxruntime")},
            },
        )
        self._checkpoint.unlink(missing_ok=True)
        return rows, record

    @property
    def _checkpoint(self) -> Path:
        return self.unfinished / f"{self.unit.run_id}.checkpoint"

    @property
    def _y(self) -> np.ndarray:
        genres = pd.Categorical(self.data.items["genre"], categories=self.dataset.genres)
        return genres.codes.astype(int)

    def _trained(self) -> tuple[torch.nn.Module, training.Fit]:
        system = systems.SYSTEMS[self.unit.model.removesuffix(_SUFFIX)]
        targets = np.eye(len(self.dataset.genres), dtype=np.float32)[self._y]
        x, split = self.data.x, self.split
        network = deep.build(
            system, x[split.train], n_classes=len(self.dataset.genres), seed=self.unit.seed
        )
        fit = training.fit(
            network,
            (x[split.train], targets[split.train]),
            valid=(x[split.valid], targets[split.valid]),
            recipe=self.recipe,
            augment=system.augmentation,
            checkpoint=self._checkpoint,
            desc="training",
        )
        return network, fit


def temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """Return what logits are to be divided by to be as sure as they are right.

    Parameters
    ----------
    logits : np.ndarray [shape=(n_items, n_genres)]
        Of items that were not trained on.
    y : np.ndarray [shape=(n_items,), dtype=int]
        Their genres' numbers.

    Returns
    -------
    float [range=(0.1, 10)]
        With the largest likelihood.
    """

    def loss(log_scale: float) -> float:
        probabilities = bundle.softmax(logits / np.exp(log_scale))
        return -float(np.log(probabilities[np.arange(len(y)), y] + 1e-12).mean())

    found = minimize_scalar(loss, bounds=np.log([0.1, 10.0]), method="bounded")
    return round(float(np.exp(found.x)), 4)


def compared(small: np.ndarray, full: np.ndarray, scale: float, y: np.ndarray) -> dict[str, float]:
    """Hold the logits of the small network against those of the one it was made of.

    Parameters
    ----------
    small, full : np.ndarray [shape=(n_items, n_genres)]
        Logits.
    scale : float
        Temperature.
    y : np.ndarray [shape=(n_items,), dtype=int]
        The genres' numbers.

    Returns
    -------
    dict
        ``accuracy`` and ``accuracy_fp32``, ``same_labels`` (a share),
        ``largest_difference`` (of a probability).
    """
    difference = np.abs(bundle.softmax(small / scale) - bundle.softmax(full / scale))
    return {
        "accuracy": float((small.argmax(axis=1) == y).mean()),
        "accuracy_fp32": float((full.argmax(axis=1) == y).mean()),
        "same_labels": float((small.argmax(axis=1) == full.argmax(axis=1)).mean()),
        "largest_difference": float(difference.max()),
    }


def card(dataset: Dataset, rows: pd.DataFrame, record: dict) -> Card:
    """Return what people should know of a network before they use it.

    Parameters
    ----------
    dataset : Dataset
        What it was trained on.
    rows : pd.DataFrame
        What it predicts of the test part.
    record : dict
        How it was made, as `ShippingWork` returns it.
    """
    artists = dataset.tracks.set_index("track_id")["artist_id"]
    scores = evaluation.summary(rows, artists=artists)
    error = evaluation.expected_calibration_error(rows, n_bins=CALIBRATION_BINS)
    recall = evaluation.recall_by_genre(rows).sort_values("recall")
    worst = ", ".join(f"{row.genre} {row.recall:.0%}" for row in recall.head(3).itertuples())
    best = ", ".join(f"{row.genre} {row.recall:.0%}" for row in recall.tail(3).itertuples())
    pairs = evaluation.confused_pairs(rows, top=3).itertuples(index=False)
    mistakes = ", ".join(f"{true} taken for {taken} ({n})" for true, taken, n, _ in pairs)
    same, largest = (record["validation"][k] for k in ("same_labels", "largest_difference"))
    made_up = "The music is synthetic: nothing here holds for real music. "
    sections = {
        "Purpose": (
            "Tells which genre a piece of music resembles most, of these: "
            f"{', '.join(dataset.genres)}. For study and play. It is no measure of quality, and "
            "no ground for a decision about people or their work."
        ),
        "Data": (
            f"{made_up if dataset.synthetic else ''}{dataset.title}: trained on "
            f"{record['n_train']} tracks; {record['n_valid']} others chose the epoch and "
            f"the temperature. {dataset.citation} {dataset.licence}"
        ),
        "Input": (
            "Sound of any length from 1 s on, in windows of 30 s at 22,050 Hz, read as 80 mel "
            "bands of the spectrogram that GTZAN's pictures show. Shorter sound is repeated."
        ),
        "Network": (
            f"{record['model']}: {record['n_parameters']:,} parameters, weights and activations "
            f"of eight bits, {record['onnx_bytes']['int8'] / 1024:.0f} KiB. Of the validation "
            f"part {same:.1%} get the same label as from the network in 32 bits; no probability "
            f"differs by more than {largest:.3f}."
        ),
        "Accuracy": (
            f"{scores['accuracy']:.3f} (95 % interval {scores['accuracy_low']:.3f} to "
            f"{scores['accuracy_high']:.3f}; drawing whole artists "
            f"{scores['accuracy_artist_low']:.3f} to {scores['accuracy_artist_high']:.3f}) on the "
            f"{scores['n_tracks']} test tracks of the fault-filtered split. {_shared(dataset)} "
            f"Macro F1 {scores['macro_f1']:.3f}. Most often right: "
            f"{best}; least often: {worst}. Probabilities are calibrated on the validation part: "
            f"on the test part they are {error:.3f} off on average (in {CALIBRATION_BINS} bins)."
        ),
        "Limits": (
            "It knows these genres only and always names one of them. It learnt from excerpts "
            "collected around 2000, mostly Western music in English: newer styles and other "
            "traditions are forced into its genres. Speech, noise and single instruments get "
            f"answers without meaning. Most frequent mistakes on the test part: {mistakes}."
            if not dataset.synthetic
            else "It has never heard real music."
        ),
    }  # fmt: skip
    wanted = ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "n_tracks")
    figures = {name: round(float(scores[name]), 4) for name in wanted}
    return Card(
        f"{dataset.title}: {record['model']}",
        sections,
        figures | {"calibration_error": round(error, 4)},
    )


def _shared(dataset: Dataset) -> str:
    """Say how many known artists are on both sides of the fault-filtered split."""
    parts = dataset.tracks.dropna(subset=["artist_id"]).groupby("fault_filtered_split")["artist_id"]
    artists = {part: set(names) for part, names in parts}
    both = artists.get("test", set()) & (artists.get("train", set()) | artists.get("valid", set()))
    if not both:
        return "No known artist of the test tracks is heard in training or validation."
    tested = dataset.tracks["fault_filtered_split"].eq("test")
    n_tracks = int((tested & dataset.tracks["artist_id"].isin(both)).sum())
    return f"Known artists on both sides: {len(both)} (with {n_tracks} of the test tracks)."


def _torch_logits(network: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    network.cpu().eval()
    with torch.inference_mode():
        parts = np.array_split(x, -(-len(x) // 32))
        return torch.cat([network(torch.from_numpy(part)) for part in parts]).numpy()


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m genre_utils.shipping``; return the exit code.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the program.
    """
    parser = argparse.ArgumentParser(prog="python -m genre_utils.shipping", description=__doc__)
    parser.add_argument("--dataset", default="gtzan", help="a known data set, or a folder")
    parser.add_argument("-o", "--output", type=Path, help="the bundle's folder")
    options = parser.parse_args(arguments)
    try:
        made = ship(datasets.load(options.dataset), folder=options.output)
    except ProjectError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{made.folder}: {made.size / 1024:.0f} KiB\n\n{made.card.text()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
