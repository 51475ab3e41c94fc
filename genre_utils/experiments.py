"""Run a grid of training runs once each, keep what they predict, resume what was cut off.

A *unit* is one training run: a model, an input, a protocol, a fold, a seed. Its key is a
digest of all that decides its outcome, so a unit that is stored is never run again. Each
finished unit is written to a file of its own at once; when all are there they are put
together in ``results/<dataset>/predictions/<study>.parquet`` (what was predicted) and
``<study>.json`` (what was chosen, and what it cost). Evaluation reads nothing else.
"""

import json
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from joblib import Parallel, delayed
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from threadpoolctl import threadpool_limits

from genre_utils import features, inputs, project, splits, tuning
from genre_utils.datasets import Dataset
from genre_utils.models.classical import CLASSICAL, named
from genre_utils.progress import track
from genre_utils.project import Outputs, ProjectError, text_digest, write_atomic

TABULAR = "57 features"


@dataclass(frozen=True)
class Unit:
    """One training run, named by everything that decides what it predicts.

    Attributes
    ----------
    model, input, source : str
        Which classifier, on which representation, computed from what.
    segment_s : float
        Length of a segment in seconds.
    protocol : str
        One of `splits.PROTOCOLS`.
    fold, seed : int
        Which split of the protocol, and the seed of split, search and training.
    stage : str
        ``final`` for the plain protocols, ``fair`` for the fair ladder, ``inner`` for folds
        inside a training part, which are no use of the test part; see also `deep.STAGES`.
    input_digest, split_digest : str
        Digests of the features with their tracks, and of the positions of both parts.
    recipe : str
        Recipe versions of the code that trains.
    n_trials : int
        Upper limit of settings that each search tries; 0 where nothing is tuned.
    importance : bool
        Whether permutation importance is measured on the test part.
    """

    model: str
    input: str
    source: str
    segment_s: float
    protocol: str
    fold: int
    seed: int
    stage: str
    input_digest: str
    split_digest: str
    recipe: str
    n_trials: int = 0
    importance: bool = False

    @property
    def run_id(self) -> str:
        """The unit's key: 16 hexadecimal digits."""
        return text_digest(json.dumps(asdict(self), sort_keys=True))[:16]


@dataclass(frozen=True)
class Task:
    """A unit with the work that makes it: ``work()`` returns (rows, record)."""

    unit: Unit
    work: Callable[[], tuple[pd.DataFrame, dict]]


@dataclass(frozen=True)
class StudyResult:
    """What a study has stored.

    Attributes
    ----------
    predictions : pd.DataFrame
        One row a test item: ``run_id, dataset, model, input, source, protocol, fold,
        seed, stage, segment_s, segment_start_s, n_train, track_id, y_true`` and one
        column ``p_<genre>`` a genre (float32, in [0, 1]).
    runs : pd.DataFrame
        One row a unit: what it was, what was chosen, accuracies, seconds.
    impossible : pd.DataFrame
        ``segment_s, source, protocol, stage, n_tracks, reason`` of what this data cannot answer.
    """

    predictions: pd.DataFrame
    runs: pd.DataFrame
    impossible: pd.DataFrame


def cannot(
    reason: object,
    *,
    music: Dataset | None = None,
    stage: str = "final",
    segment_s: float = inputs.CLIP_S,
    source: str = "none",
    n_tracks: int = 0,
    **setting,
) -> dict:
    """Return why a setting cannot be, as a row of `StudyResult.impossible`.

    Parameters
    ----------
    reason : object
        Its text; folders in it are named, not told where they are on this computer.
    music : Dataset, optional
        Whose folder is called by the data set's title.
    stage, segment_s, source, n_tracks
        Columns of `StudyResult.impossible`.
    **setting
        What else says which setting it is, ``protocol`` among it.
    """
    text = str(reason)
    if music is not None:
        text = text.replace(str(music.root), music.title)
    columns = {"segment_s": segment_s, "source": source, "stage": stage, "n_tracks": n_tracks}
    return setting | columns | {"reason": project.without_places(text)}


