"""Sentences of the notebook on music of one's own, filled from what the network says."""

import numpy as np
import pandas as pd

from genre_utils import gtzan_spectrogram, inference
from genre_utils.bundle import Bundle
from genre_utils.hearing import Hearing
from genre_utils.results import interval
from genre_utils.words import count_of

_OF_PART = {
    "training": "which the network learnt from",
    "validation": "which chose the network's epoch and its temperature and so flatters it",
    "test": "which the network neither learnt from nor was chosen by",
}


def course_alt(heard: Hearing) -> str:
    """Return the alt text of the figure of genre over time."""
    found = heard.prediction
    said = [max(s.probabilities, key=s.probabilities.get, default="silent") for s in found.segments]
    runs = [(s.start_s, genre) for s, genre in zip(found.segments, said, strict=True)]
    turns = [run for i, run in enumerate(runs) if not i or run[1] != runs[i - 1][1]]
    listed = ", ".join(f"{genre} from {start:.0f} s" for start, genre in turns[:8])
    return (
        f"Waveform, mel spectrogram and probability of each genre over {found.duration_s:.0f} s. "
        f"Most probable: {listed}{' ...' if len(turns) > 8 else ''}."
    )


def attended_alt(heard: Hearing) -> str:
    """Return the alt text of the figure of what the answer rests on."""
    close = heard.closeup
    return (
        f"Mel spectrogram from {close.start_s:.0f} to {close.end_s:.0f} s, and below it how much "
        f"probability of {close.genre} is lost when a patch is hidden: {close.drop.max():.3f} at "
        "most."
    )


def attended_line(heard: Hearing) -> str:
    """Return where the patch is that matters most."""
    close = heard.closeup
    if close.drop.max() <= 0:
        return f"No patch speaks for {close.genre}: hiding any of them makes it more probable."
    band, moment = np.unravel_index(close.drop.argmax(), close.drop.shape)
    of_bands = np.arange(len(close.S)) * len(close.drop) // len(close.S)
    hertz = gtzan_spectrogram.mel_centres(len(close.S))[of_bands == band]
    at = close.start_s + (moment + 0.5) * (close.end_s - close.start_s) / close.drop.shape[1]
    return (
        f"From {close.start_s:.0f} to {close.end_s:.0f} s the network gives {close.genre} "
        f"{close.probability:.2f}. The patch that matters most lies at {at:.0f} s between "
        f"{hertz[0]:,.0f} and {hertz[-1]:,.0f} Hz: without it, the probability is "
        f"{close.drop.max():.3f} lower."
    )


def answer(heard: Hearing, *, name: str) -> str:
    """Return the answer in a sentence, with all that makes it less sure.

    Parameters
    ----------
    heard : Hearing
        As `hearing.hear` returns it.
    name : str
        What the recording is called.
    """
    found = heard.prediction
    (first, p), (second, q) = found.top[:2]
    text = (
        f"**{name}** sounds most like **{first}** ({p:.2f}), then like {second} ({q:.2f}). "
        f"{found.duration_s:.0f} s of it were heard."
    )
    if inference.UNLIKE in found.warnings:
        text += " It lies outside of the music that the network learnt from: do not rely on this."
    others = [warning for warning in found.warnings if warning != inference.UNLIKE]
    return text + "".join(f" Note: {warning}." for warning in others)


def label_line(file: pd.Series) -> str:
    """Return a recording's label, and of which part it is; nothing where this is not known.

    Parameters
    ----------
    file : pd.Series
        A row of `tables_demo.songs`.
    """
    if pd.isna(file["true_genre"]):
        return ""
    text = f"Its label in the data set: {file['true_genre']}."
    if pd.notna(file["part"]):
        text += f" It is of the {file['part']} part, {_OF_PART[file['part']]}."
    return text


def several_line(table: pd.DataFrame) -> str:
    """Return how many answers are right, and of which parts the files are.

    Parameters
    ----------
    table : pd.DataFrame
        Of `tables_demo.several`; nothing is said where no label is known.
    """
    known = table[table["true_genre"].ne("–") & table["answer"].ne("–")]
    if known.empty:
        return ""
    n_right = (known["answer"] == known["true_genre"]).sum()
    counts = known["part"][known["part"].ne("–")].value_counts()
    parts = "".join(
        f" {count_of(n, 'file')} {_are(n)} of the {part} part, {_OF_PART[part]}."
        for part, n in counts.items()
    )
    return (
        f"{n_right} of {count_of(len(known), 'answer')} {_are(n_right)} the label in the data "
        f"set.{parts} So few files are examples, and no score."
    )


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def limits(model: Bundle) -> str:
    """Return how often the network is right, and what it does not know."""
    scores, text = model.card.scores, ""
    if {"accuracy", "accuracy_low", "accuracy_high"} <= set(scores):
        text = (
            "On test music of GTZAN, without its known faults, the network is right in "
            f"{interval(scores)} of all tracks. "
        )
    return text + model.card.sections.get("Limits", "")
