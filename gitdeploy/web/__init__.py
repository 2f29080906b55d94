"""The page and the API over HTTP (Flask; the extra `gitdeploy[web]`)."""
