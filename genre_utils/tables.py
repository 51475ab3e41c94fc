"""The study's tables, made from stored predictions and run records."""

import json

import numpy as np
import pandas as pd

from genre_utils import evaluation, splits
from genre_utils.datasets import Dataset
from genre_utils.experiments import StudyResult
from genre_utils.models.classical import CLASSICAL, Range, named
from genre_utils.results import interval

_SETTING = ["segment_s", "source", "protocol", "model"]
_MEASURES = [
    "n_train_tracks", "train_accuracy", "validation_accuracy", "fit_cpu_s", "unit", "n_items",
    "n_tracks", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low",
    "macro_f1_high", "accuracy_artist_low", "accuracy_artist_high", "n_artists",
]  # fmt: skip


def _titles(names: pd.Series) -> pd.Series:
    return names.map(lambda name: CLASSICAL[name].title)


def accuracy(result: StudyResult, dataset: Dataset, *, n_boot: int, stage: str) -> pd.DataFrame:
    """Return accuracy and macro F1 with 95 % intervals for every setting of a study.

    Parameters
    ----------
    result : StudyResult
        Stored predictions and runs.
    dataset : Dataset
        Says which artist each track is by.
    n_boot : int
        Bootstrap replicates.
    stage : str
        ``final`` or ``fair``.

    Returns
    -------
    pd.DataFrame
        One row a model × segment length × protocol × scored unit (``segment``, or
        ``track``: the segments' probabilities added up), with the number of tracks, what
        the training and validation accuracies were, and intervals by bootstrap over
        tracks and over artists. What the data cannot answer is a row with its ``reason``.
    """
    artists = dataset.artists
    rows = result.predictions[result.predictions["stage"] == stage]
    runs = result.runs[result.runs["stage"] == stage]
    table = []
    for setting, group in rows.groupby(_SETTING, sort=False):
        same = runs[(runs[_SETTING] == list(setting)).all(axis=1)]
        shared = dict(zip(_SETTING, setting, strict=True)) | {
            "n_train_tracks": round(same["n_train_tracks"].mean()),
            "train_accuracy": same["train_accuracy"].mean(),
            "validation_accuracy": same["validation_accuracy"].mean(),
            "fit_cpu_s": same["fit_cpu_s"].mean(),
        }
        for unit, scored in (("segment", group), ("track", to_tracks(group))):
            summary = evaluation.summary(scored, artists=artists, n_boot=n_boot)
            table.append(shared | {"unit": unit} | summary)
    # Named, so that a ladder that this data cannot have is an empty table, not an error.
    frame = pd.DataFrame(table, columns=[*_SETTING, *_MEASURES])
    frame.insert(1, "title", _titles(frame["model"]))
    impossible = result.impossible
    if len(impossible):
        impossible = impossible[impossible["stage"] == stage].drop(columns="stage")
        frame = pd.concat([frame, impossible], ignore_index=True)
    else:
        frame["reason"] = None
    return _in_order(frame)


def to_tracks(rows: pd.DataFrame) -> pd.DataFrame:
    """Add up the probabilities of each track's segments, whichever fold predicted them.

    Under ``segment_random`` a track's segments are spread over the folds; all of them
    vote together, so that every protocol gives one answer a track (and seed).
    """
    runs = rows["model"] + rows["seed"].map(" seed {}".format)
    return evaluation.to_tracks(rows.assign(run_id=runs, fold=0))


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    protocol = frame["protocol"].map(splits.PROTOCOLS.index)
    model = frame["model"].map(list(CLASSICAL).index, na_action="ignore")
    order = pd.DataFrame(
        {"s": -frame["segment_s"], "p": protocol, "m": model, "u": frame.get("unit")}
    )
    return frame.loc[order.sort_values(["s", "p", "m", "u"]).index].reset_index(drop=True)


def models(names: list[str]) -> pd.DataFrame:
    """Return what each model is and what is tuned about it, for readers."""
    return pd.DataFrame(
        [
            {
                "model": model.name,
                "name": model.title,
                "grid": ", ".join(f"{k}: {_listed(v)}" for k, v in model.grid.items()) or "–",
                "Bayesian search": ", ".join(f"{k}: {_listed(v)}" for k, v in model.space.items())
                or "–",
            }
            for model in named(names)
        ]
    )


def _listed(values: Range | tuple) -> str:
    if isinstance(values, Range):
        return f"{values.low:g} … {values.high:g}"
    if len(values) > 8:
        return f"{values[0]}, {values[1]} … {values[-1]}"
    return " / ".join(map(str, values))


def cpu_minutes(result: StudyResult) -> float:
    """Return the processor time of all stored searches and trainings, in minutes."""
    searched = sum(found["cpu_s"] for run in result.runs["searches"] for found in run)
    return (searched + result.runs["fit_cpu_s"].sum()) / 60


