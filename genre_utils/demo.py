"""The demo page: a web page that tells the genre of a song, and shows what it rests on.

Runs on this machine alone: nothing is fetched from elsewhere, nothing is sent elsewhere,
and what is uploaded is deleted as soon as it was heard.
"""

import json
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import gradio as gr
import numpy as np

from genre_utils import answer_page, audio, bundle, hearing
from genre_utils.bundle import Bundle
from genre_utils.project import ProjectError

MOST_MB = 200
"""Size in MB of the largest file that is taken."""

ENDPOINT = "/classify"
"""Name of the page's function for programs (``gradio_client``)."""

_EXAMPLES = ("blues", "classical", "disco", "hiphop", "metal", "reggae")
_MOST_WAITING = 200
_HINT = (
    f"Give a sound file ({', '.join(ending[1:] for ending in audio.EXTENSIONS)}) with at least a "
    "second of music."
)
# Nothing of another host is loaded, whatever the page's libraries ask for.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:"
)


def classify(
    sound: str | Path | np.ndarray, *, name: str, model: Bundle, sr: int | None = None
) -> str:
    """Return what the page shows of a recording, be it good or bad.

    Parameters
    ----------
    sound : str, Path or np.ndarray
        As for `inference.predict`.
    name : str
        What the recording is called.
    model : Bundle
        What hears it.
    sr : int, optional
        Sample rate in Hz of samples.
    """
    try:
        heard = hearing.hear(sound, sr=sr, model=model)
    except ProjectError as error:
        reason = str(error).removeprefix(f"{sound}: ")
        return answer_page.refusal(reason, name=name, hint=_HINT)
    return answer_page.answer(heard, name=name, model=model)


def page(model: Bundle) -> gr.Blocks:
    """Return the page for one network, ready to be launched.

    Parameters
    ----------
    model : Bundle
        What hears the recordings.
    """

    def hear_file(upload: dict | None) -> str:
        return _hear_upload(upload, model, name=upload and upload.get("orig_name"))

    def hear_recording(upload: dict | None) -> str:
        return _hear_upload(upload, model, name="your recording")

    def hear_example(genre: str) -> str:
        y, sr = _example(genre)
        return classify(y, name=f"{genre}, made by a computer", model=model, sr=sr)

    with gr.Blocks(title="What genre is this?", analytics_enabled=False) as blocks:
        gr.HTML(_TITLE)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                with gr.Tab("A file"):
                    file = gr.File(label="Sound file", show_label=False, height=190)
                with gr.Tab("Microphone"):
                    recording = gr.Audio(
                        sources=["microphone"], type="filepath", label="Record some music"
                    )
                with gr.Tab("An example"):
                    gr.HTML(f'<p class="promise">{_ON_EXAMPLES}</p>')
                    with gr.Row():
                        examples = [gr.Button(genre, min_width=90) for genre in _EXAMPLES]
                gr.HTML(f'<p class="promise">{_PRIVACY}</p>')
            with gr.Column(scale=3, min_width=320):
                shown = gr.HTML(answer_page.waiting(_WAITING))
        with gr.Accordion("About this network", open=False):
            gr.Markdown(model.card.text())
        # Unprocessed, an upload comes with the name that it had at home.
        heard = file.upload(hear_file, file, shown, preprocess=False, api_name=ENDPOINT[1:])
        heard.then(lambda: None, outputs=file, js=_SHOW, **_UNLISTED)
        heard = recording.stop_recording(
            hear_recording, recording, shown, preprocess=False, **_UNLISTED
        )
        heard.then(lambda: None, outputs=recording, js=_SHOW, **_UNLISTED)
        for button in examples:
            heard = button.click(hear_example, button, shown, **_UNLISTED)
            heard.then(None, js=_SHOW, **_UNLISTED)
    return blocks


@contextmanager
def serving(
    model: Bundle | None = None, *, host: str = "127.0.0.1", port: int | None = None
) -> Iterator[tuple[gr.Blocks, str]]:
    """Serve the page as long as the context lasts.

    Parameters
    ----------
    model : Bundle, optional
        What hears the recordings; by default the network that comes with the package.
    host : str
        Address to listen on; the default is this machine alone.
    port : int, optional
        By default the first free one from 7860 on.

    Yields
    ------
    blocks : gr.Blocks
        The running page.
    url : str
        Where it is.

    Raises
    ------
    ProjectError
        If the port is taken, or there is no network.
    """
    model = model or bundle.default()
    before = os.environ.get("GRADIO_TEMP_DIR")
    uploads = tempfile.mkdtemp(prefix="genre-demo-")
    os.environ["GRADIO_TEMP_DIR"] = uploads
    blocks = None
    try:
        blocks = page(model)
        yield blocks, _launched_in_time(blocks, host, port)
    finally:
        if blocks is not None:
            blocks.close(verbose=False)
        shutil.rmtree(uploads, ignore_errors=True)
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


