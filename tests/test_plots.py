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
    figure = plots.series_gallery(pictures, seconds=3, ylabel="band")
    assert sum(axis.get_visible() for axis in figure.axes) == 6
    assert "no audio here" in texts(plots.series_gallery({}, seconds=3, ylabel="band"))
