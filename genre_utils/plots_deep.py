"""Figures of the studies on networks; they take what `tables_deep` returns."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from genre_utils.gtzan_spectrogram import hertz_ticks
from genre_utils.plots import PALETTE, PROTOCOL_TITLES, errors, nothing, styled

_MARKERS = "osD^vPX"
_RELATIONS = {
    "same track": PALETTE[3],
    "same artist": PALETTE[1],
    "same genre": PALETTE[0],
    "other genre": PALETTE[7],
}


@styled
def representations(pictures: dict[str, np.ndarray], *, seconds: float) -> Figure:
    """Draw one signal in several representations, one above the other.

    Parameters
    ----------
    pictures : dict of str to np.ndarray [shape=(height, width), dtype=uint8]
        Title → picture as `images` draws it, its top row first.
    seconds : float
        Length of the signal.
    """
    figure, axes = plt.subplots(
        len(pictures), 1, figsize=(7, 1.35 * len(pictures) + 0.4), sharex=True, squeeze=False
    )
    for axis, (name, picture) in zip(axes[:, 0], pictures.items(), strict=True):
        axis.imshow(picture, aspect="auto", extent=(0, seconds, 0, 1), cmap="gray")
        axis.set_title(name)
        axis.set_yticks([])
        axis.grid(visible=False)
    axes[-1, 0].set_xlabel("seconds")
    return figure


@styled
def learning_curves(curves: pd.DataFrame, *, title: str) -> Figure:
    """Draw training and validation accuracy against the epoch, one panel a system.

    Parameters
    ----------
    curves : pd.DataFrame
        As `tables_deep.learning_curves` returns it, of one protocol.
    title : str
        What the figure says.
    """
    if curves.empty:
        return nothing("no network was trained epoch by epoch on this data")
    several = curves.groupby("title")["segment_s"].nunique().max() > 1
    keys = ["title", "segment_s"] if several else ["title"]
    groups = list(curves.groupby(keys, sort=False))
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.75 * max(columns, 2), 2.3 * rows + 0.9), sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axis, (key, group) in zip(axes.flat, groups, strict=False):
        name = f"{key[0]}, {key[1]:g} s" if several else key[0]
        _draw_curves(axis, name, group)
    for position, axis in enumerate(axes.flat):
        axis.set_visible(position < len(groups))
        # The lowest panel of each column.
        if position + columns >= len(groups):
            axis.set_xlabel("epoch")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    figure.supylabel("accuracy", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _draw_curves(axis, name: str, curves: pd.DataFrame) -> None:
    parts = {
        "train_accuracy": ("training (batches as trained on)", PALETTE[0]),
        "valid_accuracy": ("validation", PALETTE[1]),
    }
    # A single epoch has no line to draw.
    marker = "o" if len(curves) == 1 else None
    for column, (label, colour) in parts.items():
        axis.plot(curves["epoch"], curves[column], color=colour, label=label, marker=marker)
        axis.fill_between(
            curves["epoch"], curves[f"{column}_low"], curves[f"{column}_high"], color=colour,
            alpha=0.2, linewidth=0,
        )  # fmt: skip
    kept = curves["kept_epoch"].iloc[0]
    if np.isfinite(kept):
        axis.axvline(kept, color="0.4", linestyle=":", label="weights kept (mean)")
    axis.set_title(_wrapped(name), fontsize=9.5)
    axis.set_ylim(0, 1.02)
    axis.set_xlim(0.5, curves["epoch"].max() + 0.5)
    axis.xaxis.get_major_locator().set_params(integer=True)


def _wrapped(text: str, width: int = 27) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))


@styled
def occlusion(heard: list[dict], *, band_hz: np.ndarray, title: str) -> Figure:
    """Draw what a network listens to: one small map a track, over time and frequency.

    Parameters
    ----------
    heard : list of dict
        As `tables_deep.heard` returns it: ``genre, predicted, seconds, drop``
        [shape=(n_bands, n_times)], low bands first.
    band_hz : np.ndarray [shape=(n_mels,)]
        Centre of each mel band of the spectrogram in Hz, ascending; the patches of a map
        share them out evenly.
    title : str
        What the figure says.
    """
    if not heard:
        return nothing("no map was recorded on this data")
    band_hz = np.asarray(band_hz, dtype=float)
    columns = min(5, len(heard))
    rows = -(-len(heard) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.15 * max(columns, 2) + 0.8, 2.1 * rows + 0.7), sharex=True,
        sharey=True, squeeze=False,
    )  # fmt: skip
    limit = max(float(np.abs(track["drop"]).max()) for track in heard) or 1.0
    ticks = hertz_ticks(band_hz)
    for axis, track in zip(axes.flat, heard, strict=False):
        image = axis.imshow(
            np.asarray(track["drop"], dtype=float), origin="lower", aspect="auto",
            cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest",
            extent=(0, track["seconds"], 0, len(band_hz)),
        )  # fmt: skip
        right = track["predicted"] == track["genre"]
        axis.set_title(
            track["genre"] + ("" if right else f"\ntaken for {track['predicted']}"), fontsize=9.5
        )
        places = [len(band_hz) * place for place in ticks.values()]
        axis.set_yticks(places, [f"{hz:,}" for hz in ticks])
        axis.grid(visible=False)
    for axis in axes.flat[len(heard) :]:
        axis.set_visible(False)
    figure.supxlabel("seconds", fontsize=10)
    figure.supylabel("Hz (mel scale)", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.01)
    bar.set_label("probability lost when hidden", fontsize=9)
    bar.outline.set_visible(False)
    return figure


@styled
def segment_length(
    accuracy: pd.DataFrame, *, models: list[str], protocols: list[str], chance: float
) -> Figure:
    """Draw accuracy against the length of a segment: per segment, and per track.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As returned by `tables_deep.accuracy`.
    models : list of str
        At most four systems: one marker and line style each.
    protocols : list of str
        One colour each, from the leakiest to the strictest.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    rows = accuracy[
        accuracy["model"].isin(models)
        & accuracy["protocol"].isin(protocols)
        & (accuracy["stage"] == "final")
        & accuracy["accuracy"].notna()
    ]
    if rows.empty:
        return nothing("no segment length could be answered on this data")
    lengths = sorted(rows["segment_s"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(13, 5), sharey=True)
    what = {"segment": "Each segment answers", "track": "A track's segments in the test part vote"}
    for axis, (unit, heading) in zip(axes, what.items(), strict=True):
        ends = []
        for i, protocol in enumerate(protocols):
            for j, model in enumerate(models):
                line = rows[
                    (rows["protocol"] == protocol)
                    & (rows["model"] == model)
                    & (rows["unit"] == unit)
                ].sort_values("segment_s")
                if len(line):
                    aside = len(models) * i + j - (len(models) * len(protocols) - 1) / 2
                    ends.append(_draw_length(axis, line, i, j, 1.012**aside))
        _label_ends(axis, ends, 1.2 * lengths[-1])
        axis.axhline(chance, color="0.5", linestyle=":")
        axis.annotate(
            "guessing", (0.01, chance), xycoords=("axes fraction", "data"), va="bottom",
            xytext=(0, 2), textcoords="offset points", color="0.4", fontsize=9,
        )  # fmt: skip
        axis.set_title(heading)
        _length_axis(axis, lengths)
        axis.grid(axis="x", visible=False)
    axes[0].set_ylim(0, 1.02)
    axes[0].set_ylabel("accuracy (95 % interval)")
    return figure


def _length_axis(axis, lengths: list[float]) -> None:
    """Let the horizontal axis show lengths of segments, twice as long equally far apart."""
    axis.set_xscale("log")
    axis.set_xticks(lengths, [f"{s:g}" for s in lengths])
    axis.xaxis.set_minor_locator(NullLocator())
    names = axis.get_xticklabels()
    for (left, right), (length, longer) in zip(pairwise(names), pairwise(lengths), strict=True):
        if longer < 1.15 * length:
            left.set_ha("right")
            right.set_ha("left")
    axis.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.15)
    axis.set_xlabel("length of a segment in seconds (log scale)")


