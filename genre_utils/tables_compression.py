"""Tables of the notebook on compression, made from stored predictions and measurements."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from genre_utils import evaluation, stacking, tables, tables_deep, tables_transfer
from genre_utils.compression_steps import OnnxInt8
from genre_utils.compression_variants import Variant
from genre_utils.datasets import Dataset
from genre_utils.experiments import TABULAR, Store, StudyResult
from genre_utils.measuring import BUNDLE, Measured
from genre_utils.project import Outputs
from genre_utils.results import interval, markdown_table, signed
from genre_utils.words import count_of

PROTOCOL = "fault_filtered"
"""Under which the variants are compared."""

ENSEMBLE = "ensemble"
"""How the teacher is called that is several networks without pretraining."""

RUNNABLE = ("onnx", "pte")
"""Formats of a file that a runtime takes as it is; others are unpacked first."""

_SUMMARY = [
    "n_tracks", "accuracy", "accuracy_low", "accuracy_high", "accuracy_artist_low",
    "accuracy_artist_high", "macro_f1", "macro_f1_low", "macro_f1_high",
]  # fmt: skip


@dataclass(frozen=True)
class Device:
    """Where a network shall run.

    Attributes
    ----------
    name : str
        For readers.
    runtime : str
        What runs it there.
    largest : int or None
        Most bytes of its file, which is an assumption of ours; None for any size.
    why : str
        Why we assume this limit.
    """

    name: str
    runtime: str
    largest: int | None
    why: str


DEVICES = (
    Device(
        "server or laptop", "onnxruntime", None, "room for anything: the best single network here"
    ),
    Device("phone app", "ExecuTorch", 2**20, "an app may gain that much unnoticed"),
    Device("web page, small board", "onnxruntime", 2**18, "loads at once on a slow line"),
    Device("watch, microcontroller", "ExecuTorch", 2**16, "fits beside a program"),
)
"""What the answer names a network for."""

ASSUMED = "The size limits are our assumptions; they come from no source."
"""What is said of the limits in `DEVICES`."""

PUBLISHED = pd.DataFrame(
    [
        ("ResNet18, quantised", 3.93, 0.7374, 0.7273, 0.1488, 0.1479, "another split"),
        (
            "MLP on music features, pruned",
            5.49,
            0.9274,
            0.9274,
            None,
            None,
            "70/20/10, segments on all sides",
        ),
    ],
    columns=["system", "smaller", "before", "after", "seconds_before", "seconds_after", "split"],
)
"""What has been reported of smaller networks on GTZAN."""


def described(variants: Mapping, runs: pd.DataFrame) -> pd.DataFrame:
    """Return what each finished variant is, for readers.

    Parameters
    ----------
    variants : mapping of str to Variant
        `compression.VARIANTS`.
    runs : pd.DataFrame
        Of `compression.run`.
    """
    return pd.DataFrame(
        [
            {
                "variant": variants[name].title,
                "made of, or taught by": title(
                    variants, variants[name].parent or variants[name].origin
                ),
                "steps": _listed(variants[name].steps) or "trained as it is",
                "purpose": variants[name].purpose,
            }
            for name in dict.fromkeys(runs["model"])
        ]
    )


def title(variants: Mapping, name: str | None) -> str:
    """Return the name for readers of a variant or of a teacher that is none."""
    if not isinstance(name, str) or not name:
        return "–"
    if name == ENSEMBLE:
        return "the ensemble without pretraining"
    return variants[name].title if name in variants else tables_deep.title(name)


def _origin(variants: Mapping, name: str) -> str | None:
    origin = variants[name].origin if name in variants else None
    return title(variants, origin) if origin else None


def ensemble(outputs: Outputs) -> dict[str, pd.DataFrame]:
    """Return the test predictions of the ensemble without pretraining, if they are stored.

    Parameters
    ----------
    outputs : Outputs
        Where the study of headlines stored them.

    Returns
    -------
    dict of str to pd.DataFrame
        ``ensemble`` → rows, one a track; empty where nothing is stored.
    """
    stored = Store("07_headlines", outputs).load_or_none()
    if stored is None:
        return {}
    rows = stored.predictions
    rows = rows[rows["model"].eq(stacking.SCRATCH) & rows["stage"].eq("final")]
    return {ENSEMBLE: rows} if len(rows) else {}


def reference_seeds(result: StudyResult, outputs: Outputs, *, reference: str) -> pd.DataFrame:
    """Return how far seeds of the reference lie apart, from the study that trained several.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    outputs : Outputs
        Where notebook 04 stored its predictions.
    reference : str
        The variant that others are compared with.

    Returns
    -------
    pd.DataFrame
        As `tables_transfer.seeds`, with the reference's accuracy ``here``; no rows where
        either study has nothing of this network.
    """
    stored = Store("04_multimodal", outputs).load_or_none()
    runs = _strict(result)
    runs = runs[runs["model"].eq(reference)]
    if stored is None or runs.empty:
        return pd.DataFrame()
    rows = stored.predictions
    found = tables_transfer.seeds(replace(stored, predictions=rows[rows["model"].eq(reference)]))
    ours = _tracks(result, runs["run_id"].iloc[0])
    return found.assign(here=(evaluation.labels(ours) == ours["y_true"].to_numpy()).mean())


def _listed(steps) -> str:
    return steps if isinstance(steps, str) else ", ".join(steps)


# ---- times


def latencies(measured: Measured, *, reference: str) -> pd.DataFrame:
    """Return times to answer with their spread over the rounds.

    On one thread a time is that of the processor, which other work on the machine does not
    lengthen; on several it is the time that passed.

    Parameters
    ----------
    measured : Measured
        Of `measuring.measured`.
    reference : str
        Model whose time in eager PyTorch the others are compared with.

    Returns
    -------
    pd.DataFrame
        One row a model × runtime × threads: ``ms, ms_low, ms_high`` of the network alone and
        ``label_ms, label_ms_low, label_ms_high`` from sound to label (medians and quartiles
        of the rounds), ``faster, faster_low, faster_high`` (the reference's time by this one's
        in the same round, on as many threads), ``load_ms, network_mb`` (what the process needs
        beyond its runtime), ``runtime_mb, peak_mb, same_labels, largest_difference``.
    """
    rows = measured.rows[measured.rows["reason"].isna() & measured.rows["threads"].notna()]
    references = {
        row["threads"]: _rounds(row, "network")
        for _, row in rows[(rows["model"] == reference) & (rows["runtime"] == "PyTorch")].iterrows()
    }
    table = []
    for _, row in rows.iterrows():
        network, label = _rounds(row, "network"), _rounds(row, "waveform")
        compared = references.get(row["threads"], np.array([]))
        n = min(len(compared), len(network))
        table.append(
            {name: row[name] for name in ("model", "runtime", "threads", "file_bytes")}
            | _spread("ms", network)
            | _spread("label_ms", label)
            | _spread("faster", compared[:n] / network[:n])
            | {"load_ms": row["load_ms"], "network_mb": row["peak_mb"] - row["runtime_mb"]}
            | {name: row[name] for name in _KEPT}
        )
    frame = pd.DataFrame(table, columns=[*_LATENCIES, *_KEPT])
    return frame.astype({"threads": int})


_KEPT = ["runtime_mb", "peak_mb", "same_labels", "largest_difference"]
_LATENCIES = ["model", "runtime", "threads", "file_bytes"]
_LATENCIES += [
    f"{name}{end}" for name in ("ms", "label_ms", "faster") for end in ("", "_low", "_high")
]
_LATENCIES += ["load_ms", "network_mb"]


def _rounds(row: pd.Series, what: str) -> np.ndarray:
    """Return a time of each round in milliseconds."""
    values = row[f"{what}_cpu_ms" if row["threads"] == 1 else f"{what}_ms"]
    return np.array(values if isinstance(values, list) else [], dtype=float)


def _spread(name: str, values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [np.nan] * 3
    return {name: float(middle), f"{name}_low": float(low), f"{name}_high": float(high)}


def busy(measured: Measured) -> float:
    """Return the share of the time in which one-thread runs waited for a processor."""
    rows = measured.rows[measured.rows["threads"] == 1]
    shares = [
        1 - worked / passed
        for row in rows.itertuples()
        for worked, passed in zip(row.waveform_cpu_ms, row.waveform_ms, strict=True)
    ]
    return max(0.0, float(np.median(shares))) if shares else 0.0


def titles(variants: Mapping, times: pd.DataFrame) -> dict[str, str]:
    """Return the name for readers of every model that was measured."""
    return {name: _model_title(variants, name) for name in dict.fromkeys(times["model"])}


def not_measured(measured: Measured, variants: Mapping) -> pd.DataFrame:
    """Return what could not be measured, and why."""
    rows = measured.rows[measured.rows["reason"].notna()]
    rows = rows.assign(title=[_model_title(variants, name) for name in rows["model"]])
    return rows[["title", "runtime", "reason"]].drop_duplicates().reset_index(drop=True)


def _model_title(variants: Mapping, name: str) -> str:
    return "the bundle" if name == BUNDLE else title(variants, name)


# ---- the table


def compared(
    result: StudyResult,
    dataset: Dataset,
    times: pd.DataFrame,
    *,
    variants: Mapping,
    reference: str,
    n_boot: int,
    teachers: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return all about every variant under the fault-filtered split, in one table.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    dataset : Dataset
        Says which artist each track is by.
    times : pd.DataFrame
        Of `latencies`.
    variants : mapping of str to Variant
        `compression.VARIANTS`.
    reference : str
        The variant that sizes are compared with.
    n_boot : int
        Bootstrap replicates.
    teachers : mapping of str to pd.DataFrame, optional
        Prediction rows of teachers that are no variants.

    Returns
    -------
    pd.DataFrame
        One row a variant: ``model, title, teacher`` (what it is held against), ``origin``
        (title of the network that its line began with, or of its teacher; missing where it
        had nothing but labels, whatever it is held against), counts, ``n_valid`` (items of
        the validation part), ``file_bytes`` (the smallest
        file that a runtime takes as it is), ``stored_bytes`` and ``stored_as`` (the smallest
        of all), ``smaller`` and ``stored_smaller`` (the reference's by these), accuracies
        with intervals, ``teacher_difference``, ``reference_difference`` and
        ``best_difference`` (accuracy minus that of the teacher, of the reference, of the
        best deployable variant) with ``_low, _high`` and ``_tracks``
        (net tracks won), and of its fastest runtime on one thread ``runtime`` and the
        columns of `latencies`; ``ms_2`` is that runtime's time on two threads.
    """
    artists = dataset.artists
    runs = _strict(result)
    found = {run["model"]: _tracks(result, run["run_id"]) for _, run in runs.iterrows()}
    teachers = {**(teachers or {}), **found}
    best = best_deployable(runs)
    sizes = {run["model"]: _sizes(run["bytes"]) for _, run in runs.iterrows()}
    first = sizes.get(reference, {"file_bytes": np.nan, "stored_bytes": np.nan})
    table = []
    for _, run in runs.iterrows():
        name = run["model"]
        summary = evaluation.summary(found[name], artists=artists, n_boot=n_boot)
        size = sizes[name]
        table.append(
            {name: run.get(name) for name in ("model", "teacher", "input", *_COUNTED)}
            | size
            | {
                "title": title(variants, name),
                "origin": _origin(variants, name),
                "steps": _listed(variants[name].steps) if name in variants else "",
                # The reference is what is run as it is, so the same file on both sides.
                "smaller": first["file_bytes"] / size["file_bytes"],
                "stored_smaller": first["file_bytes"] / size["stored_bytes"],
                "best": name == best,
            }
            | {measure: summary.get(measure) for measure in _SUMMARY}
            | _difference("teacher", found[name], teachers.get(run["teacher"]), n_boot)
            | _difference(
                "reference",
                found[name],
                found.get(reference) if name != reference else None,
                n_boot,
            )
            | _difference("best", found[name], found[best] if name != best else None, n_boot)
            | _fastest(times, name)
        )
    return pd.DataFrame(table)


