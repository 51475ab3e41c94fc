"""Fit a pretrained network to genres: a linear probe first, then all of it.

A probe leaves the network as it is and trains a linear classifier on its embeddings. Its
weights become the network's last layer before the rest is trained too, so that fine-tuning
starts from what the probe knows instead of disturbing the features [1]_. Both see only what
they are given: a training part, and a validation part where there is one.

References
----------
.. [1] Kumar, Raghunathan, Jones, Ma & Liang, "Fine-tuning can distort pretrained features
   and underperform out-of-distribution", ICLR 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.pipeline import Pipeline
from torch import Tensor

from genre_utils import splits, training, tuning
from genre_utils.models.classical import CLASSICAL
from genre_utils.models.pretrained import PretrainedNetwork
from genre_utils.project import ProjectError
from genre_utils.training import Recipe

RECIPE = Recipe(
    epochs=8, batch_size=8, learning_rate=3e-5, weight_decay=0.01, label_smoothing=0.1, patience=3
)
"""How all of a network is trained: for a short time, with small steps."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear classifier on the embeddings of a network that stays as it is.

    Attributes
    ----------
    genres : tuple of str
        The genre of each class.
    estimator : sklearn.pipeline.Pipeline
        Scaler and logistic regression, trained.
    search : tuning.Search
        How its regularisation was chosen, inside the training part.
    """

    genres: tuple[str, ...]
    estimator: Pipeline
    search: tuning.Search

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the probability of each genre [shape=(n, n_genres), dtype=float32].

        Parameters
        ----------
        X : np.ndarray [shape=(n, d)]
            Embeddings.
        """
        return self.estimator.predict_proba(X).astype(np.float32)

    def head(self) -> tuple[Tensor, Tensor]:
        """Return the same classifier as weight [shape=(n_genres, d)] and bias of one layer."""
        scale, classify = self.estimator["scale"], self.estimator["classify"]
        coefficients, intercept = classify.coef_, classify.intercept_
        if len(self.genres) == 2:  # scikit-learn keeps one logit, the second class's
            coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
            intercept = np.append(0.0, intercept)
        weight = coefficients / scale.scale_
        bias = intercept - weight @ scale.mean_
        return torch.from_numpy(weight).float(), torch.from_numpy(bias).float()


def probe(
    X: np.ndarray, tracks: pd.DataFrame, *, genres: Sequence[str], n_folds: int = 3, seed: int = 0
) -> Probe:
    """Train a linear probe, its regularisation chosen with artists kept whole.

    Parameters
    ----------
    X : np.ndarray [shape=(n_tracks, d)]
        Embeddings of the training part, and of nothing else.
    tracks : pd.DataFrame
        One row a row of `X`: ``track_id``, ``genre``, and ``artist_id`` where known.
    genres : sequence of str
        The genre of each class.
    n_folds : int
        Folds inside the training part; see `splits.inner_folds`.
    seed : int
        Decides the folds.

    Raises
    ------
    ProjectError
        If there is not one row of `X` a track, or if the tracks' genres are not `genres`.
    splits.SplitError
        If the training part is too small to be parted.
    """
    genres = tuple(genres)
    if len(X) != len(tracks) or set(tracks["genre"]) != set(genres):
        raise ProjectError(
            f"{len(X)} embeddings for {len(tracks)} tracks of {sorted(set(tracks['genre']))}; "
            f"expected one a track, and tracks of each of {sorted(genres)}"
        )
    y = pd.Index(genres).get_indexer(tracks["genre"])
    folds = splits.inner_folds(tracks, np.arange(len(y)), n_folds=n_folds, seed=seed)
    model = CLASSICAL["logistic"]
    n_settings = len(model.grid["C"])
    search = tuning.search(model, X, y, folds, method="grid", n_trials=n_settings, seed=seed)
    estimator = model.estimator(seed=seed, **search.parameters).fit(X, y)
    return Probe(genres, estimator, search)


def finetune(
    pretrained: PretrainedNetwork,
    train: tuple[np.ndarray, np.ndarray],
    *,
    valid: tuple[np.ndarray, np.ndarray] | None = None,
    start: Probe | None = None,
    recipe: Recipe = RECIPE,
    augment: training.Augment | None = None,
    checkpoint: Path | None = None,
    machine: training.Machine | None = None,
) -> training.Fit:
    """Train all of a pretrained network, in place.

    Parameters
    ----------
    pretrained : PretrainedNetwork
        The network.
    train, valid : tuple of np.ndarray
        Rows as `PretrainedNetwork.rows` makes them, and the number of each row's genre.
    start : Probe, optional
        Becomes the network's last layer before the training; without it that layer stays
        as it is, zero in a new network.
    recipe : Recipe
        How to train.
    augment, checkpoint, machine
        As in `training.fit`.

    Returns
    -------
    training.Fit
        How the training went.

    Raises
    ------
    ProjectError
        If `start` is a probe of other genres.
    training.TrainingError
        As `training.fit`.
    """
    if start is not None:
        if start.genres != pretrained.genres:
            raise ProjectError(
                f"the probe is one of {start.genres}; expected the network's genres, "
                f"{pretrained.genres}, in this order"
            )
        pretrained.network.set_head(*start.head())
    return training.fit(
        pretrained.network,
        train,
        valid=valid,
        recipe=recipe,
        augment=augment,
        checkpoint=checkpoint,
        machine=machine,
        desc=f"fine-tuning {pretrained.source.title}",
    )
