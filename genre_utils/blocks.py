"""What is known of each track, in blocks of numbers that classical models can join.

A block function is called as ``block(music, learnt_from)``: it describes the tracks of
`music`, and whatever has to be measured first (which pictures, which statistics of a
normalisation) is measured on the training part of `learnt_from`. For the data set that is
learnt from, both are the same.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from genre_utils import contamination, deep, features, inputs, project, representations, texture
from genre_utils.datasets import Dataset
from genre_utils.models import msd_convnet as convnet
from genre_utils.project import ProjectError

_CONVNET_RECIPE = "1"
_SMALLEST = 1e-4


def _by_hand(music: Dataset, learnt_from: Dataset, *, segment_s: float) -> pd.DataFrame:
    """Return the 57 features; over several segments, their means and deviations."""
    table = features.table(music, segment_s=segment_s)
    frame = pd.DataFrame(table.X, columns=list(table.names))
    tracks = frame.groupby(table.items["track_id"].to_numpy())
    if segment_s >= inputs.CLIP_S:
        return tracks.first()
    return tracks.mean().join(tracks.std(ddof=0).add_suffix("_spread"))


def _mfcc(x: np.ndarray) -> np.ndarray:
    """Return statistics of cepstra and of their changes."""
    changes = np.abs(np.diff(x.astype(np.int16), axis=-1))
    return np.hstack([deep.mfcc_statistics(x), deep.mfcc_statistics(changes)])


def _texture(x: np.ndarray, *, describe: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """Return what `texture` says of spectrograms, a hundred at a time."""
    return torch.cat([describe(part[:, 0]) for part in torch.from_numpy(x).split(100)]).numpy()


def _of_spectrograms(
    music: Dataset, learnt_from: Dataset, *, describe: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """Return numbers read off the spectrograms that networks read, too."""
    data = inputs.load(learnt_from, "spectrogram")
    if music is not learnt_from:
        data = inputs.like(music, data)
    return pd.DataFrame(describe(data.x), index=data.items["track_id"].to_numpy())


def _taggrams(music: Dataset, learnt_from: Dataset, *, statistics: Sequence[str]) -> pd.DataFrame:
    """Return statistics of the 50 tags' scores, as published for GTZAN's tracks."""
    found = representations.taggrams(statistics=statistics, root=music.root)
    return pd.DataFrame(found.X, index=list(found.track_ids))


def _tag_log_odds(music: Dataset, learnt_from: Dataset) -> pd.DataFrame:
    """Return mean and deviation of the tags' log-odds, where rare tags count like common ones."""
    rows = {}
    for track, scores in representations.taggram_series(root=music.root).items():
        scores = scores.clip(_SMALLEST, 1 - _SMALLEST)
        log_odds = np.log(scores / (1 - scores))
        rows[track] = np.concatenate([log_odds.mean(axis=0), log_odds.std(axis=0)])
    return pd.DataFrame.from_dict(rows, orient="index")


def _convnet(music: Dataset, learnt_from: Dataset) -> pd.DataFrame:
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
    X = _kept(project.cache_root() / "msd_convnet" / "embeddings" / f"{key}.npy", embedded)
    return pd.DataFrame(X, index=list(found.track_ids), columns=list(network.names))


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
        raise ProjectError("a network that heard real music is not asked about made-up sounds")
    network = convnet.load()
    columns = learnt_from.tracks[["audio_path", "image_path"]].notna().sum()
    source = "audio" if columns["audio_path"] >= columns["image_path"] else "picture"
    read = _sounds if source == "audio" else _pictures
    track_ids, digest, power = read(music, network)
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


def _kept(file, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array from the cache; compute it where it is not there."""
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        X = compute()
    buffer = io.BytesIO()
    np.save(buffer, X)
    project.write_atomic(file, buffer.getvalue())
    return X


BLOCKS: dict[str, Callable[[Dataset, Dataset], pd.DataFrame]] = {
    "57 features, 30 s": partial(_by_hand, segment_s=30.0),
    "57 features, 10 s": partial(_by_hand, segment_s=10.0),
    "MFCC statistics": partial(_of_spectrograms, describe=_mfcc),
    **{
        name: partial(_of_spectrograms, describe=partial(_texture, describe=describe))
        for name, describe in {
            "band levels": texture.levels,
            "modulation": texture.modulation,
            "correlation of bands": texture.correlation,
            "covariance of bands": texture.covariance,
        }.items()
    },
    "taggrams": partial(_taggrams, statistics=("mean", "std")),
    "tag percentiles": partial(_taggrams, statistics=("p10", "p50", "p90")),
    "tag log-odds": _tag_log_odds,
    "MSD convnet": _convnet,
}
"""Name → function that returns one row of numbers a track; see the top of this module."""
