"""python -m retrievers: the same as the command `retrievers`."""

from retrievers.cli import main

raise SystemExit(main())
