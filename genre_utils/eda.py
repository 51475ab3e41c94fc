"""What the notebook on the data shows: examples, balance, distributions, neighbours, faults.

Whatever relates sounds to genres here is computed on the training part of the
fault-filtered split where there is one (`open_part`): who chooses features or models after
looking at this notebook has then not looked at the test part.
"""

import html
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import librosa
import numpy as np
import pandas as pd
import soundfile
from IPython.display import HTML, Audio
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import f_classif, mutual_info_classif
from sklearn.manifold import TSNE
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from genre_utils import audio, audit, features, fingerprint, progress, project, splits
from genre_utils.datasets import Dataset, load_feature_csv
from genre_utils.feature_report import Example, feature_group, standardised_rows
from genre_utils.features import SR, FeatureTable
from genre_utils.splits import SplitError

PITCH_CLASSES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")

TEMPO_RANGE = (40.0, 320.0)
"""Tempos in beats per minute that a tempogram is shown for."""

_N_FFT, _HOP = 2048, 512

# An altered copy is cut from between seconds 7 and 13 of its clip.
_SHORTEST_TRIAL_S = 13
_FLOOR_DB = -80.0
_SILENCE = 1e-10
_FEWEST_ITEMS = 10


# ---------------------------------------------------------------- what a clip looks like


def views(y: np.ndarray, *, columns: int = 90, rows: int = 40) -> dict[str, np.ndarray]:
    """Compute the ten classical representations of a signal, small enough to be drawn.

    Parameters
    ----------
    y : np.ndarray [shape=(n_samples,)]
        Mono signal at `features.SR`.
    columns : int
        Time steps of each representation, at most.
    rows : int
        Frequency steps of each picture, at most.

    Returns
    -------
    dict of str to np.ndarray
        ``waveform`` [shape=(2, n)], minimum and maximum of each step; ``rms`` and
        ``zero-crossing rate`` [shape=(n,)]; pictures [shape=(n_rows, n)]:
        ``spectrogram``, ``mel spectrogram``, ``harmonic part``, ``percussive part`` in dB
        relative to the loudest point of the whole (-80 to 0), ``MFCC`` (20, z-scores),
        ``chroma`` (12, in [0, 1]), ``tempogram`` (autocorrelation of the onset strength
        in [0, 1], tempos of `TEMPO_RANGE` on a logarithmic axis).

    References
    ----------
    Harmonic and percussive parts: Fitzgerald, DAFx 2010. Tempogram: Grosche, Müller &
    Kurth, "Cyclic tempogram", ICASSP 2010.
    """
    magnitude = np.abs(librosa.stft(y, n_fft=_N_FFT, hop_length=_HOP))
    power = magnitude**2
    mel = librosa.feature.melspectrogram(S=power, sr=SR)
    harmonic, percussive = features.harmonic_percussive(magnitude)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel), sr=SR, n_mfcc=20)
    loudest = max(_pooled(power, rows, columns).max(), _SILENCE)
    bounds = np.linspace(0, len(y), min(columns, len(y)) + 1).astype(int)[:-1]
    return {
        "waveform": np.stack([np.minimum.reduceat(y, bounds), np.maximum.reduceat(y, bounds)]),
        "rms": _pooled(librosa.feature.rms(y=y, hop_length=_HOP), 1, columns)[0],
        "zero-crossing rate": _pooled(librosa.feature.zero_crossing_rate(y), 1, columns)[0],
        "spectrogram": _decibels(_pooled(power, rows, columns), loudest),
        "mel spectrogram": _decibels(_pooled(mel, rows, columns)),
        "MFCC": standardised_rows({"": _pooled(mfcc, 20, columns)})[""],
        "chroma": _pooled(_chroma(power), 12, columns),
        "tempogram": _tempogram(mel, columns),
        "harmonic part": _decibels(_pooled(harmonic**2, rows, columns), loudest),
        "percussive part": _decibels(_pooled(percussive**2, rows, columns), loudest),
    }


def _chroma(power: np.ndarray) -> np.ndarray:
    with features.quiet_librosa():
        return librosa.feature.chroma_stft(S=power, sr=SR)


