import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { Leadership } from '../../src/runtime/leadership.ts'
import { type OpenTest, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const running: Leadership[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((leadership) => leadership.stop({ release: false })))
})

interface Told {
  readonly leadership: Leadership
  readonly terms: number[]
  readonly stepDowns: string[]
}

function candidate(on: OpenTest, holder: string): Told {
  const terms: number[] = []
  const stepDowns: string[] = []
  const leadership = new Leadership({
    leases: on.leases,
    bus: on.bus,
    key: 'supervisor',
    holder,
    onLeading: (term) => terms.push(term),
    onStepDown: (reason) => stepDowns.push(reason),
  })
  running.push(leadership)
  leadership.start()
  return { leadership, terms, stepDowns }
}

/** The process of a candidate; killed by its own test. */
async function candidateProcess(namespace: string): Promise<ChildProcess> {
  const child = fork(new URL('./candidate-process.ts', import.meta.url), [server.url, namespace], { stdio: 'inherit' })
  const [message] = (await once(child, 'message')) as [{ leading: boolean }]
  expect(message).toEqual({ leading: true })
  return child
}

describe('an election over NATS', () => {
  test('has one leader, in term 1, in a namespace that never had one', async () => {
    await using opened = await openTest(server)
    const candidates = ['a', 'b', 'c'].map((holder) => candidate(opened, holder))
    await until(() => candidates.some(({ leadership }) => leadership.leading), 'one leads')
    expect(candidates.flatMap(({ terms }) => terms)).toEqual([1])
    await Promise.all(candidates.map(({ leadership }) => leadership.stop({ release: false })))
  })

  test('passes on at once when the leader stops', async () => {
    await using opened = await openTest(server)
    const first = candidate(opened, 'a')
    await until(() => first.leadership.leading, 'a leads')
    const second = candidate(opened, 'b')
    await first.leadership.stop({ release: true })
    expect(first.stepDowns).toEqual(['it was asked to stop'])
    await until(() => second.leadership.leading, 'b leads')
    expect(second.terms).toEqual([2])
    await second.leadership.stop()
  })

  test('has a successor after the leading process was killed', async () => {
    await using opened = await openTest(server)
    const process = await candidateProcess(opened.subjects.namespace)
    const standby = candidate(opened, 'standby')
    process.kill('SIGKILL')
    await until(() => standby.leadership.leading, 'the standby leads', 5_000)
    expect(standby.terms).toEqual([2])
    await standby.leadership.stop()
  })

  test('a process that was stopped finds that another leads, and steps down before it acts', async () => {
    await using opened = await openTest(server)
    const process = await candidateProcess(opened.subjects.namespace)
    const standby = candidate(opened, 'standby')
    process.kill('SIGSTOP')
    await until(() => standby.leadership.leading, 'the standby leads', 5_000)
    const told = once(process, 'message')
    process.kill('SIGCONT')
    expect(await told).toMatchObject([{ leading: false }, undefined])
    expect(standby.leadership.leading).toBe(true)
    process.kill('SIGKILL')
    await standby.leadership.stop()
  })

  test('what a stranger writes into the lease does not stop it for long', async () => {
    await using opened = await openTest(server)
    const only = candidate(opened, 'a')
    await until(() => only.leadership.leading, 'it leads')
    const revision = (await opened.leases.get('supervisor'))!.revision
    await opened.leases.put('supervisor', new TextEncoder().encode('{"holder":{},"term":"x"'), revision)
    await until(() => only.terms.length === 2 && only.leadership.leading, 'it leads again')
    await only.leadership.stop()
  })
})

test('a server that is killed and started again has a leader again', async () => {
  await using opened = await openTest(server)
  const candidates = ['a', 'b'].map((holder) => candidate(opened, holder))
  await until(() => candidates.some(({ leadership }) => leadership.leading), 'one leads')
  await server.kill()
  await until(() => candidates.every(({ leadership }) => !leadership.leading), 'nobody leads without a server')
  await server.restart()
  await until(() => candidates.some(({ leadership }) => leadership.leading), 'one leads again')
  await Promise.all(candidates.map(({ leadership }) => leadership.stop({ release: false })))
})
