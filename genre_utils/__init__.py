"""Tools for the reproducible study of music genre classification."""

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
