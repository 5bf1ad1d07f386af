"""The encoder: text to token matrices, through sentence-transformers' multi-vector models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from retrievers import arguments
from retrievers.encoder import loading, passes, together, weighing, windows
from retrievers.encoder.batching import LENGTH_STEP, budget_of, buffered, looked_at
from retrievers.encoder.convolutions import unmask_convolutions
from retrievers.encoder.fingerprints import fingerprint, moved_on, reopening
from retrievers.encoder.identity import is_first
from retrievers.encoder.mixing import mix
from retrievers.encoder.network import library_of
from retrievers.encoder.pooling import pooling
from retrievers.encoder.precision import choose
from retrievers.encoder.processes import Pool
from retrievers.encoder.source import Runtime, Source
from retrievers.encoder.tokenizing import Features, Preprocessor, Task
from retrievers.errors import DamagedModelError, ModelNotFoundError
from retrievers.types import Encoder, TokenKind, TokenMatrix

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from retrievers.encoder.network import Network

BUFFER_TOKENS = 1 << 16  # tokens of the texts that are sorted by length together: more gains nothing


class LateInteractionEncoder(Encoder):
    """Any late-interaction checkpoint that sentence-transformers loads: native, PyLate or Stanford ColBERT.

    It adds to sentence-transformers' `MultiVectorEncoder`: batches by tokens in place of a fixed number of
    texts, streaming, windows of long texts, a number format by hardware, weights packed once on a processor (a
    second copy of them), an identity that is stored with a collection, and safety under threads. Prompts, markers,
    query expansion and skiplist are the checkpoint's own. White space around a text is not encoded.

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
        mean_weight: λ of t' = normalise(t + λ · m): each row t gets a share of m, the normalised mean of its
            window's or question's rows. None takes the model's own for both, 0 and [] for trained checkpoints.
        query_weights: what weighs a question's rows, "length" of the hidden state and "idf" of the token, or [].
        pack_weights: on a processor, keep a second copy of the weights in the order in which oneDNN reads them.
        model_kwargs: for transformers' model.
        processor_kwargs: for transformers' tokenizer.
        config_kwargs: for transformers' configuration.

    Attributes:
        dtype: the number format in use, as torch names it.
        query_weights: names of what weighs a question's rows.

    Raises:
        ModelNotFoundError: no such directory, no such model, no access to it, or no network.
        DamagedModelError: the model's files are incomplete or damaged.
        MissingExtraError: a package that the model needs is not installed.
        InvalidInputError: an option has a value that the model cannot take, the checkpoint is not one for late
            interaction of texts, or it needs code of its own that is not trusted.
        DeviceMemoryError: the device has no room for the model.
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
        mean_weight: float | None = None,
        query_weights: Sequence[str] | None = None,
        pack_weights: bool = True,
        model_kwargs: Mapping[str, Any] | None = None,
        processor_kwargs: Mapping[str, Any] | None = None,
        config_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        several = [] if device is None or isinstance(device, str) else list(device)
        source = Source(model, revision, token, cache_folder, local_files_only, trust_remote_code)
        runtime = Runtime(
            device="cpu" if several else device,  # type: ignore[arg-type]
            backend=backend,
            prompts=prompts,
            model_kwargs=model_kwargs,
            processor_kwargs=processor_kwargs,
            config_kwargs=config_kwargs,
        )
        checkpoint = loading.load(source, runtime)
        self._network: Network = checkpoint.model.eval()
        # Packing texts into one sequence is faster with flash attention, but the short convolution of Lfm2
        # reads over their borders: a document's matrix must not depend on its neighbours.
        transformer: Any = self._network[0]
        transformer.unpad_inputs = False
        unmasked = unmask_convolutions(self._network)
        mean_weight = mix(self._network, mean_weight, checkpoint.mean_weight)
        self.query_weights = weighing.weigh(self._network, query_weights, checkpoint.query_weights)
        self._preprocess = Preprocessor(self._network, document_length, query_length)
        self.document_length = self._preprocess.document_length
        self.overlap = windows.overlap_of(overlap, self.document_length)
        self._pooling = pooling(token_pooling)
        self._pool = Pool(self.model, several) if several else None
        where = several[0] if several else str(self._network.device)
        if backend == "torch":
            self._network.to(choose(self._network, precision, model_kwargs, where))
        if backend == "torch" and where == "cpu" and pack_weights:
            from retrievers.encoder.onednn import pack

            pack(self._network)
        self.dtype = str(self._network.dtype or "float32").removeprefix("torch.")
        self.token_budget = budget_of(token_budget, self.dtype, where)
        self._work = passes.multiplications(self._network) if backend == "torch" else float("inf")
        with loading.quiet():  # said once and unheard: what transformers has to say of missing kernels
            probe = self._preprocess([passes.PROBE], "document")
            self.dim, self._pads = passes.probed(partial(self._forward, probe, "document"), probe, self.dtype)
        options = {
            "document_length": document_length,
            "query_length": query_length,
            "overlap": overlap,
            "precision": precision,
            "token_pooling": token_pooling,
            "prompts": None if prompts is None else dict(prompts),
            "mean_weight": mean_weight,
            "query_weights": list(self.query_weights),
        }
        self.fingerprint = fingerprint(
            checkpoint, source, runtime, self._preprocess, dim=self.dim, unmasked=unmasked, options=options
        )

    @property
    def model(self) -> MultiVectorEncoder:
        """sentence-transformers' model. An offline one, which runs without that library, becomes its model here."""
        return library_of(self._network)

    @classmethod
    def from_fingerprint(
        cls, fingerprint: Mapping[str, Any], *, owned: bool = False, options: Mapping[str, Any] | None = None
    ) -> LateInteractionEncoder:
        """The encoder that wrote a collection, loaded by the fingerprint that the collection keeps.

        Args:
            fingerprint: of a LateInteractionEncoder, of this version or an earlier one.
            owned: whether the user wrote the collection. Of a stranger's collection no directory is loaded or read.
            options: keywords of the constructor in place of the stored ones, such as token and device.
        Raises:
            ModelNotFoundError: the fingerprint is not one of this class; the model cannot be had at its commit; or
                it is a directory that only the user may name.
            InvalidInputError: the model needs code of its own, which only the user may trust.
        """
        options = {**reopening(fingerprint, owned=owned), **(options or {})}
        try:
            encoder = cls(**options)
        except DamagedModelError:
            raise
        except ModelNotFoundError as error:
            raise moved_on(fingerprint, options, error) from error
        return encoder.as_written(fingerprint)

    def as_written(self, fingerprint: Mapping[str, Any]) -> LateInteractionEncoder:
        """This encoder as it encoded when the collection of a fingerprint was made.

        Collections that were made before white space was stripped go on with it. The model itself is shared.
        """
        if not is_first(fingerprint) or not self._preprocess.strips:
            return self
        preprocess = copy.copy(self._preprocess)
        preprocess.strips = False
        return self._twin(_preprocess=preprocess)

    def __reduce__(self) -> tuple[Callable[..., LateInteractionEncoder], tuple[dict[str, Any]]]:
        """A pickle holds what the model is, not its weights: where it is read, the model is loaded again."""
        return partial(type(self).from_fingerprint, owned=True), (dict(self.fingerprint),)

    def __deepcopy__(self, memo: object = None) -> LateInteractionEncoder:
        """Itself: nobody writes to an encoder, and one process needs its weights once."""
        return self

    __copy__ = __deepcopy__

    def _twin(self, **others: Any) -> LateInteractionEncoder:
        """Another encoder with the same parts, but for some."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), **others)
        return other

    def encode_queries(self, texts: Sequence[str]) -> list[TokenMatrix]:
        """Encode questions. A blank one has no rows.

        Warns:
            UserWarning: a question has more tokens than the model reads; the rest is not used.
        Raises:
            InvalidTypeError: it is no sequence, or one of it is no str.
        """
        return self._encode(list(looked_at(texts)), "query")

    def encode_documents(self, texts: Iterable[str]) -> Iterator[TokenMatrix]:
        """Encode windows, in the order given. A blank one has no rows.

        Reads ahead some tens of thousands of tokens, sorts them by length, and holds no more than these.

        Raises:
            InvalidTypeError: it is no sequence, or one of it is no str.
            InvalidInputError: a text has more tokens than document_length; split cuts it into windows.
        """
        limit = max(BUFFER_TOKENS, 8 * self.token_budget)
        for buffer in buffered(looked_at(texts), lambda text: min(len(text), self.document_length), limit):
            yield from self._encode(buffer, "document")

    def split(self, text: str) -> list[tuple[int, int]]:
        """Character spans of the windows of a text, each of at most document_length tokens."""
        return windows.split(
            arguments.text(text, "the text"),
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
        return [label for label, _ in self.query_rows(text)]

    def query_rows(self, text: str) -> list[tuple[str, TokenKind]]:
        """Label of each row of encode_queries([text]), and whether it is part of the question."""
        return self._preprocess.query_rows(text) if text.strip() else []

    def query_ids(self, text: str) -> list[int]:
        """Number of the token of each row of encode_queries([text])."""
        return self._preprocess.ids([text], "query")[0] if text.strip() else []

    def document_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the tokens of each text that have rows."""
        filled = iter(self._preprocess.ids([text for text in texts if text.strip()], "document"))
        return [next(filled) if text.strip() else [] for text in texts]

    def weighing(self, query_weights: Sequence[str]) -> LateInteractionEncoder:
        """This encoder with other query_weights; the model itself is shared."""
        return self._twin(query_weights=weighing.checked(query_weights))

    def without_pooling(self) -> LateInteractionEncoder:
        """This encoder with a row a token, for evidence alone: its fingerprint stays what it was."""
        return self._twin(_pooling=None)

    def close(self) -> None:
        """End the processes that a list of devices started; the next encode_documents starts others."""
        if self._pool is not None:
            self._pool.close()

    def _encode(self, texts: Sequence[str], task: Task) -> list[TokenMatrix]:
        filled = [text for text in texts if text.strip()]
        features = self._preprocess(filled, task)
        lengths = [len(one["input_ids"]) for one in features]
        if task == "document":
            self._preprocess.check_fit(filled, lengths)
        if task == "query":
            rows = iter(together.encode(self, partial(self._batched, "query"), features, self._work))
        elif self._pool is None:
            rows = iter(self._batched(task, features))
        else:
            seen, budget = [self._preprocess.seen(text) for text in filled], self.token_budget
            rows = iter(self._pool.encode(seen, lengths, budget if self._pads else 1, self._pooling))
        return [next(rows) if text.strip() else np.empty((0, self.dim), np.float32) for text in texts]

    def _batched(self, task: Task, features: Sequence[Features]) -> list[TokenMatrix]:
        lengths = [len(one["input_ids"]) for one in features]
        if task == "document" and self._pads:
            lengths = [min(-(-n // LENGTH_STEP) * LENGTH_STEP, self.document_length) for n in lengths]

        def run(batch: list[int], length: int) -> list[TokenMatrix]:
            return self._forward([features[i] for i in batch], task, length)

        return passes.batched(lengths, self.token_budget, self._pads, run)

    def _forward(self, features: Sequence[Features], task: Task, length: int) -> list[TokenMatrix]:
        batch, weighted = self._preprocess.pad(features, length), "length" in self.query_weights
        return passes.forward(self._network, batch, task, self._pooling, weighted and task == "query")
