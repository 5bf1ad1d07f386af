"""Write tiny random checkpoints in every save format, and what two other implementations make of them.

Run again only to add a checkpoint or to follow a new version; the results are committed. Each step runs in an
environment of its own, because PyLate asks for another sentence-transformers than this library:

    python -m venv pylate && pylate/bin/pip install torch==2.13.0 "transformers<=5.3.0" \
        sentence-transformers==5.3.0 datasets accelerate pandas ujson
    pylate/bin/pip install --no-deps pylate==1.6.0 fastkmeans==0.5.0 fast-plaid==1.4.6.2110
    python -m venv st && st/bin/pip install torch==2.13.0 sentence-transformers==6.0.1

    pylate/bin/python tests/golden/make.py checkpoints tests/golden
    st/bin/python tests/golden/make.py native tests/golden
    pylate/bin/python tests/golden/make.py pylate tests/golden
    st/bin/python tests/golden/make.py sentence-transformers tests/golden

(fast-plaid pins a torch of its own, hence --no-deps; nothing here calls it.)

The published models of the Lfm2 family were trained on transformers 4.5x, whose short convolutions read query expansion
(see retrievers/encoder/convolutions.py). Their references are made there, the files that are named at the end:

    python -m venv lfm2 && lfm2/bin/pip install torch==2.13.0 transformers==4.57.3 sentence-transformers==5.1.1 \
        datasets accelerate pandas ujson
    lfm2/bin/pip install --no-deps pylate==1.3.4 fastkmeans==0.5.0
    lfm2/bin/pip install --no-deps --target newer sentence-transformers==6.0.1

    lfm2/bin/python tests/golden/make.py pylate tests/golden pylate-lfm2
    PYTHONPATH=newer lfm2/bin/python tests/golden/make.py sentence-transformers tests/golden pylate-lfm2 native-lfm2

Layouts that published families have, each in a checkpoint of its own, saved by the libraries that those were saved by:

    lfm2/bin/python tests/golden/make.py layouts tests/golden
    PYTHONPATH=newer lfm2/bin/python tests/golden/make.py native-layouts tests/golden
    lfm2/bin/python tests/golden/make.py pylate tests/golden layout-dense-stack layout-8k layout-bfloat16
    PYTHONPATH=newer lfm2/bin/python tests/golden/make.py sentence-transformers tests/golden layout-text-prefix

Each question is encoded in a batch and alone; the two must agree, or the reference is none.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

QUERIES = [
    "Who wrote the first program?",
    "café prices, in euros!",
    "巴黎是哪个国家的首都？",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
]
DOCUMENTS = [
    "Paris is the capital of France.",
    "Ada Lovelace wrote the first program -- for a machine that was never built (1843).",
    "Coffee: 3.50 euros; tea: 2.80 euros!",
    "巴黎是法国的首都。柏林是德国的首都。",
    "Le café était déjà fermé; où aller, alors ?",
    "x",
]
QUERY_LENGTH, DOCUMENT_LENGTH, WIDTH, DIM = 16, 64, 32, 8
PYLATE = ["pylate-lfm2", "pylate-bert", "pylate-modernbert", "pylate-xlm-roberta", "stanford-bert"]
NATIVE = ["native-modernbert", "native-lfm2"]
LAYOUTS = ["layout-dense-stack", "layout-8k", "layout-bfloat16", "layout-text-prefix"]


def main(step: str, directory: Path, names: Sequence[str] = ()) -> None:
    torch.manual_seed(20)
    if step == "checkpoints":
        for name in PYLATE[:4]:
            write_pylate(directory / name, name.removeprefix("pylate-"))
        write_stanford(directory / "stanford-bert")
    elif step == "native":
        write_native(directory / "native-modernbert", directory / "pylate-modernbert", attend=True)
        write_native(directory / "native-lfm2", directory / "pylate-lfm2", attend=False)
    elif step == "layouts":
        write_dense_stack(directory / "layout-dense-stack")
        write_pylate(directory / "layout-8k", "modernbert", layers=2, readable=8192, query=32, document=8192)
        write_bfloat16(directory / "layout-bfloat16")
    elif step == "native-layouts":
        write_text_prefix(directory / "layout-text-prefix")
    elif step == "pylate":
        for name in names or PYLATE:
            with readable(directory / name) as checkpoint:
                save(directory / f"{name}.pylate.npz", run_pylate(checkpoint))
    elif step == "sentence-transformers":
        for name in names or PYLATE + NATIVE:
            with readable(directory / name) as checkpoint:
                save(directory / f"{name}.sentence-transformers.npz", run_library(checkpoint))
    else:
        raise SystemExit(__doc__)


def tokenizer(kind: str):
    """A vocabulary of some 400 pieces, trained on the texts above, in the manner of each family."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    names = {
        "bert": {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"},
        "modernbert": {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"},
        "xlm-roberta": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
        "lfm2": {"pad": "<|pad|>", "bos": "<|startoftext|>", "eos": "<|im_end|>"},
    }[kind]
    special = list(names.values())
    if kind == "bert":
        special = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    elif kind == "xlm-roberta":
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    made.train_from_iterator((QUERIES + DOCUMENTS) * 3, trainer)
    ids = {token: made.token_to_id(token) for token in special}
    if kind == "lfm2":
        made.post_processor = processors.TemplateProcessing(
            single="<|startoftext|> $A",
            pair="<|startoftext|> $A $B",
            special_tokens=[("<|startoftext|>", ids["<|startoftext|>"])],
        )
    else:
        first, last = names["cls"], names["sep"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}",
            pair=f"{first} $A {last} $B {last}",
            special_tokens=[(first, ids[first]), (last, ids[last])],
        )
    tokens = {f"{role}_token": token for role, token in names.items()}
    if kind == "modernbert":
        # transformers 4 would give the model token types, which it does not take.
        tokens["model_input_names"] = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=128, padding_side="right", **tokens
    )


