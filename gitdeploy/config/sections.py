"""The sections of deploy.yaml, each a frozen record. This is the one declaration: the reader, the errors, `config
show`, the JSON Schema and the reference are made from it. All times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitdeploy.config import checks
from gitdeploy.config.hosts import SOURCE_GROUP, SOURCE_TYPES
from gitdeploy.config.kinds import Choice, Duration, Flag, Group, ListOf, Number, Section, Text, Texts, setting
from gitdeploy.config.size import Size
from gitdeploy.config.window import Window, WindowKind
from gitdeploy.messages import LANGUAGES

DAY = 86400.0

_PATH = Text("a path inside the checkout", checks.inside)
_COMMANDS = ListOf(Text("a shell command", checks.command))
_VARIABLE = Text("the name of an environment variable", checks.variable_name)


class AppConfig(Section, frozen=True):
    name: str = setting(Text("a name"), "", "What the app is called in messages. Default: the checkout's folder name.")


class SourceConfig(Section, frozen=True):
    """Where releases are announced. `type` and `repo` are None where they are to be read from the git remote."""

    type: str | None = setting(
        Choice(SOURCE_TYPES, MappingProxyType({"yunxiao": "codeup"}), installed=SOURCE_GROUP),
        None,
        "The kind of host that announces releases, or one that an installed package brings (entry point group "
        "gitdeploy.sources). Default: read from the git remote's URL.",
    )
    repo: str | None = setting(
        Text("the repository as its host names it", checks.repository),
        None,
        "The repository on that host: owner/name; at Codeup organization/group/name. Default: from the remote's URL.",
    )
    url: str | None = setting(
        Text("a URL", checks.base_url),
        None,
        "The API's base address of a private host, such as https://git.example.com/api/v4.",
    )
    token_env: str | None = setting(
        _VARIABLE,
        None,
        "The environment (or .env) variable that holds the token, never the token itself. "
        "Default: APP_UPDATE_GITHUB_TOKEN for github, APP_UPDATE_YUNXIAO_TOKEN for codeup.",
    )
    tags: str = setting(
        Text("a pattern of tag names", checks.glob), "*", "Only tags that match this pattern are releases."
    )
    tag_prefix: str = setting(
        Text("what stands before the version in a tag", checks.tag_prefix),
        "",
        "What stands before the version in a tag, such as release/ in release/v1.2.5.",
    )
    channel: str = setting(
        Choice(("stable", "prerelease")),
        "stable",
        "stable: only finished releases; prerelease: release candidates and betas too.",
    )
    remote: str = setting(
        Text("a git remote's name or a URL", checks.remote),
        "origin",
        "The git remote (or a URL) that a release's objects are fetched from.",
    )
    fallback: tuple[SourceConfig, ...] = setting(
        ListOf(Group(lambda: SourceConfig, only=("type", "repo", "url", "token_env", "remote")), most=10),
        (),
        "Other sources, tried in order when the first can't be reached; tags, tag_prefix and channel are the main one's.",
    )
    agree: bool = setting(
        Flag(), False, "true: a fallback must name the same commit for the tag before it is believed."
    )


class GitConfig(Section, frozen=True):
    local_changes: str = setting(
        Choice(("refuse", "merge", "discard")),
        "refuse",
        "What an upgrade does when tracked files were changed by hand: refuse and name them, merge them into the "
        "release, or discard them (they stay in the backup).",
    )
    keep: tuple[str, ...] = setting(
        ListOf(Text("a path or pattern inside the checkout", checks.keep)),
        (".env",),
        "Paths and patterns whose local content always survives. A list here replaces the default: name .env again.",
    )
    submodules: str = setting(
        Choice(("auto", "always", "never"), MappingProxyType({"true": "always", "false": "never"})),
        "auto",
        "auto: those that are initialised here, and new ones; always: every one of a release; never: left alone.",
    )
    lfs: str = setting(
        Choice(("auto", "always", "never"), MappingProxyType({"true": "always", "false": "never"})),
        "auto",
        "Git LFS files. auto: where git-lfs is installed; always: fails without it; never: pointers stay pointers.",
    )
    username: str | None = setting(Text("a user name"), None, "git's user name where it differs from the source's.")
    token_env: str | None = setting(
        _VARIABLE, None, "The variable that holds git's password or token where it differs from the source's."
    )
    verify: str = setting(
        Choice(("none", "ssh", "gpg")),
        "none",
        "Whether a release's tag must be signed, and how. ssh needs allowed_signers.",
    )
    allowed_signers: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "File of the SSH keys whose signatures count (ssh-keygen(1), ALLOWED SIGNERS).",
    )
    fingerprints: tuple[str, ...] = setting(
        ListOf(Text("a key's fingerprint", checks.key_fingerprint)),
        (),
        "Fingerprints of the OpenPGP keys whose signatures count, for `verify: gpg`. "
        "Default: the key that signed the live release.",
    )


class DatabaseConfig(Section, frozen=True):
    """One database: its `url` (without password), or `env`, the variable that holds the URL. One of them is set."""

    url: str | None = setting(
        Text("a database URL", checks.database_url), None, "URL of the database, without a password."
    )
    env: str | None = setting(_VARIABLE, None, "The variable that holds the database's URL.")


def _one_database(made: DatabaseConfig) -> str | None:
    return None if (made.url is None) != (made.env is None) else "must have either `url` or `env`."


class BackupConfig(Section, frozen=True):
    keep: int = setting(Number(1, 10_000), 5, "So many of the newest backups are kept; labelled ones always.")
    keep_replaced: float = setting(
        Duration(0, 3660 * DAY, unit_needed=True),
        30 * DAY,
        "Backups that hold the only copy of data which went back with a release are kept for so long, whatever `keep` says.",
    )
    include: tuple[str, ...] = setting(ListOf(_PATH), (), "More paths that are copied into each backup.")
    ask_above: int = setting(
        Size(10**6, 10**15),
        2 * 10**9,
        "Where a backup would copy more of `include` and keep paths anew than this, `plan` warns, and an upgrade at a "
        "terminal asks first; an unattended one goes on, with a warning in the log.",
    )
    databases: tuple[DatabaseConfig, ...] = setting(
        ListOf(Group(lambda: DatabaseConfig, short="url", check=_one_database)),
        (),
        "Databases that are dumped into each backup: sqlite:///instance/app.db, postgresql://..., mysql://..., "
        "or {env: DATABASE_URL}.",
    )
    restore_data: str = setting(
        Choice(("auto", "never", "always")),
        "auto",
        "What an automatic roll-back does with dumps and `include`. auto: back where the schema or a file changed since.",
    )
    encrypt: tuple[str, ...] = setting(
        ListOf(Text("a recipient of age or gpg", checks.recipient)),
        (),
        "For whom the files in backups are encrypted: age recipients (age1..., an SSH public key), or fingerprints of "
        "OpenPGP keys for gpg. Default: nobody, and they are plain.",
    )
    identity: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "File with the age identity that decrypts them for `--with-data`, where `--identity` names none.",
    )


class HooksConfig(Section, frozen=True):
    dir: str | None = setting(
        _PATH,
        None,
        "Folder of executables named after the stages: hooks/<stage>, hooks/<stage>.d/*. Default: none, and none is run.",
        empty_is_none=True,
    )
    timeout: float = setting(Duration(1, 7 * DAY), 300.0, "A hook that runs longer is ended with all that it started.")
    check: tuple[str, ...] = setting(
        _COMMANDS,
        (),
        "Commands in a copy with the new code and venv, beside the live app; one that fails ends the upgrade.",
    )
    pre_deploy: tuple[str, ...] = setting(
        _COMMANDS, (), "Commands before the switch; the old code is live.", key="pre-deploy"
    )
    build: tuple[str, ...] = setting(
        _COMMANDS, (), "Commands whenever other code goes live, in a rollback too: collectstatic, assets."
    )
    migrate: tuple[str, ...] = setting(_COMMANDS, (), "Commands that change the database for the new code.")
    post_deploy: tuple[str, ...] = setting(
        _COMMANDS, (), "Commands after the health check; one that fails rolls back.", key="post-deploy"
    )
    migrate_after: tuple[str, ...] = setting(
        _COMMANDS,
        (),
        "The second half of the migrations: commands that only the new code can live with, once the release is final.",
        key="migrate-after",
    )
    contract: str = setting(
        Choice(("now", "later")),
        "now",
        "When migrate-after runs. now: at the end of the upgrade; later: by `gitdeploy contract`, or before the next upgrade.",
    )
    contract_migrations: tuple[str, ...] = setting(
        ListOf(Text("a Django app, or one of its migrations", checks.migration)),
        (),
        "Django migrations of the second half, as app or app.0004_name, beside those that say `contract = True`.",
    )
    pre_restore: tuple[str, ...] = setting(_COMMANDS, (), "Commands before a restore switches.", key="pre-restore")
    post_restore: tuple[str, ...] = setting(_COMMANDS, (), "Commands after a restore.", key="post-restore")
    on_failure: tuple[str, ...] = setting(_COMMANDS, (), "Commands after a failed deployment.", key="on-failure")

    def commands(self, stage: str) -> tuple[str, ...]:
        """The commands of STAGE, named as in the file (`pre-deploy`)."""
        commands: tuple[str, ...] = getattr(self, stage.replace("-", "_"))
        return commands


SERVICE_KINDS = ("systemd", "supervisor", "compose", "pidfile", "command")


class ServiceConfig(Section, frozen=True):
    """How the app is restarted: by each of `SERVICE_KINDS` that is set, in that order."""

    systemd: tuple[str, ...] = setting(
        ListOf(Text("a systemd unit", checks.unit)), (), "systemd unit, or a list of them, in the order of restart."
    )
    supervisor: str | None = setting(Text("a name", checks.program), None, "supervisor program or group.")
    compose: str | None = setting(Text("a name", checks.program), None, "Docker Compose service.")
    pidfile: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "File with the process id of a plain process, which gets `signal`.",
    )
    signal: str | None = setting(
        Choice(
            ("HUP", "USR1", "USR2", "TERM", "INT", "QUIT"),
            MappingProxyType({f"SIG{n}": n for n in ("HUP", "USR1", "USR2", "TERM", "INT", "QUIT")}),
        ),
        None,
        "The signal for `pidfile`. Default there: HUP.",
    )
    command: str | None = setting(Text("a shell command", checks.command), None, "A command that restarts the app.")
    stop: str | None = setting(
        Text("a shell command", checks.command), None, "A command that stops what `command` restarts."
    )
    start: str | None = setting(
        Text("a shell command", checks.command),
        None,
        "A command that starts it. Default: `command`. Without `command`, a restart is `stop` and `start`.",
    )
    pid: str | None = setting(
        Text("a path", checks.inside_or_absolute), None, "File with the process id of what `command` or `start` starts."
    )
    log: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "The file that the app writes its log to, for `pidfile` and `command`: its last lines are shown when it is unhealthy.",
    )
    import_test: bool = setting(
        Flag(), True, "Whether what the service starts is loaded once, beside the live app, before it goes live."
    )
    stop_for_switch: bool = setting(
        Flag(),
        False,
        "true: stopped from before the switch (with build hooks: from after them) until after the migration.",
    )
    timeout: float = setting(Duration(1, DAY), 60.0, "How long stopping and starting may take.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Those of `SERVICE_KINDS` that are set, in the order of restart; empty: nothing is restarted."""
        return tuple(
            kind for kind in SERVICE_KINDS if getattr(self, kind) or (kind == "command" and self.start is not None)
        )