_COUNTED = [
    "n_parameters", "nonzero_parameters", "multiply_adds", "train_accuracy", "validation_accuracy",
    "n_valid",
]  # fmt: skip


def _strict(result: StudyResult) -> pd.DataFrame:
    """Return the runs under the fault-filtered split, those that were tested."""
    tested = set(result.predictions.loc[result.predictions["stage"] == "final", "run_id"])
    runs = result.runs
    return runs[runs["protocol"].eq(PROTOCOL) & runs["run_id"].isin(tested)]


def _tracks(result: StudyResult, run_id: str) -> pd.DataFrame:
    rows = result.predictions
    return tables.to_tracks(rows[(rows["run_id"] == run_id) & (rows["stage"] == "final")])


def _sizes(formats: Mapping[str, float]) -> dict:
    known = {name: size for name, size in formats.items() if size and size == size}
    runnable = [known[name] for name in RUNNABLE if name in known]
    stored_as = min(known, key=known.get) if known else None
    return {
        "file_bytes": min(runnable, default=np.nan),
        "stored_bytes": known.get(stored_as, np.nan),
        "stored_as": stored_as,
        **{f"{name}_bytes": known.get(name, np.nan) for name in RUNNABLE},
    }


def best_deployable(runs: pd.DataFrame) -> str:
    """Return the variant of best validation accuracy that a runtime takes as it is.

    Parameters
    ----------
    runs : pd.DataFrame
        Under one protocol. Of equally accurate ones the smallest is taken.
    """
    runs = runs.assign(size=[_sizes(formats)["file_bytes"] for formats in runs["bytes"]])
    runs = runs[runs["size"].notna()].astype({"validation_accuracy": float})
    ordered = runs.sort_values(["validation_accuracy", "size"], ascending=[False, True])
    return ordered["model"].iloc[0]


