"""Tools for the reproducible study of music genre classification."""

import importlib

__version__ = "0.1.0"

GENRES = (
    "blues",
    "classical",
    "country",
    "disco",
    "hiphop",
    "jazz",
    "metal",
    "pop",
    "reggae",
    "rock",
)
"""The ten genres of GTZAN, in alphabetical order, as this study spells them."""


def __getattr__(name: str):
    # Only whoever classifies something waits for onnxruntime, and depends on that module.
    if name == "predict":
        return importlib.import_module("genre_utils.inference").predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
