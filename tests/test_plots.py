import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from genre_utils import plots, splits, words


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def accuracies(**changes):
    rows = [
        {"title": title, "model": title, "protocol": protocol, "accuracy": value}
        for title, start in (("knn", 0.9), ("svm", 0.8))
        for protocol, value in zip(splits.PROTOCOLS, start - np.arange(4) / 10, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(**changes)
    return frame.assign(
        accuracy_low=frame["accuracy"] - 0.05, accuracy_high=frame["accuracy"] + 0.05
    )


def texts(figure):
    figure.canvas.draw()
    return [t.get_text() for axis in figure.axes for t in axis.texts]


def test_a_ladder_labels_every_rung():
    shown = texts(plots.ladders({"as the field splits": accuracies()}, chance=0.1))
    for value in ("0.90", "0.80", "0.70", "0.60", "0.50"):
        assert value in shown
    assert "guessing" in shown


def test_a_ladder_that_the_data_cannot_have_says_so():
    panels = {"plain": accuracies(), "fair": accuracies().iloc[:0]}
    assert "not possible on this data" in texts(plots.ladders(panels, chance=0.1))
    assert "not possible" in words.ladder_alt(accuracies().iloc[:0], "fair")


def test_missing_protocols_leave_no_gap():
    figure = plots.ladders(
        {"plain": accuracies().query("protocol != 'artist_grouped'")}, chance=0.1
    )
    assert len(figure.axes[0].get_xticks()) == 3


def test_intervals_are_drawn_for_every_model():
    figure = plots.accuracy_intervals(accuracies(), title="all", chance=0.1)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["svm", "knn"]


def test_an_interval_that_misses_its_value_by_rounding_is_drawn():
    table = pd.DataFrame(
        {"genre": ["blues", "pop"], "recall": [1.0, 0.5], "confidence": [0.9, 0.6]}
    )
    table = table.assign(recall_low=[0.7, 0.3], recall_high=[1.0 - 1e-12, 0.7])
    plots.recall_and_confidence(table, title="recall")


def test_importances_are_the_largest_first_or_an_empty_figure():
    table = pd.DataFrame({"title": "svm", "feature": list("abc"), "drop": [0.1, 0.3, -0.1]})
    table = table.assign(drop_low=0.2, drop_high=0.25)
    figure = plots.importance(table, title="importance", top=2)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert "nothing was measured on this data" in texts(plots.importance(table[:0], title="x"))


def test_confusions_leave_empty_cells_blank():
    counts = pd.DataFrame([[3, 1], [0, 4]], index=["blues", "pop"], columns=["blues", "pop"])
    shown = texts(plots.confusion_matrices({"a model": counts}))
    assert sorted(shown) == ["", "100", "25", "75"]


def test_a_gallery_shows_what_there_is():
    pictures = {f"genre {i}": np.random.default_rng(i).random((8, 20)) for i in range(6)}
    how = {"seconds": 10, "ylabel": "band", "unit": "dB", "limits": (-80, 0)}
    figure = plots.series_gallery(pictures, **how)
    *panels, bar = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == 6 and bar.get_ylabel() == "dB" and bar.get_ylim() == (-80, 0)
    assert all(axis.images[0].get_clim() == (-80, 0) for axis in panels)
    assert "no audio here" in texts(plots.series_gallery({}, **how))


@pytest.mark.parametrize(("n_bands", "ticks"), [(13, [1, 5, 10, 13]), (128, [1, 50, 100, 128])])
def test_the_bands_of_a_gallery_are_counted_from_one_to_the_last(n_bands, ticks):
    pictures = {"blues": np.zeros((n_bands, 20))}
    figure = plots.series_gallery(pictures, seconds=10, ylabel="", unit="", limits=(0, 1))
    panel = figure.axes[0]
    assert panel.get_yticks().tolist() == ticks
    assert panel.get_ylim() == (0.5, n_bands + 0.5), "each band lies around its number"


def test_small_costs_are_not_rounded_to_nothing():
    cost = pd.DataFrame({"feature_group": ["tempo", "RMS"], "milliseconds": [14.23, 0.09013]})
    assert texts(plots.cost_bars(cost, title="costs")) == ["0.09", "14"]
    assert "tempo 14 ms, RMS 0.09 ms" in words.cost_alt(cost)
