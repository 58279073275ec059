-- KEYS: when a session last asked for a page of the panel. ARGV: now and idle (seconds), fresh (whether its owner has
-- just proved to be there), extend (whether this counts), life (ms). Returns 1 within the idle time, else 0.
local last = tonumber(redis.call('GET', KEYS[1]) or '')
local now = tonumber(ARGV[1])
if ARGV[3] ~= '1' and not (last and now - last <= tonumber(ARGV[2])) then
  return 0
end
if ARGV[4] == '1' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[5])
end
return 1
