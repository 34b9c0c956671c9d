"""Configurations: what they may say, what they may not, and where a mistake is."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from plmscan.budget import Effort
from plmscan.config import Config, config_schema, read_config
from plmscan.config.schema import ConfigTable, SettingsTable
from plmscan.errors import ConfigError
from plmscan.evidence import Severity
from plmscan.scan import Settings
from plmscan.survey import Place

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = """\
models:
  - sentence-transformers/all-MiniLM-L6-v2   # a name
  - org/classifier@v2
  - id: ./models/intent
    fail-on: medium
    texts: texts/intent.txt
  - {id: org/name, revision: main, used-as: features}
effort: deep
fail-on: none
fail-fast: true
time-limit: 1200
device: cpu
precision: float32
seed: 7
threads: 2
texts: carriers.txt
rules: rules/
allow-pickle: true
offline: false
cache-dir: cache
all-files: true
files-only: false
baseline: known.json
lock: models.lock
waivers:
  - rule: PLM402
    model: ./models/intent
    subject: "foo"
    reason: Two words share a row by design.
    expires: 2027-01-31
  - {rule: ACME001, reason: " Ours. ", expires: "2026-12-01"}
"""

FULL_TOML = """\
[build-system]
requires = ["models = 1"]

[tool.plmscan]
models = [
  "sentence-transformers/all-MiniLM-L6-v2", # a name
  "org/classifier@v2",
  { id = "./models/intent", fail-on = "medium", texts = "texts/intent.txt" },
  { id = 'org/name', revision = "main", used-as = "features" },
]
effort = "deep"
fail-on = "none"
fail-fast = true
time-limit = 1200
device = "cpu"
precision = "float32"
seed = 7
threads = 2
texts = "carriers.txt"
rules = "rules/"
allow-pickle = true
offline = false
cache-dir = "cache"
all-files = true
files-only = false
baseline = "known.json"
lock = "models.lock"

[[tool.plmscan.waivers]]
rule = "PLM402"
model = "./models/intent"
subject = "foo"
reason = "Two words share a row by design."
expires = 2027-01-31

