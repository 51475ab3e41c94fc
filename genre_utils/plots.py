"""Figures: functions that take results and return a matplotlib figure, in one style."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from genre_utils.results import brief

PROTOCOL_TITLES = {
    "segment_random": "segments\nat random",
    "track_random": "tracks\nat random",
    "artist_grouped": "artists\nkept apart",
    "fault_filtered": "fault-filtered\ntest",
}
"""How figures call the protocols, from the leakiest to the strictest."""

PALETTE = sns.color_palette("colorblind", 10).as_hex()
"""Ten colours that colour-blind readers tell apart."""

OUTLINE = [withStroke(linewidth=3.5, foreground="white")]
"""Around words that lie on lines or points."""

_STYLE = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "font.size": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


def styled(function):
    """Draw a figure in the report's style."""

    def wrapper(*args, **kwargs) -> Figure:
        with plt.rc_context(_STYLE):
            return function(*args, **kwargs)

    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return wrapper


@styled
def nothing(why: str) -> Figure:
    """Draw a small figure that says what is missing."""
    figure, axis = plt.subplots(figsize=(6, 1))
    axis.axis("off")
    axis.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def errors(
    table: pd.DataFrame, value: str, low: str | None = None, high: str | None = None
) -> list[pd.Series]:
    """Return the lengths of error bars below and above a column's values.

    None is negative: a mean may lie outside its own percentiles, and an interval may miss
    its end by a rounding error.

    Parameters
    ----------
    table : pd.DataFrame
        One row a value.
    value : str
        Its column.
    low, high : str, optional
        Columns of the ends; by default the value's own, ``_low`` and ``_high``.
    """
    low, high = table[low or f"{value}_low"], table[high or f"{value}_high"]
    return [(table[value] - low).clip(lower=0), (high - table[value]).clip(lower=0)]


@styled
def ladders(panels: dict[str, pd.DataFrame], *, chance: float) -> Figure:
    """Draw accuracy against protocol, one line a model: the leakage ladder.

    Parameters
    ----------
    panels : dict of str to pd.DataFrame
        Title → ``title, protocol, accuracy, accuracy_low, accuracy_high``; accuracies in
        [0, 1]. One panel each, side by side.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1.4 + 5.4 * len(panels), 4.2), sharey=True, squeeze=False
    )
    for axis, (title, table) in zip(axes[0], panels.items(), strict=True):
        axis.set_title(title)
        if table.empty:
            axis.text(0.5, 0.5, "not possible on this data", ha="center", transform=axis.transAxes)
            axis.set_xticks([])
        else:
            _draw_ladder(axis, table, chance)
            axis.legend(loc="upper right")
    axes[0][0].set_ylabel("accuracy per segment")
    return figure


def _draw_ladder(axis, table: pd.DataFrame, chance: float) -> None:
    protocols = [p for p in PROTOCOL_TITLES if p in set(table["protocol"])]
    groups = list(table.groupby("title", sort=False))
    middle = (len(groups) - 1) / 2
    for i, (name, rows) in enumerate(groups):
        rows = rows.set_index("protocol").reindex(protocols)
        x = np.arange(len(protocols)) + 0.1 * (i - middle)
        axis.plot(x, rows["accuracy"], color=PALETTE[i], alpha=0.35)
        axis.errorbar(
            x, rows["accuracy"], errors(rows, "accuracy"), color=PALETTE[i], fmt="osD^v"[i % 5],
            capsize=3, label=name,
        )  # fmt: skip
        # Lines fall from left to right: beside them is room at the lower left and upper right.
        ending, side, ha, va = ("low", -1, "right", "top")
        if i > middle:
            ending, side, ha, va = ("high", 1, "left", "bottom")
        ends = rows[f"accuracy_{ending}"].fillna(rows["accuracy"])
        for position, value, end in zip(x, rows["accuracy"], ends, strict=True):
            if np.isfinite(value):
                axis.annotate(
                    f"{value:.2f}", (position, end), xytext=(-4 * side, 3 * side),
                    textcoords="offset points", ha=ha, va=va, color=PALETTE[i], fontsize=9,
                )  # fmt: skip
    axis.axhline(chance, color="0.5", linestyle=":")
    axis.annotate(
        "guessing", (0.01, chance), xycoords=("axes fraction", "data"), va="bottom",
        xytext=(0, 2), textcoords="offset points", color="0.4", fontsize=9,
    )  # fmt: skip
    axis.set_xticks(range(len(protocols)), [PROTOCOL_TITLES[p] for p in protocols])
    axis.set_xlim(-0.5, len(protocols) - 0.5)
    axis.set_ylim(0, 1.05)
    axis.set_yticks(np.arange(0, 1.01, 0.2))
    axis.grid(axis="x", visible=False)


@styled
def accuracy_intervals(table: pd.DataFrame, *, title: str, chance: float) -> Figure:
    """Draw accuracies with intervals, one row a model, one colour a protocol.

    Parameters
    ----------
    table : pd.DataFrame
        ``title, protocol, accuracy, accuracy_low, accuracy_high``; accuracies in [0, 1].
    title : str
        What the figure says.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    models = list(dict.fromkeys(table["title"]))[::-1]
    protocols = [p for p in PROTOCOL_TITLES if p in set(table["protocol"])]
    figure, axes = plt.subplots(figsize=(7.5, 0.52 * len(models) + 1.6))
    for i, protocol in enumerate(protocols):
        rows = table[table["protocol"] == protocol]
        y = [models.index(name) + 0.16 * ((len(protocols) - 1) / 2 - i) for name in rows["title"]]
        axes.errorbar(
            rows["accuracy"], y, xerr=errors(rows, "accuracy"), fmt="osD^"[i % 4],
            color=PALETTE[i], markersize=5, capsize=2,
            label=PROTOCOL_TITLES[protocol].replace("\n", " "),
        )  # fmt: skip
    axes.axvline(chance, color="0.5", linestyle=":")
    axes.set_yticks(range(len(models)), models)
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy (95 % interval); dotted: guessing")
    axes.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure


