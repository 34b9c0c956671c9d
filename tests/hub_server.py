"""A Hub on the loopback: the endpoints that huggingface_hub really uses, over made-up models.

    with serve({"org/name": HubRepo({"config.json": b"{}"})}) as hub:
        resolve("org/name", SourceOptions(endpoint=hub.url, cache_dir=tmp_path))

It answers ``/api/models`` with the models that a query asks for, page by page,
``/api/models/NAME[/revision/REV]``, ``/api/models/NAME/tree/SHA`` and
``/NAME/resolve/SHA/FILE`` (HEAD and GET, with ranges) with the headers and error codes of the real
one.  `HubRepo.cut` breaks connections off, and `HubRepo.ranges` spoils what is asked for in parts.
With a `Limit` it refuses what is too much (429), and says when to ask again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import ceil, inf
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["GOOD_TOKEN", "KNOWN_TOKEN", "HubRepo", "HubServer", "Limit", "serve"]

GOOD_TOKEN = "hf_good"  # noqa: S105 - it opens nothing but this server
"""The token that opens gated and private models."""
KNOWN_TOKEN = "hf_other"  # noqa: S105 - likewise
"""A valid token of somebody who may see neither."""
_LARGE = (".safetensors", ".bin")
_PAGE = 2
"""Models of a page of a query."""

Step = Literal["revision", "tree", "head", "get", "range"]
Ranges = Literal["right", "ignored", "refused", "shifted", "longer", "packed"]


@dataclass(frozen=True)
class HubRepo:
    """One model as the server tells it."""

    files: Mapping[str, bytes]
    """Content by path; safetensors and bin files are served as large files with a SHA-256 tag."""
    gated: bool = False
    """Whether its files, though not its listing, need `GOOD_TOKEN`."""
    private: bool = False
    """Whether it is hidden without `GOOD_TOKEN`."""
    security: Mapping[str, object] | None = None
    """``securityRepoStatus``; None for a Hub that says nothing."""
    branches: tuple[str, ...] = ("main",)
    """Names of the commit."""
    before: HubRepo | None = None
    """An earlier commit, which its id alone names."""
    cut: Mapping[Step, int] = field(default_factory=dict)
    """Bytes of the body after which the connection breaks off, by step; 0 sends no answer."""
    ignores_ranges: bool = False
    """Whether a resumed download starts again from the first byte."""
    ranges: Ranges = "right"
    """What becomes of requests for a part of a file with a start and an end."""
    listing: tuple[Mapping[str, object], ...] | None = None
    """What the tree says, if not the truth."""
    status: int | None = None
    """HTTP status of every answer, if not the right one."""
    delay: float = 0.0
    """Seconds before every answer."""
    task: str = "feature-extraction"
    """What queries find it by."""
    library: str = "transformers"
    """The same."""
    downloads: int = 0
    """The same."""

    @property
    def sha(self) -> str:
        """Commit id: a function of the files."""
        lines = (f"{name} {_tag(name, body)}" for name, body in sorted(self.files.items()))
        return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Limit:
    """How much a visitor may ask."""

    requests: int
    """Requests that are answered in a window."""
    seconds: float
    """Length of the window, which begins with the first of them."""


class _Turnstile:
    """Counts the requests of a window."""

    def __init__(self, limit: Limit | None) -> None:
        """Let everybody in without a ``limit``."""
        self._limit = limit
        self._lock = Lock()
        self._began, self._count = -inf, 0

    def refuses_for(self) -> float:
        """Seconds until the next request would be answered; 0 if this one is."""
        if self._limit is None:
            return 0.0
        with self._lock:
            now = monotonic()
            if now - self._began >= self._limit.seconds:
                self._began, self._count = now, 0
            self._count += 1
            if self._count <= self._limit.requests:
                return 0.0
            return self._began + self._limit.seconds - now


@dataclass(frozen=True)
class HubServer:
    """A running server."""

    url: str
    """Its address, for ``HF_ENDPOINT``."""
    requests: list[str]
    """Method and path of every request so far, in order of arrival."""

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Environment of a process that knows this Hub only, and ``home`` as its only home."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
        ours = {"HF_ENDPOINT": self.url, "HOME": str(home), "NO_PROXY": "127.0.0.1"}
        return inherited | ours | ({} if token is None else {"HF_TOKEN": token})


@contextmanager
def serve(repos: Mapping[str, HubRepo], limit: Limit | None = None) -> Iterator[HubServer]:
    """Serve ``repos`` by name on a free port of the loopback until the block ends."""
    log: list[str] = []

    class Handler(_Handler):
        """The handler, with its models."""

        models = repos
        requests = log
        turnstile = _Turnstile(limit)

    server = _Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield HubServer(f"http://127.0.0.1:{server.server_port}", log)
    finally:
        server.is_closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Gives the last answers at once when it closes, and minds no visitor who has left."""

    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        """Serve at ``address``."""
        super().__init__(address, handler)
        self.is_closing = Event()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Report what is not a visitor's doing."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _tag(name: str, body: bytes) -> str:
    """Entity tag: SHA-256 of a large file, git's blob id of any other."""
    if name.endswith(_LARGE):
        return hashlib.sha256(body).hexdigest()
    header = b"blob %d\0" % len(body)
    return hashlib.sha1(header + body, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request; HTTP/1.0, so that every answer ends its connection."""

    server: _Server
    models: Mapping[str, HubRepo]
    requests: list[str]
    turnstile: _Turnstile

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_HEAD(self) -> None:
        """Answer a question about a file."""
        self._answer()

    def do_GET(self) -> None:
        """Answer a question or send a file."""
        self._answer()

    def _answer(self) -> None:
        """Find the model and the endpoint."""
        address = urlsplit(self.path)
        path = unquote(address.path).strip("/")
        self.requests.append(f"{self.command} /{path}")
        if wait := self.turnstile.refuses_for():
            self._refuse(429, wait=ceil(wait))
            return
        if path == "api/models":
            self._list(parse_qs(address.query))
            return
        api = path.startswith("api/models/")
        path = path.removeprefix("api/models/")
        name = next((n for n in self.models if f"{path}/".startswith(f"{n}/")), "")
        repo = self.models.get(name)
        if repo is not None:
            self.server.is_closing.wait(repo.delay)
        if repo is not None and repo.status is not None:
            self._refuse(repo.status)
        elif self._token() not in (None, GOOD_TOKEN, KNOWN_TOKEN):
            self._refuse(401, message="Invalid credentials in Authorization header")
        elif repo is None or (repo.private and self._token() != GOOD_TOKEN):
            unknown = 401 if self._token() is None else 404
            self._refuse(unknown, "RepoNotFound", "Repository not found")
        else:
            rest = path.removeprefix(name).strip("/")
            self._serve(name, repo, rest, parse_qs(address.query), api=api)

    def _token(self) -> str | None:
        """The visitor's token."""
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _serve(
        self, name: str, repo: HubRepo, rest: str, query: dict[str, list[str]], *, api: bool
    ) -> None:
        """Answer about a model that the visitor may see."""
        verb, _, rest = rest.partition("/")
        if repo.before is not None and f"{rest}/".startswith(f"{repo.before.sha}/"):
            repo = repo.before
        revision = next(
            (b for b in (*repo.branches, repo.sha) if f"{rest}/".startswith(f"{b}/")), ""
        )
        if (rest or not api) and not revision:
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
        elif api and verb == "tree":
            self._send_json(
                _tree(repo) if repo.listing is None else repo.listing, repo.cut.get("tree")
            )
        elif api:
            info: dict[str, object] = {"id": name, "sha": repo.sha}
            if repo.security is not None and "securityStatus" in query:
                info["securityRepoStatus"] = dict(repo.security)
            self._send_json(info, repo.cut.get("revision"))
        elif repo.gated and self._token() != GOOD_TOKEN:
            self._refuse(401 if self._token() is None else 403, "GatedRepo", "Access is restricted")
        else:
            self._send_file(repo, rest.removeprefix(revision).strip("/"))

    def _list(self, query: dict[str, list[str]]) -> None:
        """Send a page of the models that a query asks for."""
        found = _found(self.models, query)
        start = int(query.get("cursor", ["0"])[0])
        limit = int(query.get("limit", ["1000"])[0])
        stop = min(start + _PAGE, limit)
        headers = {"Content-Type": "application/json"}
        if stop < min(limit, len(found)):
            own = {name: values for name, values in query.items() if name != "cursor"}
            more = urlencode({**own, "cursor": [str(stop)]}, doseq=True)
            address = f"http://{self.headers['Host']}/api/models?{more}"
            headers["Link"] = f'<{address}>; rel="next"'
        self._send(json.dumps([_listed(*one) for one in found[start:stop]]).encode(), headers, None)

    def _refuse(
        self, status: int, code: str = "", message: str = "", wait: int | None = None
    ) -> None:
        """Send an error as the Hub does: in headers."""
        self.send_response(status)
        if wait is not None:
            self.send_header("Retry-After", str(wait))
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message or HTTPStatus(status).phrase)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, value: object, cut: int | None) -> None:
        """Send JSON."""
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"}, cut)

    def _send_file(self, repo: HubRepo, path: str) -> None:
        """Send a file of the commit, or a range of it."""
        body = repo.files.get(path)
        if body is None:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": repo.sha, "ETag": f'"{_tag(path, body)}"'}
        if path.endswith(_LARGE):
            headers["X-Linked-ETag"] = headers["ETag"]
            headers["X-Linked-Size"] = str(len(body))
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if last:
            self._send_part(repo, body, headers, int(first), int(last) + 1)
            return
        start = 0 if repo.ignores_ranges else int(first or 0)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        cut = repo.cut.get("head" if self.command == "HEAD" else "get")
        self._send(body[start:], headers, cut)

    def _send_part(
        self, repo: HubRepo, body: bytes, headers: dict[str, str], start: int, stop: int
    ) -> None:
        """Send a part of a file, or what the model's server sends instead."""
        if repo.ranges == "refused":
            self._refuse(416)
            return
        start += repo.ranges == "shifted"
        if repo.ranges == "packed":
            headers["Content-Encoding"] = "gzip"
        if repo.ranges != "ignored":
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
            body = body[start:stop]
        self._send(body + bytes(repo.ranges == "longer"), headers, repo.cut.get("range"))

    def _send(self, body: bytes, headers: Mapping[str, str], cut: int | None) -> None:
        """Send a body, or the first ``cut`` bytes of it; nothing at all if that is 0."""
        if cut == 0:
            return
        self.send_response(206 if "Content-Range" in headers else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])


