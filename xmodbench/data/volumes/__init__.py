"""Volumes: reading, aligning, normalising, slicing. Nothing is imported here, so that the plan of a run stays quick."""
