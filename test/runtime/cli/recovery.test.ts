/** What docs/operations.md says of a log that was replaced, step by step, as an operator would do it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { startEmbeddedServer } from '../../../src/runtime/server/embedded.ts'
import { connectPlain } from '../../harness/plain-client.ts'
import { until } from '../../harness/server.ts'
import { type Ran, troupe } from './command.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-recovery-'))
const storeDir = join(folder, 'store')
const binary = fileURLToPath(new URL('../../../bin/troupe.mjs', import.meta.url))
const tasks = fileURLToPath(new URL('./dev-tasks.ts', import.meta.url))
const started: ChildProcess[] = []

afterAll(() => {
  for (const child of started) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})

const devArgs = ['dev', tasks, '--port', '0', '--nodes', '1', '--store', storeDir]

/** Runs `troupe dev` while `work` does. */
async function whileDevRuns(work: (run: (...args: string[]) => Promise<Ran>) => Promise<void>): Promise<void> {
  const readyFile = join(folder, `ready-${started.length}`)
  const args = [binary, ...devArgs, '--ready-file', readyFile, '--log-level', 'error']
  const dev = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  started.push(dev)
  const ended = new Promise((resolve) => dev.once('exit', resolve))
  await until(() => existsSync(readyFile) && readFileSync(readyFile, 'utf8').endsWith('\n'), 'it is ready', 20_000)
  const { nats } = JSON.parse(readFileSync(readyFile, 'utf8')) as { nats: string }
  await work((...given) => troupe(given, { env: { TROUPE_NATS: nats } }))
  dev.kill('SIGTERM')
  expect(await ended).toBe(0)
}

async function deleteStream(name: string): Promise<void> {
  const server = await startEmbeddedServer({ storeDir })
  const client = await connectPlain(server.url, 'main')
  await client.deleteStream(name)
  await client.close()
  await server.stop()
}

test('a log that was deleted is not led with the old ledger, and is after the steps in docs/operations.md', async () => {
  await whileDevRuns(async (run) => {
    expect(await run('run', 'cli-square', '3')).toMatchObject({ stdout: '9\n' })
  })
  await deleteStream('TROUPE_main_LOG_0')
  const refused = await troupe(devArgs)
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(/^error: log TROUPE_main_LOG_0 .*created anew since \(TROUPE_LOG_MISMATCH\)$/m)
  expect(refused.stderr).toContain('docs/operations.md')
  expect(refused.stderr).not.toMatch(/^ {4}at /m)
  await deleteStream('TROUPE_main_CHECKPOINTS_0')
  await whileDevRuns(async (run) => {
    expect(await run('run', 'cli-square', '4')).toMatchObject({ stdout: '16\n' })
  })
}, 90_000)
