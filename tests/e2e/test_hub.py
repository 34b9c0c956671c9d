"""Models of the Hub, through huggingface_hub, from a server on the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants
import huggingface_hub.file_download
import huggingface_hub.utils
import pytest

from plmscan.errors import (
    AccessDeniedError,
    ArtifactError,
    HubUnreachableError,
    ModelNotFoundError,
    PlmscanError,
    RevisionNotFoundError,
    SourceError,
)
from plmscan.kinds import Kind
from plmscan.source import Artifact, HubIssue, HubStatus, ListedFile, SourceOptions, resolve
from tests.hub_server import GOOD_TOKEN, KNOWN_TOKEN, HubRepo, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CONFIG = {"config.json": b'{"model_type": "bert"}'}
FILES = CONFIG | {
    ".gitattributes": b"*.bin filter=lfs",
    "README.md": b"words",
    "big.py": b"#" * (2**20 + 1),
    "large.onnx": bytes(2**21),
    "model.safetensors": b"weights",
    "modeling_own.py": b"raise SystemExit",
    "onnx/model.onnx": b"weights",
    "pytorch_model.bin": b"pickle",
    "tokenizer.json": b"{}",
}
NAME = "org/name"


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts huggingface_hub pauses for a hundredth of its second."""
    clock = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr(huggingface_hub.file_download, "time", clock)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", clock)


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Artifact]:
    """`resolve` with a cache of its own, and with no token but the one given."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))

    def run(url: str, source: str = NAME, token: str = "", **options: Any) -> Artifact:  # noqa: ANN401
        monkeypatch.setenv("HF_TOKEN", token)
        defaults: dict[str, Any] = {"endpoint": url, "cache_dir": tmp_path / "cache"}
        return resolve(source, SourceOptions(**defaults | options))

    return run


def paths(artifact: Artifact) -> list[str]:
    """Names of the files that were read."""
    return [file.path for file in artifact.files]


def test_the_commit_is_pinned_first_and_only_needed_files_are_fetched(
    fetch: Callable[..., Artifact],
) -> None:
    """Every request after the first names the commit; of what is large and unused, parts come."""
    repo = HubRepo(FILES)

    with serve({NAME: repo}) as hub:
        artifact = fetch(hub.url)

    assert artifact.revision == repo.sha
    assert (artifact.id, artifact.weights) == (NAME, ("model.safetensors",))
    assert paths(artifact) == [
        "big.py", "config.json", "model.safetensors", "modeling_own.py", "onnx/model.onnx",
        "pytorch_model.bin", "tokenizer.json",
    ]  # fmt: skip
    assert artifact.not_fetched == (
        ListedFile(".gitattributes", 16, Kind.TEXT),
        ListedFile("README.md", 5, Kind.TEXT),
        ListedFile("large.onnx", 2**21, Kind.ONNX),
    )
    assert hub.requests[0] == f"GET /api/models/{NAME}"
    assert all(repo.sha in request for request in hub.requests[1:])
    assert {r.rpartition(f"{repo.sha}/")[2] for r in hub.requests if "resolve" in r} == {*FILES}


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (None, None),
        ({"odd": True}, None),
        ({"scansDone": False, "filesWithIssues": []}, HubStatus(scans_done=False, issues=())),
        (
            {"scansDone": True, "filesWithIssues": [{"path": "a.bin", "level": "unsafe"}]},
            HubStatus(scans_done=True, issues=(HubIssue("a.bin", "unsafe"),)),
        ),
    ],
)
def test_the_hub_security_status_is_what_the_hub_says(
    fetch: Callable[..., Artifact], said: Mapping[str, object] | None, status: HubStatus | None
) -> None:
    """It is taken as it is, and where the Hub says nothing we know, there is none."""
    with serve({NAME: HubRepo(FILES, security=said)}) as hub:
        assert fetch(hub.url).hub_status == status


def test_branches_tags_and_commits_name_the_same_model(fetch: Callable[..., Artifact]) -> None:
    """A revision may stand after the ``@`` or in the options, and may hold slashes."""
    repo = HubRepo(FILES, branches=("main", "refs/pr/7", "v1.0"))

    with serve({NAME: repo}) as hub:
        artifacts = [
            fetch(hub.url, f"{NAME}@refs/pr/7"),
            fetch(hub.url, revision="v1.0"),
            fetch(hub.url, f"{NAME}@{repo.sha}"),
        ]

    assert artifacts[0] == artifacts[1] == artifacts[2]


def test_weights_in_shards_are_fetched_by_their_index(fetch: Callable[..., Artifact]) -> None:
    """The shards that the index names are fetched, and no other safetensors file."""
    index = {"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    shards = {f"part-{n}.safetensors": bytes([2, *bytes(7)]) + b"{}" for n in (1, 2)}
    shards["part-3.safetensors"] = shards["part-1.safetensors"] + bytes(2**20)
    files = CONFIG | shards | {"model.safetensors.index.json": json.dumps(index).encode()}

    with serve({NAME: HubRepo(files)}) as hub:
        artifact = fetch(hub.url)

    assert artifact.weights == ("part-1.safetensors", "part-2.safetensors")
    assert artifact.not_fetched == (ListedFile("part-3.safetensors", 2**20 + 10, Kind.SAFETENSORS),)


def test_a_repository_of_one_gguf_model_is_fetched(fetch: Callable[..., Artifact]) -> None:
    """It needs no config.json; of several nobody knows which is meant."""
    data = b"GGUF" + bytes(2**21)
    with serve({NAME: HubRepo({"README.md": b"words", "m.gguf": data})}) as hub:
        artifact = fetch(hub.url)
    assert (artifact.weights, artifact.gguf) == (("m.gguf",), "m.gguf")
    assert artifact.path("m.gguf").read_bytes() == data
    with serve({"org/two": HubRepo({"a.gguf": data, "b.gguf": data})}) as hub:
        two = fetch(hub.url, "org/two")
    assert two.weights == ()
    assert two.weights_problem is not None
    assert "Put that one into a folder of its own" in two.weights_problem


@pytest.mark.parametrize(("allow_pickle", "weights"), [(False, ()), (True, ("pytorch_model.bin",))])
def test_pickled_weights_are_loaded_only_when_allowed(
    fetch: Callable[..., Artifact], weights: tuple[str, ...], *, allow_pickle: bool
) -> None:
    """Without permission a pickle is read, and a large one not even downloaded."""
    with serve({NAME: HubRepo(CONFIG | {"pytorch_model.bin": bytes(2**21)})}) as hub:
        artifact = fetch(hub.url, allow_pickle=allow_pickle)

    assert artifact.weights == weights
    assert (artifact.weights_problem is None) == allow_pickle
    assert artifact.has("pytorch_model.bin") == allow_pickle


@pytest.mark.parametrize(
    ("repo", "source", "token", "error", "words"),
    [
        ({"gated": True}, NAME, "", AccessDeniedError, "org/name is gated"),
        ({"gated": True}, NAME, KNOWN_TOKEN, AccessDeniedError, "to the token in use"),
        ({"private": True}, NAME, "", ModelNotFoundError, "to visitors without a token"),
        ({"private": True}, NAME, KNOWN_TOKEN, ModelNotFoundError, "to the token in use"),
        ({}, NAME, "hf_wrong", AccessDeniedError, "refuses org/name to the token in use"),
        ({}, "org/other", "", ModelNotFoundError, "no folder org/other, and the Hub shows no"),
        ({}, "a--b/c", "", ModelNotFoundError, "neither a folder nor a name on the Hub"),
        ({}, f"{NAME}@v9", "", RevisionNotFoundError, "org/name has no revision v9."),
        ({"status": 503}, NAME, "", HubUnreachableError, "out of order (503)"),
        ({"status": 429}, NAME, "", HubUnreachableError, "too many requests"),
        ({"status": 403}, NAME, "", AccessDeniedError, "(403)"),
        ({"status": 404}, NAME, "", HubUnreachableError, "does not answer like a Hub"),
        ({"cut": {"revision": 0}}, NAME, "", HubUnreachableError, "cannot be reached"),
        ({"cut": {"revision": 9}}, NAME, "", HubUnreachableError, "cannot be reached"),
        ({"cut": {"tree": 9}}, NAME, "", HubUnreachableError, "failed twice to deliver"),
        ({"cut": {"head": 0}}, NAME, "", HubUnreachableError, "cannot be reached"),
        ({"cut": {"get": 0}}, NAME, "", HubUnreachableError, "failed twice to deliver"),
        ({"cut": {"get": 9}}, NAME, "", HubUnreachableError, "failed twice to deliver"),
        ({"delay": 1.0}, NAME, "", HubUnreachableError, "timed out"),
        ({"files": {"README.md": b""}}, NAME, "", ArtifactError, "holds no config.json"),
        ({"files": {"config.json": b"{"}}, NAME, "", ArtifactError, "not valid JSON"),
        (
            {"files": {"config.json": b'{"transformers_weights": "../a.safetensors"}'}},
            NAME, "", ArtifactError, "'../a.safetensors', which does not lie",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_fetched_gives_one_sentence_within_seconds(  # noqa: PLR0913, PLR0917 - a table's columns
    fetch: Callable[..., Artifact],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    repo: dict[str, Any],
    source: str,
    token: str,
    error: type[PlmscanError],
    words: str,
) -> None:
    """Each refusal and each broken line has its sentence and its remedy; nothing is printed."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    start = time.monotonic()

    with serve({NAME: HubRepo(**{"files": FILES} | repo)}) as hub, pytest.raises(error) as refusal:
        fetch(hub.url, source, token)

    assert words in refusal.value.problem
    assert refusal.value.remedy
    assert "\n" not in refusal.value.diagnostics()
    assert time.monotonic() - start < 5
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("repo", [HubRepo(FILES, gated=True), HubRepo(FILES, private=True)])
def test_the_right_token_opens_the_model(fetch: Callable[..., Artifact], repo: HubRepo) -> None:
    """``HF_TOKEN`` is sent to the Hub, also where a part of a file is asked for."""
    with serve({NAME: repo}) as hub:
        artifact = fetch(hub.url, token=GOOD_TOKEN)
    assert (artifact.revision, artifact.unread) == (repo.sha, ())


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    fetch: Callable[..., Artifact],
) -> None:
    """As long as bytes arrive, a broken connection is taken up again."""
    weights = bytes(25 * 2**20)
    repo = HubRepo(CONFIG | {"model.safetensors": weights}, cut={"get": 15 * 2**20})

    with serve({NAME: repo}) as hub:
        artifact = fetch(hub.url)

    sizes = {file.path: file.size for file in artifact.files}
    assert sizes["model.safetensors"] == len(weights)
    assert sum("GET" in r and r.endswith(".safetensors") for r in hub.requests) == 2


