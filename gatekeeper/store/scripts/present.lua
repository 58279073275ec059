-- A refresh token is presented. KEYS[1] session;
-- ARGV: generation, now, reuse window, idle life in seconds, rotate (1) or renew (0).
-- Answers rotated, current, repeated, reused (the family is gone) or ended. RFC 9700 4.14.2.
local record = redis.call('HMGET', KEYS[1], 'gen', 'rotated', 'expires')
if not record[1] then return 'ended' end
local current, presented, now = tonumber(record[1]), tonumber(ARGV[1]), tonumber(ARGV[2])
if presented > current then return 'ended' end
if presented == current then
  redis.call('HSET', KEYS[1], 'seen', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], math.floor(1000 * math.min(tonumber(record[3]) - now, tonumber(ARGV[4]))) + 60000)
  if ARGV[5] == '0' then return 'current' end
  redis.call('HSET', KEYS[1], 'gen', current + 1, 'rotated', ARGV[2])
  return 'rotated'
end
if presented == current - 1 and now - tonumber(record[2]) <= tonumber(ARGV[3]) then return 'repeated' end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', 'gate:events', KEYS[1])
return 'reused'
