"""The linear algebra of theorem 1, in NumPy."""
