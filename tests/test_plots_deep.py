import made_up_networks as made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from genre_utils import explain, inputs, plots_deep, tables_deep, words_deep


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def lengths():
    study = made_up.study(
        {"cnn9": 0.2, "xgboost_mfcc": -0.2}, lengths=(1.0, 3.0, 10.0, 30.0), seeds=(0,)
    )
    return study, tables_deep.accuracy(study, made_up.dataset(), n_boot=20)


def texts(figure):
    figure.canvas.draw()
    return [t.get_text() for axis in figure.axes for t in axis.texts]


def test_a_made_up_sound_is_shown_in_four_pictures():
    pictures = explain.pictures()
    assert len(pictures) == 4
    assert all(picture.shape == (128, 432) for picture in pictures.values())
    figure = plots_deep.representations(pictures, seconds=explain.SECONDS)
    assert len(figure.axes) == 4
    assert np.abs(explain.sound()).max() <= 1 and np.array_equal(explain.sound(), explain.sound())


def test_learning_curves_have_one_panel_a_system_or_length(lengths):
    study, _ = lengths
    curves = tables_deep.learning_curves(study)
    strict = curves[curves["protocol"] == "fault_filtered"]
    figure = plots_deep.learning_curves(strict, title="curves")
    titles = [a.get_title(loc="left") for a in figure.axes if a.get_visible()]
    assert len(titles) == 8 and titles[0] == "9-layer CNN, MFCC, 1 s"
    # These systems augment nothing, so the legend must not speak of it.
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:2] == ["training (batches as trained on)", "validation"]
    assert texts(plots_deep.learning_curves(curves.iloc[:0], title="none"))


def test_a_single_epoch_is_drawn_as_a_point():
    one = made_up.study({"cnn": 0}, protocols=("fault_filtered",), seeds=(0,))
    curves = tables_deep.learning_curves(one).head(1)
    figure = plots_deep.learning_curves(curves, title="one epoch")
    assert figure.axes[0].lines[0].get_marker() == "o"


def test_occlusion_maps_are_centred_at_zero_with_low_bands_below():
    heard = [track | {"model": "fusion"} for track in made_up.heard()]
    figure = plots_deep.occlusion(heard, band_hz=inputs.mel_centres(80), title="heard")
    images = [axis.images[0] for axis in figure.axes if axis.images and axis.get_title(loc="left")]
    assert len(images) == 10
    for image in images:
        low, high = image.get_clim()
        assert low == -high and image.origin == "lower"
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == ["200", "1,000", "3,000", "8,000"]
    line = words_deep.occlusion_line(heard, band_hz=inputs.mel_centres(80))
    assert line.startswith(f"The network asked is **{tables_deep.title('fusion')}**. Of each genre")
    assert "the weightiest band" in line and "recognises" not in line
    assert words_deep.occlusion_title(heard).endswith(": ResNet18 + LSTM, joined")
    assert words_deep.occlusion_title([]) == "What the network listens to"
    assert texts(plots_deep.occlusion([], band_hz=inputs.mel_centres(80), title="none"))


def test_the_length_figure_labels_each_line_once_a_panel(lengths):
    _, accuracy = lengths
    figure = plots_deep.segment_length(
        accuracy, models=["cnn9", "xgboost_mfcc"], protocols=["segment_random", "fault_filtered"],
        chance=0.1,
    )  # fmt: skip
    named = [t.replace("\n", " ") for t in texts(figure)]
    assert named.count("9-layer CNN, MFCC, segments at random") == 2
    assert named.count("XGBoost, MFCC statistics, fault-filtered test") == 2
    nothing = plots_deep.segment_length(accuracy, models=["cnn"], protocols=[], chance=0.1)
    assert texts(nothing)


def test_lengths_are_as_far_apart_as_they_are_long(lengths):
    _, accuracy = lengths
    figure = plots_deep.segment_length(
        accuracy, models=["cnn9"], protocols=["fault_filtered"], chance=0.1
    )
    costs = tables_deep.costs(accuracy, models=["cnn9"], protocol="fault_filtered")
    for axis in [*figure.axes, *plots_deep.costs(costs, title="costs").axes]:
        assert axis.get_xscale() == "log"
        assert list(axis.get_xticks()) == [1, 3, 10, 30]
        assert [t.get_text() for t in axis.get_xticklabels()] == ["1", "3", "10", "30"]


def test_genres_and_costs_are_drawn_for_each_length(lengths):
    study, accuracy = lengths
    table = tables_deep.by_genre(study, model="cnn9", protocol="fault_filtered")
    assert len(texts(plots_deep.genre_by_length(table, title="genres"))) == 40
    assert "Lowest on average" in words_deep.genres_alt(table)
    costs = tables_deep.costs(accuracy, models=["cnn9", "xgboost_mfcc"], protocol="fault_filtered")
    costs["n_parameters"] = costs["n_parameters"].where(costs["title"] == "9-layer CNN, MFCC")
    figure = plots_deep.costs(costs, title="costs")
    assert [axis.get_yscale() for axis in figure.axes] == ["log", "log"]
    assert "24 s at 1 s" in words_deep.costs_alt(costs)


def test_differences_are_drawn_beside_a_claim_and_may_be_none():
    study = made_up.study({"fusion": 0.5, "lstm_mfcc": 0}, seeds=(0,))
    table = tables_deep.compared(study, [["fusion", "lstm_mfcc"]], n_boot=50)
    figure = plots_deep.differences(table, title="fusion", claim=0.1)
    shown = texts(figure)
    assert len(figure.axes[0].get_xticks()) <= 8
    assert "claimed" in shown and f"{table['difference'].iloc[0]:+.2f}" in shown
    assert texts(plots_deep.differences(table.iloc[:0], title="none"))
    assert "An empty chart" in words_deep.differences_alt(table.iloc[:0])


def test_distances_of_every_relation_are_drawn():
    table = pd.DataFrame(
        [
            {
                "segment_s": s, "distance": "euclidean", "relation": relation, "n_pairs": 5,
                "low_quartile": 0.8, "median": 1.0, "high_quartile": 1.2, "nearest_share": 0.25,
                "nearest_share_all": 0.25,
            }
            for s in (1.0, 3.0)
            for relation in ("same track", "same artist", "same genre", "other genre")
        ]
    )  # fmt: skip
    figure = plots_deep.distances(table, title="distances")
    assert [len(axis.patches) for axis in figure.axes] == [0, 8, 8]
    assert texts(plots_deep.distances(table.iloc[:0], title="none"))
