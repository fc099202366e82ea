/**
 * Five hundred hostile names on every way by which a name comes in, with somebody who listens to everything: nothing is ever
 * said on a subject that is none of Troupe's own, and good tasks go on.
 */
import pino from 'pino'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import { task } from '../../src/client/task.ts'
import { packBlock } from '../../src/protocol/blocks.ts'
import { isName } from '../../src/protocol/names.ts'
import type { Subjects } from '../../src/protocol/subjects.ts'
import { TroupeProcess } from '../../src/runtime/process.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'
import { hostileNames } from '../protocol/hostile-names.ts'

const server = useServer()
const names = [...new Set(Object.values(hostileNames).flat())]
const echo = task('echo', async (value: unknown) => value)

/** How many tokens come after the namespace, by the first of them. */
const tokensOf: Readonly<Record<string, number>> = {
  ...{ submit: 2, block: 2, signal: 2, journal: 4, control: 3, checkpoint: 4 },
  ...{ run: 2, task: 2, cancel: 2, retry: 2, remove: 2, history: 2, drain: 2, validate: 2, health: 2 },
  ...{ tasks: 1, snapshots: 1, dead: 1, limits: 1, full: 1, cron: 1, nodes: 1, stats: 1, event: 4 },
  ...{ node: 3, report: 3, heartbeat: 3, probe: 3, call: 2, tell: 2, leading: 2 },
}

function isOwn(subject: string, subjects: Subjects): boolean {
  if (names.includes(subject)) return false
  if (/^(_INBOX|_R_|\$JS\.(API|FC|ACK|EVENT)|\$KV|\$O|\$SRV|\$SYS\.REQ\.USER\.INFO$)/.test(subject)) return true
  const tokens = subject.slice(subjects.root.length + 1).split('.')
  return subject.startsWith(`${subjects.root}.`) && tokens.length === tokensOf[tokens[0]!] && tokens.every(isName)
}

test('none of 500 hostile names reaches another subject, as id, type, key, label, schedule, node or header', {
  timeout: 90_000,
}, async () => {
  expect(names.length).toBeGreaterThanOrEqual(500)
  const namespace = freshNamespace()
  await using stage = await openTest(server, namespace)
  const { subjects, log } = stage
  const heard = new Set<string>()
  stage.bus.subscribe('>', ({ subject }) => heard.add(subject))
  await stage.bus.flush()
  const cluster = await TroupeProcess.start({
    servers: server.url,
    namespace,
    roles: ['scheduler', 'supervisor', 'node'],
    definitions: [echo],
    labels: Object.fromEntries(names.slice(0, 200).map((name, i) => [`label-${i}`, name.slice(0, 100)])),
    logger: pino({ level: 'silent' }),
  })
  const troupe = await connect({ servers: server.url, namespace })
  try {
    for (const name of names) {
      const refused = expect.objectContaining({ code: 'TROUPE_INVALID_NAME' })
      expect(() => task(name, async () => 1)).toThrow(refused)
      expect(() => troupe.handle(name)).toThrow(refused)
      for (const act of [
        () => troupe.submit(echo, 1, { id: name }),
        () => troupe.submit(echo, 1, { after: [name] }),
        () => troupe.submit(name, 1),
        () => troupe.validate(name, 1),
        () => troupe.removeDead(name),
        () => troupe.cron.set(name, { schedule: '@daily', task: echo }),
        () => troupe.cron.remove(name),
        () => troupe.limit(name, null),
        async () => troupe.drain(name),
      ]) {
        await expect((async () => act())()).rejects.toMatchObject({ code: 'TROUPE_INVALID_NAME' })
      }
    }
    // Past the SDK: in blocks and headers, as an attacker writes them.
    const accepted: number[] = []
    for (const name of names) {
      const given = [
        ['echo', null, { id: name }],
        ['echo', null, { after: [name] }],
        ['echo', null, { key: name }],
        ['echo', null, { replyTo: name }],
        ['echo', null, { labels: { require: { [name]: name } } }],
        [name, null],
      ] as const
      const stored = await log.append(subjects.block('attacker'), packBlock([1, given] as never))
      if (stored.outcome === 'stored') accepted.push(stored.sequence)
      if (/[\r\n]/.test(name) || name.length > 1_000) continue
      const headers = { 'Troupe-Id': name, 'Troupe-Key': name, 'Troupe-After': name, 'Troupe-Reply-To': name }
      await log.append(subjects.submit('echo'), new Uint8Array(0), { headers })
    }
    expect(accepted.length).toBe(names.length)
    const cron = (name: string) =>
      new TextEncoder().encode(JSON.stringify({ name, schedule: '* * * * * *', type: 'echo' }))
    const asked = await Promise.all(names.slice(0, 300).map((name) => stage.bus.request(subjects.cron, cron(name))))
    for (const { data } of asked) expect(Buffer.from(data).toString()).toContain('TROUPE_')
    const last = await log.info()
    await until(() => (cluster.reader?.ledger.state.position ?? 0) >= last.lastSequence, 'all is folded', 60_000)
    expect(await troupe.map(echo, [1, 2, 3])).toEqual([1, 2, 3])
    await stage.bus.flush()
    expect([...heard].filter((subject) => !isOwn(subject, subjects) && !isReply(subject))).toEqual([])
  } finally {
    await troupe.close()
    await cluster.stop()
  }
})

/** A name may well be a subject of the submitter's own, to which an outcome may go: none of the server's or of Troupe's. */
function isReply(subject: string): boolean {
  return names.includes(subject) && !/^(troupe|\$|_(?!INBOX))/.test(subject)
}