def _pooled(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Average neighbouring cells so that a picture has at most so many rows and columns."""
    for axis, size in enumerate((rows, columns)):
        length = picture.shape[axis]
        if length > size:
            bounds = np.linspace(0, length, size + 1).astype(int)
            sums = np.add.reduceat(picture, bounds[:-1], axis=axis)
            counts = np.diff(bounds).reshape((-1, 1) if axis == 0 else (1, -1))
            picture = sums / counts
    return picture


def _decibels(power: np.ndarray, loudest: float | None = None) -> np.ndarray:
    reference = max(power.max(), _SILENCE) if loudest is None else loudest
    return np.maximum(10 * np.log10(np.maximum(power / reference, 1e-12)), _FLOOR_DB)


def _tempogram(mel: np.ndarray, columns: int) -> np.ndarray:
    onsets = librosa.onset.onset_strength(
        S=librosa.power_to_db(mel), sr=SR, hop_length=_HOP, aggregate=np.median
    )
    strength = librosa.feature.tempogram(onset_envelope=onsets, sr=SR, hop_length=_HOP)
    tempos = librosa.tempo_frequencies(len(strength), sr=SR, hop_length=_HOP)[1:]
    wanted = np.geomspace(*TEMPO_RANGE, 48)
    strength = _pooled(strength[1:], len(strength), columns)
    # Lags fall as tempos rise, and np.interp wants what it interpolates between to rise.
    return np.stack([np.interp(wanted, tempos[::-1], column[::-1]) for column in strength.T], 1)


def example_views(examples: dict[str, Example]) -> dict[str, dict[str, np.ndarray]]:
    """Return the `views` of each genre's example."""
    shown = progress.track(examples.items(), total=len(examples), desc="examples")
    return {genre: views(example.y) for genre, example in shown}


def measures(clips: dict[str, np.ndarray]) -> pd.DataFrame:
    """Measure what the eye should find in pictures of clips.

    Parameters
    ----------
    clips : dict of str to np.ndarray [shape=(n_samples,)]
        Name → mono signal at `features.SR`.

    Returns
    -------
    pd.DataFrame
        One row a clip: ``clip, seconds, rms_db`` (relative to full scale),
        ``zero_crossing_rate`` (share of samples), ``centroid_hz``, ``tempo_bpm``,
        ``percussive_share`` (of the energy), ``pitch_class`` (the strongest),
        ``pitch_share`` (of it, in all chroma).
    """
    rows = []
    for name, y in clips.items():
        values = dict(zip(features.FEATURE_NAMES, features.tabular(y), strict=True))
        power = np.abs(librosa.stft(y, n_fft=_N_FFT, hop_length=_HOP)) ** 2
        chroma = _chroma(power).sum(axis=1)
        # The parts' waveforms have no mean worth speaking of: variance is energy.
        parts = values["perceptr_var"] + values["harmony_var"]
        rows.append(
            {
                "clip": name,
                "seconds": len(y) / SR,
                "rms_db": _to_db(np.sqrt(np.mean(np.square(y, dtype=np.float64)))),
                "zero_crossing_rate": values["zero_crossing_rate_mean"],
                "centroid_hz": values["spectral_centroid_mean"],
                "tempo_bpm": values["tempo"],
                "percussive_share": values["perceptr_var"] / max(parts, _SILENCE),
                "pitch_class": PITCH_CLASSES[int(chroma.argmax())],
                "pitch_share": chroma.max() / max(chroma.sum(), _SILENCE),
            }
        )
    columns = ["clip", "seconds", "rms_db", "zero_crossing_rate", "centroid_hz", "tempo_bpm"]
    columns += ["percussive_share", "pitch_class", "pitch_share"]
    return pd.DataFrame(rows, columns=columns)


def _to_db(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-6)))


def example_measures(examples: dict[str, Example]) -> pd.DataFrame:
    """Return the `measures` of each genre's example, with ``genre, track_id, start_s``."""
    table = measures({genre: example.y for genre, example in examples.items()})
    table = table.rename(columns={"clip": "genre"})
    table.insert(1, "track_id", [example.track_id for example in examples.values()])
    table.insert(2, "start_s", [example.start_s for example in examples.values()])
    return table


def frames(
    examples: dict[str, Example], *, genre: str, lengths: list[float]
) -> dict[str, np.ndarray]:
    """Cut frames of several lengths from the middle of one genre's example clip.

    Parameters
    ----------
    examples : dict of str to Example
        As `feature_report.examples` returns them.
    genre : str
        Which one; where it has no example, the first genre that has one is taken.
    lengths : list of float
        Lengths in seconds; those that are not shorter than the clip are left out.

    Returns
    -------
    dict of str to np.ndarray [shape=(n_samples,), dtype=float32]
        ``3-s frame`` → signal, and the whole clip last. Empty without examples.
    """
    if not examples:
        return {}
    y = audio.load(examples.get(genre, next(iter(examples.values()))).path, sr=SR)
    found = {}
    for length in lengths:
        n_samples = int(length * SR)
        if n_samples < len(y):
            start = (len(y) - n_samples) // 2
            found[f"{length:g}-s frame"] = y[start : start + n_samples]
    return found | {"whole clip": y}


