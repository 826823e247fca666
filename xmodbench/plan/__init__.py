"""What a run is: its config, the jobs it asks for, and how Snakemake is started for it."""
