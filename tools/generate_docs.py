"""Write what the code knows: pages of the documentation, schemas, and which files a hook watches.

``python tools/generate_docs.py`` rewrites them; with ``--check`` it changes nothing and fails if
one is out of date.
"""  # noqa: INP001 - a script

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from model_pages import (
    head_table,
    key_table,
    language_list,
    location_table,
    model_type_page,
    waiver_table,
)
from rule_pages import one_line, probe_page, rule_pages
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.kinds import WEIGHT_SUFFIXES
from plmscan.reports.json_v1 import json_schema, survey_schema
from plmscan.source.files import READ

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPORTS = ROOT / "scanner" / "plmscan" / "reports"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
OURS = r"plmscan\.(ya?ml|lock)|plmscan-baseline\.json|pyproject\.toml"
"""Files that say which models are used."""
_COMMANDS = (
    "check",
    "inspect",
    "guard",
    "purify",
    "judge",
    "lock",
    "baseline",
    "doctor",
    "fleet",
    "fleet status",
    "rules",
    "rules explain",
)


def command_line() -> str:
    """A page with what every command prints for ``--help``."""
    parts = [
        "<!-- Written by tools/generate_docs.py from the command line itself. -->",
        "# Command line",
        (
            "Results go to stdout, everything else to stderr. The exit code is the verdict: see "
            "[Exit codes](gate.md#exit-codes). Settings that a team shares belong in a "
            "[configuration](configuration.md)."
        ),
        _help(),
    ]
    for name in _COMMANDS:
        parts += [f"## plmscan {name}", _help(*name.split())]
    return "\n\n".join(parts) + "\n"


def _help(*command: str) -> str:
    """What ``plmscan COMMAND --help`` prints."""
    result = CliRunner().invoke(
        app, [*command, "--help"], prog_name="plmscan", terminal_width=80, env={"COLUMNS": "82"}
    )
    return f"```text\n{result.stdout.strip()}\n```"


def changelog() -> str:
    """The changelog as a page."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return f"<!-- Written by tools/generate_docs.py. Change CHANGELOG.md instead. -->\n\n{text}"


def action_tables() -> str:
    """Inputs and outputs of the GitHub Action as Markdown tables."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    inputs = [
        f"| `{name}` | {_default(told['default'])} | {one_line(told['description'])} |"
        for name, told in action["inputs"].items()
    ]
    outputs = [
        f"| `{name}` | {one_line(told['description'])} |"
        for name, told in action["outputs"].items()
    ]
    heads = ("| input | default | meaning |\n|---|---|---|", "| output | meaning |\n|---|---|")
    return "\n".join([heads[0], *inputs, "", heads[1], *outputs])


def hook_pattern() -> str:
    """Names of all files that a check reads, as pre-commit wants them, one part a line."""
    read = [re.escape(name).replace(r"\*", "[^/]*") for name in READ]
    suffixes = "|".join(sorted(re.escape(suffix.removeprefix(".")) for suffix in WEIGHT_SUFFIXES))
    parts = [OURS, *read, rf"[^/]*\.({suffixes})"]
    lines = "|\n".join(f"      {part}" for part in parts)
    return f"  files: >-\n    (?x)(^|/)(\n{lines}\n    )$\n"


def hooks() -> str:
    """The manifest of pre-commit, with the files that a check reads.

    Raises:
        ValueError: it names no files.
    """
    text = HOOKS.read_text(encoding="utf-8")
    pattern = r"  files: >-\n(?: {4}.*\n)+"
    written, count = re.subn(pattern, lambda _: hook_pattern(), text)
    if count != 1:
        msg = f"{HOOKS.name} names the files {count} times, not once"
        raise ValueError(msg)
    return written


def with_blocks(page: Path, blocks: dict[str, str]) -> str:
    """The text of ``page`` with each marked block replaced.

    Raises:
        ValueError: it does not mark one of the blocks.
    """
    text = page.read_text(encoding="utf-8")
    for name, content in blocks.items():
        pattern = rf"(<!-- begin:{name} -->\n).*?(<!-- end:{name} -->)"
        text, count = re.subn(
            pattern, rf"\g<1>\n{_literal(content)}\n\n\g<2>", text, flags=re.DOTALL
        )
        if count != 1:
            msg = f"{page.name} marks the block {name} {count} times, not once"
            raise ValueError(msg)
    return text


def pages() -> dict[Path, str]:
    """Every page of the documentation that is generated, whole or in part."""
    blocks = {
        "gate.md": {"action": action_tables()},
        "configuration.md": {"keys": key_table(), "waivers": waiver_table()},
        "models.md": {
            "heads": head_table(),
            "locations": location_table(),
            "languages": language_list(),
        },
    }
    return {
        **{DOCS / name: with_blocks(DOCS / name, found) for name, found in blocks.items()},
        **{DOCS / "rules" / name: text for name, text in rule_pages().items()},
        DOCS / "model-types.md": model_type_page(),
        DOCS / "probes.md": probe_page(),
        DOCS / "command-line.md": command_line(),
        DOCS / "changelog.md": changelog(),
    }


def generated() -> dict[Path, str]:
    """Every generated file with the content that it should have."""
    return {
        **pages(),
        HOOKS: hooks(),
        REPORTS / "report-v1.schema.json": json_schema(),
        REPORTS / "survey-v1.schema.json": survey_schema(),
    }


def without_a_rule(wanted: Collection[Path]) -> list[Path]:
    """Pages of rules that are gone."""
    return [page for page in (DOCS / "rules").glob("*.md") if page not in wanted]


def main(*, check: bool) -> int:
    """Write the files, or say which differ; the exit code."""
    wanted = generated()
    gone = without_a_rule(wanted)
    stale = [path for path, text in wanted.items() if _read(path) != text]
    for path in [*stale, *gone]:
        if check:
            sys.stderr.write(
                f"{path.relative_to(ROOT)} is out of date: run `python tools/generate_docs.py`.\n"
            )
        elif path in gone:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return int(check and bool(stale or gone))


def _default(value: str) -> str:
    """The default of an input, inside a table."""
    return f"`{value}`" if value else ""


def _literal(text: str) -> str:
    """``text`` as the replacement of a pattern."""
    return text.replace("\\", r"\\")


def _read(path: Path) -> str:
    """The file's text; empty if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
