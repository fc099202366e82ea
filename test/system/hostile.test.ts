/**
 * Whatever anybody may send, on every subject there is: it is refused or set aside with its reason, no process stops, and
 * what is good around it is done.
 */
import { fileURLToPath } from 'node:url'
import { pack } from 'msgpackr'
import { expect, test } from 'vitest'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import type { PlainAnswer } from '../harness/plain-client.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 90_000
const packed = { 'Content-Type': 'application/msgpack' }
/** Just below the server's limit of 1 MiB. */
const huge = 1_040_000

function bytes(length: number, byte: number, end: readonly number[] = []): Uint8Array {
  const made = new Uint8Array(length).fill(byte)
  made.set(end, length - end.length)
  return made
}

/** What no reader takes. */
const garbage: Readonly<Record<string, Uint8Array>> = {
  'a byte of no meaning': new Uint8Array([0xc1]),
  noise: Uint8Array.from({ length: 4_096 }, (_, i) => (i * 7_919) % 251),
  'not UTF-8': new Uint8Array([0x22, 0xff, 0xfe, 0x22]),
  'half a JSON': new TextEncoder().encode('{"n": 1'),
  'a huge text without an end': bytes(huge, 0x61),
  'brackets a million deep': bytes(huge, 0x5b),
  'msgpack a million deep': bytes(huge, 0x91, [0xc0]),
  'msgpack that promises four billion items': new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff]),
  'a prototype in msgpack': pack(new Map([['__proto__', { polluted: true }]])),
  'an extension': new Uint8Array([0xd4, 0x7b, 0x00]),
}

/** Well-formed, and nothing that belongs there. */
const strange: readonly unknown[] = [
  null,
  0,
  'text',
  [],
  {},
  [1],
  [1, 0],
  [1, 1, [[]]],
  [1, 1, [[10]]],
  [1, 1, [[10, {}, 'x']]],
  [1, 1, [[15, 'a.b', -1, null]]],
  [1, 1, [[99, 'x', 1]]],
  [1, -1, [[40, null]]],
  [1, 1, Array.from({ length: 5_000 }, () => [2])],
  [2, 1, [[2]]],
  [1, 1.5, [[1, { node: '*', types: 'none' }]]],
  [1, Number.MAX_SAFE_INTEGER, [[40, { foldVersion: -1 }]]],
  { constructor: { prototype: { polluted: true } } },
]

const badNames = [
  'a.b',
  'a.*',
  'a.>',
  '*',
  '>',
  'a.b.c.d.e.f',
  '%00',
  'ü',
  'x'.repeat(129),
  '\u0001',
  '\u007f',
  '$SYS',
  '..',
  "';drop",
]

async function open(): Promise<Cluster> {
  const cluster = await openCluster(server.url, freshNamespace())
  // The roles in one process, so that a task can look at the prototypes that all of them use.
  await cluster.start({ roles: ['scheduler', 'supervisor', 'node'], files }, { roles: ['node'], files })
  await until(async () => (await cluster.client.nodes()).length === 2, 'both nodes are listed')
  return cluster
}

/** Nothing has ended, nothing is polluted, and good tasks complete. */
async function expectUnharmed(cluster: Cluster): Promise<void> {
  const { client, processes } = cluster
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.request('run.prototypes', {}, {}, 15_000)))
  for (const { result } of answers) {
    expect(result).toEqual({ own: Object.getOwnPropertyNames(Object.prototype), inherited: 0, polluted: false })
  }
  expect(processes.filter(({ ended }) => ended !== undefined).map(({ name }) => name)).toEqual([])
}

