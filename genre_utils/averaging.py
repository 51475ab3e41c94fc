"""Averaged predictions: several systems ("late fusion"), or all seeds of one."""

from dataclasses import replace

import numpy as np
import pandas as pd

from genre_utils import evaluation, experiments, tables
from genre_utils.experiments import StudyResult
from genre_utils.project import text_digest
from genre_utils.tables_deep import JOINED, OVER_SEEDS, protocols_of, rows_of, title


def with_averages(
    result: StudyResult, groups: list[list[str]] | None = None, *, over_seeds: list[str] = ()
) -> StudyResult:
    """Add averaged predictions to a study: several systems, or all seeds of one system.

    Parameters
    ----------
    result : StudyResult
        Stored predictions and runs.
    groups : list of list of str
        Systems whose probabilities are averaged ("late fusion"): item by item, of the
        same protocol, fold and seed. Systems that cut tracks into different lengths are
        averaged track by track.
    over_seeds : list of str
        Systems whose seeds are averaged. Only where all seeds were trained on the same
        tracks, that is under published splits: elsewhere one seed's training part holds
        the test tracks of another.

    Returns
    -------
    StudyResult
        The same study with further rows of stage ``final``. Parameters, megabytes and
        seconds of the parts are added up. Protocols where the parts did not predict the
        same items are noted with their reason.
    """
    rows, runs, impossible = [result.predictions], [result.runs], [result.impossible]
    for names in groups or []:
        name = JOINED.join(names)
        parts = [_final(result, model) for model in names]
        for protocol in protocols_of(*parts):
            under = [part[part["protocol"] == protocol] for part in parts]
            mean, reason = _mean_of_systems(under, names)
            if reason:
                impossible.append(_note(under, name, protocol, reason))
            else:
                rows.append(_named(mean, name))
                runs.append(_runs_of(result, rows[-1], names))
        impossible.append(_never_possible(result, names, name))
    for model in over_seeds:
        part = _final(result, model)
        for protocol in protocols_of(part):
            under = part[part["protocol"] == protocol]
            mean = _mean_of_seeds(under)
            if mean is not None:
                rows.append(_named(mean, model + OVER_SEEDS))
                runs.append(_runs_of(result, rows[-1], [model] * under["seed"].nunique()))
    return replace(
        result,
        predictions=pd.concat(rows, ignore_index=True),
        runs=pd.concat(runs, ignore_index=True),
        impossible=pd.concat([part for part in impossible if len(part)], ignore_index=True)
        if any(map(len, impossible))
        else result.impossible,
    )


def _final(result: StudyResult, model: str) -> pd.DataFrame:
    return rows_of(result.predictions, {"model": model, "stage": "final"})


def _mean_of_systems(
    parts: list[pd.DataFrame], names: list[str]
) -> tuple[pd.DataFrame | None, str | None]:
    for part, name in zip(parts, names, strict=True):
        if part.empty:
            return None, f"{title(name)} has no predictions to average here"
    # A system may have been run at several lengths; where all have one in common, that is it.
    shared = set.intersection(*(set(part["segment_s"]) for part in parts))
    if shared:
        parts = [part[part["segment_s"] == max(shared)] for part in parts]
    seeds = set.intersection(*(set(part["seed"]) for part in parts))
    parts = [part[part["seed"].isin(seeds)] for part in parts]
    keys = ["seed", "fold", "track_id", "segment_start_s"]
    if len({s for part in parts for s in part["segment_s"]}) > 1:
        longest = max(part["segment_s"].max() for part in parts)
        parts = [tables.to_tracks(part).assign(segment_s=longest) for part in parts]
    parts = [part.sort_values(keys, ignore_index=True) for part in parts]
    if not all(part[keys].equals(parts[0][keys]) for part in parts):
        return None, "the systems did not predict the same items"
    columns = evaluation.probability_columns(parts[0])
    mean = np.mean([part[columns].to_numpy(dtype=np.float64) for part in parts], axis=0)
    first = parts[0].copy()
    first[columns] = mean.astype(np.float32)
    for name in ("input", "source"):
        first[name] = JOINED.join(dict.fromkeys(part[name].iloc[0] for part in parts))
    return first, None


def _mean_of_seeds(rows: pd.DataFrame) -> pd.DataFrame | None:
    keys = ["fold", "track_id", "segment_start_s"]
    parts = [part.sort_values(keys, ignore_index=True) for _, part in rows.groupby("seed")]
    same = all(part[keys].equals(parts[0][keys]) for part in parts)
    if len(parts) < 2 or not same:
        return None
    columns = evaluation.probability_columns(rows)
    mean = np.mean([part[columns].to_numpy(dtype=np.float64) for part in parts], axis=0)
    first = parts[0].copy()
    first[columns] = mean.astype(np.float32)
    return first


def _named(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    units = rows["protocol"] + rows["fold"].map(" {}".format) + rows["seed"].map(" {}".format)
    run_ids = {unit: text_digest(name, unit)[:16] for unit in units.unique()}
    return rows.assign(model=name, run_id=units.map(run_ids))


def _runs_of(result: StudyResult, rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return one record a unit of averaged rows; what its parts cost is added up."""
    keep = ["run_id", "model", "input", "source", "segment_s", "protocol", "fold", "seed", "stage"]
    runs = rows[[*keep, "n_train"]].drop_duplicates("run_id").reset_index(drop=True)
    setting = {"protocol": rows["protocol"].iloc[0], "stage": "final"}
    parts = [rows_of(result.runs, setting | {"model": name}) for name in names]
    length = rows["segment_s"].iloc[0]
    parts = [
        part[part["segment_s"] == length] if length in set(part["segment_s"]) else part
        for part in parts
    ]
    for name in ("n_parameters", "weights_mb", "fit_s"):
        runs[name] = sum(part[name].astype(float).mean() for part in parts)
    runs["n_train_tracks"] = parts[0]["n_train_tracks"].mean()
    runs["pretrained"] = JOINED.join(
        sorted({value for part in parts for value in part["pretrained"] if value != "none"})
    )
    runs["pretrained"] = runs["pretrained"].replace("", "none")
    for name in ("train_accuracy", "validation_accuracy", "epochs", "best_epoch"):
        runs[name] = np.nan
    for name in ("history", "heard"):
        runs[name] = [[] for _ in range(len(runs))]
    return runs


def _note(parts: list[pd.DataFrame], name: str, protocol: str, reason: str) -> pd.DataFrame:
    present = pd.concat(parts)
    note = experiments.cannot(
        reason,
        model=name,
        protocol=protocol,
        segment_s=present["segment_s"].max(),
        source=present["source"].iloc[0],
        n_tracks=present["track_id"].nunique(),
    )
    return pd.DataFrame([note])


def _never_possible(result: StudyResult, names: list[str], name: str) -> pd.DataFrame:
    """Return, under the average's name, the protocols where none of its parts can be had."""
    if not len(result.impossible):
        return result.impossible
    done = set(result.predictions.loc[result.predictions["model"].isin(names), "protocol"])
    notes = result.impossible[result.impossible["model"].isin(names)]
    notes = notes[~notes["protocol"].isin(done)]
    return notes.drop_duplicates("protocol").assign(model=name)
