/**
 * A JetStream stream in memory: order, fences, deduplication, limits, trimming. Pure: time comes with each call, nothing
 * gets lost, nobody waits. `honesty.test.ts` holds it against the real server; faults are added by whoever uses it.
 */
import type { AppendResult, LogInfo, RefusedReason } from '../../src/nats/bus.ts'
import type { LogMessage } from '../../src/protocol/entries.ts'
import { matches } from './network.ts'

export interface StreamOptions {
  readonly door: readonly string[]
  readonly inner: readonly string[]
  readonly bytesMax: number
  readonly dedupeMs: number
  readonly createdAtMs: number
  readonly identity?: string
  /** Only the last message of each subject is kept. */
  readonly lastOnly?: boolean
}

export interface StreamWrite {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly messageId?: string | undefined
  readonly expectedLastSubjectSequence?: number | undefined
}

interface Stored extends LogMessage {
  readonly bytes: number
}

export class SimStream {
  readonly options: StreamOptions
  doorOpen = true
  /** Room that others have taken, and room beyond the stream's size that it was given. */
  ballastBytes = 0
  reserveBytes = 0
  /** The message at `first + i`; undefined where one was removed. */
  private messages: (Stored | undefined)[] = []
  first = 1
  last = 0
  private bytes = 0
  private count = 0
  private readonly ofSubject = new Map<string, number[]>()
  private readonly ids = new Map<string, { sequence: number; atMs: number }>()
  private readonly door: readonly (readonly string[])[]
  private readonly inner: readonly (readonly string[])[]

  constructor(options: StreamOptions) {
    this.options = options
    this.door = options.door.map((pattern) => pattern.split('.'))
    this.inner = options.inner.map((pattern) => pattern.split('.'))
  }

  captures(subject: string): boolean {
    const tokens = subject.split('.')
    const patterns = this.doorOpen ? [...this.door, ...this.inner] : this.inner
    return patterns.some((pattern) => matches(pattern, tokens))
  }

  /** `acceptsAll`: takes what the expectation forbids, as servers did that checked it too early. */
  append(write: StreamWrite, nowMs: number, acceptsAll = false): AppendResult {
    const { subject, data, headers, messageId, expectedLastSubjectSequence: expected } = write
    if (!this.captures(subject)) return refused('no-responders', 503, 'no stream captures the subject')
    this.forgetIds(nowMs)
    const lastOfSubject = this.ofSubject.get(subject)?.at(-1) ?? 0
    if (expected !== undefined && expected !== lastOfSubject && !acceptsAll) {
      return refused('wrong-sequence', 10071, `wrong last sequence: ${lastOfSubject}`)
    }
    // One replica looks at the expectation first, several at the message id; no write of ours has both.
    const known = messageId === undefined ? undefined : this.ids.get(messageId)
    if (known !== undefined) return { outcome: 'stored', sequence: known.sequence, duplicate: true }
    const bytes = storedBytes(write)
    const roomBytes = this.options.bytesMax + this.reserveBytes - this.ballastBytes
    if (this.bytes + bytes > roomBytes) return refused('full', 10077, 'maximum bytes exceeded')
    const sequence = ++this.last
    const kept = headers && new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
    const all = new Map(kept)
    if (expected !== undefined) all.set('nats-expected-last-subject-sequence', String(expected))
    if (messageId !== undefined) all.set('nats-msg-id', messageId)
    const message: Stored = {
      subject,
      sequence,
      timestampMs: Math.floor(nowMs),
      data,
      headers: all.size > 0 ? all : undefined,
      bytes,
    }
    this.messages.push(message)
    this.bytes += bytes
    this.count++
    const sequences = this.ofSubject.get(subject)
    if (sequences === undefined) this.ofSubject.set(subject, [sequence])
    else {
      sequences.push(sequence)
      if (this.options.lastOnly) this.remove(sequences[0]!)
    }
    if (messageId !== undefined) this.ids.set(messageId, { sequence, atMs: nowMs })
    return { outcome: 'stored', sequence, duplicate: false }
  }

  get(sequence: number): LogMessage | undefined {
    return this.messages[sequence - this.first]
  }

