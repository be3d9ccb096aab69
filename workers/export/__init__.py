"""Put together what a person is given of themselves, and nothing of anyone else."""
