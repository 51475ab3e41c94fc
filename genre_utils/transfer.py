"""Probe pretrained networks, train them further where they can be had; find other music."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import (
    audio,
    datasets,
    experiments,
    finetuning,
    inputs,
    progress,
    project,
    representations,
    splits,
    training,
)
from genre_utils.augment import Augmentation
from genre_utils.blocks import heard_by_convnet, musicnn_of_sound
from genre_utils.datasets import Dataset
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.models import msd_convnet as convnet
from genre_utils.models import musicnn, pretrained
from genre_utils.models.weights import NOT_HERE, WeightsError
from genre_utils.project import Outputs, ProjectError
from genre_utils.results import Report
from genre_utils.splits import Split

PROBE, FINETUNED = " (probe)", " (fine-tuned)"
"""What is put behind a network's name: stays as it is, or is trained further."""

CONVNET = "MSD convnet"
LISTENERS = {CONVNET: convnet, "MSD_musicnn": musicnn}
"""Networks that heard music before, each with ``fetch, load, LICENCE`` and ``WEIGHTS_MB``."""

_HEARD = "Million Song Dataset: 240 thousand songs, 50 tags"
CONVNET_RECIPE = training.Recipe(
    epochs=6, batch_size=16, learning_rate=1e-4, weight_decay=1e-2, label_smoothing=0.1
)
"""How the MSD convnet is trained further, from the probe on."""

_CONVNET_CHANGES = Augmentation(masks=2, mixup=0.4)
_RECIPE = 1
_CONVNET_RECIPE = 2
_PROTOCOL = "fault_filtered"
_cannot = partial(experiments.cannot, protocol=_PROTOCOL)


def fetch_listeners(*, fetch: bool) -> pd.DataFrame:
    """Return the networks that heard music before; fetch their weights where they are missing.

    Parameters
    ----------
    fetch : bool
        Whether weights that are not on this computer are fetched.

    Returns
    -------
    pd.DataFrame
        ``title, trained_on, licence, size_mb, available`` (bool).
    """
    rows = []
    for title, module in LISTENERS.items():
        try:
            if fetch and not project.from_predictions():
                module.fetch()
            module.load()
            available = True
        except WeightsError:
            available = False
        rows.append((title, _HEARD, module.LICENCE, module.WEIGHTS_MB, available))
    columns = ["title", "trained_on", "licence", "size_mb", "available"]
    return pd.DataFrame(rows, columns=columns)


def replayed(dataset: Dataset) -> pd.DataFrame:
    """Compare the taggrams of the rebuilt MSD_musicnn with the published ones.

    Parameters
    ----------
    dataset : Dataset
        GTZAN, or a part of it, with sound.

    Returns
    -------
    pd.DataFrame
        One row a track with sound and a published taggram: ``track_id, difference`` (mean of
        the absolute differences of scores), ``correlation`` (of the tags' mean scores).

    Raises
    ------
    ProjectError
        If the weights or the published taggrams are missing, or no track has both.
    """
    published = representations.taggram_series(root=dataset.root)
    heard = musicnn_of_sound(dataset)
    rows = []
    for track in sorted(published.keys() & heard.files.keys()):
        ours, theirs = heard.load(track), published[track]
        n = min(len(ours), len(theirs))
        means = ours.mean(axis=0), theirs.mean(axis=0)
        rows.append((track, np.abs(ours[:n] - theirs[:n]).mean(), np.corrcoef(*means)[0, 1]))
    if not rows:
        raise ProjectError(f"{dataset.title}: no track has both sound and a published taggram")
    return pd.DataFrame(rows, columns=["track_id", "difference", "correlation"])


def other_music(name: str) -> Dataset | None:
    """Return a folder of other music below the data folder, or None where there is none.

    Parameters
    ----------
    name : str
        Name of the folder; empty for none.
    """
    folder = project.data_root() / name
    if not name or not folder.is_dir():
        return None
    return datasets.load(str(folder))


def table_or_stored(
    report: Report, slug: str, compute: Callable[..., pd.DataFrame], *arguments
) -> pd.DataFrame:
    """Compute a table and keep it; without what it needs, return the one that is stored.

    Parameters
    ----------
    report : Report
        Where tables are kept.
    slug : str
        Name of the table.
    compute : callable
        Called with `arguments`. Not called where only stored results may be used.

    Returns
    -------
    pd.DataFrame
        Empty where it can neither be computed nor read, and for made-up data, which
        nobody has published anything about.
    """
    if report.dataset.synthetic:
        return pd.DataFrame()
    number = report.notebook.split("_")[0]
    try:
        if report.dataset.available and not project.from_predictions():
            return report.table(compute(*arguments), slug)
    except ProjectError:
        pass
    try:
        return report.table(report.read(f"{number}_{slug}"), slug)
    except ProjectError:
        return pd.DataFrame()


