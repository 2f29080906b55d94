"""Deployments: upgrade and restore as steps, the engine that runs and undoes them, recovery."""