# ---------------------------------------------------------------- players


def players(dataset: Dataset, examples: dict[str, Example], *, outputs: project.Outputs) -> HTML:
    """Return one player a genre.

    Generated sounds are part of the page. Of real recordings the page holds nothing but
    a link to the listener's own copy, relative to the notebook: to where the data set
    lies in the project, or, where it lies elsewhere, to its place in ``data/``.

    Parameters
    ----------
    dataset : Dataset
        Says whether the sounds are generated.
    examples : dict of str to Example
        What is played.
    outputs : project.Outputs
        Where the executed notebook goes: links work from there and from ``notebooks/``.
    """
    if not examples:
        return HTML("<p>No audio here: nothing to play.</p>")
    cells = []
    for genre, example in examples.items():
        name = f"{html.escape(genre)} <small>({html.escape(example.track_id)})</small>"
        player = (
            _embedded(example.y) if dataset.synthetic else _linked(dataset, example.path, outputs)
        )
        cells.append(f"<div><div>{name}</div>{player}</div>")
    style = "display:grid;grid-template-columns:repeat(auto-fill,minmax(19em,1fr));gap:.6em"
    return HTML(f'<div style="{style}">{"".join(cells)}</div>')


def _embedded(y: np.ndarray) -> str:
    packed = io.BytesIO()
    soundfile.write(packed, y, SR, format="MP3")
    player = Audio(data=packed.getvalue())
    # Without a file name to tell it, Audio takes all bytes for a wav file.
    player.mimetype = "audio/mpeg"
    return player._repr_html_()


def _linked(dataset: Dataset, path: Path, outputs: project.Outputs) -> str:
    root = project.root().resolve()
    place = path.resolve()
    if not place.is_relative_to(root):
        place = root / "data" / dataset.root.name / place.relative_to(dataset.root.resolve())
    pages = (root / "notebooks", outputs.results.resolve() / "notebooks")
    inside = [page for page in pages if page.is_relative_to(root)]
    links = [quote(Path(os.path.relpath(place, page)).as_posix()) for page in inside]
    sources = "".join(f'<source src="{link}">' for link in dict.fromkeys(links))
    return f'<audio controls preload="none">{sources}</audio>'


# ---------------------------------------------------------------- how much there is


def balance(dataset: Dataset, measurements: pd.DataFrame) -> pd.DataFrame:
    """Count what each genre has.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    measurements : pd.DataFrame
        As `audit.measurements` returns them: ``track_id, duration_s, rms_db``.

    Returns
    -------
    pd.DataFrame
        One row a genre: ``genre, n_tracks, n_audio, n_pictures, hours,
        median_duration_s, shortest_s, median_rms_db``; NaN where no audio says it.
    """
    measured = measurements.merge(dataset.tracks[["track_id", "genre"]], on="track_id")
    by_genre = measured.groupby("genre")
    tracks = dataset.tracks.groupby("genre")
    table = pd.DataFrame(
        {
            "n_tracks": tracks.size(),
            "n_audio": tracks["audio_path"].count(),
            "n_pictures": tracks["image_path"].count(),
            "hours": by_genre["duration_s"].sum() / 3600,
            "median_duration_s": by_genre["duration_s"].median(),
            "shortest_s": by_genre["duration_s"].min(),
            "median_rms_db": by_genre["rms_db"].median(),
        }
    )
    return table.rename_axis("genre").reset_index()


def measured_tracks(dataset: Dataset, measurements: pd.DataFrame) -> pd.DataFrame:
    """Return ``track_id, genre, duration_s, rms_db`` of every track that was measured."""
    columns = ["track_id", "duration_s", "rms_db"]
    measured = measurements[columns].dropna(subset="duration_s")
    return measured.merge(dataset.tracks[["track_id", "genre"]], on="track_id")


# ---------------------------------------------------------------- features by genre