class MaintenanceConfig(Section, frozen=True):
    file: str | None = setting(
        Text("a path", checks.inside_or_absolute),
        None,
        "This file exists while a deployment is between switch and health.",
    )


class HealthVersion(Section, frozen=True):
    """Where the app says its version: a field of the JSON answer (dots lead inwards) or a header. One is set."""

    json: str | None = setting(
        Text("a field of the JSON answer", checks.json_path),
        None,
        "Field of the JSON answer, such as version or app.version.",
    )
    header: str | None = setting(
        Text("an HTTP header", checks.header_name), None, "Header of the answer, such as X-App-Version."
    )


def _one_version_place(made: HealthVersion) -> str | None:
    return None if (made.json is None) != (made.header is None) else "must have either `json` or `header`."


class HealthConfig(Section, frozen=True):
    """How to see that the app is well. All of `url`, `tcp` and `command` that are given must hold."""

    url: tuple[str, ...] = setting(
        ListOf(Text("a URL", checks.web_url)), (), "Address that must answer, or a list of them."
    )
    command: str | None = setting(Text("a shell command", checks.command), None, "A command that must exit with 0.")
    tcp: tuple[str, ...] = setting(
        ListOf(Text("HOST:PORT", checks.tcp_address)), (), "HOST:PORT that must accept a connection, or a list of them."
    )
    expect: int = setting(Number(100, 599), 200, "The HTTP status that counts as well.")
    expect_body: str | None = setting(Text("text", lines=True), None, "Text that the answer must contain.")
    headers: Mapping[str, str] = setting(
        Texts("a mapping of header names to texts", checks.header, checks.mask_header),
        MappingProxyType({}),
        "Headers that are sent with the request.",
    )
    version: HealthVersion | None = setting(
        Group(lambda: HealthVersion, check=_one_version_place),
        None,
        "Where the app says its version, {json: version} or {header: X-App-Version}; it must be the release's.",
    )
    start_period: float = setting(Duration(0, DAY), 0.0, "Time after the restart in which nothing is asked yet.")
    timeout: float = setting(Duration(1, DAY), 60.0, "The app must be well within this time after start_period.")
    interval: float = setting(Duration(0.05, 3600), 1.0, "Time between two questions.")
    successes: int = setting(Number(1, 1000), 3, "So many good answers in a row mean well.")
    soak: float = setting(
        Duration(0, DAY), 0.0, "Watched on for this long after success; a crash then still rolls back."
    )

    @property
    def configured(self) -> bool:
        """Whether anything is asked at all."""
        return bool(self.url or self.command or self.tcp)