class Plan:
    """The units of a study, and what the data cannot answer.

    Attributes
    ----------
    tasks : list of Task
        What is to be run.
    impossible : list of dict
        One a setting that cannot be: what it is, and the ``reason``.
    """

    def __init__(self):
        self.tasks: list[Task] = []
        self.impossible: list[dict] = []

    def note(self, reason: Exception, **setting) -> None:
        """Keep the reason why there is no unit of a setting, as `cannot` puts it."""
        self.impossible.append(cannot(reason, **setting))

    def run(self, store: "Store", dataset: Dataset) -> StudyResult:
        """Run the units.

        Raises
        ------
        ProjectError
            If there is none.
        """
        if not self.tasks:
            why = self.impossible[0]["reason"] if self.impossible else "nothing was named"
            raise ProjectError(f"{dataset.title}: nothing can be trained: {why}")
        return store.run(self.tasks, impossible=pd.DataFrame(self.impossible), desc="training")


_NO_TEST = ("inner", "valid", "elsewhere")
"""Stages that look at no test part."""


class Store:
    """The finished units of one study, on disk.

    Parameters
    ----------
    study : str
        Name of the study, e.g. ``03_baselines``.
    outputs : Outputs
        Where its results go.
    retrain : bool
        Ignore what earlier studies stored; a cut-off ``RETRAIN`` still resumes.

    Attributes
    ----------
    table : Path
        Where the predictions are published.
    folder : Path
        Where finished units, and the checkpoints of unfinished ones, are kept until then.
    """

    def __init__(self, study: str, outputs: Outputs, *, retrain: bool | None = None):
        self._retrain = project.retrain() if retrain is None else retrain
        self._study, self._outputs = study, outputs
        self.table = outputs.results / "predictions" / f"{study}.parquet"
        self._records_file = self.table.with_suffix(".json")
        self.folder = outputs.units / (f"{study}.retrain" if self._retrain else study)

    def load(self) -> StudyResult:
        """Return all that the study has published.

        Raises
        ------
        ProjectError
            If nothing is stored, or the two files do not belong together.
        """
        if not (self.table.is_file() and self._records_file.is_file()):
            raise ProjectError(
                f"{self.table.name}: no stored predictions under {self.table.parent.name}/ for "
                f"{self._outputs.dataset!r}; run the notebook with its data first (make all)"
            )
        predictions = pd.read_parquet(self.table)
        stored = json.loads(self._records_file.read_text())
        known = set(predictions["run_id"])
        runs = [record for record in stored["runs"] if record["run_id"] in known]
        if len(runs) != len(known):
            raise ProjectError(
                f"{self.table.name} and {self._records_file.name} do not belong together; "
                "run the notebook again (make all)"
            )
        return StudyResult(
            predictions,
            pd.json_normalize(runs, sep="_", max_level=0),
            pd.DataFrame(stored["impossible"]),
        )

    def load_or_none(self) -> StudyResult | None:
        """Return what the study has published, or None where there is nothing whole."""
        try:
            return self.load()
        except ProjectError:
            return None

    def run(
        self,
        tasks: list[Task],
        *,
        impossible: pd.DataFrame,
        desc: str,
        keep: Callable[[dict], bool] | None = None,
    ) -> StudyResult:
        """Run the tasks that are not stored yet, then publish all of them together.

        Parameters
        ----------
        tasks : list of Task
            The study's units, in the order in which they are to be stored.
        impossible : pd.DataFrame
            What the data cannot answer, with reasons.
        desc : str
            What is being done, for the progress bar.
        keep : callable, optional
            Takes the record of a stored run that is none of the tasks, and tells whether it
            is published again all the same: what it needs is not on this computer, and nothing
            else has changed about it.
        """
        wanted = {task.unit.run_id for task in tasks}
        published = self._published(
            lambda record: record["run_id"] in wanted or (keep is not None and keep(record))
        )
        missing = [
            t for t in tasks if t.unit.run_id not in published and not self._file(t).exists()
        ]
        with Parallel(n_jobs=project.jobs(), return_as="generator_unordered") as pool:
            finished = pool(delayed(_work)(position, task) for position, task in enumerate(missing))
            for position, rows, record in track(finished, total=len(missing), desc=desc):
                self._keep(missing[position], rows, record)
        kept = [published.get(task.unit.run_id) or self._read(task) for task in tasks]
        kept += [found for run_id, found in published.items() if run_id not in wanted]
        self._publish(kept, impossible)
        return self.load()

    def _published(self, wanted: Callable[[dict], bool]) -> dict[str, tuple[pd.DataFrame, dict]]:
        if self._retrain or not (self.table.is_file() and self._records_file.is_file()):
            return {}
        stored = self.load()
        records = json.loads(self._records_file.read_text())["runs"]
        rows = dict(tuple(stored.predictions.groupby("run_id", sort=False)))
        return {
            record["run_id"]: (rows[record["run_id"]], record)
            for record in records
            if record["run_id"] in rows and wanted(record)
        }

    def _file(self, task: Task) -> Path:
        return self.folder / f"{task.unit.run_id}.parquet"

    def _keep(self, task: Task, rows: pd.DataFrame, record: dict) -> None:
        if task.unit.stage not in _NO_TEST:
            tested = rows[rows["stage"] == task.unit.stage]
            count_test_use(task.unit, tested, study=self._study, outputs=self._outputs)
        table = pa.Table.from_pandas(rows, preserve_index=False)
        table = table.replace_schema_metadata({"record": json.dumps(record)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomic(self._file(task), sink.getvalue().to_pybytes())

    def _read(self, task: Task) -> tuple[pd.DataFrame, dict]:
        table = pq.read_table(self._file(task))
        return table.to_pandas(), json.loads(table.schema.metadata[b"record"])

    def _publish(self, kept: list[tuple[pd.DataFrame, dict]], impossible: pd.DataFrame) -> None:
        records = {
            "runs": [record for _, record in kept],
            "impossible": impossible.to_dict(orient="records"),
        }
        rows = pd.concat([rows for rows, _ in kept], ignore_index=True)
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None),
            sink,
            compression="zstd",
            compression_level=19,
        )
        # Records first: rows without their record would count as unfinished, never as wrong.
        write_atomic(self._records_file, json.dumps(records, indent=1))
        write_atomic(self.table, sink.getvalue().to_pybytes())
        shutil.rmtree(self.folder, ignore_errors=True)


