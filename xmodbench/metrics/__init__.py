"""What is measured: per image (`paired`), per direction (`distribution`), and what was published (`published`).

Every metric comes in one of two definitions that are never mixed: ``paper`` explains the published numbers (8-bit
images, a range of 255), ``standard`` is what the field's libraries compute (floats in [0, 1], a range of 1).
"""
