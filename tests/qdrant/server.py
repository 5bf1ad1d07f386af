"""A loopback server: the REST interface that the client uses, answered by Qdrant's own engine, with faults on demand.

    with Server() as server:
        client = QdrantClient(url=server.url)
        server.faults.append(Fault("PUT", "/points", status=503))

The client, the wire format and the engine are the real ones. What a cluster adds is not here: shards, replicas, strict
mode, snapshots, gRPC. Needs qdrant-edge-py.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import qdrant_edge as edge

MAX_FLOATS = 1024 * 1024  # of one multivector: a server checks it, the engine does not
MAX_BODY = 32 << 20  # bytes of a request: a server's default


class Refused(Exception):
    """What a server answers with a status of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Fault:
    """Hits the next `times` requests of a method whose path has `part` in it, after `skip` that pass."""

    method: str = ""  # any
    part: str = ""
    status: int | None = None  # answer with it
    reset: bool = False  # close the connection without an answer
    after: bool = False  # do the work first: the answer alone is lost
    hold: threading.Event | None = None  # answer when it is set: the client has given up by then
    times: int = 1
    skip: int = 0
    headers: tuple[tuple[str, str], ...] = ()


# JSON to the objects of the engine


def given(data: dict[str, Any], *names: str, **made: Any) -> dict[str, Any]:
    chosen = {name: data[name] for name in names if data.get(name) is not None}
    return chosen | {key: value for key, value in made.items() if value is not None}


def to_filter(data: dict[str, Any] | None) -> edge.Filter | None:
    if data is None:
        return None

    def many(part: Any) -> list[Any]:
        return [to_condition(one) for one in (part if isinstance(part, list) else [part])]

    names = ("must", "should", "must_not")
    return edge.Filter(**{name: many(data[name]) for name in names if data.get(name) is not None})


def to_condition(data: dict[str, Any]) -> Any:
    if "key" not in data:
        return to_filter(data)
    made: dict[str, Any] = {}
    if (match := data.get("match")) is not None:
        [(kind, value)] = match.items()
        made["match"] = {"value": edge.MatchValue, "any": edge.MatchAny}[kind](value)
    if (bounds := data.get("range")) is not None:
        made["range"] = edge.RangeFloat(**{key: one for key, one in bounds.items() if one is not None})
    return edge.FieldCondition(key=data["key"], **made)


def to_vector(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"indices", "values"}:
        return edge.SparseVector(**value)
    if isinstance(value, dict):
        return {name: to_vector(one) for name, one in value.items()}
    if value and isinstance(value[0], list):
        if sum(map(len, value)) > MAX_FLOATS:
            raise Refused(422, f"Validation error: a multivector has at most {MAX_FLOATS} numbers")
        if not value[0]:
            raise Refused(422, "Validation error: all vectors must be non-empty")  # the engine would panic
    return value


def to_params(data: dict[str, Any] | None) -> edge.SearchParams | None:
    if data is None:
        return None
    codes = data.get("quantization")
    made = (
        edge.QuantizationSearchParams(**given(codes, "ignore", "rescore", "oversampling")) if codes else None
    )
    return edge.SearchParams(**given(data, "hnsw_ef", "exact", "indexed_only", quantization=made))


def to_query(query: Any, using: str | None) -> Any:
    nearest = query["nearest"] if isinstance(query, dict) and "nearest" in query else query
    return edge.Query.Nearest(to_vector(nearest), using=using or "")


def to_prefetches(data: Any) -> list[edge.Prefetch]:
    return [
        edge.Prefetch(
            limit=one.get("limit") or 10,
            query=to_query(one["query"], one.get("using")),
            **given(one, params=to_params(one.get("params")), filter=to_filter(one.get("filter"))),
        )
        for one in (data if isinstance(data, list) else [data] if data else [])
    ]


def to_payload(value: Any) -> Any:
    return edge.PayloadSelector.Include(value["include"]) if isinstance(value, dict) else value


def to_request(data: dict[str, Any]) -> edge.QueryRequest:
    return edge.QueryRequest(
        limit=data.get("limit") or 10,
        query=to_query(data["query"], data.get("using")),
        prefetches=to_prefetches(data.get("prefetch")),
        with_payload=to_payload(data.get("with_payload") or False),
        with_vector=data.get("with_vector") or False,
        **given(data, params=to_params(data.get("params")), filter=to_filter(data.get("filter"))),
    )


QUANTIZATION: dict[str, Callable[[dict[str, Any]], Any]] = {
    "scalar": lambda one: edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, **given(one, "quantile", "always_ram")
    ),
    "binary": lambda one: edge.BinaryQuantizationConfig(**given(one, "always_ram")),
}


