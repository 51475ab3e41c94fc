"""`make bench` compares like with like, and says what it measured on what."""

import json
import os
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from genre_utils import audio, bench, features, plots_bench, project
from genre_utils.bench import Way


class FakeTime:
    """A clock that only moves while a way works."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def way(self, benchmark: str, name: str, *seconds: float, n_items: int = 1) -> Way:
        """A way that takes the given times, one a call, over and over."""
        calls = iter(seconds * 100)

        def run() -> dict[str, float]:
            took = next(calls)
            self.now += took
            return {"thinking": took / 2}

        return Way(benchmark, name, run, n_items)


@pytest.fixture
def clock(monkeypatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(bench, "time", fake)
    return fake


@contextmanager
def keeping_cores():
    """Undo that a benchmark keeps this process to fewer cores."""
    threads = torch.get_num_threads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    torch.set_num_threads(threads)
    if cores:
        os.sched_setaffinity(0, cores)


@pytest.fixture(scope="module")
def clip(demo) -> np.ndarray:
    return audio.load(demo.tracks["audio_path"].iloc[0], sr=bench.SR)[: 5 * bench.SR]


def test_rounds_alternate_and_the_first_call_does_not_count():
    calls = []
    ways = [Way("nap", name, lambda n=name: calls.append(n) or {}, 1) for name in ("a", "b")]
    table = bench.measure(ways, repeats=2)
    assert calls == ["a", "b", "a", "b", "b", "a"]
    assert len(table) == 2 * 2


def test_ratios_compare_items_in_the_same_round(clock):
    ways = [
        clock.way("nap", "usual", 99, 6, 8, 10),
        clock.way("nap", "ours", 99, 4, 4, 2, n_items=2),
        clock.way("rest", "usual", 1),
    ]
    table = bench.measure(ways, repeats=3)
    assert (table["reference"] == "usual").all()
    ours = table[table["variant"] == "ours"].sort_values(["part", "repeat"])
    assert list(ours["ratio"]) == [3, 4, 10] * 2  # thinking, total
    found = bench.summary(table)
    assert found.to_dict("records") == [
        {
            "benchmark": "nap", "variant": "ours", "reference": "usual", "reference_ms": 8000,
            "ms": 2000, "ratio": 4, "ratio_low": 3, "ratio_high": 10,
        }
    ]  # fmt: skip


def test_the_plain_loop_computes_the_same_features(clip):
    ours = features.tabular(clip, sr=bench.SR)
    np.testing.assert_allclose(bench.plain_features(clip), ours, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", list(bench.LOG_MEL))
def test_all_ways_to_log_mel_give_the_same(clip, name):
    function, module, _ = bench.LOG_MEL[name]
    if module and (reason := bench.why_not(module)):
        pytest.skip(reason)
    expected, got = bench.LOG_MEL["librosa"][0](clip), np.squeeze(function(clip))
    # Close enough to be the same work; that ours equals librosa is tested elsewhere.
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 0.5


def test_a_library_that_cannot_be_used_is_a_reason_without_paths(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text(
        "raise RuntimeError('found /home/someone/lib/other.so, of another version')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert bench.why_not("json") is None
    assert "ModuleNotFoundError" in bench.why_not("no_such_library")
    assert bench.why_not("broken_library") == ("RuntimeError: found other.so, of another version")


def test_clips_come_from_as_many_genres_as_can_be(demo):
    paths = bench.chosen(demo, 4)
    assert len({path.parent.name for path in paths}) == min(4, len(demo.genres))
    with pytest.raises(project.ProjectError, match="--clips"):
        bench.chosen(demo, 10_000)


@pytest.fixture(scope="module")
def short_demo(demo, tmp_path_factory):
    """Two clips of 4 s."""
    folder = tmp_path_factory.mktemp("short")
    for i, path in enumerate(demo.tracks["audio_path"].iloc[[0, -1]]):
        y = audio.load(path, sr=bench.SR)[: 4 * bench.SR]
        (folder / f"genre{i}").mkdir()
        soundfile.write(folder / f"genre{i}" / path.name, y, bench.SR)
    return folder


def test_the_command_measures_all_and_writes_where_results_go(
    short_demo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    monkeypatch.setattr(bench, "SHAPE", (32, 64))
    monkeypatch.setattr(bench, "OWN_SHAPES", ((32, 64), (32, 40)))
    monkeypatch.setattr(bench, "USUAL_SHAPE", (48, 48))
    arguments = ["--clips", "2", "--repeats", "1", "--images", "4", "--cores", "1"]
    with keeping_cores():
        assert bench.main(["--dataset", str(short_demo), *arguments]) == 0
    table = pd.read_csv(tmp_path / "results" / "bench.csv")
    assert set(table["benchmark"]) == set(bench.TARGETS)
    assert (table["cores"] == 1).all() and (table["seconds"] >= 0).all()
    trained = table[table["benchmark"].isin(["same resolution", "usual 224"])]
    assert set(trained["part"]) == {"total", "loading", "forward", "backward", "optimiser"}
    text = (tmp_path / "results" / "bench.json").read_text()
    record = json.loads(text)
    assert {"cpu", "instructions", "versions", "skipped", "clips"} <= set(record)
    assert str(short_demo) not in text and str(project.root()) not in text
    svg = (tmp_path / "figures" / "bench.svg").read_text()
    assert "times as fast" in svg and (tmp_path / "figures" / "bench.png").stat().st_size
    assert "this project" in capsys.readouterr().out


def test_a_wrong_word_is_one_clear_error(capsys, tmp_path):
    with keeping_cores():
        assert bench.main(["--dataset", str(tmp_path / "nothing")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    for wrong in (["--clips", "0"], ["--only", "everything"]):
        with pytest.raises(SystemExit) as caught:
            bench.main(wrong)
        assert caught.value.code == 2


def test_the_figure_shows_every_comparison(clock):
    ways = [
        clock.way(benchmark, name, 1)
        for benchmark in bench.TARGETS
        for name in ("usual", "this project")
    ]
    table = bench.measure(ways, repeats=2)
    found = bench.summary(table)
    found = found.assign(target=found["benchmark"].map(bench.TARGETS))
    figure = plots_bench.speed(found, table, caption="a machine", synthetic=True)
    assert len(figure.axes) == 4
    assert len(figure.axes[0].get_yticklabels()) == len(bench.TARGETS)
    words = bench.described(found)
    assert all(benchmark in words for benchmark in bench.TARGETS)
