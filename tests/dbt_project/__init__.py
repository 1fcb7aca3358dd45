"""Tests of the models: what they compute, when they may know it, and how they are brought up to date."""
