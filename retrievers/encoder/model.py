"""The encoder: text to token matrices, through sentence-transformers' multi-vector models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from retrievers.encoder import loading, windows
from retrievers.encoder.batching import batches, buffered
from retrievers.encoder.precision import choose
from retrievers.encoder.processes import Pool
from retrievers.encoder.tokenizing import Features, Preprocessor, Task
from retrievers.errors import InvalidInputError, InvalidTypeError, ModelNotFoundError
from retrievers.types import Encoder, TokenMatrix

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

# Texts of this many tokens are sorted by length together: more gains nothing, and holds more in memory.
BUFFER_TOKENS = 1 << 16
# Measured: benchmarks/encoding.py. On a processor what a batch computes has to stay in its cache, so the tokens
# are half as many where each takes twice the bytes.
CPU_TOKEN_BUDGET = {"float32": 1 << 10, "bfloat16": 1 << 11, "float16": 1 << 11}
GPU_TOKEN_BUDGET = 1 << 15
# Documents are padded to a multiple of so many tokens: oneDNN keeps a program for each shape that it meets, and
# with lengths as they come its memory grows over tens of thousands of texts. Measured: benchmarks/encoding.py memory.
LENGTH_STEP = 8


class LateInteractionEncoder(Encoder):
    """Any late-interaction checkpoint that sentence-transformers loads: native, PyLate or Stanford ColBERT.

    It adds to sentence-transformers' `MultiVectorEncoder`: batches by tokens in place of a fixed number of
    texts, streaming, windows of long texts, a number format by hardware, weights packed once on a processor (a
    second copy of them), a fingerprint, and safety under threads. Prompts, markers, query expansion and skiplist
    are the checkpoint's own.

    Args:
        model: name on the model hub, a directory, or "offline/minilm", which needs no network.
        document_length: most tokens of a window, markers included; None takes the checkpoint's.
        query_length: tokens that a question is expanded to and cut at; None takes the checkpoint's width for
            expansion, and cuts a question only where a document would be.
        overlap: most tokens that two neighbouring windows share; None shares an eighth.
        device: as torch names it; None takes a GPU if there is one. A list encodes documents in as many
            processes, see retrievers.encoder.processes; questions are encoded by this one.
        precision: number format of the multiplications; None takes bfloat16 where the hardware has it.
        token_budget: most tokens of a batch, padding included; None chooses by device.
        token_pooling: keep about one row in that many of a document, by sentence-transformers' hierarchical
            pooling; None keeps all.
        backend: "torch", "onnx" or "openvino", as sentence-transformers takes it.
        revision: commit, branch or tag on the hub.
        token: authentication on the hub.
        cache_folder: where downloads are kept.
        local_files_only: never ask the hub.
        trust_remote_code: run code that comes with the checkpoint.
        prompts: in place of the checkpoint's: {"query": …, "document": …}.
        model_kwargs: for transformers' model.
        processor_kwargs: for transformers' tokenizer.
        config_kwargs: for transformers' configuration.

    Attributes:
        model: sentence-transformers' model.
        dtype: the number format in use, as torch names it.

    Raises:
        ModelNotFoundError: no such directory, no such model, or no network.
        MissingExtraError: the package of an offline model is not installed.
        InvalidInputError: an option has a value that the model cannot take, or the checkpoint is not one for
            late interaction.
    """

    dim: int
    document_length: int
    fingerprint: Mapping[str, Any]

    def __init__(
        self,
        model: str = "LiquidAI/LFM2-ColBERT-350M",
        *,
        document_length: int | None = None,
        query_length: int | None = None,
        overlap: int | None = None,
        device: str | Sequence[str] | None = None,
        precision: Literal["float32", "bfloat16", "float16"] | None = None,
        token_budget: int | None = None,
        token_pooling: float | None = None,
        backend: Literal["torch", "onnx", "openvino"] = "torch",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_folder: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        prompts: Mapping[str, str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        several = [] if device is None or isinstance(device, str) else list(device)
        checkpoint = loading.load(
            model,
            device="cpu" if several else device,  # type: ignore[arg-type]
            backend=backend,
            revision=revision,
            token=token,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
            prompts=prompts,
            model_kwargs=model_kwargs,
            processor_kwargs=processor_kwargs,
            config_kwargs=config_kwargs,
        )
        self.model: MultiVectorEncoder = checkpoint.model.eval()
        # Packing texts into one sequence is faster with flash attention, but the short convolution of Lfm2
        # reads over their borders: a document's matrix must not depend on its neighbours.
        transformer: Any = self.model[0]
        transformer.unpad_inputs = False
        self._preprocess = Preprocessor(self.model, document_length, query_length)
        self.document_length = self._preprocess.document_length
        self.overlap = self.document_length // 8 if overlap is None else overlap
        if not 0 <= self.overlap < self.document_length // 2:
            raise InvalidInputError(
                f"overlap is {overlap}; it must be at least 0 and less than half of document_length, "
                f"which is {self.document_length}."
            )
        self._pooling = _pooling(token_pooling)
        self._pool = Pool(self.model, several) if several else None
        where = several[0] if several else str(self.model.device)
        if backend == "torch":
            self.model.to(choose(self.model, precision, model_kwargs, where))
        if backend == "torch" and where == "cpu":
            from retrievers.encoder.onednn import pack

            pack(self.model)
        self.dtype = str(self.model.dtype or "float32").removeprefix("torch.")
        self.token_budget = token_budget or (
            CPU_TOKEN_BUDGET.get(self.dtype, 1 << 10) if where == "cpu" else GPU_TOKEN_BUDGET
        )
        if self.token_budget < 1:
            raise InvalidInputError(f"token_budget is {token_budget}; it must be at least 1.")

        # A first pass here says once, unheard, what transformers has to say about missing kernels.
        with loading.quiet():
            first = self._preprocess(["a"], "document")
            self.dim = self._forward(first, "document", len(first[0]["input_ids"]))[0].shape[1]
        self.fingerprint = {
            "model": checkpoint.name,
            "weights": checkpoint.weights,
            "dim": self.dim,
            "document_length": self.document_length,
            "query_length": query_length,
            "query_width": self._preprocess.query_length,
            "prompts": dict(self._preprocess.prompts),
            "token_pooling": token_pooling,
        }

    @classmethod
    def from_fingerprint(cls, fingerprint: Mapping[str, Any]) -> LateInteractionEncoder:
        """The encoder that wrote a collection, loaded by the fingerprint that the collection keeps.

        Raises:
            ModelNotFoundError: the fingerprint is not one of this class.
        """
        options = ("document_length", "query_length", "token_pooling", "prompts")
        if not {"weights", *options} <= fingerprint.keys():
            raise ModelNotFoundError(
                f"this collection was written by an encoder of its user's own, {fingerprint.get('model')!r}: "
                "open it with that, Collection(path, encoder)."
            )
        return cls(str(fingerprint["model"]), **{name: fingerprint[name] for name in options})

    def __reduce__(self) -> tuple[Callable[..., LateInteractionEncoder], tuple[dict[str, Any]]]:
        """A pickle holds what the model is, not its weights: where it is read, the model is loaded again."""
        return type(self).from_fingerprint, (dict(self.fingerprint),)

    def __deepcopy__(self, memo: object) -> LateInteractionEncoder:
        """Itself: nobody writes to an encoder, and one process needs its weights once."""
        return self

    __copy__ = __deepcopy__

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        """Encode questions. A blank one has no rows.

        Warns:
            UserWarning: a question has more tokens than the model reads; the rest is not used.
        """
        if isinstance(texts, str):
            raise InvalidTypeError(
                "encode_queries takes a list of texts; you gave one text. Put it in a list."
            )
        return self._encode(texts, "query")

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        """Encode windows, in the order given. A blank one has no rows.

        Reads ahead some tens of thousands of tokens, sorts them by length, and holds no more than these.

        Raises:
            InvalidInputError: a text has more tokens than document_length; split cuts it into windows.
        """
        if isinstance(texts, str):
            raise InvalidTypeError("encode_documents takes texts; you gave one text. Put it in a list.")
        limit = max(BUFFER_TOKENS, 8 * self.token_budget)
        for buffer in buffered(texts, lambda text: min(len(text), self.document_length), limit):
            yield from self._encode(buffer, "document")

    def split(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the windows of a text, each of at most document_length tokens."""
        return windows.split(
            text,
            tokenize=self._preprocess.spans,
            count=self._preprocess.count,
            length=self.document_length,
            overlap=self.overlap,
        )

    def document_tokens(self, text: str) -> list[tuple[int, int]]:
        """Character span of each row of encode_documents([text]); (0, 0) for a marker of the model.

        Raises:
            NotImplementedError: with token_pooling a row stands for several tokens.
        """
        if self._pooling is not None:
            raise NotImplementedError("With token_pooling a row stands for several tokens of the text.")
        return self._preprocess.document_spans(text) if text.strip() else []

    def query_tokens(self, text: str) -> list[str]:
        """Label of each row of encode_queries([text]): the characters of the token, or its name."""
        return self._preprocess.query_labels(text) if text.strip() else []

    def close(self) -> None:
        """End the processes that a list of devices started; the next encode_documents starts others."""
        if self._pool is not None:
            self._pool.close()

    def _encode(self, texts: Sequence[str], task: Task) -> list[TokenMatrix]:
        matrices = [np.empty((0, self.dim), np.float32) for _ in texts]
        filled = [i for i, text in enumerate(texts) if text.strip()]
        features = self._preprocess([texts[i] for i in filled], task)
        lengths = [len(one["input_ids"]) for one in features]
        if task == "document":
            self._preprocess.check_fit([texts[i] for i in filled], lengths)
        if task == "document" and self._pool is not None:
            pooled = self._pool.encode([texts[i] for i in filled], lengths, self.token_budget, self._pooling)
            for i, matrix in zip(filled, pooled, strict=True):
                matrices[i] = matrix
            return matrices
        if task == "document":
            lengths = [min(-(-n // LENGTH_STEP) * LENGTH_STEP, self.document_length) for n in lengths]
        for batch in batches(lengths, self.token_budget):
            together = self._forward([features[i] for i in batch], task, lengths[batch[0]])
            for i, matrix in zip(batch, together, strict=True):
                matrices[filled[i]] = matrix
        return matrices

    def _forward(self, features: Sequence[Features], task: Task, length: int) -> list[TokenMatrix]:
        """One batch through the model, each text padded to the length."""
        import torch
        from torch.nn.functional import normalize

        batch = self._preprocess.pad(features, length)
        batch = {k: v.to(self.model.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        with torch.inference_mode():
            output = self.model(batch, task=task)
            # (texts, tokens, dim) and (texts, tokens): the mask leaves out padding, skiplist and the like
            vectors, masks = output["token_embeddings"], output["attention_mask"].bool()
            # Normalised again: in bfloat16 a row is of length 1 only to a part in a hundred.
            rows = [
                normalize(vector[mask].float(), dim=-1) for vector, mask in zip(vectors, masks, strict=True)
            ]
            if self._pooling is not None:
                rows = self._pooling.pool(rows, task=task)
            return [row.cpu().numpy() for row in rows]


def _pooling(factor: float | None) -> BaseTokenPooling | None:
    if factor is None:
        return None
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    if factor < 1:
        raise InvalidInputError(
            f"token_pooling is {factor}; it keeps one row in that many, so it is 1 or more."
        )
    return HierarchicalTokenPooling(factor)
