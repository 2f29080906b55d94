"""Releases that keep large files in Git LFS, with the real git-lfs: they go live, come back, and come from nowhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import PlainGit, standin
from support import needs
from support.sample import Sample, Tree, differences

from gitdeploy import App

if why := needs.lacks_program("git-lfs"):
    pytest.skip(why, allow_module_level=True)

TOKEN = "tok-SECRET-of-the-lfs-host"
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def tree(content: str, **more: str) -> Tree:
    return {
        "deploy.yaml": "app: {name: shop}\nsource: {type: git, token_env: SHOP_TOKEN}\n",
        ".gitattributes": ATTRIBUTES,
        "big.bin": content * 1000,
        **more,
    }


@pytest.fixture
def shop(tmp_path: Path) -> Sample:
    """v1.0.0 as git-lfs itself checked it out; LFS is set up in the user's configuration there, not in the checkout's."""
    sample = Sample(tmp_path, venv=False)
    sample.git("lfs", "install", "--local", cwd=sample.remote)
    sample.release("v1.0.0", tree("one"))
    sample.release("v1.1.0", tree("two", **{"code.py": "1"}))
    sample.install("v1.0.0")
    sample.git("lfs", "install", "--local")
    sample.git("checkout", "-q", "-f", "v1.0.0", "--", "big.bin")
    (sample.app / "big.bin").unlink()
    sample.git("checkout", "-q", "--", "big.bin")
    assert (sample.app / "big.bin").read_text() == "one" * 1000
    sample.git("config", "--remove-section", "filter.lfs")
    return sample


def big(sample: Sample) -> str:
    return (sample.app / "big.bin").read_text()


def test_large_files_go_live_and_come_back_and_are_no_local_change(shop: Sample) -> None:
    before = shop.state()["files"]
    shutil.copy2(shop.app / "big.bin", shop.folder / "copy")
    shutil.copyfile(shop.folder / "copy", shop.app / "big.bin")  # another time, the same bytes
    assert json.loads(shop.gitdeploy("status", "--json").out)["local_changes"] == []
    shop.gitdeploy("upgrade", "v1.1.0")
    assert big(shop) == "two" * 1000
    assert json.loads(shop.gitdeploy("status", "--json").out)["local_changes"] == []
    shop.gitdeploy("rollback", "--yes")
    assert shop.state()["files"] == before
    (shop.app / "big.bin").write_text("by hand")
    shop.gitdeploy("upgrade", "v1.1.0", code=7)
    shop.gitdeploy("upgrade", "v1.1.0", "--discard-local-changes")
    shop.gitdeploy("rollback", "--yes")
    assert big(shop) == "by hand"


def test_never_leaves_the_small_texts_that_name_them(shop: Sample) -> None:
    settings = shop.folder / "never.yaml"
    settings.write_text("source: {type: git}\ngit: {lfs: never, local_changes: discard}\n")
    shop.gitdeploy("--config", str(settings), "upgrade", "v1.1.0")
    assert big(shop).startswith("version https://git-lfs.github.com/spec/v1\n")


def test_files_that_the_host_does_not_have_stop_the_release_whatever_it_says(shop: Sample) -> None:
    shop.release("v1.2.0", tree("three", **{".lfsconfig": "[lfs]\n\tskipdownloaderrors = true\n"}))
    shutil.rmtree(shop.remote / ".git/lfs/objects")
    before = shop.state()
    said = shop.gitdeploy("upgrade", "v1.2.0", code=1).err
    assert "git can't write the release's files" in said
    assert differences(before, shop.state()) == []


def test_a_release_whose_large_files_come_from_elsewhere(shop: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    app = App.open(shop.app)
    before = shop.state()
    places = ("https://evil.example/x/info/lfs", "file:///etc", "ext::touch pwned", "http://127.0.0.1:9/lfs")
    for number, url in enumerate(places):
        shop.release(f"v1.2.{number}", tree("three", **{".lfsconfig": f"[lfs]\n\turl = {url}\n"}))
        plan = app.plan(f"v1.2.{number}")
        assert plan is not None
        assert [problem.message for problem in plan.problems if problem.refused] == [
            f"The release's .lfsconfig takes its large files from {url}, which is not where this app comes from."
        ]
    assert "git config lfs.url http://127.0.0.1:9/lfs" in shop.gitdeploy("upgrade", "v1.2.3", code=7).err
    assert differences(before, shop.state()) == []
    shop.git("config", "lfs.url", f"file://{shop.remote}")
    shop.gitdeploy("upgrade", "v1.2.3")
    assert big(shop) == "three" * 1000, "the operator's own place is gone by"


class _LfsHandler(standin._Handler):
    """Git, and beside it the batch API of https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md"""

    def _git(self, path: str, query: str) -> None:
        if "/info/lfs/" not in path:
            super()._git(path, query)
            return
        host = self.server.host
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        known = host.git_login is not None and self._may(host.git_login, headers.get("authorization", ""))
        self._log(host.git_requests, {}, headers, 200 if known else 401)
        oid = path.rpartition("/")[2]
        if not known:
            self._answer(401, b"{}", LFS_Authenticate="Basic")
        elif oid == "batch":
            wanted = json.loads(body)["objects"]
            for each in wanted:
                href = f"{host.git_url}/info/lfs/get/{each['oid']}"
                each["actions"] = {"download": {"href": href, "header": {"Authorization": headers["authorization"]}}}
            self._answer(200, json.dumps({"transfer": "basic", "objects": wanted}).encode())
        else:
            self._answer(200, (host.folder / f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}").read_bytes())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def host(shop: Sample) -> Iterator[PlainGit]:
    """The remote behind HTTP with a token, its large files too."""
    made = PlainGit(shop.remote, token=TOKEN)
    made._server.RequestHandlerClass = _LfsHandler
    shop.git("remote", "set-url", "origin", made.git_url)
    shop.extra_environment["SHOP_TOKEN"] = TOKEN
    yield made
    made.close()


@pytest.mark.parametrize("named", [False, True])
def test_the_token_of_the_remote_opens_its_large_files_too(shop: Sample, host: PlainGit, named: bool) -> None:
    config = {".lfsconfig": f"[lfs]\n\turl = {host.git_url}/info/lfs\n"} if named else {}
    shop.release("v1.2.0", tree("three", **config))
    done = shop.gitdeploy("-v", "upgrade", "v1.2.0")
    assert big(shop) == "three" * 1000
    assert [each.path for each in host.git_requests if each.path.endswith("/objects/batch") and each.status == 200]
    assert TOKEN not in done.text
    kept = (path for path in shop.app.rglob("*") if path.is_file() and not path.is_symlink())
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []


def test_without_the_token_the_large_files_stop_the_release(shop: Sample, host: PlainGit) -> None:
    shop.git("fetch", "-q", f"file://{shop.remote}", "refs/tags/v1.1.0:refs/tags/v1.1.0")
    before = shop.state()
    shop.gitdeploy("upgrade", "v1.1.0", code=6, env={"SHOP_TOKEN": ""})
    assert differences(before, shop.state()) == []
