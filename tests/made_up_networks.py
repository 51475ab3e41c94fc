"""Made-up results of studies on networks: nothing is trained, everything is drawn."""

import numpy as np
import pandas as pd

from genre_utils import GENRES, datasets, project, splits
from genre_utils.experiments import StudyResult

ARTISTS_EACH = 4
_DRAWN = {"segment_random": 2.6, "track_random": 2.0, "artist_grouped": 1.4, "fault_filtered": 1.3}


def dataset(n_each: int = 8) -> datasets.Dataset:
    """A data set of `n_each` tracks a genre, without files."""
    tracks = pd.DataFrame(
        [
            {
                "track_id": f"{genre}.{i:05d}",
                "genre": genre,
                "artist_id": f"{genre} {i % ARTISTS_EACH}",
            }
            for genre in GENRES
            for i in range(n_each)
        ]
    ).reindex(columns=list(datasets.TRACK_COLUMNS))
    return datasets.Dataset("tiny", "tiny", project.root(), tracks, {}, GENRES, False, "-", "-")


def predictions(
    tracks: pd.DataFrame,
    *,
    model: str,
    protocol: str,
    skill: float,
    fold: int = 0,
    seed: int = 0,
    stage: str = "final",
    segment_s: float = 30.0,
) -> pd.DataFrame:
    """Prediction rows of one unit; `skill` is how far the true genre stands out."""
    rng = np.random.default_rng([seed, fold, len(model), round(10 * segment_s)])
    n_segments = int(30 // segment_s)
    rows = tracks[["track_id", "genre"]].loc[tracks.index.repeat(n_segments)]
    rows = rows.reset_index(drop=True).rename(columns={"genre": "y_true"})
    rows["segment_start_s"] = segment_s * rows.groupby("track_id").cumcount()
    logits = rng.normal(0, 1, (len(rows), len(GENRES)))
    logits[np.arange(len(rows)), rows["y_true"].map(GENRES.index)] += skill
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    unit = f"{model} {protocol} {fold} {seed} {stage} {segment_s:g}"
    rows = rows.assign(
        run_id=project.text_digest(unit)[:16], dataset="tiny", model=model, input="spectrogram",
        source="picture", protocol=protocol, fold=fold, seed=seed, stage=stage,
        segment_s=segment_s, n_train=400,
    )  # fmt: skip
    columns = [f"p_{genre}" for genre in GENRES]
    return rows.join(pd.DataFrame(shares.astype(np.float32), columns=columns))


def history(n_epochs: int, reached: float, *, validated: bool = True, seed: int = 0) -> list[dict]:
    """An epoch by epoch record that comes near `reached` in training."""
    rng = np.random.default_rng(seed)
    grown = 1 - np.exp(-4 * np.arange(1, n_epochs + 1) / n_epochs)
    rows = []
    for epoch, share in enumerate(grown, start=1):
        right = min(1.0, reached * share + rng.normal(0, 0.01))
        held = 0.65 * share + rng.normal(0, 0.02)
        rows.append(
            {
                "epoch": epoch,
                "train_loss": 2.3 * (1 - share) + 0.1,
                "train_accuracy": right,
                "valid_loss": 2.3 - 1.2 * share if validated else None,
                "valid_accuracy": held if validated else None,
                "seconds": 2.0 + 0.01 * epoch,
            }
        )
    return rows


def heard(seed: int = 0) -> list[dict]:
    """Occlusion maps, one track a genre."""
    rng = np.random.default_rng(seed)
    return [
        {
            "track_id": f"{genre}.00000",
            "genre": genre,
            "predicted": genre if i % 3 else GENRES[-1 - i],
            "seconds": 30.0,
            "drop": (
                rng.normal(0, 0.03, (8, 12)) + 0.1 * (np.arange(8) == i % 4)[:, None]
            ).tolist(),
        }
        for i, genre in enumerate(GENRES)
    ]


def run_record(rows: pd.DataFrame, *, n_epochs: int = 12, reached: float = 0.95) -> dict:
    """The record that goes with one unit's rows."""
    first = rows.iloc[0]
    keep = ["run_id", "model", "input", "source", "segment_s", "protocol", "fold", "seed", "stage"]
    validated = first["stage"] == "final"
    made = history(n_epochs, reached, validated=validated, seed=int(first["seed"]))
    strict = first["protocol"] == "fault_filtered" and first["seed"] == 0 and validated
    return first[keep].to_dict() | {
        "recipe": "1",
        "n_train": 400,
        "n_train_tracks": 400,
        "n_test": len(rows),
        "n_parameters": 300_000 + 1000 * len(first["model"]),
        "weights_mb": 1.2,
        "epochs": n_epochs,
        "best_epoch": n_epochs - 3 if validated else n_epochs,
        "train_accuracy": reached,
        "validation_accuracy": made[n_epochs - 4]["valid_accuracy"] if validated else np.nan,
        "fit_s": 2.0 * n_epochs + int(first["fold"]),
        "pretrained": "none",
        "history": made,
        "heard": heard() if strict else [],
    }


def study(
    models: dict[str, float],
    *,
    tracks: pd.DataFrame | None = None,
    protocols: tuple[str, ...] = splits.PROTOCOLS,
    seeds: tuple[int, ...] = (0, 1, 2),
    stages: tuple[str, ...] = ("final",),
    lengths: tuple[float, ...] = (30.0,),
    reached: float = 0.95,
) -> StudyResult:
    """A whole study: model → how much better or worse than the others it is.

    The random protocols have two folds drawn anew for each seed, published splits one
    fold. Whole clips cannot be split by segments.
    """
    tracks = dataset().tracks if tracks is None else tracks
    rows, runs, impossible = [], [], []
    for model, better in models.items():
        for protocol in protocols:
            for segment_s in lengths:
                if protocol == "segment_random" and segment_s == 30.0:
                    impossible.append(_impossible(model, len(tracks)))
                    continue
                for seed in seeds:
                    for fold, part in enumerate(_folds(tracks, protocol, seed)):
                        for stage in stages:
                            rows.append(
                                predictions(
                                    part,
                                    model=model,
                                    protocol=protocol,
                                    skill=_DRAWN[protocol] + better,
                                    fold=fold,
                                    seed=seed,
                                    stage=stage,
                                    segment_s=segment_s,
                                )
                            )
                            runs.append(run_record(rows[-1], reached=reached))
    return StudyResult(
        pd.concat(rows, ignore_index=True), pd.DataFrame(runs), pd.DataFrame(impossible)
    )


def _folds(tracks: pd.DataFrame, protocol: str, seed: int) -> list[pd.DataFrame]:
    if protocol == "fault_filtered":
        return [tracks.iloc[::2]]
    if protocol == "artist_grouped":
        return [tracks.iloc[::2], tracks.iloc[1::2]]
    shuffled = tracks.sample(frac=1, random_state=seed)
    return [shuffled.iloc[::2].sort_index(), shuffled.iloc[1::2].sort_index()]


def _impossible(model: str, n_tracks: int) -> dict:
    reason = (
        "segment_random is impossible here: it needs at least two segments a track, and "
        f"{n_tracks} of {n_tracks} tracks have one; use shorter segments"
    )
    return {
        "segment_s": 30.0, "source": "picture", "protocol": "segment_random", "stage": "final",
        "n_tracks": n_tracks, "reason": reason, "model": model,
    }  # fmt: skip