def ladder(accuracy_table: pd.DataFrame, *, models: list[str], segment_s: float) -> pd.DataFrame:
    """Return the rungs of the leakage ladder: some models, scored per segment.

    Parameters
    ----------
    accuracy_table : pd.DataFrame
        As returned by `accuracy`.
    models : list of str
        Which models.
    segment_s : float
        At which segment length, in seconds.
    """
    chosen = accuracy_table[
        accuracy_table["model"].isin(models)
        & (accuracy_table["segment_s"] == segment_s)
        & (accuracy_table["unit"] == "segment")
    ]
    columns = [
        "title", "model", "segment_s", "source", "protocol", "n_train_tracks", "n_tracks",
        "n_items", "accuracy", "accuracy_low", "accuracy_high", "accuracy_artist_low",
        "accuracy_artist_high", "macro_f1", "macro_f1_low", "macro_f1_high",
    ]  # fmt: skip
    return chosen[columns].reset_index(drop=True)


def wide(accuracy_table: pd.DataFrame, *, unit: str, value: str = "accuracy") -> pd.DataFrame:
    """Return a table to read: one row a segment length and model, one column a protocol.

    Parameters
    ----------
    accuracy_table : pd.DataFrame
        As returned by `accuracy` or `ladder`.
    unit : {'segment', 'track'}
        What was scored.
    value : {'accuracy', 'macro_f1'}
        What stands in the cells, with its interval.
    """
    rows = accuracy_table
    if "unit" in rows:
        rows = rows[rows["unit"] == unit]
    if rows.empty:
        return pd.DataFrame(columns=["nothing that this data can answer"])
    cells = rows.assign(cell=[interval(row, value) for _, row in rows.iterrows()])
    cells["rests_on"] = _rests_on(rows)
    table = cells.pivot(index=["segment_s", "rests_on", "title"], columns="protocol", values="cell")
    order = cells[["segment_s", "rests_on", "title"]].drop_duplicates()
    protocols = [protocol for protocol in splits.PROTOCOLS if protocol in table]
    return table.loc[pd.MultiIndex.from_frame(order), protocols].fillna("–")


def _rests_on(rows: pd.DataFrame) -> pd.Series:
    """Return, for each row, the source and the test tracks of its protocols in their order."""
    counts = rows.groupby(["segment_s", "source", "protocol"])["n_tracks"].max().astype(int)
    texts = {}
    for key, of_key in counts.groupby(level=["segment_s", "source"]):
        of_key = of_key.droplevel([0, 1])
        numbers = [str(of_key[p]) for p in splits.PROTOCOLS if p in of_key.index]
        texts[key] = f"{key[1]}; test tracks: {', '.join(numbers)}"
    return pd.Series(
        [texts[key] for key in zip(rows["segment_s"], rows["source"], strict=True)], rows.index
    )


def reasons(accuracy_table: pd.DataFrame) -> pd.DataFrame:
    """Return what could not be answered, and why."""
    rows = accuracy_table[accuracy_table["reason"].notna()]
    return rows[["segment_s", "source", "protocol", "n_tracks", "reason"]].reset_index(drop=True)


def three_parts(accuracy_table: pd.DataFrame, *, segment_s: float) -> pd.DataFrame:
    """Return training, validation and test accuracy side by side, scored per segment."""
    rows = accuracy_table[
        (accuracy_table["segment_s"] == segment_s) & (accuracy_table["unit"] == "segment")
    ]
    rows = rows.rename(
        columns={"train_accuracy": "train", "validation_accuracy": "validation"}
    ).assign(test=rows["accuracy"])
    table = rows.pivot(index="title", columns="protocol", values=["train", "validation", "test"])
    table = table.swaplevel(axis=1)
    order = [
        (protocol, part)
        for protocol in splits.PROTOCOLS
        if protocol in set(rows["protocol"])
        for part in ("train", "validation", "test")
    ]
    return table.loc[list(dict.fromkeys(rows["title"])), order].round(2)


def search_summary(search_table: pd.DataFrame) -> pd.DataFrame:
    """Return, one row a model: mean scores, wins and processor minutes of both searches."""
    if search_table.empty:
        return search_table
    groups = search_table.groupby("title", sort=False)
    table = groups.agg(
        grid_score=("grid_score", "mean"), bayes_score=("bayes_score", "mean"),
        grid_won=("grid_won", "sum"), bayes_won=("bayes_won", "sum"),
        settings_each=("n_trials", "max"),
        grid_cpu_min=("grid_cpu_s", "sum"), bayes_cpu_min=("bayes_cpu_s", "sum"),
    )  # fmt: skip
    table[["grid_cpu_min", "bayes_cpu_min"]] /= 60
    return table.round(3)


