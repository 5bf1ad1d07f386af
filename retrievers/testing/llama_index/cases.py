"""Nodes, filters and questions that the suite is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)


def node(id: str, text: str, source: str | None = None, **metadata: Any) -> TextNode:
    """A text node, cut from the document `source`, whose metadata is not embedded."""
    relationships: dict[NodeRelationship, Any] = {}
    if source is not None:
        relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
    return TextNode(
        id_=id,
        text=text,
        metadata=metadata,
        relationships=relationships,
        excluded_embed_metadata_keys=list(metadata),
    )


ANIMALS = (
    node("cat", "The cat sleeps on the warm stove.", "house", legs=4, home="indoors", tags=["fur", "purr"]),
    node("dog", "The dog barks at the postman.", "house", legs=4, home="Indoors and out", tags=["fur"]),
    node("hen", "The hen lays an egg every morning.", "farm", legs=2, home="outdoors", tags=[], egg=1.5),
    node("eel", "The eel swims through the muddy river.", "water", legs=0, home="", note=None),
)

ODD_NODES: tuple[BaseNode, ...] = (
    TextNode(
        id_="text",
        text="  A text with spaces around it. ",
        metadata={"title": "Ünïcode 𝄞", "pages": [1, 2], "deep": {"a": {"b": None}}, "zero": 0, "yes": True},
        excluded_embed_metadata_keys=["pages"],
        excluded_llm_metadata_keys=["title", "zero"],
        metadata_template="{key} is {value}",
        metadata_separator="; ",
        text_template="<<{metadata_str}>> {content}",
        start_char_idx=17,
        end_char_idx=49,
        mimetype="text/markdown",
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"isbn": "1"}, hash="abc"),
            NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before"),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="after", node_type="1"),
            NodeRelationship.PARENT: RelatedNodeInfo(node_id="chapter"),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="one"), RelatedNodeInfo(node_id="two")],
        },
    ),
    Document(id_="document", text="A whole document.", metadata={"b": 1, "a": 2}, metadata_separator=" | "),
    Document(
        id_="scan",
        text_resource=MediaResource(text="Scanned words.", mimetype="text/plain", path=Path("scans/one.txt")),
        image_resource=MediaResource(path=Path("scans/one.png"), mimetype="image/png"),
    ),
    IndexNode(
        id_="index", text="Leads to a table.", index_id="table", obj=TextNode(id_="inner", text="A table.")
    ),
    IndexNode(id_="bare", text="Leads to a retriever.", index_id="retriever", extra_info={"k": "v"}),
    ImageNode(id_="image", text="A red square.", image_url="http://localhost/square.png", metadata={"w": 3}),
    Node(id_="node", text_resource=MediaResource(text="A node of media."), extra_info={"x": "y"}),
    Node(id_="unread", text_resource=MediaResource(path=Path("letter.txt"))),
    Node(id_="mute", image_resource=MediaResource(path=Path("mute.png"))),
    TextNode(id_="empty", text="", metadata={"kind": "nothing"}),
)


def where(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilters:
    """One filter."""
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


F = FilterOperator
FILTERS: tuple[tuple[MetadataFilters, set[str]], ...] = (
    (where("legs", F.EQ, 4), {"cat", "dog"}),
    (where("legs", F.EQ, "4"), set()),
    (where("home", F.EQ, "indoors"), {"cat"}),
    (where("egg", F.EQ, 1.5), {"hen"}),
    (where("legs", F.NE, 4), {"hen", "eel"}),
    (where("egg", F.NE, 1.5), {"cat", "dog", "eel"}),
    (where("legs", F.GT, 2), {"cat", "dog"}),
    (where("legs", F.GTE, 2), {"cat", "dog", "hen"}),
    (where("legs", F.LT, 2), {"eel"}),
    (where("legs", F.LTE, 2), {"hen", "eel"}),
    (where("egg", F.GT, 1), {"hen"}),
    (where("home", F.GT, "indoors"), {"hen"}),
    (where("legs", F.IN, [0, 2]), {"hen", "eel"}),
    (where("home", F.IN, ["indoors", "outdoors"]), {"cat", "hen"}),
    (where("legs", F.IN, []), set()),
    (where("legs", F.NIN, [0, 2]), {"cat", "dog"}),
    (where("egg", F.NIN, [1.5]), {"cat", "dog", "eel"}),
    (where("tags", F.ANY, ["purr", "wool"]), {"cat"}),
    (where("tags", F.ALL, ["purr", "fur"]), {"cat"}),
    (where("tags", F.ALL, ["fur"]), {"cat", "dog"}),
    (where("tags", F.CONTAINS, "fur"), {"cat", "dog"}),
    (where("tags", F.CONTAINS, "fu"), set()),
    (where("home", F.TEXT_MATCH, "doors"), {"cat", "dog", "hen"}),
    (where("home", F.TEXT_MATCH, "indoors"), {"cat"}),
    (where("home", F.TEXT_MATCH_INSENSITIVE, "INDOORS"), {"cat", "dog"}),
    (where("tags", F.IS_EMPTY), {"hen", "eel"}),
    (where("home", F.IS_EMPTY), {"eel"}),
    (where("note", F.IS_EMPTY), {"cat", "dog", "hen", "eel"}),
    (where("legs", F.IS_EMPTY), set()),
    (where("nothing", F.EQ, 1), set()),
    (where("nothing", F.LTE, 1), set()),
    (where("nothing", F.CONTAINS, "x"), set()),
    (where("nothing", F.TEXT_MATCH, ""), set()),
    (where("nothing", F.NE, 1), {"cat", "dog", "hen", "eel"}),
    (where("nothing", F.NIN, [1]), {"cat", "dog", "hen", "eel"}),
    (
        MetadataFilters(filters=[*where("legs", F.EQ, 4).filters, *where("home", F.EQ, "indoors").filters]),
        {"cat"},
    ),
    (
        MetadataFilters(
            filters=[where("legs", F.EQ, 2), where("home", F.EQ, "indoors")], condition=FilterCondition.OR
        ),
        {"cat", "hen"},
    ),
    (
        MetadataFilters(
            filters=[where("legs", F.EQ, 2), where("home", F.EQ, "indoors")], condition=FilterCondition.NOT
        ),
        {"dog", "eel"},
    ),
    (
        MetadataFilters(
            filters=[
                MetadataFilters(filters=[where("legs", F.EQ, 4)], condition=FilterCondition.NOT),
                MetadataFilters(
                    filters=[where("legs", F.EQ, 0), where("egg", F.GTE, 1)], condition=FilterCondition.OR
                ),
                where("legs", F.GT, 0),
            ],
            condition=FilterCondition.AND,
        ),
        {"hen"},
    ),
    (MetadataFilters(filters=[]), {"cat", "dog", "hen", "eel"}),
    (MetadataFilters(filters=[], condition=FilterCondition.OR), {"cat", "dog", "hen", "eel"}),
    (MetadataFilters(filters=[], condition=FilterCondition.NOT), {"cat", "dog", "hen", "eel"}),
    (MetadataFilters(filters=[MetadataFilters(filters=[]), where("legs", F.EQ, 2)]), {"hen"}),
    (
        MetadataFilters(
            filters=[MetadataFilters(filters=[]), where("legs", F.EQ, 2)], condition=FilterCondition.OR
        ),
        {"cat", "dog", "hen", "eel"},
    ),
    (
        MetadataFilters(
            filters=[MetadataFilters(filters=[]), where("legs", F.EQ, 2)], condition=FilterCondition.NOT
        ),
        set(),
    ),
)


def ask(question: str | None, k: int = 10, **options: Any) -> VectorStoreQuery:
    """A query for k nodes."""
    return VectorStoreQuery(query_str=question, similarity_top_k=k, **options)


def as_dict(given: BaseNode) -> dict[str, Any]:
    """All that a node says, but for its embedding."""
    return {**given.to_dict(), "embedding": None}
