import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genre_utils import project, staleness
from genre_utils.project import Outputs

ROOT = project.root()


def run(*arguments, root=ROOT, python=(), **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, "-m", "genre_utils.pipeline", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(root)} | environment
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def run_python(code: str, *, root: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(root), "OUTPUT_ROOT": "."}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def written_in(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.fixture
def checkout(tmp_path, smoke):
    """A copy of the project with an up-to-date smoke study, to be changed at will."""
    copy = tmp_path / "checkout"
    for name in ("genre_utils", "notebooks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    base = smoke.results.parent.parent
    shutil.copytree(base, copy / "build" / "smoke")
    return copy


def is_fresh(checkout, *arguments, python=()) -> bool:
    done = run(
        "check-fresh",
        *arguments,
        "--profile",
        "smoke",
        root=checkout,
        python=python,
        OUTPUT_ROOT=".",
    )
    assert done.returncode in (0, 3), done.stderr
    return done.returncode == 0


def build_pages(checkout: Path) -> Path:
    """Make the pages of the smoke study; return the folder of its results."""
    made = run_python(
        "from genre_utils import datasets, project, report_pages;"
        "report_pages.build(datasets.load('demo'), project.Outputs('demo', 'smoke'))",
        root=checkout,
    )
    assert made.returncode == 0, made.stderr
    return checkout / "build" / "smoke" / "results" / "demo"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_nothing_to_do_is_known_in_seconds_and_without_any_package(checkout):
    started = time.monotonic()
    # -S leaves out site-packages, as on a machine where nothing is installed yet.
    assert is_fresh(checkout, python=["-S"])
    assert time.monotonic() - started < 5


def test_a_changed_notebook_is_stale_and_others_are_not(checkout):
    append(checkout / "notebooks/03_baselines.py", "\n# %% [markdown]\n# More.\n")
    assert is_fresh(checkout, "02")
    assert not is_fresh(checkout, "03")


def test_a_changed_module_is_stale_where_it_is_used(checkout):
    append(checkout / "genre_utils/tuning.py", "\n# a change\n")
    assert is_fresh(checkout, "02")
    assert not is_fresh(checkout, "03")


def test_a_module_used_by_a_module_counts(checkout):
    append(checkout / "genre_utils/audio.py", "\n# a change\n")
    assert not is_fresh(checkout, "03")


def test_changed_locked_versions_are_stale(checkout):
    append(checkout / "requirements.lock", "# another version\n")
    assert not is_fresh(checkout, "02")


def test_a_changed_profile_is_stale_for_its_notebook_alone(checkout):
    profiles = checkout / "notebooks/profiles.toml"
    text = profiles.read_text()
    assert "n_repeats = 1" in text
    profiles.write_text(text.replace("n_repeats = 1", "n_repeats = 2"))
    assert not is_fresh(checkout, "02")
    profiles.write_text(
        text.replace("[smoke.03_baselines.any]", "[smoke.03_baselines.any]\nseed = 9")
    )
    done = run("check-fresh", "02", "--profile", "smoke", root=checkout, OUTPUT_ROOT=".")
    assert done.returncode == 0


@pytest.mark.parametrize("output", ["figures/demo/03_ladder.png", "results/demo/03_accuracy.csv"])
def test_a_missing_or_changed_output_is_stale(checkout, output):
    path = checkout / "build/smoke" / output
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    assert not is_fresh(checkout, "03")
    path.unlink()
    assert not is_fresh(checkout, "03")
    path.write_bytes(content)
    assert is_fresh(checkout, "03")


def test_pages_that_are_missing_or_of_an_earlier_run_are_stale(checkout):
    assert is_fresh(checkout) and not is_fresh(checkout, "--pages")
    results = build_pages(checkout)
    assert is_fresh(checkout, "--pages")
    record = results / "provenance" / "02_feature_extraction.json"
    append(record, "\n")
    assert is_fresh(checkout) and not is_fresh(checkout, "--pages")


def test_pages_without_their_cover_or_with_other_sources_are_stale(checkout):
    cover = build_pages(checkout) / "report" / "index.html"
    content = cover.read_bytes()
    cover.unlink()
    assert not is_fresh(checkout, "--pages")
    cover.write_bytes(content)
    assert is_fresh(checkout, "--pages")
    (checkout / "README.md").write_text("## Sources\n\n- One.\n")
    assert is_fresh(checkout) and not is_fresh(checkout, "--pages")


def test_a_half_written_record_is_stale(checkout):
    record = checkout / "build/smoke/results/demo/provenance/02_feature_extraction.json"
    record.write_text(record.read_text()[:100])
    assert not is_fresh(checkout, "02")


def test_data_that_change_behind_the_same_time_and_size_are_stale(tmp_path):
    file = tmp_path / "music" / "blues" / "one.wav"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"12345678")
    before, times = staleness.data_state(str(tmp_path / "music")), file.stat()
    file.write_bytes(b"1234567X")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert staleness.data_state(str(tmp_path / "music")) != before


def test_files_of_file_managers_do_not_count_as_data(tmp_path):
    folder = tmp_path / "music" / "blues"
    folder.mkdir(parents=True)
    (folder / "one.wav").write_bytes(b"1")
    before = staleness.data_state(str(tmp_path / "music"))
    (folder / "._one.wav").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    assert staleness.data_state(str(tmp_path / "music")) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "03", "-p", "n_trails", "3"], "03_baselines has no parameter 'n_trails'"),
        (["run", "-p", "n_trials", "3"], "PARAMS goes with one notebook"),
        (["run", "--dataset", "gtzna"], "neither a known data set"),
        (["run", "--dataset", "/no/such/folder"], "nor an existing folder"),
        (["run", "--profile", "quick"], "expected one of full, smoke"),
        (["run", "99"], "there is no notebook '99'"),
        (["run", "--dataset", "gtzan"], "put the data there"),
        (["publish", "--dataset", "demo"], "only a full run on real data"),
    ],
)
def test_wrong_input_is_one_error_and_writes_nothing(tmp_path, arguments, said):
    done = run(*arguments, OUTPUT_ROOT=str(tmp_path / "out"), DATA_ROOT=str(tmp_path / "none"))
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_without_genres_is_one_error_and_writes_no_result(tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("run", "--dataset", tmp_path / "empty", OUTPUT_ROOT=str(tmp_path / "out"))
    assert done.returncode == 2 and "sub-folder" in done.stderr
    assert not (tmp_path / "out" / "results").exists()


def test_a_failing_notebook_leaves_no_result_and_says_where_to_look(tmp_path, smoke):
    arguments = ["run", "03", "-p", "models", '["no_such_model"]']
    done = run(*arguments, OUTPUT_ROOT=str(tmp_path))
    assert done.returncode == 1
    assert "03_baselines failed: ProjectError: unknown model 'no_such_model'" in done.stderr
    assert "executed.ipynb" in done.stderr
    assert not list(tmp_path.rglob("*.ipynb")) and not list(tmp_path.rglob("provenance"))


def test_parameters_of_ones_own_never_reach_the_published_folders(tmp_path, smoke):
    done = run("run", "02", "-p", "segment_lengths", "[10.0]", OUTPUT_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/custom/results/demo/02_coverage.csv").is_file()
    assert not (tmp_path / "results").exists()


def test_two_runs_on_one_data_set_do_not_mix(tmp_path):
    import fcntl

    lock = Outputs("demo", "smoke").units.parent / "demo.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = run("run", "02", "--profile", "smoke")
    assert done.returncode == 2 and "another run on 'demo'" in done.stderr


def test_a_killed_run_leaves_nothing_done_and_the_next_one_goes_on(tmp_path, smoke):
    command = [sys.executable, "-m", "genre_utils.pipeline", "run", "03", "--profile", "smoke"]
    environment = os.environ | {"OUTPUT_ROOT": str(tmp_path), "JOBS": "1"}
    outputs = tmp_path / "build/smoke/results/demo"
    units = tmp_path / "build/smoke/.units/demo/03_baselines"
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        for _ in range(600):
            if len(list(units.glob("*.parquet"))) >= 5 or process.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = len(list(units.glob("*.parquet")))
    assert finished >= 5
    assert not (outputs / "provenance/03_baselines.json").exists()
    assert not (outputs / "notebooks/03_baselines.ipynb").exists()

    done = run("run", "03", "--profile", "smoke", OUTPUT_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stderr
    name = "predictions/03_baselines.parquet"
    assert (outputs / name).read_bytes() == (smoke.results / name).read_bytes()


def test_tables_and_figures_are_made_again_from_predictions_alone(checkout):
    results = checkout / "build/smoke/results/demo"
    before = {p.name: p.read_bytes() for p in results.glob("0[03]_*.csv")}
    figures = {p.name: p.read_bytes() for p in (checkout / "build/smoke/figures/demo").glob("03*")}
    for path in [
        *results.glob("0[03]_*.csv"),
        *(checkout / "build/smoke/figures/demo").glob("03*"),
    ]:
        path.unlink()
    done = run(
        "run", "--from-predictions", "--profile", "smoke",
        root=checkout, OUTPUT_ROOT=".", CACHE_ROOT=str(project.cache_root()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {p.name: p.read_bytes() for p in results.glob("0[03]_*.csv")} == before
    again = (checkout / "build/smoke/figures/demo").glob("03*")
    assert {p.name: p.read_bytes() for p in again} == figures


def test_what_a_notebook_no_longer_writes_is_removed(checkout):
    notebook = checkout / "notebooks/02_feature_extraction.py"
    text = notebook.read_text()
    notebook.write_text(text.replace('"coverage")', '"cover")'))
    results = checkout / "build/smoke/results/demo"
    assert (results / "02_coverage.csv").is_file()
    done = run(
        "run", "02", "--profile", "smoke",
        root=checkout, OUTPUT_ROOT=".", CACHE_ROOT=str(project.cache_root()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (results / "02_cover.csv").is_file() and not (results / "02_coverage.csv").exists()