test(
  'submissions that cannot be read are dead letters with their reasons, and good ones among them complete',
  async () => {
    const cluster = await open()
    const { client } = cluster
    const bad: { sequence: number; what: string }[] = []
    const good: number[] = []
    const submit = async (what: string, type: string, body: unknown, given: Record<string, string> = {}) => {
      bad.push({ what, sequence: await client.submit(type, body, given) })
      good.push(await client.submit('double', { n: good.length }))
    }
    for (const [what, body] of Object.entries(garbage)) {
      await submit(what, 'double', body)
      await submit(`${what} as msgpack`, 'double', body, packed)
    }
    await submit('a prototype in JSON', 'double', '{"n":1,"__proto__":{"polluted":true}}')
    await submit('another content type', 'double', '<n>1</n>', { 'Content-Type': 'text/xml' })
    const headers: [string, string][] = [
      ['Troupe-Id', 'a.b'],
      ['Troupe-Id', '*'],
      ['Troupe-Id', '0-1'],
      ['Troupe-Id', 'x'.repeat(200)],
      ['Troupe-Priority', '10'],
      ['Troupe-Priority', '-1'],
      ['Troupe-Priority', 'high'],
      ['Troupe-Delay', 'soon'],
      ['Troupe-Delay', '99999999999999999999d'],
      ['Troupe-Deadline', 'yesterday'],
      ['Troupe-Key', '\u0001'],
      ['Troupe-After', 'a b,c'],
      ['Troupe-After', Array.from({ length: 1_001 }, (_, i) => `t${i}`).join(',')],
      ['Troupe-Reply-To', `${client.root}.control.0.x`],
      ['Troupe-Reply-To', '$JS.API.STREAM.DELETE.x'],
      ['Troupe-Reply-To', 'a.>'],
    ]
    for (const [name, value] of headers)
      await submit(`${name}: ${value.slice(0, 40)}`, 'double', { n: 1 }, { [name]: value })
    for (const name of badNames) {
      if (/^[*>]|\.[*>.]|^\./.test(name)) continue
      await submit(`type ${name}`, name, { n: 1 })
    }

    for (const { what, sequence } of bad) {
      const task = await client.ended(`0-${sequence}`)
      expect(task, what).toMatchObject({ status: 'failed', error: { code: expect.stringMatching(/^TROUPE_/) } })
      expect(task.error!.message.length, what).toBeGreaterThan(10)
      expect(await client.request(`retry.0-${sequence}`), what).toMatchObject({ error: { code: 'TROUPE_NOT_FAILED' } })
    }
    for (const [n, sequence] of good.entries()) {
      expect(await client.ended(`0-${sequence}`)).toMatchObject({ status: 'completed', result: { doubled: 2 * n } })
    }
    const { dead } = (await client.request('dead', { limit: 1_000 })) as unknown as { dead: unknown[] }
    expect(dead).toHaveLength(bad.length)
    await expectUnharmed(cluster)
  },
  testMs,
)

test(
  'blocks, signals, journals and control messages that nobody of ours wrote are set aside with their reasons',
  async () => {
    const cluster = await open()
    const { client } = cluster
    await client.submit('patient', {}, { 'Troupe-Id': 'patient' })
    await until(async () => (await client.task('patient')).status === 'parked', 'it waits')
    const sent: { sequence: number; subject: string; what: string }[] = []
    const send = async (what: string, subject: string, body: unknown, given: Record<string, string> = {}) => {
      const ack = await client.request(subject, body, given)
      expect(ack, `${what} on ${subject}`).toMatchObject({ seq: expect.any(Number) })
      sent.push({ sequence: ack.seq as number, subject, what })
    }
    for (const subject of ['block.stranger', 'journal.0.stranger.0011', 'control.0.stranger']) {
      for (const [what, body] of Object.entries(garbage)) await send(what, subject, body)
      for (const body of strange) await send(JSON.stringify(body).slice(0, 60), subject, pack(body))
    }
    for (const name of badNames) {
      if (!/^[*>]|\.[*>.]|^\./.test(name)) await send(name, `signal.${name}`, { type: 'GO' })
    }
    for (const [what, body] of Object.entries(garbage)) {
      await send(what, 'signal.patient', body)
      await send(what, 'signal.patient', body, packed)
    }
    await send('a signal that is no event', 'signal.patient', [1, 2, 3])
    await client.request('signal.patient', { type: 'GO', with: 'good' })
    expect(await client.ended('patient')).toMatchObject({ status: 'completed', result: { told: 'good' } })

    await until(
      async () => ((await client.stats()) as unknown as { position: number }).position >= sent.at(-1)!.sequence,
      'all is folded',
    )
    const { dead, setAside } = (await client.request('dead', { limit: 1_000 })) as unknown as {
      dead: { id: string; error: { code: string; message: string } }[]
      setAside: { sequence: number; reason: { code: string; message: string } }[]
    }
    const refused = new Set(setAside.map(({ sequence }) => sequence))
    const dying = new Set(dead.map(({ id }) => Number(id.split('-')[1])))
    const unreadable = sent.filter(({ subject, what }) => subject !== 'signal.patient' && what in garbage)
    expect(unreadable.filter(({ sequence }) => !refused.has(sequence) && !dying.has(sequence))).toEqual([])
    const lost = sent.filter(({ subject }) => subject.startsWith('signal.') && subject !== 'signal.patient')
    expect(lost.filter(({ sequence }) => !refused.has(sequence))).toEqual([])
    expect(
      [...dead.map(({ error }) => error), ...setAside.map(({ reason }) => reason)].every(
        ({ code, message }) => code.startsWith('TROUPE_') && message.length > 5,
      ),
    ).toBe(true)
    await expectUnharmed(cluster)
  },
  testMs,
)

