"""Figures of the notebook on the data; they take what `eda` returns, in the style of `plots`."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from genre_utils.eda import TEMPO_RANGE, Case
from genre_utils.feature_report import feature_group
from genre_utils.plots import OUTLINE, PALETTE, nothing, styled

_MARKERS = "osD^vPX<>*"

# What each representation is drawn with: title, unit, colour map, limits, ticks and labels.
_NYQUIST_KHZ = 11.025
_PICTURES = {
    "spectrogram": ("spectrogram", "kHz", "magma", (-80, 0), (0, _NYQUIST_KHZ), {0: "0", 10: "10"}),
    "mel spectrogram": ("mel spectrogram", "band", "magma", (-80, 0), (0, 128),
                        {0: "0", 128: "128"}),
    "MFCC": ("MFCC (z-scores)", "number", "RdBu_r", (-3, 3), (0.5, 20.5), {1: "1", 20: "20"}),
    "chroma": ("chroma", "pitch", "viridis", (0, 1), (-0.5, 11.5), {0: "C", 7: "G"}),
    "tempogram": ("tempogram", "BPM", "viridis", (0, 1), tuple(np.log2(TEMPO_RANGE)),
                  {np.log2(60): "60", np.log2(120): "120", np.log2(240): "240"}),
    "harmonic part": ("harmonic part", "kHz", "magma", (-80, 0), (0, _NYQUIST_KHZ),
                      {0: "0", 10: "10"}),
    "percussive part": ("percussive part", "kHz", "magma", (-80, 0), (0, _NYQUIST_KHZ),
                        {0: "0", 10: "10"}),
}  # fmt: skip
_SHADES = 20  # more than the eye tells apart at this size, few enough for small files
_TITLES = {"rms": "loudness (RMS)"}


@styled
def views_by_genre(
    views: dict[str, dict[str, np.ndarray]], kinds: list[str], *, seconds: float
) -> Figure:
    """Draw representations of one clip a genre: rows are genres, columns are kinds.

    Parameters
    ----------
    views : dict of str to dict
        Genre → representations, as `eda.example_views` returns them.
    kinds : list of str
        Which of them.
    seconds : float
        Length of each clip.
    """
    if not views:
        return nothing("no audio here")
    figure, axes = plt.subplots(
        len(views), len(kinds), figsize=(0.8 + 2.3 * len(kinds), 0.7 + 0.78 * len(views)),
        sharex=True, sharey="col", squeeze=False,
    )  # fmt: skip
    for row, (genre, found) in zip(axes, views.items(), strict=True):
        for axis, kind in zip(row, kinds, strict=True):
            _draw_view(axis, kind, found[kind], seconds)
            if found[kind].ndim == 1:
                axis.set_ylim(0, 1.05 * max(shown[kind].max() for shown in views.values()))
        row[0].set_ylabel(genre, rotation=0, ha="right", va="center")
    for axis, kind in zip(axes[0], kinds, strict=True):
        axis.set_title(_view_title(kind), fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=9)
    _leave_room_above(figure)
    return figure


@styled
def views_by_frame(views: dict[str, dict[str, np.ndarray]], seconds: dict[str, float]) -> Figure:
    """Draw all representations of frames of one clip: rows are kinds, columns are frames.

    Parameters
    ----------
    views : dict of str to dict
        Name of the frame → its representations, as `eda.views` returns them.
    seconds : dict of str to float
        Length of each frame.
    """
    if not views:
        return nothing("no audio here")
    kinds = list(next(iter(views.values())))
    figure, axes = plt.subplots(
        len(kinds), len(views), figsize=(1.4 + 2.2 * len(views), 0.7 + 0.84 * len(kinds)),
        sharex="col", sharey="row", squeeze=False,
    )  # fmt: skip
    for column, (name, found) in zip(axes.T, views.items(), strict=True):
        for axis, kind in zip(column, kinds, strict=True):
            _draw_view(axis, kind, found[kind], seconds[name])
            if found[kind].ndim == 1:
                axis.set_ylim(0, 1.05 * max(shown[kind].max() for shown in views.values()))
        column[0].set_title(name, fontsize=10)
        column[-1].set_xlabel("seconds", fontsize=9)
    for axis, kind in zip(axes[:, 0], kinds, strict=True):
        axis.set_ylabel(_view_title(kind).replace(" (", "\n("), rotation=0, ha="right", va="center")
    _leave_room_above(figure)
    return figure


def _leave_room_above(figure: Figure) -> None:
    """Keep a line free at the top right, where a report says that its data are synthetic."""
    height = figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.2 / height))


def _view_title(kind: str) -> str:
    if kind in _PICTURES:
        title, unit = _PICTURES[kind][:2]
        return title if "(" in title else f"{title} ({unit})"
    return _TITLES.get(kind, kind)


def _draw_view(axis, kind: str, values: np.ndarray, seconds: float) -> None:
    axis.tick_params(labelsize=8, length=2)
    if kind in _PICTURES:
        _, _, colours, limits, extent, ticks = _PICTURES[kind]
        axis.imshow(
            values, origin="lower", aspect="auto", interpolation="nearest",
            cmap=plt.get_cmap(colours, _SHADES), vmin=limits[0], vmax=limits[1],
            extent=(0, seconds, *extent),
        )  # fmt: skip
        axis.set_yticks(list(ticks), list(ticks.values()))
        axis.grid(visible=False)
        return
    if kind == "waveform":
        time = np.linspace(0, seconds, values.shape[1])
        axis.fill_between(time, values[0], values[1], color=PALETTE[0], linewidth=0.4)
        axis.set_ylim(-1, 1)
    else:
        time = np.linspace(0, seconds, len(values))
        axis.fill_between(time, values, color=PALETTE[0 if kind == "rms" else 2], linewidth=0)
    axis.set_xlim(0, seconds)
    axis.locator_params(axis="y", nbins=3)


@styled
def contents(balance: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Draw what each genre has: tracks, durations and loudness, side by side.

    Parameters
    ----------
    balance : pd.DataFrame
        As `eda.balance` returns it.
    measured : pd.DataFrame
        As `eda.measured_tracks` returns them.
    """
    genres = list(balance["genre"])
    figure, axes = plt.subplots(
        1, 3, figsize=(10.5, 0.34 * len(genres) + 1.4), sharey=True, squeeze=False
    )
    counts, durations, loudness = axes[0]
    y = np.arange(len(genres))
    kinds = (("n_tracks", "in the index", "0.85", 0.8), ("n_pictures", "with a picture",
             PALETTE[9], 0.5), ("n_audio", "with audio", PALETTE[0], 0.25))  # fmt: skip
    for column, label, colour, height in kinds:
        if balance[column].any():
            counts.barh(y, balance[column], color=colour, height=height, label=label)
    counts.set_yticks(y, genres)
    counts.invert_yaxis()
    counts.set_xlabel("tracks")
    counts.set_title("Class balance")
    figure.legend(
        *counts.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=9
    )
    panels = (
        (durations, "duration_s", "seconds", "Duration"),
        (loudness, "rms_db", "RMS in dB, full scale = 0", "Loudness"),
    )
    for axis, column, unit, title in panels:
        axis.set_title(f"{title} of {len(measured)} tracks")
        axis.set_xlabel(unit)
        axis.grid(axis="y", visible=False)
        if measured.empty:
            axis.text(0.5, 0.5, "no audio here", transform=axis.transAxes, ha="center")
            axis.set_xticks([])
            continue
        _strip(axis, [measured.loc[measured["genre"] == g, column] for g in genres], PALETTE[0])
    counts.grid(axis="y", visible=False)
    _leave_room_above(figure)
    return figure


