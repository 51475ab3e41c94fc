import io
import re
from dataclasses import replace
from functools import partial

import made_up_networks as made_up
import numpy as np
import pandas as pd
import pytest

from genre_utils import averaging, evaluation, inputs, splits, tables, tables_deep, words_deep
from genre_utils.project import ProjectError
from genre_utils.systems import SYSTEMS as SYSTEMS_OF_THE_STUDY

SYSTEMS = {"resnet18_mel": 0.3, "lstm_mfcc": -0.2, "fusion": 0.8}
BRANCHES = ["resnet18_mel", "lstm_mfcc"]


@pytest.fixture(scope="module")
def dataset():
    return made_up.dataset()


@pytest.fixture(scope="module")
def study():
    return made_up.study(SYSTEMS)


@pytest.fixture(scope="module")
def accuracy(study, dataset):
    return tables_deep.accuracy(study, dataset, n_boot=50)


@pytest.fixture(scope="module")
def lengths(dataset):
    study = made_up.study(
        {"cnn9": 0.2, "xgboost_mfcc": -0.2}, lengths=(3.0, 10.0, 30.0), seeds=(0,)
    )
    return study, tables_deep.accuracy(study, dataset, n_boot=50)


def row_of(table, **setting):
    for name, value in setting.items():
        table = table[table[name] == value]
    assert len(table) == 1, f"{len(table)} rows of {setting}"
    return table.iloc[0]


def test_accuracy_has_a_row_for_each_setting_and_unit_with_what_it_cost(accuracy):
    done = accuracy[accuracy["accuracy"].notna()]
    assert len(done) == len(SYSTEMS) * 3 * 2
    assert not done[["model", "segment_s", "protocol", "stage", "unit"]].duplicated().any()
    assert (done["accuracy_low"] <= done["accuracy"]).all()
    assert (done["accuracy"] <= done["accuracy_high"]).all()
    assert done[["n_parameters", "weights_mb", "fit_s", "train_accuracy"]].notna().all().all()
    assert accuracy["protocol"].map(splits.PROTOCOLS.index).is_monotonic_increasing


def test_accuracy_is_the_mean_over_seeds_and_keeps_each_of_them(accuracy, study):
    row = row_of(accuracy, model="fusion", protocol="fault_filtered", unit="track")
    rows = tables.predictions_of(study, model="fusion", protocol="fault_filtered")
    right = pd.Series(evaluation.labels(rows) == rows["y_true"], rows.index)
    each = right.groupby(rows["seed"]).mean()
    assert row["accuracy"] == pytest.approx(each.mean())
    assert row["accuracy_sd"] == pytest.approx(each.std())
    assert (row["accuracy_seed_low"], row["accuracy_seed_high"]) == (each.min(), each.max())
    assert row["n_seeds"] == 3
    assert row["by_seed"] == " ".join(f"{s}: {v:.3f}" for s, v in each.items())
    assert row["n_tracks"] == 40 and row["n_items"] == 120


def test_what_the_data_cannot_answer_is_a_row_with_its_reason(accuracy):
    rows = accuracy[accuracy["protocol"] == "segment_random"]
    assert rows["accuracy"].isna().all() and rows["reason"].notna().all()
    reasons = tables_deep.reasons(accuracy)
    assert len(reasons) == 1
    assert reasons["title"].iloc[0].count(",") >= len(SYSTEMS) - 1, "all systems in one row"


def test_segments_of_a_track_vote(lengths):
    _, accuracy = lengths
    setting = {"model": "cnn9", "protocol": "artist_grouped", "segment_s": 3.0}
    segment = row_of(accuracy, unit="segment", **setting)
    voted = row_of(accuracy, unit="track", **setting)
    assert segment["n_items"] == 10 * voted["n_items"] and voted["n_items"] == voted["n_tracks"]
    assert voted["accuracy"] > segment["accuracy"]
    assert segment["segments_a_track"] == voted["segments_a_track"] == 10


def test_a_readers_table_has_one_row_a_system_and_no_dashes(accuracy):
    table = tables_deep.systems(accuracy)
    assert list(table["system"]) == [tables_deep.title(name) for name in SYSTEMS]
    assert not table.isna().any().any()
    assert not table.isin(["–", ""]).any().any()
    assert table["segment_random, per segment"].str.startswith("not possible: it needs").all()
    assert table["fault_filtered, per track"].str.endswith("40 tracks").all()
    assert set(table["pretrained"]) == {"no"}
    assert table["published"].iloc[0] == "0.84, random 90/10"
    assert set(table["seeds"]) == {"3"} and set(table["epochs"]) == {"12"}
    assert set(table["training accuracy"]) == {"0.95"}


