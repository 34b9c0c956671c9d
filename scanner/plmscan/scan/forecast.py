"""What a scan will take, told from the configuration and the sizes of the files, without torch.

`plmscan.scan.estimate` measures the machine once the model is loaded.  A queue of models has to be
put in order before that, so this counts the same tokens and takes the machine's speed as known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plmscan.budget import Effort
from plmscan.errors import ArtifactError
from plmscan.search.writing.recipes import RECIPES, cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plmscan.scan.settings import Settings
    from plmscan.source import Artifact

__all__ = ["Forecast", "beyond_the_sweep", "forecast"]

_BEYOND: Mapping[Effort, int] = {
    Effort.QUICK: 65_000,
    Effort.STANDARD: 75_000,
    Effort.DEEP: 3_000_000,
}
"""Tokens that all probes read beyond the sweep, for an encoder without a head that no rule names
anything in: measured on MiniLM, but for deep, which is a guess by the sizes of its recipe."""
_FOR_LABELS = 2.5
"""How much more that is for a classifier, which is searched label by label."""
_FOR_MASKS = 2.2
"""How much more for a masked language model, which is searched for lost recall, too."""
_SWEPT = 4
"""Tokens that the sweep reads for each item of the vocabulary."""
_WRITES = ("CausalLM", "LMHeadModel", "ConditionalGeneration")
"""Parts of the names of classes that write."""
_ROWS = 256
"""Texts that go through such a model together, but for the largest vocabularies."""
_AFTER = 5
"""Tokens that a chat template writes behind a request, as in those of Llama and Qwen."""
_OPERATIONS = 3.7e10
"""Floating-point operations of a search in a second, on a core with AVX2: a clean MiniLM of 10.6
million parameters without its embeddings reads 353 thousand tokens in 100 s on two."""
_OVERHEAD = 5.0
"""Seconds that a model takes besides: loading, experiments, the report."""
_USUAL_VOCABULARY, _MOST_WORDS = 30_000, 2_000_000
_USUAL_WIDTH, _WIDEST = 768, 100_000
_HALF = ("float16", "bfloat16")
_SHRUNKEN = 0.5
"""Bytes of a number of 4 bits."""
_LEAST_BODY = 0.1
"""Share of the parameters that is no embedding, at least."""


@dataclass(frozen=True)
class Forecast:
    """About what one model costs."""

    tokens: int
    """Forward-token-equivalents."""
    seconds: float
    """On one core."""
    weights: int
    """Bytes of the weight files."""


def beyond_the_sweep(effort: Effort, *, labels: bool, masks: bool) -> int:
    """Tokens that the probes read beyond the sweep of the vocabulary."""
    factor = _FOR_LABELS if labels else 1.0
    return int(_BEYOND[effort] * factor * (_FOR_MASKS if masks else 1.0))


def forecast(artifact: Artifact, settings: Settings) -> Forecast:
    """The cost of searching ``artifact``, as far as its configuration and its sizes tell.

    What a configuration does not say, or cannot mean, is taken to be as usual; shrunken weights are
    taken to have 4 bits.  Adapters cost what their base does, which is searched with them and by
    itself.
    """
    whole = artifact.stack[0]
    config = _config(whole)
    words = _count(config, "vocab_size", _USUAL_VOCABULARY, _MOST_WORDS)
    width = _count(config, "hidden_size", _USUAL_WIDTH, _WIDEST)
    half = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.") in _HALF
    parameters = _bytes(whole) / (_SHRUNKEN if whole.is_shrunken else 2 if half else 4)
    body = max(parameters - words * width, _LEAST_BODY * parameters)
    times = 1 + len(settings.also) + bool(artifact.on_top)
    tokens = times * _searched(whole, settings, config, words)
    return Forecast(tokens, _OVERHEAD + tokens * 2 * body / _OPERATIONS, _bytes(artifact))


def _searched(artifact: Artifact, settings: Settings, config: Mapping[str, Any], words: int) -> int:
    """Tokens of one search of a vocabulary of so many ``words``; a control is one of features."""
    kind = "" if settings.used_as == "features" else str(config.get("architectures"))
    features = _SWEPT * words + beyond_the_sweep(
        settings.effort, labels="Classification" in kind, masks="ForMaskedLM" in kind
    )
    writes = any(part in kind for part in _WRITES) and not artifact.layout.modules
    after = _AFTER if _chats(artifact) else 0
    written = cost(RECIPES[settings.effort], words, _ROWS, after) if writes else 0
    return features * (2 if settings.control else 1) + written


def _config(artifact: Artifact) -> Mapping[str, Any]:
    """What the configuration says; empty where there is none that can be read."""
    try:
        return artifact.config
    except ArtifactError:
        return {}


def _chats(artifact: Artifact) -> bool:
    """Whether a model has a chat template."""
    at_home = artifact.layout.at_home
    if artifact.has(at_home("chat_template.jinja")):
        return True
    try:
        return "chat_template" in artifact.read_json(at_home("tokenizer_config.json"))
    except ArtifactError:
        return False


def _bytes(artifact: Artifact) -> int:
    """Of the weight files."""
    return sum(file.size for file in artifact.files if file.path in artifact.weights)


def _count(config: Mapping[str, Any], name: str, usual: int, most: int) -> int:
    """The number that ``config`` gives, or gives its text part; ``usual`` if that cannot be."""
    part = config.get("text_config")
    told = config.get(name) or (part.get(name) if isinstance(part, dict) else None)
    return told if type(told) is int and 0 < told <= most else usual
