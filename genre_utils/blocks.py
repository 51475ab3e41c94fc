"""What is known of each track, in blocks of numbers that classical models can join.

A block function is called as ``block(music, learnt_from)``: it describes the tracks of
`music`, and whatever has to be measured first (which pictures, which statistics of a
normalisation) is measured on the training part of `learnt_from`. For the data set that is
learnt from, both are the same.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
import torch

from genre_utils import (
    arrays,
    contamination,
    deep,
    features,
    images,
    inputs,
    picture_scale,
    progress,
    project,
    representations,
    texture,
)
from genre_utils.datasets import Dataset
from genre_utils.models import msd_convnet as convnet
from genre_utils.models import musicnn
from genre_utils.project import ProjectError

_CONVNET_RECIPE = "1"
_TEXTURE_RECIPE = "1"
_SMALLEST = 1e-4
_MADE_UP = "a network that heard real music is not asked about made-up sounds"


@dataclass(frozen=True, eq=False)
class Block:
    """Numbers about tracks, and what they were made of.

    Attributes
    ----------
    frame : pd.DataFrame
        One row a track, indexed by ``track_id``.
    digest : str
        Of what the numbers were made of, and how. Not of the numbers: their last digits
        depend on the processor, and runs are found by this digest on any.
    """

    frame: pd.DataFrame
    digest: str


def _by_hand(music: Dataset, learnt_from: Dataset, *, segment_s: float) -> Block:
    """Return the 57 features; over several segments, their means and deviations."""
    table = features.table(music, segment_s=segment_s)
    frame = pd.DataFrame(table.X, columns=list(table.names))
    tracks = frame.groupby(table.items["track_id"].to_numpy())
    if segment_s >= inputs.CLIP_S:
        return Block(tracks.first(), table.digest)
    return Block(tracks.mean().join(tracks.std(ddof=0).add_suffix("_spread")), table.digest)


def _mfcc(x: np.ndarray) -> np.ndarray:
    """Return statistics of cepstra and of their changes."""
    changes = np.abs(np.diff(x.astype(np.int16), axis=-1))
    return np.hstack([deep.mfcc_statistics(x), deep.mfcc_statistics(changes)])


def _texture(x: np.ndarray, *, describe: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """Return what `texture` says of spectrograms, a hundred at a time."""
    return torch.cat([describe(part[:, 0]) for part in torch.from_numpy(x).split(100)]).numpy()


@lru_cache(maxsize=2)
def _spectrograms(music: Dataset, learnt_from: Dataset) -> inputs.Input:
    """Return the spectrograms that networks read, too; several blocks in a row want them."""
    data = inputs.load(learnt_from, "spectrogram")
    return data if music is learnt_from else inputs.like(music, data)


@lru_cache(maxsize=2)
def _scales(music: Dataset, source: str) -> pd.DataFrame:
    return picture_scale.of_dataset(music, source=source)


def _with_scales(
    music: Dataset, data: inputs.Input, source: str
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the pictures whose levels' meaning is known, and that, by track."""
    scales = _scales(music, source)
    known = data.items["track_id"].isin(scales.index).to_numpy()
    if not known.any():
        raise ProjectError(f"{music.title}: what its pictures' levels stand for is unknown")
    return data.x[known], scales.loc[data.items["track_id"][known]]


def _of_spectrograms(
    music: Dataset, learnt_from: Dataset, *, name: str, describe: Callable[[np.ndarray], np.ndarray]
) -> Block:
    """Return numbers read off the spectrograms."""
    data = _spectrograms(music, learnt_from)
    frame = pd.DataFrame(describe(data.x), index=data.items["track_id"].to_numpy())
    return Block(frame, project.text_digest(name, _TEXTURE_RECIPE, data.digest))


def _in_decibels(
    music: Dataset, learnt_from: Dataset, *, name: str, describe: Callable[[np.ndarray], np.ndarray]
) -> Block:
    """Return the same of spectrograms whose levels are decibels, equal for all tracks."""
    data = _spectrograms(music, learnt_from)
    x, scales = _with_scales(music, data, source=data.source)
    range_db, peak_db = scales.to_numpy(np.float32).T[:, :, None, None, None]
    frame = pd.DataFrame(
        describe((x.astype(np.float32) / 255 - 1) * range_db + peak_db), index=scales.index
    )
    recipe = (name, _TEXTURE_RECIPE, str(picture_scale.RECIPES[data.source]), "dB")
    return Block(frame, project.text_digest(*recipe, data.digest, *scales.index))


