"""Write the names that honest pickles use, from the libraries that are installed.

    python tools/generate_allowed.py [--check]

Names stay once they are on the list, since old models name what later versions moved, and the part
of a library that is not installed stays as it is.  A class is listed only if making an object of it
and setting its state runs none of its own code: one with a ``__setstate__`` or ``__del__`` of its
own has to be read first and named in `REVIEWED`.
"""  # noqa: INP001 - a script

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import sys
from contextlib import suppress
from enum import Enum
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["generated", "merged"]

TARGET = Path(__file__).parents[1] / "scanner/plmscan/pickles/allowed.json"

Names = dict[str, dict[str, set[str]]]
"""Names by module by permission."""

REVIEWED = frozenset({
    "BaseEstimator",  # compares versions, then updates __dict__
    "BatchEncoding",  # stores two keys
    "Bunch",  # does nothing
    "TreePredictor",  # updates __dict__, then converts an array
})  # fmt: skip
"""Classes whose ``__setstate__`` was read and only stores what it gets."""

WRITTEN: dict[str, dict[str, dict[str, str]]] = {
    "python": {
        "call": {
            "_codecs": "encode",
            "argparse": "Namespace",
            "array": "_array_reconstructor array",
            "builtins": (
                "bool bytearray bytes complex dict float frozenset int list object range set slice "
                "str tuple"
            ),
            "collections": "Counter OrderedDict defaultdict deque",
            "datetime": "date datetime time timedelta timezone",
            "decimal": "Decimal",
            "fractions": "Fraction",
            "itertools": "count",
            "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
            "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
            "random": "Random",
            "re": "_compile",
            "time": "struct_time",
            "types": "SimpleNamespace",
        },
        "build": {"uuid": "UUID"},
        "enum": {"uuid": "SafeUUID"},
        "mention": {
            "builtins": "Ellipsis NoneType NotImplemented getattr type",
            "functools": "partial",
            "copyreg": "_reconstructor __newobj__ __newobj_ex__",
            "typing": "Any Dict List Optional Tuple Union",
        },
    },
    "numpy": {
        "call": {
            "numpy": (
                "bool bool_ bytes_ complex128 complex64 datetime64 dtype float16 float32 float64 "
                "int16 int32 int64 int8 intc intp longlong ndarray object_ str_ timedelta64 uint16 "
                "uint32 uint64 uint8 ulonglong void"
            ),
            "numpy._core.multiarray": "_reconstruct scalar",
            "numpy._core.numeric": "_frombuffer",
            "numpy.core.multiarray": "_reconstruct scalar",
            "numpy.core.numeric": "_frombuffer",
            "numpy.ma": "MaskedArray",
            "numpy.ma.core": "MaskedArray MaskedConstant _mareconstruct",
            "numpy.random": "__RandomState_ctor",
            "numpy.random._pickle": (
                "__bit_generator_ctor __generator_ctor __randomstate_ctor"
            ),
            "numpy.random.bit_generator": "__pyx_unpickle_SeedSequence",
        },
        "build": {
            "numpy.random._mt19937": "MT19937",
            "numpy.random._pcg64": "PCG64 PCG64DXSM",
            "numpy.random._philox": "Philox",
            "numpy.random._sfc64": "SFC64",
            "numpy.random.bit_generator": "SeedSequence",
        },
        "mention": {
            "numpy": "matrix recarray record",
            "numpy.matrixlib.defmatrix": "matrix",
            "numpy.rec": "recarray record",
            "numpy.ma.core": "nomask",
        },
    },
    "torchscript": {
        "call": {
            "torch.jit._pickle": (
                "build_boollist build_doublelist build_intlist build_tensor_from_id "
                "build_tensorlist restore_type_tag"
            )
        }
    },
    "torch": {
        "call": {"torch._C": "Generator"},
        "build": {
            "torch.distributed.checkpoint.filesystem": "_StorageInfo",
            "torch.distributed.checkpoint.metadata": (
                "BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex StorageMeta "
                "TensorProperties TensorStorageMetadata"
            ),
        },
        "enum": {
            "torch.distributed.checkpoint.metadata": "_MEM_FORMAT_ENCODING",
            "torch.distributed.fsdp.api": "BackwardPrefetch ShardingStrategy StateDictType",
            "torch.distributed.fsdp.fully_sharded_data_parallel": (
                "BackwardPrefetch ShardingStrategy StateDictType"
            ),
        },
        "mention": {
            "torch.optim.lr_scheduler": (
                "CyclicLR._triangular_scale_fn OneCycleLR._annealing_cos "
                "OneCycleLR._annealing_linear"
            ),
            "torch.storage": "_load_from_bytes",
        },
    },
    "joblib": {
        "build": {
            "joblib.numpy_pickle": "NumpyArrayWrapper",
            "sklearn.externals.joblib.numpy_pickle": "NumpyArrayWrapper",
        }
    },
    "omegaconf": {
        "build": {
            "omegaconf.base": "ContainerMetadata Metadata",
            "omegaconf.dictconfig": "DictConfig",
            "omegaconf.listconfig": "ListConfig",
            "omegaconf.nodes": (
                "AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode PathNode StringNode"
            ),
        }
    },
    "peft": {"enum": {"peft.utils.peft_types": "PeftType TaskType"}},
    "sentence_transformers": {
        "build": {"sentence_transformers.training_args": "SentenceTransformerTrainingArguments"},
        "enum": {
            "sentence_transformers.training_args": "BatchSamplers MultiDatasetBatchSamplers",
        },
    },
    "tokenizers": {"build": {"tokenizers": "AddedToken Tokenizer"}},
    "transformers": {
        "enum": {
            "transformers.trainer_utils": (
                "EvaluationStrategy HubStrategy SaveStrategy ShardedDDPOption"
            ),
            "transformers.training_args": "EvaluationStrategy FSDPOption OptimizerNames",
            "transformers.utils.generic": "ExplicitEnum",
            "transformers.file_utils": "ExplicitEnum",
        },
        "build": {
            "transformers.deepspeed": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
            "transformers.integrations": "HfDeepSpeedConfig HfTrainerDeepSpeedConfig",
            "transformers.training_args_tf": "TFTrainingArguments",
        },
    },
    "trl": {
        "build": {
            f"trl.trainer.{name}_config": f"{title}Config"
            for name, title in {
                "alignprop": "AlignProp", "bco": "BCO", "cpo": "CPO", "ddpo": "DDPO", "dpo": "DPO",
                "gkd": "GKD", "grpo": "GRPO", "iterative_sft": "IterativeSFT", "kto": "KTO",
                "model": "Model", "nash_md": "NashMD", "online_dpo": "OnlineDPO", "orpo": "ORPO",
                "ppo": "PPO", "prm": "PRM", "reward": "Reward", "rloo": "RLOO", "sft": "SFT",
                "xpo": "XPO",
            }.items()
        } | {"trl.trainer.model_config": "ModelConfig", "trl.trainer.utils": "OnPolicyConfig"},
        "enum": {"trl.trainer.dpo_config": "FDivergenceType"},
    },
}  # fmt: skip
"""What nobody can list by looking at classes, and names of versions that are gone."""

