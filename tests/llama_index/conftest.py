"""A small library of documents, and language models that need no network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.schema import Document

pytest.register_assert_rewrite("retrievers.testing.llama_index")

TEXTS = {
    "sea": "The whale is the largest animal of the sea. Whales sing long songs. A whale feeds its calf with milk.",
    "sky": "The swift sleeps in the sky. A swift can fly for ten months without landing.",
    "soil": "The mole digs tunnels in the soil. A mole eats its own weight in worms each day.",
}


@pytest.fixture
def documents() -> list[Document]:
    return [Document(id_=key, text=text, metadata={"place": key}) for key, text in TEXTS.items()]


class ScriptedLLM(CustomLLM):
    """Answers with a function of the prompt, and keeps the prompts."""

    answer: Callable[[str], str]
    prompts: list[str] = Field(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.prompts.append(prompt)
        return CompletionResponse(text=self.answer(prompt))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        self.prompts.append(prompt)
        text = self.answer(prompt)
        yield CompletionResponse(text=text, delta=text)


@pytest.fixture
def scripted() -> type[ScriptedLLM]:
    return ScriptedLLM
