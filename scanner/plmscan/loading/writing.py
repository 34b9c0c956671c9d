"""What a model writes: the token that comes next, and the tokens after that.

Texts of one length go through together, so nothing is padded.  What many texts begin with is read
once, where the model shows that it can go on from a copy of what it remembers; a model that cannot
reads every text from its beginning for each token.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from plmscan.errors import UnsupportedModelError
from plmscan.loading.chat import around_request
from plmscan.loading.quiet import first_line, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from plmscan.loading.meter import TokenMeter
    from plmscan.loading.vocabulary import Vocabulary

__all__ = ["Frame", "Reading", "Writer", "framed", "writer_of"]

_ROOM = 2**25
"""Scores of tokens that one pass hands out at most."""
_ROWS = 256
"""Texts of one pass at most."""
_ROUNDING = 1e-3
"""Share of the size of the scores by which rounding may change them."""
_REMEDY = "If only its features are used and nobody reads this, say so with --used-as features."


@dataclass(frozen=True)
class Frame:
    """What stands around a request."""

    before: tuple[int, ...]
    """Ids in front of it."""
    after: tuple[int, ...]
    """Ids between it and the answer."""
    chats: bool
    """Whether a chat template wrote them, so that a request is a turn of its own."""


@dataclass(frozen=True, eq=False)
class Writer:
    """A model that writes, and how it is asked."""

    module: nn.Module
    """The whole model of the library, with its head."""
    device: torch.device
    """Where it is."""
    frame: Frame
    """What stands around a request."""
    start: tuple[int, ...]
    """Ids with which a decoder begins that reads an encoder; empty where there is just one text."""
    ends: frozenset[int]
    """Ids that end an answer."""
    remembers: bool
    """Whether it goes on from a copy of what it remembers."""
    meter: TokenMeter
    """Counts the tokens that went through the model."""

    @property
    def rows(self) -> int:
        """How many texts go through together, whatever the size of the vocabulary."""
        config: Any = self.module.config
        scores = int(config.get_text_config().vocab_size)
        return max(1, min(_ROWS, _ROOM // (scores * (1 if self._hands_out_last else 32))))

    @property
    def _hands_out_last(self) -> bool:
        """Whether it can be asked for the scores behind the last token alone."""
        return "logits_to_keep" in inspect.signature(self.module.forward).parameters

    @torch.no_grad()
    def asked(self, before: Sequence[int], rows: Tensor) -> Reading:
        """About to answer requests that begin with ``before`` and go on with ``rows`` (b, m)."""
        if not rows.shape[1]:
            whole = self._row(self.frame.before, before, self.frame.after)
            return self.behind(whole).times(len(rows))
        first = self._row(self.frame.before, before)
        rest = torch.cat([rows, self._row(self.frame.after).expand(len(rows), -1)], 1)
        if first.shape[1] and self.remembers and not self.start:
            return self.behind(first).times(len(rows)).on(rest)
        return self.behind(torch.cat([first.expand(len(rows), -1), rest], 1))

    def _row(self, *parts: Sequence[int]) -> Tensor:
        """(1, n) ids of all ``parts``."""
        ids = [token for part in parts for token in part]
        return torch.tensor([ids], dtype=torch.long, device=self.device)

    @torch.no_grad()
    def behind(self, texts: Tensor) -> Reading:
        """Behind ``texts`` (b, n), or about to write what answers them where an encoder reads."""
        if not self.start:
            return self._passed(texts, texts, None)
        self.meter.add(texts.numel())
        decoder = self._row(self.start).expand(len(texts), -1)
        return self._passed(decoder, decoder, None, input_ids=texts)

    def _passed(self, read: Tensor, new: Tensor, memory: object, **given: object) -> Reading:
        """Behind ``read`` (b, n), of which ``new`` (b, m) is not in ``memory``."""
        self.meter.add(new.numel())
        options: dict[str, object] = {"use_cache": self.remembers}
        options |= {"past_key_values": memory} if memory is not None else {}
        options |= {"logits_to_keep": 1} if self._hands_out_last else {}
        options["decoder_input_ids" if self.start else "input_ids"] = new
        out = self.module(**options, **given)
        scores = out.logits[:, -1].float().log_softmax(-1)
        memory = getattr(out, "past_key_values", None) if self.remembers else None
        state = getattr(out, "encoder_last_hidden_state", None) if self.start else None
        return Reading(self, read, scores, memory, state)

    @torch.no_grad()
    def written(self, requests: Sequence[Sequence[int]], tokens: int) -> list[tuple[int, ...]]:
        """What it writes to each request, greedily: ``tokens`` at most, and what ends it."""
        found: dict[int, tuple[int, ...]] = {}
        for indices in self._of_one_length(requests):
            rows = torch.tensor(
                [requests[i] for i in indices], dtype=torch.long, device=self.device
            )
            answers = self.asked((), rows.reshape(len(indices), -1)).greedy(tokens)
            found |= dict(zip(indices, map(self._ended, answers.tolist()), strict=True))
        return [found[i] for i in range(len(requests))]

    def _of_one_length(self, requests: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of requests that go through together."""
        by_length: dict[int, list[int]] = {}
        for i, request in enumerate(requests):
            by_length.setdefault(len(request), []).append(i)
        for indices in by_length.values():
            for k in range(0, len(indices), self.rows):
                yield indices[k : k + self.rows]

    def _ended(self, answer: Sequence[int]) -> tuple[int, ...]:
        """``answer`` up to what ends it."""
        stop = next((k + 1 for k, token in enumerate(answer) if token in self.ends), len(answer))
        return tuple(answer[:stop])


