"""The working tree and git: what is there, what a switch would change, and the switch itself, by renames."""
