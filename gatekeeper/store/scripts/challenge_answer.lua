-- A challenge is answered. KEYS: challenge, index; ARGV: now, id, purposes between blanks, then the code (HMAC)
-- unless only a try is taken. The count comes first: however many guesses come at once, no more than there are
-- tries are compared. Answers right, wrong or late.
local record = redis.call('HMGET', KEYS[1], 'expires', 'purpose', 'spent', 'code')
if not record[1] or tonumber(ARGV[1]) >= tonumber(record[1]) then return 'late' end
if record[3] or not string.find(ARGV[3], ' ' .. record[2] .. ' ', 1, true) then return 'wrong' end
if redis.call('HINCRBY', KEYS[1], 'tries', -1) < 0 then
  redis.call('HSET', KEYS[1], 'tries', 0)
  return 'wrong'
end
if not ARGV[4] then return 'right' end
if not record[4] or record[4] ~= ARGV[4] then return 'wrong' end
redis.call('HSET', KEYS[1], 'spent', 1)
redis.call('HDEL', KEYS[1], 'code')
if redis.call('HGET', KEYS[2], 'id') == ARGV[2] then redis.call('DEL', KEYS[2]) end
return 'right'
