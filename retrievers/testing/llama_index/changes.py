"""Adding, replacing and deleting nodes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from llama_index.core.schema import BaseNode, Document, MetadataMode, TextNode
from llama_index.core.vector_stores.types import MetadataFilters

from retrievers.testing.llama_index.base import Call, Conformance
from retrievers.testing.llama_index.cases import ANIMALS, ODD_NODES, F, as_dict, ask, node, where


class Changes(Conformance):
    """Nodes go in, are replaced, and go."""

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
