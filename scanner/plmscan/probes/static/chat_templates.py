"""Do the chat templates treat some users' texts, or some days, differently?"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.kinds import Kind
from plmscan.layout import leaves
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some
from plmscan.runtimes.gguf import PlaceholderError
from plmscan.runtimes.gguf import templates as gguf_templates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from plmscan.evidence import FileDigest, ListedFile, Observation
    from plmscan.source import Artifact
    from plmscan.templates import Effect, Judgement

__all__ = ["Probe"]

_ID = "chat-templates"
_JSON_HOLDERS = (
    "chat_template*.json", "processor_config.json", "special_tokens_map.json",
    "tokenizer_config.json",
)  # fmt: skip
"""Files of whose settings transformers makes those of a tokenizer or processor."""
_TEXT_SUFFIXES = frozenset({".j2", ".jinja", ".jinja2"})
_URL = re.compile(r"(?:https?|ftp)://[^\s'\"<>)\\]+", re.IGNORECASE)
_LARGEST = 4_000_000
"""Bytes of a file; a template is much shorter, and longer ones are not read."""
_MOST = 40
"""Templates of one model; the most that are known are about ten."""


class Probe(StaticProbe):
    """Reads every chat template, and renders it in a sandbox with pairs of conversations.

    A template runs on every request and sees every message, so it is a place for a trigger that
    no scan of weights can find: a condition on a word of the user, or on the date, that changes
    what the model reads.  Honest templates look at roles, types and markup, not at words.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "characters": "length of the template (characters)",
        "literal_conditions": "words, or kinds of texts, that change what it writes (count)",
        "date_conditions": "dates that change what it writes, beside the date itself (count)",
        "hidden_names": "uses of names that begin with an underscore or hold two (count)",
        "invisible_characters": "stretches of text in it that nobody sees (count)",
        "leaving_names": "names of templates by which a library would save them elsewhere (count)",
        "unknown_calls": "functions and methods that no honest template is known to call (count)",
        "urls": "web addresses in it (count)",
    }
    details: ClassVar[Mapping[str, str]] = {
        "words": "words, or kinds of texts, that change what it writes",
        "dates": "dates that do",
        "effect": "what it writes for those words",
        "date_effect": "what it writes on those dates",
        "hidden": "the names with underscores",
        "leaving": "names by which a library would save templates elsewhere",
        "unknown": "functions and methods that no honest template is known to call",
        "urls_found": "web addresses in it",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/chat_templating",
        "Backdoors in chat templates, arXiv:2602.04653",
        "https://jinja.palletsprojects.com/en/stable/sandbox/",
        "https://nvd.nist.gov/vuln/detail/CVE-2026-9856",
        "https://www.unicode.org/reports/tr36/",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure each template; one that cannot be judged is a gap.

        Raises:
            ArtifactError: a JSON file that may hold a template is broken.
        """
        count = 0
        read: dict[str, Judgement] = {}
        for subject, source in _templates(artifact):
            count += 1
            if isinstance(source, ValueError):
                # A lenient loader may find a template where this one found none; in a file that is
                # too short for any, nobody does.
                reason = f"Its metadata cannot be read: {source}. Save or download it again."
                yield Gap(subject, reason, blocks_pass=not isinstance(source, PlaceholderError))
            elif not isinstance(source, str):
                yield Gap(subject, "It is no text, and was not read.")
            elif count > _MOST:
                yield Gap(subject, f"It was not read: no model needs more than {_MOST} templates.")
            else:
                judgement = read[source] = read.get(source) or _judged(source)
                yield from _told(subject, source, judgement)
        yield from _leaving(artifact)
        yield Coverage(f"What {counted(count, 'chat template')} would make of words and dates.")


def _judged(source: str) -> Judgement:
    """What is known about one template."""
    from plmscan.templates import judge  # noqa: PLC0415 - most encoders have none, and need no jinja

    return judge(source)


def _templates(artifact: Artifact) -> Iterator[tuple[str, object]]:
    """Name and text of every chat template.

    Raises:
        ArtifactError: a JSON file that may hold one is broken.
    """
    for file in artifact.files:
        path = PurePosixPath(file.path)
        if any(path.match(pattern) for pattern in _JSON_HOLDERS):
            yield from _held(file.path, artifact.read_json(file.path).get("chat_template"))
        elif path.suffix.lower() in _TEXT_SUFFIXES:
            is_short = file.size <= _LARGEST
            data = artifact.path(file.path).read_bytes() if is_short else b""
            yield file.path, data.decode("utf-8-sig", "replace") if is_short else None
    readable = artifact.readable
    listed: list[FileDigest | ListedFile] = [*artifact.files, *artifact.not_fetched]
    for one in listed:
        if one.kind == Kind.GGUF and one.path in readable:
            yield from _of_gguf(one.path, readable[one.path])


def _of_gguf(name: str, path: Path) -> Iterator[tuple[str, object]]:
    """The templates in the metadata of a GGUF file; an error where these cannot be read."""
    with path.open("rb") as file:
        try:
            for key, source in gguf_templates(file, path.stat().st_size):
                yield f"{name} ({key})", source
        except ValueError as error:
            yield name, error


def _held(name: str, held: object) -> Iterator[tuple[str, object]]:
    """The templates in what a JSON file gives as ``chat_template``."""
    if isinstance(held, list):
        entries = [entry if isinstance(entry, dict) else {} for entry in held]
        for number, entry in enumerate(entries):
            yield f"{name} ({entry.get('name', number)})", entry.get("template")
    elif isinstance(held, dict):
        yield from ((f"{name} ({key})", source) for key, source in held.items())
    elif held is not None:
        yield name, held


def _leaving(artifact: Artifact) -> Iterator[Evidence]:
    """Names of templates that save_pretrained would take for paths out of its folder.

    Raises:
        ArtifactError: a JSON file that may hold templates is broken.
    """
    for file in artifact.files:
        if any(PurePosixPath(file.path).match(pattern) for pattern in _JSON_HOLDERS):
            held = artifact.read_json(file.path).get("chat_template")
            entries = held if isinstance(held, (dict, list)) else ()
            names = (entry.get("name") if isinstance(entry, dict) else entry for entry in entries)
            leaving = [name for name in names if isinstance(name, str) and leaves(name)]
            if leaving:
                metrics = {"leaving_names": float(len(leaving))}
                yield Evidence(_ID, file.path, metrics, {"leaving": some(leaving)})


def _told(subject: str, source: str, judgement: Judgement) -> Iterator[Observation]:
    """Everything about one template."""
    yield from (Gap(subject, problem) for problem in judgement.problems)
    words = [effect for effect in judgement.effects if not effect.is_date]
    dates = [effect for effect in judgement.effects if effect.is_date]
    urls = _URL.findall(source)
    yield Evidence(
        probe=_ID,
        subject=subject,
        metrics={
            "characters": float(judgement.characters),
            "literal_conditions": float(len(words)),
            "date_conditions": float(len(dates)),
            "hidden_names": float(len(judgement.hidden)),
            "invisible_characters": float(judgement.invisible),
            "unknown_calls": float(len(judgement.unknown)),
            "urls": float(len(urls)),
        },
        details={
            "words": some(effect.trigger for effect in words),
            "dates": some(effect.trigger for effect in dates),
            "effect": _does(words),
            "date_effect": _does(dates),
            "hidden": some(judgement.hidden),
            "unknown": some(judgement.unknown),
            "urls_found": some(urls),
        },
    )


def _does(effects: list[Effect]) -> str:
    """What the template does in the first of some cases."""
    return effects[0].does if effects else ""
