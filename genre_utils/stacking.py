"""Join what many models say, chosen inside the training part: the highest honest number.

Each *member* is a classical model on one or several blocks of numbers about a track, or a
network of `systems`. A member predicts the tracks of the training part in artist-grouped
folds (stage ``inner``), and the test part once, trained on the whole training part (stage
``final``). How members are weighed is decided from the ``inner`` rows alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC
from xgboost import XGBClassifier

from genre_utils import experiments, inputs, project, splits
from genre_utils.blocks import BLOCKS, Block
from genre_utils.datasets import Dataset
from genre_utils.evaluation import probability_columns
from genre_utils.experiments import Store, StudyResult, Task, Unit
from genre_utils.models.weights import WeightsError
from genre_utils.project import Outputs, ProjectError, text_digest
from genre_utils.splits import Split

PROTOCOL = "fault_filtered"
RECIPE = 1
_cannot = partial(experiments.cannot, protocol=PROTOCOL)
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
_TEXTURE = ("band levels", "modulation", "correlation of bands", "covariance of bands")
_TEXTURE_DB = tuple(f"{name}, dB" for name in _TEXTURE)
_MUSICNN = ("musicnn hidden", "musicnn means", "musicnn peaks")
_TITLES = {"svm": "SVM", "logistic": "logistic regression", "xgboost": "XGBoost"}


def _members(blocks: tuple[str, ...], key: str, what: str, models: str, **options) -> list[Member]:
    return [
        Member(f"{model}_{key}", f"{_TITLES[model]}, {what}", blocks, model, **options)
        for model in models.split()
    ]


SCRATCH, PRETRAINED, PICTURES = "best_scratch", "best_pretrained", "best_pretrained_pictures"
"""Names of the headlines."""

_OF_SOUND = {"taggrams", "tag percentiles", "tag log-odds", "tag log-odds percentiles"}
LISTENERS = {
    "MSD_musicnn on the sound": _OF_SOUND,
    "MSD_musicnn on pictures": {"musicnn tags", *_MUSICNN},
    "the MSD convnet": {"MSD convnet"},
}
"""Names of pretrained networks → the blocks that come from them."""

_EVERY = "svm logistic xgboost"
_TWO = "svm logistic"
MEMBERS = {
    member.name: member
    for member in [
        *_members(_BY_HAND[:1], "30s", "57 features, 30 s", "svm"),
        *_members(_BY_HAND[1:2], "10s", "57 features, 10 s", "svm"),
        *_members(_BY_HAND[2:], "mfcc", "MFCC statistics", "svm"),
        *_members(_BY_HAND, "by_hand", "all by hand", _EVERY),
        *_members(_TEXTURE, "texture", "texture", _TWO),
        *_members((*_BY_HAND, *_TEXTURE), "by_hand_texture", "all by hand + texture", _TWO),
        *_members(("taggrams",), "tags", "taggrams", _EVERY, pretrained=True),
        *_members(
            ("tag percentiles",), "tag_percentiles", "taggram percentiles", _TWO, pretrained=True
        ),
        *_members(
            ("taggrams", "tag log-odds"), "tags_log_odds", "taggrams + log-odds", _TWO,
            pretrained=True,
        ),
        *_members(
            ("taggrams", _BY_HAND[0]), "tags_30s", "taggrams + 57 features", _TWO, pretrained=True
        ),
        *_members(
            ("taggrams", *_BY_HAND), "tags_by_hand", "taggrams + by hand", _EVERY, pretrained=True
        ),
        *_members(
            ("tag percentiles", *_TEXTURE), "tags_texture", "taggram percentiles + texture", _TWO,
            pretrained=True,
        ),
        *_members(("MSD convnet",), "convnet", "MSD convnet", _TWO, pretrained=True),
        *_members(
            ("MSD convnet", *_BY_HAND), "convnet_by_hand", "MSD convnet + by hand", _TWO,
            pretrained=True,
        ),
        *_members(
            ("MSD convnet", *_BY_HAND, *_TEXTURE), "convnet_texture",
            "MSD convnet + by hand + texture", _TWO, pretrained=True,
        ),
        *_members(
            ("tag log-odds percentiles",), "tag_odds", "taggram log-odds percentiles", _TWO,
            pretrained=True,
        ),
        *_members(
            ("tag log-odds percentiles", *_TEXTURE_DB), "tag_odds_texture",
            "taggram log-odds percentiles + texture in dB", _TWO, pretrained=True,
        ),
        *_members(
            ("tag log-odds percentiles", "tag percentiles", *_MUSICNN), "tags_musicnn",
            "taggram percentiles + musicnn on pictures", _TWO, pretrained=True,
        ),
        *_members(
            ("musicnn tags", *_MUSICNN), "musicnn", "musicnn on pictures", _TWO, pretrained=True
        ),
        *_members(
            ("musicnn peaks", *_TEXTURE_DB), "musicnn_texture",
            "musicnn on pictures + texture in dB", _TWO, pretrained=True,
        ),
        *_members(
            ("taggrams", "MSD convnet"), "tags_convnet", "taggrams + MSD convnet", _TWO,
            pretrained=True,
        ),
    ]
}  # fmt: skip
"""Every classical member by its name."""


def run_members(
    dataset: Dataset,
    names: Sequence[str] | None = None,
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
    names : sequence of str, optional
        Names in `MEMBERS`; all of them by default.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.
    seed : int
        Seed of training.
    elsewhere : Dataset, optional
        Other music that members predict, too, where their blocks can be had of it: rows
        of stage ``elsewhere``.

    Returns
    -------
    StudyResult
        Rows of the stages ``inner``, ``final`` and ``elsewhere``; ``runs`` say what was
        chosen. A member whose block is not there is noted in ``impossible``, and so is one
        that cannot describe the other music (stage ``elsewhere``).

    Raises
    ------
    ProjectError
        If a name is unknown, or the data set has no fault-filtered split.
    """
    names = list(MEMBERS) if names is None else names
    unknown = [name for name in names if name not in MEMBERS]
    if unknown:
        raise ProjectError(
            f"unknown members: {', '.join(unknown)}; expected some of {', '.join(MEMBERS)}"
        )
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    material = _Material(dataset, elsewhere)
    earlier = store.load_or_none()
    stored = set() if earlier is None else set(earlier.runs["model"])
    tasks, impossible, kept = [], [], set()
    for name in names:
        member, cannot = MEMBERS[name], partial(_cannot, model=name)
        try:
            data = material.of(member)
            if elsewhere:
                try:
                    data = material.with_other_music(data, member)
                except WeightsError:
                    raise
                except ProjectError as reason:
                    impossible.append(cannot(reason, stage="elsewhere", music=elsewhere))
        except WeightsError as reason:
            # Weights that are not on this computer do not make a stored run wrong.
            if name in stored:
                kept.add(name)
            else:
                impossible.append(cannot(reason, music=dataset))
            continue
        except ProjectError as reason:
            impossible.append(cannot(reason, music=dataset))
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
    if not tasks and not kept:
        raise ProjectError(f"{dataset.title}: no member can be trained: {impossible[0]['reason']}")
    return store.run(
        tasks,
        impossible=pd.DataFrame(impossible),
        desc="members",
        keep=lambda record: record["model"] in kept,
    )


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks of a member, aligned to tracks.

    Attributes
    ----------
    items : pd.DataFrame
        One row a track that has all blocks.
    X : list of np.ndarray [shape=(n_tracks, n_columns)]
        One array a block.
    digests : list of str
        Of what each block was made of.
    split : Split
        Positions into `items`.
    elsewhere_items, elsewhere_X, elsewhere_digests
        The same of other music; empty where there is none.
    """

    items: pd.DataFrame
    X: list[np.ndarray]
    digests: list[str]
    split: Split
    elsewhere_items: pd.DataFrame
    elsewhere_X: list[np.ndarray] = field(default_factory=list)
    elsewhere_digests: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Digest of tracks, and of what the numbers were made of."""
        return text_digest(
            self.items.to_csv(index=False),
            self.elsewhere_items.to_csv(index=False),
            *self.digests,
            *self.elsewhere_digests,
        )


