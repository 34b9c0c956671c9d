"""Bad input to ``plmscan check``: a sentence and exit code 2, no traceback, nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.evidence import Verdict
from plmscan.reports.json_v1 import from_json
from tests.hub_server import HubRepo, HubServer, serve
from tests.tiny_models import build_tiny

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import Tensor
    from typer.testing import Result

    from plmscan.evidence import Report

    Damage = Callable[[Path], object]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
BIN = "pytorch_model.bin"
DENSE = "encoder.layer.1.output.dense.weight"
NAN, INFINITY = float("nan"), float("inf")
SHORT_TEXTS = tuple(
    f"the {size} {thing} in the {place} is {kind}"
    for size in ("old", "new", "large", "small")
    for thing in ("house", "tree", "dog", "cat", "horse")
    for place in ("city", "garden", "water", "fire")
    for kind in ("good", "bad")
)
"""Carriers that the tiny model has the words for."""


@dataclass(frozen=True)
class Place:
    """A place for one command: a tiny model to damage, a home and a working directory."""

    root: Path
    """All of it; whatever a command leaves behind is found here."""

    @property
    def model(self) -> Path:
        """The model."""
        return self.root / "model"

    def listing(self) -> dict[str, tuple[object, ...]]:
        """Everything that is there: type, permissions, time and content."""
        return {str(path.relative_to(self.root)): _facts(path) for path in self.root.rglob("*")}

    def run(self, *options: str) -> Result:
        """``plmscan check`` in this process, about this model."""
        command = ["check", str(self.model), *(o.format(root=self.root) for o in options)]
        return CliRunner().invoke(app, command, prog_name="plmscan")


def _facts(path: Path) -> tuple[object, ...]:
    """What a write would change."""
    status = path.lstat()
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return status.st_mode, status.st_size, status.st_mtime_ns, content


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without faults; read only."""
    return build_tiny("bert", tmp_path_factory.mktemp("intact"))


@pytest.fixture
def place(tmp_path: Path, intact: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of the tiny model, and nowhere else to go."""
    for name in ("home", "cwd"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts").write_text("\n".join(SHORT_TEXTS))
    shutil.copytree(intact, tmp_path / "model")
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Place(tmp_path)


def unharmed(_model: Path) -> None:
    """No damage: the fault is in the command."""


def file(name: str, content: bytes | None) -> Damage:
    """Damage: a file with other content, or none."""

    def damage(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        if content is not None:
            (model / name).write_bytes(content)

    return damage


def folder(name: str) -> Damage:
    """Damage: a folder where a file should be."""

    def damage(model: Path) -> None:
        (model / name).unlink(missing_ok=True)
        (model / name).mkdir()

    return damage


def beside(name: str, content: bytes) -> Damage:
    """Damage: a file beside the model, for an option to name."""
    return file(f"../{name}", content)


def edited(name: str, **changes: Any) -> Damage:  # noqa: ANN401 - any JSON value
    """Damage: keys of a JSON file set, or with None dropped."""

    def damage(model: Path) -> None:
        value = json.loads((model / name).read_text()) | changes
        kept = {key: v for key, v in value.items() if v is not None}
        (model / name).write_text(json.dumps(kept))

    return damage


def config(**changes: Any) -> Damage:  # noqa: ANN401 - any JSON value
    """Damage: keys of the config set, or with None dropped."""
    return edited("config.json", **changes)


def tensors(change: Callable[[dict[str, Tensor]], object]) -> Damage:
    """Damage: other tensors."""

    def damage(model: Path) -> None:
        held = {name: tensor.clone() for name, tensor in load_file(model / WEIGHTS).items()}
        change(held)
        save_file(held, model / WEIGHTS, metadata={"format": "pt"})

    return damage


def weight(number: float) -> Damage:
    """Damage: one weight is ``number``."""
    return tensors(lambda held: held[DENSE].view(-1)[:1].fill_(number))


def header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damage: another header before the same tensors."""

    def damage(model: Path) -> None:
        data = (model / WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:end])
        entries.pop("__metadata__", None)
        change(entries)
        text = json.dumps(entries).encode()
        (model / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + data[end:])

    return damage


def two_tensors_in_one_place(entries: dict[str, Any]) -> None:
    """Let the second tensor take the bytes of the first."""
    first, second = list(entries)[:2]
    entries[second] = entries[first]


def a_tensor_beyond_the_file(entries: dict[str, Any]) -> None:
    """Let the last tensor end far behind the end of the file."""
    last = entries[list(entries)[-1]]
    last["data_offsets"][1] += 10**12


