/** Every role against every subject, on a real server with the configuration that `troupe auth` writes. */
import { expect, test } from 'vitest'
import type { NatsBus, Violation } from '../../../src/nats/connection.ts'
import { openedNamespace, openNamespace } from '../../../src/nats/setup.ts'
import { type AuthRole, authRoles, covers, grantOf, permissionTable } from '../../../src/protocol/permissions.ts'
import { Subjects } from '../../../src/protocol/subjects.ts'
import { maySweep } from '../../../src/runtime/auth/needs.ts'
import { useSecuredServer } from '../../harness/secured.ts'
import { until } from '../../harness/server.ts'

const s = new Subjects('main')
const foreign = new Subjects('elsewhere')
const nameOf = (role: AuthRole) => `the-${role}`
const identities = authRoles.map((role) => ({ name: nameOf(role), roles: [role] }))
const server = useSecuredServer('main', identities)

const names = [...identities.map(({ name }) => name), 'another']
const streams = [s, foreign].flatMap((one) => [
  one.logStream(0),
  one.checkpointStream(0),
  `KV_${one.leaseBucket}`,
  `OBJ_${one.objectBucket}`,
])

/** What JetStream's API can be asked of a stream. */
const endpoints = [
  'STREAM.CREATE.%',
  'STREAM.UPDATE.%',
  'STREAM.INFO.%',
  'STREAM.DELETE.%',
  'STREAM.PURGE.%',
  'STREAM.MSG.GET.%',
  'STREAM.MSG.DELETE.%',
  'STREAM.SNAPSHOT.%',
  'STREAM.RESTORE.%',
  'STREAM.PEER.REMOVE.%',
  'STREAM.LEADER.STEPDOWN.%',
  'DIRECT.GET.%',
  'DIRECT.GET.%.troupe.main.submit.a',
  'CONSUMER.CREATE.%',
  'CONSUMER.CREATE.%.c',
  'CONSUMER.CREATE.%.c.troupe.main.submit.a',
  'CONSUMER.DURABLE.CREATE.%.c',
  'CONSUMER.DELETE.%.c',
  'CONSUMER.INFO.%.c',
  'CONSUMER.LIST.%',
  'CONSUMER.NAMES.%',
  'CONSUMER.MSG.NEXT.%.c',
  'CONSUMER.PAUSE.%.c',
  'CONSUMER.LEADER.STEPDOWN.%.c',
]

/** A concrete subject, or a pattern, for everything that can be said or heard. */
function everySubject(): string[] {
  const rows = [s, foreign].flatMap((subjects) => names.flatMap((name) => permissionTable(subjects, name)))
  const concrete = rows.flatMap(({ pattern }) =>
    ['x', 'another'].map((token) => pattern.replaceAll('*', token).replaceAll('>', `${token}.y`)),
  )
  const api = streams.flatMap((stream) => endpoints.map((endpoint) => `$JS.API.${endpoint.replace('%', stream)}`))
  const flow = streams.flatMap((stream) => [`$JS.FC.${stream}.c.x`, `$JS.ACK.${stream}.c.1.1.1.1.1`])
  const rest = [
    '$JS.API.STREAM.LIST',
    '$JS.API.STREAM.NAMES',
    '$JS.API.ACCOUNT.PURGE.TROUPE_main',
    '$JS.API.META.LEADER.STEPDOWN',
    '$SYS.REQ.SERVER.PING',
    '$SYS.REQ.ACCOUNT.PING.CONNZ',
    '$SYS.ACCOUNT.TROUPE_main.CONNECT',
    '$G.anything',
    '_INBOX.anybody.r.1',
    '_R_.x',
    'troupe',
    'billing.outcomes',
    ...names.map((name) => `_INBOX.${name}.abc.r.1`),
    ...names.map((name) => s.tell(`${name}=c1`)),
  ]
  return [...new Set([...concrete, ...api, ...flow, ...rest])]
}

const wildcards = ['>', '*', '*.>', 'troupe.>', 'troupe.main.>', 'troupe.*.submit.>', '$JS.>', '$SYS.>', '_INBOX.>']

const empty = new Uint8Array(0)
const sentinel = 'nobody.may.say.this'

