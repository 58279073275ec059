-- What the requests of one tick need, in one call.
-- ARGV[1] now in seconds, then per request one word: s (a session is asked about) or k (an API key), a (an address
-- limit), r (a rule limit) in any combination, each limit followed by its amount and window in seconds. A and R are
-- limits of several windows, followed by their number and then amount and window of each. KEYS in the same order: three
-- for a session (session, blacklist entry, user), two for an API key (key, user), one for a limit.
-- A limit's hash: i the window's index, c its count, p the count of the window before; i2, c2, p2 those of the second
-- window, and so on. Answers, per request: the session
-- (1 where the token is blacklisted) or key, and the user, each as one text of its fields or nil, which the gate compares with
-- the text it read the last time; per limit {counted, current, previous}, the latter two for each window. A rule's limit is
-- counted only where the address is within its own and the session, or the key with its user, is there.
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

-- The same for the windows at ARGV[first] and after: counted in all of them, or in none.
local function take_all(key, first, number, may)
  local names = {}
  for w = 1, number do
    local suffix = w == 1 and '' or tostring(w)
    names[#names + 1], names[#names + 2], names[#names + 3] = 'i' .. suffix, 'c' .. suffix, 'p' .. suffix
  end
  local record, fields, longest = redis.call('HMGET', key, unpack(names)), {}, 0
  for w = 1, number do
    local amount, window = tonumber(ARGV[first + 2 * w - 2]), tonumber(ARGV[first + 2 * w - 1])
    local index, n = math.floor(now / window), 3 * w - 2
    local at, current, previous = tonumber(record[n]), tonumber(record[n + 1] or 0), tonumber(record[n + 2] or 0)
    if at ~= index then
      if at == index - 1 then previous = current else previous = 0 end
      current = 0
    end
    local weight = 1 - (now % window) / window
    may = may and previous * weight + current + 1 <= amount
    longest = math.max(longest, window)
    fields[w] = {names[n], index, names[n + 1], current, names[n + 2], previous}
  end
  local answer = {may and 1 or 0}
  for w = 1, number do
    local one = fields[w]
    if may then
      one[4] = one[4] + 1
      redis.call('HSET', key, unpack(one))
    end
    answer[#answer + 1], answer[#answer + 2] = one[4], one[6]
  end
  if may then redis.call('EXPIRE', key, 2 * longest) end
  return answer
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
    local session = text(redis.call('HMGET', KEYS[k], 'uid', 'epoch', 'gen', 'rotated', 'seen', 'expires', 'auth', 'acr', 'amr', 'mfa', 'bound'))
    there = session ~= false
    answers[#answers + 1] = redis.call('EXISTS', KEYS[k + 1]) == 1 and 1 or session
    answers[#answers + 1] = text(redis.call('HMGET', KEYS[k + 2], 'version', 'epoch', 'locked', 'roles', 'email', 'verified', 'name'))
    k = k + 3
  elseif string.find(asks, 'k', 1, true) then
    local key = text(redis.call('HMGET', KEYS[k], 'version', 'id', 'uid', 'revoked', 'created', 'expires', 'networks', 'scopes'))
    local user = text(redis.call('HMGET', KEYS[k + 1], 'version', 'epoch', 'locked', 'roles', 'email', 'verified', 'name'))
    there = key ~= false and user ~= false
    answers[#answers + 1], answers[#answers + 2] = key, user
    k = k + 2
  end
  if string.find(asks, 'a', 1, true) then
    local taken = take(KEYS[k], tonumber(ARGV[a]), tonumber(ARGV[a + 1]), true)
    within = taken[1] == 1
    answers[#answers + 1] = taken
    k, a = k + 1, a + 2
  elseif string.find(asks, 'A', 1, true) then
    local number = tonumber(ARGV[a])
    local taken = take_all(KEYS[k], a + 1, number, true)
    within = taken[1] == 1
    answers[#answers + 1] = taken
    k, a = k + 1, a + 1 + 2 * number
  end
  if string.find(asks, 'r', 1, true) then
    answers[#answers + 1] = take(KEYS[k], tonumber(ARGV[a]), tonumber(ARGV[a + 1]), within and there)
    k, a = k + 1, a + 2
  elseif string.find(asks, 'R', 1, true) then
    local number = tonumber(ARGV[a])
    answers[#answers + 1] = take_all(KEYS[k], a + 1, number, within and there)
    k, a = k + 1, a + 1 + 2 * number
  end
end
return answers
