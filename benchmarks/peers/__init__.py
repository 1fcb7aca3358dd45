"""What a user would write instead of perpmart, as an expert of each tool would write it.

All of them take a market without holes, filled bars, reused tickers or late statistics, and none of them
knows how to go on from where it stopped: they compute everything anew. perpmart is measured with all of
that in it.
"""
