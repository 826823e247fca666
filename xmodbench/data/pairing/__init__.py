"""Whether the slices of two modalities are of the same place of the same subject."""
