"""What files cost that were made to cost much, by their size: seconds, memory, and what is told.

    python -m tests.benchmarks.bounds [KIND ...]

Each file is read by its probe in a worker, under the bounds of a scan.  A cost that grows with the
file shows the same milliseconds a MB in every row; one that grows faster ends at the bound.
"""

from __future__ import annotations

import pickle
import sys
import time
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from plmscan.worker.process import Post
from plmscan.worker.supervisor import Supervisor
from tests.artifacts import artifact_of, write_json
from tests.benchmarks.tables import Table, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from plmscan.evidence import ProbeRun

    Make = Callable[[Path, int], object]

_SIZES = (1, 4, 16, 64)
"""Thousands of parts that a file is made of, or of kB where it has no parts."""
_PICKLE, _TEMPLATE, _TOKENIZER, _HEADER = (
    "pickle-globals",
    "chat-templates",
    "tokenizer-files",
    "safetensors-header",
)


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
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 10_000_000 * (size // 4) + b"N.")


KINDS: Mapping[str, tuple[str, Make]] = {
    "header: many tensors": (_HEADER, _many_tensors),
    "header: a name twice": (_HEADER, _repeated_name),
    "header: a long shape": (_HEADER, _long_shape),
    "template: a chain": (_TEMPLATE, _chain),
    "template: a nest": (_TEMPLATE, _nest),
    "template: questions": (_TEMPLATE, _literals),
    "tokenizer: many tokens": (_TOKENIZER, _many_tokens),
    "tokenizer: many added": (_TOKENIZER, _many_added),
    "tokenizer: a key repeated": (_TOKENIZER, _repeated_keys),
    "tokenizer: brackets": (_TOKENIZER, _brackets),
    "tokenizer: empty lists": (_TOKENIZER, _lists),
    "tokenizer: steps": (_TOKENIZER, _steps),
    "tokenizer: accents": (_TOKENIZER, _accents),
    "vocab.txt: many lines": (_TOKENIZER, _lines),
    "vocab.txt: one line": (_TOKENIZER, _one_line),
    "SentencePiece: many pieces": (_TOKENIZER, _pieces),
    "pickle: opcodes": (_PICKLE, _opcodes),
    "pickle: globals": (_PICKLE, _globals),
    "pickle: nested": (_PICKLE, _nested_pickle),
    "zip: members": (_PICKLE, _members),
    "zip: bomb": (_PICKLE, _bomb),
}
"""What files are made to be, and the probe that reads them."""


def main(asked: list[str]) -> None:
    """Print a table a kind."""
    for name, (probe_id, make) in KINDS.items():
        if not asked or any(name.startswith(one) for one in asked):
            rows = tuple(_row(probe_id, make, size) for size in _SIZES)
            columns = ("MB", "s", "ms a MB", "peak MB", "status", "reason")
            print(markdown(Table(title=name, columns=columns, rows=rows)), flush=True)


def _row(probe_id: str, make: Make, size: int) -> tuple[str, ...]:
    """One file, read by a fresh worker."""
    post = Post()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / "config.json", {"model_type": "bert"})
        make(folder, size)
        artifact = artifact_of(folder)
        megabytes = sum(file.size for file in artifact.files) / 1e6
        supervisor = Supervisor(post)
        supervisor.inspect("hub-security", artifact, None)  # the worker is there now
        began = time.perf_counter()
        run = supervisor.inspect(probe_id, artifact, None)
        seconds = time.perf_counter() - began
        peak = _peak(post, run)
    post.clear()
    cost = f"{1000 * seconds / megabytes:.0f}"
    return f"{megabytes:.2f}", f"{seconds:.2f}", cost, peak, str(run.status), run.reason[:60]


def _peak(post: Post, run: ProbeRun) -> str:
    """The most that the worker had in memory, where Linux tells and it is still there."""
    status = Path(f"/proc/{post.start().pid}/status")
    ended = "was ended" in run.reason or "ran out" in run.reason
    if ended or not status.exists():
        return "ended"
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return f"{int(line.split()[1]) / 1000:.0f}"


if __name__ == "__main__":
    main(sys.argv[1:])
