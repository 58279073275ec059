-- Raise a living session to a new user epoch. KEYS[1] session; ARGV[1] epoch.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
return 1
