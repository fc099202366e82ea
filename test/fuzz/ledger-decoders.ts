/** The fold of the log, and what is saved of it: a log of random actors, each of whose messages is changed and folded. */
import { type CheckpointPart, LedgerSaving, type Manifest, restoreState } from '../../src/actors/ledger/checkpoint.ts'
import type { Ledger } from '../../src/actors/ledger/ledger.ts'
import type { LogMessage } from '../../src/protocol/entries.ts'
import { packValue, unpackValue } from '../../src/protocol/payload.ts'
import { RandomActors } from '../actors/ledger/random-log.ts'
import { TestLog } from '../actors/ledger/test-log.ts'
import type { Decoder } from './decoders.ts'

const text = new TextDecoder()
const headerNames = ['troupe-id', 'troupe-delay', 'troupe-after', 'troupe-deadline', 'troupe-priority', 'content-type']
/** A ledger starts anew after so many messages, or a million inputs would fill the memory. */
const messagesPerLedger = 2_000

function randomLog(seed: number, messages: number): TestLog {
  const log = new TestLog()
  const actors = new RandomActors(log, seed)
  while (log.messages.length < messages) actors.step()
  return log
}

function saved(ledger: Ledger): { manifest: Manifest; parts: Uint8Array[] } {
  const saving = new LedgerSaving(ledger.state, 1)
  const parts: Uint8Array[] = []
  for (let rows = saving.rows(50); rows !== undefined; rows = saving.rows(50)) {
    if (rows.length > 0) parts.push(packValue(['tasks', rows])!)
  }
  for (const part of saving.others()) if (part[1].length > 0) parts.push(packValue(part)!)
  return { manifest: saving.manifest(1, 1), parts }
}

export function ledgerDecoders(): Decoder[] {
  const log = randomLog(7, 1_500)
  const { messages, subjects } = log
  let ledger = log.refold()
  let folded = 0
  const fold = (message: Omit<LogMessage, 'sequence' | 'timestampMs'>) => {
    if (++folded % messagesPerLedger === 0) {
      // What hostile messages have made of it can be saved, and is what was saved when it is read again.
      const { manifest, parts } = saved(ledger)
      const read = restoreState(
        manifest,
        parts.map((part) => unpackValue(part) as CheckpointPart),
      )
      if (read.tasks.size !== ledger.state.tasks.size) throw new Error('a checkpoint lost tasks')
      ledger = log.refold()
    }
    const { position, timeMs } = ledger.state
    ledger.fold({ ...message, sequence: position + 1, timestampMs: timeMs + (folded % 7) })
    ledger.takeChanges()
  }
  const bySource = new Map(messages.map((message) => [message.data, message]))
  const subjectOf = (bytes: Uint8Array) => messages[(bytes.length * 31 + (bytes[3] ?? 0)) % messages.length]!.subject
  const { manifest, parts } = saved(log.ledger)
  return [
    {
      name: 'the fold: a message',
      sources: [...bySource.keys()],
      decode: (data) => fold({ subject: bySource.get(data)?.subject ?? subjectOf(data), data, headers: undefined }),
    },
    {
      name: 'the fold: a subject',
      sources: messages.map(({ subject }) => new TextEncoder().encode(subject)),
      decode: (bytes) => fold({ subject: text.decode(bytes), data: messages[bytes.length]!.data, headers: undefined }),
    },
    {
      name: 'the fold: headers',
      sources: ['x-1', '500ms', 'a,b', '2026-01-01T00:00:00Z', '5', 'application/msgpack'].map((value) =>
        new TextEncoder().encode(value),
      ),
      decode(bytes) {
        const value = text.decode(bytes)
        const headers = new Map(headerNames.map((name, at) => [name, at === bytes.length % 6 ? value : '']))
        const subject = bytes.length % 2 === 0 ? subjects.submit('work') : subjects.signal(value)
        fold({ subject, data: bytes, headers })
      },
    },
    {
      name: 'a part of a checkpoint',
      sources: parts,
      decode: (bytes) => mayBePassedOver(() => restoreState(manifest, [unpackValue(bytes) as CheckpointPart])),
    },
    {
      name: 'the manifest of a checkpoint',
      sources: [packValue(manifest)!],
      decode: (bytes) =>
        mayBePassedOver(() => restoreState(unpackValue(bytes) as Manifest, [unpackValue(parts[0]!) as CheckpointPart])),
    },
  ]
}

/** Whatever is thrown while a checkpoint is read, its reader takes an older one. */
function mayBePassedOver(run: () => unknown): void {
  try {
    run()
  } catch {
    // As it should be.
  }
}
