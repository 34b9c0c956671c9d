"""The benchmark of speed on a tiny model: what is measured, kept and told; never how fast it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from plmscan.budget import Effort
from plmscan.evidence import ProbeRun, ProbeStatus
from plmscan.scan import ProbeFinished, ProbeStarted, Progress, Resolved
from plmscan.search.recipes import RECIPES
from tests.benchmarks.mitigation.results import keep, kept
from tests.benchmarks.runs import measured
from tests.benchmarks.speed.__main__ import main
from tests.benchmarks.speed.bench import Bench, Place
from tests.benchmarks.speed.child import piece
from tests.benchmarks.speed.hashing import hashed
from tests.benchmarks.speed.product import Product
from tests.benchmarks.speed.results import (
    Axis,
    Checked,
    Measured,
    Piece,
    Point,
    Rates,
    Scaling,
    Stage,
    Task,
)
from tests.benchmarks.speed.scaling import tasks
from tests.benchmarks.speed.shapes import Shape, write
from tests.benchmarks.speed.stages import Ear, stages
from tests.benchmarks.speed.starting import started
from tests.benchmarks.speed.tables import memory_target, tables, verdict_target
from tests.zoo.tiny import one_thread, tiny_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

RECIPE = RECIPES[Effort.STANDARD]


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """On one thread."""
    with one_thread():
        yield


@pytest.fixture
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return tiny_folder(tmp_path_factory, "clean")


def swept(tokens: int = 400, seconds: float = 2.0) -> Piece:
    """A sweep that took ``seconds``."""
    return Piece(
        task=Task(model=Path("tiny")),
        where="processor",
        threads=1,
        rows=1024,
        items=100,
        tokens=tokens,
        seconds=seconds,
        vocabulary=100,
        layers=2,
        width=64,
        parameters=1000,
        rates=Rates(shape=(4096, 64, 128), float32=500_000.0),
    )


def recorded(name: str = "base", **more: object) -> Measured:
    """A model of which everything was measured, at 40 s."""
    told = Checked(
        exit_code=0,
        seconds=40.0,
        megabytes=500.0,
        verdict="pass",
        tokens=9000,
        stages=(
            Stage(name="loading", seconds=1.5),
            Stage(name="trigger-sweep", seconds=38.0, steps={"start": 1.0, "null": 37.0}),
        ),
    )
    found = Measured(name=name, device="cpu", source="old", weights=2**20)
    return found.model_copy(update={"sweeps": (swept(),), "checked": told, **more})


def test_a_sweep_counts_tokens_and_the_products_of_the_same_run(tiny: Path) -> None:
    """All items in the shortest text, and the widest layer times the tokens of a batch."""
    found = piece(Task(model=tiny, rows=256))
    assert found.rates is not None
    assert found.rates.shape == (256 * 3, 64, 128)
    assert (found.rates.float32 > 0, found.seconds > 0) == (True, True)
    again = found.tokens - 3 * found.items  # what half the digits put in front is read anew
    assert (found.layers, found.threads) == (2, 1)
    assert 0 <= again <= 3 * found.items
    assert found.vocabulary == found.items + 4, "all but padding, mask and frame"


def test_a_part_of_the_vocabulary_and_of_the_layers_costs_less(tiny: Path) -> None:
    """A quarter of the items, half of the layers, and no product that was not asked for."""
    whole = piece(Task(model=tiny, with_product=False))
    some = piece(Task(model=tiny, parts=4, layers=1, with_product=False))
    assert whole.rates is None
    assert some.items == -(-whole.items // 4)
    assert some.parameters < whole.parameters
    assert (some.layers, whole.layers) == (1, 2)


def test_a_verification_grows_with_its_carriers(tiny: Path) -> None:
    """As many candidates as a check has in each; twice the carriers are twice the texts."""
    few, many = (piece(Task(model=tiny, carriers=count)) for count in (2, 4))
    assert few.items == many.items == RECIPE.finalists + RECIPE.null_items
    assert many.tokens > 1.5 * few.tokens


def test_threads_are_those_of_the_task(tiny: Path) -> None:
    """What is asked for is what torch has, and is told."""
    assert piece(Task(model=tiny, threads=2, with_product=False)).threads == 2
    assert torch.get_num_threads() == 2


def test_a_product_counts_what_it_did() -> None:
    """A rate comes of at least one product, however short the sample."""
    product = Product((8, 4, 6), torch.device("cpu"), torch.float32)
    product.sample(0.0)
    assert product.rate > 0


def test_every_axis_begins_small_and_memory_is_measured_without_the_product(tiny: Path) -> None:
    """Six layers are cut to two and four; two threads are not done twice."""
    asked = list(tasks(tiny, "cpu", 6, 2))
    by_axis = {axis: [task for one, task in asked if one is axis] for axis in Axis}
    assert [task.layers for task in by_axis[Axis.LAYERS]] == [2, 4, 6]
    assert [task.threads for task in by_axis[Axis.THREADS]] == [1, 2]
    assert [task.parts for task in by_axis[Axis.VOCABULARY]] == [4, 2, 1]
    lean = [*by_axis[Axis.ROWS], *by_axis[Axis.CARRIERS]]
    assert not any(task.with_product for task in lean)
    assert Axis.THREADS not in {axis for axis, _ in tasks(tiny, "cuda", 6, 2)}


def test_time_belongs_to_the_note_before_it() -> None:
    """A note comes before its work; torch is imported before the loading is told."""
    ticks = iter(range(100))
    ear = Ear(lambda: float(next(ticks)))
    ear.on_progress(Progress("source", 1.0, "hashed config.json"))
    ear.on_event(Resolved("tiny", None, 3, 1000))
    ear.on_event(ProbeStarted("loading"))
    ear.on_event(ProbeFinished(ProbeRun("loading", ProbeStatus.COMPLETED, "", 0.0, 0)))
    ear.on_event(ProbeStarted("trigger-sweep"))
    for note in ("vocabulary sweep", "vocabulary sweep", "null"):
        ear.on_progress(Progress("trigger-sweep", 0.5, note))
    ear.on_event(ProbeFinished(ProbeRun("trigger-sweep", ProbeStatus.COMPLETED, "", 0.0, 7)))
    found = stages(ear.marks, {"trigger-sweep": 7})
    assert [(s.name, s.seconds) for s in found] == [
        ("files found and hashed", 1.0),
        ("torch imported", 1.0),
        ("loading", 1.0),
        ("between two probes", 1.0),
        ("trigger-sweep", 4.0),
    ]
    assert found[-1].steps == {"start": 1.0, "vocabulary sweep": 2.0, "null": 1.0}
    assert (found[-1].tokens, found[0].tokens) == (7, 0)


def test_a_shape_has_random_weights_and_the_tokenizer_of_another(
    tiny: Path, tmp_path: Path
) -> None:
    """Written once, whole, with the sizes that were asked for."""
    folder = write(Shape(3, 32, 2), tiny, tmp_path / "models" / "small")
    config = AutoConfig.from_pretrained(folder)
    assert (config.num_hidden_layers, config.hidden_size) == (3, 32)
    assert config.intermediate_size == 4 * 32
    assert (folder / "tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert len(weights.keys()) > 3 * 16
    before = (folder / "config.json").stat().st_mtime_ns
    assert write(Shape(3, 32, 2), tiny, folder) == folder
    assert (folder / "config.json").stat().st_mtime_ns == before


def test_a_shape_can_have_more_pieces_and_labels(tiny: Path, tmp_path: Path) -> None:
    """A classifier whose vocabulary its tokenizer knows."""
    folder = write(Shape(1, 32, 2, pieces=3000, labels=4), tiny, tmp_path / "wide")
    config = AutoConfig.from_pretrained(folder)
    assert (config.vocab_size, config.num_labels) == (3000, 4)
    assert len(AutoTokenizer.from_pretrained(folder)) == 3000


def test_weights_are_read_and_hashed(tiny: Path) -> None:
    """Only the weights, all of them."""
    found = hashed(tiny)
    assert found.size == (tiny / "model.safetensors").stat().st_size
    assert (found.reading > 0, found.hashing > 0) == (True, True)


@pytest.mark.long(10)
def test_a_check_is_the_command_line_with_an_ear(tiny: Path, tmp_path: Path) -> None:
    """Verdict and tokens are the report's; the stages add up to the whole process."""
    said: list[str] = []
    found = Bench(tmp_path, "now", 0.0, said.append).checked(Place("tiny", tiny, "cpu"))
    names = [stage.name for stage in found.stages]
    assert found.verdict in ("pass", "fail", "inconclusive")
    assert sum(stage.tokens for stage in found.stages) == found.tokens > 0
    assert sum(stage.seconds for stage in found.stages) == pytest.approx(found.seconds)
    assert names[:2] == ["process started", "files found and hashed"]
    assert names[-3:] == ["judged", "report told", "process ended"]
    assert names.index("torch imported") + 1 == names.index("loading")
    (sweep,) = (stage for stage in found.stages if stage.name == "trigger-sweep")
    assert {"start", "vocabulary sweep", "screening", "verification", "null"} <= {*sweep.steps}
    assert sum(sweep.steps.values()) == pytest.approx(sweep.seconds)


