"""What answering costs: counted for every tenant, limited, and shared fairly."""