def show(model: Bundle | None = None) -> None:
    """Open the page below a notebook's cell; it lasts as long as the notebook runs.

    Parameters
    ----------
    model : Bundle, optional
        What hears the recordings; by default the network that comes with the package.
    """
    _launched_in_time(page(model or bundle.default()), "127.0.0.1", None, inline=True)


class _NotReached(ProjectError):
    """Gradio asked its own page for an answer and got none."""


def _launched_in_time(
    blocks: gr.Blocks, host: str, port: int | None, *, inline: bool = False
) -> str:
    blocks.queue(max_size=_MOST_WAITING, default_concurrency_limit=os.cpu_count())
    # Gradio gives up after three seconds, which a busy machine may take the first time.
    for _ in range(2):
        try:
            return _launched(blocks, host, port, inline)
        except _NotReached:
            blocks.close(verbose=False)
    return _launched(blocks, host, port, inline)


def _launched(blocks: gr.Blocks, host: str, port: int | None, inline: bool) -> str:
    try:
        _, url, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            inline=inline,
            height=900,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=f"{MOST_MB}mb",
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            footer_links=[],
            theme=_theme(),
            css=answer_page.CSS,
            app_kwargs={"middleware": _MIDDLEWARE},
        )
    except OSError as error:
        raise ProjectError(
            f"the page cannot be served on {host}, port {port or 'from 7860 on'} ({error}); "
            "name another with --port or --host"
        ) from error
    except ValueError as error:
        raise _NotReached(
            f"the page runs, but this machine does not reach it on {host}; if it uses a proxy, "
            "leave out local addresses: export NO_PROXY=localhost,127.0.0.1"
        ) from error
    return url


def serve(model: Bundle | None = None, *, host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the page until the process is told to stop.

    Parameters
    ----------
    model, host, port
        As for `serving`.
    """
    # What is stopped from outside tidies up as if Ctrl-C had been pressed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(model, host=host, port=port) as (blocks, url):
        print(f"The page is at {url} (Ctrl-C ends it)", flush=True)
        blocks.block_thread()


_UNLISTED = {"api_visibility": "private"}
# On a phone the answer lies below what is on the screen.
_SHOW = """() => { const answer = document.querySelector(".heard, .unheard");
  if (answer && answer.getBoundingClientRect().top > 0.6 * window.innerHeight)
    answer.scrollIntoView({ behavior: "smooth" }); }"""
_WAITING = "The answer appears here: genres with their probabilities, genre over time, and why."
_TITLE = """<header class="top"><h1>What genre is this?</h1>
<p>Give it a song. A small network says which of its genres it resembles most, how sure it is,
and what in the sound it goes by.</p></header>"""
_ON_EXAMPLES = (
    "Half a minute each, made by a computer: no real music, and nothing that the network has heard "
    "the like of."
)
_PRIVACY = (
    "Your sound goes to the machine that serves this page and nowhere else, and is deleted there "
    "as soon as it was heard. Of long recordings the first "
    f"{hearing.LONGEST_S / 60:.0f} minutes are heard; files may have up to {MOST_MB} MB."
)


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def _hear_upload(upload: dict | None, model: Bundle, *, name: str | None) -> str:
    if not upload:
        return answer_page.waiting(_WAITING)
    path = Path(upload["path"])
    try:
        return classify(path, name=name or path.name, model=model)
    finally:
        _remove(path)


@lru_cache(maxsize=len(_EXAMPLES))
def _example(genre: str) -> tuple[np.ndarray, int]:
    from genre_utils import synthetic

    track = next(track for track in synthetic.TRACKS if track.genre == genre)
    return synthetic.render(track), synthetic.SR


def _remove(path: Path) -> None:
    """Delete an upload and the folder that it has for itself."""
    path.unlink(missing_ok=True)
    with suppress(OSError):  # another upload is in it
        path.parent.rmdir()


class _OwnFolders:
    """Gives every upload a folder of its own.

    Gradio stores equal files in one place, where the first of two people who send the
    same song would delete it under the other's nose.
    """

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        is_upload = scope["type"] == "http" and scope["path"].endswith("/gradio_api/upload")
        if not is_upload or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        start, body = {}, b""

        async def collect(message):
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body = json.dumps([_moved(Path(path)) for path in json.loads(body)]).encode()
                headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                start["headers"] = [*headers, (b"content-length", str(len(body)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, collect)


def _moved(path: Path) -> str:
    folder = path.parent.with_name(secrets.token_hex(16))
    folder.mkdir()
    moved = path.rename(folder / path.name)
    _remove(path)
    return str(moved)


class _NothingFromElsewhere:
    """Tells browsers to load nothing from other hosts and to tell none of this one."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def with_headers(message):
            if message["type"] == "http.response.start":
                added = [
                    (b"content-security-policy", _POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = message | {"headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, with_headers)


# Class, positional and named arguments, as in starlette.middleware.Middleware.
_MIDDLEWARE = [(_OwnFolders, (), {}), (_NothingFromElsewhere, (), {})]
