"""retrievers models, and the options of a model on every command, as processes that ask a hub on the loopback."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from retrievers.cli import model_options
from retrievers.cli.main import main
from retrievers.collection import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.errors import InvalidInputError, InvalidTypeError
from tests.cli.calls import call
from tests.hub import Hub, asked_by_this_process

GOLDEN = Path(__file__).parents[1] / "golden" / "pylate-bert"
NAME = "acme/tiny"
SECRET = "hf_secret"


@pytest.fixture
def hub():
    with Hub() as hub:
        hub.commit(NAME, GOLDEN)
        yield hub


@pytest.fixture
def near(monkeypatch, tmp_path):
    """A hub that this process asks, from tmp_path and with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    with asked_by_this_process(monkeypatch, tmp_path / "cache") as hub:
        hub.commit(NAME, GOLDEN)
        yield hub


@pytest.fixture
def process(hub, tmp_path):
    """Run `retrievers …` in tmp_path with a cache of its own; returns what it printed."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"),
    }
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH", "SENTENCE_TRANSFORMERS_HOME"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])

    def process(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "retrievers", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return process


def test_a_fetched_model_is_listed_and_serves_every_command_without_the_hub(hub, process, tmp_path):
    commit = hub.heads[NAME]["main"]
    assert "No model is cached in" in process("models").stdout
    done = process("models", "fetch", NAME)
    assert done.stdout.startswith(f"{NAME} at commit {commit}, 0.")
    assert done.stderr.count("Fetching 9 files:   0%|") == 1  # one bar
    hub.stop()
    listed = process("models").stdout.splitlines()
    assert listed[0].split()[:2] == [NAME, commit]
    assert listed[0].endswith("MB  main")
    assert listed[1].startswith("1 in ")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("Ada wrote the first program.")
    model = ("--model", NAME, "--offline", "--device", "cpu", "--precision", "float32")
    assert "1 new" in process("index", "notes", "--into", "index", *model).stdout
    assert "a.txt" in process("search", "index", "Who wrote the first program?", "--offline").stdout
    info = process("info", "index").stdout
    assert f"model commit     {commit}" in info
    assert json.loads(process("info", "index", "--json").stdout)["documents_digest"] in info


def test_a_model_is_fetched_and_listed_at_a_tag_for_programs(near):
    first = near.heads[NAME]["main"]
    near.tag(NAME, "v1", first)
    near.commit(NAME, {"README.md": b"moved"})
    fetched = json.loads(call("models", "fetch", f"{NAME}@v1", "--json").stdout)
    assert (fetched["name"], fetched["commit"]) == (NAME, first)
    [line] = call("models", "--json").stdout.splitlines()
    listed = json.loads(line)
    assert (listed["name"], listed["commit"], listed["revisions"]) == (NAME, first, ["v1"])
    assert listed["bytes"] > 10_000
    assert listed["directory"] == fetched["directory"]


def test_check_compares_the_digest_with_that_of_a_collection(near, tmp_path):
    encoder = LateInteractionEncoder(str(GOLDEN), device="cpu")
    Collection(tmp_path / "index", encoder).close()
    done = call("models", "check", NAME, "--collection", "index")
    assert encoder.fingerprint["documents"]["digest"] in done.stdout
    assert done.stdout.endswith("and it is the model that wrote index.\n")
    config = json.loads((GOLDEN / "config_sentence_transformers.json").read_text("utf-8"))
    config["skiplist_words"] = ["."]
    near.commit(NAME, {"config_sentence_transformers.json": json.dumps(config).encode()})
    again = call("models", "check", NAME, "--collection", "index", code=1)
    assert "it is not the model of index: the skiplist" in again.stdout


def test_check_names_a_damaged_file_and_fetch_brings_it_anew(near):
    directory = Path(json.loads(call("models", "--json", "fetch", NAME).stdout)["directory"])
    weights = (directory / "model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = call("models", "check", NAME, "--offline", code=1)
    assert "model.safetensors is damaged" in done.stdout
    assert f"`retrievers models fetch {NAME}`" in done.stdout
    assert "model.safetensors" in call("models", "fetch", NAME).stderr
    sound = json.loads(call("models", "check", NAME, "--offline", "--json").stdout)
    assert (sound["problems"], sound["dim"], sound["commit"]) == ([], 8, near.heads[NAME]["main"])


def test_a_token_comes_from_the_environment_and_is_never_printed(near, monkeypatch):
    near.gated[NAME] = SECRET
    denied = call("models", "fetch", NAME, code=1)
    assert "access to it is gated" in denied.stderr
    monkeypatch.setenv("MINE", SECRET)
    assert call("models", "fetch", NAME, "--token", "MINE").stdout.startswith(f"{NAME} at commit")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert call("models", "check", NAME).stdout.endswith("The model is sound: it loads and encodes.\n")
    typed = call("models", "fetch", NAME, "--token", SECRET, code=2)
    assert "name of an environment variable" in typed.stderr
    assert SECRET not in typed.stderr + typed.stdout


def test_a_hub_that_is_gone_is_one_line_that_names_the_commit(near):
    call("models", "fetch", NAME)
    near.stop()
    done = call("models", "fetch", NAME)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: The hub did not give")]
    assert near.heads[NAME]["main"] in line


def test_what_is_no_repository_cannot_be_fetched(capsys, tmp_path):
    for name, words in (
        ("offline/minilm", "comes with a Python package"),
        (str(GOLDEN), "is a directory"),
        ("./typo", "there is no such directory"),
        (f"{NAME}@", "NAME or NAME@REVISION is needed"),
        ("@main", "NAME or NAME@REVISION is needed"),
    ):
        assert main(["models", "fetch", name]) == 1
        assert words in capsys.readouterr().err


def test_a_directory_is_checked_where_it_lies(capsys):
    assert main(["models", "check", str(GOLDEN), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("The model is sound: it loads and encodes.\n")
    assert main(["models", "check", f"{GOLDEN}@v1"]) == 1
    assert "has no revisions" in capsys.readouterr().err


def test_every_command_that_loads_a_model_takes_the_same_options(capsys):
    for command in ("index", "search", "eval", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        said = capsys.readouterr().out
        assert [name for name in model_options.ALL if f"--{name}" not in said] == []


def test_a_revision_belongs_to_one_model(capsys, tmp_path):
    assert main(["eval", str(tmp_path), "--model", "a/b", "--model", "c/d", "--revision", "v1"]) == 1
    assert "--revision belongs to one model, and 2 were named" in capsys.readouterr().err


def test_options_reach_the_model_of_a_collection_when_it_is_loaded(tmp_path):
    Collection(tmp_path / "index", LateInteractionEncoder(str(GOLDEN), device="cpu")).close()
    with Collection.open(tmp_path / "index", encoder_options={"precision": "bfloat16"}) as collection:
        assert collection.encoder.dtype == "bfloat16"


def test_a_copy_keeps_the_options_and_a_pickle_holds_no_token(tmp_path):
    Collection(tmp_path / "index", LateInteractionEncoder(str(GOLDEN), device="cpu")).close()
    options = {"precision": "bfloat16", "token": SECRET}
    with Collection.open(tmp_path / "index", encoder_options=options) as collection:
        assert SECRET.encode() not in pickle.dumps(collection)
        with copy.deepcopy(collection) as other:
            assert other.encoder.dtype == "bfloat16"


def test_an_option_that_no_model_has_is_refused_before_anything_is_loaded(tmp_path):
    Collection(tmp_path / "index", LateInteractionEncoder(str(GOLDEN), device="cpu")).close()
    for options in ({"devise": "cpu"}, {"model": "a/b"}):
        with pytest.raises(InvalidInputError, match="no keyword of LateInteractionEncoder"):
            Collection.open(tmp_path / "index", encoder_options=options)
    with pytest.raises(InvalidTypeError, match="a dict from keywords"):
        Collection.open(tmp_path / "index", encoder_options="cpu")
