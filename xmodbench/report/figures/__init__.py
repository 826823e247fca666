"""Figures for print: PDF, SVG and PNG at the width of a page."""
