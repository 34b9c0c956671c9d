"""What a name in a pickle stands for, judged by an allow-list.

Whoever unpickles a file imports the names in it and calls some of them.  A list of bad names is
never complete, so only names on the list in ``allowed.json`` are harmless, and each only for what
its own library's pickles do with it.  All others are *unknown*; those that lead to code, to files
or to the network by what is known of them are *dangerous*, which changes how they are told.
"""

from __future__ import annotations

import json
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = [
    "Global",
    "Level",
    "Permission",
    "Use",
    "allowed",
    "builds_tensors",
    "is_enum",
    "judge",
    "permission",
]

_LONGEST = 120
_ARRAYS = frozenset(
    {
        "numpy.dtype",
        "numpy.ndarray",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
    }
)
"""What numpy needs to build an array of plain numbers."""


class Use(IntEnum):
    """What a pickle does with a name; each includes those before it."""

    MENTION = 0
    """It is imported, and a value like any other."""
    BUILD = 1
    """An object of the class is made without its constructor, and its state is set."""
    CALL = 2
    """It is called."""


class Permission(IntEnum):
    """What an allowed name may be used for; `Use` has the same order."""

    MENTION = 0
    """Functions that estimators hold."""
    BUILD = 1
    """Classes whose objects pickle as their state."""
    CALL = 2
    """Functions and classes that pickles call to make objects of plain data."""
    ENUM = 3
    """The same for enumerations, whose members pickle as calls or as attributes."""
    WEIGHTS = 4
    """What torch's ``weights_only`` loading calls, too."""


class Level(Enum):
    """How a name is judged."""

    ALLOWED = "allowed"
    """It only builds data."""
    UNKNOWN = "unknown"
    """Nobody knows what it does."""
    DANGEROUS = "dangerous"
    """It leads to code, files or the network."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that a pickle imports."""

    module: str
    """The module, as Python 3 calls it."""
    name: str
    """The name in it, with dots where it is the attribute of a class or a module."""

    @classmethod
    def of(cls, module: str, name: str) -> Global:
        """The name by its place in Python 3, which is where loaders look for it."""
        module, name = NAME_MAPPING.get((module, name), (module, name))
        return cls(IMPORT_MAPPING.get(module, module), name)

    @property
    def full(self) -> str:
        """Module and name, as a reader knows them."""
        return f"{self.module}.{self.name}"

    @property
    def shown(self) -> str:
        """The same, short enough for a sentence, in one line whatever the file holds."""
        full = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in self.full)
        return full if len(full) <= _LONGEST else f"{full[: _LONGEST - 3]}..."


