"""A case study in leakage: features computed in batches that are sorted by genre.

Choi et al. (2017) computed their published GTZAN features in file order, 256 tracks at a
time, with a network that normalises each batch by itself. No label was used, and yet the
order of the files is the order of the genres. What this does to accuracy is measured here:
the same network, the same sounds, the same classifier, and nothing but the batches differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genre_utils import (
    arrays,
    audit,
    batches,
    evaluation,
    experiments,
    features,
    images,
    progress,
    project,
    splits,
)
from genre_utils import representations as published
from genre_utils.datasets import Dataset
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.models import msd_convnet as convnet
from genre_utils.project import Outputs, ProjectError

BATCH_SIZE = 256
"""Tracks in a batch of the published features."""

SORTED, SHUFFLED, FIXED = "genre-sorted batches", "shuffled batches", "fixed statistics"
PUBLISHED, UNDONE = "as published", "each batch standardised again"
SOURCES = (PUBLISHED, UNDONE, SORTED, SHUFFLED, FIXED)
"""What decides the statistics of the normalisation."""

CONVNET_SOUND, CONVNET_PICTURES = "convnet on sound", "convnet on pictures"
PUBLISHED_CONVNET, MFCC, TABULAR = "published convnet features", "MFCC statistics", "57 features"
INPUTS = (CONVNET_SOUND, CONVNET_PICTURES, PUBLISHED_CONVNET, MFCC, TABULAR)

CLASSIFIERS: dict[str, Callable] = {
    "svm": partial(SVC, C=3.0, break_ties=True),
    "1-nn": partial(KNeighborsClassifier, n_neighbors=1),
}
"""Classifiers with settings that are given, not chosen; their inputs are standardised."""

RECIPE = "contamination-1"
PICTURE_RANGE_DB = 180.0
"""What a picture's grey levels span: the median over the training clips that have sound."""

_PICTURE_SECONDS, _PICTURE_HZ = 30.0, 11_025.0
_FEW = 200  # tracks; with fewer in the training part, artists cannot be kept apart


