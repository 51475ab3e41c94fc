"""Where every number comes from: all training runs, and the executions of the notebooks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import evaluation, lineage, tables_deep
from genre_utils.project import Outputs, ProjectError

_SECONDS = ("fit_s", "fit_cpu_s", "seconds")
_KEPT = [
    "study", "model", "input", "source", "pretrained", "segment_s", "protocol", "stage", "fold",
    "seed", "data", "parts", "tuning", "n_train_tracks", "n_train", "n_test", "train_accuracy",
    "validation_accuracy", "test_accuracy", "test_uses", "seconds", "epochs", "parameters",
    "recipe", "run_id", "input_digest", "split_digest",
]  # fmt: skip


def runs(outputs: Outputs) -> pd.DataFrame:
    """Return one row for each stored training run of a study.

    Rows with the same letter and number in ``data`` saw the same tracks in the same
    representation; in ``parts``, they trained and tested on the very same items; in
    ``tuning``, they are the same model with the same budget and the same search.

    Parameters
    ----------
    outputs : Outputs
        Whose predictions are read.

    Returns
    -------
    pd.DataFrame
        What each run was, its accuracies [range=(0, 1)], how often its test part was
        evaluated, the seconds that its training took, and its digests. A value that a study
        does not record is missing.

    Raises
    ------
    ProjectError
        If the records of a study cannot be read.
    """
    parts = [_of_study(path) for path in sorted((outputs.results / "predictions").glob("*.json"))]
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=_KEPT)
    table = pd.concat(parts, ignore_index=True)
    table = table.reindex(columns=table.columns.union(_KEPT, sort=False))
    uses = _test_uses(outputs)
    counted = [uses.get(key, 0) for key in zip(table["study"], table["run_id"], strict=True)]
    return table.assign(
        test_uses=counted,
        data=_shared(table, "D", ["input_digest"]),
        parts=_shared(table, "P", ["input_digest", "split_digest"]),
        tuning=_shared(table, "T", ["recipe", "model", "input", "segment_s", "n_trials"]),
    )[_KEPT]


def _of_study(path: Path) -> pd.DataFrame:
    try:
        records = lineage.records(path)
    except json.JSONDecodeError as error:
        raise ProjectError(f"{path.name} is not readable as JSON ({error})") from error
    table = pd.DataFrame(records)
    if table.empty:
        return table
    table = table.assign(study=path.stem, seconds=[_seconds(record) for record in records])
    if "valid_accuracy" in table:  # a study of settings on the validation part alone
        table = table.rename(columns={"valid_accuracy": "validation_accuracy", "key": "run_id"})
    rows = path.with_suffix(".parquet")
    if not rows.is_file():
        return table
    return table.merge(_accuracies(rows), on=["run_id", "stage"], how="left")


def _seconds(record: dict) -> float | None:
    """Return what a run's training took, with the searches for its settings."""
    fitted = next((record[name] for name in _SECONDS if name in record), None)
    searched = sum(found["cpu_s"] for found in record.get("searches", []))
    return None if fitted is None else fitted + searched


def _accuracies(path: Path) -> pd.DataFrame:
    """Return the share of items that each run names right."""
    rows = pd.read_parquet(path)
    columns = evaluation.probability_columns(rows)
    # Not `evaluation.labels`: a study may leave out a genre that its other music lacks.
    genres = np.array([name.removeprefix("p_") for name in columns])
    named = genres[rows[columns].fillna(-1).to_numpy().argmax(axis=1)]
    right = named == rows["y_true"].to_numpy(dtype=str)
    rows = rows[["run_id", "stage"]].assign(test_accuracy=right)
    return rows.groupby(["run_id", "stage"], as_index=False)["test_accuracy"].mean()


def _test_uses(outputs: Outputs) -> dict[tuple[str, str], int]:
    path = outputs.results / "test_uses.csv"
    if not path.is_file():
        return {}
    uses = pd.read_csv(path, dtype={"run_id": str})
    return {(row.study, row.run_id): int(row.times) for row in uses.itertuples()}


