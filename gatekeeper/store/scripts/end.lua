-- A session ends. KEYS[1] session. Whoever holds connections of it is told, unless an ACL forbids to.
local there = redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', 'gate:events', KEYS[1])
return there
