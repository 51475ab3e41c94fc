"""The case study of genre-sorted batches: what is compared differs in the batches alone."""

import numpy as np
import pandas as pd
import pytest
from test_msd_convnet import write_weights

from genre_utils import contamination as study
from genre_utils import evaluation, images, plots_transfer, project, words_transfer
from genre_utils.models import msd_convnet as convnet


@pytest.fixture(scope="module")
def run_on_demo(demo, tmp_path_factory):
    """Run the study on the demo data set: features, and no network for want of weights."""
    settings = {
        "OUTPUT_ROOT": str(tmp_path_factory.mktemp("study")),
        "DATA_ROOT": str(tmp_path_factory.mktemp("nothing")),
        "JOBS": "1",
    }

    def run(study_name="07_contamination", **options):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            options = {"n_folds": 3, "seeds": (0, 1)} | options
            outputs = project.Outputs(demo.name, "smoke")
            return study.run(demo, study=study_name, outputs=outputs, **options)

    return run


@pytest.fixture(scope="module")
def result(run_on_demo):
    return run_on_demo()


def test_batches_follow_the_file_order():
    numbers = study.batch_numbers(1000)
    assert numbers[255] == 0 and numbers[256] == 1 and numbers.max() == 3
    assert len(np.unique(study.batch_numbers(40))) == 4


def test_a_standardised_batch_has_mean_zero_and_other_batches_do_not_matter():
    X = np.random.default_rng(0).normal(3, 2, (12, 4))
    numbers = np.repeat([0, 1, 2], 4)
    out = study._standardise(X, numbers)
    np.testing.assert_allclose(out[numbers == 1].mean(axis=0), 0, atol=1e-12)
    changed = X.copy()
    changed[numbers == 2] *= 9
    np.testing.assert_array_equal(
        study._standardise(changed, numbers)[numbers == 1], out[numbers == 1]
    )


def test_nothing_of_the_test_part_is_scored(result, demo):
    parts = demo.tracks.set_index("track_id")["fault_filtered_split"]
    assert set(parts[result.predictions["track_id"]]) == {"train"}
    assert set(result.runs["stage"]) == {"inner"}
    assert set(result.predictions["input"]) == {study.TABULAR}
    assert len(result.impossible) == 4 and result.impossible["reason"].str.len().min() > 20


def test_tables_figure_and_words_come_from_the_stored_rows(result, demo):
    table = study.accuracy(result, demo, n_boot=50)
    assert set(table["source"]) == {study.SORTED, study.SHUFFLED, study.FIXED}
    row = table[(table["model"] == "svm") & (table["source"] == study.FIXED)].iloc[0]
    stored = result.predictions.query("model == 'svm' and source == @study.FIXED")
    right = evaluation.labels(stored) == stored["y_true"]
    assert row["accuracy"] == pytest.approx(right.mean())
    assert np.isnan(row["gain"]) and table["gain"].notna().any()
    assert table["by_chance"].between(0, 1).all()
    figure = plots_transfer.contamination(table)
    assert len(figure.axes) == 1 and study.TABULAR in figure.axes[0].get_yticklabels()[0].get_text()
    assert study.TABULAR in words_transfer.contamination_answer(table)
    assert study.SORTED in words_transfer.contamination_alt(table)


def test_stored_rows_are_not_computed_again(result, run_on_demo, monkeypatch):
    monkeypatch.setattr(study._Work, "__call__", lambda self: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(run_on_demo().predictions, result.predictions)


def test_the_test_part_is_predicted_on_request_only_and_trained_on_the_training_part(
    run_on_demo, demo
):
    result = run_on_demo("final", models=("1-nn",), seeds=(0,), with_test=True)
    final = result.predictions[result.predictions["stage"] == "final"]
    parts = demo.tracks.set_index("track_id")["fault_filtered_split"]
    assert set(parts[final["track_id"]]) == {"test"}
    assert set(final["n_train"]) == {parts.eq("train").sum()}
    assert set(final["source"]) == {study.SORTED, study.SHUFFLED, study.FIXED}


def test_unknown_classifiers_are_refused(run_on_demo):
    with pytest.raises(project.ProjectError, match="unknown models"):
        run_on_demo(models=("tree",))


def test_scores_rank_classes_as_the_classifier_does():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), np.arange(60) % 3
    for make in study.CLASSIFIERS.values():
        model = study.make_pipeline(study.StandardScaler(), make()).fit(X, y)
        scores = study._scores(model, X + 0.3, 4)
        np.testing.assert_allclose(scores.sum(axis=1), 1)
        np.testing.assert_array_equal(scores.argmax(axis=1), model.predict(X + 0.3))


def test_a_picture_stands_for_the_sound_that_it_was_made_of(tmp_path):
    network = convnet.load(write_weights(tmp_path / "weights.hdf5"))
    seconds = np.arange(30 * 22050) / 22050
    rng = np.random.default_rng(0)
    y = np.where(
        seconds < 15, np.sin(2 * np.pi * 800 * seconds), 0.1 * rng.normal(size=len(seconds))
    )
    picture = images.gtzan_picture(0.3 * y.astype(np.float32))
    bank = network.weights.mel.clone()
    bank.zero_()
    bank[34, 0], bank[200, 1] = 1, 1  # 797 Hz and 4,688 Hz
    weights = convnet.Weights(network.weights.stft, bank, network.weights.layers, "")
    level = 10 * np.log10(study.picture_power(picture, weights) + 1e-9)
    assert level.shape == (96, 1360)
    halves = level[:2, 50:600].mean(axis=1), level[:2, 800:].mean(axis=1)
    assert halves[0][0] > halves[0][1] + 20  # a tone: loud at its own frequency only
    assert abs(halves[1][0] - halves[1][1]) < 10  # noise: as loud everywhere


@pytest.mark.real_data
def test_the_published_features_change_at_every_256th_row_and_the_control_does_not(gtzan_root):
    if not (gtzan_root / "choi2017").is_dir():
        pytest.skip("no published network features")
    jumps = study.batch_jumps(n_permutations=999).set_index("representation")
    control = jumps.loc["MFCC statistics (control)"]
    layers = jumps.drop(index="MFCC statistics (control)")
    assert (layers["jump"] > 1.5 * layers["jump_by_chance"]).all()
    assert (layers["p_value"] < 0.05).all() and (layers["period"] == 256).all()
    assert control["p_value"] > 0.5
