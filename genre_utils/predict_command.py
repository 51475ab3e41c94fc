"""The command ``python -m genre_utils predict``: the genre of files of one's own."""

import argparse
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genre_utils.project import ProjectError

if TYPE_CHECKING:
    from genre_utils.bundle import Bundle
    from genre_utils.inference import Prediction

SEGMENT_S = 10.0
"""Length in seconds of the segments that ``--segments`` shows."""


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of the command line."""
    predict = commands.add_parser(
        "predict",
        help="tell the genre of sound files",
        description="Tell the genre of sound files of any format and length, one row a file, or "
        "of all files in a folder. Exit code 0: every file was read; 1: some could not be, and "
        "their rows say why; 2: wrong input.",
    )
    predict.add_argument(
        "files",
        metavar="FILE_OR_FOLDER",
        nargs="+",
        type=Path,
        help="wav, flac, mp3, ogg, opus, aiff ...; m4a and others where ffmpeg is installed",
    )
    predict.add_argument(
        "--model", metavar="BUNDLE", type=Path, help="folder of a trained network (default: ours)"
    )
    predict.add_argument(
        "--top", metavar="N", type=_positive, default=3, help="genres to show (default: 3)"
    )
    predict.add_argument("--segments", action="store_true", help=f"show each {SEGMENT_S:g} s, too")
    shape = predict.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one list of objects")
    shape.add_argument("--csv", action="store_true", help="print a table with all probabilities")
    predict.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Classify the files that were named, print a row of each, return the exit code."""
    from tqdm.auto import tqdm

    from genre_utils import bundle, progress

    model = bundle.default() if options.model is None else bundle.load(options.model)
    files = list(_expanded(options.files))
    kind = _Json if options.json else _Csv if options.csv else _Text
    answers = kind(model, files, top=options.top, segments=options.segments)
    n_failed = 0
    for line in answers.header():
        print(line)
    for file, error in progress.track(files, total=len(files), desc="listening"):
        found = error or _outcome(file, model, options)
        n_failed += isinstance(found, str)
        for line in answers.failed(file, found) if isinstance(found, str) else answers.read(found):
            tqdm.write(line)  # a plain print would tear the progress bar
    for line in answers.footer():
        print(line)
    return 1 if n_failed else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _expanded(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yield the files that are meant, folders with a reason where they hold none."""
    from genre_utils import inference

    for path in paths:
        if not path.is_dir():
            yield path, ""
            continue
        try:
            yield from ((file, "") for file in inference.sound_files(path))
        except inference.InferenceError as error:
            yield path, _reason(path, error)


def _outcome(file: Path, model: "Bundle", options: argparse.Namespace) -> "Prediction | str":
    from genre_utils import inference

    segment_s = SEGMENT_S if options.segments else None
    try:
        return inference.predict(file, model=model, top=options.top, segment_s=segment_s)
    except ProjectError as error:
        return _reason(file, error)


def _reason(path: Path, error: ProjectError) -> str:
    return " ".join(str(error).removeprefix(f"{path}: ").split())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class _Answers:
    """Turns what was found into lines of one kind of output."""

    def __init__(self, model: "Bundle", files: list, *, top: int, segments: bool):
        self._genres, self._top, self._segments = model.genres, top, segments
        self._width = min(max((len(str(file)) for file, _ in files), default=0), 60)

    def header(self) -> list[str]:
        return []

    def footer(self) -> list[str]:
        return []


class _Text(_Answers):
    def read(self, found: "Prediction") -> Iterator[str]:
        yield f"{found.source:<{self._width}}  {self._row(dict(found.top))}"
        for segment in found.segments if self._segments else ():
            best = sorted(segment.probabilities.items(), key=lambda pair: -pair[1])[: self._top]
            span = f"{_clock(segment.start_s)}-{_clock(segment.end_s)}"
            yield f"    {span:<{max(self._width - 4, 0)}}  {self._row(dict(best))}"
        for warning in found.warnings:
            yield f"    note: {warning}"

    def failed(self, file: Path, reason: str) -> Iterator[str]:
        yield f"{file!s:<{self._width}}  not read: {reason}"

    def _row(self, shown: dict[str, float]) -> str:
        return "  ".join(f"{g:<9} {p:>4.0%}" for g, p in shown.items()) or "silent"


class _Json(_Answers):
    _first = True

    def header(self) -> list[str]:
        return ["["]

    def footer(self) -> list[str]:
        return ["]"]

    def read(self, found: "Prediction") -> Iterator[str]:
        row = {
            "file": found.source,
            "genre": found.genre,
            "top": [{"genre": genre, "probability": _short(p)} for genre, p in found.top],
            "probabilities": _rounded(found.probabilities),
            "duration_s": round(found.duration_s, 2),
            "warnings": list(found.warnings),
            "model": found.model,
        }
        if self._segments:
            row["segments"] = [
                {
                    "start_s": round(segment.start_s, 2),
                    "end_s": round(segment.end_s, 2),
                    "probabilities": _rounded(segment.probabilities),
                }
                for segment in found.segments
            ]
        yield self._line(row)

    def failed(self, file: Path, reason: str) -> Iterator[str]:
        yield self._line({"file": str(file), "error": reason})

    def _line(self, row: dict) -> str:
        before, self._first = "" if self._first else ",", False
        return before + json.dumps(row, ensure_ascii=False)


class _Csv(_Answers):
    def header(self) -> list[str]:
        return [_csv_line(self._columns)]

    @property
    def _columns(self) -> list[str]:
        probabilities = [f"p_{genre}" for genre in self._genres]
        times = ["start_s", "end_s"] if self._segments else ["duration_s"]
        return ["file", *times, "genre", *probabilities, "warnings", "error"]

    def read(self, found: "Prediction") -> Iterator[str]:
        warnings = "; ".join(found.warnings)
        pieces = [((found.duration_s,), found.probabilities)]
        if self._segments:
            pieces = [((s.start_s, s.end_s), s.probabilities) for s in found.segments]
        for times, probabilities in pieces:
            genre = max(probabilities, key=probabilities.get) if probabilities else "silent"
            values = [_short(probabilities[g]) if probabilities else "" for g in self._genres]
            times = [round(value, 2) for value in times]
            yield _csv_line([found.source, *times, genre, *values, warnings, ""])

    def failed(self, file: Path, reason: str) -> Iterator[str]:
        nothing = [""] * (len(self._columns) - 2)
        yield _csv_line([str(file), *nothing, reason])


def _short(probability: float) -> float:
    return round(probability, 4)


def _rounded(probabilities) -> dict[str, float]:
    return {genre: _short(value) for genre, value in probabilities.items()}


def _csv_line(values: list) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