def run_available(
    dataset: Dataset,
    names: Sequence[str],
    *,
    study: str,
    outputs: Outputs,
    fetch: bool = True,
    finetune: bool = True,
    epochs: int | None = None,
    seed: int = 0,
) -> StudyResult:
    """Probe each pretrained network whose weights can be had, then train all of it.

    Networks for pictures read the data set's own pictures (or pictures drawn from its
    sound), those for sound its clips in windows. Trained on the fault-filtered training
    part; fine-tuning takes its number of epochs from the validation part.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    names : sequence of str
        Names in `pretrained.PRETRAINED`.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    fetch : bool
        Whether weights that are not on this computer are fetched.
    finetune : bool
        Whether networks are trained further, too.
    epochs : int, optional
        Instead of those of `finetuning.RECIPE`.
    seed : int
        Seed of training.

    Returns
    -------
    StudyResult
        Rows of stage ``final``, the model's name with `PROBE` or `FINETUNED` behind it.
        Networks that are left out are noted in ``impossible``, all of them where no
        weights can be had: nothing is stored then.
    """
    store = Store(study, outputs)
    stored = store.load_or_none()
    if project.from_predictions() or not dataset.available:
        return stored or _nothing(names, NOT_HERE)
    found = pretrained.availability(names).set_index("name")
    tasks, impossible = [], []
    for name in names:
        try:
            _check_weights(found.loc[name], fetch=fetch)
            tasks += _tasks(dataset, name, finetune=finetune, epochs=epochs, seed=seed, store=store)
        except ProjectError as reason:
            impossible.append(_cannot(reason, model=name, music=dataset))
    if not tasks:
        return stored or _nothing(names, "", notes=impossible)
    return store.run(tasks, impossible=pd.DataFrame(impossible), desc="pretrained networks")


def run_convnet(
    dataset: Dataset,
    *,
    study: str,
    outputs: Outputs,
    epochs: int | None = None,
    seed: int = 0,
    elsewhere: Dataset | None = None,
) -> StudyResult:
    """Train a probe on the MSD convnet, and all of it from there on.

    Its statistics are those of the fault-filtered training part and stay what they are.
    Folds inside that part choose the probe; the validation part chooses the epoch.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    epochs : int, optional
        Instead of those of `CONVNET_RECIPE`.
    seed : int
        Seed of training.
    elsewhere : Dataset, optional
        Other music that is predicted, too: rows of stage ``elsewhere``.

    Returns
    -------
    StudyResult
        As `run_available`.
    """
    store = Store(study, outputs)
    names = [CONVNET + PROBE, CONVNET + FINETUNED]
    if project.from_predictions() or not dataset.available:
        return store.load_or_none() or _nothing(names, NOT_HERE)
    try:
        heard = heard_by_convnet(dataset, dataset)
        split = splits.make_splits(_tracks_of(heard, dataset), _PROTOCOL)[0]
    except ProjectError as error:
        return store.load_or_none() or _nothing(
            names, "", notes=[_cannot(error, model=name, music=dataset) for name in names]
        )
    recipe = replace(CONVNET_RECIPE, seed=seed, epochs=epochs or CONVNET_RECIPE.epochs)
    also = "".join(elsewhere.tracks["track_id"]) if elsewhere else ""
    tasks = []
    for name in names:
        unit = Unit(
            model=name,
            input="mel bands",
            source=heard.source,
            segment_s=inputs.CLIP_S,
            protocol=_PROTOCOL,
            fold=0,
            seed=seed,
            stage="final",
            input_digest=project.text_digest(heard.digest, heard.network.weights.digest, also),
            split_digest=experiments.split_digest(split),
            recipe=f"{_CONVNET_RECIPE}" + (f".{recipe.epochs}" if name.endswith(FINETUNED) else ""),
        )
        checkpoint = store.folder / f"{unit.run_id}.checkpoint"
        work = _ConvnetWork(unit, dataset, elsewhere, split, recipe, checkpoint)
        tasks.append(Task(unit, work))
    return store.run(tasks, impossible=pd.DataFrame(), desc="MSD convnet")


