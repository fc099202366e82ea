/** Planted bugs about what is written to the log and how its answers are read. */

import type { AppendOptions } from '../../src/nats/bus.ts'
import { unpackJournalBlock } from '../../src/protocol/blocks.ts'
import { kind } from '../../src/protocol/entries.ts'
import { changedLog } from './changed-log.ts'
import type { Plant } from './plants.ts'

function without<Key extends keyof AppendOptions>(options: AppendOptions | undefined, key: Key): AppendOptions {
  const { [key]: _, ...rest } = options ?? {}
  return rest
}

const zombies = ['pause long', 'stall', 'one-way partition', 'partition']

export const plantedInLog: readonly Plant[] = [
  {
    name: 'acknowledged-before-stored',
    bug: 'One submission in twenty is acknowledged without being stored.',
    wrapLog: (random) => (log, role) =>
      changedLog(log, {
        append: async (subject, data, options) =>
          role === 'client' && subject.includes('.block.') && random.chance(0.05)
            ? { outcome: 'stored', sequence: 1_000_000 + random.integer(1, 1_000_000), duplicate: false }
            : log.append(subject, data, options),
      }),
    kinds: [],
  },
  {
    name: 'refused-though-stored',
    bug: 'One stored submission in twenty is reported as refused.',
    wrapLog: (random) => (log, role) =>
      changedLog(log, {
        append: async (subject, data, options) => {
          const result = await log.append(subject, data, options)
          return role === 'client' && result.outcome === 'stored' && random.chance(0.05)
            ? { outcome: 'refused', reason: 'full', code: 10077, message: 'maximum bytes exceeded' }
            : result
        },
      }),
    kinds: [],
  },
  {
    name: 'unknown-taken-for-refused',
    bug: 'A submission without an answer is reported as refused for certain.',
    wrapLog: () => (log, role) =>
      changedLog(log, {
        append: async (subject, data, options) => {
          const result = await log.append(subject, data, options)
          return role === 'client' && result.outcome === 'unknown'
            ? { outcome: 'refused', reason: 'other', code: 0, message: result.message }
            : result
        },
      }),
    kinds: ['lost ack', 'vague answer'],
  },
  {
    name: 'message-id-dropped',
    bug: 'A submission that is sent again carries no message id.',
    wrapLog: () => (log, role) =>
      changedLog(log, {
        append: (subject, data, options) =>
          log.append(subject, data, role === 'client' ? without(options, 'messageId') : options),
      }),
    kinds: ['lost ack', 'vague answer'],
  },
  {
    name: 'fence-dropped',
    bug: 'A node writes its journal without an expectation, so nothing keeps a fenced one from writing.',
    wrapLog: () => (log, role) =>
      changedLog(log, {
        append: (subject, data, options) =>
          log.append(subject, data, role === 'node' ? without(options, 'expectedLastSubjectSequence') : options),
      }),
    kinds: zombies,
  },
  {
    name: 'sequence-adopted',
    bug: 'A node that is refused adopts the last sequence of its journal and writes again.',
    wrapLog: () => (log, role) =>
      changedLog(log, {
        append: async (subject, data, options) => {
          const result = await log.append(subject, data, options)
          if (role !== 'node' || result.outcome !== 'refused' || result.reason !== 'wrong-sequence') return result
          const last = await log.lastOf(subject).catch(() => undefined)
          return log.append(subject, data, { ...options, expectedLastSubjectSequence: last?.sequence ?? 0 })
        },
      }),
    kinds: zombies,
  },
  {
    name: 'fence-not-written',
    bug: 'The supervisor believes that a fence is stored which it never wrote.',
    wrapLog: () => (log, role) =>
      changedLog(log, {
        append: async (subject, data, options) => {
          const block = role === 'control' && subject.includes('.journal.') ? unpackJournalBlock(data) : undefined
          return block?.ok && block.entries[0]?.[0] === kind.fenced
            ? { outcome: 'stored', sequence: 1, duplicate: false }
            : log.append(subject, data, options)
        },
      }),
    kinds: ['crash node', 'pause long'],
  },
  {
    name: 'message-skipped',
    bug: 'A reader of the log loses one message in a hundred.',
    wrapLog: (random) => (log) =>
      changedLog(log, {
        read: (options) =>
          log.read({
            ...options,
            onMessages: (messages) => options.onMessages(messages.filter(() => !random.chance(0.01))),
          }),
      }),
    kinds: [],
  },
  {
    name: 'trimmed-too-far',
    bug: 'The log is trimmed fifty messages beyond what is needed no more.',
    wrapLog: () => (log) => changedLog(log, { trim: (sequence) => log.trim(sequence + 50) }),
    // Whoever leads next has to read the inputs that the one before held in memory.
    kinds: ['crash control', 'crash node'],
    // Results that are kept for long hold the log, which is then trimmed once at most.
    features: ['retention'],
  },
  {
    name: 'door-stays-open',
    bug: 'The door of a log that is nearly full is not closed.',
    wrapLog: () => (log) =>
      changedLog(log, { setDoor: async (open) => (open ? log.setDoor(open) : undefined), takeReserve: async () => {} }),
    kinds: ['full log'],
  },
]
