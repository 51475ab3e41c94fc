"""Join what many models say, chosen inside the training part: the highest honest number.

Each *member* is a classical model on one or several blocks of numbers about a track, or a
network of `systems`. A member predicts the tracks of the training part in artist-grouped
folds (stage ``inner``), and the test part once, trained on the whole training part (stage
``final``). How members are weighed is decided from the ``inner`` rows alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from xgboost import XGBClassifier

from genre_utils import deep, experiments, features, inputs, project, representations, splits
from genre_utils.datasets import Dataset
from genre_utils.evaluation import probability_columns
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.project import Outputs, ProjectError, text_digest
from genre_utils.splits import Split

PROTOCOL = "fault_filtered"
RECIPE = 1
_ROUNDS = 30
_LARGEST = 4.0


@dataclass(frozen=True)
class Member:
    """A classical model on some blocks of numbers.

    Attributes
    ----------
    name, title : str
        Its key, and its name for readers.
    blocks : tuple of str
        Names in `BLOCKS`.
    model : {'svm', 'logistic', 'xgboost'}
        Which classifier.
    pretrained : bool
        Whether any block comes from a network that was trained on other music.
    """

    name: str
    title: str
    blocks: tuple[str, ...]
    model: str
    pretrained: bool = False


_BY_HAND = ("57 features, 30 s", "57 features, 10 s", "MFCC statistics")
MEMBERS = {
    member.name: member
    for member in [
        Member("svm_30s", "SVM, 57 features, 30 s", _BY_HAND[:1], "svm"),
        Member("svm_10s", "SVM, 57 features, 10 s", _BY_HAND[1:2], "svm"),
        Member("svm_mfcc", "SVM, MFCC statistics", _BY_HAND[2:], "svm"),
        Member("svm_by_hand", "SVM, all by hand", _BY_HAND, "svm"),
        Member("logistic_by_hand", "logistic regression, all by hand", _BY_HAND, "logistic"),
        Member("xgboost_by_hand", "XGBoost, all by hand", _BY_HAND, "xgboost"),
        Member("svm_tags", "SVM, taggrams", ("taggrams",), "svm", True),
        Member("logistic_tags", "logistic regression, taggrams", ("taggrams",), "logistic", True),
        Member("xgboost_tags", "XGBoost, taggrams", ("taggrams",), "xgboost", True),
        Member("svm_tags_by_hand", "SVM, taggrams + by hand", ("taggrams", *_BY_HAND), "svm", True),
        Member(
            "logistic_tags_by_hand",
            "logistic regression, taggrams + by hand",
            ("taggrams", *_BY_HAND),
            "logistic",
            True,
        ),
        Member(
            "xgboost_tags_by_hand",
            "XGBoost, taggrams + by hand",
            ("taggrams", *_BY_HAND),
            "xgboost",
            True,
        ),
    ]
}
"""Every classical member by its name."""


def _by_hand(dataset: Dataset, segment_s: float) -> pd.DataFrame:
    table = features.table(dataset, segment_s=segment_s)
    frame = pd.DataFrame(table.X, columns=list(table.names))
    tracks = frame.groupby(table.items["track_id"].to_numpy())
    if table.items["track_id"].is_unique:
        return tracks.first()
    return tracks.mean().join(tracks.std(ddof=0), rsuffix="_spread")


def _mfcc(dataset: Dataset, first: Dataset | None = None) -> pd.DataFrame:
    """Return statistics of cepstra and of their changes, read off the same spectrograms."""
    data = inputs.load(first or dataset, "spectrogram")
    if first:
        data = inputs.like(dataset, data)
    X = np.hstack(
        [
            deep.mfcc_statistics(data.x),
            deep.mfcc_statistics(np.abs(np.diff(data.x.astype(np.int16), axis=-1))),
        ]
    )
    return pd.DataFrame(X, index=data.items["track_id"].to_numpy())


def _taggrams(dataset: Dataset) -> pd.DataFrame:
    found = representations.taggrams(statistics=("mean", "std"), root=dataset.root)
    return pd.DataFrame(found.X, index=list(found.track_ids))


BLOCKS: dict[str, Callable[[Dataset], pd.DataFrame]] = {
    "57 features, 30 s": partial(_by_hand, segment_s=30.0),
    "57 features, 10 s": partial(_by_hand, segment_s=10.0),
    "MFCC statistics": _mfcc,
    "taggrams": _taggrams,
}
"""What is known of each track: name → function that returns one row a track."""


def run_members(
    dataset: Dataset,
    names: list[str],
    *,
    study: str,
    outputs: Outputs,
    seed: int = 0,
    elsewhere: Dataset | None = None,
) -> StudyResult:
    """Train the classical members: in folds inside the training part, and on all of it.

    Parameters
    ----------
    dataset : Dataset
        What is learnt from. Without its files, the stored predictions are returned.
    names : list of str
        Names in `MEMBERS`.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    seed : int
        Seed of training.
    elsewhere : Dataset, optional
        Other music that members without pretraining predict, too: rows of stage
        ``elsewhere``.

    Returns
    -------
    StudyResult
        Rows of the stages ``inner``, ``final`` and ``elsewhere``; ``runs`` say what was
        chosen. A member whose block is not there is noted in ``impossible``.

    Raises
    ------
    ProjectError
        If a name is unknown, or the data set has no fault-filtered split.
    """
    unknown = [name for name in names if name not in MEMBERS]
    if unknown:
        raise ProjectError(
            f"unknown members: {', '.join(unknown)}; expected some of {', '.join(MEMBERS)}"
        )
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    material = _Material(dataset, elsewhere)
    tasks, impossible = [], []
    for name in names:
        member = MEMBERS[name]
        try:
            data = material.of(member)
        except ProjectError as reason:
            impossible.append(
                {
                    "model": name, "segment_s": inputs.CLIP_S, "source": "none",
                    "protocol": PROTOCOL, "stage": "final", "n_tracks": 0, "reason": str(reason),
                }
            )  # fmt: skip
            continue
        for stage in ("inner", "final"):
            unit = Unit(
                model=name,
                input=" + ".join(member.blocks),
                source="table",
                segment_s=inputs.CLIP_S,
                protocol=PROTOCOL,
                fold=0,
                seed=seed,
                stage=stage,
                input_digest=data.digest,
                split_digest=experiments.split_digest(data.split),
                recipe=f"{RECIPE}.{member.model}",
            )
            tasks.append(Task(unit, MemberWork(unit, data, dataset.genres, dataset.name)))
    if not tasks:
        raise ProjectError(f"{dataset.title}: no member can be trained: {impossible[0]['reason']}")
    return store.run(tasks, impossible=pd.DataFrame(impossible), desc="members")


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of a member, aligned to tracks.

    Attributes
    ----------
    items : pd.DataFrame
        One row a track that has all blocks.
    X : list of np.ndarray [shape=(n_tracks, n_columns)]
        One array a block.
    split : Split
        Positions into `items`.
    elsewhere_items, elsewhere_X
        The same of other music; empty where there is none.
    """

    items: pd.DataFrame
    X: list[np.ndarray]
    split: Split
    elsewhere_items: pd.DataFrame
    elsewhere_X: list[np.ndarray]

    @property
    def digest(self) -> str:
        """Digest of tracks and numbers."""
        return text_digest(
            self.items.to_csv(index=False),
            self.elsewhere_items.to_csv(index=False),
            *(np.ascontiguousarray(X, "<f8").tobytes().hex() for X in self.X + self.elsewhere_X),
        )


