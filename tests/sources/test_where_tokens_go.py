"""A token goes where somebody named the place; nothing that is guessed from a name decides it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import ALL
from support.sample import Sample

from gitdeploy import App
from gitdeploy.site.remotes import checkout_git, credentials_for
from gitdeploy.sources.addresses import kind_of, may_carry_a_token, read_address
from gitdeploy.sources.finding import find, token_for
from sources.conftest import Shop, make_shop

DEFAULT, OWN = "ghp_DEFAULTtoken0123456789", "tok-NAMED-0123456789"
GH = "APP_UPDATE_GITHUB_TOKEN"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    sample = Sample(tmp_path, venv=False)
    sample.release("v1.0.0", {"main.py": "1", ".gitignore": "/deploy.yaml\n/.env\n"})
    sample.install("v1.0.0")
    (sample.app / ".env").write_text(f"{GH}={DEFAULT}\nOWN={OWN}\n")
    return sample


def goes(sample: Sample, url: str, settings: str = "{}") -> tuple[str, str | None, str | None]:
    """(kind, the token for its API, the password for git) of the remote URL with `source:` SETTINGS."""
    sample.git("remote", "set-url", "origin", url)
    (sample.app / "deploy.yaml").write_text(f"source: {settings}\n")
    site = App.open(sample.app).site
    found = find(site.config.source, checkout_git(site))
    credentials = credentials_for(site, site.config.source, "origin")
    return (
        found.kind,
        token_for(site.config, site.config.source, found)[0],
        credentials.password if credentials else None,
    )


@pytest.mark.parametrize(
    ("url", "settings", "wanted"),
    [
        # the public host, in every spelling of it
        ("https://github.com/acme/shop.git", "{}", ("github", DEFAULT, DEFAULT)),
        ("https://GitHub.COM/acme/shop.git", "{}", ("github", DEFAULT, DEFAULT)),
        ("https://me@github.com/acme/shop", "{}", ("github", DEFAULT, DEFAULT)),
        ("git@github.com:acme/shop.git", "{}", ("github", DEFAULT, None)),
        ("ssh://git@ssh.github.com:443/acme/shop.git", "{}", ("github", DEFAULT, None)),
        # its API over https, but git over plain http, another port or another spelling: nothing for git
        ("http://github.com/acme/shop.git", "{}", ("github", DEFAULT, None)),
        ("https://github.com:8443/acme/shop.git", "{}", ("github", DEFAULT, None)),
        ("https://github.com./acme/shop.git", "{}", ("github", DEFAULT, None)),
        # names that only look so
        ("https://github.com.mirror.test/acme/shop.git", "{}", ("github", None, None)),
        ("http://github.com.mirror.test/acme/shop.git", "{}", ("github", None, None)),
        ("https://github.corp.test/acme/shop.git", "{}", ("github", None, None)),
        ("https://github.com@evil.test/acme/shop.git", "{}", ("git", None, None)),
        ("https://github.com:x@evil.test/acme/shop.git", "{}", ("git", None, None)),
        ("https://ghproxy.test/https://github.com/acme/shop.git", "{}", ("git", None, None)),
        ("https://g\u0131thub.com/acme/shop.git", "{}", ("git", None, None)),
        ("https://xn--gthub-n4a.com/acme/shop.git", "{}", ("git", None, None)),
        ("git@github:acme/shop.git", "{}", ("git", None, None)),
        ("git@github.com-work:acme/shop.git", "{}", ("git", None, None)),
        ("git@github.corp.test:acme/shop.git", "{}", ("github", None, None)),
        # the kind alone names no place
        ("https://github.corp.test/acme/shop.git", "{type: github, repo: acme/shop}", ("github", None, None)),
        ("https://mirror.test/acme/shop.git", "{type: github, repo: acme/shop}", ("github", None, None)),
        ("git@gh-work:acme/shop.git", "{type: github, repo: acme/shop}", ("github", DEFAULT, None)),
        # a mirror of git's beside the public API
        ("https://mirror.test/other/shop.git", "{type: github, repo: acme/shop}", ("github", DEFAULT, None)),
        # a place that was named
        ("https://github.corp.test/acme/shop.git", "{url: 'https://github.corp.test/api/v3'}", ("github", DEFAULT, DEFAULT)),
        (
            "https://github.corp.test/acme/shop.git",
            "{type: github, repo: acme/shop, url: 'https://github.corp.test/api/v3', token_env: OWN}",
            ("github", OWN, OWN),
        ),
        ("https://mirror.test/x.git", "{type: github, repo: acme/shop, url: 'https://github.corp.test/api/v3'}", ("github", DEFAULT, None)),
        ("https://gitlab.corp.test/acme/shop.git", "{token_env: OWN}", ("gitlab", OWN, OWN)),
        ("https://git.corp.test/acme/shop.git", "{token_env: OWN}", ("git", OWN, OWN)),
        ("git@gitlab.corp.test:acme/shop.git", "{token_env: OWN}", ("gitlab", None, None)),
        ("git@gitlab.corp.test:acme/shop.git", "{token_env: OWN, url: 'https://gitlab.corp.test/api/v4'}", ("gitlab", OWN, None)),
        # never over plain http, but to this machine
        ("http://gitlab.corp.test/acme/shop.git", "{token_env: OWN}", ("gitlab", None, None)),
        ("http://git.corp.test/acme/shop.git", "{type: git, token_env: OWN}", ("git", OWN, None)),
        ("http://x.test/a/b.git", "{type: gitlab, repo: a/b, url: 'http://x.test/api/v4', token_env: OWN}", ("gitlab", None, None)),
        ("http://127.0.0.1:8080/a/b.git", "{type: gitlab, repo: a/b, url: 'http://127.0.0.1:8080', token_env: OWN}", ("gitlab", OWN, OWN)),
        ("http://127.0.0.1.evil.test/a/b.git", "{type: git, token_env: OWN}", ("git", OWN, None)),
    ],
)  # fmt: skip
def test_where_a_token_goes(
    sample: Sample, url: str, settings: str, wanted: tuple[str, str | None, str | None]
) -> None:
    assert goes(sample, url, settings) == wanted


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_url_that_insteadof_rewrites_is_where_it_leads(sample: Sample, scheme: str) -> None:
    sample.git("config", f"url.{scheme}://github.com.mirror.test/.insteadOf", "https://github.com/")
    assert goes(sample, "https://github.com/acme/shop.git") == ("github", None, None)
    sample.git("config", "--unset-all", f"url.{scheme}://github.com.mirror.test/.insteadOf")
    sample.git("config", "url.https://github.com/.insteadOf", "gh:")
    assert goes(sample, "gh:acme/shop.git") == ("github", DEFAULT, DEFAULT)


def test_an_alias_of_ssh_is_the_host_that_it_stands_for(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "-G --" ] || exit 1\n'
        'case "$3" in github-work) echo hostname github.com;; github.alias.test) echo hostname 10.0.0.9;;'
        ' *) echo "hostname $3";; esac\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(
        "gitdeploy.system.environment.which", lambda name, *rest: str(program) if name == "ssh" else None
    )
    assert goes(sample, "git@github-work:acme/shop.git") == ("github", DEFAULT, None)
    assert goes(sample, "git@github.alias.test:acme/shop.git") == ("git", None, None)


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://x.test", True),
        ("http://127.0.0.1:5", True),
        ("http://localhost/x", True),
        ("http://[::1]:5/x", True),
        ("http://127.1.2.3", True),
        ("http://x.test", False),
        ("http://127.0.0.1.x.test", False),
        ("http://localhost.x.test", False),
        ("http://127.0.0.1@x.test", False),
        ("ftp://127.0.0.1", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_what_may_carry_a_token(url: str, may: bool) -> None:
    assert may_carry_a_token(url) is may


@pytest.mark.parametrize("host", ["github", "github.com-work", "gitlab-old", "github.x-y", "gitea"])
def test_a_name_that_no_domain_can_have_is_no_host(host: str) -> None:
    address = read_address(f"git@{host}:acme/shop.git")
    assert address is not None
    assert kind_of(address) is None


# ---- what is really sent ----


@pytest.fixture
def mirror(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A host whose name begins with github., and a token of GitHub's in .env."""
    made = make_shop(template, tmp_path, ALL["github"])
    (made.sample.app / "deploy.yaml").write_text("app: {name: shop}\n")
    (made.sample.app / ".git/info/exclude").write_text("/.env\n")
    (made.sample.app / ".env").write_text(f"{GH}={DEFAULT}\n")
    made.sample.git("remote", "set-url", "origin", f"http://github.com.mirror.test/{made.host.repo}.git")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, made.host.origin)
    yield made
    made.host.close()


