"""Train the networks of `systems` under the protocols, resumable and counted like all runs."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn

from genre_utils import (
    experiments,
    inputs,
    occlusion,
    progress,
    project,
    splits,
    systems,
    training,
)
from genre_utils.datasets import Dataset
from genre_utils.experiments import Plan, Store, StudyResult, Task, Unit
from genre_utils.inputs import Input, InputError
from genre_utils.models import resnet
from genre_utils.models.classical import CLASSICAL
from genre_utils.models.layers import cosine_basis
from genre_utils.project import Outputs, ProjectError
from genre_utils.splits import Split
from genre_utils.systems import System
from genre_utils.training import Recipe

LEAKY_S = 10.0
"""Length in seconds of the pieces that a whole-clip system reads where segments are split."""

STAGES = {
    "final": "the published validation part, where there is one, chooses the epoch",
    "last": "no validation part is used: the last epoch counts",
    "refit": "trained on the training and the validation part together: the last epoch counts",
    "inner": "artist-grouped folds inside the fault-filtered training part; no test part is seen",
}
"""How a network makes use of a validation part."""


@dataclass(frozen=True)
class Group:
    """Some systems and what they are put through.

    Attributes
    ----------
    names : list of str
        Names in `systems.SYSTEMS`.
    protocols : list of str
        Names in `splits.PROTOCOLS`.
    seeds : list of int
        Seeds of the fault-filtered runs; the other protocols, and systems that take long,
        take the first.
    n_folds : int
        Folds that the random protocols part the data into.
    folds_run : int
        How many of these are trained; published folds are all trained.
    segment_lengths : list of float
        In seconds; by default each system's own.
    epochs : int, optional
        Instead of each system's own budget.
    stage : str
        One of `STAGES`.
    """

    names: list[str]
    protocols: list[str]
    seeds: list[int]
    n_folds: int = 5
    folds_run: int = 1
    segment_lengths: list[float] | None = None
    epochs: int | None = None
    stage: str = "final"


def run_networks(
    dataset: Dataset,
    groups: list[Group],
    *,
    study: str,
    outputs: Outputs,
    elsewhere: Dataset | None = None,
) -> StudyResult:
    """Train groups of systems, or return what is stored of them.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    groups : list of Group
        What to train.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    elsewhere : Dataset, optional
        Other music that each ``final`` network of the fault-filtered split predicts, too:
        rows of stage ``elsewhere``. Only networks that read spectrograms can.

    Returns
    -------
    StudyResult
        Its ``runs`` have ``n_parameters, weights_mb, epochs, best_epoch, train_accuracy,
        validation_accuracy, fit_s, pretrained``; ``history``, one dict an epoch; and
        ``heard`` (see `occlusion.probability_lost`).

    Raises
    ------
    ProjectError
        If a name is unknown, or nothing can be trained on this data.
    """
    for group in groups:
        systems.named(group.names)
        for protocol in group.protocols:
            splits.check_protocol(protocol)
        if group.stage not in STAGES:
            raise ProjectError(
                f"unknown stage {group.stage!r}; expected one of {', '.join(STAGES)}"
            )
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    plan = _NetworkPlan(dataset, store, elsewhere)
    for group in groups:
        plan.add(group)
    return plan.run(store, dataset)


class _NetworkPlan(Plan):
    """The units of a study on networks, and what the data cannot answer."""

    def __init__(self, dataset: Dataset, store: Store, elsewhere: Dataset | None):
        super().__init__()
        self._dataset, self._store, self._elsewhere = dataset, store, elsewhere
        self._inputs: dict[tuple[str, float], Input | InputError] = {}
        self._others: dict[str, Input | None] = {}
        self._weights: bool | None = None

    def add(self, group: Group) -> None:
        """Add the units of a group, or the reasons why there are none."""
        for system in systems.named(group.names):
            for segment_s in group.segment_lengths or [system.segment_s]:
                for protocol in group.protocols:
                    self._add(group, system, segment_s, protocol)

    def _add(self, group: Group, system: System, segment_s: float, protocol: str) -> None:
        if protocol == "segment_random" and segment_s == inputs.CLIP_S and system.can_be_cut:
            segment_s = LEAKY_S
        setting = {"model": system.name, "segment_s": segment_s, "protocol": protocol}
        found = self._input(system.input, segment_s)
        if isinstance(found, InputError):
            self.note(found, stage=group.stage, **setting)
            return
        try:
            if reason := system.left_out(protocol):
                raise splits.SplitError(reason)
            parted = splits.make_splits(
                found.items, protocol, n_folds=group.n_folds, seed=group.seeds[0]
            )
            if group.stage == "inner":
                parted = inner_splits(found.items, parted[0])
        except splits.SplitError as reason:
            n_tracks = found.items["track_id"].nunique()
            self.note(reason, stage=group.stage, source=found.source, n_tracks=n_tracks, **setting)
            return
        if protocol in ("segment_random", "track_random"):
            parted = parted[: group.folds_run]
        many = protocol == "fault_filtered" and not system.only
        seeds = group.seeds if many else group.seeds[:1]
        for split in parted:
            for seed in seeds:
                self._add_unit(group, system, found, segment_s, split, seed)

    def _add_unit(self, group, system, found, segment_s, split: Split, seed: int) -> None:
        recipe = replace(system.recipe, epochs=group.epochs or system.recipe.epochs, seed=seed)
        pretrained = system.pretrainable and self._can_pretrain()
        split = _staged(split, group.stage)
        also = None
        if self._elsewhere and (split.protocol, group.stage) == ("fault_filtered", "final"):
            also = self._read_likewise(found)
        unit = Unit(
            model=system.name,
            input=found.name,
            source=found.source,
            segment_s=segment_s,
            protocol=split.protocol,
            fold=split.fold,
            seed=seed,
            stage=group.stage,
            input_digest=found.digest,
            split_digest=experiments.split_digest(split),
            recipe=system.digest(recipe=recipe, pretrained=pretrained)
            + (f"+{also.digest[:8]}" if also else ""),
        )
        if any(task.unit.run_id == unit.run_id for task in self.tasks):
            return
        kind = StatisticsWork if system.classical else NetworkWork
        work = kind(
            unit=unit,
            recipe=recipe,
            pretrained=pretrained,
            data=found,
            also=also,
            split=split,
            genres=self._dataset.genres,
            dataset=self._dataset.name,
            checkpoint=self._store.folder / f"{unit.run_id}.checkpoint",
            listens=(
                system.listens
                and split.protocol == "fault_filtered"
                and (seed, group.stage) == (group.seeds[0], "final")
            ),
        )
        self.tasks.append(Task(unit, work))

    def _read_likewise(self, found: Input) -> Input | None:
        """Return the other music as a network reads it; several networks read the same."""
        if found.digest not in self._others:
            self._others[found.digest] = inputs.like_or_none(self._elsewhere, found)
        return self._others[found.digest]

    def _input(self, name: str, segment_s: float) -> Input | InputError:
        key = (name, segment_s)
        if key not in self._inputs:
            try:
                self._inputs[key] = self._load(name, segment_s)
            except InputError as reason:
                self._inputs[key] = reason
        return self._inputs[key]

    def _load(self, name: str, segment_s: float) -> Input:
        """Load an input; segments are cut from whole clips that are read once."""
        if name != "spectrogram" or segment_s == inputs.CLIP_S:
            return inputs.load(self._dataset, name, segment_s=segment_s)
        whole = self._input(name, inputs.CLIP_S)
        if isinstance(whole, InputError):
            raise whole
        return inputs.cut(whole, segment_s)

    def _can_pretrain(self) -> bool:
        if self._weights is None:
            self._weights = resnet.weights_available()
        return self._weights


def inner_splits(items: pd.DataFrame, split: Split) -> list[Split]:
    """Return folds inside a training part, each as a split whose test part lies inside it.

    Parameters
    ----------
    items : pd.DataFrame
        One row an item.
    split : Split
        Its test and validation parts are left out of every fold.

    Returns
    -------
    list of Split
        Folds of `splits.inner_folds`, the same for every seed.
    """
    return [
        Split(split.protocol, fold, split.seed, fit, score)
        for fold, (fit, score) in enumerate(splits.inner_folds(items, split.train))
    ]


def _staged(split: Split, stage: str) -> Split:
    """Return a split as a stage uses its validation part."""
    nothing = split.valid[:0]
    if stage == "last":
        return replace(split, valid=nothing)
    if stage == "refit":
        return replace(split, train=np.concatenate([split.train, split.valid]), valid=nothing)
    return split


@dataclass(frozen=True)
class _Work:
    """What it takes to train a unit and to predict its test part."""

    unit: Unit
    recipe: Recipe
    pretrained: bool
    data: Input
    also: Input | None
    split: Split
    genres: tuple[str, ...]
    dataset: str
    checkpoint: Path
    listens: bool

    def _part(self, positions: np.ndarray) -> training.Items:
        if isinstance(self.data.x, tuple):
            return tuple(part[positions] for part in self.data.x)
        return self.data.x[positions]

    @property
    def _y(self) -> np.ndarray:
        return pd.Categorical(self.data.items["genre"], categories=self.genres).codes.astype(int)

    def _outcome(self, probabilities: np.ndarray, **record) -> tuple[pd.DataFrame, dict]:
        unit, split, items = self.unit, self.split, self.data.items
        rows = experiments.prediction_rows(
            unit,
            probabilities,
            items=items.iloc[split.test],
            genres=self.genres,
            dataset=self.dataset,
            n_train=len(split.train),
        )
        record = asdict(unit) | {
            "run_id": unit.run_id,
            "n_train": len(split.train),
            "n_train_tracks": items["track_id"].iloc[split.train].nunique(),
            "n_test": len(split.test),
            **record,
        }
        return rows, record


class NetworkWork(_Work):
    """Train a network; the validation part, where it is used, chooses the epoch."""

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the rows predicted and the record of how training went."""
        torch.set_num_threads(1)
        split, targets = self.split, self._targets
        train = self._part(split.train)
        network = build(
            self._system,
            train,
            n_classes=len(self.genres),
            seed=self.unit.seed,
            pretrained=self.pretrained,
        )
        valid = (self._part(split.valid), targets[split.valid]) if len(split.valid) else None
        started = time.perf_counter()
        fit = training.fit(
            network,
            (train, targets[split.train]),
            valid=valid,
            recipe=self.recipe,
            augment=self._system.augmentation,
            checkpoint=self.checkpoint,
            desc=None,
        )
        fit_s = float(fit.history.filter(like="seconds_").to_numpy().sum())
        probabilities = training.predict(network, self._part(split.test))
        n_parameters = sum(parameter.numel() for parameter in network.parameters())
        rows, record = self._outcome(
            probabilities,
            n_parameters=n_parameters,
            weights_mb=4 * n_parameters / 1e6,
            epochs=self.recipe.epochs,
            best_epoch=fit.best_epoch,
            train_accuracy=_accuracy(network, train, self._y[split.train]),
            validation_accuracy=(
                _accuracy(network, valid[0], self._y[split.valid]) if valid else None
            ),
            fit_s=fit_s,
            wall_s=time.perf_counter() - started,
            pretrained="ImageNet" if self.pretrained else "none",
            history=_history(fit.history),
            heard=self._heard(network) if self.listens else [],
        )
        if self.also:
            rows = pd.concat([rows, self._elsewhere(network)], ignore_index=True)
        self.checkpoint.unlink(missing_ok=True)
        return rows, record

    @property
    def _system(self) -> System:
        return systems.SYSTEMS[self.unit.model]

    @property
    def _targets(self) -> np.ndarray:
        """What each item is to be called: the probability of each genre."""
        return np.eye(len(self.genres), dtype=np.float32)[self._y]

    def _elsewhere(self, network: nn.Module) -> pd.DataFrame:
        rows = experiments.prediction_rows(
            self.unit,
            training.predict(network, self.also.x),
            items=self.also.items,
            genres=self.genres,
            dataset="elsewhere",
            n_train=len(self.split.train),
        )
        return rows.assign(stage="elsewhere")

    def _heard(self, network: nn.Module) -> list[dict]:
        """Return the occlusion map of one item a genre, of the validation part if there is one."""
        split, items = self.split, self.data.items
        seen = split.valid if len(split.valid) else split.train
        probabilities = training.predict(network, self._part(seen))
        maps = []
        for number, genre in enumerate(self.genres):
            of_genre = np.flatnonzero(self._y[seen] == number)
            if not len(of_genre):
                continue
            clearest = of_genre[probabilities[of_genre, number].argmax()]
            x = self.data.x[seen[clearest], 0]
            drop = occlusion.probability_lost(partial(training.predict, network), x, number)
            maps.append(
                {
                    "track_id": items["track_id"].iloc[seen[clearest]],
                    "genre": genre,
                    "predicted": self.genres[int(probabilities[clearest].argmax())],
                    "probability": round(float(probabilities[clearest, number]), 3),
                    "seconds": self.unit.segment_s,
                    "drop": drop.round(3).tolist(),
                }
            )
        return maps


