"""The release's files beside the live ones, for builds: as a checkout at its tag, since versions are read from git
(setuptools-scm, versioneer, hatch-vcs, pbr)."""

from __future__ import annotations

from pathlib import Path

from gitdeploy.checkout.git import Repository


def as_checkout(repository: Repository, folder: Path, commit: str, index: Path) -> None:
    """Make FOLDER, which holds the files of COMMIT by INDEX, a checkout of it: with the objects of REPOSITORY and its
    tags. INDEX becomes its own."""
    git_dir = folder / ".git"
    for name in ("refs", "objects/info"):
        (git_dir / name).mkdir(parents=True)
    plain = len(commit) == 40
    (git_dir / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
        if plain
        else "[core]\n\trepositoryformatversion = 1\n\tbare = false\n[extensions]\n\tobjectformat = sha256\n"
    )
    (git_dir / "objects" / "info" / "alternates").write_text(f"{repository.common_dir / 'objects'}\n")
    (git_dir / "packed-refs").write_bytes(
        repository.output("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags/")
    )
    shallow = repository.common_dir / "shallow"
    if shallow.is_file():
        (git_dir / "shallow").write_bytes(shallow.read_bytes())
    (git_dir / "HEAD").write_text(f"{commit}\n")
    index.rename(git_dir / "index")
    # The index has no times yet: without them a build would call the tree changed.
    repository.run("update-index", "-q", "--refresh", index=git_dir / "index", work_tree=folder, tied=True)
