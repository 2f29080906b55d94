"""An app whose releases are announced by a stand-in host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hosts import ALL, Announced, StandIn
from support.sample import Done, Sample

from gitdeploy import App
from gitdeploy.sources import CheckResult

CHANGELOG = "# Changelog\n\n## [1.2.10]\n\n- From the changelog: ten.\n\n## [1.2.9]\n\n- Old.\n"
TOKEN = "tok-SECRET-4711-of-the-host"
TOKEN_VARIABLE = "SHOP_SOURCE_TOKEN"


def tree(version: str) -> dict[str | bytes, str]:
    return {"VERSION": version, ".gitignore": "/deploy.yaml\n", "CHANGELOG.md": CHANGELOG}


@dataclass
class Shop:
    """The app, its host, and the words that configure both."""

    sample: Sample
    host: StandIn
    more: str = ""

    def configure(self, source: str | None = None, *, source_more: str = "", more: str = "") -> None:
        """Write deploy.yaml (an untracked one here, so that a test can change it)."""
        lines = self.host.settings if source is None else source
        if self.host.token is not None and source is None:
            lines += f"  token_env: {TOKEN_VARIABLE}\n"
            if self.host.git_settings:
                more += f"git:\n{self.host.git_settings}"
        (self.sample.app / "deploy.yaml").write_text(f"app: {{name: shop}}\nsource:\n{lines}{source_more}{more}")

    @property
    def app(self) -> App:
        return App.open(self.sample.app)

    def check(self, *, force: bool = True) -> CheckResult:
        return self.app.check(force=force)

    def run(self, *words: str, code: int | None = 0, env: Mapping[str, str] | None = None) -> Done:
        return self.sample.gitdeploy(*words, code=code, env=env)

    def tag(self, name: str, *, message: str | None = None, version: str = "", light: bool = False) -> str:
        """A release at the remote: its commit."""
        if not light:
            return self.sample.release(name, tree(version or name), message=message)
        remote = self.sample.remote
        (remote / "VERSION").write_text(name)
        self.sample.git("commit", "-q", "-a", "--allow-empty", "-m", f"Commit of {name}", cwd=remote)
        self.sample.git("tag", name, cwd=remote)
        return self.sample.git("rev-parse", "HEAD", cwd=remote)

    def many(self, names: list[str]) -> None:
        """Lightweight tags of the newest commit, thousands at once."""
        commit = self.sample.git("rev-parse", "HEAD", cwd=self.sample.remote)
        text = "".join(f"create refs/tags/{name} {commit}\n" for name in names)
        subprocess.run(["git", "update-ref", "--stdin"], cwd=self.sample.remote, input=text.encode(), check=True)
        self.sample.git("pack-refs", "--all", cwd=self.sample.remote)


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CA bundle of the machine that runs the tests."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1.2.9, v1.2.10 (annotated) and v1.2.9.1 (lightweight, made last), v1.2.9 installed."""
    folder = tmp_path_factory.mktemp("announced")
    sample = Sample(folder / "it", venv=False)
    shop = Shop(sample, None)  # type: ignore[arg-type]
    shop.tag("v1.2.9", message="Release 1.2.9\n\nThe first.")
    shop.tag("v1.2.10", message="v1.2.10")
    shop.tag("v1.2.9.1", light=True)
    sample.install("v1.2.9", branch="main")
    return folder / "it"


def make_shop(template: Path, folder: Path, host: type[StandIn], token: str | None = None) -> Shop:
    for name in ("remote", "app"):
        shutil.copytree(template / name, folder / name, symlinks=True)
    (folder / "wheels").mkdir()
    sample = Sample.__new__(Sample)
    sample.folder, sample.venv, sample.extra_environment = folder, False, {}
    sample.remote, sample.app, sample.wheels = (folder / name for name in ("remote", "app", "wheels"))
    made = Shop(sample, host(sample.remote, token=token))
    made.host.releases["v1.2.10"] = Announced("Ten", "## What is new\n\n- Everything.")
    sample.git("remote", "set-url", "origin", made.host.git_url)
    made.configure()
    return made


@pytest.fixture(params=list(ALL))
def shop(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Iterator[Shop]:
    """The app at each host in `ALL`."""
    made = make_shop(template, tmp_path, ALL[request.param])
    yield made
    made.host.close()


@pytest.fixture(params=list(ALL))
def private(
    request: pytest.FixtureRequest, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """The same with a private repository and its token."""
    made = make_shop(template, tmp_path, ALL[request.param], TOKEN)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setenv("CODEUP_GIT_PASSWORD", "clone-password-of-codeup")
    yield made
    made.host.close()


@pytest.fixture
def github(template: Path, tmp_path: Path) -> Iterator[Shop]:
    """The app at the GitHub stand-in."""
    made = make_shop(template, tmp_path, ALL["github"])
    yield made
    made.host.close()


@pytest.fixture
def codeup(template: Path, tmp_path: Path) -> Iterator[Shop]:
    """The app at the Codeup stand-in."""
    made = make_shop(template, tmp_path, ALL["codeup"])
    yield made
    made.host.close()