@dataclass(frozen=True)
class OpenPart:
    """The tracks that may be looked at when features and models are chosen.

    Attributes
    ----------
    track_ids : frozenset of str
        These tracks.
    is_training_part : bool
        Whether they are the fault-filtered split's training part; else they are all.
    """

    track_ids: frozenset[str]
    is_training_part: bool

    def of(self, table: FeatureTable) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the items and the features of these tracks."""
        inside = table.items["track_id"].isin(self.track_ids).to_numpy()
        return table.items[inside].reset_index(drop=True), table.X[inside]


def open_part(dataset: Dataset, *, at_least: int) -> OpenPart:
    """Return the training part of the fault-filtered split, or else all tracks.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    at_least : int
        How many tracks of every genre the training part needs to be of use.
    """
    tracks = dataset.tracks
    training = tracks[tracks["fault_filtered_split"].eq("train")]
    counts = training["genre"].value_counts().reindex(list(dataset.genres), fill_value=0)
    usable = bool(counts.min() >= at_least)
    chosen = training if usable else tracks
    return OpenPart(frozenset(chosen["track_id"]), usable)


def whole_clips(tables: dict[float, FeatureTable], dataset: Dataset) -> FeatureTable:
    """Return the table of the longest segments; one without rows where there is none."""
    if tables:
        return tables[max(tables)]
    items = dataset.tracks.loc[[], ["track_id", "genre", "artist_id"]]
    names = features.FEATURE_NAMES
    return FeatureTable(items, np.empty((0, len(names))), names, "none", items, "")


def distributions(
    tables: dict[float, FeatureTable], part: OpenPart, names: list[str]
) -> pd.DataFrame:
    """Return some features of every segment in long form.

    Returns
    -------
    pd.DataFrame
        ``segment_s, track_id, genre, feature, value``.
    """
    frames = []
    for segment_s, table in sorted(tables.items(), reverse=True):
        items, X = part.of(table)
        for name in names:
            rows = items[["track_id", "genre"]].assign(segment_s=segment_s, feature=name)
            frames.append(rows.assign(value=X[:, table.names.index(name)]))
    columns = ["segment_s", "track_id", "genre", "feature", "value"]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )


def spreads(distributions: pd.DataFrame) -> pd.DataFrame:
    """Part each feature's variance: between genres, between tracks of one, within a track.

    Parameters
    ----------
    distributions : pd.DataFrame
        As `distributions` returns them.

    Returns
    -------
    pd.DataFrame
        One row a segment length × feature: ``n_tracks, n_segments, between_genres,
        between_tracks, within_track`` (shares that add up to 1), and the genres with the
        ``lowest`` and the ``highest`` median, with ``lowest_median, highest_median``.
    """
    rows = []
    for (segment_s, feature), group in distributions.groupby(["segment_s", "feature"], sort=False):
        total = group["value"].var(ddof=0)
        genre_means = group.groupby("genre")["value"].transform("mean")
        track_means = group.groupby("track_id")["value"].transform("mean")
        medians = group.groupby("genre")["value"].median().sort_values()
        rows.append(
            {
                "segment_s": segment_s,
                "feature": feature,
                "n_tracks": group["track_id"].nunique(),
                "n_segments": len(group),
                "between_genres": genre_means.var(ddof=0) / total if total else np.nan,
                "between_tracks": (track_means - genre_means).var(ddof=0) / total
                if total
                else np.nan,
                "within_track": (group["value"] - track_means).var(ddof=0) / total
                if total
                else np.nan,
                "lowest": medians.index[0],
                "lowest_median": medians.iloc[0],
                "highest": medians.index[-1],
                "highest_median": medians.iloc[-1],
            }
        )
    return pd.DataFrame(rows)


def correlations(table: FeatureTable, part: OpenPart) -> pd.DataFrame:
    """Return Spearman's rank correlation of every pair of features [shape=(57, 57)]."""
    _, X = part.of(table)
    return pd.DataFrame(X, columns=list(table.names)).corr(method="spearman")


def strongest_pairs(correlation: pd.DataFrame) -> pd.DataFrame:
    """List pairs of features by the size of their correlation: ``feature, other, r``."""
    upper = np.triu_indices(len(correlation), k=1)
    names = correlation.columns.to_numpy()
    pairs = pd.DataFrame(
        {
            "feature": names[upper[0]],
            "other": names[upper[1]],
            "r": correlation.to_numpy()[upper],
        }
    ).dropna()
    return pairs.sort_values("r", key=np.abs, ascending=False, ignore_index=True)


def tempos(table: FeatureTable, part: OpenPart) -> pd.DataFrame:
    """Return ``track_id, genre, tempo`` (beats per minute) of every item."""
    items, X = part.of(table)
    return items[["track_id", "genre"]].assign(tempo=X[:, table.names.index("tempo")])


# ---------------------------------------------------------------- maps and neighbours