@dataclass(frozen=True)
class _ConvnetWork:
    """Train a probe on the MSD convnet; where wanted, train all of it from there."""

    unit: Unit
    dataset: Dataset
    elsewhere: Dataset | None
    split: Split
    recipe: training.Recipe
    checkpoint: Path

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        split, genres = self.split, self.dataset.genres
        heard = heard_by_convnet(self.dataset, self.dataset)
        items = _tracks_of(heard, self.dataset)
        statistics = heard.statistics()
        features = convnet.embed(heard.network, _clips(heard, split.train), statistics)
        probe = finetuning.probe(features, items.iloc[split.train], genres=genres)
        classifier = convnet.Classifier(
            heard.network, statistics, features=features, n_classes=len(genres)
        )
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(split.train),
            "n_train_tracks": len(split.train),
            "n_test": len(split.test),
            "n_parameters": sum(weights.numel() for weights in classifier.parameters()),
            "pretrained": "Million Song Dataset",
            "validation_accuracy": probe.search.score,
        }

        def by_probe(power) -> np.ndarray:
            return probe.predict(convnet.embed(heard.network, power, statistics))

        def by_network(power) -> np.ndarray:
            return training.predict(classifier, convnet.inputs(power, statistics))

        predict = by_probe
        if self.unit.model.endswith(FINETUNED):
            classifier.set_head(*probe.head())
            record |= self._train(classifier, heard, items)
            predict = by_network
        rows = self._rows(predict(_clips(heard, split.test)), items.iloc[split.test])
        if self.elsewhere:
            others = heard_by_convnet(self.elsewhere, self.dataset)
            theirs = predict(others.power(others.track_ids))
            theirs = self._rows(theirs, _tracks_of(others, self.elsewhere))
            theirs = theirs.assign(stage="elsewhere", dataset="elsewhere")
            rows = pd.concat([rows, theirs], ignore_index=True)
        self.checkpoint.unlink(missing_ok=True)
        return rows, record

    def _train(self, classifier, heard, items: pd.DataFrame) -> dict:
        """Train all layers; return what the record says of it."""
        genres = self.dataset.genres
        targets = np.eye(len(genres), dtype=np.float32)
        y = pd.Index(genres).get_indexer(items["genre"])

        def read(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            power = _clips(heard, positions)
            return convnet.inputs(power, classifier.statistics), targets[y[positions]]

        fit = training.fit(
            classifier,
            read(self.split.train),
            valid=read(self.split.valid) if len(self.split.valid) else None,
            recipe=self.recipe,
            augment=_CONVNET_CHANGES,
            checkpoint=self.checkpoint,
        )
        best = fit.history.set_index("epoch").loc[fit.best_epoch]
        accuracy = float(best["valid_accuracy"]) if len(self.split.valid) else None
        return {"best_epoch": fit.best_epoch, "validation_accuracy": accuracy}

    def _rows(self, probabilities: np.ndarray, items: pd.DataFrame) -> pd.DataFrame:
        return experiments.prediction_rows(
            self.unit,
            probabilities,
            items=items,
            genres=self.dataset.genres,
            dataset=self.dataset.name,
            n_train=len(self.split.train),
        )


def _tracks_of(heard, dataset: Dataset) -> pd.DataFrame:
    """Return the rows of the tracks that the convnet heard, in its order."""
    items = dataset.tracks.set_index("track_id").loc[list(heard.track_ids)].reset_index()
    return items.assign(segment_start_s=0.0)


def _clips(heard, positions: np.ndarray) -> Sequence[np.ndarray]:
    return heard.power([heard.track_ids[position] for position in positions])


def earlier_networks(names: Sequence[str], *, outputs: Outputs) -> StudyResult:
    """Return what notebook 05 stored of some networks on the fault-filtered test part.

    Parameters
    ----------
    names : sequence of str
        Names in `systems.SYSTEMS`.
    outputs : Outputs
        Where it is stored.

    Returns
    -------
    StudyResult
        Rows and runs of stage ``final``, all seeds; empty where nothing is stored.
    """
    stored = Store("05_sequence_models", outputs).load_or_none()
    if stored is None:
        return _nothing(names, "notebook 05 has stored nothing of it; run make 05")

    def wanted(frame: pd.DataFrame) -> pd.DataFrame:
        chosen = frame["model"].isin(names) & frame["protocol"].eq(_PROTOCOL)
        return frame[chosen & frame["stage"].eq("final")]

    nothing = stored.impossible.iloc[:0]
    return StudyResult(wanted(stored.predictions), wanted(stored.runs), nothing)


def _check_weights(row: pd.Series, *, fetch: bool) -> None:
    if not row["available"]:
        raise ProjectError(row["reason"])
    if not fetch and row["reason"] == "can be fetched":
        raise ProjectError(f"{NOT_HERE}, and this run was told to fetch none")


def _nothing(names: Sequence[str], reason: str, *, notes: list[dict] | None = None) -> StudyResult:
    notes = notes or [_cannot(reason, model=name) for name in names]
    return StudyResult(
        pd.DataFrame(columns=["model", "stage", "protocol"]),
        pd.DataFrame(columns=["model", "stage", "protocol"]),
        pd.DataFrame(notes),
    )


def _tasks(dataset: Dataset, name: str, *, finetune, epochs, seed, store: Store) -> list[Task]:
    items, rows, digest = _material(dataset, pretrained.PRETRAINED[name].input)
    split = splits.make_splits(items, _PROTOCOL)[0]
    recipe = replace(finetuning.RECIPE, seed=seed, epochs=epochs or finetuning.RECIPE.epochs)
    tasks = []
    for kind in (PROBE, FINETUNED)[: 1 + finetune]:
        unit = Unit(
            model=name + kind,
            input=pretrained.PRETRAINED[name].input,
            source=pretrained.PRETRAINED[name].input,
            segment_s=inputs.CLIP_S,
            protocol=_PROTOCOL,
            fold=0,
            seed=seed,
            stage="final",
            input_digest=digest,
            split_digest=experiments.split_digest(split),
            recipe=f"{_RECIPE}" + (f".{recipe.epochs}" if kind == FINETUNED else ""),
        )
        checkpoint = store.folder / f"{unit.run_id}.checkpoint"
        work = _Work(
            unit, name, items, rows, split, dataset.genres, dataset.name, recipe, checkpoint
        )
        tasks.append(Task(unit, work))
    return tasks


def _material(dataset: Dataset, reads: str):
    """Return items, what each is read from, and a digest: pictures, or paths of sound files."""
    if reads == "picture":
        data = inputs.load(dataset, "picture")
        return data.items, list(data.x[:, 0]), data.digest
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()].reset_index(drop=True)
    if tracks.empty:
        raise ProjectError(f"{dataset.title} has no sound, which this network reads")
    tracks = tracks[[_can_be_heard(path) for path in tracks["audio_path"]]].reset_index(drop=True)
    if tracks.empty:
        raise ProjectError(
            f"{dataset.title}: no sound file can be decoded; make 01 says what is wrong with them"
        )
    digest = dataset.sound_digest(tracks["track_id"])
    return tracks.assign(segment_start_s=0.0), list(tracks["audio_path"]), digest


