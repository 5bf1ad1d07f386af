"""Getting nodes by id or filter, and finding them by a question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode

from retrievers.testing.llama_index.base import Call, Conformance
from retrievers.testing.llama_index.cases import ANIMALS, FILTERS, F, as_dict, ask, node, where


class Reading(Conformance):
    """Nodes come back as they were, those that were asked for, best first."""

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

    def test_an_empty_list_of_node_ids_means_all(self, call: Call, animals: Sequence[TextNode]) -> None:
        # LlamaIndex's own VectorStoreIndex sends one to every store that keeps texts.
        assert len(call("query", ask("The", node_ids=[])).ids) == 4

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
        "mode",
        sorted(
            set(VectorStoreQueryMode)
            - {
                VectorStoreQueryMode.DEFAULT,
                VectorStoreQueryMode.MMR,
                VectorStoreQueryMode.HYBRID,
                VectorStoreQueryMode.TEXT_SEARCH,
            }
        ),
    )
    def test_a_mode_that_it_lacks_is_refused(
        self, call: Call, animals: Sequence[TextNode], mode: VectorStoreQueryMode
    ) -> None:
        with pytest.raises(ValueError, match=mode.value):
            call("query", ask("cat", mode=mode))