class _Material:
    """Blocks of a data set and of other music, each computed once."""

    def __init__(self, dataset: Dataset, elsewhere: Dataset | None):
        self._dataset, self._elsewhere = dataset, elsewhere
        self._blocks: dict[tuple[str, bool], Block | ProjectError] = {}

    def of(self, member: Member) -> Blocks:
        """Return a member's blocks of the tracks that have all of them."""
        items, X, digests = self._aligned(self._dataset, member.blocks)
        split = splits.make_splits(items, PROTOCOL)[0]
        return Blocks(items, X, digests, split, items.iloc[:0])

    def with_other_music(self, data: Blocks, member: Member) -> Blocks:
        """Return the blocks with those of the other music beside them."""
        items, X, digests = self._aligned(self._elsewhere, member.blocks)
        return replace(data, elsewhere_items=items, elsewhere_X=X, elsewhere_digests=digests)

    def _aligned(
        self, music: Dataset, names: tuple[str, ...]
    ) -> tuple[pd.DataFrame, list[np.ndarray], list[str]]:
        blocks = [self._block(name, music) for name in names]
        items = _having(music.tracks, [block.frame for block in blocks])
        if items.empty:
            raise ProjectError(f"{music.title}: no track has {' and '.join(names)}")
        X = [block.frame.loc[items["track_id"]].to_numpy(float) for block in blocks]
        return items, X, [block.digest for block in blocks]

    def _block(self, name: str, music: Dataset) -> Block:
        key = (name, music is self._dataset)
        if key not in self._blocks:
            try:
                self._blocks[key] = BLOCKS[name](music, self._dataset)
            except ProjectError as reason:
                self._blocks[key] = reason
        if isinstance(self._blocks[key], ProjectError):
            raise self._blocks[key]
        return self._blocks[key]


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
            folds=splits.folds_within(data.items, split),
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


