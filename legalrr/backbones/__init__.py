"""Language models: each backbone is a stage (`legalrr.protocols.Backbone`) whose `load` gives an engine."""
