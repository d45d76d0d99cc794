"""What a recurrent layer becomes: new cells and layers, and their weights."""
