# Entry of the workflow: `snakemake --cores all` runs config/paper.yaml,
# `snakemake --cores all --configfile config/demo.yaml` the demo on simulated data.
include: "workflow/Snakefile"


# Snakemake ignores the default target of an included file, so it is named again here.
rule benchmark:
    default_target: True
    input:
        rules.all.input,