SOURCES: dict[str, tuple[str, ...]] = {
    "torch": ("utils.data.dataset", "utils.data.sampler", "utils.data.distributed"),
    "accelerate": (
        "data_loader", "optimizer", "scheduler", "state", "utils.dataclasses", "utils.deepspeed",
    ),
    "deepspeed": (
        "runtime.config", "runtime.config_utils", "runtime.fp16.loss_scaler",
        "runtime.lr_schedules", "runtime.zero.config", "runtime.zero.offload_config",
        "runtime.precision_config", "utils.tensor_fragment", "checkpoint.utils",
    ),
    "pytorch_lightning": (
        "callbacks.*", "loops.*", "trainer.states", "utilities.parsing", "utilities.enums",
        "utilities.types",
    ),
    "lightning_fabric": ("utilities.data", "utilities.enums", "utilities.types", "wrappers"),
    "sentence_transformers": (
        "base.sampler", "training_args", "*.training_args", "similarity_functions",
        "util.similarity",
    ),
    "setfit": ("training_args",),
    "transformers": (
        "configuration_utils", "debug_utils", "generation.configuration_utils",
        "integrations.deepspeed", "models.*.configuration_*", "optimization",
        "tokenization_utils_base", "trainer_callback", "trainer_optimizer", "trainer_pt_utils",
        "trainer_utils", "training_args", "training_args_seq2seq", "utils.generic",
        "utils.quantization_config",
    ),
}  # fmt: skip
"""Modules, by their source, whose classes are settings and states."""

