/**
 * Values read back from where they stand in the log. The ledger keeps places only; whoever needs an input, a snapshot, a
 * result or a signal reads the message and asks here. `undefined` means that no such value stands there.
 */
import {
  unpackControlBlock,
  unpackForwardBlock,
  unpackJournalBlock,
  unpackJournalEntry,
  unpackSubmissionBlock,
} from '../../protocol/blocks.ts'
import {
  type ControlEntry,
  type ForwardEntry,
  type JournalEntry,
  kind,
  type LogMessage,
  type Payload,
  type Submission,
} from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { readBody, readSubmission } from '../../protocol/submission.ts'

/** A message of the log with its entries unpacked, so that a block is unpacked once for all its values. */
export type Unpacked =
  | { readonly of: 'submit'; readonly input: Payload | undefined }
  | { readonly of: 'block'; readonly entries: readonly (Submission | undefined)[] }
  | { readonly of: 'journal'; readonly entries: readonly (JournalEntry | undefined)[] }
  | { readonly of: 'control'; readonly entries: readonly (ControlEntry | undefined)[] }
  | { readonly of: 'forward'; readonly entries: readonly (ForwardEntry | undefined)[] }
  | { readonly of: 'signal'; readonly event: Payload }
  | { readonly of: 'nothing' }

export function unpackMessage(subjects: Subjects, message: LogMessage): Unpacked {
  const rest = subjects.within(message.subject)
  const dot = rest.indexOf('.')
  switch (rest.slice(0, dot)) {
    case 'submit': {
      const read = readSubmission(message, rest.slice(dot + 1))
      return { of: 'submit', input: read.ok ? read.submission[1] : undefined }
    }
    case 'block': {
      const block = unpackSubmissionBlock(message.data)
      return block.ok ? { of: 'block', entries: block.entries } : { of: 'nothing' }
    }
    case 'journal': {
      const block = unpackJournalBlock(message.data)
      return block.ok ? { of: 'journal', entries: block.entries } : { of: 'nothing' }
    }
    case 'control': {
      const block = unpackControlBlock(message.data)
      return block.ok ? { of: 'control', entries: block.entries } : { of: 'nothing' }
    }
    case 'forward': {
      const block = unpackForwardBlock(message.data)
      return block.ok ? { of: 'forward', entries: block.entries } : { of: 'nothing' }
    }
    case 'signal':
      return { of: 'signal', event: signalEvent(message) }
    default:
      return { of: 'nothing' }
  }
}

/** The body of a `signal` message, which counted because it could be read. */
function signalEvent({ data, headers }: LogMessage): Payload {
  try {
    return readBody(data, headers?.get('content-type'))
  } catch {
    return null
  }
}

export function inputAt(unpacked: Unpacked, index: number): Payload | undefined {
  if (unpacked.of === 'submit') return unpacked.input
  if (unpacked.of === 'block') return unpacked.entries[index]?.[1]
  if (unpacked.of === 'journal') {
    const entry = unpacked.entries[index]
    return entry?.[0] === kind.submitted ? entry[4] : undefined
  }
  if (unpacked.of === 'control') {
    const entry = unpacked.entries[index]
    if (entry?.[0] === kind.fired) return entry[4]
    return entry?.[0] === kind.kept ? entry[3] : undefined
  }
  if (unpacked.of === 'forward') {
    const entry = unpacked.entries[index]
    return entry?.[0] === kind.brought ? entry[3] : undefined
  }
  return undefined
}

export function snapshotAt(unpacked: Unpacked, index: number): Payload | undefined {
  if (unpacked.of === 'journal') {
    const entry = unpacked.entries[index]
    if (entry?.[0] === kind.checkpointed || entry?.[0] === kind.parked || entry?.[0] === kind.yielded) return entry[3]
  }
  if (unpacked.of === 'control') {
    const entry = unpacked.entries[index]
    if (entry?.[0] === kind.kept) return entry[5]
  }
  return undefined
}

/** From the message itself, of which nothing else is read: whoever asks for a result seldom asks for its neighbours. */
export function resultIn(subjects: Subjects, message: LogMessage, index: number): Payload | undefined {
  if (!subjects.within(message.subject).startsWith('journal.')) return resultAt(unpackMessage(subjects, message), index)
  const entry = unpackJournalEntry(message.data, index)
  return entry?.[0] === kind.completed ? entry[3] : undefined
}

export function resultAt(unpacked: Unpacked, index: number): Payload | undefined {
  if (unpacked.of === 'control') return carriedAt(unpacked.entries[index], 'result')
  const entry = unpacked.of === 'journal' ? unpacked.entries[index] : undefined
  return entry?.[0] === kind.completed ? entry[3] : undefined
}

function carriedAt(entry: ControlEntry | undefined, what: 'signal' | 'result'): Payload | undefined {
  return entry?.[0] === kind.carried && entry[2] === what ? entry[4] : undefined
}

export function signalAt(unpacked: Unpacked, index: number): Payload | undefined {
  if (unpacked.of === 'signal') return unpacked.event
  if (unpacked.of === 'control') return carriedAt(unpacked.entries[index], 'signal')
  if (unpacked.of === 'forward') {
    const entry = unpacked.entries[index]
    return entry?.[0] === kind.broughtSignal ? entry[3] : undefined
  }
  if (unpacked.of !== 'journal') return undefined
  const entry = unpacked.entries[index]
  return entry?.[0] === kind.signalled ? entry[5] : undefined
}
