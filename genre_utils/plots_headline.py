"""Figures of the study's headlines: beside what was published, and what they are made of."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from genre_utils import stacking
from genre_utils.plots import PALETTE, errors, nothing, styled

_COLOURS = {
    stacking.SCRATCH: PALETTE[0],
    stacking.PICTURES: PALETTE[2],
    stacking.PRETRAINED: PALETTE[1],
}


@styled
def headlines(table: pd.DataFrame, anchors: pd.DataFrame, *, chance: float) -> Figure:
    """Draw the headlines with both intervals, above what others published.

    Parameters
    ----------
    table, anchors : pd.DataFrame
        As `tables_transfer.headlines` and `tables_transfer.anchors` return them.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    rows = table[table["accuracy"].notna()]
    anchors = anchors.sort_values("accuracy")
    labels = [*rows["title"], *(f"{name} (published)" for name in anchors["system"])]
    figure, axis = plt.subplots(figsize=(9, 0.5 * len(labels) + 1.5))
    for at, (_, row) in enumerate(rows.iterrows()):
        colour = _COLOURS.get(row["model"], PALETTE[3])
        for ending, width in (("_artist", 1.2), ("", 4.5)):
            ends = [row[f"accuracy{ending}_low"], row[f"accuracy{ending}_high"]]
            axis.plot(ends, [at, at], color=colour, linewidth=width, solid_capstyle="butt")
        axis.plot(row["accuracy"], at, "o", color=colour, markersize=8, markeredgecolor="white")
        _label(axis, row["accuracy"], at, colour)
    for at, accuracy in enumerate(anchors["accuracy"], start=len(rows)):
        axis.plot(accuracy, at, "D", color="0.35", markersize=7)
        _label(axis, accuracy, at, "0.35")
    axis.axvline(chance, color="0.5", linestyle=":")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(
        "accuracy on the fault-filtered test; dotted: guessing\n"
        "(95 % intervals; thick: drawing tracks, thin: drawing artists)"
    )
    axis.set_title("How high can an honest number go?")
    return figure


def _label(axis, value: float, at: float, colour: str) -> None:
    axis.annotate(
        f"{value:.3g}" if colour == "0.35" else f"{value:.2f}", (value, at), xytext=(0, 8),
        textcoords="offset points", ha="center", fontsize=9, color=colour,
    )  # fmt: skip


@styled
def members(table: pd.DataFrame) -> Figure:
    """Draw what each member reaches inside the training part and on the test part, and its weight.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_transfer.members` returns it.
    """
    names = [name for name in _COLOURS if name in table]
    figure, axes = plt.subplots(
        1, 2, figsize=(11, 0.3 * len(table) + 1.7), sharey=True, width_ratios=[1.5, 1]
    )
    y = np.arange(len(table))
    axes[0].hlines(y, table["inner_accuracy"], table["test_accuracy"], color="0.75")
    axes[0].plot(
        table["inner_accuracy"], y, "o", color=PALETTE[0], label="inside the training part"
    )
    axes[0].plot(
        table["test_accuracy"], y, "D", markerfacecolor="white", color=PALETTE[3],
        label="on the test part",
    )  # fmt: skip
    axes[0].set_yticks(y, table["title"])
    axes[0].set_ylim(len(table) - 0.4, -0.6)
    axes[0].set_xlabel("accuracy")
    axes[0].set_title("What each member knows")
    for i, name in enumerate(names):
        height = 0.8 / max(len(names), 1)
        at = y + height * (i - (len(names) - 1) / 2)
        axes[1].barh(at, table[name], height, color=_COLOURS[name], label=_SHORT[name])
    axes[1].set_xlabel("weight")
    axes[1].set_title("What it weighs")
    for axis in axes:
        axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=5, fontsize=9)
    return figure


_SHORT = {
    stacking.SCRATCH: "without pretraining",
    stacking.PRETRAINED: "with pretraining",
    stacking.PICTURES: "from pictures",
}


@styled
def new_music(table: pd.DataFrame) -> Figure:
    """Draw accuracy on music from elsewhere, among all genres and among those that are there.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_transfer.new_music` returns it.
    """
    names = list(dict.fromkeys(table["title"]))
    if not names:
        return nothing("no music from elsewhere here")
    figure, axis = plt.subplots(figsize=(9, 0.55 * len(names) + 1.7))
    for i, (answers, rows) in enumerate(table.groupby("answers", sort=False)):
        y = [names.index(name) + 0.22 * (i - 0.5) for name in rows["title"]]
        axis.errorbar(
            rows["accuracy"], y, xerr=errors(rows, "accuracy"), fmt="oD"[i % 2],
            color=PALETTE[i], capsize=3, label=f"among {answers}",
        )  # fmt: skip
        for value, high, at in zip(rows["accuracy"], rows["accuracy_high"], y, strict=True):
            axis.annotate(
                f"{value:.2f}", (high, at), xytext=(5, 0), textcoords="offset points", va="center",
                fontsize=9, color=PALETTE[i],
            )  # fmt: skip
        axis.axvline(rows["chance"].iloc[0], color=PALETTE[i], linestyle=":")
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("accuracy on music from elsewhere (95 % interval; dotted: guessing)")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure
