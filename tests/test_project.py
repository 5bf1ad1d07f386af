"""How people work here: the recipes name what exists, and every automation runs the commands that people run."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUOTED = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", CONTRIBUTING, flags=re.DOTALL)))


def load(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def commands(workflow: str) -> list[str]:
    jobs = load(f".github/workflows/{workflow}.yml")["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_each_path_that_contributors_are_sent_to_exists():
    paths = {quoted for quoted in QUOTED if re.match(r"(retrievers|tests|benchmarks|\.ci|\.github)/", quoted)}
    assert len(paths) >= 15
    for path in paths:
        assert (ROOT / path).exists(), path


def test_each_name_that_contributors_are_to_change_stands_in_the_code():
    names = {quoted for quoted in QUOTED if re.fullmatch(r"[A-Za-z_.]+", quoted)}
    names -= {"FORMAT.md", "CHANGELOG.md", "PIP_EXTRA_INDEX_URL"}
    files = [*(ROOT / "retrievers").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "pyproject.toml"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for name in names:
        last = name.removesuffix(".toml").rpartition(".")[2]  # of Compare.matches the method
        assert re.search(rf"\b{last}\b", code), name


def test_each_make_target_that_is_called_exists():
    called = re.findall(r"^make ([\w-]+)", CONTRIBUTING, re.MULTILINE)
    called += [
        command.split()[1] for command in commands("ci") + commands("release") if command[:5] == "make "
    ]
    assert {"test", "check", "coverage", "package"} <= set(called)
    for target in called:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_the_hooks_are_the_parts_of_make_check():
    [parts] = re.findall(r"^check: ([^#\n]*)", MAKEFILE, re.MULTILINE)
    [repository] = load(".pre-commit-config.yaml")["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == [f"make {part}" for part in parts.split()]


def test_ci_runs_every_python_that_is_promised_and_three_systems():
    jobs = load(".github/workflows/ci.yml")["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert jobs["other-systems"]["strategy"]["matrix"]["system"] == ["macos-latest", "windows-latest"]


def test_a_release_is_published_without_a_secret():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert load(".github/workflows/release.yml")["jobs"]["publish"]["permissions"] == {"id-token": "write"}


def test_the_job_that_is_started_by_hand_runs_the_benchmark_of_trained_models():
    from benchmarks import trained

    workflow = load(".github/workflows/trained.yml")
    # YAML 1.1 reads the key `on` as true.
    assert list(workflow[True]) == ["workflow_dispatch"]
    [run] = [command for command in commands("trained") if "benchmarks.trained" in command]
    assert "${{" not in run
    options = re.findall(r"--[a-z-]+", run)
    assert options == ["--revision", "--published"]
    known = {name for action in trained.parser()._actions for name in action.option_strings}
    assert set(options) <= known
