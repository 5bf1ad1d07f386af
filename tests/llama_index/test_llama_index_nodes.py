"""What of a node is encoded, and where spans point."""

from __future__ import annotations

import pytest
from llama_index.core.schema import Document, IndexNode, MetadataMode, TextNode

from retrievers import Collection
from retrievers.errors import InvalidInputError
from retrievers.llama_index import LateInteractionVectorStore
from retrievers.llama_index.nodes import embedded_context, source_id, to_documents, to_node
from retrievers.testing import HashingEncoder
from retrievers.types import Document as StoredDocument

EMBED = MetadataMode.EMBED


@pytest.mark.parametrize(
    "node",
    [
        TextNode(text="A text."),
        TextNode(text="A text.", metadata={"title": "Its title", "year": 1999}),
        TextNode(text="Paris", metadata={"title": "Paris"}),
        TextNode(
            text="A text.",
            metadata={"title": "kept", "path": "left out"},
            excluded_embed_metadata_keys=["path"],
        ),
        TextNode(
            text="A text.",
            metadata={"a": 1},
            metadata_template="[{key}={value}]",
            text_template="{metadata_str}: {content}",
        ),
        TextNode(text="  indented", metadata={"a": 1}),
        TextNode(text="  indented"),
        Document(text="A text.", metadata={"title": "Its title"}),
    ],
)
def test_context_and_text_together_are_what_llama_index_embeds(node):
    [document] = to_documents([node])
    assert document.text == node.get_content()
    assert (document.context + document.text).strip() == node.get_content(metadata_mode=EMBED).strip()


def test_metadata_behind_the_text_is_encoded_in_front_of_it():
    node = TextNode(text="A text.", metadata={"a": 1}, text_template="{content}\n--\n{metadata_str}")
    assert node.get_content(metadata_mode=EMBED) == "A text.\n--\na: 1"
    assert embedded_context(node) == "--\na: 1\n\n"


def test_metadata_around_the_text_is_encoded_in_front_of_it():
    node = TextNode(text="A text.", metadata={"a": 1}, text_template="{metadata_str}\n{content}\n(end)")
    assert embedded_context(node) == "a: 1\n\n(end)\n\n"


def test_a_template_without_the_text_is_encoded_in_front_of_the_text():
    node = TextNode(text="A text.", metadata={"a": 1}, text_template="only {metadata_str}")
    assert embedded_context(node) == "only a: 1\n\n"


def test_a_text_without_metadata_has_no_context():
    assert embedded_context(TextNode(text=" A text.\n")) == ""


def test_a_passage_points_into_the_nodes_own_text_although_metadata_was_encoded_before_it():
    text = " ".join(f"word{number}" for number in range(150)) + " zebra"
    node = TextNode(id_="long", text=text, metadata={"title": "An encyclopaedia of stripes"})
    collection = Collection(None, HashingEncoder(document_length=50))
    LateInteractionVectorStore(collection).add([node])
    [hit] = collection.search("zebra")
    assert hit.text == text
    assert hit.passage.text == text[hit.passage.start : hit.passage.end]
    assert hit.passage.text.endswith("zebra")
    [evidence] = collection.explain("zebra", "long").matches
    assert text[evidence.start : evidence.end] == "zebra"


def test_metadata_longer_than_a_window_hides_nothing_of_the_text():
    title = " ".join(f"title{number}" for number in range(120))
    node = TextNode(id_="a", text="a zebra at last", metadata={"title": title})
    collection = Collection(None, HashingEncoder(document_length=50))
    LateInteractionVectorStore(collection).add([node])
    [hit] = collection.search("zebra last")
    assert hit.passage.text == "a zebra at last"
    assert hit.normalized_score == pytest.approx(1.0, abs=0.01)
    [hit] = collection.search("title0 title1")
    assert hit.normalized_score == pytest.approx(1.0, abs=0.01)
    assert hit.passage.text == ""


def test_a_node_of_metadata_alone_is_found_by_it_as_llama_index_embeds_it():
    collection = Collection(None, HashingEncoder())
    LateInteractionVectorStore(collection).add([TextNode(id_="a", text="", metadata={"topic": "astronomy"})])
    [hit] = collection.search("astronomy")
    assert (hit.id, hit.text) == ("a", "")


def test_a_match_in_the_metadata_has_no_span_in_the_text():
    collection = Collection(None, HashingEncoder())
    LateInteractionVectorStore(collection).add(
        [TextNode(id_="a", text="plain words", metadata={"title": "zebra"})]
    )
    [match] = collection.explain("zebra", "a").matches
    assert (match.text, match.start, match.end) == ("", 0, 0)
    assert match.similarity == pytest.approx(1.0, abs=2e-3)  # by the stored row, which is rounded to 8 bits


def test_metadata_stays_plain_for_filters():
    collection = Collection(None, HashingEncoder())
    LateInteractionVectorStore(collection).add(
        [TextNode(text="words", metadata={"lang": "en", "year": 1999})]
    )
    assert len(collection.search("words", filter={"lang": "en", "year": {"$lt": 2000}})) == 1


def test_a_node_is_the_document_of_itself_unless_it_was_cut_from_one():
    whole = Document(id_="whole", text="words")
    part = TextNode(id_="part", text="words", relationships={"1": whole.as_related_node_info()})
    assert [source_id(one) for one in to_documents([whole, part])] == ["whole", "whole"]


def test_a_document_of_another_framework_becomes_a_text_node_that_embeds_as_it_was_encoded():
    node = to_node(StoredDocument("words", "a", {"lang": "en"}))
    assert isinstance(node, TextNode)
    assert (node.node_id, node.text, node.metadata) == ("a", "words", {"lang": "en"})
    assert node.get_content(metadata_mode=EMBED) == "words"
    assert node.get_content(metadata_mode=MetadataMode.LLM) == "lang: en\n\nwords"


def test_an_index_node_whose_object_is_not_json_is_refused_with_the_way_out():
    with pytest.raises(InvalidInputError, match="object_map"):
        to_documents([IndexNode(id_="a", text="words", index_id="b", obj=object())])
