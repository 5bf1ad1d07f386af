"""What a person sees of hits and evidence: in a terminal, and in a notebook, light or dark."""

from __future__ import annotations

import copy
import html.parser
import io
import pickle
import re
import shutil
import subprocess
import sys

import pytest

from retrievers import Collection
from retrievers.display.html import figures, mark_style
from retrievers.display.text import has_colour, mark_words, show, show_evidence
from retrievers.errors import InvalidInputError, MissingExtraError
from retrievers.evaluate.metrics import METRICS, Row, Table
from retrievers.testing import HashingEncoder
from retrievers.types import Hits

HOSTILE = (
    "<script>document.title='owned'</script> <img src=x onerror=\"document.title='owned'\"> "
    "</td></table><style>*{display:none}</style> \" onmouseover=\"document.title='owned' "
    "<!-- ]]> &lt;b&gt; javascript:alert(1) $x$ \x00\x1b[31m \u202e \r\n <svg/onload=\"document.title='owned'\">"
)
THEMES = {  # text and background of what draws notebooks, as each has it
    "JupyterLab light": ("#212121", "#ffffff"),
    "JupyterLab dark": ("#e0e0e0", "#111111"),
    "VS Code light": ("#3b3b3b", "#ffffff"),
    "VS Code dark": ("#cccccc", "#1f1f1f"),
    "Colab light": ("#212121", "#ffffff"),
    "Colab dark": ("#d5d5d5", "#383838"),
    "GitHub light": ("#1f2328", "#ffffff"),
    "GitHub dark": ("#f0f6fc", "#0d1117"),
}


@pytest.fixture
def page():
    collection = Collection(None, HashingEncoder())
    collection.add(["<b>salt</b> & water\nboil"], ids=["soup"])
    return collection


@pytest.fixture
def hostile():
    collection = Collection(None, HashingEncoder())
    collection.add(
        [f"salt {HOSTILE} water"],
        ids=[HOSTILE.replace("\x00", "")],
        metadatas=[{HOSTILE.replace("\x00", ""): HOSTILE.replace("\x00", "")}],
    )
    return collection


# In a terminal


def test_a_hit_is_shown_with_rank_id_scores_and_place(page):
    assert show(page.search("salt")).splitlines() == [
        "1. soup   score 1.00, normalised 1.000",
        "   [1:24] b>salt</b> & water boil",
    ]


def test_a_long_passage_is_cut_short(page):
    assert show(page.search("salt"), width=6).endswith("b>salt…")


def test_words_are_marked_in_colour_or_in_brackets():
    assert mark_words("salt and water", (0, 14), [(0, 4), (9, 14)], colour=False) == "[salt] and [water]"
    assert mark_words("salt", (0, 4), [(0, 4)], colour=True) == "\x1b[1;33msalt\x1b[0m"


def test_a_text_never_reaches_a_terminal_as_a_command():
    text = "a\x1b[31mred\x07 \u202eb\r\nc"
    marked = mark_words(text, (0, len(text)), [(5, 8)], colour=True)
    assert marked.replace("\x1b[1;33m", "").replace("\x1b[0m", "") == r"a\x1b[31mred\x07 \u202eb c"


def test_a_hit_is_shown_with_what_matched_and_by_how_much():
    lines = show_evidence(
        2,
        "so\x1bup",
        (1.5, 0.75),
        "Boil water. Add salt.",
        (12, 21),
        [(5, 10, 0.5), (16, 20, 1.0)],
        colour=False,
    )
    assert lines.splitlines() == [
        "2. so\\x1bup   score 1.50, normalised 0.750",
        "   [12:21] …Add [salt].",
        "   matched: salt 1.00",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_have_it_and_users_that_want_it(stream, environment, expected):
    assert has_colour(stream, environment) is expected


# As text in a program


def test_hits_and_evidence_print_short(page):
    page.add([f"salt {'pepper ' * 60}{number}" for number in range(30)])
    found = page.search("salt", k=30)
    assert len(repr(found)) < 2000
    assert repr(found).endswith("… 20 more\n])")
    assert repr(found[0]) == "Hit('soup', score=1.000, normalized_score=1.000, 'b>salt</b> & water\\nboil')"
    assert (
        repr(page.explain("salt", "soup")) == "Evidence('salt', 'b>salt</b> & water', score=1.000, 1 matches)"
    )
    assert repr(Hits()) == "Hits('', [])"


def test_hits_are_pickled_and_copied_as_a_list(page):
    found = page.search("salt")
    for twin in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), copy.copy(found), found[:]):  # noqa: S301
        assert twin == found == list(found)
        assert (type(twin), twin.query) == (Hits, "salt")
        assert twin.matrix.tolist() == found.matrix.tolist()


# In a notebook


