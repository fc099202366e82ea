/**
 * What Troupe needs from a message system with a durable log, in about twenty operations and no word of NATS's client.
 * `connect.ts` implements it on NATS; the simulation implements it in memory. Everything that takes time has a deadline.
 */
import type { LogMessage } from '../protocol/entries.ts'

/** A message of core NATS. `data` is valid for as long as it is held. */
export interface BusMessage {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string | undefined
  readonly headers: ReadonlyMap<string, string> | undefined
}

export interface Subscription {
  unsubscribe(): void
}

export type Headers = Readonly<Record<string, string>>

/**
 * What became of a write to a stream. `stored`: it is in the stream at `sequence`. `refused`: it certainly is not, for
 * this reason. `unknown`: no answer in time, or an answer that leaves it open; the writer has to resolve it.
 */
export type AppendResult =
  | { readonly outcome: 'stored'; readonly sequence: number; readonly duplicate: boolean }
  | { readonly outcome: 'refused'; readonly reason: RefusedReason; readonly code: number; readonly message: string }
  | { readonly outcome: 'unknown'; readonly code: number; readonly message: string }

/**
 * `wrong-sequence`: the expectation did not hold (10071). `no-responders`: nothing captures the subject: the door is
 * closed, or the stream is absent or without a leader. `full`: the stream's limit. `too-large`: above max_payload or
 * max_msg_size. `not-allowed`: this user may not publish there. `other`: see the message.
 */
export type RefusedReason = 'wrong-sequence' | 'no-responders' | 'full' | 'too-large' | 'not-allowed' | 'other'

export interface AppendOptions {
  /** Refuse unless the last message of this very subject has this sequence (0: there is none). */
  readonly expectedLastSubjectSequence?: number
  /** `Nats-Msg-Id`: the stream stores a message with the same id once within its dedupe window. */
  readonly messageId?: string
  readonly headers?: Headers
  /** Default 5,000. */
  readonly timeoutMs?: number
}

/** Core NATS. */
export interface Bus {
  /** Fire and forget; buffered while disconnected, up to a bound, then dropped. Never throws once connected. */
  publish(subject: string, data: Uint8Array, options?: { reply?: string; headers?: Headers }): void
  /** `handler` is called synchronously per message and must not throw. */
  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { queue?: string }): Subscription
  /**
   * The first answer. Throws TROUPE_NO_ANSWER (details.noResponders true when nobody listens, false on the deadline),
   * TROUPE_CLOSED.
   */
  request(subject: string, data: Uint8Array, options?: { timeoutMs?: number; headers?: Headers }): Promise<BusMessage>
  /** Resolves when the server has seen everything published so far, or rejects with TROUPE_NO_ANSWER. */
  flush(timeoutMs?: number): Promise<void>
  readonly connected: boolean
  /** Bytes that the server takes in one message. */
  readonly maxPayloadBytes: number
  /** Called on every loss and return of the connection, until `close`. Returns a function that stops that. */
  onConnection(listener: (state: 'connected' | 'disconnected') => void): () => void
  close(): Promise<void>
}

export interface LogInfo {
  /** Differs from that of every other log, also of one that was here before under the same name. */
  readonly identity: string
  readonly firstSequence: number
  readonly lastSequence: number
  readonly messages: number
  readonly bytes: number
  /** What the stream was given, without a reserve. −1: unlimited. */
  readonly bytesMax: number
  /** Room beyond that, taken when the log was full; 0: none. */
  readonly reserveBytes: number
  readonly createdAtMs: number
  /** The clock by which the stream stamps its messages, when it answered: ms since 1970. */
  readonly serverTimeMs: number
  readonly replicas: number
  /** Whether submissions and signals are being captured (rule 10). */
  readonly doorOpen: boolean
  /** Of the namespace, in the log of the first; left out: it does not say. */
  readonly partitions?: number
}

/** A running read. */
export interface LogReading {
  /** The consumer ends; nothing is delivered afterwards. */
  stop(): Promise<void>
}

export interface LogReadOptions {
  /** First sequence wanted. */
  readonly from: number
  /**
   * Messages in order without a gap, as many as arrived together. Synchronous. Messages are delivered as fast as they
   * are taken; the reader bounds what is under way.
   */
  readonly onMessages: (messages: readonly LogMessage[]) => void
  /** Once `onMessages` has been given everything that was in the stream when reading began. */
  readonly onCaughtUp?: () => void
  /**
   * The stream no longer holds the next sequence (trimmed), or it was deleted or rolled back. Reading has stopped;
   * the reader starts again from a checkpoint. A mere loss of connection or consumer is mended inside, without a gap.
   */
  readonly onGap: (expected: number, first: number) => void
}

