"""Every key of deploy.yaml: may a release change it? Pins are written by hand here; `sources/test_policy.py` has whole releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdeploy.config import Config, load, parse
from gitdeploy.config.kinds import settings_of
from gitdeploy.config.model import SECTIONS
from gitdeploy.config.overlay import policy_of, table_of
from gitdeploy.config.pins import POLICY_VARIABLES, WHO_DECIDES, Pins, write_pins
from gitdeploy.config.reading import Judging

KEYS = [f"{name}.{key}" for name, section in SECTIONS.items() for key in settings_of(section)] + list(
    settings_of(Config)
)
# key -> (what is pinned, what the release says; what it needs beside it to be valid): a change of every setting, and for a
# floor less of it.
CHANGES: dict[str, tuple[str, str]] = {
    "app.name": ("one", "two"), "requires": ("'>=1'", "'>=2'"), "stop": ("true", "false"),
    "source.type": ("github", "gitlab"), "source.repo": ("a/b", "c/d"),
    "source.url": ("https://a.example/api", "https://b.example/api"), "source.token_env": ("A_TOKEN", "AWS_SECRET"),
    "source.tags": ("'v*'", "'*'"), "source.tag_prefix": ("a/", "b/"), "source.channel": ("stable", "prerelease"),
    "source.remote": ("origin", "https://evil.example/x.git"),
    "source.fallback": ("[{type: codeup, repo: a/b}]", "[{type: codeup, repo: a/c}]"), "source.agree": ("true", "false"),
    "git.local_changes": ("refuse", "discard"), "git.keep": ("[.env]", "[.env, deploy.yaml]"),
    "git.submodules": ("auto", "never"), "git.lfs": ("auto", "never"), "git.username": ("a", "b"),
    "git.token_env": ("A_TOKEN", "B_SECRET"), "git.verify": ("ssh", "none"),
    "git.allowed_signers": ("/etc/a", "/etc/b"), "git.fingerprints": (f"[{'0' * 40}]", f"[{'1' * 40}]"),
    "venv.path": ("venv", "other"), "venv.python": ("'3.11'", "'3.12'"), "venv.requirements": ("[a.txt]", "[b.txt]"),
    "venv.groups": ("[a]", "[b]"), "venv.extras": ("[a]", "[b]"), "venv.self": ("auto", "never"),
    "venv.constraints": ("[a.txt]", "[b.txt]"), "venv.installer": ("uv", "pip"), "venv.link_mode": ("auto", "copy"),
    "venv.exact": ("false", "true"), "venv.allow_index_options": ("false", "true"), "venv.allow_sources": ("[]", "[evil.example]"),
    "venv.python_downloads": ("false", "true"),
    "venv.pass_env": ("[]", "[AWS_KEY]"),
    "venv.extra_args": ("[]", "[--find-links, /tmp]"), "venv.env": ("{}", "{http_proxy: 'http://evil.example'}"),
    "venv.path_dirs": ("[]", "[/tmp/bin]"), "env_file": (".env", "settings.env"),
    "backup.keep": ("5", "1"), "backup.keep_replaced": ("30d", "1d"), "log.keep": ("1y", "1d"), "backup.include": ("[a, b]", "[b]"),
    "backup.ask_above": ("2 GB", "9 GB"),
    "backup.databases": ("['sqlite:///a.db']", "[]"), "backup.restore_data": ("auto", "never"),
    "backup.encrypt": (f"[{'0' * 40}]", "[]"), "backup.identity": ("/etc/a", "/etc/b"),
    "hooks.dir": ("hooks", "deploy"), "hooks.timeout": ("300", "60"),
    **{f"hooks.{stage}": ("[a]", "[b]") for stage in (
        "check", "pre-deploy", "build", "migrate", "post-deploy", "migrate-after", "pre-restore", "post-restore", "on-failure")},
    "hooks.contract": ("later", "now"), "hooks.contract_migrations": ("[shop]", "[]"),
    "service.systemd": ("a", "b"), "service.supervisor": ("a", "b"), "service.compose": ("a", "b"),
    "service.pidfile": ("a.pid", "b.pid"), "service.signal": ("HUP", "TERM"), "service.command": ("a", "b"), "service.stop": ("a", "b"), "service.start": ("a", "b"), "service.pid": ("a.pid", "b.pid"),
    "service.log": ("a.log", "b.log"), "service.import_test": ("true", "false"), "service.stop_for_switch": ("false", "true"), "service.timeout": ("60", "1"),
    "maintenance.file": ("a", "/etc/b"),
    "health.url": ("http://127.0.0.1/", "http://127.0.0.1/health"), "health.command": ("a", "b"),
    "health.tcp": ("127.0.0.1:1", "127.0.0.1:2"), "health.expect": ("200", "204"), "health.expect_body": ("a", "b"),
    "health.headers": ("{}", "{Host: a}"), "health.version": ("{json: a}", "{json: b}"),
    "health.start_period": ("0s", "1s"), "health.timeout": ("60s", "1s"), "health.interval": ("1s", "2s"),
    "health.successes": ("3", "1"), "health.soak": ("1s", "0s"),
    "check.auto": ("true", "false"), "check.interval": ("1h", "300d"), "check.upgrade": ("never", "all"),
    "check.window": ("'02:00-05:00'", "'00:00-23:00'"), "check.min_age": ("3d", "0h"), "check.rehearse": ("true", "false"),
    "rehearse.command": ("'a {port}'", "'b {port}'"), "rehearse.env": ("{A: a}", "{A: b}"), "rehearse.pass_env": ("[A]", "[A, AWS_KEY]"),
    "notify": ("['${A_URL}']", "['${B_URL}']"),
    "web.host": ("127.0.0.1", "0.0.0.0"), "web.port": ("15001", "80"), "web.hosts": ("[]", "[evil.example]"),
    "web.trusted_proxies": ("[]", "['0.0.0.0/0']"), "web.metrics": ("token", "public"),
}  # fmt: skip
BESIDE = {
    "source.agree": "source: {fallback: [{type: codeup, repo: a/b}], @}",
    "git.verify": "git: {allowed_signers: /etc/a, @}",
    "git.allowed_signers": "git: {verify: ssh, @}",
    "git.fingerprints": "git: {verify: gpg, @}",
    "service.signal": "service: {pidfile: a.pid, @}",
    **{f"service.{name}": "service: {command: a, @}" for name in ("log", "stop", "start", "pid")},
    "service.stop_for_switch": "service: {systemd: a, @}",
    **{f"health.{name}": "health: {url: 'http://127.0.0.1/', @}" for name in ("expect_body", "headers", "version")},
}


def said(key: str, value: str) -> bytes:
    """A deploy.yaml with VALUE for KEY."""
    section, _, name = key.rpartition(".")
    if not section:
        return f"{name}: {value}\n".encode()
    text = BESIDE.get(key, f"{section}: {{@}}").replace("@", f"{name}: {value}")
    if key == "git.verify" and value == "none":
        text = "git: {verify: none}"
    return text.encode()


def pin(root: Path, raw: bytes) -> None:
    (root / ".gitdeploy").mkdir(exist_ok=True)
    write_pins(root, Pins(keys=policy_of(table_of(raw))))


def value_of(config: Config, key: str) -> object:
    return {each: value for each, value, _ in config.effective()}[key]


def test_every_key_is_decided() -> None:
    """A new setting: whose is it? One row in `WHO_DECIDES`, one here."""
    assert set(WHO_DECIDES) == set(KEYS)
    assert set(CHANGES) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_may_a_release_change_it(tmp_path: Path, key: str) -> None:
    before, after = (said(key, value) for value in CHANGES[key])
    pin(tmp_path, before)
    old, new = (value_of(parse(raw, root=tmp_path / "none"), key) for raw in (before, after))
    assert old != new
    config = parse(after, root=tmp_path)
    if WHO_DECIDES[key] == "release":
        assert (config.overruled, value_of(config, key)) == ((), new)
        return
    assert value_of(config, key) == old, "the pinned one is in force"
    assert key in {change.key for change in config.overruled}
    origin = next(origin for each, _, origin in config.effective() if each == key)
    assert origin.startswith("pinned on this server; deploy.yaml")
    accepted = parse(after, root=tmp_path, accept=[change.key for change in config.overruled])
    assert (accepted.overruled, value_of(accepted, key)) == ((), new)
    if WHO_DECIDES[key] == "floor":  # more than what is pinned is the release's to ask for
        pin(tmp_path, after)
        more = parse(before, root=tmp_path)
        assert (more.overruled, value_of(more, key)) == ((), old)


def test_a_default_that_is_written_down_is_no_change(tmp_path: Path) -> None:
    pin(tmp_path, b"")
    raw = b"git: {verify: none, keep: [.env]}\ncheck: {interval: 24h}\nbackup: {keep: 5}\nenv_file: .env\nweb: {port: 15001}\n"
    assert parse(raw, root=tmp_path).changes == ()


def test_signatures_stay_wanted_whoever_wrote_the_file(tmp_path: Path) -> None:
    pin(tmp_path, said("git.verify", "ssh"))
    (tmp_path / "deploy.yaml").write_text("git: {verify: none}\nweb: {port: 80}\n")
    ours = Judging(lambda *_: False, lambda *_: False)
    config = load(tmp_path, None, ours)
    assert (config.git.verify, config.git.allowed_signers) == ("ssh", "/etc/a")
    assert config.web.port == 80, "what else was changed by hand is in force"
    assert load(tmp_path, None, Judging(ours.file, ours.env, ["git.verify"])).git.verify == "none"


def test_accepting_another_kind_of_signature_accepts_whose_counts(tmp_path: Path) -> None:
    pin(tmp_path, said("git.verify", "ssh"))
    for text in (b"git: {verify: none}", f"git: {{verify: gpg, fingerprints: [{'0' * 40}]}}".encode()):
        assert {change.key for change in parse(text, root=tmp_path).overruled} >= {"git.verify", "git.allowed_signers"}
        assert parse(text, root=tmp_path, accept=["git.verify"]).overruled == ()


@pytest.mark.parametrize("name", POLICY_VARIABLES)
def test_a_tracked_env_file_moves_the_source_nowhere(tmp_path: Path, name: str) -> None:
    pin(tmp_path, b"")
    (tmp_path / ".env").write_text("A=1\n")
    value = "gitlab" if name == "APP_UPDATE_SOURCE" else "evil/repository"
    brought = f"{name}={value}\n".encode()
    config = parse(b"", root=tmp_path, env=brought)
    assert [(change.key, change.overruled) for change in config.changes] == [(name, True)]
    assert (config.source.type, config.source.repo) == (None, None)
    assert parse(b"", root=tmp_path, env=brought, accept=[name]).source.type is not None
