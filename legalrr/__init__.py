"""legalrr: does structuring a judgment help a language model predict its outcome?

The path is one way: corpus -> segment -> restructure -> annotate -> predict -> verdict -> score -> report; the records
that travel along it are in `legalrr.records`, the words of the field in `legalrr.roles`.
"""

__version__ = "0.1.0"
