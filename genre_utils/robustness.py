"""Let the shipped network hear music it did not learn from, whole and damaged.

Three kinds of music: a data set's own clips, of the parts that were not trained on; short
excerpts of these; and a folder of music from elsewhere. Each is a study of its own, so
that what was predicted of music that is not at hand stays as it is.
"""

import time
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from genre_utils import (
    arrays,
    audio,
    bundle,
    damage,
    datasets,
    experiments,
    inference,
    project,
    shipping,
    tables_transfer,
    transfer,
)
from genre_utils.bundle import Bundle
from genre_utils.datasets import Dataset
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.project import Outputs, ProjectError

AS_IS = "as it is"
"""The input of clips that nothing was done to."""

WHOLE, EXCERPTS = "whole clips", "excerpts"
"""How the data set's own clips are called."""

SUMMED_UP = ("07_headlines", "07_distilled", "07_networks", "07_msd_convnet")
"""Studies that predicted music from elsewhere, too."""

_RECIPE = 1
_PROTOCOL = "fault_filtered"
_PARTS = {"test": "final", "valid": "valid"}
_PUBLISHED = "gtzan"
_DEMO_SYSTEM = "resnet_small_crops"  # learns something from forty clips in a quarter of a minute
_STUDIED = (_PUBLISHED, "gtzan-mini", "demo")
_CLIP_COLUMNS = ("track_id", "artist", "kind", "stage", "duration_s")
_COLUMNS = ("run_id", "dataset", "model", "input", "source", "protocol", "stage", "track_id")


@dataclass(frozen=True)
class Music:
    """Clips to be heard.

    Attributes
    ----------
    name : str
        `WHOLE`, `EXCERPTS`, or that of a folder.
    dataset : str
        Name of the data set that they are of.
    clips : pd.DataFrame
        ``track_id, genre, audio_path, duration_s, artist_id, kind, stage``: ``final`` (of
        the test part), ``valid`` or ``elsewhere``.
    left_out : dict of str to int
        Why clips were left out → how many.
    """

    name: str
    dataset: str
    clips: pd.DataFrame
    left_out: dict[str, int]


def run(
    dataset: Dataset,
    *,
    study: str,
    outputs: Outputs,
    elsewhere: str,
    excerpts: str = "",
    known_copies: list[str] | None = None,
    damages: list[str] | None = None,
    most_clips: int = 200,
    bundle_epochs: int | None = None,
) -> StudyResult:
    """Predict all music there is, each damage in turn.

    Parameters
    ----------
    dataset : Dataset
        GTZAN or the demo set, whose clips are heard that no network was trained on; or a
        folder of one's own, which then is the music from elsewhere.
    study : str
        Stored are ``<study>_clips``, ``<study>_excerpts`` and one study more, called
        after the folder.
    outputs : Outputs
        Where.
    elsewhere : str
        Folder of music from elsewhere, below the data folder or by its path; empty for
        none.
    excerpts : str
        Folder of short excerpts of the data set's clips; empty for none.
    known_copies : list of str, optional
        How the ids of tracks end that are also in the data learnt from; left out.
    damages : list of str, optional
        Names in `damage.DAMAGES`; all by default.
    most_clips : int
        Of more clips than this, as many are heard, evenly spread over the genres.
    bundle_epochs : int, optional
        How long the demo set's network is trained.

    Returns
    -------
    StudyResult
        ``input`` is the damage or `AS_IS`, ``source`` the music, ``stage`` the part that
        a clip belongs to. Music that is not at hand comes from what is stored, and is
        left out where nothing is. Damaged clips of a test part count as uses of it.

    Raises
    ------
    ProjectError
        If a damage is unknown, or there is no network to hear with.
    """
    chosen = damage.named(damages)
    names = _studies(dataset, elsewhere, study)
    stored = {name: Store(of_study, outputs) for name, of_study in names.items()}
    if project.from_predictions():
        return _joined([store.load_or_none() for store in stored.values()])
    shipped = network(dataset, outputs, epochs=bundle_epochs)
    limits = {"genres": shipped.genres, "most": most_clips}
    musics = {
        WHOLE: partial(own_clips, dataset, **limits),
        EXCERPTS: partial(own_excerpts, dataset, excerpts, **limits),
    }
    results = []
    for name, store in stored.items():
        # A folder of a user's may have the name of one of the two.
        own = musics.get(name) if dataset.name in _STUDIED else None
        make = own or partial(_elsewhere, dataset, elsewhere, known_copies, limits)
        music = make()
        if music is None or music.clips.empty:
            results.append(store.load_or_none())
            continue
        tasks = _tasks(music, shipped, chosen)
        results.append(store.run(tasks, impossible=pd.DataFrame(), desc=f"hearing {name}"))
    return _joined(results)