def _strip(axis, groups: list[pd.Series], colour: str) -> None:
    """Draw one dot a value, spread out within each group's row, and the group's median."""
    for i, values in enumerate(groups):
        values = values.dropna()
        offsets = 0.5 * (np.arange(len(values)) * 0.618034 % 1 - 0.5)
        axis.scatter(values, i + offsets, s=9, color=colour, alpha=0.5, linewidths=0,
                     rasterized=len(values) > 200)  # fmt: skip
        if len(values):
            axis.plot([values.median()] * 2, [i - 0.36, i + 0.36], color="black", linewidth=2)


@styled
def distributions(table: pd.DataFrame) -> Figure:
    """Draw some features by genre, one panel a feature, one colour a segment length.

    Parameters
    ----------
    table : pd.DataFrame
        As `eda.distributions` returns it.
    """
    if table.empty:
        return nothing("no features here")
    names, genres = list(table["feature"].unique()), sorted(table["genre"].unique())
    lengths = sorted(table["segment_s"].unique(), reverse=True)
    labels = {length: f"{length:g} s" for length in lengths}
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.7 * columns, 0.36 * len(genres) * rows + 1.2), sharey=True,
        squeeze=False,
    )  # fmt: skip
    shown = table.assign(segment=table["segment_s"].map(labels))
    for axis, name in zip(axes.flat, names, strict=False):
        sns.boxplot(
            shown[shown["feature"] == name], x="value", y="genre", hue="segment", order=genres,
            hue_order=list(labels.values()), palette=PALETTE[: len(lengths)],
            whis=(5, 95), showfliers=False, linewidth=0.8, gap=0.15, legend=axis is axes.flat[0],
            ax=axis,
        )  # fmt: skip
        axis.set_title(name, fontsize=10)
        axis.set(xlabel="", ylabel="")
        axis.grid(axis="y", visible=False)
        axis.locator_params(axis="x", nbins=5)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    handles, texts = axes.flat[0].get_legend_handles_labels()
    axes.flat[0].get_legend().remove()
    figure.legend(handles, texts, loc="outside lower center", ncols=len(lengths),
                  title="box: middle half, line: median, whiskers: 5 to 95 %")  # fmt: skip
    return figure


