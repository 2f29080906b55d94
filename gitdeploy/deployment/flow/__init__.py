"""The flows, top to bottom: read these first."""
