import pandas as pd
import pytest
import study_script

from genre_utils import splits, tables, words
from genre_utils.models.classical import CLASSICAL


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Tables of a small study, and its data set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTPUT_ROOT", str(tmp_path_factory.mktemp("study")))
        patch.setenv("JOBS", "1")
        patch.setattr("genre_utils.features.table", None)
        dataset = study_script.small_dataset()
        result = study_script.run(dataset, protocols=list(splits.PROTOCOLS))
        accuracy = tables.accuracy(result, dataset, n_boot=100, stage="final")
        fair = tables.accuracy(result, dataset, n_boot=100, stage="fair")
    return result, accuracy, fair


def test_accuracy_has_a_row_for_each_setting_and_unit(study):
    _, accuracy, _ = study
    settings = accuracy[["model", "segment_s", "protocol", "unit"]]
    assert not settings.duplicated().any()
    assert len(settings) == 2 * 4 * 2
    for value in ("accuracy", "macro_f1"):
        low, mid, high = (accuracy[f"{value}{end}"] for end in ("_low", "", "_high"))
        assert ((low <= mid) & (mid <= high)).all()
    assert accuracy["protocol"].map(splits.PROTOCOLS.index).is_monotonic_increasing


def test_every_track_answers_once_when_its_segments_vote(study):
    _, accuracy, _ = study
    tracks = accuracy[accuracy["unit"] == "track"]
    assert (tracks["n_items"] == tracks["n_tracks"]).all()
    segments = accuracy[accuracy["unit"] == "segment"]
    assert (segments["n_items"] == 2 * segments["n_tracks"]).all()


def test_the_accuracy_can_be_recomputed_from_the_rows_by_hand(study):
    result, accuracy, _ = study
    rows = tables.predictions_of(result, model="logistic", protocol="artist_grouped")
    predicted = rows.filter(like="p_").idxmax(axis=1).str.removeprefix("p_")
    row = accuracy.query(
        "model == 'logistic' and protocol == 'artist_grouped' and unit == 'segment'"
    ).iloc[0]
    assert row["accuracy"] == pytest.approx((predicted == rows["y_true"]).mean())


def test_the_ladder_goes_from_lax_to_strict_in_table_and_words(study):
    _, accuracy, fair = study
    ladder = tables.ladder(accuracy, models=["knn_1"], segment_s=10.0)
    assert list(ladder["protocol"]) == list(splits.PROTOCOLS)
    same = tables.ladder(fair, models=["knn_1"], segment_s=10.0)
    text = words.ladder_fall(ladder, same, model="knn_1")
    assert text.index("segment_random") < text.index("artist_grouped")
    first, last = ladder["accuracy"].iloc[[0, -1]]
    assert f"a fall of {first - last:.2f}" in text
    assert "`" not in words.ladder_alt(ladder, "per segment")


def test_wide_tables_show_dashes_and_the_reason_stands_apart(study):
    _, accuracy, _ = study
    impossible = {
        "segment_s": 30.0, "source": "audio", "protocol": "segment_random", "n_tracks": 100,
        "reason": "one segment a track",
    }  # fmt: skip
    settings = accuracy[accuracy["protocol"] != "segment_random"].assign(segment_s=30.0)
    frame = pd.concat([accuracy, settings, pd.DataFrame([impossible])], ignore_index=True)
    wide = tables.wide(frame, unit="track")
    assert (wide.loc[30.0, "segment_random"] == "–").all()
    assert tables.reasons(frame)["reason"].tolist() == ["one segment a track"]


def test_the_leaderboard_takes_the_length_that_validation_chose(study):
    _, accuracy, _ = study
    better = accuracy.assign(segment_s=30.0, validation_accuracy=0.99, accuracy=0.01)
    board = tables.leaderboard(pd.concat([accuracy, better], ignore_index=True))
    assert set(board["segment_s"]) == {30.0}, "picked by validation, not by test accuracy"
    shown = tables.leaderboard_to_read(board)
    assert [name.split(" (")[0] for name in shown.columns[2:6]] == list(splits.PROTOCOLS)
    assert not shown.isna().any().any()


def test_best_by_validation_ignores_test_accuracy(study):
    result, _, _ = study
    best = tables.best_by_validation(result, protocol="fault_filtered")
    runs = result.runs.query("protocol == 'fault_filtered' and stage == 'final'")
    assert best["validation_accuracy"] == runs.groupby("model")["validation_accuracy"].mean().max()


def test_searches_say_which_won_and_what_each_cost(study):
    result, _, _ = study
    searches = tables.searches(result)
    assert set(searches["model"]) == {"logistic"}
    assert (searches["grid_won"] + searches["bayes_won"] == searches["n_folds"]).all()
    assert (searches[["grid_cpu_s", "bayes_cpu_s"]] > 0).all().all()
    assert "Bayesian optimisation found the better score" in words.search_winner(searches)


def test_importance_of_every_feature_is_kept_with_its_spread(study):
    result, _, _ = study
    importance = tables.importance(result)
    assert importance.groupby("model")["feature"].nunique().tolist() == [57]
    assert (importance["drop_low"] <= importance["drop_high"]).all()
    assert set(importance["protocol"]) == {"fault_filtered"}
    n_items = len(tables.predictions_of(result, protocol="fault_filtered", model="logistic"))
    assert set(importance["n_test"]) == {n_items}
    title = words.importance_title(importance)
    assert f"the {n_items} test items of fault_filtered, 10 s each" in title


