"""The bound on the inputs: as it is given, and as it is measured."""
