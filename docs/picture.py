"""Draws docs/_static/evidence.png from what a notebook shows of a search: python docs/picture.py

It needs the extra `offline` and a headless chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from retrievers import Collection, LateInteractionEncoder

QUESTION = "I found someone who takes over the flat, can I go now?"
LEASE = Path(__file__).resolve().parents[1] / "notebooks" / "data" / "lease.md"


def main() -> None:
    """Search, draw the hits, and let a browser take their picture."""
    collection = Collection(None, LateInteractionEncoder("offline/minilm"))
    sections = [part.split("\n", 1) for part in LEASE.read_text(encoding="utf-8").split("\n## ")[1:]]
    collection.add([text.strip() for _, text in sections], ids=[title for title, _ in sections])
    hits = collection.search(QUESTION, k=2)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(
            '<!doctype html><meta charset="utf-8"><body style="margin:0;padding:14px 18px;background:#fff;'
            f'color:#1f2328;font:15px/1.5 system-ui, sans-serif">{hits._repr_html_()}',
            encoding="utf-8",
        )
        picture = Path(__file__).with_name("_static") / "evidence.png"
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-device-scale-factor=2",
                "--window-size=860,330",
                f"--user-data-dir={folder}/profile",
                f"--screenshot={picture}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )


if __name__ == "__main__":
    main()