def projection(table: FeatureTable, part: OpenPart, *, seed: int) -> pd.DataFrame:
    """Project the standardised features to two dimensions, by PCA and by t-SNE.

    Parameters
    ----------
    table : FeatureTable
        Features of whole clips.
    part : OpenPart
        The tracks that are projected.
    seed : int
        Decides where t-SNE ends.

    Returns
    -------
    pd.DataFrame
        ``track_id, genre, pc1, pc2, tsne1, tsne2``; ``attrs["explained"]`` holds the
        shares of the variance that the components explain, from the first on. Empty
        where there are fewer than ten items.

    References
    ----------
    van der Maaten & Hinton, "Visualizing data using t-SNE", JMLR 9, 2008.
    """
    items, X = part.of(table)
    if len(items) < _FEWEST_ITEMS:
        return pd.DataFrame(columns=["track_id", "genre", "pc1", "pc2", "tsne1", "tsne2"])
    scaled = StandardScaler().fit_transform(X)
    pca = PCA(svd_solver="full").fit(scaled)
    main = pca.transform(scaled)[:, :2]
    # Components have no sign of their own: the largest loading points upwards.
    main = main * np.sign(pca.components_[[0, 1], np.abs(pca.components_[:2]).argmax(axis=1)])
    perplexity = min(30.0, (len(items) - 1) / 3)
    maps = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(scaled)
    found = items[["track_id", "genre"]].assign(
        pc1=main[:, 0], pc2=main[:, 1], tsne1=maps[:, 0], tsne2=maps[:, 1]
    )
    found.attrs["explained"] = pca.explained_variance_ratio_.tolist()
    return found


def neighbours(table: FeatureTable, part: OpenPart) -> pd.DataFrame:
    """Ask of which genre each track's nearest neighbour is, in all 57 standardised features.

    Returns
    -------
    pd.DataFrame
        One row a genre: ``genre, n_tracks, same_genre`` (share of tracks whose nearest
        neighbour has their genre), ``same_genre_other_artist`` (the same, neighbours by
        the same artist left out; NaN where no artist is known), ``by_chance``, and the
        ``nearest_other`` genre: the commonest among neighbours of another genre.
    """
    items, X = part.of(table)
    columns = ["genre", "n_tracks", "same_genre", "same_genre_other_artist", "by_chance"]
    columns += ["nearest_other"]
    if len(items) < _FEWEST_ITEMS:
        return pd.DataFrame(columns=columns)
    scaled = StandardScaler().fit_transform(X)
    order = (
        NearestNeighbors(n_neighbors=len(items))
        .fit(scaled)
        .kneighbors(scaled, return_distance=False)
    )
    rows = np.arange(len(items))[:, None]
    genres, track_ids = items["genre"].to_numpy(), items["track_id"].to_numpy()
    artists = items["artist_id"].astype("string").fillna("").to_numpy(dtype=str)
    same_track = track_ids[order] == track_ids[rows]
    same_artist = (artists[order] == artists[rows]) & (artists[rows] != "")
    nearest = order[rows[:, 0], np.argmin(same_track, axis=1)]
    nearest_other = order[rows[:, 0], np.argmin(same_track | same_artist, axis=1)]
    known = (artists != "").any()
    found = pd.DataFrame(
        {
            "genre": genres,
            "same_genre": genres[nearest] == genres,
            "same_genre_other_artist": (genres[nearest_other] == genres) if known else np.nan,
            "other": np.where(genres[nearest_other] == genres, None, genres[nearest_other]),
        }
    )
    counts = found["genre"].value_counts()
    summary = found.groupby("genre").agg(
        n_tracks=("genre", "size"),
        same_genre=("same_genre", "mean"),
        same_genre_other_artist=("same_genre_other_artist", "mean"),
        nearest_other=("other", lambda names: _commonest(names.dropna())),
    )
    summary["by_chance"] = (counts - 1) / (len(items) - 1)
    return summary.reset_index()[columns]


def _commonest(names: pd.Series) -> str | None:
    return None if names.empty else names.value_counts().sort_index(kind="stable").idxmax()


def separation(table: FeatureTable, part: OpenPart, *, seed: int) -> pd.DataFrame:
    """Measure how well each group of features alone tells each genre from the rest.

    A linear discriminant is fitted to the group's features (as normal scores) and asked
    about tracks of artists that it has not seen, in three folds inside the open part.

    Parameters
    ----------
    table : FeatureTable
        Features of whole clips.
    part : OpenPart
        The tracks that are used.
    seed : int
        Decides the folds.

    Returns
    -------
    pd.DataFrame
        One row a genre × ``feature_group`` (``all 57`` is the last): ``n_features, auc``,
        the area under the ROC curve, averaged over the folds: 0.5 is guessing, 1 is
        perfect. Empty where the
        tracks are too few to be parted.
    """
    items, X = part.of(table)
    names = pd.Series(table.names).map(feature_group)
    groups = {group: np.flatnonzero(names == group) for group in names.unique()}
    groups["all 57"] = np.arange(len(names))
    columns = ["genre", "feature_group", "n_features", "auc"]
    if len(items) < _FEWEST_ITEMS:
        return pd.DataFrame(columns=columns)
    try:
        folds = splits.inner_folds(items, np.arange(len(items)), seed=seed)
    except SplitError:
        return pd.DataFrame(columns=columns)
    genres = np.array(sorted(items["genre"].unique()))
    truth = items["genre"].to_numpy()
    rows = []
    for group, chosen in groups.items():
        aucs = []
        for fit, score in folds:
            model = make_pipeline(
                QuantileTransformer(
                    n_quantiles=min(100, len(fit)), output_distribution="normal", random_state=seed
                ),
                LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            ).fit(X[fit][:, chosen], truth[fit])
            scores = model.predict_proba(X[score][:, chosen])
            aucs.append([_auc(truth[score] == g, scores[:, i]) for i, g in enumerate(genres)])
        means = np.nanmean(aucs, axis=0)
        rows += [(genre, group, len(chosen), auc) for genre, auc in zip(genres, means, strict=True)]
    return pd.DataFrame(rows, columns=columns)


