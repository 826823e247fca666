"""What the field of synthetic CT and MR reports: in the scan's own units, inside the body, per slice and per volume."""