@styled
def correlations(table: pd.DataFrame) -> Figure:
    """Draw the correlation of all features as a heat map with the groups marked.

    Parameters
    ----------
    table : pd.DataFrame
        As `eda.correlations` returns it.
    """
    if table.isna().all(axis=None):
        return nothing("no features here")
    figure, axis = plt.subplots(figsize=(8.2, 7))
    drawn = axis.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    groups = pd.Series([feature_group(name) for name in table.columns])
    starts = groups.ne(groups.shift()).to_numpy().nonzero()[0]
    ends = np.append(starts[1:], len(groups))
    for start in starts[1:]:
        axis.axhline(start - 0.5, color="white", linewidth=1)
        axis.axvline(start - 0.5, color="white", linewidth=1)
    middles = (starts + ends - 1) / 2
    axis.set_yticks(middles, groups.iloc[starts])
    axis.set_xticks(middles, groups.iloc[starts], rotation=60, ha="right", rotation_mode="anchor")
    axis.grid(visible=False)
    axis.tick_params(length=0)
    figure.colorbar(drawn, ax=axis, label="rank correlation", shrink=0.6)
    axis.set_title("Mean and variance in turn; MFCCs from 1 to 20")
    _leave_room_above(figure)
    return figure


@styled
def tempos(table: pd.DataFrame) -> Figure:
    """Draw the tempo of every track by genre, from the slowest median to the fastest.

    Parameters
    ----------
    table : pd.DataFrame
        ``genre, tempo``, as `eda.tempos` returns it.
    """
    if table.empty:
        return nothing("no features here")
    order = table.groupby("genre")["tempo"].median().sort_values(kind="stable").index
    figure, axis = plt.subplots(figsize=(7.5, 0.36 * len(order) + 1.1))
    _strip(axis, [table.loc[table["genre"] == genre, "tempo"] for genre in order], PALETTE[0])
    axis.set_yticks(range(len(order)), order)
    axis.set_xlabel("estimated tempo in beats per minute (bar: median)")
    axis.grid(axis="y", visible=False)
    return figure


