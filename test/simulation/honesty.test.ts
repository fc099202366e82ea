import { expect, test } from 'vitest'
import type { AppendOptions, AppendResult } from '../../src/nats/bus.ts'
import type { LogMessage } from '../../src/protocol/entries.ts'
import { openTest, useServer } from '../harness/server.ts'
import { Random } from './random.ts'
import { SimStream, type StreamWrite } from './sim-stream.ts'

const server = useServer()
const operations = 10_000

/** What a message says, whichever way it was read. */
function shown(message: LogMessage | undefined): unknown {
  if (message === undefined) return undefined
  const { subject, sequence, data, headers } = message
  return { subject, sequence, data: Buffer.from(data).toString('hex'), headers: [...(headers ?? [])].sort() }
}

function fate(result: AppendResult): unknown {
  if (result.outcome === 'stored') return result
  return result.outcome === 'refused' ? { outcome: result.outcome, reason: result.reason } : result.outcome
}

test(
  `the simulated stream and the server give the same answers to ${operations} random operations`,
  async () => {
    await using t = await openTest(server, undefined, { logBytesMax: 16 * 1024 * 1024 })
    const { log, subjects } = t
    const random = new Random(Number(process.env.TROUPE_HONESTY_SEED ?? 11), 'honesty')
    const bytesMax = (await log.info()).bytesMax
    const { door, inner } = subjects.logSubjects(0)
    const { createdAtMs, identity } = await log.info()
    const stream = new SimStream({ door, inner, bytesMax, dedupeMs: 60_000, createdAtMs, identity })
    const targets = [
      ...[1, 2, 3].map((n) => subjects.journal(0, `node${n}`, `life${n}`)),
      subjects.control(0, 'scheduler'),
      subjects.block('client'),
      subjects.submit('type'),
      subjects.signal('task'),
      `${subjects.root}.nothing.captures.this`,
    ]
    const ids: string[] = []
    const kinds = new Map<string, number>()

    const write = (): StreamWrite & AppendOptions => {
      const subject = random.pick(targets)
      const bytes = random.chance(0.1) ? random.integer(500_000, 900_000) : random.integer(0, 300)
      const last = stream.lastOf(subject)?.sequence ?? 0
      const expected = random.pick([undefined, undefined, last, last, 0, Math.max(0, last - 1), last + 1])
      const fresh = `id-${ids.length}`
      // One that was used a moment ago: the server forgets them after its window, which the model's clock does not reach.
      const messageId = random.pick([undefined, undefined, fresh, ids.at(-random.integer(1, 20))])
      if (messageId === fresh) ids.push(fresh)
      return {
        subject,
        data: random.bytes(bytes),
        ...(expected !== undefined && { expectedLastSubjectSequence: expected }),
        ...(messageId !== undefined && { messageId }),
        ...(random.chance(0.3) && { headers: { 'Troupe-Id': `t${random.integer(1, 9)}` } }),
      }
    }
    const some = () => random.integer(Math.max(1, stream.first - 3), stream.last + 3)
    const info = async () => {
      const { serverTimeMs: _, ...real } = await log.info()
      const { serverTimeMs: __, ...model } = stream.info(0)
      return [real, model]
    }

    for (let at = 0; at < operations; at++) {
      const dice = random.next()
      let what = 'append'
      let answers: unknown[]
      if (dice < 0.7) {
        const { subject, data, ...options } = write()
        answers = [
          fate(await log.append(subject, data, options)),
          fate(stream.append({ subject, data, ...options }, 0)),
        ]
        what = `append ${JSON.stringify(answers[0]).replaceAll(/\d+/g, '')}`
      } else if (dice < 0.78) {
        what = 'get'
        const sequence = some()
        answers = [shown(await log.get(sequence)), shown(stream.get(sequence))]
      } else if (dice < 0.86) {
        what = 'range'
        const [from, count] = [some(), random.integer(1, 6)]
        answers = [
          (await log.getRange(from, count, 10_000_000)).map(shown),
          stream.range(from, count, 10_000_000).map(shown),
        ]
      } else if (dice < 0.94) {
        what = 'last'
        const subject = random.pick(targets)
        answers = [shown(await log.lastOf(subject)), shown(stream.lastOf(subject))]
      } else if (dice < 0.97) {
        what = 'info'
        answers = await info()
      } else if (dice < 0.972) {
        what = 'trim'
        const sequence = random.chance(0.1) ? stream.last + random.integer(0, 5) : some()
        await log.trim(sequence)
        stream.trim(sequence)
        answers = await info()
      } else if (dice < 0.974) {
        what = 'reserve'
        await log.takeReserve()
        stream.takeReserve()
        answers = await info()
      } else {
        what = 'door'
        // A log that has used its reserve is trimmed before it gives it back.
        const open = random.chance(0.7) && stream.info(0).bytes <= bytesMax
        await log.setDoor(open)
        stream.setDoor(open)
        answers = await info()
      }
      kinds.set(what, (kinds.get(what) ?? 0) + 1)
      expect(answers[1], `operation ${at}: ${what}`).toEqual(answers[0])
    }
    // It says nothing of what did not come about.
    const seen = [...kinds.keys()].join('\n')
    for (const wanted of ['"duplicate":true', 'wrong-sequence', 'no-responders', '"full"', 'trim', 'reserve', 'door']) {
      expect(seen).toContain(wanted)
    }
  },
  10 * 60_000,
)