def _auc(is_genre: np.ndarray, score: np.ndarray) -> float:
    # A fold may lack a genre whose few artists went elsewhere.
    return roc_auc_score(is_genre, score) if 0 < is_genre.sum() < len(is_genre) else np.nan


def ranking(table: FeatureTable, part: OpenPart, *, seed: int) -> pd.DataFrame:
    """Rank single features by what they tell about the genre.

    Returns
    -------
    pd.DataFrame
        ``feature, feature_group, mutual_information`` (bits; Kraskov's estimate), ``f``
        (of an analysis of variance) and ``between_genres`` (share of the variance of the
        feature's ranks that lies between genres), the most telling feature first. Empty
        where there are fewer than ten items.
    """
    items, X = part.of(table)
    if len(items) < _FEWEST_ITEMS:
        columns = ["feature", "feature_group", "mutual_information", "f", "between_genres"]
        return pd.DataFrame(columns=columns)
    ranks = pd.DataFrame(X).rank().to_numpy()
    f = f_classif(ranks, items["genre"])[0]
    n_genres = items["genre"].nunique()
    # F as a share: between over total sums of squares (eta squared).
    bits = mutual_info_classif(X, items["genre"], random_state=seed) / np.log(2)
    found = pd.DataFrame(
        {
            "feature": table.names,
            "feature_group": [feature_group(name) for name in table.names],
            "mutual_information": bits,
            "f": f,
            "between_genres": f / (f + (len(items) - n_genres) / (n_genres - 1)),
        }
    )
    return found.sort_values("between_genres", ascending=False, ignore_index=True)


# ---------------------------------------------------------------- artists


def artist_shares(dataset: Dataset) -> pd.DataFrame:
    """Count the tracks of each artist in each genre: ``genre, artist_id, n_tracks``."""
    known = dataset.tracks.dropna(subset="artist_id")
    counts = known.groupby(["genre", "artist_id"]).size().rename("n_tracks").reset_index()
    return counts.sort_values(
        ["genre", "n_tracks", "artist_id"], ascending=[True, False, True], ignore_index=True
    )


def artists(dataset: Dataset, *, seed: int) -> pd.DataFrame:
    """Return what a genre's artists mean for splitting it.

    Parameters
    ----------
    dataset : Dataset
        The data set.
    seed : int
        Decides the split that the last column is about.

    Returns
    -------
    pd.DataFrame
        One row a genre: ``genre, n_tracks, n_unknown`` (tracks without an artist),
        ``n_artists, largest_artist_tracks, largest_artist_share`` (of the tracks with a
        known artist), ``seen_artist_share``: the share of those tracks whose artist
        stands in the training part when tracks are split at random into five folds.
    """
    tracks = dataset.tracks
    counts = artist_shares(dataset).groupby("genre")["n_tracks"]
    table = pd.DataFrame(
        {
            "n_tracks": tracks.groupby("genre").size(),
            "n_unknown": tracks["artist_id"].isna().groupby(tracks["genre"]).sum(),
            "n_artists": counts.size(),
            "largest_artist_tracks": counts.max(),
            "largest_artist_share": counts.max() / counts.sum(),
            "seen_artist_share": _seen_artists(tracks, seed),
        }
    )
    whole = dict.fromkeys(("n_artists", "largest_artist_tracks"), "Int64")
    return table.rename_axis("genre").reset_index().astype(whole)


def _seen_artists(tracks: pd.DataFrame, seed: int) -> pd.Series:
    known = tracks.dropna(subset="artist_id").reset_index(drop=True)
    try:
        parts = splits.make_splits(known, "track_random", n_folds=5, seed=seed)
    except SplitError:
        return pd.Series(dtype=float)
    seen = pd.Series(False, index=known.index)
    for split in parts:
        in_training = set(known["artist_id"].iloc[split.train])
        seen.iloc[split.test] = known["artist_id"].iloc[split.test].isin(in_training).to_numpy()
    return seen.groupby(known["genre"]).mean()


