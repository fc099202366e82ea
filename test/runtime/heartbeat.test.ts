import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { unpackHeartbeat } from '../../src/protocol/blocks.ts'
import { hasCode } from '../../src/protocol/errors.ts'
import type { Heartbeat } from '../../src/protocol/messages.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { startHeartbeat } from '../../src/runtime/heartbeat/heartbeat.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** What is heard of a node, newest last. */
async function listening(subjects: Subjects) {
  const bus = await server.connect('listener')
  const heard: { subject: string; beat: Heartbeat }[] = []
  bus.subscribe(subjects.heartbeat('*', '*'), ({ subject, data }) => {
    const read = unpackHeartbeat(data)
    if (read.ok) heard.push({ subject, beat: read.message })
  })
  await bus.flush()
  const probe = async (incarnation: string) => {
    try {
      await bus.request(subjects.probe('n1', incarnation), new Uint8Array(), { timeoutMs: 1_000 })
      return 'alive'
    } catch (error) {
      return hasCode(error, 'TROUPE_NO_ANSWER') ? (error.details as { noResponders: boolean }) : error
    }
  }
  return { heard, probe, close: () => bus.close() }
}

async function beatingProcess(subjects: Subjects): Promise<ChildProcess> {
  const child = fork(
    new URL('./heartbeat-process.ts', import.meta.url),
    [server.url, subjects.namespace, 'n1', 'life1'],
    { stdio: 'inherit' },
  )
  children.push(child)
  expect(await once(child, 'message')).toMatchObject(['ready', undefined])
  return child
}

describe('a process whose main loop is busy', () => {
  test('goes on beating, and says how long its loop has not turned', async () => {
    const subjects = new Subjects(freshNamespace())
    const { heard, probe, close } = await listening(subjects)
    const child = await beatingProcess(subjects)
    await until(() => heard.length >= 2, 'it beats')
    const turned = once(child, 'message')
    child.send(2_000)
    await until(() => heard.at(-1)!.beat[2] > 1_200, 'beats with an old tick')
    expect(await probe('life1')).toBe('alive')
    const [last, before] = [heard.at(-1)!, heard.at(-3)!]
    expect(last.subject).toBe(subjects.heartbeat('n1', 'life1'))
    expect(last.beat[0]).toBeGreaterThan(before.beat[0])
    expect(last.beat[1]).toBe(before.beat[1])
    await turned
    await until(() => heard.at(-1)!.beat[2] < 500 && heard.at(-1)!.beat[1] > last.beat[1], 'its loop turns again')
    await close()
  })
})

describe('a process that was killed', () => {
  test('beats no more, and nobody listens to probes', async () => {
    const subjects = new Subjects(freshNamespace())
    const { heard, probe, close } = await listening(subjects)
    const child = await beatingProcess(subjects)
    await until(() => heard.length >= 1, 'it beats')
    expect(await probe('life1')).toBe('alive')
    child.kill('SIGKILL')
    await until(async () => (await probe('life1')) !== 'alive', 'nobody answers')
    expect(await probe('life1')).toMatchObject({ noResponders: true })
    await close()
  })
})

describe('a heartbeat', () => {
  test('follows the incarnation, and stops beating for none', async () => {
    const subjects = new Subjects(freshNamespace())
    const { heard, probe, close } = await listening(subjects)
    const connection = { servers: server.url, name: 'n1' }
    const heartbeat = startHeartbeat({ connection, subjects, node: 'n1', beatMs: 20 })
    heartbeat.setIncarnation('life1')
    await until(() => heard.some(({ subject }) => subject.endsWith('.life1')), 'it beats for the first life')
    heartbeat.setIncarnation('life2')
    await until(() => heard.some(({ subject }) => subject.endsWith('.life2')), 'it beats for the second')
    expect(await probe('life1')).toMatchObject({ noResponders: true })
    expect(await probe('life2')).toBe('alive')
    heartbeat.setIncarnation(undefined)
    await until(async () => (await probe('life2')) !== 'alive', 'it beats for none')
    await heartbeat.stop()
    await close()
  })

  test('stopped before it is connected stops all the same', async () => {
    const connection = { servers: 'nats://127.0.0.1:1', name: 'n1' }
    const heartbeat = startHeartbeat({ connection, subjects: new Subjects(freshNamespace()), node: 'n1' })
    heartbeat.setIncarnation('life1')
    await heartbeat.stop()
    await heartbeat.stop()
  })
})

test('beats go on after the server was killed and started again', async () => {
  const subjects = new Subjects(freshNamespace())
  const { heard, close } = await listening(subjects)
  const connection = { servers: server.url, name: 'n1' }
  const heartbeat = startHeartbeat({ connection, subjects, node: 'n1', beatMs: 50 })
  heartbeat.setIncarnation('life1')
  await until(() => heard.length >= 2, 'it beats')
  await server.kill()
  const before = heard.length
  await server.restart()
  await until(() => heard.length >= before + 5, 'it beats again')
  await heartbeat.stop()
  await close()
})
