"""Tables of the notebook on transfer learning, made from stored predictions alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import evaluation, stacking, tables, tables_deep
from genre_utils.datasets import Dataset
from genre_utils.distillation import DISTILLED
from genre_utils.experiments import Store, StudyResult
from genre_utils.models.classical import CLASSICAL
from genre_utils.models.pretrained import PRETRAINED
from genre_utils.project import Outputs
from genre_utils.results import interval, markdown_table
from genre_utils.words import count_of, enumeration

_SUMMARY = [
    "n_tracks", "accuracy", "accuracy_low", "accuracy_high", "accuracy_artist_low",
    "accuracy_artist_high", "macro_f1", "macro_f1_low", "macro_f1_high", "n_artists",
]  # fmt: skip
COMPARED = [
    "accuracy", "accuracy_against", "difference", "low", "high", "mcnemar_p", "n_tracks",
]  # fmt: skip
"""Columns of two systems on the same items, see `compared`."""

TITLES = {
    stacking.SCRATCH: "ensemble without pretraining",
    stacking.PRETRAINED: "ensemble with pretraining",
    stacking.PICTURES: "ensemble with pretraining that sees pictures only",
}
"""How tables call the headlines."""


def title(model: str) -> str:
    """Return the name for readers of a headline, a member or a network."""
    if model in stacking.MEMBERS:
        return stacking.MEMBERS[model].title
    if model.endswith(DISTILLED):
        return tables_deep.title(model.removesuffix(DISTILLED)) + DISTILLED
    name, bracket, how = model.partition(" (")
    if name in PRETRAINED:
        return PRETRAINED[name].title + bracket + how
    return TITLES.get(model) or tables_deep.title(model)


def anchors() -> pd.DataFrame:
    """Return what others published on the same test tracks.

    Returns
    -------
    pd.DataFrame
        ``system, accuracy, pretrained_on, protocol, caveat, source``.
    """
    return pd.read_csv(Path(__file__).parent / "data" / "anchors.csv")


def joined(*results: StudyResult) -> StudyResult:
    """Return several studies as one."""
    parts = {
        name: [getattr(result, name) for result in results if len(getattr(result, name))]
        for name in ("predictions", "runs", "impossible")
    }
    return StudyResult(
        **{
            name: pd.concat(found, ignore_index=True) if found else getattr(results[0], name)
            for name, found in parts.items()
        }
    )


def headlines(result: StudyResult, dataset: Dataset, *, n_boot: int) -> pd.DataFrame:
    """Return what each headline reaches on the test part, with all that makes it citable.

    Parameters
    ----------
    result : StudyResult
        Of `stacking.run_headlines`.
    dataset : Dataset
        Says which artist each track is by.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a headline: ``model, title``; ``inner_accuracy`` (from folds inside the
        training part, and slightly too good, since the weights were chosen on them);
        accuracy with intervals from drawing tracks and from drawing artists
        (``accuracy_artist_low, _high``), macro F1 with its interval, ``n_tracks``,
        ``n_artists``, ``largest_artist`` (most test tracks of one artist), ``n_train`` of
        the ``n_train_part`` tracks in the training part, ``n_members`` that carry weight,
        and what these are ``pretrained_on``. Headlines that could not be made have a
        ``reason`` instead.
    """
    artists = dataset.artists
    runs = result.runs.set_index("model")
    n_train_part = int(dataset.tracks["fault_filtered_split"].eq("train").sum())
    table = []
    for model, rows in _final(result).groupby("model", sort=False):
        summary = evaluation.summary(rows, artists=artists, n_boot=n_boot)
        counts = artists.reindex(rows["track_id"]).value_counts()
        table.append(
            {
                "model": model,
                "title": title(model),
                "inner_accuracy": runs.loc[model, "validation_accuracy"],
                **{name: summary[name] for name in _SUMMARY},
                "largest_artist": int(counts.max()) if len(counts) else 1,
                "n_train": int(rows["n_train"].iloc[0]),
                "n_train_part": n_train_part,
                "n_members": len(runs.loc[model, "weights"]),
                "pretrained_on": _pretrained_on(runs.loc[model, "weights"]),
                "reason": None,
            }
        )
    for row in result.impossible.to_dict("records"):
        table.append({name: row[name] for name in ("model", "reason")})
        table[-1]["title"] = title(row["model"])
    return pd.DataFrame(table)


def _pretrained_on(weights: Mapping[str, float]) -> str:
    """Return which pretrained networks the members with weight rest on."""
    carrying = [stacking.MEMBERS[name] for name in weights if name in stacking.MEMBERS]
    blocks = {block for member in carrying for block in member.blocks}
    heard = [name for name, theirs in stacking.LISTENERS.items() if blocks & theirs]
    return f"Million Song Dataset ({enumeration(heard)})" if heard else "nothing"


def _final(result: StudyResult) -> pd.DataFrame:
    rows = result.predictions
    return rows[(rows["stage"] == "final") & (rows["protocol"] == stacking.PROTOCOL)]


def accuracies(result: StudyResult, dataset: Dataset, *, n_boot: int) -> pd.DataFrame:
    """Return what single models reach on the test part, or why they were left out.

    Parameters
    ----------
    result : StudyResult
        Rows of stage ``final``; all seeds of a model count together.
    dataset : Dataset
        Says which artist each track is by.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        ``model, title``, accuracy and macro F1 with intervals, ``n_tracks``, ``n_seeds``,
        ``reason`` of what could not be answered.
    """
    table = []
    for model, rows in _final(result).groupby("model", sort=False):
        tracks = tables.to_tracks(rows)
        summary = evaluation.summary(tracks, artists=dataset.artists, n_boot=n_boot)
        table.append(
            {"model": model, "title": title(model)}
            | {name: summary[name] for name in _SUMMARY}
            | {"n_seeds": tracks["seed"].nunique(), "reason": None}
        )
    for row in result.impossible.to_dict("records"):
        if row["stage"] == "final":
            table.append({"model": row["model"], "title": title(row["model"])})
            table[-1]["reason"] = row["reason"]
    return pd.DataFrame(table, columns=["model", "title", *_SUMMARY, "n_seeds", "reason"])


def accuracies_to_read(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `accuracies` or `headlines` for readers: intervals as text."""
    rows = table.reindex(columns=["title", *_SUMMARY, "reason"])
    return pd.DataFrame(
        {
            "system": rows["title"],
            "accuracy": [interval(row) for _, row in rows.iterrows()],
            "macro F1": [interval(row, "macro_f1") for _, row in rows.iterrows()],
            "tracks": [_whole(n) for n in rows["n_tracks"]],
            "artists": [_whole(n) for n in rows["n_artists"]],
            "left out, because": rows["reason"].fillna(""),
        }
    )