def _taggrams(
    music: Dataset, learnt_from: Dataset, *, name: str, describe: Callable[[np.ndarray], np.ndarray]
) -> Block:
    """Return what `describe` says of the 50 tags' scores over time [shape=(n_moments, 50)].

    The published ones, where they are there; else the network's own, of sound.
    """
    if learnt_from.synthetic:
        raise ProjectError(_MADE_UP)
    try:
        series = representations.taggram_series(root=music.root)
        digest = project.text_digest(*(_array_digest(scores) for scores in series.values()))
    except representations.RepresentationError as missing:
        if music.tracks["audio_path"].isna().all():
            raise missing
        heard = musicnn_of_sound(music)
        series = {track: heard.load(track) for track in heard.files}
        digest = music.sound_digest(heard.files, musicnn.WEIGHTS_SHA256, str(musicnn.RECIPE))
    rows = {track: describe(scores) for track, scores in series.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    return Block(frame, project.text_digest(name, digest, *rows))


def _array_digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, "<f4").tobytes()).hexdigest()


def musicnn_of_sound(music: Dataset) -> features.Series:
    """Return the taggrams of all tracks with sound, kept in the cache.

    Raises
    ------
    WeightsError
        If the network's weights are not here.
    """
    _musicnn()
    return features.each_clip(music, name=f"musicnn {musicnn.RECIPE}", function=_taggram)


def _taggram(y: np.ndarray) -> np.ndarray:
    torch.set_num_threads(1)
    return musicnn.taggram(_musicnn(), y, sr=features.SR)


@lru_cache(maxsize=1)
def _musicnn() -> musicnn.Musicnn:
    return musicnn.load()


def _log_odds(scores: np.ndarray) -> np.ndarray:
    """Return log-odds, in which rare tags count like common ones."""
    scores = scores.clip(_SMALLEST, 1 - _SMALLEST)
    return np.log(scores / (1 - scores))


def _mean_and_spread(scores: np.ndarray) -> np.ndarray:
    return np.concatenate([scores.mean(axis=0), scores.std(axis=0)])


def _percentiles(scores: np.ndarray) -> np.ndarray:
    return np.percentile(scores, [10, 50, 90], axis=0).ravel()


def _musicnn_layer(music: Dataset, learnt_from: Dataset, *, layer: str) -> Block:
    """Return what a layer of MSD_musicnn says of each track's pictures, averaged over time.

    The pictures are the data set's own, or drawn from its sound.
    """
    if learnt_from.synthetic:
        raise ProjectError(_MADE_UP)
    network = _musicnn()
    data = inputs.load(music, "picture")
    pictures, scales = _with_scales(music, data, source="picture")
    recipe = f"{musicnn.RECIPE}.{picture_scale.RECIPES['picture']}"
    digest = project.text_digest(musicnn.WEIGHTS_SHA256, recipe, data.digest, *scales.index)

    def described() -> np.ndarray:
        rows = []
        both = zip(pictures[:, 0], scales.itertuples(index=False), strict=True)
        for picture, scale in progress.track(both, total=len(scales), desc="MSD_musicnn"):
            S = musicnn.of_picture(images.gtzan_levels(picture), **scale._asdict())
            found = musicnn.described(network, musicnn.windows(S, step=musicnn.WINDOW))
            rows.append(np.concatenate([found[name].mean(axis=0) for name in musicnn.LAYERS]))
        return np.array(rows)

    X = arrays.kept(project.cache_root() / "musicnn" / "pictures" / f"{digest}.npy", described)
    widths = musicnn.layer_widths()
    start = sum(widths[name] for name in musicnn.LAYERS[: musicnn.LAYERS.index(layer)])
    X = X[:, start : start + widths[layer]]
    return Block(pd.DataFrame(X, index=scales.index), project.text_digest(digest, layer))


def _convnet(music: Dataset, learnt_from: Dataset) -> Block:
    """Return 160 features of the MSD convnet, normalised by the training part's statistics."""
    found = heard_by_convnet(music, learnt_from)
    first = found if music is learnt_from else heard_by_convnet(learnt_from, learnt_from)
    network = found.network

    def embedded() -> np.ndarray:
        statistics = first.statistics()
        return np.concatenate(
            [convnet.embed(network, found.power([track]), statistics) for track in found.track_ids]
        )

    key = project.text_digest(
        _CONVNET_RECIPE, network.weights.digest, found.digest, first.digest, *first.train
    )
    X = arrays.kept(project.cache_root() / "msd_convnet" / "embeddings" / f"{key}.npy", embedded)
    return Block(pd.DataFrame(X, index=list(found.track_ids), columns=list(network.names)), key)