def test_a_readers_table_tells_protocols_with_other_seeds_and_epochs_apart(study, dataset):
    rows, runs = study.predictions, study.runs.copy()
    rows = rows[(rows["protocol"] == "fault_filtered") | (rows["seed"] == 0)]
    runs.loc[runs["protocol"] == "track_random", "epochs"] = 24
    fewer = averaging.with_averages(
        replace(study, predictions=rows, runs=runs), over_seeds=["fusion"]
    )
    table = tables_deep.systems(tables_deep.accuracy(fewer, dataset, n_boot=20))
    table = table.set_index("system")
    one = table.loc[tables_deep.title("fusion")]
    assert one["seeds"] == "1; 3 under fault_filtered"
    assert one["epochs"] == "12; 24 under track_random"
    averaged = table.loc[tables_deep.title("fusion (mean over seeds)")]
    assert averaged["seeds"] == "3" and averaged["epochs"] == "none"


def test_a_number_of_networks_that_learnt_little_is_marked(dataset):
    made = partial(made_up.study, {"resnet18_colour": 0}, protocols=("fault_filtered",))
    boards = [
        tables_deep.systems(tables_deep.accuracy(made(reached=r), dataset, n_boot=20))
        for r in (0.49, 0.5)
    ]
    cells = [board["fault_filtered, per track"].iloc[0] for board in boards]
    assert cells[0].endswith("40 tracks; underfitted: 0.49 in training")
    assert cells[1].endswith("40 tracks")
    assert "fewer than 50 of 100" in words_deep.underfitted_numbers(boards[0])
    assert words_deep.underfitted_numbers(boards[1]) == ""


def test_the_luck_of_a_seed_is_told_beside_intervals(accuracy, study, dataset):
    strict = accuracy[(accuracy["protocol"] == "fault_filtered") & (accuracy["unit"] == "track")]
    apart = strict["accuracy_seed_high"] - strict["accuracy_seed_low"]
    row = strict.loc[apart.idxmax()]
    told = f"up to {apart.max():.2f} apart ({row['title']}: {row['accuracy_seed_low']:.3f}–"
    line = words_deep.seed_spread(accuracy)
    assert told in line and f"{len(SYSTEMS)} systems had several seeds" in line
    rows = study.predictions
    once = replace(study, predictions=rows[(rows["model"] != "lstm_mfcc") | (rows["seed"] == 0)])
    compared = tables_deep.compared(
        once, [["fusion", "lstm_mfcc"], ["fusion", "resnet18_mel"]], n_boot=10
    )
    line = words_deep.one_seed_line(compared, accuracy)
    assert line.startswith("Compared with one seed on each side: ResNet18 + LSTM, joined. Under")
    assert told in line
    small, large = (compared.assign(difference=value, n_seeds=1) for value in (0.0, 0.9))
    assert "none is larger" in words_deep.one_seed_line(small, accuracy)
    line = words_deep.one_seed_line(large, accuracy)
    assert "side: all of them." in line and line.endswith("2 of 2 are larger.")
    assert words_deep.one_seed_line(compared.assign(n_seeds=3), accuracy) == ""
    single = tables_deep.accuracy(made_up.study({"cnn": 0}, seeds=(0,)), dataset, n_boot=10)
    assert "No system was trained with several seeds" in words_deep.seed_spread(single)
    assert words_deep.one_seed_line(small, single) == ""


def test_the_refit_is_a_row_of_its_own_and_the_last_epoch_is_not(dataset):
    study = made_up.study(
        {"cnn": 0}, protocols=("fault_filtered",), stages=("final", "last", "refit"), seeds=(0,)
    )
    accuracy = tables_deep.accuracy(study, dataset, n_boot=20)
    table = tables_deep.systems(accuracy)
    assert list(table["system"]) == ["CNN, 3-s chunks", "CNN, 3-s chunks (refit on both parts)"]
    assert table["track_random, per track"].eq("not run: only fault_filtered").all()


