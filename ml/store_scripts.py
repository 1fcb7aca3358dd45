"""What the online store does inside Redis, each script one atomic step."""

from __future__ import annotations

# Compare-and-set of the newest vector. An older bar never replaces a newer one; the same bar needs a higher
# revision. Numbers stay exact: microseconds are below 2^53 until the year 2255.
#
# KEYS: 1 vector, 2 history, 3 feature set
# ARGV: 1 time, 2 available_at, 3 pushed_at, 4 revision, 5 feature_set, 6 v, 7 unknown, 8 names and formulas,
#       9 record for the history, 10 length of the history, 11 channel, 12 event
# Returns the outcome, the revision that stands, and 1 where the store held nothing of the symbol.
PUSH = """
local old = redis.call('HMGET', KEYS[1], 'time', 'revision', 'feature_set', 'v', 'unknown')
local time, revision = tonumber(ARGV[1]), tonumber(ARGV[4])
if old[1] then
    local old_time, old_revision = tonumber(old[1]), tonumber(old[2])
    if old_time > time then
        return {'older', old_revision, 0}
    end
    if old_time == time then
        if old[3] == ARGV[5] and old[4] == ARGV[6] and old[5] == ARGV[7] then
            return {'unchanged', old_revision, 0}
        end
        if revision <= old_revision then
            return {'superseded', old_revision, 0}
        end
    end
end
redis.call('SET', KEYS[3], ARGV[8])
redis.call('HSET', KEYS[1], 'v', ARGV[6], 'time', ARGV[1], 'available_at', ARGV[2], 'pushed_at', ARGV[3],
    'revision', ARGV[4], 'feature_set', ARGV[5], 'unknown', ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[9])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[10]) - 1)
redis.call('PUBLISH', ARGV[11], ARGV[12])
return {'written', revision, old[1] and 0 or 1}
"""

# Put past bars beside the newest vector: never a bar newer than it, never an older revision of a bar.
#
# KEYS: 1 vector, 2 history
# ARGV: 1 length of the history, then for each bar: time, revision, record
# Returns the number of bars written.
FILL_HISTORY = """
local newest = tonumber(redis.call('HGET', KEYS[1], 'time') or '-1')
local written = 0
for i = 2, #ARGV, 3 do
    local time, revision, record = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]
    local old = redis.call('ZRANGEBYSCORE', KEYS[2], time, time)[1]
    if time < newest and (not old or (struct.unpack('<i8', old, 25) <= revision and old ~= record)) then
        redis.call('ZREMRANGEBYSCORE', KEYS[2], time, time)
        redis.call('ZADD', KEYS[2], time, record)
        written = written + 1
    end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[1]) - 1)
return written
"""

# The fields of several vectors as they stand at one instant: one command to pack and one answer to read.
#
# KEYS: vectors
# ARGV: names of fields
READ_MANY = """
local found = {}
for i = 1, #KEYS do
    found[i] = redis.call('HMGET', KEYS[i], unpack(ARGV))
end
return found
"""
