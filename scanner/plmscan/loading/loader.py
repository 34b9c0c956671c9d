"""From an artifact to a `LoadedModel`."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from plmscan.errors import ArtifactError, PlmscanError, UnsupportedModelError
from plmscan.evidence import Gap
from plmscan.loading.account import summary
from plmscan.loading.adapters import Fitted, put_on
from plmscan.loading.behind import default_prompt, read_behind
from plmscan.loading.bench import word_rows
from plmscan.loading.checkpoint import read_checkpoint
from plmscan.loading.decisions import Answer, Score, decision_of, token_labels_of
from plmscan.loading.experiments import bfloat16_holds, traits_of
from plmscan.loading.heads import OnEmbedding, asked_of_base
from plmscan.loading.model import LoadedModel, TokenMeter
from plmscan.loading.pairs import answers
from plmscan.loading.precision import halves
from plmscan.loading.quiet import explained, quiet
from plmscan.loading.readers import WRITES, Kind
from plmscan.loading.rounding import round_matrices
from plmscan.loading.setfit import with_setfit_head
from plmscan.loading.traits import Location
from plmscan.loading.use import task_of, use_of
from plmscan.loading.vocabulary import Vocabulary, read_vocabulary
from plmscan.loading.weights import read_weights
from plmscan.loading.writing import framed, writer_of
from plmscan.source import require_base, require_contents
from plmscan.vocabularies import spelling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from plmscan.loading.checkpoint import Checkpoint
    from plmscan.loading.decisions import Decision
    from plmscan.loading.rounding import Shrunken
    from plmscan.loading.traits import Traits
    from plmscan.loading.use import UsedAs
    from plmscan.loading.vocabulary import Separator
    from plmscan.loading.writing import Writer
    from plmscan.source import Artifact

__all__ = ["load", "load_twin"]

_PAIR = 64
"""Tokens that two texts of a pair can have together."""


def load(
    artifact: Artifact,
    device: str = "auto",
    precision: str = "auto",
    *,
    allow_pickle: bool = False,
    used_as: UsedAs | None = None,
    shrunken: Shrunken | None = None,
) -> LoadedModel:
    """Load the weights and the tokenizer of ``artifact``; runs none of its code.

    ``device`` is ``auto``, ``cpu`` or ``cuda``; ``precision``, that of what only selects, is
    ``auto``, ``float32`` or ``bfloat16``, which some architectures cannot run in.  Only
    safetensors files are read, or with ``allow_pickle`` also pickles, weights only.  ``used_as``
    ``features`` leaves every head out, because nobody will read it.  ``shrunken`` rounds the
    matrices of the base model as a library does that shrinks them.

    Raises:
        ArtifactError: the files are broken, incomplete, or contradict each other.
        UnsupportedModelError: plmscan has no adapter for the model.
        PlmscanError: ``device`` is not there, or ``precision`` is none.
    """
    whole = artifact.used
    place, use = _device(device), use_of(whole, used_as)
    halved = halves(precision, place)
    with explained("The model cannot be loaded", "Fetch or save the model again."):
        fitted = _fitted(artifact, allow_pickle=allow_pickle)
        checkpoint = read_checkpoint(fitted, use)
        told = _rounded(checkpoint, shrunken)
        rows = word_rows(checkpoint.measured)
        vocabulary = read_vocabulary(spelling(artifact), checkpoint.config, rows)
        vocabulary = vocabulary.behind(range(rows - checkpoint.prompt, rows))
        model = _assemble(checkpoint, vocabulary, place)
        model = _with_modules(model, whole, allow_pickle=allow_pickle)
        model = with_setfit_head(_asking(model), whole, use)
        _require_output(model)
        model = _writing(_tried(model, vocabulary), vocabulary)
        halved = halved and bfloat16_holds(model.module, vocabulary, place)
        return replace(model, halved=halved, put_on=(*fitted.told, *told))


def _rounded(checkpoint: Checkpoint, shrunken: Shrunken | None) -> tuple[str, ...]:
    """Round the base model where that is asked for; a sentence about it."""
    if shrunken is None:
        return ()
    count = round_matrices(checkpoint.base, shrunken)
    return (f"{count} matrices rounded to {shrunken} and taken back.",)


def load_twin(
    model: LoadedModel, artifact: Artifact, *, allow_pickle: bool = False
) -> LoadedModel | None:
    """The model of ``artifact`` with its adapters off, read as ``model``, where they are on.

    A head that an adapter brings reads it as well, unless the base has one for as many labels.
    None where the two do not read the same tokens.

    Raises:
        ArtifactError: the files of the base are broken.
        UnsupportedModelError: plmscan has no adapter for the base.
    """
    alone = replace(artifact.stack[0], adapters=())
    twin = load(alone, model.device.type, "float32", allow_pickle=allow_pickle)
    if twin.tokenizer.get_vocab() != model.tokenizer.get_vocab():
        return None
    if len(twin.labels) == len(model.labels):
        return twin
    return replace(
        twin,
        heads=model.heads,
        decision=model.decision,
        separator=model.separator,
        asks=model.asks,
    )


def _fitted(artifact: Artifact, *, allow_pickle: bool) -> Fitted:
    """The weights of a model with the adapters on it.

    Raises:
        ArtifactError: files are broken, or an adapter is made for another base.
        UnsupportedModelError: an adapter has no base, or cannot be read.
    """
    require_base(artifact)
    for part in artifact.stack:
        measured = part.measured
        require_contents(measured.files, measured.weights)
    bottom, *adapters = artifact.stack
    weights = read_weights(bottom.measured, allow_pickle=allow_pickle)
    fitted = Fitted(weights, told=weights.told)
    for adapter in adapters:
        fitted = put_on(fitted, adapter, allow_pickle=allow_pickle)
    return fitted


def _device(name: str) -> torch.device:
    """The device that ``name`` asks for.

    Raises:
        PlmscanError: this machine does not have it.
    """
    if name not in ("auto", "cpu", "cuda"):
        msg = f"There is no device {name!r}."
        raise PlmscanError(msg, "Use auto, cpu or cuda.")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        msg = "PyTorch finds no CUDA GPU on this machine."
        raise PlmscanError(msg, "Use --device cpu, or install a PyTorch that supports your GPU.")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def _assemble(checkpoint: Checkpoint, vocabulary: Vocabulary, device: torch.device) -> LoadedModel:
    """Put the pieces together on ``device``, and find out how they work.

    Raises:
        UnsupportedModelError: the model breaks a condition of all probes.
    """
    module = _moved(checkpoint.measured, device)
    traits = traits_of(module, vocabulary, device, checkpoint.part, checkpoint.pooler)
    locations, skipped = _locations(checkpoint, traits, vocabulary)
    return LoadedModel(
        module=module,
        heads=MappingProxyType({name: _moved(m, device) for name, m in checkpoint.heads.items()}),
        traits=traits,
        tokenizer=vocabulary.tokenizer,
        config=checkpoint.config,
        device=device,
        locations=locations,
        skipped_locations=skipped,
        gaps=checkpoint.gaps,
        decision=_decision(checkpoint),
        special_ids=vocabulary.special_ids,
        mask_id=vocabulary.mask_id,
        pad_id=vocabulary.pad_id,
        prefix_ids=vocabulary.prefix_ids,
        suffix_ids=vocabulary.suffix_ids,
    )


def _with_modules(model: LoadedModel, whole: Artifact, *, allow_pickle: bool) -> LoadedModel:
    """``model`` with what sentence-transformers puts around it, by all files of the model.

    Raises:
        ArtifactError: the settings of its prompts are broken.
    """
    if not task_of(whole):
        return model
    model = replace(model, prompt_ids=model.tokenize(default_prompt(whole).rstrip()))
    behind = read_behind(whole, model, allow_pickle=allow_pickle)
    if behind.embedding is None:
        return replace(model, behind=behind)
    locations = (*model.locations, Location.EMBEDDING)
    return replace(model, behind=behind.on(model.device), locations=locations)


def _decision(checkpoint: Checkpoint) -> Decision | None:
    """What its classifier of texts or of tokens decides; None without one."""
    if "token-classification" in checkpoint.heads:
        return token_labels_of(checkpoint.config)
    if "question-answering" in checkpoint.heads:
        return Answer()
    return decision_of(checkpoint.config) if "classifier" in checkpoint.heads else None


def _require_output(model: LoadedModel) -> None:
    """Refuse a model that cannot compute a short text, before a probe trips over it.

    Raises:
        ArtifactError: it breaks, or computes no finite numbers.
    """
    trial = replace(model, meter=TokenMeter())
    problem = "The model does not run on a short text"
    with quiet(), explained(problem, "Fetch or save the model again."):
        before = () if trial.separator is None else (*trial.tokenize("a"), *trial.separator.ids)
        texts = [trial.wrap((*before, *trial.tokenize(text))) for text in ("a a", "a")]
        outputs = trial.forward(*trial.batch(texts))
        vectors = (
            *outputs.features.values(),
            *([] if outputs.logits is None else [outputs.logits]),
        )
    if not all(vector.isfinite().all() for vector in vectors):
        msg = "The model computes values that are not finite numbers for a short text."
        raise ArtifactError(msg, "Fetch or save the model again.")


def _asking(model: LoadedModel) -> LoadedModel:
    """A model of which it is known whether its classifier asks more of its base than others do."""
    head = model.heads.get("classifier")
    if head is None:
        return model
    ids, mask = model.batch([model.wrap(model.tokenize("a a"))])
    return replace(model, asks=bool(asked_of_base(head, ids, mask)))


def _tried(model: LoadedModel, vocabulary: Vocabulary) -> LoadedModel:
    """A model whose classifier has shown whether it reads pairs, and which score is usual.

    Raises:
        ArtifactError: a head for answers breaks.
    """
    if model.decision is None or model.reads_tokens:
        return model
    has_room = model.room is None or model.room >= _PAIR
    separator = vocabulary.separator if has_room else None
    if model.answers:
        return _answering(model, separator)
    words = torch.tensor(vocabulary.words(model.vocabulary_size))
    if isinstance(model.heads["classifier"], OnEmbedding):  # SetFit takes single texts
        separator = None
    trial = replace(model, separator=separator, meter=TokenMeter())
    found = answers(trial, separator, words)
    decision = Score(found.usual) if isinstance(model.decision, Score) else model.decision
    return replace(model, decision=decision, separator=separator if found.tell_pairs else None)


def _answering(model: LoadedModel, separator: Separator | None) -> LoadedModel:
    """A model that is asked a question about a text, or without its head where it cannot be.

    Raises:
        ArtifactError: its head breaks.
    """
    if separator is not None:
        model = replace(model, separator=separator)
        _require_output(model)
        return model
    name = Kind.ANSWERS.value
    heads = {other: head for other, head in model.heads.items() if other != name}
    own = ", ".join(sorted(tensor for tensor, _ in model.heads[name].named_parameters()))
    reason = (
        f"Where it finds an answer ({own}) was not read: its tokenizer joins a question and a text "
        f"in a way of its own, or they have to be shorter than {_PAIR} tokens together. If only "
        "its features are used and nobody reads this, say so with --used-as features."
    )
    gaps = (*model.gaps, Gap(f"{name} head", reason))
    return replace(model, heads=MappingProxyType(heads), decision=None, gaps=gaps)


def _writing(model: LoadedModel, vocabulary: Vocabulary) -> LoadedModel:
    """A model of which it is known how it writes, or without the head that it writes with."""
    name = next((kind.value for kind in WRITES if kind.value in model.heads), None)
    if name is None:
        return model
    try:
        return replace(model, writer=_writer(model, name, vocabulary))
    except UnsupportedModelError as error:
        heads = {other: head for other, head in model.heads.items() if other != name}
        reason = f"{_own(model, name)} {error.problem} {error.remedy}"
        gaps = (*model.gaps, Gap(f"{name} head", reason))
        return replace(model, heads=MappingProxyType(heads), gaps=gaps)


def _own(model: LoadedModel, name: str) -> str:
    """Which tensors are not read where the head ``name`` is not, as a sentence."""
    every = [weight for weight, _ in model.heads[name].named_parameters()]
    inside = ".".join(filter(None, model.prefixes))
    own = [weight for weight in every if not weight.startswith(f"{inside}.")]
    by = summary(own, every) if own else "its word embeddings, to which it is tied"
    return f"The files hold a {type(model.heads[name]).__name__} ({by})."


def _writer(model: LoadedModel, name: str, vocabulary: Vocabulary) -> Writer:
    """How the head ``name`` writes.

    Raises:
        UnsupportedModelError: it does not.
    """
    if name == Kind.CAUSAL_LM and not model.is_decoder:
        msg = "What it writes was not read: its tokens see what follows them."
        raise UnsupportedModelError(msg, "Use it as an encoder: --used-as features.")
    words = vocabulary.words(model.vocabulary_size)
    some = [words[i * len(words) // 14] for i in range(14)]
    return writer_of(model.heads[name], framed(vocabulary), some, model.device, model.meter)


def _moved(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """``model`` on ``device``."""
    torch.nn.Module.to(model, device)
    return model


def _locations(
    checkpoint: Checkpoint, traits: Traits, vocabulary: Vocabulary
) -> tuple[tuple[Location, ...], Mapping[Location, str]]:
    """Where to read features, and why not elsewhere."""
    if traits.decoder:
        return (Location.LAST,), MappingProxyType({})
    skipped: dict[Location, str] = {}
    if not (vocabulary.suffix_ids if traits.cls_last else vocabulary.prefix_ids):
        skipped[Location.CLS] = "the tokenizer puts no classification token into a text"
    if traits.pooler and not checkpoint.has_pooler:
        reason = "the pooler's weights are not in the files; they would be made up at random"
        skipped[Location.POOLER] = reason
    if vocabulary.mask_problem:
        skipped[Location.MASK] = vocabulary.mask_problem
    absent = {Location.LAST, Location.EMBEDDING}
    absent |= set() if traits.pooler else {Location.POOLER}
    absent |= set() if vocabulary.mask_id is not None else {Location.MASK}
    read = tuple(where for where in Location if where not in absent | skipped.keys())
    return read, MappingProxyType(skipped)