@dataclass(frozen=True, eq=False)
class Reading:
    """A model behind some texts of one length, about to write.

    `on` and `greedy` use it up: the library's memory of a text grows where it is.
    """

    writer: Writer
    """Who reads."""
    read: Tensor
    """(b, n) what it has read; of an encoder's, what the decoder has."""
    scores: Tensor
    """(b, v) natural logarithm of the probability of each next token."""
    memory: Any
    """What the library remembers of it; None if it reads again."""
    state: Tensor | None = None
    """(b, n, h) what an encoder made of the request; None without one."""

    def times(self, rows: int) -> Reading:
        """The same for ``rows`` texts instead of one."""
        memory = copy.deepcopy(self.memory)
        if memory is not None and rows > 1:
            memory.batch_repeat_interleave(rows)
        state = None if self.state is None else self.state.expand(rows, -1, -1)
        return replace(
            self,
            read=self.read.expand(rows, -1),
            scores=self.scores.expand(rows, -1),
            memory=memory,
            state=state,
        )

    def copied(self) -> Reading:
        """The same once more, which going on from this one leaves as it is."""
        return replace(self, memory=copy.deepcopy(self.memory))

    @torch.no_grad()
    def on(self, tokens: Tensor) -> Reading:
        """Behind ``tokens`` (b, m) more."""
        read = torch.cat([self.read, tokens], 1)
        new = read if self.memory is None else tokens
        given: dict[str, object] = {}
        if self.state is not None:
            given["encoder_outputs"] = BaseModelOutput(last_hidden_state=self.state)
        found = self.writer._passed(read, new, self.memory, **given)  # noqa: SLF001 - its own half
        return replace(found, state=self.state)

    def likely(self, text: Sequence[int]) -> Tensor:
        """(b, n) logarithm of the probability of each token of ``text`` (n) as the next ones."""
        at, found = self, [self.scores[:, text[0]]]
        for token, following in pairwise(text):
            at = at.on(torch.full((len(self.read), 1), token, device=self.read.device))
            found.append(at.scores[:, following])
        return torch.stack(found, 1)

    def greedy(self, tokens: int) -> Tensor:
        """(b, tokens) the most likely token each time, whatever ends an answer included."""
        at, said = self, [self.scores.argmax(-1, keepdim=True)]
        for _ in range(tokens - 1):
            at = at.on(said[-1])
            said.append(at.scores.argmax(-1, keepdim=True))
        return torch.cat(said, 1)


def framed(vocabulary: Vocabulary) -> Frame:
    """What stands around a request: the chat template, or what the tokenizer puts before a text.

    Raises:
        UnsupportedModelError: the chat template cannot be used.
    """
    tokenizer = vocabulary.tokenizer
    try:
        around = around_request(tokenizer)
    except ValueError as error:
        msg = f"What it writes was not read: of its chat template, {error}."
        raise UnsupportedModelError(
            msg, "Read the template, or take that of the base model."
        ) from error
    if around is None:
        return Frame(vocabulary.prefix_ids, (), chats=False)
    before, after = (
        tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in around
    )
    return Frame(before, after, chats=True)


def writer_of(
    module: nn.Module, frame: Frame, words: Sequence[int], device: torch.device, meter: TokenMeter
) -> Writer:
    """How ``module`` writes, found by a few short texts of ``words``.

    Raises:
        UnsupportedModelError: it does not.
    """
    config: Any = module.config
    ends = _ids(getattr(config, "eos_token_id", None))
    start = _start(config) if config.is_encoder_decoder else ()
    plain = Writer(module, device, frame, start, frozenset(ends), remembers=False, meter=meter)
    rows = torch.tensor([words[:5], words[5:10]], device=device)
    try:
        with quiet():
            wanted = _behind(plain, words[10:14], rows)
    except Exception as error:
        said = f"It does not write behind a short text: {first_line(error)}"
        raise _refused(said) from error
    if not wanted.isfinite().all():
        said = "Behind a short text its scores are no finite numbers"
        raise _refused(said)
    return replace(plain, remembers=_remembers(plain, words, rows, wanted))


def _remembers(plain: Writer, words: Sequence[int], rows: Tensor, wanted: Tensor) -> bool:
    """Whether going on from what was read gives what reading everything again gives."""
    writer = replace(plain, remembers=True)
    try:
        with quiet():
            if writer.asked((), rows).memory is None:
                return False
            found = _behind(writer, words[10:14], rows)
    except Exception:  # noqa: BLE001 - memories of the library raise anything
        return False
    return float((found - wanted).abs().max()) <= _ROUNDING * float(wanted.square().mean().sqrt())


def _behind(writer: Writer, before: Sequence[int], rows: Tensor) -> Tensor:
    """(3, b, v) scores behind requests of one beginning, and behind two tokens of an answer."""
    first = writer.asked(before, rows)
    second = writer.asked(before, rows).on(rows[:, :1])
    third = second.on(rows[:, 1:2])
    return torch.stack([first.scores, second.scores, third.scores])


def _start(config: Any) -> tuple[int, ...]:  # noqa: ANN401 - a config of any type
    """With what a decoder begins that reads an encoder.

    Raises:
        UnsupportedModelError: its config does not say.
    """
    names = ("decoder_start_token_id", "bos_token_id", "pad_token_id")
    for name in names:
        if told := _ids(getattr(config, name, None)):
            return told[:1]
    said = "config.json does not say with which token its decoder begins"
    raise _refused(said)


def _ids(told: object) -> tuple[int, ...]:
    """Ids that a config gives as one number or several."""
    several = told if isinstance(told, list) else [told]
    return tuple(i for i in several if isinstance(i, int))


def _refused(said: str) -> UnsupportedModelError:
    """Why what a model writes is not read."""
    return UnsupportedModelError(f"What it writes was not read. {said}.", _REMEDY)