@dataclass(frozen=True)
class Heard:
    """What the MSD convnet hears, or sees, of a data set.

    Attributes
    ----------
    network : MsdConvnet
        With its published weights.
    track_ids : tuple of str
        Tracks that could be read.
    power : callable
        Gives the powers in mel bands of some tracks.
    digest : str
        Of tracks, and of what they were read from.
    source : {'audio', 'picture'}
        What they were read from.
    train, test : tuple of str
        Those of the fault-filtered parts.
    """

    network: convnet.MsdConvnet
    track_ids: tuple[str, ...]
    power: Callable[[Sequence[str]], list[np.ndarray]]
    digest: str
    source: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def statistics(self) -> convnet.Statistics:
        """Measure the statistics of the normalisation on the training part."""
        return convnet.measure(
            self.network, self.power(self.train), train=self.train, test=self.test
        )


def heard_by_convnet(music: Dataset, learnt_from: Dataset) -> Heard:
    """Return what the MSD convnet hears of a data set.

    Sound, where as many of the tracks learnt from have it as have pictures; else pictures,
    as `contamination.picture_power` reads them: the data set's own, or drawn from its sound.

    Parameters
    ----------
    music : Dataset
        What is to be described.
    learnt_from : Dataset
        Decides between sound and pictures.

    Raises
    ------
    ProjectError
        If the data are made up, the weights are not here, or no track can be read.
    """
    if learnt_from.synthetic:
        raise ProjectError(_MADE_UP)
    network = convnet.load()
    columns = learnt_from.tracks[["audio_path", "image_path"]].notna().sum()
    source = "audio" if columns["audio_path"] >= columns["image_path"] else "picture"
    read = _sounds if source == "audio" else _pictures
    track_ids, digest, power = read(music, network)
    if not track_ids:
        raise ProjectError(f"{music.title}: no track can be read; make 01 says what is wrong")
    parts = music.tracks.set_index("track_id")["fault_filtered_split"].reindex(track_ids)
    return Heard(
        network,
        track_ids,
        power,
        project.text_digest(source, digest),
        source,
        tuple(parts.index[parts.eq("train")]),
        tuple(parts.index[parts.eq("test")]),
    )


def _sounds(music: Dataset, network: convnet.MsdConvnet):
    """Return tracks with sound, a digest of them, and what gives their powers."""
    paths = music.tracks.set_index("track_id")["audio_path"].dropna()
    clips = convnet.clips(network, paths.to_dict())
    ids = tuple(sorted(clips.files))
    digest = project.text_digest(*(part for track in ids for part in (track, clips.digests[track])))
    return ids, digest, clips.power


def _pictures(music: Dataset, network: convnet.MsdConvnet):
    """Return the same from pictures: the data set's own, or drawn from its sound."""
    data = inputs.load(music, "picture")
    ids = tuple(data.items["track_id"])
    position = {track: at for at, track in enumerate(ids)}

    def power(tracks: Sequence[str]) -> list[np.ndarray]:
        return [
            contamination.picture_power(data.x[position[track], 0], network.weights)[None]
            for track in tracks
        ]

    return ids, data.digest, power


_TEXTURES = {
    "band levels": texture.levels,
    "modulation": texture.modulation,
    "correlation of bands": texture.correlation,
    "covariance of bands": texture.covariance,
}

_TAG_STATISTICS = {
    "taggrams": _mean_and_spread,
    "tag percentiles": _percentiles,
    "tag log-odds": lambda scores: _mean_and_spread(_log_odds(scores)),
    "tag log-odds percentiles": lambda scores: _percentiles(_log_odds(scores)),
}

BLOCKS: dict[str, Callable[[Dataset, Dataset], Block]] = {
    "57 features, 30 s": partial(_by_hand, segment_s=30.0),
    "57 features, 10 s": partial(_by_hand, segment_s=10.0),
    "MFCC statistics": partial(_of_spectrograms, name="MFCC statistics", describe=_mfcc),
    **{
        name: partial(_of_spectrograms, name=name, describe=partial(_texture, describe=describe))
        for name, describe in _TEXTURES.items()
    },
    **{
        f"{name}, dB": partial(
            _in_decibels, name=name, describe=partial(_texture, describe=describe)
        )
        for name, describe in _TEXTURES.items()
    },
    **{
        name: partial(_taggrams, name=name, describe=describe)
        for name, describe in _TAG_STATISTICS.items()
    },
    "MSD convnet": _convnet,
    **{f"musicnn {layer}": partial(_musicnn_layer, layer=layer) for layer in musicnn.LAYERS},
}
"""Name → function that returns a `Block`; see the top of this module."""
