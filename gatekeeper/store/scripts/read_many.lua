-- What the requests of one tick need: per request three KEYS (session, blacklist entry, user).
local answers = {}
for i = 1, #KEYS, 3 do
  answers[#answers + 1] = redis.call('HMGET', KEYS[i], 'uid', 'epoch', 'gen', 'rotated', 'seen', 'expires', 'auth', 'acr', 'amr')
  answers[#answers + 1] = redis.call('EXISTS', KEYS[i + 1])
  answers[#answers + 1] = redis.call('HMGET', KEYS[i + 2], 'version', 'epoch', 'locked', 'roles', 'email', 'verified', 'name')
end
return answers
