"""What is deployed fits together: the nodes find each other, and CI asks a server of their version."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "examples" / "qdrant" / "compose.yaml").read_text(encoding="utf-8"))
NODES = COMPOSE["services"]


def test_three_nodes_join_one_cluster():
    assert len(NODES) == 3
    first, *others = NODES
    for name, node in NODES.items():
        port = node["environment"]["QDRANT__CLUSTER__P2P__PORT"]
        command = node["command"]
        assert command[command.index("--uri") + 1] == f"http://{name}:{port}"
        assert node["environment"]["QDRANT__CLUSTER__ENABLED"] == "true"
    for name in others:
        command = NODES[name]["command"]
        assert command[command.index("--bootstrap") + 1] == f"http://{first}:6335"
        assert NODES[name]["depends_on"] == {first: {"condition": "service_healthy"}}
    assert "--bootstrap" not in NODES[first]["command"]


def test_every_node_has_a_key_disks_of_its_own_and_ports_for_this_machine_alone():
    volumes, ports = [], []
    for node in NODES.values():
        assert node["environment"]["QDRANT__SERVICE__API_KEY"].startswith("${QDRANT_API_KEY:?")
        assert all(port.startswith("127.0.0.1:") for port in node["ports"])
        ports += [port.split(":")[1] for port in node["ports"]]
        volumes += [volume.split(":")[0] for volume in node["volumes"]]
    assert len(set(volumes)) == len(volumes) == 6
    assert set(volumes) == set(COMPOSE["volumes"])
    assert len(set(ports)) == len(ports) == 6


def test_ci_runs_the_suites_on_a_server_of_the_version_that_is_deployed():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["qdrant"]
    images = {node["image"] for node in NODES.values()}
    assert images == {job["services"]["qdrant"]["image"]}
    major, minor = re.fullmatch(r"qdrant/qdrant:v(\d+)\.(\d+)\.\d+", *images).groups()
    assert (int(major), int(minor)) >= (1, 17)  # two writers of one document are told apart
    assert job["env"]["QDRANT_URL"] == "http://localhost:6333"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert "make qdrant" in runs
    assert any("tests/qdrant" in run for run in runs)
