"""What sentence-transformers and SetFit compute from a Transformer, and plmscan does not measure.

A search says something about a model of these libraries only where all that they compute is read:
the Transformer, and what `plmscan.loading.behind` knows of the parts behind it.  Every other
part by which an input could be told apart is named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

from plmscan.errors import ArtifactError
from plmscan.evidence import Gap
from plmscan.layout import MODULES, ROUTERS, SETFIT_HEAD, inside
from plmscan.loading.behind import default_prompt, pooling_modes
from plmscan.loading.embedding import Behind
from plmscan.loading.heads import OnEmbedding
from plmscan.loading.layers import ALONE
from plmscan.loading.traits import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from plmscan.layout import Module
    from plmscan.loading.model import LoadedModel
    from plmscan.source import Artifact

__all__ = ["unmeasured_modules"]

_HARMLESS = frozenset({*ROUTERS, "Dropout", "Normalize"})
"""Modules that hand on what they get; a router's own parts are listed beside it."""
_TRANSFORMERS = frozenset({
    "ALBERT", "BERT", "CamemBERT", "DistilBERT", "MLMTransformer", "RoBERTa", "T5", "Transformer",
    "XLMRoBERTa", "XLNet",
})  # fmt: skip
"""Modules that are the Transformer, under its older names too."""
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where the settings of a Transformer are, the first that is there."""
_READ = MappingProxyType(
    {
        "cls": Location.CLS,
        "mean": Location.MEAN,
        "mean_sqrt_len_tokens": Location.MEAN,
        "lasttoken": Location.LAST,
    }
)
"""Where each mode reads; the mean times the root of the length points where the mean does."""
_OUTPUTS = MappingProxyType({"last_hidden_state": None, "pooler_output": Location.POOLER})
"""What of the base model sentence-transformers takes, and the location that this is."""
_TASKS = MappingProxyType(
    {"feature-extraction": "", "sequence-classification": "classifier", "fill-mask": "masked-lm"}
)
"""What a Transformer is loaded for, and the head that this takes."""
_OTHER_HEADS = ("model_head.safetensors", "model_head.joblib", "model_head.bin")
_LONGEST = 40
"""Characters of a setting that are shown."""
_MOST = 4
"""Names of prompts that are shown."""


@dataclass(frozen=True)
class _Facts:
    """What the scan of a model covers."""

    artifact: Artifact
    """The whole model."""
    locations: Collection[Location]
    """Where its features are read."""
    heads: Collection[str]
    """Heads that are measured."""
    first_is_cls: bool
    """Whether its classification token begins a text."""
    is_whole: bool
    """Whether all that these libraries load is measured, and not an encoder of theirs alone."""
    behind: Behind
    """What is read of the parts behind the Transformer."""

    @classmethod
    def of(cls, artifact: Artifact, model: LoadedModel) -> _Facts:
        """What ``model`` covers of ``artifact``."""
        first_is_cls, heads = not model.traits.cls_last, tuple(model.heads)
        return cls(artifact, model.locations, heads, first_is_cls, _is_whole(model), model.behind)

    def read(self, name: str) -> dict[str, Any]:
        """The object in the file ``name``; empty without the file.

        Raises:
            ArtifactError: it is broken.
        """
        return self.artifact.read_json(name) if self.artifact.has(name) else {}


def unmeasured_modules(artifact: Artifact, model: LoadedModel) -> Iterator[Gap]:
    """Everything behind the Transformer of ``artifact`` that ``model`` says nothing about."""
    facts = _Facts.of(artifact, model)
    for module in artifact.layout.modules:
        try:
            problems = list(_problems(module, facts))
        except ArtifactError as error:
            problems = [error.diagnostics()]
        subject = f"{module.folder or 'the model itself'} ({module.name})"
        yield from (Gap(subject, problem) for problem in problems)
    if artifact.layout.modules:
        yield from _prompts(facts)
    yield from _heads(artifact, model)


def _is_whole(model: LoadedModel) -> bool:
    """Whether what is measured is all that is loaded: of a T5 the encoder is."""
    usual = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(model.config.model_type, "")
    return not model.traits.part or usual.endswith("EncoderModel")


def _problems(module: Module, facts: _Facts) -> Iterator[str]:
    """What of one module is not measured.

    Raises:
        ArtifactError: its settings are broken.
    """
    if module.name in _TRANSFORMERS:
        yield from (f"{problem} {ALONE}" for problem in _transformer(module, facts))
    elif module in facts.behind.unread:
        yield facts.behind.unread[module]
    elif facts.behind.embedding is None and module.name == "Pooling":
        yield from _pooling(module, facts)
    elif facts.behind == Behind() and module.name not in _HARMLESS:
        yield f"Only what follows one Transformer in a row is read. {ALONE}"


def _transformer(module: Module, facts: _Facts) -> Iterator[str]:
    """What the settings of a Transformer take from the model that is not measured."""
    names = (inside(module.folder, name) for name in _SETTINGS)
    settings = next((found for name in names if (found := facts.read(name))), {})
    usual = "fill-mask" if module.name == "MLMTransformer" else "feature-extraction"
    task = settings.get("transformer_task", usual)
    head = _TASKS.get(task) if isinstance(task, str) else None
    if head is None or (head and head not in facts.heads):
        yield f"It is loaded for {_word(task)}, and the head for that is not measured."
    if head == "" and not facts.is_whole:
        yield "It takes what the whole model makes of a text, and only a part is measured."
    modalities = settings.get("modality_config")
    if head == "" and isinstance(modalities, dict):
        for name, taken in modalities.items():
            yield from _taken(str(name), taken, facts)


def _taken(modality: str, taken: object, facts: _Facts) -> Iterator[str]:
    """What of the model's outputs is taken for one kind of input."""
    method, output = (
        (taken.get(key) for key in ("method", "method_output_name"))
        if isinstance(taken, dict)
        else (None, None)
    )
    known = method == "forward" and isinstance(output, str) and output in _OUTPUTS
    where = _OUTPUTS[output] if known and isinstance(output, str) else None
    if not known or (where is not None and where not in facts.locations):
        shown = f"{_word(method)}, {_word(output)}"
        yield f"For {_word(modality)} it takes {shown}, which is not what is measured."