test(
  'whoever says to lead without the lease does not keep the cluster from being led',
  async () => {
    const cluster = await open()
    const { client } = cluster
    const rules = {
      foldVersion: 1,
      resultsKeepMs: 3_600_000,
      resultsKeepCount: 1_000,
      deadKeepMs: 3_600_000,
      deadKeepCount: 1_000,
    }
    const { leader } = await client.stats()
    for (let round = 0; round < 3; round++) {
      await client.request('control.0.stranger', pack([1, 0, [[40, rules]]]))
      const sequence = await client.submit('double', { n: round })
      expect(await client.ended(`0-${sequence}`)).toMatchObject({ result: { doubled: 2 * round } })
      expect((await client.stats()).leader).toBe(leader)
    }
    await expectUnharmed(cluster)
  },
  testMs,
)

test(
  'requests of any kind are answered, with an error where they make no sense',
  async () => {
    const cluster = await open()
    const { client } = cluster
    await client.request('run.double', { n: 1 }, { 'Troupe-Id': 'good' })
    const answer = async (
      subject: string,
      body: unknown = '',
      given: Record<string, string> = {},
    ): Promise<PlainAnswer> => {
      const got = await client
        .request(subject, body, given)
        .catch((error: Error) => ({ error: { code: error.name, message: error.message } }))
      expect(got.error?.code ?? 'TROUPE_', `${subject} ${String(body).slice(0, 40)}`).toMatch(/^TROUPE_(?!INTERNAL)/)
      return got
    }
    for (const verb of ['task', 'cancel', 'retry', 'remove', 'history', 'drain', 'run']) {
      for (const name of badNames) {
        if (/^[*>]|\.[*>.]|^\./.test(name)) continue
        expect(await answer(`${verb}.${name}`, { n: 1 }), `${verb}.${name}`).toHaveProperty('error')
      }
      for (const body of Object.values(garbage)) {
        if (verb === 'run') expect(await answer('run.double', body)).toHaveProperty('error')
        else await answer(`${verb}.nobody`, body)
      }
    }
    for (const subject of ['tasks', 'dead']) {
      for (const body of Object.values(garbage)) expect(await answer(subject, body), subject).toHaveProperty('error')
      const pages = [[], 'text', 5, { limit: -1 }, { limit: 1e9 }, { limit: 'all' }, { limit: {} }]
      for (const page of pages)
        expect(await answer(subject, JSON.stringify(page)), JSON.stringify(page)).toHaveProperty('error')
      for (const page of [
        { status: 7 },
        { type: ['x'] },
        { after: {} },
        { status: '__proto__' },
        { after: 'x'.repeat(100_000) },
      ]) {
        await answer(subject, JSON.stringify(page))
      }
    }
    for (const subject of ['nodes', 'stats']) for (const body of Object.values(garbage)) await answer(subject, body)
    await expectUnharmed(cluster)
  },
  testMs,
)