def _work(position: int, task: Task) -> tuple[int, pd.DataFrame, dict]:
    # One thread a process: the sums, and so the predictions, are the same on any machine size.
    with threadpool_limits(1), warnings.catch_warnings():
        # The two-layer network trains for a fixed number of epochs on purpose, and takes
        # all items at once where there are fewer than a batch.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Got `batch_size` less than 1 or larger")
        rows, record = task.work()
    return position, rows, record


def count_test_use(unit: Unit, rows: pd.DataFrame, *, study: str, outputs: Outputs) -> None:
    """Add one to the count of how often a unit's test part was looked at.

    The count is raised before the predictions are kept, so that a run that is killed in
    between is counted twice rather than never.
    """
    path = outputs.results / "test_uses.csv"
    keys = ["study", "run_id"]
    row = {
        "study": study,
        "run_id": unit.run_id,
        "model": unit.model,
        "segment_s": unit.segment_s,
        "source": unit.source,
        "protocol": unit.protocol,
        "stage": unit.stage,
        "fold": unit.fold,
        "seed": unit.seed,
        "n_test_tracks": rows["track_id"].nunique(),
        "times": 1,
    }
    uses = pd.DataFrame([row])
    if path.is_file():
        uses = pd.concat([pd.read_csv(path, dtype={"run_id": str}), uses])
        uses = uses.groupby(keys, sort=False, as_index=False).agg(
            {name: ("sum" if name == "times" else "last") for name in row if name not in keys}
        )
        uses = uses.sort_values(keys, ignore_index=True)
    write_atomic(path, uses.to_csv(index=False))