def _draw_length(axis, line: pd.DataFrame, i: int, j: int, aside: float) -> tuple:
    x = line["segment_s"].to_numpy() * aside
    axis.errorbar(
        x, line["accuracy"], errors(line, "accuracy"), color=PALETTE[i], markersize=5,
        marker=_MARKERS[j], linestyle=("-", "--", ":", "-.")[j], capsize=2, elinewidth=1,
        markerfacecolor=PALETTE[i] if j == 0 else "white",
    )  # fmt: skip
    last = line.iloc[-1]
    protocol = PROTOCOL_TITLES[last["protocol"]].replace("\n", " ")
    return x[-1], last["accuracy"], f"{last['title']},\n{protocol}", PALETTE[i]


def _label_ends(axis, ends: list[tuple], names_at: float) -> None:
    """Write each line's name beside its end, spread so that none covers another."""
    apart, at = 0.085, 1.07
    for x, y, text, colour in sorted(ends, key=lambda end: -end[1]):
        at = min(y, at - apart)
        # The names stand behind the longest length, also of lines that end before it.
        axis.annotate(
            text, (x, y), xytext=(names_at, at), va="center", fontsize=8.5, color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.4, "linewidth": 0.8},
        )  # fmt: skip


@styled
def genre_by_length(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw each genre's recall at each segment length as a heat map.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_deep.by_genre` returns it.
    title : str
        What the figure says.
    """
    if table.empty:
        return nothing("no segment length could be answered on this data")
    recall = table.pivot(index="genre", columns="segment_s", values="recall")
    recall = recall.loc[recall.mean(axis=1).sort_values(ascending=False).index]
    figure, axis = plt.subplots(
        figsize=(1.9 + 0.62 * max(recall.shape[1], 6), 0.36 * len(recall) + 1.4)
    )
    sns.heatmap(
        100 * recall, ax=axis, vmin=0, vmax=100, cmap="Blues", annot=True, fmt=".0f",
        annot_kws={"fontsize": 9}, cbar=False, linewidths=0.5,
    )  # fmt: skip
    axis.set_xticklabels([f"{s:g}" for s in recall.columns])
    axis.tick_params(length=0)
    axis.tick_params(axis="y", rotation=0)
    axis.set_xlabel("length of a segment in seconds")
    axis.set_ylabel("")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def costs(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw parameters and training time against the segment length.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_deep.costs` returns it.
    title : str
        What the figure says.
    """
    if table.empty:
        return nothing("nothing was trained on this data")
    lengths = sorted(table["segment_s"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
    measures = {"n_parameters": "parameters", "fit_s": "seconds for one training run"}
    for axis, (column, label) in zip(axes, measures.items(), strict=True):
        for j, (name, rows) in enumerate(table.groupby("title", sort=False)):
            rows = rows[rows[column] > 0]
            axis.plot(
                rows["segment_s"], rows[column], color=PALETTE[j],
                marker=_MARKERS[j % len(_MARKERS)], label=name,
            )  # fmt: skip
        axis.set_yscale("log")
        least, most = axis.get_ylim()
        axis.set_ylim(10 ** np.floor(np.log10(least)), 10 ** np.ceil(np.log10(most)))
        _length_axis(axis, lengths)
        axis.set_title(label, fontsize=10)
    axes[1].legend(fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def differences(table: pd.DataFrame, *, title: str, claim: float | None = None) -> Figure:
    """Draw differences in accuracy between pairs of systems, with their intervals.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_deep.compared` returns it; one row of the figure each.
    title : str
        What the figure says.
    claim : float, optional
        A claimed difference, drawn as a line.
    """
    if table.empty:
        return nothing("no pair could be compared on this data")
    rows = table.iloc[::-1].reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(8, 0.62 * len(rows) + 1.5))
    protocols = [p for p in PROTOCOL_TITLES if p in set(rows["protocol"])]
    for y, row in rows.iterrows():
        colour = PALETTE[protocols.index(row["protocol"])]
        beside = [
            [max(0, row["difference"] - row["low"])],
            [max(0, row["high"] - row["difference"])],
        ]
        axis.errorbar(row["difference"], y, xerr=beside, fmt="o", color=colour, capsize=3)
        axis.annotate(
            f"{row['difference']:+.2f}", (row["difference"], y), xytext=(0, 6), ha="center",
            textcoords="offset points", fontsize=9, color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    axis.axvline(0, color="0.4")
    if claim is not None:
        axis.axvline(claim, color="0.4", linestyle="--")
        axis.annotate(
            "claimed", (claim, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
            textcoords="offset points", va="top", fontsize=9, color="0.3",
        )  # fmt: skip
    names = [
        f"{row['title']}\nagainst {row['against']} ({row['protocol']})"
        for _, row in rows.iterrows()
    ]
    axis.set_yticks(range(len(rows)), names, fontsize=9)
    axis.set_ylim(-0.6, len(rows) - 0.2)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_xlabel("difference in accuracy per track (95 % interval)")
    axis.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def distances(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw how far segments are from each other, and whose the nearest one is.

    Parameters
    ----------
    table : pd.DataFrame
        As `segment_distance.measure` returns it; Euclidean distances are drawn.
    title : str
        What the figure says.
    """
    rows = table[table["distance"] == "euclidean"]
    if rows.empty:
        return nothing("no distance could be measured on this data")
    lengths = sorted(rows["segment_s"].unique())
    figure, (left, *others) = plt.subplots(
        1, 3, figsize=(13, 4.2), width_ratios=(1.3, 1, 1), sharex=True
    )
    x = np.arange(len(lengths))
    for i, (relation, colour) in enumerate(_RELATIONS.items()):
        of = rows[rows["relation"] == relation].set_index("segment_s").reindex(lengths)
        spread = errors(of, "median", "low_quartile", "high_quartile")
        left.errorbar(
            x + 0.08 * (i - 1.5), of["median"], spread, color=colour, marker=_MARKERS[i],
            markersize=5, capsize=2, elinewidth=1, label=relation,
        )  # fmt: skip
    shares = {
        "nearest_share": "Nearest, of two segments a track",
        "nearest_share_all": "Nearest, of all segments",
    }
    for axis, (column, heading) in zip(others, shares.items(), strict=True):
        of = rows.pivot(index="segment_s", columns="relation", values=column).fillna(0)
        floor = np.zeros(len(lengths))
        for relation, colour in _RELATIONS.items():
            axis.bar(x, of[relation], bottom=floor, color=colour, width=0.8)
            floor = floor + of[relation].to_numpy()
        axis.set_title(heading)
        axis.set_ylim(0, 1)
    left.set_title("Distance between two segments (median, quartiles)")
    left.set_ylabel("standard deviations")
    left.set_ylim(0, None)
    others[0].set_ylabel("share of segments")
    for axis in (left, *others):
        axis.set_xticks(x, [f"{s:g}" for s in lengths])
        axis.set_xlabel("length of a segment in seconds")
        axis.grid(axis="x", visible=False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
