"""Every hint that gitdeploy can print, as its source has it: what an error, a problem or a finding says is to be done.

A template has `{}` where the source puts a value in. What only hands on the hint of another error has none of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("demo.py", "web/", "config/", "sources/", "upkeep/drafting/")
_WORDS = frozenset(
    "user_name user_word shell_word path_text clean redact listing count size_text again name sentence summary why refusal "
    "full text reason message executables folder_comment error_text shown".split()
)  # functions and properties that give a part of a sentence, or another's
_OTHER_PAIRS = {"deployment/prepare/release.py"}  # (a commit, where it is from)
MOST = 40  # templates of one expression; more would be a fault of this reader


class Hint(NamedTuple):
    """One hint: its template, and where it stands first."""

    template: str
    place: str


class _Module:
    """A parsed module, with what its expressions are resolved by."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(PROJECT / "gitdeploy").as_posix()
        self.tree = ast.parse(path.read_text())
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        self.functions = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def function_of(self, node: ast.AST) -> ast.AST:
        while node in self.parents and not isinstance(node, ast.FunctionDef | ast.Lambda):
            node = self.parents[node]
        return node


@cache
def _modules() -> tuple[_Module, ...]:
    paths = sorted((PROJECT / "gitdeploy").rglob("*.py"))
    found = (_Module(path) for path in paths)
    return tuple(module for module in found if not module.name.startswith(LEFT_OUT))


@cache
def _errors() -> set[str]:
    """The names of all expected errors."""
    bases = {"GitDeployError"}
    classes = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)})
        for module in _modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    while more := {name for name, above in classes if above & bases} - bases:
        bases |= more
    return bases - {"CommandFailed", "Interrupted", "SettlingFailed"}  # made of other things than a message and a hint


def hints() -> list[Hint]:
    """All of them, each template once, in the order of the source."""
    found: dict[str, str] = {}
    for module in _modules():
        for expression in _hint_expressions(module):
            for template in sorted(_templates(module, expression, ())):
                if re.search(r"[A-Za-z]{2}", template.replace("{}", "")):
                    found.setdefault(template, f"{module.name}:{getattr(expression, 'lineno', 0)}")
    return [Hint(template, place) for template, place in found.items()]


def texts() -> Iterator[tuple[str, ast.Call | ast.JoinedStr]]:
    """(module, sentence or text with its values) of all hints that are written where they are said."""
    for module in _modules():
        for expression in _hint_expressions(module):
            yield from (
                (module.name, node)
                for node in ast.walk(expression)
                if isinstance(node, ast.JoinedStr)
                or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr")
            )


def _hint_expressions(module: _Module) -> Iterator[ast.expr]:
    problem_has_hint = module.name.split("/")[0] != "config"  # there a Problem is a line and a message
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            named = [each.value for each in node.keywords if each.arg == "hint"]
            if name in _errors() or (name == "Problem" and problem_has_hint):
                yield from named or node.args[1:2]
                yield from (arg for arg in node.args[:1] if isinstance(arg, ast.Starred))
            elif name == "__init__" and ast.unparse(node.func).startswith("super()"):
                yield from node.args[1:2]
            elif name == "refused":  # a file with its problems
                yield from node.args[2:3]
            elif name == "Finding":
                yield from node.args[3:4]
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and _is_pair(module, node):
            yield node.elts[1]


def _is_pair(module: _Module, node: ast.Tuple) -> bool:
    """Whether NODE is a (message, hint) of a function that returns such."""
    function = module.function_of(node)
    if module.name in _OTHER_PAIRS or isinstance(module.parents.get(node), ast.Compare):
        return False
    if not isinstance(function, ast.FunctionDef) or function.returns is None:
        return False
    if "tuple[str, str]" not in ast.unparse(function.returns):
        return False
    return all(
        isinstance(each, ast.Call | ast.JoinedStr | ast.Constant | ast.Name | ast.BinOp | ast.IfExp)
        for each in node.elts
    )


def _templates(module: _Module, node: ast.expr | None, seen: tuple[object, ...]) -> set[str]:
    """The texts that NODE can be; `{}` where it isn't known."""
    if node is None or node in seen or len(seen) > 12:
        return {"{}"}
    seen = (*seen, node)
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else {""}
    if isinstance(node, ast.JoinedStr):
        parts = [_part(module, each, seen) for each in node.values]
        return {"".join(chosen) for chosen in product(*parts)}
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
        return _of_sentence(module, node, seen)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "joined":
        return _templates(module, node.args[1], seen)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return {
            one + two for one, two in product(*(_templates(module, each, seen) for each in (node.left, node.right)))
        }
    if isinstance(node, ast.IfExp):
        return _templates(module, node.body, seen) | _templates(module, node.orelse, seen)
    if isinstance(node, ast.BoolOp):
        return set().union(*(_templates(module, each, seen) for each in node.values))
    if isinstance(node, ast.Starred):
        return _templates(module, node.value, seen)
    if isinstance(node, ast.List | ast.Tuple):
        return set().union(*(_templates(module, each, seen) for each in node.elts))
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "join" and node.args:
        return _templates(module, node.args[0], seen)
    if isinstance(node, ast.Name):
        return _of_name(module, node, seen)
    if isinstance(node, ast.Call | ast.Attribute):
        return _of_function(node.func if isinstance(node, ast.Call) else node, seen)
    return {"{}"}


