import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study_script

from genre_utils import evaluation, experiments, project, tables
from genre_utils.project import Outputs, ProjectError

SCRIPT = Path(__file__).with_name("study_script.py")


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("JOBS", "1")
    # The script replaces what reads features; monkeypatch puts it back.
    monkeypatch.setattr("genre_utils.features.table", None)
    return tmp_path


def published(folder: Path) -> bytes:
    return (folder / "results/tiny/predictions/03_baselines.parquet").read_bytes()


def run_script(folder: Path, *arguments) -> int:
    environment = os.environ | {"OUTPUT_ROOT": str(folder), "JOBS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True).returncode


def test_five_kills_leave_the_predictions_of_an_uninterrupted_run(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert run_script(whole) == 0
    kills = [
        ("training", "-", 3),  # inside a training unit
        ("before", ".parquet", 2),  # inside a unit's write: written, not yet renamed
        ("after", "test_uses", 2),  # counted, not yet kept
        ("before", "03_baselines.json", 1),  # all units done, nothing published
        ("before", "03_baselines.parquet", 1),  # records published, predictions not
    ]
    for kill in kills:
        assert run_script(killed, *kill) == -signal.SIGKILL
        table = killed / "results/tiny/predictions/03_baselines.parquet"
        assert not table.exists(), "a cut-off run published something"
    assert run_script(killed) == 0
    assert published(killed) == published(whole)
    uses = pd.read_csv(killed / "results/tiny/test_uses.csv")
    once = pd.read_csv(whole / "results/tiny/test_uses.csv")
    assert set(once["times"]) == {1}
    assert uses["times"].sum() == once["times"].sum() + 2, "a cut-off use counts as a use"


def test_finished_units_are_not_trained_again(monkeypatch, tmp_path):
    first = study_script.run()
    monkeypatch.setattr(experiments.ClassicalWork, "__call__", pytest.fail)
    again = study_script.run()
    pd.testing.assert_frame_equal(first.predictions, again.predictions)


def test_a_changed_recipe_trains_only_what_it_changes(monkeypatch):
    study_script.run()
    trained = []
    work = experiments.ClassicalWork.__call__
    monkeypatch.setattr(
        experiments.ClassicalWork,
        "__call__",
        lambda self: trained.append(self.unit.model) or work(self),
    )
    changed = experiments.CLASSICAL["logistic"]
    changed = type(changed)(**(vars(changed) | {"recipe": changed.recipe + 1}))
    monkeypatch.setitem(experiments.CLASSICAL, "logistic", changed)
    study_script.run()
    assert trained and set(trained) == {"logistic"}


def test_retrain_trains_all_again_and_resumes_when_cut_off(monkeypatch, tmp_path):
    before = study_script.run()
    stored = published(tmp_path)
    monkeypatch.setenv("RETRAIN", "1")
    work, trained = experiments.ClassicalWork.__call__, []

    def cut_off(self):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(self.unit.run_id)
        return work(self)

    monkeypatch.setattr(experiments.ClassicalWork, "__call__", cut_off)
    with pytest.raises(KeyboardInterrupt):
        study_script.run()
    assert published(tmp_path) == stored

    monkeypatch.setattr(
        experiments.ClassicalWork,
        "__call__",
        lambda self: trained.append(self.unit.run_id) or work(self),
    )
    study_script.run()
    assert sorted(trained) == sorted(before.runs["run_id"])
    assert published(tmp_path) == stored
    assert set(pd.read_csv(tmp_path / "results/tiny/test_uses.csv")["times"]) == {2}


def test_predictions_do_not_depend_on_the_number_of_processes(monkeypatch, tmp_path):
    one = study_script.run()
    monkeypatch.setenv("JOBS", "2")
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path / "two"))
    two = study_script.run()
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


def test_every_row_says_what_it_is_and_its_probabilities_add_up():
    result = study_script.run()
    rows = result.predictions
    expected = """run_id dataset model input source protocol fold seed stage segment_s
        segment_start_s n_train track_id y_true"""
    assert list(rows.columns[:14]) == expected.split()
    probabilities = rows.filter(like="p_")
    assert set(probabilities.dtypes.astype(str)) == {"float32"}
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    assert not rows.isna().any().any()
    final = rows[(rows["stage"] == "final") & (rows["protocol"] == "segment_random")]
    assert (final.groupby("model").size() == 72).all(), "each item is predicted once"


