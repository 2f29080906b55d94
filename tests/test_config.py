"""deploy.yaml, .env and the environment: what is read, who wins, and what a mistake is answered with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitdeploy import config as configuration
from gitdeploy.config import Config, parsing, schema
from gitdeploy.config.kinds import settings_of
from gitdeploy.config.model import SECTIONS
from gitdeploy.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[1] / "deploy.yaml.example"
PACKAGES = EXAMPLE.parent / "docs" / "packages.md"


def read(tmp_path: Path, text: str | bytes = "", env: str | None = None) -> Config:
    raw = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "deploy.yaml").write_bytes(raw)
    if env is not None:
        (tmp_path / ".env").write_text(env)
    return configuration.load(tmp_path)


def refusal(tmp_path: Path, text: str | bytes, env: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, env)
    assert caught.value.exit_code == 2
    return "\n".join((caught.value.message, *caught.value.details))


# ---- what is read ----


def test_a_checkout_without_deploy_yaml_works_from_what_is_found(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/pyvenv.cfg").write_text("")
    config = configuration.load(tmp_path)
    assert config.app.name == tmp_path.name
    assert config.venv.path == ".venv"
    assert config.venv.requirements == ("requirements.txt",)
    assert config.git.keep == (".env",)
    assert config.where["venv.path"] == "found: .venv/"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("24h", 86400), ("1d", 86400), ("500ms", 0.5), ("1.5h", 5400)],
)
def test_durations(tmp_path: Path, text: str, seconds: float) -> None:
    assert (
        read(tmp_path, f"check: {{interval: 24h}}\nhealth: {{url: http://127.0.0.1/, soak: {text}}}\n").health.soak
        == seconds
    )


def test_a_path_that_is_left_empty_says_that_the_app_has_no_venv(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    assert read(tmp_path, "venv:\n  path:\n").venv.path is None
    assert read(tmp_path, "env_file:\n").env_file is None


def test_texts_stay_as_they_are_written(tmp_path: Path) -> None:
    """What YAML makes numbers, dates and truths of stays text where text is meant."""
    for written in ("1.10", "010", "0123456", "1_000", "22:22", "2026-01-01", "NO", "on", "0x1F", "1e3"):
        assert read(tmp_path, f"app: {{name: {written}}}\n").app.name == written


# ---- the example ----


def test_the_example_loads(tmp_path: Path) -> None:
    config = read(tmp_path, EXAMPLE.read_bytes())
    assert config.app.name


def test_the_example_names_every_key(tmp_path: Path) -> None:
    """As a line of its own, or as a commented one."""
    text = EXAMPLE.read_text()
    missing = []
    for name in Config.__struct_fields__:
        keys = list(settings_of(SECTIONS[name])) if name in SECTIONS else []
        if name not in SECTIONS and name not in settings_of(Config):
            continue
        start = text.index(f"\n{name}:")
        nxt = text.find("\n# ----", start)
        block = text[start : nxt if nxt > 0 else None]
        missing += [f"{name}.{key}" for key in keys if f"{key}:" not in block]
    assert missing == []


def test_the_schema_knows_every_key_and_no_other() -> None:
    made = schema()
    assert made["additionalProperties"] is False
    for name, section in SECTIONS.items():
        assert set(made["properties"][name]["properties"]) == set(settings_of(section))
        assert made["properties"][name]["additionalProperties"] is False
    json.dumps(made)


def test_every_default_of_the_schema_can_be_written_into_the_file(tmp_path: Path) -> None:
    for name, section in SECTIONS.items():
        for key, described in schema()["properties"][name]["properties"].items():
            assert described.get("description"), f"{name}.{key}"
            if described.get("default") not in (None, "", []):
                read(tmp_path, json.dumps({name: {key: described["default"]}, **_needed(name, key)}))
        assert settings_of(section)


@pytest.mark.parametrize(
    ("text", "size", "word"),
    [
        ("2 GB", 2 * 10**9, "2 GB"), ("2gb", 2 * 10**9, "2 GB"), ("1.5 GB", 15 * 10**8, "1500 MB"),
        ("3 GiB", 3 * 2**30, "3 GiB"), ("1000 TB", 10**15, "1000 TB"), ("1234567 B", 1_234_567, "1234567 B"),
    ],
)  # fmt: skip
def test_a_size_has_a_unit_and_is_shown_as_it_is_read(tmp_path: Path, text: str, size: int, word: str) -> None:
    config = read(tmp_path, f"backup: {{ask_above: {text}}}\n")
    shown = {key: value for key, value, _ in config.effective()}["backup.ask_above"]
    assert (config.backup.ask_above, shown) == (size, word)
    schema = settings_of(SECTIONS["backup"])["ask_above"].kind.schema()
    assert all(re.search(schema["pattern"], each) for each in (text, word))


def _needed(name: str, key: str) -> dict[str, Any]:
    return {"health": {"url": "http://127.0.0.1/"}} if name == "health" and key != "url" else {}


# ---- mistakes ----


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("servise: {systemd: x}\n", "deploy.yaml line 1: `servise` is not known. Did you mean `service`?"),
        ("\nhealth:\n  urls: http://x\n", "deploy.yaml line 3: `health.urls` is not known. Did you mean `health.url`?"),
        ("git:\n  local-changes: merge\n", "Did you mean `git.local_changes`?"),
        ("keep: [.env]\n", "Did you mean `git.keep` or `backup.keep` or `log.keep`?"),
        ("health: {timeout: soon}\n", "line 1: `health.timeout` must be"),
        ("backup: {keep: 0}\n", "`backup.keep` must be a whole number from 1 to 10000; found `0`."),
        ("backup: {keep: 1.5}\n", "`backup.keep` must be a whole number"),
        ("backup: {keep: 1_000}\n", "`backup.keep` must be a whole number"),
        ("backup: {keep: 010}\n", "`backup.keep` must be a whole number"),
        (f"backup: {{keep: {'9' * 5000}}}\n", "`backup.keep` must be a whole number"),
        ("backup: {ask_above: 2}\n", "`backup.ask_above` must be a size such as 500 MB, 2 GB or 2 GiB (from 1 MB to 1000 TB); found `2`, which has no unit."),
        ("backup: {ask_above: 2 EB}\n", "`backup.ask_above` must be a size"),
        ("backup: {ask_above: 10 kB}\n", "`backup.ask_above` must be a size"),
        ("check: {auto: on}\n", "`check.auto` must be true or false; found `on`."),
        ("check: {auto: 'true'}\n", "`check.auto` must be true or false"),
        ("venv: {exact: NO}\n", "`venv.exact` must be true or false"),
        ("git: {keep: /etc/passwd}\n", "`git.keep`"),
        ("git: {keep: [../x]}\n", "leaves it"),
        ("git: {keep: [.git/config]}\n", "belongs to git"),
        ("git: {keep: ['*']}\n", "would keep everything"),
        ("source: {type: svn}\n", "one of github, codeup, gitlab, gitee, gitea, git"),
        ("source: {repo: ../../admin}\n", "`source.repo`"),
        ("source: {remote: --upload-pack=x}\n", "`source.remote`"),
        ("source: {remote: 'ext::sh -c x'}\n", "`source.remote`"),
        ("source: {token_env: ghp_abcdefghijklmnopqrstuvwxyz0123456789}\n", "looks like a token itself"),
        ("service: {command: a, stop_for_switch: true}\n", "or `command` with `stop`"),
        ("service: {systemd: a, stop: b}\n", "what starts it again?"),
        ("service: {start: a}\n", "a restart is more than a start"),
        ("service: {systemd: a, pid: run/pid}\n", "needs `service.command` or `service.start`"),
        ("service: {systemd: a, log: run/log}\n", "`service.log` is for `service.pidfile` and `service.command`"),
        ("service: {command: a, log: ../../log}\n", "service.log"),
        ("git: {verify: ssh}\n", "needs `git.allowed_signers`"),
        ("backup: {databases: ['postgresql://u:geheim@h/d']}\n", "must not hold a password"),
        ("app: [x]\n", "`app` must be a mapping"),
        ("- x\n", "The file must be a mapping of settings; found a list."),
        ("x\n", "The file must be a mapping of settings; found a value."),
        ("app: {name: a}\napp: {name: b}\n", "line 2"),
        ("app: {name: a, name: b}\n", "line 1"),
        ("app: &a {name: x}\n", "line 1"),
        ("app: {name: &a x}\ncheck: {window: *a}\n", "alias"),
        ("app: {<<: {name: x}}\n", "The merge key `<<` is not read"),
        ("app: {name: !!python/object:os.system x}\n", "line 1"),
        ("app: {name: x}\n---\napp: {name: y}\n", "A second document begins here"),
        ("app:\n\tname: x\n", "deploy.yaml line 2: This is not valid YAML"),
        ("app: {name: 'x}\n", "This is not valid YAML"),
        (b"app: {name: caf\xe9}\n", "deploy.yaml line 1: The file must be UTF-8"),
        (b"app: {name: a\0b}\n", "control character"),
        ('app: {name: "\\x1b[31m"}\n', "without control characters"),
        ("a: " + "[" * 100 + "]" * 100 + "\n", "More than 20 lists and mappings within each other"),
        ("#" * 70_000, "more than 64 KB"),
        ("web: {port: 99999}\n", "`web.port`"),
        ("check: {window: '25:00-05:00'}\n", "`check.window`"),
        ("health: {tcp: nowhere}\n", "HOST:PORT"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_key(tmp_path: Path, text: str | bytes, says: str) -> None:
    said = refusal(tmp_path, text)
    assert says in said
    assert "\x1b" not in said
    assert "geheim" not in said


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, "servise: x\nbackup: {keep: many}\nhealth: {urll: y}\n")
    assert "3 problems" in said
    for line in ("line 1", "line 2", "line 3"):
        assert line in said


@pytest.mark.parametrize("kind", ["symlink", "pipe", "folder"])
def test_deploy_yaml_must_be_a_plain_file(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "deploy.yaml"
    if kind == "symlink":
        file.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(ConfigError) as caught:
        configuration.load(tmp_path)
    assert "root:" not in caught.value.message


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        configuration.load(tmp_path, tmp_path / "other.yaml")


# ---- who wins ----


def test_environment_before_env_before_deploy_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = "source: {type: github, repo: a/yaml}\ncheck: {interval: 1h}\n"
    assert read(tmp_path, yaml).source.repo == "a/yaml"
    config = read(tmp_path, yaml, "APP_UPDATE_REPO=a/env\nAPP_UPDATE_CHECK_INTERVAL=12\n")
    assert (config.source.repo, config.check.interval) == ("a/env", 12 * 3600)
    assert config.where["source.repo"] == ".env line 1"
    monkeypatch.setenv("APP_UPDATE_REPO", "a/environment")
    config = read(tmp_path, yaml, "APP_UPDATE_REPO=a/env\n")
    assert config.source.repo == "a/environment"
    assert config.where["source.repo"] == "environment APP_UPDATE_REPO"


def test_yunxiao_is_codeup(tmp_path: Path) -> None:
    env = "APP_UPDATE_SOURCE=yunxiao\nAPP_UPDATE_YUNXIAO_REPO=org/group/app\nAPP_UPDATE_YUNXIAO_TOKEN=pt-secret\n"
    config = read(tmp_path, "source: {type: github, repo: a/b}\n", env)
    assert (config.source.type, config.source.repo) == ("codeup", "org/group/app")
    assert config.token(config.source) == "pt-secret"


ORG = "68720966aa7bbf6cb884753e"
NAMES = f"APP_UPDATE_REPO=acme/shop\nAPP_UPDATE_YUNXIAO_REPO={ORG}/acme/shop\n"
AT_GITHUB = "source: {type: github, repo: acme/hub, remote: hub, token_env: HUB_TOKEN}\n"
BOTH = f"""source:
  type: github
  repo: acme/hub
  url: https://hub.test/api/v3
  tags: "v*"
  fallback: [{{type: codeup, repo: {ORG}/a/b, remote: mirror, token_env: UP_TOKEN}}, {{type: gitee, repo: a/b}}]