def test_words_on_importance_say_what_bars_below_zero_mean():
    table = pd.DataFrame(
        {
            "title": ["SVM", "SVM", "forest", "forest"],
            "feature": ["tempo", "rms_var", "tempo", "rms_var"],
            "drop": [0.01, -0.02, 0.05, 0.03],
            "drop_low": [-0.01, -0.03, 0.04, 0.01],
            "n_test": 200,
        }
    )
    text = words.importance(table)
    assert "**SVM**: none of the 2 features" in text and "**forest**: 2 of the 2" in text
    assert "for 1 the loss is zero or below (lowest: -0.020, `rms_var`)" in text
    assert "answers as well or better" in text and "0.0050" in text
    assert "zero or below" not in words.importance(table[table["title"] == "forest"])
    assert words.importance(table[:0])


def test_words_on_validation_follow_the_signs_of_the_gaps():
    rows = [
        ("segment_random", 0.5, 0.9), ("segment_random", 0.6, 0.8),
        ("artist_grouped", 0.5, 0.45), ("artist_grouped", 0.6, 0.62),
    ]  # fmt: skip
    accuracy = pd.DataFrame(rows, columns=["protocol", "validation_accuracy", "accuracy"])
    accuracy = accuracy.assign(segment_s=10.0, unit="segment")
    text = words.validation(accuracy, segment_s=10.0)
    assert "0 of 2 models under `segment_random` (-0.40 to -0.20)" in text
    assert "1 of 2 models under `artist_grouped` (-0.02 to +0.05)" in text
    assert "forecasts `artist_grouped` best (off by 0.04 on average)" in text
    assert "`segment_random` worst (off by 0.30)" in text
    assert "best" not in words.validation(accuracy[:2], segment_s=10.0)
    assert "nothing to compare" in words.validation(accuracy, segment_s=3.0)


def test_words_against_a_baseline_say_who_beats_it_and_who_is_worse():
    rows = [
        ("SVM", -0.06, -0.1, -0.03),
        ("logistic regression", 0.01, -0.03, 0.06),
        ("1-nearest neighbour (untuned)", -0.01, -0.05, 0.03),
    ]
    table = pd.DataFrame(rows, columns=["title", "difference", "low", "high"]).assign(n_tracks=290)
    text = words.against_baseline(table, baseline="svm_c10")
    assert text.startswith("No: not one of 3 models") and "on the same 290 tracks" in text
    assert "the highest difference is logistic regression (tuned) +0.01 (-0.03 to +0.06)." in text
    assert text.endswith("below zero: SVM (tuned) -0.06 (-0.10 to -0.03).")
    better = words.against_baseline(table.assign(low=[-0.1, 0.001, -0.05]), baseline="svm_c10")
    assert better.startswith("Better than SVM, C = 10 (untuned)")
    assert "zero: logistic regression (tuned) +0.01 (+0.001 to +0.06)" in better
    assert words.against_baseline(table[:0], baseline="svm_c10")


def test_uses_of_test_parts_are_told_apart_by_what_became_of_their_runs(study):
    result, _, _ = study
    uses = result.runs.assign(study="03_baselines", times=1)
    n = len(uses)
    everything = words.counted_uses(uses, result.runs, study="03_baselines")
    assert f"counted, {n} in all: {n} by these runs." in everything
    earlier = uses[:2].assign(run_id=["older", "oldest"], times=2)
    dropped = uses[:1].assign(run_id="gone", seed=99)
    other = uses[:1].assign(study="04_multimodal", times=50)
    more = pd.concat([uses, earlier, dropped, other])
    text = words.counted_uses(more, result.runs, study="03_baselines")
    assert f"{n + 5} in all: {n} by these runs, 4 by earlier versions" in text
    assert "and 1 by runs of settings that the study no longer has" in text
    assert "not been counted" in words.counted_uses(other, result.runs, study="03_baselines")


def test_a_model_is_compared_with_the_baseline_on_the_same_tracks(study):
    result, accuracy, _ = study
    table = tables.against_baseline(
        result, protocol="fault_filtered", baseline="knn_1", segment_s=10.0, n_boot=100
    )
    scores = accuracy.query("protocol == 'fault_filtered' and unit == 'track'")
    scores = scores.set_index("model")["accuracy"]
    assert table["difference"].iloc[0] == pytest.approx(scores["logistic"] - scores["knn_1"])
    assert 0 <= table["mcnemar_p"].iloc[0] <= 1


def test_models_are_described_in_their_order():
    table = tables.models(list(CLASSICAL))
    assert list(table["model"]) == list(CLASSICAL)
    assert "55" in table.set_index("model").loc["knn", "grid"]


def test_the_answer_compares_numbers_of_the_same_tracks():
    """Segments of a few clips with sound are no match for those of all tracks in the table."""
    rows = [
        ("table", 10.0, "fault_filtered", "track", 0.5, 290),
        ("table", 10.0, "segment_random", "segment", 0.8, 1000),
        ("audio", 3.0, "segment_random", "segment", 0.97, 100),
    ]
    names = ["source", "segment_s", "protocol", "unit", "accuracy", "n_tracks"]
    accuracy = pd.DataFrame(rows, columns=names).assign(model="svm", title="SVM")
    accuracy["accuracy_low"], accuracy["accuracy_high"] = accuracy["accuracy"], accuracy["accuracy"]
    chosen = {"model": "svm", "source": "table", "segment_s": 10.0}
    nothing = accuracy.iloc[:0]
    text = words.baseline_answer(accuracy, nothing, nothing, best=chosen, protocol="fault_filtered")
    assert "segments of 1000 tracks give up to 0.80" in text and "0.97" not in text
