"""What a person sees: lines in a terminal, HTML in a notebook, heat maps and progress bars.

It imports no type of the other rooms: it draws what it is given.
"""

from retrievers.display.text import printable, show

__all__ = ["printable", "show"]
