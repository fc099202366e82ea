/** Planted bugs in the fold: all ledgers agree with each other, and none with the log. */
import { Ledger } from '../../src/actors/ledger/ledger.ts'
import type { Member } from '../../src/actors/ledger/member.ts'
import { LedgerState } from '../../src/actors/ledger/state.ts'
import type { TaskRecord } from '../../src/actors/ledger/task-record.ts'
import { unpackControlBlock } from '../../src/protocol/blocks.ts'
import { type JournalEntry, kind, type LogMessage } from '../../src/protocol/entries.ts'
import { type Plant, replaceMethod } from './plants.ts'

type FoldMemberEntry = [member: Member, entry: JournalEntry, index: number]

/** Changes how an entry of a member is folded; `before` may change the task, or give another entry. */
function foldOf(before: (ledger: Ledger, task: TaskRecord, entry: JournalEntry, member: Member) => JournalEntry) {
  return () =>
    replaceMethod<Ledger, FoldMemberEntry, boolean>(Ledger.prototype, 'foldMemberEntry', (original) => {
      return function (member, entry, index) {
        const task = this.state.tasks.get(String(entry[1]))
        return original.call(this, member, task === undefined ? entry : before(this, task, entry, member), index)
      }
    })
}

const zombies = ['pause long', 'stall', 'one-way partition', 'partition', 'disconnect']

export const plantedInFold: readonly Plant[] = [
  {
    name: 'turns-not-checked',
    bug: 'What any node says of a running task counts, whoever owns its turn.',
    patch: foldOf(({ state }, task, entry, member) => {
      if (entry[0] < kind.checkpointed || entry[0] > kind.failed || task.status !== 'running') return entry
      state.release(task)
      task.owner = member
      return [entry[0], entry[1], task.turn, ...entry.slice(3)] as unknown as JournalEntry
    }),
    kinds: zombies,
  },
  {
    name: 'terminal-overwritten',
    bug: 'A node that completes a task which was cancelled or timed out meanwhile makes it completed.',
    patch: foldOf(({ state }, task, entry, member) => {
      if (entry[0] !== kind.completed || !task.ended || task.turn !== entry[2]) return entry
      state.unqueue(task)
      state.become(task, 'running')
      task.owner = member
      return entry
    }),
    kinds: ['delay', 'slow write', 'loss'],
  },
  {
    name: 'attempts-not-counted',
    bug: 'A failed attempt does not use up an attempt.',
    patch: foldOf((_, task, entry) => {
      if (entry[0] === kind.failed) task.attempt = 1
      return entry
    }),
    kinds: [],
  },
  {
    name: 'wake-up-lost',
    bug: 'A task that parks does not look whether its signal is already there.',
    patch: () =>
      replaceMethod<Ledger, FoldMemberEntry, boolean>(Ledger.prototype, 'foldMemberEntry', (original) => {
        return function (member, entry, index) {
          const rare = entry[0] === kind.parked ? this.state.tasks.get(entry[1])?.rare : undefined
          const signals = rare?.signals
          if (rare === undefined || signals === undefined) return original.call(this, member, entry, index)
          rare.signals = []
          const counted = original.call(this, member, entry, index)
          rare.signals = signals
          return counted
        }
      }),
    kinds: ['delay', 'slow write'],
  },
  {
    name: 'dead-node-counts',
    bug: 'A fenced incarnation goes on as a member.',
    patch: () =>
      replaceMethod<LedgerState, [Member, 'left' | 'fenced', string], void>(
        LedgerState.prototype,
        'endMember',
        (original) =>
          function (member, how, reason) {
            original.call(this, member, how, reason)
            if (how === 'left' || reason.includes('joined again')) return
            member.live = true
            this.members.set(member.incarnation, member)
            this.membersBySubject.set(member.subject, member)
            this.deadIncarnations.delete(member.incarnation)
          },
      ),
    kinds: [...zombies, 'two writers'],
  },
  {
    name: 'epoch-ignored',
    bug: 'Decisions of a scheduler that leads no longer count.',
    patch: () =>
      replaceMethod<Ledger, [LogMessage, string], void>(
        Ledger.prototype,
        'foldControl',
        (original) =>
          function (message, scheduler) {
            const block = unpackControlBlock(message.data)
            const { state } = this
            const { epoch, leader } = state
            if (!block.ok || block.entries.some((entry) => entry?.[0] === kind.led)) {
              return original.call(this, message, scheduler)
            }
            state.epoch = block.epoch
            state.leader = scheduler
            original.call(this, message, scheduler)
            state.epoch = epoch
            state.leader = leader
          },
      ),
    kinds: ['pause long', 'pause short', 'lease outage', 'one-way partition', 'slow write', 'delay', 'vague answer'],
  },
  {
    name: 'siblings-left-alone',
    bug: 'The others of a group go on with their turns when one of them fails.',
    patch: () =>
      replaceMethod<LedgerState, [TaskRecord, string, number?], void>(
        LedgerState.prototype,
        'makeReady',
        (original) =>
          function (task, why, dueAtMs = 0) {
            const isSibling = why === 'restarted' && task.rare?.group !== undefined && task.owner?.live === true
            if (!isSibling) original.call(this, task, why, dueAtMs)
          },
      ),
    kinds: [],
  },
  {
    name: 'group-never-fails',
    bug: 'A group whose intensity is exceeded goes on.',
    patch: () =>
      replaceMethod<LedgerState, [TaskRecord, string, { code?: string }, object], void>(
        LedgerState.prototype,
        'end',
        (original) =>
          function (task, status, value, place) {
            if (value?.code === 'TROUPE_GROUP_FAILED') this.makeReady(task, 'retrying')
            else original.call(this, task, status, value, place)
          },
      ),
    kinds: [],
  },
  {
    name: 'retry-never-due',
    bug: 'A task that is to be tried again is due in a year.',
    patch: () =>
      replaceMethod<LedgerState, [TaskRecord, string, number?], void>(
        LedgerState.prototype,
        'makeReady',
        (original) =>
          function (task, why, dueAtMs = 0) {
            original.call(this, task, why, why === 'retrying' ? dueAtMs + 365 * 86_400_000 : dueAtMs)
          },
      ),
    kinds: [],
  },
]
