"""Energies: how far an image is from having the structure of another, of any contrast; differentiable."""
