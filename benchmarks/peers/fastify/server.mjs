// The gate as Fastify users write it today: verify a JWT (HS256), ask Redis whether it is blacklisted, forward.
// Started by benchmarks/gatebench/peers.py; settings come in the environment.
import Fastify from 'fastify'
import jwt from '@fastify/jwt'
import redis from '@fastify/redis'
import proxy from '@fastify/http-proxy'

const { PORT, UPSTREAM, SECRET, REDIS_SOCKET, REDIS_PASSWORD, CONNECTIONS = '256', AUTO_PIPELINING } = process.env

const app = Fastify({ logger: false })
await app.register(jwt, { secret: SECRET, verify: { algorithms: ['HS256'] } })
await app.register(redis, {
  path: REDIS_SOCKET,
  password: REDIS_PASSWORD,
  enableAutoPipelining: AUTO_PIPELINING === 'yes'
})
await app.register(proxy, {
  upstream: UPSTREAM,
  undici: { connections: Number(CONNECTIONS), pipelining: 1 },
  preHandler: async (request, reply) => {
    try {
      await request.jwtVerify()
    } catch {
      return reply.code(401).send({ error: 'Unauthorized' })
    }
    if (await app.redis.get(`blacklist:${request.user.jti}`)) {
      return reply.code(401).send({ error: 'Unauthorized' })
    }
  }
})
await app.listen({ host: '127.0.0.1', port: Number(PORT) })
