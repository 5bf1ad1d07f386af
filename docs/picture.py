"""Draws docs/_static/evidence.png from what a notebook shows of a search: python docs/picture.py

It needs the extra `offline` and a headless chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from retrievers import Collection, LateInteractionEncoder

QUESTION = "Who pays if my suitcase is lost by the airline?"
SECTIONS = {
    "Booking": "Trips are booked through the travel desk at least ten days ahead. Rail is preferred below four hours. "
    "Seat reservations are included, upgrades are not. Whoever changes a booking for private reasons pays the "
    "difference.",
    "Insurance": "Every journey on business is insured from door to door. The policy covers treatment abroad and the "
    "way home. Luggage that a carrier loses or damages is replaced up to 1,500 euros, once the carrier has "
    "confirmed the loss in writing.",
    "Meals": "The daily allowance covers meals. Breakfast that the hotel includes is deducted. Invitations of "
    "customers are paid against a receipt that names the guests.",
    "Packing": "Take one suitcase and one piece of hand luggage. The airline charges more for a second suitcase, "
    "which nobody pays back. Keep the laptop with you.",
}


def main() -> None:
    """Search, draw the hits, and let a browser take their picture."""
    collection = Collection(None, LateInteractionEncoder("offline/minilm"))
    collection.add(list(SECTIONS.values()), ids=list(SECTIONS))
    hits = collection.search(QUESTION, k=3)
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