def run_classical(
    dataset: Dataset,
    *,
    study: str,
    outputs: Outputs,
    models: list[str],
    segment_lengths: list[float],
    protocols: list[str],
    n_folds: int,
    n_trials: int,
    seed: int,
    importance_models: list[str],
    importance_segment_s: float,
    fair_models: list[str],
    fair_segment_s: float,
    fair_seeds: list[int],
) -> StudyResult:
    """Train the classical models under every protocol, at every segment length.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    models : list of str
        Names in `models.classical.CLASSICAL`.
    segment_lengths : list of float
        In seconds.
    protocols : list of str
        Names in `splits.PROTOCOLS`.
    n_folds : int
        Folds of the random protocols.
    n_trials : int
        Upper limit of settings that each of the two searches tries.
    seed : int
        Seed of splits, searches and training.
    importance_models : list of str
        Models whose permutation importance is measured on the test part of the strictest
        protocol that is possible.
    importance_segment_s : float
        At which segment length, in seconds.
    fair_models : list of str
        Models of the fair ladder (`splits.fair_splits`).
    fair_segment_s : float
        At which segment length, in seconds.
    fair_seeds : list of int
        One draw of training parts a seed.

    Returns
    -------
    StudyResult

    Raises
    ------
    ProjectError
        If a name is unknown, or no protocol is possible on this data.
    """
    named(models + fair_models + importance_models)
    for protocol in protocols:
        splits.check_protocol(protocol)
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    plan = _ClassicalPlan(dataset, n_trials)
    tables = plan.tables([*segment_lengths, fair_segment_s], protocols)
    strict = _strictest(tables.get(importance_segment_s), protocols, n_folds, seed)
    for segment_s in segment_lengths:
        for protocol in protocols:
            measured = segment_s == importance_segment_s and protocol == strict
            plan.add(
                tables.get(segment_s),
                protocol,
                "final",
                models,
                [seed],
                n_folds,
                importance_models if measured else [],
            )
    for protocol in protocols:
        plan.add(tables.get(fair_segment_s), protocol, "fair", fair_models, fair_seeds, n_folds, [])
    return plan.run(store, dataset)


def _strictest(table, protocols: list[str], n_folds: int, seed: int) -> str | None:
    """Return the strictest of some protocols that is possible on a table."""
    if table is None:
        return None
    for protocol in sorted(protocols, key=splits.PROTOCOLS.index, reverse=True):
        try:
            splits.make_splits(table.items, protocol, n_folds=n_folds, seed=seed)
        except splits.SplitError:
            continue
        return protocol
    return None


class _ClassicalPlan(Plan):
    """The units of a study on classical models, and what the data cannot answer."""

    def __init__(self, dataset: Dataset, n_trials: int):
        super().__init__()
        self._dataset, self._n_trials = dataset, n_trials

    def tables(self, lengths: list[float], protocols: list[str]) -> dict:
        """Return the feature tables there are; note the protocols that lack one."""
        tables = {}
        for segment_s in dict.fromkeys(lengths):
            try:
                tables[segment_s] = features.table(self._dataset, segment_s=segment_s)
            except features.FeatureError as reason:
                for protocol in protocols:
                    self.note(reason, segment_s=segment_s, protocol=protocol)
        return tables

    def add(self, table, protocol, stage, models, seeds, n_folds, measured) -> None:
        """Add the units of one protocol, or the reason why there are none."""
        if table is None:
            return
        items = table.items
        segment_s = float(items["segment_s"].iloc[0])
        if protocol == "fault_filtered":
            seeds = seeds[:1]  # published: another seed would be the same split again
        for seed in seeds:
            try:
                if stage == "fair":
                    found = splits.fair_splits(items, protocol, seed=seed)
                else:
                    found = splits.make_splits(items, protocol, n_folds=n_folds, seed=seed)
            except splits.SplitError as reason:
                self.note(
                    reason,
                    segment_s=segment_s,
                    source=table.source,
                    protocol=protocol,
                    stage=stage,
                    n_tracks=items["track_id"].nunique(),
                )
                return
            for split in found:
                for name in models:
                    unit = Unit(
                        model=name,
                        input=TABULAR,
                        source=table.source,
                        segment_s=segment_s,
                        protocol=protocol,
                        fold=split.fold,
                        seed=split.seed,
                        stage=stage,
                        input_digest=table.digest,
                        split_digest=split_digest(split),
                        recipe=f"{CLASSICAL[name].recipe}.{tuning.RECIPE}",
                        n_trials=self._n_trials if CLASSICAL[name].tuned else 0,
                        importance=name in measured,
                    )
                    self.tasks.append(Task(unit, ClassicalWork(unit, table, split, self._dataset)))


