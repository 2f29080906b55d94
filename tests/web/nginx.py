"""nginx with TLS in front of a served page, set up as docs/web.md says.

Package: nginx-light (Debian).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import needs
from support.sample import PROJECT

NGINX = needs.found("nginx")
NAME = "shop.example.com"
needs_nginx = pytest.mark.skipif(NGINX is None, reason=needs.lacks_program("nginx"))


def documented() -> str:
    """The server block of the guide."""
    found = re.search(r"```nginx\n(.*?)```", (PROJECT / "docs/web.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def moved(location: str, page: int, prefix: str) -> str:
    """The guide's LOCATION of /upgrade/ under PREFIX (`/shop`), changed as the guide says."""
    there = location.replace("location /upgrade/", f"location {prefix}/upgrade/")
    there = there.replace(f":{page};", f":{page}/upgrade/;")
    return there.replace('X-Forwarded-Prefix "";', f"X-Forwarded-Prefix {prefix};")


@contextmanager
def nginx_before(page: int, outside: int, folder: Path, *, prefix: str) -> Iterator[None]:
    """https://shop.example.com:OUTSIDE/upgrade/, and the same under PREFIX, for the page at the port PAGE."""
    assert NGINX is not None
    subprocess.run(
        [needs.program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", folder / "key", "-out", folder / "pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    block = documented().replace("listen 443 ssl", f"listen 127.0.0.1:{outside} ssl").replace("15001", str(page))
    block = re.sub(r"/etc/ssl/certs/\S+?;", f"{folder}/pem;", block)
    block = re.sub(r"/etc/ssl/private/\S+?;", f"{folder}/key;", block)
    location = re.search(r"    location /upgrade/ \{.*?\n    \}\n", block, re.DOTALL)
    assert location is not None
    block = block.rstrip().removesuffix("}") + moved(location[0], page, prefix) + "}\n"
    (folder / "conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\nuser root;\n"
        f"events {{}}\nhttp {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{block}}}\n"
    )
    nginx = subprocess.Popen([NGINX, "-c", str(folder / "conf"), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        nginx.terminate()
        nginx.wait(10)
