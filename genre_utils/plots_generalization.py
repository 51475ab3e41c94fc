"""Figures on other music and damaged sound."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from genre_utils.plots import OUTLINE, PALETTE, confusion_matrices, errors, nothing, styled
from genre_utils.words import count_of

_MARKERS = "oDs^v"
_LEAST_SPAN, _MARGIN = 0.15, 0.03


@styled
def home_and_away(table: pd.DataFrame, *, home: str, away: str) -> Figure:
    """Draw each network's accuracy at home and on music from elsewhere, side by side.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_generalization.home_and_away` returns it; one panel for what may be
        answered.
    home, away : str
        Names of the two.
    """
    if table.empty:
        return nothing("no music from elsewhere here")
    names = list(dict.fromkeys(table["title"]))
    panels = list(table.groupby("answers", sort=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(10, 0.6 * len(names) + 1.9), sharey=True, squeeze=False
    )
    for axis, (answers, rows) in zip(axes[0], panels, strict=True):
        for i, (column, label) in enumerate((("home", home), ("away", away))):
            y = np.array([names.index(name) for name in rows["title"]]) + 0.2 * (i - 0.5)
            axis.errorbar(
                rows[column], y, xerr=errors(rows, column), fmt=_MARKERS[i], color=PALETTE[i],
                capsize=3, label=label if axis is axes[0][0] else None,
            )  # fmt: skip
            for value, end, at in zip(rows[column], rows[f"{column}_high"], y, strict=True):
                axis.annotate(
                    f"{value:.2f}", (end, at), xytext=(5, 0), textcoords="offset points",
                    va="center", fontsize=9, color=PALETTE[i],
                )  # fmt: skip
        axis.axvline(rows["chance"].iloc[0], color="0.5", linestyle=":")
        axis.set_title(f"It may answer: {answers}")
        axis.set_xlim(0, 1.08)
        axis.set_xlabel("accuracy (95 % interval); dotted: guessing")
        axis.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


@styled
def genres(table: pd.DataFrame, *, home: str, away: str) -> Figure:
    """Draw recall by genre at home and away, and how sure the network is there.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_generalization.by_genre` returns it.
    home, away : str
        Names of the two.
    """
    value = "recall" if "recall" in table else "recall_home"
    if table.empty:
        return nothing("no predictions here")
    table = table.sort_values(value)
    figure, axis = plt.subplots(figsize=(8, 0.55 * len(table) + 1.8))
    rows = np.arange(len(table))
    pairs = [("home", home, 0.14), ("", away, -0.14)]
    for i, (which, label, shift) in enumerate(pairs):
        ending = f"_{which}" if which else ""
        if f"recall{ending}" not in table:
            continue
        columns = [f"recall{end}{ending}" for end in ("", "_low", "_high")]
        recalls = table[columns].astype(float)
        axis.errorbar(
            recalls[columns[0]], rows + shift, xerr=errors(recalls, *columns), fmt="o",
            color=PALETTE[i], capsize=3, label=f"recall, {label}",
        )  # fmt: skip
        axis.plot(
            table[f"confidence{ending}"].astype(float), rows + shift, _MARKERS[1],
            markerfacecolor="white", color=PALETTE[i], markersize=6,
            label=f"mean confidence, {label}",
        )  # fmt: skip
    axis.set_yticks(rows, table["genre"])
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("share of the genre's tracks (95 % interval)")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def confusions(matrices: dict[str, pd.DataFrame]) -> Figure:
    """Draw confusion matrices as `plots.confusion_matrices` does, or say that there are none."""
    if not matrices:
        return nothing("no predictions here")
    figure = confusion_matrices(matrices)
    figure.set_figheight(2.0 + 0.38 * max(map(len, matrices.values())))
    return figure


@styled
def reliability(table: pd.DataFrame) -> Figure:
    """Draw how often the network is right against how sure it is; larger marks: more clips.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_generalization.reliability` returns it.
    """
    if table.empty:
        return nothing("no predictions here")
    figure, axis = plt.subplots(figsize=(6.4, 5.2))
    axis.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="as sure as right")
    for i, (music, rows) in enumerate(table.groupby("music", sort=False)):
        axis.plot(rows["confidence"], rows["accuracy"], color=PALETTE[i], alpha=0.5)
        axis.scatter(
            rows["confidence"], rows["accuracy"], s=_area(rows["n"]), color=PALETTE[i],
            marker=_MARKERS[i % 5], label=f"{music} ({rows['n'].sum()})", zorder=3,
            clip_on=False,
        )  # fmt: skip
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("how sure it is (probability of its answer)")
    axis.set_ylabel("how often it is right")
    legend = axis.legend(loc="upper left", fontsize=9)
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([36])
    axis.add_artist(legend)
    sizes = [
        axis.scatter([], [], s=_area(n), color="0.75", label=count_of(n, "clip")) for n in (10, 100)
    ]
    axis.legend(
        handles=sizes, title="area: clips that are so sure", loc="lower right", fontsize=9,
        title_fontsize=9, labelspacing=0.9,
    )  # fmt: skip
    return figure


def _area(n_clips):
    return 10 + 3 * n_clips


@styled
def coverage(
    table: pd.DataFrame, *, thresholds: tuple[float, ...], fewest: int = 10, few: int = 30
) -> Figure:
    """Draw accuracy among the answers against the share of clips that are answered.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_generalization.coverage` returns it.
    thresholds : tuple of float
        Marked on each line: where the answers are at least as sure as this.
    fewest, few : int
        Lines begin where `fewest` clips are answered; they are thin, and marks hollow, where
        there are less than `few`.
    """
    if table.empty:
        return nothing("no predictions here")
    figure, axis = plt.subplots(figsize=(8, 4.6))
    marks = []
    for i, (music, rows) in enumerate(table.groupby("music", sort=False)):
        color, marker = PALETTE[i], _MARKERS[i % 5]
        for part, width in ((rows.iloc[fewest - 1 : few], 0.7), (rows.iloc[few - 1 :], 1.6)):
            axis.plot(part["coverage"], part["accuracy"], color=color, linewidth=width)
        axis.plot([], [], marker=marker, color=color, label=music)
        for threshold in thresholds:
            n = int((rows["confidence"] >= threshold).sum())
            if n >= fewest:
                x, y = rows[["coverage", "accuracy"]].iloc[n - 1]
                fill = "white" if n < few else color
                axis.plot(x, y, marker, color=color, markerfacecolor=fill, clip_on=False)
                marks.append((x, y, f"{threshold:g}", color))
    _label_marks(axis, marks)
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.08)
    axis.set_xlabel(
        "share of clips that are answered, the surest first (marks: at least so sure;\n"
        f"thin and hollow: fewer than {few} clips)"
    )
    axis.set_ylabel("accuracy among them")
    axis.legend(loc="lower left", fontsize=9)
    return figure


def _label_marks(axis, marks: list[tuple]) -> None:
    """Write each mark's text above it, or below where another mark is close above."""
    for x, y, text, color in marks:
        below = any(abs(x - other[0]) < 0.06 and 0 < other[1] - y < 0.15 for other in marks)
        axis.annotate(
            text, (x, y), xytext=(0, -13 if below else 7), textcoords="offset points",
            ha="center", fontsize=8, color=color, path_effects=OUTLINE,
        )  # fmt: skip


@styled
def damages(table: pd.DataFrame) -> Figure:
    """Draw what each damage costs, one panel a music.

    Parameters
    ----------
    table : pd.DataFrame
        As `tables_generalization.damages` returns it.
    """
    if table.empty:
        return nothing("no sound here")
    names = list(dict.fromkeys(table["damage"]))
    panels = list(table.groupby("music", sort=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3 + 2.7 * len(panels), 0.31 * len(names) + 1.7), sharey=True,
        sharex=True, squeeze=False,
    )  # fmt: skip
    for i, (axis, (music, rows)) in enumerate(zip(axes[0], panels, strict=True)):
        y = np.array([names.index(name) for name in rows["damage"]])
        axis.axvline(0, color="0.4", linewidth=1)
        axis.errorbar(
            rows["difference"], y, xerr=errors(rows, "difference", "low", "high"),
            fmt=_MARKERS[i % 5], color=PALETTE[i], capsize=2,
        )  # fmt: skip
        first = rows.iloc[0]
        axis.set_title(
            f"{music}: {first['n_tracks']} clips,\n{first['accuracy_as_it_is']:.2f} undamaged",
            fontsize=10,
        )
        axis.grid(axis="y", visible=True)
    left, right = min(-_LEAST_SPAN, table["low"].min()), max(_LEAST_SPAN, table["high"].max())
    axes[0][0].set_xlim(left - _MARGIN, right + _MARGIN)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) - 0.4, -0.6)
    figure.supxlabel("accuracy gained or lost (95 % interval, same clips)", fontsize=10)
    return figure