def test_a_validation_part_is_judged_on_the_seeds_that_both_stages_have():
    make = partial(made_up.study, protocols=("fault_filtered",))
    several = make({"cnn": 0, "cnn_gru": 0.5})
    once = make({"cnn": 0, "cnn_gru": 0}, stages=("last",), seeds=(0,))
    alone = make({"cnn": 3}, stages=("refit",), seeds=(0,))
    rows = pd.concat([part.predictions for part in (several, once, alone)], ignore_index=True)
    table = tables_deep.validation_part(replace(several, predictions=rows), n_boot=20)
    assert len(table) == 3 and set(table["seeds"]) == {"0"}
    last = tables_deep.STAGE_TITLES["last"]
    gru = row_of(table, model="cnn_gru", stage=last)
    first = tables.predictions_of(several, model="cnn_gru", seed=0)
    assert gru["accuracy_against"] == pytest.approx(
        (evaluation.labels(first) == first["y_true"]).mean()
    )
    itself = row_of(table, model="cnn", stage=last)
    assert itself["difference"] == 0 and itself["same_network"] and not gru["same_network"]
    line = words_deep.validation_part_line(table, protocol="fault_filtered")
    assert (
        f"{last}: {gru['difference']:+.3f} ({gru['title']} alone); not counted: CNN, 3-s chunks,"
        in line
    )
    assert line.endswith(" (CNN, 3-s chunks alone).")
    all_count = words_deep.validation_part_line(
        table.assign(same_network=False), protocol="fault_filtered"
    )
    mean, least = gru["difference"] / 2, gru["difference"]
    assert least < 0
    assert f"{mean:+.3f} on average over 2 systems (from {least:+.3f} to 0.000)" in all_count
    none_count = words_deep.validation_part_line(
        table.assign(same_network=True), protocol="fault_filtered"
    )
    assert f"{last}: nothing to compare; not counted: " in none_count
    assert "both with and without" in words_deep.validation_part_line(table, protocol="-")
    assert tables_deep.validation_part(several, n_boot=20).empty


def test_a_system_that_was_never_possible_says_why(dataset, study):
    note = {
        "segment_s": 3.0, "source": "none", "protocol": "fault_filtered", "stage": "final",
        "n_tracks": 0, "reason": "no track has sound", "model": "cnn_raw",
    }  # fmt: skip
    impossible = pd.concat([study.impossible, pd.DataFrame([note])], ignore_index=True)
    accuracy = tables_deep.accuracy(replace(study, impossible=impossible), dataset, n_boot=20)
    row = row_of(tables_deep.systems(accuracy), system=tables_deep.title("cnn_raw"))
    assert row["fault_filtered, per track"] == "not possible: no track has sound"
    assert row["track_random, per track"] == "not run"
    assert row["training"] == "none" and row["parameters"] == "none"


def test_of_several_lengths_validation_chooses_and_a_missing_one_is_named(lengths):
    study, accuracy = lengths
    better = accuracy["segment_s"] == 30.0
    accuracy = accuracy.assign(
        validation_accuracy=accuracy["validation_accuracy"].where(~better, 0.99)
    )
    table = tables_deep.systems(accuracy)
    assert set(table["item"]) == {"30 s"}
    assert table["segment_random, per segment"].str.contains("items of").all()


def test_times_are_told_in_a_unit_that_suits_them():
    told = [tables_deep.duration(s) for s in (0.2, 34.4, 300, 7200, np.nan)]
    assert told == ["under 1 s", "34 s", "5 min", "2.0 h", "none"]


def test_averaged_systems_are_the_mean_of_their_probabilities(study):
    both = averaging.with_averages(study, [BRANCHES])
    name = " + ".join(BRANCHES)
    added = both.predictions[both.predictions["model"] == name]
    first = added.sort_values(["protocol", "seed", "fold", "track_id"]).iloc[17]
    parts = study.predictions
    for key in ("protocol", "seed", "fold", "track_id"):
        parts = parts[parts[key] == first[key]]
    column = f"p_{first['y_true']}"
    expected = parts[parts["model"].isin(BRANCHES)][column].mean()
    assert first[column] == pytest.approx(expected, abs=1e-6)
    costs = both.runs.groupby("model")["n_parameters"].first()
    assert costs[name] == costs[BRANCHES].sum()
    assert set(added["run_id"]) == set(both.runs.loc[both.runs["model"] == name, "run_id"])
    assert (both.impossible["model"] == name).sum() == 1, "whole clips stay impossible"


def test_systems_of_different_lengths_are_averaged_track_by_track():
    tracks = made_up.dataset().tracks
    short = made_up.study({"cnn": 0}, tracks=tracks, lengths=(3.0,), seeds=(0,))
    whole = made_up.study({"resnet_small": 0}, tracks=tracks, seeds=(0,))
    study = replace(
        short,
        predictions=pd.concat([short.predictions, whole.predictions], ignore_index=True),
        runs=pd.concat([short.runs, whole.runs], ignore_index=True),
        impossible=whole.impossible,
    )
    both = averaging.with_averages(study, [["cnn", "resnet_small"]])
    added = both.predictions[both.predictions["model"] == "cnn + resnet_small"]
    assert set(added["segment_s"]) == {30.0}
    assert len(added[added["protocol"] == "fault_filtered"]) == 40
    notes = both.impossible[both.impossible["model"] == "cnn + resnet_small"]
    assert notes["reason"].str.contains("no predictions to average").tolist() == [True]