def _difference(
    what: str, ours: pd.DataFrame, theirs: pd.DataFrame | None, n_boot: int
) -> dict[str, float]:
    names = [f"{what}_difference{end}" for end in ("", "_low", "_high")] + [f"{what}_tracks"]
    if theirs is None:
        return dict.fromkeys(names, np.nan)
    both = set(ours["track_id"]) & set(theirs["track_id"])
    parts = [part[part["track_id"].isin(both)] for part in (ours, theirs)]
    if not both:
        return dict.fromkeys(names, np.nan)
    found = evaluation.paired(*parts, n_boot=n_boot)
    tracks = round(found["difference"] * found["n_tracks"], 1)
    values = (found["difference"], found["low"], found["high"], tracks)
    return dict(zip(names, values, strict=True))


def _fastest(times: pd.DataFrame, model: str) -> dict:
    one = times[(times["model"] == model) & (times["threads"] == 1)]
    columns = ["runtime", *_LATENCIES[4:], *_KEPT[:2], "ms_2"]
    if one.empty:
        return dict.fromkeys(columns)
    fastest = one.loc[one["ms"].idxmin()]
    two = times[
        (times["model"] == model)
        & (times["runtime"] == fastest["runtime"])
        & (times["threads"] == 2)
    ]
    return {name: fastest.get(name) for name in columns[:-1]} | {
        "ms_2": float(two["ms"].iloc[0]) if len(two) else np.nan
    }


