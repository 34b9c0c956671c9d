"""What files cost that were made to cost much, by their size: seconds, memory, and what is told.

    python -m tests.benchmarks.bounds [KIND ...]

Each model is found in this process, and read by all file probes in a worker, under the bounds of a
scan; a row shows the probe that takes the most time of the processor.  A cost that grows with the
files shows the same milliseconds a MB in every row; one that grows faster ends at the bound.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
import time
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from plmscan.errors import PlmscanError
from plmscan.evidence import ProbeStatus
from plmscan.probes import static_ids
from plmscan.source import SourceOptions, resolve
from plmscan.worker.process import Post
from plmscan.worker.supervisor import Supervisor
from tests.artifacts import write_json
from tests.benchmarks.tables import Table, markdown
from tests.wire_formats import field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plmscan.source import Artifact
    from plmscan.worker.process import WorkerProcess

    Make = Callable[[Path, int], object]

_SIZES = (1, 8, 64, 512)
"""Thousands of parts that a file is made of, or of kB where it has no parts."""
_ENDED = "(ended, so seconds by the clock) "
_FIRST = "hub-security"
"""A probe that does nothing for a folder: it is run until the worker is there."""


def _header(path: Path, text: str) -> None:
    """A safetensors file without tensors' bytes."""
    data = text.encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)


def _entries(names: Iterator[str]) -> str:
    """A header of empty tensors."""
    entry = '"dtype":"F32","shape":[0],"data_offsets":[0,0]'
    return "{" + ",".join(f'"{name}":{{{entry}}}' for name in names) + "}"


def _many_tensors(folder: Path, size: int) -> None:
    """Different names."""
    _header(folder / "model.safetensors", _entries(f"t{i}" for i in range(1000 * size)))


def _repeated_name(folder: Path, size: int) -> None:
    """The last name twice."""
    names = (f"t{min(i, 1000 * size - 2)}" for i in range(1000 * size))
    _header(folder / "model.safetensors", _entries(names))


def _long_shape(folder: Path, size: int) -> None:
    """One tensor with a dimension a number, all of them long."""
    shape = ",".join(["9" * 4000] * size)
    text = f'{{"t":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,0]}}}}'
    _header(folder / "model.safetensors", text)