def _shared(table: pd.DataFrame, letter: str, columns: list[str]) -> pd.Series:
    """Return a short name for each distinct set of values, in order of appearance."""
    keys = table.reindex(columns=columns)
    numbers = keys.groupby(columns, sort=False, dropna=False).ngroup() + 1
    return (letter + numbers.astype(str)).where(keys[columns[0]].notna())


def summary(rows: pd.DataFrame) -> str:
    """Return in a line how many runs a study has, and what they took."""
    taken, uses = rows["seconds"].sum(), rows["test_uses"].sum()
    return (
        f"{len(rows):,} runs, {tables_deep.duration(taken)} of searching and training, "
        f"{uses:,} uses of a test part"
    )


def to_read(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a study's runs for readers: shorter names and digests, no empty columns."""
    shown = pd.DataFrame(
        {
            "model": rows["model"],
            "input": rows["input"],
            "item": rows["segment_s"].map("{:g} s".format, na_action="ignore"),
            "protocol": rows["protocol"],
            "stage": rows["stage"],
            "fold": rows["fold"].astype("Int64"),
            "seed": rows["seed"].astype("Int64"),
            "in training": rows["train_accuracy"].map("{:.3f}".format, na_action="ignore"),
            "in validation": rows["validation_accuracy"].map("{:.3f}".format, na_action="ignore"),
            "in test": rows["test_accuracy"].map("{:.3f}".format, na_action="ignore"),
            "uses": rows["test_uses"],
            "data": rows["data"],
            "parts": rows["parts"],
            "tuning": rows["tuning"],
            "seconds": rows["seconds"].map("{:.1f}".format, na_action="ignore"),
            "train tracks": rows["n_train_tracks"].astype("Int64"),
            "test items": rows["n_test"].astype("Int64"),
            "source": rows["source"],
            "pretrained": rows["pretrained"],
            "epochs": rows["epochs"].astype("Int64"),
            "chosen": rows["parameters"].map(_settings, na_action="ignore"),
            "run": rows["run_id"].str[:8],
            "input digest": rows["input_digest"].str[:8],
            "split digest": rows["split_digest"].str[:8],
            "recipe": rows["recipe"],
        }
    )
    return shown.dropna(axis="columns", how="all")


def _settings(chosen: dict) -> str:
    return ", ".join(f"{name} = {_value(value)}" for name, value in chosen.items())


def _value(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def impossible(outputs: Outputs) -> pd.DataFrame:
    """Return what the studies could not run on this data, each with its reason."""
    parts = []
    for path in sorted((outputs.results / "predictions").glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(stored, dict) and stored.get("impossible"):
            parts.append(pd.DataFrame(stored["impossible"]).assign(study=path.stem))
    if not parts:
        return pd.DataFrame()
    columns = ["study", "model", "segment_s", "source", "protocol", "stage", "n_tracks", "reason"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def records(outputs: Outputs) -> list[dict]:
    """Return the provenance records of a study's notebooks, in order."""
    folder = outputs.results / "provenance"
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def executions(found: list[dict]) -> pd.DataFrame:
    """Return when, by what and from what each notebook was executed.

    Parameters
    ----------
    found : list of dict
        As `records` returns them.
    """
    return pd.DataFrame(
        [
            {
                "notebook": record["notebook"],
                "seconds": record["duration_s"],
                "from": "stored predictions" if record["from_predictions"] else "data",
                "genre_utils": record["genre_utils"],
                "Python": f"{record['python']}, {record['system']}",
                **{name: short(digest) for name, digest in record["inputs"].items()},
            }
            for record in found
        ]
    )


def versions(found: list[dict]) -> pd.DataFrame:
    """Return the versions of the libraries, one column for each set of them.

    Parameters
    ----------
    found : list of dict
        As `records` returns them.
    """
    sets: dict[str, list[str]] = {}
    for record in found:
        sets.setdefault(json.dumps(record["versions"]), []).append(record["notebook"][:2])
    return pd.DataFrame(
        {", ".join(numbers): json.loads(versions) for versions, numbers in sets.items()}
    ).rename_axis("library").reset_index()  # fmt: skip


def short(digest: str | None) -> str:
    """Return the beginning of a digest; a dash where there is none."""
    if digest is None:
        return "–"
    return digest[:10] if len(digest) == 64 else digest