def test_seeds_are_averaged_only_where_all_were_trained_on_the_same_tracks(study, dataset):
    both = averaging.with_averages(study, over_seeds=["fusion"])
    added = both.predictions[both.predictions["model"] == "fusion (mean over seeds)"]
    assert set(added["protocol"]) == {"artist_grouped", "fault_filtered"}
    accuracy = tables_deep.accuracy(both, dataset, n_boot=20)
    one = row_of(accuracy, model="fusion", protocol="fault_filtered", unit="track")
    three = row_of(
        accuracy, model="fusion (mean over seeds)", protocol="fault_filtered", unit="track"
    )
    # Beside the mean of the seeds' accuracies, which the system's own row shows.
    assert three["title"] == f"{one['title']} (probabilities of its seeds averaged)"
    assert three["accuracy"] > one["accuracy"] and three["n_parameters"] == 3 * one["n_parameters"]


def test_learning_curves_are_means_over_runs_with_their_spread(study):
    curves = tables_deep.learning_curves(study)
    one = curves[(curves["model"] == "fusion") & (curves["protocol"] == "fault_filtered")]
    assert list(one["epoch"]) == list(range(1, 13)) and set(one["n_runs"]) == {3}
    assert (one["train_accuracy_low"] <= one["train_accuracy"]).all()
    assert set(one["kept_epoch"]) == {9}
    assert "ResNet18 + LSTM, joined ends at" in words_deep.curves_alt(one)
    without = tables_deep.learning_curves(replace(study, runs=study.runs.iloc[:0]))
    assert without.empty and "An empty chart" in words_deep.curves_alt(without)


def test_a_setting_that_does_not_fit_its_training_part_says_why(study):
    assert tables_deep.underfitted(study).empty
    poor = made_up.study(
        {"resnet_small": 0}, protocols=("fault_filtered",), stages=("final", "last"), reached=0.8
    )
    table = tables_deep.underfitted(poor)
    assert list(table["stage"]) == ["final", "last"]
    assert "Budget of 12 epochs, regularised (random crops" in table["why"].iloc[0]
    assert "validation loss was lowest at epoch 9 of 12 trained" in table["why"].iloc[0]
    assert "in the last fifth of these" in table["why"].iloc[1]
    line = words_deep.underfitting(table)
    assert line.startswith("2 settings below") and "unaltered items" in line
    trees = replace(poor, runs=poor.runs.assign(history=[[]] * len(poor.runs)))
    why = tables_deep.underfitted(trees)["why"].iloc[0]
    assert "limited in number and depth, too little to fit 400 items" in why


def test_fusion_is_compared_with_each_branch_and_with_the_claim(study):
    table = tables_deep.fusion(study, joined="fusion", branches=BRANCHES, n_boot=100, claim=0.1)
    assert len(table) == 2 * 3 and table.groupby("protocol")["better_branch"].sum().eq(1).all()
    for _, row in table.iterrows():
        expected = "above" if row["low"] > 0.1 else "below" if row["high"] < 0.1 else "around"
        assert row["verdict"] == expected
        assert row["difference"] == pytest.approx(row["accuracy"] - row["accuracy_against"])
    answer = words_deep.fusion_answer(table)
    assert answer.count("McNemar") == 3 and "claimed gain of +0.10" in answer
    assert "per track" not in answer
    leaky = words_deep.fusion_answer(table.replace("track_random", "segment_random"))
    assert leaky.startswith("Scored per track throughout; the tables above score each segment")
    assert set(table["n_seeds"]) == {3}
    assert answer.count("mean over 3 seeds") == 3
    assert answer.count("McNemar's test on the answers of the 3 seeds averaged: p = ") == 3
    single = words_deep.fusion_answer(table.assign(n_seeds=1))
    assert "seeds" not in single and single.count("McNemar's test: p = ") == 3
    nothing = tables_deep.fusion(study, joined="cnn", branches=BRANCHES, n_boot=10, claim=0.1)
    assert nothing.empty and "could not be compared" in words_deep.fusion_answer(nothing)


def test_the_better_branch_is_chosen_without_the_test_part(study):
    runs = study.runs.copy()
    runs["validation_accuracy"] = np.where(runs["model"] == "lstm_mfcc", 0.9, 0.1)
    table = tables_deep.fusion(
        replace(study, runs=runs), joined="fusion", branches=BRANCHES, n_boot=10, claim=0.1
    )
    assert set(table.loc[table["better_branch"], "baseline"]) == {"lstm_mfcc"}
    runs["validation_accuracy"] = None
    table = tables_deep.fusion(
        replace(study, runs=runs), joined="fusion", branches=BRANCHES, n_boot=10, claim=0.1
    )
    assert set(table.loc[table["better_branch"], "baseline"]) == {"resnet18_mel"}


