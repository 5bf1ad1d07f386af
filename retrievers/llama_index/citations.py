"""Citations as the blocks that LlamaIndex has for them."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import CitableBlock, CitationBlock, TextBlock

from retrievers.citations import Citation, Quote


def citable_blocks(citations: Sequence[Citation]) -> list[CitableBlock]:
    """The passages as blocks of a ChatMessage, which a model with citations of its own cites by itself."""
    return [
        CitableBlock(title=one.title, source=one.source, content=[TextBlock(text=one.text)])
        for one in citations
    ]


def citation_blocks(quotes: Sequence[Quote]) -> list[CitationBlock]:
    """The quotes that were found as blocks to stand beside an answer's text.

    `additional_location_info` has the place of the words in the source, `start_char_index` and `end_char_index`, and
    that of the passage among those of the prompt, `search_result_index`, from 0.
    """
    return [
        CitationBlock(
            cited_content=TextBlock(text=place.text),
            source=place.citation.source,
            title=place.citation.title,
            additional_location_info={
                "search_result_index": place.citation.number - 1,
                "start_char_index": place.start,
                "end_char_index": place.end,
            },
        )
        for quote in quotes
        for place in quote.places[:1]
    ]