def to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `compared` for readers: units, intervals as text."""
    return pd.DataFrame(
        {
            "variant": table["title"],
            "parameters": [_count(n) for n in table["n_parameters"]],
            "multiply-adds": [_count(n) for n in table["multiply_adds"]],
            "size": [size(n) for n in table["file_bytes"]],
            "stored": [_stored(row) for _, row in table.iterrows()],
            "accuracy": [interval(row) for _, row in table.iterrows()],
            "against its origin": [_against_origin(row) for _, row in table.iterrows()],
            "against the best": [
                "is the best" if row["best"] else difference(row, "best")
                for _, row in table.iterrows()
            ],
        }
    )


def _against_origin(row: pd.Series) -> str:
    text = difference(row, "teacher")
    if text == "–" or pd.notna(row["origin"]):
        return text
    return f"none; against the ensemble {text}"


def costs_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return what running each variant takes, for readers, of the table of `compared`."""
    rows = table[table["runtime"].notna()]
    return pd.DataFrame(
        {
            "variant": rows["title"],
            "smaller": [times_as(n) for n in rows["smaller"]],
            "runtime": rows["runtime"],
            "network": [milliseconds(row, "ms") for _, row in rows.iterrows()],
            "on two threads": [f"{ms:.3g} ms" if ms == ms else "–" for ms in rows["ms_2"]],
            "faster": [ratio(row) for _, row in rows.iterrows()],
            "sound to label": [milliseconds(row, "label_ms") for _, row in rows.iterrows()],
            "memory": [f"{mb:.0f} MB" for mb in rows["network_mb"]],
            "load": [f"{ms:.0f} ms" for ms in rows["load_ms"]],
        }
    ).reset_index(drop=True)


def _stored(row: pd.Series) -> str:
    if pd.isna(row["stored_bytes"]) or row["stored_as"] in RUNNABLE:
        return "as it is"
    return f"{size(row['stored_bytes'])} ({row['stored_as']})"


def _count(n: float) -> str:
    if pd.isna(n):
        return "–"
    for unit, each in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= each:
            return f"{n / each:.3g} {unit}"
    return f"{n:.0f}"


def size(n_bytes: float) -> str:
    """Return a size as text, in KiB or MiB."""
    if pd.isna(n_bytes):
        return "–"
    return f"{n_bytes / 2**20:.3g} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:.3g} KiB"


def times_as(value: float) -> str:
    """Return a ratio as text, ``3.9×``."""
    return "–" if pd.isna(value) else f"{value:.2g}×" if value < 10 else f"{value:.0f}×"


