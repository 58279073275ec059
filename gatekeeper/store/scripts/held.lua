-- What one worker's sessions hold open. KEYS[1] the worker's hash; ARGV: life in ms, how many fields have changed, those
-- with their counts, then those that are gone. Says whether the hash was there: else it knows only what has changed.
local there = redis.call('EXISTS', KEYS[1])
local changed = tonumber(ARGV[2])
if changed > 0 then redis.call('HSET', KEYS[1], unpack(ARGV, 3, 2 + 2 * changed)) end
if #ARGV > 2 + 2 * changed then redis.call('HDEL', KEYS[1], unpack(ARGV, 3 + 2 * changed)) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return there
