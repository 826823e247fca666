"""Simulated anatomy and scanners, for stand-ins of data sets that cannot be shipped; never to be shown as real data."""