def backbone(kind: str, vocabulary: int, pad: int, *, layers: int = 3, readable: int = 128):
    from transformers import (
        BertConfig,
        BertModel,
        Lfm2Config,
        Lfm2Model,
        ModernBertConfig,
        ModernBertModel,
        XLMRobertaConfig,
        XLMRobertaModel,
    )

    common = {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_attention_heads": 4,
        "pad_token_id": pad,
        # Larger than the default: of random weights near 0 every row would be the same.
        "initializer_range": 0.2,
    }
    if kind == "bert":
        config = BertConfig(**common, num_hidden_layers=2, intermediate_size=48, max_position_embeddings=128)
        return BertModel(config, add_pooling_layer=False)
    if kind == "modernbert":
        config = ModernBertConfig(
            **common,
            num_hidden_layers=layers,
            intermediate_size=48,
            max_position_embeddings=readable,
            global_attn_every_n_layers=3,
            local_attention=16,
            cls_token_id=1,
            sep_token_id=2,
            bos_token_id=1,
            eos_token_id=2,
        )
        return ModernBertModel(config)
    if kind == "xlm-roberta":
        config = XLMRobertaConfig(
            **common,
            num_hidden_layers=2,
            intermediate_size=48,
            max_position_embeddings=130,
            type_vocab_size=1,
        )
        return XLMRobertaModel(config, add_pooling_layer=False)
    config = Lfm2Config(
        **common,
        num_hidden_layers=4,
        intermediate_size=48,
        block_auto_adjust_ff_dim=False,
        num_key_value_heads=2,
        layer_types=["conv", "conv", "full_attention", "conv"],
        max_position_embeddings=1024,
    )
    return Lfm2Model(config)


