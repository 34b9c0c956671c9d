"""Write what the code knows: help, rule table, report schema, and which files a hook watches.

``python tools/generate_docs.py`` rewrites them; with ``--check`` it changes nothing and fails if
one is out of date.
"""  # noqa: INP001 - a script

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml
from typer.testing import CliRunner

from plmscan.cli import app
from plmscan.kinds import WEIGHT_SUFFIXES
from plmscan.reports.json_v1 import json_schema, survey_schema
from plmscan.rules import load_rules
from plmscan.source.files import READ

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REPORTS = ROOT / "scanner" / "plmscan" / "reports"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
OURS = r"plmscan\.(ya?ml|lock)|plmscan-baseline\.json|pyproject\.toml"
"""Files that say which models are used."""


def help_text(command: str) -> str:
    """What ``plmscan COMMAND --help`` prints."""
    result = CliRunner().invoke(
        app, [command, "--help"], prog_name="plmscan", terminal_width=80, env={"COLUMNS": "82"}
    )
    return f"```\n{result.stdout.strip()}\n```"


def rule_table() -> str:
    """The packaged rules as a Markdown table."""
    rows = [
        f"| {rule.id} | {rule.name} | {rule.severity.name.lower()} "
        f"| {rule.confidence.name.lower()} | {rule.probe} | {_cell(rule.condition)} |"
        for rule in load_rules()
    ]
    head = "| id | name | severity | confidence | probe | fires when |\n|---|---|---|---|---|---|"
    return "\n".join([head, *rows])


def action_tables() -> str:
    """Inputs and outputs of the GitHub Action as Markdown tables."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    inputs = [
        f"| `{name}` | {_cell(told['default']) if told['default'] else ''} "
        f"| {_plain(told['description'])} |"
        for name, told in action["inputs"].items()
    ]
    outputs = [
        f"| `{name}` | {_plain(told['description'])} |" for name, told in action["outputs"].items()
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


def with_blocks(text: str, blocks: dict[str, str]) -> str:
    """``text`` with each marked block replaced.

    Raises:
        ValueError: ``text`` does not mark one of the blocks.
    """
    for name, content in blocks.items():
        pattern = rf"(<!-- begin:{name} -->\n).*?(<!-- end:{name} -->)"
        text, count = re.subn(pattern, rf"\g<1>{_literal(content)}\n\g<2>", text, flags=re.DOTALL)
        if count != 1:
            msg = f"{README.name} marks the block {name} {count} times, not once"
            raise ValueError(msg)
    return text


def generated() -> dict[Path, str]:
    """Every generated file with the content that it should have."""
    blocks = {
        "help": help_text("check"),
        "inspect": help_text("inspect"),
        "guard": help_text("guard"),
        "purify": help_text("purify"),
        "action": action_tables(),
        "rules": rule_table(),
    }
    readme = with_blocks(README.read_text(encoding="utf-8"), blocks)
    return {
        README: readme,
        HOOKS: hooks(),
        REPORTS / "report-v1.schema.json": json_schema(),
        REPORTS / "survey-v1.schema.json": survey_schema(),
    }


def main(*, check: bool) -> int:
    """Write the files, or say which differ; the exit code."""
    stale = [path for path, text in generated().items() if _read(path) != text]
    for path in stale:
        if check:
            sys.stderr.write(
                f"{path.relative_to(ROOT)} is out of date: run `python tools/generate_docs.py`.\n"
            )
        else:
            path.write_text(generated()[path], encoding="utf-8")
    return int(check and bool(stale))


def _cell(text: str) -> str:
    """``text`` inside a table."""
    return "`" + text.replace("|", "\\|") + "`"


def _plain(text: str) -> str:
    """``text`` as prose inside a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _literal(text: str) -> str:
    """``text`` as the replacement of a pattern."""
    return text.replace("\\", r"\\")


def _read(path: Path) -> str:
    """The file's text; empty if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