def batch_numbers(n_rows: int) -> np.ndarray:
    """Return the batch that each row of a data set in file order falls into.

    Parameters
    ----------
    n_rows : int
        Tracks of the data set; with fewer than two of the published batches, four
        batches are made of them.
    """
    size = BATCH_SIZE if n_rows >= 2 * BATCH_SIZE else -(-n_rows // 4)
    return np.arange(n_rows) // size


def batch_jumps(*, n_permutations: int = 1999, seed: int = 0) -> pd.DataFrame:
    """Look for batches in the published features; the MFCC statistics are the control.

    Parameters
    ----------
    n_permutations, seed
        As for `batches.batch_effects`.

    Returns
    -------
    pd.DataFrame
        One row a matrix: ``representation``, ``jump`` at every 256th row by
        ``jump_by_chance``, ``p_value`` of that (the batch size is known from the authors'
        code), ``found``, and ``period``, the one that shows most among the powers of two.

    Raises
    ------
    RepresentationError
        If a published file is missing.
    """
    order = published.published_order()
    genres = np.array([track.split(".")[0] for track in order])
    matrices = {
        f"convnet, layer {layer}": published.choi_features(layers=[layer])
        for layer in range(1, published.N_LAYERS + 1)
    }
    matrices["MFCC statistics (control)"] = published.mfcc_statistics()
    rows = []
    for title, matrix in matrices.items():
        look = partial(
            audit.batch_effects,
            matrix.rows(order),
            groups=genres,
            n_permutations=n_permutations,
            seed=seed,
        )
        known = look(periods=(BATCH_SIZE,)).iloc[0]
        rows.append(
            {"representation": title}
            | known[["jump", "jump_by_chance", "p_value"]].to_dict()
            | {"found": known["p_value"] <= batches.SIGNIFICANT, "period": look()["period"][0]}
        )
    return pd.DataFrame(rows)


def rebuilt(dataset: Dataset) -> pd.DataFrame:
    """Compare the rebuilt network with the published features, layer by layer.

    Parameters
    ----------
    dataset : Dataset
        GTZAN, or a part of it, with sound.

    Returns
    -------
    pd.DataFrame
        ``layer, statistics`` (of the published batches' clips that are here, of each clip
        by itself, or fixed ones of the training part), ``correlation`` (mean over 32
        channels), ``n_tracks``.

    Raises
    ------
    WeightsError, RepresentationError
        If the weights or the published features are missing.
    """
    network, clips = _network_and_clips(dataset)
    tracks = sorted(clips.files)
    theirs = published.choi_features().rows(tracks)
    order = pd.Index(published.published_order())
    batch = order.get_indexer(tracks) // BATCH_SIZE
    parts = dataset.tracks.set_index("track_id")["fault_filtered_split"]
    train = [track for track in tracks if parts[track] == "train"]
    test = [track for track in tracks if parts[track] == "test"]
    statistics = convnet.measure(network, clips.power(train), train=train, test=test)
    ours = {
        "batch by batch": _in_batches(network, clips.power(tracks), batch),
        "one at a time": _in_batches(network, clips.power(tracks), np.arange(len(tracks))),
        FIXED: convnet.embed(network, clips.power(tracks), statistics),
    }
    rows = []
    for title, X in ours.items():
        of_channel = [np.corrcoef(a, b)[0, 1] for a, b in zip(X.T, theirs.T, strict=True)]
        for layer, values in enumerate(np.reshape(of_channel, (published.N_LAYERS, -1)), start=1):
            rows.append((layer, title, float(values.mean()), len(tracks)))
    return pd.DataFrame(rows, columns=["layer", "statistics", "correlation", "n_tracks"])


def run(
    dataset: Dataset,
    *,
    study: str,
    outputs: Outputs,
    models: Sequence[str] = ("svm", "1-nn"),
    n_folds: int = 5,
    seeds: Sequence[int] = (0, 1, 2),
    with_test: bool = False,
) -> StudyResult:
    """Measure what the batches do to accuracy, inside the training part.

    Batches are made of the whole data set in file order, as the authors did; tracks are
    scored inside the fault-filtered training part, in folds that keep artists whole. Where
    that part has too few tracks with sound, those are scored that are not in the test part,
    in folds of tracks. Nothing is tuned. The convnet's fixed statistics are measured on the
    validation part where none of it is scored, else on each fold's own training tracks.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    models : sequence of str
        Names in `CLASSIFIERS`.
    n_folds : int
        Folds inside the training part.
    seeds : sequence of int
        One draw of folds, and of shuffled batches, a seed.
    with_test : bool
        Also train on the whole training part and predict the fault-filtered test part,
        once for each model, source, and input that covers most of it. These uses are
        counted.

    Returns
    -------
    StudyResult
        Rows with `input` one of `INPUTS`, `source` one of `SOURCES`, `stage` ``inner``
        (out-of-fold rows of the training part) or ``final`` (the test part).

    Raises
    ------
    ProjectError
        If a model is unknown, or nothing can be measured on this data.
    """
    unknown = set(models) - set(CLASSIFIERS)
    if unknown:
        raise ProjectError(f"unknown models {sorted(unknown)}; expected some of {[*CLASSIFIERS]}")
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    tasks, impossible = [], []
    for name, make in _MATERIALS.items():
        try:
            material = make(dataset)
            tasks += _tasks(dataset, material, models, n_folds, seeds, with_test)
        except (ProjectError, features.FeatureError) as reason:
            impossible.append(
                experiments.cannot(
                    reason, input=name, protocol="artist_grouped", stage="inner", music=dataset
                )
            )
    if not tasks:
        raise ProjectError("; ".join(row["reason"] for row in impossible))
    return store.run(tasks, impossible=pd.DataFrame(impossible), desc="contamination")


# ------------------------------------------------------------------ what is compared


@dataclass(frozen=True)
class _Material:
    """One input under every source of statistics; `matrix` makes its features.

    `matrix(source, seed, fit)` returns one row for each of `tracks`; `fit` are the ids that
    fixed statistics may be measured on.
    """

    name: str
    tracks: tuple[str, ...]
    sources: tuple[str, ...]
    digest: str
    matrix: Callable[[str, int, list[str]], np.ndarray]


def _standardised_material(name: str, dataset: Dataset) -> _Material:
    """Return finished features that are standardised batch by batch, as a layer would be."""
    if name == TABULAR:
        table = features.table(dataset, segment_s=30.0)
        whole = table.items["segment_index"].eq(0).to_numpy()
        tracks, X, digest = table.items["track_id"][whole], table.X[whole], table.digest
    else:
        matrix = published.mfcc_statistics(root=dataset.root)
        tracks, X, digest = matrix.track_ids, matrix.X, matrix.digest
    return _Material(
        name,
        tuple(tracks),
        (SORTED, SHUFFLED, FIXED),
        digest,
        partial(_standardised_matrix, X),
    )


def _standardised_matrix(X: np.ndarray, source: str, seed: int, fit: list[str]) -> np.ndarray:
    # Fixed statistics are the classifier's own: it standardises by its training part.
    return X if source == FIXED else _standardise(X, _batches(len(X), source, seed))


def _published_material(dataset: Dataset) -> _Material:
    matrix = published.choi_features(root=dataset.root)
    return _Material(
        PUBLISHED_CONVNET,
        matrix.track_ids,
        (PUBLISHED, UNDONE),
        matrix.digest,
        partial(_published_matrix, matrix.X),
    )


def _published_matrix(X: np.ndarray, source: str, seed: int, fit: list[str]) -> np.ndarray:
    return X if source == PUBLISHED else _standardise(X, batch_numbers(len(X)))


def _convnet_material(name: str, dataset: Dataset) -> _Material:
    tracks = dataset.tracks
    if name == CONVNET_SOUND:
        if not tracks["audio_path"].notna().any():
            raise ProjectError(f"{dataset.title} has no sound here; expected some tracks' files")
        network, clips = _network_and_clips(dataset)
        with_file = clips.digests
    else:
        paths = tracks.set_index("track_id")["image_path"].dropna()
        if len(paths) < len(tracks) / 2:
            raise ProjectError(
                f"{dataset.title} has {len(paths)} pictures for {len(tracks)} tracks; expected one "
                "for at least every other track"
            )
        network = convnet.load()
        with_file = {track: project.file_digest(path) for track, path in paths.items()}
    digest = project.text_digest(
        network.weights.digest, *(part for pair in sorted(with_file.items()) for part in pair)
    )
    ids = tuple(sorted(with_file))
    return _Material(
        name,
        ids,
        (SORTED, SHUFFLED, FIXED),
        digest,
        partial(_convnet_matrix, name, dataset, ids, digest),
    )


def _convnet_matrix(
    name: str,
    dataset: Dataset,
    tracks: tuple[str, ...],
    digest: str,
    source: str,
    seed: int,
    fit: list[str],
) -> np.ndarray:
    """Return the network's features under one source of statistics; kept in the cache."""
    of_order = dataset.tracks["track_id"].sort_values(ignore_index=True)
    numbers = pd.Series(batch_numbers(len(of_order)), index=of_order).reindex(tracks).to_numpy()
    if source == SHUFFLED:
        numbers = np.random.default_rng(seed).permutation(numbers)
    told = fit if source == FIXED else map(str, numbers)
    key = project.text_digest(RECIPE, name, source, digest, *told)
    file = project.cache_root() / "msd_convnet" / "contamination" / f"{key}.npy"

    def described() -> np.ndarray:
        if name == CONVNET_SOUND:
            network, clips = _network_and_clips(dataset)
            power = clips.power
        else:
            network = convnet.load()
            paths = dataset.tracks.set_index("track_id")["image_path"]
            power = partial(_picture_powers, network, paths)
        if source != FIXED:
            return _in_batches(network, _Lazily(power, tracks), numbers)
        statistics = convnet.measure(network, power(fit), train=fit, test=set(tracks) - set(fit))
        return np.concatenate([convnet.embed(network, power([t]), statistics) for t in tracks])

    return arrays.kept(file, described)


@dataclass(frozen=True)
class _Lazily:
    """A sequence of powers of which no more is in memory than what is asked for."""

    power: Callable[[Sequence[str]], list[np.ndarray]]
    tracks: tuple[str, ...]

    def __getitem__(self, position: int) -> np.ndarray:
        return self.power([self.tracks[position]])[0]


_MATERIALS = {
    CONVNET_SOUND: partial(_convnet_material, CONVNET_SOUND),
    CONVNET_PICTURES: partial(_convnet_material, CONVNET_PICTURES),
    PUBLISHED_CONVNET: _published_material,
    MFCC: partial(_standardised_material, MFCC),
    TABULAR: partial(_standardised_material, TABULAR),
}


def _network_and_clips(dataset: Dataset) -> tuple[convnet.MsdConvnet, convnet.Clips]:
    network = convnet.load()
    paths = dataset.tracks.set_index("track_id")["audio_path"].dropna()
    return network, convnet.clips(network, paths.to_dict())


def _picture_powers(
    network: convnet.MsdConvnet, paths: pd.Series, tracks: Sequence[str]
) -> list[np.ndarray]:
    return [
        picture_power(images.load_picture(paths[track]), network.weights)[None] for track in tracks
    ]


def picture_power(picture: np.ndarray, weights: convnet.Weights) -> np.ndarray:
    """Return about what `models.msd_convnet.mel_power` says, from a GTZAN picture.

    Pictures exist of 999 tracks, sound of fewer. They are coarse (17 columns a second) and
    each is scaled to its own range, which is not stored: one range is taken for all.

    Parameters
    ----------
    picture : np.ndarray [shape=(height, width), dtype=uint8]
        Grey, 30 s wide, from 11,025 Hz at the top to 0 Hz.
    weights : Weights
        Whose filterbank to use.

    Returns
    -------
    power : np.ndarray [shape=(n_mels, n_frames), dtype=float32]
        Relative to the picture's darkest level.
    """
    height, width = picture.shape
    level = picture.astype(np.float32) * (PICTURE_RANGE_DB / 255)
    n_bins = weights.mel.shape[0]
    hertz = np.linspace(0, convnet.SR / 2, n_bins)
    seconds = np.arange(-(-convnet.WINDOW // 256)) * 256 / convnet.SR
    level = _between(level, (height - 1) * (1 - hertz / _PICTURE_HZ))
    level = _between(level.T, seconds / _PICTURE_SECONDS * width - 0.5).T
    return weights.mel.numpy().T @ np.power(10, level / 10)


def _between(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return what lies between the rows of an array, linearly."""
    at = np.clip(at, 0, len(rows) - 1)
    before = np.minimum(at.astype(int), len(rows) - 2)
    share = (at - before).astype(np.float32)[:, None]
    return rows[before] * (1 - share) + rows[before + 1] * share


def _in_batches(network, power: Sequence[np.ndarray], numbers: np.ndarray) -> np.ndarray:
    X = np.empty((len(numbers), len(network.names)), np.float32)
    found = np.unique(numbers)
    for number in progress.track(found, total=len(found), desc="batches of the convnet"):
        rows = np.flatnonzero(numbers == number)
        X[rows] = convnet.embed_as_one_batch(network, [power[row] for row in rows])
    return X


def _batches(n_rows: int, source: str, seed: int) -> np.ndarray:
    numbers = batch_numbers(n_rows)
    return np.random.default_rng(seed).permutation(numbers) if source == SHUFFLED else numbers


def _standardise(X: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    out = np.empty(X.shape)
    for number in np.unique(numbers):
        rows = X[numbers == number]
        out[numbers == number] = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-9)
    return out


# ------------------------------------------------------------------ units of work


def _tasks(
    dataset: Dataset,
    material: _Material,
    models: Sequence[str],
    n_folds: int,
    seeds: Sequence[int],
    with_test: bool,
) -> list[Task]:
    items = dataset.tracks.set_index("track_id").reindex(material.tracks).reset_index()
    parts = items["fault_filtered_split"]
    plans = []
    train = np.flatnonzero(parts.eq("train") if parts.notna().any() else parts.isna())
    if len(train) >= _FEW or material.name != CONVNET_SOUND:
        for seed in seeds:
            folds = splits.inner_folds(items, train, n_folds=n_folds, seed=seed)
            plans.append(("artist_grouped", "inner", seed, folds))
    else:
        allowed = np.flatnonzero(~parts.eq("test"))
        for seed in seeds:
            found = splits.make_splits(
                items.iloc[allowed], "track_random", n_folds=n_folds, seed=seed
            )
            folds = [(allowed[split.train], allowed[split.test]) for split in found]
            plans.append(("track_random", "inner", seed, folds))
    test = np.flatnonzero(parts.eq("test"))
    if with_test and len(test) > dataset.tracks["fault_filtered_split"].eq("test").sum() / 2:
        plans.append(("fault_filtered", "final", 0, [(train, test)]))
    tasks = []
    for protocol, stage, seed, folds in plans:
        positions = [position for pair in folds for part in pair for position in part]
        for source in material.sources:
            for model in models:
                unit = Unit(
                    model=model,
                    input=material.name,
                    source=source,
                    segment_s=30.0,
                    protocol=protocol,
                    fold=0,
                    seed=seed,
                    stage=stage,
                    input_digest=material.digest,
                    split_digest=project.text_digest(*map(str, positions)),
                    recipe=RECIPE,
                )
                tasks.append(Task(unit, _Work(unit, material, items, folds, dataset)))
    return tasks


@dataclass(frozen=True)
class _Work:
    """Train a classifier on each fold and predict its other tracks."""

    unit: Unit
    material: _Material
    items: pd.DataFrame
    folds: list[tuple[np.ndarray, np.ndarray]]
    dataset: Dataset

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        genres = list(self.dataset.genres)
        y = pd.Categorical(self.items["genre"], categories=genres).codes.astype(int)
        parts = []
        for fold, (fit, score) in enumerate(self.folds):
            X = self.material.matrix(self.unit.source, self.unit.seed, self._measured_on(fit))
            model = make_pipeline(StandardScaler(), CLASSIFIERS[self.unit.model]())
            model.fit(X[fit], y[fit])
            rows = pd.DataFrame(
                {
                    "run_id": self.unit.run_id,
                    "dataset": self.dataset.name,
                    "model": self.unit.model,
                    "input": self.unit.input,
                    "source": self.unit.source,
                    "protocol": self.unit.protocol,
                    "fold": fold,
                    "seed": self.unit.seed,
                    "stage": self.unit.stage,
                    "segment_s": self.unit.segment_s,
                    "segment_start_s": 0.0,
                    "n_train": len(fit),
                    "track_id": self.items["track_id"].to_numpy()[score],
                    "y_true": self.items["genre"].to_numpy()[score],
                }
            )
            scores = _scores(model, X[score], len(genres)).astype(np.float32)
            rows[[f"p_{genre}" for genre in genres]] = scores
            parts.append(rows)
        rows = pd.concat(parts, ignore_index=True)
        right = float((evaluation.labels(rows) == rows["y_true"]).mean())
        unit = self.unit
        record = {
            "run_id": unit.run_id,
            "model": unit.model,
            "input": unit.input,
            "source": unit.source,
            "protocol": unit.protocol,
            "stage": unit.stage,
            "seed": unit.seed,
            "n_tracks": int(rows["track_id"].nunique()),
            "accuracy": right,
        }
        return rows, record

    def _measured_on(self, fit: np.ndarray) -> list[str]:
        """Return the tracks for fixed statistics: none that is scored, in any fold."""
        parts = self.items["fault_filtered_split"]
        scored = np.concatenate([score for _, score in self.folds])
        valid = np.setdiff1d(np.flatnonzero(parts.eq("valid")), scored)
        chosen = valid if len(valid) else fit
        return self.items["track_id"].to_numpy()[chosen].tolist()


def _scores(model, X: np.ndarray, n_classes: int) -> np.ndarray:
    """Return what ranks the classes as the classifier does, adding up to 1; not calibrated."""
    scores = np.zeros((len(X), n_classes))
    if hasattr(model, "decision_function"):
        values = model.decision_function(X)
        values = np.exp(values - values.max(axis=1, keepdims=True))
    else:
        values = model.predict_proba(X)
    scores[:, model[-1].classes_] = values / values.sum(axis=1, keepdims=True)
    return scores


# ------------------------------------------------------------------ tables


def accuracy(result: StudyResult, dataset: Dataset, *, n_boot: int = 2000) -> pd.DataFrame:
    """Return accuracy by classifier, input and source, and what the batches add.

    Parameters
    ----------
    result : StudyResult
        Of `run`.
    dataset : Dataset
        For the tracks' artists.
    n_boot : int
        Bootstrap replicates.

    Returns
    -------
    pd.DataFrame
        ``model, input, source, protocol, stage, n_tracks, accuracy`` with its interval from
        drawing tracks (``_low, _high``) and artists (``_artist_low, _artist_high``);
        ``gain`` over fixed statistics (over `UNDONE` for the published features) with
        ``gain_low, gain_high``; ``wrong_inside_batch``: the share of wrong answers that
        name another genre of the track's own batch, and ``by_chance``: what it would be
        if wrong answers were spread evenly over the other genres.
    """
    artists = dataset.tracks.set_index("track_id")["artist_id"]
    keys = ["model", "input", "protocol", "stage"]
    rows = []
    for key, group in result.predictions.groupby(keys, sort=False):
        by_source = dict(tuple(group.groupby("source", sort=False)))
        reference = by_source.get(FIXED, by_source.get(UNDONE))
        for source in (name for name in SOURCES if name in by_source):
            found = by_source[source]
            summary = evaluation.summary(found, artists=artists, n_boot=n_boot)
            gain = {}
            if reference is not None and source not in (FIXED, UNDONE):
                # What is compared differs in its source on purpose.
                paired = evaluation.paired(
                    found.assign(source=""), reference.assign(source=""), n_boot=n_boot
                )
                gain = {
                    "gain": paired["difference"],
                    "gain_low": paired["low"],
                    "gain_high": paired["high"],
                }
            rows.append(
                dict(zip(keys, key, strict=True))
                | {"source": source}
                | {
                    name: summary[name]
                    for name in (
                        "n_tracks",
                        "accuracy",
                        "accuracy_low",
                        "accuracy_high",
                        "accuracy_artist_low",
                        "accuracy_artist_high",
                    )
                }
                | gain
                | _inside_batch(found, dataset)
            )
    table = pd.DataFrame(rows)
    order = {name: i for i, name in enumerate([*CLASSIFIERS, *INPUTS, *SOURCES, "inner", "final"])}
    by = ["model", "stage", "input", "source"]
    first = ["model", "input", "source"]
    table = table.sort_values(by, key=lambda column: column.map(order), ignore_index=True)
    return table[first + [name for name in table if name not in first]]


def _inside_batch(rows: pd.DataFrame, dataset: Dataset) -> dict[str, float]:
    tracks = dataset.tracks.sort_values("track_id")
    batch = pd.Series(batch_numbers(len(tracks)), index=tracks["track_id"])
    inside = set(zip(batch, tracks["genre"], strict=True))
    predicted = evaluation.labels(rows)
    wrong = (predicted != rows["y_true"]).to_numpy()
    numbers = batch.reindex(rows["track_id"]).to_numpy()[wrong]
    named = [pair in inside for pair in zip(numbers, predicted[wrong], strict=True)]
    n_genres = pd.Series([number for number, _ in inside]).value_counts()
    chance = (n_genres.reindex(numbers) - 1) / (len(dataset.genres) - 1)
    return {
        "wrong_inside_batch": float(np.mean(named)) if named else np.nan,
        "by_chance": float(chance.mean()),
    }
