"""What is shown of an installer that failed: why, not where it works; and what helps."""

from __future__ import annotations

from pathlib import Path

from support.sample import Sample

from gitdeploy.system.completed import Completed


def test_where_uv_works_is_no_reason() -> None:
    said = b"Using Python 3.11.2 environment at: /srv/app/.gitdeploy/venvs/1\nerror: Request failed after 3 retries\n"
    assert Completed(("uv",), 2, b"", said, 0.1).error_text == "error: Request failed after 3 retries"


def test_an_index_that_nobody_reaches_is_a_matter_of_the_network(tmp_path: Path) -> None:
    shop = Sample(tmp_path)
    shop.wheel("greeting", "1.0")
    settings = "app: {name: shop}\nsource: {type: git}\n"
    shop.release("v1.0.0", {"deploy.yaml": settings, "requirements.txt": "greeting==1.0\n", ".gitignore": "/venv\n"})
    shop.release("v2.0.0", {"deploy.yaml": settings, "requirements.txt": "greeting==2.0\n", ".gitignore": "/venv\n"})
    shop.install("v1.0.0")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""}
    done = shop.gitdeploy("upgrade", "v2.0.0", code=1, env=nowhere)
    assert "reaches the package index (network, proxy, pip.conf), then run the command again." in done.err
    assert "Fix the requirements" not in done.err
