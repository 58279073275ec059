-- An offence is counted. KEYS: the offences of one kind, the record of bans (one hash tag).
-- ARGV: now, within (seconds), after (how many make a ban), what tells this one from others, seconds after which one
-- ban is forgotten. Answers 0, or the level of the ban that is due: 1 for the first, 2 for the second in a row, ...
-- Each offence counts for one ban only.
local now, within, after = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - within))
if redis.call('ZCARD', KEYS[1]) < after then
  redis.call('EXPIRE', KEYS[1], math.ceil(within) + 60)
  return 0
end
redis.call('DEL', KEYS[1])
local record = redis.call('HMGET', KEYS[2], 'level', 'at')
local forgotten = math.floor(math.max(now - tonumber(record[2] or now), 0) / tonumber(ARGV[5]))
local level = math.max(tonumber(record[1] or 0) - forgotten, 0) + 1
redis.call('HSET', KEYS[2], 'level', level, 'at', ARGV[1])
redis.call('EXPIRE', KEYS[2], math.ceil(tonumber(ARGV[5])) * level + 60)
return level