def _of_all(n: float, n_all: float) -> str:
    return f"{n:.0f}" if n == n_all else f"{n:.0f} of {n_all:.0f}"


def _whole(n: float) -> str:
    return "–" if pd.isna(n) else f"{n:.0f}"


def members(predictions: pd.DataFrame, result: StudyResult) -> pd.DataFrame:
    """Return what each member knows, and how much it weighs in each headline.

    Parameters
    ----------
    predictions : pd.DataFrame
        Rows of members and networks, of the stages ``inner`` and ``final``.
    result : StudyResult
        Of `stacking.run_headlines`.

    Returns
    -------
    pd.DataFrame
        One row a member, the best inside the training part first: ``model, title,
        inner_accuracy, test_accuracy`` (of the mean over seeds), ``n_seeds``, and one
        column a headline with its weight in [0, 1].
    """
    rows = predictions[predictions["model"].isin(stacking.members_with_both(predictions))]
    table = []
    for model, of_member in rows.groupby("model", sort=False):
        stages = dict(tuple(of_member.groupby("stage")))
        table.append(
            {
                "model": model,
                "title": title(model),
                "inner_accuracy": _mean_accuracy(stages["inner"]),
                "test_accuracy": _mean_accuracy(stages["final"]),
                "n_seeds": stages["final"]["seed"].nunique(),
            }
        )
    frame = pd.DataFrame(table).sort_values("inner_accuracy", ascending=False, ignore_index=True)
    for _, run in result.runs.iterrows():
        frame[run["model"]] = frame["model"].map(run["weights"]).fillna(0.0)
    return frame


