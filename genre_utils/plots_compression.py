"""Figures of the notebook on compression."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from genre_utils.plots import PALETTE, errors, nothing, styled
from genre_utils.tables_compression import milliseconds

_FAMILIES = {
    "resnet18": ("ResNet18", PALETTE[0]),
    "resnet_small": ("small ResNet", PALETTE[2]),
    "student": ("students", PALETTE[3]),
    "mlp": ("networks on 57 features", PALETTE[1]),
}
_OTHER = ("others", PALETTE[7])
_LEAST_AREA, _AREA_A_MS = 18.0, 26.0


def family(model: str, teacher: str | None = None) -> tuple[str, str]:
    """Return the name and the colour of the family that a variant belongs to.

    Parameters
    ----------
    model : str
        Name of the variant.
    teacher : str, optional
        Name of what it was made of, asked where its own name says nothing.
    """
    for name in (model, teacher or ""):
        for start, found in _FAMILIES.items():
            if name.startswith(start):
                return found
    return _OTHER


@styled
def pareto(table: pd.DataFrame, *, chance: float) -> Figure:
    """Draw accuracy against size on disk; a point's area is the time of the network alone.

    Names stand beside the points that nothing smaller is as accurate as, and beside the
    largest and the smallest of each family.

    Parameters
    ----------
    table : pd.DataFrame
        Of `tables_compression.compared`.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    rows = table[table["stored_bytes"].notna()].sort_values(
        "ms", ascending=False, ignore_index=True
    )
    figure, axis = plt.subplots(figsize=(10.5, 6.8))
    x, y = rows["stored_bytes"].to_numpy(float) / 1024, rows["accuracy"].to_numpy(float)
    families = [family(row.model, row.teacher) for row in rows.itertuples()]
    colors = [color for _, color in families]
    areas = _areas(rows["ms"].to_numpy(dtype=float, na_value=np.nan))
    low, high = rows["accuracy_low"].to_numpy(float), rows["accuracy_high"].to_numpy(float)
    axis.vlines(x, low, high, colors=colors, alpha=0.3, zorder=1)
    # Large points come first, so that small ones lie on them.
    axis.scatter(x, y, s=areas, c=colors, edgecolors="white", linewidths=0.7, zorder=3)
    axis.set_xscale("log", base=4)
    axis.set_xlim(x.min() / 2.5, x.max() * 3)
    axis.set_ylim(np.floor(10 * max(0, low.min() - 0.04)) / 10, min(1, high.max() + 0.04))
    axis.xaxis.set_major_locator(LogLocator(base=4))
    axis.xaxis.set_major_formatter(
        lambda kib, _: f"{kib:g} KiB" if kib < 1000 else f"{kib / 1024:g} MiB"
    )
    axis.xaxis.set_minor_locator(NullLocator())
    if chance >= axis.get_ylim()[0]:
        axis.axhline(chance, color="0.6", linestyle=":", linewidth=1, label="guessing")
    axis.set_xlabel("smallest file that the network is kept in")
    axis.set_ylabel("accuracy on the fault-filtered test")
    axis.set_title(
        "Accuracy against size; bars: 95 % intervals; area: milliseconds on one thread\n"
        "named: those on the grey line, and the largest and smallest of each family"
    )
    front = _front(x, y)
    lines = _draw_front(axis, x[front], y[front])
    sizes = _draw_legends(axis, families, rows["ms"])
    by_family = rows.groupby([name for name, _ in families])["stored_bytes"]
    names = rows["title"].loc[[*front, *by_family.idxmax(), *by_family.idxmin()]].to_dict()
    guess = tuple((end, chance) for end in axis.get_xlim())
    bars = [((x[at], low[at]), (x[at], high[at])) for at in range(len(x))]
    _label(axis, names, (x, y), areas, colors, lines=[*bars, *lines, guess], legend=sizes)
    return figure


