-- Put an API key in force unless as new a version is. KEYS[1] key; ARGV: version, life in ms, what is published of a
-- change, then field, value, ... Whoever holds connections of the key is told of a change, unless an ACL forbids to.
local known = redis.call('HGET', KEYS[1], 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], 'version', ARGV[1], unpack(ARGV, 4))
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if tonumber(ARGV[1]) > 1 then redis.pcall('PUBLISH', 'gate:events', ARGV[3]) end
return 1