def searches(result: StudyResult) -> pd.DataFrame:
    """Return what each search found and cost, one row a model × segment length × protocol.

    Returns
    -------
    pd.DataFrame
        For ``grid`` and ``bayes``: mean score on the inner folds in [0, 1], settings
        tried, processor seconds (all folds together); and how often each one won.
    """
    rows = []
    for _, run in result.runs[result.runs["stage"] == "final"].iterrows():
        for found in run["searches"]:
            setting = {name: run[name] for name in (*_SETTING, "fold")}
            rows.append(setting | found | {"won": run["method"] == found["method"]})
    if not rows:
        return pd.DataFrame(columns=[*_SETTING, "title"])
    frame = pd.DataFrame(rows).groupby([*_SETTING, "method"], sort=False, as_index=False)
    frame = frame.agg(
        score=("score", "mean"), n_trials=("n_trials", "first"), cpu_s=("cpu_s", "sum"),
        won=("won", "sum"), n_folds=("fold", "nunique"),
    )  # fmt: skip
    wide = frame.pivot(index=[*_SETTING, "n_trials", "n_folds"], columns="method")
    wide.columns = [f"{method}_{value}" for value, method in wide.columns]
    wide = wide[[c for c in sorted(wide.columns) if c not in ("bayes_fold", "grid_fold")]]
    wide = wide.reset_index()
    wide.insert(1, "title", _titles(wide["model"]))
    return _in_order(wide)


def chosen_parameters(result: StudyResult) -> pd.DataFrame:
    """Return every run's choice: hyperparameters, the search that won, accuracies, seconds."""
    runs = result.runs.copy()
    runs["parameters"] = [json.dumps(value, sort_keys=True) for value in runs["parameters"]]
    keep = [
        "run_id", "model", "input", "source", "segment_s", "protocol", "stage", "fold", "seed",
        "n_train", "n_train_tracks", "n_test", "method", "parameters", "train_accuracy",
        "validation_accuracy", "fit_cpu_s", "recipe", "input_digest",
    ]  # fmt: skip
    return runs[keep]


def strictest(result: StudyResult) -> str:
    """Return the strictest protocol that a study could answer."""
    done = set(result.predictions.loc[result.predictions["stage"] == "final", "protocol"])
    return [protocol for protocol in splits.PROTOCOLS if protocol in done][-1]


def best_by_validation(result: StudyResult, *, protocol: str) -> pd.Series:
    """Return the run that did best on its own inner folds, never looking at a test part.

    Parameters
    ----------
    result : StudyResult
        Stored runs.
    protocol : str
        Of which protocol.

    Returns
    -------
    pd.Series
        ``model, source, segment_s, validation_accuracy`` (mean over folds).
    """
    runs = result.runs[(result.runs["stage"] == "final") & (result.runs["protocol"] == protocol)]
    means = runs.groupby(["model", "source", "segment_s"], sort=False)["validation_accuracy"]
    return means.mean().reset_index().sort_values("validation_accuracy").iloc[-1]


def predictions_of(result: StudyResult, **setting) -> pd.DataFrame:
    """Return the ``final`` prediction rows of one setting, e.g. ``model="svm"``."""
    rows = result.predictions[result.predictions["stage"] == "final"]
    for name, value in setting.items():
        rows = rows[rows[name] == value]
    return rows


def importance(result: StudyResult) -> pd.DataFrame:
    """Return how much test accuracy is lost when a feature is shuffled.

    Returns
    -------
    pd.DataFrame
        ``title, model, segment_s, protocol, n_test, feature, drop, drop_low, drop_high``:
        mean over repetitions and folds, with the 10th and 90th percentile; ``n_test`` test
        items of all folds.
    """
    setting = ["model", "segment_s", "protocol"]
    runs = result.runs[result.runs["importance"].map(len) > 0]
    runs = runs.assign(n_test=runs.groupby(setting)["n_test"].transform("sum"))
    rows = [
        {name: run[name] for name in (*setting, "n_test")} | {"feature": feature, "drop": drop}
        for _, run in runs.iterrows()
        for feature, drops in run["importance"].items()
        for drop in drops
    ]
    if not rows:
        return pd.DataFrame(columns=["title", "feature", "drop", "drop_low", "drop_high"])
    groups = pd.DataFrame(rows).groupby(
        [*setting, "n_test", "feature"], sort=False, as_index=False
    )["drop"]
    frame = groups.agg(
        drop_low=lambda drops: np.percentile(drops, 10),
        drop_high=lambda drops: np.percentile(drops, 90),
        mean="mean",
    ).rename(columns={"mean": "drop"})
    frame.insert(0, "title", _titles(frame["model"]))
    return frame


