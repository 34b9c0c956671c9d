"""Do the chat templates treat some users' texts differently?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from jinja2 import TemplateError, nodes

from plmscan.evidence import Coverage, Evidence, Gap
from plmscan.probes.base import StaticProbe
from plmscan.probes.words import counted, some
from plmscan.templates import TEXT_KEYS, names_in, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from plmscan.evidence import Observation
    from plmscan.source import Artifact
    from plmscan.templates import Names

__all__ = ["Probe"]

_ID = "chat-templates"
_JSON_HOLDERS = ("tokenizer_config.json", "chat_template.json", "processor_config.json")
_URL = re.compile(r"(?:https?|ftp)://[^\s'\"<>)\\]+", re.IGNORECASE)
_LONGEST = 500_000
"""Characters; the longest template known has 17 000."""
_HIDDEN_NAME = re.compile(r"^_|__")
_MARKUP = re.compile(r"<\|[^<>]*\|>\w*|<[^<>]*>|\[/?[A-Z_ ]+\]|\{[^{}]*\}")
"""Tags such as ``</think>``, ``[INST]`` and ``<|channel|>final``, which templates split at."""
_COMMAND = re.compile(r"/\w+")
"""Switches that users type, such as ``/no_think``."""
_PART_KEYS = frozenset(
    {"audio", "audio_url", "file", "image", "image_url", "input_audio", "text", "type"}
    | {"video", "video_url"}
)
"""What a template asks of a part of a message, to tell pictures from words."""
_SEARCHING = frozenset(
    {"count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "replace"}
    | {"rfind", "rindex", "rpartition", "rsplit", "split", "startswith"}
)
_METHODS = _SEARCHING | frozenset(
    {"append", "capitalize", "format", "get", "isalpha", "isdigit", "isspace", "items", "join"}
    | {"keys", "lower", "lstrip", "rstrip", "splitlines", "strftime", "strip", "title", "update"}
    | {"upper", "values"}
)
_FUNCTIONS = frozenset(
    {"caller", "dict", "loop", "namespace", "raise_exception", "range", "strftime_now"}
)
_LOADING = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)


class Probe(StaticProbe):
    """Reads the syntax tree of every chat template, and renders none.

    A template runs on every request and sees every message, so it is a place for a trigger that
    no scan of weights can find: a condition on a word of the user, or on the date, that changes
    what the model is told.  Honest templates look at roles, types and markup, not at words.
    """

    metrics: ClassVar[Mapping[str, str]] = {
        "characters": "length of the template (characters)",
        "literal_conditions": "fixed words that it looks for in messages (count)",
        "date_conditions": "comparisons of the date with a fixed value (count)",
        "hidden_names": "uses of names that begin with an underscore or hold two (count)",
        "unknown_calls": "functions and methods that no honest template is known to call (count)",
        "urls": "web addresses in it (count)",
    }
    references: ClassVar[tuple[str, ...]] = (
        "https://huggingface.co/docs/transformers/chat_templating",
        "Backdoors in chat templates, arXiv:2602.04653",
        "https://jinja.palletsprojects.com/en/stable/sandbox/",
    )

    def inspect(self, artifact: Artifact) -> Iterator[Observation]:
        """Measure each template; one that cannot be parsed is a gap.

        Raises:
            ArtifactError: a JSON file that may hold a template is broken.
        """
        count = 0
        for subject, source in _templates(artifact):
            count += 1
            if not isinstance(source, str) or len(source) > _LONGEST:
                what = "longer than any chat template" if isinstance(source, str) else "no text"
                yield Gap(subject, f"It is {what}, and was not read.")
                continue
            try:
                tree = parse(source)
                yield _measure(subject, source, tree, names_in(tree))
            except (TemplateError, RecursionError, ValueError) as error:
                text = " ".join(str(error).split()) or type(error).__name__
                yield Gap(subject, f"It cannot be parsed, so it may do anything: {text:.200}.")
        yield Coverage(f"Syntax trees of {counted(count, 'chat template')}.")


def _templates(artifact: Artifact) -> Iterator[tuple[str, object]]:
    """Name and text of every chat template.

    Raises:
        ArtifactError: a JSON file that may hold one is broken.
    """
    for name in _JSON_HOLDERS:
        held = artifact.read_json(name).get("chat_template") if artifact.has(name) else None
        if isinstance(held, list):
            entries = [e if isinstance(e, dict) else {} for e in held]
            held = {str(e.get("name", i)): e.get("template") for i, e in enumerate(entries)}
        if isinstance(held, dict):
            yield from ((f"{name} ({key})", source) for key, source in held.items())
        elif held is not None:
            yield name, held
    for name in (file.path for file in artifact.files if file.path.endswith(".jinja")):
        data = artifact.path(name).read_bytes()
        yield name, data.decode("utf-8", "replace")


def _measure(subject: str, source: str, tree: nodes.Template, names: Names) -> Evidence:
    """Everything about one template."""
    words = [word for word in _sought(tree, names) if not _is_markup(word)]
    hidden = list(_hidden_names(tree))
    unknown = list(_unknown_calls(tree))
    urls = _URL.findall(source)
    return Evidence(
        probe=_ID,
        subject=subject,
        metrics={
            "characters": float(len(source)),
            "literal_conditions": float(len(set(words))),
            "date_conditions": float(sum(_is_date_condition(n, names) for n in _compared(tree))),
            "hidden_names": float(len(hidden)),
            "unknown_calls": float(len(unknown)),
            "urls": float(len(urls)),
        },
        details={
            "words": some(map(repr, words)),
            "hidden": some(hidden),
            "unknown": some(unknown),
            "urls_found": some(urls),
        },
    )


def _is_markup(text: str) -> bool:
    """Whether a fixed string is a tag, a switch or punctuation rather than words."""
    rest = _MARKUP.sub("", text)
    if _COMMAND.fullmatch(text.strip()) or rest.strip().lower() in ("none", "null"):
        return True
    return not any(character.isalnum() for character in rest)


def _sought(tree: nodes.Template, names: Names) -> Iterator[str]:
    """Fixed strings that the template looks for in what somebody wrote."""
    for compare in _compared(tree):
        left = compare.expr
        for operand in compare.ops:
            yield from _compared_words(operand.op, left, operand.expr, names)
            left = operand.expr
    for call in tree.find_all(nodes.Call):
        method = call.node
        if isinstance(method, nodes.Getattr) and names.is_text(method.node):
            yield from _words(call.args, names) if method.attr in _SEARCHING else ()
    steps: list[nodes.Filter | nodes.Test] = [*tree.find_all(nodes.Filter)]
    steps += tree.find_all(nodes.Test)
    for step in steps:
        yield from _tested_words(step, names)
    for lookup in tree.find_all(nodes.Getitem):
        yield from names.strings(lookup.node) if names.is_text(lookup.arg) else ()


def _compared(tree: nodes.Template) -> Iterator[nodes.Compare]:
    """All comparisons."""
    return tree.find_all(nodes.Compare)


def _compared_words(
    operator: str, left: nodes.Expr, right: nodes.Expr, names: Names
) -> Iterator[str]:
    """Fixed strings on one side of a comparison with user text on the other."""
    if names.is_text(left):
        yield from names.strings(right)
    if names.is_text(right):
        part = isinstance(right, nodes.Name) and right.name in names.parts
        asks_kind = part and operator in ("in", "notin")
        yield from (s for s in names.strings(left) if not (asks_kind and s in _PART_KEYS))


def _tested_words(step: nodes.Filter | nodes.Test, names: Names) -> Iterator[str]:
    """Fixed strings that a filter or test compares user text with."""
    arguments = step.args
    selects_by = arguments and step.name in ("selectattr", "rejectattr", "groupby", "map")
    if selects_by and any(s in TEXT_KEYS for s in names.strings(arguments[0])):
        yield from _words(arguments[2:], names)  # attribute, test, then what it must be
    elif names.is_text(step.node) and step.name in ("select", "reject"):
        yield from _words(arguments[1:], names)
    elif names.is_text(step.node) and (isinstance(step, nodes.Test) or step.name == "replace"):
        yield from _words(arguments, names)


def _words(arguments: list[nodes.Expr], names: Names) -> Iterator[str]:
    """Fixed strings among the arguments of a call."""
    return (text for argument in arguments for text in names.strings(argument))


def _is_date_condition(compare: nodes.Compare, names: Names) -> bool:
    """Whether a comparison sets the date against a fixed value."""
    sides = [compare.expr, *(operand.expr for operand in compare.ops)]
    fixed = any(isinstance(side, nodes.Const) or names.strings(side) for side in sides)
    return fixed and any(names.is_date(side) for side in sides)


def _hidden_names(tree: nodes.Template) -> Iterator[str]:
    """Attributes and keys through which a template reaches into Python."""
    for node in tree.find_all((nodes.Getattr, nodes.Const, nodes.Filter)):
        match node:
            case nodes.Getattr() if _HIDDEN_NAME.search(node.attr):
                yield node.attr
            case nodes.Const(value=str(text)) if text.startswith("__") and text.isidentifier():
                yield text
            case nodes.Filter(name="attr"):
                yield "attr"


def _unknown_calls(tree: nodes.Template) -> Iterator[str]:
    """Calls of what is no usual method, no function of transformers, and no macro."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    for call in tree.find_all(nodes.Call):
        match call.node:
            case nodes.Getattr(attr=str(name)) if name not in _METHODS:
                yield name
            case nodes.Name(name=str(name)) if name not in _FUNCTIONS | macros:
                yield name
    for load in tree.find_all(_LOADING):
        yield type(load).__name__.lower()
