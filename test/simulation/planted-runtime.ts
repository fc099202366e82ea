/** Planted bugs in what carries decisions out: schedulers, nodes, clients. */

import { type CheckpointPart, LedgerSaving } from '../../src/actors/ledger/checkpoint.ts'
import type { LedgerState } from '../../src/actors/ledger/state.ts'
import type { TaskRecord } from '../../src/actors/ledger/task-record.ts'
import { Timers } from '../../src/actors/scheduler/timers.ts'
import { defaultSupervision } from '../../src/actors/supervision/settings.ts'
import { Outcomes } from '../../src/client/outcomes.ts'
import type { Log } from '../../src/nats/bus.ts'
import type { Payload } from '../../src/protocol/entries.ts'
import type { LedgerReader } from '../../src/runtime/ledger/ledger-reader.ts'
import { LogTime } from '../../src/runtime/ledger/log-time.ts'
import { AwardSender } from '../../src/runtime/scheduler/award-sender.ts'
import { LogEnd } from '../../src/runtime/scheduler/log-end.ts'
import { LogValues, type TaskValues } from '../../src/runtime/scheduler/log-values.ts'
import { Teller } from '../../src/runtime/scheduler/teller.ts'
import { FunctionRun } from '../../src/runtime/tasks/function-run.ts'
import { type Plant, replaceMethod } from './plants.ts'

type Load = Promise<Map<TaskRecord, TaskValues | undefined>>

function loadOf(change: (task: TaskRecord, values: TaskValues) => TaskValues) {
  return () =>
    replaceMethod<LogValues, [readonly TaskRecord[]], Load>(LogValues.prototype, 'load', (original) => {
      return async function (tasks) {
        const loaded = await original.call(this, tasks)
        for (const [task, values] of loaded) if (values !== undefined) loaded.set(task, change(task, values))
        return loaded
      }
    })
}

