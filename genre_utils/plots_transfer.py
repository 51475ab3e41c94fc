"""Figures of the notebook on transfer learning."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from genre_utils import contamination as study
from genre_utils.plots import PALETTE, errors, styled

_SOURCE_STYLE = {
    study.PUBLISHED: (PALETTE[3], "D"),
    study.UNDONE: (PALETTE[7], "D"),
    study.SORTED: (PALETTE[1], "o"),
    study.SHUFFLED: (PALETTE[2], "s"),
    study.FIXED: (PALETTE[0], "^"),
}
_REBUILT_STYLE = {
    "batch by batch": (PALETTE[1], "o"),
    study.FIXED: (PALETTE[0], "^"),
    "one at a time": (PALETTE[7], "X"),
}


@styled
def contamination(
    accuracy: pd.DataFrame, rebuilt: pd.DataFrame | None = None, *, model: str = "svm"
) -> Figure:
    """Draw what genre-sorted batches do to accuracy, and how like the published the rebuilt is.

    Parameters
    ----------
    accuracy : pd.DataFrame
        As `contamination.accuracy` returns it; rows of `model` and stage ``inner`` are drawn.
    rebuilt : pd.DataFrame, optional
        As `contamination.rebuilt` returns it; without it that panel is left out.
    model : str
        Name of the classifier.
    """
    rows = accuracy[accuracy["model"].eq(model) & accuracy["stage"].eq("inner")]
    inputs = [name for name in study.INPUTS if name in set(rows["input"])]
    with_rebuilt = rebuilt is not None and len(rebuilt) > 0
    figure, axes = plt.subplots(
        1, 1 + with_rebuilt, figsize=(11 if with_rebuilt else 7.5, 0.78 * len(inputs) + 1.9),
        width_ratios=[2, 1.15][: 1 + with_rebuilt], squeeze=False,
    )  # fmt: skip
    _draw_accuracy(axes[0][0], rows, inputs)
    if with_rebuilt:
        _draw_rebuilt(axes[0][1], rebuilt)
    return figure


def _draw_accuracy(axis, rows: pd.DataFrame, inputs: list[str]) -> None:
    sources = [name for name in study.SOURCES if name in set(rows["source"])]
    for source in sources:
        color, marker = _SOURCE_STYLE[source]
        found = rows[rows["source"] == source].set_index("input").reindex(inputs).dropna(
            subset="accuracy"
        )  # fmt: skip
        there = [
            [s for s in sources if s in set(rows.loc[rows["input"] == name, "source"])]
            for name in found.index
        ]
        y = [
            inputs.index(name) + 0.23 * (names.index(source) - (len(names) - 1) / 2)
            for name, names in zip(found.index, there, strict=True)
        ]
        ends = ("accuracy_artist_low", "accuracy_artist_high")
        axis.errorbar(
            found["accuracy"], y, xerr=errors(found, "accuracy", *ends), fmt=marker,
            color=color, capsize=3, label=source,
        )  # fmt: skip
        for value, at, high in zip(
            found["accuracy"], y, found["accuracy_artist_high"], strict=True
        ):
            axis.annotate(
                f"{value:.2f}", (high, at), xytext=(5, 0), textcoords="offset points",
                va="center", fontsize=9, color=color,
            )  # fmt: skip
    first = rows.groupby("input").first()
    folds = {"track_random": "folds of tracks", "artist_grouped": "folds of artists"}
    labels = [
        f"{name}\n({first.loc[name, 'n_tracks']} tracks, {folds[first.loc[name, 'protocol']]})"
        for name in inputs
    ]
    axis.set_yticks(range(len(inputs)), labels)
    axis.set_ylim(len(inputs) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(
        "accuracy in folds outside the test part\n(bars: 95 % intervals, resampling whole artists)"
    )
    axis.set_title("What the batches do to accuracy")
    handles, names = axis.get_legend_handles_labels()
    axis.legend(handles, names, loc="upper center", bbox_to_anchor=(0.4, -0.24), ncols=3)


def _draw_rebuilt(axis, rebuilt: pd.DataFrame) -> None:
    for title, (color, marker) in _REBUILT_STYLE.items():
        found = rebuilt[rebuilt["statistics"] == title].sort_values("layer")
        axis.plot(found["layer"], found["correlation"], marker=marker, color=color, label=title)
    axis.set_ylim(0, 1.03)
    axis.set_xticks(sorted(rebuilt["layer"].unique()))
    axis.set_xlabel("layer")
    axis.set_ylabel("correlation with the published features")
    axis.set_title(f"The network rebuilt ({rebuilt['n_tracks'].max()} clips)")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
