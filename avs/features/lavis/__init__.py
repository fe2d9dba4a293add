"""The package salesforce-lavis as a backend of encoders, in an interpreter of its own (docs/lavis.md)."""