def test_a_server_that_starts_again_each_time_is_given_up(fetch: Callable[..., Artifact]) -> None:
    """A download that can never end is ended."""
    files = CONFIG | {"model.safetensors": bytes(12 * 2**20)}
    repo = HubRepo(files, cut={"get": 11 * 2**20}, ignores_ranges=True)

    with serve({NAME: repo}) as hub, pytest.raises(HubUnreachableError, match="failed twice"):
        fetch(hub.url)


def test_the_cache_serves_a_model_offline(fetch: Callable[..., Artifact]) -> None:
    """Offline gives what online gave, without the security status."""
    with serve({NAME: HubRepo(FILES, security={"scansDone": True, "filesWithIssues": []})}) as hub:
        online = fetch(hub.url)

    offline = fetch("http://127.0.0.1:9", offline=True)

    assert online.hub_status is not None
    assert offline.hub_status is None
    assert (offline.revision, offline.files, offline.weights, offline.not_fetched) == (
        online.revision, online.files, online.weights, online.not_fetched
    )  # fmt: skip


def test_a_cached_commit_needs_no_network_and_a_branch_does(
    fetch: Callable[..., Artifact],
) -> None:
    """A commit cannot change; a branch may have moved, so its cached copy must be asked for."""
    with serve({NAME: HubRepo(FILES)}) as hub:
        online = fetch(hub.url)
        asked = len(hub.requests)
        again = fetch(hub.url, f"{NAME}@{online.revision}")
        assert len(hub.requests) == asked + 1

    assert again == online
    assert fetch("http://127.0.0.1:9", f"{NAME}@{online.revision}") == online
    with pytest.raises(HubUnreachableError, match="cannot be reached"):
        fetch("http://127.0.0.1:9")


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model.safetensors"])
def test_half_a_cache_is_not_a_model(
    fetch: Callable[..., Artifact], tmp_path: Path, lost: str
) -> None:
    """Offline, a missing file is an error even if the rest could be loaded without it."""
    with serve({NAME: HubRepo(FILES)}) as hub:
        artifact = fetch(hub.url)
    artifact.path(lost).unlink()

    with pytest.raises(HubUnreachableError, match="does not hold all files of org/name"):
        fetch("http://127.0.0.1:9", offline=True)
    with pytest.raises(HubUnreachableError, match="does not hold all files of org/name"):
        fetch("http://127.0.0.1:9", f"{NAME}@{artifact.revision}")
    with pytest.raises(HubUnreachableError, match="does not hold all files of org/other"):
        fetch("http://127.0.0.1:9", "org/other", offline=True)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", '{"model_type": "bert", "x": 1}', "config.json is not the file that"),
        ("model.safetensors", "WEIGHTS", "model.safetensors is not the file that"),
        ("adapter_config.json", "{}", "adapter_config.json, which is not part of the commit"),
    ],
)
def test_a_changed_cache_is_refused(
    fetch: Callable[..., Artifact], name: str, text: str, words: str
) -> None:
    """A report that names a commit must not be about other bytes."""
    with serve({NAME: HubRepo(FILES)}) as hub:
        artifact = fetch(hub.url)
        artifact.path(name).write_text(text)

        with pytest.raises(ArtifactError) as refusal:
            fetch(hub.url)

    assert words in refusal.value.problem


