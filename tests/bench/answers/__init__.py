"""What Ambit adds to a call of the model server: time, memory, and what it counts."""
