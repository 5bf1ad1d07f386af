"""Citations in the shapes that providers of language models have for them, and that the frameworks pass on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from retrievers.citations.checking import Quote
from retrievers.citations.passages import Citation


def search_results(citations: Sequence[Citation]) -> list[dict[str, Any]]:
    """The passages as content blocks of type search_result, which a model that has them cites by itself.

    Anthropic's API and Amazon Bedrock have these blocks; LangChain passes them on in the content of a HumanMessage or
    a ToolMessage. LlamaIndex has a class for them: see retrievers.llama_index.citable_blocks.
    """
    return [
        {
            "type": "search_result",
            "source": one.source,
            "title": one.title,
            "content": [{"type": "text", "text": one.text}],
            "citations": {"enabled": True},
        }
        for one in citations
    ]


def citation_annotations(quotes: Sequence[Quote]) -> list[dict[str, Any]]:
    """The quotes that were found as standard annotations of langchain-core, for the text block of an answer.

    Each is a langchain_core.messages.Citation: `start_index` and `end_index` are those of the quote in the answer,
    `cited_text` are the words as the source has them. `extras` has what a Citation has no room for: the `source`, the
    `number` of the passage, `start` and `end` in the source, and whether the words are `exact`.
    """
    made = []
    for quote in quotes:
        for place in quote.places[:1]:
            cited = place.citation
            one: dict[str, Any] = {
                "type": "citation",
                "title": cited.title,
                "start_index": quote.start,
                "end_index": quote.end,
                "cited_text": place.text,
            }
            if urlsplit(cited.source).scheme in ("http", "https"):
                one["url"] = cited.source
            one["extras"] = {
                "source": cited.source,
                "number": cited.number,
                "start": place.start,
                "end": place.end,
                "exact": place.exact,
            }
            made.append(one)
    return made
