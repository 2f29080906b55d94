"""openapi.json: what the API takes and answers, for programs. Every address of the table of routes is in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gitdeploy import __version__
from gitdeploy.messages import LANGUAGES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": "boolean"}
_MAYBE_FLAG: Schema = {"type": ["boolean", "null"]}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_ANY: Schema = {}
_LINES: Schema = {"type": "array", "items": _TEXT}


def _object(needed: dict[str, Schema], may: dict[str, Schema] | None = None, *, open_: bool = False) -> Schema:
    made: Schema = {"type": "object", "properties": {**needed, **(may or {})}, "required": list(needed)}
    return made if open_ else {**made, "additionalProperties": False}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _good(data: Schema | None = None, **more: Schema) -> Schema:
    return _object({"success": {"const": True}, **({"data": data} if data is not None else {}), **more})


def _made(name: str) -> dict[str, Schema]:
    """How the sentence NAME was made, as `messages.said` puts it beside: what an older gitdeploy wrote has none of it."""
    before = "" if name == "message" else f"{name}_"
    return {f"{before}code": _TEXT, f"{before}params": {"type": "object"}}


_RELEASE3 = _object({"version": _MAYBE, "tag": _MAYBE, "commit": _TEXT})
_ERROR_INSIDE = _object(
    {"kind": _TEXT, "message": _TEXT, "hint": _TEXT, "exit_code": _WHOLE}, {**_made("message"), **_made("hint")}
)
_PROGRESS = _object(
    {
        "what": _TEXT,
        "done": _WHOLE,
        "total": _or_null(_WHOLE),
        "about": _FLAG,
        "unit": {"enum": ["bytes", "files", "packages", "objects"]},
        "rate": _NUMBER,
        "left": _or_null(_NUMBER),
        "since": _TEXT,
    },
    _made("what"),
)
_STEP = _object(
    {
        "name": _TEXT,
        "status": {"enum": ["running", "done", "skipped", "failed", "undone"]},
        "duration": _NUMBER,
        "summary": _TEXT,
    },
    {"at": _TEXT, **_made("summary"), "progress": _PROGRESS},
)
_DEPLOYMENT_FACTS: dict[str, Schema] = {
    "action": _TEXT,
    "status": _TEXT,
    "performer": _TEXT,
    "started_at": _TEXT,
    "ended_at": _MAYBE,
    "duration": {"type": ["number", "null"]},
    "from": _RELEASE3,
    "to": _RELEASE3,
    "backup": _MAYBE,
    "error": _or_null(_ERROR_INSIDE),
    "steps": _list(_STEP),
}
_DEPLOYMENT = _object({"id": _WHOLE, **_DEPLOYMENT_FACTS})
_SKIP = _object(dict.fromkeys(("tag", "reason", "by", "at", "how"), _TEXT))
_HOLDER = _object({"who": _TEXT, "pid": _WHOLE, "host": _TEXT, "command": _TEXT, "since": _TEXT})
_LOG: dict[str, Schema] = {
    "status": {
        "enum": ["running", "succeeded", "rolled_back", "failed", "refused", "nothing_to_do", "interrupted", None]
    },
    "steps": _list(_STEP),
    "message": _TEXT,
    "log": _LINES,
    "lines": _list(_object({"seq": _WHOLE, "at": _TEXT, "level": _TEXT, "text": _TEXT})),
    "since": _WHOLE,
    "more": _FLAG,
}

_NOTES = _object({"tag": _TEXT, "version": _MAYBE, "name": _TEXT, "published_at": _MAYBE, "notes": _TEXT})
_SENTENCE = {"message": _TEXT, **_made("message")}
_OVERVIEW = _object(
    {
        "name": _TEXT,
        "path": _TEXT,
        **dict.fromkeys(("version", "tag", "commit", "latest_version", "checked_at"), _MAYBE),
        "local_changes": {"type": ["integer", "null"]},
        **dict.fromkeys(("update_available", "running", "interrupted", "paused"), _MAYBE_FLAG),
        "last_deployment": _or_null(
            _object(
                {
                    "id": _WHOLE,
                    **{key: value for key, value in _DEPLOYMENT_FACTS.items() if key not in ("steps", "error")},
                }
            )
        ),
        "health": _object(
            {"state": {"enum": ["healthy", "unhealthy", "unconfigured", "unknown", "asking"]}, **_SENTENCE}
        ),
        "limited": _or_null(_object(_SENTENCE)),
        "error": _or_null(_ERROR_INSIDE),
    }
)
_CHECKED = (
    "latest_tag", "release_name", "release_notes", "release_notes_html", "published_at", "download_url", "tarball_url",
    "zipball_url", "source", "checked_at", "commit", "warning", "error", "hint", "reason", "way",
)  # fmt: skip

_ANSWERS: dict[str, Schema] = {
    "check_update": _object(
        {
            "success": {"const": True},
            "data": _object(
                {"update_available": _FLAG, "current_version": _MAYBE, "latest_version": _MAYBE},
                {
                    **dict.fromkeys(_CHECKED, _MAYBE),
                    **dict.fromkeys(("is_newer", "is_same", "is_older", "from_cache", "held_back"), _FLAG),
                    "releases": _list(_NOTES),
                    "commits_ahead": {"type": ["integer", "null"]},
                },
            ),
        },
        {"error": _TEXT},
    ),
    "version_history": _good(
        _list(
            _object(
                {
                    "tag": _TEXT,
                    "version": _MAYBE,
                    "name": _TEXT,
                    "body": _TEXT,
                    "body_html": _TEXT,
                    "published_at": _MAYBE,
                    "html_url": _TEXT,
                    "prerelease": _FLAG,
                    "state": _TEXT,
                    "skipped": _or_null(_SKIP),
                }
            )
        )
    ),
    "backup_list": _good(
        _list(
            _object(
                {
                    "id": _TEXT,
                    "name": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
                    "path": {"type": "string", "pattern": "^[A-Za-z0-9._/-]+$"},
                    "ref": _TEXT,
                    "version": _MAYBE,
                    "tag": _MAYBE,
                    "commit": _TEXT,
                    "branch": _MAYBE,
                    "created_at": {"type": "string", "pattern": "^[0-9]{4}(-[0-9]{2}){2} [0-9]{2}(:[0-9]{2}){2}$"},
                    "created": _TEXT,
                    "size": _WHOLE,
                    "size_whole": _WHOLE,
                    "label": _TEXT,
                    "reason": _TEXT,
                    "outcome": _TEXT,
                    "holds": _LINES,
                    "encrypted": _FLAG,
                    "data_release": _or_null(_RELEASE3),
                }
            )
        )
    ),
    "config": _good(
        _object(
            {
                "update_source": _TEXT,
                "github_repo": _MAYBE,
                "yunxiao_repo": _MAYBE,
                "auto_check_enabled": _FLAG,
                "check_interval_hours": _NUMBER,
                "automatic_upgrades": _TEXT,
                "settings": _list(_object({"key": _TEXT, "value": _ANY, "origin": _TEXT})),
            }
        )
    ),
    "status": _good(
        _object(
            {
                "app": _TEXT,
                "path": _TEXT,
                "version": _MAYBE,
                "tag": _MAYBE,
                "commit": _TEXT,
                "branch": _MAYBE,
                "local_changes": _or_null(_LINES),
                "venv": _or_null(_object({"path": _TEXT, "generation": _MAYBE, "python": _MAYBE, "problem": _MAYBE})),
                "update_available": {"type": ["boolean", "null"]},
                "latest_version": _MAYBE,
                "checked_at": _MAYBE,
                "last_deployment": _or_null(_DEPLOYMENT),
                "interrupted": {"type": ["boolean", "null"]},
                "interruption": {"type": ["object", "null"]},
                "locked_by": _or_null(_HOLDER),
                "held": _or_null(_object({"who": _TEXT, "since": _TEXT, "message": _TEXT})),
                "through": {"type": ["object", "null"]},
                "second_half": {"type": ["object", "null"]},
                "skipped": _list(_SKIP),
                "limited": _MAYBE,
            }
        )
    ),
    "deployments": _good(_list(_DEPLOYMENT)),
    "upgrade_log": {
        "anyOf": [
            _object({"success": {"const": True}, "deployment": _WHOLE, **_DEPLOYMENT_FACTS, **_LOG}),
            _object({"success": {"const": True}, "deployment": {"type": "null"}, **_LOG}),
        ]
    },
    "plan": _good(_or_null(_object({"from": _RELEASE3, "to": _RELEASE3}, open_=True))),
    "document": _object({"openapi": _TEXT, "info": _ANY, "paths": _ANY}, open_=True),
    "overview": _good(_OVERVIEW),
    "healthz": _good(_object({"status": {"const": "ok"}})),
    "receive": _good(message=_TEXT),
    "delete_backup": _good(_object({"id": _TEXT})),
    "label_backup": _good(_object({"id": _TEXT, "label": _TEXT})),
    "pause": _good(_object({"held": _FLAG})),
    "resume": _good(_object({"held": _FLAG, "was_held": _FLAG})),
    "skip_release": _good(_SKIP),
    "unskip_release": _good(_object({"tag": _TEXT, "was_skipped": _FLAG})),
}
_ENDED = _object(
    {"success": _FLAG, "deployment": {"type": ["integer", "null"]}, "message": _TEXT, "log": _LINES},
    {"status": _TEXT, "error": _TEXT},
)
_BEGUN = _object({"success": {"const": True}, "deployment": _WHOLE, "message": _TEXT}, {"log": _LINES})
_STARTING = ("start_upgrade", "rehearse", "restore_backup", "rollback", "recover", "contract", "make_backup")
ERROR = _object(
    {"success": {"const": False}, "error": _TEXT, "hint": _TEXT, "kind": _TEXT},
    {**_made("error"), **_made("hint"), "translated": _object({"error": _MAYBE, "hint": _MAYBE})},
)

_POLICY: Schema = {"enum": ["refuse", "merge", "discard"]}
_WAIT: dict[str, Schema] = {"wait": {"type": "boolean", "default": True}}
_BODIES: dict[str, Schema] = {
    "start_upgrade": _object(
        {},
        {
            "tag": {"type": "string", "maxLength": 128, "examples": ["v1.2.9.1"]},
            "download_url": {"type": "string", "maxLength": 2000},
            "is_tarball": _FLAG,
            "through": _FLAG,
            "allow_downgrade": _FLAG,
            "local_changes": _POLICY,
            "rebuild_venv": _FLAG,
            "unhealthy": _FLAG,
            **_WAIT,
        },
        open_=True,
    ),
    "rehearse": _object({"tag": {"type": "string", "maxLength": 128}}, _WAIT, open_=True),
    "restore_backup": _object(
        {"backup_path": {"type": "string", "maxLength": 300}}, {"with_data": _FLAG, "yes": _FLAG, **_WAIT}, open_=True
    ),
    "rollback": _object(
        {}, {"version": {"type": "string", "maxLength": 200}, "with_data": _FLAG, "yes": _FLAG, **_WAIT}, open_=True
    ),
    "recover": _object({}, {"hooks": _FLAG, "restart": _FLAG, "health": _FLAG, **_WAIT}, open_=True),
    "contract": _object({}, {**_WAIT}, open_=True),
    "make_backup": _object({}, {"label": {"type": "string", "maxLength": 200}, **_WAIT}, open_=True),
    "delete_backup": _object({"backup": {"type": "string", "maxLength": 300}}, open_=True),
    "label_backup": _object(
        {"backup": {"type": "string", "maxLength": 300}}, {"label": {"type": "string", "maxLength": 200}}, open_=True
    ),
    "pause": _object({}, {"message": {"type": "string", "maxLength": 500}, "force": _FLAG}, open_=True),
    "skip_release": _object(
        {"tag": {"type": "string", "maxLength": 128}}, {"reason": {"type": "string", "maxLength": 300}}, open_=True
    ),
    "unskip_release": _object({"tag": {"type": "string", "maxLength": 128}}, open_=True),
    "resume": _object({}, open_=True),
    "receive": {"type": "object"},
}
_WHAT_OF_IT: dict[str, Schema] = {
    "deployment": {"type": "integer", "minimum": 1},
    "since": {"type": "integer", "minimum": 0},
    "lang": {"enum": list(LANGUAGES), "default": "en"},
}
_QUERIES: dict[str, dict[str, Schema]] = {
    "check_update": {"force": {"type": "boolean", "default": False}},
    "version_history": {"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10}},
    "deployments": {"limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}},
    "upgrade_log": _WHAT_OF_IT,
    "stream": _WHAT_OF_IT,
    "plan": {
        "tag": {"type": "string", "maxLength": 128},
        "local_changes": _POLICY,
        "backup": {"type": "string", "maxLength": 300},
        "with_data": {"enum": ["true", "false"]},
    },
}
_OTHER_TYPES = {
    "stream": "text/event-stream",
    "figures": "application/openmetrics-text",
    "show": "text/html",
    "part": "text/html",
    "form": "text/html",
}
_REFUSALS = {
    "nothing": {"400", "403", "404"},
    "login": {"400", "401", "403", "404", "429", "502", "503"},
    "change": {"400", "401", "403", "404", "409", "422", "429", "502", "503"},
}


def describe(routes: Iterable[Any], base: str) -> dict[str, Any]:
    """The description of ROUTES (see `serving.blueprint.Route`), as OpenAPI 3.1 wants it."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path.replace("<", "{").replace(">", "}")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gitdeploy",
            "version": __version__,
            "description": f"Upgrade, restore and watch one app. Every path stands behind the prefix {base}.",
        },
        "servers": [{"url": base}],
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "gitdeploy web token add NAME"},
                "session": {"type": "apiKey", "in": "cookie", "name": "gitdeploy_session"},
            },
        },
        "paths": paths,
    }


