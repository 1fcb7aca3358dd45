"""The same work done by perpmart and by what a user would pick instead; `make bench` drives it."""
