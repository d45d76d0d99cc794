"""Which values tensors can take: intervals through layers and recurrences."""
