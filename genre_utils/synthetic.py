"""The embedded `demo` data set: a small GTZAN of invented bands, made by rule from a seed.

Nothing here was recorded. Ten `GenreRule` entries state the conventions of ten genres:
tempo, groove, harmony, instruments, loudness. Fifty invented artists play by them, each in
a way of their own, and record two tracks in the sound of their own studio. So a classifier
finds in this data what it finds in real music: genres that overlap, pieces of one track that
are nearly alike, and tracks of one artist that share more than their genre.

Patterns are written as drum machines write them: a bar is 16 steps, four to the beat.
``.`` rests; in drums ``x`` is a hit and ``o`` a soft one; elsewhere ``x`` is the whole chord
held until the next step that plays, ``s`` the whole chord cut short, and a digit one tone of
the chord: 1 its root, 3, 5 and 7 the tones above it, 6 the sixth and 8 the octave.
"""

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy import fft, signal
from scipy.io import wavfile

from genre_utils import GENRES, project
from genre_utils.progress import track as with_progress

VERSION = "1"
"""Changes whenever the same seed would give other music."""

SR = 22_050
N_SAMPLES = 661_500
ARTISTS_PER_GENRE = 5
TRACKS_PER_ARTIST = 2
TITLE = "demo (synthetic)"

_SEED = 1959
_TABLE = 4096
_MANIFEST = "manifest.json"
_README = f"""{TITLE}

These {len(GENRES) * ARTISTS_PER_GENRE * TRACKS_PER_ARTIST} clips were computed by \
genre_utils/synthetic.py (version {VERSION}) from a seed. No recording,
no composition and no person's voice is in them; the artists are invented. They are for
learning and testing. Results from them say nothing about real music: call them
"{TITLE}" wherever they are shown. Licence: that of the project (MIT).
"""


# ---------------------------------------------------------------- sounds with a pitch


@dataclass(frozen=True)
class Patch:
    """How one instrument sounds: a dull and a bright wave, each with its own decay."""

    slope: float  # partial k is as loud as k ** -slope
    decay_s: float = 30.0  # time constant of the dull wave; long for what is bowed or blown
    bright_s: float = 30.0  # time constant of the bright wave: short for what is plucked
    attack_s: float = 0.004
    even: float = 1.0  # level of even partials: little for a clarinet or a square wave
    voices: int = 1  # players in unison, slightly out of tune
    vibrato: float = 0.0  # depth, in periods of the tone
    formants: tuple[float, ...] = ()  # Hz; resonances of a vocal tract
    drive: float = 0.0  # overdrive of the amplifier; 0 for none


PATCHES = {
    "piano": Patch(1.3, 0.9, 0.15),
    "epiano": Patch(2.0, 1.1, 0.08, even=0.4),
    "organ": Patch(0.9, attack_s=0.01, even=0.7, vibrato=0.15),
    "strings": Patch(1.1, attack_s=0.12, voices=3, vibrato=0.25),
    "brass": Patch(0.8, bright_s=0.5, attack_s=0.03, voices=2),
    "sax": Patch(0.9, attack_s=0.03, even=0.8, vibrato=0.3, formants=(650, 1500)),
    "flute": Patch(2.2, attack_s=0.05, vibrato=0.3),
    "clarinet": Patch(1.2, attack_s=0.03, even=0.08),
    "acoustic": Patch(1.2, 0.5, 0.10),
    "banjo": Patch(0.7, 0.20, 0.06),
    "fiddle": Patch(0.8, attack_s=0.05, vibrato=0.35, formants=(500, 2800)),
    "steel": Patch(1.2, 1.5, 0.4, attack_s=0.04, vibrato=0.8),
    "clean": Patch(1.3, 0.6, 0.2),
    "crunch": Patch(1.1, 1.0, 0.6, drive=4.0),
    "fuzz": Patch(0.8, 2.0, 1.5, voices=2, drive=9.0),
    "saw": Patch(0.9, 0.8, 0.3, voices=3),
    "square": Patch(1.0, 0.8, 0.4, even=0.03),
    "pad": Patch(1.4, attack_s=0.25, voices=3),
    "voice": Patch(0.8, attack_s=0.04, vibrato=0.35, formants=(600, 1200, 2600)),
    "harmonica": Patch(0.7, attack_s=0.03, voices=2, vibrato=0.3, formants=(1200, 2400)),
    "upright": Patch(1.9, 0.35, 0.06),
    "finger": Patch(1.5, 0.6, 0.15),
    "pick": Patch(1.0, 0.7, 0.3, drive=1.5),
    "sub": Patch(3.5, 1.5, 0.2),
    "synth bass": Patch(0.9, 0.5, 0.12),
    "cellos": Patch(1.3, attack_s=0.10, voices=3, vibrato=0.2),
}


