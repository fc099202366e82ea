import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { openBus } from '../../../src/nats/connect.ts'
import { openNamespace } from '../../../src/nats/setup.ts'
import { findServerBinary } from '../../../src/runtime/server/binary.ts'
import { startEmbeddedServer } from '../../../src/runtime/server/embedded.ts'
import { until } from '../../harness/server.ts'

const folders: string[] = []
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-embedded-'))
  folders.push(folder)
  return folder
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a server is reachable when it is returned, on a port of its own, and gone after stop', async () => {
  const [one, two] = await Promise.all([startEmbeddedServer(), startEmbeddedServer({ syncAlways: true, name: 'two' })])
  expect(one.port).not.toBe(two.port)
  expect(one.version).toMatch(/^2\.\d+\.\d+/)
  const bus = await openBus({ servers: two.url, name: 'x' })
  expect(bus.client.info?.server_name).toBe('two')
  await bus.close()
  expect(readFileSync(join(two.storeDir, 'nats-server.conf'), 'utf8')).toContain('sync_interval: always')
  await Promise.all([one.stop(), one.stop(), two.stop()])
  expect(isAlive(one.pid)).toBe(false)
  expect(await one.exited).not.toBeUndefined()
  expect(existsSync(one.storeDir)).toBe(false)
})

test('a store keeps its streams over kill and restart on the same port', async () => {
  const storeDir = newFolder()
  const first = await startEmbeddedServer({ storeDir })
  const bus = await openBus({ servers: first.url, name: 'x' })
  const { log, subjects } = await openNamespace(bus, { logBytesMax: 64 * 1024 * 1024 })
  await log.append(subjects.submit('a'), Buffer.from('kept'))
  first.kill()
  expect(await first.exited).toBeNull()
  const second = await startEmbeddedServer({ storeDir, port: first.port })
  expect(second.port).toBe(first.port)
  await until(() => bus.connected, 'the connection is back')
  expect(Buffer.from((await log.get(1))!.data).toString()).toBe('kept')
  await bus.close()
  await second.stop()
  expect(readFileSync(second.logFile, 'utf8')).toContain('Server is ready')
})

test('a store that another server uses is TROUPE_STORE_IN_USE, one of a dead server is free', async () => {
  const storeDir = newFolder()
  const server = await startEmbeddedServer({ storeDir })
  await expect(startEmbeddedServer({ storeDir })).rejects.toMatchObject({
    code: 'TROUPE_STORE_IN_USE',
    details: { pid: server.pid },
  })
  await server.stop()
  writeFileSync(join(storeDir, 'server.lock'), String(server.pid))
  const next = await startEmbeddedServer({ storeDir })
  await next.stop()
})

test('of many who start on one store at once, one does', async () => {
  const storeDir = newFolder()
  writeFileSync(join(storeDir, 'server.lock'), '999999999')
  const results = await Promise.allSettled(Array.from({ length: 4 }, () => startEmbeddedServer({ storeDir })))
  const started = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  expect(started).toHaveLength(1)
  for (const result of results) {
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'TROUPE_STORE_IN_USE' })
  }
  await started[0]!.stop()
})

test('a taken port and a faulty configuration are told with the reason', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as { port: number }
  await expect(startEmbeddedServer({ port })).rejects.toMatchObject({ code: 'TROUPE_INVALID_OPTION' })
  holder.close()
  await expect(startEmbeddedServer({ config: 'no_such_setting: 1' })).rejects.toMatchObject({
    code: 'TROUPE_NO_SERVER',
    message: expect.stringContaining('no_such_setting'),
  })
})

test('NATS_SERVER_BIN is used, and told when it is no program', () => {
  const real = findServerBinary({})
  expect(findServerBinary({ NATS_SERVER_BIN: real })).toBe(real)
  expect(() => findServerBinary({ NATS_SERVER_BIN: '/none/there' })).toThrow(/NATS_SERVER_BIN is "\/none\/there"/)
})

/** A process that starts a server, tells its pid, and does what `then` says. */
async function startParent(then: string): Promise<{ parent: ChildProcess; pid: number }> {
  const module = fileURLToPath(new URL('../../../src/runtime/server/embedded.ts', import.meta.url))
  const program = `import { startEmbeddedServer } from ${JSON.stringify(module)}
    const server = await startEmbeddedServer({ storeDir: ${JSON.stringify(newFolder())} })
    process.stdout.write(server.pid + '\\n')
    ${then}`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(parent.stdout!, 'data')) as [Buffer]
  return { parent, pid: Number(line.toString()) }
}

test('a server does not outlive a parent that is killed', async () => {
  const { parent, pid } = await startParent('setInterval(() => {}, 1000)')
  expect(isAlive(pid)).toBe(true)
  parent.kill('SIGKILL')
  await until(() => !isAlive(pid), 'the server is gone')
})

test('a server neither holds up nor outlives a parent that has nothing more to do', async () => {
  const { parent, pid } = await startParent('')
  if (parent.exitCode === null) await once(parent, 'exit')
  await until(() => !isAlive(pid), 'the server is gone')
})
