"""Build the wheel and the sdist, install each bare into a fresh environment, and try the import and one search.

What a user gets from `pip install maxsim-retrievers` is tried, without extras, test tools or the checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
TRY = """
import sys
import tempfile

import retrievers

assert "torch" not in sys.modules, "the import alone loads torch"
from retrievers import Collection
from retrievers.testing import HashingEncoder

with tempfile.TemporaryDirectory() as directory:
    with Collection(directory + "/index", HashingEncoder()) as collection:
        collection.add(["The sky is blue.", "Bread needs flour."], ids=["sky", "bread"])
    with Collection(directory + "/index", HashingEncoder()) as collection:
        [hit] = collection.search("flour for bread", k=1)
        assert hit.id == "bread", hit
        assert collection.verify() == []
print(retrievers.__version__, "from", retrievers.__file__)
"""


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    [wheel], [sdist] = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    for artifact in (wheel, sdist):
        with tempfile.TemporaryDirectory() as place:
            try_install(artifact, Path(place))
        print(f"{artifact.name}: installs bare, imports and searches")


def try_install(artifact: Path, place: Path) -> None:
    """Install one artifact into an environment of its own, and use it from outside the checkout."""
    venv.create(place / "venv", with_pip=True)
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(place / "venv")}))
    python = scripts / Path(sys.executable).name
    # torch goes first and alone: a resolver that meets it as a dependency may choose another build.
    for what in ("torch", artifact):
        run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", what, place=place)
    run(python, "-I", "-c", TRY, place=place)
    run(scripts / "retrievers", "--version", place=place)


def run(*command: object, place: Path = ROOT) -> None:
    subprocess.run([str(part) for part in command], cwd=place, check=True)


if __name__ == "__main__":
    main()
