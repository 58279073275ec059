-- A challenge is opened. KEYS: challenge, index of the last one for the same purpose and person;
-- ARGV: now, seconds in which the last one is meant again, life in ms, id, then field, value, ...
-- Answers {fresh, id, seconds since it was sent}.
local last = redis.call('HMGET', KEYS[2], 'id', 'sent')
if last[1] then
  local age = tonumber(ARGV[1]) - tonumber(last[2])
  if age < tonumber(ARGV[2]) then return {0, last[1], tostring(age)} end
end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('HSET', KEYS[2], 'id', ARGV[4], 'sent', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {1, ARGV[4], '0'}
