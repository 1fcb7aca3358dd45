"""Faults and bad inputs on purpose, each with what it did; docs/faults.md is made of them."""
