import { expect, test } from 'vitest'
import type { StreamFacts } from '../../../src/nats/server-info.ts'
import {
  type Finding,
  judgeCheckpoints,
  judgeClock,
  judgeDeadLetters,
  judgeDurability,
  judgeFill,
  judgeObjects,
  judgeStream,
} from '../../../src/runtime/doctor/findings.ts'
import { useStages } from '../../client/setup.ts'
import { troupe } from './command.ts'

const stages = useStages()

test('without Troupe processes, doctor names what works, what is missing, and what to do', async () => {
  const { namespace } = await stages.stage()
  const monitoring = stages.server.process.monitoringUrl
  const ran = await troupe([
    'doctor',
    '--json',
    '--nats',
    stages.server.url,
    '--namespace',
    namespace,
    '--monitoring',
    monitoring,
  ])
  expect(ran.code).toBe(1)
  const findings = ran.values as Finding[]
  const of = (check: string) => findings.find((finding) => finding.check === check)
  expect(of('server')).toMatchObject({ status: 'ok', message: expect.stringContaining('2.14') })
  expect(of('permissions')).toMatchObject({ status: 'ok' })
  expect(of('clock')).toMatchObject({ status: 'ok' })
  expect(of('durability')).toMatchObject({
    status: 'ok',
    message: expect.stringMatching(/process faults.*sync_interval: 120 s/),
  })
  expect(of('scheduler')).toMatchObject({ status: 'fail', next: expect.stringContaining('troupe dev') })
  expect(findings.filter(({ check }) => check.startsWith('stream ')).map(({ status }) => status)).toEqual([
    'ok',
    'ok',
    'ok',
    'ok',
  ])
})

test('install gives a log the size that it is told, and more when it is there', async () => {
  const at = ['--json', '--nats', stages.server.url, '--namespace', 'sized']
  for (const size of ['64MiB', '0.125GiB']) {
    expect(await troupe(['install', '--log-size', size, ...at])).toMatchObject({ code: 0, stderr: '' })
    const findings = (await troupe(['doctor', ...at])).values as Finding[]
    const [fill] = findings.filter(({ check }) => check === 'log size')
    expect(fill?.message).toContain(size === '64MiB' ? 'of 64.0 MiB' : 'of 128')
  }
})

test('doctor makes nothing in a namespace that does not exist', async () => {
  const args = ['doctor', '--nats', stages.server.url, '--namespace', 'nowhere']
  expect((await troupe(args)).stdout).toMatch(/warn +streams: namespace "nowhere" has no log yet/)
  expect((await troupe(args)).stdout).toMatch(/warn +streams: namespace "nowhere" has no log yet/)
})

const facts: StreamFacts = {
  name: 'LOG',
  retention: 'limits',
  discard: 'new',
  storage: 'file',
  replicas: 3,
  maxAgeNs: 0,
  bytes: 10,
  bytesMax: 100,
  firstTimeMs: 0,
  lastTimeMs: 0,
  subjects: ['door', 'inner'],
  dedupeWindowMs: 60_000,
  behind: [],
  leader: 'a',
  serverTimeMs: 0,
}

test('only three copies that are synced before each answer hold for machine loss', () => {
  const always = { always: true, intervalMs: 0 }
  expect(judgeDurability(facts, always).message).toMatch(/machine loss \(3 copies, sync_interval: always\)/)
  expect(judgeDurability(facts, { always: false, intervalMs: 120_000 }).message).toMatch(
    /^holds for process faults .*120 s/,
  )
  expect(judgeDurability(facts, undefined)).toMatchObject({ next: expect.stringContaining('--monitoring') })
  expect(judgeDurability({ ...facts, replicas: 1 }, always).message).toMatch(/^holds for process faults/)
  expect(judgeDurability({ ...facts, storage: 'memory' }, always).status).toBe('warn')
})

test('a stream that would lose entries is a failure; a closed door and lagging replicas are warnings', () => {
  const wanted = { subjects: ['inner'], door: ['door'] }
  const statuses = (changes: Partial<StreamFacts>) =>
    judgeStream({ ...facts, ...changes }, wanted).map(({ status }) => status)
  expect(statuses({})).toEqual(['ok'])
  expect(statuses({ maxAgeNs: 1 })).toEqual(['fail'])
  expect(statuses({ discard: 'old' })).toEqual(['fail'])
  expect(statuses({ subjects: ['door'] })).toEqual(['fail'])
  expect(statuses({ dedupeWindowMs: 1_000 })).toEqual(['fail'])
  expect(statuses({ subjects: ['inner'], behind: ['b'] })).toEqual(['ok', 'warn', 'warn'])
})

test('a ledger that was not saved for ten minutes is a warning, and so is a dead letter', () => {
  const log = { ...facts, firstTimeMs: 1_000, lastTimeMs: 901_000 }
  const judged = (savedAtMs: number) => judgeCheckpoints(log, { ...facts, lastTimeMs: savedAtMs })
  expect(judgeCheckpoints(facts, facts)).toMatchObject({ status: 'ok', message: 'there is nothing to save yet' })
  expect(judged(0)).toMatchObject({ status: 'warn', message: 'none yet, 900 s behind the log' })
  expect(judged(300_000)).toMatchObject({ status: 'warn', message: 'the newest is 601 s behind the log' })
  expect(judged(302_000)).toMatchObject({ status: 'ok' })
  expect(judged(950_000)).toMatchObject({ status: 'ok', message: 'the newest is 0 s behind the log' })
  expect(judgeDeadLetters(0).status).toBe('ok')
  expect(judgeDeadLetters(2)).toMatchObject({ status: 'warn', next: expect.stringContaining('troupe dead ls') })
})

test('a log above 60 % and a clock more than a second off are warnings', () => {
  expect(judgeFill(facts, String).status).toBe('ok')
  expect(judgeFill({ ...facts, bytes: 61 }, String).status).toBe('warn')
  expect(judgeFill({ ...facts, bytesMax: -1 }, String).status).toBe('warn')
  expect(judgeObjects({ ...facts, bytes: 79, bytesMax: 100 }, String)).toBeUndefined()
  expect(judgeObjects({ ...facts, bytes: 80, bytesMax: 100 }, String)).toMatchObject({
    status: 'warn',
    check: 'large values',
  })
  expect(judgeClock(-900, 5).status).toBe('ok')
  expect(judgeClock(1_400, 500).status).toBe('ok')
  expect(judgeClock(1_600, 500)).toMatchObject({ status: 'warn', message: '1600 ms ahead of the server (± 500 ms)' })
})
