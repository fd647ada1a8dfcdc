"""Who may import whom: downwards only, leadping → intake → leads → sources.

All may import `leadping.jobs`, which imports none of them.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "leadping": {"leadping", "intake", "leads", "sources"},
    "intake": {"intake", "leads", "sources"},
    "leads": {"leads", "sources"},
    "sources": {"sources"},
}
JOBS = "leadping.jobs"
FILES = [path for app in MAY_IMPORT for path in sorted((ROOT / app).rglob("*.py"))]


def imported(path: Path) -> list[tuple[str, bool]]:
    """Return the top names of what a file imports, and whether inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            names = [node.module or ""]
        else:
            continue
        found += [(app_of(name), id(node) in inside) for name in names]
    return found


def app_of(module: str) -> str:
    """Return to which app a module belongs, by its full name."""
    return JOBS if f"{module}.".startswith(f"{JOBS}.") else module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_apps_import_downwards_only(path: Path) -> None:
    app = app_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ours = [(name, inside) for name, inside in imported(path) if name in (*MAY_IMPORT, JOBS)]
    assert {name for name, _ in ours} <= MAY_IMPORT.get(app, set()) | {JOBS}
    # The one program that must not load Django before it is told to.
    if path.name != "web.py":
        assert not any(inside for _, inside in ours)


def test_each_module_opens_with_a_sentence() -> None:
    for path in FILES:
        if path.name == "__init__.py" and path.parent.parent != ROOT and not path.read_text():
            continue
        if path.match("migrations/*_initial.py") or not path.read_text():
            continue
        assert ast.get_docstring(ast.parse(path.read_text())), path
