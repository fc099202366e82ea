/** `troupe dev` as a user runs it, and every command against it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../harness/server.ts'
import { type Ran, troupe } from './command.ts'

interface Ready {
  readonly nats: string
  readonly pid: number
  readonly nodes: readonly { readonly id: string; readonly pid: number }[]
}

const folder = mkdtempSync(join(tmpdir(), 'troupe-dev-test-'))
const binary = fileURLToPath(new URL('../../../bin/troupe.mjs', import.meta.url))
const tasks = fileURLToPath(new URL('./dev-tasks.ts', import.meta.url))
const readyFile = join(folder, 'ready.json')
let dev: ChildProcess
let ready: Ready

beforeAll(async () => {
  const args = ['dev', tasks, '--port', '0', '--ephemeral', '--ready-file', readyFile, '--log-level', 'error']
  dev = spawn(process.execPath, [binary, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  await until(
    () => existsSync(readyFile) && readFileSync(readyFile, 'utf8').endsWith('\n'),
    'the cluster is ready',
    60_000,
  )
  ready = JSON.parse(readFileSync(readyFile, 'utf8')) as Ready
})

afterAll(() => {
  dev.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const run = (...args: string[]): Promise<Ran> => troupe(args, { env: { TROUPE_NATS: ready.nats } })

test('its processes keep the heap of young objects small, under the id that they were started with', () => {
  const flagsOf = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(1, 3)
  expect(ready.pid).toBe(dev.pid)
  expect(flagsOf(dev.pid!)).toEqual(['--max-semi-space-size=16', binary])
  for (const { pid } of ready.nodes) expect(flagsOf(pid)).toContain('--max-semi-space-size=16')
})

test('run, submit and result give outcomes; an input that does not fit is refused before it is accepted', async () => {
  expect(await run('run', 'cli-square', '12')).toMatchObject({ code: 0, stdout: '144\n' })
  expect(await run('submit', 'cli-square', '3', '--id', 'three')).toMatchObject({ code: 0, stdout: 'three\n' })
  expect((await run('result', 'three', '--json')).values).toEqual([{ id: 'three', status: 'completed', result: 9 }])
  const refused = await run('run', 'cli-square', '"x"', '--id', 'refused', '--json')
  expect(refused.code).toBe(1)
  expect(refused.values).toMatchObject([{ error: { code: 'TROUPE_INVALID_INPUT' } }])
  expect((await run('show', 'refused')).code).toBe(1)
})

test('tasks are listed, shown, cancelled, and their history told', async () => {
  await run('submit', 'cli-square', '1', '--id', 'later', '--delay', '1h')
  expect((await run('ls', '--status', 'delayed', '--json')).values).toMatchObject([{ id: 'later', status: 'delayed' }])
  expect((await run('ls')).stdout).toMatch(/^ID +TYPE +STATUS/)
  expect(await run('cancel', 'later')).toMatchObject({ code: 0, stdout: 'later  cancelled\n' })
  expect((await run('show', 'later', '--json')).values).toMatchObject([{ status: 'cancelled' }])
  const history = (await run('history', 'later', '--json')).values as { what: string }[]
  expect(history.map(({ what }) => what)).toEqual(['submitted', 'cancelled'])
  expect((await run('result', 'later')).code).toBe(1)
})

test('a dead letter is listed, retried and removed', async () => {
  expect((await run('run', 'cli-fail', '--id', 'dead')).code).toBe(1)
  expect((await run('dead', '--json')).values).toMatchObject([{ id: 'dead', status: 'failed' }])
  expect((await run('dead', 'retry', '--all', '--json')).values).toEqual([{ id: 'dead', retried: true }])
  await until(async () => (await run('dead', '--json')).values.length === 1, 'it fails again')
  expect((await run('retry', 'dead')).code).toBe(0)
  await until(async () => (await run('dead', '--json')).values.length === 1, 'it fails again')
  expect(await run('dead', 'rm', 'dead')).toMatchObject({ code: 0, stdout: 'dead  removed\n' })
  expect((await run('dead', '--json')).values).toEqual([])
  expect((await run('retry', 'three')).code).toBe(1)
})

test('bench measures with a node of its own or with those of a type, and leaves no task and no node behind', async () => {
  const own = await run('bench', '--tasks', '60', '--json')
  expect(own).toMatchObject({ code: 0, stderr: '' })
  const [found] = own.values as { type: string; bulk: object; latencyMs: { p50: number } }[]
  expect(found).toMatchObject({
    bulk: { tasks: 60, perSecond: expect.any(Number), acceptedPerSecond: expect.any(Number) },
    single: { tasks: 12, inFlight: 200, perSecond: expect.any(Number) },
    latencyMs: { tasks: 1, p99: expect.any(Number), max: expect.any(Number) },
  })
  expect(found!.latencyMs.p50).toBeGreaterThan(0)
  expect((await run('ls', '--type', found!.type, '--json')).values).toEqual([])
  expect((await run('nodes', '--json')).values).toHaveLength(2)

  const given = await run('bench', '--type', 'cli-square', '--input', '4', '--tasks', '50', '--in-flight', '10')
  expect(given).toMatchObject({ code: 0, stderr: '' })
  expect(given.stdout).toMatch(/^many at once +\d.* tasks\/s/)
  const none = await run('bench', '--type', 'nobody-has-it', '--tasks', '50', '--timeout', '1s')
  expect(none.code).toBe(3)
  expect((await run('ls', '--type', 'nobody-has-it', '--json')).values).toEqual([])
})

test('a file that cannot be imported and a port that is taken are said, and nothing is left running', async () => {
  const broken = join(folder, 'broken.ts')
  writeFileSync(broken, "throw new Error('oops')\n")
  const failed = await run('dev', broken, '--ephemeral', '--port', '0')
  expect(failed.code).toBe(1)
  expect(failed.stderr).toMatch(/^error: .*broken\.ts cannot be imported: oops \(TROUPE_IMPORT_FAILED\)$/m)
  expect(failed.stderr).not.toMatch(/^ {4}at /m)

  const taken = await run('dev', tasks, '--ephemeral', '--port', new URL(ready.nats).port)
  expect(taken.code).toBe(2)
  expect(taken.stderr).toMatch(/the port is taken by another process/)
})

test('doctor finds all well; a drained node leaves', async () => {
  expect((await run('doctor')).stdout).not.toMatch(/^fail/m)
  expect((await run('nodes', '--json')).values).toMatchObject([{ status: 'ready' }, { status: 'ready' }])
  expect(await run('drain', 'node-1')).toMatchObject({ code: 0, stdout: 'node-1  draining\n' })
  expect((await run('drain', 'nobody')).code).toBe(1)
  const first = ready.nodes.find(({ id }) => id === 'node-1')!
  await until(
    async () => ((await run('nodes', '--json')).values as { pid: number }[]).every(({ pid }) => pid !== first.pid),
    'it has left',
  )
  expect(await run('run', 'cli-square', '2')).toMatchObject({ code: 0, stdout: '4\n' })
})

test('SIGINT ends everything, with exit code 0', async () => {
  const ended = new Promise<number | null>((resolve) => dev.once('exit', resolve))
  dev.kill('SIGINT')
  expect(await ended).toBe(0)
  for (const { pid } of ready.nodes) await until(() => !isAlive(pid), `process ${pid} has ended`)
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