[[tool.plmscan.waivers]]
rule = "ACME001"
reason = "Ours."
expires = "2026-12-01"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with all that `FULL` names."""
    for folder in ("rules", "texts", "models/intent", "ci"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("carriers.txt", "texts/intent.txt", "known.json"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(project: Path) -> Callable[..., Config]:
    """A function that reads a configuration from its text."""

    def read(text: str, name: str = "plmscan.yaml") -> Config:
        Path(name).write_text(text, encoding="utf-8")
        return read_config(Path(name))

    return read


@pytest.fixture
def complaint(config: Callable[..., Config]) -> Callable[..., str]:
    """A function that tells what is wrong with the text of a configuration."""

    def read(text: str, name: str = "plmscan.yaml") -> str:
        with pytest.raises(ConfigError) as raised:
            config(text, name)
        return raised.value.diagnostics()

    return read


def test_everything_that_can_be_written_is_read(config: Callable[..., Config]) -> None:
    """Words become what the scan wants, and the settings of a model win over those of all."""
    read = config(FULL)

    assert [(m.source, m.revision, str(m.place)) for m in read.models] == [
        ("sentence-transformers/all-MiniLM-L6-v2", None, "plmscan.yaml:2"),
        ("org/classifier", "v2", "plmscan.yaml:3"),
        ("./models/intent", None, "plmscan.yaml:4"),
        ("org/name", "main", "plmscan.yaml:7"),
    ]
    assert read.options == {
        "effort": Effort.DEEP,
        "fail_on": None,
        "fail_fast": True,
        "time_limit": 1200.0,
        "device": "cpu",
        "precision": "float32",
        "seed": 7,
        "threads": 2,
        "texts": Path("carriers.txt"),
        "rules": Path("rules"),
        "allow_pickle": True,
        "offline": False,
        "cache_dir": Path("cache"),
        "all_files": True,
        "files_only": False,
    }
    own = {"fail_on": Severity.MEDIUM, "texts": Path("texts/intent.txt")}
    assert read.models[2].options == {**read.options, **own}
    assert read.models[3].options == {**read.options, "used_as": "features"}
    assert read.models[0].options == read.options
    assert (read.baseline, read.lock) == (Path("known.json"), Path("models.lock"))
    first, second = read.waivers
    assert (first.rule, first.model, first.subject) == ("PLM402", "./models/intent", "foo")
    assert (first.expires, first.place) == (date(2027, 1, 31), "plmscan.yaml:26")
    assert (second.model, second.subject, second.reason) == (None, None, "Ours.")
    assert (second.expires, second.place) == (date(2026, 12, 1), "plmscan.yaml:31")


def test_a_table_of_pyproject_says_the_same(config: Callable[..., Config]) -> None:
    """Both formats give one configuration; the entries of a list have their own lines."""
    in_toml, in_yaml = config(FULL_TOML, "pyproject.toml"), config(FULL)

    assert in_toml.options == in_yaml.options
    assert [m.options for m in in_toml.models] == [m.options for m in in_yaml.models]
    assert [(m.source, m.revision, m.key) for m in in_toml.models] == [
        (m.source, m.revision, m.key) for m in in_yaml.models
    ]
    assert [m.place for m in in_toml.models] == [
        Place("pyproject.toml", line) for line in (6, 7, 8, 9)
    ]
    assert [i.place for i in in_toml.waivers] == ["pyproject.toml:29", "pyproject.toml:36"]
    assert [i.expires for i in in_toml.waivers] == [i.expires for i in in_yaml.waivers]


def test_options_are_settings(config: Callable[..., Config]) -> None:
    """Whatever a configuration gives can be handed to `Settings` as it is."""
    made = Settings(**config(FULL).models[2].options)  # type: ignore[arg-type]

    assert (made.effort, made.fail_on, made.texts) == (
        Effort.DEEP,
        Severity.MEDIUM,
        Path("texts/intent.txt"),
    )


def test_what_is_not_given_is_not_said(config: Callable[..., Config]) -> None:
    """Only given options are there, so that the command line's defaults can follow."""
    read = config("models: [org/name]\n")

    assert (read.options, read.models[0].options) == ({}, {})
    assert (read.baseline, read.lock, read.waivers) == (None, Path("plmscan.lock"), ())


