"""Tables of the studies on networks, made from stored predictions and run records."""

import numpy as np
import pandas as pd

from genre_utils import evaluation, inputs, splits, tables
from genre_utils.datasets import Dataset
from genre_utils.experiments import StudyResult
from genre_utils.project import ProjectError
from genre_utils.results import interval, markdown_table
from genre_utils.systems import LEFT_OUT, SYSTEMS, System

STAGE_TITLES = {
    "final": "best epoch on the validation part",
    "last": "last epoch, no validation part",
    "refit": "last epoch, training and validation part",
}
"""How tables call the stages: which weights predicted, and what they were trained on."""

JOINED, OVER_SEEDS = " + ", " (mean over seeds)"
"""What names averages: between the averaged systems, and behind one whose seeds are."""

REFIT, NOT_PUBLISHED = " (refit on both parts)", "not published"
"""How tables call weights trained on training and validation part, and systems without a claim."""

BEST_SINGLE, BEST_LEAKY = "resnet_small", "cnn_levels_mixup"
"""This study's best single network under the strictest protocol, and under the leakiest."""

FITTED = 0.9
"""Training accuracy under which a row has to say why."""

BARELY_FITTED, UNDERFITTED = 0.5, "underfitted"
"""Training accuracy under which a number tests no claim, and how tables mark such a number."""

_SETTING = ["segment_s", "source", "protocol", "stage", "model"]
_MEANS = [
    "n_train", "n_train_tracks", "train_accuracy", "validation_accuracy", "epochs", "best_epoch",
    "fit_s", "n_parameters", "weights_mb",
]  # fmt: skip
_SCORES = [
    "unit", "n_items", "n_tracks", "segments_a_track", "accuracy", "accuracy_low", "accuracy_high",
    "n_seeds", "accuracy_sd", "accuracy_seed_low", "accuracy_seed_high", "by_seed", "macro_f1",
    "macro_f1_low", "macro_f1_high", "accuracy_artist_low", "accuracy_artist_high", "n_artists",
]  # fmt: skip


def title(model: str) -> str:
    """Return a system's name for readers; for averaged systems, of what they are the average."""
    if model.endswith(OVER_SEEDS):
        # "Mean over seeds" would read as the mean of their accuracies.
        return f"{title(model.removesuffix(OVER_SEEDS))} (probabilities of its seeds averaged)"
    parts = model.split(JOINED)
    if len(parts) > 1:
        return f"average of {'; '.join(map(title, parts))}"
    return SYSTEMS[model].title if model in SYSTEMS else model


def described(names: list[str]) -> pd.DataFrame:
    """Return what each system is and what is claimed of it, for readers."""
    return pd.DataFrame(
        [
            {
                "system": SYSTEMS[name].title,
                "reads": SYSTEMS[name].input,
                "purpose": SYSTEMS[name].purpose,
                "budget": _budget(SYSTEMS[name]),
                "published": SYSTEMS[name].published or "–",
            }
            for name in names
        ]
    )


def _budget(system: System) -> str:
    if system.classical:
        return "no epochs"
    return f"{system.recipe.epochs} epochs, batches of {system.recipe.batch_size}"


def accuracy(result: StudyResult, dataset: Dataset, *, n_boot: int) -> pd.DataFrame:
    """Return accuracy and macro F1 with 95 % intervals for every setting of a study.

    Parameters
    ----------
    result : StudyResult
        Stored predictions and runs.
    dataset : Dataset
        Says which artist each track is by.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a system × segment length × protocol × stage × scored unit (``segment``,
        or ``track``: the segments' probabilities added up), with what its training runs
        were and cost on average. ``segments_a_track`` counts a track's segments in the
        test part. ``accuracy`` is the mean over the seeds; ``by_seed`` holds each one's,
        ``accuracy_sd`` their standard deviation, ``accuracy_seed_low`` and
        ``accuracy_seed_high`` the least and the largest. Intervals are bootstraps over
        tracks: a track is drawn with its predictions of all seeds. What the data cannot
        answer is a row with its ``reason``.
    """
    artists = dataset.artists
    table = []
    for setting, group in result.predictions.groupby(_SETTING, sort=False):
        same = rows_of(result.runs, dict(zip(_SETTING, setting, strict=True)))
        shared = dict(zip(_SETTING, setting, strict=True))
        shared |= {"input": group["input"].iloc[0], "pretrained": same["pretrained"].iloc[0]}
        shared |= {name: same[name].astype(float).mean() for name in _MEANS}
        voted = tables.to_tracks(group)
        shared["segments_a_track"] = len(group) / len(voted)
        summary = None
        for unit, scored in (("segment", group), ("track", voted)):
            # Where a track is one item, both units are the same numbers.
            if summary is None or len(scored) != len(group):
                summary = evaluation.summary(scored, artists=artists, n_boot=n_boot)
            table.append(shared | {"unit": unit} | summary | _seeds(scored))
    columns = ["input", "pretrained", *_MEANS, *_SCORES]
    frame = pd.DataFrame(table, columns=[*_SETTING, *columns])
    frame["reason"] = None
    if len(result.impossible):
        frame = pd.concat([frame, result.impossible], ignore_index=True)
    frame.insert(0, "title", frame["model"].map(title))
    return _in_order(frame)