"""


@pytest.mark.parametrize(
    ("yaml", "env", "wanted"),
    [
        # (type, repo, url, remote, token_env) of the source, and of its fallbacks
        ("", "APP_UPDATE_SOURCE=yunxiao\n", [("codeup", f"{ORG}/acme/shop", None, "origin", None)]),
        ("", "APP_UPDATE_SOURCE=github\n", [("github", "acme/shop", None, "origin", None)]),
        (
            AT_GITHUB,
            "APP_UPDATE_SOURCE=yunxiao\n",
            [("codeup", f"{ORG}/acme/shop", None, f"https://codeup.aliyun.com/{ORG}/acme/shop.git", None)],
        ),
        (AT_GITHUB, "APP_UPDATE_SOURCE=github\n", [("github", "acme/shop", None, "hub", "HUB_TOKEN")]),
        (
            BOTH,
            "APP_UPDATE_SOURCE=Yunxiao\n",
            [("codeup", f"{ORG}/acme/shop", None, "mirror", "UP_TOKEN"), ("gitee", "a/b", None, "origin", None)],
        ),
        (
            "",
            "APP_UPDATE_SOURCE=both\n",
            [("github", "acme/shop", None, "origin", None), ("codeup", f"{ORG}/acme/shop", None, "origin", None)],
        ),
        (
            BOTH,
            "APP_UPDATE_SOURCE=both\n",
            [
                ("github", "acme/shop", "https://hub.test/api/v3", "origin", None),
                ("codeup", f"{ORG}/acme/shop", None, "mirror", "UP_TOKEN"),
                ("gitee", "a/b", None, "origin", None),
            ],
        ),
        (
            f"source: {{type: codeup, repo: {ORG}/a/b, remote: up, token_env: UP_TOKEN}}\n",
            "APP_UPDATE_SOURCE=both\n",
            [
                ("github", "acme/shop", None, "https://github.com/acme/shop.git", None),
                ("codeup", f"{ORG}/acme/shop", None, "up", "UP_TOKEN"),
            ],
        ),
    ],
)
def test_app_update_source_moves_the_whole_source(
    tmp_path: Path, yaml: str, env: str, wanted: list[tuple[str | None, ...]]
) -> None:
    source = read(tmp_path, yaml, NAMES + env).source
    found = [(s.type, s.repo, s.url, s.remote, s.token_env) for s in (source, *source.fallback)]
    assert found == wanted
    assert source.tags == ("v*" if "v*" in yaml else "*")


def test_both_without_a_repository_at_codeup_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "", "APP_UPDATE_SOURCE=both\nAPP_UPDATE_REPO=acme/shop\n")
    assert "APP_UPDATE_SOURCE in .env line 1 is both, GitHub and Codeup" in caught.value.message
    assert "APP_UPDATE_YUNXIAO_REPO" in caught.value.hint
    read(tmp_path, "", f"APP_UPDATE_SOURCE=both\nAPP_UPDATE_YUNXIAO_REPO={ORG}/a/b\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("APP_UPDATE_SOURCE=svn", "APP_UPDATE_SOURCE in .env line 1 must be github, yunxiao or both"),
        ("APP_UPDATE_CHECK_INTERVAL=daily", "a number of hours"),
        ("APP_UPDATE_AUTO_CHECK=perhaps", "true or false"),
        ("APP_UPDATE_REPO=../x", "a repository"),
    ],
)
def test_a_wrong_variable_is_named_with_its_place(tmp_path: Path, line: str, says: str) -> None:
    assert says in refusal(tmp_path, "", line + "\n")


def test_automatic_checks_are_switched_off_by_variable(tmp_path: Path) -> None:
    assert read(tmp_path, "").check.auto is True
    assert read(tmp_path, "", "APP_UPDATE_AUTO_CHECK=false\n").check.auto is False


# ---- secrets ----


def test_shown_settings_have_no_secrets(tmp_path: Path) -> None:
    yaml = (
        "source: {type: github, repo: a/b, token_env: MY_TOKEN}\n"
        "health: {url: http://127.0.0.1/, headers: {Authorization: Bearer geheim-123, Accept: text/html}}\n"
        "notify: ['mailto://user:geheim-456@example.com']\n"
    )
    config = read(tmp_path, yaml, "MY_TOKEN=geheim-789\n")
    assert config.token(config.source) == "geheim-789"
    shown = json.dumps([row[1] for row in config.effective()])
    assert "geheim" not in shown
    assert "text/html" in shown
    assert "MY_TOKEN" in shown


def test_a_token_with_a_line_break_is_refused(tmp_path: Path) -> None:
    config = read(tmp_path, "source: {type: github, token_env: MY_TOKEN}\n", 'MY_TOKEN="abcd\nefgh"\n')
    with pytest.raises(ConfigError) as caught:
        config.token(config.source)
    assert "MY_TOKEN" in caught.value.message
    assert "abcd" not in caught.value.message


def test_a_variable_that_notify_needs_is_not_set(tmp_path: Path) -> None:
    config = read(tmp_path, "notify: ['${DINGTALK_URL}']\n")
    with pytest.raises(ConfigError, match="DINGTALK_URL"):
        config.expand("${DINGTALK_URL}")


# ---- what was read before ----


def test_a_file_that_was_read_before_is_not_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".gitdeploy" / "cache").mkdir(parents=True)
    first = read(tmp_path, EXAMPLE.read_bytes())
    monkeypatch.setattr(parsing, "read_document", pytest.fail)
    assert configuration.load(tmp_path) == first


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\xc1" * 64, lambda data: data + b"\0"],
)
def test_a_damaged_memory_of_it_does_no_harm(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / ".gitdeploy" / "cache").mkdir(parents=True)
    first = read(tmp_path, "app: {name: shop}\nhealth: {timeout: 5s}\n")
    (kept,) = (tmp_path / ".gitdeploy" / "cache").iterdir()
    kept.write_bytes(damage(kept.read_bytes()))
    assert configuration.load(tmp_path) == first


def test_an_edited_file_is_read_anew_even_with_its_old_time(tmp_path: Path) -> None:
    (tmp_path / ".gitdeploy" / "cache").mkdir(parents=True)
    assert read(tmp_path, "app: {name: one}\n").app.name == "one"
    times = os.stat(tmp_path / "deploy.yaml")
    (tmp_path / "deploy.yaml").write_text("app: {name: two}\n")
    os.utime(tmp_path / "deploy.yaml", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert configuration.load(tmp_path).app.name == "two"


def test_a_memory_that_leads_elsewhere_is_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / ".gitdeploy" / "cache").mkdir(parents=True)
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".gitdeploy" / "cache" / "deploy.yaml.read").symlink_to(other)
    assert read(tmp_path, "app: {name: one}\n").app.name == "one"
    assert other.read_text() == "mine"


def test_without_a_state_directory_nothing_is_written(tmp_path: Path) -> None:
    read(tmp_path, "app: {name: one}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deploy.yaml"]


def test_a_file_that_is_refused_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / ".gitdeploy" / "cache").mkdir(parents=True)
    refusal(tmp_path, "source: {token: ghp_012345678901234567890123456789012345}\n")
    assert list((tmp_path / ".gitdeploy" / "cache").iterdir()) == []


def test_every_example_of_the_docs_about_packages_can_be_read(tmp_path: Path) -> None:
    found = [block.partition("```")[0] for block in PACKAGES.read_text().split("```yaml\n")[1:]]
    assert len(found) >= 12
    for text in found:
        configuration.parse(text.encode(), root=tmp_path)
