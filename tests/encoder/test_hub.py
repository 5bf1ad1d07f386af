"""Models from a hub: fetched whole, compared, started without it; and a sentence for each way in which it can fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from retrievers import Collection
from retrievers.encoder import LateInteractionEncoder
from retrievers.encoder import hub as client
from retrievers.encoder.identity import compare
from retrievers.encoder.snapshots import needed
from retrievers.encoder.source import Source
from retrievers.errors import DamagedModelError, InvalidInputError, ModelMismatchError, ModelNotFoundError
from tests.encoder.conftest import GOLDEN, NAME
from tests.hub import Fault

TEXTS = ["Ada wrote the first program.", "tea and coffee"]


def load(name=NAME, **options):
    return LateInteractionEncoder(name, **{"precision": "float32", "device": "cpu", **options})


def rows(encoder):
    return np.concatenate([*encoder.encode_documents(TEXTS), *encoder.encode_queries(TEXTS)])


def asked(hub):
    requests, hub.requests[:] = list(hub.requests), []
    return requests


@pytest.fixture(scope="module")
def wanted():
    return rows(load(str(GOLDEN / "pylate-bert")))


@pytest.fixture
def cached(hub):
    """acme/tiny is in the cache; the hub is there."""
    client.fetch(Source(NAME))
    hub.requests.clear()
    return hub


# Once loaded, loaded without the hub


def test_a_model_of_the_hub_has_the_rows_of_its_directory(hub, wanted):
    np.testing.assert_array_equal(rows(load()), wanted)


@pytest.mark.parametrize("how", ["gone", "HF_HUB_OFFLINE", "local_files_only"])
def test_once_fetched_a_model_loads_without_the_hub(cached, wanted, monkeypatch, how):
    if how == "gone":
        cached.stop()
        with pytest.warns(
            UserWarning, match=f"The commit in the cache is used, {cached.heads[NAME]['main']}"
        ):
            encoder = load()
    else:
        if how == "HF_HUB_OFFLINE":
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        encoder = load(local_files_only=how == "local_files_only")
        assert cached.requests == []
    np.testing.assert_array_equal(rows(encoder), wanted)


@pytest.mark.parametrize("revision", ["main", "branch", "tag", "commit", "short"])
def test_branch_tag_and_commit_are_found_again_without_the_hub(hub, revision):
    first = hub.heads[NAME]["main"]
    hub.commit(NAME, {"README.md": b"moved"}, branch="dev")
    hub.tag(NAME, "v1", first)
    asks = {"main": "main", "branch": "dev", "tag": "v1", "commit": first, "short": first[:8]}[revision]
    online = client.fetch(Source(NAME, asks))
    assert online.commit == (hub.heads[NAME]["dev"] if revision == "branch" else first)
    hub.stop()
    assert client.fetch(Source(NAME, asks, local_files_only=True)) == online
    assert client.fetch(Source(NAME, online.commit)) == online


def test_a_second_start_asks_at_most_two_requests_and_a_commit_none(cached):
    load()
    assert len(asked(cached)) <= 2
    load(revision=cached.heads[NAME]["main"])
    assert asked(cached) == []


@pytest.mark.parametrize(
    "fault", [Fault(status=429), Fault(status=500), Fault(status=503), Fault(delay=60), Fault(rate=20)]
)
def test_a_hub_in_trouble_holds_up_no_cached_model(cached, fault, monkeypatch):
    monkeypatch.setattr(client, "CACHED_TIMEOUT", 0.3)
    cached.faults.append(fault)
    commit = cached.heads[NAME]["main"]
    with pytest.warns(UserWarning, match=f"The commit in the cache is used, {commit}"):
        assert client.fetch(Source(NAME)).commit == commit


def test_an_update_that_breaks_off_leaves_the_commit_before(cached, impatient):
    before = cached.heads[NAME]["main"]
    cached.commit(
        NAME, {"1_Dense/model.safetensors": (GOLDEN / "native-lfm2/1_Dense/model.safetensors").read_bytes()}
    )
    cached.faults.append(Fault(r"/cdn/|resolve/", status=503))
    with pytest.warns(UserWarning, match=before):
        assert client.fetch(Source(NAME)).commit == before
    cached.stop()
    assert client.fetch(Source(NAME, local_files_only=True)).commit == before


def test_a_new_commit_is_fetched_when_the_hub_has_one(cached):
    moved = cached.commit(NAME, {"README.md": b"new"})
    assert client.fetch(Source(NAME)).commit == moved


def test_only_what_the_backend_reads_is_fetched(hub):
    extra = {
        "pytorch_model.bin": b"x",
        "onnx/model.onnx": b"x",
        "tf_model.h5": b"x",
        "openvino/openvino_model.bin": b"x",
    }
    hub.commit(NAME, {**extra, "optimizer.pt": b"x", "logo.png": b"x"})
    directory = client.fetch(Source(NAME)).directory
    names = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert names == set(needed(hub.commits[hub.heads[NAME]["main"]], "torch"))
    assert names & (extra.keys() | {"optimizer.pt", "logo.png"}) == set()
    assert "onnx/model.onnx" in needed(extra, "onnx")


def test_the_cache_is_the_one_that_was_named(hub, tmp_path, monkeypatch):
    assert client.fetch(Source(NAME, cache_folder=str(tmp_path / "a"))).directory.is_relative_to(
        tmp_path / "a"
    )
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path / "b"))
    assert client.fetch(Source(NAME)).directory.is_relative_to(tmp_path / "b")


# Cut, damaged, at the same time


def test_a_download_that_was_cut_goes_on(hub, impatient):
    hub.faults.append(Fault(r"GET /cdn/", cut=1000, times=1))
    client.fetch(Source(NAME))
    large = [path for method, path, _ in hub.requests if method == "GET" and path.startswith("/cdn/")]
    assert len(large) == 3  # two files, and the rest of one


def test_a_download_that_was_killed_is_completed_by_the_next_load(hub, tmp_path, wanted):
    hub.faults.append(Fault(r"GET /cdn/", rate=2000))
    process = run_python(hub, tmp_path / "cache", "client.fetch(Source('acme/tiny'))")
    while not any("/cdn/" in path for _, path, _ in list(hub.requests)):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.faults.clear()
    with pytest.raises(ModelNotFoundError, match="has no whole copy"):
        client.fetch(Source(NAME, local_files_only=True))
    np.testing.assert_array_equal(rows(load()), wanted)


def test_a_cache_from_which_a_file_went_is_completed_or_said_to_be_incomplete(cached, wanted):
    directory = client.fetch(Source(NAME)).directory
    (directory / "config_sentence_transformers.json").unlink()
    with pytest.raises(ModelNotFoundError, match="has no whole copy"):
        load(local_files_only=True)
    np.testing.assert_array_equal(rows(load()), wanted)


def test_two_processes_at_once_both_load(hub, tmp_path):
    hub.faults.append(Fault(r"GET /cdn/", rate=200_000))
    processes = [run_python(hub, tmp_path / "cache", "client.fetch(Source('acme/tiny'))") for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert client.fetch(Source(NAME, local_files_only=True)).commit == hub.heads[NAME]["main"]


def test_a_file_that_arrives_damaged_is_fetched_once_more(hub, wanted):
    hub.faults.append(Fault(r"GET /cdn/", corrupt=True, times=1))
    np.testing.assert_array_equal(rows(load()), wanted)


def test_a_file_that_arrives_damaged_twice_is_an_error_and_does_not_stay(hub, wanted):
    hub.faults.append(Fault(r"GET .*config_sentence_transformers|GET /cdn/", corrupt=True))
    with pytest.raises(DamagedModelError, match=r"1_Dense/model.safetensors, .* arrived damaged twice"):
        load()
    hub.faults.clear()
    np.testing.assert_array_equal(rows(load()), wanted)


@pytest.mark.parametrize("status", [403, 503])
def test_a_model_does_not_load_without_one_of_its_files(hub, impatient, status):
    hub.faults.append(Fault(r"config_sentence_transformers\.json", status=status))
    with pytest.raises(ModelNotFoundError, match=str(status)):
        load()


@pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0, reason="needs to become another user: run as root"
)
def test_a_cache_that_may_only_be_read_serves(cached, tmp_path):
    program = (
        "client.fetch(Source('acme/tiny'))  # imports what it needs: Python's own files may be closed to others\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "assert not os.access(os.environ['HF_HUB_CACHE'], os.W_OK)\n"
        "print(client.fetch(Source('acme/tiny')).commit)"
    )
    # Outside of pytest's own directory, which only its user may enter.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        cache = Path(shutil.copytree(tmp_path / "cache", Path(place) / "cache", symlinks=True))
        process = run_python(cached, cache, program)
        out, error = process.communicate()
    assert (out.decode().strip(), process.returncode) == (cached.heads[NAME]["main"], 0), error.decode()


def test_what_another_program_fetched_is_compared_before_it_is_used(hub, monkeypatch):
    from huggingface_hub import snapshot_download

    directory = Path(snapshot_download(NAME))
    assert client.fetch(Source(NAME, local_files_only=True)).directory == directory
    blob = (directory / "model.safetensors").resolve()
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ModelNotFoundError, match="has no whole copy"):
        client.fetch(Source(NAME, local_files_only=True))
    assert client.fetch(Source(NAME)).directory == directory
    assert blob.read_bytes() != bytes(content)


# Each failure in words


@pytest.mark.parametrize("token", [None, "hf_wrong"])
@pytest.mark.parametrize("name", ["acme/none", "acme/private"])
def test_a_repository_that_is_not_there_or_private(hub, name, token):
    hub.commit("acme/private", GOLDEN / "pylate-bert")
    hub.private["acme/private"] = "hf_secret"
    with pytest.raises(
        ModelNotFoundError, match=r"no such repository, or it is private .* \(40[14]\).* give token="
    ):
        load(name, token=token)
    if name == "acme/private":
        assert client.fetch(Source(name, token="hf_secret")).commit


def test_a_gated_repository(hub):
    hub.gated[NAME] = "hf_secret"
    with pytest.raises(
        ModelNotFoundError, match=f"gated .*: ask for it on {hub.url}/{NAME}, then give token="
    ):
        load()
    assert load(token="hf_secret").dim == 8


def test_a_revision_that_is_not_there(hub):
    with pytest.raises(ModelNotFoundError, match="has no revision 'v9'; its branches and tags are listed on"):
        load(revision="v9")


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "limits how often .* wait some minutes"), (503, r"itself has failed \(503\): try again")],
)
def test_a_hub_that_fails(hub, status, words):
    hub.faults.append(Fault(status=status))
    with pytest.raises(ModelNotFoundError, match=words):
        load()


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_first_fetch_asks_again_while_the_hub_is_in_trouble(hub, pauses, status):
    hub.faults.append(Fault(status=status, times=3))
    assert client.fetch(Source(NAME)).commit == hub.heads[NAME]["main"]
    assert pauses == [1, 2, 4]


def test_a_hub_that_stays_in_trouble_is_asked_four_times(hub, pauses):
    hub.faults.append(Fault(status=503))
    with pytest.raises(ModelNotFoundError, match="itself has failed"):
        client.fetch(Source(NAME))
    assert [status for _, _, status in hub.requests] == [503] * 4
    assert pauses == [1, 2, 4]


@pytest.mark.parametrize("status", [403, 404])
def test_what_another_attempt_would_not_mend_is_said_at_once(hub, pauses, status):
    hub.faults.append(Fault(status=status))
    with pytest.raises(ModelNotFoundError):
        client.fetch(Source(NAME))
    assert (len(hub.requests), pauses) == (1, [])


def test_the_hub_says_how_long_to_wait_within_reason(hub, pauses):
    hub.faults.append(Fault(status=429, retry_after=7, times=1))
    assert client.fetch(Source(NAME)).commit
    assert pauses == [7]
    shutil.rmtree(Source(NAME).cache)
    hub.faults.append(Fault(status=429, retry_after=3600))
    with pytest.raises(ModelNotFoundError, match="limits how often"):
        client.fetch(Source(NAME))
    assert pauses == [7]


def test_no_network_and_nothing_cached(hub, tmp_path):
    hub.stop()
    with pytest.raises(ModelNotFoundError) as caught:
        load(revision="v1")
    for words in ("cannot be reached", str(tmp_path / "cache"), f"`retrievers models fetch {NAME}@v1`"):
        assert words in str(caught.value)


def test_offline_and_nothing_cached(hub, monkeypatch):
    with pytest.raises(ModelNotFoundError, match=r"local_files_only=True .*--offline.* keeps from asking"):
        load(local_files_only=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE keeps from asking"):
        load()
    assert hub.requests == []


@pytest.mark.parametrize("name", ["./typo", "../typo", "/no/such", "a/b/c", "~/models/x"])
def test_a_path_that_is_not_there_speaks_of_a_directory(hub, name):
    with pytest.raises(ModelNotFoundError, match="there is no such directory"):
        load(name)
    assert hub.requests == []


# Code of another repository

CODE = """
from transformers import BertModel
from .helper import FACTOR