def studies(dataset: Dataset, elsewhere: str, *, study: str) -> list[str]:
    """Return the names that `run` stores its predictions under."""
    return list(_studies(dataset, elsewhere, study).values())


def _studies(dataset: Dataset, elsewhere: str, study: str) -> dict[str, str]:
    """Return music → name of its study."""
    if dataset.name not in _STUDIED:
        return {dataset.name: f"{study}_{dataset.name}"}
    found = {WHOLE: f"{study}_clips", EXCERPTS: f"{study}_excerpts"}
    if elsewhere:
        others = transfer.other_music(elsewhere)
        name = others.name if others else Path(elsewhere).name.lower()
        found[name] = f"{study}_{name}"
    return found


def network(dataset: Dataset, outputs: Outputs, *, epochs: int | None = None) -> Bundle:
    """Return the network that hears a data set: the shipped one, or the demo set's own.

    Parameters
    ----------
    dataset : Dataset
        The synthetic one gets a network of its own, which is kept in the cache.
    outputs : Outputs
        Where the predictions of that network's test part are stored.
    epochs : int, optional
        How long it is trained.
    """
    if not dataset.synthetic:
        return bundle.default()
    folder = project.cache_root() / "bundles" / f"{dataset.name}-{outputs.profile}"
    return shipping.ship(
        dataset, folder=folder, outputs=outputs, system=_DEMO_SYSTEM, epochs=epochs
    )


def at_home(heard: StudyResult, outputs: Outputs) -> pd.DataFrame:
    """Return what the network that was heard with says of the test part it was shipped for.

    Parameters
    ----------
    heard : StudyResult
        As `run` returns it.
    outputs : Outputs
        Where to look first; then among the published results.

    Returns
    -------
    pd.DataFrame
        Prediction rows of one run; none where they are not stored.
    """
    if len(heard.runs):
        for place in (outputs, Outputs(outputs.dataset), Outputs(_PUBLISHED)):
            stored = Store(shipping.STUDY, place).load_or_none()
            if stored is not None:
                rows = stored.predictions
                rows = rows[rows["run_id"] == heard.runs["bundle_run"].iloc[0]]
                if len(rows):
                    return rows
    return pd.DataFrame(columns=list(_COLUMNS))


def other_networks(outputs: Outputs) -> StudyResult:
    """Return what other notebooks stored of networks that also heard music from elsewhere.

    Parameters
    ----------
    outputs : Outputs
        Where to look.

    Returns
    -------
    StudyResult
        Rows of the fault-filtered test part and of the stage ``elsewhere``; of models
        that have both.
    """
    parts = [Store(name, outputs).load_or_none() for name in SUMMED_UP]
    found = _joined(parts)
    rows = found.predictions
    rows = rows[rows["stage"].isin(["final", "elsewhere"]) & rows["protocol"].eq(_PROTOCOL)]
    stages = rows.groupby("model")["stage"].nunique()
    both = stages.index[stages == 2]
    return StudyResult(rows[rows["model"].isin(both)], found.runs, found.impossible)


