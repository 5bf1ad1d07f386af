"""Values that options take."""

from __future__ import annotations

import argparse
import json


def json_value(text: str) -> object:
    """What JSON text says."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
