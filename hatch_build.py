"""What the build's tables cannot say: a file of the top level that goes into the wheel, but into no editable install."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedSnakefile(BuildHookInterface):
    """Puts the Snakefile where `xmodbench.files.SHIPPED` is in an installed package."""

    def initialize(self, version: str, build_data: dict) -> None:
        if version == "standard":
            build_data["force_include"]["Snakefile"] = "xmodbench/shipped/Snakefile"
