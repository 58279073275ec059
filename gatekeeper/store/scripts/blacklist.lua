-- An access token is refused from now on. KEYS: its entry, its session; ARGV[1] life in ms.
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
redis.pcall('PUBLISH', 'gate:events', KEYS[2])
return 1