  range(from: number, countMax: number, bytesMax: number): LogMessage[] {
    const found: LogMessage[] = []
    let bytes = 0
    for (let at = Math.max(from, this.first); at <= this.last && found.length < countMax; at++) {
      const message = this.messages[at - this.first]
      if (message === undefined) continue
      bytes += message.bytes
      if (found.length > 0 && bytes > bytesMax) break
      found.push(message)
    }
    return found
  }

  lastOf(subject: string): LogMessage | undefined {
    const sequence = this.ofSubject.get(subject)?.at(-1)
    return sequence === undefined ? undefined : this.get(sequence)
  }

  subjects(): string[] {
    return [...this.ofSubject.keys()]
  }

  /** Others take so much room that this share of it is taken in all. */
  fill(share: number): void {
    this.ballastBytes = Math.max(0, Math.floor(share * this.options.bytesMax) - this.bytes)
  }

  info(nowMs: number): LogInfo {
    return {
      identity: this.options.identity ?? 'simulated',
      firstSequence: this.first,
      lastSequence: this.last,
      messages: this.count,
      bytes: this.bytes + this.ballastBytes,
      bytesMax: this.options.bytesMax,
      reserveBytes: this.reserveBytes,
      createdAtMs: this.options.createdAtMs,
      serverTimeMs: Math.floor(nowMs),
      replicas: 1,
      doorOpen: this.doorOpen,
    }
  }

  /** Takes submissions and signals, or does not; then it gives its reserve back as well. */
  setDoor(open: boolean): void {
    this.doorOpen = open
    if (open) this.reserveBytes = 0
  }

  /** Gets room beyond its size, for those inside the door. */
  takeReserve(): void {
    if (this.reserveBytes > 0) return
    this.doorOpen = false
    this.reserveBytes = Math.floor(this.options.bytesMax / 4)
  }

  trim(sequence: number): void {
    const before = Math.min(sequence, this.last + 1)
    while (this.first < before) {
      this.remove(this.first)
      this.messages.shift()
      this.first++
    }
  }

  /** Removes the messages of a subject before a sequence. */
  purge(subject: string, before: number): void {
    for (const sequence of [...(this.ofSubject.get(subject) ?? [])]) if (sequence < before) this.remove(sequence)
  }

  delete(sequence: number): void {
    this.remove(sequence)
  }

  /** How many messages each subject with this prefix has. */
  counts(prefix: string): Map<string, number> {
    const counts = new Map<string, number>()
    for (const [subject, sequences] of this.ofSubject) {
      if (subject.startsWith(prefix)) counts.set(subject.slice(prefix.length), sequences.length)
    }
    return counts
  }

  /** A server that lost power comes back without its last messages; their sequences are given again. */
  loseSuffix(count: number): number {
    let lost = 0
    for (; lost < count && this.last >= this.first; lost++) {
      this.remove(this.last)
      this.messages.pop()
      this.last--
    }
    for (const [id, { sequence }] of [...this.ids]) if (sequence > this.last) this.ids.delete(id)
    return lost
  }

  private remove(sequence: number): void {
    const message = this.messages[sequence - this.first]
    if (message === undefined) return
    this.messages[sequence - this.first] = undefined
    this.bytes -= message.bytes
    this.count--
    const sequences = this.ofSubject.get(message.subject)
    sequences?.splice(sequences.indexOf(sequence), 1)
    if (sequences?.length === 0) this.ofSubject.delete(message.subject)
  }

  private forgetIds(nowMs: number): void {
    for (const [id, { atMs }] of this.ids) {
      if (atMs + this.options.dedupeMs > nowMs) return
      this.ids.delete(id)
    }
  }
}

/** What a record in a file store takes. */
function storedBytes({ subject, data, headers, messageId, expectedLastSubjectSequence }: StreamWrite): number {
  let lines = 0
  for (const [name, value] of Object.entries(headers ?? {})) lines += name.length + value.length + 4
  if (messageId !== undefined) lines += 'Nats-Msg-Id'.length + messageId.length + 4
  if (expectedLastSubjectSequence !== undefined) {
    lines += 'Nats-Expected-Last-Subject-Sequence'.length + String(expectedLastSubjectSequence).length + 4
  }
  const headerBytes = lines === 0 ? 0 : lines + 'NATS/1.0\r\n\r\n'.length + 4
  return 22 + subject.length + headerBytes + data.length + 8
}

function refused(reason: RefusedReason, code: number, message: string): AppendResult {
  return { outcome: 'refused', reason, code, message }
}