def _can_be_heard(path: Path) -> bool:
    try:
        y, sr = audio.decode(path)
    except audio.AudioError:
        return False
    return len(y) >= pretrained.SHORTEST_S * sr


@dataclass(frozen=True)
class _Work:
    """Train a probe on a network's embeddings; where wanted, train the network from there."""

    unit: Unit
    name: str
    items: pd.DataFrame
    sources: list
    split: Split
    genres: tuple[str, ...]
    dataset: str
    recipe: training.Recipe
    checkpoint: Path

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        split, items = self.split, self.items
        network = pretrained.load(self.name, genres=self.genres)
        parts = {part: self._rows(network, getattr(split, part)) for part in _PARTS}
        X = {
            part: pretrained.average(network.features(x), owner)
            for part, (x, owner) in parts.items()
            if len(x) and part != "valid"
        }
        probe = finetuning.probe(X["train"], items.iloc[split.train], genres=self.genres)
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(split.train),
            "n_train_tracks": len(split.train),
            "n_test": len(split.test),
            "n_parameters": network.n_parameters,
            "pretrained": self.name,
            "validation_accuracy": probe.search.score,
        }
        if self.unit.model.endswith(PROBE):
            return self._outcome(probe.predict(X["test"]), record)
        y = pd.Index(self.genres).get_indexer(items["genre"])
        labelled = {
            part: (x, y[getattr(split, part)][owner])
            for part, (x, owner) in parts.items()
            if len(x)
        }
        fit = finetuning.finetune(
            network,
            labelled["train"],
            valid=labelled.get("valid"),
            start=probe,
            recipe=self.recipe,
            checkpoint=self.checkpoint,
        )
        x, owner = parts["test"]
        said = pretrained.average(training.predict(network.network, x, batch_size=8), owner)
        best = fit.history.set_index("epoch").loc[fit.best_epoch]
        record["validation_accuracy"] = float(best["valid_accuracy"]) if "valid" in parts else None
        self.checkpoint.unlink(missing_ok=True)
        return self._outcome(said, record | {"best_epoch": fit.best_epoch})

    def _rows(self, network, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the network reads of some items, and which item each row is of."""
        found = [self.sources[position] for position in positions]
        if not found:
            return np.empty(0), np.empty(0, dtype=int)
        if network.source.input == "picture":
            return np.stack(found), np.arange(len(found))
        clips = progress.track(found, total=len(found), desc="clips")
        return network.rows([audio.load(path, sr=network.source.sr) for path in clips],
                            sr=network.source.sr)  # fmt: skip

    def _outcome(self, probabilities: np.ndarray, record: dict) -> tuple[pd.DataFrame, dict]:
        rows = experiments.prediction_rows(
            self.unit,
            probabilities,
            items=self.items.iloc[self.split.test],
            genres=self.genres,
            dataset=self.dataset,
            n_train=len(self.split.train),
        )
        return rows, record


_PARTS = ("train", "valid", "test")
