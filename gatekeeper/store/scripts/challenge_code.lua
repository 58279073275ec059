-- A challenge gets a (further) code; its tries stay counted. KEYS: challenge, index;
-- ARGV: now, seconds between two codes, id, code (HMAC).
-- Answers {fresh, seconds since the last code}, or nothing where there is none to answer any more.
local record = redis.call('HMGET', KEYS[1], 'expires', 'spent', 'sent')
local now = tonumber(ARGV[1])
if not record[1] or record[2] or now >= tonumber(record[1]) then return false end
if record[3] and now - tonumber(record[3]) < tonumber(ARGV[2]) then return {0, tostring(now - tonumber(record[3]))} end
redis.call('HSET', KEYS[1], 'code', ARGV[4], 'sent', ARGV[1])
if redis.call('HGET', KEYS[2], 'id') == ARGV[3] then redis.call('HSET', KEYS[2], 'sent', ARGV[1]) end
return {1, '0'}