def write_pylate(
    directory: Path,
    kind: str,
    *,
    layers: int = 3,
    readable: int = 128,
    query: int = QUERY_LENGTH,
    document: int = DOCUMENT_LENGTH,
) -> None:
    model = pylate(directory, kind, layers=layers, readable=readable, query=query, document=document)
    model.save(str(directory), create_model_card=False)


def pylate(directory: Path, kind: str, *, layers: int, readable: int, query: int, document: int):
    """PyLate's model, which is not saved yet; the directory is emptied."""
    from pylate import models

    fresh(directory)
    words = tokenizer(kind)
    words.model_max_length = readable
    with tempfile.TemporaryDirectory() as plain:
        made = backbone(kind, len(words), words.pad_token_id, layers=layers, readable=readable)
        made.save_pretrained(plain)
        words.save_pretrained(plain)
        model = models.ColBERT(
            str(plain),
            embedding_size=DIM,
            query_length=query,
            document_length=document,
            attend_to_expansion_tokens=kind == "modernbert",
            device="cpu",
        )
    # The two marker rows were drawn from the mean of all others.
    torch.nn.init.normal_(model[0].auto_model.get_input_embeddings().weight[-2:].data, std=0.2)
    return model


def write_dense_stack(directory: Path) -> None:
    """Questions of 48 tokens, and two dense layers, the first with a residual, as small PyLate models have them."""
    from pylate import models

    made = pylate(directory, "modernbert", layers=2, readable=1024, query=48, document=512)
    made[1] = models.Dense(WIDTH, 2 * WIDTH, bias=False, use_residual=True)
    made.append(models.Dense(2 * WIDTH, DIM, bias=False))
    made.save(str(directory), create_model_card=False)


def write_bfloat16(directory: Path) -> None:
    """Weights in files of bfloat16, questions of 32 tokens: Lfm2, whose markers are tokens of their own."""
    made = pylate(directory, "lfm2", layers=4, readable=1024, query=32, document=512)
    made.to(torch.bfloat16).save(str(directory), create_model_card=False)


def write_text_prefix(directory: Path) -> None:
    """Prefixes as plain text, questions of 256 tokens without expansion, and no skiplist."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    fresh(directory)
    words = tokenizer("modernbert")
    words.model_max_length = 512
    with tempfile.TemporaryDirectory() as plain:
        backbone("modernbert", len(words), words.pad_token_id, layers=2, readable=512).save_pretrained(plain)
        words.save_pretrained(plain)
        transformer = Transformer(plain)
    transformer.query_length, transformer.document_length = 256, 512
    dense = Dense(WIDTH, DIM, bias=False, activation_function=None, module_input_name="token_embeddings")
    normalize = Normalize("token_embeddings")
    model = MultiVectorEncoder(modules=[transformer, dense, MultiVectorMask([]), normalize], device="cpu")
    model.prompts = {"query": "query: ", "document": "passage: "}
    model.save_pretrained(str(directory), create_model_card=False)


def write_stanford(directory: Path) -> None:
    from safetensors.torch import save_file

    fresh(directory)
    words = tokenizer("bert")
    words.save_pretrained(directory)
    model = backbone("bert", len(words), words.pad_token_id)
    config = model.config
    config.architectures = ["HF_ColBERT"]
    config.save_pretrained(directory)
    weights = {f"bert.{name}": value.contiguous() for name, value in model.state_dict().items()}
    weights["linear.weight"] = torch.randn(DIM, WIDTH) / WIDTH**0.5
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    metadata = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_maxlen": QUERY_LENGTH,
        "doc_maxlen": DOCUMENT_LENGTH,
        "attend_to_mask_tokens": False,
        "mask_punctuation": True,
        "dim": DIM,
    }
    (directory / "artifact.metadata").write_text(json.dumps(metadata), "utf-8")


def write_native(directory: Path, source: Path, *, attend: bool) -> None:
    """What sentence-transformers itself saves: other prompts, no skiplist or another, a wider expansion."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    fresh(directory)
    model = MultiVectorEncoder(str(source), device="cpu")
    model.prompts = {"query": "search_query: ", "document": "search_document: "}
    model[0].query_expansion = {"strategy": "fixed", "attend": attend, "length": 24}
    for position, module in enumerate(model):
        if isinstance(module, MultiVectorMask):
            model[position] = MultiVectorMask(["!", "."], skiplist_tasks=["query", "document"])
    model.save_pretrained(str(directory), create_model_card=False)