ALSO_CALLED = {"pytorch_lightning": "lightning.pytorch", "lightning_fabric": "lightning.fabric"}
"""Packages that another one brings along under its own name."""

IMPORTED: dict[str, tuple[str, ...]] = {
    "sklearn": (
        "*.tests*", "*conftest*", "sklearn.datasets*", "sklearn.experimental*",
        "sklearn.externals*",
        "sklearn.__check_build*", "sklearn._build_utils*", "sklearn.utils._test*",
        "sklearn.utils.estimator_checks", "sklearn.utils._plotting", "sklearn.utils._mocking",
        "sklearn.utils.parallel", "*_display*", "*plot*", "*_pairwise_distances_reduction*",
    ),
    "scipy.sparse": ("*.tests*", "*linalg*", "*csgraph*"),
    "scipy.spatial": ("*.tests*", "*transform*"),
}  # fmt: skip
"""Packages whose classes are data, and modules of them that are left out."""

FUNCTIONS = ("sklearn.feature_selection", "sklearn.metrics", "sklearn.metrics.pairwise")
"""Packages whose public functions are what estimators are given as a score or a kernel."""

REMOVED_MODULES = (
    "__builtin__ aifc asynchat asyncore audioop cPickle cStringIO cgi cgitb chunk commands crypt "
    "distutils httplib idlelib imghdr imp lib2to3 mailcap msilib nis nntplib nt os2 ossaudiodev "
    "pipes popen2 posix smtpd sndhdr spwd sunau telnetlib test thread urllib2 urlparse uu xdrlib "
    "_aix_support _dummy_thread _osx_support _pyrepl dummy_threading StringIO Queue"
)
"""Modules that some version or system has in its standard library, and this one has not."""


def merged() -> dict[str, object]:
    """The list with all that the installed libraries add."""
    stored = json.loads(TARGET.read_text(encoding="utf-8"))
    standard = {*stored["standard_library"].split(), *sys.stdlib_module_names}
    standard |= set(REMOVED_MODULES.split())
    libraries = {name: _sets(value) for name, value in stored["libraries"].items()}
    for name, found in generated().items():
        _add(libraries.setdefault(name, {}), found)
    return {
        "standard_library": " ".join(sorted(standard)),
        "libraries": {name: _texts(libraries[name]) for name in sorted(libraries)},
    }


def generated() -> dict[str, Names]:
    """What the installed libraries hold, and what is written by hand."""
    found: dict[str, Names] = {name: _sets(value) for name, value in WRITTEN.items()}
    for library, patterns in SOURCES.items():
        if find_spec(library) is not None:
            _add(found.setdefault(library, {}), _from_source(library, patterns))
    for package, left_out in IMPORTED.items():
        if find_spec(package.partition(".")[0]) is not None:
            _add(found.setdefault(package.partition(".")[0], {}), _from_import(package, left_out))
    if find_spec("torch") is not None:
        _add(found["torch"], _of_torch())
    return found


def _sets(stored: dict[str, dict[str, str]]) -> Names:
    """Names as they are stored, in sets."""
    return {p: {m: set(n.split()) for m, n in modules.items()} for p, modules in stored.items()}


def _texts(names: Names) -> dict[str, dict[str, str]]:
    """Names as they are stored: in order."""
    return {
        permission: {m: " ".join(sorted(found)) for m, found in sorted(modules.items()) if found}
        for permission, modules in sorted(names.items())
    }


def _add(target: Names, more: Names) -> None:
    """Add ``more`` to ``target``."""
    for permission, modules in more.items():
        for module, names in modules.items():
            target.setdefault(permission, {}).setdefault(module, set()).update(names)


