"""A conformance suite for LlamaIndex vector stores, as strict as the contract: subclass it, give it a store.

    class TestOnDisk(VectorStoreConformance):
        @pytest.fixture
        def store(self, tmp_path):
            return LateInteractionVectorStore(path=tmp_path, encoder=HashingEncoder())

Each test that calls the store runs twice, through the method and through its async twin. It needs pytest and
llama-index-core, and takes any store that answers `query_str` by shared words. With
`pytest.register_assert_rewrite("retrievers.testing.llama_index")` in conftest.py a failure shows the values.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

Call = Callable[..., Any]

TWINS = {
    "add": "async_add",
    "delete": "adelete",
    "delete_nodes": "adelete_nodes",
    "get_nodes": "aget_nodes",
    "clear": "aclear",
    "query": "aquery",
}


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


class VectorStoreConformance:
    """What a LlamaIndex vector store that keeps texts and encodes them itself must do."""

    @pytest.fixture
    def store(self) -> BasePydanticVectorStore:
        """An empty store: override this."""
        raise NotImplementedError("give the suite a fixture `store` that returns an empty vector store.")

    @pytest.fixture(params=["sync", "async"])
    def call(self, request: pytest.FixtureRequest, store: BasePydanticVectorStore) -> Call:
        """Calls a method of the store, or its async twin."""
        if request.param == "sync":
            return lambda name, *args, **kwargs: getattr(store, name)(*args, **kwargs)

        def call_twin(name: str, *args: Any, **kwargs: Any) -> Any:
            return asyncio.run(getattr(store, TWINS[name])(*args, **kwargs))

        return call_twin

    @pytest.fixture
    def animals(self, store: BasePydanticVectorStore, call: Call) -> Sequence[TextNode]:
        """Four nodes that are in the store."""
        call("add", list(ANIMALS))
        return ANIMALS

    # ---- what it is

    def test_keeps_texts_and_asks_for_no_embedding(self, store: BasePydanticVectorStore) -> None:
        assert store.stores_text is True
        assert store.is_embedding_query is False

    def test_describes_itself_as_json_without_its_engine(self, store: BasePydanticVectorStore) -> None:
        described = json.loads(json.dumps(store.to_dict()))
        assert described["class_name"] == type(store).class_name()
        assert described["stores_text"] is True
        assert json.loads(store.to_json()) == described

    def test_a_new_store_is_empty(self, call: Call) -> None:
        assert call("get_nodes") == []
        found = call("query", ask("anything"))
        assert (found.nodes, found.similarities, found.ids) == ([], [], [])

    # ---- add

    def test_add_returns_the_node_ids_in_order(self, call: Call) -> None:
        assert call("add", list(ANIMALS)) == ["cat", "dog", "hen", "eel"]

    def test_adding_nothing_is_no_error(self, call: Call) -> None:
        assert call("add", []) == []
        assert call("get_nodes") == []

    def test_add_leaves_the_nodes_as_they_are(self, call: Call) -> None:
        given = [one.model_copy(deep=True) for one in [*ANIMALS, *ODD_NODES]]
        before = [as_dict(one) for one in given]
        call("add", given)
        assert [as_dict(one) for one in given] == before

    def test_an_embedding_is_not_needed_and_does_no_harm(self, call: Call) -> None:
        call(
            "add",
            [node("a", "green apple"), node("b", "ripe banana").model_copy(update={"embedding": [0.5]})],
        )
        assert call("query", ask("banana", 1)).ids == ["b"]
        assert all(one.embedding is None for one in call("get_nodes"))

    def test_a_known_id_is_replaced(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("add", [node("cat", "The parrot talks all day.", "cage", legs=2)])
        assert len(call("get_nodes")) == 4
        assert call("query", ask("parrot talks", 1)).ids == ["cat"]
        [replaced] = call("get_nodes", ["cat"])
        assert (replaced.text, replaced.metadata, replaced.ref_doc_id) == (
            "The parrot talks all day.",
            {"legs": 2},
            "cage",
        )

    def test_adding_the_same_nodes_again_changes_nothing(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        call("add", list(ANIMALS))
        assert sorted(one.node_id for one in call("get_nodes")) == ["cat", "dog", "eel", "hen"]

    def test_changed_metadata_of_a_known_text_is_stored(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        call("add", [node("cat", ANIMALS[0].text, "house", legs=3)])
        assert call("get_nodes", ["cat"])[0].metadata == {"legs": 3}
        assert call("query", ask("cat", filters=where("legs", F.EQ, 3))).ids == ["cat"]

    def test_equal_texts_under_different_ids_are_both_kept(self, call: Call) -> None:
        call("add", [node("one", "the same words"), node("two", "the same words")])
        assert call("query", ask("same words")).ids == ["one", "two"]

    def test_an_id_twice_in_one_call_is_refused_before_anything_is_stored(self, call: Call) -> None:
        with pytest.raises(ValueError, match="twin"):
            call("add", [node("other", "a"), node("twin", "b"), node("twin", "c")])
        assert call("get_nodes") == []

    def test_metadata_that_is_not_json_is_refused_before_anything_is_stored(self, call: Call) -> None:
        with pytest.raises((TypeError, ValueError), match="when"):
            call("add", [node("good", "a"), node("bad", "b", when=object())])
        assert call("get_nodes") == []

    @pytest.mark.parametrize("given", ODD_NODES, ids=lambda given: given.node_id)
    def test_a_node_comes_back_as_it_was(self, call: Call, given: BaseNode) -> None:
        call("add", [given])
        [got] = call("get_nodes", [given.node_id])
        assert type(got) is type(given)
        assert as_dict(got) == as_dict(given)
        assert list(got.metadata) == list(given.metadata)
        assert got.hash == given.hash
        for mode in MetadataMode:
            assert got.get_content(metadata_mode=mode) == given.get_content(metadata_mode=mode)

    def test_a_found_node_is_as_it_was_too(self, call: Call) -> None:
        call("add", list(ODD_NODES))
        [got] = call("query", ask("text spaces around", 1)).nodes
        assert as_dict(got) == as_dict(ODD_NODES[0])

    def test_an_embedding_does_not_come_back(self, call: Call) -> None:
        call("add", [TextNode(id_="a", text="some words", embedding=[1.0, 0.0])])
        assert call("query", ask("words", 1)).nodes[0].embedding is None

    # ---- delete

    def test_delete_takes_every_node_of_a_document_and_no_other(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        call("delete", "house")
        assert sorted(one.node_id for one in call("get_nodes")) == ["eel", "hen"]
        assert call("query", ask("The cat and the dog")).ids != []
        assert {"cat", "dog"}.isdisjoint(call("query", ask("The cat and the dog")).ids)

    def test_delete_takes_a_document_that_was_stored_whole(self, call: Call) -> None:
        call("add", [Document(id_="whole", text="one piece"), node("part", "another piece", "whole of it")])
        call("delete", "whole")
        assert [one.node_id for one in call("get_nodes")] == ["part"]

    def test_delete_does_not_take_a_node_for_a_document(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        call("delete", "cat")
        assert len(call("get_nodes")) == 4

    def test_deleting_an_unknown_document_is_no_error(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("delete", "nowhere")
        assert len(call("get_nodes")) == 4

    def test_delete_nodes_by_id(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("delete_nodes", ["cat", "eel", "unknown"])
        assert sorted(one.node_id for one in call("get_nodes")) == ["dog", "hen"]

    def test_delete_nodes_of_no_ids_deletes_nothing(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("delete_nodes", [])
        assert len(call("get_nodes")) == 4

    def test_delete_nodes_by_filter(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("delete_nodes", filters=where("legs", F.EQ, 4))
        assert sorted(one.node_id for one in call("get_nodes")) == ["eel", "hen"]

    def test_delete_nodes_by_both_takes_what_both_name(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("delete_nodes", ["cat", "hen"], where("legs", F.EQ, 4))
        assert sorted(one.node_id for one in call("get_nodes")) == ["dog", "eel", "hen"]

    def test_delete_nodes_of_nothing_named_is_refused(self, call: Call, animals: Sequence[TextNode]) -> None:
        with pytest.raises(ValueError, match="clear"):
            call("delete_nodes")
        with pytest.raises(ValueError, match="clear"):
            call("delete_nodes", filters=MetadataFilters(filters=[]))
        assert len(call("get_nodes")) == 4

    def test_clear_leaves_an_empty_store_that_can_be_filled_again(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        call("clear")
        assert call("get_nodes") == []
        assert call("query", ask("cat")).nodes == []
        call("add", [ANIMALS[0]])
        assert call("query", ask("cat")).ids == ["cat"]

    # ---- get_nodes

    def test_get_nodes_gives_those_of_the_ids_in_their_order(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        assert [one.node_id for one in call("get_nodes", ["eel", "unknown", "cat"])] == ["eel", "cat"]

    def test_get_nodes_of_no_ids_gives_none(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert call("get_nodes", []) == []

    def test_get_nodes_of_ids_that_match(self, call: Call, animals: Sequence[TextNode]) -> None:
        found = call("get_nodes", ["eel", "cat"], where("legs", F.EQ, 4))
        assert [one.node_id for one in found] == ["cat"]

    @pytest.mark.parametrize(("filters", "expected"), FILTERS)
    def test_get_nodes_by_filter(
        self, call: Call, animals: Sequence[TextNode], filters: MetadataFilters, expected: set[str]
    ) -> None:
        assert {one.node_id for one in call("get_nodes", filters=filters)} == expected

    # ---- query

    def test_a_query_finds_the_node_that_shares_its_words(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        for given in ANIMALS:
            assert call("query", ask(given.text, 1)).ids == [given.node_id]

    def test_results_are_best_first_and_speak_of_the_same_nodes(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        found = call("query", ask("The dog barks at the cat"))
        assert found.ids[:2] == ["dog", "cat"]
        assert found.similarities == sorted(found.similarities, reverse=True)
        assert [one.node_id for one in found.nodes] == found.ids
        assert all(isinstance(score, float) for score in found.similarities)

    def test_similarity_top_k_is_the_most_that_comes(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert len(call("query", ask("The", 2)).ids) == 2
        assert len(call("query", ask("The", 100)).ids) == 4

    def test_similarity_top_k_below_one_is_refused(self, call: Call, animals: Sequence[TextNode]) -> None:
        with pytest.raises(ValueError, match="0"):
            call("query", ask("cat", 0))

    def test_a_query_without_a_question_is_refused(self, call: Call, animals: Sequence[TextNode]) -> None:
        with pytest.raises(ValueError, match="query_str"):
            call("query", VectorStoreQuery(query_embedding=[1.0, 0.0]))

    def test_found_nodes_are_the_callers_own(self, call: Call, animals: Sequence[TextNode]) -> None:
        first = call("query", ask("cat", 1)).nodes[0]
        first.metadata["tags"].append("changed")
        first.text = "changed"
        again = call("query", ask("cat", 1)).nodes[0]
        assert again is not first
        assert as_dict(again) == as_dict(ANIMALS[0])

    def test_asking_twice_gives_the_same(self, call: Call, animals: Sequence[TextNode]) -> None:
        first, second = (call("query", ask("The dog or the hen")) for _ in range(2))
        assert (first.ids, first.similarities) == (second.ids, second.similarities)

    def test_nothing_is_written_into_the_metadata_of_found_nodes(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        for got in call("query", ask("The")).nodes:
            [given] = [one for one in ANIMALS if one.node_id == got.node_id]
            assert got.metadata == given.metadata
            assert got.hash == given.hash

    @pytest.mark.parametrize(("filters", "expected"), FILTERS)
    def test_a_query_finds_only_what_matches(
        self, call: Call, animals: Sequence[TextNode], filters: MetadataFilters, expected: set[str]
    ) -> None:
        assert set(call("query", ask("The", filters=filters)).ids) == expected

    def test_filters_are_applied_before_similarity_top_k(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        assert call("query", ask("The cat sleeps", 1, filters=where("legs", F.EQ, 0))).ids == ["eel"]

    def test_doc_ids_limit_the_search(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert call("query", ask("The cat", 1, doc_ids=["farm", "unknown"])).ids == ["hen"]
        assert set(call("query", ask("The", doc_ids=["farm", "house"])).ids) == {"cat", "dog", "hen"}

    def test_node_ids_limit_the_search(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert call("query", ask("The cat", 1, node_ids=["eel", "unknown"])).ids == ["eel"]

    def test_empty_lists_of_ids_mean_all(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert len(call("query", ask("The", node_ids=[], doc_ids=[])).ids) == 4

    def test_ids_and_filters_limit_the_search_together(self, call: Call, animals: Sequence[TextNode]) -> None:
        query = ask("The", doc_ids=["house", "farm"], node_ids=["dog", "hen"], filters=where("legs", F.EQ, 4))
        assert call("query", query).ids == ["dog"]

    def test_embedded_metadata_is_found_and_excluded_metadata_is_not(self, call: Call) -> None:
        shown = TextNode(id_="shown", text="a plain sentence", metadata={"topic": "astronomy"})
        hidden = TextNode(
            id_="hidden",
            text="a plain sentence",
            metadata={"topic": "astronomy"},
            excluded_embed_metadata_keys=["topic"],
        )
        call("add", [hidden, shown])
        found = call("query", ask("astronomy"))
        assert found.ids[0] == "shown"
        assert found.similarities[0] > found.similarities[1]

    def test_an_empty_text_disturbs_nobody(self, call: Call, animals: Sequence[TextNode]) -> None:
        call("add", [TextNode(id_="blank", text=""), TextNode(id_="spaces", text=" \n ")])
        assert call("query", ask("The")).ids == call("query", ask("The", 4)).ids
        assert [one.text for one in call("get_nodes", ["blank", "spaces"])] == ["", " \n "]

    def test_a_question_without_words_finds_nothing(self, call: Call, animals: Sequence[TextNode]) -> None:
        assert call("query", ask("")).ids == []
        assert call("query", ask(" \n")).ids == []

    def test_an_empty_question_with_a_filter_gives_the_first_nodes_that_match(
        self, call: Call, animals: Sequence[TextNode]
    ) -> None:
        """VectorIndexAutoRetriever leaves the question empty where the filter says it all."""
        found = call("query", ask("", filters=where("legs", F.GT, 0)))
        assert (found.ids, found.similarities) == (["cat", "dog", "hen"], [0.0, 0.0, 0.0])
        assert call("query", ask("", 1, doc_ids=["farm"])).ids == ["hen"]
        assert call("query", ask("", 1, filters=where("legs", F.GT, 0))).ids == ["cat"]

    def test_a_long_text_is_found_by_its_last_words(self, call: Call, animals: Sequence[TextNode]) -> None:
        long = " ".join(f"filler{number}" for number in range(2000)) + " hippopotamus"
        call("add", [node("long", long)])
        assert call("query", ask("hippopotamus", 1)).ids == ["long"]
        assert call("get_nodes", ["long"])[0].text == long

    # ---- modes

    def test_mmr_leaves_out_what_repeats(self, call: Call) -> None:
        call(
            "add",
            [
                node("first", "red fox in the snow"),
                node("copy", "red fox in the snow"),
                node("other", "red kite over a field"),
            ],
        )
        query = ask("red fox", 2, mode=VectorStoreQueryMode.MMR)
        assert call("query", ask("red fox", 2)).ids == ["first", "copy"]
        assert call("query", query, mmr_threshold=0.2).ids == ["first", "other"]
        assert call("query", query, mmr_threshold=1.0).ids == ["first", "copy"]

    @pytest.mark.parametrize(
        "mode", sorted(set(VectorStoreQueryMode) - {VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR})
    )
    def test_a_mode_that_it_lacks_is_refused(
        self, call: Call, animals: Sequence[TextNode], mode: VectorStoreQueryMode
    ) -> None:
        with pytest.raises(ValueError, match=mode.value):
            call("query", ask("cat", mode=mode))

    # ---- together

    def test_concurrent_queries_equal_sequential_ones(
        self, store: BasePydanticVectorStore, animals: Sequence[TextNode]
    ) -> None:
        questions = [f"{one.text} {number}" for number in range(12) for one in ANIMALS]

        async def together() -> list[Any]:
            return await asyncio.gather(*(store.aquery(ask(question)) for question in questions))

        for got, question in zip(asyncio.run(together()), questions, strict=True):
            expected = store.query(ask(question))
            assert (got.ids, got.similarities) == (expected.ids, expected.similarities)

    def test_every_async_twin_leaves_the_event_loop_free(self, store: BasePydanticVectorStore) -> None:
        """Each twin gives the loop a turn before it is done, which a blocking one cannot."""
        calls: list[Callable[[], Any]] = [
            lambda: store.async_add(list(ANIMALS)),
            lambda: store.aquery(ask("cat")),
            lambda: store.aget_nodes(["cat"]),
            lambda: store.adelete("house"),
            lambda: store.adelete_nodes(["hen"]),
            lambda: store.aclear(),
        ]

        async def turns(start: Callable[[], Any]) -> int:
            task, count = asyncio.ensure_future(start()), 0
            while not task.done():
                await asyncio.sleep(0)
                count += 1
            await task
            return count

        # A coroutine that never waits is done after a single turn.
        assert all(asyncio.run(turns(start)) > 1 for start in calls)
