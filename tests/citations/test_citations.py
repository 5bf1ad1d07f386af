"""Documents of both frameworks and hits as numbered passages, and as the blocks that providers take."""

from __future__ import annotations

import pytest

from retrievers import Collection, Document
from retrievers.citations import Citations, check, citation_annotations, citations, search_results
from retrievers.errors import InvalidTypeError
from retrievers.testing import HashingEncoder

BOOK = " ".join([*map(str, range(100, 164)), "Salt melts at 801 degrees.", *map(str, range(200, 240))])
MELTS = BOOK.index("melts")


@pytest.fixture
def collection():
    with Collection(None, HashingEncoder(document_length=64)) as collection:
        collection.add([BOOK], ids=["book"], metadatas=[{"source": "shelf/book.txt"}])
        yield collection


def agrees(cited) -> bool:
    return cited.document[cited.start - cited.offset : cited.end - cited.offset] == cited.text


def test_hits_are_cited_by_their_best_passage(collection):
    hits = collection.search("salt melts")
    [one] = citations(hits)
    window = hits[0].passage
    assert (one.text, one.start, one.end) == (window.text, window.start, window.end)
    assert (one.number, one.source, one.title, one.id) == (1, "shelf/book.txt", "book.txt", "book")
    assert agrees(one)
    assert one.document == BOOK


def test_a_prompt_numbers_passages_with_source_title_and_place():
    given = [
        Document("Salt melts.", "a", {"title": "On\nsalt", "url": "https://example.org/salt"}),
        Document("Ice floats.", "b"),
    ]
    assert citations(given).prompt() == (
        "[1] On salt (https://example.org/salt), characters 0 to 11\nSalt melts.\n\n"
        "[2] b, characters 0 to 11\nIce floats."
    )
    assert citations([]).prompt() == ""
    assert citations(Document("x") for _ in range(1))[0].source == "passage 1"
    part = citations(given)[1:]
    assert (type(part), part[0].number) == (Citations, 2)


@pytest.mark.parametrize("wrong", [["text"], [7], "text", [None], {"a": 1}])
def test_what_is_no_document_is_refused(wrong):
    with pytest.raises(InvalidTypeError):
        citations(wrong)


def test_documents_of_langchain_with_and_without_evidence(collection):
    pytest.importorskip("langchain_core", reason='needs pip install "maxsim-retrievers[langchain]"')
    from langchain_core.documents import Document as LangChainDocument

    from retrievers.langchain import LateInteractionRetriever, PassageCompressor

    [plain] = LateInteractionRetriever(collection=collection).invoke("salt melts")
    [told] = LateInteractionRetriever(collection=collection, evidence_key="evidence").invoke("salt melts")
    whole, part = citations([plain, told])
    assert (whole.text, whole.start, whole.end) == (BOOK, 0, len(BOOK))
    assert (part.start, part.end) == (256, 256 + len(part.text))
    assert part.document == BOOK
    compressor = PassageCompressor(collection=collection)
    for one in citations(compressor.compress_documents([plain, told], "salt melts")):
        assert (one.start, one.end, one.text) == (part.start, part.end, part.text)
        assert agrees(one)
    # Cut out of a longer source by a splitter.
    split = LangChainDocument("Salt melts.", metadata={"start_index": 1000, "source": "C:\\texts\\salt.txt"})
    [one] = citations([split])
    assert (one.start, one.end, one.title) == (1000, 1011, "salt.txt")
    assert agrees(one)


@pytest.mark.parametrize(
    "evidence",
    [None, {}, {"passage": None}, {"passage": {"text": "x", "start": "0", "end": 1}}, {"passage": [0, 1]}],
)
def test_metadata_that_only_looks_like_evidence_is_passed_over(evidence):
    pytest.importorskip("langchain_core", reason='needs pip install "maxsim-retrievers[langchain]"')
    from langchain_core.documents import Document as LangChainDocument

    [one] = citations([LangChainDocument("Salt melts.", metadata={"evidence": evidence})])
    assert (one.text, one.start) == ("Salt melts.", 0)


def test_text_that_was_cut_by_others_keeps_its_place_by_the_evidence():
    pytest.importorskip("langchain_core", reason='needs pip install "maxsim-retrievers[langchain]"')
    from langchain_core.documents import Document as LangChainDocument

    metadata = {"evidence": {"passage": {"text": "Salt melts at 801 degrees.", "start": 500, "end": 526}}}
    texts = ["So: Salt melts at 801 degrees. Yes.", " melts at 801 ", "Another text."]
    found = citations(LangChainDocument(text, metadata=metadata) for text in texts)
    assert [(one.text, one.start) for one in found] == [
        ("Salt melts at 801 degrees.", 500),
        (" melts at 801 ", 504),
        ("Another text.", 0),
    ]
    assert all(map(agrees, found))
    [quote] = check("“at 801”", found[:1])
    assert (quote.places[0].start, quote.places[0].end) == (511, 517)


