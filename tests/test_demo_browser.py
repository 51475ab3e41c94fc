"""The demo page as people meet it: in a real browser, light, dark and on a phone."""

import shutil
import time
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile as sf
from PIL import Image

from genre_utils import bundle

page = pytest.importorskip("genre_utils.demo")
sync_api = pytest.importorskip("playwright.sync_api")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
# A fake microphone that beeps; the sandbox does not work for root, nor in most containers.
OPTIONS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium here: apt-get install chromium, to test the demo page"
)


@pytest.fixture(scope="module")
def model():
    return bundle.default()


@pytest.fixture(scope="module")
def server(model):
    with page.serving(model) as (blocks, url):
        yield blocks, url


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Fifty seconds of the made-up music, so that there is more than one window."""
    y, sr = page._example("reggae")
    path = tmp_path_factory.mktemp("songs") / "my song.flac"
    sf.write(path, np.concatenate([y, y[: 20 * sr]]), sr)
    return path


@contextmanager
def opened(browser, url, *, size="wide", scheme="light"):
    """Open the page; all that it asked other hosts for, and all its errors, fail the test."""
    width, height = SIZES[size]
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": height},
        permissions=["microphone"],
        reduced_motion="reduce",
    )
    tab, asked_for, errors = context.new_page(), [], []
    tab.on("request", lambda request: asked_for.append(request.url))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.set_default_timeout(30_000)
    tab.goto(url)
    tab.get_by_role("heading", name="What genre is this?").wait_for()
    yield tab
    assert not [address for address in asked_for if not address.startswith((url, "data:", "blob:"))]
    assert not errors
    context.close()


def give(tab, file):
    tab.get_by_text("Click to Upload").wait_for()
    tab.set_input_files("input[type=file]", file)
    answer = tab.locator(".heard, .unheard").filter(has_text=file.name)
    answer.wait_for()
    return answer


def brightness(picture):
    return np.asarray(Image.open(picture).convert("L")).mean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_song_is_answered(browser, server, model, song, tmp_path, size, scheme):
    blocks, url = server
    with opened(browser, url, size=size, scheme=scheme) as tab:
        answer = give(tab, song)
        headline = answer.get_by_role("heading", level=2).inner_text()
        assert any(f"Most like {genre}" in headline for genre in model.genres)
        assert "0:50 heard in" in answer.inner_text()
        # The page has the width of the screen, and the answer comes into view.
        assert tab.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        tab.wait_for_function("document.querySelector('.heard').getBoundingClientRect().top < 700")
        for picture in answer.locator("img").all():
            assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
            assert len(picture.get_attribute("alt")) > 30
        sound = answer.locator("audio")
        sound.evaluate("sound => { sound.preload = 'auto'; sound.load(); }")
        tab.wait_for_function("document.querySelector('.heard audio').duration > 29")
        # The form is free for the next song.
        tab.get_by_text("Click to Upload").wait_for()
        picture = tmp_path / f"{size}-{scheme}.png"
        tab.screenshot(path=picture, full_page=True)
    assert (brightness(picture) > 150) == (scheme == "light")
    assert Image.open(picture).height > 1000


@pytest.mark.real_data
def test_a_real_clip_is_answered(browser, server, model, gtzan_root):
    clips = sorted(gtzan_root.glob("genres_original/metal/*.flac"))
    if not clips:
        pytest.skip("GTZAN is here without sound")
    with opened(browser, server[1]) as tab:
        text = give(tab, clips[0]).inner_text()
    assert "Most like" in text and "0:30 heard in" in text and "attended to" in text


def test_bad_files_are_told_and_the_next_one_is_heard(browser, server, song, tmp_path):
    (tmp_path / "words.txt").write_text("no music at all\n" * 50)
    sf.write(tmp_path / "silence.wav", np.zeros(5 * 22050), 22050)
    with open(tmp_path / "huge.wav", "wb") as file:
        file.truncate(500 * 10**6)
    with opened(browser, server[1]) as tab:
        told = give(tab, tmp_path / "words.txt")
        assert told.get_attribute("role") == "alert"
        assert "damaged or no audio" in told.inner_text()
        assert "silent; expected music" in give(tab, tmp_path / "silence.wav").inner_text()
        tab.get_by_text("Click to Upload").wait_for()
        tab.set_input_files("input[type=file]", tmp_path / "huge.wav")
        tab.get_by_text("exceed the maximum allowed size of 200").wait_for()
        tab.reload()
        assert "Most like" in give(tab, song).inner_text()


def test_an_example_and_the_microphone(browser, server):
    with opened(browser, server[1]) as tab:
        tab.get_by_role("tab", name="An example").click()
        tab.get_by_role("button", name="disco").click()
        tab.locator(".heard").filter(has_text="disco, made by a computer").wait_for()
        tab.get_by_role("tab", name="Microphone").click()
        tab.get_by_role("button", name="Record").first.click()
        tab.get_by_role("button", name="Stop").first.wait_for()
        time.sleep(2)
        tab.get_by_role("button", name="Stop").first.click()
        tab.locator(".heard, .unheard").filter(has_text="your recording").wait_for()