def _mean_accuracy(rows: pd.DataFrame) -> float:
    """Return the accuracy of the mean over segments and seeds."""
    means = stacking.by_track(rows).reset_index()
    truth = rows.drop_duplicates("track_id").set_index("track_id")["y_true"]
    means["y_true"] = truth.loc[means["track_id"]].to_numpy()
    return float((evaluation.labels(means) == means["y_true"]).mean())


def baselines(outputs: Outputs) -> dict[str, pd.DataFrame]:
    """Return the stored test predictions that the headlines are compared with.

    Parameters
    ----------
    outputs : Outputs
        Where notebooks 03 and 05 stored theirs.

    Returns
    -------
    dict of str to pd.DataFrame
        Title → rows, one a track and seed: the untuned SVM, the baseline and the single
        network of best validation accuracy. Studies that are not stored are left out.
    """
    found = {}
    classical = Store("03_baselines", outputs).load_or_none()
    if classical is not None:
        untuned = _chosen(classical, ["svm_c10"])
        best = _chosen(classical, list(dict.fromkeys(classical.runs["model"])))
        for chosen in (untuned, best):
            if len(chosen):
                name, segment_s = chosen["model"].iloc[0], chosen["segment_s"].iloc[0]
                called = CLASSICAL[name].title
                found[f"{called}, {segment_s:g} s (03)"] = tables.to_tracks(chosen)
    networks = Store("05_sequence_models", outputs).load_or_none()
    if networks is not None:
        chosen = _chosen(networks, list(dict.fromkeys(networks.runs["model"])))
        if len(chosen):
            called = tables_deep.title(chosen["model"].iloc[0])
            found[f"{called} (05)"] = tables.to_tracks(chosen)
    return found


def best_network(networks: StudyResult) -> dict[str, pd.DataFrame]:
    """Return the test predictions of the network that is best inside the training part.

    Parameters
    ----------
    networks : StudyResult
        Rows of the stages ``inner`` and ``final``.

    Returns
    -------
    dict of str to pd.DataFrame
        Its title, with its number of seeds → rows, one a track and seed; empty where no
        network has both stages.
    """
    rows = networks.predictions
    inside = rows[rows["stage"].eq("inner") & rows["model"].isin(_final(networks)["model"])]
    if inside.empty:
        return {}
    scores = {model: _mean_accuracy(part) for model, part in inside.groupby("model", sort=False)}
    best = max(scores, key=scores.get)
    found = tables.to_tracks(_final(networks).loc[lambda final: final["model"] == best])
    return {f"{title(best)}, {count_of(found['seed'].nunique(), 'seed')} (07)": found}


def _chosen(result: StudyResult, models: list[str]) -> pd.DataFrame:
    """Return the rows of the setting with the best validation accuracy on the most tracks."""
    rows = _final(result)
    rows = rows[rows["model"].isin(models)]
    settings = ["model", "source", "segment_s"]
    n_tracks = rows.groupby(settings)["track_id"].nunique()
    runs = result.runs
    runs = runs[(runs["stage"] == "final") & (runs["protocol"] == stacking.PROTOCOL)]
    scores = runs.groupby(settings)["validation_accuracy"].apply(lambda s: s.astype(float).mean())
    scores = scores.reindex(n_tracks.index[n_tracks == n_tracks.max()]).dropna()
    if scores.empty:
        return rows.iloc[:0]
    return rows[(rows[settings] == list(scores.idxmax())).all(axis=1)]


def against(
    result: StudyResult, others: Mapping[str, pd.DataFrame], *, n_boot: int
) -> pd.DataFrame:
    """Compare each headline with baselines, on the tracks that both have predicted.

    Parameters
    ----------
    result : StudyResult
        Of `stacking.run_headlines`.
    others : mapping of str to pd.DataFrame
        Title → prediction rows, one a track and seed.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        ``title, against, accuracy, accuracy_against, difference`` with its 95 % interval
        ``low, high`` from drawing tracks, the exact ``mcnemar_p`` (not corrected for the
        number of comparisons), ``n_tracks``. The first two headlines are compared with
        each other, too.
    """
    ours = dict(tuple(_final(result).groupby("model", sort=False)))
    pairs = [(model, name, rows) for model in ours for name, rows in others.items()]
    if {stacking.SCRATCH, stacking.PRETRAINED} <= set(ours):
        name = title(stacking.SCRATCH)
        pairs.append((stacking.PRETRAINED, name, ours[stacking.SCRATCH]))
    table = []
    for model, name, rows in pairs:
        both = set(ours[model]["track_id"]) & set(rows["track_id"])
        parts = [part[part["track_id"].isin(both)] for part in (ours[model], rows)]
        if both:
            names = {"title": title(model), "against": name}
            table.append(names | compared(*parts, n_boot=n_boot))
    return pd.DataFrame(table, columns=["title", "against", *COMPARED])


