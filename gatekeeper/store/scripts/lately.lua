-- Distinct things of the last seconds. KEYS[1] a sorted set by time. ARGV: now, window (seconds), how many are kept at
-- most, what is to be added, what is to be taken out ('': nothing). Answers how many there are.
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[4])
  redis.call('EXPIRE', KEYS[1], math.ceil(window) + 60)
end
if ARGV[5] ~= '' then redis.call('ZREM', KEYS[1], ARGV[5]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - window))
local most = tonumber(ARGV[3])
if redis.call('ZCARD', KEYS[1]) > most then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -most - 1) end
return redis.call('ZCARD', KEYS[1])
