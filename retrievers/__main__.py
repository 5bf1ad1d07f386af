"""python -m retrievers: the same as the command `retrievers`."""

from retrievers.cli.main import main

raise SystemExit(main())