class TinyModel(BertModel):
    def forward(self, *arguments, **options):
        output = super().forward(*arguments, **options)
        output.last_hidden_state = FACTOR * output.last_hidden_state.roll(1, -1)
        return output
"""


def test_code_of_another_repository_is_pinned_to_a_commit_and_part_of_the_identity(hub, wanted):
    config = json.loads((GOLDEN / "pylate-bert" / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModel": "acme/code--modeling_tiny.TinyModel"}
    hub.commit(NAME, {"config.json": json.dumps(config).encode()})
    first = hub.commit(
        "acme/code", {"modeling_tiny.py": CODE.encode(), "helper.py": b"FACTOR = 1", "x.bin": b"x"}
    )
    with pytest.raises(
        InvalidInputError, match=f"at commit {hub.heads[NAME]['main']} .*acme/code--modeling_tiny"
    ):
        load()
    one = load(trust_remote_code=True)
    assert type(one.model[0].model).__name__ == "TinyModel"
    assert np.abs(rows(one) - wanted).max() > 0.1
    assert one.fingerprint["documents"]["other_code"] == {"acme/code": first}
    assert not [path for _, path, _ in hub.requests if "x.bin" in path]
    hub.commit("acme/code", {"helper.py": b"FACTOR = -1"})
    other = load(trust_remote_code=True)
    assert np.abs(rows(one) - rows(other)).max() > 0.1
    [said] = compare(one.fingerprint, other.fingerprint)
    assert "code_revision" in said
    assert first in said
    again = load(trust_remote_code=True, model_kwargs={"code_revision": first})
    assert compare(one.fingerprint, again.fingerprint) is None
    np.testing.assert_array_equal(rows(one), rows(again))
    hub.stop()
    offline = load(trust_remote_code=True, local_files_only=True)
    assert compare(other.fingerprint, offline.fingerprint) is None


# Identity


def test_the_same_bytes_are_the_same_model_by_every_name(hub, tmp_path):
    hub.commit("other/name", GOLDEN / "pylate-bert")
    hub.renamed["acme/old"] = NAME
    here = load(str(GOLDEN / "pylate-bert")).fingerprint
    for name in (NAME, "other/name", "acme/old"):
        there = load(name).fingerprint
        assert compare(here, there) is None
        assert there["origin"] == {"kind": "hub", "name": name, "commit": client.fetch(Source(name)).commit}


def test_a_collection_goes_on_with_its_commit_when_the_hub_has_moved(cached, tmp_path):
    first = cached.heads[NAME]["main"]
    with Collection(tmp_path / "c", load()) as collection:
        collection.add(TEXTS)
    cached.commit(
        NAME, {"1_Dense/model.safetensors": (GOLDEN / "native-lfm2/1_Dense/model.safetensors").read_bytes()}
    )
    with Collection(tmp_path / "c") as collection:
        assert collection.encoder.fingerprint["origin"]["commit"] == first
        assert len(collection.search("coffee")) == 2
    with pytest.raises(ModelMismatchError) as caught:
        Collection(tmp_path / "c", load())
    for words in (first, cached.heads[NAME]["main"], "the weights are others"):
        assert words in str(caught.value)


def test_a_commit_that_is_gone_is_named_with_the_one_that_is_there(hub, tmp_path):
    first = hub.heads[NAME]["main"]
    Collection(tmp_path / "c", load()).close()
    shutil.rmtree(tmp_path / "cache")
    second = hub.commit(NAME, {"README.md": b"history was rewritten"})
    hub.history[NAME].remove(first)
    with Collection(tmp_path / "c") as collection, pytest.raises(ModelNotFoundError) as caught:
        _ = collection.encoder
    assert first in str(caught.value)
    assert second in str(caught.value)
    with Collection(tmp_path / "c", load()) as collection:  # no row has changed
        assert len(collection) == 0


def test_the_cache_is_listed_with_commits_and_sizes(cached):
    [model] = client.cached_models()
    assert (model.name, model.commit, model.revisions) == (NAME, cached.heads[NAME]["main"], ("main",))
    assert model.size > 10_000


def test_a_cached_model_is_read_again_and_compared_when_that_is_asked_for(cached):
    assert client.verify(Source(NAME)) == []
    weights = (client.fetch(Source(NAME)).directory / "model.safetensors").resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert client.verify(Source(NAME)) == ["model.safetensors"]
    with pytest.raises(ModelNotFoundError, match="has no whole copy"):
        client.verify(Source("acme/none"))


def test_what_is_damaged_is_removed_and_comes_anew(cached):
    directory = client.fetch(Source(NAME)).directory
    weights = directory / "model.safetensors"
    content = bytearray(sound := weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    assert client.discard_damaged(Source(NAME)) == ["model.safetensors"]
    assert client.fetch(Source(NAME)).directory == directory
    assert weights.read_bytes() == sound
    assert client.discard_damaged(Source(NAME)) == []
    assert client.discard_damaged(Source("acme/none")) == []


@pytest.mark.parametrize("how", ["gone", "shorter"])
def test_a_file_that_comes_a_second_time_is_compared_again(cached, how):
    weights = client.fetch(Source(NAME)).directory / "model.safetensors"
    sound = weights.read_bytes()
    if how == "gone":
        weights.resolve().unlink()
        cached.faults.append(Fault(r"GET /cdn/", corrupt=True, times=1))
    else:
        weights.resolve().write_bytes(sound[:-1])
    client.fetch(Source(NAME))
    assert weights.read_bytes() == sound


def test_what_has_no_revisions_is_not_asked_for_one():
    with pytest.raises(InvalidInputError, match=r"revision is 'v1', and the model '.*' is a directory"):
        load(str(GOLDEN / "pylate-bert"), revision="v1")
    with pytest.raises(InvalidInputError, match="comes with a Python package"):
        load("offline/minilm", revision="v1")


def run_python(hub, cache, statement):
    program = (
        "import os\nfrom retrievers.encoder import hub as client\nfrom retrievers.encoder.source import Source\n"
        "import huggingface_hub.hf_api, huggingface_hub.file_download, huggingface_hub._snapshot_download\n"
        + statement
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HOME": str(cache.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
