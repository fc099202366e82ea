/**
 * The one error class of Troupe and the table of its codes. A code is stable: programs compare codes, people read the
 * message. Each row says what to do next and whether doing the same again can help.
 */

const table = {
  // what a user gave
  TROUPE_INVALID_NAME: { retryable: false, next: 'Use 1 to 128 letters, digits, "_", "-", ":", "=" or "@".' },
  TROUPE_INVALID_INPUT: { retryable: false, next: 'Send an input that fits the schema of the task type.' },
  TROUPE_INVALID_OPTION: {
    retryable: false,
    next: 'Correct the option; `troupe <command> --help` shows units and ranges.',
  },
  TROUPE_UNKNOWN_OPTION: { retryable: false, next: 'Correct the name, or leave the option out.' },
  TROUPE_INVALID_DURATION: {
    retryable: false,
    next: 'Give milliseconds as a number, or a text such as "500ms", "30s", "10m", "12h" or "7d".',
  },
  TROUPE_INVALID_INSTANT: {
    retryable: false,
    next: 'Give a Date, milliseconds since 1970, or a text like 2030-01-31T12:00:00Z.',
  },
  TROUPE_INVALID_RETRY: {
    retryable: false,
    next: 'Give { attempts: 1 to 1,000,000, backoff, factor: 1 to 10, max, jitter: 0 to 1 }; `attempts: 1` means no retry.',
  },
  TROUPE_INVALID_PRIORITY: {
    retryable: false,
    next: 'Give a whole number from 0 to 9; higher comes first, 4 is default.',
  },
  TROUPE_INVALID_EVENT: { retryable: false, next: 'Send an object with a type, like { type: "APPROVE" }.' },
  TROUPE_DUPLICATE_ID: { retryable: false, next: 'Give each task of the flow an id of its own.' },
  TROUPE_WAITS_FOR_ITSELF: { retryable: false, next: 'Name other tasks in `after`; this one could never start.' },
  TROUPE_FLOW_CYCLE: {
    retryable: false,
    next: 'Take one of the `after` out of the circle, so that some task can start.',
  },
  TROUPE_INVALID_TASK: { retryable: false, next: 'Correct the definition of the task.' },
  TROUPE_NO_TASKS: { retryable: false, next: 'Export what `task(…)` returns: `export const resize = task(…)`.' },
  TROUPE_DUPLICATE_TASK: { retryable: false, next: 'Give one of the two tasks another type, or load one file only.' },
  TROUPE_IMPORT_FAILED: {
    retryable: false,
    next: 'Run the file by itself with node to see why it cannot be imported.',
  },
  TROUPE_INLINE_CHILD: {
    retryable: false,
    next: 'Name the logic in setup({ actors: { name: logic } }) and spawn it by that name.',
  },
  TROUPE_CHILD_WITHOUT_ID: { retryable: false, next: 'Give it an id: spawnChild(src, { id: "…" }).' },
  TROUPE_UNKNOWN_ACTOR: {
    retryable: false,
    next: 'Add the actor to setup({ actors }) or provide({ actors }), or correct its name.',
  },
  TROUPE_UNREADABLE: {
    retryable: false,
    next: 'Send JSON, or msgpack with the header Content-Type: application/msgpack.',
  },
  TROUPE_TOO_LARGE: { retryable: false, next: 'Send less, or store the value elsewhere and send a reference to it.' },
  TROUPE_NOT_SERIALIZABLE: { retryable: false, next: 'Keep to plain data, Date, Map, Set, Error and typed arrays.' },
  TROUPE_CLASS_INSTANCE: {
    retryable: false,
    next: 'Keep its data as a plain object, and make the instance from it where it is used.',
  },
  TROUPE_CYCLIC_VALUE: { retryable: false, next: 'Refer to the other part by an id instead of by the object itself.' },
  TROUPE_RESERVED_ID: { retryable: false, next: 'Choose an id that does not look like <number>-<number>.' },
  TROUPE_ID_CONFLICT: {
    retryable: false,
    next: 'The id belongs to a task with another type or input; choose another id.',
  },
  TROUPE_UNKNOWN_TASK: { retryable: false, next: 'Check the id; results are kept for a limited time and number.' },
  TROUPE_TASK_FINISHED: { retryable: false, next: 'The task has ended; submit a new one, or retry it if it failed.' },
  TROUPE_NOT_FAILED: {
    retryable: false,
    next: 'Only a failed task can be retried, and only one that has ended can be removed.',
  },
  TROUPE_UNKNOWN_TYPE: {
    retryable: true,
    next: 'Check the name of the type, or start a node with a file that exports it; the task waits meanwhile.',
  },
  TROUPE_NOT_UNIQUE: {
    retryable: false,
    next: 'Nothing: `details.task` is the one that was first. Submit again when its time is over, or without `unique`.',
  },
  TROUPE_INVALID_SCHEDULE: {
    retryable: false,
    next: 'Use five fields like "0 3 * * *", six with seconds first, or a nickname like @daily, and an IANA time zone.',
  },
  TROUPE_UNKNOWN_SCHEDULE: { retryable: false, next: '`troupe cron ls` lists the schedules.' },
  TROUPE_UNKNOWN_NODE: { retryable: false, next: '`troupe nodes` lists the nodes.' },
  TROUPE_USAGE: { retryable: false, next: '`troupe --help` lists the commands.' },
  // what became of a task
  TROUPE_TASK_FAILED: {
    retryable: false,
    next: 'See the cause; `troupe retry <id>` runs it again from its last snapshot.',
  },
  TROUPE_TASK_CANCELLED: { retryable: false, next: 'Submit it again if it was cancelled by mistake.' },
  TROUPE_TASK_EXPIRED: { retryable: false, next: 'Give it a later deadline, or add nodes.' },
  TROUPE_TIMEOUT: { retryable: true, next: 'Raise the timeout of the task, or let it do less in one go.' },
  TROUPE_START_TIMEOUT: { retryable: true, next: 'Give it more time to start, or add nodes that have its type.' },
  TROUPE_HEARTBEAT_TIMEOUT: {
    retryable: true,
    next: 'Call ctx.progress more often, keep the event loop free, or raise `heartbeat` of the task.',
  },
  TROUPE_TASK_CRASHED: {
    retryable: true,
    next: 'Its thread or process ended under it: see the message; `memory` sets how much heap it may use.',
  },
  TROUPE_RESTART_INTENSITY: {
    retryable: false,
    next: 'Its nodes died too often while it ran; look at what it does, then `troupe retry <id>`.',
  },
  TROUPE_GROUP_FAILED: {
    retryable: false,
    next: 'See the cause: the member that failed. Mend it, then `troupe retry <id>` it and the others of its group.',
  },
  TROUPE_POISONED: {
    retryable: false,
    next: 'See the cause; deploy a fix and `troupe retry <id>`, or move on without the event: `troupe retry <id> --skip-event`.',
  },
  TROUPE_DEPENDENCY_FAILED: { retryable: false, next: 'Retry the task it waited for, then this one.' },
  TROUPE_GANG_BROKEN: {
    retryable: false,
    next: 'A member ended before the gang could start: retry, or submit, all of its members again.',
  },
  TROUPE_GANG_CONFLICT: { retryable: false, next: 'Give each gang an id of its own, and its true size.' },
  TROUPE_SNAPSHOT_UNREADABLE: {
    retryable: false,
    next: 'Deploy a version that can read the snapshot, then `troupe retry <id>`.',
  },
  TROUPE_VALUES_LOST: {
    retryable: false,
    next: 'Find out who purged or deleted messages of the log, which only Troupe may do; then submit the task again.',
  },
  TROUPE_RESULT_GONE: {
    retryable: false,
    next: 'Give the log more room, or keep large results elsewhere: the task is done, and its result had to make room for others.',
  },
  TROUPE_MIGRATION_FAILED: {
    retryable: false,
    next: 'Make `migrate` take that version, deploy, then `troupe retry <id>`; `troupe check` tells beforehand.',
  },
  TROUPE_MIGRATION_MISSING: {
    retryable: false,
    next: 'Give the task a `migrate` option; `(from, snapshot) => snapshot` says that nothing has to change.',
  },
  TROUPE_STEP_NAME_TWICE: {
    retryable: false,
    next: 'Give each step a name of its own; in a loop, put the number or key into it.',
  },
  TROUPE_NESTED_CALL: {
    retryable: false,
    next: 'Call ctx outside of the step, and give its result to the step; a step is run as a whole or not at all.',
  },
  TROUPE_CONTEXT_ENDED: { retryable: false, next: 'Await everything that the function begins before it returns.' },
  TROUPE_SEALED: {
    retryable: false,
    next: 'Give the process the key that the message names, then `troupe retry <id>`; see docs/security.md.',
  },
  TROUPE_NOT_SEALED: {
    retryable: false,
    next: 'Submit it with the key, or let values be plain: `required: false` in `encryption`.',
  },
  TROUPE_STEP_MISMATCH: {
    retryable: false,
    next: 'Keep names and order of steps over deployments; new ones may come after the old ones.',
  },
  TROUPE_SIGNAL_REJECTED: { retryable: false, next: 'Send an event that the task takes in its present state.' },
  // what happened to a process
  TROUPE_NO_SERVER: { retryable: true, next: 'Start one with `troupe dev`, or name another with --nats.' },
  TROUPE_NO_ANSWER: { retryable: true, next: 'See `troupe doctor`: is a scheduler running in this namespace?' },
  TROUPE_QUEUE_FULL: {
    retryable: true,
    next: 'Submit less, or later; `troupe queue ls` shows the limits, and `troupe dead retry` takes what was set aside.',
  },
  TROUPE_PARTITIONS: {
    retryable: false,
    next: 'Leave `partitions` out to take those that there are, or choose another namespace; a client connects again.',
  },
  TROUPE_REFUSED: { retryable: true, next: 'The system is full; send again later.' },
  TROUPE_SERVER_TOO_OLD: { retryable: false, next: 'Install nats-server 2.14 or later.' },
  TROUPE_PAYLOAD_LIMIT: { retryable: false, next: 'Set max_payload of nats-server to 1 MiB, its default, or more.' },
  TROUPE_NO_JETSTREAM: { retryable: false, next: 'Start nats-server with JetStream (-js).' },
  TROUPE_NO_SERVER_BINARY: {
    retryable: false,
    next: 'Put nats-server 2.14 on the PATH, set NATS_SERVER_BIN, or give --nats URL.',
  },
  TROUPE_STORE_IN_USE: { retryable: false, next: 'Stop the other server, or use another folder (--store).' },
  TROUPE_NOT_ALLOWED: {
    retryable: false,
    next: 'Run `troupe doctor` with the same credentials: it names what is missing; `troupe auth` makes credentials per role.',
  },
  TROUPE_FENCED: { retryable: true, next: 'Nothing: the node joins again by itself, and its tasks go on elsewhere.' },
  TROUPE_DRAINING: { retryable: true, next: 'Nothing: the task goes on elsewhere.' },
  TROUPE_LOG_MISMATCH: {
    retryable: false,
    next: 'The log was replaced or rolled back; see docs/operations.md before going on.',
  },
  TROUPE_FOLD_VERSION: { retryable: false, next: 'Upgrade this process: the log uses newer rules.' },
  TROUPE_CLOSED: { retryable: false, next: 'Connect again.' },
  TROUPE_NOT_DURABLE: {
    retryable: false,
    next: 'Keep side effects in steps or invoked actors, and everything that matters in results or context.',
  },
  TROUPE_INTERNAL: { retryable: false, next: 'This is a defect of Troupe; please report it with the message.' },
} as const