def test_the_schema_tells_the_defaults_of_a_scan() -> None:
    """An editor shows what plmscan does; the schema has no word of its own about it."""
    told, settings = SettingsTable(), Settings()

    for name in SettingsTable.model_fields.keys() - {"fail_on"}:
        assert getattr(told, name) == getattr(settings, name)
    assert settings.fail_on is Severity[told.fail_on.upper()]
    bars = ("none", *(severity.name.lower() for severity in Severity))
    assert jsonschema.Draft202012Validator(json.loads(config_schema())).is_valid({"seed": 1})
    assert SettingsTable.model_json_schema()["properties"]["fail-on"]["enum"] == list(bars)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (FULL, True),
        ("models: [{revision: main}]", False),
        ("effort: fast", False),
        ("texts: null", False),
        ("fail_on: low", False),
        ("waivers: [{rule: PLM402, reason: x}]", False),
    ],
)
def test_the_json_schema_agrees(text: str, valid: bool) -> None:
    """An editor marks what plmscan would refuse."""
    schema = json.loads(config_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    data = yaml.load(text, Loader=yaml.BaseLoader if valid else yaml.SafeLoader)  # noqa: S506 - dates as text
    data = _typed(data) if valid else data

    assert jsonschema.Draft202012Validator(schema).is_valid(data) is valid


def _typed(data: dict[str, object]) -> dict[str, object]:
    """`FULL` with numbers and flags as such, and dates as text, as an editor sees them."""
    plain = yaml.safe_load(FULL)
    return {key: value if key == "waivers" else plain[key] for key, value in data.items()}


def test_all_keys_are_described() -> None:
    """Each key of the schema has a sentence for the editor."""
    schema = json.loads(config_schema())
    tables = [schema, *(schema["$defs"][name] for name in ("ModelTable", "WaiverTable"))]

    assert all("description" in entry for table in tables for entry in table["properties"].values())
    assert len(schema["properties"]) == len(ConfigTable.model_fields)


def test_paths_are_seen_from_the_configuration(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not matter where plmscan is started; nothing becomes absolute."""
    text = "models: [../models/intent, ./own]\ntexts: ../carriers.txt\ncache-dir: cache\n"
    (project / "ci" / "own").mkdir()
    (project / "ci" / "plmscan.yaml").write_text(text)

    above = read_config(Path("ci/plmscan.yaml"))
    monkeypatch.chdir("models")
    aside = read_config(Path("../ci/plmscan.yaml"))

    assert [m.source for m in above.models] == ["./models/intent", "./ci/own"]
    assert [m.key for m in above.models] == ["../models/intent", "./own"]
    assert above.options == {"texts": Path("carriers.txt"), "cache_dir": Path("ci/cache")}
    assert (above.lock, str(above.models[0].place)) == (
        Path("ci/plmscan.lock"),
        "ci/plmscan.yaml:1",
    )
    assert [m.source for m in aside.models] == ["./intent", "../ci/own"]
    assert [m.key for m in aside.models] == [m.key for m in above.models]
    assert aside.options == {
        "texts": Path("../carriers.txt"),
        "cache_dir": Path("../ci/cache"),
    }


def test_languages_are_codes_and_take_the_place_of_texts(config: Callable[..., Config]) -> None:
    """One, a list, or one of a model's own, which then has no file of texts, and the reverse."""
    assert config("language: zh").options == {"language": ("zh",)}
    assert config("language: [de, python]").options == {"language": ("de", "python")}
    read = config("texts: carriers.txt\nmodels: [a/b, {id: c/d, language: ja}]")
    assert [m.options for m in read.models] == [
        {"texts": Path("carriers.txt")},
        {"language": ("ja",)},
    ]
    read = config("language: ja\nmodels: [{id: c/d, texts: carriers.txt}]")
    assert read.models[0].options == {"texts": Path("carriers.txt")}


def test_a_reference_is_a_model(project: Path, config: Callable[..., Config]) -> None:
    """A folder is seen from the configuration, a Hub model keeps its revision."""
    (project / "ci" / "plmscan.yaml").write_text("reference: ../models/intent")
    assert read_config(Path("ci/plmscan.yaml")).options == {"reference": "./models/intent"}

    read = config("reference: org/base@v2\nmodels: [a/b, {id: c/d, reference: org/other}]")
    assert [m.options["reference"] for m in read.models] == ["org/base@v2", "org/other"]
    assert Settings(**read.models[0].options).reference == "org/base@v2"  # type: ignore[arg-type]


def test_a_model_is_found_however_it_is_typed(
    config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line names a model of the configuration by any of its spellings."""
    read = config(FULL)
    folder = read.models[2]

    for typed in (
        "models/intent",
        "./models/intent",
        "models/intent/",
        str(Path.cwd() / "models/intent"),
    ):
        assert read.model(typed) is folder
    assert read.model("org/name") is read.model("org/name@main") is read.models[3]
    assert read.model("org/name", "main") is read.models[3]
    assert read.model("org/name@other") is read.model("org/unknown") is None


def test_a_name_with_two_revisions_is_nobody_in_particular(config: Callable[..., Config]) -> None:
    """Which of them the command line means is not guessed."""
    read = config("models: [org/name@v1, org/name@v2]\n")

    assert read.model("org/name") is None
    assert read.model("org/name@v2") is read.models[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed: 1\neffort: fast", ":2: effort must be one of quick, standard, deep; it is 'fast'."),
        ("fail-on: High", ":1: fail-on must be one of none, low, medium, high, critical; it is"),
        ("fail-on:", ":1: fail-on must have a value; it is empty."),
        (
            "fail-on: no",
            ":1: fail-on must be one of none, low, medium, high, critical; it is false",
        ),
        ("efort: quick", ":1: efort is not a key of the configuration. Did you mean effort?"),
        ("fail_on: low", ":1: fail_on is not a key of the configuration. Did you mean fail-on?"),
        ("wibble: 1", ":1: wibble is not a key of the configuration. Its keys are effort, fail-on"),
        ("1: 2", ":1: 1 is not a key of the configuration."),
        ("time-limit: soon", ":1: time-limit must be a number; it is 'soon'."),
        ("time-limit: -1", ":1: time-limit must be at least 0; it is -1."),
        ("time-limit: .inf", ":1: time-limit must be a finite number; it is inf."),
        ("time-limit: true", ":1: time-limit must be a number; it is true."),
        ("seed: 1.5", ":1: seed must be a whole number; it is 1.5."),
        ("seed: 4294967296", ":1: seed must be at most 4294967295; it is 4294967296."),
        ("threads: true", ":1: threads must be a whole number; it is true."),
        ("threads: 0", ":1: threads must be at least 1; it is 0."),
        ("offline: 'yes'", ":1: offline must be true or false; it is 'yes'."),
        ("texts: 3", ":1: texts must be text; it is 3. Put it in quotes."),
        ("language: xx", ":1: language must be one of ar, bn, cs"),
        ("language: []", ":1: language must be the code of a language, or a list of codes; it is"),
        ("language: 3", ":1: language must be the code of a language, or a list of codes; it is 3"),
        ("models:\n  - id: a\n    language: [x]", ":3: language must be one of ar, bn, cs"),
        ("texts: ''", ":1: texts must not be empty; it is ''."),
        ("texts: [a]", ":1: texts must be text; it is a list."),
        ("\ntexts: none.txt", ":2: texts names none.txt, and there is no such file."),
        ("texts: rules", ":1: texts names rules, and there is no such file."),
        ("rules: carriers.txt", ":1: rules names carriers.txt, and there is no such folder."),
        ("baseline: none.json", ":1: baseline names none.json, and there is no such file."),
        ("texts: ~no-such-user-here/x", ":1: ~no-such-user-here/x cannot be a path."),
        ("models: org/name", ":1: models must be a list; it is 'org/name'."),
        ("models:", ":1: models must have a value; it is empty."),
        ("models:\n  - org/name\n  - 3", ":3: an entry of models must be a mapping of keys to"),
        (
            "models: [null]",
            ":1: an entry of models must be a mapping of keys to values; it is empty",
        ),
        ("models:\n  - seed: 1\n", ":2: a model lacks id. It needs id."),
        ("models:\n  - id: a\n    offline: true", ":3: offline is not a key of a model. Its keys"),
        ("models:\n  - id: a\n    sed: 1", ":3: sed is not a key of a model. Did you mean seed?"),
        ("models:\n  - id: a\n    texts: b", ":3: texts names b, and there is no such file."),
        ("reference: 3", ":1: reference must be text; it is 3. Put it in quotes."),
        ("reference: a@", ":1: a@ names no revision after the @."),
        ("models: ['']", ":1: id must not be empty; it is ''."),
        (
            "models: [{id: a, revision: 1234567}]",
            ":1: revision must be text; it is 1234567. Put it in",
        ),
        ("models: [a@]", ":1: a@ names no revision after the @."),
        ("models: [{id: a@b, revision: c}]", ":1: a@b and revision c name two revisions."),
        ("models: [{id: ./a, revision: c}]", ":1: ./a is a folder, and a folder has no revision."),
        ("models: [{id: rules, revision: c}]", ":1: ./rules is a folder, and a folder has no"),
        ("models:\n  - a/b\n  - c/d\n  - a/b", ":4: a/b stands twice; first on line 2."),
        ("models:\n  - rules\n  - id: ./rules/", ":3: ./rules stands twice; first on line 2."),
        ("models:\n  - a@b\n  - {id: a, revision: b}", ":3: a@b stands twice; first on line 2."),
        ("waivers: {}", ":1: waivers must be a list; it is a mapping."),
        ("waivers: [PLM402]", ":1: an entry of waivers must be a mapping of keys to values; it is"),
        (
            "waivers:\n  - rule: PLM402\n    expires: 2027-01-31",
            ":2: a waiver lacks reason. It needs rule, reason, expires.",
        ),
        ("waivers:\n  - rule: PLM402\n    reason: x", ":2: a waiver lacks expires."),
    ],
)
def test_a_mistake_is_named_with_its_line(
    complaint: Callable[..., str], text: str, problem: str
) -> None:
    """File, line, key, what it must be and what it is."""
    assert complaint(text).startswith(f"plmscan.yaml{problem}")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ("rule: plm1", "rule must be the id of a rule, such as PLM402; it is 'plm1'."),
        ("reason: ' '", "reason must not be empty; it is ' '."),
        ("reason: 7", "reason must be text; it is 7. Put it in quotes."),
        ("expires: 2027-02-30", "expires must be a day of the calendar; it is '2027-02-30'."),
        ("expires: 31.01.2027", "expires must be a day such as 2027-01-31; it is '31.01.2027'."),
        ("expires: 20270131", "expires must be a day such as 2027-01-31; it is 20270131."),
        ("expires: 2027-01-31T10:00:00", "expires must be a day such as 2027-01-31; it is"),
        ("expires: never", "expires must be a day such as 2027-01-31; it is 'never'."),
        ("subject: yes", "subject must be text; it is true. Put it in quotes."),
        ("subject: ~", "subject must have a value; it is empty."),
        ("model: org/nam", "models does not list org/nam. Did you mean org/name?"),
        ("model: other", "models does not list other. It lists org/name, org/two."),
        ("model: org/name@v2", "models does not list org/name@v2."),
        ("model: org/two@v1", "org/two@v1 is one of several revisions, and a waiver is about all"),
    ],
)
def test_a_mistake_in_a_waiver_is_named_with_its_line(
    complaint: Callable[..., str], changes: str, problem: str
) -> None:
    """A waiver that says less than it seems to is never read as one that says more."""
    entry = {"rule": "PLM402", "reason": "x", "expires": "2027-01-31"}
    entry[changes.partition(":")[0]] = changes.partition(": ")[2]
    lines = "\n    ".join(f"{key}: {value}" for key, value in entry.items())
    line = list(entry).index(changes.partition(":")[0]) + 5
    text = f"models:\n  - org/name\n  - org/two@v1\n  - org/two@v2\nwaivers:\n  - {lines}\n"

    assert complaint(text).startswith(f"plmscan.yaml:{line + 1}: {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ":1: the configuration is empty."),
        ("# nothing\n", ":1: the configuration is empty."),
        ("{}", ":1: the configuration is empty."),
        ("- models", ":1: the configuration must be a mapping of keys to values; it is a list."),
        ("seed: 1\nmodels: [", ":2: this is not YAML: "),
        ("seed: 1\n\tx: 1", ":2: this is not YAML: "),
        ("seed: 1\nseed: 2", ":2: this is not YAML: the key 'seed' stands twice."),
        ("models:\n  - id: a\n    id: b", ":3: this is not YAML: the key 'id' stands twice."),
        ("seed: 1\n---\nseed: 2", ":2: this is not YAML: but found another document."),
        ("seed: 1\nx: !!python/object/apply:os.getcwd []", ":2: this is not YAML: could not"),
        ("a: &a [1]\nb: *a", ":2: this is not YAML: aliases are not allowed."),
        ("a: &a [*a]", ":1: this is not YAML: aliases are not allowed."),
        ("seed: 1\nx: \x07", ":2: this is not YAML: the character U+0007 is not allowed."),
        ("seed: 1\n? [a]\n: 1", ":2: this is not YAML: found unhashable key."),
        ("[" * 5000, ":1: this is not YAML: it nests too deeply."),
        ("seed: " + "9" * 5000, ":1: this is not YAML: Exceeds the limit"),
        ("x: " + "a" * 2**20, ":1: the file is larger than 1 MiB."),
    ],
)
def test_a_file_that_is_no_configuration_is_named(
    complaint: Callable[..., str], text: str, problem: str
) -> None:
    """Broken and dangerous YAML, also a file that lost all its lines."""
    assert complaint(text).startswith(f"plmscan.yaml{problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.other]\n", ":1: there is no table [tool.plmscan]."),
        ("[build]\n[tool.plmscan]\n", ":2: the configuration is empty."),
        ("[tool.plmscan]\nseed = \n", ":2: this is not TOML: Invalid value."),
        ("[tool.plmscan]\nseed = 1\nseed = 2\n", ":3: this is not TOML: Cannot overwrite a value."),
        ("[tool.plmscan]\nx = [", ":2: this is not TOML: "),
        ("x = 1\n[tool]\nplmscan = 3", ":3: the configuration must be a mapping of keys to values"),
        ("[tool.plmscan]\n'effort' = 'fast'", ":2: effort must be one of quick, standard, deep"),
        ("[ tool . 'plmscan' ] # us\nefort = 1", ":2: efort is not a key of the configuration."),
        ("[tool]\nplmscan.seed = 1.5", ":2: seed must be a whole number; it is 1.5."),
        ("tool.plmscan.models = ['a',\n 'b',\n 'a']", ":3: a stands twice; first on line 1."),
        (
            "[tool.plmscan]\nmodels = [\n 'a',\n {id = 'b', seed = 'x'}\n]",
            ":4: seed must be a whole",
        ),
        (
            "[tool.plmscan]\nmodels = [\n 'a',\n 'b',\n 'a'\n]",
            ":5: a stands twice; first on line 3.",
        ),
        ("[tool.plmscan]\nmodels = [\n 3\n]", ":3: an entry of models must be a mapping"),
        ("[[tool.plmscan.models]]\nid='a'\n[[tool.plmscan.models]]\nsed=1", ":4: sed is not a key"),
        (
            '[tool.plmscan]\ntexts = """\nseed = \'x\'\n"""\nseed = \'x\'',
            ":5: seed must be a whole number",
        ),
        (
            "[tool.a]\n[tool.plmscan]\neffort = 'deep' # d\n[other]\n[tool.plmscan.x]\n",
            ":5: x is not a key of the configuration.",
        ),
        ("[[tool.plmscan.waivers]]\n'a.b' = 1\nc.d = 2\n", ":2: a.b is not a key of a waiver."),
        (
            "[[tool.plmscan.models]]\nid='a'\n[[tool.plmscan.models]]\nseed=1",
            ":3: a model lacks id",
        ),
        (
            "[[tool.plmscan.waivers]]\nrule='PLM402'\nreason='x'\nexpires=2027-01-31T10:00:00",
            ":4: expires must be a day such as 2027-01-31; it is 2027-01-31 10:00:00.",
        ),
        ("[tool.plmscan]\ntexts = 'no'\r\n", ":2: texts names no, and there is no such file."),
    ],
)
def test_a_mistake_in_pyproject_is_named_with_its_line(
    complaint: Callable[..., str], text: str, problem: str
) -> None:
    """Lines are found although the TOML parser tells none."""
    assert complaint(text, "pyproject.toml").startswith(f"pyproject.toml{problem}")


