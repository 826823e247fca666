"""Fetching raw data: resumed, retried, checked, and written down. Nothing is imported here: the plan stays quick."""
