"""Ten questions of your own: is the right document found, beside BM25 and the single vector of the same model?

    python examples/evaluate_your_questions.py
    python examples/evaluate_your_questions.py ~/notes questions.csv      # lines of: question,name of the file

Needs pip install "maxsim-retrievers[offline,eval]".
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from retrievers import Document, LateInteractionEncoder
from retrievers.evaluate import compare

NOTES = {
    "roof.txt": "The roof was mended in May. The firm guarantees it for ten years, so call them if it leaks.",
    "stove.txt": "The stove burns beech, two logs at a time. The sweep comes in October.",
    "bins.txt": "Paper is collected on the first Monday, glass never: carry it to the corner.",
}
ASKED = [
    ("Whom do I call if water comes through the ceiling?", "roof.txt"),
    ("Who cleans the chimney?", "stove.txt"),
    ("What do I do with empty bottles?", "bins.txt"),
]


def main(folder: str | None = None, questions: str | None = None) -> None:
    """Load, ask, print a table."""
    notes, asked = NOTES, ASKED
    if folder is not None and questions is not None:
        files = sorted(file for kind in ("*.txt", "*.md") for file in Path(folder).expanduser().rglob(kind))
        notes = {file.name: file.read_text(encoding="utf-8") for file in files}
        with Path(questions).expanduser().open(encoding="utf-8", newline="") as lines:
            asked = [(question, name) for question, name in csv.reader(lines)]
    documents = [Document(text, id=name) for name, text in notes.items()]
    queries = {str(number): question for number, (question, _) in enumerate(asked)}
    qrels = {str(number): {name: 1} for number, (_, name) in enumerate(asked)}
    print(compare(documents, queries, qrels, LateInteractionEncoder("offline/minilm")).markdown())


if __name__ == "__main__":
    main(*sys.argv[1:])
