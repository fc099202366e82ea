/** Planted bugs in what partitions say to each other. */
import { Ledger } from '../../src/actors/ledger/ledger.ts'
import { Strays } from '../../src/actors/ledger/strays.ts'
import { Router } from '../../src/client/router.ts'
import type { Block, Submitter } from '../../src/client/submitter.ts'
import { type ControlEntry, kind, type LogMessage, type Submission } from '../../src/protocol/entries.ts'
import { homeOf } from '../../src/protocol/partitions.ts'
import { FarDependencies } from '../../src/runtime/scheduler/far-dependencies.ts'
import { Forwarder } from '../../src/runtime/scheduler/forwarder.ts'
import { Switchboard } from '../../src/runtime/scheduler/switchboard.ts'
import { type Plant, replaceMethod } from './plants.ts'

/** Something keeps a log from taking what is brought to it. */
const troubled = ['door closes', 'full log', 'log leader gap', 'slow write', 'lost ack', 'crash control']
const features = ['partitions']

interface Bringing {
  readonly options: { readonly decideAll: (entries: readonly ControlEntry[]) => Promise<void> }
}

interface Placed {
  readonly partition: number
  readonly block: Block
  readonly index: number
}

/** What is said of how tasks of other partitions ended is changed so. */
function endsAre(told: (id: string, end: unknown) => unknown): () => void {
  return replaceMethod<FarDependencies, [string, boolean], Promise<unknown>>(
    FarDependencies.prototype,
    'endOf',
    (original) =>
      async function (id, isThorough) {
        return told(id, await original.call(this, id, isThorough))
      },
  )
}

export const plantedInPartitions: readonly Plant[] = [
  {
    name: 'stray-counts-again',
    bug: 'A leader brings everything twice, and what comes a second time counts a second time.',
    patch: () => {
      const countAgain = replaceMethod<Strays, unknown[], boolean>(Strays.prototype, 'isNew', () => () => true)
      const bringAgain = replaceMethod<Forwarder, [number, unknown[]], Promise<void>>(
        Forwarder.prototype,
        'append',
        (original) =>
          async function (to, entries) {
            await original.call(this, to, entries)
            await original.call(this, to, entries)
          },
      )
      return () => {
        countAgain()
        bringAgain()
      }
    },
    kinds: [],
    // Those with an id of their own are known by it.
    features: [...features, 'unique'],
  },
  {
    name: 'forwarded-before-brought',
    bug: 'A leader says that it has brought a submission to its partition before it does.',
    patch: () =>
      replaceMethod<Forwarder, [number, unknown[]], Promise<void>>(Forwarder.prototype, 'append', (original) => {
        return async function (to, entries) {
          const sequences = (entries as [number, number][]).flatMap(([what, at]) => (what === kind.brought ? [at] : []))
          const { options } = this as unknown as Bringing
          if (sequences.length > 0) await options.decideAll([[kind.forwarded, to, Math.max(...sequences)]])
          await original.call(this, to, entries)
        }
      }),
    kinds: troubled,
    features,
  },
  {
    name: 'settled-lost',
    bug: 'Nobody says of every second task how it ended, to those in other partitions that wait for it.',
    patch: () => endsAre((id, end) => (id.charCodeAt(id.length - 1) % 2 === 0 ? undefined : end)),
    kinds: [],
    features,
  },
  {
    name: 'settled-wrongly',
    bug: 'Whoever waits for a task of another partition is told that it completed, however it ended.',
    patch: () => endsAre((id, end) => end && [kind.settled, id, 'completed']),
    kinds: [],
    features,
  },
  {
    name: 'task-in-two-partitions',
    bug: 'A partition makes a task of one stray in three, and brings it to its own partition as well.',
    patch: () =>
      replaceMethod<Ledger, [LogMessage, string], void>(Ledger.prototype, 'foldSubmit', (original) => {
        return function (message, type) {
          const { strays, partitions } = this.state
          original.call(this, message, type)
          if (!strays.submissions.has(message.sequence) || message.sequence % 3 !== 0) return
          Object.assign(this.state, { partitions: 1 })
          original.call(this, message, type)
          Object.assign(this.state, { partitions })
        }
      }),
    kinds: [],
    features,
  },
  {
    name: 'home-of-its-own',
    bug: 'Programs that use the SDK place tasks with an id elsewhere than anybody else.',
    patch: () =>
      replaceMethod<Router, [Submission], Promise<Placed>>(Router.prototype, 'add', (original) => {
        return async function (submission) {
          const { submitters } = this as unknown as { readonly submitters: readonly Submitter[] }
          const id = submission[2]?.id
          if (id === undefined || submission[2]?.unique !== undefined) return original.call(this, submission)
          const partition = (homeOf(id, submitters.length) + id.length) % submitters.length
          return { partition, ...(await submitters[partition]!.add(submission)) }
        }
      }),
    kinds: [],
    features,
  },
  {
    name: 'unknown-too-soon',
    bug: 'A task on its way from the log in which it landed to its own is said to be unknown.',
    patch: () =>
      replaceMethod<Switchboard, [string], Promise<number | undefined>>(Switchboard.prototype, 'find', () => {
        return async function (id) {
          const { partitions } = (this as unknown as { readonly subjects: { readonly partitions: number } }).subjects
          const all = Array.from({ length: partitions }, (_, partition) => partition)
          for (const partition of all) if ((await this.statusOf(id, [partition])) !== undefined) return partition
          return undefined
        }
      }),
    kinds: [],
    features,
  },
  {
    name: 'strays-forgotten',
    bug: 'A leader that takes over forgets what landed in its log before.',
    patch: () =>
      replaceMethod<Forwarder, [], void>(Forwarder.prototype, 'start', (original) => {
        return function () {
          const { state } = (this as unknown as { options: { state: () => { strays: Strays } } }).options
          state().strays.submissions.clear()
          original.call(this)
        }
      }),
    kinds: ['crash control', 'log leader gap', 'pause long'],
    features,
  },
]
