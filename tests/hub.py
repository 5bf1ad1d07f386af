"""A model hub on the loopback interface, with the hub's protocol and its faults. It needs the standard library alone.

    with Hub() as hub:
        commit = hub.commit("acme/tiny", directory)              # moves main; branch="v1" moves another, or makes it
        hub.commit("acme/tiny", {"config.json": b"{}"})          # the files of main, with this one in its place
        hub.tag("acme/tiny", "v1.0", commit)
        hub.faults.append(Fault(r"GET .*model\\.safetensors|GET /cdn/", cut=1000, times=1))
        hub.gated["acme/tiny"] = "hf_secret"                     # and hub.private; hub.renamed["acme/old"] = new
        hub.stop(); hub.start()                                  # gone, and there again under the same address
        assert ("GET", "/api/models/acme/tiny", 200) in hub.requests

A small file is sent by a relative redirect and named by git's sha1 of it. A large one is sent by an absolute redirect
to another host and named by its sha256. A repository that is private or absent is a 401, or a 404 to a client with a
token. The description of a gated one is public, its files are a 401 or 403.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import pytest

LARGE = 1 << 20
LARGE_NAMES = (".safetensors", ".bin", ".onnx", ".pt")


@dataclass
class Fault:
    """What goes wrong with the requests whose "METHOD /path?query" the pattern is found in."""

    pattern: str = ""
    status: int | None = None  # this answer in place of the true one: 403, 429, 500, 503
    cut: int | None = None  # the connection closes after so many bytes of a body
    corrupt: bool = False  # the middle byte of a body is another
    retry_after: int | None = None  # seconds that an answer of such a status asks to wait
    delay: float = 0.0  # seconds before the answer
    rate: int | None = None  # bytes of a body a second
    times: int | None = None  # how many requests it meets; None for all


class Hub:
    """Serves while it is started.

    Attributes:
        commits: commit → path → bytes.
        heads: repository → branch or tag → commit.
        gated, private: repository → the token that opens it.
        renamed: old name → new name.
        requests: method, path with query, status of each answer.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.heads: dict[str, dict[str, str]] = {}
        self.history: dict[str, list[str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.gated: dict[str, str] = {}
        self.private: dict[str, str] = {}
        self.renamed: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, int]] = []
        self.lock = threading.Lock()
        self.gone = threading.Event()  # set while the hub is stopped: an answer that waits gives up
        self._port = 0
        self._server: Server | None = None

    def commit(self, name: str, files: Mapping[str, bytes | None] | Path, branch: str = "main") -> str:
        """A branch's files with these in their place (None removes one), or a directory's alone. Returns the commit."""
        heads = self.heads.setdefault(name, {})
        if isinstance(files, Path):
            tree: dict[str, bytes | None] = {
                path.relative_to(files).as_posix(): path.read_bytes()
                for path in files.rglob("*")
                if path.is_file()
            }
        else:
            tree = {**self.commits.get(heads.get(branch, heads.get("main", "")), {}), **files}
        kept = {path: content for path, content in sorted(tree.items()) if content is not None}
        identity = name, len(self.commits), [(path, blob_id(path, content)) for path, content in kept.items()]
        commit = heads[branch] = hashlib.sha1(repr(identity).encode()).hexdigest()
        self.commits[commit] = kept
        self.blobs |= {blob_id(path, content): content for path, content in kept.items()}
        self.history.setdefault(name, []).append(commit)
        return commit

    def tag(self, name: str, tag: str, commit: str) -> None:
        self.heads[name][tag] = commit

    def revision(self, name: str, asked: str) -> str | None:
        """Branch, tag, or at least 7 digits of a commit → commit."""
        found = [commit for commit in self.history[name] if len(asked) >= 7 and commit.startswith(asked)]
        return self.heads[name].get(asked, found[0] if found else None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Hub:
        self.gone.clear()
        self._server = Server(("127.0.0.1", self._port), type("BoundHandler", (Handler,), {"hub": self}))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        self.gone.set()
        server.shutdown()
        server.server_close()
        for connection in list(server.live):  # a client that kept its connection is not to be served either
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def asked_by_this_process(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A hub that this process's huggingface_hub asks; what it gets is kept in cache."""
    from huggingface_hub import constants

    with Hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache.with_name("no token")))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)
        yield hub


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.live: set[socket.socket] = set()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.live.add(self.connection)

    def finish(self) -> None:
        self.server.live.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        with self.hub.lock:
            request = f"{self.command} {self.path}"
            met = [one for one in self.hub.faults if one.times != 0 and re.search(one.pattern, request)]
            self.fault = met[0] if met else Fault()
            if self.fault.times:
                self.fault.times -= 1
        self.hub.gone.wait(self.fault.delay)
        path, _, query = self.path.partition("?")
        # Data sets lie under another prefix, and are served as models are.
        path = re.sub(r"^/api(/resolve-cache)?/datasets/", r"/api\1/models/", path)
        path = path.removeprefix("/datasets")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.fault.status is not None:
            asked = {"Retry-After": str(self.fault.retry_after)} if self.fault.retry_after else {}
            limit = f'"api";r={int(self.fault.status != 429)};t=1'
            return self.send(self.fault.status, b"{}", RateLimit=limit, **asked)
        if path.startswith("/cdn/"):
            return self.send(200, self.hub.blobs[path[5:]])
        pattern = r"(/api(?:/resolve-cache)?/models)?/([^/]+/[^/]+)(?:/([\w-]+)(?:/([^/]+)(?:/(.+))?)?)?"
        found = re.fullmatch(pattern, path)
        if not found:
            return self.error(404, "", "Not found")
        api = found[1]
        name, kind, asked, file = (unquote(part or "") for part in found.groups()[1:])
        if api and "resolve-cache" in api:
            kind, asked, file = "cache", kind, "/".join(filter(None, (asked, file)))
        if name in self.hub.renamed:
            return self.send(307, b"", Location=self.path.replace(name, self.hub.renamed[name], 1))
        if name not in self.hub.heads or self.hub.private.get(name, token) != token:
            return self.error(404 if token else 401, "RepoNotFound", "Repository not found")
        commit = self.hub.revision(name, asked or "main")
        if not commit:
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {asked}")
        if kind == "tree" or (api and kind in ("", "revision")):
            return self.describe(name, commit, kind, file, query.lower())
        if self.hub.gated.get(name, token) != token:
            return self.error(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if kind not in ("resolve", "cache") or file not in self.hub.commits[commit]:
            return self.error(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        content = self.hub.commits[commit][file]
        blob = blob_id(file, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob}"'}
        if kind == "cache":
            return self.send(200, content, **headers)
        headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{blob}"'}
        if len(blob) == 64:
            # Another host than 127.0.0.1, as the hub's store of large files is.
            elsewhere = f"http://localhost:{self.server.server_address[1]}"
            return self.send(302, b"", Location=f"{elsewhere}/cdn/{blob}", **headers)
        place = f"/api/resolve-cache/models/{name}/{commit}/{path.split('/', 5)[5]}"
        return self.send(307, b"", Location=place, **headers)

    do_HEAD = do_GET

    def describe(self, name: str, commit: str, kind: str, under: str, query: str) -> None:
        files = {
            path: content
            for path, content in self.hub.commits[commit].items()
            if f"{path}/".startswith(under)
        }
        if kind != "tree":
            siblings = [{"rfilename": path} for path in files]
            if "blobs=true" in query:
                siblings = [{"rfilename": path, **entry(path, content)} for path, content in files.items()]
            about = {
                "id": name,
                "modelId": name,
                "sha": commit,
                "siblings": siblings,
                "tags": [],
                "downloads": 0,
                "private": name in self.hub.private,
                "gated": "manual" if name in self.hub.gated else False,
            }
            return self.send(200, json.dumps(about).encode())
        if not files:
            return self.error(404, "EntryNotFound", f"{under} does not exist", **{"X-Repo-Commit": commit})
        entries = [
            {"type": "file", "path": path, "oid": one.pop("blobId"), **one}
            for path, content in files.items()
            if "recursive=true" in query or "/" not in path[len(under) :].strip("/")
            for one in [entry(path, content)]
        ]
        for one in entries:
            if "lfs" in one:
                one["lfs"]["oid"] = one["lfs"].pop("sha256")
        return self.send(200, json.dumps(entries).encode())

    def error(self, status: int, code: str, message: str, **headers: str) -> None:
        self.send(status, b"{}", **{"X-Error-Code": code, "X-Error-Message": message, **headers})

    def send(self, status: int, body: bytes, **headers: str) -> None:
        middle, fault = len(body) // 2, self.fault
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if fault.corrupt and body:
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        if status == 200 and wanted:
            start, whole = int(wanted[1]), len(body)
            status, body = (206, body[start:]) if start < whole else (416, b"")
            headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}" if body else f"bytes */{whole}"
        self.hub.requests.append((self.command, self.path, status))
        length, body = str(len(body)), b"" if self.command == "HEAD" else body
        sent, step = body[: fault.cut], max(1, fault.rate // 20) if fault.rate else 1 << 20
        self.close_connection = len(sent) < len(body)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for key, value in {**headers, "Content-Length": length}.items():
                self.send_header(key, value)
            self.end_headers()
            for at in range(0, len(sent), step):
                self.wfile.write(sent[at : at + step])
                if fault.rate and self.hub.gone.wait(0.05):
                    return

    def log_message(self, *_: object) -> None:
        pass


def entry(path: str, content: bytes) -> dict:
    """What the hub tells of a file: its size and the name of its blob; of a large one also its sha256."""
    blob = blob_id(path, content)
    about = {"size": len(content), "blobId": blob[:40]}
    if len(blob) == 64:
        about["lfs"] = {"sha256": blob, "size": len(content), "pointerSize": 130}
    return about


def blob_id(path: str, content: bytes) -> str:
    """sha256 of a large file, git's sha1 of a small one."""
    if path.endswith(LARGE_NAMES) or len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
