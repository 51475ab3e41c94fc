"""Figures of the notebook on compression."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from genre_utils.plots import PALETTE, styled
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

    Parameters
    ----------
    table : pd.DataFrame
        Of `tables_compression.compared`.
    chance : float
        Accuracy of guessing, in [0, 1].
    """
    rows = table[table["stored_bytes"].notna()].sort_values("stored_bytes", ignore_index=True)
    figure, axis = plt.subplots(figsize=(10, 6.2))
    x, y = rows["stored_bytes"].to_numpy(float) / 1024, rows["accuracy"].to_numpy(float)
    families = [family(row.model, row.teacher) for row in rows.itertuples()]
    areas = _areas(rows["ms"].to_numpy(dtype=float, na_value=np.nan))
    for at, row in enumerate(rows.itertuples()):
        color = families[at][1]
        axis.plot(
            [x[at]] * 2, [row.accuracy_low, row.accuracy_high], color=color, alpha=0.3, zorder=1
        )
    axis.scatter(
        x, y, s=areas, c=[color for _, color in families], edgecolors="white", linewidths=0.7,
        zorder=3,
    )  # fmt: skip
    _draw_front(axis, x, y)
    axis.axhline(chance, color="0.6", linestyle=":", linewidth=1)
    axis.annotate(
        "chance", (1, chance), xycoords=("axes fraction", "data"), xytext=(-2, 2),
        textcoords="offset points", ha="right", fontsize=8, color="0.4",
    )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(x.min() / 2.2, x.max() * 4)
    axis.set_ylim(min(0, chance) if chance < 0.2 else 0, min(1, 1.12 * rows["accuracy_high"].max()))
    axis.xaxis.set_major_formatter(lambda kib, _: f"{kib:g} KiB" if kib < 1000 else _mib(kib))
    axis.set_xlabel("smallest file that the network is kept in")
    axis.set_ylabel("accuracy on the fault-filtered test")
    axis.set_title("Accuracy against size; bars: 95 % intervals; area: milliseconds on one thread")
    _draw_legends(axis, families, rows["ms"])
    _label(axis, rows["title"], x, y, areas, [color for _, color in families])
    return figure


def _mib(kib: float) -> str:
    return f"{kib / 1024:.2g} MiB"


def _areas(ms: np.ndarray) -> np.ndarray:
    return _LEAST_AREA + _AREA_A_MS * np.nan_to_num(ms)


def _draw_front(axis, x: np.ndarray, y: np.ndarray) -> None:
    """Connect those that nothing smaller is as accurate as."""
    order = np.lexsort((-y, x))
    best, front = -np.inf, []
    for at in order:
        if y[at] > best:
            best = y[at]
            front.append(at)
    axis.step(x[front], y[front], where="post", color="0.55", linewidth=1, zorder=2)


def _draw_legends(axis, families: Sequence[tuple[str, str]], ms: pd.Series) -> None:
    names = dict.fromkeys(families)
    points = [
        plt.Line2D([], [], marker="o", linestyle="", color=color, label=name)
        for name, color in names
    ]
    step = plt.Line2D([], [], color="0.55", linewidth=1, label="nothing smaller is as accurate")
    first = axis.legend(
        handles=[*points, step], loc="upper center", bbox_to_anchor=(0.5, -0.11), ncols=5,
        fontsize=8,
    )  # fmt: skip
    axis.add_artist(first)
    known = ms.dropna().astype(float)
    if known.empty:
        return
    most = known.max()
    shown = [v for v in (0.1, 0.3, 1, 3, 10, 30) if v <= 1.5 * most][-3:] or [round(most, 2)]
    sizes = [
        plt.scatter([], [], s=_areas(np.array([v]))[0], color="0.7", label=f"{v:g} ms")
        for v in shown
    ]
    axis.legend(
        handles=sizes, loc="lower right", ncols=len(sizes), fontsize=8, handletextpad=0.6,
        columnspacing=1.6, borderpad=1.0, bbox_to_anchor=(1, 0.06),
    )  # fmt: skip


def _label(axis, names, x, y, areas, colors) -> None:
    """Write each name where it covers neither a point nor another name."""
    figure = axis.figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    points = axis.transData.transform(np.column_stack([x, y]))
    radii = np.sqrt(areas / np.pi) * figure.dpi / 72
    taken = [
        Bbox.from_bounds(px - r, py - r, 2 * r, 2 * r)
        for (px, py), r in zip(points, radii, strict=True)
    ]
    room = axis.get_window_extent(renderer)
    for name, point, radius, color in zip(names, points, radii, colors, strict=True):
        text = axis.annotate(
            name, axis.transData.inverted().transform(point), xytext=(0, 0),
            textcoords="offset pixels", fontsize=8, color=color, va="center",
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.4, "linewidth": 0.6},
        )  # fmt: skip
        box = text.get_window_extent(renderer)
        left, bottom = _free_place(point, radius, box.width, box.height, taken, room)
        text.set_position((left - point[0], bottom + box.height / 2 - point[1]))
        taken.append(Bbox.from_bounds(left, bottom, box.width, box.height))


def _free_place(point, radius, width, height, taken, room) -> tuple[float, float]:
    """Return the lower left corner of the nearest place that is free, the least covered else."""
    best, least = None, np.inf
    for distance in radius + np.arange(3, 200, 5):
        for angle in np.deg2rad([0, 180, 90, 270, 35, 325, 145, 215, 60, 300, 120, 240]):
            dx, dy = distance * np.cos(angle), distance * np.sin(angle)
            left = point[0] + dx - width * (1 - np.cos(angle)) / 2
            bottom = point[1] + dy - height / 2
            box = Bbox.from_bounds(left - 1, bottom, width + 2, height)
            if not (room.x0 <= box.x0 and box.x1 <= room.x1 and room.y0 <= box.y0 <= box.y1 <= room.y1):
                continue
            covered = sum(_shared(box, other) for other in taken)
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
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(models) + 1.5))
    styles = {"PyTorch": (PALETTE[7], "s"), "onnxruntime": (PALETTE[0], "o"),
              "ExecuTorch": (PALETTE[1], "^"), "bundle": (PALETTE[2], "D")}  # fmt: skip
    names = {"PyTorch": "PyTorch, eager", "bundle": "the bundle, with its checks"}
    for runtime, (color, marker) in styles.items():
        found = rows[rows["runtime"] == runtime]
        if found.empty:
            continue
        y = [models.index(name) for name in found["model"]]
        errors = [found["ms"] - found["ms_low"], found["ms_high"] - found["ms"]]
        axis.errorbar(
            found["ms"], y, xerr=np.clip(errors, 0, None), fmt=marker, color=color, capsize=2,
            label=names.get(runtime, runtime), linestyle="",
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yticks(range(len(models)), [titles[name] for name in models])
    axis.set_ylim(len(models) - 0.5, -0.5)
    axis.xaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    axis.set_xlabel("milliseconds of the network alone, one thread; bars: quartiles of the rounds")
    axis.set_title("The same networks in several runtimes")
    axis.grid(axis="y", color="0.93")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.9 / (0.42 * len(models) + 0.4)), ncols=4)
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