def clips(heard: StudyResult) -> pd.DataFrame:
    """Return facts on the clips that were heard, as they are stored with the predictions.

    Parameters
    ----------
    heard : StudyResult
        As `run` returns it.

    Returns
    -------
    pd.DataFrame
        ``source, track_id, artist`` (a number, NA if unknown), ``kind, stage,
        duration_s``.
    """
    tables = [
        pd.DataFrame(run["clips"], columns=list(_CLIP_COLUMNS)).assign(source=run["source"])
        for _, run in heard.runs.iterrows()
        if run["input"] == AS_IS
    ]
    if not tables:
        return pd.DataFrame(columns=["source", *_CLIP_COLUMNS])
    return pd.concat(tables, ignore_index=True)[["source", *_CLIP_COLUMNS]]


# ------------------------------------------------------------------ which clips


def own_clips(dataset: Dataset, *, genres: tuple[str, ...], most: int) -> Music | None:
    """Return the clips of a data set's validation and test part that have sound.

    Parameters
    ----------
    dataset : Dataset
        With the fault-filtered split.
    genres : tuple of str
        Those that the network knows.
    most : int
        As ``most_clips`` of `run`.
    """
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()]
    tracks = tracks.assign(stage=tracks["fault_filtered_split"].map(_PARTS), kind=None)
    return _music(WHOLE, dataset.name, tracks.dropna(subset="stage"), genres, most, {})


def own_excerpts(
    dataset: Dataset, folder: str, *, genres: tuple[str, ...], most: int
) -> Music | None:
    """Return short excerpts of a data set's validation and test tracks, or None.

    Parameters
    ----------
    dataset : Dataset
        Says which part each track belongs to.
    folder : str
        As ``excerpts`` of `run`; files are called as the data set's are.
    genres, most
        As in `own_clips`.
    """
    found = transfer.other_music(folder)
    if found is None:
        return None
    of_track = dataset.tracks.set_index("track_id").reindex(found.tracks["track_id"])
    tracks = found.tracks.assign(
        kind=None,
        stage=of_track["fault_filtered_split"].map(_PARTS).to_numpy(),
        artist_id=of_track["artist_id"].to_numpy(),
    )
    return _music(EXCERPTS, dataset.name, tracks.dropna(subset="stage"), genres, most, {})


def _elsewhere(
    dataset: Dataset, folder: str, known_copies: list[str] | None, limits: dict
) -> Music | None:
    found = transfer.other_music(folder) if dataset.name in _STUDIED else dataset
    if found is None:
        return None
    tracks = found.tracks[found.tracks["audio_path"].notna()].assign(stage="elsewhere")
    tracks["kind"] = datasets.kinds(found).reindex(tracks["track_id"]).to_numpy()
    endings = tuple(name.lower() for name in known_copies or [])
    copies = tracks["track_id"].str.lower().str.endswith(endings)
    left_out = {"in the data learnt from": int(copies.sum())}
    return _music(found.name, found.name, tracks[~copies], left_out=left_out, **limits)


def _music(name, dataset, tracks, genres, most, left_out) -> Music:
    known = tracks[tracks["genre"].isin(genres)].sort_values(["genre", "track_id"])
    kept = known.iloc[arrays.spread(len(known), most)]
    left_out = left_out | {
        "of a genre that it does not know": len(tracks) - len(known),
        "to save time": len(known) - len(kept),
    }
    columns = ["track_id", "genre", "audio_path", "duration_s", "artist_id", "kind", "stage"]
    return Music(name, dataset, kept[columns].reset_index(drop=True), left_out)


# ------------------------------------------------------------------ hearing them


