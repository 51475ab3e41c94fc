"""Where pretrained weights come from: a folder of the user's, a library's cache, or its hub.

Nothing here is written into the project: torchvision and Hugging Face keep what they fetch
in caches of their own. Without a connection the answer comes within seconds.
"""

import contextlib
import io
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.request import Request, urlopen

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from genre_utils import project

NOT_HERE = "weights not available here"
"""How every message about weights that cannot be had begins."""

_PATIENCE_S = 4.0
"""How long a hub may take to say that it has the weights."""


class WeightsError(project.ProjectError):
    """Pretrained weights that cannot be had, or cannot be used."""


@dataclass(frozen=True)
class TorchvisionWeights:
    """Weights that torchvision fetches once and keeps.

    Attributes
    ----------
    entry : torchvision.models.WeightsEnum
        Torchvision's own entry.
    """

    entry: WeightsEnum

    @property
    def url(self) -> str:
        """Where the file is."""
        return self.entry.url

    @property
    def size_mb(self) -> float:
        """Size of the file in MB."""
        return round(self.entry.meta["_file_size"] * 2**20 / 1e6, 1)  # torchvision counts MiB

    @property
    def file(self) -> Path:
        """Where torchvision keeps the file, whether or not it is there yet."""
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(self.url).name

    def here(self) -> bool:
        """Tell whether the file has been fetched."""
        return self.file.is_file()

    def ask(self) -> None:
        """Ask the server for the file's size, and raise whatever error that meets."""
        urlopen(Request(self.url, method="HEAD"), timeout=_PATIENCE_S).close()

    def fetch(self) -> dict[str, Tensor]:
        """Return the weights by name, fetched first where they are not here.

        Raises
        ------
        WeightsError
            If they are not here and cannot be fetched, or if the file is damaged.
        """
        if not self.here():
            check_answer(self)
        try:
            # What the library says about its download would stand in every notebook.
            with contextlib.redirect_stderr(io.StringIO()):
                return self.entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except OSError as error:
            raise WeightsError(f"{NOT_HERE} ({error}); {self.by_hand()}") from error
        except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{self.file}: is no whole file of weights ({error}); expected what is at "
                f"{self.url}; delete it, so that it is fetched again"
            ) from error

    def by_hand(self) -> str:
        """Say what to download, and where to put it."""
        return f"download {self.url} by hand into {self.file.parent}"


@dataclass(frozen=True)
class HubWeights:
    """A network on the Hugging Face hub, at one commit, as three files.

    Attributes
    ----------
    name : str
        What a folder for it is called.
    repo : str
        Its name on the hub.
    revision : str
        The commit, so that everyone gets the same weights.
    size_mb : float
        Size of the weights in MB.
    """

    name: str
    repo: str
    revision: str
    size_mb: float

    files = ("config.json", "preprocessor_config.json", "model.safetensors")

    @property
    def url(self) -> str:
        """Where a reader finds the network."""
        return f"https://huggingface.co/{self.repo}"

    @property
    def folder(self) -> Path:
        """Folder for files that were downloaded by hand, below ``DATA_ROOT``."""
        return project.data_root() / "weights" / self.name

    def here(self) -> bool:
        """Tell whether the files are in `folder` or in the hub's cache."""
        return self._found() is not None

    def ask(self) -> None:
        """Ask the hub for the smallest file, and raise whatever error that meets."""
        import huggingface_hub

        smallest = huggingface_hub.hf_hub_url(self.repo, self.files[0], revision=self.revision)
        huggingface_hub.get_hf_file_metadata(smallest, timeout=_PATIENCE_S)

    def fetch(self) -> Path:
        """Return a folder with the files, fetched into the hub's cache where need be.

        Raises
        ------
        WeightsError
            If they are not here and cannot be fetched.
        """
        if found := self._found():
            return found
        check_answer(self)
        import huggingface_hub

        try:
            return Path(
                huggingface_hub.snapshot_download(
                    self.repo, revision=self.revision, allow_patterns=list(self.files)
                )
            )
        except Exception as error:  # the hub's client has half a dozen families of errors
            raise WeightsError(f"{NOT_HERE} ({error}); {self.by_hand()}") from error

    def by_hand(self) -> str:
        """Say what to download, and where to put it."""
        listed = f"{', '.join(self.files[:-1])} and {self.files[-1]}"
        return f"download {listed} by hand from {self.url}/tree/{self.revision} into {self.folder}"

    def _found(self) -> Path | None:
        if all((self.folder / name).is_file() for name in self.files):
            return self.folder
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        cached = [
            try_to_load_from_cache(self.repo, name, revision=self.revision) for name in self.files
        ]
        if all(isinstance(file, str) for file in cached):
            return Path(cached[0]).parent
        return None


def check_answer(weights: TorchvisionWeights | HubWeights) -> None:
    """Ask whoever has the weights whether they can be fetched, and wait a few seconds at most.

    Libraries try again for long, and a name server that is out of reach obeys no timeout of
    theirs.

    Raises
    ------
    WeightsError
        If no answer comes in time, or one that the weights are not to be had.
    """
    error = _error_within(_PATIENCE_S, weights.ask)
    if error is not None:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise WeightsError(f"{NOT_HERE} ({reason}); {weights.by_hand()}") from error


def _error_within(seconds: float, question: Callable[[], None]) -> Exception | None:
    errors: SimpleQueue[Exception | None] = SimpleQueue()

    def ask() -> None:
        try:
            question()
        except Exception as error:  # each library has its own; any of them means no
            errors.put(error)
        else:
            errors.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return errors.get(timeout=seconds)
    except Empty:
        return TimeoutError(f"no answer within {seconds:g} s")
