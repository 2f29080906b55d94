"""The kill campaign: gitdeploy is killed at every point and at random ones; afterwards the app must be wholly on the old
release or wholly on the new one, and nothing of the user's may be lost. By hand: `make crash N=2000 SEED=1`.
"""
