"""The package as users get it: built, installed apart from the checkout, and started."""

from __future__ import annotations

import os
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path

import pytest

import plmscan

ROOT = Path(__file__).parents[2]


def run(*args: str, **environment: str) -> str:
    """What a Python process prints, which must succeed."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=environment.get("HOME"),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel that comes of the source archive, unpacked by pip."""
    built, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    run("-m", "build", "--no-isolation", "--outdir", str(built), str(ROOT))
    names = sorted(path.name for path in built.iterdir())
    assert names == [
        f"plmscan-{plmscan.__version__}-py3-none-any.whl",
        f"plmscan-{plmscan.__version__}.tar.gz",
    ]
    pip = ("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(target))
    run(*pip, str(built / names[0]))
    return target


def plmscan_of(installed: Path, *args: str) -> str:
    """What the installed plmscan prints, far from the checkout."""
    return run("-m", "plmscan", *args, PYTHONPATH=str(installed), HOME=str(installed.parent))


def test_the_installed_package_is_the_one_that_runs(installed: Path) -> None:
    """The other tests here are about the wheel and not about the checkout."""
    where = run(
        "-c", "import plmscan; print(plmscan.__file__)",
        PYTHONPATH=str(installed), HOME=str(installed.parent),
    )  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed)


def test_the_rules_come_along(installed: Path) -> None:
    """The wheel lists exactly the rules of the folder ``rules``, and explains them."""
    listed = [line.split()[0] for line in plmscan_of(installed, "rules").splitlines()]
    assert listed == sorted(path.stem for path in (ROOT / "rules").glob("*.yaml"))
    assert plmscan_of(installed, "rules", "explain", listed[0]).startswith(listed[0])


@pytest.mark.parametrize(
    "name",
    [
        "carriers/en.txt",
        "carriers/zh.txt",
        "carriers/sql.txt",
        "py.typed",
        "reports/report-v1.schema.json",
        "__main__.py",
    ],
)
def test_data_files_come_along(installed: Path, name: str) -> None:
    """What is no Python code is packaged as it is in the checkout."""
    ours = ROOT / "scanner" / "plmscan" / name
    assert (installed / "plmscan" / name).read_bytes() == ours.read_bytes()


def test_the_package_holds_the_scanner_and_nothing_else(installed: Path) -> None:
    """Neither tests nor the demo model are installed into other people's environments."""
    top = {path.name for path in installed.iterdir()}
    assert top == {"plmscan", f"plmscan-{plmscan.__version__}.dist-info", "bin"}
    assert {path.name for path in (installed / "bin").iterdir()} == {"plmscan"}


def test_it_tells_its_version_and_licence(installed: Path) -> None:
    """``--version`` and the metadata agree with the source."""
    assert plmscan_of(installed, "--version") == f"plmscan {plmscan.__version__}\n"
    folder = installed / f"plmscan-{plmscan.__version__}.dist-info"
    metadata = HeaderParser().parsestr((folder / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Version"] == plmscan.__version__
    assert metadata["License-Expression"] == "Apache-2.0 AND Unicode-3.0"
    assert (folder / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_it_checks_files(installed: Path, tmp_path: Path) -> None:
    """The installed scanner reads a model and validates nothing against the checkout."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    done = subprocess.run(
        [sys.executable, "-m", "plmscan", "check", str(tmp_path), "--files-only"],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "There are no weight files." in done.stdout
