"""One YAML into all runs of a submission: `avs make-submission`."""