def rows_of(frame: pd.DataFrame, setting: dict) -> pd.DataFrame:
    """Return the rows of one setting: column → value."""
    return frame[(frame[list(setting)] == list(setting.values())).all(axis=1)]


def protocols_of(*parts: pd.DataFrame) -> list[str]:
    """Return the protocols that some of the tables have, from the leakiest to the strictest."""
    found = set().union(*(part["protocol"] for part in parts))
    return [protocol for protocol in splits.PROTOCOLS if protocol in found]


def _seeds(rows: pd.DataFrame) -> dict:
    right = pd.Series(evaluation.labels(rows) == rows["y_true"].to_numpy(), rows.index)
    each = right.groupby(rows["seed"]).mean()
    return {
        "n_seeds": len(each),
        "accuracy_sd": each.std(),
        "accuracy_seed_low": each.min(),
        "accuracy_seed_high": each.max(),
        "by_seed": " ".join(f"{seed}: {value:.3f}" for seed, value in each.items()),
    }


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by length, protocol, system and stage."""
    order = pd.DataFrame(
        {
            "length": -frame["segment_s"],
            "protocol": frame["protocol"].map(splits.PROTOCOLS.index),
            "model": frame["model"].map(_ranks(frame["model"])),
            "stage": frame["stage"].map(list(STAGE_TITLES).index),
            "unit": frame["unit"],
        }
    )
    return frame.loc[order.sort_values(list(order.columns)).index].reset_index(drop=True)


def as_the_field_scores(accuracy_table: pd.DataFrame, *, models: list[str]) -> pd.DataFrame:
    """Return some systems' rows: per segment where segments are split at random, else per track.

    Of several lengths of segments a system has the one that validation chose, else the longest.
    """
    rows = accuracy_table[
        accuracy_table["model"].isin(models)
        & (accuracy_table["stage"] == "final")
        & (accuracy_table["unit"] == accuracy_table["protocol"].map(_unit))
    ]
    known = rows[rows["accuracy"].notna()].groupby(["model", "protocol"], sort=False)
    chosen = [_chosen(of_one).name for _, of_one in known]
    rows = rows.loc[[at for at in rows.index if at in chosen or pd.isna(rows.at[at, "accuracy"])]]
    return rows.sort_values("model", key=lambda names: names.map(_ranks(names)), kind="stable")


def _ranks(models: pd.Series) -> dict[str, int]:
    """Return each system's place: the order of `SYSTEMS`, averages after them as they came."""
    came = list(dict.fromkeys(models))
    known = [name for name in SYSTEMS if name in came]
    return {name: rank for rank, name in enumerate(dict.fromkeys([*known, *came]))}


def reasons(accuracy_table: pd.DataFrame) -> pd.DataFrame:
    """Return what could not be answered and why, with the systems that it concerns."""
    rows = accuracy_table[accuracy_table["reason"].notna()]
    keys = ["segment_s", "source", "protocol", "n_tracks", "reason"]
    return (
        rows.groupby(keys, sort=False, dropna=False)["title"]
        .agg(lambda names: ", ".join(dict.fromkeys(names)))
        .reset_index()
    )


def strictest(result: StudyResult, models: list[str] | None = None) -> str:
    """Return the strictest protocol that a study, or some systems of it, could answer."""
    rows = result.predictions
    if models is not None:
        rows = rows[rows["model"].isin(models)]
    done = set(rows["protocol"])
    if not done:
        raise ProjectError(
            f"no stored predictions of {', '.join(models or ['any system'])}; run the notebook "
            "with its data (make all)"
        )
    return [protocol for protocol in splits.PROTOCOLS if protocol in done][-1]


