"""Expressions of a Python file as values, as far as they are plain: texts, numbers, lists, paths, variables of the
environment. Nothing of the file is executed.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")
_TRUE = frozenset(("1", "true", "yes", "on", "y", "t"))
_TEXT_METHODS = {
    "replace": 2,
    "strip": 0,
    "lower": 0,
    "upper": 0,
    "rstrip": 1,
    "lstrip": 1,
    "split": 1,
}  # with so many arguments
_LONGEST = 100_000  # characters or entries of one value


class _Unknown:
    """What can't be told without running the file."""

    def __bool__(self) -> bool:
        return False


UNKNOWN = _Unknown()


class FromVariable(str):
    """A text that an environment variable has."""

    variable: str

    def __new__(cls, text: str, variable: str) -> FromVariable:
        made = super().__new__(cls, text)
        made.variable = variable
        return made


class Expressions:
    """Values of expressions in the file PATH, where VALUES are known (`:=` adds to them) and the app has ENVIRONMENT."""

    def __init__(self, values: dict[str, Any], environment: Mapping[str, str], path: Path) -> None:
        self.values, self.environment, self.path = values, environment, path

    def value(self, node: ast.expr | None) -> Any:
        """UNKNOWN where it isn't plain."""
        known: dict[type[ast.expr], Callable[[Any], Any]] = {
            ast.Constant: lambda one: one.value,
            ast.Name: self._name,
            ast.JoinedStr: self._joined,
            ast.List: self._items,
            ast.Tuple: self._items,
            ast.Dict: self._mapping,
            ast.BinOp: self._operation,
            ast.BoolOp: self._boolean,
            ast.Compare: self._comparison,
            ast.UnaryOp: self._not,
            ast.IfExp: self._choice,
            ast.Subscript: self._subscript,
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.NamedExpr: self._named,
        }
        found = known.get(type(node)) if node is not None else None
        return UNKNOWN if found is None else found(node)

    def _name(self, node: ast.Name) -> Any:
        return str(self.path) if node.id == "__file__" else self.values.get(node.id, UNKNOWN)

    def _named(self, node: ast.NamedExpr) -> Any:
        self.values[node.target.id] = self.value(node.value)
        return self.values[node.target.id]

    def _joined(self, node: ast.JoinedStr) -> Any:
        parts = [
            self.value(part.value) if isinstance(part, ast.FormattedValue) else self.value(part) for part in node.values
        ]
        return UNKNOWN if any(part is UNKNOWN for part in parts) else "".join(map(str, parts))

    def _items(self, node: ast.List | ast.Tuple) -> Any:
        return [self.value(each) for each in node.elts if not isinstance(each, ast.Starred)]

    def _mapping(self, node: ast.Dict) -> Any:
        found: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            name, meant = self.value(key), self.value(value)
            if key is None and isinstance(meant, dict):
                found.update(meant)
            elif isinstance(name, str | int):
                found[name] = meant
        return found

    def _operation(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Div) and isinstance(left, PurePosixPath) and isinstance(right, str | PurePosixPath):
            return left / right
        if isinstance(node.op, ast.Add):
            for kind in (str, list, int):
                if isinstance(left, kind) and isinstance(right, kind):
                    return left + right  # type: ignore[operator]
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            words = right if isinstance(right, list) else [right]
            if all(isinstance(word, str | int) for word in words) and len(left) < _LONGEST:
                try:
                    return left % tuple(words) if set(re.findall(r"%(.)", left)) <= {"s"} else UNKNOWN
                except (TypeError, ValueError):
                    return UNKNOWN
        return UNKNOWN

    def _boolean(self, node: ast.BoolOp) -> Any:
        found: Any = UNKNOWN
        for each in node.values:
            found = self.value(each)
            if found is UNKNOWN or bool(found) == isinstance(node.op, ast.Or):
                return found
        return found

    def _comparison(self, node: ast.Compare) -> Any:
        left, right = self.value(node.left), self.value(node.comparators[0])
        if left is UNKNOWN or right is UNKNOWN or len(node.ops) != 1:
            return UNKNOWN
        kind = node.ops[0]
        if isinstance(kind, ast.Eq | ast.Is | ast.NotEq | ast.IsNot):
            return (left == right) == isinstance(kind, ast.Eq | ast.Is)
        if isinstance(kind, ast.In | ast.NotIn) and isinstance(right, str | list | dict):
            try:
                return (left in right) == isinstance(kind, ast.In)
            except TypeError:
                return UNKNOWN
        return UNKNOWN

    def _not(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        return not value if isinstance(node.op, ast.Not) and value is not UNKNOWN else UNKNOWN

    def _choice(self, node: ast.IfExp) -> Any:
        test = self.value(node.test)
        return UNKNOWN if test is UNKNOWN else self.value(node.body if test else node.orelse)

    def _subscript(self, node: ast.Subscript) -> Any:
        if ast.unparse(node.value) in ("os.environ", "environ", "env"):
            return self._variable(self.value(node.slice), UNKNOWN)
        if isinstance(node.value, ast.Attribute) and node.value.attr == "parents":
            place, index = self.value(node.value.value), self.value(node.slice)
            if isinstance(place, PurePosixPath) and isinstance(index, int) and 0 <= index < len(place.parents):
                return place.parents[index]
            return UNKNOWN
        value, key = self.value(node.value), self.value(node.slice)
        try:
            return value[key] if isinstance(value, dict | list) else UNKNOWN
        except (LookupError, TypeError):
            return UNKNOWN

    def _attribute(self, node: ast.Attribute) -> Any:
        value = self.value(node.value)
        if isinstance(value, PurePosixPath) and node.attr in ("parent", "name"):
            return getattr(value, node.attr)
        return UNKNOWN

    # ---- calls ----

    def _call(self, node: ast.Call) -> Any:
        name = ast.unparse(node.func) if len(ast.dump(node.func)) < 2000 else ""
        last = name.rpartition(".")[2]
        words = [self.value(each) for each in node.args]
        if (
            last in ("Path", "PurePath", "str", "root")
            and len(words) == 1
            and isinstance(words[0], str | PurePosixPath)
        ):
            return str(words[0]) if last == "str" else PurePosixPath(words[0])
        if last in ("resolve", "absolute", "as_posix", "joinpath") and isinstance(node.func, ast.Attribute):
            place = self.value(node.func.value)
            if isinstance(place, PurePosixPath) and all(isinstance(word, str) for word in words):
                return str(place) if last == "as_posix" else place.joinpath(*words)
            return UNKNOWN
        if last in _TEXT_METHODS and isinstance(node.func, ast.Attribute):
            text = self.value(node.func.value)
            known = isinstance(text, str) and all(isinstance(word, str) for word in words) and not node.keywords
            return _text_method(text, last, words) if known else UNKNOWN
        if name.startswith(("os.path.", "path.")) or last in ("join", "dirname", "abspath", "realpath"):
            return _path_function(last, words)
        if last == "int" and len(words) == 1 and isinstance(words[0], str | int) and str(words[0]).isdigit():
            return int(words[0])
        if "database_url" in name or last in ("db", "db_url", "dj_db_url"):
            return self._database(node, words)
        if words and isinstance(words[0], str) and _VARIABLE.fullmatch(words[0]):
            default = words[1] if len(words) > 1 else self._keyword(node, "default", None)
            found = self._variable(words[0], default)
            return found.lower() in _TRUE if isinstance(found, str) and "bool" in name.lower() else found
        return UNKNOWN

    def _database(self, node: ast.Call, words: list[Any]) -> Any:
        """What dj-database-url and django-environ are told: a URL, or the variable that has one."""
        default = self._keyword(node, "default", UNKNOWN)
        if words and isinstance(words[0], str) and "://" in words[0]:
            return {"url": words[0]}
        name = words[0] if words and isinstance(words[0], str) else self._keyword(node, "env", "DATABASE_URL")
        if isinstance(words[0] if words else None, FromVariable):
            return {"url": words[0]}
        return {"url": self._variable(name, default)}

    def _keyword(self, node: ast.Call, name: str, default: Any) -> Any:
        return next((self.value(each.value) for each in node.keywords if each.arg == name), default)

    def _variable(self, name: Any, default: Any) -> Any:
        if not isinstance(name, str):
            return UNKNOWN
        found = self.environment.get(name)
        return default if found is None else FromVariable(found, name)


def _text_method(text: str, method: str, words: list[Any]) -> Any:
    if len(words) > _TEXT_METHODS[method] or len(text) > _LONGEST or (method == "replace" and len(words) != 2):
        return UNKNOWN
    found = getattr(text, method)(*words)
    # A variable's own URL with another spelling of its scheme is still the variable's.
    return FromVariable(found, text.variable) if isinstance(text, FromVariable) and isinstance(found, str) else found


def _path_function(name: str, words: list[Any]) -> Any:
    texts = [str(word) for word in words if isinstance(word, str | PurePosixPath)]
    if not texts or len(texts) != len(words):
        return UNKNOWN
    if name == "join":
        return os.path.join(*texts)
    if name == "dirname":
        return os.path.dirname(texts[0])
    return os.path.normpath(texts[0]) if name in ("abspath", "realpath", "normpath") else UNKNOWN
