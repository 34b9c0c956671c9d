"""Pickles that run code when they are loaded, in every disguise that is known."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import zipfile
import zlib
from typing import TYPE_CHECKING

import joblib
import lz4.frame
import numpy as np
import pytest

from plmscan.pickles import Level, judge, read
from tests.pickled import call, constant, seven_zipped, stack_name, tarred, text, text_name, zipped

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = call("posix", "system")
"""The plainest of all."""
TRUE = b"(" + text("true") + b"tR."
"""Calls what lies on the stack."""


def harm(path: Path) -> set[str]:
    """What the pickles in the file name or do that is dangerous."""
    reading = read(path, is_named_pickle=True)
    names = {i.full for i, use in reading.uses.items() if judge(i, use) is Level.DANGEROUS}
    return names | set(reading.acts)


def object_array(payload: bytes) -> bytes:
    """A numpy file whose objects are ``payload``."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([None]), allow_pickle=True)
    header = buffer.getvalue()
    return header[: header.index(b"\n") + 1] + payload


def behind_a_lying_type() -> bytes:
    """A pickle whose array has longer items than its type says at first, as joblib finds out."""
    buffer = io.BytesIO()
    joblib.dump(np.zeros(1, dtype="S9"), buffer)
    made = buffer.getvalue().replace(b"\x8c\x02S9", b"\x8c\x02S1")
    return made.removesuffix(b".") + SYSTEM[2:]


def behind_a_fake_array() -> bytes:
    """A pickle that joblib reads to its end, and that goes on for whoever does not know arrays.

    joblib takes what follows for 48 bytes of padding and an array; pickle, for instructions.
    """
    buffer = io.BytesIO()
    joblib.dump(np.zeros(64, dtype="u1"), buffer)
    made = buffer.getvalue()
    payload = SYSTEM[2:].ljust(ord("0") + 64, b".")
    return made[: made.rindex(b"b") + 1] + b"0" + payload + b"."


def amid_a_frame() -> bytes:
    """A pickle whose second array lies behind its frame, which joblib reads as a whole before it.

    Who reads byte by byte takes the frame's end for the array, and never sees what it calls.
    """
    buffer = io.BytesIO()
    joblib.dump(np.ones(64, dtype="u1"), buffer)
    first = buffer.getvalue()
    instructions = first[first.index(b"\x95") + 9 : first.rindex(b"b") + 1]
    size = 1 + ord("0") + 64
    frame = instructions + (b"0" + SYSTEM[2:]).ljust(size, b".")
    array = b"0N.".ljust(size, b".")
    return first[:-1] + b"0\x95" + len(frame).to_bytes(8, "little") + frame + array