async function refusedOf(bus: NatsBus, act: (subject: string) => void, subjects: readonly string[]): Promise<string[]> {
  const refused: Violation[] = []
  const stop = bus.onRefused((violation) => refused.push(violation))
  for (const subject of subjects) act(subject)
  // Refusals come in order: with this one, all are there.
  bus.publish(sentinel, empty)
  const subject = () => refused.map((violation) => violation.subject)
  await until(() => subject().includes(sentinel), 'the last is refused', 30_000)
  stop()
  return subject()
    .filter((one) => one !== sentinel)
    .sort()
}

const all = everySubject()

test.each(identities)('$roles may do what the table says, and nothing else', { timeout: 60_000 }, async (identity) => {
  const { publish, subscribe } = grantOf('main', identity)
  const forbidden = (grant: readonly string[], subjects: readonly string[]) =>
    subjects.filter((subject) => !grant.some((pattern) => covers(pattern, subject))).sort()
  const bus = await server.connect(identity.name)
  try {
    const heard = [...all, ...wildcards]
    const subscribed = await refusedOf(bus, (subject) => bus.subscribe(subject, () => {}), heard)
    expect(subscribed).toEqual(forbidden(subscribe, heard))
  } finally {
    await bus.close()
  }
  // Another connection: the first hears what it has published itself.
  const publisher = await server.connect(identity.name)
  try {
    const published = await refusedOf(publisher, (subject) => publisher.publish(subject, empty), all)
    expect(published).toEqual(forbidden(publish, all))
  } finally {
    await publisher.close()
  }
})

test('the table speaks of every subject that there is', () => {
  const names = Object.getOwnPropertyNames(Subjects.prototype)
  const notSubjects = new Set([
    'constructor',
    'of',
    'within',
    'moved',
    'logSubjects',
    'logStream',
    'checkpointStream',
    'leaseBucket',
    'objectBucket',
  ])
  const several = new Subjects('main', 0, 3)
  const table = permissionTable(several, 'one')
  for (const name of names.filter((one) => !notSubjects.has(one))) {
    for (const subjects of [several, several.of(2)]) {
      const member = subjects[name as keyof Subjects] as unknown
      const of = (...tokens: unknown[]) =>
        typeof member === 'function'
          ? (member as (...all: unknown[]) => string).apply(subjects, tokens)
          : String(member)
      // A partition is the first part of some, a name of others.
      const candidates = [of(String(subjects.partition), 'one', 'x'), of('one', 'x', 'y'), of('scheduler')]
      const said = table.some(
        ({ pattern, publish }) => publish.length > 0 && candidates.some((one) => covers(pattern, one)),
      )
      expect(said, `${name} of partition ${subjects.partition}`).toBe(true)
    }
  }
})

const other = new Subjects('main', 2, 3)

/** Said again, by hand: what would be worst. */
const never: [AuthRole, 'publish' | 'subscribe', string][] = [
  ['node', 'publish', s.journal(0, 'another', 'x')],
  ['node', 'publish', s.heartbeat('another', 'x')],
  ['node', 'publish', s.report('another', 'x')],
  ['node', 'subscribe', s.node('another', 'x')],
  ['node', 'subscribe', s.node('*', '*')],
  ['node', 'publish', s.control(0, 'x')],
  ['node', 'publish', s.node('another', 'x')],
  ['node', 'publish', s.submit('x')],
  ['client', 'publish', s.journal(0, 'the-client', 'x')],
  ['client', 'publish', s.control(0, 'x')],
  ['client', 'publish', s.drain('x')],
  ['node', 'publish', other.journal(2, 'another', 'x')],
  ['node', 'publish', other.forward(0)],
  ['client', 'publish', other.forward(0)],
  ['client', 'publish', other.control(2, 'x')],
  ['supervisor', 'publish', other.forward(0)],
  ['operator', 'publish', `$JS.API.STREAM.PURGE.${other.logStream(2)}`],
  ['client', 'subscribe', s.tell('another=c1')],
  ['client', 'subscribe', s.submit('>')],
  ['client', 'publish', '_INBOX.another.x'],
  ['viewer', 'publish', s.submit('x')],
  ['viewer', 'publish', s.cancel('x')],
  ['viewer', 'publish', s.signal('x')],
  ['operator', 'publish', s.journal(0, 'x', 'x')],
  ['operator', 'publish', `$JS.API.STREAM.PURGE.${s.logStream(0)}`],
  ['scheduler', 'publish', s.journal(0, 'x', 'x')],
  ['scheduler', 'publish', `$JS.API.STREAM.DELETE.${s.logStream(0)}`],
  ['supervisor', 'publish', s.control(0, 'x')],
  ['installer', 'publish', s.submit('x')],
  ['installer', 'publish', `$JS.API.STREAM.MSG.GET.${s.logStream(0)}`],
]