def _of_sentence(module: _Module, node: ast.Call, seen: tuple[object, ...]) -> set[str]:
    """What `tr("... {name} ...", name=value)` can say."""
    found: set[str] = set()
    for said in pieces(node):
        parts = [{piece} if isinstance(piece, str) else _value(module, piece, seen) for piece in said]
        found |= {"".join(chosen) for chosen in product(*parts)}
    return found


def pieces(node: ast.Call | ast.JoinedStr) -> list[list[str | ast.expr]]:
    """The words and the values of a sentence or text, in their order; of each that a condition decides between."""
    if isinstance(node, ast.JoinedStr):
        return [
            [part.value if isinstance(part, ast.FormattedValue) else ast.literal_eval(part) for part in node.values]
        ]
    values = {each.arg: each.value for each in node.keywords}
    return [[_piece(piece, values) for piece in _SPLIT.split(text)] for text in _either(node.args[0])]


_SPLIT = re.compile(r"(\{\{|\}\}|\{\w+\})")


def _piece(piece: str, values: dict[str | None, ast.expr]) -> str | ast.expr:
    if piece in ("{{", "}}"):
        return piece[0]
    return values[piece[1:-1]] if piece[:1] == "{" else piece


def _either(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*_either(node.body), *_either(node.orelse)]
    return [ast.literal_eval(node)]


def _part(module: _Module, node: ast.expr, seen: tuple[object, ...]) -> set[str]:
    """A value within a text: what is written there where it is a name of a text or a choice of texts."""
    return _value(module, node.value, seen) if isinstance(node, ast.FormattedValue) else _templates(module, node, seen)


def _value(module: _Module, node: ast.expr, seen: tuple[object, ...]) -> set[str]:
    if (isinstance(node, ast.Name) and node.id.isupper()) or isinstance(node, ast.IfExp):
        found = _templates(module, node, seen)
        return found if len(found) <= 2 else {"{}"}
    return {"{}"}


def _of_name(module: _Module, node: ast.Name, seen: tuple[object, ...]) -> set[str]:
    function = module.function_of(node)
    found: set[str] = set()
    for each in ast.walk(function):
        if isinstance(each, ast.Assign | ast.AnnAssign):
            for target in each.targets if isinstance(each, ast.Assign) else [each.target]:
                if isinstance(target, ast.Name) and target.id == node.id:
                    found |= _templates(module, each.value, seen)
                if isinstance(target, ast.Tuple) and isinstance(each.value, ast.Tuple):
                    for name, value in zip(target.elts, each.value.elts, strict=False):
                        if isinstance(name, ast.Name) and name.id == node.id:
                            found |= _templates(module, value, seen)
        if isinstance(each, ast.For) and isinstance(each.target, ast.Tuple) and isinstance(each.iter, ast.Tuple):
            for number, name in enumerate(each.target.elts):
                if isinstance(name, ast.Name) and name.id == node.id:
                    found |= set().union(
                        *(
                            _templates(module, row.elts[number], seen)
                            for row in each.iter.elts
                            if isinstance(row, ast.Tuple)
                        )
                    )
        if (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr in ("append", "insert")
            and isinstance(each.func.value, ast.Name)
            and each.func.value.id == node.id
        ):
            found |= _templates(module, each.args[-1], seen)
    if found:
        return found
    if node.id in module.constants:
        return _templates(module, module.constants[node.id], seen)
    if node.id.strip("_").isupper():
        holders = [other for other in _modules() if node.id in other.constants]
        if len(holders) == 1:
            return _templates(holders[0], holders[0].constants[node.id], seen)
    return {"{}"}


def _of_function(called: ast.expr, seen: tuple[object, ...]) -> set[str]:
    """What the functions (or properties) of that name return, those of texts."""
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    found: set[str] = set()
    if name in _WORDS:
        return {"{}"}
    for module in _modules():
        function = module.functions.get(name)
        if function is None or function.returns is None or function in seen:
            continue
        if not re.fullmatch(r"str( \| None)?", ast.unparse(function.returns)):
            continue
        for each in ast.walk(function):
            if isinstance(each, ast.Return):
                found |= _templates(module, each.value, (*seen, function))
    return found if found and len(found) <= MOST else {"{}"}
