"""What a person sees of hits and evidence."""

from __future__ import annotations

import pytest

from retrievers import Collection
from retrievers.display import show
from retrievers.testing import HashingEncoder


@pytest.fixture
def page():
    collection = Collection(None, HashingEncoder())
    collection.add(["<b>salt</b> & water\nboil"], ids=["soup"])
    return collection


def test_a_hit_is_shown_with_rank_id_scores_and_place(page):
    assert show(page.search("salt")).splitlines() == [
        "1. soup   score 1.00, normalised 1.000",
        "   [1:24] b>salt</b> & water boil",
    ]


def test_a_long_passage_is_cut_short(page):
    assert show(page.search("salt"), width=6).endswith("b>salt…")


def test_evidence_draws_itself_with_matches_marked_and_everything_escaped(page):
    html = page.explain("salt <i> boil", "soup")._repr_html_()
    assert (
        '<mark title="salt 1.00" style="background: rgba(255, 200, 0, 1.00)">salt</mark>&lt;/b&gt; &amp; '
        in html
    )
    assert ">boil</mark>" in html
    assert "<b>salt &lt;i&gt; boil</b>" in html
    assert "<i>" not in html


def test_evidence_without_matches_says_so(page):
    assert "nothing matched" in page.explain("", "soup")._repr_html_()
