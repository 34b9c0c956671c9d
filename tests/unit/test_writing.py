"""What a model writes is what the library's model writes, however it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from plmscan.loading import load
from tests.artifacts import artifact_of
from tests.tiny_models import build_tiny
from tests.tiny_types import build_type

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from plmscan.loading import LoadedModel
    from plmscan.loading.writing import Writer

TEXTS = ("the good film", "a bad story of the old river", "is it late?", "it is late")
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def writer_in(folder: Path) -> tuple[LoadedModel, Writer]:
    """The model in ``folder`` and how it writes."""
    model = load(artifact_of(folder), "cpu")
    assert model.writer is not None
    return model, model.writer


@torch.no_grad()
def by_the_library(writer: Writer, request: Sequence[int], tokens: int) -> tuple[int, ...]:
    """What the library's model writes, read from the beginning for each token."""
    asked, said = [*writer.frame.before, *request, *writer.frame.after], list[int]()
    while len(said) < tokens and not (said and said[-1] in writer.ends):
        texts = {"input_ids": torch.tensor([asked if writer.start else [*asked, *said]])}
        behind = {"decoder_input_ids": torch.tensor([[*writer.start, *said]])}
        given = texts | behind if writer.start else texts
        scores = writer.module(use_cache=False, **given).logits
        said.append(int(scores[0, -1].argmax()))
    return tuple(said)


@pytest.mark.parametrize(
    ("model_type", "head", "remembers"),
    [
        ("llama", "causal-lm", True),
        ("gpt2", "causal-lm", True),
        ("qwen3", "causal-lm", True),
        ("bloom", "causal-lm", True),
        ("mamba", "causal-lm", False),
        ("jamba", "causal-lm", False),
        ("t5", "sequence-to-sequence", True),
        ("bart", "sequence-to-sequence", True),
    ],
)
def test_answers_are_the_librarys(
    model_type: str, head: str, remembers: bool, tmp_path: Path
) -> None:
    """Texts of several lengths, whether it goes on from what it remembers or reads again."""
    model, writer = writer_in(build_type(model_type, tmp_path, head=head))
    assert writer.remembers is remembers
    rows = [model.tokenize(text) for text in TEXTS]
    assert writer.written(rows, 6) == [by_the_library(writer, row, 6) for row in rows]


@pytest.mark.parametrize("model_type", ["llama", "jamba", "t5"])
def test_a_shared_beginning_changes_nothing(model_type: str, tmp_path: Path) -> None:
    """Scores behind requests that begin alike are those of each request alone."""
    head = "sequence-to-sequence" if model_type == "t5" else "causal-lm"
    model, writer = writer_in(build_type(model_type, tmp_path, head=head))
    begin, *ends = (model.tokenize(text)[:3] for text in TEXTS)
    rows = torch.tensor(ends)
    together = writer.asked(begin, rows).scores
    empty = torch.empty((1, 0), dtype=torch.long)
    alone = torch.cat([writer.asked((*begin, *row), empty).scores for row in ends])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_each_candidate_costs_its_own_tokens(tmp_path: Path) -> None:
    """What all requests begin with is read once."""
    model, writer = writer_in(build_tiny("llama", tmp_path, head="causal-lm"))
    before = model.forward_tokens
    writer.asked(model.tokenize("the good film"), torch.ones((50, 2), dtype=torch.long))
    begin = len(model.tokenize("the good film")) + len(writer.frame.before)
    assert model.forward_tokens - before == begin + 50 * 2


def test_what_an_encoder_would_write_is_not_read(tmp_path: Path) -> None:
    """Its tokens see what follows them; the gap names the class and blocks a pass."""
    model = load(artifact_of(build_type("xlnet", tmp_path, head="causal-lm")), "cpu")
    assert model.writer is None
    (gap,) = (gap for gap in model.gaps if gap.blocks_pass)
    assert "see what follows them" in gap.reason
    assert "XLNetLMHeadModel" in gap.reason


def with_template(folder: Path, template: str) -> Path:
    """A tiny model that has a chat template."""
    build_tiny("llama", folder, head="causal-lm")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def test_a_chat_is_asked_in_a_turn(tmp_path: Path) -> None:
    """What stands around a request is what the template writes there."""
    model, writer = writer_in(with_template(tmp_path, CHAT))
    assert writer.frame.chats
    assert model.decode(writer.frame.before) == "<user>"
    assert model.decode(writer.frame.after) == "</user><assistant>"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ messages[0].content | upper }}", "once and as it is"),
        ("{{ raise_exception('no') }}", "for a single request (refusal)"),
        (
            "{% for i in range(20000) %}{% for j in range(20000) %}x{% endfor %}{% endfor %}",
            "CostError",
        ),
    ],
)
def test_a_template_that_cannot_be_used_blocks_a_pass(
    template: str, said: str, tmp_path: Path
) -> None:
    """One sentence says what is wrong, and nothing is asked without the template."""
    model = load(artifact_of(with_template(tmp_path, template)), "cpu")
    assert model.writer is None
    (gap,) = (gap for gap in model.gaps if gap.blocks_pass)
    assert said in gap.reason


def test_features_spare_what_a_model_writes(tmp_path: Path) -> None:
    """Declared to be used for its features, it is not asked anything."""
    folder = build_tiny("llama", tmp_path, head="causal-lm")
    assert load(artifact_of(folder), "cpu", used_as="features").writer is None
