"""Which configuration is taken, and which is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from plmscan.config import find_config, lies_in_a_model
from plmscan.errors import ConfigError

YAML, YML, TOML = "plmscan.yaml", "plmscan.yml", "pyproject.toml"
TABLE = "[tool.plmscan]\nseed = 1\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str = "seed: 1\n") -> Path:
    """A file with the folders above it."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({YAML: "seed: 1"}, YAML),
        ({YML: "seed: 1"}, YML),
        ({TOML: TABLE}, TOML),
        ({TOML: "tool.plmscan.seed = 1"}, TOML),
        ({TOML: "[project]\nname = 'plmscan-user'"}, None),
        ({TOML: "tool = 'plmscan'"}, None),
        ({TOML: "this is broken, and none of our business"}, None),
        ({TOML: "[project]\nname = 'plmscan-user'", YAML: "seed: 1"}, YAML),
        ({"sub/" + YAML: "seed: 1"}, None),
        ({YAML + "/x": ""}, None),
    ],
)
def test_a_configuration_is_found_beside_the_code(files: dict[str, str], found: str | None) -> None:
    """In the folder itself, whether or not it can be read."""
    for name, text in files.items():
        write(name, text)

    assert find_config(Path()) == (None if found is None else Path(found))


@pytest.mark.parametrize("names", [(YAML, YML), (YAML, TOML), (YML, TOML)])
def test_two_configurations_are_no_choice(names: tuple[str, str]) -> None:
    """Whichever were taken, the other would be overlooked."""
    for name in names:
        write("ci/" + name, TABLE if name == TOML else "seed: 1")

    with pytest.raises(ConfigError) as raised:
        find_config(Path("ci"))
    assert raised.value.problem == f"ci/{names[0]} and ci/{names[1]} both configure plmscan."


def test_a_broken_table_is_not_overlooked() -> None:
    """A file that names plmscan and cannot be read is an error, not the absence of one."""
    write(TOML, "[tool.plmscan]\nseed = \n")

    with pytest.raises(ConfigError, match=r"^pyproject\.toml:2: this is not TOML"):
        find_config(Path())


@pytest.mark.parametrize(
    ("config", "sources", "foreign"),
    [
        ("model/plmscan.yaml", ["model"], True),
        ("model/plmscan.yaml", ["org/name", "./model/"], True),
        ("model/sub/plmscan.yaml", ["model"], True),
        ("model/plmscan.yaml", ["model/../model"], True),
        ("plmscan.yaml", ["model"], False),
        ("plmscan.yaml", ["."], True),
        ("plmscan.yaml", ["org/name", "none", "~nobody-here", "a\0b"], False),
        ("model-two/plmscan.yaml", ["model"], False),
    ],
)
def test_who_makes_a_model_does_not_say_how_it_is_checked(
    config: str, sources: list[str], *, foreign: bool
) -> None:
    """A file in the folder of a checked model is foreign, however the folder is typed."""
    Path("model").mkdir()
    path = write(config)

    assert lies_in_a_model(path, sources) is foreign
    assert lies_in_a_model(path.absolute(), sources) is foreign


def test_links_hide_nobody() -> None:
    """Neither a link to a model, nor a linked file on either side of it."""
    write("model/plmscan.yaml")
    write("ours/plmscan.yaml")
    Path("alias").symlink_to("model")
    Path("plmscan.yaml").symlink_to("model/plmscan.yaml")
    Path("model/linked.yaml").symlink_to(Path("ours/plmscan.yaml").absolute())

    assert lies_in_a_model(Path("model/plmscan.yaml"), ["alias"])
    assert lies_in_a_model(Path("alias/plmscan.yaml"), ["model"])
    assert lies_in_a_model(Path("plmscan.yaml"), ["model"])
    assert lies_in_a_model(Path("model/linked.yaml"), ["model"])
    assert not lies_in_a_model(Path("ours/plmscan.yaml"), ["model", "alias"])


def test_a_file_beside_weights_came_with_them() -> None:
    """In a downloaded folder it does not matter which models are named, or none."""
    path = write("plmscan.yaml")
    write("config.json", "{}")
    without = lies_in_a_model(path, [])
    write("model.safetensors", "")

    assert (without, lies_in_a_model(path, [])) == (False, True)


def test_a_file_beside_a_gguf_model_came_with_it() -> None:
    """Such a model has no config.json; a folder of many is a shelf of somebody's own."""
    path = write("plmscan.yaml")
    write("a.gguf", "")
    alone = lies_in_a_model(path, [])
    write("b.gguf", "")
    assert (alone, lies_in_a_model(path, [])) == (True, False)
