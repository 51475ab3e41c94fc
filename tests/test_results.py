import matplotlib.pyplot as plt
import pandas as pd
import pytest
import study_script

from genre_utils import project, results
from genre_utils.project import ProjectError, dataset_name, write_atomic


@pytest.fixture
def report(tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setenv("OUTPUT_MANIFEST", str(tmp_path / "manifest"))
    monkeypatch.setattr("genre_utils.features.table", None)
    return results.Report("03_baselines", dataset=study_script.small_dataset(), profile="full")


def test_a_table_is_written_and_read_back(report, tmp_path):
    frame = pd.DataFrame({"model": ["a", "b"], "accuracy": [1 / 3, 0.5]})
    report.table(frame, "accuracy")
    again = report.read("03_accuracy")
    pd.testing.assert_frame_equal(again, frame, atol=1e-6)
    assert str(tmp_path / "results/tiny/03_accuracy.csv") in (tmp_path / "manifest").read_text()


def test_a_missing_table_says_what_makes_it(report):
    with pytest.raises(ProjectError, match="make 03 DATASET=/"):
        report.read("03_accuracy")


def draw(height):
    figure, axes = plt.subplots()
    axes.bar([0, 1], [1, height])
    return figure


def test_a_figure_has_two_forms_alt_text_and_always_the_same_bytes(report, tmp_path):
    picture = report.figure(draw(2), "bars", alt="Two bars, the second twice as high.")
    folder = tmp_path / "figures/tiny"
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert set(first) == {"03_bars.png", "03_bars.svg"}
    assert picture._repr_mimebundle_ or picture.alt == "Two bars, the second twice as high."
    assert b"Two bars, the second twice as high." in first["03_bars.svg"]
    assert b"Two bars" in first["03_bars.png"]
    report.figure(draw(2), "bars", alt="Two bars, the second twice as high.")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first
    report.figure(draw(3), "bars", alt="Two bars, the second twice as high.")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} != first


README = """# T
<!-- results: a -->
old 0.1
<!-- /results -->
text <!-- results: b -->
<!-- /results -->
"""


def test_the_readme_is_filled_between_its_markers_and_nowhere_else():
    filled = results.fill_readme(README, {"a": "new 0.2", "b": "| x |"})
    assert "old" not in filled and "new 0.2\n<!-- /results -->" in filled
    assert filled.startswith("# T\n<!-- results: a -->\n")
    assert results.fill_readme(filled, {"a": "new 0.2", "b": "| x |"}) == filled


@pytest.mark.parametrize("fragments", [{"a": "1"}, {"a": "1", "b": "2", "c": "3"}])
def test_markers_and_fragments_must_match(fragments):
    with pytest.raises(ProjectError, match="each fragment needs one pair of markers"):
        results.fill_readme(README, fragments)


def test_an_interval_reads_well_and_a_missing_one_is_a_dash():
    row = {"accuracy": 0.481, "accuracy_low": 0.42, "accuracy_high": 0.538}
    assert results.interval(row) == "0.48 (0.42–0.54)"
    assert results.interval({"accuracy": float("nan")}) == "–"


def test_prose_is_filled_and_put_on_one_line():
    assert results.prose("falls to\n  {x:.2f}", x=0.413).data == "falls to 0.41"
    with pytest.raises(KeyError):
        results.prose("{missing}")


def test_a_markdown_table_has_a_row_a_row():
    frame = pd.DataFrame({"model": ["knn"], "score": ["0.41"]})
    assert results.markdown_table(frame) == "| model | score |\n| --- | --- |\n| knn | 0.41 |"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    target = write_atomic(tmp_path / "table.csv", "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, "new")
    assert target.read_text() == "old"


def test_a_folder_is_named_after_itself_and_never_like_a_known_data_set(tmp_path):
    for name, expected in (("My Music!", "my-music"), ("gtzan", "gtzan-folder")):
        (tmp_path / name).mkdir()
        assert dataset_name(str(tmp_path / name)) == expected
    (tmp_path / "!!!").mkdir()
    with pytest.raises(ProjectError, match="letters or digits"):
        dataset_name(str(tmp_path / "!!!"))


def test_folders_may_begin_with_the_home_folder_and_an_empty_name_is_none(monkeypatch):
    from pathlib import Path

    for variable, folder, usual in (
        ("DATA_ROOT", project.data_root, "data"),
        ("CACHE_ROOT", project.cache_root, ".cache"),
    ):
        monkeypatch.setenv(variable, "~/somewhere")
        assert folder() == Path.home() / "somewhere"
        monkeypatch.setenv(variable, "")
        assert folder() == project.root() / usual