def _areas(ms: np.ndarray) -> np.ndarray:
    return _LEAST_AREA + _AREA_A_MS * np.nan_to_num(ms)


def _front(x: np.ndarray, y: np.ndarray) -> list[int]:
    """Return positions of those that nothing smaller is as accurate as, the smallest first."""
    best, front = -np.inf, []
    for at in np.lexsort((-y, x)):
        if y[at] > best:
            best = y[at]
            front.append(int(at))
    return front


def _draw_front(axis, x: np.ndarray, y: np.ndarray) -> list[tuple]:
    """Connect points by steps; return the lines' ends."""
    corners = [(x[0], y[0])]
    for point in zip(x[1:], y[1:], strict=True):
        corners += [(point[0], corners[-1][1]), point]
    axis.plot(*zip(*corners, strict=True), color="0.6", linewidth=1, zorder=2,
              label="nothing smaller is as accurate")  # fmt: skip
    return list(pairwise(corners))


def _draw_legends(axis, families: Sequence[tuple[str, str]], ms: pd.Series):
    """Explain colours below the figure, and areas in it; return the latter legend."""
    points = [
        plt.Line2D([], [], marker="o", linestyle="", color=color, label=name)
        for name, color in dict.fromkeys(families)
    ]
    lines = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
    axis.figure.legend(handles=[*points, *lines], loc="outside lower center", ncols=6, fontsize=9)
    known = ms.dropna().astype(float)
    if known.empty:
        return None
    shown = [v for v in (0.1, 0.3, 1, 3, 10, 30) if v <= 1.5 * known.max()][-3:]
    sizes = [
        plt.scatter([], [], s=_areas(np.array([v]))[0], color="0.75", label=f"{v:g} ms")
        for v in shown or [known.max()]
    ]
    return axis.legend(
        handles=sizes, loc="lower right", ncols=3, fontsize=9, handletextpad=0.6, borderpad=0.9
    )


def _label(axis, names, points, areas, colors, *, lines, legend) -> None:
    """Write each name, by its point's position, where it covers no point, line or other name.

    The line that leads to its point crosses no other name either, where there is room.
    """
    figure = axis.figure
    figure.canvas.draw()
    figure.set_layout_engine("none")  # names are placed in a figure that stays as it is
    renderer = figure.canvas.get_renderer()
    pixels = axis.transData.transform(np.column_stack(points))
    radii = np.sqrt(areas / np.pi) * figure.dpi / 72
    taken = [
        Bbox.from_bounds(px - r, py - r, 2 * r, 2 * r)
        for (px, py), r in zip(pixels, radii, strict=True)
    ]
    taken += [Bbox(np.sort(axis.transData.transform(ends), axis=0) + _THIN) for ends in lines]
    if legend:
        taken.append(legend.get_window_extent(renderer))
    room = axis.get_window_extent(renderer)
    written, leaders = [], []
    for at, name in names.items():
        point, color = pixels[at], colors[at]
        text = axis.annotate(
            name, (points[0][at], points[1][at]), xytext=(0, 0), textcoords="offset points",
            fontsize=8.5, color=color, va="center",
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.5, "linewidth": 0.6},
        )  # fmt: skip
        box = text.get_window_extent(renderer)

        def crossed(box: Bbox, point=point) -> int:
            leader = _leader(point, box)
            on_names = sum(leader.intersects_bbox(other) for other in written)
            return on_names + sum(other.intersects_bbox(box) for other in leaders)

        left, bottom = _free_place(point, radii[at], box.width, box.height, taken, room, crossed)
        # In points, which do not depend on how finely the figure is saved.
        offset = np.array([left - point[0], bottom + box.height / 2 - point[1]])
        text.set_position(tuple(offset * 72 / figure.dpi))
        written.append(Bbox.from_bounds(left, bottom, box.width, box.height))
        taken.append(written[-1])
        leaders.append(_leader(point, written[-1]))


_THIN = np.array([[-1, -1], [1, 1]])