# ---------------------------------------------------------------- what is wrong


def fault_counts(findings: pd.DataFrame) -> pd.DataFrame:
    """Count the audit's findings.

    Parameters
    ----------
    findings : pd.DataFrame
        As `audit.audit` returns them: ``track_id, file, fault, severity, ...``.

    Returns
    -------
    pd.DataFrame
        One row a fault: ``fault, severity, n_findings, n_files, example`` (the reason of the
        worst finding).
    """
    counts = (
        _worst_first(findings)
        .groupby(["fault", "severity"], sort=False, dropna=False)
        .agg(n_findings=("fault", "size"), n_files=("file", "nunique"), example=("reason", "first"))
    )
    return counts.sort_values("n_findings", ascending=False, kind="stable").reset_index()


def _worst_first(findings: pd.DataFrame) -> pd.DataFrame:
    """Order findings so that the worst of each kind comes first."""
    size = findings["value"].astype(float)
    # The larger, the worse, but for a clip's length.
    badness = size.abs().where(findings["fault"].ne("short"), -size)
    ordered = findings.assign(badness=badness)
    return ordered.sort_values("badness", ascending=False, kind="stable").drop(columns="badness")


def faulty_tracks(findings: pd.DataFrame) -> set[str]:
    """Return the tracks, on either side of a pair, with a finding that is more than "similar"."""
    certain = findings[findings["severity"].ne("similar")]
    return set(certain["track_id"].dropna()) | set(certain["partner"].dropna())


