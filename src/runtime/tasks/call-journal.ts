/**
 * What an async function has asked its context for, kept over turns: each call by its key, with its outcome and its place
 * in the order of outcomes. After a restart the outcomes are given again in their first order, so that a function which
 * is driven by its calls takes the same way; a call that does not fit shows that the code has changed.
 *
 * Pure bookkeeping: no timers, no promises, no I/O.
 *
 * - `ends` is the order of outcomes. `delivered` of them have been given to the function in this run.
 * - A call remembers in `seen` how many it had been given when it was first made; it is not made again before that.
 * - A checkpoint stands for what the function did since it looked at `restored`: calls that ended are forgotten. What comes
 *   before that look is the preamble, which runs again from the top in every turn: its calls are kept, as are the steps
 *   before the first checkpoint, and answer at once, whatever their order.
 */
import { TroupeError } from '../../protocol/errors.ts'
import { packValue, unpackValue } from '../../protocol/payload.ts'
import type { Packed } from './logic.ts'

export const functionFormat = 1

/** One call and what became of it. */
export interface Call {
  readonly key: string
  outcome: 'open' | 'value' | 'error'
  seen: number
  /** Place in the order of outcomes; -1 while open, -2 if its order no longer matters. */
  end: number
  /** The packed result, or the packed error record. */
  value: Packed
  /** When a wait is over, log time; 0: no such time. */
  dueAtMs: number
  /** The attempt in which it ended. */
  attempt: number
  /** First number and count of the children that it submitted. */
  firstChild: number
  children: number
  /** Asked for in this run. */
  asked: boolean
  /** Its outcome may be given to the function: it was stored, or need not be. */
  ready: boolean
  /** It was made in an earlier turn. */
  resumed: boolean
}

type CallRow = readonly [
  key: string,
  outcome: 0 | 1 | 2,
  seen: number,
  end: number,
  value: Packed,
  dueAtMs: number,
  attempt: number,
  firstChild: number,
  children: number,
]

/** The snapshot of an async function. */
export interface FunctionSnapshot {
  readonly format: number
  readonly kind: 'function'
  readonly version?: string
  readonly calls: readonly CallRow[]
  /** Checkpoints so far, and the packed value of the last. */
  readonly era: number
  readonly checkpoint: Uint8Array | null
  readonly children: number
  readonly consumed: number
  /** Signals received and not yet taken. */
  readonly inbox: readonly (readonly [sequence: number, event: Packed])[]
}

const outcomes = ['open', 'value', 'error'] as const

export class CallJournal {
  // Collections are made when they are first needed: most functions return without having asked for anything.
  #calls: Map<string, Call> | undefined
  ends: Call[] = []
  delivered = 0
  /** Ends that were there when this run began; until they are delivered, no new call starts. */
  loaded = 0
  era = 0
  checkpoint: Uint8Array | null = null
  childrenGiven = 0
  consumed = 0
  /** Sequences of the last signal that the function was given, and that a packed state has. */
  #taken = 0
  #packed = 0
  /** By which version of the definition it was stored. */
  version: string | undefined
  inbox: (readonly [sequence: number, event: Packed])[] = []
  #ordinals: Map<string, number> | undefined
  #usedNames: Set<string> | undefined

  get calls(): Map<string, Call> {
    this.#calls ??= new Map()
    return this.#calls
  }

  get replaying(): boolean {
    return this.delivered < this.loaded
  }

  /** The function has not looked at `restored` yet in this run. */
  preamble = true

