"""The graph of a model: what enters its layers, and how it is rebuilt."""
