"""Translations made elsewhere: the slices that others are given, and what comes back, as a translation is written here."""