  /** The key of the next unnamed call of this kind. */
  nextKey(what: string): string {
    const part = `${what}#${this.preamble ? 'p' : this.era}`
    this.#ordinals ??= new Map()
    const ordinal = (this.#ordinals.get(part) ?? 0) + 1
    this.#ordinals.set(part, ordinal)
    return `${part}.${ordinal}`
  }

  /** Returns the call of this key, made now or in an earlier turn. Throws TROUPE_STEP_NAME_TWICE if it was made in this run. */
  begin(key: string): Call {
    this.#usedNames ??= new Set()
    if (this.#usedNames.has(key)) {
      throw new TroupeError(
        'TROUPE_STEP_NAME_TWICE',
        `"${shownKey(key)}" was used twice in one run; names must be unique`,
        {
          details: { step: shownKey(key) },
        },
      )
    }
    this.#usedNames.add(key)
    const known = this.calls.get(key)
    if (known !== undefined) {
      known.asked = true
      return known
    }
    const call: Call = {
      key,
      outcome: 'open',
      seen: this.delivered,
      end: -1,
      value: null,
      dueAtMs: 0,
      attempt: 0,
      firstChild: 0,
      children: 0,
      asked: true,
      ready: false,
      resumed: false,
    }
    return call
  }

  /** True if the call may be made now: all that it had been given before it was first made has been given again. */
  mayStart(call: Call): boolean {
    return this.delivered >= (this.calls.has(call.key) ? Math.min(call.seen, this.loaded) : this.loaded)
  }

  /** The call is made: from now on it is part of the state. */
  open(call: Call): void {
    if (this.calls.has(call.key)) return
    call.seen = this.delivered
    this.calls.set(call.key, call)
  }

  end(call: Call, outcome: 'value' | 'error', value: Packed, attempt: number): void {
    call.outcome = outcome
    call.value = value
    call.attempt = attempt
    call.end = this.ends.length
    this.ends.push(call)
  }

  /** Returns the next call whose outcome the function is to be given, and counts it as given; undefined if it must wait. */
  deliver(): Call | undefined {
    const next = this.ends[this.delivered]
    if (next === undefined || !next.asked || !next.ready) return undefined
    this.delivered++
    return next
  }

  /** Takes the oldest waiting signal of this type, decoded; undefined if there is none. */
  takeSignal(type: string): { readonly event: unknown; readonly packed: Packed } | undefined {
    for (const [index, [sequence, packed]] of this.inbox.entries()) {
      const event = unpackValue(packed)
      if ((event as { type?: unknown } | null | undefined)?.type !== type) continue
      this.inbox.splice(index, 1)
      this.#taken = Math.max(this.#taken, sequence)
      return { event, packed }
    }
    return undefined
  }

  /** A checkpoint was made: its value stands for what was done before. */
  startEra(value: Uint8Array | null): void {
    const first = this.era === 0
    this.era++
    this.checkpoint = value
    for (const [index, call] of this.ends.entries()) {
      if (index >= this.delivered) continue
      if (isPreamble(call.key) || (first && isNamed(call.key))) call.end = -2
      else this.calls.delete(call.key)
    }
    this.ends = this.ends.slice(this.delivered)
    for (const [index, call] of this.ends.entries()) call.end = index
    for (const call of this.calls.values()) if (call.end >= -1) call.seen = 0
    this.delivered = 0
    this.loaded = 0
  }

  /** The calls that code has to make again, in the order of their outcomes, as people know them. */
  names(): string[] {
    const open = [...this.calls.values()].filter((call) => call.outcome === 'open')
    return [...this.ends, ...open].map((call) => shownKey(call.key))
  }

  /** Sequence of the signal that the function was given last, if no packed state has it; 0 for none. */
  get event(): number {
    return this.#taken > this.#packed ? this.#taken : 0
  }

  pack(version: string | undefined): Uint8Array {
    this.#packed = this.consumed
    const snapshot: FunctionSnapshot = {
      format: functionFormat,
      kind: 'function',
      ...(version === undefined ? {} : { version }),
      calls: [...this.calls.values()].map(rowOf),
      era: this.era,
      checkpoint: this.checkpoint,
      children: this.childrenGiven,
      consumed: this.consumed,
      inbox: this.inbox,
    }
    return packValue(snapshot) as Uint8Array
  }

  /**
   * Returns the journal of a snapshot. An error that nothing followed is forgotten when the attempt has changed: trying it
   * again is what the new attempt is for. Throws TROUPE_SNAPSHOT_UNREADABLE.
   */
  static unpack(packed: Packed, attempt: number): CallJournal {
    const snapshot = readSnapshot(packed)
    const journal = new CallJournal()
    journal.era = snapshot.era
    journal.checkpoint = snapshot.checkpoint
    journal.childrenGiven = snapshot.children
    journal.consumed = snapshot.consumed
    journal.version = snapshot.version
    journal.inbox = [...snapshot.inbox]
    const calls = snapshot.calls.map(callOf)
    const seenMost = Math.max(0, ...calls.map((call) => call.seen))
    for (const call of calls) {
      if (call.outcome === 'error' && call.end >= seenMost && call.attempt !== attempt) continue
      journal.calls.set(call.key, call)
      if (call.end >= 0) journal.ends.push(call)
    }
    journal.ends.sort((a, b) => a.end - b.end)
    for (const [index, call] of journal.ends.entries()) call.end = index
    journal.loaded = journal.ends.length
    return journal
  }
}

/** The error for a function that asks for other calls than the one whose outcome it was given next in an earlier run. */
export function orderMismatch(expected: Call, asked: readonly Call[]): TroupeError {
  const name = shownKey(expected.key)
  const names = asked.map((call) => shownKey(call.key))
  return new TroupeError(
    'TROUPE_STEP_MISMATCH',
    `the function asked for ${names.map((key) => `"${key}"`).join(', ')}, where an earlier run asked for "${name}" first`,
    { details: { expected: name, asked: names } },
  )
}

const kinds: Readonly<Record<string, string>> = {
  sleep: 'a sleep',
  sleepUntil: 'a sleepUntil',
  checkpoint: 'a checkpoint',
  submit: 'a submit',
  map: 'a map',
}

/** How a key is shown to people: a step by its name, an unnamed call by its kind. */
function shownKey(key: string): string {
  if (key.startsWith('step:')) return key.slice(5)
  const unnamed = /^(\w+)(?::(.*))?#\w+\.(\d+)$/.exec(key)
  if (unnamed === null) return key
  const [, what = '', event, ordinal] = unnamed
  const kind = event === undefined ? kinds[what] : `an event ${event}`
  return `${kind ?? what}${ordinal === '1' ? '' : ` (number ${ordinal})`}`
}

function isPreamble(key: string): boolean {
  return key.includes('#p.')
}

function isNamed(key: string): boolean {
  return key.startsWith('step:')
}

function rowOf(call: Call): CallRow {
  const outcome = outcomes.indexOf(call.outcome) as 0 | 1 | 2
  const { key, seen, end, value, dueAtMs, attempt, firstChild, children } = call
  return [key, outcome, seen, end, value, dueAtMs, attempt, firstChild, children]
}

function callOf(row: CallRow): Call {
  const [key, outcome, seen, end, value, dueAtMs, attempt, firstChild, children] = row
  const rest = { seen, end, value, dueAtMs, attempt, firstChild, children }
  return { key, outcome: outcomes[outcome], ...rest, asked: false, ready: true, resumed: true }
}

function readSnapshot(packed: Packed): FunctionSnapshot {
  let snapshot: Partial<FunctionSnapshot> | null | undefined
  try {
    snapshot = unpackValue(packed) as Partial<FunctionSnapshot>
  } catch (cause) {
    throw new TroupeError('TROUPE_SNAPSHOT_UNREADABLE', 'the snapshot cannot be decoded', { cause })
  }
  if (snapshot?.kind === 'function' && snapshot.format === functionFormat && Array.isArray(snapshot.calls)) {
    return snapshot as FunctionSnapshot
  }
  throw new TroupeError(
    'TROUPE_SNAPSHOT_UNREADABLE',
    `the snapshot is of kind ${JSON.stringify(snapshot?.kind)} and format ${JSON.stringify(snapshot?.format)}; this version runs the task as a function with format ${functionFormat}`,
    { details: { kind: snapshot?.kind, format: snapshot?.format } },
  )
}