test(
  'what the actors say to each other may be anything, and a page of answers is never too large to send',
  async () => {
    const cluster = await open()
    const { client } = cluster
    const waiting = Array.from({ length: 30 }, (_, i) => `count-${i}`)
    await Promise.all(waiting.map((id) => client.submit('counting', { steps: 20, everyMs: 100 }, { 'Troupe-Id': id })))
    const nodes = await client.nodes()
    const subjects = [
      'leading.scheduler',
      'leading.supervisor',
      'call.0',
      'tell.stranger',
      'validate.double',
      'event.a.b.c',
    ]
    for (const role of ['node', 'report', 'heartbeat', 'probe']) {
      subjects.push(`${role}.stranger.0011`, `${role}.ü.x`)
      for (const { id, incarnation } of nodes) subjects.push(`${role}.${id}.${incarnation}`)
    }
    const actorWords: unknown[] = [
      ['award', 1, 1_000, [['x', 'double', 1, 1, null, null, null, null], 7, ['a.b']]],
      ['award', 1e12, 1e300, [['y', 'nothing', 1, 1, null, null, null, { key: 1 }]]],
      ['signal', 'count-0', 1, [1, 0, null]],
      ['signal', 'count-0', 1, [1e15, 1e14, null]],
      ['drop', [['count-x', 1, 'gone']]],
      ['bid', { credits: -1, priceMs: 0, slowdown: 0, ttlMs: 0 }, {}, 0, 0, 'ready', {}],
      ['bid', { credits: 1e15, priceMs: Number.NaN, slowdown: -5, ttlMs: 1 }, {}, 0, 0, 'x', {}],
      ['declined', [['count-0', 1, 'x'.repeat(100_000)]]],
      ['running', 1e15, [['count-0', 1e15]]],
      ['gap', 'count-0', 1, 0],
      ['gap', 'count-0', 1e15, 1e15],
      ['unheard of'],
      [1, 1, 0],
      [1e15, 1e15, 0],
      [-1, Number.NaN, 'x'],
    ]
    for (const subject of subjects) {
      for (const body of Object.values(garbage)) client.publish(subject, body)
      for (const body of [...strange, ...actorWords]) client.publish(subject, pack(body))
    }
    await client.connection.flush()
    for (const id of waiting)
      expect(await client.ended(id), id).toMatchObject({ status: 'completed', result: { at: 20 } })

    const failed = Array.from({ length: 600 }, (_, i) => `fail-${i}`)
    await Promise.all(failed.map((id) => client.submit('verbose', {}, { 'Troupe-Id': id })))
    await client.allEnded(630)
    for (const subject of ['dead', 'tasks']) {
      const seen = new Set<string>()
      for (let after: string | undefined; ; ) {
        const page = (await client.request(subject, { limit: 1_000, ...(after && { after }) })) as never as {
          more: boolean
          [rows: string]: { id: string }[] | boolean
        }
        const rows = page[subject] as { id: string }[]
        for (const { id } of rows) seen.add(id)
        after = rows.at(-1)?.id
        if (!page.more) break
      }
      expect(
        failed.filter((id) => !seen.has(id)),
        subject,
      ).toEqual([])
    }
    await expectUnharmed(cluster)
  },
  testMs,
)

test(
  'a task whose message somebody deleted from the log is a dead letter that says so, and the others run',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    const control = await cluster.one({ roles: ['scheduler', 'supervisor'] })
    const doomed = await client.submit('double', { n: 1 })
    const other = await client.submit('double', { n: 2 })
    await until(async () => (await client.stats()).tasks.ready === 2, 'both are folded')
    // Its inputs are at hand until it ends, and its checkpoint is saved then.
    control.signal('SIGTERM')
    await control.exited
    await client.deleteFromLog(doomed)
    await cluster.start({ roles: ['scheduler', 'supervisor', 'node'], files })
    expect(await client.ended(`0-${doomed}`)).toMatchObject({ status: 'failed', error: { code: 'TROUPE_VALUES_LOST' } })
    expect(await client.ended(`0-${other}`)).toMatchObject({ result: { doubled: 4 } })
    expect(await client.request(`retry.0-${doomed}`, '')).toMatchObject({ error: { code: 'TROUPE_NOT_FAILED' } })
  },
  testMs,
)