def test_a_pair_says_how_many_seeds_it_rests_on(study):
    rows = study.predictions
    once = rows[(rows["model"] != "lstm_mfcc") | (rows["seed"] == 0)]
    table = tables_deep.compared(
        replace(study, predictions=once),
        [["fusion", "lstm_mfcc"], ["fusion", "resnet18_mel"]],
        n_boot=10,
        protocols=["fault_filtered"],
    )
    assert table.set_index("baseline")["n_seeds"].to_dict() == {"lstm_mfcc": 1, "resnet18_mel": 3}


def test_mistakes_are_counted_among_the_answers_of_all_seeds(study):
    rows = tables.predictions_of(study, model="lstm_mfcc", protocol="fault_filtered")
    table = tables_deep.confused_pairs(rows)
    assert list(table.columns) == [
        "true", "predicted", "share", "n", "n_answers", "n_tracks", "n_seeds",
    ]  # fmt: skip
    first = table.iloc[0]
    assert (first["n_answers"], first["n_tracks"], first["n_seeds"]) == (12, 4, 3)
    assert first["share"] == pytest.approx(first["n"] / 12)


def test_pairs_on_different_tracks_are_not_compared(study):
    rows = study.predictions
    fewer = rows[(rows["model"] != "fusion") | rows["track_id"].str.startswith("b")]
    table = tables_deep.compared(
        replace(study, predictions=fewer), [["fusion", "lstm_mfcc"]], n_boot=10
    )
    assert table.empty


def test_convergence_counts_epochs_and_seconds_to_most_of_the_accuracy(study):
    table = tables_deep.convergence(study, BRANCHES)
    row = row_of(table, model="lstm_mfcc", protocol="fault_filtered")
    assert row["n_runs"] == 3 and 1 <= row["epochs_to_share"] <= 9
    run = study.runs[
        (study.runs["model"] == "lstm_mfcc") & (study.runs["protocol"] == "fault_filtered")
    ].iloc[0]
    history = pd.DataFrame(run["history"])
    kept = history.loc[history["epoch"] == run["best_epoch"], "valid_accuracy"].iloc[0]
    first = int((history["valid_accuracy"] >= 0.9 * kept).to_numpy().argmax()) + 1
    assert abs(row["epochs_to_share"] - first) <= 1
    assert "under `fault_filtered`" in words_deep.convergence_line(table).lower()
    assert tables_deep.convergence(study, []).empty


def test_genres_and_costs_are_told_for_each_length(lengths):
    study, accuracy = lengths
    genres = tables_deep.by_genre(study, model="cnn9", protocol="fault_filtered")
    assert genres.groupby("segment_s")["genre"].nunique().tolist() == [10, 10, 10]
    costs = tables_deep.costs(accuracy, models=["cnn9"], protocol="fault_filtered")
    assert list(costs["segment_s"]) == [3.0, 10.0, 30.0] and costs["fit_s"].notna().all()


def test_what_has_no_number_at_a_length_was_not_run_or_is_not_possible(lengths):
    _, accuracy = lengths
    cnn = tables_deep.title("cnn9")
    table = partial(tables_deep.by_length, models=["cnn9"], unit="segment")
    noted = accuracy["reason"].notna()
    # Two groups of runs that ask for the same note the same reason.
    wide = table(pd.concat([accuracy, accuracy[noted]]))
    assert wide.loc[(cnn, 30.0), "segment_random"].startswith("not possible: it needs at least two")
    wide = table(accuracy[~noted])
    assert wide.loc[(cnn, 30.0), "segment_random"] == "not possible: a clip is one such segment"
    random = accuracy["protocol"] == "track_random"
    few = accuracy[~random | (accuracy["segment_s"] == 3.0)]
    assert table(few)["track_random"].eq("not run").tolist() == [False, True, True]
    line = partial(words_deep.lengths_left_out, models=["cnn9"])
    assert line(few) == "Not run at every length: `track_random` (only at 3 s)."
    assert line(accuracy) == "Every protocol was run at every length that it allows."
    # What is impossible was not left out, whether it was asked for or is so of itself.
    assert line(accuracy[~noted]) == line(accuracy)
    why_not = (
        accuracy[random & (accuracy["unit"] == "track")]
        .head(1)
        .assign(accuracy=np.nan, reason="too few")
    )
    why_not = pd.concat([why_not.assign(segment_s=s) for s in (10.0, 30.0)])
    assert line(pd.concat([few, why_not])) == line(accuracy)


def test_a_length_has_its_number_once_with_what_it_rests_on(lengths):
    _, accuracy = lengths
    table = partial(tables_deep.by_length, models=["cnn9"], unit="track")
    cell = table(accuracy).loc[(tables_deep.title("cnn9"), 3.0), "segment_random"]
    row = row_of(accuracy, model="cnn9", protocol="segment_random", segment_s=3.0, unit="track")
    assert cell.endswith(f"; {row['n_tracks']} tracks × {row['segments_a_track']:.1f}")
    with pytest.raises(ValueError, match="duplicate"):
        table(pd.concat([accuracy, accuracy[accuracy["accuracy"].notna()]]))


