"""Answer calls by workers: processes of this machine or of a cluster, each with an engine of its own."""
