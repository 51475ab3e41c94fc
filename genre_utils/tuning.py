"""Choose hyperparameters inside a training part, by grid search and by Bayesian optimisation."""

import time
from dataclasses import asdict, dataclass

import numpy as np
import optuna
from sklearn.model_selection import ParameterGrid, cross_val_score

from genre_utils import arrays
from genre_utils.models.classical import ClassicalModel, Range

RECIPE = 1
"""Raised whenever a change here makes stored predictions out of date."""

METHODS = ("grid", "bayes")
"""``grid``: every point of a grid; ``bayes``: the tree-structured Parzen estimator [1]_.

.. [1] Bergstra, Bardenet, Bengio & Kégl, "Algorithms for hyper-parameter
   optimization", NeurIPS 2011.
"""

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Search:
    """What one search found and what it cost.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    parameters : dict
        The best hyperparameters found.
    score : float
        Their accuracy on the inner folds, averaged over the folds; in [0, 1].
    n_trials : int
        How many settings were tried.
    cpu_s : float
        Processor time in seconds.
    """

    method: str
    parameters: dict
    score: float
    n_trials: int
    cpu_s: float

    def record(self) -> dict:
        """Return this search as plain values for a table."""
        return asdict(self)


def inner_accuracy(
    model: ClassicalModel,
    parameters: dict,
    X: np.ndarray,
    y: np.ndarray,
    folds: Folds,
    *,
    seed: int,
) -> float:
    """Return a setting's accuracy on folds inside the training part.

    Parameters
    ----------
    model : ClassicalModel
        What is trained.
    parameters : dict
        Its hyperparameters.
    X : np.ndarray [shape=(n_train, n_features)]
        Features of the training part, and of nothing else.
    y : np.ndarray [shape=(n_train,)]
        Their classes as integers.
    folds : list of (fit, score) positions
        Positions into `X`.
    seed : int
        Seed of the training.

    Returns
    -------
    float
        Mean over the folds, in [0, 1].
    """
    estimator = model.estimator(seed=seed, **parameters)
    return float(cross_val_score(estimator, X, y, cv=folds, scoring="accuracy").mean())


def search(
    model: ClassicalModel,
    X: np.ndarray,
    y: np.ndarray,
    folds: Folds,
    *,
    method: str,
    n_trials: int,
    seed: int,
) -> Search:
    """Search the hyperparameters of a model inside its training part.

    Parameters
    ----------
    model : ClassicalModel
        A model with something to tune.
    X : np.ndarray [shape=(n_train, n_features)]
        Features of the training part, and of nothing else.
    y : np.ndarray [shape=(n_train,)]
        Their classes as integers.
    folds : list of (fit, score) positions
        Positions into `X`; no artist on both sides of a pair.
    method : {'grid', 'bayes'}
        How the settings are picked.
    n_trials : int
        Upper limit of settings tried. A larger grid is thinned out evenly; Bayesian
        optimisation tries as many as the (thinned) grid has, so that both cost alike.
    seed : int
        Seed of the search and of the training.

    Returns
    -------
    Search

    Raises
    ------
    ValueError
        If `method` is unknown or `n_trials` is less than 1.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {METHODS}")
    if n_trials < 1:
        raise ValueError(f"n_trials is {n_trials}; expected at least 1")
    started = time.process_time()
    model = model.feasible(min(len(fit) for fit, _ in folds))
    settings = list(ParameterGrid(model.grid))
    settings = [settings[i] for i in arrays.spread(len(settings), n_trials)]
    if method == "grid":
        scores = [inner_accuracy(model, s, X, y, folds, seed=seed) for s in settings]
        best = int(np.argmax(scores))
        parameters, score = settings[best], scores[best]
    else:
        parameters, score = _bayes(model, X, y, folds, n_trials=len(settings), seed=seed)
    return Search(method, parameters, score, len(settings), time.process_time() - started)


def _bayes(model, X, y, folds, *, n_trials, seed):
    def objective(trial: optuna.Trial) -> float:
        parameters = {name: _draw(trial, name, space) for name, space in model.space.items()}
        trial.set_user_attr("parameters", parameters)
        return inner_accuracy(model, parameters, X, y, folds, seed=seed)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(3, n_trials // 3))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=n_trials)
    return study.best_trial.user_attrs["parameters"], study.best_value


def _draw(trial: optuna.Trial, name: str, space: Range | tuple):
    if isinstance(space, Range):
        return trial.suggest_float(name, space.low, space.high, log=True)
    # Optuna stores choices as plain values only, so it chooses a position.
    return space[trial.suggest_categorical(name, range(len(space)))]