def test_a_mirror_is_given_nothing(mirror: Shop) -> None:
    mirror.run("check", "--force")
    mirror.run("upgrade", "v1.2.10")
    mirror.run("doctor", code=None)
    asked = [*mirror.host.requests, *mirror.host.git_requests]
    assert asked
    assert not any("authorization" in request.headers or DEFAULT in str(request.headers) for request in asked)


def test_a_host_that_wants_a_token_says_why_the_one_that_is_set_was_not_sent(mirror: Shop) -> None:
    mirror.host.token = "tok-of-the-mirror-0000"
    done = mirror.run("check", "--force", code=6)
    assert f"{GH} is set and was not sent, since http://github.com.mirror.test/api/v3 is plain http" in done.err


def test_without_a_token_the_hint_for_a_guessed_host_names_what_is_needed(mirror: Shop) -> None:
    (mirror.sample.app / ".env").write_text("")
    mirror.host.remaining = 0  # type: ignore[attr-defined]
    assert (
        f"Set source.url and {GH}: with a token the limit is far higher." in mirror.run("check", "--force", code=6).err
    )


def test_git_says_that_no_token_is_sent_over_plain_http(mirror: Shop) -> None:
    (mirror.sample.app / "deploy.yaml").write_text(f"source: {{type: git, token_env: {GH}}}\n")
    mirror.host.git_login = (None, DEFAULT)
    done = mirror.run("check", "--force", code=6)
    assert "No token is sent over plain http" in done.err
    assert not any("authorization" in request.headers for request in mirror.host.git_requests)
