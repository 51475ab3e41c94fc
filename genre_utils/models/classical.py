"""Classical classifiers on tabular features, with what may be tuned about each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from genre_utils.project import ProjectError


@dataclass(frozen=True)
class Range:
    """A continuous range of a hyperparameter, searched on a logarithmic scale."""

    low: float
    high: float


Space = dict[str, Range | tuple]


@dataclass(frozen=True)
class ClassicalModel:
    """A classifier and what may be tuned about it.

    Attributes
    ----------
    name : str
        Short name, as it stands in tables.
    title : str
        Name for readers.
    build : callable
        ``build(seed, **hyperparameters)`` returns an untrained scikit-learn estimator.
    grid : dict of str to tuple
        The values that grid search tries; empty for a model that is not tuned.
    space : dict of str to Range or tuple
        What Bayesian optimisation draws from: a range, or a tuple of choices.
    bounded : tuple of str
        Hyperparameters that cannot be larger than the number of training items.
    recipe : int
        Raised whenever a change here makes stored predictions out of date.
    """

    name: str
    title: str
    build: Callable[..., BaseEstimator]
    grid: dict[str, tuple] = field(default_factory=dict)
    space: Space = field(default_factory=dict)
    bounded: tuple[str, ...] = ()
    recipe: int = 1

    @property
    def tuned(self) -> bool:
        """Whether this model has hyperparameters to choose."""
        return bool(self.grid)

    def feasible(self, n_train: int) -> "ClassicalModel":
        """Return the same model, to be tuned on `n_train` items only.

        Parameters
        ----------
        n_train : int
            Size of the smallest part that a setting is going to be trained on.
        """

        def within(choices: dict) -> dict:
            bounded = {
                name: tuple(value for value in choices[name] if value <= n_train)
                for name in self.bounded
            }
            return choices | bounded

        return replace(self, grid=within(self.grid), space=within(self.space))

    def estimator(self, *, seed: int, **hyperparameters) -> Pipeline:
        """Return the untrained classifier behind a scaler fitted with it.

        Parameters
        ----------
        seed : int
            Seed of everything random in training.
        **hyperparameters
            Values for names in `grid` and `space`.
        """
        return Pipeline(
            [("scale", StandardScaler()), ("classify", self.build(seed, **hyperparameters))]
        )


def _nearest_neighbours(_seed, *, n_neighbors=1, weights="uniform", p=2):
    return KNeighborsClassifier(n_neighbors=n_neighbors, weights=weights, p=p)


def _svm(seed, *, C=10.0, gamma="scale"):  # noqa: N803 - the field's name for it
    # break_ties makes predict() the argmax of the decision values, which is all we store.
    return SVC(C=C, gamma=gamma, break_ties=True, random_state=seed)


def _logistic(seed, *, C=1.0):  # noqa: N803
    return LogisticRegression(C=C, max_iter=2000, random_state=seed)


def _tree(seed, *, max_depth=None, min_samples_leaf=1):
    return DecisionTreeClassifier(
        max_depth=max_depth, min_samples_leaf=min_samples_leaf, random_state=seed
    )


def _forest(seed, *, max_features="sqrt", min_samples_leaf=1):
    return RandomForestClassifier(
        n_estimators=200,
        max_features=max_features,
        min_samples_leaf=min_samples_leaf,
        random_state=seed,
        n_jobs=1,
    )


def _xgboost(seed, *, max_depth=4, learning_rate=0.1, colsample_bytree=0.5, subsample=0.8):
    return XGBClassifier(
        n_estimators=150,
        max_depth=max_depth,
        learning_rate=learning_rate,
        colsample_bytree=colsample_bytree,
        subsample=subsample,
        max_bin=64,
        tree_method="hist",
        random_state=seed,
        n_jobs=1,
    )


def _two_layer_network(seed, *, hidden=(128, 64), alpha=1e-2, learning_rate_init=1e-3):
    return MLPClassifier(
        hidden_layer_sizes=tuple(hidden),
        activation="relu",
        alpha=alpha,
        learning_rate_init=learning_rate_init,
        max_iter=60,
        batch_size=64,
        random_state=seed,
    )


CLASSICAL: dict[str, ClassicalModel] = {
    model.name: model
    for model in (
        ClassicalModel("knn_1", "1-nearest neighbour (untuned)", _nearest_neighbours),
        ClassicalModel(
            "knn",
            "k-nearest neighbours",
            _nearest_neighbours,
            grid={"n_neighbors": (1, 3, 5, 9, 15, 25, 35, 55), "weights": ("uniform", "distance")},
            space={
                "n_neighbors": tuple(range(1, 56, 2)),
                "weights": ("uniform", "distance"),
                "p": (1, 2),
            },
            bounded=("n_neighbors",),
        ),
        ClassicalModel("svm_c10", "SVM, C = 10 (untuned)", _svm),
        ClassicalModel(
            "svm",
            "SVM",
            _svm,
            grid={"C": (0.1, 1.0, 10.0, 100.0), "gamma": (0.001, 0.003, 0.01, 0.03, 0.1)},
            space={"C": Range(0.1, 100.0), "gamma": Range(0.001, 0.1)},
        ),
        ClassicalModel(
            "logistic",
            "logistic regression",
            _logistic,
            grid={"C": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)},
            space={"C": Range(0.001, 100.0)},
        ),
        ClassicalModel(
            "tree",
            "decision tree",
            _tree,
            grid={"max_depth": (4, 6, 8, 12, None), "min_samples_leaf": (1, 3, 5, 10)},
            space={
                "max_depth": (*range(3, 16), None),
                "min_samples_leaf": tuple(range(1, 16)),
            },
        ),
        ClassicalModel(
            "forest",
            "random forest",
            _forest,
            grid={"max_features": (0.05, "sqrt", 0.3), "min_samples_leaf": (1, 2, 4)},
            space={"max_features": Range(0.03, 0.4), "min_samples_leaf": tuple(range(1, 7))},
        ),
        ClassicalModel(
            "xgboost",
            "XGBoost",
            _xgboost,
            grid={"max_depth": (2, 4, 6), "learning_rate": (0.1, 0.3), "subsample": (0.5, 0.8)},
            space={
                "max_depth": (2, 3, 4, 5, 6),
                "learning_rate": Range(0.03, 0.3),
                "colsample_bytree": Range(0.2, 1.0),
                "subsample": Range(0.5, 1.0),
            },
        ),
        ClassicalModel(
            "mlp",
            "two-layer network (ReLU)",
            _two_layer_network,
            grid={"hidden": ((64, 32), (128, 64), (256, 128)), "alpha": (0.001, 0.1, 1.0)},
            space={
                "hidden": ((32, 16), (64, 32), (128, 64), (256, 128)),
                "alpha": Range(1e-4, 3.0),
                "learning_rate_init": Range(3e-4, 5e-3),
            },
        ),
    )
}
"""The classical models of this study by name, in the order of the tables."""


def named(names: list[str]) -> list[ClassicalModel]:
    """Return models by their names.

    Raises
    ------
    ProjectError
        If there is no model of a name; lists the names there are.
    """
    unknown = [name for name in names if name not in CLASSICAL]
    if unknown:
        raise ProjectError(f"unknown model {unknown[0]!r}; expected one of {', '.join(CLASSICAL)}")
    return [CLASSICAL[name] for name in names]
