"""Do the headers of the weight files agree with the config, the index and each other?"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from plmscan.errors import ArtifactError
from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.headers import Header, TensorInfo, headers_of, word_embedding
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "safetensors-header"
_SUFFIX = ".safetensors"
_NOTHING_STORED = (
    "No tensor is in it, so libraries make all weights up at random. Save or download the model "
    "again."
)
_INDEX_SUFFIX = ".safetensors.index.json"
_WIDTHS = ("hidden_size", "embedding_size", "n_embd", "d_model", "dim", "word_embed_proj_dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_DECODER_LAYERS = ("decoder_layers", "num_decoder_layers", *_LAYERS)
_EXTRA_LAYERS = ("num_nextn_predict_layers", "mtp_num_hidden_layers")
_LAYER = re.compile(r"^(?P<stack>.*?)(?:^|\.)(?:layers?|h|blocks?)\.(?P<number>\d{1,18})\.")
_OTHER_MODALITY = re.compile(r"vision|visual|audio|image|video")


class Probe(StaticProbe):
    """Checks the header of every safetensors file that will be loaded.

    A file that breaks the format makes readers disagree on what the weights are, so the model
    that was checked need not be the model that is used; such a file is refused.  One that loads
    and disagrees with its config, its index or another shard was not written by the usual tools:
    weights were added or exchanged by hand, as a backdoor edited into a finished model is.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "tensors": "tensors in all weight files together (count)",
        "duplicate_tensors": "tensors that stand in more than one weight file (count)",
        "index_disagreements": "tensors that the index and the files do not share (count)",
        "embedding_disagreements": "sizes of the word embedding that the config denies (count)",
        "extra_layers": "layers in the files beyond those of the config (count)",
        "missing_layers": "layers of the config that the files lack (count)",
        "metadata_characters": "length of the free text in the headers (characters)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "duplicates": "tensors that stand in more than one weight file",
        "unlisted": "tensors that the index and the files do not share",
        "embedding": "sizes of the word embedding, and what the config says",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://github.com/huggingface/safetensors#format",
        "https://github.com/huggingface/safetensors/blob/main/docs/source/metadata_parsing.mdx",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure the headers of the weights, and list safetensors files that are not loaded.

        Raises:
            ArtifactError: a weight file breaks the safetensors format, or a JSON file is broken.
        """
        yield from _other_files(artifact)
        artifact = artifact.measured
        names = [name for name in artifact.weights if name.endswith(_SUFFIX)]
        if not names:
            problem = artifact.weights_problem
            kind = "pickles" if artifact.gguf is None else "a GGUF model"
            reason = problem or f"The weights are {kind}, without a header that is checked here."
            yield Gap("weights", reason, blocks_pass=problem is not None)
            return
        headers = headers_of(artifact)
        yield _measure(artifact, headers)
        tensors = sum(len(header.tensors) for header in headers.values())
        if not tensors:
            yield Gap(some(names), _NOTHING_STORED)
        files = counted(len(names), "safetensors file")
        yield Coverage(f"Headers of {files} with {counted(tensors, 'tensor')}.")


def _other_files(artifact: Artifact) -> Iterator[Gap]:
    """Safetensors files that no loader of this model takes; those of its modules are loaded."""
    listed = [*(f.path for f in artifact.files), *(f.path for f in artifact.not_fetched)]
    files = sorted(name for name in listed if name.endswith(_SUFFIX))
    modules = {module.folder for module in artifact.layout.modules} - {"", artifact.layout.home}
    beside = (name for name in files if name not in artifact.weights)
    others = [name for name in beside if name.rpartition("/")[0] not in modules]
    if others and artifact.weights:
        reason = "These weights are not the ones that transformers loads; they were not scanned."
        yield Gap(some(others), reason, blocks_pass=False)


def _measure(artifact: Artifact, headers: Mapping[str, Header]) -> Evidence:
    """All headers together, held against the config and the index."""
    config = _flat(artifact.config)
    held = Counter(name for header in headers.values() for name in header.tensors)
    tensors = {name: info for header in headers.values() for name, info in header.tensors.items()}
    duplicates = sorted(name for name, count in held.items() if count > 1)
    unlisted = sorted(_index_disagreements(artifact, headers))
    embedding = _embedding_disagreements(tensors, config)
    extra, missing = _layer_disagreements(tensors, config)
    metadata = [text for h in headers.values() for item in h.metadata.items() for text in item]
    return Evidence(
        probe=_ID,
        subject=some(sorted(headers)),
        metrics={
            "tensors": float(sum(held.values())),
            "duplicate_tensors": float(len(duplicates)),
            "index_disagreements": float(len(unlisted)),
            "embedding_disagreements": float(len(embedding)),
            "extra_layers": float(extra),
            "missing_layers": float(missing),
            "metadata_characters": float(sum(map(len, metadata))),
        },
        details={
            "duplicates": some(duplicates),
            "unlisted": some(unlisted),
            "embedding": "; ".join(embedding),
        },
    )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the language model, which multimodal configs keep one level down."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else dict(config)


def _index_disagreements(artifact: Artifact, headers: Mapping[str, Header]) -> set[str]:
    """Tensors that the index places elsewhere than the shards do.

    Raises:
        ArtifactError: an index is not valid JSON, or lists no files by tensor.
    """
    actual = {(name, file) for file, header in headers.items() for name in header.tensors}
    unknown: set[tuple[str, str]] = set()
    agreed = actual
    for index in (f.path for f in artifact.files if f.path.endswith(_INDEX_SUFFIX)):
        places = artifact.read_json(index).get("weight_map")
        if not isinstance(places, dict):
            msg = f"{index} holds no weight_map."
            raise ArtifactError(msg, "Save or download the model again.")
        # An index of weights that are not loaded (onnx/, an older copy) says nothing here.
        if headers.keys() & {str(file) for file in places.values()}:
            listed = {(name, str(file)) for name, file in places.items()}
            unknown |= listed - actual
            agreed = agreed & listed
    return {name for name, _ in unknown | (actual - agreed)}


def _embedding_disagreements(
    tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]
) -> list[str]:
    """Sentences on the word embedding's rows and columns, where the config says otherwise."""
    table = word_embedding(tensors)
    if table is None:
        return []
    name, info = table
    rows, columns = info.shape
    expected_rows = _first_int(config, ("vocab_size",))
    widths = [value for key in _WIDTHS if isinstance(value := config.get(key), int)]
    found = []
    if expected_rows is not None and rows != expected_rows:
        found.append(f"{name} has {rows} rows, the config has vocab_size {expected_rows}")
    if widths and columns not in widths:
        found.append(f"{name} has {columns} columns, the config has {widths[0]}")
    return found


def _layer_disagreements(names: Iterable[str], config: Mapping[str, Any]) -> tuple[int, int]:
    """How many layers the files hold beyond the config's, and how many they lack."""
    stacks: defaultdict[str, set[int]] = defaultdict(set)
    for name in names:
        match = _LAYER.match(name)
        if match and not _OTHER_MODALITY.search(match["stack"]):
            stacks[match["stack"]].add(int(match["number"]))
    extra = missing = 0
    allowed = sum(value for key in _EXTRA_LAYERS if isinstance(value := config.get(key), int))
    for stack, numbers in stacks.items():
        expected = _first_int(config, _DECODER_LAYERS if "decoder" in stack else _LAYERS)
        if expected is not None:
            extra += len({n for n in numbers if n >= expected + allowed})
            missing += expected - len({n for n in numbers if n < expected})
    return extra, missing


def _first_int(config: Mapping[str, Any], keys: Iterable[str]) -> int | None:
    """The first of the settings that is there."""
    return next((value for key in keys if isinstance(value := config.get(key), int)), None)
