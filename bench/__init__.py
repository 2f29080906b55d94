"""What a deployment costs: gitdeploy beside the bare commands and beside what people do today. `python -m bench --help`."""