def to_vector_params(data: dict[str, Any]) -> edge.EdgeVectorParams:
    made: dict[str, Any] = {}
    if data.get("multivector_config"):
        made["multivector_config"] = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    if data.get("datatype"):
        made["datatype"] = getattr(edge.VectorStorageDatatype, data["datatype"].capitalize())
    if (m := (data.get("hnsw_config") or {}).get("m")) is not None:
        made["hnsw_config"] = edge.HnswIndexConfig(m=m, ef_construct=100, full_scan_threshold=10_000)
    for kind, value in (data.get("quantization_config") or {}).items():
        made["quantization_config"] = QUANTIZATION[kind](value)
    distance = getattr(edge.Distance, data["distance"])
    return edge.EdgeVectorParams(data["size"], distance, on_disk=data.get("on_disk"), **made)


def to_sparse_params(data: dict[str, Any]) -> edge.EdgeSparseVectorParams:
    made = {"modifier": edge.Modifier.Idf} if data.get("modifier") == "idf" else {}
    return edge.EdgeSparseVectorParams(**made)


def from_point(found: Any, *, scored: bool = False) -> dict[str, Any]:
    made = {"id": found.id if isinstance(found.id, int) else str(found.id), "payload": found.payload}
    if found.vector is not None:
        made["vector"] = found.vector
    return made | ({"version": found.version, "score": found.score} if scored else {})