def systems(accuracy_table: pd.DataFrame) -> pd.DataFrame:
    """Return a table to read: one row a system, beside what is claimed of it.

    Parameters
    ----------
    accuracy_table : pd.DataFrame
        As returned by `accuracy`.

    Returns
    -------
    pd.DataFrame
        Accuracies with intervals and test tracks under each protocol, scored as the field
        does: per segment where segments are split at random, per track elsewhere; where a
        number is not possible stands the reason. Weights trained on training and
        validation part are a row of their own. Of several segment lengths, the one with
        the best validation accuracy under the strictest protocol is shown. ``seeds`` whose
        predictions a number rests on and budgets of ``epochs`` name the protocols where
        they differ. Training accuracy (of the kept weights), parameters, size and time of
        one training run are those under the strictest protocol. A number of networks that
        get less than `BARELY_FITTED` of their training items right is marked.
    """
    rows = accuracy_table[accuracy_table["stage"].isin(["final", "refit"])]
    table = []
    for model in _ranks(rows["model"]):
        of_model = rows[rows["model"] == model]
        reasons_there = of_model[of_model["reason"].notna()].drop_duplicates("protocol")
        for stage in ("final", "refit"):
            done = of_model[(of_model["stage"] == stage) & of_model["accuracy"].notna()]
            single = done
            if model.endswith(OVER_SEEDS):
                of_single = {"model": model.removesuffix(OVER_SEEDS), "stage": stage}
                single = rows_of(rows[rows["accuracy"].notna()], of_single)
            if len(done) or stage == "final":
                table.append(_system(done, reasons_there.assign(stage=stage), single))
    return pd.DataFrame(table)


def _system(done: pd.DataFrame, why_not: pd.DataFrame, single: pd.DataFrame) -> dict:
    """Return a system's row; `single` holds the rows of its seeds one by one."""
    rows = done if len(done) else why_not
    model, stage = rows["model"].iloc[0], rows["stage"].iloc[0]
    chosen = rows.iloc[0]
    if len(done):
        strict = max(done["protocol"], key=splits.PROTOCOLS.index)
        chosen = _chosen(done[done["protocol"] == strict])
    published = SYSTEMS[model].published if model in SYSTEMS else ""
    pretrained = chosen["pretrained"]
    segment_s = chosen["segment_s"]
    seeds, epochs = (
        {p: _scored(part, p, segment_s)[name] for p in protocols_of(done)}
        for name, part in (("n_seeds", single), ("epochs", done))
    )
    return {
        "system": title(model) + (REFIT if stage == "refit" else ""),
        "pretrained": "no" if pd.isna(pretrained) or pretrained == "none" else str(pretrained),
        "published": published or NOT_PUBLISHED,
        "item": f"{segment_s:g} s",
        **{
            f"{protocol}, per {_unit(protocol)}": _cell(done, why_not, protocol, segment_s)
            for protocol in splits.PROTOCOLS
        },
        "seeds": _by_protocol(seeds),
        "epochs": _by_protocol(epochs),
        "training accuracy": _share(chosen["train_accuracy"]),
        "parameters": f"{chosen['n_parameters']:,.0f}" if chosen["n_parameters"] > 0 else "none",
        "MB": _megabytes(chosen["weights_mb"]),
        "training": duration(chosen["fit_s"]),
    }


def _chosen(rows: pd.DataFrame) -> pd.Series:
    """Return the row with the best validation accuracy; without any, the longest items'."""
    rows = rows.sort_values("segment_s", ascending=False, kind="stable")
    return rows.loc[rows["validation_accuracy"].astype(float).fillna(-1).idxmax()]


def _by_protocol(numbers: dict[str, float]) -> str:
    """Return the number that most protocols have, then those that have another one."""
    texts = {name: f"{n:.0f}" if n > 0 else "none" for name, n in numbers.items()}
    values = list(texts.values()) or ["none"]
    usual = max(values, key=values.count)
    others = [
        f"{value} under {' and '.join(name for name in texts if texts[name] == value)}"
        for value in dict.fromkeys(values)
        if value != usual
    ]
    return "; ".join([usual, *others])


def _share(value: float) -> str:
    return "none" if pd.isna(value) else f"{value:.2f}"


def _megabytes(size: float) -> str:
    if pd.isna(size):
        return "none"
    return f"{size:.2g}" if size < 10 else f"{size:.0f}"


def _unit(protocol: str) -> str:
    return "segment" if protocol == "segment_random" else "track"


def _scored(done: pd.DataFrame, protocol: str, segment_s: float) -> pd.Series | None:
    """Return the row that is shown under a protocol: of this length, if there is one."""
    rows = done[(done["protocol"] == protocol) & (done["unit"] == _unit(protocol))]
    if rows.empty:
        return None
    at_length = rows[rows["segment_s"] == segment_s]
    return _chosen(at_length if len(at_length) else rows)


