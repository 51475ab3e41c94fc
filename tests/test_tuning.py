import numpy as np
import pytest

from genre_utils import tuning
from genre_utils.models.classical import CLASSICAL


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 12)
    X = rng.normal(size=(36, 6)) + y[:, None]
    part = np.arange(36) % 3
    folds = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(3)]
    return X, y, folds


def search(problem, name="svm", method="grid", n_trials=4, seed=0):
    return tuning.search(CLASSICAL[name], *problem, method=method, n_trials=n_trials, seed=seed)


@pytest.mark.parametrize("method", tuning.METHODS)
@pytest.mark.parametrize("name", [m.name for m in CLASSICAL.values() if m.tuned])
def test_every_model_is_tuned_by_both_searches(problem, name, method):
    found = search(problem, name, method, n_trials=2)
    assert set(found.parameters) <= set(CLASSICAL[name].space) | set(CLASSICAL[name].grid)
    assert found.n_trials == 2 and 0 <= found.score <= 1 and found.cpu_s > 0
    model = CLASSICAL[name].estimator(seed=0, **found.parameters)
    again = tuning.inner_accuracy(CLASSICAL[name], found.parameters, *problem, seed=0)
    assert again == pytest.approx(found.score)
    assert model.fit(problem[0], problem[1]).score(problem[0], problem[1]) > 0.3


@pytest.mark.parametrize("method", tuning.METHODS)
def test_more_neighbours_than_training_items_are_never_tried(problem, method):
    X, y, folds = problem
    few = [(fit[:10], score) for fit, score in folds]
    found = tuning.search(CLASSICAL["knn"], X, y, few, method=method, n_trials=25, seed=0)
    assert found.parameters["n_neighbors"] <= 10


def test_the_same_seed_finds_the_same(problem):
    first, second = (search(problem, "mlp", "bayes", n_trials=3, seed=5) for _ in range(2))
    assert (first.parameters, first.score) == (second.parameters, second.score)


def test_no_search_tries_more_settings_than_allowed(problem):
    assert search(problem, "svm", n_trials=7).n_trials == 7
    assert search(problem, "logistic", n_trials=1000).n_trials == 10
    for model in CLASSICAL.values():
        size = int(np.prod([len(values) for values in model.grid.values()])) if model.grid else 0
        assert size <= 25


def test_k_55_is_in_the_grid_and_untuned_models_have_none():
    assert 55 in CLASSICAL["knn"].grid["n_neighbors"]
    assert not CLASSICAL["knn_1"].tuned and not CLASSICAL["svm_c10"].tuned


@pytest.mark.parametrize(
    ("change", "said"), [({"method": "random"}, "expected one of"), ({"n_trials": 0}, "at least 1")]
)
def test_wrong_searches_are_refused(problem, change, said):
    with pytest.raises(ValueError, match=said):
        search(problem, **change)