class Engine:
    """Collections as shards of the engine in a directory; one request at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.lock = directory, threading.Lock()
        self.shards: dict[str, edge.EdgeShard] = {}
        self.bodies: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.version = "1.20.0"
        self.made = 0

    def real(self, name: str) -> str:
        return self.aliases.get(name, name)

    def shard(self, name: str) -> edge.EdgeShard:
        if self.real(name) not in self.shards:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.shards[self.real(name)]

    def create(self, name: str, body: dict[str, Any]) -> bool:
        if name in self.shards:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        vectors = {key: to_vector_params(one) for key, one in body["vectors"].items()}
        sparse = {key: to_sparse_params(one) for key, one in (body.get("sparse_vectors") or {}).items()}
        config = edge.EdgeConfig(vectors, sparse or None)
        self.made += 1
        self.shards[name] = edge.EdgeShard.create(str(self.directory / str(self.made)), config)
        self.bodies[name] = body
        return True

    def delete(self, name: str) -> bool:
        if name not in self.shards:
            return False
        self.shards.pop(name).close()
        self.bodies.pop(name)
        return True

    def switch(self, actions: list[dict[str, Any]]) -> bool:
        for action in actions:
            [(kind, body)] = action.items()
            if kind == "delete_alias":
                self.aliases.pop(body["alias_name"], None)
            else:
                self.shard(body["collection_name"])
                self.aliases[body["alias_name"]] = body["collection_name"]
        return True

    def describe(self, name: str) -> dict[str, Any]:
        info, body = self.shard(name).info(), self.bodies[self.real(name)]
        params = {
            "vectors": body["vectors"],
            "shard_number": body.get("shard_number") or 1,
            "on_disk_payload": True,
        }
        schema = {
            key: {"data_type": str(one.data_type).rsplit(".")[-1].lower(), "points": one.points}
            for key, one in info.payload_schema.items()
        }
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": info.segments_count,
            "points_count": info.points_count,
            "payload_schema": schema,
            "config": {
                "params": params,
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "metadata": body.get("metadata"),
            },
        }

    def update(self, name: str, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        make, shard = edge.UpdateOperation, self.shard(name)
        ids, filter = body.get("points"), to_filter(body.get("filter"))
        if kind == "upsert":
            points = [
                edge.Point(one["id"], to_vector(one["vector"]), one.get("payload") or {}) for one in ids
            ]
            modes = {"insert_only": edge.UpdateMode.InsertOnly, "update_only": edge.UpdateMode.UpdateOnly}
            condition = to_filter(body.get("update_filter"))
            operation = make.upsert_points(points, condition, modes.get(body.get("update_mode")))
        elif kind == "delete":
            operation = make.delete_points(ids) if ids is not None else make.delete_points_by_filter(filter)
        elif kind == "set_payload":
            operation = make.set_payload_by_filter(filter, body["payload"], None)
        elif kind == "delete_payload":
            operation = make.delete_payload_by_filter(filter, body["keys"])
        else:
            schema = body["field_schema"]
            schema = schema if isinstance(schema, str) else schema["type"]
            operation = make.create_field_index(
                body["field_name"], getattr(edge.PayloadSchemaType, schema.capitalize())
            )
        shard.update(operation)
        return {"operation_id": 0, "status": "completed"}

    def scroll(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        made = given(body, "offset", filter=to_filter(body.get("filter")))
        if (order := body.get("order_by")) is not None:
            falling = order.get("direction") == "desc"
            direction = edge.Direction.Desc if falling else edge.Direction.Asc
            made["order_by"] = edge.OrderBy(order["key"], direction)
        payload = to_payload(body.get("with_payload", True))
        request = edge.ScrollRequest(
            limit=body.get("limit") or 10,
            with_payload=payload,
            with_vector=body.get("with_vector") or False,
            **made,
        )
        found, following = self.shard(name).scroll(request)
        offset = following if following is None or isinstance(following, int) else str(following)
        return {"points": [from_point(one) for one in found], "next_page_offset": offset}

    def query(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        found = self.shard(name).query(to_request(body))
        return {"points": [from_point(one, scored=True) for one in found]}

    def retrieve(self, name: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        payload = to_payload(body.get("with_payload", True))
        found = self.shard(name).retrieve(body["ids"], payload, body.get("with_vector") or False)
        return [from_point(one) for one in found]

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Any:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        with self.lock:
            match (method, parts):
                case ("GET", [""]):
                    return {"title": "qdrant - vector search engine", "version": self.version}
                case ("GET", ["collections"]):
                    return {"collections": [{"name": name} for name in self.shards]}
                case ("POST", ["collections", "aliases"]):
                    return self.switch(body["actions"])
                case ("GET", ["aliases"]):
                    pairs = self.aliases.items()
                    return {
                        "aliases": [{"alias_name": one, "collection_name": other} for one, other in pairs]
                    }
                case ("GET", ["collections", name, "exists"]):
                    return {"exists": self.real(name) in self.shards}
                case ("GET", ["collections", name]):
                    return self.describe(name)
                case ("PUT", ["collections", name]):
                    return self.create(name, body)
                case ("DELETE", ["collections", name]):
                    return self.delete(name)
                case ("PUT", ["collections", name, "index"]):
                    return self.update(name, "index", body)
                case ("PUT", ["collections", name, "points"]):
                    return self.update(name, "upsert", body)
                case ("POST", ["collections", name, "points", "delete"]):
                    return self.update(name, "delete", body)
                case ("POST", ["collections", name, "points", "payload", "delete"]):
                    return self.update(name, "delete_payload", body)
                case ("POST", ["collections", name, "points", "batch"]):
                    pairs = [next(iter(one.items())) for one in body["operations"]]
                    return [self.update(name, kind, one) for kind, one in pairs]
                case ("POST", ["collections", name, "points", "query", "batch"]):
                    return [self.query(name, one) for one in body["searches"]]
                case ("POST", ["collections", name, "points", "count"]):
                    request = edge.CountRequest(body.get("exact", True), to_filter(body.get("filter")))
                    return {"count": self.shard(name).count(request)}
                case ("POST", ["collections", name, "points"]):
                    return self.retrieve(name, body)
                case ("POST", ["collections", name, "points", "scroll"]):
                    return self.scroll(name, body)
        raise Refused(501, f"the fixture does not do {method} {path}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        self.server.seen.append((self.command, path, len(raw)))
        self.server.bodies.append(raw)
        self.server.ports.append(self.client_address[1])
        fault = self.server.fault(self.command, path)
        if fault and not fault.after:
            return self.fail(fault)
        status, result = 200, self.work(path, raw)
        if isinstance(result, Refused):
            status, result = result.status, {"status": {"error": str(result)}}
        if fault:
            return self.fail(fault)
        return self.send(status, json.dumps({**result, "time": 0}).encode())

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do

    def work(self, path: str, raw: bytes) -> Any:
        key = self.server.key
        try:
            if key is not None and self.headers.get("api-key") != key and path != "/":
                raise Refused(401, "Must provide an API key or an Authorization bearer token")
            if len(raw) > MAX_BODY:
                raise Refused(413, f"Payload reached size limit: {len(raw)} bytes")
            made = self.server.engine.answer(self.command, path, json.loads(raw) if raw else {})
            return made if path == "/" else {"result": made, "status": "ok"}
        except Refused as refused:
            return refused
        except Exception as error:  # the engine's own are plain
            return Refused(400, f"Wrong input: {error}")

    def fail(self, fault: Fault) -> None:
        if fault.hold is not None:
            fault.hold.wait()
        if fault.status:
            error = json.dumps({"status": {"error": "injected"}, "time": 0}).encode()
            return self.send(fault.status, error, fault.headers)
        self.close_connection = True
        return self.connection.close()

    def send(self, status: int, data: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        try:
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), *headers):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # the client did not wait

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface while it is open.

    Attributes:
        url: where.
        faults: what the next requests meet.
        seen: method, path and bytes of each request.
        ports: from which each request came: one for each connection.
        key: what a client has to send; None lets everybody in.
    """

    daemon_threads = True

    def __init__(self, key: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = Path(tempfile.mkdtemp())
        self.engine = Engine(self.directory)
        self.key = key
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, int]] = []
        self.bodies: list[bytes] = []
        self.ports: list[int] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def reset(self) -> None:
        """Without faults, key and history; what is stored stays."""
        self.faults.clear()
        self.seen.clear()
        self.bodies.clear()
        self.ports.clear()
        self.key, self.engine.version = None, "1.20.0"

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in ("", method) and fault.part in path and fault.times:
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def count(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in path for _, path, _ in self.seen)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        for shard in self.engine.shards.values():
            shard.close()
        shutil.rmtree(self.directory, ignore_errors=True)
