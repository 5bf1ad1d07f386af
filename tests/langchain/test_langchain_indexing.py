"""The indexing API with a SQL record manager, in every cleanup mode, with and without async."""

from __future__ import annotations

import pytest
from langchain_classic.indexes import SQLRecordManager, aindex, index
from langchain_core.documents import Document

ROUNDS = {
    # The second round brings one text edited, one unchanged, and leaves the third out.
    "incremental": {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 1},
    "scoped_full": {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 1},
    "full": {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 2},
    None: {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 0},
}
LEFT = {
    "incremental": {"one, edited", "two", "three"},
    "scoped_full": {"one, edited", "two", "three"},
    "full": {"one, edited", "two"},
    None: {"one", "one, edited", "two", "three"},
}


def pages(**texts: str) -> list[Document]:
    return [Document(page_content=text, metadata={"source": source}) for source, text in texts.items()]


def texts(store) -> set[str]:
    return {document.text for document in store.collection.get(filter={})}


@pytest.fixture
def options() -> dict:
    return {"source_id_key": "source", "key_encoder": "sha256"}


@pytest.fixture
def records(tmp_path) -> SQLRecordManager:
    manager = SQLRecordManager("planets", db_url=f"sqlite:///{tmp_path / 'records.sqlite'}")
    manager.create_schema()
    return manager


@pytest.mark.parametrize("cleanup", ROUNDS)
def test_editing_one_of_the_sources(empty_store, records, options, cleanup):
    first = index(pages(a="one", b="two", c="three"), records, empty_store, cleanup=cleanup, **options)
    assert first == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
    second = index(pages(a="one, edited", b="two"), records, empty_store, cleanup=cleanup, **options)
    assert second == ROUNDS[cleanup]
    assert texts(empty_store) == LEFT[cleanup]


@pytest.mark.parametrize("cleanup", ROUNDS)
async def test_editing_one_of_the_sources_async(tmp_path, empty_store, options, cleanup):
    records = SQLRecordManager(
        "planets", db_url=f"sqlite+aiosqlite:///{tmp_path / 'records.sqlite'}", async_mode=True
    )
    await records.acreate_schema()
    await aindex(pages(a="one", b="two", c="three"), records, empty_store, cleanup=cleanup, **options)
    second = await aindex(pages(a="one, edited", b="two"), records, empty_store, cleanup=cleanup, **options)
    await records.engine.dispose()
    assert second == ROUNDS[cleanup]
    assert texts(empty_store) == LEFT[cleanup]


def test_two_added_one_edited_then_emptied(empty_store, records, options):
    index(pages(a="one", b="two"), records, empty_store, cleanup="full", **options)
    edited = index(pages(a="one, edited", b="two"), records, empty_store, cleanup="full", **options)
    assert edited == {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": 1}
    emptied = index([], records, empty_store, cleanup="full", **options)
    assert emptied == {"num_added": 0, "num_updated": 0, "num_skipped": 0, "num_deleted": 2}
    assert len(empty_store.collection) == 0


def test_a_forced_update_encodes_nothing_again_that_did_not_change(empty_store, records, options, encoder):
    index(pages(a="one", b="two"), records, empty_store, cleanup="full", **options)
    before = encoder.encoded_documents
    again = index(pages(a="one", b="two"), records, empty_store, cleanup="full", force_update=True, **options)
    assert again["num_updated"] == 2
    assert encoder.encoded_documents == before