def ratio(row: pd.Series, name: str = "faster") -> str:
    """Return a ratio with its quartiles as text, ``31× (29–33)``."""
    if pd.isna(row[name]):
        return "–"
    low, high = (times_as(row[f"{name}_{end}"])[:-1] for end in ("low", "high"))
    return f"{times_as(row[name])} ({low}–{high})"


def milliseconds(row: pd.Series, name: str) -> str:
    """Return a time with its quartiles as text, ``5.1 ms (5.0–5.3)``."""
    if pd.isna(row[name]):
        return "–"
    low, high = (f"{row[f'{name}_{end}']:.3g}" for end in ("low", "high"))
    return f"{row[name]:.3g} ms ({low}–{high})"


def difference(row: pd.Series, what: str) -> str:
    """Return a difference in accuracy with its interval as text, ``-0.01 (-0.03–+0.01)``."""
    name = f"{what}_difference"
    if pd.isna(row[name]):
        return "–"
    low, high = (signed(row[f"{name}_{end}"], 3) for end in ("low", "high"))
    return f"{signed(row[name], 3)} ({low} to {high})"


# ---- parts of the answer


def distilled(result: StudyResult, *, variants: Mapping, n_boot: int) -> pd.DataFrame:
    """Compare each student that was taught with the same network from labels alone.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    variants : mapping of str to Variant
        `compression.VARIANTS`.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a pair: ``model, title, against, accuracy, accuracy_against`` and the columns
        ``difference, low, high, mcnemar_p, n_tracks`` of `evaluation.paired`.
    """
    runs = _strict(result).set_index("model")
    first = [variants[name] for name in runs.index if not variants[name].parent]
    alone = {variant.network: variant.name for variant in first if not variant.origin}
    table = []
    for variant in first:
        if not variant.origin or variant.network not in alone:
            continue
        names = (variant.name, alone[variant.network])
        ours, theirs = (_tracks(result, runs.loc[name, "run_id"]) for name in names)
        table.append(
            {"model": variant.name, "title": variant.title, "against": variants[names[1]].title}
            | tables_transfer.compared(ours, theirs, n_boot=n_boot)
        )
    columns = ["model", "title", "against", *tables_transfer.COMPARED]
    return pd.DataFrame(table, columns=columns)


def in_runtimes(times: pd.DataFrame, variants: Mapping) -> pd.DataFrame:
    """Return each network's time in each runtime, on one thread and on more.

    Returns
    -------
    pd.DataFrame
        ``title, runtime, size``, one column a number of threads with the time of the
        network alone, ``same labels`` and ``largest difference`` of a probability from the
        first runtime of this network.
    """
    rows = times.assign(
        title=[_model_title(variants, name) for name in times["model"]],
        cell=[milliseconds(row, "ms") for _, row in times.iterrows()],
        size=[size(n) for n in times["file_bytes"]],
    )
    keys = ["title", "runtime", "size"]
    columns = {1: "one thread", 2: "two threads"}
    wide = rows.pivot(index=keys, columns="threads", values="cell").rename(columns=columns)
    kept = rows.drop_duplicates(keys).set_index(keys)
    wide = wide.loc[kept.index]
    wide["same labels"] = ["–" if v != v else f"{v:.0%}" for v in kept["same_labels"].astype(float)]
    wide["largest difference"] = [
        "–" if v != v else f"{v:.2g}" for v in kept["largest_difference"].astype(float)
    ]
    return wide.reset_index().rename_axis(columns=None).fillna("–")