class _Material:
    """Blocks of a data set, each computed once."""

    def __init__(self, dataset: Dataset, elsewhere: Dataset | None):
        self._dataset, self._elsewhere = dataset, elsewhere
        self._blocks: dict[str, pd.DataFrame] = {}
        self._others: dict[str, pd.DataFrame] = {}

    def of(self, member: Member) -> Blocks:
        for name in member.blocks:
            if name not in self._blocks:
                self._blocks[name] = BLOCKS[name](self._dataset)
        items = _having(self._dataset.tracks, [self._blocks[name] for name in member.blocks])
        split = splits.make_splits(items, PROTOCOL)[0]
        others = self._dataset.tracks.iloc[:0]
        if self._elsewhere and not member.pretrained:
            for name in member.blocks:
                if name not in self._others:
                    self._others[name] = self._of_other_music(name)
            others = _having(self._elsewhere.tracks, [self._others[name] for name in member.blocks])
        return Blocks(
            items,
            [self._blocks[name].loc[items["track_id"]].to_numpy(float) for name in member.blocks],
            split,
            others,
            [self._others[name].loc[others["track_id"]].to_numpy(float) for name in member.blocks]
            if len(others)
            else [],
        )

    def _of_other_music(self, name: str) -> pd.DataFrame:
        if BLOCKS[name] is _mfcc:
            return _mfcc(self._elsewhere, self._dataset)
        return BLOCKS[name](self._elsewhere)


