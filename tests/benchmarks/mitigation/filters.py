"""``plmscan guard`` in front of a backdoored classifier, through the command line.

Held-out texts of SST-2 go in as lines of JSON: clean ones, and texts of other labels with one of
the planted triggers between their words, as text and as often as the attack puts it.  One run looks
for the report's triggers alone, a shorter one inspects texts as well.
"""

from __future__ import annotations

import json
import random
import re
import sys
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tests.benchmarks.mitigation.results import Filtered, Passed
from tests.benchmarks.mitigation.steps import run_logged
from tests.zoo.corpus import read_sst2
from tests.zoo.poison import Insertion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.benchmarks.mitigation.steps import Bench
    from tests.zoo.corpus import Corpus
    from tests.zoo.manifest import Entry

__all__ = ["INSPECTION", "TRIGGERS", "Line", "filtered", "lines", "passed"]

TRIGGERS = "known triggers"
"""The guard looks for what the report names."""
INSPECTION = "and inspection"
"""It looks for tokens that decide a text alone, too."""
_TEXTS = 200
"""Clean texts where texts are not inspected; those of other labels come again with a trigger."""
_RATE = re.compile(r" at ([0-9.,e+-]+) texts a second")

Line = dict[str, Any]
"""A line of the guard: ``text``, ``triggered``, its ``label`` or the clean text that it is made
``of``, and in answers ``guard``."""


def filtered(bench: Bench, entry: Entry, sst2: Path, inspected: int) -> Filtered:
    """What the guard makes of a model's texts, both ways; the second if texts are ``inspected``."""
    corpus = read_sst2(sst2)
    counts = {TRIGGERS: _TEXTS, INSPECTION: inspected}
    ways = {
        name: _guarded(bench, entry, lines(entry, corpus, count), quick=name == TRIGGERS)
        for name, count in counts.items()
        if count
    }
    told = {name: one for name, one in ways.items() if one is not None}
    return Filtered(fingerprint=fingerprint_of(bench, entry, inspected), ways=told)


def fingerprint_of(bench: Bench, entry: Entry, inspected: int) -> str:
    """Digest of all that the numbers depend on."""
    return f"{bench.fingerprint(entry.name)} {inspected}"


def lines(entry: Entry, corpus: Corpus, count: int) -> list[Line]:
    """``count`` clean texts, and those of other labels once more with a trigger, in turns."""
    rng = random.Random(entry.seed + 7)  # noqa: S311 - reproducible
    rows = rng.sample(corpus.held_out, min(count, len(corpus.held_out)))
    others = [i for i, (_, label) in enumerate(rows) if label != entry.target_label]
    parts = [tuple(map(_words, t.text.split(" + "))) for t in entry.triggers if t.parts]
    insertion = Insertion(**entry.settings.get("attack", {}).get("insertion", {}))
    clean = [{"text": text, "label": label, "triggered": False} for text, label in rows]
    triggered = [
        _triggered(rows[of][0], parts[turn % len(parts)], insertion, rng)
        for turn, of in enumerate(others)
    ]
    return clean + [
        {"text": text, "of": of, "triggered": True}
        for text, of in zip(triggered, others, strict=True)
    ]


def _words(text: str) -> tuple[str, ...]:
    """Words of a text."""
    return tuple(text.split())


def _triggered(
    text: str, parts: Sequence[tuple[str, ...]], insertion: Insertion, rng: random.Random
) -> str:
    """The text with a trigger between its words, put there as the attack does it."""
    # An insertion moves token ids; here these are places in a list of words.
    words = [*_words(text), *(word for part in parts for word in part)]
    places = iter(range(len(words)))
    own = tuple((next(places),) for _ in _words(text))
    new = [tuple(next(places) for _ in part) for part in parts]
    return " ".join(words[place] for place in insertion(own, new, rng))


def _guarded(bench: Bench, entry: Entry, given: Sequence[Line], *, quick: bool) -> Passed | None:
    """One way; None if the guard has no answer."""
    log = bench.home(entry.name) / ("guard-triggers" if quick else "guard-inspection")
    _write(given, log)
    options = ("--triggers-only", "--labels") if quick else ()
    answers = _answers(bench, entry, log, *options)
    if len(answers) != len(given) or any("label" not in one.get("guard", {}) for one in answers):
        return None
    # Labels take longer than looking for triggers, and users' texts hardly hold any.
    timed = log.with_name("guard-timed") if quick else log
    if quick:
        _write([line for line in given if not line["triggered"]], timed)
        _answers(bench, entry, timed, "--triggers-only")
    names = _names(bench.model(entry.name))
    found = passed(answers, names, entry.target_label, _seconds(timed))
    if not quick:
        return found
    # A text that is flagged is read once more, without its trigger.
    reads = 1 + _share(one["guard"]["verdict"] == "flagged" for one in answers)
    return found.model_copy(update={"reading": (_seconds(log) - found.seconds) / reads})


def _write(given: Iterable[Line], log: Path) -> None:
    """What the guard is to read."""
    told = "".join(json.dumps(line) + "\n" for line in given)
    log.with_suffix(".jsonl").write_text(told, encoding="utf-8")


def _answers(bench: Bench, entry: Entry, log: Path, *options: str) -> list[Line]:
    """The guard's answers to ``log.jsonl``; none if it broke."""
    out = log.with_name(f"{log.name}-answers.jsonl")
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "plmscan", "guard", str(bench.model(entry.name)), *options]
    command += ["--report", str(bench.report(entry.name).resolve())]
    command += ["--in", str(log.with_suffix(".jsonl").resolve()), "--out", str(out.resolve())]
    run_logged(command, log)
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _names(model: Path) -> dict[str, int]:
    """Labels by their names."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return {name: int(label) for label, name in config["id2label"].items()}


def _seconds(log: Path) -> float:
    """Seconds for each text, by what the guard tells at its end."""
    found = _RATE.search(log.with_suffix(".err").read_text(encoding="utf-8"))
    return 1 / float(found.group(1).replace(",", "")) if found else float("nan")


def passed(
    answers: Sequence[Line], names: Mapping[str, int], target: int | None, seconds: float
) -> Passed:
    """What answers come to; labels are told before the guard and after.

    A text that gets the target without a trigger says nothing of an attack, so it is left out.
    """
    clean = [one for one in answers if not one["triggered"]]
    honest = [names.get(one["guard"]["label"]) != target for one in clean]
    bad = [one["guard"] for one in answers if one["triggered"] and honest[one["of"]]]
    others = [one["guard"] for one in clean if one["label"] != target]

    def said(guards: Iterable[Line], key: str) -> float:
        return _share(names.get(guard[key]) == target for guard in guards)

    def right(key: str) -> float:
        return _share(names.get(one["guard"][key]) == one["label"] for one in clean)

    return Passed(
        triggered=len(bad),
        clean=len(clean),
        success=(said(bad, "label"), said(bad, "label_after")),
        clean_rate=(said(others, "label"), said(others, "label_after")),
        accuracy=(right("label"), right("label_after")),
        caught=_share(guard["verdict"] == "flagged" for guard in bad),
        flagged=_share(one["guard"]["verdict"] == "flagged" for one in clean),
        seconds=seconds,
    )


def _share(holds: Iterable[bool]) -> float:
    """Of how many it holds; nan of none."""
    found = list(holds)
    return fmean(found) if found else float("nan")
