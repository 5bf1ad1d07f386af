"""Query and chat engines over an index: each keyword goes to who takes it, and one that nobody takes is an error.

LlamaIndex hands every keyword of as_query_engine and as_chat_engine to everybody, each of whom passes over what is
not for him, so that a misspelt filter would be a filter that is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import BaseChatEngine, ChatMode
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.utils import LLMType, resolve_llm
from llama_index.core.query_engine.retriever_query_engine import RetrieverQueryEngine
from llama_index.core.settings import Settings

from retrievers.collection.arguments import refuse
from retrievers.errors import InvalidInputError
from retrievers.llama_index.retriever import ADVICE, RETRIEVER_OPTIONS

GIVEN = frozenset({"retriever", "query_engine", "llm"})
"""What an engine is made of here, and nobody's keyword."""


def resolved(llm: LLMType | None, callback_manager: CallbackManager) -> LLM:
    """The language model that is meant, as LlamaIndex's own indices find it."""
    return resolve_llm(llm, callback_manager=callback_manager) if llm else Settings.llm


def query_engine(
    as_retriever: Callable[..., BaseRetriever],
    llm: LLM,
    options: Mapping[str, Any],
    where: str = "as_query_engine",
) -> BaseQueryEngine:
    """A RetrieverQueryEngine; the options are the retriever's and RetrieverQueryEngine.from_args'.

    Raises:
        UnknownOptionError: an option that neither has.
    """
    own = _named(RetrieverQueryEngine.from_args)
    refuse(options, {*RETRIEVER_OPTIONS, *own}, where, ADVICE)
    retriever = as_retriever(**_of(options, RETRIEVER_OPTIONS))
    return RetrieverQueryEngine.from_args(retriever, llm=llm, **_of(options, own))


def chat_engine(
    as_retriever: Callable[..., BaseRetriever],
    chat_mode: ChatMode | str,
    llm: LLM,
    options: Mapping[str, Any],
) -> BaseChatEngine:
    """The chat engine of a mode; the options are the retriever's and the engine's, and those of a query engine in it.

    Raises:
        InvalidInputError: an agent's mode, which LlamaIndex has no more, or an unknown one.
        UnknownOptionError: an option that nobody has.
    """
    mode = _mode(chat_mode)
    engine = _ENGINES[mode]
    own, search = _named(engine.from_defaults), RETRIEVER_OPTIONS
    where = f"as_chat_engine(chat_mode={mode.value!r})"
    if mode is ChatMode.SIMPLE:  # it talks without looking anything up, and a filter would be no filter
        refuse(options, own, where)
        return SimpleChatEngine.from_defaults(llm=llm, **options)
    if mode is ChatMode.CONDENSE_QUESTION:
        inner = {*search, *_named(RetrieverQueryEngine.from_args)}
        refuse(options, {*inner, *own}, where, ADVICE)
        found = query_engine(as_retriever, llm, _of(options, inner), where)
        return CondenseQuestionChatEngine.from_defaults(query_engine=found, llm=llm, **_of(options, own))
    refuse(options, {*search, *own}, where, ADVICE)
    retriever = as_retriever(**_of(options, search))
    made: BaseChatEngine = engine.from_defaults(retriever=retriever, llm=llm, **_of(options, own))
    return made


_ENGINES: Mapping[ChatMode, Any] = {
    ChatMode.BEST: CondensePlusContextChatEngine,
    ChatMode.CONDENSE_PLUS_CONTEXT: CondensePlusContextChatEngine,
    ChatMode.CONTEXT: ContextChatEngine,
    ChatMode.CONDENSE_QUESTION: CondenseQuestionChatEngine,
    ChatMode.SIMPLE: SimpleChatEngine,
}


def _mode(chat_mode: ChatMode | str) -> ChatMode:
    for mode in _ENGINES:
        if chat_mode == mode:
            return mode
    names = ", ".join(repr(mode.value) for mode in _ENGINES)
    raise InvalidInputError(
        f"chat_mode is {chat_mode!r}: give one of {names}. Agents are ReActAgent and FunctionAgent of "
        "llama_index.core.agent.workflow, with a query engine as their tool."
    )


def _named(function: Callable[..., Any]) -> set[str]:
    """The keywords that a function names, without what is made here."""
    named = signature(function).parameters.values()
    return {one.name for one in named if one.kind is not Parameter.VAR_KEYWORD} - GIVEN


def _of(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the options that somebody takes."""
    return {name: options[name] for name in names if name in options}
