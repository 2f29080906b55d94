"""The page and the API: a Flask blueprint that an app registers, a WSGI application for any other, and `gitdeploy web`, which
serves it alone.

from gitdeploy.web import blueprint, wsgi
app.register_blueprint(blueprint("/srv/my-app", authorize=lambda: current_user.is_admin))
application = wsgi("/srv/my-app", authorize=may_upgrade, otherwise=get_wsgi_application())

Needs what the extra `web` brings; `gitdeploy self` says how it is added.
"""

from gitdeploy.web.access.access import Access
from gitdeploy.web.serving.blueprint import blueprint
from gitdeploy.web.serving.embedded import wsgi

__all__ = ["Access", "blueprint", "wsgi"]