def both_ways(result: StudyResult, *, variants: Mapping, n_boot: int) -> pd.DataFrame:
    """Return what the networks on hand-made features reach, by split.

    Parameters
    ----------
    result : StudyResult
        Of `compression.run`.
    variants : mapping of str to Variant
        `compression.VARIANTS`.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a model and protocol, scored per segment: ``title, protocol, segment_s``,
        accuracy with its interval, ``smaller`` (its teacher's file by what its own is stored
        in), ``fewer`` (parameters that are not zero), ``difference`` to its teacher with
        ``_low, _high``, ``n_items, n_tracks, n_train`` (segments that trained it).
    """
    rows = result.predictions[result.predictions["stage"] == "final"]
    runs = result.runs.set_index("run_id")
    found = {
        (of_run["model"].iloc[0], of_run["protocol"].iloc[0]): of_run
        for _, of_run in rows[rows["input"] == TABULAR].groupby("run_id", sort=False)
    }
    table = []
    for (model, protocol), ours in found.items():
        run = runs.loc[ours["run_id"].iloc[0]]
        row = {"model": model, "title": title(variants, model), "protocol": protocol}
        row |= {name: ours[name].iloc[0] for name in ("segment_s", "n_train")}
        summary = evaluation.summary(ours, n_boot=n_boot)
        row |= {k: summary[k] for k in ("n_items", "n_tracks")}
        row |= {k: summary[k] for k in ("accuracy", "accuracy_low", "accuracy_high")}
        theirs = found.get((run["teacher"], protocol))
        if theirs is not None and run["teacher"] != model:
            teacher = runs.loc[theirs["run_id"].iloc[0]]
            plain, packed = (_sizes(each["bytes"]) for each in (teacher, run))
            row["smaller"] = plain["file_bytes"] / packed["stored_bytes"]
            row["fewer"] = teacher["nonzero_parameters"] / run["nonzero_parameters"]
            paired = evaluation.paired(ours, theirs, n_boot=n_boot)
            row["difference"] = paired["difference"]
            row |= {f"difference_{end}": paired[end] for end in ("low", "high")}
        table.append(row)
    return pd.DataFrame(table, columns=_BOTH_WAYS)


_BOTH_WAYS = [
    "model", "title", "protocol", "segment_s", "n_train", "n_items", "n_tracks", "accuracy",
    "accuracy_low", "accuracy_high", "smaller", "fewer", "difference", "difference_low",
    "difference_high",
]  # fmt: skip


def agreement(result: StudyResult, *, variants: Mapping) -> pd.DataFrame:
    """Return how far each file's answers are from PyTorch's, on the validation part.

    Returns
    -------
    pd.DataFrame
        ``title, protocol, same_labels`` (a share) ``, largest_difference`` (of a probability),
        ``rounded_in_file`` (what PyTorch has is not rounded yet).
    """
    runs = result.runs[result.runs["agreement"].notna()] if "agreement" in result.runs else []
    rows = [
        {"title": title(variants, run["model"]), "protocol": run["protocol"]}
        | run["agreement"]
        | {"rounded_in_file": _rounded_in_file(variants[run["model"]])}
        for _, run in (runs.iterrows() if len(runs) else ())
    ]
    columns = ["title", "protocol", "same_labels", "largest_difference", "rounded_in_file"]
    return pd.DataFrame(rows, columns=columns)


def _rounded_in_file(variant: Variant) -> bool:
    return any(isinstance(step, OnnxInt8) for step in variant.work)


def same_runtime(times: pd.DataFrame, *, before: str, after: list[str]) -> pd.DataFrame:
    """Return how much faster and smaller networks are than another in the same runtime.

    Parameters
    ----------
    times : pd.DataFrame
        Of `latencies`.
    before : str
        Model to compare with.
    after : list of str
        Models that are compared.

    Returns
    -------
    pd.DataFrame
        One row a model × runtime, on one thread: ``model, runtime, ms_before, ms, faster,
        smaller``.
    """
    one = times[times["threads"] == 1].set_index(["model", "runtime"])
    table = []
    for name, runtime in one.index:
        if name in after and (before, runtime) in one.index:
            old, new = one.loc[(before, runtime)], one.loc[(name, runtime)]
            table.append(
                {
                    "model": name,
                    "runtime": runtime,
                    "ms_before": old["ms"],
                    "ms": new["ms"],
                    "faster": old["ms"] / new["ms"],
                    "smaller": old["file_bytes"] / new["file_bytes"],
                }
            )
    columns = ["model", "runtime", "ms_before", "ms", "faster", "smaller"]
    return pd.DataFrame(table, columns=columns)