def test_a_cache_that_is_no_folder_is_named(fetch: Callable[..., Artifact], tmp_path: Path) -> None:
    """The sentence tells the path and what is wrong with it."""
    (tmp_path / "file").write_text("")

    with serve({NAME: HubRepo(FILES)}) as hub, pytest.raises(SourceError) as refusal:
        fetch(hub.url, cache_dir=tmp_path / "file" / "cache")

    assert refusal.value.problem.startswith(str(tmp_path / "file" / "cache"))
    assert refusal.value.problem.endswith("cannot be used: Not a directory.")
    assert "--cache-dir" in refusal.value.remedy


def test_a_cache_that_cannot_keep_listings_serves_online_only(
    fetch: Callable[..., Artifact], tmp_path: Path
) -> None:
    """Without a listing nobody knows offline whether files are missing."""
    repository = tmp_path / "cache" / "models--org--name"
    repository.mkdir(parents=True)
    (repository / "trees").write_text("no folder, so no listing can be kept in it")

    with serve({NAME: HubRepo(FILES)}) as hub:
        first = fetch(hub.url)
        assert fetch(hub.url) == first

    with pytest.raises(HubUnreachableError, match="does not hold all files"):
        fetch("http://127.0.0.1:9", offline=True)


@pytest.mark.parametrize("name", [NAME, "org/other"])
def test_huggingface_hub_is_left_as_it_was(fetch: Callable[..., Artifact], name: str) -> None:
    """Whether or not a fetch succeeds, a program that embeds plmscan keeps its own settings."""

    def settings() -> tuple[object, ...]:
        return (
            huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY,
            huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY,
            huggingface_hub.logging.get_verbosity(),
        )

    before = settings()
    with serve({NAME: HubRepo(FILES)}) as hub, contextlib.suppress(ModelNotFoundError):
        fetch(hub.url, name)

    assert settings() == before


