"""Destroy everything of a tenant that ends, and certify it as far as it is true."""
