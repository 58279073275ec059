-- What the requests of one tick need, in one call.
-- ARGV[1] now in seconds, then per request one word: s (a session is asked about), a (an address limit), r (a rule
-- limit) in any combination, each limit followed by its amount and window in seconds. KEYS in the same order: three
-- for a session (session, blacklist entry, user), one for a limit.
-- A limit's hash: i the window's index, c its count, p the count of the window before. Answers, per request: the session
-- (1 where the token is blacklisted) and the user, each as one text of its fields or nil, which the gate compares with
-- the text it read the last time; per limit {counted, current, previous}. A rule's limit is counted only where the
-- address is within its own and the session is there.
local now = tonumber(ARGV[1])

local function take(key, amount, window, may)
  local index = math.floor(now / window)
  local record = redis.call('HMGET', key, 'i', 'c', 'p')
  local at, current, previous = tonumber(record[1]), tonumber(record[2] or 0), tonumber(record[3] or 0)
  if at ~= index then
    if at == index - 1 then previous = current else previous = 0 end
    current = 0
  end
  local weight = 1 - (now % window) / window
  if not may or previous * weight + current + 1 > amount then return {0, current, previous} end
  if at == index then
    redis.call('HSET', key, 'c', current + 1)
  else
    redis.call('HSET', key, 'i', index, 'c', current + 1, 'p', previous)
    redis.call('EXPIRE', key, 2 * window)
  end
  return {1, current + 1, previous}
end

-- Fields apart by NUL; a missing one is \1. Only the last field of a user, its name, is the user's own words.
local function text(fields)
  if not fields[1] then return false end
  for i = 1, #fields do
    if not fields[i] then fields[i] = '\1' end
  end
  return table.concat(fields, '\0')
end

local answers, k, a = {}, 1, 2
while a <= #ARGV do
  local asks = ARGV[a]
  a = a + 1
  local there, within = true, true
  if string.find(asks, 's', 1, true) then
    local session = text(redis.call('HMGET', KEYS[k], 'uid', 'epoch', 'gen', 'rotated', 'seen', 'expires', 'auth', 'acr', 'amr', 'mfa'))
    there = session ~= false
    answers[#answers + 1] = redis.call('EXISTS', KEYS[k + 1]) == 1 and 1 or session
    answers[#answers + 1] = text(redis.call('HMGET', KEYS[k + 2], 'version', 'epoch', 'locked', 'roles', 'email', 'verified', 'name'))
    k = k + 3
  end
  if string.find(asks, 'a', 1, true) then
    local taken = take(KEYS[k], tonumber(ARGV[a]), tonumber(ARGV[a + 1]), true)
    within = taken[1] == 1
    answers[#answers + 1] = taken
    k, a = k + 1, a + 2
  end
  if string.find(asks, 'r', 1, true) then
    answers[#answers + 1] = take(KEYS[k], tonumber(ARGV[a]), tonumber(ARGV[a + 1]), within and there)
    k, a = k + 1, a + 2
  end
end
return answers