def for_devices(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Return which variant to take where, chosen by validation accuracy.

    Parameters
    ----------
    table : pd.DataFrame
        Of `compared`.
    times : pd.DataFrame
        Of `latencies`.

    Returns
    -------
    pd.DataFrame
        One row a device: ``device, runtime, largest`` (bytes) ``, why``, and of the most
        accurate variant on the validation part that fits (the smallest of equals): ``model,
        title, file_bytes, accuracy`` with its interval, ``ms, label_ms`` on one thread of
        this machine. Without a variant that fits, these are missing.
    """
    one = times[times["threads"] == 1].set_index(["model", "runtime"])
    formats = dict(zip(("onnxruntime", "ExecuTorch"), RUNNABLE, strict=True))
    rows = []
    for device in DEVICES:
        sizes = table[f"{formats[device.runtime]}_bytes"].astype(float)
        fits = sizes.notna() & (sizes <= (device.largest or np.inf))
        candidates = table.assign(bytes_there=sizes)[fits].astype({"validation_accuracy": float})
        candidates = candidates.sort_values(
            ["validation_accuracy", "bytes_there"], ascending=[False, True]
        )
        row = {"device": device.name, "runtime": device.runtime, "largest": device.largest}
        row["why"] = device.why
        if len(candidates):
            chosen = candidates.iloc[0]
            row |= {name: chosen[name] for name in _OF_DEVICE}
            row["file_bytes"] = chosen["bytes_there"]
            if (chosen["model"], device.runtime) in one.index:
                time = one.loc[(chosen["model"], device.runtime)]
                row |= {name: time[name] for name in ("ms", "label_ms")}
        rows.append(row)
    columns = ["device", "runtime", "largest", "why", *_OF_DEVICE, "file_bytes", "ms", "label_ms"]
    return pd.DataFrame(rows, columns=columns)


_OF_DEVICE = ["model", "title", "accuracy", "accuracy_low", "accuracy_high"]


def devices_to_read(devices: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `for_devices` for readers."""
    return pd.DataFrame(
        {
            "device": devices["device"],
            "assumed limit": [
                "any size" if n != n else size(n) for n in devices["largest"].astype(float)
            ],
            "because": devices["why"],
            "take": devices["title"].fillna("none is small enough"),
            "runtime": devices["runtime"],
            "size": [size(n) for n in devices["file_bytes"]],
            "accuracy": [interval(row) for _, row in devices.iterrows()],
        }
    )


def fragment(devices: pd.DataFrame) -> str:
    """Return the README's table of which network to take for which device, as Markdown."""
    return f"{markdown_table(devices_to_read(devices))}\n\n{ASSUMED}"


def goals(
    table: pd.DataFrame, ways: pd.DataFrame, faster: pd.DataFrame, measured: Measured
) -> pd.DataFrame:
    """Return what this notebook is meant to reach, beside what came out.

    Parameters
    ----------
    table, ways, faster : pd.DataFrame
        Of `compared`, `both_ways` and `same_runtime`.
    measured : Measured
        Of `measuring.measured`; times of the bundle are those on one thread.

    Returns
    -------
    pd.DataFrame
        ``goal, found, met`` (yes, no, or what is missing).
    """
    rows = _far_smaller(table)
    names = table.set_index("model")
    for row in faster[faster["model"].isin(names.index)].itertuples():
        lost = 0.0 - names.loc[row.model, "teacher_tracks"]
        rows.append(
            {
                "goal": f"{names.loc[row.model, 'title']} in {row.runtime}: at least 3.9 times "
                "smaller and 3 times faster than 32 bits, at most 3 test tracks lost net",
                "found": f"{row.smaller:.2f} times smaller, {_speed(row.faster)}, "
                f"{count_of(abs(lost), 'track')} {'won' if lost < 0 else 'lost'}",
                "met": _yes(row.smaller >= 3.9 and row.faster >= 3 and lost <= 3),
            }
        )
    for row in ways[ways["difference"].notna()].itertuples():
        rows.append(
            {
                "goal": f"{row.title}, {row.protocol.replace('_', ' ')}: at least 10 times "
                "smaller, nothing lost",
                "found": f"{times_as(row.smaller)} ({times_as(row.fewer)} fewer weights), "
                f"{signed(row.difference, 3)} ({signed(row.difference_low, 3)} to "
                f"{signed(row.difference_high, 3)})",
                "met": _yes(row.smaller >= 10 and row.difference >= 0),
            }
        )
    return pd.DataFrame([*rows, *_goals_of_bundle(measured)], columns=["goal", "found", "met"])


def _speed(faster: float) -> str:
    if faster < 1:
        return f"{times_as(1 / faster)[:-1]} times slower"
    return f"{times_as(faster)[:-1]} times faster"


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _far_smaller(table: pd.DataFrame) -> list[dict[str, str]]:
    """Return whether a network is far smaller and faster, by whom its accuracy is held against."""
    known = table[table["faster"].notna()].astype({"validation_accuracy": float})
    return [
        _within_a_point(
            "A network at least 100 times smaller and 30 times faster than ResNet18 in eager "
            "PyTorch, at most 1 point below it",
            known,
            "reference",
        ),
        _within_a_point(
            "One as small and as fast, at most 1 point below its origin",
            known[known["origin"].notna()],
            "teacher",
        ),
    ]


def _within_a_point(goal: str, known: pd.DataFrame, what: str) -> dict[str, str]:
    """Return what the best of small and fast networks loses, chosen as `best_deployable` does."""
    if known.empty:
        return {"goal": goal, "found": "nothing was measured", "met": "not measured"}
    fits = known[(known["smaller"] >= 100) & (known["faster"] >= 30)]
    by = ["validation_accuracy", "file_bytes"]
    row = (
        fits.sort_values(by, ascending=[False, True])
        if len(fits)
        else known.sort_values("smaller", ascending=False)
    ).iloc[0]
    found = (
        f"{'' if len(fits) else 'none is both; the smallest: '}{row['title']}: "
        f"{times_as(row['smaller'])[:-1]} times smaller, {ratio(row)} faster, "
        f"{difference(row, what)} against {row['origin'] if what == 'teacher' else 'ResNet18'}"
    )
    met = len(fits) > 0 and row[f"{what}_difference"] >= -0.01
    return {"goal": goal, "found": found, "met": _yes(met)}


def _goals_of_bundle(measured: Measured) -> list[dict[str, str]]:
    rows = measured.rows[(measured.rows["model"] == BUNDLE) & (measured.rows["threads"] == 1)]
    goals = [
        "The bundle: from a sound file of 30 s to its label in at most 150 ms on one core",
        "The same from a cold start of the command line in at most 2 s",
    ]
    if rows.empty or not len(measured.cold):
        return [{"goal": g, "found": "nothing was measured", "met": "not measured"} for g in goals]
    warm, cold = _spread("ms", _rounds(rows.iloc[0], "waveform")), measured.cold.median()
    return [
        {
            "goal": goals[0],
            "found": f"{warm['ms']:.0f} ms ({warm['ms_low']:.0f}–{warm['ms_high']:.0f})",
            "met": _yes(warm["ms"] <= 150),
        },
        {
            "goal": goals[1],
            "found": f"{cold['seconds']:.2f} s ({cold['cpu_s']:.2f} s of the processor)",
            "met": _yes(cold["seconds"] <= 2),
        },
    ]


def beside_published(
    table: pd.DataFrame,
    ways: pd.DataFrame,
    faster: pd.DataFrame,
    *,
    before: str,
    variants: Mapping,
) -> pd.DataFrame:
    """Return the published figures and ours of the same kind, for readers.

    Parameters
    ----------
    table, ways, faster : pd.DataFrame
        Of `compared`, `both_ways` and `same_runtime`.
    before : str
        The network that those in `faster` were made of.
    variants : mapping of str to Variant
        `compression.VARIANTS`.
    """
    rows = []
    image, tabular = PUBLISHED.itertuples(index=False)
    rows.append(_published(image))
    by_model = table.set_index("model")
    for row in faster.itertuples():
        if row.model in by_model.index and before in by_model.index:
            rows.append(
                {
                    "system": f"{title(variants, row.model)}, {row.runtime}",
                    "smaller": times_as(row.smaller),
                    "accuracy": _change(by_model, before, row.model),
                    "time": f"{row.ms_before:.3g} → {row.ms:.3g} ms ({times_as(row.faster)})",
                    "split": "fault-filtered",
                }
            )
    rows.append(_published(tabular))
    first = ways.set_index(["model", "protocol"])["accuracy"]
    for row in ways[ways["difference"].notna()].itertuples():
        after = first[row.model, row.protocol]
        rows.append(
            {
                "system": row.title,
                "smaller": f"{times_as(row.smaller)} ({times_as(row.fewer)} fewer weights)",
                "accuracy": f"{after - row.difference:.4f} → {after:.4f}",
                "time": "–",
                "split": f"{row.protocol.replace('_', ' ')}, segments of {row.segment_s:g} s",
            }
        )
    return pd.DataFrame(rows)


def _change(by_model: pd.DataFrame, before: str, after: str) -> str:
    return " → ".join(f"{by_model.loc[name, 'accuracy']:.4f}" for name in (before, after))


def _published(row) -> dict[str, str]:
    timed = row.seconds_before == row.seconds_before and row.seconds_before is not None
    seconds = f"{row.seconds_before} → {row.seconds_after} s" if timed else "–"
    return {
        "system": f"*published:* {row.system}",
        "smaller": f"{row.smaller}×",
        "accuracy": f"{row.before} → {row.after}",
        "time": seconds,
        "split": row.split,
    }