def taught(result: StudyResult, *, n_boot: int) -> pd.DataFrame:
    """Compare networks that an ensemble taught with the same ones taught by labels alone.

    Parameters
    ----------
    result : StudyResult
        Rows of both kinds, of stage ``final``.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a network that both ways have seeds in common, from these seeds alone:
        ``title, against, n_seeds``, ``accuracy_low, accuracy_high``, and the columns of
        `against`.
    """
    table = []
    rows = tables.to_tracks(_final(result))
    for model in dict.fromkeys(rows["model"]):
        alone = model.removesuffix(DISTILLED)
        pair = [rows[rows["model"] == name] for name in (model, alone)]
        seeds_of_both = set(pair[0]["seed"]) & set(pair[1]["seed"])
        if alone == model or not seeds_of_both:
            continue
        pair = [part[part["seed"].isin(seeds_of_both)] for part in pair]
        names = {"title": title(model), "against": title(alone), "n_seeds": len(seeds_of_both)}
        found = evaluation.summary(pair[0], n_boot=n_boot)
        table.append(names | found | compared(*pair, n_boot=n_boot))
    columns = ["title", "against", "n_seeds", "accuracy_low", "accuracy_high", *COMPARED]
    return pd.DataFrame(table, columns=columns)


def compared(ours: pd.DataFrame, theirs: pd.DataFrame, *, n_boot: int) -> dict[str, float]:
    """Return two accuracies, and `evaluation.paired` of them.

    Parameters
    ----------
    ours, theirs : pd.DataFrame
        Prediction rows of the same items.
    n_boot : int
        Bootstrap replicates.
    """
    accuracies = {"accuracy": _right(ours).mean(), "accuracy_against": _right(theirs).mean()}
    return accuracies | evaluation.paired(ours, theirs, n_boot=n_boot)