def test_lengths_are_paired_with_the_best_one_on_the_same_tracks(lengths):
    study, accuracy = lengths
    table = tables_deep.against_best_length(
        study, models=["cnn9", "cnn"], protocol="fault_filtered", n_boot=50
    )
    voted = accuracy[
        (accuracy["model"] == "cnn9")
        & (accuracy["protocol"] == "fault_filtered")
        & (accuracy["unit"] == "track")
    ].set_index("segment_s")["accuracy"]
    assert set(table["best_s"]) == {voted.idxmax()} and len(table) == 2
    for _, row in table.iterrows():
        assert row["difference"] == pytest.approx(voted[row["segment_s"]] - voted.max())
        assert row["low"] <= row["difference"] <= row["high"]
    rows = study.predictions
    fewer = rows[(rows["segment_s"] != voted.idxmax()) | rows["track_id"].str.startswith("b")]
    other = tables_deep.against_best_length(
        replace(study, predictions=fewer), models=["cnn9"], protocol="fault_filtered", n_boot=10
    )
    assert voted.idxmax() not in set(other["best_s"]) | set(other["segment_s"])


def test_a_best_length_is_clear_only_where_no_other_comes_near():
    table = pd.DataFrame(
        {
            "title": "CNN", "protocol": "fault_filtered", "segment_s": [1.0, 3.0], "best_s": 10.0,
            "accuracy": [0.3, 0.5], "accuracy_against": 0.6, "low": [-0.4, -0.2],
            "high": [-0.2, 0.01], "n_tracks": 40, "n_seeds": 1,
        }
    )  # fmt: skip
    line = words_deep.best_length_line(table)
    assert "**CNN** scores 0.30 to 0.60; 3 s cannot be told from its highest, at 10 s, and " in line
    assert "1 s lie below." in line and line.endswith("These numbers show no clear best length.")
    line = words_deep.best_length_line(table.assign(high=-0.01))
    assert "1 and 3 s lie below its highest, at 10 s." in line and "no clear" not in line
    assert words_deep.best_length_line(table.iloc[:0]) == ""


def test_what_two_curves_differ_in_beside_leakage_is_told(lengths):
    _, accuracy = lengths
    names = {"leaky": "segment_random", "honest": "fault_filtered"}
    accuracy = accuracy.assign(
        validation_accuracy=accuracy["validation_accuracy"].where(
            accuracy["protocol"] != "segment_random"
        )
    )
    short = accuracy["segment_s"] == 3.0
    accuracy.loc[short & (accuracy["protocol"] == "segment_random"), "n_tracks"] = 79
    line = words_deep.unlike_curves(accuracy, network="cnn9", **names)
    assert "the last of 12 epochs counts" in line and "79 tracks with 10.0 segments" in line
    assert "validation keeps one of 12 epochs (number 9)" in line
    assert line.endswith("the same 40 tracks are tested at every length.")
    assert words_deep.unlike_curves(accuracy, network="cnn", **names) == ""


def test_confusions_of_what_is_possible_are_scored_as_the_field_does(study, lengths):
    whole = tables_deep.confusions(
        study, model="fusion", protocols=["segment_random", "fault_filtered"]
    )
    assert list(whole) == ["fault_filtered, per track"]
    cut = tables_deep.confusions(lengths[0], model="cnn9", protocols=["segment_random"])
    counts = cut["segment_random, per segment"]
    assert counts.to_numpy().sum() == 3 * 80, "of the longest segments only"


def test_maps_are_those_of_the_first_system_that_has_some(study):
    heard = tables_deep.heard(study, ["cnn", "fusion"])
    assert len(heard) == 10 and {track["model"] for track in heard} == {"fusion"}
    assert tables_deep.heard(study, ["cnn"]) == []


def test_the_readme_names_all_systems_of_all_notebooks(accuracy):
    part = tables_deep.systems(accuracy)
    read = pd.read_csv(io.StringIO(part.to_csv(index=False)))
    table = tables_deep.all_systems({"04_multimodal": read, "05_sequence_models": read.head(1)})
    fragment = tables_deep.systems_fragment(table).splitlines()
    assert len(fragment) == 2 + len(SYSTEMS) + 1
    assert fragment[2].endswith("| [04](notebooks/04_multimodal.ipynb) |")
    assert "nan" not in "".join(fragment)


