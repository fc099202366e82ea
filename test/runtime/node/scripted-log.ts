/** A log that keeps one subject as the server would, and answers each append as the test has scripted. */
import type { AppendOptions, AppendResult, Log } from '../../../src/nats/bus.ts'
import { packBlock, unpackJournalBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind, type LogMessage } from '../../../src/protocol/entries.ts'

/**
 * - `ok`: stored and acknowledged. - `lost-ack`: stored, and no answer. - `lost`: neither.
 * - a number: refused with this JetStream error, which leaves it open.
 */
export type Step = 'ok' | 'lost-ack' | 'lost' | 'no-responders' | 'full' | 'too-large' | 'throws' | number

interface Attempt {
  readonly bytes: Uint8Array
  readonly expected: number
}

export class ScriptedLog {
  readonly stored: LogMessage[] = []
  readonly attempts: Attempt[] = []
  readonly script: Step[] = []
  /** What `lastOf` does next: nothing special, or fails. */
  readonly lastFailures: Error[] = []
  /** While set, appends wait for it. */
  gate: Promise<void> | undefined
  #sequence = 100

  get log(): Log {
    return this as unknown as Log
  }

  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<AppendResult> {
    const expected = options.expectedLastSubjectSequence ?? -1
    this.attempts.push({ bytes: data, expected })
    await this.gate
    const step = this.script.shift() ?? 'ok'
    if (step === 'throws') throw new Error('the connection is closed')
    if (step === 'lost') return unknown(0)
    if (typeof step === 'number') return unknown(step)
    if (step !== 'ok' && step !== 'lost-ack') return { outcome: 'refused', reason: step, code: 503, message: step }
    const last = this.stored.at(-1)?.sequence ?? 0
    if (expected !== last) {
      return { outcome: 'refused', reason: 'wrong-sequence', code: 10071, message: `wrong last sequence: ${last}` }
    }
    const sequence = this.put(subject, data)
    return step === 'ok' ? { outcome: 'stored', sequence, duplicate: false } : unknown(0)
  }

  lastOf(): Promise<LogMessage | undefined> {
    const failure = this.lastFailures.shift()
    return failure === undefined ? Promise.resolve(this.stored.at(-1)) : Promise.reject(failure)
  }

  put(subject: string, data: Uint8Array): number {
    this.#sequence += 3
    this.stored.push({ subject, sequence: this.#sequence, timestampMs: 0, data, headers: undefined })
    return this.#sequence
  }

  fence(): void {
    this.put('journal', packBlock([formatVersion, 0, [[kind.fenced, 'silent']]]))
  }

  /** The number and the entries of each stored block. */
  blocks(): { number: number; entries: readonly (JournalEntry | undefined)[] }[] {
    return this.stored.map(({ data }) => {
      const block = unpackJournalBlock(data)
      if (!block.ok) throw new Error(block.reason)
      return { number: block.number, entries: block.entries }
    })
  }
}

function unknown(code: number): AppendResult {
  return { outcome: 'unknown', code, message: 'no acknowledgement in time' }
}