SPELLINGS = {
    "protocol 0": b"cposix\nsystem\n(S'true'\ntR.",
    "INST": b"(S'true'\niposix\nsystem\n.",
    "INST without its last line feed": b"(S'true'\niposix\nsystem!",
    "OBJ": b"(cposix\nsystem\nS'true'\no.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n)\x81.",
    "NEWOBJ_EX": b"\x80\x04" + stack_name("subprocess", "Popen") + b")}\x92.",
    "reconstructor": call(
        "copyreg", "_reconstructor", text_name("subprocess", "Popen"), text_name("a", "b"), b"N"
    ),
    "STRING with escapes": b"\x80\x04S'p\\x6fsix'\nS'syst\\145m'\n\x93" + TRUE,
    "UNICODE with escapes": b"\x80\x04Vp\\u006fsix\nVsystem\n\x93" + TRUE,
    "SHORT_BINSTRING": b"\x80\x04U\x05posixU\x06system\x93" + TRUE,
    "BINUNICODE8": b"\x80\x04\x8d\x05\0\0\0\0\0\0\0posix" + text("system") + b"\x93" + TRUE,
    "memo by PUT": b"\x80\x04Vposix\np7\n0Vtorch\n0g7\nVsystem\n\x93" + TRUE,
    "memo by MEMOIZE": (
        b"\x80\x04" + text("system") + b"\x94" + text("posix") + b"\x94h\x01h\x00\x93" + TRUE
    ),
    "memo overwritten": b"\x80\x04" + text("math") + b"q\x00" + text("posix") + b"q\x000h\x00"
    + text("system") + b"\x93" + TRUE,
    "DUP": b"\x80\x04" + text("posix") + b"2" + text("system") + b"\x93" + TRUE,
    "POP_MARK": b"\x80\x04" + text("posix") + b"(NN1" + text("system") + b"\x93" + TRUE,
    "PROTO 255": b"\x80\xff" + SYSTEM[2:],
    "PROTO in the middle": b"\x80\x02N0" + SYSTEM,
    "short frame": b"\x80\x04\x95\x01\0\0\0\0\0\0\0" + SYSTEM[2:],
    "long frame": b"\x80\x04\x95\xff\xff\xff\0\0\0\0\0" + SYSTEM[2:],
    # Ours is memo 12 for a reader that joins the frame's last byte with what follows it.
    "across a frame": (
        b"\x80\x04" + b"".join(text(word) + put + b"0" for word, put in (
            ("collections", b"q\x0c"), ("OrderedDict", b"q\x0d"), ("posix", b"q\x02"),
            ("system", b"q\x03"),
        ))
        + b"\x95\x02\0\0\0\0\0\0\0g12\n\x95\x02\0\0\0\0\0\0\0g13\n\x93" + TRUE
    ),
    "cut short": SYSTEM[:-1],
    "junk behind": SYSTEM[:-1] + b"\xff\xff",
    "behind STOP": pickle.dumps({"a": 1}) + SYSTEM,
    "behind STOP, text": b"I1\n." * 3 + b"cposix\nsystem\n(S'true'\ntR.",
    "third of three": pickle.dumps(1) + pickle.dumps([2]) + SYSTEM,
    "behind a long line": b"\x80\x04V" + b"x" * 100_000 + b"\n0" + SYSTEM[2:],
    "behind a long text": b"\x80\x04X\x00\x00\x02\x00" + b"x" * 2**17 + b"0" + SYSTEM[2:],
    "in a persistent id": b"\x80\x02" + SYSTEM[2:-1] + b"QN.",
    "as a dictionary's key": b"\x80\x02}" + SYSTEM[2:-1] + b"Ns.",
    "an extension": b"\x80\x02\x82\x05(X\x04\0\0\0truetR.",
    "a large extension": b"\x80\x02\x84\x05\0\0\0)R.",
}  # fmt: skip

NAMES = {
    "dotted": call("pathlib", "os.system"),
    "dotted through torch": call("torch.serialization", "os.system"),
    "a module as a name": b"\x80\x04" + stack_name("torch.serialization", "os") + b".",
    "dotted twice": call("sklearn.base", "warnings.sys.modules"),
    "globals of a function": call("collections", "OrderedDict.__init__.__globals__"),
    "subclasses": call("collections", "OrderedDict.__subclasses__"),
    "builtins of a module": call("numpy", "__builtins__"),
    "python 2": call("commands", "getoutput"),
    "python 2 builtin": call("__builtin__", "apply"),
    "six": call("six.moves.builtins", "eval"),
    "import": call("builtins", "__import__"),
    "eval": call("builtins", "eval"),
    "a made-up class": call("builtins", "type", text("A"), b")", b"}"),
    "a lazy call": call("builtins", "map", text_name("a", "b"), b"]"),
    "partial of something computed": call("functools", "partial", call("a", "b")[2:-1]),
    "attrgetter": call("operator", "attrgetter"),
    "methodcaller": call("_operator", "methodcaller"),
    "reduce": call("functools", "reduce", text_name("a", "b"), b"]"),
    "numpy.load": call("numpy", "load", text("a"), b"N", b"\x88"),
    "numpy.memmap": call("numpy", "memmap"),
    "codecs": call("codecs", "decode"),
    "joblib": call("joblib", "load"),
    "torch": call("torch", "load"),
    "torch.hub": call("torch.hub", "load"),
    "pandas": call("pandas", "read_pickle"),
    "a logging server": call("logging.config", "listen"),
    "spawn": call("multiprocessing.util", "spawnv_passfds"),
    "dill": call("dill._dill", "_create_function"),
    "marshal": call("marshal", "loads"),
    "a code object": call("types", "CodeType"),
    "zipimport": call("zipimport", "zipimporter"),
    "cloudpickle": call("cloudpickle.cloudpickle", "subimport"),
    "pip": call("pip._internal.cli.main", "main"),
    "fx": call("torch.fx.graph_module", "reduce_graph_module"),
    "transformers": call("transformers.dynamic_module_utils", "get_class_in_module"),
    "a function of scikit-learn": call("sklearn.utils._testing", "set_random_state"),
    "a distribution of scipy": call("scipy.io", "loadmat"),
    "BytesIO": call("_io", "BytesIO"),
    "a factory": call("collections", "defaultdict", stack_name("os", "system")),
    "getattr of a module": call("builtins", "getattr", stack_name("torch", "serialization"),
                                text("os.system")),
    "getattr of something computed": call("builtins", "getattr", call("a", "b")[2:-1], text("c")),
    "getattr of a name that is computed": call(
        "builtins", "getattr", stack_name("a", "b"), call("builtins", "str")[2:-1]
    ),
}  # fmt: skip

