"""Progress bars that are seen wherever the work runs.

A notebook that papermill executes has no terminal. There, progress goes to a small
file (``PROGRESS_FILE``), and the process that started the notebook draws the bar.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

from tqdm.auto import tqdm as notebook_tqdm
from tqdm.std import tqdm

from genre_utils.project import write_atomic

_WRITE_EVERY_S = 0.5

Item = TypeVar("Item")


def track(iterable: Iterable[Item], *, total: int, desc: str) -> Iterator[Item]:
    """Yield the items of an iterable under a progress bar with the time left.

    Parameters
    ----------
    iterable : iterable
        What is worked through.
    total : int
        How many items there are.
    desc : str
        What is being done, in a few words.
    """
    file = os.environ.get("PROGRESS_FILE")
    if total == 0:
        yield from iterable
    elif not file:
        # Notebooks and terminals get a bar; logs (no terminal) get none of its redraws.
        hide = not sys.stderr.isatty() and not _in_notebook()
        yield from notebook_tqdm(iterable, total=total, desc=desc, leave=False, disable=hide)
    else:
        yield from _reported(iterable, Path(file), total, desc)


def _reported(iterable: Iterable[Item], file: Path, total: int, desc: str) -> Iterator[Item]:
    written = 0.0
    for done, item in enumerate(iterable):
        if time.monotonic() - written > _WRITE_EVERY_S:
            _report(file, desc, done, total)
            written = time.monotonic()
        yield item
    _report(file, desc, total, total)


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _report(file: Path, desc: str, done: int, total: int) -> None:
    write_atomic(file, json.dumps({"desc": desc, "done": done, "total": total}))


class Watcher:
    """Draw, on this process's terminal, the progress that another process reports.

    Parameters
    ----------
    file : Path
        The file that the other process got as ``PROGRESS_FILE``.
    title : str
        Name of the work, shown before what is being done.
    """

    def __init__(self, file: Path, title: str):
        self._file, self._title = file, title
        self._stop = Event()
        self._thread = Thread(target=self._draw, daemon=True)

    def __enter__(self):
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()
        self._file.unlink(missing_ok=True)

    def _draw(self) -> None:
        bar, drawn, interval = None, None, 0.3 if sys.stderr.isatty() else 20
        while not self._stop.wait(0.3):
            try:
                state = json.loads(self._file.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            desc = f"{self._title}: {state['desc']}"
            if bar is None or drawn != desc or state["done"] < bar.n:
                if bar is not None:
                    bar.close()
                bar = tqdm(total=state["total"], desc=desc, leave=False, mininterval=interval)
                drawn = desc
            bar.update(state["done"] - bar.n)
        if bar is not None:
            bar.close()
