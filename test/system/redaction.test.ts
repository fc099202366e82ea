/** Fifty secrets on all ways through a cluster that has every kind of failure: no log, metric or health page shows one. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { newUserKey } from '../../src/nats/credentials.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { newAuthority } from '../../src/runtime/auth/certificates.ts'
import { redacted } from '../../src/runtime/redaction.ts'
import { ClusterProcess } from '../harness/cluster.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const folder = mkdtempSync(join(tmpdir(), 'troupe-redaction-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const secrets: string[] = []
/** A new secret that nothing can know by its form. */
function secret(about: string): string {
  const made = `${about}-${randomBytes(9).toString('hex')}`
  secrets.push(made)
  return made
}

function credential(text: string, shown: string): string {
  secrets.push(shown)
  return text
}

/** Credentials as text that names them. */
function credentials(): string[] {
  const word = () => randomBytes(12).toString('hex')
  const withWord = (form: (word: string) => string) => {
    const one = word()
    return credential(form(one), one)
  }
  const seeds = Array.from({ length: 4 }, () => newUserKey().seed)
  const keys = [newAuthority('one').key, newAuthority('two').key]
  return [
    ...['nats', 'tls', 'https', 'postgres', 'redis', 'amqp'].map((scheme) =>
      withWord((one) => `${scheme}://user:${one}@host:1/x`),
    ),
    withWord((one) => `nats://${one}@host`),
    ...['token', 'password', 'api_key', 'signature'].map((name) =>
      withWord((one) => `https://host/x?a=1&${name}=${one}&b=2`),
    ),
    ...['password', 'token', 'Authorization', 'apiKey', 'seed'].map((name) =>
      withWord((one) => JSON.stringify({ [name]: one })),
    ),
    withWord((one) => `Authorization: Bearer ${one}`),
    withWord((one) => `Authorization: Basic ${one}==`),
    ...seeds.map((seed) => credential(`the seed is ${seed}.`, seed)),
    ...keys.map((key) => credential(key, key.split('\n')[1]!)),
    withWord((one) => `eyJhbGciOiJlZDI1NTE5In0.eyJzdWIiOiJ4In0${one}.${one}`),
    withWord((one) => `-----BEGIN USER NKEY SEED-----\n${one}\n------END USER NKEY SEED------`),
  ]
}

test('credentials of every form are taken out of text, and what stands around them stays', () => {
  const before = secrets.length
  for (const text of credentials()) {
    for (const form of [text, JSON.stringify({ msg: `before ${text} after` })]) {
      const shown = redacted(form)
      expect(
        secrets.slice(before).filter((one) => shown.includes(one)),
        shown,
      ).toEqual([])
    }
  }
  expect(redacted('task "a@b" of node x:y at nats://127.0.0.1:4222')).toBe(
    'task "a@b" of node x:y at nats://127.0.0.1:4222',
  )
})