_LEADS = (1.0, 3.0, 8.0)
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
    for parameters in _settings(model, len(X)):
        scores = np.zeros((len(y), int(y.max()) + 1))
        for fit, score in folds:
            fitted = _fitted(model, parameters, [block[fit] for block in X], y[fit], seed=seed)
            scores[score] = fitted([block[score] for block in X])
        temperature = _temperature(scores, y)
        inner = softmax(scores / temperature, axis=1)
        accuracy = float((inner.argmax(axis=1) == y).mean())
        choices.append(Choice(parameters, temperature, inner, _loss(inner, y), accuracy))
    return min(choices, key=lambda choice: choice.loss)


def _settings(model: str, n_blocks: int) -> list[dict]:
    """Return what is tried; trees do not care how much a block is stretched."""
    leads = _LEADS if n_blocks > 1 and model != "xgboost" else (1.0,)
    return [setting | {"lead": lead} for setting in _GRIDS[model] for lead in leads]


def _fitted(
    model: str, parameters: dict, X: list[np.ndarray], y: np.ndarray, *, seed: int
) -> Callable[[list[np.ndarray]], np.ndarray]:
    """Fit a classifier, and return what gives the scores [n, n_classes] of other rows."""
    parameters = dict(parameters)
    # Each block is scaled by the rows that are fitted on, so that all weigh the same whatever
    # their numbers of columns; then the first one is stretched.
    shares = np.array([parameters.pop("lead"), *np.ones(len(X) - 1)])
    shares /= np.linalg.norm(shares)
    scales = [
        (block.mean(axis=0), (block.std(axis=0) + 1e-9) * np.sqrt(block.shape[1]) / share, share)
        for block, share in zip(X, shares, strict=True)
    ]

    def scaled(blocks: list[np.ndarray]) -> np.ndarray:
        columns = []
        for block, (mean, unit, share) in zip(blocks, scales, strict=True):
            most = _LARGEST * share / np.sqrt(block.shape[1])
            columns.append(((block - mean) / unit).clip(-most, most))
        return np.hstack(columns)

    if model == "svm":
        # One against the rest: distances say more about how sure it is than votes of pairs do.
        # All ten look at the same pairs of tracks, so these are compared once.
        known, gamma = scaled(X), parameters.pop("gamma")
        estimator = OneVsRestClassifier(SVC(kernel="precomputed", **parameters))
        estimator.fit(rbf_kernel(known, gamma=gamma), y)
        return lambda blocks: _one_score_a_class(
            estimator.decision_function(rbf_kernel(scaled(blocks), known, gamma=gamma))
        )
    if model == "logistic":
        estimator = LogisticRegression(**parameters, max_iter=3000).fit(scaled(X), y)
    else:
        estimator = XGBClassifier(
            **parameters, n_estimators=150, learning_rate=0.1, subsample=0.8, colsample_bytree=0.3,
            max_bin=64, tree_method="hist", random_state=seed, n_jobs=1,
        ).fit(scaled(X), y)  # fmt: skip
    return lambda blocks: np.log(estimator.predict_proba(scaled(blocks)).clip(1e-6))