class CheckConfig(Section, frozen=True):
    auto: bool = setting(Flag(), True, "Whether new releases are looked for by themselves (watch, page).")
    interval: float = setting(
        Duration(60, 366 * DAY, unit_needed=True),
        DAY,
        "Time between two looks at the source. (APP_UPDATE_CHECK_INTERVAL: hours.)",
    )
    upgrade: str = setting(
        Choice(("never", "patch", "minor", "all")), "never", "Which new releases are installed by themselves."
    )
    window: Window | None = setting(
        WindowKind(),
        None,
        "The time of day for automatic upgrades, HH:MM-HH:MM, also across midnight, with a time zone where it isn't "
        "the machine's. Default: any time.",
    )
    min_age: float = setting(
        Duration(0, 366 * DAY, unit_needed=True), 0.0, "An automatic upgrade waits until a release is this old."
    )
    rehearse: bool = setting(
        Flag(), False, "true: an automatic upgrade comes only after a rehearsal of the release has passed."
    )


NOTIFY_EVENTS = ("started", "succeeded", "rolled_back", "failed", "update_available")


class NotifyConfig(Section, frozen=True):
    """One receiver: an apprise URL (with `${NAME}` still in it: see `Config.expand`) and what it is told."""

    url: str = setting(
        Text("an apprise URL", checks.notify_url, mask=checks.mask_notify_url),
        "",
        "An apprise URL; ${NAME} stands for an environment (or .env) variable.",
    )
    events: tuple[str, ...] = setting(
        ListOf(Choice(NOTIFY_EVENTS)),
        NOTIFY_EVENTS[1:],
        "What this receiver is told: " + ", ".join(NOTIFY_EVENTS) + ".",
    )
    template: str | None = setting(
        Text("text", lines=True),
        None,
        "The message, with {app}, {event}, {from}, {to}, {error}, {id}, {server} and {link} in it.",
    )
    lang: str | None = setting(
        Choice(LANGUAGES), None, "The language that this receiver reads: en or zh. Default: the server's locale."
    )


def has_url(made: NotifyConfig) -> str | None:
    return None if made.url else "must have a `url`."


class LogConfig(Section, frozen=True):
    keep: float = setting(
        Duration(DAY, 36500 * DAY, unit_needed=True),
        365 * DAY,
        "Deployments and their logs are kept for so long; those whose backup is still there for longer.",
    )


class WebConfig(Section, frozen=True):
    host: str = setting(
        Text("an address", checks.listen_address), "127.0.0.1", "The address that the page is served at."
    )
    port: int = setting(Number(1, 65535), 15001, "The port that the page is served at.")
    hosts: tuple[str, ...] = setting(
        ListOf(Text("a host's name", checks.host_name)), (), "Names that the page may be asked for by; loopback always."
    )
    trusted_proxies: tuple[str, ...] = setting(
        ListOf(Text("an address or network", checks.network)), (), "Proxies whose X-Forwarded-* headers are believed."
    )
    metrics: str = setting(Choice(("token", "public", "off")), "token", "Who may read /upgrade/metrics.")