def _tasks(music: Music, shipped: Bundle, damages: dict[str, damage.Damage]) -> list[Task]:
    files = [_digest(path) for path in music.clips["audio_path"]]
    tasks = []
    for name, done in {AS_IS: None, **damages}.items():
        changed = np.full(len(music.clips), True)
        if done is not None:
            # What cannot be opened is tried, so that its reason is noted.
            changed = ~(music.clips["duration_s"] <= done.longer_than_s).to_numpy()
        if not changed.any():
            continue
        clips = music.clips[changed]
        in_test = clips["stage"].eq("final").any()
        unit = Unit(
            model=shipped.name,
            input=name,
            source=music.name,
            segment_s=shipped.preprocessing.clip_s,
            protocol=_PROTOCOL,
            fold=0,
            seed=0,
            stage="final" if in_test else clips["stage"].iloc[0],
            input_digest=project.text_digest(*np.array(files)[changed]),
            split_digest=project.text_digest(*clips["track_id"], *clips["stage"]),
            recipe=f"{_RECIPE}.{_what_decides(shipped)}",
        )
        run = str(shipped.made_with.get("run", ""))
        tasks.append(Task(unit, _Work(unit, music, changed, shipped.folder, run)))
    return tasks


def _what_decides(shipped: Bundle) -> str:
    """Return a digest of what decides a network's answers: not of its card."""
    parts = (shipped.preprocessing.kind, f"{shipped.temperature:g}")
    return project.text_digest(shipped.network_digest, *parts)[:12]


def _digest(path: Path) -> str:
    try:
        return project.file_digest(path)
    except OSError:
        return "cannot be read"


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> Bundle:
    return bundle.load(folder)


@dataclass(frozen=True)
class _Work:
    """Do one thing to each clip and let the network hear it."""

    unit: Unit
    music: Music
    changed: np.ndarray
    folder: Path
    bundle_run: str

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        found, heard, failures, n_unlike = _loaded(self.folder), [], {}, 0
        clips = self.music.clips[self.changed]
        started = time.process_time()
        for clip in clips.itertuples():
            try:
                said = self._said(clip.audio_path, found)
            except audio.AudioError as error:
                failures[clip.track_id] = error.reason
                continue
            except ProjectError as error:
                failures[clip.track_id] = str(error)
                continue
            heard.append([said.probabilities[genre] for genre in found.genres])
            n_unlike += inference.UNLIKE in said.warnings
        items = clips[~clips["track_id"].isin(failures)].assign(segment_start_s=0.0)
        rows = experiments.prediction_rows(
            self.unit,
            np.array(heard).reshape(len(heard), len(found.genres)),
            items=items,
            genres=found.genres,
            dataset=self.music.dataset,
            n_train=0,
        )
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "bundle_run": self.bundle_run,
            "n_test": len(rows),
            "n_unlike": n_unlike,
            "failures": failures,
            "left_out": self.music.left_out,
            "cpu_s": round(time.process_time() - started, 1),
            "clips": self._facts() if self.unit.input == AS_IS else [],
        }
        return rows.assign(stage=items["stage"].to_numpy()), record

    def _said(self, path: Path, found: Bundle) -> inference.Prediction:
        sr = found.preprocessing.sr
        y = audio.load(path, sr=sr)
        if self.unit.input != AS_IS:
            y, sr = damage.DAMAGES[self.unit.input].apply(y, sr)
        return inference.predict(np.asarray(y), sr=sr, model=found)

    def _facts(self) -> list[dict]:
        """Return what tables need to know of the clips; artists are numbered, not named."""
        clips = self.music.clips
        number = pd.factorize(clips["artist_id"])[0]
        return [
            {
                "track_id": clip.track_id,
                "artist": None if artist < 0 else int(artist),
                "kind": None if pd.isna(clip.kind) else clip.kind,
                "stage": clip.stage,
                "duration_s": None if pd.isna(clip.duration_s) else round(clip.duration_s, 2),
            }
            for clip, artist in zip(clips.itertuples(), number, strict=True)
        ]


def _joined(results: list[StudyResult | None]) -> StudyResult:
    nothing = StudyResult(
        pd.DataFrame(columns=list(_COLUMNS)),
        pd.DataFrame(columns=["run_id", "model", "input", "source", "stage"]),
        pd.DataFrame(),
    )
    return tables_transfer.joined(nothing, *(found for found in results if found is not None))
