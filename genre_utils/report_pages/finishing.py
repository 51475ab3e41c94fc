"""What is done to the HTML of every page: links, tables, figures, headings and contents."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

# 1,000 or 89 s or 0.42–0.54 or 3 (± 0.05) or 0.48 (0.42–0.54)
_VALUE = r"[-+−±]? ?\d[\d.,]*(?:e[-+]?\d+)?"
_UNIT = r"( ?(%|s|min|h|ms|MB|KiB|Hz))?"
_NUMBER = re.compile(rf"{_VALUE}{_UNIT}((–| \(){_VALUE}((–| to ){_VALUE})?\)?)?")
_INTERVAL = re.compile(rf"({_VALUE} \({_VALUE}(?:–| to ){_VALUE}\))")
_EMPTY = ("", "–", "-", "NaN", "nan", "None")

# These need a server, or reach outside the page.
_ACTIVE = ("script", "iframe", "object", "embed", "link", "style", "base", "meta")


@dataclass(frozen=True)
class Heading:
    """An entry of a page's contents.

    Attributes
    ----------
    level : int
        2 or 3.
    anchor, text : str
        The heading's id, and what it says.
    """

    level: int
    anchor: str
    text: str


def finish(
    html: str,
    *,
    link: Callable[[str], str | None],
    picture_size: Callable[[str], tuple | None],
    at_hand: Callable[[str], bool],
) -> tuple[str, list[Heading]]:
    """Make a page's HTML fit for the report, and list its headings.

    Parameters
    ----------
    html : str
        The content of a page.
    link : callable
        Gives the address in the report of what the page's text links to; None unlinks it.
    picture_size : callable
        Gives a picture's (width, height) in pixels by its address; None leaves it as it is.
    at_hand : callable
        Tells whether a sound file that a player names can be reached from the report.

    Returns
    -------
    html : str
        Without anything that reaches outside the report, but for links to follow.
    headings : list of Heading
    """
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(_ACTIVE):
        tag.decompose()
    for tag in soup.find_all(True):
        for name in [name for name in tag.attrs if name.startswith("on")]:
            del tag[name]
    _settle_players(soup, at_hand)
    _settle_links(soup, link)
    _frame_pictures(soup, picture_size)
    _frame_tables(soup)
    headings = _number_headings(soup)
    return str(soup), headings


def _is_far(address: str | None) -> bool:
    return urlsplit(address or "").scheme in ("http", "https", "ftp")


def _settle_players(soup: BeautifulSoup, at_hand: Callable[[str], bool]) -> None:
    for tag in soup.find_all(["audio", "video", "source", "track"], src=True):
        address = tag["src"]
        if not address.startswith("data:") and (_is_far(address) or not at_hand(unquote(address))):
            tag.decompose() if tag.name in ("source", "track") else tag.attrs.pop("src")
    for player in soup.find_all(["audio", "video"]):
        if not player.get("src") and not player.find("source"):
            words = soup.new_tag("em")
            words.string = "no sound at hand"
            player.replace_with(words)


def _settle_links(soup: BeautifulSoup, link: Callable[[str], str | None]) -> None:
    for picture in soup.find_all("img"):
        if _is_far(picture.get("src")):
            # A badge, say: its words serve as well, and need no network.
            picture.replace_with(picture.get("alt") or "picture on the web")
    for anchor in soup.find_all("a", href=True):
        address = anchor["href"]
        if address.startswith("#"):
            continue
        if urlsplit(address).scheme:
            anchor["rel"] = "noreferrer"
            continue
        found = link(unquote(address))
        if found is None:
            anchor.unwrap()
        else:
            anchor["href"] = found


def _frame_pictures(soup: BeautifulSoup, picture_size: Callable[[str], tuple | None]) -> None:
    for picture in soup.find_all("img"):
        size = picture_size(picture["src"])
        if picture.find_parent("a") or size is None:
            continue
        width = int(picture.get("width", size[0]))
        picture["width"], picture["height"] = width, round(width * size[1] / size[0])
        picture["loading"] = "lazy"
        # On a phone a figure keeps three quarters of its size, and is moved sideways.
        picture["style"] = f"--width: {width}px"
        figure = soup.new_tag("figure")
        picture.wrap(figure)
        whole = soup.new_tag("a", href=picture["src"], title="Open this figure by itself")
        picture.wrap(whole)
        frame = soup.new_tag("div", attrs={"class": "scroll"})
        whole.wrap(frame)
        _label(frame, f"Figure: {picture.get('alt', '')[:80]}")
        words = soup.new_tag("details", attrs={"class": "in-words"})
        summary = soup.new_tag("summary")
        summary.string = "In words"
        paragraph = soup.new_tag("p")
        paragraph.string = picture.get("alt", "")
        words.extend([summary, paragraph])
        caption = soup.new_tag("figcaption")
        caption.append(words)
        figure.append(caption)


def _label(frame: Tag, name: str) -> None:
    """Let those who use a keyboard scroll a frame, and tell them what it is."""
    frame["tabindex"], frame["role"], frame["aria-label"] = "0", "region", name


def _frame_tables(soup: BeautifulSoup) -> None:
    for table in soup.find_all("table"):
        heading = table.find_previous(["h1", "h2", "h3", "h4", "summary"])
        del table["border"]
        for row in table.find_all("tr"):
            del row["style"]
        _drop_row_numbers(table)
        _mark_numbers(table)
        frame = soup.new_tag("div", attrs={"class": "scroll"})
        table.wrap(frame)
        _label(frame, f"Table: {_words(heading)}" if heading else "Table")


def _words(tag: Tag) -> str:
    return tag.get_text().replace("¶", "").strip()


def _drop_row_numbers(table: Tag) -> None:
    """Remove the first column where it only counts the rows."""
    body = table.find("tbody")
    rows = body.find_all("tr") if body else []
    firsts = [row.find(["th", "td"]) for row in rows]
    if not rows or any(cell is None or cell.name != "th" for cell in firsts):
        return
    if [_words(cell) for cell in firsts] == [str(i) for i in range(len(rows))]:
        head = table.find("thead").find("tr").find("th") if table.find("thead") else None
        if head is not None and not _words(head):
            for cell in [*firsts, head]:
                cell.decompose()


def _mark_numbers(table: Tag) -> None:
    """Mark values, which are not to be broken, and columns that hold nothing else."""
    for cell in table.find_all("td"):
        if _NUMBER.fullmatch(_words(cell)):
            cell["class"] = [*cell.get("class", []), "value"]
        elif cell.string and _INTERVAL.search(cell.string):
            _hold_intervals_together(cell)
    rows = [row.find_all(["th", "td"]) for row in table.find_all("tr")]
    if not rows or len({len(row) for row in rows}) != 1:
        return
    for column in zip(*rows, strict=True):
        cells = [c for c in column if c.find_parent("thead") is None]
        texts = [t for t in map(_words, cells) if t not in _EMPTY]
        if texts and all(_NUMBER.fullmatch(text) for text in texts):
            for cell in column:
                cell["class"] = [*cell.get("class", []), "number"]
        elif any(len(text) > 60 for text in texts):
            for cell in column:
                cell["class"] = [*cell.get("class", []), "long"]


def _hold_intervals_together(cell: Tag) -> None:
    """Let a line break before or after an interval, never within."""
    parts = _INTERVAL.split(cell.string)
    cell.clear()
    for position, part in enumerate(parts):
        if position % 2:
            held = Tag(name="span", attrs={"class": "value"})
            held.string = part
            cell.append(held)
        else:
            cell.append(part)


def _number_headings(soup: BeautifulSoup) -> list[Heading]:
    """Give each heading an id of its own that needs no quoting, and list them."""
    taken = {tag["id"] for tag in soup.find_all(id=True) if tag.name not in ("h1", "h2", "h3")}
    headings = []
    for tag in soup.find_all(["h1", "h2", "h3"]):
        text = _words(tag)
        slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
        anchor = next(a for a in _candidates(slug) if a not in taken)
        taken.add(anchor)
        tag["id"] = anchor
        for mark in tag.select("a.anchor-link"):
            mark["href"], mark["aria-label"] = f"#{anchor}", f"Link to: {text}"
        if tag.name != "h1":
            headings.append(Heading(int(tag.name[1]), anchor, text))
    return headings


def _candidates(slug: str):
    yield slug
    count = 2
    while True:
        yield f"{slug}-{count}"
        count += 1


def demoted(html: str, *, by: int) -> str:
    """Return HTML with its headings lowered by some levels, to stand below another one."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(re.compile(r"^h[1-6]$")):
        tag.name = f"h{min(6, int(tag.name[1]) + by)}"
    return str(soup)
