"""The lock file: it comes back as it was written, and finds a model however it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plmscan.config import Lock, LockedModel, read_lock, write_lock
from plmscan.config.lock import SCHEMA, pinned
from plmscan.errors import LockError, SourceError
from plmscan.evidence import FileDigest, ModelIdentity
from plmscan.source import SourceOptions, resolve
from plmscan.survey import Place

if TYPE_CHECKING:
    from collections.abc import Callable

SHA, OTHER = "a" * 40, "b" * 40
DIGEST = "0" * 64
PATH = Path("plmscan.lock")
LINES = f"""\
{{
  "schema": "plmscan.lock/v1",
  "models": {{
    "./models/intent": {{
      "revision": null,
      "files": {{
        "config.json": "{DIGEST}"
      }}
    }},
    "org/name": {{
      "revision": "{SHA}",
      "files": {{
        "config.json": "{DIGEST}",
        "model.safetensors": "{DIGEST}"
      }}
    }}
  }}
}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one model."""
    (tmp_path / "models" / "intent").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def identity(revision: str | None, *paths: str) -> ModelIdentity:
    """What a report or an artifact tells of a model."""
    digests = tuple(FileDigest(path, 1, DIGEST) for path in paths or ("config.json",))
    return ModelIdentity("any", revision, None, None, digests)


def lock(*keys: str) -> Lock:
    """A lock of Hub models, all at one commit."""
    return Lock(PATH, {key: LockedModel(SHA, {"config.json": DIGEST}) for key in keys})


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
files = st.dictionaries(names, digests, min_size=1, max_size=3)
commits = st.text("0123456789abcdef", min_size=40, max_size=40)
hub_names = st.from_regex(r"[A-Za-z0-9][\w.-]{0,5}(/[\w-]{1,5})?(@[^@\s\\/]{1,4})?", fullmatch=True)
folders = st.just(".") | names.map(lambda name: f"./{name}") | names.map(lambda name: f"../{name}")
models = st.dictionaries(hub_names, st.builds(LockedModel, commits, files), max_size=3)
local = st.dictionaries(folders, st.builds(LockedModel, st.none(), files), max_size=3)


@given(models, local)
def test_a_lock_comes_back_as_it_was_written(
    hub: dict[str, LockedModel], own: dict[str, LockedModel]
) -> None:
    """Whatever the models and their files are called; and the same lock gives the same bytes."""
    written = Lock(PATH, {**hub, **own})

    write_lock(written)
    first = PATH.read_bytes()
    read = read_lock(PATH)
    write_lock(Lock(PATH, dict(reversed([*read.models.items()]))))

    assert read == written
    assert PATH.read_bytes() == first
    assert list(Path().glob(".*.part")) == []
    lines = first.decode("ascii").split("\n")
    for key, model in read.models.items():
        assert model.place is not None
        assert lines[model.place.line - 1] == f"    {json.dumps(key)}: {{"


def test_the_file_is_made_for_a_review() -> None:
    """Sorted, one file a line, so that a diff shows what has changed."""
    made = Lock.of(
        PATH,
        [
            ("org/name", None, identity(SHA, "model.safetensors", "config.json")),
            ("models/intent/", None, identity(None)),
        ],
    )
    write_lock(made)

    assert PATH.read_text() == LINES
    assert read_lock(PATH) == made
    assert [m.place for m in read_lock(PATH).models.values()] == [
        Place("plmscan.lock", 4),
        Place("plmscan.lock", 10),
    ]


def test_models_are_added_and_replaced() -> None:
    """`plmscan lock MODEL` renews one entry and keeps the others."""
    first = Lock.of(PATH, [("org/a", None, identity(SHA)), ("org/b@v1", None, identity(SHA))])

    second = first.with_models([("org/b", "v1", identity(OTHER)), ("org/c", "v2", identity(SHA))])

    assert {key: model.revision for key, model in second.models.items()} == {
        "org/a": SHA,
        "org/b@v1": OTHER,
        "org/c@v2": SHA,
    }


@pytest.mark.parametrize(
    ("keys", "source", "revision", "found"),
    [
        (["org/name"], "org/name", None, "org/name"),
        (["org/name@v1"], "org/name@v1", None, "org/name@v1"),
        (["org/name@v1"], "org/name", "v1", "org/name@v1"),
        (["org/name@v1"], "org/name", None, "org/name@v1"),
        (["org/name", "org/name@v1"], "org/name", None, "org/name"),
        (["org/name"], "org/name", "v1", None),
        (["org/name@v1"], "org/name@v2", None, None),
        (["org/name"], "org/name", SHA, "org/name"),
        (["org/name@v1"], f"org/name@{SHA}", None, "org/name@v1"),
        (["org/name"], "org/name", OTHER, None),
        (["org/name"], "org/other", None, None),
        (["org/name"], "gpt2", None, None),
        (["org/name"], "./org/name", None, None),
        ([], "org/name", None, None),
    ],
)
def test_a_hub_model_is_found_as_it_is_asked_for(
    keys: list[str], source: str, revision: str | None, found: str | None
) -> None:
    """What is asked for without a revision is the locked one; another revision is not locked."""
    locked = lock(*keys)

    assert locked.entry(source, revision) is (None if found is None else locked.models[found])


def test_several_locked_revisions_are_no_choice() -> None:
    """Neither of them is the one that was adopted."""
    with pytest.raises(LockError) as raised:
        lock("org/name@v2", "org/name@v1").entry("org/name")
    assert raised.value.diagnostics() == (
        "plmscan.lock locks org/name@v1 and org/name@v2. Name the revision of org/name."
    )


def test_a_contradiction_is_an_error() -> None:
    """Two revisions of one model cannot both be meant."""
    with pytest.raises(SourceError, match="two revisions"):
        lock("org/name").entry("org/name@v1", "v2")


def test_a_folder_is_found_from_everywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is typed, and wherever plmscan is started."""
    (here / "link").symlink_to("models/intent")
    write_lock(Lock.of(PATH, [("models/intent", None, identity(None))]))
    above = read_lock(PATH)
    spellings = (
        "models/intent",
        "./models/intent/",
        "models/../models/intent",
        f"{here}/models/intent",
    )
    found = [above.entry(typed) for typed in spellings]
    link = above.entry("link")
    monkeypatch.chdir("models")
    beside = read_lock(Path("../plmscan.lock"))

    assert all(entry == above.models["./models/intent"] for entry in found)
    assert link is None
    assert beside.entry("intent") == beside.models["./models/intent"]
    assert beside.models["./models/intent"].place == Place("../plmscan.lock", 4)
    assert beside.entry("../models/other") is None


def test_a_folder_that_is_gone_is_not_asked_from_the_hub(here: Path) -> None:
    """Anybody may have its name there; and a folder does not take the place of a Hub model."""
    locked = Lock.of(
        PATH, [("models/intent", None, identity(None)), ("org/name", None, identity(SHA))]
    )
    (here / "models" / "intent").rmdir()
    (here / "org" / "name").mkdir(parents=True)

    with pytest.raises(
        LockError, match="locks models/intent as a folder, and here it is no folder"
    ):
        locked.entry("models/intent")
    with pytest.raises(LockError, match="locks org/name as a Hub model, and here it is a folder"):
        locked.entry("org/name")
    assert locked.entry("./models/intent") is locked.models["./models/intent"]
    assert locked.entry("./org/name") is None


@pytest.mark.parametrize(
    ("source", "revision", "locked", "result"),
    [
        ("org/name", None, LockedModel(SHA, {}), ("org/name", SHA)),
        ("org/name@main", None, LockedModel(SHA, {}), ("org/name", SHA)),
        ("org/name", "main", LockedModel(SHA, {}), ("org/name", SHA)),
        ("org/name@main", None, None, ("org/name@main", None)),
        ("./model", None, LockedModel(None, {}), ("./model", None)),
    ],
)
def test_a_locked_model_is_pinned(
    source: str, revision: str | None, locked: LockedModel | None, result: tuple[str, str | None]
) -> None:
    """A branch may have moved since; the commit has not."""
    assert pinned(source, revision, locked) == result


def test_signers_are_seen_from_the_lock_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files are told by the way from its folder, but for those that are named whole."""
    (here / "locks").mkdir()
    named = ("keys/ours.pub", "identity=me,issuer=it,trust=keys/root.json", "/etc/keys/all.pub")
    path = here / "locks" / "plmscan.lock"
    made = Lock(path, {}).with_models([("org/name", None, identity(SHA))], named)
    write_lock(made)
    told = json.loads(path.read_text())["models"]["org/name"]["signers"]
    assert told == [
        "../keys/ours.pub",
        "identity=me,issuer=it,trust=../keys/root.json",
        "/etc/keys/all.pub",
    ]
    monkeypatch.chdir(here / "models")
    (entry,) = read_lock(Path("../locks/plmscan.lock")).models.values()
    assert entry.signers == (
        "../keys/ours.pub",
        "identity=me,issuer=it,trust=../keys/root.json",
        "/etc/keys/all.pub",
    )
    monkeypatch.chdir(here)
    (entry,) = read_lock(path).models.values()
    assert entry.signers == named


def test_signers_stay_until_others_are_named() -> None:
    """A model that is locked anew is still to be signed by whom the lock named."""
    before = Lock(PATH, {}).with_models([("org/a", None, identity(SHA))], ("ours.pub",))
    anew = [("org/a", None, identity(OTHER)), ("org/b", None, identity(SHA))]
    kept = Lock(PATH, {}).with_models(anew).with_signers_of(before)
    assert {name: one.signers for name, one in kept.models.items()} == {
        "org/a": ("ours.pub",),
        "org/b": (),
    }
    changed = Lock(PATH, {}).with_models(anew, ("theirs.pub",)).with_signers_of(before)
    assert {one.signers for one in changed.models.values()} == {("theirs.pub",)}


def test_what_was_resolved_can_be_locked(here: Path) -> None:
    """An artifact is locked by the files that were read, and nothing else of its folder."""
    folder = here / "models" / "intent"
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("words")

    artifact = resolve("./models/intent", SourceOptions())
    made = Lock.of(PATH, [("./models/intent", None, artifact)])

    assert made.models["./models/intent"] == LockedModel(
        None, {file.path: file.sha256 for file in artifact.files}
    )
    assert list(made.models["./models/intent"].files) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("{\n", "<<<<<<< ours\n{\n", ":1: this is not JSON: Expecting value."),
        (f'"{DIGEST}",', f'"{DIGEST}"', ":14: this is not JSON: Expecting ',' delimiter."),
        ("lock/v1", "lock/v2", ":2: schema: Input should be 'plmscan.lock/v1'."),
        ('"schema"', '"scheme"', ":1: schema: Field required."),
        (SHA, "main", ":11: models: org/name: revision: String should match pattern"),
        (f'"{SHA}"', "null", ":10: org/name must have a revision."),
        ("null", f'"{SHA}"', ":4: ./models/intent must have no revision, as a folder has none."),
        (f'"{DIGEST}",', '"0",', ":13: models: org/name: files: config.json: String should match"),
        (
            f'"{DIGEST}",',
            "0,",
            ":13: models: org/name: files: config.json: Input should be a valid",
        ),
        ("safetensors", "safetensors\\u0022", None),
        ("model.safetensors", "config.json", ":14: the key 'config.json' stands twice."),
        ('"org/name"', '"./models/intent"', ":10: the key './models/intent' stands twice."),
        ('"org/name"', '""', ":10: models: : [key]: String should have at least 1 character."),
        ('      "revision": null,\n', "", ":4: models: ./models/intent: revision: Field required."),
        ('"models": {', '"note": 1, "models": {', ":3: note: Extra inputs are not permitted."),
        (LINES, "[]", ":1: It must be an object."),
        (LINES, "", ":1: this is not JSON: Expecting value."),
        (LINES, "[" * 100_000, ":1: this is no JSON that plmscan has written."),
        (LINES, "9" * 5000, ":1: this is no JSON that plmscan has written."),
        (LINES, '{"a":\t1, "a": 2}', ":1: the key 'a' stands twice."),
    ],
)
def test_a_lock_that_was_spoilt_is_named(before: str, after: str, problem: str | None) -> None:
    """By a hand or a merge: file, line, and what to do."""
    assert before in LINES
    PATH.write_text(LINES.replace(before, after, 1))

    if problem is None:
        assert read_lock(PATH).models.keys() == {"./models/intent", "org/name"}
        return
    with pytest.raises(LockError) as raised:
        read_lock(PATH)
    assert raised.value.problem.startswith(f"plmscan.lock{problem}")
    assert raised.value.remedy == "Write it anew with `plmscan lock`."


def test_files_without_a_digest_lock_nothing() -> None:
    """An entry without files would agree with everything."""
    empty: dict[str, Any] = {"org/name": {"revision": SHA, "files": {}}}
    PATH.write_text(json.dumps({"schema": SCHEMA, "models": empty}, indent=2))

    with pytest.raises(
        LockError, match=r"^plmscan\.lock:6: .*files: Dictionary should have at least 1"
    ):
        read_lock(PATH)


@pytest.mark.parametrize("act", [read_lock, lambda path: write_lock(Lock(path, {}))])
def test_what_cannot_be_opened_is_named(act: Callable[[Path], object]) -> None:
    """The path, and the reason that the system gives."""
    with pytest.raises(LockError, match=r"^none/x\.lock cannot be (read|written): No such file"):
        act(Path("none/x.lock"))
    with pytest.raises(LockError, match=r"^models cannot be (read|written): Is a directory"):
        act(Path("models"))