@styled
def projections(table: pd.DataFrame) -> Figure:
    """Draw tracks on two maps, by PCA and by t-SNE, with each genre's name at its median.

    Parameters
    ----------
    table : pd.DataFrame
        As `eda.projection` returns it.
    """
    if table.empty:
        return nothing("too few tracks to draw a map")
    explained = table.attrs["explained"]
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.6))
    maps = (("pc1", "pc2", "PCA"), ("tsne1", "tsne2", "t-SNE"))
    for axis, (x, y, title) in zip(axes, maps, strict=True):
        for i, (genre, rows) in enumerate(table.groupby("genre")):
            axis.scatter(
                rows[x], rows[y], s=20, color=PALETTE[i % 10], marker=_MARKERS[i % 10],
                alpha=0.75, linewidths=0, label=genre, rasterized=True,
            )  # fmt: skip
        # A few far-off tracks would squeeze all others into a corner.
        for name, setter in ((x, axis.set_xlim), (y, axis.set_ylim)):
            low, high = table[name].quantile([0.01, 0.99])
            setter(low - 0.12 * (high - low), high + 0.12 * (high - low))
        centres = table.groupby("genre")[[x, y]].median()
        for i, (genre, place) in enumerate(_kept_apart(axis, centres).iterrows()):
            axis.annotate(
                genre, centres.loc[genre], xytext=place, ha="center", va="center", fontsize=11,
                fontweight="bold", color=_darker(PALETTE[i % 10]), path_effects=OUTLINE,
                arrowprops={"arrowstyle": "-", "color": "0.3", "lw": 0.8},
            )  # fmt: skip
        axis.set_title(title)
        axis.grid(visible=False)
    axes[0].set_xlabel(f"first component ({100 * explained[0]:.0f} % of the variance)")
    axes[0].set_ylabel(f"second component ({100 * explained[1]:.0f} %)")
    axes[1].set(xticks=[], yticks=[], xlabel="axes without a unit: only neighbours count")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=10, fontsize=9,
        handletextpad=0.2, columnspacing=1.5,
    )  # fmt: skip
    return figure


def _darker(colour: str) -> np.ndarray:
    """Return a colour dark enough for letters on white."""
    return 0.6 * np.array(to_rgb(colour))


def _kept_apart(axis, centres: pd.DataFrame) -> pd.DataFrame:
    """Return places for labels near these points, far enough from each other to be read."""
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    size, origin = np.array([right - left, high - low]), np.array([left, low])
    places = (centres.to_numpy() - origin) / size
    label = np.array([0.15, 0.055])
    for _ in range(300):
        gaps = places[:, None] - places[None]
        overlap = np.maximum(0, label - np.abs(gaps))
        both = (overlap > 0).all(axis=2) & ~np.eye(len(places), dtype=bool)
        if not both.any():
            break
        # Labels are wide and low: the shortest way out of each other's way is up or down.
        step = 0.5 * np.where(both, overlap[..., 1] * np.where(gaps[..., 1] >= 0, 1, -1), 0)
        places[:, 1] += 0.5 * step.sum(axis=1)
    return pd.DataFrame(places.clip(0.03, 0.97) * size + origin, centres.index, centres.columns)


