-- The greatest uses of limits among some keys, for the panel; reads only. Keys are no arguments, since a walk finds them.
-- ARGV: where the walk goes on, how many keys it looks at, now in seconds, how many uses of a limit are wanted; then the
-- number of limits and for each its kind, name and ending, the number of its windows, and amount and seconds of each;
-- then keys that are looked at besides. Kind r: the hashes of read_many.lua, "gate:l:NAME:{WHO}". Kind a: the two texts
-- that the limits library keeps for a window, "LIMITS:{LIMITER/NAME/WHO/ENDING}" and the same with /-1 for the one before.
-- Answers: where it goes on, how many keys that was, and per use {place of the limit, key, who, count of each window}.
local now, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local limits, requests, attempts, a = {}, {}, {}, 6
for place = 1, tonumber(ARGV[5]) do
  local limit = {ending = '/' .. ARGV[a + 2], windows = {}, fields = {}, best = {}}
  if ARGV[a] == 'r' then requests[ARGV[a + 1]] = limit else attempts[ARGV[a + 1]] = limit end
  local number = tonumber(ARGV[a + 3])
  for w = 1, number do
    local n, suffix = a + 2 + 2 * w, w == 1 and '' or tostring(w)
    limit.windows[w] = {tonumber(ARGV[n]), tonumber(ARGV[n + 1])}
    for _, name in ipairs({'i', 'c', 'p'}) do table.insert(limit.fields, name .. suffix) end
  end
  limits[place] = limit
  a = a + 4 + 2 * number
end

local function keep(limit, key, who, counts)
  local share = 0
  for w, window in ipairs(limit.windows) do share = math.max(share, counts[w] / window[1]) end
  local best, total = limit.best, 0
  for _, count in ipairs(counts) do total = total + count end
  if total < 1 or (#best == most and share <= best[most].share) then return end
  local at = #best + 1
  while at > 1 and best[at - 1].share < share do at = at - 1 end
  table.insert(best, at, {share = share, key = key, who = who, counts = counts})
  best[most + 1] = nil
end

local function of_requests(key)
  local name, who = string.match(key, '^gate:l:(.-):{(.*)}$')
  local limit = name and requests[name]
  if not limit then return end
  local record, counts = redis.pcall('HMGET', key, unpack(limit.fields)), {}
  if record.err then return end
  for w, window in ipairs(limit.windows) do
    local at, current, before = tonumber(record[3 * w - 2]), tonumber(record[3 * w - 1]), tonumber(record[3 * w])
    local seconds = window[2]
    local age = at and math.floor(now / seconds) - at
    if age == 1 then current, before = 0, current elseif age ~= 0 then current, before = 0, 0 end
    counts[w] = math.floor((before or 0) * (1 - (now % seconds) / seconds) + (current or 0))
  end
  keep(limit, key, who, counts)
end

local function of_attempts(key)
  local words = string.match(key, '^LIMITS:{LIMITER/(.*)}$')
  if not words then return end
  local name = string.match(words, '^[^/]+/[^/]+')
  if not attempts[name] then name = string.match(words, '^[^/]+') end
  local limit = attempts[name]
  if not limit or string.sub(words, -#limit.ending) ~= limit.ending then return end
  local life = limit.windows[1][2] * 1000
  local current, left = redis.pcall('GET', key), redis.call('PTTL', key)
  local before = redis.pcall('GET', key .. '/-1')
  if type(current) == 'table' or type(before) == 'table' then return end
  current, before = tonumber(current or 0) or 0, tonumber(before or 0) or 0
  if left > 0 and left < life then
    current, before = 0, current
  else
    left = math.max(redis.call('PTTL', key .. '/-1'), 0)
  end
  local who = string.sub(words, #name + 2, -#limit.ending - 1)
  keep(limit, key, who, {math.max(math.floor(before * left / life) + current, 0)})
end

local seen = {}
local function look(key)
  if seen[key] then return end -- twice in the walk, or walked to and looked at besides
  seen[key] = true
  if string.byte(key) == 103 then of_requests(key) else of_attempts(key) end
end

local cursor, looked = '0', 0
if ARGV[1] ~= '' then
  -- Both beginnings, gate:l: and LIMITS:, have seven letters.
  local step = redis.call('SCAN', ARGV[1], 'MATCH', '[gL][aI][tM][eI][:T][lS]:*', 'COUNT', ARGV[2])
  cursor, looked = step[1], tonumber(ARGV[2])
  for _, key in ipairs(step[2]) do look(key) end
end
for other = a, #ARGV do look(ARGV[other]) end
local answer = {}
for place, limit in ipairs(limits) do
  for _, use in ipairs(limit.best) do
    local found = {place, use.key, use.who}
    for _, count in ipairs(use.counts) do found[#found + 1] = count end
    answer[#answer + 1] = found
  end
end
return {cursor, looked, answer}
