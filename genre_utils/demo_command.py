"""The command ``python -m genre_utils demo``: open the demo page."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of the command line."""
    demo = commands.add_parser(
        "demo",
        help="serve a web page that tells the genre of songs",
        description="Serve a web page that tells the genre of songs, until Ctrl-C. It listens on "
        "this machine alone, loads nothing from elsewhere, and deletes what is uploaded as soon "
        "as it was heard.",
    )
    demo.add_argument(
        "--model", metavar="BUNDLE", type=Path, help="folder of a trained network (default: ours)"
    )
    demo.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1; 0.0.0.0 lets other machines in)",
    )
    demo.add_argument(
        "--port", type=int, help="port to listen on (default: the first free one from 7860 on)"
    )
    demo.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the page until it is stopped; return the exit code."""
    from genre_utils import bundle, demo

    model = bundle.default() if options.model is None else bundle.load(options.model)
    demo.serve(model, host=options.host, port=options.port)
    return 0
