/** Two partitions in memory: what landed in the first comes to the second once, whatever is lost, repeated or cut off. */
import pino from 'pino'
import { describe, expect, test } from 'vitest'
import type { AppendResult, Log } from '../../../src/nats/bus.ts'
import { homeOf } from '../../../src/protocol/partitions.ts'
import { Forwarder } from '../../../src/runtime/scheduler/forwarder.ts'
import { LogValues } from '../../../src/runtime/scheduler/log-values.ts'
import type { Switchboard } from '../../../src/runtime/scheduler/switchboard.ts'
import { random } from '../../actors/ledger/random-log.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'
import { until } from '../../harness/server.ts'

const logger = pino({ level: 'silent' })
const unknown: AppendResult = { outcome: 'unknown', code: 0, message: 'no answer' }

/** A stream over a ledger's messages, of which some writes are lost, and some answers. */
function streamOf(log: TestLog, next: () => number): Log {
  return {
    get: async (sequence: number) => log.messages[sequence - 1],
    getRange: async (sequence: number, count: number) => log.messages.slice(sequence - 1, sequence - 1 + count),
    append: async (subject: string, data: Uint8Array): Promise<AppendResult> => {
      const chance = next()
      if (chance < 0.15) return unknown
      const sequence = log.append(subject, data)
      return chance < 0.3 ? unknown : { outcome: 'stored', sequence, duplicate: false }
    },
  } as unknown as Log
}

describe.each([1, 2, 3, 4, 5, 6])('random losses %i', (seed) => {
  test('every stray counts once', async () => {
    const next = random(seed)
    const [first, second] = [new TestLog(2), new TestLog(2, 1)] as const
    const logs = [first, second].map((log) => streamOf(log, next))
    for (const log of [first, second]) log.lead('s1', { resultsKeepCount: 0, resultsKeepMs: 0 })
    const node = second.join('n1')
    const switchboard = { find: async (id: string) => (second.state.tasks.has(id) ? 1 : undefined) }
    const forwarder = () =>
      new Forwarder({
        subjects: first.subjects,
        logs,
        values: new LogValues(logs[0]!, first.subjects),
        switchboard: switchboard as Switchboard,
        logger,
        againMs: 1,
        state: () => first.state,
        decideAll: async (entries) => {
          const chance = next()
          if (chance < 0.2) throw new Error('not stored')
          first.decide(...entries)
          if (chance < 0.3) throw new Error('stored, but nobody knows')
        },
      })
    const present = [forwarder()]
    present[0]!.start()
    const lasting = second.submit()
    let strays = 0
    for (let n = 0; n < 120; n++) {
      if (next() < 0.1) first.signal(lasting, `s${n}`)
      else if (homeOf(first.submit({ 'troupe-id': `t${n}` }), 2) === 1) strays++
      for (const one of present) one.wake()
      // A leader that is followed by another may go on for a while without knowing it.
      if (next() < 0.1) {
        present.push(forwarder())
        present.at(-1)!.start()
        if (present.length > 2) present.shift()!.stop()
      }
      if (next() < 0.3) await new Promise(setImmediate)
      // Tasks end and are forgotten, so that it is not their id that keeps them from running twice.
      for (const { id } of [...second.state.tasks.values()]) {
        if (id === lasting || next() < 0.5) continue
        node.accept(id)
        node.complete(id)
      }
      second.advance(1)
    }
    const left = first.state.strays
    await until(() => left.submissions.size === 0 && left.signals.size === 0, 'every stray is brought')
    for (const one of present) one.stop()
    expect(second.state.totals.submitted).toBe(strays + 1)
    const signals = second.task(lasting).rare?.signals ?? []
    expect(new Set(signals.map(({ id }) => id)).size).toBe(signals.length)
    expect(first.state.setAsides.length).toBe(0)
    expect(signals.length).toBe([...first.messages].filter(({ subject }) => subject.includes('.signal.')).length)
  })
})