@pytest.mark.long(6)
def test_commands_that_measure_nothing_are_whole_processes(tiny: Path, tmp_path: Path) -> None:
    """Four commands; without weights there is nothing large to hash, and nothing breaks."""
    found = started(tiny, tmp_path, times=1)
    assert [one.command for one in found][:2] == ["--version", "--help"]
    assert all(len(one.seconds) == 1 and one.seconds[0] > 0 for one in found)
    assert not (tmp_path / "without-weights" / "model.safetensors").exists()
    assert "error" not in (tmp_path / "starting.log").read_text()


def test_targets_follow_from_the_floor_and_the_weights() -> None:
    """100 items of 3 tokens by 2000 operations at half a million a second are 1.2 s."""
    found = recorded()
    assert swept().floor == pytest.approx(1.2)
    assert verdict_target(found) == pytest.approx(1.7 * 1.2)
    assert memory_target(found) == pytest.approx(601.6)
    assert verdict_target(recorded(sweeps=())) is None
    assert swept().operations == pytest.approx(400_000)


def test_tables_tell_what_there_is_and_leave_out_what_is_not() -> None:
    """A target that is missed reads no; a share is of the same run."""
    drawn = {table.title: table for table in tables([recorded()], [])}
    assert set(drawn) == {
        *("Time to verdict and memory", "Sweep of the vocabulary", "Seconds of each stage"),
    }
    (check,) = drawn["Time to verdict and memory"].rows
    assert check[3:9] == ("pass", "40.0", "1.2", "33.3", "1.7", "no")
    assert check[-3:-1] == ("602", "yes")
    (sweep,) = drawn["Sweep of the vocabulary"].rows
    assert "80%" in sweep
    names = [row[0] for row in drawn["Seconds of each stage"].rows]
    assert names[1:] == [
        *("trigger-sweep", "trigger-sweep → start", "trigger-sweep → null", "whole process"),
    ]
    assert tables([], []) == ()


