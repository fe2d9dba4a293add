"""All runs of a submission from one YAML: `avs make-submission`."""
