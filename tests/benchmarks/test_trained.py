"""A trained model's figures, on a tiny checkpoint and a tiny set of NanoBEIR's form from a hub on the loopback."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from benchmarks import trained
from tests.encoder.conftest import NAME, hub  # noqa: F401  # the fixture

GOLDEN = Path(__file__).parents[1] / "golden"


def parquet(rows):
    import pyarrow
    from pyarrow import parquet

    file = BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


def test_a_model_of_a_hub_is_measured_on_a_set_of_the_hub(hub, capsys):  # noqa: F811
    pytest.importorskip("ir_measures", reason='needs pip install "maxsim-retrievers[eval]"')
    texts = ["Ada wrote the first program.", "tea and coffee", "Paris is the capital of France."]
    corpus = [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    hub.commit(
        "acme/NanoBEIR",
        {
            "corpus/NanoNQ-00000-of-00001.parquet": parquet(corpus),
            # Each question is a document: its own rows are as near as can be.
            "queries/NanoNQ-00000-of-00001.parquet": parquet([{"_id": "q0", "text": texts[0]}]),
            "qrels/NanoNQ-00000-of-00001.parquet": parquet([{"query-id": "q0", "corpus-id": "d0"}]),
        },
    )
    trained.main(
        [NAME, "--dataset", "acme/NanoBEIR", "--sets", "NanoNQ", "--device", "cpu", "--published", "0.5"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{NAME} at {hub.heads[NAME]['main']}, ")
    figure = float(lines[1].removeprefix("NanoNQ"))
    assert figure in (pytest.approx(1), pytest.approx(0.6309, abs=1e-4), pytest.approx(0.5))  # rank 1, 2, 3
    assert lines[2].split() == ["mean", f"{figure:.4f},", "published", "0.5000"]