def _having(tracks: pd.DataFrame, blocks: list[pd.DataFrame]) -> pd.DataFrame:
    there = tracks["track_id"].map(lambda track: all(track in block.index for block in blocks))
    kept = tracks.loc[
        there.to_numpy(bool),
        ["track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split"],
    ]
    return kept.reset_index(drop=True).assign(segment_start_s=0.0)


@dataclass(frozen=True)
class MemberWork:
    """Choose a member's settings in folds inside the training part, then use them."""

    unit: Unit
    data: Blocks
    genres: tuple[str, ...]
    dataset: str

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the rows of the stage, and the record of what was chosen."""
        data, split = self.data, self.data.split
        y = pd.Categorical(data.items["genre"], categories=self.genres).codes.astype(int)
        X_train = [block[split.train] for block in data.X]
        choice = choose(
            MEMBERS[self.unit.model].model,
            X_train,
            y[split.train],
            folds=_folds_in(data.items, split),
            seed=self.unit.seed,
        )
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(split.train),
            "n_train_tracks": len(split.train),
            "parameters": choice.parameters,
            "temperature": choice.temperature,
            "validation_accuracy": choice.accuracy,
            "validation_loss": choice.loss,
        }
        if self.unit.stage == "inner":
            rows = self._rows(choice.inner, data.items.iloc[split.train])
            return rows, record | {"n_test": len(split.train)}
        fitted = _fitted(
            MEMBERS[self.unit.model].model,
            choice.parameters,
            X_train,
            y[split.train],
            seed=self.unit.seed,
        )

        def predicted(blocks: list[np.ndarray]) -> np.ndarray:
            return softmax(fitted(blocks) / choice.temperature, axis=1)

        rows = self._rows(predicted([b[split.test] for b in data.X]), data.items.iloc[split.test])
        if data.elsewhere_X:
            others = self._rows(predicted(data.elsewhere_X), data.elsewhere_items)
            others = others.assign(stage="elsewhere", dataset="elsewhere")
            rows = pd.concat([rows, others], ignore_index=True)
        return rows, record | {"n_test": len(split.test)}

    def _rows(self, probabilities: np.ndarray, items: pd.DataFrame) -> pd.DataFrame:
        return experiments.prediction_rows(
            self.unit,
            probabilities,
            items=items,
            genres=self.genres,
            dataset=self.dataset,
            n_train=len(self.data.split.train),
        )


def _folds_in(items: pd.DataFrame, split: Split) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the inner folds as positions into the training part."""
    return [
        (np.searchsorted(split.train, fit), np.searchsorted(split.train, score))
        for fit, score in splits.inner_folds(items, split.train)
    ]


@dataclass(frozen=True)
class Choice:
    """What was chosen inside a training part.

    Attributes
    ----------
    parameters : dict
        Settings of the classifier.
    temperature : float
        What its scores are divided by before they become probabilities.
    inner : np.ndarray [shape=(n_train, n_classes)]
        Probabilities of each training track, from the folds that it was not in.
    loss, accuracy : float
        Of these.
    """

    parameters: dict
    temperature: float
    inner: np.ndarray
    loss: float
    accuracy: float


_GRIDS = {
    "svm": [{"C": C, "gamma": gamma} for C in (1.0, 3.0, 10.0, 30.0) for gamma in (0.1, 0.3, 1.0)],
    "logistic": [{"C": C} for C in (0.3, 3.0, 30.0, 300.0)],
    "xgboost": [{"max_depth": depth} for depth in (2, 4)],
}


