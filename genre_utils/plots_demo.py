"""Figures of one recording as a network hears it."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from genre_utils.gtzan_spectrogram import hertz_ticks, mel_centres
from genre_utils.hearing import Hearing
from genre_utils.plots import PALETTE, styled


@styled
def course(heard: Hearing, *, title: str) -> Figure:
    """Draw genre over time under the waveform and the mel spectrogram.

    Parameters
    ----------
    heard : Hearing
        As `hearing.hear` returns it.
    title : str
        What the figure says.
    """
    found = heard.prediction
    figure, (wave, mel, lanes) = plt.subplots(
        3, 1, figsize=(8.4, 6.2), sharex=True, height_ratios=(1, 1.8, 2.2)
    )
    times = (np.arange(len(heard.envelope)) + 0.5) * found.duration_s / len(heard.envelope)
    wave.fill_between(times, *heard.envelope.T, color=PALETTE[0], linewidth=0)
    wave.set_yticks([])
    wave.set_ylabel("waveform")
    _spectrogram(mel, heard.S, 0.0, found.duration_s)
    ranked = sorted(found.probabilities, key=found.probabilities.get)
    edges = [*(s.start_s for s in found.segments), found.segments[-1].end_s]
    said = [[s.probabilities.get(g, np.nan) for s in found.segments] for g in ranked]
    mesh = lanes.pcolormesh(
        edges, np.arange(len(ranked) + 1), said, cmap="Blues", vmin=0, vmax=1, edgecolors="white",
        linewidth=0.5,
    )  # fmt: skip
    lanes.set_yticks(np.arange(len(ranked)) + 0.5, ranked)
    lanes.tick_params(axis="y", length=0)
    lanes.set_xlabel("seconds")
    lanes.set_xlim(0, found.duration_s)
    bar = figure.colorbar(mesh, ax=lanes, pad=0.01)
    bar.set_label("probability")
    bar.outline.set_visible(False)
    for axis in (wave, mel, lanes):
        axis.grid(visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


@styled
def attended(heard: Hearing, *, title: str) -> Figure:
    """Draw the clearest window, and what its answer loses when a patch is hidden.

    Parameters
    ----------
    heard : Hearing
        As `hearing.hear` returns it.
    title : str
        What the figure says.
    """
    close = heard.closeup
    figure, (mel, lost) = plt.subplots(2, 1, figsize=(8.4, 5.0), sharex=True)
    _spectrogram(mel, close.S, close.start_s, close.end_s)
    limit = float(np.abs(close.drop).max()) or 1.0
    image = lost.imshow(
        close.drop, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
        interpolation="nearest", extent=(close.start_s, close.end_s, 0, len(close.S)),
    )  # fmt: skip
    _in_hertz(lost, len(close.S))
    lost.grid(visible=False)
    lost.set_xlabel("seconds")
    bar = figure.colorbar(image, ax=lost, pad=0.01)
    bar.set_label(f"probability of {close.genre}\nlost when hidden", fontsize=9)
    bar.outline.set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _spectrogram(axis, S: np.ndarray, start_s: float, end_s: float) -> None:
    axis.imshow(
        S, origin="lower", aspect="auto", cmap="magma", vmin=0, vmax=255,
        extent=(start_s, end_s, 0, len(S)),
    )  # fmt: skip
    _in_hertz(axis, len(S))
    axis.grid(visible=False)


def _in_hertz(axis, n_mels: int) -> None:
    ticks = hertz_ticks(mel_centres(n_mels))
    axis.set_yticks([n_mels * place for place in ticks.values()], [f"{hz:,}" for hz in ticks])
    axis.set_ylabel("Hz (mel scale)")