def _right(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(evaluation.labels(rows) == rows["y_true"].to_numpy(), rows.index)


def seeds(result: StudyResult) -> pd.DataFrame:
    """Return how far the seeds of each network lie apart on the test part.

    Returns
    -------
    pd.DataFrame
        ``title, n_seeds, mean, sd, lowest, highest, of_the_mean`` (accuracy of the mean
        of all seeds' probabilities), one row a network; per track.
    """
    table = []
    for model, rows in _final(result).groupby("model", sort=False):
        tracks = tables.to_tracks(rows)
        each = _right(tracks).groupby(tracks["seed"]).mean()
        table.append(
            {
                "title": title(model),
                "n_seeds": len(each),
                "mean": each.mean(),
                "sd": each.std(),
                "lowest": each.min(),
                "highest": each.max(),
                "of_the_mean": _mean_accuracy(rows),
            }
        )
    columns = ["title", "n_seeds", "mean", "sd", "lowest", "highest", "of_the_mean"]
    return pd.DataFrame(table, columns=columns)


def shared_artists(dataset: Dataset) -> pd.DataFrame:
    """Return the artists with tracks in the training and in the test part.

    Returns
    -------
    pd.DataFrame
        ``artist_id, n_train, n_test``.
    """
    tracks = dataset.tracks.dropna(subset="artist_id")
    counts = tracks.groupby(["artist_id", "fault_filtered_split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["train", "test"], fill_value=0)
    both = counts[(counts > 0).all(axis=1)].reset_index()
    return both.rename(columns={"train": "n_train", "test": "n_test"}).rename_axis(columns=None)


def without_shared_artists(result: StudyResult, dataset: Dataset, *, n_boot: int) -> pd.DataFrame:
    """Return each headline's accuracy with and without test tracks of shared artists.

    Returns
    -------
    pd.DataFrame
        ``title, tracks`` (which), ``n_tracks``, ``accuracy`` with ``_low`` and ``_high``.
    """
    artists = set(shared_artists(dataset)["artist_id"])
    of_track = dataset.tracks.set_index("track_id")["artist_id"]
    table = []
    for model, rows in _final(result).groupby("model", sort=False):
        shared = of_track.reindex(rows["track_id"]).isin(artists).to_numpy()
        parts = {"all": rows, "without artists of the training part": rows[~shared]}
        for name, part in parts.items():
            summary = evaluation.summary(part, n_boot=n_boot)
            kept = ("n_tracks", "accuracy", "accuracy_low", "accuracy_high")
            table.append(
                {"title": title(model), "tracks": name} | {key: summary[key] for key in kept}
            )
    return pd.DataFrame(table)


def new_music(
    result: StudyResult, *, known_copies: Sequence[str] = (), n_boot: int
) -> pd.DataFrame:
    """Return how well models name the genres of music from elsewhere.

    Parameters
    ----------
    result : StudyResult
        Rows of stage ``elsewhere``; several seeds of a model count together.
    known_copies : sequence of str
        How the ids of tracks end that are also in the data learnt from; left out.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        One row a model and ``answers``: ``all genres`` (the most probable of all), or
        ``genres there are`` (the most probable of those in the new music); ``accuracy``
        and ``macro_f1`` with intervals from drawing tracks, ``n_tracks``, ``chance``.
    """
    rows = result.predictions
    rows = rows[rows["stage"] == "elsewhere"]
    endings = tuple(name.lower() for name in known_copies)
    rows = rows[~rows["track_id"].str.lower().str.endswith(endings)]
    table = []
    for model, of_model in rows.groupby("model", sort=False):
        tracks = tables.to_tracks(of_model)
        there = [f"p_{genre}" for genre in sorted(set(tracks["y_true"]))]
        every = evaluation.probability_columns(tracks)
        for answers, columns in (("all genres", every), ("genres there are", there)):
            summary = evaluation.summary(restricted(tracks, columns), n_boot=n_boot)
            kept = [name for name in _SUMMARY if name in summary]
            table.append(
                {"model": model, "title": title(model), "answers": answers}
                | {name: summary[name] for name in kept}
                | {"chance": 1 / len(columns)}
            )
    columns = ["model", "title", "answers", "accuracy", "accuracy_low", "accuracy_high"]
    columns += ["macro_f1", "macro_f1_low", "macro_f1_high", "n_tracks", "chance"]
    return pd.DataFrame(table, columns=columns)


def restricted(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return rows whose probabilities are shared out among some genres only.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows.
    columns : list of str
        Names ``p_<genre>`` of the genres that may be named.
    """
    others = [name for name in evaluation.probability_columns(rows) if name not in columns]
    kept = rows.drop(columns=others)
    # A model that gives none of them any probability has no opinion: all count the same.
    shares = kept[columns].to_numpy(float) + 1e-9
    kept[columns] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return kept


def beside_anchors(headline_table: pd.DataFrame, anchor_table: pd.DataFrame) -> pd.DataFrame:
    """Return our headlines and what others published, in one table to read.

    Parameters
    ----------
    headline_table : pd.DataFrame
        As returned by `headlines`, or as read from its file.
    anchor_table : pd.DataFrame
        As returned by `anchors`.
    """
    ours = headline_table[headline_table["accuracy"].notna()]
    rows = [
        {
            "system": f"**{row['title']}**",
            "pretrained on": row["pretrained_on"],
            "accuracy": interval(row),
            "how": f"{_of_all(row['n_train'], row['n_train_part'])} training tracks, "
            f"chosen inside them; {row['n_tracks']:.0f} test tracks; resampling whole artists: "
            f"{row['accuracy_artist_low']:.2f}–{row['accuracy_artist_high']:.2f}",
            "source": "this study",
        }
        for _, row in ours.iterrows()
    ]
    rows += [
        {
            "system": row["system"],
            "pretrained on": row["pretrained_on"],
            "accuracy": f"{row['accuracy']:.3g}",
            "how": f"{row['protocol']}; {row['caveat']}",
            "source": row["source"],
        }
        for _, row in anchor_table.iterrows()
    ]
    return pd.DataFrame(rows)


def headline_fragment(headline_table: pd.DataFrame, anchor_table: pd.DataFrame) -> str:
    """Return the README's table of the headlines beside the anchors as Markdown."""
    return markdown_table(beside_anchors(headline_table, anchor_table))
