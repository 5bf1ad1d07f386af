"""The best windows of each hit, scored by the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrievers.collection import hits
from retrievers.collection.searching import Options
from retrievers.qdrant.reading import heads
from retrievers.qdrant.schema import Layout
from retrievers.qdrant.scoring import scores
from retrievers.qdrant.steps import Steps
from retrievers.types import Hit, TokenMatrix


def with_passages(
    layout: Layout, queries: Sequence[TokenMatrix], found: Sequence[Sequence[Hit]], options: Options
) -> Steps[list[list[Hit]]]:
    """The hits of each question with their passages; one whose document was changed meanwhile has none.

    Args:
        queries: matrices, float32, (query_tokens_i, dim); one without tokens has no hits.
    """
    known = yield from heads(layout, [str(hit.id) for answer in found for hit in answer])
    asked = []
    for query, answer in zip(queries, found, strict=True):
        ids = [str(hit.id) for hit in answer]
        asked.append((query, {key: known[key] for key in ids if key in known}))
    scored = yield from scores(layout, asked)
    made = []
    for query, answer, windows in zip(queries, found, scored, strict=True):
        parts = []
        for hit in answer:
            head = known.get(str(hit.id))
            document = None if head is None else head.document()
            if document is not None and document.text == hit.text:
                some = [(one.number, one.span, one.score) for one in windows.get(str(hit.id), [])]
                hit = replace(
                    hit, passages=hits.passages(document, query, some, options.passages, options.lowest)
                )
            parts.append(hit)
        made.append(parts)
    return made