@styled
def confusion_matrices(matrices: dict[str, pd.DataFrame]) -> Figure:
    """Draw confusion matrices side by side, each row as shares of its true genre.

    Parameters
    ----------
    matrices : dict of str to pd.DataFrame
        Title → counts, true genres as rows and predicted ones as columns.
    """
    n = len(matrices)
    figure, axes = plt.subplots(1, n, figsize=(5.2 * n + 0.4, 4.9), squeeze=False)
    for axis, (title, counts) in zip(axes[0], matrices.items(), strict=True):
        shares = counts.div(counts.sum(axis=1), axis=0)
        shown = (100 * shares).round().astype(int).astype(str).replace("0", "")
        sns.heatmap(
            100 * shares, ax=axis, vmin=0, vmax=100, cmap="Blues", square=True, annot=shown,
            fmt="s", annot_kws={"fontsize": 8}, cbar=False, linewidths=0.5,
        )  # fmt: skip
        axis.set_title(title)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true (each row adds up to 100 %)" if axis is axes[0][0] else "")
        axis.tick_params(length=0)
    return figure


@styled
def recall_and_confidence(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw each genre's recall with its interval beside the mean confidence.

    Parameters
    ----------
    table : pd.DataFrame
        ``genre, recall, recall_low, recall_high, confidence``; all in [0, 1].
    title : str
        What the figure says.
    """
    table = table.sort_values("recall")
    figure, axes = plt.subplots(figsize=(7, 4.2))
    y = np.arange(len(table))
    axes.errorbar(
        table["recall"], y, xerr=errors(table, "recall"), fmt="o", color=PALETTE[0], capsize=3,
        label="recall",
    )  # fmt: skip
    axes.scatter(
        table["confidence"], y, marker="D", s=36, facecolors="white", edgecolors=PALETTE[1],
        linewidths=1.6, zorder=3, label="mean confidence",
    )  # fmt: skip
    axes.set_yticks(y, table["genre"])
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("share of the genre's test items (95 % interval)")
    axes.set_title(title)
    axes.legend(loc="lower right")
    return figure


@styled
def importance(table: pd.DataFrame, *, title: str, top: int = 15) -> Figure:
    """Draw how much accuracy is lost when a feature is shuffled, largest first.

    Parameters
    ----------
    table : pd.DataFrame
        ``title, feature, drop, drop_low, drop_high``: accuracy lost, one panel a ``title``.
    title : str
        What the figure says.
    top : int
        How many features a panel shows.
    """
    groups = list(table.groupby("title", sort=False))
    if not groups:
        return nothing("nothing was measured on this data")
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4.6 * len(groups), 0.26 * top + 1.2), sharex=True, squeeze=False
    )
    for axis, (name, rows) in zip(axes[0], groups, strict=True):
        rows = rows.nlargest(top, "drop").iloc[::-1]
        axis.barh(
            rows["feature"], rows["drop"], xerr=errors(rows, "drop"), color=PALETTE[0], ecolor="0.3"
        )
        axis.set_title(name)
        axis.set_xlabel("accuracy lost when shuffled")
        axis.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def series_gallery(
    pictures: dict[str, np.ndarray],
    *,
    seconds: float,
    ylabel: str,
    unit: str,
    limits: tuple[float, float],
    colours: str = "magma",
) -> Figure:
    """Draw one time-frequency picture a genre, low bands at the bottom, on one scale.

    Parameters
    ----------
    pictures : dict of str to np.ndarray [shape=(n_bands, n_frames)]
        Title → picture; all with equally many bands, which are counted from 1.
    seconds : float
        Length of each picture.
    ylabel : str
        What the vertical axis counts.
    unit : str
        What the colours stand for.
    limits : tuple of float
        Values of the first and the last colour.
    colours : str
        Name of the colour map.
    """
    if not pictures:
        return nothing("no audio here")
    columns = min(5, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.3 * columns + 0.7, 2.0 * rows), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        drawn = axis.imshow(
            picture, origin="lower", aspect="auto", cmap=colours, interpolation="nearest",
            extent=(0, seconds, 0.5, len(picture) + 0.5), vmin=limits[0], vmax=limits[1],
        )  # fmt: skip
        axis.set_title(title, fontsize=10)
        axis.grid(visible=False)
    n_bands = len(picture)
    few = MaxNLocator(3, steps=[1, 5, 10])
    between = [n for n in few.tick_values(1, n_bands) if 1.1 < n < 0.9 * n_bands]
    axes[0][0].set_yticks([1, *between, n_bands])
    axes[0][0].xaxis.set_major_locator(few)
    for axis in axes.flat[len(pictures) :]:
        axis.set_visible(False)
    figure.supxlabel("seconds", fontsize=10)
    figure.supylabel(ylabel, fontsize=10)
    figure.colorbar(drawn, ax=axes, label=unit, fraction=0.03, pad=0.01, aspect=30)
    return figure


@styled
def cost_bars(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw what each feature costs in milliseconds.

    Parameters
    ----------
    table : pd.DataFrame
        ``feature_group, milliseconds``.
    title : str
        What the figure says.
    """
    table = table.sort_values("milliseconds")
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(table) + 1))
    bars = axes.barh(table["feature_group"], table["milliseconds"], color=PALETTE[0])
    axes.bar_label(bars, fmt=brief, padding=3, fontsize=9)
    axes.set_xlabel("milliseconds for one clip, one core")
    axes.grid(axis="y", visible=False)
    axes.set_title(title)
    return figure