@styled
def separation(table: pd.DataFrame, ranking: pd.DataFrame, *, top: int = 15) -> Figure:
    """Draw which features tell which genres apart.

    Parameters
    ----------
    table : pd.DataFrame
        As `eda.separation` returns it.
    ranking : pd.DataFrame
        As `eda.ranking` returns it.
    top : int
        How many single features are shown.
    """
    if table.empty:
        return nothing("too few tracks to part them")
    figure, (heat, bars) = plt.subplots(
        1, 2, figsize=(12, 5), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    grid = table.pivot(index="genre", columns="feature_group", values="auc")
    grid = grid[list(table["feature_group"].unique())]
    sns.heatmap(
        grid, ax=heat, cmap="RdBu_r", vmin=0, vmax=1, annot=True, fmt=".2f", cbar=False,
        linewidths=0.5, annot_kws={"fontsize": 8.5},
    )  # fmt: skip
    heat.set(xlabel="", ylabel="")
    heat.set_title("AUC of a genre against the rest, by group of features")
    heat.tick_params(length=0)
    plt.setp(heat.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    best = ranking.head(top).iloc[::-1]
    bars.barh(best["feature"], best["between_genres"], color=PALETTE[0])
    bars.set_title("Single features")
    bars.set_xlabel("share of the variance of ranks between genres")
    bars.grid(axis="y", visible=False)
    return figure


@styled
def artists(shares: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draw how many tracks each artist has in each genre; each block is one artist.

    Parameters
    ----------
    shares : pd.DataFrame
        As `eda.artist_shares` returns them.
    table : pd.DataFrame
        As `eda.artists` returns it.
    """
    if shares.empty:
        return nothing("no artist is known here")
    figure, axis = plt.subplots(figsize=(9, 0.4 * len(table) + 1.3))
    rank = shares.groupby("genre").cumcount()
    begin = shares.groupby("genre")["n_tracks"].cumsum() - shares["n_tracks"]
    rows = shares["genre"].map({genre: i for i, genre in enumerate(table["genre"])})
    colours = np.where(rank == 0, PALETTE[1], np.where(rank % 2, "#c9c9c9", "#a8a8a8"))
    axis.barh(
        rows, shares["n_tracks"], left=begin, color=colours, edgecolor="white", linewidth=0.5,
        height=0.72,
    )  # fmt: skip
    axis.barh(
        range(len(table)), table["n_unknown"], left=table["n_tracks"] - table["n_unknown"],
        color="white", edgecolor="0.6", hatch="////", height=0.72, linewidth=0.5,
    )  # fmt: skip
    for i, row in enumerate(table.itertuples()):
        n_artists = 0 if pd.isna(row.n_artists) else row.n_artists
        axis.annotate(
            f"{n_artists} artist{'' if n_artists == 1 else 's'}", (row.n_tracks, i),
            xytext=(5, 0), textcoords="offset points", va="center", fontsize=9,
        )  # fmt: skip
    axis.set_xlim(0, 1.14 * table["n_tracks"].max())
    axis.set_yticks(range(len(table)), table["genre"])
    axis.invert_yaxis()
    axis.set_xlabel(
        "tracks (orange: the largest artist; grey: one block an artist; hatched: unknown)"
    )
    axis.grid(axis="y", visible=False)
    return figure


@styled
def cases(found: list[Case], *, columns: int = 4) -> Figure:
    """Draw waveform and spectrogram of faulty tracks, or the data set's picture of them.

    Parameters
    ----------
    found : list of Case
        As `eda.case_pictures` returns them.
    columns : int
        How many stand side by side.
    """
    if not found:
        return nothing("nothing to show: no finding has sound or a picture here")
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    figure = plt.figure(figsize=(2.7 * columns + 0.6, 2.4 * rows + 0.2))
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[1, 1.6] * rows)
    for i, case in enumerate(found):
        row, column = 2 * (i // columns), i % columns
        if case.views:
            above, below = (figure.add_subplot(grid[row + part, column]) for part in (0, 1))
            _draw_view(above, "waveform", case.views["waveform"], case.seconds)
            _draw_view(below, "spectrogram", case.views["spectrogram"], case.seconds)
            above.tick_params(labelbottom=False)
            below.set_xlabel("seconds", fontsize=8)
            below.set_ylabel(_PICTURES["spectrogram"][1], fontsize=8)
        else:
            above = below = figure.add_subplot(grid[row : row + 2, column])
            _draw_picture(below, case.picture)
        above.set_title(case.title, fontsize=9)
    _leave_room_above(figure)
    return figure


def _draw_picture(axis, picture: np.ndarray | None) -> None:
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    if picture is None:
        axis.text(0.5, 0.5, "cannot be read", ha="center", color="0.4", transform=axis.transAxes)
        return
    colours = plt.get_cmap("magma", _SHADES)
    axis.imshow(picture, aspect="auto", cmap=colours, interpolation="nearest")
    axis.set_xlabel("the data set's picture; no audio here", fontsize=8)
