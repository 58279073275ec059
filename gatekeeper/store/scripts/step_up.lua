-- A living session has been confirmed anew. KEYS[1] session; ARGV: when, by two factors (1) or by what it had (0),
-- what it is bound to from now on (empty: as before), then the methods that were used (RFC 8176). Time never goes back, and nothing a session has proved is lost.
-- Answers auth, acr, amr, mfa, bound; nothing where there is no such session (any more).
local record = redis.call('HMGET', KEYS[1], 'auth', 'acr', 'amr', 'mfa', 'bound')
if not record[1] then return false end
local auth, acr, amr, mfa, bound = record[1], record[2], record[3], record[4] or '0', record[5] or ''
if tonumber(ARGV[1]) > tonumber(auth) then auth = ARGV[1] end
if ARGV[2] == '1' then
  acr = '2fa'
  if not tonumber(mfa) or tonumber(ARGV[1]) > tonumber(mfa) then mfa = ARGV[1] end
end
if ARGV[3] ~= '' then bound = ARGV[3] end
for i = 4, #ARGV do
  if not string.find(' ' .. amr .. ' ', ' ' .. ARGV[i] .. ' ', 1, true) then amr = amr .. ' ' .. ARGV[i] end
end
redis.call('HSET', KEYS[1], 'auth', auth, 'acr', acr, 'amr', amr, 'mfa', mfa, 'bound', bound)
return {auth, acr, amr, mfa, bound}