class Tags(html.parser.HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def drawings(collection):
    found = collection.search("salt water boil <i>")
    return {
        "hits": found._repr_html_(),
        "hit": found[0]._repr_html_(),
        "evidence": collection.explain("salt water <i>", found[0])._repr_html_(),
        "nothing": collection.explain("", found[0])._repr_html_(),
        "collection": collection._repr_html_(),
        "info": collection.info()._repr_html_(),
        "comparison": Table((Row(HOSTILE, dict.fromkeys(METRICS, 0.5)),), 1, 1, 1)._repr_html_(),
    }


def test_hits_draw_rank_score_id_metadata_and_the_words_that_matched(page):
    page.add(["plain water"], ids=["glass"], metadatas=[{"kind": "drink", "_node": {"a": 1}}])
    drawn = page.search("salt water")._repr_html_()
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", drawn) == ["salt", "water", "plain", "water"]
    assert "<bdi>kind</bdi>: <bdi>drink</bdi>" in drawn
    assert "_node" in drawn  # a user's own key like any other
    assert "<bdi>soup</bdi>" in drawn
    assert drawn.count("<tr>") == 3


def test_hits_of_a_closed_collection_draw_without_marks(page):
    found = page.search("salt")
    page.close()
    assert "<mark" not in found._repr_html_()
    assert "salt" in found._repr_html_()
    assert "closed" in page._repr_html_()


def test_long_passages_are_folded(page):
    page.add([" ".join(["filler."] * 31 + ["zebra."] + ["filler."] * 31)], ids=["long"])
    drawn = page.search("zebra", ids=["long"])._repr_html_()
    shown, _, folded = drawn.partition("<details>")
    assert "zebra" in shown
    assert shown.count("filler") < 45
    assert folded.count("filler") == 62
    assert "<details>" not in page.search("salt", k=1)._repr_html_()


def test_more_hits_than_a_page_has_room_for_are_counted(page):
    page.add([f"salt {number}" for number in range(30)])
    drawn = page.search("salt", k=31)._repr_html_()
    assert "and 11 more" in drawn
    assert drawn.count("<tr>") == 21


def test_evidence_says_what_else_the_score_is_made_of(page):
    drawn = page.explain("salt <i> boil", "soup")._repr_html_()
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", drawn) == ["salt", "water", "boil"]
    assert "<b>salt &lt;i&gt; boil</b>" in drawn
    assert "nothing matched" in page.explain("", "soup")._repr_html_()


def test_the_best_of_each_column_is_bold():
    drawn = figures(["a", "b"], [("one", [0.5, 0.25]), ("two", [0.25, 0.5])], "2 queries.")
    assert re.findall("<b>(.*?)</b>", drawn) == ["0.500", "0.500"]


def test_a_stranger_s_text_makes_no_element_and_no_attribute(hostile):
    for name, drawn in drawings(hostile).items():
        found = Tags(drawn)
        assert found.tags <= {
            *("div", "table", "thead", "tbody", "tr", "th", "td"),
            *("b", "bdi", "br", "small", "mark", "details", "summary"),
        }, name
        assert found.attributes <= {"class", "style", "title", "dir"}, name
        assert not re.search("[\x00-\x08\x0b-\x1f]", drawn), name
        assert "tex2jax_ignore" in drawn, name
        drawn.encode()


def luminance(colour):
    """Relative luminance, see WCAG 2.2."""
    parts = [value / 255 for value in colour]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def rgb(code):
    return [int(code[place : place + 2], 16) for place in (1, 3, 5)]


@pytest.mark.parametrize("theme", THEMES)
def test_marked_words_are_readable_in_every_theme(theme):
    text, background = (rgb(code) for code in THEMES[theme])
    for strength in (0.0, 0.5, 1.0, 7.0):
        style = mark_style(strength)
        *layer, cover = map(float, re.search(r"background: rgba\((.*?)\)", style)[1].split(","))
        behind = [cover * over + (1 - cover) * under for over, under in zip(layer, background, strict=True)]
        assert contrast(text, behind) >= 4.5


def test_all_other_text_has_the_colour_of_the_page(page):
    for drawn in drawings(page).values():
        assert set(re.findall(r"(?<![-\w])color: ([^;\"]+)", drawn)) <= {"inherit"}
        assert "opacity" not in drawn
        assert not re.search(r"https?:|url\(|<script|<style|<link", drawn)


def test_contrast_is_measured_as_wcag_does():
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast(rgb("#777777"), [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no headless browser (chromium) is installed")
@pytest.mark.parametrize("theme", ["JupyterLab light", "JupyterLab dark"])
def test_a_browser_runs_nothing_of_a_stranger_s_text(hostile, tmp_path, theme):
    text, background = THEMES[theme]
    body = "".join(f"<section>{drawn}</section>" for drawn in drawings(hostile).values())
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><meta charset="utf-8"><title>harmless</title>'
        f'<body style="color:{text};background:{background}">'
        f"{body}<script>document.body.dataset.sections = document.querySelectorAll('body > section').length;"
        "document.body.dataset.foreign = document.querySelectorAll('section :is(script, img, svg, style, a)').length;"
        "document.body.dataset.shown = getComputedStyle(document.querySelector('section:last-of-type')).display;"
        "</script>",
        encoding="utf-8",
    )
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    dom = subprocess.run(
        [*command, "--virtual-time-budget=2000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "<title>harmless</title>" in dom
    assert 'data-sections="7" data-foreign="0" data-shown="block"' in dom


# Heat map


def test_a_heat_map_has_a_row_a_query_token_and_a_column_a_passage_token(page):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    pyplot.switch_backend("Agg")
    page.add(["salt $5 and $6"], ids=["price"])
    axes = page.explain("salt water", "price").plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["salt", "water"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["salt", "5", "and", "6"]
    assert axes.images[0].get_array().shape == (2, 4)
    axes.figure.canvas.draw()
    _, own = pyplot.subplots()
    assert page.explain("salt", "price").plot(ax=own) is own
    pyplot.close("all")


def test_a_heat_map_without_matplotlib_names_the_extra(page, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.patches", None)
    with pytest.raises(MissingExtraError, match=r"maxsim-retrievers\[notebooks\]"):
        page.explain("salt", "soup").plot()


def test_a_heat_map_of_nothing_is_refused(page):
    with pytest.raises(InvalidInputError, match="nothing to draw"):
        page.explain("", "soup").plot()
