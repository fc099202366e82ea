/**
 * The history of a real run, for the checker: what the plain client called and was told, what tasks wrote down, the log as
 * the stream has it, and the faults. Times are ms since 1970, of one machine.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LogMessage } from '../../src/protocol/entries.ts'
import type { StoredMessage } from '../harness/plain-client.ts'
import type { History, HistoryEvent } from '../simulation/history.ts'

export interface Recording {
  readonly called: readonly HistoryEvent[]
  readonly faults: readonly Extract<HistoryEvent, { what: 'fault' }>[]
  readonly effectsFolder: string
  readonly log: readonly StoredMessage[]
  readonly planned: readonly string[]
  readonly healedAtMs: number
  readonly endedAtMs: number
  readonly waiting: number
  /** Processes that ended without being told to, with what they said. */
  readonly strayEnds: readonly string[]
  /** By how much log time as a node knows it may be off. */
  readonly clockErrorMs: number
}

export function historyOf(recording: Recording): History {
  const { called, faults, effectsFolder, log, planned, healedAtMs, endedAtMs, waiting, strayEnds } = recording
  const fired = new Map<string, number>()
  for (const { kind } of faults) fired.set(kind, (fired.get(kind) ?? 0) + 1)
  const events = [...called, ...faults, ...effectsIn(effectsFolder)].sort((a, b) => a.atMs - b.atMs)
  return {
    events,
    logs: [log.map(messageOf)],
    lost: [],
    ledgers: [],
    escaped: strayEnds.map((error) => ({ process: error.split(/[ :]/)[0] ?? '', atMs: endedAtMs, error })),
    planned: [...new Set(planned)],
    fired,
    healed: { atMs: healedAtMs, untilMs: endedAtMs },
    brokenFences: false,
    epochMs: 0,
    clockErrorMs: recording.clockErrorMs,
    waiting,
  }
}

function messageOf({ subject, sequence, atMs, data, headers }: StoredMessage): LogMessage {
  return { subject, sequence, timestampMs: Math.floor(atMs), data, headers }
}

/** What tasks wrote down. The last line of a process that was killed may be torn. */
function effectsIn(folder: string): HistoryEvent[] {
  return readdirSync(folder).flatMap((name) => {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n')
    return lines.slice(0, -1).map((line) => JSON.parse(line) as HistoryEvent)
  })
}