def literature(findings: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return `audit.compare_with_literature` for GTZAN and its parts; else no rows.

    Parameters
    ----------
    findings : pd.DataFrame
        As `audit.audit` returns them.
    dataset : Dataset
        What was audited.
    """
    in_table = {
        track_id
        for segment_s in dataset.tables
        for track_id in load_feature_csv(dataset, segment_s)["track_id"]
    }
    table = audit.compare_with_literature(findings, dataset.tracks, in_table=in_table)
    return table if dataset.name in ("gtzan", "gtzan-mini") else table.iloc[:0]


def worst_cases(findings: pd.DataFrame, dataset: Dataset, *, n_cases: int) -> pd.DataFrame:
    """Choose the findings that are worth a picture.

    Parameters
    ----------
    findings : pd.DataFrame
        As `audit.audit` returns them.
    dataset : Dataset
        Where the sound and the pictures are. Its faults that are known from the
        literature take part, but for the repetitions, which the audit should find.
    n_cases : int
        How many; the faults take turns, the worst of each first, so that each is shown
        once before one is twice.

    Returns
    -------
    pd.DataFrame
        Rows of `findings` (and of known faults) of tracks with sound or a picture,
        without the same pair twice.
    """
    tracks = dataset.tracks
    known = tracks[tracks["known_fault"].notna() & ~tracks["known_fault"].str.contains("repeats")]
    known = known[["track_id", "known_fault"]].rename(columns={"known_fault": "reason"})
    rows = pd.concat([findings, known.assign(fault="known_fault", value=np.inf)], ignore_index=True)
    shown = tracks[tracks["audio_path"].notna() | tracks["image_path"].notna()]["track_id"]
    rows = rows[rows["track_id"].isin(shown)].copy()
    rows["pair"] = [
        " = ".join(sorted(str(end) for end in ends if pd.notna(end)))
        for ends in zip(rows["track_id"], rows["partner"], strict=True)
    ]
    rows = _worst_first(rows).drop_duplicates("pair")
    rows["turn"] = rows.groupby("fault").cumcount()
    rows = rows.sort_values(["turn", "fault"], kind="stable").head(n_cases)
    rows["value"] = rows["value"].replace(np.inf, np.nan)
    return rows.drop(columns=["pair", "turn"]).reset_index(drop=True)


@dataclass(frozen=True)
class Case:
    """What there is to see of one track.

    Attributes
    ----------
    track_id, title : str
        Which track, and what was found.
    views : dict of str to np.ndarray
        ``waveform`` and ``spectrogram`` as in `views`; empty where no sound can be read.
    picture : np.ndarray [shape=(n_rows, n_columns), dtype=uint8] or None
        The data set's own picture where there is no sound, high frequencies at the top.
    seconds : float
        Length of the sound; of a picture NaN.
    """

    track_id: str
    title: str
    views: dict[str, np.ndarray]
    picture: np.ndarray | None
    seconds: float


def case_pictures(cases: pd.DataFrame, dataset: Dataset) -> list[Case]:
    """Return what there is to see of each finding's track, and of its partner after it."""
    tracks = dataset.tracks.set_index("track_id")
    # Pairs come first, so that no pair is parted by the end of a row of four.
    paired = cases["partner"].isin(tracks.index)
    found = []
    for row in cases[paired].itertuples():
        found.append(_case(row.track_id, _case_title(row), tracks))
        found.append(_case(row.partner, f"{row.partner}\npartner of {row.track_id}", tracks))
    alone = cases[~paired].itertuples()
    return found + [_case(row.track_id, _case_title(row), tracks) for row in alone]


def _case_title(row) -> str:
    return f"{row.track_id}\n{row.fault.replace('_', ' ')}"


def _case(track_id: str, title: str, tracks: pd.DataFrame) -> Case:
    track = tracks.loc[track_id]
    if track["audio_path"] is not None:
        try:
            y = audio.load(track["audio_path"], sr=SR)
        except audio.AudioError:
            y = np.empty(0)
        if len(y) >= _N_FFT:
            power = np.abs(librosa.stft(y, n_fft=_N_FFT, hop_length=_HOP)) ** 2
            bounds = np.linspace(0, len(y), 121).astype(int)[:-1]
            envelope = np.stack([np.minimum.reduceat(y, bounds), np.maximum.reduceat(y, bounds)])
            shown = {"waveform": envelope, "spectrogram": _decibels(_pooled(power, 40, 120))}
            return Case(track_id, title, shown, None, len(y) / SR)
    picture = None
    if track["image_path"] is not None:
        from PIL import Image

        with Image.open(track["image_path"]) as image:
            picture = np.asarray(image.convert("L").resize((120, 60)))
    return Case(track_id, title, {}, picture, float("nan"))


# ---------------------------------------------------------------- the answer


def portraits(
    table: FeatureTable,
    part: OpenPart,
    *,
    separation: pd.DataFrame,
    neighbours: pd.DataFrame,
    artists: pd.DataFrame,
    findings: pd.DataFrame,
    dataset: Dataset,
) -> pd.DataFrame:
    """Put together what the notebook found about each genre.

    Returns
    -------
    pd.DataFrame
        One row a genre: medians of ``centroid_hz, rms, tempo_bpm`` and of
        ``percussive_share``, the ``telling_group`` with its ``telling_auc`` (the best
        group of at most two features), ``auc_all``, ``nearest_other``, ``n_artists,
        largest_artist_share``, ``n_faulty`` (tracks with a finding of the audit).
    """
    items, X = part.of(table)
    values = pd.DataFrame(X, columns=list(table.names)).assign(genre=items["genre"])
    parts = (values["perceptr_var"] + values["harmony_var"]).clip(lower=_SILENCE)
    values["percussive_share"] = values["perceptr_var"] / parts
    columns = {
        "spectral_centroid_mean": "centroid_hz",
        "rms_mean": "rms",
        "tempo": "tempo_bpm",
        "percussive_share": "percussive_share",
    }
    found = values.groupby("genre")[list(columns)].median().rename(columns=columns)
    single = separation[separation["n_features"] <= 2]
    best = single.loc[single.groupby("genre")["auc"].idxmax()].set_index("genre")
    whole = separation[separation["feature_group"] == "all 57"].set_index("genre")
    tracks = dataset.tracks
    faulty = tracks.loc[tracks["track_id"].isin(faulty_tracks(findings)), "genre"]
    known = (
        best[["feature_group", "auc"]].set_axis(["telling_group", "telling_auc"], axis=1),
        whole["auc"].rename("auc_all"),
        neighbours.set_index("genre")["nearest_other"],
        artists.set_index("genre")[["n_artists", "largest_artist_share"]],
        faulty.value_counts().rename("n_faulty").reindex(found.index, fill_value=0),
    )
    for facts in known:
        found = found.join(facts)
    return found.reset_index()


def fingerprint_trial(dataset: Dataset, *, n_clips: int) -> pd.DataFrame:
    """Try the fingerprint on altered copies of clips spread over a data set.

    Parameters
    ----------
    dataset : Dataset
        Unreadable and short clips are left out; without audio the table is empty.
    n_clips : int
        At most this many clips.

    Returns
    -------
    pd.DataFrame
        As `fingerprint.trial` returns it.
    """
    paths = dataset.tracks["audio_path"].dropna()
    clips = []
    for path in paths.iloc[:: max(1, len(paths) // n_clips)].iloc[:n_clips]:
        try:
            y = audio.load(path, sr=SR)
        except audio.AudioError:
            continue
        if len(y) >= _SHORTEST_TRIAL_S * SR:
            clips.append(y)
    return fingerprint.trial(clips, sr=SR)
