/** Planted bugs in parts of the product that not every simulated installation uses. */
import { createHash } from 'node:crypto'
import { LedgerState } from '../../src/actors/ledger/state.ts'
import { UniqueWindows } from '../../src/actors/ledger/unique-windows.ts'
import { Reservations } from '../../src/actors/node/reservations.ts'
import { Firings } from '../../src/actors/scheduler/firings.ts'
import { Gate } from '../../src/actors/scheduler/gate.ts'
import { NodeService } from '../../src/runtime/node/node-service.ts'
import { IsolatedRunner } from '../../src/runtime/tasks/isolated-runner.ts'
import { type Plant, replaceMethod } from './plants.ts'

export const plantedInFeatures: readonly Plant[] = [
  {
    name: 'limits-ignored',
    bug: 'A leader starts tasks of paused types, and more than their limits allow.',
    patch: () => replaceMethod<Gate, unknown[], boolean>(Gate.prototype, 'holdsBack', () => () => false),
    kinds: [],
    features: ['limits'],
  },
  {
    name: 'firing-passed-over',
    bug: 'Every fifth firing of a schedule is passed over.',
    patch: () => {
      let count = 0
      return replaceMethod<Firings, [unknown, number], number>(Firings.prototype, 'next', (original) => {
        return function (schedule, afterMs) {
          const nextMs = original.call(this, schedule, afterMs)
          return ++count % 5 === 0 ? original.call(this, schedule, nextMs) : nextMs
        }
      })
    },
    kinds: [],
    features: ['schedules'],
  },
  {
    name: 'windows-forgotten',
    bug: 'Two submissions with one unique key both run.',
    patch: () =>
      replaceMethod<UniqueWindows, unknown[], string | undefined>(
        UniqueWindows.prototype,
        'rivalOf',
        () => () => undefined,
      ),
    kinds: [],
    features: ['unique'],
  },
  {
    name: 'large-value-not-stored',
    bug: 'One large value in ten is committed before it is stored, and then never is.',
    patch: () => {
      let count = 0
      return replaceMethod<NodeService, [Uint8Array], Promise<string>>(
        NodeService.prototype,
        'storeObject',
        (original) =>
          async function (data) {
            return ++count % 10 === 0 ? createHash('sha256').update(data).digest('hex') : original.call(this, data)
          },
      )
    },
    kinds: [],
    features: ['large values'],
  },
  {
    name: 'results-forgotten-early',
    bug: 'Results are kept by half the number that the rules say.',
    patch: () =>
      replaceMethod<LedgerState, [unknown, number, number], void>(LedgerState.prototype, 'retainIn', (original) => {
        return function (ended, count, keepMs) {
          original.call(this, ended, Math.floor(count / 2), keepMs)
        }
      }),
    kinds: [],
    features: ['retention'],
  },
  {
    name: 'children-stay-cancelled',
    bug: 'What was cancelled because its parent failed does not run again with it.',
    patch: () =>
      replaceMethod<LedgerState, unknown[], void>(LedgerState.prototype, 'end', (original) => {
        return function (...args) {
          original.call(this, ...args.slice(0, 4))
        }
      }),
    kinds: [],
    features: ['dead letters'],
  },
  {
    name: 'places-kept-for-ever',
    bug: 'A node keeps the places that it has reserved although nobody uses them.',
    patch: () => replaceMethod<Reservations, [number], boolean>(Reservations.prototype, 'expire', () => () => false),
    kinds: ['crash control', 'partition', 'clock jump', 'pause long', 'log leader gap', 'slow write'],
  },
  {
    name: 'hung-thread-not-ended',
    bug: 'A thread that does not listen is not ended, and keeps its place for ever.',
    patch: () =>
      replaceMethod<IsolatedRunner, unknown[], void>(IsolatedRunner.prototype, 'stop', () => () => undefined),
    kinds: ['thread hangs'],
    features: ['isolated'],
  },
]