class StatisticsWork(_Work):
    """Train a classical model on mean and spread of cepstral coefficients over a segment."""

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the rows predicted and the record of how training went."""
        X = mfcc_statistics(self.data.x)
        split, y = self.split, self._y
        name = systems.SYSTEMS[self.unit.model].classical
        started = time.perf_counter()
        scaler = StandardScaler().fit(X[split.train])
        model = CLASSICAL[name].estimator(seed=self.unit.seed)
        model.fit(scaler.transform(X[split.train]), y[split.train])
        fit_s = time.perf_counter() - started
        return self._outcome(
            model.predict_proba(scaler.transform(X[split.test])),
            n_parameters=None,
            weights_mb=None,
            epochs=0,
            best_epoch=0,
            train_accuracy=float(model.score(scaler.transform(X[split.train]), y[split.train])),
            validation_accuracy=(
                float(model.score(scaler.transform(X[split.valid]), y[split.valid]))
                if len(split.valid)
                else None
            ),
            fit_s=fit_s,
            wall_s=fit_s,
            pretrained="none",
            history=[],
            heard=[],
        )


def build(
    system: System, x: training.Items, *, n_classes: int, seed: int, pretrained: bool = False
) -> nn.Module:
    """Return a system's network for a training part, its first weights drawn from a seed.

    Parameters
    ----------
    system : System
        Which network.
    x : np.ndarray or tuple of np.ndarray
        The training part, which levels are standardised by.
    n_classes : int
        Number of genres.
    seed : int
        Seed of the first weights.
    pretrained : bool
        Begin with weights from ImageNet.
    """
    torch.manual_seed(seed)
    shape = (x[0] if isinstance(x, tuple) else x).shape[1:]
    network = system.build(shape, n_classes, pretrained)
    return training.standardised(network, x) if system.scaled else network


def mfcc_statistics(x: np.ndarray, *, n_mfcc: int = 20) -> np.ndarray:
    """Return mean and standard deviation over time of cepstral coefficients.

    Parameters
    ----------
    x : np.ndarray [shape=(n_items, 1, n_bands, n_frames), dtype=uint8]
        Mel spectrograms in levels.
    n_mfcc : int
        Number of coefficients.

    Returns
    -------
    X : np.ndarray [shape=(n_items, 2 * n_mfcc), dtype=float32]
    """
    basis = cosine_basis(x.shape[2], n_mfcc).numpy()
    X = np.empty((len(x), 2 * n_mfcc), np.float32)
    for first in range(0, len(x), 256):
        series = np.einsum("kb,nbt->nkt", basis, x[first : first + 256, 0].astype(np.float32))
        X[first : first + 256] = np.concatenate([series.mean(axis=2), series.std(axis=2)], axis=1)
    return X


def budget_study(
    dataset: Dataset,
    *,
    system: str,
    epochs: list[int],
    learning_rates: list[float],
    batch_sizes: list[int],
    study: str,
    outputs: Outputs,
    seed: int = 0,
) -> pd.DataFrame:
    """Train one network at several budgets and score each on the validation part.

    The fault-filtered training part is trained on; no test part is looked at. From the
    first of each list one setting is changed at a time.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from.
    system : str
        A name in `systems.SYSTEMS`.
    epochs, learning_rates, batch_sizes : list
        What to try.
    study : str
        Name of the study, which the table is kept under.
    outputs : Outputs
        Where the finished table is, for when the data is not there.
    seed : int
        Seed of weights, order and augmentation.

    Returns
    -------
    pd.DataFrame
        ``epochs, learning_rate, batch_size, train_accuracy, valid_accuracy, seconds``;
        empty where there is no validation part.
    """
    kept = outputs.results / "predictions" / f"{study}_budget.json"
    if project.from_predictions() or not dataset.available:
        return _read_budget(kept)
    chosen = systems.named([system])[0]
    first = replace(
        chosen.recipe, epochs=epochs[0], learning_rate=learning_rates[0],
        batch_size=batch_sizes[0], seed=seed,
    )  # fmt: skip
    recipes = [
        first,
        *(replace(first, epochs=value) for value in epochs[1:]),
        *(replace(first, learning_rate=value) for value in learning_rates[1:]),
        *(replace(first, batch_size=value) for value in batch_sizes[1:]),
    ]
    try:
        data = inputs.load(dataset, chosen.input, segment_s=chosen.segment_s)
        split = splits.make_splits(data.items, "fault_filtered", seed=seed)[0]
    except (InputError, splits.SplitError):
        return pd.DataFrame(columns=_BUDGET_COLUMNS)
    if not len(split.valid):
        return pd.DataFrame(columns=_BUDGET_COLUMNS)
    key = project.text_digest(
        data.digest, *(chosen.digest(recipe=r, pretrained=False) for r in recipes)
    )
    stored = _read_budget(kept)
    if not project.retrain() and set(stored["key"]) == {key}:
        return stored
    table = pd.DataFrame(_budget_rows(chosen, recipes, data, split, dataset.genres)).assign(key=key)
    project.write_atomic(kept, table.to_json(orient="records", indent=1))
    return _read_budget(kept)


def _read_budget(kept: Path) -> pd.DataFrame:
    if not kept.is_file():
        return pd.DataFrame(columns=[*_BUDGET_COLUMNS, "key"])
    return pd.DataFrame(json.loads(kept.read_text()))


_BUDGET_COLUMNS = [
    "epochs", "learning_rate", "batch_size", "train_accuracy", "valid_accuracy", "seconds",
]  # fmt: skip


def _budget_rows(
    system: System, recipes: list[Recipe], data: Input, split: Split, genres: tuple[str, ...]
) -> Iterable[dict]:
    y = pd.Categorical(data.items["genre"], categories=genres).codes.astype(int)
    targets = np.eye(len(genres), dtype=np.float32)[y]
    for recipe in progress.track(recipes, total=len(recipes), desc="budgets"):
        x = data.x[split.train]
        network = build(system, x, n_classes=len(genres), seed=recipe.seed)
        started = time.perf_counter()
        training.fit(network, (x, targets[split.train]), recipe=recipe, desc=None)
        yield {
            "epochs": recipe.epochs,
            "learning_rate": recipe.learning_rate,
            "batch_size": recipe.batch_size,
            "train_accuracy": _accuracy(network, x, y[split.train]),
            "valid_accuracy": _accuracy(network, data.x[split.valid], y[split.valid]),
            "seconds": time.perf_counter() - started,
        }


def _accuracy(network: nn.Module, x: training.Items, y: np.ndarray) -> float:
    return float((training.predict(network, x).argmax(axis=1) == y).mean())


def _history(history: pd.DataFrame) -> list[dict]:
    kept = ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    table = (
        history[kept].round(4).assign(seconds=history.filter(like="seconds_").sum(axis=1).round(2))
    )
    # JSON knows no NaN.
    return table.astype(object).where(table.notna(), None).to_dict(orient="records")
