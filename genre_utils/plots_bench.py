"""The figure of ``make bench``: how many times as fast, and where the time goes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from genre_utils.plots import PALETTE, styled


@styled
def speed(
    found: pd.DataFrame, table: pd.DataFrame, *, caption: str, synthetic: bool = False
) -> Figure:
    """Draw the ratios with their spread, and under them the parts of the work.

    Parameters
    ----------
    found : pd.DataFrame
        ``benchmark, variant, reference, ratio, ratio_low, ratio_high, target``; see
        `bench.summary`.
    table : pd.DataFrame
        Every measurement; see `bench.measure`.
    caption : str
        What the numbers were measured on.
    synthetic : bool
        Whether the clips were generated; the figure says so.
    """
    split = [names for names in _SPLIT if set(names) & set(table["benchmark"])]
    heights = [0.42 * len(found) + 0.9]
    heights += [0.42 * len(_ways_of(table, names)) + 1.5 for names in split]
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(9, sum(heights) + 0.6), height_ratios=heights, squeeze=False
    )
    _draw_ratios(axes[0][0], found)
    for axis, names in zip(axes[1:, 0], split, strict=True):
        _draw_parts(axis, table, names)
    figure.supxlabel(caption, fontsize=8, color="0.35", wrap=True)
    if synthetic:
        figure.text(
            0.997, 0.995, "demo (synthetic)", ha="right", va="top", fontsize=8, color="0.45"
        )
    return figure


_SPLIT = (("table",), ("pictures",), ("same resolution", "usual 224"))
"""Benchmarks whose parts are shown, those in one tuple on one axis."""

_TITLES = {
    "table": "57 features of a clip and its ten 3-s segments: core-milliseconds a clip",
    "pictures": "five pictures of a clip, from samples to file: core-milliseconds a clip",
    "same resolution": "one epoch of ResNet18: milliseconds an image",
}


def _draw_ratios(axis, found: pd.DataFrame) -> None:
    y = np.arange(len(found))[::-1]
    spread = [found["ratio"] - found["ratio_low"], found["ratio_high"] - found["ratio"]]
    axis.errorbar(found["ratio"], y, xerr=spread, fmt="o", color=PALETTE[0], capsize=3, zorder=3)
    ours = found["variant"].str.startswith("this project")
    targets = found["target"].where(ours)
    axis.scatter(targets, y, marker="|", s=180, color=PALETTE[3], linewidths=2, label="aimed at")
    for position, row in zip(y, found.itertuples(), strict=True):
        axis.annotate(
            f"{row.ratio:.2g}×" if row.ratio < 1 else f"{row.ratio:.1f}×", (row.ratio, position),
            xytext=(0, 5), textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
    labels = [
        f"{row.benchmark}: {row.variant}\nagainst {row.reference}" for row in found.itertuples()
    ]
    axis.set_yticks(y, labels, fontsize=8)
    axis.set_ylim(-0.6, len(found) - 0.4)
    axis.axvline(1, color="0.5", linestyle=":")
    axis.set_xscale("log")
    axis.set_xlim(min(0.5, found["ratio_low"].min() / 1.5), 2 * found["ratio_high"].max())
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_title("times as fast as the usual way", fontsize=10)
    axis.set_xlabel("times as fast: median of the rounds; bar: smallest to largest", fontsize=9)
    axis.grid(axis="y", visible=False)
    axis.legend(loc="lower left", bbox_to_anchor=(0.45, 0.98), fontsize=8)


def _ways_of(table: pd.DataFrame, benchmarks: tuple[str, ...]) -> list[tuple[str, str]]:
    rows = table[table["benchmark"].isin(benchmarks)]
    return list(rows[["benchmark", "variant"]].drop_duplicates().itertuples(index=False, name=None))


def _draw_parts(axis, table: pd.DataFrame, benchmarks: tuple[str, ...]) -> None:
    ways = _ways_of(table, benchmarks)
    parts = table[table["benchmark"].isin(benchmarks) & (table["part"] != "total")]
    each = parts.assign(ms=1000 * parts["seconds"] / parts["n_items"])
    shown = each.groupby(["benchmark", "variant", "part"], sort=False)["ms"].median()
    left = np.zeros(len(ways))
    y = np.arange(len(ways))[::-1]
    names = list(dict.fromkeys(parts["part"]))
    for i, part in enumerate(names):
        width = np.array([shown.get((*way, part), 0.0) for way in ways])
        axis.barh(
            y, width, left=left, height=0.62, color=PALETTE[i % 10], edgecolor="white",
            linewidth=0.5, hatch="//" if i >= 10 else None, label=part,
        )  # fmt: skip
        left += width
    for position, total in zip(y, left, strict=True):
        axis.annotate(
            f"{total:,.1f}" if total < 10 else f"{total:,.0f}", (total, position), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axis.set_yticks(y, [name for _, name in ways], fontsize=8)
    axis.set_xlim(0, 1.08 * left.max())
    axis.set_title(_TITLES[benchmarks[0]], fontsize=10)
    axis.grid(axis="y", visible=False)
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=4, fontsize=8, handlelength=1.2
    )
