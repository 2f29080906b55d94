"""What is asked outside a deployment: doctor, drafts, pruning, looking for releases."""