def test_the_environment_is_obeyed_and_only_the_cache_is_written(tmp_path: Path) -> None:
    """A process with ``HF_ENDPOINT`` and ``HF_TOKEN`` prints nothing and writes its cache only."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    code = (
        "import sys; from pathlib import Path; from plmscan.source import SourceOptions, resolve;"
        f"resolve({NAME!r}, SourceOptions(cache_dir=Path(sys.argv[1])))"
    )

    with serve({NAME: HubRepo(FILES, private=True)}) as hub:
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(cache)],
            env=hub.environment(home, GOOD_TOKEN),
            capture_output=True,
            check=False,
        )

    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")
    assert os.listdir(home) == []  # noqa: PTH208 - hidden files too
    assert (cache / "models--org--name").is_dir()
    assert not any("agent" in request for request in hub.requests)


def listed(path: object = "x.bin", size: object = 1, **more: object) -> dict[str, object]:
    """An entry of a listing."""
    return {"type": "file", "path": path, "size": size, "oid": "0" * 40} | more


@pytest.mark.parametrize(
    "entry",
    [
        listed("../../x.bin"), listed("/etc/passwd"), listed("a/../x.bin"), listed("a//x"),
        listed("."), listed(""), listed("a\0b"), listed("a\nb"), listed("a\\b"), listed(7),
        listed("\ud800"), listed("a" * 300), listed("/".join("a" * 600)),
        listed(size=-1), listed(size="9"), listed(size=None), listed(size=True),
        listed(size=2**60), listed("config.json/x"),
        {"type": "file"}, listed(lfs={"oid": 1}),
    ],
)  # fmt: skip
def test_a_listing_that_no_folder_can_hold_is_refused(
    fetch: Callable[..., Artifact], tmp_path: Path, entry: dict[str, object]
) -> None:
    """Names that lead out of the model, and sizes that are none, fetch and write nothing."""
    config = listed("config.json", len(CONFIG["config.json"]))
    repo = HubRepo(CONFIG, listing=(config, entry))

    with serve({NAME: repo}) as hub, pytest.raises(HubUnreachableError) as refusal:
        fetch(hub.url)

    assert "does not answer like a Hub" in refusal.value.problem
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    assert not any("x.bin" in request for request in hub.requests)


@pytest.mark.parametrize("size", [1, 10**9])
def test_a_size_that_is_not_the_files_is_refused(fetch: Callable[..., Artifact], size: int) -> None:
    """What the listing says and what comes must be the same file."""
    config = listed("config.json", len(CONFIG["config.json"]))
    files = CONFIG | {"model.safetensors": b"weights"}
    lie = listed("model.safetensors", size, lfs={"oid": "0" * 64, "size": size, "pointerSize": 9})

    with serve({NAME: HubRepo(files, listing=(config, lie))}) as hub, pytest.raises(PlmscanError):
        fetch(hub.url)


def test_endless_listings_are_ended(
    fetch: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the number of files nor the length of an answer is left to the server."""
    many = {f"{n}.txt": b"" for n in range(99)}
    with serve({NAME: HubRepo(FILES | many)}) as hub:
        monkeypatch.setattr("plmscan.source.commit._MOST_FILES", 50)
        with pytest.raises(HubUnreachableError, match="lists more than 50 files"):
            fetch(hub.url)
        monkeypatch.setattr("plmscan.source.session._LARGEST_ANSWER", 1000)
        with pytest.raises(HubUnreachableError, match="answers at greater length than any Hub"):
            fetch(hub.url, cache_dir=None)


def test_a_disk_that_is_too_small_is_not_filled(
    fetch: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says how much is missing, before anything is fetched."""
    full = type("Usage", (), {"free": 2**20})()
    monkeypatch.setattr("plmscan.source.room._SPARE", 2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with serve({NAME: HubRepo(FILES)}) as hub, pytest.raises(SourceError, match="GB left"):
        fetch(hub.url, all_files=True)
