"""Make `.venv`, the environment that everything runs in, from the locked versions.

Nothing is done where the environment was already made from the same `pyproject.toml`
and `requirements.lock`. Needs nothing but Python's standard library, and is readable
for old Pythons too, so that these get a clear message.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

ROOT = Path(__file__).resolve().parent.parent
SUPPORTED = ((3, 11), (3, 13))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SOURCES = ("pyproject.toml", "requirements.lock")

_INDEX_OPTIONS = {"index-url", "extra-index-url", "find-links", "no-index"}
_UV_INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
)


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def check_python(version=tuple(sys.version_info[:3]), executable=sys.executable) -> None:
    """Refuse a Python that the locked versions do not support.

    Parameters
    ----------
    version : tuple of int
        Major, minor and micro version.
    executable : str
        Where that Python is.

    Raises
    ------
    SetupError
        If the version is not one of 3.11 to 3.13.
    """
    if not SUPPORTED[0] <= tuple(version[:2]) <= SUPPORTED[1]:
        raise SetupError(
            "found Python {} ({}), expected 3.11, 3.12 or 3.13; install one of these and "
            "name it, e.g. make setup PYTHON=python3.12".format(
                ".".join(map(str, version)), executable
            )
        )


def index_is_configured(pip_config: str, environ) -> bool:
    """Tell whether this machine says by itself where packages come from.

    Parameters
    ----------
    pip_config : str
        What ``pip config list`` prints: one ``section.option='value'`` a line, from
        files and from the environment alike.
    environ : mapping of str to str
        The environment variables.
    """
    for line in pip_config.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2].strip().replace("_", "-")
        if option in _INDEX_OPTIONS and value.strip().strip("'\""):
            return True
    return any(environ.get(name) for name in _UV_INDEX_VARIABLES)


def has_nvidia_gpu() -> bool:
    """Tell whether NVIDIA's driver is there."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def wants_cpu_wheels(platform: str, gpu: bool, configured: bool) -> bool:
    """Tell whether PyTorch is to be taken from its own index of CPU wheels.

    Parameters
    ----------
    platform : str
        As in ``sys.platform``.
    gpu : bool
        Whether there is an NVIDIA GPU.
    configured : bool
        Whether the machine has a package index configured; that is obeyed.
    """
    # Only the wheels for Linux bring gigabytes of CUDA along.
    return platform.startswith("linux") and not gpu and not configured


def sources_digest(root: Path) -> str:
    """Return a digest of what an environment at this place is made from."""
    # The place counts: the environment points to the package there.
    digest = hashlib.sha256(str(root).encode())
    for name in SOURCES:
        digest.update(hashlib.sha256((root / name).read_bytes()).digest())
    return digest.hexdigest()


def make(root: Path = ROOT) -> bool:
    """Make the environment of a checkout, or bring it up to date.

    Parameters
    ----------
    root : Path
        The folder that holds `pyproject.toml`; `.venv` is made there.

    Returns
    -------
    bool
        Whether anything had to be done.

    Raises
    ------
    SetupError
        If this Python is not supported, or if venv or pip fail.
    """
    venv = root / ".venv"
    python, stamp, digest = venv / "bin" / "python", venv / "made-from", sources_digest(root)
    if python.exists() and stamp.exists() and stamp.read_text() == digest:
        return False
    if not _pip_works(python):
        check_python()
        _say("making .venv with Python {}.{}.{}".format(*sys.version_info[:3]))
        if subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)]).returncode:
            raise SetupError(
                f"{sys.executable} -m venv failed (see above); on Debian and Ubuntu the "
                "package python3-venv is needed"
            )
    stamp.unlink(missing_ok=True)
    configured = index_is_configured(_pip_config(python), os.environ)
    constraints = ["--constraint", "requirements.lock"]
    if wants_cpu_wheels(sys.platform, has_nvidia_gpu(), configured):
        _say("no NVIDIA GPU here: taking PyTorch's CPU wheels")
        # By themselves, so that no other package is ever looked for in that index.
        torch = ["--no-deps", "--extra-index-url", CPU_INDEX, "torch", "torchvision"]
        _pip_install(root, python, [*constraints, *torch])
    _pip_install(root, python, [*constraints, "--editable", ".[study,dev]"])
    partial = stamp.with_name(f".{stamp.name}.{os.getpid()}.partial")
    partial.write_text(digest)
    os.replace(partial, stamp)
    _say(".venv is ready")
    return True


def _pip_works(python: Path) -> bool:
    if not python.exists():
        return False
    return not subprocess.run(
        [str(python), "-m", "pip", "--version"], capture_output=True
    ).returncode


def _pip_config(python: Path) -> str:
    done = subprocess.run(
        [str(python), "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    return done.stdout


def _pip_install(root: Path, python: Path, options: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    process = subprocess.Popen(
        [*command, *options],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    problems = []
    with _Progress() as progress:
        for line in process.stdout:
            if line.strip().lower().startswith("error:") or problems:
                problems.append(line)
            progress.see(line)
    if process.wait():
        raise SetupError(
            "pip could not install the requirements:\n{}run make again to go on from here".format(
                "".join(problems) or f"(no message, exit code {process.returncode})\n"
            )
        )


class _Progress:
    """Show on one line how far pip is, with the time it has taken."""

    def __init__(self):
        self._found, self._doing = 0, "starting pip"
        self._began, self._stop = time.monotonic(), Event()
        self._thread = Thread(target=self._draw, daemon=True)

    def __enter__(self):
        if sys.stderr.isatty():
            self._thread.start()
        else:
            _say("installing the packages, this takes minutes the first time")
        return self

    def __exit__(self, *error):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def see(self, line: str) -> None:
        words = line.split()
        if line.startswith("Collecting "):
            self._found += 1
            self._doing = f"{self._found} packages found, looking at {words[1]}"
        elif words[:1] in (["Downloading"], ["Using"]):
            self._doing = f"{self._found} packages found, fetching {line.split('/')[-1].strip()}"
        elif line.startswith("Installing collected"):
            self._doing = f"installing {len(words) - 3} packages"

    def _draw(self) -> None:
        while not self._stop.wait(0.5):
            minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
            width = shutil.get_terminal_size().columns - 1
            line = f"setup: {minutes}:{seconds:02d}, {self._doing}"
            print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def main(arguments=None) -> int:
    """Make the environment; return 0, or 2 after one clear error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check-python",
        action="store_true",
        help="only tell whether there is a Python to work with",
    )
    options = parser.parse_args(arguments)
    try:
        if not options.check_python:
            make()
        elif not (ROOT / ".venv" / "bin" / "python").exists():
            check_python()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
