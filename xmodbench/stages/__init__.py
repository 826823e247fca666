"""One module per verb: what the command line and the workflow's rules call."""