def _leader(point, box: Bbox) -> Path:
    """Return the line from a name to its point, which is drawn from the name's middle."""
    return Path([point, [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]])


def _free_place(point, radius, width, height, taken, room, crossed) -> tuple[float, float]:
    """Return the lower left corner of the nearest place that is free, the least covered else.

    `crossed` counts the names and lines that a place in the figure would bring into conflict.
    """
    best, least = None, np.inf
    for distance in radius + np.arange(3, 200, 5):
        for angle in np.deg2rad([0, 180, 90, 270, 35, 325, 145, 215, 60, 300, 120, 240]):
            dx, dy = distance * np.cos(angle), distance * np.sin(angle)
            left = point[0] + dx - width * (1 - np.cos(angle)) / 2
            bottom = point[1] + dy - height / 2
            box = Bbox.from_bounds(left - 3, bottom, width + 6, height)
            if not (room.containsx(box.x0) and room.containsx(box.x1)):
                continue
            if not (room.containsy(box.y0) and room.containsy(box.y1)):
                continue
            covered = sum(_shared(box, other) for other in taken)
            covered += width * height * crossed(box)
            if covered == 0:
                return left, bottom
            if covered < least:
                best, least = (left, bottom), covered
    return best or (point[0], point[1])


def _shared(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


@styled
def runtimes(times: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Draw how long each network takes in each runtime, on one thread.

    Parameters
    ----------
    times : pd.DataFrame
        Of `tables_compression.latencies`.
    titles : dict of str to str
        Name for readers of each model that is shown, in this order.
    """
    rows = times[(times["threads"] == 1) & times["model"].isin(titles)]
    models = [name for name in titles if name in set(rows["model"])]
    if not models:
        return nothing("nothing was measured")
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(models) + 1.7))
    styles = {"PyTorch": (PALETTE[7], "s"), "onnxruntime": (PALETTE[0], "o"),
              "ExecuTorch": (PALETTE[1], "^"), "bundle": (PALETTE[2], "D")}  # fmt: skip
    names = {"PyTorch": "PyTorch, eager", "bundle": "the bundle, with its checks"}
    for runtime, (color, marker) in styles.items():
        found = rows[rows["runtime"] == runtime]
        if found.empty:
            continue
        # A little apart, so that equal times do not hide each other.
        shift = 0.16 * (list(styles).index(runtime) - 1.5)
        y = [models.index(name) + shift for name in found["model"]]
        axis.errorbar(
            found["ms"], y, xerr=errors(found, "ms"), fmt=marker, color=color, capsize=2,
            label=names.get(runtime, runtime), linestyle="",
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yticks(range(len(models)), [titles[name] for name in models])
    axis.set_ylim(len(models) - 0.5, -0.5)
    axis.xaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    axis.set_xlabel("milliseconds of the network alone, one thread; bars: quartiles of the rounds")
    axis.set_title("The same networks in several runtimes")
    axis.grid(axis="y", color="0.93")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def pareto_alt(table: pd.DataFrame) -> str:
    """Return in words what `pareto` shows."""
    rows = table[table["stored_bytes"].notna()].sort_values("stored_bytes")
    said = [
        f"{row['title']} {row['stored_bytes'] / 1024:.0f} KiB, {row['accuracy']:.2f}, "
        f"{milliseconds(row, 'ms')}"
        for _, row in rows.iterrows()
    ]
    return f"Accuracy on the fault-filtered test against size on disk: {'; '.join(said)}."


def runtimes_alt(times: pd.DataFrame, titles: dict[str, str]) -> str:
    """Return in words what `runtimes` shows."""
    rows = times[(times["threads"] == 1) & times["model"].isin(titles)]
    said = [
        f"{titles[row['model']]} in {row['runtime']} {row['ms']:.3g} ms"
        for _, row in rows.iterrows()
    ]
    return f"Time of the network alone on one thread: {'; '.join(said)}."