def choose(
    model: str,
    X: list[np.ndarray],
    y: np.ndarray,
    *,
    folds: list[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> Choice:
    """Choose a classifier's settings by the loss on folds inside a training part.

    Parameters
    ----------
    model : {'svm', 'logistic', 'xgboost'}
        Which classifier.
    X : list of np.ndarray [shape=(n_train, n_columns)]
        Blocks of the training part, and of nothing else.
    y : np.ndarray [shape=(n_train,), dtype=int]
        Its classes.
    folds : list of (np.ndarray, np.ndarray)
        Positions to fit on and to score, into the training part.
    seed : int
        Seed of training.

    Returns
    -------
    Choice
        The setting with the least loss.
    """
    choices = []
    for parameters in _GRIDS[model]:
        scores = np.zeros((len(y), int(y.max()) + 1))
        for fit, score in folds:
            fitted = _fitted(model, parameters, [block[fit] for block in X], y[fit], seed=seed)
            scores[score] = fitted([block[score] for block in X])
        temperature = _temperature(scores, y)
        inner = softmax(scores / temperature, axis=1)
        accuracy = float((inner.argmax(axis=1) == y).mean())
        choices.append(Choice(parameters, temperature, inner, _loss(inner, y), accuracy))
    return min(choices, key=lambda choice: choice.loss)


def _fitted(
    model: str, parameters: dict, X: list[np.ndarray], y: np.ndarray, *, seed: int
) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Fit a classifier, and return what gives the scores [n, n_classes] of other rows."""
    # Each block is scaled by the rows that are fitted on, and weighs the same as any other.
    scales = [(block.mean(axis=0), block.std(axis=0) + 1e-9, block.shape[1]) for block in X]

    def scaled(blocks: list[np.ndarray]) -> np.ndarray:
        return np.hstack(
            [
                ((block - mean) / std).clip(-_LARGEST, _LARGEST) / np.sqrt(width * len(scales))
                for block, (mean, std, width) in zip(blocks, scales, strict=True)
            ]
        )

    if model == "svm":
        estimator = SVC(**parameters).fit(scaled(X), y)
        return lambda blocks: estimator.decision_function(scaled(blocks))
    if model == "logistic":
        estimator = LogisticRegression(**parameters, max_iter=3000).fit(scaled(X), y)
    else:
        estimator = XGBClassifier(
            **parameters, n_estimators=150, learning_rate=0.1, subsample=0.8, colsample_bytree=0.3,
            max_bin=64, tree_method="hist", random_state=seed, n_jobs=1,
        ).fit(scaled(X), y)  # fmt: skip
    return lambda blocks: np.log(estimator.predict_proba(scaled(blocks)).clip(1e-6))


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(y)), y].clip(1e-6)).mean())


def _temperature(scores: np.ndarray, y: np.ndarray) -> float:
    found = minimize_scalar(
        lambda log: _loss(softmax(scores / np.exp(log), axis=1), y), bounds=(-4, 4),
        method="bounded",
    )  # fmt: skip
    return float(np.exp(found.x))


def choose_weights(
    inner: Mapping[str, np.ndarray], y: np.ndarray, *, rounds: int = _ROUNDS
) -> dict[str, float]:
    """Weigh members so that their mean has the least loss on the inner rows [1]_.

    In each round the member is added, once more, that lowers the loss of the mean most.

    Parameters
    ----------
    inner : mapping of str to np.ndarray [shape=(n_train, n_classes)]
        Each member's probabilities of the training tracks, from folds that they were not
        in. Nothing about the test part comes in here.
    y : np.ndarray [shape=(n_train,), dtype=int]
        Classes of the training tracks.
    rounds : int
        How many members are added up.

    Returns
    -------
    dict of str to float
        Weights of the members that were chosen; they add up to 1.

    References
    ----------
    .. [1] Caruana, Niculescu-Mizil, Crew & Ksikes, "Ensemble selection from libraries of
       models", ICML 2004.
    """
    if not inner:
        raise ProjectError("there are no members to weigh; name at least one that was trained")
    total = np.zeros_like(next(iter(inner.values())), dtype=float)
    counts = dict.fromkeys(inner, 0)
    for done in range(rounds):
        losses = {name: _loss((total + p) / (done + 1), y) for name, p in inner.items()}
        best = min(losses, key=losses.get)
        counts[best] += 1
        total += inner[best]
    return {name: count / rounds for name, count in counts.items() if count}


def by_track(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a model's mean probabilities of each track, over segments, folds and seeds.

    Parameters
    ----------
    rows : pd.DataFrame
        Prediction rows of one model and stage.

    Returns
    -------
    pd.DataFrame
        One row a track, indexed by ``track_id``: one column a genre.
    """
    return rows.groupby("track_id")[probability_columns(rows)].mean()


@dataclass(frozen=True)
class Headline:
    """A number to be known by: which members may take part.

    Attributes
    ----------
    name, title : str
        Its key, and its name for readers.
    members : list of str
        Models whose ``inner`` and ``final`` rows are stored.
    """

    name: str
    title: str
    members: list[str]


def run_headlines(
    dataset: Dataset,
    predictions: pd.DataFrame,
    headlines: list[Headline],
    *,
    study: str,
    outputs: Outputs,
) -> StudyResult:
    """Weigh members inside the training part and score each headline on the test part once.

    Parameters
    ----------
    dataset : Dataset
        Whose tracks they are.
    predictions : pd.DataFrame
        Rows of all members, of the stages ``inner``, ``final`` and ``elsewhere``.
    headlines : list of Headline
        What to join. Members without rows are left out.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.

    Returns
    -------
    StudyResult
        Rows of the stages ``final`` and ``elsewhere``; ``runs`` hold each headline's
        ``weights``, and accuracy and loss on the inner rows.
    """
    tasks = []
    for headline in headlines:
        rows = predictions[predictions["model"].isin(headline.members)]
        unit = Unit(
            model=headline.name,
            input=" + ".join(sorted(set(rows["model"]))),
            source="predictions",
            segment_s=inputs.CLIP_S,
            protocol=PROTOCOL,
            fold=0,
            seed=0,
            stage="final",
            input_digest=text_digest(*sorted(set(rows["run_id"]))),
            split_digest="",
            recipe=str(RECIPE),
        )
        tasks.append(Task(unit, HeadlineWork(unit, rows, dataset.genres, dataset.name)))
    return Store(study, outputs).run(tasks, impossible=pd.DataFrame(), desc="headlines")


@dataclass(frozen=True)
class HeadlineWork:
    """Weigh members by their inner rows; join their final rows by these weights."""

    unit: Unit
    rows: pd.DataFrame
    genres: tuple[str, ...]
    dataset: str

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the joined rows, and the weights with how they were found."""
        inner, y = self._stage("inner")
        if not inner:
            raise ProjectError(
                f"{self.unit.model}: no member has predictions of the training part; train its "
                "members first"
            )
        weights = choose_weights(inner, y)
        joined = sum(weight * inner[name] for name, weight in weights.items())
        parts = []
        for stage in ("final", "elsewhere"):
            found, _ = self._stage(stage, names=list(weights))
            if set(found) != set(weights):
                continue
            items = self._items(stage, list(weights))
            rows = experiments.prediction_rows(
                self.unit,
                sum(weight * found[name] for name, weight in weights.items()),
                items=items,
                genres=self.genres,
                dataset=self.dataset if stage == "final" else "elsewhere",
                n_train=len(y),
            )
            parts.append(rows.assign(stage=stage))
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(y),
            "n_train_tracks": len(y),
            "n_test": int((parts[0]["stage"] == "final").sum()),
            "weights": {name: round(weight, 4) for name, weight in weights.items()},
            "validation_accuracy": float((joined.argmax(axis=1) == y).mean()),
            "validation_loss": _loss(joined, y),
        }
        return pd.concat(parts, ignore_index=True), record

    def _items(self, stage: str, names: list[str]) -> pd.DataFrame:
        """Return the tracks that every member has predicted at a stage."""
        rows = self.rows[(self.rows["stage"] == stage) & self.rows["model"].isin(names)]
        everyone = rows.groupby("track_id")["model"].nunique().eq(rows["model"].nunique())
        items = rows.drop_duplicates("track_id").set_index("track_id").loc[everyone[everyone].index]
        items = items.rename(columns={"y_true": "genre"})[["genre"]].reset_index()
        return items.assign(segment_start_s=0.0)

    def _stage(
        self, stage: str, names: list[str] | None = None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        rows = self.rows[self.rows["stage"] == stage]
        names = names or sorted(set(rows["model"]))
        if not len(rows):
            return {}, np.empty(0, dtype=int)
        items = self._items(stage, names)
        found = {
            name: by_track(rows[rows["model"] == name]).loc[items["track_id"]].to_numpy(float)
            for name in names
            if (rows["model"] == name).any()
        }
        return found, pd.Categorical(items["genre"], categories=self.genres).codes.astype(int)