def test_the_strictest_protocol_needs_predictions(study):
    assert tables_deep.strictest(study) == "fault_filtered"
    with pytest.raises(ProjectError, match="no stored predictions of cnn"):
        tables_deep.strictest(study, ["cnn"])


def test_answers_hold_the_numbers_of_the_tables(accuracy, study, dataset):
    fusion = tables_deep.fusion(study, joined="fusion", branches=BRANCHES, n_boot=20, claim=0.1)
    answer = words_deep.multimodal_answer(
        accuracy, fusion, systems=list(SYSTEMS), protocol="fault_filtered"
    )
    row = row_of(accuracy, model="fusion", protocol="fault_filtered", unit="track")
    assert f"{row['accuracy']:.2f} ({row['accuracy_low']:.2f}" in answer
    text = words_deep.against_published(accuracy, model="resnet18_mel")
    assert text.endswith("Claimed of its kind: 0.84, random 90/10.")
    assert words_deep.against_published(accuracy, model="cnn").endswith("on this data.")
    both = averaging.with_averages(study, [BRANCHES, [*BRANCHES, "fusion"]])
    averaged = tables_deep.accuracy(both, dataset, n_boot=20)
    answer = words_deep.sequence_answer(
        averaged, systems=list(SYSTEMS), protocol="fault_filtered", best="fusion"
    )
    assert row["by_seed"] in answer and "of 3 networks" in answer


def test_the_best_row_is_chosen_by_validation_on_the_most_tracks(accuracy):
    changed = accuracy.copy()
    fusion = changed["model"] == "fusion"
    changed["validation_accuracy"] = np.where(changed["model"] == "lstm_mfcc", 0.9, 0.5)
    best = words_deep.best_row(changed, protocol="fault_filtered", models=list(SYSTEMS))
    assert best["model"] == "lstm_mfcc"
    changed.loc[fusion, "n_tracks"] = 41
    best = words_deep.best_row(changed, protocol="fault_filtered", models=list(SYSTEMS))
    assert best["model"] == "fusion"


def test_the_length_answer_speaks_of_both_protocols_and_the_chosen_length(lengths):
    distances = pd.DataFrame(
        {
            "segment_s": [3.0, 3.0], "distance": "euclidean", "n_pairs": 10,
            "relation": ["same track", "other genre"], "median": [0.5, 1.0],
            "nearest_share": [0.8, 0.2], "nearest_share_all": [0.9, 0.1],
        }
    )  # fmt: skip
    study, accuracy = lengths
    against = tables_deep.against_best_length(
        study, models=["cnn9"], protocol="fault_filtered", n_boot=50
    )
    answer = words_deep.length_answer(
        accuracy, distances, against, network="cnn9", leaky="segment_random",
        honest="fault_filtered",
    )  # fmt: skip
    voted = accuracy[(accuracy["model"] == "cnn9") & (accuracy["unit"] == "track")]
    best = voted[voted["protocol"] == "fault_filtered"].sort_values("accuracy").iloc[-1]
    assert f"{best['accuracy_high']:.2f}) at {best['segment_s']:g} s per track." in answer
    for part in ("Under `segment_random`, the highest are", "would choose", "How long must"):
        assert part in answer
    assert "in 80 at 3 s of 100 cases" in answer
    assert "By Euclidean distance, two segments of a track are 0.50 times" in answer
    alt = words_deep.length_alt(accuracy, models=["cnn9"], protocols=["segment_random"])
    assert "at 3 s" in alt and "at 10 s" in alt


def test_changes_of_the_training_data_are_judged_against_none(dataset):
    plain, masks, together, best = (
        "resnet_small_plain", "resnet_small_specaugment", "resnet_small_short", "resnet_small",
    )  # fmt: skip
    study = made_up.study(
        {plain: 0, masks: 0, together: 0, best: 0}, protocols=("fault_filtered",), seeds=(0,)
    )
    longer = study.runs["model"] == best
    study = replace(study, runs=study.runs.assign(epochs=np.where(longer, 60, 20)))
    accuracy = tables_deep.accuracy(study, dataset, n_boot=20)
    compared = tables_deep.compared(study, [[masks, plain], [together, plain]], n_boot=10)
    compared = compared.assign(difference=[-0.2, -0.05], low=[-0.3, -0.1], high=[-0.1, 0.1])
    names = {"unchanged": plain, "all_changes": together, "best": best}
    line = words_deep.ablation_line(compared, accuracy, **names)
    assert f"unchanged training data give {compared['accuracy_against'].iloc[0]:.2f}" in line
    assert "above zero: none; worse with one below zero: Small ResNet, crops + masks." in line
    assert "within 20 epochs, nothing shows that training data that never look the same" in line
    assert "Small ResNet has all of them and 60 epochs" in line
    good = compared.assign(difference=0.1, low=0.05, high=0.2)
    assert "they help." in words_deep.ablation_line(good, accuracy, **names)
    unsure = compared.assign(difference=0.1, low=-0.05, high=0.2)
    assert "cannot tell from none." in words_deep.ablation_line(unsure, accuracy, **names)
    assert "could not be compared" in words_deep.ablation_line(good.iloc[:0], accuracy, **names)