export type ErrorCode = keyof typeof table

/** An error as it travels and is stored: plain data, bounded by `limits`. */
export interface ErrorRecord {
  readonly code: string
  readonly message: string
  readonly details?: unknown
  readonly stack?: string
  readonly cause?: ErrorRecord
}

/**
 * The error that every part of Troupe throws. `code` is stable, `message` says what happened with the values, `next`
 * what to do, `retryable` whether the same call may work later.
 */
export class TroupeError extends Error {
  readonly code: ErrorCode
  readonly details: unknown

  constructor(code: ErrorCode, message: string, options: { details?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'TroupeError'
    this.code = code
    this.details = options.details
  }

  /** Empty for a code of a newer version, which came over the wire. */
  get next(): string {
    return adviceFor(this.code) ?? ''
  }

  get retryable(): boolean {
    return Object.hasOwn(table, this.code) && table[this.code].retryable
  }
}

/** All codes, for documentation and tests. */
export const errorCodes = Object.keys(table) as readonly ErrorCode[]

/** True when `error` is a TroupeError with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is TroupeError {
  return error instanceof TroupeError && error.code === code
}

/** What to do about a code that came over the wire; an unknown code (from a newer version) has no advice. */
export function adviceFor(code: string): string | undefined {
  return Object.hasOwn(table, code) ? table[code as ErrorCode].next : undefined
}