def test_nodes_of_llama_index_with_evidence_place_and_source():
    pytest.importorskip("llama_index.core", reason='needs pip install "maxsim-retrievers[llama-index]"')
    from llama_index.core.schema import Document as LlamaDocument
    from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

    node = TextNode(
        id_="n",
        text="Salt melts.",
        start_char_idx=40,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book")},
    )
    named = LlamaDocument(
        id_="d", text="Ice floats.", metadata={"file_path": "/texts/ice.txt", "file_name": "ice.txt"}
    )
    first, second, third = citations([NodeWithScore(node=node, score=1.0), node, named])
    assert (first.text, first.start, first.end, first.source, first.id) == (
        "Salt melts.",
        40,
        51,
        "book",
        "n",
    )
    assert (second.number, second.text) == (2, first.text)
    assert (third.source, third.title) == ("/texts/ice.txt", "ice.txt")


def test_the_numbers_of_a_citation_query_engine_are_those_of_the_citations(collection):
    pytest.importorskip("llama_index.core", reason='needs pip install "maxsim-retrievers[llama-index]"')
    from llama_index.core.llms import MockLLM
    from llama_index.core.query_engine import CitationQueryEngine

    from retrievers.llama_index import LateInteractionIndex, citation_blocks

    collection.add(["Ice floats on water."], ids=["ice"])
    index = LateInteractionIndex(collection=collection)
    engine = CitationQueryEngine.from_args(
        index,
        retriever=index.as_retriever(evidence_key="evidence"),
        llm=MockLLM(),
        citation_chunk_size=48,
        citation_chunk_overlap=0,
    )
    response = engine.query("salt melts")
    cited = citations(response.source_nodes)
    assert len(cited) > 3
    for one, node in zip(cited, response.source_nodes, strict=True):
        assert node.text.startswith(f"Source {one.number}:\n{one.document}")
    numbers = [one.number for one in cited if "801" in one.document]
    quote, missing = check(f"It says “melts at 801” [{numbers[0]}], and “salt sings”.", cited)
    assert quote.places[0].citation.number == numbers[0]
    assert BOOK[quote.places[0].start : quote.places[0].end] == "melts at 801"
    assert not missing.found
    [block] = citation_blocks([quote, missing])
    assert (block.cited_content.text, block.source) == ("melts at 801", "shelf/book.txt")
    assert block.additional_location_info == {
        "search_result_index": numbers[0] - 1,
        "start_char_index": MELTS,
        "end_char_index": MELTS + 12,
    }


def test_passages_fill_the_search_results_that_providers_take(collection):
    cited = citations(collection.search("salt melts"))
    [block] = search_results(cited)
    assert block == {
        "type": "search_result",
        "source": "shelf/book.txt",
        "title": "book.txt",
        "content": [{"type": "text", "text": cited[0].text}],
        "citations": {"enabled": True},
    }
    messages = pytest.importorskip(
        "langchain_core.messages", reason='needs pip install "maxsim-retrievers[langchain]"'
    )
    assert messages.HumanMessage([block, {"type": "text", "text": "When?"}]).content[0] == block
    assert messages.ToolMessage([block], tool_call_id="1").content == [block]


def test_passages_fill_the_citable_blocks_of_llama_index(collection):
    pytest.importorskip("llama_index.core", reason='needs pip install "maxsim-retrievers[llama-index]"')
    from llama_index.core.base.llms.types import ChatMessage

    from retrievers.llama_index import citable_blocks

    cited = citations(collection.search("salt melts"))
    message = ChatMessage(role="user", blocks=citable_blocks(cited))
    [block] = ChatMessage.model_validate(message.model_dump()).blocks
    assert (block.block_type, block.source, block.title) == ("citable", "shelf/book.txt", "book.txt")
    assert block.content[0].text == cited[0].text


def test_quotes_that_were_found_are_annotations_of_langchain(collection):
    messages = pytest.importorskip(
        "langchain_core.messages", reason='needs pip install "maxsim-retrievers[langchain]"'
    )
    cited = citations(
        [*collection.search("salt melts"), Document("Ice.", "i", {"url": "https://example.org/i"})]
    )
    answer = 'It "melts  at 801" [1], "sings" and is "Ice".'
    found = citation_annotations(check(answer, cited))
    extras = {"source": "shelf/book.txt", "number": 1, "start": MELTS, "end": MELTS + 12, "exact": False}
    places = {"start_index": 4, "end_index": 17, "cited_text": "melts at 801"}
    theirs = messages.content.create_citation(title="book.txt", **places)
    assert found[0] == {name: value for name, value in theirs.items() if name != "id"} | {"extras": extras}
    assert [(one.get("url"), answer[one["start_index"] : one["end_index"]]) for one in found] == [
        (None, "melts  at 801"),
        ("https://example.org/i", "Ice"),
    ]
    [block] = messages.AIMessage([{"type": "text", "text": answer, "annotations": found}]).content_blocks
    assert block["annotations"] == found