@cache
def _stored() -> dict[str, Any]:
    """The list as it is stored."""
    path = files("plmscan.pickles").joinpath("allowed.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@cache
def _lists() -> tuple[dict[str, dict[str, Permission]], frozenset[str]]:
    """Permission by module and name, and the modules of the standard library."""
    stored = _stored()
    by_module: dict[str, dict[str, Permission]] = {}
    for permissions in stored["libraries"].values():
        for word, modules in permissions.items():
            for module, names in modules.items():
                known = by_module.setdefault(module, {})
                for name in names.split():
                    known[name] = max(Permission[word.upper()], known.get(name, Permission(0)))
    return by_module, frozenset(stored["standard_library"].split())


def allowed() -> dict[str, Permission]:
    """Every allowed name, with what it is allowed for."""
    return {f"{m}.{n}": p for m, names in _lists()[0].items() for n, p in names.items()}


def permission(item: Global) -> Permission | None:
    """What ``item`` is allowed for; None if it is not on the list."""
    return _lists()[0].get(item.module, {}).get(item.name)


def builds_tensors(item: Global) -> bool:
    """Whether ``item`` is what pickled weights need: torch's own list, and plain arrays."""
    return permission(item) is Permission.WEIGHTS or item.full in _ARRAYS


def is_enum(item: Global) -> bool:
    """Whether ``item`` is an allowed enumeration."""
    return permission(item) is Permission.ENUM


_CODE = frozenset({
    "IPython", "__builtin__", "__builtins__", "_distutils_hack", "_pytest", "aiohttp", "botocore",
    "boto3", "bs4", "celery", "cffi", "click", "cloudpickle", "conda", "cupy", "dask", "dill",
    "distributed", "django", "docker", "execnet", "execjs", "fabric", "flask", "fsspec", "future",
    "gevent", "git", "httplib2", "httpx", "httpcore", "invoke", "ipykernel", "jsonpickle",
    "jupyter", "keras", "line_profiler", "llvmlite", "lxml", "mako", "mpmath", "nose", "nltk",
    "numba", "numexpr", "openai", "paramiko", "past", "pexpect", "pip", "pkg_resources",
    "plumbum", "psutil", "ptyprocess", "py", "pycuda", "pyro", "pytest", "pywintypes",
    "ray", "requests", "scrapy", "selenium", "setuptools", "sh", "shellingham", "six",
    "smart_open", "sqlalchemy", "sympy", "tensorflow", "tornado", "toolz", "twisted", "urllib3",
    "virtualenv", "websocket", "websockets", "wheel", "win32api", "win32com", "win32process",
    "yaml", "zerorpc", "zmq",
})  # fmt: skip
"""Libraries of which every name is a way to code, to files or to the network, or to a function
that calls what it is given; the standard library, which is all of that, has a list of its own."""

_CODE_MODULES = (
    "numpy.ctypeslib",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.lib._npyio_impl",
    "numpy.lib.npyio",
    "numpy.testing",
    "pandas.io",
    "scipy.io",
    "scipy.weave",
    "sklearn.datasets",
    "torch._C",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.elastic",
    "torch.distributed.launch",
    "torch.distributed.rpc",
    "torch.distributed.run",
    "torch.fx",
    "torch.hub",
    "torch.jit",
    "torch.multiprocessing",
    "torch.ops",
    "torch.package",
    "torch.utils._config_module",
    "torch.utils.benchmark",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.cpp_extension",
    "torch.utils.data.datapipes",
    "torch.utils.hipify",
    "torch.utils.model_zoo",
    "torch.utils.serialization",
    "transformers.dynamic_module_utils",
    "transformers.utils.import_utils",
)
"""Parts of well-known libraries that load, compile or start what they are given."""

_LISTED = frozenset({
    "accelerate", "catboost", "deepspeed", "huggingface_hub", "joblib", "lightgbm", "lightning",
    "lightning_fabric", "numpy", "pandas", "peft", "pytorch_lightning", "safetensors", "scipy",
    "sentence_transformers", "setfit", "sklearn", "skops", "torch", "torchaudio", "torchvision",
    "transformers", "trl", "xgboost",
})  # fmt: skip
"""Libraries whose own pickles call few functions, all of them known: another one is no data."""

_KNOWN_CALLS = frozenset({"_unpickle", "_unpickle_block", "newObj", "_new_Index"})
"""Names of functions that the pickles of many libraries' classes call."""


@cache
def judge(item: Global, use: Use) -> Level:
    """What it means that a pickle uses ``item`` so."""
    granted = permission(item)
    if item.module.partition(".")[0] == "__torch__" or (granted is not None and granted >= use):
        return Level.ALLOWED
    is_harmful = _leads_to_code(item) or _is_odd_call(item, use)
    return Level.DANGEROUS if is_harmful else Level.UNKNOWN


def _leads_to_code(item: Global) -> bool:
    """Whether the name is known to lead to code, to files or to the network."""
    modules, names = item.module.split("."), item.name.split(".")
    standard = _lists()[1]
    inner = (*modules[1:], *names)
    return (
        modules[0] in standard
        or modules[0] in _CODE
        or any(_is_dunder(part) for part in inner)
        or any(item.module == m or item.module.startswith(f"{m}.") for m in _CODE_MODULES)
        # The attribute of a module that is itself a module: pathlib and os.system is os.system.
        or names[0] in standard
        or any(part in standard or part in _CODE for part in names[:-1])
    )


def _is_dunder(part: str) -> bool:
    """Whether Python keeps the name for itself."""
    return len(part) > len("____") and part.startswith("__") and part.endswith("__")


def _is_odd_call(item: Global, use: Use) -> bool:
    """Whether a function is called that the pickles of its library have no use for."""
    last = item.name.rpartition(".")[2]
    is_function = last.lstrip("_")[:1].islower() and last not in _KNOWN_CALLS
    root = item.module.partition(".")[0]
    return use is Use.CALL and root in _LISTED and is_function and not last.startswith("__pyx_")
