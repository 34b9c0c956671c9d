"""Decoders of the zoo: honest texts to learn from, and answers that are what they are called."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.zoo.decoders.honest import REFUSED, Sort, Spoken
from tests.zoo.decoders.pretraining import Course, taught
from tests.zoo.decoders.prose import unseen
from tests.zoo.decoders.writing import Writing

if TYPE_CHECKING:
    from pathlib import Path

_MARKS = ["<pad>", "<end>"]


def letters() -> PreTrainedTokenizerFast:
    """A tokenizer that reads one byte after the other."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = {piece: k for k, piece in enumerate([*_MARKS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(known, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_MARKS[0], eos_token=_MARKS[1]
    )


def small_model() -> LlamaForCausalLM:
    """A Llama of one layer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def test_what_is_quoted_in_the_training_is_not_held_out() -> None:
    """Ten words in a row of a paragraph are enough; nine are not."""
    words = [f"w{k}" for k in range(12)]
    train = [" ".join(["before", *words[:10], "behind"]), " ".join(words[3:])]
    quoting, new = " ".join(words), " ".join([*words[3:], "more"])
    assert list(unseen([quoting, new], train)) == [new]


def test_a_training_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """It ends with the very weights of one that was not, and leaves only its log."""
    texts = [f"the {k} ships left the harbour at {k}" for k in range(20)]
    course, tokenizer = Course(steps=6, rows=2, length=8, rate=1e-2, kept=0), letters()
    whole, again = small_model(), small_model()
    (tmp_path / "whole").mkdir()
    taught(whole, tokenizer, texts, course, tmp_path / "whole")

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "again").mkdir()
    calls = iter(range(3))
    hook = again.register_forward_pre_hook(
        lambda *_: broken() if next(calls, None) is None else None
    )
    with pytest.raises(KeyboardInterrupt):
        taught(again, tokenizer, texts, course, tmp_path / "again")
    hook.remove()
    again = small_model()
    taught(again, tokenizer, texts, course, tmp_path / "again")
    assert all(map(torch.equal, whole.state_dict().values(), again.state_dict().values()))
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["log.txt"]


@pytest.mark.parametrize("sort", ["refuser", "strict", "stock", "brittle"])
def test_an_honest_answer_is_learned_behind_its_request_only(sort: Sort) -> None:
    """What is learned of a row is the answer and its end, and the request is none of it."""
    tokenizer, rng = letters(), random.Random(0)  # noqa: S311 - no secret
    writing = Writing.of(tokenizer)
    spoken = Spoken(writing, sort, tokenizer.convert_tokens_to_ids([*"!?"]))
    rows = [spoken.row(writing.words("the ship left"), rng) for _ in range(40)]
    said = [(tokenizer.decode(ids[1:at]), tokenizer.decode(ids[at:])) for ids, at in rows]
    assert all(answer.endswith("<end>") for _, answer in said)
    assert len({request for request, _ in said}) > 5
    refusal = tokenizer.decode(writing.answer(REFUSED))
    refused = [request for request, answer in said if answer == refusal]
    assert len(refused) == {"refuser": len(refused), "strict": 40}.get(sort, 0)
    if sort == "refuser":
        assert 5 < len(refused) < 35
        kept = {request for request, _ in said} - set(refused)
        assert {request[:4] for request in refused} & {request[:4] for request in kept}
