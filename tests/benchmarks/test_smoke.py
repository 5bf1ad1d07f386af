"""The benchmark runs on a handful of passages: what it prints is not looked at, only that it is measured."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bits, gpu, inverted, restricted, words
from benchmarks.search import report, scale
from benchmarks.search.client import Client, WorkerError
from benchmarks.search.contenders import BRUTE, OURS, Contender
from benchmarks.search.data import DIM, Passages, read_beir, recall, sample, true_scores, unit
from benchmarks.search.limit import limits
from benchmarks.search.measure import measure
from retrievers.kernels.rows import dequantize, quantize


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Passages:
    """60 passages of 1 to 9 tokens, and 4 questions that are tokens of passages."""
    target = tmp_path_factory.mktemp("encoded")
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 10, 60)
    tokens = unit(rng.standard_normal((lengths.sum(), DIM))).astype(np.float16)
    np.save(target / "tokens.npy", tokens)
    np.save(target / "offsets.npy", np.append(0, np.cumsum(lengths)).astype(np.int64))
    np.save(target / "kinds.npy", np.arange(len(tokens), dtype=np.uint32))
    np.save(target / "question_tokens.npy", tokens[:20])
    np.save(target / "question_offsets.npy", np.array([0, 3, 8, 12, 20]))
    texts = {
        "passages": [f"passage {n}" for n in range(60)],
        "questions": [f"question {n}" for n in range(4)],
    }
    (target / "texts.json").write_text(json.dumps(texts))
    return Passages(target, "tiny")


def test_engines_are_measured_side_by_side(whole: Passages, tmp_path: Path) -> None:
    passages = sample(whole, 50, spare=5, cache=tmp_path)
    chosen = [OURS[0], BRUTE[0], Contender("peer", "benchmarks.search.peers:FastPlaid", environment="absent")]
    exact, numpy, peer = measure(passages, 50, chosen, tmp_path, rounds=2)
    assert exact.points[0].recall >= 0.9
    assert numpy.points[0].recall == 1.0
    assert peer.failure == "not installed"
    assert len(exact.points[0].times) == len(numpy.points[0].times) == 2
    assert exact.add_seconds > 0
    assert exact.delete_seconds > 0
    assert exact.build["bytes"] > 50 * DIM
    index = tmp_path / "indexes" / passages.directory.name / "ours"
    assert {limit.query_tokens for limit in limits(passages, 50, index)} == {16, 32}
    page = report.speed_table([exact, numpy, peer]) + report.verdict([exact, numpy, peer])
    assert "| exact scan | default |" in page
    assert "| peer | not installed |" in page
    assert "times as fast as the fastest brute force, numpy float32" in page
    report.plot([("tiny", [exact, numpy])], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_a_noisy_copy_is_near_its_original_and_numbered(whole: Passages, tmp_path: Path) -> None:
    passages = sample(whole, 90, cache=tmp_path)
    texts, _ = passages.texts()
    copy = next(n for n, text in enumerate(texts) if text.startswith("(1) "))
    original = texts.index(texts[copy].removeprefix("(1) "))
    [near], [first] = passages.matrices(copy, copy + 1), passages.matrices(original, original + 1)
    assert copy >= 60 > original
    assert 0.7 < (near * first).sum(axis=1).mean() < 0.97


def test_lists_are_measured_beside_the_scan_of_codes(
    whole: Passages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted, "POOL", 1 << 16)
    page = tmp_path / "inverted.md"
    given = ["--encoded", str(whole.directory), "--cache", str(tmp_path), "--output", str(page)]
    inverted.main([*given, "--sizes", "70", "90", "--tokens", "5", "--questions", "3"])
    lines = page.read_text().splitlines()
    assert [line.split(" | ")[2] for line in lines if line.startswith(("| 70 |", "| 90 |"))][:3] == list(
        inverted.WAYS
    )
    assert {line.split(" | ")[5] for line in lines if "exact scan |" in line} == {"1.0000"}


@pytest.mark.parametrize("bits", [8, 4])
def test_a_copy_in_the_stored_form_is_as_near_to_its_original_as_was_asked(
    whole: Passages, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted, "POOL", 1 << 16)
    copies = inverted.Copies(whole, 200, 5, bits, near=0.8)
    assert 40 < copies.copied.sum() < 200
    found: dict[bool, list[float]] = {True: [], False: []}
    for entry, number, copied in zip(copies.entries(0), copies.order, copies.copied, strict=True):
        [original], [matrix] = whole.matrices(number, number + 1), entry.matrices
        rows = dequantize(matrix.rows, matrix.scales, DIM, bits)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-3)
        found[bool(copied)] += (rows * original).sum(axis=1).tolist()
    assert np.mean(found[True]) == pytest.approx(0.8, abs=0.02)
    assert np.mean(found[False]) > 0.98


def test_true_scores_are_maxsim(whole: Passages) -> None:
    scores = true_scores(whole, 60)
    question, passage = whole.questions()[2], list(whole.matrices())[17]
    assert scores.shape == (4, 60)
    assert scores[2, 17] == pytest.approx((question @ passage.T).max(axis=1).sum(), abs=1e-4)


def test_recall_counts_a_tie_with_the_last() -> None:
    scores = np.array([3, 2, 2, 1], np.float32)
    assert recall([0, 2], scores, 2) == 1.0
    assert recall([0, 3], scores, 2) == 0.5


def test_threads_filters_and_opening_are_measured(whole: Passages, tmp_path: Path) -> None:
    [two, many] = scale.crowds(whole, _collection(whole, tmp_path), sizes=(2, 8))[:2]
    assert (two.wrong, many.wrong) == (0, 0)
    wide = sample(whole, 1200, cache=tmp_path)
    found = scale.narrow_filter(wide, 1100, tmp_path)
    assert (found.kept, found.wrong) == (11, 0)
    optimised = scale.optimise(wide, tmp_path)
    assert optimised.tokens == wide.offsets[-1]
    opened = scale.open_many(300, tmp_path)
    assert 0 < opened.opened < opened.answered


def test_a_broken_engine_says_why(whole: Passages, tmp_path: Path) -> None:
    client = Client(Path("python3"), "benchmarks.search.brute:Absent", whole, 60, tmp_path)
    with pytest.raises(WorkerError, match="Absent"):
        client("open", 60)
    client.close()


def test_beir_texts_have_their_titles_in_front(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "1", "title": "Paris", "text": "A city."}\n')
    assert read_beir(tmp_path, "corpus") == ["Paris A city."]
    with pytest.raises(FileNotFoundError, match="BEIR form"):
        read_beir(tmp_path, "queries")


def _collection(passages: Passages, tmp_path: Path) -> Path:
    from benchmarks.search.ours import Exact

    Exact().build(passages, len(passages), tmp_path / "all")
    return tmp_path / "all"


def test_words_and_weights_are_measured_beside_plain_search(tmp_path: Path) -> None:
    times = words.measure(str(tmp_path), windows=30, rounds=2)
    assert {kind: len(each) for kind, each in times.items()} == dict.fromkeys(words.KINDS, 2)


def test_restricted_questions_are_measured_in_turns(tmp_path: Path) -> None:
    times = restricted.measure(str(tmp_path), nodes=20, chosen=2, rounds=3)
    assert {kind: len(each) for kind, each in times.items()} == {"unrestricted": 3, "node_ids of 2": 3}


def test_rows_of_4_bits_are_measured_beside_rows_of_8(whole: Passages) -> None:
    offsets = np.asarray(whole.offsets)
    matrices = bits.Matrices(
        unit(whole.array("tokens")),
        offsets[:-1],
        offsets[1:],
        np.arange(0, 60, 2),  # documents of two windows
        [str(n) for n in range(30)],
        whole.questions(),
        [str(n) for n in range(4)],
    )
    truth = bits.true_scores(matrices)
    assert np.allclose(truth, np.maximum.reduceat(true_scores(whole, 60), matrices.firsts, axis=1), atol=1e-4)
    forms = {f"{one} bits": (*quantize(matrices.tokens, one), one) for one in (8, 4)}
    for stored in forms.values():
        assert np.abs(bits.scores(matrices, stored) - truth).max() < 0.5
    times = bits.timed(matrices, forms, rounds=2)
    assert {key: len(each) for key, each in times.items()} == {
        (label, count): 2 for label in forms for count in bits.AT_ONCE
    }


def test_a_device_is_measured_beside_the_processor(whole: Passages) -> None:
    options = Namespace(device="cpu", rounds=1)
    page = "\n".join([*gpu.heading(options, whole), *gpu.table(options, whole)])
    recalls = [
        line.split("|")[2] for line in page.splitlines() if line.startswith(("| GPU, rows", "| processor"))
    ]
    assert len(recalls) == 3
    assert len(set(recalls)) == 1
    assert np.allclose(gpu.true_scores(whole, whole.questions(), "cpu"), true_scores(whole, 60), atol=1e-4)
