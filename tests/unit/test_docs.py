"""The README and the documentation: what they show works, what they link to exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from plmscan.config import read_config
from plmscan.evidence import Verdict
from plmscan.model_types import read_model_types
from plmscan.reports import Format
from plmscan.rules import load_rules

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
HAND_WRITTEN = tuple(
    page
    for page in PAGES
    if page.parent.name != "rules"
    and page.name not in ("changelog.md", "command-line.md", "probes.md")
)
WORKFLOW = ".github/workflows/models.yml"
OTHERS_OPTIONS = {"--index-url", "--python", "--torch-backend"}
"""Of pip and uv, which pages name as well."""
OURS = ("-m tests.", "-m pytest")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
RULES = {rule.id: rule for rule in load_rules()}
EXAMPLES = yaml.safe_load((ROOT / "tools/rule_examples.yaml").read_text(encoding="utf-8"))

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_written = pytest.mark.parametrize("page", HAND_WRITTEN, ids=lambda page: page.name)


def text_of(name: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def block(page: str, name: str) -> str:
    """The YAML block of ``page`` that begins with a comment that names the file ``name``."""
    (found,) = re.findall(rf"```yaml\n# {re.escape(name)}\n(.*?)```", text_of(page), re.DOTALL)
    return str(found)


def without_code(text: str) -> str:
    """``text`` without what stands in fences or backticks."""
    return CODE.sub("", text)


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of ``page``, as GitHub makes them."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def options(text: str) -> set[str]:
    """Long options that a text names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def nav(entries: list[Any]) -> list[str]:
    """Every page that the navigation of the site names."""
    found = []
    for entry in entries:
        (target,) = entry.values()
        found += nav(target) if isinstance(target, list) else [target]
    return found


def test_the_readme_takes_five_minutes() -> None:
    """It has fewer than 200 lines."""
    assert len(text_of("README.md").splitlines()) < 200


