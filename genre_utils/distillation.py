"""Teach one network what an ensemble knows: distillation [1]_.

The ensemble says of each training track how probable every genre is, by models that had not
heard the track (the joined ``inner`` rows of a headline). The network learns the mean of
that and of the label, and answers alone afterwards, at a fraction of the ensemble's cost.

References
----------
.. [1] Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network",
   arXiv:1503.02531, 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from genre_utils import deep, experiments, inputs, project, splits, stacking, systems
from genre_utils.datasets import Dataset
from genre_utils.evaluation import probability_columns
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.project import Outputs, ProjectError
from genre_utils.systems import System

DISTILLED = " (distilled)"
"""What is put behind the name of a network that learnt from an ensemble."""

SHARE = 0.5
"""How much of a target is the ensemble's answer; the rest is the label."""


def run_distilled(
    dataset: Dataset,
    headlines: StudyResult,
    *,
    teacher: str,
    system: str,
    seeds: Sequence[int],
    study: str,
    outputs: Outputs,
    epochs: int | None = None,
    elsewhere: Dataset | None = None,
) -> StudyResult:
    """Train a network on the fault-filtered training part with an ensemble as its teacher.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    headlines : StudyResult
        Of `stacking.run_headlines`.
    teacher : str
        Name of the headline that teaches.
    system : str
        The network: a name in `systems.SYSTEMS`.
    seeds : sequence of int
        One training run each.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    epochs : int, optional
        Instead of the system's own budget.
    elsewhere : Dataset, optional
        Other music that the network predicts, too: rows of stage ``elsewhere``.

    Returns
    -------
    StudyResult
        As `deep.run_networks` returns it, of stage ``final``, under the system's name
        with `DISTILLED` behind it.

    Raises
    ------
    ProjectError
        If the system is unknown, if the teacher has said nothing about the training part,
        or if there is nothing to learn from.
    """
    student = systems.named([system])[0]
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    said = taught(headlines, teacher)
    data = inputs.load(dataset, student.input, segment_s=student.segment_s)
    split = splits.make_splits(data.items, stacking.PROTOCOL)[0]
    soft = said.reindex(data.items["track_id"]).to_numpy(np.float32)
    if np.isnan(soft[split.train]).all():
        raise ProjectError(f"{teacher} says nothing about the training part of {dataset.title}")
    also = inputs.like_or_none(elsewhere, data)
    tasks = []
    for seed in seeds:
        recipe = replace(student.recipe, epochs=epochs or student.recipe.epochs, seed=seed)
        unit = Unit(
            model=student.name + DISTILLED,
            input=data.name,
            source=data.source,
            segment_s=student.segment_s,
            protocol=stacking.PROTOCOL,
            fold=split.fold,
            seed=seed,
            stage="final",
            input_digest=project.text_digest(data.digest, soft[split.train].tobytes().hex()),
            split_digest=experiments.split_digest(split),
            recipe=student.digest(recipe=recipe, pretrained=False)
            + (f"+{also.digest[:8]}" if also else ""),
        )
        work = DistilledWork(
            unit=unit,
            recipe=recipe,
            pretrained=False,
            data=data,
            also=also,
            split=split,
            genres=dataset.genres,
            dataset=dataset.name,
            checkpoint=store.folder / f"{unit.run_id}.checkpoint",
            listens=False,
            student=student.name,
            soft=soft,
        )
        tasks.append(Task(unit, work))
    return store.run(tasks, impossible=pd.DataFrame(), desc="distillation")


def taught(headlines: StudyResult, teacher: str) -> pd.DataFrame:
    """Return what a headline says about each training track, by models that had not heard it.

    Returns
    -------
    pd.DataFrame
        One row a track, indexed by ``track_id``: one column a genre.

    Raises
    ------
    ProjectError
        If the headline has no ``inner`` rows.
    """
    rows = headlines.predictions
    rows = rows[(rows["model"] == teacher) & (rows["stage"] == "inner")]
    if rows.empty:
        raise ProjectError(
            f"{teacher!r} has no predictions of the training part; expected one of "
            f"{', '.join(sorted(set(headlines.predictions['model'])))}"
        )
    return stacking.by_track(rows)[probability_columns(rows)]


@dataclass(frozen=True)
class DistilledWork(deep.NetworkWork):
    """Train a network on the mean of labels and of what an ensemble says.

    Attributes
    ----------
    student : str
        Name of the network in `systems.SYSTEMS`.
    soft : np.ndarray [shape=(n_items, n_genres), dtype=float32]
        What the ensemble says; NaN where it says nothing, as of every track that is not
        in the training part.
    """

    student: str
    soft: np.ndarray

    @property
    def _system(self) -> System:
        return systems.SYSTEMS[self.student]

    @property
    def _targets(self) -> np.ndarray:
        hard = np.eye(len(self.genres), dtype=np.float32)[self._y]
        # Only the training part is taught; the validation part keeps its labels.
        known = np.isfinite(self.soft).all(axis=1)
        mixed = SHARE * self.soft + (1 - SHARE) * hard
        return np.where(known[:, None], mixed, hard).astype(np.float32)
