"""Where things live and what they weigh: folders, settings and digests.

This module needs nothing but Python's standard library, so that ``make`` can ask
"is anything stale?" before anything is installed.
"""

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

KNOWN_DATASETS = ("demo", "gtzan", "gtzan-mini")
PROFILES = ("full", "smoke")

_IGNORED_FILES = re.compile(r"^(\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)")


class ProjectError(Exception):
    """A mistake in what the user asked for; its message says how to mend it."""


def root() -> Path:
    """Return the folder that holds this project's ``notebooks`` and ``Makefile``.

    The folder above the package is taken where it is a checkout, else the first
    folder upwards from the working directory that is one, else the working directory.
    """
    package_parent = Path(__file__).resolve().parent.parent
    for folder in (package_parent, Path.cwd(), *Path.cwd().parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    return Path.cwd()


def data_root() -> Path:
    """Return the folder of all data sets: ``DATA_ROOT``, or ``data`` in the project."""
    return _folder("DATA_ROOT", "data")


def cache_root() -> Path:
    """Return the folder of what can be computed again: ``CACHE_ROOT``, or ``.cache``."""
    return _folder("CACHE_ROOT", ".cache")


def _folder(variable: str, usual: str) -> Path:
    """Return the folder that a variable names; one that is empty counts as not given."""
    return root() / Path(os.environ.get(variable) or usual).expanduser()


def jobs() -> int:
    """Return how many processes to use: ``JOBS``, or all the cores there are.

    Raises
    ------
    ProjectError
        If ``JOBS`` is not a positive whole number.
    """
    text = os.environ.get("JOBS") or ""
    if not text:
        return os.cpu_count() or 1
    if not text.isdigit() or int(text) < 1:
        raise ProjectError(f"JOBS is {text!r}; expected a whole number from 1 on, e.g. JOBS=2")
    return int(text)


def retrain() -> bool:
    """Tell whether stored predictions are to be ignored (``RETRAIN=1``)."""
    return os.environ.get("RETRAIN", "") not in ("", "0")


def from_predictions() -> bool:
    """Tell whether only stored predictions may be used (``FROM_PREDICTIONS=1``)."""
    return os.environ.get("FROM_PREDICTIONS", "") not in ("", "0")


def dataset_name(dataset: str) -> str:
    """Return the folder name under ``results/`` for a data set's name or path.

    Parameters
    ----------
    dataset : str
        ``demo``, ``gtzan``, ``gtzan-mini``, or the path of a folder.

    Raises
    ------
    ProjectError
        If `dataset` is neither a known name nor an existing folder, or if the
        folder's name leaves nothing to build a name from.
    """
    if dataset in KNOWN_DATASETS:
        return dataset
    folder = Path(dataset).expanduser()
    if not (folder.is_dir() or (root() / folder).is_dir()):
        raise ProjectError(
            f"DATASET={dataset!r} is neither a known data set ({', '.join(KNOWN_DATASETS)}) "
            "nor an existing folder; a folder needs one sub-folder for each genre"
        )
    slug = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    if not slug:
        raise ProjectError(f"DATASET={dataset!r}: give the folder a name with letters or digits")
    return f"{slug}-folder" if slug in KNOWN_DATASETS else slug


def dataset_root(dataset: str) -> Path:
    """Return the folder that a data set's files are in, whether or not it exists.

    ``gtzan-mini`` is looked for under its own name first (``gtzan-mini``,
    ``gtzan_mini``) and, since it is a part of GTZAN, in ``gtzan`` otherwise.
    """
    if dataset not in KNOWN_DATASETS:
        folder = Path(dataset).expanduser()
        return folder.resolve() if folder.is_dir() else (root() / folder).resolve()
    if dataset == "demo":
        return cache_root() / "demo"
    candidates = {
        "gtzan": ("gtzan", "GTZAN"),
        "gtzan-mini": ("gtzan-mini", "gtzan_mini", "gtzan", "GTZAN"),
    }[dataset]
    for name in candidates:
        if (data_root() / name).is_dir():
            return data_root() / name
    return data_root() / candidates[0]


@dataclass(frozen=True)
class Outputs:
    """The folders that one study (a data set and a profile) writes to.

    Only the plain ``full`` study writes to ``results/`` and ``figures/``; every
    other one writes below ``build/``, so that it can never be published by mistake.

    Attributes
    ----------
    dataset : str
        Name as returned by `dataset_name`.
    profile : str
        ``full``, ``smoke``, or ``custom`` for parameters of the user's own.
    """

    dataset: str
    profile: str = "full"

    @property
    def _base(self) -> Path:
        base = _folder("OUTPUT_ROOT", ".")
        return base if self.profile == "full" else base / "build" / self.profile

    @property
    def results(self) -> Path:
        """Folder of the tables, with ``predictions``, ``notebooks``, ``provenance``."""
        return self._base / "results" / self.dataset

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self._base / "figures" / self.dataset

    @property
    def units(self) -> Path:
        """Folder of finished units of work that no table holds yet."""
        return self._base / ".units" / self.dataset


def without_places(text: str) -> str:
    """Return a text with the names of folders instead of where they are on this computer."""
    places = {
        data_root(): "DATA_ROOT",
        cache_root(): "CACHE_ROOT",
        root(): "the project",
        Path.home(): "~",
    }
    for place, called in sorted(places.items(), key=lambda pair: -len(str(pair[0]))):
        text = text.replace(str(place), called)
    return text


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Write a file so that it is there whole or not at all, even after ``kill -9``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(partial, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(*parts: str) -> str:
    """Return the SHA-256 of several texts; where one ends and the next begins counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def data_files(folder: Path) -> list[Path]:
    """List a folder's files in a fixed order, without those that file managers leave."""
    found = [
        Path(here, name)
        for here, _, names in os.walk(folder)
        for name in names
        if not _IGNORED_FILES.match(name) and not name.endswith(".partial")
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def data_digest(folder: Path) -> str:
    """Return a digest of every file name and every byte below a folder.

    Content is read each time: file times never decide what is stale.
    """
    files = data_files(folder)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(file_digest, files))
    names = [path.relative_to(folder).as_posix() for path in files]
    return text_digest(*(part for pair in zip(names, digests, strict=True) for part in pair))
