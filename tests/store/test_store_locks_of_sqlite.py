"""SQLite's own locks: nothing of ours may take them away from it."""

from __future__ import annotations

import subprocess
import sys

from retrievers import Collection
from retrievers.testing import HashingEncoder

READ = (
    "import sys; from retrievers import Collection; from retrievers.testing import HashingEncoder\n"
    "with Collection(sys.argv[1], HashingEncoder()) as other: print([one.id for one in other.get()])"
)


def read_elsewhere(path) -> str:
    """What another process reads, which closes the collection as the last one if nobody holds a lock."""
    return subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_second_handle_of_a_process_leaves_the_locks_of_the_first(tmp_path):
    path = tmp_path / "collection"
    with Collection(path, HashingEncoder()) as first:
        first.add(["one"], ids=["a"])
        with Collection(path, HashingEncoder()) as second:
            assert len(second) == 1
            assert read_elsewhere(path) == "['a']"
            first.add(["two"], ids=["b"])
        assert read_elsewhere(path) == "['a', 'b']"
        first.add(["three"], ids=["c"])
        assert read_elsewhere(path) == "['a', 'b', 'c']"
    assert read_elsewhere(path) == "['a', 'b', 'c']"


def test_no_descriptor_of_the_catalogue_is_opened_but_by_sqlite(tmp_path):
    """Closing one would drop all locks that the process has on the file."""
    code = (
        "import sys, os\n"
        "opened = []\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and 'catalog.sqlite' in str(arguments[0]) and '.new' not in str(arguments[0]):\n"
        "        opened.append(arguments[0])\n"
        "sys.addaudithook(hook)\n"
        "from retrievers import Collection\n"
        "from retrievers.testing import HashingEncoder\n"
        "collection = Collection(sys.argv[1], HashingEncoder())\n"
        "collection.add(['one', 'two'], ids=['a', 'b']); collection.delete(['a']); collection.compact()\n"
        "collection.optimize(show_progress=False); collection.search('two'); collection.verify()\n"
        "collection.info(); collection.close(); Collection.open(sys.argv[1]).close()\n"
        "print(opened)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "collection")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