def _pooling(module: Module, facts: _Facts) -> Iterator[str]:
    """Modes of a pooling that read elsewhere than plmscan does."""
    name = inside(module.folder, "config.json")
    if not facts.artifact.has(name):
        yield f"{name} is missing, so it is unknown what it reads. {ALONE}"
        return
    for mode in pooling_modes(facts.read(name)):
        where = _READ.get(mode)
        misplaced = where is Location.CLS and not facts.first_is_cls
        if where is None or where not in facts.locations or misplaced:
            said = f"It pools by {_word(mode)}, which plmscan does not measure in this model."
            yield f"{said} {ALONE}"


def _some(names: Sequence[str]) -> str:
    """The first few of ``names``."""
    more = ", ..." if len(names) > _MOST else ""
    return ", ".join(_word(name) for name in names[:_MOST]) + more


def _word(value: object) -> str:
    """A setting that should be one word, as a line of a report holds it."""
    return repr(value[:_LONGEST]) if isinstance(value, str) else f"a {type(value).__name__}"


def _prompts(facts: _Facts) -> Iterator[Gap]:
    """With which prompts texts were not measured."""
    name = "config_sentence_transformers.json"
    try:
        usual, prompts = default_prompt(facts.artifact), facts.read(name).get("prompts")
    except ArtifactError as error:
        yield Gap(name, error.diagnostics())
        return
    named = prompts.items() if isinstance(prompts, dict) else ()
    others = [str(key) for key, prompt in named if prompt and prompt != usual]
    if usual:
        said = f"Every text began with the prompt {_word(usual)}, as usual; without it, and with"
        yield Gap(name, f"{said} another one, none was measured.", blocks_pass=False)
    elif others:
        said = f"No text began with a prompt, which users can ask for: {_some(others)}."
        yield Gap(name, said, blocks_pass=False)


def _heads(artifact: Artifact, model: LoadedModel) -> Iterator[Gap]:
    """Heads of SetFit that are neither measured nor told where they were to be."""
    is_measured = isinstance(model.heads.get("classifier"), OnEmbedding)
    known = {gap.subject for gap in model.gaps} | ({SETFIT_HEAD} if is_measured else set())
    for name in (SETFIT_HEAD, *_OTHER_HEADS):
        if artifact.has(name) and name not in known:
            body = "the encoder that it reads" if artifact.has(MODULES) else "the rest"
            reason = (
                f"SetFit decides by this head, and plmscan measures {body} but not the head. "
                "Without the file, the encoder can be checked by itself."
            )
            yield Gap(name, reason)
