/**
 * The ledger: a pure fold of a partition's log. Given the same messages and their stream timestamps, every process has the
 * same ledger. It knows who wrote an entry from the subject alone (rule 13), validates before it changes anything, and
 * never throws on what it is given: what cannot count is set aside or void, alone.
 */
import {
  type UnpackedControl,
  type UnpackedForward,
  type UnpackedJournal,
  unpackControlBlock,
  unpackForwardBlock,
  unpackJournalBlock,
  unpackSubmissionBlock,
} from '../../protocol/blocks.ts'
import { type ControlEntry, type JournalEntry, kind, type LogMessage, type Submission } from '../../protocol/entries.ts'
import { isName } from '../../protocol/names.ts'
import { placeOf } from '../../protocol/partitions.ts'
import { signalComplaint } from '../../protocol/signal.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { readSubmission } from '../../protocol/submission.ts'
import type { Change } from './change.ts'
import { foldControlEntry, foldLed } from './control-entries.ts'
import type { Member } from './member.ts'
import { foldFenced, foldJoined } from './node-entries.ts'
import { foldSignal, foldTurnSignal } from './signal-entries.ts'
import { LedgerState } from './state.ts'
import { foldBrought } from './stray-entries.ts'
import { foldChild, foldDismissed, foldSubmission, foldUnreadable, unreadableType } from './submission-entries.ts'
import { foldTurnEntry } from './turn-entries.ts'

/** The newest meaning of entries that this code knows. */
export const foldVersion = 1

type Unpacked = UnpackedJournal | UnpackedControl | UnpackedForward

export class Ledger {
  readonly subjects: Subjects
  readonly state: LedgerState
  /** True once the log asks for rules that this code does not know: it leads no more, and nothing is folded any more. */
  outdated: boolean
  /** Equal strings are kept once: types and client ids repeat a million times. */
  private readonly interned = new Map<string, string>()

  /** Of the partition that the subjects are of. */
  constructor(subjects: Subjects, state = new LedgerState(subjects.partition, subjects.partitions)) {
    this.subjects = subjects
    this.state = state
    this.outdated = state.rules.foldVersion > foldVersion
  }

  /** Folds the next message of the log. The caller guarantees order and completeness (rule 12). */
  fold(message: LogMessage): void {
    if (this.outdated) return
    const { state } = this
    state.position = message.sequence
    state.advanceTo(message.timestampMs)
    const member = state.membersBySubject.get(message.subject)
    try {
      if (member !== undefined) this.foldJournal(message, member)
      else this.route(message)
    } catch (error) {
      this.setAsideThrown(message.subject, error)
    }
    state.retain()
  }

  /** The changes since the last call, in order. */
  takeChanges(): Change[] {
    const { changes } = this.state
    this.state.changes = []
    return changes
  }

  private route(message: LogMessage): void {
    const { subject } = message
    const tokens = this.subjects.within(subject).split('.')
    switch (tokens[0]) {
      case 'block':
        return this.foldBlock(message, isName(tokens[1]) ? this.intern(tokens[1]) : undefined)
      case 'submit':
        return this.foldSubmit(message, tokens.slice(1).join('.'))
      case 'signal':
        return this.foldSignal(message, tokens.slice(1).join('.'))
      case 'journal':
        return this.foldJournal(message, undefined, tokens[2] ?? '', tokens[3] ?? '')
      case 'control':
        return this.foldControl(message, tokens[2] ?? '')
      case 'forward':
        return this.foldForward(message, tokens.slice(1).join('.'))
      default:
        this.setAsideUnexpected(subject)
    }
  }

  private foldSubmit(message: LogMessage, type: string): void {
    const { state } = this
    const name = isName(type) ? this.intern(type) : unreadableType
    const read = readSubmission(message, type)
    const place = read.ok ? placeOf(read.submission, state.partitions) : undefined
    if (place !== undefined && place !== state.partition) {
      state.strays.submissions.set(message.sequence, place)
      state.changes.push({ what: 'stray' })
    } else if (read.ok) foldSubmission(state, retyped(read.submission, name), -1, undefined)
    else foldUnreadable(state, name, -1, undefined, read.reason, read.replyTo)
  }

  private foldBlock(message: LogMessage, client: string | undefined): void {
    const { state } = this
    const block = unpackSubmissionBlock(message.data)
    if (!block.ok) {
      foldUnreadable(state, unreadableType, -1, client, { code: 'TROUPE_UNREADABLE', message: block.reason }, undefined)
      return
    }
    state.objects.note(block.objects, message.sequence)
    for (const { index, reason } of block.rejected) {
      foldUnreadable(state, unreadableType, index, client, { code: 'TROUPE_UNREADABLE', message: reason }, undefined)
    }
    for (let index = 0; index < block.entries.length; index++) {
      const submission = block.entries[index]
      if (submission === undefined) continue
      try {
        foldSubmission(state, retyped(submission, this.intern(submission[0])), index, client)
      } catch (error) {
        this.setAsideThrown(message.subject, error)
      }
    }
  }