def _cell(done: pd.DataFrame, why_not: pd.DataFrame, protocol: str, segment_s: float) -> str:
    row = _scored(done, protocol, segment_s)
    if row is not None:
        length = "" if row["segment_s"] == segment_s else f" (items of {row['segment_s']:g} s)"
        fit = row["train_accuracy"]
        mark = f"; {UNDERFITTED}: {fit:.2f} in training" if fit < BARELY_FITTED else ""
        return f"{interval(row)}, {row['n_tracks']:.0f} tracks{length}{mark}"
    reason = why_not.loc[why_not["protocol"] == protocol, "reason"]
    if len(reason):
        return _why_empty(reason.iloc[0])
    only = ", ".join(protocols_of(done))
    return f"not run: only {only}" if only else "not run"


def _why_empty(reason: str) -> str:
    """Return what stands for a number that there is a reason not to have."""
    return LEFT_OUT if reason.startswith(LEFT_OUT) else f"not possible: {short_reason(reason)}"


def short_reason(reason: str) -> str:
    """Return the core of a reason: what is missing, without the advice that follows."""
    return reason.partition(" is impossible here: ")[2].partition(";")[0] or reason


def duration(seconds: float) -> str:
    """Return seconds as text in a unit that suits them."""
    if pd.isna(seconds):
        return "none"
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def learning_curves(result: StudyResult) -> pd.DataFrame:
    """Return training and validation accuracy of every epoch.

    Returns
    -------
    pd.DataFrame
        One row a system × segment length × protocol × epoch, stage ``final``: mean,
        ``_low`` and ``_high`` (least and largest run) of ``train_accuracy`` (on the
        batches as trained on, augmented where the system augments), ``valid_accuracy``,
        ``train_loss``, ``valid_loss``; ``n_runs`` that still went on then; ``kept_epoch``,
        the mean over the runs of the epoch whose weights were kept.
    """
    keys = ["title", "model", "segment_s", "protocol", "epoch"]
    rows = [
        {name: run[name] for name in ("model", "segment_s", "protocol")}
        | {"title": title(run["model"]), "kept_epoch": run["best_epoch"]}
        | {name: epoch[name] for name in ("epoch", *_CURVES)}
        for _, run in rows_of(result.runs, {"stage": "final"}).iterrows()
        for epoch in _listed(run["history"])
    ]
    if not rows:
        return pd.DataFrame(columns=[*keys, *_CURVES, "n_runs", "kept_epoch"])
    frame = pd.DataFrame(rows)
    frame[list(_CURVES)] = frame[list(_CURVES)].astype(float)
    frame = frame.sort_values("model", key=lambda names: names.map(_ranks(names)), kind="stable")
    groups = frame.groupby(keys, sort=False)
    wanted = {
        f"{name}{ending}": (name, how)
        for name in _CURVES
        for ending, how in (("", "mean"), ("_low", "min"), ("_high", "max"))
    }
    kept = frame.groupby(keys[:-1], sort=False)["kept_epoch"].mean()
    table = groups.agg(**wanted, n_runs=("epoch", "size")).reset_index()
    return table.merge(kept.reset_index(), on=keys[:-1])


_CURVES = ("train_accuracy", "valid_accuracy", "train_loss", "valid_loss")


def _listed(value) -> list:
    """Return a list that a record may lack (models without epochs)."""
    return value if isinstance(value, list) else []


def underfitted(result: StudyResult) -> pd.DataFrame:
    """Return the settings whose training accuracy stays under `FITTED`, and why.

    Returns
    -------
    pd.DataFrame
        ``title, model, segment_s, protocol, stage, train_accuracy`` (of the kept weights,
        without augmentation) and ``why``, a sentence made from the record: the budget,
        when the validation loss was lowest, and what the system does against learning by
        heart.
    """
    keys = ["model", "segment_s", "protocol", "stage"]
    rows = []
    for setting, runs in result.runs.groupby(keys, sort=False):
        reached = runs["train_accuracy"].astype(float).mean()
        if reached < FITTED:
            found = {"title": title(setting[0]), **dict(zip(keys, setting, strict=True))}
            rows.append(found | {"train_accuracy": reached, "why": _why_underfitted(runs)})
    return pd.DataFrame(rows, columns=["title", *keys, "train_accuracy", "why"])


