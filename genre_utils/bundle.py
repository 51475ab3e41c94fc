"""The folder that a trained network is shipped in: all it takes to classify sound.

A bundle holds the network (``network.onnx``), what surrounds it (``bundle.json``: how
sound becomes its input, the genres, the calibration), a card for people (``CARD.md``)
and the digests of these three (``SHA256SUMS``, which ``sha256sum --check`` reads, too).
Loading one runs no code of it, and needs numpy and onnxruntime only.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime

from genre_utils import __version__, gtzan_spectrogram
from genre_utils.project import ProjectError, file_digest, write_atomic

FORMAT = 1
"""Version of the layout; raised when older code cannot read a bundle any more."""

FILES = ("network.onnx", "bundle.json", "CARD.md")
DIGESTS = "SHA256SUMS"

_DEFAULT = Path(__file__).parent / "data" / "bundle"
_FAMILIAR = 0.99


class BundleError(ProjectError):
    """A bundle that is not there, is damaged, or is of another version."""


@dataclass(frozen=True)
class Preprocessing:
    """How sound becomes what the network reads; see `gtzan_spectrogram`.

    Attributes
    ----------
    kind : str
        What is computed, with the version of the computation.
    sr : int
        Sample rate in Hz.
    clip_s : float
        Length in seconds that a spectrogram stands for.
    bits : int
        What samples are rounded to.
    n_mels, n_frames : int
        Height and width of a spectrogram; its levels are 0 to 255.
    """

    kind: str = "gtzan-spectrogram-1"
    sr: int = gtzan_spectrogram.SR
    clip_s: float = 30.0
    bits: int = 16
    n_mels: int = gtzan_spectrogram.N_MELS
    n_frames: int = gtzan_spectrogram.N_COLUMNS

    @property
    def n_samples(self) -> int:
        """Samples in a clip."""
        return round(self.clip_s * self.sr)

    def spectrogram(self, y: np.ndarray) -> np.ndarray:
        """Return what the network reads of a clip.

        Parameters
        ----------
        y : np.ndarray [shape=(n_samples,), dtype=float32]
            One channel; a clip that is shorter than `clip_s` is repeated.

        Returns
        -------
        S : np.ndarray [shape=(n_mels, n_frames), dtype=uint8]
            Low bands first, 0 the quietest point, 255 the loudest.
        """
        y = np.tile(y, -(-self.n_samples // len(y)))[: self.n_samples]
        return gtzan_spectrogram.mel_of_sound(y, n_mels=self.n_mels)


@dataclass(frozen=True)
class Familiar:
    """What the music looks like that a network learnt from, to tell other sounds by.

    Attributes
    ----------
    mean, std : np.ndarray [shape=(2 * n_mels,)]
        Over clips, of each band's mean level and its standard deviation in time.
    limit : float
        Distance that one in a hundred clips of such music exceeds.
    """

    mean: np.ndarray
    std: np.ndarray
    limit: float

    @classmethod
    def of(cls, train: np.ndarray, other: np.ndarray) -> "Familiar":
        """Describe the training part; music that was not trained on sets the limit.

        Parameters
        ----------
        train, other : np.ndarray [shape=(n_items, 1, n_mels, n_frames), dtype=uint8]
            Spectrograms.
        """
        described = _description(train)
        mean, std = described.mean(axis=0), described.std(axis=0) + 1.0
        distances = cls(mean, std, 0.0).distances(other)
        return cls(mean, std, float(np.quantile(distances, _FAMILIAR)))

    def distances(self, x: np.ndarray) -> np.ndarray:
        """Return how many standard deviations away spectrograms are [shape=(n_items,)]."""
        return np.sqrt(np.square((_description(x) - self.mean) / self.std).mean(axis=1))


def _description(x: np.ndarray) -> np.ndarray:
    levels = x[:, 0].astype(np.float32)
    return np.concatenate([levels.mean(axis=2), levels.std(axis=2)], axis=1)


@dataclass(frozen=True)
class Card:
    """What people should know before they use a network.

    Attributes
    ----------
    title : str
        Its name for readers.
    sections : mapping of str to str
        Heading → text: the data, the protocol, how accurate it is, its limits ...
    scores : mapping of str to float
        The measured figures, for programs: ``accuracy``, ``accuracy_low`` ...
    """

    title: str
    sections: Mapping[str, str]
    scores: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """Return the card as Markdown."""
        parts = [f"## {heading}\n\n{text}\n" for heading, text in self.sections.items()]
        return "\n".join([f"# {self.title}\n", *parts])


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.

    Attributes
    ----------
    folder : Path
        Where it is.
    name : str
        Of the network.
    genres : tuple of str
        In the order of the network's outputs.
    preprocessing : Preprocessing
        How sound becomes its input.
    temperature : float
        What logits are divided by, so that probabilities say how often they are right [1]_.
    familiar : Familiar or None
        What its training data looks like.
    card : Card
        For people.
    made_with : mapping of str to str
        Versions of the software that made it.
    size : int
        Bytes of all its files.
    digest : str
        SHA-256 of the digests of all its files.
    network : Network
        What gives the logits.

    References
    ----------
    .. [1] Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks",
       ICML 2017.
    """

    folder: Path
    name: str
    genres: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float
    familiar: Familiar | None
    card: Card
    made_with: Mapping[str, str]
    size: int
    digest: str
    network: "Network"

    @property
    def network_digest(self) -> str:
        """SHA-256 of the network alone, whatever its card says."""
        return file_digest(self.folder / "network.onnx")

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Return the calibrated probability of each genre.

        Parameters
        ----------
        x : np.ndarray [shape=(n_items, 1, n_mels, n_frames), dtype=uint8]
            As `Preprocessing.spectrogram` makes them, or pieces of these along time.

        Returns
        -------
        probabilities : np.ndarray [shape=(n_items, n_genres), dtype=float64]
            Each row adds up to 1.
        """
        return softmax(self.network.logits(x) / self.temperature)


class Network:
    """A network in ONNX that reads spectrograms.

    Parameters
    ----------
    model : bytes
        Takes levels [shape=(n, 1, n_mels, frames), dtype=uint8] of any number of items and
        frames; returns logits [shape=(n, n_genres)].
    threads : int
        How many it runs on.
    """

    def __init__(self, model: bytes, *, threads: int = 1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what matters comes as an exception
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def logits(self, x: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Return what the network says of spectrograms, before calibration.

        Parameters
        ----------
        x : np.ndarray [shape=(n_items, 1, n_mels, frames), dtype=uint8]
            At least one.
        batch_size : int
            Items computed together.

        Returns
        -------
        logits : np.ndarray [shape=(n_items, n_genres), dtype=float32]
        """
        batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
        return np.concatenate(
            [self._session.run(None, {self._input: np.ascontiguousarray(x)})[0] for x in batches]
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits into probabilities along the last axis."""
    logits = np.asarray(logits, dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def write(
    folder: Path,
    network: bytes,
    *,
    name: str,
    genres: tuple[str, ...],
    temperature: float,
    card: Card,
    familiar: Familiar | None = None,
    preprocessing: Preprocessing | None = None,
    made_with: Mapping[str, str] | None = None,
) -> Bundle:
    """Write a bundle, which is there whole or not at all, and load it.

    Parameters
    ----------
    folder : Path
        Where; a bundle that is there is replaced.
    network : bytes
        In ONNX, as for `Network`; see `export`.
    name, genres, temperature, card, familiar
        As in `Bundle`.
    preprocessing : Preprocessing, optional
        How sound becomes its input.
    made_with : mapping of str to str, optional
        As in `Bundle`.

    Raises
    ------
    BundleError
        If the network does not fit the rest, or `folder` holds anything but a bundle.
    """
    if folder.exists() and not (folder / DIGESTS).is_file() and any(folder.iterdir()):
        raise BundleError(f"{folder}: holds other things than a bundle; name another folder")
    content = {
        "format": FORMAT,
        "name": name,
        "genres": list(genres),
        "preprocessing": asdict(preprocessing or Preprocessing()),
        "temperature": round(float(temperature), 4),
        "familiar": familiar and {
            "mean": familiar.mean.astype(float).round(2).tolist(),
            "std": familiar.std.astype(float).round(2).tolist(),
            "limit": round(familiar.limit, 3),
        },
        "card": asdict(card),
        "made_with": {"genre_utils": __version__, **(made_with or {})},
    }  # fmt: skip
    files = {
        "network.onnx": network,
        "bundle.json": (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(),
        "CARD.md": card.text().encode(),
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        for file, data in files.items():
            write_atomic(partial / file, data)
        sums = [f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, data in files.items()]
        write_atomic(partial / DIGESTS, "".join(sums))
        load(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load(folder)


def default_folder() -> Path:
    """Return where the bundle is that comes with the package."""
    return _DEFAULT


@lru_cache(maxsize=1)
def default() -> Bundle:
    """Return the bundle that comes with the package.

    Raises
    ------
    BundleError
        If it is missing or damaged.
    """
    if not _DEFAULT.is_dir():
        raise BundleError(
            "this copy of genre_utils comes without a trained network; make one with "
            "make bundle DATASET=gtzan, or name another (--model FOLDER)"
        )
    return load(_DEFAULT)


def load(folder: Path | str, *, threads: int = 1) -> Bundle:
    """Load a bundle after checking every file of it.

    Parameters
    ----------
    folder : Path or str
        Where it is.
    threads : int
        How many the network runs on.

    Raises
    ------
    BundleError
        If a file is missing, differs from its digest, is not what it should be, or is of
        another version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; expected a model bundle there")
    contents = _verified(folder)
    said = _Said(folder / "bundle.json", contents["bundle.json"])
    card, familiar = said.part("card"), said.part("familiar", optional=True)
    preprocessing = said.preprocessing()
    genres = said.take("genres", list)
    if len(genres) < 2 or not all(isinstance(genre, str) and genre for genre in genres):
        raise said.wrong("genres", genres, "a list of at least two names")
    temperature = said.take("temperature", int | float)
    if not 0 < temperature < np.inf:
        raise said.wrong("temperature", temperature, "a number above 0")
    return Bundle(
        folder=folder,
        name=said.take("name", str),
        genres=tuple(genres),
        preprocessing=preprocessing,
        temperature=float(temperature),
        familiar=familiar and familiar.familiar(preprocessing.n_mels),
        card=Card(card.take("title", str), card.take("sections", dict), card.take("scores", dict)),
        made_with=said.take("made_with", dict),
        size=sum(map(len, contents.values())) + (folder / DIGESTS).stat().st_size,
        digest=hashlib.sha256((folder / DIGESTS).read_bytes()).hexdigest(),
        network=_network(
            folder / "network.onnx", contents["network.onnx"], preprocessing, len(genres), threads
        ),
    )


def _verified(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, each equal to its digest."""
    sums, contents = folder / DIGESTS, {}
    try:
        lines = sums.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise BundleError(
            f"{sums}: no such file; expected a model bundle with {', '.join((*FILES, DIGESTS))}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{sums}: cannot be read ({error}); {_AGAIN}") from error
    stated = dict(reversed(line.split("  ", 1)) for line in lines if "  " in line)
    for name in FILES:
        file = folder / name
        if name not in stated:
            raise BundleError(f"{sums}: has no digest of {name}; {_AGAIN}")
        try:
            contents[name] = file.read_bytes()
        except OSError as error:
            raise BundleError(f"{file}: cannot be read ({error.strerror}); {_AGAIN}") from error
        if hashlib.sha256(contents[name]).hexdigest() != stated[name]:
            raise BundleError(
                f"{file}: its content is not that which the bundle was written with (SHA-256 "
                f"differs from {DIGESTS}); {_AGAIN}"
            )
    return contents


_AGAIN = "fetch the bundle again, or make it again (make bundle)"


class _Said:
    """What ``bundle.json`` says, checked as it is taken out."""

    def __init__(self, file: Path, content: bytes | dict):
        self._file = file
        if isinstance(content, bytes):
            try:
                content = json.loads(content)
            except ValueError as error:
                raise BundleError(f"{file}: is no JSON ({error}); {_AGAIN}") from error
            found = content.get("format") if isinstance(content, dict) else None
            if found != FORMAT:
                raise BundleError(
                    f"{file}: states format {found!r}; this version of genre_utils reads format "
                    f"{FORMAT}; use a bundle and a version that go together"
                )
        self._content = content

    def wrong(self, name: str, found: object, expected: str) -> BundleError:
        shown = repr(found) if len(repr(found)) < 60 else f"{repr(found)[:57]}..."
        return BundleError(f"{self._file}: {name} is {shown}; expected {expected}; {_AGAIN}")

    def take(self, name: str, kind):
        value = self._content.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(name, value, f"a {getattr(kind, '__name__', 'number')}")
        return value

    def part(self, name: str, *, optional: bool = False) -> "_Said | None":
        if optional and self._content.get(name) is None:
            return None
        return _Said(self._file, self.take(name, dict))

    def preprocessing(self) -> Preprocessing:
        stated, known = self.take("preprocessing", dict), Preprocessing()
        n_mels = self.part("preprocessing").take("n_mels", int)
        expected = asdict(known) | {"n_mels": n_mels}
        if stated != expected or not 1 <= n_mels <= gtzan_spectrogram.N_BINS:
            raise self.wrong("preprocessing", stated, f"{expected}, which this version computes")
        return Preprocessing(n_mels=n_mels)

    def familiar(self, n_mels: int) -> Familiar:
        arrays = [np.array(self.take(name, list), dtype=object) for name in ("mean", "std")]
        for name, values in zip(("mean", "std"), arrays, strict=True):
            if values.shape != (2 * n_mels,) or not all(
                isinstance(value, int | float) for value in values
            ):
                raise self.wrong(name, values.tolist(), f"{2 * n_mels} numbers")
        mean, std = (values.astype(np.float64) for values in arrays)
        return Familiar(mean, std, float(self.take("limit", int | float)))


def _network(
    file: Path, content: bytes, preprocessing: Preprocessing, n_genres: int, threads: int
) -> Network:
    tried = np.zeros((2, 1, preprocessing.n_mels, preprocessing.n_frames // 3), np.uint8)
    try:
        network = Network(content, threads=threads)
        answer = network.logits(tried)
    except Exception as error:  # onnxruntime's own classes have no base of their own
        raise BundleError(
            f"{file}: onnxruntime {onnxruntime.__version__} cannot run it as a network that takes "
            f"uint8 (n, 1, {preprocessing.n_mels}, frames): {str(error)[:200]}; use a bundle and "
            "a version that go together"
        ) from error
    if answer.shape != (2, n_genres):
        raise BundleError(
            f"{file}: gives the shape {answer.shape} for two items; expected (2, {n_genres}), "
            f"one logit a genre of bundle.json; {_AGAIN}"
        )
    return network
