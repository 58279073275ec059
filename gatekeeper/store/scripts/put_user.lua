-- Put a user's state in force unless a newer one is. KEYS[1] user; ARGV: version, epoch, life in ms,
-- only where the user is known already (1) or always (0), then field, value, ... The epoch never falls.
-- A new version is published to whoever holds connections of this user, unless an ACL forbids to.
local record = redis.call('HMGET', KEYS[1], 'version', 'epoch')
if ARGV[4] == '1' and not record[1] then return 0 end
if record[1] and tonumber(record[1]) > tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 0
end
local epoch = math.max(tonumber(ARGV[2]), tonumber(record[2] or 0))
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'epoch', string.format('%.0f', epoch), unpack(ARGV, 5))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if not record[1] or tonumber(record[1]) < tonumber(ARGV[1]) then redis.pcall('PUBLISH', 'gate:events', KEYS[1]) end
return 1
