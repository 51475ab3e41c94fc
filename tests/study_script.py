"""A small study run as a process of its own, which can be told to kill itself.

Usage: study_script.py [KILL_AT FILE_PATTERN NTH]
KILL_AT is "before" or "after" the NTH atomic write whose file name holds FILE_PATTERN, or
"training" for inside the NTH training of a model.
"""

import os
import signal
import sys

import numpy as np
import pandas as pd

from genre_utils import datasets, experiments, features, project, tuning
from genre_utils.project import Outputs

GENRES = ("blues", "metal", "pop")


def small_dataset(prepare=lambda items, X: None) -> datasets.Dataset:
    """Return a data set whose features are numbers; `prepare` may change them in place."""
    rng = np.random.default_rng(0)
    tracks = pd.DataFrame(
        [
            {"track_id": f"{genre}.{i:05d}", "genre": genre, "artist_id": f"{genre}{i // 2}"}
            for genre in GENRES
            for i in range(12)
        ]
    )
    tracks = tracks.reindex(columns=list(datasets.TRACK_COLUMNS))
    tracks["audio_path"] = "somewhere"
    parts = ["train", "train", "train", "valid", "test", "test"]
    tracks["fault_filtered_split"] = [parts[i % 12 // 2] for i in range(len(tracks))]
    items = tracks.loc[tracks.index.repeat(2), list(features._ITEM_COLUMNS)]
    items = items.reset_index(drop=True)
    items["segment_index"] = items.groupby("track_id").cumcount()
    items["segment_start_s"] = 10.0 * items["segment_index"]
    items["segment_s"] = 10.0
    centres = items["genre"].map(GENRES.index).to_numpy()[:, None]
    X = centres + rng.normal(0, 1.5, (len(items), len(features.FEATURE_NAMES)))
    prepare(items, X)
    table = features.FeatureTable(
        items, X, features.FEATURE_NAMES, "audio", pd.DataFrame(), digest="made up"
    )
    features.table = lambda dataset, *, segment_s, jobs=None: table
    return datasets.Dataset(
        "tiny", "tiny", project.root(), tracks, {}, GENRES, False, "none", "none"
    )


def run(dataset: datasets.Dataset | None = None, **changes) -> experiments.StudyResult:
    settings = {
        "study": "03_baselines",
        "outputs": Outputs("tiny"),
        "models": ["knn_1", "logistic"],
        "segment_lengths": [10.0],
        "protocols": ["segment_random", "artist_grouped", "fault_filtered"],
        "n_folds": 2,
        "n_trials": 2,
        "seed": 0,
        "importance_models": ["knn_1"],
        "importance_segment_s": 10.0,
        "fair_models": ["knn_1"],
        "fair_segment_s": 10.0,
        "fair_seeds": [0],
    }
    return experiments.run_classical(dataset or small_dataset(), **(settings | changes))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(kill_at: str, pattern: str, nth: int) -> None:
    seen = 0

    def reached() -> bool:
        nonlocal seen
        seen += 1
        return seen == nth

    if kill_at == "training":
        accuracy = tuning.inner_accuracy

        def trained(*args, **kwargs):
            if reached():
                die()
            return accuracy(*args, **kwargs)

        tuning.inner_accuracy = trained
        return
    replace = os.replace

    def replaced(source, target):
        hit = pattern in os.path.basename(target) and reached()
        if hit and kill_at == "before":
            die()
        replace(source, target)
        if hit:
            die()

    os.replace = replaced


if __name__ == "__main__":
    if len(sys.argv) > 1:
        arm(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    run()
