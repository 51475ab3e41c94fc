"""Tables of the notebook on music of one's own: which file, what the network says of it."""

from pathlib import Path

import pandas as pd

from genre_utils import datasets, inference, project
from genre_utils.bundle import Bundle
from genre_utils.datasets import Dataset
from genre_utils.hearing import Hearing
from genre_utils.project import ProjectError

_PARTS = {"train": "training", "valid": "validation", "test": "test"}


def songs(dataset: Dataset, model: Bundle, song: str = "", *, n_songs: int = 1) -> pd.DataFrame:
    """Return the sound files to listen to, and what is known of them.

    Parameters
    ----------
    dataset : Dataset
        Whose clips are taken where no song is named: those of the validation part, which
        neither trained the network nor tests it, one a genre first. Where it has no sound,
        the demo data set's are taken.
    model : Bundle
        What will hear them.
    song : str
        A file or a folder of one's own; empty for clips of the data set.
    n_songs : int
        How many files at most.

    Returns
    -------
    pd.DataFrame
        ``file`` (a path) ``, true_genre, part`` (of the split that the network learnt by:
        training, validation or test); missing where they are not known.

    Raises
    ------
    ProjectError
        If the song is not there, or a folder holds no sound.
    """
    if song:
        named = Path(song).expanduser()
        path = named if named.exists() else project.root() / named
        if not path.exists():
            raise ProjectError(
                f"song={song!r}: no such file or folder, neither here nor in the project's own; "
                "give the whole path"
            )
        files = inference.sound_files(path)[:n_songs] if path.is_dir() else [path]
        return pd.DataFrame({"file": files, "true_genre": None, "part": None})
    tracks = dataset.tracks[dataset.tracks["audio_path"].notna()]
    if tracks.empty:
        return songs(datasets.load("demo"), model, n_songs=n_songs)
    unseen = tracks[tracks["fault_filtered_split"] == "valid"]
    tracks = tracks if unseen.empty else unseen
    order = tracks.groupby("genre").cumcount().sort_values(kind="stable").index
    chosen = tracks.loc[order[:n_songs]]
    # A card begins with the title of the data set that its network learnt from.
    learnt = dataset.title.startswith(model.card.title.partition(":")[0])
    return pd.DataFrame(
        {
            "file": [Path(path) for path in chosen["audio_path"]],
            "true_genre": chosen["genre"].to_list(),
            "part": chosen["fault_filtered_split"].map(_PARTS).to_list() if learnt else None,
        }
    )


def genres(heard: Hearing) -> pd.DataFrame:
    """Return ``genre, probability, clearest``: over all, and where the genre is clearest.

    Parameters
    ----------
    heard : Hearing
        As `hearing.hear` returns it.
    """
    pieces = [s for s in heard.prediction.segments if s.probabilities]
    rows = []
    ranked = sorted(heard.prediction.probabilities.items(), key=lambda pair: -pair[1])
    for genre, probability in ranked:
        best = max(pieces, key=lambda piece: piece.probabilities[genre])
        span = f"{best.start_s:.0f}–{best.end_s:.0f} s ({best.probabilities[genre]:.2f})"
        rows.append({"genre": genre, "probability": round(probability, 2), "clearest": span})
    return pd.DataFrame(rows)


def several(files: pd.DataFrame, model: Bundle) -> pd.DataFrame:
    """Return one row a file: the answer, or why there is none.

    Parameters
    ----------
    files : pd.DataFrame
        Of `songs`.
    model : Bundle
        What hears them.

    Returns
    -------
    pd.DataFrame
        ``file, answer, probability, second, true_genre, part, remarks``; a dash stands for
        what is not known.
    """
    rows = []
    for file in files["file"]:
        try:
            found = inference.predict(file, model=model, top=2)
        except ProjectError as error:
            reason = str(error).removeprefix(f"{file}: ")
            rows.append({"file": file.name, "answer": "–", "second": "–", "remarks": reason})
            continue
        (answer, probability), (second, _) = found.top
        rows.append(
            {
                "file": file.name,
                "answer": answer,
                "probability": round(probability, 2),
                "second": second,
                "remarks": "; ".join(found.warnings),
            }
        )
    known = files[["true_genre", "part"]].fillna("–").reset_index(drop=True)
    columns = ["file", "answer", "probability", "second", "true_genre", "part", "remarks"]
    return pd.concat([pd.DataFrame(rows), known], axis=1).reindex(columns=columns)
