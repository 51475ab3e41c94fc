"""Networks measured in processes of their own, kept, and what the bundle takes."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from statistics import median

import numpy as np
import pandas as pd
import pytest
import study_of_compression
import tiny_bundle
import torch

from genre_utils import bundle, compression, inference, measuring, project
from genre_utils.measuring import BUNDLE, Subject

SLACK = 2.0
"""How much slower than the machine in mind the one that tests may be."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return measuring._made_up_sound(tmp_path_factory.mktemp("sound") / "sound.wav")


@pytest.fixture
def items():
    return np.random.default_rng(0).integers(0, 256, (3, 1, 80, 496), dtype=np.uint8)


def test_networks_are_measured_in_processes_of_their_own(sound, items, tmp_path):
    made = tiny_bundle.write(tmp_path / "tiny")
    file = made.folder / "network.onnx"
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    torch.save(torch.nn.Flatten(), tmp_path / "flat.pt")
    subjects = [
        Subject("tiny", "onnxruntime", file, items, "spectrogram"),
        Subject("tiny", "bundle", made.folder, items, "bundle"),
        Subject("flat", "PyTorch", tmp_path / "flat.pt", items, None),
        Subject("broken", "onnxruntime", broken, items, None),
    ]
    rows = measuring.measure(subjects, sound=sound, threads=[1, 2], rounds=2, seconds=0.0)
    assert [(r["model"], r["runtime"], r["threads"]) for r in rows] == [
        (s.model, s.runtime, n) for s in subjects for n in (1, 2)
    ]
    onnx, _, packed, _, flat, _, bad, _ = rows
    assert onnx["file_bytes"] == file.stat().st_size < packed["file_bytes"] == made.size
    assert len(onnx["network_ms"]) == len(onnx["waveform_cpu_ms"]) == 2
    assert 0 < onnx["network_cpu_ms"][0] < onnx["waveform_cpu_ms"][0] < 1000
    assert packed["same_labels"] == 1 and packed["largest_difference"] < 1e-6
    assert 20 < onnx["runtime_mb"] <= onnx["peak_mb"] < 300 < flat["peak_mb"]
    assert flat["waveform_ms"] == [] and len(flat["network_ms"]) == 2
    assert "its process ended with" in bad["reason"] and "INVALID_PROTOBUF" in bad["reason"]
    assert str(tmp_path) not in bad["reason"] and bad["network_ms"] == []


@pytest.fixture
def finished(monkeypatch, tmp_path, items):
    """A study whose variants' files are there, all but one runtime's."""
    result = study_of_compression.result()
    keep = result.runs["model"].isin(["resnet_small", "deep"])
    result = replace(result, runs=result.runs[keep].reset_index(drop=True))
    monkeypatch.setattr(compression, "folder_of", lambda run_id: tmp_path / "files" / run_id)
    folder = compression.folder_of("resnet_small-fault_filtered")
    folder.mkdir(parents=True)
    (folder / "network.onnx").write_bytes(tiny_bundle.network())
    monkeypatch.setattr(measuring._Examples, "_load", lambda *_: items)
    monkeypatch.setattr(measuring.bundle, "default", _no_bundle)
    return result


def _no_bundle():
    raise bundle.BundleError("none")


def test_measurements_are_kept_and_read_without_data(finished, demo, monkeypatch):
    outputs = project.Outputs("demo", "custom")
    how = {"study": "kept", "outputs": outputs, "eager": [], "threads": [1]}
    how |= {"runtimes": ["onnxruntime", "ExecuTorch"]}
    how |= {"rounds": 1, "seconds": 0.0}
    found = measuring.measured(demo, finished, **how)
    reasons = found.rows.set_index(["model", "runtime"])["reason"]
    assert pd.isna(reasons["resnet_small", "onnxruntime"])
    assert reasons["resnet_small", "ExecuTorch"] == "there is no network.pte of it"
    assert "not in the cache any more" in reasons["deep", "onnxruntime"]
    assert "make bundle" in reasons[BUNDLE, "bundle"]
    assert found.machine["cores"] >= 1 and found.machine["rounds"] == 1

    kept = (outputs.results / "predictions" / "kept_measured.json").read_text()
    for private in (str(project.root()), subprocess.check_output("hostname").decode().strip()):
        assert private not in kept
    monkeypatch.setattr(measuring, "measure", None)  # nothing is measured twice
    again = measuring.measured(demo, finished, **how)
    pd.testing.assert_frame_equal(again.rows, found.rows)
    monkeypatch.setenv("FROM_PREDICTIONS", "1")
    without = measuring.measured(demo, finished, **(how | {"rounds": 9}))
    pd.testing.assert_frame_equal(without.rows, found.rows)
    nothing = measuring.measured(demo, finished, **(how | {"study": "never"}))
    assert nothing.rows.empty and nothing.machine == {}


def test_a_runtime_that_is_not_installed_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(measuring.importlib.util, "find_spec", lambda name: None)
    reason = measuring._why_not("ExecuTorch", tmp_path / "network.pte")
    assert reason == "ExecuTorch is not installed (pip install 'genre_utils[compression]')"


def test_items_are_from_outside_the_test_part(demo):
    result = study_of_compression.result()
    examples = measuring._Examples(demo, result)
    part = demo.tracks.rename(columns={"fault_filtered_split": "part"})["part"]
    frame = pd.DataFrame({"fault_filtered_split": part})
    chosen = part.iloc[examples._outside_test(frame)]
    assert set(chosen) == {"valid"} and len(chosen) == 20
    chosen = examples._outside_test(frame[part != "valid"])
    assert "test" not in set(part[part != "valid"].iloc[chosen])


# ---- the bundle that is shipped


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    try:
        return bundle.default().folder
    except bundle.BundleError:
        return tiny_bundle.write(tmp_path_factory.mktemp("tiny") / "tiny").folder


def test_half_a_minute_of_sound_takes_150_ms_of_a_core(shipped, sound):
    loaded = bundle.load(shipped)
    inference.predict(sound, model=loaded)
    worked = []
    for _ in range(5):
        started = time.thread_time()
        inference.predict(sound, model=loaded)
        worked.append(time.thread_time() - started)
    assert median(worked) < SLACK * 0.150


def test_a_cold_start_takes_2_s_of_the_processor(shipped, sound):
    found = measuring.cold_starts(sound, n=3, model=shipped)
    assert median(each["cpu_s"] for each in found) < SLACK * 2.0
    with pytest.raises(project.ProjectError, match="the command line failed"):
        measuring.cold_starts(sound.with_name("nowhere.wav"), n=1, model=shipped)


def test_pytorch_is_not_imported_to_classify(shipped, sound):
    code = (
        "import json, sys; from genre_utils import inference;"
        f"said = inference.predict({str(sound)!r}, model={str(shipped)!r});"
        "print(json.dumps([said.genre, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=project.root(), check=True
    )
    genre, has_torch = json.loads(done.stdout)
    assert genre in bundle.load(shipped).genres and not has_torch