def run_pylate(directory: Path) -> dict[str, np.ndarray]:
    from pylate import models
    from pylate.scores import colbert_scores

    model = models.ColBERT(str(directory), device="cpu")
    queries = model.tokenize(QUERIES, is_query=True)
    documents = model.tokenize(DOCUMENTS, is_query=False)
    rows = {
        "query": model.encode(QUERIES, is_query=True, show_progress_bar=False),
        "document": model.encode(DOCUMENTS, is_query=False, show_progress_bar=False),
    }
    check_alone(
        rows["query"], [model.encode([text], is_query=True, show_progress_bar=False)[0] for text in QUERIES]
    )
    scores = np.concatenate(
        [
            colbert_scores(
                torch.from_numpy(np.stack(rows["query"])), torch.from_numpy(document)[None]
            ).numpy()
            for document in rows["document"]
        ],
        axis=1,
    )
    return {
        **ragged("query_ids", list(queries["input_ids"].numpy())),
        **ragged("document_ids", [i[m.bool()].numpy() for i, m in pairs(documents)]),
        **ragged("query_rows", rows["query"]),
        **ragged("document_rows", rows["document"]),
        "scores": scores,
        "versions": versions("pylate", "sentence-transformers", "transformers", "tokenizers", "torch"),
    }


def run_library(directory: Path) -> dict[str, np.ndarray]:
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(directory), device="cpu")
    queries = model.preprocess(QUERIES, prompt=model.prompts["query"], task="query")
    documents = model.preprocess(DOCUMENTS, prompt=model.prompts["document"], task="document")
    used = queries["attention_mask"].bool()
    if "query_expansion_positions" in queries:
        used |= queries["query_expansion_positions"].bool()
    query_rows = model.encode_query(QUERIES)
    document_rows = model.encode_document(DOCUMENTS)
    check_alone(query_rows, [model.encode_query([text])[0] for text in QUERIES])
    return {
        **ragged("query_ids", [i[m.bool()].numpy() for i, m in zip(queries["input_ids"], used, strict=True)]),
        **ragged("document_ids", [i[m.bool()].numpy() for i, m in pairs(documents)]),
        **ragged("query_rows", [row.numpy() for row in query_rows]),
        **ragged("document_rows", [row.numpy() for row in document_rows]),
        "scores": model.similarity(query_rows, document_rows).numpy(),
        "versions": versions("sentence-transformers", "transformers", "tokenizers", "torch"),
    }


def check_alone(together: Sequence, alone: Sequence) -> None:
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=0, atol=1e-5)


@contextmanager
def readable(directory: Path) -> Iterator[Path]:
    """The checkpoint, or a copy for transformers 4, which knows the class of its tokenizer by another name."""
    if not version("transformers").startswith("4."):
        yield directory
        return
    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(directory, Path(place) / directory.name))
        config = copy / "tokenizer_config.json"
        settings = {**json.loads(config.read_text("utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
        config.write_text(json.dumps(settings), "utf-8")
        yield copy


def pairs(features: dict) -> zip:
    return zip(features["input_ids"], features["attention_mask"], strict=True)


def ragged(name: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of unlike length as one, with their lengths."""
    return {name: np.concatenate(arrays), f"{name}_lengths": np.array([len(array) for array in arrays])}


def versions(*packages: str) -> np.ndarray:
    return np.array([f"{package} {version(package)}" for package in packages])


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, **arrays)
    print(path.name, {name: array.shape for name, array in arrays.items()}, list(arrays["versions"]))


def fresh(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
