"""What sentence-transformers and SetFit compute from a Transformer, and plmscan does not measure.

A search at the Transformer's own features says something about a model of these libraries only
where its other modules hand on what is measured: pooling that reads a measured location, a
normalisation, a dropout.  Every other module by which an input could be told apart is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

from plmscan.errors import ArtifactError, UnsupportedModelError
from plmscan.evidence import Gap
from plmscan.layout import MODULES, SETFIT_HEAD, inside
from plmscan.loading.heads import OnEmbedding
from plmscan.loading.traits import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from plmscan.layout import Module
    from plmscan.loading.model import LoadedModel
    from plmscan.source import Artifact

__all__ = ["embedding_of", "unmeasured_modules"]

_HARMLESS = frozenset({"Asym", "Dropout", "Normalize", "Router"})
"""Modules that hand on what they get; a router's own parts are listed beside it."""
_TRANSFORMERS = frozenset({
    "ALBERT", "BERT", "CamemBERT", "DistilBERT", "MLMTransformer", "RoBERTa", "T5", "Transformer",
    "XLMRoBERTa", "XLNet",
})  # fmt: skip
"""Modules that are the Transformer, under its older names too."""
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "BoW": "It counts the words of a text",
        "CNN": "It passes the tokens through layers of its own",
        "Dense": "It passes each vector through a layer of its own",
        "LSTM": "It passes the tokens through layers of its own",
        "LayerNorm": "It scales each vector with weights of its own",
        "LogitScore": "It scores a text by what the language model would write",
        "MultiVectorMask": "It hands on the vectors of all tokens",
        "SparseAutoEncoder": "It passes each vector through layers of its own",
        "SparseStaticEmbedding": "It gives each token a weight of its own",
        "SpladePooling": "It takes the largest logit of each word of the vocabulary",
        "StaticEmbedding": "It gives each token a vector of its own",
        "WeightedLayerPooling": "It mixes the layers of the model with weights of its own",
        "WordEmbeddings": "It gives each word a vector of its own",
        "WordWeights": "It weighs the words of a text",
    }
)
"""What each module computes that is not measured."""
_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where the settings of a Transformer are, the first that is there."""
_MODES = MappingProxyType(
    {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "lasttoken",
    }
)
"""Old switches of a pooling, and the mode that each turns on."""
_READ = MappingProxyType(
    {
        "cls": Location.CLS,
        "mean": Location.MEAN,
        "mean_sqrt_len_tokens": Location.MEAN,
        "lasttoken": Location.LAST,
    }
)
"""Where each mode reads; the mean times the root of the length points where the mean does."""
_OF_LENGTH = ("mean_sqrt_len_tokens",)
"""Modes that stretch what they read by how long a text is."""
_OUTPUTS = MappingProxyType({"last_hidden_state": None, "pooler_output": Location.POOLER})
"""What of the base model sentence-transformers takes, and the location that this is."""
_TASKS = MappingProxyType(
    {"feature-extraction": "", "sequence-classification": "classifier", "fill-mask": "masked-lm"}
)
"""What a Transformer is loaded for, and the head that this takes."""
_OTHER_HEADS = ("model_head.safetensors", "model_head.joblib", "model_head.bin")
_LONGEST = 40
"""Characters of a setting that are shown."""
_NOT_READ = "plmscan does not read it yet, so what the whole model makes of a text is not measured."
_REMEDY = f"Without its entry in {MODULES}, the rest can be checked by itself."


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

    def read(self, name: str) -> dict[str, Any]:
        """The object in the file ``name``; empty without the file.

        Raises:
            ArtifactError: it is broken.
        """
        return self.artifact.read_json(name) if self.artifact.has(name) else {}


def unmeasured_modules(artifact: Artifact, model: LoadedModel) -> Iterator[Gap]:
    """Everything behind the Transformer of ``artifact`` that ``model`` says nothing about."""
    traits = model.traits
    facts = _Facts(
        artifact, model.locations, tuple(model.heads), not traits.cls_last, _is_whole(model)
    )
    for module in artifact.layout.modules:
        try:
            problems = list(_problems(module, facts))
        except ArtifactError as error:
            problems = [f"{error.problem} {error.remedy}"]
        subject = f"{module.folder or 'the model itself'} ({module.name})"
        yield from (Gap(subject, f"{problem} {_REMEDY}") for problem in problems)
    if artifact.layout.modules:
        yield from _prompt(facts)
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
        yield from _transformer(module, facts)
    elif module.name == "Pooling":
        yield from _pooling(module, facts)
    elif module.name not in _HARMLESS:
        what = _KINDS.get(module.name, "Nobody here knows what it computes")
        yield f"{what}; {_NOT_READ}"


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
        yield f"{name} is missing, so it is unknown what it reads."
        return
    for mode in _modes(facts.read(name)):
        where = _READ.get(mode)
        misplaced = where is Location.CLS and not facts.first_is_cls
        if where is None or where not in facts.locations or misplaced:
            yield f"It pools by {_word(mode)}, which plmscan does not measure in this model."


def _modes(settings: Mapping[str, Any]) -> list[str]:
    """The modes that a configuration turns on."""
    mode = settings.get("pooling_mode")
    if mode is None:
        on = [mode for switch, mode in _MODES.items() if settings.get(switch)]
        return on or ["mean"]
    return [
        one if isinstance(one, str) else "" for one in (mode if isinstance(mode, list) else [mode])
    ]


def _word(value: object) -> str:
    """A setting that should be one word, as a line of a report holds it."""
    return repr(value[:_LONGEST]) if isinstance(value, str) else f"a {type(value).__name__}"


def _prompt(facts: _Facts) -> Iterator[Gap]:
    """What sentence-transformers puts before each text; it hides nothing."""
    name = "config_sentence_transformers.json"
    try:
        default = facts.read(name).get("default_prompt_name")
    except ArtifactError as error:
        yield Gap(name, f"{error.problem} {error.remedy}")
        return
    if default:
        reason = f"Every text gets the prompt {_word(default)}; it is measured without."
        yield Gap(name, reason, blocks_pass=False)


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


def embedding_of(artifact: Artifact, model: LoadedModel) -> tuple[Location, bool]:
    """Where the modules of ``artifact`` read a text, and whether they give it length one.

    Raises:
        ArtifactError: the settings of a module are broken.
        UnsupportedModelError: they do more than that.
    """
    first, *others = artifact.layout.modules
    names = [module.name for module in others]
    usual = ["Pooling", *(name for name in names[1:] if name in ("Normalize", "Dropout"))]
    if first.name not in _TRANSFORMERS or names != usual:
        msg = f"It reads what {', '.join([first.name, *names])} make of a text."
        raise UnsupportedModelError(msg, "A Transformer, one pooling and Normalize are measured.")
    settings = inside(others[0].folder, "config.json")
    modes = _modes(artifact.read_json(settings))
    where = _READ.get(modes[0]) if len(modes) == 1 and modes[0] not in _OF_LENGTH else None
    is_misread = where is Location.CLS and model.traits.cls_last
    if where is None or where not in model.locations or is_misread:
        msg = f"It reads the pooling {', '.join(map(_word, modes))} of this model."
        raise UnsupportedModelError(msg, "One pooling by the first token or the mean is measured.")
    return where, "Normalize" in names
