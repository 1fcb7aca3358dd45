"""A real PostgreSQL and a real Redis from PyPI wheels, kept under the project's state folder."""