def _why_underfitted(runs: pd.DataFrame) -> str:
    histories = [history for history in map(_listed, runs["history"]) if history]
    if not histories:
        n_train = runs["n_train"].astype(float).mean()
        return (
            "no epochs: its trees are limited in number and depth, too little to fit "
            f"{n_train:,.0f} items."
        )
    budget, kept = runs["epochs"].astype(float).max(), runs["best_epoch"].astype(float).mean()
    trained = np.mean([history[-1]["epoch"] for history in histories])
    losses = [h["valid_loss"] for history in histories for h in history]
    regularised = _regularisation(runs)
    start = f"Budget of {budget:.0f} epoch" + ("" if budget == 1 else "s")
    start += f", regularised ({regularised})" if regularised else ""
    if np.isfinite(np.array(losses, dtype=float)).all():
        text = f"{start}: validation loss was lowest at epoch {kept:.0f} of {trained:.0f} trained"
        if kept >= FITTED * budget:
            return f"{text}, at the end of the budget; more epochs would fit further."
        return f"{text}, and those weights were kept."
    gain = np.mean([_late_gain(history) for history in histories])
    return (
        f"{start}: in the last fifth of these, accuracy on the training batches changed by "
        f"{gain:+.2f}."
    )


def _late_gain(history: list[dict]) -> float:
    back = max(1, len(history) // 5)
    return history[-1]["train_accuracy"] - history[-min(len(history), back + 1)]["train_accuracy"]


def _regularisation(runs: pd.DataFrame) -> str:
    """Return what a system does against learning by heart, as a list in words."""
    system = SYSTEMS.get(runs["model"].iloc[0])
    if system is None:
        return ""
    used = {
        "random crops": system.augmentation.crop_frames,
        "hidden bands and moments": system.augmentation.masks,
        "mixup": system.augmentation.mixup,
        "changes of tempo": system.augmentation.stretch,
        "changes of pitch": system.augmentation.shift,
        "changes of level": system.augmentation.gain,
        "equaliser": system.augmentation.equaliser,
        "label smoothing": system.recipe.label_smoothing,
        "weight decay": system.recipe.weight_decay,
    }
    return ", ".join(name for name, amount in used.items() if amount)


def compared(
    result: StudyResult,
    pairs: list[list[str]],
    *,
    n_boot: int,
    protocols: list[str] | None = None,
    segment_s: float | None = None,
) -> pd.DataFrame:
    """Compare pairs of systems on the same test tracks, under each protocol.

    Parameters
    ----------
    result : StudyResult
        Stored predictions.
    pairs : list of [str, str]
        System and what it is compared with. Pairs that lack predictions, or whose test
        tracks differ, are left out.
    n_boot : int
        Bootstrap replicates.
    protocols : list of str, optional
        Only these.
    segment_s : float, optional
        Only items of this length, in seconds.

    Returns
    -------
    pd.DataFrame
        One row a pair and protocol, scored per track: both accuracies and their
        ``ratio``, ``difference`` with its 95 % interval ``low`` and ``high``, the exact
        McNemar p-value (not corrected for the number of comparisons), ``n_tracks``, and
        ``n_seeds``. Only seeds that both systems have count. Accuracies and their
        difference are means over them; McNemar's test needs one answer a track, so the
        seeds' probabilities are averaged for it.
    """
    rows = result.predictions[result.predictions["stage"] == "final"]
    if segment_s is not None:
        rows = rows[rows["segment_s"] == segment_s]
    table = []
    for model, against in pairs:
        both = [rows[rows["model"] == name] for name in (model, against)]
        for protocol in protocols or protocols_of(*both):
            found = [part[part["protocol"] == protocol] for part in both]
            row = _compared(found, n_boot)
            if row:
                names = {"title": title(model), "against": title(against), "protocol": protocol}
                table.append({"model": model, "baseline": against} | names | row)
    columns = ["model", "baseline", "title", "against", "protocol", *_COMPARED]
    return pd.DataFrame(table, columns=columns)


_COMPARED = [
    "accuracy", "accuracy_against", "ratio", "difference", "low", "high", "mcnemar_p", "n_tracks",
    "n_seeds",
]  # fmt: skip


def _compared(parts: list[pd.DataFrame], n_boot: int) -> dict | None:
    if any(part.empty for part in parts):
        return None
    seeds = set(parts[0]["seed"]) & set(parts[1]["seed"])
    parts = [tables.to_tracks(part[part["seed"].isin(seeds)]) for part in parts]
    if not seeds or set(parts[0]["track_id"]) != set(parts[1]["track_id"]):
        return None
    ours, theirs = ((evaluation.labels(part) == part["y_true"]).mean() for part in parts)
    row = {"accuracy": ours, "accuracy_against": theirs, "ratio": ours / theirs if theirs else None}
    row |= {"n_seeds": len(seeds), "seeds": ", ".join(map(str, sorted(seeds)))}
    return row | evaluation.paired(*parts, n_boot=n_boot)


def fusion(
    result: StudyResult, *, joined: str, branches: list[str], n_boot: int, claim: float
) -> pd.DataFrame:
    """Compare a joined network with its branches, and the gain with a claimed one.

    Parameters
    ----------
    result : StudyResult
        Stored predictions and runs.
    joined : str
        The system that joins the branches.
    branches : list of str
        Systems of one branch each.
    n_boot : int
        Bootstrap replicates.
    claim : float
        Claimed gain in accuracy, in [0, 1].

    Returns
    -------
    pd.DataFrame
        As `compared`, with ``better_branch`` (whether this branch has the best validation
        accuracy, mean over all runs that have one), ``claim``, and ``verdict``: whether the
        interval of the difference lies ``above``, ``below`` or ``around`` the claim.
    """
    table = compared(result, [[joined, branch] for branch in branches], n_boot=n_boot)
    runs = result.runs[(result.runs["stage"] == "final") & result.runs["model"].isin(branches)]
    valid = runs["validation_accuracy"].astype(float).groupby(runs["model"]).mean().dropna()
    if valid.empty:
        # Without any validation part the branch that does better counts, which favours it.
        best = table.loc[table.groupby("protocol")["accuracy_against"].idxmax()]
        better = table["protocol"].map(dict(zip(best["protocol"], best["baseline"], strict=True)))
    else:
        better = valid.idxmax()
    table["better_branch"] = table["baseline"] == better
    table["claim"] = claim
    table["verdict"] = np.select(
        [table["low"] > claim, table["high"] < claim], ["above", "below"], "around"
    )
    return table


def validation_part(result: StudyResult, *, n_boot: int) -> pd.DataFrame:
    """Compare training without a validation part, or on it too, with the epoch chosen on it.

    Parameters
    ----------
    result : StudyResult
        Stored predictions.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a system × segment length × protocol × stage other than ``final``, scored
        per track: ``accuracy``, ``accuracy_against`` (of stage ``final``), ``difference``
        with its 95 % interval ``low`` and ``high``, ``n_tracks``, the ``seeds`` that
        both stages have (no others count), and ``same_network``: whether both give every
        item the same probabilities, as where the epoch chosen was the last one.
    """
    rows = result.predictions
    keys = ["model", "segment_s", "protocol", "stage"]
    table = []
    for setting, part in rows[rows["stage"].isin(["last", "refit"])].groupby(keys, sort=False):
        named = dict(zip(keys, setting, strict=True))
        chosen = rows_of(rows, named | {"stage": "final"})
        row = _compared([part, chosen], n_boot)
        if row:
            named["stage"] = STAGE_TITLES[named["stage"]]
            row["same_network"] = _same_probabilities(part, chosen)
            table.append({"title": title(named["model"])} | named | row)
    columns = [
        "accuracy", "accuracy_against", "difference", "low", "high", "n_tracks", "seeds",
        "same_network",
    ]  # fmt: skip
    return pd.DataFrame(table, columns=["title", *keys, *columns])


def _same_probabilities(rows: pd.DataFrame, others: pd.DataFrame) -> bool:
    keys = ["seed", "fold", "track_id", "segment_start_s"]
    columns = evaluation.probability_columns(rows)
    found = [part.set_index(keys)[columns].sort_index() for part in (rows, others)]
    shared = found[0].index.intersection(found[1].index)
    return found[0].loc[shared].equals(found[1].loc[shared])


def convergence(result: StudyResult, models: list[str], *, share: float = 0.9) -> pd.DataFrame:
    """Return how fast systems learn: epochs and seconds to most of what they reach.

    Parameters
    ----------
    result : StudyResult
        Stored runs.
    models : list of str
        Which systems.
    share : float
        Share of the kept weights' validation accuracy that has to be reached, in (0, 1].

    Returns
    -------
    pd.DataFrame
        One row a system × segment length × protocol: means over the runs of
        ``epochs_to_share``, ``seconds_an_epoch``, ``seconds_to_share``,
        ``validation_accuracy`` (kept weights), ``n_parameters``; ``n_runs``. Runs without
        a validation part do not count.
    """
    rows = []
    for _, run in result.runs[result.runs["stage"] == "final"].iterrows():
        history = pd.DataFrame(_listed(run["history"]))
        if run["model"] not in models or history.empty or history["valid_accuracy"].isna().any():
            continue
        kept = history.loc[history["epoch"] == run["best_epoch"], "valid_accuracy"].iloc[0]
        enough = history[history["valid_accuracy"] >= share * kept]
        first = int(enough["epoch"].iloc[0])
        rows.append(
            {name: run[name] for name in ("model", "segment_s", "protocol")}
            | {
                "title": title(run["model"]),
                "epochs_to_share": first,
                "seconds_an_epoch": history["seconds"].mean(),
                "seconds_to_share": history.loc[history["epoch"] <= first, "seconds"].sum(),
                "validation_accuracy": float(kept),
                "n_parameters": float(run["n_parameters"]),
            }
        )
    keys = ["title", "model", "segment_s", "protocol"]
    measures = [
        "epochs_to_share", "seconds_an_epoch", "seconds_to_share", "validation_accuracy",
        "n_parameters",
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=[*keys, *measures])
    groups = frame.groupby(keys, sort=False)
    table = groups[measures].mean().assign(n_runs=groups.size()).reset_index()
    order = table["protocol"].map(splits.PROTOCOLS.index)
    return (
        table.assign(o=order).sort_values("o", kind="stable", ignore_index=True).drop(columns="o")
    )


def by_length(accuracy_table: pd.DataFrame, *, models: list[str], unit: str) -> pd.DataFrame:
    """Return a table to read: one row a system and segment length, one column a protocol.

    Beside each accuracy stand the test tracks, and how many segments of each are in the
    test part on average. What has no number says whether it was not run, or why it is
    not possible.
    """
    rows = accuracy_table[
        accuracy_table["model"].isin(models)
        & (accuracy_table["stage"] == "final")
        & ((accuracy_table["unit"] == unit) | accuracy_table["reason"].notna())
    ]
    # A reason is noted once for each group of runs that asks for the setting.
    repeated = rows["reason"].notna() & rows.duplicated(["title", "segment_s", "protocol"])
    rows = rows[~repeated]
    cells = rows.assign(cell=[_number_or_reason(row) for _, row in rows.iterrows()])
    table = cells.pivot(index=["title", "segment_s"], columns="protocol", values="cell")
    table = table[[protocol for protocol in splits.PROTOCOLS if protocol in table]]
    table = table.fillna("not run").rename_axis(columns=None)
    if "segment_random" in table:
        whole = table.index.get_level_values("segment_s") == inputs.CLIP_S
        empty = whole & table["segment_random"].eq("not run")
        table.loc[empty, "segment_random"] = "not possible: a clip is one such segment"
    return table


def _number_or_reason(row: pd.Series) -> str:
    if pd.notna(row["reason"]):
        return _why_empty(row["reason"])
    return f"{interval(row)}; {row['n_tracks']:.0f} tracks × {row['segments_a_track']:.1f}"


def against_best_length(
    result: StudyResult, *, models: list[str], protocol: str, n_boot: int
) -> pd.DataFrame:
    """Compare each segment length with the one of the highest accuracy, on the same tracks.

    Parameters
    ----------
    result : StudyResult
        Stored predictions.
    models : list of str
        Which systems.
    protocol : str
        Of which protocol.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a system and length other than its best, scored per track: ``best_s`` (the
        length with the highest accuracy on these test tracks), both accuracies, the
        ``difference`` with its 95 % interval ``low`` and ``high``, McNemar's p-value (not
        corrected for the number of comparisons), ``n_tracks``, ``n_seeds``. Lengths whose
        test tracks are not those of the best are left out.
    """
    table = []
    for model in models:
        rows = tables.predictions_of(result, model=model, protocol=protocol)
        lengths = {length: tables.to_tracks(part) for length, part in rows.groupby("segment_s")}
        if not lengths:
            continue
        right = {
            s: (evaluation.labels(part) == part["y_true"]).mean() for s, part in lengths.items()
        }
        best_s = max(right, key=right.get)
        for segment_s in [length for length in lengths if length != best_s]:
            row = _compared([lengths[segment_s], lengths[best_s]], n_boot)
            if row:
                names = {"title": title(model), "model": model, "protocol": protocol}
                table.append(names | {"segment_s": segment_s, "best_s": best_s} | row)
    columns = ["title", "model", "protocol", "segment_s", "best_s", *_COMPARED]
    return pd.DataFrame(table, columns=columns).drop(columns="ratio")


def by_genre(result: StudyResult, *, model: str, protocol: str) -> pd.DataFrame:
    """Return each genre's recall at every segment length, per track, with intervals."""
    rows = tables.predictions_of(result, model=model, protocol=protocol)
    parts = [
        evaluation.recall_by_genre(tables.to_tracks(group)).assign(segment_s=segment_s)
        for segment_s, group in rows.groupby("segment_s")
    ]
    names = ["segment_s", "genre", "recall", "recall_low", "recall_high", "n_tracks"]
    if not parts:
        return pd.DataFrame(columns=names)
    return pd.concat(parts, ignore_index=True)[names]


def costs(accuracy_table: pd.DataFrame, *, models: list[str], protocol: str) -> pd.DataFrame:
    """Return parameters, size and training time of systems at each segment length."""
    rows = accuracy_table[
        accuracy_table["model"].isin(models)
        & (accuracy_table["protocol"] == protocol)
        & (accuracy_table["stage"] == "final")
        & (accuracy_table["unit"] == "track")
    ]
    names = [
        "title", "segment_s", "n_train", "n_parameters", "weights_mb", "epochs", "best_epoch",
        "fit_s", "train_accuracy", "validation_accuracy",
    ]  # fmt: skip
    return rows[names].sort_values(["title", "segment_s"], ignore_index=True)


def confusions(result: StudyResult, *, model: str, protocols: list[str]) -> dict[str, pd.DataFrame]:
    """Return a system's confusion matrices, scored as the field does; title → counts.

    Protocols that the data cannot answer are left out.
    """
    found = {}
    for protocol in dict.fromkeys(protocols):
        rows = tables.predictions_of(result, model=model, protocol=protocol)
        if len(rows):
            # Of several lengths of segments, the longest: it is closest to the whole clip.
            rows = rows[rows["segment_s"] == rows["segment_s"].max()]
            rows = tables.to_tracks(rows) if _unit(protocol) == "track" else rows
            found[f"{protocol}, per {_unit(protocol)}"] = evaluation.confusion(rows)
    return found


def confused_pairs(rows: pd.DataFrame, *, top: int = 10) -> pd.DataFrame:
    """Return the most frequent mistakes, and how many answers they are counted among.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows; each seed answers once for each item.
    top : int
        At most so many rows.

    Returns
    -------
    pd.DataFrame
        The most frequent mistake first: ``true, predicted``; ``share`` of the answers on
        items of the true genre [range=(0, 1)]; ``n`` such answers of ``n_answers``, which
        ``n_seeds`` seeds gave on ``n_tracks`` tracks.
    """
    of_genre = rows.groupby("y_true").agg(
        n_answers=("track_id", "size"),
        n_tracks=("track_id", "nunique"),
        n_seeds=("seed", "nunique"),
    )
    table = evaluation.confused_pairs(rows, top=top).join(of_genre, on="true")
    return table[["true", "predicted", "share", "n", *of_genre.columns]]


def heard(result: StudyResult, models: list[str]) -> list[dict]:
    """Return what the first of some systems that recorded it listens to, a track each genre.

    Returns
    -------
    list of dict
        ``track_id, genre, predicted, seconds, drop`` (fall in the true genre's probability
        when a patch is hidden [shape=(n_bands, n_times)], low bands first), and ``model``.
    """
    for model in models:
        for found in result.runs.loc[result.runs["model"] == model, "heard"]:
            if _listed(found):
                return [track | {"model": model} for track in found]
    return []


def training_hours(result: StudyResult) -> float:
    """Return the time that all stored trainings took, in hours."""
    return float(result.runs["fit_s"].astype(float).sum()) / 3600


def all_systems(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the systems of several notebooks in one table.

    Parameters
    ----------
    parts : dict of str to pd.DataFrame
        Notebook → its table as returned by `systems`, or as read from its file.
    """
    named = [part.assign(notebook=name) for name, part in parts.items()]
    table = pd.concat(named, ignore_index=True).fillna("none")
    # A file knows no texts: 45 megabytes come back as 45.0.
    return table.map(lambda value: f"{value:g}" if isinstance(value, float) else value)


def systems_fragment(table: pd.DataFrame) -> str:
    """Return the README's table of systems as Markdown, each linked to its notebook.

    Parameters
    ----------
    table : pd.DataFrame
        As returned by `all_systems`. Systems with a claim are shown, and of this study's
        own the best single network under the strictest protocol and under the leakiest;
        variants and training times stand in the notebooks.
    """
    best = [SYSTEMS[name].title for name in (BEST_SINGLE, BEST_LEAKY)]
    ours = table["system"].str.replace(REFIT, "", regex=False).isin(best)
    table = table[ours | table["published"].ne(NOT_PUBLISHED)]
    links = [f"[{name[:2]}](notebooks/{name}.ipynb)" for name in table["notebook"]]
    return markdown_table(table.assign(notebook=links).drop(columns="training"))