def test_bytes_that_are_no_text_are_named(project: Path) -> None:
    """So is a file that is not there, or a folder."""
    Path("plmscan.yaml").write_bytes(b"seed: 1\n# caf\xe9\n")

    with pytest.raises(ConfigError, match=r"^plmscan\.yaml:2: it is not UTF-8 text\."):
        read_config(Path("plmscan.yaml"))
    with pytest.raises(ConfigError, match=r"^ci cannot be read: Is a directory\."):
        read_config(Path("ci"))
    with pytest.raises(ConfigError, match=r"^none\.yaml cannot be read: No such file"):
        read_config(Path("none.yaml"))


def test_the_first_mistake_of_the_file_is_told(complaint: Callable[..., str]) -> None:
    """Whatever the order in which they are found; what is missing may be misspelt further down."""
    text = "models:\n  - seed: 1\nseed: y\nefort: quick\nwaivers: 3\n"
    waiver = "waivers:\n  - rule: PLM402\n    expires: 2027-01-31\n    reson: x\n"

    assert complaint(text).startswith("plmscan.yaml:3: seed must be a whole number; it is 'y'.")
    assert "plmscan.yaml:4: reson is not a key of a waiver. Did you mean reason?" in complaint(
        waiver
    )


def test_a_byte_order_mark_is_no_mistake(config: Callable[..., Config]) -> None:
    """Some editors write one."""
    assert config("\ufeffseed: 3\n").options == {"seed": 3}