export const plantedInRuntime: readonly Plant[] = [
  {
    name: 'timer-lost',
    bug: 'A leading scheduler forgets every fifth timer.',
    patch: () => {
      let count = 0
      return replaceMethod<Timers, [unknown, number], void>(Timers.prototype, 'set', (original) => {
        return function (timer, atMs) {
          if (++count % 5 !== 0) original.call(this, timer, atMs)
        }
      })
    },
    kinds: [],
  },
  {
    name: 'gang-by-halves',
    bug: 'A node is not told that a task starts with its gang, so it begins at once.',
    patch: () =>
      replaceMethod<AwardSender, [TaskRecord, string | undefined], object | undefined>(
        AwardSender.prototype,
        'termsOf',
        (original) => {
          return function (task, tender) {
            const { gang: _, ...terms } = (original.call(this, task, tender) ?? {}) as { gang?: boolean }
            return terms
          }
        },
      ),
    kinds: ['delay', 'crash node'],
  },
  {
    name: 'signals-swapped',
    bug: 'Signals that wait for a task are awarded in the wrong order.',
    patch: loadOf((_, values) => ({ ...values, signals: [...values.signals].reverse() })),
    kinds: ['delay', 'crash node', 'slow write'],
  },
  {
    name: 'older-snapshot',
    bug: 'A task is restored from the first of its snapshots instead of the last.',
    patch: () => {
      const first = new Map<string, Payload>()
      return loadOf((task, values) => {
        if (values.snapshot === null) return values
        const kept = first.get(task.id)
        if (kept === undefined) first.set(task.id, values.snapshot)
        return kept === undefined ? values : { ...values, snapshot: kept }
      })()
    },
    kinds: ['crash node', 'pause long', 'drain'],
  },
  {
    name: 'snapshot-dropped',
    bug: 'A task that starts again starts from nothing.',
    patch: loadOf((_, values) => ({ ...values, snapshot: null })),
    kinds: ['crash node', 'drain'],
  },
  {
    name: 'key-per-attempt',
    bug: 'The idempotency key of a step changes with each attempt.',
    patch: () =>
      replaceMethod<FunctionRun, [string?], string>(FunctionRun.prototype, 'idempotencyKey', (original) => {
        return function (step) {
          return `${original.call(this, step)}:${this.port.attempt}`
        }
      }),
    kinds: [],
  },
  {
    name: 'key-shared',
    bug: 'All steps of a task have the same idempotency key.',
    patch: () =>
      replaceMethod<FunctionRun, [string?], string>(FunctionRun.prototype, 'idempotencyKey', (original) => {
        return function () {
          return original.call(this)
        }
      }),
    kinds: [],
  },
  {
    name: 'wall-clock-timers',
    bug: 'A node takes its own clock for log time.',
    patch: () => replaceMethod<LogTime, [], number>(LogTime.prototype, 'nowMs', () => () => Date.now()),
    kinds: ['clock skew', 'clock jump', 'crash node'],
  },
  {
    name: 'wrong-outcome-told',
    bug: 'One outcome in thirty is told as completed, whatever it was.',
    patch: () => {
      let count = 0
      return replaceMethod<Teller, [TaskRecord, string, unknown], void>(Teller.prototype, 'outcome', (original) => {
        return function (task, status, value) {
          if (++count % 30 === 0) original.call(this, task, 'completed', null)
          else original.call(this, task, status, value)
        }
      })
    },
    kinds: [],
  },
  {
    name: 'nobody-asks',
    bug: 'A client relies on being told and never asks.',
    patch: () => replaceMethod<Outcomes, [], void>(Outcomes.prototype, 'askDue', () => () => undefined),
    kinds: ['loss'],
  },
  {
    name: 'replica-believed',
    bug: 'A scheduler takes the word of any replica for where the log ends.',
    patch: () =>
      replaceMethod<LogEnd, [], Promise<void>>(LogEnd.prototype, 'look', () => {
        return function () {
          const { log, reader } = this as unknown as { log: Log; reader: LedgerReader }
          Reflect.set(this, 'next', undefined)
          return log.info().then(({ lastSequence }) => reader.reached(lastSequence))
        }
      }),
    kinds: ['server lags'],
  },
  {
    name: 'rejection-escapes',
    bug: 'Signals that cannot be handed over end in a rejection that nobody handles.',
    patch: () => {
      const sendSignals = async () => {
        throw new Error('planted')
      }
      return replaceMethod<AwardSender, [], Promise<void>>(AwardSender.prototype, 'sendSignals', () => sendSignals)
    },
    kinds: [],
  },
  {
    name: 'mass-silence-not-held',
    bug: 'A supervisor that hears hardly anybody fences all of them.',
    patch: () => {
      const kept = { ...defaultSupervision }
      Object.assign(defaultSupervision, { goneHoldMs: 0, silentHoldMs: 0 })
      return () => Object.assign(defaultSupervision, kept)
    },
    kinds: ['nodes fall silent'],
  },
  {
    name: 'saved-as-it-is-later',
    bug: 'A checkpoint has the members as they are when the last of it is written.',
    patch: () =>
      replaceMethod<LedgerSaving, [], CheckpointPart[]>(LedgerSaving.prototype, 'others', (original) => {
        return function () {
          const { state } = this as unknown as { state: LedgerState }
          const parts = original.call(this)
          return parts.map((part) => {
            if (part[0] !== 'members') return part
            const rows = part[1].filter(({ incarnation }) => state.members.has(incarnation))
            return ['members', rows.map((row) => ({ ...row, ...placeIn(state, row.incarnation) }))] as CheckpointPart
          })
        }
      }),
    kinds: ['crash control', 'crash node'],
  },
]

function placeIn({ members }: LedgerState, incarnation: string): { lastSequence: number; lastBlock: number } {
  const { lastSequence, lastBlock } = members.get(incarnation)!
  return { lastSequence, lastBlock }
}
