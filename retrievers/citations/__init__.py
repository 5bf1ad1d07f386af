"""Passages with numbers for a prompt, and the quotes of an answer found in them again.

cited = citations(documents)          of LangChain, LlamaIndex or this library: numbered passages with their sources
prompt = f"{cited.prompt()}\\n\\n{question}"
for quote in check(answer, cited):    what the answer puts between quotation marks
    quote.places                      where it stands in the sources; empty for words that stand nowhere
"""

from retrievers.citations.blocks import citation_annotations, search_results
from retrievers.citations.checking import Place, Quote, check
from retrievers.citations.passages import Citation, Citations, citations

__all__ = [
    "Citation",
    "Citations",
    "Place",
    "Quote",
    "check",
    "citation_annotations",
    "citations",
    "search_results",
]