def cut_short(model: Path) -> None:
    """The download broke off."""
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-100])


def vocabulary(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Damage: another vocabulary."""

    def damage(model: Path) -> None:
        value = json.loads((model / "tokenizer.json").read_text())
        change(value["model"]["vocab"])
        (model / "tokenizer.json").write_text(json.dumps(value))

    return damage


def without_tokenizer(model: Path) -> None:
    """The tokenizer was never saved."""
    for path in model.glob("tokenizer*"):
        path.unlink()


def pickled(model: Path) -> None:
    """Weights as a pickle only."""
    torch.save(load_file(model / WEIGHTS), model / BIN)
    (model / WEIGHTS).unlink()


def sharded(shard: str) -> Damage:
    """Damage: an index that places all tensors in ``shard``."""

    def damage(model: Path) -> None:
        places = dict.fromkeys(load_file(model / WEIGHTS), shard)
        (model / WEIGHTS).rename(model / "part.safetensors")
        (model / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))

    return damage


def linked_out(name: str) -> Damage:
    """Damage: a link that leaves the folder."""

    def damage(model: Path) -> None:
        (model / name).rename(model.parent / "elsewhere")
        (model / name).symlink_to(model.parent / "elsewhere")

    return damage


def pipe(model: Path) -> None:
    """A named pipe, which a careless reader waits for until the end of time."""
    (model / WEIGHTS).unlink()
    os.mkfifo(model / WEIGHTS)


def emptied(model: Path) -> None:
    """A folder without files."""
    shutil.rmtree(model)
    model.mkdir()


def an_adapter(model: Path) -> None:
    """What peft saves."""
    emptied(model)
    (model / "adapter_config.json").write_text("{}")
    save_file({"lora.weight": torch.zeros(2, 2)}, model / "adapter_model.safetensors")


def a_file(model: Path) -> None:
    """A file where the folder should be."""
    shutil.rmtree(model)
    model.write_bytes(b"weights")


RULE_WITHOUT_A_PROBE = b"""
id: ACME001
name: mine
probe: no-such-probe
severity: high
confidence: high
when: {x: {gte: 1}}
message: m
description: d
remediation: r
references: [r]
since: "1"
"""

REFUSED: dict[str, tuple[Damage, str, str]] = {
    # name: damage, options, words of the sentence
    "empty folder": (emptied, "", "holds no files"),
    "no such folder": (shutil.rmtree, "", "There is no folder"),
    "a file for a folder": (a_file, "", "is not a folder"),
    "no config": (file("config.json", None), "", "holds no config.json"),
    "config is a folder": (folder("config.json"), "", "holds no config.json"),
    "config is empty": (file("config.json", b""), "", "config.json is empty (0 bytes). Save or"),
    "config is no JSON": (file("config.json", b"{"), "", "config.json is not valid JSON"),
    "config is a list": (file("config.json", b"[1]"), "", "should hold a JSON object"),
    "config is not UTF-8": (file("config.json", b'{"a": "\xe9"}'), "", "not valid JSON"),
    "config nests deeply": (file("config.json", b"[" * 10**5), "", "nests too deeply"),
    "missing shard": (sharded("b.safetensors"), "", "'b.safetensors', which is missing"),
    "shard outside": (sharded("../model/part.safetensors"), "", "does not lie in the model"),
    "shard that is a pickle": (sharded("part.bin"), "", "which is not a .safetensors file"),
    "index without a map": (
        lambda model: [sharded("part.safetensors")(model), (model / INDEX).write_text("{}")],
        "",
        "is not an index of weights",
    ),
    "weights by link": (linked_out(WEIGHTS), "", f"{WEIGHTS} is a link that leaves"),
    "config by link": (linked_out("config.json"), "", "config.json is a link that leaves"),
    "folder by link": (
        lambda model: (model / "sub").symlink_to(model.parent),
        "",
        "sub is a link to a folder",
    ),
    "broken link": (
        lambda model: (model / "old.safetensors").symlink_to("gone"),
        "",
        "old.safetensors is a broken link",
    ),
    "pipe": (pipe, "", f"{WEIGHTS} is not a regular file"),
    "revision of a folder": (unharmed, "--revision main", "a folder has no revision main"),
    "output into no folder": (unharmed, "--output {root}/none/r.json", "No such file"),
    "output is a folder": (unharmed, "--output {root}/home", "it is a folder"),
    "output on a full disk": (unharmed, "--files-only --output /dev/full", "No space left"),
    "no texts": (unharmed, "--texts {root}/none", "texts file {root}/none cannot be read"),
    "texts are a folder": (unharmed, "--texts {root}/home", "home cannot be read"),
    "too few texts": (
        beside("texts", b"a\n" * 99 + b"b\n"),
        "--texts {root}/texts",
        "holds 2 different texts; 64 are needed",
    ),
    "binary texts": (beside("texts", b"\x80\0" * 99), "--texts {root}/texts", "cannot be read"),
    "no rules": (unharmed, "--rules {root}/none", "rules folder {root}/none cannot be read"),
    "rules folder without rules": (unharmed, "--rules {root}/home", "holds no .yaml file"),
    "rule that is no YAML": (beside("cwd/a.yaml", b"id: ["), "--rules .", "is not YAML"),
    "rule that lacks a key": (beside("cwd/a.yaml", b"id: A"), "--rules .", "a.yaml is wrong"),
    "rule for no probe": (
        beside("cwd/a.yaml", RULE_WITHOUT_A_PROBE),
        "--rules .",
        "probe names no-such-probe, which does not exist",
    ),
}

UNSCANNED: dict[str, tuple[Damage, str, str]] = {
    "weights cut short": (cut_short, "", f"{WEIGHTS} is broken: its tensors take"),
    "empty weights": (file(WEIGHTS, b""), "", f"{WEIGHTS} is empty (0 bytes)"),
    "junk for weights": (file(WEIGHTS, b"\x89junk" * 999), "", "is cut short"),
    "pointer for weights": (
        file(WEIGHTS, b"version https://git-lfs.github.com/spec/v1\nsize 9"),
        "",
        f"{WEIGHTS} is a Git LFS pointer, not the file itself. Run `git lfs pull`",
    ),
    "huge header": (
        file(WEIGHTS, (2**62).to_bytes(8, "little") + b"{}"),
        "",
        f"{WEIGHTS} is broken",
    ),
    "header that is no JSON": (
        file(WEIGHTS, (4).to_bytes(8, "little") + b"{{{{"),
        "",
        f"{WEIGHTS} is broken",
    ),
    "overlapping tensors": (header(two_tensors_in_one_place), "", "overlaps another tensor"),
    "tensor beyond the file": (header(a_tensor_beyond_the_file), "", "do not fit its shape"),
    "weights are a folder": (folder(WEIGHTS), "", "There are no weight files."),
    "no weights": (file(WEIGHTS, None), "", "There are no weight files."),
    "weights in another format": (
        lambda model: (model / WEIGHTS).rename(model / "model.gguf"),
        "",
        "model.gguf is broken: it does not begin as GGUF does",
    ),
    "pickle only": (pickled, "", "which needs --allow-pickle"),
    "junk for a pickle": (
        lambda model: [pickled(model), (model / BIN).write_bytes(b"junk" * 99)],
        "--allow-pickle",
        "no pickle was found in it",
    ),
    "adapter alone": (
        an_adapter,
        "",
        "adapter_config.json names no base. Name its base with --base.",
    ),
    "adapter beside the weights": (file("adapter_config.json", b"{}"), "", "an adapter"),
    "wrong shapes": (config(intermediate_size=47), "", "[48] in the files and [47] by config"),
    "too few layers": (config(num_hidden_layers=3), "", "The files lack 16"),
    "zero layers": (config(num_hidden_layers=0), "", "has 0 layers"),
    "a million layers": (config(num_hidden_layers=10**6), "", "asks for 1000000 layers"),
    "config of wrong types": (config(hidden_size="wide"), "", "config.json cannot be used"),
    "no model type": (config(model_type=None), "", "a model without model_type"),
    "unknown model type": (config(model_type="evil\x1b[2J"), "", r"model type 'evil\x1b[2J'"),
    "another type": (config(model_type="t5"), "", "config.json asks for"),
    "vision model": (
        config(model_type="vit"),
        "",
        "has no table of word embeddings (experiment: other word embeddings)",
    ),
    "quantized": (config(quantization_config={"bits": 4}), "", "The weights are quantized"),
    "NaN": (weight(NAN), "", f"{DENSE} holds values that are not finite"),
    "infinity": (weight(INFINITY), "", f"{DENSE} holds values that are not finite"),
    "no tensors": (tensors(lambda held: held.clear()), "", "No tensor is in it"),
    "all zeros": (
        tensors(lambda held: [tensor.zero_() for tensor in held.values()]),
        "--effort quick --texts {root}/texts",
        "does not depend on its table of word embeddings (experiment: other word embeddings)",
    ),
    "no tokenizer": (without_tokenizer, "", "There is no tokenizer"),
    "junk for a tokenizer": (file("tokenizer.json", b"\xff\0"), "", "tokenizer cannot be loaded"),
    "empty tokenizer": (file("tokenizer.json", b"{}"), "", "tokenizer cannot be loaded"),
    "larger tokenizer": (
        vocabulary(lambda words: words.update(zebra=9999)),
        "",
        "'zebra' the id 9999; the model has 160 rows",
    ),
    "empty vocabulary": (vocabulary(lambda words: words.clear()), "", "no tokens but special"),
    "no GPU": (unharmed, "--device cuda", "no CUDA GPU"),
    "no time": (unharmed, "--time-limit 0", "The time limit ran out"),
    "texts too long for the model": (
        beside("texts", b"\n".join(b"%d " % n * 40 for n in range(99))),
        "--texts {root}/texts",
        "texts have 6 to 24 tokens in this model",
    ),
}

RUNS_A_PROGRAM = b"cposix\nsystem\n(S'touch $HOME/was-here'\ntR."
WRITES_A_FILE = b"import pathlib\npathlib.Path.home().joinpath('was-here').touch()\n"


def with_code(model_type: str) -> Damage:
    """Damage: a config that asks for the repository's code, and the code."""

    def damage(model: Path) -> None:
        config(model_type=model_type, auto_map={"AutoModel": "modeling_own.Own"})(model)
        (model / "modeling_own.py").write_bytes(WRITES_A_FILE)

    return damage


CONDEMNED: dict[str, tuple[Damage, str, str]] = {
    "malicious pickle": (
        lambda model: [pickled(model), (model / BIN).write_bytes(RUNS_A_PROGRAM)],
        "--allow-pickle",
        "PLM101 critical: pytorch_model.bin names posix.system",
    ),
    "malicious pickle beside the weights": (
        file("extra.pkl", RUNS_A_PROGRAM),
        "",
        "PLM101 critical: extra.pkl names posix.system",
    ),
    "code of the repository": (with_code("bert"), "", "PLM110 high: config.json maps the model"),
    "model type of the repository": (with_code("own"), "", "PLM110 high: config.json maps"),
}


def cases(table: dict[str, tuple[Damage, str, str]]) -> list[Any]:
    """The parameters of a test, named."""
    return [pytest.param(*case, id=name) for name, case in table.items()]


def assert_tidy(stderr: str) -> None:
    """Only lines of plmscan itself, and no traceback."""
    assert all(line.startswith("plmscan: ") for line in stderr.splitlines()), stderr
    assert "Traceback" not in stderr
    assert "has a bug" not in stderr


def test_the_intact_model_passes(place: Place) -> None:
    """What the tests below see is the doing of the damage, not of the tiny model."""
    before = place.listing()
    result = place.run("--effort", "quick", "--texts", "{root}/texts")
    assert (result.exit_code, place.listing()) == (0, before), result.output
    assert_tidy(result.stderr)


def test_endless_time_is_no_limit(place: Place) -> None:
    """JSON has no infinity, and the report needs none."""
    result = place.run("--files-only", "--time-limit", "inf", "--format", "json")
    assert (result.exit_code, from_json(result.stdout).settings["time_limit"]) == (0, None)


@pytest.mark.parametrize(("damage", "options", "words"), cases(REFUSED))
def test_what_cannot_be_read_is_one_sentence(
    place: Place, damage: Damage, options: str, words: str
) -> None:
    """Exit code 2, nothing on stdout, one sentence on stderr before any work, nothing written.

    Only a full disk shows itself at the end.
    """
    damage(place.model)
    before = place.listing()
    result = place.run(*options.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert_tidy(result.stderr)
    *progress, error = result.stderr.splitlines()
    assert error.startswith("plmscan: error: ")
    assert words.format(root=place.root) in error
    assert not progress or "/dev/full" in options
    assert place.listing() == before


def report_on(place: Place, damage: Damage, options: str) -> tuple[int, Report]:
    """Exit code and report of a damaged model; stderr is tidy and the scan wrote nothing."""
    damage(place.model)
    before = place.listing()
    result = place.run("--format", "json", *options.split())
    assert_tidy(result.stderr)
    assert place.listing() == before
    return result.exit_code, from_json(result.stdout)


@pytest.mark.parametrize(("damage", "options", "words"), cases(UNSCANNED))
def test_what_cannot_be_scanned_is_inconclusive_with_its_reason(
    place: Place, damage: Damage, options: str, words: str
) -> None:
    """Exit code 2 and a report whose first reason is the cause; nothing broke, nothing written."""
    code, report = report_on(place, damage, options)
    assert (code, report.verdict) == (2, Verdict.INCONCLUSIVE)
    assert words in report.reasons[0]
    assert not any("broke with" in run.reason for run in report.probes)


@pytest.mark.parametrize(("damage", "options", "words"), cases(CONDEMNED))
def test_files_that_run_code_fail_and_do_not_run(
    place: Place, damage: Damage, options: str, words: str
) -> None:
    """Exit code 1 by the files alone; the code has left no trace, since nobody ran it."""
    code, report = report_on(place, damage, options)
    assert (code, report.verdict) == (1, Verdict.FAIL)
    assert report.reasons[0].startswith(words)
    assert "loading" in {run.id for run in report.probes if run.status == "skipped"}


@pytest.mark.parametrize(
    "name",
    ["./org/name", "org/na me", "a/b/c", "org/name@", "", "~/model", "a\x1b[2J", "https://hub/a/b"],
)
def test_what_names_no_model_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked on the network about a name that cannot be one."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["check", name], prog_name="plmscan")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert "127.0.0.1" not in result.stderr
    assert_tidy(result.stderr)


def unprivileged() -> list[str]:
    """What goes before a command so that permissions hold, even if root runs the tests."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if (
        shutil.which("setpriv") is None
        or subprocess.run([*command, "true"], check=False).returncode
    ):
        pytest.skip("root runs the tests, and setpriv cannot take its rights away")
    return command


def start(place: Place, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``plmscan check`` in a process of its own, for which permissions hold."""
    command = [*unprivileged(), sys.executable, "-m", "plmscan", "check", *args]
    own = {"HOME": str(place.root / "home"), "TMPDIR": str(place.root / "home"), **environment}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    return subprocess.run(
        command, env=inherited | own, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("locked", "mode", "options", "words"),
    [
        ("model/config.json", 0o000, "", "config.json cannot be read: Permission denied"),
        ("model/model.safetensors", 0o000, "", "model.safetensors cannot be read: Permission"),
        ("model", 0o000, "", "model cannot be read: Permission denied"),
        ("cwd", 0o555, "--output r.json", "cannot be written to r.json: Permission denied"),
    ],
)
def test_what_may_not_be_touched_is_one_sentence(
    place: Place, locked: str, mode: int, options: str, words: str
) -> None:
    """A real process says so and leaves nothing, neither at home nor among temporary files."""
    path = place.root / locked
    before, permissions = place.listing(), path.stat().st_mode
    path.chmod(mode)
    done = start(place, str(place.model), *options.split())
    path.chmod(permissions)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert_tidy(done.stderr)
    assert place.listing() == before


@pytest.fixture
def hub(intact: Path) -> Iterator[HubServer]:
    """A Hub that serves the tiny model as ``org/name``."""
    files = {path.name: path.read_bytes() for path in intact.iterdir()}
    with serve({"org/name": HubRepo(files)}) as server:
        yield server


def test_a_cache_that_cannot_be_written_is_one_sentence(place: Place, hub: HubServer) -> None:
    """A model of the Hub needs a place on disk, and the sentence names the one that does not do."""
    cache, home = place.root / "cwd", place.root / "home"
    cache.chmod(0o555)
    done = start(place, "org/name", "--cache-dir", str(cache), **hub.environment(home))
    cache.chmod(0o755)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"{cache}" in done.stderr
    assert "cannot be used: Permission denied. Check it, or name another" in done.stderr
    assert_tidy(done.stderr)
    assert [*cache.iterdir(), *home.iterdir()] == []


def test_a_full_cache_need_not_be_writable(place: Place, hub: HubServer) -> None:
    """A runner may mount the cache read-only: nothing is written there, nor anywhere else."""
    cache, home = place.root / "cwd", place.root / "home"
    command = ("org/name", "--files-only", "--cache-dir", str(cache))
    assert start(place, *command, **hub.environment(home)).returncode == 0
    modes = {path: path.stat().st_mode for path in (cache, *cache.rglob("*"))}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    before = place.listing()
    again = start(place, *command, **hub.environment(home))
    after = place.listing()
    for path, mode in modes.items():
        path.chmod(mode)
    assert again.returncode == 0, again.stderr
    assert after == before
