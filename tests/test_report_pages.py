"""The pages of the report: what is on them, that they need no network, how they look."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from genre_utils import project, report_pages
from genre_utils.project import Outputs, ProjectError
from genre_utils.report_pages import articles, cards, finishing, provenance

PICTURE = (  # one blue point
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYPgPAAEDAQAIicLsAAAAAElFTkSuQmCC"
)
LOADING = {
    "img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src",
    "audio": "src", "video": "src", "embed": "src", "object": "data", "use": "href",
}  # fmt: skip


def figure_output(alt="A blue point."):
    return new_output(
        "execute_result", data={"image/png": PICTURE}, metadata={"image/png": {"alt": alt}}
    )


def text_output(text):
    return new_output("execute_result", data={"text/markdown": text, "text/plain": "…"})


def html_output(html):
    return new_output("execute_result", data={"text/html": html, "text/plain": "…"})


def executed(number: int, *cells, question="Is it so?"):
    first = f"# {number:02d} · Study {number}\n\n**Question.** {question}\n\n**Inputs.** None."
    return new_notebook(cells=[new_markdown_cell(first), *cells])


@pytest.fixture
def study(tmp_path, monkeypatch) -> Outputs:
    """An empty study; `keep` puts executed notebooks into it."""
    monkeypatch.setenv("OUTPUT_ROOT", str(tmp_path))
    return Outputs("demo")


def keep(study: Outputs, **books) -> None:
    for name, book in books.items():
        path = study.results / "notebooks" / f"{name.removeprefix('n')}.ipynb"
        project.write_atomic(path, nbformat.writes(book))


def soup_of(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_any_executed_notebook_becomes_a_page_that_the_cover_sums_up(study, demo):
    answers = [
        new_markdown_cell("## Answer"),
        new_code_cell("x", outputs=[text_output("**Yes**, 7.")]),
    ]
    plain = new_code_cell("1", outputs=[figure_output("Not this one.")])
    tagged = new_code_cell("2", outputs=[figure_output("The point.")])
    tagged.metadata["tags"] = [articles.KEY_FIGURE]
    keep(study, n31_new=executed(31, plain, tagged, *answers), n02_x=executed(2, *answers))
    cover = report_pages.build(demo, study)
    page = soup_of(cover)
    assert [a["href"] for a in page.select(".card h3 a")] == ["02_x.html", "31_new.html"]
    card = page.select(".card")[1]
    assert card.select_one(".question").get_text(strip=True) == "Is it so?"
    assert card.select_one(".answer strong").get_text() == "Yes"
    assert card.select_one("img")["alt"] == "The point."
    assert "synthetic" in page.select_one(".warning").get_text()
    links = [a["href"] for a in soup_of(cover.with_name("31_new.html")).select("nav.side a")]
    assert {"index.html", "02_x.html", "31_new.html", "runs.html"} <= set(links)


def test_nothing_of_a_notebook_reaches_for_the_network(study, demo):
    badge = "[![Open it](https://example.org/badge.svg)](https://example.org/x)"
    live = (
        "<script src='https://example.org/a.js'></script><iframe src='http://localhost:1'></iframe>"
        "<style>@import url(https://example.org/b.css);</style><p onclick='x()'>kept</p>"
    )
    keep(
        study,
        n02_x=executed(
            2, new_markdown_cell(badge), new_code_cell("1", outputs=[html_output(live)])
        ),
    )
    report_pages.build(demo, study)
    page = soup_of(study.results / "report" / "02_x.html")
    assert loaded_from_elsewhere(page) == []
    anchor = page.find("a", href="https://example.org/x")
    assert anchor.get_text() == "Open it" and page.find(string="kept")
    assert not page.select("#content script, #content iframe, #content style, [onclick]")


def test_links_lead_into_the_report_or_are_words(study, demo):
    text = (
        "[page](02_x.ipynb), [itself](31_new.py#part), [not run](77_none.ipynb), "
        "[file](../CONTRIBUTING.md), [outside](../../etc/passwd), [web](https://example.org)"
    )
    keep(study, n02_x=executed(2), n31_new=executed(31, new_markdown_cell(text)))
    folder = report_pages.build(demo, study).parent
    links = {
        a.get_text(): a["href"] for a in soup_of(folder / "31_new.html").select(".prose a[href]")
    }
    links = {words: address for words, address in links.items() if not address.startswith("#")}
    assert links == {
        "page": "02_x.html",
        "itself": "31_new.html",
        "file": "files/CONTRIBUTING.md",
        "web": "https://example.org",
    }
    assert (folder / "files" / "CONTRIBUTING.md").is_file()


def test_a_report_is_replaced_as_a_whole_or_not_at_all(study, demo):
    keep(study, n02_x=executed(2), n31_new=executed(31))
    cover = report_pages.build(demo, study)
    before = cover.read_text()
    broken = study.results / "notebooks" / "31_new.ipynb"
    broken.write_text("{")
    with pytest.raises(ProjectError, match="31_new.ipynb cannot be read"):
        report_pages.build(demo, study)
    assert cover.read_text() == before and (cover.parent / "31_new.html").is_file()
    broken.unlink()
    report_pages.build(demo, study)
    assert not (cover.parent / "31_new.html").exists()
    assert [path.name for path in study.results.iterdir() if "partial" in path.name] == []


def test_the_card_of_a_shipped_network_stands_among_the_model_cards(study, demo):
    keep(study, n02_x=executed(2))
    card = "# demo: small\n\n## Limits\n\nIt has never heard real music.\n"
    project.write_atomic(study.results / "bundle" / "CARD.md", card)
    page = soup_of(report_pages.build(demo, study).with_name("model_cards.html"))
    shipped = page.select_one(".shipped")
    assert [tag.name for tag in shipped.select("h3, h4")] == ["h3", "h4"]
    assert "never heard real music" in shipped.get_text() and len(page.select("h1")) == 1


def test_without_an_executed_notebook_it_says_what_to_run(study, demo, capsys):
    with pytest.raises(ProjectError, match="make all DATASET=demo"):
        report_pages.build(demo, study)
    assert report_pages.main(["--dataset", "demo"]) == 2
    assert "no executed notebook" in capsys.readouterr().err


def finished_of(html: str, *, sounds=()):
    return finishing.finish(
        html, link=str, picture_size=lambda _: None, at_hand=lambda address: address in sounds
    )


def test_players_hold_sound_or_say_that_there_is_none():
    html = (
        "<audio id='a' src='data:audio/wav;base64,x'></audio>"
        "<audio id='b'><source src='here.wav'/><source src='gone.wav'/></audio>"
        "<audio id='c'><source src='gone.wav'/><source src='https://example.org/x.wav'/></audio>"
    )
    page = BeautifulSoup(finished_of(html, sounds=("here.wav",))[0], "html.parser")
    assert [player["id"] for player in page.find_all("audio")] == ["a", "b"]
    assert [tag["src"] for tag in page.find_all("source")] == ["here.wav"]
    assert page.em.get_text() == "no sound at hand"


def test_headings_get_addresses_of_their_own():
    html = "<h2>Same, twice?</h2><h2>Same, twice?</h2><h3>ä</h3><p id='section'></p>"
    finished, headings = finished_of(html)
    assert [h.anchor for h in headings] == ["same-twice", "same-twice-2", "section-2"]
    assert all(f'id="{h.anchor}"' in finished for h in headings)


def test_columns_of_numbers_are_set_right_and_row_numbers_go():
    frame = pd.DataFrame({"name": ["a", "b"], "score": ["0.48 (0.42–0.54)", "–"]})
    finished, _ = finished_of(frame.to_html())
    table = BeautifulSoup(finished, "html.parser")
    assert [th.get_text() for th in table.select("th")] == ["name", "score"]
    assert [td.get_text() for td in table.select("td.number")] == ["0.48 (0.42–0.54)", "–"]
    assert table.select_one("div.scroll[tabindex] > table")


def test_an_interval_is_not_broken_over_lines():
    html = "<table><tbody><tr><td>0.48 (0.42–0.54), 290 tracks</td></tr></tbody></table>"
    finished, _ = finished_of(html)
    cell = BeautifulSoup(finished, "html.parser").td
    assert cell.get_text() == "0.48 (0.42–0.54), 290 tracks"
    assert cell.find(class_="value").get_text() == "0.48 (0.42–0.54)"


def test_runs_that_share_data_parts_and_tuning_have_the_same_names(study):
    shared = {"protocol": "track_random", "stage": "final", "fold": 0, "seed": 0, "segment_s": 3.0}
    of = ("run_id", "model", "input_digest", "split_digest", "recipe")
    rows = ("a knn x 1 1", "b svm x 1 1", "c knn x 2 1", "d knn y 2 2")
    records = [shared | dict(zip(of, row.split(), strict=True)) for row in rows]
    searches = {"fit_cpu_s": 2.0, "searches": [{"cpu_s": 3.0}, {"cpu_s": 4.0}]}
    records[0] |= searches
    folder = study.results / "predictions"
    project.write_atomic(folder / "05_x.json", json.dumps({"runs": records, "impossible": []}))
    settings = [{"key": "k", "epochs": 2, "valid_accuracy": 0.5, "seconds": 1.0}]
    project.write_atomic(folder / "05_x_budget.json", json.dumps(settings))
    measured = json.dumps({"machine": {}, "rows": [{"ms": 1.0}]})
    project.write_atomic(folder / "05_x_measured.json", measured)
    uses = pd.DataFrame({"study": "05_x", "run_id": ["a", "b"], "times": [1, 3]})
    project.write_atomic(study.results / "test_uses.csv", uses.to_csv(index=False))
    table = provenance.runs(study).set_index("run_id")
    assert table.loc[list("abcd"), "data"].tolist() == ["D1", "D1", "D1", "D2"]
    assert table.loc[list("abcd"), "parts"].tolist() == ["P1", "P1", "P2", "P3"]
    assert table.loc[list("abcd"), "tuning"].tolist() == ["T1", "T2", "T1", "T3"]
    assert table["test_uses"].to_dict() == {"a": 1, "b": 3, "c": 0, "d": 0, "k": 0}
    assert table.loc["a", "seconds"] == 9.0
    assert table.loc["k", "validation_accuracy"] == 0.5 and pd.isna(table.loc["k", "parts"])
    for _, rows in table.reset_index().groupby("study"):
        assert len(provenance.to_read(rows)) == len(rows)


def test_papers_come_from_the_code_and_sources_from_the_readme():
    named = cards.methods()
    assert any("mixup: Beyond empirical risk minimization" in entry for entry in named)
    assert any("ICLR 2018" in entry for entry in named), "an entry goes on in its next line"
    assert "Tzanetakis" in cards.readme_sources() and "## " not in cards.readme_sources()


# ------------------------------------------------------------------ a whole study, in pages


@pytest.fixture(scope="module")
def report(smoke, tmp_path_factory):
    """The folder of the report of the smoke study."""
    executed_study = smoke.results
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTPUT_ROOT", str(tmp_path_factory.mktemp("report")))
        outputs = Outputs("demo", "smoke")
        shutil.copytree(executed_study, outputs.results)
        assert report_pages.main(["--dataset", "demo", "--profile", "smoke"]) == 0
        yield outputs.results / "report"


@pytest.fixture(scope="module")
def pages(report) -> dict[str, BeautifulSoup]:
    return {path.name: soup_of(path) for path in sorted(report.glob("*.html"))}


def loaded_from_elsewhere(page: BeautifulSoup) -> list[str]:
    found = [
        str(tag.get(name, "")) for kind, name in LOADING.items() for tag in page.find_all(kind)
    ]
    found += re.findall(
        r"url\(([^)]*)\)|@import", " ".join(t["style"] for t in page.select("[style]"))
    )
    return [address for address in found if urlsplit(address).scheme not in ("", "data")]


def test_every_executed_notebook_has_its_page_and_its_cells(report, pages):
    books = sorted((report.parent / "notebooks").glob("*.ipynb"))
    assert len(books) >= 6
    for path in books:
        page, book = pages[f"{path.stem}.html"], nbformat.read(path, 4)
        outputs = [o for cell in book.cells for o in cell.get("outputs", [])]
        kinds = Counter(kind for o in outputs for kind in o.get("data", {}))
        assert len(page.select("details.code")) == sum(c.cell_type == "code" for c in book.cells)
        assert len(page.select("#content img")) == kinds["image/png"]
        assert len(page.select(".output table")) >= kinds["text/html"] - len(page.select("audio"))
        headings = [a.get_text() for a in page.select(".toc a")]
        assert headings == [h.get_text().removesuffix("¶") for h in page.select("main h2, main h3")]
        assert re.search(r"sources [0-9a-f]{10}", page.select_one(".stamp").get_text())


def test_the_cover_asks_and_answers_for_every_notebook(report, pages):
    cards_shown = pages["index.html"].select(".card")
    assert len(cards_shown) == len(list((report.parent / "notebooks").glob("*.ipynb")))
    for card in cards_shown:
        assert "?" in card.select_one(".question").get_text()
        assert len(card.select_one(".answer").get_text(strip=True)) > 40


def test_no_link_of_the_report_is_dead(report, pages):
    for name, page in pages.items():
        anchors = [tag["id"] for tag in page.select("[id]")]
        assert len(anchors) == len(set(anchors)), name
        for tag in page.select("a[href], link[href], script[src], img[src], source[src]"):
            address = tag.get("href") or tag.get("src")
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "data", "mailto"):
                continue
            path = unquote(parts.path) or name
            assert (report / path).resolve().is_relative_to(report.resolve()), address
            assert (report / path).is_file(), f"{name}: {address}"
            if parts.fragment:
                assert pages[path].find(id=unquote(parts.fragment)), f"{name}: {address}"


def test_every_picture_is_described_and_none_comes_from_a_network(report, pages):
    for name, page in pages.items():
        assert loaded_from_elsewhere(page) == [], name
        for picture in page.select("img"):
            assert len(picture.get("alt", "")) > 20, f"{name}: {picture['src']}"
    for path in report.glob("assets/*"):
        assert not re.search(r"https?:|@import|url\(", path.read_text()), path.name


def test_the_report_is_small_and_holds_no_path_of_the_machine(report):
    files = [path for path in report.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < report_pages.MOST_MIB * 2**20
    for path in files:
        if path.suffix in (".html", ".csv"):
            assert not re.search(r"/(home|Users|root|tmp)/", path.read_text()), path.name


def test_every_run_is_listed_with_its_provenance(report, pages):
    page, listed = pages["runs.html"], pd.read_csv(report / "files" / "runs.csv")
    stored = [json.loads(p.read_text()) for p in (report.parent / "predictions").glob("*.json")]
    runs = [
        run
        for study in stored
        for run in (study if isinstance(study, list) else study.get("runs", []))
    ]
    assert len(listed) == len(runs) == len(page.select("details.runs tbody tr"))
    uses = pd.read_csv(report.parent / "test_uses.csv")
    assert listed["test_uses"].sum() == uses["times"].sum()
    trained = listed[listed["split_digest"].notna()]
    assert trained["test_accuracy"].between(0, 1).all()
    assert trained["seconds"].dropna().gt(0).all()  # what only hears has nothing to train
    together = trained.groupby("parts")[["input_digest", "split_digest"]].nunique()
    assert (together == 1).all(axis=None)
    text = page.get_text()
    for record in provenance.records(Outputs("demo", "smoke")):
        assert record["inputs"]["sources"][:10] in text and record["versions"]["numpy"] in text


def test_cards_name_data_models_and_claims(report, pages):
    systems = pd.read_csv(report.parent / "00_systems.csv")
    shown = [heading.get_text() for heading in pages["model_cards.html"].select("main h2")]
    claimed = systems.loc[systems["published"].str.contains(r"\d"), "system"]
    assert len(claimed) and set(claimed) <= set(shown)
    assert "Licence" in pages["data_card.html"].get_text()
    related = pages["related_work.html"].get_text()
    assert all(
        claim.split(", ")[-1] in related for claim in systems["published"].drop_duplicates()[:3]
    )
    assert "MuQ" in related and "mixup" in related


# ------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no browser: the package chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=120_000
        )
        yield started
        started.close()


@pytest.fixture
def tab(browser):
    """A page of the browser that notes what is complained of and what is asked for."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    page.close()


