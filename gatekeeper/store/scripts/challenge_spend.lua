-- A challenge was answered by another factor. KEYS: challenge, index; ARGV[1] id. Answers 1 for the one who spends it.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HSETNX', KEYS[1], 'spent', 1) == 0 then return 0 end
redis.call('HDEL', KEYS[1], 'code')
if redis.call('HGET', KEYS[2], 'id') == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