def _operation(route: Any) -> dict[str, Any]:
    name = route.endpoint
    made: dict[str, Any] = {
        "operationId": name,
        "summary": (route.view.__doc__ or "").strip().splitlines()[0],
        "responses": _responses(route),
        "security": [] if route.needs == "nothing" else [{"token": []}, {"session": []}],
    }
    parameters: list[Schema] = [
        {"name": key, "in": "query", "schema": schema} for key, schema in _QUERIES.get(name, {}).items()
    ]
    parameters += [
        {"name": part.strip("<>"), "in": "path", "required": True, "schema": _TEXT}
        for part in route.path.split("/")
        if part.startswith("<")
    ]
    if name in _STARTING:
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 200}})
    if parameters:
        made["parameters"] = parameters
    if route.method == "POST":
        body = _BODIES.get(name, {"type": "object"})
        made["requestBody"] = {"required": True, "content": {route.body: {"schema": body}}}
    return made


def _responses(route: Any) -> dict[str, Any]:
    name = route.endpoint

    def answer(about: str, schema: Schema, kind: str = "application/json") -> dict[str, Any]:
        return {"description": about, "content": {kind: {"schema": schema}}}

    responses: dict[str, Any] = {}
    if name in _STARTING:
        responses["200"] = answer("It has ended; `success` says how.", _ENDED)
        responses["202"] = answer("It has begun.", _BEGUN)
    elif name == "receive":
        responses["202"] = answer("Taken.", _ANSWERS[name])
    elif name in ("log_in", "log_out"):
        responses["303"] = {"description": "To the page, or to the form."}
    elif name in _OTHER_TYPES:
        responses["200"] = answer("The answer.", _TEXT, _OTHER_TYPES[name])
    else:
        responses["200"] = answer("The answer.", _ANSWERS[name])
    codes = set(_REFUSALS[route.needs])
    if route.method == "POST":
        codes |= {"413", "415"}
    if name in ("receive", "log_in", "figures"):
        codes |= {"401", "429"}
    for code in sorted(codes):
        responses[code] = answer(
            "Refused; `error` says why, `hint` what to do.", {"$ref": "#/components/schemas/Error"}
        )
    return responses
