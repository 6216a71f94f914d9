"""The house rules as tests: rooms, layers, fresh docs, every dependency explained."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "taxiops").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# What may stand at the top of the repository: rooms, and files that tools look for there.
FOLDERS = {".ci", ".github", "components", "docs", "pipelines", "taxiops", "tests"}
FILES = {
    ".amlignore",
    ".gitignore",
    ".yamllint",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements.lock",
}


def tracked() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_layers_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def imported_by(path: Path, known: set[str]) -> set[str]:
    """Our modules that this one imports, inside functions too, but not for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found & known


def test_no_module_imports_itself_by_way_of_others() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    sorter = TopologicalSorter({name: imported_by(names[name], set(names)) for name in names})
    sorter.prepare()


def test_nothing_unknown_stands_at_the_top_of_the_repository() -> None:
    paths = tracked()
    assert {path.split("/")[0] for path in paths if "/" in path} <= FOLDERS
    assert {path for path in paths if "/" not in path} <= FILES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_first_line_of_a_module_says_what_lives_there(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, "no docstring"
    first, *rest = text.splitlines()
    assert first.endswith((".", "`")), "the first line is one whole sentence"
    assert not rest or not rest[0], "facts come after an empty line"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_to_do_in_a_module(path: Path) -> None:
    assert not re.search(
        r"\b(TODO|FIXME|XXX|NotImplementedError)\b", path.read_text(encoding="utf-8")
    )


def test_only_the_command_line_prints_or_exits() -> None:
    """Programs of their own, run by `python`, are command lines too."""
    own_programs = {
        "taxiops/emulator/__main__.py",
        "taxiops/emulator/state/guard.py",
        "taxiops/emulator/state/jobs/parallel_program.py",
    }
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("taxiops/cli/", "taxiops/steps/")) or name in own_programs:
            continue
        calls = re.findall(r"\b(?:sys\.exit|print)\(", path.read_text(encoding="utf-8"))
        assert not calls, f"{name} prints or exits"


def test_no_module_imports_click() -> None:
    for path in MODULES:
        assert not re.search(r"^\s*(import|from) click\b", path.read_text("utf-8"), re.MULTILINE)


def test_schemas_travel_with_the_package() -> None:
    schemas = sorted(path.name for path in (ROOT / "taxiops/schemas").glob("*.json"))
    assert "comparison.json" in " ".join(schemas).replace(".schema", "")
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    assert packages["build"]["targets"]["wheel"]["packages"] == ["taxiops"]


def requirement_name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0].lower()


def test_every_dependency_is_explained() -> None:
    extras = PROJECT["optional-dependencies"].values()
    wanted = {
        requirement_name(requirement)
        for requirements in (PROJECT["dependencies"], *extras)
        for requirement in requirements
    }
    text = (ROOT / "docs/decisions.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([a-z0-9-]+)`", text.lower()))
    assert wanted <= explained, f"docs/decisions.md does not explain {sorted(wanted - explained)}"


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_no_page_or_module_names_a_place_on_somebodys_machine() -> None:
    for name in tracked():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml"} and path.is_file():
            found = re.search(r"/(?:home|Users)/\w+/", path.read_text(encoding="utf-8"))
            assert found is None, f"{name}: {found}"


def imported_names() -> set[str]:
    """Dotted names of everything the program imports, lazily or not, or for types only."""
    names: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
    return names


def test_every_imported_package_is_declared() -> None:
    """A package that comes along with another today may be gone tomorrow."""
    extras = PROJECT["optional-dependencies"]
    requirements = (*PROJECT["dependencies"], *extras["emulator"], *extras["telemetry"])
    declared = {requirement_name(requirement) for requirement in requirements}
    packages = packages_distributions()
    missing = {}
    for name in sorted(imported_names()):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == "taxiops":
            continue
        if top == "azure":
            second = name.split(".")[1]
            whole = {
                "ai": "azure-ai-ml",
                "storage": "-".join(name.split(".")[:3]),
                "monitor": "-".join(name.split(".")),
            }
            providers = {whole.get(second, f"azure-{second}")}
        else:
            providers = {provider.lower() for provider in packages[top]}
        if not providers & declared:
            missing[name] = sorted(providers)
    assert not missing, f"imported, but not in pyproject.toml: {missing}"
