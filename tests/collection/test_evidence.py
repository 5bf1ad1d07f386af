"""Evidence: what each word adds to the score, and where exactly it stands in the text."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from retrievers import Collection, Document
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError
from retrievers.testing import HashingEncoder
from retrievers.types import Evidence, Highlight, Match, Window

GOLDEN = Path(__file__).parents[1] / "golden"
CHECKPOINTS = sorted(
    path.name for path in GOLDEN.iterdir() if path.is_dir() and (path / "config.json").exists()
)
CHARACTER = regex.compile(r"\X")

# GPT-2's alphabet: a visible character a byte.
VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
HIDDEN = [byte for byte in range(256) if byte not in VISIBLE]
BYTES = {chr(byte): byte for byte in VISIBLE} | {chr(256 + n): byte for n, byte in enumerate(HIDDEN)}

# What tokenizers and their normalisations are known to stumble over.
PARTS = [
    "Paris is the capital of France.",
    "Ada Lovelace wrote the first program",
    "ﬁne ﬂour ½ ² ① Ⅷ ㎏ ﷺ",  # NFKC makes several characters of one
    "İSTANBUL STRASSE ΌΣΟΣ ǅ",  # lower-casing too
    "café cafe\u0301 a\u0308o\u0323\u0302",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️",
    "مرحبا بالعالم، كيف الحال؟ שלום עולם",
    "巴黎是法国的首都。柏林是德国的首都。",
    "カタカナとひらがな。ｶﾞｷﾞ",
    "नमस्ते दुनिया। क्षत्रिय",
    "한국어 각 \u1112\u1161\u11ab",
    "line\r\nbreak\tand\u00a0space",
    "\u200b\u202ehidden\u202c\ufeff",
    "3.50 euros -- (1843)!",
]


@pytest.fixture(scope="module", params=CHECKPOINTS)
def golden(request):
    return LateInteractionEncoder(str(GOLDEN / request.param), precision="float32", device="cpu")


@pytest.fixture(scope="module")
def shelf(golden):
    """A collection of the checkpoint, whose one document each example replaces."""
    with Collection(None, golden) as collection:
        yield collection


@pytest.fixture(scope="module")
def stored():
    """The text of a document of three windows, and a collection that holds it."""
    words = [f"word{number}" for number in range(150)]
    collection = Collection(None, HashingEncoder())
    collection.add([" ".join(words), "word3 alone"], ids=["long", "short"])
    return collection


texts = (
    st.lists(
        st.one_of(
            st.sampled_from(PARTS), st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=6)
        ),
        min_size=1,
        max_size=4,
    )
    .map(" ".join)
    .filter(str.strip)
)
often = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


# The spans of tokens


def token_bytes(tokenizer, token: int) -> tuple[str, bytes]:
    """What a token stands for: as text, or, for byte-level vocabularies, as bytes."""
    name = tokenizer.convert_ids_to_tokens([token])[0]
    if '"ByteLevel"' in tokenizer.backend_tokenizer.to_str():
        return "", bytes(BYTES[character] for character in name)
    return name.removeprefix("##").replace("▁", ""), b""


@often
@given(text=texts)
@example(text=PARTS[4])  # letters whose accents a normalisation puts into them
def test_each_span_holds_the_characters_that_its_token_was_made_of(golden, text):
    preprocess, tokenizer = golden._preprocess, golden._preprocess._tokenizer
    normalizer = tokenizer.backend_tokenizer.normalizer
    ids = preprocess([text], "document")[0]
    kept = preprocess.scored(ids, "document")
    tokens = [token for token, row in zip(ids["input_ids"].tolist(), kept, strict=True) if row]
    spans = golden.document_tokens(text)
    assert len(spans) == len(tokens)
    for token, (start, end) in zip(tokens, spans, strict=True):
        assert 0 <= start <= end <= len(text)
        if start == end or token in tokenizer.all_special_ids:
            continue
        name, raw = token_bytes(tokenizer, token)
        if raw:
            assert raw.strip() in text[start:end].encode()
        else:
            assert name in (normalizer.normalize_str(text[start:end]) if normalizer else text[start:end])


@often
@given(text=texts)
def test_every_character_that_is_no_space_is_in_a_span_or_without_a_row(golden, text):
    """A byte-level vocabulary leaves nothing out; others drop what their normalisation drops."""
    tokenizer = golden._preprocess._tokenizer
    if '"ByteLevel"' not in tokenizer.backend_tokenizer.to_str():
        pytest.skip("its normalisation leaves characters out")
    if golden._preprocess.scored(golden._preprocess([text], "document")[0], "document").count(False):
        return  # the skiplist leaves punctuation out
    covered = {place for start, end in golden.document_tokens(text) for place in range(start, end)}
    assert [
        text[place] for place in range(len(text)) if place not in covered and not text[place].isspace()
    ] == []


# Evidence of every save format


@settings(often, max_examples=10)
@given(text=texts, question=texts, context=st.sampled_from(["", "Title\r\n", "ti", "é", "标题："]))
@pytest.mark.filterwarnings("ignore:A question of")
def test_evidence_cuts_the_text_between_words_and_adds_up_to_the_score(shelf, text, question, context):
    shelf.add([Document(text, "a", {}, context)])
    found = shelf.search(question[:60])
    evidence = shelf.explain(question[:60], found[0] if found else "a")
    if not found:
        assert evidence.score == 0
        return
    # A scan rounds a question to 14 or 7 bits, see kernels.
    assert evidence.score == pytest.approx(found[0].score, abs=0.01 * len(evidence.matches))
    assert not evidence.approximate
    for match in evidence.matches:
        assert text[match.start : match.end] == match.text
    characters = {0, *(one.end() for one in CHARACTER.finditer(text))}
    marks = evidence.highlights()
    for mark in marks:
        assert text[mark.start : mark.end] == mark.text != ""
        assert {mark.start, mark.end} <= characters
    assert all(one.end <= following.start for one, following in pairwise(marks))
    total = sum(mark.weight for mark in marks) + sum(match.similarity for match in evidence.apart())
    assert total == pytest.approx(evidence.score)
    assert sum(len(mark.query_tokens) for mark in marks) + len(evidence.apart()) == len(evidence.matches)
    for limit in (1, 12, 300):
        snippet = evidence.snippet(limit)
        assert text[snippet.start : snippet.end] == snippet.text
        assert len(snippet.text) <= limit
        assert {snippet.start, snippet.end} <= characters


def test_markers_and_expansion_are_told_from_the_question(golden):
    labels, kinds = zip(*golden.query_rows("Paris cafe"), strict=True)
    assert list(labels) == golden.query_tokens("Paris cafe")
    words = [label for label, kind in zip(labels, kinds, strict=True) if kind == "word"]
    assert "".join(words).strip("Ġ▁").lower() == "pariscafe"
    assert (kinds.count("expansion") >= 4) == (golden._preprocess.expansion is not None)
    assert (
        list(kinds) == sorted(kinds, key=["marker", "word", "expansion"].index)
        or "[SEP]" in labels
        or "</s>" in labels
    )


# Whole words


def evidence_of(text: str, *matches: Match) -> Evidence:
    return Evidence("q", text, Window(text, 0, len(text)), matches, sum(one.similarity for one in matches))


def test_a_word_of_several_tokens_is_one_highlight():
    found = evidence_of(
        "the unbelievable story",
        Match("un", "un", 4, 6, 0.5),
        Match("story", "story", 17, 22, 0.75),
        Match("believe", "believ", 6, 12, 0.25),
    ).highlights()
    assert found == [
        Highlight("unbelievable", 4, 16, 0.75, ("un", "believe")),
        Highlight("story", 17, 22, 0.75, ("story",)),
    ]


def test_markers_expansion_and_tokens_without_characters_stand_apart():
    evidence = evidence_of(
        "salt water",
        Match("[Q]", "salt", 0, 4, 0.5, "marker"),
        Match("salt", "salt", 0, 4, 1.0),
        Match("water", "", 0, 0, 0.25),
        Match("[MASK]", "water", 5, 10, 0.5, "expansion"),
    )
    assert evidence.highlights() == [Highlight("salt", 0, 4, 1.0, ("salt",))]
    assert [one.query_token for one in evidence.apart()] == ["[Q]", "water", "[MASK]"]


@pytest.mark.parametrize(
    ("text", "token", "expected"),
    [
        ("they don't know", (7, 8), "don't"),
        ("cafe\u0301s open", (0, 3), "cafe\u0301s"),
        ("巴黎是法国的首都", (3, 5), "法国"),
        ("a 👩‍👩‍👧 b", (4, 5), "👩‍👩‍👧"),
        ("🇩🇪🇫🇷", (2, 3), "🇫🇷"),
        ("नमस्ते दुनिया", (0, 2), "नमस्ते"),
        ("قال مرحبا لي", (4, 6), "مرحبا"),
        ("snake_case 3.50", (13, 14), "3.50"),
    ],
)
def test_a_highlight_is_a_whole_word_of_its_script(text, token, expected):
    [found] = evidence_of(text, Match("x", text[slice(*token)], *token, 1.0)).highlights()
    assert found.text == expected


# Snippets


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        (
            "Salt is old. Water is 3.5 times older, e.g. here. Fire?",
            "older",
            "Water is 3.5 times older, e.g. here.",
        ),
        ("巴黎是法国的首都。柏林是德国的首都。", "德国", "柏林是德国的首都。"),
        ("これはペンです。「赤い？」彼は言った。", "彼", "彼は言った。"),
        ("هذا كتاب. أين القلم؟ هنا البيت۔", "القلم", "أين القلم؟"),
        ("यह पानी है। वह नमक है।", "नमक", "वह नमक है।"),
        ("one\r\ntwo words\r\nthree", "words", "two words"),
    ],
)
def test_a_snippet_is_the_sentence_that_carries_the_score(text, word, expected):
    start = text.index(word)
    evidence = evidence_of(text, Match("x", word, start, start + len(word), 1.0))
    snippet = evidence.snippet(max(len(expected), 30))
    assert snippet.text == expected
    assert (snippet.weight, text[snippet.start : snippet.end]) == (1.0, expected)


def test_neighbouring_sentences_stand_together_where_both_carry_the_score_and_fit():
    text = "Salt melts. Ice does not. Fire burns. Salt again."
    matches = [Match("a", "Ice", 12, 15, 1.0), Match("b", "Fire", 26, 30, 1.0)]
    assert evidence_of(text, *matches).snippet(40).text == "Ice does not. Fire burns."
    assert (
        evidence_of(text, *matches).snippet(20).text == "Fire burns."
    )  # the shorter of two that weigh the same


def test_a_long_sentence_is_cut_between_words_around_what_matched():
    text = " ".join(f"w{number}" for number in range(100))
    start = text.index("w50")
    snippet = evidence_of(text, Match("x", "w50", start, start + 3, 1.0)).snippet(10)
    assert snippet.text == "w50"
    assert (
        evidence_of("x" * 50, Match("x", "x", 0, 1, 1.0)).snippet(10).text == ""
    )  # one word, which never is cut


@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, "9"])
def test_a_snippet_of_no_length_is_refused(wrong):
    with pytest.raises(InvalidInputError, match="max_chars is"):
        evidence_of("salt").snippet(wrong)


# From stored rows


def test_explain_of_a_hit_encodes_no_document(stored):
    hit = stored.search("word140 word149", k=1)[0]
    before = stored.encoder.encoded_documents
    evidence = stored.explain("word140 word149", hit)
    assert [match.text for match in evidence.matches] == ["word140", "word149"]
    assert evidence.score == pytest.approx(hit.score, abs=0.01)
    assert evidence.passage == hit.passage
    assert stored.explain("word140 word149", "long") == evidence
    assert stored.encoder.encoded_documents == before


def test_similarities_are_those_of_the_stored_rows(stored):
    hit = stored.search("word3", k=1)[0]
    [rows] = stored.matrices([hit])
    evidence = stored.explain("word3", hit)
    [query] = stored.encoder.encode_queries(["word3"])
    np.testing.assert_allclose(evidence.similarity, query @ rows.T, rtol=0, atol=1e-6)
    assert evidence.matches[0].similarity == evidence.similarity.max()
    assert [evidence.text[start:end] for start, end in evidence.spans] == hit.passage.text.split()


def test_a_passage_that_the_text_does_not_have_is_refused(stored):
    for hit in (stored.search("word140", k=1)[0], stored.rerank("word3", ["word3 and word4"])[0]):
        with pytest.raises(InvalidInputError, match="again, then explain"):
            stored.explain("word140", replace(hit, passage=Window("word0", 0, 4, 0)))


def test_a_reranked_text_is_encoded_once(stored):
    [hit] = stored.rerank("flour", ["Salt and flour."])
    before = stored.encoder.encoded_documents
    evidence = stored.explain("flour", hit)
    assert (evidence.matches[0].text, stored.encoder.encoded_documents) == ("flour", before + 1)
    assert evidence.score == pytest.approx(hit.score, abs=0.01)


def test_evidence_pickles_and_compares():
    evidence = evidence_of("salt water", Match("salt", "salt", 0, 4, 1.0))
    assert pickle.loads(pickle.dumps(evidence)) == evidence  # noqa: S301


# Rows that do not stand for one token


def test_an_encoder_is_copied_as_itself_and_stripped_of_pooling_as_another(golden):
    assert copy.copy(golden) is copy.deepcopy(golden) is golden
    assert golden.without_pooling() is not golden
    assert golden.without_pooling().model is golden.model


def test_with_token_pooling_the_score_is_the_stored_rows_and_the_places_are_approximate():
    encoder = LateInteractionEncoder(
        str(GOLDEN / "pylate-bert"), precision="float32", device="cpu", token_pooling=2
    )
    with Collection(None, encoder) as collection:
        collection.add(["Ada Lovelace wrote the first program in Paris."], ids=["a"])
        [hit] = collection.search("who wrote the first program")
        evidence = collection.explain("who wrote the first program", hit)
    assert evidence.approximate
    assert "approximate" in repr(evidence)
    assert evidence.score == pytest.approx(hit.score, abs=0.05)
    assert sum(match.similarity for match in evidence.matches) == pytest.approx(evidence.score)
    assert all(match.text == hit.text[match.start : match.end] for match in evidence.matches)
    assert evidence.highlights()
    assert evidence.similarity.shape[1] == len(evidence.spans) > len(collection_rows(encoder, hit.text))


def collection_rows(encoder, text):
    [rows] = encoder.encode_documents([text])
    return rows


class Silent(HashingEncoder):
    """An encoder that tells neither its tokens nor their characters."""

    def document_tokens(self, text):
        raise NotImplementedError

    def split(self, text):
        return [(0, len(text))]

    def query_tokens(self, text):
        raise NotImplementedError

    def _matrix(self, text):
        return super()._matrix(text) if not text else np.stack([self._vector(word) for word in text.split()])


def test_an_encoder_that_does_not_tell_its_tokens_gives_evidence_without_places():
    with Collection(None, Silent()) as collection:
        collection.add(["salt water"], ids=["a"])
        evidence = collection.explain("salt", "a")
    assert evidence.approximate
    assert [(one.query_token, one.text) for one in evidence.matches] == [("token 1", "")]
    assert evidence.score == pytest.approx(1, abs=0.02)
    assert evidence.highlights() == []