/** The log stream of one partition. */
export interface Log {
  /** While disconnected it waits for the connection, until the deadline. Rejects with TROUPE_CLOSED only. */
  append(subject: string, data: Uint8Array, options?: AppendOptions): Promise<AppendResult>
  read(options: LogReadOptions): Promise<LogReading>
  /** The message at this sequence; undefined if it was trimmed. Throws TROUPE_NO_ANSWER. */
  get(sequence: number): Promise<LogMessage | undefined>
  /** Messages from `sequence` on, at most `messagesMax` and about `bytesMax`, in order, gaps left out. */
  getRange(sequence: number, messagesMax: number, bytesMax: number): Promise<LogMessage[]>
  /** The last message of this subject as the stream's leader knows it, never a replica. */
  lastOf(subject: string): Promise<LogMessage | undefined>
  info(): Promise<LogInfo>
  /** Removes everything before `sequence`. */
  trim(sequence: number): Promise<void>
  /** Takes submissions and signals off the stream, or gives them back (rule 10); then a reserve is given back as well. */
  setDoor(open: boolean): Promise<void>
  /**
   * Closes the door, and gives the stream room beyond its size for journals and control entries. Throws TROUPE_REFUSED when
   * the server has none.
   */
  takeReserve(): Promise<void>
}

/** A key with compare-and-set; enough for leases. */
export interface LeaseStore {
  /** Returns the new revision, or undefined when somebody else wrote first. `expected` 0: must not exist. */
  put(key: string, value: Uint8Array, expected: number): Promise<number | undefined>
  get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined>
  /** Every change of the key from now on, and its present value first. Called synchronously. */
  watch(key: string, onValue: (value: Uint8Array | undefined, revision: number) => void): Promise<Subscription>
}

/** Named immutable byte strings in parts; the latest few are kept. */
export interface CheckpointStore {
  /** Stores the parts and then the manifest; a checkpoint without a manifest does not exist. Keeps the newest `keep`. */
  save(manifest: Uint8Array, parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, keep: number): Promise<void>
  /** Newest first; reads lazily. */
  list(): Promise<readonly StoredCheckpoint[]>
}

export interface StoredCheckpoint {
  readonly manifest: Uint8Array
  readonly savedAtMs: number
  parts(): AsyncIterable<Uint8Array>
}

/** An object as it was stored, or renewed, last. */
export interface StoredObject {
  readonly name: string
  readonly bytes: number
  /** Of the write that stored or renewed it; another one from the next renewal on. */
  readonly sequence: number
  /** When that was, by the server's clock. */
  readonly storedAtMs: number
}

export interface ObjectUsage {
  readonly bytes: number
  /** −1: unlimited. */
  readonly bytesMax: number
  /** The clock by which objects are stamped: ms since 1970. */
  readonly serverTimeMs: number
}

export interface ObjectPutOptions {
  /** Refuses with TROUPE_REFUSED what is not there yet when more than this share of the store is taken. Default 1. */
  readonly shareMax?: number
}

/** Large values under their hash. */
export interface ObjectStore {
  /**
   * Stores `data`, or renews what is there: the object is young from then on, whatever its age was. Returns its name, the
   * SHA-256 in hex.
   */
  put(data: Uint8Array, options?: ObjectPutOptions): Promise<string>
  /** Undefined if there is none of this name, or its hash does not fit. */
  get(name: string): Promise<Uint8Array | undefined>
  /** Of all that there are, in no order; one that was just removed may be among them. */
  names(): Promise<readonly string[]>
  find(name: string): Promise<StoredObject | undefined>
  /** Removes it unless it was renewed or removed since it was found: then false. Of a renewal and a removal one wins. */
  remove(found: StoredObject): Promise<boolean>
  /** Removes what uploads that broke off before this instant have left, and removals. Returns how much there was. */
  removeLeftovers(beforeMs: number): Promise<number>
  /** As it was at most so long ago. Default: now. */
  usage(ageMaxMs?: number): Promise<ObjectUsage>
}
