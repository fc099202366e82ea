/** Of three servers one is left alone, which takes it as long as an election to find out. */
import { expect, test } from 'vitest'
import { openBus } from '../../src/nats/connect.ts'
import { api } from '../../src/nats/jetstream-api.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import { freshNamespace, until, useServerTrio } from '../harness/server.ts'

interface ServerAnswer {
  readonly cluster?: { readonly leader?: string }
  readonly state: { readonly last_seq: number }
}

const trio = useServerTrio()

test('a replica that knows no leader answers with what it has, and is not believed', async () => {
  const [alone, ...others] = trio.servers.names as [string, string, string]
  const bus = await openBus({ name: 'test', servers: trio.servers.of(alone).url, connectTimeoutMs: 30_000 })
  try {
    const namespace = freshNamespace()
    const { log, subjects } = await until(
      () => openNamespace(bus, { namespace, replicas: 3, logBytesMax: 2 ** 24 }).catch(() => undefined),
      'the servers have made the streams',
      60_000,
    )
    await log.append(subjects.submit('mail'), Buffer.from('one'), { timeoutMs: 30_000 })
    expect((await log.info()).lastSequence).toBe(1)
    for (const other of others) await trio.servers.kill(other)
    const answer = await until(
      async () => {
        const given = await api<ServerAnswer>(bus, `STREAM.INFO.${log.stream}`).catch(() => undefined)
        return given?.cluster?.leader ? undefined : given
      },
      'the server that is left answers although it knows no leader',
      60_000,
    )
    expect(answer.state.last_seq).toBe(1)
    await expect(log.info()).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
  } finally {
    await bus.close()
  }
}, 180_000)
