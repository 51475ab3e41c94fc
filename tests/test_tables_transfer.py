"""Tables, figures and words of the headlines, on made-up predictions."""

import made_up_networks as made_up
import numpy as np
import pandas as pd
import pytest

from genre_utils import (
    plots_headline,
    project,
    results,
    stacking,
    tables_transfer,
    transfer,
    words_headline,
    words_transfer,
)
from genre_utils.experiments import StudyResult

STRICT = {"protocol": "fault_filtered"}
ANCHORS = pd.DataFrame(
    {
        "system": ["theirs"], "accuracy": [0.9], "pretrained_on": ["much"], "protocol": ["same"],
        "caveat": ["large"], "source": ["a paper"],
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    data = made_up.dataset()
    parts = ["train", "train", "test", "test"] * (len(data.tracks) // 4)
    # The artist of the first blues track is on both sides: made_up deals artists out in turn.
    artists = [f"{track.genre} {i % 8 // 2}" for i, track in enumerate(data.tracks.itertuples())]
    artists[2] = artists[0]
    data.tracks["artist_id"] = artists
    data.tracks["fault_filtered_split"] = parts
    return data


def rows_of(data, model, skill, *, part="test", stage="final", tracks=None, **options):
    tracks = data.tracks if tracks is None else tracks
    tracks = tracks if part is None else tracks[tracks["fault_filtered_split"] == part]
    return made_up.predictions(tracks, model=model, skill=skill, stage=stage, **STRICT, **options)


@pytest.fixture(scope="module")
def best(data):
    rows, runs = [], []
    for model, skill in ((stacking.SCRATCH, 1.5), (stacking.PRETRAINED, 3.0)):
        rows.append(rows_of(data, model, skill).assign(input="a + b"))
        runs.append(
            {
                "run_id": rows[-1]["run_id"].iloc[0], "model": model, "stage": "final",
                "weights": {"svm_10s": 0.75, "cnn_gru": 0.25}, "validation_accuracy": 0.6,
            }
        )  # fmt: skip
    others = data.tracks[data.tracks["genre"].isin(["blues", "jazz"])]
    others = others.assign(track_id="elsewhere." + others["track_id"])
    rows.append(
        rows_of(data, stacking.SCRATCH, 1.0, part=None, tracks=others).assign(stage="elsewhere")
    )
    impossible = [{"model": stacking.PICTURES, "stage": "final", "reason": "no weights here"}]
    return StudyResult(
        pd.concat(rows, ignore_index=True), pd.DataFrame(runs), pd.DataFrame(impossible)
    )


@pytest.fixture(scope="module")
def everyone(data):
    parts = []
    for model, seeds in (("svm_10s", [0]), ("cnn_gru", [0, 1])):
        parts.append(rows_of(data, model, 1.0, part="train", stage="inner"))
        parts += [rows_of(data, model, 1.2, seed=seed) for seed in seeds]
    parts.append(rows_of(data, "svm_30s", 1.0))
    rows = pd.concat(parts, ignore_index=True)
    return StudyResult(rows, pd.DataFrame(), pd.DataFrame())


def accuracy_of(rows):
    columns = [name for name in rows if name.startswith("p_")]
    return (rows[columns].idxmax(axis=1).str[2:] == rows["y_true"]).mean()


def test_headlines_have_all_that_makes_them_citable(best, data):
    table = tables_transfer.headlines(best, data, n_boot=50).set_index("model")
    final = best.predictions[best.predictions["stage"] == "final"]
    for model in (stacking.SCRATCH, stacking.PRETRAINED):
        row, rows = table.loc[model], final[final["model"] == model]
        assert row["accuracy"] == pytest.approx(accuracy_of(rows))
        assert row["accuracy_artist_low"] <= row["accuracy"] <= row["accuracy_artist_high"]
        assert row["n_tracks"] == len(rows) == 40
        assert row["largest_artist"] == 2 and row["n_members"] == 2
        assert row["n_artists"] == data.tracks.set_index("track_id")["artist_id"][
            rows["track_id"]
        ].nunique()  # fmt: skip
    assert table.loc[stacking.PICTURES, "reason"] == "no weights here"


def test_members_are_scored_on_the_mean_of_their_seeds_and_weighed(everyone, best):
    table = tables_transfer.members(everyone.predictions, best).set_index("model")
    assert set(table.index) == {"svm_10s", "cnn_gru"}, "one without inner rows is no member"
    assert table["n_seeds"].to_dict() == {"svm_10s": 1, "cnn_gru": 2}
    assert table.loc["svm_10s", stacking.SCRATCH] == 0.75
    rows = everyone.predictions
    inner = rows[(rows["model"] == "svm_10s") & (rows["stage"] == "inner")]
    assert table.loc["svm_10s", "inner_accuracy"] == pytest.approx(accuracy_of(inner))
    assert table["title"].tolist() != table.index.tolist()


def test_headlines_are_compared_on_the_tracks_that_both_predicted(best, everyone):
    baseline = everyone.predictions.query("model == 'svm_30s'").iloc[:-4]
    table = tables_transfer.against(best, {"baseline": baseline}, n_boot=50)
    assert set(table["n_tracks"]) == {36, 40}
    between = table[table["against"] == tables_transfer.title(stacking.SCRATCH)].iloc[0]
    assert between["difference"] == pytest.approx(between["accuracy"] - between["accuracy_against"])
    assert between["low"] <= between["difference"] <= between["high"]
    assert "McNemar" in words_headline.against_line(table)


def test_baselines_are_chosen_by_validation_and_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    outputs = project.Outputs("tiny")
    assert tables_transfer.baselines(outputs) == {}
    study = made_up.study({"cnn": 0.0, "cnn_gru": 0.3}, protocols=("fault_filtered",))
    better = study.runs["model"].eq("cnn")
    study.runs["validation_accuracy"] = np.where(better, 0.9, 0.1)
    monkeypatch.setattr(
        tables_transfer.Store,
        "load_or_none",
        lambda store: study if store.table.name[:2] == "05" else None,
    )
    ((title, rows),) = tables_transfer.baselines(outputs).items()
    assert set(rows["model"]) == {"cnn"} and rows["seed"].nunique() == 3 and "(05)" in title


def test_seeds_lie_apart(everyone):
    table = tables_transfer.seeds(everyone).set_index("title")
    row = table.loc[tables_transfer.title("cnn_gru")]
    assert row["n_seeds"] == 2 and row["lowest"] <= row["mean"] <= row["highest"]


def test_artists_on_both_sides_are_found_and_left_out(best, data):
    shared = tables_transfer.shared_artists(data)
    assert shared.to_dict("records") == [{"artist_id": "blues 0", "n_train": 2, "n_test": 1}]
    table = tables_transfer.without_shared_artists(best, data, n_boot=50)
    assert table["n_tracks"].tolist() == [40, 39, 40, 39]
    line = words_headline.shared_artist_line(shared, table)
    assert "blues 0 (2 and 1 tracks)" in line
    assert "No known artist" in words_headline.shared_artist_line(shared.iloc[:0], table)


def test_new_music_is_scored_among_all_genres_and_among_those_that_are_there(best):
    elsewhere = best.predictions[best.predictions["stage"] == "elsewhere"]
    copy = elsewhere["track_id"].iloc[0].removeprefix("elsewhere.").upper()
    table = tables_transfer.new_music(best, known_copies=[copy], n_boot=50)
    every, there = table.set_index("answers").loc[["all genres", "genres there are"]].iloc
    assert every["n_tracks"] == there["n_tracks"] == len(elsewhere) - 1
    assert every["accuracy"] == pytest.approx(accuracy_of(elsewhere.iloc[1:]))
    two = elsewhere.iloc[1:][["p_blues", "p_jazz"]].idxmax(axis=1).str[2:]
    assert there["accuracy"] == pytest.approx((two == elsewhere["y_true"].iloc[1:]).mean())
    assert (every["chance"], there["chance"]) == (0.1, 0.5)
    nothing = tables_transfer.new_music(
        StudyResult(best.predictions.query("stage == 'final'"), best.runs, best.impossible),
        n_boot=50,
    )
    assert nothing.empty and "nothing can be said" in words_headline.new_music_line(nothing)
    plots_headline.new_music(nothing)


def test_a_model_without_opinion_on_the_genres_there_is_not_an_error(best):
    rows = best.predictions[best.predictions["stage"] == "elsewhere"].copy()
    columns = [name for name in rows if name.startswith("p_")]
    rows[columns] = 0.0
    rows["p_rock"] = 1.0
    table = tables_transfer.new_music(StudyResult(rows, best.runs, best.impossible), n_boot=50)
    assert table["accuracy"].iloc[0] == 0


def test_readers_see_headlines_beside_anchors(best, data, everyone):
    table = tables_transfer.headlines(best, data, n_boot=50)
    text = tables_transfer.headline_fragment(table, ANCHORS)
    assert "a paper" in text and "this study" in text and text.count("\n") == 4
    answer = words_headline.headline_answer(table, ANCHORS)
    assert "**Without pretraining**" in answer and "0.9 (theirs" in answer
    nothing = table[table["model"] != stacking.PRETRAINED]
    assert "no number on this data" in words_headline.headline_answer(nothing, ANCHORS)
    assert "theirs: 0.9" in words_headline.headlines_alt(table, ANCHORS)
    members = tables_transfer.members(everyone.predictions, best)
    assert "(0.75)" in words_headline.weights_line(members)
    assert "Best inside" in words_headline.members_alt(members)
    first = members.assign(test_accuracy=np.linspace(0.9, 0.5, len(members)))
    assert "chance" not in words_headline.choice_line(first), "the first is the best there, too"
    last = members.assign(test_accuracy=np.linspace(0.5, 0.9, len(members)))
    said = words_headline.choice_line(last)
    assert f"number {len(members)} inside" in said and "(0.90)" in said and "0.50" in said
    figures = [
        plots_headline.headlines(table, ANCHORS, chance=0.1),
        plots_headline.members(members),
        plots_headline.new_music(tables_transfer.new_music(best, n_boot=50)),
    ]
    for number, figure in enumerate(figures):
        assert results.figure_files(figure, name=str(number), alt="x" * 40)["png"]


def test_single_models_are_listed_with_what_was_left_out(everyone, data):
    left_out = pd.DataFrame([{"model": "ast", "stage": "final", "reason": "weights not here"}])
    table = tables_transfer.accuracies(
        StudyResult(everyone.predictions, everyone.runs, left_out), data, n_boot=50
    )
    read = tables_transfer.accuracies_to_read(table)
    assert read["left out, because"].iloc[-1] == "weights not here"
    assert read["accuracy"].iloc[-1] == "–" and "(" in read["accuracy"].iloc[0]


def test_the_packages_anchors_name_their_sources():
    anchors = tables_transfer.anchors()
    assert anchors["accuracy"].between(0.5, 0.9).all() and anchors.notna().all(axis=None)


def test_pretrained_networks_without_weights_are_skipped_loudly(data, monkeypatch, tmp_path):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    found = transfer.run_available(
        data, ["resnet18"], study="07_pretrained", outputs=project.Outputs("tiny")
    )
    assert found.impossible["reason"].tolist() == ["weights not available here"]
    table = tables_transfer.accuracies(found, data, n_boot=50)
    assert table["model"].tolist() == ["resnet18"] and table["accuracy"].isna().all()


def test_a_taught_network_stands_beside_the_same_seeds_taught_by_labels_alone(data, everyone):
    taught = [rows_of(data, "cnn_gru (distilled)", 2.0, seed=seed) for seed in (1, 2)]
    both = StudyResult(
        pd.concat([everyone.predictions, *taught], ignore_index=True), everyone.runs, pd.DataFrame()
    )
    table = tables_transfer.taught(both, n_boot=50)
    row = table.iloc[0]
    assert len(table) == 1 and row["n_seeds"] == 1, "one seed has been taught both ways"
    assert row["accuracy"] == pytest.approx(accuracy_of(taught[0]))
    assert row["difference"] == pytest.approx(row["accuracy"] - row["accuracy_against"])
    line = words_transfer.distilled_line(table)
    assert f"with the same 1 seed from labels alone {row['accuracy_against']:.2f}" in line
    assert "more than luck" in words_transfer.distilled_line(table.assign(low=0.01, high=0.2))
    assert "holds zero" in words_transfer.distilled_line(table.assign(low=-0.01, high=0.2))
    nothing = tables_transfer.taught(everyone, n_boot=50)
    assert words_transfer.distilled_line(nothing).startswith("No network was taught")


def test_the_network_that_is_best_inside_the_training_part_is_found(data, everyone):
    weak = rows_of(data, "cnn", 0.0, part="train", stage="inner")
    strong_on_the_test_part = rows_of(data, "cnn", 9.0)
    networks = pd.concat([everyone.predictions, weak, strong_on_the_test_part], ignore_index=True)
    networks = networks[networks["model"].isin(["cnn", "cnn_gru"])]
    found = tables_transfer.best_network(StudyResult(networks, everyone.runs, pd.DataFrame()))
    ((name, rows),) = found.items()
    assert name.endswith("2 seeds (07)") and set(rows["model"]) == {"cnn_gru"}
    final = networks[networks["stage"] == "final"]
    assert not tables_transfer.best_network(StudyResult(final, everyone.runs, pd.DataFrame()))


def test_what_a_headline_was_pretrained_on_follows_from_its_weights(best, data):
    weights = {
        "nothing": {"svm_10s": 0.5, "cnn_gru": 0.5},
        "Million Song Dataset (MSD_musicnn on the sound and MSD_musicnn on pictures)": {
            "svm_tags_musicnn": 1.0
        },
        "Million Song Dataset (the MSD convnet)": {"svm_convnet_texture": 0.2, "svm_10s": 0.8},
    }
    for expected, chosen in weights.items():
        runs = best.runs.assign(weights=[chosen] * len(best.runs))
        table = tables_transfer.headlines(
            StudyResult(best.predictions, runs, best.impossible), data, n_boot=5
        )
        assert table["pretrained_on"].dropna().unique().tolist() == [expected]
    for member in stacking.MEMBERS.values():
        listened = [name for name, of in stacking.LISTENERS.items() if of & {*member.blocks}]
        assert bool(listened) == member.pretrained, member.name


def test_every_look_at_the_test_part_is_told():
    uses = pd.DataFrame(
        [
            ("07_headlines", "a", stacking.SCRATCH, "final", 1),
            ("07_members", "b", "svm_tags", "final", 1),
            ("05_sequence_models", "c", "cnn", "final", 7),
        ],
        columns=["study", "run_id", "model", "stage", "times"],
    )
    assert words_transfer.looks_line(uses).endswith("on the test part once.")
    repeated = words_transfer.looks_line(uses.assign(times=2))
    assert "with nothing changed" in repeated and "rules changed" not in repeated
    changed = uses.assign(run_id=["d", "e", "f"])
    again = pd.concat([uses, changed, uses[:1].assign(model="an_earlier_one")])
    line = words_transfer.looks_line(again)
    assert line.startswith("Members and rules changed")
    assert "*ensemble without pretraining* 2 times" in line
    assert "1 time what is no headline any more" in line and "1 member 2 times together" in line
    assert words_transfer.looks_line(uses[2:]) == "No headline has been scored on a test part here."