def test_growth_is_told_by_the_first_point_of_each_axis() -> None:
    """Twice the layers in twice the time."""
    points = tuple(
        Point(axis=Axis.LAYERS, value=value, piece=swept(seconds=float(value))) for value in (2, 4)
    )
    grown = Scaling(name="minilm", device="cpu", source="old", points=points)
    (table,) = tables([], [grown])
    assert [row[5:7] for row in table.rows] == [("1.00", "1.00"), ("2.00", "2.00")]


def test_only_a_report_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is kept is told, with what one has to know, and drawn."""
    keep(recorded(no_gpu="torch sees no GPU"), tmp_path / "base-cpu.json")
    points = tuple(
        Point(axis=Axis.ROWS, value=value, piece=swept(seconds=1 / value)) for value in (1, 2)
    )
    scaling = Scaling(name="minilm", device="cpu", source="old", points=points)
    keep(scaling, tmp_path / "scaling-cpu.json")
    text = tmp_path / "speed.md"
    main(["--only-report", "--out", str(tmp_path), "--markdown", str(text)])
    said = capsys.readouterr().out
    assert "Nothing was measured on a GPU: torch sees no GPU." in said
    assert "another source of plmscan" in said
    assert "### How the cost of minilm grows" in text.read_text(encoding="utf-8")
    assert (tmp_path / "speed.png").read_bytes()[1:4] == b"PNG"
    assert kept(Measured, tmp_path / "base-cpu.json") == recorded(no_gpu="torch sees no GPU")


def test_nothing_kept_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No table, no figure, no traceback."""
    main(["--only-report", "--out", str(tmp_path)])
    assert "Nothing is kept in" in capsys.readouterr().out
    assert not (tmp_path / "speed.png").exists()


def test_the_driver_does_without_torch(tmp_path: Path) -> None:
    """A parent with torch would be the least that its children seem to take."""
    code = "import sys, tests.benchmarks.speed.__main__; sys.exit('torch' in sys.modules)"
    assert measured([sys.executable, "-c", code], tmp_path / "log").exit_code == 0