DEEDS = {
    "a call of a partial": (
        b"\x80\x04" + call("functools", "partial", stack_name("a", "b"))[2:-1] + b")R."
    ),
    "a call of a result": b"\x80\x04" + call("collections", "OrderedDict")[2:-1] + b")R.",
    "an object of a result": b"\x80\x04" + call("collections", "OrderedDict")[2:-1] + b")\x81.",
    "a name that is no text": (
        b"\x80\x04" + text("posix") + call("builtins", "str")[2:-1] + b"\x93."
    ),
    "the state of a class": b"\x80\x04" + stack_name("torch.nn.parameter", "Parameter") + b"}b.",
    "an item of a module": b"\x80\x04" + stack_name("collections", "OrderedDict") + b"NNs.",
    "an element of a class": b"\x80\x04" + stack_name("collections", "deque") + b"Na.",
    "rebuilt by any function": call(
        "torch._tensor", "_rebuild_from_type_v2", stack_name("posix", "system"), b"N", text("a"),
        b"N"
    ),
    "rebuilt by a result": call("torch._tensor", "_rebuild_from_type_v2", b"N", b"N", b")", b"N"),
    "a member of an enumeration that is none": call(
        "builtins", "getattr", stack_name("transformers.trainer_utils", "IntervalStrategy"),
        text("__init__")
    ),
}  # fmt: skip

NESTED = {
    "in bytes": call("a", "b", constant(SYSTEM)),
    "in a byte array": call("a", "b", b"\x96" + len(SYSTEM).to_bytes(8, "little") + SYSTEM),
    "in text protocol": call("a", "b", constant(b"cposix\nsystem\n(S'true'\ntR.")),
    "for torch": call("torch.storage", "_load_from_bytes", constant(SYSTEM)),
    "for torch, computed": call(
        "torch.storage", "_load_from_bytes", call("builtins", "bytes")[2:-1]
    ),
    "in latin-1": call(
        "a", "b", call("_codecs", "encode", b"X" + len(SYSTEM.decode("latin-1").encode()).to_bytes(
            4, "little") + SYSTEM.decode("latin-1").encode(), text("latin1"))[2:-1]
    ),
    "in a STRING": b"\x80\x02U" + bytes([len(SYSTEM)]) + SYSTEM + b".",
    "three deep": call(
        "a", "b", constant(call("a", "b", constant(call("a", "b", constant(SYSTEM)))))
    ),
    "zipped": call("a", "b", constant(zipped(("data.pkl", SYSTEM)))),
    "compressed": call("a", "b", constant(gzip.compress(SYSTEM))),
}  # fmt: skip