def _chain(folder: Path, size: int) -> None:
    """A variable set to the next, over and over."""
    steps = "".join(f"{{% set a{i} = a{i + 1} %}}" for i in range(1000 * size // 4))
    (folder / "chat_template.jinja").write_text(f"{steps}{{% set a0 = messages[0].content %}}")


def _nest(folder: Path, size: int) -> None:
    """A condition in a condition."""
    deep = 1000 * size
    body = "{% if messages %}" * deep + "{% endif %}" * deep
    (folder / "chat_template.jinja").write_text(body)


def _literals(folder: Path, size: int) -> None:
    """Texts that are asked for, one after the other."""
    asks = "".join(f"{{% if 'w{i}' in messages[0].content %}}x{{% endif %}}" for i in range(size))
    (folder / "chat_template.jinja").write_text(asks)


def _tokenizer(folder: Path, **parts: object) -> None:
    """A tokenizer.json with other parts than an empty one."""
    whole = {"model": {"type": "WordPiece", "vocab": {"a": 0}}, "added_tokens": []}
    write_json(folder / "tokenizer.json", whole | parts)


def _many_tokens(folder: Path, size: int) -> None:
    """A large vocabulary."""
    vocab = {f"token{i}": i for i in range(1000 * size)}
    _tokenizer(folder, model={"type": "WordPiece", "vocab": vocab})


def _many_added(folder: Path, size: int) -> None:
    """As many added tokens."""
    added = [{"id": i, "content": f"token {i}"} for i in range(1000 * size)]
    _tokenizer(folder, added_tokens=added)


def _repeated_keys(folder: Path, size: int) -> None:
    """One token over and over."""
    vocab = ",".join(['"a":0'] * (1000 * size))
    text = f'{{"model":{{"type":"WordPiece","vocab":{{{vocab}}}}}}}'
    (folder / "tokenizer.json").write_text(text)


def _brackets(folder: Path, size: int) -> None:
    """Nothing but the beginnings of lists."""
    (folder / "tokenizer.json").write_text("[" * 1000 * size)


def _lists(folder: Path, size: int) -> None:
    """Empty lists, the densest that JSON has."""
    (folder / "tokenizer.json").write_text(f"[{'[],' * 1000 * size}[]]")


def _steps(folder: Path, size: int) -> None:
    """Steps of a normalizer, with a sequence in each tenth."""
    step = {"type": "Replace", "pattern": {"Regex": "[^a-z{1111111111}]"}, "content": "x"}
    inner = {"type": "Sequence", "normalizers": [step]}
    steps = [inner if i % 10 == 0 else step for i in range(100 * size)]
    _tokenizer(folder, normalizer={"type": "Sequence", "normalizers": steps})


def _accents(folder: Path, size: int) -> None:
    """A replacement with accents in the worst order."""
    step = {"type": "Replace", "pattern": {"String": "e" + "\u0315\u0300" * 500 * size}}
    _tokenizer(folder, normalizer=step | {"content": "x"})


def _lines(folder: Path, size: int) -> None:
    """A vocabulary of lines."""
    (folder / "vocab.txt").write_text("".join(f"token{i}\n" for i in range(1000 * size)))


def _one_line(folder: Path, size: int) -> None:
    """A vocabulary of one line."""
    (folder / "vocab.txt").write_text("é" * 1000 * size)


def _pieces(folder: Path, size: int) -> None:
    """A SentencePiece model of pieces of eight letters."""
    piece = b"\x0a\x0a\x0a\x08"
    numbered = (piece + f"{i:08}".encode() for i in range(1000 * size))
    (folder / "spiece.model").write_bytes(b"".join(numbered))


def _opcodes(folder: Path, size: int) -> None:
    """A pickle of nothing, put down again."""
    (folder / "head.pkl").write_bytes(b"\x80\x02" + b"N0" * 500 * size + b"N.")


def _globals(folder: Path, size: int) -> None:
    """A pickle that names a class, over and over."""
    body = b"".join(b"cm%d\nn\n0" % i for i in range(100 * size))
    (folder / "head.pkl").write_bytes(b"\x80\x02" + body + b"N.")


def _nested_pickle(folder: Path, size: int) -> None:
    """Pickles in pickles, twenty deep, round a text."""
    held: object = "x" * 1000 * size
    for _ in range(20):
        held = pickle.dumps(held)
    (folder / "head.pkl").write_bytes(pickle.dumps(held))


def _members(folder: Path, size: int) -> None:
    """A zip of small pickles."""
    with zipfile.ZipFile(folder / "state.pt", "w") as archive:
        for i in range(10 * size):
            archive.writestr(f"archive/{i}/data.pkl", b"\x80\x02N.")


def _bomb(folder: Path, size: int) -> None:
    """A zip that unpacks to a thousand times its size."""
    with zipfile.ZipFile(folder / "state.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 10_000_000 * (size // 8) + b"N.")


def _layers(folder: Path, size: int) -> None:
    """A layer a stack, all of different names."""
    names = (f"stack{i}.layers.{i}.weight" for i in range(1000 * size))
    _header(folder / "model.safetensors", _entries(names))


def _free_text(folder: Path, size: int) -> None:
    """As many entries of free text."""
    text = json.dumps({"__metadata__": {f"k{i}": "v" for i in range(1000 * size)}})
    _header(folder / "model.safetensors", text)


def _index(folder: Path, size: int) -> None:
    """An index of tensors in one file, which holds none of them."""
    _header(folder / "model-1.safetensors", _entries(iter(("t",))))
    places = {f"t{i}": "model-1.safetensors" for i in range(1000 * size)}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def _shards(folder: Path, size: int) -> None:
    """An index in which every tensor has a file of its own."""
    places = {f"t{i}": f"model-{i}.safetensors" for i in range(1000 * size)}
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def _merges(folder: Path, size: int) -> None:
    """Merges without tokens."""
    merges = [[f"a{i}", f"b{i}"] for i in range(1000 * size)]
    _tokenizer(folder, model={"type": "BPE", "vocab": {"a": 0}, "merges": merges})


def _decoder(folder: Path, size: int) -> None:
    """Added tokens in the settings of the tokenizer, each for one that is there already."""
    _tokenizer(folder, model={"type": "WordPiece", "vocab": {"a": 0}})
    added = {str(i): {"content": f"token {i}"} for i in range(1000 * size)}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": added})


def _unigram(folder: Path, size: int) -> None:
    """A vocabulary of pieces with probabilities."""
    vocab = [[f"token{i}", -1.0] for i in range(1000 * size)]
    _tokenizer(folder, model={"type": "Unigram", "unk_id": 0, "vocab": vocab})


def _text(folder: Path, size: int) -> None:
    """A template of text and nothing else."""
    (folder / "chat_template.jinja").write_text("word " * 200 * size)


def _sums(folder: Path, size: int) -> None:
    """Texts put together, one behind the other."""
    terms = "+".join(["messages[0].content"] * 50 * size)
    (folder / "chat_template.jinja").write_text(f"{{{{ {terms} }}}}")


def _parentheses(folder: Path, size: int) -> None:
    """An expression in parentheses."""
    deep = 1000 * size
    (folder / "chat_template.jinja").write_text("{{ " + "(" * deep + "1" + ")" * deep + " }}")


def _loops(folder: Path, size: int) -> None:
    """A loop in a loop, over many numbers."""
    deep = min(size, 60)
    body = "{% for i in range(99999) %}" * deep + "x" + "{% endfor %}" * deep
    (folder / "chat_template.jinja").write_text(body)


def _many_templates(folder: Path, size: int) -> None:
    """A file a template."""
    (folder / "additional_chat_templates").mkdir()
    for i in range(size):
        file = folder / "additional_chat_templates" / f"t{i}.jinja"
        file.write_text("{{ messages[0].content }}" * 500)


def _macros(folder: Path, size: int) -> None:
    """Macros that call the one before twice."""
    first = "{% macro m0() %}x{% endmacro %}"
    rest = (
        f"{{% macro m{i}() %}}{{{{ m{i - 1}() }}}}{{{{ m{i - 1}() }}}}{{% endmacro %}}"
        for i in range(1, size + 1)
    )
    body = f"{first}{''.join(rest)}{{{{ m{size}() }}}}"
    (folder / "chat_template.jinja").write_text(body)


def _memo(folder: Path, size: int) -> None:
    """A pickle that remembers and recalls the same text."""
    body = b"\x8c\x01x\x940" + b"h\x000" * 300 * size
    (folder / "head.pkl").write_bytes(b"\x80\x04" + body + b"N.")


def _doubled(folder: Path, size: int) -> None:
    """A pickle of pairs that hold the same pair twice."""
    pairs = b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(min(250, size)))
    (folder / "head.pkl").write_bytes(b"\x80\x04N\x94" + pairs + b".")


def _zips_in_zips(folder: Path, size: int) -> None:
    """Archives in archives."""
    held = b"\x80\x02N."
    for _ in range(size):
        box = BytesIO()
        with zipfile.ZipFile(box, "w") as archive:
            archive.writestr("data.pkl", held)
        held = box.getvalue()
    (folder / "state.pt").write_bytes(held)


def _zips_side_by_side(folder: Path, size: int) -> None:
    """An archive of archives."""
    box = BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02N.")
    with zipfile.ZipFile(folder / "state.pt", "w") as archive:
        for i in range(10 * size):
            archive.writestr(f"{i}.zip", box.getvalue())


def _nodes(folder: Path, size: int) -> None:
    """An ONNX graph of empty nodes."""
    graph = field(1, b"") * 1000 * size
    (folder / "model.onnx").write_bytes(b"\x08\x08" + field(7, graph))


def _graphs(folder: Path, size: int) -> None:
    """ONNX graphs in graphs."""
    graph = b""
    for _ in range(min(size, 64) * 10):
        graph = field(1, field(5, field(6, graph)))
    (folder / "model.onnx").write_bytes(b"\x08\x08" + field(7, graph))


def _entries_of_gguf(folder: Path, size: int) -> None:
    """Entries of metadata, with a name of no letters."""
    entry = struct.pack("<QIB", 0, 0, 1)
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1000 * size)
    (folder / "model.gguf").write_bytes(start + entry * 1000 * size)


def _strings_of_gguf(folder: Path, size: int) -> None:
    """One list of empty texts."""
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<QII", 0, 9, 8)
    count = 1000 * size
    (folder / "model.gguf").write_bytes(start + struct.pack("<Q", count) + bytes(8) * count)


def _settings(folder: Path, size: int) -> None:
    """As many keys in config.json."""
    keys = dict.fromkeys(map(str, range(1000 * size)), 0)
    write_json(folder / "config.json", {"model_type": "bert"} | keys)


def _deep_settings(folder: Path, size: int) -> None:
    """Objects in objects in config.json."""
    deep = 1000 * size
    (folder / "config.json").write_text('{"a":' * deep + "1" + "}" * deep)


def _long_number(folder: Path, size: int) -> None:
    """A number in config.json."""
    number = "9" * 1000 * size
    (folder / "config.json").write_text(f'{{"model_type":"bert","vocab_size":{number}}}')


def _code_names(folder: Path, size: int) -> None:
    """Classes that config.json names."""
    names = {f"Auto{i}": f"a{i}.B" for i in range(1000 * size)}
    write_json(folder / "config.json", {"model_type": "bert", "auto_map": names})


def _modules(folder: Path, size: int) -> None:
    """A list of modules."""
    kind = "sentence_transformers.models.Dense"
    modules = [{"path": f"{i}_Dense", "type": kind} for i in range(200 * size)]
    write_json(folder / "modules.json", modules)


def _files(folder: Path, size: int) -> None:
    """Small files side by side, some of them settings."""
    for i in range(min(size * 100, 20_000)):
        (folder / f"{i}{('.txt', '_config.json')[i % 2]}").write_text("{}")


def _models(folder: Path, size: int) -> None:
    """Folders that are models."""
    for i in range(min(size * 10, 5000)):
        place = folder / str(i)
        place.mkdir()
        write_json(place / "config.json", {"model_type": "bert"})
        _header(place / "model.safetensors", "{}")


def _deep(folder: Path, size: int) -> None:
    """Folders in folders, with a model at the bottom."""
    place = folder
    for _ in range(min(size * 10, 400)):  # Python cannot take many more away again
        place /= "d"
        place.mkdir()
    write_json(place / "config.json", {"model_type": "bert"})


def _links(folder: Path, size: int) -> None:
    """A chain of links that ends where it begins."""
    for i in range(min(size, 500)):
        (folder / f"{i}_config.json").symlink_to(f"{(i + 1) % min(size, 500)}_config.json")


KINDS: Mapping[str, Make] = {
    "header: many tensors": _many_tensors,
    "header: a name twice": _repeated_name,
    "header: a long shape": _long_shape,
    "header: stacks of layers": _layers,
    "header: free text": _free_text,
    "index: one file": _index,
    "index: a file a tensor": _shards,
    "template: a chain": _chain,
    "template: a nest": _nest,
    "template: questions": _literals,
    "template: text": _text,
    "template: a sum": _sums,
    "template: parentheses": _parentheses,
    "template: loops": _loops,
    "template: macros": _macros,
    "template: many files": _many_templates,
    "tokenizer: many tokens": _many_tokens,
    "tokenizer: many pieces": _unigram,
    "tokenizer: many merges": _merges,
    "tokenizer: many added": _many_added,
    "tokenizer: many added in the settings": _decoder,
    "tokenizer: a key repeated": _repeated_keys,
    "tokenizer: brackets": _brackets,
    "tokenizer: empty lists": _lists,
    "tokenizer: steps": _steps,
    "tokenizer: accents": _accents,
    "vocab.txt: many lines": _lines,
    "vocab.txt: one line": _one_line,
    "SentencePiece: many pieces": _pieces,
    "pickle: opcodes": _opcodes,
    "pickle: globals": _globals,
    "pickle: memo": _memo,
    "pickle: doubled": _doubled,
    "pickle: nested": _nested_pickle,
    "zip: members": _members,
    "zip: zips side by side": _zips_side_by_side,
    "zip: zips in zips": _zips_in_zips,
    "zip: bomb": _bomb,
    "ONNX: nodes": _nodes,
    "ONNX: graphs in graphs": _graphs,
    "GGUF: entries": _entries_of_gguf,
    "GGUF: texts": _strings_of_gguf,
    "config: many keys": _settings,
    "config: objects in objects": _deep_settings,
    "config: a long number": _long_number,
    "config: classes": _code_names,
    "modules.json": _modules,
    "folder: small files": _files,
    "folder: many models": _models,
    "folder: deep": _deep,
    "folder: links in a circle": _links,
}
"""What models are made to be."""
_COLUMNS = ("MB", "finding s", "costliest probe", "s", "ms a MB", "peak MB", "told")


def main(asked: list[str]) -> None:
    """Print a table a kind."""
    for name, make in KINDS.items():
        if not asked or any(name.startswith(one) for one in asked):
            rows = tuple(_row(make, size) for size in _SIZES)
            print(markdown(Table(title=name, columns=_COLUMNS, rows=rows)), flush=True)


def _row(make: Make, size: int) -> tuple[str, ...]:
    """One model: what it takes to find it, and what its costliest probe takes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / "config.json", {"model_type": "bert"})
        make(folder, size)
        began = time.process_time()
        try:
            artifact = resolve(str(folder), SourceOptions(allow_pickle=True))
        except PlmscanError as error:
            finding = time.process_time() - began
            return "", f"{finding:.2f}", "", "", "", "", f"refused: {error.problem[-60:]}"
        finding = time.process_time() - began
        costs = _costs(artifact)
    most = max(costs, key=lambda cost: cost.seconds)
    megabytes = sum(file.size for file in artifact.files) / 1e6
    peak = max(cost.megabytes for cost in costs)
    cost = f"{1000 * most.seconds / megabytes:.0f}"
    told = most.told or next((cost.told for cost in costs if cost.told), "")
    figures = f"{megabytes:.2f}", f"{finding:.2f}", most.probe, f"{most.seconds:.2f}", cost
    return *figures, f"{peak:.0f}", told[:60]


@dataclass(frozen=True)
class _Cost:
    """What one probe took."""

    probe: str
    """Which."""
    seconds: float
    """Of the processor."""
    megabytes: float
    """The most that its worker had beyond what it had before; 0 where nobody tells."""
    told: str
    """Why it did not complete; empty if it did."""


def _costs(artifact: Artifact) -> list[_Cost]:
    """What each file probe takes, and reading who the model is."""
    post = Post()
    supervisor = Supervisor(post)
    try:
        return [_cost(post, supervisor, probe, artifact) for probe in (*static_ids(), "identity")]
    finally:
        post.clear()


def _cost(post: Post, supervisor: Supervisor, probe: str, artifact: Artifact) -> _Cost:
    """What one of them takes; a worker that was ended has taken all that it may."""
    supervisor.inspect(_FIRST, artifact, None)  # the worker is there now
    worker = post.start()
    before, base = worker.spent(), _memory(worker, "VmRSS")
    _forget_the_peak(worker)
    told, began = "", time.perf_counter()
    if probe == "identity":
        supervisor.identify(artifact)
    else:
        run = supervisor.inspect(probe, artifact, None)
        told = "" if run.status is ProbeStatus.SKIPPED else run.reason
    seconds, spent = time.perf_counter() - began, worker.spent()
    if before is None or spent is None:
        told = f"{_ENDED}{told}"
    else:
        seconds = spent.worked - before.worked
    return _Cost(probe, seconds, max(_memory(worker, "VmHWM") - base, 0.0), told)


def _memory(worker: WorkerProcess, key: str) -> float:
    """MB that Linux tells of under ``key``; 0 elsewhere, and where the worker is gone."""
    try:
        status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    lines = (line.split() for line in status.splitlines() if line.startswith(key))
    return next((int(words[1]) / 1000 for words in lines), 0.0)


def _forget_the_peak(worker: WorkerProcess) -> None:
    """Have Linux begin again with the most that the process had."""
    if os.path.exists(file := f"/proc/{worker.pid}/clear_refs"):  # noqa: PTH110
        Path(file).write_text("5", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