def test_a_hub_model_is_not_mistaken_for_a_folder_here(project: Path) -> None:
    """A name that is no folder beside the configuration must not become one of another place."""
    (project / "org" / "name").mkdir(parents=True)
    (project / "ci" / "plmscan.yaml").write_text("seed: 1\nmodels: [org/name]\n")

    with pytest.raises(ConfigError, match=r"^ci/plmscan\.yaml:2: org/name is no folder beside"):
        read_config(Path("ci/plmscan.yaml"))


def test_a_waiver_names_its_model_in_any_spelling(config: Callable[..., Config]) -> None:
    """It is told as the report tells the model; without a list of models, any is taken."""
    entry = "{rule: PLM402, reason: x, expires: 2027-01-31, model: %s}"
    listed = "models: [./models/intent, org/name@v1]\nwaivers: [" + entry + ", " + entry + "]\n"
    read = config(listed % ("models/intent/", "org/name@v1"))
    free = config(f"waivers: [{entry % './other'}]\n")

    assert [waiver.model for waiver in read.waivers] == ["./models/intent", "org/name"]
    assert [waiver.model for waiver in free.waivers] == ["./other"]


def test_the_older_name_of_waivers_is_read(
    config: Callable[..., Config], complaint: Callable[..., str]
) -> None:
    """Both lists hold, and a mistake in either is named with its line."""
    entry = "{rule: PLM402, reason: x, expires: 2027-01-31}"
    read = config(f"waivers: [{entry}]\nignore: [{entry}]\n")
    assert [waiver.place.rpartition(":")[2] for waiver in read.waivers] == ["1", "2"]
    wrong = f"waivers: [{entry}]\nignore: [{{rule: PLM402}}]\n"
    assert ":2: a waiver lacks reason." in complaint(wrong)


def test_signers_are_seen_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of keys and of trust lie beside it, one or a list; a missing one is refused."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ours.pub").touch()
    (tmp_path / "plmscan.yaml").write_text(
        "require-signature: true\nsigners: [ours.pub, 'identity=me,issuer=it,trust=ours.pub']\n"
        "models: [org/name]\n"
    )
    (tmp_path / "plmscan.yaml").rename(tmp_path / "keys" / "plmscan.yaml")
    monkeypatch.chdir(tmp_path)
    read = read_config(Path("keys/plmscan.yaml"))
    assert read.options == {
        "require_signature": True,
        "signers": ("keys/ours.pub", "identity=me,issuer=it,trust=keys/ours.pub"),
    }
    (tmp_path / "keys" / "ours.pub").unlink()
    with pytest.raises(ConfigError, match="and there is no such file"):
        read_config(Path("keys/plmscan.yaml"))
