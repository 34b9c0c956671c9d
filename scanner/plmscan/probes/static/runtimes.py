"""What do files of other runtimes do, which the scan does not load?"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.kinds import RUNTIMES, Kind
from plmscan.probes.base import StaticProbe
from plmscan.probes.looks import LOOKED_INTO, Looker
from plmscan.probes.words import counted, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.probes.looks import Look
    from plmscan.source import Artifact

__all__ = ["Probe"]

_ID = "runtimes"
_DECLARED = {"onnx": Kind.ONNX, "openvino": Kind.OPENVINO}
"""Kind of the files that a backend runs, by what sentence-transformers calls the backend."""


class Probe(StaticProbe):
    """Names the weights of other runtimes, and looks for what they can do besides computing.

    A repository often holds the same model for several runtimes, and nothing makes them agree: who
    runs the ONNX export runs weights that nobody measured here.  Some of the formats also carry
    code, or read other files, so that opening one is enough for an attack.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "code_layers": "layers of a Keras model that are code, or come from elsewhere (count)",
        "outside_files": "files outside of the model that an ONNX model reads (count)",
        "program_files": "files of the program that the loader of an archive runs (count)",
        "reaching_operations": "operations of a graph that use files or call Python (count)",
        "yaml_objects": "what a YAML file has imported or called, and leads to code (count)",
        "native_programs": "1 if the file is a program or library of the machine (flag)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "found": "the layers, files or operations",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://sbert.net/docs/sentence_transformer/usage/efficiency.html",
        "https://onnx.ai/onnx/repo-docs/ExternalData.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2024-3660",
        "https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md",
        "https://github.com/yaml/pyyaml/wiki/PyYAML-yaml.load(input)-Deprecation",
        "https://nvd.nist.gov/vuln/detail/CVE-2024-27322",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure every file of another runtime; one that cannot be read is named."""
        here = {file.path: file.kind for file in artifact.files}
        kinds = {**here, **{file.path: file.kind for file in artifact.not_fetched}}
        yield from _declared(artifact.backend, kinds)
        beside = {name: kind for name, kind in kinds.items() if name not in artifact.weights}
        yield from _listed(artifact.backend, beside)
        yield from _unreadable(kinds)
        programs = [name for name in artifact.programs if kinds[name] in LOOKED_INTO]
        looked_at = [name for name, kind in here.items() if kind in LOOKED_INTO] + programs
        looker = Looker()
        for name in looked_at:
            yield from _told(name, looker.look(name, artifact.readable[name], Kind(kinds[name])))
        others = sum(kind in RUNTIMES for kind in beside.values())
        yield Coverage(
            f"{counted(others, 'file')} of other runtimes; {len(looked_at)} looked into."
        )


def _declared(backend: str, kinds: Mapping[str, str]) -> Iterator[Gap]:
    """What the user's backend runs, which the scan does not."""
    if backend not in _DECLARED:
        return
    names = [name for name, kind in kinds.items() if kind == _DECLARED[backend]]
    if names:
        reason = (
            "It is what the declared backend runs: a graph, which can compute more than its "
            "weights, and is not measured."
        )
    else:
        reason = "The model has no file for it, so what runs is converted from files elsewhere."
    remedy = "Load the model with the torch backend, or leave --backend out."
    yield Gap(f"backend {backend} ({some(names)})" if names else backend, f"{reason} {remedy}")


def _listed(backend: str, kinds: Mapping[str, str]) -> Iterator[Gap]:
    """Files that the default backend does not load, by kind."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for name, kind in kinds.items():
        if kind in RUNTIMES and kind != _DECLARED.get(backend):
            by_kind[kind].append(name)
    for kind, names in by_kind.items():
        reason = f"{kind}: not what the default backend loads, and not measured."
        yield Gap(some(names), reason, blocks_pass=False)


def _unreadable(kinds: Mapping[str, str]) -> Iterator[Gap]:
    """Files that run code where somebody opens them, and that nothing here reads."""
    for name, kind in kinds.items():
        if kind == Kind.R_DATA:
            reason = (
                "R data: opening it can run code (CVE-2024-27322), and plmscan cannot read it. "
                "Leave it out."
            )
            yield Gap(name, reason)


def _told(name: str, look: Look) -> Iterator[Observation]:
    """What one file can do besides computing; nothing where that is nothing."""
    yield from (Gap(name, reason) for reason in look.blocking)
    yield from (Gap(name, reason, blocks_pass=False) for reason in look.told)
    for metric, names in look.found.items():
        count = len(set(names))
        yield Evidence(_ID, name, {metric: float(count)}, {"found": some(names)})
