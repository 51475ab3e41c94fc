import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from genre_utils import project

set_hypothesis_home_dir(project.root() / ".cache" / "hypothesis")
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

# What `make` was called with must not change what the tests do. CACHE_ROOT stays: the demo
# data set and its features are the same for everyone.
_SETTINGS_OF_A_RUN = ("DATASET", "PROFILE", "JOBS", "RETRAIN", "FROM_PREDICTIONS", "PROGRESS_FILE")


def _reason_without_gtzan() -> str | None:
    folder = project.data_root() / "gtzan"
    if folder.is_dir():
        return None
    return "no GTZAN: DATA_ROOT has no folder gtzan"


def pytest_runtest_setup(item):
    if item.get_closest_marker("real_data") and (reason := _reason_without_gtzan()):
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def isolated_from_results(tmp_path_factory):
    """No test writes to the project's own results, whatever it runs."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _SETTINGS_OF_A_RUN:
            patch.delenv(name, raising=False)
        patch.setenv("OUTPUT_ROOT", str(tmp_path_factory.mktemp("outputs")))
        yield


@pytest.fixture(scope="session")
def gtzan_root() -> Path:
    """The folder of the real GTZAN; tests that use it are skipped where it is missing."""
    if reason := _reason_without_gtzan():
        pytest.skip(reason)
    return project.data_root() / "gtzan"


@pytest.fixture(scope="session")
def demo(isolated_from_results):
    """The synthetic data set, made once for the whole project."""
    from genre_utils import datasets

    return datasets.load("demo")


@pytest.fixture(scope="session")
def smoke(demo, isolated_from_results):
    """Outputs of every notebook, executed in the smoke profile from a warm cache."""
    from genre_utils import audit, features

    audit.audit(demo)
    for segment_s in (10.0, 30.0):
        features.table(demo, segment_s=segment_s)
    for kind in ("log_mel", "mfcc"):
        features.series(demo, kind=kind)
    command = [sys.executable, "-m", "genre_utils.pipeline", "run", "--profile", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project.root())
    assert done.returncode == 0, done.stdout + done.stderr
    return project.Outputs("demo", "smoke")
