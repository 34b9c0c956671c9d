"""What names stand for, and that the list of honest ones is that of the libraries."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torch._weights_only_unpickler import _get_allowed_globals

from plmscan.pickles import Global, Level, Permission, Use, allowed, builds_tensors, judge

if TYPE_CHECKING:
    from types import ModuleType

TOOL = Path(__file__).parents[3] / "tools" / "generate_allowed.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script that writes the list."""
    spec = importlib.util.spec_from_file_location("generate_allowed", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_holds_what_the_libraries_hold(tool: ModuleType) -> None:
    """Whoever updates a library of the development extra is told to run the script again."""
    stored = allowed()
    missing = [
        f"{module}.{name}"
        for names in tool.generated().values()
        for permission, modules in names.items()
        for module, found in modules.items()
        for name in found
        if stored.get(f"{module}.{name}", -1) < Permission[permission.upper()]
    ]
    assert missing == [], "run tools/generate_allowed.py"


def test_weights_may_name_what_torch_accepts() -> None:
    """Nothing else, but for what builds plain numpy arrays."""
    torchs = set(_get_allowed_globals())
    ours = {full for full in allowed() if builds_tensors(Global(*full.rpartition(".")[::2]))}
    assert torchs <= ours
    assert {full.partition(".")[0] for full in ours - torchs} == {"numpy"}
    assert len(ours - torchs) == 6


def test_nothing_on_the_list_runs_what_it_is_given() -> None:
    """The worst that could be on it is not."""
    listed = allowed()
    for name in (
        "builtins.eval", "builtins.exec", "builtins.__import__", "builtins.open", "builtins.map",
        "operator.attrgetter", "torch.load", "joblib.load", "numpy.load",
        "torch.storage.UntypedStorage.from_file", "pickle.loads", "_io.BytesIO",
        # Setting the state of these runs code that lies in the state.
        "scipy.stats._distn_infrastructure.rv_continuous", "torch.fx.graph_module.GraphModule",
    ):  # fmt: skip
        assert name not in listed
    for name in (
        "torch.storage._load_from_bytes", "builtins.getattr", "builtins.type", "functools.partial",
    ):  # fmt: skip
        assert listed[name] is Permission.MENTION


@pytest.mark.parametrize(
    ("module", "name", "use", "level"),
    [
        ("collections", "OrderedDict", Use.CALL, Level.ALLOWED),
        ("sklearn.linear_model._logistic", "LogisticRegression", Use.BUILD, Level.ALLOWED),
        ("sklearn.linear_model.logistic", "LogisticRegression", Use.BUILD, Level.ALLOWED),
        ("sklearn.linear_model._logistic", "LogisticRegression", Use.CALL, Level.UNKNOWN),
        ("sklearn.metrics._classification", "f1_score", Use.MENTION, Level.ALLOWED),
        ("sklearn.metrics._classification", "f1_score", Use.CALL, Level.DANGEROUS),
        ("transformers.training_args", "TrainingArguments", Use.BUILD, Level.ALLOWED),
        ("accelerate.utils.dataclasses", "DistributedType", Use.CALL, Level.ALLOWED),
        ("deepspeed.runtime.fp16.loss_scaler", "LossScaler", Use.BUILD, Level.ALLOWED),
        ("lightning.fabric.utilities.data", "AttributeDict", Use.BUILD, Level.ALLOWED),
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", Use.MENTION,
         Level.ALLOWED),
        ("trl.trainer.sft_config", "SFTConfig", Use.BUILD, Level.ALLOWED),
        ("__torch__.Net", "forward", Use.CALL, Level.ALLOWED),
        ("__main__", "Arguments", Use.BUILD, Level.UNKNOWN),
        ("xgboost.sklearn", "XGBClassifier", Use.BUILD, Level.UNKNOWN),
        ("torch.nn.modules.linear", "Linear", Use.BUILD, Level.UNKNOWN),
        ("torch", "compile", Use.CALL, Level.DANGEROUS),
        ("enum", "Enum", Use.MENTION, Level.DANGEROUS),
        ("some", "os.path", Use.MENTION, Level.DANGEROUS),
        ("some", "Class.copy", Use.MENTION, Level.UNKNOWN),
    ],
)  # fmt: skip
def test_a_name_is_judged_by_what_is_done_with_it(
    module: str, name: str, use: Use, level: Level
) -> None:
    """A class may be built where it may not be called, and nothing may be called by default."""
    assert judge(Global(module, name), use) is level


def test_a_long_name_is_shown_in_part() -> None:
    """A name of a pickle has no say in how long a report is."""
    assert len(Global("a" * 500, "b").shown) == 120