A4_WITHIN_MARGINS = 690
WIDER_THAN_THE_SCREEN = "document.documentElement.scrollWidth - window.innerWidth"
BRIGHTNESS = """() => {
  const parts = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (parts[0] + parts[1] + parts[2]) / 765;
}"""
NOT_LOADED = """async () => {
  const pictures = [...document.images];
  pictures.forEach((picture) => { picture.loading = 'eager'; });
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  return pictures.filter((picture) => !picture.naturalWidth).map((picture) => picture.src);
}"""


def test_every_page_fits_a_desk_and_a_phone_in_light_and_dark(report, tab):
    for path in sorted(report.glob("*.html")):
        tab.goto(path.as_uri())
        assert tab.evaluate(NOT_LOADED) == [], path.name
        for scheme, bright in (("light", True), ("dark", False)):
            tab.emulate_media(color_scheme=scheme)
            assert (tab.evaluate(BRIGHTNESS) > 0.5) == bright, path.name
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            for opened in ("false", "true"):
                tab.evaluate(
                    f"document.querySelectorAll('details').forEach(d => d.open = {opened})"
                )
                assert tab.evaluate(WIDER_THAN_THE_SCREEN) <= 0, f"{path.name} at {width}"
        tab.set_viewport_size({"width": A4_WITHIN_MARGINS, "height": 900})
        tab.emulate_media(media="print")
        assert tab.evaluate(WIDER_THAN_THE_SCREEN) <= 0, f"{path.name} on paper"
        tab.emulate_media(media="screen")
    assert tab.complaints == []
    assert {urlsplit(address).scheme for address in tab.requests} <= {"file", "data"}


def test_code_theme_and_filter_answer_to_the_reader(report, tab):
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.goto((report / "03_baselines.html").as_uri())
    code = tab.locator("details.code pre").first
    assert not code.is_visible()
    tab.click("#all-code")
    assert code.is_visible()
    tab.emulate_media(color_scheme="dark")
    tab.click("#theme")  # from the system's choice to light
    assert tab.evaluate(BRIGHTNESS) > 0.5
    tab.goto((report / "runs.html").as_uri())
    everything = tab.locator("details.runs tbody tr").count()
    tab.fill("#filter", "svm_c10 fault_filtered")
    shown = tab.locator("details.runs tbody tr:visible").count()
    assert 0 < shown < everything
    assert tab.locator("#matches").inner_text() == f"{shown} of {everything} rows"
    assert tab.complaints == []


def test_on_a_phone_the_contents_fold_away(report, tab):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto((report / "03_baselines.html").as_uri())
    contents = tab.locator(".toc a").first
    assert not contents.is_visible()
    tab.click("#menu > summary")
    assert contents.is_visible()
    tab.click(".toc a >> nth=0")
    assert "#" in tab.url and not contents.is_visible()