  private foldSignal(message: LogMessage, id: string): void {
    const complaint = signalComplaint(message)
    if (complaint !== undefined) return this.state.setAside(message.subject, complaint)
    const signalId = message.headers?.get('troupe-id') ?? ''
    foldSignal(this.state, id, signalId.slice(0, 128), -1, message.subject)
  }

  private foldJournal(message: LogMessage, known: Member | undefined, node = '', incarnation = ''): void {
    const { state } = this
    const block = unpackJournalBlock(message.data)
    if (!this.canRead(message.subject, block)) return
    let member = known
    const { entries } = block
    // Its number says that it has counted: the broker took again what was sent again. A fence has none.
    if (known !== undefined && block.number > 0 && block.number <= known.lastBlock) {
      state.totals.void += entries.length
      known.lastSequence = message.sequence
      return
    }
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]
      if (entry === undefined) continue
      try {
        if (entry[0] === kind.joined) {
          if (known === undefined) member = foldJoined(state, message.subject, node, incarnation, entry) ?? member
        } else if (entry[0] === kind.fenced) {
          if (!foldFenced(state, message.subject, known?.incarnation ?? incarnation, entry)) state.totals.void++
        } else if (member === undefined || !this.foldMemberEntry(member, entry, index)) this.noteVoid(member, entry)
      } catch (error) {
        this.setAsideThrown(message.subject, error)
      }
    }
    if (member !== undefined) {
      member.lastSequence = message.sequence
      member.lastBlock = block.number
    }
  }

  private noteVoid(member: Member | undefined, entry: JournalEntry): void {
    this.state.totals.void++
    if (entry[0] !== kind.accepted || member === undefined || !member.live) return
    this.state.changes.push({ what: 'void-accept', member, id: entry[1], turn: entry[2] })
  }

  private foldMemberEntry(member: Member, entry: JournalEntry, index: number): boolean {
    const { state } = this
    if (!member.live) return false
    switch (entry[0]) {
      case kind.alive:
        return true
      case kind.left:
        state.endMember(member, 'left', 'it left')
        return true
      case kind.submitted:
        return foldChild(state, member, entry, index)
      case kind.dismissed:
        return foldDismissed(state, member, entry, index)
      case kind.signalled:
        return foldTurnSignal(state, member, entry, index)
      case kind.joined:
      case kind.fenced:
        return false
      default:
        return foldTurnEntry(state, member, entry, index)
    }
  }

  private foldControl(message: LogMessage, scheduler: string): void {
    const { state } = this
    const block = unpackControlBlock(message.data)
    if (!this.canRead(message.subject, block)) return
    for (let index = 0; index < block.entries.length && !this.outdated; index++) {
      const entry: ControlEntry | undefined = block.entries[index]
      if (entry === undefined) continue
      try {
        if (entry[0] === kind.led) {
          foldLed(state, scheduler, entry)
          this.outdated = entry[1].foldVersion > foldVersion
        } else if (block.epoch !== state.epoch || scheduler !== state.leader) state.totals.void++
        else if (!foldControlEntry(state, entry, index)) state.totals.void++
      } catch (error) {
        this.setAsideThrown(message.subject, error)
      }
    }
  }

  private foldForward(message: LogMessage, origin: string): void {
    const { state } = this
    const from = Number(origin)
    if (String(from) !== origin || !state.hasPartition(from)) return this.setAsideUnexpected(message.subject)
    const block = unpackForwardBlock(message.data)
    if (!this.canRead(message.subject, block)) return
    for (const [index, entry] of block.entries.entries()) {
      if (entry === undefined) continue
      try {
        if (!foldBrought(state, from, entry, index, message.subject)) state.totals.void++
      } catch (error) {
        this.setAsideThrown(message.subject, error)
      }
    }
  }

  /** Sets aside what cannot be read of a block: single entries, or all of it, and then returns false. Notes its objects. */
  private canRead<Block extends Unpacked>(
    subject: string,
    block: Block,
  ): block is Extract<Block, { readonly ok: true }> {
    const read: Unpacked = block
    const unread = read.ok ? read.rejected : [read]
    if (read.ok) this.state.objects.note(read.objects, this.state.position)
    for (const { reason } of unread) this.state.setAside(subject, { code: 'TROUPE_UNREADABLE', message: reason })
    return read.ok
  }

  private setAsideUnexpected(subject: string): void {
    this.state.setAside(subject, { code: 'TROUPE_UNREADABLE', message: `nothing is expected on subject ${subject}` })
  }

  /** Rule 8: what throws is a defect of ours; it is set aside, alone, and the fold goes on. */
  private setAsideThrown(subject: string, error: unknown): void {
    this.state.setAside(subject, { code: 'TROUPE_INTERNAL', message: String(error).slice(0, 500) })
  }

  private intern(text: string): string {
    const known = this.interned.get(text)
    if (known !== undefined) return known
    if (this.interned.size > 50_000) this.interned.clear()
    this.interned.set(text, text)
    return text
  }
}

function retyped(submission: Submission, type: string): Submission {
  return submission[2] === undefined ? [type, submission[1]] : [type, submission[1], submission[2]]
}
