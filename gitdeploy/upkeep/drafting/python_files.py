"""What an app's Python files say of its settings: assignments of plain values, read as text and never executed.

`BASE_DIR / "db.sqlite3"`, `os.environ.get("PORT", "8000")` and their like come to values by the app's own environment;
whatever else a file does is unknown, never guessed.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gitdeploy.upkeep.drafting.expressions import UNKNOWN, Expressions

_LARGEST = 1 << 20  # bytes of one file
_MOST_FILES = 30
_FOR_DEVELOPERS = re.compile(r"test|dev|debug|local|ci$", re.IGNORECASE)
_FACTORIES = re.compile(r"\w*app\w*|configure\w*")


class Settings:
    """The plain values of some Python files, and of those that they import with `*`, by name; the later one wins."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root
        self.environment = environment
        self.values: dict[str, Any] = {}
        self.told_in: dict[str, str] = {}  # name -> the file that says it, from the checkout's root
        self.files: list[str] = []
        self._path: Path = root

    def read(self, path: str) -> bool:
        """Read the file PATH (from the checkout's root); whether that could be done."""
        file = self.root / path
        if path in self.files or len(self.files) >= _MOST_FILES:
            return False
        try:
            if file.stat().st_size > _LARGEST:
                return False
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return False
        self.files.append(path)
        before, self._path = self._path, file
        try:
            self._block(tree.body)
        except RecursionError:
            pass
        finally:
            self._path = before
        return True

    def text(self, name: str) -> str | None:
        """The text that NAME is; None where it is none or unknown."""
        value = self.values.get(name)
        return str(value) if isinstance(value, str | PurePosixPath) else None

    # ---- statements ----

    def _block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            value = self._value(node.value)
            for target in node.targets:
                self._assign(target, value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, self._value(node.value))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._put(node.target.id, self._added(node))
        elif isinstance(node, ast.If):
            test = self._value(node.test)
            if test is UNKNOWN or test:
                self._block(node.body)
            if test is UNKNOWN or not test:
                self._block(node.orelse)
        elif isinstance(node, ast.Try | ast.With | ast.For | ast.ClassDef | ast.FunctionDef):
            if _counts(node):
                self._block(node.body)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._call(node.value)
        elif isinstance(node, ast.ImportFrom):
            self._import(node)

    def _added(self, node: ast.AugAssign) -> Any:
        assert isinstance(node.target, ast.Name)
        before, more = self.values.get(node.target.id, UNKNOWN), self._value(node.value)
        if isinstance(before, list | tuple) and isinstance(more, list | tuple):
            return [*before, *more]
        return before + more if isinstance(before, str) and isinstance(more, str) else UNKNOWN

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._put(target.id, value)
        elif isinstance(target, ast.Subscript) and isinstance(key := self._value(target.slice), str):
            if _is_config(target.value):
                self._put(key, value)
            elif isinstance(found := self._value(target.value), dict):
                found[key] = value

    def _put(self, name: str, value: Any) -> None:
        self.values[name] = value
        self.told_in[name] = os.path.relpath(self._path, self.root)

    def _call(self, node: ast.Call) -> None:
        """`app.config.update(NAME=...)`, `app.config.from_mapping(...)`, `os.environ.setdefault(...)`."""
        if not isinstance(node.func, ast.Attribute):
            return
        if node.func.attr in ("update", "from_mapping") and _is_config(node.func.value):
            for each in node.keywords:
                if each.arg is not None:
                    self._put(each.arg, self._value(each.value))
        elif node.func.attr == "setdefault" and ast.unparse(node.func.value) in ("os.environ", "environ"):
            words = [self._value(each) for each in node.args]
            if len(words) == 2 and isinstance(words[0], str) and isinstance(words[1], str):
                self._put(words[0], self.environment.get(words[0]) or words[1])

    def _import(self, node: ast.ImportFrom) -> None:
        """A module of the app's own whose names are taken over."""
        above = self._path.parent
        for _ in range(node.level - 1):
            above = above.parent
        places = [above] if node.level else [*self._path.parents[:4]]
        module = [*(node.module or "").split(".")] if node.module else []
        wanted = {each.name for each in node.names}
        if "*" not in wanted and not any(name.isupper() for name in wanted):
            return
        for place in places:
            if place.is_relative_to(self.root) and (found := module_file(place, module)) is not None:
                self.read(os.path.relpath(found, self.root))
                return

    def _value(self, node: ast.expr) -> Any:
        return Expressions(self.values, self.environment, self._path).value(node)


def _counts(node: ast.stmt) -> bool:
    """Whether what NODE says holds for the server: not a developer's class, not a function that makes no app."""
    if isinstance(node, ast.ClassDef):
        return not _FOR_DEVELOPERS.search(node.name)
    return not isinstance(node, ast.FunctionDef) or _FACTORIES.fullmatch(node.name) is not None


def module_file(folder: Path, module: Sequence[str]) -> Path | None:
    """The file of MODULE (`["config", "settings"]`) below FOLDER; None where there is none."""
    place = folder.joinpath(*module)
    for file in (place.with_name(f"{place.name}.py") if module else place, place / "__init__.py"):
        if file.is_file():
            return file
    return None


def _is_config(node: ast.expr) -> bool:
    """Whether NODE is a Flask app's `config`."""
    return isinstance(node, ast.Attribute) and node.attr == "config"