def test_the_glossary_is_short() -> None:
    """It explains ten words at most."""
    assert len(re.findall(r"^\| [a-z]", text_of("docs/glossary.md"), re.MULTILINE)) <= 11


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, headings too, and everything a page needs is in the repository."""
    for target in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if path.startswith("https://"):
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.is_file(), target
        assert found.is_relative_to(DOCS) or page.name == "README.md", f"{target} leaves the site"
        assert not anchor or anchor in anchors(found), target


def test_what_the_code_knows_is_up_to_date() -> None:
    """Generated pages, tables and schemas are what ``make docs`` would write."""
    command = [sys.executable, str(ROOT / "tools/generate_docs.py"), "--check"]
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr


def test_the_site_is_built(tmp_path: Path) -> None:
    """Strictly: a broken link or anchor ends the build."""
    pytest.importorskip("zensical")
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.parent.relative_to(tmp_path / "site") for path in tmp_path.rglob("index.html")}
    assert Path("rules/PLM201") in built
    assert len(built) == len(PAGES) - 1


def test_every_page_is_reached() -> None:
    """From the navigation, and those of rules from their index."""
    named = nav(yaml.safe_load(text_of("mkdocs.yml"))["nav"])
    pages = {str(page.relative_to(DOCS)) for page in PAGES[1:]}
    rules = {f"rules/{rule}.md" for rule in RULES}
    assert sorted(named) == sorted(pages - rules)
    assert rules <= {f"rules/{target}" for target in LINK.findall(text_of("docs/rules/index.md"))}


@each_page
def test_a_page_needs_no_other_site(page: Path) -> None:
    """Pictures are in the repository, with words for who cannot see them."""
    text = without_code(page.read_text(encoding="utf-8"))
    assert all(len(words) > 20 for words in re.findall(r"!\[([^\]]*)\]", text))
    assert not re.search(r"!\[[^\]]*\]\(https?:|<img|<script|<iframe", text)


@each_written
def test_options_exist(page: Path) -> None:
    """Every option that a page names is one of a command of plmscan, or of its tools."""
    code = "\n".join(
        line
        for found in CODE.finditer(page.read_text(encoding="utf-8"))
        for line in found.group().splitlines()
        if not any(other in line for other in OURS)
    )
    assert options(code) <= options(text_of("docs/command-line.md")) | OTHERS_OPTIONS


@each_written
def test_commands_exist(page: Path) -> None:
    """Every command of plmscan that a page shows has a section of its own."""
    code = "\n".join(found.group() for found in CODE.finditer(page.read_text(encoding="utf-8")))
    shown = re.findall(r"^(?:`|\$ )?plmscan ([a-z]+)\b", code, re.MULTILINE)
    known = re.findall(r"^## plmscan ([a-z]+)$", text_of("docs/command-line.md"), re.MULTILINE)
    assert set(shown) <= set(known)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_its_rule_says(name: str) -> None:
    """A finding that a page quotes fits the message of the rule as it is today."""
    message = " ".join(RULES[name].message.split())
    pattern = re.sub(r"\\\{.*?\\\}", ".+", re.escape(message))
    assert re.fullmatch(pattern, " ".join(EXAMPLES[name].split()), re.DOTALL)


def test_a_rule_of_ones_own_can_be_pasted(tmp_path: Path) -> None:
    """The one that the page about rules shows is read, and its probe has the metric."""
    (tmp_path / "ACME001.yaml").write_text(block("docs/extending.md", "my-rules/ACME001.yaml"))
    assert "ACME001" in {rule.id for rule in load_rules(tmp_path)}


def test_the_readme_says_where_model_types_are_listed() -> None:
    """And the page that it leads to has every one of the record."""
    assert "docs/model-types.md" in text_of("README.md")
    page = text_of("docs/model-types.md")
    assert all(f"| `{one.name}` |" in page for one in read_model_types())


def test_the_configuration_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key of it exists, and every value is allowed."""
    monkeypatch.chdir(tmp_path)
    shown = block("docs/configuration.md", "plmscan.yaml")
    Path("plmscan.yaml").write_text(shown, encoding="utf-8")
    config = read_config(Path("plmscan.yaml"))
    assert len(config.models) == 2
    assert len(config.waivers) == 1


@pytest.mark.parametrize("page", ["README.md", "docs/gate.md"])
def test_a_workflow_uses_the_action_as_it_is(page: str) -> None:
    """It gives inputs and reads outputs that exist, and asks for permissions by job."""
    shown = block(page, WORKFLOW)
    workflow = yaml.safe_load(shown)
    action = yaml.safe_load(text_of("action.yml"))
    steps = workflow["jobs"]["models"]["steps"]
    (ours,) = (step for step in steps if "plmscan" in step["uses"])
    assert set(ours["with"]) <= set(action["inputs"])
    assert set(re.findall(r"steps\.plmscan\.outputs\.([a-z-]+)", shown)) <= set(action["outputs"])
    assert workflow["permissions"] == {}


def test_the_hook_is_one_that_exists() -> None:
    """By its id."""
    hooks = yaml.safe_load(text_of(".pre-commit-hooks.yaml"))
    shown = yaml.safe_load(block("docs/gate.md", ".pre-commit-config.yaml"))
    ids = [hook["id"] for repo in shown["repos"] for hook in repo["hooks"]]
    assert ids == [hook["id"] for hook in hooks]


@pytest.mark.parametrize("name", Format)
def test_every_format_is_explained(name: str) -> None:
    """Each has a row in the table of reports."""
    assert re.search(rf"^\| .*`{name}`.* \|", text_of("docs/reports.md"), re.MULTILINE)


def test_every_verdict_has_its_exit_code_in_the_table() -> None:
    """As the code has it."""
    for verdict in Verdict:
        assert f"| {verdict.value} | {verdict.name.lower()}" in text_of("docs/gate.md")
