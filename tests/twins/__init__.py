"""An independent reference for the mart: bars and features in pandas, numpy and TA-Lib.

Nothing here reads the SQL models. The modules are written from the definitions alone, in the plainest
way that is fast enough, so that the two can be held against each other.
"""
