"""A user's own questions: what is compared, what is proposed, and what is said to be noise."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')

from retrievers import Collection
from retrievers.cli.main import main
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError
from retrievers.evaluate import Setting, evaluate_own, read_questions
from retrievers.evaluate.bootstrap import paired
from retrievers.evaluate.settings import Measured, measure_settings, possible
from retrievers.evaluate.tuning import threshold_of, tune
from retrievers.testing import HashingEncoder
from tests.encoder.conftest import GOLDEN

CHECKPOINT = str(GOLDEN / "pylate-modernbert")
TEXTS = {
    "paris": "Paris is the capital of France.",
    "ada": "Ada Lovelace wrote the first program.",
    "tea": "Coffee: 3.50 euros; tea: 2.80 euros!",
}
LINES = [
    {"question": "Who wrote the first program?", "relevant": ["ada"]},
    {"id": "drinks", "question": "What is the price of tea?", "relevant": {"tea": 2, "paris": 0}},
]
PLAIN, MIXED = Setting(), Setting(0.25, ("length",))


def encoder(**options):
    return LateInteractionEncoder(CHECKPOINT, precision="float32", device="cpu", **options)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    with Collection(tmp_path_factory.mktemp("own") / "c", encoder()) as made:
        made.add(list(TEXTS.values()), ids=list(TEXTS), show_progress=False)
        made.count_tokens(show_progress=False)
        yield made


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in LINES))
    return path


def test_questions_are_lines_with_their_documents(questions):
    asked, relevant = read_questions(questions)
    assert asked == {"line 1": LINES[0]["question"], "drinks": LINES[1]["question"]}
    assert relevant == {"line 1": {"ada": 1}, "drinks": {"tea": 2, "paris": 0}}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"text": "?", "relevant": ["a"]}, "'question' is None"),
        ({"question": " ", "relevant": ["a"]}, "line 1: 'question'"),
        ({"question": "?", "relevant": "a"}, "'relevant' is 'a'"),
        ({"question": "?", "relevant": []}, "a list of ids"),
        ({"question": "?", "relevant": {"a": 0}}, "a list of ids"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, said):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(line))
    with pytest.raises(InvalidInputError, match=said):
        read_questions(path)
    path.write_text("\n")
    with pytest.raises(InvalidInputError, match="has no questions"):
        read_questions(path)


def test_a_setting_scores_as_a_collection_that_was_made_with_it(collection, questions):
    asked, relevant = read_questions(questions)
    found = measure_settings(collection, asked, relevant, [PLAIN, MIXED, Setting(0.25, ("length", "idf"))])
    for setting, measured in found.items():
        options = {"mean_weight": setting.mean_weight, "query_weights": setting.query_weights}
        with Collection(None, encoder(**options)) as made:
            made.add(list(TEXTS.values()), ids=list(TEXTS), show_progress=False)
            for question, ranked in zip(asked.values(), measured.ranked, strict=True):
                hits = made.search(question)
                assert [name for name, _ in ranked] == [hit.id for hit in hits]
                # The rows were rounded to 8 bits before they were mixed.
                assert [score for _, score in ranked] == pytest.approx(
                    [hit.normalized_score for hit in hits], abs=0.01
                )


def test_settings_are_measured_on_rows_of_4_bits_too(collection, questions):
    asked, relevant = read_questions(questions)
    with Collection(None, collection.encoder, bits=4) as small:
        small.add(list(TEXTS.values()), ids=list(TEXTS), show_progress=False)
        found = measure_settings(small, asked, relevant, [PLAIN, MIXED])
        for question, ranked in zip(asked.values(), found[PLAIN].ranked, strict=True):
            hits = small.search(question)
            assert ranked == [(hit.id, pytest.approx(hit.normalized_score, abs=1e-5)) for hit in hits]
    large = measure_settings(collection, asked, relevant, [MIXED])[MIXED].ranked
    for ranked, of_8_bits in zip(found[MIXED].ranked, large, strict=True):
        assert dict(ranked) == pytest.approx(dict(of_8_bits), abs=0.15)


def test_a_setting_with_words_ranks_as_a_search_with_words(collection, questions):
    asked, relevant = read_questions(questions)
    with Collection(None, collection.encoder, words="porter") as worded:
        worded.add(list(TEXTS.values()), ids=list(TEXTS), show_progress=False)
        shares = [one.words for one in possible(worded)]
        assert set(shares) == {0.0, 0.1, 0.25}
        tried = [Setting(words=0.1), Setting(words=0.6)]
        for setting, measured in measure_settings(worded, asked, relevant, tried).items():
            for question, ranked in zip(asked.values(), measured.ranked, strict=True):
                hits = worded.search(question, words=setting.words)
                assert [name for name, _ in ranked] == [hit.id for hit in hits]
                assert [score for _, score in ranked] == pytest.approx([hit.normalized_score for hit in hits])
        worded.index_words(words_weight=0.3)
        report = evaluate_own(worded, asked, relevant, settings=[PLAIN], baselines=[])
        assert [name for name, _, _ in report.rows] == ["plain", "words=0.3"]
        assert report.present == Setting(words=0.3)
    assert {one.words for one in possible(collection)} == {0.0}


@pytest.mark.parametrize("mean", [0.0, 0.25])
def test_a_setting_with_the_pooled_similarity_ranks_as_such_a_search(collection, questions, mean):
    asked, relevant = read_questions(questions)
    assert {one.pooled for one in possible(collection)} == {0.0, 0.25}
    tried = [Setting(mean, pooled=0.25), Setting(mean, pooled=1.0)]
    found = measure_settings(collection, asked, relevant, tried)
    assert str(tried[0]).endswith("pooled=0.25")
    with Collection(None, encoder(mean_weight=mean)) as made:
        made.add(list(TEXTS.values()), ids=list(TEXTS), show_progress=False)
        for setting, measured in found.items():
            for question, ranked in zip(asked.values(), measured.ranked, strict=True):
                hits = made.search(question, pooled=setting.pooled)
                assert [name for name, _ in ranked] == [hit.id for hit in hits]
                # The rows were rounded to 8 bits before they were mixed.
                assert [score for _, score in ranked] == pytest.approx(
                    [hit.normalized_score for hit in hits], abs=0.01
                )


def test_what_the_rows_do_not_allow_is_left_out(collection, tmp_path):
    assert MIXED in possible(collection)
    with Collection(tmp_path / "mixed", encoder(mean_weight=0.25)) as mixed:
        assert {one.mean_weight for one in possible(mixed)} == {0.25}
        assert not any("idf" in one.query_weights for one in possible(mixed))
    with (
        Collection(None, HashingEncoder()) as other,
        pytest.raises(InvalidInputError, match="HashingEncoder"),
    ):
        possible(other)


def test_the_report_has_all_settings_and_the_baselines(collection, questions):
    asked, relevant = read_questions(questions)
    report = evaluate_own(collection, asked, relevant, settings=[PLAIN, MIXED], tuned=True)
    assert [name for name, _, _ in report.rows] == [
        "plain",
        "mean_weight=0.25, query_weights=['length']",
        "BM25",
        "mean of token vectors",
    ]
    # BM25 finds tea's prices second: Paris "is the", too.
    assert report.rows[2][1] == pytest.approx((1 + 1 / math.log2(3)) / 2)
    text = report.markdown()
    assert "| plain | " in text
    assert "in use" in text
    assert "2 questions. Fewer than 30 tell only large differences." in text
    assert "No other setting is proposed" in text
    with pytest.raises(InvalidInputError, match="belong to another"):
        evaluate_own(collection, asked, {"drinks": {"nowhere": 1}})


def test_the_command_prints_it(collection, questions, capsys):
    assert main(["eval", str(collection.path), str(questions), "--tune", "--no-baselines"]) == 0
    out = capsys.readouterr().out
    assert "| plain | " in out
    assert "score_threshold=" in out
    assert main(["eval", str(collection.path), "--tune"]) != 0


def measured(values, ranked=()):
    return Measured(np.array(values, np.float64), ranked or [[]] * len(values))


def test_a_sure_gain_is_proposed_and_noise_is_not():
    rng = np.random.default_rng(0)
    before = rng.uniform(0, 1, 200)
    qrels = {str(number): {"a": 1} for number in range(200)}
    better = tune({PLAIN: measured(before), MIXED: measured(np.minimum(before + 0.1, 1))}, PLAIN, qrels)
    assert better.setting == better.best == MIXED
    assert better.gain.sure
    assert "Proposed: mean_weight=0.25" in str(better)
    noisy = rng.permutation(before)
    luck = tune({PLAIN: measured(before), MIXED: measured(noisy + 0.002)}, PLAIN, qrels)
    assert luck.setting is None
    assert "within noise" in str(luck)


def test_the_interval_of_a_paired_difference_covers_it():
    rng = np.random.default_rng(1)
    before = rng.uniform(0, 1, 400)
    interval = paired(before, before + rng.normal(0.05, 0.1, 400))
    assert interval.low < 0.05 < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    assert str(paired(np.zeros(3), np.ones(3))) == "+1000 [1000, 1000]"
    assert not paired(before, before).sure


def test_a_threshold_has_its_precision_and_recall():
    ranked = [[("a", 0.9), ("x", 0.5)], [("x", 0.8), ("b", 0.7)], [("y", 0.4)]]
    found = threshold_of(ranked, {"1": {"a": 1}, "2": {"b": 1}, "3": {"c": 1}})
    assert (found.value, found.precision, found.recall) == (0.7, pytest.approx(2 / 3), 1.0)
    assert threshold_of([[("x", 0.9)]], {"1": {"a": 1}}) is None