@dataclass(frozen=True)
class ClassicalWork:
    """Tune a classical model inside the training part, train it, predict the test part.

    Choosing sees ``X[train]`` only: the test items are not passed to the search.
    """

    unit: Unit
    table: features.FeatureTable
    split: splits.Split
    dataset: Dataset

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the rows predicted and the record of what was chosen."""
        unit, split, items = self.unit, self.split, self.table.items
        model = CLASSICAL[unit.model]
        genres = self.dataset.genres
        y = pd.Categorical(items["genre"], categories=genres).codes.astype(int)
        X_train, y_train = self.table.X[split.train], y[split.train]
        folds = splits.folds_within(items, split, seed=unit.seed)

        searches = []
        if model.tuned:
            searches = [
                tuning.search(
                    model,
                    X_train,
                    y_train,
                    folds,
                    method=method,
                    n_trials=unit.n_trials,
                    seed=unit.seed,
                )
                for method in tuning.METHODS
            ]
        best = max(searches, key=lambda found: found.score, default=None)
        parameters = best.parameters if best else {}
        estimator = model.estimator(seed=unit.seed, **parameters)
        if not hasattr(estimator, "predict_proba"):
            # Temperature scaling turns decision values into probabilities and keeps their order.
            estimator = CalibratedClassifierCV(
                estimator, method="temperature", cv=folds, ensemble=False
            )
        started = time.process_time()
        estimator.fit(X_train, y_train)
        fit_cpu_s = time.process_time() - started
        probabilities = estimator.predict_proba(self.table.X[split.test])

        record = asdict(unit) | {
            "run_id": unit.run_id,
            "n_train": len(split.train),
            "n_train_tracks": items["track_id"].iloc[split.train].nunique(),
            "n_test": len(split.test),
            "parameters": parameters,
            "method": best.method if best else "none",
            "searches": [found.record() for found in searches],
            "train_accuracy": float(estimator.score(X_train, y_train)),
            "validation_accuracy": best.score
            if best
            else tuning.inner_accuracy(model, {}, X_train, y_train, folds, seed=unit.seed),
            "fit_cpu_s": fit_cpu_s,
            "importance": self._importance(estimator, y) if unit.importance else {},
        }
        rows = prediction_rows(
            unit,
            probabilities,
            items=items.iloc[split.test],
            genres=genres,
            dataset=self.dataset.name,
            n_train=len(split.train),
        )
        return rows, record

    def _importance(self, estimator, y: np.ndarray) -> dict[str, list[float]]:
        test = self.split.test
        drops = permutation_importance(
            estimator, self.table.X[test], y[test], n_repeats=10, random_state=self.unit.seed
        ).importances
        return dict(zip(self.table.names, drops.round(6).tolist(), strict=True))


def prediction_rows(
    unit: Unit,
    probabilities: np.ndarray,
    *,
    items: pd.DataFrame,
    genres: tuple[str, ...],
    dataset: str,
    n_train: int,
) -> pd.DataFrame:
    """Return what a unit predicts as the rows that are stored.

    Parameters
    ----------
    unit : Unit
        What was trained.
    probabilities : np.ndarray [shape=(n_items, n_genres)]
        Each row adds up to 1.
    items : pd.DataFrame
        The test items: ``track_id, genre, segment_start_s``.
    genres : tuple of str
        In the order of the columns of `probabilities`.
    dataset : str
        Name of the data set.
    n_train : int
        Number of items that were trained on.

    Returns
    -------
    pd.DataFrame
        One row an item, as in `StudyResult`.
    """
    setting = ("model", "input", "source", "protocol", "fold", "seed", "stage", "segment_s")
    rows = pd.DataFrame(
        {
            "run_id": unit.run_id,
            "dataset": dataset,
            **{name: getattr(unit, name) for name in setting},
            "segment_start_s": items["segment_start_s"].to_numpy(),
            "n_train": n_train,
            "track_id": items["track_id"].to_numpy(),
            "y_true": items["genre"].to_numpy(),
        }
    )
    # Four decimals say all that the evaluation can use and store in a third of the space.
    rounded = probabilities.round(4).astype(np.float32)
    return rows.join(pd.DataFrame(rounded, columns=[f"p_{genre}" for genre in genres]))


def split_digest(split: splits.Split) -> str:
    """Return a digest of the positions of both parts."""
    return text_digest(*(",".join(map(str, part)) for part in (split.train, split.test)))