def test_without_data_the_stored_predictions_make_the_tables(monkeypatch):
    result = study_script.run()
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    monkeypatch.setattr(experiments.ClassicalWork, "__call__", pytest.fail)
    monkeypatch.setattr(study_script.features, "table", pytest.fail)
    again = experiments.Store("03_baselines", Outputs("tiny")).load()
    dataset = study_script.small_dataset()
    tables_of = [
        tables.accuracy(r, dataset, n_boot=50, stage="final").to_csv() for r in (result, again)
    ]
    assert tables_of[0] == tables_of[1]


def test_nothing_stored_is_a_clear_error():
    with pytest.raises(ProjectError, match=r"no stored predictions.*make all"):
        experiments.Store("03_baselines", Outputs("tiny")).load()


def test_predictions_that_do_not_fit_their_records_are_refused(tmp_path):
    study_script.run()
    records = tmp_path / "results/tiny/predictions/03_baselines.json"
    content = json.loads(records.read_text())
    content["runs"] = content["runs"][1:]
    records.write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="do not belong together"):
        experiments.Store("03_baselines", Outputs("tiny")).load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": ["knn_2"]}, "unknown model 'knn_2'"),
        ({"protocols": ["random"]}, "unknown protocol 'random'"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_written(change, message, tmp_path):
    with pytest.raises(ProjectError, match=message):
        study_script.run(**change)
    assert not list(tmp_path.rglob("*.*"))


def test_what_cannot_be_answered_is_a_row_with_its_reason():
    def one_artist_a_genre(items, X):
        items["artist_id"] = items["genre"]

    dataset = study_script.small_dataset(one_artist_a_genre)
    result = study_script.run(dataset, protocols=["segment_random", "artist_grouped"])
    reasons = result.impossible.query("stage == 'final'")
    assert list(reasons["protocol"]) == ["artist_grouped"]
    assert "artist" in reasons["reason"].iloc[0]
    frame = tables.accuracy(result, dataset, n_boot=20, stage="final")
    assert len(tables.reasons(frame)) == 1


def test_choosing_never_reads_the_test_part(monkeypatch):
    """Garbage in the test rows changes what is predicted, never what is chosen."""
    before = study_script.run()

    def poison(items, X):
        X[(items["fault_filtered_split"] == "test").to_numpy()] = 1e6

    monkeypatch.setenv("RETRAIN", "1")
    after = study_script.run(study_script.small_dataset(poison))
    chosen = ["run_id", "parameters", "validation_accuracy", "train_accuracy"]

    def of(result):
        runs = result.runs
        runs = runs[(runs["protocol"] == "fault_filtered") & (runs["stage"] == "final")]
        return runs[chosen].reset_index(drop=True)

    pd.testing.assert_frame_equal(of(before), of(after))
    filtered = [r.predictions.query("protocol == 'fault_filtered'") for r in (before, after)]
    assert not filtered[0].equals(filtered[1])


def test_probabilities_of_the_svm_keep_the_order_of_its_decisions():
    result = study_script.run(models=["svm_c10"], protocols=["fault_filtered"], fair_models=[])
    assert evaluation.summary(result.predictions, n_boot=20)["accuracy"] > 0.8


def test_project_jobs_refuses_nonsense(monkeypatch):
    monkeypatch.setenv("JOBS", "many")
    with pytest.raises(ProjectError, match="JOBS is 'many'"):
        project.jobs()


def test_data_without_a_published_split_have_an_empty_fair_ladder():
    def without_parts(items, X):
        items["fault_filtered_split"] = None

    dataset = study_script.small_dataset(without_parts)
    result = study_script.run(dataset, importance_models=["knn_1"])
    fair = tables.accuracy(result, dataset, n_boot=20, stage="fair")
    assert fair["model"].isna().all() and fair["reason"].notna().all()
    assert tables.ladder(fair, models=["knn_1"], segment_s=10.0).empty
    assert list(tables.wide(fair[:0], unit="segment").columns)
    assert set(tables.importance(result)["protocol"]) == {"artist_grouped"}
