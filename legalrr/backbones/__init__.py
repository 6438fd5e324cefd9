"""Language models: each backbone is a stage (`legalrr.protocols.Backbone`) whose `load` returns an engine."""