def _wave_tables(patch: Patch, f0: float, dullness: float) -> tuple[np.ndarray, np.ndarray]:
    """One period of the dull and of the bright part of a tone, without aliasing."""
    k = np.arange(1, max(2, min(40, int(0.45 * SR / f0))))
    level = k ** -(patch.slope + dullness)
    level[1::2] *= patch.even
    if patch.formants:
        centres = np.array(patch.formants)[:, None]
        level *= 0.1 + np.exp(-(((k * f0 - centres) / (0.25 * centres)) ** 2)).sum(axis=0)
    level /= np.sqrt((level**2).sum())
    dull = level / k
    spectra = np.zeros((2, _TABLE // 2 + 1), complex)
    spectra[:, k] = -0.5j * _TABLE * np.stack([dull, level - dull])
    return tuple(fft.irfft(spectra, axis=1).astype(np.float32))


def tone(
    patch: Patch, midi: float, seconds: float, *, dullness: float = 0.0, detune: float = 0.0
) -> np.ndarray:
    """Play one note.

    Parameters
    ----------
    patch : Patch
        The instrument.
    midi : float
        Pitch as a MIDI note number; 69 is 440 Hz.
    seconds : float
        How long the note is held.
    dullness : float
        Added to the patch's slope; negative values sound brighter.
    detune : float
        Spread of the players' pitches, in cents.

    Returns
    -------
    np.ndarray [shape=(n_samples,)]
        float32, RMS of the undamped wave about 0.7.
    """
    f0 = 440.0 * 2 ** ((midi - 69) / 12)
    dull, bright = _wave_tables(patch, f0, dullness)
    t = np.arange(int(seconds * SR), dtype=np.float32) / SR
    wobble = patch.vibrato * np.sin(2 * np.pi * 5.3 * t) if patch.vibrato else 0.0
    dull_decay, bright_decay = np.exp(-t / patch.decay_s), np.exp(-t / patch.bright_s)
    y = np.zeros_like(t)
    for spread in np.linspace(-1, 1, patch.voices) if patch.voices > 1 else (0.0,):
        cycles = f0 * 2 ** (spread * detune / 1200) * t.astype(np.float64) + wobble + spread / 3
        index = (cycles * _TABLE).astype(np.int64) & (_TABLE - 1)
        y += dull[index] * dull_decay + bright[index] * bright_decay
    y *= np.minimum(t / patch.attack_s, 1) / patch.voices
    release = min(len(y), int(0.03 * SR))
    y[len(y) - release :] *= np.linspace(1, 0, release, dtype=np.float32)
    return y


# ---------------------------------------------------------------- drums

# name: decay (s), lowest and highest frequency of its noise (Hz), level and pitch (Hz) of its ring
_NOISY_DRUMS = {
    "snare": (0.10, 900, 7000, 0.6, 190),
    "clap": (0.09, 800, 3500, 0.0, 0),
    "rim": (0.02, 1200, 5000, 1.5, 480),
    "brush": (0.09, 1500, 8000, 0.0, 0),
    "hat": (0.03, 6000, 10500, 0.0, 0),
    "open": (0.18, 5500, 10500, 0.0, 0),
    "ride": (0.35, 4000, 9500, 0.1, 3100),
    "crash": (0.60, 2500, 10500, 0.1, 2300),
}
# name: decay (s), how far its pitch falls (Hz)
_KICKS = {"kick": (0.13, 120), "boom": (0.5, 60)}


def drum(name: str, rng: np.random.Generator) -> np.ndarray:
    """Hit a drum once; each drawing from `rng` is another drum kit's.

    Parameters
    ----------
    name : str
        ``kick``, ``boom`` (the long, low kick of a drum machine), ``snare``, ``clap``,
        ``rim``, ``brush``, ``hat``, ``open``, ``ride`` or ``crash``.
    rng : np.random.Generator
        Decides on size and colour.

    Returns
    -------
    np.ndarray [shape=(n_samples,)]
        float32, peak 1.
    """
    size = rng.uniform(0.7, 1.4)
    decay = size * (_KICKS.get(name) or _NOISY_DRUMS[name])[0]
    t = np.arange(int(5 * decay * SR)) / SR
    if name in _KICKS:
        pitch = 48 / np.sqrt(size) + _KICKS[name][1] * np.exp(-t / 0.03)
        y = np.sin(2 * np.pi * np.cumsum(pitch) / SR)
        y[:200] += rng.uniform(0, 0.5) * rng.standard_normal(200)
    else:
        _, low, high, ring, ring_hz = _NOISY_DRUMS[name]
        band = np.array([low, high]) * rng.uniform(0.7, 1.04)
        noise_filter = signal.butter(2, band, "bandpass", fs=SR, output="sos")
        y = signal.sosfilt(noise_filter, rng.standard_normal(len(t)))
        y = y / np.abs(y).max() + ring * np.sin(2 * np.pi * ring_hz / np.sqrt(size) * t)
    y *= np.exp(-t / decay)
    return (y / np.abs(y).max()).astype(np.float32)


# ---------------------------------------------------------------- what makes a genre

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "blues": (0, 3, 4, 5, 7, 9, 10),
}
_CHORDS = {"triad": "135", "seventh": "1357", "dominant": "1357", "power": "15"}
_FIXED_INTERVALS = {"dominant": (4, 7, 10), "power": (3, 7, 10)}


@dataclass(frozen=True)
class GenreRule:
    """The conventions of a genre; where several are given, artists and tracks choose."""

    tempo: tuple[float, float]  # beats a minute
    modes: tuple[str, ...]
    chord: str  # triad, seventh (both from the scale), dominant or power
    progressions: tuple[str, ...]  # one chord a bar, as a degree of the scale
    grooves: tuple[dict[str, str], ...]  # drum -> pattern
    bass: tuple[str, ...]
    bass_sounds: tuple[str, ...]
    comping: tuple[str, ...]
    chord_sounds: tuple[str, ...]
    lead_sounds: tuple[str, ...]
    neighbours: tuple[str, ...]  # genres from which artists borrow
    lead_density: float = 0.3  # chance that a melody note starts on an eighth
    register: int = 52  # lowest pitch of the chords, as a MIDI note number
    swing: float = 0.5  # where the off-beat eighth falls: 0.5 straight, 0.67 triplets
    level_db: float = -17.0  # RMS of the clip
    swell_db: float = 1.5  # how far the loudness breathes
    room_s: float = 0.4  # reverberation
    tilt_db: float = 0.0  # per octave: dark below zero, bright above
    balance: dict[str, float] = field(default_factory=dict)  # part -> dB


_FOUR = "x...x...x...x..."
_BACKBEAT = "....x.......x..."
_EIGHTHS = "x.o.x.o.x.o.x.o."
_GALLOP = "x.oxx.oxx.oxx.ox"

RULES = {
    "blues": GenreRule(
        tempo=(72, 120),
        modes=("blues",),
        chord="dominant",
        swing=0.66,
        tilt_db=-0.7,
        progressions=("111144115415", "141144115411"),
        grooves=(
            {"kick": "x.......x.......", "snare": _BACKBEAT, "ride": "x...x.o.x...x.o."},
            {"kick": "x.....o.x.......", "snare": _BACKBEAT, "hat": _EIGHTHS},
            {"kick": "x...o...x...o...", "rim": _BACKBEAT},
        ),
        bass=("1...3...5...6...", "1.1.3.3.5.5.6.6.", "1.....1.5.....6."),
        bass_sounds=("finger", "upright"),
        comping=("s.s.s.s.s.s.s.s.", "x.....s.x.....s.", "x...s...x...s..."),
        chord_sounds=("clean", "piano", "crunch", "acoustic"),
        lead_sounds=("crunch", "harmonica", "clean", "voice"),
        lead_density=0.35,
        level_db=-18,
        room_s=0.5,
        neighbours=("rock", "jazz", "country"),
    ),
    "classical": GenreRule(
        tempo=(60, 132),
        modes=("major", "minor"),
        chord="triad",
        tilt_db=-1.2,
        progressions=("1451", "16251", "1425", "15634145"),
        grooves=({},),
        bass=("1...............", "1.......5.......", "1...5...3...5..."),
        bass_sounds=("cellos", "upright"),
        comping=("1.5.3.5.1.5.3.5.", "x.......x.......", "1.3.5.8.5.3.5.3.", "x..............."),
        chord_sounds=("strings", "piano", "strings"),
        lead_sounds=("strings", "flute", "clarinet", "piano"),
        lead_density=0.45,
        level_db=-24,
        swell_db=7,
        room_s=1.8,
        neighbours=("jazz",),
        balance={"lead": 2, "bass": -3},
    ),
    "country": GenreRule(
        tempo=(86, 140),
        modes=("major",),
        chord="triad",
        tilt_db=0.5,
        progressions=("11451145", "1415", "14115511"),
        grooves=(
            {"kick": "x.......x.......", "brush": "o.oxo.oxo.oxo.ox"},
            {"kick": "x.......x.......", "snare": "..o.x.o...o.x.o.", "hat": _EIGHTHS},
            {"kick": "x.......x.......", "rim": _BACKBEAT},
        ),
        bass=("1.......5.......", "1.......5...6...", "1...1...5...5..."),
        bass_sounds=("upright", "finger"),
        comping=("....s.......s...", "1...s...5...s.s.", "1.5.3.5.8.5.3.5."),
        chord_sounds=("acoustic", "banjo", "clean"),
        lead_sounds=("fiddle", "steel", "voice", "banjo"),
        lead_density=0.4,
        level_db=-18,
        room_s=0.4,
        neighbours=("rock", "blues", "pop"),
        balance={"chords": 3, "drums": -3},
    ),
    "disco": GenreRule(
        tempo=(108, 130),
        modes=("minor", "dorian", "major"),
        chord="seventh",
        tilt_db=0.8,
        progressions=("1145", "2511", "6415", "1717"),
        grooves=(
            {"kick": _FOUR, "clap": _BACKBEAT, "open": "..x...x...x...x."},
            {"kick": _FOUR, "snare": _BACKBEAT, "hat": "xoxoxoxoxoxoxoxo"},
            {
                "kick": _FOUR,
                "snare": _BACKBEAT,
                "open": "..x...x...x...x.",
                "hat": _GALLOP,
            },
        ),
        bass=("1.8.1.8.1.8.1.8.", "1.8.1.8.5.8.7.8.", "1..81.8.1..85.7."),
        bass_sounds=("finger", "synth bass"),
        comping=("s.ss..s.s.ss..s.", "x.......x.......", "..s...s...s...s."),
        chord_sounds=("clean", "strings", "epiano"),
        lead_sounds=("voice", "strings", "brass"),
        lead_density=0.35,
        level_db=-15,
        room_s=0.6,
        neighbours=("pop", "hiphop"),
    ),
    "hiphop": GenreRule(
        tempo=(82, 106),
        modes=("minor", "dorian"),
        chord="seventh",
        swing=0.55,
        tilt_db=0.0,
        progressions=("1111", "1414", "1177", "1616"),
        grooves=(
            {"boom": "x..x......x.....", "snare": _BACKBEAT, "hat": _EIGHTHS},
            {"kick": "x.....xx..x.....", "clap": _BACKBEAT, "hat": "x.xox.x.x.xox.xo"},
            {"boom": "x.....x...x..x..", "snare": _BACKBEAT, "hat": "xoxoxoxoxoxoxoxo"},
        ),
        bass=("1.....1...1.....", "1..1......1..7..", "1..............."),
        bass_sounds=("sub", "finger"),
        comping=("x...............", "s.....s...s.....", "1..5..3...7....."),
        chord_sounds=("epiano", "strings", "piano", "saw"),
        lead_sounds=("voice", "voice", "square"),
        lead_density=0.75,
        level_db=-13,
        swell_db=0.8,
        room_s=0.2,
        neighbours=("reggae", "disco", "pop"),
        balance={"drums": 3, "bass": 3, "chords": -4},
    ),
    "jazz": GenreRule(
        tempo=(100, 200),
        modes=("major", "dorian"),
        chord="seventh",
        swing=0.65,
        tilt_db=-0.6,
        progressions=("2511", "1625", "3625", "25136251"),
        grooves=(
            {"ride": "x...x.o.x...x.o.", "hat": _BACKBEAT, "kick": "o.......o......."},
            {"ride": "x...x.o.x...x.o.", "snare": "......o.....o.o.", "hat": _BACKBEAT},
            {"brush": "o...x.o.o...x.o."},
        ),
        bass=("1...3...5...6...", "1...5...3...7...", "8...7...5...3..."),
        bass_sounds=("upright",),
        comping=("x.....s.........", "......s.......s.", "..s.......x....."),
        chord_sounds=("piano", "clean", "piano", "organ"),
        lead_sounds=("sax", "brass", "piano", "clarinet"),
        lead_density=0.55,
        level_db=-20,
        swell_db=3,
        room_s=0.6,
        neighbours=("blues", "classical"),
    ),
    "metal": GenreRule(
        tempo=(112, 190),
        modes=("phrygian", "minor"),
        chord="power",
        register=40,
        tilt_db=0.4,
        progressions=("1162", "1121", "1176", "16271627"),
        grooves=(
            {"kick": "xxxxxxxxxxxxxxxx", "snare": _BACKBEAT, "crash": "x......."},
            {"kick": "x.xxx.xxx.xxx.xx", "snare": _BACKBEAT, "hat": "x...x...x...x..."},
            {"kick": "x.x.x.x.x.x.x.x.", "snare": "..x...x...x...x.", "crash": "x......."},
        ),
        bass=("1111111111111111", "1.111.111.111.11", "1.1.1.1.1.1.1.1."),
        bass_sounds=("pick",),
        comping=("ssssssssssssssss", "s.sss.sss.sss.ss", "x.......x...s.s."),
        chord_sounds=("fuzz",),
        lead_sounds=("fuzz", "voice"),
        lead_density=0.4,
        level_db=-13,
        swell_db=0.5,
        room_s=0.3,
        neighbours=("rock",),
        balance={"chords": 4},
    ),
    "pop": GenreRule(
        tempo=(92, 128),
        modes=("major", "minor"),
        chord="triad",
        tilt_db=0.5,
        progressions=("1564", "6415", "1645", "4156"),
        grooves=(
            {"kick": "x.....x.x.......", "snare": _BACKBEAT, "hat": _EIGHTHS},
            {"kick": _FOUR, "clap": _BACKBEAT, "hat": "..x...x...x...x."},
            {"kick": "x..x..x.x..x....", "clap": _BACKBEAT, "hat": "x.xxx.x.x.xxx.x."},
        ),
        bass=("1.....1.5.....1.", "1.1.1.1.1.1.1.1.", "1.......1.....5."),
        bass_sounds=("synth bass", "finger"),
        comping=("x...............", "x...s.x.s...x...", "1.3.5.3.8.5.3.5."),
        chord_sounds=("pad", "saw", "piano", "saw"),
        lead_sounds=("voice", "voice", "saw"),
        lead_density=0.45,
        level_db=-15,
        room_s=0.6,
        neighbours=("disco", "rock", "hiphop"),
        balance={"lead": 3},
    ),
    "reggae": GenreRule(
        tempo=(66, 94),
        modes=("major", "minor", "dorian"),
        chord="triad",
        swing=0.56,
        progressions=("1414", "1155", "1241", "1177"),
        tilt_db=-1.2,
        grooves=(
            {"kick": "........x.......", "rim": "........x.......", "hat": _EIGHTHS},
            {"kick": _FOUR, "rim": "........x.......", "hat": "..x...x...x...x."},
            {"kick": "....x.......x...", "rim": "..x..x....x..x..", "hat": _EIGHTHS},
        ),
        bass=("..1.1...5...3.1.", "1.....5.3...1...", "1..1..5...5.3..."),
        bass_sounds=("sub", "finger"),
        comping=("..s...s...s...s.", "..ss..ss..ss..ss", "....s.......s..."),
        chord_sounds=("clean", "organ", "piano"),
        lead_sounds=("voice", "organ", "brass"),
        lead_density=0.3,
        level_db=-17,
        room_s=0.9,
        neighbours=("hiphop", "pop"),
        balance={"bass": 4, "chords": 2, "drums": -1},
    ),
    "rock": GenreRule(
        tempo=(96, 150),
        modes=("major", "minor", "blues"),
        chord="power",
        register=40,
        tilt_db=-0.3,
        progressions=("1145", "1474", "1645", "1715"),
        grooves=(
            {"kick": "x.....x.x.x.....", "snare": _BACKBEAT, "hat": _EIGHTHS},
            {"kick": "x.......x.x.....", "snare": _BACKBEAT, "crash": "x.......", "hat": _EIGHTHS},
            {"kick": "x..x..x...x.....", "snare": _BACKBEAT, "ride": "x.x.x.x.x.x.x.x."},
        ),
        bass=("1.1.1.1.1.1.1.1.", "1.....1.1.1.5...", "1.1.1.1.5.5.7.7."),
        bass_sounds=("pick", "finger"),
        comping=("x...x.x.x...x.x.", "x.......x.....x.", "s.s.s.s.x...x..."),
        chord_sounds=("crunch", "fuzz", "crunch"),
        lead_sounds=("voice", "crunch", "fuzz"),
        lead_density=0.35,
        level_db=-15,
        swell_db=1.0,
        room_s=0.5,
        neighbours=("metal", "blues", "country", "pop"),
        balance={"chords": 2},
    ),
}


# ---------------------------------------------------------------- artists and their tracks


@dataclass(frozen=True)
class Track:
    """One line of ``tracks.csv``, and which drawing of which artist it is."""

    genre: str
    artist: int
    take: int

    @property
    def track_id(self) -> str:
        """Name in GTZAN's way: ``blues.00000``."""
        return f"{self.genre}.{self.artist * TRACKS_PER_ARTIST + self.take:05d}"

    @property
    def artist_id(self) -> str:
        """Name of the invented artist."""
        return f"demo-{self.genre}-{self.artist + 1}"

    @property
    def artist_fold(self) -> int:
        """Fold 1 to 3; shifted from genre to genre, so that the folds are equally large."""
        return (self.artist + GENRES.index(self.genre)) % 3 + 1

    @property
    def part(self) -> str:
        """Two artists train, one validates, two test; one track is in no part, as in GTZAN."""
        if (self.artist, self.take) == (ARTISTS_PER_GENRE - 1, TRACKS_PER_ARTIST - 1):
            return ""
        return ("train", "train", "valid", "test", "test")[self.artist]

    @property
    def path(self) -> str:
        """Place of the sound file in the data set's folder."""
        return f"genres_original/{self.genre}/{self.track_id}.wav"


TRACKS = tuple(
    Track(genre, artist, take)
    for genre in GENRES
    for artist in range(ARTISTS_PER_GENRE)
    for take in range(TRACKS_PER_ARTIST)
)


@dataclass(frozen=True)
class Colour:
    """The sound of a studio and of its mastering desk."""

    tilt_db: float  # per octave
    bells: tuple[tuple[float, float], ...]  # (Hz, dB): peaks and dips of the equaliser
    cutoff_hz: float  # top end of the recording
    room_s: float
    wet: float  # level of the reverberation
    drive: float  # saturation
    hiss_db: float
    level_db: float


@dataclass(frozen=True)
class Artist:
    """What an artist keeps from track to track: habits, instruments and a studio."""

    tempo: float
    groove: dict[str, str]
    bass: str
    bass_sound: str
    comping: str
    chord_sound: str
    lead_sound: str
    lead_density: float
    dullness: float  # of all instruments
    detune: float  # cents
    tuning: float  # semitones off 440 Hz
    balance: dict[str, float]  # part -> dB
    colour: Colour


_PARTS = {"drums": 0.0, "bass": -1.0, "chords": -2.0, "lead": -3.0}
"""The four parts of every band and their RMS in a plain mix, in dB."""

# How far artists differ, and how far two takes of one artist do (standard deviations, dB).
# The first against the second decides how much a split that ignores artists leaks.
_ARTIST_SPREAD = {"tilt": 0.7, "bells": 2.2, "level": 1.2}
_TAKE_SPREAD = {"tilt": 0.5, "bells": 1.8, "level": 0.8}


def _invent_artist(genre: str, number: int) -> Artist:
    """Draw an artist from the seed; the same `genre` and `number` always give the same one."""
    rng = np.random.default_rng([_SEED, GENRES.index(genre), number])
    own = RULES[genre]
    # One artist of each genre stands between two genres, and borrows from a neighbour either
    # the rhythm section and the sound of the recording, or the instruments.
    rhythm = band = own
    if number == (3 * GENRES.index(genre) + 1) % ARTISTS_PER_GENRE:
        other = RULES[rng.choice(own.neighbours)]
        rhythm, band = (other, own) if rng.random() < 0.5 else (own, other)
    bells = zip(150 * 2 ** rng.uniform(0, 5.5, 4), rng.normal(0, 1, 4), strict=True)
    return Artist(
        tempo=rng.uniform(*rhythm.tempo),
        groove=rng.choice(rhythm.grooves),
        bass=rng.choice(rhythm.bass),
        bass_sound=rng.choice(rhythm.bass_sounds),
        comping=rng.choice(own.comping),
        chord_sound=rng.choice(band.chord_sounds),
        lead_sound=rng.choice(band.lead_sounds),
        lead_density=own.lead_density * rng.uniform(0.6, 1.4),
        dullness=rng.normal(0, 0.1),
        detune=rng.uniform(2, 15),
        tuning=rng.normal(0, 0.15),
        balance={part: own.balance.get(part, 0) + rng.normal(0, 1.5) for part in _PARTS},
        colour=Colour(
            tilt_db=rhythm.tilt_db + rng.normal(0, _ARTIST_SPREAD["tilt"]),
            bells=tuple((hz, _ARTIST_SPREAD["bells"] * db) for hz, db in bells),
            cutoff_hz=rng.uniform(8500, 11000),
            room_s=own.room_s * rng.uniform(0.6, 1.6),
            wet=rng.uniform(0.05, 0.35),
            drive=rng.uniform(0.2, 1.6),
            hiss_db=rng.uniform(-85, -65),
            level_db=rhythm.level_db + rng.normal(0, _ARTIST_SPREAD["level"]),
        ),
    )


# ---------------------------------------------------------------- from the rules to sound


def _hits(pattern: str):
    """Yield (step, symbol, steps until the next hit) of a bar."""
    steps = [step for step, symbol in enumerate(pattern) if symbol != "."]
    for step, following in zip(steps, [*steps[1:], len(pattern)], strict=True):
        yield step, pattern[step], following - step


def _intervals(chord: str, scale: tuple[int, ...], degree: int) -> dict[str, int]:
    """Semitones above the root of the chord on a degree, for each digit of a pattern."""
    thirds = [(scale[(degree + skip) % 7] - scale[degree]) % 12 for skip in (2, 4, 6)]
    third, fifth, seventh = _FIXED_INTERVALS.get(chord, thirds)
    return {"1": 0, "3": third, "5": fifth, "6": 9, "7": seventh, "8": 12}


def _fold(pitch: int, lowest: int) -> int:
    """Move a pitch by octaves into the octave that begins at `lowest`."""
    return lowest + (pitch - lowest) % 12


def _invent_motif(rng: np.random.Generator, density: float) -> list[tuple[int, int, int]]:
    """Draw two bars of melody: (eighth, its length in eighths, move along the scale)."""
    onsets = np.flatnonzero(rng.random(16) < density * np.tile([1.3, 0.7], 8))
    lengths = np.minimum(np.diff([*onsets, 16]), 4)
    return list(zip(onsets, lengths, rng.integers(-2, 3, len(onsets)), strict=True))


class _Session:
    """An artist plays a track; each sound is rendered once and laid wherever it is played."""

    def __init__(self, track: Track):
        self._seed = [_SEED, GENRES.index(track.genre), track.artist]
        self.rng = rng = np.random.default_rng([*self._seed, track.take, 1])
        self.rule, self.artist = RULES[track.genre], _invent_artist(track.genre, track.artist)
        self.parts = {part: np.zeros(N_SAMPLES, np.float32) for part in _PARTS}
        self._rendered: dict[tuple, np.ndarray] = {}

        self.scale = SCALES[rng.choice(self.rule.modes)]
        self.key = rng.integers(0, 12)
        self.progression = rng.choice(self.rule.progressions)
        self.comping, self.lead_sound = self.artist.comping, self.artist.lead_sound
        if rng.random() < 0.4:
            self.comping = rng.choice(self.rule.comping)
        if rng.random() < 0.3:
            self.lead_sound = rng.choice(self.rule.lead_sounds)
        self.motifs = [_invent_motif(rng, self.artist.lead_density) for _ in range(2)]
        self.beat_s = 60 / (self.artist.tempo * rng.uniform(0.94, 1.06))
        self.drums_enter = rng.choice([0, 0, 2])  # some tracks start without them

    def _lay(self, part: str, sound: np.ndarray, beat: float, level: float = 1.0) -> None:
        """Add a sound to a part, played by a human; the clip's end cuts off what runs over."""
        swung = beat // 1 + np.interp(beat % 1, (0, 0.5, 1), (0, self.rule.swing, 1))
        at_s = swung * self.beat_s + self.rng.normal(0, 0.004)
        level *= self.rng.uniform(0.75, 1)
        start = max(0, int(at_s * SR))
        heard = sound[: max(0, N_SAMPLES - start)]
        self.parts[part][start : start + len(heard)] += np.float32(level) * heard

    def _drum(self, name: str, beat: float, level: float) -> None:
        if name not in self._rendered:
            kit = np.random.default_rng([*self._seed, 2, *name.encode()])
            self._rendered[name] = drum(name, kit)
        self._lay("drums", self._rendered[name], beat, level)

    def _notes(self, part: str, instrument: str, pitches, beat: float, seconds: float) -> None:
        key = (instrument, *pitches, round(seconds, 2))
        if key not in self._rendered:
            habits = {"dullness": self.artist.dullness, "detune": self.artist.detune}
            voices = [
                tone(PATCHES[instrument], pitch + self.artist.tuning, key[-1], **habits)
                for pitch in pitches
            ]
            self._rendered[key] = np.sum(voices, axis=0) / np.float32(np.sqrt(len(voices)))
        self._lay(part, self._rendered[key], beat)

    def _pattern(self, part, instrument, pattern, bar, root, intervals, lowest) -> None:
        """Play one bar of bass or chords."""
        for step, symbol, steps in _hits(pattern):
            if symbol in intervals:
                pitches = [_fold(root, lowest) + intervals[symbol]]
            else:
                digits = _CHORDS[self.rule.chord]
                pitches = sorted({_fold(root + intervals[digit], lowest) for digit in digits})
            seconds = 0.11 if symbol == "s" else min(2.5, steps / 4 * self.beat_s)
            self._notes(part, instrument, pitches, 4 * bar + step / 4, seconds)

    def play(self, bar: int) -> None:
        """Play one bar: drums, bass, chords, and in some bars the melody."""
        artist, rule = self.artist, self.rule
        if bar >= self.drums_enter:
            for name, pattern in artist.groove.items():
                for step, symbol, _ in _hits(pattern):
                    self._drum(name, 4 * bar + step / 4, 1.0 if symbol == "x" else 0.45)
        degree = int(self.progression[bar % len(self.progression)]) - 1
        harmony = (self.key + self.scale[degree], _intervals(rule.chord, self.scale, degree))
        self._pattern("bass", artist.bass_sound, artist.bass, bar, *harmony, 28)
        self._pattern("chords", artist.chord_sound, self.comping, bar, *harmony, rule.register)
        phrase = bar // 4 % 4
        if bar % 2 == 0 and phrase != 3:
            place = 0
            for eighth, length, move in self.motifs[phrase % 2]:
                place = int(np.clip(place + move, -4, 8))
                pitch = 64 + self.key + self.scale[place % 7] + 12 * (place // 7)
                beat, seconds = 4 * bar + eighth / 2, length / 2 * self.beat_s
                self._notes("lead", self.lead_sound, [pitch], beat, seconds)

    def mix(self) -> np.ndarray:
        """Bring the parts to their levels and add them [shape=(661500,), dtype=float32]."""
        artist, total = self.artist, np.zeros(N_SAMPLES, np.float32)
        instruments = {
            "bass": artist.bass_sound,
            "chords": artist.chord_sound,
            "lead": self.lead_sound,
        }
        for part, y in self.parts.items():
            if part in instruments and (drive := PATCHES[instruments[part]].drive):
                y = np.tanh(drive * y)
            fader_db = _PARTS[part] + artist.balance[part] + self.rng.normal(0, 1.5)
            total += np.float32(_gain(fader_db) / max(_rms(y), 1e-6)) * y
        return total


def _gain(db):
    return 10 ** (np.asarray(db) / 20)


def _rms(y):
    return np.sqrt(np.square(y, dtype=np.float64).mean())


def _equalise(y, colour: Colour, reverb: np.ndarray, rng) -> np.ndarray:
    """Convolve with the room and with the equaliser, both at once."""
    n_fft = fft.next_fast_len(N_SAMPLES + len(reverb), real=True)
    octaves = np.log2(np.maximum(fft.rfftfreq(n_fft, 1 / SR), 20) / 1000)
    curve_db = (colour.tilt_db + rng.normal(0, _TAKE_SPREAD["tilt"])) * octaves
    for hz, db in colour.bells:
        db += rng.normal(0, _TAKE_SPREAD["bells"])
        curve_db += db * np.exp(-(((octaves - np.log2(hz / 1000)) / 0.5) ** 2))
    response = _gain(curve_db) / (1 + (2**octaves / (colour.cutoff_hz / 1000)) ** 8)
    spectrum = fft.rfft(y, n_fft) * (response * fft.rfft(reverb, n_fft))
    return fft.irfft(spectrum.astype(np.complex64), n_fft)[:N_SAMPLES]


def render(track: Track) -> np.ndarray:
    """Let a track's artist play, record and master it.

    Parameters
    ----------
    track : Track
        One of `TRACKS`.

    Returns
    -------
    np.ndarray [shape=(661500,)]
        int16 at 22,050 Hz; never clipped.
    """
    session = _Session(track)
    for bar in range(int(np.ceil(N_SAMPLES / SR / (4 * session.beat_s)))):
        session.play(bar)

    colour, rng = session.artist.colour, session.rng
    room = np.random.default_rng([_SEED, GENRES.index(track.genre), track.artist, 3])
    length = int(colour.room_s * SR)
    reverb = room.standard_normal(length) * np.exp(-6.9 * np.linspace(0, 1, length))
    reverb *= colour.wet / np.sqrt((reverb**2).sum())
    reverb[0] += 1
    y = _equalise(session.mix(), colour, reverb, rng)

    y = np.tanh(np.float32(0.4 * colour.drive / _rms(y)) * y)
    t = np.arange(N_SAMPLES, dtype=np.float32) / SR
    breath = np.sin(2 * np.pi * (t / rng.uniform(14, 40) + rng.random()))
    y *= _gain(session.rule.swell_db / 2 * breath).astype(np.float32)
    level_db = colour.level_db + rng.normal(0, _TAKE_SPREAD["level"])
    y *= np.float32(_gain(level_db) / _rms(y))
    y += np.float32(_gain(colour.hiss_db)) * rng.standard_normal(N_SAMPLES, dtype=np.float32)
    # A knee that bends only the peaks keeps the loudest clips below full scale.
    peaks = np.abs(y) > 0.7
    y[peaks] = np.sign(y[peaks]) * (0.7 + 0.28 * np.tanh((np.abs(y[peaks]) - 0.7) / 0.28))
    return np.round(y * 32767).astype(np.int16)


# ---------------------------------------------------------------- the folder


def _write_track(track: Track, folder: Path) -> str:
    """Render a track into its file and return the file's digest."""
    content = io.BytesIO()
    wavfile.write(content, SR, render(track))
    return project.file_digest(project.write_atomic(folder / track.path, content.getvalue()))


def _index() -> str:
    """Text of ``tracks.csv``."""
    rows = io.StringIO(newline="")
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(
        ("track_id", "genre", "artist_id", "artist_fold", "fault_filtered_split", "duration_s")
    )
    for t in TRACKS:
        table.writerow((t.track_id, t.genre, t.artist_id, t.artist_fold, t.part, N_SAMPLES / SR))
    return rows.getvalue()


def _good_files(folder: Path) -> dict[str, str]:
    """Digests of the sound files that are as the manifest of this version says."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        promised = dict(manifest["files"]) if manifest["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        track.path: promised[track.path]
        for track in TRACKS
        if track.path in promised
        and (folder / track.path).is_file()
        and project.file_digest(folder / track.path) == promised[track.path]
    }


def ensure(folder: Path) -> Path:
    """Make the demo data set, or what is missing or damaged of it.

    Parameters
    ----------
    folder : Path
        Where it belongs; made if there is none. It gets
        ``genres_original/GENRE/genre.NNNNN.wav`` (16-bit, 22,050 Hz, mono, 30 s),
        ``tracks.csv`` and ``README.txt``. The manifest, written last, says that all is
        there: a run that was cut off leaves none, and is done again.

    Returns
    -------
    Path
        The same folder, complete.
    """
    folder = Path(folder)
    files = _good_files(folder)
    missing = [track for track in TRACKS if track.path not in files]
    if missing:
        (folder / _MANIFEST).unlink(missing_ok=True)
        n_jobs = min(project.jobs(), len(missing))
        digests = Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(_write_track)(track, folder) for track in missing
        )
        bar = with_progress(digests, total=len(missing), desc=f"making {TITLE}")
        files |= dict(zip((track.path for track in missing), bar, strict=True))
        for path in list((folder / "genres_original").rglob("*.wav")):
            if path.relative_to(folder).as_posix() not in files:
                path.unlink()  # another version's
    for name, text in (("README.txt", _README), ("tracks.csv", _index())):
        if missing or not (folder / name).is_file() or (folder / name).read_text() != text:
            project.write_atomic(folder / name, text)
    if missing:
        manifest = {"version": VERSION, "files": dict(sorted(files.items()))}
        project.write_atomic(folder / _MANIFEST, json.dumps(manifest, indent=1))
    return folder
