"""The page and the API: a Flask blueprint that an app registers, and `gitdeploy web`, which serves it alone.

from gitdeploy.web import blueprint
app.register_blueprint(blueprint("/srv/my-app", authorize=lambda: current_user.is_admin))

Needs what the extra `web` brings; `gitdeploy self` says how it is added.
"""

from gitdeploy.web.access.access import Access
from gitdeploy.web.serving.blueprint import blueprint

__all__ = ["Access", "blueprint"]
