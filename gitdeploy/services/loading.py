"""Loads a part of an app, in the app's own Python: the text of this file is run there, with what to load as its argument.

So it needs nothing but Python 3.7, and imports nothing of gitdeploy. It ends with 0 where the part was loaded, with `CAN_NOT_TELL`
where only the app's real server could, else with 1 and a traceback.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import runpy
import sys
import traceback
from typing import Any

CAN_NOT_TELL = 77
_ONLY_IN_UWSGI = ("uwsgi", "uwsgidecorators")


def main(text: str) -> int:
    """Load what TEXT says: {kind, words, root, copy}. The working directory is where the app's server would start."""
    told = json.loads(text)
    _take_from_copy(told["root"], told["copy"])
    words = told["words"]
    try:
        _LOADERS[told["kind"]](words)
    except SystemExit as ended:
        if ended.code in (None, 0):
            return 0
        if isinstance(ended.code, str):
            sys.stderr.write(ended.code + "\n")
        return 1
    except ImportError as error:
        traceback.print_exc()
        return CAN_NOT_TELL if error.name in _ONLY_IN_UWSGI else 1
    except BaseException:  # noqa: BLE001  # whatever the app raises
        traceback.print_exc()
        return 1
    return 0


def _take_from_copy(root: str, copy: str) -> None:
    """An app that is installed with -e is imported from ROOT: from COPY here."""

    def moved(path: str) -> str:
        inside = (path + "/").startswith(root + "/") and not path.startswith(root + "/.gitdeploy/")
        return copy + path[len(root) :] if inside else path

    sys.path[:] = [moved(entry) for entry in sys.path]
    for name, module in list(sys.modules.items()):
        mapping = getattr(module, "MAPPING", None) if name.startswith("__editable__") else None
        if isinstance(mapping, dict):
            for package, place in mapping.items():
                mapping[package] = moved(place)


def _object(words: list[str]) -> None:
    name, _, place = words[0].partition(":")
    module = importlib.import_module(name)
    found: Any = module
    if "(" in place:
        found = eval(place, vars(module))  # noqa: S307  # as gunicorn does
    else:
        for part in filter(None, place.split(".")):
            found = getattr(found, part)
    if words[1] == "call":
        found()


def _program(module: str, words: list[str]) -> None:
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _gunicorn(words: list[str]) -> None:
    _program("gunicorn", ["--check-config", *words])


def _flask(words: list[str]) -> None:
    _program("flask", words)


def _django(words: list[str]) -> None:
    sys.argv = list(words)
    sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
    runpy.run_path(words[0], run_name="__main__")


def _celery(words: list[str]) -> None:
    try:
        importlib.import_module(words[0])
    except ModuleNotFoundError as error:
        outer = words[0].rpartition(".")[0]
        if not outer or error.name != words[0]:
            raise
        importlib.import_module(outer)  # the last part names the object in it


def _script(words: list[str]) -> None:
    sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
    _imports(words[0], {})


def _module(words: list[str]) -> None:
    name = words[0]
    if importlib.util.find_spec(name) is not None and importlib.util.find_spec(name + ".__main__") is not None:
        importlib.import_module(name)
        name += ".__main__"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named " + repr(name), name=name)
    _imports(spec.origin, {"__package__": spec.parent})


def _imports(path: str, names: dict[str, Any]) -> None:
    """Run the imports of the script PATH, and what they need of sys.path: all else is its work, and not begun."""
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    tree.body = [node for node in tree.body if _is_import(node)]
    program = compile(tree, path, "exec")
    exec(program, {"__name__": "__imports__", "__file__": os.path.abspath(path), **names})  # noqa: S102


def _is_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        return all(isinstance(each, (ast.Import, ast.ImportFrom)) for each in node.body)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        place = called.value if isinstance(called, ast.Attribute) else None
        return isinstance(place, ast.Attribute) and place.attr == "path" and getattr(place.value, "id", "") == "sys"
    return isinstance(node, (ast.Import, ast.ImportFrom))


_LOADERS = {
    "celery": _celery,
    "django": _django,
    "flask": _flask,
    "gunicorn": _gunicorn,
    "module": _module,
    "object": _object,
    "script": _script,
}

if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that the app has started are no reason to wait