WRAPPED = {
    "gzip": gzip.compress(SYSTEM),
    "gzip twice": gzip.compress(gzip.compress(SYSTEM)),
    "gzip in two parts": gzip.compress(SYSTEM[:9]) + gzip.compress(SYSTEM[9:]),
    "gzip with a wrong checksum": gzip.compress(SYSTEM)[:-8] + bytes(8),
    "bzip2": bz2.compress(SYSTEM),
    "xz": lzma.compress(SYSTEM),
    "lzma": lzma.compress(SYSTEM, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress(SYSTEM),
    "lz4": lz4.frame.compress(SYSTEM),
    "7z": seven_zipped(("weights", SYSTEM)),
    "7z in zip": zipped(("a", seven_zipped(("weights", SYSTEM)))),
    "zip": zipped(("a/data.pkl", SYSTEM)),
    "zip, odd name": zipped(("a/readme", SYSTEM)),
    "zip, tensor's name": zipped(("archive/data/0", SYSTEM)),
    "zip, deflated": zipped(("a", SYSTEM), method=zipfile.ZIP_DEFLATED),
    "zip, bzip2": zipped(("a", SYSTEM), method=zipfile.ZIP_BZIP2),
    "zip, lzma": zipped(("a", SYSTEM), method=zipfile.ZIP_LZMA),
    "zip in zip": zipped(("a", zipped(("b", SYSTEM)))),
    "zip in deflated zip": zipped(
        ("a", zipped(("b", SYSTEM))), method=zipfile.ZIP_DEFLATED
    ),
    "zip behind data": b"#!/bin/sh\n" * 50 + zipped(("a", SYSTEM)),
    "zip behind a pickle": pickle.dumps({"a": 1}) + zipped(("a", SYSTEM)),
    "two zips": zipped(("a", SYSTEM)) + zipped(("a", b"nothing")),
    "pickle before a zip": SYSTEM + zipped(("a", b"nothing")),
    "zip with a hidden member": zipped(("data.pkl", SYSTEM))[: -(22 + 46 + 8)]
    + zipped(("data.pkl", pickle.dumps(1))),
    "tar": tarred(("weights", SYSTEM)),
    "tar in gzip": tarred(("./model_weights.ckpt", zipped(("a/data.pkl", SYSTEM))), mode="w:gz"),
    "tar in xz": tarred(("x", b"text"), ("y", SYSTEM), mode="w:xz"),
    "tar in zip": zipped(("a.tar", tarred(("b", SYSTEM)))),
    "a tar whose first name is a pickle": tarred(("cposix\nsystem\n(S'true'\ntR.", b"x")),
    "numpy": object_array(SYSTEM),
    "numpy archive": zipped(("a.npy", object_array(SYSTEM))),
    "behind a fake array": behind_a_fake_array(),
    "behind a lying type": behind_a_lying_type(),
    "amid a frame": amid_a_frame(),
    "joblib": b"ZF" + b"0x2b".ljust(19) + zlib.compress(SYSTEM),
    "torch, computed magic number": call("builtins", "eval") + pickle.dumps(1001) + SYSTEM,
}  # fmt: skip


@pytest.mark.parametrize(
    "content", [*SPELLINGS.values(), *NAMES.values(), *DEEDS.values(), *NESTED.values(),
                *WRAPPED.values()],
    ids=[*SPELLINGS, *NAMES, *DEEDS, *NESTED, *WRAPPED],
)  # fmt: skip
def test_no_disguise_hides_what_a_pickle_runs(tmp_path: Path, content: bytes) -> None:
    """However a name is spelled, reached, wrapped or computed, the file is dangerous."""
    (tmp_path / "model_head.pkl").write_bytes(content)
    assert harm(tmp_path / "model_head.pkl")


@pytest.mark.parametrize(
    "content", [*SPELLINGS.values(), *WRAPPED.values()], ids=[*SPELLINGS, *WRAPPED]
)
def test_a_pickle_needs_no_name(tmp_path: Path, content: bytes) -> None:
    """The same files are as dangerous under a name that promises nothing."""
    (tmp_path / "notes").write_bytes(content)
    reading = read(tmp_path / "notes", is_named_pickle=False)
    assert reading.pickles
    assert any(judge(i, use) is Level.DANGEROUS for i, use in reading.uses.items()) or reading.acts


def test_a_name_is_told_by_what_it_reaches(tmp_path: Path) -> None:
    """Escapes, the memo and the names of Python 2 all lead to the same words."""
    for content in (SPELLINGS["memo by PUT"], SPELLINGS["UNICODE with escapes"]):
        (tmp_path / "a.pkl").write_bytes(content)
        assert harm(tmp_path / "a.pkl") == {"posix.system"}
    (tmp_path / "a.pkl").write_bytes(call("__builtin__", "execfile"))
    assert harm(tmp_path / "a.pkl") == {"builtins.execfile"}
