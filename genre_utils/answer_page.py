"""What the demo page shows of a recording, as HTML that fits any width, light and dark."""

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape

import numpy as np
import soundfile as sf
from PIL import Image

from genre_utils import inference
from genre_utils.bundle import Bundle
from genre_utils.gtzan_spectrogram import hertz_ticks, mel_centres
from genre_utils.hearing import SEGMENT_S, CloseUp, Hearing

SHOWN_GENRES = 5
"""How many genres have a bar of their own."""

_MOST_POINTS = 700
_NOTHING_LOST = 0.005
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
_MOST_TICKS = 5

# Dark to bright, as even to the eye as matplotlib's "magma" that it is read from.
_COLOURS = (
    (0, 0, 4), (29, 17, 71), (81, 18, 124), (130, 37, 129), (182, 54, 121),
    (230, 81, 98), (251, 136, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip

CSS = """
.gradio-container { --strong: #0173b2; --quiet: #526070; --warn: #9a5b00; --alarm: #b3261e; }
.dark .gradio-container, .gradio-container.dark {
  --strong: #56b4e9; --quiet: #a9b4c2; --warn: #f0b450; --alarm: #ff8a80; }
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.gradio-container input[type=file] { max-width: 100%; }
.top h1 { font-size: 1.7rem; font-weight: 700; margin: .4rem 0 .2rem; }
.top p, .heard p, .waiting p, .unheard p { margin: .3rem 0; line-height: 1.45; }
.waiting { border: 1px dashed var(--border-color-primary); border-radius: 10px;
  padding: 2.2rem 1.2rem; text-align: center; color: var(--quiet); }
.unheard { border: 1px solid var(--alarm) !important; border-left-width: 6px !important;
  border-radius: 8px; padding: .8rem 1rem; }
.unheard h2 { color: var(--alarm) !important; font-size: 1.15rem; font-weight: 700; margin: 0; }
.heard h2 { font-size: 1.5rem; font-weight: 700; margin: 0; }
.heard h2 b { color: var(--strong); }
.heard h3 { font-size: 1.05rem; font-weight: 700; margin: 1.5rem 0 .35rem; }
.promise { color: var(--quiet); font-size: .875rem; line-height: 1.45; margin: 0; }
.heard .small, .heard .file { color: var(--quiet); font-size: .875rem; }
.heard .file { overflow-wrap: anywhere; }
.heard .note { border-left: 6px solid var(--warn) !important; border-radius: 8px;
  padding: .5rem .9rem; margin: .7rem 0; background: var(--background-fill-secondary); }
.heard .note strong { color: var(--warn); }
.heard table { width: 100%; border-collapse: collapse; border: 0 !important;
  margin: .8rem 0 .4rem; }
.heard table :is(tr, th, td) { border: 0 !important; background: none !important; }
.heard .bars th { font-weight: 500; text-align: left; width: 5.6rem; padding: .16rem 0; }
.heard .bars td { padding: .16rem 0; }
.heard .bars td:last-child { width: 3.2rem; text-align: right;
  font-variant-numeric: tabular-nums; }
.heard .bars i { display: block; height: 1rem; border-radius: 3px; background: var(--strong);
  min-width: 2px; opacity: .55; }
.heard .bars tr:first-child th, .heard .bars tr:first-child td { font-weight: 700; }
.heard .bars tr:first-child i { opacity: 1; }
.heard .time { display: grid; grid-template-columns: 5.6rem 1fr; align-items: center;
  row-gap: 3px; font-size: .8125rem; }
@media (max-width: 500px) { .heard .time { grid-template-columns: 4.5rem 1fr; } }
.heard .time > span { padding-right: .5rem; line-height: 1.15; }
.heard .time .best { font-weight: 700; }
.heard .time svg, .heard .time img { display: block; width: 100%; border-radius: 3px; }
.heard .picture { position: relative; }
.heard .picture em, .heard .axis em { position: absolute; font-style: normal;
  font-size: .6875rem; line-height: 1; white-space: nowrap; }
.heard .picture em { left: 4px; color: #fff; transform: translateY(50%);
  text-shadow: 0 0 3px #000, 0 0 3px #000; }
.heard .axis { position: relative; height: 1.1rem; color: var(--quiet); }
.heard .axis em { top: .25rem; transform: translateX(-50%); }
.heard .axis em:first-child { transform: none; }
.heard .lane { background: var(--background-fill-secondary); }
.heard .lane rect { fill: var(--strong); }
.heard .wave { fill: var(--strong); }
.heard audio { width: 100%; height: 2.4rem; margin-top: .5rem; }
.dark .heard audio { color-scheme: dark; }
.heard details { margin-top: 1rem; font-size: .875rem; }
.heard details summary { cursor: pointer; }
.heard .numbers { overflow-x: auto; }
.heard .numbers th, .heard .numbers td { text-align: left; padding: .1rem .8rem .1rem 0;
  font-variant-numeric: tabular-nums; }
"""
"""Styles of the whole page; its colours follow the page's light or dark theme."""


def answer(hearing: Hearing, *, name: str, model: Bundle) -> str:
    """Return what is shown of a recording.

    Parameters
    ----------
    hearing : Hearing
        As `hearing.hear` returns it.
    name : str
        What the recording is called.
    model : Bundle
        What heard it.
    """
    found = hearing.prediction
    sure = "if anything"
    if inference.UNLIKE not in found.warnings:
        sure = _percent(found.probabilities[found.genre])
    return f"""<article class="heard">
<h2>Most like <b>{escape(found.genre)}</b>, {sure}</h2>
<p class="file">{escape(name)} · {_clock(found.duration_s)} heard in {_time(found.elapsed_s)}</p>
{"".join(_notes(found.warnings))}
{_bars(found.probabilities)}
<p class="small">{_on_probabilities(model)}</p>
<h3>Genre over time</h3>
{_course(hearing, model)}
<h3>What the network attended to</h3>
{_attended(hearing, model)}
{_numbers(hearing)}
</article>"""


def waiting(text: str) -> str:
    """Return what is shown before there is an answer."""
    return f'<div class="waiting"><p>{escape(text)}</p></div>'


def refusal(reason: str, *, name: str, hint: str) -> str:
    """Return what is shown of a recording that cannot be classified.

    Parameters
    ----------
    reason : str
        What was found.
    name : str
        What the recording is called.
    hint : str
        What can be done.
    """
    return (
        f'<div class="unheard" role="alert"><h2>No answer for {escape(name)}</h2>'
        f"<p>{escape(reason[:1].upper() + reason[1:])}.</p><p>{escape(hint)}</p></div>"
    )


def _notes(warnings: Iterable[str]) -> Iterator[str]:
    for warning in sorted(warnings, key=lambda warning: warning != inference.UNLIKE):
        title = "Unfamiliar music" if warning == inference.UNLIKE else "Note"
        yield f'<p class="note" role="note"><strong>{title}:</strong> {escape(warning)}.</p>'


def _bars(probabilities) -> str:
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    shown, others = ranked[:SHOWN_GENRES], ranked[SHOWN_GENRES:]
    if others:
        label = f"{len(others)} other{'s' if len(others) > 1 else ''}"
        shown = [*shown, (label, sum(p for _, p in others))]
    rows = [
        f'<tr><th scope="row">{escape(genre)}</th><td><i style="width:{100 * p:.1f}%"></i></td>'
        f"<td>{_percent(p)}</td></tr>"
        for genre, p in shown
    ]
    return f'<table class="bars" aria-label="Probability of each genre">{"".join(rows)}</table>'


def _on_probabilities(model: Bundle) -> str:
    text = (
        "Probabilities are calibrated: of many answers given with 70 %, about 70 in 100 should "
        "be right, for music like that which the network learnt from."
    )
    if "accuracy" in model.card.scores:
        right = round(100 * model.card.scores["accuracy"])
        text += f" On its test music it is right {right} times in 100."
    return text


def _course(hearing: Hearing, model: Bundle) -> str:
    found = hearing.prediction
    ranked = sorted(found.probabilities, key=found.probabilities.get, reverse=True)
    lanes = "".join(
        f"<span{' class=best' if genre == found.genre else ''}>{escape(genre)}</span>"
        f"{_lane(genre, hearing)}"
        for genre in ranked
    )
    picture = _data_uri(_png(_coloured(_pooled(hearing.S))), "image/png")
    return f"""<div class="time">
<span>waveform</span>{_wave(hearing)}
<span>mel bands</span><div class="picture">
<img src="{picture}" alt="Mel spectrogram of {_clock(found.duration_s)}: bright where it is loud"
 style="height:104px">{_hertz(model)}</div>
{lanes}
<span></span>{_axis(0, found.duration_s)}
</div>
<p class="small">The bluer a piece of {SEGMENT_S:g} s, the more probable the genre there.
Pieces so short are less sure than the whole.</p>"""


def _lane(genre: str, hearing: Hearing) -> str:
    found, rects = hearing.prediction, []
    for segment in found.segments:
        p = segment.probabilities.get(genre, 0.0)
        if p >= 0.01:
            start, width = segment.start_s, segment.end_s - segment.start_s
            span = f"{_clock(start)}–{_clock(segment.end_s)}"
            rects.append(
                f'<rect x="{start:.2f}" width="{width:.2f}" height="1" opacity="{p:.2f}">'
                f"<title>{escape(genre)}, {span}: {_percent(p)}</title></rect>"
            )
    return (
        f'<svg class="lane" viewBox="0 0 {found.duration_s:.2f} 1" preserveAspectRatio="none" '
        f'height="15" role="img" aria-label="{escape(genre)} over time">{"".join(rects)}</svg>'
    )


def _wave(hearing: Hearing) -> str:
    lows, highs = _thinned(hearing.envelope).T
    peak = max(float(np.abs(hearing.envelope).max()), 1e-6)
    xs = np.arange(len(lows)) / max(len(lows) - 1, 1) * 1000
    there = [f"{x:.1f} {-y:.2f}" for x, y in zip(xs, highs / peak, strict=True)]
    back = [f"{x:.1f} {-y:.2f}" for x, y in zip(xs[::-1], lows[::-1] / peak, strict=True)]
    return (
        '<svg class="wave" viewBox="0 -1 1000 2" preserveAspectRatio="none" height="64" '
        f'role="img" aria-label="Waveform"><path d="M{" L".join(there + back)} Z"/></svg>'
    )


def _thinned(envelope: np.ndarray) -> np.ndarray:
    if len(envelope) <= _MOST_POINTS:
        return envelope
    starts = np.arange(_MOST_POINTS) * len(envelope) // _MOST_POINTS
    lows = np.minimum.reduceat(envelope[:, 0], starts)
    return np.stack([lows, np.maximum.reduceat(envelope[:, 1], starts)], axis=1)


def _pooled(S: np.ndarray) -> np.ndarray:
    if S.shape[1] <= _MOST_POINTS:
        return S
    starts = np.arange(_MOST_POINTS) * S.shape[1] // _MOST_POINTS
    sums = np.add.reduceat(S.astype(np.float32), starts, axis=1)
    return (sums / np.diff(starts, append=S.shape[1])).astype(np.uint8)


def _coloured(S: np.ndarray) -> np.ndarray:
    """Return a spectrogram as a picture [shape=(n_mels, n_frames, 3)], low bands at its foot."""
    at = np.linspace(0, 255, len(_COLOURS))
    table = [np.interp(np.arange(256), at, channel) for channel in zip(*_COLOURS, strict=True)]
    return np.stack(table, axis=1)[S[::-1]].astype(np.uint8)


def _spotlight(closeup: CloseUp) -> np.ndarray:
    """Return the picture with what matters in colour, and the rest in dark grey."""
    coloured = _coloured(closeup.S).astype(np.float32)
    bands, moments = (
        np.arange(n) * parts // n
        for n, parts in zip(closeup.S.shape, closeup.drop.shape, strict=True)
    )
    weight = closeup.drop[bands][:, moments].clip(0) / max(closeup.drop.max(), _NOTHING_LOST)
    weight = np.sqrt(weight)[::-1, :, None]
    grey = 0.45 * coloured.mean(axis=2, keepdims=True)
    return (weight * coloured + (1 - weight) * grey).astype(np.uint8)


def _attended(hearing: Hearing, model: Bundle) -> str:
    closeup, said = hearing.closeup, ""
    span = f"{_clock(closeup.start_s)} to {_clock(closeup.end_s)}"
    if hearing.prediction.duration_s > closeup.end_s - closeup.start_s:
        said = (
            f"From {span} the music speaks most clearly for {escape(closeup.genre)} "
            f"({_percent(closeup.probability)}). "
        )
    if closeup.drop.max() < _NOTHING_LOST:
        said += "No single patch of time and frequency decides that: hiding one changes nothing."
    else:
        said += (
            "Each patch of time and frequency was hidden once. In colour: those without which the "
            f"network is less sure of {escape(closeup.genre)}, by up to "
            f"{100 * closeup.drop.max():.0f} points."
        )
    picture = _data_uri(_png(_spotlight(closeup)), "image/png")
    return f"""<p>{said}</p>
<div class="time"><span>mel bands</span><div class="picture">
<img src="{picture}" alt="Mel spectrogram from {span}; in colour what the answer rests on"
 style="height:190px">{_hertz(model)}</div>
<span></span>{_axis(closeup.start_s, closeup.end_s)}
<span>listen</span><audio controls preload="none" src="{_sound(closeup)}"></audio></div>
<p class="small">You hear what the network heard: one channel, {closeup.sr:,} samples a
second.</p>"""


def _numbers(hearing: Hearing) -> str:
    rows = []
    for segment in hearing.prediction.segments:
        best = sorted(segment.probabilities.items(), key=lambda pair: -pair[1])[:3]
        said = ", ".join(f"{escape(genre)} {_percent(p)}" for genre, p in best) or "silent"
        span = f"{_clock(segment.start_s)}–{_clock(segment.end_s)}"
        rows.append(f"<tr><td>{span}</td><td>{said}</td></tr>")
    return (
        '<details><summary>The same in numbers</summary><div class="numbers"><table>'
        '<tr><th scope="col">time</th><th scope="col">genres</th></tr>'
        f"{''.join(rows)}</table></div></details>"
    )


def _hertz(model: Bundle) -> str:
    """Return labels of frequency that lie over a picture of mel bands."""
    ticks = hertz_ticks(mel_centres(model.preprocessing.n_mels))
    return "".join(
        f'<em style="bottom:{100 * place:.1f}%">{hz:,} Hz</em>' for hz, place in ticks.items()
    )


def _axis(start_s: float, end_s: float) -> str:
    length_s = end_s - start_s
    step = next((s for s in _STEPS_S if length_s / s <= _MOST_TICKS), _STEPS_S[-1])
    ticks = [start_s, *np.arange(start_s // step + 1, end_s // step + 1) * step]
    # A label at the very end would stick out.
    ticks = [t for t in ticks if t == start_s or 0.08 < (t - start_s) / length_s < 0.97]
    labels = [
        f'<em style="left:{100 * (t - start_s) / length_s:.1f}%">{_clock(t)}</em>' for t in ticks
    ]
    return f'<div class="axis" aria-hidden="true">{"".join(labels)}</div>'


def _sound(closeup: CloseUp) -> str:
    content = io.BytesIO()
    sf.write(content, closeup.y.clip(-1, 1), closeup.sr, format="MP3")
    return _data_uri(content.getvalue(), "audio/mpeg")


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f}\N{NO-BREAK SPACE}%"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{rest:02d}"
