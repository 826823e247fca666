"""From volumes to slices: fetching, simulating, reading, registering, slicing."""