test('fifty secrets are in no log line, metric or health page, whatever fails', { timeout: 120_000 }, async () => {
  const namespace = freshNamespace()
  const stage = await openTest(server, namespace)
  const subjects = new Subjects(namespace)
  const url = server.url.replace('//', `//user:${secret('url')}@`)
  const key = randomBytes(32).toString('base64')
  secrets.push(key)
  const encryption = { current: 'k1', keys: { k1: key } }
  process.env.TROUPE_SECRET_OF_THE_TEST = secret('env')
  const files = [fileURLToPath(new URL('./secretive.ts', import.meta.url))]
  const common = { servers: url, namespace, logLevel: 'trace', healthPort: 0 } as const
  const control = new ClusterProcess(
    'control',
    folder,
    { ...common, roles: ['scheduler', 'supervisor'], files: [] },
    {},
  )
  const node = new ClusterProcess('node', folder, { ...common, name: 'node', roles: ['node'], files, encryption }, {})
  await Promise.all([control.ready(), node.ready()])
  const sealing = await connect({ servers: server.url, namespace, encryption })
  const troupe = await connect({ servers: server.url, namespace })
  try {
    const settled = async (type: string, input: unknown) => {
      const { id } = await troupe.submit(type, input)
      const result = sealing.handle(id).result({ timeout: '60s' })
      return result.then(
        () => 'completed',
        () => 'failed',
      )
    }
    for (const type of ['fails', 'fails-in-step', 'throws-text', 'threaded', 'forked', 'unsaved', 'strict']) {
      expect(await settled(type, secret(type)), type).toBe('failed')
    }
    expect(await settled('strays', secret('strays'))).toBe('completed')
    for (const type of ['returns', 'returns'])
      expect(await (await sealing.submit(type, secret('sealed'))).result()).toBeTruthy()
    const kept = await sealing.submit('keeps', { secret: secret('snapshot') })
    await kept.signal({ type: 'GO', secret: secret('signal') } as never)
    await kept.result()
    const machine = await troupe.submit('machine', secret('machine'), { id: 'machine' })
    await machine.signal({ type: 'GO', secret: secret('event') } as never)
    await machine.result({ timeout: '10s' }).catch(() => undefined)
    expect(await settled('talks', credentials())).toBe('completed')
    // What cannot be read, with a secret in it.
    const bytes = (text: string) => new TextEncoder().encode(text)
    for (const [subject, text, headers] of [
      [subjects.submit('returns'), `{"secret": ${secret('json')}`, {}],
      [subjects.submit('returns'), '1', { 'Troupe-Delay': secret('header') }],
      [subjects.submit('returns'), '1', { 'Troupe-Id': `${secret('id')} with spaces` }],
      [subjects.submit('returns'), secret('msgpack'), { 'Content-Type': 'application/msgpack' }],
      [subjects.signal('machine'), secret('unreadable-signal'), {}],
      [subjects.block('x'), secret('block'), {}],
      [subjects.journal(0, 'nobody', 'x'), secret('journal'), {}],
      [subjects.control(0, 'nobody'), secret('control'), {}],
    ] as const) {
      await stage.log.append(subject, bytes(text), { headers })
    }
    for (const subject of [
      subjects.report('node', 'x'),
      subjects.node('node', 'x'),
      subjects.heartbeat('node', 'x'),
      subjects.call(0),
    ]) {
      stage.bus.publish(subject, bytes(`{${secret('core')}`))
    }
    for (const subject of [subjects.run('returns'), subjects.tasks, subjects.limits, subjects.cron, subjects.dead]) {
      await stage.bus.request(subject, bytes(`{${secret('request')}`)).catch(() => undefined)
    }
    await stage.bus
      .request(subjects.validate('strict'), bytes(JSON.stringify(secret('validate'))))
      .catch(() => undefined)
    await until(async () => (await troupe.dead()).setAside.length >= 3, 'what cannot be read is set aside', 30_000)
    const pages = await Promise.all([control, node].map(async (one) => pagesOf(one.log())))
    await node.kill()
    const ready = ['control', 'node'].map((name) => readFileSync(join(folder, `${name}.ready`), 'utf8'))
    const printed = [control.log(), node.log(), ...pages.flat(), ...ready].join('\n')
    expect(secrets.length).toBeGreaterThanOrEqual(50)
    expect(secrets.filter((one) => printed.includes(one))).toEqual([])
    // The failures are there to be seen, without their words.
    expect(node.log()).toMatch(/an error was thrown outside of any task.*RangeError|RangeError.*an error was thrown/)
    expect(node.log()).toContain('[redacted]')
  } finally {
    delete process.env.TROUPE_SECRET_OF_THE_TEST
    await Promise.all([sealing.close(), troupe.close(), stage.close(), control.kill(), node.kill()])
  }
})

async function pagesOf(log: string): Promise<string[]> {
  const [, port] = /"port":(\d+)/.exec(log)!
  return Promise.all(
    ['healthz', 'readyz', 'metrics'].map(async (page) => (await fetch(`http://127.0.0.1:${port}/${page}`)).text()),
  )
}