def _found(models: Mapping[str, HubRepo], query: dict[str, list[str]]) -> list[tuple[str, HubRepo]]:
    """The models that a query asks for, those with the most downloads first if it asks so."""

    def asked(name: str) -> str:
        return query.get(name, [""])[0]

    found = [
        (name, repo)
        for name, repo in models.items()
        if asked("author") in ("", name.partition("/")[0])
        and asked("pipeline_tag") in ("", repo.task)
        and asked("filter") in ("", repo.library)
        and asked("search") in name
        and not repo.private
    ]
    by_downloads = asked("sort") == "downloads"
    return sorted(found, key=lambda one: -one[1].downloads) if by_downloads else found


def _listed(name: str, repo: HubRepo) -> dict[str, object]:
    """A model as a query lists it, with what the Hub knows of its weights."""
    size = sum(len(body) for file, body in repo.files.items() if file.endswith(".safetensors"))
    told = {"parameters": {"F32": size // 4}, "total": size // 4}
    return {"_id": name, "id": name, **({"safetensors": told} if size else {})}


def _tree(repo: HubRepo) -> list[dict[str, object]]:
    """All files, as the tree endpoint lists them."""
    return [
        {"type": "file", "path": name, "size": len(body), "oid": _tag(name, body)[:40]}
        | ({"lfs": _lfs(body)} if name.endswith(_LARGE) else {})
        for name, body in repo.files.items()
    ]


def _lfs(body: bytes) -> dict[str, object]:
    """What the tree tells of a large file."""
    digest = hashlib.sha256(body).hexdigest()
    return {"oid": digest, "sha256": digest, "size": len(body), "pointerSize": 134}