def test_the_fall_of_claims_is_told_per_segment_with_what_else_differs(dataset):
    study = made_up.study({"cnn": 0, "cnn_levels_mixup": 1}, lengths=(3.0,), seeds=(0,))
    leaky = study.runs["protocol"] == "segment_random"
    study = replace(study, runs=study.runs.assign(epochs=np.where(leaky, 24, 6)))
    accuracy = tables_deep.accuracy(study, dataset, n_boot=20)
    names = {"leaky": "segment_random", "honest": "fault_filtered"}
    line = words_deep.leakage_line(accuracy, models=["cnn", "cnn_levels_mixup"], **names)
    before, after = (
        row_of(accuracy, model="cnn", unit="segment", protocol=p)["accuracy"]
        for p in names.values()
    )
    assert f"CNN, 3-s chunks from {before:.2f} (claimed: 0.799) to {after:.2f}. That" in line
    assert f"a fall of {before - after:.2f}, and not all of it is leakage" in line
    assert "trained on 400 tracks and 24 epochs against 400 tracks and 6 epochs" in line
    swapped = {"leaky": names["honest"], "honest": names["leaky"]}
    line = words_deep.leakage_line(accuracy, models=["cnn"], **swapped)
    assert line.endswith("Not all of them fall, so nothing can be said of leakage.")
    assert "could not be asked" in words_deep.leakage_line(accuracy, models=["vgg"], **names)


def test_occlusion_is_told_as_it_is_spread(study):
    drop = np.zeros((8, 15))
    drop[0, -1], drop[3, 4] = -0.6, 0.2
    heard = [{"genre": "blues", "seconds": 30.0, "drop": drop.tolist(), "model": "fusion"}]
    line = words_deep.occlusion_line(heard, band_hz=inputs.mel_centres(80))
    assert "the weightiest moment (28–30 s) has 75 % (an even share: 7 %)" in line
    assert "2 of 120 patches change" in line and "hiding it adds 0.6." in line
    assert "at ±0.6:" in line
    heard[0]["drop"] = (drop / 10).tolist()
    line = words_deep.occlusion_line(heard, band_hz=inputs.mel_centres(80))
    assert "No single patch matters much: none of 120 changes" in line
    heard[0]["drop"] = np.zeros((8, 15)).tolist()
    line = words_deep.occlusion_line(heard, band_hz=inputs.mel_centres(80))
    assert line.endswith("No patch changes anything.")


def test_claims_say_what_they_are_about():
    claims = [system.published for system in SYSTEMS_OF_THE_STUDY.values() if system.published]
    assert len(claims) > 10
    # What is no accuracy must not look like one in a column beside accuracies.
    about = re.compile(r"0\.\d+( at .*)?|\+0\.\d+ over .*|no accuracy .*|.* of what .*")
    assert [text for text in claims if not about.fullmatch(text.partition(", ")[0])] == []


def test_the_budget_line_names_the_best_setting():
    budget = pd.DataFrame(
        {
            "epochs": [6, 12], "learning_rate": [1e-3, 1e-4], "batch_size": [16, 32],
            "valid_accuracy": [0.4, 0.5], "seconds": [1.0, 2.0],
        }
    )  # fmt: skip
    assert "12 epochs with learning rate 0.0001 and batches of 32" in words_deep.budget_line(budget)
    assert "not studied" in words_deep.budget_line(budget.iloc[:0])


def test_raw_samples_are_compared_per_segment_and_per_track(dataset):
    study = made_up.study(
        {"cnn_raw": -1.5, "cnn9_pydub": 1}, protocols=("track_random",), lengths=(3.0,), seeds=(0,)
    )
    accuracy = tables_deep.accuracy(study, dataset, n_boot=10)
    names = {"raw": "cnn_raw", "processed": "cnn9_pydub", "segment_s": 3.0}
    line = words_deep.raw_line(accuracy, **names)
    for unit in ("segment", "track"):
        ours, theirs = (
            row_of(accuracy, model=model, unit=unit)["accuracy"]
            for model in ("cnn_raw", "cnn9_pydub")
        )
        assert f"{ours / theirs:.2f} times per {unit} ({ours:.2f} against {theirs:.2f})" in line
    assert line.endswith("80 tracks. Claimed: almost half of what processed input reaches.")
    assert "could not be compared" in words_deep.raw_line(accuracy.iloc[:0], **names)
