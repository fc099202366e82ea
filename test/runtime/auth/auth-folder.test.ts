/** What `troupe auth` writes, and that a real server does as it says. */
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openBus } from '../../../src/nats/connect.ts'
import { changeAuth, parseIdentity } from '../../../src/runtime/auth/auth-folder.ts'
import { issueCertificate, newAuthority } from '../../../src/runtime/auth/certificates.ts'
import { tlsConfig } from '../../../src/runtime/auth/server-config.ts'
import { startEmbeddedServer } from '../../../src/runtime/server/embedded.ts'
import { until } from '../../harness/server.ts'
import { troupe } from '../cli/command.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'troupe-auth-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }))

const identity = (name: string) => join(folder, 'identities', name)

test('secrets are readable by their owner only, and stay as they are when identities are added', async () => {
  const first = await troupe(['auth', '--json', '--dir', folder, 'node:worker-1', 'scheduler+supervisor:control-1'])
  expect(first.values).toMatchObject([
    {
      namespace: 'main',
      identities: [{ name: 'worker-1' }, { name: 'control-1', roles: ['scheduler', 'supervisor'] }],
    },
  ])
  const before = readFileSync(identity('worker-1.creds'), 'utf8')
  await troupe(['auth', '--dir', folder, 'client:billing', 'node:worker-1'])
  expect(readFileSync(identity('worker-1.creds'), 'utf8')).toBe(before)
  const secrets = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /key|creds|\.nk/.test(name),
  )
  expect(secrets.length).toBeGreaterThanOrEqual(3 * 3 + 2)
  for (const name of secrets) expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600)
  const open = ['auth.json', 'ca.pem', 'server/auth.conf', 'server/server.pem', 'server/nats-server.conf']
  const published = open.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
  const { nkey, tls } = JSON.parse(before) as { nkey: string; tls: { key: string } }
  expect([nkey, tls.key.split('\n')[1]!].filter((secret) => published.includes(secret))).toEqual([])
  expect(published).not.toMatch(/\bSU[A-Z2-7]{56}|PRIVATE/)
})

test("the operator's own changes of nats-server.conf stay", () => {
  changeAuth({ folder, add: [parseIdentity('client:a')] })
  const file = join(folder, 'server', 'nats-server.conf')
  writeFileSync(file, `${readFileSync(file, 'utf8')}# mine\n`)
  changeAuth({ folder, add: [parseIdentity('client:b')] })
  expect(readFileSync(file, 'utf8')).toContain('# mine')
})

test.each([
  ['worker-1', 'TROUPE_INVALID_OPTION'],
  ['king:worker-1', 'TROUPE_INVALID_OPTION'],
  ['node:a:b', 'TROUPE_INVALID_OPTION'],
  [':a', 'TROUPE_INVALID_OPTION'],
  ['node:', 'TROUPE_INVALID_NAME'],
  ['node:a.b', 'TROUPE_INVALID_NAME'],
  ['node:>', 'TROUPE_INVALID_NAME'],
  ['node:../x', 'TROUPE_INVALID_NAME'],
  ['client:a=b', 'TROUPE_INVALID_NAME'],
])('%s is no identity', (text, code) => {
  expect(() => parseIdentity(text)).toThrow(expect.objectContaining({ code }))
})

test('certificates are of the authority, for the hosts that were given, and for nothing else', () => {
  const authority = newAuthority('one')
  const ca = new X509Certificate(authority.cert)
  const server = new X509Certificate(
    issueCertificate(authority, 'server', ['nats.example.org', '10.1.2.3', 'fe80::1']).cert,
  )
  const client = new X509Certificate(issueCertificate(authority, 'billing').cert)
  for (const issued of [server, client]) {
    expect(issued.checkIssued(ca) && issued.verify(ca.publicKey)).toBe(true)
    expect(issued.verify(new X509Certificate(newAuthority('one').cert).publicKey)).toBe(false)
    expect(issued.ca).toBe(false)
  }
  expect(ca.ca).toBe(true)
  expect(server.checkHost('nats.example.org')).toBe('nats.example.org')
  expect(server.checkHost('example.org')).toBeUndefined()
  expect([server.checkIP('10.1.2.3'), server.checkIP('fe80::1')].every(Boolean)).toBe(true)
  expect(client.subject).toBe('CN=billing')
  expect(() => issueCertificate(authority, 'x', ['no host'])).toThrow(/no host name/)
})

test('only who has certificate and key of an identity connects; one that is removed does no more', {
  timeout: 60_000,
}, async () => {
  changeAuth({ folder, add: ['client:billing', 'client:shipping'].map(parseIdentity) })
  // As nats-server.conf has it, on a free port.
  const config = `${tlsConfig(join(folder, 'server'))}\ninclude "../server/auth.conf"`
  const server = await startEmbeddedServer({ config, storeDir: join(folder, 'store') })
  const servers = server.url.replace('nats:', 'tls:')
  const tls = { caFile: join(folder, 'ca.pem'), certFile: identity('billing.pem'), keyFile: identity('billing.key') }
  const connects = async (options: object) => {
    const bus = await openBus({ servers, name: 'x', connectTimeoutMs: 2_000, ...options }).catch(
      (error: { code: string }) => error,
    )
    if ('code' in bus) return bus.code
    await bus.close()
    return 'connected'
  }
  try {
    expect(await connects({ creds: identity('billing.creds') })).toBe('connected')
    const plain = { tls, nkey: identity('billing.nk'), inboxPrefix: '_INBOX.billing' }
    expect(await connects(plain)).toBe('connected')
    // Without a key, without a certificate, with one of another authority, with another's inbox.
    expect(await connects({ tls })).toBe('TROUPE_NOT_ALLOWED')
    expect(await connects({ ...plain, tls: { caFile: tls.caFile } })).toMatch(/TROUPE_NO_SERVER|TROUPE_NOT_ALLOWED/)
    const stranger = issueCertificate(newAuthority('Troupe main'), 'billing')
    writeFileSync(join(folder, 'x.pem'), stranger.cert)
    writeFileSync(join(folder, 'x.key'), stranger.key)
    const strange = { ...tls, certFile: join(folder, 'x.pem'), keyFile: join(folder, 'x.key') }
    expect(await connects({ ...plain, tls: strange })).toMatch(/TROUPE_NO_SERVER|TROUPE_NOT_ALLOWED/)
    expect(await connects({ ...plain, inboxPrefix: '_INBOX.shipping' })).toBe('TROUPE_NOT_ALLOWED')
    const creds = join(folder, 'kept.creds')
    writeFileSync(creds, readFileSync(identity('billing.creds')))
    changeAuth({ folder, remove: ['billing'] })
    process.kill(server.pid, 'SIGHUP')
    await until(async () => (await connects({ creds })) === 'TROUPE_NOT_ALLOWED', 'the identity is gone', 30_000)
    expect(await connects({ creds: identity('shipping.creds') })).toBe('connected')
    expect(readdirSync(join(folder, 'identities')).filter((name) => name.startsWith('billing'))).toEqual([])
  } finally {
    await server.stop()
  }
})