def _one_score_a_class(scores: np.ndarray) -> np.ndarray:
    """Return scores with one column a class: of two classes, the classifier gives one column."""
    return np.column_stack([-scores, scores]) if scores.ndim == 1 else scores


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
    members : tuple of str
        Models whose ``inner`` and ``final`` rows are stored. Those that lack either are
        left out.
    needs : tuple of str, optional
        Members of which at least one has to be there; without any, the headline would be
        another one under a wrong name.
    """

    name: str
    title: str
    members: tuple[str, ...]
    needs: tuple[str, ...] | None = None


def headlines(networks: Sequence[str], members: Sequence[str] | None = None) -> list[Headline]:
    """Return the study's headlines: without pretraining, with it, and with it on pictures alone.

    Parameters
    ----------
    networks : sequence of str
        Networks trained from scratch whose ``inner`` and ``final`` rows are stored.
    members : sequence of str, optional
        Names in `MEMBERS`; all of them by default.
    """
    members = list(MEMBERS) if members is None else members
    pretrained = tuple(name for name in members if MEMBERS[name].pretrained)
    scratch = (*networks, *(name for name in members if name not in pretrained))
    of_pictures = tuple(name for name in pretrained if not _OF_SOUND & {*MEMBERS[name].blocks})
    return [
        Headline(SCRATCH, "without pretraining", scratch),
        Headline(PRETRAINED, "with pretraining", scratch + pretrained, pretrained),
        Headline(PICTURES, "with pretraining, from pictures", scratch + of_pictures, of_pictures),
    ]


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
        Whose tracks they are. Without its files, the stored predictions are returned.
    predictions : pd.DataFrame
        Rows of all members, of the stages ``inner``, ``final`` and ``elsewhere``.
    headlines : list of Headline
        What to join.
    study : str
        Name under which predictions are stored.
    outputs : Outputs
        Where they are stored.

    Returns
    -------
    StudyResult
        Rows of the stages ``inner`` (joined as well, of models that had not heard the
        track), ``final`` and, where every weighed member has them, ``elsewhere``; ``runs``
        hold each headline's ``weights`` and the members ``left_out``, with accuracy and
        loss on the inner rows. A headline without any member, or without one that it
        needs, is noted in ``impossible``.

    Raises
    ------
    ProjectError
        If no headline has a member.
    """
    store = Store(study, outputs)
    if project.from_predictions() or not dataset.available:
        return store.load()
    tasks, impossible = [], []
    for headline in headlines:
        rows = predictions[predictions["model"].isin(headline.members)]
        members = members_with_both(rows)
        wanted = headline.members if headline.needs is None else headline.needs
        if not set(members) & set(wanted):
            reason = ProjectError(
                f"none of {', '.join(wanted)} has predictions of the training and the test part"
                if wanted
                else "no member that it needs was asked for"
            )
            impossible.append(_cannot(reason, model=headline.name, music=dataset))
            continue
        rows = rows[rows["model"].isin(members)]
        unit = Unit(
            model=headline.name,
            input=" + ".join(members),
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
        left_out = sorted(set(headline.members) - set(members))
        work = HeadlineWork(unit, rows, dataset.genres, dataset.name, left_out)
        tasks.append(Task(unit, work))
    if not tasks:
        raise ProjectError(f"{dataset.title}: no headline can be made: {impossible[0]['reason']}")
    return store.run(tasks, impossible=pd.DataFrame(impossible), desc="headlines")


def members_with_both(rows: pd.DataFrame) -> list[str]:
    """Return the models that have predicted both the training and the test part, sorted."""
    stages = rows[rows["stage"].isin(["inner", "final"])].groupby("model")["stage"].nunique()
    return sorted(stages.index[stages == 2])


@dataclass(frozen=True)
class HeadlineWork:
    """Weigh members by their inner rows; join their final rows by these weights."""

    unit: Unit
    rows: pd.DataFrame
    genres: tuple[str, ...]
    dataset: str
    left_out: list[str] = field(default_factory=list)

    def __call__(self) -> tuple[pd.DataFrame, dict]:
        """Return the joined rows, and the weights with how they were found."""
        inner, items = self._stage("inner", sorted(set(self.rows["model"])))
        y = pd.Categorical(items["genre"], categories=self.genres).codes.astype(int)
        weights = choose_weights(inner, y)
        joined = sum(weight * inner[name] for name, weight in weights.items())
        stages = ("inner", "final", "elsewhere")
        parts = {stage: self._joined(stage, weights, len(y)) for stage in stages}
        record = asdict(self.unit) | {
            "run_id": self.unit.run_id,
            "n_train": len(y),
            "n_train_tracks": len(y),
            "n_test": len(parts["final"]),
            "weights": {name: round(weight, 4) for name, weight in weights.items()},
            "left_out": self.left_out,
            "validation_accuracy": float((joined.argmax(axis=1) == y).mean()),
            "validation_loss": _loss(joined, y),
        }
        found = [part for part in parts.values() if len(part)]
        return pd.concat(found, ignore_index=True), record

    def _joined(self, stage: str, weights: dict[str, float], n_train: int) -> pd.DataFrame:
        """Return the weighted rows of a stage; none if a member has none."""
        found, items = self._stage(stage, list(weights))
        if set(found) != set(weights):
            return self.rows.iloc[:0]
        rows = experiments.prediction_rows(
            self.unit,
            sum(weight * found[name] for name, weight in weights.items()),
            items=items,
            genres=self.genres,
            dataset="elsewhere" if stage == "elsewhere" else self.dataset,
            n_train=n_train,
        )
        return rows.assign(stage=stage)

    def _stage(self, stage: str, names: list[str]) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
        """Return members' probabilities of the tracks that all of them predicted, and these."""
        rows = self.rows[(self.rows["stage"] == stage) & self.rows["model"].isin(names)]
        found = {name: by_track(group) for name, group in rows.groupby("model")}
        tracks = rows.groupby("track_id").agg(n=("model", "nunique"), genre=("y_true", "first"))
        items = tracks[tracks["n"] == len(found)].reset_index().assign(segment_start_s=0.0)
        ordered = {
            name: part.loc[items["track_id"]].to_numpy(float) for name, part in found.items()
        }
        return ordered, items