test('what would be worst is in no grant, whatever the table says', () => {
  const granted = never.filter(([role, way, subject]) =>
    grantOf('main', { name: nameOf(role), roles: [role] }, 3)[way].some((pattern) => covers(pattern, subject)),
  )
  expect(granted).toEqual([])
  // Deliveries of consumers, and deletion, are nobody's but the control's, or nobody's at all.
  for (const role of authRoles) {
    const { publish } = grantOf('main', { name: 'one', roles: [role] })
    const may = (subject: string) => publish.some((pattern) => covers(pattern, subject))
    const makes = streams.filter((stream) => may(`$JS.API.CONSUMER.CREATE.${stream}.c`))
    expect(makes.length > 0).toBe(role === 'scheduler' || role === 'supervisor')
    expect(streams.filter((stream) => may(`$JS.API.STREAM.DELETE.${stream}`))).toEqual([])
  }
})

test('only an installer makes the streams; for others it is TROUPE_NOT_ALLOWED, and says what to do', async () => {
  const client = await server.connect(nameOf('client'))
  const installer = await server.connect(nameOf('installer'))
  try {
    await expect(openNamespace(client, {})).rejects.toMatchObject({
      code: 'TROUPE_NOT_ALLOWED',
      message: expect.stringContaining('troupe install'),
    })
    await openNamespace(installer, { logBytesMax: 64 * 1024 * 1024 })
    await openNamespace(client, {})
  } finally {
    await client.close()
    await installer.close()
  }
})

test('an acknowledgement cannot be made to act on the stream that gives it', async () => {
  const client = await server.connect(nameOf('client'))
  try {
    const { log, subjects } = await openNamespace(client, {})
    await log.append(subjects.submit('a'), empty)
    const before = await log.info()
    client.publish(subjects.submit('a'), empty, { reply: `$JS.API.STREAM.PURGE.${subjects.logStream(0)}` })
    await client.flush()
    const after = await log.info()
    expect(after.messages).toBe(before.messages + 1)
  } finally {
    await client.close()
  }
})

test('a scheduler may remove what clients and nodes may store', async () => {
  const installer = await server.connect('the-installer')
  await openNamespace(installer, { logBytesMax: 64 * 1024 * 1024 })
  await installer.close()
  const open = async (role: AuthRole) => {
    const bus = await server.connect(nameOf(role))
    return { bus, objects: openedNamespace(bus, s).objects }
  }
  const [client, scheduler] = [await open('client'), await open('scheduler')]
  try {
    const name = await client.objects.put(new Uint8Array(200_000))
    const found = (await client.objects.find(name))!
    const denied = { code: 'TROUPE_NOT_ALLOWED' }
    await expect(scheduler.objects.remove(found)).resolves.toBe(true)
    await expect(client.objects.put(new Uint8Array(10))).resolves.toMatch(/^\w{64}$/)
    await expect(scheduler.objects.removeLeftovers(Number.MAX_SAFE_INTEGER)).resolves.toBe(0)
    await client.objects.put(new Uint8Array(30))
    await expect(client.objects.remove((await client.objects.find(name)) ?? found)).resolves.toBe(false)
    await expect(scheduler.objects.put(new Uint8Array(40))).rejects.toMatchObject(denied)
    expect([
      await maySweep(scheduler.bus, s, nameOf('scheduler')),
      await maySweep(client.bus, s, nameOf('client')),
    ]).toEqual([true, false])
  } finally {
    await client.bus.close()
    await scheduler.bus.close()
  }
})
