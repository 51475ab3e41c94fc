"""Features of many files: bounded memory, and a cluster that loses a worker."""

import os
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest
import soundfile as sf

from genre_utils import datasets, features, project

SR = 22050


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHE_ROOT", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_files(folder, n, seconds):
    rng = np.random.default_rng(0)
    for k in range(n):
        path = folder / ("blues", "pop")[k % 2] / f"{k:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, 0.1 * rng.standard_normal(round(seconds * SR)), SR)
    return folder


_MEMORY_OF_A_RUN = """
import sys
import psutil
from genre_utils import datasets, features, progress

seen, process = [], psutil.Process()
track = progress.track

def watched(iterable, **given):
    for k, item in enumerate(track(iterable, **given)):
        if k % 50 == 0:
            seen.append(process.memory_info().rss / 2**20)
        yield item

progress.track = watched
features.prepare(datasets.load(sys.argv[1]), segment_lengths=[0.2], series_kinds=["mfcc"], jobs=2)
print(len(seen), max(seen[8:]) - max(seen[:8]))
"""


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, cache):
    pytest.importorskip("psutil")
    folder = write_files(tmp_path / "data", 2000, 0.2)
    run = [sys.executable, "-c", _MEMORY_OF_A_RUN, str(folder)]
    output = subprocess.run(run, capture_output=True, text=True, check=True, cwd=project.root())
    n, grown_mib = output.stdout.split()
    assert int(n) == 40
    # The last 1,600 files against the first 400; what a file leaves is a name and a reason.
    assert float(grown_mib) < 20


def test_a_dask_cluster_that_loses_a_worker_finishes(tmp_path, cache):
    distributed = pytest.importorskip("distributed")
    dataset = datasets.load(str(write_files(tmp_path / "data", 60, 2.0)))
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(processes=True, **settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        folder = cache / "features"

        def kill_one():
            while len(list(folder.rglob("*.npy"))) < 5:
                time.sleep(0.02)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            found = features.table(dataset, segment_s=1.0)
        killer.join(timeout=1)
        assert not killer.is_alive()
        assert set(client.run(os.getpid).values()) != set(pids.values())
    assert found.failures.empty
    assert len(found.items) == 120
    here = features.table(dataset, segment_s=1.0, jobs=1)
    np.testing.assert_array_equal(found.X, here.X)
    assert found.digest == here.digest
