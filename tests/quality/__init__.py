"""Tests of the checks of the raw tables."""
