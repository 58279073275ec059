-- Events for those who watch. KEYS[1] stream. ARGV: how many it keeps, then the events.
for i = 2, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'e', ARGV[i])
end
redis.pcall('PUBLISH', KEYS[1], '')
