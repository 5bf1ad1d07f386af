"""Plain Python: index texts, ask, and see which words matched.

    python examples/without_a_framework.py
    python examples/without_a_framework.py "What burns in the stove?"

Needs pip install "maxsim-retrievers[offline]".
"""

from __future__ import annotations

import sys

from retrievers import Collection, Document, LateInteractionEncoder

NOTES = [
    Document("The roof was mended in May. The firm guarantees it for ten years.", "roof", {"year": 2024}),
    Document(
        "The stove burns beech, two logs at a time. The sweep comes in October.", "stove", {"year": 2023}
    ),
    Document("Paper is collected on the first Monday, glass never.", "bins", {"year": 2025}),
]


def main(question: str = "Who cleans the chimney?") -> None:
    """Add, search with a filter, explain."""
    with Collection("plain-index", LateInteractionEncoder("offline/minilm")) as collection:
        collection.add(NOTES)
        for hit in collection.search(question, k=2, filter={"year": {"$lt": 2025}}):
            print(f"{hit.normalized_score:.3f}  {hit.id}")
            evidence = collection.explain(question, hit)
            print("      ", evidence.snippet(80).text)
            for one in sorted(evidence.highlights(), key=lambda one: -one.weight)[:3]:
                print(f"       {one.weight:.2f}  {one.text!r} at {one.start}")


if __name__ == "__main__":
    main(*sys.argv[1:])