def against_baseline(
    result: StudyResult, *, protocol: str, baseline: str, segment_s: float, n_boot: int
) -> pd.DataFrame:
    """Compare every model with a baseline on the same test tracks.

    Parameters
    ----------
    result : StudyResult
        Stored predictions.
    protocol : str
        Of which protocol.
    baseline : str
        Name of the model to compare with.
    segment_s : float
        Segment length in seconds; segments are added up to tracks.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a model: difference in accuracy with its 95 % interval (bootstrap over
        tracks) and the exact McNemar p-value. The p-values are not corrected for the
        number of comparisons.
    """
    rows = predictions_of(result, protocol=protocol, segment_s=segment_s)
    rows = pd.concat(to_tracks(group) for _, group in rows.groupby("model", sort=False))
    reference = rows[rows["model"] == baseline]
    table = []
    for name, group in rows.groupby("model", sort=False):
        if name != baseline:
            compared = evaluation.paired(group, reference, n_boot=n_boot)
            table.append({"title": CLASSICAL[name].title, "baseline": baseline} | compared)
    return pd.DataFrame(table)


def leaderboard(accuracy_table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model and protocol, at the segment length that validation chose.

    Parameters
    ----------
    accuracy_table : pd.DataFrame
        As returned by `accuracy`. Only settings on the largest number of tracks take
        part: numbers that rest on different tracks cannot be ranked together.

    Returns
    -------
    pd.DataFrame
        The track-level rows of `accuracy_table`, best model of the strictest protocol
        first; the segment length is the one with the best validation accuracy under
        that protocol.
    """
    rows = accuracy_table[accuracy_table["unit"] == "track"]
    strict = max(rows["protocol"].unique(), key=splits.PROTOCOLS.index)
    of_strict = rows[rows["protocol"] == strict]
    of_strict = of_strict[of_strict["n_tracks"] == of_strict["n_tracks"].max()]
    chosen = of_strict.loc[of_strict.groupby("model")["validation_accuracy"].idxmax()]
    chosen = chosen.sort_values("accuracy", ascending=False)
    picked = [
        rows[
            (rows["model"] == row["model"])
            & (rows["segment_s"] == row["segment_s"])
            & (rows["source"] == row["source"])
        ]
        for _, row in chosen.iterrows()
    ]
    columns = [c for c in accuracy_table.columns if c not in ("reason", "unit")]
    return pd.concat(picked, ignore_index=True)[columns]


def leaderboard_to_read(board: pd.DataFrame) -> pd.DataFrame:
    """Return the leaderboard with one column a protocol, accuracy with its interval."""
    cells = board.assign(cell=[interval(row) for _, row in board.iterrows()])
    table = cells.pivot(index="title", columns="protocol", values="cell").fillna("–")
    protocols = [protocol for protocol in splits.PROTOCOLS if protocol in table]
    strict = board[board["protocol"] == protocols[-1]].set_index("title")
    tested = board.groupby("protocol")["n_tracks"].max().astype(int)
    table = table.loc[list(dict.fromkeys(board["title"])), protocols]
    table.insert(0, "segment", [f"{s:g} s" for s in strict.loc[table.index, "segment_s"]])
    table[f"macro F1, {protocols[-1]}"] = [
        interval(row, "macro_f1") for _, row in strict.loc[table.index].iterrows()
    ]
    table = table.rename(columns={p: f"{p} ({tested[p]} tracks)" for p in protocols})
    return table.rename_axis(columns=None).rename_axis("model").reset_index()


def ladder_to_read(plain: pd.DataFrame, fair: pd.DataFrame) -> pd.DataFrame:
    """Return both ladders in one table, one row a model and version."""
    versions = []
    for name, rows in (("as the field splits", plain), ("same test items, same size", fair)):
        if rows.empty:
            continue
        cells = rows.assign(cell=[interval(row) for _, row in rows.iterrows()])
        table = cells.pivot(index="title", columns="protocol", values="cell").fillna("–")
        table.insert(0, "version", name)
        versions.append(table)
    table = pd.concat(versions)
    protocols = [protocol for protocol in splits.PROTOCOLS if protocol in table]
    return table[["version", *protocols]].fillna("–").rename_axis("model").reset_index()


def uses_summary(uses: pd.DataFrame) -> pd.DataFrame:
    """Return how often test parts were evaluated, by study, stage and protocol."""
    groups = uses.groupby(["study", "stage", "protocol"], as_index=False)
    table = groups.agg(runs=("run_id", "nunique"), evaluations=("times", "sum"))
    order = table["protocol"].map(splits.PROTOCOLS.index)
    return table.assign(o=order).sort_values(["study", "stage", "o"]).drop(columns="o")