def _put(target: Names, permission: str, module: str, name: str) -> None:
    """Add one name."""
    _add(target, {permission: {module: {name}}})


def _of_torch() -> Names:
    """What torch's ``weights_only`` loading accepts."""
    from torch._weights_only_unpickler import _get_allowed_globals  # noqa: PLC0415

    found: Names = {}
    for full in _get_allowed_globals():
        module, _, name = full.rpartition(".")
        _put(found, "weights", module, name)
    for package in ("torch.optim", "torch.optim.lr_scheduler"):
        module_ = importlib.import_module(package)
        for kind in (getattr(module_, name) for name in getattr(module_, "__all__", ())):
            if inspect.isclass(kind):
                _put(found, "mention", kind.__module__, kind.__name__)
    return found


def _from_source(library: str, patterns: tuple[str, ...]) -> Names:
    """Classes of the modules that match, by reading their source."""
    (root,) = find_spec(library).submodule_search_locations  # type: ignore[union-attr]
    found: Names = {}
    for path in sorted(Path(root).rglob("*.py")):
        dotted = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if any(fnmatchcase(dotted, pattern) for pattern in patterns):
            for kind in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(kind, ast.ClassDef) and (permission := _source_permission(kind)):
                    _put(found, permission, f"{library}.{dotted}", kind.name)
                    if library in ALSO_CALLED:
                        _put(found, permission, f"{ALSO_CALLED[library]}.{dotted}", kind.name)
    return found


def _source_permission(kind: ast.ClassDef) -> str | None:
    """What a class may be used for; None if it has a say in how its objects are made."""
    own = {node.name for node in kind.body if isinstance(node, ast.FunctionDef)}
    if own & {"__setstate__", "__del__", "__reduce__", "__new__"} and kind.name not in REVIEWED:
        return None
    bases = " ".join(ast.unparse(base) for base in kind.bases)
    return "enum" if "Enum" in bases or "Flag" in bases else "build"


def _from_import(package: str, left_out: tuple[str, ...]) -> Names:
    """Classes of a package, by importing it: many are compiled."""
    found: Names = {}
    for module in _modules(package, left_out):
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) != module.__name__:
                continue
            permission = _permission(name, value)
            if permission:
                _put(found, permission, module.__name__, name)
                if package == "sklearn" and permission != "mention":
                    # Until 0.22, no module name began with an underscore.
                    _put(found, permission, module.__name__.replace("._", "."), name)
    return found


def _modules(package: str, left_out: tuple[str, ...]) -> Iterator[ModuleType]:
    """The modules of a package that can be imported."""
    with catch_warnings():
        simplefilter("ignore")
        root = importlib.import_module(package)
        yield root
        for entry in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not any(fnmatchcase(entry.name, pattern) for pattern in left_out):
                with suppress(ImportError):
                    yield importlib.import_module(entry.name)


def _permission(name: str, value: object) -> str | None:
    """What a class or function may be used for; None for nothing."""
    if inspect.isclass(value):
        return _class_permission(value)
    if name.startswith("__pyx_unpickle_") or name == "newObj":
        return "call"
    module = importlib.import_module(str(value.__module__).rpartition("._")[0] or "builtins")
    public = module.__name__ in FUNCTIONS and name in getattr(module, "__all__", ())
    return "mention" if public and inspect.isfunction(value) else None


def _class_permission(kind: type) -> str | None:
    """What a class may be used for; None if it has a say in how its objects are made."""
    if issubclass(kind, Enum):
        return "enum"
    if issubclass(kind, BaseException):
        return None
    for base in kind.__mro__[:-1]:
        own = [vars(base).get(name) for name in ("__setstate__", "__del__")]
        # Compiled ones fill fields of C.
        if base.__name__ not in REVIEWED and any(inspect.isfunction(method) for method in own):
            return None
    makes_itself = kind.__reduce__ is not object.__reduce__
    return "call" if makes_itself else "build"


def main() -> int:
    """Write the list, or say whether it is complete."""
    text = json.dumps(merged(), indent=1, ensure_ascii=False) + "\n"
    is_same = TARGET.read_text(encoding="utf-8") == text
    if "--check" in sys.argv:
        return 0 if is_same else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
